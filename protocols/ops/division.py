"""Division by a secret, exact up to two units in the last place wherever quotient and operands lie in range.

|y| = v·2^c with v in [1/2, 1), and r ≈ 1/v from a cubic and two steps of Goldschmidt.  Written as integers,
in units of the last place, a first quotient and then the quotient of what remains, which the ring knows
exactly:

    q₀ = ⌊(x·2^−c)·r⌉,     x/y = q₀ + ((x − q₀·y)·2^−c)·r

x·2^−c spans more than a word where c may be anything from 0 to k: x itself serves for the small c, its upper
half for the large.  The second term is below 8, which is why a fixed number of bits is enough for it.

The cubic is (1 − T₄(m)/577)/v with Chebyshev's T₄ and m = 4v − 3: the polynomial with the smallest relative
error on [1/2, 1], and it has factors: 32/577·(3 − m)(m² + 8).  It uses 14 bits of v and no rounding; with e =
1 − v·r₀, |e| < 2^−8.8, 1/v = r₀·(1 + e)(1 + e²)(1 + e⁴)…, of which two factors are used, or one where 2^−16
will do; over Z_2^128 three.

Range    |x| < 2^(k−2−f), |y| < 2^(k−5−f), |x/y| < 2^min(k/2−3, k−3−f); a quotient beyond wraps, as a product
         does.  Integers divided by integers have the ring's whole range: there f = 0 for x and y.
Result   x/0 is 0, for every x.
Accuracy 1.2 units in the last place, also of quotients of 2^45 units (f ≤ k/4; near f = k/2 − 2, 12 units).
         ``reciprocal``: 1.3 units, or a 2^−26-th part of larger results (over Z_2^32: 2^−10-th; over Z_2^128:
         2^−57-th, with the usual 40 fractional bits none, for it is a division).
         Measured over the whole range, with rounds and bytes, in ``docs/accuracy.md``.
Cost     over Z_2^64, of the products in the ring, of truncations, and of bits that go to the ring, each about
         1, 1 to 2.5 and 1.5 products:
         bits and top bit     ~540 ANDs    6 + 2 bits     6 products
         1/v                                              6 products     6 truncations (4 and 4 to 2^−16)
         quotient                                         7              5
         For comparison, Newton's iteration on the unnormalised divisor from a secret guess (CrypTen, MP-SPDZ)
         is right in a narrow range only, and Goldschmidt without a remainder (Catrina, Saxena) to a relative
         2^−28, or 2^18 units.
Source   Catrina, Saxena, FC 2010 (normalisation, Goldschmidt's iteration); the step with the remainder is the
         classical one of floating-point units: Markstein, IBM J. Res. Dev. 34 (1990).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mpc.rounds import gather
from protocols.array.secret import Secret, call, find_session, unified
from protocols.carries import bits_of, joined, zero_planes
from protocols.ops import products
from protocols.ops.normalisation import numbers, power_of_two, product, scaled, top_bit
from protocols.suite import Share, Suite, elementwise

#: The divisor keeps this many bits of the ring free, so that remainders of 8 times its size fit.
SPARE = 4


def precision(k: int) -> int:
    """Fractional bits of normalised numbers: their products stay below 2^(k−2)."""
    return k // 2 - 2


def factors(k: int) -> int:
    """How many factors (1 + e)(1 + e²)(1 + e⁴)… normalised numbers have digits for."""
    return 2 if k <= 64 else 3


async def inverse(suite: Suite, v: Share, rough: Share, factors: int, *, fewer: int = 0) -> Share:
    """1/v for v in [1/2, 1], which has p = k/2 − 2 fractional bits and the result ``fewer`` less; ``rough``
    is v with p/2 − 1.

    Relative error 2^−17.5 with one factor, 2^−26.8 over Z_2^64 with two (over Z_2^32 2^−8.6 and 2^−11); over
    Z_2^128 2^−34 with two, 2^−58 with three.
    """
    ring = v.ring
    k, p = ring.bits, precision(ring.bits)
    a, b = p // 2 - 1, p // 2 + 1
    m = rough * ring(4) - ring(3 << a)
    square = await product(suite, m, m)
    room = k - 8 - 3 * a  # bits left for the constant 32/577
    j = room + 4
    r = await scaled(
        suite, -m + ring(3 << a), (square + ring(8 << 2 * a)) * ring(round(32 / 577 * 2**j)), 3 * a + j - b
    )
    e = -(await scaled(suite, v, r, b)) + ring(1 << p)
    one = ring(1 << p)
    series = e + one
    for _ in range(factors - 1):
        e = await scaled(suite, e, e, p)
        series = await scaled(suite, series, e + one, p)
    return await scaled(suite, r, series, b + fewer)


async def normalised(suite: Suite, y: Share) -> tuple[Share, Share, Share, Share, list[Share]]:
    """What is needed of |y| = v·2^c < 2^(k−1−SPARE), 1/2 ≤ v ≤ 1: the sign of y (0 for 0), |y|, and for e = c
    + SPARE

    2^(k/2−1−e) where e < k/2, else 0; 2^(k−1−e) where e ≥ k/2, else 0; the binary digits of e, whether y < 0,
    whether y ≠ 0."""
    ring, n = y.ring, y.size
    k = ring.bits
    bits = await bits_of(suite, y)
    sign = bits[k - 1 :]
    # 2^SPARE·(2|y| − [y < 0])
    magnitude = joined(
        zero_planes(bits, SPARE), sign, bits[: k - 1 - SPARE] + joined(*[sign] * (k - 1 - SPARE))
    )
    some, place = await top_bit(suite, magnitude)
    found = await numbers(suite, joined(place, sign, some.reshape((1, some.size))), ring, n)
    *digits, negative, nonzero = found
    signum = nonzero - negative - negative
    down, positive = await gather(power_of_two(suite, digits[:-1], down=True), product(suite, y, signum))
    high = await product(suite, down, digits[-1])
    return signum, positive, down - high, high, found


async def divided(suite: Suite, x: Share, y: Share, f: int) -> Share:
    """x / y, read as integers of one shape, with f fractional bits."""
    ring = y.ring
    k, p, half = ring.bits, precision(ring.bits), ring.bits // 2
    signum, divisor, low, high, _ = await normalised(suite, y)
    scale = low * ring(1 << half) + high  # 2^(k−1−SPARE−c)
    top = k - 1 - SPARE  # its exponent where c = 0

    async def reciprocal() -> Share:
        v = await product(suite, divisor, scale)
        fine, rough = await gather(suite.truncate(v, top - p), suite.truncate(v, top - (p // 2 - 1)))
        return await inverse(suite, fine, rough, factors(k))

    async def shifted() -> tuple[Share, Share]:
        """x's absolute value with y's sign, and that times 2^(2−c)."""
        z = await product(suite, x, signum)
        extra = SPARE + 1  # x's upper part loses half − extra bits
        upper = await suite.truncate(z, half - extra)
        by_low, by_high = await gather(product(suite, z, low), product(suite, upper, high))
        return z, await suite.truncate(by_low * ring(1 << extra) + by_high, half - 2)

    r, (z, t) = await gather(reciprocal(), shifted())
    first = await scaled(suite, t, r, p + 2)
    w = p - 2
    rest = await scaled(suite, z - await product(suite, first, divisor), scale, top - w)
    second = await scaled(suite, rest, r, w + p - f)
    return first * ring(1 << f) + second


def divide(x: Any, y: Any) -> Secret:
    """x / y in fixed point, where either or both are secret: see the module for range and accuracy; x/0 is 0.

    41 rounds and 362 bytes a party and element with ``replicated``, 38 and 515 between two parties
    without a dealer, 38 and 452 with one; a public divisor takes 1 or 2."""
    if not isinstance(y, Secret):
        return products.divide(x, y)
    if np.ndim(x) == 0 and not isinstance(x, Secret) and x == 1:
        return reciprocal(y)
    return _quotient(x, y)


def _quotient(x: Any, y: Secret) -> Secret:
    """The result has as many fractional bits as the operands, integers as a session's reals."""
    session = find_session((x, y))
    # the first quotient is one of ring elements: their units must be the same
    x, y = unified(x, y)
    kind = x.kind if x.kind.fraction else session.fixed
    shape = np.broadcast_shapes(x.shape, y.shape)
    x, y = (call(np.broadcast_to, v, shape) if v.shape != shape else v for v in (x, y))

    def streamed(suite: Suite, x: Share, y: Share) -> Any:
        async def piece(x: Share, y: Share) -> Share:
            flat = (x.size,)
            return (await divided(suite, x.reshape(flat), y.reshape(flat), kind.fraction)).reshape(x.shape)

        return elementwise(piece, x, y)

    return session.spawn("divide", streamed, (x, y), shape, kind)


async def _reciprocal(suite: Suite, y: Share, f: int) -> Share:
    """2^f/y = sign·r·2^(f−c): no remainder, since a numerator of 1 has no more bits than it shows."""
    ring = y.ring
    k, p, half = ring.bits, precision(ring.bits), ring.bits // 2
    signum, divisor, low, high, _ = await normalised(suite, y)
    scale, top = low * ring(1 << half) + high, k - 1 - SPARE

    async def inverted() -> Share:
        v = await product(suite, divisor, scale)
        fine, rough = await gather(suite.truncate(v, top - p), suite.truncate(v, top - (p // 2 - 1)))
        return await inverse(suite, fine, rough, factors(k), fewer=3)

    async def moved() -> Share:
        return await product(suite, signum, await suite.truncate(scale, top - half - 2))  # 2^(k/2+2−c)

    r, power = await gather(inverted(), moved())
    return await scaled(suite, r, power, p - 3 + half + 2 - f)


def reciprocal(y: Secret) -> Secret:
    """1 / y in fixed point, cheaper than a division; 1/0 is 0.  Where f > k/4 it is a division."""
    kind = y.kind if y.kind.fraction else y.session.fixed
    digits = kind.fraction + y.kind.fraction
    if 2 * kind.fraction > y.session.ring.bits // 2:
        return _quotient(1, y)

    def streamed(suite: Suite, y: Share) -> Any:
        async def piece(y: Share) -> Share:
            return (await _reciprocal(suite, y.reshape((y.size,)), digits)).reshape(y.shape)

        return elementwise(piece, y)

    return y.session.spawn("reciprocal", streamed, (y,), y.shape, kind)


def reciprocal_(y: Secret) -> Secret:
    """``np.reciprocal``, which is of integers an integer and nobody's wish."""
    if not y.kind.fraction:
        raise TypeError("np.reciprocal of integers is an integer, 0 but for 1 and -1; write 1 / x")
    return reciprocal(y)
