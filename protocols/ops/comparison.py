"""Comparisons, and what follows from them: choice, extremes, absolute values, logic.

x < y is the sign of x − y.  A suite turns a number into planes of bits whose carry is its sign
(``Suite.signs``: ``protocols/carries.py`` from bit planes, ``protocols/suites/blocks.py`` and
``protocols/masked_bits.py`` four bits at a time), a tree composes them, and the bit goes back to the
arithmetic ring: its terms are known to parties, and a ⊕ b = a + b − 2ab; or it is opened masked by a bit that
is shared both ways.

Candidates, for 64 bits and two terms; ANDs a number, rounds from the terms to the bit:

    ripple carry             63 ANDs    63 rounds
    Kogge–Stone prefix      ~700 ANDs    7 rounds  every carry, of which one is needed
    carry tree (this)       ~185 ANDs    7 rounds  63 pairs, 62 nodes
    the same over blocks     ~45 ANDs    6 rounds  where two parties know one of two terms (``replicated``)
    edaBits                 ~120 ANDs    8 rounds  a mask whose bits are shared, for any number of parties
    the same over blocks     ~29 ANDs    6 rounds  and products of its bits (``additive``)

Cost     ``replicated``: 8 rounds, 24 bytes a party and comparison; ``additive`` among n parties: 6
         rounds, 13.6·(n − 1) bytes; of two without a dealer 8 rounds, 39 bytes.  ``maximum``, ``minimum``,
         ``abs``, with ``Suite.chosen``: 8 rounds and 27 bytes, with ``additive`` 7 and 29.6·(n − 1), or 9 and
         55.
Range    |x − y| < 2^(k−1), in units of the last place; for fixed point and integers alike.  Integers beside
         reals compare as the numbers that they are, also those that fixed point cannot be: as many rounds
         with public reals, three times the bytes and a product more with secret ones.  Infinite public reals
         decide; NaN is refused.
Source   as named in those modules; the way back: ABY3, section 5.4, with the terms of ``Suite.summands``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import numpy as np

from mpc.encoding import BOOL, INT, Kind, numeric
from mpc.errors import EncodingError
from mpc.ring import Ring, Shape
from protocols.array.secret import Secret, call, constant, find_session, rescaled, retyped, unified
from protocols.carries import all_ones, carry
from protocols.ops import linear, products
from protocols.suite import Share, Suite, elementwise

# -- bits --------------------------------------------------------------------------------------------


async def to_ring(suite: Suite, bits: Share, ring: Ring, shape: Shape) -> Share:
    """Planes of bits (one, or any number of them along leading axes of ``shape``) as numbers 0 and 1."""
    return (await suite.to_ring(bits, ring, math.prod(shape[bits.parts[0].data.ndim - 1 :]))).reshape(shape)


async def negative(suite: Suite, x: Share) -> Share:
    """1 where x < 0, else 0, in x's ring."""
    return await to_ring(suite, await carry(suite, await suite.signs(x)), x.ring, x.shape)


async def negative_part(suite: Suite, x: Share) -> Share:
    """x where x < 0, else 0."""
    return await suite.chosen(await carry(suite, await suite.signs(x)), x)


async def is_zero(suite: Suite, x: Share) -> Share:
    """1 where x = 0, else 0, in x's ring."""
    return await to_ring(suite, await all_ones(suite, await suite.zeros(x)), x.ring, x.shape)


# -- comparisons -------------------------------------------------------------------------------------


def _of_difference(label: str, protocol: Any, x: Any, y: Any, kind: Kind | None = None) -> Secret:
    """``protocol(suite, x, y)`` of operands of one kind and shape, piece by piece."""
    x, y = unified(x, y)
    shape = np.broadcast_shapes(x.shape, y.shape)

    def streamed(suite: Suite, x: Share, y: Share) -> Any:
        x, y = (
            (
                z
                if z.shape == shape
                else z.apply(lambda part: part.map(lambda data: np.broadcast_to(data, shape)))
            )
            for z in (x, y)
        )
        return elementwise(partial(protocol, suite), x, y)

    return cast(Secret, x.session.spawn(label, streamed, (x, y), shape, kind or x.kind))


async def _less(suite: Suite, x: Share, y: Share) -> Share:
    return await negative(suite, x - y)


async def _equal(suite: Suite, x: Share, y: Share) -> Share:
    return await is_zero(suite, x - y)


def less(x: Any, y: Any) -> Secret:
    if _apart(x, y):
        return _beside_reals(less, x, y, -1)
    if _apart(y, x):
        return _beside_reals(lambda y, x: less(x, y), y, x, 1)
    return _of_difference("less", _less, x, y, BOOL)


def greater(x: Any, y: Any) -> Secret:
    return less(y, x)


def less_equal(x: Any, y: Any) -> Secret:
    return logical_not(less(y, x))


def greater_equal(x: Any, y: Any) -> Secret:
    return logical_not(less(x, y))


def equal(x: Any, y: Any) -> Secret:
    if _apart(x, y):
        return _beside_reals(equal, x, y, 0)
    if _apart(y, x):
        return _beside_reals(equal, y, x, 0)
    return _of_difference("equal", _equal, x, y, BOOL)


def not_equal(x: Any, y: Any) -> Secret:
    return logical_not(equal(x, y))


def _apart(x: Any, y: Any) -> bool:
    """Whether x is of secret integers and y of reals, where x need not have a place; or y is infinite
    somewhere.
    """
    if not isinstance(x, Secret):
        return False
    if isinstance(y, Secret):
        return x.kind == INT and y.kind.fraction > 0
    array = numeric(y, "a public operand")
    return array.dtype.kind == "f" and (not x.kind.fraction or bool(np.isinf(array).any()))


def comparable(x: Any, y: Any) -> bool:
    """Whether the two, made one kind, compare as the numbers that they are."""
    return not (_apart(x, y) or _apart(y, x))


def _beside_reals(test: Callable[[Any, Any], Secret], x: Secret, y: Any, order: int) -> Secret:
    """``test(x, y)``, which is x < y, x = y or x > y by the sign of ``order``, where the two are apart.

    Integers are below a real y where they are below ⌈y⌉, above it where they are above ⌊y⌋, and equal to none
    that is not whole.  Beside a secret y, integers beyond the range of fixed point are found by comparisons
    of their own, and the result put in.
    """
    session, bits = x.session, x.session.ring.bits
    below: Any
    above: Any
    beyond: Any
    if isinstance(y, Secret):
        most = 1 << bits - 2 - y.kind.fraction
        below, above = less(x, -most), less(most - 1, x)
        beyond, inner = retyped(linear.add(below, above), BOOL), test(rescaled(x, y.kind), y)
    else:
        array = numeric(y).astype(np.float64)
        if np.isnan(array).any():
            raise EncodingError("NaN cannot be compared with secrets; remove or replace such values first")
        whole = np.ceil(array) if order < 0 else np.floor(array)
        border = array if x.kind.fraction else whole
        limit = np.inf if x.kind.fraction else 2.0 ** (bits - 1)
        below, above = border >= limit, (border < -limit) | (border == -np.inf)
        beyond = below | above | (array != whole if order == 0 and not x.kind.fraction else False)
        border = np.where(beyond, 0.0, border)
        inner = test(x, border if x.kind.fraction else constant(session, session.ring.whole(border), INT))
        if not beyond.any():
            return inner
    return where(beyond, below if order < 0 else above if order > 0 else False, inner)


# -- logic -------------------------------------------------------------------------------------------


def truth(x: Any) -> Any:
    """Secrets and public values as truth values: numbers are true unless zero."""
    if isinstance(x, Secret):
        return x if x.kind == BOOL else not_equal(x, 0)
    return np.asarray(x).astype(bool)


def logical_not(x: Any) -> Secret:
    return retyped(linear.subtract(1, truth(x)), BOOL)


def logical_and(x: Any, y: Any) -> Secret:
    return retyped(products.multiply(truth(x), truth(y)), BOOL)


def logical_or(x: Any, y: Any) -> Secret:
    x, y = truth(x), truth(y)
    return retyped(linear.subtract(linear.add(x, y), products.multiply(x, y)), BOOL)


def logical_xor(x: Any, y: Any) -> Secret:
    x, y = truth(x), truth(y)
    return retyped(linear.subtract(linear.add(x, y), products.multiply(2, products.multiply(x, y))), BOOL)


def count_nonzero(x: Secret, axis: Any = None, keepdims: bool = False) -> Secret:
    return linear.sum_(truth(x), axis, keepdims)


def any_(x: Secret, axis: Any = None, keepdims: bool = False) -> Secret:
    return less(0, count_nonzero(x, axis, keepdims))


def all_(x: Secret, axis: Any = None, keepdims: bool = False) -> Secret:
    return logical_not(any_(logical_not(x), axis, keepdims))


# -- choice ------------------------------------------------------------------------------------------


def where(condition: Any, x: Any = None, y: Any = None) -> Secret:
    """x where the condition holds, else y: y + c·(x − y), one round for a secret condition."""
    if not isinstance(condition, Secret):
        return linear.where(condition, x, y)
    if x is None or y is None:
        raise TypeError("np.where on secrets takes a condition and two arrays: where it holds must not show")
    session = find_session((condition, x, y))
    kinds = (
        [x, y]
        if isinstance(x, Secret) or isinstance(y, Secret)
        else [constant(session, x, session.kind_of(x)), y]
    )
    x, y = unified(*kinds)
    chosen = linear.add(y, products.multiply(truth(condition), linear.subtract(x, y)))
    return retyped(chosen, BOOL) if x.kind == BOOL else chosen


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Secret:
    """Differences of neighbours, n times: x_(i+1) − x_i, of truth values whether the two are different."""
    if n < 0:
        raise ValueError(f"np.diff takes an order of 0 or more, not {n}")
    if np.ndim(a) == 0:
        raise ValueError("np.diff takes an array of at least one axis")
    if n == 0:
        return cast(Secret, a)
    x: Secret = a
    if prepend is not None or append is not None:
        one = [*np.shape(a)]
        one[axis] = 1
        first, last = (
            end if end is None or np.ndim(end) else np.broadcast_to(end, one) for end in (prepend, append)
        )
        x = call(np.concatenate, [part for part in (first, a, last) if part is not None], axis=axis)
    between = logical_xor if x.kind == BOOL else linear.subtract
    for _ in range(n):
        x = call(np.moveaxis, x, axis, 0)
        x = call(np.moveaxis, between(x[1:], x[:-1]), 0, axis)
    return x


def minimum(x: Any, y: Any) -> Secret:
    """y + the negative part of x − y; of integers and reals, whose difference may wrap, a comparison and a
    choice.
    """
    if _apart(x, y) or _apart(y, x):
        return where(less(x, y), x, y)

    async def protocol(suite: Suite, x: Share, y: Share) -> Share:
        return y + await negative_part(suite, x - y)

    return _of_difference("minimum", protocol, x, y)


def maximum(x: Any, y: Any) -> Secret:
    """x − the negative part of x − y; or as ``minimum``."""
    if _apart(x, y) or _apart(y, x):
        return where(less(x, y), y, x)

    async def protocol(suite: Suite, x: Share, y: Share) -> Share:
        return x - await negative_part(suite, x - y)

    return _of_difference("maximum", protocol, x, y)


_NOT_GIVEN: Any = object()


def clip(
    a: Any, a_min: Any = _NOT_GIVEN, a_max: Any = _NOT_GIVEN, *, min: Any = None, max: Any = None
) -> Any:
    """Any of the three may be secret.  Integers are compared with real bounds before they become real."""
    if (a_min is _NOT_GIVEN) != (a_max is _NOT_GIVEN) or (
        a_min is not _NOT_GIVEN and (min is not None or max is not None)
    ):
        raise TypeError(
            "np.clip takes two bounds, a_min and a_max, of which one may be None; or min= and max="
        )
    if a_min is _NOT_GIVEN:
        a_min, a_max = min, max
    if a_min is None and a_max is None:
        return a
    low = a if a_min is None else _either(maximum, np.maximum, a, a_min)
    if a_max is None:
        return low
    if not _apart(a, a_max):
        return _either(minimum, np.minimum, low, a_max)
    above = less(a_max, a)
    if a_min is not None:
        above = logical_or(above, _either(less, np.less, a_max, a_min))
    return where(above, a_max, low)


def _either(f: Callable[..., Any], plain: Callable[..., Any], *xs: Any) -> Any:
    return (f if any(isinstance(x, Secret) for x in xs) else plain)(*xs)


def absolute(x: Secret) -> Secret:
    return x if x.kind == BOOL else _of_difference("absolute", _absolute, x, 0)


async def _absolute(suite: Suite, x: Share, zero: Share) -> Share:
    below = await negative_part(suite, x)
    return x - below - below


def sign(x: Secret) -> Secret:
    result = linear.subtract(less(0, x), less(x, 0))
    return rescaled(result, x.kind) if x.kind.fraction else result


# -- extremes along an axis --------------------------------------------------------------------------


def _extreme(x: Secret, axis: Any, keepdims: bool, smaller: bool) -> tuple[Secret, Secret]:
    """The first smallest (or largest) element along an axis and its index: a tree of comparisons."""
    shape = linear.reduced(x.shape, axis, keepdims)
    y = linear.gathered(x, axis)
    n = len(y)
    if n == 0:
        raise ValueError("the extreme of no elements")
    positions = np.arange(n).reshape(-1, *(1,) * (y.ndim - 1))
    index: Any = constant(x.session, np.broadcast_to(positions, y.shape), x.session.kind_of(positions))
    while (n := len(y)) > 1:
        h = n // 2
        first, second = (y[0 : 2 * h : 2], index[0 : 2 * h : 2]), (y[1 : 2 * h : 2], index[1 : 2 * h : 2])
        better = less(second[0], first[0]) if smaller else less(first[0], second[0])
        y, index = (
            call(np.concatenate, [where(better, b, a), whole[2 * h :]])
            for a, b, whole in zip(first, second, (y, index), strict=True)
        )
    return y[0].reshape(shape), index[0].reshape(shape)


def min_(x: Secret, axis: Any = None, keepdims: bool = False) -> Secret:
    return _extreme(x, axis, keepdims, True)[0]


def max_(x: Secret, axis: Any = None, keepdims: bool = False) -> Secret:
    return _extreme(x, axis, keepdims, False)[0]


def argmin(x: Secret, axis: int | None = None, keepdims: bool = False) -> Secret:
    return _extreme(x, axis, keepdims, True)[1]


def argmax(x: Secret, axis: int | None = None, keepdims: bool = False) -> Secret:
    return _extreme(x, axis, keepdims, False)[1]


def ptp(x: Secret, axis: Any = None, keepdims: bool = False) -> Secret:
    return linear.subtract(max_(x, axis, keepdims), min_(x, axis, keepdims))
