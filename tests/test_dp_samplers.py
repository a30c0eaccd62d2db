"""The samplers have the laws they name: certified tables, chi-square, and the rare samples that take more
bits.
"""

from __future__ import annotations

import math
from fractions import Fraction
from time import process_time

import mpmath
import numpy as np
import pytest
from scipy import stats

from mpc.errors import EncodingError
from mpc.prg import Stream
from mpc.ring import RingArray, Spec
from protocols.privacy.laws import DiscreteGaussian, DiscreteLaplace, Law, Poisson, table
from protocols.privacy.samplers import CHUNK, Skellam, sample, settle

LAWS: list[Law] = [
    DiscreteGaussian(Fraction(1, 1000)),
    DiscreteGaussian(Fraction(1, 3)),
    DiscreteGaussian(Fraction(2)),
    DiscreteGaussian(Fraction(1000, 7)),
    DiscreteLaplace(Fraction(1, 5)),
    DiscreteLaplace(Fraction(7, 2)),
    Poisson(Fraction(1, 100)),
    Poisson(Fraction(5)),
    Poisson(Fraction(777, 2)),
]


def weight(law: Law | Skellam, k: int) -> mpmath.mpf:
    """The formula of each law as the paper has it, in mpmath."""
    match law:
        case DiscreteGaussian(variance):
            return mpmath.exp(-mpmath.mpf(k * k) / 2 * variance.denominator / variance.numerator)
        case DiscreteLaplace(scale):
            return mpmath.exp(-mpmath.mpf(abs(k)) * scale.denominator / scale.numerator)
        case Poisson(rate):
            return (
                mpmath.mpf(rate.numerator) ** k / mpmath.mpf(rate.denominator) ** k / mpmath.factorial(k)
                if k >= 0
                else mpmath.mpf(0)
            )
        case Skellam(variance):
            return mpmath.besseli(abs(k), mpmath.mpf(variance.numerator) / variance.denominator)
    raise AssertionError


def exact(law: Law | Skellam, ks: range) -> list[float]:
    """P(k) for all k of a window that holds all but 10^-30 of the law."""
    weights = [weight(law, k) for k in ks]
    return [float(w / sum(weights)) for w in weights]


def window(law: Law | Skellam) -> range:
    if isinstance(law, Skellam):
        reach = math.ceil(12 * math.sqrt(law.variance)) + 30
        return range(-reach, reach + 1)
    first, last = law.window(100)
    return range(first, last + 1)


@pytest.mark.parametrize(
    ("law", "bits"),
    [
        *((law, bits) for law in LAWS for bits in (4, 64, 130)),
        (DiscreteGaussian(Fraction(10**5)), 64),
        (DiscreteLaplace(Fraction(50)), 64),
        (Poisson(Fraction(10**4)), 64),
    ],
    ids=str,
)
def test_tables_are_right_to_the_last_bit(law: Law, bits: int) -> None:
    made = table(law, bits)
    with mpmath.workdps(120):
        first, last = law.window(350)
        weights = [weight(law, k) for k in range(first, last + 1)]
        total, below, floors = sum(weights), mpmath.mpf(0), {}
        for k, w in zip(range(first, last + 1), weights, strict=True):
            below += w
            floors[k] = min(int(mpmath.floor(below / total * 2**bits)), 2**bits - 1)
    for k, floor in enumerate(made.floors, made.first):
        assert floor == floors[k]
    assert made.floors[-1] == 2**bits - 1
    assert made.first == 0 or floors[made.first] == 0  # nothing lies below the table


def pvalue(values: np.ndarray, law: Law | Skellam) -> float:
    """Chi-square against the exact law, cells with fewer than ten expected put together."""
    ks = window(law)
    expected = np.array(exact(law, ks)) * len(values)
    assert values.min() >= ks.start and values.max() < ks.stop
    observed = np.bincount(values - ks.start, minlength=len(ks))
    common = expected >= 10
    seen, due = observed[common], expected[common]
    rest = len(values) - due.sum()
    if rest > 1:
        seen, due = np.append(seen, observed[~common].sum()), np.append(due, rest)
    return float(stats.chi2.sf(((seen - due) ** 2 / due).sum(), len(due) - 1))


@pytest.mark.parametrize("law", [*LAWS[1:], Skellam(Fraction(1, 2)), Skellam(Fraction(60))], ids=str)
def test_samples_have_the_law(law: Law | Skellam) -> None:
    assert pvalue(sample(law, 500_000, Stream(b"samplers" * 4, str(law))), law) > 1e-3


def test_the_test_sees_a_small_difference() -> None:
    values = sample(DiscreteGaussian(Fraction(2)), 500_000, Stream(b"samplers" * 4, "power"))
    assert pvalue(values, DiscreteGaussian(Fraction(204, 100))) < 1e-6
    assert (
        pvalue(
            np.rint(np.random.default_rng(1).normal(0, math.sqrt(2), 500_000)).astype(np.int64),
            DiscreteGaussian(Fraction(2)),
        )
        < 1e-6
    )


@pytest.mark.parametrize(
    "law", [DiscreteGaussian(Fraction(2)), DiscreteLaplace(Fraction(3, 2)), Poisson(Fraction(5))], ids=str
)
def test_settling_has_the_law(law: Law) -> None:
    """With two bits at first nearly every sample takes more."""
    stream = Stream(b"samplers" * 4, "settle")
    words = np.frombuffer(stream.bytes(8000), np.uint8) & 3
    assert pvalue(np.array([settle(law, int(w), 2, stream) for w in words]), law) > 1e-3


@pytest.mark.parametrize("law", [DiscreteGaussian(Fraction(2)), Poisson(Fraction(5))], ids=str)
def test_settling_finds_what_all_bits_at_once_find(law: Law) -> None:
    whole = table(law, 72)
    for word in range(256):
        seed = bytes([word]) * 32
        rest = int.from_bytes(Stream(seed, "rest").bytes(8), "little")
        value, decided = whole.find(word << 64 | rest)
        assert decided
        before, enough = table(law, 8).find(word)
        assert settle(law, word, 8, Stream(seed, "rest")) == (before if enough else value)
        assert not enough or before == value


class Scripted(Stream):
    """Words that all fall on the table's floors, then bits that are all the same."""

    __slots__ = ("tail", "words")

    def __init__(self, words: np.ndarray, tail: bytes) -> None:
        super().__init__(bytes(32), "scripted")
        self.words, self.tail = words, tail

    def draw(self, spec: Spec) -> RingArray:
        assert spec.shape == self.words.shape
        return RingArray(spec.ring, self.words)

    def bytes(self, n: int) -> bytes:
        return self.tail * n


@pytest.mark.parametrize("law", [DiscreteGaussian(Fraction(2)), Poisson(Fraction(5))], ids=str)
def test_samples_on_a_floor_are_settled(law: Law) -> None:
    made = table(law, 64)
    inner = slice(1, len(made.floors) - 1)  # where floors are all different
    words = np.array(made.floors[inner], np.uint64)
    assert len(set(made.floors[inner])) == len(words)
    at = np.arange(len(made.floors))[inner] + made.first
    # U just above the floor, below F
    assert (sample(law, len(words), Scripted(words, b"\x00")) == at).all()
    # U just below the next, above F
    assert (sample(law, len(words), Scripted(words, b"\xff")) == at + 1).all()


@pytest.mark.parametrize("count", [0, 1, 33, CHUNK - 1, CHUNK + 1])
def test_every_sample_takes_eight_bytes(count: int) -> None:
    stream = Stream(bytes(32), "count")
    values = sample(DiscreteGaussian(Fraction(9)), count, stream)
    assert values.shape == (count,) and values.dtype == np.int64 and stream.position == 8 * count
    again = sample(DiscreteGaussian(Fraction(9)), count, Stream(bytes(32), "count"))
    assert (values == again).all()


@pytest.mark.parametrize("law", [DiscreteGaussian, DiscreteLaplace, Poisson])
def test_wrong_parameters(law: type) -> None:
    for value in (Fraction(0), Fraction(-1), Fraction(2**64)):
        with pytest.raises(EncodingError, match="between 0 and 2\\^64"):
            law(value)
    with pytest.raises(TypeError, match="Fraction, not float"):
        law(1.5)


def test_too_wide_a_law_is_refused() -> None:
    with pytest.raises(EncodingError, match="choose a larger step"):
        sample(DiscreteGaussian(Fraction(10**12)), 1, Stream.fresh("wide"))


@pytest.mark.parametrize("law", [DiscreteGaussian(Fraction(10**4)), Skellam(Fraction(10**4))], ids=str)
def test_five_million_samples_a_second(law: Law | Skellam) -> None:
    """Seconds of this process, so that others on the machine do not count."""
    stream = Stream.fresh("speed")
    sample(law, 1000, stream)  # compiles, and computes the table
    took = []
    for _ in range(5):
        start = process_time()
        sample(law, 500_000, stream)
        took.append(process_time() - start)
    assert 500_000 / min(took) > 5e6
