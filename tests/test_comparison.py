"""Comparisons over the whole range, in every suite: edges, equal operands, and what they cost."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import GRID, input_of, play, usual, whole
from hypothesis import given, settings
from hypothesis import strategies as st

import mpc
from mpc import kernels
from mpc.bits import _to_planes, planes, unpacked
from mpc.ring import BITS, RINGS, Z64, RingArray
from protocols.ops.comparison import is_zero, negative
from protocols.prep.dealer import Dealt
from protocols.suite import CHUNK, Suite
from protocols.suites import SUITES


def edges(bits: int) -> list[int]:
    """Both signs of the powers of two and their neighbours within the ring."""
    near = {s * (1 << i) + d for i in range(bits) for d in (-1, 0, 1) for s in (-1, 1)} | {0}
    return sorted(v for v in near if -(1 << bits - 1) <= v < 1 << bits - 1)


@pytest.mark.parametrize("bits", RINGS)
@pytest.mark.parametrize(("suite", "parties"), GRID)
def test_sign_and_zero_at_every_edge(suite: str, parties: int, bits: int) -> None:
    values = np.array(edges(bits), object)
    ring = RINGS[bits]

    async def main(suite: Suite) -> tuple[RingArray, ...]:
        x = await input_of(suite, ring(values))
        return await suite.open(await negative(suite, x), await is_zero(suite, x))

    below, zero = play(parties, main, kind=SUITES[suite])[0]
    assert (whole(below) == (values < 0)).all() and (whole(zero) == (values == 0)).all()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-(2**62), 2**62 - 1), st.integers(-(2**62), 2**62 - 1)), min_size=1, max_size=70
    ),
    st.sampled_from(sorted(SUITES)),
)
def test_order_and_equality_are_pythons(pairs: list[tuple[int, int]], suite: str) -> None:
    a, b = np.array(pairs + [(x, x) for x, _ in pairs[:3]]).T
    s = mpc.local(usual(suite), suite)
    x, y = s.secret(a, owner=0), s.secret(b, owner=2)
    lt, eq, ge = s.reveal(x < y, x == y, x >= y)
    assert (lt == (a < b)).all() and (eq == (a == b)).all() and (ge == (a >= b)).all()


@pytest.mark.parametrize("size", [63, 64, 65, CHUNK, CHUNK + 1])
@pytest.mark.parametrize("suite", sorted(SUITES))
def test_sizes_around_a_word_and_a_piece(suite: str, size: int) -> None:
    values = np.random.default_rng(size).integers(-5, 6, size)
    s = mpc.local(usual(suite), suite)
    x = s.secret(values)
    lt, eq = s.reveal(x < 0, x == 0)
    assert (lt == (values < 0)).all() and (eq == (values == 0)).all()


@pytest.mark.parametrize(
    ("suite", "parties", "rounds"), [("additive", 2, 6), ("additive", 3, 6), ("replicated", 3, 8)]
)
def test_rounds_of_a_comparison(suite: str, parties: int, rounds: int) -> None:
    s = mpc.local(parties, suite)
    x = s.secret([1, 2, 3])
    s.sync(x)
    before = s.parties[0].meter.rounds
    s.sync(x < 2)
    assert s.parties[0].meter.rounds - before == rounds
    before = s.parties[0].meter.rounds
    s.sync(*[x < i for i in range(8)])
    assert s.parties[0].meter.rounds - before == rounds  # side by side, they cost the rounds of one


@pytest.mark.parametrize(
    ("suite", "parties", "rounds", "sent"),
    [("additive", 2, 7, 29.7), ("additive", 3, 7, 59.3), ("replicated", 3, 8, 26.7)],
)
def test_a_maximum_costs_little_more(suite: str, parties: int, rounds: int, sent: float) -> None:
    """On average over the parties."""
    n = 64 * 500
    s = mpc.local(parties, suite)
    x = s.secret(np.arange(n))
    s.sync(x)
    meters = [p.meter for p in s.parties]
    before, already = meters[0].rounds, sum(m.sent - 64 * m.frames for m in meters)
    s.sync(np.maximum(x, 5))
    assert meters[0].rounds - before == rounds
    assert (sum(m.sent - 64 * m.frames for m in meters) - already) / n / parties <= sent


@pytest.mark.parametrize(
    ("suite", "parties", "most"),
    [("additive", 2, 13.7), ("additive", 3, 27.3), ("additive", 5, 54.6), ("replicated", 3, 24)],
)
def test_bytes_of_a_comparison(suite: str, parties: int, most: float) -> None:
    """Sent by each party, when every one has had its turn to send the most."""
    n = 64 * 500
    s = mpc.local(parties, suite)
    x = s.secret(np.arange(n))
    s.sync(x)
    meters = [p.meter for p in s.parties]
    before = [m.sent - 64 * m.frames for m in meters]
    s.sync(*[x < i for i in range(parties)])
    for m, already in zip(meters, before, strict=True):
        assert (m.sent - 64 * m.frames - already) / n / parties <= most


def test_costs_without_a_dealer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two parties take their terms then, not masks."""
    monkeypatch.setattr(Dealt, "deals", False)
    test_rounds_of_a_comparison("additive", 2, 8)
    test_a_maximum_costs_little_more("additive", 2, 9, 55.2)
    test_bytes_of_a_comparison("additive", 2, 39.2)


@given(st.integers(0, 300), st.integers(0, 2**32))
def test_planes_are_the_bits(n: int, seed: int) -> None:
    x = np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)
    rows = planes(RingArray(Z64, x))
    assert rows.shape == (64, -(-n // 64)) and rows.ring is BITS
    for j in (0, 1, 31, 63):
        assert (unpacked(rows[j], Z64, n).data == (x >> np.uint64(j) & np.uint64(1))).all()


@pytest.mark.parametrize("groups", [1, 2, 33])
def test_the_transposing_kernel_equals_its_twin(groups: int) -> None:
    x = np.random.default_rng(groups).integers(0, 2**64, 64 * groups, dtype=np.uint64)
    assert (kernels.to_planes(x) == _to_planes(x)).all()


def test_truth_values_are_shared_and_revealed_as_such() -> None:
    s = mpc.local(3)
    x = s.secret([True, False])
    assert x.kind == mpc.BOOL and x.reveal().dtype == bool and (x + x).reveal().tolist() == [2, 0]
    assert s.run(
        lambda p: p.secret(np.array([True, False]) if p.id == 1 else None, owner=1).reveal().tolist()
    )[0] == [True, False]


def test_a_condition_cannot_show_where_it_holds() -> None:
    x = mpc.local(3).secret([1, -1])
    with pytest.raises(TypeError, match="must not show"):
        np.where(x > 0)
    with pytest.raises(TypeError, match="cannot decide a branch"):
        bool(x > 0)
    with pytest.raises(TypeError, match="would show how many"):
        x[x > 0]
