"""Aggregation among several servers: each client speaks once, the servers add shares and open only the sum.

    x = F(r_0) + … + F(r_{m−2}) + y:   server j < m − 1 gets the seed r_j, the last server gets the vector y

A client seals each seed for its server and signs what it sends, so that any relay can carry it.  The servers
first agree on the *roster*: whose seeds all of them have.  Then the last one takes vectors, of the roster
only, and adds them as they come; then it says whose it has, the others expand these clients' seeds, and the
sums are opened together, once.

*Input checks* (``bound``, ``norm``): before a vector is added, the servers compute on its shares whether all
|x_j| ≤ bound and Σ x_j² ≤ norm, and open that bit alone.  Who fails is left out and named.  Vectors are then
signed 64-bit words, so that with length · bound² < 2^63 the sum of squares cannot wrap once the range is
right; both tests are opened as one bit, so a vector out of range gains nothing by a norm that has wrapped.

*Noise* (``noise``): before the sum is opened, the servers draw a discrete Gaussian of this variance for each
coordinate on shares (``protocols/privacy/joint.py``) and add it.  Nobody knows the noise or the sum without
it, there is one of it however many drop out, and no client has to be trusted with it.

What a server gives to be opened is uniform above the modulus: sums of words that were cut to 2^bits would
else tell by their carries how many vectors lie above a mask.

Threat   without checks, the sum of at least ``least`` clients and nothing else is learnt as long as one
         server is honest, which opens one sum a round, whatever the others do; that it is right depends on
         all servers.  Checks are as safe as the session's suite, semi-honest: 2 servers or more need a
         dealer, 3 may do with an honest majority (``mpc suites``).  So is noise.
Cost     a client: m − 1 masks; 80 bytes and a signature to each server but one, the vector and a signature to
         that.  A server: a mask per client (the last one: an addition); memory O(length).  Checks: two
         comparisons per coordinate (``mpc bench lt``) and one product, a few vectors at a time.  Noise: see
         its module.
Source   Corrigan-Gibbs, Boneh, NSDI 2017 (Prio): the scheme, and shares from seeds.  Where Prio's clients
         prove that their input is in range, the servers here compute it: no work for clients, more for
         servers.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc.encoding import INT
from mpc.errors import AggregationFailed, ConfigError, EncodingError, MpcError, WireError
from mpc.prg import SEED_BYTES, Stream
from mpc.ring import Z32, Z64, NDArray, Ring, RingArray, Spec
from mpc.rounds import gather
from protocols.aggregation import masks
from protocols.aggregation import messages as wire
from protocols.aggregation.channel import TAG_BYTES, Channel, Kind
from protocols.aggregation.directory import SIGNATURE_BYTES, Directory
from protocols.aggregation.one_server.server import Sum
from protocols.aggregation.packing import pack, packed_bytes, unpack
from protocols.array.secret import Secret, call
from protocols.array.session import Session
from protocols.privacy.joint import prepared
from protocols.suite import Share, Suite

_TO_SERVERS = b"ag2s"
_SERVER = 1 << 31  # added to a server's rank where a channel wants a number
_SEED_BODY = wire.PUBLIC_BYTES + SEED_BYTES + TAG_BYTES

#: Coordinates that are checked together, of as many clients as have that many.
_CHECKED = 1 << 18


@dataclass(frozen=True)
class Servers:
    """The terms of a round with several servers, which clients and servers make from their own
    configurations.

    keys     the servers' X25519 public keys, by rank; the last one takes the vectors
    length   coordinates: unsigned modulo 2^bits, or signed 64-bit words (as uint64) where there are checks
    side     values modulo 2^64 beside the vector, which are not checked
    least    fewest clients whose sum is opened
    bound, norm   the largest |x_j|, and the largest Σ x_j², of a vector; 0 for no checks
    noise    the variance of the noise in each coordinate of the sum; 0 for none
    """

    directory: Directory
    keys: tuple[bytes, ...]
    session: str
    round: int
    length: int
    least: int
    side: int = 0
    bits: int = 32
    bound: int = 0
    norm: int = 0
    noise: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        if (
            len(self.keys) < 2
            or any(len(k) != wire.PUBLIC_BYTES or not masks.is_sound(k) for k in self.keys)
            or len(set(self.keys)) < len(self.keys)
        ):
            raise ConfigError(
                f"{len(self.keys)} servers: give different sound X25519 public keys of two or more"
            )
        if not 3 <= self.least <= len(self.directory):
            raise ConfigError(
                f"a sum of {self.least} clients at least: give 3 to {len(self.directory)}, the number of"
                " clients"
            )
        if not (
            1 <= self.length < 1 << 31
            and 1 <= self.bits <= 32
            and 0 <= self.side < 1 << 16
            and 0 <= self.round < 1 << 63
        ):
            raise ConfigError(
                "lengths are 1 to 2^31 − 1, bits 1 to 32, side values up to 65535, rounds not negative"
            )
        if (self.bound or self.norm) and not (
            self.bound > 0 and self.norm > 0 and self.length * self.bound**2 < 1 << 63 and self.norm < 1 << 63
        ):
            raise ConfigError(
                f"checks with bound {self.bound} and norm {self.norm}: give both, with length · bound² below"
                " 2^63, so that the sum of squares cannot wrap"
            )
        if self.noise and self.side:
            raise ConfigError(
                f"{self.side} side values would be opened without noise: put what they say into the vector,"
                " or leave them out"
            )
        if self.noise:
            prepared(self.noise)

    @property
    def size(self) -> int:
        return len(self.keys)

    @property
    def ring(self) -> Ring:
        """What vectors are shared over."""
        return Z64 if self.bound else Z32

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.ring.dtype

    @property
    def vector_bytes(self) -> int:
        return 8 * self.side + (8 * self.length if self.bound else packed_bytes(self.length, self.bits))

    @cached_property
    def digest(self) -> bytes:
        numbers = struct.pack(
            "<QQIIBQQI",
            self.round,
            self.length,
            self.least,
            self.side,
            self.bits,
            self.bound,
            self.norm,
            self.size,
        )
        noise = hashlib.sha256(str(self.noise).encode()).digest()
        return hashlib.sha256(
            b"".join(
                [
                    b"mpc/1 aggregation servers",
                    self.directory.digest,
                    hashlib.sha256(self.session.encode()).digest(),
                    numbers,
                    noise,
                    *self.keys,
                ]
            )
        ).digest()

    def mask(self, seed: bytes, client: int, server: int) -> Stream:
        """F(r) of a client at a server."""
        return Stream(seed, f"aggregation share {self.digest.hex()} {client} {server}")

    def header(self, client: int, server: int) -> bytes:
        return wire.HEADER.pack(_TO_SERVERS, server, client, self.digest, 0)


def contribute(
    terms: Servers,
    name: str,
    key: Ed25519PrivateKey,
    vector: Any,
    side: Sequence[int] | NDArray = (),
    own: Stream | None = None,
) -> list[bytes]:
    """What a client sends, by rank of the server.  The last message is the long one, to be sent when asked
    for it.

    ``vector`` is uint32 below 2^bits, or uint64 where there are checks.  A client contributes once to a
    round; with a stream of its ``own`` from a seed it has kept, it can make the same messages again, of the
    same vector: two vectors under the same seed show their difference.
    """
    place = terms.directory.place(name)
    words, values = np.array(vector), np.array(side, np.uint64)
    if words.dtype != terms.dtype or words.shape != (terms.length,) or values.shape != (terms.side,):
        raise EncodingError(
            f"{words.dtype}{list(words.shape)} and {values.size} side values cannot be aggregated: these"
            f" terms want {terms.dtype}[{terms.length}] and {terms.side}; encode first"
        )
    if terms.dtype.itemsize == 4 and terms.bits < 32 and int(words.max()) >> terms.bits:
        raise EncodingError(
            f"a coordinate is not below 2^{terms.bits}, the modulus of these terms; reduce it first"
        )
    own, out, streams = own or Stream.fresh("aggregation client"), [], []
    for rank, public in enumerate(terms.keys[:-1]):
        seed, ephemeral = (
            own.bytes(SEED_BYTES),
            X25519PrivateKey.from_private_bytes(own.bytes(wire.PUBLIC_BYTES)),
        )
        sealed = Channel(ephemeral, public, terms.digest, place, _SERVER + rank).seal(Kind.SEED, seed)
        out.append(
            _signed(key, terms.header(place, rank), ephemeral.public_key().public_bytes_raw() + sealed)
        )
        streams.append((-1, terms.mask(seed, place, rank)))
    masks.add((values, words), streams)
    packed = words if terms.bound else pack(words, terms.bits)
    out.append(_signed(key, terms.header(place, terms.size - 1), b"".join([values.data, packed.data])))
    return out


def _signed(key: Ed25519PrivateKey, header: bytes, body: bytes) -> bytes:
    return b"".join([header, key.sign(_text(header, body)), body])


def _text(header: bytes, body: bytes | memoryview) -> bytes:
    return b"mpc/1 aggregation share" + header + hashlib.sha256(body).digest()


class Aggregator:
    """One server's side of a round: what clients send it, checked, and its share of the sum.

    ``key`` is the private part of the key that the terms have for this rank.  ``faults`` says by name what
    was wrong with a client.
    """

    def __init__(self, terms: Servers, rank: int, key: X25519PrivateKey) -> None:
        if key.public_key().public_bytes_raw() != terms.keys[rank]:
            raise ConfigError(f"this is not the key whose public part the terms have for server {rank}")
        self.terms, self.rank, self._key = terms, rank, key
        self.faults: dict[str, str] = {}
        self.summed, self._settled, self._heard, self._opened = set[int](), set[int](), set[int](), False
        self._seeds: dict[int, bytes] = {}
        self._vectors: dict[int, NDArray] = {}  # those that wait for their check
        self._sides: dict[int, NDArray] = {}
        self._side, self._vector = np.zeros(terms.side, np.uint64), np.zeros(terms.length, terms.dtype)

    @property
    def last(self) -> bool:
        return self.rank == self.terms.size - 1

    def receive(self, name: str, message: bytes) -> bool:
        """Take a client's share; whether it is one.  A wrong one leaves the client out, a second one is not
        looked at.
        """
        place = self.terms.directory.place(name)
        if place in self._heard:
            self.faults.setdefault(name, "sent a second share, which was not looked at")
            return False
        self._heard.add(place)
        try:
            self._take(place, self._body(place, message))
        except WireError as error:
            self.faults[name] = str(error)
            return False
        return True

    def _body(self, place: int, message: bytes) -> memoryview:
        header, data = self.terms.header(place, self.rank), memoryview(message)
        size = self.terms.vector_bytes if self.last else _SEED_BODY
        due = len(header) + SIGNATURE_BYTES + size
        if len(message) != due:
            raise WireError(f"{len(message)} bytes arrived where a share of {due} was due")
        if message[: len(header)] != header:
            raise WireError(
                "a share of another client, round or session, for another server or under other terms arrived"
            )
        body = data[len(header) + SIGNATURE_BYTES :]
        if not self.terms.directory.signed(place, bytes(data[len(header) : -size]), _text(header, body)):
            raise WireError("its share does not bear its signature")
        return body

    def _take(self, place: int, body: memoryview) -> None:
        terms = self.terms
        if not self.last:
            ephemeral, sealed = bytes(body[: wire.PUBLIC_BYTES]), bytes(body[wire.PUBLIC_BYTES :])
            try:
                seed = Channel(self._key, ephemeral, terms.digest, _SERVER + self.rank, place).open(
                    Kind.SEED, sealed
                )
            except ValueError:
                seed = None
            if seed is None:
                raise WireError("its seed is not sealed for this server")
            self._seeds[place] = seed
            return
        side, rest = (
            np.frombuffer(body[: 8 * terms.side], np.uint64),
            np.frombuffer(body[8 * terms.side :], terms.dtype),
        )
        if terms.bound:
            self._sides[place], self._vectors[place] = side, rest
        else:
            self._side += side
            self._vector += unpack(rest, terms.length, terms.bits)

    @property
    def present(self) -> set[int]:
        """Whose share this server has, or could take."""
        return set(self._seeds) if not self.last else set(range(len(self.terms.directory)))

    def share(self, place: int) -> NDArray:
        """This server's share of a client's vector, for its check."""
        if self.last:
            return self._vectors[place]
        side, vector = np.zeros(self.terms.side, np.uint64), np.zeros(self.terms.length, self.terms.dtype)
        masks.add((side, vector), [(1, self.terms.mask(self._seeds[place], place, self.rank))])
        return vector

    def settle(self, places: Sequence[int], passed: Sequence[bool]) -> None:
        """Add these clients' shares to the sum, but for those whose check has failed.

        Each client once: whoever says otherwise could make the others' vectors cancel.
        """
        if (
            len(set(places)) < len(places)
            or not self._settled.isdisjoint(places)
            or not self.present.issuperset(places)
        ):
            raise MpcError(
                "the last server says that it has vectors of clients that have no seed here or are in the sum"
                " already"
            )
        self._settled.update(places)
        good = [p for p, ok in zip(places, passed, strict=True) if ok]
        if not self.last:
            masks.add(
                (self._side, self._vector), ((1, self.terms.mask(self._seeds[p], p, self.rank)) for p in good)
            )
        elif self.terms.bound:
            for p in good:
                self._side += self._sides[p]
                self._vector += self._vectors[p]
        for p in places:
            self._vectors.pop(p, None)
            self._sides.pop(p, None)
        self.summed.update(good)
        for p in set(places) - set(good):
            self.faults[self.terms.directory.names[p]] = (
                f"its vector is out of range: a coordinate beyond ±{self.terms.bound}, or Σ x² above"
                f" {self.terms.norm}"
            )

    def open(self) -> tuple[NDArray, NDArray]:
        """This server's share of the sum: side values and vector.  It gives it once."""
        _enough(self.terms, self.summed, "have given a vector that may be added")
        if self._opened:
            raise MpcError(
                "this server has opened its share of the sum; what came then would be the difference of two"
                " sums"
            )
        self._opened = True
        if self.terms.bound or self.terms.bits == 32:
            return self._side, self._vector
        above = Stream.fresh("aggregation server").draw(Spec(Z32, self._vector.shape)).data << np.uint32(
            self.terms.bits
        )
        return self._side, self._vector & np.uint32((1 << self.terms.bits) - 1) | above


def total(
    session: Session,
    held: Mapping[int, Aggregator],
    collect: Callable[[frozenset[str]], Iterable[tuple[str, bytes]]],
) -> Sum:
    """Run a round between the servers, whose seeds from clients have arrived; every server calls this.

    ``held`` has this server's aggregator by rank (in a local session, all of them).  Where that is the last
    one, ``collect(names)`` is called with the roster and gives (name, message) as vectors arrive, until the
    deadline.  The session's ring is Z_2^64.  Raises ``AggregationFailed`` where fewer than ``least`` clients
    are left."""
    terms = next(iter(held.values())).terms
    if session.size != terms.size or session.ring.bits != 64:
        raise MpcError(
            f"a session of {terms.size} parties over Z_2^64 is needed, one party for each server of the terms"
        )
    n, last = len(terms.directory), terms.size - 1
    digests = _said(session, {j: np.frombuffer(a.terms.digest, np.int64) for j, a in held.items()}, 4)
    if any((d != digests[0]).any() for d in digests):
        raise MpcError("the servers do not have the same terms for this round; compare their configurations")
    present = _said(session, {j: _flags(a.present, n) for j, a in held.items()}, n)
    roster = set(np.flatnonzero(np.all(present, axis=0)).tolist())
    _enough(terms, roster, "have given a seed to each server")
    vectors = _arrivals(held[last], roster, collect) if last in held else None
    most = max(1, _CHECKED // terms.length) if terms.bound else n
    while True:
        batch = list(islice(vectors, most)) if vectors is not None else []
        (flags,) = _said(session, {last: _flags(batch, n)} if last in held else {}, n, owners=[last])
        places = np.flatnonzero(flags).tolist()
        if not places:
            break
        passed = [True] * len(places)
        if terms.bound:
            shares = {j: np.stack([a.share(p) for p in places]) for j, a in held.items()}
            passed = check(session, shares, (len(places), terms.length), terms.bound, terms.norm).tolist()
        for a in held.values():
            a.settle(places, passed)
    mine = next(iter(held.values()))
    side, vector = _opened(session, terms, {j: a.open() for j, a in held.items()})
    for p in roster - mine.summed:
        mine.faults.setdefault(terms.directory.names[p], "gave no vector")
    for p in set(range(n)) - roster:
        mine.faults.setdefault(terms.directory.names[p], "gave no sound seed to some server")
    return Sum(vector, side, tuple(terms.directory.names[p] for p in sorted(mine.summed)), dict(mine.faults))


def check(
    session: Session, shares: Mapping[int, NDArray], shape: tuple[int, int], bound: int, norm: int
) -> NDArray:
    """Which rows of shared signed words have all |x_j| ≤ bound and Σ x_j² ≤ norm; only that is opened.

    ``shares`` has the additive shares (uint64) of the parties held here.  bound < 2^31, so that bound − x and
    bound + x are both below 2^63, modulo 2^64, exactly for the x in range.
    """
    x = _sum(
        [
            session.secret(shares[j].view(np.int64) if j in shares else None, owner=j, shape=shape, kind=INT)
            for j in range(session.size)
        ]
    )
    outside = call(np.sum, x > bound, axis=1) + call(np.sum, x < -bound, axis=1)
    good = (outside == 0) & (call(np.sum, x * x, axis=1) <= norm)
    return np.asarray(good.reveal(), bool)


def _opened(
    session: Session, terms: Servers, parts: Mapping[int, tuple[NDArray, NDArray]]
) -> tuple[NDArray, NDArray]:
    """Side values and vector from the servers' shares, with the noise if there is some."""

    async def added(suite: Suite) -> Share:
        spec, me = Spec(terms.ring, (terms.length,)), suite.seat.rank
        first, *rest = await gather(
            *(
                suite.input(j, RingArray(terms.ring, parts[j][1]) if j == me else None, spec)
                for j in range(terms.size)
            )
        )
        for share in rest:
            first = first + share
        return await prepared(terms.noise).add(suite, first) if terms.noise else first

    vector = session.spawn("sum of vectors", added, (), (terms.length,), INT, public=terms.digest)
    if not terms.side:
        side, opened = np.zeros(0, np.uint64), session.reveal(vector)
    else:
        sides = [
            session.secret(
                parts[j][0].view(np.int64) if j in parts else None, owner=j, shape=(terms.side,), kind=INT
            )
            for j in range(terms.size)
        ]
        side, opened = session.reveal(_sum(sides), vector)
    words = opened.view(terms.dtype)
    return side.view(np.uint64), words if terms.bound else words & np.uint32((1 << terms.bits) - 1)


def _arrivals(
    aggregator: Aggregator, roster: set[int], collect: Callable[[frozenset[str]], Iterable[tuple[str, bytes]]]
) -> Iterator[int]:
    """Clients of the roster as their vectors arrive and are sound."""
    names = aggregator.terms.directory.names
    for name, message in collect(frozenset(names[p] for p in roster)):
        place = aggregator.terms.directory.place(name)
        if place not in roster:
            aggregator.faults.setdefault(name, "sent a vector without having given a seed to each server")
        elif aggregator.receive(name, message):
            yield place


def _enough(terms: Servers, there: set[int], what: str) -> None:
    n = len(terms.directory)
    if len(there) < terms.least:
        raise AggregationFailed(
            f"the round ends without a sum: {n - len(there)} of {n} clients are missing; {len(there)} {what},"
            f" and {terms.least} must be in the sum",
            n - len(there),
        )


def _said(
    session: Session, words: Mapping[int, NDArray], size: int, owners: Sequence[int] | None = None
) -> list[NDArray]:
    """What each of these servers says to all: words that are no secret."""
    said = [
        session.secret(words.get(j), owner=j, shape=(size,), kind=INT)
        for j in (range(session.size) if owners is None else owners)
    ]
    opened = session.reveal(*said)
    return list(opened) if len(said) > 1 else [opened]


def _flags(places: Iterable[int], n: int) -> NDArray:
    out = np.zeros(n, np.int64)
    out[list(places)] = 1
    return out


def _sum(terms: Sequence[Secret]) -> Secret:
    first, *rest = terms
    for term in rest:
        first = first + term
    return first
