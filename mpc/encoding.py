"""How numbers lie in a ring: integers read as signed, and fixed point.

Encoding checks the range and refuses what does not fit, naming the limits; decoding is total.

``INT``        x ↦ x mod 2^k                     −2^(k−1) ≤ x < 2^(k−1)
``BOOL``       0 or 1
``Fixed(f)``   x ↦ round(x·2^f) mod 2^k          |x| < 2^(k−2−f), the range in which truncation is exact
               up to one unit in the last place (``protocols/truncation.py``)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import numpy as np

from mpc.columns import array_of
from mpc.errors import EncodingError
from mpc.ring import Field, NDArray, Ring, RingArray


class Kind(Protocol):
    """A way to read ring elements as numbers."""

    @property
    def fraction(self) -> int:
        """Fractional bits."""
        ...

    def encode(self, values: Any, ring: Ring) -> RingArray: ...
    def decode(self, x: RingArray) -> NDArray: ...


def numeric(values: Any, what: str = "a value") -> NDArray:
    """``values`` as an array of integers or floats, or an ``EncodingError`` that says why not."""
    values = array_of(values)
    if _masked(values):
        raise EncodingError(
            f"{what} is a masked array, whose masked values would be shared too; fill or compress it first"
        )
    try:
        array = np.asarray(values)
    except ValueError as error:  # ragged nested lists
        raise EncodingError(f"{what} is not a rectangular array: {str(error).split('.')[0]}") from None
    if array.dtype == object and array.size and all(type(value) is int for value in array.flat):
        return array  # integers beyond 64 bits, for rings that hold them
    if array.dtype.kind not in "biuf":
        types = sorted({type(value).__name__ for value in array.flat}) if array.dtype == object else []
        of = f"type {' and '.join(types[:3])}" if types else f"dtype {array.dtype}"
        raise EncodingError(
            f"{what} of {of} cannot be shared; use integers, real numbers or truth values, all of one"
            f" type{_remedy(of)}"
        )
    return array


def _remedy(of: str) -> str:
    if "dict" in of:
        return "; of a dictionary, its values one by one"
    if "str" in of or "<U" in of:
        return "; of texts, codes from a list that all parties have alike"
    return "; of dates, days since one that all know" if "date" in of or "timedelta" in of else ""


def _masked(values: Any) -> bool:
    """Whether this is a masked array, or a list with one in it: ``np.asarray`` drops masks."""
    if not isinstance(values, list | tuple):
        return isinstance(values, np.ma.MaskedArray)
    types = set(map(type, values))  # long lists of numbers are seen at once
    return any(issubclass(t, list | tuple | np.ma.MaskedArray) for t in types) and any(map(_masked, values))


@dataclass(frozen=True, slots=True)
class Int:
    """Signed integers modulo 2^k."""

    @property
    def fraction(self) -> int:
        return 0

    def encode(self, values: Any, ring: Ring) -> RingArray:
        array = numeric(values)
        if array.dtype.kind == "f":
            raise EncodingError(
                "floating-point values cannot be shared as integers; round them first or share as fixed point"
            )
        if (
            array.size
            and array.dtype.kind != "b"
            and (int(array.max()) > ring.most or int(array.min()) < ring.least)
        ):
            if isinstance(ring, Field):
                raise EncodingError(f"an integer lies outside ±{ring.most}, the range of {ring.name}")
            raise EncodingError(
                f"an integer lies outside [-2^{ring.bits - 1}, 2^{ring.bits - 1}), the range of {ring.name}"
            )
        return ring(array.copy() if array.dtype == ring.dtype else array)  # never the caller's own memory

    def decode(self, x: RingArray) -> NDArray:
        return x.ring.signed(x.data)

    def __str__(self) -> str:
        return "int"


def refuse_reals(ring: Field) -> NoReturn:
    raise NotImplementedError(
        f"real numbers are rounded after products, which takes bits, and elements of {ring.name} have none:"
        " share integers, or compute over a ring of 64 or 128 bits"
    )


@dataclass(frozen=True, slots=True)
class Fixed:
    """Real numbers rounded to multiples of 2^-fraction."""

    fraction: int

    def encode(self, values: Any, ring: Ring) -> RingArray:
        if isinstance(ring, Field):
            refuse_reals(ring)
        array = numeric(values)
        limit = ring.bits - 2 - self.fraction
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise EncodingError("NaN or infinity cannot be shared; remove or replace such values first")
        whole = array.dtype.kind in "biuO"
        with np.errstate(over="ignore"):  # what overflows is out of range
            scaled = array if whole else np.asarray(np.rint(array * np.float64(2.0**self.fraction)))
        most = 2.0 ** (limit if whole else ring.bits - 2)
        # rounding can reach it
        if array.size and not (float(scaled.max()) < most and float(scaled.min()) > -most):
            raise EncodingError(
                f"a value lies outside ±2^{limit}, the range of fixed point with {self.fraction} fractional"
                f" bits over {ring.name}; scale the data or choose fewer fractional bits"
            )
        return ring(array) << self.fraction if whole else ring.whole(scaled)

    def decode(self, x: RingArray) -> NDArray:
        return x.ring.doubles(x.data) * np.float64(2.0**-self.fraction)

    def __str__(self) -> str:
        return f"fixed({self.fraction})"


@dataclass(frozen=True, slots=True)
class Bool:
    """Truth values as the integers 0 and 1; in arithmetic they count as such."""

    @property
    def fraction(self) -> int:
        return 0

    def encode(self, values: Any, ring: Ring) -> RingArray:
        array = numeric(values)
        if array.dtype.kind != "b":
            raise EncodingError(f"values of dtype {array.dtype} cannot be shared as truth values")
        return ring(array)

    def decode(self, x: RingArray) -> NDArray:
        if isinstance(x.ring, Field):
            return np.asarray(x.data != 0)
        return np.asarray(x.ring.words(x.data)[0] != 0)

    def __str__(self) -> str:
        return "bool"


INT, BOOL = Int(), Bool()
