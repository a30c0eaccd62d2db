"""What a server tells of its rounds: a bar on a terminal, a JSON line for each event elsewhere.

A log that cannot be written, or that is a pipe whose other end does not read, ends or stalls no round: this
says so on standard error, once, and how many lines are missing when it goes on.
"""

from __future__ import annotations

import errno
import json
import os
import select
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mpc.errors import ConfigError
from protocols.aggregation.one_server import bounds

PATIENCE = 1000  # milliseconds for who reads a pipe to make room, once


class Journal:
    """Called with each event of a ``Service``."""

    def __init__(self, log: Path | None) -> None:
        self._bar: Progress | None = None
        self._to: int | None = None
        self._name, self._lost, self._torn = "standard output" if log is None else f"the log {log}", 0, False
        if log is not None:
            try:
                # nor waits for who reads a pipe
                how = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK
                self._to = os.open(log, how, 0o644)
            except OSError as error:
                raise ConfigError(f"the log {log} cannot be written ({error.strerror})") from None
        if sys.stdout.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            )
            self._bar = Progress(*columns, console=Console())
            self._task = self._bar.add_task("waiting", total=None)
        elif log is None:
            self._to = os.dup(sys.stdout.fileno())

    def __enter__(self) -> Journal:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._to is not None:
            os.close(self._to)

    def __call__(self, event: dict[str, Any]) -> None:
        if self._bar is not None:
            self._show(self._bar, event)
        if self._to is not None:
            self._write(self._to, event)

    def _write(self, to: int, event: dict[str, Any]) -> None:
        try:
            if self._lost:
                self._line(to, {"event": "lines lost", "more": self._lost})
                self._lost = 0
            self._line(to, event)
        except OSError as error:
            if not self._lost:
                with suppress(OSError):  # the same disk, perhaps
                    words = f"{self._name} cannot be written ({error.strerror}): the rounds go on without it"
                    print(words, file=sys.stderr)
            self._lost += 1

    def _line(self, to: int, event: dict[str, Any]) -> None:
        ready = select.poll()
        ready.register(to, select.POLLOUT)
        text = memoryview(("\n" * self._torn + json.dumps(event) + "\n").encode())
        while text:
            if not ready.poll(0 if self._lost else PATIENCE):
                raise BlockingIOError(errno.EAGAIN, "nobody reads it")
            text = text[os.write(to, text[: select.PIPE_BUF]) :]  # which fits where anything does
            self._torn = bool(text)

    def _show(self, bar: Progress, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "listening":
            lost = (
                f"at most {event['rounds_lost']:g} of the rounds lost with the drop-outs that the plan"
                " expects"
            )
            bar.console.print(escape(f"{event['address']}: {bounds.in_words(event)}, and {lost}"))
        elif kind == "round begins":
            bar.reset(self._task, total=None, description=f"round {event['round']}: waiting for clients")
        elif kind == "answer":
            bar.update(
                self._task,
                total=event["of"],
                completed=event["of"] - event["missing"],
                description=event["phase"].lower(),
            )
        elif kind == "round ends":
            left = "".join(f"\n  {name}: {why}" for name, why in event["left_out"].items())
            whose = (
                f"mean of {len(event['clients'])} clients within {event['error']:.2g} (standard deviation)"
            )
            where = f"in {event['seconds']:.1f} s, {event['file']}{left}"
            bar.console.print(escape(f"round {event['round']}: {whose} {where}"))
        elif kind in ("round failed", "refused", "fault", "refusal", "budget spent"):
            who = f"{event['who']}: " if "who" in event else ""
            more = f"{event['more']} more: " if "more" in event else ""
            why = event["reason"] if "reason" in event else ", ".join(event["reasons"])
            bar.console.print(escape(f"{kind}: {who}{more}{why}"))
