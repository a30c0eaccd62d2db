"""What comes from outside is told a few times a minute, and then counted: nobody can fill a log.

    as it happens   {"event": "refused", "who": "10.0.0.7", "reason": "it showed no certificate"}
    once a minute   {"event": "refused", "more": 4711, "of": 12, "reasons": {"it showed no …": 4700, …}}

``EACH`` lines a minute for each sort of event and client, and ``STRANGERS`` for all connections that are no
client's; what the server does of itself is always told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

Note = Callable[[dict[str, Any]], None]

MINUTE, EACH, STRANGERS = 60.0, 10, 20
_MOST = 16  # different reasons in a count
_MANY = 1000  # different addresses that are told apart


@dataclass(slots=True)
class _Count:
    told: int = 0
    more: int = 0
    of: set[str] = field(default_factory=set)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, who: str, reason: str) -> None:
        self.more += 1
        if len(self.of) < _MANY:
            self.of.add(who)
        self.reasons[reason if reason in self.reasons or len(self.reasons) < _MOST else "other"] += 1


class Sparing:
    """Hands events on: ``tell`` what the server does, ``outside`` what others do to it."""

    def __init__(self, to: Note) -> None:
        self._to, self._until = to, 0.0
        self._counts: dict[tuple[str, str], _Count] = {}

    def tell(self, event: dict[str, Any]) -> None:
        self.turn()
        self._to(event)

    def outside(self, event: dict[str, Any], *, known: bool) -> None:
        """``known`` if it is a client's doing, who is named in ``who``, and not a stranger's."""
        self.turn()
        kind, who = event["event"], event.get("who", "")
        count = self._counts.setdefault((kind, who if known else ""), _Count())
        if count.told < (EACH if known else STRANGERS):
            count.told += 1
            self._to(event)
        else:
            count.add(who, event.get("reason", ""))

    def turn(self) -> None:
        """Tell what has been counted, if the minute is over."""
        if monotonic() >= self._until:
            self.close()
            self._until = monotonic() + MINUTE

    def close(self) -> None:
        """Tell what has been counted."""
        counts, self._counts = self._counts, {}
        for (kind, who), count in counts.items():
            if count.more:
                whose = {"who": who} if who else {"of": len(count.of)}
                self._to({"event": kind, "more": count.more, **whose, "reasons": dict(count.reasons)})
