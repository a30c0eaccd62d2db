"""The loops of this package in Numba; each has a plain NumPy twin in ``tests/test_dp_kernels.py``."""
from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

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
    """How many entries of the sorted ``floors`` (2^s − 1 of them) lie below each word; returns how many words equal an entry.

    Every word takes s steps, without a branch on what is compared; but which entries are read depends on the word.
    """
    return int(_search(floors, words, out))
