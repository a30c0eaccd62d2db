"""Matrices in units of their own size: times a secret power of two, so that the Frobenius norm is in [1/2, 1).

    A  =  A'·2^(e−f),       4^(e−1) ≤ Σ a² < 4^e  in units of the last places,

with f fractional bits of A and h = k/2 − 4 of A'.  So what is computed with A' has the same digits whatever A is
measured in, squares and sums of squares of unit vectors have room, and nothing is lost by the scaling where A is below
2^(h−f).  A matrix of zeros stays one.

Rounds   2 for the squares, 20 for the digits of e, 4 for the powers and the product.
Source   the power of two: ``normalisation``; ours.
"""
from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np

from mpc.encoding import INT, Fixed
from mpc.rounds import gather
from protocols.array import Secret, call, constant, find_session, retyped
from protocols.bilinear import MULTIPLY
from protocols.ops import linear
from protocols.ops.normalisation import power_of_two
from protocols.ops.products import multiply, real, shifted, unrounded
from protocols.ops.roots import exponent
from protocols.ops.tensors import array
from protocols.suite import Share, Suite, lift

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
    """Secret reals, matrices along the last two axes; a public one becomes secret, among those of ``like``'s session."""
    x = array(a)
    if x.ndim < 2:
        raise np.linalg.LinAlgError(f"np.linalg.{name} takes matrices, not an array of {x.ndim} axes")
    if square and x.shape[-1] != x.shape[-2]:
        raise np.linalg.LinAlgError(f"np.linalg.{name} takes square matrices, not an array of shape {x.shape}")
    if not isinstance(x, Secret):
        assert like is not None
        x = constant(like.session, x, like.session.fixed)
    return real(linear.positive(x))


def of_elements(func: Callable[P, T]) -> Callable[P, T]:
    """A function of ``np.linalg`` whose matrices may have none: then NumPy's result is that of any numbers, and is shared."""
    @wraps(func)
    def made(*args: P.args, **kwargs: P.kwargs) -> T:
        first: Any = args[0] if args else next(iter(kwargs.values()))
        if np.size(first):
            return func(*args, **kwargs)
        session = find_session((*args, *kwargs.values()))

        def shown(x: Any) -> Any:
            return np.zeros(x.shape) if isinstance(x, Secret) else x
        result: Any = getattr(np.linalg, func.__name__)(*map(shown, args), **{name: shown(x) for name, x in kwargs.items()})
        parts = [constant(session, x, session.kind_of(x)) for x in (result if isinstance(result, tuple) else (result,))]
        return type(result)(*parts) if isinstance(result, tuple) else parts[0]  # type: ignore[return-value]
    return made


def scaled(a: Secret) -> Scaled:
    k = a.session.ring.bits
    total = linear.sum_(unrounded(MULTIPLY, a, a), axis=(-2, -1), keepdims=True)
    down, up, e = powers(total)
    matrix = shifted(multiply(retyped(a, INT), down), k // 2 - 1 - digits(k))
    return Scaled(retyped(matrix, Fixed(digits(k))), down, up, e)


def powers(total: Secret, odd: int = 0) -> tuple[Secret, Secret, Secret]:
    """2^(k/2−1−e), 2^e and e, for the least e with 2^odd·total < 4^e; totals as integers, in units of their last places."""
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


def transpose(x: Secret) -> Secret:
    return call(np.swapaxes, x, -1, -2)
