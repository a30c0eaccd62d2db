"""What server and client say to each other: frames, and the small messages and words in them.

A frame, with the bytes that its parts take:

    "mpcA" (4)   kind (1)   length (4)   body
"""

from __future__ import annotations

import json
import socket
import struct
from enum import IntEnum
from typing import Any

from mpc.errors import WireError

HEAD = struct.Struct("<4sBI")
MAGIC = b"mpcA"
NUMBER = 8  # bytes of a round's number, before what is asked or told
SMALL = 4096  # the longest hello, refusal or reason


class Kind(IntEnum):
    HELLO, WELCOME, ASK, ANSWER, REFUSED, RESULT, FAILED, ERROR, BYE = range(1, 10)


def head(kind: Kind, size: int) -> bytes:
    return HEAD.pack(MAGIC, kind, size)


def read_head(data: bytes | bytearray) -> tuple[Kind, int]:
    """Kind and length; ``WireError`` for what is no frame."""
    magic, kind, size = HEAD.unpack(data)
    if magic != MAGIC or kind not in set(Kind):
        raise WireError("what it sends is no frame of this protocol")
    return Kind(kind), size


def as_json(body: bytes | bytearray | memoryview) -> dict[str, Any]:
    """A small message; ``WireError`` for anything that is not one."""
    try:
        out = json.loads(bytes(body))
    except (ValueError, RecursionError):
        out = None
    if not isinstance(out, dict):
        raise WireError("what arrived is no message of this protocol")
    return out


def round_number(value: object) -> int | None:
    """A round's number in a small message, or none."""
    if value is None or (type(value) is int and 0 <= value < 1 << 63):
        return value
    raise WireError("what arrived has a number of a round that is none")


def printable(body: bytes | bytearray) -> str:
    """What the other side says, fit for a terminal."""
    text = body[:SMALL].decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def prepare(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
