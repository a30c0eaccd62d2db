"""Measured rounds and bytes equal the declared costs: below, at and above the size of one piece, for 2, 3, 5
parties.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import GRID, play

import mpc
from mpc.meter import Network
from mpc.ring import RINGS, Z64, Ring, Spec
from mpc.rounds import Recorder
from mpc.tags import TAG
from protocols.bilinear import MATMUL, MULTIPLY
from protocols.conformance.costs import Taken, deviations, inputs, measured, taken
from protocols.suite import CHUNK, Share, Suite, pieces
from protocols.suites import SUITES

SIZES = [1, 100, 12_000, CHUNK, CHUNK + 1, 3 * CHUNK - 7]


def agrees(taken: Taken, suite: str, parties: int, operation: str, *operands: Spec) -> None:
    """What was taken is what the suite's class declares."""
    assert list(deviations(SUITES[suite], parties, operation, taken, *operands)) == []


@pytest.mark.parametrize("ring", RINGS.values(), ids=str)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("suite", "parties"), GRID)
def test_elementwise_costs(suite: str, parties: int, size: int, ring: Ring) -> None:
    if parties > 3 and size > 2 * CHUNK:
        size = CHUNK + 1
    kind, spec = SUITES[suite], Spec(ring, (size,))
    for operation in ("input", "open", "truncate"):
        agrees(taken(kind, parties, operation, spec), suite, parties, operation, spec)
    for operation in ("multiply", "multiply and truncate"):
        agrees(taken(kind, parties, operation, spec, spec), suite, parties, operation, spec, spec)
    revealed = measured(kind, parties, inputs(spec), lambda s, x: s.reveal(x))
    if kind.threat.adversary == "semi-honest":
        agrees(revealed, suite, parties, "open", spec)
    else:  # in pieces, each with its tags, behind a barrier of one tag for each other party
        opened, many = taken(kind, parties, "open", spec), pieces(size) if size > CHUNK else 1
        tags = TAG.nbytes * (parties * (parties - 1) + (many - 1) * kind.costs["open"].tags)
        assert revealed.rounds == opened.rounds + 1
        assert sum(revealed.sent.values()) == sum(opened.sent.values()) + tags


@pytest.mark.parametrize(
    "shapes", [((3, 4), (4, 2)), ((1, 9), (9, 1)), ((300, 400), (400, 2)), ((2, 3, 4), (2, 4, 3))]
)
@pytest.mark.parametrize(("suite", "parties"), GRID)
def test_matmul_costs(suite: str, parties: int, shapes: tuple[tuple[int, ...], ...]) -> None:
    x, y = (Spec(Z64, s) for s in shapes)
    agrees(taken(SUITES[suite], parties, "matmul", x, y), suite, parties, "matmul", x, y)


def corrections(parties: int, operation: Callable[..., Any], *specs: Spec) -> dict[int, int]:
    """Bytes of the dealer's words by receiver, after the seeds."""
    recorder = Recorder()

    async def main(suite: Suite) -> None:
        await operation(suite, *await inputs(*specs)(suite))

    play(parties, main, record=recorder)
    out = dict.fromkeys(range(parties), 0)
    for m in recorder.messages:
        if m.sender == parties and m.tag != "seed":
            out[m.receiver] += sum(a.spec.nbytes for a in m.arrays)
    return out


def all_to_last(parties: int, nbytes: int) -> dict[int, int]:
    return {**dict.fromkeys(range(parties), 0), parties - 1: nbytes}


@pytest.mark.parametrize("size", [65, 1000, CHUNK + 65, 2 * CHUNK])
@pytest.mark.parametrize("parties", [2, 3, 5])
def test_the_dealer_sends_8_bytes_per_product_and_4_or_12_per_truncation_to_the_last_party(
    parties: int, size: int
) -> None:
    """Of two parties each knows a term, and the product of two bits is all it takes; more of them need a
    mask.
    """
    spec = Spec(Z64, (size,))
    assert corrections(parties, lambda s, x, y: s.bilinear(MULTIPLY, x, y), spec, spec) == all_to_last(
        parties, 8 * size
    )
    for bits, two, more in ((16, 4, 12), (31, 4, 12), (32, 4, 16), (33, 8, 16)):
        assert corrections(parties, lambda s, x, m=bits: s.truncate(x, m), spec) == all_to_last(
            parties, (two if parties == 2 else more) * size
        )


@pytest.mark.parametrize("parties", [2, 3])
def test_the_dealer_sends_the_size_of_a_matrix_product(parties: int) -> None:
    x, y = Spec(Z64, (7, 50)), Spec(Z64, (50, 3))
    assert corrections(parties, lambda s, x, y: s.bilinear(MATMUL, x, y), x, y) == all_to_last(
        parties, 8 * 7 * 3
    )


def test_pooled_triples_cost_8_bytes_each_once_the_pool_is_used_up() -> None:
    """Single products share a batch: 64 of them take one answer of 64 triples."""

    async def many(suite: Suite, x: Share, y: Share) -> None:
        for _ in range(64):
            await suite.bilinear(MULTIPLY, x, y)

    spec = Spec(Z64, ())
    assert corrections(2, many, spec, spec) == all_to_last(2, 8 * 64)


def test_linear_operations_send_nothing() -> None:
    """Nor does sharing an input whose shape and kind are known."""
    session = mpc.local(3, "additive")
    frames = [p.meter.frames for p in session.parties]
    x, y = shared(session, np.ones((4, 4))), shared(session, np.ones((4, 4)), owner=2)
    for z in (
        (x + y - 3) * 2,
        x.T.sum(axis=0),
        np.concatenate([x, y]),
        x[1:] - y[:3],
        np.where(np.eye(4) > 0, x, y),
        np.cumsum(x),
        np.trace(x),
        1.5 - x,
        np.ones((2, 4), int) @ x,
    ):
        session.sync(z)
    assert [p.meter.frames for p in session.parties] == frames


def rounds_and_frames(work: Callable[[Any], Any], **options: Any) -> tuple[int, int]:
    session = mpc.local(2, **options)
    meter = session.parties[0].meter
    rounds, frames = meter.rounds, meter.frames
    work(session)
    return meter.rounds - rounds, meter.frames - frames


def shared(session: Any, values: np.ndarray, owner: int = 0) -> Any:
    """A secret whose shape and kind everybody knows, so that it takes no round."""
    return session.secret(values, owner=owner, shape=values.shape, kind=session.kind_of(values))


def test_announcing_a_shape_takes_one_round() -> None:
    assert rounds_and_frames(lambda s: s.secret([1, 2]))[0] == 1
    assert rounds_and_frames(lambda s: shared(s, np.array([1, 2])))[0] == 0
    assert rounds_and_frames(lambda s: s.secret_from_each([[1], [2, 3]]))[0] == 1


def independent(session: Any) -> Any:
    x = shared(session, np.arange(70))
    return session.reveal(*[x * x for _ in range(10)])


def test_independent_operations_share_a_round_unless_told_otherwise() -> None:
    assert rounds_and_frames(independent) == (2, 2)  # the products, and the reveal
    assert rounds_and_frames(independent, fuse=0) == (11, 11)


DEPTHS: dict[str, tuple[int, Callable[[Any], Any]]] = {
    "reveal": (1, lambda x: x),
    "product": (2, lambda x: x * x),
    "chain of 5": (6, lambda x: x * x * x * x * x * x),
    "power 8": (4, lambda x: x**8),
    "product of 8": (4, np.prod),
    "sum of products": (2, lambda x: sum(x * x for _ in range(20))),
    "matmul": (2, lambda x: x @ x),
    "division": (3, lambda x: x / 7),
    "division by 8": (1, lambda x: x / 8),
    "real division by 8": (2, lambda x: x * 1.0 / 8),
    "times a half": (2, lambda x: x * 1.0 * 1.5),
    "times a real": (3, lambda x: x * 0.3),
    "a matrix of reals": (3, lambda x: x @ np.full((8, 2), 0.7)),
    "mean": (1, lambda x: x.mean()),
    "mean of 7": (3, lambda x: x[1:].mean()),
    "variance": (4, lambda x: x.var()),
    "variance of 7": (7, lambda x: x[1:].var()),
}


@pytest.mark.parametrize("name", DEPTHS)
def test_rounds_are_the_depth_of_the_data_flow(name: str) -> None:
    expected, f = DEPTHS[name]
    assert rounds_and_frames(lambda s: s.reveal(f(shared(s, np.arange(8)))))[0] == expected


def test_fixed_point_products_take_one_round_more() -> None:
    assert rounds_and_frames(lambda s: s.reveal((x := shared(s, np.ones(8))) * x))[0] == 3


def test_much_waiting_data_is_sent_without_a_reveal() -> None:
    def work(session: Any) -> None:
        x = shared(session, np.arange(1000))
        for _ in range(5):
            x * x

    assert rounds_and_frames(work)[1] == 0
    assert rounds_and_frames(work, fuse=1500)[1] > 0


def test_every_party_and_mode_counts_alike() -> None:
    def main(party: Any) -> tuple[int, int]:
        x = party.secret(np.arange(9), shape=(9,), kind=mpc.INT)
        (x * x).reveal()
        return party.parties[0].meter.rounds, party.parties[0].meter.sent

    session = mpc.local(3)
    in_threads = session.run(main)
    main(session)
    for p, counted in zip(session.parties, in_threads, strict=True):
        assert (p.meter.rounds, p.meter.sent) == counted
    assert (
        sum(p.meter.received for p in session.parties)
        >= sum(p.meter.sent for p in session.parties) - 10 * 200
    )


def used(computing: float, rounds: int, sent: int, asked: int = 0) -> dict[str, float]:
    return {"computing": computing, "rounds": rounds, "asked": asked, "sent": sent, "received": 0}


def test_estimates_for_other_networks() -> None:
    lan, wan = Network.parse("lan"), Network.parse("wan")
    assert wan.seconds(used(0, 10, 0)) == pytest.approx(0.25) and lan.seconds(used(0, 10, 0)) < 0.01
    assert Network.parse("40,8").seconds(used(1, 2, 1_000_000)) == pytest.approx(1 + 0.04 + 1)
    # an answer of the dealer takes a whole round trip
    assert wan.seconds(used(0, 10, 0, asked=4)) == pytest.approx(0.35)
    for bad in ("fast", "1,0", "-1,5", "1", "nan,1"):
        with pytest.raises(ValueError):
            Network.parse(bad)
