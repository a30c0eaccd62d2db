"""One party of a session between processes or machines, or its dealer."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpc.config import Config
from mpc.errors import ConfigError
from mpc.frames import HEADER
from mpc.handshake import agree
from mpc.meter import Meter
from mpc.party import WINDOW, Party, leave
from mpc.prg import Stream
from mpc.transport.joining import connect
from mpc.transport.tls import check_own
from protocols.array.session import FUSE, Session, fraction_bits_of
from protocols.numpy import names as numpy_names
from protocols.prep import Prep, remembered
from protocols.prep.dealer import Dealer, DealerFrames, Dealt
from protocols.running.program import Program, engine
from protocols.running.seating import sit_down
from protocols.suite import CHUNK, Suite
from protocols.suites import find, ring_of, told
from protocols.suites.additive import Additive

if TYPE_CHECKING:
    from protocols.prep.ot import Oblivious
    from protocols.prep.store import Making, Store, Terms


#: What a dealer and the parties must agree on.
_WITH_DEALER = frozenset({"engine", "ring", "parties"})


def suite_of(config: Config) -> type[Suite]:
    """The suite a configuration asks for: by name, by naming a dealer, or by the number of parties."""
    name = config.suite or ("additive" if config.dealer and not config.malicious else None)
    kind = find(name, len(config.parties), config.malicious)
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
        kind = suite_of(config)
        terms |= {
            "suite": told(kind),
            "fraction_bits": fraction_bits_of(config.fraction_bits, ring_of(config.ring, kind)),
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
    ring = ring_of(config.ring, kind)
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
    if source is not None and (config.dealer is not None or not kind.needs_prep):
        raise ConfigError("what is made in advance is for the suite additive, without a dealer")
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
    transport = connect(
        config.rank,
        config.parties,
        tls=config.tls,
        dealer=config.dealer,
        timeout=config.timeout,
        listener=listener,
    )
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
    ring_of(config.ring, Additive)
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
        transport.flush({})
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
