"""Correlations on disk: made before anybody has an input, served once each.

A store is a folder with a file for each kind, and a file ``cursor``.

    kind file    magic, length of the header, header (JSON) and its tag, then blocks of units of the correlation, each under AES-GCM
    header       version, suite, ring, peers, rank, run (the offline run's name, the same at all parties), kind, count of
                 units, units in a block, bytes of a unit, salt
    key          HKDF-SHA256(the party's private key, salt), for this file alone; the nonce is the number of the block, and
                 the header is authenticated with each, and once by itself with the last number there is
    cursor       for each kind file, how many of its blocks are used, and how many there are

A block is served when the cursor has passed it *on disk* (a new file, fsync, rename, fsync of the folder) and its place is
overwritten, in this order.  So a process that ends at any moment, however it ends, has served no block that another one
will find; what it leaves unused of a block is lost.  A file whose blocks are all used is removed.

A store is made in a folder of its own, each file's header last, and gets its name when all of it is on disk: what has the
name is whole.  A lock beside the folder is held from opening to closing: one process at a time.

Threat   the disk may be read by others, who see sizes and positions, and altered by others, which the tags show, as far as
         they do not turn it back: whoever restores the folder from a copy or a snapshot serves twice, and what two runs
         have hidden behind the same mask can be computed by their peers.  Overwriting is as good as the disk lets it be.
Cost     two fsyncs for a block of up to 2 MiB; 16 bytes for it and about 400 for the header beside the correlations.
Source   NIST SP 800-38D (GCM), RFC 5869 (HKDF).
"""
from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mpc.errors import ConfigError
from mpc.prg import SEED_BYTES, Stream

VERSION = 1
_MAGIC = b"mpc-corr"
_TAG = 16
_MOST_HEADER = 1 << 16
_ALONE = b"\xff" * 12                                 # the nonce of the header's own tag

#: Units and bytes of a block, at most.
_BLOCK, _BLOCK_BYTES = 1 << 16, 1 << 21

_AGAIN = "run 'mpc offline' again, all parties together"


@dataclass(frozen=True, slots=True)
class Terms:
    """Whose correlations these are: what a header says beside their kind."""

    suite: str
    ring: int
    peers: tuple[str, ...]
    rank: int


def secret_of(key: Path) -> bytes:
    """The bytes of a party's private key, whatever the form of its file."""
    try:
        loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError):
        raise ConfigError(f"{key} is not a private key that can be read without a password") from None
    return loaded.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def block_of(unit: int) -> int:
    """How many units of so many bytes make a block."""
    return max(1, min(_BLOCK, _BLOCK_BYTES // max(1, unit)))


class Lock:
    """The right to a folder, which one process has at a time."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(folder.parent / f"{folder.name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(f"the store {folder} cannot be opened ({error.strerror}): the folder of the configuration must be writable") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise ConfigError(f"another process uses the store {folder}: wait for its end, a correlation must not be used twice") from None

    def release(self) -> None:
        os.close(self._file)


class Kind:
    """The file of one kind, while its blocks are made."""

    def __init__(self, path: Path, facts: Mapping[str, Any], cipher: AESGCM) -> None:
        self._header, self._cipher = json.dumps(facts, sort_keys=True).encode(), cipher
        self._stride = facts["block"] * facts["unit"] + _TAG
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

    def put(self, number: int, block: bytes) -> None:
        """Each number once: it is the nonce."""
        _write(self._file, self._cipher.encrypt(_nonce(number), block, self._header), _begin(self._header) + number * self._stride)

    def close(self) -> None:
        """All blocks are there: now the header is."""
        os.fsync(self._file)
        tag = self._cipher.encrypt(_ALONE, b"", self._header)
        _write(self._file, _MAGIC + len(self._header).to_bytes(4, "little") + self._header + tag, 0)
        os.fsync(self._file)
        os.close(self._file)


class Making:
    """A store that is being made; nobody finds it before ``commit``."""

    def __init__(self, folder: Path, terms: Terms, secret: bytes) -> None:
        self.folder, self.terms, self._secret = folder, terms, secret
        self._lock = Lock(folder)
        self._new = folder.parent / f"{folder.name}.new"
        shutil.rmtree(self._new, ignore_errors=True)     # of a run that did not come to its end
        self._new.mkdir(mode=0o700)
        self._blocks: dict[str, int] = {}

    def kind(self, run: str, kind: str, count: int, unit: int) -> Kind:
        """A file for ``count`` units of ``unit`` bytes."""
        salt = Stream.fresh("salt").bytes(SEED_BYTES)
        name = f"{kind.split(',', 1)[0].replace(' ', '-')}-{blake2b(kind.encode(), digest_size=8).hexdigest()}"
        facts = {"version": VERSION, **asdict(self.terms), "run": run, "kind": kind, "count": count, "block": block_of(unit),
                 "unit": unit, "salt": salt.hex()}
        self._blocks[name] = -(-count // block_of(unit))
        return Kind(self._new / name, facts, _cipher(self._secret, salt))

    def commit(self, run: str) -> None:
        """All is written: from here on it is the store, and what was there before is gone."""
        _save(self._new, run, {name: (0, total) for name, total in self._blocks.items()})
        shutil.rmtree(self.folder, ignore_errors=True)
        os.replace(self._new, self.folder)
        _sync(self.folder.parent)

    def said(self) -> str:
        """What there is, for people."""
        size = sum(path.stat().st_size for path in self.folder.iterdir())
        return f"{len(self._blocks)} kinds, {size / 1e3:,.0f} kB, in {self.folder}."

    def close(self) -> None:
        shutil.rmtree(self._new, ignore_errors=True)
        self._lock.release()


class Shelf:
    """The blocks of one kind."""

    def __init__(self, store: Store, name: str, facts: Mapping[str, Any], header: bytes, cipher: AESGCM) -> None:
        self._store, self._name, self._header, self._facts, self._cipher = store, name, header, facts, cipher

    @property
    def count(self) -> int:
        """Units in the blocks that are not used."""
        return max(0, int(self._facts["count"]) - self._store.used[self._name][0] * self.block)

    @property
    def block(self) -> int:
        return int(self._facts["block"])

    @property
    def unit(self) -> int:
        return int(self._facts["unit"])

    def take(self) -> bytes:
        """The next block, which from now on is used: see this module's docstring for the order of things."""
        store, at = self._store, self._store.used[self._name][0]
        size = min(self.block, self.count) * self.unit + _TAG
        place = _begin(self._header) + at * (self.block * self.unit + _TAG)
        path = store.folder / self._name
        file = os.open(path, os.O_RDWR)
        try:
            sealed = os.pread(file, size, place)
            store.advance({self._name: at + 1})
            _write(file, bytes(size), place)
        finally:
            os.close(file)
        try:
            return self._cipher.decrypt(_nonce(at), sealed, self._header)
        except InvalidTag:
            raise _altered(path) from None


class Store:
    """A store that is open: this process alone serves from it."""

    def __init__(self, folder: Path, terms: Terms, secret: bytes) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise ConfigError(f"there is no store {folder}: run 'mpc offline', all parties together, or leave out --use-offline")
        self._lock = Lock(folder)
        try:
            self.run, self.used = _load(folder)
            self.shelves = {}
            for name, (used, total) in self.used.items():
                if used < total:
                    facts, header, cipher = _read(folder / name, terms, self.run, total, secret)
                    self.shelves[facts["kind"]] = Shelf(self, name, facts, header, cipher)
                else:
                    (folder / name).unlink(missing_ok=True)
        except BaseException:
            self._lock.release()
            raise

    def advance(self, to: Mapping[str, int]) -> None:
        """These blocks count as used, and nothing that comes later can change it."""
        used = {name: (max(at, to.get(name, 0)), total) for name, (at, total) in self.used.items()}
        if used != self.used:
            _save(self.folder, self.run, used)
            for name, (at, total) in used.items():
                if at == total > self.used[name][0]:
                    (self.folder / name).unlink(missing_ok=True)
            self.used = used

    def close(self) -> None:
        self._lock.release()


def _read(path: Path, terms: Terms, run: str, blocks: int, secret: bytes) -> tuple[dict[str, Any], bytes, AESGCM]:
    """A kind file's header and key, if the file is whole and was made for these parties."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC) + 4)
            length = int.from_bytes(start[len(_MAGIC):], "little")
            header = file.read(length) if start.startswith(_MAGIC) and length <= _MOST_HEADER else b""
            tag = file.read(_TAG)
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise ConfigError(f"the store {path} cannot be read ({error.strerror}): {_AGAIN}") from None
    try:
        facts: dict[str, Any] = json.loads(header)
        count, block, unit = (int(facts[key]) for key in ("count", "block", "unit"))
        cipher = _cipher(secret, bytes.fromhex(facts["salt"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ConfigError(f"the store {path} is incomplete or no store: {_AGAIN}") from None
    if min(count, block) < 1 or unit < 0 or blocks != -(-count // block) or size != _begin(header) + count * unit + blocks * _TAG:
        raise ConfigError(f"the store {path} is incomplete: {_AGAIN}")
    ours = {"version": VERSION, **asdict(terms), "peers": list(terms.peers), "run": run}
    other = [f"{key} (there {facts.get(key)}, here {value})" for key, value in ours.items() if facts.get(key) != value]
    if other:
        raise ConfigError(f"the store {path} was made for another {' and '.join(other)}: {_AGAIN}, or leave out --use-offline")
    try:
        cipher.decrypt(_ALONE, tag, header)
    except InvalidTag:
        raise _altered(path) from None
    return facts, header, cipher


def _load(folder: Path) -> tuple[str, dict[str, tuple[int, int]]]:
    try:
        facts = json.loads((folder / "cursor").read_bytes())
        run, used = facts["run"], {name: (int(at), int(total)) for name, (at, total) in facts["used"].items()}
        if facts["version"] != VERSION or not isinstance(run, str) or any(not 0 <= at <= total or "/" in name for name, (at, total) in used.items()):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigError(f"nobody knows what of the store {folder} is used, since its cursor cannot be read: {_AGAIN}") from None
    return run, used


def _save(folder: Path, run: str, used: Mapping[str, tuple[int, int]]) -> None:
    """The cursor, on disk when this returns; the old one or the new one whatever happens."""
    path, new = folder / "cursor", folder / "cursor.new"
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _write(file, json.dumps({"version": VERSION, "run": run, "used": used}, sort_keys=True).encode(), 0)
        os.fsync(file)
    finally:
        os.close(file)
    os.replace(new, path)
    _sync(folder)


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _write(file: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(file, view, at)
        view, at = view[done:], at + done


def _cipher(secret: bytes, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt=salt, info=b"mpc/1 correlations").derive(secret))


def _altered(path: Path) -> ConfigError:
    return ConfigError(f"the store {path} was altered, or the party's key is another than when it was made: {_AGAIN}")


def _begin(header: bytes) -> int:
    """Where the blocks begin."""
    return len(_MAGIC) + 4 + len(header) + _TAG


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "little")
