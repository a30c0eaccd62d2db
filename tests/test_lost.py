"""Peers that are gone, or take nothing: noticed whatever a party does, in whichever direction data flow; and
what waits for them has a limit.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import failure, together
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tcp import Table

import mpc.party
from mpc.errors import PartyLost
from mpc.party import WINDOW, Party
from mpc.ring import Z64, Spec
from mpc.rounds import exchange, gather, pipeline
from mpc.transport import Transport, tcp
from mpc.transport.memory import mesh

BIG = 1 << 17  # elements: 1 MiB


async def stream(rank: int, rounds: int, heard: list[int]) -> None:
    """Party 0 sends numbers to party 1, and nothing ever comes back."""
    spec = Spec(Z64, (BIG,))
    for i in range(rounds):
        inbox = await exchange(
            {1: (Z64(np.full(BIG, i)),)} if rank == 0 else {}, {0: (spec,)} if rank == 1 else {}, "stream"
        )
        heard += [int(a[0].data[-1]) for a in inbox.values()]


def ends_of(kind: str, timeout: float, size: int = 2) -> list[Transport]:
    if kind == "memory":
        return list(mesh(size, timeout=timeout))
    with closing(Table(size, None, timeout=timeout)) as table:
        return list(table.all())


class Counting:
    """A flow that says how far it has come."""

    def __init__(self) -> None:
        self.rounds = 0

    async def send(self, rounds: int) -> None:
        for i in range(rounds):
            await exchange({1: (Z64(np.full(BIG, i)),)}, {}, "stream")
            self.rounds = i + 1


@pytest.mark.parametrize("kind", ["memory", "tcp"])
def test_what_is_sent_to_a_peer_that_takes_nothing_has_a_limit(kind: str) -> None:
    first, second = ends_of(kind, timeout=1)
    count = Counting()
    error = failure(lambda: Party(first).run(count.send(400), "stream"))
    assert isinstance(error, PartyLost) and "took nothing for 1 s, at 'stream'" in str(error)
    assert 10 < count.rounds < 80  # 16 MiB, and what the kernel holds
    first.close()
    second.close()


@pytest.mark.parametrize("kind", ["memory", "tcp"])
def test_a_slow_peer_is_waited_for(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is lost of what a fast one sends."""
    first, second = ends_of(kind, timeout=20)
    heard: list[int] = []
    at_most = 0
    post = first.post

    def watched(peer: int, buffers: Any) -> int:
        nonlocal at_most
        waiting = post(peer, buffers)
        at_most = max(at_most, waiting)
        return waiting

    first.post = watched  # type: ignore[method-assign]

    def slow() -> None:
        party = Party(second)
        party.run(stream(1, 1, heard), "stream")
        time.sleep(0.5)
        party.run(stream(1, 119, heard), "stream")
        party.close()

    def fast() -> None:
        party = Party(first)
        party.run(stream(0, 1, heard), "stream")
        party.run(stream(0, 119, heard), "stream")
        party.close()

    together(fast, slow)
    assert heard == [0, *range(119)]
    assert at_most < mpc.party.BACKLOG + (WINDOW + 1) * 9 * BIG


def test_a_party_that_only_sends_notices_that_the_other_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small messages: the kernel takes them all, and nothing would ever fail."""
    monkeypatch.setattr(tcp, "LOOK", 0.05)
    first, second = ends_of("tcp", timeout=60)
    party = Party(first)

    async def word() -> None:
        await exchange({1: (Z64([1]),)}, {}, "word")

    party.run(word(), "multiply")
    second.close()
    start = time.monotonic()

    def on() -> None:
        while time.monotonic() - start < 20:
            party.run(word(), "multiply")

    error = failure(on)
    assert (
        isinstance(error, PartyLost)
        and "party" not in error.who
        and "bob closed the connection, at 'multiply' (round" in str(error)
    )
    party.close(error)


def test_so_does_one_that_only_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "LOOK", 0.05)
    first, second = ends_of("tcp", timeout=60)
    party = Party(first)

    async def nothing() -> None:
        pass

    party.run(nothing(), "add")
    second.close()
    time.sleep(0.1)
    assert "bob closed the connection, at 'add'" in str(failure(lambda: party.run(nothing(), "add")))
    party.close(PartyLost("", ""))


@pytest.mark.parametrize("kind", ["memory", "tcp"])
def test_who_only_sends_hears_why_the_other_left(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "LOOK", 0.0)
    first, second = ends_of(kind, timeout=60)
    Party(second).close(ValueError("patient 4711"))
    time.sleep(0.05)
    error = failure(lambda: Party(first).run(Counting().send(3), "stream"))
    assert "gave up: ValueError, at 'stream'" in str(error) and "4711" not in str(error)
    first.close()


def test_a_program_does_not_end_well_when_what_it_sent_never_arrived() -> None:
    """The other one is there and reads nothing: all that is sent fits the kernels' buffers, or does not."""
    first, second = ends_of("tcp", timeout=1)
    party = Party(first)
    party.run(Counting().send(18), "stream")
    error = failure(party.close)
    assert isinstance(error, PartyLost) and "bob took nothing for 1 s" in str(error)
    party.close()  # once is enough
    second.close()


def test_nor_when_the_other_one_is_killed_before_it_has_read() -> None:
    first, second = ends_of("tcp", timeout=5)
    party = Party(first)
    party.run(Counting().send(1), "stream")
    second.close()
    assert "bob closed the connection" in str(failure(party.close))


def test_who_ends_first_is_nobodys_loss() -> None:
    """Party 0 has sent all it has to, says goodbye and is gone;
    party 1 takes its time and finds everything.
    """
    first, second = ends_of("tcp", timeout=5)
    heard: list[int] = []

    def fast() -> None:
        party = Party(first)
        party.run(stream(0, 3, heard), "stream")
        party.close()

    def slow() -> None:
        party = Party(second)
        time.sleep(0.3)
        for _ in range(3):
            party.run(stream(1, 1, heard), "stream")
            time.sleep(0.6)
        party.close()

    together(fast, slow)
    assert heard == [0, 1, 2]


MESSAGES = st.lists(
    st.dictionaries(
        st.tuples(st.integers(0, 2), st.integers(0, 2)),
        st.sampled_from([0, 1, 1000, 100_000, 400_000]),
        max_size=4,
    ),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("kind", ["memory", "tcp"])
@settings(max_examples=40)
@given(rounds=MESSAGES, at_once=st.booleans(), window=st.integers(1, 4))
def test_no_pattern_of_rounds_waits_for_itself(
    kind: str, rounds: list[dict[tuple[int, int], int]], at_once: bool, window: int
) -> None:
    """Three parties that send each other anything, with nothing allowed to wait; in memory, where no kernel
    helps, too.
    """

    async def one(rank: int, sizes: dict[tuple[int, int], int]) -> None:
        send = {b: (Z64(np.full(n, a)),) for (a, b), n in sizes.items() if a == rank != b}
        due = {a: (Spec(Z64, (n,)),) for (a, b), n in sizes.items() if b == rank != a}
        for sender, (array,) in (await exchange(send, due, "any")).items():
            assert (array.data == sender).all()

    async def program(rank: int) -> None:
        flows = [one(rank, sizes) for sizes in rounds]
        if at_once:
            await gather(*[one(rank, sizes) for sizes in rounds[:2]], pipeline(iter(flows), len(flows)))
        else:
            for flow in flows:
                await flow

    kept, mpc.party.BACKLOG = mpc.party.BACKLOG, 0
    try:

        def body(end: Transport) -> None:
            party, error = Party(end, window=window), None
            try:
                party.run(program(end.rank), "any")
            except BaseException as failed:
                error = failed
                raise
            finally:
                party.close(error)

        together(*[lambda end=end: body(end) for end in ends_of(kind, 10, 3)])  # type: ignore[misc]
    finally:
        mpc.party.BACKLOG = kept


def vanishing(how: str, when: str) -> tuple[str, float]:
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, "vanishing.py", how, when],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    said, seconds = done.stdout.splitlines()
    return said, float(seconds)


def unsharing() -> bool:
    try:
        return (
            subprocess.run(
                ["unshare", "-rn", "ip", "link", "set", "lo", "up"], capture_output=True, check=False
            ).returncode
            == 0
        )
    except OSError:
        return False


@pytest.mark.skipif(not unsharing(), reason="needs network namespaces for users, and ip")
def test_a_machine_that_vanishes_without_a_word_is_noticed_within_ten_seconds() -> None:
    cases = [("look", "idle"), ("look", "sent"), ("collect", "idle"), ("collect", "sent"), ("flush", "sent")]
    outcomes: dict[tuple[str, str], tuple[str, float]] = {}
    threads = [
        threading.Thread(target=lambda case=case: outcomes.update({case: vanishing(*case)})) for case in cases
    ]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == len(cases)
    for said, seconds in outcomes.values():
        assert "bob does not answer any more" in said and seconds < 10.5
