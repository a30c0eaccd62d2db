"""Square roots and their inverses.

x = v·4^e with v in [1/4, 1), from the top bits of pairs of planes, so that √x = √v·2^e needs no parity.  w ≈
1/√v starts as a cubic; with h = 1 − v·w², |h| < 2^−5,

    1/√v = w·(1 − h)^(−1/2) ≈ w·(1 + h/2 + 3h²/8 + 5h³/16 + 35h⁴/128),     √v = v·(1/√v),

which is one step of fifth order: two products fewer than Newton's w·(3 − v·w²)/2 twice.  Over Z_2^128 a step
of third order follows.

Range    0 < x < 2^(k−2−f) (an odd f: half of that); of integers, all below 2^(k−2).
Result   √x and 1/√x are 0 for x = 0 and for every x < 0.
Accuracy 1.2 units in the last place, or a 2^−26-th part (2^−9 over Z_2^32, 2^−57 over Z_2^128) of larger
results: ``docs/accuracy.md``.
Cost     over Z_2^64, as in ``division``: ~500 ANDs, 6 bits that go to the ring, and 14 products and 9
         truncations (√x: 19 and 10).  40 rounds and 325 bytes a party and element with ``replicated``, 37 and
         484 between two parties without a dealer, 436 with one; 1/√x less.
Source   normalisation to an even exponent: Aly, Smart, ePrint 2019/354; the cubic is the minimax polynomial
         of relative error (2^−7.1), factored; steps of higher order: Householder 1970.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mpc.encoding import Kind
from mpc.rounds import gather
from protocols.array.secret import Secret, beside
from protocols.bilinear import MULTIPLY
from protocols.carries import bits_of, both, joined, zero_planes
from protocols.ops import linear, products, statistics
from protocols.ops.division import precision
from protocols.ops.normalisation import numbers, power_of_two, product, scaled, top_bit
from protocols.suite import Share, Suite, elementwise


async def inverse_root(suite: Suite, v: Share, rough: Share) -> Share:
    """1/√v for v in [1/4, 1), with p = k/2 − 2 fractional bits; ``rough`` is v with p/2 − 1 of them."""
    ring = v.ring
    p = precision(ring.bits)
    a, b = p // 2 - 1, p // 2
    square = await product(suite, rough, rough)
    quadratic = square - rough * ring(round(1.04584904 * 2**a)) + ring(round(0.84583533 * 2 ** (2 * a)))
    linear = -rough + ring(round(1.50902598 * 2**a))
    j = ring.bits - 7 - 3 * a  # as many bits of the constant as there is room for
    w = await scaled(suite, linear * ring(round(2.4384528 * 2**j)), quadratic, 3 * a + j - b)
    h = -(await scaled(suite, v, await product(suite, w, w), 2 * b)) + ring(1 << p)
    h2 = await scaled(suite, h, h, p)
    rest = await scaled(suite, h2, h * ring(40) + h2 * ring(35) + ring(48 << p), p + 6)
    w = await scaled(suite, w, h + rest + ring(2 << p), b + 1)
    if ring.bits <= 64:
        return w
    # < 2^−25: a step of third order
    h = -(await scaled(suite, v, await scaled(suite, w, w, p), p)) + ring(1 << p)
    return await scaled(
        suite, w, (await scaled(suite, h, h * ring(3), p + 3)) * ring(2) + h + ring(2 << p), p + 1
    )


async def exponent(suite: Suite, x: Share, odd: int) -> list[Share]:
    """The binary digits, as numbers, of the least e with 2^odd·x < 4^e, for vectors x < 2^(k−2−odd); and
    whether x > 0.
    """
    ring, n, k = x.ring, x.size, x.ring.bits
    bits = await bits_of(suite, x)
    # its top bit has index c + 1 for 2^odd·x of c bits
    padded = joined(zero_planes(bits, 2 + odd), bits[: k - 2 - odd])
    pairs = padded[0::2] + padded[1::2] + await both(suite, padded[0::2], padded[1::2])
    some, place = await top_bit(suite, pairs)  # e = ⌈c/2⌉
    positive = await both(suite, some, some + bits[k - 1])
    return await numbers(suite, joined(place, positive.reshape((1, positive.size))), ring, n)


async def root(suite: Suite, x: Share, f: int, out: int, inverse: bool) -> Share:
    """√x or 1/√x with ``out`` fractional bits, for x with f of them."""
    ring, odd = x.ring, f % 2
    k, p, half = ring.bits, precision(ring.bits), ring.bits // 2
    *digits, holds = await exponent(suite, x, odd)

    async def normal() -> tuple[Share, Share]:
        down = await power_of_two(suite, digits, down=True)  # 2^(k/2−1−e)
        v = await product(suite, x * ring(1 << odd), await product(suite, down, down))
        fine, rough = await gather(suite.truncate(v, k - 2 - p), suite.truncate(v, k - 2 - (p // 2 - 1)))
        w = await inverse_root(suite, fine, rough)
        return (w, down) if inverse else (await scaled(suite, fine, w, p), down)

    async def up() -> Share:
        return holds if inverse else await product(suite, holds, await power_of_two(suite, digits))

    (mantissa, down), factor = await gather(normal(), up())
    if inverse:
        drop = p + half - 1 - out - (f + odd) // 2
        return await scaled(suite, mantissa, await product(suite, factor, down), drop)
    return await scaled(suite, mantissa, factor, p - out + (f + odd) // 2)


def root_of(label: str, x: Secret, f: int, kind: Kind, inverse: bool = False) -> Secret:
    """A root, as this kind, of what the ring's elements are with f fractional bits."""

    def streamed(suite: Suite, x: Share) -> Any:
        async def piece(x: Share) -> Share:
            return (await root(suite, x.reshape((x.size,)), f, kind.fraction, inverse)).reshape(x.shape)

        return elementwise(piece, x)

    return x.session.spawn(label, streamed, (x,), x.shape, kind, f)


def _real(x: Secret) -> Kind:
    return x.kind if x.kind.fraction else x.session.fixed


def sqrt(x: Secret) -> Secret:
    """√x in fixed point; 0 where x ≤ 0."""
    return root_of("sqrt", x, x.kind.fraction, _real(x))


@beside("mpc.rsqrt", lambda x: 1 / np.sqrt(x))
def rsqrt(x: Secret) -> Secret:
    """1/√x in fixed point; 0 where x ≤ 0.
    Half the cost of 1/np.sqrt(x), and right where √x has few digits.
    """
    return root_of("rsqrt", x, x.kind.fraction, _real(x), inverse=True)


def std(x: Secret, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Secret:
    """The root of a variance with all the digits of the squares: right where that is below 2^−f, too."""
    variance, f = statistics.variance(x, axis, ddof, keepdims)
    return root_of("sqrt", variance, f, _real(x))


def inverse_norm(total: Secret, kind: Kind) -> Secret:
    """1/√Σx² as this kind, of a sum with all its digits; 0 of 0."""
    return root_of("rsqrt", total, total.kind.fraction, kind, inverse=True)


def root_of_squares(x: Secret, axis: Any, keepdims: bool = False) -> Secret:
    """√Σx² along axes, the sum with all its digits: below 2^(k−2−2f)."""
    total = linear.sum_(products.unrounded(MULTIPLY, x, x), axis, keepdims)
    return root_of("sqrt", total, total.kind.fraction, _real(x))
