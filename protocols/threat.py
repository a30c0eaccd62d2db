"""What a scheme protects against and what it costs, as data on the class that implements it.

README's table, ``mpc suites``, every run's report and the conformance tests are made from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mpc.errors import ConfigError
from mpc.ring import Ring


@dataclass(frozen=True, slots=True)
class Threat:
    """Against whom a scheme protects, and what it takes for granted."""

    adversary: Literal["semi-honest", "malicious"]
    corrupt: str  # in words, "t of n": "1 of 3", "n-1 of n", "(n-1)/2 of n" (rounded down)
    setup: str = "none"  # "trusted dealer", …
    leaks: str = (
        "the program, the shapes of its arrays, and, of rounded numbers on which a result depends, which way"
        " they were rounded"
    )

    def most(self, parties: int) -> int:
        """How many of so many parties may be corrupt, and pool what they have."""
        form = re.fullmatch(r"\(?(\d+|n)(?:-(\d+))?\)?(?:/(\d+))? of (\d+|n)", self.corrupt)
        if form is None:
            raise ConfigError(
                f"corrupt = {self.corrupt!r}: how many parties may be corrupt is said as in '1 of 3',"
                " 'n-1 of n' or '(n-1)/2 of n'"
            )
        many, less, share, of = form.groups()
        if of not in ("n", str(parties)):
            raise ConfigError(f"corrupt = {self.corrupt!r} speaks of {of} parties, not of {parties}")
        most = ((parties if many == "n" else int(many)) - int(less or 0)) // int(share or 1)
        if not 0 < most < parties:
            raise ConfigError(f"corrupt = {self.corrupt!r}: of {parties} parties that is {most}")
        return most

    def among(self, parties: int) -> str:
        """The same as a sentence about a run of so many parties."""
        corrupt = f"{self.most(parties)} of {parties}"
        given = "" if self.setup == "none" else f", given {self.setup}"
        stopped = (
            " A party that deviates can stop the run, also when it has seen the result; it cannot change it."
            if self.adversary == "malicious"
            else ""
        )
        return (
            f"Held against a {self.adversary} adversary that corrupts up to {corrupt} parties{given}."
            f"{stopped} Beyond the result, the parties learn {self.leaks}."
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """What an operation costs online: rounds, and ring elements that all n parties together send, per element
    of the result (``per`` says where it is per element of the two operands)."""

    rounds: int
    elements: Callable[[int, Ring], float]
    formula: str  # the same for each party, for people
    per: Literal["result", "operands"] = "result"
    tags: int = 0  # of 16 bytes, that all parties together send, whatever the size of a piece
    large: tuple[tuple[int, int, Cost], ...] = ()  # from so many parties and bytes of operands on: that

    def of(self, parties: int, nbytes: int) -> Cost:
        """What it is among so many parties, for operands of one shape and so many bytes together."""
        fitting = [cost for least, most, cost in self.large if parties >= least and nbytes >= most]
        return fitting[-1] if fitting else self

    def __str__(self) -> str:
        said = f"{self.rounds} round{'s' * (self.rounds != 1)}, {self.formula}"
        if not self.large:
            return said
        parties, _, cost = self.large[-1]
        return f"{said}; {parties} or more, large arrays: {cost}"
