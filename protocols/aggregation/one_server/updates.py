"""Model updates for secure aggregation: a vector of real numbers, its weight, and metrics, all under one
mask.

    vector   w·Δ/W, clipped, rounded at random, and w      modulo 2^bits    (``protocols/privacy/vectors.py``)
    side     w, and the metrics, rounded at random         modulo 2^64      (``metrics.py``)
    mean     Σ w·Δ / Σ w,  Σ w·m / Σ w                     what the server learns, with Σ w and who is in it

A client's weight is the same in every round, so a round with it and one without it give it away: see
``coarse_weights``.

An agreement is what all clients and the server have written down before: everything that a client's privacy
depends on and no message may change.  A kind of task ("train", "evaluate") has its own metrics; one without a
vector has dimension 0 and sends metrics only.

With ``noise``, clients add their share of it to their updates, all count alike, and there are no metrics,
which would be shown as they are.

Threat   as ``protocols/aggregation/one_server/client.py``.  Clip and weight are kept by each client for
         itself: a client that lies about them can spoil the mean.  Without ``noise`` the mean itself is shown
         as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mpc.errors import ConfigError, EncodingError
from mpc.prg import Stream
from mpc.ring import NDArray
from protocols.aggregation.directory import Directory
from protocols.aggregation.metrics import RESOLUTION, Metrics
from protocols.aggregation.one_server.noise import Noise, fewest
from protocols.aggregation.one_server.server import Sum
from protocols.aggregation.one_server.terms import Terms
from protocols.aggregation.weights import coarse
from protocols.privacy.mechanisms import Distributed
from protocols.privacy.vectors import Encoding


@dataclass(frozen=True, slots=True)
class Mean:
    """Means weighted by the clients' weights, and whose they are."""

    update: NDArray
    metrics: Mapping[str, float]
    clients: tuple[str, ...]
    faults: Mapping[str, str]


@dataclass(frozen=True)
class Agreement:
    """``clip`` bounds the L2 norm of an update, ``weight`` the weight of a client (1: all count alike), which
    with ``coarse_weights`` counts as the nearest of 1, 2, 4, …; ``step`` is how finely updates are rounded
    (0: as ``Encoding`` does by default), ``resolution`` how finely metrics are; ``metrics`` has the names for
    each kind of task; ``dropout`` and ``corrupt`` are as for ``Terms.choose``; ``noise`` makes means
    private."""

    directory: Directory
    session: str
    clip: float
    weight: int = 1
    coarse_weights: bool = False
    step: float = 0.0
    resolution: float = RESOLUTION
    metrics: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dropout: float = 0.1
    corrupt: float = 0.05
    noise: Noise | None = None

    def __post_init__(self) -> None:
        if not 0 < self.clip < math.inf:
            raise ConfigError(
                f"clip bounds the L2 norm of an update and is a finite number above 0, not {self.clip}"
            )
        for names in ((), *self.metrics.values()):
            Metrics(names, len(self.directory), self.weight, self.resolution)
        try:
            Encoding(1, len(self.directory), self.clip, step=self.step, weight=self.weight)
        except EncodingError as error:
            raise ConfigError(str(error)) from None
        if self.noise is not None and (self.weight > 1 or any(self.metrics.values())):
            raise ConfigError(
                "with noise all clients count alike, and metrics would be shown without it: leave out weight"
                " and metrics, or the noise"
            )

    def codec(self, dimension: int) -> Encoding | Distributed:
        """What becomes of updates of so many numbers; made once."""
        if dimension not in self._codecs:
            self._codecs[dimension] = self._made(dimension, len(self.directory))
        return self._codecs[dimension]

    def _made(self, dimension: int, n: int) -> Encoding | Distributed:
        if self.noise is None:
            return Encoding(dimension, n, self.clip, step=self.step, weight=self.weight)
        return self.noise.codec(
            self.clip, n, dimension, dropout=self.dropout, corrupt=self.corrupt, step=self.step
        )

    def mechanism(self, dimension: int) -> Distributed | None:
        """What a round with updates of so many numbers costs; nothing without noise, or without updates."""
        codec = self.codec(dimension) if dimension else None
        return codec if isinstance(codec, Distributed) else None

    @cached_property
    def _codecs(self) -> dict[int, Encoding | Distributed]:
        return {}

    def terms(self, kind: str, about: str, number: int, dimension: int) -> Terms:
        """Of one round.  ``about`` says what else all must have in common: it is part of the session's name,
        so that clients who were told different things find no neighbours."""
        names = self.metrics.get(kind)
        if names is None:
            raise ConfigError(
                f"the agreement says nothing of tasks of the kind {kind!r}: add the metrics that may be"
                " summed, or ask for no such task"
            )
        length, bits, step, noisy = 1, 1, 0.0, self.mechanism(dimension)
        if dimension:
            codec = self.codec(dimension)
            encoding = codec.encoding if isinstance(codec, Distributed) else codec
            length, bits, step = encoding.length, encoding.bits, encoding.step
        rounded = f"{self.resolution!r}|{step!r}|{self.clip!r}"
        agreed = f"{','.join(names)}|{rounded}|{self.weight}|{self.coarse_weights}|{self.noise}"
        terms = Terms.choose(
            self.directory,
            f"{self.session}|{kind}|{agreed}|{about}",
            number,
            length,
            side=1 + len(names),
            bits=bits,
            dropout=self.dropout,
            corrupt=self.corrupt,
            one_list=noisy is not None,
        )
        return (
            terms
            if noisy is None
            else replace(
                terms, least=max(terms.least, fewest(noisy, len(self.directory), self.dropout, self.corrupt))
            )
        )

    def encode(
        self, kind: str, update: npt.ArrayLike, weight: int, metrics: Mapping[str, float], stream: Stream
    ) -> tuple[NDArray, NDArray]:
        """A client's vector and side values.  ``EncodingError`` for what is missing, not finite or out of
        range.
        """
        if self.coarse_weights and 1 <= weight <= self.weight:
            weight = coarse(weight, self.weight)
        side = np.array([weight, *self._metrics(kind).encode(metrics, weight, stream)], np.uint64)
        if not np.size(update):
            return np.zeros(1, np.uint32), side
        codec = self.codec(np.size(update))
        return (
            codec.encode(update, stream, weight)
            if isinstance(codec, Encoding)
            else codec.encode(update, stream)
        ), side

    def decode(self, kind: str, dimension: int, total: Sum) -> Mean:
        """``EncodingError`` where some client cannot have kept to the agreement."""
        weight = int(total.side[0])
        if not len(total.clients) <= weight <= len(total.clients) * self.weight:
            raise EncodingError("the sum of the weights is impossible: a client sent a weight out of range")
        update = self.codec(dimension).decode(total.vector, len(total.clients)) if dimension else np.zeros(0)
        return Mean(update, self._metrics(kind).decode(total.side[1:], weight), total.clients, total.faults)

    def lost(self, update: NDArray) -> str:
        """What ``clip`` takes off this update, for its owner's eyes."""
        codec = self.codec(update.size)
        return (codec if isinstance(codec, Encoding) else codec.encoding).lost(update)

    def _metrics(self, kind: str) -> Metrics:
        return Metrics(self.metrics[kind], len(self.directory), self.weight, self.resolution)
