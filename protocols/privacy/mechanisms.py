"""Differentially private sums: noise that the clients add themselves, or that several servers draw together.

    client i sends   ⌊clip(x_i)/step⌉ + Y_i  mod 2^b,   the server learns Σ⌊clip(x_i)/step⌉ + ΣY_i, no more

*Distributed.*  Y_i are discrete Gaussians, or Skellams, of variance v = (z·Δ)²/m on each coordinate, where m
is the least number of clients whose vectors may make up a sum.  So any m shares are noise enough for (ε, δ),
and more of them only add to it.

*Joint.*  No Y_i, and one discrete Gaussian of variance (z·Δ)² in the sum, whoever drops out (``joint``).

The rounding is repeated until ‖⌊x/step⌉‖² ≤ Δ² (``vectors.rounded_norm``), so the sensitivity holds for what
is sent, whatever floating point did before.  z comes from the accountant, for all rounds together.

Threat   who sees the sums, the server included, if aggregation is secure.  Distributed: and at least m
         clients' vectors are in each sum: an aggregation must fail below ``survivors`` (with one server that
         may lie: ``Terms.one_list``).  Clients that collude with the server know their own shares of the
         noise: count them among those who drop out.  Clients add their share honestly.  Joint: and the
         servers that collude are no more than their suite says.
Cost     local; ``encoding.bits`` for a coordinate go up, 8 to 16 bytes of stream for a coordinate.  Joint:
         ``joint`` says it.
Source   Kairouz, Liu, Steinke, arXiv 2102.06387 (discrete Gaussian); Agarwal, Kairouz, Liu, arXiv 2110.04995
         (Skellam).  There the modulus and the step are tuned so that sums wrap at times; here they cannot
         (but with probability 2^-40), and the step follows from the aim that rounding adds about 1 % to the
         noise's variance.
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

#: Norm of a clipped vector in steps, over the larger of √d and √n/z: rounding adds 1/4 to 25·z² of noise, 1 %
#: at z = 1.
FINENESS = 5


@dataclass(frozen=True, slots=True)
class Private(ABC):
    """Sums of up to ``clients`` vectors of shape (dimension,) and L2 norm at most ``clip``, private with (ε,
    δ) after ``rounds`` rounds.

    ``population``  of whom the clients of each round are drawn, if they are, secretly and without
                    replacement; neighbours then differ in one client's vector, otherwise in whether it is
                    zero
    ``rotation``    public seed of a rotation (``vectors.Encoding``)
    ``step``        distance of neighbouring values; by default as fine as the noise makes sensible
    """

    epsilon: float
    delta: float
    clip: float
    clients: int
    dimension: int
    rounds: int = 1
    population: int | None = None
    rotation: bytes | None = field(default=None, repr=False)
    step: float = 0.0
    variance: Fraction = field(init=False)  # of one share of the noise, in steps²
    limit: int = field(init=False)  # on the squared norm of a rounded vector
    encoding: Encoding = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.clip < math.inf:
            raise ConfigError(f"clip bounds the L2 norm and is a finite number above 0, not {self.clip}")
        least, most = self._shares(1), self._shares(self.clients)
        padded = Encoding(self.dimension, self.clients, self.clip, rotation=self.rotation).padded

        def multiplier(sensitivity: float) -> float:
            return accounting.noise_for(
                self.epsilon,
                delta=self.delta,
                rounds=self.rounds,
                sampling=self.sampling,
                mechanism=lambda z: self._noise((z * sensitivity) ** 2 / least, padded, sensitivity),
            )

        step = self.step or self.clip / (
            FINENESS * max(math.sqrt(padded), math.sqrt(self.clients) / multiplier(1e6))
        )
        limit = rounded_norm(self.clip / step, padded)
        sensitivity = math.sqrt(limit) * self._apart
        variance = Fraction(math.ceil((multiplier(sensitivity) * sensitivity) ** 2 / least * 2**10), 2**10)
        encoding = Encoding(
            self.dimension,
            self.clients,
            self.clip,
            step=step,
            rotation=self.rotation,
            noise=float(most * variance),
        )
        self._prepare(variance)
        for name, value in (("step", step), ("limit", limit), ("variance", variance), ("encoding", encoding)):
            object.__setattr__(self, name, value)

    @property
    def sampling(self) -> WithoutReplacement | None:
        return None if self.population is None else WithoutReplacement(self.clients, self.population)

    @property
    def mechanism(self) -> Mechanism:
        """One round with the least noise that there may be, for the accountant and for ``Budget.charge``."""
        return self._noise(float(self.variance), self.encoding.padded, math.sqrt(self.limit) * self._apart)

    def cost(self, rounds: int | None = None) -> float:
        """The ε of this many rounds, at δ; by default of all."""
        return accounting.epsilon(
            self.mechanism, delta=self.delta, rounds=rounds or self.rounds, sampling=self.sampling
        )

    def encode(self, vector: npt.ArrayLike, stream: Stream) -> NDArray:
        """What a client gives to secure aggregation: uint32 below 2^bits.  ``stream`` must be known to this
        client only.
        """
        return self.encoding.reduce(self.integers(vector, stream))

    def integers(self, vector: npt.ArrayLike, stream: Stream) -> NDArray:
        """The same as int64 before the reduction."""
        return self.encoding.integers(vector, stream, limit=self.limit)

    def decode(self, total: NDArray, count: int) -> NDArray:
        """The noisy mean, float64 of shape (dimension,), from the sum of ``count`` encodings."""
        return self.encoding.decode(total, count)

    def error(self, count: int) -> float:
        """Standard deviation of a coordinate of the mean, at most, for rounding and noise together."""
        return float(self.step * math.sqrt(self._shares(count) * float(self.variance) + count / 4) / count)

    @property
    def _apart(self) -> int:
        """How far neighbours are apart, in norms of a vector."""
        return 1 if self.population is None else 2

    @abstractmethod
    def _shares(self, count: int) -> int:
        """Shares of the noise in a sum of this many vectors, or of as few as there may be."""

    @abstractmethod
    def _noise(self, variance: float, dimension: int, l2: float) -> Mechanism:
        """The least number of shares of this variance."""

    @abstractmethod
    def _prepare(self, variance: Fraction) -> None:
        """Make the tables, or say that they are too wide, before anything is sent."""


@dataclass(frozen=True, slots=True)
class Distributed(Private):
    """Noise that the clients add, a share each; a fraction ``dropout`` of them may be missing."""

    dropout: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is a share of the clients, from 0 to below 1, not {self.dropout}")
        Private.__post_init__(self)

    @property
    def survivors(self) -> int:
        """The least number of clients whose noise is enough; aggregation must fail with fewer."""
        # 0.7 · 10 is not quite 7
        return max(1, self.clients - math.floor(round(self.dropout * self.clients, 6)))

    def integers(self, vector: npt.ArrayLike, stream: Stream) -> NDArray:
        values = Private.integers(self, vector, stream)
        values += samplers.sample(self._law(self.variance), self.encoding.length, stream)
        return values

    def decode(self, total: NDArray, count: int) -> NDArray:
        if count < self.survivors:
            raise EncodingError(
                f"the sum has the noise of {count} clients, where {self.survivors} are needed for the stated"
                " privacy; let the aggregation fail below that number, or state more dropout"
            )
        return Private.decode(self, total, count)

    def _shares(self, count: int) -> int:
        return max(count, self.survivors)

    def _prepare(self, variance: Fraction) -> None:
        samplers.prepare(self._law(variance))

    @abstractmethod
    def _law(self, variance: Fraction) -> laws.Law | samplers.Skellam:
        """Of one coordinate of a client's share."""


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
        norm = l2 / self._apart  # |x|₁ ≤ √d·|x|₂, and ≤ |x|₂² for whole numbers
        return accounting.Skellam(
            variance * self.survivors, l2, self._apart * min(math.sqrt(dimension) * norm, norm**2)
        )


@dataclass(frozen=True, slots=True)
class JointDiscreteGaussian(Private):
    """One discrete Gaussian, which servers draw together on shares and add to the sum:
    ``aggregation.several_servers.servers.Servers`` takes its ``variance`` as ``noise``."""

    def _shares(self, count: int) -> int:
        return 1

    def _noise(self, variance: float, dimension: int, l2: float) -> Mechanism:
        from protocols.privacy.joint import DISTANCE  # brings the protocols with it, which clients do without

        return accounting.DiscreteGaussians(variance, 1, l2, dimension, distance=dimension * DISTANCE)

    def _prepare(self, variance: Fraction) -> None:
        from protocols.privacy.joint import prepared

        prepared(variance)
