"""What a secret-sharing scheme is: a way to hide, combine and open arrays over a ring.

A ``Share`` is what one party holds of one secret: a tuple of ring arrays with componentwise *linear*
arithmetic, which is local and hence made of operators.  What talks to other parties is ``async`` and
ends in ``await exchange(...)``.  A new scheme is one subclass in one file, here or in a package of its own:
it gets every operation, every conformance test and every benchmark (``docs/new-suite.md``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mpc.bits import unpacked
from mpc.prg import Stream
from mpc.ring import Ring, RingArray, Shape, Spec
from mpc.rounds import Flow, exchange, pipeline
from mpc.seat import Seat, take_bound_seat, take_seat
from protocols.bilinear import MULTIPLY, Bilinear
from protocols.prep import Prep
from protocols.threat import Cost, Threat

#: Most elements of one piece of a big elementwise operation: few enough that its arrays stay in the L3 cache,
#: and so many that what a piece costs the interpreter is little beside them (a comparison of 10^6: 121 M
#: cycles in pieces of 2^16, 97 M so).
CHUNK = 1 << 17


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """One party's part of a secret array.  Immutable; never prints what it holds."""

    suite: Suite
    parts: tuple[RingArray, ...]

    @property
    def ring(self) -> Ring:
        return self.parts[0].ring

    @property
    def shape(self) -> Shape:
        return self.parts[0].shape

    @property
    def size(self) -> int:
        return self.parts[0].size

    @property
    def spec(self) -> Spec:
        return self.parts[0].spec

    def _both(self, f: Callable[[RingArray, RingArray], RingArray], other: Share | RingArray) -> Share:
        if isinstance(other, RingArray):
            other = self.suite.constant(other)
        return Share(self.suite, tuple([f(a, b) for a, b in zip(self.parts, other.parts, strict=True)]))

    def __add__(self, other: Share | RingArray) -> Share:
        return self._both(RingArray.__add__, other)

    def __sub__(self, other: Share | RingArray) -> Share:
        return self._both(RingArray.__sub__, other)

    def __neg__(self) -> Share:
        return self.apply(RingArray.__neg__)

    def __mul__(self, public: RingArray) -> Share:
        return self.apply(lambda part: part * public)

    def __getitem__(self, index: Any) -> Share:
        return Share(self.suite, tuple([part[index] for part in self.parts]))

    def apply(self, linear: Callable[[RingArray], RingArray]) -> Share:
        """A public linear map, on each part."""
        return Share(self.suite, tuple([linear(part) for part in self.parts]))

    def reshape(self, shape: Shape) -> Share:
        return Share(
            self.suite, tuple([RingArray(part.ring, part.data.reshape(shape)) for part in self.parts])
        )

    def __repr__(self) -> str:
        return f"<share of an array {self.shape} over {self.ring}>"


def lift(f: Callable[..., Any], *xs: Share) -> Any:
    """Apply a function of ndarrays that is linear in all of them together (concatenate, sum, …).

    Returns a ``Share``, or a list of them where ``f`` returns a list (split).
    """
    suite, ring = xs[0].suite, xs[0].ring
    outs = [f(*[x.parts[i].data for x in xs]) for i in range(len(xs[0].parts))]
    if isinstance(outs[0], list | tuple):
        return [
            Share(suite, tuple(RingArray(ring, np.asarray(d)) for d in piece))
            for piece in zip(*outs, strict=True)
        ]
    return Share(suite, tuple(RingArray(ring, np.asarray(d)) for d in outs))


class Suite(ABC):
    """One party's instance of a scheme, built on a seat: it cannot reach a socket."""

    name: ClassVar[str]
    summary: ClassVar[str]
    threat: ClassVar[Threat]
    cites: ClassVar[tuple[str, ...]]
    costs: ClassVar[Mapping[str, Cost]]
    parties: ClassVar[tuple[int, int | None]]  # fewest and most
    needs_prep: ClassVar[bool]  # takes a source of correlated randomness
    fields: ClassVar[bool] = False  # computes over prime fields, and not over rings of bits

    def __init__(self, seat: Seat, prep: Prep | None = None) -> None:
        self.seat = seat
        if (prep is None) == self.needs_prep:
            raise TypeError(
                f"the suite {self.name} takes {'a' if self.needs_prep else 'no'} source of correlated"
                " randomness"
            )
        self.prep = prep

    @classmethod
    def seated(cls, rank: int, size: int, own: Stream) -> Flow[Seat]:
        """Agree on the keys that a scheme with this threat needs."""
        return (take_bound_seat if cls.threat.adversary == "malicious" else take_seat)(rank, size, own)

    @abstractmethod
    def constant(self, value: RingArray) -> Share:
        """A public value as a share.  Local."""

    @abstractmethod
    async def input(self, owner: int, value: RingArray | None, spec: Spec) -> Share:
        """Share the value that ``owner`` holds; the others pass ``None``."""

    async def input_truth(self, owner: int, value: RingArray | None, spec: Spec) -> Share:
        """``input`` of what is 0 or 1; in a scheme that holds against malicious parties it is, whatever its
        owner does.
        """
        return await self.input(owner, value, spec)

    @abstractmethod
    async def open(
        self, *xs: Share, to: tuple[int, ...] | None = None, tag: str = "open"
    ) -> tuple[RingArray, ...]:
        """Reconstruct values at every party (or at those of ``to`` alone, the others get nothing).

        Nothing that was computed before is checked: what is not masked goes through ``reveal``.
        """

    @abstractmethod
    async def bilinear(self, f: Bilinear, x: Share, y: Share, bits: int = 0) -> Share:
        """f(x, y) for any bilinear map: elementwise, matrix, outer products; divided by 2^bits as by
        ``truncate``.
        """

    @abstractmethod
    async def random(self, spec: Spec, below: int | None = None) -> Share:
        """A uniform secret that nobody knows; or the sum of as many as there are parties, each uniform below
        a bound.

        No coalition that the threat allows for knows all that are added up.
        """

    @abstractmethod
    async def truncate(self, x: Share, bits: int) -> Share:
        """x / 2^bits for |x| < 2^(k-2), up to one unit in the last place."""

    @abstractmethod
    async def summands(
        self, x: Share, convert: Callable[[RingArray], RingArray], into: Spec
    ) -> tuple[Share, ...]:
        """Sharings of ``convert(term)`` for terms that add up to x in x's ring, each known to some party.

        ``convert`` is local and may change the ring: arithmetic to boolean and back both follow from it.  The
        terms of one x are always the same, so that what is converted in several ways belongs together.
        """

    @property
    @abstractmethod
    def terms(self) -> int:
        """How many terms ``summands`` gives."""

    async def product_of_terms(self, x: Share, y: Share) -> Share:
        """x·y, elementwise, for the two terms that ``summands`` gave; suites use who knows them."""
        return await self.bilinear(MULTIPLY, x, y)

    async def to_ring(self, bits: Share, ring: Ring, n: int) -> Share:
        """Planes of n bits, any number of them along leading axes, as numbers 0 and 1: a ⊕ b = a + b − 2ab
        for known terms.

        One product for every term but the first.
        """
        rows = bits.shape[:-1]
        first, *rest = terms = await self.summands(
            bits, lambda t: unpacked(t, ring, n), Spec(ring, (*rows, n))
        )
        for term in rest:
            common = await (
                self.product_of_terms(first, term)
                if len(terms) == 2
                else self.bilinear(MULTIPLY, first, term)
            )
            first = first + term - common - common
        return first

    async def chosen(self, bits: Share, x: Share) -> Share:
        """x where the bit in one plane is set, else 0."""
        return await self.bilinear(MULTIPLY, (await self.to_ring(bits, x.ring, x.size)).reshape(x.shape), x)

    @abstractmethod
    async def shuffle(self, x: Share) -> Share:
        """x of shape (c, n, m) with the n in an order that nobody knows: one for each of the m, the same for
        all c.
        """

    @abstractmethod
    async def signs(self, x: Share) -> Share:
        """Planes over packed bits that generate and planes that propagate a carry (``protocols/carries.py``),
        two rows: its sign is the carry out of the last."""

    @abstractmethod
    async def zeros(self, x: Share) -> Share:
        """Planes over packed bits that are all one where x = 0."""

    async def check(self) -> None:  # noqa: B027  (a default, not a duty)
        """Return when everything so far is right at all honest parties, and bound, else ``CheatError``.

        A semi-honest scheme has nothing to check.
        """

    async def alike(self, *values: RingArray) -> None:  # noqa: B027  (as above)
        """Return when all honest parties have the same public values, which one has told them, else
        ``CheatError``.
        """

    async def reveal(
        self, *xs: Share, to: tuple[int, ...] | None = None, tag: str = "reveal"
    ) -> tuple[RingArray, ...]:
        """Check, then open: the way of every value that is not masked, to the user and within protocols."""
        await self.check()
        if any(x.size > CHUNK for x in xs):
            return tuple([v for x in xs for v in await self._open_streamed(x, to, tag)])
        return await self.open(*xs, to=to, tag=tag)

    async def _open_streamed(self, x: Share, to: tuple[int, ...] | None, tag: str) -> tuple[RingArray, ...]:
        async def opened(x: Share) -> Share:
            return Share(self, await self.open(x, to=to, tag=tag) or x.parts[:1])

        out = await elementwise(opened, x, parts=1)
        return (out.parts[0],) if to is None or self.seat.rank in to else ()

    def __repr__(self) -> str:
        return f"<suite {self.name}, party {self.seat.rank} of {self.seat.size}>"


async def broadcast(seat: Seat, *xs: RingArray, tag: str) -> list[tuple[RingArray, ...]]:
    """Send arrays to all others; return everyone's, by rank.  One round."""
    specs = tuple(x.spec for x in xs)
    inbox = await exchange(dict.fromkeys(seat.others, xs), dict.fromkeys(seat.others, specs), tag)
    return [xs if p == seat.rank else inbox[p] for p in range(seat.size)]


async def elementwise(
    protocol: Callable[..., Flow[Share]], *xs: Share, parts: int | None = None, width: int | None = None
) -> Share:
    """``protocol(*xs)`` for operands of one shape, in pieces that stay in the cache when they are big.

    The protocol must act element by element and return ``parts`` parts (as many as it gets, unless said), for
    each element one or, along a last axis, ``width`` of them; rounds and bytes are the same but for a header
    per piece."""
    size, shape, wide = xs[0].size, xs[0].shape, () if width is None else (width,)
    step = _step(size, max(64, CHUNK // (width or 1)))
    if size <= step:
        return await protocol(*xs)
    flat = [x.reshape((size,)) for x in xs]
    suite, ring = xs[0].suite, xs[0].ring
    out = Share(suite, tuple(ring.empty((size, *wide)) for _ in range(parts or len(xs[0].parts))))

    async def piece(lo: int, hi: int) -> None:
        result = await protocol(*(x[lo:hi] for x in flat))
        for target, part in zip(out.parts, result.parts, strict=True):
            target.data[lo:hi] = part.data

    await pipeline((piece(lo, hi) for lo, hi in chunks(size, step)), -(-size // step))
    return out.reshape((*shape, *wide))


def pieces(size: int) -> int:
    """In how many ``elementwise`` cuts so many elements."""
    return max(1, -(-size // _step(size, CHUNK))) if size else 1


def _step(size: int, most: int) -> int:
    """Pieces of whole words of bits, alike, and two of what is more than half of one, so that computing and
    sending overlap.
    """
    pieces = max(-(-size // most), 1 if 2 * size <= most else 2)
    return -(-size // pieces // 64) * 64


def chunks(size: int, step: int = CHUNK) -> Iterator[tuple[int, int]]:
    return ((lo, min(size, lo + step)) for lo in range(0, size, step))
