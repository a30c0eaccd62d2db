"""Exact samples of the discrete Gaussian, the discrete Laplace, Poisson and Skellam, from the streams of
``mpc/prg.py``.

    X = the k with F(k−1) ≤ U < F(k),   U uniform in [0, 1)

U is compared lazily: its first 64 bits settle all samples but those that fall on a floor of the table (one in
2^50 or fewer); for those U gets as many more bits, and the table as much more precision, as it takes.  So the
samples have the law itself, not one close to it, given that the stream is uniform; no floating-point number
takes part in a decision.

Threat   a sample is a client's secret noise.  Each takes the same number of steps, without branches on its
         value; but the entries of the table that are read depend on it (whoever shares the client's caches
         could learn about it), and the rare sample that takes more bits takes longer.
Cost     local; 8 bytes of stream for a sample (16 for Skellam), and one table for a law, computed once and
         kept.
Source   inversion with lazily drawn bits: Devroye, Non-Uniform Random Variate Generation (1986), sections
         II.2 and XV.  Laws from Canonne, Kamath, Steinke, arXiv 2004.00010, whose samplers reject; inversion
         takes a tenth of the time because nothing is drawn in vain, and a fixed number of steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from mpc.prg import Stream
from mpc.ring import Z64, NDArray, Spec
from protocols.privacy.laws import Law, Poisson, table

BITS = 64
CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Skellam:
    """The difference of two Poisson numbers of rate variance/2."""

    variance: Fraction


def sample(law: Law | Skellam, count: int, stream: Stream) -> NDArray:
    """``count`` independent numbers of the law, as int64."""
    if isinstance(law, Skellam):
        half = Poisson(law.variance / 2)
        return sample(half, count, stream) - sample(half, count, stream)
    from protocols.privacy import kernels

    first, floors = _lookup(law)
    out = np.empty(count, np.int64)
    for lo in range(0, count, CHUNK):  # words, table and results stay in the cache
        piece = out[lo : lo + CHUNK]
        words = stream.draw(Spec(Z64, piece.shape)).data
        if kernels.search(floors, words, piece):
            for i in np.flatnonzero(floors[piece] == words):
                piece[i] = settle(law, int(words[i]), BITS, stream) - first
    out += first
    return out


def prepare(law: Law | Skellam) -> None:
    """Compute the table now rather than with the first sample;
    an ``EncodingError`` if it would be too wide.
    """
    _lookup(Poisson(law.variance / 2) if isinstance(law, Skellam) else law)


def settle(law: Law, word: int, bits: int, stream: Stream) -> int:
    """The sample for a U whose first ``bits`` bits are ``word`` and whose further bits come from the
    stream.
    """
    while True:
        value, decided = table(law, bits).find(word)
        if decided:
            return value
        word = word << BITS | int.from_bytes(stream.bytes(BITS // 8), "little")
        bits += BITS


@lru_cache(maxsize=16)
def _lookup(law: Law) -> tuple[int, NDArray]:
    """The first value and the floors as words, filled up to 2^s − 1 of them with the largest."""
    exact = table(law, BITS)
    size = (1 << len(exact.floors).bit_length()) - 1
    floors = np.full(size, exact.floors[-1], np.uint64)
    floors[: len(exact.floors)] = exact.floors
    floors.setflags(write=False)
    return exact.first, floors
