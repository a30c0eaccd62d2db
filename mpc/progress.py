"""How far a run is."""

from __future__ import annotations

import sys
from contextlib import suppress
from time import perf_counter
from typing import TYPE_CHECKING, TextIO

from mpc.meter import OFFLINE, Meter, clock
from mpc.readable import amount

if TYPE_CHECKING:
    from mpc.bar import Bar

#: Seconds after which a local session says what it is at.
_PATIENCE = 1.0
_WIDTH = 64

#: Bytes of correlated randomness after which it is said that it is being made; and after twice as many, and
#: so on.
_FIRST = 10_000_000

#: A step of so many pieces is a long one.
_LONG = 16


class Progress:
    """Says how far a party is: what is made in advance of it, by its bytes, and on a terminal a bar for long
    steps.
    """

    def __init__(self, file: TextIO, meter: Meter) -> None:
        self._file, self._meter = file, meter
        self._bar: Bar | None = None
        self._terminal = file.isatty()
        self._next = _FIRST
        clock.on_compiling = self._compiles

    def __call__(self, operation: str, done: int, pieces: int) -> None:
        if OFFLINE in operation and (sent := self._meter.offline().sent) >= self._next:
            while self._next <= sent:
                self._next *= 2
            self._say(f"making correlated randomness by oblivious transfer: {amount(sent)} sent so far")
        if self._terminal and pieces >= _LONG:
            if self._bar is None:
                from mpc.bar import Bar  # here: Rich takes as long to load as many a run

                self._bar = Bar(self._file)
            self._bar(operation, done, pieces)

    def _compiles(self) -> None:
        self._say("compiling for this machine, which it keeps for later runs")

    def _say(self, line: str) -> None:
        with suppress(OSError):  # nobody reads it any more: no reason to end a computation
            if self._bar is None:
                print(line, file=self._file, flush=True)
            else:
                self._bar.say(line)

    def close(self) -> None:
        clock.on_compiling = None
        if self._bar is not None:
            self._bar.close()


class Line:
    """One line on standard error that says what a local session is at, while that takes long: on a terminal
    or in a notebook.
    """

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
            sys.stderr.write(f"\r{'':{_WIDTH}}\r")  # a notebook knows of no other way to take it back
            sys.stderr.flush()
        self._since = self._drawn = 0.0
