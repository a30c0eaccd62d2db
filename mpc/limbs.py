"""Numbers modulo 2^128 as pairs of 64-bit words, in NumPy: what the kernels of ``limb_kernels`` do, array by
array.

An element is one item of ``DTYPE``, so that whatever moves elements around (reshape, take, concatenate, …)
works as it is: sixteen bytes without a meaning, which NumPy moves ten times quicker than a record of two
words.

What depends on a secret bit is masked by it: ``np.where`` branches, and takes four times as long where bits
are mixed."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import numpy.typing as npt

NDArray = npt.NDArray[Any]

DTYPE = np.dtype("V16")
_PAIR = np.dtype([("lo", "<u8"), ("hi", "<u8")])
WORD = 1 << 64

#: Products of a small matrix product that are made in one array.
_AT_ONCE = 1 << 18
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


def _arrays(f: Callable[..., NDArray]) -> Callable[..., NDArray]:
    """NumPy makes scalars of what has no axes, and warns when these wrap: give it an axis for the while."""

    @wraps(f)
    def inner(*args: Any, **options: Any) -> NDArray:
        if any(isinstance(a, np.ndarray) and a.ndim for a in args):
            return f(*args, **options)
        return f(*(a.reshape(1) if isinstance(a, np.ndarray) else a for a in args), **options)[0:1].reshape(
            ()
        )

    return inner


def joined(lo: Any, hi: Any) -> NDArray:
    """Elements from their words."""
    out = np.empty(np.broadcast_shapes(np.shape(lo), np.shape(hi)), _PAIR)
    out["lo"], out["hi"] = lo, hi
    return out.view(DTYPE)


def words(x: NDArray) -> tuple[NDArray, NDArray]:
    """The lower and the upper words of elements: views."""
    pairs = x.view(_PAIR)
    return pairs["lo"], pairs["hi"]


def of_int(value: int) -> NDArray:
    """One integer of any size and sign."""
    return np.array((value % WORD, (value >> 64) % WORD), _PAIR).view(DTYPE)


@_arrays
def of_integers(x: NDArray) -> NDArray:
    """Integers of any dtype, Python's among them, and elements of narrower rings."""
    if x.dtype == DTYPE:
        return x
    if x.dtype.kind == "O":
        return joined((x % WORD).astype(np.uint64), (x // WORD % WORD).astype(np.uint64))
    if x.dtype.kind == "i":
        lo = x.astype(np.int64)
        return joined(lo.view(np.uint64), (lo >> np.int64(63)).view(np.uint64))
    return joined(x.astype(np.uint64), np.uint64(0))


@_arrays
def of_whole(x: NDArray) -> NDArray:
    """Doubles that are whole, |x| < 2^127, exactly."""
    size = np.abs(x)
    hi = np.floor(size * 2.0**-64)
    lo = size - hi * 2.0**64  # exact: it has no more digits than x
    return _negated(lo.astype(np.uint64), hi.astype(np.uint64), (x < 0).astype(np.uint64))


@_arrays
def signed(x: NDArray) -> NDArray:
    """Elements read as signed: int64 where all of them fit, else Python's integers."""
    lo, hi = words(x)
    hi = hi.view(np.int64)
    if (hi == lo.view(np.int64) >> np.int64(63)).all():
        return lo.view(np.int64).copy()
    return np.asarray(hi.astype(object) * WORD + lo.astype(object), object)


@_arrays
def doubles(x: NDArray) -> NDArray:
    """Elements read as signed, each to the nearest double or the one beside it: the sign goes first, lest a
    small negative loses its digits.
    """
    below = words(x)[1] >> np.uint64(63)
    lo, hi = words(_negated(*words(x), below))
    return np.asarray((1.0 - 2.0 * below) * (hi * 2.0**64 + lo.astype(np.float64)))


@_arrays
def add(x: NDArray, y: NDArray) -> NDArray:
    (x0, x1), (y0, y1) = words(x), words(y)
    lo = x0 + y0
    return joined(lo, x1 + y1 + (lo < x0))


@_arrays
def sub(x: NDArray, y: NDArray) -> NDArray:
    (x0, x1), (y0, y1) = words(x), words(y)
    return joined(x0 - y0, x1 - y1 - (x0 < y0))


@_arrays
def neg(x: NDArray) -> NDArray:
    lo, hi = words(x)
    return joined(np.negative(lo), ~hi + (lo == 0))


@_arrays
def mul(x: NDArray, y: NDArray) -> NDArray:
    (x0, x1), (y0, y1) = words(x), words(y)
    return joined(x0 * y0, _high(x0, y0) + x0 * y1 + x1 * y0)


def _high(a: NDArray, b: NDArray) -> NDArray:
    """The upper word of a·b."""
    a0, a1, b0, b1 = a & _LOW, a >> _HALF, b & _LOW, b >> _HALF
    middle = a1 * b0 + (a0 * b0 >> _HALF)
    return np.asarray(a1 * b1 + (middle >> _HALF) + ((a0 * b1 + (middle & _LOW)) >> _HALF))


def matmul(x: NDArray, y: NDArray) -> NDArray:
    """As ``np.matmul``: all products at once where they are few, else those with one row of y after the
    other.
    """
    rows, columns = x[None, :] if x.ndim == 1 else x, y[:, None] if y.ndim == 1 else y
    shape = *np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2]), rows.shape[-2], columns.shape[-1]
    inner = rows.shape[-1]
    if math.prod(shape) * inner <= _AT_ONCE:
        out = adding(
            lambda a: np.sum(a, axis=-2, dtype=a.dtype), mul(rows[..., None], columns[..., None, :, :])
        )
    else:
        out = np.zeros(shape, DTYPE)
        for k in range(inner):
            out = add(out, mul(rows[..., :, k, None], columns[..., None, k, :]))
    out = out[..., 0] if y.ndim == 1 else out
    return out[..., 0, :] if x.ndim == 1 and y.ndim > 1 else out[..., 0] if x.ndim == 1 else out


def adding(f: Callable[[NDArray], NDArray], x: NDArray) -> NDArray:
    """A function that adds up at most 2^32 elements for each result, of 64-bit words, on numbers of two."""
    lo, hi = words(x)
    low, middle, high = (np.asarray(f(part)) for part in (lo & _LOW, lo >> _HALF, hi))
    return _carried(low, middle, high)


@_arrays
def _carried(low: NDArray, middle: NDArray, high: NDArray) -> NDArray:
    """low + 2^32·middle + 2^64·high."""
    lo = np.asarray(low + (middle << _HALF))
    return joined(lo, high + (middle >> _HALF) + (lo < low))


@_arrays
def shl(x: NDArray, n: int) -> NDArray:
    lo, hi = words(x)
    if n == 0:
        return x
    if n >= 64:
        return joined(np.uint64(0), lo << np.uint64(n - 64))
    return joined(lo << np.uint64(n), (hi << np.uint64(n)) | (lo >> np.uint64(64 - n)))


@_arrays
def shr(x: NDArray, n: int) -> NDArray:
    return _right(*words(x), n)


@_arrays
def sar(x: NDArray, n: int) -> NDArray:
    """The shift of signed numbers."""
    lo, hi = words(x)
    return _right(lo, hi.view(np.int64), n)


def _right(lo: NDArray, hi: NDArray, n: int) -> NDArray:
    """The upper word's dtype says what comes in from above."""
    word = hi.dtype.type
    if n == 0:
        return joined(lo, hi.view(np.uint64))
    if n >= 64:
        return joined((hi >> word(n - 64)).view(np.uint64), (hi >> word(63) >> word(1)).view(np.uint64))
    return joined(
        (lo >> np.uint64(n)) | (hi.view(np.uint64) << np.uint64(64 - n)), (hi >> word(n)).view(np.uint64)
    )


@_arrays
def low(x: NDArray, n: int) -> NDArray:
    """x mod 2^n."""
    lo, hi = words(x)
    keep = [np.uint64((1 << min(64, max(0, m))) - 1) for m in (n, n - 64)]
    return joined(lo & keep[0], hi & keep[1])


@_arrays
def flipped(x: NDArray, bit: NDArray, plus: int) -> NDArray:
    """−x + plus − 1 where the bit is 1, else x."""
    one = words(bit)[0]
    return add(_negated(*words(x), one), joined(one * np.uint64(plus - 1), np.uint64(0)))


def _negated(lo: NDArray, hi: NDArray, bit: NDArray) -> NDArray:
    """Minus these words where the bit, a word, is 1."""
    mask = np.negative(bit)
    low = (lo ^ mask) + bit
    return joined(low, (hi ^ mask) + (bit & (low == 0)))
