"""The only source of randomness: AES-128 in counter mode, keyed by HKDF with a label per use.

Seeds come from the operating system.  Two parties that hold the same seed draw the same elements as
long as they draw in the same order, which the round scheduler sees to and every frame's digest checks.

Source   NIST SP 800-38A (CTR), RFC 5869 (HKDF-SHA256).  A stream is one key used once, from counter 0,
         far below the 2**64 blocks at which counter mode stops looking random.
"""

from __future__ import annotations

import math
import os
import sys
from typing import Any, NoReturn

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mpc.ring import Z64, NDArray, RingArray, Shape, Spec, worth_compiling

SEED_BYTES = 32
_ZEROS = memoryview(bytes(1 << 18))
_SMALL, _POOL = 512, 8192


def compiled(n: int) -> bool:
    """Whether so many bytes are made in compiled loops."""
    if not worth_compiling(n, sys.maxsize, 1 << 12):
        return False
    from mpc.aes_kernels import THERE

    return THERE


class Stream:
    """A stream of uniform ring elements.  ``position`` counts the bytes drawn so far.

    Large draws take whole blocks of the key stream.  ``cryptography`` makes them, and, once the compiler is
    awake and where the processor has the instructions, ``mpc.aes_kernels``: the same bytes.
    """

    __slots__ = ("_at", "_block", "_cipher", "_key", "_keys", "_pool", "position")

    def __init__(self, seed: bytes, label: str) -> None:
        self._key = HKDF(SHA256(), 16, salt=None, info=b"mpc/2 " + label.encode()).derive(seed)
        self._cipher: Any = Cipher(algorithms.AES(self._key), modes.CTR(bytes(16))).encryptor()
        self._keys: NDArray | None = None  # of all rounds
        self._block = 0  # the first that is not used yet
        self._pool, self._at = memoryview(b""), 0
        self.position = 0

    @classmethod
    def fresh(cls, label: str) -> Stream:
        """A stream that nobody else knows."""
        return cls(os.urandom(SEED_BYTES), label)

    def draw(self, spec: Spec) -> RingArray:
        """The next uniform elements.  Never draws the same bytes twice."""
        ring, shape = spec.ring, spec.shape
        if ring.entropy != ring.itemsize:  # a remainder of more
            data = np.frombuffer(self.bytes(ring.entropy * math.prod(shape)), np.uint8)
            return RingArray(ring, ring.uniform(data.reshape(-1, ring.entropy)).reshape(shape))
        n = ring.itemsize * (size := math.prod(shape))
        self.position += n
        if n <= _SMALL:  # single elements: one call into the cipher serves many draws
            if self._at + n > len(self._pool):
                pool = np.empty(_POOL, np.uint8)
                self._fill(pool)
                self._pool, self._at = pool.data.toreadonly(), 0
            start, self._at = self._at, self._at + n
            return RingArray(ring, np.frombuffer(self._pool, ring.dtype, size, start).reshape(shape))
        out = np.empty(shape, ring.dtype)
        self._fill(out.reshape(-1).view(np.uint8))
        return RingArray(ring, out)

    def reserved(self, spec: Spec) -> tuple[NDArray, np.uint64]:
        """For a loop that makes these elements for itself: all rounds' keys, and the number of the first
        block.
        """
        n = spec.nbytes
        self.position += n
        first, self._block = self._block, self._block - (-n // 16)
        return self._round_keys, np.uint64(first)

    def below(self, spec: Spec, most: int) -> RingArray:
        """The next uniform elements below ``most`` ≤ 2^(k−1): those of as many bits that are not are drawn
        anew.
        """
        ring, bits = spec.ring, (most - 1).bit_length()

        def cut(count: int) -> RingArray:
            return self.draw(Spec(ring, (count,))).low(bits)

        out = cut(spec.size)
        data = out.data.copy()
        at = np.arange(spec.size)
        while (
            at := at[ring.words((RingArray(ring, data[at]) - ring(most) >> ring.bits - 1).data)[0] == 0]
        ).size:
            data[at] = cut(at.size).data
        return RingArray(ring, data.reshape(spec.shape))

    def bytes(self, n: int) -> bytes:
        """The next n bytes, for keys."""
        out = np.empty(n, np.uint8)
        self.fill(out)
        return out.tobytes()

    def permutations(self, shape: Shape) -> NDArray:
        """Uniform orders of the first axis, one for each column: indices of that shape.

        The order of random words, drawn anew in the rare case that two of a column are equal.
        """
        while True:
            keys = self.draw(Spec(Z64, shape)).data
            order = np.argsort(keys, axis=0)
            ranked = np.take_along_axis(keys, order, axis=0)
            if (ranked[1:] != ranked[:-1]).all():
                return order

    def fill(self, out: NDArray) -> None:
        """The next bytes as the elements of ``out``, contiguous memory that is used again and again."""
        if not out.flags.c_contiguous:
            raise ValueError("a stream fills contiguous memory")
        self.position += out.nbytes
        self._fill(out.reshape(-1).view(np.uint8))

    def _fill(self, out: NDArray) -> None:
        n, first = len(out), self._block
        self._block -= -n // 16
        if self._keys is None and not compiled(n):
            view = out.data
            for lo in range(0, n, len(_ZEROS)):
                piece = view[lo : lo + len(_ZEROS)]
                self._cipher.update_into(_ZEROS[: len(piece)], piece)
            self._cipher.update(_ZEROS[: -n % 16])  # of the last block
            return
        from mpc.aes_kernels import stream

        keys, whole = self._round_keys, n - n % 16
        stream(keys, np.uint64(first), out[:whole].view(np.uint64))
        if whole < n:
            last = np.empty(2, np.uint64)
            stream(keys, np.uint64(first + whole // 16), last)
            out[whole:] = last.view(np.uint8)[: n - whole]

    @property
    def _round_keys(self) -> NDArray:
        if self._keys is None:
            from mpc.aes_kernels import expanded

            self._keys = expanded(self._key)
            self._key, self._cipher = b"", None
        return self._keys

    def __reduce__(self) -> NoReturn:
        raise TypeError("a stream has one owner: neither it nor its key is copied")

    def __repr__(self) -> str:
        return f"<Stream at {self.position}>"
