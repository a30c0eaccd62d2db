"""The loops of oblivious transfer, in Numba; each has a plain NumPy twin in ``tests/test_ot.py``.

Imported when the first transfer is made.  Matrices of bits are words: row i of n bits is ⌈n/64⌉ words, lowest
bit first."""

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


@njit(cache=True, boundscheck=False, nogil=True)
def send_products(
    h0: Any, h1: Any, rows: Any, source: Any, target: Any, bits: int, width: int, packed: Any, share: Any
) -> None:
    """Gilboa's sender: what it sends of d_i = h0_i − h1_i + a modulo 2^(width−i), and −Σ h0_i·2^i added to
    its share.

    Element e takes row ``source[e]`` and adds to ``share[target[e]]``; transfers e·bits + i, i < bits, are
    its own.  d_i and d_(bits−i) have ``bits`` bits together and share a word.
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
def receive_products(
    h: Any, choices: Any, target: Any, bits: int, width: int, packed: Any, share: Any
) -> None:
    """Gilboa's receiver: Σ (h_i + c_i·d_i)·2^i added to its share; bit i of element e's choice is bit e·bits
    + i of all.
    """
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
    """Gilboa's sender, of numbers a[e] of ``bits`` bits, keys as words: d_i = h0_i − h1_i + a[e] modulo
    2^(bits−i), and −Σ h0_i·2^i added to share[e].  d_i and d_(bits−i) have ``bits`` bits together and share a
    word."""
    d = np.empty(bits, np.uint64)
    for e in range(len(a)):
        x, y, word = h0[e * bits : (e + 1) * bits], h1[e * bits : (e + 1) * bits], packed[e]
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
        x, word = h[e * bits : (e + 1) * bits], packed[e]
        number, total = np.uint64(choices[e]), np.uint64(0)
        for i in range(bits):
            total += x[i] << np.uint64(i)
        for i in range(bits // 2 + 1):  # what d_i has too many of is shifted out
            total += (np.uint64(word[i]) << np.uint64(i)) & (
                np.uint64(0) - ((number >> np.uint64(i)) & np.uint64(1))
            )
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
def side_sums(leaves: Any, zeros: Any, ones: Any, out: Any) -> None:
    """Of each four leaves the sums of the left and of the right ones, masked by the key of who walks to the
    other side.
    """
    for t in range(len(leaves)):
        for w in range(2):
            out[t, 0, w] = leaves[t, 0, w] ^ leaves[t, 2, w] ^ ones[t, w]
            out[t, 1, w] = leaves[t, 1, w] ^ leaves[t, 3, w] ^ zeros[t, w]


@njit(cache=True, boundscheck=False, nogil=True)
def known_leaves(children: Any, choices: Any, keys: Any, sums: Any, out: Any) -> None:
    """Of four leaves those at distances 1, 2, 3 from the missing one: the two children that are known,
    swapped where the path goes right, after the one beside it, which the sum gives.  Tree t walks by bit 2·t
    of the choices."""
    for t in range(len(children)):
        right = np.uint64(0) - ((choices[t >> 5] >> np.uint64(2 * (t & 31))) & np.uint64(1))
        for w in range(2):
            a, b = children[t, 0, w], children[t, 1, w]
            swap = (a ^ b) & right
            out[t, 0, w] = b ^ swap ^ keys[t, w] ^ sums[t, 1, w] ^ ((sums[t, 0, w] ^ sums[t, 1, w]) & right)
            out[t, 1, w], out[t, 2, w] = a ^ swap, b ^ swap


@njit(cache=True, boundscheck=False, nogil=True)
def stretched(once: Any, first: Any, wide: int, long: int, short: int, high: Any, out: Any) -> int:
    """Rows ``once`` (elements, digits, leaves, 2) ⊕ (number of the tree, two for each, high + j), j <
    ``long`` for leaves of the first ``wide`` digits, j < ``short`` for the others; returns how many words
    there are."""
    elements, digits, leaves, _ = once.shape
    at = 0
    for e in range(elements):
        for d in range(digits):
            number, words = first + np.uint64(2 * (e * digits + d)), 2 * long if d < wide else 2 * short
            for x in range(leaves):
                low, other = once[e, d, x, 0] ^ number, once[e, d, x, 1] ^ high
                other ^= low
                part = out[at : at + words]
                for j in range(words):  # low, high in turn
                    odd = np.uint64(0) - np.uint64(j & 1)
                    part[j] = low ^ ((other ^ np.uint64(j >> 1)) & odd)
                at += words
    return at


@njit(cache=True, boundscheck=False, nogil=True, inline="always")
def _lanes(once: Any, wide: bool) -> Any:
    """The row as two words, twice, or as four halves of words."""
    half, by = np.uint64(0xFFFFFFFF), np.uint64(32)
    if wide:
        return once[0], once[1], once[0], once[1]
    return once[0] & half, once[0] >> by, once[1] & half, once[1] >> by


@njit(cache=True, boundscheck=False, nogil=True)
def _mask_row(
    x: Any, size: int, once: Any, wide: bool, row: Any, word: Any, keep: Any, up: Any, mask: Any
) -> None:
    """``word`` keeps what ``keep`` says and gets the row less all leaves' rows, shifted up and masked."""
    c0, c1, c2, c3 = _lanes(once[0], wide)
    for i in range(1, 4):
        e0, e1, e2, e3 = _lanes(once[i], wide)
        c0, c1, c2, c3 = c0 + e0, c1 + e1, c2 + e2, c3 + e3
    by1, by2, by3 = c0 ^ c1, c0 ^ c2, c0 ^ c1 ^ c2 ^ c3
    n = len(row)
    x0, x1, x2, x3 = x[:n], x[size : size + n], x[2 * size : 2 * size + n], x[3 * size : 3 * size + n]
    for j in range(n):
        odd, two = np.uint64(0) - np.uint64(j & 1), np.uint64(0) - np.uint64(j >> 1 & 1)
        total = np.uint64(x0[j]) + np.uint64(x1[j]) + np.uint64(x2[j]) + np.uint64(x3[j])
        total += c0 ^ (by1 & odd) ^ ((by2 ^ (by3 & odd)) & two)
        word[j] = (word[j] & keep) | (((np.uint64(row[j]) - total) << up) & mask)


@njit(cache=True, boundscheck=False, nogil=True)
def _add_rows(x: Any, size: int, once: Any, wide: bool, shift: Any, out: Any, late: Any) -> None:
    """Σ x·P_x, shifted, into ``out``, but for what its lanes lack: that into ``late``."""
    n, one = len(out), np.uint64(1)
    x1, x2, x3 = x[size : size + n], x[2 * size : 2 * size + n], x[3 * size : 3 * size + n]
    for j in range(n):
        both = np.uint64(x3[j])
        out[j] += (np.uint64(x1[j]) + both + ((np.uint64(x2[j]) + both) << one)) << shift
    a, b, c = _lanes(once[1], wide), _lanes(once[2], wide), _lanes(once[3], wide)
    for i in range(4):
        late[i] += (a[i] + c[i] + ((b[i] + c[i]) << one)) << shift


@njit(cache=True, boundscheck=False, nogil=True)
def _add_chosen(
    x: Any,
    size: int,
    once: Any,
    wide: bool,
    shift: Any,
    choice: Any,
    word: Any,
    down: Any,
    out: Any,
    late: Any,
) -> None:
    """Σ ±2^b·S_b + Δ·d, shifted, likewise; leaves are those at distances 1, 2, 3.  Bits of d that are
    another's are shifted out.
    """
    n, one = len(out), np.uint64(1)
    m0, m1 = np.uint64(0) - (choice & one), np.uint64(0) - (choice >> one & one)
    l0, l1 = ~m0, ~m1
    x1, x2, x3 = x[:n], x[size : size + n], x[2 * size : 2 * size + n]
    for j in range(n):
        both, d = np.uint64(x3[j]), np.uint64(word[j]) >> down
        lower = ((np.uint64(x1[j]) + both) ^ l0) - l0 + (d & m0)
        upper = ((np.uint64(x2[j]) + both) ^ l1) - l1 + (d & m1)
        out[j] += (lower + (upper << one)) << shift
    a, b, c = _lanes(once[0], wide), _lanes(once[1], wide), _lanes(once[2], wide)
    for i in range(4):
        late[i] += (((a[i] + c[i]) ^ l0) - l0 + ((((b[i] + c[i]) ^ l1) - l1) << one)) << shift


@njit(cache=True, boundscheck=False, nogil=True)
def _finish(out: Any, late: Any) -> None:
    for j in range(len(out)):
        out[j] += late[j & 3]
    late[:] = 0


@njit(cache=True, boundscheck=False, nogil=True)
def send_rows(
    words: Any,
    halves: Any,
    once: Any,
    lengths: Any,
    width: int,
    rows: Any,
    source: Any,
    target: Any,
    packed: Any,
    share: Any,
) -> None:
    """The sender's share of digits of two bits times rows, added to it, and what it sends of d modulo
    2^(width − 2·digit).

    ``words`` are ``stretched`` rows, ``halves`` the same as words of 32 bits.  Element e takes row
    ``source[e]`` and adds to ``share[target[e]]``.  The d of digits i and ``digits`` − i have ``width`` bits
    together and share a word."""
    elements, digits, leaves, _ = once.shape
    wide, long, short = lengths
    every, none = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0)
    at, late = 0, np.zeros(4, np.uint64)
    for e in range(elements):
        row, out = rows[source[e]], share[target[e]]
        for d in range(digits):
            shift = np.uint64(2 * d)
            keep, up, mask, word = (
                none,
                none,
                every >> (np.uint64(64 - width) + shift),
                packed[e, min(d, digits - d)],
            )
            if 2 * d > digits:
                keep, up, mask = every, shift, every
            if d < wide:
                _mask_row(words[at:], 2 * long, once[e, d], True, row, word, keep, up, mask)
                _add_rows(words[at:], 2 * long, once[e, d], True, shift, out, late)
                at += 2 * long * leaves
            else:
                _mask_row(halves[2 * at :], 4 * short, once[e, d], False, row, word, keep, up, mask)
                _add_rows(halves[2 * at :], 4 * short, once[e, d], False, shift, out, late)
                at += 2 * short * leaves
        _finish(out, late)


@njit(cache=True, boundscheck=False, nogil=True)
def receive_rows(
    words: Any,
    halves: Any,
    once: Any,
    lengths: Any,
    choices: Any,
    first: int,
    target: Any,
    packed: Any,
    share: Any,
) -> None:
    """The chooser's share, added to it; digit d of element e is at bits first + 2·(e·digits + d) and the next
    of the choices.
    """
    elements, digits, leaves, _ = once.shape
    wide, long, short = lengths
    at, bit, late = 0, first, np.zeros(4, np.uint64)
    for e in range(elements):
        out = share[target[e]]
        for d in range(digits):
            shift, choice, word = (
                np.uint64(2 * d),
                choices[bit >> 6] >> np.uint64(bit & 63),
                packed[e, min(d, digits - d)],
            )
            down = shift if 2 * d > digits else np.uint64(0)
            if d < wide:
                _add_chosen(words[at:], 2 * long, once[e, d], True, shift, choice, word, down, out, late)
                at += 2 * long * leaves
            else:
                _add_chosen(
                    halves[2 * at :], 4 * short, once[e, d], False, shift, choice, word, down, out, late
                )
                at += 2 * short * leaves
            bit += 2
        _finish(out, late)


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
            p, back, side = (
                order[start : start + size],
                inverse[start : start + size],
                lower[start : start + size],
            )
            for i in range(size):
                back[p[i]] = i
                side[i] = 2  # not known yet
            for first in range(size):
                out = first
                # around a loop: this output from above, its input's neighbour below
                while side[out] == 2:
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
