"""Bytes between parties: one small interface, several ways to carry them."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Transport(Protocol):
    """Reliable, ordered links to every peer; authenticated and encrypted unless asked otherwise by name.

    Peers are ranks 0 … size-1 without one's own; a dealer, where there is one, is rank ``size``.
    Nothing here starts a thread.  ``post`` and ``collect`` split an exchange in two, so that
    computing goes on while bytes travel, and no pattern of rounds can deadlock on full buffers.
    """

    rank: int
    size: int

    def post(self, peer: int, buffers: Sequence[memoryview]) -> None:
        """Queue these bytes for ``peer`` and send what the network takes without blocking.

        The buffers are not copied: the caller leaves them unchanged afterwards.
        """
        ...

    def collect(self, wanted: Mapping[int, memoryview]) -> None:
        """Fill each buffer with the next bytes from its peer, sending what is queued meanwhile.

        Raises ``PartyLost`` if a peer closes the link or is silent for longer than the limit.
        """
        ...

    def flush(self) -> None:
        """Block until everything posted has left, at most for the limit."""
        ...

    def close(self, linger: float = 0.0) -> None:
        """Close all links; idempotent.

        With ``linger`` seconds, first read and drop what peers still send, so that what was said last arrives.
        """
        ...
