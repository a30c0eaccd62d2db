"""Sessions whose correlated randomness is made in advance: those that find out how much, and those that use
it up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mpc.encoding import BOOL, Fixed, Kind
from mpc.meter import OFFLINE
from mpc.prg import SEED_BYTES, Stream
from mpc.ring import Z64, RingArray, Spec
from protocols.array.session import Session
from protocols.prep import Prep, name_of
from protocols.prep.ot import Oblivious
from protocols.prep.store import Making, Store
from protocols.prep.stored import Rehearsal, Stored, fill


def sourced(source: Store | Making, transfers: Oblivious) -> tuple[type[Session], Prep, str]:
    """What takes correlations from a store, or fills it: a session's class, its source, and how that differs
    from others'.
    """
    if isinstance(source, Making):
        return RehearsalSession, Rehearsal(), "to be made"
    return Session, Stored(source, transfers), source.run


class RehearsalSession(Session):
    """A program's run on dummy values, from which follows what it takes; what users pass stays where it is.

    Real numbers become uniform ones from 0.5 to 1.5, integers and truth values random bits, all of them
    public: values that may be divided by, counted and compared, so that the program goes the way that it
    would."""

    def _encode(self, values: Any, kind: Kind | None) -> tuple[Kind, RingArray]:
        kind, real = super()._encode(values, kind)
        words = (
            Stream(bytes(SEED_BYTES), f"INSECURE dummy {self.id} {self._made}")
            .draw(Spec(Z64, real.shape))
            .data
        )
        bits = words >> np.uint64(63)
        dummy = (
            0.5 + words * 2.0**-64 if isinstance(kind, Fixed) else bits.astype(bool) if kind == BOOL else bits
        )
        return kind, kind.encode(dummy, self.ring)

    def keep(self, making: Making, prep: Oblivious) -> None:
        """Make what the program has taken, and keep it."""
        (party,), (suite,) = self.parties, self.suites
        assert isinstance(suite.prep, Rehearsal)
        counts = suite.prep.taken
        party.agreed.update(repr([(name_of(kind), count) for kind, count in counts.items()]).encode())
        making.commit(party.run(fill(suite.seat, prep, making, counts), OFFLINE + "store"))
