"""Random numbers that nobody knows: their laws, who could know them, and NumPy's names and refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import GRID, coalitions, play, replay, stream

import mpc
from mpc.prg import Stream
from mpc.ring import RINGS, Spec
from protocols.ops import randomness
from protocols.ops.randomness import below, normals
from protocols.suite import Suite
from protocols.suites import SUITES

BITS = sorted(RINGS)


def even(counts: np.ndarray) -> bool:
    """Whether counts are those of equally likely values: chi-square beyond its mean by what is seen once in
    10^9 runs.
    """
    expected, freedom = counts.sum() / counts.size, counts.size - 1
    return float(((counts - expected) ** 2 / expected).sum()) < freedom + 6 * math.sqrt(2 * freedom) + 30


@pytest.mark.parametrize(
    ("suite", "parties", "bits"), [(s, n, bits) for s, n in GRID for bits in BITS if n < 5 or bits == 64]
)
def test_laws(suite: str, parties: int, bits: int) -> None:
    session = mpc.local(parties, suite, ring=bits)
    rng, size = session.random, 4000
    dice, odd, signs, reals, normal = session.reveal(
        rng.integers(1, 6, size, endpoint=True),
        rng.integers(-3, 4, size),
        rng.integers(0, 2, size, dtype=bool),
        rng.random(size),
        rng.normal(size=size + 1),
    )
    assert even(np.bincount(dice, minlength=7)[1:]) and dice.min() == 1 and dice.max() == 6
    assert even(np.bincount(odd + 3)) and set(odd) == set(range(-3, 4))
    assert signs.dtype == bool and even(np.bincount(signs))
    assert reals.min() >= 0 and reals.max() < 1 and even(np.histogram(reals, 16, (0, 1))[0])
    assert (reals * 2.0**session.fixed.fraction % 1 == 0).all()
    assert normal.shape == (size + 1,) and abs(normal.mean()) < 0.1 and abs(normal.std() - 1) < 0.08
    inside = np.array([math.erf(t / math.sqrt(2)) for t in (0.5, 1, 2, 3)])
    assert np.abs([(np.abs(normal) < t).mean() for t in (0.5, 1, 2, 3)] - inside).max() < 0.06
    assert abs(np.corrcoef(normal[:-1:2], normal[1::2])[0, 1]) < 0.16  # of the two that have one u


@pytest.mark.parametrize(("suite", "parties"), [(s, n) for s, n in GRID if n < 5])
def test_a_coalition_knows_nothing(suite: str, parties: int) -> None:
    """With all that it has as it was, and other keys of the others, the numbers are other ones, and as evenly
    spread.
    """
    ring, size = RINGS[64], 600

    async def main(suite: Suite) -> Any:
        made = [await below(suite, ring, size, m) for m in (2, 8, 10)]
        return [x.data for x in await suite.open(*made, await normals(suite, ring, size, 16))]

    kind = SUITES[suite]
    for coalition in coalitions(kind, parties):
        first, second = (replay(parties, main, kind=kind, coalition=coalition, others=i)[0] for i in (1, 2))
        for m, a, b in zip((2, 8, 10), first, second, strict=False):
            both = np.bincount((a.astype(int) - b.astype(int)) % m, minlength=m)
            assert even(both), (coalition, m)
        assert (first[3] != second[3]).mean() > 0.99


@pytest.mark.parametrize("bits", BITS)
def test_elements_below_a_bound(bits: int) -> None:
    """Exactly uniform, also where the bound is just above a power of two and half of all draws are
    made anew.
    """
    ring = RINGS[bits]
    for most in (1, 3, 5, 33):
        x = np.asarray(ring.signed(stream(bits, "x").below(Spec(ring, (4000,)), most).data)).astype(int)
        assert x.min() >= 0 and x.max() == most - 1 and (most == 1 or even(np.bincount(x, minlength=most)))
    large = (1 << bits - 2) + 1
    y = ring.signed(Stream.fresh("y").below(Spec(ring, (50, 2)), large).data)
    assert y.shape == (50, 2) and all(0 <= v < large for v in y.ravel().tolist())


@pytest.mark.parametrize(("suite", "parties"), [("replicated", 3), ("additive", 2), ("additive", 5)])
def test_the_widest_ranges(suite: str, parties: int) -> None:
    rng = mpc.local(parties, suite).random
    most = ((1 << 63) - 1) // parties
    for low, high in ((-(1 << 63), 1 << 63), (0, most), (-5, most - 5), (1 << 62, (1 << 62) + 3)):
        x = rng.integers(low, high, 200).reveal()
        assert (
            (x >= low).all()
            and (x.astype(object) < high).all()
            and len(set(x.tolist())) > min(2, high - low - 1)
        )
    with pytest.raises(NotImplementedError, match=r"random\.integers .* power of two"):
        rng.integers(0, most + 2)


@pytest.mark.parametrize(
    ("f", "error", "said"),
    [
        (lambda r: r.integers(0), ValueError, "no integer"),
        (lambda r: r.integers(3, 3), ValueError, "no integer"),
        (lambda r: r.integers(5, 4, endpoint=True), ValueError, "no integer"),
        (lambda r: r.integers(0, 3, dtype=bool), ValueError, "bool"),
        (lambda r: r.integers(9, dtype=np.float64), NotImplementedError, "int or bool"),
        (lambda r: r.integers(2.5), TypeError, "integer"),
        (lambda r: r.normal(0, -1), ValueError, "scale"),
        (lambda r: r.random(-1), ValueError, "negative"),
        (lambda r: r.uniform(np.zeros(5), 1, size=1), ValueError, "size"),
        (lambda r: r.normal(0, [1, 2, 3], size=(4, 1)), ValueError, "size"),
        (lambda r: r.normal(np.zeros(3), size=2), ValueError, "broadcast"),
        (lambda r: r.normal(np.nan), mpc.EncodingError, "NaN"),
        (lambda r: r.uniform(0, 1e300), mpc.EncodingError, "range"),
    ],
)
def test_what_is_refused(f: Callable[[Any], Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        f(mpc.local(2).random)


def test_shapes_and_arguments_are_numpys() -> None:
    mine, numpys = mpc.local(3).random, np.random.default_rng(0)
    for call in (
        lambda r: r.integers(7),
        lambda r: r.integers(7, size=0),
        lambda r: r.integers(1, 2, (2, 3)),
        lambda r: r.random(),
        lambda r: r.random(4),
        lambda r: r.normal(size=(3, 1)),
        lambda r: r.normal([1, 2], 3),
        lambda r: r.uniform([0, 1], [[2], [3]]),
        lambda r: r.uniform(),
        lambda r: r.normal(2.5, 0),
        lambda r: r.normal([1, 2], size=(3, 2)),
        lambda r: r.uniform(0, [1, 2], size=(3, 2)),
        lambda r: r.normal(0, [[1], [2]], size=(2, 4)),
    ):
        assert np.shape(call(mine).reveal()) == np.shape(call(numpys))
    assert mine.normal([1.5, 2], 0).reveal().tolist() == [1.5, 2] and mine.integers(
        4, 5, 3
    ).reveal().tolist() == [4, 4, 4]


def test_a_check_takes_them_as_they_are() -> None:
    s = mpc.local(3, check=True)
    x, z = s.random.integers(0, 100, 50), s.random.normal(size=50)
    (x + 1).reveal()
    assert s.reveal(x // 7, z * 2 + x, np.sort(z))[0].max() < 15


def test_a_program_draws_the_same_everywhere() -> None:
    drawn = mpc.local(3).run(lambda party: party.random.integers(0, 1000, 5).reveal().tolist())
    assert drawn[0] == drawn[1] == drawn[2] and len(set(drawn[0])) > 1


@pytest.mark.parametrize(("suite", "parties"), [("replicated", 3), ("additive", 2), ("additive", 3)])
def test_normal_numbers_are_box_and_mullers_of_what_was_drawn(
    suite: str, parties: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two units at most from the transform, in doubles, of the very u and z that it starts from."""
    drawn: dict[Any, Any] = {}
    below, circle = randomness.below, randomness.circle

    async def uniform(suite: Suite, *arguments: Any) -> Any:
        drawn[suite.seat.rank, "u"] = u = await below(suite, *arguments)
        return u

    async def turned(suite: Suite, z: Any, *arguments: Any) -> Any:
        drawn[suite.seat.rank, "z"] = z
        return await circle(suite, z, *arguments)

    monkeypatch.setattr(randomness, "below", uniform)
    monkeypatch.setattr(randomness, "circle", turned)
    for bits in (32, 64):
        ring, f, p = RINGS[bits], RINGS[bits].fraction, bits // 2 - 2

        async def main(suite: Suite, ring: Any = ring, f: int = f) -> Any:
            x = await normals(suite, ring, 4000, f)
            return await suite.open(x, drawn[suite.seat.rank, "u"], drawn[suite.seat.rank, "z"])

        x, u, z = (ring.signed(a.data).astype(float) for a in play(parties, main, kind=SUITES[suite])[0])
        assert u.min() >= 0 and u.max() < 2**p
        radius, angle = np.sqrt(-2 * np.log((u + 1) / 2**p)), 2 * np.pi * z / 2.0**bits
        true = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)
        error = np.abs(x - true * 2**f)
        assert 0.25 < error.mean() < 0.45 and error.max() <= 2
