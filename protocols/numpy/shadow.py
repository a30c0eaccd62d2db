"""Sessions that check: the same program runs in the clear beside the secret one, and says where the two part.

Secrets cannot raise: what leaves its range wraps around in silence, and what is too small becomes 0.  In a
session with ``check`` every secret has a *shadow*, what the same NumPy function gives on its operands'
shadows: from the inputs as they were before they were rounded, integers exactly
(``protocols/numpy/plain.py``).  After each operation the result is opened and held against its shadow.
Nothing is raised then, for what wraps and comes back, or is small and does not matter, does no harm.  But
from the first operation after which a value is off, and for as long as it is, it carries a *doubt* that names
operation and line (``protocols/numpy/doubt.py``); and to ``reveal`` what is wrong is a ``RangeError`` with
its words.

Wrong    is an integer, a truth value, an order, a number rounded to whole ones, that is not equal to its
         shadow; and a real number t with f fractional bits, in an array whose largest is s, if it is off by
         more than

             max(t/32, 4·d) + min(4·2^−f, s/128).

         The last term forgives the tails of a softmax.  d is what arithmetic with the digits that fixed point
         has near 1 could make of the program: the largest deviation among three copies of the shadow, whose
         real results are moved at random by up to

             max(8·2^−f·m, min(2·2^−f, m/1024)),

         m being their size before cancellation, |x| + |y| for x − y, and m/128 where nothing is left of it.
         So cancellation is forgiven as it is in floating point, and so is a rounding whose unit is small
         beside what is rounded.  What was out of range on the way is not.
         Comparisons, orders and roundings are in the copies as in the shadow.
         Products, quotients and deviations that are rounded out of their range are wrong, too, where they
         happen to be right: in the next run they may not be.
Cost     an opening and up to six plain runs for each operation, a round for each input of reals, and four or
         five arrays for each secret.
Threat   none is held against: every party is shown all inputs and all values on the way.
Limits   it sees one run, on these data: where rounding decides, another may come out otherwise.  A secret
         that is made past NumPy's names and ``mpc``'s, by a function of ``protocols.ops``, is taken as it is.
         Reals are doubles here.
Source   random perturbation as a measure of lost digits: Vignes, Mathematics and Computers in Simulation 20,
         1978 (CESTAC, with three copies); of chosen size, so that it shows cancellation: Parker, Pierce,
         Eggert, Computing in Science & Engineering 2(4), 2000 (Monte Carlo arithmetic).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mpc.encoding import Kind
from mpc.errors import RangeError
from mpc.prg import SEED_BYTES, Stream
from mpc.ring import Z64, NDArray, Spec
from protocols.array.secret import Secret, common_kind, listed, secrets_in
from protocols.numpy import plain
from protocols.numpy.doubt import DIVISIONS, Doubt, Result, place
from protocols.numpy.plain import ROUNDING, Function, largest, size
from protocols.numpy.tables import JOINS, MOVES

if TYPE_CHECKING:
    from protocols.array.session import Session

_COPIES = 3
_DOUBLE = 2.0**-49  # the part of a number to which doubles are taken to be right

#: Elements are moved, or chosen: nothing is rounded.
_MOVING: set[Function] = {*MOVES, *JOINS, operator.getitem}
_CHOOSING: set[Function] = {
    *_MOVING,
    np.where,
    np.take,
    np.take_along_axis,
    np.append,
    np.diag,
    np.diagflat,
    np.tril,
    np.triu,
    np.sort,
    np.min,
    np.max,
    np.minimum,
    np.maximum,
    np.clip,
    np.absolute,
    np.fabs,
    np.negative,
    np.minimum.reduce,
    np.maximum.reduce,
    np.minimum.accumulate,
    np.maximum.accumulate,
    np.fmin,
    np.fmax,
    np.fmin.reduce,
    np.fmax.reduce,
    np.fmin.accumulate,
    np.fmax.accumulate,
    np.copysign,
    np.amin,
    np.amax,
    np.nanmin,
    np.nanmax,
    np.nan_to_num,
    np.real,
    np.imag,
    np.astype,
    np.full_like,
    np.zeros_like,
    np.ones_like,
    np.empty_like,
    np.select,
    np.choose,
    np.pad,
    np.insert,
    np.block,
    np.unstack,
    np.broadcast_arrays,
    np.meshgrid,
}
#: What rounds nothing on the way to its result.
_EXACT: set[Function] = {
    *_CHOOSING,
    *ROUNDING,
    np.add,
    np.subtract,
    np.sum,
    np.nansum,
    np.cumsum,
    np.nancumsum,
    np.cumulative_sum,
    np.add.reduce,
    np.add.accumulate,
    np.diff,
    np.ediff1d,
    np.trace,
    np.linalg.trace,
}
_REMAINDER: set[Function] = {np.remainder, np.divmod, np.fmod}
#: Where they are 0 in the clear, they are exactly 0 in secret.
_ZERO: set[Function] = {np.exp, np.exp2, np.sqrt}


@dataclass(frozen=True, slots=True)
class Shadow:
    """What one secret should be."""

    true: NDArray
    # none of integers, truth values, and what was rounded to whole numbers
    copies: tuple[NDArray, ...] = ()
    size: NDArray | None = None  # before cancellation, where that is not the magnitude
    doubt: Doubt | None = None  # also about elements that are small beside others
    wrong: bool = False  # as an array
    gross: bool = False  # by more than a few units: what hangs on it is right by luck

    @property
    def before(self) -> NDArray:
        return size(self.true) if self.size is None else self.size


class Shadows:
    """The shadows of one session's secrets."""

    def __init__(self, session: Session) -> None:
        self._session = session
        # public, the same at all parties
        self._noise = Stream(bytes(SEED_BYTES), "INSECURE noise of a check")
        self._number = 0

    def begin(self, name: str, secrets: Sequence[Secret], values: Sequence[NDArray | None]) -> None:
        """Inputs as they were before they were encoded, or ``None`` where that changed nothing."""
        for secret, actual, value in zip(secrets, self._open(secrets), values, strict=True):
            true = actual if value is None else value
            copies = (
                self._moved([true] * _COPIES, true, size(true), secret.kind) if secret.kind.fraction else ()
            )
            self._judge(name, None, secret, actual, Shadow(true, copies), [])

    def follow(self, name: str, function: Function | None, make: Function, args: Any, kwargs: Any) -> Any:
        """An operation, and the same in the clear; ``None`` where its operands' rows come in an order to be
        found.
        """
        self._session.check = None  # what an operation is made of is not looked at
        try:
            made = make(*args, **kwargs)
            results = {i: x for i, x in enumerate(listed(made)) if isinstance(x, Secret) and x.shadow is None}
            if function is None and results:  # an order is found from all of them
                self._cast(name, function, results, args, kwargs)
            elif function is not None:
                for kind in dict.fromkeys(x.kind for x in results.values()):
                    self._cast(
                        name, function, {i: x for i, x in results.items() if x.kind == kind}, args, kwargs
                    )
        finally:
            self._session.check = self
        return made

    def stop(self, secrets: Sequence[Secret]) -> None:
        """``RangeError`` if one of these is wrong."""
        for secret in secrets:
            if secret.shadow is not None and secret.shadow.wrong:
                doubt = secret.shadow.doubt
                assert doubt is not None
                raise RangeError(
                    f"{doubt.operation} in {doubt.place}: {doubt.words}; so what is revealed in {place()} "
                    f"may not be what the same program gives in the clear: {doubt.advice}"
                )

    def _open(self, secrets: Sequence[Secret]) -> list[NDArray]:
        values = (np.asarray(value) for value in self._session.opened(secrets, None, "check"))
        return [value.astype(np.int64) if value.dtype.kind == "i" else value for value in values]

    def _of(self, secret: Secret) -> Shadow:
        if secret.shadow is None:
            self.begin("a secret of unknown origin", [secret], [None])
        assert secret.shadow is not None
        return secret.shadow

    def _cast(
        self, name: str, function: Function | None, results: dict[int, Secret], args: Any, kwargs: Any
    ) -> None:
        """The shadows of results of one kind, which are at these places among all that an operation
        returns.
        """
        operands, made = secrets_in((*args, *kwargs.values())), list(results.values())
        before = [self._of(x) for x in operands]
        actual, kind, shapes = self._open(made), made[0].kind, [x.shape for x in made]
        moving = function is None or function in _MOVING
        if function is None:
            function = plain.reordering(self._open(operands), actual)

        def run(of: Callable[[Shadow], NDArray]) -> list[NDArray]:
            arguments = _replaced((args, kwargs), of)
            return plain.nearest(
                function, plain.results(function, kind, arguments, list(results), shapes), actual, arguments
            )

        trues = run(lambda shadow: shadow.true)
        copies: list[tuple[NDArray, ...]] = [()] * len(made)
        sizes: list[NDArray | None] = [None] * len(made)
        chosen, inexact = moving or function in _CHOOSING, any(shadow.copies for shadow in before)
        if kind.fraction and function not in ROUNDING and (inexact or not chosen):
            copies = [(true,) * _COPIES for true in trues]
            if inexact and function not in _REMAINDER:
                copies = list(zip(*(run(_copy(i)) for i in range(_COPIES)), strict=True))
            if not chosen:
                found = [_before_cancellation(function, args, kwargs, true) for true in trues]
                copies = [self._moved(c, t, s, kind) for c, t, s in zip(copies, trues, found, strict=True)]
                sizes = list(found)
            elif moving and any(shadow.size is not None for shadow in before):
                sizes = list(run(lambda shadow: shadow.before))
        for x, a, true, c, s in zip(made, actual, trues, copies, sizes, strict=True):
            self._judge(name, function, x, a, Shadow(true, c, s), operands, args)

    def _moved(
        self, copies: Sequence[NDArray], true: NDArray, sizes: NDArray, kind: Kind
    ) -> tuple[NDArray, ...]:
        """Each copy with noise of its own."""
        words = self._noise.draw(Spec(Z64, (len(copies), *sizes.shape))).data.view(np.int64)
        unit = 2.0**-kind.fraction
        with np.errstate(all="ignore"):
            part = sizes / np.where(true == 0, 128, 1024)
            noise = np.maximum(max(8 * unit, _DOUBLE) * sizes, np.minimum(2 * unit, part))
            noise = np.where(np.isfinite(noise), noise, 0)
            return tuple(copy + word * (2.0**-63 * noise) for copy, word in zip(copies, words, strict=True))

    def _judge(
        self,
        name: str,
        function: Function | None,
        secret: Secret,
        actual: NDArray,
        shadow: Shadow,
        operands: Sequence[Secret],
        args: Sequence[Any] = (),
    ) -> None:
        """Give a secret its shadow, with a doubt where the actual value is off."""
        divisor = args[-1] if function in DIVISIONS and isinstance(args[-1], Secret) else None
        met = common_kind(self._session, *args) if divisor is not None else secret.kind
        result = Result(
            self._session, name, function, secret.kind, shadow.true, shadow.before, operands, divisor, met
        )
        before = [x.shadow for x in operands if x.shadow is not None]
        # what may have wrapped around is not forgiven, nor what is made of it
        if shadow.copies:
            spoilt = function not in _CHOOSING and any(
                s.wrong and s.doubt is not None and s.doubt.certain for s in before
            )
            beyond = result.beyond() | spoilt
            shadow = replace(
                shadow, copies=tuple(np.where(beyond, shadow.true, copy) for copy in shadow.copies)
            )
        off, wrong, gross = _off(secret.kind, actual, shadow)
        lucky = result.lucky(args)
        telling = function in ROUNDING or not secret.kind.fraction
        if telling and any(x.kind.fraction and x.shadow is not None and x.shadow.gross for x in operands):
            lucky = lucky | (function not in _CHOOSING)  # a wrong number that was compared, or rounded
        if secret.kind.fraction and function is not None and function not in _EXACT:
            lucky = lucky | result.few_units(_spread(shadow))
        if lucky.any():
            off, wrong, gross = off | lucky, True, True
        doubt = None
        if off.any():
            doubt = min(
                (s.doubt for s in before if s.doubt is not None), key=lambda d: d.number, default=None
            )
            if doubt is None or (wrong and not any(s.wrong for s in before)):
                self._number += 1
                new = result.doubt(self._number, off)
                doubt = new if doubt is None or new.certain else doubt
        secret.shadow = replace(shadow, doubt=doubt, wrong=wrong, gross=gross)


def _spread(shadow: Shadow) -> NDArray:
    """How far a copy is from what is true, at the most."""
    with np.errstate(all="ignore"):
        apart = [np.abs(copy - shadow.true) for copy in shadow.copies] or [np.zeros(shadow.true.shape)]
        spread = np.max(apart, axis=0)
    return np.where(np.isnan(spread), np.inf, spread)  # a copy has no value there


def _off(kind: Kind, actual: NDArray, shadow: Shadow) -> tuple[NDArray, bool, bool]:
    """The elements that are off, taken one by one; whether the array is wrong, where small ones count less;
    and whether it is by more than a few units.
    """
    true, sizes = shadow.true, size(shadow.true)
    if not kind.fraction:
        exact = true.dtype.kind != "f"
        off = np.asarray(actual != true, bool) if exact else ~(np.abs(actual - true) <= _DOUBLE * sizes)
        return off, bool(off.any()), False
    unit = 2.0**-kind.fraction
    with np.errstate(all="ignore"):
        error, finite = np.abs(actual - true), np.isfinite(true)
        if shadow.copies:
            allowed = np.maximum(sizes / 32, 4 * _spread(shadow))
        else:  # as it was encoded
            allowed = np.maximum(np.minimum(sizes / 32, min(unit, 0.25)), _DOUBLE * sizes)
        few = min(4 * unit, float(np.max(sizes, initial=0, where=finite)) / 128)
        close, near, there = (finite & (error <= allowed + more) for more in (0, few, 4 * unit))
        return ~close, not bool(near.all()), not bool(there.all())


def _replaced(x: Any, of: Callable[[Shadow], NDArray]) -> Any:
    """Arguments with what its shadow has in each secret's place, and public numbers at full precision."""
    if isinstance(x, Secret):
        assert x.shadow is not None
        return of(x.shadow)
    if isinstance(x, dict):
        return {key: _replaced(value, of) for key, value in x.items()}
    if type(x) in (list, tuple):
        return type(x)(_replaced(item, of) for item in x)
    if isinstance(x, np.integer | np.floating):
        return int(x) if isinstance(x, np.integer) else float(x)
    if isinstance(x, np.ndarray) and x.dtype.kind in "iuf":
        wide = plain.narrow(x.astype(object)) if x.dtype == np.uint64 else x
        return wide if wide.dtype == object else wide.astype(np.float64 if x.dtype.kind == "f" else np.int64)
    return x


def _copy(i: int) -> Callable[[Shadow], NDArray]:
    return lambda shadow: shadow.copies[i] if shadow.copies else shadow.true


def _before_cancellation(function: Function, args: Any, kwargs: Any, true: NDArray) -> NDArray:
    """The size of what a result was computed from; a public factor leaves it as large beside the result as it
    was.
    """
    scaled = (
        function in (np.multiply, np.true_divide)
        and isinstance(args[0], Secret)
        and not isinstance(args[1], Secret)
    )
    arguments = _replaced(
        (args, kwargs), (lambda shadow: shadow.before) if scaled else (lambda shadow: shadow.true)
    )
    if function is np.true_divide:
        with np.errstate(all="ignore"):  # a numerator of exactly 0 gives exactly 0
            return np.asarray(size(arguments[0][0]) / size(arguments[0][1]))
    if function in _REMAINDER:
        return np.broadcast_to(size(arguments[0][0]), true.shape)
    if function in _ZERO:
        return size(true)
    found = plain.magnitude(function, arguments)
    if found is not None:
        return found
    what_gave_zero = plain.deviating(function, arguments)
    if what_gave_zero is None:
        what_gave_zero = np.asarray(max(map(largest, plain.arrays(arguments)), default=0.0))
    return np.where(true == 0, np.minimum(1.0, what_gave_zero), size(true))
