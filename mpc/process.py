"""What a process that is a party, and nothing else, asks of the system.  Linux with glibc; elsewhere less."""
from __future__ import annotations

import contextlib
import ctypes
import gc
import signal

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4                  # mallopt(3)
_PDEATHSIG = 1                                       # prctl(2)


def keep_freed_memory() -> None:
    """Let freed arrays be used again instead of going back to the system.

    Big arrays come and go with every operation.  By default each is mapped anew, and the page faults cost
    more than the arithmetic: on a virtual machine multiplication of 10^7 elements ran at half its speed, and
    unevenly.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)


def collect_less_garbage() -> None:
    """Look for cycles of objects rarely, and never among those there are now.

    An operation makes thousands of small objects and no cycles; looking for these took a twelfth of its time.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def end_with_parent() -> None:
    """Be ended when the launcher is, however it ends: nobody computes on for a user who has left."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGTERM)
