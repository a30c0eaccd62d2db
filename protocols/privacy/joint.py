"""Discrete Gaussian noise that nobody knows, drawn by several parties together on shares.

    i uniform in [0, 2^h), V uniform in [0, 2^72), s a bit    nobody knows them; drawing them sends nothing
    m = i where V < t_i, else a_i                             Walker's alias method: t and a are public
    x = m or −m by s,     X = x_1 + K_2·x_2 + … + K_L·x_L     one by one, each K as large as keeps the law

t_i and a_i come from the one-hot vector of i, of which every bit of theirs is a sum, which is local; V < t_i
is a carry, as in ``protocols/carries.py``; the bits of m, flipped by s, go to the arithmetic ring, and the
rest is linear.  The tables are whole numbers that follow from a certified distribution function
(``laws.table``).  X has the variance σ_0²·(1 + K_2² + …), which is exactly the one asked for.

*How far X is from the discrete Gaussian*, in total variation: a table by what it cuts off and rounds, with F
in units of 2^-B

    (R + 1 + 2·(2^B − ⌊F(R)·2^B⌋)) / 2^B,     R = 2^h − 1, B = h + 72

and x + K·x', of variances v and v', by Poisson's summation over the x' that make up one value of the whole:

    ε/(1 − ε),     ε = 2·Σ_{j≥1} exp(−2π²·j²·u),     u = v·v'/(v + K²·v')

``Joint.distance`` adds it all up, and is below 2^-68 for a coordinate.  N draws (coordinates times rounds)
cost (1 + e^ε)·N·2^-68 of δ, which ``accounting`` takes off.

Threat   that of the suite: semi-honest, and as many colluding parties as it says learn nothing of the noise.
Cost     13 rounds, 14 in ``replicated``.  For an x with h = 8, of which there is one up to σ = 25, two up to
         350, three up to 5,100 and four up to 75,000: 304 + 222 ANDs and 9 bits to the ring.  Bytes a party
         sends for a coordinate with σ = 300, over Z_2^32:

             additive, 2 parties     110, and 203 from the dealer to the last one
             replicated              203 on average

Source   Walker, ACM TOMS 1977 (aliases); noise on shared uniform bits: Dwork, Kenthapadi, McSherry, Mironov,
         Naor, EUROCRYPT 2006; Wei, Yu, Fan, Chen, CCS 2023 (discrete Gaussians from shared bits, by other
         circuits).  Sums of scaled samples: Micciancio, Walter, ePrint 2017/259, section 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

import numpy as np

from mpc.bits import words_for
from mpc.errors import EncodingError
from mpc.ring import BITS, NDArray, Ring, RingArray, Spec
from mpc.rounds import gather, pipeline
from protocols.carries import both, carry, complement, joined, stacked
from protocols.ops.comparison import to_ring
from protocols.privacy.laws import DiscreteGaussian, table
from protocols.suite import Share, Suite, chunks

#: Bits of a threshold; the most bits of an index; the distance that is kept, for one coordinate.
FINE, INDEX = 72, 8
DISTANCE = 2.0**-68

#: Coordinates of a piece: their one-hot vectors stay in the second-level cache, and oblivious transfers in
#: memory.
PIECE = 1 << 13

#: The widest x that so many cells hold, by its variance; the least u for which x + K·x' is as good; no more
#: samples than this.
_WIDEST, _SMOOTH, _MOST = Fraction(625), 2.6, 4


@dataclass(frozen=True, slots=True)
class Joint:
    """A discrete Gaussian of this variance, as tables from which parties draw it together.

    An ``EncodingError`` says if it is too wide.
    """

    variance: Fraction
    scales: tuple[int, ...] = field(init=False)
    index: int = field(init=False)  # bits of i
    # bits of t_i, then of a_i, lowest first: one row each, a column per i
    tables: NDArray = field(init=False, repr=False)
    distance: float = field(init=False)

    def __post_init__(self) -> None:
        scales = _scales(self.variance)
        base = self.variance / sum(k * k for k in scales)
        weights, distance = _weights(base)
        distance = len(scales) * distance + _blur(float(base), scales)
        assert distance <= DISTANCE
        for name, value in (
            ("scales", scales),
            ("index", len(weights).bit_length() - 1),
            ("tables", _tables(weights)),
            ("distance", distance),
        ):
            object.__setattr__(self, name, value)

    async def add(self, suite: Suite, x: Share) -> Share:
        """x, of one axis, with a sample in each element; piece by piece."""
        out = Share(suite, tuple(part.ring.empty(x.shape) for part in x.parts))

        async def piece(lo: int, hi: int) -> None:
            noisy = x[lo:hi] + await self.sample(suite, x.ring, hi - lo)
            for target, part in zip(out.parts, noisy.parts, strict=True):
                target.data[lo:hi] = part.data

        await pipeline((piece(lo, hi) for lo, hi in chunks(x.size, PIECE)), -(-x.size // PIECE))
        return out

    async def sample(self, suite: Suite, ring: Ring, count: int) -> Share:
        """``count`` independent samples, as shares over ``ring``."""
        h, copies = self.index, len(self.scales)
        bits = await suite.random(Spec(BITS, (h + 1 + FINE, copies, words_for(count))))
        index, sign, uniform = bits[:h], bits[h : h + 1], bits[h + 1 :]
        found = (await one_hot(suite, index)).apply(self._looked_up)
        threshold, alias = found[:FINE], found[FINE:]
        below = await carry(
            suite, stacked(await both(suite, threshold, complement(uniform)), complement(threshold + uniform))
        )
        size = alias + await both(suite, below[None], index + alias)
        flipped = await to_ring(suite, joined(size + sign, sign), ring, (h + 1, copies, count))
        return flipped.apply(lambda part: RingArray(ring, self._combined(part.data)))

    def _looked_up(self, cells: RingArray) -> RingArray:
        from protocols.privacy import kernels

        return RingArray(cells.ring, kernels.lookup(self.tables, cells.data))

    def _combined(self, bits: NDArray) -> NDArray:
        """Σ_l K_l·(Σ_j 2^j·(m_j ⊕ s) − (2^h − 1)·s), that is ±m."""
        places = [*(1 << j for j in range(self.index)), 1 - (1 << self.index)]
        out = np.zeros(bits.shape[-1], bits.dtype)
        for place, planes in zip(places, bits, strict=True):
            for scale, row in zip(self.scales, planes, strict=True):
                out += row * np.array(place * scale).astype(bits.dtype)
        return out


async def one_hot(suite: Suite, bits: Share) -> Share:
    """2^h planes of which that one is 1 whose number the h planes of ``bits`` spell: ⌈log2 h⌉ rounds."""
    h = bits.shape[0]
    if h == 1:
        return joined(complement(bits), bits)
    low, high = await gather(one_hot(suite, bits[: h // 2]), one_hot(suite, bits[h // 2 :]))
    product = await both(
        suite, high.reshape((len(high.parts[0].data), 1, *bits.shape[1:])), low.reshape((1, *low.shape))
    )
    return product.reshape((1 << h, *bits.shape[1:]))


@lru_cache(maxsize=8)
def prepared(variance: Fraction) -> Joint:
    """The tables of this variance, made once."""
    return Joint(variance)


def _scales(variance: Fraction) -> tuple[int, ...]:
    """1, K_2, …, so that x is within ``_WIDEST``: each as large as it may be, the last one as small as will
    do.
    """
    scales, norm = [1], 1
    while variance > norm * _WIDEST:
        if len(scales) == _MOST:
            raise EncodingError(
                f"noise of standard deviation {math.sqrt(variance):.3g} steps is too wide to draw together;"
                " choose a larger step"
            )
        most = math.isqrt(int(norm * (0.9 * float(_WIDEST) / _SMOOTH - 1)))
        wanted = math.isqrt(math.ceil(variance / _WIDEST) - norm - 1) + 1
        scales.append(min(most, wanted))
        norm += scales[-1] ** 2
    return tuple(scales)


def _blur(base: float, scales: Sequence[int]) -> float:
    """What the sums of scaled samples are off by."""
    off, norm = 0.0, 1
    for k in scales[1:]:
        u = base * norm / (norm + k * k)
        epsilon = 2.0001 * math.exp(-2 * math.pi**2 * u)  # the terms with j > 1 are far smaller
        off, norm = off + epsilon / (1 - epsilon), norm + k * k
    return off


def _weights(variance: Fraction) -> tuple[list[int], float]:
    """2^h chances of |x| = 0, 1, … in units of 2^-(h + FINE), for the least h that will do, and how far off
    they are.
    """
    for h in range(1, INDEX + 1):
        exact, bits, last = table(DiscreteGaussian(variance), h + FINE), h + FINE, (1 << h) - 1
        floors = [
            exact.floors[k] if k < len(exact.floors) else (1 << bits) - 1
            for k in range(-exact.first, last + 1 - exact.first)
        ]
        off = (last + 1 + 2 * ((1 << bits) - floors[-1])) / 2**bits
        if off <= DISTANCE / 8:
            break
    else:
        raise AssertionError("the widest table is too narrow")
    tails = [2 * (b - a) for a, b in pairwise(floors)]
    return [(1 << bits) - sum(tails), *tails], off


def _tables(weights: Sequence[int]) -> NDArray:
    """Thresholds and aliases, bit by bit: i stays with chance t_i/2^FINE, and becomes a_i otherwise;
    exact.
    """
    left, full = list(weights), 1 << FINE
    alias = list(range(len(left)))
    scarce, ample = [i for i, w in enumerate(left) if w < full], [i for i, w in enumerate(left) if w >= full]
    while scarce:
        i, giver = scarce.pop(), ample.pop()
        alias[i] = giver
        left[giver] -= full - left[i]
        (scarce if left[giver] < full else ample).append(giver)
    # where nothing is missing both are i
    thresholds = [0 if alias[i] == i else left[i] for i in range(len(left))]
    bits = [[t >> j & 1 for t in thresholds] for j in range(FINE)] + [
        [a >> j & 1 for a in alias] for j in range(len(left).bit_length() - 1)
    ]
    return np.array(bits, np.uint8)
