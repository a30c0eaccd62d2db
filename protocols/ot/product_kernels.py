"""Products, numbers and ANDs of what transfers' keys hide."""

from __future__ import annotations

from typing import Any

import numpy as np

from mpc.compiling import njit


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
