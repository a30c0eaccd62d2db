"""A hash from rows of 128 bits to pads: what makes a correlated oblivious transfer a random one.

    H(i, j; x) = π(π(x) ⊕ (i, j)) ⊕ π(x)          π = AES-128 with a fixed public key, j = 0, 1, … for longer pads

Threat   tweakable circular correlation robust where π is an ideal permutation; no i is used twice in a session.
Cost     1 + j calls of AES per row.
Source   TMMO: Guo, Katz, Wang, Yu, IEEE S&P 2020, ePrint 2019/074, section 7.4.
"""
from __future__ import annotations

from hashlib import blake2b

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mpc.ring import NDArray

#: Rows of pads made at a time: they stay in the L2 cache.
_PIECE = 1 << 13


class Hash:
    """H for one session: its key is public, and another one in each session."""

    def __init__(self, context: bytes) -> None:
        self.key = blake2b(context, digest_size=16, person=b"mpc/1 OT hash").digest()
        self._cipher = Cipher(algorithms.AES(self.key), modes.ECB()).encryptor()

    def pads(self, rows: NDArray, first: int, blocks: int = 1, plus: NDArray | None = None) -> NDArray:
        """Rows (n, 2), each plus ``plus``, with numbers from ``first`` on, as pads (n, 2·blocks)."""
        from protocols.ot import kernels
        n = len(rows)
        out = np.empty((n * blocks + 1, 2), np.uint64)
        step = max(1, _PIECE // blocks)
        once, twice = np.empty((step + 1, 2), np.uint64), np.empty((step * blocks, 2), np.uint64)
        for lo in range(0, n, step):
            hi = min(n, lo + step)
            p, q = once[:hi - lo], twice[:(hi - lo) * blocks]
            self._permute(rows[lo:hi] if plus is None else rows[lo:hi] ^ plus, once)
            kernels.tweaked(p, np.uint64(first + lo), blocks, q)
            self._permute(q, out[lo * blocks:hi * blocks + 1])
            kernels.unmasked(out[lo * blocks:hi * blocks], p, blocks)
        return out[:-1].reshape(n, 2 * blocks)

    def _permute(self, x: NDArray, out: NDArray) -> None:
        self._cipher.update_into(np.ascontiguousarray(x).reshape(-1).view(np.uint8).data, out.reshape(-1).view(np.uint8).data)
