"""Correlations on disk: made before anybody has an input, served once each.

A store is a folder with a file for each kind, and a file ``cursor``.

    kind file    magic, length of the header, header (JSON) and its tag, then blocks of units of the
                 correlation, each under AES-GCM
    header       version, suite, ring, peers, rank, run (the offline run's name, the same at all parties),
                 kind, count of units, units in a block, bytes of a unit, salt; the file is named after its
                 kind
    key          HKDF-SHA256(the party's private key, salt), for this file alone; the nonce is the number of
                 the block, and the header is authenticated with each, and once by itself with the last number
                 there is
    cursor       JSON: version, run and, for each kind file, how many of its blocks are used and how many
                 there are; then its HMAC-SHA256, whose key is HKDF-SHA256(the party's private key)

So files that were exchanged, renamed, cut, altered or taken from another run or party are refused when the
store is opened, and blocks when their turn comes, the next one of each file at once.

A block is served when the cursor has passed it *on disk* (a new file, fsync, rename, fsync of the folder),
and its place is overwritten (fsync), in this order.  So a process that ends at any moment, however it ends,
has served no block that another one will find; what it leaves unused of a block is lost, and what it leaves
of used blocks the next one overwrites.  A file whose blocks are all used loses its header, with the salt that
its key is made of, and is removed.  Blocks that are left out, since a peer stands further, are used ones in
all this.

A store is made in a folder of its own, each file's header last, and gets its name when all of it is on disk:
what has the name is whole.  A lock beside the folder is held from opening to closing: one process at a time.
Where the disk is full, or not to be written, nothing is served and nothing is lost.

Threat   the disk may be read by others, who see sizes and positions, as long as they have not the private
         key, which lies on the same disk as a rule; and altered by others, which the tags show, as far as
         they do not turn it back.  What two runs have hidden behind the same mask can be computed by their
         peers.  A store that is turned back while a peer's is not goes on from the peer's place (``stored``).
         Where all are, ``remembered`` tells, as far as it goes.  Overwriting is as good as the disk lets it
         be.
Cost     three fsyncs for a block of up to 2 MiB; 16 bytes for it and about 400 for the header beside the
         correlations.
Source   NIST SP 800-38D (GCM), RFC 5869 (HKDF), RFC 2104 (HMAC).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mpc.errors import ConfigError
from mpc.prg import SEED_BYTES, Stream
from protocols.prep import remembered
from protocols.prep.disk import (
    AGAIN,
    HEADER,
    Lock,
    check_folder,
    discard,
    forget,
    opened,
    sync_folder,
    told,
    write,
)
from protocols.prep.remembered import Count

VERSION = 3
_MAGIC = b"mpc-corr"
_TAG = 16
_ALONE = b"\xff" * 12  # the nonce of the header's own tag

#: Units and bytes of a block, at most.
_BLOCK, _BLOCK_BYTES = 1 << 16, 1 << 21

_MAKING = f"make room for it, and {AGAIN}; a store that was there is as it was"
_SERVING = (
    "no block is used twice, and none lost but the one that was due; make room for it, and run all parties"
    " again"
)


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
    return loaded.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def block_of(unit: int) -> int:
    """How many units of so many bytes make a block."""
    return max(1, min(_BLOCK, _BLOCK_BYTES // max(1, unit)))


class Kind:
    """The file of one kind, while its blocks are made."""

    def __init__(self, path: Path, facts: Mapping[str, Any], cipher: AESGCM) -> None:
        self._header, self._cipher = json.dumps(facts, sort_keys=True).encode(), cipher
        self._stride = facts["block"] * facts["unit"] + _TAG
        self._path = path
        with told(path, "written", _MAKING):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

    def put(self, number: int, block: bytes) -> None:
        """Each number once: it is the nonce."""
        sealed = self._cipher.encrypt(_nonce(number), block, self._header)
        with told(self._path, "written", _MAKING):
            write(self._file, sealed, _begin(self._header) + number * self._stride)

    def close(self) -> None:
        """All blocks are there: now the header is."""
        tag = self._cipher.encrypt(_ALONE, b"", self._header)
        with told(self._path, "written", _MAKING):
            os.fsync(self._file)
            write(self._file, _MAGIC + len(self._header).to_bytes(4, "little") + self._header + tag, 0)
            os.fsync(self._file)
            os.close(self._file)


class Making:
    """A store that is being made; nobody finds it before ``commit``.

    Where there is a folder for its ``memory``, this machine remembers there what will be used of it; why that
    was not possible, if so, is the ``doubt``.
    """

    def __init__(self, folder: Path, terms: Terms, secret: bytes, memory: Path | None = None) -> None:
        self.folder, self.terms, self.doubt = folder, terms, ""
        self._secret, self._memory = secret, memory
        self._lock = Lock(folder)
        self._new, self._old = (folder.parent / f"{folder.name}.{word}" for word in ("new", "old"))
        self._blocks: dict[str, int] = {}
        try:
            with told(self.folder, "written", _MAKING):
                for left in (self._new, self._old):  # by a run that did not come to its end
                    discard(left)
                self._new.mkdir(mode=0o700)
        except ConfigError:
            self._lock.release()
            raise

    def kind(self, run: str, kind: str, count: int, unit: int) -> Kind:
        """A file for ``count`` units of ``unit`` bytes."""
        salt = Stream.fresh("salt").bytes(SEED_BYTES)
        facts = {
            "version": VERSION,
            **asdict(self.terms),
            "run": run,
            "kind": kind,
            "count": count,
            "block": block_of(unit),
            "unit": unit,
            "salt": salt.hex(),
        }
        name = _file_of(kind)
        self._blocks[name] = -(-count // block_of(unit))
        return Kind(self._new / name, facts, _cipher(self._secret, salt))

    def commit(self, run: str) -> None:
        """All is written: from here on it is the store, and what was there before is gone."""
        if self._memory is not None:
            try:
                count = Count(self._memory, f"{run}-{self.terms.rank}", len(self._blocks))
                count.set([0] * len(self._blocks))
                count.close()
            except OSError as error:
                self.doubt = remembered.forgetful(self._memory, error)
        with told(self.folder, "written", _MAKING):
            _save(self._new, self._secret, run, {name: (0, total) for name, total in self._blocks.items()})
            if self.folder.exists():
                os.replace(self.folder, self._old)
            try:
                os.replace(self._new, self.folder)
            except OSError:
                if self._old.exists():
                    os.replace(self._old, self.folder)
                raise
        with told(self.folder, "written", AGAIN):
            sync_folder(self.folder.parent)
        discard(self._old)

    def said(self) -> str:
        """What there is, for people."""
        size = sum(path.stat().st_size for path in self.folder.iterdir())
        return f"{len(self._blocks)} kinds, {size / 1e3:,.0f} kB, in {self.folder}."

    def close(self) -> None:
        discard(self._new)
        self._lock.release()


class Shelf:
    """The blocks of one kind: its file, if it is whole, was made for these parties, and is what its name
    says.
    """

    def __init__(self, store: Store, name: str, terms: Terms, secret: bytes) -> None:
        self._store, self.name, self.path = store, name, store.folder / name
        with told(self.path, "read", AGAIN), opened(self.path) as file:
            start = os.pread(file, len(_MAGIC) + 4, 0)
            length = int.from_bytes(start[len(_MAGIC) :], "little")
            whole = start.startswith(_MAGIC) and length <= HEADER
            self._header = os.pread(file, length, len(start)) if whole else b""
            tag = os.pread(file, _TAG, len(start) + length)
            size = os.fstat(file).st_size
        try:
            facts = json.loads(self._header)
            self._cipher = _cipher(secret, bytes.fromhex(facts["salt"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ConfigError(f"the store {self.path} is incomplete or no store: {AGAIN}") from None
        try:
            self._cipher.decrypt(_ALONE, tag, self._header)
        except InvalidTag:
            raise _altered(self.path) from None
        ours = {"version": VERSION, **asdict(terms), "peers": list(terms.peers), "run": store.run}
        other = [
            f"{key} (there {facts[key]}, here {value})" for key, value in ours.items() if facts[key] != value
        ]
        if other:
            raise ConfigError(
                f"the store {self.path} was made for another {' and '.join(other)}: {AGAIN}, "
                "or leave out --use-offline"
            )
        if _file_of(facts["kind"]) != name:
            raise ConfigError(f"the store {self.path} has what belongs in {_file_of(facts['kind'])}: {AGAIN}")
        self.kind: str = facts["kind"]
        self.block: int = facts["block"]
        self.unit: int = facts["unit"]
        self._all: int = facts["count"]
        blocks = -(-self._all // self.block)
        due = _begin(self._header) + self._all * self.unit + blocks * _TAG
        if (blocks, size) != (store.used[name][1], due):
            raise ConfigError(f"the store {self.path} is incomplete: {AGAIN}")
        self._settle()

    @property
    def count(self) -> int:
        """Units in the blocks that are not used."""
        return max(0, self._all - self._used * self.block)

    @property
    def _used(self) -> int:
        return self._store.used[self.name][0]

    def take(self) -> bytes:
        """The next block, which from now on is used: see this module's docstring for the order of things."""
        at = self._used
        sealed = self._sealed(at)
        self._store.advance({self.name: at + 1})
        return self._opened(at, sealed)

    def erase(self, lo: int, hi: int) -> None:
        """Overwrite blocks lo to hi, and remove a file of which that is the end."""
        with opened(self.path, os.O_RDWR) as file:
            for at in range(lo, hi):
                place, size = self._place(at)
                write(file, bytes(size), place)
            if self._store.used[self.name][1] > hi:
                os.fsync(file)
                return
        forget(self.path)

    def _settle(self) -> None:
        """Overwrite what an ended process has left of used blocks, and see that the next one is as it was
        made.
        """
        end = start = self._used
        while start and any(self._sealed(start - 1)):
            start -= 1
        if start < end:
            with told(self.path, "written", _SERVING):
                self.erase(start, end)
        self._opened(end, self._sealed(end))

    def _place(self, at: int) -> tuple[int, int]:
        """Where a block begins, and how many bytes it has."""
        units = min(self.block, self._all - at * self.block)
        return _begin(self._header) + at * (self.block * self.unit + _TAG), units * self.unit + _TAG

    def _sealed(self, at: int) -> bytes:
        place, size = self._place(at)
        with told(self.path, "read", AGAIN), opened(self.path) as file:
            return os.pread(file, size, place)

    def _opened(self, at: int, sealed: bytes) -> bytes:
        try:
            return self._cipher.decrypt(_nonce(at), sealed, self._header)
        except InvalidTag:
            raise _altered(self.path) from None


class Store:
    """A store that is open: this process alone serves from it.

    Where there is a folder for its ``memory``, it is held against what this machine remembers of it, and
    refused if that is more; that it could not be, if so, is the ``doubt``.
    """

    def __init__(self, folder: Path, terms: Terms, secret: bytes, memory: Path | None = None) -> None:
        self.folder, self.doubt, self._secret = folder, "", secret
        self._count: Count | None = None
        if not folder.is_dir():
            raise ConfigError(
                f"there is no store {folder}: run 'mpc offline', all parties together, or leave out"
                " --use-offline"
            )
        check_folder(folder)
        self._lock = Lock(folder)
        try:
            self.run, self.used = _load(folder, secret)
            if memory is not None:
                self._recall(memory, terms.rank)
            self._shelves: dict[str, Shelf] = {}
            for name, (used, total) in self.used.items():
                if used < total:
                    self._shelves[name] = Shelf(self, name, terms, secret)
                else:
                    with told(folder, "written", _SERVING):
                        forget(folder / name)
            self.shelves = {shelf.kind: shelf for shelf in self._shelves.values()}
        except BaseException:
            self.close()
            raise

    def advance(self, to: Mapping[str, int]) -> None:
        """These blocks count as used, and nothing that comes later can change it."""
        before = self.used
        used = {name: (max(at, to.get(name, 0)), total) for name, (at, total) in before.items()}
        if used == before:
            return
        with told(self.folder, "written", _SERVING):
            _save(self.folder, self._secret, self.run, used)
            self.used = used
            for name, (at, _) in used.items():
                if at > before[name][0]:
                    self._shelves[name].erase(before[name][0], at)
            if self._count is not None:
                self._count.set(self._blocks)

    def close(self) -> None:
        try:
            if self._count is not None:
                self._count.close()
        finally:
            self._lock.release()

    @property
    def _blocks(self) -> list[int]:
        """How many of each kind are used."""
        return [self.used[name][0] for name in sorted(self.used)]

    def _recall(self, memory: Path, rank: int) -> None:
        used = self._blocks
        try:
            count = Count(memory, f"{self.run}-{rank}", len(used))
            known = count.value
            more = next(((u, k) for u, k in zip(used, known or used, strict=True) if k > u), None)
            if more is None:
                count.set(used)
        except OSError as error:
            self.doubt = remembered.forgetful(memory, error)
            return
        self._count = count
        if known is None:
            self.doubt = (
                f"this machine does not remember the store {self.folder}: if another copy of it was used, "
                f"or will be, what both hide can be computed; in doubt {AGAIN}"
            )
        elif more is not None:
            raise ConfigError(
                f"the store {self.folder} was turned back, or is a copy: {more[0]} of its blocks of one kind "
                f"are used by its own account, and this machine remembers {more[1]}; what was used must "
                f"not be used again: {AGAIN}"
            )


# -- the cursor ------------------------------------------------------------------------------------------


def _load(folder: Path, secret: bytes) -> tuple[str, dict[str, tuple[int, int]]]:
    path = folder / "cursor"
    with told(path, "read", AGAIN), opened(path) as file:
        said, _, tag = os.pread(file, os.fstat(file).st_size, 0).rpartition(b"\n")
    try:
        _seal(said, secret).verify(bytes.fromhex(tag.decode()))
    except (ValueError, InvalidSignature):
        raise ConfigError(
            f"nobody knows what of the store {folder} is used: its cursor was altered, or made by another "
            "version of this engine, or the party's key is another than when it was made: "
            f"{AGAIN}"
        ) from None
    facts = json.loads(said)
    if facts["version"] != VERSION:
        raise ConfigError(f"the store {folder} was made by another version of this engine: {AGAIN}")
    return facts["run"], {name: (at, total) for name, (at, total) in facts["used"].items()}


def _save(folder: Path, secret: bytes, run: str, used: Mapping[str, tuple[int, int]]) -> None:
    """The cursor, on disk when this returns; the old one or the new one whatever happens."""
    path, new = folder / "cursor", folder / "cursor.new"
    said = json.dumps({"version": VERSION, "run": run, "used": used}, sort_keys=True).encode()
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        write(file, said + b"\n" + _seal(said, secret).finalize().hex().encode(), 0)
        os.fsync(file)
    finally:
        os.close(file)
    os.replace(new, path)
    sync_folder(folder)


def _seal(said: bytes, secret: bytes) -> HMAC:
    seal = HMAC(HKDF(SHA256(), 32, salt=None, info=b"mpc/1 cursor").derive(secret), SHA256())
    seal.update(said)
    return seal


# -- keys and places ------------------------------------------------------------------------------------


def _cipher(secret: bytes, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt=salt, info=b"mpc/1 correlations").derive(secret))


def _file_of(kind: str) -> str:
    """How the file of a kind is called."""
    return f"{kind.split(',', 1)[0].replace(' ', '-')}-{blake2b(kind.encode(), digest_size=8).hexdigest()}"


def _altered(path: Path) -> ConfigError:
    return ConfigError(
        f"the store {path} was altered, or the party's key is another than when it was made: {AGAIN}"
    )


def _begin(header: bytes) -> int:
    """Where the blocks begin."""
    return len(_MAGIC) + 4 + len(header) + _TAG


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "little")
