"""Replicated sharing among three parties, one of which may be curious; no correlated randomness.

x = x_0 + x_1 + x_2, and party i holds (x_i, x_{i+1}) (indices modulo 3).  Any two parties know x, one alone
knows nothing.  Every cross term of a product is known to somebody, so that each party adds up its own,

    t_i = f(x_i, y_i + y_{i+1}) + f(x_{i+1}, y_i) + α_i,      α_i = F(k_i) − F(k_{i−1}),

where k_i is the key that parties i and i+1 share, so that α_0 + α_1 + α_2 = 0, and sends t_i to party i−1.

Threat   semi-honest, 1 of 3 corrupt.  What a party receives is masked by a stream it does not know: without
         α it would learn a relation between the others' shares, and could solve for inputs.
Cost     a product: 1 round, and each party sends one ring element per element of the result, whatever the
         inner size of the product.  Input: its owner sends one.  See ``costs``.
Source   Araki, Furukawa, Lindell, Nof, Ohara, ePrint 2016/768, section 2 (sharing, products).  Truncation is
         described where it is; it departs from Mohassel, Rindal, ePrint 2018/403 (ABY3), section 5.1, whose
         local truncation is wrong by a multiple of 2^(k−m) with probability about |x|/2^(k−1) an element.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np

from mpc.prg import Stream
from mpc.ring import Z32, RingArray, Spec
from mpc.rounds import exchange
from protocols.bilinear import Bilinear
from protocols.suite import Share, Suite, elementwise
from protocols.threat import Cost, Threat


class Replicated(Suite):
    """Three parties, honest majority."""

    name = "replicated"
    summary = "replicated additive shares, no triples"
    threat = Threat("semi-honest", "1 of 3")
    cites = ("ePrint 2016/768", "ePrint 2018/403")
    parties = (3, 3)
    needs_prep = False
    costs: ClassVar[Mapping[str, Cost]] = {
        "input": Cost(1, lambda n, ring: 1, "its owner 1 element"),
        "open": Cost(1, lambda n, ring: 3, "1 element"),
        "multiply": Cost(1, lambda n, ring: 3, "1 element"),
        "matmul": Cost(1, lambda n, ring: 3, "1 element per element of the result"),
        "truncate": Cost(2, lambda n, ring: 2.5 if ring.bits == 64 else 4, "12 bytes one party, 4 bytes the others"),
    }

    # -- who is next to whom, and what they have in common ----------------------------------------

    @property
    def _next(self) -> int:
        return (self.seat.rank + 1) % 3

    @property
    def _previous(self) -> int:
        return (self.seat.rank - 1) % 3

    def _key(self, part: int) -> Stream:
        """The stream of the two parties that hold part ``part`` of every share."""
        return self.seat.pair[self._previous if part == self.seat.rank else self._next]

    def _zero(self, spec: Spec) -> RingArray:
        """This party's term of a fresh sharing of zero.  Local."""
        return self.seat.pair[self._next].draw(spec) - self.seat.pair[self._previous].draw(spec)

    def _public(self, value: RingArray, part: int) -> Share:
        """A share whose part ``part`` is ``value``, which its two holders know, and whose other parts are zero."""
        zero = value.map(lambda v: np.broadcast_to(v.dtype.type(0), v.shape))
        return Share(self, tuple(value if (self.seat.rank + i) % 3 == part else zero for i in (0, 1)))

    def constant(self, value: RingArray) -> Share:
        return self._public(value, 0)

    # -- the scheme -------------------------------------------------------------------------------

    async def input(self, owner: int, value: RingArray | None, spec: Spec) -> Share:
        """Parts owner and owner+1 are r and value − r, the third is 0: one message, to the next party.

        The previous party draws r with the owner; what the next one gets is masked by it.
        """
        rank, after = self.seat.rank, (owner + 1) % 3
        if rank == owner:
            assert value is not None
            r = self._key(owner).draw(spec)
            rest = value - r
            await exchange({after: (rest,)}, tag="input")
            return Share(self, (r, rest))
        zero = spec.ring.zeros(spec.shape)
        if rank == after:
            inbox = await exchange(recv={owner: (spec,)}, tag="input")
            return Share(self, (inbox[owner][0], zero))
        r = self._key(owner).draw(spec)             # before the exchange, as the owner does: frames carry positions
        await exchange(tag="input")
        return Share(self, (zero, r))

    async def open(self, *xs: Share, to: int | None = None, tag: str = "open") -> tuple[RingArray, ...]:
        """Each party gets the part it lacks from the one before it."""
        send = {self._next: tuple(x.parts[0] for x in xs)} if to in (None, self._next) else {}
        receive = {self._previous: tuple(x.spec for x in xs)} if to in (None, self.seat.rank) else {}
        inbox = await exchange(send, receive, tag)
        return tuple(x.parts[0] + x.parts[1] + missing for x, missing in zip(xs, inbox[self._previous], strict=True)) if receive else ()

    async def bilinear(self, f: Bilinear, x: Share, y: Share) -> Share:
        async def product(x: Share, y: Share) -> Share:
            (x0, x1), (y0, y1) = x.parts, y.parts
            return await self._replicated(f(x0, y0 + y1) + f(x1, y0), f.name)

        if f.name == "multiply" and x.shape == y.shape:
            return await elementwise(product, x, y)
        return await product(x, y)

    async def _replicated(self, term: RingArray, tag: str) -> Share:
        """Three terms, one per party, to a share of their sum: mask, then pass on to the party before."""
        term = term + self._zero(term.spec)
        inbox = await exchange({self._previous: (term,)}, {self._next: (term.spec,)}, tag)
        return Share(self, (term, inbox[self._next][0]))

    async def random(self, spec: Spec) -> Share:
        return Share(self, (self._key(self.seat.rank).draw(spec), self._key(self._next).draw(spec)))

    async def summands(self, x: Share, convert: Callable[[RingArray], RingArray], into: Spec) -> tuple[Share, ...]:
        """Two terms: x_0 + x_1, which party 0 knows and shares, and x_2, which the two others have in common."""
        known = convert(x.parts[0] + x.parts[1]) if self.seat.rank == 0 else None
        rest = into.ring.zeros(into.shape) if self.seat.rank == 0 else convert(x.parts[2 - self.seat.rank])
        return await self.input(0, known, into), self._public(rest, 2)

    async def product_of_terms(self, x: Share, y: Share) -> Share:
        """Products of party 0's term x = x_0 + x_1 and the term y that parties 1 and 2 have in common.

        Party 1 knows x_1·y and party 2 knows x_0·y: each masks its product with what it has in common with
        party 0 and they exchange them.  Two messages instead of three, none from party 0, which sent x.
        """
        rank, spec = self.seat.rank, x.spec
        if rank == 0:
            s1, s2 = self.seat.pair[1].draw(spec), self.seat.pair[2].draw(spec)
            await exchange(tag="product of terms")
            return Share(self, (s2, s1))
        s, other = self.seat.pair[0].draw(spec), 3 - rank
        mine, common = (x.parts[0], y.parts[1]) if rank == 1 else (x.parts[1], y.parts[0])
        masked = mine * common - s
        inbox = await exchange({other: (masked,)}, {other: (spec,)}, "product of terms")
        rest = masked + inbox[other][0]
        return Share(self, (s, rest) if rank == 1 else (rest, s))

    async def truncate(self, x: Share, bits: int) -> Share:
        return await elementwise(lambda x: _truncate(self, x, bits), x)


async def _truncate(suite: Replicated, x: Share, m: int) -> Share:
    """x / 2^m for |x| < 2^(k−2), rounded at random to one of the two neighbours; never a large error.

    Party 0 knows a = x_0 + x_1 + ρ, parties 1 and 2 know b = x_2 − ρ, where the common stream's ρ makes a uniform
    (an input's shares need not be) so that rounding is right on average.  With 2^(k−2) added to a,
    x' = a + b − w·2^k lies in [0, 2^(k−1)), so that a sum of a and b has wrapped if either has its top bit set: w = α + β − αβ. Hence

        x' >> m  ≈  ⌈a/2^m⌉ + ⌊b/2^m⌋ − w·2^(k−m),

    right up to the carry of the lower m bits: ⌊x'/2^m⌋ or that plus one, the latter with probability
    (x' mod 2^m)/2^m.  The product αβ is needed modulo 2^m only: party 0 shares α with the two others
    modulo 2^32 (for m ≤ 32), they multiply by β, mask, and exchange.

    Threat   semi-honest, 1 of 3.  Party 1 receives a masked word of party 2, party 2 masked words of both;
             each mask is drawn from a stream the receiver does not have.  Nothing is opened.
    Cost     2 rounds; over Z_2^64 party 0 sends 12 bytes, the others 4 each (m ≤ 32; else 16 and 8).
    Source   the wrap of two shares whose sum has a known top bit: as in ePrint 2025/200 for two parties; that
             a party knows x_0 + x_1 and the two others x_2: ABY3, section 5.
    """
    ring, rank = x.ring, suite.seat.rank
    k = ring.bits
    if not 0 < m < k - 1:
        raise ValueError(f"can truncate by 1 to {k - 2} bits, not {m}")
    small = Z32 if m <= 32 else ring
    full, half = Spec(ring, x.shape), Spec(small, x.shape)
    key, rho = suite.seat.pair, suite.seat.common.draw(full)

    if rank == 0:
        a = x.parts[0] + x.parts[1] + rho + ring(1 << (k - 2))
        top = a >> (k - 1)
        x1, e1, s1, s2 = key[1].draw(full), key[1].draw(half), key[1].draw(half), key[2].draw(half)
        up = ring((a << (k - m)).data != 0)         # a is no multiple of 2^m
        x0 = (a >> m) + up - (top << (k - m)) - x1
        await exchange({2: (x0, small(top.data) - e1)}, tag="truncate: α")
        await exchange(tag="truncate: αβ")
        return Share(suite, (x0 + (ring(s2.data) << (k - m)), x1 + (ring(s1.data) << (k - m))))

    b = (x.parts[1] if rank == 1 else x.parts[0]) - rho
    top, other = b >> (k - 1), 3 - rank
    if rank == 1:
        mine, e, s = key[0].draw(full), key[0].draw(half), key[0].draw(half)
        await exchange(tag="truncate: α")
    else:
        s = key[0].draw(half)
        inbox = await exchange(recv={0: (full, half)}, tag="truncate: α")
        mine, e = inbox[0]
    masked = e * small(top.data) - s
    inbox = await exchange({other: (masked,)}, {other: (half,)}, "truncate: αβ")
    both = ring((masked + inbox[other][0]).data)     # αβ − s1 − s2
    x2 = (b >> m) - (top << (k - m)) + (both << (k - m)) - ring(1 << (k - 2 - m))
    mine = mine + (ring(s.data) << (k - m))
    return Share(suite, (mine, x2) if rank == 1 else (x2, mine))
