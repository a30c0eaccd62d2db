"""Model updates for secure aggregation: a vector of real numbers, its weight, and metrics, all under one mask.

    vector   w·Δ/W, clipped, rounded at random, and w              modulo 2^bits    (``protocols/privacy/vectors.py``)
    side     w, ⌊w·m·2^f⌉ for each metric m                        modulo 2^64
    mean     Σ w·Δ / Σ w,  Σ w·m / Σ w                             what the server learns, with Σ w and who is in it

An agreement is what all clients and the server have written down before: everything that a client's privacy
depends on and no message may change.  A kind of task ("train", "evaluate") has its own metrics; one without a
vector has dimension 0 and sends metrics only.

Threat   as ``protocols/aggregation/client.py``.  Clip and weight are kept by each client for itself: a client that lies
         about them can spoil the mean.  The mean itself is shown as it is, without noise.
"""
from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mpc.errors import ConfigError, EncodingError
from mpc.prg import Stream
from mpc.ring import NDArray
from protocols.aggregation.directory import Directory
from protocols.aggregation.server import Sum
from protocols.aggregation.terms import Terms
from protocols.privacy.vectors import Encoding

#: Bound on the size of a metric, and the fewest bits for its fraction.
METRIC, _FRACTION = 1 << 20, 8


@dataclass(frozen=True, slots=True)
class Mean:
    """Means weighted by the clients' weights, the sum of these, and whose they are."""

    update: NDArray
    metrics: Mapping[str, float]
    weight: int
    clients: tuple[str, ...]
    faults: Mapping[str, str]


@dataclass(frozen=True)
class Agreement:
    """``clip`` bounds the L2 norm of an update, ``weight`` the weight of a client (1: all count alike); ``metrics`` has
    the names for each kind of task; ``dropout`` and ``corrupt`` are as for ``Terms.choose``."""

    directory: Directory
    session: str
    clip: float
    weight: int = 1
    metrics: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dropout: float = 0.1
    corrupt: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.clip < math.inf:
            raise ConfigError(f"clip bounds the L2 norm of an update and is a finite number above 0, not {self.clip}")
        if self.weight < 1 or self._fraction < _FRACTION:
            raise ConfigError(f"{len(self.directory)} clients of weights up to {self.weight} do not fit beside metrics up to {METRIC}: "
                              f"choose a weight from 1 to {(1 << 62 - _FRACTION) // METRIC // len(self.directory)}, and scale the clients' weights to it")

    @property
    def _fraction(self) -> int:
        """Bits of a metric behind the point, so that n·W·METRIC stays below 2^63."""
        return 63 - (len(self.directory) * self.weight * METRIC).bit_length()

    def encoding(self, dimension: int) -> Encoding:
        return Encoding(dimension, len(self.directory), self.clip, weight=self.weight)

    def terms(self, kind: str, about: str, number: int, dimension: int) -> Terms:
        """Of one round.  ``about`` says what else all must have in common: it is part of the session's name, so that
        clients who were told different things find no neighbours."""
        names = self.metrics.get(kind)
        if names is None:
            raise ConfigError(f"the agreement says nothing of tasks of the kind {kind!r}: add the metrics that may be summed, or ask for no such task")
        encoding = self.encoding(dimension) if dimension else None
        return Terms.choose(self.directory, f"{self.session}|{kind}|{','.join(names)}|{self.clip!r}|{self.weight}|{about}", number,
                            encoding.length if encoding else 1, side=1 + len(names), bits=encoding.bits if encoding else 1,
                            dropout=self.dropout, corrupt=self.corrupt)

    def encode(self, kind: str, update: npt.ArrayLike, weight: int, metrics: Mapping[str, float], stream: Stream) -> tuple[NDArray, NDArray]:
        """A client's vector and side values.  ``EncodingError`` for what is missing, not finite or out of range."""
        if not 1 <= weight <= self.weight:
            raise EncodingError(f"this client's weight is not within 1 and {self.weight}, as agreed")
        words = self.encoding(np.size(update)).encode(update, stream, weight) if np.size(update) else np.zeros(1, np.uint32)
        side = [weight]
        for name in self.metrics[kind]:
            value = metrics.get(name)
            if not isinstance(value, int | float | np.number) or not abs(value) <= METRIC:
                raise EncodingError(f"the metric {name!r} is agreed on and is not there as a number within ±{METRIC}")
            side.append(round(weight * float(value) * (1 << self._fraction)) % (1 << 64))
        return words, np.array(side, np.uint64)

    def decode(self, kind: str, dimension: int, total: Sum) -> Mean:
        """``EncodingError`` where some client cannot have kept to the agreement."""
        weight, *sums = total.side.astype(np.int64).tolist()
        if not len(total.clients) <= weight <= len(total.clients) * self.weight:
            raise EncodingError("the sum of the weights is impossible: a client sent a weight out of range")
        update = self.encoding(dimension).decode(total.vector, len(total.clients)) if dimension else np.zeros(0)
        means = {name: value / (1 << self._fraction) / weight for name, value in zip(self.metrics[kind], sums, strict=True)}
        return Mean(update, means, weight, total.clients, total.faults)
