"""A store's folder and files as the system has them: opened, written, synced, removed, and what it has
against that.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mpc.errors import ConfigError

AGAIN = "run 'mpc offline' again, all parties together"

#: Bytes at the beginning of a file, in which is what its key is made of.
HEADER = 1 << 16


class Lock:
    """The right to a folder, which one process has at a time."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(folder.parent / f"{folder.name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(
                f"the store {folder} cannot be opened ({error.strerror}): the folder of the "
                "configuration must be writable, and its disk have room"
            ) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise ConfigError(
                f"another process uses the store {folder}: wait for its end, a correlation must not be used"
                " twice"
            ) from None

    def release(self) -> None:
        os.close(self._file)


@contextmanager
def told(path: Path, done: str, advice: str) -> Iterator[None]:
    """What the system has against it, in a sentence."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"the store {path} cannot be {done} ({error.strerror}): {advice}") from None


@contextmanager
def opened(path: Path, how: int = os.O_RDONLY) -> Iterator[int]:
    """A file of a store, which is none of the things that one waits for, nor a way to elsewhere."""
    file = os.open(path, how | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise ConfigError(f"the store {path} is no file: {AGAIN}")
        yield file
    finally:
        os.close(file)


def check_folder(folder: Path) -> None:
    """As ssh does with keys: what others may enter is not used, if it is ours."""
    facts = folder.stat()
    if facts.st_uid == os.getuid() and facts.st_mode & 0o077:
        raise ConfigError(
            f"the store {folder} is open to others than its owner (mode {stat.S_IMODE(facts.st_mode):04o}): "
            f"run 'chmod 700 {folder}'; if others may have written to it, {AGAIN}"
        )


def write(file: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(file, view, at)
        view, at = view[done:], at + done


def sync_folder(folder: Path) -> None:
    """The names in a folder are on the disk once this returns."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def forget(path: Path) -> None:
    """Remove a file of a store, first what its key is made of."""
    with suppress(FileNotFoundError):
        with opened(path, os.O_WRONLY) as file:
            write(file, bytes(min(os.fstat(file).st_size, HEADER)), 0)
            os.fsync(file)
        path.unlink()


def discard(folder: Path) -> None:
    """Remove a store that nobody uses any more, as far as the disk lets it be."""
    for path in folder.glob("*-*"):
        with suppress(OSError):
            forget(path)
    shutil.rmtree(folder, ignore_errors=True)
