"""A scheme without a transport: messages as arrays, and keys of which some are the same again."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from mpc.prg import SEED_BYTES, Stream
from mpc.ring import RingArray, Spec
from mpc.rounds import simulate
from mpc.seat import Seat
from mpc.tags import Direction
from protocols.prep.dealer import Dealer, Dealt
from protocols.prep.ot import Oblivious
from protocols.suite import Share, Suite

Main = Callable[[Suite], Coroutine[Any, Any, Any]]


def stream(seed: int, label: str) -> Stream:
    """A stream that is the same in every run."""
    return Stream(seed.to_bytes(32, "little"), label)


def input_of(suite: Suite, values: RingArray, owner: int = 0) -> Coroutine[Any, Any, Share]:
    """``suite.input`` as ``owner`` and the others call it."""
    return suite.input(owner, values if suite.seat.rank == owner else None, Spec(values.ring, values.shape))


async def sit(seat: Seat, main: Main, kind: type[Suite], oblivious: bool) -> Any:
    """One party with its keys: set up where correlations come from, then run ``main(suite)``."""
    if not kind.needs_prep:
        return await main(kind(seat))
    prep = Oblivious() if oblivious else Dealt(seat.rank, seat.size)
    await prep.setup(seat)
    return await main(kind(seat, prep))


def play(
    size: int,
    main: Main,
    *,
    kind: type[Suite],
    seed: int | None = None,
    oblivious: bool = False,
    **options: Any,
) -> list[Any]:
    """Run ``main(suite)`` at all parties in lockstep, without any transport; the results by party.

    Correlations are dealt, or made by oblivious transfer.
    """
    dealer = Dealer(size, None if seed is None else stream(seed, "dealer"))

    async def side(rank: int) -> Any:
        own = Stream.fresh("own") if seed is None else stream(seed, f"party {rank}")
        return await sit(await kind.seated(rank, size, own), main, kind, oblivious)

    return simulate(*(side(rank) for rank in range(size)), services={size: dealer.service}, **options)


class Seeds(Stream):
    """What it is made with, one after the other."""

    def __init__(self, *given: bytes) -> None:
        self._given = iter(given)

    def bytes(self, n: int) -> bytes:
        return next(self._given)


def replay(
    size: int,
    main: Main,
    *,
    kind: type[Suite],
    coalition: set[int],
    others: int,
    oblivious: bool = False,
    **options: Any,
) -> list[Any]:
    """``play`` with keys of which those that a coalition has are always the same, and what it does not have
    the ``others``-th.
    """

    def key(label: str, *owners: int) -> Stream:
        return stream(0 if coalition & {*owners} else others, f"{label} {sorted(owners)}")

    dealer = Dealer(size, Seeds(*(key("dealt", p).bytes(SEED_BYTES) for p in range(size)), bytes(16)))

    async def side(rank: int) -> Any:
        others = [p for p in range(size) if p != rank]
        pair = {p: key("pair", rank, p) for p in others}
        without = {p: key(f"all but {p}", *(q for q in range(size) if q != p)) for p in others}

        def tags(use: str) -> dict[int, tuple[Direction, Direction]]:
            def one(*way: int) -> Direction:
                return Direction(key(use, *way).bytes(16), f"{way}")

            return {p: (one(rank, p), one(p, rank)) for p in others}

        seat = Seat(
            rank, size, key("own", rank), pair, stream(0, "common"), without, tags("tags"), tags("barriers")
        )
        return await sit(seat, main, kind, oblivious)

    return simulate(*(side(rank) for rank in range(size)), services={size: dealer.service}, **options)
