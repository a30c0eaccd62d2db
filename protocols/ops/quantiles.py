"""Quantiles: elements of public ranks, and between two of them.

A level q of n elements is at a public place of the order, NumPy's of 0, 1, …, n − 1 by the same method: at an
element, or between two, linearly.  So all of NumPy's methods are there, those of Hyndman and Fan among them.

Cost     that of a quickselect (``sorting.selected``); a product with a public real where a level lies between
         elements.
Range    |x| < 2^(k−4−f), so that differences of neighbours fit.
Accuracy 3 units in the last place; exact where levels are at elements, and with the methods that choose one.
Source   Hyndman, Fan, The American Statistician 50, 1996; their places as NumPy has them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mpc.encoding import numeric
from protocols.array.secret import Secret, call
from protocols.ops import linear, products, sorting


def quantile(
    a: Secret,
    q: Any,
    axis: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
) -> Secret:
    """At public levels q from 0 to 1, along axes.

    As in NumPy a q of integers, 0 and 1, gives elements of x as they are, as do the methods that choose one;
    any other real numbers.
    """
    if isinstance(q, Secret) or not isinstance(a, Secret):
        raise TypeError(
            "np.quantile of secrets takes public levels: compare with np.sort(x) at secret ones, by np.take"
        )
    levels = numeric(q, "a level")
    y = linear.gathered(a, axis)
    if len(y) == 0:
        raise ValueError("a quantile of no elements")
    positions = np.arange(len(y), dtype=float if a.kind.fraction else int)
    places: Any = call(np.quantile, positions, q, method=method)  # or NumPy's own error
    shape = (*levels.shape, *linear.reduced(a.shape, axis, keepdims))
    at = np.reshape(places, -1)
    below = np.floor(at).astype(int)
    if at.dtype.kind != "f" or (a.kind.fraction and levels.dtype.kind != "f"):
        return sorting.selected(y, below).reshape(shape)
    lower, upper = call(np.split, sorting.selected(y, np.concatenate([below, np.ceil(at).astype(int)])), 2)
    weight = (at - below).reshape(-1, *(1,) * (y.ndim - 1))
    result = products.real(lower)
    if weight.any():
        result = linear.add(result, products.multiply(linear.subtract(upper, lower), weight))
    return result.reshape(shape)


def percentile(
    a: Secret,
    q: Any,
    axis: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
) -> Secret:
    """As ``quantile``, at levels from 0 to 100."""
    if isinstance(q, Secret):
        raise TypeError(
            "np.percentile of secrets takes public levels: compare with np.sort(x) at secret ones, by np.take"
        )
    return quantile(a, numeric(q, "a level") / 100, axis, overwrite_input, method, keepdims)


def median(a: Secret, axis: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Secret:
    return quantile(a, 0.5, axis, overwrite_input, "linear", keepdims)
