"""Gilboa's products for numbers of two words: ``product_kernels.send_products`` and ``receive_products``
modulo 2^128.

Rows, keys and what is sent are words: the lower and the upper one of each number, in turn.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mpc.compiling import njit


@njit(cache=True, boundscheck=False, nogil=True, inline="always")
def _up(lo: Any, hi: Any, n: Any) -> Any:
    """Shifted up by 0 to 127 bits."""
    one, rest = np.uint64(1), np.uint64(63) - (n & np.uint64(63))
    if n & np.uint64(64):
        return np.uint64(0), lo << (n & np.uint64(63))
    return lo << n, (hi << n) | (lo >> one >> rest)


@njit(cache=True, boundscheck=False, nogil=True, inline="always")
def _down(lo: Any, hi: Any, n: Any) -> Any:
    one, rest = np.uint64(1), np.uint64(63) - (n & np.uint64(63))
    if n & np.uint64(64):
        return hi >> (n & np.uint64(63)), np.uint64(0)
    return (lo >> n) | (hi << one << rest), hi >> n


@njit(cache=True, boundscheck=False, nogil=True, inline="always")
def _add(out: Any, j: int, lo: Any, hi: Any) -> None:
    total = out[j] + lo
    out[j + 1] += hi + np.uint64(total < lo)
    out[j] = total


@njit(cache=True, boundscheck=False, nogil=True)
def send_products(
    h0: Any, h1: Any, rows: Any, source: Any, target: Any, bits: int, packed: Any, share: Any
) -> None:
    """d_i = h0_i − h1_i + a modulo 2^(128−i), d_i and d_(bits−i) in one number, and −Σ h0_i·2^i added to the
    share.
    """
    zero = np.uint64(0)
    for e in range(len(source)):
        row, out = rows[source[e]], share[target[e]]
        for i in range(bits):
            x, y, shift = h0[e * bits + i], h1[e * bits + i], np.uint64(i)
            for j in range(0, len(row), 2):
                lo, hi = x[j] - y[j], x[j + 1] - y[j + 1] - np.uint64(x[j] < y[j])
                total = lo + row[j]
                hi += row[j + 1] + np.uint64(total < lo)
                lo, hi = _up(total, hi, shift)  # without what is shifted out of the result
                if 2 * i <= bits:
                    packed[e, i, j], packed[e, i, j + 1] = _down(lo, hi, shift)
                else:
                    word = packed[e, bits - i]
                    word[j], word[j + 1] = word[j] | lo, word[j + 1] | hi
                lo, hi = _up(x[j], x[j + 1], shift)
                _add(out, j, zero - lo, zero - hi - np.uint64(lo != zero))


@njit(cache=True, boundscheck=False, nogil=True)
def receive_products(h: Any, choices: Any, target: Any, bits: int, packed: Any, share: Any) -> None:
    """Σ (h_i + c_i·d_i)·2^i added to the share."""
    for e in range(len(target)):
        out = share[target[e]]
        for i in range(bits):
            at, shift = e * bits + i, np.uint64(i)
            x = h[at]
            chosen = np.uint64(0) - ((choices[at >> 6] >> np.uint64(at & 63)) & np.uint64(1))
            word = packed[e, i if 2 * i <= bits else bits - i]
            for j in range(0, len(out), 2):
                lo, hi = word[j], word[j + 1]
                if 2 * i > bits:
                    lo, hi = _down(lo, hi, shift)
                lo, hi = lo & chosen, hi & chosen
                total = x[j] + lo
                lo, hi = _up(total, x[j + 1] + hi + np.uint64(total < lo), shift)
                _add(out, j, lo, hi)
