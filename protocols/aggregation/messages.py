"""What travels: a header of 48 bytes and a body whose length follows from the terms.

    direction and version (4)   phase (4)   who (4)   digest of the terms (32)   zero (4)

``who`` is the client the message is from or for.  Bodies, with n clients, k neighbours:

| phase | server to client | client to server |
|---|---|---|
| ADVERTISE | the terms, 105 | mask key 32, channel key 32, signature 64 |
| SHARE | the neighbours' keys, 128 each | commitment to b 32; sealed shares, 82 each |
| MASK | shares for this client, 82 each | side values, vector; "included" tags, 16 each |
| CONFIRM | survivors ⌈n/8⌉; tags for this client, 16 each | tags on the survivors, 16 each |
| UNMASK | tags for this client, 16 each | shares, 33 each |

"Each" is said of some of the client's neighbours: a bitmap of ⌈k/8⌉ bytes says which (bit i for the i-th in
ascending order), the items follow.  An encoding is the only one of its content: bits beyond the last are
zero, lengths are exact.  What breaks a rule is a ``WireError`` that says which.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum

import numpy as np

from mpc.errors import WireError
from mpc.ring import NDArray
from protocols.aggregation.channel import TAG_BYTES
from protocols.aggregation.directory import DIGEST_BYTES, SIGNATURE_BYTES
from protocols.aggregation.shamir import SHARE_BYTES

TO_CLIENT, TO_SERVER = b"ag2<", b"ag2>"
HEADER = struct.Struct(f"<4sII{DIGEST_BYTES}sI")
PUBLIC_BYTES = 32
KEYS_BYTES = 2 * PUBLIC_BYTES
ADVERT_BYTES = KEYS_BYTES + SIGNATURE_BYTES
SEALED_BYTES = 2 * SHARE_BYTES + TAG_BYTES


class Phase(IntEnum):
    ADVERTISE, SHARE, MASK, CONFIRM, UNMASK = 1, 2, 3, 4, 5


def header(direction: bytes, phase: Phase, who: int, digest: bytes) -> bytes:
    return HEADER.pack(direction, phase, who, digest, 0)


def body(message: bytes, direction: bytes, phase: Phase, who: int, digest: bytes) -> memoryview:
    """What follows the header; ``WireError`` unless this is the message that is due."""
    if len(message) < HEADER.size:
        raise WireError(f"{len(message)} bytes arrived where a message of the phase {phase.name} was due")
    its_direction, its_phase, its_who, its_digest, zero = HEADER.unpack_from(message)
    if its_direction != direction or zero:
        raise WireError("what arrived is no message of this version of secure aggregation")
    if its_digest != digest:
        raise WireError("a message of another round, session or under other terms arrived")
    if its_phase != phase:
        raise WireError(f"a message of phase {its_phase} arrived where {phase.name} was due")
    if its_who != who:
        raise WireError("a message of another client, or for another client, arrived")
    return memoryview(message)[HEADER.size :]


def pack_bits(chosen: Sequence[int] | NDArray, size: int) -> bytes:
    flags = np.zeros(size, np.uint8)
    flags[list(chosen)] = 1
    return np.packbits(flags, bitorder="little").tobytes()


def unpack_bits(data: memoryview, size: int) -> NDArray:
    """Flags, which are 0 or 1, of a set."""
    flags = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    if len(data) != -(-size // 8) or flags[size:].any():
        raise WireError("a set of clients is not encoded as it must be")
    return flags[:size]


def pack_items(neighbours: Sequence[int], items: Mapping[int, bytes]) -> bytes:
    """An item for some of the neighbours."""
    places = [i for i, who in enumerate(neighbours) if who in items]
    return pack_bits(places, len(neighbours)) + b"".join([items[neighbours[i]] for i in places])


def unpack_items(neighbours: Sequence[int], data: memoryview, size: int) -> dict[int, bytes]:
    """The items, ``size`` bytes each, by neighbour in ascending order."""
    start = -(-len(neighbours) // 8)
    places = np.flatnonzero(unpack_bits(data[:start], len(neighbours))).tolist()
    if len(data) != start + size * len(places):
        raise WireError(
            f"{len(data)} bytes arrived where {start + size * len(places)} were due: items of {size} bytes"
            f" for {len(places)} neighbours"
        )
    return {
        neighbours[p]: bytes(data[start + i * size : start + (i + 1) * size]) for i, p in enumerate(places)
    }


def signed_text(text: bytes) -> bytes:
    """What a client signs: header and keys, marked so that the signature serves nowhere else."""
    return b"mpc/1 aggregation keys" + text


def commitment(secret: bytes, digest: bytes, client: int) -> bytes:
    """Binds a client to the b it has dealt: the server sees whether what it puts together is right."""
    return hashlib.sha256(b"mpc/1 aggregation self" + digest + client.to_bytes(4, "little") + secret).digest()
