"""Why the result of an operation is not what it should be, in words: what left which range, or lost its
digits.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from mpc.encoding import BOOL, Kind
from mpc.ring import Field, NDArray
from protocols.array.secret import Secret
from protocols.numpy.plain import OF_TWO, ROUNDING, Function, largest, real
from protocols.ops.division import SPARE

if TYPE_CHECKING:
    from protocols.array.session import Session

#: What they add up was multiplied: secrets with secrets, or one with itself.
_OF_PRODUCTS: set[Function] = {*OF_TWO - {np.add, np.subtract}, np.true_divide}
_OF_POWERS: set[Function] = {
    np.var,
    np.std,
    np.linalg.norm,
    np.square,
    np.power,
    np.prod,
    np.cumprod,
    np.multiply.reduce,
    np.multiply.accumulate,
    np.linalg.vector_norm,
    np.linalg.matrix_norm,
    np.cov,
    np.cumulative_prod,
    np.linalg.matrix_power,
    np.hypot,
    np.nanvar,
    np.nanstd,
    np.nanprod,
    np.nancumprod,
}
#: Squares of deviations, and what hides in these, are larger than their results.
_OF_DEVIATIONS: set[Function] = {np.var, np.std, np.nanvar, np.nanstd, np.cov, np.corrcoef}
_DEVIATIONS: set[Function] = {np.var, np.std, np.nanvar, np.nanstd}
#: Products that are rounded, of two operands and of one with itself.
_PRODUCTS: set[Function] = OF_TWO - {np.add, np.subtract}
_SQUARES: set[Function] = {np.square, np.prod, np.nanprod, np.multiply.reduce}
#: They take matrices in units of their norms, which have a range (``protocols/ops/decompositions.py``).
_OF_NORMS: set[Function] = {
    np.linalg.solve,
    np.linalg.inv,
    np.linalg.lstsq,
    np.linalg.pinv,
    np.linalg.qr,
    np.linalg.eigh,
    np.linalg.eigvalsh,
    np.linalg.svd,
    np.linalg.svdvals,
    np.linalg.det,
    np.linalg.slogdet,
    np.linalg.cholesky,
    np.linalg.cond,
    np.linalg.matrix_rank,
}
_FEW = 4  # units
#: Roots of what is added up.
_ROOTS: set[Function] = {np.std, np.linalg.norm, np.linalg.vector_norm, np.linalg.matrix_norm}

#: Their last operand divides, and has a range of its own where it is secret (``protocols/ops/division.py``).
DIVISIONS: set[Function] = {np.true_divide, np.reciprocal}

_DOWN = "scale the data down, or take fewer fractional bits or a larger ring"
_UP = "scale the data up, or take more fractional bits"
_REPLACE = "put another number in its place first, with np.where"
_MATRIX = (
    "the matrix is singular, or nearly so: its smallest singular value is too small beside it for the digits"
    " of the ring"
)
_ANOTHER = "add a small multiple of the identity, or take a larger ring"
#: Where there is no value, by a part of the operation's name: what the engine has instead, and what to do.
_UNDEFINED = {
    "divide": ("there is a division by zero, where the engine gives 0", _REPLACE),
    "reciprocal": ("there is a division by zero, where the engine gives 0", _REPLACE),
    "sqrt": ("there is a root of what is not above zero, where the engine gives 0", _REPLACE),
    "x.at": (
        "there is a secret index beyond the ends, where the engine changes nothing",
        "keep indices inside",
    ),
    "remainder": ("there is a division by zero, where the engine gives 0", _REPLACE),
    "divmod": ("there is a division by zero, where the engine gives 0", _REPLACE),
    "fmod": ("there is a division by zero, where the engine gives 0", _REPLACE),
    "arccosh": ("there is an arccosh of what is below 1, where the engine gives some number", _REPLACE),
    "arcsin": ("there is an arcsine of what is beyond 1, where the engine gives that of 1", _REPLACE),
    "arccos": ("there is an arccosine of what is beyond 1, where the engine gives that of 1", _REPLACE),
    "arctanh": ("there is an arctanh of what is not within ±1, where the engine gives some number", _REPLACE),
    "power": ("there is a power of what is not above zero, where the engine takes its magnitude", _REPLACE),
    "log": ("there is a logarithm of what is not above zero, where the engine gives some number", _REPLACE),
}
#: Where NumPy has another value.
_OTHERWISE = {
    "take": ("there is a secret index beyond the ends, where the engine reads 0", "keep indices inside"),
    "bincount": (
        "there is a value outside 0 to minlength − 1, which the engine does not count",
        "take a larger minlength",
    ),
    "linalg.inv": (_MATRIX, _ANOTHER),
    "linalg.solve": (_MATRIX, _ANOTHER),
    "linalg.slogdet": (_MATRIX, _ANOTHER),
    "linalg.cholesky": ("the matrix is not positive definite, or nearly so", _ANOTHER),
}
_OWN = tuple(f"{Path(__file__).resolve().parents[2] / name}/" for name in ("mpc", "protocols"))


@dataclass(frozen=True, slots=True)
class Doubt:
    """The first operation after which a value is off, the user's line, what has happened, and what to do
    about it.
    """

    number: int
    operation: str
    place: str
    words: str
    advice: str
    certain: bool  # it is this operation, whatever digits were lost before


@dataclass(frozen=True, slots=True)
class Result:
    """One result of an operation, as it should be."""

    session: Session
    operation: str
    function: Function | None
    kind: Kind
    true: NDArray
    size: NDArray  # before anything cancelled
    operands: Sequence[Secret]
    divisor: Secret | None
    met: Kind  # of numerator and divisor

    @property
    def fraction(self) -> int:
        return (
            max([self.kind.fraction, *(x.kind.fraction for x in self.operands)])
            or self.session.fixed.fraction
        )

    @property
    def operand(self) -> float:
        """The largest magnitude among the operands, but for a divisor."""
        return max((_largest(x) for x in self.operands if x is not self.divisor), default=0.0)

    @property
    def range(self) -> int:
        """What is multiplied and added up for a real result, or divided, must lie within ± 2 to this."""
        bits, times = self.session.ring.bits, len(self.operands)
        if self.divisor is not None:
            return min(bits // 2 - 3, bits - 3 - self.fraction)
        multiplied = self.function in _OF_POWERS or (self.function in _OF_PRODUCTS and times > 1)
        return bits - 3 - 2 * self.fraction if multiplied else bits - 3 - self.fraction

    def beyond(self) -> NDArray:
        """Where that is not so."""
        with np.errstate(over="ignore"):
            reach = np.square(self.size) if self.function in _ROOTS else self.size
        return np.asarray(reach >= 2.0**self.range)

    def lucky(self, args: Sequence[Any]) -> NDArray:
        """Where it is right in one run and wrong in the next, as what is rounded for it is out of range."""
        reach, fraction, bits = np.abs(real(self.true)), self.fraction, self.session.ring.bits
        products = 2.0 ** (bits - 2 - 2 * fraction)
        nowhere = np.zeros(self.true.shape, bool)
        if not self.kind.fraction:
            return nowhere
        with np.errstate(all="ignore"):
            if self.function in _DEVIATIONS:
                squares = np.square(reach) if self.function in _ROOTS else reach
                return np.asarray(squares * (self.operands[0].size / max(1, reach.size)) >= products)
            if self.divisor is not None:
                divisors = np.broadcast_to(np.abs(_real(self.divisor)), reach.shape)
                wrong = self.divisor.shadow is not None and self.divisor.shadow.wrong
                beyond = (reach >= 2.0 ** (self.range + 1)) | (divisors >= self._divisors)
                return np.asarray(beyond | (wrong & (reach > 0)))
            if self.function is np.power:
                n = args[1] if len(args) > 1 and not isinstance(args[1], Secret) else 0.5
                # else by a logarithm, or one division
                whole = (np.asarray(n) == np.rint(n)) & (np.abs(n) > 1)
                return np.asarray((reach >= products) & whole)
            if self.function in _PRODUCTS and sum(x.kind.fraction > 0 for x in self.operands) > 1:
                return np.asarray(reach >= products)
            if self.function in _SQUARES:
                return np.asarray(reach >= products)
            if self.function in (np.multiply, np.true_divide) and len(self.operands) == 1:
                factors = [np.asarray(a) for a in args if not isinstance(a, Secret)]
                whole = all(a.dtype.kind in "biu" or (a == np.rint(a)).all() for a in factors)
                if self.function is np.true_divide or not whole:
                    return np.asarray(reach >= 2.0 ** (bits - 3 - fraction))
        return nowhere

    @property
    def _divisors(self) -> float:
        """What divides must be below."""
        return 2.0 ** (self.session.ring.bits - 1 - SPARE - self.met.fraction)

    def few_units(self, spread: NDArray) -> NDArray:
        """Where it is as many units in one run and another number in the next, and all of it is a few; below
        one it is off in either.  What its operands leave open is no luck.
        """
        scale = 2.0**self.kind.fraction
        with np.errstate(all="ignore"):
            units, few = np.abs(real(self.true)) * scale, bool((self.size * scale < _FEW).all())
            between = (units > 0.9) & (np.abs(units - np.rint(units)) > 2.0**-10)
            return np.asarray(few & between & (4 * spread * scale < 1))

    def doubt(self, number: int, off: NDArray) -> Doubt:
        """About these elements."""
        words, advice, certain = self._words(off)
        words = f"{words} ({int(off.sum())} of {off.size} elements)"
        return Doubt(number, self.operation, place(), words, advice, certain)

    def _words(self, off: NDArray) -> tuple[str, str, bool]:
        def known(table: dict[str, tuple[str, str]]) -> tuple[str, str] | None:
            return next((words for part, words in table.items() if part in self.operation), None)

        ring, kind, fraction = self.session.ring, self.kind, self.fraction
        values = real(self.true[off])
        limit = ring.bits - 2 - kind.fraction if kind.fraction else ring.bits - 1
        digits = f"with {fraction} fractional bits over {ring}"
        if not np.isfinite(values).all() and (undefined := known(_UNDEFINED)):
            return *undefined, True
        if self.function in _OF_NORMS and self._norm() >= 2.0 ** (most := ring.bits // 2 - 1 - fraction):
            return (
                f"the norm of a matrix, or of right sides, is outside ±2^{most}, the range of norms {digits}",
                _DOWN,
                True,
            )
        if otherwise := known(_OTHERWISE):
            return *otherwise, True
        if np.isnan(values).any():
            return "NumPy gives nan, or another shape, or refuses", _REPLACE, True
        if isinstance(ring, Field) and largest(values) > ring.most:
            return f"the result is outside ±{ring.most}, the range of {kind} over {ring}", _DOWN, True
        if largest(values) >= 2.0**limit:
            return f"the result is outside ±2^{limit}, the range of {kind} over {ring}", _DOWN, True
        if self.divisor is not None:
            if _largest(self.divisor) >= self._divisors:
                most = int(math.log2(self._divisors))
                return f"the divisor is outside ±2^{most}, the range of divisors {digits}", _DOWN, True
            if (self.beyond() & off).any():
                return (
                    f"the quotient is outside ±2^{self.range}, the range of quotients {digits}",
                    _DOWN,
                    True,
                )
        if self.operand >= 2.0 ** (ring.bits - 2) and not any(x.kind.fraction for x in self.operands):
            far = (
                f"an operand is outside ±2^{ring.bits - 2}, and with it a difference outside the range of int"
                f" over {ring}"
            )
            return far, _DOWN, True
        if self.operand >= 2.0 ** (ring.bits - 2 - fraction):
            return (
                f"an operand is outside ±2^{ring.bits - 2 - fraction}, the range of reals {digits}",
                _DOWN,
                True,
            )
        if not kind.fraction or self.function in ROUNDING:
            near = (
                "it comes out otherwise than in the clear, as it does where numbers are nearer to each other"
                " or to a border"
            )
            return (
                f"{near} than {fraction} fractional bits tell",
                "round before you compare, or take more fractional bits",
                False,
            )
        if (self.beyond() & off).any():
            return (
                (
                    f"a product or a sum on the way to the result is outside ±2^{self.range}, their range"
                    f" {digits}"
                ),
                _DOWN,
                True,
            )
        if self._inside() >= 2.0 ** (most := ring.bits - 3 - 2 * fraction):
            return (
                f"a product or a sum on the way to the result is outside ±2^{most}, their range {digits}",
                _DOWN,
                True,
            )
        return (
            f"numbers are too small beside the resolution, 2^-{fraction}, and have lost their digits",
            _UP,
            False,
        )

    def _norm(self) -> float:
        """The largest Frobenius norm among the operands."""
        arrays = [_real(x) for x in self.operands]
        return max(
            (
                float(np.max(np.linalg.norm(a, axis=tuple(range(-min(a.ndim, 2), 0))), initial=0))
                for a in arrays
            ),
            default=0.0,
        )

    def _inside(self) -> float:
        """How large a product at the least is, of those whose operands do not show it."""
        arrays = [_real(x) for x in self.operands if x.kind != BOOL]  # these are masks
        if self.function in _OF_DEVIATIONS:  # of two that lie furthest apart, as the sum of squares
            return max((float(np.ptp(a)) ** 2 / 2 for a in arrays if a.size), default=0.0)
        if self.function is np.hypot:
            return self.operand**2
        return math.prod(map(largest, arrays)) if self.function is np.average and len(arrays) > 1 else 0.0


def _real(x: Secret) -> NDArray:
    return real(x.shadow.true) if x.shadow is not None else np.zeros(x.shape)


def _largest(x: Secret) -> float:
    return 0.0 if x.shadow is None else largest(x.shadow.true)


def place() -> str:
    """Where in the user's program this was called."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_OWN) and "numpy" not in Path(name).parts:
            return f"{Path(name).name}, line {frame.f_lineno}"
        frame = frame.f_back
    return "a place unknown"
