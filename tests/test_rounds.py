"""Coroutines, rounds and the scheduler: what merges, in which order, how deep, and how errors travel."""

from __future__ import annotations

import gc
import inspect
import warnings
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import numpy as np
import pytest
from conftest import play

from mpc import local
from mpc.errors import DesyncError, MpcError, PartyLost
from mpc.meter import Meter
from mpc.party import Party
from mpc.ring import Z32, Z64, RingArray, Spec
from mpc.rounds import Message, Recorder, Round, Scheduler, Task, exchange, gather, pipeline, simulate, spawn
from mpc.transport.memory import mesh
from protocols.bilinear import MULTIPLY
from protocols.suite import Suite

WORD = Spec(Z64, ())


async def swap(value: int, peer: int, tag: str = "") -> int:
    """Tell a peer a number and hear theirs."""
    inbox = await exchange({peer: (Z64(value),)}, {peer: (WORD,)}, tag)
    return int(inbox[peer][0].data)


def steps(recorder: Recorder) -> list[list[str]]:
    """The tags that party 0 receives, by round."""
    view = recorder.view(0)
    return [[m.tag for m in view if m.step == step] for step in sorted({m.step for m in view})]


def both(main: Callable[[int], Coroutine[Any, Any, Any]], **options: Any) -> tuple[list[Any], Recorder]:
    """Run ``main(peer)`` at two parties."""
    recorder = Recorder()
    return simulate(main(1), main(0), record=recorder, **options), recorder


def test_exchange_delivers_what_was_sent() -> None:
    assert simulate(swap(5, 1), swap(7, 0)) == [7, 5]


def test_exchange_in_one_direction_and_with_nothing() -> None:
    async def speak() -> None:
        assert await exchange({1: (Z64([1, 2]), Z32(3))}, tag="a") == {}
        await exchange()

    async def hear() -> list[int]:
        inbox = await exchange(recv={0: (Spec(Z64, (2,)), Spec(Z32, ()))}, tag="a")
        await exchange()
        first, second = inbox[0]
        return [*map(int, first.data), int(second.data)]

    assert simulate(speak(), hear())[1] == [1, 2, 3]


def test_gather_merges_rounds_and_keeps_results_in_order() -> None:
    async def two(peer: int, tag: str) -> int:
        return 10 * await swap(1, peer, tag) + await swap(2, peer, tag)

    async def main(peer: int) -> list[int]:
        return await gather(swap(5, peer, "a"), two(peer, "b"), swap(6, peer, "c"))

    results, recorder = both(main)
    assert results == [[5, 12, 6]] * 2
    assert steps(recorder) == [["a", "b", "c"], ["b"]]


def test_awaiting_in_sequence_does_not_merge() -> None:
    async def main(peer: int) -> int:
        return await swap(1, peer, "a") + await swap(2, peer, "b")

    assert steps(both(main)[1]) == [["a"], ["b"]]


def test_gather_nests() -> None:
    async def main(peer: int) -> Any:
        return await gather(gather(swap(1, peer, "a"), swap(2, peer, "b")), swap(3, peer, "c"), gather())

    results, recorder = both(main)
    assert results[0] == [[1, 2], 3, []]
    assert len(steps(recorder)) == 1


def test_spawn_runs_the_local_part_at_once_and_waits_later() -> None:
    order = []

    async def child(peer: int) -> int:
        order.append("child")
        return await swap(4, peer, "child")

    async def main(peer: int) -> int:
        task = await spawn(child(peer))
        order.append("parent")
        mine = await swap(1, peer, "parent")
        return mine + await task + await task  # a task may be awaited more than once

    results, recorder = both(main)
    assert results == [9, 9]
    assert order == ["child", "parent"] * 2
    assert steps(recorder) == [["child", "parent"]]


def test_protocols_resume_in_program_order() -> None:
    """Not in the order in which answers arrive: all parties draw from common streams alike."""
    order: dict[int, list[int]] = {0: [], 1: []}

    async def one(peer: int, i: int) -> None:
        for _ in range(1 + i % 3):
            await swap(i, peer)
            order[peer].append(i)

    async def main(peer: int) -> None:
        await gather(*(one(peer, i) for i in range(5)))

    both(main)
    assert order[0] == order[1] == [0, 1, 2, 3, 4, 1, 2, 4, 2]


def test_depth_is_that_of_the_data_flow() -> None:
    async def chain(peer: int, n: int) -> None:
        for _ in range(n):
            await swap(0, peer)

    scheduler = Scheduler()
    tasks = [scheduler.spawn(chain(1, n)) for n in (3, 1, 2, 0)]
    depths = []
    while (batch := scheduler.collect()) is not None:
        depths.append((batch.depth, len(batch.tasks)))
        scheduler.deliver(batch, [{1: (Z64(0),)}] * len(batch.tasks))
    assert depths == [(1, 3), (2, 2), (3, 1)]
    assert [t.depth for t in tasks] == [3, 1, 2, 0] and all(t.done for t in tasks)
    assert scheduler.depth == 3


def test_256_independent_products_take_the_rounds_of_one() -> None:
    def rounds(count: int) -> int:
        session = local(2, fraction_bits=8)
        meter = session.parties[0].meter
        before = meter.rounds
        x = session.secret(np.arange(3))
        session.reveal(*[x * x for _ in range(count)])
        return meter.rounds - before

    assert rounds(256) == rounds(1)


def test_a_flow_that_needs_no_messages_is_done_at_once() -> None:
    async def main() -> int:
        return 3

    task = Scheduler().spawn(main())
    assert task.done and task.result() == 3


# -- errors -------------------------------------------------------------------------------------------


class Oops(Exception):
    """An error of a protocol's own."""


async def fails(peer: int, after: int) -> None:
    for _ in range(after):
        await swap(0, peer)
    raise Oops


@pytest.mark.parametrize("after", [0, 1, 3])
def test_errors_propagate_through_gather_and_spawn(after: int) -> None:
    async def main(peer: int) -> str:
        try:
            await gather(swap(1, peer), fails(peer, after))
        except Oops:
            return "caught"
        return "missed"

    assert both(main)[0] == ["caught", "caught"]


def test_an_uncaught_error_ends_the_run() -> None:
    async def main(peer: int) -> None:
        await gather(swap(1, peer), fails(peer, 1))

    with pytest.raises(Oops):
        both(main)


def test_an_error_at_one_party_ends_the_run() -> None:
    async def main(peer: int) -> int:
        if peer == 0:
            await fails(peer, 1)
        return await swap(1, peer) + await swap(2, peer)

    with pytest.raises(Oops):
        both(main)


def test_other_protocols_go_on_after_an_error() -> None:
    """One failed operation does not take the independent ones with it."""
    scheduler = Scheduler()
    good, bad = scheduler.spawn(swap(1, 1)), scheduler.spawn(fails(1, 0))
    batch = scheduler.collect()
    assert batch is not None
    scheduler.deliver(batch, [{1: (Z64(9),)}])
    assert good.result() == 9
    with pytest.raises(Oops):
        bad.result()


def test_parties_that_run_different_numbers_of_rounds_are_noticed() -> None:
    async def main(peer: int) -> None:
        for _ in range(peer + 1):
            await exchange(tag="x")

    with pytest.raises(DesyncError):
        both(main)


def test_a_message_that_never_comes_is_noticed() -> None:
    async def silent() -> None:
        await exchange(tag="x")

    async def eager() -> None:
        await gather(swap(1, 0), swap(2, 0))

    for waits in (swap(1, 0), eager()):
        with pytest.raises(DesyncError, match="party 1 waits for party 0"):
            simulate(silent(), waits)


def test_wrong_shapes_and_rings_are_noticed() -> None:
    for answer in (Z64([1]), Z32(1)):

        async def other(answer: RingArray = answer) -> None:
            await exchange({0: (answer,)}, {0: (WORD,)})

        with pytest.raises(MpcError, match="party 1"):
            simulate(swap(1, 1), other())


def test_a_forgotten_await_fails() -> None:
    """A protocol that is created and never awaited warns, and warnings are errors in this test suite."""

    async def main(peer: int) -> int:
        swap(1, peer)  # the mistake
        return 0

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        both(main)
        gc.collect()
    assert any("never awaited" in str(w.message) for w in caught)


def test_a_failing_operation_surfaces_on_the_users_line() -> None:
    session = local(2)
    x, y = session.secret(np.arange(3)), session.secret(np.arange(4))
    with pytest.raises(ValueError):
        x * y
    assert session.reveal(x).tolist() == [0, 1, 2]  # the session lives on


# -- pipelines ----------------------------------------------------------------------------------------


def test_pipeline_pieces_travel_one_by_one_and_in_order() -> None:
    done: dict[int, list[int]] = {0: [], 1: []}

    async def piece(peer: int, i: int) -> None:
        assert await swap(i, peer, f"piece {i}") == i
        done[peer].append(i)

    async def main(peer: int) -> str:
        await pipeline((piece(peer, i) for i in range(5)), 5)
        assert done[peer] == [0, 1, 2, 3, 4]
        return "end"

    results, recorder = both(main)
    assert results == ["end", "end"]
    assert steps(recorder) == [[f"piece {i}"] for i in range(5)]


def test_pipeline_starts_pieces_only_as_the_window_allows() -> None:
    """With two batches under way, no third piece has been started (nor its memory taken)."""
    for window in (1, 2, 3):
        started: list[int] = []

        async def piece(i: int, started: list[int] = started) -> None:
            started.append(i)
            await exchange({1: (Z64(i),)}, {1: (WORD,)})

        async def main(pieces: Iterator[Any]) -> None:
            await pipeline(pieces, 10)

        party = Party(mesh(2, timeout=0)[0], window=window)
        party.start(main(piece(i) for i in range(10)))
        assert started == []
        party.post()
        assert started == list(range(window))


def test_small_rounds_do_not_wait_for_a_pipeline_to_end() -> None:
    async def quick(peer: int) -> None:
        await swap(0, peer, "quick")
        await swap(0, peer, "quick")

    async def slow(peer: int) -> None:
        async def piece(i: int) -> None:
            await swap(i, peer, "piece")

        await pipeline((piece(i) for i in range(4)), 4)

    async def main(peer: int) -> None:
        await gather(slow(peer), quick(peer))

    recorder = both(main)[1]
    tags = [tag for step in steps(recorder) for tag in step]
    assert tags[:2] == ["quick", "quick"] and tags.count("piece") == 4


def test_pieces_of_two_rounds_and_no_pieces() -> None:
    async def main(peer: int) -> list[int]:
        out = []

        async def piece(i: int) -> None:
            out.append(await swap(i, peer) + await swap(i, peer))

        await pipeline((piece(i) for i in range(3)), 3)
        await pipeline(iter(()), 0)
        return out

    assert both(main)[0] == [[0, 2, 4]] * 2


def test_an_error_in_a_piece_reaches_the_owner() -> None:
    async def main(peer: int) -> str:
        async def piece(i: int) -> None:
            await swap(i, peer)
            if i == 1:
                raise Oops

        try:
            await pipeline((piece(i) for i in range(4)), 4)
        except Oops:
            return "caught"
        return "missed"

    assert both(main)[0] == ["caught"] * 2


def test_an_error_in_the_generator_of_pieces_reaches_the_owner() -> None:
    """Not whoever happened to collect."""

    def pieces(peer: int) -> Iterator[Any]:
        yield swap(1, peer)
        raise Oops

    async def main(peer: int) -> str:
        try:
            await pipeline(pieces(peer), 2)
        except Oops:
            return "caught"
        return "missed"

    assert both(main)[0] == ["caught"] * 2


# -- simulate's tools ---------------------------------------------------------------------------------


def test_tamper_alters_what_is_delivered_and_record_sees_it() -> None:
    def alter(message: Message) -> tuple[RingArray, ...]:
        return (Z64(99),) if (message.sender, message.receiver) == (0, 1) else message.arrays

    async def main(peer: int) -> int:
        return await swap(1, peer, "x")

    results, recorder = both(main, tamper=alter)
    assert results == [1, 99]
    assert [(m.sender, m.receiver, m.tag, int(m.arrays[0].data)) for m in recorder.messages] == [
        (1, 0, "x", 1),
        (0, 1, "x", 99),
    ]
    assert [m.receiver for m in recorder.view(1)] == [1]


def test_tampering_with_a_shape_is_refused() -> None:
    async def main(peer: int) -> int:
        return await swap(1, peer, "x")

    with pytest.raises(MpcError):
        both(main, tamper=lambda message: (Z64([1, 2]),))


def test_services_answer_for_ranks_outside() -> None:
    async def main() -> int:
        inbox = await exchange({1: (Z64(20),)}, {1: (WORD,)})
        return int(inbox[1][0].data)

    assert simulate(main(), services={1: lambda sender, arrays: (arrays[0] + Z64(1),)}) == [21]


def test_simulate_takes_any_number_of_sides() -> None:
    async def main(suite: Suite) -> list[int]:
        me, others = suite.seat.rank, suite.seat.others
        inbox = await exchange(dict.fromkeys(others, (Z64(me),)), dict.fromkeys(others, (WORD,)))
        return [int(inbox[p][0].data) for p in others]

    assert play(4, main) == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]


# -- the loop around it -------------------------------------------------------------------------------


def test_a_party_that_leaves_a_round_out_is_told() -> None:
    async def never() -> None:
        await Task(exchange(), "", 0)  # type: ignore[arg-type]  # a task that nobody runs

    party = Party(mesh(2, timeout=0)[0])
    with pytest.raises(DesyncError):
        party.run(never())


def test_a_lockstep_peer_that_says_nothing_is_lost_at_once() -> None:
    party = Party(mesh(2, timeout=0)[0])
    with pytest.raises(PartyLost, match="party 1"):
        party.run(swap(1, 1))


def test_merged_operations_share_one_frame_per_peer() -> None:
    first, second = (Party(t) for t in mesh(2, timeout=0))
    tasks = [(p, [p.start(swap(i, 1 - p.rank), f"op {i}") for i in range(5)]) for p in (first, second)]
    for party, _ in tasks:
        party.post()
    for party, started in tasks:
        party.deliver()
        assert [t.result() for t in started] == list(range(5))
        assert party.meter.frames == 1 and party.meter.rounds == 1
        assert party.meter.sent == party.meter.received == 64 + 5 * 8


def test_meter_counts_calls_by_operation() -> None:
    meter = Meter()
    party = Party(mesh(2, timeout=0)[0], meter=meter)
    party.start(swap(1, 1), "a")
    party.start(swap(1, 1), "a")
    assert meter.of("a").calls == 2 and meter.as_dict()["operations"]["a"]["calls"] == 2


def test_suite_multiplication_is_one_round() -> None:
    recorder = Recorder()

    async def main(suite: Suite) -> None:
        x, y = await suite.random(WORD), await suite.random(WORD)
        await suite.bilinear(MULTIPLY, x, y)

    play(3, main, record=recorder)
    assert len({m.step for m in recorder.messages if m.tag == "multiply"}) == 1


def test_rounds_are_values() -> None:
    generator = exchange({1: (Z64(1),)}, {}, "t")
    assert inspect.isawaitable(generator)
    sent = generator.send(None)
    assert isinstance(sent, Round) and sent.tag == "t"
