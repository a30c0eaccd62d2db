"""The loops of this package in Numba; each has a plain NumPy twin in ``tests/test_dp_kernels.py``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mpc.compiling import njit

Array = npt.NDArray[Any]

#: Numbers that are looked up side by side, so that their memory accesses overlap.
LANES = 32


@njit(cache=True, boundscheck=False, nogil=True)
def _search(floors: Any, words: Any, out: Any) -> int:
    undecided = 0
    at = np.empty(LANES, np.int64)
    n = len(words)
    for lo in range(0, n, LANES):
        size = min(LANES, n - lo)
        for i in range(size):
            at[i] = 0
        step = (len(floors) + 1) >> 1
        while step:
            for i in range(size):
                at[i] += step if floors[at[i] + step - 1] < words[lo + i] else 0
            step >>= 1
        for i in range(size):
            out[lo + i] = at[i]
            undecided += floors[at[i]] == words[lo + i]
    return undecided


def search(floors: Array, words: Array, out: Array) -> int:
    """How many entries of the sorted ``floors`` (2^s − 1 of them) lie below each word; returns how many words
    equal an entry.

    Every word takes s steps, without a branch on what is compared; but which entries are read depends on the
    word."""
    return int(_search(floors, words, out))


@njit(cache=True, boundscheck=False, nogil=True)
def _round(x: Any, factor: float, peak: float, words: Any, out: Any) -> Any:
    squares = np.int64(0)
    for i in range(len(x)):
        y = min(max(x[i] * factor, -peak), peak)
        whole = np.floor(y)
        fraction = min(y - whole, 1.0 - 2.0**-53)  # y − ⌊y⌋ may round to 1
        k = np.int64(whole) + np.int64(words[i] < np.uint64(fraction * 2.0**64))
        out[i] = k
        squares += k * k
    return squares


def round_at_random(x: Array, factor: float, peak: float, words: Array, out: Array) -> int:
    """Round factor·x, cut off at ±peak, to a neighbouring integer that is right on average; returns the sum
    of the squares.
    """
    return int(_round(x, factor, peak, words, out))


@njit(cache=True, boundscheck=False, nogil=True)
def _squares(x: Any) -> float:
    a = b = c = d = 0.0
    whole = len(x) - len(x) % 4
    for i in range(0, whole, 4):  # four sums, which do not wait for each other
        p, q, r, s = np.float64(x[i]), np.float64(x[i + 1]), np.float64(x[i + 2]), np.float64(x[i + 3])
        a += p * p
        b += q * q
        c += r * r
        d += s * s
    for i in range(whole, len(x)):
        a += np.float64(x[i]) ** 2
    return a + b + c + d


def squares(x: Array) -> float:
    """Σ x², in double precision also for single-precision numbers."""
    return float(_squares(x))


#: Butterflies up to this size are done while a block is in the first-level cache.
BLOCK = 1 << 11


@njit(cache=True, boundscheck=False, nogil=True)
def _hadamard(x: Any) -> None:
    n = len(x)
    block = min(n, BLOCK)
    for lo in range(0, n, block):
        part = x[lo : lo + block]
        h = 1
        while h < block:
            for i in range(0, block, 2 * h):
                for j in range(i, i + h):
                    a, b = part[j], part[j + h]
                    part[j], part[j + h] = a + b, a - b
            h *= 2
    h = block
    while 2 * h < n:  # two levels in one pass over the memory
        for i in range(0, n, 4 * h):
            for j in range(i, i + h):
                a, b, c, d = x[j], x[j + h], x[j + 2 * h], x[j + 3 * h]
                p, q, r, s = a + b, a - b, c + d, c - d
                x[j], x[j + h], x[j + 2 * h], x[j + 3 * h] = p + r, q + s, p - r, q - s
        h *= 4
    if h < n:
        for j in range(h):
            a, b = x[j], x[j + h]
            x[j], x[j + h] = a + b, a - b


def hadamard(x: Array) -> None:
    """Multiply 2^k numbers by the Walsh–Hadamard matrix H[i, j] = (−1)^popcount(i & j), in place."""
    _hadamard(x)


#: Words of a block of cells that is looked up while it is in the second-level cache.
COLUMNS = 64


@njit(cache=True, boundscheck=False, nogil=True)
def _lookup(rows: Any, cells: Any, out: Any) -> None:
    for lo in range(0, cells.shape[1], COLUMNS):
        hi = min(lo + COLUMNS, cells.shape[1])
        for b in range(rows.shape[0]):
            for i in range(rows.shape[1]):
                if rows[b, i]:  # a public table
                    for c in range(lo, hi):
                        out[b, c] ^= cells[i, c]


def lookup(rows: Array, cells: Array) -> Array:
    """For each row of bits the exclusive or of the cells (words, along the first axis) where it has a 1."""
    out = np.zeros((len(rows), *cells.shape[1:]), np.uint64)
    _lookup(rows, np.ascontiguousarray(cells).reshape(len(cells), -1), out.reshape(len(rows), -1))
    return out
