"""Writes docs/accuracy.md: what operations on reals promise, and what they do, measured over their whole
range.

    python docs/accuracy.py           measure and write
    python docs/accuracy.py --check   measure less, and fail where a promise or the page is wrong

Errors are in units in the last place, 2^-f; where a result is so large that a relative error is promised, the
largest one is given too.  Rounds and bytes are read off the meters of a session, headers aside.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gmpy2
import numpy as np

import mpc
from mpc.frames import HEADER
from protocols.array.secret import retyped

PAGE = Path(__file__).with_name("accuracy.md")
RINGS = ((64, 16), (32, 8), (128, 40))
SUITES = (("replicated", 3), ("additive", 2))
# bits, twice the longest number's: gmpy2 rounds correctly to them
EXACT = 256
Arrays = tuple[Any, ...]


def each(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function of a number on arrays of Python's and gmpy2's numbers."""
    return np.frompyfunc(f, 1, 1)


real, whole, power, root, exp = (
    each(gmpy2.mpfr),
    each(int),
    each(gmpy2.exp2),
    each(gmpy2.sqrt),
    each(gmpy2.exp),
)


@dataclass(frozen=True)
class Case:
    """An operation, the same in plaintext, inputs in units of the last place, and what is promised for each
    ring.
    """

    name: str
    secret: Callable[..., Any]
    plain: Callable[..., Any]
    inputs: Callable[[int, int, int, Any], Arrays]  # size, bits of the ring, fraction, generator
    range: str
    ulps: tuple[float, ...]
    # results that are larger: a 2^-relative-th part
    relative: tuple[int | None, ...] = (None, None, None)


def spread(size: int, most: int, rng: Any, signs: bool = True, least: int = 1) -> Any:
    """Integers of every magnitude from ``least`` to below 2^most,
    powers of two and their neighbours first.
    """
    near = sorted(
        {v for i in range(most + 1) for v in ((1 << i) - 1, 1 << i, (1 << i) + 1) if least <= v < 1 << most}
    )
    x = np.clip(whole(power(rng.uniform(0, most, size))), least, (1 << most) - 1)
    x[: len(near)] = near[:size]
    return x * rng.choice([-1, 1], size) if signs else x


def fraction_of(size: int, bits: int, f: int, rng: Any) -> Arrays:
    """Divisors of every size, and quotients of every size that is in range."""
    y = spread(size, bits - 5, rng)
    quotient = power(rng.uniform(-f, min(bits // 2 - 3, bits - 3 - f), size)) * rng.choice([-1, 1], size)
    most = (1 << bits - 2) - 1
    return np.clip(whole(y * quotient), -most, most), y


def exponents(unit: float) -> Callable[[int, int, int, Any], Arrays]:
    """From far below the smallest result to the largest one."""

    def inputs(size: int, bits: int, f: int, rng: Any) -> Arrays:
        x = np.concatenate(
            [
                rng.uniform(-(f + 4), bits - 5 - f, size - size // 8),
                -(2.0 ** rng.uniform(0, bits - 4 - f, size // 8)),
            ]
        )
        return (whole(x * unit * 2.0**f),)

    return inputs


def magnitudes(
    most: Callable[[int, int], int], signs: bool = True, least: int = 1
) -> Callable[[int, int, int, Any], Arrays]:
    return lambda size, bits, f, rng: (spread(size, most(bits, f), rng, signs, least),)


def rows(size: int, bits: int, f: int, rng: Any) -> Arrays:
    """Of numbers whose exponentials differ as much as they can without all but one being 0."""
    return (whole(rng.uniform(-f / 2, f / 2, (max(1, size // 10), 10)) * 2.0**f),)


def sums(size: int, bits: int, f: int, rng: Any) -> Arrays:
    """Rows of every magnitude whose sum is in range."""
    scale = power(rng.uniform(0, bits - 3 - np.log2(10), (max(1, size // 10), 1)))
    return (whole(rng.uniform(-1, 1, (len(scale), 10)) * scale),)


def samples(size: int, bits: int, f: int, rng: Any) -> Arrays:
    """Rows of every deviation whose square is in range, around any mean."""
    scale = power(rng.uniform(0, (bits - 3) / 2 - 1, (max(1, size // 10), 1)))
    return (
        whole(
            rng.uniform(-1, 1, (len(scale), 10)) * scale + rng.uniform(-1, 1, scale.shape) * 2.0 ** (bits - 8)
        ),
    )


def factors(size: int, bits: int, f: int, rng: Any) -> Arrays:
    """Two numbers of every size whose product is in range."""
    x = spread(size, bits - 3, rng)
    room = bits - 3 - np.log2(np.abs(x).astype(float) + 1)
    return x, whole(power(rng.uniform(0, np.maximum(0, room)))) * rng.choice([-1, 1], size)


def within(low: float, high: float) -> Callable[[int, int, int, Any], Arrays]:
    """Numbers between these, the ends and what is next to 0 first."""

    def inputs(size: int, bits: int, f: int, rng: Any) -> Arrays:
        x = whole(rng.uniform(low, high, size) * 2.0**f)
        first = [int(low * 2**f), int(high * 2**f), *(v for v in (-1, 0, 1) if low * 2**f <= v)]
        x[: len(first)] = first[:size]
        return (x,)

    return inputs


def hyperbolic(size: int, bits: int, f: int, rng: Any) -> Arrays:
    """Up to the largest result, and below the smallest."""
    most = (bits - 6 - f) * np.log(2)
    return (whole(rng.uniform(-most, most, size) * rng.choice([1, 0.1, 2.0**-f], size) * 2.0**f),)


def both_of_any_size(size: int, bits: int, f: int, rng: Any) -> Arrays:
    return spread(size, bits - 5, rng), rng.permutation(spread(size, bits - 5, rng))


def above_one(size: int, bits: int, f: int, rng: Any) -> Arrays:
    return (spread(size, (bits - 3) // 2, rng, False, (1 << f) + 1),)


def bases_and_exponents(size: int, bits: int, f: int, rng: Any) -> Arrays:
    """Results of every size that is in range, and bases of every size for which a short exponent will do."""
    x = spread(size, bits - 5, rng, False)
    logarithm = np.log2(x.astype(float)) - f
    y = rng.uniform(-f - 2, bits - 6 - f, size) / np.where(logarithm == 0, 1, logarithm)
    return x, whole(np.clip(y, -8, 8) * 2.0**f)


def plain_sinc(x: Any) -> Any:
    with np.errstate(all="ignore"):
        half = x * gmpy2.const_pi()
        return each(lambda v: gmpy2.sin(v) / v if v else gmpy2.mpfr(1))(half)


def plain_power(x: Any, y: Any) -> Any:
    return np.frompyfunc(lambda x, y: x**y, 2, 1)(x, y)


def plain_softmax(x: Any) -> Any:
    e = exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


WEIGHTS = np.linspace(-0.17, 0.23, 10) / 1.2

CASES = [
    Case("x * y", lambda x, y: x * y, lambda x, y: x * y, factors, "x y < 2^(k-3-2f)", (1, 1, 1)),
    Case(
        "x * 0.3",
        lambda x: x * 0.3,
        lambda x: x * 0.3,
        magnitudes(lambda k, f: k - 3),
        "x < 2^(k-3-f)",
        (3, 3, 3),
    ),
    Case(
        "x @ w",
        lambda x: x @ WEIGHTS,
        lambda x: x @ WEIGHTS,
        sums,
        "x sum(w) < 2^(k-3-f); rows of 10",
        (5, 5, 5),
    ),
    Case(
        "mean",
        lambda x: x.mean(axis=-1),
        lambda x: x.mean(axis=-1),
        sums,
        "sum < 2^(k-3-f); rows of 10",
        (3, 3, 3),
    ),
    Case(
        "var",
        lambda x: x.var(axis=-1),
        lambda x: x.var(axis=-1),
        samples,
        "(x - mean)^2 < 2^(k-3-2f); rows of 10",
        (3, 3, 3),
    ),
    Case(
        "std",
        lambda x: x.std(axis=-1),
        lambda x: root(x.var(axis=-1)),
        samples,
        "(x - mean)^2 < 2^(k-3-2f); rows of 10",
        (3, 3, 3),
        (26, 9, 57),
    ),
    Case(
        "median",
        lambda x: np.median(x, axis=-1),
        lambda x: np.median(x, axis=-1),
        sums,
        "x < 2^(k-4-f); rows of 10",
        (3, 3, 3),
    ),
    Case(
        "x / y",
        lambda x, y: x / y,
        lambda x, y: x / y,
        fraction_of,
        "x < 2^(k-2-f), y < 2^(k-5-f), x/y < 2^min(k/2-3, k-3-f)",
        (1.2, 1.3, 1.2),
    ),
    Case(
        "reciprocal",
        np.reciprocal,
        lambda x: 1 / x,
        magnitudes(lambda k, f: k - 5),
        "x < 2^(k-5-f)",
        (1.3, 1.4, 1.2),
        (26, 10, None),
    ),
    Case(
        "sqrt",
        np.sqrt,
        root,
        magnitudes(lambda k, f: k - 2 - f % 2, False),
        "0 to 2^(k-2-f)",
        (1.2, 1.3, 1.2),
        (26, 9, 57),
    ),
    Case(
        "mpc.rsqrt",
        mpc.rsqrt,
        lambda x: 1 / root(x),
        magnitudes(lambda k, f: k - 2 - f % 2, False),
        "0 to 2^(k-2-f)",
        (1.2, 1.3, 1.2),
        (26, 9, 57),
    ),
    Case("exp", np.exp, exp, exponents(np.log(2)), "below (k-5-f) ln 2", (1.2, 1.3, 1.2), (25, 10, 49)),
    Case("exp2", np.exp2, power, exponents(1.0), "below k-5-f", (1.2, 1.3, 1.2), (25, 10, 49)),
    Case(
        "log",
        np.log,
        each(gmpy2.log),
        magnitudes(lambda k, f: k - 5, False),
        "0 to 2^(k-5-f)",
        (1.2, 1.3, 1.2),
    ),
    Case(
        "log2",
        np.log2,
        each(gmpy2.log2),
        magnitudes(lambda k, f: k - 5, False),
        "0 to 2^(k-5-f)",
        (1.2, 1.3, 1.2),
    ),
    Case(
        "mpc.sigmoid",
        mpc.sigmoid,
        lambda x: 1 / (1 + exp(-x)),
        magnitudes(lambda k, f: k - 2),
        "all",
        (1.5, 1.5, 1.5),
    ),
    Case("tanh", np.tanh, each(gmpy2.tanh), magnitudes(lambda k, f: k - 2), "all", (3, 3, 3)),
    Case("mpc.softmax", mpc.softmax, plain_softmax, rows, "all; rows of 10", (7, 7, 7)),
    Case(
        "x ** 0.3",
        lambda x: x**0.3,
        lambda x: x**0.3,
        magnitudes(lambda k, f: k - 5, False),
        "0 to 2^(k-5-f)",
        (1.3, 1.4, 1.3),
        (22, 8, 49),
    ),
    Case(
        "x ** -1.7",
        lambda x: x**-1.7,
        lambda x: x**-1.7,
        magnitudes(lambda k, f: k - 5, False, least=64),
        "2^(6-f) to 2^(k-5-f)",
        (1.3, 1.4, 1.3),
        (21, 7, 49),
    ),
    Case(
        "x ** y",
        lambda x, y: x**y,
        plain_power,
        bases_and_exponents,
        "0 to 2^(k-5-f), y < 8, x^y < 2^(k-6-f)",
        (1.3, 2, 1.3),
        (22, 7, 49),
    ),
    Case(
        "cbrt",
        np.cbrt,
        each(gmpy2.cbrt),
        magnitudes(lambda k, f: k - 5),
        "x < 2^(k-5-f)",
        (1.3, 1.4, 1.5),
        (22, 8, 48),
    ),
    Case(
        "sin", np.sin, each(gmpy2.sin), magnitudes(lambda k, f: k - 4 - f), "x < 2^(k-4-2f)", (1.3, 1.4, 1.3)
    ),
    Case(
        "cos", np.cos, each(gmpy2.cos), magnitudes(lambda k, f: k - 4 - f), "x < 2^(k-4-2f)", (1.3, 1.4, 1.3)
    ),
    Case("tan", np.tan, each(gmpy2.tan), within(-1.4, 1.4), "x < 1.4", (1.3, 3, 1.3)),
    Case("arcsin", np.arcsin, each(gmpy2.asin), within(-1, 1), "x <= 1", (1.2, 1.3, 1.2)),
    Case("arccos", np.arccos, each(gmpy2.acos), within(-1, 1), "x <= 1", (1.2, 1.3, 1.2)),
    Case(
        "arctan",
        np.arctan,
        each(gmpy2.atan),
        magnitudes(lambda k, f: k - 5),
        "x < 2^(k-5-f)",
        (1.2, 1.3, 1.2),
    ),
    Case(
        "arctan2",
        np.arctan2,
        np.frompyfunc(gmpy2.atan2, 2, 1),
        both_of_any_size,
        "x, y < 2^(k-5-f)",
        (1.2, 1.3, 1.2),
    ),
    Case("sinh", np.sinh, each(gmpy2.sinh), hyperbolic, "x < (k-6-f) ln 2", (2, 2, 2), (25, 10, 49)),
    Case("cosh", np.cosh, each(gmpy2.cosh), hyperbolic, "x < (k-6-f) ln 2", (2, 2, 2), (25, 10, 49)),
    Case(
        "arcsinh",
        np.arcsinh,
        each(gmpy2.asinh),
        magnitudes(lambda k, f: (k - 3) // 2),
        "x^2 < 2^(k-3-2f)",
        (2.5, 2.5, 2.5),
    ),
    Case("arccosh", np.arccosh, each(gmpy2.acosh), above_one, "x > 1, x^2 < 2^(k-3-2f)", (2.5, 2.5, 2.5)),
    Case("arctanh", np.arctanh, each(gmpy2.atanh), magnitudes(lambda k, f: f), "x < 1", (2, 2, 2)),
    Case("sinc", np.sinc, plain_sinc, magnitudes(lambda k, f: k - 5), "x < 2^(k-5-f)", (1.8, 1.8, 1.8)),
]


@dataclass(frozen=True)
class Measured:
    """Units in the last place where they are promised; 2^relative is the largest relative error elsewhere."""

    most: float
    mean: float
    relative: float
    kept: bool


def shared(session: Any, arrays: Arrays) -> list[Any]:
    """Units of the last place as fixed point, to the last digit, from one party after the other."""
    secrets = [
        session.secret(a, owner=i % len(session.parties), shape=a.shape, kind=mpc.INT)
        for i, a in enumerate(arrays)
    ]
    return [retyped(x, session.fixed) for x in secrets]


def measure(case: Case, ring: int, suite: str, parties: int, size: int, seed: int) -> Measured:
    bits, f = RINGS[ring]
    ulps, part = case.ulps[ring], 2.0 ** -(case.relative[ring] or np.inf)
    with gmpy2.context(precision=EXACT):
        arrays = case.inputs(size, bits, f, np.random.default_rng(seed))
        session = mpc.local(parties, suite, ring=bits, fraction_bits=f)
        # doubles would round large results
        units = retyped(case.secret(*shared(session, arrays)), mpc.INT).reveal()
        true = case.plain(*(real(a) / 2**f for a in arrays)) * 2**f
        error, true = np.abs(real(units) - true).astype(float), np.abs(true).astype(float)
    large = part * true > ulps
    relative = float(np.log2(np.max(error[large] / true[large], initial=1e-30))) if large.any() else -np.inf
    return Measured(
        float(error[~large].max(initial=0)),
        float(error[~large].mean()),
        relative,
        bool((error <= np.maximum(ulps, part * true)).all()),
    )


def cost(case: Case, suite: str, parties: int) -> str:
    """Rounds, and bytes that a party sends per element, on average over the parties."""
    size = 6400
    bits, f = RINGS[0]
    session = mpc.local(parties, suite)
    secrets = shared(session, case.inputs(size, bits, f, np.random.default_rng(0)))
    session.sync(*secrets)

    def sent() -> int:
        return sum(p.meter.sent - HEADER.size * p.meter.frames for p in session.parties)

    rounds, before = session.parties[0].meter.rounds, sent()
    session.sync(case.secret(*secrets))
    return f"{session.parties[0].meter.rounds - rounds}, {(sent() - before) / size / parties:.0f}"


def promise(case: Case, ring: int) -> str:
    return f"{case.ulps[ring]:g}" + ("" if case.relative[ring] is None else f" or 2^-{case.relative[ring]}")


def row(case: Case, size: int) -> str:
    cells = [f"`{case.name}`", case.range]
    for ring in range(len(RINGS)):
        runs = [measure(case, ring, *suite, size, seed) for seed, suite in enumerate(SUITES)]
        most, mean, relative = (
            max(r.most for r in runs),
            max(r.mean for r in runs),
            max(r.relative for r in runs),
        )
        cells += [
            promise(case, ring),
            f"{most:.2f}, {mean:.2f}" + ("" if relative == -np.inf else f"; 2^{relative:.1f}"),
        ]
    return "| " + " | ".join([*cells, *(cost(case, *suite) for suite in SUITES)]) + " |"


HEAD = """# Accuracy of operations on reals

Written by [`docs/accuracy.py`](accuracy.py), which measures all of this; a test checks that it holds.

Units are of the last place, 2^-f. A promise such as *1.2 or 2^-26* is the larger of the two: 1.2 units, or
that part of the result. *Measured* are the largest and the mean error in units, over the whole range, with
its ends, powers of two and their neighbours, on both suites; and, where a part of the result is promised, the
largest such part. Results are rounded at random to one of the two neighbours, so that the error of most is
below one unit and a third of one on average. Ranges are of magnitudes. Costs are rounds, and bytes that a
party sends for an element, over Z_2^64 (a median's vary: it sorts); over Z_2^128 it is up to 15 rounds more
and 1.6 to 2.5 times the bytes, and a `reciprocal` costs what `x / y` does. Everything on integers and truth
values, comparisons, and what moves elements around (sorts, selection) is exact; its costs are in the
docstrings of `protocols/ops/`.

| | range | promised, 64 bits, f = 16 | measured | promised, 32 bits, f = 8 | measured | promised, 128 bits, f = 40 | measured | cost, replicated | cost, additive, 2 parties, dealt |
|---|---|---|---|---|---|---|---|---|---|
"""

TAIL = """
`log10`, `log1p`, `expm1`, `x ** n`, `radians`, `degrees` follow from these; `std` of at most 16 integers that
vary by less than 1 may be 6 units off; `//`, `%`, `divmod` and `np.fmod` are exact but for a remainder by
a public number that is no multiple of 2^-f, which is rounded to a neighbour. Sines of larger x are off by pi
x 2^(2f-k) units more, and `tan` by a 2^(4-k/2)-th part of 1 + tan^2 (2^-51 over 128 bits). What is not in
range: `x / 0` is 0, `sqrt` and `rsqrt` of what is not above 0 are 0, `log 0` is `log 2^-f` and the logarithm
of x < 0 is that of its magnitude; all else wraps, as a product does. More fractional bits than these: up to 4
units, as 2^-f comes near to the precision inside; of k/2 - 2, the most there are, 12 in `x / y`, `tanh`,
`mpc.softmax` and in logarithms over 32 bits. Over 128 bits logarithms, `mpc.sigmoid`, `tanh` and
`mpc.softmax` are right to 2^-51, however small 2^-f is. With more than two parties, `additive`'s powers lose
a bit of the relative precision of large results for each.
"""


def check(size: int = 3000) -> list[str]:
    """What is wrong with the promises or with the page."""
    wrong = [
        f"{case.name}, {RINGS[ring]}, {suite[0]}: {m}"
        for case in CASES
        for ring in range(len(RINGS))
        for seed, suite in enumerate(SUITES)
        if not (m := measure(case, ring, *suite, size, 100 + seed)).kept
    ]
    page = PAGE.read_text()
    for case in CASES:
        line = next((line for line in page.splitlines() if line.startswith(f"| `{case.name}` |")), "")
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        costs = [cost(case, *suite) for suite in SUITES] if case.name != "median" else cells[8:]
        expected = [
            f"`{case.name}`",
            case.range,
            *(promise(case, ring) for ring in range(len(RINGS))),
            *costs,
        ]
        if [cells[i] for i in (0, 1, 2, 4, 6, 8, 9) if i < len(cells)] != expected:
            wrong.append(f"{PAGE.name}: {case.name} is now {expected}")
    return wrong


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit("\n".join(check()) or 0)
    PAGE.write_text(HEAD + "\n".join(row(case, 100_000) for case in CASES) + "\n" + TAIL)
