"""Linear operations: local, nothing is sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mpc.encoding import BOOL, INT, Kind
from mpc.errors import EncodingError
from mpc.ring import NDArray, RingArray, Shape
from protocols.array.secret import (
    Secret,
    call,
    common_kind,
    constant,
    find_session,
    rescaled,
    retyped,
    structural,
    unified,
)
from protocols.suite import Share, Suite


def add(x: Any, y: Any) -> Secret:
    return _combined("add", x, y)


def subtract(x: Any, y: Any) -> Secret:
    return _combined("subtract", x, y)


def _combined(label: str, x: Any, y: Any) -> Secret:
    """x ± y; a public operand is added at one party only."""
    session = find_session((x, y))
    shape = np.broadcast_shapes(np.shape(x), np.shape(y))
    kind = counted(common_kind(session, x, y))
    sign = label == "add"
    if isinstance(x, Secret) and isinstance(y, Secret):

        async def both(suite: Suite, x: Share, y: Share) -> Share:
            return x + y if sign else x - y

        return session.spawn(label, both, (rescaled(x, kind), rescaled(y, kind)), shape, kind)
    if isinstance(x, Secret):
        right = session.public(y, kind)

        async def with_right(suite: Suite, x: Share) -> Share:
            return x + right if sign else x - right

        return session.spawn(label, with_right, (rescaled(x, kind),), shape, kind, right)
    left: RingArray = session.public(x, kind)

    async def with_left(suite: Suite, y: Share) -> Share:
        return (y if sign else -y) + left

    return session.spawn(label, with_left, (rescaled(y, kind),), shape, kind, left)


def counted(kind: Kind) -> Kind:
    """Truth values count as the integers 0 and 1 in arithmetic."""
    return INT if kind == BOOL else kind


def negative(x: Secret) -> Secret:
    async def protocol(suite: Suite, x: Share) -> Share:
        return -x

    return x.session.spawn("negative", protocol, (x,), x.shape, counted(x.kind))


def positive(x: Secret) -> Secret:
    return retyped(x, counted(x.kind))


def _linear(
    label: str,
    f: Callable[[RingArray], RingArray],
    x: Secret,
    shape: Shape,
    kind: Kind,
    public: object = None,
) -> Secret:
    """A linear map of arrays over a ring."""

    async def protocol(suite: Suite, x: Share) -> Share:
        return x.apply(f)

    return x.session.spawn(label, protocol, (x,), shape, kind, public)


def axes_of(n: int, axis: Any) -> tuple[int, ...]:
    """The axes, of n, that an axis or several or ``None`` name, in their order."""
    return (
        tuple(range(n)) if axis is None else tuple(sorted(np.lib.array_utils.normalize_axis_tuple(axis, n)))
    )


def gathered(x: Secret, axis: Any) -> Secret:
    """x with the axes that are named as one, in front."""
    axes = axes_of(x.ndim, axis)
    y = call(np.moveaxis, x, axes, range(len(axes)))
    rest = y.shape[len(axes) :]
    return y.reshape((math.prod(y.shape[: len(axes)]), *rest))


def reduced(shape: Shape, axis: Any, keepdims: bool) -> Shape:
    """The shape of a reduction along axes."""
    gone = axes_of(len(shape), axis)
    return tuple(1 if i in gone else d for i, d in enumerate(shape) if keepdims or i not in gone)


def sum_(x: Secret, axis: Any = None, keepdims: bool = False) -> Secret:
    shape = reduced(x.shape, axis, keepdims)
    return _linear("sum", lambda a: a.sum(axis, keepdims), x, shape, counted(x.kind), axis)


def cumsum(x: Secret, axis: Any = None) -> Secret:
    shape = (x.size,) if axis is None or not x.shape else x.shape
    return _linear("cumsum", lambda a: a.cumsum(axis), x, shape, counted(x.kind), axis)


def trace(x: Secret, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Secret:
    return sum_(call(np.diagonal, x, offset, axis1, axis2), axis=-1)


def _masked(x: Secret, keep: NDArray) -> Secret:
    kept = np.broadcast_shapes(x.shape, keep.shape)

    def masked(a: RingArray) -> RingArray:
        return a.map(lambda data: np.where(keep, data, np.zeros((), data.dtype)))

    return _linear("mask", masked, x, kept, x.kind, keep)


def diag(x: Secret, k: int = 0) -> Secret:
    if x.ndim not in (1, 2):
        raise ValueError(f"np.diag takes an array of one or two axes, not of {x.ndim}")
    if x.ndim == 2:
        return call(np.diagonal, x, k)
    n = x.shape[0] + abs(k)
    return _linear("diag", lambda a: a.map(lambda data: np.diag(data, k)), x, (n, n), x.kind, k)


def tril(x: Secret, k: int = 0) -> Secret:
    return _masked(x, _lower(x, k))


def triu(x: Secret, k: int = 0) -> Secret:
    return _masked(x, ~_lower(x, k - 1))


def _lower(x: Secret, k: int) -> NDArray:
    """The lower triangle; of a vector, which NumPy takes for each of the rows, that of a square."""
    if x.ndim == 0:
        raise ValueError("np.tril and np.triu take an array of at least one axis")
    rows, columns = x.shape[-2:] if x.ndim > 1 else 2 * x.shape
    return np.tri(rows, columns, k, bool)


def filled(x: Secret, value: int) -> Secret:
    """An array of the shape and kind of x with the same public number everywhere."""
    return constant(x.session, np.full(x.shape, value, bool if x.kind == BOOL else int), x.kind)


def append(x: Any, values: Any, axis: int | None = None) -> Secret:
    if axis is None:
        x, values, axis = np.ravel(x), np.ravel(values), 0
    return call(np.concatenate, [x, values], axis=axis)


def where(condition: Any, x: Any = None, y: Any = None) -> Secret:
    """Elements of x where a public mask holds, else of y."""
    if x is None or y is None:
        raise TypeError("np.where on secrets takes a mask and two arrays")
    mask = np.array(condition)  # a copy: it is looked at when x and y are there
    if mask.dtype.kind not in "biu":
        raise EncodingError("the condition of np.where must be an array of booleans")
    joined: Secret = structural("where", lambda a, b: np.where(mask != 0, a, b), *unified(x, y), public=mask)
    return joined
