"""The server of one round: asks, takes what arrives, goes on when told to, and opens the sum.

    server = Server(terms)
    while server.phase:
        for name, message in server.requests():      # one for each client that is still in
            send(name, message)
        while server.waiting and not deadline:
            server.receive(name, answer)             # in any order; what is wrong leaves its sender out
        server.advance()                             # with who has answered, or AggregationFailed
    server.result

It never does input or output and never waits: a deadline is ``advance`` before all have answered.  Vectors
are added as they arrive; what is kept is one accumulator, and keys and shares of each client.

    Σ_{i ∈ S} x_i  =  Σ_{i ∈ S} y_i − Σ_{i ∈ S} F(b_i) + Σ_{d ∉ S} Σ_{i ∈ S next to d} ± F(s_id)

Threat   the clients' concern, not the server's; it must get right what malformed messages cannot spoil.  A
         client can spoil the sum with a vector of its choice: see
         ``protocols/aggregation/several_servers/servers.py`` for checks.  Who is on the other end of a
         connection is the transport's business (TLS with certificates).
Cost     n masks, and one for each neighbour of a drop-out that has dealt shares; memory O(length + n·degree).
Source   as ``protocols/aggregation/one_server/client.py``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, combinations, islice
from typing import NoReturn

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from gmpy2 import mpz

from mpc.errors import AggregationFailed, MpcError, WireError
from mpc.ring import NDArray
from protocols.aggregation import masks, shamir
from protocols.aggregation import messages as wire
from protocols.aggregation.channel import TAG_BYTES
from protocols.aggregation.messages import Phase
from protocols.aggregation.one_server.terms import Terms
from protocols.aggregation.packing import packed_bytes, unpack
from protocols.aggregation.shamir import SHARE_BYTES

_COMMITMENT_BYTES = 32
_TRIES, _WORK = 1000, 100_000  # sets of holders tried for one secret; products for them

#: What clients send to or about their neighbours, by the phase of the answer it is in.
_ITEMS = {
    Phase.SHARE: wire.SEALED_BYTES,
    Phase.MASK: TAG_BYTES,
    Phase.CONFIRM: TAG_BYTES,
    Phase.UNMASK: SHARE_BYTES,
}


@dataclass(frozen=True, slots=True)
class Sum:
    """What a round gives: sums modulo 2^bits and 2^64, whose they are, and what was wrong with the others."""

    vector: NDArray
    side: NDArray
    clients: tuple[str, ...]
    faults: Mapping[str, str]


class Server:
    """``requests``, ``receive``, ``advance``, phase by phase; ``result`` when ``phase`` is ``None``.

    ``faults`` names each client that was left out, or whose share was, and says why; ``spoilt`` those whose
    masks could not be opened, at the end of a round that was lost for it: they have dealt wrong shares, or
    more of their neighbours have lied than there were shares to spare.
    """

    def __init__(self, terms: Terms) -> None:
        self.terms, self.faults, self.spoilt = terms, dict[str, str](), set[str]()
        self.phase: Phase | None = Phase.ADVERTISE
        self._names, self._graph = terms.directory.names, terms.graph
        self._asked = dict.fromkeys(range(terms.clients))  # clients that may answer in this phase
        self._answered = set[int]()
        # the neighbours that were there at its beginning
        self._near: dict[int, tuple[int, ...]] = {}
        self._holders: dict[int, tuple[int, ...]] = {}  # neighbours with common masks, and shares
        self._adverts: dict[int, bytes] = {}
        self._commitments: dict[int, bytes] = {}
        self._survivors, self._list = set[int](), b""
        self._post = {phase: _Post(size) for phase, size in _ITEMS.items()}
        self._side, self._vector = np.zeros(terms.side, np.uint64), np.zeros(terms.length, np.uint32)
        self._liars = set[int]()  # the x of shares that were wrong
        self._result: Sum | None = None

    # -- messages ---------------------------------------------------------------------------------

    @property
    def waiting(self) -> set[str]:
        """The clients that have not answered in this phase."""
        return {self._names[i] for i in self._asked.keys() - self._answered}

    @property
    def result(self) -> Sum:
        if self._result is None:
            raise MpcError("there is no sum: the round has not come to its end")
        return self._result

    def awaits(self, name: str) -> bool:
        """Whether this client is asked and has not answered."""
        i = self.terms.directory.place(name)
        return i in self._asked and i not in self._answered

    @property
    def missing(self) -> int:
        """How many clients have not answered in this phase."""
        return len(self._asked) - len(self._answered)

    def requests(self) -> Iterator[tuple[str, bytes]]:
        """What this phase asks of each client that is still in; made one at a time."""
        if (phase := self.phase) is not None:
            for i in tuple(self._asked):  # answers may come in between
                yield self._names[i], self._request(phase, i)

    def request(self, name: str) -> bytes:
        """What this phase asks of a client that it awaits."""
        if self.phase is None or not self.awaits(name):
            raise MpcError(f"nothing is asked of {name!r}")
        return self._request(self.phase, self.terms.directory.place(name))

    def _request(self, phase: Phase, i: int) -> bytes:
        return wire.header(wire.TO_CLIENT, phase, i, self.terms.digest) + self._asks(phase, i)

    def _asks(self, phase: Phase, i: int) -> bytes:
        if phase is Phase.ADVERTISE:
            return self.terms.encode()
        neighbours = self._graph.neighbours(i)
        if phase is Phase.SHARE:
            return wire.pack_items(neighbours, {j: self._adverts[j] for j in self._near[i]})
        post = self._post[Phase(phase - 1)]
        items = wire.pack_items(
            neighbours, {j: item for j in self._near[i] if (item := post.get(j, i)) is not None}
        )
        return self._list + items if phase is Phase.CONFIRM else items

    def receive(self, name: str, message: bytes) -> None:
        """Take a client's answer.  Anything but the message that is due leaves the client out, by name and
        reason.

        A second answer changes nothing but is noted; so is one that comes too late.
        """
        i = self.terms.directory.place(name)
        if self.phase is None or i not in self._asked or i in self._answered:
            self.faults.setdefault(name, "sent a message when none was due, which was not looked at")
        else:
            try:
                self._take(
                    self.phase, i, wire.body(message, wire.TO_SERVER, self.phase, i, self.terms.digest)
                )
            except WireError as error:
                self.faults[name] = str(error)
                del self._asked[i]
            else:
                self._answered.add(i)

    def _take(self, phase: Phase, i: int, data: memoryview) -> None:
        if phase is Phase.ADVERTISE:
            self._adverts[i] = self._checked_advert(i, data)
            return
        if phase is Phase.SHARE:
            self._commitments[i], data = bytes(data[:_COMMITMENT_BYTES]), data[_COMMITMENT_BYTES:]
        vector = None
        if phase is Phase.MASK:
            at = 8 * self.terms.side
            end = at + packed_bytes(self.terms.length, self.terms.bits)
            if len(data) < end:
                raise WireError(
                    f"a vector of {max(0, len(data) - at)} bytes at most arrived where {end - at} were due"
                )
            vector, data = (data[:at], data[at:end]), data[end:]
        items = wire.unpack_items(self._graph.neighbours(i), data, self._post[phase].size)
        given, about = tuple(items), self._holders[i] if phase is Phase.UNMASK else self._near[i]
        if given != about and not (phase is Phase.UNMASK and set(given) <= set(about)):
            raise WireError(f"it answered for {len(given)} neighbours where it was asked for {len(about)}")
        self._post[phase].put(i, given, b"".join(items.values()))
        if vector is not None:  # the last thing that can go wrong is behind us
            self._side += np.frombuffer(vector[0], np.uint64)
            self._vector += unpack(np.frombuffer(vector[1], np.uint32), self.terms.length, self.terms.bits)

    def _checked_advert(self, i: int, data: memoryview) -> bytes:
        advert = bytes(data)
        if len(advert) != wire.ADVERT_BYTES:
            raise WireError(f"keys of {len(advert)} bytes arrived where {wire.ADVERT_BYTES} were due")
        text = wire.header(wire.TO_SERVER, Phase.ADVERTISE, i, self.terms.digest) + advert[: wire.KEYS_BYTES]
        if not self.terms.directory.signed(i, advert[wire.KEYS_BYTES :], wire.signed_text(text)):
            raise WireError("its keys do not bear its signature")
        if not (
            masks.is_sound(advert[: wire.PUBLIC_BYTES])
            and masks.is_sound(advert[wire.PUBLIC_BYTES : wire.KEYS_BYTES])
        ):
            raise WireError("its keys are no sound points of the curve")
        return advert

    # -- from phase to phase ----------------------------------------------------------------------

    def advance(self) -> None:
        """Go on to the next phase with who has answered.  ``AggregationFailed`` if they are too few: the
        round is over.
        """
        phase, there = self.phase, self._answered
        if phase is None:
            raise MpcError("the round is over; make a new server for the next one")
        self.phase = None  # unless this goes well
        for name in self.waiting:
            self.faults[name] = f"did not answer in the phase {phase.name}"
        if phase <= Phase.SHARE:
            there = self._with_enough_neighbours(there)
        if phase <= Phase.MASK and len(there) < self.terms.least:
            self._fail(phase, there, f"{len(there)} are left and {self.terms.least} must be in the sum")
        self._near = {i: tuple(j for j in self._graph.neighbours(i) if j in there) for i in there}
        if phase is Phase.SHARE:
            self._holders = self._near
        if phase is Phase.MASK:
            self._survivors, self._list = there, wire.pack_bits(sorted(there), self.terms.clients)
        if phase >= Phase.MASK:
            self._require_holders(phase, there)
        if phase is Phase.UNMASK:
            self._result = self._unmasked(there)
            return
        self._asked, self._answered = dict.fromkeys(sorted(there)), set()
        self.phase = Phase(phase + 1)

    def _with_enough_neighbours(self, there: set[int]) -> set[int]:
        """Without those that have fewer than the threshold, and those that then have, and so on."""
        count = {i: sum(j in there for j in self._graph.neighbours(i)) for i in there}
        lonely = [i for i in there if count[i] < self.terms.threshold]
        there = set(there)
        while lonely:
            i = lonely.pop()
            if i in there:
                there.remove(i)
                self.faults[self._names[i]] = (
                    f"has fewer than {self.terms.threshold} neighbours that are there"
                )
                for j in there.intersection(self._graph.neighbours(i)):
                    count[j] -= 1
                    lonely += [j] if count[j] < self.terms.threshold else []
        return there

    def _opens(self, i: int) -> bool:
        """Whether a secret of this client is needed:
        its b, or its mask key if a survivor has a mask with it.
        """
        return i in self._survivors or any(j in self._survivors for j in self._holders[i])

    def _require_holders(self, phase: Phase, there: set[int]) -> None:
        few = {
            i: c
            for i, holders in self._holders.items()
            if (c := sum(j in there for j in holders)) < self.terms.threshold and self._opens(i)
        }
        if few:
            worst = min(few, key=lambda i: few[i])
            self._fail(
                phase,
                there,
                f"of the neighbours of {self._names[worst]!r} {few[worst]} are left, and"
                f" {self.terms.threshold} must be to open its masks"
                + (f" (likewise for {len(few) - 1} others)" if len(few) > 1 else ""),
            )

    def _fail(self, phase: Phase, there: set[int], why: str) -> NoReturn:
        missing = self.terms.clients - len(there)
        raise AggregationFailed(
            f"the round ends without a sum after the phase {phase.name}: {missing} of {self.terms.clients}"
            f" clients are missing; {why}",
            missing,
        )

    # -- opening the sum --------------------------------------------------------------------------

    def _unmasked(self, there: set[int]) -> Sum:
        secrets = {
            i: self._secret(i, [j for j in holders if j in there])
            for i, holders in self._holders.items()
            if self._opens(i)
        }
        lost = [i for i, secret in secrets.items() if secret is None]
        self.spoilt = {self._names[i] for i in lost}
        if lost:
            self._fail(
                Phase.UNMASK,
                there,
                f"the shares that came do not open the masks of {self._names[lost[0]]!r}"
                + (f" and {len(lost) - 1} others" if len(lost) > 1 else ""),
            )
        masks.add(
            (self._side, self._vector),
            self._masks({i: secret for i, secret in secrets.items() if secret is not None}),
        )
        vector = self._vector & np.uint32((1 << self.terms.bits) - 1)
        return Sum(
            vector, self._side, tuple(self._names[i] for i in sorted(self._survivors)), dict(self.faults)
        )

    def _masks(self, secrets: Mapping[int, bytes]) -> Iterator[masks.Signed]:
        """All masks that are in the sum, with the other sign."""
        digest = self.terms.digest
        for i, secret in secrets.items():
            if i in self._survivors:
                yield -1, masks.self_mask(secret, digest, i)
                continue
            key = X25519PrivateKey.from_private_bytes(secret)
            for j in self._holders[i]:
                if j in self._survivors:  # the sign at i is the other one than at j
                    yield masks.pair_mask(key, self._adverts[j][: wire.PUBLIC_BYTES], digest, i, j)

    def _secret(self, i: int, holders: list[int]) -> bytes | None:
        """b of a survivor, the mask key of another; from exactly the threshold of shares unless some are
        wrong.
        """
        threshold, post = self.terms.threshold, self._post[Phase.UNMASK]
        shares = {}
        for j in sorted(holders, key=lambda j: j + 1 in self._liars):  # theirs last: decoding is dear
            if (share := post.get(j, i)) is not None:
                if (value := shamir.element(share)) is not None:
                    shares[j + 1] = value
                else:
                    self._blame(j, i)
        if len(shares) < threshold:
            return None
        secret = shamir.join(shares, threshold)
        if secret is not None and self._is_right(i, secret):
            return secret
        found = shamir.decode(shares, threshold)
        if found is None or not self._is_right(i, found[0]):
            found = self._without_liars(i, shares)
        for x in found[1] if found is not None else ():
            self._liars.add(x)
            self._blame(x - 1, i)
        return None if found is None else found[0]

    def _without_liars(self, i: int, shares: Mapping[int, mpz]) -> tuple[bytes, list[int]] | None:
        """The same where more shares are wrong than can be decoded, since one can see whether a secret is
        right: without those whose shares were wrong before, and without each few."""
        threshold, known = self.terms.threshold, self._liars & shares.keys()
        rest = [x for x in shares if x not in known]
        tries = chain.from_iterable(combinations(rest, k) for k in range(len(rest) - threshold + 1))
        for out in islice(tries, min(_TRIES, 1 + _WORK // threshold**2)):
            good = [x for x in rest if x not in out][:threshold]
            secret = shamir.join({x: shares[x] for x in good}, threshold)
            if secret is not None and self._is_right(i, secret):
                most = {x: shares[x] for x in good[1:]}
                others = [x for x in shares if x not in good]
                return secret, [x for x in others if shamir.join({**most, x: shares[x]}, threshold) != secret]
        return None

    def _blame(self, holder: int, owner: int) -> None:
        """One of the two has cheated; which, nobody can say."""
        self.faults.setdefault(
            self._names[holder],
            f"its share of a secret of {self._names[owner]!r} is wrong, by its own fault or the other's",
        )

    def _is_right(self, i: int, secret: bytes) -> bool:
        if i in self._survivors:
            return wire.commitment(secret, self.terms.digest, i) == self._commitments[i]
        return (
            X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
            == self._adverts[i][: wire.PUBLIC_BYTES]
        )


class _Post:
    """Items of one size from clients about their neighbours, as they arrived."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._items: dict[int, tuple[tuple[int, ...], bytes]] = {}

    def put(self, sender: int, receivers: tuple[int, ...], items: bytes) -> None:
        self._items[sender] = receivers, items

    def get(self, sender: int, receiver: int) -> bytes | None:
        receivers, items = self._items[sender]
        place = bisect_left(receivers, receiver)
        if place == len(receivers) or receivers[place] != receiver:
            return None
        return items[place * self.size : (place + 1) * self.size]
