"""What a run took: rounds, bytes and seconds by operation; and what it would take on another network.

*Offline* is what could have been done before anybody had an input: the operations whose label begins with
``OFFLINE``, which are those that make correlated randomness.  All else is *online*.  When both travel in one
batch,

    bytes       are counted where the arrays belong; a frame's header is online
    rounds      are online; offline are those in which nothing else travelled
    waiting     is online; offline is that in rounds in which nothing else travelled
    computing   is counted where it is done

so that what is online is what the run would have taken had everything been there before.

Code that is loaded or compiled when it is first used (``mpc/compiling.py``) takes seconds that belong to no
operation: they are *loading*.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from time import perf_counter, time
from typing import Any

#: How the labels of what makes correlated randomness begin.
OFFLINE = "prep "


class Clock(threading.local):
    """The time that this thread has spent on loading and compiling code, the outermost of what is nested."""

    def __init__(self) -> None:
        self.on_compiling: Callable[[], None] | None = None  # called at the first loop that is compiled
        self._depth, self._since = 0, 0.0
        self.spans: list[tuple[float, float]] = []

    def begin(self, at: float) -> None:
        if self._depth == 0:
            self._since = at
        self._depth += 1

    def end(self, at: float) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.spans.append((self._since, at))

    def compiling(self) -> None:
        told, self.on_compiling = self.on_compiling, None
        if told is not None:
            told()

    def take(self, start: float, end: float) -> tuple[float, float]:
        """Seconds since this was last asked, and those of them between start and end."""
        spans, self.spans = self.spans, []
        return sum(b - a for a, b in spans), sum(max(0.0, min(end, b) - max(start, a)) for a, b in spans)


clock = Clock()


@dataclass(slots=True)
class Usage:
    """What one kind of operation took at one party."""

    calls: int = 0
    rounds: int = 0
    sent: int = 0
    received: int = 0
    computing: float = 0.0
    waiting: float = 0.0


@dataclass(frozen=True, slots=True)
class Network:
    """A link model: a round costs half a round-trip time, one with a question to the dealer a whole one;
    bytes travel at the given rate."""

    rtt: float  # seconds
    rate: float  # bytes per second
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> Network:
        """``lan`` (0.2 ms, 10 Gbit/s), ``wan`` (50 ms, 100 Mbit/s) or ``RTTms,Mbps``."""
        known = {"lan": cls(0.2e-3, 10e9 / 8, "lan"), "wan": cls(50e-3, 100e6 / 8, "wan")}
        if text in known:
            return known[text]
        rtt, rate = text.split(",")
        if not (0 <= float(rtt) < 1e6 and 0 < float(rate) < 1e9):
            raise ValueError(text)
        return cls(float(rtt) * 1e-3, float(rate) * 1e6 / 8)

    def __str__(self) -> str:
        link = f"{self.rtt * 1e3:g} ms, {self.rate * 8e-6:g} Mbit/s"
        return f"{self.name} ({link})" if self.name else link

    def seconds(self, used: Mapping[str, Any]) -> float:
        """What a party's run would take here, from its meter's figures."""
        return float(
            used["computing"]
            + (used["rounds"] + used["asked"]) * self.rtt / 2
            + max(used["sent"], used["received"]) / self.rate
        )


@dataclass(slots=True)
class Meter:
    """Counts by operation.  Payload and 64-byte headers both count as bytes; TLS's own do not."""

    operations: dict[str, Usage] = field(default_factory=dict)
    rounds: int = 0
    # rounds in which more than correlated randomness travelled
    online: int = 0
    asked: int = 0  # rounds in which this party waited for a dealer's answer
    frames: int = 0
    loading: float = 0.0  # seconds
    trace: list[dict[str, Any]] | None = None
    started: float = field(default_factory=perf_counter)
    epoch: float = field(default_factory=time)  # the same moment on the clock on the wall
    _deepest: dict[str, int] = field(default_factory=dict)

    def of(self, label: str) -> Usage:
        usage = self.operations.get(label)
        if usage is None:
            usage = self.operations[label] = Usage()
        return usage

    def computed(self, label: str, start: float, end: float) -> None:
        took = end - start
        if clock.spans:
            loading, inside = clock.take(start, end)
            self.loading += loading
            took -= inside
        self.of(label).computing += took
        if self.trace is not None and end - start > 20e-6:
            self._event(label, "computing", start, end, {})

    def exchanged(self, labels: Sequence[str], depth: int, asked: bool) -> None:
        """A batch with messages of these operations was delivered, as round number ``depth``."""
        deepest = self._deepest
        if asked and depth > deepest.get("", 0):
            deepest[""] = depth
            self.asked += 1
        self.rounds = max(self.rounds, depth)
        if depth > deepest.get(OFFLINE, 0) and not all(label.startswith(OFFLINE) for label in labels):
            deepest[OFFLINE] = depth
            self.online += 1
        for label in labels:
            if depth > deepest.get(label, 0):
                deepest[label] = depth
                self.of(label).rounds += 1

    def waited(self, labels: list[str], paying: list[str], start: float, end: float, received: int) -> None:
        for label in paying:
            self.of(label).waiting += (end - start) / len(paying)
        if self.trace is not None:
            self._event(", ".join(labels), "exchanging", start, end, {"bytes received": received})

    def _event(self, name: str, category: str, start: float, end: float, args: dict[str, Any]) -> None:
        assert self.trace is not None
        self.trace.append(
            {
                "name": name,
                "cat": category,
                "ph": "X",
                "tid": category,
                "ts": (start - self.started + self.epoch) * 1e6,
                "dur": (end - start) * 1e6,
                "args": args,
            }
        )

    def offline(self) -> Usage:
        """What the making of correlated randomness took."""
        made = [u for label, u in self.operations.items() if label.startswith(OFFLINE)]
        return Usage(
            sum(u.calls for u in made),
            self.rounds - self.online,
            sum(u.sent for u in made),
            sum(u.received for u in made),
            sum(u.computing for u in made),
            sum(u.waiting for u in made),
        )

    @property
    def sent(self) -> int:
        return sum(u.sent for u in self.operations.values())

    @property
    def received(self) -> int:
        return sum(u.received for u in self.operations.values())

    @property
    def computing(self) -> float:
        return sum(u.computing for u in self.operations.values())

    @property
    def waiting(self) -> float:
        return sum(u.waiting for u in self.operations.values())

    def as_dict(self) -> dict[str, Any]:
        return {
            "operations": {k: asdict(u) for k, u in self.operations.items()},
            "rounds": self.rounds,
            "asked": self.asked,
            "frames": self.frames,
            "sent": self.sent,
            "received": self.received,
            "computing": self.computing,
            "waiting": self.waiting,
            "loading": self.loading,
            "seconds": perf_counter() - self.started,
            "offline": asdict(self.offline()),
        }


def payers(labels: list[str]) -> list[str]:
    """Of the operations that travel together, those that would have cost a round anyway."""
    return [label for label in labels if not label.startswith(OFFLINE)] or labels
