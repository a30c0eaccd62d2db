"""The mean of clients' real-valued vectors, round after round, by secure aggregation: what federated learning needs of it.

    mean = Σ_{i ∈ S} w_i·clip(x_i) / Σ_{i ∈ S} w_i  +  error          S: who was there when the vectors were masked

    federation = Federation(data, Encoding(dimension, len(data), clip=1.0, weight=100))
    while not converged(theta):
        updates = {name: train(theta, *rows) - theta for name, rows in data.items()}        # each client at home
        theta = theta + federation.mean(updates, sizes).vector

With a mechanism of ``protocols.privacy`` in place of the ``Encoding``, the clients add noise to what they send, a round
counts only if enough of them are left to hide one, and a ``Budget`` refuses the round that would overspend.

Threat   as ``protocols/aggregation/client.py`` and the mechanism's, for what would travel.  But here all sides are in one
         process, so nobody is protected from it: for simulation.  On a network each side does its part of ``mean``:
         ``Client(terms, name, key, codec.encode(x, stream, w))``, and ``codec.decode(result.vector, len(result.clients))``.
Cost     a round of ``protocols/aggregation/local.py``, 5 messages for a client, ``Encoding.nbytes`` and keys.
Source   McMahan et al., arXiv 1602.05629, algorithm 1 (FedAvg: the mean, by numbers of examples); arXiv 1710.06963 (all
         clients alike under differential privacy).
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy.typing as npt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mpc.errors import ConfigError, EncodingError
from mpc.prg import SEED_BYTES, Stream
from mpc.ring import NDArray
from protocols.aggregation import bounds
from protocols.aggregation.client import Client
from protocols.aggregation.directory import Directory
from protocols.aggregation.local import aggregate
from protocols.aggregation.messages import Phase
from protocols.aggregation.terms import Terms
from protocols.privacy.accounting import Budget
from protocols.privacy.mechanisms import Distributed
from protocols.privacy.vectors import Encoding


@dataclass(frozen=True, slots=True)
class Mean:
    """What a round gives.

    vector    the (weighted, noisy) mean, float64 of shape (dimension,)
    clients   whose vectors are in it
    error     standard deviation of a coordinate, at most, that rounding and noise cause
    faults    the other clients, and what was wrong with them
    """

    vector: NDArray
    clients: tuple[str, ...]
    error: float
    faults: Mapping[str, str]


class Federation:
    """Clients with these names, and a server, all in this process.

    ``codec``     how vectors become integers: an ``Encoding``, or a mechanism whose noise comes with it
    ``budget``    what a mechanism's rounds are charged to, before they begin; by default its own ε and δ
    ``dropout``, ``corrupt``   the fractions of clients that may drop out, and collude with the server (``Terms.choose``)

    Raises ``ConfigError`` if the codec is for fewer clients, or if no terms are safe.
    """

    def __init__(self, names: Iterable[str], codec: Encoding | Distributed, budget: Budget | None = None, *,
                 dropout: float = 0.1, corrupt: float = 0.05) -> None:
        self.codec, self.budget = codec, budget
        self._keys = {name: Ed25519PrivateKey.from_private_bytes(Stream.fresh("signing key").bytes(SEED_BYTES)) for name in names}
        self._streams = {name: Stream.fresh(f"codec of {name}") for name in self._keys}
        if codec.clients < len(self._keys):
            raise ConfigError(f"a codec for {codec.clients} clients cannot hold the sum of {len(self._keys)}; make it for that many")
        encoding = codec if isinstance(codec, Encoding) else codec.encoding
        directory = Directory.close({name: key.public_key().public_bytes_raw() for name, key in self._keys.items()})
        self.terms = Terms.choose(directory, "federation", 0, encoding.length, bits=encoding.bits, dropout=dropout, corrupt=corrupt,
                                  one_list=isinstance(codec, Distributed))
        if isinstance(codec, Distributed):
            self.budget = budget or Budget(codec.epsilon, codec.delta)
            self.terms = replace(self.terms, least=self._least(codec, dropout, corrupt))
        elif budget is not None:
            raise ConfigError("an encoding adds no noise, so there is nothing to charge to a budget; give a mechanism, or no budget")

    def mean(self, vectors: Mapping[str, npt.ArrayLike], weights: Mapping[str, int] | None = None,
             speaks: Callable[[str, Phase], bool] = lambda name, phase: True) -> Mean:
        """The mean of the clients' vectors of shape (dimension,), weighted by whole numbers if there are weights.

        Who has no vector does not come; ``speaks`` says who drops out when (``local.aggregate``).

        Raises ``EncodingError`` for a bad vector or weight, ``BudgetSpent`` before anything is sent, and ``AggregationFailed``
        when too many drop out: then nothing is revealed, yet the budget stays charged.
        """
        words = {name: self._encoded(name, vector, weights) for name, vector in vectors.items()}
        if isinstance(self.codec, Distributed) and self.budget is not None:
            self.budget.charge(self.codec.mechanism, sampling=self.codec.sampling)
        self.terms = replace(self.terms, round=self.terms.round + 1)
        total = aggregate(self.terms, {name: Client(self.terms, name, self._keys[name], x) for name, x in words.items()}, speaks)
        count = len(total.clients)
        if isinstance(self.codec, Encoding) and self.codec.weight > 1:
            error = self.codec.error(count, self.codec.total_weight(total.vector))
        else:
            error = self.codec.error(count)
        return Mean(self.codec.decode(total.vector, count), total.clients, error, total.faults)

    def _least(self, codec: Distributed, dropout: float, corrupt: float) -> int:
        """Fewest clients in a sum: of their shares of the noise those of colluding clients hide nothing."""
        n = self.terms.clients
        colluding, lost = bounds.count(corrupt, n), bounds.count(dropout, n)
        if n - lost < codec.survivors + colluding:
            raise ConfigError(f"the mechanism's noise is enough with {codec.survivors} of {n} shares, and {lost} may be lost with drop-outs and {colluding} "
                              f"known to colluding clients; make it with dropout={(lost + colluding) / n:g} or more")
        return max(self.terms.least, codec.survivors + colluding)

    def _encoded(self, name: str, vector: npt.ArrayLike, weights: Mapping[str, int] | None) -> NDArray:
        """What this client sends, before it is masked."""
        self.terms.directory.place(name)                                # a ConfigError for a stranger
        try:
            if isinstance(self.codec, Encoding):
                return self.codec.encode(vector, self._streams[name], 1 if weights is None else weights.get(name, 0))
            if weights is None:
                return self.codec.encode(vector, self._streams[name])
        except EncodingError as error:
            raise EncodingError(f"client {name!r}: {error}") from None
        raise ConfigError("a mechanism counts all clients alike: to hide one with a large weight takes more noise; leave the weights out")

    def __repr__(self) -> str:
        return f"<federation of {len(self._keys)} clients after {self.terms.round} rounds>"
