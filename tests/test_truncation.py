"""Truncation: ⌊x/2^m⌋ or that plus one, the latter with probability (x mod 2^m)/2^m, for every x in range."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import counts, input_of, play, total, whole, words

from mpc.ring import RINGS, Ring, RingArray
from protocols.suite import Suite
from protocols.suites import SUITES

GRID = [(name, n, bits) for name, suite in SUITES.items() for n in counts(suite)[:2] for bits in RINGS]


def truncated(suite: str, parties: int, ring: Ring, values: np.ndarray, bits: int) -> np.ndarray:
    """What all parties hold together after truncating signed ``values``; the same in every run."""

    async def main(suite: Suite) -> RingArray:
        z = await suite.truncate(await input_of(suite, ring(values)), bits)
        (out,) = await suite.open(z)
        return out

    result: RingArray = play(parties, main, kind=SUITES[suite], seed=abs(bits))[0]
    return ring.signed(result.data).astype(object)


def edges(ring: Ring) -> np.ndarray:
    """Powers of two and their neighbours, of both signs, up to the ends of the range."""
    limit = 1 << (ring.bits - 2)
    near = {s * (1 << i) + d for i in range(ring.bits - 1) for d in (-1, 0, 1) for s in (-1, 1)} | {0}
    return np.array(sorted(v for v in near if -limit < v < limit), object)


@pytest.mark.parametrize(("suite", "parties", "bits"), GRID)
def test_floor_or_one_more_for_every_number_of_bits(suite: str, parties: int, bits: int) -> None:
    """At the edges of the range and all through it; multiples of 2^m are exact."""
    ring = RINGS[bits]
    uniform = whole(RingArray(ring, words(ring, 200, bits)) >> 1) - (1 << (bits - 2))
    values = np.concatenate([edges(ring), uniform[np.abs(uniform) < 1 << (bits - 2)]])
    for m in range(1, bits - 1):
        more = (truncated(suite, parties, ring, values, m) - (values >> m)).astype(int)
        assert set(more.tolist()) <= {0, 1}
        assert not more[values % (1 << m) == 0].any()


@pytest.mark.parametrize(("suite", "parties", "bits"), GRID)
@pytest.mark.parametrize("m", [1, 8, 16, 24])
def test_rounding_is_right_on_average(suite: str, parties: int, bits: int, m: int) -> None:
    """The share of rounding up is (x mod 2^m)/2^m within 5 sigma, for several remainders and both signs."""
    ring, trials = RINGS[bits], 8000
    limit = (1 << (bits - 2)) - 1
    for value in (1, (1 << m) - 1, 1 << (m - 1), -(1 << m) // 3, limit, -limit, 12345678):
        ups = truncated(suite, parties, ring, np.full(trials, value, object), m) - (value >> m)
        p = (value % (1 << m)) / (1 << m)
        sigma = np.sqrt(p * (1 - p) / trials)
        assert abs(float(ups.mean()) - p) <= 5 * sigma + 2 / trials


@pytest.mark.parametrize("bits", RINGS)
def test_rounding_of_different_elements_is_independent(bits: int) -> None:
    ups = truncated("additive", 2, RINGS[bits], np.full(20000, 1 << 7), 8)
    correlation = np.corrcoef(ups[:-1].astype(int), ups[1:].astype(int))[0, 1]
    assert abs(correlation) < 5 / np.sqrt(20000)


@pytest.mark.parametrize("bits", RINGS)
def test_other_numbers_of_bits_are_refused(bits: int) -> None:
    for m in (0, -1, bits - 1, bits):
        with pytest.raises(ValueError):
            truncated("additive", 2, RINGS[bits], np.array([1]), m)


@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (70000,)])
def test_shapes(shape: tuple[int, ...]) -> None:
    values = np.full(shape, 5 << 16)

    async def main(suite: Suite) -> RingArray:
        return (await suite.truncate(await input_of(suite, RINGS[64](values)), 16)).parts[0]

    result = total(play(2, main))
    assert result.shape == shape and (result == 5).all()
