"""Additive sharing over Z_2^k, products by Beaver's triples; all parties but one may be curious.

x = x_0 + … + x_{n−1}.  A party hides its input behind pads that it shares with each of the others, so
sharing sends nothing; opening sends one's part to everybody; addition is local.

Among four parties or more large arrays are opened in parts: each party adds up one part and sends the sum to
all, which is one round more and 2(n − 1)/n elements for each, instead of n − 1.

Threat   semi-honest, n−1 of n corrupt; as strong as the source of correlated randomness.
Cost     see ``costs``.
Source   Beaver 1991 (products); sharing by pairwise pads is pseudorandom secret sharing as in Cramer,
         Damgård, Ishai, TCC 2005, for the threshold n−1.  Opening by way of one party, which adds
         up and sends on: Damgård, Nielsen, CRYPTO 2007; that each does so for a part, so that nobody has more
         to do than others, is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from operator import add
from typing import ClassVar

import numpy as np

from mpc.bits import planes
from mpc.ring import Ring, RingArray, Spec, zeros_like
from mpc.rounds import exchange
from protocols import beaver, carries, masked_bits, truncation
from protocols.bilinear import Bilinear
from protocols.prep import CrossTriple, Permutation, Prep, permuted
from protocols.suite import Share, Suite, elementwise
from protocols.threat import Cost, Threat

#: From so many parties and bytes of a party's part on, values are opened in parts.
_MANY, _LARGE = 4, 1 << 17


class Additive(Suite):
    """n ≥ 2 parties; needs a ``Prep``."""

    name = "additive"
    summary = "additive shares, Beaver triples"
    threat = Threat("semi-honest", "n-1 of n")
    cites = (
        "Beaver, CRYPTO 1991",
        "Cramer, Damgård, Ishai, TCC 2005",
        "ePrint 2020/338",
        "ePrint 2025/200",
        "ePrint 2019/1340",
        "ePrint 2019/207",
        "Damgård, Nielsen, CRYPTO 2007",
    )
    parties = (2, None)
    needs_prep = True
    prep: Prep
    costs: ClassVar[Mapping[str, Cost]] = {
        "input": Cost(0, lambda n, ring: 0, "nothing"),
        "open": Cost(
            1,
            lambda n, ring: n * (n - 1),
            "n-1 elements",
            large=((_MANY, _LARGE, Cost(2, lambda n, ring: 2 * (n - 1), "2(n-1)/n elements")),),
        ),
        "multiply": Cost(
            1,
            lambda n, ring: 2 * n * (n - 1),
            "2(n-1) elements",
            large=((_MANY, _LARGE, Cost(2, lambda n, ring: 4 * (n - 1), "4(n-1)/n elements")),),
        ),
        "matmul": Cost(
            1,
            lambda n, ring: n * (n - 1),
            "n-1 elements per element of the operands",
            per="operands",
            large=(
                (
                    _MANY,
                    _LARGE,
                    Cost(
                        2,
                        lambda n, ring: 2 * (n - 1),
                        "2(n-1)/n elements per element of the operands",
                        per="operands",
                    ),
                ),
            ),
        ),
        "truncate": Cost(
            1,
            lambda n, ring: 2 * truncation.usual_bytes(ring) / ring.itemsize if n == 2 else n * (n - 1),
            "n-1 elements; between two parties 4 bytes, over Z_2^128 8",
            large=((_MANY, _LARGE, Cost(2, lambda n, ring: 2 * (n - 1), "2(n-1)/n elements")),),
        ),
        "multiply and truncate": Cost(
            2,
            lambda n, ring: (
                4 + 2 * truncation.usual_bytes(ring) / ring.itemsize if n == 2 else 3 * n * (n - 1)
            ),
            "3(n-1) elements; between two parties 2 and 4 bytes, over Z_2^128 8",
            # of the product, which is truncated, there is half as much as of the operands
            large=(
                (_MANY, _LARGE, Cost(3, lambda n, ring: (4 + n) * (n - 1), "4(n-1)/n + n-1 elements")),
                (_MANY, 2 * _LARGE, Cost(4, lambda n, ring: 6 * (n - 1), "6(n-1)/n elements")),
            ),
        ),
    }

    def constant(self, value: RingArray) -> Share:
        return Share(self, (value if self.seat.rank == 0 else zeros_like(value),))

    async def input(self, owner: int, value: RingArray | None, spec: Spec) -> Share:
        if self.seat.rank != owner:
            return Share(self, (self.seat.pair[owner].draw(spec),))
        assert value is not None
        pads = (self.seat.pair[p].draw(spec) for p in self.seat.others)
        return Share(self, (reduce(lambda part, pad: part - pad, pads, value),))

    async def open(
        self, *xs: Share, to: tuple[int, ...] | None = None, tag: str = "open"
    ) -> tuple[RingArray, ...]:
        mine = tuple(x.parts[0] for x in xs)
        if to is None and self.seat.size >= _MANY and sum(m.spec.nbytes for m in mine) >= _LARGE:
            return await self._open_in_parts(mine, tag)
        send = [p for p in self.seat.others if to is None or p in to]
        receive = self.seat.others if to is None or self.seat.rank in to else ()
        inbox = await exchange(
            dict.fromkeys(send, mine), dict.fromkeys(receive, tuple(m.spec for m in mine)), tag
        )
        return (
            tuple(reduce(add, parts) for parts in zip(mine, *inbox.values(), strict=True)) if receive else ()
        )

    async def _open_in_parts(self, mine: tuple[RingArray, ...], tag: str) -> tuple[RingArray, ...]:
        """Party p adds up the p-th part of every array, and sends the sums on."""
        size, rank, others = self.seat.size, self.seat.rank, self.seat.others
        flat = [m.map(np.ravel) for m in mine]
        parts = [tuple(m[m.size * p // size : m.size * (p + 1) // size] for m in flat) for p in range(size)]
        specs = [tuple(x.spec for x in part) for part in parts]
        inbox = await exchange({p: parts[p] for p in others}, dict.fromkeys(others, specs[rank]), tag)
        sums = tuple(reduce(add, column) for column in zip(parts[rank], *inbox.values(), strict=True))
        inbox = await exchange(dict.fromkeys(others, sums), {p: specs[p] for p in others}, tag + ", added up")
        all_sums = zip(*(sums if p == rank else inbox[p] for p in range(size)), strict=True)
        return tuple(
            RingArray(m.ring, np.concatenate([x.data for x in column]).reshape(m.shape))
            for m, column in zip(mine, all_sums, strict=True)
        )

    async def bilinear(self, f: Bilinear, x: Share, y: Share, bits: int = 0) -> Share:
        async def product(x: Share, y: Share) -> Share:
            z = await beaver.multiply(self, self.prep, f, x, y)
            return await self.truncate(z, bits) if bits else z

        if f.name == "multiply" and x.shape == y.shape:
            return await elementwise(product, x, y)
        return await product(x, y)

    async def random(self, spec: Spec, below: int | None = None) -> Share:
        own = self.seat.own
        return Share(self, (own.draw(spec) if below is None else own.below(spec, below),))

    @property
    def terms(self) -> int:
        return self.seat.size

    async def summands(
        self, x: Share, convert: Callable[[RingArray], RingArray], into: Spec
    ) -> tuple[Share, ...]:
        """One term per party, its own part, which it shares as an input: no message.

        Of two parties, each keeps its term: (a, 0) and (0, b) are sharings too, and their product is cheaper.
        """
        mine = convert(x.parts[0])
        if self.seat.size == 2:
            zero = into.ring.zeros(into.shape)
            return (Share(self, (mine,)), Share(self, (zero,)))[:: 1 if self.seat.rank == 0 else -1]
        return tuple(
            [await self.input(p, mine if p == self.seat.rank else None, into) for p in range(self.seat.size)]
        )

    async def product_of_terms(self, x: Share, y: Share) -> Share:
        """Beaver's product where party 0 knows x and party 1 knows y: each sends one masked operand, not two.

        With a all party 0's and b all party 1's, open d = x − a and e = y − b:  xy = c + d·b + x·e, of which
        party 0 has c_0 + x·e and party 1 has c_1 + d·b.  A comparison sends 16 bytes less for it.
        """
        if self.seat.size != 2:
            return await super().product_of_terms(x, y)
        (a, b), dependent = await self.prep.draw(CrossTriple(x.spec))
        first = self.seat.rank == 0
        mine = (x.parts[0] - a) if first else (y.parts[0] - b)
        inbox = await exchange(
            {1 - self.seat.rank: (mine,)}, {1 - self.seat.rank: (mine.spec,)}, "product of terms"
        )
        (c,) = await dependent
        theirs = inbox[1 - self.seat.rank][0]
        return Share(self, (c + (x.parts[0] * theirs if first else theirs * b),))

    async def shuffle(self, x: Share) -> Share:
        """One party after the other puts x in an order of its own; a round and n−1 messages each.  [CGP20]

        The others send it their parts, masked by a; it adds them up, moves them, and all add their parts of
        π(a)."""
        for owner in range(self.seat.size):
            (order, a), dependent = await self.prep.draw(Permutation(x.spec, owner))
            mine = x.parts[0]
            if self.seat.rank != owner:
                await exchange({owner: (mine - a,)}, tag="shuffle")
                (part,) = await dependent
            else:
                inbox = await exchange(recv=dict.fromkeys(self.seat.others, (x.spec,)), tag="shuffle")
                (part,) = await dependent
                part = part + permuted(reduce(add, (i[0] for i in inbox.values()), mine), order.data)
            x = Share(self, (part,))
        return x

    @property
    def _masked(self) -> bool:
        """Whether bits come from masks: two parties know a term each, which takes fewer transfers, and more
        bytes than a mask of a dealer's.
        """
        return self.seat.size > 2 or self.prep.deals

    async def to_ring(self, bits: Share, ring: Ring, n: int) -> Share:
        if self._masked:
            return await masked_bits.to_ring(self, self.prep, bits, ring, n)
        return await super().to_ring(bits, ring, n)

    async def signs(self, x: Share) -> Share:
        return await (masked_bits.signs(self, self.prep, x) if self._masked else carries.signs(self, x))

    async def zeros(self, x: Share) -> Share:
        """Between two parties x = 0 where the bits of x_0 and −x_1 are alike, which takes no message."""
        if self._masked:
            return await masked_bits.zeros(self, self.prep, x)
        term = x.parts[0] if self.seat.rank == 0 else -x.parts[0]
        return carries.complement(Share(self, (planes(term),)))

    async def truncate(self, x: Share, bits: int) -> Share:
        if self.seat.size == 2:
            return await elementwise(lambda x: truncation.of_two(self, x, bits), x)
        return await elementwise(lambda x: truncation.masked(self, self.prep, x, bits), x)
