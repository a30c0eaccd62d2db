"""Protocols as coroutines that suspend at exactly one place: a round of messages.

``await exchange(send, receive, tag)`` is the only way out of a party; to audit what leaves one, look for
that word.  ``await gather(p, q)`` runs protocols side by side, ``await spawn(p)`` starts one whose
result is wanted later, ``await pipeline(pieces)`` streams a big one through the cache.

The ``Scheduler`` is free of I/O: ``collect()`` merges everything that waits into one ``Batch``,
``deliver()`` takes the answers.  A ``CheatError`` ends them all.  It resumes in program order, never in order
of arrival, so that all parties draw from common random streams in the same order.  The rule that makes this
work: *every party calls ``exchange`` the same number of times in the same order*, with nothing to send if
need be.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Generic, TypeVar, cast

from mpc.errors import CheatError, DesyncError, MpcError
from mpc.ring import RingArray, Spec

T = TypeVar("T")
Flow = Coroutine[Any, Any, T]  # a protocol under way
Inbox = Mapping[int, tuple[RingArray, ...]]  # what arrived, by sender


@dataclass(frozen=True, slots=True)
class Round:
    """One party's side of one exchange."""

    send: Mapping[int, tuple[RingArray, ...]]
    recv: Mapping[int, tuple[Spec, ...]]
    tag: str
    barrier: bool = False  # is not sent before all that was due earlier has arrived


@types.coroutine
def exchange(
    send: Mapping[int, tuple[RingArray, ...]] | None = None,
    recv: Mapping[int, tuple[Spec, ...]] | None = None,
    tag: str = "",
    barrier: bool = False,
) -> Generator[Round, Inbox, Inbox]:
    """Send arrays to some peers and receive arrays of known specs from some peers: one round.

    As a ``barrier`` it is not sent before all that was due to this party earlier has arrived, in this
    protocol and in those beside it.
    """
    return (yield Round(send or {}, recv or {}, tag, barrier))


@types.coroutine
def spawn(flow: Flow[T], label: str | None = None) -> Generator[Any, Any, Task[T]]:
    """Start a protocol side by side with this one; await the task for its result.

    It counts as part of this one's operation, or with a label as another's.
    """
    return cast("Task[T]", (yield flow, label))


async def gather(*flows: Flow[Any]) -> list[Any]:
    """Run protocols side by side: their rounds are merged."""
    tasks = [await spawn(flow) for flow in flows]
    return [await task for task in tasks]


@types.coroutine
def pipeline(pieces: Iterator[Flow[None]], count: int) -> Generator[Any, Any, None]:
    """Run ``count`` independent pieces of one big operation, a few in flight at a time, each its own frame.

    Pieces are started in order and only when the window has room, so that what is computed, sent and
    received stays in the cache and overlaps with the network.
    """
    yield _Pipeline(pieces, count)


class Task(Generic[T]):
    """A protocol under way; awaiting it gives its result.  ``depth`` is the round it has come to."""

    __slots__ = ("_error", "_value", "depth", "done", "flow", "label", "waiters")

    def __init__(self, flow: Flow[T], label: str, depth: int) -> None:
        self.flow, self.label, self.depth = flow, label, depth
        self.done = False
        self.waiters: list[Task[Any] | _Pipeline] = []
        self._value: Any = None
        self._error: BaseException | None = None

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return cast(T, self._value)

    def __await__(self) -> Generator[Any, Any, T]:
        if not self.done:
            yield self
        return self.result()


class _Pipeline:
    """Pieces of a big operation that are still to be started or under way."""

    __slots__ = ("active", "count", "deepest", "done", "error", "owner", "pieces")

    def __init__(self, pieces: Iterator[Flow[None]], count: int) -> None:
        self.pieces: Iterator[Flow[None]] | None = pieces
        self.active = self.done = self.deepest = 0
        self.count = count
        self.error: BaseException | None = None
        self.owner: Task[Any] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything that travels together: one frame per peer.  ``depth`` counts rounds as data flows."""

    tasks: tuple[Task[Any], ...]
    rounds: tuple[Round, ...]
    depth: int


class Scheduler:
    """Runs every protocol as far as it goes without the network, then says what must be exchanged."""

    def __init__(self, on_step: Callable[[str, float, float], None] | None = None) -> None:
        self._ready: deque[tuple[Task[Any], Any, BaseException | None]] = deque()
        self._parked: list[tuple[Task[Any], Round]] = []
        self._pipelines: list[_Pipeline] = []
        self._on_step = on_step
        self._cheated: CheatError | None = None
        self._due = False  # barriers have let others pass
        self.depth = 0  # rounds so far, along the longest path
        self.progress = (0, 0)  # of the pipeline last moved: pieces done, pieces

    def spawn(self, flow: Flow[T], label: str = "") -> Task[T]:
        """Start a protocol: its local part runs now, its messages wait for the next batch."""
        if self._cheated is not None:
            flow.close()
            raise self._cheated
        task = Task(flow, label, self.depth)
        self._ready.append((task, None, None))
        self._run()
        return task

    def collect(self, alone: bool = True) -> Batch | None:
        """The next batch to exchange: all that waits, or else the next piece of a pipeline, or nothing.

        A barrier goes by itself, after the rounds that wait beside it, but not after what these lead to; and
        only in a batch that is ``alone``, with none under way.
        """
        if self._cheated is not None:
            raise self._cheated
        while not self._parked and self._pipelines:
            self._start_piece(self._pipelines[-1])  # the innermost: whoever waits for it comes after
        if not self._parked:
            return None
        barriers = [waits for waits in self._parked if waits[1].barrier]
        others = [waits for waits in self._parked if not waits[1].barrier]
        leaving, waiting = (barriers, others) if self._due or not others else (others, barriers)
        if leaving is barriers and not alone:
            return None
        self._due, self._parked = leaving is others and bool(barriers), waiting
        tasks, rounds = zip(*leaving, strict=True)
        return Batch(tasks, rounds, 1 + max(task.depth for task in tasks))

    def deliver(self, batch: Batch, inboxes: Sequence[Inbox]) -> None:
        """Resume each protocol of this batch, in program order, with what it received."""
        self.depth = max(self.depth, batch.depth)
        for task, inbox in zip(batch.tasks, inboxes, strict=True):
            task.depth = batch.depth
            self._ready.append((task, inbox, None))
        self._run()

    def _start_piece(self, pipe: _Pipeline) -> None:
        assert pipe.pieces is not None and pipe.owner is not None
        try:
            flow = next(pipe.pieces, None)
        except Exception as failure:  # the owner's own code: its owner's error
            flow, pipe.error = None, pipe.error or failure
        if flow is None:
            pipe.pieces = None
            self._pipelines.remove(pipe)
            if not pipe.active:
                self._end(pipe)
        else:
            pipe.active += 1
            piece = Task(flow, pipe.owner.label, pipe.owner.depth)
            piece.waiters.append(pipe)
            self._ready.append((piece, None, None))
        self._run()

    def _end(self, pipe: _Pipeline) -> None:
        assert pipe.owner is not None
        pipe.owner.depth = max(pipe.owner.depth, pipe.deepest)  # pieces count from where the owner stood
        self._ready.append((pipe.owner, None, pipe.error))

    def _run(self) -> None:
        while self._ready:
            task, value, error = self._ready.popleft()
            start = perf_counter() if self._on_step else 0.0
            try:
                want = task.flow.throw(error) if error is not None else task.flow.send(value)
            except StopIteration as stop:
                self._finish(task, stop.value, None)
            except CheatError as cheat:  # of whichever protocol: nothing is sent any more
                self._ready.clear()
                self._parked.clear()
                self._cheated = cheat
                raise
            except Exception as failure:
                self._finish(task, None, failure)
            else:
                if isinstance(want, Round):
                    self._parked.append((task, want))
                elif isinstance(want, Task):
                    want.waiters.append(task)
                elif isinstance(want, _Pipeline):
                    want.owner = task
                    self._pipelines.append(want)
                else:
                    flow, label = want
                    child: Task[Any] = Task(flow, label or task.label, task.depth)
                    self._ready.appendleft((task, child, None))
                    self._ready.appendleft((child, None, None))
            if self._on_step:
                self._on_step(task.label, start, perf_counter())

    def _finish(self, task: Task[Any], value: Any, error: BaseException | None) -> None:
        task.done, task._value, task._error = True, value, error
        for waiter in task.waiters:
            if isinstance(waiter, Task):
                waiter.depth = max(waiter.depth, task.depth)
                self._ready.append((waiter, None, None))
                continue
            assert waiter.owner is not None
            waiter.active -= 1
            waiter.done += 1
            self.progress = (waiter.done, waiter.count)
            waiter.error = waiter.error or error
            waiter.deepest = max(waiter.deepest, task.depth)
            if waiter.pieces is None and not waiter.active:
                self._end(waiter)
        task.waiters = []


@dataclass(frozen=True, slots=True)
class Message:
    """What one party sends another in one exchange of a simulation."""

    step: int
    sender: int
    receiver: int
    tag: str
    arrays: tuple[RingArray, ...]


@dataclass(slots=True)
class Recorder:
    """Keeps every message of a simulation: what each party sees."""

    messages: list[Message] = field(default_factory=list)

    def __call__(self, message: Message) -> None:
        self.messages.append(message)

    def view(self, party: int) -> list[Message]:
        """All that ``party`` received, in order."""
        return [m for m in self.messages if m.receiver == party]


Service = Callable[[int, tuple[RingArray, ...]], tuple[RingArray, ...]]


def simulate(
    *sides: Flow[T],
    services: Mapping[int, Service] | None = None,
    tamper: Callable[[Message], tuple[RingArray, ...]] | None = None,
    record: Callable[[Message], None] | None = None,
) -> list[T]:
    """Run all sides of a protocol in this thread, in lockstep, without any transport.

    ``sides[i]`` is party i's coroutine.  ``services[r]`` answers what is sent to rank r outside the
    parties (a dealer).  ``tamper`` returns what is delivered in place of a message's arrays: an
    adversary on the wire or at the sender.  ``record`` sees every message as delivered.
    """
    schedulers = [Scheduler() for _ in sides]
    tasks = [s.spawn(flow) for s, flow in zip(schedulers, sides, strict=True)]
    step = 0
    while not all(task.done for task in tasks):
        batches = [s.collect() for s in schedulers]
        for task in tasks:
            if task.done:
                task.result()  # one party aborted: so does the run
        if all(task.done for task in tasks):
            break  # there was no further piece of a pipeline
        if not all(batches):
            raise DesyncError("some parties wait for a round that the others never start")
        for me, (scheduler, batch) in enumerate(zip(schedulers, batches, strict=True)):
            assert batch is not None
            inboxes = []
            for i, round_ in enumerate(batch.rounds):
                inbox = {}
                for peer, specs in round_.recv.items():
                    if peer < len(sides):
                        theirs = batches[peer]
                        assert theirs is not None
                        if i >= len(theirs.rounds) or me not in theirs.rounds[i].send:
                            raise DesyncError(
                                f"party {me} waits for party {peer} at '{round_.tag}', which sends it nothing"
                            )
                        arrays = theirs.rounds[i].send[me]
                    else:
                        arrays = (services or {})[peer](me, round_.send.get(peer, ()))
                    message = Message(step, peer, me, round_.tag, arrays)
                    if tamper:
                        message = Message(step, peer, me, round_.tag, tamper(message))
                    if tuple(a.spec for a in message.arrays) != specs:
                        raise MpcError(
                            f"party {peer} sent party {me} other arrays than it expects at '{round_.tag}'"
                        )
                    if record:
                        record(message)
                    inbox[peer] = message.arrays
                inboxes.append(inbox)
            scheduler.deliver(batch, inboxes)
        step += 1
    return [task.result() for task in tasks]
