"""Files and folders that are gone with the processes that use them, however these end.

A file without a name lies in memory; who has inherited its descriptor opens it by ``path``, and nobody else
can.  What needs names on a disk gets a folder with a keeper: a shell that waits until all who hold the other
end of its pipe are gone, and then removes it.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mpc.errors import ConfigError

KEEPER = """
trap "" INT TERM HUP QUIT PIPE
folder=$(mktemp -d "${TMPDIR:-/tmp}/mpc-run-XXXXXX") && echo "$folder"
exec >&-
read _
rm -rf "$folder"
"""


class Unnamed:
    """A file with this content to begin with.  Linux; elsewhere it has a name until it is closed."""

    def __init__(self, content: bytes = b"") -> None:
        self.file: IO[bytes]
        if hasattr(os, "memfd_create"):
            self.file = open(os.memfd_create("mpc"), "r+b", buffering=0)  # noqa: SIM115
            os.fchmod(self.file.fileno(), 0o600)
            self.path = f"/proc/self/fd/{self.file.fileno()}"
        else:
            self.file = tempfile.NamedTemporaryFile(prefix="mpc-run-", buffering=0)  # noqa: SIM115
            self.path = self.file.name
        self.file.write(content)

    def read(self, start: int = 0) -> bytes:
        """What is in it from this byte on."""
        descriptor = self.file.fileno()
        return os.pread(descriptor, max(0, os.fstat(descriptor).st_size - start), start)

    def __enter__(self) -> Unnamed:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


@dataclass(frozen=True, slots=True)
class Kept:
    """A folder that is there as long as this process, or any other, has the descriptor open."""

    path: Path
    descriptor: int


@contextmanager
def kept() -> Iterator[Kept]:
    """A folder with mode 0700 for this process and those that inherit the descriptor."""
    out, into = os.pipe()
    try:
        # In a session of its own: what ends a terminal's processes does not end it.
        keeper = subprocess.Popen(
            ["/bin/sh", "-c", KEEPER], stdin=out, stdout=subprocess.PIPE, start_new_session=True
        )
        os.close(out)
        assert keeper.stdout is not None
        with keeper.stdout as said:
            path = said.readline().decode().rstrip("\n")
        if not path:
            raise ConfigError(
                "no folder for temporary files can be made: set TMPDIR to one that can be written"
            )
        yield Kept(Path(path), into)
    finally:
        os.close(into)
    with suppress(subprocess.TimeoutExpired):
        keeper.wait(5.0)
