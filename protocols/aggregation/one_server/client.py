"""A client of one round: bytes from the server in, bytes for the server out, five times.

    ADVERTISE   make two keys, sign them
    SHARE       check the neighbours' signatures; deal shares of b and of the mask key, sealed, to those
                neighbours
    MASK        add F(b) and the common masks with all neighbours that have dealt; vouch to each that its mask
                is in
    CONFIRM     take the list of survivors, once; vouch to each surviving neighbour for having seen this very
                list
    UNMASK      if t neighbours have seen the same list: for each neighbour on it the share of its b,
                for each other the share of its mask key

The round is one generator, top to bottom as in the paper; what is remembered is its local variables.  An
error ends it: a client that has refused, or has answered for the last time, never answers again.  So nobody
gets both shares of one neighbour from it, whatever the server sends and however often.

Threat   a server that does anything, with the fraction of clients that ``Terms.corrupt`` says
         (``protocols/aggregation/one_server/bounds.py``).  Whether the sum is *right* depends on server and
         clients alike.
Cost     k neighbours: 2k X25519, k signatures to check, 2k shares of t products, k + 1 masks of the vector.
Source   Bell et al., ePrint 2020/704, Algorithm 3; Bonawitz et al., ePrint 2017/281, figure 4.  Departures:
         the graph is the directory's; vouching by the pair's key for signing; the survivors' list is one for
         all.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence, Set
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc.errors import AggregationRefused, ConfigError, WireError
from mpc.prg import SEED_BYTES, Stream
from mpc.ring import NDArray
from protocols.aggregation import masks, shamir
from protocols.aggregation import messages as wire
from protocols.aggregation.channel import TAG_BYTES, Channel, Kind
from protocols.aggregation.messages import Phase
from protocols.aggregation.one_server.terms import Terms
from protocols.aggregation.packing import pack


class Client:
    """One client's side of one round.

    ``vector`` is uint32 of the terms' length, below 2^bits; ``side`` the values that travel beside it, modulo
    2^64.  ``key`` is the signing key whose public part the directory has under ``name``.

    ``masking`` is called once, when everything before it was as it must be and the vector is about to be
    masked: whoever has to pay for the round or write it down does so there, or raises, and the vector stays
    where it is.

    ``own`` is the client's randomness.  A client whose process does not live through the round can keep a
    seed, its vector and all the server's messages, and be made again from them: it then says what it has
    said.  Such a record must only ever grow: who can turn it back can have both shares of a neighbour, or two
    vectors under one mask.
    """

    def __init__(
        self,
        terms: Terms,
        name: str,
        key: Ed25519PrivateKey,
        vector: Any,
        side: Sequence[int] | NDArray = (),
        own: Stream | None = None,
        masking: Callable[[], None] = lambda: None,
    ) -> None:
        self.terms, self.name = terms, name
        place = terms.directory.place(name)
        if key.public_key().public_bytes_raw() != terms.directory.key(place):
            raise ConfigError(
                f"the signing key of {name!r} is not the one whose public part is in the directory"
            )
        words, values = terms.input(vector, side)
        stream = own or Stream.fresh("aggregation client")
        self._round = _round(terms, place, key, words, values, stream, masking)
        next(self._round)

    def answer(self, message: bytes) -> bytes:
        """The answer to the server's next message.

        Raises ``AggregationRefused`` where an honest server would not have sent it, or when this client has
        refused before or has answered everything in this round.
        """
        try:
            return self._round.send(message)
        except StopIteration:
            raise AggregationRefused(
                f"client {self.name!r} takes no further part in round {self.terms.round}: it has refused or"
                " is through"
            ) from None
        except WireError as error:
            raise AggregationRefused(f"client {self.name!r} does not go on: {error}") from None
        except AggregationRefused as error:
            raise AggregationRefused(f"client {self.name!r} does not go on: {error}") from None

    def __repr__(self) -> str:
        return f"<client {self.name!r} in round {self.terms.round}>"


def _round(
    terms: Terms,
    me: int,
    signing: Ed25519PrivateKey,
    vector: NDArray,
    side: NDArray,
    own: Stream,
    masking: Callable[[], None],
) -> Generator[bytes, bytes, None]:
    neighbours, digest, threshold = terms.graph.neighbours(me), terms.digest, terms.threshold

    def due(message: bytes, phase: Phase) -> memoryview:
        return wire.body(message, wire.TO_CLIENT, phase, me, digest)

    def head(phase: Phase) -> bytes:
        return wire.header(wire.TO_SERVER, phase, me, digest)

    def enough(what: str, count: int) -> None:
        if count < threshold:
            raise AggregationRefused(
                f"{count} of its {len(neighbours)} neighbours {what}, and {threshold} are needed"
            )

    message = yield b""
    if difference := terms.difference(message[wire.HEADER.size :]):
        raise AggregationRefused(f"the server's terms differ in {difference}")
    due(message, Phase.ADVERTISE)
    mask_key, channel_key = (
        X25519PrivateKey.from_private_bytes(own.bytes(wire.PUBLIC_BYTES)) for _ in range(2)
    )
    keys = mask_key.public_key().public_bytes_raw() + channel_key.public_key().public_bytes_raw()
    text = head(Phase.ADVERTISE) + keys
    message = yield text + signing.sign(wire.signed_text(text))

    adverts = wire.unpack_items(neighbours, due(message, Phase.SHARE), wire.ADVERT_BYTES)
    enough("have advertised keys", len(adverts))
    channels = {peer: _channel(terms, me, channel_key, peer, advert) for peer, advert in adverts.items()}
    secret = own.bytes(SEED_BYTES)
    places = [peer + 1 for peer in channels]
    pairs = zip(
        shamir.split(secret, threshold, places, own),
        shamir.split(mask_key.private_bytes_raw(), threshold, places, own),
        strict=True,
    )
    sealed = {
        peer: channel.seal(Kind.SHARES, b + s)
        for (peer, channel), (b, s) in zip(channels.items(), pairs, strict=True)
    }
    message = yield (
        head(Phase.SHARE) + wire.commitment(secret, digest, me) + wire.pack_items(neighbours, sealed)
    )

    received = wire.unpack_items(neighbours, due(message, Phase.MASK), wire.SEALED_BYTES)
    if not received.keys() <= channels.keys():
        raise AggregationRefused("shares came from a neighbour whose keys did not")
    enough("have dealt shares", len(received))
    shares = {peer: channels[peer].open(Kind.SHARES, text) for peer, text in received.items()}
    try:
        common = [
            masks.pair_mask(mask_key, adverts[peer][: wire.PUBLIC_BYTES], digest, me, peer)
            for peer in received
        ]
    except ValueError:
        raise AggregationRefused("a neighbour's mask key is no sound point") from None
    masking()
    side, vector = side.copy(), vector.copy()
    masks.add((side, vector), [(1, masks.self_mask(secret, digest, me)), *common])
    tags = {peer: channels[peer].vouch(Kind.INCLUDED, b"") for peer in shares}
    reply = b"".join(
        [head(Phase.MASK), side.data, pack(vector, terms.bits).data, wire.pack_items(neighbours, tags)]
    )
    del side, vector, common, tags, adverts, sealed, received, secret
    message = yield reply
    del reply

    said = due(message, Phase.CONFIRM)
    survivors, near = _survivors(terms, me, neighbours, shares.keys(), said)
    enough("have survived", len(near))
    included = {
        peer
        for peer, tag in wire.unpack_items(neighbours, said[-(-terms.clients // 8) :], TAG_BYTES).items()
        if peer in near and channels[peer].vouched(Kind.INCLUDED, tag, b"")
    }
    tags = {peer: channels[peer].vouch(Kind.SURVIVORS, survivors) for peer in near}
    message = yield head(Phase.CONFIRM) + wire.pack_items(neighbours, tags)

    seen = wire.unpack_items(neighbours, due(message, Phase.UNMASK), TAG_BYTES)
    enough(
        "vouch for the same survivors",
        sum(
            peer in near and channels[peer].vouched(Kind.SURVIVORS, tag, survivors)
            for peer, tag in seen.items()
        ),
    )
    yield head(Phase.UNMASK) + wire.pack_items(neighbours, _opened(shares, near, included))


def _channel(terms: Terms, me: int, key: X25519PrivateKey, peer: int, advert: bytes) -> Channel:
    """The channel to a neighbour whose signature is right."""
    name = terms.directory.names[peer]
    text = wire.header(wire.TO_SERVER, Phase.ADVERTISE, peer, terms.digest) + advert[: wire.KEYS_BYTES]
    if not terms.directory.signed(peer, advert[wire.KEYS_BYTES :], wire.signed_text(text)):
        raise AggregationRefused(f"the keys of {name!r} do not bear its signature for this round")
    try:
        return Channel(key, advert[wire.PUBLIC_BYTES : wire.KEYS_BYTES], terms.digest, me, peer)
    except ValueError:
        raise AggregationRefused(f"the channel key of {name!r} is no sound point") from None


def _survivors(
    terms: Terms, me: int, neighbours: Sequence[int], dealt: Set[int], said: memoryview
) -> tuple[bytes, set[int]]:
    """The list of survivors, as bytes, and the neighbours on it; refused unless an honest server could have
    sent it.
    """
    encoded = said[: -(-terms.clients // 8)]
    alive = wire.unpack_bits(encoded, terms.clients)
    count = int(alive.sum())
    if not alive[me]:
        raise AggregationRefused("the server says that this very client has dropped out")
    if count < terms.least:
        raise AggregationRefused(
            f"{count} of {terms.clients} clients have survived, and {terms.least} must be in the sum"
        )
    near = {peer for peer in neighbours if alive[peer]}
    if not near <= dealt:
        raise AggregationRefused("a neighbour survives that had dropped out before vectors were masked")
    return bytes(encoded), near


def _opened(shares: Mapping[int, bytes | None], survivors: set[int], included: set[int]) -> dict[int, bytes]:
    """For every neighbour one share, of b or of its mask key.  None of a survivor that does not vouch for our
    common mask.
    """
    out = {}
    for peer, pair in shares.items():
        if pair is not None and (peer in included or peer not in survivors):
            out[peer] = pair[: shamir.SHARE_BYTES] if peer in survivors else pair[shamir.SHARE_BYTES :]
    return out
