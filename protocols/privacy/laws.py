"""The laws of the noise, as tables of their distribution function that are right to the last bit.

    discrete Gaussian   P(k) ∝ exp(−k²/2σ²)        discrete Laplace   P(k) ∝ exp(−|k|/t)
    Poisson             P(k) ∝ λ^k/k!              Skellam            the difference of two Poissons

``table(law, bits)`` holds ⌊F(k)·2^bits⌋ for the distribution function F.  Each entry is certified: F is
computed between two bounds, with as much precision as it takes for both to have the same floor.

Parameters are rational; a float stands for the rational number that it is.
Source   Canonne, Kamath, Steinke, arXiv 2004.00010.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import Any, Protocol

import gmpy2

from mpc.errors import EncodingError

#: The widest table, for a standard deviation of about 40,000 steps: finer steps gain nothing any more.
WIDEST = 1 << 20


class Law(Protocol):
    """A law on the integers, a value of its own: tables are kept by law."""

    def __hash__(self) -> int: ...

    def window(self, bits: int) -> tuple[int, int]:
        """First and last integer of a window outside which the law has less than 2^-bits."""
        ...

    def weights(self, first: int, last: int) -> Iterator[Any]:
        """P(first), …, P(last) up to one common factor, in the precision of the context; the n-th from the
        middle is off by less than 8·n² roundings (of itself, or of the largest)."""
        ...


@dataclass(frozen=True, slots=True)
class DiscreteGaussian:
    """P(k) ∝ exp(−k²/2σ²) for a rational σ² > 0."""

    variance: Fraction

    def __post_init__(self) -> None:
        _positive(self, "variance", self.variance)

    def window(self, bits: int) -> tuple[int, int]:
        # For K ≥ σ both tails beyond ±K together weigh less than exp(−K²/2σ²) of the whole, as Z ≥ σ√2π.
        reach = math.ceil(math.sqrt(2 * math.log(2) * (bits + 4) * float(self.variance))) + 1
        return -reach, reach

    def weights(self, first: int, last: int) -> Iterator[Any]:
        square = gmpy2.exp(gmpy2.mpfr(-1 / (2 * gmpy2.mpq(self.variance))))  # exp(−1/2σ²)
        factor, step, weight, right = square, square * square, gmpy2.mpfr(1), [gmpy2.mpfr(1)]
        for _ in range(last):  # k² → (k+1)² adds 2k+1
            weight, factor = weight * factor, factor * step
            right.append(weight)
        yield from reversed(right[1:])
        yield from right


@dataclass(frozen=True, slots=True)
class DiscreteLaplace:
    """P(k) ∝ exp(−|k|/t) for a rational t > 0."""

    scale: Fraction

    def __post_init__(self) -> None:
        _positive(self, "scale", self.scale)

    def window(self, bits: int) -> tuple[int, int]:
        reach = math.ceil((bits + 2) * math.log(2) * float(self.scale)) + 1
        return -reach, reach

    def weights(self, first: int, last: int) -> Iterator[Any]:
        factor = gmpy2.exp(gmpy2.mpfr(-1 / gmpy2.mpq(self.scale)))
        right = list(accumulate([gmpy2.mpfr(1)] + [factor] * last, lambda a, b: a * b))
        yield from reversed(right[1:])
        yield from right


@dataclass(frozen=True, slots=True)
class Poisson:
    """P(k) ∝ λ^k/k! on k ≥ 0, for a rational λ > 0."""

    rate: Fraction

    def __post_init__(self) -> None:
        _positive(self, "rate", self.rate)

    def window(self, bits: int) -> tuple[int, int]:
        # Bernstein: each tail beyond λ ± x weighs at most exp(−x²/(2λ + 2x/3)), which is 2^−(bits+1) for this
        # x.
        middle, exponent = float(self.rate), (bits + 1) * math.log(2)
        x = exponent / 3 + math.sqrt(exponent * exponent / 9 + 2 * middle * exponent)
        return max(0, math.floor(middle - x) - 1), math.ceil(middle + x) + 1

    def weights(self, first: int, last: int) -> Iterator[Any]:
        rate, weight = gmpy2.mpfr(gmpy2.mpq(self.rate)), gmpy2.mpfr(1)
        yield weight
        for k in range(first + 1, last + 1):
            weight = weight * rate / k
            yield weight


@dataclass(frozen=True, slots=True)
class Table:
    """⌊F(k)·2^bits⌋ for k = first, first + 1, …; the last entry is 2^bits − 1, and F(first − 1) is 0 or its
    floor is.
    """

    first: int
    floors: list[int]

    def find(self, word: int) -> tuple[int, bool]:
        """For U in [word, word + 1)·2^-bits: the k with F(k−1) ≤ U < F(k), and whether ``word`` is enough to
        tell.
        """
        at = bisect_left(self.floors, word)
        return self.first + at, self.floors[at] != word


def table(law: Law, bits: int) -> Table:
    """Every ⌊F(k)·2^bits⌋ that is neither 0 nor 2^bits − 1, with one of each around them."""
    guard = 32
    while True:
        first, last = law.window(bits + guard + 2)
        size = last - first + 1
        if size > WIDEST:
            raise EncodingError(f"{law} is too wide to sample exactly ({size} values); choose a larger step")
        # One sum of at most n weights over another: off by less than 32·n² roundings, and by less than
        # 2^−(bits+guard+1) for the tails that are missing above and below the fraction line.
        with gmpy2.context(precision=bits + guard + 8 + 2 * size.bit_length()):
            sums = list(accumulate(law.weights(first, last)))
            scale = gmpy2.mpfr(1 << (bits + guard)) / sums[-1]
            fine = [int(gmpy2.floor(s * scale)) for s in sums]  # F·2^(bits+guard), off by less than 2
        low, high = [max(x - 2, 0) >> guard for x in fine], [(x + 3) >> guard for x in fine]
        top = (1 << bits) - 1  # F < 1, whatever the bound above says
        if all(a == min(b, top) for a, b in zip(low, high, strict=True)):
            # the last of the zeros, if there are any
            start = max(bisect_left(low, 1) - 1, 0)
            return Table(first + start, low[start : bisect_left(low, top) + 1])
        guard *= 2


def _positive(law: Law, name: str, value: Fraction) -> None:
    if not isinstance(value, Fraction):
        raise TypeError(f"the {name} of a {type(law).__name__} is a Fraction, not {type(value).__name__}")
    if not 0 < value < 1 << 64:
        raise EncodingError(
            f"the {name} of a {type(law).__name__} must lie between 0 and 2^64, not at {float(value):.3g}"
        )
