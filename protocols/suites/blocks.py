"""Four bits at a time: the sign of a + b, and whether a = −b, where one party knows a and the two others know
b.

In ``replicated``, party K knows a = x_K + x_{K+1}, and S and T know b = x_{K+2}.  K shares the products of
the bits of each block between S and T; these evaluate what the block generates and propagates on their shares
without a message (``protocols/monomials.py``), and make shares for three of what comes out: two planes per
block.

    for 64 bits                              rounds   sent by K, S and T, bytes        together, a party
    carry tree over planes                     10     8 + 15.5, 8 + 15.5, 15.5 + 8     31    (until now)
    blocks of 2 bits, 3 monomials each          9     12 + …                           25.2
    blocks of 3 bits, 7 monomials each          9     18 + …                           23.5
    blocks of 4 bits, 15 monomials each         8     29 + 3.3 + 8, 2 × (4 + 3.3 + 8)      23.7

with the tree above the blocks, and the way back to the ring (2 rounds, 8 bytes each).  The roles change from
call to call.

Threat   semi-honest, 1 of 3.  T receives monomials masked by a stream of K and S; S and T exchange words
         masked by streams that each of them shares with K alone.
Cost     2 rounds.  K sends 233 bits, S and T 32 each (for zero: 240 and 16).
Source   that x_K + x_{K+1} is known to one party and x_{K+2} to two: Mohassel, Rindal, ePrint 2018/403
         (ABY3), section 5.3.  Blocks by sharing all monomials: ``protocols/monomials.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpc.bits import planes, words_for
from mpc.ring import BITS, RingArray, Spec
from mpc.rounds import exchange
from protocols import monomials
from protocols.suite import Share

if TYPE_CHECKING:
    from protocols.suites.replicated import Replicated


async def signs(suite: Replicated, x: Share, knower: int) -> Share:
    """G and P, in two rows, of blocks of four planes, lowest first, whose carry out of the last is the sign
    of x.
    """
    # of the last block three bits are used, and the top bit as it is
    n = x.ring.bits // 4
    return await _blocks(suite, x, knower, n - 1, 2)


async def zeros(suite: Replicated, x: Share, knower: int) -> Share:
    """Planes that are all one where x = 0, one of four planes."""
    return (await _blocks(suite, x, knower, x.ring.bits // 4, 1, opposite=True))[0]


async def _blocks(
    suite: Replicated, x: Share, knower: int, whole: int, rows: int, opposite: bool = False
) -> Share:
    """K shares the monomials of its term's bits, S and T evaluate what blocks generate and propagate (or
    propagate only).
    """
    rank, w, n = suite.seat.rank, words_for(x.size), x.ring.bits // 4
    second, third = (knower + 1) % 3, (knower + 2) % 3
    out, spec = Spec(BITS, (rows, n, w)), Spec(BITS, (monomials.rows(n, whole), w))
    if rank == knower:
        masked = suite.seat.pair[second].draw(spec)
        shared = RingArray(
            BITS, monomials.with_monomials(masked.data, planes(x.parts[0] + x.parts[1]).data, whole)
        )
        await exchange({third: (shared,)}, tag="monomials")
        return await suite.from_two(knower, None, out, "blocks")
    if rank == second:
        term, words = x.parts[1], suite.seat.pair[knower].draw(spec)
        await exchange(tag="monomials")
    else:
        term, (words,) = x.parts[0], (await exchange(recv={knower: (spec,)}, tag="monomials"))[knower]
    bits = planes(-term if opposite else term).data
    return await suite.from_two(
        knower,
        RingArray(BITS, monomials.evaluated(words.data, bits, whole, rank == second, opposite, rows)),
        out,
        "blocks",
    )
