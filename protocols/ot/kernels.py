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
def tweaked(p: Any, first: Any, step: int, each: int, high: Any, blocks: int, out: Any) -> None:
    """out[i·blocks + j] = p[i] ⊕ (number, high + j), where ``each`` rows have the same number, by ``step`` from ``first`` on."""
    for i in range(len(p)):
        low, above = p[i, 0] ^ (first + np.uint64(i // each * step)), p[i, 1] ^ high
        for j in range(blocks):
            out[i * blocks + j, 0] = low
            out[i * blocks + j, 1] = above ^ np.uint64(j)


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
def level_sums(nodes: Any, zeros: Any, ones: Any, out: Any) -> None:
    """Of each tree's nodes the sum of those on either side, masked by the key that whoever walks to the other side chose."""
    for t in range(len(nodes)):
        for w in range(2):
            left, right = ones[t, w], zeros[t, w]
            for y in range(0, nodes.shape[1], 2):
                left ^= nodes[t, y, w]
                right ^= nodes[t, y + 1, w]
            out[t, 0, w], out[t, 1, w] = left, right


@njit(cache=True, boundscheck=False, nogil=True)
def known_children(children: Any, choices: Any, g: int, bit: int, keys: Any, sums: Any, out: Any) -> None:
    """By distance from the path: children of nodes off it, swapped where the path turns right, after the one beside it."""
    for t in range(len(children)):
        at = t * g + bit
        right = np.uint64(0) - ((choices[at >> 6] >> np.uint64(at & 63)) & np.uint64(1))
        for w in range(2):
            beside = keys[t, w] ^ sums[t, 1, w] ^ ((sums[t, 0, w] ^ sums[t, 1, w]) & right)
            for y in range(0, children.shape[1], 2):
                a, b = children[t, y, w], children[t, y + 1, w]
                difference = (a ^ b) & right
                out[t, y + 1, w], out[t, y + 2, w] = a ^ difference, b ^ difference
                beside ^= b ^ difference
            out[t, 0, w] = beside


@njit(cache=True, boundscheck=False, nogil=True)
def stretched(once: Any, first: Any, step: int, wide: int, long: int, short: int, high: Any, out: Any) -> int:
    """Rows ``once`` (elements, digits, leaves, 2) ⊕ (number of the tree, high + j): ``long`` blocks for leaves of the first
    ``wide`` digits, ``short`` ones for the others; returns how many there are."""
    elements, digits, leaves, _ = once.shape
    at = 0
    for e in range(elements):
        for d in range(digits):
            number, blocks = first + np.uint64((e * digits + d) * step), long if d < wide else short
            for x in range(leaves):
                low, above = once[e, d, x, 0] ^ number, once[e, d, x, 1] ^ high
                for j in range(blocks):
                    out[at + j, 0] = low
                    out[at + j, 1] = above ^ np.uint64(j)
                at += blocks
    return at


@njit(cache=True, boundscheck=False, nogil=True)
def _unmask(words: Any, at: int, once: Any, blocks: int) -> None:
    for x in range(len(once)):
        low, high, row = once[x, 0], once[x, 1], words[at + 2 * x * blocks:at + 2 * (x + 1) * blocks]
        for j in range(blocks):
            row[2 * j] ^= low
            row[2 * j + 1] ^= high


@njit(cache=True, boundscheck=False, nogil=True)
def _sums(x: Any, at: int, step: int, first: int, g: int, n: int) -> None:
    """Of leaves from number ``first`` on, ``step`` apart: leaf 2^b becomes the sum of those with bit b, leaf 0 that of all."""
    for b in range(g - 1, -1, -1):
        half = 1 << b
        top = x[at + (half - first) * step:at + (half - first) * step + n]
        if first == 0:
            total = x[at:at + n]
            for j in range(n):
                total[j] += top[j]
        for i in range(1, half):
            lower, upper = x[at + (i - first) * step:at + (i - first) * step + n], x[at + (half + i - first) * step:at + (half + i - first) * step + n]
            for j in range(n):
                lower[j] += upper[j]
                top[j] += upper[j]


@njit(cache=True, boundscheck=False, nogil=True)
def _send_digit(x: Any, at: int, step: int, g: int, d: int, digits: int, width: int, row: Any, packed: Any, out: Any) -> None:
    n, shift = len(row), np.uint64(g * d)
    mask = np.uint64(0xFFFFFFFFFFFFFFFF) >> (np.uint64(64 - width) + shift)
    _sums(x, at, step, 0, g, n)
    total = x[at:at + n]
    if 2 * d <= digits:
        word = packed[d]
        for j in range(n):
            word[j] = (np.uint64(row[j]) - np.uint64(total[j])) & mask
    else:
        word = packed[digits - d]
        for j in range(n):
            word[j] |= ((np.uint64(row[j]) - np.uint64(total[j])) & mask) << shift
    for b in range(g):
        part, weight = x[at + (step << b):at + (step << b) + n], shift + np.uint64(b)
        for j in range(n):
            out[j] += np.uint64(part[j]) << weight


@njit(cache=True, boundscheck=False, nogil=True)
def _receive_digit(x: Any, at: int, step: int, g: int, d: int, digits: int, choice: Any, packed: Any, out: Any) -> None:
    n, shift = len(out), np.uint64(g * d)
    _sums(x, at, step, 1, g, n)
    word, down = (packed[d], np.uint64(0)) if 2 * d <= digits else (packed[digits - d], shift)
    for b in range(g):
        part, weight = x[at + ((1 << b) - 1) * step:at + ((1 << b) - 1) * step + n], shift + np.uint64(b)
        less = ((choice >> np.uint64(b)) & np.uint64(1)) - np.uint64(1)
        more = ~less
        for j in range(n):                          # bits of d that belong to another digit are shifted out
            out[j] += (((np.uint64(part[j]) ^ less) - less) + ((np.uint64(word[j]) >> down) & more)) << weight


@njit(cache=True, boundscheck=False, nogil=True)
def send_products(words: Any, halves: Any, once: Any, lengths: Any, g: int, width: int,
                  rows: Any, source: Any, target: Any, packed: Any, share: Any) -> None:
    """The sender's share of digits times rows, added to it, and what it sends of d modulo 2^(width − g·digit).

    ``words`` are ``stretched`` blocks, ``halves`` the same as words of 32 bits.  Element e takes row ``source[e]`` and adds to
    ``share[target[e]]``.  The d of digits i and ``digits`` − i have ``width`` bits together and share a word.
    """
    elements, digits, leaves, _ = once.shape
    wide, long, short = lengths
    at = 0
    for e in range(elements):
        for d in range(digits):
            blocks = long if d < wide else short
            _unmask(words, at, once[e, d], blocks)
            if d < wide:
                _send_digit(words, at, 2 * blocks, g, d, digits, width, rows[source[e]], packed[e], share[target[e]])
            else:
                _send_digit(halves, 2 * at, 4 * blocks, g, d, digits, width, rows[source[e]], packed[e], share[target[e]])
            at += 2 * blocks * leaves


@njit(cache=True, boundscheck=False, nogil=True)
def receive_products(words: Any, halves: Any, once: Any, lengths: Any, g: int,
                     choices: Any, first: int, target: Any, packed: Any, share: Any) -> None:
    """The chooser's share, added to it; digit d of element e is at bit first + (e·digits + d)·g of the choices."""
    elements, digits, leaves, _ = once.shape
    wide, long, short = lengths
    at, bit = 0, first
    for e in range(elements):
        for d in range(digits):
            blocks = long if d < wide else short
            _unmask(words, at, once[e, d], blocks)
            choice = choices[bit >> 6] >> np.uint64(bit & 63)
            if d < wide:
                _receive_digit(words, at, 2 * blocks, g, d, digits, choice, packed[e], share[target[e]])
            else:
                _receive_digit(halves, 2 * at, 4 * blocks, g, d, digits, choice, packed[e], share[target[e]])
            at += 2 * blocks * leaves
            bit += g


@njit(cache=True, boundscheck=False, nogil=True)
def send_numbers(h0: Any, h1: Any, a: Any, bits: int, packed: Any, share: Any) -> None:
    """Gilboa's sender, of numbers a[e] of ``bits`` bits, keys as words: d_i = h0_i − h1_i + a[e] modulo 2^(bits−i), and
    −Σ h0_i·2^i added to share[e].  d_i and d_(bits−i) have ``bits`` bits together and share a word."""
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
    """Gilboa's receiver: Σ (h_i + c_i·d_i)·2^i added to share[e], where c_i are the bits of choices[e]."""
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
