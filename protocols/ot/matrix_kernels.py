"""Products of matrices from trees of four leaves: a tree for two transfers."""

from __future__ import annotations

from typing import Any

import numpy as np

from mpc.compiling import njit


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
