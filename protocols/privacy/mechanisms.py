"""Differentially private sums whose noise the clients add themselves, so that no one sees a sum with less.

    client i sends   ⌊clip(x_i)/step⌉ + Y_i  mod 2^b,    the server learns  Σ⌊clip(x_i)/step⌉ + ΣY_i  and nothing else

Y_i are discrete Gaussians, or Skellams, of variance v = (z·Δ)²/m on each coordinate, where m is the least number of
clients whose vectors may make up a sum.  So any m shares are noise enough for (ε, δ), and more of them only add to it.
The rounding is repeated until ‖⌊x/step⌉‖² ≤ Δ² (``vectors.rounded_norm``), so the sensitivity holds for what is sent,
whatever floating point did before.  z comes from the accountant, for all rounds together.

Threat   who sees the sums, the server included, if aggregation is secure and at least m clients' vectors are in each
         sum: an aggregation must fail below ``survivors`` (with one server that may lie: ``Terms.one_list``).  Clients that collude with the server know their own shares
         of the noise: count them among those who drop out.  Clients add their share honestly.
Cost     local; ``encoding.nbytes`` go up, 8 to 16 bytes of stream for a coordinate.
Source   Kairouz, Liu, Steinke, arXiv 2102.06387 (discrete Gaussian); Agarwal, Kairouz, Liu, arXiv 2110.04995 (Skellam).
         There the modulus and the step are tuned so that sums wrap at times; here they cannot (but with probability
         2^-40), and the step follows from the aim that rounding adds about 1 % to the noise's variance.
"""
from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from fractions import Fraction

import numpy.typing as npt

from mpc.errors import ConfigError, EncodingError
from mpc.prg import Stream
from mpc.ring import NDArray
from protocols.privacy import accounting, laws, samplers
from protocols.privacy.accounting import Mechanism, WithoutReplacement
from protocols.privacy.vectors import Encoding, rounded_norm

#: Norm of a clipped vector in steps, over the larger of √d and √n/z: rounding adds 1/4 to 25·z² of noise, 1 % at z = 1.
FINENESS = 5


@dataclass(frozen=True, slots=True)
class Distributed(ABC):
    """Sums of up to ``clients`` vectors of shape (dimension,) and L2 norm at most ``clip``, of which a share of ``dropout`` may
    be missing, private with (ε, δ) after ``rounds`` rounds.

    ``population``  of whom the clients of each round are drawn, if they are, secretly and without replacement; neighbours
                    then differ in one client's vector, otherwise in whether it is zero
    ``rotation``    public seed of a rotation (``vectors.Encoding``)
    ``step``        distance of neighbouring values; by default as fine as the noise makes sensible
    """

    epsilon: float
    delta: float
    clip: float
    clients: int
    dimension: int
    rounds: int = 1
    dropout: float = 0.0
    population: int | None = None
    rotation: bytes | None = field(default=None, repr=False)
    step: float = 0.0
    variance: Fraction = field(init=False)              # of a client's share of the noise, in steps²
    limit: int = field(init=False)                      # on the squared norm of a rounded vector
    encoding: Encoding = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is a share of the clients, from 0 to below 1, not {self.dropout}")
        if not 0 < self.clip < math.inf:
            raise ConfigError(f"clip bounds the L2 norm and is a finite number above 0, not {self.clip}")
        padded = Encoding(self.dimension, self.clients, self.clip, rotation=self.rotation).padded

        def multiplier(sensitivity: float) -> float:
            return accounting.noise_for(self.epsilon, delta=self.delta, rounds=self.rounds, sampling=self.sampling,
                                        mechanism=lambda z: self._noise((z * sensitivity) ** 2 / self.survivors, padded, sensitivity))

        step = self.step or self.clip / (FINENESS * max(math.sqrt(padded), math.sqrt(self.clients) / multiplier(1e6)))
        limit = rounded_norm(self.clip / step, padded)
        sensitivity = math.sqrt(limit) * self._apart
        variance = Fraction(math.ceil((multiplier(sensitivity) * sensitivity) ** 2 / self.survivors * 2**10), 2**10)
        encoding = Encoding(self.dimension, self.clients, self.clip, step=step, rotation=self.rotation, noise=float(self.clients * variance))
        samplers.prepare(self._law(variance))
        for name, value in (("step", step), ("limit", limit), ("variance", variance), ("encoding", encoding)):
            object.__setattr__(self, name, value)

    @property
    def survivors(self) -> int:
        """The least number of clients whose noise is enough; aggregation must fail with fewer."""
        return max(1, self.clients - math.floor(round(self.dropout * self.clients, 6)))     # 0.7 · 10 is not quite 7

    @property
    def sampling(self) -> WithoutReplacement | None:
        return None if self.population is None else WithoutReplacement(self.clients, self.population)

    @property
    def mechanism(self) -> Mechanism:
        """One round with as many clients as must survive, for the accountant and for ``Budget.charge``."""
        return self._noise(float(self.variance), self.encoding.padded, math.sqrt(self.limit) * self._apart)

    def cost(self, rounds: int | None = None) -> float:
        """The ε of this many rounds, at δ; by default of all."""
        return accounting.epsilon(self.mechanism, delta=self.delta, rounds=rounds or self.rounds, sampling=self.sampling)

    def encode(self, vector: npt.ArrayLike, stream: Stream) -> NDArray:
        """What a client gives to secure aggregation: uint32 below 2^bits.  ``stream`` must be known to this client only."""
        values = self.encoding.integers(vector, stream, limit=self.limit)
        values += samplers.sample(self._law(self.variance), self.encoding.length, stream)
        return self.encoding.reduce(values)

    def decode(self, total: NDArray, count: int) -> NDArray:
        """The noisy mean, float64 of shape (dimension,), from the sum of ``count`` encodings."""
        if count < self.survivors:
            raise EncodingError(f"the sum has the noise of {count} clients, where {self.survivors} are needed for the stated privacy; "
                                "let the aggregation fail below that number, or state more dropout")
        return self.encoding.decode(total, count)

    def error(self, count: int) -> float:
        """Standard deviation of a coordinate of the mean, at most, for rounding and noise together."""
        return float(self.step * math.sqrt(count * (float(self.variance) + 0.25)) / count)

    @property
    def _apart(self) -> int:
        """How far neighbours are apart, in norms of a vector."""
        return 1 if self.population is None else 2

    @abstractmethod
    def _law(self, variance: Fraction) -> laws.Law | samplers.Skellam:
        """Of one coordinate of a client's share."""

    @abstractmethod
    def _noise(self, variance: float, dimension: int, l2: float) -> Mechanism:
        """``survivors`` shares of this variance."""


@dataclass(frozen=True, slots=True)
class DistributedDiscreteGaussian(Distributed):
    """Shares are discrete Gaussians; their sum is nearly one."""

    def _law(self, variance: Fraction) -> laws.Law:
        return laws.DiscreteGaussian(variance)

    def _noise(self, variance: float, dimension: int, l2: float) -> Mechanism:
        return accounting.DiscreteGaussians(variance, self.survivors, l2, dimension)


@dataclass(frozen=True, slots=True)
class DistributedSkellam(Distributed):
    """Shares are Skellams, and so is their sum."""

    def _law(self, variance: Fraction) -> samplers.Skellam:
        return samplers.Skellam(variance)

    def _noise(self, variance: float, dimension: int, l2: float) -> Mechanism:
        norm = l2 / self._apart                         # |x|₁ ≤ √d·|x|₂, and ≤ |x|₂² for whole numbers
        return accounting.Skellam(variance * self.survivors, l2, self._apart * min(math.sqrt(dimension) * norm, norm**2))
