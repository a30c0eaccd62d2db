"""Whole programs, drawn: expressions of up to a dozen operations over mixed kinds, shapes, magnitudes.

Each runs in the clear, in secret, and in secret beside the clear.  Allowed are NumPy's value, a refusal in
one sentence, and a word of ``check``; a wrong number of which nobody says a word is what this looks for.

Integers, truth values and orders have to be equal.  A real number may be off by what fixed point makes of the
program: eight copies of it run in the clear with every real input and result moved at random, by as much as
fixed point loses of numbers near one; allowed are eight times the largest deviation among them, and a
sixteenth part of the value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

import mpc
from mpc.errors import MpcError, RangeError
from mpc.ring import RINGS

REFUSED = (MpcError, TypeError, ValueError, ZeroDivisionError, NotImplementedError)
SHAPES = [(), (1,), (3,), (2, 3), (4, 1)]


@dataclass(frozen=True)
class Op:
    """An operation on arrays and secrets alike.  Discrete ones come out in the copies as in the clear."""

    name: str
    f: Callable[..., Any]
    arity: int
    discrete: bool = False
    plain: Callable[..., Any] | None = None  # where NumPy has no such name
    gross: Callable[..., Any] | None = None  # of magnitudes: how large it was before digits cancelled


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def dot(x: Any, y: Any) -> Any:
    return np.dot(np.ravel(x), np.ravel(y))


def counted(x: Any) -> Any:
    """Truth values count as 0 and 1 in the engine's sums, also by themselves: there NumPy says or."""
    return np.asarray(x).astype(int) if np.asarray(x).dtype.kind == "b" else x


def op(name: str, f: Callable[..., Any], arity: int = 1, **options: Any) -> Op:
    return Op(name, f, arity, **options)


OPS = [
    op("+", lambda x, y: x + y, 2, plain=lambda x, y: counted(x) + counted(y), gross=np.add),
    op("-", lambda x, y: x - y, 2, gross=np.add),
    op("*", lambda x, y: x * y, 2),
    op("/", lambda x, y: x / y, 2),
    op("<", lambda x, y: x < y, 2, discrete=True),
    op("<=", lambda x, y: x <= y, 2, discrete=True),
    op("==", lambda x, y: x == y, 2, discrete=True),
    op("!=", lambda x, y: x != y, 2, discrete=True),
    op("maximum", np.maximum, 2),
    op("minimum", np.minimum, 2),
    op("where", lambda x, y: np.where(x < y, x, y), 2),
    op("where, swapped", lambda x, y: np.where(x > 0, y, x), 2),
    op("clip", lambda x, y: np.clip(x, -1, y), 2),
    op("dot", dot, 2, plain=lambda x, y: dot(counted(x), counted(y)), gross=dot),
    op("concatenate", lambda x, y: np.concatenate([np.ravel(x), np.ravel(y)]), 2),
    op("&", lambda x, y: x & y, 2),
    op("|", lambda x, y: x | y, 2),
    op("logical_and", np.logical_and, 2, discrete=True),
    op("negative", lambda x: -x),
    op("abs", abs),
    op("square", np.square),
    op("sign", np.sign, discrete=True),
    op("sqrt", np.sqrt),
    op("exp", np.exp),
    # of 1 it may be a unit
    op("log", np.log, gross=lambda x: 1 + np.abs(np.log(np.maximum(x, 2.0**-60)))),
    op("1/x", lambda x: 1 / x),
    op("sigmoid", mpc.sigmoid, plain=sigmoid, gross=np.ones_like),
    op("tanh", np.tanh, gross=np.ones_like),
    op("rsqrt", mpc.rsqrt, plain=lambda x: 1 / np.sqrt(x)),
    op("floor", np.floor, discrete=True),
    op("rint", np.rint, discrete=True),
    op("ceil", np.ceil, discrete=True),
    op("sum", np.sum, gross=np.sum),
    op("sum 0", lambda x: np.sum(x, axis=0), gross=lambda x: np.sum(x, axis=0)),
    op("mean", np.mean, gross=np.mean),
    op("mean -1", lambda x: np.mean(x, axis=-1), gross=lambda x: np.mean(x, axis=-1)),
    op("var", np.var, gross=lambda x: np.mean(np.square(x))),
    op("std", np.std, gross=np.mean),
    op("std 0", lambda x: np.std(x, axis=0), gross=lambda x: np.mean(x, axis=0)),
    op("min", np.min),
    op("max", lambda x: np.max(x, axis=-1)),
    op("argmax", np.argmax, discrete=True),
    op("median", np.median),
    op("quantile", lambda x: np.quantile(x, 0.25)),
    op("sort", np.sort),
    op("cumsum", np.cumsum, gross=np.cumsum),
    op("any", np.any, discrete=True),
    op("all", np.all, discrete=True),
    op("count_nonzero", np.count_nonzero, discrete=True),
    op("diff", lambda x: np.diff(np.ravel(x)), gross=lambda x: np.ravel(x)[1:] + np.ravel(x)[:-1]),
    op("reversed", lambda x: x[::-1]),
    op("prod", np.prod),
    op("logical_not", np.logical_not, discrete=True),
    op("ptp", np.ptp, gross=lambda x: 2 * np.max(x)),
    op("/ 3", lambda x: x / 3),
    op("/ 12", lambda x: x / 12),
    op("* 0.3", lambda x: x * 0.3),
    op("* 1e-3", lambda x: x * 1e-3),
    op("* 1000.5", lambda x: x * 1000.5),
    op("* 0.25", lambda x: x * 0.25),
    op("- 0.5", lambda x: x - 0.5, gross=lambda x: x + 0.5),
    op("> 0.5", lambda x: x > 0.5, discrete=True),
    op("* 7", lambda x: x * 7),
    op("** 2", lambda x: x**2),
    op("** 3", lambda x: x**3),
    op("** -1", lambda x: x**-1),
    op("** -2", lambda x: x**-2),
    op("** 0.5", lambda x: x**0.5),
    op("// 4", lambda x: x // 4, discrete=True),
    op("% 8", lambda x: x % 8),
    op(">> 2", lambda x: x >> 2),
    op("<< 3", lambda x: x << 3),
    op("* 0", lambda x: x * 0),
    op("- mean", lambda x: x - np.mean(x), gross=lambda x: x + np.mean(x)),
    op("/ max", lambda x: x / np.max(x)),
]
#: By their last operand, or in its logarithm.
DIVIDING = {"/", "1/x", "** -1", "** -2", "rsqrt", "log"}


@dataclass(frozen=True)
class Input:
    values: Any
    secret: bool


@dataclass(frozen=True)
class Step:
    op: Op
    operands: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.op.name}({', '.join(f'v{i}' for i in self.operands)})"


@dataclass(frozen=True)
class Program:
    inputs: tuple[Input, ...]
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        given = [f"{'secret' if x.secret else 'public'} {x.values!r}" for x in self.inputs]
        return "\n".join(f"v{i} = {line}" for i, line in enumerate([*given, *map(str, self.steps)]))


# -- drawing ------------------------------------------------------------------------------------------


@st.composite
def arrays(draw: Any, most: int) -> Any:
    """Truth values, integers or reals of one magnitude, 2^−20 to 2^most."""
    kind, shape = draw(st.sampled_from("biff")), draw(st.sampled_from(SHAPES))
    n = int(np.prod(shape))
    if kind == "b":
        return np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool).reshape(shape)
    exponent = draw(st.integers(1 if kind == "i" else -20, max(1, most)))
    if kind == "i":
        element = st.integers(-(1 << exponent), 1 << exponent)
        return np.array(draw(st.lists(element, min_size=n, max_size=n)), np.int64).reshape(shape)
    element = st.integers(-(1 << 20), 1 << 20)
    whole = np.array(draw(st.lists(element, min_size=n, max_size=n)), np.float64).reshape(shape)
    return whole * 2.0 ** (exponent - 20)


@st.composite
def programs(draw: Any, bits: int) -> Program:
    """Steps that NumPy can do, each on values that are there already, the newest most often."""
    most = {32: 24, 64: 50, 128: 60}[bits]
    inputs = []
    for i in range(draw(st.integers(1, 3))):
        values = draw(arrays(draw(st.integers(-18, most))))
        inputs.append(Input(values, i == 0 or draw(st.booleans())))
    values, hidden = [x.values for x in inputs], [x.secret for x in inputs]
    steps: list[Step] = []
    for _ in range(draw(st.integers(1, 12))):
        chosen = draw(st.sampled_from(OPS))
        places = st.one_of(st.just(len(values) - 1), st.integers(0, len(values) - 1))
        at = tuple(draw(places) for _ in range(chosen.arity))
        step = Step(chosen, at)
        if not any(hidden[i] for i in at):
            continue
        try:
            value = clear(step, values)
        except Exception:  # not for these kinds and shapes
            continue
        if np.size(value) > 30:
            continue
        steps.append(step)
        values.append(value)
        hidden.append(True)
        if overflown(step, values[:-1], value):
            break
    return Program(tuple(inputs), tuple(steps))


# -- in the clear -------------------------------------------------------------------------------------


def clear(step: Step, values: list[Any]) -> Any:
    f, operands = step.op.plain or step.op.f, [values[i] for i in step.operands]
    with np.errstate(all="ignore"):
        result = f(*operands)
        half = np.asarray(result).dtype == np.float16  # of truth values: NumPy thinks that enough
        return f(*map(counted, operands)) if half else result


def overflown(step: Step, values: list[Any], result: Any) -> bool:
    """Whether NumPy's integers have wrapped around on the way."""
    if np.asarray(result).dtype.kind not in "iu":
        return False
    try:
        with np.errstate(all="ignore"):
            real = (step.op.plain or step.op.f)(*(np.asarray(values[i], np.float64) for i in step.operands))
    except TypeError:
        return False
    return bool(np.any(np.abs(real) >= min(2.0**62, np.iinfo(np.asarray(result).dtype).max)))


def run_clear(program: Program) -> list[Any]:
    values = [x.values for x in program.inputs]
    for step in program.steps:
        values.append(clear(step, values))
    return values


def run_moved(
    program: Program, true: list[Any], fraction: int, seed: int, rounded: bool = False
) -> list[Any]:
    """With every real input and result moved at random, by as much as fixed point loses of numbers near 1,
    and, if asked, rounded at random to one of its neighbours there.
    """
    rng = np.random.default_rng(seed)

    def moved(x: Any, gross: Any) -> Any:
        x, size = np.asarray(x), np.abs(gross)
        if x.dtype.kind != "f":
            return x
        unit = 2.0**-fraction
        by = np.maximum(16 * unit * size, np.minimum(4 * unit, size / 512))
        with np.errstate(all="ignore"):
            near = x + rng.uniform(-1, 1, x.shape) * by
            return np.floor(near / unit + rng.uniform(0, 1, x.shape)) * unit if rounded else near

    values = [moved(x.values, x.values) for x in program.inputs]
    for step in program.steps:
        at = len(values)
        if step.op.discrete or np.asarray(true[at]).dtype.kind in "biu":
            values.append(true[at])
        else:
            value = clear(step, values)
            sizes = [np.abs(np.asarray(true[i], np.float64)) for i in step.operands]
            with np.errstate(all="ignore"):
                values.append(moved(value, value if step.op.gross is None else step.op.gross(*sizes)))
    return values


def _lost(x: Any, fraction: int) -> bool:
    """Whether there is a real number below the resolution in it, which is 0 in one run and not in another."""
    return x.dtype.kind == "f" and bool(((x != 0) & (np.abs(x) < 2.0**-fraction)).any())


def without_value(program: Program, true: list[Any], fraction: int) -> list[bool]:
    """Of each value, whether there is none for NumPy, or it is what a number is divided by that was lost, or
    it is made of such: the engine has some number, in each run another.
    """
    found: list[bool] = []
    for i, x in enumerate(true):
        array, at = np.asarray(x), i - len(program.inputs)
        none = array.dtype.kind == "f" and not np.isfinite(array).all()
        if at >= 0:
            step = program.steps[at]
            none |= any(found[j] for j in step.operands)
            none |= step.op.name in DIVIDING and _lost(np.asarray(true[step.operands[-1]]), fraction)
        found.append(bool(none))
    return found


def tied(program: Program, true: list[Any], fraction: int) -> bool:
    """Whether something hangs on a comparison of reals that rounding decides: equal ones may come out so; or
    on one that was lost.
    """
    at, none = len(program.inputs), without_value(program, true, fraction)
    if any(
        step.op.discrete and any(none[i] or _lost(np.asarray(true[i]), fraction) for i in step.operands)
        for step in program.steps
    ):
        return True
    for seed in range(16):
        values = run_moved(program, true, fraction, seed, rounded=seed >= 8)
        for place, step in enumerate(program.steps, at):
            if step.op.discrete and not np.array_equal(clear(step, values), true[place]):
                return True
    return False


# -- in secret ----------------------------------------------------------------------------------------


def run_secret(program: Program, bits: int, parties: int, check: bool) -> Any:
    """The last value, or the exception that the engine answers with.  The same in every run."""
    with mpc.local(parties, ring=bits, check=check, insecure_seed=0) as session:
        try:
            values = [
                session.secret(x.values, owner=i % parties) if x.secret else x.values
                for i, x in enumerate(program.inputs)
            ]
            for step in program.steps:
                values.append(step.op.f(*(values[i] for i in step.operands)))
            return values[-1].reveal()
        except REFUSED as error:
            return error


def verdict(program: Program, bits: int, parties: int) -> str:
    """``right``, ``refused``, ``told`` of a wrong number, or told in ``vain``; a ``tie``, broken otherwise.

    ``AssertionError`` where a number is wrong and nobody says a word.
    """
    if not program.steps:
        return "right"
    checked, plain = (run_secret(program, bits, parties, check) for check in (True, False))
    if isinstance(plain, Exception):
        sentence = len(str(plain)) > 10 and "\n" not in str(plain)
        assert sentence, f"a refusal without a sentence: {plain!r}\n{program}"
        assert isinstance(checked, Exception), f"refused only where nobody looks: {plain}\n{program}"
        return "refused"
    true = run_clear(program)
    if isinstance(checked, RangeError):
        return "vain" if right(program, true, plain, bits, 1 / 4) else "told"
    where = f"over {bits} bits, {parties} parties, in silence:\n{program}\ntrue {true[-1]!r}\nhere"
    assert not isinstance(checked, Exception), f"{where} {checked!r}"
    assert right(program, true, checked, bits), f"{where} {checked!r}"
    if right(program, true, plain, bits, 4):  # this run is rounded in other places
        return "right"
    assert tied(program, true, RINGS[bits].fraction), f"{where} {plain!r}"
    return "tie"


def right(program: Program, true: list[Any], mine: Any, bits: int, slack: float = 1) -> bool:
    expected, mine = np.asarray(true[-1]), np.asarray(mine)
    assert mine.shape == expected.shape, f"shape {mine.shape} for {expected.shape}:\n{program}"
    kinds = {"b": "b", "i": "iO", "u": "iO", "f": "f"}[expected.dtype.kind]
    assert mine.dtype.kind in kinds, f"{mine.dtype} for {expected.dtype}:\n{program}"
    if overflown(program.steps[-1], true[:-1], expected):
        last = program.steps[-1]
        exact = last.op.f(*(np.asarray(true[i]).astype(object) for i in last.operands))
        return bool(np.all(mine == exact))
    if expected.dtype.kind != "f":
        return bool(np.all(mine == expected))
    fraction = RINGS[bits].fraction
    copies = [np.asarray(run_moved(program, true, fraction, seed)[-1]) for seed in range(8)]
    with np.errstate(all="ignore"):
        spread = np.max([np.abs(copy - expected) for copy in copies], axis=0)
        spread = np.where(np.isnan(spread), np.inf, spread)  # a copy has no value there
        few = min(8 * 2.0**-fraction, float(np.max(np.abs(expected), initial=0)) / 64)
        allowed = np.maximum(np.abs(expected) / 16, 8 * spread) + few
        return bool(np.all(np.isfinite(expected) & (np.abs(mine - expected) <= slack * allowed)))
