"""What a machine remembers of its stores of correlations, outside their folders.

For each store there is a file in ``$XDG_STATE_HOME/mpc/stores``, by default ``~/.local/state/mpc/stores``,
that says how many of its blocks of each kind were used.  A store that knows of fewer, of any kind, is one
that was turned back, or a copy: no tag can tell, since all in it is as this party once wrote it.

It is written whenever blocks are used, after the store's own cursor, and synced when the store is closed.  So
it is never ahead, and behind only after a loss of power.  It holds no secret, and 8 bytes for a kind; it is
not removed with its store, of which a copy may come back.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path


def home() -> Path:
    """Where this account keeps what it remembers."""
    named = os.environ.get("XDG_STATE_HOME", "")
    state = Path(named) if os.path.isabs(named) else Path(os.environ.get("HOME", "/"), ".local/state")
    return state / "mpc" / "stores"


class Count:
    """How many blocks of each kind of one store were used, in a file of its own."""

    def __init__(self, folder: Path, name: str, kinds: int) -> None:
        """An error of the system where the file can be neither found nor made."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._words = struct.Struct(f"<{kinds}Q")
        self._file = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)

    @property
    def value(self) -> tuple[int, ...] | None:
        """What was written last; nothing where nothing was."""
        data = os.pread(self._file, self._words.size + 1, 0)
        return self._words.unpack(data) if len(data) == self._words.size else None

    def set(self, used: Sequence[int]) -> None:
        os.pwrite(self._file, self._words.pack(*used), 0)

    def close(self) -> None:
        os.fsync(self._file)
        os.close(self._file)


def forgetful(folder: Path, error: OSError) -> str:
    return (
        f"what is used of the store cannot be remembered outside of it ({folder}: {error.strerror}): that it"
        " was turned back would not be noticed; set XDG_STATE_HOME to a folder that can be written"
    )
