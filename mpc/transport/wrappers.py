"""Transports around any other: a slower network, a recorder, an adversary on the wire."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from mpc.transport import Transport


class Wrapper:
    """Passes everything on."""

    def __init__(self, inner: Transport) -> None:
        self.inner = inner
        self.rank, self.size = inner.rank, inner.size

    def post(self, peer: int, buffers: Sequence[memoryview]) -> int:
        return self.inner.post(peer, buffers)

    def collect(self, wanted: Mapping[int, memoryview]) -> None:
        self.inner.collect(wanted)

    def look(self) -> None:
        self.inner.look()

    def flush(self, most: Mapping[int, int] | None = None) -> None:
        self.inner.flush(most)

    def close(self, linger: float = 0.0) -> None:
        self.inner.close(linger)


class Delayed(Wrapper):
    """Every frame takes ``latency`` seconds and its bytes' time at ``rate`` bytes per second longer."""

    def __init__(self, inner: Transport, latency: float, rate: float = float("inf")) -> None:
        super().__init__(inner)
        self.latency, self.rate = latency, rate
        self._due = 0.0

    def post(self, peer: int, buffers: Sequence[memoryview]) -> int:
        self._due = max(self._due, time.perf_counter()) + sum(len(b) for b in buffers) / self.rate
        return super().post(peer, buffers)

    def collect(self, wanted: Mapping[int, memoryview]) -> None:
        super().collect(wanted)
        time.sleep(max(0.0, self._due + self.latency - time.perf_counter()))


class Recorded(Wrapper):
    """Keeps what this party sends and receives, as bytes: its whole view of the network."""

    def __init__(self, inner: Transport) -> None:
        super().__init__(inner)
        self.sent: list[tuple[int, bytes]] = []
        self.received: list[tuple[int, bytes]] = []

    def post(self, peer: int, buffers: Sequence[memoryview]) -> int:
        self.sent.append((peer, b"".join(buffers)))
        return super().post(peer, buffers)

    def collect(self, wanted: Mapping[int, memoryview]) -> None:
        super().collect(wanted)
        self.received += [(peer, bytes(view)) for peer, view in wanted.items()]


class Tampered(Wrapper):
    """Sends ``alter(number, peer, frame)`` in place of each frame: corrupt, drop, replay or swap it."""

    def __init__(self, inner: Transport, alter: Callable[[int, int, bytes], bytes]) -> None:
        super().__init__(inner)
        self._alter, self._number = alter, 0

    def post(self, peer: int, buffers: Sequence[memoryview]) -> int:
        frame = self._alter(self._number, peer, b"".join(buffers))
        self._number += 1
        return super().post(peer, [memoryview(frame)])
