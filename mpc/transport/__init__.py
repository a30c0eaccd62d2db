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

    def post(self, peer: int, buffers: Sequence[memoryview]) -> int:
        """Queue these bytes for ``peer``, send what the network takes at once, and say how much still waits.

        The buffers are not copied: the caller leaves them unchanged afterwards.  What waits is counted in
        bytes, and 1 KiB for each buffer.  Raises ``PartyLost`` if the link is at its end and the peer did not
        say goodbye; to one that did, nothing is sent.
        """
        ...

    def collect(self, wanted: Mapping[int, memoryview]) -> None:
        """Fill each buffer with the next bytes from its peer, sending what is queued meanwhile.

        Raises ``PartyLost`` if a peer closes the link, is silent for longer than the limit, or as ``look``.
        """
        ...

    def look(self) -> None:
        """Raise ``PartyLost`` if a peer is gone without a goodbye: its program ended, its machine is silent.

        Looks once in a second at most, so it can be called as often as one likes.
        """
        ...

    def flush(self, most: Mapping[int, int] | None = None) -> None:
        """Block until at most so much of what was posted to each peer still waits; to one left out, nothing.

        Without ``most``, until all has arrived at the peers' machines, for a party that leaves: what they
        still send is thrown away.
        Raises ``PartyLost`` where nothing moves for the limit, and as ``look`` does.
        """
        ...

    def close(self, linger: float = 0.0) -> None:
        """Close all links; idempotent.

        With ``linger`` seconds, first send what waits, and read and drop what peers still send, so that what
        was said last arrives.
        """
        ...
