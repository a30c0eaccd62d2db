"""Helpers that several test files use: playing a protocol without a transport, and running sessions."""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import settings

from mpc.prg import SEED_BYTES, Stream
from mpc.ring import Ring, RingArray, Spec
from mpc.rounds import simulate
from mpc.seat import Seat, take_seat
from protocols.prep.dealer import Dealer, Dealt
from protocols.prep.ot import Oblivious
from protocols.suite import Share, Suite
from protocols.suites import SUITES
from protocols.suites.additive import Additive


@pytest.fixture(autouse=True, scope="session")
def remembered_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What stores of tests leave behind is not among what this account remembers of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def as_at_a_terminal() -> None:
    """Who runs tests in the background has these signals ignored; who has imported the command line, one of
    them unheard.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def processes() -> Iterator[Any]:
    """What starts ``mpc`` in processes, which end with the test."""
    from test_cli import Processes

    made = Processes()
    yield made
    for process in made.all:
        if process.poll() is None:
            process.kill()
        process.communicate()


settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

T = TypeVar("T")
Main = Callable[[Suite], Coroutine[Any, Any, Any]]


def stream(seed: int, label: str) -> Stream:
    """A stream that is the same in every run."""
    return Stream(seed.to_bytes(32, "little"), label)


def counts(suite: type[Suite]) -> list[int]:
    """The numbers of parties to test a suite with."""
    least, most = suite.parties
    return [n for n in (2, 3, 5) if least <= n <= (most or n)]


GRID = [(name, n) for name, suite in SUITES.items() for n in counts(suite)]


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
    kind: type[Suite] = Additive,
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
        return await sit(await take_seat(rank, size, own), main, kind, oblivious)

    return simulate(*(side(rank) for rank in range(size)), services={size: dealer.service}, **options)


class Seeds(Stream):
    """What it is made with, one after the other."""

    def __init__(self, *given: bytes) -> None:
        self._given = iter(given)

    def bytes(self, n: int) -> bytes:
        return next(self._given)


def coalitions(suite: type[Suite], parties: int) -> list[set[int]]:
    """The largest sets of parties that may pool what they have."""
    if suite.threat.corrupt == "1 of 3":
        return [{p} for p in range(parties)]
    assert suite.threat.corrupt == "n-1 of n"
    return [set(range(parties)) - {p} for p in range(parties)]


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
        pair = {p: key("pair", rank, p) for p in range(size) if p != rank}
        return await sit(Seat(rank, size, key("own", rank), pair, stream(0, "common")), main, kind, oblivious)

    return simulate(*(side(rank) for rank in range(size)), services={size: dealer.service}, **options)


def words(ring: Ring, shape: Any, seed: int) -> np.ndarray:
    """Elements of a ring, all equally likely."""
    rng = np.random.default_rng(seed)
    return ring.of_words(
        *(rng.integers(0, 1 << 64, shape, dtype=np.uint64) for _ in range(max(1, ring.bits // 64)))
    ).data


def whole(x: RingArray) -> np.ndarray:
    """Elements as Python's integers, 0 to 2^k − 1."""
    return np.asarray(
        sum(np.asarray(word).astype(object) << 64 * i for i, word in enumerate(x.ring.words(x.data))), object
    )


def split(values: RingArray, size: int, seed: int) -> list[RingArray]:
    """Additive parts of an array."""
    parts = [
        RingArray(values.ring, words(values.ring, values.shape, 1000 * seed + i)) for i in range(size - 1)
    ]
    last = values
    for part in parts:
        last = last - part
    return [*parts, last]


def summed(parts: Any) -> RingArray:
    """The value of additive parts (ring arrays, or shares of one part each)."""
    arrays = [p.parts[0] if isinstance(p, Share) else p for p in parts]
    out = arrays[0]
    for array in arrays[1:]:
        out = out + array
    return out


def total(parts: Any) -> np.ndarray:
    return summed(parts).data


def input_of(suite: Suite, values: RingArray, owner: int = 0) -> Coroutine[Any, Any, Share]:
    """``suite.input`` as ``owner`` and the others call it."""
    return suite.input(owner, values if suite.seat.rank == owner else None, Spec(values.ring, values.shape))


def together(*calls: Callable[[], T]) -> list[T]:
    """The answers of all calls, made at the same time, in their order."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def failure(call: Callable[[], object]) -> Exception:
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")
