"""What noise costs: (ε, δ) of many noisy sums, by Rényi differential privacy or by privacy loss
distributions.

    D_α(M(S) ‖ M(S')) ≤ ε(α) for neighbours S, S'        costs of rounds add up, for each order α
    ε = min over α of  ε(α) + ln(1 − 1/α) − ln(δ·α)/(α − 1)

Curves ε(α) of one round, Δ₁ and Δ₂ being how much one client can change the sum (an integer vector but for
``Gaussian``):

    Gaussian              α/2z²                                              z = σ/Δ₂
    Skellam               αΔ₂²/2μ + min{((2α−1)Δ₂² + 6Δ₁)/4μ², 3Δ₁/2μ}       variance μ; α whole
    DiscreteGaussians     αΔ₂²/2nσ² + τ·d,  τ = 10·Σ_{k<n} exp(−2π²σ²·k/(k+1))    n shares of σ² ≥ 1/4, else ∞

(α−1)·ε(α) is convex, so between whole orders a straight line bounds it.

Noise that is only close to its law, within β in total variation for one release, leaves δ − (1 + e^ε)·Σβ of a
δ.

What neighbours are depends on the sampling, and so does what Δ has to bound:

    None                  all take part        one client's vector becomes zero         ‖x‖
    PoissonSampling       each with chance q   a client is added or removed             ‖x‖
    WithoutReplacement    s of n               one client's vector becomes another      ‖x − x'‖, up to 2·clip

Threat   who sees the sums only.  That sampling amplifies holds against those who do not learn who took part:
         not against a server that the clients talk to.  Poisson sampling moreover needs noise that does not
         depend on who takes part (as drawn by servers): where the clients add it, the number of shares tells,
         and no proof is known.
Source   Gaussian: Google's dp-accounting (extra ``privacy``), Mironov, Talwar, Zhang, arXiv 1908.10530.
         Skellam: Agarwal, Kairouz, Liu, arXiv 2110.04995, section 3.  Sums of discrete Gaussians: Kairouz,
         Liu, Steinke, arXiv 2102.06387, proposition 14.  Conversion: Canonne, Kamath, Steinke, arXiv
         2004.00010, proposition 12.  Sampling for any curve: Zhu, Wang, ICML 2019, theorem 5 (Poisson); Wang,
         Balle, Kasiviswanathan, arXiv 1808.00087, theorem 9 and corollary 10 (without replacement).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from mpc.errors import BudgetSpent, ConfigError
from mpc.ring import NDArray

#: The orders at which curves are kept; dense where the best one usually lies.
ORDERS = np.array([1 + i / 10 for i in range(1, 100)] + list(range(11, 64)) + [128, 256, 512, 1024])

Method = Literal["rdp", "pld"]


# -- one round ------------------------------------------------------------------------------------------


class Mechanism(Protocol):
    """Noise that is added to a sum."""

    @property
    def distance(self) -> float:
        """Between the noise and its law, in total variation; 0 for exact samples."""
        ...

    def rdp(self, order: float) -> float:
        """ε(α) of one round in which all take part."""
        ...


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Noise of a normal law on each coordinate; ``noise_multiplier`` is its standard deviation over Δ₂."""

    noise_multiplier: float
    distance: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        _above_zero(noise_multiplier=self.noise_multiplier)

    def rdp(self, order: float) -> float:
        return order / (2 * self.noise_multiplier**2)


@dataclass(frozen=True, slots=True)
class Skellam:
    """Skellam noise of this variance in the sum: that of all its shares together, since sums of Skellams are
    Skellam.
    """

    variance: float
    l2: float
    l1: float
    distance: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        _above_zero(variance=self.variance, l2=self.l2, l1=self.l1)

    def rdp(self, order: float) -> float:
        return _between(self._whole, order)

    def _whole(self, order: int) -> float:
        mu, squared = self.variance, self.l2**2
        extra = min(((2 * order - 1) * squared + 6 * self.l1) / (4 * mu**2), 3 * self.l1 / (2 * mu))
        return order * squared / (2 * mu) + extra


@dataclass(frozen=True, slots=True)
class DiscreteGaussians:
    """The sum of ``count`` discrete Gaussians of parameter σ² = ``variance`` each, on ``dimension``
    coordinates.
    """

    variance: float
    count: int
    l2: float
    dimension: int
    distance: float = 0.0

    def __post_init__(self) -> None:
        _above_zero(variance=self.variance, count=self.count, l2=self.l2, dimension=self.dimension)

    @property
    def tau(self) -> float:
        """How far the sum is from one discrete Gaussian."""
        k = np.arange(1, self.count)
        return float(10 * np.exp(-2 * math.pi**2 * self.variance * k / (k + 1)).sum())

    def rdp(self, order: float) -> float:
        if self.variance < 0.25:  # the theorem says nothing
            return math.inf
        return order * self.l2**2 / (2 * self.count * self.variance) + self.tau * self.dimension


# -- who takes part -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PoissonSampling:
    """Each client takes part with this probability, independently."""

    rate: float

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise ConfigError(f"a sampling rate lies above 0 and is at most 1, not {self.rate}")


@dataclass(frozen=True, slots=True)
class WithoutReplacement:
    """``size`` of the ``population`` clients take part, every such set with the same probability."""

    size: int
    population: int

    def __post_init__(self) -> None:
        if not 0 < self.size <= self.population:
            raise ConfigError(f"cannot draw {self.size} of {self.population} clients")

    @property
    def rate(self) -> float:
        return self.size / self.population


Sampling = PoissonSampling | WithoutReplacement | None


def curve(mechanism: Mechanism, sampling: Sampling = None) -> NDArray:
    """ε(α) of one round for all ``ORDERS``."""
    if sampling is None or sampling.rate == 1:
        return np.array([mechanism.rdp(a) for a in ORDERS])
    # closed forms, better than what holds for all mechanisms
    if isinstance(mechanism, Gaussian):
        accounting = _library()
        # below 2 its series may not converge; divergences grow with the order
        orders = np.maximum(ORDERS, 2)
        accountant = accounting.rdp.RdpAccountant(orders, _neighbours(sampling))
        accountant.compose(_event(mechanism, sampling))
        return np.asarray(accountant.rdp)
    whole = range(2, int(ORDERS[-1]) + 1)
    base = np.array([0.0, 0.0, *(mechanism.rdp(j) for j in whole)])
    amplified = _poisson if isinstance(sampling, PoissonSampling) else _without_replacement
    return np.array(
        [min(mechanism.rdp(a), _between(lambda j: amplified(base, sampling.rate, j), a)) for a in ORDERS]
    )


def _poisson(base: NDArray, q: float, order: int) -> float:
    """Zhu and Wang's theorem 5, from the curve at 0, 1, …, ``order`` of which the first two do not count."""
    j = np.arange(3, order + 1)
    log = [
        (order - 1) * math.log1p(-q) + math.log1p((order - 1) * q),
        _log_choose(order, np.array([2]))[0] + 2 * math.log(q) + (order - 2) * math.log1p(-q) + base[2],
    ]
    rest = (
        math.log(3)
        + _log_choose(order, j)
        + j * math.log(q)
        + (order - j) * math.log1p(-q)
        + (j - 1) * base[3 : order + 1]
    )
    return _log_sum([*log, *rest]) / (order - 1)


def _without_replacement(base: NDArray, q: float, order: int) -> float:
    """Wang, Balle and Kasiviswanathan's theorem 9,
    for mechanisms whose privacy loss has no bound (ε(∞) = ∞).
    """
    j = np.arange(3, order + 1)
    second = min(math.log(4) + _log_expm1(base[2]), math.log(2) + base[2])
    log = [0.0, 2 * math.log(q) + _log_choose(order, np.array([2]))[0] + second]
    rest = math.log(2) + _log_choose(order, j) + j * math.log(q) + (j - 1) * base[3 : order + 1]
    return _log_sum([*log, *rest]) / (order - 1)


# -- many rounds ----------------------------------------------------------------------------------------


def epsilon(
    mechanism: Mechanism, *, delta: float, rounds: int = 1, sampling: Sampling = None, method: Method = "rdp"
) -> float:
    """The ε that this many rounds cost at this δ.

    ``method="pld"`` is tighter, and there for the Gaussian with all clients or with Poisson sampling.
    """
    _check(delta, rounds)
    if method == "rdp":
        return convert(rounds * curve(mechanism, sampling), delta, rounds * mechanism.distance)
    if not isinstance(mechanism, Gaussian):
        raise ConfigError(
            f"privacy loss distributions are for the Gaussian only; for {type(mechanism).__name__} use"
            ' method="rdp"'
        )
    if isinstance(sampling, WithoutReplacement):
        raise ConfigError(
            "no privacy loss distribution is proven to dominate sampling without replacement; use"
            ' method="rdp"'
        )
    accountant = _library().pld.PLDAccountant(_neighbours(sampling))
    accountant.compose(_event(mechanism, sampling), rounds)
    return float(accountant.get_epsilon(delta))


def noise_for(
    budget: float,
    *,
    delta: float,
    rounds: int = 1,
    sampling: Sampling = None,
    method: Method = "rdp",
    mechanism: Callable[[float], Mechanism] = Gaussian,
) -> float:
    """The least noise multiplier, to 1 part in 10,000 and rounded up, for which this many rounds cost at most
    ε = ``budget``.

    ``mechanism`` makes a mechanism of a noise multiplier.
    """
    _above_zero(epsilon=budget)

    def enough(noise: float) -> bool:
        return (
            epsilon(mechanism(noise), delta=delta, rounds=rounds, sampling=sampling, method=method) <= budget
        )

    low = high = 1.0
    while not enough(high):
        low, high = high, high * 2
        if high > 2.0**40:
            raise ConfigError(
                f"no amount of noise makes {rounds} rounds cost no more than ε = {budget:g} at δ = {delta:g}"
            )
    while low == high or (low > 2.0**-20 and enough(low)):
        low, high = low / 2, low
    while high > low * 1.0001:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def convert(rdp: NDArray, delta: float, distance: float = 0.0) -> float:
    """The ε at this δ of a curve over ``ORDERS``, for noise that is so far from its law altogether."""
    epsilon = _converted(rdp, delta)
    # what the distance takes of δ grows with ε, and ε with that
    while distance:
        left = delta - (1 + math.exp(min(epsilon, 700))) * distance
        larger = _converted(rdp, left) if left > 0 else math.inf
        if larger <= epsilon * (1 + 1e-12):
            break
        epsilon = larger
    return epsilon


def _converted(rdp: NDArray, delta: float) -> float:
    # total variation is below δ already: δ ≥ √(1 − exp(−KL))
    if bool((rdp <= -math.log1p(-(delta**2))).any()):
        return 0.0
    return max(0.0, float((rdp + np.log1p(-1 / ORDERS) - np.log(delta * ORDERS) / (ORDERS - 1)).min()))


class Budget:
    """A limit (ε, δ) for all that is released, kept by Rényi differential privacy: rounds of any mechanisms
    add up.

    ``state`` can be stored and given back as ``spent``, so that a restart forgets nothing.
    """

    def __init__(self, epsilon: float, delta: float, spent: Iterable[float] = ()) -> None:
        _above_zero(epsilon=epsilon)
        _check(delta, 1)
        self.epsilon, self.delta = epsilon, delta
        # ε(α) by order, and the distance
        self._spent = np.array([*spent]) if spent else np.zeros(len(ORDERS) + 1)
        if self._spent.shape != (len(ORDERS) + 1,) or not (self._spent >= 0).all():
            raise ConfigError(f"what was spent must be {len(ORDERS) + 1} numbers that a budget's state held")

    def charge(self, mechanism: Mechanism, *, rounds: int = 1, sampling: Sampling = None) -> None:
        """Call before the rounds.  Raises ``BudgetSpent``, and charges nothing, if they would cost more than
        is left.
        """
        _check(self.delta, rounds)
        after = self._spent + rounds * np.append(curve(mechanism, sampling), mechanism.distance)
        cost = self._cost(after)
        if cost > self.epsilon:
            raise BudgetSpent(
                f"{rounds} more round{'s' * (rounds > 1)} would bring the cost to ε = {cost:.4g} at δ ="
                f" {self.delta:g}, above the budget of {self.epsilon:g} ({self.spent:.4g} is spent); stop"
                " here, or agree on a larger budget"
            )
        self._spent = after

    @property
    def spent(self) -> float:
        """The ε of everything charged so far."""
        return self._cost(self._spent)

    @property
    def state(self) -> tuple[float, ...]:
        """What was spent, as numbers; nothing secret."""
        return tuple(float(x) for x in self._spent)

    def _cost(self, spent: NDArray) -> float:
        return convert(spent[:-1], self.delta, float(spent[-1]))


# -- small things ---------------------------------------------------------------------------------------


def _between(whole: Callable[[int], float], order: float) -> float:
    """ε(α) from whole orders: (α−1)·ε(α) is convex and 0 at α = 1."""
    low = math.floor(order)
    if low == order:
        return whole(low)
    share, high = order - low, whole(low + 1)
    left = (low - 1) * whole(low) if low > 1 else 0.0
    return min(((1 - share) * left + share * low * high) / (order - 1), high)


def _log_choose(n: int, k: NDArray) -> NDArray:
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    return np.asarray(factorials[n] - factorials[k] - factorials[n - k])


def _log_expm1(x: float) -> float:
    """ln(e^x − 1)."""
    return x + math.log(-math.expm1(-x)) if x > 0 else -math.inf


def _log_sum(logs: list[float]) -> float:
    largest = max(logs)
    return (
        largest + math.log(math.fsum(math.exp(x - largest) for x in logs))
        if math.isfinite(largest)
        else largest
    )


def _library() -> Any:
    try:
        import dp_accounting
        import dp_accounting.pld
        import dp_accounting.rdp
    except ImportError:
        raise ConfigError(
            "accounting for the Gaussian needs dp-accounting: pip install 'mpc-engine[privacy]'"
        ) from None
    return dp_accounting


def _event(mechanism: Gaussian, sampling: Sampling) -> object:
    library = _library()
    event = library.GaussianDpEvent(mechanism.noise_multiplier)
    if isinstance(sampling, PoissonSampling):
        return library.PoissonSampledDpEvent(sampling.rate, event)
    if isinstance(sampling, WithoutReplacement):
        return library.SampledWithoutReplacementDpEvent(sampling.population, sampling.size, event)
    return event


def _neighbours(sampling: Sampling) -> object:
    relation = _library().NeighboringRelation
    return relation.REPLACE_ONE if isinstance(sampling, WithoutReplacement) else relation.ADD_OR_REMOVE_ONE


def _check(delta: float, rounds: int) -> None:
    if not 0 < delta < 1:
        raise ConfigError(f"δ must lie between 0 and 1, not at {delta}; well below 1/clients is usual")
    if rounds < 1:
        raise ConfigError(f"the number of rounds must be at least 1, not {rounds}")


def _above_zero(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ConfigError(f"{name} must be a finite number above 0, not {value}")
