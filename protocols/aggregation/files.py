"""Files that are whole whatever happens and their owner's alone, and arrays in them that are numbers, nothing
else.
"""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from mpc.errors import ConfigError
from mpc.ring import NDArray
from protocols.prep.disk import sync_folder

#: Of all that is written here: means, records and accounts lie beside keys.
OWN = 0o600


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """A file that is the old one or the new one whatever happens, and the new one once this returns."""
    new = path.with_name(path.name + ".new")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWN), "wb") as file:
            os.fchmod(file.fileno(), OWN)  # also where a crash has left a file of another mode
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            new.unlink()  # half a file would take what little room there is
        raise ConfigError(f"{path} cannot be written ({error.strerror})") from None


@contextmanager
def room(path: Path, size: int) -> Iterator[None]:
    """Have so many bytes of the disk, which are there when the block is left: what is then written fits.

    They are free again, too, however this process ends: the file has no name any more.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, OWN)
        try:
            path.unlink()
            os.posix_fallocate(descriptor, 0, size)
        except OSError:
            os.close(descriptor)
            raise
    except OSError as error:
        raise ConfigError(f"{path.parent} has no room for {size} bytes more ({error.strerror})") from None
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock that belongs to a file, which may be replaced meanwhile."""
    try:
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, OWN)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror})") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def write_array(path: Path, array: NDArray) -> None:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
    replace_file(path, file.getbuffer())


def read_array(path: Path) -> NDArray:
    """The array in a .npy file; never anything that would run."""
    try:
        with path.open("rb") as file:
            array: NDArray = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(
            f"{path} cannot be read as a .npy file of numbers ({getattr(error, 'strerror', None) or error})"
        ) from None
    return array
