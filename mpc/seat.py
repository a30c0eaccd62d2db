"""A seat: everything about a party that is not input or output.  A suite gets this and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

import numpy as np

from mpc.prg import SEED_BYTES, Stream
from mpc.ring import Z64, RingArray, Spec
from mpc.rounds import exchange

_SEED = Spec(Z64, (SEED_BYTES // 8,))


def pack(seed: bytes) -> RingArray:
    """A seed as it travels."""
    return RingArray(Z64, np.frombuffer(seed, Z64.dtype))


class Seat:
    """Rank, number of parties, and the keyed streams this party has: its own, one per peer, one for all."""

    def __init__(self, rank: int, size: int, own: Stream, pair: Mapping[int, Stream], common: Stream) -> None:
        self.rank, self.size = rank, size
        self.own, self.pair, self.common = own, pair, common
        self.session = b""

    def bind(self, *facts: bytes) -> None:
        """Add what only the members of this very session have in common; every frame's digest covers it."""
        self.session = blake2b(self.session + b"".join(facts), digest_size=16).digest()

    @property
    def others(self) -> list[int]:
        return [p for p in range(self.size) if p != self.rank]

    def position(self, peer: int) -> str:
        """Where the streams shared with ``peer`` stand; both ends must agree."""
        return f"{self.session.hex()},{self.pair[peer].position},{self.common.position}"


async def take_seat(rank: int, size: int, own: Stream) -> Seat:
    """Agree on keys: one round, 64 bytes to each peer.

    The key of a pair is HKDF over one contribution of each of the two; the common key over one of everybody.
    Their secrecy is the transport's, and so is who they are shared with.  A party that chooses its
    contribution after seeing the others' could bias the common stream; against semi-honest parties none does.
    """
    others = [p for p in range(size) if p != rank]
    mine = own.bytes(SEED_BYTES)
    for_peer = {p: own.bytes(SEED_BYTES) for p in others}
    inbox = await exchange(
        {p: (pack(for_peer[p]), pack(mine)) for p in others}, dict.fromkeys(others, (_SEED, _SEED)), "keys"
    )
    theirs = {p: (inbox[p][0].data.tobytes(), inbox[p][1].data.tobytes()) for p in others}
    pair = {
        p: Stream(
            for_peer[p] + theirs[p][0] if rank < p else theirs[p][0] + for_peer[p],
            f"pair {min(rank, p)} {max(rank, p)}",
        )
        for p in others
    }
    everyones = b"".join(mine if p == rank else theirs[p][1] for p in range(size))
    seat = Seat(rank, size, own, pair, Stream(everyones, "common"))
    seat.bind(Stream(everyones, "session").bytes(16))  # links into another session show at the next frame
    return seat
