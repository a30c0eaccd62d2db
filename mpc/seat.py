"""A seat: everything about a party that is not input or output.  A suite gets this and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b, sha256
from hmac import compare_digest

import numpy as np

from mpc.errors import CheatError
from mpc.prg import SEED_BYTES, Stream
from mpc.ring import Z64, RingArray, Spec
from mpc.rounds import exchange
from mpc.tags import TAG, Direction

#: Of one link: tags that this party makes, and those that it verifies.
Ends = tuple[Direction, Direction]
_SEED = Spec(Z64, (SEED_BYTES // 8,))


def pack(seed: bytes) -> RingArray:
    """A seed as it travels."""
    return RingArray(Z64, np.frombuffer(seed, Z64.dtype))


class Seat:
    """Rank, number of parties, and the keyed streams this party has: its own, one per peer, one for all.

    In a session that holds against malicious parties also those of all parties but one (``without``, by who
    lacks it), and keys of tags (``mpc.tags``) for both directions of each link.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        own: Stream,
        pair: Mapping[int, Stream],
        common: Stream,
        without: Mapping[int, Stream] | None = None,
        tags: Mapping[int, Ends] | None = None,
        barriers: Mapping[int, Ends] | None = None,
    ) -> None:
        self.rank, self.size = rank, size
        self.own, self.pair, self.common = own, pair, common
        self.without, self._tags, self._barriers = without or {}, tags or {}, barriers or {}
        self.session = b""

    def bind(self, *facts: bytes) -> None:
        """Add what only the members of this very session have in common; every frame's digest covers it."""
        self.session = blake2b(self.session + b"".join(facts), digest_size=16).digest()

    @property
    def others(self) -> list[int]:
        return [p for p in range(self.size) if p != self.rank]

    def position(self, peer: int) -> str:
        """Where the streams shared with ``peer`` stand; both ends must agree."""
        streams = [self.pair[peer], self.common]
        streams += [stream for left_out, stream in sorted(self.without.items()) if left_out != peer]
        return ",".join([self.session.hex(), *[str(stream.position) for stream in streams]])

    def tag(self, peer: int, *arrays: RingArray) -> RingArray:
        """A tag of these arrays for ``peer``, who is sent them, or is to know them, by another party."""
        return self._tags[peer][0].tag(*arrays)

    def verify(self, peer: int, tag: RingArray, *arrays: RingArray) -> None:
        """``CheatError`` unless ``peer`` knows the same arrays."""
        self._tags[peer][1].verify(tag, *arrays)

    async def barrier(self, *values: RingArray) -> None:
        """Go on only when every other party has received all that it was sent before, and has these public
        values, too; one round.

        Rounds alone do not see to the former: a party waits for those from which something is due.  So one
        that deviates could withhold a message from one party, and see what another sends in the next rounds
        before it decides what was in it.  What is to stay unknown until everything before it is bound is
        sent after a barrier.  Nor do digests of frames see to the latter before a round is over in which
        parties that were told different shapes use one mask twice.
        """
        # tags with keys of their own: a barrier lets rounds pass that were begun after it
        inbox = await exchange(
            {p: (self._barriers[p][0].tag(*values),) for p in self.others},
            dict.fromkeys(self.others, (TAG,)),
            "barrier",
            barrier=True,
        )
        for p in self.others:
            self._barriers[p][1].verify(inbox[p][0], *values)


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
    pair = {p: Stream(seed, _pair(rank, p)) for p, seed in _pair_seeds(rank, for_peer, theirs).items()}
    everyones = b"".join(mine if p == rank else theirs[p][1] for p in range(size))
    return _seated(Seat(rank, size, own, pair, Stream(everyones, "common")), everyones)


async def take_bound_seat(rank: int, size: int, own: Stream) -> Seat:
    """Agree on keys among parties of which some may deviate: three rounds, and more keys.

    Each party commits itself to its contributions to the common key, and to that of all parties but one, for
    each; all compare digests of all commitments; then contributions are opened to those who share the key.

    Threat   malicious.  Nobody chooses a contribution after seeing another's, and all who share a key have
             the same, or ``CheatError``.  A commitment is SHA-256 over who makes it, for which key, and a
             contribution of 32 uniform bytes: it hides by their entropy, and a copy of another's opens to
             nothing.  The key of a pair either end may bias, as it may tell it to others.
    Cost     to each of the n − 1 others 32 + 32n bytes, 32 bytes, and 32(n − 1).
    Source   Blum, CRYPTO 1981 (commit, then open); the echo of commitments: Goldwasser, Lindell, Journal of
             Cryptology, 2005.
    """
    others = [p for p in range(size) if p != rank]
    keys = range(size + 1)  # that of all but party 0, …, and that of everybody
    mine = {key: own.bytes(SEED_BYTES) for key in keys if key != rank}
    for_peer = {p: own.bytes(SEED_BYTES) for p in others}

    committed = b"".join(_commitment(rank, key, seed) for key, seed in mine.items())
    many = Spec(Z64, (len(committed) // 8,))
    inbox = await exchange(
        {p: (pack(for_peer[p]), pack(committed)) for p in others},
        dict.fromkeys(others, (_SEED, many)),
        "keys",
    )
    theirs = {p: (inbox[p][0].data.tobytes(), inbox[p][1].data.tobytes()) for p in others}
    commitments = {p: committed if p == rank else theirs[p][1] for p in range(size)}

    echo = sha256(b"".join(commitments[p] for p in range(size))).digest()
    inbox = await exchange(
        dict.fromkeys(others, (pack(echo),)), dict.fromkeys(others, (_SEED,)), "keys: echo"
    )
    if any(inbox[p][0].data.tobytes() != echo for p in others):
        raise CheatError(
            "a party has told others of different contributions to common keys. Nothing was computed; start"
            " again without it"
        )

    ours = {p: [key for key in keys if key not in (rank, p)] for p in others}
    inbox = await exchange(
        {p: tuple(pack(mine[key]) for key in ours[p]) for p in others},
        {p: (_SEED,) * len(ours[p]) for p in others},
        "keys: opened",
    )
    given = {(rank, key): seed for key, seed in mine.items()}
    for p in others:
        told = iter([commitments[p][i : i + 32] for i in range(0, len(committed), 32)])
        by_key = {key: next(told) for key in keys if key != p}
        for key, opened in zip(ours[p], inbox[p], strict=True):
            given[p, key] = opened.data.tobytes()
            if not compare_digest(_commitment(p, key, given[p, key]), by_key[key]):
                raise CheatError(
                    "a party has opened another contribution to a common key than the one it was bound to."
                    " Nothing was computed; start again without it"
                )

    seeds = {key: b"".join(given[p, key] for p in range(size) if p != key) for key in mine}
    pairs = _pair_seeds(rank, for_peer, theirs)
    seat = Seat(
        rank,
        size,
        own,
        {p: Stream(seed, _pair(rank, p)) for p, seed in pairs.items()},
        Stream(seeds[size], "common"),
        {key: Stream(seed, f"all but {key}") for key, seed in seeds.items() if key < size},
        *(
            {
                p: (Direction(seed, f"{rank} to {p}{use}"), Direction(seed, f"{p} to {rank}{use}"))
                for p, seed in pairs.items()
            }
            for use in ("", ", barriers")
        ),
    )
    return _seated(seat, seeds[size])


def _commitment(party: int, key: int, contribution: bytes) -> bytes:
    return sha256(f"mpc/2 contribution of {party} to key {key} ".encode() + contribution).digest()


def _pair(rank: int, peer: int) -> str:
    return f"pair {min(rank, peer)} {max(rank, peer)}"


def _pair_seeds(
    rank: int, mine: Mapping[int, bytes], theirs: Mapping[int, tuple[bytes, bytes]]
) -> dict[int, bytes]:
    """Both contributions to the key of each pair, the lower party's first."""
    return {p: seed + theirs[p][0] if rank < p else theirs[p][0] + seed for p, seed in mine.items()}


def _seated(seat: Seat, everyones: bytes) -> Seat:
    seat.bind(Stream(everyones, "session").bytes(16))  # links into another session show at the next frame
    return seat
