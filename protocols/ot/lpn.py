"""Learning parity with noise: of k uniform bits, which one party knows, many more that look uniform to all
others.

    x = A·s ⊕ e            s of k bits; A has n rows, each with ten ones at places that all know; e is zero
                           but for one place in each of t blocks of n/t (regular noise)

The code is linear, so that whatever is linear in s, such as an end of correlated transfers, can be encoded in
its place.  Bytes 40·i … 40·i+39 of a public stream of AES are the places of row i: 32-bit words, of which the
low bits count.  No row is used twice in a session.  Where a place comes up twice in a row, it cancels.

The parameters are those that emp-ot ships today (v1.0.0-alpha, ``emp-ot/tuning.h``, b10 and b12); the paper's
own were chosen before the later ones of the attacks below.

Threat   who knows A and n bits of x.  The cheapest attack takes 2^128.7 (START) and 2^128.1 (MAIN), the
         hybrid one; the next ones 2^131.3 and 2^138.8 (information sets), 2^132.5 and 2^140.6 (the same for
         regular noise).  Computed with the estimators below, except for the algebraic ones, against which
         emp-ot's authors say that they chose the parameters too.
Cost     ten lookups in a table of k rows, and 40 bytes of AES, per row.
Source   Yang, Weng, Lan, Zhang, Wang (Ferret), CCS 2020, ePrint 2020/924: regular noise and the local code of
         ten places.  Attacks: Liu, Wang, Yang, Yu, ePrint 2022/712; Esser, Santini, 2023/1568; hybrid
         2025/1284; algebraic 2025/1476, all as estimated by https://lpnestimator.com (Yu, Yang, Wang and
         others, 2025).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mpc.ring import NDArray

PLACES = 10  # d: ones in a row
_BYTES = 4 * PLACES  # of the stream, per row
_PIECE = 1 << 12  # rows whose places are drawn at a time
_ZEROS = memoryview(bytes(_PIECE * _BYTES))


@dataclass(frozen=True, slots=True)
class Parameters:
    """n = ``trees``·2^``depth`` rows with one error in each tree, of 2^``log_secret`` bits."""

    trees: int
    depth: int
    log_secret: int

    @property
    def leaves(self) -> int:
        """Of a tree."""
        return 1 << self.depth

    @property
    def n(self) -> int:
        return self.trees * self.leaves

    @property
    def secret(self) -> int:
        return 1 << self.log_secret

    @property
    def base(self) -> int:
        """Transfers that an iteration takes: the secret, and a transfer per level of each tree."""
        return self.secret + self.trees * self.depth


#: The first iteration, from transfers that cost bytes, and all later ones.
START, MAIN = Parameters(850, 10, 16), Parameters(1520, 12, 18)


class Code:
    """A for one session: public, and another one in each session."""

    def __init__(self, context: bytes) -> None:
        self._key = algorithms.AES(blake2b(context, digest_size=16, person=b"mpc/1 LPN code").digest())
        self._places = np.empty(_PIECE * PLACES, np.uint32)

    def add(self, table: NDArray, first: int, out: NDArray) -> None:
        """out (n, 2) ⊕= rows first, first + 1, … of A, an even number from an even one on, times the table
        (k, 2).
        """
        from protocols.ot import silent_kernels

        stream = Cipher(self._key, modes.CTR((first * _BYTES // 16).to_bytes(16, "big"))).encryptor()
        ones = np.uint32(len(table) - 1)
        for lo in range(0, len(out), _PIECE):
            part = out[lo : lo + _PIECE]
            places = self._places[: len(part) * PLACES]
            stream.update_into(_ZEROS[: places.nbytes], places.view(np.uint8).data)
            silent_kernels.encode(places, ones, table, part)
