"""Running products and running extremes: all results of an associative operation over the first 1, 2, …, n
elements.

At level t every position i whose bit t is set takes in what ends right below its block, which is there
already:

    y_i ← y_j ∘ y_i,      j = ⌊i/2^t⌋·2^t − 1.

Cost     ⌈log2 n⌉ times the rounds of one ∘, and n/2 of them a level: a product (and a truncation of fixed
         point) for cumprod, a comparison and a choice for the running extremes.  One after the other it would
         take n − 1.
Accuracy exact but for products of fixed point, which are rounded at every level.
Range    that of ∘, for all products of neighbouring elements.
Source   Sklansky, IRE Transactions on Electronic Computers, 1960.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from protocols.array.secret import Secret, call, retyped
from protocols.ops import comparison, linear, products


def _scan(f: Callable[[Secret, Secret], Secret], x: Secret, axis: int) -> Secret:
    y = call(np.moveaxis, x, axis, 0)
    position = np.arange(len(y))
    for t in range((len(y) - 1).bit_length() if len(y) else 0):
        joins = position >> t & 1 == 1
        order = np.argsort(np.concatenate([position[~joins], position[joins]]))
        at = position[joins]
        y = call(np.concatenate, [y[~joins], f(y[(at >> t << t) - 1], y[at])])[order]
    return call(np.moveaxis, y, 0, axis)


def cumprod(x: Secret, axis: int | None = None) -> Secret:
    x = retyped(x, linear.counted(x.kind))
    return _scan(products.multiply, x.ravel(), 0) if axis is None else _scan(products.multiply, x, axis)


def of(f: Callable[[Any, Any], Secret], first: Callable[[Secret], Secret]) -> Callable[..., Secret]:
    """The running results of any associative f."""

    def running(x: Secret, axis: int = 0) -> Secret:
        return _scan(f, first(x), axis)

    return running


def maximum(x: Secret, axis: int = 0) -> Secret:
    """``np.maximum.accumulate``."""
    return _scan(comparison.maximum, x, axis)


def minimum(x: Secret, axis: int = 0) -> Secret:
    """``np.minimum.accumulate``."""
    return _scan(comparison.minimum, x, axis)
