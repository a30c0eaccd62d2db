"""What commands have in common: options, and one sentence for whatever goes wrong."""

from __future__ import annotations

import json
import math
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from mpc import launch
from mpc.errors import MpcError
from mpc.meter import Network

#: Where this engine's own lines are.
ENGINE = tuple(str(Path(__file__).parents[2] / package) for package in ("mpc", "protocols"))


def reporting_errors(command: Callable[..., Any]) -> Callable[..., Any]:
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
                raise  # click ends in silence where its reader has left
            report_to = kwargs.get("report_to")
            if debug:
                traceback.print_exc()
            elif report_to is not None and is_launched():  # which says it once for all that say the same
                report_to.write_text(json.dumps({"error": sentence(error)}))
            else:
                click.echo(f"error: {sentence(error)}", err=True)
            sys.exit(1)

    return click.option("--debug", is_flag=True, help="Show tracebacks.")(wrapper)


def _nobody_reads() -> bool:
    """Whether standard output is a pipe whose other end is closed."""
    poll = select.poll()
    poll.register(1, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def sentence(error: BaseException) -> str:
    ours = (sys.prefix, sys.base_prefix, *ENGINE, "<frozen")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(ours)]
    place = f" (in {Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    try:
        said = str(error)
    except Exception:  # a user's own class may do anything
        said = "it cannot say what went wrong"
    if isinstance(error, MpcError):
        return f"{said}{place}"
    return f"{type(error).__name__}: {said}{place}; --debug shows the traceback"


def is_launched() -> bool:
    """Whether ``mpc run`` has started this process."""
    return os.getppid() == int(os.environ.get(launch.LAUNCHER, "0"))


class NetworkType(click.ParamType[Network]):
    name = "lan|wan|RTTms,Mbps"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Network:
        try:
            return value if isinstance(value, Network) else Network.parse(value)
        except ValueError:
            self.fail(
                "give lan, wan, or a round-trip time in ms and a rate in Mbit/s, as in 20,1000", param, ctx
            )


class DataType(click.ParamType[tuple[str, str]]):
    name = "name=path"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        name, equals, path = value.partition("=")
        if not (name and equals and path):
            self.fail("give NAME=PATH, as in rows=hospital_{id}.csv", param, ctx)
        return name, path


class Seconds(click.FloatRange):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail("give a number of seconds", param, ctx)
        return seconds


PARTIES = click.IntRange(max=launch.MOST)
network_option = click.option(
    "--network",
    "networks",
    multiple=True,
    type=NetworkType(),
    help=(
        "Add what this run would take there: lan (0.2 ms, 10 Gbit/s), wan (50 ms, 100 Mbit/s) "
        "or RTT in ms and Mbit/s, as in 20,1000. May be repeated."
    ),
)
trace_option = click.option(
    "--trace", type=click.Path(path_type=Path, dir_okay=False), help="Write a trace for Chrome or Perfetto."
)
arguments_option = click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS]...")
malicious_option = click.option(
    "--malicious",
    is_flag=True,
    help=(
        "Take a suite that holds against parties that deviate: they can stop the run, and not bend it. "
        "There is one for four parties, of whom one may."
    ),
)
quiet_option = click.option("--quiet", "-q", is_flag=True, help="Print results and errors alone.")
config_option = click.option(
    "--config", "config_file", required=True, type=click.Path(path_type=Path), help="This party's TOML file."
)


def started_by_run(command: Callable[..., Any]) -> Callable[..., Any]:
    """How ``mpc run`` starts a party: where to report to, the socket to listen on, and where to say how far
    it is.
    """
    for option, kind in (
        ("--report-to", click.Path(path_type=Path)),
        ("--listen-fd", click.INT),
        ("--progress-fd", click.INT),
    ):
        command = click.option(option, type=kind, hidden=True)(command)
    return command
