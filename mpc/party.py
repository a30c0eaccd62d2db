"""A party: a seat's rank, its links, and the loop that turns batches of rounds into frames.

The only object that touches a transport.  ``start`` begins a protocol, ``finish`` exchanges batches
until it is done.  Up to ``window`` batches are under way at a time (only pipelines use more than one);
all parties post and deliver in the same order, so no frame needs a name to be found.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from time import perf_counter
from typing import TypeVar

import numpy as np

from mpc.errors import DesyncError, MpcError, PartyLost
from mpc.frames import ABORT, BYE, HEADER, Header, Link, notice
from mpc.meter import Meter, payers
from mpc.ring import RingArray
from mpc.rounds import Batch, Flow, Scheduler, Task
from mpc.seat import Seat
from mpc.transport import Transport

T = TypeVar("T")

#: Batches under way at a time: enough to keep a LAN busy, few enough that their data stay in the L3 cache.
WINDOW = 4


class _Posted:
    """A batch under way: what is due from whom, and the digest its frames must carry."""

    __slots__ = ("batch", "digests", "due", "labels", "operation")

    def __init__(self, batch: Batch, operation: str, labels: list[str]) -> None:
        self.batch, self.operation, self.labels = batch, operation, labels
        self.due: dict[int, int] = {}               # payload bytes by peer
        self.digests: dict[int, bytes] = {}


class Party:
    """One participant of one session."""

    def __init__(self, transport: Transport, *, window: int = WINDOW, meter: Meter | None = None,
                 names: dict[int, str] | None = None) -> None:
        self.rank, self.size = transport.rank, transport.size
        self.meter = meter or Meter()
        self.seat: Seat | None = None               # known after take_seat; its positions enter the digest
        self.agreed = blake2b(digest_size=16)       # public facts of the program: operations, constants, indices
        self.on_progress: Callable[[str, int, int], None] | None = None  # operation, pieces done, pieces
        self._transport, self._window, self._names = transport, window, names or {}
        self._scheduler = Scheduler(self.meter.computed)
        self._links: dict[int, Link] = {}
        self._posted: deque[_Posted] = deque()

    def name(self, peer: int) -> str:
        return self._names.get(peer) or ("the dealer" if peer == self.size else f"party {peer}")

    def start(self, flow: Flow[T], label: str = "setup") -> Task[T]:
        """Begin a protocol: its local part runs now, its messages wait for company."""
        self.meter.of(label).calls += 1
        return self._scheduler.spawn(flow, label)

    def finish(self, task: Task[T]) -> T:
        """Exchange batches until this protocol is done; others move along."""
        while not task.done:
            self.post()
            if not task.done:                       # as it is where a pipeline turns out to have no more pieces
                self.deliver()
        return task.result()

    def run(self, flow: Flow[T], label: str = "setup") -> T:
        return self.finish(self.start(flow, label))

    def post(self) -> None:
        """Send the frames of all batches that are ready, as far as the window allows."""
        while len(self._posted) < self._window:
            batch = self._scheduler.collect()
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
        end = perf_counter()
        meter = self.meter
        meter.waited(posted.labels, start, end, sum(posted.due.values()))
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
            self.on_progress(*self._scheduler.progress)

    def _post(self, batch: Batch) -> _Posted:
        labels = list(dict.fromkeys([task.label for task in batch.tasks]))
        posted = _Posted(batch, "+".join(labels), labels)
        buffers: dict[int, list[memoryview]] = {}   # by peers that are sent a frame
        facts: dict[int, list[str]] = {}            # by peers that take part
        for task, round_ in zip(batch.tasks, batch.rounds, strict=True):
            out, back = {}, {}                      # what goes to each peer and comes from it, in words
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
                facts.setdefault(peer, []).append(f"{name}/{round_.tag}:{up.get(peer, '')};{down.get(peer, '')}")
        agreed = self.agreed.hexdigest()
        for peer, said in facts.items():
            link = self._links.get(peer)
            if link is None:
                link = self._links[peer] = Link(self.rank, peer)
            link.extend(said if self.seat is None or peer == self.size else [*said, self.seat.position(peer), agreed])
            if peer in posted.due:
                posted.digests[peer] = link.due
            if peer in buffers:
                header = link.seal(sum([view.nbytes for view in buffers[peer]]), posted.operation)
                self._transport.post(peer, [memoryview(header), *buffers[peer]])
        self.meter.of(payers(labels)[0]).sent += HEADER.size * len(buffers)
        self.meter.frames += len(buffers)
        return posted

    def _receive(self, posted: _Posted) -> dict[int, memoryview]:
        headers = {peer: memoryview(bytearray(HEADER.size)) for peer in posted.due}
        self._collect(headers, posted)
        for peer, data in headers.items():
            self._links[peer].check(Header.parse(data), posted.digests[peer], posted.due[peer],
                                    self.name(peer), posted.operation)
        self.meter.of(payers(posted.labels)[0]).received += HEADER.size * len(headers)
        payloads = {peer: np.empty(n, np.uint8).data for peer, n in posted.due.items()}
        self._collect({peer: view for peer, view in payloads.items() if view.nbytes}, posted)
        return payloads

    def _collect(self, wanted: dict[int, memoryview], posted: _Posted) -> None:
        try:
            self._transport.collect(wanted)
        except PartyLost as error:
            raise PartyLost(f"{error}, at '{posted.operation}' (round {posted.batch.depth})", error.who) from None

    def close(self, error: BaseException | None = None) -> None:
        """Say goodbye, or why not, and close the links: whoever waits for this party ends at once."""
        said = notice(BYE, "") if error is None else notice(ABORT, reason(error))
        try:
            for peer in [*range(self.size), *([self.size] if self.size in self._links else [])]:
                if peer != self.rank:
                    self._transport.post(peer, [memoryview(said)])
            self._transport.flush()
        except MpcError:
            pass                                    # the peer is gone already; there is nobody to tell
        self._transport.close(linger=0.0 if error is None else 1.0)


def reason(error: BaseException) -> str:
    """What peers may know of a failure: its kind, or whom it lost; never a message of the user's own."""
    return f"lost {error.who}" if isinstance(error, PartyLost) else type(error).__name__
