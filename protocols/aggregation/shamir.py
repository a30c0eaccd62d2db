"""Shamir's sharing of 32-byte secrets among neighbours: any t shares give the secret, fewer say nothing.

    share of x:  f(x) mod p,   f(0) = secret,   deg f = t − 1,   p = 2^256 + 297

Threat   information-theoretic against t − 1 holders.  A holder that lies is found by decoding, as long as at
         least t + 2e of its owner's shares are there for e wrong ones.
Cost     sharing: t·n small products; a secret: t products, given coefficients that depend on the x alone and
         are computed once for all secrets with the same holders.
Source   Shamir, CACM 1979; decoding: Gao, "A new algorithm for decoding Reed–Solomon codes", 2003.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

from gmpy2 import divm, invert, mpz

from mpc.prg import Stream

#: The smallest prime above 2^256: every 32-byte string is an element.
PRIME = mpz(2**256 + 297)
SHARE_BYTES = 33

#: Coefficients are uniform but for 2^-127: this many bytes are reduced modulo the prime.
_WIDE = 48

Poly = list[mpz]  # coefficients, lowest first; the last is not zero


def split(secret: bytes, threshold: int, xs: Sequence[int], own: Stream) -> list[bytes]:
    """One share of a 32-byte secret for each x in ``xs`` (small, positive, distinct), in their order."""
    raw = own.bytes(_WIDE * (threshold - 1))
    rest = [mpz(int.from_bytes(raw[i : i + _WIDE], "little")) % PRIME for i in range(0, len(raw), _WIDE)]
    low = mpz(int.from_bytes(secret, "little"))
    shares = []
    for x in xs:
        y = mpz(0)
        # Horner; x is small, so reducing once at the end is cheaper
        for c in rest:
            y = (y + c) * x
        shares.append(int((y + low) % PRIME).to_bytes(SHARE_BYTES, "little"))
    return shares


def element(share: bytes) -> mpz | None:
    """A share as a field element; ``None`` if it is not one."""
    value = mpz(int.from_bytes(share, "little"))
    return value if len(share) == SHARE_BYTES and value < PRIME else None


def join(shares: Mapping[int, mpz], threshold: int) -> bytes | None:
    """The secret, from the first ``threshold`` of the shares; ``None`` if it is not 32 bytes long."""
    xs = tuple(list(shares)[:threshold])
    if len(xs) < threshold:
        raise ValueError(f"{len(xs)} shares do not make a secret that takes {threshold}")
    return _bytes(sum((c * shares[x] for c, x in zip(_coefficients(xs), xs, strict=True)), mpz(0)) % PRIME)


def decode(shares: Mapping[int, mpz], threshold: int) -> tuple[bytes, list[int]] | None:
    """The secret and the x whose shares are wrong, as long as at most (number of shares − threshold)/2 are.

    Gao's decoder: Euclid's algorithm on Π(x − x_i) and the polynomial through all points, stopped half way.
    """
    xs = list(shares)
    whole: Poly = [mpz(1)]
    for x in xs:
        whole = _times(whole, [mpz(-x), mpz(1)])
    through: Poly = []
    for x in xs:  # Σ y_x · (Π / (X − x)) / Π'(x)
        basis, _ = _divide(whole, [mpz(-x), mpz(1)])
        through = _plus(through, _times(basis, [divm(shares[x], _at(basis, x), PRIME)]))
    (r0, r1), (v0, v1) = (whole, through), ([], [mpz(1)])
    while 2 * (len(r1) - 1) >= len(xs) + threshold:
        quotient, rest = _divide(r0, r1)
        r0, r1 = r1, rest
        v0, v1 = v1, _plus(v0, _times([mpz(-1)], _times(quotient, v1)))
    f, rest = _divide(r1, v1)
    if rest or len(f) > threshold:
        return None
    secret = _bytes(f[0] if f else mpz(0))
    return None if secret is None else (secret, [x for x in xs if _at(f, x) != shares[x]])


@lru_cache(maxsize=64)
def _coefficients(xs: tuple[int, ...]) -> tuple[mpz, ...]:
    """λ_i = Π_{m≠i} x_m / (x_m − x_i), so that f(0) = Σ λ_i f(x_i).  Products of small integers, one
    inversion each.
    """
    total = math.prod(xs)
    return tuple(divm(total, x * math.prod([m - x for m in xs if m != x]), PRIME) for x in xs)


def _bytes(value: mpz) -> bytes | None:
    return int(value).to_bytes(32, "little") if value < 2**256 else None


# -- polynomials, for decoding only -------------------------------------------------------------------


def _trim(a: Poly) -> Poly:
    while a and not a[-1]:
        a.pop()
    return a


def _plus(a: Poly, b: Poly) -> Poly:
    size = max(len(a), len(b))
    return _trim([((a[i] if i < len(a) else 0) + (b[i] if i < len(b) else 0)) % PRIME for i in range(size)])


def _times(a: Poly, b: Poly) -> Poly:
    out = [mpz(0)] * (len(a) + len(b) - 1) if a and b else []
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[i + j] += x * y
    return _trim([c % PRIME for c in out])


def _divide(a: Poly, b: Poly) -> tuple[Poly, Poly]:
    rest, quotient, top = list(a), [mpz(0)] * max(0, len(a) - len(b) + 1), invert(b[-1], PRIME)
    for i in reversed(range(len(quotient))):
        quotient[i] = c = rest[i + len(b) - 1] * top % PRIME
        for j, y in enumerate(b):
            rest[i + j] = (rest[i + j] - c * y) % PRIME
    return _trim(quotient), _trim(rest)


def _at(a: Poly, x: int) -> mpz:
    y = mpz(0)
    for c in reversed(a):
        y = (y * x + c) % PRIME
    return y
