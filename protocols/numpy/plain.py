"""NumPy's functions in the clear, as secrets have them: exact on integers of any size, and with a word on
what cancels.

Truth values count as integers in arithmetic.  Integers are words where these hold operands and result, else
Python's, as objects; NumPy has most functions for those too, and its surprises there are dealt with here.
What NumPy refuses, or gives another shape, is nan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from mpc.encoding import BOOL, Kind
from mpc.ring import NDArray, Shape
from protocols.array.secret import listed

Function = Callable[..., Any]

#: They add and multiply, the numbers of one operand or of two: |f(x, y)| ≤ f(|x|, |y|).
OF_ONE: set[Function] = {
    np.sum,
    np.cumsum,
    np.prod,
    np.cumprod,
    np.mean,
    np.average,
    np.trace,
    np.square,
    np.power,
    np.linalg.trace,
    np.linalg.matrix_power,
    np.add.reduce,
    np.multiply.reduce,
    np.add.accumulate,
    np.multiply.accumulate,
    np.cumulative_sum,
    np.cumulative_prod,
    np.nansum,
    np.nancumsum,
    np.nanprod,
    np.nancumprod,
    np.nanmean,
}
OF_TWO: set[Function] = {
    np.add,
    np.subtract,
    np.multiply,
    np.matmul,
    np.dot,
    np.vdot,
    np.inner,
    np.outer,
    np.einsum,
    np.vecdot,
    np.matvec,
    np.vecmat,
    np.tensordot,
    np.kron,
    np.convolve,
    np.correlate,
    np.polyval,
    np.linalg.matmul,
    np.linalg.outer,
    np.linalg.vecdot,
    np.linalg.tensordot,
}
_DEVIATING: set[Function] = {np.var, np.std, np.nanvar, np.nanstd, np.cov}
#: They give whole numbers.
ROUNDING: set[Function] = {
    np.floor,
    np.ceil,
    np.trunc,
    np.rint,
    np.round,
    np.around,
    np.fix,
    np.sign,
    np.floor_divide,
}
#: Integers may grow here, too.
_GROWING: set[Function] = {
    np.diff,
    np.ediff1d,
    np.left_shift,
    np.negative,
    np.absolute,
    np.ptp,
    np.cross,
    np.linalg.cross,
    np.linalg.multi_dot,
}
#: Of integers NumPy's are something else than of reals.
_OF_REALS: set[Function] = {np.power, np.reciprocal}
_COMPARING: set[Function] = {np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal}
_LOGICAL: set[Function] = {np.logical_and, np.logical_or, np.logical_xor, np.logical_not}
#: What secrets have in place of NumPy's default: every sort of theirs is stable, and nothing is left as it
#: was in memory.
_INSTEAD: dict[Function, Function] = {
    np.argsort: lambda x, axis=-1, **_: np.argsort(x, axis, kind="stable"),
    np.partition: lambda x, kth, axis=-1, **_: np.sort(x, axis),
    np.argpartition: lambda x, kth, axis=-1, **_: np.argsort(x, axis, kind="stable"),
    np.empty_like: np.zeros_like,
}
#: Higher powers of integers other than 0, 1 and −1 are beyond every ring, and so is this one, of which there
#: is room.
_POWER = 1 << 10
#: What NumPy has for numbers alone, of objects.
_OF_OBJECTS: dict[Function, Function] = {
    np.ptp: lambda x, *args, **kwargs: np.max(x, *args, **kwargs) - np.min(x, *args, **kwargs),
    np.divmod: lambda x, y: (x // y, x % y),
    np.fmod: lambda x, y: np.where(np.asarray(x) < 0, -1, 1) * (np.abs(x) % np.abs(y)),
    np.power: lambda x, y, **kwargs: np.power(x, np.where(y > _POWER, _POWER + y % 2, y), **kwargs),
    np.digitize: lambda x, bins, right=False: _digitized(x, np.asarray(bins), "left" if right else "right"),
    **_INSTEAD,
}


def results(
    function: Function, kind: Kind, arguments: Any, at: Sequence[int], shapes: Sequence[Shape]
) -> list[NDArray]:
    """The arrays at these places among all that ``function(*args, **kwargs)`` returns, as numbers of this
    kind.
    """
    made = _evaluated(function, kind, arguments)
    return [
        _settled(kind, made[i] if i < len(made) else None, shape) for i, shape in zip(at, shapes, strict=True)
    ]


def magnitude(function: Function, arguments: Any) -> NDArray | None:
    """The same of magnitudes, for functions that add and multiply: how large a result can be before anything
    cancels.
    """
    args, kwargs = arguments
    if function in OF_ONE:
        args = _each(size, args)
    elif function in OF_TWO:
        operands = len(args) if function is np.einsum else 2  # others are options
        args = [size(x) if i < operands and not isinstance(x, str) else x for i, x in enumerate(args)]
    else:
        return None
    try:
        with np.errstate(all="ignore"):
            return np.asarray((np.add if function is np.subtract else function)(*args, **kwargs))
    except (TypeError, ValueError):
        return None


def deviating(function: Function, arguments: Any) -> NDArray | None:
    """Of standard deviations the largest magnitude in what each is taken of; of variances, its square."""
    args, kwargs = arguments
    if function not in _DEVIATING:
        return None
    if function is np.cov:
        return np.asarray(max(map(largest, arrays(arguments)), default=0.0) ** 2)
    sizes = size(args[0])
    options = {key: value for key, value in kwargs.items() if key in ("axis", "keepdims", "where")}
    most = np.max(np.where(np.isnan(sizes), 0.0, sizes), initial=0.0, **options)
    return np.asarray(most if function in (np.std, np.nanstd) else np.square(most))


def reordering(before: Sequence[NDArray], after: Sequence[NDArray]) -> Function:
    """The function that puts rows in the order in which they have come out; equal ones in any."""

    def order(arrays: Sequence[NDArray]) -> list[int]:
        rows = list(zip(*(a.reshape(len(a), -1).tolist() for a in arrays), strict=True))
        return sorted(range(len(rows)), key=rows.__getitem__)

    place = np.empty(len(before[0]), int)
    place[order(after)] = order(before)
    return lambda *arrays: [a[place] for a in arrays]


def nearest(
    function: Function, found: list[NDArray], after: Sequence[NDArray], arguments: Any
) -> list[NDArray]:
    """Of results that may be several the nearest to what came out.

    Of decompositions, vectors are given up to signs, and turns among equal values; of partitions, parts in
    any order."""
    if function in (np.partition, np.argpartition):
        args, kwargs = arguments
        return [_mixed(found[0], after[0], *args[1:3], **kwargs)]
    if function not in (np.linalg.eigh, np.linalg.svd, np.linalg.qr) or not all(
        np.isfinite(x).all() for x in (*found, *after)
    ):
        return found
    if function is np.linalg.eigh:
        values, v = found
        return [values, _turned(v, values, after[1])]
    if function is np.linalg.svd and len(found) == 3:
        u, values, vh = found
        none = np.zeros((*values.shape[:-1], max(u.shape[-1], vh.shape[-2]) - values.shape[-1]))
        every = np.concatenate([values, none], axis=-1)
        v = _turned(np.swapaxes(vh, -1, -2), every[..., : vh.shape[-2]], np.swapaxes(after[2], -1, -2))
        return [_turned(u, every[..., : u.shape[-1]], after[0]), values, np.swapaxes(v, -1, -2)]
    if function is np.linalg.qr:
        q, r = found[0], found[-1]
        axis = -2 if len(found) == 2 else -1
        sign = np.where((q * after[0]).sum(axis=axis) < 0, -1, 1)
        return [*([q * sign[..., None, :]] if len(found) == 2 else []), sign[..., : r.shape[-2], None] * r]
    return found


def _mixed(found: NDArray, after: NDArray, kth: Any, axis: int | None = -1, **_: Any) -> NDArray:
    """Each part of a partition in the order in which it came out: what is in both where it stood, the others
    by size.
    """
    rows, like = (np.moveaxis(np.atleast_1d(x), -1 if axis is None else axis, -1) for x in (found, after))
    rows, n = rows.copy(), rows.shape[-1]
    ranks = sorted({int(k) % n for k in np.ravel(kth)}) if n else []
    for row, came in zip(rows.reshape(-1, n), like.reshape(-1, n), strict=True):
        for lo, hi in pairwise([-1, *ranks, n]):
            part, out = row[lo + 1 : hi], came[lo + 1 : hi]
            left, places = sorted(part.tolist()), []
            for i in np.argsort(out, kind="stable").tolist():
                if out[i] in left:
                    left.remove(out[i])
                    part[i] = out[i]
                else:
                    places.append(i)
            part[places] = left
    return np.moveaxis(rows, -1, -1 if axis is None else axis).reshape(found.shape)


def _turned(vectors: NDArray, values: NDArray, like: NDArray) -> NDArray:
    close = np.abs(values[..., :, None] - values[..., None, :]) <= 2.0**-10 * np.max(
        np.abs(values), initial=0
    )
    u, _, vh = np.linalg.svd(np.where(close, np.swapaxes(vectors, -1, -2) @ like, 0))
    return np.asarray(vectors @ (u @ vh))


def size(x: Any) -> NDArray:
    return np.abs(real(np.asarray(x)))


def real(x: NDArray) -> NDArray:
    """Floating-point numbers, the largest of which stand for integers beyond them."""
    try:
        return x.astype(np.float64)
    except OverflowError:
        most = int(np.finfo(np.float64).max)
        return np.asarray(np.clip(x, -most, most), np.float64)


def largest(x: Any) -> float:
    sizes = size(x)
    return float(np.max(sizes, initial=0, where=~np.isnan(sizes)))


def narrow(x: NDArray) -> NDArray:
    """Python's integers as words, where these hold them."""
    fits = all(-(1 << 63) <= v < 1 << 63 for v in x.ravel().tolist())
    return x.astype(np.int64) if fits else x


# -- the forms in which a function takes its arguments ---------------------------------------------------


def _evaluated(function: Function, kind: Kind, arguments: Any) -> list[Any]:
    """All that a function returns; nothing where it refuses."""
    for form in _forms(function, kind, arguments):
        args, kwargs = _each(form, arguments)
        if "where" in kwargs:
            kwargs["where"] = arguments[1]["where"]  # a mask is one of truth values in every form
        try:
            with np.errstate(all="ignore"):
                objects = any(x.dtype == object for x in arrays((args, kwargs))) or any(
                    type(x) is int and abs(x) >> 63 for x in args
                )
                made = (_OF_OBJECTS if objects else _INSTEAD).get(function, function)(*args, **kwargs)
                # of objects, NumPy's ``and`` is one of the two
                return listed(made != 0 if function in _LOGICAL else made)
        except (TypeError, OverflowError, ZeroDivisionError):
            continue  # not in this form
        except (ValueError, IndexError):  # also of matrices that have no inverse
            return []
    return []


def _forms(function: Function, kind: Kind, arguments: Any) -> Iterator[Callable[[NDArray], NDArray]]:
    """How arrays may be passed, for a result of this kind; the best first."""
    if kind.fraction:
        if function in _OF_REALS:
            yield real
        yield lambda x: real(x) if x.dtype == object else x
        yield _counted
    elif kind != BOOL and function in OF_ONE | OF_TWO:
        most = magnitude(function, arguments)
        if most is not None and largest(most) < 2.0**62:
            yield _counted
        yield _wide
    elif kind != BOOL and function in _GROWING:
        yield lambda x: x if x.dtype.kind == "b" else _wide(x)
        yield _wide
    else:
        integers = [x for x in arrays(arguments) if x.dtype.kind == "i"]
        if function in _COMPARING and any(largest(x) > 2.0**53 for x in integers):
            yield _wide  # beside reals, NumPy would round the integers
        yield lambda x: x
        yield _counted
        yield _wide
    yield real


def _digitized(x: NDArray, bins: NDArray, side: Literal["left", "right"]) -> Any:
    falling = len(bins) > 0 and bins[0] > bins[-1]
    return len(bins) - np.searchsorted(bins[::-1], x, side) if falling else np.searchsorted(bins, x, side)


def _counted(x: NDArray) -> NDArray:
    return x.astype(np.int64) if x.dtype.kind == "b" else x


def _wide(x: NDArray) -> NDArray:
    return x.astype(object) if x.dtype.kind in "bi" else x


def _each(f: Callable[[NDArray], NDArray], x: Any) -> Any:
    """f of all arrays among arguments."""
    if isinstance(x, dict):
        return {key: _each(f, value) for key, value in x.items()}
    if type(x) in (list, tuple):
        return type(x)(_each(f, item) for item in x)
    return f(x) if isinstance(x, np.ndarray) else x


def arrays(x: Any) -> Iterator[NDArray]:
    """All arrays among arguments."""
    if isinstance(x, np.ndarray):
        yield x
    for item in x.values() if isinstance(x, dict) else x if isinstance(x, list | tuple) else ():
        yield from arrays(item)


def _settled(kind: Kind, made: Any, shape: Shape) -> NDArray:
    """A result as an array of its kind, or as near to it as its numbers allow."""
    array = np.asarray(made)
    if made is None or array.shape != shape:
        return np.full(shape, np.nan)
    if kind.fraction:
        return real(array)
    if array.dtype == object:
        array = narrow(array)
    if array.dtype.kind == "f" and (np.abs(array) < 2.0**53).all() and (array == np.rint(array)).all():
        array = array.astype(np.int64)
    if kind != BOOL:
        return _counted(array)
    return array.astype(bool) if array.dtype.kind == "i" and not (array & ~1).any() else array
