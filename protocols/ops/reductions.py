"""What NumPy's reductions take beside an axis: several axes, ``initial``, ``where`` and ``dtype``.

Elements where a mask does not hold are what changes nothing: 0 in a sum, 1 in a product, the initial value
among extremes.  The mask may be secret.

Cost     nothing for a public mask; for a secret one a product, and a division for means, whose count is then
         secret.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from protocols.array.secret import Secret, call
from protocols.bilinear import MULTIPLY
from protocols.ops import comparison, division, linear, products, roots, statistics, types

Reduction = Callable[..., Secret]


def masked(x: Secret, where: Any, instead: Any) -> Secret:
    """x where the mask holds, else another value; without one x itself."""
    if where is True or where is None:
        return x
    if types.dtype_of(where).kind != "b":
        raise TypeError("where= takes truth values: an array of bool, public or secret")
    return comparison.where(where, x, instead)


def summing(f: Reduction, again: Callable[[Any, Any], Secret], nothing: int) -> Reduction:
    """A sum or a product, of which ``nothing`` is the empty one."""

    def reduction(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = True,
    ) -> Secret:
        x = types.cast(masked(a, where, nothing), dtype)
        result = f(x, axis, keepdims)
        return result if initial is None else again(result, initial)

    return reduction


def extreme(name: str, f: Reduction, again: Callable[[Any, Any], Secret]) -> Reduction:
    """The largest or the smallest: of none, or of what a mask leaves, only beside an initial value."""

    def reduction(
        a: Any, axis: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
    ) -> Secret:
        if initial is None:
            if where is not True:
                raise ValueError(
                    f"np.{name} with where= needs initial=: what the result is where the mask leaves nothing"
                )
            return f(a, axis, keepdims)
        x = masked(a, where, initial)
        if not statistics.count(x, axis):
            return types.full_like(a, initial, shape=linear.reduced(x.shape, axis, keepdims))
        return again(f(x, axis, keepdims), initial)

    return reduction


def deciding(f: Reduction, nothing: bool) -> Reduction:
    """``np.any`` and ``np.all``."""

    def reduction(a: Any, axis: Any = None, keepdims: bool = False, where: Any = True) -> Secret:
        return f(masked(comparison.truth(a), where, nothing), axis, keepdims)

    return reduction


def deciding_ufunc(f: Reduction, again: Callable[[Any, Any], Secret], nothing: bool) -> Reduction:
    """Their form as reductions of a ufunc, which have an initial value."""

    def reduction(
        a: Any, axis: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
    ) -> Secret:
        result = f(masked(comparison.truth(a), where, nothing), axis, keepdims)
        return result if initial is None else again(result, initial)

    return reduction


def extreme_ufunc(name: str, f: Reduction, again: Callable[[Any, Any], Secret]) -> Reduction:
    """The form of extremes as reductions of a ufunc, which have a type."""
    made = extreme(name, f, again)

    def reduction(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = True,
    ) -> Secret:
        return made(types.cast(a, dtype), axis, keepdims, initial, where)

    return reduction


def in_a_tree(f: Callable[[Any, Any], Secret], first: Callable[[Secret], Secret], nothing: Any) -> Reduction:
    """The reduction of any other associative ufunc: ⌈log2 n⌉ times its rounds.  ``nothing`` is that of no
    elements, if there is one.
    """

    def reduction(a: Any, axis: Any = None, keepdims: bool = False) -> Secret:
        y, shape = linear.gathered(first(a), axis), linear.reduced(a.shape, axis, keepdims)
        if len(y) == 0:
            if nothing is not None and np.isfinite(nothing):
                return types.full_like(f(y, y), nothing, shape=shape)  # or a refusal of y's type
            raise ValueError(
                "a reduction of no elements, which has no value here; leave the axis out, or add an element"
            )
        while (n := len(y)) > 1:
            half = n // 2
            folded = f(y[:half], y[half : 2 * half])
            y = call(np.concatenate, [folded, y[2 * half :]]) if n % 2 else folded
        return y[0].reshape(shape)

    return reduction


def accumulating(f: Callable[..., Secret]) -> Callable[..., Secret]:
    def accumulation(a: Secret, axis: Any = None, dtype: Any = None) -> Secret:
        return f(types.cast(a, dtype), axis)

    return accumulation


def cumulative(f: Callable[..., Secret], first: int) -> Callable[..., Secret]:
    """``np.cumulative_sum`` and ``np.cumulative_prod``: of one axis, with the empty sum or product before
    where it is asked for.
    """

    def accumulation(
        x: Secret, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
    ) -> Secret:
        if axis is None:
            if x.ndim != 1:
                raise ValueError(f"np.cumulative_sum and np.cumulative_prod of {x.ndim} axes need axis=")
            axis = 0
        made = f(types.cast(x, dtype), axis)
        if not include_initial:
            return made
        one = [*x.shape]
        one[axis] = 1
        return call(np.concatenate, [np.full(one, first), made], axis=axis)

    return accumulation


def trace(a: Secret, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Secret:
    return linear.trace(types.cast(a, dtype), offset, axis1, axis2)


# -- means and variances -----------------------------------------------------------------------------


def _reals(name: str, x: Any, dtype: Any) -> Any:
    """x for a result that is real, whatever x is."""
    if dtype is not None and types.wanted(dtype).kind != "f":
        raise NotImplementedError(f"np.{name} of secrets is real; take dtype=float, and round the result")
    return x


def _counted(x: Secret, axis: Any, keepdims: bool, where: Any) -> Any:
    """How many elements the mask leaves: public, as a secret for a secret mask."""
    return np.sum(np.broadcast_to(where, x.shape), axis=axis, keepdims=keepdims)


def _over(total: Secret, count: Any, what: str) -> Secret:
    if not isinstance(count, Secret) and not (count > 0).all():
        raise ZeroDivisionError(f"{what} of no elements, or of too few for its ddof")
    return division.divide(total, count)


def mean(a: Secret, axis: Any = None, dtype: Any = None, keepdims: bool = False, where: Any = True) -> Secret:
    x = _reals("mean", a, dtype)
    if where is True:
        return statistics.mean(x, axis, keepdims)
    return _over(
        linear.sum_(masked(x, where, 0), axis, keepdims), _counted(x, axis, keepdims, where), "the mean"
    )


def _freedom(name: str, ddof: Any, correction: Any) -> Any:
    if correction is None:
        return ddof
    if ddof:
        raise ValueError(f"np.{name} takes ddof= or correction=, which are the same, not both")
    return correction


def _deviations(x: Any, axis: Any, keepdims: bool, where: Any, mean_: Any) -> tuple[Secret, Any]:
    """From a mean that is given, or from that of what a mask leaves; and how many they are."""
    centre = mean(x, axis, None, True, where) if mean_ is None else mean_
    return masked(linear.subtract(x, centre), where, 0), _counted(x, axis, keepdims, where)


def var(
    a: Secret,
    axis: Any = None,
    dtype: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = True,
    mean: Any = None,
    correction: Any = None,
) -> Secret:
    x, ddof = _reals("var", a, dtype), _freedom("var", ddof, correction)
    if where is True and mean is None:
        return statistics.var(x, axis, ddof, keepdims)
    d, n = _deviations(x, axis, keepdims, where, mean)
    return _over(linear.sum_(products.product(MULTIPLY, d, d), axis, keepdims), n - ddof, "the variance")


def std(
    a: Secret,
    axis: Any = None,
    dtype: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = True,
    mean: Any = None,
    correction: Any = None,
) -> Secret:
    x, ddof = _reals("std", a, dtype), _freedom("std", ddof, correction)
    if where is True and mean is None:
        return roots.std(x, axis, ddof, keepdims)
    d, n = _deviations(x, axis, keepdims, where, mean)
    size = roots.root_of_squares(d, axis, keepdims)
    return _over(size, np.sqrt(n - ddof), "the standard deviation")


def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False
) -> Any:
    """The mean, or that with weights, public or secret; with the sum of the weights where ``returned``."""
    if weights is None:
        made, total = statistics.mean(a, axis, keepdims), np.asarray(float(statistics.count(a, axis)))
    else:
        made, total = _weighted(a, axis, weights, keepdims)
    return (made, np.broadcast_to(total, made.shape)) if returned else made


def _weighted(a: Any, axis: Any, weights: Any, keepdims: bool) -> tuple[Secret, Any]:
    shape, w = np.shape(a), weights if isinstance(weights, Secret) else np.asarray(weights)
    if w.shape != shape:
        if axis is None:
            raise TypeError(
                "np.average: the axis must be named where weights have another shape than what is averaged"
            )
        axes = np.lib.array_utils.normalize_axis_tuple(axis, len(shape))
        if w.shape != tuple(shape[i] for i in axes):
            raise ValueError("np.average: the weights must be as many as what is averaged along the axis")
        w = np.transpose(w, np.argsort(axes)) if len(axes) > 1 else w
        w = np.reshape(w, [n if i in axes else 1 for i, n in enumerate(shape)])
        w = np.broadcast_to(w, shape)
    total = (
        linear.sum_(w, axis, keepdims) if isinstance(w, Secret) else np.sum(w, axis=axis, keepdims=keepdims)
    )
    x, rows = _rows(a, axis), _rows(w, axis)
    if isinstance(w, Secret):
        sums = products.matmul(x[..., None, :], rows[..., :, None])
        made = division.divide(sums.reshape(linear.reduced(shape, axis, keepdims)), total)
    else:
        made = statistics.weighted(x, rows.astype(np.float64)).reshape(linear.reduced(shape, axis, keepdims))
    return made, total if isinstance(total, Secret) else np.asarray(total, np.float64)


def _rows(x: Any, axis: Any) -> Any:
    """x with the axes that are averaged as one, at the end."""
    axes = linear.axes_of(np.ndim(x), axis)
    y = call(np.moveaxis, x, axes, range(-len(axes), 0))
    return y.reshape((*y.shape[: y.ndim - len(axes)], -1 if y.size else 0))
