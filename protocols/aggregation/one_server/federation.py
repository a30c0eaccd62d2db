"""The mean of clients' vectors of reals, round after round: what federated learning needs of aggregation.

    mean = Σ_{i ∈ S} w_i·clip(x_i) / Σ_{i ∈ S} w_i  +  error      S: who was there when they were masked

    federation = Federation(data, Encoding(dimension, len(data), clip=1.0, weight=100), metrics=["loss"])
    while not converged(theta):
        updates, losses = train(theta, data)                             # each client at home
        mean = federation.mean(updates, sizes, metrics=losses)           # losses[name]["loss"]
        theta = theta + mean.vector                                      # mean.metrics["loss"]

With a mechanism of ``protocols.privacy`` in place of the ``Encoding``, the clients add noise to what they
send, a round counts only if enough of them are left to hide one, and a ``Budget`` refuses the round that
would overspend.

Threat   as ``protocols/aggregation/one_server/client.py`` and the mechanism's, for what would travel.  But
         here all sides are in one process, so nobody is protected from it: for simulation.  On a network each
         side does its part of ``mean``: ``Client(terms, name, key, codec.encode(x, stream, w))``, and
         ``codec.decode(result.vector, len(result.clients))``.
Cost     a round of ``protocols/aggregation/one_server/local.py``, 5 messages for a client, ``Encoding.bits``
         for a coordinate and keys.
Source   McMahan et al., arXiv 1602.05629, algorithm 1 (FedAvg: the mean, by numbers of examples); arXiv
         1710.06963 (all clients alike under differential privacy).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy.typing as npt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mpc.errors import ConfigError, EncodingError
from mpc.prg import SEED_BYTES, Stream
from mpc.ring import NDArray
from protocols.aggregation.directory import Directory
from protocols.aggregation.messages import Phase
from protocols.aggregation.metrics import Metrics
from protocols.aggregation.one_server.client import Client
from protocols.aggregation.one_server.local import aggregate
from protocols.aggregation.one_server.noise import fewest
from protocols.aggregation.one_server.terms import Terms
from protocols.privacy.accounting import Budget
from protocols.privacy.mechanisms import Distributed
from protocols.privacy.vectors import Encoding


@dataclass(frozen=True, slots=True)
class Mean:
    """What a round gives.

    vector    the (weighted, noisy) mean, float64 of shape (dimension,)
    clients   whose vectors are in it
    error     standard deviation of a coordinate, at most, that rounding and noise cause
    metrics   (weighted) means of what the clients say of themselves
    faults    the other clients, and what was wrong with them
    """

    vector: NDArray
    clients: tuple[str, ...]
    error: float
    metrics: Mapping[str, float]
    faults: Mapping[str, str]


class Federation:
    """Clients with these names, and a server, all in this process.

    ``codec``     how vectors become integers: an ``Encoding``, or a mechanism whose noise comes with it
    ``metrics``   names of numbers, such as a loss, whose means travel under the same masks as the vectors
    ``budget``    what a mechanism's rounds are charged to, before they begin; by default its own ε and δ
    ``dropout``, ``corrupt``   the fractions of clients that may drop out, and collude with the server
                               (``Terms.choose``)

    Raises ``ConfigError`` if the codec is for fewer clients, or if no terms are safe.
    """

    def __init__(
        self,
        names: Iterable[str],
        codec: Encoding | Distributed,
        budget: Budget | None = None,
        *,
        metrics: Iterable[str] = (),
        dropout: float = 0.1,
        corrupt: float = 0.05,
    ) -> None:
        self.codec, self.budget = codec, budget
        self._keys = {
            name: Ed25519PrivateKey.from_private_bytes(Stream.fresh("signing key").bytes(SEED_BYTES))
            for name in names
        }
        self._streams = {name: Stream.fresh(f"codec of {name}") for name in self._keys}
        if codec.clients < len(self._keys):
            raise ConfigError(
                f"a codec for {codec.clients} clients cannot hold the sum of {len(self._keys)}; make it for"
                " that many"
            )
        encoding = codec if isinstance(codec, Encoding) else codec.encoding
        directory = Directory.close(
            {name: key.public_key().public_bytes_raw() for name, key in self._keys.items()}
        )
        self.metrics = Metrics(tuple(metrics), len(self._keys), encoding.weight)
        self.terms = Terms.choose(
            directory,
            "federation",
            0,
            encoding.length,
            side=len(self.metrics.names),
            bits=encoding.bits,
            dropout=dropout,
            corrupt=corrupt,
            one_list=isinstance(codec, Distributed),
        )
        if isinstance(codec, Distributed):
            if self.metrics.names:
                raise ConfigError(
                    "metrics would be shown without noise: leave them out, or put them into the vectors"
                )
            self.budget = budget or Budget(codec.epsilon, codec.delta)
            self.terms = replace(
                self.terms, least=max(self.terms.least, fewest(codec, self.terms.clients, dropout, corrupt))
            )
        elif budget is not None:
            raise ConfigError(
                "an encoding adds no noise, so there is nothing to charge to a budget; give a mechanism, or"
                " no budget"
            )

    def mean(
        self,
        vectors: Mapping[str, npt.ArrayLike],
        weights: Mapping[str, int] | None = None,
        speaks: Callable[[str, Phase], bool] = lambda name, phase: True,
        metrics: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
    ) -> Mean:
        """The mean of the clients' vectors of shape (dimension,), weighted by whole numbers if there are
        weights.

        ``metrics`` has for each client a number by each of the federation's names.
        Who has no vector does not come; ``speaks`` says who drops out when (``local.aggregate``).

        Raises ``EncodingError`` for a bad vector or weight, ``BudgetSpent`` before anything is sent, and
        ``AggregationFailed`` when too many drop out: then nothing is revealed, yet the budget stays charged.
        """
        words = {
            name: self._encoded(name, vector, weights, metrics.get(name, {}))
            for name, vector in vectors.items()
        }
        if isinstance(self.codec, Distributed) and self.budget is not None:
            self.budget.charge(self.codec.mechanism, sampling=self.codec.sampling)
        self.terms = replace(self.terms, round=self.terms.round + 1)
        total = aggregate(
            self.terms,
            {name: Client(self.terms, name, self._keys[name], *x) for name, x in words.items()},
            speaks,
        )
        count = weight = len(total.clients)
        mean, error = self.codec.decode(total.vector, count), self.codec.error(count)
        if isinstance(self.codec, Encoding) and self.codec.weight > 1:
            weight = self.codec.total_weight(total.vector)
            error = self.codec.error(count, weight)
        return Mean(mean, total.clients, error, self.metrics.decode(total.side, weight), total.faults)

    def _encoded(
        self,
        name: str,
        vector: npt.ArrayLike,
        weights: Mapping[str, int] | None,
        metrics: Mapping[str, float],
    ) -> tuple[NDArray, list[int]]:
        """What this client sends, before it is masked."""
        self.terms.directory.place(name)  # a ConfigError for a stranger
        try:
            if isinstance(self.codec, Encoding):
                weight, stream = 1 if weights is None else weights.get(name, 0), self._streams[name]
                return self.codec.encode(vector, stream, weight), self.metrics.encode(metrics, weight, stream)
            if weights is None:
                return self.codec.encode(vector, self._streams[name]), []
        except EncodingError as error:
            raise EncodingError(f"client {name!r}: {error}") from None
        raise ConfigError(
            "a mechanism counts all clients alike: to hide one with a large weight takes more noise; leave"
            " the weights out"
        )

    def __repr__(self) -> str:
        return f"<federation of {len(self._keys)} clients after {self.terms.round} rounds>"
