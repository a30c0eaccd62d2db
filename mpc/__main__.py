"""The command line: ``mpc run``, ``party``, ``offline``, ``dealer``, ``certs``, ``aggregate``, ``suites``, ``bench``.

With ``mpc/__init__.py`` the one place in ``mpc`` that knows ``protocols``: this is the front door.
"""
from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # An interrupt while all this loads ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import io
import json
import math
import os
import select
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack, closing, redirect_stdout
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from mpc import launch
from mpc.config import DAY, Config
from mpc.errors import ConfigError, MpcError
from mpc.meter import Network
from mpc.process import collect_less_garbage, have_standard_files, keep_freed_memory, write_no_core

if TYPE_CHECKING:
    from protocols.program import Program
    from protocols.rehearsal import RehearsalSession
    from protocols.session import Session

S = TypeVar("S", bound="Session")


def _reporting_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """One sentence and exit code 1 for whatever goes wrong; the traceback only with ``--debug``."""
    @wraps(command)
    def wrapper(*args: Any, debug: bool = False, **kwargs: Any) -> Any:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return command(*args, debug=debug, **kwargs)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(130)
        except BaseException as error:
            if isinstance(error, SystemExit) or (isinstance(error, BrokenPipeError) and _nobody_reads()):
                raise                               # click ends in silence where its reader has left
            report_to = kwargs.get("report_to")
            if debug:
                traceback.print_exc()
            elif report_to is not None and _is_launched():      # which says it once for all that say the same
                report_to.write_text(json.dumps({"error": _sentence(error)}))
            else:
                click.echo(f"error: {_sentence(error)}", err=True)
            sys.exit(1)
    return click.option("--debug", is_flag=True, help="Show tracebacks.")(wrapper)


def _nobody_reads() -> bool:
    """Whether standard output is a pipe whose other end is closed."""
    poll = select.poll()
    poll.register(1, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def _sentence(error: BaseException) -> str:
    ours = (sys.prefix, sys.base_prefix, str(Path(__file__).parent), str(Path(__file__).parent.parent / "protocols"), "<frozen")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(ours)]
    place = f" (in {Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    try:
        said = str(error)
    except Exception:                               # a user's own class may do anything
        said = "it cannot say what went wrong"
    if isinstance(error, MpcError):
        return f"{said}{place}"
    return f"{type(error).__name__}: {said}{place}; --debug shows the traceback"


class _NetworkType(click.ParamType[Network]):
    name = "lan|wan|RTTms,Mbps"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Network:
        try:
            return value if isinstance(value, Network) else Network.parse(value)
        except ValueError:
            self.fail("give lan, wan, or a round-trip time in ms and a rate in Mbit/s, as in 20,1000", param, ctx)


class _DataType(click.ParamType[tuple[str, str]]):
    name = "name=path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        name, equals, path = value.partition("=")
        if not (name and equals and path):
            self.fail("give NAME=PATH, as in rows=hospital_{id}.csv", param, ctx)
        return name, path


class _Seconds(click.FloatRange):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail("give a number of seconds", param, ctx)
        return seconds


_parties = click.IntRange(max=launch.MOST)
_network = click.option("--network", "networks", multiple=True, type=_NetworkType(),
                        help="Add what this run would take there: lan (0.2 ms, 10 Gbit/s), wan (50 ms, 100 Mbit/s) "
                             "or RTT in ms and Mbit/s, as in 20,1000. May be repeated.")
_trace = click.option("--trace", type=click.Path(path_type=Path, dir_okay=False), help="Write a trace for Chrome or Perfetto.")
_arguments = click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS]...")
_quiet = click.option("--quiet", "-q", is_flag=True, help="Print results and errors alone.")
_config = click.option("--config", "config_file", required=True, type=click.Path(path_type=Path), help="This party's TOML file.")


def _started_by_run(command: Callable[..., Any]) -> Callable[..., Any]:
    """How ``mpc run`` starts a party: where to report to, the socket to listen on, and where to say how far it is."""
    for option, kind in (("--report-to", click.Path(path_type=Path)), ("--listen-fd", click.INT), ("--progress-fd", click.INT)):
        command = click.option(option, type=kind, hidden=True)(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mpc-engine")
def main() -> None:
    """Secure multi-party computation for NumPy programs.

    Several parties, each with private data, compute a joint result and see nothing else.
    """
    have_standard_files()
    write_no_core()


@main.command()
@click.argument("program", type=click.Path(path_type=Path))
@_arguments
@click.option("-n", "--parties", default=3, show_default=True, type=_parties, help="Number of parties.")
@click.option("--suite", default=None, help="See 'mpc suites'.  [default: replicated for three parties, else additive]")
@click.option("--ring", default=64, show_default=True, help="Bits of the ring: 64, 32 or 128.")
@click.option("--fraction-bits", default=None, type=int, help="Fractional bits of shared floats.  [default: 16; 8 with 32 bits, 40 with 128]")
@click.option("--timeout", default=60.0, show_default=True, type=_Seconds(0, DAY, min_open=True),
              help="Seconds any wait may last.")
@click.option("--insecure-no-tls", is_flag=True, help="Send everything in the clear.")
@click.option("--dealer", is_flag=True, help="Trust a dealer with the random numbers that the suite additive uses up.")
@click.option("--offline", is_flag=True, help="Make correlated randomness first, in a run of its own: see 'mpc offline'.")
@click.option("--silent-transfers", is_flag=True, help="Make correlated randomness with half the bytes and more computing: for slow networks.")
@click.option("--data", multiple=True, type=_DataType(), metavar="NAME=PATH", help="Data that the program asks for by NAME, as party.data(NAME); {id} in PATH is the "
              "party's number.  May be repeated.")
@click.option("--check", is_flag=True, help="Run the program in the clear beside this run.  A result that is wrong is then an error, which names the operation and "
              "the line at which a value left its range or lost its digits.  For data that may be shown: every party is shown all inputs, and nothing is protected.")
@_quiet
@_trace
@_network
@_reporting_errors
def run(program: Path, arguments: tuple[str, ...], data: tuple[tuple[str, str], ...], parties: int, suite: str | None, ring: int, fraction_bits: int | None, timeout: float, insecure_no_tls: bool, dealer: bool, offline: bool,
        silent_transfers: bool, check: bool, quiet: bool, trace: Path | None, networks: tuple[Network, ...], debug: bool) -> None:
    """Run PROGRAM with all parties as processes on this machine, over TCP with mutual TLS.

    A dealer, if asked for, is one more process.  Party 0's output is shown, and the
    others' where it differs.  What follows -- is the program's, in sys.argv as a script's
    would be; a main that takes more than the party is given it too.
    """
    from protocols.session import fraction_bits_of
    from protocols.suites import find, ring_of
    kind = find(suite, parties)
    bits = fraction_bits_of(fraction_bits, ring_of(ring))
    if dealer and not kind.needs_prep:
        raise ConfigError(f"the suite '{kind.name}' needs no dealer: leave out --dealer, or add --suite additive")
    if offline and not kind.needs_prep:
        raise ConfigError(f"the suite '{kind.name}' takes no correlated randomness: leave out --offline, or add --suite additive")
    if offline and (dealer or insecure_no_tls):
        raise ConfigError("what is made in advance is made without a dealer, and encrypted under keys of TLS: leave out --dealer and --insecure-no-tls")
    if check and offline:
        raise ConfigError("a run that checks protects nothing, and uses up no store: leave out --offline")
    if silent_transfers and (dealer or not kind.needs_prep):
        raise ConfigError("where a dealer deals, or the suite takes no correlated randomness, nothing is transferred: leave out --silent-transfers")
    plan = launch.Plan(program, parties, kind.name, dealer, offline, silent_transfers, ring, bits, not insecure_no_tls,
                       trace is not None, debug, timeout, check=check, progress=not quiet, data=data, arguments=arguments)
    launch.check_inputs(plan)
    if trace is not None:
        _write_trace(trace, [])                     # better to fail now than after the run
    outcome = launch.run(plan)
    if outcome.code:
        sys.exit(outcome.code)
    if outcome.reports and not quiet:               # there are none where the program has ended its processes
        from mpc import report
        report.show(outcome.reports, networks, outcome.offline)
    if trace is not None:
        _write_trace(trace, [event for r in outcome.reports for event in r["trace"]])


@main.command()
@click.argument("program", type=click.Path(path_type=Path))
@_arguments
@_config
@_trace
@_network
@_quiet
@click.option("--use-offline", is_flag=True, help="Take correlated randomness from the store that 'mpc offline' has made; what it lacks is made on demand.")
@click.option("--check", is_flag=True, hidden=True)
@_started_by_run
@_reporting_errors
def party(program: Path, arguments: tuple[str, ...], config_file: Path, trace: Path | None, networks: tuple[Network, ...], quiet: bool, use_offline: bool, check: bool,
          report_to: Path | None, listen_fd: int | None, progress_fd: int | None, debug: bool) -> None:
    """Run PROGRAM as one party of a session with other machines.

    What follows -- is the program's, in sys.argv as a script's would be; a main that takes more
    than the party is given it too.  It need not be the same at all parties.
    """
    from mpc.readable import parts, plain
    from protocols import run as runner
    from protocols.array import Secret
    if check and not _is_launched():
        raise ConfigError("--check shows all parties' inputs to every party: it is there for 'mpc run', which has all of them on this machine")
    config, loaded = _prepared(program, arguments, config_file, quiet or report_to is not None)
    with ExitStack() as stack:
        store = None
        if use_offline:
            from protocols.prep.store import Store
            store = stack.enter_context(closing(Store(*runner.store_of(config, lasting=report_to is None))))
            _warn(store.doubt)
        session = runner.join(config, loaded, source=store, listener=_listener(listen_fd), trace=trace is not None, check=check)

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


@main.command()
@click.argument("program", type=click.Path(path_type=Path))
@_arguments
@_config
@_network
@_quiet
@_started_by_run
@_reporting_errors
def offline(program: Path, arguments: tuple[str, ...], config_file: Path, networks: tuple[Network, ...], quiet: bool, report_to: Path | None, listen_fd: int | None, progress_fd: int | None,
            debug: bool) -> None:
    """Make in advance what PROGRAM will use up of correlated randomness.

    All parties run this, with the suite additive and without a dealer.  PROGRAM runs on dummy values of the same shapes as
    its inputs, to learn what it takes; the inputs are read and stay where they are, and what it prints is not shown.  What
    is made lies in the folder correlations beside the configuration, encrypted under this party's private key, until a run
    with 'mpc party --use-offline' uses it up; what was there before is thrown away.
    """
    from protocols import run as runner
    from protocols.prep.store import Making
    from protocols.rehearsal import RehearsalSession
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
    _conclude(config, session, {"phases": ["making", "rehearsal"], "correlations": making.said()}, networks, quiet, report_to, None)


def _prepared(program: Path, arguments: tuple[str, ...], config_file: Path, silent: bool) -> tuple[Config, Program]:
    """The configuration and the program, which has been loaded."""
    from mpc import config as configuration
    from protocols.program import Program
    keep_freed_memory()
    config = configuration.load(config_file)
    if not silent:
        _say_who_is_awaited(config)
    sys.argv = [str(program), *arguments]           # as a script sees it
    loaded = Program(program, arguments)
    collect_less_garbage()
    return config, loaded


def _is_launched() -> bool:
    """Whether ``mpc run`` has started this process."""
    return os.getppid() == int(os.environ.get(launch.LAUNCHER, "0"))


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
        if progress is not None:
            progress.close()
        session.close(error)


def _conclude(config: Config, session: Session, facts: dict[str, Any], networks: tuple[Network, ...], quiet: bool, report_to: Path | None,
              trace: Path | None) -> None:
    """Report what the session took, to the user or to ``mpc run``."""
    meter = session.parties[0].meter
    channels = "TLS 1.3 with certificates on both sides" if config.tls else "INSECURE: plain TCP, anybody on the network can read and alter what is sent"
    threat = session.protection
    if session.check is None and config.tls is None:
        threat = f"INSECURE: void, since whoever reads the network reads the keys. With TLS: {threat}"
    said = {"name": config.me, "rank": config.rank, "meter": meter.as_dict(), "threat": threat, "channels": channels, **facts}
    if report_to is not None:
        report_to.write_text(json.dumps(said))
    elif not quiet:
        from mpc import report
        report.show([said], networks)
    if trace is not None:
        _write_trace(trace, [{**event, "pid": config.me} for event in meter.trace or ()])


def _say_who_is_awaited(config: Config) -> None:
    others = [p.name for p in config.parties if p.name != config.me] + ([config.dealer] if config.dealer not in (None, config.me) else [])
    click.echo(f"{config.me}: waiting up to {config.timeout:g} s for {', '.join(map(str, others))}", err=True)


def _warn(doubt: str) -> None:
    if doubt:
        click.echo(f"warning: {doubt}", err=True)


def _write_trace(path: Path, events: list[dict[str, Any]]) -> None:
    try:
        path.write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}))
    except OSError as error:
        raise ConfigError(f"the trace cannot be written to {path}: {error.strerror}") from None


@main.command()
@_config
@_reporting_errors
def dealer(config_file: Path, debug: bool) -> None:
    """Deal correlated randomness to the parties of one session, then end.

    The dealer is trusted: see 'mpc suites' for what with.
    """
    from mpc import config as configuration
    from protocols import run as runner
    keep_freed_memory()
    config = configuration.load(config_file)
    _say_who_is_awaited(config)
    runner.serve_dealer(config)
    click.echo("the parties have left", err=True)


@main.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--out", default=Path("certs"), show_default=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write to.")
@click.option("--days", default=365, show_default=True, help="Days the certificates are valid.")
@_reporting_errors
def certs(names: tuple[str, ...], out: Path, days: int, debug: bool) -> None:
    """Make a small private CA, and a certificate and key for each of NAMES.

    Give each party its own NAME.pem and NAME.key and ca.pem, over a channel you trust; keep ca.key away
    from all of them.  An existing CA in the folder is used again.
    """
    from mpc.certs import make_authority_and_certificates
    make_authority_and_certificates(names, out, days)
    click.echo(f"{out}: ca.pem and, for each party, NAME.pem and NAME.key; valid for {days} days.  ca.key is nobody's but yours")


@main.group()
def aggregate() -> None:
    """Secure aggregation: many clients, one server, and only the mean of their vectors is seen.

    Certificates come from 'mpc certs SERVER CLIENTS...', signing keys from 'mpc aggregate keys';
    docs/aggregation.md has the two files that each participant writes.
    """


@aggregate.command("keys")
@click.argument("names", nargs=-1, required=True)
@click.option("--out", default=Path("keys"), show_default=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write to.")
@_reporting_errors
def aggregate_keys(names: tuple[str, ...], out: Path, debug: bool) -> None:
    """Make a signing key for each of NAMES: NAME.signing, which its owner keeps, and NAME.pub.

    A client does this for itself and hands NAME.pub to whoever makes the directory.
    """
    from protocols.aggregation import plan
    plan.make_keys(names, out)
    click.echo(f"{out}: for each client NAME.signing, for its eyes only, and NAME.pub for the directory")


@aggregate.command("directory")
@click.argument("publics", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", default=Path("clients.directory"), show_default=True, type=click.Path(path_type=Path, dir_okay=False), help="File to write.")
@_reporting_errors
def aggregate_directory(publics: tuple[Path, ...], out: Path, debug: bool) -> None:
    """Close the list of clients: write a directory of the NAME.pub files PUBLICS, for everybody.

    Whoever does this must be trusted with it by all, and must not be the server.
    """
    from protocols.aggregation import plan
    directory = plan.close_directory(publics, out)
    click.echo(f"{out}: {len(directory)} clients, digest {directory.digest.hex()[:16]}")


@aggregate.command("serve")
@click.option("--config", "config_file", required=True, type=click.Path(path_type=Path), help="The server's TOML file.")
@click.option("--log", type=click.Path(path_type=Path, dir_okay=False), help="Append a JSON line for each event.  [default: standard output, unless that is a terminal]")
@_reporting_errors
def aggregate_serve(config_file: Path, log: Path | None, debug: bool) -> None:
    """Run the plan's rounds; continue with what is left of them after a restart.

    The mean of each round is written as round-000001.npy and so on into the folder 'state', 'server-state' beside
    the configuration unless it says otherwise.  Ends with 1 after 'attempts'
    rounds in a row that gave no mean.
    """
    from protocols.aggregation import plan
    from protocols.aggregation.journal import Journal
    from protocols.aggregation.service import Service
    keep_freed_memory()
    own = plan.load(config_file)
    with Journal(log) as journal, Service(own, journal) as service:
        for _ in service.rounds():
            pass


@aggregate.command("join")
@click.option("--config", "config_file", required=True, type=click.Path(path_type=Path), help="This client's TOML file.")
@click.option("--vector", required=True, help="A .npy file of real numbers; {round} in its name counts from 1.")
@click.option("--weight", default=1, show_default=True, type=click.IntRange(1), help="How much this vector counts, as a number of examples.")
@click.option("--metric", "metrics", multiple=True, metavar="NAME=NUMBER", help="One of the plan's metrics, for their weighted mean; may be given several times.")
@click.option("--rounds", default=1, show_default=True, type=click.IntRange(1), help="Rounds to take part in; the vector is read anew for each.")
@click.option("--again", is_flag=True,
              help="Let a vector out that has gone out before: two sums with it can tell it.")
@click.option("--out", default=None, type=click.Path(dir_okay=False),
              help="Write the mean to this .npy file; {round} as above.")
@_reporting_errors
def aggregate_join(config_file: Path, vector: str, weight: int, metrics: tuple[str, ...], rounds: int,
                   again: bool, out: str | None, debug: bool) -> None:
    """Take part with a vector, and get the mean of all clients' vectors back.

    The server sees the mean and nothing else of the vector, if no more clients collude with it than the plan
    assumes, which is said first.
    """
    from protocols.aggregation import bounds, member, plan
    from protocols.aggregation.files import read_array, room, write_array
    own = plan.load(config_file)
    try:
        given = {name: float(number) for name, _, number in (metric.partition("=") for metric in metrics)}
    except ValueError:
        raise ConfigError(f"--metric takes NAME=NUMBER, not {' or '.join(metrics)}") from None
    read_array(Path(vector.replace("{round}", "1")))     # better to fail before anybody waits for us
    click.echo(f"{own.plan.first.clients} clients: {bounds.in_words(own.plan.standing)}", err=True)
    with member.Member(own, lambda text: click.echo(text, err=True)) as client:
        for turn in range(1, rounds + 1):
            values = read_array(Path(vector.replace("{round}", str(turn))))
            written = None if out is None else Path(out.replace("{round}", str(turn)))
            with ExitStack() as stack:
                if written is not None:             # better before the vector goes out, which it does once
                    space = 8 * own.plan.dimension + 4096
                    stack.enter_context(room(written.with_name(f"{written.name}.room"), space))
                mean = client.round(values, weight, given, again=again)
            facts = client.last
            assert facts is not None
            if written is not None:
                write_array(written, mean)
            without = "" if facts.included else ", without this client's, which came too late"
            measured = "".join(f", {name} {value:.4g}" for name, value in facts.metrics.items())
            click.echo(f"round {facts.number}: the mean of {facts.count} clients' vectors{without}, "
                       f"within {facts.error:.2g} (standard deviation){measured}")


@main.command()
@_reporting_errors
def suites(debug: bool) -> None:
    """Show the suites there are: threat model, costs, papers."""
    from rich.console import Console
    from rich.table import Table

    from protocols.suites import SUITES, setup_of
    for suite in SUITES.values():
        least, most = suite.parties
        table = Table(title=f"{suite.name}: {suite.summary}", title_justify="left", show_header=False, title_style="bold")
        table.add_row("parties", f"{least} or more" if most is None else f"{least} to {most}" if most > least else str(least))
        table.add_row("adversary", f"{suite.threat.adversary}, {suite.threat.corrupt} parties corrupt")
        table.add_row("setup", setup_of(suite))
        table.add_row("besides the result", f"the parties learn {suite.threat.leaks}")
        for operation, cost in suite.costs.items():
            table.add_row(f"cost of {operation}", str(cost))
        table.add_row("papers", "; ".join(suite.cites))
        Console().print(table)


@main.command()
@click.argument("names", nargs=-1)
@click.option("--suite", default=None, help="[default: replicated for three parties, else additive]")
@click.option("-n", "--parties", default=2, show_default=True, type=_parties, help="Number of parties.")
@click.option("--ring", default=64, show_default=True, help="Bits of the ring: 64, 32 or 128.")
@click.option("--size", "sizes", default="", help="Sizes for operations that have one, as in 1000000,10000000.")
@click.option("--runs", default=5, show_default=True, type=click.IntRange(5), help="Timed runs per line.")
@click.option("--tls", is_flag=True, help="Over TLS; without, over plain TCP.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@_reporting_errors
def bench(names: tuple[str, ...], suite: str | None, parties: int, ring: int, sizes: str, runs: int, tls: bool,
          as_json: bool, debug: bool) -> None:
    """Measure operations with all parties as processes on this machine.

    NAMES are among mul fxmul matmul chain share lt eq where sort div exp sigmoid rsqrt mlp
    open ot-iknp ot-softspoken ot-silent triples triples-silent and-triples matmul-triple; all by default.
    'aggregation' is secure aggregation with clients and servers in one process; it takes no options but
    --json, and minutes.
    """
    if "aggregation" in names:
        from protocols.aggregation import bench as aggregation
        aggregation.run(as_json)
        names = tuple(name for name in names if name != "aggregation")
        if not names:
            return
    from protocols import bench as benchmarks
    benchmarks.run(names, suite=suite, parties=parties, ring=ring, sizes=sizes, runs=runs, tls=tls, as_json=as_json, debug=debug)


if __name__ == "__main__":
    main(prog_name="mpc")
