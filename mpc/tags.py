"""Tags: proof, to a party that knows a key, that a value which one party sends is the one that another has.

If P sends Q a value, and R, who knows it too, sends Q a tag of it under a key that P does not know, then what
Q accepts is the value on which P and R agree.

Threat   P may do anything; R and Q follow the protocol.  A forged message of L blocks passes with probability
         at most (L + 1)·2^−128.  Whoever has the key can compute sixteen bytes of the value from its tag: a
         tag is sent to those alone who are to know the value.
Cost     16 bytes for any number of arrays.
Source   GMAC: NIST SP 800-38D, with a key for each direction of a link, and a nonce that counts.
"""

from __future__ import annotations

from hmac import compare_digest

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mpc.errors import CheatError
from mpc.ring import Z64, RingArray, Spec

#: So many bytes of several arrays are not joined; one call takes less than 2^31.
_LARGE, _MOST = 1 << 14, 1 << 30
#: A tag as it travels.
TAG = Spec(Z64, (2,))


class Direction:
    """The tags that one end of a link makes and the other verifies, one after the other."""

    __slots__ = ("_count", "_gmac", "_key")

    def __init__(self, seed: bytes, label: str) -> None:
        self._key = HKDF(SHA256(), 16, salt=None, info=b"mpc/2 tag " + label.encode()).derive(seed)
        self._gmac = AESGCM(self._key)
        self._count = 0

    def _next(self) -> bytes:
        self._count += 1
        return self._count.to_bytes(12, "little")

    def tag(self, *arrays: RingArray) -> RingArray:
        """The next tag: of the encodings of these arrays, whose shapes both ends know."""
        return RingArray(Z64, np.frombuffer(self._made(arrays), Z64.dtype))

    def verify(self, tag: RingArray, *arrays: RingArray) -> None:
        """``CheatError`` unless this is the next tag, and of these arrays; in constant time."""
        if not compare_digest(self._made(arrays), tag.data.tobytes()):
            raise CheatError(
                "a party has departed from the protocol: two that know a value have told different ones."
                " Nothing was computed with it; this session is over"
            )

    def _made(self, arrays: tuple[RingArray, ...]) -> bytes:
        views = [array.ring.encode(array.data) for array in arrays]
        nonce, size = self._next(), sum([view.nbytes for view in views])
        if size <= (_LARGE if len(views) > 1 else _MOST):
            return self._gmac.encrypt(nonce, b"", views[0] if len(views) == 1 else b"".join(views))
        gmac = Cipher(algorithms.AES(self._key), modes.GCM(nonce)).encryptor()
        for view in views:
            for lo in range(0, view.nbytes, _MOST):
                gmac.authenticate_additional_data(view[lo : lo + _MOST])
        gmac.finalize()
        return gmac.tag
