"""What a machine remembers of its stores of correlations, outside their folders.

For each store there is a file in ``$XDG_STATE_HOME/mpc/stores``, by default ``~/.local/state/mpc/stores``, that says
how many of its blocks were used.  A store that knows of fewer is one that was turned back, or a copy: no tag can tell,
since all in it is as this party once wrote it.

It is written whenever blocks are used, after the store's own cursor, and synced when the store is closed.  So it is
never ahead, and behind only after a loss of power.  It holds no secret, and 8 bytes; it is not removed with its store,
of which a copy may come back.
"""
from __future__ import annotations

import os
from pathlib import Path

_WORD = 8


def home() -> Path:
    """Where this account keeps what it remembers."""
    named = os.environ.get("XDG_STATE_HOME", "")
    state = Path(named) if os.path.isabs(named) else Path(os.environ.get("HOME", "/"), ".local/state")
    return state / "mpc" / "stores"


class Count:
    """How many blocks of one store were used, in a file of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        """An error of the system where the file can be neither found nor made."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)

    @property
    def value(self) -> int | None:
        """What was written last; nothing where nothing was."""
        data = os.pread(self._file, _WORD + 1, 0)
        return int.from_bytes(data, "little") if len(data) == _WORD else None

    def set(self, used: int) -> None:
        os.pwrite(self._file, used.to_bytes(_WORD, "little"), 0)

    def close(self) -> None:
        os.fsync(self._file)
        os.close(self._file)


def forgetful(folder: Path, error: OSError) -> str:
    return (f"what is used of the store cannot be remembered outside of it ({folder}: {error.strerror}): that it was "
            "turned back would not be noticed; set XDG_STATE_HOME to a folder that can be written")
