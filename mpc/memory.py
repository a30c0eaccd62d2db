"""The allocator's settings for a process that is a party and nothing else."""
from __future__ import annotations

import contextlib
import ctypes

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4                  # mallopt(3)


def keep_freed_memory() -> None:
    """Let freed arrays be used again instead of going back to the system.

    Big arrays come and go with every operation.  By default each is mapped anew, and the page faults cost
    more than the arithmetic: on a virtual machine multiplication of 10^7 elements ran at half its speed, and
    unevenly.  Does nothing where the C library is not glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
