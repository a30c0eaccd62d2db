"""The loops over a client's vector: compiled for long ones; for few numbers the compiler is not worth waking,
which takes longer than their whole round.
"""

from __future__ import annotations

import numpy as np

from mpc.ring import NDArray, worth_compiling

_SMALL = 1 << 16


def squares(x: NDArray) -> float:
    """Σ x², in double precision also for single-precision numbers."""
    if worth_compiling(x.size, _SMALL):
        from protocols.privacy import kernels

        return kernels.squares(x)
    with np.errstate(over="ignore"):  # infinite where it is too large for a double, as compiled
        return float(np.square(x, dtype=np.float64).sum())


def round_at_random(x: NDArray, factor: float, peak: float, words: NDArray, out: NDArray) -> int:
    """Round factor·x, cut off at ±peak, to a neighbouring integer that is right on average; returns the sum
    of the squares.
    """
    if worth_compiling(x.size, _SMALL):
        from protocols.privacy import kernels

        return kernels.round_at_random(x, factor, peak, words, out)
    y = np.clip(x.astype(np.float64) * factor, -peak, peak)
    whole = np.floor(y)
    fraction = np.minimum(y - whole, 1.0 - 2.0**-53)  # y − ⌊y⌋ may round to 1
    out[...] = whole.astype(np.int64) + (words < (fraction * 2.0**64).astype(np.uint64))
    return int(np.square(out).sum())


def hadamard(x: NDArray) -> None:
    """Multiply 2^k numbers by the Walsh–Hadamard matrix H[i, j] = (−1)^popcount(i & j), in place."""
    if worth_compiling(x.size, _SMALL):
        from protocols.privacy import kernels

        return kernels.hadamard(x)
    h = 1
    while h < len(x):
        pairs = x.reshape(-1, 2, h)
        pairs[:, 0], pairs[:, 1] = pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]
        h *= 2
