"""What the drivers of the peers have in common: processes for the parties, the clock, the line that is
printed.

The clock starts at a barrier and stops when the party 0 has its share of the result.  Starting processes,
agreeing on keys, sharing the inputs, compiling and one run to warm up come before it, opening the result
after."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import socket
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from time import perf_counter
from typing import Any, NamedTuple

from benchmarks.works import WORKS, Arrays, worst


class Measured(NamedTuple):
    """One variant of a system: its name, parties, what it made before the clock, seconds of each run, the
    opened result.
    """

    system: str
    parties: int
    preprocessing: str
    seconds: Sequence[float]
    result: Any


def main(
    packages: Sequence[str],
    operations: Mapping[str, Any],
    measure: Callable[[str, Arrays, int], Iterable[Measured]],
    most: Mapping[str, int] | None = None,
) -> None:
    """Measure the work named on the command line; of ``most``, the sizes at which this system still ends in
    seconds.
    """
    name, size, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    size = min(size, (most or {}).get(name, size))
    if name not in operations:
        print(json.dumps({"missing": f"{packages[0]} has no such operation"}))
        return
    arrays = WORKS[name].inputs(size)
    expected = WORKS[name].plain(*arrays)
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    for done in measure(name, arrays, runs):
        print(
            json.dumps(
                {
                    "system": done.system,
                    "parties": done.parties,
                    "preprocessing": done.preprocessing,
                    "work": name,
                    "size": size,
                    "seconds": statistics.median(done.seconds),
                    "spread": [min(done.seconds), max(done.seconds)],
                    "error": worst(done.result, expected),
                    "version": versions,
                }
            ),
            flush=True,
        )


def together(party: Callable[..., Any], *each: Sequence[Any]) -> list[Any]:
    """A fresh process for every party, at the same time: ``party(rank, its argument, ...)``; what they
    return.
    """
    count = len(each[0])
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(party, range(count), *each))


def clock(
    runs: int, barrier: Callable[[], Any], once: Callable[[], Any], before: Callable[[], Any] = lambda: None
) -> tuple[list[float], Any]:
    """Seconds of each run after one to warm up, and the last result."""
    seconds = []
    for _ in range(runs + 1):
        before()
        barrier()
        start = perf_counter()
        result = once()
        seconds.append(perf_counter() - start)
    return seconds[1:], result


def free_ports(count: int) -> list[int]:
    """Below those that outgoing connections get: a party that calls too early could otherwise be connected to
    itself.
    """
    found: list[int] = []
    candidate = 20_000 + os.getpid() * 8 % 12_000
    while len(found) < count:
        candidate += 1
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", candidate)):
            found.append(candidate)
    return found
