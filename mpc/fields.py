"""Prime fields: the integers modulo a prime, as rings.

``Mersenne61``  2^61 − 1 in machine words: 2^61 = 1, so that what a product has above is added below.
``Prime``       any other prime, as gmpy2's integers in arrays of objects: right for every size, and some
                fifty times slower.

A field has inverses, and with them polynomials through points; it has no bits.  What takes bits apart
(comparison, truncation, and with it real numbers) is refused.

How long gmpy2 takes depends on the numbers; the words of ``Mersenne61`` take the same time for all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NoReturn

import gmpy2
import numpy as np

from mpc import limbs
from mpc.errors import ConfigError, WireError
from mpc.ring import Field, NDArray, Ring, RingArray, Shape, integers

P61 = (1 << 61) - 1

#: Primes up to here are refused: they look like numbers of bits.
SMALLEST = 1 << 8

#: Bytes beyond an element's own that a uniform one is reduced from: 2^-128 from uniform, at most.
_MORE = 16


class _Field(Field):
    """What all of them have in common."""

    fraction = 0

    def __init__(self, prime: int) -> None:
        self.prime, self.bits, self.itemsize = prime, prime.bit_length(), -(-prime.bit_length() // 8)
        self.name = f"F_(2^{self.bits}-1)" if prime + 1 == 1 << self.bits else f"F_{prime}"
        self.least, self.most = -(prime // 2), prime // 2

    def inverse(self, x: int) -> int:
        """1/x of a public number that is not 0."""
        return pow(x, -1, self.prime)

    def words(self, x: NDArray) -> tuple[NDArray, ...]:
        self._refuse()

    def of_words(self, *words: NDArray) -> RingArray:
        self._refuse()

    def shr(self, x: NDArray, bits: int) -> NDArray:
        self._refuse()

    def sar(self, x: NDArray, bits: int) -> NDArray:
        self._refuse()

    def low(self, x: NDArray, bits: int) -> NDArray:
        self._refuse()

    def flipped(self, x: NDArray, bit: NDArray, plus: int) -> NDArray:
        self._refuse()

    def whole(self, x: NDArray) -> RingArray:
        self._refuse()

    @property
    def kernels(self) -> Any:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise NotImplementedError(
            f"this takes numbers apart into bits, which elements of {self.name} do not have: compute over a"
            " ring of 64 or 128 bits"
        )


class Mersenne61(_Field):
    """Integers modulo 2^61 − 1 in 64-bit words, always the smallest that is not negative."""

    dtype = np.dtype("<u8")
    entropy = 16  # 2^-67 from uniform

    def __init__(self) -> None:
        super().__init__(P61)

    def add(self, x: NDArray, y: NDArray) -> NDArray:
        return _canonical(x + y)

    def sub(self, x: NDArray, y: NDArray) -> NDArray:
        return _canonical(x + (_P - y))

    def neg(self, x: NDArray) -> NDArray:
        return _canonical(_P - x)

    def mul(self, x: NDArray, y: NDArray) -> NDArray:
        """Halves of 31 bits:  (a·2^31 + b)(c·2^31 + d) = 2ac + (ad + bc)·2^31 + bd."""
        a, b, c, d = x >> _31, x & _LOW31, y >> _31, y & _LOW31
        middle = a * d + b * c  # below 2^62; times 2^31, its upper 32 bits have 2^61 as their unit
        return _reduced((a * c << _1) + (middle >> _30) + ((middle & _LOW30) << _31) + b * d)

    def matmul(self, x: NDArray, y: NDArray) -> NDArray:
        """By three digits of 21 bits each: up to 2^11 products of two of them add up exactly in a double."""
        inner = x.shape[-1]
        if inner > _EXACT:
            cut = range(0, inner, _EXACT)
            rows = (slice(lo, lo + _EXACT) for lo in cut)
            parts = [self.matmul(x[..., r], y[r] if y.ndim == 1 else y[..., r, :]) for r in rows]
            return self.adding(lambda words: np.sum(words, axis=0, dtype=words.dtype), np.stack(parts))
        digits = [[(z >> shift & _LOW21).astype(np.float64) for shift in _DIGITS] for z in (x, y)]
        total: NDArray = np.zeros((), np.uint64)
        for place in range(4, -1, -1):  # Horner's rule for 2^21
            pairs = [(i, place - i) for i in range(3) if 0 <= place - i < 3]
            here = sum(_reduced(np.matmul(digits[0][i], digits[1][j]).astype(np.uint64)) for i, j in pairs)
            total = _reduced(self.mul(total, _TWO21) + np.asarray(here))
        return np.asarray(total)

    def adding(self, f: Callable[[NDArray], NDArray], x: NDArray) -> NDArray:
        low, high = np.asarray(f(x & _LOW31)), np.asarray(f(x >> _31))  # each below 2^63
        return self.add(self.mul(_reduced(high), _TWO31), _reduced(low))

    def shl(self, x: NDArray, bits: int) -> NDArray:
        return self.mul(x, np.asarray(pow(2, bits, P61), np.uint64))

    def signed(self, x: NDArray) -> NDArray:
        signed = x.astype(np.int64)
        return np.asarray(signed - (signed > self.most) * np.int64(P61))

    def doubles(self, x: NDArray) -> NDArray:
        return self.signed(x).astype(np.float64)

    def uniform(self, data: NDArray) -> NDArray:
        """Of 128 bits each: lo + 2^64·hi, and 2^64 = 8."""
        lo, hi = data.view(np.uint64).T
        return self.add(_reduced(lo), self.mul(_reduced(hi), np.asarray(8, np.uint64)))

    def decode(self, data: memoryview, shape: Shape) -> NDArray:
        array = super().decode(data, shape)
        if array.size and array.max() >= P61:
            raise WireError(f"what arrived is no array over {self.name}: a number is too large")
        return array

    def __call__(self, x: Any) -> RingArray:
        array = integers(x)
        if array.dtype == limbs.DTYPE:
            array = limbs.signed(array)
        if array.dtype.kind in "Ou":
            array = np.asarray((array if array.dtype == object else array.astype(np.uint64)) % P61)
        else:
            array = np.asarray(array.astype(np.int64) % np.int64(P61))  # Python's sign: not negative
        return RingArray(self, array.astype(np.uint64))


class Prime(_Field):
    """Integers modulo any prime: gmpy2's, in arrays of objects."""

    dtype = np.dtype(object)

    def __init__(self, prime: int) -> None:
        super().__init__(prime)
        self.entropy = self.itemsize + _MORE
        self._p = gmpy2.mpz(prime)

    def add(self, x: NDArray, y: NDArray) -> NDArray:
        return np.asarray((x + y) % self._p, object)

    def sub(self, x: NDArray, y: NDArray) -> NDArray:
        return np.asarray((x - y) % self._p, object)

    def neg(self, x: NDArray) -> NDArray:
        return np.asarray(-x % self._p, object)

    def mul(self, x: NDArray, y: NDArray) -> NDArray:
        return np.asarray(x * y % self._p, object)

    def matmul(self, x: NDArray, y: NDArray) -> NDArray:
        return np.asarray(np.matmul(x, y) % self._p, object)

    def adding(self, f: Callable[[NDArray], NDArray], x: NDArray) -> NDArray:
        return np.asarray(np.asarray(f(x), object) % self._p, object)

    def shl(self, x: NDArray, bits: int) -> NDArray:
        return self.mul(x, np.asarray(gmpy2.mpz(1) << bits, object))

    def signed(self, x: NDArray) -> NDArray:
        """As 64-bit integers where all fit, else as Python's."""
        signed = [int(v) - self.prime * (v > self.most) for v in x.flat]
        fits = all(-(1 << 63) <= v < 1 << 63 for v in signed)
        return _objects(signed, x.shape).astype(np.int64 if fits else object)

    def doubles(self, x: NDArray) -> NDArray:
        return np.asarray(self.signed(x).astype(np.float64))

    def uniform(self, data: NDArray) -> NDArray:
        return np.asarray(self._unpacked(data.data, len(data), self.entropy) % self._p, object)

    def zeros(self, shape: Shape) -> RingArray:
        return RingArray(self, np.full(shape, gmpy2.mpz(0), object))

    def encode(self, x: NDArray) -> memoryview:
        packed = gmpy2.pack([gmpy2.mpz(v) for v in x.flat], 8 * self.itemsize)
        return memoryview(int(packed).to_bytes(self.itemsize * x.size, "little"))

    def decode(self, data: memoryview, shape: Shape) -> NDArray:
        size = math.prod(shape)
        if data.nbytes != self.itemsize * size:
            raise WireError(f"{data.nbytes} bytes arrived for an array {shape} over {self.name}")
        array = self._unpacked(data, size, self.itemsize)
        if size and array.max() >= self._p:
            raise WireError(f"what arrived is no array over {self.name}: a number is too large")
        return array.reshape(shape)

    def __call__(self, x: Any) -> RingArray:
        array = integers(x)
        if array.dtype == limbs.DTYPE:
            array = limbs.signed(array)
        numbers = [gmpy2.mpz(int(v)) % self._p for v in array.flat]
        return RingArray(self, _objects(numbers, array.shape))

    def _unpacked(self, data: memoryview, count: int, width: int) -> NDArray:
        numbers = gmpy2.unpack(gmpy2.mpz(int.from_bytes(data, "little")), 8 * width)
        return _objects((numbers + [gmpy2.mpz(0)] * count)[:count], (count,))


def _objects(values: list[Any], shape: Shape) -> NDArray:
    """NumPy would look into them to find out what they are."""
    out = np.empty(len(values), object)
    out[:] = values
    return out.reshape(shape)


_P, _1, _30, _31 = (np.asarray(v, np.uint64) for v in (P61, 1, 30, 31))
_LOW21, _LOW30, _LOW31 = (np.asarray((1 << b) - 1, np.uint64) for b in (21, 30, 31))
_TWO21, _TWO31 = np.asarray(1 << 21, np.uint64), np.asarray(1 << 31, np.uint64)
_DIGITS = tuple(np.asarray(b, np.uint64) for b in (0, 21, 42))
_61 = np.asarray(61, np.uint64)
_EXACT = 1 << 11


def _reduced(x: NDArray) -> NDArray:
    """Any 64-bit words modulo 2^61 − 1."""
    return _canonical((x & _P) + (x >> _61))


def _canonical(x: NDArray) -> NDArray:
    """Numbers below 2p modulo p, without a branch: where x < p, x − p wraps to a larger word."""
    return np.asarray(np.minimum(x, x - _P))


@cache
def field_of(prime: int) -> Ring:
    """The field of this many elements; ``ConfigError`` where there is none."""
    if prime <= SMALLEST or not gmpy2.is_prime(prime, 40):
        raise ConfigError(
            f"ring = {prime}: there is no field of so many elements; give a prime above {SMALLEST}"
        )
    return Mersenne61() if prime == P61 else Prime(prime)
