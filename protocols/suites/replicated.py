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
         described in ``protocols/truncation.py``, comparison in ``protocols/suites/blocks.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np

from mpc.bits import flipped, unpacked
from mpc.masking import cross, masked
from mpc.prg import Stream
from mpc.ring import Ring, RingArray, Spec, narrowest, zeros_like
from mpc.rounds import exchange
from protocols import truncation
from protocols.bilinear import MULTIPLY, Bilinear
from protocols.prep import permuted
from protocols.suite import Share, Suite, elementwise
from protocols.suites import blocks
from protocols.threat import Cost, Threat


class Replicated(Suite):
    """Three parties, honest majority."""

    name = "replicated"
    summary = "replicated additive shares, no triples"
    threat = Threat("semi-honest", "1 of 3")
    cites = ("ePrint 2016/768", "ePrint 2018/403", "Araki et al., CCS 2021")
    parties = (3, 3)
    needs_prep = False
    costs: ClassVar[Mapping[str, Cost]] = {
        "input": Cost(1, lambda n, ring: 1, "its owner 1 element"),
        "open": Cost(1, lambda n, ring: 3, "1 element"),
        "multiply": Cost(1, lambda n, ring: 3, "1 element"),
        "matmul": Cost(1, lambda n, ring: 3, "1 element per element of the result"),
        "truncate": Cost(
            2,
            lambda n, ring: 1 + 3 * truncation.usual_bytes(ring) / ring.itemsize,
            "12 bytes one party, 4 bytes the others (by more than 32 bits 16 and 8; over Z_2^128 24 and 8)",
        ),
        "multiply and truncate": Cost(
            2,
            lambda n, ring: 3 + 3 * truncation.usual_bytes(ring) / ring.itemsize,
            "12 bytes (by more than 32 bits 16; over Z_2^128 24)",
        ),
    }
    _turns = -1

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

    @property
    def _zero(self) -> tuple[Stream, Stream]:
        """Streams of this party's term of a fresh sharing of zero: what to add and what to subtract."""
        return self.seat.pair[self._next], self.seat.pair[self._previous]

    @property
    def _apart(self) -> tuple[Stream | None, Stream | None]:
        """The same, of a sharing of zero of which party 0 knows all."""
        pair, rank = self.seat.pair, self.seat.rank
        return (pair[1], pair[2]) if rank == 0 else (None, pair[0]) if rank == 1 else (pair[0], None)

    def _public(self, value: RingArray, part: int) -> Share:
        """A share whose part ``part`` is ``value``, which its two holders know, and whose other parts are
        zero.
        """
        zero = zeros_like(value)
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
        # before the exchange, as the owner does: frames carry positions
        r = self._key(owner).draw(spec)
        await exchange(tag="input")
        return Share(self, (zero, r))

    async def open(
        self, *xs: Share, to: tuple[int, ...] | None = None, tag: str = "open"
    ) -> tuple[RingArray, ...]:
        """Each party gets the part it lacks from the one before it."""
        send = {self._next: tuple(x.parts[0] for x in xs)} if to is None or self._next in to else {}
        receive = {self._previous: tuple(x.spec for x in xs)} if to is None or self.seat.rank in to else {}
        inbox = await exchange(send, receive, tag)
        return (
            tuple(
                x.parts[0] + x.parts[1] + missing
                for x, missing in zip(xs, inbox[self._previous], strict=True)
            )
            if receive
            else ()
        )

    async def bilinear(self, f: Bilinear, x: Share, y: Share, bits: int = 0) -> Share:
        """With ``bits``, not one round for the product and two for the quotient, but two for both: see
        ``_quotient``.
        """

        async def product(x: Share, y: Share) -> Share:
            (x0, x1), (y0, y1) = x.parts, y.parts
            plus, minus = self._apart if bits else self._zero
            if f == MULTIPLY:
                term = cross(x0, x1, y0, y1, plus, minus)
            else:
                term = masked(f(x0, y0 + y1) + f(x1, y0), plus, minus)
            return await (self._quotient(term, bits, apart=True) if bits else self._replicated(term, f.name))

        if f.name == "multiply" and x.shape == y.shape:
            return await elementwise(product, x, y)
        return await product(x, y)

    async def _replicated(self, term: RingArray, tag: str) -> Share:
        """Three masked terms, one per party, to a share of their sum:
        each is passed on to the party before.
        """
        inbox = await exchange({self._previous: (term,)}, {self._next: (term.spec,)}, tag)
        return Share(self, (term, inbox[self._next][0]))

    async def from_two(self, third: int, term: RingArray | None, spec: Spec, tag: str) -> Share:
        """A share of the sum of two terms that the parties other than ``third`` have, which passes ``None``.

        Each masks its term with what it has in common with the third party, and they exchange the rest: it
        becomes the part that they share.  One round, one element from each of the two.
        """
        rank, pair = self.seat.rank, self.seat.pair
        if rank == third:
            masks = pair[self._previous].draw(spec), pair[self._next].draw(spec)
            await exchange(tag=tag)
            return Share(self, masks)
        assert term is not None
        mask, other = pair[third].draw(spec), 3 - rank - third
        term = term - mask
        inbox = await exchange({other: (term,)}, {other: (spec,)}, tag)
        common = term + inbox[other][0]
        return Share(self, (mask, common) if rank == (third + 1) % 3 else (common, mask))

    async def random(self, spec: Spec, below: int | None = None) -> Share:
        keys = self._key(self.seat.rank), self._key(self._next)
        return Share(self, tuple(key.draw(spec) if below is None else key.below(spec, below) for key in keys))

    @property
    def terms(self) -> int:
        return 2

    async def summands(
        self, x: Share, convert: Callable[[RingArray], RingArray], into: Spec
    ) -> tuple[Share, ...]:
        """Two terms: x_0 + x_1, which party 0 knows and shares, and x_2,
        which the two others have in common.
        """
        known = convert(x.parts[0] + x.parts[1]) if self.seat.rank == 0 else None
        rest = into.ring.zeros(into.shape) if self.seat.rank == 0 else convert(x.parts[2 - self.seat.rank])
        return await self.input(0, known, into), self._public(rest, 2)

    async def product_of_terms(self, x: Share, y: Share) -> Share:
        """Products of party 0's term x = x_0 + x_1 and the term y that parties 1 and 2 have in common.

        Party 1 knows x_1·y and party 2 knows x_0·y.  Two messages instead of three, none from party 0, which
        sent x."""
        rank = self.seat.rank
        product = None if rank == 0 else x.parts[0] * y.parts[1] if rank == 1 else x.parts[1] * y.parts[0]
        return await self.from_two(0, product, x.spec, "product of terms")

    async def to_ring(self, bits: Share, ring: Ring, n: int) -> Share:
        """A bit is c ⊕ d = d + (1 − 2d)·c, where party 0 knows c and the others know d: they take shares of
        c, c or −c by d.

        Cost     2 rounds, one element from each party.
        """
        rank, into = self.seat.rank, Spec(ring, (*bits.shape[:-1], n))
        c = unpacked(bits.parts[0] + bits.parts[1], ring, n) if rank == 0 else None
        share = await self.input(0, c, into)
        term = None if rank == 0 else flipped(share.parts[rank - 1], bits.parts[2 - rank], 3 - rank)
        return await self.from_two(0, term, into, "bits")

    async def chosen(self, bits: Share, x: Share) -> Share:
        """For a bit as in ``to_ring``, and x = a + e, of which party 0 knows a = x_0 + x_1 and the others e =
        x_2,

            (c ⊕ d)·x = d·x + (1 − 2d)·(c·a + c·e),

        so that party 0 shares c and c·a, and the rest is local at parties 1 and 2.

        Threat   party 2 draws its shares of c and c·a with party 0, party 1 gets the rest, masked by these;
                 then ``from_two``.
        Cost     2 rounds; party 0 sends two elements, the others one.  A bit and then a product are 3 rounds
                 and two elements each.
        """
        rank, ring, n, shape = self.seat.rank, x.ring, x.size, x.shape
        x = x.reshape((n,))
        known = None
        if rank == 0:
            c = unpacked(bits.parts[0] + bits.parts[1], ring, n)
            known = ring(np.stack([c.data, (c * (x.parts[0] + x.parts[1])).data]))
        shares = (await self.input(0, known, Spec(ring, (2, n)))).parts[rank - 1]
        term = None
        if rank:
            d, e = unpacked(bits.parts[2 - rank], ring, n), x.parts[2 - rank]
            u = x.parts[0] + x.parts[1] if rank == 1 else x.parts[1]  # d·(a + e) in two terms
            v = shares[1] + shares[0] * e
            term = v + d * (u - v - v)
        return (await self.from_two(0, term, Spec(ring, (n,)), "chosen")).reshape(shape)

    async def shuffle(self, x: Share) -> Share:
        """Three times two parties put x in an order that the third does not know: 3 rounds, 16 bytes an
        element each.

        Source   Araki et al., CCS 2021 (graph analysis at scale), section 4: shuffling by pairs of parties.
        """
        for third in range(3):
            term = None
            if self.seat.rank != third:
                order = self.seat.pair[3 - self.seat.rank - third].permutations(x.shape[1:])
                term = permuted(
                    x.parts[0] + x.parts[1] if self.seat.rank == (third + 1) % 3 else x.parts[1], order
                )
            x = await self.from_two(third, term, x.spec, "shuffle")
        return x

    async def signs(self, x: Share) -> Share:
        return await blocks.signs(self, x, self._turn())

    async def zeros(self, x: Share) -> Share:
        return await blocks.zeros(self, x, self._turn())

    def _turn(self) -> int:
        """Whose turn it is to know two parts of three, so that in the long run all send alike."""
        self._turns += 1
        return self._turns % 3

    async def truncate(self, x: Share, bits: int) -> Share:
        """Party 0 knows x_0 + x_1, the others know x_2; a common mask makes the former uniform."""

        async def quotient(x: Share) -> Share:
            mask = self.seat.common.draw(x.spec)
            rank, parts = self.seat.rank, x.parts
            return await self._quotient(
                parts[0] + parts[1] + mask if rank == 0 else parts[2 - rank] - mask, bits, apart=False
            )

        return await elementwise(quotient, x)

    async def _quotient(self, term: RingArray, bits: int, *, apart: bool) -> Share:
        """x / 2^bits by ``truncation``'s two terms: a, which party 0 knows, and b, which the others know.

        With ``apart`` x is the sum of three terms, one per party, masked by ``_apart``.  Then parties 1 and 2
        exchange theirs, so that all know a or b, while party 0 is sending α already.

        Party 0 shares a >> m, and α modulo 2^32 (for m ≤ 32, else 2^64 or 2^128); parties 1 and 2 multiply it
        by β and exchange.

        Threat   semi-honest, 1 of 3.  Every message is masked by a stream that its receiver does not have.
        Cost     2 rounds.  Over Z_2^64 party 0 sends 12 bytes, the others 4 each, and 8 more if ``apart``.
        Source   see ``protocols/truncation.py``; that a party knows x_0 + x_1 and the others x_2: ABY3,
                 section 5.
        """
        ring, rank, key = term.ring, self.seat.rank, self.seat.pair
        truncation.check(bits, ring)
        small = narrowest(bits, ring)
        full, half = term.spec, Spec(small, term.shape)

        if rank == 0:
            x1, e1, s1, s2 = key[1].draw(full), key[1].draw(half), key[1].draw(half), key[2].draw(half)
            x0, e2 = truncation.known(term, bits, x1, e1)
            await exchange({2: (x0, e2)}, tag="quotient: α")
            await exchange(tag="quotient: αβ")
            return Share(self, (truncation.with_wraps(x0, s2, bits), truncation.with_wraps(x1, s1, bits)))

        other = 3 - rank
        if rank == 1:
            mine, e = key[0].draw(full), key[0].draw(half)
        s = key[0].draw(half)
        inbox = await exchange(
            {other: (term,)} if apart else {},
            ({0: (full, half)} if rank == 2 else {}) | ({other: (full,)} if apart else {}),
            "quotient: α",
        )
        if rank == 2:
            mine, e = inbox[0]
        if apart:
            term = term + inbox[other][0]
        x2, masked = truncation.common(term, bits, e, s)
        inbox = await exchange({other: (masked,)}, {other: (half,)}, "quotient: αβ")
        x2 = truncation.with_wraps(x2, masked + inbox[other][0], bits)  # αβ − s1 − s2
        mine = truncation.with_wraps(mine, s, bits)
        return Share(self, (mine, x2) if rank == 1 else (x2, mine))
