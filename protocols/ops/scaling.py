"""Products of a secret with public real numbers, right wherever the secret and the product fit.

A real p has more digits than there is room for beside x, so x is split, once.  Both are integers here, in
units of their last places.  With k bits and h = k/2 − 1, let y = x·2^t and P = p·2^−t for the least public t
≥ 0 with
|P| ≤ 1, and

    y = 2^h·u + v:             u is y / 2^h, rounded at random to a neighbour   |u| ≤ 2^(k−2−h)   |v| < 2^h
    P ≈ 2^−h·(M + m·2^−b):     M and m are the nearest integers                 |m| ≤ 2^(b−1)
    P ≈ w·2^−b:                so is w                                          |w| ≤ 2^b

    x·p  ≈  u·M  +  (u·m + v·w) / 2^b,       b = k/2 − 2.

|x·p| < 2^(k−3) gives |y| < 2^(k−2), what the first truncation asks for: |P| ≥ 1/2 where t > 0.  The second
one's operand is at most 2^(k−2−h+b−1) + 2^(h+b) = 2^(k−4) + 2^(k−3).  That m is rounded costs |u|·2^(−b−1) ≤
|y|/2^(k−2) units, that w is |v|·2^(−b−1) < 1 (and next to nothing where |y| is far below 2^h, since u is then
0 but for a chance of |y|/2^h), the second truncation less than one: three in all.

*Matrix products*, with n products in each sum.  Now |P| stands for the sum Σ|P| ≤ 1 over the inner axis, t is
one for all, and numerators do not fit side by side: they are truncated apart, in the same round, and get
second digits m' and w', since n errors add up.  With c = h − ⌈log2 n⌉,

    x @ p  ≈  Σ u·M  +  Σ u·m / 2^c  +  Σ u·m' / 2^2c  +  Σ v·w / 2^b  +  Σ v·w' / 2^(b+c).

|Σ v·w| ≤ 2^h·(2^b + n/2), the other three are at most 2^(k−3).  What is left over costs n·|u|·2^(−2c−1) and
n·2^(h−b−c−1), for n ≤ 2^(k/4−1) no more than |y|·2^(−3k/4−1) and 1/2 units, and four truncations.  A longer
sum is one of several so long.

*Fewer digits.*  Whole p are exact and local, as is any real times a truth value.  p = m·2^−s, exactly, takes
one truncation where |x·m| < 2^(k−2) follows from the range: s ≤ 1, or Σ|m| ≤ 1.

Range    |x|, and |x| times the largest |p| that it meets or the largest Σ|p| of a matrix product, below
         2^(k−3−f); where x is of integers, so is what it becomes: x itself may have 2^(k−3).
Accuracy 3 units in the last place; a matrix product 5 for each 2^(k/4−1) of the inner axis, and a
         2^(−3k/4)-th part of |x|·Σ|p|.  p itself is a double, and so is a quotient's d: a longer integer is
         rounded to one.
Cost     two truncations one after the other: one of each x, one of each result (four side by side in a matrix
         product).
Threat   the suite's: ``Suite.truncate`` is all that is used.
Source   long multiplication; a secret's digits by truncation; ours.  1/d as three doubles, each the quotient
         of what the ones before leave over, which is exact: Dekker, Numerische Mathematik 18 (1971).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial, reduce
from itertools import accumulate
from operator import add
from typing import Any, NamedTuple, cast

import numpy as np

from mpc.encoding import BOOL, Kind
from mpc.errors import EncodingError
from mpc.ring import NDArray, Ring, RingArray, Shape
from mpc.rounds import gather
from protocols.array.secret import Secret
from protocols.bilinear import MULTIPLY, Bilinear
from protocols.suite import Share, Suite, elementwise, lift

# -- public reals ------------------------------------------------------------------------------------


class Reals(NamedTuple):
    """Public real numbers as sums of doubles: what the first one leaves over is in the second, and so on."""

    parts: tuple[NDArray, ...]

    @property
    def high(self) -> NDArray:
        return self.parts[0]

    def shifted(self, bits: Any) -> Reals:
        """Times 2^bits."""
        return Reals(tuple(np.asarray(np.ldexp(part, bits)) for part in self.parts))


def doubles(p: Any) -> Reals:
    return Reals((np.asarray(p, np.float64),))


def quotient(n: Any, d: Any) -> Reals:
    """n / d to 150 bits, in operations that are the same on every machine; 0 for infinite d."""
    with np.errstate(all="ignore"):  # NaN and infinities are looked at when the result is used
        (rest, i), (b, j) = np.frexp(np.asarray(n, np.float64)), np.frexp(np.asarray(d, np.float64))
        parts = []
        for _ in range(3):
            part = np.asarray(rest / b)
            product = part * b
            (u, v), (s, t) = _halves(part), _halves(b)
            error = ((u * s - product) + u * t + v * s) + v * t  # part·b = product + error
            rest = np.where(np.isfinite(b), (rest - product) - error, 0.0)
            parts.append(part)
        return Reals(tuple(parts)).shifted(i - j)


def _halves(x: NDArray) -> tuple[NDArray, NDArray]:
    """Two doubles of 26 bits that add up to x."""
    high = x * 134217729.0 - (x * 134217729.0 - x)
    return high, x - high


def _sum_of_two(x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
    """The double next to x + y, and what it leaves over."""
    total = np.asarray(x + y)
    return total, (x - (total - (total - x))) + (y - (total - x))


def _digits(p: Reals, widths: Sequence[int]) -> list[NDArray]:
    """The integer next to p·2^w for the first width, then that next to the rest times 2^w' for the next, and
    so on.
    """
    parts, digits = list(p.parts), []
    for width in widths:
        parts = [np.ldexp(part, width) for part in parts]
        first = np.rint(parts[0])
        parts[0] = parts[0] - first
        for i in range(len(parts) - 1):
            parts[i : i + 2] = _sum_of_two(*parts[i : i + 2])
        second = np.rint(parts[0])
        parts[0] = parts[0] - second
        digits.append(first.astype(np.int64) + second.astype(np.int64))
    return digits


def _places(p: NDArray) -> int:
    """How many binary places after the point all of p have, at most."""
    mantissa, exponent = np.frexp(p)
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    zeros = np.frexp((whole & -whole).astype(np.float64))[1] - 1
    return int(np.max(53 - zeros - exponent, initial=0, where=whole != 0))


def _size(p: NDArray, axis: int | None) -> int:
    """The least t ≥ 0 known to have Σ|p| < 2^t along an axis, or |p| < 2^t; 30 bits of each are added up,
    exactly.
    """
    most = int(np.frexp(np.abs(p).max(initial=0))[1])
    if axis is None:
        return max(0, most)
    total = np.ceil(np.ldexp(np.abs(p), 30 - most)).astype(np.int64).sum(axis=axis).max(initial=0)
    return max(0, most - 30 + int(total).bit_length())


# -- the product -------------------------------------------------------------------------------------


def times(f: Bilinear, x: Secret, p: Reals, kind: Kind | None = None, *, left: bool = False) -> Secret:
    """f(x, p), or f(p, x) with p on the ``left``, as x's kind (integers as fixed point) unless another is
    named.
    """
    ring, k = x.session.ring, x.session.ring.bits
    kind = kind or (x.kind if x.kind.fraction else x.session.fixed)
    shape = f.shape(p.high.shape, x.shape) if left else f.shape(x.shape, p.high.shape)
    _fit(p, kind, ring)
    said = (*p.parts, left)
    p = p.shifted(kind.fraction - x.kind.fraction)
    if x.kind == BOOL and f == MULTIPLY:
        p = doubles(np.rint(p.high))  # of 0 and 1 the product has as many digits as p

    def apply(m: RingArray, part: RingArray) -> RingArray:
        return f(m, part) if left else f(part, m)

    axis = None if f == MULTIPLY else -1 if left or p.high.ndim == 1 else -2
    s = k if any(part.any() for part in p.parts[1:]) else _places(p.high)
    if s < k - 2 and (s <= 1 or _size(p.shifted(s).high, axis) <= 1):
        m = ring.whole(p.shifted(s).high)

        async def exact(suite: Suite, x: Share) -> Share:
            z = x.apply(partial(apply, m))
            return await suite.truncate(z, s) if s else z

        return x.session.spawn(f.name, exact, (x,), shape, kind, said)

    t: Any = _met(p.high, x.shape) if axis is None else _size(p.high, axis)
    p = p.shifted(-t)
    n = 1 if axis is None else p.high.shape[axis]
    groups = _groups(n, 1 << (k // 4 - 1), left, x.shape, p.high.shape) if n > 1 else [(..., ...)]
    h, terms = _terms(p, n, ring)
    scale = _power(ring, t)

    async def split(suite: Suite, x: Share) -> Share:
        y = x if scale is None else x * scale
        u = await suite.truncate(y, h)
        halves = u, y - u * ring(1 << h)

        async def quotient(bits: int, limbs: list[tuple[int, RingArray]]) -> Share:
            sums = [
                _sum(halves[i][x_at].apply(partial(apply, m[p_at])) for i, m in limbs)
                for x_at, p_at in groups
            ]
            if not bits:
                return _sum(sums)
            if len(sums) == 1:
                return await suite.truncate(sums[0], bits)
            each = await suite.truncate(cast(Share, lift(lambda *parts: np.stack(parts), *sums)), bits)
            return _sum(each[i] for i in range(len(sums)))

        return _sum(await gather(*(quotient(bits, limbs) for bits, limbs in terms.items())))

    def protocol(suite: Suite, x: Share) -> Any:
        return elementwise(partial(split, suite), x) if p.high.ndim == 0 else split(suite, x)

    return x.session.spawn(f.name, protocol, (x,), shape, kind, said)


def _sum(xs: Iterable[Share]) -> Share:
    return reduce(add, xs)


def _fit(p: Reals, kind: Kind, ring: Ring) -> None:
    if not np.isfinite(p.high).all():
        raise EncodingError("a public operand is NaN or infinite")
    limit = ring.bits - 2 - kind.fraction
    if np.abs(p.high).max(initial=0) >= 2.0**limit:
        raise EncodingError(f"a public operand lies outside ±2^{limit}, the range of fixed point here")


def _terms(p: Reals, n: int, ring: Ring) -> tuple[int, dict[int, list[tuple[int, RingArray]]]]:
    """h; and by how many bits to truncate which sum of products of u (0) and v (1) with which digits."""
    h, b = ring.bits // 2 - 1, ring.bits // 2 - 2
    c = h - (min(n, 1 << (ring.bits // 4 - 1)) - 1).bit_length()
    terms: dict[int, list[tuple[int, RingArray]]] = {}
    u, v = ((h, b), (b,)) if n == 1 else ((h, c, c), (b, c))
    for half, before, widths in ((0, -h, u), (1, 0, v)):
        for bits, digit in zip(accumulate(widths), _digits(p, widths), strict=True):
            terms.setdefault(before + bits, []).append((half, ring(digit)))
    return h, terms


def _met(p: NDArray, shape: Shape) -> NDArray:
    """For each element of an array of this shape the least t ≥ 0 with |p| < 2^t for all that it meets."""
    t = np.maximum(np.frexp(p)[1], 0)
    t = t.max(axis=tuple(range(max(0, t.ndim - len(shape)))), initial=0)
    alone = tuple(i for i in range(-t.ndim, 0) if shape[i] == 1)
    return np.asarray(t.max(axis=alone, keepdims=True, initial=0))


def _power(ring: Ring, t: Any) -> RingArray | None:
    """2^t in the ring; nothing for 1."""
    result, left = None, np.asarray(t)
    while left.any():
        step = np.minimum(left, 62)
        power = ring(np.left_shift(np.int64(1), step))
        result, left = power if result is None else result * power, left - step
    return result


def _groups(n: int, most: int, left: bool, x: Shape, p: Shape) -> list[tuple[Any, Any]]:
    """What is at most so many long of the inner axis: indices into x and into p."""

    def at(piece: slice, shape: Shape, first: bool) -> Any:
        return (..., piece) if not first or len(shape) == 1 else (..., piece, slice(None))

    pieces = [slice(lo, min(n, lo + most)) for lo in range(0, n, most)]
    return [(at(piece, x, left), at(piece, p, not left)) for piece in pieces]
