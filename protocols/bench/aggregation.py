"""What a round takes: each client's seconds in all phases, the server's, and what goes over the network.

All sides run in this process, one after the other; each call into a side is timed on its own, by the
processor's clock, so that a figure is that of one machine doing nothing else.  A hundred clients are timed:
these check all their neighbours' signatures, as on machines of their own, where others profit from what was
checked in this process before.  The sum is checked against plaintext.  Peak memory is what Python and NumPy
have allocated at most (``tracemalloc``) for a second server that hears the same answers again.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from time import perf_counter, process_time
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc.prg import Stream
from mpc.ring import Z32, Spec
from protocols.aggregation.directory import Directory
from protocols.aggregation.messages import Phase
from protocols.aggregation.one_server.client import Client
from protocols.aggregation.one_server.server import Server
from protocols.aggregation.one_server.terms import Terms
from protocols.aggregation.several_servers.servers import Aggregator, Servers, contribute


@dataclass(frozen=True, slots=True)
class Case:
    """Clients, coordinates, the fraction that drops out after sharing, and neighbours and threshold: as
    given, or ``None`` for what the bounds give if that fraction drops out and 5 % collude."""

    clients: int
    length: int
    neighbours: tuple[int, int] | None = None
    drop: float = 0.0


_VECTORS = 8  # different vectors among all clients
# rounds of more clients are not run a second time for memory
_REPLAYED = 1000
_TIMED = 100

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
        return Terms.choose(directory, "bench", 1, case.length, dropout=case.drop)
    degree, threshold = case.neighbours
    return Terms(directory, "bench", 1, case.length, degree, threshold, case.clients // 2 + 1, security=0)


def measure(case: Case, memory: bool = True) -> dict[str, Any]:
    """One round: seconds of a client (median of those that stay) and of the server, bytes up, peak memory of
    the server.
    """
    directory, keys = enrol(case.clients)
    terms = terms_of(case, directory)
    gone = set(list(keys)[: round(case.drop * case.clients)])
    # test data
    public = [Stream(bytes([i]) * 32, "bench").draw(Spec(Z32, (case.length,))).data for i in range(_VECTORS)]
    timed = set(list(keys)[:: max(1, case.clients // _TIMED)]) - gone
    apart = replace(terms, directory=Directory.decode(directory.encode()))
    clients = {
        name: Client(apart if name in timed else terms, name, key, public[i % _VECTORS])
        for i, (name, key) in enumerate(keys.items())
    }
    seconds, sent, said = dict.fromkeys(timed, 0.0), dict.fromkeys(keys, 0), list[tuple[str, bytes]]()
    server, clock = Server(terms), _Clock()
    began, cpu = perf_counter(), process_time()
    while (phase := server.phase) is not None:
        made = server.requests()
        while (request := clock(next, made, None)) is not None:
            name, message = request
            if phase >= Phase.MASK and name in gone:
                continue
            apart.directory.forget()
            start = process_time()
            answer = clients[name].answer(message)
            if name in timed:
                seconds[name] += process_time() - start
            sent[name] += len(answer)
            clock(server.receive, name, answer)
            if memory and case.clients <= _REPLAYED:
                said.append((name, answer))
        clock(server.advance)
    whole, cpu = perf_counter() - began, process_time() - cpu
    stayed = [i for i, name in enumerate(keys) if name not in gone]
    counts = np.bincount([i % _VECTORS for i in stayed], minlength=_VECTORS)
    expected = sum(
        (v * np.uint32(c) for v, c in zip(public, counts, strict=True)), np.zeros(case.length, np.uint32)
    )
    up = max(sent.values())
    return {
        "clients": case.clients,
        "length": case.length,
        "neighbours": terms.degree,
        "threshold": terms.threshold,
        "dropped": len(gone),
        "client_seconds": statistics.median(seconds.values()),
        "server_seconds": clock.seconds,
        "whole_seconds": whole,
        "whole_cpu_seconds": cpu,
        "bytes_up": up,
        "bytes_up_beyond_vector": up - 4 * case.length,
        "server_peak_bytes": _peak(terms, said) if said else None,
        "verified": bool(
            np.array_equal(server.result.vector, expected) and len(server.result.clients) == len(stayed)
        ),
    }


class _Clock:
    """Adds up the seconds of calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, f: Callable[..., Any], *args: Any) -> Any:
        start = process_time()
        out = f(*args)
        self.seconds += process_time() - start
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


def measure_servers(servers: int, clients: int, length: int) -> dict[str, Any]:
    """One round of several servers without input checks: seconds of a client (median), of a server of either
    sort, bytes.
    """
    directory, keys = enrol(clients)
    secrets = [X25519PrivateKey.from_private_bytes(Stream.fresh("bench").bytes(32)) for _ in range(servers)]
    terms = Servers(
        directory,
        tuple(s.public_key().public_bytes_raw() for s in secrets),
        "bench",
        1,
        length,
        clients // 2 + 1,
    )
    held = {rank: Aggregator(terms, rank, secret) for rank, secret in enumerate(secrets)}
    public = Stream(bytes(32), "bench").draw(Spec(Z32, (length,))).data  # test data
    seconds, clocks, sent = list[float](), {rank: _Clock() for rank in held}, 0

    def said(name: str) -> list[bytes]:  # made twice, so that not all vectors are kept here
        return contribute(
            terms, name, keys[name], public, own=Stream(hashlib.sha256(name.encode()).digest(), "bench")
        )

    for name in keys:
        start = process_time()
        messages = said(name)
        seconds.append(process_time() - start)
        sent = sum(map(len, messages))
        for rank in range(servers - 1):
            clocks[rank](held[rank].receive, name, messages[rank])
    last = servers - 1
    for name in keys:
        clocks[last](held[last].receive, name, said(name)[-1])
    for rank, one in held.items():
        clocks[rank](one.settle, range(clients), [True] * clients)
    opened = sum((one.open()[1] for one in held.values()), np.zeros(length, np.uint32))
    return {
        "servers": servers,
        "clients": clients,
        "length": length,
        "client_seconds": statistics.median(seconds),
        "seed_server_seconds": clocks[0].seconds,
        "vector_server_seconds": clocks[last].seconds,
        "bytes_up": sent,
        "verified": bool(np.array_equal(opened, public * np.uint32(clients))),
    }


def flower(case: Case) -> dict[str, Any] | None:
    """Flower's own SecAgg+ at the same work, where it is installed and the case says how many neighbours."""
    if case.neighbours is None or find_spec("flwr") is None:
        return None
    from protocols.aggregation.flower import secagg as flower_secagg

    return {"flower": flower_secagg.measure(case.clients, case.length, *case.neighbours, case.drop)}


def run(as_json: bool = False) -> None:
    """Measure all cases and print a line for each.  The last takes minutes; so does Flower where it is
    installed.
    """
    works: list[Callable[[], dict[str, Any] | None]] = [partial(measure_servers, 2, 1_000, 10**6)]
    for case in CASES:
        works += [partial(measure, case), partial(flower, case)]
    for measured in works:
        if (line := measured()) is not None:
            print(json.dumps(line) if as_json else _sentence(line), flush=True)


def _sentence(line: Mapping[str, Any]) -> str:
    """Two lines of at most 80 letters."""
    if "flower" in line:
        line = line["flower"]
        return (
            f"    Flower SecAgg+ at the same: client {line['client_seconds']:.3f} s, server"
            f" {line['server_seconds']:.2f} s,\n    "
            + (
                "it gave the round up"
                if line["error"] is None
                else f"the mean within {line['error']:.0e} of plaintext"
            )
        )
    where = f"{line['clients']:,} clients × {line['length']:,}, "
    ending = f"{line['bytes_up']:,} bytes up, {'verified' if line['verified'] else 'WRONG'}"
    if "servers" in line:
        return (
            f"{where}{line['servers']} servers:\n    client {line['client_seconds']:.3f} s, "
            f"servers {line['seed_server_seconds']:.2f} and {line['vector_server_seconds']:.2f} s, {ending}"
        )
    memory = f", peak {line['server_peak_bytes'] / 2**20:.0f} MiB" if line["server_peak_bytes"] else ""
    return (
        f"{where}{line['neighbours']} neighbours, threshold {line['threshold']}, {line['dropped']} drop"
        f" out:\n    client {line['client_seconds']:.3f} s, server {line['server_seconds']:.2f} s{memory},"
        f" {ending}\n    all {line['whole_seconds']:.1f} s ({line['whole_cpu_seconds']:.1f} of the processor)"
    )
