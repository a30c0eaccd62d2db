"""Finite rings, and arrays over them.

A ``Ring`` says how elements are stored and combined and has exactly one encoding into bytes; a
``RingArray`` is an ndarray that remembers its ring; a ``Spec`` is what a receiver must know to expect
an array: ring and shape, hence the number of bytes.  Mixing rings is a ``TypeError``.
"""
from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from mpc.errors import WireError

NDArray = npt.NDArray[Any]
Shape = tuple[int, ...]

#: Sums of products with fewer elements than this are left to NumPy, until the compiler is awake, and then.
_SMALL_MULADD, _SMALL_MULADD_ONCE_AWAKE = 1 << 16, 1 << 11

#: Matrix products with fewer word products than this are left to NumPy: the compiler is not worth waking, or calling.
_SMALL_MATMUL, _SMALL_ONCE_AWAKE = 1 << 22, 1 << 14


def worth_compiling(size: int, small: int, once_awake: int = 1) -> bool:
    """Whether a kernel is to be used for so many elements, never for none: few do not wake the compiler, but take what is there."""
    return size >= (once_awake if "mpc.kernels" in sys.modules else small)


class Ring(ABC):
    """A finite commutative ring with arithmetic on whole arrays."""

    name: str
    bits: int
    itemsize: int                       # bytes per element on the wire
    dtype: np.dtype[Any]

    @abstractmethod
    def add(self, x: NDArray, y: NDArray) -> NDArray: ...
    @abstractmethod
    def sub(self, x: NDArray, y: NDArray) -> NDArray: ...
    @abstractmethod
    def neg(self, x: NDArray) -> NDArray: ...
    @abstractmethod
    def mul(self, x: NDArray, y: NDArray) -> NDArray: ...
    @abstractmethod
    def matmul(self, x: NDArray, y: NDArray) -> NDArray: ...

    @abstractmethod
    def whole(self, x: NDArray) -> RingArray:
        """Doubles without a fraction, |x| < 2^(bits − 1), as elements."""

    def __call__(self, x: Any) -> RingArray:
        """Integers (of any sign, reduced) as elements of this ring."""
        return RingArray(self, np.asarray(x).astype(self.dtype, casting="unsafe", copy=False))

    def zeros(self, shape: Shape) -> RingArray:
        return RingArray(self, np.zeros(shape, self.dtype))

    def empty(self, shape: Shape) -> RingArray:
        return RingArray(self, np.empty(shape, self.dtype))

    def encode(self, x: NDArray) -> memoryview:
        """The one encoding of ``x``: its elements in C order, little-endian; a view where possible."""
        return np.ascontiguousarray(x, self.dtype).reshape(-1).view(np.uint8).data

    def decode(self, data: memoryview, shape: Shape) -> NDArray:
        """A view of ``data`` as an array; ``WireError`` unless it has exactly the bytes for ``shape``."""
        if data.nbytes != self.itemsize * math.prod(shape):
            raise WireError(f"{data.nbytes} bytes arrived for an array {shape} over {self.name}")
        return np.frombuffer(data, self.dtype).reshape(shape)

    def __repr__(self) -> str:
        return self.name


class Z2k(Ring):
    """Integers modulo 2**32 or 2**64: unsigned words with the processor's own wrap-around."""

    def __init__(self, bits: int) -> None:
        self.name, self.bits, self.itemsize = f"Z_2^{bits}", bits, bits // 8
        self.dtype = np.dtype(f"<u{self.itemsize}")

    def add(self, x: NDArray, y: NDArray) -> NDArray:
        return np.asarray(x + y)

    def sub(self, x: NDArray, y: NDArray) -> NDArray:
        return np.asarray(x - y)

    def neg(self, x: NDArray) -> NDArray:
        return np.asarray(np.negative(x))

    def mul(self, x: NDArray, y: NDArray) -> NDArray:
        return np.asarray(x * y)

    def whole(self, x: NDArray) -> RingArray:
        return self(x.astype(np.int64))

    def matmul(self, x: NDArray, y: NDArray) -> NDArray:
        rows = x.size // max(1, x.shape[-1])
        small = _SMALL_ONCE_AWAKE if "mpc.kernels" in sys.modules else _SMALL_MATMUL
        if x.ndim != 2 or y.ndim != 2 or rows * y.size < small:
            if x.ndim > 2 and y.ndim == 2:      # a stack of matrices times one: a single tall product
                return self.matmul(x.reshape(-1, x.shape[-1]), y).reshape(*x.shape[:-1], y.shape[-1])
            if x.ndim > 2 and y.ndim == x.ndim and x.shape[:-2] == y.shape[:-2] and x.shape[-2] * y[0].size > small:
                return np.stack([self.matmul(a, b) for a, b in zip(x, y, strict=True)])
            return np.asarray(np.matmul(x, y))
        from mpc import kernels
        return kernels.matmul(x, y)


class PackedBits(Ring):
    """GF(2)^64: sixty-four bits in a word; addition is exclusive or, multiplication is and."""

    name, bits, itemsize, dtype = "GF(2)^64", 1, 8, np.dtype("<u8")

    def add(self, x: NDArray, y: NDArray) -> NDArray:
        return np.asarray(x ^ y)

    sub = add

    def neg(self, x: NDArray) -> NDArray:
        return x

    def mul(self, x: NDArray, y: NDArray) -> NDArray:
        return np.asarray(x & y)

    def whole(self, x: NDArray) -> RingArray:
        raise TypeError("doubles are not packed bits")

    def matmul(self, x: NDArray, y: NDArray) -> NDArray:
        raise TypeError("there is no matrix product over packed bits")


Z64, Z32, BITS = Z2k(64), Z2k(32), PackedBits()
RINGS: dict[int, Z2k] = {64: Z64, 32: Z32}


@dataclass(frozen=True, slots=True)
class Spec:
    """What a receiver expects: fixes the number of bytes before one of them arrives."""

    ring: Ring
    shape: Shape

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.ring.itemsize * math.prod(self.shape)

    def __str__(self) -> str:
        return f"{self.ring.name}{list(self.shape)}"


@dataclass(frozen=True, slots=True, eq=False)
class RingArray:
    """An ndarray and its ring.  May be a share: it never prints what it holds."""

    ring: Ring
    data: NDArray

    @property
    def shape(self) -> Shape:
        return self.data.shape

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def spec(self) -> Spec:
        return Spec(self.ring, self.data.shape)

    def __add__(self, other: RingArray) -> RingArray:
        ring = self.ring
        return RingArray(ring, ring.add(self.data, other.data)) if other.ring is ring else self._mixed(other)

    def __sub__(self, other: RingArray) -> RingArray:
        ring = self.ring
        return RingArray(ring, ring.sub(self.data, other.data)) if other.ring is ring else self._mixed(other)

    def __neg__(self) -> RingArray:
        return RingArray(self.ring, self.ring.neg(self.data))

    def __mul__(self, other: RingArray) -> RingArray:
        ring = self.ring
        return RingArray(ring, ring.mul(self.data, other.data)) if other.ring is ring else self._mixed(other)

    def __matmul__(self, other: RingArray) -> RingArray:
        ring = self.ring
        return RingArray(ring, ring.matmul(self.data, other.data)) if other.ring is ring else self._mixed(other)

    def _mixed(self, other: RingArray) -> NoReturn:
        raise TypeError(f"cannot combine an array over {self.ring} with one over {other.ring}")

    def __lshift__(self, bits: int) -> RingArray:
        return self.map(lambda data: data << self.ring.dtype.type(bits))

    def __rshift__(self, bits: int) -> RingArray:
        return self.map(lambda data: data >> self.ring.dtype.type(bits))

    def __getitem__(self, index: Any) -> RingArray:
        return RingArray(self.ring, np.asarray(self.data[index]))

    def map(self, f: Callable[[NDArray], NDArray]) -> RingArray:
        """Apply a function that moves elements around (reshape, transpose, …)."""
        return RingArray(self.ring, np.asarray(f(self.data)))

    def __repr__(self) -> str:
        return f"<array {self.shape} over {self.ring}>"


def muladd(a: RingArray, b: RingArray, c: RingArray, d: RingArray, e: RingArray) -> RingArray:
    """a·b + c·d + e, elementwise: in one pass over memory where the arrays are large and alike."""
    if not _in_one_pass(a, b, c, d, e):
        return a * b + c * d + e
    from mpc import kernels
    return RingArray(a.ring, kernels.muladd(a.data, b.data, c.data, d.data, e.data, a.ring is BITS))


def cross(x0: RingArray, x1: RingArray, y0: RingArray, y1: RingArray, plus: RingArray, minus: RingArray) -> RingArray:
    """x₀·(y₀ + y₁) + x₁·y₀ + plus − minus, as ``muladd``."""
    if not _in_one_pass(x0, x1, y0, y1, plus, minus):
        return x0 * (y0 + y1) + x1 * y0 + (plus - minus)
    from mpc import kernels
    return RingArray(x0.ring, kernels.cross(x0.data, x1.data, y0.data, y1.data, plus.data, minus.data, x0.ring is BITS))


def _in_one_pass(first: RingArray, *rest: RingArray) -> bool:
    return (worth_compiling(first.data.size, _SMALL_MULADD, _SMALL_MULADD_ONCE_AWAKE) and first.data.flags.c_contiguous
            and all(x.data.shape == first.data.shape and x.ring is first.ring and x.data.flags.c_contiguous for x in rest))
