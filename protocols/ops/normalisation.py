"""The place of a secret number's top bit, and powers of two with a secret exponent: what real functions are
made of.

Every x > 0 is v·2^c with v in [1/2, 1); a polynomial does for v, and 2^c is moved around exactly.

    bits of x       the terms that add up to x (``summands``), by a parallel-prefix adder over their planes
    c               in a tree over pairs of blocks: whether a block has a bit set, and the place of its top
                    one is that of the higher half if that has one, else of the lower
    2^c             only the log₂ k bits of c go to the arithmetic ring:  2^c = Π (1 + (2^(2^i) − 1)·c_i)

Candidates for 64 bits, ANDs a number (64 of them cost about a ring product), and products in the ring:

    prefix adder, prefix OR, 64 bits to the ring (Catrina, Saxena 2010; CrypTen; SPU)  ~900 ANDs  64 products
    Sklansky's adder, prefix OR, the XOR of every 2^i-th as bit i of c                 ~600 ANDs  11 products
    Sklansky's adder, tree of top bits (this)                                          ~540 ANDs  11 products

Rounds   2 for the planes (3 with more than two terms), log₂ k for the adder, as many for the tree, 2 or 3
         back to the ring, 3 for 2^c.
Source   J. Sklansky, Conditional-sum addition logic, 1960; V. Oklobdzija, An algorithmic and novel design of
         a leading zero detector circuit, 1994; normalisation for division: Catrina, Saxena, Secure
         computation with fixed-point numbers, FC 2010; a secret exponent as a product over its bits: Aly,
         Smart, ePrint 2019/354.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from mpc.ring import BITS, Ring
from mpc.rounds import gather
from protocols.bilinear import MULTIPLY
from protocols.carries import both, joined, zero_planes
from protocols.ops.comparison import to_ring
from protocols.suite import Share, Suite, lift

# -- planes of bits ------------------------------------------------------------------------------------


async def top_bit(suite: Suite, planes: Share) -> tuple[Share, Share]:
    """Whether any plane has a bit set, and the index of the highest that has, in binary, lowest digit first
    (0 if none has).
    """
    n, words = planes.shape
    found, place = (
        joined(planes, zero_planes(planes, (1 << (n - 1).bit_length()) - n)),
        suite.constant(BITS.zeros((0, words))),
    )
    place = cast(Share, lift(lambda x: np.zeros((found.shape[0], 0, words), x.dtype), place))
    while found.shape[0] > 1:
        low, high = found[0::2], found[1::2]
        new = await both(suite, high[:, None], joined(low[:, None], place[0::2] + place[1::2], axis=1))
        place = joined(place[0::2] + new[:, 1:], high[:, None], axis=1)
        found = low + high + new[:, 0]
    return found[0], place[0]


async def any_bit(suite: Suite, planes: Share) -> Share:
    """Whether any plane has a bit set, as one plane."""
    while (n := planes.shape[0]) > 1:
        low, high = planes[: n // 2], planes[n // 2 : 2 * (n // 2)]
        planes = joined(low + high + await both(suite, low, high), planes[2 * (n // 2) :])
    return planes


# -- numbers in the ring -------------------------------------------------------------------------------


async def numbers(suite: Suite, planes: Share, ring: Ring, n: int) -> list[Share]:
    """Planes of bits as vectors of numbers 0 and 1; one by one, since all of them are more than a cache
    holds.
    """
    return await gather(*(to_ring(suite, planes[i], ring, (n,)) for i in range(planes.shape[0])))


async def product(suite: Suite, x: Share, y: Share) -> Share:
    return await suite.bilinear(MULTIPLY, x, y)


async def scaled(suite: Suite, x: Share, y: Share, bits: int) -> Share:
    """x·y / 2^bits, up to one unit in the last place."""
    return await suite.bilinear(MULTIPLY, x, y, bits)


async def power_of_two(suite: Suite, digits: Sequence[Share], down: bool = False) -> Share:
    """2^e, or 2^(2^m − 1 − e) where ``down``, for the m binary digits of e as numbers, lowest first."""
    factors = []
    for i, digit in enumerate(digits):
        ring = digit.ring
        jump = digit * ring((1 << (1 << i)) - 1)
        factors.append(-jump + ring(1 << (1 << i)) if down else jump + ring(1))
    return await product_of(suite, factors)


async def product_of(suite: Suite, factors: list[Share]) -> Share:
    """The product of several in a tree."""
    while len(factors) > 1:
        half = len(factors) // 2
        made = await gather(
            *(product(suite, x, y) for x, y in zip(factors[:half], factors[half : 2 * half], strict=True))
        )
        factors = [*made, *factors[2 * half :]]
    return factors[0]


async def polynomial(suite: Suite, x: Share, coefficients: Any, bits: int) -> Share:
    """Σ c_i·x^i for public real c and x with ``bits`` fractional bits, |x| ≤ 1: powers up to x⁴, then
    Horner's rule in x⁴.

    Paterson and Stockmeyer 1973: a polynomial of degree 11 takes 5 products and 6 truncations instead of 11
    of each, since the sums of a block are rounded together.
    """
    ring = x.ring
    x2 = await scaled(suite, x, x, bits)
    x3, x4 = await gather(scaled(suite, x2, x, bits), scaled(suite, x2, x2, bits))
    blocks = np.zeros((-(-len(coefficients) // 4), 4))
    blocks.reshape(-1)[: len(coefficients)] = coefficients
    result: Share | None = None
    for block in blocks[::-1]:
        c = [round(float(v) * 2.0**bits) for v in block]
        total = x * ring(c[1]) + x2 * ring(c[2]) + x3 * ring(c[3]) + ring(c[0] << bits)
        result = await suite.truncate(
            total if result is None else total + await product(suite, result, x4), bits
        )
    assert result is not None
    return result
