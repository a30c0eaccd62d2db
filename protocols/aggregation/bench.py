"""What a round takes: each client's seconds in all phases, the server's, and what goes over the network.

All sides run in this process, one after the other; each call into a side is timed on its own, so that a figure
is that of one machine doing nothing else.  The sum is checked against plaintext.  Peak memory is what Python and
NumPy have allocated at most (``tracemalloc``) for a second server that hears the same answers again.
"""
from __future__ import annotations

import json
import statistics
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mpc.prg import Stream
from mpc.ring import Z32, Spec
from protocols.aggregation.client import Client
from protocols.aggregation.directory import Directory
from protocols.aggregation.messages import Phase
from protocols.aggregation.server import Server
from protocols.aggregation.terms import Terms


@dataclass(frozen=True, slots=True)
class Case:
    """Clients, coordinates, neighbours (and threshold) or ``None`` for what the bounds give, and who drops out after sharing."""

    clients: int
    length: int
    neighbours: tuple[int, int] | None = None
    drop: float = 0.0


_VECTORS = 8                                         # different vectors among all clients
_REPLAYED = 1000                                    # rounds of more clients are not run a second time for memory

CASES = (
    Case(100, 10**6, (6, 4)),
    Case(100, 10**6, (50, 36), 0.1),
    Case(100, 10**6, (99, 55), 0.1),
    Case(1_000, 10**5, None, 0.05),
    Case(10_000, 10**4, None, 0.05),
)


def enrol(clients: int) -> tuple[Directory, dict[str, Ed25519PrivateKey]]:
    """A directory of made-up clients and their signing keys."""
    stream = Stream.fresh("bench")
    keys = {f"client-{i:06}": Ed25519PrivateKey.from_private_bytes(stream.bytes(32)) for i in range(clients)}
    return Directory.close({name: key.public_key().public_bytes_raw() for name, key in keys.items()}), keys


def terms_of(case: Case, directory: Directory) -> Terms:
    if case.neighbours is None:
        return Terms.choose(directory, "bench", 1, case.length)
    degree, threshold = case.neighbours
    return Terms(directory, "bench", 1, case.length, degree, threshold, case.clients // 2 + 1, security=0)


def measure(case: Case) -> dict[str, Any]:
    """One round: seconds of a client (median of all that stay) and of the server, bytes up, peak memory of the server."""
    directory, keys = enrol(case.clients)
    terms = terms_of(case, directory)
    gone = set(list(keys)[:round(case.drop * case.clients)])
    public = [Stream(bytes([i]) * 32, "bench").draw(Spec(Z32, (case.length,))).data for i in range(_VECTORS)]     # test data
    clients = {name: Client(terms, name, key, public[i % _VECTORS]) for i, (name, key) in enumerate(keys.items())}
    seconds, sent, said = dict.fromkeys(keys, 0.0), dict.fromkeys(keys, 0), list[tuple[str, bytes]]()
    server, clock = Server(terms), _Clock()
    began = perf_counter()
    while (phase := server.phase) is not None:
        made = server.requests()
        while (request := clock(next, made, None)) is not None:
            name, message = request
            if phase >= Phase.MASK and name in gone:
                continue
            start = perf_counter()
            answer = clients[name].answer(message)
            seconds[name] += perf_counter() - start
            sent[name] += len(answer)
            clock(server.receive, name, answer)
            if case.clients <= _REPLAYED:
                said.append((name, answer))
        clock(server.advance)
    whole = perf_counter() - began
    stayed = [i for i, name in enumerate(keys) if name not in gone]
    counts = np.bincount([i % _VECTORS for i in stayed], minlength=_VECTORS)
    expected = sum((v * np.uint32(c) for v, c in zip(public, counts, strict=True)), np.zeros(case.length, np.uint32))
    up = max(sent.values())
    return {"clients": case.clients, "length": case.length, "neighbours": terms.degree, "threshold": terms.threshold, "dropped": len(gone),
            "client_seconds": statistics.median(seconds[name] for name in keys if name not in gone), "server_seconds": clock.seconds,
            "whole_seconds": whole, "bytes_up": up, "bytes_up_beyond_vector": up - 4 * case.length,
            "server_peak_bytes": _peak(terms, said) if said else None,
            "verified": bool(np.array_equal(server.result.vector, expected) and len(server.result.clients) == len(stayed))}


class _Clock:
    """Adds up the seconds of calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, f: Callable[..., Any], *args: Any) -> Any:
        start = perf_counter()
        out = f(*args)
        self.seconds += perf_counter() - start
        return out


def _peak(terms: Terms, said: Sequence[tuple[str, bytes]]) -> int:
    """The memory of a server that hears all this again, and of one message on its way to it."""
    tracemalloc.start()
    try:
        server, answers = Server(terms), iter(said)
        answer = next(answers, None)
        while server.phase is not None:
            for _ in server.requests():
                pass
            while answer is not None and answer[0] in server.waiting and answer[1][4] == server.phase:
                server.receive(*answer)
                answer = next(answers, None)
            server.advance()
        return tracemalloc.get_traced_memory()[1] + max(len(message) for _, message in said)
    finally:
        tracemalloc.stop()


def run(as_json: bool = False) -> None:
    """Measure all cases and print a line for each."""
    for case in CASES:
        line = measure(case)
        if as_json:
            print(json.dumps(line), flush=True)
        else:
            print(f"{line['clients']:>6} clients × {line['length']:>9,}  {line['neighbours']:>4} neighbours, threshold {line['threshold']:>3}, "
                  f"{line['dropped']:>3} drop: client {line['client_seconds']:.3f} s, server {line['server_seconds']:.2f} s, whole {line['whole_seconds']:.1f} s, "
                  f"up {line['bytes_up']:,} bytes, server's peak {(line['server_peak_bytes'] or 0) / 2**20:.0f} MiB, "
                  f"{'verified' if line['verified'] else 'WRONG'}", flush=True)
