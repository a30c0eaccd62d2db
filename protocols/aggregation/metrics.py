"""Metrics under the mask: a loss or an accuracy of each client, weighted like its vector, beside it.

    side values   ⌊w/W · m/r⌉ at random, modulo 2^64, for each metric m of resolution r;  learnt: Σ w·m / Σ w

Rounding at random is right on average, so a mean of n clients is off by r·√n/2 · W/Σw.

Threat   an accuracy is a fraction, and a sum of few fractions with known denominators, to many digits, tells
         each of them (by the Chinese remainder theorem).  So metrics have few digits; the fewer the clients
         and their examples, the coarser the resolution must be for the sum to hide anything.  Of three
         clients whose numbers of examples are known, all three accuracies were guessed in 54 of 100 trials
         with 10, 11 and 13 examples at the usual resolution, in 8 with 20 to 29 and in 1.5 with 50 to 59;
         with 10, 11 and 13 at 2^−6, in 6.5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mpc.errors import ConfigError, EncodingError
from mpc.prg import Stream
from mpc.ring import Z64, NDArray, Spec

#: Bound on the size of a metric; what is told apart by default.
METRIC, RESOLUTION = 1 << 20, 2.0**-10
_MOST = 1 << 62


@dataclass(frozen=True, slots=True)
class Metrics:
    """The names of metrics, of up to ``clients`` clients with weights up to ``weight``, to multiples of
    ``resolution``.
    """

    names: tuple[str, ...]
    clients: int
    weight: int = 1
    resolution: float = RESOLUTION

    def __post_init__(self) -> None:
        if len(set(self.names)) < len(self.names) or not all(
            isinstance(name, str) and name for name in self.names
        ):
            raise ConfigError(f"metrics have names of their own, not {', '.join(map(repr, self.names))}")
        if self.weight < 1:
            raise ConfigError(f"the largest weight of a client is 1 or more, not {self.weight}")
        if not (0 < self.resolution < math.inf and self.clients * (METRIC / self.resolution + 1) < _MOST):
            least = 2 * METRIC * self.clients / _MOST
            raise ConfigError(
                f"metrics of resolution {self.resolution:g} up to {METRIC} of {self.clients} clients do not "
                f"fit 64 bits: choose a resolution from {least:.1e}"
            )

    def encode(self, values: Mapping[str, float], weight: int, stream: Stream) -> list[int]:
        """A client's side values, one for each name.  ``EncodingError`` for what is missing, not finite or
        out of range.
        """
        if not 1 <= weight <= self.weight:
            raise EncodingError(f"this client's weight is not within 1 and {self.weight}, as agreed")
        out = []
        for name in self.names:
            value = values.get(name)
            if not isinstance(value, int | float | np.integer | np.floating) or not abs(value) <= METRIC:
                raise EncodingError(
                    f"the metric {name!r} is agreed on and is not there as a number within ±{METRIC}"
                )
            steps = weight * float(value) / self.weight / self.resolution
            word = int(stream.draw(Spec(Z64, (1,))).data[0])
            whole = math.floor(steps)
            out.append((whole + (word < (steps - whole) * 2.0**64)) % (1 << 64))
        return out

    def decode(self, sums: NDArray, weight: int) -> dict[str, float]:
        """The means, from the sums of side values and of weights.  ``EncodingError`` where a client cannot
        have kept to it.
        """
        unit = self.resolution * self.weight / weight
        means = dict(zip(self.names, (unit * value for value in sums.astype(np.int64).tolist()), strict=True))
        for name, mean in means.items():
            if not abs(mean) <= METRIC * (1 + 1e-9) + unit * self.clients:
                raise EncodingError(
                    f"the sum of the metric {name!r} is impossible: a client sent one out of range"
                )
        return means
