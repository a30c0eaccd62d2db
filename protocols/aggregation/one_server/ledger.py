"""What a client has begun to answer, on its own disk: each phase of each round once, and never an earlier one
again.

A client whose process does not live through a round is made again from a seed and the server's messages
(``client.Client``).  Whoever turns that record back, by a copy of it, a second process or a crash at the
right moment, has a client that answers one phase twice, and so both shares of a neighbour, or two rounds of
one number.  So before every answer the client writes here which one it is, and does not answer what is not
after the last.

    session ↦ (1, ADVERTISE), (1, SHARE), …, (1, UNMASK), (2, ADVERTISE), …  some may be missing

A crash after an entry costs the client the rest of this round, nothing else.

Threat   the client's own disk is trusted not to be turned back: a machine that is restored from a snapshot
         needs a new session.
Cost     16 bytes and one fsync for an answer.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from pathlib import Path

from mpc.errors import AggregationRefused, ConfigError
from protocols.aggregation.messages import Phase
from protocols.prep.disk import sync_folder

_ENTRY = struct.Struct("<QQ")


class Ledger:
    """A folder with one file for each session; several processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def enter(self, session: str, number: int, phase: Phase) -> None:
        """Note that this phase is going to be answered.  ``AggregationRefused`` unless it is the next one of
        the round that is under way, or the first one of a later round."""
        path = self.folder / f"{hashlib.sha256(session.encode()).hexdigest()}.rounds"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise ConfigError(
                f"the ledger {path} cannot be opened ({error.strerror}): give a folder that this client may"
                " write to"
            ) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
            size = os.fstat(file).st_size
            if size % _ENTRY.size:
                raise AggregationRefused(
                    f"the ledger {path} ends within an entry: nobody knows what was answered last, take a new"
                    " session"
                )
            last = (
                _ENTRY.unpack(os.pread(file, _ENTRY.size, size - _ENTRY.size)) if size else (-1, Phase.UNMASK)
            )
            first = phase is Phase.ADVERTISE and number > last[0]
            if not first and (number, phase - 1) != last:
                begun = (
                    f"the last one was {Phase(last[1]).name} of round {last[0]}" if size else "none has begun"
                )
                raise AggregationRefused(
                    f"{phase.name} of round {number} is not the next thing to answer in this session: {begun}"
                )
            os.write(file, _ENTRY.pack(number, phase))
            os.fsync(file)
            if not size:  # a new file's name, and perhaps its folder's
                sync_folder(self.folder)
                sync_folder(self.folder.parent)
        finally:
            os.close(file)
