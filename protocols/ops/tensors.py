"""Products over chosen axes: what is one matrix product, or one elementwise product, between local
rearrangements.

Rounds   those of one product; ``multi_dot`` of n matrices n − 1 of them.
Accuracy each is rounded once: to one unit in the last place, times a public real array to five.  Integers are
exact."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from operator import index
from typing import Any

import numpy as np

from mpc.encoding import numeric
from protocols.array.secret import Secret, call
from protocols.ops.products import matmul, multiply


def array(x: Any) -> Any:
    """A secret, or a public operand as an ndarray."""
    return x if isinstance(x, Secret) else numeric(x, "a public operand")


def tensordot(a: Any, b: Any, axes: Any = 2) -> Secret:
    """Sums of products over these axes of a and those of b."""
    a, b = array(a), array(b)
    ours, theirs = _summed(a.ndim, b.ndim, axes)
    inner = [a.shape[i] for i in ours]
    if inner != [b.shape[i] for i in theirs]:
        raise ValueError(
            f"np.tensordot: shapes {a.shape} and {b.shape} do not fit along axes {ours} and {theirs}"
        )
    rows = [i for i in range(a.ndim) if i not in ours]
    columns = [i for i in range(b.ndim) if i not in theirs]
    shape = [*(a.shape[i] for i in rows), *(b.shape[i] for i in columns)]
    left = np.transpose(a, rows + ours).reshape((prod(shape[: len(rows)]), prod(inner)))
    right = np.transpose(b, theirs + columns).reshape((prod(inner), prod(shape[len(rows) :])))
    return matmul(left, right).reshape(shape)


def _summed(m: int, n: int, axes: Any) -> tuple[list[int], list[int]]:
    if np.ndim(axes) == 0 and not isinstance(axes, list | tuple):
        count = index(axes)
        if count < 0 or count > min(m, n):
            raise ValueError(f"np.tensordot over {count} axes of arrays of {m} and {n}")
        return list(range(m - count, m)), list(range(count))
    ours, theirs = ([index(axes[i])] if np.ndim(axes[i]) == 0 else list(map(index, axes[i])) for i in (0, 1))
    ours, theirs = [range(m)[i] for i in ours], [range(n)[i] for i in theirs]
    if len(set(ours)) != len(ours) or len(set(theirs)) != len(theirs) or len(ours) != len(theirs):
        raise ValueError(f"np.tensordot takes equally many different axes of each array, not {axes}")
    return ours, theirs


def kron(a: Any, b: Any) -> Secret:
    """The Kronecker product: every element of a times all of b."""
    a, b = array(a), array(b)
    n = max(a.ndim, b.ndim)
    first, second = (1,) * (n - a.ndim) + a.shape, (1,) * (n - b.ndim) + b.shape
    apart = multiply(
        np.reshape(a, [d for size in first for d in (size, 1)]),
        np.reshape(b, [d for size in second for d in (1, size)]),
    )
    return apart.reshape([p * q for p, q in zip(first, second, strict=True)])


def outer(x1: Any, x2: Any, /) -> Secret:
    """``np.linalg.outer``: of vectors alone."""
    if np.ndim(x1) != 1 or np.ndim(x2) != 1:
        raise ValueError(
            f"np.linalg.outer takes two vectors, not arrays of {np.ndim(x1)} and {np.ndim(x2)} axes"
        )
    return multiply(np.expand_dims(array(x1), 1), x2)


def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Secret:
    """Dot products of vectors along an axis, the others broadcast."""
    x1, x2 = (np.moveaxis(array(x), axis, -1) for x in (x1, x2))
    if x1.shape[-1] != x2.shape[-1]:
        raise ValueError(f"np.vecdot of vectors of {x1.shape[-1]} and of {x2.shape[-1]} elements")
    return matmul(np.expand_dims(x1, -2), np.expand_dims(x2, -1))[..., 0, 0]


def matvec(x1: Any, x2: Any, /) -> Secret:
    return matmul(x1, np.expand_dims(array(x2), -1))[..., 0]


def vecmat(x1: Any, x2: Any, /) -> Secret:
    return matmul(np.expand_dims(array(x1), -2), x2)[..., 0, :]


def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Secret:
    """Cross products of vectors of three elements; each element is one sum of two products, rounded once."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = np.moveaxis(array(a), axisa, -1), np.moveaxis(array(b), axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ValueError(
            f"np.cross on secrets takes vectors of three elements, not of {a.shape[-1]} and {b.shape[-1]}; "
            "for vectors of two write a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]"
        )
    left = a[..., [[1, 2], [2, 0], [0, 1]]]
    right = b[..., [[2, 1], [0, 2], [1, 0]]]
    return call(
        np.moveaxis,
        vecdot(left, multiply(right, [1, -1]) if isinstance(right, Secret) else right * [1, -1]),
        -1,
        axisc,
    )


def multi_dot(arrays: Sequence[Any]) -> Secret:
    """A product of two or more matrices, the first and the last perhaps vectors, from the first secret one
    outwards.

    So two public ones never meet, whose product would be each party's own doubles.
    """
    factors = [array(x) for x in arrays]
    if len(factors) < 2:
        raise ValueError("np.linalg.multi_dot takes at least two arrays")
    if any(x.ndim != 2 for x in factors[1:-1]) or not all(
        x.ndim in (1, 2) for x in (factors[0], factors[-1])
    ):
        raise np.linalg.LinAlgError("np.linalg.multi_dot takes matrices, and vectors at its ends")
    start = next(i for i, x in enumerate(factors) if isinstance(x, Secret))
    result: Secret = factors[start]
    for x in factors[start + 1 :]:
        result = matmul(result, x)
    for x in reversed(factors[:start]):
        result = matmul(x, result)
    return result
