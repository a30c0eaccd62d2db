"""Functions that follow from comparisons, products and functions of reals in a line or two each.

Near     isclose(a, b) is |a − b|·q ≤ |b| + atol·q where rtol = 1/q, which integers say exactly: 10^−5 of a
         number is less than its last place, and its product with that is no number.  Where 1/rtol is not
         whole, rtol·|b| is rounded as all products with public reals are.
Range    those of what they are made of; of ``hypot`` x² + y² as for a product.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mpc.encoding import INT
from protocols.array.secret import Secret, call, find_session, unified
from protocols.ops import comparison, exponential, linear, products, roots, types


def hypot(x: Any, y: Any) -> Secret:
    """√(x² + y²), rounded once."""
    x, y = np.broadcast_arrays(x, y)
    return roots.root_of_squares(call(np.stack, [x, y]), 0)


def logaddexp(x: Any, y: Any) -> Secret:
    """log(eˣ + eʸ) = max(x, y) + log1p(exp(−|x − y|)), which does not leave the range."""
    d = products.real(comparison.absolute(linear.subtract(x, y)))
    return linear.add(comparison.maximum(x, y), exponential.log1p(exponential.exp(linear.negative(d))))


def logaddexp2(x: Any, y: Any) -> Secret:
    d = products.real(comparison.absolute(linear.subtract(x, y)))
    return linear.add(
        comparison.maximum(x, y), exponential.log2(linear.add(1, exponential.exp2(linear.negative(d))))
    )


def heaviside(x: Any, h: Any) -> Secret:
    """0 below zero, 1 above, and h at zero."""
    above = comparison.greater(x, 0) if isinstance(x, Secret) else np.asarray(x) > 0
    at = comparison.equal(x, 0) if isinstance(x, Secret) else np.asarray(x) == 0
    made = comparison.where(at, h, above)
    return products.real(made)


def signbit(x: Secret) -> Secret:
    return comparison.less(x, 0)


def copysign(x: Any, y: Any) -> Secret:
    """|x| with the sign of y; a secret 0 has none."""
    below = comparison.less(y, 0) if isinstance(y, Secret) else np.signbit(np.asarray(y, float))
    size = comparison.absolute(x) if isinstance(x, Secret) else np.abs(np.asarray(x, float))
    made = comparison.where(below, np.negative(size), size)
    return products.real(made)


def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Secret:
    """Where |a − b| ≤ atol + rtol·|b|, exactly where 1/rtol is whole; no secret is NaN."""
    if (
        isinstance(rtol, Secret)
        or isinstance(atol, Secret)
        or np.ndim(rtol)
        or np.ndim(atol)
        or rtol < 0
        or atol < 0
    ):
        raise TypeError("np.isclose of secrets takes tolerances that are public numbers, not below 0")
    session = find_session((a, b))
    x, y = unified(a, b) if isinstance(b, Secret) else (a, np.asarray(b))
    d, size = comparison.absolute(linear.subtract(x, y)), abs(y)
    f, k = d.kind.fraction, session.ring.bits
    q = round(1 / rtol) if rtol else 1
    if rtol and abs(q * rtol - 1) > 1e-9:
        allowed = size * rtol + atol
        if isinstance(allowed, Secret):
            allowed = comparison.maximum(allowed, 0)  # a product that is rounded may be a little below
        return comparison.less_equal(d, allowed)
    most = 2.0 ** (k - 3 - f) // q  # |d| beyond it is not near, and |d|·q would wrap
    left = products.multiply(comparison.minimum(d, int(most) if not f else most), q)
    if rtol:
        left = linear.subtract(left, size)
    border = np.floor(atol * q * 2.0**f) / 2.0**f
    return comparison.less_equal(left, int(border) if left.kind == INT else border)


def allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Secret:
    return comparison.all_(isclose(a, b, rtol, atol))


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """So many numbers from start to stop, either of them secret, at equal distances."""
    if num < 0:
        raise ValueError(f"np.linspace takes a number of 0 or more, not {num}")
    if dtype is not None and types.wanted(dtype).kind != "f":
        raise NotImplementedError(
            "np.linspace of secrets is real, and may be a little below a whole number; round the result"
        )
    parts = num - 1 if endpoint else num
    first, width = start, linear.subtract(stop, start)
    at = np.arange(num).reshape(-1, *(1,) * width.ndim) / max(parts, 1)
    made = linear.add(first, products.multiply(width[None], at))
    made = call(np.moveaxis, made, 0, axis)
    return (made, products.divide(width, parts)) if retstep else made


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """Whether all elements are equal; of arrays of other shapes, publicly not."""
    if np.shape(a1) != np.shape(a2):
        return False
    return comparison.all_(comparison.equal(a1, a2))


def array_equiv(a1: Any, a2: Any) -> Any:
    """The same of arrays that are broadcast."""
    try:
        np.broadcast_shapes(np.shape(a1), np.shape(a2))
    except ValueError:
        return False
    return comparison.all_(comparison.equal(a1, a2))
