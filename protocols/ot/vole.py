"""A row times a few bits at a time: the trees of oblivious transfer extension, with sums in the ring Z_2^k.

The sender has a row a, the chooser a digit Δ of g bits; each gets a share of Δ·a.  They plant a tree of 2^g leaves of which
the chooser misses the one whose number is Δ, and stretch every leaf x to a row P_x.  With S_b the sum of the leaves whose
number x, or distance y = x ⊕ Δ, has bit b,

    sender   u = Σ P_x,  share  Σ 2^b·S_b over x                     sends d = a − u
    chooser  share  Σ ±2^b·S_b over y, plus where Δ_b = 1, minus where it is 0, plus Δ·d

for Σ_x (Δ − x)·P_x = Δ·u − Σ_x x·P_x lacks x = Δ, times 0, and Δ − x = Σ ±2^b·y_b.  One row is sent for g bits.

The tree takes a transfer for each level.  Its two keys are the first level's seeds, crossed, so that the chooser has the one
beside its path; below, the sender sends for each level and side the sum of that side's seeds, masked by the other key.

Threat   semi-honest.  The sender sees nothing but the transfers.  Of the seeds on the chooser's path it has none: to it they
         are keys it did not choose, or masked by such; so their children, the missing leaf and its row P_Δ are pseudorandom
         (H of ``hashing``, a number per tree, a level, an index), and d, which has u with P_Δ in it, is a − u for a uniform u:
         it is simulated by a random row, and the chooser's share follows from it and from Δ.
Cost     no round of its own.  From the sender a row, and 32·(g − 1) bytes; computing, 2^g rows of AES, the chooser one less.
         g = 1 is Gilboa's product.
Source   Roy, SoftSpokenOT, CRYPTO 2022, ePrint 2022/192, section 3.1 and figure 7, there over fields; the trees: Boyle et al.,
         CCS 2019, ePrint 2019/1159, section 4.
"""
from __future__ import annotations

import numpy as np

from mpc.ring import BITS, NDArray, Spec
from protocols.ot.extension import Received, Sent


def sums_spec(digits: int, g: int) -> Spec:
    """For each tree, level below the first and side: the sum of that side's seeds, masked."""
    return Spec(BITS, (digits, g - 1, 2, 2))


def plant(sent: Sent, g: int) -> tuple[NDArray, NDArray]:
    """All leaves (trees, 2^g, 2) of a tree for each g transfers, and the masked sums."""
    from protocols.ot import kernels
    keys = sent.keys()
    n = len(keys[0]) // g
    zeros, ones = (k[:n * g].reshape(n, g, 2) for k in keys)
    nodes = np.stack([ones[:, g - 1], zeros[:, g - 1]], axis=1)
    sums = np.empty((n, g - 1, 2, 2), np.uint64)
    for level in range(1, g):
        nodes = sent.hash.children(nodes, sent.first, g, level)
        at = g - 1 - level
        kernels.level_sums(nodes, zeros[:, at], ones[:, at], sums[:, level - 1])
    return nodes, sums


def prune(received: Received, g: int, sums: NDArray) -> NDArray:
    """All leaves but the missing one, (trees, 2^g − 1, 2), at distances 1, 2, … from it."""
    from protocols.ot import kernels
    n = len(received.rows) // g
    keys = received.keys()[:n * g].reshape(n, g, 2)
    nodes = np.ascontiguousarray(keys[:, g - 1:])
    for level in range(1, g):
        children = received.hash.children(nodes, received.first, g, level)
        nodes = np.empty((n, (2 << level) - 1, 2), np.uint64)
        at = g - 1 - level
        kernels.known_children(children, received.choices, g, at, keys[:, at], sums[:, level - 1], nodes)
    return nodes
