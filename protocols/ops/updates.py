"""New secrets that differ from old ones in some places: ``x.at[index].set(y)``, ``.add``, ``.multiply``,
``.min``, ``.max``.

``x.at[index].set(y)`` is what x is after NumPy's ``x[index] = y``; ``add`` is ``np.add.at(x, index, y)``, and
so on: a place that is named several times is set to the last, and takes part in the others as often.  Secrets
are immutable, so that x stays as it was.  The index is public, in any of NumPy's forms; or a secret mask over
x or its first axes; or a secret array of integers along the first axis.

Why ``x[index] = y`` itself is refused: NumPy's arrays have views, and whoever holds ``x.T`` or ``x[1:]``
would see the change.  A secret has no views, so that the same program would go on with other numbers, in
silence.

Cost     at a public index what the operation takes of the elements there, and ⌈log2⌉ rounds of it for places
         named several times; ``set`` and ``add`` are local.  At a secret mask, the operation on all of x, and
         a choice.  At k secret positions of n rows ``one_hot``, k n (8 to 17 bytes a party), and for each
         element of these k rows, of n each, a product for ``add``, ⌈log2 k⌉ times two for ``set``, the
         operation and a choice for the others; but at positions that are an order (``argsort``'s) one scatter
         (``moving``) and the operation on all of x.
Range    secret positions from −n to n−1; at any others nothing is changed.
Source   the interface is that of JAX (``jax.numpy.ndarray.at``), where it stands for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import numpy as np

from mpc.encoding import BOOL, numeric
from mpc.ring import NDArray, Shape
from protocols.array.secret import Secret, call, followed, retyped, secrets_in, structural, unified
from protocols.ops import comparison, linear, moving, products, selection

Operation = Callable[[Any, Any], Secret]


class Places:
    """``x.at``: takes an index."""

    __slots__ = ("_x",)

    def __init__(self, x: Secret) -> None:
        self._x = x

    def __getitem__(self, index: Any) -> There:
        return There(self._x, index)


class There:
    """``x.at[index]``: what x can become in these places."""

    __slots__ = ("_index", "_x")

    def __init__(self, x: Secret, index: Any) -> None:
        self._x, self._index = x, index

    def set(self, values: Any) -> Secret:
        return self._made("set", None, _plain_set, values)

    def add(self, values: Any) -> Secret:
        return self._made("add", linear.add, np.add.at, values)

    def multiply(self, values: Any) -> Secret:
        return self._made("multiply", products.multiply, np.multiply.at, values)

    def min(self, values: Any) -> Secret:
        return self._made("min", comparison.minimum, np.minimum.at, values)

    def max(self, values: Any) -> Secret:
        return self._made("max", comparison.maximum, np.maximum.at, values)

    def _made(
        self, name: str, operation: Operation | None, plain: Callable[..., None], values: Any
    ) -> Secret:
        name = f"x.at[…].{name}"
        make = partial(_updated, name, operation)
        return cast(
            Secret,
            followed(self._x.session, name, partial(_plain, plain), make, (self._x, self._index, values), {}),
        )


def _plain_set(x: NDArray, index: Any, values: Any) -> None:
    x[index] = values


def _plain(change: Callable[..., None], x: NDArray, index: Any, values: Any) -> NDArray:
    """The same on an array."""
    x, values = np.array(x), np.asarray(values)
    if isinstance(index, np.ndarray) and index.dtype.kind == "b" and values.ndim and values.shape == x.shape:
        values = values[index]
    change(x, index, values)
    return x


def _updated(name: str, operation: Operation | None, x: Secret, index: Any, values: Any) -> Secret:
    values = _fitting(name, operation, x, values)
    secrets = secrets_in(index)
    if not secrets:
        return _at_public(name, operation, x, index, values)
    if secrets[0] is not index:
        raise NotImplementedError(
            f"{name} takes one secret array as an index, not one among others: move its axis to the front, "
            "or use np.where with a mask"
        )
    if index.kind == BOOL:
        return _at_mask(name, operation, x, index, values)
    if index.kind.fraction:
        raise IndexError(f"{name}: an index must be of integers or truth values")
    return _at_positions(name, operation, x, index, values)


def _fitting(name: str, operation: Operation | None, x: Secret, values: Any) -> Any:
    """The new values, which must be of x's kind or of one that is part of it."""
    if not isinstance(values, Secret):
        values = numeric(values, "a new value")
        values = values if values.size else values.astype(bool)  # an empty list is one of doubles
    kind = values.kind if isinstance(values, Secret) else x.session.kind_of(values)
    if (kind.fraction and not x.kind.fraction) or (kind != BOOL and x.kind == BOOL):
        raise TypeError(
            f"{name} puts {kind} into {x.kind}, where NumPy would cut it or refuse: take x * 1.0, or x + 0 of"
            " truth values, first, or round the values"
        )
    if x.kind == BOOL and operation in (linear.add, products.multiply):
        raise TypeError(f"{name} of truth values: use .max for 'or', .min for 'and', or count with x + 0")
    return values


def _spread(name: str, values: Any, shape: Shape) -> Any:
    """Values in a shape, as an assignment broadcasts them."""
    given = np.shape(values)
    extra = max(0, len(given) - len(shape))
    if any(d != 1 for d in given[:extra]):
        raise ValueError(f"{name}: values of shape {given} do not fit the places, {shape}")
    values = values.reshape(given[extra:])
    try:
        return np.broadcast_to(values, shape)
    except ValueError:
        raise ValueError(f"{name}: values of shape {given} do not fit the places, {shape}") from None


def _put(x: Secret, places: NDArray, values: Secret) -> Secret:
    """x with values at places counted through it, the last ones where a place is named again.  Local."""
    source = np.zeros(x.size, int)
    source[places] = np.arange(1, places.size + 1)
    source = source.reshape(x.shape)

    def put(a: NDArray, new: NDArray) -> NDArray:
        return np.where(source > 0, new[source - 1], a) if new.size else a

    x, values = unified(x, values)
    return cast(Secret, structural("set", put, x, values, public=source))


def _at_public(name: str, operation: Operation | None, x: Secret, index: Any, values: Any) -> Secret:
    places = np.arange(x.size).reshape(x.shape)[index]
    values = _spread(name, values, places.shape).reshape(-1)
    places = places.reshape(-1)
    if not isinstance(values, Secret):
        values = unified(x, values)[1]
    if operation is None:
        return _put(x, places, values)
    while len(np.unique(places)) < len(places):  # two of each place become one
        by = np.argsort(places, kind="stable")
        where, values = places[by], values[by]
        turn = np.arange(len(where)) - np.searchsorted(where, where)
        second = np.flatnonzero(turn % 2)
        alone = np.setdiff1d(np.arange(len(where)), [second - 1, second])
        values = call(np.concatenate, [operation(values[second - 1], values[second]), values[alone]])
        places = np.concatenate([where[second], where[alone]])
    return _put(x, places, operation(x.reshape(-1)[places], values))


def _at_mask(name: str, operation: Operation | None, x: Secret, mask: Secret, values: Any) -> Secret:
    """Which places a mask names is not known, so that values belong to all of x, or to each place."""
    if mask.shape != x.shape[: mask.ndim]:
        raise IndexError(f"{name}: a mask of shape {mask.shape} for an array of shape {x.shape}")
    if np.shape(values) != x.shape:
        values = _spread(f"{name} at a secret mask", values, x.shape[mask.ndim :])
    mask = mask.reshape((*mask.shape, *(1,) * (x.ndim - mask.ndim)))
    return _kept(x, comparison.where(mask, values if operation is None else operation(x, values), x))


def _at_positions(name: str, operation: Operation | None, x: Secret, index: Secret, values: Any) -> Secret:
    if not x.ndim:
        raise IndexError(f"{name}: an index of an array without axes")
    n, rest, k = len(x), x.shape[1:], index.size
    values = unified(x, _spread(name, values, (*index.shape, *rest)))[1]
    rows, old = values.reshape((k, -1) if values.size else (k, 0)), x.reshape((n, -1) if x.size else (n, 0))
    if not old.size or not k:
        return x
    if index.ndim == 1 and k == n and moving.whole(index) is not None:
        scattered = moving.scattered(index.reshape((n, 1)), call(np.transpose, rows)[..., None])[..., 0]
        new = call(np.transpose, scattered)
        return _kept(x, (new if operation is None else operation(old, new)).reshape(x.shape))
    hot = selection.position(index.reshape(-1), n)  # (k, n)
    if operation is linear.add:
        return linear.add(old, selection.read(call(np.transpose, hot), rows)).reshape(x.shape)
    here, rows = hot[..., None], rows[:, None, :]
    if operation is products.multiply:
        return operation(old, products.prod(comparison.where(here, rows, 1), axis=0)).reshape(x.shape)
    if operation is None:
        new = _last(here, rows, old)
    else:
        extreme = comparison.min_ if operation is comparison.minimum else comparison.max_
        new = operation(old, extreme(comparison.where(here, rows, old), axis=0))
    return _kept(x, new.reshape(x.shape))


def _last(here: Secret, rows: Secret, old: Secret) -> Secret:
    """For each place, the last row that is to be there, or the old one: neighbours are joined, of whom the
    later hides the other.
    """
    old, rows = unified(old, rows)
    new = products.multiply(here, rows)
    while (k := len(new)) > 1:
        first, second = slice(0, k // 2 * 2, 2), slice(1, k // 2 * 2, 2)
        joined = linear.add(
            new[second], linear.subtract(new[first], products.multiply(here[second], new[first]))
        )
        either = comparison.logical_or(here[first], here[second])
        new, here = (call(np.concatenate, [a, b[k // 2 * 2 :]]) for a, b in ((joined, new), (either, here)))
    return linear.add(new[0], linear.subtract(old, products.multiply(here[0], old)))


def _kept(x: Secret, new: Secret) -> Secret:
    """Truth values that have been counted with, as such."""
    return retyped(new, BOOL) if x.kind == BOOL else new
