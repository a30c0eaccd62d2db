"""Sorting and shuffling: right for every order and tie, and what is opened on the way is a uniformly random
order.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from conftest import coalitions, counts, input_of, play, replay, stream, usual
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import mpc
from mpc.prg import Stream
from mpc.ring import RINGS, Z64
from mpc.rounds import Recorder
from protocols.ops import sorting
from protocols.ops.sorting import arranged
from protocols.suite import Share, Suite
from protocols.suites import SUITES

GRID = [(name, n) for name, suite in SUITES.items() for n in counts(suite)[:2]]
EDGES = [-(2**63), -(2**63) + 1, -(2**62), -1, 0, 1, 2**62, 2**63 - 1]


@settings(max_examples=30)
@given(
    st.lists(
        st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3) | st.sampled_from(EDGES),
        min_size=1,
        max_size=60,
    ),
    st.sampled_from(GRID),
)
def test_sorts_are_numpys(values: list[int], grid: tuple[str, int]) -> None:
    v = np.array(values)
    s = mpc.local(grid[1], grid[0])
    x = s.secret(v)
    ordered, places = s.reveal(np.sort(x), np.argsort(x))
    assert (ordered == np.sort(v)).all() and (places == np.argsort(v, kind="stable")).all()


@settings(max_examples=20)
@given(
    st.lists(st.tuples(*[st.integers(-2, 2) | st.sampled_from(EDGES)] * 3), min_size=1, max_size=50),
    st.sampled_from(GRID),
)
def test_several_keys_are_numpys(rows: list[tuple[int, ...]], grid: tuple[str, int]) -> None:
    keys = np.array(rows).T
    s = mpc.local(grid[1], grid[0])
    assert (np.lexsort(tuple(s.secret(k) for k in keys)).reveal() == np.lexsort(keys)).all()


@pytest.mark.parametrize(("suite", "parties"), GRID)
@pytest.mark.parametrize("size", [15, 16, 17, 18, 100, 3000])
def test_sizes_around_a_small_segment(suite: str, parties: int, size: int) -> None:
    v = np.random.default_rng(size).normal(size=(2, size)).round(2)
    v[:, ::3] = v[:, :1]
    s = mpc.local(parties, suite)
    assert np.allclose(np.sort(s.secret(v)).reveal(), np.sort(v), atol=2**-16)


def opened_order(suite: str, values: list[int], seed: int) -> tuple[int, ...]:
    """The order of the shuffled elements, as the comparisons open it."""
    seen: list[Any] = []

    async def main(suite: Suite) -> None:
        rows = np.array([values, range(len(values))]).reshape(2, -1, 1)
        x = await suite.shuffle(await input_of(suite, Z64(rows)))
        order = await sorting._order(suite, x[:, :, 0], len(values), 1)
        if suite.seat.rank == 0:
            seen.append(tuple(order.tolist()))

    play(usual(suite), main, kind=SUITES[suite], seed=seed)
    return seen[0]


@pytest.mark.parametrize("values", [[7, 7, 7], [1, 2, 3], [9, -5, 9]])
@pytest.mark.parametrize("suite", sorted(SUITES))
def test_what_is_opened_is_any_order_equally_likely(suite: str, values: list[int]) -> None:
    """Ties or not: nothing about the elements shows."""
    orders = [opened_order(suite, values, seed) for seed in range(90)]
    table = [orders.count(p) for p in permutations(range(3))]
    assert sum(table) == 90 and stats.chisquare(table).pvalue > 1e-4


@pytest.mark.parametrize(("suite", "parties"), GRID)
def test_an_order_is_known_to_nobody(suite: str, parties: int) -> None:
    """With all that those who may collude have, any order is as likely as any other: by what two runs differ
    is uniform.
    """
    kind, columns = SUITES[suite], 400

    async def main(suite: Suite) -> Any:
        values = np.broadcast_to(np.arange(3)[None, :, None], (1, 3, columns))
        (v,) = await suite.open(await suite.shuffle(await input_of(suite, Z64(values))))
        return v.data[0].astype(int)

    for coalition in coalitions(kind, parties):
        first, second = (
            replay(parties, main, kind=kind, coalition=coalition, others=others)[0] for others in (1, 2)
        )
        between = [
            tuple(column.tolist())
            for column in np.take_along_axis(np.argsort(first, axis=0), second, axis=0).T
        ]
        table = [between.count(p) for p in permutations(range(3))]
        assert sum(table) == columns and stats.chisquare(table).pvalue > 1e-4


@pytest.mark.parametrize("shape", [(1,), (4,), (2000,), (5, 3)])
def test_permutations_of_a_stream_are_uniform_orders(shape: tuple[int, ...]) -> None:
    order = stream(3, "p").permutations(shape)
    assert (np.sort(order, axis=0) == np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))).all()
    table = [0] * 6
    source = Stream(bytes(32), "uniform")
    for row in source.permutations((3, 6000)).T:
        table[list(permutations(range(3))).index(tuple(row.tolist()))] += 1
    assert stats.chisquare(table).pvalue > 1e-4


@pytest.mark.parametrize(("suite", "parties"), GRID)
@pytest.mark.parametrize("bits", RINGS)
def test_rows_move_together(suite: str, parties: int, bits: int) -> None:
    s = mpc.local(parties, suite, ring=bits)
    a, b = mpc.shuffle(s.secret(np.arange(50) / 2), s.secret(np.arange(150).reshape(50, 3)))
    a, b = s.reveal(a, b)
    assert sorted(a) == (np.arange(50) / 2).tolist() and (a[:10] != np.arange(10) / 2).any()
    assert (b == (6 * a[:, None] + np.arange(3)).astype(int)).all()
    assert sorted(mpc.shuffle(s.secret([3, 1, 2])).reveal()) == [1, 2, 3]
    with pytest.raises(ValueError, match="as many rows"):
        mpc.shuffle(s.secret([1, 2]), s.secret([1, 2, 3]))


@pytest.mark.parametrize("suite", sorted(SUITES))
def test_as_many_comparisons_whatever_the_elements_are(suite: str) -> None:
    """Equal elements are no harder, nor those further apart than half the ring: batches are those of others,
    run by run.
    """

    def rounds(values: np.ndarray) -> float:
        taken = []
        for seed in range(8):
            s = mpc.local(usual(suite), suite, insecure_seed=seed)
            x = s.secret(values)
            s.sync(x)
            before = s.parties[0].meter.rounds
            s.sync(np.sort(x))
            taken.append(s.parties[0].meter.rounds - before)
        return float(np.mean(taken))

    alike, distinct, far = (
        rounds(np.full(300, 5)),
        rounds(np.arange(300)),
        rounds(np.arange(300) % 3 * (2**62 + 2**61) - 2**62 - 2**61),
    )
    assert abs(alike - distinct) < 0.3 * distinct and abs(far - distinct) < 0.3 * distinct


def test_columns_are_arranged_independently_and_payloads_follow() -> None:
    v = np.random.default_rng(4).integers(0, 9, (2, 30, 5))
    v[1] = np.arange(30)[:, None]

    async def main(suite: Suite) -> Any:
        (out,) = await suite.open(await arranged(suite, await input_of(suite, Z64(v)), 2))
        return out.data.view(np.int64)

    out = play(3, main, kind=SUITES["replicated"])[0]
    for j in range(5):
        assert (out[0, :, j] == np.sort(v[0, :, j])).all()
        assert (v[0, out[1, :, j], j] == out[0, :, j]).all()


@pytest.mark.parametrize("suite", sorted(SUITES))
def test_a_shuffle_hides_where_elements_go(suite: str) -> None:
    """What arrives in a shuffle of zeros has no zero and nothing twice."""
    recorder = Recorder()

    async def main(suite: Suite) -> Share:
        return await suite.shuffle(await input_of(suite, Z64(np.zeros((1, 500, 1), np.int64))))

    play(usual(suite), main, kind=SUITES[suite], record=recorder)
    for party in range(3):
        words = np.concatenate(
            [a.data.reshape(-1) for m in recorder.view(party) if m.tag == "shuffle" for a in m.arrays]
        )
        assert len(np.unique(words)) == len(words) >= 1000 and (words != 0).all()


def test_more_elements_than_places_are_refused() -> None:
    x = mpc.local(3).secret([1, 0])
    assert np.lexsort((x,) * 29).reveal().tolist() == [1, 0]
    with pytest.raises(ValueError, match="at most 1 elements can be sorted by 40 keys, not 2"):
        np.lexsort((x,) * 40)
