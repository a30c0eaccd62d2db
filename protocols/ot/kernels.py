"""The loops of oblivious transfer, in Numba; each has a plain NumPy twin in ``tests/test_ot.py``.

Imported when the first transfer is made.  Matrices of bits are words: row i of n bits is ⌈n/64⌉ words, lowest bit first.
"""
from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from mpc.ring import NDArray

_LANES = 16                                          # bit matrices that are transposed at a time
_TILE = 64                                           # words of each leaf that are folded at a time, in the L1 cache


@njit(cache=True, boundscheck=False, nogil=True)
def fold(leaves: Any, columns: Any, total: Any) -> None:
    """Column b becomes the sum of the leaves whose number has bit b, ``total`` that of all; uses up the leaves."""
    words = leaves.shape[1]
    for lo in range(0, words, _TILE):
        hi = min(words, lo + _TILE)
        half = len(leaves) // 2
        for b in range(len(columns) - 1, -1, -1):
            v = columns[b, lo:hi]
            v[:] = 0
            for i in range(half):
                lower, upper = leaves[i, lo:hi], leaves[half + i, lo:hi]
                for j in range(hi - lo):
                    v[j] ^= upper[j]
                    lower[j] ^= upper[j]
            half //= 2
        total[lo:hi] = leaves[0, lo:hi]


@njit(cache=True, boundscheck=False, nogil=True, inline="always")
def _swap(x: Any, at: int, step: int, shift: Any, mask: Any) -> None:
    """Two of the six steps that transpose 64 × 64 bits, of four rows that lie ``step`` words apart: by ``shift`` and by half of it."""
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


@njit(cache=True, boundscheck=False, nogil=True)
def send_products(h0: Any, h1: Any, rows: Any, source: Any, target: Any, bits: int, width: int, packed: Any, share: Any) -> None:
    """Gilboa's sender: what it sends of d_i = h0_i − h1_i + a modulo 2^(width−i), and −Σ h0_i·2^i added to its share.

    Element e takes row ``source[e]`` and adds to ``share[target[e]]``; transfers e·bits + i, i < bits, are its own.
    d_i and d_(bits−i) have ``bits`` bits together and share a word.
    """
    for e in range(len(source)):
        row, out = rows[source[e]], share[target[e]]
        for i in range(bits):
            x, y = h0[e * bits + i], h1[e * bits + i]
            shift, mask = np.uint64(i), np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - width + i)
            if 2 * i <= bits:
                word = packed[e, i]
                for j in range(len(row)):
                    word[j] = (x[j] - y[j] + row[j]) & mask
            else:
                word = packed[e, bits - i]
                for j in range(len(row)):
                    word[j] |= ((x[j] - y[j] + row[j]) & mask) << shift
            for j in range(len(row)):
                out[j] -= x[j] << shift


@njit(cache=True, boundscheck=False, nogil=True)
def receive_products(h: Any, choices: Any, target: Any, bits: int, width: int, packed: Any, share: Any) -> None:
    """Gilboa's receiver: Σ (h_i + c_i·d_i)·2^i added to its share; bit i of element e's choice is bit e·bits + i of all."""
    for e in range(len(target)):
        out = share[target[e]]
        for i in range(bits):
            at = e * bits + i
            x, shift = h[at], np.uint64(i)
            mask = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - width + i)
            chosen = np.uint64(0) - ((choices[at >> 6] >> np.uint64(at & 63)) & np.uint64(1))
            if 2 * i <= bits:
                word = packed[e, i]
                for j in range(len(out)):
                    out[j] += (x[j] + ((word[j] & mask) & chosen)) << shift
            else:
                word = packed[e, bits - i]
                for j in range(len(out)):
                    out[j] += (x[j] + ((word[j] >> shift) & chosen)) << shift


@njit(cache=True, boundscheck=False, nogil=True)
def send_numbers(h0: Any, h1: Any, a: Any, bits: int, packed: Any, share: Any) -> None:
    """``send_products`` for one number a[e] each, of ``bits`` bits, whose result is share[e]; keys are words."""
    d = np.empty(bits, np.uint64)
    for e in range(len(a)):
        x, y, word = h0[e * bits:(e + 1) * bits], h1[e * bits:(e + 1) * bits], packed[e]
        number, total = np.uint64(a[e]), np.uint64(0)
        for i in range(bits):
            d[i] = x[i] - y[i] + number
            total += x[i] << np.uint64(i)
        word[0] = d[0]
        for i in range(1, bits // 2):
            mask = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - bits + i)
            word[i] = (d[i] & mask) | (d[bits - i] << np.uint64(bits - i))
        word[bits // 2] = d[bits // 2] & (np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - bits // 2))
        share[e] -= total


@njit(cache=True, boundscheck=False, nogil=True)
def receive_numbers(h: Any, choices: Any, bits: int, packed: Any, share: Any) -> None:
    """``receive_products`` for ``send_numbers``; choices are numbers."""
    for e in range(len(choices)):
        x, word = h[e * bits:(e + 1) * bits], packed[e]
        number, total = np.uint64(choices[e]), np.uint64(0)
        for i in range(bits):
            total += x[i] << np.uint64(i)
        for i in range(bits // 2 + 1):               # what d_i has too many of is shifted out
            total += (np.uint64(word[i]) << np.uint64(i)) & (np.uint64(0) - ((number >> np.uint64(i)) & np.uint64(1)))
        for i in range(bits // 2 + 1, bits):
            d = np.uint64(word[bits - i]) >> np.uint64(i) << np.uint64(i)
            total += d & (np.uint64(0) - ((number >> np.uint64(i)) & np.uint64(1)))
        share[e] += total


@njit(cache=True, boundscheck=False, nogil=True)
def send_ands(h0: Any, h1: Any, a: Any, packed: Any, share: Any) -> None:
    """The same for one bit per transfer: 64 to a word."""
    one = np.uint64(1)
    for e in range(len(a)):
        low, other = np.uint64(0), np.uint64(0)
        for i in range(64):
            low |= (h0[64 * e + i] & one) << np.uint64(i)
            other |= (h1[64 * e + i] & one) << np.uint64(i)
        packed[e] = low ^ other ^ a[e]
        share[e] ^= low


@njit(cache=True, boundscheck=False, nogil=True)
def receive_ands(h: Any, choices: Any, packed: Any, share: Any) -> None:
    one = np.uint64(1)
    for e in range(len(choices)):
        mine = np.uint64(0)
        for i in range(64):
            mine |= (h[64 * e + i] & one) << np.uint64(i)
        share[e] ^= mine ^ (packed[e] & choices[e])


@njit(cache=True, boundscheck=False, nogil=True)
def set_switches(order: Any, bits: Any) -> None:
    """The bits (layers, n/2) of a Beneš network that gives out[i] = in[order[i]]; uses up ``order``."""
    n = len(order)
    layers = len(bits)
    inverse, lower, halves = np.empty(n, np.int64), np.empty(n, np.uint8), np.empty(n, np.int64)
    size, layer = n, 0
    while size > 2:
        half = size // 2
        for start in range(0, n, size):
            p, back, side = order[start:start + size], inverse[start:start + size], lower[start:start + size]
            for i in range(size):
                back[p[i]] = i
                side[i] = 2                         # not known yet
            for first in range(size):
                out = first
                while side[out] == 2:               # around a loop: this output from above, its input's neighbour below
                    side[out] = 0
                    out = back[p[out] ^ 1]
                    side[out] = 1
                    out ^= 1
            for j in range(half):
                swapped = side[2 * j]
                bits[layers - 1 - layer, start // 2 + j] = swapped
                above, below = p[2 * j + swapped], p[2 * j + 1 - swapped]
                bits[layer, start // 2 + above // 2] = above & 1
                halves[start + j], halves[start + half + j] = above // 2, below // 2
        order[:] = halves
        size, layer = half, layer + 1
    for start in range(0, n, 2):
        bits[layer, start // 2] = order[start]
