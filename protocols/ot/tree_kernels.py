"""Trees of seeds, level by level."""

from __future__ import annotations

from typing import Any

import numpy as np

from mpc.compiling import njit


@njit(cache=True, boundscheck=False, nogil=True)
def side_sums(leaves: Any, zeros: Any, ones: Any, out: Any) -> None:
    """Of each four leaves the sums of the left and of the right ones, masked by the key of who walks to the
    other side.
    """
    for t in range(len(leaves)):
        for w in range(2):
            out[t, 0, w] = leaves[t, 0, w] ^ leaves[t, 2, w] ^ ones[t, w]
            out[t, 1, w] = leaves[t, 1, w] ^ leaves[t, 3, w] ^ zeros[t, w]


@njit(cache=True, boundscheck=False, nogil=True)
def known_leaves(children: Any, choices: Any, keys: Any, sums: Any, out: Any) -> None:
    """Of four leaves those at distances 1, 2, 3 from the missing one: the two children that are known,
    swapped where the path goes right, after the one beside it, which the sum gives.  Tree t walks by bit 2·t
    of the choices."""
    for t in range(len(children)):
        right = np.uint64(0) - ((choices[t >> 5] >> np.uint64(2 * (t & 31))) & np.uint64(1))
        for w in range(2):
            a, b = children[t, 0, w], children[t, 1, w]
            swap = (a ^ b) & right
            out[t, 0, w] = b ^ swap ^ keys[t, w] ^ sums[t, 1, w] ^ ((sums[t, 0, w] ^ sums[t, 1, w]) & right)
            out[t, 1, w], out[t, 2, w] = a ^ swap, b ^ swap
