"""What a process that is a party, and nothing else, asks of the system.  Linux with glibc; elsewhere less."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # mallopt(3)
_PDEATHSIG = 1  # prctl(2)


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


def write_no_core() -> None:
    """Leave no image of this process on a disk, whatever signal ends it: it would hold keys and shares."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def have_standard_files() -> None:
    """Where this process was started without standard input, output or error, nothing that it opens takes
    their place: what is printed goes to nobody, and not into a socket or a key."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it is the lowest that is free
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def ending_with_parent() -> Callable[[], None]:
    """What a child has to call before it becomes another program, to be ended when this process is.

    However that ends: nobody computes on for a user who has left.  One who has left already ends it at once.
    """
    parent = os.getpid()
    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return lambda: None

    def call() -> None:
        prctl(_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return call
