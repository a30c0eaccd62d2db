"""Sorting by a network: which elements are compared is public, which of them are exchanged is not.

Merge exchange compares elements at public distances, all of a stage side by side; a pair (u, v) becomes

    u + s·(v − u),   v − s·(v − u),      s = [v < u],

one comparison and one product.  Payloads (an argsort's indices) move with the same s.

Cost     t(t+1)/2 stages for n elements with t = ⌈log2 n⌉, of at most n/2 pairs each; a stage takes a
         comparison's rounds and one more.
Range    as for comparisons.  ``argsort`` orders by key and then by position, which makes it stable: it compares
         n·key + position, so keys may differ by 2^(k−1)/n units in the last place at most.
Source   Batcher 1968, in Knuth's form for any n: The Art of Computer Programming 3, 5.2.2, algorithm M.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mpc.encoding import INT
from mpc.ring import NDArray
from protocols.array import Secret, call, constant, retyped
from protocols.ops import linear, products
from protocols.ops.comparison import less


def stages(n: int) -> Iterator[tuple[NDArray, int]]:
    """The network for n elements: in each stage, positions i are compared with i + d."""
    if n < 2:
        return
    top = 1 << ((n - 1).bit_length() - 1)
    p = top
    while p:
        q, r, d = top, 0, p
        while True:
            i = np.arange(n - d)
            yield i[(i & p) == r], d
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1


def _exchanged(columns: list[Secret], i: NDArray, d: int) -> list[Secret]:
    """One stage on all columns, by the order of the first."""
    low, high = [c[i] for c in columns], [c[i + d] for c in columns]
    swap = less(high[0], low[0])
    idle = np.ones(len(columns[0]), bool)
    idle[i] = idle[i + d] = False
    rest = np.flatnonzero(idle)
    order = np.argsort(np.concatenate([i, i + d, rest]))
    out = []
    for column, u, v in zip(columns, low, high, strict=True):
        moved = products.multiply(swap, linear.subtract(v, u))
        out.append(call(np.concatenate, [linear.add(u, moved), linear.subtract(v, moved), column[rest]])[order])
    return out


def _along(x: Secret, axis: int | None) -> Secret:
    return x.ravel() if axis is None else call(np.moveaxis, x, axis, 0)


def _back(x: Secret, axis: int | None) -> Secret:
    return x if axis is None else call(np.moveaxis, x, 0, axis)


def sort(x: Secret, axis: int | None = -1, kind: str | None = None, stable: bool | None = None) -> Secret:
    """Ascending along an axis; equal elements cannot be told apart, so every kind is stable."""
    columns = [_along(x, axis)]
    for i, d in stages(len(columns[0])):
        columns = _exchanged(columns, i, d)
    return _back(columns[0], axis)


def argsort(x: Secret, axis: int | None = -1, kind: str | None = None, stable: bool | None = None) -> Secret:
    """The positions that would sort x, ties in their order.  The result is as secret as x."""
    y = _along(x, axis)
    n = len(y)
    position = constant(x.session, np.broadcast_to(np.arange(n).reshape(-1, *(1,) * (y.ndim - 1)), y.shape), INT)
    columns = [linear.add(products.multiply(retyped(y, INT), max(1, n)), position), position]
    for i, d in stages(n):
        columns = _exchanged(columns, i, d)
    return _back(columns[1], axis)


def quantile(x: Secret, q: Any, axis: int | None = None, keepdims: bool = False) -> Secret:
    """Between the two neighbours in order, linearly, as NumPy's default; q is public."""
    levels = np.asarray(q, np.float64)
    if levels.ndim > 1 or not ((levels >= 0) & (levels <= 1)).all():
        raise ValueError("quantiles must be one number or a list of numbers in [0, 1]")
    y = _along(x, axis)
    if len(y) == 0:
        raise ValueError("a quantile of no elements")
    ordered = sort(y, axis=0)
    at = levels.reshape(-1) * (len(y) - 1)
    below = np.floor(at).astype(int)
    weight = (at - below).reshape(-1, *(1,) * (y.ndim - 1))
    lower, upper = ordered[below], ordered[np.minimum(below + 1, len(y) - 1)]
    result = linear.add(products.multiply(lower, 1.0), products.multiply(linear.subtract(upper, lower), weight))
    shape = ((1,) * x.ndim if axis is None else (*x.shape[:axis % x.ndim], 1, *x.shape[axis % x.ndim + 1:])) if keepdims else y.shape[1:]
    return result.reshape((*levels.shape, *shape))


def percentile(x: Secret, q: Any, axis: int | None = None, keepdims: bool = False) -> Secret:
    return quantile(x, np.asarray(q, np.float64) / 100, axis, keepdims)


def median(x: Secret, axis: int | None = None, keepdims: bool = False) -> Secret:
    return quantile(x, 0.5, axis, keepdims)
