"""Matrices in units of their own size: times a secret power of two, so that the Frobenius norm is in [1/2,
1).

    A  =  A'·2^(e−f),       4^(e−1) ≤ Σ a² < 4^e  in units of the last places,

with f fractional bits of A and h = k/2 − 4 of A'.  So what is computed with A' has the same digits whatever A
is measured in, squares and sums of squares of unit vectors have room, and nothing is lost by the scaling
where A is below 2^(h−f).  A matrix of zeros stays one.

What is computed there comes back by a secret power of two.  Where that may be long, a product with it would
not fit before it is rounded: ``raised`` multiplies by what the lower digits of the exponent say, all but two,
and chooses among four public shifts.

Rounds   2 for the squares, 20 for the digits of e, 4 for the powers and the product; 16 and 17 for
         ``raised``.
Source   the power of two: ``normalisation``; ours.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import numpy as np

from mpc.encoding import INT, Fixed, Kind
from mpc.rounds import gather
from protocols.array.secret import Secret, call, constant, find_session, retyped
from protocols.bilinear import MULTIPLY
from protocols.ops import linear
from protocols.ops.bitwise import low_digits
from protocols.ops.comparison import negative
from protocols.ops.normalisation import power_of_two, product
from protocols.ops.products import multiply, real, shifted, unrounded
from protocols.ops.roots import exponent
from protocols.ops.tensors import array
from protocols.suite import Share, Suite, elementwise, lift

P = ParamSpec("P")
T = TypeVar("T")


def digits(bits: int) -> int:
    """The fractional bits h of matrices in their own units, over a ring of so many bits."""
    return bits // 2 - 4


class Scaled(NamedTuple):
    """A matrix in its own units; 2^(k/2−1−e), 2^e and e as integers, with its number of axes."""

    matrix: Secret
    down: Secret
    up: Secret
    exponent: Secret


def matrices(a: Any, name: str, like: Secret | None = None, square: bool = False) -> Secret:
    """Secret reals, matrices along the last two axes; a public one becomes secret, among those of ``like``'s
    session.
    """
    x = array(a)
    if x.ndim < 2:
        raise np.linalg.LinAlgError(f"np.linalg.{name} takes matrices, not an array of {x.ndim} axes")
    if square and x.shape[-1] != x.shape[-2]:
        raise np.linalg.LinAlgError(
            f"np.linalg.{name} takes square matrices, not an array of shape {x.shape}"
        )
    if not isinstance(x, Secret):
        assert like is not None
        x = constant(like.session, x, like.session.fixed)
    return real(linear.positive(x))


def of_elements(func: Callable[P, T]) -> Callable[P, T]:
    """A function of ``np.linalg`` whose matrices may have none: then NumPy's result is that of any numbers,
    and is shared.
    """

    @wraps(func)
    def made(*args: P.args, **kwargs: P.kwargs) -> T:
        first: Any = args[0] if args else next(iter(kwargs.values()))
        if np.size(first):
            return func(*args, **kwargs)
        session = find_session((*args, *kwargs.values()))

        def shown(x: Any) -> Any:
            return np.zeros(x.shape, x.dtype) if isinstance(x, Secret) else x

        try:
            result: Any = getattr(np.linalg, func.__name__)(
                *map(shown, args), **{name: shown(x) for name, x in kwargs.items()}
            )
        except ValueError as error:
            raise type(error)(f"np.linalg.{func.__name__} of no elements: {error}") from None
        parts = [
            constant(session, x, session.kind_of(x))
            for x in (result if isinstance(result, tuple) else (result,))
        ]
        return type(result)(*parts) if isinstance(result, tuple) else parts[0]  # type: ignore[return-value]

    return made


def scaled(a: Secret) -> Scaled:
    k = a.session.ring.bits
    total = linear.sum_(unrounded(MULTIPLY, a, a), axis=(-2, -1), keepdims=True)
    down, up, e = powers(total)
    matrix = shifted(multiply(retyped(a, INT), down), k // 2 - 1 - digits(k))
    return Scaled(retyped(matrix, Fixed(digits(k))), down, up, e)


def powers(total: Secret, odd: int = 0) -> tuple[Secret, Secret, Secret]:
    """2^(k/2−1−e), 2^e and e, for the least e with 2^odd·total < 4^e; totals as integers, in units of their
    last places.
    """

    async def protocol(suite: Suite, x: Share) -> Share:
        *places, _ = await exponent(suite, x.reshape((x.size,)), odd)
        down, up = await gather(power_of_two(suite, places, down=True), power_of_two(suite, places))
        e = places[0]
        for i, place in enumerate(places[1:], 1):
            e = e + place * x.ring(1 << i)
        made: Share = lift(lambda *parts: np.stack(parts).reshape((3, *x.shape)), down, up, e)
        return made

    made = total.session.spawn("powers", protocol, (total,), (3, *total.shape), INT, odd)
    return made[0], made[1], made[2]


async def _raised(suite: Suite, x: Share, e: Share) -> Share:
    ring, k = x.ring, x.ring.bits
    half, quarter = k // 2, k // 4
    moved = e + ring(half)
    digits, under = await gather(low_digits(suite, moved), negative(suite, moved))
    *low, middle, high = digits
    fine = await product(suite, x, await power_of_two(suite, low))  # x·2^(moved mod k/4)
    some, most = await gather(suite.truncate(fine, quarter), suite.truncate(fine, half))
    up, down = await gather(
        product(suite, middle, fine * ring((1 << quarter) - 1)), product(suite, middle, some - most)
    )
    large, small = fine + up, most + down
    made = small + await product(suite, high, large - small)
    return cast(Share, made - await product(suite, under, made))


def raised(x: Secret, e: Secret, kind: Kind) -> Secret:
    """x·2^e as this kind, rounded once, for |x| < 2^(3k/4 − 2) and e < k/2, both as integers; 0 where e <
    −k/2.
    """

    def streamed(suite: Suite, x: Share, e: Share) -> Any:
        async def piece(x: Share, e: Share) -> Share:
            return (await _raised(suite, x.reshape((x.size,)), e.reshape((x.size,)))).reshape(x.shape)

        return elementwise(piece, x, e)

    shape = np.broadcast_shapes(x.shape, e.shape)
    operands = [call(np.broadcast_to, retyped(v, INT), shape) for v in (x, e)]
    return retyped(x.session.spawn("raise", streamed, operands, shape, INT), kind)


def transpose(x: Secret) -> Secret:
    return call(np.swapaxes, x, -1, -2)
