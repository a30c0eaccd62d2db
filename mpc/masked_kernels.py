"""Loops that make masks as they need them, in Numba; each has a plain twin that draws them before, in
``tests/test_masking.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mpc.aes_kernels import AHEAD, stream
from mpc.compiling import njit


@njit(cache=True, boundscheck=False, nogil=True)
def _masks(keys: Any, first: Any, lo: int, n: int, words: Any, out: Any) -> None:
    """Elements lo to lo + n − 1 of a stream, where it is one; lo begins a block."""
    if len(keys):
        size = out.itemsize
        stream(keys, first + np.uint64(lo * size // 16), words[: (n * size + 15) // 16 * 2])


@njit(cache=True, boundscheck=False, nogil=True)
def cross(
    x0: Any, x1: Any, y0: Any, y1: Any, k_plus: Any, first_plus: Any, k_minus: Any, first_minus: Any, out: Any
) -> None:
    """x₀·(y₀ + y₁) + x₁·y₀ + plus − minus."""
    plus_words, minus_words = np.zeros(AHEAD, np.uint64), np.zeros(AHEAD, np.uint64)
    plus, minus = plus_words.view(out.dtype), minus_words.view(out.dtype)
    for lo in range(0, len(out), len(plus)):
        n = min(len(plus), len(out) - lo)
        _masks(k_plus, first_plus, lo, n, plus_words, out)
        _masks(k_minus, first_minus, lo, n, minus_words, out)
        for i in range(n):
            k = lo + i
            out[k] = x0[k] * (y0[k] + y1[k]) + x1[k] * y0[k] + plus[i] - minus[i]


@njit(cache=True, boundscheck=False, nogil=True)
def cross_bits(
    x0: Any, x1: Any, y0: Any, y1: Any, k_plus: Any, first_plus: Any, k_minus: Any, first_minus: Any, out: Any
) -> None:
    """The same of packed bits."""
    plus, minus = np.zeros(AHEAD, np.uint64), np.zeros(AHEAD, np.uint64)
    for lo in range(0, len(out), len(plus)):
        n = min(len(plus), len(out) - lo)
        _masks(k_plus, first_plus, lo, n, plus, out)
        _masks(k_minus, first_minus, lo, n, minus, out)
        for i in range(n):
            k = lo + i
            out[k] = (x0[k] & (y0[k] ^ y1[k])) ^ (x1[k] & y0[k]) ^ plus[i] ^ minus[i]
