"""Correlated randomness: what a suite consumes, and where it comes from.

A ``Correlation`` says which random arrays are shared and how the dependent ones follow from the free
ones.  A ``Prep`` serves shares of it.  The sources are a trusted dealer
(``dealer``), oblivious transfer among the parties (``ot``) and what they have made so and kept on disk
(``stored``).

[Bea91] Beaver, CRYPTO 1991.  [EGKRS20] ePrint 2020/338.  [RW19] Rotaru, Wood, ePrint 2019/207.  [CGP20]
Chase, Ghosh, Poburinnaya, ePrint 2019/1340.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Protocol

import numpy as np

from mpc.bits import planes, unpacked
from mpc.ring import BITS, Z64, NDArray, Ring, RingArray, Spec, narrowest
from mpc.seat import Seat
from protocols import monomials
from protocols.bilinear import MULTIPLY, Bilinear
from protocols.threat import Threat

Parts = tuple[RingArray, ...]  # one party's additive shares of several arrays


class Correlation(Protocol):
    """Random arrays of which some follow from the others."""

    name: ClassVar[str]

    @property
    def ring(self) -> Ring: ...
    @property
    def free(self) -> tuple[Spec, ...]:
        """Uniform arrays."""
        ...

    @property
    def dependent(self) -> tuple[Spec, ...]:
        """What ``derive`` gives."""
        ...

    def derive(self, *free: RingArray) -> Parts: ...


@dataclass(frozen=True, slots=True)
class Triple:
    """Beaver's triple for a bilinear map: uniform a and b, and c = f(a, b).  [Bea91]"""

    name: ClassVar[str] = "triple"
    f: Bilinear
    x: Spec
    y: Spec

    @property
    def ring(self) -> Ring:
        return self.x.ring

    @property
    def free(self) -> tuple[Spec, ...]:
        return self.x, self.y

    @property
    def dependent(self) -> tuple[Spec, ...]:
        return (self.f.spec(self.x, self.y),)

    def derive(self, *free: RingArray) -> Parts:
        return (self.f(*free),)


@dataclass(frozen=True, slots=True)
class CrossTriple:
    """A triple for an elementwise product of what party 0 knows and what party 1 knows: a is all party 0's,
    b all party 1's, and only c = ab is shared."""

    name: ClassVar[str] = "cross triple"
    spec: Spec

    @property
    def ring(self) -> Ring:
        return self.spec.ring

    @property
    def free(self) -> tuple[Spec, ...]:
        return self.spec, self.spec

    @property
    def dependent(self) -> tuple[Spec, ...]:
        return (self.spec,)

    def derive(self, *free: RingArray) -> Parts:
        a, b = free
        return (a * b,)


@dataclass(frozen=True, slots=True)
class TruncationMask:
    """A uniform mask r over Z_2^k with (r mod 2^(k-1)) >> bits and its top bit.  [EGKRS20, section 5]

    The top bit is only used times 2^(k-1-bits), so that shares of it modulo 2^(bits + 1) do.
    """

    name: ClassVar[str] = "truncation mask"
    spec: Spec
    bits: int

    @property
    def ring(self) -> Ring:
        return self.spec.ring

    @property
    def free(self) -> tuple[Spec, ...]:
        return (self.spec,)

    @property
    def dependent(self) -> tuple[Spec, ...]:
        return self.spec, Spec(narrowest(self.bits + 1, self.ring), self.spec.shape)

    def derive(self, *free: RingArray) -> Parts:
        (r,) = free
        k, top = self.ring.bits, self.dependent[1].ring
        return r.low(k - 1) >> self.bits, top((r >> (k - 1)).data)


@dataclass(frozen=True, slots=True)
class EdaBlocks:
    """Uniform numbers s, and over packed bits the monomials of blocks of four bits of each, of which
    ``whole`` have all (``protocols/monomials.py``).  [EGKRS20: edaBits, which have the bits alone]

    Of 64·``words`` numbers, a column of s has those whose bits share a word.
    """

    name: ClassVar[str] = "bits of numbers"
    ring: Ring
    words: int
    whole: int

    @property
    def free(self) -> tuple[Spec, ...]:
        return (Spec(self.ring, (64, self.words)),)

    @property
    def dependent(self) -> tuple[Spec, ...]:
        return (Spec(BITS, (monomials.rows(self.ring.bits // 4, self.whole), self.words)),)

    def derive(self, *free: RingArray) -> Parts:
        (spec,) = self.dependent
        return (
            RingArray(
                BITS,
                monomials.with_monomials(
                    np.zeros(spec.shape, np.uint64), planes(in_turn(free[0])).data, self.whole
                ),
            ),
        )


@dataclass(frozen=True, slots=True)
class DaBits:
    """Uniform bits, packed, and as numbers 0 and 1: a column for those of a word.  [RW19]"""

    name: ClassVar[str] = "bits twice"
    ring: Ring
    words: int

    @property
    def free(self) -> tuple[Spec, ...]:
        return (Spec(BITS, (self.words,)),)

    @property
    def dependent(self) -> tuple[Spec, ...]:
        return (Spec(self.ring, (64, self.words)),)

    def derive(self, *free: RingArray) -> Parts:
        return (in_columns(unpacked(free[0], self.ring, 64 * self.words)),)


def in_turn(columns: RingArray) -> RingArray:
    """Column after column, as one vector."""
    return columns.map(lambda data: np.ascontiguousarray(data.T).reshape(-1))


def in_columns(vector: RingArray) -> RingArray:
    """``in_turn`` undone."""
    return vector.map(lambda data: np.ascontiguousarray(data.reshape(-1, 64).T))


@dataclass(frozen=True, slots=True)
class Permutation:
    """Orders π that the owner alone knows, an array a that the others share, and shares of π(a).  [CGP20,
    section 3]

    Arrays have the shape (c, n, m): π has an order of the n for each of the m, the same for all c.
    """

    name: ClassVar[str] = "permutation"
    spec: Spec
    owner: int

    @property
    def ring(self) -> Ring:
        return self.spec.ring

    @property
    def free(self) -> tuple[Spec, ...]:
        return Spec(Z64, self.spec.shape[1:]), self.spec

    @property
    def dependent(self) -> tuple[Spec, ...]:
        return (self.spec,)

    def derive(self, *free: RingArray) -> Parts:
        order, a = free
        return (permuted(a, order.data),)


def permuted(x: RingArray, order: NDArray) -> RingArray:
    """x of shape (c, n, m) in the orders (n, m)."""
    if order.shape[1:] == (1,):
        return x[:, order[:, 0].astype(np.intp)]
    return x.map(lambda data: np.take_along_axis(data, order[None].astype(np.intp), axis=1))


def of_size(kind: Correlation, n: int) -> Correlation | None:
    """The same kind for n elements along the last axis, or n words of bits; ``None`` where it is not
    elementwise.

    A triple that repeats one operand along the first axis counts as elementwise over the others.
    """
    if isinstance(kind, Triple) and kind.f == MULTIPLY:
        x, y = kind.x.shape, kind.y.shape
        if x == y:
            return replace(kind, x=Spec(kind.ring, (n,)), y=Spec(kind.ring, (n,)))
        if x and y and x[1:] == y[1:] and 1 in (x[0], y[0]):
            return replace(kind, x=Spec(kind.ring, (x[0], n)), y=Spec(kind.ring, (y[0], n)))
    if isinstance(kind, CrossTriple | TruncationMask):
        return replace(kind, spec=Spec(kind.ring, (n,)))
    if isinstance(kind, EdaBlocks | DaBits):
        return replace(kind, words=n)
    return None


def units(kind: Correlation) -> tuple[Correlation, int]:
    """What requests of all sizes are made of, and of how many this one is."""
    one = of_size(kind, 1)
    if one is None:
        return kind, 1
    return one, kind.free[0].size // one.free[0].size


def specs(kind: Correlation) -> tuple[Spec, ...]:
    """Of all its arrays."""
    return *kind.free, *kind.dependent


def cut(parts: Parts, lo: int, hi: int, into: tuple[Spec, ...]) -> Parts:
    """Elements of a batch, as arrays of these specs."""
    return tuple(
        RingArray(p.ring, p.data[..., lo:hi].reshape(spec.shape)) for p, spec in zip(parts, into, strict=True)
    )


def name_of(kind: Correlation) -> str:
    """A kind in words that no other kind has."""
    values = (getattr(kind, field.name) for field in fields(kind))  # type: ignore[arg-type]
    return ", ".join(
        [kind.name, *(value.name if isinstance(value, Bilinear) else str(value) for value in values)]
    )


class Here:
    """Parts that are here already."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def __await__(self) -> Generator[Any, Any, Parts]:
        return self._parts
        yield


class Prep(Protocol):
    """A source of correlated randomness, as one party sees it."""

    threat: Threat
    deals: bool  # whether a correlation costs what it weighs, whatever it is, as from a dealer

    async def setup(self, seat: Seat) -> None:
        """Agree on keys with the source, and bind the seat to it."""
        ...

    async def draw(self, kind: Correlation) -> tuple[Parts, Awaitable[Parts]]:
        """This party's shares: of the free arrays at once, of the dependent ones when they are here.

        The second part must be awaited; it may arrive with the caller's next round.
        """
        ...
