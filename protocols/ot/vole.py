"""A row times two bits: small trees of seeds, whose leaves are stretched and added up in the ring Z_2^k.

The sender has a row a, the chooser a digit Δ of two bits; each gets a share of Δ·a.  They plant a tree of
four leaves, of which the chooser misses the one whose number is Δ, and stretch every leaf x to a row P_x.
With S_b the sum of the rows whose number x, or whose distance y = x ⊕ Δ, has bit b,

    sender   u = Σ P_x, sends d = a − u  share  S_0 + 2·S_1, by numbers
    chooser                              share  ±S_0 ± 2·S_1, by distances, + where Δ_b = 1, else −; plus Δ·d

which add up to Δ·a: Σ (Δ − x)·P_x = Δ·u − Σ x·P_x lacks x = Δ, times 0, and Δ − x = Σ ±2^b·y_b.  One row is
sent for two bits.

The tree takes a transfer for each level.  The two keys of the upper one are its two seeds, crossed, so that
the chooser has the one beside its path.  Each has two children; of the left ones the sender sends the sum,
and of the right ones, each masked by the key of the lower transfer that the chooser has if its path goes to
the other side.

Threat   semi-honest.  The sender sees nothing but the transfers.  Of the seeds on the chooser's path it has
         none: the upper one is the key it did not choose, and the sum that would give it the lower one is
         masked by such a key.  So the missing leaf is pseudorandom to it, and so is its row, which is in u
         but not in what the chooser adds up: d looks uniform, whatever a is.  What the chooser has is then a
         function of Δ, its leaves and d: random ones simulate it.  Assumed: H and G of ``hashing``, where π
         is an ideal permutation; a tree's number is that of its first transfer.
Cost     no round of its own.  From the sender a row and 32 bytes.  Computing: four rows of AES, at the
         chooser three.
Source   Roy, SoftSpokenOT, CRYPTO 2022, ePrint 2022/192, section 3.1 and figure 7, there in fields.  Trees
         with all leaves but one: Boyle et al., CCS 2019, ePrint 2019/1159, section 4.
"""

from __future__ import annotations

import numpy as np

from mpc.ring import BITS, NDArray, Spec
from protocols.ot.extension import Received, Sent


def sums_spec(trees: int) -> Spec:
    """For each tree and side the sum of that side's leaves, masked."""
    return Spec(BITS, (trees, 2, 2))


def plant(sent: Sent) -> tuple[NDArray, NDArray]:
    """All leaves (trees, 4, 2) of a tree for each two transfers, the lower bit's first;
    and the masked sums.
    """
    from protocols.ot import tree_kernels

    zeros, ones = sent.keys()
    zeros, ones = zeros.reshape(-1, 2, 2), ones.reshape(-1, 2, 2)
    leaves = sent.hash.children(np.stack([ones[:, 1], zeros[:, 1]], axis=1), sent.first)
    sums = np.empty(sums_spec(len(leaves)).shape, np.uint64)
    tree_kernels.side_sums(leaves, zeros[:, 0], ones[:, 0], sums)
    return leaves, sums


def prune(received: Received, sums: NDArray) -> NDArray:
    """All leaves but the missing one, (trees, 3, 2), at distances 1, 2 and 3 from it."""
    from protocols.ot import tree_kernels

    keys = received.keys().reshape(-1, 2, 2)
    children = received.hash.children(np.ascontiguousarray(keys[:, 1:]), received.first)
    leaves = np.empty((len(keys), 3, 2), np.uint64)
    tree_kernels.known_leaves(children, received.choices, keys[:, 0], sums, leaves)
    return leaves
