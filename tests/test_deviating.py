"""Whatever a corrupt party sends, or does not: nothing wrong is accepted, and nothing is told too early.

Of long operations a sample is tried; ``MPC_DEVIATIONS=100000`` tries more of them, and of short ones all.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from itertools import combinations, permutations
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from conftest import coalitions, failure, input_of, play, replay, stream
from deviating import (
    HOLDS,
    TO_ONE,
    Arrays,
    Deviation,
    Operation,
    Sent,
    Table,
    Trial,
    alike,
    anything,
    believing,
    deviations,
    encoded,
    other_parts,
    rewritten,
    sampled,
    seat_of,
    top_bit,
    withheld,
    withheld_and_altered,
)
from test_cli import ROOT, Processes, ended, write
from test_cli import deployment as configured

from mpc import local
from mpc.bits import planes, planes_spec
from mpc.errors import CheatError, DesyncError, MpcError
from mpc.party import Party
from mpc.ring import BITS, Z32, Z64, Ring, RingArray, Spec
from mpc.rounds import Scheduler, exchange, gather, pipeline
from mpc.seat import _commitment
from mpc.tags import TAG, Direction
from mpc.transport.memory import mesh
from mpc.transport.wrappers import Recorded
from protocols.bilinear import MATMUL, MULTIPLY
from protocols.conformance.bending import Wire, right
from protocols.conformance.lockstep import Lockstep
from protocols.ops.bitwise import number_of
from protocols.ops.comparison import is_zero, negative, negative_part
from protocols.ops.division import divided
from protocols.ops.exponential import two_to
from protocols.ops.moving import placed
from protocols.ops.sorting import arranged
from protocols.suite import Share, Suite, lift
from protocols.suites import SUITES
from protocols.suites.additive import Additive
from protocols.suites.fantastic_four import FantasticFour, Joint
from protocols.suites.replicated import Replicated


def sizes(kind: type[Suite]) -> list[int]:
    """The numbers of parties to test a suite with: the two smallest."""
    least, most = kind.parties
    return [n for n in (least, least + 1) if n <= (most or n)]


#: The suites that hold against malicious parties, and among how many.
MALICIOUS = [
    (kind, n) for kind in SUITES.values() if kind.threat.adversary == "malicious" for n in sizes(kind)
]
#: How many messages all runs of one operation against one set of corrupt parties may take together, about.
EFFORT = int(os.environ.get("MPC_DEVIATIONS", "450"))

suites = pytest.mark.parametrize(
    ("kind", "size"), MALICIOUS, ids=[f"{kind.name}-{n}" for kind, n in MALICIOUS]
)


# -- operations ---------------------------------------------------------------------------------------

Protocol = Callable[[Suite, Share, Share], Awaitable[Share]]


def one(protocol: Protocol) -> Any:
    """Of which one share comes."""

    async def made(suite: Suite, x: Share, y: Share) -> list[Share]:
        return [await protocol(suite, x, y)]

    return made


def inputs(owner: int, ring: Ring) -> Operation:
    """One party's input."""
    values = ring([7, -2, 0])
    return Operation(
        f"input of party {owner}",
        one(lambda suite, x, y: input_of(suite, values, owner)),
        *operands(ring),
        owners={0: frozenset({owner})},
    )


def truths(owner: int, ring: Ring) -> Operation:
    """One party's truth values: nothing else, whatever it sends."""
    values, spec = ring([1, 0, 1]), Spec(ring, (3,))

    async def made(suite: Suite, _: Share, __: Share) -> list[Share]:
        return [await suite.input_truth(owner, values if suite.seat.rank == owner else None, spec)]

    def follows(made: Arrays) -> bool:
        return {*made[0].data} <= {0, 1}

    owners = {0: frozenset({owner})}
    return Operation(f"truths of party {owner}", made, *operands(ring), owners=owners, follows=follows)


def two_inputs(ring: Ring) -> Operation:
    """Those of two parties, and what is computed from them."""

    async def made(suite: Suite, _: Share, __: Share) -> list[Share]:
        x, y = await input_of(suite, ring([7, -2]), 0), await input_of(suite, ring([5, 11]), 1)
        return [x, y, x + y, await suite.bilinear(MULTIPLY, x, y)]

    def follows(made: Arrays) -> bool:
        x, y, both, product = made
        return alike((x + y, x * y), (both, product))

    first, second = frozenset({0}), frozenset({1})
    owners = {0: first, 1: second, 2: first | second, 3: first | second}
    return Operation("inputs of two", made, *operands(ring), owners=owners, follows=follows)


def opening(name: str, ring: Ring, **how: Any) -> Operation:
    """A value that goes to all parties, or to some."""

    async def made(suite: Suite, x: Share, y: Share) -> Arrays:
        return await suite.reveal(x, x + y, **how)

    return Operation(name, made, *operands(ring))


def operands(ring: Ring) -> tuple[RingArray, RingArray]:
    """Small numbers of either sign, of which two are equal."""
    return ring([3, -5, 700, 12]), ring([2, 9, -4, 12])


async def opened(suite: Suite, x: Share, y: Share) -> Arrays:
    return await suite.open(x, y)


async def layers(suite: Suite, x: Share, y: Share) -> Share:
    """A product, and its square."""
    z = await suite.bilinear(MULTIPLY, x, y)
    return await suite.bilinear(MULTIPLY, z, z)


async def terms(suite: Suite, x: Share, y: Share) -> list[Share]:
    """Terms of a number, and the products of the first with the others."""
    first, *rest = await suite.summands(x, lambda term: term + term.ring(1), x.spec)
    if len(rest) == 1:
        return [first, *rest, await suite.product_of_terms(first, rest[0])]
    return [first, *rest]


async def bit(suite: Suite, x: Share) -> Share:
    """The lowest bit of each number, in one plane."""
    first, *rest = await suite.summands(x, planes, planes_spec(x.spec))
    for term in rest:
        first = first + term
    return first[0]


async def ringed(suite: Suite, x: Share, y: Share) -> Share:
    return await suite.to_ring(await bit(suite, x), x.ring, x.size)


async def chosen(suite: Suite, x: Share, y: Share) -> Share:
    return await suite.chosen(await bit(suite, x), y)


async def summed(suite: Suite, x: Share, y: Share) -> Share:
    first, *_ = await suite.summands(x, planes, planes_spec(x.spec))
    return await number_of(suite, first, x.ring, x.shape)


async def sorted_(suite: Suite, x: Share, y: Share) -> Share:
    """By value and position."""
    places = suite.constant(x.ring(np.arange(x.size)))
    both = cast(Share, lift(lambda a, b: np.stack([a, b])[:, :, None], x, places))
    return await arranged(suite, both, 2)


async def moved(suite: Suite, x: Share, y: Share) -> Share:
    """To places that are secret."""
    order = suite.constant(x.ring([2, 0, 3, 1]))
    return await placed(suite, order.reshape((4, 1)), x.reshape((1, 4, 1)))


def matrix(x: Share) -> Share:
    return x.reshape((2, 2))


PROTOCOLS: dict[str, Any] = {
    "open": opened,
    "multiply": one(lambda suite, x, y: suite.bilinear(MULTIPLY, x, y)),
    "multiply, broadcast": one(lambda suite, x, y: suite.bilinear(MULTIPLY, x.reshape((4, 1)), y[:3])),
    "matmul": one(lambda suite, x, y: suite.bilinear(MATMUL, matrix(x), matrix(y))),
    "multiply in fixed point": one(lambda suite, x, y: suite.bilinear(MULTIPLY, x, y, 8)),
    "matmul in fixed point": one(lambda suite, x, y: suite.bilinear(MATMUL, matrix(x), matrix(y), 8)),
    "two layers of products": one(layers),
    "truncate": one(lambda suite, x, y: suite.truncate(x, 4)),
    "terms": terms,
    "bits as numbers": one(ringed),
    "chosen by bits": one(chosen),
    "less than zero": one(lambda suite, x, y: negative(suite, x)),
    "part below zero": one(lambda suite, x, y: negative_part(suite, x)),
    "equal to zero": one(lambda suite, x, y: is_zero(suite, x - y)),
    "random": one(lambda suite, x, y: suite.random(x.spec)),
    "random below": one(lambda suite, x, y: suite.random(x.spec, below=100)),
    "shuffle": one(lambda suite, x, y: suite.shuffle(x.reshape((1, 4, 1)))),
    "masked sum": one(summed),
    "sort": one(sorted_),
    "move": one(moved),
    "division": one(lambda suite, x, y: divided(suite, x[:2], y[:2], x.ring.fraction)),
    "power of two": one(lambda suite, x, y: two_to(suite, y[:2], x.ring.fraction, x.ring.fraction)),
}
#: Those of which another ring's messages are others.
NARROW = ("multiply", "multiply in fixed point", "truncate", "less than zero", "chosen by bits", "shuffle")


def operations(size: int) -> list[Operation]:
    made = [Operation(name, protocol, *operands(Z64)) for name, protocol in PROTOCOLS.items()]
    made += [Operation(name, PROTOCOLS[name], *operands(Z32)) for name in NARROW]
    made += [inputs(owner, Z64) for owner in range(size)] + [two_inputs(Z64), inputs(0, Z32)]
    made += [truths(owner, Z64) for owner in (0, size - 1)]
    made += [opening("reveal", Z64)] + [opening(f"reveal to {p}", Z64, to=(p,)) for p in range(size)]
    return made


CASES = [(kind, n, operation) for kind, n in MALICIOUS for operation in operations(n)]
cases = pytest.mark.parametrize(
    ("kind", "size", "operation"), CASES, ids=[f"{kind.name}-{n}-{o}" for kind, n, o in CASES]
)


def trials(kind: type[Suite], size: int, operation: Operation) -> Iterator[tuple[Trial, int]]:
    """Against each set of corrupt parties; and how many runs to make."""
    for corrupt in coalitions(kind, size):
        try:
            trial = Trial(kind, size, operation, corrupt)
        except NotImplementedError as refused:
            pytest.skip(str(refused))
        yield trial, max(3, EFFORT // len(trial.honest.sent()))


def by_name(name: str, ring: Ring = Z64) -> Operation:
    return Operation(name, PROTOCOLS[name], *operands(ring))


# -- the table itself ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Additive, Replicated, FantasticFour])
def test_at_their_own_pace_parties_compute_what_they_do_in_lockstep(kind: type[Suite]) -> None:
    size = kind.parties[0]
    operation = by_name("less than zero")
    trial = Trial(kind, size, operation)

    async def main(suite: Suite) -> Any:
        x, y = [await input_of(suite, v) for v in (operation.x, operation.y)]
        return await suite.reveal(*await operation.protocol(suite, x, y))

    right = play(size, main, kind=kind, seed=1)
    assert all(alike(trial.honest.results[rank], right[rank]) for rank in range(size))
    assert len(trial.honest.results) == size


def test_a_party_goes_on_without_those_it_needs_nothing_from() -> None:
    async def tell(to: int, what: int) -> None:
        await exchange({to: (Z64(what),)}, tag="told")
        await exchange({to: (Z64(what),)}, tag="told more")

    async def hear(*of: int) -> list[int]:
        heard = [
            await exchange(recv=dict.fromkeys(of, (Spec(Z64, ()),)), tag=tag) for tag in ("told", "told more")
        ]
        return [int(inbox[p][0].data) for inbox in heard for p in of]

    flows = [tell(2, 4), tell(3, 5), hear(0), hear(1)]
    table = Table(flows, corrupt={0}, hold=(0, 2, 0), alter=lambda m: (m.arrays[0] + Z64(10),)).run()
    assert [(m.sender, m.receiver) for m in table.early] == [(1, 3)] * 2
    assert [e.what for e in table.events if e.message.sender == 0] == [
        *("withheld", "sent", "released"),
        *("taken", "taken"),
    ]
    assert table.results == {1: None, 2: [14, 14], 3: [5, 5]} and not table.errors


def test_every_kind_of_deviation_is_tried() -> None:
    rng, kinds = np.random.default_rng(7), set()
    for operation in (by_name("shuffle"), inputs(1, Z64)):
        trial = Trial(FantasticFour, 4, operation, {1})
        made = [*deviations(trial, rng), *other_parts(trial, rng), *withheld(trial)]
        kinds |= {d.kind for d in [*made, *withheld_and_altered(trial, rng), *withheld(trial, for_good=True)]}
        assert all(d.changes or d.own or d.hold for d in made)
    assert kinds == {
        *TO_ONE,
        "an earlier one of this link",
        "what it was sent itself",
        "another, alike to all",
        "all of it something else",
        "another part",
        "withheld",
        "withheld, then something else",
        "never sent",
    }


# -- nothing wrong is accepted ------------------------------------------------------------------------


@cases
def test_nothing_wrong_is_accepted(kind: type[Suite], size: int, operation: Operation) -> None:
    """Every honest party ends with an error, or waits for one that has, or has the right result."""
    rng, tried = np.random.default_rng(7), 0
    for trial, most in trials(kind, size, operation):
        # a party that holds another part sends fitting messages all along, of values that are wrong
        chosen = [
            *sampled(deviations(trial, rng, most), most, rng),
            *sampled(other_parts(trial, rng), min(6, most // 2), rng),
        ]
        tried += len(chosen)
        for deviation in chosen:
            assert trial.against(deviation) == []
    assert tried


@cases
def test_nothing_is_revealed_while_a_message_is_withheld(
    kind: type[Suite], size: int, operation: Operation
) -> None:
    rng = np.random.default_rng(7)
    for trial, most in trials(kind, size, operation):
        chosen = [
            *sampled(withheld(trial), most // 2, rng),
            *sampled(withheld_and_altered(trial, rng), most // 4, rng),
            *sampled(withheld(trial, for_good=True), most // 8 + 1, rng),
        ]
        for deviation in chosen:
            assert trial.against(deviation) == []


# -- that the harness bites ---------------------------------------------------------------------------


def faults(trial: Trial, most: int = 60) -> Iterator[str]:
    """What is wrong with a scheme, of so many deviations of each kind."""
    rng = np.random.default_rng(7)
    chosen = [
        *sampled(deviations(trial, rng), most, rng),
        *other_parts(trial, rng),
        *sampled(withheld(trial), most, rng),
    ]
    for deviation in chosen:
        yield from trial.against(deviation)


@pytest.mark.parametrize(
    ("kind", "size", "names"),
    [
        (Replicated, 3, ("multiply", "truncate", "less than zero", "shuffle", "chosen by bits", "open")),
        (Additive, 2, ("multiply", "truncate", "less than zero", "open")),
    ],
)
def test_cheats_against_semi_honest_schemes_are_accepted(
    kind: type[Suite], size: int, names: Sequence[str]
) -> None:
    for name in names:
        trials = [Trial(kind, size, by_name(name), {corrupt}) for corrupt in range(size)]
        assert any("accepts a wrong result" in said for trial in trials for said in faults(trial)), name


class Trusting(FantasticFour):
    """No tag is compared."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        believing(self.seat)


class Hasty(FantasticFour):
    """It reveals what it has, whatever the others still wait for."""

    async def check(self) -> None:
        pass


class Late(FantasticFour):
    """Tags are compared as they come, but what was wrong is said only before something is revealed."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        verify, self._doubt = self.seat.verify, None

        def later(*given: Any) -> None:
            try:
                verify(*given)
            except CheatError as cheat:
                self._doubt = self._doubt or cheat

        self.seat.verify = later  # type: ignore[method-assign]

    async def check(self) -> None:
        await super().check()
        if self._doubt is not None:
            raise self._doubt


class Alone(FantasticFour):
    """Who sends a value vouches for it, too."""

    async def _told(self, joints: Any, rests: Any, specs: Any, tag: str) -> Any:
        rank, send = self.seat.rank, {}
        for n, rest in rests.items():
            if rank == joints[n].sender:
                send.setdefault(joints[n].receiver, []).extend(rest)
        due = {n: joint for n, joint in enumerate(joints) if joint.receiver == rank}
        expected: dict[int, list[Spec]] = {}
        for n, joint in due.items():
            expected.setdefault(joint.sender, []).extend(specs[n])
        inbox = await exchange(
            {p: (*rest, self.seat.tag(p, *rest)) for p, rest in send.items()},
            {p: (*due_from, TAG) for p, due_from in expected.items()},
            tag,
        )
        for p, (*rest, vouched) in inbox.items():
            self.seat.verify(p, vouched, *rest)
        arrived = {p: iter(arrays) for p, arrays in inbox.items()}
        return {n: [next(arrived[joint.sender]) for _ in specs[n]] for n, joint in due.items()}


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        (Trusting, "multiply", "accepts a wrong result"),
        (Trusting, "shuffle", "honest holders of part"),
        (Trusting, "open", "accepts a wrong result"),
        (Hasty, "multiply", "something is opened before all have what comes before it"),
        (Late, "two layers of products", "honest holders of part"),
        (Alone, "multiply", "accepts a wrong result"),
    ],
)
def test_a_scheme_with_a_check_left_out_is_found_out(kind: type[Suite], name: str, said: str) -> None:
    assert any(said in s for p in range(4) for s in faults(Trial(kind, 4, by_name(name), {p})))
    assert not any(s for p in range(4) for s in faults(Trial(FantasticFour, 4, by_name(name), {p}), 10))


def test_an_input_that_nobody_compares_is_found_out() -> None:
    said = [s for p in range(4) for s in faults(Trial(Trusting, 4, inputs(p, Z64), {p}))]
    assert any("accepts a wrong result" in s for s in said)
    assert any("honest holders of part" in s for s in said)


# -- how security is lost: a test for each ------------------------------------------------------------


def first_layer(kind: type[Suite], corrupt: int) -> list[str]:
    """What is wrong once a message of the first of two layers of products is another one."""
    trial = Trial(kind, 4, by_name("two layers of products"), {corrupt})
    found = []
    for m in trial.honest.sent(corrupt, tag="multiply"):
        if m.number:
            continue
        for at, x in zip(m.sites, m.arrays, strict=True):
            deviation = Deviation("another", "first layer", {at: top_bit(x, np.random.default_rng(1))})
            table = trial.run(deviation)
            if any(later.number for later in table.sent(m.receiver)):
                found.append("who was lied to goes on to the second layer")
            found += trial.wrong(table, deviation)
            if {*table.errors} != {m.receiver}:
                found.append("others are told besides who was lied to")
    return found


def test_who_was_lied_to_sends_nothing_that_depends_on_it() -> None:
    """Delayed checks: the next layer would send both versions of a part under one mask."""
    for corrupt in range(4):
        assert first_layer(FantasticFour, corrupt) == []
        assert "who was lied to goes on to the second layer" in first_layer(Late, corrupt)


def seating(
    kind: type[Suite], size: int, corrupt: int, alter: Callable[[Table, Sent], Arrays], flow: Any = None
) -> Table:
    """All agree on keys, and one party alters what it sends, having seen what the others send; or has another
    ``flow``.
    """
    table: Table

    def altered(message: Sent) -> Arrays:
        return alter(table, message)

    flows = [kind.seated(rank, size, stream(3, f"party {rank}")) for rank in range(size)]
    if flow is not None:
        flows[corrupt].close()
        flows[corrupt] = flow
    table = Table(flows, {corrupt}, alter=altered)
    return table.run()


@suites
def test_keys_are_the_same_at_all_who_have_them(kind: type[Suite], size: int) -> None:
    seats = seating(kind, size, size, lambda _, m: m.arrays).results
    for key in range(size):
        drawn = [seats[p].without[key].bytes(32) for p in range(size) if p != key]
        assert len({*drawn}) == 1 and key not in seats[key].without
    assert len({seats[p].common.bytes(32) for p in range(size)}) == 1


SEED_SPEC = Spec(Z64, (4,))


async def heedless(rank: int, size: int) -> None:
    """The rounds in which keys are agreed on, whatever arrives; there is nothing in what it sends."""
    others, many = [p for p in range(size) if p != rank], Spec(Z64, (4 * size,))
    for specs, tag in (
        ((SEED_SPEC, many), "keys"),
        ((SEED_SPEC,), "keys: echo"),
        ((SEED_SPEC,) * (size - 1), "keys: opened"),
    ):
        await exchange(
            dict.fromkeys(others, tuple(Z64.zeros(spec.shape) for spec in specs)),
            dict.fromkeys(others, specs),
            tag,
        )


@suites
@pytest.mark.parametrize("bound", [True, False])
def test_a_contribution_that_is_copied_from_another_party_is_refused(
    kind: type[Suite], size: int, bound: bool
) -> None:
    """Another's commitments and openings, sent on: what was copied would cancel, or count twice.

    A party that is ``bound`` to contributions of its own opens them, and all accept it.
    """
    own = Z64([1, 2, 3, 4])
    for corrupt in range(size):
        copied = (corrupt + 1) % size
        keys = {p: [key for key in range(size + 1) if key != p] for p in (corrupt, copied)}

        def alter(
            table: Table, m: Sent, corrupt: int = corrupt, copied: int = copied, keys: Any = keys
        ) -> Arrays:
            theirs = table.sent(copied, tag=m.tag)
            if m.tag == "keys: echo":  # they compute it from what this party has sent them
                return theirs[0].arrays
            mine: dict[int, RingArray] = {}
            if m.tag == "keys":
                seed = own.data.tobytes()
                mine = {
                    k: Z64(np.frombuffer(_commitment(corrupt, k, seed), np.uint64)) for k in keys[corrupt]
                }
                if not bound:
                    rows = np.split(theirs[0].arrays[1].data, size)
                    mine |= {k: Z64(row) for k, row in zip(keys[copied], rows, strict=True) if k in mine}
                return own, Z64(np.concatenate([mine[k].data for k in keys[corrupt]]))
            if not bound:
                for other in theirs:
                    shown = [k for k in keys[copied] if k != other.receiver]
                    mine |= dict(zip(shown, other.arrays, strict=True))
            return tuple(mine.get(k, own) for k in keys[corrupt] if k != m.receiver)

        table = seating(kind, size, corrupt, alter, heedless(corrupt, size))
        if bound:
            assert not table.errors and len(table.results) == size - 1
            continue
        assert {*table.errors} == {*range(size)} - {corrupt}
        assert all("another contribution" in str(e) for e in table.errors.values())
        assert all(isinstance(e, CheatError) for e in table.errors.values())


@suites
@pytest.mark.parametrize("tag", ["keys", "keys: echo", "keys: opened"])
def test_whoever_is_told_something_else_about_keys_stops(kind: type[Suite], size: int, tag: str) -> None:
    """Another commitment to one party is caught at the echo, by all; another opening by who is shown it."""
    rng = np.random.default_rng(3)
    for corrupt in range(size):
        for lied_to in [p for p in range(size) if p != corrupt]:

            def alter(_: Table, m: Sent, lied_to: int = lied_to) -> Arrays:
                if (m.tag, m.receiver) != (tag, lied_to):
                    return m.arrays
                return (*m.arrays[:-1], anything(m.arrays[-1], rng))

            table = seating(kind, size, corrupt, alter)
            told = {*range(size)} - {corrupt} if tag == "keys" else {lied_to}
            assert {*table.errors} == told
            assert all(isinstance(error, CheatError) for error in table.errors.values())
            if tag == "keys":
                assert not any(m.sender != corrupt for m in table.sent(tag="keys: opened"))


@suites
def test_what_is_wrong_is_revealed_to_nobody(kind: type[Suite], size: int) -> None:
    """Neither to all nor to one party: nothing is opened after a product that one party was misled about."""
    for to in (None, *((p,) for p in range(size))):

        async def made(suite: Suite, x: Share, y: Share, to: Any = to) -> Arrays:
            return await suite.reveal(await suite.bilinear(MULTIPLY, x, y), to=to)

        for corrupt in coalitions(kind, size):
            trial = Trial(kind, size, Operation(f"product to {to}", made, *operands(Z64)), corrupt)
            for m in trial.honest.sent(*corrupt, tag="multiply"):
                at, x = m.sites[-1], m.arrays[-1]
                table = trial.run(Deviation("another", m.tag, {at: top_bit(x, np.random.default_rng(1))}))
                assert table.caught and not any(s.tag == "reveal" for s in table.early)
                assert not any(table.results.values())


@suites
@pytest.mark.parametrize("ring", [Z64, Z32], ids=str)
def test_every_message_of_a_quotient(kind: type[Suite], size: int, ring: Ring) -> None:
    rng = np.random.default_rng(7)
    for corrupt in coalitions(kind, size):
        trial = Trial(kind, size, by_name("truncate", ring), corrupt)
        for deviation in deviations(trial, rng):
            assert trial.against(deviation) == []


def rows_altered(x: RingArray, twice: bool) -> RingArray:
    """Of two columns of rows, the first row once more in place of the second, or the two swapped."""
    data = x.data.copy()
    data[:, [0, 1]] = x.data[:, [0, 0] if twice else [1, 0]]
    return RingArray(x.ring, data)


@suites
def test_a_row_that_is_shuffled_twice_or_swapped_is_noticed(kind: type[Suite], size: int) -> None:
    """In each pass, to each receiver."""

    async def shuffled(suite: Suite, x: Share, y: Share) -> list[Share]:
        both = cast(Share, lift(lambda a, b: np.stack([a, b])[:, :, None], x, y))
        return [await suite.shuffle(both)]

    passes, tried = set(), set()
    for corrupt in coalitions(kind, size):
        trial = Trial(kind, size, Operation("rows", shuffled, *operands(Z64)), corrupt)
        passes |= {m.number for m in trial.honest.sent(tag="shuffle")}
        for m in trial.honest.sent(*corrupt, tag="shuffle"):
            for at, x in zip(m.sites, m.arrays, strict=True):
                for twice in (True, False) if x.shape[:2] == (2, 4) else ():
                    deviation = Deviation("rows", m.tag, {at: rows_altered(x, twice)})
                    table = trial.run(deviation)
                    assert trial.wrong(table, deviation) == [] and table.caught
                    tried.add(m.number)
    assert tried == passes


def unlikely(orders: Sequence[tuple[int, ...]]) -> float:
    """Pearson's statistic of orders of four elements: if all are equally likely, above 55 once in 5,000."""
    found = Counter(orders)
    expected = len(orders) / 24
    return sum((found[order] - expected) ** 2 / expected for order in permutations(range(4)))


@pytest.mark.parametrize("kind", [kind for kind, _ in MALICIOUS] + [Replicated])
def test_all_orders_of_a_shuffle_are_equally_likely(kind: type[Suite]) -> None:
    """Also to those who have any coalition's keys: from run to run they change into every other alike."""
    size, many = kind.parties[0], 4000

    async def main(suite: Suite) -> Any:
        rows = suite.constant(Z64(np.broadcast_to(np.arange(4)[:, None], (1, 4, many))))
        return await suite.reveal(await suite.shuffle(rows))

    def columns(result: Any) -> np.ndarray:
        return np.asarray(result[0][0].data[0], int).T

    assert unlikely([tuple(order) for order in columns(play(size, main, kind=kind, seed=2))]) < 55
    for coalition in coalitions(kind, size):
        one, other = (
            columns(replay(size, main, kind=kind, coalition=coalition, others=others)) for others in (1, 2)
        )
        changed = np.take_along_axis(np.argsort(one, 1), other, 1)
        assert unlikely([tuple(order) for order in changed]) < 55


@suites
def test_an_owner_with_two_faces_does_not_divide_the_others(kind: type[Suite], size: int) -> None:
    """All that it says, from its input to its last message, fits to one input for some and to another for the
    rest.
    """
    for owner in range(size):
        others = [p for p in range(size) if p != owner]
        divided_ = [to for n in range(1, size - 1) for to in combinations(others, n)]
        caught = []
        for to in divided_:
            held: dict[int, Any] = {}

            async def main(suite: Suite, value: int, owner: int = owner, held: Any = held) -> Any:
                x = await input_of(suite, Z64([value, 5]), owner)
                y = await input_of(suite, Z64([3, 4]), (owner + 1) % size)
                made = await suite.bilinear(MULTIPLY, x, y)
                if suite.seat.rank != owner:
                    held[suite.seat.rank] = (x.parts, made.parts)
                return await suite.reveal(x, y, made)

            def side(rank: int, value: int, main: Any = main, owner: int = owner) -> Any:
                seat = seat_of(rank, size, 5)
                return main(kind(believing(seat) if rank == owner else seat), value)

            table = Table(
                [side(rank, 1) for rank in range(size)], {owner}, second={owner: (side(owner, 2), to)}
            ).run()
            assert all(isinstance(error, MpcError) for error in table.errors.values())
            caught.append(table.caught)
            results = [*table.results.values()]
            assert all(alike(result, results[0]) for result in results)
            for x, y, product in results:
                assert list(y.data) == [3, 4] and alike((x * y,), (product,))
            if kind.name in HOLDS:
                agree(held, HOLDS[kind.name])
        assert any(caught)


def agree(held: dict[int, Any], holds: Callable[[int], Sequence[int]]) -> None:
    """All who hold a part have the same."""
    seen: dict[tuple[int, int], bytes] = {}
    for rank, values in held.items():
        for i, parts in enumerate(values):
            for which, part in zip(holds(rank), parts, strict=True):
                assert seen.setdefault((i, which), encoded(part)) == encoded(part)


EXTREMES = [[0, 0, 0, 0], [1, 1, 1, 1], [-1, 0, 1 << 62, -(1 << 63)], [3, -5, 700, 12], [1 << 63] * 4]


@suites
@pytest.mark.parametrize(
    "name", ["multiply", "truncate", "less than zero", "equal to zero", "part below zero"]
)
def test_whether_a_cheat_fails_does_not_depend_on_secrets(kind: type[Suite], size: int, name: str) -> None:
    """The same bit of the same message: the same parties stop, with the same words, whatever is shared."""
    rng = np.random.default_rng(11)
    for corrupt in coalitions(kind, size):
        alike_to = [
            Trial(kind, size, Operation(name, PROTOCOLS[name], Z64(v), Z64(v[::-1])), corrupt)
            for v in EXTREMES
        ]
        sites = [
            at
            for m in alike_to[0].honest.sent(*corrupt)
            for at in m.sites
            if m.tag not in ("barrier", "reveal")
        ]
        for i in rng.choice(len(sites), min(3, len(sites)), replace=False):
            became = set()
            for trial in alike_to:
                (x,) = [
                    x
                    for m in trial.honest.sent(*corrupt)
                    for at, x in zip(m.sites, m.arrays, strict=True)
                    if at == sites[i]
                ]
                table = trial.run(Deviation("a bit", name, {sites[i]: top_bit(x, np.random.default_rng(1))}))
                assert table.caught
                became.add(tuple(sorted((p, type(e), str(e)) for p, e in table.errors.items())))
            assert len(became) == 1


@suites
def test_bits_beyond_the_last_number_change_nothing(kind: type[Suite], size: int) -> None:
    """Of the last word of a plane, those that stand for no number."""

    def beyond(rows: np.ndarray) -> None:
        rows[:, 1:] ^= 0xFF

    rng, tried = np.random.default_rng(5), 0
    for corrupt in coalitions(kind, size):
        trial = Trial(kind, size, by_name("less than zero"), corrupt)
        changed = [
            Deviation("bits beyond the last", m.tag, {at: rewritten(x, beyond)})
            for m in trial.honest.sent(*corrupt)
            for at, x in zip(m.sites, m.arrays, strict=True)
            if x.ring == BITS
        ]
        for deviation in sampled(changed, 12, rng):
            tried += 1
            assert trial.against(deviation) == []
    assert tried


@suites
def test_frames_that_are_cut_or_drawn_out_are_refused(kind: type[Suite], size: int) -> None:
    wire = Wire(kind, size, Z64)
    frames = wire.frames()
    for how in (lambda frame: frame[:-8], lambda frame: frame[:-1], lambda frame: frame + bytes(8)):
        for sender, number, payload in frames[::3]:

            def alter(who: int, n: int, frame: bytes, how: Any = how, at: Any = (sender, number)) -> bytes:
                return how(frame) if (who, n) == at else frame

            try:
                assert right(wire._run(alter), sender) or not payload
            except MpcError:
                continue


@suites
@pytest.mark.parametrize("other", [Spec(Z64, (2,)), Spec(Z64, (1, 3)), Spec(Z32, (6,))], ids=str)
def test_arrays_of_other_specs_are_refused(kind: type[Suite], size: int, other: Spec) -> None:
    """Also those of as many bytes."""
    for corrupt in range(size):
        for owner in range(size):
            table = Lockstep(kind, size, lambda end: end)

            async def main(suite: Suite, corrupt: int = corrupt, owner: int = owner) -> Any:
                spec = other if suite.seat.rank == corrupt else Spec(Z64, (3,))
                x = await input_of(suite, spec.ring.zeros(spec.shape), owner)
                return await suite.reveal(await suite.bilinear(MULTIPLY, x, x))

            with pytest.raises(MpcError):
                table.run([main(suite) for suite in table.suites], "program")


@suites
def test_shapes_told_differently_are_noticed_before_anything_is_revealed(
    kind: type[Suite], size: int
) -> None:
    """An owner announces a longer array to one party than to the others."""
    became: dict[int, Exception] = {}

    def main(party: Any) -> None:
        if party.id == 0:
            words = {p: Z64([0, 1, 3 if p == 1 else 2, *[0] * 15]) for p in range(size)}

            async def announced(suite: Suite) -> dict[int, RingArray]:
                await exchange({p: (words[p],) for p in suite.seat.others}, {}, "shape")
                return {0: words[2]}

            party._announce = lambda own: party._heard(
                party._finish(party._start("shapes", announced, ()))[0]
            )

        def computed() -> None:
            x = party.secret([1, 2] if party.id == 0 else None, owner=0)
            y = party.secret([4], owner=1, shape=(1,), kind=x.kind)
            (x * y).reveal()

        became[party.id] = failure(computed)
        raise became[party.id]

    with pytest.raises(MpcError):
        local(size, suite=kind.name).run(main)
    assert {*became} == {*range(size)}
    assert all(isinstance(error, MpcError) for error in became.values())
    assert any(isinstance(error, DesyncError) for error in became.values())


# -- what is withheld ---------------------------------------------------------------------------------


@suites
def test_an_owner_that_withholds_its_input_sees_no_sum(kind: type[Suite], size: int) -> None:
    """It could choose its input once it knows what comes of it."""

    async def summed(suite: Suite, _: Share, __: Share) -> list[Share]:
        x, y = await input_of(suite, Z64([7]), 0), await input_of(suite, Z64([5]), 1)
        return [x + y]

    both = {0: frozenset({0, 1})}
    trial = Trial(kind, size, Operation("sum", summed, *operands(Z64), owners=both), {0})
    for m in trial.honest.sent(0):
        if m.tag.startswith("input"):
            table = trial.run(Deviation("withheld", m.tag, hold=(0, m.receiver, m.number)))
            assert not any(s.tag == "reveal" for s in table.early)
            assert all(int(result[0].data[0]) == 12 for result in table.results.values())
            assert len(table.results) == size - 1


@suites
def test_no_contribution_to_a_key_is_opened_while_a_commitment_is_withheld(
    kind: type[Suite], size: int
) -> None:
    for corrupt in range(size):
        for kept_from in [p for p in range(size) if p != corrupt]:
            flows = [kind.seated(rank, size, stream(3, f"party {rank}")) for rank in range(size)]
            table = Table(flows, {corrupt}, hold=(corrupt, kept_from, 0)).run()
            assert {m.tag for m in table.early} == {"keys", "keys: echo"}
            assert len(table.results) == size - 1


@pytest.mark.parametrize("name", ["sort", "move"])
@suites
def test_no_order_is_opened_while_a_message_is_withheld(kind: type[Suite], size: int, name: str) -> None:
    """Comparisons of shuffled elements, and their former places, are not masked."""
    for corrupt in coalitions(kind, size):
        trial = Trial(kind, size, by_name(name), corrupt)
        bound = trial.bound(min(m.number for m in trial.honest.sent(tag="order")))
        # of the last rounds: nobody is further ahead
        late = [d for d in withheld(trial) if d.hold and bound - 3 < d.hold[2] < bound]
        for deviation in late:
            assert not any(m.tag == "order" for m in trial.run(deviation).early)
        assert late


@suites
def test_big_arrays_are_revealed_behind_a_barrier_too(
    kind: type[Suite], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In pieces, several of which are under way at a time."""
    monkeypatch.setattr("protocols.suite.CHUNK", 64)
    many = np.arange(300)
    big = Operation("big", PROTOCOLS["multiply"], Z64(many), Z64(many + 1))
    rng = np.random.default_rng(7)
    for trial, _ in trials(kind, size, big):
        assert len({m.number for m in trial.honest.sent(tag="multiply")}) > 4
        chosen = [*sampled(withheld(trial), 8, rng), *sampled(deviations(trial, rng), 8, rng)]
        for deviation in chosen:
            assert trial.against(deviation) == []


def test_a_party_posts_no_barrier_while_anything_is_under_way() -> None:
    ends = mesh(2, timeout=0)
    first = Recorded(ends[0])
    party, other = Party(first), Party(ends[1])

    async def told(peer: int, tag: str, barrier: bool = False) -> None:
        await exchange({peer: (Z64(1),)}, {peer: (Spec(Z64, ()),)}, tag, barrier)

    def begin(p: Party, tag: str, barrier: bool = False) -> Any:
        return p.start(told(1 - p.rank, tag, barrier), tag)

    begin(party, "one")
    party.post()
    last = begin(party, "two", True)
    party.post()
    assert len(first.sent) == 1
    begin(other, "one")
    other.post()
    party.deliver()
    party.post()
    assert len(first.sent) == 2 and not last.done


def test_nor_one_that_a_piece_of_a_big_operation_begins_with() -> None:
    first = Recorded(mesh(2, timeout=0)[0])
    party = Party(first)

    async def piece(barrier: bool) -> None:
        await exchange({1: (Z64(1),)}, {1: (Spec(Z64, ()),)}, "piece", barrier)

    async def main() -> None:
        await pipeline((piece(bool(i)) for i in range(2)), 2)

    party.start(main())
    party.post()
    assert len(first.sent) == 1


# -- after a cheat ------------------------------------------------------------------------------------


async def cheated(peer: int) -> None:
    await exchange({peer: (Z64(1),)}, {peer: (Spec(Z64, ()),)}, "check")
    raise CheatError("a tag does not fit")


async def swapping(peer: int, done: list[str]) -> None:
    for i in range(3):
        await exchange({peer: (Z64(1),)}, {peer: (Spec(Z64, ()),)}, "swap")
        done.append(f"swap {i}")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_nothing_goes_on_after_a_cheat(order: tuple[int, int]) -> None:
    """Not even who would catch the error, or comes earlier in the program."""
    done: list[str] = []

    async def heedless() -> None:
        try:
            both = cheated(1), swapping(1, done)
            await gather(*[both[i] for i in order])
        except MpcError:
            done.append("caught")
        await swapping(1, done)

    scheduler = Scheduler()
    task = scheduler.spawn(heedless())
    alone = scheduler.spawn(swapping(1, done))
    batch = scheduler.collect()
    assert batch is not None and len(batch.tasks) == 3
    with pytest.raises(CheatError, match="a tag does not fit"):
        scheduler.deliver(batch, [{1: (Z64(1),)}] * 3)
    before = list(done)
    assert not (task.done or alone.done) and before == ["swap 0"] * (order == (1, 0))
    flow = swapping(1, done)
    for again in (scheduler.collect, lambda: scheduler.spawn(flow)):
        with pytest.raises(CheatError, match="a tag does not fit"):
            again()
    assert done == before and flow.cr_frame is None  # closed, not left to be collected


def test_a_cheat_in_one_piece_ends_the_others() -> None:
    """Of a big operation, whose pieces are under way together."""
    scheduler, done = Scheduler(), list[str]()

    async def main() -> None:
        await pipeline((cheated(1) if i == 0 else swapping(1, done) for i in range(3)), 3)

    scheduler.spawn(main())
    first = scheduler.collect()
    second = scheduler.collect()
    assert first is not None and second is not None
    with pytest.raises(CheatError):
        scheduler.deliver(first, [{1: (Z64(1),)}])
    with pytest.raises(CheatError):
        scheduler.collect()
    assert not done


@suites
def test_of_two_reveals_of_which_one_fails_none_goes_on(kind: type[Suite], size: int) -> None:
    """Who finds one of them wrong sends nothing any more, for the other neither."""

    async def made(suite: Suite, x: Share, y: Share) -> Arrays:
        (a,), (b,) = await gather(suite.reveal(x), suite.reveal(y))
        product = await suite.bilinear(MULTIPLY, x, y)
        return (a, b, *await suite.reveal(product))

    for corrupt in coalitions(kind, size):
        trial = Trial(kind, size, Operation("two reveals", made, *operands(Z64)), corrupt)
        opened = [m for m in trial.honest.sent(*corrupt, tag="reveal") if m.arrays[0].spec != TAG]
        number = min(m.number for m in opened)
        for m in opened:
            if m.number > number:
                continue
            deviation = Deviation(
                "another", m.tag, {m.sites[0]: top_bit(m.arrays[0], np.random.default_rng(1))}
            )
            table = trial.run(deviation)
            assert trial.wrong(table, deviation) == []
            assert isinstance(table.errors[m.receiver], CheatError)
            assert max(s.number for s in table.sent(m.receiver)) == number


def test_a_session_ends_with_a_cheat(monkeypatch: pytest.MonkeyPatch) -> None:
    session = local(4, suite="fantastic-four")
    x = session.secret([1, 2, 3])
    deviates(monkeypatch, 1)
    doomed, unrelated = x * x, x + 1
    assert isinstance(failure(doomed.reveal), CheatError)
    monkeypatch.undo()
    sent = session.sent
    for again in (doomed.reveal, unrelated.reveal, lambda: session.secret([1])):
        assert "ended with an error" in str(failure(again))
    assert session.sent == sent


def deviates(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    """One party tells its receivers something else."""
    told = FantasticFour._told

    async def lied(self: FantasticFour, joints: Sequence[Joint], rests: Any, specs: Any, tag: str) -> Any:
        if self.seat.rank == rank:
            rests = {n: [x + x.ring(1) for x in rest] for n, rest in rests.items()}
        return await told(self, joints, rests, specs, tag)

    monkeypatch.setattr(FantasticFour, "_told", lied)


# -- tags ---------------------------------------------------------------------------------------------

SEED = bytes(range(32))


def refused(end: Direction, tag: RingArray, *arrays: RingArray) -> bool:
    return isinstance(failure(lambda: end.verify(tag, *arrays)), CheatError)


def test_a_tag_is_of_these_arrays_in_this_order() -> None:
    x, y = Z64([1, 2, 3]), Z32([4, 5])
    for arrays in ((x,), (x, y), (), (BITS([7]), x, y)):
        one, other = (Direction(SEED, "0 to 1") for _ in range(2))
        tag = one.tag(*arrays)
        assert tag.spec == TAG
        other.verify(tag, *arrays)
    assert refused(Direction(SEED, "0 to 1"), Direction(SEED, "0 to 1").tag(x, y), y, x)
    assert refused(Direction(SEED, "0 to 1"), Direction(SEED, "0 to 1").tag(x), x, x)


def test_any_bit_of_an_array_or_of_its_tag_matters() -> None:
    x = Z64([1, 1 << 63, 3])
    tag = Direction(SEED, "0 to 1").tag(x)

    def flipped(array: RingArray, bit: int) -> RingArray:
        def change(rows: np.ndarray) -> None:
            rows.reshape(-1)[bit // 8] ^= 1 << bit % 8

        return rewritten(array, change)

    for bit in range(192):
        assert refused(Direction(SEED, "0 to 1"), tag, flipped(x, bit))
    for bit in range(128):
        assert refused(Direction(SEED, "0 to 1"), flipped(tag, bit), x)


def test_another_key_direction_or_number_makes_another_tag() -> None:
    x = Z64([1, 2])
    one = Direction(SEED, "0 to 1")
    tags = [one.tag(x) for _ in range(3)]
    tags += [Direction(SEED, "1 to 0").tag(x), Direction(bytes(32), "0 to 1").tag(x)]
    assert len({encoded(tag) for tag in tags}) == 5
    assert refused(Direction(SEED, "0 to 1"), tags[3], x) and refused(Direction(SEED, "0 to 1"), tags[4], x)
    ahead = Direction(SEED, "0 to 1")
    assert refused(ahead, tags[1], x)  # the first is due


def test_a_tag_is_right_once() -> None:
    x = Z64([1, 2])
    one, other = (Direction(SEED, "0 to 1") for _ in range(2))
    first, second = one.tag(x), one.tag(x)
    other.verify(first, x)
    assert refused(other, first, x)
    third = one.tag(x)
    other.verify(third, x)  # what was refused has taken the second's place
    assert refused(other, second, x)


async def kept_seat(suite: Suite) -> Any:
    return suite.seat


@suites
def test_what_one_end_tags_the_other_verifies_and_never_itself(kind: type[Suite], size: int) -> None:
    seats, x = play(size, kept_seat, kind=kind, seed=3), Z64([1, 2])
    for p, q in permutations(range(size), 2):
        tag = seats[p].tag(q, x)
        seats[q].verify(p, tag, x)
        assert isinstance(failure(partial(seats[p].verify, q, tag, x)), CheatError)
        seats[q].tag(p, x)  # whose number was used up by that


# -- processes ----------------------------------------------------------------------------------------

#: The command line of a party that tells one thing otherwise, after its first so many messages.
DEVIATING = """
import sys
from protocols.suites.fantastic_four import FantasticFour
told, calls = FantasticFour._told, 0

async def lied(self, joints, rests, specs, tag):
    global calls
    calls += 1
    if calls == {when}:
        rests = {{n: [x + x.ring(1) for x in rest] for n, rest in rests.items()}}
    return await told(self, joints, rests, specs, tag)

FantasticFour._told = lied
from mpc.cli import main
main(prog_name="mpc")
"""


def test_a_process_that_deviates_ends_the_others(tmp_path: Path, processes: Processes) -> None:
    """Four over TLS, of which one tells something else in its fourth product."""
    program = write(
        tmp_path,
        "def main(party):\n    x, *_ = party.secret_from_each(np.arange(5) * party.id + 0.5)\n"
        "    return ((x * x + x) * x < 3).reveal()\n",
    )
    configs = configured(tmp_path, 4, timeout=30, suite="fantastic-four")[:4]
    for path in configs:
        path.write_text(path.read_text().replace('dealer = "dealer"\n', ""))
    deviating = subprocess.Popen(
        [sys.executable, "-c", DEVIATING.format(when=4), "party", str(program), "--config", str(configs[2])],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    processes.all.append(deviating)
    honest = [processes.start("party", program, "--config", configs[p]) for p in (0, 1, 3)]
    said = [ended(process) for process in honest]
    for code, out, err in said:
        assert code != 0 and out == "" and "Traceback" not in err
        # it was told something else itself, or another one says that it was
        assert "has departed from the protocol" in err, err
    assert any("have told different ones" in err for _, _, err in said)
