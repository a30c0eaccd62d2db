"""The loops of silent transfers, in Numba; each has a plain NumPy twin in ``tests/test_silent.py``.

Imported when the first silent transfer is made.  Nodes of several trees lie node by node, and of each node
tree by tree.  Where a receiver's path decides, every node is compared with it: no branch and no address
depends on it."""

from __future__ import annotations

from typing import Any

import numpy as np

from mpc.compiling import njit


@njit(cache=True, boundscheck=False, nogil=True)
def encode(indices: Any, ones: Any, table: Any, out: Any) -> None:
    """out[i] ⊕= the sum of ten rows of the table; of each index as many low bits count as ``ones`` has."""
    for i in range(len(out)):
        low, high = out[i, 0], out[i, 1]
        for j in range(10):
            at = indices[10 * i + j] & ones
            low ^= table[at, 0]
            high ^= table[at, 1]
        out[i, 0], out[i, 1] = low, high


@njit(cache=True, boundscheck=False, nogil=True)
def crossed(nodes: Any, out: Any) -> None:
    """out[i] = σ(nodes[i]), where σ(x, y) = (x ⊕ y, x)."""
    for i in range(len(out)):
        out[i, 0] = nodes[i, 0] ^ nodes[i, 1]
        out[i, 1] = nodes[i, 0]


@njit(cache=True, boundscheck=False, nogil=True)
def grow(permuted: Any, crossed: Any, keep: Any, nodes: Any, sums: Any) -> None:
    """From parents to twice as many children: left = permuted ⊕ crossed in the parent's place, right = parent
    ⊕ left behind them all, and of all only the bits ``keep`` of the lower word; the sums of each tree's left
    ones."""
    parents, trees = len(nodes) // 2, len(sums)
    sums[:] = 0
    for first in range(0, parents, trees):
        for s in range(trees):
            i = first + s
            low, high = (permuted[i, 0] ^ crossed[i, 0]) & keep, permuted[i, 1] ^ crossed[i, 1]
            nodes[parents + i, 0] = (nodes[i, 0] & keep) ^ low
            nodes[parents + i, 1] = nodes[i, 1] ^ high
            nodes[i, 0], nodes[i, 1] = low, high
            sums[s, 0] ^= low
            sums[s, 1] ^= high


@njit(cache=True, boundscheck=False, nogil=True)
def mended(nodes: Any, siblings: Any, places: Any, out: Any) -> None:
    """The sibling of each tree's missing node added at its place; then as ``crossed``."""
    trees = len(places)
    for j in range(len(out) // trees):
        for s in range(trees):
            i, here = j * trees + s, np.uint64(0) - np.uint64(places[s] == j)
            low, high = nodes[i, 0] ^ (siblings[s, 0] & here), nodes[i, 1] ^ (siblings[s, 1] & here)
            nodes[i, 0], nodes[i, 1] = low, high
            out[i, 0], out[i, 1] = low ^ high, low


@njit(cache=True, boundscheck=False, nogil=True)
def regrow(
    permuted: Any,
    crossed: Any,
    keep: Any,
    nodes: Any,
    missing: Any,
    ways: Any,
    sums: Any,
    siblings: Any,
    places: Any,
    totals: Any,
) -> None:
    """As ``grow`` without the children of each tree's missing node, which are zero.

    ``ways[s]`` says which of the two is known by the sum of all nodes of its side (0 left, 1 right),
    ``sums[s]``: it becomes the sibling, for ``places[s]``, the other one missing.  ``totals``: the sum of all
    nodes that are known."""
    parents, trees = len(nodes) // 2, len(missing)
    siblings[:] = 0  # until the end: the sums of the left ones
    totals[:] = 0
    for j in range(parents // trees):
        for s in range(trees):
            i, known = j * trees + s, np.uint64(missing[s] == j) - np.uint64(1)
            low, high = permuted[i, 0] ^ crossed[i, 0], permuted[i, 1] ^ crossed[i, 1]
            right_low, right_high = (nodes[i, 0] ^ low) & keep & known, (nodes[i, 1] ^ high) & known
            low, high = low & keep & known, high & known
            nodes[parents + i, 0], nodes[parents + i, 1] = right_low, right_high
            nodes[i, 0], nodes[i, 1] = low, high
            siblings[s, 0] ^= low
            siblings[s, 1] ^= high
            totals[s, 0] ^= low ^ right_low
            totals[s, 1] ^= high ^ right_high
    step = parents // trees
    for s in range(trees):
        right = np.uint64(0) - np.uint64(ways[s])
        siblings[s, 0] = (siblings[s, 0] ^ (totals[s, 0] & right) ^ sums[s, 0]) & keep
        siblings[s, 1] = siblings[s, 1] ^ (totals[s, 1] & right) ^ sums[s, 1]
        totals[s, 0] ^= siblings[s, 0]
        totals[s, 1] ^= siblings[s, 1]
        places[s] = missing[s] + step * ways[s]
        missing[s] += step * (1 - ways[s])


@njit(cache=True, boundscheck=False, nogil=True)
def settle(nodes: Any, siblings: Any, places: Any, totals: Any, missing: Any, out: Any) -> None:
    """All leaves added to ``out``: the nodes, the sibling at its place, and where a tree's leaf is missing
    the sum of its others.
    """
    trees = len(places)
    for j in range(len(out) // trees):
        for s in range(trees):
            i = j * trees + s
            here, there = np.uint64(0) - np.uint64(places[s] == j), np.uint64(0) - np.uint64(missing[s] == j)
            out[i, 0] ^= nodes[i, 0] ^ (siblings[s, 0] & here) ^ (totals[s, 0] & there)
            out[i, 1] ^= nodes[i, 1] ^ (siblings[s, 1] & here) ^ (totals[s, 1] & there)


@njit(cache=True, boundscheck=False, nogil=True)
def noise(missing: Any, out: Any) -> None:
    """Rows that are zero but for the lowest bit of each tree's missing leaf."""
    trees = len(missing)
    for j in range(len(out) // trees):
        for s in range(trees):
            out[j * trees + s, 0] = np.uint64(missing[s] == j)
            out[j * trees + s, 1] = 0


@njit(cache=True, boundscheck=False, nogil=True)
def lowest(rows: Any, out: Any) -> None:
    """The lowest bit of each row, 64 to a word."""
    for i in range(len(out)):
        word = np.uint64(0)
        for j in range(64):
            word |= (rows[64 * i + j, 0] & np.uint64(1)) << np.uint64(j)
        out[i] = word


@njit(cache=True, boundscheck=False, nogil=True)
def adapt(rows: Any, bits: Any, delta: Any) -> None:
    """rows[i] ⊕= bit i · Δ."""
    low, high = delta[0], delta[1]
    for i in range(len(bits)):
        word = bits[i]
        for j in range(64):
            mask = np.uint64(0) - ((word >> np.uint64(j)) & np.uint64(1))
            rows[64 * i + j, 0] ^= low & mask
            rows[64 * i + j, 1] ^= high & mask
