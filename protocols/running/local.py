"""All parties of a session in this process."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mpc.config import data_of
from mpc.errors import ConfigError, PartyLost
from mpc.interrupts import Held
from mpc.party import Party
from mpc.prg import Stream
from mpc.rounds import Task
from mpc.transport import Transport
from mpc.transport.memory import mesh
from protocols.array.session import FUSE, Session
from protocols.numpy import names as numpy_names
from protocols.prep import Prep
from protocols.prep.dealer import Dealer, DealerFrames, Dealt
from protocols.running.seating import sit_down
from protocols.suites import find, ring_of

if TYPE_CHECKING:
    from mpc.progress import Line


T = TypeVar("T")


class Local(Session):
    """All parties of a session, in this process, moved in lockstep by one thread: what ``mpc.local`` makes.

    ``run`` runs a program ``main(party)`` once for each party.
    """

    _line: Line | None

    def __init__(
        self,
        parties: int,
        suite: str | None,
        *,
        malicious: bool,
        ring: int,
        fraction_bits: int | None,
        fuse: int,
        insecure_seed: int | None,
        check: bool,
        dealer: bool,
        data: Mapping[str, str],
    ) -> None:
        if not isinstance(parties, int | np.integer):
            raise ConfigError(f"parties is how many there are, a whole number, not {parties!r:.40}")
        if parties < 2:
            raise ConfigError(f"a session takes at least 2 parties, not {parties}")
        self._kind, self._seed = find(suite, parties, malicious), insecure_seed
        self._dealer, self._paths = dealer, data
        self._options: dict[str, Any] = {
            "ring": ring_of(ring, self._kind),
            "fraction_bits": fraction_bits,
            "fuse": fuse,
            "check": check,
        }
        members = [Party(t) for t in self._mesh(parties, timeout=0)]
        tasks = [p.start(sit_down(p, self._kind, self._own(p.rank), self._prep(p))) for p in members]
        self.parties, self._held, self._line = tuple(members), Held(), None
        super().__init__(members, self._finish(tasks), numpy_names, **self._options)
        if sys.stderr.isatty() or "ipykernel" in sys.modules:
            from mpc.progress import Line

            members[0].on_progress = self._line = Line()

    def _finish(self, tasks: Sequence[Task[T]]) -> list[T]:
        try:
            return super()._finish(tasks)
        finally:
            if self._line is not None:
                self._line.close()

    def run(self, main: Callable[[Session], Any]) -> list[Any]:
        """Run ``main(party)`` once per party, each in a thread with links of its own; their results by party.

        The first failure ends all parties and is raised here; an interrupt (Ctrl-C) ends them at their next
        operation.  What they make is apart from this session: a secret has to be revealed inside ``main``.
        """
        results: list[Any] = [None] * self.size
        errors: list[tuple[bool, int, BaseException]] = []

        def body(transport: Transport) -> None:
            party = Party(transport)
            try:
                try:
                    suite = party.run(sit_down(party, self._kind, self._own(party.rank), self._prep(party)))
                    session = Session(
                        [party], [suite], numpy_names, data=data_of(self._paths, party.rank), **self._options
                    )
                    results[party.rank] = main(session)
                except BaseException as error:
                    party.close(error)
                    raise
                session.close()
            except BaseException as error:
                errors.append((isinstance(error, PartyLost), len(errors), error))

        transports = self._mesh(self.size, timeout=60)
        threads = [threading.Thread(target=body, args=(t,), daemon=True) for t in transports]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except BaseException:  # an interrupt: nobody computes on for it
            for transport in transports:
                transport.close()
            raise
        if errors:
            raise min(errors, key=lambda e: e[:2])[2]  # a cause rather than the loss of a party that follows
        return results

    def _mesh(self, parties: int, timeout: float) -> list[Any]:
        if not (self._kind.needs_prep and self._dealer):
            return list(mesh(parties, timeout=timeout))
        frames = DealerFrames(Dealer(parties, None if self._seed is None else self._stream("dealer")))
        return list(
            mesh(
                parties,
                service=frames.answer,
                timeout=timeout,
                greetings={i: frames.greeting(i) for i in range(parties)},
            )
        )

    def _prep(self, party: Party) -> Prep | None:
        if not self._kind.needs_prep:
            return None
        if self._dealer:
            return Dealt(party.rank, party.size)
        from protocols.prep.ot import Oblivious  # here: others need not load what computes it

        return Oblivious()

    def _own(self, rank: int) -> Stream:
        return Stream.fresh("own") if self._seed is None else self._stream(f"party {rank}")

    def _stream(self, label: str) -> Stream:
        return Stream(hashlib.sha256(str(self._seed).encode()).digest(), f"INSECURE {label}")


def local(
    parties: int = 3,
    suite: str | None = None,
    *,
    malicious: bool = False,
    ring: int = 64,
    fraction_bits: int | None = None,
    fuse: int = FUSE,
    insecure_seed: int | None = None,
    check: bool = False,
    dealer: bool = True,
    data: Mapping[str, str] | None = None,
) -> Local:
    """A session of all parties in this process: for notebooks, tests and cost estimates.

    Used directly it speaks for all parties; ``mpc.local(3).run(main)`` runs a program ``main(party)`` once
    for each, and returns what each has returned.  ``rounds`` and ``sent`` say what it has taken so far,
    ``report("wan")`` prints it by operation.

    It protects nothing, since one process holds everything.  ``ring`` is 64, 128 or 32 bits; floats are
    shared with ``fraction_bits`` fractional bits (16, 40 or 8); up to ``fuse`` elements of results wait for
    company before their round is sent (0: every operation on its own); with ``insecure_seed`` all is
    deterministic.  With ``check`` the program runs in the clear beside this session and those that ``run``
    makes, and to reveal what is wrong is a ``RangeError`` that names the operation and the line at which a
    value left its range or lost its digits; for debugging.  The suite is ``replicated`` for three parties and
    ``additive`` for any other number, unless named; with ``malicious`` it is one that holds against parties
    that deviate, of four parties ``fantastic-four``.  Where a suite needs correlated randomness it is dealt,
    which is quick; with ``dealer=False`` the parties make it by oblivious transfer, as those of a networked
    session do unless their configuration names a dealer.  ``data`` are paths by the names under which
    programs that ``run`` runs ask for them (``party.data``); ``{id}`` in a path is the party's rank."""
    return Local(
        parties,
        suite,
        malicious=malicious,
        ring=ring,
        fraction_bits=fraction_bits,
        fuse=fuse,
        insecure_seed=insecure_seed,
        check=check,
        dealer=dealer,
        data=data or {},
    )
