"""Helpers that several test files use: playing a protocol without a transport, and running sessions."""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import settings
from nacl import bindings as sodium

from mpc.ring import Ring, RingArray
from protocols.conformance import playing, views
from protocols.conformance.playing import Main, input_of, replay, stream  # noqa: F401  (for test files)
from protocols.suite import Share, Suite
from protocols.suites import SUITES
from protocols.suites.additive import Additive


def pytest_collection_finish() -> None:
    """What has been collected lives to the end, and what is loaded later: looking at it again and again took
    a tenth of the tests' time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(autouse=True, scope="session")
def remembered_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What stores of tests leave behind is not among what this account remembers of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True, scope="session")
def points_once() -> Iterator[None]:
    """Sessions with the same keys multiply the same points, for most of the time that they take to set up
    transfers; the products are functions of what is given, and kept.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "crypto_core_ed25519_add",
            "crypto_core_ed25519_from_uniform",
            "crypto_scalarmult_ed25519_base_noclamp",
            "crypto_scalarmult_ed25519_noclamp",
        ):
            patch.setattr(sodium, name, lru_cache(1 << 16)(getattr(sodium, name)))
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


def counts(suite: type[Suite]) -> list[int]:
    """The numbers of parties to test a suite with."""
    least, most = suite.parties
    return [n for n in (2, 3, 4, 5) if least <= n <= (most or n) and (n != 4 or most == 4)]


def usual(suite: str) -> int:
    """Three parties, or as many as the suite takes."""
    least, most = SUITES[suite].parties
    return max(least, min(3, most or 3))


GRID = [(name, n) for name, suite in SUITES.items() for n in counts(suite)]


def play(size: int, main: Main, *, kind: type[Suite] = Additive, **options: Any) -> list[Any]:
    """``playing.play``, of ``additive`` unless said otherwise."""
    return playing.play(size, main, kind=kind, **options)


def coalitions(suite: type[Suite], parties: int) -> list[set[int]]:
    """The largest sets of parties that may pool what they have."""
    return views.coalitions(suite.threat, parties)


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
