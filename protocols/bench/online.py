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
import math
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
from mpc.readable import amount, duration
from mpc.ring import Field, NDArray, Ring
from protocols.array.secret import Secret
from protocols.array.session import Session
from protocols.bench import offline as bench_prep
from protocols.ops import exponential, roots
from protocols.prep import Correlation
from protocols.prep.dealer import Dealt

_OPTIONS = "MPC_BENCH_OPTIONS"
_FIELDS = (
    "name",
    "suite",
    "parties",
    "ring",
    "size",
    "tls",
    "seconds",
    "per_second",
    "bytes_sent_per_party",
    "rounds",
    "verified",
    "error",
    "preprocessing",
    "spread",
    "peak_bytes",
)
_ROW = "{:<14}{:>11}  {:<8}{:>9}{:>10}{:>9}{:>7}{:>9}"
_HEAD = _ROW.format("name", "size", "material", "median", "a second", "sent", "rounds", "memory")

#: How large integers are here.
_LARGEST = 500_002


@dataclass(frozen=True, slots=True)
class Case:
    """One benchmark: inputs that fit a ring, the operation on them, the same in plaintext, and what counts as
    an operation.

    Results of real numbers may be off by so many units of the last place (and as much as doubles are),
    integers by nothing."""

    sizes: tuple[int, ...]
    inputs: Callable[[int, Ring], tuple[NDArray, ...]]
    work: Callable[..., Any]
    plain: Callable[..., NDArray]
    units: float = 0.0
    count: Callable[[int], int] = lambda size: size
    rings: tuple[int, ...] = (64, 32, 128)
    fields: bool = False  # also modulo a prime that their inputs fit

    def over(self, ring: Ring) -> bool:
        """Whether it has a meaning there."""
        return self.fields and ring.most > _LARGEST if isinstance(ring, Field) else ring.bits in self.rings


def _integers(size: int, ring: Ring) -> tuple[NDArray, ...]:
    """Every comparison comes out both ways, and every 64th pair is equal."""
    base = np.arange(size, dtype=np.int64)  # public test data: nothing here is secret
    x = base * 7919 % 1_000_003 - 500_000
    return x, np.where(base % 64 == 63, x, base * base % 1_000_003 - 500_000)


def _reals(size: int, ring: Ring) -> tuple[NDArray, ...]:
    """Up to 500 in size, or 31 where products must stay within 2^13."""
    x, y = _integers(size, ring)
    return _rounded(x / (1000 if ring.bits > 32 else 16_000), ring), _rounded(
        y / (1000 if ring.bits > 32 else 16_000), ring
    )


def _rounded(x: NDArray, ring: Ring) -> NDArray:
    """To what is shared of it."""
    return np.asarray(np.rint(x * 2.0**ring.fraction) / 2.0**ring.fraction)


def _quotients(size: int, ring: Ring) -> tuple[NDArray, ...]:
    """Numbers up to 50, and divisors from 1/64 up to 2^20; over 32 bits from 1/8 up to 2^10."""
    x, _ = _integers(size, ring)
    low, high = (-6, 26) if ring.bits > 32 else (-3, 13)
    return x % 100_003 / 2.0**10 - 50.0, _rounded(np.exp2(np.arange(size) % 1000 / 1000 * high + low), ring)


def _small(size: int, ring: Ring) -> tuple[NDArray, ...]:
    return (_rounded(np.arange(size) * 7919 % (20 << 16) / 2.0**16 - 15.0, ring),)


def _matrices(size: int, ring: Ring) -> tuple[NDArray, ...]:
    x, y = _integers(size * size, ring)
    return x.reshape(size, size), y.reshape(size, size)


def _chain(x: Secret, y: Secret) -> Secret:
    for _ in range(1000):
        x = x * y
    return x


def _mlp_inputs(batch: int, ring: Ring) -> tuple[NDArray, ...]:
    """An image of 784 numbers in [0, 1] for each of a batch, and the weights of three layers."""

    def waves(*shape: int) -> NDArray:
        return np.asarray(np.sin(np.arange(1.0, 1 + np.prod(shape)) ** 1.5).reshape(shape))

    layers = [
        a for m, n in ((784, 128), (128, 128), (128, 10)) for a in (waves(m, n) / np.sqrt(m), waves(n) / 10)
    ]
    return np.abs(waves(batch, 784)), *layers


def _mlp(x: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any) -> Any:
    for w, b in ((w1, b1), (w2, b2)):
        x = np.maximum(x @ w + b, 0)
    return x @ w3 + b3


CASES: dict[str, Case] = {
    "mul": Case((1_000_000, 10_000_000), _integers, lambda x, y: x * y, lambda x, y: x * y, fields=True),
    "fxmul": Case((1_000_000, 10_000_000), _reals, lambda x, y: x * y, lambda x, y: x * y, units=1),
    "matmul": Case(
        (1024,), _matrices, lambda x, y: x @ y, lambda x, y: x @ y, count=lambda size: 1, fields=True
    ),
    "chain": Case(
        (1,),
        lambda size, ring: (np.full(size, 3), np.full(size, -5)),
        _chain,
        lambda x, y: x * (y.astype(object) ** 1000),
        count=lambda size: 1000,
        fields=True,
    ),
    "share": Case(
        (1_000_000, 10_000_000),
        _reals,
        lambda x, y: x.session.secret(
            _reals(x.size, x.session.ring)[0] if x.session.id == 0 else None,
            owner=0,
            shape=x.shape,
            kind=x.kind,
        ),
        lambda x, y: x,
    ),
    "lt": Case((1_000_000,), _integers, lambda x, y: x < y, lambda x, y: x < y),
    "eq": Case((1_000_000,), _integers, lambda x, y: x == y, lambda x, y: x == y),
    "where": Case((1_000_000,), _integers, lambda x, y: np.where(x < y, x, y), np.minimum),
    "sort": Case((10_000, 1_000_000), lambda size, ring: (_integers(size, ring)[1],), np.sort, np.sort),
    "mlp": Case((1, 128), _mlp_inputs, _mlp, _mlp, units=328, rings=(64, 128)),
    "div": Case((100_000,), _quotients, lambda x, y: x / y, lambda x, y: x / y, units=2),
    "exp": Case((100_000,), _small, np.exp, np.exp, units=2),
    "sigmoid": Case((100_000,), _small, exponential.sigmoid, lambda x: 1 / (1 + np.exp(-x)), units=2),
    "rsqrt": Case(
        (100_000,),
        lambda size, ring: _quotients(size, ring)[1:],
        roots.rsqrt,
        lambda y: 1 / np.sqrt(y),
        units=2,
    ),
    "open": Case((1_000_000, 10_000_000), _integers, lambda x, y: x.reveal(), lambda x, y: x, fields=True),
}


def run(
    names: Sequence[str],
    *,
    suite: str | None,
    malicious: bool,
    parties: int,
    ring: int,
    sizes: str,
    runs: int,
    tls: bool,
    as_json: bool,
    debug: bool,
) -> None:
    """Start the parties, print what they measured."""
    from protocols.suites import find, ring_of

    sizes_of = {name: case.sizes for name, case in CASES.items()} | {
        name: case[0] for name, case in bench_prep.CASES.items()
    }
    unknown = [n for n in names if n not in sizes_of]
    if unknown:
        raise ConfigError(f"there is no benchmark '{unknown[0]}'; there is: {' '.join(sizes_of)}")
    try:
        chosen = [int(s) for s in sizes.split(",") if s]
    except ValueError:
        chosen = [0]
    if any(size < 1 for size in chosen):
        raise ConfigError(f"--size {sizes}: give whole numbers above 0 with commas between them")
    kind = find(suite, parties, malicious)
    over = ring_of(ring, kind)
    lines = []
    if not as_json:
        print(
            f"{parties} parties, suite {kind.name}, {over if kind.fields else f'{ring} bits'},"
            f" {'TLS' if tls else 'plain TCP'}; medians of {runs} runs\n{_HEAD}",
            flush=True,
        )
    usual = [name for name in sizes_of if (CASES[name].over(over) if name in CASES else not kind.fields)]
    for name in names or usual:
        if name in CASES and not CASES[name].over(over):
            raise ConfigError(f"the benchmark '{name}' has no meaning over {over}")
        # fresh processes for each, so that none inherits another's memory
        for size in chosen or sizes_of[name]:
            dealer = kind.needs_prep and name in CASES
            plan = launch.Plan(
                Path(__file__),
                parties,
                suite or kind.name,
                dealer,
                False,
                False,
                ring,
                over.fraction,
                tls=tls,
                debug=debug,
                timeout=600,
                quiet=True,
            )
            fresh = _launch(plan, {"name": name, "size": size, "runs": runs})
            lines += fresh
            for line in fresh:
                print(json.dumps(line) if as_json else _row(line), flush=True)
    if not all(line["verified"] for line in lines):
        raise ConfigError("a result differs from plaintext")


def _launch(plan: launch.Plan, options: dict[str, Any]) -> list[dict[str, Any]]:
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as results:
        options["results"] = results.name
        if launch.run(replace(plan, environment=((_OPTIONS, json.dumps(options)),))).code:
            raise ConfigError(f"a party of the benchmark '{options['name']}' ended early")
        about = {"suite": plan.suite, "parties": plan.parties, "ring": plan.ring, "tls": plan.tls}
        made = [json.loads(line) | about for line in results]
    return [{key: line[key] for key in _FIELDS} for line in made]


def _row(line: dict[str, Any]) -> str:
    """A line of at most 80 letters."""
    rate = line["per_second"]
    cells = (
        line["name"],
        f"{line['size']:,}",
        line["preprocessing"],
        duration(line["seconds"]),
        f"{rate / 1e6:.1f} M" if rate >= 1e6 else f"{rate:,.1f}",
        amount(line["bytes_sent_per_party"]),
        f"{line['rounds']:,}",
        amount(line["peak_bytes"]),
    )
    return _ROW.format(*cells) + ("" if line["verified"] else "  WRONG")


# -- what each party runs -------------------------------------------------------------------------------


def main(party: Session) -> None:
    options = json.loads(os.environ[_OPTIONS])
    name, size, runs = options["name"], options["size"], options["runs"]
    if name in CASES:
        made = _measure(party, name, CASES[name], size, runs)
    else:
        bare = _status("VmRSS")
        made = (
            bench_prep.measure(party, name, size, runs) | {"peak_bytes": _status("VmHWM") - bare}
            for _ in range(1)
        )
    for line in made:
        if party.id == 0:
            with Path(options["results"]).open("a") as results:
                results.write(json.dumps(line) + "\n")


def compared(case: Case, ring: Ring, value: Any, expected: NDArray) -> tuple[bool, float]:
    """Whether a result is what is expected, within the case's units, and the largest difference."""
    if np.shape(value) != expected.shape:
        return False, math.inf
    difference = np.abs(value * 1 - expected * 1)
    allowed = case.units * (
        1.001 * 2.0**-ring.fraction + 2.0 ** -(min(50, ring.bits // 2 - 8)) * np.abs(expected * 1.0)
    )
    return bool(np.all(difference <= allowed)), float(
        np.max(difference / np.maximum(1.0, np.abs(expected * 1.0)))
    )


def _measure(party: Session, name: str, case: Case, size: int, runs: int) -> Iterator[dict[str, Any]]:
    bare = _status("VmRSS")
    ring = party.ring
    arrays = case.inputs(size, ring)
    secrets = [
        party.secret(a, owner=i % party.size, shape=a.shape, kind=party.kind_of(a))
        for i, a in enumerate(arrays)
    ]
    prep = party.suites[0].prep
    expected = wrapped(np.asarray(case.plain(*arrays)), ring)

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
            result: Any = None  # the last run's memory is this one's
            took, result, *rest = once(before)
            measured.append((took, *rest))
        value = result.reveal() if isinstance(result, Secret) else result
        right, error = compared(case, ring, value, expected)
        seconds = [m[0] for m in measured]
        median = statistics.median(seconds)
        return {
            "name": name,
            "size": size,
            "seconds": median,
            "per_second": case.count(size) / median,
            "bytes_sent_per_party": measured[-1][2],
            "rounds": measured[-1][1],
            "verified": right,
            "preprocessing": kind,
            "error": error,
            "spread": [min(seconds), max(seconds)],
            "peak_bytes": max(m[3] for m in measured),
        }

    if not isinstance(prep, Dealt):
        once(lambda: None)
        yield lines("none", lambda: None)
        return
    asked: list[Correlation] = []
    prep.asked = asked
    once(lambda: None)  # also compiles kernels and warms caches
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


def wrapped(x: NDArray, ring: Ring) -> NDArray:
    """Integers as the ring has them, read as signed."""
    if x.dtype.kind not in "iO" or (x.dtype.kind == "i" and ring.bits >= 64):
        return x
    return np.asarray((x - ring.least) % (ring.most - ring.least + 1) + ring.least)


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
