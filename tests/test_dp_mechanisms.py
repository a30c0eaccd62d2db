"""Encoding, noise and accounting together: the noise in the sum is what the stated ε needs, also after
drop-outs.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from dp_accounting import GaussianDpEvent, NeighboringRelation, SampledWithoutReplacementDpEvent
from dp_accounting.rdp import RdpAccountant
from scipy import stats

from mpc.errors import BudgetSpent, ConfigError, EncodingError
from mpc.prg import Stream
from protocols.privacy import (
    Budget,
    DistributedDiscreteGaussian,
    DistributedSkellam,
    JointDiscreteGaussian,
    samplers,
)
from protocols.privacy.mechanisms import Distributed

KINDS = [DistributedDiscreteGaussian, DistributedSkellam]
SEED = b"rotation" * 4


def make(kind: type[Distributed], **kwargs: object) -> Distributed:
    return kind(
        **{
            "epsilon": 2.0,
            "delta": 1e-5,
            "clip": 1.0,
            "clients": 40,
            "dimension": 200,
            "rounds": 10,
            "dropout": 0.25,
        }
        | kwargs
    )  # type: ignore[arg-type]


def total(mechanism: Distributed, vectors: np.ndarray) -> np.ndarray:
    out = np.zeros(mechanism.encoding.length, np.uint32)
    for i, x in enumerate(vectors):
        out += mechanism.encode(x, Stream(bytes(32), f"client {i}"))
    return out & np.uint32(2**mechanism.encoding.bits - 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"rotation": SEED},
        {"population": 4000},
        {"dimension": 1, "clients": 1000},
        {"dimension": 5000, "clients": 3, "dropout": 0.4},
        {"epsilon": 30.0, "rounds": 1},
        {"epsilon": 0.05},
        {"step": 0.5},
    ],
    ids=str,
)
def test_the_stated_epsilon_is_what_the_noise_gives(kind: type[Distributed], kwargs: dict) -> None:
    """Recomputed from what is sent: sensitivity and variance in steps, as a Gaussian's by dp-accounting."""
    mechanism = make(kind, **kwargs)
    assert 0.999 * mechanism.epsilon < mechanism.cost() <= mechanism.epsilon
    apart = 2 if mechanism.population else 1
    z = math.sqrt(mechanism.survivors * float(mechanism.variance) / mechanism.limit) / apart
    if mechanism.population:
        accountant = RdpAccountant(neighboring_relation=NeighboringRelation.REPLACE_ONE)
        accountant.compose(
            SampledWithoutReplacementDpEvent(mechanism.population, mechanism.clients, GaussianDpEvent(z)),
            mechanism.rounds,
        )
    else:
        accountant = RdpAccountant()
        accountant.compose(GaussianDpEvent(z), mechanism.rounds)
    assert mechanism.cost() == pytest.approx(accountant.get_epsilon(mechanism.delta), rel=0.05)
    assert mechanism.cost() >= accountant.get_epsilon(mechanism.delta) * 0.999


@pytest.mark.parametrize("kind", KINDS)
def test_the_noise_of_a_client_is_its_share(kind: type[Distributed]) -> None:
    """A zero vector is sent as noise alone; its variance is the stated one, and so is that of a sum."""
    mechanism = make(kind, dimension=200_000)
    half, mask = 1 << (mechanism.encoding.bits - 1), (1 << mechanism.encoding.bits) - 1
    shares = [
        ((mechanism.encode(np.zeros(200_000), Stream(bytes(32), str(i))).astype(np.int64) + half) & mask)
        - half
        for i in range(4)
    ]
    v = float(mechanism.variance)
    for count in (1, 4):
        noise = np.sum(shares[:count], axis=0)
        chi2 = (noise.astype(float) ** 2).sum() / (count * v)
        assert abs(chi2 - 200_000) < 4.5 * math.sqrt(2 * 200_000)
        assert abs(noise.mean()) < 4.5 * math.sqrt(count * v / 200_000)
        assert stats.kstest(noise[:20_000] / math.sqrt(count * v), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(shares[0], shares[1])[0, 1]) < 0.02


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rotation", [None, SEED])
def test_the_mean_comes_out(kind: type[Distributed], rotation: bytes | None) -> None:
    mechanism = make(kind, dimension=1000, rotation=rotation, epsilon=20.0)
    x = np.random.default_rng(3).normal(size=(40, 1000))
    clipped = x / np.linalg.norm(x, axis=1, keepdims=True)
    for count in (30, 40):
        mean = mechanism.decode(total(mechanism, x[:count]), count)
        off = mean - clipped[:count].mean(axis=0)
        assert 0.9 * mechanism.error(count) < math.sqrt((off**2).mean()) < 1.1 * mechanism.error(count)


@pytest.mark.parametrize("kind", KINDS)
def test_drop_outs_are_paid_for_beforehand(kind: type[Distributed]) -> None:
    """A third fewer clients: a third more noise each.  And a sum with fewer than the stated number is
    refused.
    """
    full, partial = make(kind, clients=90, dropout=0.0), make(kind, clients=90, dropout=1 / 3)
    assert (full.survivors, partial.survivors) == (90, 60)
    assert float(partial.variance / full.variance) == pytest.approx(1.5, rel=0.01)
    assert partial.cost() == pytest.approx(full.cost(), rel=1e-3)
    some = np.zeros(partial.encoding.length, np.uint32)
    assert partial.decode(some, 60).shape == (200,)
    with pytest.raises(EncodingError, match="noise of 59 clients, where 60 are needed"):
        partial.decode(some, 59)


@pytest.mark.parametrize("kind", KINDS)
def test_the_sensitivity_holds_for_what_is_rounded(kind: type[Distributed]) -> None:
    mechanism = make(kind)
    stream = Stream(bytes(32), "norm")
    for x in (np.full(200, 9.0), np.eye(200)[7], np.full(200, 0.5 * mechanism.step)):
        for _ in range(50):
            assert (
                mechanism.encoding.integers(x, stream, limit=mechanism.limit) ** 2
            ).sum() <= mechanism.limit
    assert mechanism.limit >= (1.0 / mechanism.step) ** 2


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sent_was_rounded_within_the_limit(
    kind: type[Distributed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without noise, and with a limit that free rounding breaks half of the time."""
    mechanism, x, stream = make(kind), np.full(200, 0.03), Stream(bytes(32), "sent")
    free = [int((mechanism.encoding.integers(x, stream) ** 2).sum()) for _ in range(41)]
    object.__setattr__(mechanism, "limit", sorted(free)[20])
    monkeypatch.setattr(samplers, "sample", lambda law, count, stream: np.zeros(count, np.int64))
    half = 1 << (mechanism.encoding.bits - 1)
    for _ in range(40):
        sent = ((mechanism.encode(x, stream).astype(np.int64) + half) & (2 * half - 1)) - half
        assert (sent**2).sum() <= mechanism.limit


@pytest.mark.parametrize("kind", KINDS)
def test_a_budget_is_charged_by_mechanism(kind: type[Distributed]) -> None:
    mechanism, budget = make(kind, rounds=5), Budget(2.0, 1e-5)
    for _ in range(5):
        budget.charge(mechanism.mechanism, sampling=mechanism.sampling)
    assert budget.spent == pytest.approx(mechanism.cost()) and mechanism.cost(1) < mechanism.cost(5)
    with pytest.raises(BudgetSpent):
        budget.charge(mechanism.mechanism, sampling=mechanism.sampling)


def test_noise_of_servers_is_one_share_however_many_take_part() -> None:
    """As much as all the clients' shares at the least, and no more with more of them; ε as of a Gaussian, and
    a little for the distance.
    """
    arguments = dict(epsilon=2.0, delta=1e-5, clip=1.0, clients=40, dimension=200, rounds=10)
    joint, shared = JointDiscreteGaussian(**arguments), DistributedDiscreteGaussian(**arguments, dropout=0.25)  # type: ignore[arg-type]
    assert (
        float(joint.variance) == pytest.approx(float(30 * shared.variance), rel=1e-3)
        and joint.encoding.noise < shared.encoding.noise
    )
    assert (joint.error(40) / shared.error(40)) ** 2 == pytest.approx(30 / 40, rel=0.01)
    accountant = RdpAccountant()
    accountant.compose(GaussianDpEvent(math.sqrt(float(joint.variance) / joint.limit)), 10)
    assert accountant.get_epsilon(1e-5) <= joint.cost() <= 2.0 and joint.cost() == pytest.approx(
        accountant.get_epsilon(1e-5), rel=1e-3
    )
    assert joint.decode(np.zeros(200, np.uint32), 1).shape == (200,)
    with pytest.raises(EncodingError, match="too wide to draw together"):
        JointDiscreteGaussian(**arguments | {"step": 1e-6})  # type: ignore[arg-type]


def test_parameters() -> None:
    mechanism = make(DistributedSkellam, rotation=SEED)
    assert isinstance(mechanism.variance, Fraction) and "rotation" not in repr(mechanism)
    assert mechanism.encoding.bits <= 20
    for dropout in (-0.1, 1.0, math.nan):
        with pytest.raises(ConfigError, match="dropout is a share"):
            make(DistributedSkellam, dropout=dropout)
    for clip in (0.0, math.inf, math.nan):
        with pytest.raises(ConfigError, match="clip bounds the L2 norm"):
            make(DistributedSkellam, clip=clip)
    with pytest.raises(ConfigError, match="cannot draw"):
        make(DistributedSkellam, population=39)
    with pytest.raises(ConfigError, match="δ must lie"):
        make(DistributedSkellam, delta=0.0)
    with pytest.raises(EncodingError, match="could need"):
        make(DistributedDiscreteGaussian, step=1e-9)
    for kind in KINDS:
        with pytest.raises(EncodingError, match="too wide to sample"):  # before anything is sent
            make(kind, step=3e-6, clients=3)
