"""A party: a seat's rank, its links, and the loop that turns batches of rounds into frames.

The only object that touches a transport.  ``start`` begins a protocol, ``finish`` exchanges batches
until it is done.  Up to ``window`` batches are under way at a time (only pipelines use more than one);
all parties post and deliver in the same order, so no frame needs a name to be found.

A party that only sends runs ahead of the others.  Of what it has sent in rounds that are over, ``BACKLOG``
bytes may wait for a slow peer; then the party waits, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from hashlib import blake2b
from time import perf_counter
from typing import TypeVar

import numpy as np

from mpc import memory
from mpc.errors import CheatError, DesyncError, PartyLost, TransportError
from mpc.frames import ABORT, BYE, HEADER, Header, Link, notice
from mpc.meter import Meter, payers
from mpc.ring import RingArray
from mpc.rounds import Batch, Flow, Scheduler, Task
from mpc.seat import Seat
from mpc.transport import Transport

T = TypeVar("T")

#: Batches under way at a time: enough to keep a LAN busy, few enough that their data stay in the L3 cache.
WINDOW = 4

#: What may wait for a peer, of rounds that are over: bytes, and 1 KiB for each buffer.
BACKLOG = 1 << 24

#: Seconds in which the others are told why a party has failed.
LINGER = 1.0


class _Posted:
    """A batch under way: what is due from whom, and the digest its frames must carry."""

    __slots__ = ("batch", "digests", "due", "labels", "operation", "payers")

    def __init__(self, batch: Batch) -> None:
        self.batch, self.labels = batch, list(dict.fromkeys([task.label for task in batch.tasks]))
        self.operation, self.payers = "+".join(self.labels), payers(self.labels)
        self.due: dict[int, int] = {}  # payload bytes by peer
        self.digests: dict[int, bytes] = {}


class Party:
    """One participant of one session."""

    def __init__(
        self,
        transport: Transport,
        *,
        window: int = WINDOW,
        meter: Meter | None = None,
        names: dict[int, str] | None = None,
    ) -> None:
        memory.kept()
        self.rank, self.size = transport.rank, transport.size
        self.meter = meter or Meter()
        self.seat: Seat | None = None  # known after take_seat; its positions enter the digest
        # public facts of the program: operations, constants, indices
        self.agreed = blake2b(digest_size=16)
        # What was exchanged, and of the pipeline last moved the pieces done, and pieces.
        self.on_progress: Callable[[str, int, int], None] | None = None
        self._transport, self._window, self._names = transport, window, names or {}
        self._scheduler = Scheduler(self.meter.computed)
        self._links: dict[int, Link] = {}
        self._posted: deque[_Posted] = deque()
        self._crowded = self._closed = False

    def name(self, peer: int) -> str:
        return self._names.get(peer) or ("the dealer" if peer == self.size else f"party {peer}")

    def start(self, flow: Flow[T], label: str = "setup") -> Task[T]:
        """Begin a protocol: its local part runs now, its messages wait for company."""
        try:
            self._transport.look()
        except PartyLost as loss:
            flow.close()
            raise _loss(loss, f"at '{label}'") from None
        self.meter.of(label).calls += 1
        return self._scheduler.spawn(flow, label)

    def finish(self, task: Task[T]) -> T:
        """Exchange batches until this protocol is done; others move along."""
        while not task.done:
            self.post()
            # as it is where a pipeline turns out to have no more pieces
            if not task.done:
                self.deliver()
        return task.result()

    def run(self, flow: Flow[T], label: str = "setup") -> T:
        return self.finish(self.start(flow, label))

    def post(self) -> None:
        """Send the frames of all batches that are ready, as far as the window allows."""
        while len(self._posted) < self._window:
            batch = self._scheduler.collect(alone=not self._posted)
            if batch is None:
                break
            self._posted.append(self._post(batch))

    def deliver(self) -> None:
        """Wait for the frames of the oldest batch under way, check them, and resume its protocols."""
        if not self._posted:
            raise DesyncError("a protocol waits, but nothing is being exchanged: a party left out a round")
        posted = self._posted.popleft()
        start = perf_counter()
        payloads = self._receive(posted)
        if self._crowded:
            self._ease(posted)
        end = perf_counter()
        meter = self.meter
        meter.waited(posted.labels, posted.payers, start, end, sum(posted.due.values()))
        meter.exchanged(posted.labels, posted.batch.depth, self.size in posted.due)
        at = dict.fromkeys(payloads, 0)
        inboxes = []
        for task, round_ in zip(posted.batch.tasks, posted.batch.rounds, strict=True):
            inbox = {}
            for peer, specs in round_.recv.items():
                lo, payload, arrays = at[peer], payloads[peer], []
                for spec in specs:
                    hi = lo + spec.nbytes
                    arrays.append(RingArray(spec.ring, spec.ring.decode(payload[lo:hi], spec.shape)))
                    lo = hi
                meter.of(task.label).received += lo - at[peer]
                at[peer] = lo
                inbox[peer] = tuple(arrays)
            inboxes.append(inbox)
        self._scheduler.deliver(posted.batch, inboxes)
        if self.on_progress:
            self.on_progress(posted.operation, *self._scheduler.progress)

    def _post(self, batch: Batch) -> _Posted:
        posted = _Posted(batch)
        try:
            self._transport.look()
        except PartyLost as loss:
            raise self._lost(loss, posted) from None
        buffers: dict[int, list[memoryview]] = {}  # by peers that are sent a frame
        facts: dict[int, list[str]] = {}  # by peers that take part
        for task, round_ in zip(batch.tasks, batch.rounds, strict=True):
            out, back = {}, {}  # what goes to each peer and comes from it, in words
            sent = 0
            for peer, arrays in round_.send.items():
                views = buffers.setdefault(peer, [])
                for array in arrays:
                    if array.size:
                        views.append(view := array.ring.encode(array.data))
                        sent += view.nbytes
                out[peer] = ",".join([str(array.spec) for array in arrays])
            self.meter.of(task.label).sent += sent
            for peer, specs in round_.recv.items():
                posted.due[peer] = posted.due.get(peer, 0) + sum([spec.nbytes for spec in specs])
                back[peer] = ",".join([str(spec) for spec in specs])
            for peer in out | back:
                name = task.label if peer < self.size else ""
                up, down = (out, back) if self.rank < peer else (back, out)
                facts.setdefault(peer, []).append(
                    f"{name}/{round_.tag}:{up.get(peer, '')};{down.get(peer, '')}"
                )
        agreed = self.agreed.hexdigest()
        for peer, said in facts.items():
            link = self._links.get(peer)
            if link is None:
                link = self._links[peer] = Link(self.rank, peer)
            link.extend(
                said if self.seat is None or peer == self.size else [*said, self.seat.position(peer), agreed]
            )
            if peer in posted.due:
                posted.digests[peer] = link.due
            if peer in buffers:
                header = link.seal(sum([view.nbytes for view in buffers[peer]]), posted.operation)
                try:
                    waiting = self._transport.post(peer, [memoryview(header), *buffers[peer]])
                except PartyLost as loss:
                    raise self._lost(loss, posted) from None
                if waiting > BACKLOG:
                    self._crowded = True
        self.meter.of(posted.payers[0]).sent += HEADER.size * len(buffers)
        self.meter.frames += len(buffers)
        return posted

    def _receive(self, posted: _Posted) -> dict[int, memoryview]:
        headers = {peer: memoryview(bytearray(HEADER.size)) for peer in posted.due}
        self._collect(headers, posted)
        for peer, data in headers.items():
            header, who = Header.parse(data), self.name(peer)
            try:
                self._links[peer].check(header, posted.digests[peer], posted.due[peer], who, posted.operation)
            except PartyLost as loss:
                raise (self._lost(loss, posted) if loss.reason else loss) from None
        self.meter.of(posted.payers[0]).received += HEADER.size * len(headers)
        payloads = {peer: np.empty(n, np.uint8).data for peer, n in posted.due.items()}
        self._collect({peer: view for peer, view in payloads.items() if view.nbytes}, posted)
        return payloads

    def _collect(self, wanted: dict[int, memoryview], posted: _Posted) -> None:
        try:
            self._transport.collect(wanted)
        except PartyLost as loss:
            raise self._lost(loss, posted) from None

    def _ease(self, posted: _Posted) -> None:
        """Wait for peers that are far behind.

        What is under way does not count: parties that wait for each other to take it would wait for ever.
        A party that waits for a peer to take a round's frames is past that round, and the peer is not: in no
        circle of parties can each wait for the next.
        """
        most = {peer: BACKLOG for peer in self._links}
        for later in self._posted:
            for round_ in later.batch.rounds:
                for peer, arrays in round_.send.items():
                    most[peer] += HEADER.size + sum([array.spec.nbytes for array in arrays])
                    most[peer] += len(arrays) + 1 << 10
        try:
            self._transport.flush(most)
        except PartyLost as loss:
            raise self._lost(loss, posted) from None
        self._crowded = False

    def _lost(self, loss: PartyLost, posted: _Posted) -> PartyLost | CheatError:
        return _loss(loss, f"at '{posted.operation}' (round {posted.batch.depth})")

    def close(self, error: BaseException | None = None) -> None:
        """Say goodbye, or why not, and close the links: whoever waits for this party ends at once.

        Without an error, waits until all that was sent has arrived; ``PartyLost`` if it has not.  Idempotent.
        """
        if not self._closed:
            self._closed = True
            peers = [*range(self.size), *([self.size] if self.size in self._links else [])]
            leave(self._transport, [peer for peer in peers if peer != self.rank], error)


def leave(transport: Transport, peers: Iterable[int], error: BaseException | None = None) -> None:
    """Say goodbye to these peers, or why not, and close all links, as ``Party.close`` does."""
    said = memoryview(notice(BYE, "") if error is None else notice(ABORT, reason(error)))
    lost: TransportError | None = None
    for peer in peers:
        try:
            transport.post(peer, [said])
        except TransportError as loss:  # the others must hear of this end all the same
            lost = lost or loss
    linger = LINGER
    try:
        if error is None:
            if lost is not None:
                raise lost
            transport.flush()
            linger = 0.0
    finally:
        transport.close(linger=linger)


def _loss(loss: PartyLost, where: str) -> PartyLost | CheatError:
    """What a loss is to this party: where a peer has met somebody who deviates, so has everybody."""
    if loss.reason == CheatError.__name__:
        return CheatError(
            f"{loss.who} says, {where}, that a party has departed from the protocol. This session is over"
        )
    return PartyLost(f"{loss}, {where}", loss.who, loss.reason)


def reason(error: BaseException) -> str:
    """What peers may know of a failure: its kind, or whom it lost; never a message of the user's own."""
    return f"lost {error.who}" if isinstance(error, PartyLost) else type(error).__name__
