"""What a server tells of its rounds: a bar on a terminal, a JSON line for each event elsewhere."""
from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mpc.errors import ConfigError


class Journal:
    """Called with each event of a ``Service``."""

    def __init__(self, log: Path | None) -> None:
        self._bar: Progress | None = None
        self._file: IO[str] | None = None
        if log is not None:
            try:
                self._file = log.open("a", encoding="utf-8")
            except OSError as error:
                raise ConfigError(f"the log {log} cannot be written ({error.strerror})") from None
        if sys.stdout.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console())
            self._task = self._bar.add_task("waiting", total=None)

    def __enter__(self) -> Journal:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._file is not None:
            self._file.close()

    def __call__(self, event: dict[str, Any]) -> None:
        if self._bar is not None:
            self._show(self._bar, event)
        if self._file is not None or self._bar is None:
            print(json.dumps(event), file=self._file or sys.stdout, flush=True)

    def _show(self, bar: Progress, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "listening":
            bar.console.print(escape("{address}: {neighbours} neighbours, threshold {threshold}: {security_bits:g} bits of security, "
                                     "and at most {rounds_lost:g} of the rounds lost with the drop-outs that the plan expects".format(**event)))
        elif kind == "round begins":
            bar.reset(self._task, total=None, description=f"round {event['round']}: waiting for clients")
        elif kind == "answer":
            bar.update(self._task, total=event["of"], completed=event["of"] - event["missing"], description=event["phase"].lower())
        elif kind == "round ends":
            left = "".join(f"\n  {name}: {why}" for name, why in event["left_out"].items())
            bar.console.print(escape(f"round {event['round']}: mean of {len(event['clients'])} clients within {event['error']:.1e} (standard deviation) "
                                     f"in {event['seconds']:.1f} s, {event['file']}{left}"))
        elif kind in ("round failed", "refused", "fault", "refusal", "budget spent"):
            who = f"{event['who']}: " if "who" in event else ""
            bar.console.print(escape(f"{kind}: {who}{event['reason']}"))
