"""Starting sessions: all parties in this process, one party of a networked session, the dealer.

The program is the same everywhere: ``main(party)``.
"""

from __future__ import annotations

import hashlib
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mpc.config import Config, data_of
from mpc.errors import ConfigError, PartyLost
from mpc.frames import HEADER
from mpc.handshake import agree
from mpc.interrupts import Held
from mpc.meter import OFFLINE, Meter
from mpc.party import WINDOW, Party, leave
from mpc.prg import Stream
from mpc.rounds import Task, spawn
from mpc.seat import take_seat
from mpc.transport import Transport
from mpc.transport.joining import connect
from mpc.transport.memory import mesh
from mpc.transport.tls import check_own
from protocols.array.session import FUSE, Session, fraction_bits_of
from protocols.numpy import names as numpy_names
from protocols.prep import Prep, remembered
from protocols.prep.dealer import Dealer, DealerFrames, Dealt
from protocols.running.program import Program, engine
from protocols.suite import CHUNK, Suite
from protocols.suites import find, ring_of

if TYPE_CHECKING:
    from mpc.progress import Line
    from protocols.prep.ot import Oblivious
    from protocols.prep.store import Making, Store, Terms

T = TypeVar("T")

#: What a dealer and the parties must agree on.
_WITH_DEALER = frozenset({"engine", "ring", "parties"})


async def sit_down(party: Party, kind: type[Suite], own: Stream, prep: Prep | None) -> Suite:
    """Agree on keys with the other parties and, where the suite needs correlated randomness,
    with its source.
    """
    party.seat = seat = await take_seat(party.rank, party.size, own)
    if prep is None or not kind.needs_prep:
        return kind(seat)
    await (await spawn(prep.setup(seat), OFFLINE + "setup"))
    return kind(seat, prep)


# -- all parties in this process ---------------------------------------------------------------------


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
        self._kind, self._seed, self._dealer, self._paths = find(suite, parties), insecure_seed, dealer, data
        self._options: dict[str, Any] = {
            "ring": ring_of(ring),
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
    ``additive`` for any other number, unless named.  Where a suite needs correlated randomness it is dealt,
    which is quick; with ``dealer=False`` the parties make it by oblivious transfer, as those of a networked
    session do unless their configuration names a dealer.  ``data`` are paths by the names under which
    programs that ``run`` runs ask for them (``party.data``); ``{id}`` in a path is the party's rank."""
    return Local(
        parties,
        suite,
        ring=ring,
        fraction_bits=fraction_bits,
        fuse=fuse,
        insecure_seed=insecure_seed,
        check=check,
        dealer=dealer,
        data=data or {},
    )


# -- one party of a networked session ----------------------------------------------------------------


def suite_of(config: Config) -> type[Suite]:
    """The suite a configuration asks for: by name, by naming a dealer, or by the number of parties."""
    kind = find(config.suite or ("additive" if config.dealer else None), len(config.parties))
    if config.dealer is not None and not kind.needs_prep:
        raise ConfigError(f"the suite '{kind.name}' needs no dealer: leave out either dealer = or suite =")
    if config.silent_transfers and (config.dealer is not None or not kind.needs_prep):
        raise ConfigError(
            "where a dealer deals, or the suite takes no correlated randomness, nothing is transferred: leave"
            " out silent_transfers ="
        )
    return kind


def transfers(config: Config) -> Oblivious:
    """The source of correlations that needs nobody else."""
    from protocols.prep.ot import Oblivious

    return Oblivious(silent=config.silent_transfers)


def terms_of(
    config: Config, program: Program | None, store: str | None = None, check: bool = False
) -> dict[str, Any]:
    """What must be the same at all parties."""
    terms: dict[str, Any] = {
        "engine": engine(),
        "ring": config.ring,
        "parties": [p.name for p in config.parties],
    }
    if program is not None:
        suite = suite_of(config).name
        terms |= {
            "suite": suite,
            "fraction_bits": fraction_bits_of(config.fraction_bits, ring_of(config.ring)),
            "dealer": config.dealer,
            "silent_transfers": config.silent_transfers,
            "fuse": FUSE,
            "chunk": CHUNK,
            "window": WINDOW,
            "store of correlations": store,
            "check": check,
            **program.terms,
        }
    return terms


def join(
    config: Config,
    program: Program,
    *,
    source: Store | Making | None = None,
    listener: socket.socket | None = None,
    trace: bool = False,
    check: bool = False,
) -> Session:
    """Connect to the other parties, agree on everything, and return the session; close it when done.

    ``program`` is what all parties must run.  With a store as its ``source`` the session takes correlations
    from there, with one that is to be made it is a rehearsal.  ``check`` shows all inputs to all parties, and
    is there only where all listen on this machine.  Raises ``ConfigError`` before anything is sent,
    ``HandshakeError`` where a peer is another or runs something else, ``PartyLost`` where it does not come.
    """
    kind = suite_of(config)
    ring = ring_of(config.ring)
    if config.rank >= len(config.parties):
        raise ConfigError(f"'{config.me}' is the dealer of this session; run 'mpc dealer' with this file")
    if check and not all(_is_here(p.host) for p in config.parties):
        raise ConfigError(
            "a session that checks shows all inputs to all parties: all must listen on this machine, at"
            " 127.0.0.1"
        )
    if config.tls is not None:
        check_own(config.tls, config.me)
    names = dict(enumerate(p.name for p in config.parties))
    if config.dealer is not None:
        names[len(config.parties)] = config.dealer
    transport = connect(
        config.rank,
        config.parties,
        tls=config.tls,
        dealer=config.dealer,
        timeout=config.timeout,
        listener=listener,
    )
    kind_of_session, store = Session, None
    if config.dealer is not None:
        prep: Prep | None = Dealt(config.rank, len(config.parties))
    elif not kind.needs_prep:
        prep = None
    elif source is None:
        prep = transfers(config)
    else:
        from protocols.running.rehearsal import sourced

        kind_of_session, prep, store = sourced(source, transfers(config))
    party = Party(transport, meter=Meter(trace=[] if trace else None), names=names)
    try:
        peers = {p: n for p, n in names.items() if p != party.rank}
        agree(transport, peers, terms_of(config, program, store, check), _WITH_DEALER)
        program.on_late = lambda file, digest: party.agreed.update(f"module {file} {digest} ".encode())
        suite = party.run(sit_down(party, kind, Stream.fresh("own"), prep))
        return kind_of_session(
            [party],
            [suite],
            numpy_names,
            ring=ring,
            fraction_bits=config.fraction_bits,
            largest=config.largest_array,
            check=check,
            data=config.data,
        )
    except BaseException as error:
        party.close(error)
        raise


def _is_here(host: str) -> bool:
    """Whether an address is this machine's own, as ``mpc run`` writes it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def store_of(config: Config, *, lasting: bool = True) -> tuple[Path, Terms, bytes, Path | None]:
    """Where a party's correlations are kept, whose they are, what seals them, and where their use is
    remembered.

    That is nowhere, unless they are ``lasting``: those of ``mpc run`` go with their party's key.
    """
    suite = suite_of(config)
    if not suite.needs_prep:
        raise ConfigError(
            f"the suite '{suite.name}' takes no correlated randomness: there is nothing to make in advance"
        )
    if config.dealer is not None:
        raise ConfigError("what is made in advance is made without a dealer: leave out dealer =")
    if config.tls is None:
        raise ConfigError(
            "what is made in advance is encrypted under this party's private key: give certificate and key in"
            " place of insecure_no_tls"
        )
    from protocols.prep.store import Terms, secret_of

    terms = Terms(suite.name, config.ring, tuple(p.name for p in config.parties), config.rank)
    memory = remembered.home() if lasting else None
    return config.folder / "correlations" / config.me, terms, secret_of(config.tls.key), memory


def serve_dealer(config: Config) -> None:
    """Deal to one session until its parties have left."""
    n = len(config.parties)
    if config.rank != n:
        raise ConfigError(
            f"'{config.me}' is a party of this session, not its dealer; run 'mpc party' with this file"
        )
    ring_of(config.ring)
    if config.tls is not None:
        check_own(config.tls, config.me)
    transport = connect(n, config.parties, tls=config.tls, dealer=config.dealer, timeout=config.timeout)
    error: BaseException | None = None
    try:
        agree(
            transport, {i: p.name for i, p in enumerate(config.parties)}, terms_of(config, None), _WITH_DEALER
        )
        frames = DealerFrames(Dealer(n), config.largest_array)
        for i in range(n):
            transport.post(i, frames.greeting(i))
        transport.flush()
        transport.timeout = None  # parties may compute for hours between two requests
        while True:
            header = bytearray(HEADER.size)
            transport.collect({n - 1: memoryview(header)})
            length = frames.expects(n - 1, header)
            if length is None:
                transport.excuse(n - 1)
                break
            frame = bytearray(HEADER.size + length)
            frame[: HEADER.size] = header
            transport.collect({n - 1: memoryview(frame)[HEADER.size :]})
            transport.post(n - 1, frames.answer(n - 1, bytes(frame)))
        transport.timeout = config.timeout
    except BaseException as failure:
        error = failure
        raise
    finally:
        leave(transport, range(n), error)
