"""Arrays put together from others by a public pattern: pad, insert, block, select, choose, and their
relatives.

NumPy's own function of arrays of positions says where each element of the result comes from: so it has
NumPy's shape, and NumPy's errors.  Local.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from mpc.encoding import numeric
from mpc.ring import NDArray
from protocols.array.secret import Secret, call, secrets_in, unified
from protocols.ops import comparison, linear, types


def rearranged(f: Callable[..., Any], *xs: Any) -> Any:
    """f of arrays, secret and public, which does nothing but move their elements."""
    flat = call(np.concatenate, [x.ravel() for x in unified(*xs)])
    ends = np.cumsum([np.size(x) for x in xs])
    positions = [
        np.arange(end - np.size(x), end).reshape(np.shape(x)) for x, end in zip(xs, ends, strict=True)
    ]
    made = f(*positions)
    return [flat[at] for at in made] if isinstance(made, list | tuple) else flat[made]


_PAD = ("constant", "edge", "reflect", "symmetric", "wrap")


def pad(
    array: Secret,
    pad_width: Any,
    mode: Any = "constant",
    *,
    constant_values: Any = None,
    reflect_type: str = "even",
) -> Secret:
    """Around a secret array, public numbers (in its type, as NumPy has them) or elements of its own."""
    if mode not in _PAD or reflect_type != "even":
        raise NotImplementedError(
            f"np.pad on secrets has the modes {', '.join(_PAD)}, and the reflect_type even; "
            "compute what else is to stand around, and join it with np.concatenate"
        )
    if secrets_in([pad_width]) or not isinstance(array, Secret):
        raise TypeError("np.pad of secrets takes a secret array and public widths")
    if mode != "constant":
        if constant_values is not None:
            raise ValueError(f"np.pad takes no constant_values= with mode={mode!r}")
        return rearranged(lambda at: np.pad(at, pad_width, mode), array)  # type: ignore[no-any-return]
    constant_values = 0 if constant_values is None else constant_values
    if secrets_in([constant_values]):
        raise NotImplementedError(
            "np.pad on secrets takes public constant_values; join secret ones with np.concatenate"
        )
    around = np.pad(np.zeros(array.shape, array.dtype), pad_width, constant_values=numeric(constant_values))
    inside = np.pad(np.arange(array.size).reshape(array.shape), pad_width, constant_values=-1)
    values, which = np.unique(around[inside < 0], return_inverse=True)
    inside[inside < 0] = array.size + which
    return call(np.concatenate, [array.ravel(), values])[inside]


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Secret:
    """Public or secret values before public places, in the type of what they are put into,
    as NumPy has it.
    """
    if isinstance(obj, Secret):
        raise TypeError(
            "np.insert at a secret place: which elements move would show; use np.where over positions"
        )
    given = values if isinstance(values, Secret) else numeric(values, "a value to insert")
    return rearranged(  # type: ignore[no-any-return]
        lambda at, new: np.insert(at, obj, new, axis),
        arr,
        types.astype(given, types.dtype_of(arr)),
    )


def _leaves(x: Any) -> Iterator[Any]:
    if isinstance(x, list):
        for item in x:
            yield from _leaves(item)
    else:
        yield x


def block(arrays: Any) -> Secret:
    """From nested lists of blocks."""

    def placed(x: Any, positions: Iterator[NDArray]) -> Any:
        return [placed(item, positions) for item in x] if isinstance(x, list) else next(positions)

    leaves = list(_leaves(arrays))
    return rearranged(lambda *at: np.block(placed(arrays, iter(at))), *leaves)  # type: ignore[no-any-return]


def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Any, ...]:
    """Each in the shape that all have together; the public ones stay public."""
    shape = np.broadcast_shapes(*map(np.shape, args))
    return tuple(np.broadcast_to(x, shape) for x in args)


def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Any, ...]:
    """A grid of coordinates; of public ones public."""
    if indexing not in ("xy", "ij"):
        raise ValueError(f"np.meshgrid has the indexing xy and ij, not {indexing!r}")
    n = len(xi)
    made = [np.reshape(x, (1,) * i + (-1,) + (1,) * (n - 1 - i)) for i, x in enumerate(xi)]
    if indexing == "xy" and n > 1:
        made = [np.swapaxes(x, 0, 1) for x in made]
    return tuple(made) if sparse else broadcast_arrays(*made)


def unstack(x: Secret, *, axis: int = 0) -> tuple[Secret, ...]:
    """The parts along an axis."""
    if x.ndim == 0:
        raise ValueError("np.unstack takes an array of at least one axis")
    return tuple(call(np.moveaxis, x, axis, 0))


def ediff1d(ary: Secret, to_end: Any = None, to_begin: Any = None) -> Secret:
    """The differences of neighbours, with something before and after."""
    between = comparison.diff(linear.positive(ary.ravel()))  # truth values as integers
    for end in (to_begin, to_end):
        if end is not None and not np.can_cast(types.dtype_of(end), between.dtype, "same_kind"):
            raise TypeError(
                f"np.ediff1d: what stands around differences of type {between.dtype} must be of no wider kind"
            )
    parts = [np.ravel(x) for x in (to_begin, between, to_end) if x is not None]
    return call(np.concatenate, parts) if len(parts) > 1 else between


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """The first choice whose condition holds; conditions, choices and default may be secret."""
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(
            f"np.select takes as many choices as conditions, and one at least, not {len(choicelist)} and"
            f" {len(condlist)}"
        )
    for i, condition in enumerate(condlist):
        if types.dtype_of(condition).kind != "b":
            raise TypeError(f"np.select: condition {i} is no array of truth values")
    shape = np.broadcast_shapes(*map(np.shape, (*condlist, *choicelist, default)))
    to = types.common(*choicelist, default)
    made: Any = np.broadcast_to(types.astype(default, to), shape)
    for condition, choice in zip(condlist[::-1], choicelist[::-1], strict=True):
        made = np.where(condition, types.astype(choice, to), made)
    return made


def choose(a: Any, choices: Any, mode: str = "raise") -> Secret:
    """The elements of several arrays that a public or secret index names; a secret one that names none reads
    0.
    """
    several = [choices[i] for i in range(len(choices))]
    if not isinstance(a, Secret):
        index = numeric(a, "an index")
        return rearranged(lambda *at: np.choose(index, at, mode=mode), *several)  # type: ignore[no-any-return,call-overload]
    a = types.astype(a, int) if a.dtype.kind == "b" else a
    if mode == "clip":
        a = comparison.clip(a, 0, len(several) - 1)
    elif mode == "wrap":
        a = np.remainder(a, len(several))
    shape = np.broadcast_shapes(a.shape, *map(np.shape, several))
    table: Any = np.stack([np.broadcast_to(x, shape) for x in several])
    return call(np.take_along_axis, table, call(np.broadcast_to, a, shape)[None], 0)[0]
