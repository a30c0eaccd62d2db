"""Protocols over a ring of eight bits, in which all pairs of terms can be tried: right for every one of them.

Nothing in them depends on the number of bits but where these tests cannot go (``Z_2^32`` for the position in
a sort); what is right for all carries between two blocks of four bits and for every term is right by the same
formulas for 32 and 64."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from typing import Any

import numpy as np
import pytest
from conftest import play

import mpc
from mpc import ring as rings
from mpc.encoding import Fixed
from mpc.prg import Stream
from mpc.ring import BITS, RINGS, Z32, Z64, Ring, RingArray, Spec, Z2k
from protocols import masked_bits
from protocols.carries import all_ones, carries_at, carry, network
from protocols.ops.bitwise import is_multiple, modulo, nearest, shifted
from protocols.ops.comparison import is_zero, negative
from protocols.ops.normalisation import any_bit, top_bit
from protocols.ops.sorting import _before
from protocols.prep import Correlation, DaBits, EdaBlocks, Parts, Prep, TruncationMask, in_columns
from protocols.prep.dealer import Dealt
from protocols.suite import Share, Suite
from protocols.suites import SUITES
from protocols.suites.replicated import Replicated
from protocols.truncation import masked

Z8 = Z2k(8)
EVERY = np.arange(256, dtype=np.uint8)
A, B = (x.reshape(-1) for x in np.meshgrid(EVERY, EVERY))  # all pairs
# what they add up to, as a signed number
X = (A + B).view(np.int8).astype(int)


@pytest.fixture(autouse=True)
def eight_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RINGS, 8, Z8)
    monkeypatch.setattr(rings, "_SMALL_MULADD_ONCE_AWAKE", 1 << 30)  # no kernel is compiled for bytes
    monkeypatch.setattr(rings, "_SMALL_MULADD", 1 << 30)


def two_terms(suite: Suite, knower: int) -> Share:
    """A and B as ``suite`` has them: A is what party ``knower`` knows, B what the others know; split at
    random where they are shared.
    """
    rng = np.random.default_rng(knower)
    if isinstance(suite, Replicated):
        suite._turns = knower - 1
        first = rng.integers(0, 256, A.size).astype(np.uint8)
        parts = {knower: first, (knower + 1) % 3: A - first, (knower + 2) % 3: B}
        rank = suite.seat.rank
        return Share(suite, (Z8(parts[rank]), Z8(parts[(rank + 1) % 3])))
    rest = [rng.integers(0, 256, A.size).astype(np.uint8) for _ in range(suite.seat.size - 2)]
    mine = [A, B - sum(rest, np.zeros_like(B)), *rest]
    return Share(suite, (Z8(mine[suite.seat.rank]),))


KNOWERS = [
    ("additive", 2, 0),
    ("additive", 3, 0),
    ("replicated", 3, 0),
    ("replicated", 3, 1),
    ("replicated", 3, 2),
]


def opened(suite: str, parties: int, main: Any) -> list[np.ndarray]:
    async def side(suite: Suite) -> Any:
        return await suite.open(*await main(suite))

    return [x.data for x in play(parties, side, kind=SUITES[suite])[0]]


def test_sign_and_zero_of_all_pairs_of_terms_without_a_dealer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two parties take no masks then."""
    monkeypatch.setattr(Dealt, "deals", False)
    test_sign_and_zero_of_all_pairs_of_terms("additive", 2, 0)


@pytest.mark.parametrize(("suite", "parties", "knower"), KNOWERS)
def test_sign_and_zero_of_all_pairs_of_terms(suite: str, parties: int, knower: int) -> None:
    async def main(suite: Suite) -> Any:
        below = await negative(suite, two_terms(suite, knower))
        return below, await is_zero(suite, two_terms(suite, knower))

    below, zero = opened(suite, parties, main)
    assert (below == (X < 0)).all() and (zero == (X == 0)).all()


class Nothing(Stream):
    """In place of a mask that is there to make rounding random: terms stay what the test makes them."""

    def draw(self, spec: Spec) -> RingArray:
        return spec.ring.zeros(spec.shape)


@pytest.mark.parametrize(("suite", "parties", "knower"), KNOWERS[:1] + KNOWERS[2:3])
def test_truncation_of_all_pairs_of_terms(suite: str, parties: int, knower: int) -> None:
    """For every x in range and number of bits: ⌊x/2^m⌋, and one more for as many of all terms as x has
    2^−m-ths to it.
    """

    async def main(suite: Suite) -> Any:
        suite.seat.common = Nothing(bytes(32), "nothing")
        return [await suite.truncate(two_terms(suite, knower), m) for m in range(1, 7)]

    within = np.abs(X) < 64
    for m, result in enumerate(opened(suite, parties, main), 1):
        more = result.view(np.int8).astype(int) - (X >> m)
        assert set(more[within]) <= {0, 1}
        for x in range(-63, 64):
            assert more[x == X].sum() == x % (1 << m) * 256 >> m
        for t in (A + np.uint8(63), B):  # what one side sees, and the other
            assert (more == (X % (1 << m) > t % (1 << m)))[within].all()


class Every(Prep):
    """Masks whose numbers are B and whose bits are alike, of which party 0 holds everything."""

    deals = True

    def __init__(self, rank: int) -> None:
        self.rank = rank

    async def draw(self, kind: Correlation) -> tuple[Parts, Awaitable[Parts]]:
        if isinstance(kind, DaBits):
            masks = BITS(np.arange(kind.words, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
        else:
            assert isinstance(kind, TruncationMask | EdaBlocks)
            masks = Z8(B) if isinstance(kind, TruncationMask) else in_columns(Z8(B))

        async def here() -> Parts:
            return tuple(p if self.rank == 0 else p.ring.zeros(p.shape) for p in kind.derive(masks))

        return ((masks if self.rank == 0 else masks.ring.zeros(masks.shape)),), here()


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_truncation_with_all_masks(parties: int) -> None:
    values = A.view(np.int8).astype(int)

    async def main(suite: Suite) -> Any:
        x = Share(suite, (Z8(A * np.uint8(7 if suite.seat.rank else 1 - 7 * (parties - 1) & 255)),))
        return [await masked(suite, Every(suite.seat.rank), x, m) for m in range(1, 7)]

    within = np.abs(values) < 64
    for m, result in enumerate(opened("additive", parties, main), 1):
        more = result.view(np.int8).astype(int) - (values >> m)
        assert set(more[within]) <= {0, 1}
        for x in range(-63, 64):
            assert more[x == values].sum() == x % (1 << m) * 256 >> m


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_signs_and_zeros_with_all_masks(parties: int) -> None:
    values = A.view(np.int8).astype(int)

    async def main(suite: Suite) -> Any:
        rank = suite.seat.rank
        x = Share(suite, (Z8(A * np.uint8(7 if rank else 1 - 7 * (parties - 1) & 255)),))
        prep = Every(rank)
        below = await carry(suite, await masked_bits.signs(suite, prep, x))
        equal = await all_ones(suite, await masked_bits.zeros(suite, prep, x))
        return [await masked_bits.to_ring(suite, prep, bits, Z8, A.size) for bits in (below, equal)]

    below, equal = opened("additive", parties, main)
    assert (below == (values < 0)).all() and (equal == (values == 0)).all()


@pytest.mark.parametrize(("suite", "parties", "knower"), KNOWERS[:3])
def test_quotients_of_all_pairs_of_terms(suite: str, parties: int, knower: int) -> None:
    async def main(suite: Suite) -> Any:
        x = two_terms(suite, knower)
        return [await f(suite, m, x) for m in range(1, 8) for f in (modulo, shifted, is_multiple)] + [
            await nearest(suite, m, x) for m in range(1, 7)
        ]

    results = opened(suite, parties, main)
    for m in range(1, 8):
        low, high, multiple = results[3 * m - 3 : 3 * m]
        assert (
            (low == X % (1 << m)).all()
            and (high.view(np.int8) == X >> m).all()
            and (multiple == (X % (1 << m) == 0)).all()
        )
    for m, result in enumerate(results[21:], 1):
        # at the end of the range it wraps, as it must
        assert (result == (np.rint(X / 2**m).astype(int) << m).astype(np.uint8)).all()


@pytest.mark.parametrize(("suite", "parties"), [("additive", 2), ("additive", 3), ("replicated", 3)])
def test_all_pairs_of_numbers(suite: str, parties: int) -> None:
    """What NumPy says of all pairs of bytes; of comparisons those whose difference is in range."""
    s = mpc.local(parties, suite, ring=8, insecure_seed=1)
    a, b = (z.view(np.int8) for z in (A, B))
    x, y = s.secret(a, owner=0), s.secret(b, owner=1)
    results = s.reveal(x & y, x | y, x ^ y, x < y, x == y, x <= y, x * y, x & 0b0101101, ~x)
    near = np.abs(a.astype(int) - b) < 128
    expected = (a & b, a | b, a ^ b, a < b, a == b, a <= b, a * b, a & 0b0101101, ~a)
    for mine, right in zip(results, expected, strict=True):
        assert (mine == right)[near if right.dtype == bool else slice(None)].all()


@pytest.mark.parametrize(("suite", "parties"), [("additive", 2), ("additive", 5), ("replicated", 3)])
def test_all_fixed_point_numbers(suite: str, parties: int) -> None:
    s = mpc.local(parties, suite, ring=8, insecure_seed=1)
    # one whole unit from the ends, so that no result leaves the range
    v = np.arange(-63, 64) / 4
    v = v[np.abs(v) < 15]
    x = s.secret(v, kind=Fixed(2))
    results = s.reveal(
        np.floor(x), np.ceil(x), np.trunc(x), np.rint(x), x % 0.5, x % 8, x // 2, abs(x), np.sign(x)
    )
    for mine, right in zip(
        results,
        (np.floor(v), np.ceil(v), np.trunc(v), np.rint(v), v % 0.5, v % 8, v // 2, abs(v), np.sign(v)),
        strict=True,
    ):
        assert (mine == right).all()


@pytest.mark.parametrize(("suite", "parties"), [("additive", 2), ("additive", 3), ("replicated", 3)])
def test_which_of_all_values_it_is(suite: str, parties: int) -> None:
    s = mpc.local(parties, suite, ring=8, insecure_seed=1)
    v = EVERY.view(np.int8)
    x = s.secret(v)
    hot, within, read = s.reveal(
        mpc.one_hot(x, 100), np.isin(x, [-128, -3, 0, 5, 127]), mpc.take(np.arange(100, 40, -1), x)
    )
    assert (hot == (v[:, None] == np.arange(100))).all() and (
        within == np.isin(v, [-128, -3, 0, 5, 127])
    ).all()
    assert (read == np.where((v >= -60) & (v < 60), 100 - v.astype(int) % 60, 0)).all()


@pytest.mark.parametrize(("suite", "parties"), [("additive", 2), ("additive", 3), ("replicated", 3)])
def test_all_products_with_reals(suite: str, parties: int) -> None:
    """x·p for every x and p with both in range, whichever way the truncations round: within the three units,
    and right on average.
    """
    s = mpc.local(parties, suite, ring=8, insecure_seed=1)
    p = np.concatenate([np.arange(-96, 97) / 33, [1e-3, -7.77, 13.9, 15.2]])
    d = np.where(np.abs(p) > 0.07, p, 1)
    values = np.arange(-31, 32)
    x = np.where(np.abs(values[:, None] * p) < 32, values[:, None], 0)  # units of Fixed(2)
    secret = s.secret(np.tile(x, (40, 1, 1)) / 4, kind=Fixed(2))
    for mine, right in zip(s.reveal(secret * p, secret / d), (x * p, x / d), strict=True):
        error = np.where(np.abs(right) < 32, mine * 4 - right, 0)
        assert np.abs(error).max() < 3 and np.abs(error.mean(axis=0)).max() < 1.5


@pytest.mark.parametrize("n", range(1, 10))
def test_the_top_bit_of_all_numbers(n: int) -> None:
    values = np.arange(1 << n)
    packed = np.packbits(
        (values[None] >> np.arange(n)[:, None] & 1).astype(np.uint8), axis=1, bitorder="little"
    )
    planes = np.zeros((n, -(-len(values) // 64) * 8), np.uint8)
    planes[:, : packed.shape[1]] = packed

    async def main(suite: Suite) -> Any:
        x = suite.constant(BITS(planes.view(np.uint64)))
        some, place = await top_bit(suite, x)
        return some.reshape((1, *some.shape)), place, await any_bit(suite, x)

    some, place, either = (
        np.unpackbits(x.view(np.uint8), axis=1, bitorder="little", count=len(values))
        for x in opened("replicated", 3, main)
    )
    assert (some[0] == (values > 0)).all() and (either[0] == (values > 0)).all()
    assert (
        (place.T @ (1 << np.arange(len(place)))) == [max(0, int(v).bit_length() - 1) for v in values]
    ).all()


@pytest.mark.parametrize("n", range(1, 8))
def test_carries_out_of_every_place_for_all_sums(n: int) -> None:
    """Of all pairs of numbers of n bits, through a network that is cut down to any one or two places."""
    a, b = (x.reshape(-1) for x in np.meshgrid(np.arange(1 << n), np.arange(1 << n)))
    words = -(-a.size // 64)

    def planes(x: np.ndarray) -> RingArray:
        out = np.zeros((n, 8 * words), np.uint8)
        bits = np.packbits((x[None] >> np.arange(n)[:, None] & 1).astype(np.uint8), axis=1, bitorder="little")
        out[:, : bits.shape[1]] = bits
        return BITS(out.view(np.uint64))

    choices = [[m] for m in range(1, n + 1)] + [[m, n] for m in range(1, n)]

    async def main(suite: Suite) -> Any:
        g, p = suite.constant(planes(a & b)), suite.constant(planes(a ^ b))
        return [await carries_at(suite, g, p, places) for places in choices]

    for places, result in zip(choices, opened("replicated", 3, main), strict=True):
        got = np.unpackbits(result.view(np.uint8), axis=1, bitorder="little", count=a.size)
        for row, m in zip(got, places, strict=True):
            assert (row == ((a % (1 << m)) + (b % (1 << m)) >> m)).all()
        assert len(network(places)) == (max(places) - 1).bit_length()


def near_the_ends(ring: Ring) -> list[int]:
    """Values whose differences lie in the range of comparisons, among them carries from every second place
    (of 64) to the top.
    """
    most = 1 << (ring.bits - 2)
    return sorted(
        {
            s * ((1 << i) + d)
            for i in range(0, ring.bits - 1, ring.bits // 32)
            for d in (-1, 0)
            for s in (-1, 1)
            if (1 << i) + d < most
        }
        | {0, -most}
    )


@pytest.mark.parametrize("ring", [Z32, Z64])
@pytest.mark.parametrize(("suite", "parties"), [("additive", 2), ("additive", 3), ("replicated", 3)])
def test_which_of_two_comes_first(suite: str, parties: int, ring: Ring) -> None:
    """By a value, a second value and a position: all pairs of edges, with ties in one, in the other and in
    both.
    """
    edges = np.array(near_the_ends(ring))
    i, j = (x.reshape(-1) for x in np.meshgrid(np.arange(len(edges)), np.arange(len(edges))))
    sides: Iterator[tuple[Any, ...]] = zip(
        *[(u, v, p, q) for u, v in ((0, 0), (-5, 5), (5, -5)) for p, q in ((1, 2), (2**31 - 1, 0))],
        strict=True,
    )
    second, other, place, rival = (np.repeat(x, len(i)) for x in sides)
    i, j = np.tile(i, 6), np.tile(j, 6)
    left = np.stack([edges[i], second, place])
    right = np.stack([edges[j], other, rival])
    n = len(i)

    async def main(suite: Suite) -> Any:
        both = ring(np.concatenate([left, right], axis=1))
        keys = await suite.input(1, both if suite.seat.rank == 1 else None, both.spec)
        return [
            await _before(suite, k, np.arange(n), np.arange(n, 2 * n)) for k in (keys, keys[1:], keys[2:])
        ]

    three, two, one = play(parties, main, kind=SUITES[suite])[0]
    rows = [[tuple(column) for column in side.T.tolist()] for side in (left, right)]
    assert three.tolist() == [u < v for u, v in zip(*rows, strict=True)]
    assert two.tolist() == [u[1:] < v[1:] for u, v in zip(*rows, strict=True)]
    assert one.tolist() == [u[2] < v[2] for u, v in zip(*rows, strict=True)]
