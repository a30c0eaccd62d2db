"""Noise and metrics in a plan: server and clients as threads of this process, over real TLS, with what they
keep on disk.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_aggregate_cli import deployment

from mpc.errors import AggregationFailed, AggregationRefused, BudgetSpent, ConfigError, EncodingError
from protocols.aggregation.metrics import RESOLUTION
from protocols.aggregation.one_server import bounds
from protocols.aggregation.one_server.noise import Account, Noise
from protocols.aggregation.service import plan as plans
from protocols.aggregation.service.member import Member
from protocols.aggregation.service.server import Outcome, Service

CLIENTS = [f"clinic-{i}" for i in range(4)]
PRIVACY = "{epsilon = 9.0, delta = 1e-3, rounds = 2}"


def made(folder: Path, privacy: str = "", **fields: object) -> Path:
    """A session's files; what is said of privacy comes as TOML."""
    config = deployment(
        folder,
        CLIENTS,
        {"advertise": 30.0},
        **{"dropout": 0.0, "clip": 1.0, "step": None, "threshold": 3, "attempts": 1, **fields},
    )
    plan = folder / "plan.toml"
    plan.write_text(
        plan.read_text().replace("[deadlines]", f"privacy = {privacy}\n[deadlines]")
        if privacy
        else plan.read_text()
    )
    return config


def changed(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def rounds(
    server: plans.Own, folder: Path, given: Callable[[str], list[dict[str, Any]]]
) -> tuple[list[Outcome | Exception], dict[str, list[Any]]]:
    """Run the server to its end, and each client through its rounds; outcomes, and what each client got or
    raised.
    """

    def client(name: str) -> list[Any]:
        out: list[Any] = []
        try:
            with Member(plans.load(folder / f"{name}.toml")) as member:
                for arguments in given(name):
                    out.append((member.round(**arguments), member.last))
        except Exception as error:  # what a client raises is its result here
            out.append(error)
        return out

    outcomes: list[Outcome | Exception] = []
    with ThreadPoolExecutor(len(CLIENTS)) as pool:
        with Service(server) as service:
            futures: dict[str, Future[list[Any]]] = {name: pool.submit(client, name) for name in CLIENTS}
            try:
                outcomes.extend(service.rounds())
            except (BudgetSpent, AggregationFailed) as error:
                outcomes.append(error)
        return outcomes, {name: future.result() for name, future in futures.items()}


@pytest.mark.parametrize("rotate", [False, True])
def test_means_have_the_noise_of_the_plan_and_a_spent_budget_ends_it(tmp_path: Path, rotate: bool) -> None:
    """Two rounds are paid for and the third does not begin, neither then nor after a restart of everybody."""
    config = made(tmp_path, PRIVACY, dimension=2000, rounds=3, rotate=rotate)
    codec = plans.load(config).plan.noise
    assert codec is not None and codec.rounds == 2
    x = np.random.default_rng(1).normal(size=2000) / 100  # norm 0.45: not clipped
    outcomes, got = rounds(plans.load(config), tmp_path, lambda name: [{"vector": x}] * 3)
    first, second, end = outcomes
    assert isinstance(first, Outcome) and isinstance(second, Outcome) and isinstance(end, BudgetSpent)
    for outcome in (first, second):
        assert outcome.clients == tuple(CLIENTS) and outcome.metrics == {}
        assert abs((outcome.mean - x).std() / codec.error(4) - 1) < 0.1
    assert abs(np.corrcoef(first.mean - x, second.mean - x)[0, 1]) < 0.1
    for results in got.values():
        assert (results[0][0] == first.mean).all() and (results[1][0] == second.mean).all()
        assert isinstance(results[2], BudgetSpent) and "would bring the cost" in str(results[2])
    assert 8.9 < json.loads((tmp_path / "server-state/state.json").read_text())["done"][1]["spent"] <= 9.0
    with Service(plans.load(config)) as service, pytest.raises(BudgetSpent):
        next(service.rounds())
    assert json.loads((tmp_path / "server-state/state.json").read_text())["next"] == 3
    # with more of a budget, what was spent stays spent
    changed(tmp_path / "plan.toml", "epsilon = 9.0", "epsilon = 12.0")
    for name, path in (
        ("server", tmp_path / "server-state/budget.json"),
        ("clinic-0", tmp_path / "clinic-0.rounds.budget"),
    ):
        account = plans.load(tmp_path / f"{name}.toml").plan.account(path)
        assert account is not None and 8.9 < account.spent <= 9.0


def test_metrics_and_weights_travel_with_the_vectors(tmp_path: Path) -> None:
    config = made(tmp_path, dimension=3, weight=9, metrics=["loss", "accuracy"])
    weights = dict(zip(CLIENTS, (1, 2, 3, 9), strict=True))
    said = {name: {"loss": 1.5 * w, "accuracy": -w / 7} for name, w in weights.items()}
    (outcome,), got = rounds(
        plans.load(config),
        tmp_path,
        lambda name: [
            {"vector": np.full(3, weights[name] / 20), "weight": weights[name], "metrics": said[name]}
        ],
    )
    assert isinstance(outcome, Outcome)
    for metric, value in outcome.metrics.items():
        assert (
            abs(value - sum(w * said[name][metric] for name, w in weights.items()) / 15)
            < 6 * RESOLUTION * 9 / 15
        )
    exact = sum(w * w / 20 for w in weights.values()) / 15
    assert 0 < np.abs(outcome.mean - exact).max() < 6 * outcome.error < 1e-2
    ((_, facts),) = got["clinic-2"]
    assert (
        facts.metrics == outcome.metrics
        and list(facts.metrics) == ["loss", "accuracy"]
        and facts.error == outcome.error
    )
    assert (
        json.loads((tmp_path / "server-state/state.json").read_text())["done"][0]["metrics"]
        == outcome.metrics
    )


def test_a_client_without_its_metrics_says_so_and_the_others_go_on(tmp_path: Path) -> None:
    config = made(tmp_path, dimension=3, metrics=["loss"], threshold=2)
    (outcome,), got = rounds(
        plans.load(config),
        tmp_path,
        lambda name: [{"vector": np.ones(3) / 9, "metrics": {} if name == "clinic-1" else {"loss": 2.0}}],
    )
    assert isinstance(got["clinic-1"][0], EncodingError) and "'loss'" in str(got["clinic-1"][0])
    assert (
        isinstance(outcome, Outcome)
        and outcome.metrics == {"loss": 2.0}
        and "clinic-1" not in outcome.clients
    )


@pytest.mark.parametrize(
    "change",
    [
        ("clip = 1.0", "clip = 1.5"),
        ("epsilon = 9.0", "epsilon = 90.0"),
        ("rounds = 2", 'rounds = 2, law = "skellam"'),
    ],
)
def test_another_plan_at_the_server_finds_no_client(tmp_path: Path, change: tuple[str, str]) -> None:
    """Also where the plans differ in nothing but scale or noise."""
    server = plans.load(made(tmp_path, PRIVACY, dimension=3))
    changed(tmp_path / "plan.toml", *change)
    (outcome,), got = rounds(server, tmp_path, lambda name: [{"vector": np.zeros(3)}])
    assert isinstance(outcome, AggregationFailed)
    assert all(
        isinstance(error, AggregationRefused) and "differ in session" in str(error)
        for (error,) in got.values()
    )


@pytest.mark.parametrize(
    ("fields", "privacy", "words"),
    [
        ({"weight": 3}, PRIVACY, "'weight' would take more noise"),
        ({"peak": 1.0}, PRIVACY, "'peak' does not bound"),
        ({"metrics": ["loss"]}, PRIVACY, "shown without noise"),
        ({}, "{epsilon = 9.0}", "'privacy.delta' is missing"),
        ({}, '{epsilon = 9, delta = 0.1, law = "cauchy"}', "no noise of the law 'cauchy'"),
        ({}, "{epsilon = 9.0, delta = 1.5}", "δ must lie"),
        ({"dropout": 0.9}, PRIVACY, "none is left to hide"),
        ({"metrics": ["a", "a"]}, "", "names of their own"),
    ],
)
def test_plans_that_cannot_be(tmp_path: Path, fields: dict[str, Any], privacy: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        plans.load(made(tmp_path, privacy, **{"corrupt": 0.1, **fields}))


def test_what_ones_own_degree_and_threshold_are_worth_is_said(tmp_path: Path) -> None:
    """By the server as it begins: of 40 clients, a tenth lost, 4 of 6 neighbours are too many to ask for."""
    folder, names = tmp_path, [f"c{i:02}" for i in range(40)]
    config = deployment(folder, names, degree=6, threshold=4, corrupt=0.0, dropout=0.1)
    said: list[dict[str, Any]] = []
    with Service(plans.load(config), said.append) as service:
        object.__setattr__(service.plan, "rounds", 0)
        assert list(service.rounds()) == []
    first, *_ = said
    assert (first["event"], first["neighbours"], first["threshold"], first["security_bits"]) == (
        "listening",
        6,
        4,
        128.0,
    )
    assert (
        first["rounds_lost"] == pytest.approx(bounds.lost(40, 6, 4, 0.1), rel=0.06)
        and 0.001 < first["rounds_lost"] < 1
    )


def test_an_account_pays_on_disk_and_keeps_sessions_apart(tmp_path: Path) -> None:
    path, codec = tmp_path / "budget", Noise(3.0, 1e-3, 4).codec(1.0, 10, 50, dropout=0.1, corrupt=0.1)
    assert codec.survivors == 8
    for turn in range(4):
        account = Account(path, "one", 3.0, 1e-3)
        account.check(codec)
        account.charge(codec)
        assert account.spent == pytest.approx(codec.cost(turn + 1))
    for attempt in (Account(path, "one", 3.0, 1e-3).check, Account(path, "one", 3.0, 1e-3).charge):
        with pytest.raises(BudgetSpent):
            attempt(codec)
    Account(path, "two", 3.0, 1e-3).charge(codec)
    assert Account(path, "two", 3.0, 1e-3).spent == pytest.approx(codec.cost(1))
    for broken in ("{", '{"one": [1, 2]}', "[]", '{"one": "x"}'):
        path.write_text(broken)
        with pytest.raises(ConfigError):
            Account(path, "one", 3.0, 1e-3)
