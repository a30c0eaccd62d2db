"""Who the clients are: names, the keys their signatures are checked with, and the seed of the graph.

The directory comes from a hand that everybody trusts with it and that is not the server: a registration
office, a certificate authority, the clients themselves.  It binds names to Ed25519 keys, so that the server
cannot swap a key, and it is closed *before* its seed is drawn: neither the server nor a client that is to
join can choose a place next to somebody.  Whoever adds a client makes a new directory with a new seed.

A client is known by its place in the sorted list of names; everything else refers to the directory's digest.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mpc.errors import ConfigError
from mpc.prg import SEED_BYTES, Stream

KEY_BYTES, SIGNATURE_BYTES, DIGEST_BYTES = 32, 64, 32
_MOST_CLIENTS, _LONGEST_NAME = 1 << 24, 255


class Directory:
    """Names and verification keys of the clients of a session.

    ``keys`` maps each name to 32 bytes of Ed25519 public key.  ``seed`` is drawn when the list is closed
    (``Directory.close``), and is public.
    """

    def __init__(self, keys: Mapping[str, bytes], seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ConfigError(
                f"a directory's seed has {SEED_BYTES} bytes, not {len(seed)}; make directories with"
                " Directory.close"
            )
        if not 2 <= len(keys) <= _MOST_CLIENTS:
            raise ConfigError(f"a directory of {len(keys)} clients: give 2 to {_MOST_CLIENTS}")
        for name, key in keys.items():
            if not 0 < len(name.encode()) <= _LONGEST_NAME or len(key) != KEY_BYTES:
                raise ConfigError(
                    f"client {name!r}: a name has 1 to {_LONGEST_NAME} bytes, and a verification key"
                    f" {KEY_BYTES}"
                )
        if len({name.lower() for name in keys}) != len(keys):
            raise ConfigError(
                "two clients of the directory have names that differ in capitals only, which "
                "certificates do not tell apart: rename one"
            )
        if len(set(keys.values())) != len(keys):
            raise ConfigError(
                "two clients of the directory have the same verification key: every client makes its own"
            )
        self.names = tuple(sorted(keys))
        self.seed = seed
        self._keys = tuple(bytes(keys[name]) for name in self.names)
        self._places = {name: i for i, name in enumerate(self.names)}
        self._right: set[bytes] = set()  # digests of what was found to be signed
        self.digest = hashlib.sha256(b"mpc/1 directory" + self.encode()).digest()

    @classmethod
    def close(cls, keys: Mapping[str, bytes]) -> Directory:
        """The directory of these clients, with a fresh seed: no further client can join."""
        return cls(keys, Stream.fresh("directory").bytes(SEED_BYTES))

    def __len__(self) -> int:
        return len(self.names)

    def place(self, name: str) -> int:
        """The number of a client; ``ConfigError`` for one that is not in the list."""
        if name not in self._places:
            raise ConfigError(f"client {name!r} is not in the directory of {len(self)} clients")
        return self._places[name]

    def key(self, place: int) -> bytes:
        return self._keys[place]

    def signed(self, place: int, signature: bytes, text: bytes) -> bool:
        """Whether this client has signed ``text``.  Who asks again, as all neighbours do where they share a
        process, is told what was found.
        """
        asked = (
            hashlib.sha256(self._keys[place] + signature + text).digest()
            if len(signature) == SIGNATURE_BYTES
            else None
        )
        if asked is None or asked in self._right:
            return asked is not None
        try:
            Ed25519PublicKey.from_public_bytes(self._keys[place]).verify(signature, text)
        except (InvalidSignature, ValueError):
            return False
        if len(self._right) > 2 * len(self):  # of rounds that are over
            self._right.clear()
        self._right.add(asked)
        return True

    def forget(self) -> None:
        """Check all signatures anew."""
        self._right.clear()

    def encode(self) -> bytes:
        """The one encoding, as it is kept in a file: seed, number of clients, then length, name and key of
        each.
        """
        clients = [
            struct.pack("<B", len(n.encode())) + n.encode() + k
            for n, k in zip(self.names, self._keys, strict=True)
        ]
        return b"".join([self.seed, struct.pack("<I", len(clients)), *clients])

    @classmethod
    def decode(cls, data: bytes) -> Directory:
        """Read what ``encode`` wrote; ``ConfigError`` for anything else."""
        at, keys = SEED_BYTES + 4, {}
        try:
            (count,) = struct.unpack_from("<I", data, SEED_BYTES)
            for _ in range(count):
                end = at + 1 + data[at]
                keys[data[at + 1 : end].decode()] = data[end : end + KEY_BYTES]
                at = end + KEY_BYTES
            made = cls(keys, data[:SEED_BYTES])
        except (struct.error, IndexError, UnicodeDecodeError):
            made = None
        if made is None or made.encode() != data:
            raise ConfigError("this is not a directory of clients as Directory.encode writes it")
        return made

    def __repr__(self) -> str:
        return f"<directory of {len(self)} clients, {self.digest[:4].hex()}>"
