"""A bar for long steps, on a terminal."""

from __future__ import annotations

import os
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Bar:
    """A progress bar for long steps, on a terminal only; redrawn by hand, without a thread."""

    def __init__(self, file: TextIO) -> None:
        asked = os.environ.get("COLUMNS", "")
        columns = int(asked) if asked.isdecimal() else 0
        columns = columns or os.get_terminal_size(file.fileno()).columns
        console = Console(file=file, width=columns or 80, force_terminal=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description:.40}"),
            BarColumn(20),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            auto_refresh=False,
        )
        self._task: TaskID | None = None
        self._drawn = 0

    def __call__(self, operation: str, done: int, pieces: int) -> None:
        if done == 0:
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

    def say(self, line: str) -> None:
        self._progress.console.print(line)

    def close(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._progress.stop()
            self._task = None
