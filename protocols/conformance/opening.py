"""What is opened to whom: everybody who is meant gets the same, and nobody else gets a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mpc.ring import Ring, Spec
from mpc.rounds import Recorder
from protocols.bilinear import MULTIPLY
from protocols.conformance.playing import input_of, play, replay
from protocols.conformance.views import SIZE, alike, coalitions, unlike
from protocols.suite import CHUNK, Suite

#: Shapes of arrays that are opened; the last is more than one piece.
SHAPES = ((), (7,), (2, 3), (0,), (CHUNK + 1,))


@dataclass
class Openings:
    """Which openings are right, what is refused, and what is wrong."""

    kept: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def compare(kind: type[Suite], parties: int, ring: Ring) -> Openings:
    """Inputs and products opened to all, to each party alone, and to all but one; and a random number."""
    found = Openings()
    everybody = tuple(range(parties))
    some = [None, *((p,) for p in everybody), *(tuple(q for q in everybody if q != p) for p in everybody)]
    for shape in SHAPES:
        for to in some if shape != SHAPES[-1] else some[:2]:
            wrong = list(_opened(kind, parties, ring, shape, to))
            found.wrong += wrong
            found.kept += not wrong
    try:
        wrong = list(_random(kind, parties, ring))
        found.wrong += wrong
        found.kept += not wrong
    except NotImplementedError as error:
        found.refused[str(error)] += 1
    return found


def _opened(
    kind: type[Suite], parties: int, ring: Ring, shape: tuple[int, ...], to: tuple[int, ...] | None
) -> Iterator[str]:
    x = ring(np.arange(int(np.prod(shape))).reshape(shape) - 3)
    values = [bytes(ring.encode(v.data)) for v in (x, x * x)]
    steps: list[int] = []

    async def main(suite: Suite) -> Any:
        secret = await input_of(suite, x, parties - 1)
        product = await suite.bilinear(MULTIPLY, secret, secret)
        steps.append(len(recorder.messages))
        return await suite.open(secret, product, to=to)

    what = f"an array {shape} opened to {'all' if to is None else to}"
    recorder = Recorder()
    try:
        results = play(parties, main, kind=kind, seed=5, record=recorder)
    except Exception as error:  # whatever a scheme of somebody else's raises
        yield f"{what}: {type(error).__name__}: {error}"
        return
    for rank, opened in enumerate(results):
        if to is not None and rank not in to:
            if opened != ():
                yield f"{what}: party {rank} gets it"
        elif [bytes(ring.encode(v.data)) for v in opened] != values:
            yield f"{what}: party {rank} gets other numbers"
    told = {m.receiver for m in recorder.messages[max(steps) :] if m.sender < parties}
    if to is not None and told - {*to}:
        yield f"{what}: party {min(told - {*to})} is sent messages"


def _random(kind: type[Suite], parties: int, ring: Ring) -> Iterator[str]:
    """It is uniform, the same for all, another each time, and nobody's choice: with the keys of a coalition
    held as they are, it changes with the others'.
    """
    spec = Spec(ring, (SIZE,))

    async def main(suite: Suite) -> Any:
        return await suite.open(await suite.random(spec), await suite.random(spec))

    results = play(parties, main, kind=kind, seed=7)
    first, second = results[0]
    for rank, opened in enumerate(results):
        if [bytes(ring.encode(v.data)) for v in opened] != [bytes(ring.encode(v.data)) for v in results[0]]:
            yield f"a random number: party {rank} has another than party 0"
    if alike(first, second):
        yield "a random number: the next is the same"
    if unlike([first, second]):
        yield "a random number: it is not uniform"
    for coalition in coalitions(kind.threat, parties):
        (one, *_), (other, *_) = (
            replay(parties, main, kind=kind, coalition=coalition, others=others)[0] for others in (1, 2)
        )
        if alike(one, other):
            yield f"a random number: the parties {sorted(coalition)} know it"
