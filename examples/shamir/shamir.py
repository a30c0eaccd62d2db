"""Shamir sharing over a prime field: a suite in one file, for mpc-engine to find (``docs/new-suite.md``).

A value v is hidden in a random polynomial of degree t = ⌊(n−1)/2⌋ with f(0) = v; party i holds f(i+1).  Any t
parties see nothing, any t+1 have f.  Who deals draws the t next parties' shares from the streams it has in
common with each of them, which sends nothing, and sends the others theirs.  A product of shares lies on a
polynomial of degree 2t < n: everybody deals its own anew, and Lagrange's weights make of these a sharing of
the product.

Threat   semi-honest, fewer than half of the parties.  t shares of a dealing are uniform whatever was dealt,
         and every dealing is a new one.
Cost     see ``costs``.  n−1−t elements for an input and for each party of a product; t to open.
Source   Shamir, CACM 1979; products: Gennaro, Rabin, Rabin, PODC 1998; shares out of common streams: Cramer,
         Damgård, Ishai, TCC 2005.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from operator import add
from typing import ClassVar, NoReturn

from mpc.ring import Field, Ring, RingArray, Spec
from mpc.rounds import exchange
from mpc.seat import Seat
from protocols.bilinear import Bilinear
from protocols.prep import Prep
from protocols.suite import Share, Suite
from protocols.threat import Cost, Threat


def degree(parties: int) -> int:
    return (parties - 1) // 2


def weights(ring: Ring, ranks: list[int], at: int) -> list[RingArray]:
    """Lagrange's: f(at) = Σ weight·f(rank + 1), for any f whose degree is below the number of ranks."""
    assert isinstance(ring, Field)
    found = []
    for i in ranks:
        up = down = 1
        for j in ranks:
            if j != i:
                up, down = up * (at - j - 1), down * (i - j)
        found.append(ring(up * ring.inverse(down)))
    return found


def value(shares: Mapping[int, RingArray], at: int = 0) -> RingArray:
    """The value at a point of the polynomial through these shares, by rank."""
    ring = next(iter(shares.values())).ring
    parts = zip(shares.values(), weights(ring, list(shares), at), strict=True)
    return reduce(add, [share * weight for share, weight in parts])


class Shamir(Suite):
    """n ≥ 3 parties; a prime field as its ring."""

    name = "shamir"
    summary = "Shamir sharing over a prime field"
    threat = Threat("semi-honest", "(n-1)/2 of n")
    cites = ("Shamir, CACM 1979", "Gennaro, Rabin, Rabin, PODC 1998", "Cramer, Damgård, Ishai, TCC 2005")
    parties = (3, None)
    needs_prep, fields = False, True
    costs: ClassVar[Mapping[str, Cost]] = {
        "input": Cost(1, lambda n, ring: n - 1 - degree(n), "n-1-t elements from the owner"),
        "open": Cost(1, lambda n, ring: n * degree(n), "t elements"),
        "multiply": Cost(1, lambda n, ring: n * (n - 1 - degree(n)), "n-1-t elements"),
        "matmul": Cost(1, lambda n, ring: n * (n - 1 - degree(n)), "n-1-t elements"),
    }

    def __init__(self, seat: Seat, prep: Prep | None = None) -> None:
        super().__init__(seat, prep)
        self.t = degree(seat.size)

    def next(self, rank: int, count: int) -> list[int]:
        """The ranks after this one, in a circle."""
        return [(rank + i) % self.seat.size for i in range(1, count + 1)]

    def constant(self, value: RingArray) -> Share:
        return Share(self, (value,))  # a polynomial of degree 0

    async def deal(self, dealers: list[int], mine: RingArray | None, spec: Spec) -> list[RingArray]:
        """This party's shares of what each of the dealers deals, in one round; ``mine`` is what it deals."""
        seat, parts, out = self.seat, {}, {}
        for dealer in dealers:
            quiet = self.next(dealer, self.t)
            if dealer == seat.rank:
                assert mine is not None
                points = {-1: mine, **{p: seat.pair[p].draw(spec) for p in quiet}}  # rank −1 has the point 0
                parts[dealer] = value(points, dealer + 1)
                out = {p: (value(points, p + 1),) for p in seat.others if p not in quiet}
            elif seat.rank in quiet:
                parts[dealer] = seat.pair[dealer].draw(spec)
        heard = dict.fromkeys([d for d in dealers if d not in parts], (spec,))
        inbox = await exchange(out, heard, "deal")
        return [parts[d] if d in parts else inbox[d][0] for d in dealers]

    async def input(self, owner: int, value: RingArray | None, spec: Spec) -> Share:
        return Share(self, tuple(await self.deal([owner], value, spec)))

    async def open(
        self, *xs: Share, to: tuple[int, ...] | None = None, tag: str = "open"
    ) -> tuple[RingArray, ...]:
        rank, mine = self.seat.rank, tuple(x.parts[0] for x in xs)
        listening = [p for p in range(self.seat.size) if to is None or p in to]
        send = [p for p in listening if rank in self.next(p, self.t)]
        hear = self.next(rank, self.t) if rank in listening else []
        specs = tuple(m.spec for m in mine)
        inbox = await exchange(dict.fromkeys(send, mine), dict.fromkeys(hear, specs), tag)
        if rank not in listening:
            return ()
        return tuple(value({rank: m, **{p: inbox[p][i] for p in hear}}) for i, m in enumerate(mine))

    async def bilinear(self, f: Bilinear, x: Share, y: Share, bits: int = 0) -> Share:
        if bits:
            self.refuse()
        product = f(x.parts[0], y.parts[0])
        everybody = list(range(self.seat.size))
        return Share(self, (value(dict(enumerate(await self.deal(everybody, product, product.spec)))),))

    async def random(self, spec: Spec, below: int | None = None) -> Share:
        if below is not None or not isinstance(spec.ring, Field):
            self.refuse()
        parts = await self.deal(list(range(self.seat.size)), self.seat.own.draw(spec), spec)
        return Share(self, (reduce(add, parts),))

    @property
    def terms(self) -> int:
        return self.t + 1

    async def summands(
        self, x: Share, convert: Callable[[RingArray], RingArray], into: Spec
    ) -> tuple[Share, ...]:
        self.refuse()

    async def truncate(self, x: Share, bits: int) -> Share:
        self.refuse()

    async def shuffle(self, x: Share) -> Share:
        self.refuse()

    async def signs(self, x: Share) -> Share:
        self.refuse()

    async def zeros(self, x: Share) -> Share:
        self.refuse()

    def refuse(self) -> NoReturn:
        raise NotImplementedError(
            "the suite 'shamir' adds and multiplies; it does not compare, round or sort, for which it would"
            " need shares of bits: take the suite 'replicated' or 'additive'"
        )
