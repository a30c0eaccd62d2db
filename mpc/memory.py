"""What is freed stays with the process, for the next array.

The C library gives the memory of large arrays back to the system as they are freed, and the next array gets
pages that must be emptied first: that took three times as long as a product of 10^5 numbers itself.  With
``kept`` it goes back when 256 MB of it lie unused; the most that is in use does not change.
"""

from __future__ import annotations

import ctypes
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_UNUSED = 1 << 28


@cache
def kept() -> bool:
    """Ask the C library for it, once; whether it is one that can."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(
        mallopt(option, _UNUSED) for option in (_TRIM_THRESHOLD, _MMAP_THRESHOLD)
    )
