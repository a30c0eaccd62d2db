"""Parties of which some deviate, each at its own pace: nothing keeps them in lockstep, and no error ends them
all.

``mpc.rounds.simulate`` takes all parties from step to step and stops at the first error; so it shows neither
what the others do after one of them has stopped, nor what a party sends while another one still waits.  A
``Table`` seats every party with a scheduler of its own, which posts and delivers as ``mpc.party`` does: a
batch is delivered as soon as all that is due in it is there, and what one party sends another arrives in
order.

Those that are corrupt run honest code, believe whatever they are sent, and move last, so that they have seen
all that the others can send before they speak.  What they send is altered, or withheld from one receiver
until nobody else can move.  A ``Trial`` is one operation, run honestly and then against each ``Deviation``,
with keys that are always the same: what is right is what the honest run gives.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np

from mpc.errors import CheatError, MpcError, WireError
from mpc.party import WINDOW
from mpc.prg import Stream
from mpc.ring import RingArray
from mpc.rounds import Batch, Round, Scheduler, Service, Task
from mpc.seat import Seat
from mpc.tags import Direction
from protocols.conformance.playing import sit, stream
from protocols.conformance.views import parts_of
from protocols.prep.dealer import Dealer
from protocols.suite import Share, Suite

T = TypeVar("T")
Arrays = tuple[RingArray, ...]
Flow = Coroutine[Any, Any, Any]
Rng = np.random.Generator
#: Where an array is: sent by whom, to whom, in which batch of the sender, exchange of it, and place.
At = tuple[int, int, int, int, int]
#: The tags of what is opened unmasked.
UNMASKED = {"reveal", "order"}


# -- parties at their own pace ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sent:
    """What one party sends another in one exchange: in its how-manieth batch, and at which place in it."""

    sender: int
    receiver: int
    number: int
    place: int
    tag: str
    arrays: Arrays

    @property
    def sites(self) -> list[At]:
        """Where each of the arrays is."""
        return [
            (self.sender, self.receiver, self.number, self.place, index) for index in range(len(self.arrays))
        ]


@dataclass(frozen=True, slots=True)
class Event:
    """A message is sent, or withheld and later released, or taken by its receiver."""

    what: Literal["sent", "withheld", "released", "taken"]
    message: Sent


@dataclass(slots=True)
class Frame:
    """What one party sends another in one batch."""

    messages: list[Sent]
    withheld: bool = False


class Member:
    """A party at the table: its scheduler, and what it waits for.

    Of two members of one rank each speaks ``to`` other parties: that rank is two-faced.
    """

    def __init__(self, rank: int, flow: Flow, to: Iterable[int]) -> None:
        self.rank, self.to = rank, frozenset(to)
        self.posted: deque[Batch] = deque()
        self.number = 0  # of batches it has sent
        self.error: Exception | None = None
        self.scheduler = Scheduler()
        self.task: Task[Any] | None = None
        self.links: dict[int, deque[Frame]] = {}  # what has come, by sender
        try:
            self.task = self.scheduler.spawn(flow)
        except Exception as error:
            self.error = error
        self.settle()

    def settle(self) -> None:
        """See whether its protocol has ended in an error."""
        if self.error is None and self.task is not None and self.task.done:
            try:
                self.task.result()
            except Exception as error:
                self.error = error

    @property
    def finished(self) -> bool:
        return self.error is None and self.task is not None and self.task.done

    @property
    def over(self) -> bool:
        return self.error is not None or self.finished

    @property
    def result(self) -> Any:
        assert self.task is not None
        return self.task.result()


Alter = Callable[[Sent], Arrays]


class Table:
    """All parties of one run, and all that happens.

    ``alter`` says what is sent in place of a corrupt party's arrays.  ``hold`` names a sender, a receiver and
    a number: that frame is withheld until nobody can move any more, and is altered only then; with
    ``for_good`` it never comes.  A rank with a ``second`` member is two-faced: that one speaks to some.
    """

    def __init__(
        self,
        flows: Mapping[int, Flow] | Sequence[Flow],
        corrupt: Iterable[int] = (),
        *,
        alter: Alter | None = None,
        hold: tuple[int, int, int] | None = None,
        for_good: bool = False,
        second: Mapping[int, tuple[Flow, Iterable[int]]] | None = None,
        services: Mapping[int, Service] | None = None,
        window: int = WINDOW,
    ) -> None:
        flows = dict(enumerate(flows)) if isinstance(flows, Sequence) else flows
        self.size, self.corrupt = len(flows), frozenset(corrupt)
        self.events: list[Event] = []
        self._alter, self._hold, self._for_good = alter, hold, for_good
        self._services, self._window = services or {}, window
        self._withheld: Frame | None = None
        second = second or {}
        self.members = []
        for rank, flow in flows.items():
            other, to = second.get(rank, (None, ()))
            self.members.append(Member(rank, flow, {*range(self.size)} - {*to}))
            if other is not None:
                self.members.append(Member(rank, other, to))
        for member in self.members:
            member.links = {p: deque() for p in range(self.size)}

    @property
    def honest(self) -> list[Member]:
        return [m for m in self.members if m.rank not in self.corrupt]

    def run(self) -> Table:
        """Until all have finished, or nobody can move."""
        corrupt = [m for m in self.members if m.rank in self.corrupt]
        while self._moved(self.honest) or self._moved(corrupt) or self._released():
            pass
        return self

    def _moved(self, members: Sequence[Member]) -> bool:
        return any([self._move(member) for member in members])  # each of them

    def _move(self, member: Member) -> bool:
        if member.over:
            return False
        try:
            posted = self._post(member)
            return (not member.over and self._deliver(member)) or posted
        except Exception as error:
            member.error = error
            return True
        finally:
            member.settle()

    def _post(self, member: Member) -> bool:
        """Send all batches that are ready, as far as the window allows."""
        before = member.number
        while len(member.posted) < self._window:
            batch = member.scheduler.collect(alone=not member.posted)
            if batch is None:
                break
            member.posted.append(batch)
            self._send(member, batch)
            member.number += 1
        return member.number > before

    def _send(self, member: Member, batch: Batch) -> None:
        frames: dict[int, Frame] = {}
        for place, round_ in enumerate(batch.rounds):
            for peer, arrays in round_.send.items():
                if peer < self.size and peer in member.to:
                    message = Sent(member.rank, peer, member.number, place, round_.tag, arrays)
                    frames.setdefault(peer, Frame([])).messages.append(message)
        for peer, frame in frames.items():
            if (member.rank, peer, member.number) == self._hold:
                self._withheld, frame.withheld = frame, True
                self.events += [Event("withheld", message) for message in frame.messages]
            else:
                self._altered(frame, "sent")
            for other in self.members:
                if other.rank == peer:
                    other.links[member.rank].append(frame)

    def _altered(self, frame: Frame, what: Literal["sent", "released"]) -> None:
        for i, message in enumerate(frame.messages):
            if self._alter is not None and message.sender in self.corrupt:
                frame.messages[i] = dataclasses.replace(message, arrays=self._alter(message))
            self.events.append(Event(what, frame.messages[i]))

    def _released(self) -> bool:
        frame, self._withheld = self._withheld, None
        if frame is None or self._for_good:
            return False
        frame.withheld = False
        self._altered(frame, "released")
        return True

    def _deliver(self, member: Member) -> bool:
        """Resume what waits for the oldest batch, if all that is due in it is there."""
        if not member.posted:
            return False
        batch = member.posted[0]
        due = {p for round_ in batch.rounds for p in round_.recv if p < self.size}
        if any(not member.links[p] or member.links[p][0].withheld for p in due):
            return False
        member.posted.popleft()
        frames = {p: deque(member.links[p].popleft().messages) for p in due}
        inboxes = [self._inbox(member, round_, frames) for round_ in batch.rounds]
        if any(frames.values()):
            raise WireError("more has arrived than is due")
        member.scheduler.deliver(batch, inboxes)
        return True

    def _inbox(self, member: Member, round_: Round, frames: Mapping[int, deque[Sent]]) -> dict[int, Arrays]:
        inbox: dict[int, Arrays] = {}
        for peer, specs in round_.recv.items():
            if peer >= self.size:
                inbox[peer] = self._services[peer](member.rank, round_.send.get(peer, ()))
                continue
            message = frames[peer].popleft() if frames[peer] else None
            # the digest and the length in a frame's header say as much
            if (
                message is None
                or message.tag != round_.tag
                or tuple(a.spec for a in message.arrays) != tuple(specs)
            ):
                raise WireError(f"party {peer} has sent something else than is due at '{round_.tag}'")
            self.events.append(Event("taken", message))
            inbox[peer] = message.arrays
        return inbox

    # -- what has happened ------------------------------------------------------------------------

    def sent(self, *ranks: int, tag: str | None = None) -> list[Sent]:
        """All that these parties have sent, in order."""
        return [
            e.message
            for e in self.events
            if e.what in ("sent", "released")
            and e.message.sender in (ranks or range(self.size))
            and (tag is None or e.message.tag == tag)
        ]

    @property
    def early(self) -> list[Sent]:
        """All that the honest parties have sent before a withheld message comes: it may depend on that."""
        whats = [e.what for e in self.events]
        end = whats.index("released") if "released" in whats else len(whats)
        return [
            e.message for e in self.events[:end] if e.what == "sent" and e.message.sender not in self.corrupt
        ]

    @property
    def errors(self) -> dict[int, Exception]:
        """The honest parties' errors, by rank."""
        return {m.rank: m.error for m in self.honest if m.error is not None}

    @property
    def results(self) -> dict[int, Any]:
        """What those honest parties have that have finished."""
        return {m.rank: m.result for m in self.honest if m.finished}

    @property
    def caught(self) -> bool:
        """Whether an honest party has found that another departs from the protocol."""
        return any(isinstance(error, CheatError) for error in self.errors.values())


# -- seats with given keys ----------------------------------------------------------------------------


def believing(seat: Seat) -> Seat:
    """Which takes every tag as right, but counts them as the others do."""
    verify = seat.verify

    def believed(peer: int, tag: RingArray, *arrays: RingArray) -> None:
        with suppress(CheatError):
            verify(peer, tag, *arrays)

    seat.verify = believed  # type: ignore[method-assign]
    return seat


class Lazily(dict[Any, Any]):
    """By peer, what is made when it is first asked for: most keys are not."""

    def __init__(self, peers: Iterable[int], make: Callable[[int], Any]) -> None:
        self._peers, self._make = frozenset(peers), make

    def __bool__(self) -> bool:
        return True

    def __missing__(self, peer: int) -> Any:
        if peer not in self._peers:
            raise KeyError(peer)
        made = self[peer] = self._make(peer)
        return made


def seat_of(rank: int, size: int, seed: int) -> Seat:
    """A seat with keys of this number, which are the same in every run."""

    def key(label: str, *owners: int) -> Stream:
        return stream(seed, f"{label} {sorted(owners)}")

    def direction(*way: int) -> Direction:
        return Direction(f"{seed} {way}".encode().ljust(32), "tags")

    def barrier(*way: int) -> Direction:
        return Direction(f"{seed} {way}".encode().ljust(32), "barriers")

    ranks, others = range(size), [p for p in range(size) if p != rank]
    return Seat(
        rank,
        size,
        key("own", rank),
        Lazily(others, lambda p: key("pair", rank, p)),
        key("common", *ranks),
        Lazily(others, lambda p: key("all but", *(q for q in ranks if q != p))),
        Lazily(others, lambda p: (direction(rank, p), direction(p, rank))),
        Lazily(others, lambda p: (barrier(rank, p), barrier(p, rank))),
    )


# -- one operation ------------------------------------------------------------------------------------

#: What an operation makes of two shares: shares, to be revealed, or what it has opened.
Made = Sequence[Share] | Sequence[RingArray]
Protocol = Callable[[Suite, Share, Share], Awaitable[Made]]


def anyhow(made: Arrays) -> bool:
    """That no result follows from others."""
    return True


@dataclass(frozen=True)
class Operation:
    """A protocol and its operands.

    Results that depend on inputs are their ``owners``' to choose, if one of these is corrupt: then they need
    only be the same at all honest parties, and what ``follows`` from them.
    """

    name: str
    protocol: Protocol
    x: RingArray
    y: RingArray
    owners: Mapping[int, frozenset[int]] = field(default_factory=dict)  # by the result's place
    follows: Callable[[Arrays], bool] = anyhow

    def free(self, i: int, corrupt: frozenset[int]) -> bool:
        """Whether corrupt parties choose a result."""
        return bool(self.owners.get(i, frozenset()) & corrupt)

    def __str__(self) -> str:
        return f"{self.name}, {self.x.ring.name}"


#: Which parts of a value each party holds, where a scheme holds parts of which each has several holders, and
#: checks what arrives as it arrives.
HOLDS: dict[str, Callable[[int], Sequence[int]]] = {
    "fantastic-four": lambda rank: [(rank + i) % 4 for i in (1, 2, 3)],
}


@dataclass(frozen=True)
class Deviation:
    """What corrupt parties send in place of arrays, or hold in place of parts of the operands (by rank,
    operand and part) when they speak to some or to all, or withhold.
    """

    kind: str
    about: str
    changes: Mapping[At, RingArray] = field(default_factory=dict)
    own: Mapping[tuple[int, int, int], RingArray] = field(default_factory=dict)
    to: frozenset[int] | None = None
    hold: tuple[int, int, int] | None = None
    for_good: bool = False

    def alter(self, message: Sent) -> Arrays:
        return tuple(
            self.changes.get(at, array) for at, array in zip(message.sites, message.arrays, strict=True)
        )

    def __str__(self) -> str:
        return f"{self.kind} ({self.about})"


class Trial:
    """An operation among the parties of a scheme, of which some are corrupt."""

    def __init__(
        self, kind: type[Suite], size: int, operation: Operation, corrupt: Iterable[int] = (), seed: int = 5
    ) -> None:
        self.kind, self.size, self.operation, self.seed = kind, size, operation, seed
        self.corrupt = frozenset(corrupt)
        self.held: dict[int, list[Arrays]] = {}  # by honest party, what it held before anything was revealed
        self.operands = parts_of(kind, size, operation.x, operation.y)
        self.honest = self.run()
        for error in self.honest.errors.values():
            raise error
        assert len(self.honest.results) == size - len(self.corrupt), f"{operation} does not finish"
        self._held = self.held
        self._barriers = sorted({m.number for m in self.honest.sent(tag="barrier")})

    def against(self, deviation: Deviation) -> list[str]:
        """What is wrong with what becomes of the honest parties."""
        return self.wrong(self.run(deviation), deviation)

    def run(self, deviation: Deviation | None = None) -> Table:
        """The operation, and then all it has made revealed."""
        self.held = {}
        deviation = deviation or Deviation("none", "")
        dealer = Dealer(self.size, stream(self.seed, "dealer")) if self.kind.needs_prep else None
        own, to = deviation.own, deviation.to
        liars = {rank for rank, *_ in own} if to is not None else set()
        return Table(
            [self._side(rank, {} if rank in liars else own) for rank in range(self.size)],
            self.corrupt,
            alter=deviation.alter if deviation.changes else None,
            hold=deviation.hold,
            for_good=deviation.for_good,
            second={rank: (self._side(rank, own), to or ()) for rank in liars},
            services={self.size: dealer.service} if dealer else None,
        ).run()

    def _side(self, rank: int, own: Mapping[tuple[int, int, int], RingArray]) -> Flow:
        seat = seat_of(rank, self.size, self.seed)

        async def main(suite: Suite) -> Any:
            x, y = (
                Share(suite, tuple(own.get((rank, i, j), part) for j, part in enumerate(parts)))
                for i, parts in enumerate(self.operands[rank])
            )
            made = await self.operation.protocol(suite, x, y)
            if made and isinstance(made[0], Share):
                self.held[rank] = [share.parts for share in made]
                return await suite.reveal(*made)
            return made

        return sit(believing(seat) if rank in self.corrupt else seat, main, self.kind, False)

    # -- what is wrong ----------------------------------------------------------------------------

    def wrong(self, table: Table, deviation: Deviation) -> list[str]:
        """An honest party has a wrong result, or crashes, or nobody is told; or holders of a part differ; or
        something is opened too early.
        """
        found = [
            f"party {rank} crashes: {type(error).__name__}: {error}"
            for rank, error in table.errors.items()
            if not isinstance(error, MpcError)
        ]
        found += self._wrong_results(table.results)
        stopped = len(table.results) < len(table.honest)
        if stopped and not found and not table.caught and not deviation.for_good:
            found.append("not all finish, and nobody is told why")
        found += self._wrong_parts()
        if self._early(table, deviation):
            found.append("something is opened before all have what comes before it")
        return [f"{self.operation}: {deviation}, corrupt {sorted(self.corrupt)}: {said}" for said in found]

    def bound(self, number: int) -> int:
        """The batch before which all has to be everywhere if something is opened in this one: a barrier."""
        return max((n for n in self._barriers if n < number), default=number)

    def _early(self, table: Table, deviation: Deviation) -> bool:
        """Whether honest parties open something while another one lacks what comes before it: it is withheld,
        or the party has stopped.
        """
        opened = max((self.bound(m.number) for m in table.early if m.tag in UNMASKED), default=-1)
        if deviation.hold:
            return deviation.hold[2] < opened
        last = [max((m.number for m in table.sent(rank)), default=-1) for rank in table.errors]
        return any(number < opened for number in last)

    def _wrong_results(self, results: Mapping[int, Arrays]) -> list[str]:
        """Those that differ from the honest run's; or, where a corrupt party chooses, from each other."""
        found: list[str] = []
        first: dict[int, RingArray] = {}
        for rank, result in results.items():
            right = self.honest.results[rank]
            told = len(result) == len(right) and all(
                alike((x,), (first.setdefault(i, x) if self.operation.free(i, self.corrupt) else right[i],))
                for i, x in enumerate(result)
            )
            if not (told and (not result or self.operation.follows(result))):
                found.append(f"party {rank} accepts a wrong result")
        return found

    def _wrong_parts(self) -> list[str]:
        """Honest holders of one part who have different ones; or parts that add up to a wrong number."""
        holds = HOLDS.get(self.kind.name)
        if holds is None:
            return []
        found = []
        for i in range(max((len(held) for held in self.held.values()), default=0)):
            parts: dict[int, RingArray] = {}
            for rank in self.held.keys() - self.corrupt:
                for which, part in zip(holds(rank), self.held[rank][i], strict=True):
                    if not alike((parts.setdefault(which, part),), (part,)):
                        found.append(f"honest holders of part {which} of {i} differ")
            whole = {which for rank in range(self.size) for which in holds(rank)}
            free = self.operation.free(i, self.corrupt)
            if (
                not found
                and not free
                and parts.keys() == whole
                and not alike((total(parts),), (self._made(i),))
            ):
                found.append(f"the parts of {i} add up to a wrong number")
        return found

    def _made(self, i: int) -> RingArray:
        """What the honest run has made."""
        holds = HOLDS[self.kind.name]
        return total(
            {
                w: part
                for rank, held in self._held.items()
                for w, part in zip(holds(rank), held[i], strict=True)
            }
        )


def total(parts: Mapping[int, RingArray]) -> RingArray:
    """The sum of all parts."""
    first, *rest = parts.values()
    for part in rest:
        first = first + part
    return first


def alike(xs: Sequence[RingArray], ys: Sequence[RingArray]) -> bool:
    """Whether these are the same arrays."""
    return [x.spec for x in xs] == [y.spec for y in ys] and all(
        encoded(x) == encoded(y) for x, y in zip(xs, ys, strict=True)
    )


def encoded(x: RingArray) -> bytes:
    return bytes(x.ring.encode(x.data))


# -- deviations ---------------------------------------------------------------------------------------


def rewritten(x: RingArray, change: Callable[[np.ndarray], None]) -> RingArray:
    """With another encoding: a row of bytes for each element."""
    rows = np.frombuffer(encoded(x), np.uint8).reshape(x.size, -1).copy()
    change(rows)
    return RingArray(x.ring, x.ring.decode(memoryview(rows.tobytes()), x.shape))


def top_bit(x: RingArray, rng: Rng) -> RingArray:
    """The top bit of one element is flipped."""

    def change(rows: np.ndarray) -> None:
        rows[rng.integers(len(rows)), -1] ^= 0x80

    return rewritten(x, change)


def any_bit(x: RingArray, rng: Rng) -> RingArray:
    """One bit of one element is flipped."""

    def change(rows: np.ndarray) -> None:
        rows[rng.integers(len(rows)), rng.integers(rows.shape[1])] ^= 1 << rng.integers(8)

    return rewritten(x, change)


def anything(x: RingArray, rng: Rng) -> RingArray:
    """Other elements altogether."""
    return stream(int(rng.integers(1 << 62)), "anything").draw(x.spec)


def zeros(x: RingArray, rng: Rng) -> RingArray:
    return x.ring.zeros(x.shape)


def swapped(x: RingArray, rng: Rng) -> RingArray:
    """The first two elements that differ change places."""

    def change(rows: np.ndarray) -> None:
        differ = np.flatnonzero((rows != rows[:1]).any(1))
        if differ.size:
            rows[[0, differ[0]]] = rows[[differ[0], 0]]

    return rewritten(x, change)


#: What is done to one array for one receiver.
TO_ONE: dict[str, Callable[[RingArray, Rng], RingArray]] = {
    "the top bit of one element": top_bit,
    "a bit of one element": any_bit,
    "other elements": anything,
    "zeros": zeros,
    "two elements swapped": swapped,
}


def deviations(trial: Trial, rng: Rng, most: int | None = None) -> Iterator[Deviation]:
    """Every kind of other content, for every array that corrupt parties send in the honest run, or for so
    many of them.
    """
    sent = trial.honest.sent()
    mine = [
        (at, m.tag, x)
        for m in sent
        if m.sender in trial.corrupt
        for at, x in zip(m.sites, m.arrays, strict=True)
    ]
    for at, tag, x in mine if most is None else sampled(mine, most, rng):
        sender, receiver, number, *_ = at
        about = f"'{tag}', array {at[4]} from {sender} to {receiver} in batch {number}"
        for kind, change in TO_ONE.items():
            if x.size and not alike((y := change(x, rng),), (x,)):
                yield Deviation(kind, about, {at: y})
        for kind, y in (
            ("an earlier one of this link", earlier(trial, at, x)),
            ("what it was sent itself", echoed(trial, at, x)),
        ):
            if y is not None:
                yield Deviation(kind, about, {at: y})
        same = [a for a, _, z in mine if a[0] == sender and a[2:4] == at[2:4] and alike((z,), (x,))]
        if len(same) > 1 and same[0] == at and x.size:
            yield Deviation("another, alike to all", about, dict.fromkeys(same, anything(x, rng)))
    for sender, number in dict.fromkeys((at[0], at[2]) for at, *_ in mine):
        changes = {at: anything(x, rng) for at, _, x in mine if (at[0], at[2]) == (sender, number) and x.size}
        if changes:
            yield Deviation("all of it something else", f"batch {number} of {sender}", changes)


def earlier(trial: Trial, at: At, x: RingArray) -> RingArray | None:
    """The last other array of these specs that went over the same link before."""
    return _last(x, (m for m in trial.honest.sent(at[0]) if m.receiver == at[1] and m.number < at[2]))


def echoed(trial: Trial, at: At, x: RingArray) -> RingArray | None:
    """The last other array of these specs that its receiver sent to its sender, perhaps in the same batch."""
    return _last(x, (m for m in trial.honest.sent(at[1]) if m.receiver == at[0] and m.number <= at[2]))


def _last(x: RingArray, messages: Iterable[Sent]) -> RingArray | None:
    fitting = [a for m in messages for a in m.arrays if a.spec == x.spec and x.size and not alike((a,), (x,))]
    return fitting[-1] if fitting else None


def other_parts(trial: Trial, rng: Rng) -> Iterator[Deviation]:
    """A corrupt party computes with another part than the others hold, and sends what fits to that, to all or
    to some.
    """
    for rank in sorted(trial.corrupt):
        others = [p for p in range(trial.size) if p != rank]
        for i, parts in enumerate(trial.operands[rank]):
            for j, part in enumerate(parts):
                own = {(rank, i, j): anything(part, rng)}
                some = frozenset(p for p in others if rng.integers(2))
                for to in {None, some} if some else {None}:
                    about = f"part {j} of operand {i} at {rank}, to {'all' if to is None else sorted(to)}"
                    yield Deviation("another part", about, own=own, to=to)


def withheld(trial: Trial, for_good: bool = False) -> Iterator[Deviation]:
    """Every frame of corrupt parties comes when nobody can go on without it, or not at all."""
    kind = "never sent" if for_good else "withheld"
    for hold, about in _frames(trial).items():
        yield Deviation(kind, about, hold=hold, for_good=for_good)


def withheld_and_altered(trial: Trial, rng: Rng) -> Iterator[Deviation]:
    """Each comes when nobody can go on without it, and then with something else in it."""
    frames = _frames(trial)
    for m in trial.honest.sent():
        hold = m.sender, m.receiver, m.number
        if hold in frames:
            changes = {at: anything(x, rng) for at, x in zip(m.sites, m.arrays, strict=True) if x.size}
            yield Deviation("withheld, then something else", frames[hold], changes, hold=hold)


def _frames(trial: Trial) -> dict[tuple[int, int, int], str]:
    """The frames of corrupt parties, and which they are."""
    return {
        (m.sender, m.receiver, m.number): f"'{m.tag}' from {m.sender} to {m.receiver} in batch {m.number}"
        for m in trial.honest.sent()
        if m.sender in trial.corrupt
    }


def sampled(all_of: Iterable[T], most: int, rng: Rng) -> list[T]:
    """So many of them, or all, in order."""
    found = list(all_of)
    if len(found) <= most:
        return found
    return [found[i] for i in sorted(rng.choice(len(found), most, replace=False))]
