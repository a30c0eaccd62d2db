"""Files that are whole whatever happens, and arrays in them that are numbers and nothing else."""
from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mpc.errors import ConfigError
from mpc.ring import NDArray


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """A file that is the old one or the new one whatever happens, and the new one once this returns."""
    new = path.with_name(path.name + ".new")
    try:
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror})") from None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock that belongs to a file, which may be replaced meanwhile."""
    try:
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
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
        raise ConfigError(f"{path} cannot be read as a .npy file of numbers ({getattr(error, 'strerror', None) or error})") from None
    return array
