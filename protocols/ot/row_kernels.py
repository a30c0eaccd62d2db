"""Transfers' rows: folded from trees, turned from columns, hashed against, summed for the check."""

from __future__ import annotations

from typing import Any

import numpy as np

from mpc.compiling import njit
from mpc.ring import NDArray

_LANES = 16  # bit matrices that are transposed at a time


@njit(cache=True, boundscheck=False, nogil=True)
def fold(leaves: Any, columns: Any) -> None:
    """Column b becomes the sum of the leaves whose number has bit b; leaf 0 becomes the sum of all."""
    half = len(leaves) // 2
    for b in range(len(columns) - 1, -1, -1):
        v = columns[b]
        v[:] = 0
        for i in range(half):
            lower, upper = leaves[i], leaves[half + i]
            for j in range(len(v)):
                v[j] ^= upper[j]
                lower[j] ^= upper[j]
        half //= 2


@njit(cache=True, boundscheck=False, nogil=True, inline="always")
def _swap(x: Any, at: int, step: int, shift: Any, mask: Any) -> None:
    """Two of the six steps that transpose 64 × 64 bits, of four rows that lie ``step`` words apart: by
    ``shift`` and by half of it.
    """
    half = shift >> np.uint64(1)
    finer = mask ^ (mask << half)
    for i in range(at, at + 2 * _LANES):
        a, b, c, d = x[i], x[i + step], x[i + 2 * step], x[i + 3 * step]
        t = ((a >> shift) ^ c) & mask
        a, c = a ^ (t << shift), c ^ t
        t = ((b >> shift) ^ d) & mask
        b, d = b ^ (t << shift), d ^ t
        t = ((a >> half) ^ b) & finer
        a, b = a ^ (t << half), b ^ t
        t = ((c >> half) ^ d) & finer
        c, d = c ^ (t << half), d ^ t
        x[i], x[i + step], x[i + 2 * step], x[i + 3 * step] = a, b, c, d


@njit(cache=True, boundscheck=False, nogil=True)
def _rows(columns: Any, out: Any) -> None:
    """As ``mpc.kernels.to_planes`` the other way, for both words of a row at once."""
    words, width = columns.shape[1], 2 * _LANES
    block = np.zeros(64 * width, np.uint64)
    for first in range(0, words, _LANES):
        lanes = min(_LANES, words - first)
        for i in range(64):
            for g in range(lanes):
                block[i * width + g] = columns[i, first + g]
            for g in range(lanes):
                block[i * width + _LANES + g] = columns[64 + i, first + g]
        for i in range(16):
            _swap(block, i * width, 16 * width, np.uint64(32), np.uint64(0x00000000FFFFFFFF))
        for i in range(64):
            if i & 12 == 0:
                _swap(block, i * width, 4 * width, np.uint64(8), np.uint64(0x00FF00FF00FF00FF))
        for i in range(0, 64, 4):
            _swap(block, i * width, width, np.uint64(2), np.uint64(0x3333333333333333))
        for i in range(0, 64, 4):
            for g in range(lanes):
                for j in range(i, i + 4):
                    out[64 * (first + g) + j, 0] = block[j * width + g]
                    out[64 * (first + g) + j, 1] = block[j * width + _LANES + g]


def rows(columns: NDArray) -> NDArray:
    """128 columns of 64·w bits as 64·w rows of 128 bits: a transposition."""
    out = np.empty((64 * columns.shape[1], 2), np.uint64)
    _rows(columns, out)
    return out


@njit(cache=True, boundscheck=False, nogil=True)
def shifted(rows: Any, plus: Any, out: Any) -> None:
    """out[i] = rows[i] ⊕ plus."""
    low, high = plus[0], plus[1]
    for i in range(len(rows)):
        out[i, 0] = rows[i, 0] ^ low
        out[i, 1] = rows[i, 1] ^ high


@njit(cache=True, boundscheck=False, nogil=True)
def added(p: Any, x: Any) -> None:
    """p[i] ⊕= x[i]."""
    for i in range(len(x)):
        p[i, 0] ^= x[i, 0]
        p[i, 1] ^= x[i, 1]


@njit(cache=True, boundscheck=False, nogil=True)
def low_words(p: Any, x: Any, out: Any) -> None:
    """out[i] = the lower word of p[i] ⊕ x[i]."""
    for i in range(len(out)):
        out[i] = p[i, 0] ^ x[i, 0]


@njit(cache=True, boundscheck=False, nogil=True)
def tweaked(p: Any, first: Any, blocks: int, out: Any) -> None:
    """out[i·blocks + j] = p[i] ⊕ (first + i, j)."""
    for i in range(len(p)):
        low, high = p[i, 0] ^ (first + np.uint64(i)), p[i, 1]
        for j in range(blocks):
            out[i * blocks + j, 0] = low
            out[i * blocks + j, 1] = high ^ np.uint64(j)


@njit(cache=True, boundscheck=False, nogil=True)
def unmasked(q: Any, p: Any, blocks: int) -> None:
    """q[i·blocks + j] ⊕= p[i]."""
    for i in range(len(p)):
        low, high = p[i, 0], p[i, 1]
        for j in range(blocks):
            q[i * blocks + j, 0] ^= low
            q[i * blocks + j, 1] ^= high


@njit(cache=True, boundscheck=False, nogil=True)
def add_masked(columns: Any, differences: Any, masks: Any) -> None:
    """columns[c] ⊕= differences of its tree & masks[c]."""
    k = len(columns) // len(differences)
    for c in range(len(columns)):
        column, difference, mask = columns[c], differences[c // k], masks[c]
        for j in range(len(column)):
            column[j] ^= difference[j] & mask


@njit(cache=True, boundscheck=False, nogil=True)
def random_sums(columns: Any, sums: Any) -> Any:
    """Bit i of out[c]: the parity of columns[c] & sums[i], over the words that ``sums`` has."""
    out = np.zeros(len(columns), np.uint64)
    words = sums.shape[1]
    for c in range(len(columns)):
        column = columns[c]
        for i in range(64):
            row, total = sums[i], np.uint64(0)
            for j in range(words):
                total ^= row[j] & column[j]
            for shift in (32, 16, 8, 4, 2, 1):
                total ^= total >> np.uint64(shift)
            out[c] |= (total & np.uint64(1)) << np.uint64(i)
    return out
