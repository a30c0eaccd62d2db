"""Rows in a secret order: linear, right wherever the order comes from, and what is opened on the way is a
uniformly random order.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from conftest import counts, input_of, play, usual
from scipy import stats

import mpc
from mpc.errors import CheatError
from mpc.ring import Z64, RingArray, Spec
from mpc.rounds import Message
from protocols.conformance.costs import inputs, measured
from protocols.ops import moving, selection, sets
from protocols.ops.moving import placed
from protocols.suite import Suite
from protocols.suites import SUITES

GRID = [(name, n) for name, suite in SUITES.items() for n in counts(suite)[:2]]
PAIRS = [("replicated", 3), ("additive", 2)]


def opened(suite: str, order: list[int], seed: int) -> tuple[int, ...]:
    """The order that is opened when rows are moved by this one."""
    seen: list[tuple[int, ...]] = []

    async def main(suite: Suite) -> None:
        shares = [
            await input_of(suite, Z64(np.reshape(a, shape)))
            for a, shape in ((order, (-1, 1)), (order, (1, -1, 1)))
        ]
        really = suite.open

        async def watched(*xs: Any, **options: Any) -> Any:
            values = await really(*xs, **options)
            if suite.seat.rank == 0:
                seen.append(tuple(values[0].data[:, 0].tolist()))
            return values

        suite.open = watched  # type: ignore[method-assign]
        await placed(suite, *shares)

    play(usual(suite), main, kind=SUITES[suite], seed=seed)
    (only,) = seen
    return only


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
@pytest.mark.parametrize("suite", sorted(SUITES))
def test_what_is_opened_is_any_order_equally_likely(suite: str, order: list[int]) -> None:
    seen = [opened(suite, order, seed) for seed in range(180)]
    table = [seen.count(p) for p in permutations(range(3))]
    assert sum(table) == 180 and stats.chisquare(table).pvalue > 1e-4


@pytest.mark.parametrize("rows", [2, 500])
@pytest.mark.parametrize(("suite", "parties"), GRID)
def test_what_a_move_costs(suite: str, parties: int, rows: int) -> None:
    c = 3
    taken = measured(SUITES[suite], parties, inputs(Spec(Z64, (rows, 1)), Spec(Z64, (c, rows, 1))), placed)
    sent = {"replicated": 16 * (c + 1) + 4, "fantastic-four": 24 * (c + 1) + 4}
    every = sent.get(suite, (parties - 1) * (8 * (c + 1) + 4))
    tags = 16 * (4 * 3 + 4 + 12) if suite == "fantastic-four" else 0  # four passes, the opening, a barrier
    assert taken.rounds == {"replicated": 4, "fantastic-four": 6}.get(suite, parties + 1)
    assert sum(taken.by(p, parties) for p in range(parties)) == parties * rows * every + tags


@pytest.mark.parametrize("suite", ["additive", "replicated"])
@pytest.mark.parametrize("word", [0, 5])
def test_an_opened_order_that_is_none_is_refused(suite: str, word: int) -> None:
    """Something named twice, or beyond the ends."""

    async def main(suite: Suite) -> None:
        order = suite.constant(Z64(np.arange(4).reshape(4, 1)))
        await placed(suite, order, order.reshape((1, 4, 1)))

    def tamper(message: Message) -> tuple[RingArray, ...]:
        return tuple(
            a + a.ring(np.eye(4, 1, dtype=int) + word) if message.tag == "order" else a
            for a in message.arrays
        )

    with pytest.raises(CheatError, match="a shuffled order was opened that is none"):
        play(usual(suite), main, kind=SUITES[suite], tamper=tamper)


# -- what is known to be an order --------------------------------------------------------------------


@pytest.mark.parametrize(("suite", "parties"), PAIRS)
def test_what_moves_positions_keeps_that_they_come_from_an_order_and_what_computes_loses_it(
    suite: str, parties: int
) -> None:
    s = mpc.local(parties, suite)
    x, k = s.secret([3, 1, 2, 5]), s.secret([[2, 9, 4, 1], [1, 1, 1, 0]])
    order, orders = np.argsort(x), np.argsort(k, axis=1)
    kept = (
        order,
        order[::-1],
        order[1:3],
        order[2],
        np.flip(order),
        order.reshape(2, 2),
        np.roll(order, 1),
        order[:, None],
        np.repeat(order, 2),
        np.take(order, [3, 0]),
        np.broadcast_to(order, (2, 4)),
        *np.split(order, 2),
        orders.T,
        orders[:, :2],
        np.argsort(order),
        np.lexsort((x, x)),
        np.argpartition(x, 1),
        mpc.top_k(x, 2)[1],
        np.argsort(x > 2),
        order.copy(),
    )
    lost = (
        order + 0,
        order * 1,
        -order,
        np.where([True, False] * 2, order, 0),
        np.concatenate([order, order]),
        np.sort(order),
        np.where(x > 0, order, 0),
        np.cumsum(order),
        mpc.shuffle(order),
        np.diag(order),
        order.at[0].set(0),
        x,
        np.tril(orders),
    )
    assert all(y.origin is not None for y in kept) and all(y.origin is None for y in lost)
    plain = np.array([3, 1, 2, 5])
    for y in (*kept, *lost[:4], lost[6]):  # and either way it is NumPy's
        values = y.reveal()
        inside = (values >= -4) & (values < 4)
        assert (np.take(x, y).reveal() == np.where(inside, plain[np.where(inside, values, 0)], 0)).all()


def test_a_zero_that_is_put_between_positions_is_not_one() -> None:
    """Position 0 is one, and what fills gaps is not."""
    from protocols.array.secret import structural

    order = np.argsort(mpc.local(2).secret([2, 1]))
    assert structural("pad", lambda a: np.concatenate([a, np.zeros(1, a.dtype)]), order).origin is None
    assert structural("pad", lambda a: np.concatenate([a, a[:1]]), order).origin is not None


@pytest.mark.parametrize(("suite", "parties"), PAIRS)
def test_rows_of_all_kinds_and_shapes_in_orders_of_all_shapes(suite: str, parties: int) -> None:
    rng = np.random.default_rng(2)
    s = mpc.local(parties, suite)
    k = rng.integers(0, 4, (6, 3))
    for x in (
        rng.integers(-(2**62), 2**62, (6, 3)),
        rng.integers(-99, 99, (6, 3)) / 8,
        rng.integers(0, 2, (6, 3)) > 0,
    ):
        for axis, wide in ((0, x), (1, x.T)):
            order, secret, keys = (
                np.argsort(k, 0, kind="stable"),
                s.secret(wide),
                s.secret(k if axis == 0 else k.T),
            )
            mine, order = np.argsort(keys, axis=axis), order if axis == 0 else order.T
            for cut in (np.s_[...], np.s_[:2] if axis == 0 else np.s_[:, :2], np.s_[::-1]):
                if axis == 0 or cut == np.s_[...] or cut == np.s_[:, :2]:
                    assert (
                        np.take_along_axis(secret, mine[cut], axis).reveal()
                        == np.take_along_axis(wide, order[cut], axis)
                    ).all()
                    assert (mpc.take(wide.ravel(), mine[cut]).reveal() == wide.ravel()[order[cut]]).all()
    values = rng.normal(size=(2, 6, 2)).round(2)
    order = np.argsort(s.secret(k[:, 0]))
    assert (
        np.abs(
            np.take(s.secret(values), order, axis=1).reveal()
            - np.take(values, np.argsort(k[:, 0], kind="stable"), axis=1)
        ).max()
        < 1e-4
    )
    # fewer than there are rows
    assert (
        np.abs(
            np.take(s.secret(values), np.argsort(s.secret([5, 1, 2])), axis=1).reveal() - values[:, [1, 2, 0]]
        ).max()
        < 1e-4
    )
    # and more
    assert np.take(s.secret([7, 8]), np.argsort(s.secret([5, 1, 2]))).reveal().tolist() == [8, 0, 7]


@pytest.mark.parametrize(("suite", "parties"), PAIRS)
def test_moving_rows_is_linear(suite: str, parties: int) -> None:
    """Twice as many rows, twice the bytes; the second time by the same order less."""
    sent = {}
    for n in (1000, 2000):
        s = mpc.local(parties, suite)
        keys, rows = np.random.default_rng(n).integers(0, 99, n), np.arange(4 * n).reshape(n, 4)
        order, x = np.argsort(s.secret(keys)), s.secret(rows)
        s.sync(order, x)
        for time in (1, 2):
            before = s.parties[0].meter.sent
            moved = np.take(x, order, axis=0)
            s.sync(moved)
            sent[n, time] = (s.parties[0].meter.sent - before) / n
            assert (moved.reveal() == rows[np.argsort(keys, kind="stable")]).all()
    first, second = (16 * 7 + 8, 16 * 5 + 4) if suite == "replicated" else (8 * 7 + 8, 8 * 5 + 4)
    assert all(abs(sent[n, 1] - first) < 1 and abs(sent[n, 2] - second) < 1 for n in (1000, 2000))


def test_rounds_of_orders() -> None:
    s = mpc.local(3)
    x, order = s.secret(np.arange(50)), np.argsort(s.secret(np.arange(50)[::-1].copy()))
    s.sync(x, order)

    def rounds(make: Any) -> int:
        before = s.parties[0].meter.rounds
        s.sync(make())
        return s.parties[0].meter.rounds - before

    assert (
        rounds(lambda: np.take(x, order)) == 8
        and rounds(lambda: np.take(x, order[::-1])) == 4
        and rounds(lambda: np.argsort(order)) == 0
    )
    truths = x > 20
    s.sync(truths)
    assert rounds(lambda: np.argsort(truths)) == 5 and rounds(lambda: x.at[order].set(x)) == 4


# -- at positions that are no order ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suite", "parties", "bits"), [("replicated", 3, 64), ("additive", 2, 32), ("replicated", 3, 128)]
)
def test_reading_by_sorting_is_reading(suite: str, parties: int, bits: int) -> None:
    rng = np.random.default_rng(bits)
    s = mpc.local(parties, suite, ring=bits)
    x, index = rng.integers(-(2**30), 2**30, (2, 7, 3)), rng.integers(-9, 9, (25, 3))
    index[0] = -(2**31), 2**31 - 1, -(2**30)
    found = selection._by_sorting(s.secret(x), s.secret(index)).reveal()
    inside = (index >= -7) & (index < 7)
    assert (
        found
        == np.where(
            inside, np.take_along_axis(x, np.broadcast_to(np.where(inside, index, 0), (2, 25, 3)), 1), 0
        )
    ).all()
    assert (
        selection._by_sorting(s.secret(x)[:, :0], s.secret(index)).reveal().tolist()
        == np.zeros((2, 25, 3)).tolist()
    )


def test_many_positions_are_read_by_sorting_for_fewer_bytes() -> None:
    n, s = 2300, mpc.local(3)
    rng = np.random.default_rng(0)
    x, index = rng.normal(size=(n, 2)).round(3), rng.integers(0, n, n)
    found = {}
    for name, take in (
        ("take", lambda a, i: np.take(a, i, axis=0)),
        ("along", lambda a, i: np.take_along_axis(a, i[:, None], axis=0)),
    ):
        before = s.parties[0].meter.sent
        found[name] = take(s.secret(x), s.secret(index)).reveal()
        assert s.parties[0].meter.sent - before < 5 * n * n  # where reading all rows sends 8 for each
        assert np.abs(found[name] - take(x, index)).max() < 1e-4


@pytest.mark.parametrize(("suite", "parties"), PAIRS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_places_found_by_sorting(suite: str, parties: int, side: Any) -> None:
    rng, s = np.random.default_rng(9), mpc.local(parties, suite)
    a, v = np.sort(rng.integers(0, 9, 20)), rng.integers(-2, 11, (5, 3))
    for x, y in (
        (s.secret(a), s.secret(v)),
        (a, s.secret(v)),
        (s.secret(a), v / 2),
        (s.secret(a / 2), s.secret(v / 2)),
    ):
        plain = [z.reveal() if isinstance(z, mpc.Secret) else z for z in (x, y)]
        assert (selection._counted_by_sorting(x, y, side).reveal() == np.searchsorted(*plain, side)).all()
    many = np.arange(2100) // 3
    assert (
        np.searchsorted(s.secret(many), s.secret(many), side).reveal() == np.searchsorted(many, many, side)
    ).all()


def test_few_rows_that_are_wide_are_not_moved_all() -> None:
    s = mpc.local(3)
    x = s.secret(np.arange(2 * 10**5).reshape(100, 2000))
    order = np.argsort(s.secret(np.arange(100)[::-1].copy()))
    s.sync(x, order)
    before = s.parties[0].meter.sent
    assert np.take(x, order[0], axis=0).reveal()[0] == 99 * 2000 and s.parties[0].meter.sent - before < 10**5


@pytest.mark.parametrize(("suite", "parties"), PAIRS)
def test_filling_down(suite: str, parties: int) -> None:
    s, rng = mpc.local(parties, suite), np.random.default_rng(1)
    marks, x = rng.integers(0, 2, (9, 4)) > 0, rng.integers(-(2**62), 2**62, (2, 9, 4))
    last = np.maximum.accumulate(np.where(marks, np.arange(9)[:, None], -1), axis=0)
    expected = np.where(
        last >= 0, np.take_along_axis(x, np.broadcast_to(np.maximum(last, 0), (2, 9, 4)), 1), 0
    )
    assert (moving.filled(s.secret(marks), s.secret(x)).reveal() == expected).all()


@pytest.mark.parametrize(("suite", "parties", "bits"), [("replicated", 3, 64), ("additive", 2, 32)])
def test_members_found_by_sorting(suite: str, parties: int, bits: int) -> None:
    rng, s = np.random.default_rng(5), mpc.local(parties, suite, ring=bits)
    edges = [2 ** (bits - 1) - 1, -(2 ** (bits - 1)), 0, 0]
    x, tests = (
        np.append(rng.integers(0, 30, 20), edges).reshape(6, 4),
        np.append(rng.integers(0, 30, 8), edges[:2]),
    )
    assert (sets.among(s.secret(x), s.secret(tests)).reveal() == np.isin(x, tests)).all()
    assert (sets.among(x, s.secret(tests[:1])).reveal() == np.isin(x, tests[:1])).all()
    assert not sets.among(s.secret(x), s.secret(tests)[:0]).reveal().any() and sets.among(
        s.secret(x)[:0], s.secret(tests)
    ).shape == (0, 4)


def test_many_members_are_found_by_sorting() -> None:
    n, s = 1100, mpc.local(3)
    x, tests = np.random.default_rng(1).integers(0, 3000, (2, n))
    found = np.isin(s.secret(x), s.secret(tests), invert=True)
    assert (found.reveal() == np.isin(x, tests, invert=True)).all() and s.parties[0].meter.sent < 8 * n * n


def test_integers_beside_reals_are_compared_as_the_numbers_they_are_however_many_there_are() -> None:
    """Where fixed point has no room for them."""
    s = mpc.local(3)
    x, reals = np.full(2100, 2**60), np.linspace(0, 3, 2100)
    assert not np.isin(s.secret(x[:1100]), s.secret(reals)[:1100]).reveal().any()
    assert (np.searchsorted(reals, s.secret(x)).reveal() == 2100).all()


def test_sets_without_gaps() -> None:
    """As the docstring says to make them."""
    s = mpc.local(3)
    values, present = mpc.intersect1d(s.secret([5, 1, 9, 1, 7]), s.secret([9, 9, 5, 4]))
    packed = np.take(values, np.argsort(~present))[:4]
    assert np.count_nonzero(present).reveal() == 2 and packed.reveal()[:2].tolist() == [5, 9]
    assert np.where(present, values, 0).sum().reveal() == 14
    values, present = mpc.unique(s.secret(np.zeros((0, 2))))
    assert values.shape == present.shape == (0,)


# -- ranks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suite", "parties"), PAIRS)
def test_partitions_are_partitions(suite: str, parties: int) -> None:
    rng, s = np.random.default_rng(3), mpc.local(parties, suite)
    x = rng.integers(-9, 9, (2, 400))
    for kth in (0, 399, -1, 37, [5, 200, 200, -3]):
        parted, places = s.reveal(np.partition(s.secret(x), kth), np.argpartition(s.secret(x), kth))
        for values in (parted, np.take_along_axis(x, places, 1)):
            assert (np.sort(values) == np.sort(x)).all()
            for k in np.atleast_1d(kth) % 400:
                assert (
                    (values[:, k] == np.sort(x)[:, k]).all()
                    and (values[:, :k] <= values[:, k : k + 1]).all()
                    and (values[:, k:] >= values[:, k : k + 1]).all()
                )


@pytest.mark.parametrize(("suite", "parties"), PAIRS)
def test_a_partition_shows_no_order_within_its_parts(suite: str, parties: int) -> None:
    """A few elements are all compared with each other, in the open: who is shown a partition must not know
    their order from that.
    """
    x = np.broadcast_to(np.arange(7), (300, 7))
    parted, places = (
        y.reveal()
        for f in (np.partition, np.argpartition)
        for y in [f(mpc.local(parties, suite).secret(x), 3)]
    )
    for rows in (parted, places):
        for part in (slice(0, 3), slice(4, 7)):
            orders = [tuple(row) for row in (rows[:, part] - part.start).tolist()]
            table = [orders.count(p) for p in permutations(range(3))]
            assert sum(table) == 300 and stats.chisquare(table).pvalue > 1e-5


@pytest.mark.parametrize("suite", sorted(SUITES))
def test_ranks_take_fewer_comparisons_than_a_sort(suite: str) -> None:
    x = np.random.default_rng(8).permutation(3000)

    def sent(find: Any) -> int:
        s = mpc.local(usual(suite), suite)
        secret = s.secret(x)
        s.sync(secret)
        before = s.parties[0].meter.sent
        s.sync(find(secret))
        return s.parties[0].meter.sent - before

    whole = sent(np.sort)
    assert sent(np.median) < 0.6 * whole and sent(lambda x: mpc.top_k(x, 5)[1]) < 0.6 * whole


def test_the_largest_of_the_whole_ring_and_the_first_of_equals() -> None:
    s = mpc.local(3)
    x = np.array([-(2**63), 5, 2**63 - 1, 5, -(2**63), 0])
    for largest, expected in ((True, [2, 1, 3, 5]), (False, [0, 4, 5, 1])):
        values, places = mpc.top_k(s.secret(x), 4, largest=largest)
        assert places.reveal().tolist() == expected and values.reveal().tolist() == x[expected].tolist()
    values, places = mpc.top_k(s.secret([[True, False, True]]), 2)
    assert (
        values.reveal().tolist() == [[True, True]]
        and places.reveal().tolist() == [[0, 2]]
        and values.kind == mpc.BOOL
    )
    assert mpc.top_k(s.secret(x), 0)[0].shape == (0,)


# -- updates -----------------------------------------------------------------------------------------


INDICES: list[Any] = [
    1,
    -1,
    np.s_[1:],
    np.s_[::-1, 1],
    np.s_[..., 0],
    (),
    None,
    [2, 0],
    ([0, 2, 0], [1, 1, 1]),
    np.array([[0, 1], [1, 2]]),
    np.s_[0:0],
    np.ix_([0, 2], [1, 3]),
    np.arange(12).reshape(3, 4) % 5 > 1,
    np.array([True, False, True]),
    (slice(None), [True, False, False, True]),
    np.s_[:, None, 1:3],
    [[2, 2], [2, 2]],
]


@pytest.mark.parametrize(("suite", "parties"), PAIRS)
def test_updates_at_public_places_are_numpys(suite: str, parties: int) -> None:
    s, rng = mpc.local(parties, suite), np.random.default_rng(0)
    x = rng.integers(-9, 9, (3, 4))
    secret = s.secret(x)
    for index in INDICES:
        shape = x[index].shape
        for values in (rng.integers(-3, 4, shape), 7, rng.integers(-3, 4, shape[-1:])):
            for name, change in (
                ("set", None),
                ("add", np.add),
                ("multiply", np.multiply),
                ("min", np.minimum),
                ("max", np.maximum),
            ):
                expected = x.copy()
                if change is None:
                    expected[index] = values
                else:
                    change.at(expected, index, values)
                new = [getattr(secret.at[index], name)(v) for v in (values, s.secret(values))]
                assert all((a == expected).all() for a in s.reveal(*new)), (index, name)
    assert (secret.reveal() == x).all()


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (lambda x, b: x.at[0].set(0.5), TypeError, r"x\.at\[…\]\.set puts fixed.* into int.*x \* 1\.0"),
    (lambda x, b: x.at[b].add(x * 0.5), TypeError, r"\.add puts"),
    (lambda x, b: b.at[0].set(2), TypeError, "into bool"),
    (lambda x, b: b.at[0].add(True), TypeError, "truth values"),
    (lambda x, b: x.at[0].set([1, 2]), ValueError, r"values of shape \(2,\) do not fit the places, \(\)"),
    (lambda x, b: x.at[5].set(1), IndexError, "out of bounds"),
    (lambda x, b: x.at[[True, False]].set(1), IndexError, "boolean"),
    (lambda x, b: x.at[b].set([1, 2]), ValueError, "at a secret mask: values of shape"),
    (lambda x, b: x.at[b[:2]].set(1), IndexError, r"a mask of shape \(2,\)"),
    (lambda x, b: x.at[x, 0].set(1), NotImplementedError, "one secret array as an index"),
    (lambda x, b: x.at[x * 1.0].set(1), IndexError, "integers or truth values"),
    (lambda x, b: x[0].at[x].set(1), IndexError, "without axes"),
    (lambda x, b: np.partition(x, 3), ValueError, "out of bounds"),
    (lambda x, b: np.partition(x, 0.5), TypeError, "kth"),
    (lambda x, b: np.partition(x, 1, kind="other"), ValueError, "introselect"),
    (lambda x, b: np.argpartition(x, 1, axis=1), ValueError, "axis 1"),
    (lambda x, b: mpc.top_k(x, 4), ValueError, "3 elements along the axis, and k is 4"),
    (lambda x, b: np.isin(x, x, kind="other"), ValueError, "sort and table"),
]


@pytest.mark.parametrize(("call", "error", "said"), REFUSED)
def test_what_cannot_be_is_refused_in_words(call: Any, error: type[Exception], said: str) -> None:
    s = mpc.local(2)
    with pytest.raises(error, match=said):
        call(s.secret([1, 2, 3]), s.secret([True, False, True]))


def test_kinds_of_what_is_updated() -> None:
    """Those of x; truth values and integers go into what has room for them."""
    s = mpc.local(3)
    f, i, b = s.secret([0.5, 1.5]), s.secret([1, 2]), s.secret([True, False])
    assert (
        f.at[0].set(i[1]).reveal().tolist() == [2.0, 1.5]
        and f.at[b].add(i).reveal().tolist() == [1.5, 1.5]
        and i.at[i - 1].add(b).reveal().tolist() == [2, 2]
    )
    for new in (
        b.at[1].set(True),
        b.at[i - 1].set(True),
        b.at[b].max(True),
        b.at[np.argsort(i)].set(b),
        b.at[[0, 0]].min([True, True]),
    ):
        assert new.kind == mpc.BOOL
    assert i.at[[]].set([]).reveal().tolist() == [1, 2] and i.at[i[:0]].set(5).reveal().tolist() == [1, 2]
