"""Correlated randomness made before the run: from a store on disk, and when that is empty by oblivious
transfer.

    rehearse   the program runs on dummy inputs with correlations that are zero (``Rehearsal``), which are
               counted
    make       as many are made by oblivious transfer and written to every party's store (``fill``)
    serve      a later run draws them in the same order at all parties (``Stored``)

Zero triples and masks satisfy their relations, as do orders that everybody knows with zeros to move: a
rehearsal computes what the program would on these inputs, takes no transfers, and protects nothing, since
there is nothing to protect.

Elementwise kinds are counted by their elements, whatever the shapes they are drawn in; others by shape.  A
request that the store cannot serve whole is made on demand; all parties see alike which.

Stores need not stand at the same place after one party has crashed: each says in one round where its own
stands, and all go on from the furthest.

Threat   that of ``protocols/prep/ot`` and, for what lies on the disk, of ``protocols/prep/store``.
Cost     serving: one round at the start, 8 bytes per kind; then none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Iterator, Mapping

import numpy as np

from mpc.errors import ConfigError, WireError
from mpc.meter import OFFLINE
from mpc.prg import SEED_BYTES, Stream
from mpc.ring import Z64, RingArray, Spec
from mpc.rounds import Flow, Task, exchange, gather, pipeline, spawn
from mpc.seat import Seat
from protocols.prep import Correlation, Here, Parts, Permutation, name_of, of_size, specs, units
from protocols.prep.ot import Oblivious
from protocols.prep.store import Making, Shelf, Store, block_of
from protocols.threat import Threat

#: Of correlations that are not elementwise, so many are made at once.
_AT_ONCE = 16


class Rehearsal:
    """Correlations for inputs that are nobody's secret: zeros, and counted."""

    threat = Threat("semi-honest", "0 of n")
    deals = Oblivious.deals

    def __init__(self) -> None:
        self.taken: Counter[Correlation] = Counter()
        self._orders = Stream(bytes(SEED_BYTES), "INSECURE rehearsal")

    async def setup(self, seat: Seat) -> None:
        self._rank = seat.rank

    async def draw(self, kind: Correlation) -> tuple[Parts, Awaitable[Parts]]:
        one, count = units(kind)
        self.taken[one] += count
        free, dependent = (
            tuple(s.ring.zeros(s.shape) for s in specs) for specs in (kind.free, kind.dependent)
        )
        # an order at least, so that sorting takes the usual number of comparisons
        if isinstance(kind, Permutation):
            orders = self._orders.permutations(kind.free[0].shape)
            if self._rank == kind.owner:
                free = (kind.free[0].ring(orders), *free[1:])
        return free, Here(dependent)


async def fill(seat: Seat, prep: Oblivious, making: Making, counts: Mapping[Correlation, int]) -> str:
    """Make so many of each kind, and write this party's shares of them; the name of this run, when all
    parties have written.
    """
    run = seat.session.hex()[:16]
    await prep.setup(seat)
    for kind, count in counts.items():
        if count:
            await _fill(prep, making, run, kind, count)
    done = Z64([sum(counts.values())])
    await exchange(dict.fromkeys(seat.others, (done,)), dict.fromkeys(seat.others, (done.spec,)), "written")
    return run


async def _fill(prep: Oblivious, making: Making, run: str, kind: Correlation, count: int) -> None:
    unit = sum(spec.nbytes for spec in specs(kind))
    file, step = making.kind(run, name_of(kind), count, unit), block_of(unit)

    async def block(number: int, size: int) -> None:
        file.put(number, _packed(await _make(prep, kind, size)))

    pieces: Iterator[Flow[None]] = (
        block(number, min(step, count - lo)) for number, lo in enumerate(range(0, count, step))
    )
    await pipeline(pieces, -(-count // step))
    file.close()


async def _make(prep: Oblivious, kind: Correlation, size: int) -> list[Parts]:
    """The parts of ``size`` units, in pieces."""

    async def one(kind: Correlation) -> Parts:
        free, rest = await prep.make(kind)
        return (*free, *await rest)

    whole = of_size(kind, size)
    if whole is not None:
        return [await one(whole)]
    made: list[Parts] = []
    for lo in range(0, size, _AT_ONCE):
        made += await gather(*(one(kind) for _ in range(min(_AT_ONCE, size - lo))))
    return made


def _packed(pieces: list[Parts]) -> bytes:
    """Part after part, each of all units."""
    return b"".join(
        bytes(part.ring.encode(part.data)) for column in zip(*pieces, strict=True) for part in column
    )


class _Kind:
    """What is left of one kind: the rest of the block at hand, and the shelf."""

    def __init__(self, one: Correlation, shelf: Shelf) -> None:
        self._one, self._shelf = one, shelf
        self._elementwise = of_size(one, 1) is not None
        self._at = self._end = 0
        self._block: Parts = ()
        if shelf.unit != sum(s.nbytes for s in specs(one)):
            raise ConfigError(
                f"the store has another size for {name_of(one)}: run 'mpc offline' again, all parties"
                " together"
            )

    def take(self, kind: Correlation, count: int) -> Parts | None:
        """This many units as one correlation, or nothing if there are not so many."""
        if self._end - self._at + self._shelf.count < count:
            return None
        pieces: list[Parts] = []
        while count:
            if self._at == self._end:
                self._open()
            lo, self._at = self._at, min(self._end, self._at + count)
            count -= self._at - lo
            pieces.append(
                tuple(part[..., lo : self._at] if self._elementwise else part[lo] for part in self._block)
            )
        joined = (
            pieces[0]
            if len(pieces) == 1
            else tuple(
                RingArray(column[0].ring, np.concatenate([p.data for p in column], axis=-1))
                for column in zip(*pieces, strict=True)
            )
        )
        return tuple(
            RingArray(part.ring, part.data.reshape(spec.shape))
            for part, spec in zip(joined, specs(kind), strict=True)
        )

    def _open(self) -> None:
        count, at, parts = min(self._shelf.block, self._shelf.count), 0, []
        view = memoryview(self._shelf.take())
        for spec in specs(self._one):
            shape = (*spec.shape[:-1], count) if self._elementwise else (count, *spec.shape)
            nbytes = count * spec.nbytes
            parts.append(RingArray(spec.ring, spec.ring.decode(view[at : at + nbytes], shape)))
            at += nbytes
        self._block, self._at, self._end = tuple(parts), 0, count


class Stored:
    """What a store has, as one party gets it; made on demand where it has nothing."""

    threat, deals = Oblivious.threat, Oblivious.deals

    def __init__(self, store: Store, online: Oblivious) -> None:
        self._store, self._online = store, online
        self._kinds: dict[Correlation, _Kind | None] = {}
        self._ready: Task[None] | None = None  # of the transfers on demand
        # units out of the store, blocks that another party had used
        self.served, self.skipped = 0, 0
        self.made: Counter[str] = Counter()  # units that were not there

    async def setup(self, seat: Seat) -> None:
        """Go on from where the furthest of the stores stands."""
        self._seat, store = seat, self._store
        names = sorted(store.used)
        mine, spec = Z64([store.used[name][0] for name in names]), Spec(Z64, (len(names),))
        inbox = await exchange(
            dict.fromkeys(seat.others, (mine,)), dict.fromkeys(seat.others, (spec,)), "store"
        )
        stand = [
            max(int(a.data[i]) for a in (mine, *(inbox[p][0] for p in seat.others)))
            for i in range(len(names))
        ]
        if any(at > store.used[name][1] for name, at in zip(names, stand, strict=True)):
            raise WireError(
                "a party says that more of its store is used than there is: run 'mpc offline' again, all"
                " parties together"
            )
        self.skipped = sum(at - store.used[name][0] for name, at in zip(names, stand, strict=True))
        store.advance(dict(zip(names, stand, strict=True)))
        seat.bind(store.run.encode(), Z64(stand).data.tobytes())

    async def draw(self, kind: Correlation) -> tuple[Parts, Awaitable[Parts]]:
        one, count = units(kind)
        parts = self._take(kind, one, count)
        if parts is None:
            self.made[name_of(one)] += count
            return await self._on_demand(kind)
        self.served += count
        return parts[: len(kind.free)], Here(parts[len(kind.free) :])

    def _take(self, kind: Correlation, one: Correlation, count: int) -> Parts | None:
        if not count:
            return tuple(s.ring.zeros(s.shape) for s in specs(kind))
        if one not in self._kinds:
            shelf = self._store.shelves.get(name_of(one))
            self._kinds[one] = None if shelf is None else _Kind(one, shelf)
        kept = self._kinds[one]
        return None if kept is None else kept.take(kind, count)

    async def _on_demand(self, kind: Correlation) -> tuple[Parts, Awaitable[Parts]]:
        if self._ready is None:
            self._ready = await spawn(self._online.setup(self._seat), OFFLINE + "setup")
        await self._ready
        return await self._online.draw(kind)

    def said(self) -> str:
        """What came from where, for people."""
        words = f"{self.served:,} from the store of the offline run {self._store.run}"
        if self.skipped:
            words += (
                f"; {self.skipped} blocks were left out, which another party had used up in a run that did"
                " not end well"
            )
        if self.made:
            names = ", ".join(dict.fromkeys(name.partition(",")[0] for name in self.made))
            words += (
                f"; {self.made.total():,} on demand, since the store had no more of: {names}; another 'mpc"
                " offline' with this program makes what it takes"
            )
        return words + "."
