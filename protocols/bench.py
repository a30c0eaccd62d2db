"""``mpc bench``: what operations take, each checked against plaintext in the same run.

The parties are processes on this machine over TCP.  For suites with correlated randomness each line is
measured twice: with the dealer's material ``received`` before the clock starts (seeds are expanded inside
it), and with the dealer ``in_loop``.  Seconds are the median at party 0 from a barrier to the result; peak
memory is the process's, with inputs, plaintext and result, less what it had before.  The error is the
largest difference from plaintext, as a part of it where it is above one.

This file is also the program that the parties run.
"""
from __future__ import annotations

import contextlib
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from mpc import launch
from mpc.errors import ConfigError
from mpc.ring import NDArray
from protocols import bench_prep
from protocols.array import Secret
from protocols.ops import exponential, roots
from protocols.prep import Correlation
from protocols.prep.dealer import Dealt
from protocols.session import Session

_OPTIONS = "MPC_BENCH_OPTIONS"
_FIELDS = ("name", "suite", "parties", "size", "tls", "seconds", "per_second", "bytes_sent_per_party", "rounds", "verified",
           "error", "preprocessing", "spread", "peak_bytes")


@dataclass(frozen=True, slots=True)
class Case:
    """One benchmark: inputs, the operation on them, the same in plaintext, and what counts as an operation."""

    sizes: tuple[int, ...]
    inputs: Callable[[int], tuple[NDArray, ...]]
    work: Callable[..., Any]
    plain: Callable[..., NDArray]
    tolerance: float = 0.0
    count: Callable[[int], int] = lambda size: size


def _integers(size: int) -> tuple[NDArray, ...]:
    base = np.arange(size, dtype=np.int64)          # public test data: nothing here is secret
    return base * 7919 - 12345, base * base % 1_000_003 - 500_000


def _reals(size: int) -> tuple[NDArray, ...]:
    x, y = _integers(size)
    return x % 100_003 / 100.0 - 500.0, y / 1000.0


def _quotients(size: int) -> tuple[NDArray, ...]:
    """Multiples of 2^-16, and divisors from 1/64 up to 2^20."""
    x, _ = _integers(size)
    y = np.rint(np.exp2(np.arange(size) % 1000 / 1000 * 26 - 6) * 2.0**16) / 2.0**16
    return x % 100_003 / 2.0**10 - 50.0, y


def _small(size: int) -> tuple[NDArray, ...]:
    return (_integers(size)[0] % (20 << 16) / 2.0**16 - 15.0,)


def _matrices(size: int) -> tuple[NDArray, ...]:
    x, y = _integers(size * size)
    return x.reshape(size, size), y.reshape(size, size)


def _chain(x: Secret, y: Secret) -> Secret:
    for _ in range(1000):
        x = x * y
    return x


def _chain_plain(x: NDArray, y: NDArray) -> NDArray:
    for _ in range(1000):
        x = x * y
    return x


def _mlp_inputs(batch: int) -> tuple[NDArray, ...]:
    """An image of 784 numbers in [0, 1] for each of a batch, and the weights of three layers."""
    def waves(*shape: int) -> NDArray:
        return np.asarray(np.sin(np.arange(1.0, 1 + np.prod(shape)) ** 1.5).reshape(shape))
    layers = [a for m, n in ((784, 128), (128, 128), (128, 10)) for a in (waves(m, n) / np.sqrt(m), waves(n) / 10)]
    return np.abs(waves(batch, 784)), *layers


def _mlp(x: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any) -> Any:
    for w, b in ((w1, b1), (w2, b2)):
        x = np.maximum(x @ w + b, 0)
    return x @ w3 + b3


CASES: dict[str, Case] = {
    "mul": Case((1_000_000, 10_000_000), _integers, lambda x, y: x * y, lambda x, y: x * y),
    "fxmul": Case((1_000_000, 10_000_000), _reals, lambda x, y: x * y, lambda x, y: x * y, tolerance=0.02),
    "matmul": Case((1024,), _matrices, lambda x, y: x @ y, lambda x, y: x @ y, count=lambda size: 1),
    "chain": Case((1,), lambda size: (np.full(size, 3), np.full(size, -5)), _chain, _chain_plain, count=lambda size: 1000),
    "share": Case((1_000_000, 10_000_000), _reals, lambda x, y: x.session.secret(
        _reals(x.size)[0] if x.session.id == 0 else None, owner=0, shape=x.shape, kind=x.kind), lambda x, y: x, tolerance=1e-4),
    "lt": Case((1_000_000,), _integers, lambda x, y: x < y, lambda x, y: x < y),
    "eq": Case((1_000_000,), _integers, lambda x, y: x == y, lambda x, y: x == y),
    "where": Case((1_000_000,), _integers, lambda x, y: np.where(x < y, x, y), np.minimum),
    "sort": Case((10_000, 1_000_000), lambda size: (_integers(size)[1],), np.sort, np.sort),
    "mlp": Case((1, 128), _mlp_inputs, _mlp, _mlp, tolerance=0.005),
    "div": Case((100_000,), _quotients, lambda x, y: x / y, lambda x, y: x / y, tolerance=1e-4),
    "exp": Case((100_000,), _small, np.exp, np.exp, tolerance=1e-4),
    "sigmoid": Case((100_000,), _small, exponential.sigmoid, lambda x: 1 / (1 + np.exp(-x)), tolerance=1e-4),
    "rsqrt": Case((100_000,), lambda size: _quotients(size)[1:], roots.rsqrt, lambda y: 1 / np.sqrt(y), tolerance=1e-4),
    "open": Case((1_000_000, 10_000_000), _integers, lambda x, y: x.reveal(), lambda x, y: x),
}


def run(names: Sequence[str], *, suite: str | None, parties: int, sizes: str, runs: int, tls: bool, as_json: bool, debug: bool) -> None:
    """Start the parties, print what they measured."""
    from protocols.suites import find
    sizes_of = {name: case.sizes for name, case in CASES.items()} | {name: case[0] for name, case in bench_prep.CASES.items()}
    unknown = [n for n in names if n not in sizes_of]
    if unknown:
        raise ConfigError(f"there is no benchmark '{unknown[0]}'; there is: {' '.join(sizes_of)}")
    try:
        chosen = [int(s) for s in sizes.split(",") if s]
    except ValueError:
        chosen = [0]
    if any(size < 1 for size in chosen):
        raise ConfigError(f"--size {sizes}: give whole numbers above 0 with commas between them")
    kind = find(suite, parties)
    lines = []
    for name in names or sizes_of:
        for size in chosen or sizes_of[name]:           # fresh processes for each, so that none inherits another's memory
            dealer = kind.needs_prep and name in CASES
            plan = launch.Plan(Path(__file__), parties, kind.name, dealer, False, False, 64, 16, tls=tls, debug=debug, timeout=600, quiet=True)
            fresh = _launch(plan, {"name": name, "size": size, "runs": runs})
            lines += fresh
            if as_json:
                for line in fresh:
                    print(json.dumps(line), flush=True)
    if not as_json:
        _show(lines)
    if not all(line["verified"] for line in lines):
        raise ConfigError("a result differs from plaintext")


def _launch(plan: launch.Plan, options: dict[str, Any]) -> list[dict[str, Any]]:
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as results:
        options["results"] = results.name
        if launch.run(replace(plan, environment=((_OPTIONS, json.dumps(options)),))).code:
            raise ConfigError(f"a party of the benchmark '{options['name']}' ended early")
        about = {"suite": plan.suite, "parties": plan.parties, "tls": plan.tls}
        made = [json.loads(line) | about for line in results]
    return [{key: line[key] for key in _FIELDS} for line in made]


def _show(lines: Sequence[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from mpc.report import amount, duration
    table = Table()
    for column in ("name", "suite", "parties", "size", "TLS", "preprocessing", "median", "spread", "per second",
                   "sent/party", "rounds", "peak memory", "verified"):
        table.add_column(column, justify="left" if column in ("name", "suite", "preprocessing") else "right")
    for line in lines:
        rate = line["per_second"]
        table.add_row(line["name"], line["suite"], str(line["parties"]), f"{line['size']:,}", "yes" if line["tls"] else "no",
                      line["preprocessing"], duration(line["seconds"]), f"{duration(line['spread'][0])} – {duration(line['spread'][1])}",
                      f"{rate / 1e6:.1f} M" if rate >= 1e6 else f"{rate:,.1f}", amount(line["bytes_sent_per_party"]),
                      str(line["rounds"]), amount(line["peak_bytes"]), "yes" if line["verified"] else "NO")
    Console(width=None if os.isatty(1) else 180).print(table)


# -- what each party runs -------------------------------------------------------------------------------


def main(party: Session) -> None:
    options = json.loads(os.environ[_OPTIONS])
    name, size, runs = options["name"], options["size"], options["runs"]
    if name in CASES:
        made = _measure(party, name, CASES[name], size, runs)
    else:
        bare = _status("VmRSS")
        made = (bench_prep.measure(party, name, size, runs) | {"peak_bytes": _status("VmHWM") - bare} for _ in range(1))
    for line in made:
        if party.id == 0:
            with Path(options["results"]).open("a") as results:
                results.write(json.dumps(line) + "\n")


def _measure(party: Session, name: str, case: Case, size: int, runs: int) -> Iterator[dict[str, Any]]:
    bare = _status("VmRSS")
    arrays = case.inputs(size)
    secrets = [party.secret(a, owner=i % party.size, shape=a.shape, kind=party.kind_of(a)) for i, a in enumerate(arrays)]
    prep = party.suites[0].prep
    expected = case.plain(*arrays)

    def once(before: Callable[[], None]) -> tuple[float, Any, int, int, int]:
        before()
        barrier(party)
        meter = party.parties[0].meter
        rounds, sent = meter.rounds, meter.sent
        _reset_peak()
        start = perf_counter()
        result = case.work(*secrets)
        if isinstance(result, Secret):
            party.sync(result)
        took = perf_counter() - start
        return took, result, meter.rounds - rounds, meter.sent - sent, _status("VmHWM") - bare

    def lines(kind: str, before: Callable[[], None]) -> dict[str, Any]:
        measured = []
        for _ in range(runs):
            result: Any = None                      # the last run's memory is this one's
            took, result, *rest = once(before)
            measured.append((took, *rest))
        value = result.reveal() if isinstance(result, Secret) else result
        difference = np.abs(value * 1 - expected * 1)
        seconds = [m[0] for m in measured]
        median = statistics.median(seconds)
        return {"name": name, "size": size, "seconds": median, "per_second": case.count(size) / median,
                "bytes_sent_per_party": measured[-1][2], "rounds": measured[-1][1],
                "verified": bool(np.all(difference <= case.tolerance)), "preprocessing": kind,
                "error": float(np.max(difference / np.maximum(1.0, np.abs(expected * 1.0)))),
                "spread": [min(seconds), max(seconds)], "peak_bytes": max(m[3] for m in measured)}

    if not isinstance(prep, Dealt):
        once(lambda: None)
        yield lines("none", lambda: None)
        return
    asked: list[Correlation] = []
    prep.asked = asked
    once(lambda: None)                              # also compiles kernels and warms caches
    prep.asked = None
    if not asked:
        yield lines("none", lambda: None)
        return

    def receive() -> None:
        assert isinstance(prep, Dealt)
        member = party.parties[0]
        member.run(prep.stock(list(asked)), "stock")

    yield lines("received", receive)
    yield lines("in_loop", lambda: None)


def barrier(party: Session) -> None:
    party.secret(0, owner=0, shape=(), kind=party.kind_of(np.int64(0))).reveal()


def _reset_peak() -> None:
    """Start measuring peak memory anew.  Linux; elsewhere the column says 0."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _status(field: str) -> int:
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(text.split(f"{field}:")[1].split()[0]) * 1024


