"""Transports around transports: slower, recorded, altered."""

from __future__ import annotations

import time

import numpy as np

from mpc.party import Party
from mpc.ring import Z64, Spec
from mpc.rounds import exchange
from mpc.transport.memory import mesh
from mpc.transport.wrappers import Delayed, Recorded


async def swap(peer: int, value: int, rounds: int) -> list[int]:
    """Each party's numbers as the other one sees them."""
    seen = []
    for _ in range(rounds):
        inbox = await exchange({peer: (Z64(np.array([value])),)}, {peer: (Spec(Z64, (1,)),)}, "swap")
        seen += inbox[peer][0].data.tolist()
    return seen


def run_both(parties: list[Party]) -> list[list[int]]:
    tasks = [p.start(swap(1 - p.rank, 10 + p.rank, 3)) for p in parties]
    while not all(t.done for t in tasks):
        for p in parties:
            p.post()
        for p in parties:
            p.deliver()
    return [t.result() for t in tasks]


def test_a_delayed_link_takes_its_latency_every_round() -> None:
    start = time.perf_counter()
    ends = [Delayed(t, latency=0.02, rate=1e6) for t in mesh(2, timeout=1)]
    assert run_both([Party(t) for t in ends]) == [[11] * 3, [10] * 3]
    assert time.perf_counter() - start >= 3 * 0.02


def test_a_recorded_link_keeps_both_directions() -> None:
    ends = [Recorded(t) for t in mesh(2, timeout=1)]
    parties = [Party(t) for t in ends]
    run_both(parties)
    for p in parties:
        p.close()
    assert [frame[-8:] for _, frame in ends[0].sent[:3]] == [np.array([10]).tobytes()] * 3
    headers_and_payloads = [data for _, data in ends[1].received]
    assert b"".join(headers_and_payloads) == b"".join(frame for _, frame in ends[0].sent[:3])
