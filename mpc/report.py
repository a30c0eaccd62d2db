"""What a run gave and took, for people: results as plain numbers, tables to be read at a glance, and how far it is."""
from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any, TextIO

import numpy as np
import rich.progress
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from mpc.meter import OFFLINE, Meter, Network, clock

#: Seconds after which a local session says what it is at.
_PATIENCE = 1.0
_WIDTH = 64

#: Seconds of loading and compiling that are worth a line.
_WORTH_SAYING = 0.1

#: Bytes of correlated randomness after which it is said that it is being made; and after twice as many, and so on.
_FIRST = 10_000_000

_SHARED = ("rounds", "sent", "received", "computing", "waiting")


def amount(n: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000 or unit == "GB":
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    raise AssertionError


def duration(seconds: float) -> str:
    """Seconds for people."""
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def show(reports: Sequence[Mapping[str, Any]], networks: Sequence[Network] = (), before: Sequence[Mapping[str, Any]] = (),
         console: Console | None = None) -> None:
    """Operations at the first of these parties, all parties' totals, the networks asked for, and the threat model.

    ``before`` are the same parties' reports of an offline run.
    """
    console = console or Console(stderr=True, width=None if sys.stderr.isatty() else 80, highlight=False)
    first = reports[0]
    table = Table(box=SIMPLE, title=f"Operations at {first['name']}", title_justify="left", title_style="bold")
    for column in ("operation", "calls", "rounds", "sent", "received", "computing", "waiting"):
        table.add_column(column, justify="left" if column == "operation" else "right")
    operations: dict[str, dict[str, Any]] = first["meter"]["operations"]
    for name, used in sorted(operations.items(), key=lambda item: -(item[1]["computing"] + item[1]["waiting"])):
        table.add_row(name, str(used["calls"]), str(used["rounds"]), amount(used["sent"]), amount(used["received"]),
                      duration(used["computing"]), duration(used["waiting"]))
    console.print(table)

    table = Table(box=SIMPLE, title="Parties", title_justify="left", title_style="bold")
    for column in ("party", "rounds", "sent", "received", "computing", "waiting", "seconds"):
        table.add_column(column, justify="left" if column == "party" else "right")
    for at, report in enumerate(reports):
        used = report["meter"]
        table.add_row(report["name"], *_totals(used))
        offline = used["offline"]
        if any(offline.values()):
            for phase, part in zip(report.get("phases", ("offline", "online")), (offline, {key: used[key] - offline[key] for key in _SHARED}), strict=True):
                table.add_row(f"  {phase}", *_totals(part), style="dim")
        if before:
            table.add_row("  offline run", *_totals(before[at]["meter"]), style="dim")      # apart, and before this one
    console.print(table)
    console.print("Operations that travel together share rounds, so their rounds add up to more than the run's.", style="dim")
    if (loading := max(r["meter"]["loading"] for r in reports)) >= _WORTH_SAYING:
        console.print(f"Loading and compiling code took {duration(loading)} besides, which no operation and no estimate counts.", style="dim")
    for network in networks:
        slowest = max(network.seconds(r["meter"]) for r in reports)
        console.print(f"[bold]On {network}[/bold] this run would take {slowest:.2f} s (computing, half an RTT a round, a whole one with the dealer, bytes).")
    if "correlations" in first:
        console.print(f"[bold]Correlations:[/bold] {first['correlations']}")
    console.print(f"[bold]Threat model:[/bold] {first['threat']}")
    if "channels" in first:
        console.print(f"[bold]Channels:[/bold] {first['channels']}")


def _totals(used: Mapping[str, Any]) -> list[str]:
    seconds = [f"{used['seconds']:.2f}"] if "seconds" in used else []
    return [str(used["rounds"]), amount(used["sent"]), amount(used["received"]), duration(used["computing"]), duration(used["waiting"]), *seconds]


def plain(result: object) -> str:
    """A result as one would write it: numbers without the names of their types, arrays of several a line each."""
    if isinstance(result, str | np.ndarray | np.generic):
        return str(result)
    if isinstance(result, dict) and _has_arrays(result):
        return "\n".join(f"{key}:{_below(plain(value))}" for key, value in result.items())
    if isinstance(result, list | tuple) and _has_arrays(result):
        return "\n".join(map(plain, result))
    return repr(_without_types(result))


def parts(result: object) -> Iterator[object]:
    """What is in a result, however deep in dictionaries, lists, tuples and sets."""
    if isinstance(result, dict):
        result = [*result, *result.values()]
    if isinstance(result, list | tuple | set | frozenset):
        for item in result:
            yield from parts(item)
    else:
        yield result


def _has_arrays(result: object) -> bool:
    if isinstance(result, dict):
        result = list(result.values())
    return isinstance(result, np.ndarray) or (isinstance(result, list | tuple) and any(map(_has_arrays, result)))


def _below(text: str) -> str:
    return f"\n{text}" if "\n" in text else f" {text}"


def _without_types(result: Any) -> Any:
    if isinstance(result, np.generic):
        return result.item()
    if isinstance(result, dict):
        return {_without_types(key): _without_types(value) for key, value in result.items()}
    if type(result) in (list, tuple, set, frozenset):
        return type(result)(map(_without_types, result))
    return result


def progress_console(file: TextIO) -> Console:
    """Where to say how far a run is: a terminal, which need not be this process's own, or a file."""
    width = int(os.environ.get("COLUMNS") or 0)
    if not width and file.isatty():
        width = os.get_terminal_size(file.fileno()).columns
    return Console(file=file, width=width or 80, force_terminal=file.isatty(), highlight=False)


class Progress:
    """Says how far a party is: what is made in advance of it, by its bytes, and on a terminal a bar for long steps."""

    def __init__(self, console: Console, meter: Meter) -> None:
        self._console, self._meter, self._bar = console, meter, Bar(console)
        self._next = _FIRST
        clock.on_compiling = self._compiles

    def __call__(self, operation: str, done: int, pieces: int) -> None:
        if OFFLINE in operation and (sent := self._meter.offline().sent) >= self._next:
            while self._next <= sent:
                self._next *= 2
            self._console.print(f"making correlated randomness by oblivious transfer: {amount(sent)} sent so far")
        if self._console.is_terminal:
            self._bar(operation, done, pieces)

    def _compiles(self) -> None:
        self._console.print("compiling for this machine, which it keeps for later runs")

    def close(self) -> None:
        clock.on_compiling = None
        self._bar.close()


class Line:
    """One line on standard error that says what a local session is at, while that takes long: on a terminal or in a notebook."""

    def __init__(self) -> None:
        self._since = self._drawn = 0.0

    def __call__(self, operation: str, done: int, pieces: int) -> None:
        now = perf_counter()
        self._since = self._since or now
        if now - self._since >= _PATIENCE and now - self._drawn >= _PATIENCE / 2:
            self._drawn = now
            sys.stderr.write(f"\r{f'{operation:.50}, {now - self._since:.0f} s':<{_WIDTH}}")
            sys.stderr.flush()

    def close(self) -> None:
        if self._drawn:
            sys.stderr.write(f"\r{'':{_WIDTH}}\r")    # a notebook knows of no other way to take it back
            sys.stderr.flush()
        self._since = self._drawn = 0.0


class Bar:
    """A progress bar for long steps, on a terminal only; redrawn by hand, without a thread."""

    def __init__(self, console: Console) -> None:
        self._progress = rich.progress.Progress(
            TextColumn("{task.description:.40}"), BarColumn(20), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn(),
            console=console, transient=True, auto_refresh=False)
        self._task: TaskID | None = None
        self._drawn = 0

    def __call__(self, operation: str, done: int, pieces: int) -> None:
        if pieces < 16 or done == 0:
            return
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task(operation, total=pieces)
        share = 100 * done // pieces
        if share != self._drawn:
            self._drawn = share
            self._progress.update(self._task, description=operation, completed=done, total=pieces)
            self._progress.refresh()
        if done == pieces:
            self.close()

    def close(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._progress.stop()
            self._task = None
