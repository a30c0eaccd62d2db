"""What is freed stays with the process, for the next array.

The C library gives the memory of large arrays back to the system as they are freed, and the next array gets
pages that must be emptied first: that took three times as long as a product of 10^5 numbers itself.  With
``kept`` it waits for the next array, and goes back only from the end of the heap, when 256 MB lie unused
there.  Who has set the C library's own variables (``MALLOC_…``, ``GLIBC_TUNABLES``) is left alone.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_UNUSED, _MOST = 1 << 28, 1 << 25  # what older libraries take at most for the second


@cache
def kept() -> bool:
    """Ask the C library for it, once; whether it does so."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return False
    # the first is what matters: alone, the second would end the library's own adapting
    large = mallopt(_MMAP_THRESHOLD, _UNUSED) or mallopt(_MMAP_THRESHOLD, _MOST)
    return bool(large and mallopt(_TRIM_THRESHOLD, _UNUSED))
