"""The sign of a sum, and whether it is zero, from bit planes of its terms.

Terms that parties know (``Suite.summands``) are shared bit by bit.  With two of them, a and b, bit-sliced,

    g_j = a_j b_j,   p_j = a_j ⊕ b_j,   (g, p) ∘ (g', p') = (g ⊕ p g', p p')

in which (g', p') are the lower planes; the g of all lower planes is the carry into the top one.  Since ∘ is
associative, it is a tree.  Where more carries are wanted than the last, Sklansky's prefix network gives them,
cut down to the nodes they depend on.  The sum is zero where a ⊕ b = 2·(a or b).

Cost     more than two terms: a round and a product of all planes for each, by carry-save addition.  Two
         terms: a round for g, and ⌈log2⌉ of the number of planes for the tree or the network.
Source   conversion from known terms: Mohassel, Rindal, ePrint 2018/403 (ABY3), section 5.3; the carry tree
         for one comparison bit: Catrina, de Hoogh, SCN 2010, and Escudero et al., ePrint 2020/338.  The
         network: Sklansky, IRE Transactions on Electronic Computers, 1960.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import cast

import numpy as np

from mpc.bits import planes, words_for
from mpc.ring import BITS, NDArray, Spec
from mpc.rounds import gather
from protocols.bilinear import MULTIPLY
from protocols.suite import Share, Suite, lift


async def both(suite: Suite, x: Share, y: Share) -> Share:
    """x AND y, one round."""
    return await suite.bilinear(MULTIPLY, x, y)


def complement(x: Share) -> Share:
    """NOT x."""
    return x + x.suite.constant(BITS(np.full(x.shape, np.uint64(2**64 - 1))))


def joined(*xs: Share, axis: int = 0) -> Share:
    return cast(Share, lift(lambda *arrays: np.concatenate(arrays, axis=axis), *xs))


def zero_planes(like: Share, planes: int) -> Share:
    """Planes of public zeros, as wide as those of ``like``."""
    return like.suite.constant(BITS.zeros((planes, like.shape[-1])))


async def carry_saved(suite: Suite, *terms: Share) -> tuple[Share, Share, list[Share]]:
    """Two terms with the sum of all, and what each carry-save addition carried out of every place; a round
    each.
    """
    carried = []
    while len(terms) > 2:
        a, b, c, *rest = terms
        majority = await both(suite, a + b, a + c) + a
        carried.append(majority)
        terms = a + b + c, doubled(majority), *rest
    return terms[0], terms[1], carried


async def some_terms(
    suite: Suite, x: Share, low: int = 0, high: int | None = None
) -> tuple[Share, Share, Share, list[Share]]:
    """Planes ``low`` to ``high`` of two terms a and b that add up to x, their AND, and what ``carry_saved``
    carried.
    """
    count = len(range(x.ring.bits)[low:high])
    terms = await suite.summands(x, lambda t: planes(t)[low:high], Spec(BITS, (count, words_for(x.size))))
    a, b, carried = await carry_saved(suite, *terms)
    return a, b, await (suite.product_of_terms(a, b) if len(terms) == 2 else both(suite, a, b)), carried


async def two_terms(
    suite: Suite, x: Share, low: int = 0, high: int | None = None
) -> tuple[Share, Share, Share]:
    """Bit planes of two terms a and b that add up to x, and their AND; planes ``low`` to ``high`` only, if
    said.
    """
    a, b, g, _ = await some_terms(suite, x, low, high)
    return a, b, g


def doubled(x: Share) -> Share:
    """Twice the number: every plane moves up one place."""
    return joined(zero_planes(x, 1), x[:-1])


def stacked(g: Share, p: Share) -> Share:
    """Planes that generate and planes that propagate, as the two rows of one share."""
    return cast(Share, lift(lambda g, p: np.stack([g, p]), g, p))


async def signs(suite: Suite, x: Share) -> Share:
    """Planes that generate and propagate a carry, whose carry out of the last is the sign of x."""
    return cast(Share, lift(_signs, *await two_terms(suite, x)))


def _signs(a: NDArray, b: NDArray, g: NDArray) -> NDArray:
    top = len(a) - 1
    planes = np.empty((2, top, a.shape[1]), a.dtype)
    planes[0] = g[:top]
    np.bitwise_xor(a[:top], b[:top], out=planes[1])
    planes[0, -1] ^= a[top] ^ b[top]
    return planes


async def zeros(suite: Suite, x: Share) -> Share:
    """Planes that are all one where x = 0."""
    a, b, g = await two_terms(suite, x)
    return complement(a + b + doubled(a + b + g))


async def carry(suite: Suite, planes: Share) -> Share:
    """Whether planes that generate (the first row) or propagate (the second) carry out of the last: ⌈log2⌉
    rounds.
    """
    while (n := planes.shape[1]) > 1:
        h = n // 2
        low, high = planes[: 1 if n == 2 else 2, 0 : 2 * h : 2], planes[1:, 1 : 2 * h : 2]
        new = await both(suite, high, low)  # p is masked once for both
        planes = cast(Share, lift(partial(_above, h), new, planes))
    return planes[0, 0]


def _above(h: int, new: NDArray, planes: NDArray) -> NDArray:
    """Pairs joined: what the higher one generates comes to what it passes on, and a last one without a pair
    stays.
    """
    # a copy: what was sent may still be leaving
    out = np.concatenate([new, planes[: len(new), 2 * h :]], axis=1)
    out[0, :h] ^= planes[0, 1 : 2 * h : 2]
    return out


async def all_ones(suite: Suite, x: Share) -> Share:
    """The AND of all planes: ⌈log2⌉ rounds."""
    while (n := x.shape[0]) > 1:
        h = n // 2
        x = joined(await both(suite, x[:h], x[h : 2 * h]), x[2 * h :])
    return x[0]


# -- every carry -------------------------------------------------------------------------------------


async def sum_bits(suite: Suite, a: Share, b: Share, both_set: Share) -> Share:
    """The planes of a + b modulo 2^planes, from those of a, b and a AND b: every carry, ⌈log2⌉ rounds."""
    n, words = a.shape
    size = 1 << (n - 1).bit_length()
    p = a + b
    g, t = (joined(x, zero_planes(x, size - n)) for x in (both_set, p))
    block = 1
    while block < size:
        halves = (size // (2 * block), 2, block, words)
        (g_low, g_high), (t_low, t_high) = (((x := y.reshape(halves))[:, 0], x[:, 1]) for y in (g, t))
        into = [g_low[:, None, -1:]] if 2 * block == size else [g_low[:, None, -1:], t_low[:, None, -1:]]
        new = await both(suite, t_high[:, None], joined(*into, axis=1))
        g = joined(g_low, g_high + new[:, 0], axis=1).reshape((size, words))
        if 2 * block < size:
            t = joined(t_low, new[:, 1], axis=1).reshape((size, words))
        block *= 2
    return p + joined(zero_planes(p, 1), g[: n - 1])


async def bits_of(suite: Suite, x: Share) -> Share:
    """All bits of x, a plane each, lowest first."""
    return await sum_bits(suite, *await two_terms(suite, x))


def network(places: Iterable[int]) -> list[tuple[int, NDArray]]:
    """By level t, the positions i of Sklansky's network that join what lies below their block, ⌊i/2^t⌋·2^t −
    1.

    After the last level, position m − 1 stands for the m lowest planes, for every m of ``places``; positions
    that none of them depends on are left out.
    """
    needed = {m - 1 for m in places}
    levels = []
    for t in reversed(range(max(needed).bit_length())):
        at = np.array(sorted(i for i in needed if i >> t & 1), int)
        levels.append((t, at))
        needed |= {(int(i) >> t << t) - 1 for i in at}
    return levels[::-1]


def _replaced(x: Share, at: NDArray, rows: Share) -> Share:
    """x with other planes at these positions."""

    def placed(planes: NDArray, rows: NDArray) -> NDArray:
        out = planes.copy()
        out[at] = rows
        return out

    return cast(Share, lift(placed, x, rows))


async def carries_at(suite: Suite, g: Share, p: Share, places: list[int]) -> Share:
    """For each m of ``places``, whether the m lowest planes, which generate and propagate, carry: ⌈log2 max
    m⌉ rounds.
    """
    for t, at in network(places):
        below = (at >> t << t) - 1
        # those that do not reach down to place 0 yet also need p
        inner = at >= 2 << t
        outer = both(suite, p[at[~inner]], g[below[~inner]])
        if not inner.any():
            g = _replaced(g, at, g[at] + await outer)
            continue
        pair = cast(Share, lift(lambda u, v, i=below[inner]: np.stack([u[i], v[i]]), g, p))
        # p is masked once for both
        new, new_pair = await gather(outer, both(suite, p[at[inner]][None], pair))
        g = _replaced(_replaced(g, at[~inner], g[at[~inner]] + new), at[inner], g[at[inner]] + new_pair[0])
        p = _replaced(p, at[inner], new_pair[1])
    return g[np.array(places) - 1]
