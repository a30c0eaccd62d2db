"""What a party sees tells it nothing: masked by what it does not have, uniform, the same for all inputs; and
nothing secret is ever printed.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytest
from conftest import counts, input_of, play, stream, usual
from scipy import stats

import mpc
from mpc.bits import planes
from mpc.errors import MpcError
from mpc.prg import Stream
from mpc.ring import RINGS, Z64, RingArray, Spec
from mpc.rounds import Message, Recorder, exchange, gather
from protocols.bilinear import MATMUL, MULTIPLY
from protocols.carries import bits_of
from protocols.conformance.views import SCHEME, Operation, on_shares, parts_of, replayed, square
from protocols.ops.bitwise import (
    conjunction,
    is_multiple,
    masked,
    modulo,
    nearest,
    number_of,
    ones_in,
    raised_by,
    shifted,
    shifted_by,
)
from protocols.ops.comparison import to_ring
from protocols.ops.division import _reciprocal, divided
from protocols.ops.exponential import _LOG2, _size_of_power, _whole_power, log_of, two_to
from protocols.ops.moving import placed
from protocols.ops.normalisation import any_bit, polynomial, top_bit
from protocols.ops.quotients import Divisor, Plan, by_public, by_secret
from protocols.ops.randomness import below, normals
from protocols.ops.roots import root
from protocols.ops.selection import indicators, member
from protocols.ops.sorting import arranged
from protocols.ops.trigonometry import _arctan2, circle
from protocols.prep import Triple
from protocols.suite import CHUNK, Share, Suite, lift
from protocols.suites import SUITES
from protocols.suites.additive import Additive
from protocols.suites.replicated import Replicated

GRID = [(name, n) for name, suite in SUITES.items() for n in counts(suite)[:2]]
SIZE = 4096


async def chain(suite: Suite, x: Share, y: Share) -> Share:
    """Products of products, side by side, and a truncation."""
    z, w = await gather(suite.bilinear(MULTIPLY, x, y), suite.bilinear(MULTIPLY, x, x))
    return await suite.truncate(await suite.bilinear(MULTIPLY, z, w), 9)


async def sort(suite: Suite, x: Share, y: Share) -> Share:
    """By two keys and the place, of so few that their order says nothing of how many comparisons
    there are.
    """
    place = suite.constant(x.ring(np.broadcast_to(np.arange(12)[:, None], (12, 16))))
    return await arranged(
        suite, lift(lambda *rows: np.stack(rows), *(z[:192].reshape((12, 16)) for z in (x, y)), place), 3
    )


async def move(suite: Suite, x: Share, y: Share) -> Share:
    """By an order of so many that two of them, which are opened, hardly have a hundredth in common."""
    n = 2048
    order = suite.constant(x.ring(np.stack([np.arange(n)[::-1], np.roll(np.arange(n), 7)], axis=1)))
    return await placed(suite, order, lift(lambda a: np.resize(a, (2, n, 2)), x))


async def numbers(suite: Suite, x: Share, y: Share) -> Any:
    """Bits, and numbers of them, both ways."""
    bits = await bits_of(suite, x[:256])
    return await gather(
        number_of(suite, bits, x.ring, (256,)), to_ring(suite, bits, x.ring, (x.ring.bits, 256))
    )


async def top(suite: Suite, x: Share, y: Share) -> Any:
    bits = await bits_of(suite, x[:256])
    return await gather(top_bit(suite, bits), any_bit(suite, bits))


def few(x: Share) -> np.ndarray:
    """Three numbers as the bits of their ring."""
    return (
        np.array([0, 1, 2**30 + 5], np.uint64)[:, None] >> np.arange(x.ring.bits, dtype=np.uint64)
        & np.uint64(1)
        == 1
    )


async def quotient(suite: Suite, x: Share, d: float) -> Any:
    return await by_public(
        suite, Plan(Divisor.of(np.array([d]), 8 if d < 1 else 0), x.ring, suite.terms, True), True, x
    )


OPERATIONS: dict[str, Operation] = {
    **SCHEME,
    "multiply single": lambda suite, x, y: suite.bilinear(MULTIPLY, x[0], y[0]),
    "square": lambda suite, x, y: suite.bilinear(MULTIPLY, x, x),
    "sort": sort,
    "move": move,
    "and": conjunction,
    "quotient": lambda suite, x, y: shifted(suite, 5, x),
    "nearest": lambda suite, x, y: nearest(suite, 9, y),
    "indicators": lambda suite, x, y: indicators(suite, few(x), x[:1024]),
    "divide": lambda suite, x, y: divided(suite, x, y, 8),
    "inverse square root": lambda suite, x, y: root(suite, x, 8, 8, inverse=True),
    "power of two": lambda suite, x, y: two_to(suite, x, 16, 8),
    "quotient by a public number": lambda suite, x, y: quotient(suite, x, 7),
    "circle": lambda suite, x, y: circle(suite, x, (True, True), 8),
    "random numbers below": lambda suite, x, y: below(suite, x.ring, x.size, 10),
    "chain": chain,
}
#: What else sends messages; it is made of the same parts.
MORE: dict[str, Operation] = {
    "multiply, broadcast": lambda suite, x, y: suite.bilinear(
        MULTIPLY, x.reshape((x.size, 1)), y[:3].reshape((1, 3))
    ),
    "matmul and truncate": lambda suite, x, y: suite.bilinear(MATMUL, square(x), square(y), 8),
    "truncate by many bits": lambda suite, x, y: suite.truncate(x, x.ring.bits - 2),
    "and, public": lambda suite, x, y: masked(suite, planes(x.ring(np.full(x.size, 0b1011))), x),
    "remainder": lambda suite, x, y: modulo(suite, 5, x),
    "multiple": lambda suite, x, y: is_multiple(suite, 5, x),
    "numbers": numbers,
    "top bit": top,
    "member": lambda suite, x, y: member(suite, few(x), x),
    "reciprocal": lambda suite, x, y: _reciprocal(suite, x, 8),
    "square root": lambda suite, x, y: root(suite, x, 8, 8, inverse=False),
    "logarithm": lambda suite, x, y: log_of(suite, x, 8, 1.0),
    "polynomial": lambda suite, x, y: polynomial(suite, x, _LOG2, 12),
    "quotient by a public real": lambda suite, x, y: quotient(suite, x, 0.3),
    "quotient by a secret": lambda suite, x, y: by_secret(suite, True, x[:512], y[:512]),
    "shift by a secret": lambda suite, x, y: gather(shifted_by(suite, x, y), raised_by(suite, x, y)),
    "ones": lambda suite, x, y: ones_in(suite, x),
    "normal numbers": lambda suite, x, y: normals(suite, x.ring, x.size, 8),
    "angle": lambda suite, x, y: _arctan2(suite, 8, x, y),
    "power of secrets": lambda suite, x, y: gather(
        _whole_power(suite, x, y), _size_of_power(8, 8, suite, x, y)
    ),
    "small power of two": lambda suite, x, y: two_to(suite, x, 16, 8, 12, 0),
}


def record(
    kind: type[Suite],
    parties: int,
    held: list[tuple[Any, Any]],
    operation: Operation,
    seed: int | None = None,
    *,
    oblivious: bool = False,
) -> list[Message]:
    """All messages of an operation on fixed shares, after the keys are agreed on; the result stays closed."""
    recorder = Recorder()

    async def main(suite: Suite) -> None:
        x, y = (Share(suite, parts) for parts in held[suite.seat.rank])
        await operation(suite, x, y)

    play(parties, main, kind=kind, record=recorder, seed=seed, oblivious=oblivious)
    return [m for m in recorder.messages if m.tag not in ("keys", "seed")]


def seen(messages: list[Message], party: int | None = None) -> np.ndarray:
    """All bytes that arrive at a party (or at all)."""
    return np.concatenate(
        [a.data.reshape(-1).view(np.uint8) for m in messages if party in (None, m.receiver) for a in m.arrays]
    )


def long_words(messages: list[Message]) -> np.ndarray:
    """The words of all elements that have one of 64 bits, or two."""
    arrays = [a for m in messages for a in m.arrays if a.ring.itemsize >= 8]
    return np.concatenate(
        [np.zeros(0, np.uint64), *(word.reshape(-1) for a in arrays for word in a.ring.words(a.data))]
    )


def stale(
    kind: type[Suite], parties: int, operation: Operation, bits: int = 64, *, oblivious: bool = False
) -> list[str]:
    """The messages of an operation on fixed shares that ``replayed`` finds."""
    rng = np.random.default_rng(5)
    x, y = (RINGS[bits](rng.integers(1, 1 << 20, 256)) for _ in range(2))
    found = replayed(kind, parties, on_shares(parts_of(kind, parties, x, y), operation), oblivious)
    assert found.compared
    return found.stale


@pytest.mark.parametrize(
    ("operation", "bits"), [(o, bits) for o in OPERATIONS for bits in RINGS] + [(o, 64) for o in MORE]
)
@pytest.mark.parametrize(("suite", "parties"), GRID)
def test_freshness(suite: str, parties: int, operation: str, bits: int) -> None:
    """Everything that those who may collude have is fixed, their shares and keys; all other keys are new: all
    that arrives differs.
    """
    assert stale(SUITES[suite], parties, (OPERATIONS | MORE)[operation], bits) == []


async def unmasked(suite: Suite, f: Any, x: Share, y: Share) -> Share:
    """Beaver's multiplication, broken: y is opened without its mask."""
    (a_part, b_part), dependent = await suite.prep.draw(Triple(f, x.spec, y.spec))  # type: ignore[union-attr]
    a, b = Share(suite, (a_part,)), Share(suite, (b_part,))
    d, e = await suite.open(x - a, y, tag=f.name)
    (c,) = await dependent
    return Share(suite, (c,)) + b.apply(lambda b: f(d, b)) + x.apply(lambda x: f(x, e))


async def local_product(suite: Suite, f: Any, x: Share, y: Share) -> Share:
    """The mistake two libraries make, as we read them: the local product travels as it is."""
    mine = f(x.parts[0], y.parts[0])
    inbox = await exchange(
        dict.fromkeys(suite.seat.others, (mine,)), dict.fromkeys(suite.seat.others, (mine.spec,)), f.name
    )
    return Share(suite, (mine, *(i[0] for i in inbox.values()))[:1])


@pytest.mark.parametrize("broken", [unmasked, local_product])
def test_freshness_catches_a_broken_multiplication(broken: Any) -> None:
    assert stale(Additive, 2, lambda suite, x, y: broken(suite, MULTIPLY, x, y)) != []


class Bare(Replicated):
    """``replicated`` without the sharing of zero that masks what it passes on (CrypTen's issue 518)."""

    @property
    def _zero(self) -> Any:
        return None, None


def test_freshness_catches_replicated_sharing_without_zero_shares() -> None:
    assert stale(Bare, 3, OPERATIONS["multiply"]) == ["multiply, array 0"] * 3
    assert stale(Replicated, 3, OPERATIONS["multiply"]) == []


class LowWord:
    """A stream whose upper words are zero."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def draw(self, spec: Spec) -> RingArray:
        return self.stream.draw(spec).low(64)


class Half(Replicated):
    """``replicated`` with sharings of zero of which only the lower word is random."""

    @property
    def _zero(self) -> Any:
        plus, minus = super()._zero
        return LowWord(plus), LowWord(minus)


def test_freshness_catches_a_word_that_is_not_masked() -> None:
    assert stale(Half, 3, OPERATIONS["multiply"], 128) == ["multiply, array 0"] * 3


class Shared(Replicated):
    """``replicated`` with masks that the party to which a term is passed on has, too: its bytes are fresh all
    the same.
    """

    @property
    def _zero(self) -> Any:
        return None, super()._zero[1]


def test_freshness_catches_masks_that_the_receiver_has() -> None:
    assert stale(Shared, 3, OPERATIONS["multiply"]) == ["multiply, array 0"] * 3


@pytest.mark.parametrize(("kind", "readable"), [(Bare, True), (Replicated, False)])
def test_without_zero_shares_a_party_reads_what_is_squared(kind: type[Suite], readable: bool) -> None:
    """Of x·x party 0 gets x_1² + 2·x_1·x_2 of party 1, and knows x_1: x_2 follows where x_1 is odd, and x
    with it.
    """
    x = Z64(np.arange(SIZE) * 7919)
    views: list[Any] = [None, None, None]

    async def main(suite: Suite) -> None:
        views[suite.seat.rank] = share = await input_of(suite, x)
        await suite.bilinear(MULTIPLY, share, share)

    recorder = Recorder()
    play(3, main, kind=kind, record=recorder)
    (seen_product,) = next(m.arrays for m in recorder.view(0) if m.tag == "multiply")
    x0, x1 = views[0].parts
    odd = np.flatnonzero(x1.data & np.uint64(1))
    guess = []
    for i in odd:
        a, t = int(x1.data[i]), int(seen_product.data[i])
        x2 = (t - a * a) * pow(a, -1, 2**64) % 2**64 // 2  # up to the top bit
        guess.append((int(x0.data[i]) + a + x2) % 2**63)
    right = np.mean([g == int(v) for g, v in zip(guess, x.data[odd], strict=True)])
    assert right == 1 if readable else right < 0.01


async def reused(suite: Suite, x: Share, y: Share) -> Share:
    """Two products with one triple: each message is fresh, but their difference is x − y."""
    (a, b), dependent = await suite.prep.draw(Triple(MULTIPLY, x.spec, y.spec))  # type: ignore[union-attr]
    await dependent
    for z in (x, y):
        await suite.open(z - Share(suite, (a,)), z - Share(suite, (b,)), tag="multiply")
    return x


def repeated_masks(operation: Operation) -> int:
    """How many words of openings repeat when everything that is opened is 0:
    masks that were used twice.
    """
    zero = Z64.zeros((SIZE,))
    held = [((zero,), (zero,)) for _ in range(3)]
    messages = [m for m in record(Additive, 3, held, operation) if (m.sender, m.receiver) == (0, 1)]
    # numbers of 32 bits in pairs: single ones repeat by chance
    values = np.concatenate([np.frombuffer(a.data.tobytes(), np.uint64) for m in messages for a in m.arrays])
    assert len(values) > 0
    return len(values) - len(np.unique(values))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_mask_is_used_twice(operation: str) -> None:
    """On shares that are 0, what party 0 opens are its parts of the masks: all different, over all
    operations.
    """
    f = OPERATIONS[operation]

    async def thrice(suite: Suite, x: Share, y: Share) -> Share:
        for _ in range(2):
            await f(suite, x, y)
        return await f(suite, y, x)

    assert repeated_masks(thrice) == 0


def test_a_reused_mask_is_caught() -> None:
    assert repeated_masks(reused) == 2 * SIZE


def test_masks_differ_when_big_arrays_are_streamed() -> None:
    zero = Z64.zeros((2 * CHUNK + 9,))
    messages = record(Additive, 2, [((zero,), (zero,))] * 2, OPERATIONS["multiply"])
    values = np.concatenate([a.data for m in messages if m.receiver == 1 and m.sender == 0 for a in m.arrays])
    assert len(np.unique(values)) == len(values) == 2 * zero.size


# -- views --------------------------------------------------------------------------------------------


INPUTS = {
    "zeros": lambda bits: np.zeros(SIZE, np.int64),
    "ones": lambda bits: np.ones(SIZE, np.int64),
    "small": lambda bits: np.arange(SIZE) % 10,
    "large": lambda bits: np.full(SIZE, -(1 << (bits - 3)) + 12345),
}


def pvalue(data: np.ndarray) -> float:
    return float(stats.chisquare(np.bincount(data, minlength=256)).pvalue)


@pytest.mark.parametrize("values", INPUTS)
@pytest.mark.parametrize("bits", RINGS)
@pytest.mark.parametrize("operation", ["multiply", "matmul", "truncate", "chain"])
def test_what_a_party_receives_is_uniform_whatever_the_input(operation: str, bits: int, values: str) -> None:
    """Each byte of each message to each party; hence the same distribution for any two inputs.  Seeded."""
    v = RINGS[bits](INPUTS[values](bits))
    messages = record(Additive, 3, parts_of(Additive, 3, v, v), OPERATIONS[operation], seed=7)
    for party in range(3):
        mine = seen(messages, party)
        assert pvalue(mine) > 1e-5
        assert stats.kstest(mine.view(np.uint32) / 2.0**32, "uniform").pvalue > 1e-5


@pytest.mark.parametrize("operation", ["multiply", "truncate"])
def test_what_is_opened_in_an_operation_is_uniform(operation: str) -> None:
    """Not only each part: also their sum, which all parties learn.  This fails for ``unmasked``."""

    def opened(f: Operation) -> np.ndarray:
        v = Z64(INPUTS["small"](64))
        messages = record(Additive, 2, parts_of(Additive, 2, v, v), f, seed=8)
        mine = [m for m in messages if m.sender < 2]
        pairs = [
            (m, o)
            for m in mine
            for o in mine
            if m.receiver == 0 and o.receiver == 1 and (m.step, m.tag) == (o.step, o.tag)
        ]
        return np.concatenate(
            [(a + b).data.view(np.uint8) for m, o in pairs for a, b in zip(m.arrays, o.arrays, strict=True)]
        )

    assert pvalue(opened(OPERATIONS[operation])) > 1e-5
    assert pvalue(opened(lambda suite, x, y: unmasked(suite, MULTIPLY, x, y))) < 1e-9


def test_views_under_two_inputs_are_alike() -> None:
    """Two-sample test of everything a party receives in a session, the final reveal aside."""

    def view(value: int, seed: int) -> np.ndarray:
        recorder = Recorder()

        async def main(suite: Suite) -> None:
            x = await input_of(suite, Z64(np.full(SIZE, value)), owner=1)
            await chain(suite, x, x)

        play(3, main, record=recorder, seed=seed)
        return seen([m for m in recorder.messages if m.tag not in ("keys", "seed")], 0)

    one, other = view(0, 1), view(987654321, 2)
    assert len(one) == len(other)
    table = np.stack([np.bincount(one, minlength=256), np.bincount(other, minlength=256)])
    assert stats.chi2_contingency(table).pvalue > 1e-5


def test_the_dealers_corrections_are_uniform() -> None:
    """They go to one party, which holds its own parts of everything: they must be masked by the others'
    seeds.
    """
    v = Z64(np.zeros(SIZE, np.int64))
    for operation in ("multiply", "matmul", "truncate"):
        messages = record(Additive, 2, parts_of(Additive, 2, v, v), OPERATIONS[operation], seed=9)
        words = seen([m for m in messages if m.sender == 2])
        assert pvalue(words) > 1e-5


def test_a_fresh_share_of_an_input_is_uniform_at_every_party() -> None:
    async def main(suite: Suite) -> Share:
        return await input_of(suite, Z64(np.arange(SIZE)), owner=1)

    for part in play(3, main, seed=10):
        assert pvalue(part.parts[0].data.view(np.uint8)) > 1e-5


def test_inputs_and_random_values_send_nothing() -> None:
    recorder = Recorder()

    async def main(suite: Suite) -> None:
        await input_of(suite, Z64([1, 2, 3]))
        await suite.random(Spec(Z64, (5,)))

    play(3, main, record=recorder)
    assert {m.tag for m in recorder.messages} == {"keys", "seed"}


@pytest.mark.parametrize("kind", SUITES.values())
@pytest.mark.parametrize("to", [(1,), (0, 2)])
def test_reveal_to_some_parties_sends_to_these_only(kind: type[Suite], to: tuple[int, ...]) -> None:
    recorder = Recorder()

    async def main(suite: Suite) -> Any:
        return await suite.reveal(await input_of(suite, Z64([1, 2, 3])), to=to)

    results = play(usual(kind.name), main, kind=kind, record=recorder)
    assert {m.receiver for m in recorder.messages if m.tag == "reveal"} == {*to}
    assert [len(r) for r in results] == [int(p in to) for p in range(len(results))]


def test_message_sizes_do_not_depend_on_values() -> None:
    def shape_of_run(value: int) -> list[Any]:
        v = Z64(np.full(SIZE, value))
        return [
            (m.step, m.sender, m.receiver, m.tag, [a.spec for a in m.arrays])
            for m in record(Additive, 3, parts_of(Additive, 3, v, v), chain)
        ]

    assert shape_of_run(0) == shape_of_run(2**40)


# -- nothing is printed -------------------------------------------------------------------------------


SENTINEL = 734593821


def spoken(session: Any) -> list[str]:
    """What everything that holds the secret says of itself."""
    x = session.secret(np.full(3, SENTINEL))
    session.sync(y := x * x)
    things: list[Any] = [
        x,
        y,
        session,
        session.parties[0],
        session.suites[0],
        session.suites[0].seat,
        session.suites[0].prep,
        session.suites[0].seat.own,
        x.tasks[0],
        session.id,
        x.tasks[0].result(),
        x.tasks[0].result().parts[0],
        session.threat,
        stream(1, "x"),
        session.parties[0].meter.as_dict(),
        session.kind_of(3),
    ]
    return [
        said
        for thing in things
        for said in (repr(thing), str(thing), f"{thing}", repr([thing]), repr({"k": thing}))
    ]


def test_no_repr_or_str_holds_a_secret_or_a_share() -> None:
    session = mpc.local(2, insecure_seed=1)
    x = session.secret(np.full(3, SENTINEL))
    shares = {str(int(w)) for t in x.tasks for w in t.result().parts[0].data}
    for said in spoken(session):
        assert str(SENTINEL) not in said and not any(s in said for s in shares) and "array(" not in said


ERRORS: dict[str, Callable[[Any], Any]] = {
    "range": lambda s: s.secret(float(SENTINEL) * 1e12),
    "int range": lambda s: mpc.local(2, ring=32).secret(SENTINEL * 100),
    "nan": lambda s: s.secret([SENTINEL, float("nan")]),
    "text": lambda s: s.secret(str(SENTINEL)),
    "object": lambda s: s.secret([SENTINEL * 10**20]),
    "ragged": lambda s: s.secret([[SENTINEL], [1, 2]]),
    "shape": lambda s: s.secret([SENTINEL], shape=(2,)),
    "mix": lambda s: s.secret([SENTINEL] * 2) + s.secret([SENTINEL] * 3),
    "matmul": lambda s: s.secret([SENTINEL] * 2) @ s.secret([SENTINEL] * 3),
    "bool": lambda s: bool(s.secret(SENTINEL)),
    "float": lambda s: float(s.secret(SENTINEL)),
    "array": lambda s: np.asarray(s.secret(SENTINEL)),
    "index": lambda s: s.secret([SENTINEL])[s.secret(SENTINEL)],
    "unknown": lambda s: np.unique(s.secret([SENTINEL])),
    "owner": lambda s: s.secret(SENTINEL, owner=7),
    "other session": lambda s: s.reveal(mpc.local(2).secret(SENTINEL)),
    "structured": lambda s: s.secret(np.array([(SENTINEL,)], [("a", "i8")])),
    "out of bounds": lambda s: s.secret([SENTINEL])[5],
    "public range": lambda s: s.secret([1.0]) * (SENTINEL * 1e12),
}


@pytest.mark.parametrize("name", ERRORS)
def test_no_error_holds_a_value(name: str) -> None:
    """Nor do the errors it came from, or their notes."""
    with pytest.raises((MpcError, TypeError, ValueError, IndexError, NotImplementedError)) as caught:
        ERRORS[name](mpc.local(2))
    error: BaseException | None = caught.value
    said = "".join(traceback.format_exception_only(type(error), error))
    while error is not None:
        said += f"{error!r}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert str(SENTINEL) not in said


# -- keys ---------------------------------------------------------------------------------------------


def test_keys_are_shared_by_whom_they_should_be_and_nobody_else() -> None:
    """Each pair draws the same from its stream, all from the common one; everything else differs."""

    async def main(suite: Suite) -> Any:
        def first(s: Any) -> bytes:
            return bytes(s.draw(Spec(Z64, (4,))).data.tobytes())

        seat = suite.seat
        return {p: first(s) for p, s in seat.pair.items()}, first(seat.common), first(seat.own)

    seats = play(4, main)
    pairs = {(i, j): seats[i][0][j] for i in range(4) for j in range(4) if i != j}
    assert all(pairs[i, j] == pairs[j, i] for i, j in pairs)
    assert len({common for _, common, _ in seats}) == 1
    assert len({*pairs.values(), seats[0][1], *(own for _, _, own in seats)}) == 6 + 1 + 4


@pytest.mark.parametrize(("bits", "value"), [(64, 0), (64, 2**61 - 1), (128, 2**125 - 1)])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("suite", "parties"), [g for g in GRID if g[1] <= 3])
def test_all_that_arrives_is_uniform_and_nothing_arrives_twice(
    suite: str, parties: int, operation: str, bits: int, value: int
) -> None:
    """For every suite and operation, at every party, whatever the inputs are; the same in every run."""
    x = RINGS[bits]([value] * (SIZE // 4))
    messages = record(
        SUITES[suite], parties, parts_of(SUITES[suite], parties, x, x), OPERATIONS[operation], seed=11
    )
    for party in range(parties):
        everything = long_words([m for m in messages if m.receiver == party])
        if len(everything) < 1000:
            continue
        assert len(np.unique(everything)) == len(everything)
        assert pvalue(everything.view(np.uint8)) > 1e-5


# -- transfers as the source of randomness ------------------------------------------------------------
#
# What parties do on a network unless they name a dealer.

OBLIVIOUS = {
    name: (OPERATIONS | MORE)[name]
    for name in (
        "multiply",
        "multiply and truncate",
        "truncate",
        "less than zero",
        "equal to zero",
        "quotient",
        "shuffle",
    )
}
#: What two parties and three send in them.
SENT = {
    2: {"multiply", "product of terms", "shuffle", "open"},
    3: {"multiply", "truncate 16", "truncate 8", "masked", "masked bits", "shuffle", "open"},
}
TRANSFERS = ("base transfers", "seed trees", "transfers")  # tested by themselves, in test_ot
FEW = 256


def opened(operation: Operation) -> Operation:
    """With an opening of what comes out, which party 0 sees as well."""

    async def both(suite: Suite, x: Share, y: Share) -> Any:
        return await suite.open(await operation(suite, x, y))

    return both


def in_turn(operation: Callable[[Operation], Operation] = lambda f: f) -> Operation:
    """One after the other, in a session that sets transfers up once."""

    async def all_of_them(suite: Suite, x: Share, y: Share) -> None:
        for f in OBLIVIOUS.values():
            await operation(f)(suite, x, y)

    return all_of_them


def bits_of_words(message: Message) -> np.ndarray:
    """±1 by word and place, for all arrays of a message."""
    data = np.concatenate([a.data.reshape(-1).view(np.uint8) for a in message.arrays])
    return np.unpackbits(data[: data.size // 8 * 8].reshape(-1, 8), axis=1).astype(np.float32) * 2 - 1


def correlated(messages: list[Message]) -> float:
    """The largest correlation, in standard deviations, of any bit of one message with any of another, word by
    word.
    """
    bits = [b for b in map(bits_of_words, messages) if len(b) >= 64]
    most = 0.0
    for i, a in enumerate(bits):
        for b in bits[i + 1 :]:
            n = min(len(a), len(b))
            most = max(most, float(np.abs(a[:n].T @ b[:n]).max()) / n**0.5)
    return most


def honest_messages(
    parties: int, operation: Operation, value: int, bits: int = 64
) -> tuple[list[Message], list[Message]]:
    """All that the last party sends to party 0 beside the transfers themselves; and what is opened for
    products, as if it were messages.  Seeded.
    """
    x = RINGS[bits]([value] * FEW)
    messages = [
        m
        for m in record(
            Additive, parties, parts_of(Additive, parties, x, x), operation, seed=12, oblivious=True
        )
        if m.tag not in TRANSFERS
    ]
    products = zip(
        *(
            [m for m in messages if m.tag == "multiply" and (m.sender, m.receiver) == (p, int(p == 0))]
            for p in range(parties)
        ),
        strict=True,
    )
    sums = [
        Message(
            0, 0, 0, "", tuple(reduce(add, column) for column in zip(*[m.arrays for m in each], strict=True))
        )
        for each in products
    ]
    return [m for m in messages if (m.sender, m.receiver) == (parties - 1, 0)], sums


@pytest.mark.parametrize(
    ("bits", "parties", "value"),
    [(64, 2, 0), (64, 3, 2**61 - 1), (128, 2, 2**125 - 1)],
)
def test_with_transfers_all_that_arrives_is_uniform_and_uncorrelated(
    bits: int, parties: int, value: int
) -> None:
    """Whatever the inputs are, from a party that is the only honest one: of one operation, and of all."""
    messages, sums = honest_messages(parties, in_turn(opened), value, bits)
    assert {m.tag for m in messages} >= SENT[parties] and messages[-1].tag == "open"
    for tag in {m.tag for m in messages}:
        data = seen([m for m in messages if m.tag == tag])
        if tag == "products":  # the last word of each is half full
            words = data.view(np.uint64)
            data = words[words >> np.uint64(32) > 0].view(np.uint8)
        assert data.size < 1024 or pvalue(data) > 1e-5, tag
    masked = [m for m in messages if m.tag != "products"]
    assert correlated(masked) < 7
    assert not sums or (pvalue(seen(sums)) > 1e-5 and correlated(sums) < 7)
    words = long_words(masked)
    assert len(np.unique(words)) == len(words)


@pytest.mark.parametrize("parties", [2, 3])
def test_freshness_with_transfers(parties: int) -> None:
    assert stale(Additive, parties, in_turn(), oblivious=True) == []


def test_with_transfers_what_is_wrong_is_caught() -> None:
    """A mask that is used twice, as a correlation; an operand without one, as bytes that stay the same."""
    _, twice = honest_messages(2, opened(lambda suite, x, y: reused(suite, x, x + x)), 5 << 16)
    assert correlated(twice) > 10
    _, bare = honest_messages(2, opened(lambda suite, x, y: unmasked(suite, MULTIPLY, x, y)), 5 << 16)
    assert pvalue(seen(bare)) < 1e-9
    assert stale(Additive, 2, lambda suite, x, y: unmasked(suite, MULTIPLY, x, y), oblivious=True) != []
