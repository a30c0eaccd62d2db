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
from typing import Any, NoReturn, cast

import numpy as np
import numpy.typing as npt

from mpc import limbs
from mpc.errors import WireError

NDArray = npt.NDArray[Any]
Shape = tuple[int, ...]

#: Sums of products with fewer elements than this are left to NumPy, until the compiler is awake, and then.
_SMALL_MULADD, _SMALL_MULADD_ONCE_AWAKE = 1 << 16, 1 << 11

#: Matrix products with fewer word products than this are left to NumPy: the compiler is not worth waking, or
#: calling.
_SMALL_MATMUL, _SMALL_ONCE_AWAKE = 1 << 22, 1 << 14

#: Numbers of two words of which fewer are left to NumPy.
_SMALL_LIMBS, _SMALL_LIMBS_ONCE_AWAKE = 1 << 15, 1 << 9


def worth_compiling(size: int, small: int, once_awake: int = 1) -> bool:
    """Whether a kernel is to be used for so many elements, never for none: few do not wake the compiler, but
    take what is there.
    """
    return size >= (once_awake if "mpc.kernels" in sys.modules else small)


class Ring(ABC):
    """A finite commutative ring with arithmetic on whole arrays."""

    name: str
    bits: int
    itemsize: int  # bytes per element on the wire
    dtype: np.dtype[Any]
    fraction: int  # bits after the point of real numbers, unless said otherwise
    least: int  # the smallest and the largest integer that is an element, read as signed
    most: int
    entropy: int  # bytes that a uniform element is made of

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
    def adding(self, f: Callable[[NDArray], NDArray], x: NDArray) -> NDArray:
        """A function of arrays of unsigned words that adds up at most 2^32 of them for each result, on
        elements.
        """

    @abstractmethod
    def shl(self, x: NDArray, bits: int) -> NDArray: ...
    @abstractmethod
    def shr(self, x: NDArray, bits: int) -> NDArray: ...
    @abstractmethod
    def sar(self, x: NDArray, bits: int) -> NDArray:
        """The right shift of signed numbers."""

    @abstractmethod
    def low(self, x: NDArray, bits: int) -> NDArray:
        """x modulo 2^bits."""

    @abstractmethod
    def signed(self, x: NDArray) -> NDArray:
        """Elements as signed integers: of the word's size, and Python's where 64 bits do not hold one of
        them.
        """

    @abstractmethod
    def doubles(self, x: NDArray) -> NDArray:
        """Elements, read as signed, as doubles."""

    @abstractmethod
    def whole(self, x: NDArray) -> RingArray:
        """Doubles without a fraction, |x| < 2^(bits − 1), as elements."""

    @abstractmethod
    def flipped(self, x: NDArray, bit: NDArray, plus: int) -> NDArray:
        """−x + plus − 1 where the bit, an element too, is 1, else x."""

    @abstractmethod
    def words(self, x: NDArray) -> tuple[NDArray, ...]:
        """The machine words of each element, the lowest first."""

    @abstractmethod
    def of_words(self, *words: NDArray) -> RingArray:
        """Elements from their words."""

    @abstractmethod
    def __call__(self, x: Any) -> RingArray:
        """Integers (of any sign, reduced) or elements of another ring as elements of this ring."""

    @property
    @abstractmethod
    def kernels(self) -> Any:
        """The module with the compiled loops over arrays of this ring; wakes the compiler."""

    @abstractmethod
    def uniform(self, data: NDArray) -> NDArray:
        """Elements from uniform bytes, a row of ``entropy`` for each."""

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


class Field(Ring):
    """Integers modulo a prime (``mpc.fields``); the other rings are made of bits."""

    prime: int

    @abstractmethod
    def inverse(self, x: int) -> int:
        """1/x of a public number that is not 0."""


class _Bits(Ring):
    """What is made of bits: every one of its byte strings is an element."""

    @property
    def least(self) -> int:  # type: ignore[override]
        return -(1 << self.bits - 1)

    @property
    def most(self) -> int:  # type: ignore[override]
        return (1 << self.bits - 1) - 1

    @property
    def entropy(self) -> int:  # type: ignore[override]
        return self.itemsize

    def uniform(self, data: NDArray) -> NDArray:
        return data.view(self.dtype).reshape(-1)


class _Words(_Bits):
    """What is stored in unsigned words of the processor's."""

    def adding(self, f: Callable[[NDArray], NDArray], x: NDArray) -> NDArray:
        return np.asarray(f(x))

    def shl(self, x: NDArray, bits: int) -> NDArray:
        return np.asarray(x << self.dtype.type(bits))

    def shr(self, x: NDArray, bits: int) -> NDArray:
        return np.asarray(x >> self.dtype.type(bits))

    def sar(self, x: NDArray, bits: int) -> NDArray:
        signed = np.dtype(f"<i{self.itemsize}")
        return np.asarray(x.view(signed) >> signed.type(bits)).view(self.dtype)

    def low(self, x: NDArray, bits: int) -> NDArray:
        return np.asarray(x & self.dtype.type((1 << bits) - 1))

    def signed(self, x: NDArray) -> NDArray:
        return x.view(f"<i{self.itemsize}")

    def doubles(self, x: NDArray) -> NDArray:
        return self.signed(x).astype(np.float64)

    def whole(self, x: NDArray) -> RingArray:
        return self(x.astype(np.int64))

    def flipped(self, x: NDArray, bit: NDArray, plus: int) -> NDArray:
        return np.asarray((x ^ np.negative(bit)) + bit * self.dtype.type(plus))

    def words(self, x: NDArray) -> tuple[NDArray, ...]:
        return (x,)

    def of_words(self, *words: NDArray) -> RingArray:
        return self(words[0])

    def __call__(self, x: Any) -> RingArray:
        array = integers(x)
        if array.dtype == limbs.DTYPE:
            array = limbs.words(array)[0]
        elif array.dtype.kind == "O":
            array = np.asarray(array % (1 << self.bits), object)
        return RingArray(self, array.astype(self.dtype, casting="unsafe", copy=False))

    @property
    def kernels(self) -> Any:
        from mpc import kernels

        return kernels


class Z2k(_Words):
    """Integers modulo 2**32 or 2**64: unsigned words with the processor's own wrap-around."""

    def __init__(self, bits: int) -> None:
        self.name, self.bits, self.itemsize, self.fraction = f"Z_2^{bits}", bits, bits // 8, bits // 4
        self.dtype = np.dtype(f"<u{self.itemsize}")

    def add(self, x: NDArray, y: NDArray) -> NDArray:
        return np.asarray(x + y)

    def sub(self, x: NDArray, y: NDArray) -> NDArray:
        return np.asarray(x - y)

    def neg(self, x: NDArray) -> NDArray:
        return np.asarray(np.negative(x))

    def mul(self, x: NDArray, y: NDArray) -> NDArray:
        return np.asarray(x * y)

    def matmul(self, x: NDArray, y: NDArray) -> NDArray:
        return _matmul(
            self, x, y, np.matmul, _SMALL_ONCE_AWAKE if "mpc.kernels" in sys.modules else _SMALL_MATMUL
        )


class PackedBits(_Words):
    """GF(2)^64: sixty-four bits in a word; addition is exclusive or, multiplication is and."""

    name, bits, itemsize, dtype, fraction = "GF(2)^64", 1, 8, np.dtype("<u8"), 0

    def add(self, x: NDArray, y: NDArray) -> NDArray:
        return np.asarray(x ^ y)

    sub = add

    def neg(self, x: NDArray) -> NDArray:
        return x

    def mul(self, x: NDArray, y: NDArray) -> NDArray:
        return np.asarray(x & y)

    def matmul(self, x: NDArray, y: NDArray) -> NDArray:
        raise TypeError("there is no matrix product over packed bits")


class Limbs(_Bits):
    """Integers modulo 2**128: pairs of words, in NumPy where they are few, else in compiled loops."""

    name, bits, itemsize, dtype, fraction = "Z_2^128", 128, 16, limbs.DTYPE, 40

    def _do(self, name: str, *arrays: NDArray) -> NDArray:
        compiled = worth_compiling(max(x.size for x in arrays), _SMALL_LIMBS, _SMALL_LIMBS_ONCE_AWAKE)
        return cast(NDArray, getattr(self.kernels if compiled else limbs, name)(*arrays))

    def add(self, x: NDArray, y: NDArray) -> NDArray:
        return self._do("add", x, y)

    def sub(self, x: NDArray, y: NDArray) -> NDArray:
        return self._do("sub", x, y)

    def neg(self, x: NDArray) -> NDArray:
        return self._do("neg", x)

    def mul(self, x: NDArray, y: NDArray) -> NDArray:
        return self._do("mul", x, y)

    def matmul(self, x: NDArray, y: NDArray) -> NDArray:
        return _matmul(
            self,
            x,
            y,
            limbs.matmul,
            _SMALL_LIMBS_ONCE_AWAKE if "mpc.kernels" in sys.modules else _SMALL_LIMBS,
        )

    def adding(self, f: Callable[[NDArray], NDArray], x: NDArray) -> NDArray:
        return limbs.adding(f, x)

    def shl(self, x: NDArray, bits: int) -> NDArray:
        return limbs.shl(x, bits)

    def shr(self, x: NDArray, bits: int) -> NDArray:
        return limbs.shr(x, bits)

    def sar(self, x: NDArray, bits: int) -> NDArray:
        return limbs.sar(x, bits)

    def low(self, x: NDArray, bits: int) -> NDArray:
        return limbs.low(x, bits)

    def signed(self, x: NDArray) -> NDArray:
        return limbs.signed(x)

    def doubles(self, x: NDArray) -> NDArray:
        return limbs.doubles(x)

    def whole(self, x: NDArray) -> RingArray:
        return RingArray(self, limbs.of_whole(x))

    def flipped(self, x: NDArray, bit: NDArray, plus: int) -> NDArray:
        return limbs.flipped(x, bit, plus)

    def words(self, x: NDArray) -> tuple[NDArray, ...]:
        return limbs.words(x)

    def of_words(self, *words: NDArray) -> RingArray:
        return RingArray(self, limbs.joined(*words))

    def __call__(self, x: Any) -> RingArray:
        return RingArray(self, limbs.of_int(x) if isinstance(x, int) else limbs.of_integers(integers(x)))

    @property
    def kernels(self) -> Any:
        from mpc import limb_kernels

        return limb_kernels


def integers(x: Any) -> NDArray:
    """An array of integers; of a list with large ones NumPy would make doubles."""
    array = np.asarray(x, object if isinstance(x, list) else None)
    if array.dtype.kind == "f":
        raise TypeError("real numbers are no elements of a ring; encode them first")
    return array


def _matmul(
    ring: Ring, x: NDArray, y: NDArray, plain: Callable[[NDArray, NDArray], NDArray], small: int
) -> NDArray:
    """A kernel's product of matrices where they are large, one or a stack;
    else a ``plain`` one, of anything.
    """
    rows = math.prod(x.shape[:-1])
    if x.ndim == 2 and y.ndim == 2 and rows * y.size >= small:
        return cast(NDArray, ring.kernels.matmul(x, y))
    if x.ndim > 2 and y.ndim == 2:  # a stack of matrices times one: a single tall product
        return ring.matmul(x.reshape(rows, x.shape[-1]), y).reshape(*x.shape[:-1], y.shape[-1])
    if (
        x.ndim > 2
        and y.ndim == x.ndim
        and x.shape[:-2] == y.shape[:-2]
        and len(x)
        and x.shape[-2] * y[0].size > small
    ):
        return np.stack([ring.matmul(a, b) for a, b in zip(x, y, strict=True)])
    return np.asarray(plain(x, y))


Z64, Z32, Z128, BITS = Z2k(64), Z2k(32), Limbs(), PackedBits()
RINGS: dict[int, Ring] = {64: Z64, 32: Z32, 128: Z128}


def narrowest(bits: int, ring: Ring) -> Ring:
    """Of the rings up to this one the first with so many bits."""
    return next((narrow for narrow in (Z32, Z64) if bits <= narrow.bits), ring)


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
        return (
            RingArray(ring, ring.matmul(self.data, other.data)) if other.ring is ring else self._mixed(other)
        )

    def _mixed(self, other: RingArray) -> NoReturn:
        raise TypeError(f"cannot combine an array over {self.ring} with one over {other.ring}")

    def __lshift__(self, bits: int) -> RingArray:
        return RingArray(self.ring, self.ring.shl(self.data, bits))

    def __rshift__(self, bits: int) -> RingArray:
        return RingArray(self.ring, self.ring.shr(self.data, bits))

    def low(self, bits: int) -> RingArray:
        """Modulo 2^bits."""
        return RingArray(self.ring, self.ring.low(self.data, bits))

    def adding(self, f: Callable[[NDArray], NDArray]) -> RingArray:
        """Apply a function of arrays of unsigned words that adds elements up."""
        return RingArray(self.ring, self.ring.adding(f, self.data))

    def sum(self, axis: Any = None, keepdims: bool = False) -> RingArray:
        return self.adding(lambda words: np.sum(words, axis=axis, keepdims=keepdims, dtype=words.dtype))

    def cumsum(self, axis: Any = None) -> RingArray:
        return self.adding(lambda words: np.cumsum(words, axis=axis, dtype=words.dtype))

    def __getitem__(self, index: Any) -> RingArray:
        return RingArray(self.ring, np.asarray(self.data[index]))

    def map(self, f: Callable[[NDArray], NDArray]) -> RingArray:
        """Apply a function that moves elements around (reshape, transpose, …)."""
        return RingArray(self.ring, np.asarray(f(self.data)))

    def __repr__(self) -> str:
        return f"<array {self.shape} over {self.ring}>"


def zeros_like(x: RingArray) -> RingArray:
    """Zeros of x's shape that take no memory; not to be written to."""
    return RingArray(x.ring, np.broadcast_to(x.ring.zeros(()).data, x.shape))


def muladd(a: RingArray, b: RingArray, c: RingArray, d: RingArray, e: RingArray) -> RingArray:
    """a·b + c·d + e, elementwise: in one pass over memory where the arrays are large and alike."""
    if not in_one_pass(a, b, c, d, e):
        return a * b + c * d + e
    return _compiled("muladd", a, b, c, d, e)


def cross(
    x0: RingArray, x1: RingArray, y0: RingArray, y1: RingArray, plus: RingArray, minus: RingArray
) -> RingArray:
    """x₀·(y₀ + y₁) + x₁·y₀ + plus − minus, as ``muladd``."""
    if not in_one_pass(x0, x1, y0, y1, plus, minus):
        return x0 * (y0 + y1) + x1 * y0 + (plus - minus)
    return _compiled("cross", x0, x1, y0, y1, plus, minus)


def _compiled(name: str, *xs: RingArray) -> RingArray:
    ring = xs[0].ring
    return RingArray(
        ring, getattr(ring.kernels, f"{name}_bits" if ring is BITS else name)(*(x.data for x in xs))
    )


def in_one_pass(first: RingArray, *rest: RingArray) -> bool:
    return (
        worth_compiling(first.data.size, _SMALL_MULADD, _SMALL_MULADD_ONCE_AWAKE)
        and first.data.flags.c_contiguous
        and all(
            x.data.shape == first.data.shape and x.ring is first.ring and x.data.flags.c_contiguous
            for x in rest
        )
    )
