"""What a run took: tables to be read at a glance."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from mpc.meter import Network
from mpc.readable import amount, duration

#: Seconds of loading and compiling that are worth a line.
_WORTH_SAYING = 0.1

_SHARED = ("rounds", "sent", "received", "computing", "waiting")


def show(
    reports: Sequence[Mapping[str, Any]],
    networks: Sequence[Network] = (),
    before: Sequence[Mapping[str, Any]] = (),
    console: Console | None = None,
) -> None:
    """Operations at the first of these parties, all parties' totals, the networks asked for, and the threat
    model.

    ``before`` are the same parties' reports of an offline run.
    """
    console = console or Console(stderr=True, width=None if sys.stderr.isatty() else 80, highlight=False)
    first = reports[0]
    table = Table(
        box=SIMPLE, title=f"Operations at {first['name']}", title_justify="left", title_style="bold"
    )
    for column in ("operation", "calls", "rounds", "sent", "received", "computing", "waiting"):
        table.add_column(column, justify="left" if column == "operation" else "right")
    operations: dict[str, dict[str, Any]] = first["meter"]["operations"]
    for name, used in sorted(
        operations.items(), key=lambda item: -(item[1]["computing"] + item[1]["waiting"])
    ):
        table.add_row(
            name,
            str(used["calls"]),
            str(used["rounds"]),
            amount(used["sent"]),
            amount(used["received"]),
            duration(used["computing"]),
            duration(used["waiting"]),
        )
    console.print(table)

    table = Table(box=SIMPLE, title="Parties", title_justify="left", title_style="bold")
    for column in ("party", "rounds", "sent", "received", "computing", "waiting", "seconds"):
        table.add_column(column, justify="left" if column == "party" else "right")
    for at, report in enumerate(reports):
        used = report["meter"]
        table.add_row(report["name"], *_totals(used))
        offline = used["offline"]
        if any(offline.values()):
            for phase, part in zip(
                report.get("phases", ("offline", "online")),
                (offline, {key: used[key] - offline[key] for key in _SHARED}),
                strict=True,
            ):
                table.add_row(f"  {phase}", *_totals(part), style="dim")
        if before:
            # apart, and before this one
            table.add_row("  offline run", *_totals(before[at]["meter"]), style="dim")
    console.print(table)
    console.print(
        "Operations that travel together share rounds, so their rounds add up to more than the run's.",
        style="dim",
    )
    if (loading := max(r["meter"]["loading"] for r in reports)) >= _WORTH_SAYING:
        console.print(
            f"Loading and compiling code took {duration(loading)} besides, which no operation and no estimate"
            " counts.",
            style="dim",
        )
    for network in networks:
        slowest = max(network.seconds(r["meter"]) for r in reports)
        console.print(
            f"[bold]On {network}[/bold] this run would take {slowest:.2f} s (computing, half an RTT a round,"
            " a whole one with the dealer, bytes)."
        )
    if "correlations" in first:
        console.print(f"[bold]Correlations:[/bold] {first['correlations']}")
    console.print(f"[bold]Threat model:[/bold] {first['threat']}")
    if "channels" in first:
        console.print(f"[bold]Channels:[/bold] {first['channels']}")


def _totals(used: Mapping[str, Any]) -> list[str]:
    seconds = [f"{used['seconds']:.2f}"] if "seconds" in used else []
    return [
        str(used["rounds"]),
        amount(used["sent"]),
        amount(used["received"]),
        duration(used["computing"]),
        duration(used["waiting"]),
        *seconds,
    ]
