"""Correlated randomness from a trusted dealer.

The dealer gives each party a seed.  All parties but the last expand theirs to all their shares and never
hear from it again.  The last party expands its shares of the free arrays; for the dependent ones it asks,
and gets the correction that makes everybody's shares add up.

    a_i, b_i ← seed_i          for every party i
    c_i      ← seed_i          for i < n−1
    c_{n−1}  = f(Σ a_i, Σ b_i) − Σ_{i<n−1} c_i          the dealer's one message

Threat   semi-honest dealer that colludes with no party: it could compute every secret from what the
         parties open to each other, and it sees none of that.  It learns the shapes.
Cost     to the last party: one ring element per element of f(a, b); 8 bytes per elementwise triple over
         Z_2^64, 8·m·n per m×k×n matrix triple, 12 per truncation (16 from 32 bits on; between two parties 4
         and 8), 8 per element and party in a shuffle, 29 or 30 per number over
         Z_2^64 with the products of its bits, 8 per bit as a number, both for whole words of 64.  To others:
         nothing.  The answer travels in the round that opens the masked operands, so it adds no round.
Source   Beaver 1991 for the triples; seeds with one correction: Boyle et al., ePrint 2019/448, section 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Generator, Iterable, Sequence
from operator import add, sub
from typing import Any

import numpy as np

from mpc.errors import WireError
from mpc.frames import ABORT, BYE, DATA, HEADER, Header, Link
from mpc.meter import OFFLINE
from mpc.prg import SEED_BYTES, Stream
from mpc.ring import BITS, RINGS, Z64, Ring, RingArray, Shape, Spec
from mpc.rounds import Task, exchange, pipeline, spawn
from mpc.seat import Seat, pack
from protocols.bilinear import MATMUL, MULTIPLY
from protocols.prep import (
    Correlation,
    CrossTriple,
    DaBits,
    EdaBlocks,
    Parts,
    Permutation,
    Triple,
    TruncationMask,
    specs,
)
from protocols.threat import Threat

_SEED = Spec(Z64, (SEED_BYTES // 8,))
_NAME = Spec(Z64, (2,))  # of a dealer's session: random and public
# stock?, kind, ring, bits, then two shapes of up to 8 axes
_WORDS = 24
_REQUEST = Spec(Z64, (_WORDS,))
_MAX_ELEMENTS = 1 << 31

#: Triples for single elements are made in batches, so that a chain of them does not ask for each.
_POOLED, _POOL_FIRST, _POOL_MOST = 64, 64, 1 << 14


def _encode(kind: Correlation, stocked: bool) -> RingArray:
    if isinstance(kind, Triple):
        code, bits, shapes = (1 if kind.f == MULTIPLY else 2), 0, (kind.x.shape, kind.y.shape)
    elif isinstance(kind, TruncationMask):
        code, bits, shapes = 3, kind.bits, (kind.spec.shape, ())
    elif isinstance(kind, CrossTriple):
        code, bits, shapes = 4, 0, (kind.spec.shape, ())
    elif isinstance(kind, Permutation):
        code, bits, shapes = 5, kind.owner, (kind.spec.shape, ())
    elif isinstance(kind, EdaBlocks):
        code, bits, shapes = 6, kind.whole, ((kind.words,), ())
    elif isinstance(kind, DaBits):
        code, bits, shapes = 7, 0, ((kind.words,), ())
    else:
        raise NotImplementedError(f"the dealer does not make: {kind.name}")
    words = [int(stocked), code, kind.ring.bits, bits]
    for shape in shapes:
        if len(shape) > 8:
            raise NotImplementedError("products of arrays with more than 8 axes")
        words += [len(shape), *shape, *[0] * (8 - len(shape))]
    return Z64(words + [0] * (_WORDS - len(words)))


def _decode(request: Sequence[int]) -> tuple[Correlation, bool]:
    """The request back as a correlation; ``WireError`` for anything a party would not send."""
    kind, stocked = _parse(request)
    if [int(w) for w in _encode(kind, stocked).data] != list(request):
        raise WireError("a request to the dealer is not in its one form")
    return kind, stocked


def _parse(request: Sequence[int]) -> tuple[Correlation, bool]:
    stocked, code, ring_bits, bits, *rest = request
    ring = BITS if ring_bits == BITS.bits else RINGS.get(ring_bits)
    shapes = [tuple(rest[at + 1 : at + 1 + rest[at]]) if rest[at] <= 8 else None for at in (0, 9)]
    x, y = shapes
    if ring is None or stocked > 1 or x is None or y is None:
        raise WireError("a request to the dealer is not well formed")
    for shape in (x, y):
        if any(d > _MAX_ELEMENTS for d in shape) or Spec(ring, shape).size > _MAX_ELEMENTS:
            raise WireError("a request to the dealer is too large")
    try:
        if code in (1, 2):
            triple = Triple(MULTIPLY if code == 1 else MATMUL, Spec(ring, x), Spec(ring, y))
            if triple.dependent[0].size > _MAX_ELEMENTS:
                raise WireError("a request to the dealer is too large")
            return triple, bool(stocked)
    except ValueError:
        raise WireError("a request to the dealer names shapes that do not fit") from None
    if code == 3 and 0 < bits < ring.bits - 1:
        return TruncationMask(Spec(ring, x), bits), bool(stocked)
    if code == 4:
        return CrossTriple(Spec(ring, x)), bool(stocked)
    if code == 5 and len(x) == 3:
        return Permutation(Spec(ring, x), bits), bool(stocked)
    if code in (6, 7) and len(x) == 1 and ring is not BITS:
        blocks = ring.bits // 4
        made = EdaBlocks(ring, x[0], bits) if code == 6 else DaBits(ring, x[0])
        if (code == 6 and not 0 <= blocks - bits <= 1) or any(s.size > _MAX_ELEMENTS for s in specs(made)):
            raise WireError("a request to the dealer is too large, or for blocks that no protocol uses")
        return made, bool(stocked)
    raise WireError("a request to the dealer names no known correlation")


class _Streams:
    """One party's expansion of its seed: one stream for what is made when needed, one for the stock."""

    def __init__(self, seed: bytes, rank: int) -> None:
        self._rank = rank
        self.of = {stocked: Stream(seed, "stock" if stocked else "live") for stocked in (False, True)}

    def free(self, kind: Correlation, stocked: bool) -> Parts:
        if isinstance(kind, CrossTriple):  # the i-th array is all party i's
            return tuple(
                self.of[stocked].draw(s) if i == self._rank else s.ring.zeros(s.shape)
                for i, s in enumerate(kind.free)
            )
        if isinstance(kind, Permutation):
            order, a = kind.free
            if self._rank == kind.owner:
                return order.ring(self.of[stocked].permutations(order.shape)), a.ring.zeros(a.shape)
            return order.ring.zeros(order.shape), self.of[stocked].draw(a)
        return tuple(self.of[stocked].draw(s) for s in kind.free)

    def dependent(self, kind: Correlation, stocked: bool) -> Parts:
        return tuple(self.of[stocked].draw(s) for s in kind.dependent)


class Dealer:
    """The dealer itself, free of input and output."""

    def __init__(self, size: int, seed: Stream | None = None) -> None:
        source = seed or Stream.fresh("dealer")
        self.size = size
        self.seeds = [source.bytes(SEED_BYTES) for _ in range(size)]
        self.name = source.bytes(_NAME.nbytes)
        self._streams = [_Streams(s, rank) for rank, s in enumerate(self.seeds)]

    def correction(self, kind: Correlation, stocked: bool) -> Parts:
        """What the last party lacks for the correlation it asks for."""
        *others, last = self._streams
        sums = last.free(kind, stocked)
        for s in others:  # one after the other: two parties' parts at a time
            sums = tuple(map(add, sums, s.free(kind, stocked)))
        rest = kind.derive(*sums)
        for s in others:
            rest = tuple(map(sub, rest, s.dependent(kind, stocked)))
        return rest

    def service(self, sender: int, arrays: Parts) -> Parts:
        """For ``simulate``: a seed to whoever sends nothing, corrections to the last party."""
        if not arrays:
            return pack(self.seeds[sender]), pack(self.name)
        if sender != self.size - 1:
            raise WireError(f"party {sender} has nothing to ask the dealer for")
        return tuple(
            part for request in arrays for part in self.correction(*_decode([int(w) for w in request.data]))
        )


class DealerFrames:
    """The dealer behind frames: greets every party with its seed, answers the last one's requests.

    What is asked for at once, and the arrays behind any one request, have at most ``largest`` elements.
    """

    def __init__(self, dealer: Dealer, largest: int = _MAX_ELEMENTS) -> None:
        self._dealer, self._largest = dealer, largest
        self._links = [Link(dealer.size, party) for party in range(dealer.size)]

    def greeting(self, party: int) -> list[memoryview]:
        link = self._links[party]
        link.extend([f"/seed:;{_SEED},{_NAME}"])
        seed, name = self._dealer.seeds[party], self._dealer.name
        return [memoryview(b) for b in (link.seal(len(seed) + len(name), "seed"), seed, name)]

    def expects(self, party: int, header: bytes | bytearray) -> int | None:
        """Bytes that follow this header; ``None`` if the party has said goodbye."""
        parsed = Header.parse(header)
        if parsed.magic in (BYE, ABORT):
            return None
        if party != self._dealer.size - 1 or parsed.length % _REQUEST.nbytes or parsed.length > 1 << 20:
            raise WireError(f"party {party} sent the dealer something that is no request")
        return parsed.length

    def answer(self, party: int, frame: bytes) -> list[memoryview]:
        """The answer to one frame of requests; empty for a goodbye."""
        if self.expects(party, frame[: HEADER.size]) is None:
            return []
        magic, number, length, digest, _ = HEADER.unpack_from(frame)
        link = self._links[party]
        asked = [
            _decode([int(w) for w in Z64.decode(memoryview(frame)[at : at + _REQUEST.nbytes], (_WORDS,))])
            for at in range(HEADER.size, HEADER.size + length, _REQUEST.nbytes)
        ]
        link.extend(f"/dealer:{_REQUEST};{','.join(map(str, kind.dependent))}" for kind, _ in asked)
        link.received += 1
        if (magic, number, digest) != (DATA, link.received, link.due):
            raise WireError(f"party {party} and the dealer disagree on what was asked before")
        most = max(
            [sum(spec.size for spec in (*kind.free, *kind.dependent)) for kind, _ in asked]
            + [sum(spec.size for kind, _ in asked for spec in kind.dependent)]
        )
        if most > self._largest:
            raise WireError(
                f"party {party} asks the dealer for {most} elements at once; it makes up to "
                f"{self._largest}: raise largest_array in its configuration"
            )
        answers = [self._dealer.correction(*one) for one in asked]
        views = [p.ring.encode(p.data) for parts in answers for p in parts]
        return [
            memoryview(link.seal(sum(v.nbytes for v in views), "dealer")),
            *(v for v in views if v.nbytes),
        ]


class _Later:
    """Parts that are here when awaited: given, or cut out of a batch that is under way."""

    __slots__ = ("_hi", "_lo", "_shape", "_source")

    def __init__(
        self, source: Task[Parts] | Parts, lo: int = 0, hi: int = 0, shape: Shape | None = None
    ) -> None:
        self._source, self._lo, self._hi, self._shape = source, lo, hi, shape

    def __await__(self) -> Generator[Any, Any, Parts]:
        source = self._source
        parts = (yield from source.__await__()) if isinstance(source, Task) else source
        return (
            parts if self._shape is None else tuple(_cut(p, self._lo, self._hi, self._shape) for p in parts)
        )


def _cut(x: RingArray, lo: int, hi: int, shape: Shape) -> RingArray:
    return RingArray(x.ring, np.reshape(x.data[lo:hi], shape))


class _Pool:
    """Triples for single elements, made in batches that grow with use."""

    __slots__ = ("at", "batch", "dependent", "free")

    def __init__(self) -> None:
        self.batch, self.at = _POOL_FIRST // 2, _POOL_FIRST
        self.free: Parts = ()
        self.dependent: Task[Parts] | None = None


class Dealt:
    """The dealer's correlations as one party gets them."""

    threat = Threat("semi-honest", "n-1 of n", setup="a trusted dealer")
    deals = True

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self.asked: list[Correlation] | None = None  # set to a list to learn what a program needs
        self._streams: _Streams | None = None
        self._stock: deque[tuple[Correlation, Parts]] = deque()
        self._pools: dict[Ring, _Pool] = {}

    async def setup(self, seat: Seat) -> None:
        inbox = await exchange(recv={self.size: (_SEED, _NAME)}, tag="seed")
        seed, name = inbox[self.size]
        self._streams = _Streams(seed.data.tobytes(), self.rank)
        seat.bind(name.data.tobytes())  # all parties have the same dealer, in the same session

    async def draw(self, kind: Correlation) -> tuple[Parts, Awaitable[Parts]]:
        if self.asked is not None:
            self.asked.append(kind)
        if self._stock and self._stock[0][0] == kind:
            return self._from_stock(kind)
        if isinstance(kind, Triple) and kind.f == MULTIPLY and kind.x == kind.y and kind.x.size <= _POOLED:
            return await self._from_pool(kind)
        return await self._live(kind)

    async def _live(self, kind: Correlation) -> tuple[Parts, Task[Parts]]:
        assert self._streams is not None, "setup comes first"
        free = self._streams.free(kind, False)
        mine = () if self._last else self._streams.dependent(kind, False)
        return free, await spawn(self._fetch(kind, mine, False), OFFLINE + kind.name)

    async def _fetch(self, kind: Correlation, mine: Parts, stocked: bool) -> Parts:
        """The last party asks the dealer; the others take part in the round with nothing to say."""
        if not self._last:
            await exchange(tag="dealer")
            return mine
        inbox = await exchange({self.size: (_encode(kind, stocked),)}, {self.size: kind.dependent}, "dealer")
        return inbox[self.size]

    @property
    def _last(self) -> bool:
        return self.rank == self.size - 1

    async def _from_pool(self, kind: Triple) -> tuple[Parts, Awaitable[Parts]]:
        n, shape = kind.x.size, kind.x.shape
        pool = self._pools.setdefault(kind.ring, _Pool())
        if pool.at + n > pool.batch:
            pool.batch, pool.at = min(2 * pool.batch, _POOL_MOST), 0
            spec = Spec(kind.ring, (pool.batch,))
            pool.free, pool.dependent = await self._live(Triple(MULTIPLY, spec, spec))
        assert pool.dependent is not None
        lo, pool.at = pool.at, pool.at + n
        return tuple(_cut(p, lo, lo + n, shape) for p in pool.free), _Later(pool.dependent, lo, lo + n, shape)

    async def stock(self, kinds: Iterable[Correlation]) -> None:
        """Receive the dealer's material for these correlations now; later draws take it in this order."""

        async def receive(at: int, kind: Correlation) -> None:
            self._stock[at] = (kind, await self._fetch(kind, (), True))

        first, kinds = len(self._stock), list(kinds)
        self._stock.extend((kind, ()) for kind in kinds)
        await pipeline((receive(first + i, kind) for i, kind in enumerate(kinds)), len(kinds))

    def _from_stock(self, kind: Correlation) -> tuple[Parts, Awaitable[Parts]]:
        assert self._streams is not None
        _, received = self._stock.popleft()
        free = self._streams.free(kind, True)
        return free, _Later(received if self._last else self._streams.dependent(kind, True))
