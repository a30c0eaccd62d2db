"""The sign of a sum, and whether it is zero, from bit planes of its terms.

Terms that parties know (``Suite.summands``) are shared bit by bit.  With two of them, a and b, bit-sliced,

    g_j = a_j b_j,   p_j = a_j ⊕ b_j,   (g, p) ∘ (g', p') = (g ⊕ p g', p p')

in which (g', p') are the lower planes; the g of all lower planes is the carry into the top one.  Since ∘ is
associative, it is a tree.  The sum is zero where a ⊕ b = 2·(a or b).

Cost     more than two terms: a round and a product of all planes for each, by carry-save addition.  Two terms: a round
         for g, and ⌈log2⌉ of the number of planes for the tree.
Source   conversion from known terms: Mohassel, Rindal, ePrint 2018/403 (ABY3), section 5.3; the carry tree for one
         comparison bit: Catrina, de Hoogh, SCN 2010, and Escudero et al., ePrint 2020/338.
"""
from __future__ import annotations

from typing import cast

import numpy as np

from mpc.bits import planes, planes_spec
from mpc.ring import BITS
from protocols.bilinear import MULTIPLY
from protocols.suite import Share, Suite, lift


async def both(suite: Suite, x: Share, y: Share) -> Share:
    """x AND y, one round."""
    return await suite.bilinear(MULTIPLY, x, y)


def complement(x: Share) -> Share:
    """NOT x."""
    return x + x.suite.constant(BITS(np.full(x.shape, np.uint64(2**64 - 1))))


async def two_terms(suite: Suite, x: Share) -> tuple[Share, Share, Share]:
    """Bit planes of two terms a and b that add up to x, and their AND.

    More than two are reduced by carry-save addition, a round each time.
    """
    terms = list(await suite.summands(x, planes, planes_spec(x.spec)))
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


def topped(g: Share, p: Share, top: Share) -> tuple[Share, Share]:
    """Planes whose carry is ``top`` plus the carry of these."""
    def added(g: np.ndarray, top: np.ndarray) -> np.ndarray:
        return np.concatenate([g[:-1], g[-1:] ^ top])
    return cast(Share, lift(added, g, top)), p


async def signs(suite: Suite, x: Share) -> tuple[Share, Share]:
    """Planes that generate and propagate a carry, whose carry out of the last is the sign of x."""
    top = x.ring.bits - 1
    a, b, g = await two_terms(suite, x)
    p = a + b
    return topped(g[:top], p[:top], p[top])


async def zeros(suite: Suite, x: Share) -> Share:
    """Planes that are all one where x = 0."""
    a, b, g = await two_terms(suite, x)
    return complement(a + b + _doubled(a + b + g))


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


async def all_ones(suite: Suite, x: Share) -> Share:
    """The AND of all planes: ⌈log2⌉ rounds."""
    while (n := x.shape[0]) > 1:
        h = n // 2
        joined = await both(suite, x[:h], x[h:2 * h])
        x = cast(Share, lift(lambda u, v: np.concatenate([u, v]), joined, x[2 * h:]))
    return x[0]
