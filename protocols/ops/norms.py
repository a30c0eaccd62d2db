"""Norms of vectors of every order, and of matrices, and condition numbers.

Rounds   order 2 and Frobenius: a product and a root (39 to 42).  1, ±∞, 0: comparisons.  Another order p: two
         powers, of elements and of their sum; a whole even p: products.  Of matrices, 2, −2 and the nuclear
         norm: singular values (``decompositions``).
Range    the sum of squares, or of p-th powers, within the range of products.
Accuracy order 2 of the order of one: 4 units.  Others as their powers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from protocols.array.secret import Secret, call
from protocols.ops import comparison, exponential, linear, products
from protocols.ops.decompositions import singular_values, svdvals
from protocols.ops.linalg import inv
from protocols.ops.matrices import of_elements
from protocols.ops.products import real
from protocols.ops.roots import root_of_squares


@of_elements
def norm(x: Secret, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Secret:
    """Of vectors: any order; of matrices: Frobenius (the default), nuclear, ±1, ±2 and ±∞."""
    x = linear.positive(x)
    if axis is None:
        if ord is not None and x.ndim not in (1, 2):
            raise ValueError(
                f"np.linalg.norm with ord={ord!r} takes a vector, a matrix, or axis=, not an array of"
                f" {x.ndim} axes"
            )
        axes = list(range(x.ndim))
        y, flat = (x, False) if ord is not None and x.ndim == 2 else (x.ravel(), True)
    else:
        axes = list(normalize_axis_tuple(axis, x.ndim, allow_duplicate=True))
        if len(axes) not in (1, 2) or len(set(axes)) != len(axes):
            raise ValueError(f"np.linalg.norm takes one axis or two different ones, not {axis}")
        y, flat = call(np.moveaxis, x, axes, tuple(range(-len(axes), 0))), len(axes) == 1
    result = real(_of_vectors(y, ord) if flat else _of_matrices(y, ord))
    return result.reshape([1 if i in axes else d for i, d in enumerate(x.shape)]) if keepdims else result


def _of_vectors(x: Secret, ord: Any) -> Secret:
    """Along the last axis."""
    if ord is None or ord == 2:
        return root_of_squares(x, -1)
    if isinstance(ord, str):
        raise ValueError(f"np.linalg.norm of vectors has no order {ord!r}")
    size = comparison.absolute(x)
    if ord in (np.inf, -np.inf):
        return (comparison.max_ if ord > 0 else comparison.min_)(size, axis=-1)
    if ord == 0:
        return comparison.count_nonzero(x, axis=-1)
    if ord == 1:
        return linear.sum_(size, axis=-1)
    powers = (
        products.power(real(x), int(ord))
        if ord > 0 and ord % 2 == 0
        else exponential.power(real(size), float(ord))
    )
    return exponential.power(linear.sum_(powers, axis=-1), 1 / ord)


def _of_matrices(x: Secret, ord: Any) -> Secret:
    """Along the last two axes."""
    if ord in (None, "fro"):
        return root_of_squares(x, (-2, -1))
    if ord in (1, -1, np.inf, -np.inf):
        sums = linear.sum_(comparison.absolute(x), axis=-2 if abs(ord) == 1 else -1)
        return (comparison.max_ if ord > 0 else comparison.min_)(sums, axis=-1)
    if ord in (2, -2, "nuc"):
        values = svdvals(x)
        return linear.sum_(values, axis=-1) if ord == "nuc" else values[..., 0 if ord == 2 else -1]
    raise ValueError(f"np.linalg.norm of matrices has no order {ord!r}")


@of_elements
def vector_norm(x: Secret, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Secret:
    """Of all elements, or along one axis or several."""
    axes = (
        list(range(x.ndim))
        if axis is None
        else list(normalize_axis_tuple(axis, x.ndim, allow_duplicate=True))
    )
    rest = [i for i in range(x.ndim) if i not in axes]
    result = norm(call(np.transpose, x, rest + axes).reshape([*(x.shape[i] for i in rest), -1]), ord, -1)
    return result.reshape([1 if i in axes else d for i, d in enumerate(x.shape)]) if keepdims else result


@of_elements
def matrix_norm(x: Secret, /, *, keepdims: bool = False, ord: Any = "fro") -> Secret:
    if x.ndim < 2:
        raise ValueError(f"np.linalg.matrix_norm takes matrices, not an array of {x.ndim} axes")
    return norm(x, ord, (-2, -1), keepdims)


@of_elements
def cond(x: Secret, p: Any = None) -> Secret:
    """How many times larger a relative error can become: ‖x‖·‖1/x‖; of a singular matrix some 2^(k/2 − 4), if
    p is 2.
    """
    if x.ndim < 2:
        raise np.linalg.LinAlgError(f"np.linalg.cond takes matrices, not an array of {x.ndim} axes")
    if p in (None, 2, -2):
        values = singular_values(x, "cond")
        first, last = (0, -1) if p != -2 else (-1, 0)
        # not 0, by which a quotient would be 0
        divisor = linear.add(values[..., last], 2.0**-values.kind.fraction)
        return products.read(values[..., first] / divisor, real(x).kind.fraction)
    return products.multiply(norm(x, p, (-2, -1)), norm(inv(x), p, (-2, -1)))
