"""What a frame looks like on the wire, and what is checked before a byte of it is used.

A frame is a 64-byte header and a payload:

    magic (4)   number (4)   payload length (8)   digest (16)   operation, in words (32)

Per link and direction, frames are numbered; the digest runs over everything both sides have agreed on so
far (operations, tags, ring and shape of every array in both directions, positions of the common streams).
Parties that diverge therefore see it in the next header: the operation's name is there to tell both sides.
A payload is the arrays' encodings one after the other; its length is known before it arrives.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from mpc.errors import DesyncError, PartyLost, WireError

HEADER = struct.Struct("<4sIQ16s32s")
DATA, ABORT, BYE = b"mpc\x01", b"mpc!", b"mpc."


@dataclass(frozen=True, slots=True)
class Header:
    """A received header whose form is right; whether it is the expected one, ``Link.check`` says."""

    magic: bytes
    number: int
    length: int
    digest: bytes
    said: bytes

    @classmethod
    def parse(cls, data: bytes | bytearray | memoryview) -> Header:
        if len(data) != HEADER.size:
            raise WireError("what arrived is too short for a frame header")
        header = cls(*HEADER.unpack(data))
        if header.magic not in (DATA, ABORT, BYE):
            raise WireError("what arrived does not begin with a frame header")
        return header

    @property
    def words(self) -> str:
        """The operation's name, or the reason of a notice, fit to be printed."""
        text = self.said.rstrip(b"\0").decode("ascii", "replace")
        return "".join(c if c.isprintable() else "?" for c in text)


def words(text: str) -> bytes:
    return text.encode("ascii", "replace")[:32]


class Link:
    """The numbering and the running digest of one link, as one end keeps them."""

    __slots__ = ("_state", "_up", "received", "sent")

    def __init__(self, me: int, peer: int) -> None:
        self._state = blake2b(digest_size=32).digest()
        self._up = me < peer
        self.sent = self.received = 0

    def extend(self, facts: Iterable[str]) -> None:
        """Add what both ends must agree on about the coming exchange."""
        self._state = blake2b(self._state + "|".join(facts).encode(), digest_size=32).digest()

    def seal(self, length: int, operation: str) -> bytes:
        """The header of the next outgoing frame."""
        self.sent += 1
        return HEADER.pack(DATA, self.sent, length, self._half(self._up), words(operation))

    @property
    def due(self) -> bytes:
        """The digest that the peer's frame of the coming exchange must carry."""
        return self._half(not self._up)

    def _half(self, up: bool) -> bytes:
        """Both ends keep one state; each direction carries its own half, so that a frame sent back to its
        sender is refused.
        """
        return self._state[:16] if up else self._state[16:]

    def check(self, header: Header, digest: bytes, length: int, who: str, operation: str) -> None:
        """Raise unless this is exactly the frame that is due."""
        if header.magic == BYE:
            raise PartyLost(
                f"{who} has ended its program while this party is at '{operation}'; all parties must run the"
                " same program to its end",
                who,
            )
        if header.magic == ABORT:
            raise PartyLost(f"{who} gave up: {header.words}", who, header.words)
        self.received += 1
        if header.number != self.received:
            raise WireError(
                f"{who} sent frame {header.number} where frame {self.received} was due, at '{operation}'"
            )
        if header.digest != digest:
            raise DesyncError(
                f"the programs have diverged: {who} is at '{header.words}', this party at '{operation}'"
                f" (frame {header.number}) after other operations, shapes or constants; run the same program"
                " with the same public values everywhere"
            )
        if header.length != length:
            raise WireError(
                f"{who} announced {header.length} bytes where {length} were due, at '{operation}'"
            )


def notice(magic: bytes, text: str) -> bytes:
    """A frame without payload that ends a link: ``BYE`` or ``ABORT`` with its reason."""
    return HEADER.pack(magic, 0, 0, bytes(16), words(text))


def parting(said: bytes | bytearray | memoryview, who: str, ended: PartyLost) -> PartyLost | None:
    """What became of a peer whose link has ended, by what was still on it: ``None`` after a goodbye, what it
    gave as its reason, or else how the link ``ended``.
    """
    last = bytes(said[-HEADER.size :])
    if last == notice(BYE, ""):
        return None
    if last[:-32] == notice(ABORT, "")[:-32]:
        words = Header.parse(last).words
        return PartyLost(f"{who} gave up: {words}", who, words)
    return ended
