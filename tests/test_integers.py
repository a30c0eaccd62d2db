"""Bits, shifts, remainders and rounding are NumPy's over the whole range, in both suites and rings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import GRID, words
from hypothesis import given, settings
from hypothesis import strategies as st
from test_comparison import edges
from test_suites import RINGS as FRACTIONS

import mpc
from mpc.bits import numbers, planes
from mpc.errors import EncodingError
from mpc.ring import RINGS, RingArray
from protocols.carries import network
from protocols.conformance.operations import VARIANTS
from protocols.conformance.values import check, evaluate
from protocols.suite import CHUNK

SUITES = ["additive", "replicated"]
SIGNED: dict[int, Any] = {128: object, 64: np.int64, 32: np.int32}


def same(mine: Any, expected: Any) -> bool:
    return all(np.array_equal(m, e) for m, e in zip(mine, expected, strict=True))


def spread(bits: int) -> np.ndarray:
    """Edges and a hundred numbers of any size."""
    rng = np.random.default_rng(bits)
    anything = (
        int.from_bytes(rng.bytes(bits // 8), signed=True) >> int(s) for s in rng.integers(0, bits, 100)
    )
    return np.array([*edges(bits), *anything], SIGNED[bits])


def wrapped(x: np.ndarray, bits: int) -> np.ndarray:
    """What Python's integers have outgrown, which NumPy's have not."""
    return np.asarray((x + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1), object) if bits == 128 else x


@pytest.mark.parametrize("bits", RINGS)
@pytest.mark.parametrize(("suite", "parties"), GRID)
def test_bitwise_operations_at_every_edge(suite: str, parties: int, bits: int) -> None:
    a = spread(bits)
    b = np.random.default_rng(1).permutation(a)
    s = mpc.local(parties, suite, ring=bits)
    x, y = s.secret(a), s.secret(b, owner=1)
    assert same(s.reveal(x & y, x | y, x ^ y, ~x), (a & b, a | b, a ^ b, ~a))
    assert same(
        s.reveal(x & b, b | x, x ^ b, x & 0x5A5A5A5, x & -1, x & 0, x & 127, -8 & x),
        (a & b, a | b, a ^ b, a & 0x5A5A5A5, a, a * 0, a & 127, a & -8),
    )


@pytest.mark.parametrize(
    ("suite", "parties", "bits"),
    [(*who, bits) for who in GRID for bits in RINGS if who[1] <= 3 or bits == 32],
)
def test_shifts_quotients_and_remainders_at_every_edge(suite: str, parties: int, bits: int) -> None:
    a = spread(bits)
    s = mpc.local(parties, suite, ring=bits)
    x = s.secret(a)
    for m in (0, 1, 2, 15, bits // 2, bits - 2):
        d = 1 << m
        assert same(
            s.reveal(x >> m, x << m, x // d, x % d), (a >> m, wrapped(a << m, bits), a // d, a % d)
        ), m
    assert same(s.reveal(*divmod(x, 4), *divmod(x, d)), (a // 4, a % 4, a // d, a % d))
    amounts = (np.arange(len(a)) % bits).astype(a.dtype)
    assert same(s.reveal(x >> amounts, x << amounts), (a >> amounts, wrapped(a << amounts, bits)))


@pytest.mark.parametrize(
    ("suite", "parties", "bits", "fixed"),
    [
        (suite, parties, bits, fixed)
        for suite, parties in (("additive", 2), ("replicated", 3))
        for bits in RINGS
        for fixed in (False, True)
        if fixed == ((suite == "additive") == (bits == 64))
    ],
)
def test_variants_of_the_conformance_suites_operations(
    suite: str, parties: int, bits: int, fixed: bool
) -> None:
    """Over 64 bits all with both suites, over another ring every second one with either."""
    fraction = FRACTIONS[bits] if fixed else 0
    table = VARIANTS if bits == 64 else VARIANTS[suite == "additive" :: 2]
    s = mpc.local(parties, suite, ring=bits, fraction_bits=FRACTIONS[bits])
    check(evaluate(s, fraction, table), fraction, 2.0 ** -FRACTIONS[bits], table)


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=70
    ),
    st.integers(0, 62),
    st.sampled_from(SUITES),
    st.sampled_from([64, 32]),
)
def test_integers_are_numpys(pairs: list[tuple[int, int]], m: int, suite: str, bits: int) -> None:
    a, b = (np.array(pairs).T >> 64 - bits).astype(SIGNED[bits])
    m %= bits - 1
    s = mpc.local(3 if suite == "replicated" else 2, suite, ring=bits)
    x, y = s.secret(a), s.secret(b, owner=1)
    assert same(
        s.reveal(x & y, x ^ y, x | y, x >> m, x % (1 << m), x // (1 << m)),
        (a & b, a ^ b, a | b, a >> m, a % (1 << m), a // (1 << m)),
    )


@settings(max_examples=30)
@given(
    st.lists(st.integers(-(2**61) + 1, 2**61 - 1), min_size=1, max_size=70),
    st.integers(1, 30),
    st.sampled_from(SUITES),
)
def test_rounding_is_numpys(units: list[int], fraction: int, suite: str) -> None:
    """Any multiple of the last place, so near to whole numbers and halves as doubles go."""
    # 53 bits at most before and after the point
    whole = np.array(units) >> max(0, fraction - 16)
    values = np.concatenate(
        [
            (whole >> 9) / 2.0 ** min(fraction, 16),
            np.arange(-6, 7) / 2,
            np.arange(-6, 7) / 2 + 2.0**-fraction,
            np.arange(-6, 7) / 2 - 2.0**-fraction,
        ]
    )
    s = mpc.local(3 if suite == "replicated" else 2, suite)
    x = s.secret(values, kind=mpc.Fixed(fraction))
    for f in (np.floor, np.ceil, np.trunc, np.rint, np.fabs):
        assert np.array_equal(f(x).reveal(), f(values)), f.__name__
    assert same(s.reveal(x % 4, x // 4, x % 0.5), (values % 4, values // 4, values % 0.5))


@pytest.mark.parametrize("bits", RINGS)
@pytest.mark.parametrize("suite", SUITES)
def test_rounding_at_the_ends_of_the_range(suite: str, bits: int) -> None:
    fraction = RINGS[bits].fraction
    most = 2.0 ** (bits - 2 - fraction)
    values = np.array(
        [most - max(2.0**-fraction, most * 2.0**-45), -most / 2 - 0.5, most / 2 + 1.5, -most / 4 - 0.25]
    )
    s = mpc.local(3, suite, ring=bits)
    x = s.secret(values)
    for f in (np.floor, np.ceil, np.trunc, np.rint):
        assert np.array_equal(f(x).reveal(), f(np.rint(values * 2.0**fraction) / 2.0**fraction)), f.__name__


@pytest.mark.parametrize("suite", SUITES)
def test_big_arrays_go_in_pieces(suite: str) -> None:
    a = np.random.default_rng(2).integers(-(2**63), 2**63, CHUNK + 65)
    s = mpc.local(3, suite)
    x = s.secret(a)
    assert same(s.reveal(x & x[::-1], x & 0xF0F, x >> 9, x % 8), (a & a[::-1], a & 0xF0F, a >> 9, a % 8))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 3)])
def test_shapes_and_broadcasting(shape: tuple[int, ...]) -> None:
    a = np.arange(int(np.prod(shape))).reshape(shape) - 3
    s = mpc.local(2)
    x, y = s.secret(a), s.secret(np.array([[5], [-6]]))
    assert same(s.reveal(x & 6, x >> 1, x % 2, x & np.int64(3)), (a & 6, a >> 1, a % 2, a & 3))
    if shape == (2, 3):
        assert same(
            s.reveal(x & y, x >> [[1], [2]], x % [1, 2, 4]), (a & [[5], [-6]], a >> [[1], [2]], a % [1, 2, 4])
        )


@pytest.mark.parametrize(
    ("f", "suite", "parties", "rounds", "most"),
    [
        (lambda x: x % 65536, "additive", 2, 6, 7.4),
        (lambda x: x % 65536, "replicated", 3, 8, 21.3),
        (lambda x: x >> 16, "additive", 2, 8, 31.5),
        (lambda x: x >> 16, "replicated", 3, 10, 47.1),
        (lambda x: x & 0x55, "additive", 2, 16, 127.5),
        (lambda x: x & x, "additive", 2, 17, 191.5),
        (lambda x: x & x, "replicated", 3, 19, 188.2),
    ],
)
def test_costs(f: Callable[[Any], Any], suite: str, parties: int, rounds: int, most: float) -> None:
    n = 64 * 300
    s = mpc.local(parties, suite)
    s.sync(x := s.secret(np.arange(n)))
    meter = s.parties[0].meter
    sent, frames, before = meter.sent, meter.frames, meter.rounds
    s.sync(f(x))
    assert meter.rounds - before == rounds
    assert (meter.sent - sent - 64 * (meter.frames - frames)) / n <= most


@given(st.sets(st.integers(1, 64), min_size=1))
def test_the_network_gives_the_carries_that_are_wanted(places: set[int]) -> None:
    """Evaluated on intervals: position m − 1 ends as [0, m), each join of neighbours; for all places 32 joins
    a level.
    """
    span = [(i, i + 1) for i in range(64)]
    levels = network(places)
    assert sum(len(at) for _, at in levels) <= 192 and len(levels) == (max(places) - 1).bit_length()
    for t, at in levels:
        before = list(span)
        for i in at:
            low, high = before[(i >> t << t) - 1], before[i]
            assert low[1] == high[0]
            span[i] = low[0], high[1]
    assert all(span[m - 1] == (0, m) for m in places)


@pytest.mark.parametrize("bits", RINGS)
@given(st.integers(0, 200), st.integers(0, 2**32))
def test_numbers_from_planes(bits: int, n: int, seed: int) -> None:
    ring = RINGS[bits]
    x = words(ring, n, seed)
    assert (numbers(planes(RingArray(ring, x)), ring, n).data == x).all()


@pytest.mark.parametrize(
    ("f", "error"),
    [
        (lambda x, z: z & 1, TypeError),
        (lambda x, z: x & 1.5, TypeError),
        (lambda x, z: ~z, TypeError),
        (lambda x, z: z >> 1, TypeError),
        (lambda x, z: x << 64, ValueError),
        (lambda x, z: x >> -1, ValueError),
        (lambda x, z: x % 0, ZeroDivisionError),
        (lambda x, z: x // [1, 0], ZeroDivisionError),
        (lambda x, z: x // np.nan, EncodingError),
        (lambda x, z: z % np.inf, EncodingError),
        (lambda x, z: x << z, TypeError),
        (lambda x, z: z >> x, TypeError),
        (lambda x, z: np.bitwise_count(z), TypeError),
        (lambda x, z: np.fmod(x, 0), ZeroDivisionError),
        (lambda x, z: divmod(z, 0.0), ZeroDivisionError),
        (lambda x, z: np.round(z, -1), NotImplementedError),
    ],
)
def test_what_is_refused_says_why(f: Callable[[Any, Any], Any], error: type[Exception]) -> None:
    s = mpc.local(2)
    with pytest.raises(error, match=r"np\.|division"):
        f(s.secret([1, 2]), s.secret([1.5, 2.5]))


# -- selection ----------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=9),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=9, unique=True),
    st.sampled_from(SUITES),
    st.sampled_from([64, 32]),
)
def test_membership_over_the_whole_range(values: list[int], domain: list[int], suite: str, bits: int) -> None:
    domain = sorted({d >> 64 - bits for d in domain})
    a = np.array([*(v >> 64 - bits for v in values), *domain[:3], *domain[-1:]])
    s = mpc.local(3, suite, ring=bits)
    x = s.secret(a)
    found, counts = s.reveal(np.isin(x, np.array(domain, int)), mpc.unique_counts(x, np.array(domain, int)))
    assert (found == np.isin(a, np.array(domain, int))).all() and counts.tolist() == [
        (a == d).sum() for d in domain
    ]


@pytest.mark.parametrize("bits", RINGS)
@pytest.mark.parametrize("n", [1, 2, 63, 64])
@pytest.mark.parametrize("suite", SUITES)
def test_reading_at_every_position_and_outside(suite: str, n: int, bits: int) -> None:
    """Negative positions count from the end, as NumPy's; outside −n to n − 1 0 is read.  one_hot is false
    everywhere outside 0 to n − 1.
    """
    at = np.concatenate([np.arange(-n, n), [-n - 1, n, 2 ** (bits - 2), -(2 ** (bits - 1))]])
    values = np.random.default_rng(n).integers(-(2**31), 2**31, n)
    s = mpc.local(3, suite, ring=bits)
    index, secret = s.secret(at), s.secret(values, owner=1)
    hot, read, public, along = s.reveal(
        mpc.one_hot(index, n),
        np.take(secret, index),
        mpc.take(values, index),
        np.take_along_axis(secret, index, 0),
    )
    expected = np.concatenate([values, values, [0] * 4])
    assert (
        (hot == (at[:, None] == np.arange(n))).all()
        and (read == expected).all()
        and (public == expected).all()
        and (along == expected).all()
    )


@settings(max_examples=25)
@given(
    st.lists(st.integers(-(2**61), 2**61), min_size=1, max_size=12),
    st.lists(st.integers(-(2**61), 2**61), min_size=1, max_size=12),
    st.sampled_from(SUITES),
    st.sampled_from([64, 32]),
)
def test_searching_is_numpys(values: list[int], found: list[int], suite: str, bits: int) -> None:
    a, v = np.sort(values) >> 64 - bits, np.array([*found, *values[:3]]) >> 64 - bits
    s = mpc.local(3, suite, ring=bits)
    x, y = s.secret(a), s.secret(v, owner=1)
    for side in ("left", "right"):
        assert same(
            s.reveal(np.searchsorted(x, y, side), np.searchsorted(a, y, side), np.searchsorted(x, v, side)),
            [np.searchsorted(a, v, side)] * 3,
        )
    assert (np.histogram(y, a)[0].reveal() == np.histogram(v, a)[0]).all() if len(a) > 1 else True


def test_real_borders_of_integers_are_exact() -> None:
    """Not rounded to the last place of fixed point, and the integers keep their range."""
    a = np.array([-(2**61), -1, 0, 1, 2, 2**61])
    s = mpc.local(2)
    x = s.secret(a)
    edges = [-np.inf, -0.5, 1e-9, 1.0, 2 + 1e-9, np.inf]
    assert same(
        s.reveal(np.digitize(x, edges), np.histogram(x, edges)[0]),
        (np.digitize(a, edges), np.histogram(a, edges)[0]),
    )


@pytest.mark.parametrize("suite", SUITES)
def test_many_indices_go_in_pieces(suite: str) -> None:
    i = np.random.default_rng(3).integers(0, 300, 700)
    s = mpc.local(3, suite)
    counts, read = s.reveal(
        np.bincount(s.secret(i), minlength=300), mpc.take(np.arange(300) ** 2, s.secret(i))
    )
    assert (counts == np.bincount(i, minlength=300)).all() and (read == i**2).all()


@pytest.mark.parametrize(
    ("suite", "parties", "each", "value", "rounds"),
    [("additive", 2, 70, 8.5, 14), ("replicated", 3, 63, 8.3, 16)],
)
def test_costs_of_one_hot(suite: str, parties: int, each: float, value: float, rounds: int) -> None:
    s = mpc.local(parties, suite)
    s.sync(x := s.secret(np.arange(64 * 60)))
    meter = s.parties[0].meter
    for n in (1, 10, 17):
        sent, frames, before = meter.sent, meter.frames, meter.rounds
        s.sync(mpc.one_hot(x, n))
        assert (
            meter.rounds - before == rounds
            and (meter.sent - sent - 64 * (meter.frames - frames)) / x.size <= each + value * n
        )


@pytest.mark.parametrize(
    ("f", "error", "said"),
    [
        (lambda x, z: mpc.one_hot(z, 3), TypeError, "integers"),
        (lambda x, z: np.digitize(x, x), NotImplementedError, "searchsorted"),
        (lambda x, z: np.digitize(x, [1, 3, 2]), ValueError, "rise or fall"),
        (lambda x, z: np.searchsorted([1, 2], x, side="middle"), ValueError, "left and right"),
        (lambda x, z: mpc.unique_counts(z, [1.0, 1.0 + 1e-9]), ValueError, "the same"),
        (lambda x, z: np.histogram(x, [1, 2], density=True), NotImplementedError, "density"),
        (lambda x, z: np.bincount(z, minlength=2), TypeError, "integers"),
        (lambda x, z: np.bincount(x, [1.0], 2), ValueError, "weights"),
        (np.take, TypeError, "integers"),
        (lambda x, z: mpc.unique_counts(x, [[1]]), ValueError, "list"),
    ],
)
def test_selections_that_are_refused_say_why(
    f: Callable[[Any, Any], Any], error: type[Exception], said: str
) -> None:
    s = mpc.local(2)
    with pytest.raises(error, match=said):
        f(s.secret([1, 2]), s.secret([1.5, 2.5]))


# -- scans --------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(
    st.lists(st.integers(-(2**61), 2**61), min_size=1, max_size=20),
    st.sampled_from(SUITES),
    st.sampled_from([64, 32]),
)
def test_running_products_and_extremes_are_numpys(values: list[int], suite: str, bits: int) -> None:
    a = (np.array(values) >> 64 - bits).astype(SIGNED[bits])
    s = mpc.local(3, suite, ring=bits)
    x = s.secret(a)
    assert same(
        s.reveal(np.cumprod(x), np.maximum.accumulate(x), np.minimum.accumulate(x)),
        (np.cumprod(a, dtype=a.dtype), np.maximum.accumulate(a), np.minimum.accumulate(a)),
    )


def test_a_scan_takes_log_rounds() -> None:
    s = mpc.local(2)
    s.sync(x := s.secret(np.ones(100, int)))
    before = s.parties[0].meter.rounds
    s.sync(np.cumprod(x))
    assert s.parties[0].meter.rounds - before == 7


def test_running_sums_and_products_along_an_axis_that_there_is() -> None:
    s = mpc.local(3, check=True)
    total = np.cumsum(s.secret(2.5), axis=0)
    assert total.shape == total.reveal().shape == (1,)
    for f in (np.cumsum, np.cumprod):
        with pytest.raises((TypeError, ValueError)):
            f(s.secret([[1, 2], [3, 4]]), axis=())
