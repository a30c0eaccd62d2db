"""What a client has let out under a mask, by digests on its own disk: the same thing twice is refused.

A round that has come to masking may give its sum to the server though it says that it failed.  Of two sums
with the same vector and not the same others, the difference is a client's vector, or a sum of few.  So before
a vector is masked its digest is written down, and one that stands there already goes out again only if that
is asked for by name.

    {"salt": "…"}
    {"digest": "…", "where": "round 3 of 'training'"}          SHA-256 of salt, what it is, and its numbers

Threat   as the record of rounds: the file must not be deleted or turned back.  Only the same vector, to the
         last digit, is known again; a little noise of the client's own makes it another one, and hides as
         little as it is.
Cost     a hash of the vector, and one fsync.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mpc.errors import AggregationRefused, ConfigError
from mpc.prg import Stream
from protocols.aggregation.files import OWN, locked
from protocols.prep.disk import sync_folder

_SALT = 16


class Once:
    """The digests in one file, which several processes and sessions may use."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self, things: Mapping[str, bytes | memoryview]) -> None:
        """``AggregationRefused`` if one of these, which are named for the message, has gone out."""
        if self._path.exists():
            salt, gone, _ = self._read()
            _refuse(gone, _digests(salt, things))

    def enter(self, things: Mapping[str, bytes | memoryview], where: str, *, again: bool = False) -> None:
        """Note that these are going out; refused if one has before, unless it shall go out ``again``.  It is
        on disk when this returns."""
        with locked(self._path):
            new = not self._path.exists()
            salt, gone, whole = (_salt(), {}, 0) if new else self._read()
            digests = _digests(salt, things)
            if not again:
                _refuse(gone, digests)
            lines = [{"salt": salt}] * (not whole)
            lines += [{"digest": digest, "where": where} for digest in digests.values()]
            try:
                file = os.open(self._path, os.O_WRONLY | os.O_CREAT, OWN)
                try:
                    os.ftruncate(file, whole)  # what a crash or a full disk has left of a line
                    text = memoryview("".join(json.dumps(line) + "\n" for line in lines).encode())
                    at = whole
                    while text:
                        written = os.pwrite(file, text, at)
                        text, at = text[written:], at + written
                    os.fsync(file)
                finally:
                    os.close(file)
                if new:
                    sync_folder(self._path.parent)
            except OSError as error:
                words = f"{self._path} cannot be written ({error.strerror}), so nothing is let out"
                raise ConfigError(words) from None

    def _read(self) -> tuple[str, dict[str, str], int]:
        """Salt, where digests went out, and the bytes of whole lines."""
        try:
            data = self._path.read_bytes()
            whole = data.rfind(b"\n") + 1
            head, *lines = [json.loads(line) for line in data[:whole].splitlines()] or [{"salt": _salt()}]
            return str(head["salt"]), {str(line["digest"]): str(line["where"]) for line in lines}, whole
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigError(
                f"{self._path} is not the list of what this client has let out: restore it, for without "
                "it nobody knows"
            ) from None


def numbers(array: npt.ArrayLike) -> memoryview:
    """What is the same for the same numbers."""
    return np.ascontiguousarray(np.asarray(array, np.float64) + 0.0).data  # of the two zeros, one


def _salt() -> str:
    return Stream.fresh("salt").bytes(_SALT).hex()


def _digests(salt: str, things: Mapping[str, bytes | memoryview]) -> dict[str, str]:
    out = {}
    for name, content in things.items():
        digest = hashlib.sha256(bytes.fromhex(salt) + name.encode() + b"\0")
        digest.update(content)
        out[name] = digest.hexdigest()
    return out


def _refuse(gone: Mapping[str, str], digests: Mapping[str, str]) -> None:
    for name, digest in digests.items():
        if digest in gone:
            raise AggregationRefused(
                f"this very {name} has gone out masked, in {gone[digest]}: from two sums with it, "
                "and not the same others, it can be told; give another one, or ask for it by "
                "name ('again')"
            )
