"""Federations: what a round gives beside plaintext, whoever drops out; budgets; and the example, trained for
real.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from mpc.errors import AggregationFailed, BudgetSpent, ConfigError, EncodingError
from protocols.aggregation.messages import Phase
from protocols.aggregation.metrics import RESOLUTION
from protocols.aggregation.one_server.federation import Federation
from protocols.privacy import Budget, DistributedDiscreteGaussian, DistributedSkellam, Encoding

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples/federated_learning"
NAMES = [f"client-{i}" for i in range(10)]
DIMENSION = 50


def updates(scale: float = 0.1, dimension: int = DIMENSION) -> dict[str, np.ndarray]:
    return dict(
        zip(NAMES, np.random.default_rng(1).normal(scale=scale, size=(len(NAMES), dimension)), strict=True)
    )


def silent_from(lost: dict[str, Phase]):
    return lambda name, phase: phase < lost.get(name, 99)


def private(rounds: int = 2, **more) -> DistributedDiscreteGaussian:
    return DistributedDiscreteGaussian(
        **{
            "epsilon": 6.0,
            "delta": 1e-3,
            "clip": 1.0,
            "clients": 10,
            "dimension": DIMENSION,
            "rounds": rounds,
            "dropout": 0.2,
        }
        | more
    )


# -- means ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [None, *Phase])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_mean_is_that_of_who_was_there(phase: Phase | None, weighted: bool) -> None:
    """Clipped, weighted, within the error that is stated; round after round."""
    # norms are about 0.7: some are clipped, some not
    vectors, clip = updates(), 0.6
    norms = [np.linalg.norm(v) for v in vectors.values()]
    assert min(norms) < clip < max(norms)
    weights = {name: 1 + 7 * i for i, name in enumerate(NAMES)} if weighted else None
    federation = Federation(
        NAMES, Encoding(DIMENSION, len(NAMES), clip=clip, step=1e-8, weight=64 if weighted else 1)
    )
    for lost in ("client-3", "client-8"):
        result = federation.mean(vectors, weights, silent_from({lost: phase} if phase else {}))
        there = [name for name in NAMES if name != lost or phase is None or phase > Phase.MASK]
        assert list(result.clients) == there and set(result.faults) == ({lost} if phase else set())
        clipped = [
            vectors[name] / max(1, norm / clip)
            for name, norm in zip(NAMES, norms, strict=True)
            if name in there
        ]
        exact = np.average(clipped, axis=0, weights=[weights[name] for name in there] if weights else None)
        assert result.error < 1e-8
        np.testing.assert_allclose(result.vector, exact, atol=7 * result.error, rtol=0)
        # and the error that is stated is not far off
        assert np.std(result.vector - exact) > result.error / 3


@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_travel_in_the_same_sum(weighted: bool) -> None:
    """Their means, weighted like the vectors, over who is in them."""
    weights = {name: 1 + 7 * i for i, name in enumerate(NAMES)} if weighted else None
    said = {name: {"loss": 0.3 * i, "accuracy": 1 / (1 + i)} for i, name in enumerate(NAMES)}
    federation = Federation(
        NAMES,
        Encoding(DIMENSION, len(NAMES), clip=1.0, weight=64 if weighted else 1),
        metrics=["loss", "accuracy"],
    )
    result = federation.mean(updates(), weights, silent_from({"client-3": Phase.MASK}), said)
    there = [name for name in NAMES if name != "client-3"]
    for metric in ("loss", "accuracy"):
        exact = np.average(
            [said[name][metric] for name in there],
            weights=[weights[name] for name in there] if weights else None,
        )
        total = sum(weights[name] for name in there) if weights else len(there)
        assert abs(result.metrics[metric] - exact) < 6 * RESOLUTION * 3 / 2 * (64 if weights else 1) / total
    with pytest.raises(EncodingError, match="client 'client-0': the metric 'loss' is agreed on"):
        federation.mean(updates(), weights)
    with pytest.raises(ConfigError, match="shown without noise"):
        Federation(NAMES, private(), metrics=["loss"])


def test_who_has_no_vector_does_not_come() -> None:
    vectors = updates()
    del vectors["client-5"]
    federation = Federation(NAMES, Encoding(DIMENSION, len(NAMES), clip=10.0))
    result = federation.mean(vectors)
    assert "client-5" in result.faults and "client-5" not in result.clients
    np.testing.assert_allclose(result.vector, np.mean(list(vectors.values()), axis=0), atol=1e-3)


def test_too_many_drop_outs_end_a_round_and_the_next_one_is_right() -> None:
    federation, vectors = Federation(NAMES, Encoding(DIMENSION, len(NAMES), clip=10.0)), updates()
    with pytest.raises(AggregationFailed, match="6 of 10 clients are missing"):
        federation.mean(vectors, speaks=silent_from(dict.fromkeys(NAMES[:6], Phase.MASK)))
    np.testing.assert_allclose(
        federation.mean(vectors).vector, np.mean(list(vectors.values()), axis=0), atol=1e-3
    )
    # a number serves one round, whatever came of it
    assert federation.terms.round == 2


# -- privacy --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", [DistributedDiscreteGaussian, DistributedSkellam])
def test_the_sum_has_the_noise_that_is_stated(law) -> None:
    codec = law(epsilon=6.0, delta=1e-3, clip=1.0, clients=10, dimension=4000, dropout=0.2)
    federation, vectors = Federation(NAMES, codec), updates(0.01, 4000)
    result = federation.mean(vectors, speaks=silent_from({"client-1": Phase.SHARE}))
    noise = result.vector - np.mean([vectors[name] for name in result.clients], axis=0)
    assert len(result.clients) == 9 and result.error == codec.error(9) > 0.05
    # six standard deviations of an estimate from 4,000
    assert abs(noise.std() / result.error - 1) < 0.07


def test_a_sum_with_too_little_noise_is_not_opened() -> None:
    """Of ten shares of noise eight are enough and one may be known to a colluding client: nine clients, or
    none.
    """
    federation = Federation(NAMES, private(rounds=3))
    assert (federation.codec.survivors, federation.terms.least) == (8, 9)
    federation.mean(updates(), speaks=silent_from({"client-1": Phase.MASK}))
    with pytest.raises(AggregationFailed):
        federation.mean(updates(), speaks=silent_from({"client-1": Phase.MASK, "client-2": Phase.MASK}))
    with pytest.raises(ConfigError, match=r"make it with dropout=0.2 or more"):
        Federation(NAMES, private(dropout=0.1))


def test_a_budget_that_is_spent_ends_it_before_the_round() -> None:
    asked: list[str] = []

    def speaks(name: str, phase: Phase) -> bool:
        asked.append(name)
        return True

    federation = Federation(NAMES, private(rounds=2))
    for _ in range(2):
        federation.mean(updates(), speaks=speaks)
    assert 5.9 < federation.budget.spent <= 6.0 and len(asked) == 2 * 5 * len(NAMES)
    with pytest.raises(BudgetSpent):
        federation.mean(updates(), speaks=speaks)
    assert len(asked) == 2 * 5 * len(NAMES) and 5.9 < federation.budget.spent <= 6.0


def test_a_budget_can_be_shared_and_is_charged_for_rounds_that_fail_but_not_for_bad_input() -> None:
    budget = Budget(20.0, 1e-3)
    first, second = Federation(NAMES, private(), budget), Federation(NAMES, private(), budget)
    first.mean(updates())
    one = budget.spent
    with pytest.raises(AggregationFailed):
        second.mean(updates(), speaks=silent_from(dict.fromkeys(NAMES[:5], Phase.SHARE)))
    two = budget.spent
    assert 0 < one < two
    with pytest.raises(EncodingError, match=r"client-4.*NaN"):
        second.mean(updates() | {"client-4": np.full(DIMENSION, np.nan)})
    assert budget.spent == two


def test_what_is_refused() -> None:
    encoding = Encoding(DIMENSION, len(NAMES), clip=1.0, weight=9)
    federation = Federation(NAMES, encoding)
    with pytest.raises(ConfigError, match="'mallory' is not in the directory"):
        federation.mean({"mallory": np.zeros(DIMENSION)})
    for weights in ({}, dict.fromkeys(NAMES, 10), dict.fromkeys(NAMES, 1.5)):
        with pytest.raises(
            EncodingError, match="client 'client-0': a weight must be a whole number from 1 to 9"
        ):
            federation.mean(updates(), weights)
    with pytest.raises(EncodingError, match=r"client 'client-2': a vector has shape \(3,\)"):
        federation.mean(updates() | {"client-2": np.zeros(3)})
    with pytest.raises(ConfigError, match="a codec for 10 clients cannot hold the sum of 11"):
        Federation([*NAMES, "one more"], encoding)
    with pytest.raises(ConfigError, match="counts all clients alike"):
        Federation(NAMES, private()).mean(updates(), dict.fromkeys(NAMES, 1))
    with pytest.raises(ConfigError, match="nothing to charge"):
        Federation(NAMES, encoding, Budget(1.0, 1e-3))


# -- the example ----------------------------------------------------------------------------------------


@pytest.fixture
def example(monkeypatch):
    """The example's modules, by name."""
    monkeypatch.syspath_prepend(FOLDER)
    names = ("train", "digits", "softmax", "network")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)

    def load(name: str):
        return __import__(name)

    yield load
    for name in names:
        sys.modules.pop(name, None)


def test_the_digits_are_scikit_learns_and_every_one_is_somewhere_once(example) -> None:
    from sklearn.datasets import load_digits

    clients, (x, y) = example("digits").load(100)
    sizes = [len(mine) for _, mine in clients.values()]
    assert len(clients) == 100 and min(sizes) == 1 and max(sizes) > 5 * np.median(sizes)
    ours = np.concatenate([np.column_stack(pair) for pair in (*clients.values(), (x, y))])
    theirs = np.column_stack([load_digits().data / 16, load_digits().target])
    assert sorted(map(tuple, ours)) == sorted(map(tuple, theirs))


def test_softmaxs_update_is_a_step_down_the_loss(example) -> None:
    """Against the difference quotient of the loss, written another way."""
    softmax, rng = example("softmax"), np.random.default_rng(2)
    x, y, theta = rng.random((6, 64)), rng.integers(0, 10, 6), rng.normal(size=softmax.size)

    def loss(theta):
        score = x @ theta[:640].reshape(64, 10) + theta[640:]
        return np.mean([np.logaddexp.reduce(row) - row[label] for row, label in zip(score, y, strict=True)])

    step = softmax.update(theta, x, y, 1, 0.5)
    for j in (0, 3, 77, 644, 649):
        e = np.eye(softmax.size)[j] * 1e-5
        assert abs(step[j] + 0.5 * (loss(theta + e) - loss(theta - e)) / 2e-5) < 1e-8


@pytest.mark.parametrize("method", ["fedavg", "fedsgd"])
@pytest.mark.parametrize("model_name", ["softmax", "network"])
def test_secure_training_equals_plain_training_and_learns(example, model_name, method) -> None:
    if model_name == "network":
        pytest.importorskip("torch")
    model, train, digits = example(model_name), example("train"), example("digits")
    clients, held_out = digits.load(12)
    rng = np.random.default_rng(3)
    (plain, secure, noisy), _ = train.trainings(model, clients, epsilon=100.0, rounds=4)
    for _ in range(5):
        speaks = train.drop_outs(rng, list(clients))
        for run in (plain, secure, noisy):
            if not run.end:
                run.round(model, model.METHODS[method], clients, held_out, speaks)
    # A coordinate of a mean is off by 1e-4 at most, by rounding, which is right on average; training carries
    # that on.
    np.testing.assert_allclose(secure.theta, plain.theta, rtol=0, atol=1e-3)
    assert np.abs(plain.theta - model.start()).max() > 0.05
    assert len(held_out[1]) * max(np.abs(np.subtract(plain.accuracy, secure.accuracy))) < 1.5  # one digit
    assert max(plain.accuracy) > model.accuracy(model.start(), *held_out) + 0.1
    assert len(noisy.accuracy) == 4 and noisy.end == "budget spent"
    assert np.abs(noisy.theta - plain.theta).max() > 0.01


def test_a_training_converges(example) -> None:
    """With plain means, which are fast."""
    model, train, digits = example("softmax"), example("train"), example("digits")
    clients, held_out = digits.load(100)
    run = train.trainings(model, clients, 8.0, 25)[0][0]
    rng = np.random.default_rng(3)
    while not run.end:
        run.round(model, model.METHODS["fedavg"], clients, held_out, train.drop_outs(rng, list(clients)))
    assert run.end == "converged" and 10 < len(run.accuracy) < 40 and run.accuracy[-1] > 0.9


def script(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, FOLDER / "train.py", *map(str, args)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_script_prints_a_table_and_plots_it(tmp_path) -> None:
    plot = ["--plot", tmp_path / "accuracy.png"] if find_spec("matplotlib") else []
    done = script("--clients", 10, "--rounds", 3, "--paid", 2, *plot)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"│ \d+ +│ ([\d.]+)% +│ ([\d.]+)% +│ (.+?) +│", done.stdout)
    assert len(rows) == 3 and rows[2][2] == "budget spent" and float(rows[2][0]) > 50
    assert re.search(r"largest difference \d\.\de-(05|04)", done.stdout)
    assert re.search(r"ε = 8: (7\.9\d|8\.00) of it used, at δ = 0.001", done.stdout)
    assert not plot or (tmp_path / "accuracy.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is there")
def test_the_script_says_that_torch_is_missing() -> None:
    done = script("--model", "network")
    assert done.returncode == 1 and "pip install 'mpc-engine[torch]'" in done.stderr


def test_the_readmes_training_runs() -> None:
    """On data of ten clients that a line explains."""
    text = (ROOT / "README.md").read_text()
    (block,) = [b for b in re.findall(r"```python\n(.*?)```", text, re.S) if "Federation" in b]
    rng = np.random.default_rng(4)
    hidden, data = rng.normal(size=5), {}
    for i in range(10):
        x = rng.normal(size=(5 + 3 * i, 5))
        data[f"client-{i}"] = (x, x @ hidden)
    scope: dict = {"data": data}
    exec(block, scope)
    np.testing.assert_allclose(scope["theta"], hidden, atol=1e-3)
