"""What a coalition sees in a scheme's operations: masked by what it does not have, uniform, the same for all
inputs.

Shares, and the keys that a coalition has, stay as they are while all other keys are drawn anew: whatever
arrives from outside has to change.  And elements that arrive are distributed as those that ``Stream.draw``
gives.

These are tests of each array by itself.  They find what is sent unmasked, or under a mask that the receiver
has or that one sender uses twice; they do not find a relation between several messages.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from mpc.ring import Field, NDArray, Ring, RingArray, Spec
from mpc.rounds import Message, Recorder
from protocols.bilinear import MATMUL, MULTIPLY
from protocols.conformance.playing import Main, input_of, play, replay, stream
from protocols.ops.comparison import is_zero, negative, negative_part
from protocols.suite import Share, Suite
from protocols.threat import Threat

Operation = Callable[[Suite, Share, Share], Coroutine[Any, Any, Any]]
SIZE = 4096
#: Less likely results are no chance.
UNLIKELY = 1e-7


def square(x: Share) -> Share:
    """The elements as a square matrix."""
    side = round(x.size**0.5)
    return x.reshape((side, side))


#: The operations of a scheme itself.
SCHEME: dict[str, Operation] = {
    "multiply": lambda suite, x, y: suite.bilinear(MULTIPLY, x, y),
    "matmul": lambda suite, x, y: suite.bilinear(MATMUL, square(x), square(y)),
    "truncate": lambda suite, x, y: suite.truncate(x, 16),
    "multiply and truncate": lambda suite, x, y: suite.bilinear(MULTIPLY, x, y, 8),
    "less than zero": lambda suite, x, y: negative(suite, x),
    "part below zero": lambda suite, x, y: negative_part(suite, x),
    "equal to zero": lambda suite, x, y: is_zero(suite, y),
    "shuffle": lambda suite, x, y: suite.shuffle(x.reshape((2, x.size // 4, 2))),
}


async def product_opened(suite: Suite, x: Share, y: Share) -> Any:
    return await suite.open(await suite.bilinear(MULTIPLY, x, y))


def coalitions(threat: Threat, parties: int) -> list[set[int]]:
    """The largest sets of parties that may pool what they have."""
    return [{*members} for members in combinations(range(parties), threat.most(parties))]


# -- freshness ----------------------------------------------------------------------------------------


def parts_of(kind: type[Suite], parties: int, x: RingArray, y: RingArray) -> list[Any]:
    """What each party holds of x and y once they are shared."""

    async def main(suite: Suite) -> Any:
        return [(await input_of(suite, v)).parts for v in (x, y)]

    return [tuple(held) for held in play(parties, main, kind=kind, seed=3)]


@dataclass
class Replayed:
    """How many arrays came to coalitions from outside, and which of them stayed the same."""

    compared: int = 0
    stale: list[str] = field(default_factory=list)


def replayed(
    kind: type[Suite],
    parties: int,
    main: Main,
    oblivious: bool = False,
) -> Replayed:
    """Of ``main(suite)``, the messages to a coalition, from outside of it, that stay the same when all keys
    that it does not have change.

    That bytes are fresh would not do: under a key that the receiver has, too, they are, and hide nothing.
    """

    def messages(coalition: set[int], others: int) -> list[Message]:
        recorder = Recorder()
        replay(
            parties, main, kind=kind, coalition=coalition, others=others, record=recorder, oblivious=oblivious
        )
        # a barrier's tag is of public values, under a key that its receiver has
        return [m for m in recorder.messages if not _from_dealer(m, parties) and m.tag != "barrier"]

    first, found = messages(set(), 0), Replayed()
    for coalition in coalitions(kind.threat, parties):
        second = messages(coalition, 1)
        if [_frame(m) for m in first] != [_frame(m) for m in second]:
            found.stale.append("which messages are sent depends on keys")
            continue
        pairs = [
            (f"{a.tag}, array {i}", u, v)
            for a, b in zip(first, second, strict=True)
            if a.receiver in coalition and a.sender not in coalition
            for i, (u, v) in enumerate(zip(a.arrays, b.arrays, strict=True))
            if u.size
        ]
        found.compared += len(pairs)
        found.stale += [said for said, u, v in pairs if alike(u, v)]
    return found


def _from_dealer(message: Message, parties: int) -> bool:
    """Whether it is the seed with which the dealer greets a party."""
    return message.tag == "seed" and message.sender == parties


def _frame(message: Message) -> tuple[Any, ...]:
    return message.sender, message.receiver, message.tag, [a.spec for a in message.arrays]


def on_shares(held: list[Any], operation: Operation) -> Main:
    """The operation on shares that are as they are."""

    async def main(suite: Suite) -> None:
        x, y = (Share(suite, parts) for parts in held[suite.seat.rank])
        await operation(suite, x, y)

    return main


def alike(u: RingArray, v: RingArray) -> bool:
    """Whether words at one place of the elements, of one or of two, are the same."""
    if isinstance(u.ring, Field):
        return bool((u.data == v.data).mean() > 0.01)
    return any(
        (a == b).mean() > 0.01 for a, b in zip(u.ring.words(u.data), v.ring.words(v.data), strict=True)
    )


# -- uniformity ---------------------------------------------------------------------------------------


def likeness(mine: NDArray, drawn: NDArray) -> float:
    """The probability that samples of bytes from one distribution differ as much as these: χ² of both."""
    a, b = (np.bincount(sample, minlength=256).astype(float) for sample in (mine, drawn))
    there = a + b > 0
    a, b, ratio = a[there], b[there], (len(drawn) / len(mine)) ** 0.5
    degrees = len(a) - 1
    if not degrees:
        return 1.0
    # Wilson and Hilferty: the cube root of χ²/k is close to normal
    z = (((ratio * a - b / ratio) ** 2 / (a + b)).sum() / degrees) ** (1 / 3) - 1 + 2 / (9 * degrees)
    return 0.5 * math.erfc(z / (4 / (9 * degrees)) ** 0.5)


def unlike(arrays: list[RingArray]) -> bool:
    """Whether elements that arrive are not distributed as those that a stream gives: byte by byte, each place
    by itself.
    """
    ring = arrays[0].ring
    mine = _bytes(ring, [a.data for a in arrays])
    drawn = _bytes(ring, [stream(1, f"drawn {i}").draw(Spec(ring, (len(mine),))).data for i in range(8)])
    return any(likeness(mine[:, i], drawn[:, i]) < UNLIKELY for i in range(ring.itemsize))


def _bytes(ring: Ring, arrays: list[NDArray]) -> NDArray:
    return np.concatenate(
        [np.frombuffer(ring.encode(a), np.uint8).reshape(-1, ring.itemsize) for a in arrays]
    )


def repeated(arrays: list[RingArray]) -> bool:
    """Whether many elements arrive twice: masks that were used twice.  In a small field they do."""
    if isinstance(ring := arrays[0].ring, Field) and ring.bits < 48:
        return False
    data = np.concatenate([a.ring.encode(a.data) for a in arrays])
    elements = data.view(f"V{arrays[0].ring.itemsize}")
    return len(elements) - len(np.unique(elements)) > 0.01 * len(elements)


def irregular(messages: list[Message], few: int = SIZE // 4) -> list[str]:
    """Tags of which the elements that one party sends another are not uniform, or come twice.

    Fewer than ``few`` say nothing.
    """
    by: dict[tuple[int, int, str, Ring], list[RingArray]] = {}
    for m in messages:
        for a in m.arrays:
            by.setdefault((m.sender, m.receiver, m.tag, a.ring), []).append(a)
    found: dict[str, None] = {}
    for (_, _, tag, _), arrays in by.items():
        if sum(a.size for a in arrays) < few:
            continue
        if repeated(arrays):
            found[f"{tag}: a party is sent elements twice"] = None
        elif unlike(arrays):
            found[f"{tag}: what a party is sent is not uniform"] = None
    return list(found)


# -- all of it ----------------------------------------------------------------------------------------


@dataclass
class Views:
    """Which operations show nothing, which are refused, and what others show."""

    kept: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    compared: int = 0


def compare(kind: type[Suite], parties: int, ring: Ring) -> Views:
    """Every operation of the scheme itself, for each coalition that its threat allows, on two inputs."""
    values = [ring(np.full(SIZE, v)) for v in (0, (1 << ring.bits - 3) - 1)]

    def sharing(owner: int) -> Callable[[RingArray], Main]:
        return lambda x: lambda suite: input_of(suite, x, owner)

    def shared(operation: Operation) -> Callable[[RingArray], Main]:
        return lambda x: on_shares(parts_of(kind, parties, x, x), operation)

    mains = {f"input of party {owner}": sharing(owner) for owner in range(parties)}
    mains |= {name: shared(f) for name, f in {**SCHEME, "open of a product": product_opened}.items()}
    found = Views()
    for name, main in mains.items():
        try:
            wrong, compared = _shown(kind, parties, [main(x) for x in values])
        except NotImplementedError as error:
            found.refused[str(error)] += 1
            continue
        except Exception as error:  # whatever a scheme of somebody else's raises
            wrong, compared = [f"{type(error).__name__}: {error}"], 0
        found.compared += compared
        found.wrong += [f"{name}: {said}" for said in wrong]
        if not wrong:
            found.kept.append(name)
    if not found.compared:
        found.wrong.append("nothing arrives at a coalition in any of its operations")
    return found


def _shown(kind: type[Suite], parties: int, both: list[Main]) -> tuple[list[str], int]:
    """What is wrong with messages of one operation on two inputs, and how many arrays were compared."""
    fresh = replayed(kind, parties, both[1])
    wrong = [f"{said}: does not change with the keys that its receivers lack" for said in fresh.stale]
    seen: list[list[Message]] = []
    for main in both:
        recorder = Recorder()
        play(parties, main, kind=kind, seed=11, record=recorder)
        # in the first exchange of all keys are agreed on
        seen.append([m for m in recorder.messages if m.step and not _from_dealer(m, parties)])
        wrong += irregular(seen[-1])
    if [_frame(m) for m in seen[0]] != [_frame(m) for m in seen[1]]:
        wrong.append("which messages are sent depends on the inputs")
    return list(dict.fromkeys(wrong)), fresh.compared
