"""Correlated randomness that the parties make themselves, by oblivious transfer.

Every party draws its shares of the uniform arrays.  Products of sums are sums of products: each party
computes its own, and every ordered pair of parties one across (``protocols/ot/products``).

    triple           c = Σ f(a_i, b_i) + Σ_{i≠j} f(a_i, b_j)
    cross triple     c = a·b, a of party 0 and b of party 1: the one product across
    truncation mask  r = Σ_j 2^j·b_j with b_j = b_{0,j} ⊕ … ⊕ b_{n−1,j}: party after party joins its bits,
                     b ⊕ b' = b + b' − 2bb', which is a product of the bit it knows with what the others share
    permutation      the owner sets the switches of a network (``networks``), at each of which the two who
                     hold its inputs exchange them or not: one transfer, of the difference

Small requests are served from batches that grow with use.  From the second one on, the next is begun when
half of one is used, and travels with the rounds of what uses the other half.

Threat   semi-honest, n−1 of n; see ``protocols/ot``.
Cost     a party sends to each other one: per elementwise triple over Z_2^64 520 bytes, over Z_2^32 196, over
         Z_2^128 1552; per word of AND triples 264; per matrix triple m×k×n 136·m·k·n and 1280·k·n bytes (m ≥
         n, m ≥ 8), less from 128 × 128 × 128 on; per cross triple 264 or 256; per truncation mask among n
         parties 384·(n−1) on average; per element that is permuted and switch 8, and 4 per switch.  Two
         rounds per batch; a truncation mask takes 2(n−1).  With silent transfers, 275 bytes per triple, 74
         over Z_2^32, 1062 over Z_2^128 and 20 per word of AND triples, and setup sends a third of a megabyte;
         triples take 1.7 times the computing, so that they pay below some 400 Mbit/s between the parties.
Source   Gilboa, CRYPTO 1999; Demmler, Schneider, Zohner, NDSS 2015 (ABY); Keller, Orsini, Scholl, CCS 2016
         (MASCOT) for n parties.  Bits: Rotaru, Wood, ePrint 2019/207.  Permutations: Mohassel, Sadeghian,
         EUROCRYPT 2013.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from dataclasses import replace
from typing import Any

import numpy as np

from mpc.meter import OFFLINE
from mpc.prg import SEED_BYTES, Stream
from mpc.ring import BITS, NDArray, RingArray, Spec
from mpc.rounds import Task, spawn
from mpc.seat import Seat
from protocols.ot import extension, networks, silent
from protocols.ot.extension import Links
from protocols.ot.products import cross, elementwise, products
from protocols.prep import (
    Correlation,
    CrossTriple,
    Here,
    Parts,
    Permutation,
    Triple,
    TruncationMask,
    cut,
    of_size,
    specs,
    units,
)
from protocols.threat import Threat

#: Bits of a piece of Δ: trees of 16 seeds, 4 bytes per transfer.
TREE = 4

#: Requests up to so many elements are cut out of batches, which double from the first size to the last.
_POOLED, _FIRST, _MOST = 1 << 12, 1 << 8, 1 << 14


class _Pool:
    """A batch of one kind, how much of it is used, and the batch after it once that is under way."""

    __slots__ = ("at", "batch", "free", "next", "rest")

    def __init__(self) -> None:
        self.batch = self.at = 0
        self.free: Parts = ()
        self.rest: Task[Parts] | None = None
        self.next: tuple[Parts, Task[Parts]] | None = None


class Oblivious:
    """What the parties make of oblivious transfers, as one of them gets it."""

    threat = Threat("semi-honest", "n-1 of n")

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
        self._pools: dict[Correlation, _Pool] = {}

    async def setup(self, seat: Seat) -> None:
        self._seat, self._own = seat, Stream(seat.own.bytes(SEED_BYTES), "oblivious")
        self._links: Links = await (silent if self._silent else extension).connect(seat, TREE)

    async def draw(self, kind: Correlation) -> tuple[Parts, Awaitable[Parts]]:
        one, n = units(kind)
        if of_size(kind, 1) is None or not 0 < n <= _POOLED:
            return await self.make(kind)
        pool = self._pools.setdefault(one, _Pool())
        if pool.at + n > pool.batch:
            size, begun = _after(pool.batch), pool.next
            if n > size:
                size, begun = 2 * n, None
            pool.free, pool.rest = begun or await self._start(_batch(kind, size))
            pool.batch, pool.at, pool.next = size, 0, None
        lo, pool.at = pool.at, pool.at + n
        # its rounds travel with those of the rest
        if pool.next is None and pool.batch > _FIRST and 2 * pool.at > pool.batch:
            pool.next = await self._start(_batch(kind, _after(pool.batch)))
        assert pool.rest is not None
        later = _Later(pool.rest, lo, lo + n, kind.dependent if pool.free else specs(kind))
        return (cut(pool.free, lo, lo + n, kind.free), later) if pool.free else await _apart(kind, later)

    async def make(self, kind: Correlation) -> tuple[Parts, Awaitable[Parts]]:
        """As ``draw``, but just this and on its own."""
        free, rest = await self._start(kind)
        return (free, rest) if free else await _apart(kind, rest)

    async def _start(self, kind: Correlation) -> tuple[Parts, Task[Parts]]:
        """The free parts, and the others under way; or none of the free ones and all under way."""
        if isinstance(kind, Triple):
            free = tuple(self._own.draw(s) for s in kind.free)
            return free, await spawn(self._triple(kind, *free), OFFLINE + kind.name)
        if isinstance(kind, CrossTriple):
            free = tuple(
                self._own.draw(s) if i == self._seat.rank else s.ring.zeros(s.shape)
                for i, s in enumerate(kind.free)
            )
            return free, await spawn(self._cross_triple(kind, *free), OFFLINE + kind.name)
        if isinstance(kind, TruncationMask):
            return (), await spawn(self._mask(kind), OFFLINE + kind.name)
        if isinstance(kind, Permutation) and kind.ring is not BITS:
            return await self._permutation(kind)
        raise NotImplementedError(
            f"there is no way yet to make by oblivious transfer: {kind.name} over {kind.ring}"
        )

    async def _triple(self, kind: Triple, a: RingArray, b: RingArray) -> Parts:
        return (kind.f(a, b) + await cross(self._links, kind.f, a, b),)

    async def _cross_triple(self, kind: CrossTriple, a: RingArray, b: RingArray) -> Parts:
        flat = elementwise(kind.ring, kind.spec.size)
        if self._seat.rank == 0:
            share = await products(self._links, flat, rows=a.data.reshape(-1, 1), to=(1,))
        elif self._seat.rank == 1:
            share = await products(self._links, flat, choices=b.data.reshape(-1), of=(0,))
        else:
            share = await products(self._links, flat)
        return (RingArray(kind.ring, share.reshape(kind.spec.shape)),)

    async def _mask(self, kind: TruncationMask) -> Parts:
        """r, its high bits and its top bit."""
        if kind.spec.size > _MOST:
            shape, step = kind.spec.shape, _MOST
            sizes = [min(step, kind.spec.size - lo) for lo in range(0, kind.spec.size, step)]
            pieces = [await self._mask(replace(kind, spec=Spec(kind.ring, (n,)))) for n in sizes]
            return tuple(
                RingArray(p[0].ring, np.concatenate([x.data for x in p]).reshape(shape))
                for p in zip(*pieces, strict=True)
            )
        bits = await self._bits(kind.spec)
        return (
            _weighted(bits, 0, 0),
            _weighted(bits[..., :-1], kind.bits, kind.bits),
            kind.dependent[1].ring(bits.data[..., -1]),
        )

    async def _bits(self, spec: Spec) -> RingArray:
        """Shares of the bits of uniform numbers, each as a ring element:
        the spec's shape and the bits' axis.
        """
        ring, k = spec.ring, spec.ring.bits
        numbers = self._own.draw(Spec(ring, (spec.size,))).data
        column = spec.size * k, 1
        mine = ring(
            np.unpackbits(np.frombuffer(ring.encode(numbers), np.uint8), bitorder="little").reshape(column)
        )
        flat = elementwise(ring, spec.size * k, bits=1)
        share = mine if self._seat.rank == 0 else ring.zeros(column)
        for joining in range(1, self._seat.size):
            if self._seat.rank < joining:
                both = await products(self._links, flat, rows=share.data, to=(joining,))
            elif self._seat.rank == joining:
                both = await products(self._links, flat, choices=numbers, of=range(joining))
                share = share + mine
            else:
                both = await products(self._links, flat)
            share = share - (RingArray(ring, both) << 1)
        return share.map(lambda data: data.reshape(*spec.shape, k))

    async def _permutation(self, kind: Permutation) -> tuple[Parts, Task[Parts]]:
        order, a = kind.free
        if self._seat.rank == kind.owner:
            orders = self._own.permutations(order.shape)
            return (order.ring(orders), a.ring.zeros(a.shape)), await spawn(
                self._move(kind, orders, None), OFFLINE + kind.name
            )
        mine = self._own.draw(a)
        return (order.ring.zeros(order.shape), mine), await spawn(
            self._move(kind, None, mine), OFFLINE + kind.name
        )

    async def _move(self, kind: Permutation, orders: NDArray | None, mine: RingArray | None) -> Parts:
        share = await networks.move(
            self._links, self._seat, kind.owner, kind.spec, orders, None if mine is None else mine.data
        )
        return (RingArray(kind.ring, share),)


async def _apart(kind: Correlation, everything: Awaitable[Parts]) -> tuple[Parts, Awaitable[Parts]]:
    """The free parts and the others, all of which come together."""
    parts, n = await everything, len(kind.free)
    return parts[:n], Here(parts[n:])


def _after(batch: int) -> int:
    """The size of the batch that follows one of this size."""
    return min(_MOST, max(_FIRST, 2 * batch))


def _batch(kind: Correlation, size: int) -> Correlation:
    whole = of_size(kind, size)
    assert whole is not None
    return whole


def _weighted(bits: RingArray, first: int, shift: int) -> RingArray:
    """Σ_{j ≥ first} 2^(j − shift)·bit j, over the last axis."""
    weights = bits.ring([1 << (j - shift) for j in range(first, bits.shape[-1])])
    return (bits[..., first:] * weights).sum(-1)


class _Later:
    """Parts that are cut out of a batch when awaited."""

    __slots__ = ("_hi", "_into", "_lo", "_source")

    def __init__(self, source: Task[Parts], lo: int, hi: int, into: tuple[Spec, ...]) -> None:
        self._source, self._lo, self._hi, self._into = source, lo, hi, into

    def __await__(self) -> Generator[Any, Any, Parts]:
        return cut((yield from self._source.__await__()), self._lo, self._hi, self._into)
