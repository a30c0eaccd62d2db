"""The accountants against known values, and against divergences computed directly from the probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from dp_accounting.rdp import rdp_privacy_accountant
from scipy import integrate, special, stats

from mpc.errors import BudgetSpent, ConfigError
from protocols.privacy import (
    Budget,
    DiscreteGaussians,
    Gaussian,
    PoissonSampling,
    Skellam,
    WithoutReplacement,
    epsilon,
    noise_for,
)
from protocols.privacy.accounting import ORDERS, Mechanism, convert, curve

DPSGD = {"rounds": 1000, "delta": 1e-5, "sampling": PoissonSampling(0.01)}


# -- known values ---------------------------------------------------------------------------------------


def test_known_values() -> None:
    assert epsilon(Gaussian(1.1), **DPSGD) == pytest.approx(1.7118, abs=5e-5)
    assert epsilon(Gaussian(1.1), **DPSGD, method="pld") == pytest.approx(1.5154, abs=5e-5)
    assert epsilon(
        Gaussian(1.1), rounds=1000, delta=1e-5, sampling=WithoutReplacement(100, 10_000)
    ) == pytest.approx(3.190, abs=5e-4)


def test_a_gaussian_by_its_closed_form() -> None:
    """δ(ε) = Φ(1/2s − εs) − e^ε·Φ(−1/2s − εs), s = z/√rounds [Balle, Wang 2018];
    RDP is above it, PLD on it.
    """
    s, delta = 8 / math.sqrt(20), 1e-6

    def spent(e: float) -> float:
        return float(special.ndtr(1 / (2 * s) - e * s) - math.exp(e) * special.ndtr(-1 / (2 * s) - e * s))

    pld = epsilon(Gaussian(8), rounds=20, delta=delta, method="pld")
    assert spent(pld) <= delta * 1.0001 and spent(pld - 1e-3) > delta
    assert pld < epsilon(Gaussian(8), rounds=20, delta=delta) < 1.1 * pld


@pytest.mark.parametrize("order", [1.5, 2, 2.5, 4, 9])
def test_a_sampled_gaussian_by_integration(order: float) -> None:
    z, q = 0.9, 0.05

    def ratio(x: float) -> float:
        return 1 - q + q * math.exp((2 * x - 1) / (2 * z * z))

    def moment(power: float) -> float:
        return float(
            integrate.quad(lambda x: stats.norm.pdf(x, 0, z) * ratio(x) ** power, -15, 25, limit=400)[0]
        )

    true = math.log(max(moment(order), moment(1 - order))) / (order - 1)
    mine = curve(Gaussian(z), PoissonSampling(q))[np.flatnonzero(order == ORDERS)[0]]
    assert mine == pytest.approx(true, rel=1e-6) if order == int(order) else true < mine < 1.7 * true


@pytest.mark.parametrize("distance", [1e-9, 1e-7, 4e-6])
def test_noise_that_is_not_quite_its_law(distance: float) -> None:
    """δ − (1 + e^ε)·distance is what is left of δ; in a budget it adds up; and where nothing is left there is
    no ε.
    """
    exact, near = (DiscreteGaussians(100.0, 1, 4.0, 10, d) for d in (0.0, distance))
    cost = epsilon(near, delta=1e-3, rounds=5)
    assert cost == pytest.approx(
        epsilon(exact, delta=1e-3 - (1 + math.exp(cost)) * 5 * distance, rounds=5), rel=1e-9
    )
    assert cost > epsilon(exact, delta=1e-3, rounds=5)
    budget = Budget(9.0, 1e-3)
    for _ in range(5):
        budget = Budget(9.0, 1e-3, budget.state)
        budget.charge(near)
    assert budget.spent == pytest.approx(cost)
    assert epsilon(DiscreteGaussians(100.0, 1, 4.0, 10, 1e-4), delta=1e-3, rounds=5) == math.inf


# -- divergences of our own curves ----------------------------------------------------------------------


def log_skellam(variance: float, reach: int) -> np.ndarray:
    k = np.abs(np.arange(-reach, reach + 1))
    return np.log(special.ive(k, variance))


def log_sum_of_gaussians(variance: float, count: int, reach: int) -> np.ndarray:
    k = np.arange(-reach, reach + 1)
    one = np.exp(-k * k / (2 * variance))
    one /= one.sum()
    law = one
    for _ in range(count - 1):
        law = np.convolve(law, one)
        middle = len(law) // 2
        law = law[middle - reach : middle + reach + 1]
    return np.log(law)


def divergence(p: np.ndarray, q: np.ndarray, order: float) -> float:
    """D_α of two laws given by their logarithms, wherever those are not too small to trust."""
    logs = order * p + (1 - order) * q
    assert max(logs[0], logs[-1]) < special.logsumexp(logs) - 25  # the window is wide enough
    return float(special.logsumexp(logs)) / (order - 1)


def shifted(law: np.ndarray, by: int) -> tuple[np.ndarray, np.ndarray]:
    """The law and itself moved by some places, where both are known."""
    return (law[:-by], law[by:]) if by else (law, law)


@pytest.mark.parametrize("variance", [3.0, 10.0, 100.0])
@pytest.mark.parametrize("move", [(1,), (3,), (2, 1, 1, 2)])
def test_skellam(variance: float, move: tuple[int, ...]) -> None:
    """The curve is above the true divergence of a move, and near it where the noise is large; also between
    whole orders.
    """
    law = log_skellam(variance, 60 if variance < 50 else 140)
    mine = Skellam(variance, math.sqrt(sum(m * m for m in move)), sum(move))
    for order in (1.5, 2, 2.5, 3, 4.25):
        true = sum(divergence(*shifted(law, m), order) for m in move)
        assert true <= mine.rdp(order)
        if variance == 100 and order == int(order):
            assert mine.rdp(order) < 1.04 * true


def test_skellams_formula_by_hand() -> None:
    """αΔ₂²/2μ and either correction; the first alone lies below the truth near α = 1."""
    assert Skellam(100, 2, 3).rdp(2) == pytest.approx(2 * 4 / 200 + (3 * 4 + 18) / 40_000)
    assert Skellam(1, 2, 3).rdp(5) == pytest.approx(5 * 4 / 2 + 9 / 2)
    assert Skellam(100, 2, 3).rdp(2.25) == pytest.approx(
        (0.75 * Skellam(100, 2, 3).rdp(2) + 0.25 * 2 * Skellam(100, 2, 3).rdp(3)) / 1.25
    )
    assert divergence(*shifted(log_skellam(1, 40), 1), 1.1) > 1.03 * 1.1 / 2


@pytest.mark.parametrize("variance", [0.25, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("count", [1, 2, 5, 20])
@pytest.mark.parametrize("move", [(1,), (2, 1)])
def test_sums_of_discrete_gaussians(variance: float, count: int, move: tuple[int, ...]) -> None:
    law = log_sum_of_gaussians(variance, count, math.ceil(11 * math.sqrt(variance * count)) + 11)
    mine = DiscreteGaussians(variance, count, math.sqrt(sum(m * m for m in move)), len(move))
    for order in (1.5, 2, 3):
        true = sum(divergence(*shifted(law, m), order) for m in move)
        assert true <= mine.rdp(order) * (1 + 1e-9)
        if variance == 4:
            assert mine.rdp(order) == pytest.approx(true, rel=1e-6)


def test_the_sum_of_small_discrete_gaussians_is_not_one() -> None:
    """The correction τ is needed: without it the curve would be below the truth."""
    law = log_sum_of_gaussians(0.25, 2, 11)
    true, without = divergence(*shifted(law, 1), 3), 3 / (2 * 2 * 0.25)
    assert 1.05 * without < true <= DiscreteGaussians(0.25, 2, 1, 1).rdp(3)
    assert DiscreteGaussians(0.25, 2, 1, 1).tau == pytest.approx(10 * math.exp(-(math.pi**2) / 4))
    assert DiscreteGaussians(0.2, 2, 1, 1).rdp(2) == math.inf  # too small for the theorem
    assert DiscreteGaussians(0.2, 1, 1, 1).rdp(2) == math.inf


@pytest.mark.parametrize("q", [0.01, 0.2])
@pytest.mark.parametrize("order", [2, 3, 6])
@pytest.mark.parametrize(
    "law_of",
    [
        lambda: (log_skellam(30.0, 90), Skellam(30.0, 2, 2)),
        lambda: (log_sum_of_gaussians(5.0, 6, 65), DiscreteGaussians(5.0, 6, 2, 1)),
    ],
    ids=["skellam", "gaussians"],
)
def test_sampling_amplifies_no_more_than_it_does(
    q: float, order: int, law_of: Callable[[], tuple[np.ndarray, Mechanism]]
) -> None:
    law, mechanism = law_of()
    at = int(np.flatnonzero(order == ORDERS)[0])
    moved, still = shifted(law, 2)
    mixed = np.logaddexp(math.log(q) + moved, math.log1p(-q) + still)
    poisson = curve(mechanism, PoissonSampling(q))[at]
    for p, r in ((mixed, still), (still, mixed)):  # a client is removed, or added
        assert divergence(p, r, order) <= poisson
    # replaced: three sums, one apart from the next
    away, middle, back = law[:-2], law[1:-1], law[2:]
    p, r = (np.logaddexp(math.log(q) + x, math.log1p(-q) + middle) for x in (away, back))
    replaced = curve(mechanism, WithoutReplacement(int(1000 * q), 1000))[at]
    assert divergence(p, r, order) <= replaced and divergence(mixed, still, order) <= replaced
    assert poisson <= replaced < mechanism.rdp(order)
    if q == 0.01 and order == 2:
        assert poisson < 1.2 * divergence(mixed, still, order)


def test_general_bounds_lie_above_the_gaussians_own() -> None:
    class Any:
        rdp = staticmethod(Gaussian(1.1).rdp)

    for sampling in (PoissonSampling(0.01), WithoutReplacement(100, 10_000)):
        general, own = curve(Any(), sampling), curve(Gaussian(1.1), sampling)
        near = ORDERS <= 8
        assert (general[near] >= own[near] * (1 - 1e-9)).all() and (
            general[near & (ORDERS >= 2)] < 3 * own[near & (ORDERS >= 2)]
        ).all()
    assert (curve(Any(), PoissonSampling(1.0)) == curve(Any())).all()
    assert (np.diff(curve(Any(), PoissonSampling(0.01))) >= -1e-15).all()  # divergences grow with the order


def test_conversion_equals_the_librarys() -> None:
    for scale in (1e-14, 1e-3, 0.1, 1, 30):
        rdp = scale * ORDERS
        for delta in (1e-9, 1e-5, 0.1):
            assert convert(rdp, delta) == pytest.approx(
                rdp_privacy_accountant.compute_epsilon(ORDERS, rdp, delta)[0], rel=1e-12
            )
    assert (
        convert(np.zeros(len(ORDERS)), 1e-5) == 0
        and convert(np.full(len(ORDERS), math.inf), 1e-5) == math.inf
    )


# -- noise for a budget, and budgets --------------------------------------------------------------------


@pytest.mark.parametrize("budget", [0.1, 1.0, 10.0])
@pytest.mark.parametrize(
    "mechanism",
    [
        Gaussian,
        lambda z: Skellam((z * 1000) ** 2, 1000, 1e5),
        lambda z: DiscreteGaussians((z * 100) ** 2 / 50, 50, 100, 1000),
    ],
)
def test_the_noise_for_a_budget_is_the_least(budget: float, mechanism: Callable[[float], Mechanism]) -> None:
    z = noise_for(budget, delta=1e-5, rounds=30, mechanism=mechanism)
    assert (
        epsilon(mechanism(z), delta=1e-5, rounds=30)
        <= budget
        < epsilon(mechanism(z * 0.9998), delta=1e-5, rounds=30)
    )


def test_the_noise_for_a_budget_inverts_the_known_values() -> None:
    assert noise_for(1.7118, **DPSGD) == pytest.approx(1.1, rel=2e-4)
    assert noise_for(
        epsilon(Gaussian(3.0), delta=1e-5, method="pld"), delta=1e-5, method="pld"
    ) == pytest.approx(3.0, rel=2e-4)


def test_noise_without_a_bound_is_not_chosen() -> None:
    """Below variance 1/4 the theorem is silent: the least noise is where it speaks again."""
    z = noise_for(1e4, delta=1e-5, mechanism=lambda z: DiscreteGaussians(z * z, 10, 1, 1))
    assert z == pytest.approx(0.5, rel=2e-4) and z >= 0.5
    with pytest.raises(ConfigError, match="no amount of noise"):
        noise_for(1.0, delta=1e-5, mechanism=lambda z: DiscreteGaussians(0.3, 10, 1, 1))


def test_a_budget_refuses_before_the_round() -> None:
    budget, mechanism = Budget(1.0, 1e-5), Gaussian(20.0)
    rounds = 0
    with pytest.raises(BudgetSpent, match="1 more round would bring the cost to ε = 1\\.0"):
        for _ in range(1000):
            budget.charge(mechanism)
            rounds += 1
    assert (
        epsilon(mechanism, delta=1e-5, rounds=rounds)
        <= 1.0
        < epsilon(mechanism, delta=1e-5, rounds=rounds + 1)
    )
    before = budget.spent
    assert before == pytest.approx(epsilon(mechanism, delta=1e-5, rounds=rounds))
    with pytest.raises(BudgetSpent, match="50 more rounds"):
        budget.charge(mechanism, rounds=50)
    assert budget.spent == before  # refused is not charged
    budget.charge(Gaussian(2000.0))  # a cheaper one still fits
    resumed = Budget(1.0, 1e-5, budget.state)
    assert resumed.spent == budget.spent > before
    with pytest.raises(BudgetSpent):
        resumed.charge(mechanism)


def test_a_budget_adds_up_different_mechanisms() -> None:
    budget = Budget(100.0, 1e-5)
    assert budget.spent == 0
    budget.charge(Gaussian(5.0), rounds=3, sampling=PoissonSampling(0.1))
    budget.charge(Skellam(1e4, 10, 50))
    budget.charge(DiscreteGaussians(100.0, 10, 5, 100), sampling=WithoutReplacement(10, 100))
    whole = (
        3 * curve(Gaussian(5.0), PoissonSampling(0.1))
        + curve(Skellam(1e4, 10, 50))
        + curve(DiscreteGaussians(100.0, 10, 5, 100), WithoutReplacement(10, 100))
    )
    assert budget.spent == pytest.approx(convert(whole, 1e-5))
    with pytest.raises(BudgetSpent):
        budget.charge(DiscreteGaussians(0.1, 10, 5, 100))  # no bound: never allowed


def test_what_is_refused() -> None:
    with pytest.raises(ConfigError, match="for the Gaussian only"):
        epsilon(Skellam(100, 1, 1), delta=1e-5, method="pld")
    with pytest.raises(ConfigError, match="without replacement"):
        epsilon(Gaussian(1), delta=1e-5, sampling=WithoutReplacement(1, 10), method="pld")
    for delta in (0, 1, -1, math.nan):
        with pytest.raises(ConfigError, match="δ must lie between"):
            epsilon(Gaussian(1), delta=delta)
    with pytest.raises(ConfigError, match="rounds must be at least 1"):
        epsilon(Gaussian(1), delta=1e-5, rounds=0)
    for wrong in (0, -1, math.inf, math.nan):
        with pytest.raises(ConfigError, match="finite number above 0"):
            Gaussian(wrong)
        with pytest.raises(ConfigError, match="finite number above 0"):
            Skellam(1, wrong, 1)
    for rate in (0, 1.1, math.nan):
        with pytest.raises(ConfigError, match="sampling rate"):
            PoissonSampling(rate)
    for size, population in ((0, 10), (11, 10)):
        with pytest.raises(ConfigError, match="cannot draw"):
            WithoutReplacement(size, population)
    for spent in ([0.0], [-1.0] * len(ORDERS)):
        with pytest.raises(ConfigError, match="what was spent"):
            Budget(1, 1e-5, spent)


def test_without_the_extra_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "dp_accounting", None)
    with pytest.raises(ConfigError, match=r"mpc-engine\[privacy\]"):
        epsilon(Gaussian(1), delta=1e-5, sampling=PoissonSampling(0.1))
    assert epsilon(Skellam(100, 1, 1), delta=1e-5) > 0  # ours need no library
