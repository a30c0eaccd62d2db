"""Programs: ``run``, ``party``, ``offline``, ``dealer``."""

from __future__ import annotations

import io
import json
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from mpc import launch
from mpc.cli.options import (
    PARTIES,
    DataType,
    Seconds,
    arguments_option,
    config_option,
    is_launched,
    malicious_option,
    network_option,
    quiet_option,
    reporting_errors,
    started_by_run,
    trace_option,
)
from mpc.config import DAY, Config
from mpc.errors import ConfigError
from mpc.meter import Network
from mpc.process import collect_less_garbage, keep_freed_memory

if TYPE_CHECKING:
    from protocols.array.session import Session
    from protocols.running.program import Program
    from protocols.running.rehearsal import RehearsalSession

S = TypeVar("S", bound="Session")


@click.command()
@click.argument("program", type=click.Path(path_type=Path))
@arguments_option
@click.option("-n", "--parties", default=3, show_default=True, type=PARTIES, help="Number of parties.")
@click.option(
    "--suite", default=None, help="See 'mpc suites'.  [default: replicated for three parties, else additive]"
)
@malicious_option
@click.option("--ring", default=64, show_default=True, help="Bits of the ring: 64, 32 or 128; or a prime.")
@click.option(
    "--fraction-bits",
    default=None,
    type=int,
    help="Fractional bits of shared floats.  [default: 16; 8 with 32 bits, 40 with 128]",
)
@click.option(
    "--timeout",
    default=60.0,
    show_default=True,
    type=Seconds(0, DAY, min_open=True),
    help="Seconds any wait may last.",
)
@click.option("--insecure-no-tls", is_flag=True, help="Send everything in the clear.")
@click.option(
    "--dealer", is_flag=True, help="Trust a dealer with the random numbers that the suite additive uses up."
)
@click.option(
    "--offline",
    is_flag=True,
    help="Make correlated randomness first, in a run of its own: see 'mpc offline'.",
)
@click.option(
    "--silent-transfers",
    is_flag=True,
    help="Make correlated randomness with half the bytes and more computing: for slow networks.",
)
@click.option(
    "--data",
    multiple=True,
    type=DataType(),
    metavar="NAME=PATH",
    help=(
        "Data that the program asks for by NAME, as party.data(NAME); {id} in PATH is the "
        "party's number.  May be repeated."
    ),
)
@click.option(
    "--check",
    is_flag=True,
    help=(
        "Run the program in the clear beside this run.  A result that is wrong is then an error, which names"
        " the operation and the line at which a value left its range or lost its digits.  For data that may"
        " be shown: every party is shown all inputs, and nothing is protected."
    ),
)
@quiet_option
@trace_option
@network_option
@reporting_errors
def run(
    program: Path,
    arguments: tuple[str, ...],
    data: tuple[tuple[str, str], ...],
    parties: int,
    suite: str | None,
    malicious: bool,
    ring: int,
    fraction_bits: int | None,
    timeout: float,
    insecure_no_tls: bool,
    dealer: bool,
    offline: bool,
    silent_transfers: bool,
    check: bool,
    quiet: bool,
    trace: Path | None,
    networks: tuple[Network, ...],
    debug: bool,
) -> None:
    """Run PROGRAM with all parties as processes on this machine, over TCP with mutual TLS.

    A dealer, if asked for, is one more process.  Party 0's output is shown, and the
    others' where it differs.  What follows -- is the program's, in sys.argv as a script's
    would be; a main that takes more than the party is given it too.
    """
    from protocols.array.session import fraction_bits_of
    from protocols.suites import find, ring_of

    kind = find(suite, parties, malicious)
    bits = fraction_bits_of(fraction_bits, ring_of(ring, kind))
    if dealer and not kind.needs_prep:
        raise ConfigError(
            f"the suite '{kind.name}' needs no dealer: leave out --dealer, or add --suite additive"
        )
    if offline and not kind.needs_prep:
        raise ConfigError(
            f"the suite '{kind.name}' takes no correlated randomness: leave out --offline, or add --suite"
            " additive"
        )
    if offline and (dealer or insecure_no_tls):
        raise ConfigError(
            "what is made in advance is made without a dealer, and encrypted under keys of TLS: leave out"
            " --dealer and --insecure-no-tls"
        )
    if check and offline:
        raise ConfigError("a run that checks protects nothing, and uses up no store: leave out --offline")
    if silent_transfers and (dealer or not kind.needs_prep):
        raise ConfigError(
            "where a dealer deals, or the suite takes no correlated randomness, nothing is transferred: leave"
            " out --silent-transfers"
        )
    plan = launch.Plan(
        program,
        parties,
        suite or kind.name,
        dealer,
        offline,
        silent_transfers,
        ring,
        bits,
        not insecure_no_tls,
        trace is not None,
        debug,
        timeout,
        check=check,
        progress=not quiet,
        data=data,
        arguments=arguments,
    )
    launch.check_inputs(plan)
    if trace is not None:
        _write_trace(trace, [])  # better to fail now than after the run
    outcome = launch.run(plan)
    if outcome.code:
        sys.exit(outcome.code)
    if outcome.reports and not quiet:  # there are none where the program has ended its processes
        from mpc import report

        report.show(outcome.reports, networks, outcome.offline)
    if trace is not None:
        _write_trace(trace, [event for r in outcome.reports for event in r["trace"]])


@click.command()
@click.argument("program", type=click.Path(path_type=Path))
@arguments_option
@config_option
@trace_option
@network_option
@quiet_option
@click.option(
    "--use-offline",
    is_flag=True,
    help=(
        "Take correlated randomness from the store that 'mpc offline' has made; what it lacks is made on"
        " demand."
    ),
)
@click.option("--check", is_flag=True, hidden=True)
@started_by_run
@reporting_errors
def party(
    program: Path,
    arguments: tuple[str, ...],
    config_file: Path,
    trace: Path | None,
    networks: tuple[Network, ...],
    quiet: bool,
    use_offline: bool,
    check: bool,
    report_to: Path | None,
    listen_fd: int | None,
    progress_fd: int | None,
    debug: bool,
) -> None:
    """Run PROGRAM as one party of a session with other machines.

    What follows -- is the program's, in sys.argv as a script's would be; a main that takes more
    than the party is given it too.  It need not be the same at all parties.
    """
    from mpc.readable import parts, plain
    from protocols.array.secret import Secret
    from protocols.running import deployed as runner

    if check and not is_launched():
        raise ConfigError(
            "--check shows all parties' inputs to every party: it is there for 'mpc run', which has all of"
            " them on this machine"
        )
    config, loaded = _prepared(program, arguments, config_file, quiet or report_to is not None)
    with ExitStack() as stack:
        store = None
        if use_offline:
            from protocols.prep.store import Store

            store = stack.enter_context(closing(Store(*runner.store_of(config, lasting=report_to is None))))
            _warn(store.doubt)
        session = runner.join(
            config, loaded, source=store, listener=_listener(listen_fd), trace=trace is not None, check=check
        )

        def compute(session: Session) -> None:
            result = loaded.main(session)
            # Shown before we leave: it stands, even if a peer then turns out to be lost.
            if result is not None:
                click.echo(plain(result))
            if any(isinstance(part, Secret) for part in parts(result)):
                click.echo("main returned a secret: call its .reveal() to see what it is", err=True)

        _carried_out(session, compute, _progress_to(progress_fd, quiet or report_to is not None))
    facts = {}
    if store is not None:
        from protocols.prep.stored import Stored

        prep = session.suites[0].prep
        assert isinstance(prep, Stored)
        facts["correlations"] = prep.said()
    _conclude(config, session, facts, networks, quiet, report_to, trace)


@click.command()
@click.argument("program", type=click.Path(path_type=Path))
@arguments_option
@config_option
@network_option
@quiet_option
@started_by_run
@reporting_errors
def offline(
    program: Path,
    arguments: tuple[str, ...],
    config_file: Path,
    networks: tuple[Network, ...],
    quiet: bool,
    report_to: Path | None,
    listen_fd: int | None,
    progress_fd: int | None,
    debug: bool,
) -> None:
    """Make in advance what PROGRAM will use up of correlated randomness.

    All parties run this, with the suite additive and without a dealer.  PROGRAM runs on dummy values of the
    same shapes as its inputs, to learn what it takes; the inputs are read and stay where they are, and what
    it prints is not shown.  What is made lies in the folder correlations beside the configuration, encrypted
    under this party's private key, until a run with 'mpc party --use-offline' uses it up; what was there
    before is thrown away."""
    from protocols.prep.store import Making
    from protocols.running import deployed as runner
    from protocols.running.rehearsal import RehearsalSession

    config, loaded = _prepared(program, arguments, config_file, quiet or report_to is not None)
    with closing(Making(*runner.store_of(config, lasting=report_to is None))) as making:
        session = runner.join(config, loaded, source=making, listener=_listener(listen_fd))
        assert isinstance(session, RehearsalSession)

        def rehearse(session: RehearsalSession) -> None:
            with redirect_stdout(io.StringIO()):
                loaded.main(session)
            session.keep(making, runner.transfers(config))

        _carried_out(session, rehearse, _progress_to(progress_fd, quiet or report_to is not None))
        _warn(making.doubt)
    _conclude(
        config,
        session,
        {"phases": ["making", "rehearsal"], "correlations": making.said()},
        networks,
        quiet,
        report_to,
        None,
    )


def _prepared(
    program: Path, arguments: tuple[str, ...], config_file: Path, silent: bool
) -> tuple[Config, Program]:
    """The configuration and the program, which has been loaded."""
    from mpc import config as configuration
    from protocols.running.program import Program

    keep_freed_memory()
    config = configuration.load(config_file)
    if not silent:
        _say_who_is_awaited(config)
    sys.argv = [str(program), *arguments]  # as a script sees it
    loaded = Program(program, arguments)
    collect_less_garbage()
    return config, loaded


def _listener(fd: int | None) -> socket.socket | None:
    return None if fd is None else socket.socket(fileno=fd)


def _progress_to(fd: int | None, silent: bool) -> TextIO | None:
    """Where to say how far this party is: where ``mpc run`` says, or on standard error."""
    return open(fd, "w") if fd is not None else None if silent else sys.stderr


def _carried_out(session: S, work: Callable[[S], None], progress_to: TextIO | None) -> None:
    """Do this, then leave the session; the others hear of it if it fails."""
    from mpc.progress import Progress

    party = session.parties[0]
    progress = None if progress_to is None else Progress(progress_to, party.meter)
    party.on_progress = progress
    error: BaseException | None = None
    try:
        work(session)
    except BaseException as failure:
        error = failure
        raise
    finally:
        try:
            if progress is not None:
                progress.close()
        finally:
            session.close(error)


def _conclude(
    config: Config,
    session: Session,
    facts: dict[str, Any],
    networks: tuple[Network, ...],
    quiet: bool,
    report_to: Path | None,
    trace: Path | None,
) -> None:
    """Report what the session took, to the user or to ``mpc run``."""
    meter = session.parties[0].meter
    channels = (
        "TLS 1.3 with certificates on both sides"
        if config.tls
        else "INSECURE: plain TCP, anybody on the network can read and alter what is sent"
    )
    threat = session.protection
    if session.check is None and config.tls is None:
        threat = f"INSECURE: void, since whoever reads the network reads the keys. With TLS: {threat}"
    said = {
        "name": config.me,
        "rank": config.rank,
        "meter": meter.as_dict(),
        "threat": threat,
        "channels": channels,
        **facts,
    }
    if report_to is not None:
        report_to.write_text(json.dumps(said))
    elif not quiet:
        from mpc import report

        report.show([said], networks)
    if trace is not None:
        _write_trace(trace, [{**event, "pid": config.me} for event in meter.trace or ()])


def _say_who_is_awaited(config: Config) -> None:
    others = [p.name for p in config.parties if p.name != config.me] + (
        [config.dealer] if config.dealer not in (None, config.me) else []
    )
    click.echo(f"{config.me}: waiting up to {config.timeout:g} s for {', '.join(map(str, others))}", err=True)


def _warn(doubt: str) -> None:
    if doubt:
        click.echo(f"warning: {doubt}", err=True)


def _write_trace(path: Path, events: list[dict[str, Any]]) -> None:
    try:
        path.write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}))
    except OSError as error:
        raise ConfigError(f"the trace cannot be written to {path}: {error.strerror}") from None


@click.command()
@config_option
@reporting_errors
def dealer(config_file: Path, debug: bool) -> None:
    """Deal correlated randomness to the parties of one session, then end.

    The dealer is trusted: see 'mpc suites' for what with.
    """
    from mpc import config as configuration
    from protocols.running import deployed as runner

    keep_freed_memory()
    config = configuration.load(config_file)
    _say_who_is_awaited(config)
    runner.serve_dealer(config)
    click.echo("the parties have left", err=True)
