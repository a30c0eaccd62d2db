"""Correlated randomness that the parties make themselves, by oblivious transfer.

Every party draws its shares of the uniform arrays.  Products of sums are sums of products: each party
computes its own, and every ordered pair of parties one across (``protocols/ot/products``).

    triple           c = Σ f(a_i, b_i) + Σ_{i≠j} f(a_i, b_j)
    cross triple     c = a·b, a of party 0 and b of party 1: the one product across
    truncation mask  r = Σ_j 2^j·b_j with b_j = b_{0,j} ⊕ … ⊕ b_{n−1,j}: party after party joins its bits,
                     b ⊕ b' = b + b' − 2bb', which is a product of the bit it knows with what the others share
    bits twice       of the bits b_j in the same way, each by itself
    bits of numbers  r and the b_j as there; of b_0 … b_3 of each block, products of two, then of these
                     products of three and four, as c of a triple
    permutation      the owner sets the switches of a network (``networks``), at each of which the two who
                     hold its inputs exchange them or not: one transfer, of the difference

Small requests are served from batches that grow with use.  From the second one on, the next is begun when
half of one is used, and travels with the rounds of what uses the other half.

Threat   semi-honest, n−1 of n; see ``protocols/ot``.
Cost     a party sends to each other one: per elementwise triple over Z_2^64 520 bytes, over Z_2^32 196, over
         Z_2^128 1552; per word of AND triples 264; per matrix triple m×k×n 136·m·k·n and 1280·k·n bytes (m ≥
         n, m ≥ 8), less from 128 × 128 × 128 on; per cross triple 264 or 256; per truncation mask among n
         parties 384·(n−1) on average; per number with the products of its bits 1081, in 2(n−1) + 4 rounds,
         per bit as a number 6; per element that is permuted and switch 8, and 4 per switch.  Two rounds per
         batch; a truncation mask takes 2(n−1).  With silent transfers, 275 bytes per triple, 74 over Z_2^32,
         1062 over Z_2^128 and 20 per word of AND triples, and setup sends a third of a megabyte; triples take
         1.7 times the computing, so that they pay below some 400 Mbit/s between the parties.
Source   Gilboa, CRYPTO 1999; Demmler, Schneider, Zohner, NDSS 2015 (ABY); Keller, Orsini, Scholl, CCS 2016
         (MASCOT) for n parties.  Bits: Rotaru, Wood, ePrint 2019/207.  Permutations: Mohassel, Sadeghian,
         EUROCRYPT 2013.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import replace
from typing import Any

import numpy as np

from mpc.bits import planes
from mpc.meter import OFFLINE
from mpc.prg import SEED_BYTES, Stream
from mpc.ring import BITS, NDArray, Ring, RingArray, Spec
from mpc.rounds import Flow, Task, pipeline, spawn
from mpc.seat import Seat
from protocols import monomials
from protocols.bilinear import MULTIPLY
from protocols.ot import extension, networks, silent
from protocols.ot.extension import Links
from protocols.ot.products import cross, elementwise, products
from protocols.prep import (
    Correlation,
    CrossTriple,
    DaBits,
    EdaBlocks,
    Here,
    Parts,
    Permutation,
    Triple,
    TruncationMask,
    cut,
    in_columns,
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
    deals = False

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
        self._pools: dict[Correlation, _Pool] = {}

    async def setup(self, seat: Seat) -> None:
        self._seat, self._own = seat, Stream(seat.own.bytes(SEED_BYTES), "oblivious")
        self._links: Links = await (silent if self._silent else extension).connect(seat, TREE)

    async def draw(self, kind: Correlation) -> tuple[Parts, Awaitable[Parts]]:
        one, n = units(kind)
        many = 64 if isinstance(kind, EdaBlocks | DaBits) else 1  # elements in a unit
        if of_size(kind, 1) is None or not 0 < n <= _POOLED // many:
            return await self.make(kind)
        first = _FIRST // many
        pool = self._pools.setdefault(one, _Pool())
        if pool.at + n > pool.batch:
            size, begun = _after(pool.batch, first), pool.next
            if n > size:
                size, begun = 2 * n, None
            pool.free, pool.rest = begun or await self._start(_batch(kind, size))
            pool.batch, pool.at, pool.next = size, 0, None
        lo, pool.at = pool.at, pool.at + n
        # its rounds travel with those of the rest
        if pool.next is None and pool.batch > first and 2 * pool.at > pool.batch:
            pool.next = await self._start(_batch(kind, _after(pool.batch, first)))
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
        if isinstance(kind, DaBits):
            free = (self._own.draw(kind.free[0]),)
            return free, await spawn(self._da_bits(kind, *free), OFFLINE + kind.name)
        if isinstance(kind, EdaBlocks):
            return (), await spawn(self._eda_blocks(kind), OFFLINE + kind.name)
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
            flat = await _in_pieces(
                lambda lo, hi: self._mask(replace(kind, spec=Spec(kind.ring, (hi - lo,)))),
                kind.spec.size,
                _MOST,
            )
            return tuple(part.map(lambda data: data.reshape(kind.spec.shape)) for part in flat)
        bits = await self._twice(self._own.draw(Spec(kind.ring, (kind.spec.size,))), kind.ring)
        bits = bits.map(lambda data: data.reshape(*kind.spec.shape, kind.ring.bits))
        return (
            _weighted(bits, 0, 0),
            _weighted(bits[..., :-1], kind.bits, kind.bits),
            kind.dependent[1].ring(bits.data[..., -1]),
        )

    async def _twice(self, mine: RingArray, ring: Ring) -> RingArray:
        """Shares as elements of ``ring`` of the bits that everybody's ``mine`` add up to without carries; one
        after the other, the lowest of each element first.
        """
        unpacked = np.unpackbits(np.frombuffer(mine.ring.encode(mine.data), np.uint8), bitorder="little")
        column = ring(unpacked.reshape(-1, 1))
        flat = elementwise(ring, column.size, bits=1)
        share = column if self._seat.rank == 0 else ring.zeros(column.shape)
        for joining in range(1, self._seat.size):
            if self._seat.rank < joining:
                both = await products(self._links, flat, rows=share.data, to=(joining,))
            elif self._seat.rank == joining:
                both = await products(self._links, flat, choices=mine.data, of=range(joining))
                share = share + column
            else:
                both = await products(self._links, flat)
            share = share - (RingArray(ring, both) << 1)
        # what is added so far is even, so that the lowest bit of a share would be that of the bit's
        for p in self._seat.others:
            pad = self._seat.pair[p].draw(share.spec)
            share = share + pad if self._seat.rank < p else share - pad
        return share[:, 0]

    async def _da_bits(self, kind: DaBits, mine: RingArray) -> Parts:
        async def piece(lo: int, hi: int) -> Parts:
            return (in_columns(await self._twice(mine[lo:hi], kind.ring)),)

        return await _in_pieces(piece, kind.words, _MOST // 64)

    async def _eda_blocks(self, kind: EdaBlocks) -> Parts:
        """Numbers, and the products of bits of their blocks of four."""
        if kind.words > _MOST // 64:
            return await _in_pieces(
                lambda lo, hi: self._eda_blocks(replace(kind, words=hi - lo)), kind.words, _MOST // 64
            )
        mine = self._own.draw(Spec(kind.ring, (64 * kind.words,)))
        bits = (await self._twice(mine, kind.ring)).map(lambda data: data.reshape(-1, kind.ring.bits))
        return in_columns(_weighted(bits, 0, 0)), await self._monomials(planes(mine), kind.whole)

    async def _monomials(self, bits: RingArray, whole: int) -> RingArray:
        """Shares of all products in blocks of four of shared bits: of two, then of three and four."""
        n, words = bits.shape[0] // 4, bits.shape[1]
        a0, a1, a2, a3 = (bits[i::4].data for i in range(4))
        up = slice(0, whole)

        async def both(pairs: list[tuple[NDArray, NDArray]]) -> list[NDArray]:
            x, y = (RingArray(BITS, np.concatenate(side)) for side in zip(*pairs, strict=True))
            z = x * y + await cross(self._links, MULTIPLY, x, y)
            return np.split(z.data, np.cumsum([len(side) for side, _ in pairs])[:-1])

        a01, a02, a12, a03, a13, a23 = await both(
            [(a0, a1), (a0, a2), (a1, a2), (a0[up], a3[up]), (a1[up], a3[up]), (a2[up], a3[up])]
        )
        a012, a013, a023, a123, a0123 = await both(
            [(a01, a2), (a01[up], a3[up]), (a02[up], a3[up]), (a12[up], a3[up]), (a01[up], a23)]
        )
        rows = [a0, a1, a01, a2, a02, a12, a012, a3[up], a03, a13, a013, a23, a023, a123, a0123, a3[whole:]]
        return RingArray(BITS, np.concatenate(rows).reshape(monomials.rows(n, whole), words))

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


async def _in_pieces(make: Callable[[int, int], Flow[Parts]], n: int, step: int) -> Parts:
    """What is made of [0, n) in pieces, joined along the last axis."""
    bounds = [(lo, min(n, lo + step)) for lo in range(0, n, step)] or [(0, 0)]
    made: list[Parts] = [()] * len(bounds)

    async def piece(at: int, lo: int, hi: int) -> None:
        made[at] = await make(lo, hi)

    await pipeline((piece(at, *bound) for at, bound in enumerate(bounds)), len(bounds))
    return tuple(
        RingArray(column[0].ring, np.concatenate([part.data for part in column], axis=-1))
        for column in zip(*made, strict=True)
    )


async def _apart(kind: Correlation, everything: Awaitable[Parts]) -> tuple[Parts, Awaitable[Parts]]:
    """The free parts and the others, all of which come together."""
    parts, n = await everything, len(kind.free)
    return parts[:n], Here(parts[n:])


def _after(batch: int, first: int) -> int:
    """The size of the batch that follows one of this size."""
    return min(first * (_MOST // _FIRST), max(first, 2 * batch))


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
