"""Clients and a network for tests of secure aggregation: whoever carries the bytes may bend them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from conftest import stream
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mpc.errors import AggregationRefused
from protocols.aggregation.directory import Directory
from protocols.aggregation.messages import Phase
from protocols.aggregation.one_server.client import Client
from protocols.aggregation.one_server.server import Server
from protocols.aggregation.one_server.terms import Terms

Bend = Callable[[str, Phase, bytes], bytes]


def signing_key(i: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(stream(i, "signing key").bytes(32))


KEYS = {f"c{i:03}": signing_key(i) for i in range(64)}


def directory(n: int, seed: int = 0) -> Directory:
    return Directory(
        {name: key.public_key().public_bytes_raw() for name, key in list(KEYS.items())[:n]},
        stream(seed, "directory").bytes(32),
    )


def terms(
    n: int, length: int = 40, degree: int | None = None, threshold: int | None = None, **more: Any
) -> Terms:
    degree = n - 1 if degree is None else degree
    threshold = degree // 2 + 1 if threshold is None else threshold
    return Terms(
        directory(n),
        "test",
        more.pop("number", 1),
        length,
        degree,
        threshold,
        more.pop("least", 3),
        security=0,
        **more,
    )


def inputs(t: Terms, seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return {
        name: (
            rng.integers(0, 1 << t.bits, t.length, dtype=np.uint32),
            rng.integers(0, 1 << 64, t.side, dtype=np.uint64),
        )
        for name in t.directory.names
    }


def clients(
    t: Terms, given: Mapping[str, tuple[np.ndarray, np.ndarray]], **only: Client
) -> dict[str, Client]:
    return {name: only.get(name) or Client(t, name, KEYS[name], *pair) for name, pair in given.items()}


def total(
    t: Terms, given: Mapping[str, tuple[np.ndarray, np.ndarray]], names: Any
) -> tuple[list[int], list[int]]:
    """The sums, in Python's integers."""
    names = list(names)
    return (
        [sum(int(given[n][0][j]) for n in names) % 2**t.bits for j in range(t.length)],
        [sum(int(given[n][1][j]) for n in names) % 2**64 for j in range(t.side)],
    )


@dataclass
class Net:
    """Carries a round; ``ask`` bends what the server says, ``tell`` what clients say, ``None`` for nothing at
    all.
    """

    server: Server
    clients: Mapping[str, Client]
    ask: Callable[[str, Phase, bytes], bytes | None] = lambda name, phase, message: message
    tell: Callable[[str, Phase, bytes], bytes | None] = lambda name, phase, message: message
    refused: dict[str, str] = field(default_factory=dict)
    said: dict[tuple[str, Phase], bytes] = field(default_factory=dict)
    heard: dict[tuple[str, Phase], bytes] = field(default_factory=dict)

    def phase(self) -> None:
        """One phase, up to ``advance``."""
        phase = self.server.phase
        assert phase is not None
        for name, message in self.server.requests():
            bent = self.ask(name, phase, message)
            if bent is None or name not in self.clients:
                continue
            self.heard[name, phase] = bent
            try:
                answer = self.clients[name].answer(bent)
            except AggregationRefused as error:
                self.refused[name] = str(error)
                continue
            self.said[name, phase] = answer
            if (told := self.tell(name, phase, answer)) is not None:
                self.server.receive(name, told)

    def run(self) -> Any:
        while self.server.phase is not None:
            self.phase()
            self.server.advance()
        return self.server.result


def at(
    phase: Phase, names: Any, f: Callable[[bytes], bytes | None]
) -> Callable[[str, Phase, bytes], bytes | None]:
    """Bend the messages of these clients in this phase."""
    return lambda name, where, message: f(message) if where is phase and name in names else message
