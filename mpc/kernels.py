"""Loops that NumPy makes slow, in Numba; each has a plain NumPy twin in ``tests/test_kernels.py``.

Compiled on first use and cached on disk.  This module is imported only when an array is large enough
to be worth it (``ring.Z2k.matmul``), so that a small program never waits for a compiler.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mpc import plane_kernels, strassen
from mpc.compiling import njit

#: Rows of ``b`` and columns of ``c`` per block: 256 × 256 words of ``b`` stay in the L2 cache.
BLOCK = 256
#: Matrices with sides of at least so much are cut into quadrants.
STRASSEN = 512
#: Words of a row that are taken together where many rows are needed at once.
LANES = 256


@njit(cache=True, boundscheck=False, nogil=True)
def _matmul(a: Any, b: Any, c: Any) -> None:
    """Add a @ b to c, four rows at a time: each loaded word of ``b`` serves four products."""
    m, inner = a.shape
    n = b.shape[1]
    for j0 in range(0, n, BLOCK):
        j1 = min(n, j0 + BLOCK)
        for k0 in range(0, inner, BLOCK):
            k1 = min(inner, k0 + BLOCK)
            whole = m - m % 4
            for i in range(0, whole, 4):
                c0, c1, c2, c3 = c[i, j0:j1], c[i + 1, j0:j1], c[i + 2, j0:j1], c[i + 3, j0:j1]
                for k in range(k0, k1):
                    a0, a1, a2, a3 = a[i, k], a[i + 1, k], a[i + 2, k], a[i + 3, k]
                    row = b[k, j0:j1]
                    for j in range(j1 - j0):
                        w = row[j]
                        c0[j] += a0 * w
                        c1[j] += a1 * w
                        c2[j] += a2 * w
                        c3[j] += a3 * w
            for i in range(whole, m):
                c0 = c[i, j0:j1]
                for k in range(k0, k1):
                    a0 = a[i, k]
                    row = b[k, j0:j1]
                    for j in range(j1 - j0):
                        c0[j] += a0 * row[j]


@njit(cache=True, boundscheck=False, nogil=True)
def _muladd(a: Any, b: Any, c: Any, d: Any, e: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = a[i] * b[i] + c[i] * d[i] + e[i]


@njit(cache=True, boundscheck=False, nogil=True)
def _andxor(a: Any, b: Any, c: Any, d: Any, e: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = (a[i] & b[i]) ^ (c[i] & d[i]) ^ e[i]


@njit(cache=True, boundscheck=False, nogil=True)
def _flipped(x: Any, words: Any, add: Any, out: Any) -> None:
    zero = add - add
    for row in range(x.shape[0]):
        for w in range(words.shape[1]):
            word, lo = words[row, w], 64 * w
            for i in range(min(64, x.shape[1] - lo)):
                bit = zero + ((word >> np.uint64(i)) & np.uint64(1))
                out[row, lo + i] = (x[row, lo + i] ^ (zero - bit)) + bit * add


@njit(cache=True, boundscheck=False, nogil=True)
def _cross(x0: Any, x1: Any, y0: Any, y1: Any, plus: Any, minus: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = x0[i] * (y0[i] + y1[i]) + x1[i] * y0[i] + plus[i] - minus[i]


@njit(cache=True, boundscheck=False, nogil=True)
def _cross_bits(x0: Any, x1: Any, y0: Any, y1: Any, plus: Any, minus: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = (x0[i] & (y0[i] ^ y1[i])) ^ (x1[i] & y0[i]) ^ plus[i] ^ minus[i]


# Quotients of unsigned words read as signed: all in 64 bits, for Numba makes longer words of shorter ones,
# and stores what fits.


@njit(cache=True, boundscheck=False, nogil=True)
def _split_quotient(
    term: Any, add: Any, after: Any, full: Any, bits: Any, sign: Any, top: Any,
    x: Any, e: Any, rest: Any, head: Any,
) -> None:  # fmt: skip
    for i in range(len(rest)):
        t = (term[i] + add) & full
        rest[i] = ((t >> bits) ^ sign) - sign + after - x[i]
        head[i] = (t >> top) - e[i]


@njit(cache=True, boundscheck=False, nogil=True)
def _masked_quotient(
    term: Any, add: Any, full: Any, bits: Any, sign: Any, top: Any, e: Any, s: Any, whole: Any, masked: Any
) -> None:
    for i in range(len(whole)):
        t = term[i] & full
        whole[i] = ((t >> bits) ^ sign) - sign + add
        masked[i] = e[i] * (t >> top) - s[i]


@njit(cache=True, boundscheck=False, nogil=True)
def _plus_shifted(x: Any, s: Any, shift: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = x[i] + (np.uint64(s[i]) << shift)


@njit(cache=True, boundscheck=False, nogil=True)
def _monomials(planes: Any, whole: Any, out: Any) -> None:
    """Row by row, for rows of a power of two of bytes would fight for the same lines of the cache."""
    blocks, words = planes.shape[0] // 4, planes.shape[1]
    products = np.empty((7, LANES), np.uint64)
    for j in range(blocks):
        for lo in range(0, words, LANES):
            hi = min(words, lo + LANES)
            a0, a1, a2, a3 = (
                planes[4 * j, lo:hi],
                planes[4 * j + 1, lo:hi],
                planes[4 * j + 2, lo:hi],
                planes[4 * j + 3, lo:hi],
            )
            for i in range(hi - lo):
                products[0, i], products[1, i], products[3, i] = a0[i], a1[i], a2[i]
                products[2, i], products[4, i], products[5, i] = a0[i] & a1[i], a0[i] & a2[i], a1[i] & a2[i]
                products[6, i] = a0[i] & a1[i] & a2[i]
            for s in range(7):
                row = out[s * blocks + j, lo:hi]
                for i in range(hi - lo):
                    row[i] ^= products[s, i]
                if j < whole:
                    row = out[7 * blocks + (s + 1) * whole + j, lo:hi]
                    for i in range(hi - lo):
                        row[i] ^= products[s, i] & a3[i]
            row = out[7 * blocks + (0 if j < whole else 7 * whole) + j, lo:hi]
            for i in range(hi - lo):
                row[i] ^= a3[i]


@njit(cache=True, boundscheck=False, nogil=True, inline="always")
def _propagated(
    v0: Any, v1: Any, v2: Any, v3: Any, v4: Any, v5: Any, v6: Any, v7: Any, b0: Any, b1: Any, b2: Any
) -> Any:
    low, high = v1 ^ b0 & v0, v5 ^ b0 & v4
    return (v7 ^ b0 & v6) ^ b1 & high ^ b2 & ((v3 ^ b0 & v2) ^ b1 & low)


@njit(cache=True, boundscheck=False, nogil=True, inline="always")
def _generated(
    v0: Any, v1: Any, v2: Any, v3: Any, v4: Any, v5: Any, v6: Any, v7: Any, b0: Any, b1: Any, b2: Any
) -> Any:
    low = b0 & v3 ^ b1 & (v2 ^ b0 & v1)
    high = b0 & v7 ^ b1 & (v6 ^ b0 & v5)
    return high ^ b2 & (v4 ^ low)


@njit(cache=True, boundscheck=False, nogil=True)
def _evaluate(words: Any, planes: Any, whole: Any, one: Any, flip: Any, out: Any) -> None:
    """out[0] gets what blocks generate, where it is there, the last row what they propagate."""
    blocks = planes.shape[0] // 4
    last = out.shape[0] - 1
    for j in range(blocks):
        up = 7 * blocks + j
        for i in range(planes.shape[1]):
            b0, b1, b2, b3 = (
                planes[4 * j, i] ^ flip,
                planes[4 * j + 1, i] ^ flip,
                planes[4 * j + 2, i] ^ flip,
                planes[4 * j + 3, i] ^ flip,
            )
            v1, v2, v3, v4 = (
                words[j, i],
                words[blocks + j, i],
                words[2 * blocks + j, i],
                words[3 * blocks + j, i],
            )
            v5, v6, v7 = words[4 * blocks + j, i], words[5 * blocks + j, i], words[6 * blocks + j, i]
            p = _propagated(one, v1, v2, v3, v4, v5, v6, v7, b0, b1, b2)
            g = _generated(one, v1, v2, v3, v4, v5, v6, v7, b0, b1, b2)
            u0 = words[up if j < whole else up + 7 * whole, i]
            if j < whole:
                u1, u2, u3, u4 = (
                    words[up + whole, i],
                    words[up + 2 * whole, i],
                    words[up + 3 * whole, i],
                    words[up + 4 * whole, i],
                )
                u5, u6, u7 = words[up + 5 * whole, i], words[up + 6 * whole, i], words[up + 7 * whole, i]
                p = _propagated(u0, u1, u2, u3, u4, u5, u6, u7, b0, b1, b2) ^ b3 & p
                g = _generated(u0, u1, u2, u3, u4, u5, u6, u7, b0, b1, b2) ^ b3 & (g ^ u0)
            else:
                g ^= u0 ^ one & b3
            out[last, j, i] = p
            if last:
                out[0, j, i] = g


def split_quotient(
    term: npt.NDArray[Any], add: int, after: int, bits: int, x: npt.NDArray[Any], e: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """((term + add) >> bits) + after − x, as signed, and the top bit of term + add less e."""
    rest, head = np.empty(term.shape, x.dtype), np.empty(term.shape, e.dtype)
    full, shift, sign, top = _signed(term, bits)
    _split_quotient(
        term.reshape(-1),
        np.uint64(add % 2**64),
        np.uint64(after % 2**64),
        full,
        shift,
        sign,
        top,
        x.reshape(-1),
        e.reshape(-1),
        rest.reshape(-1),
        head.reshape(-1),
    )
    return rest, head


def masked_quotient(
    term: npt.NDArray[Any], add: int, bits: int, e: npt.NDArray[Any], s: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """(term >> bits) + add, as signed, and e times the top bit of the term less s."""
    whole, masked = np.empty(term.shape, term.dtype), np.empty(term.shape, e.dtype)
    full, shift, sign, top = _signed(term, bits)
    _masked_quotient(
        term.reshape(-1),
        np.uint64(add % 2**64),
        full,
        shift,
        sign,
        top,
        e.reshape(-1),
        s.reshape(-1),
        whole.reshape(-1),
        masked.reshape(-1),
    )
    return whole, masked


def _signed(term: npt.NDArray[Any], bits: int) -> tuple[Any, ...]:
    """All bits, the shift, the sign's place after it, and the top bit's."""
    k = 8 * term.itemsize
    return np.uint64((1 << k) - 1), np.uint64(bits), np.uint64(1 << (k - 1 - bits)), np.uint64(k - 1)


def plus_shifted(x: npt.NDArray[Any], s: npt.NDArray[Any], shift: int) -> npt.NDArray[Any]:
    """x + s·2^shift, for s of the same or shorter words."""
    out = np.empty(x.shape, x.dtype)
    _plus_shifted(x.reshape(-1), s.reshape(-1), np.uint64(shift), out.reshape(-1))
    return out


def monomials(planes: npt.NDArray[Any], whole: int, out: npt.NDArray[Any]) -> None:
    """Exclusive or of ``out`` with the monomials of blocks of four planes, in the order of
    ``protocols/monomials.py``.
    """
    _monomials(planes, whole, out)


def evaluate(
    words: npt.NDArray[Any], planes: npt.NDArray[Any], whole: int, first: bool, complement: bool, rows: int
) -> npt.NDArray[Any]:
    """What blocks generate and propagate (two rows), or only propagate (one), as
    ``protocols/monomials.py`` does it.
    """
    out = np.empty((rows, planes.shape[0] // 4, planes.shape[1]), np.uint64)
    one, flip = (np.uint64(2**64 - 1 if on else 0) for on in (first, complement))
    _evaluate(words, planes, whole, one, flip, out)
    return out


def flipped(x: npt.NDArray[Any], words: npt.NDArray[Any], add: int) -> npt.NDArray[Any]:
    """−x + add − 1 where the bit is set, else x; rows of numbers, and of words with their bits."""
    out = np.empty(x.shape, x.dtype)
    _flipped(
        x.reshape(-1, x.shape[-1]),
        words.reshape(-1, words.shape[-1]),
        x.dtype.type(add),
        out.reshape(-1, x.shape[-1]),
    )
    return out


def to_planes(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Plane j of 64·w words: bit j of each, packed; shape (64, w)."""
    out = np.empty((64, len(x) // 64), np.uint64)
    plane_kernels.to_planes(x, out)
    return out


def muladd(*arrays: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """a·b + c·d + e of contiguous arrays of one shape in one pass."""
    return _one_pass(_muladd, arrays)


def muladd_bits(*arrays: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same of packed bits."""
    return _one_pass(_andxor, arrays)


def cross(*arrays: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """x₀·(y₀ + y₁) + x₁·y₀ + plus − minus, as ``muladd``."""
    return _one_pass(_cross, arrays)


def cross_bits(*arrays: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same of packed bits."""
    return _one_pass(_cross_bits, arrays)


def _one_pass(kernel: Any, arrays: tuple[npt.NDArray[Any], ...]) -> npt.NDArray[Any]:
    out = np.empty(arrays[0].shape, arrays[0].dtype)
    kernel(*(x.reshape(-1) for x in arrays), out.reshape(-1))
    return out


def matmul(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Product of two matrices of unsigned words modulo 2**32 or 2**64: 0.7 cycles of a core for a product of
    words, 0.6 with Strassen's seven products of quadrants.  In limbs of 22 bits held by doubles it takes 5 or
    6 products, at 0.15 cycles each."""
    if min(*a.shape, b.shape[1]) >= STRASSEN and not any(side % 2 for side in (*a.shape, b.shape[1])):
        pairs = zip(
            strassen.factors(a[None], strassen.LEFT), strassen.factors(b[None], strassen.RIGHT), strict=True
        )
        return np.asarray(strassen.product(np.stack([matmul(x, y) for x, y in pairs])[:, None])[0])
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    _matmul(np.ascontiguousarray(a), np.ascontiguousarray(b), c)
    return c
