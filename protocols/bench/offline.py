"""``mpc bench``: what oblivious transfers and the correlated randomness made of them take, checked in the
same run.

Transfers are random, of 128 bits, against semi-honest parties.  They go from party 1 to party 0, silent ones
from party 0 to party 1: it is party 0's bytes that are shown, and the other one sends nothing.  Keys are
hashed inside the clock, which stops when both have theirs.
Triples are made by all parties.  What is checked is opened afterwards: of transfers the last piece, of
triples all."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from mpc.bits import words_for
from mpc.party import Party
from mpc.ring import BITS, Z64, Ring, RingArray, Spec
from mpc.rounds import Flow, exchange, pipeline
from mpc.seat import Seat
from protocols.array.session import Session
from protocols.bilinear import MATMUL, MULTIPLY
from protocols.ot import extension, silent
from protocols.ot.extension import Links, Received, Sent
from protocols.prep import Triple
from protocols.prep.ot import TREE, Oblivious
from protocols.suite import broadcast

_PIECE = 2048  # words of transfers


class _Clock:
    """Runs what is measured from one barrier to the next, several times."""

    def __init__(self, runs: int) -> None:
        self.runs = runs
        self.seconds: list[float] = []
        self.sent = self.rounds = 0

    async def time(self, party: Party, once: Callable[[], Flow[Any]]) -> Any:
        result = await once()  # compiles kernels and warms caches
        for _ in range(self.runs):
            await _barrier(party)
            start, sent, rounds = perf_counter(), party.meter.sent, party.meter.rounds
            result = await once()
            self.sent, self.rounds = party.meter.sent - sent, party.meter.rounds - rounds
            await _barrier(party)
            self.seconds.append(perf_counter() - start)
        return result


async def _barrier(party: Party) -> None:
    assert party.seat is not None
    await broadcast(party.seat, Z64([0]), tag="barrier")


async def _transfers(
    clock: _Clock,
    party: Party,
    size: int,
    connected: Callable[[Seat, int], Flow[Links]],
    k: int,
    sender: int = 1,
) -> bool:
    assert party.seat is not None
    links = await connected(party.seat, k)
    receiver = 1 - sender
    ends: list[tuple[Sent | Received, Any]] = []

    async def piece(links: Links) -> None:
        received, sent = await links.extend(
            {sender: _PIECE} if party.rank == receiver else {},
            {receiver: _PIECE} if party.rank == sender else {},
            random=True,
        )
        ends.clear()
        ends.extend((batch, batch.keys()) for batch in received.values())
        ends.extend((batch, batch.keys()) for batch in sent.values())

    async def once() -> None:
        pieces = -(-words_for(size) // _PIECE)
        await pipeline((piece(links) for _ in range(pieces)), pieces)

    await clock.time(party, once)
    if party.rank == sender:
        batch, keys = ends[0]
        await exchange({receiver: tuple(RingArray(BITS, x) for x in (*keys, batch.rows))}, tag="verify")
    elif party.rank == receiver:
        batch, mine = ends[0]
        assert isinstance(batch, Received)
        h0, h1, q = (
            x.data
            for x in (await exchange(recv={sender: (Spec(BITS, mine.shape),) * 3}, tag="verify"))[sender]
        )
        u = np.unpackbits(batch.choices.view(np.uint8), bitorder="little").astype(bool)[:, None]
        return bool((np.where(u, h1, h0) == mine).all() and ((batch.rows == q) == ~u).all())
    else:
        await exchange(tag="verify")
    return True


async def _triples(clock: _Clock, party: Party, kind: Triple, *, silent: bool = False) -> bool:
    assert party.seat is not None
    prep = Oblivious(silent=silent)
    await prep.setup(party.seat)

    async def once() -> tuple[RingArray, ...]:
        free, dependent = await prep.draw(kind)
        return *free, *await dependent

    mine = await clock.time(party, once)
    a, b, c = (_total(parts) for parts in zip(*await broadcast(party.seat, *mine, tag="verify"), strict=True))
    return bool((kind.f(a, b).data == c.data).all())


def _total(parts: tuple[RingArray, ...]) -> RingArray:
    out, *rest = parts
    for part in rest:
        out = out + part
    return out


def _words(ring: Ring, size: int) -> Triple:
    spec = Spec(ring, (size,))
    return Triple(MULTIPLY, spec, spec)


#: Sizes, what counts as one, and what sets up, makes and checks.
CASES: dict[
    str, tuple[tuple[int, ...], Callable[[int], int], Callable[[_Clock, Party, Ring, int], Flow[bool]]]
] = {
    "ot-iknp": (
        (1 << 24,),
        lambda size: size,
        lambda clock, party, ring, size: _transfers(clock, party, size, extension.connect, 1),
    ),
    "ot-softspoken": (
        (1 << 24,),
        lambda size: size,
        lambda clock, party, ring, size: _transfers(clock, party, size, extension.connect, TREE),
    ),
    "ot-silent": (
        (1 << 24,),
        lambda size: size,
        lambda clock, party, ring, size: _transfers(clock, party, size, silent.connect, TREE, sender=0),
    ),
    "triples": (
        (200_000,),
        lambda size: size,
        lambda clock, party, ring, size: _triples(clock, party, _words(ring, size)),
    ),
    "triples-silent": (
        (200_000,),
        lambda size: size,
        lambda clock, party, ring, size: _triples(clock, party, _words(ring, size), silent=True),
    ),
    "and-triples": (
        (1 << 24,),
        lambda size: size,
        lambda clock, party, ring, size: _triples(clock, party, _words(BITS, words_for(size))),
    ),
    "matmul-triple": (
        (256,),
        lambda size: 1,
        lambda clock, party, ring, size: _triples(
            clock, party, Triple(MATMUL, Spec(ring, (size, size)), Spec(ring, (size, size)))
        ),
    ),
}


def measure(session: Session, name: str, size: int, runs: int) -> dict[str, Any]:
    """One line of ``mpc bench``."""
    _, count, work = CASES[name]
    clock, (party,) = _Clock(runs), session.parties
    verified = party.run(work(clock, party, session.ring, size), name)
    median = statistics.median(clock.seconds)
    return {
        "name": name,
        "size": size,
        "seconds": median,
        "per_second": count(size) / median,
        "bytes_sent_per_party": clock.sent,
        "rounds": clock.rounds,
        "verified": verified,
        "error": 0.0,
        "preprocessing": "none",
        "spread": [min(clock.seconds), max(clock.seconds)],
    }
