"""Means and variances: sums are local, the division by a public count is ``scaling``'s.

A variance is the mean of the squared deviations d, which keep all the digits that they have, twice those of
x, and are rounded at the end.  Σd² may be n times as large as their mean, and the ring has no room for that.
With 2^r ≥ n, each d² is divided by 2^(r/2) as it is multiplied; sums of 2^(r/2) of them are no larger than a
single d², and are divided by the other half of 2^r before they are added up (n ≤ 16: by all of it at once).
So n does not matter to the range.  Rounding at random adds an error with a standard deviation of about
n^(1/4)/2 units of 2^−2f, or 2.

Deviations of integers have e = f/2 + r/4 fractional bits, and squares 2e: the error of a mean so rounded
costs a standard deviation, which for n integers is 1/√n if it is not 0, about 2^−f.

Range    |Σx| < 2^(k−3−f); d² < 2^(k−3−2f), the product of two numbers, or 2^(k−3−2e) where x is of integers.
Rounds   mean: two truncations.  Variance: those, a product and its truncation, one more for n > 16, and two.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mpc.encoding import INT, Fixed
from mpc.ring import NDArray
from protocols.array.secret import Secret, call, rescaled, retyped
from protocols.bilinear import MATMUL, MULTIPLY
from protocols.ops import linear
from protocols.ops.products import divide, truncated
from protocols.ops.scaling import Reals, quotient, times
from protocols.suite import Share, Suite

Axis = int | tuple[int, ...] | None

#: Bits by which squares are divided at once.
_AT_ONCE = 4


def count(x: Secret, axis: Axis) -> int:
    """How many elements are reduced to one."""
    kept = linear.reduced(x.shape, axis, keepdims=True)
    return math.prod(n for n, one in zip(x.shape, kept, strict=True) if n != one)


def mean(x: Secret, axis: Axis = None, keepdims: bool = False) -> Secret:
    n = count(x, axis)
    if n == 0:
        raise ZeroDivisionError("the mean of no elements")
    return divide(linear.sum_(x, axis, keepdims), n)


def variance(
    x: Secret, axis: Axis, ddof: float, keepdims: bool, fraction: int | None = None
) -> tuple[Secret, int]:
    """The variance with so many fractional bits, or all that squares have: as integers, and how many these
    are.
    """
    n = count(x, axis)
    if not n - ddof > 0:
        raise ZeroDivisionError(f"a variance of {n} elements with ddof={ddof}")
    r, f = (n - 1).bit_length(), x.session.fixed.fraction
    e = x.kind.fraction or min(f, (2 * f + r + 3) // 4)
    centre = times(MULTIPLY, linear.sum_(x, axis, keepdims=True), quotient(1.0, n), Fixed(e))
    d = linear.subtract(rescaled(x, Fixed(e)), centre)
    total = _sum_of_squares(linear.gathered(d, axis), r)
    bits = 2 * e if fraction is None else fraction
    divided = times(MULTIPLY, total, quotient(1.0, n - ddof).shifted(r + bits - 2 * e), INT)
    return divided.reshape(linear.reduced(x.shape, axis, keepdims)), bits


def _sum_of_squares(d: Secret, r: int) -> Secret:
    """Σ d² / 2^r along the first axis, which has no more than 2^r elements."""
    bits = r if r <= _AT_ONCE else (r + 1) // 2

    def protocol(suite: Suite, d: Share) -> Any:
        return suite.bilinear(MULTIPLY, d, d, bits)

    squares = d.session.spawn("multiply", protocol, (d,), d.shape, INT)
    if r > bits:
        size = 1 << bits
        whole = len(d) // size * size
        groups = linear.sum_(squares[:whole].reshape((-1, size, *d.shape[1:])), axis=1)
        rest = linear.sum_(squares[whole:], axis=0, keepdims=True)
        squares = truncated(call(np.concatenate, [groups, rest]), r - bits)
    return linear.sum_(squares, axis=0)


def var(x: Secret, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Secret:
    """Mean of the squared deviations, rounded once."""
    kind = x.kind if x.kind.fraction else x.session.fixed
    return retyped(variance(x, axis, ddof, keepdims, kind.fraction)[0], kind)


def weighted(x: Secret, w: NDArray) -> Secret:
    """The mean along the last axis with public weights, doubles like their sum; each row's own."""
    total = np.array([math.fsum(row) for row in w.reshape((-1, w.shape[-1]))]).reshape((*w.shape[:-1], 1))
    if not total.all():
        raise ZeroDivisionError("np.average: the weights add up to zero")
    weights = quotient(w, total)
    columns = Reals(tuple(part[..., :, None] for part in weights.parts))
    return times(MATMUL, x[..., None, :], columns)[..., 0, 0]
