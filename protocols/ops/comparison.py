"""Comparisons, and what follows from them: choice, extremes, absolute values, logic.

x < y is the sign of x − y.  Its top bit comes from the terms that add up to the difference (``summands``:
what parties know of it), bit-sliced, by the carry of their sum into the top plane:

    g_j = a_j b_j,   p_j = a_j ⊕ b_j,   (g, p) ∘ (g', p') = (g ⊕ p g', p p'),   carry = g of the whole

in a tree, since ∘ is associative.  The bit goes back to the arithmetic ring the same way: its terms are
known to parties, and a ⊕ b = a + b − 2ab.

Candidates, for 64 bits and two terms; ANDs a number, rounds from the terms to the bit:

    ripple carry             63 ANDs     63 rounds
    Kogge–Stone prefix      ~700 ANDs     7 rounds      every carry, of which one is needed
    carry tree (this)       ~185 ANDs     7 rounds      63 pairs, 62 nodes
    edaBits, Rabbit         ~120 ANDs     7 rounds      a mask with known bits per comparison, from a dealer or cut
                                                        and choose; to be weighed when there is preprocessing by OT

Range    |x − y| < 2^(k−1), in units of the last place; for fixed point and integers alike.
Source   conversion from known terms: Mohassel, Rindal, ePrint 2018/403 (ABY3), section 5.3; the carry tree for one
         comparison bit: Catrina, de Hoogh, SCN 2010, and Escudero et al., ePrint 2020/338.
"""
from __future__ import annotations

from functools import partial
from typing import Any, cast

import numpy as np

from mpc.bits import planes, planes_spec, unpacked
from mpc.encoding import BOOL
from mpc.ring import BITS, Ring, Shape, Spec
from protocols.array import Secret, call, constant, find_session, rescaled, retyped, unified
from protocols.bilinear import MULTIPLY
from protocols.ops import linear, products
from protocols.suite import Share, Suite, elementwise, lift

# -- bits --------------------------------------------------------------------------------------------


async def both(suite: Suite, x: Share, y: Share) -> Share:
    """x AND y, one round."""
    return await suite.bilinear(MULTIPLY, x, y)


async def two_terms(suite: Suite, x: Share, low: int = 0, high: int | None = None) -> tuple[Share, Share, Share]:
    """Bit planes of two terms a and b that add up to x, and their AND; planes ``low`` to ``high`` only, if said.

    More than two are reduced by carry-save addition, a round each time.
    """
    whole = planes_spec(x.spec)
    some = Spec(BITS, (len(range(whole.shape[0])[low:high]), *whole.shape[1:]))
    terms = list(await suite.summands(x, lambda term: planes(term)[low:high], some))
    if len(terms) == 2:
        return terms[0], terms[1], await suite.product_of_terms(terms[0], terms[1])
    while len(terms) > 2:
        a, b, c, *rest = terms
        majority = await both(suite, a + b, a + c) + a
        terms = [a + b + c, _doubled(majority), *rest]
    return terms[0], terms[1], await both(suite, terms[0], terms[1])


def _doubled(x: Share) -> Share:
    """Twice the number: every plane moves up one place."""
    return cast(Share, lift(lambda p: np.concatenate([np.zeros_like(p[:1]), p[:-1]]), x))


async def carry(suite: Suite, g: Share, p: Share) -> Share:
    """Whether planes that generate (g) or propagate (p) carry out of the last: ⌈log2⌉ rounds."""
    while (n := g.shape[0]) > 1:
        h = n // 2
        low_g, low_p, high_g, high_p = g[0:2 * h:2], p[0:2 * h:2], g[1:2 * h:2], p[1:2 * h:2]
        if n == 2:
            return (high_g + await both(suite, high_p, low_g))[0]
        pair = cast(Share, lift(lambda u, v: np.stack([u, v]), low_g, low_p))
        joined = await both(suite, high_p.reshape((1, *high_p.shape)), pair)    # p is masked once for both
        g, p = (cast(Share, lift(lambda u, v: np.concatenate([u, v]), new, old[2 * h:]))
                for new, old in ((high_g + joined[0], g), (joined[1], p)))
    return g[0]


async def to_ring(suite: Suite, bits: Share, ring: Ring, shape: Shape) -> Share:
    """One plane of bits as numbers 0 and 1: one product for every term but the first."""
    n = int(np.prod(shape))
    first, *rest = terms = await suite.summands(bits, lambda t: unpacked(t, ring, n), Spec(ring, (n,)))
    for term in rest:
        common = await (suite.product_of_terms(first, term) if len(terms) == 2 else both(suite, first, term))
        first = first + term - common - common
    return first.reshape(shape)


async def negative(suite: Suite, x: Share) -> Share:
    """1 where x < 0, else 0, in x's ring."""
    top = x.ring.bits - 1
    a, b, g = await two_terms(suite, x)
    sign = a[top] + b[top] + await carry(suite, g[:top], (a + b)[:top])
    return await to_ring(suite, sign, x.ring, x.shape)


async def is_zero(suite: Suite, x: Share) -> Share:
    """1 where x = 0, else 0: the sum a + b is zero if and only if a ⊕ b = 2·(a or b), then an AND tree."""
    a, b, g = await two_terms(suite, x)
    different = a + b + _doubled(a + b + g)
    alike = different + suite.constant(BITS(np.full(different.shape, np.uint64(2**64 - 1))))
    while (n := alike.shape[0]) > 1:
        h = n // 2
        joined = await both(suite, alike[:h], alike[h:2 * h])
        alike = cast(Share, lift(lambda u, v: np.concatenate([u, v]), joined, alike[2 * h:]))
    return await to_ring(suite, alike[0], x.ring, x.shape)


# -- comparisons -------------------------------------------------------------------------------------


def _test(label: str, protocol: Any, x: Secret) -> Secret:
    def streamed(suite: Suite, share: Share) -> Any:
        return elementwise(partial(protocol, suite), share)
    return x.session.spawn(label, streamed, (x,), x.shape, BOOL)


def less(x: Any, y: Any) -> Secret:
    return _test("less", negative, linear.subtract(x, y))


def greater(x: Any, y: Any) -> Secret:
    return less(y, x)


def less_equal(x: Any, y: Any) -> Secret:
    return logical_not(less(y, x))


def greater_equal(x: Any, y: Any) -> Secret:
    return logical_not(less(x, y))


def equal(x: Any, y: Any) -> Secret:
    return _test("equal", is_zero, linear.subtract(x, y))


def not_equal(x: Any, y: Any) -> Secret:
    return logical_not(equal(x, y))


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


def bitwise(name: str, f: Any) -> Any:
    """& | ^ ~ on truth values."""
    def make(*xs: Any) -> Secret:
        if any(x.kind != BOOL if isinstance(x, Secret) else np.asarray(x).dtype.kind != "b" for x in xs):
            raise NotImplementedError(f"np.{name} on secrets other than truth values is not available yet")
        return cast(Secret, f(*xs))
    return make


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
    kinds = [x, y] if isinstance(x, Secret) or isinstance(y, Secret) else [constant(session, x, session.kind_of(x)), y]
    x, y = unified(*kinds)
    chosen = linear.add(y, products.multiply(truth(condition), linear.subtract(x, y)))
    return retyped(chosen, BOOL) if x.kind == BOOL else chosen


def minimum(x: Any, y: Any) -> Secret:
    x, y = unified(x, y)
    return where(less(y, x), y, x)


def maximum(x: Any, y: Any) -> Secret:
    x, y = unified(x, y)
    return where(less(x, y), y, x)


def clip(x: Secret, a_min: Any = None, a_max: Any = None) -> Secret:
    x = x if a_min is None else maximum(x, a_min)
    return x if a_max is None else minimum(x, a_max)


def absolute(x: Secret) -> Secret:
    return products.multiply(x, linear.subtract(1, products.multiply(2, less(x, 0))))


def sign(x: Secret) -> Secret:
    result = linear.subtract(less(0, x), less(x, 0))
    return rescaled(result, x.kind) if x.kind.fraction else result


# -- extremes along an axis --------------------------------------------------------------------------


def _extreme(x: Secret, axis: Any, keepdims: bool, smaller: bool) -> tuple[Secret, Secret]:
    """The first smallest (or largest) element along an axis and its index: a tree of comparisons."""
    if isinstance(axis, tuple):
        raise NotImplementedError("the extremes of secrets along several axes")
    y = x.ravel() if axis is None else call(np.moveaxis, x, axis, 0)
    n = len(y)
    if n == 0:
        raise ValueError("the extreme of no elements")
    positions = np.arange(n).reshape(-1, *(1,) * (y.ndim - 1))
    index: Any = constant(x.session, np.broadcast_to(positions, y.shape), x.session.kind_of(positions))
    while (n := len(y)) > 1:
        h = n // 2
        first, second = (y[0:2 * h:2], index[0:2 * h:2]), (y[1:2 * h:2], index[1:2 * h:2])
        better = less(second[0], first[0]) if smaller else less(first[0], second[0])
        y, index = (call(np.concatenate, [where(better, b, a), whole[2 * h:]])
                    for a, b, whole in zip(first, second, (y, index), strict=True))
    shape = y.shape[1:]
    if keepdims:
        shape = (1,) * x.ndim if axis is None else (*x.shape[:axis % x.ndim], 1, *x.shape[axis % x.ndim + 1:])
    return y.reshape(shape), index.reshape(shape)


def min_(x: Secret, axis: Any = None, keepdims: bool = False) -> Secret:
    return _extreme(x, axis, keepdims, True)[0]


def max_(x: Secret, axis: Any = None, keepdims: bool = False) -> Secret:
    return _extreme(x, axis, keepdims, False)[0]


def argmin(x: Secret, axis: Any = None, keepdims: bool = False) -> Secret:
    return _extreme(x, axis, keepdims, True)[1]


def argmax(x: Secret, axis: Any = None, keepdims: bool = False) -> Secret:
    return _extreme(x, axis, keepdims, False)[1]


def ptp(x: Secret, axis: Any = None, keepdims: bool = False) -> Secret:
    return linear.subtract(max_(x, axis, keepdims), min_(x, axis, keepdims))
