"""Replicated sharing among four parties, one of which may do anything: a wrong message is refused on arrival.

x = x_0 + x_1 + x_2 + x_3, and party i holds all parts but x_i.  Any two parties know x, one alone knows
nothing, and each part has three holders: whatever one of them is sent comes from two others, of which one at
least is honest.  What is computed is sent by *joint messages*.  Parties k and l know a value v, and all four
are to get shares of it:

    k, l and j draw r from the key that party i alone lacks; it goes to part i.  v − r goes to part j:
    k sends it to i, and l sends i a tag of it under a key that k does not have (``mpc/tags.py``).

i compares before it goes on, in the same round.  So after each round all honest holders of a part have the
same, and it is right.  Checks that come a round later, as in other protocols for four parties, are broken:
two honest parties who hold different versions of a part then mask both by the same r, and tell their
difference.

A product is six joint messages, one for each pair {i, j} and the others k, l, who both hold parts i and j:

    v = f(x_i, y_j) + f(x_j, y_i), and f(x_i, y_i) once for each i, with one of the pairs that have it.

Threat   malicious with abort, 1 of 4 corrupt.  It can end the run, also after it has seen the result; which
         party deviated is not known.  What a party is told is masked by a key that it lacks, or checked by a
         tag that a second party made; a forged tag passes with probability 2^−100 at most, for messages of
         gigabytes.  ``check`` is a barrier (``Seat.barrier``): nothing that is not masked is opened before
         all parties have all that comes before it, or a party could choose its input after it has seen what
         comes of it.
Cost     a product: 1 round, six elements in all, 12 bytes a party.  A tag of 16 bytes goes with each
         joint message, or with all of a round that the same two parties make for a third.
         Who sends changes from call to call.  See ``costs``.
Source   Dalskov, Escudero, Keller, Fantastic Four, ePrint 2020/1330 (joint messages, products, conversions
         and truncation from two known terms).  That checks must be in the round: ePrint 2026/234.  The
         quotient is ``protocols/truncation.py``'s, comparisons are ``protocols/carries.py``'s.
         Shuffling by three who know the order, of a part that the fourth holds with two of them: ours, as in
         Araki et al., CCS 2021, for three.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from operator import add
from typing import ClassVar, NamedTuple

from mpc import masking
from mpc.bits import planes, words_for
from mpc.ring import BITS, RingArray, Spec, narrowest, zeros_like
from mpc.rounds import exchange
from mpc.tags import TAG
from protocols import carries, truncation
from protocols.bilinear import MULTIPLY, Bilinear
from protocols.prep import permuted
from protocols.suite import Share, Suite, elementwise
from protocols.threat import Cost, Threat

#: Of each of a message's values, parts of its sharing.
Parts = list[dict[int, RingArray]]


class Joint(NamedTuple):
    """Who sends a value that two know, who vouches for it by a tag, who gets it, and who lacks its part."""

    sender: int
    backup: int
    receiver: int
    outsider: int

    def turned(self, by: int) -> Joint:
        """The same with every party's role taken by another."""
        return Joint(*((party + by) % 4 for party in self))

    def swapped(self, turn: int) -> Joint:
        """Every other time with sender and backup, and receiver and outsider, in each other's place."""
        return Joint(self.backup, self.sender, self.outsider, self.receiver) if turn % 2 else self


#: The six of a product; the first four take their receiver's square with them.
PRODUCT = tuple(
    Joint(*four)
    for four in ((0, 1, 3, 2), (1, 2, 0, 3), (2, 3, 1, 0), (3, 0, 2, 1), (0, 2, 3, 1), (1, 3, 2, 0))
)
#: Those of a product of which two values stay with who knows them: between parts of the two terms.
ACROSS = Joint(1, 3, 2, 0), Joint(3, 0, 2, 1), Joint(2, 1, 3, 0), Joint(0, 2, 3, 1)
#: The two terms of a number: x_2 + x_3 and x_0 + x_1.
TERMS = Joint(0, 1, 3, 2), Joint(2, 3, 1, 0)
#: Their product: each party sends once, vouches once and receives once.
OF_TERMS = Joint(1, 3, 2, 0), Joint(2, 1, 0, 3), Joint(3, 0, 1, 2), Joint(0, 2, 3, 1)


class FantasticFour(Suite):
    """Four parties, of which three are honest."""

    name = "fantastic-four"
    summary = "replicated shares of four, each message vouched for by a second party"
    threat = Threat("malicious", "1 of 4")
    cites = ("ePrint 2020/1330", "ePrint 2026/234", "NIST SP 800-38D")
    parties = (4, 4)
    needs_prep = False
    costs: ClassVar[Mapping[str, Cost]] = {
        "input": Cost(2, lambda n, ring: 2, "its owner 2 elements", tags=2),
        "open": Cost(1, lambda n, ring: 4, "1 element", tags=4),
        "multiply": Cost(1, lambda n, ring: 6, "1.5 elements", tags=6),
        "matmul": Cost(1, lambda n, ring: 6, "1.5 elements per element of the result", tags=6),
        "truncate": Cost(
            2,
            lambda n, ring: 2 + 6 * truncation.usual_bytes(ring) / ring.itemsize,
            "10 bytes (by more than 32 bits 16; over Z_2^128 20)",
            tags=6,
        ),
        "multiply and truncate": Cost(
            3,
            lambda n, ring: 6 + 6 * truncation.usual_bytes(ring) / ring.itemsize,
            "18 bytes (by more than 32 bits 24; over Z_2^128 36)",
            tags=9,
        ),
    }
    _turns = -1

    def _turn(self) -> int:
        """A number for each call, so that in the long run all send alike."""
        self._turns += 1
        return self._turns

    # -- parts ------------------------------------------------------------------------------------

    def _part(self, x: Share, which: int) -> RingArray:
        """A part that this party holds."""
        return x.parts[(which - self.seat.rank) % 4 - 1]

    @property
    def _held(self) -> list[int]:
        return [(self.seat.rank + i) % 4 for i in (1, 2, 3)]

    def _share(self, spec: Spec, *given: Mapping[int, RingArray]) -> Share:
        """What parts are made of; those that nothing is said of are zero."""
        zero = spec.ring.zeros(spec.shape)
        return Share(
            self,
            tuple(reduce(add, [parts[q] for parts in given if q in parts] or [zero]) for q in self._held),
        )

    def _public(self, value: RingArray, part: int) -> Share:
        """A value that all holders of a part have in common."""
        zero = zeros_like(value)
        return Share(self, tuple(value if q == part else zero for q in self._held))

    def constant(self, value: RingArray) -> Share:
        return self._public(value, 0)

    # -- joint messages ---------------------------------------------------------------------------

    async def _told(
        self,
        joints: Sequence[Joint],
        rests: Mapping[int, Sequence[RingArray]],
        specs: Sequence[Sequence[Spec]],
        tag: str,
    ) -> dict[int, list[RingArray]]:
        """Send what is left of each message's values, or vouch for it; what this party gets, by message,
        compared.

        ``rests`` are those that this party knows, by message; ``specs`` are of each message, too.
        """
        rank = self.seat.rank
        send: dict[int, list[RingArray]] = {}
        vouch: dict[int, list[RingArray]] = {}
        for n, rest in rests.items():
            to = send if rank == joints[n].sender else vouch
            to.setdefault(joints[n].receiver, []).extend(rest)
        due = {n: joint for n, joint in enumerate(joints) if joint.receiver == rank}
        backups = dict.fromkeys(joint.backup for joint in due.values())
        expected: dict[int, list[Spec]] = {}
        for n, joint in due.items():
            expected.setdefault(joint.sender, []).extend(specs[n])
        for p in backups:
            expected.setdefault(p, []).append(TAG)
        inbox = await exchange(
            {
                p: (*send.get(p, ()), *([self.seat.tag(p, *vouch[p])] if p in vouch else ()))
                for p in send | vouch
            },
            {p: tuple(due_from) for p, due_from in expected.items()},
            tag,
        )
        arrived = {p: iter(arrays) for p, arrays in inbox.items()}
        got = {n: [next(arrived[joint.sender]) for _ in specs[n]] for n, joint in due.items()}
        for p in backups:
            vouched = [rest for n, joint in due.items() if joint.backup == p for rest in got[n]]
            self.seat.verify(p, next(arrived[p]), *vouched)
        return got

    def _split(
        self,
        joints: Sequence[Joint],
        less: Callable[[int, list[RingArray]], Iterable[RingArray]],
        specs: Sequence[Spec],
    ) -> tuple[list[Parts], dict[int, list[RingArray]]]:
        """Each message's values as masks and rests: what this party has of both.

        ``less(n, masks)`` are the values of the n-th message less masks of these specs; it is asked of those
        who know them.
        """
        masks: list[Parts] = []
        rests: dict[int, list[RingArray]] = {}
        for n, (sender, backup, receiver, _) in enumerate(joints):
            masks.append([{} for _ in specs])
            if self.seat.rank != receiver:
                drawn = [self.seat.without[receiver].draw(spec) for spec in specs]
                masks[n] = [{receiver: mask} for mask in drawn]
                if self.seat.rank in (sender, backup):
                    rests[n] = [*less(n, drawn)]
        return masks, rests

    async def _joint(
        self,
        joints: Sequence[Joint],
        values: Callable[[int], Iterable[RingArray]],
        specs: Sequence[Spec],
        tag: str,
    ) -> Sequence[Parts]:
        """Each message's values as parts of shares, of which this party gets those that it holds."""
        masks, rests = self._split(
            joints, lambda n, drawn: (v - mask for v, mask in zip(values(n), drawn, strict=True)), specs
        )
        rests |= await self._told(joints, rests, [specs] * len(joints), tag)
        return _whole(joints, masks, rests)

    # -- the scheme -------------------------------------------------------------------------------

    async def input(self, owner: int, value: RingArray | None, spec: Spec) -> Share:
        """Of the three others a, b and c, the owner has parts a and b in common with those who hold them; the
        part c it sends a and b, who compare it by tags.
        """
        rank = self.seat.rank
        a, b, c = ((owner + i) % 4 for i in (1, 2, 3))
        parts = {q: self.seat.without[q].draw(spec) for q in (a, b) if q != rank}
        parts[owner] = spec.ring.zeros(spec.shape)
        if rank == owner:
            assert value is not None
            parts[c] = value - parts[a] - parts[b]
            await exchange({a: (parts[c],), b: (parts[c],)}, tag="input")
        else:
            inbox = await exchange(recv={owner: (spec,)} if rank != c else {}, tag="input")
            if rank != c:
                (parts[c],) = inbox[owner]
        if rank in (owner, c):
            await exchange(tag="input: alike")
        else:
            other = a + b - rank
            inbox = await exchange(
                {other: (self.seat.tag(other, parts[c]),)}, {other: (TAG,)}, "input: alike"
            )
            self.seat.verify(other, inbox[other][0], parts[c])
        return self._share(spec, parts)

    async def input_truth(self, owner: int, value: RingArray | None, spec: Spec) -> Share:
        """Bits are shared as bits, and then made numbers: a 2 would show in what is chosen by it."""
        packed = None if value is None else planes(value)[0]
        bits = await self.input(owner, packed, Spec(BITS, (words_for(spec.size),)))
        return (await self.to_ring(bits, spec.ring, spec.size)).reshape(spec.shape)

    async def open(
        self, *xs: Share, to: tuple[int, ...] | None = None, tag: str = "open"
    ) -> tuple[RingArray, ...]:
        """Each party gets the part it lacks from the next one, and its tag from the one after."""
        rank = self.seat.rank
        out: dict[int, tuple[RingArray, ...]] = {}
        for back, vouches in ((1, False), (2, True)):
            p = (rank - back) % 4
            if to is None or p in to:
                parts = [self._part(x, p) for x in xs]
                out[p] = (self.seat.tag(p, *parts),) if vouches else tuple(parts)
        sender, backup = (rank + 1) % 4, (rank + 2) % 4
        if to is not None and rank not in to:
            await exchange(out, tag=tag)
            return ()
        inbox = await exchange(out, {sender: tuple(x.spec for x in xs), backup: (TAG,)}, tag)
        self.seat.verify(backup, inbox[backup][0], *inbox[sender])
        return tuple(reduce(add, x.parts, missing) for x, missing in zip(xs, inbox[sender], strict=True))

    async def check(self) -> None:
        """All that has arrived was checked as it came; see that it has arrived everywhere.  One round."""
        await self.seat.barrier()

    async def alike(self, *values: RingArray) -> None:
        await self.seat.barrier(*values)

    async def bilinear(self, f: Bilinear, x: Share, y: Share, bits: int = 0) -> Share:
        async def product(x: Share, y: Share) -> Share:
            return await (self._product_quotient(f, x, y, bits) if bits else self._product(f, x, y))

        if f.name == "multiply" and x.shape == y.shape:
            return await elementwise(product, x, y)
        return await product(x, y)

    async def _product(self, f: Bilinear, x: Share, y: Share) -> Share:
        turn, spec = self._turn(), f.spec(x.spec, y.spec)
        joints = [joint.turned(turn) for joint in PRODUCT]
        if f == MULTIPLY:
            return await self._elementwise(joints, x, y, 4, f.name)

        def values(n: int) -> Iterable[RingArray]:
            i, j = joints[n].receiver, joints[n].outsider
            (xi, xj), (yi, yj) = ((self._part(v, i), self._part(v, j)) for v in (x, y))
            yield f(xi, yi + yj if n < 4 else yj) + f(xj, yi)

        shared = await self._joint(joints, values, [spec], f.name)
        return self._share(spec, *(parts for (parts,) in shared))

    async def _elementwise(
        self, joints: Sequence[Joint], x: Share, y: Share, squares: int, tag: str
    ) -> Share:
        """An elementwise product in one pass over memory: what this party knows, and then what it is told.

        The first ``squares`` of the messages take their receiver's square with them.
        """
        spec = MULTIPLY.spec(x.spec, y.spec)
        rank, at = self.seat.rank, {q: i for i, q in enumerate(self._held)}
        mine = [n for n, joint in enumerate(joints) if rank in (joint.sender, joint.backup)]
        roles = [
            (at[joint.receiver], at.get(joint.outsider), n < squares, self.seat.without[joint.receiver])
            for n, joint in enumerate(joints)
            if rank != joint.receiver
        ]
        parts, rests = masking.joint(x.parts, y.parts, roles)
        told = await self._told(
            joints, {n: [r] for n, r in zip(mine, rests, strict=True)}, [[spec]] * len(joints), tag
        )
        for n, (rest,) in told.items():
            masking.accumulate(parts[at[joints[n].outsider]], rest)
        return Share(self, parts)

    async def random(self, spec: Spec, below: int | None = None) -> Share:
        keys = [self.seat.without[q] for q in self._held]
        return Share(self, tuple(key.draw(spec) if below is None else key.below(spec, below) for key in keys))

    @property
    def terms(self) -> int:
        return 2

    async def summands(
        self, x: Share, convert: Callable[[RingArray], RingArray], into: Spec
    ) -> tuple[Share, ...]:
        """x_2 + x_3, which parties 0 and 1 know, and x_0 + x_1, which 2 and 3 know."""
        joints = self._terms_in_turn()
        shared = await self._joint(joints, lambda n: [convert(self._term(x))], [into], "terms")
        return tuple(self._share(into, parts) for (parts,) in shared)

    def _terms_in_turn(self) -> list[Joint]:
        turn = self._turn()
        return [joint.swapped(turn) for joint in TERMS]

    def _term(self, x: Share) -> RingArray:
        """The term that this party knows."""
        a, b = (2, 3) if self.seat.rank < 2 else (0, 1)
        return self._part(x, a) + self._part(x, b)

    async def product_of_terms(self, x: Share, y: Share) -> Share:
        """x has the parts 2 and 3 alone, y has 0 and 1: four messages instead of six."""
        return await self._elementwise(OF_TERMS, x, y, 0, "product of terms")

    async def signs(self, x: Share) -> Share:
        return await carries.signs(self, x)

    async def zeros(self, x: Share) -> Share:
        return await carries.zeros(self, x)

    async def shuffle(self, x: Share) -> Share:
        """Four times three parties put x in an order that the fourth does not know: 4 rounds, 3 elements for
        each.

        Part i all of the three have; each other part j is known to the fourth and to two of them, k and l,
        who tell the fourth where its elements have gone.
        """
        for i in range(4):
            rank, turn = self.seat.rank, self._turn()
            order = None if rank == i else self.seat.without[i].permutations(x.shape[1:])
            others = [(i + n) % 4 for n in (1, 2, 3)]
            # each of the three sends once, and vouches once
            joints = []
            for n, j in enumerate(others):
                sender, backup = others[(n + 1 + turn % 2) % 3], others[(n + 2 - turn % 2) % 3]
                joints.append(Joint(sender, backup, i, j))
            moved: dict[int, RingArray] = {}
            if order is not None:
                moved = {q: permuted(self._part(x, q), order) for q in self._held}
            told = [[moved[j]] if j in moved else [] for j in others]
            shared = await self._joint(joints, told.__getitem__, [x.spec], "shuffle")
            known = {i: moved[i]} if moved else {}
            x = self._share(x.spec, known, *(parts for (parts,) in shared))
        return x

    async def truncate(self, x: Share, bits: int) -> Share:
        return await elementwise(lambda x: self._quotient(x, bits), x)

    async def _quotient(self, x: Share, bits: int) -> Share:
        """x / 2^bits by ``truncation``'s two terms: a = x_2 + x_3 and b = x_0 + x_1, under a common mask."""
        truncation.check(bits, x.ring)
        mask = self.seat.common.draw(x.spec)
        first, joints = self.seat.rank < 2, self._terms_in_turn()
        term = self._term(x) + (mask if first else -mask)
        specs = [x.spec, Spec(narrowest(bits, x.ring), x.shape)]
        shared, rests = self._split(
            joints, lambda n, masks: truncation.known(term, bits, *masks, first=first), specs
        )
        rests |= await self._told(joints, rests, [specs, specs], "quotient")
        return await self._with_wraps(_whole(joints, shared, rests), bits)

    async def _product_quotient(self, f: Bilinear, x: Share, y: Share, bits: int) -> Share:
        """f(x, y) / 2^bits, of a product that comes as two terms: the parts 2 and 3 together, and 0 and 1.

        What parties 0 and 1 know of it makes a, with the masks of messages of the rest; what these leave
        makes b.  So two of six messages are not needed, and the shares of a are sent with the others.
        """
        spec = f.spec(x.spec, y.spec)
        truncation.check(bits, spec.ring)
        four, joints = len(ACROSS), self._terms_in_turn()
        specs = [spec, Spec(narrowest(bits, spec.ring), spec.shape)]

        rank, first = self.seat.rank, self.seat.rank < 2
        mine = [n for n, joint in enumerate(ACROSS) if rank in (joint.sender, joint.backup)]
        parts = [self.seat.rank ^ 1, *((2, 3) if first else (0, 1))]
        roles = [
            (
                next((p for p in (1, 2) if parts[p] in joint[2:]), None) if n in mine else None,
                self.seat.without[joint.receiver],
            )
            for n, joint in enumerate(ACROSS)
            if rank != joint.receiver
        ]
        three = [tuple(self._part(v, p) for p in parts) for v in (x, y)]
        term, known = masking.across(three[0], three[1], roles, first, None if f == MULTIPLY else f)
        rests = {n: [rest] for n, rest in zip(mine, known, strict=True)}

        def shifted_less(n: int, masks: list[RingArray]) -> Iterable[RingArray]:
            return truncation.known(term, bits, *masks, first=first)

        a, shifted = self._split(joints[:1], shifted_less, specs)
        rests |= {four + n: rest for n, rest in shifted.items()}
        rests |= await self._told([*ACROSS, joints[0]], rests, [[spec]] * four + [specs], f.name)
        if not first:
            for n in {*range(four)} - {*mine}:
                masking.accumulate(term, rests[n][0])
        b, shifted = self._split(joints[1:], shifted_less, specs)
        shifted |= await self._told(joints[1:], shifted, [specs], "quotient")
        told = {n: rest for n, rest in ((0, rests.get(four)), (1, shifted.get(0))) if rest is not None}
        return await self._with_wraps(_whole(joints, [*a, *b], told), bits)

    async def _with_wraps(self, shared: Sequence[Parts], bits: int) -> Share:
        """The sum of two shifted terms, with the product of their top bits at its place."""
        (a, alpha), (b, beta) = shared
        spec, half = (next(iter(parts.values())).spec for parts in (a or b, alpha or beta))
        wraps = await self.product_of_terms(self._share(half, alpha), self._share(half, beta))
        whole = self._share(spec, a, b)
        return Share(
            self,
            tuple(
                truncation.with_wraps(w, both, bits) for w, both in zip(whole.parts, wraps.parts, strict=True)
            ),
        )


def _whole(
    joints: Sequence[Joint], masks: Sequence[Parts], rests: Mapping[int, Sequence[RingArray]]
) -> Sequence[Parts]:
    """Parts of sharings, of the masks of messages and what is left of their values."""
    for n, known in rests.items():
        for parts, rest in zip(masks[n], known, strict=True):
            parts[joints[n].outsider] = rest
    return masks
