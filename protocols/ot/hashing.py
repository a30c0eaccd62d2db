"""A hash from rows of 128 bits to pads: what makes a correlated oblivious transfer a random one.

    H(i, j; x) = π(π(x) ⊕ (i, j)) ⊕ π(x)    π = AES-128 with a fixed public key, j = 0, 1, … for longer pads
    G(i, j; x) = π(π(x) ⊕ (i, j)) + π(x)    + in words of a ring: for rows of leaves that are added (``vole``)
    h(x)       = π(x) ⊕ x                   or a word of it, where nobody departs from the protocol

Threat   where π is an ideal permutation: H is tweakable circular correlation robust, and no i is used twice
         in a session (but for the seeds of a tree, which have its number i and are no more alike than any); h
         is correlation robust, which is enough against semi-honest parties, whose rows are all different but
         for 2^−128 chances.  G is H with another group's sum at the end: whoever lacks π(x) can undo π no
         more than there.  In numbers: against q rows under one Δ and p calls of π the advantage is about p·q
         / 2^127, as for every hash whose key is fixed; 10^9 transfers leave some 2^97.
Cost     1 + j calls of AES per row; of h one.
Source   TMMO and MMO: Guo, Katz, Wang, Yu, IEEE S&P 2020, ePrint 2019/074, sections 7.4 and 7.2.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mpc.ring import NDArray

#: The upper half of j: 0 for pads, these for trees.
_CHILDREN, _ROWS = 1, 2

#: Rows of pads made at a time: they stay in the L2 cache.
_PIECE = 1 << 13


class Hash:
    """H for one session: its key is public, and another one in each session."""

    def __init__(self, context: bytes) -> None:
        self.key = blake2b(context, digest_size=16, person=b"mpc/1 OT hash").digest()
        self._cipher = Cipher(algorithms.AES(self.key), modes.ECB()).encryptor()
        self._round_keys: NDArray | None = None

    @property
    def _keys(self) -> NDArray:
        """Of all rounds."""
        from mpc import aes_kernels

        if self._round_keys is None:
            self._round_keys = aes_kernels.expanded(self.key)
        return self._round_keys

    def pads(self, rows: NDArray, first: int, blocks: int = 1, plus: NDArray | None = None) -> NDArray:
        """Rows (n, 2), each plus ``plus``, with numbers from ``first`` on, as pads (n, 2·blocks)."""
        from protocols.ot import row_kernels

        n = len(rows)
        out = np.empty((n * blocks + 1, 2), np.uint64)
        step = max(1, _PIECE // blocks)
        once, twice, buffer = (np.empty((size, 2), np.uint64) for size in (step + 1, step * blocks, step))
        for lo in range(0, n, step):
            hi = min(n, lo + step)
            p, q = once[: hi - lo], twice[: (hi - lo) * blocks]
            self._permute(_plus(rows[lo:hi], plus, buffer), once)
            row_kernels.tweaked(p, np.uint64(first + lo), blocks, q)
            self._permute(q, out[lo * blocks : hi * blocks + 1])
            row_kernels.unmasked(out[lo * blocks : hi * blocks], p, blocks)
        return out[:-1].reshape(n, 2 * blocks)

    def children(self, seeds: NDArray, first: int) -> NDArray:
        """Two of each seed by H, (n, c, 2) as (n, 2c, 2),
        of trees with every other number from ``first`` on.
        """
        from protocols.ot import matrix_kernels, row_kernels

        n, c, _ = seeds.shape
        once, out = self.once(seeds), np.empty(4 * n * c + 2, np.uint64)
        matrix_kernels.stretched(
            once.reshape(n, 1, c, 2), np.uint64(first), 1, 2, 0, np.uint64(_CHILDREN << 32), out
        )
        self._permute(out[:-2], out)
        row_kernels.unmasked(out[:-2].reshape(-1, 2), once.reshape(-1, 2), 2)
        return out[:-2].reshape(n, 2 * c, 2)

    def once(self, rows: NDArray) -> NDArray:
        """π of rows, in the same shape."""
        out = np.empty((rows.size // 2 + 1, 2), np.uint64)
        self._permute(rows, out)
        return out[:-1].reshape(rows.shape)

    def stretched(self, once: NDArray, first: int, lengths: tuple[int, int, int], out: NDArray) -> NDArray:
        """The rows of leaves, π(x) still to be added: see ``matrix_kernels.stretched``.

        ``out`` has room for them and a block.
        """
        from protocols.ot import matrix_kernels

        words = matrix_kernels.stretched(once, np.uint64(first), *lengths, np.uint64(_ROWS << 32), out)
        self._permute(out[:words], out)
        return out[:words]

    def keys(self, rows: NDArray, plus: NDArray | None = None) -> NDArray:
        """h of rows (n, 2), each plus ``plus``."""
        from mpc import aes_kernels
        from protocols.ot import row_kernels

        if aes_kernels.THERE:
            out = np.empty((len(rows), 2), np.uint64)
            aes_kernels.hashed(self._keys, _flat(rows), *_or_nothing(plus), out.reshape(-1))
            return out
        out, buffer = np.empty((len(rows) + 1, 2), np.uint64), np.empty((_PIECE, 2), np.uint64)
        for lo in range(0, len(rows), _PIECE):
            x = _plus(rows[lo : lo + _PIECE], plus, buffer)
            self._permute(x, out[lo : lo + len(x) + 1])
            row_kernels.added(out[lo : lo + len(x)], x)
        return out[:-1]

    def words(self, rows: NDArray, plus: NDArray | None = None) -> NDArray:
        """The lower words (n,) of h of rows (n, 2), each plus ``plus``."""
        from mpc import aes_kernels
        from protocols.ot import row_kernels

        out = np.empty(len(rows), np.uint64)
        if aes_kernels.THERE:
            aes_kernels.hashed_words(self._keys, _flat(rows), *_or_nothing(plus), out)
            return out
        permuted, buffer = np.empty((_PIECE + 1, 2), np.uint64), np.empty((_PIECE, 2), np.uint64)
        for lo in range(0, len(rows), _PIECE):
            x = _plus(rows[lo : lo + _PIECE], plus, buffer)
            self._permute(x, permuted)
            row_kernels.low_words(permuted, x, out[lo : lo + _PIECE])
        return out

    def _permute(self, x: NDArray, out: NDArray) -> None:
        self._cipher.update_into(
            np.ascontiguousarray(x).reshape(-1).view(np.uint8).data, out.reshape(-1).view(np.uint8).data
        )


def _flat(rows: NDArray) -> NDArray:
    return np.ascontiguousarray(rows).reshape(-1)


def _or_nothing(plus: NDArray | None) -> tuple[np.uint64, np.uint64]:
    return (np.uint64(0), np.uint64(0)) if plus is None else (plus[0], plus[1])


def _plus(rows: NDArray, plus: NDArray | None, buffer: NDArray) -> NDArray:
    """rows ⊕ plus, in the buffer."""
    from protocols.ot import row_kernels

    if plus is None:
        return rows
    row_kernels.shifted(rows, plus, buffer[: len(rows)])
    return buffer[: len(rows)]
