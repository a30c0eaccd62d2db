"""The loops of oblivious transfer, in Numba; each has a plain NumPy twin in ``tests/test_ot.py``.

Imported when the first transfer is made.  Matrices of bits are words: row i of n bits is ⌈n/64⌉ words, lowest bit first.
"""
from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from mpc.ring import NDArray

_LANES = 32                                          # bit matrices that are transposed at a time


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


@njit(cache=True, boundscheck=False, nogil=True)
def _swap(x: Any, y: Any, shift: Any, mask: Any) -> None:
    for i in range(len(x)):
        difference = ((x[i] >> shift) ^ y[i]) & mask
        y[i] ^= difference
        x[i] ^= difference << shift


@njit(cache=True, boundscheck=False, nogil=True)
def _rows(columns: Any, out: Any) -> None:
    words = columns.shape[1]
    block = np.empty((64, _LANES), np.uint64)
    for first in range(0, words, _LANES):
        lanes = min(_LANES, words - first)
        for side in range(2):
            for i in range(64):
                for g in range(lanes):
                    block[i, g] = columns[64 * side + i, first + g]
            width, mask = 32, np.uint64(0x00000000FFFFFFFF)
            while width:
                for i in range(0, 64, 2 * width):
                    _swap(block[i:i + width].reshape(-1), block[i + width:i + 2 * width].reshape(-1), np.uint64(width), mask)
                width >>= 1
                mask ^= mask << np.uint64(width)
            for g in range(lanes):
                for i in range(64):
                    out[64 * (first + g) + i, side] = block[i, g]


def rows(columns: NDArray) -> NDArray:
    """128 columns of 64·w bits as 64·w rows of 128 bits: a transposition."""
    out = np.empty((64 * columns.shape[1], 2), np.uint64)
    _rows(columns, out)
    return out


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
