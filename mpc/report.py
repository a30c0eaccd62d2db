"""What a run took, as tables that one can read at a glance."""
from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from mpc.meter import Network

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
    console = console or Console(stderr=True, width=None if sys.stderr.isatty() else 100, highlight=False)
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
        if before:
            table.add_row(f"{report['name']}, offline run", *_totals(before[at]["meter"]))
        used = report["meter"]
        table.add_row(report["name"], *_totals(used))
        offline = used["offline"]
        if any(offline.values()):
            for phase, part in zip(report.get("phases", ("offline", "online")), (offline, {key: used[key] - offline[key] for key in _SHARED}), strict=True):
                table.add_row(f"  {phase}", *_totals(part), style="dim")
    console.print(table)
    console.print("Operations that travel together share rounds, so their rounds add up to more than the run's.", style="dim")
    for network in networks:
        slowest = max(network.seconds(r["meter"]) for r in reports)
        console.print(f"[bold]On {network}[/bold] this run would take {slowest:.2f} s (computing, half an RTT a round, a whole one with the dealer, bytes).")
    if "correlations" in first:
        console.print(f"[bold]Correlations:[/bold] {first['correlations']}")
    console.print(f"[bold]Threat model:[/bold] {first['threat']}")
    console.print(f"[bold]Channels:[/bold] {first['channels']}")


def _totals(used: Mapping[str, Any]) -> list[str]:
    seconds = [f"{used['seconds']:.2f}"] if "seconds" in used else []
    return [str(used["rounds"]), amount(used["sent"]), amount(used["received"]), duration(used["computing"]), duration(used["waiting"]), *seconds]


class Bar:
    """A progress bar for long steps, on a terminal only; redrawn by hand, without a thread."""

    def __init__(self, console: Console | None = None) -> None:
        self._progress = Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
                                  TimeElapsedColumn(), console=console or Console(stderr=True), transient=True,
                                  auto_refresh=False)
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
