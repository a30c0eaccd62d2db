"""The switches of a permutation network."""

from __future__ import annotations

from typing import Any

import numpy as np

from mpc.compiling import njit


@njit(cache=True, boundscheck=False, nogil=True)
def set_switches(order: Any, bits: Any) -> None:
    """The bits (layers, n/2) of a Beneš network that gives out[i] = in[order[i]]; uses up ``order``."""
    n = len(order)
    layers = len(bits)
    inverse, lower, halves = np.empty(n, np.int64), np.empty(n, np.uint8), np.empty(n, np.int64)
    size, layer = n, 0
    while size > 2:
        half = size // 2
        for start in range(0, n, size):
            p, back, side = (
                order[start : start + size],
                inverse[start : start + size],
                lower[start : start + size],
            )
            for i in range(size):
                back[p[i]] = i
                side[i] = 2  # not known yet
            for first in range(size):
                out = first
                # around a loop: this output from above, its input's neighbour below
                while side[out] == 2:
                    side[out] = 0
                    out = back[p[out] ^ 1]
                    side[out] = 1
                    out ^= 1
            for j in range(half):
                swapped = side[2 * j]
                bits[layers - 1 - layer, start // 2 + j] = swapped
                above, below = p[2 * j + swapped], p[2 * j + 1 - swapped]
                bits[layer, start // 2 + above // 2] = above & 1
                halves[start + j], halves[start + half + j] = above // 2, below // 2
        order[:] = halves
        size, layer = half, layer + 1
    for start in range(0, n, 2):
        bits[layer, start // 2] = order[start]
