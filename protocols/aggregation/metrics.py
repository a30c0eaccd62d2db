"""Metrics under the mask: a loss or an accuracy of each client, weighted like its vector, beside it.

    side values   ⌊w·m·2^f⌉ modulo 2^64, for each metric m         the server learns Σ w·m / Σ w and no summand
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mpc.errors import ConfigError, EncodingError
from mpc.ring import NDArray

#: Bound on the size of a metric, and the fewest bits for its fraction.
METRIC, _FRACTION = 1 << 20, 8


@dataclass(frozen=True, slots=True)
class Metrics:
    """The names of metrics, of up to ``clients`` clients with weights up to ``weight``."""

    names: tuple[str, ...]
    clients: int
    weight: int = 1

    def __post_init__(self) -> None:
        if len(set(self.names)) < len(self.names) or not all(isinstance(name, str) and name for name in self.names):
            raise ConfigError(f"metrics have names of their own, not {', '.join(map(repr, self.names))}")
        if self.weight < 1 or (self.names and self._fraction < _FRACTION):
            raise ConfigError(f"{self.clients} clients of weights up to {self.weight} do not fit beside metrics up to {METRIC}: "
                              f"choose a weight from 1 to {(1 << 62 - _FRACTION) // METRIC // self.clients}, and scale the clients' weights to it")

    @property
    def _fraction(self) -> int:
        """Bits behind the point, so that n·W·METRIC stays below 2^63."""
        return 63 - (self.clients * self.weight * METRIC).bit_length()

    def encode(self, values: Mapping[str, float], weight: int) -> list[int]:
        """A client's side values, one for each name.  ``EncodingError`` for what is missing, not finite or out of range."""
        if not 1 <= weight <= self.weight:
            raise EncodingError(f"this client's weight is not within 1 and {self.weight}, as agreed")
        out = []
        for name in self.names:
            value = values.get(name)
            if not isinstance(value, int | float | np.integer | np.floating) or not abs(value) <= METRIC:
                raise EncodingError(f"the metric {name!r} is agreed on and is not there as a number within ±{METRIC}")
            out.append(round(weight * float(value) * (1 << self._fraction)) % (1 << 64))
        return out

    def decode(self, sums: NDArray, weight: int) -> dict[str, float]:
        """The means, from the sums of side values and of weights.  ``EncodingError`` where a client cannot have kept to it."""
        means = {name: value / (1 << self._fraction) / weight for name, value in zip(self.names, sums.astype(np.int64).tolist(), strict=True)}
        for name, mean in means.items():
            if not abs(mean) <= METRIC:
                raise EncodingError(f"the sum of the metric {name!r} is impossible: a client sent one out of range")
        return means
