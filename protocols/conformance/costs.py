"""What a scheme's operations take on the wire, compared with what its class declares."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mpc.frames import HEADER
from mpc.ring import Ring, Spec
from mpc.tags import TAG
from mpc.transport import Transport
from mpc.transport.wrappers import Wrapper
from protocols.bilinear import MATMUL, MULTIPLY
from protocols.conformance.lockstep import Lockstep
from protocols.conformance.playing import input_of
from protocols.suite import CHUNK, Share, Suite, pieces

Protocol = Callable[..., Coroutine[Any, Any, Any]]

#: What every scheme has, and has to say the cost of.
EVERY = ("input", "open", "multiply")
#: Elements: one, some, and more than one piece.
SIZES = (1, 100, CHUNK + 1)


@dataclass
class Taken:
    """What an operation took: rounds, and bytes by (sender, receiver), headers aside."""

    rounds: int
    sent: dict[tuple[int, int], int]

    def by(self, sender: int, parties: int) -> int:
        """To the other parties."""
        return sum(n for (s, r), n in self.sent.items() if s == sender and r < parties)


class _Counting(Wrapper):
    """Counts the payloads that leave this end."""

    def __init__(self, inner: Transport) -> None:
        super().__init__(inner)
        self.sent: dict[tuple[int, int], int] = {}

    def post(self, peer: int, buffers: Any) -> int:
        link = self.rank, peer
        self.sent[link] = self.sent.get(link, 0) + sum(b.nbytes for b in buffers) - HEADER.size
        return super().post(peer, buffers)


def measured(
    kind: type[Suite],
    parties: int,
    prepare: Callable[[Suite], Coroutine[Any, Any, Any]],
    operation: Protocol,
) -> Taken:
    """Run ``operation(suite, *prepared)`` in lockstep and count what it alone sends,
    as frames on the links.
    """
    ends: list[_Counting] = []

    def around(end: Transport) -> Transport:
        ends.append(_Counting(end))
        return ends[-1]

    table = Lockstep(kind, parties, around)
    members, suites = table.members, table.suites
    prepared = table.run([prepare(s) for s in suites], "prepare")
    before = [(p.meter.rounds, p.meter.sent - HEADER.size * p.meter.frames) for p in members]
    for end in ends:
        end.sent.clear()
    table.run([operation(s, *xs) for s, xs in zip(suites, prepared, strict=True)], "operation")
    assert len({p.meter.rounds - rounds for p, (rounds, _) in zip(members, before, strict=True)}) == 1
    for p, end, (_, already) in zip(members, ends, before, strict=True):  # the meter's word and the frames'
        assert p.meter.sent - HEADER.size * p.meter.frames - already == sum(end.sent.values())
    return Taken(
        members[0].meter.rounds - before[0][0], {link: n for end in ends for link, n in end.sent.items()}
    )


def inputs(*specs: Spec) -> Callable[[Suite], Coroutine[Any, Any, list[Share]]]:
    async def prepare(suite: Suite) -> list[Share]:
        return [await input_of(suite, s.ring(np.arange(s.size).reshape(s.shape))) for s in specs]

    return prepare


#: What the operations of ``Suite.costs`` are, of arrays over this ring that are shared already.
PROTOCOLS: dict[str, tuple[int, Callable[[Ring], Protocol]]] = {
    "open": (1, lambda ring: lambda s, x: s.open(x)),
    "multiply": (2, lambda ring: lambda s, x, y: s.bilinear(MULTIPLY, x, y)),
    "matmul": (2, lambda ring: lambda s, x, y: s.bilinear(MATMUL, x, y)),
    "truncate": (1, lambda ring: lambda s, x: s.truncate(x, ring.fraction)),
    "multiply and truncate": (2, lambda ring: lambda s, x, y: s.bilinear(MULTIPLY, x, y, ring.fraction)),
}


def taken(kind: type[Suite], parties: int, operation: str, *operands: Spec) -> Taken:
    """What an operation of ``Suite.costs`` takes."""
    if operation == "input":
        return measured(kind, parties, inputs(), inputs(*operands))
    return measured(kind, parties, inputs(*operands), PROTOCOLS[operation][1](operands[0].ring))


def deviations(
    kind: type[Suite], parties: int, operation: str, taken: Taken, *operands: Spec
) -> Iterator[str]:
    """In what that is not what the suite's class declares, for all parties together."""
    cost = kind.costs[operation].of(parties, sum(x.nbytes for x in operands))
    ring = operands[0].ring
    result = MATMUL.spec(*operands) if operation == "matmul" else operands[0]
    elements = result.size if cost.per == "result" else sum(x.size for x in operands)
    messages = 1 if operation in ("input", "open", "matmul") else pieces(elements)
    sent, said = (
        sum(taken.by(p, parties) for p in range(parties)),
        cost.elements(parties, ring) * elements * ring.itemsize + cost.tags * TAG.nbytes * messages,
    )
    what = f"{operation} of {' and '.join(map(str, operands))}"
    if taken.rounds != cost.rounds:
        yield f"{what}: {taken.rounds} round{'s' * (taken.rounds != 1)}, declared {cost.rounds}"
    if sent != said:
        yield f"{what}: {sent} bytes, declared {said:g}"


@dataclass
class Costs:
    """Which operations take what is declared, and what is wrong with others."""

    kept: list[str]
    wrong: list[str]


def compare(kind: type[Suite], parties: int, ring: Ring, sizes: tuple[int, ...] = SIZES) -> Costs:
    """Every operation whose cost the class declares, for several sizes."""
    found = Costs([], [f"the cost of '{name}' is not declared" for name in EVERY if name not in kind.costs])
    for operation in kind.costs:
        if operation != "input" and operation not in PROTOCOLS:
            continue  # a scheme may declare more than every scheme has
        wrong: list[str] = []
        for operands in _operands(operation, ring, sizes):
            try:
                took = taken(kind, parties, operation, *operands)
            except Exception as error:  # whatever a scheme of somebody else's raises
                wrong.append(f"{operation}: its cost is declared, but {type(error).__name__}: {error}")
                break
            wrong += deviations(kind, parties, operation, took, *operands)
        found.wrong += wrong
        if not wrong:
            found.kept.append(operation)
    return found


def _operands(operation: str, ring: Ring, sizes: tuple[int, ...]) -> list[tuple[Spec, ...]]:
    if operation == "matmul":
        shapes = (((3, 4), (4, 2)), ((1, 9), (9, 1)), ((2, 3, 4), (2, 4, 3)))
        return [(Spec(ring, x), Spec(ring, y)) for x, y in shapes]
    many = 1 if operation == "input" else PROTOCOLS[operation][0]
    return [(Spec(ring, (size,)),) * many for size in sizes]
