"""The loops of ``kernels`` for numbers of two words, modulo 2^128; each has a plain NumPy twin in ``limbs``
or in ``tests/test_kernels.py``.

Arrays come as words: the lower and the upper one of each number, in turn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from mpc import kernels, limbs
from mpc.compiling import njit
from mpc.limbs import DTYPE, NDArray, joined, words

_U64 = types.uint64


def _upper_word(typingctx: Any, a: Any, b: Any) -> Any:
    """Of the product of two words: one instruction."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(x, wide) for x in args))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return _U64(_U64, _U64), generate


_high: Any = intrinsic(_upper_word)


@njit(cache=True, boundscheck=False, nogil=True, inline="always")
def _product(a0: Any, a1: Any, b0: Any, b1: Any) -> Any:
    return a0 * b0, _high(a0, b0) + a0 * b1 + a1 * b0


@njit(cache=True, boundscheck=False, nogil=True, inline="always")
def _sum(a0: Any, a1: Any, b0: Any, b1: Any) -> Any:
    lo = a0 + b0
    return lo, a1 + b1 + np.uint64(lo < a0)


@njit(cache=True, boundscheck=False, nogil=True, inline="always")
def _difference(a0: Any, a1: Any, b0: Any, b1: Any) -> Any:
    return a0 - b0, a1 - b1 - np.uint64(a0 < b0)


@njit(cache=True, boundscheck=False, nogil=True)
def _add(x: Any, y: Any, out: Any) -> None:
    for i in range(0, len(out), 2):
        out[i], out[i + 1] = _sum(x[i], x[i + 1], y[i], y[i + 1])


@njit(cache=True, boundscheck=False, nogil=True)
def _sub(x: Any, y: Any, out: Any) -> None:
    for i in range(0, len(out), 2):
        out[i], out[i + 1] = _difference(x[i], x[i + 1], y[i], y[i + 1])


@njit(cache=True, boundscheck=False, nogil=True)
def _mul(x: Any, y: Any, out: Any) -> None:
    for i in range(0, len(out), 2):
        out[i], out[i + 1] = _product(x[i], x[i + 1], y[i], y[i + 1])


@njit(cache=True, boundscheck=False, nogil=True)
def _add_one(x: Any, y0: Any, y1: Any, out: Any) -> None:
    for i in range(0, len(out), 2):
        out[i], out[i + 1] = _sum(x[i], x[i + 1], y0, y1)


@njit(cache=True, boundscheck=False, nogil=True)
def _sub_from_one(x: Any, y0: Any, y1: Any, out: Any) -> None:
    for i in range(0, len(out), 2):
        out[i], out[i + 1] = _difference(y0, y1, x[i], x[i + 1])


@njit(cache=True, boundscheck=False, nogil=True)
def _scale(x: Any, y0: Any, y1: Any, out: Any) -> None:
    for i in range(0, len(out), 2):
        out[i], out[i + 1] = _product(x[i], x[i + 1], y0, y1)


@njit(cache=True, boundscheck=False, nogil=True)
def _muladd(a: Any, b: Any, c: Any, d: Any, e: Any, out: Any) -> None:
    for i in range(0, len(out), 2):
        j = i + 1
        p0, p1 = _product(a[i], a[j], b[i], b[j])
        q0, q1 = _product(c[i], c[j], d[i], d[j])
        p0, p1 = _sum(p0, p1, q0, q1)
        out[i], out[j] = _sum(p0, p1, e[i], e[j])


@njit(cache=True, boundscheck=False, nogil=True)
def _cross(x0: Any, x1: Any, y0: Any, y1: Any, plus: Any, minus: Any, out: Any) -> None:
    for i in range(0, len(out), 2):
        j = i + 1
        s0, s1 = _sum(y0[i], y0[j], y1[i], y1[j])
        p0, p1 = _product(x0[i], x0[j], s0, s1)
        q0, q1 = _product(x1[i], x1[j], y0[i], y0[j])
        p0, p1 = _sum(p0, p1, q0, q1)
        p0, p1 = _sum(p0, p1, plus[i], plus[j])
        out[i], out[j] = _difference(p0, p1, minus[i], minus[j])


@njit(cache=True, boundscheck=False, nogil=True)
def _flipped(x: Any, words: Any, add0: Any, out: Any) -> None:
    """``add0`` is add − 1, a small number."""
    n, zero = out.shape[1] // 2, np.uint64(0)
    for row in range(out.shape[0]):
        for i in range(n):
            lo, hi = x[row, 2 * i], x[row, 2 * i + 1]
            chosen = zero - ((words[row, i >> 6] >> np.uint64(i & 63)) & np.uint64(1))
            minus0, minus1 = _difference(add0, zero, lo, hi)
            out[row, 2 * i], out[row, 2 * i + 1] = (
                lo ^ ((lo ^ minus0) & chosen),
                hi ^ ((hi ^ minus1) & chosen),
            )


@njit(cache=True, boundscheck=False, nogil=True, inline="always")
def _shifted(lo: Any, hi: Any, bits: Any) -> Any:
    """As a signed number, by 1 to 64 bits."""
    one, less = np.uint64(1), bits - np.uint64(1)
    return (lo >> less >> one) | (hi << (np.uint64(64) - bits)), np.uint64(
        np.int64(hi) >> np.int64(less) >> np.int64(1)
    )


@njit(cache=True, boundscheck=False, nogil=True)
def _split_quotient(
    term: Any, add0: Any, add1: Any, after0: Any, after1: Any, bits: Any, x: Any, e: Any, rest: Any, head: Any
) -> None:
    for i in range(len(head)):
        lo, hi = _sum(term[2 * i], term[2 * i + 1], add0, add1)
        head[i] = (hi >> np.uint64(63)) - np.uint64(e[i])
        lo, hi = _shifted(lo, hi, bits)
        lo, hi = _sum(lo, hi, after0, after1)
        rest[2 * i], rest[2 * i + 1] = _difference(lo, hi, x[2 * i], x[2 * i + 1])


@njit(cache=True, boundscheck=False, nogil=True)
def _masked_quotient(
    term: Any, add0: Any, add1: Any, bits: Any, e: Any, s: Any, whole: Any, masked: Any
) -> None:
    for i in range(len(masked)):
        lo, hi = term[2 * i], term[2 * i + 1]
        masked[i] = np.uint64(e[i]) * (hi >> np.uint64(63)) - np.uint64(s[i])
        lo, hi = _shifted(lo, hi, bits)
        whole[2 * i], whole[2 * i + 1] = _sum(lo, hi, add0, add1)


@njit(cache=True, boundscheck=False, nogil=True)
def _plus_shifted(x: Any, s: Any, shift: Any, out: Any) -> None:
    """By 64 to 127 bits: the lower word stays."""
    for i in range(len(s)):
        out[2 * i], out[2 * i + 1] = x[2 * i], x[2 * i + 1] + (np.uint64(s[i]) << shift)


@njit(cache=True, boundscheck=False, nogil=True)
def _low_products(a: Any, b: Any, lo: Any, hi: Any) -> None:
    """Add the products of words, both words of them, to those of c: blocks of b stay in the cache."""
    m, inner = a.shape
    n = b.shape[1]
    for j0 in range(0, n, kernels.BLOCK):
        j1 = min(n, j0 + kernels.BLOCK)
        for k0 in range(0, inner, kernels.BLOCK):
            k1 = min(inner, k0 + kernels.BLOCK)
            for i in range(m):
                c0, c1 = lo[i, j0:j1], hi[i, j0:j1]
                for k in range(k0, k1):
                    x, row = a[i, k], b[k, j0:j1]
                    for j in range(j1 - j0):
                        c0[j], c1[j] = _sum(c0[j], c1[j], x * row[j], _high(x, row[j]))


def _words(x: NDArray) -> NDArray:
    """The words of an array, one after the other; a view where that can be."""
    return np.ascontiguousarray(x).reshape(-1).view(np.uint64)


def _apply(kernel: Any, *arrays: NDArray) -> NDArray:
    """An elementwise kernel on arrays that broadcast."""
    shape = np.broadcast_shapes(*(x.shape for x in arrays))
    out = np.empty(shape, DTYPE)
    kernel(*(_words(np.broadcast_to(x, shape)) for x in arrays), _words(out))
    return out


def _with_one(kernel: Any, x: NDArray, one: NDArray) -> NDArray:
    """A kernel on an array and one number for all of it."""
    out = np.empty(np.broadcast_shapes(x.shape, one.shape), DTYPE)
    kernel(_words(x), *_words(one), _words(out))
    return out


def _single(x: NDArray, beside: NDArray) -> bool:
    return x.size == 1 and beside.size > 1


def add(x: NDArray, y: NDArray) -> NDArray:
    if _single(x, y):
        x, y = y, x
    return _with_one(_add_one, x, y) if _single(y, x) else _apply(_add, x, y)


def sub(x: NDArray, y: NDArray) -> NDArray:
    if _single(y, x):
        return _with_one(_add_one, x, limbs.neg(y))
    return _with_one(_sub_from_one, y, x) if _single(x, y) else _apply(_sub, x, y)


def neg(x: NDArray) -> NDArray:
    return _with_one(_sub_from_one, x, limbs.of_int(0))


def mul(x: NDArray, y: NDArray) -> NDArray:
    if _single(x, y):
        x, y = y, x
    return _with_one(_scale, x, y) if _single(y, x) else _apply(_mul, x, y)


def muladd(a: NDArray, b: NDArray, c: NDArray, d: NDArray, e: NDArray) -> NDArray:
    """a·b + c·d + e."""
    return _apply(_muladd, a, b, c, d, e)


def cross(x0: NDArray, x1: NDArray, y0: NDArray, y1: NDArray, plus: NDArray, minus: NDArray) -> NDArray:
    """x₀·(y₀ + y₁) + x₁·y₀ + plus − minus."""
    return _apply(_cross, x0, x1, y0, y1, plus, minus)


def flipped(x: NDArray, words: NDArray, add: int) -> NDArray:
    """−x + add − 1 where the bit is set, else x; rows of numbers, and of words with their bits."""
    out = np.empty(x.shape, DTYPE)
    width = 2 * x.shape[-1]
    _flipped(
        _words(x).reshape(-1, width),
        words.reshape(-1, words.shape[-1]),
        np.uint64(add - 1),
        _words(out).reshape(-1, width),
    )
    return out


def split_quotient(
    term: NDArray, add: int, after: int, bits: int, x: NDArray, e: NDArray
) -> tuple[NDArray, NDArray]:
    """((term + add) >> bits) + after − x, as signed, and the top bit of term + add less e; by at most 64
    bits.
    """
    rest, head = np.empty(term.shape, DTYPE), np.empty(term.shape, e.dtype)
    _split_quotient(
        _words(term),
        *_halves(add),
        *_halves(after),
        np.uint64(bits),
        _words(x),
        e.reshape(-1),
        _words(rest),
        head.reshape(-1),
    )
    return rest, head


def masked_quotient(term: NDArray, add: int, bits: int, e: NDArray, s: NDArray) -> tuple[NDArray, NDArray]:
    """(term >> bits) + add, as signed, and e times the top bit of the term less s; by at most 64 bits."""
    whole, masked = np.empty(term.shape, DTYPE), np.empty(term.shape, e.dtype)
    _masked_quotient(
        _words(term),
        *_halves(add),
        np.uint64(bits),
        e.reshape(-1),
        s.reshape(-1),
        _words(whole),
        masked.reshape(-1),
    )
    return whole, masked


def _halves(value: int) -> tuple[np.uint64, np.uint64]:
    return np.uint64(value % 2**64), np.uint64((value >> 64) % 2**64)


def plus_shifted(x: NDArray, s: NDArray, shift: int) -> NDArray:
    """x + s·2^shift, for s of shorter words and 64 bits or more."""
    out = np.empty(x.shape, DTYPE)
    _plus_shifted(_words(x), s.reshape(-1), np.uint64(shift - 64), _words(out))
    return out


def matmul(a: NDArray, b: NDArray) -> NDArray:
    """Product of two matrices: both words of the product of their lower words, and in the upper word two
    products of words.

    About 2.7 cycles of a core for a product of numbers, of which the full product of words takes 1.5.
    """
    a0, a1, b0, b1 = (np.ascontiguousarray(word) for x in (a, b) for word in words(x))
    lo = np.zeros((a.shape[0], b.shape[1]), np.uint64)
    hi = kernels.matmul(a0, b1) + kernels.matmul(a1, b0)
    _low_products(a0, b0, lo, hi)
    return joined(lo, hi)
