"""A client's ledger and the encoding of updates, which need no framework."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cohort import KEYS, directory
from conftest import stream

from mpc.errors import AggregationRefused, ConfigError, EncodingError
from protocols.aggregation.messages import Phase
from protocols.aggregation.metrics import METRIC, RESOLUTION
from protocols.aggregation.one_server.client import Client
from protocols.aggregation.one_server.ledger import Ledger
from protocols.aggregation.one_server.local import aggregate
from protocols.aggregation.one_server.noise import Noise
from protocols.aggregation.one_server.server import Sum
from protocols.aggregation.one_server.updates import Agreement


def test_each_phase_once_and_in_order(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "new")
    for number in (1, 5):
        for phase in Phase:
            with pytest.raises(AggregationRefused, match="not the next thing"):
                ledger.enter("s", number, Phase(phase % 5 + 1) if phase < 5 else Phase.CONFIRM)
            ledger.enter("s", number, phase)
            with pytest.raises(AggregationRefused, match=f"last one was {phase.name} of round {number}"):
                Ledger(tmp_path / "new").enter("s", number, phase)
    with pytest.raises(AggregationRefused):
        ledger.enter("s", 4, Phase.ADVERTISE)
    ledger.enter("other", 0, Phase.ADVERTISE)
    ledger.enter("other", 3, Phase.ADVERTISE)  # the round before was given up
    with pytest.raises(AggregationRefused, match="none has begun"):
        ledger.enter("third", 1, Phase.SHARE)


def test_a_new_ledger_is_on_the_disk_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut after the first entry must not take the file: its folder, and the folder's own name, are
    synced too.
    """
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.fstat(fd).st_ino), real(fd))[1])
    ledger = Ledger(tmp_path / "new")
    ledger.enter("s", 1, Phase.ADVERTISE)
    (book,) = (tmp_path / "new").iterdir()
    assert set(synced) == {p.stat().st_ino for p in (book, tmp_path / "new", tmp_path)}
    synced.clear()
    ledger.enter("s", 1, Phase.SHARE)
    assert synced == [book.stat().st_ino]


def test_a_torn_entry_ends_the_session(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.enter("s", 1, Phase.ADVERTISE)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes() + b"\x01")
    with pytest.raises(AggregationRefused, match="ends within an entry"):
        ledger.enter("s", 2, Phase.ADVERTISE)


def test_of_many_processes_one_may_answer(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from mpc.errors import AggregationRefused
from protocols.aggregation.one_server.ledger import Ledger
from protocols.aggregation.messages import Phase
sys.stdin.readline()
won = 0
for number in range(200):
    try:
        Ledger(Path({str(tmp_path)!r})).enter("s", number, Phase.ADVERTISE)
        won += 1
    except AggregationRefused:
        pass
print(won)
"""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    won = [int(racer.communicate(timeout=600)[0]) for racer in racers]
    (path,) = tmp_path.iterdir()
    assert sum(won) == len(path.read_bytes()) // 16 <= 200 and max(won) > 0
    numbers = np.frombuffer(path.read_bytes(), np.uint64)[::2].tolist()
    assert numbers == sorted(set(numbers)) and numbers[-1] == 199


def agreement(n: int = 6, **more) -> Agreement:
    return Agreement(
        directory(n),
        "s",
        **{
            "clip": 3.0,
            "weight": 500,
            "metrics": {"train": ("loss", "size"), "evaluate": ("loss",)},
            "dropout": 0.1,
            **more,
        },
    )


@pytest.mark.parametrize("weight", [1, 500])
@pytest.mark.parametrize(("kind", "dimension"), [("train", 300), ("evaluate", 0)])
def test_weighted_means(kind: str, dimension: int, weight: int) -> None:
    a = agreement(weight=weight)
    rng = np.random.default_rng(1)
    terms = a.terms(kind, "x", 1, dimension)
    updates = {name: rng.normal(size=dimension) / 10 for name in a.directory.names}
    weights = {name: int(rng.integers(1, weight + 1)) for name in updates}
    metrics = {
        name: {"loss": float(rng.normal()), "size": float(rng.uniform(-METRIC, METRIC))} for name in updates
    }
    clients = {
        name: Client(
            terms,
            name,
            KEYS[name],
            *a.encode(kind, updates[name], weights[name], metrics[name], stream(i, "updates")),
        )
        for i, name in enumerate(updates)
    }
    mean = a.decode(
        kind, dimension, aggregate(terms, clients, lambda name, phase: name != "c002" or phase < Phase.MASK)
    )
    there = [name for name in updates if name != "c002"]
    total = sum(weights[n] for n in there)
    assert mean.clients == tuple(there) and "c002" in mean.faults
    for name in a.metrics[kind]:
        assert (
            abs(mean.metrics[name] - sum(weights[n] * metrics[n][name] for n in there) / total)
            < 5 * RESOLUTION * weight / total
        )
    assert list(mean.metrics) == list(a.metrics[kind])
    expected = sum((weights[n] * updates[n] for n in there), np.zeros(dimension)) / total
    bound = a.codec(dimension).error(5, total if weight > 1 else None) * 6 if dimension else 0.0
    assert mean.update.shape == (dimension,) and np.abs(mean.update - expected).max(initial=0) <= bound < 1e-3


def test_metrics_at_their_bound_do_not_wrap() -> None:
    a = agreement(metrics={"train": ("loss",)})
    for value in (METRIC, -METRIC):
        side = sum(
            (a.encode("train", np.zeros(1), 500, {"loss": value}, stream(0, "updates"))[1] for _ in range(6)),
            np.zeros(2, np.uint64),
        )
        vector = (np.zeros(1, np.int64), [6 * 500])
        mean = a.decode(
            "train", 1, Sum(np.concatenate(vector).astype(np.uint32), side, a.directory.names, {})
        )
        assert mean.metrics["loss"] == value


@pytest.mark.parametrize(
    ("weight", "metrics", "what"),
    [
        (0, {"loss": 1.0, "size": 1}, "weight"),
        (501, {"loss": 1.0, "size": 1}, "weight"),
        (1, {"loss": 1.0}, "'size'"),
        (1, {"loss": float("nan"), "size": 1}, "'loss'"),
        (1, {"loss": METRIC * 1.001, "size": 1}, "'loss'"),
        (1, {"loss": [1.0], "size": 1}, "'loss'"),
    ],
)
def test_what_cannot_be_encoded(weight: int, metrics: dict, what: str) -> None:
    with pytest.raises(EncodingError, match=what):
        agreement().encode("train", np.zeros(3), weight, metrics, stream(0, "updates"))


def test_agreements_that_cannot_be() -> None:
    noise = Noise(5.0, 1e-3, 2)
    for wrong in (
        {"clip": 0.0},
        {"clip": float("inf")},
        {"weight": 0},
        {"weight": 1 << 40},
        {"noise": noise},
        {"noise": noise, "weight": 1},
    ):
        with pytest.raises(ConfigError):
            agreement(**wrong)
    with pytest.raises(ConfigError, match="says nothing of tasks of the kind 'query'"):
        agreement().terms("query", "x", 1, 1)


def test_everything_agreed_is_in_the_terms() -> None:
    terms = {
        agreement(**more).terms(kind, about, number, dimension).digest
        for more in (
            {},
            {"clip": 2.0},
            {"weight": 499},
            {"metrics": {"train": ("loss",), "evaluate": ("size", "loss")}},
        )
        for kind in ("train", "evaluate")
        for about in ("x", "y")
        for number in (1, 2)
        for dimension in (3, 4)
    }
    assert len(terms) == 4 * 2 * 2 * 2 * 2
    noisy = [
        agreement(weight=1, metrics={"train": ()}, noise=noise).terms("train", "x", 1, 3)
        for noise in (None, Noise(5.0, 1e-3, 2), Noise(6.0, 1e-3, 2))
    ]
    assert len({t.digest for t in noisy}) == 3


def test_an_update_with_noise() -> None:
    """Of the stated size, with as many clients in a sum as that takes."""
    a = agreement(
        10,
        weight=1,
        metrics={"train": (), "evaluate": ()},
        noise=Noise(5.0, 1e-3, 2),
        dropout=0.1,
        corrupt=0.1,
    )
    terms, codec = a.terms("train", "x", 1, 3000), a.mechanism(3000)
    assert codec is not None and (codec.survivors, terms.least) == (8, 9) and a.mechanism(0) is None
    x = np.full(3000, 0.01)
    clients = {
        name: Client(terms, name, KEYS[name], *a.encode("train", x, 1, {}, stream(i, "updates")))
        for i, name in enumerate(a.directory.names)
    }
    mean = a.decode("train", 3000, aggregate(terms, clients))
    assert abs((mean.update - x).std() / codec.error(10) - 1) < 0.1


def test_an_impossible_weight_is_seen() -> None:
    a = agreement(metrics={"evaluate": ()})
    with pytest.raises(EncodingError, match="impossible"):
        a.decode(
            "evaluate", 0, Sum(np.zeros(1, np.uint32), np.array([3001], np.uint64), a.directory.names, {})
        )
