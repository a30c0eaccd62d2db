"""A scheme under an adversary on the wire, who bends one frame of a small program at a time.

That is one corrupt party that departs from the protocol once, after keys are agreed on.  A scheme that lets
it pass does not hold against a malicious adversary; one that does not need not hold either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mpc.frames import HEADER
from mpc.ring import Ring, RingArray
from mpc.transport import Transport
from mpc.transport.wrappers import Tampered
from protocols.bilinear import MULTIPLY
from protocols.conformance.lockstep import Lockstep
from protocols.conformance.playing import input_of
from protocols.suite import Suite

INPUTS = {0: np.array([3, -5, 7]), 1: np.array([11, 2, -9])}  # by owner
#: Bytes of a header in its magic, number, payload length and digest; the operation's name is for people.
FIELDS = {"magic": 0, "number": 4, "length": 8, "digest": 16}


async def program(suite: Suite, ring: Ring) -> tuple[RingArray, ...]:
    """Two inputs of different owners and their product, revealed."""
    x, y = [await input_of(suite, ring(values), owner) for owner, values in INPUTS.items()]
    return await suite.reveal(x, y, await suite.bilinear(MULTIPLY, x, y))


def right(results: list[tuple[RingArray, ...]], corrupt: int | None = None) -> bool:
    """Whether the parties, but a corrupt one, agree on the inputs and their product.

    A corrupt party may choose its own input; those of the others are what they are.
    """
    honest = [result for rank, result in enumerate(results) if rank != corrupt]
    x, y, _ = honest[0]
    said = {tuple(_bytes(a) for a in result) for result in [*honest, (x, y, x * y)]}
    return len(said) == 1 and all(
        _bytes(honest[0][owner]) == _bytes(x.ring(values))
        for owner, values in INPUTS.items()
        if owner != corrupt
    )


def _bytes(x: RingArray) -> bytes:
    return bytes(x.ring.encode(x.data))


class Wire:
    """All that the program's parties send each other, with one byte of one frame changed."""

    def __init__(self, kind: type[Suite], parties: int, ring: Ring) -> None:
        self.kind, self.parties, self.ring = kind, parties, ring

    def frames(self) -> list[tuple[int, int, int]]:
        """Sender, number, and bytes of payload of each frame of an honest run."""
        seen: list[tuple[int, int, int]] = []

        def note(sender: int, number: int, frame: bytes) -> bytes:
            seen.append((sender, number, len(frame) - HEADER.size))
            return frame

        if not right(self._run(note)):
            raise ValueError("a product of two inputs is revealed wrongly")
        return seen

    def bent(self, sender: int, number: int, at: int, bit: int) -> str:
        """What becomes of it: ``right`` for the other parties, ``raises`` somewhere, or ``unnoticed``."""

        def bend(who: int, n: int, frame: bytes) -> bytes:
            if (who, n) != (sender, number):
                return frame
            changed = bytearray(frame)
            changed[at] ^= bit
            return bytes(changed)

        try:
            return "right" if right(self._run(bend), sender) else "unnoticed"
        except Exception:  # whichever it is, nothing wrong is released
            return "raises"

    def _run(self, alter: Callable[[int, int, bytes], bytes]) -> list[tuple[RingArray, ...]]:
        """The program's results; ``alter(sender, number, frame)`` sees every frame to a party after the
        setup.
        """
        begun: dict[int, int] = {}  # numbers of frames by sender, once the parties sit

        def around(end: Transport) -> Transport:
            def altered(_: int, peer: int, frame: bytes) -> bytes:
                if end.rank not in begun or peer == end.size:
                    return frame
                begun[end.rank] += 1
                return alter(end.rank, begun[end.rank] - 1, frame)

            return Tampered(end, altered)

        table = Lockstep(self.kind, self.parties, around)
        begun |= dict.fromkeys(range(self.parties), 0)
        return table.run([program(suite, self.ring) for suite in table.suites], "program")


@dataclass
class Bending:
    """How many payloads and headers were bent, how many of each passed unnoticed, and what is wrong with
    that.
    """

    payloads: int = 0
    headers: int = 0
    unnoticed: int = 0
    unnoticed_headers: int = 0
    wrong: list[str] = field(default_factory=list)


def compare(kind: type[Suite], parties: int, ring: Ring) -> Bending:
    """Every frame in turn: its payload's first and last bit, and each field of its header.

    The sender counts as corrupt.  That a party raises counts wherever it happens.
    """
    found, wire = Bending(), Wire(kind, parties, ring)
    try:
        frames = wire.frames()
    except Exception as error:  # whatever a scheme of somebody else's raises
        found.wrong.append(f"inputs, a product and a reveal: {type(error).__name__}: {error}")
        return found
    for sender, number, size in frames:
        for at, bit in ((HEADER.size, 1), (HEADER.size + size - 1, 0x80)) if size else ():
            found.payloads += 1
            if wire.bent(sender, number, at, bit) == "unnoticed":
                found.unnoticed += 1
                if kind.threat.adversary == "malicious":
                    found.wrong.append(
                        f"byte {at - HEADER.size} of the payload of party {sender}'s frame {number} was bent"
                        " and the result is wrong, without an error"
                    )
        for name, at in FIELDS.items():
            found.headers += 1
            if wire.bent(sender, number, at, 1) != "raises":
                found.unnoticed_headers += 1
                found.wrong.append(f"the {name} in the header of party {sender}'s frame {number} may be bent")
    return found
