"""Base oblivious transfers: one message each way, at the same time, and keys k_0, k_1 of which the receiver
gets one.

    sender     a ← Z_q                              sends A = a·G
    receiver   b ← Z_q, r_{1−c} ← group,
               r_c = b·G − H_c(r_{1−c})             sends r_0, r_1
    sender     k_i = KDF(a·(r_i + H_i(r_{1−i})))    receiver   k_c = KDF(b·A)

H_0 and H_1 hash into the group, so that the receiver knows the logarithm of one of the two sums at most:
whichever it hashes last.  The sender sees two points that are uniform under the one condition that says
nothing of c.

The group is the subgroup of prime order of Ed25519, in libsodium's arithmetic (PyNaCl), which works in
constant time.  Hashing into it is the sum of two Elligator maps, as RFC 9380 makes one that is
indifferentiable from a random oracle.  X25519 in ``cryptography`` cannot add points; groups modulo a prime of
2048 bits take ten times as long.

Threat   malicious, either side, under the decisional Diffie-Hellman assumption, with H_0, H_1 and KDF as
         random oracles; a side that cheats may choose its own outputs ("endemic"), which extension tolerates.
         Every transfer has an a of its own, and ``context`` and its number enter every hash: nothing of
         another session or direction fits.
Cost     one round; 32 bytes per transfer to the receiver and 64 to the sender; about 0.5 ms of both together.
Source   Masny, Rindal, Endemic oblivious transfer, CCS 2019, ePrint 2019/706, section 4 (from Diffie-Hellman
         key agreement).
"""

from __future__ import annotations

from hashlib import blake2b, sha512

import numpy as np
from nacl import bindings as sodium
from nacl.exceptions import CryptoError

from mpc.errors import WireError
from mpc.prg import Stream
from mpc.ring import Z64, NDArray, RingArray, Spec

KEY_WORDS = 2  # words of a key: 128 bits
_POINT = 4  # words of a point
# a point is its y below 2^255 − 19, and the sign of its x
_FIELD, _COORDINATE = 2**255 - 19, 2**255 - 1
# the neutral point with a sign, which is a second encoding of it
_MINUS_ZERO = 2**255 + 1


def sender_spec(n: int) -> Spec:
    """What the sender sends."""
    return Spec(Z64, (n, _POINT))


def receiver_spec(n: int) -> Spec:
    """What the receiver sends."""
    return Spec(Z64, (n, 2, _POINT))


class Sender:
    """Gets both keys of n transfers.  ``context`` is what only the two of this session and this direction
    have in common.
    """

    def __init__(self, context: bytes, n: int, own: Stream) -> None:
        self._context, self._scalars = context, [_scalar(own) for _ in range(n)]
        self._points = [sodium.crypto_scalarmult_ed25519_base_noclamp(a) for a in self._scalars]

    @property
    def message(self) -> RingArray:
        return _packed(self._points, sender_spec(len(self._points)))

    def keys(self, message: RingArray) -> NDArray:
        """(n, 2) keys; ``WireError`` where the receiver's points are none of the group's."""
        out = np.empty((len(self._scalars), 2, KEY_WORDS), np.uint64)
        for i, r in enumerate(_unpacked(message, receiver_spec(len(self._scalars)))):
            for c in (0, 1):
                shared = _times(self._scalars[i], r[c], _hash(self._context, i, c, r[1 - c]))
                out[i, c] = _key(self._context, i, c, self._points[i], r, shared)
        return out


class Receiver:
    """Gets the key of its choice of each transfer; ``choices`` is an array of 0 and 1."""

    def __init__(self, context: bytes, choices: NDArray, own: Stream) -> None:
        self._context, self._choices = context, [int(c) for c in choices]
        self._scalars = [_scalar(own) for _ in self._choices]
        self._points = []
        for i, (c, b) in enumerate(zip(self._choices, self._scalars, strict=True)):
            other = sodium.crypto_scalarmult_ed25519_base_noclamp(_scalar(own))
            ours = sodium.crypto_core_ed25519_sub(
                sodium.crypto_scalarmult_ed25519_base_noclamp(b), _hash(context, i, c, other)
            )
            self._points.append([ours, other][:: 1 - 2 * c])

    @property
    def message(self) -> RingArray:
        return _packed([p for r in self._points for p in r], receiver_spec(len(self._points)))

    def keys(self, message: RingArray) -> NDArray:
        """(n,) keys; ``WireError`` where the sender's points are none of the group's."""
        out = np.empty((len(self._scalars), KEY_WORDS), np.uint64)
        for i, (a,) in enumerate(_unpacked(message, sender_spec(len(self._scalars)))):
            out[i] = _key(self._context, i, self._choices[i], a, self._points[i], _times(self._scalars[i], a))
        return out


def _scalar(own: Stream) -> bytes:
    return sodium.crypto_core_ed25519_scalar_reduce(own.bytes(64))


def _times(scalar: bytes, point: bytes, plus: bytes | None = None) -> bytes:
    """scalar · (point + plus); libsodium refuses what is not on the curve, or not of its subgroup of prime
    order.
    """
    try:
        return sodium.crypto_scalarmult_ed25519_noclamp(
            scalar, sodium.crypto_core_ed25519_add(point, plus) if plus else point
        )
    except CryptoError:
        raise WireError(
            "base oblivious transfers: what arrived is no point of the group (not on the curve, or of small"
            " order)"
        ) from None


def _hash(context: bytes, i: int, c: int, point: bytes) -> bytes:
    """H_c(point) for transfer i."""
    wide = sha512(b"mpc/1 base OT point" + bytes([c]) + i.to_bytes(4, "little") + point + context).digest()
    return sodium.crypto_core_ed25519_add(
        *(sodium.crypto_core_ed25519_from_uniform(half) for half in (wide[:32], wide[32:]))
    )


def _key(context: bytes, i: int, c: int, a: bytes, r: list[bytes], shared: bytes) -> NDArray:
    said = bytes([c]) + i.to_bytes(4, "little") + a + b"".join(r) + shared + context
    return np.frombuffer(
        blake2b(said, digest_size=8 * KEY_WORDS, person=b"mpc/1 base OT").digest(), np.uint64
    )


def _packed(points: list[bytes], spec: Spec) -> RingArray:
    return RingArray(Z64, np.frombuffer(b"".join(points), Z64.dtype).reshape(spec.shape))


def _unpacked(message: RingArray, spec: Spec) -> list[list[bytes]]:
    """The points of each transfer, each in its one encoding; ``_times`` sees to the rest."""
    if message.spec != spec:
        raise WireError(f"base oblivious transfers: {message.spec} arrived instead of {spec}")
    flat = np.ascontiguousarray(message.data).reshape(len(message.data), -1, _POINT)
    points = [[p.tobytes() for p in transfer] for transfer in flat]
    numbers = [int.from_bytes(p, "little") for transfer in points for p in transfer]
    if any(y & _COORDINATE >= _FIELD or y == _MINUS_ZERO for y in numbers):
        raise WireError(
            "base oblivious transfers: what arrived is no point of the group (not in its one encoding)"
        )
    return points
