"""Numba's compiler, with a clock: what loading and compiling takes is not what the operation that needs it
first takes.

Modules of kernels are imported when they are first needed, and their loops compiled, or loaded from a disk,
when they are first called.  They take ``njit`` from here, so that a meter knows of it.
"""

from __future__ import annotations

from time import perf_counter

from mpc.meter import clock

clock.begin(perf_counter())

from numba import njit as njit  # noqa: E402, PLC0414
from numba.core import event  # noqa: E402


class _Listener(event.Listener):
    """Of the lock under which Numba loads and compiles: to wait for another thread's work is time spent on
    it, too.
    """

    def on_start(self, said: event.Event) -> None:
        clock.begin(perf_counter())

    def on_end(self, said: event.Event) -> None:
        clock.end(perf_counter())


class _Teller(event.Listener):
    """Of what is not on the disk yet."""

    def on_start(self, said: event.Event) -> None:
        clock.compiling()

    def on_end(self, said: event.Event) -> None:
        pass


event.register("numba:compiler_lock", _Listener())  # type: ignore[no-untyped-call]
event.register("numba:compile", _Teller())  # type: ignore[no-untyped-call]
clock.end(perf_counter())
