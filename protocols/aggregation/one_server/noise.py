"""Differential privacy beside aggregation: how much noise is agreed on, how many clients must be in a sum,
and what is spent.

    shares of noise that count ≥ n − lost − colluding    of n clients, of whom lost drop out,
                                                         and colluding tell the server theirs

A round is refused before it begins if the budget does not hold it, and is paid for before vectors are masked:
from then on it may show a sum, whatever the server says.  Who keeps the account writes it to disk first, so
that a restart forgets nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from mpc.errors import ConfigError
from protocols.aggregation.files import locked, replace_file
from protocols.aggregation.one_server import bounds
from protocols.privacy.accounting import Budget
from protocols.privacy.mechanisms import Distributed, DistributedDiscreteGaussian, DistributedSkellam

LAWS: dict[str, type[Distributed]] = {"gaussian": DistributedDiscreteGaussian, "skellam": DistributedSkellam}


@dataclass(frozen=True, slots=True)
class Noise:
    """What an agreement says of privacy: (ε, δ) for so many rounds, those without a sum included, by clients'
    noise of this law.
    """

    epsilon: float
    delta: float
    rounds: int
    law: str = "gaussian"

    def __post_init__(self) -> None:
        if self.law not in LAWS:
            raise ConfigError(f"there is no noise of the law {self.law!r}: {' or '.join(map(repr, LAWS))}")

    def codec(
        self,
        clip: float,
        clients: int,
        dimension: int,
        *,
        dropout: float,
        corrupt: float,
        rotation: bytes | None = None,
        step: float = 0.0,
    ) -> Distributed:
        """The mechanism whose noise is enough when the stated fractions of clients are lost and collude."""
        missing = bounds.count(dropout, clients) + bounds.count(corrupt, clients)
        if missing >= clients:
            raise ConfigError(
                f"of {clients} clients {missing} may be lost or collude, and none is left to hide the others;"
                " state less dropout or corrupt"
            )
        return LAWS[self.law](
            self.epsilon,
            self.delta,
            clip,
            clients,
            dimension,
            self.rounds,
            rotation=rotation,
            step=step,
            dropout=missing / clients,
        )


def fewest(codec: Distributed, clients: int, dropout: float, corrupt: float) -> int:
    """Fewest clients in a sum: of their shares of the noise those of colluding clients hide nothing."""
    colluding, lost = bounds.count(corrupt, clients), bounds.count(dropout, clients)
    if clients - lost < codec.survivors + colluding:
        raise ConfigError(
            f"the mechanism's noise is enough with {codec.survivors} of {clients} shares, and {lost} may be"
            f" lost with drop-outs and {colluding} known to colluding clients; make it with"
            f" dropout={(lost + colluding) / clients:g} or more"
        )
    return codec.survivors + colluding


class Account:
    """A budget for all that bears this name, a session or a set of data, in a file that may hold those of
    others.

    Several processes may use the file at once; what is charged is on disk before anything is said, so that a
    crash can cost a round too much and never one too few.
    """

    def __init__(self, path: Path, name: str, epsilon: float, delta: float) -> None:
        self._path, self._name, self._limits = path, name, (epsilon, delta)
        self._read()

    @property
    def spent(self) -> float:
        """The ε of all rounds that were paid for."""
        return self._read()[1].spent

    def check(self, codec: Distributed) -> None:
        """``BudgetSpent`` if a further round would cost more than is left."""
        self._read()[1].charge(codec.mechanism, sampling=codec.sampling)

    def charge(self, codec: Distributed) -> None:
        """Pay for a round.  It is on disk when this returns."""
        with locked(self._path):
            spent, budget = self._read()
            budget.charge(codec.mechanism, sampling=codec.sampling)
            replace_file(self._path, json.dumps({**spent, self._name: budget.state}).encode())

    def _read(self) -> tuple[dict[str, list[float]], Budget]:
        try:
            spent = json.loads(self._path.read_text()) if self._path.exists() else {}
            return spent, Budget(*self._limits, spent.get(self._name, ()))
        except (OSError, ValueError, AttributeError, TypeError):
            raise ConfigError(
                f"{self._path} is not the account of what was spent: restore it, for without it nobody knows"
            ) from None
