"""Strassen's product of matrices over any ring: seven products of half the size instead of eight.

Source   Strassen, Gaussian elimination is not optimal, Numerische Mathematik 13 (1969).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

NDArray = npt.NDArray[Any]

#: Sums of quadrants, in the order 11, 12, 21, 22, that are multiplied, and the quadrants of the result from
#: the seven products.
LEFT = ((1, 0, 0, 1), (0, 0, 1, 1), (1, 0, 0, 0), (0, 0, 0, 1), (1, 1, 0, 0), (-1, 0, 1, 0), (0, 1, 0, -1))
RIGHT = ((1, 0, 0, 1), (1, 0, 0, 0), (0, 1, 0, -1), (-1, 0, 1, 0), (0, 0, 0, 1), (1, 1, 0, 0), (0, 0, 1, 1))
_RESULT = ((1, 0, 0, 1, -1, 0, 1), (0, 0, 1, 0, 1, 0, 0), (0, 1, 0, 1, 0, 0, 0), (1, -1, 1, 0, 0, 1, 0))


def factors(x: NDArray, sums: Sequence[Sequence[int]]) -> NDArray:
    """Stacks (s, m, n) of matrices as (7·s, m/2, n/2): the first factor of each, the second of each, …"""
    m, n = x.shape[1] // 2, x.shape[2] // 2
    quadrants = [x[:, i : i + m, j : j + n] for i in (0, m) for j in (0, n)]
    return np.concatenate([_sum(signs, quadrants) for signs in sums])


def product(products: NDArray) -> NDArray:
    """The result (s, m, n) from the seven products (7, s, m/2, n/2)."""
    c11, c12, c21, c22 = (_sum(signs, list(products)) for signs in _RESULT)
    return np.concatenate([np.concatenate([c11, c12], axis=2), np.concatenate([c21, c22], axis=2)], axis=1)


def _sum(signs: Sequence[int], terms: Sequence[NDArray]) -> NDArray:
    out: NDArray | None = None
    for sign, term in zip(signs, terms, strict=True):
        if sign:
            out = (term if sign > 0 else -term) if out is None else out + term if sign > 0 else out - term
    assert out is not None
    return out
