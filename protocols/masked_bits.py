"""Signs, zeros and single bits by masks whose bits are shared, for any number of parties.

For a uniform s that nobody knows, c = x − s is opened, so that x = c + s with c public.  From shares of the
products of s's bits, four at a time, shares of what each block of the sum generates and propagates follow
without a message (``protocols/monomials.py``); a tree of ANDs is left (``protocols/carries.py``).  Back to
numbers a bit goes by a bit r that is shared both ways: b ⊕ r is opened, and b = r or 1 − r.

    x < y over Z_2^64, bytes that each of n parties sends to each other one      n − 1 times
        sharing of terms, carry-save additions, tree (until now)                 16(n − 2) + 39 + 16(n − 1)
        x − s opened, tree over 63 planes                                        8 + 23.3 + 0.1
        the same over 16 blocks of four bits (this)                              8 + 5.5 + 0.1

Threat   the suite's, and that of the source of masks: c and b ⊕ r are uniform whatever x and b are.
Cost     signs, zeros: one round, an element to each other party.  Bits to numbers: one round, a bit.
Source   masks with shared bits: Damgård, Fitzi, Kiltz, Nielsen, Toft, TCC 2006, and edaBits: Escudero, Ghosh,
         Keller, Rachuri, Scholl, ePrint 2020/338, section 5 (whose r is subtracted; ours is added).  Bits in
         two rings: daBits, Rotaru, Wood, ePrint 2019/207.  Products of the mask's bits beside them: ours, in
         the manner of one-time truth tables (Ishai et al., TCC 2013).
"""

from __future__ import annotations

import numpy as np

from mpc.bits import flipped, planes, words_for
from mpc.ring import BITS, Ring, RingArray
from protocols import monomials
from protocols.prep import DaBits, EdaBlocks, Prep, in_turn
from protocols.suite import Share, Suite


async def signs(suite: Suite, prep: Prep, x: Share) -> Share:
    """G and P of blocks of four planes, in two rows, whose carry out of the last is the sign of x."""
    # of the last block three bits are used, and the top bit as it is
    return await _blocks(suite, prep, x, x.ring.bits // 4 - 1, 2)


async def zeros(suite: Suite, prep: Prep, x: Share) -> Share:
    """Planes that are all one where x = 0, one of four planes."""
    return (await _blocks(suite, prep, x, x.ring.bits // 4, 1, opposite=True))[0]


async def _blocks(suite: Suite, prep: Prep, x: Share, whole: int, rows: int, opposite: bool = False) -> Share:
    x = x.reshape((x.size,))
    (s,), dependent = await prep.draw(EdaBlocks(x.ring, words_for(x.size), whole))
    (c,) = await suite.open(x - Share(suite, (in_turn(s)[: x.size],)), tag="masked")
    (words,) = await dependent
    bits = planes(-c if opposite else c).data
    first = suite.seat.rank == 0
    return Share(
        suite, (RingArray(BITS, monomials.evaluated(words.data, bits, whole, first, opposite, rows)),)
    )


async def to_ring(suite: Suite, prep: Prep, bits: Share, ring: Ring, n: int) -> Share:
    """Planes of n bits, any number of them along leading axes, as numbers 0 and 1."""
    *rows, words = bits.shape
    (r,), dependent = await prep.draw(DaBits(ring, bits.size))
    (opened,) = await suite.open(bits + Share(suite, (r,)).reshape(bits.shape), tag="masked bits")
    (numbers,) = await dependent
    mine = in_turn(numbers).map(lambda data: np.ascontiguousarray(data.reshape(*rows, 64 * words)[..., :n]))
    # where b ⊕ r = 1, b = 1 − r
    return Share(suite, (flipped(mine, opened, 2 if suite.seat.rank == 0 else 1),))
