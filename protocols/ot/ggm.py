"""Trees of seeds of which one party grows all leaves and another all but one: single-point correlated
transfers.

The sender's Δ has 1 as its lowest bit.  Below a tree's root are a seed and that seed ⊕ Δ, below every other
node x

    left  H(x)        right  H(x) ⊕ x        H(x) = π(σ(x)) ⊕ σ(x),  σ(x, y) = (x ⊕ y, x) of two words

so that the nodes of each level add up to Δ.  For each level of the way to its missing leaf the receiver has a
transfer, whose choice bit b says which child is *not* on the way (0 left, 1 right), and with it q ⊕ b·Δ.  The
sender sends q ⊕ the sum of the level's left nodes.  The receiver's row in place of q gives it the sum of the
nodes on side b, since left and right ones differ by Δ in sum; that is the node beside the way, and with it
all nodes of the level but one.  In place of the missing leaf it has the sum of all others, which is that leaf
⊕ Δ.  Of leaves the lowest bit is dropped, and of what belongs to their level.

Many trees grow together, level by level.  The children of node j are j and j + 2^level: bit i of a leaf's
number is the way taken at level i.

Threat   semi-honest, where π is an ideal permutation: H is circular correlation robust.  Against a sender
         that cheats, sums that fit only some ways, a check is missing.  In numbers: a receiver that calls π p
         times finds Δ by the N sums of its trees with a chance of about p·N / 2^127; 10^9 transfers have N =
         2^21.4.
Cost     16 bytes from the sender per level, nothing from the receiver; a call of AES per leaf at either.
Source   Guo, Yang, Wang, Zhang, Xie, Liu, Zhao, Half-tree, EUROCRYPT 2023, ePrint 2022/1431 (correlated GGM
         trees); H and σ: Guo, Katz, Wang, Yu, IEEE S&P 2020, ePrint 2019/074, section 7.3.  Departure: the
         dropped bit, as in emp-ot, which tells the receiver nothing, for it knows the lowest bit of every sum
         from its row and b.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mpc.ring import NDArray

#: Nodes that grow at a time: they and what is made of them stay in the cache.
_NODES = 1 << 15
_ALL = np.uint64(2**64 - 1)
_EVEN = np.uint64(2**64 - 2)


def at_once(depth: int) -> int:
    """How many trees are grown together."""
    return max(1, _NODES >> depth)


class Trees:
    """H for one session: its key is public, and another one in each session."""

    def __init__(self, context: bytes) -> None:
        self._cipher = Cipher(
            algorithms.AES(blake2b(context, digest_size=16, person=b"mpc/1 GGM tree").digest()), modes.ECB()
        ).encryptor()
        self._crossed, self._permuted, self._nodes = (np.empty((0, 2), np.uint64),) * 3

    def grow(self, roots: NDArray, delta: NDArray, leaves: NDArray) -> NDArray:
        """All leaves (trees·2^depth, 2), from the left node below each root; the sums (depth, trees, 2) of
        each level's left nodes.
        """
        from protocols.ot import silent_kernels

        trees, depth = len(roots), (len(leaves) // len(roots)).bit_length() - 1
        self._reserve(len(leaves) // 2)
        sums = np.empty((depth, trees, 2), np.uint64)
        sums[0] = leaves[:trees] = roots
        leaves[trees : 2 * trees] = roots ^ delta
        for level in range(1, depth):
            n = trees << level
            crossed = self._crossed[:n]
            silent_kernels.crossed(leaves, crossed)
            self._permute(crossed)
            silent_kernels.grow(
                self._permuted, crossed, _EVEN if level == depth - 1 else _ALL, leaves[: 2 * n], sums[level]
            )
        return sums

    def regrow(self, keys: NDArray, sums: NDArray, out: NDArray) -> None:
        """out (trees·2^depth, 2) ⊕= what a receiver has for leaves, from its rows and what the sender sent,
        (depth, trees, 2) both.
        """
        from protocols.ot import silent_kernels

        depth, trees = sums.shape[:2]
        self._reserve(len(out) // 2)
        if len(self._nodes) < len(out):
            self._nodes = np.empty((len(out), 2), np.uint64)
        nodes = self._nodes[: len(out)]
        ways, sums = (keys[..., 0] & np.uint64(1)).astype(np.int64), sums ^ keys
        nodes[: 2 * trees] = 0
        siblings, totals, places, missing = (
            sums[0].copy(),
            np.empty((trees, 2), np.uint64),
            ways[0].copy(),
            1 - ways[0],
        )
        for level in range(1, depth):
            n = trees << level
            crossed = self._crossed[:n]
            silent_kernels.mended(nodes, siblings, places, crossed)
            self._permute(crossed)
            silent_kernels.regrow(
                self._permuted,
                crossed,
                _EVEN if level == depth - 1 else _ALL,
                nodes[: 2 * n],
                missing,
                ways[level],
                sums[level],
                siblings,
                places,
                totals,
            )
        silent_kernels.settle(nodes, siblings, places, totals, missing, out)

    def _reserve(self, n: int) -> None:
        if len(self._crossed) < n:
            self._crossed, self._permuted = np.empty((n, 2), np.uint64), np.empty((n + 1, 2), np.uint64)

    def _permute(self, x: NDArray) -> None:
        self._cipher.update_into(
            x.reshape(-1).view(np.uint8).data, self._permuted.reshape(-1).view(np.uint8).data
        )


def missing(keys: NDArray) -> NDArray:
    """The numbers of the missing leaves of trees, by a receiver's rows (depth, trees, 2)."""
    ways = 1 - (keys[..., 0] & np.uint64(1)).astype(np.int64)
    return np.asarray((ways << np.arange(len(keys))[:, None]).sum(axis=0))
