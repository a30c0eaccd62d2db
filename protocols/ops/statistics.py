"""Means and variances: sums are local, the division by a public count costs one round."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from protocols.array import Secret, call
from protocols.ops.products import divide, matmul, multiply, real

Axis = int | tuple[int, ...] | None


def count(x: Secret, axis: Axis) -> int:
    """How many elements are reduced to one."""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return math.prod(x.shape[a] for a in axes)


def mean(x: Secret, axis: Axis = None, keepdims: bool = False) -> Secret:
    """1 round."""
    n = count(x, axis)
    if n == 0:
        raise ZeroDivisionError("the mean of no elements")
    return divide(x.sum(axis=axis, keepdims=keepdims), n)


def var(x: Secret, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Secret:
    """Mean of the squared deviations: 4 rounds (mean, square, truncation, division)."""
    n = count(x, axis)
    if n - ddof <= 0:
        raise ZeroDivisionError(f"a variance of {n} elements with ddof={ddof}")
    deviation = real(x) - mean(x, axis, keepdims=True)
    return divide(multiply(deviation, deviation).sum(axis=axis, keepdims=keepdims), n - ddof)


def average(x: Secret, axis: Axis = None, weights: Any = None) -> Secret:
    """Weighted mean with public or secret weights of known sum; public weights only in this release."""
    if weights is None:
        return mean(x, axis)
    if isinstance(weights, Secret):
        raise NotImplementedError("average with secret weights")
    w = np.asarray(weights, np.float64)
    if not isinstance(axis, int) or w.ndim != 1:
        raise NotImplementedError("average of secrets takes one axis and a vector of weights")
    return matmul(call(np.moveaxis, x, axis, -1), w / w.sum())
