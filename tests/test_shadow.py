"""Sessions that check: what is wrong is not revealed but named, with operation and line; and right programs
hear nothing.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_cli import deployment, refused, write
from test_cli import mpc as command
from test_numerics import ACCURACY
from test_suites import RINGS

import mpc
from mpc.config import load
from mpc.errors import ConfigError, HandshakeError, RangeError
from mpc.handshake import agree
from mpc.transport.memory import mesh
from protocols.conformance.operations import DECOMPOSED, OPERATIONS, VARIANTS, flat, op, operands
from protocols.numpy import plain, tables
from protocols.running.deployed import join, terms_of
from protocols.running.program import Program

ROOT = Path(__file__).parents[1]
EXAMPLES = {
    "average_salary": 3,
    "joint_statistics": 3,
    "kmeans": 3,
    "linear_regression": 2,
    "millionaires": 3,
    "salary_percentiles": 3,
    "sealed_bid_auction": 5,
    "survival_curve": 3,
}

# -- what is wrong ------------------------------------------------------------------------------------

PAY = np.array([52000.0, 161000.0, 48000.0, 350000.0])
#: Programs of a session whose results are silently wrong without a check, the operation to be named, and
#: words about it.
WRONG: dict[str, tuple[Callable[[Any], Any], str, str]] = {
    "variance": (lambda s: s.secret(PAY).var(), "np.var", r"on the way to the result is outside ±2\^29"),
    "product": (lambda s: s.secret(PAY) * s.secret(PAY), "np.multiply", r"outside ±2\^29"),
    "dot": (lambda s: s.secret(PAY) @ s.secret(PAY), "np.matmul", r"outside ±2\^29"),
    "power": (lambda s: s.secret([300.0]) ** 4, "np.power", r"outside ±2\^29"),
    "sum": (
        lambda s: s.secret(np.full(9, 3e13)).sum(),
        "np.sum",
        r"the result is outside ±2\^46, the range of fixed\(16\) over Z_2\^64",
    ),
    "running sum": (lambda s: np.cumsum(s.secret(np.full(9, 3e13))), "np.cumsum", r"outside ±2\^46"),
    "integer beside a real": (lambda s: s.secret(2**48) + 0.5, "np.add", r"outside ±2\^46"),
    "exponential": (lambda s: np.exp(s.secret(40.0)), "np.exp", r"outside ±2\^46"),
    "integers": (
        lambda s: s.secret([1, 2**40]) * s.secret([1, 2**40]),
        "np.multiply",
        r"±2\^63, the range of int over Z_2\^64 \(1 of 2 elements\)",
    ),
    "sum of integers": (lambda s: s.secret([2**62, 2**62, 5]).sum(), "np.sum", r"±2\^63"),
    "integer power": (lambda s: s.secret([3, 7]) ** 23, "np.power", r"±2\^63"),
    "shift": (lambda s: s.secret(5) << 62, "np.left_shift", r"±2\^63"),
    "integers far apart": (
        lambda s: s.secret([-(2**63), 0]) < s.secret([2**62, 1]),
        "np.less",
        r"difference outside the range of int",
    ),
    "small input": (
        lambda s: s.secret(1e-12) * s.secret(1e12),
        "secret",
        r"too small beside the resolution, 2\^-16",
    ),
    "small column": (lambda s: scores(s.secret([1e-5, 3e-5, 2e-5, 4e-5])), "secret", "too small beside"),
    "small column, standardised": (
        lambda s: scores(s.secret([0.0015, 0.00152, 0.00151, 0.00153])),
        "np.subtract",
        "too small beside",
    ),
    "small column among others": (
        lambda s: scores(s.secret(np.outer([1.0, 3.0, 2.5, 4.0], [1.0, 1e-5]))),
        "secret",
        "too small beside",
    ),
    "beside an exact zero": (
        lambda s: (x := s.secret([0.0, 0.0, 0.0, 2.0**-20])) + np.median(x),
        "secret",
        "too small beside",
    ),
    "beside deviations of zeros": (
        lambda s: np.quantile(s.secret([[0.0, 0.0, 0.0], [2.0**-18, 0.0, 2.0**-24]]).std(axis=0), 0.25),
        "secret",
        "too small beside",
    ),
    "beside a variance of one number": (
        lambda s: ((x := s.secret(2.0**-20)) + x) ** 2 + x.var(),
        "secret",
        "too small beside",
    ),
    "beside a covariance of zeros": (
        lambda s: np.cov(s.secret([2.0**-20, 2.0**-20])) + s.secret(2.0**-20) ** 2,
        "secret",
        "too small beside",
    ),
    "a product that is right by luck": (
        lambda s: (x := s.secret(2.0**15.1)) * x,
        "np.multiply",
        r"outside ±2\^29",
    ),
    "a sum of products that is right by luck": (
        lambda s: np.dot(x := s.secret([0, -131065, 1]) / 3, x),
        "np.dot",
        r"outside ±2\^29",
    ),
    "a square that is right by luck": (lambda s: s.secret(2.0**15.1) ** 2, "np.power", r"outside ±2\^29"),
    "a quotient that is right by luck": (
        lambda s: s.secret(2.0**22.2) / s.secret(2.0**-8),
        "np.divide",
        r"the quotient is outside ±2\^29",
    ),
    "a product of a few units that is right by luck": (
        lambda s: np.prod(s.secret([2.0**-9, 2.0**-9 + 2.0**-16, 0.5])),
        "np.prod",
        "too small beside",
    ),
    "a reciprocal of a few units that is right by luck": (
        lambda s: np.reciprocal(s.secret(32354.0)),
        "np.reciprocal",
        "too small beside",
    ),
    "a quotient of what was divided by a lost number": (
        lambda s: (x := 1 / np.square(s.secret([2.0**-10, 2.0**-10 + 2.0**-16]))) / x,
        "np.square",
        "too small beside",
    ),
    "a quotient by what has wrapped that is right by luck": (
        lambda s: (x := s.secret([2.0**20, -(2.0**20)]).var() * 2.0**10) / x,
        "np.var",
        "outside",
    ),
    "a variance that is right by luck": (
        lambda s: s.secret([2.0**14.7, -(2.0**14.7)]).var(),
        "np.var",
        r"outside ±2\^29",
    ),
    "a wrong number that is compared, and right by luck": (
        lambda s: s.secret([1.75, 1.75, -576033.5, -1.75, 0.0, 0.0]).std() > 0.5,
        "np.std",
        r"outside ±2\^29",
    ),
    "the sign of what has wrapped, right by luck": (
        lambda s: np.sign(np.square(s.secret(2.0**18.3))),
        "np.square",
        "outside",
    ),
    "a negative power that is right by luck": (
        lambda s: s.secret(2.0**-16) ** -2,
        "np.power",
        "outside",
    ),
    "a multiple that is right by luck": (lambda s: s.secret(2.0**35.1) * 1000.5, "np.multiply", "outside"),
    "a small remainder beside a larger one": (
        lambda s: np.sqrt(s.secret([2.0**-20, 2.0**-11]) % 8),
        "secret",
        "too small beside",
    ),
    "beside an exponential of which nothing is left": (
        lambda s: np.exp(s.secret(-768.0)) + s.secret(2.0**-20),
        "secret",
        "too small beside",
    ),
    "beside a root of zero": (
        lambda s: np.sqrt(s.secret([0.0, 9.0]))[0] + s.secret(2.0**-20),
        "secret",
        "too small beside",
    ),
    "beside a quotient of zero": (
        lambda s: (x := s.secret(2.0**-20)) ** 2 + s.secret(0) / x,
        "secret",
        "too small beside",
    ),
    "small quotients": (
        lambda s: (s.secret([1.2e-4, 3.1e-4, 2e-4]) / 100).sum(),
        "np.divide",
        "too small beside",
    ),
    "small squares": (lambda s: s.secret([[3.0, 1e-3]]) ** 2 * 1e6, "np.power", "too small beside"),
    "rounded to zero, then divided by": (lambda s: 1 / s.secret([1.0, 1e-6]), "secret", "too small beside"),
    "division by zero": (
        lambda s: 3 / s.secret([0.0, 1.0]),
        "np.divide",
        "a division by zero, where the engine gives 0",
    ),
    "reciprocal of zero": (
        lambda s: np.reciprocal(s.secret([0.0, 1.0])),
        "np.reciprocal",
        "a division by zero, where the engine gives 0",
    ),
    "large quotient": (
        lambda s: s.secret([1e7, 1.0]) / s.secret([1e-3, 1.0]),
        "np.divide",
        r"the quotient is outside ±2\^29, the range of quotients",
    ),
    "large quotient of a public number": (
        lambda s: 1e7 / s.secret([1e-3, 1.0]),
        "np.divide",
        r"the quotient is outside ±2\^29",
    ),
    "large divisor": (
        lambda s: s.secret(2.0**44) / s.secret(2.0**44),
        "np.divide",
        r"the divisor is outside ±2\^43, the range of divisors",
    ),
    "large integer divisor": (
        lambda s: s.secret(2**61) / s.secret(2**60),
        "np.divide",
        r"the divisor is outside ±2\^59",
    ),
    "deviations of what is chosen": (
        lambda s: s.secret([5e4, 4.5e4, 3.05e4, 5e3, 150.0]).std(where=s.secret([True] * 5)),
        "np.std",
        r"on the way to the result is outside ±2\^29",
    ),
    "correlation": (
        lambda s: np.corrcoef(s.secret(PAY), s.secret(PAY[::-1]))[0, 1],
        "np.corrcoef",
        r"on the way to the result is outside ±2\^29",
    ),
    "weighted mean": (
        lambda s: np.average(s.secret(PAY), weights=s.secret(PAY)),
        "np.average",
        r"on the way to the result is outside ±2\^29",
    ),
    "hypotenuse": (
        lambda s: np.hypot(s.secret([1.0, 3.0]), s.secret([5e4, 4.0])),
        "np.hypot",
        r"on the way to the result is outside ±2\^29",
    ),
    "fit of large numbers": (
        lambda s: np.linalg.lstsq(s.secret(np.stack([1e3 * PAY, PAY[::-1]], axis=1)), s.secret(PAY))[0],
        r"np\.linalg\.lstsq",
        r"the norm of a matrix.* is outside ±2\^15",
    ),
    "inverse of a large matrix": (
        lambda s: np.linalg.inv(s.secret(np.diag(PAY))) * 1e5,
        r"np\.linalg\.inv",
        r"the norm of a matrix.* is outside ±2\^15",
    ),
    "small beside an integer": (lambda s: s.secret(3.0) / s.secret(2**40), "np.divide", "too small beside"),
    "real over a large integer": (
        lambda s: s.secret(2.0**45) / s.secret(2**44),
        "np.divide",
        r"the divisor is outside ±2\^43",
    ),
    "logarithm of zero": (
        lambda s: np.log(s.secret([0.0, 1.0])),
        "np.log",
        "a logarithm of what is not above zero",
    ),
    "logarithm below zero": (
        lambda s: np.log2(s.secret([-2.0, 1.0])),
        "np.log2",
        "a logarithm of what is not above zero",
    ),
    "root below zero": (
        lambda s: np.sqrt(s.secret([-2.0, 1.0])),
        "np.sqrt",
        "a root of what is not above zero, where the engine gives 0",
    ),
    "inverse root of zero": (
        lambda s: mpc.rsqrt(s.secret([0.0, 1.0])),
        "mpc.rsqrt",
        "a root of what is not above zero",
    ),
    "integers beyond floating point": (
        lambda s: s.secret([7, 2]) ** 400,
        "np.power",
        r"the result is outside ±2\^63",
    ),
    "digits without end": (lambda s: s.secret(7) ** 2**40, "np.power", r"the result is outside ±2\^63"),
    "reals of them": (
        lambda s: np.prod(s.secret(np.full(50, 2**40))) * 1.5,
        r"np\.prod",
        r"the result is outside ±2\^63",
    ),
    "comparison": (
        lambda s: s.secret([1.000001, 1.0])[0] > s.secret(1.0),
        "np.greater",
        "comes out otherwise than in the clear",
    ),
    "order": (lambda s: np.argsort(s.secret([1.000002, 1.000001])), "np.argsort", "comes out otherwise"),
    "extreme": (lambda s: s.secret([1.000001, 1.000002, 0.5]).argmax(), "np.argmax", "comes out otherwise"),
    "place": (
        lambda s: np.searchsorted([1.000002, 2.0], s.secret([1.000003])),
        "np.searchsorted",
        "comes out otherwise",
    ),
    "rounding": (lambda s: np.floor(s.secret([1000.0, 0.9999999])), "np.floor", "comes out otherwise"),
    "a rounding that matters later": (
        lambda s: np.floor(s.secret([1000.0, 998.9999999])) % 2,
        "np.floor",
        "comes out otherwise",
    ),
    "index": (
        lambda s: np.take(s.secret([5, 6]), s.secret([-3])),
        "np.take",
        "a secret index beyond the ends",
    ),
    "index beyond": (
        lambda s: np.take(s.secret([5.5, 6.5]), s.secret([2])),
        "np.take",
        "a secret index beyond the ends",
    ),
    "index of an update": (
        lambda s: s.secret([5, 6]).at[s.secret([2])].set(0),
        r"x\.at\[…\]\.set",
        "a secret index beyond the ends",
    ),
    "counts": (
        lambda s: np.bincount(s.secret([0, 1, 5]), minlength=3),
        "np.bincount",
        "outside 0 to minlength",
    ),
    "singular matrix": (
        lambda s: np.linalg.solve(s.secret([[1.0, 2.0], [2.0, 4.0]]), [1.0, 3.0]),
        r"np\.linalg\.solve",
        "singular, or nearly so",
    ),
    "indefinite matrix": (
        lambda s: np.linalg.cholesky(s.secret([[1.0, 2.0], [2.0, 1.0]])),
        r"np\.linalg\.cholesky",
        "not positive definite",
    ),
    "equal products, compared": (
        lambda s: (y := s.secret(np.full(64, 1.2345)) * s.secret(np.full(64, 1.2345))) == y[0],
        "np.equal",
        "comes out otherwise",
    ),
    "equal quotients, ordered": (
        lambda s: np.argsort(s.secret(np.full(64, 1.2345)) / s.secret(np.full(64, 3.3))),
        "np.argsort",
        "comes out otherwise",
    ),
    "mean of nanoseconds": (
        lambda s: s.secret(np.array([17, 18, 18]) * 10**17).mean(),
        "np.mean",
        r"the result is outside ±2\^46",
    ),
    "zero over zero": (
        lambda s: s.secret([0.0, 1.0]) / s.secret([0.0, 1.0]),
        "np.divide",
        "a division by zero, where the engine gives 0",
    ),
    "negative counts": (
        lambda s: np.bincount(s.secret([0, -1, 1]), minlength=2),
        "np.bincount",
        "outside 0 to minlength",
    ),
}


def scores(x: Any) -> Any:
    return (x - x.mean(axis=0)) / x.std(axis=0)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_with_operation_and_line(name: str) -> None:
    f, operation, words = WRONG[name]
    x = f(mpc.local(3 if len(name) % 2 else 2, check=True))  # nothing is said before it is revealed
    with pytest.raises(
        RangeError,
        match=(
            rf"^({operation}) in test_shadow\.py, line \d+: .*{words}.* is revealed in test_shadow\.py, line"
            r" \d+ may not be"
        ),
    ) as caught:
        x.reveal()
    assert any(
        advice in str(caught.value)
        for advice in (
            "scale the data",
            "another number",
            "round before",
            "keep indices",
            "larger minlength",
            "the identity",
        )
    )


def test_the_first_operation_is_named_and_not_what_is_made_of_it() -> None:
    x = mpc.local(3, check=True).secret([1e5, 2.0])
    line = sys._getframe().f_lineno
    y = x * x
    z = np.sqrt(abs(y)) + 1
    said = rf"^np\.multiply in test_shadow\.py, line {line + 1}: .*line {line + 5} may not be"
    with pytest.raises(RangeError, match=said) as caught:
        z.sum().reveal()
    assert not any(
        number in str(caught.value) for number in ("100000", "1e5", "1e+05", "1e10", "1e+10", "10000000000")
    )


def test_an_overflow_is_named_though_digits_were_lost_before() -> None:
    """What was lost at the first operation is small beside the rest, and not why the last is wrong."""
    x = mpc.local(3, check=True).secret([1e5, 1e-6])
    assert x.shadow is not None and x.shadow.doubt is not None and not x.shadow.wrong
    with pytest.raises(RangeError, match=r"^np\.multiply .*outside ±2\^29"):
        (x * x).reveal()


def test_what_has_wrapped_is_not_forgiven_with_the_digits_that_others_lost() -> None:
    """A quotient whose divisor has hardly a digit left, and a line through columns of a product; of both, one
    number was out of range.
    """
    x = mpc.local(3, check=True).secret([70000.0, 300.0])
    y = x * x
    with pytest.raises(RangeError, match=r"^np\.multiply .*outside"):
        (y[0] * 1e-9 / (y[1] - 89999.0)).reveal()
    age = np.random.default_rng(10).normal(50, 10, 20)
    s = mpc.local(3, ring=32, check=True)
    x, y = s.secret(np.column_stack([np.ones(20), age])), s.secret(3 * age - 4)
    with pytest.raises(RangeError, match=r"^np\.matmul .*outside"):
        np.linalg.solve(x.T @ x, x.T @ y).reveal()


def test_a_welch_test_is_right_or_told() -> None:
    """Variances over counts are a few units in the last place; what comes out differs from run to run."""
    table = np.concatenate(
        [np.loadtxt(ROOT / f"examples/data/hospital_{i}.csv", delimiter=",", skiprows=1) for i in range(3)]
    )
    smooth, large = table[:, 4] * 10, table[:, 0] > 15

    def t(a: Any, b: Any) -> Any:
        return (a.mean() - b.mean()) / np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))

    groups = smooth[large], smooth[~large]
    for units in (1, 100):
        s = mpc.local(3, check=True)
        for _ in range(4):
            try:
                result = t(*(s.secret(g / units) for g in groups)).reveal()
            except RangeError as error:
                assert "np." in str(error) or "secret" in str(error)
            else:
                assert abs(result / t(*groups) - 1) < 0.06


def test_a_wrong_value_is_not_revealed_to_one_party_either() -> None:
    x = mpc.local(2, check=True).secret(PAY)
    with pytest.raises(RangeError, match=r"np\.var"):
        x.var().reveal(to=1)
    assert x.sum().reveal() == PAY.sum()  # and the session goes on


# -- what is right ------------------------------------------------------------------------------------


RIGHT: dict[str, Callable[[Any], Any]] = {
    "wraps and comes back": lambda s: s.secret(2**62) * 4 - s.secret(2**62) * 3,
    "is beyond the range, but not wrong": lambda s: s.secret(5e13) + s.secret(4e13) - s.secret(6e13),
    "is small beside others": lambda s: s.secret([1.0, 1e-7]).sum(),
    "tails": lambda s: mpc.softmax(s.secret([[-20.0, 3.0, 2.0]])),
    "a quotient that is not chosen": lambda s: np.where(
        s.secret([0.0, 2.0]) > 0, 1 / s.secret([0.0, 2.0]), -1.0
    ),
    "cancellation": (
        lambda s: s.secret([1.5, 2.25]) * s.secret([3.1, 0.7]) - s.secret([1.5 * 3.1, 2.25 * 0.7])
    ),
    "mean of scores": lambda s: scores(s.secret(np.random.default_rng(0).normal(size=(500, 3)))).mean(axis=0),
    "residuals that cancelled": lambda s: (
        ((x := s.secret([0.3, 0.7])) * x - (np.array([0.09, 0.49]) - np.array([1.3, 1.4]) / 2**16))
        @ np.eye(2, dtype=int)
    ),
    "beyond doubles": lambda s: np.exp(s.secret([708.0, 1.0]))[1],
    "constant column": lambda s: s.secret(np.full(20, 3.3)).var(),
    "ties": lambda s: np.argsort(s.secret([3, 1, 3, 1, 2, 1])),
    "truth values counted": lambda s: s.secret([True, True]) + s.secret([True, False]),
    "truth values": lambda s: ~(s.secret([True, False]) ^ True),
    "index outside, by mpc.take": lambda s: mpc.take(s.secret([[5, 6]]), s.secret([[-1, 1, 2, -7]]), axis=1),
    "public numbers of other types": (
        lambda s: (
            s.secret([1, 2]) * np.uint64(3)
            + np.float16(0.5) * s.secret([True, True])
            - np.int8(100) * s.secret([2, 2])
        )
    ),
    "shuffled": lambda s: sum(mpc.shuffle(s.secret([0.3, 0.2, 0.1, 7.0]), s.secret([3, 2, 1, 70]))),
    "large integers": (
        lambda s: np.sort(s.secret([2**62, -(2**62), 2**62 + 1]) - 1)[1:] > s.secret([2**62 - 1, 7])
    ),
    "negative powers": lambda s: s.secret([2.0, 0.02]) ** -4,
    "a comparison of what has wrapped, masked out": (
        lambda s: ((x := s.secret([1.5, 2.0**20])) * x > 0.5) & (np.abs(x) < 8)
    ),
    "empty": lambda s: s.secret(np.zeros((0, 3))).sum(axis=0),
    "one of each kind": lambda s: np.where(s.secret([True, False]), s.secret([3, 4]), 0.5),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_revealed(name: str) -> None:
    for parties in (2, 3):
        RIGHT[name](mpc.local(parties, check=True)).reveal()


def test_ties_are_kept_by_rounding_before_comparing() -> None:
    """As README says."""
    s = mpc.local(3, check=True)
    y = s.secret(np.full(64, 1.2345)) * s.secret(np.full(64, 1.2345))
    rounded = np.rint(1000 * y)
    assert (
        (rounded == rounded[0]).reveal().all()
        and np.argmax(rounded).reveal() == 0
        and (abs(y - y[0]) < 1e-3).reveal().all()
    )


#: Of values that are there to see, fixed point with 16 bits has nothing of this one.
LOST = {"* 1e-9"}
MORE = [
    op("+", np.positive, (3,)),
    op("float_power", lambda x: np.float_power(abs(x) + 1, 1.5), (3,)),
    op("logical_xor", lambda x: np.logical_xor(x > 0, x > 1), (4,)),
    op("multiply.reduce", np.multiply.reduce, (3,)),
    op("maximum.reduce", np.maximum.reduce, (3, 2)),
    op("and.reduce", lambda x: np.logical_and.reduce(x > 0), (3,)),
    op("or.reduce", lambda x: np.logical_or.reduce(x > 0), (3,)),
    op("dsplit", lambda x: np.dsplit(x, 2), (1, 2, 4)),
    op("at least", np.atleast_1d, ()),
    op("at least", np.atleast_3d, (2,)),
    op("around", np.around, (3,)),
    op("rsqrt", lambda x: mpc.rsqrt(abs(x) + 1), (3,)),
    op("sigmoid", mpc.sigmoid, (3,)),
    *(
        op(f.__name__, f, (3,))
        for f in (
            np.ones_like,
            np.empty_like,
            np.real,
            np.amin,
            np.amax,
            np.nanmin,
            np.nanmax,
            np.nansum,
            np.nanprod,
            np.nanvar,
            np.nanstd,
            np.nancumsum,
            np.nancumprod,
            np.nanargmin,
            np.nanargmax,
            np.nanmedian,
            np.cumulative_sum,
            np.fix,
            np.conjugate,
            np.flipud,
        )
    ),
    *(
        op(f.__name__, lambda x, f=f: f(x, 0.3 if f is np.nanquantile else 30), (5,))
        for f in (np.nanquantile, np.nanpercentile)
    ),
    *(
        op(f"{f.__name__}.reduce", lambda x, f=f: f.reduce(x), (3,))
        for f in (np.fmin, np.fmax, np.hypot, np.logaddexp2)
    ),
    op("fmin.accumulate", np.fmin.accumulate, (3,)),
    *(
        op(f"{f.__name__}.accumulate", lambda x, f=f: f.accumulate(x), (3,))
        for f in (np.hypot, np.logaddexp, np.logaddexp2)
    ),
    op("logical_xor.reduce", lambda x: np.logical_xor.reduce(x > 0), (3,)),
    *(
        op(f"{f.__name__} of truth values", lambda x, f=f: f(x > 0), (4,))
        for u in (
            np.bitwise_and,
            np.bitwise_or,
            np.bitwise_xor,
            np.logical_xor,
            np.logical_and,
            np.logical_or,
        )
        for f in (u.reduce, u.accumulate)
    ),
    op("softmax", lambda x: mpc.softmax(x, axis=0), (3, 2)),
    op("shuffle", mpc.shuffle, (4, 2)),
    op("deg2rad", np.deg2rad, (3,)),
    op("rad2deg", np.rad2deg, (3,)),
]


@pytest.mark.parametrize(("parties", "bits", "fixed"), [(2, 64, False), (3, 64, True), (3, 128, True)])
def test_no_operation_within_its_range_is_suspected_and_all_have_a_shadow(
    parties: int, bits: int, fixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that the conformance suite does (over 128 bits one operation of two), and every name that users
    have.
    """
    seen: set[Any] = set()
    evaluated = plain._evaluated

    def recorded(function: Any, kind: Any, arguments: Any) -> Any:
        made = evaluated(function, kind, arguments)
        assert made, f"{function} has nothing in the clear"
        seen.add(function)
        return made

    monkeypatch.setattr(plain, "_evaluated", recorded)
    s = mpc.local(parties, ring=bits, check=True)
    fraction = RINGS[bits] if fixed else 0
    kind = mpc.Fixed(fraction) if fixed else mpc.INT
    table = (
        [*OPERATIONS, *VARIANTS, *MORE, *(DECOMPOSED if fixed else [])] if bits == 64 else OPERATIONS[1::2]
    )
    for i, operation in enumerate(table):
        if operation.name not in LOST:
            for result in flat(
                operation.f(*(s.secret(v, kind=kind) for v in operands(operation.shapes, fraction, i)))
            ):
                result.reveal()
    if not fixed or bits == 128:  # integers are rounded already
        return
    names = [
        *tables.UFUNCS,
        *(u.reduce for u in tables.REDUCTIONS),
        *(u.accumulate for u in tables.ACCUMULATIONS),
        *tables.FUNCTIONS,
    ]
    known = {
        np.shape,
        np.ndim,
        np.size,
        np.positive,
        np.isnan,
        np.isinf,
        np.isfinite,
        np.isreal,
        np.iscomplex,
        np.isrealobj,
        np.iscomplexobj,
        # they are public, or nothing
        np.result_type,
        np.can_cast,
        np.common_type,
        np.einsum_path,
        np.conjugate,
        np.real,
        np.nan_to_num,
        np.may_share_memory,
        np.shares_memory,
    }
    known |= {f for f in tables.FUNCTIONS if tables.FUNCTIONS[f].__name__ == "refuse"}
    assert not [name for name in names if name not in seen | known]


def test_every_function_that_numpy_lacks_has_a_counterpart() -> None:
    ours = [getattr(mpc, name) for name, home in mpc._HOME.items() if home.startswith("protocols.ops")]
    assert len(ours) >= 7
    s = mpc.local(3, check=True)
    x, i = s.secret([1.0, 2.5, 2.0]), s.secret([2, 0])
    made = {
        mpc.sigmoid: mpc.sigmoid(x),
        mpc.softmax: mpc.softmax(x),
        mpc.rsqrt: mpc.rsqrt(x),
        mpc.take: mpc.take(np.array([5, 6, 7]), i),
        mpc.one_hot: mpc.one_hot(i, 3),
        mpc.unique_counts: mpc.unique_counts(x, [1.0, 2.0]),
        mpc.shuffle: mpc.shuffle(x),
        mpc.unique: mpc.unique(x)[1],
        mpc.top_k: mpc.top_k(x, 2)[1],
        **{f: f(x, [2.0, 2.5])[1] for f in (mpc.union1d, mpc.intersect1d, mpc.setdiff1d, mpc.setxor1d)},
    }
    assert set(made) == set(ours)
    assert all(result.shadow is not None for result in made.values())
    assert made[mpc.take].shadow.true.tolist() == [7, 5] and made[mpc.unique_counts].shadow.true.tolist() == [
        1,
        1,
    ]
    assert sorted(made[mpc.shuffle].shadow.true) == [1.0, 2.0, 2.5]
    assert np.abs(made[mpc.shuffle].shadow.true - made[mpc.shuffle].reveal()).max() == 0


@pytest.mark.parametrize("case", ACCURACY.CASES, ids=lambda case: case.name)
def test_what_keeps_its_promise_is_not_suspected(case: Any) -> None:
    """Over the whole range of every operation on reals, in every ring."""
    for bits, f in ACCURACY.RINGS:
        if bits == 128 and case.inputs is ACCURACY.samples:
            # doubles of such means have no digits left for the deviations
            continue
        for seed, (suite, parties) in enumerate(ACCURACY.SUITES):
            s = mpc.local(parties, suite, ring=bits, fraction_bits=f, check=True)
            inputs = case.inputs(300, bits, f, np.random.default_rng(seed))
            below = (1 - 2.0**-52) * 2.0**-f  # the ends of ranges, to which doubles would be rounded
            case.secret(*(s.secret((a * below).astype(float), kind=s.fixed) for a in inputs)).reveal()


# files that they leave open
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_not_suspected(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert EXAMPLES.keys() == {path.stem for path in (ROOT / "examples").glob("*.py")}
    spec = importlib.util.spec_from_file_location(name, ROOT / f"examples/{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if hasattr(module, "STEPS"):
        monkeypatch.setattr(module, "STEPS", min(module.STEPS, 40))
    assert len(set(map(str, mpc.local(EXAMPLES[name], check=True).run(module.main)))) == 1


def test_rounding_is_no_alarm_where_the_true_value_is_zero() -> None:
    """A unit in the last place, beside operands that had magnitude: products of the same numbers, differently
    rounded.
    """
    rng = np.random.default_rng(3)
    s = mpc.local(3, check=True)
    x, y = (s.secret(v) for v in rng.uniform(0.05, 3, (2, 30, 20)))
    s.reveal(
        x * y - y * x,
        (x * y - y * x).sum(axis=1) / 7,
        ((x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)).mean(axis=1),
        (x / y - x / y).mean(axis=1),
    )


def test_arguments_may_have_names() -> None:
    x = mpc.local(2, check=True).secret([0.5])
    for f in (mpc.sigmoid, mpc.rsqrt, mpc.softmax):
        assert np.isfinite(f(x=x).reveal()).all()


def test_only_where_it_is_asked_for() -> None:
    s = mpc.local(3)
    x = s.secret([1.0e13])
    y = x * x
    y.reveal()
    assert (
        s.check is None
        and x.shadow is None
        and y.shadow is None
        and "check" not in s.parties[0].meter.operations
    )


# -- integers in the clear ----------------------------------------------------------------------------


def test_integers_are_exact_whatever_their_size() -> None:
    big = np.array([2**62, -(2**62) + 1, 3])
    for f, args in (
        (np.multiply, (big, big)),
        (np.matmul, (big, big)),
        (np.subtract, (big, -big)),
        (np.sum, (np.repeat(big[:1], 9),)),
        (np.cumprod, (big,)),
        (np.einsum, ("i,i->", big, big)),
        (np.diff, (big,)),
        (np.ptp, (big,)),
        (np.left_shift, (big, 5)),
        (np.ptp, (big - [0, 2, 0],)),
        (np.power, (big, 3)),
        (np.absolute, (np.array([-(2**63)]),)),
    ):
        (made,) = plain.results(f, mpc.INT, (args, {}), [0], [np.shape(f(*args))])
        wide = [a.astype(object) if isinstance(a, np.ndarray) else a for a in args]
        expected = wide[0].max() - wide[0].min() if f is np.ptp else f(*wide)
        assert np.all(made == expected), f
    (less,) = plain.results(
        np.less, mpc.BOOL, ((np.array([2**53 + 1]), np.array([2.0**53 + 2])), {}), [0], [(1,)]
    )
    assert less.all()  # NumPy makes a double of the integer, and says no


@pytest.mark.parametrize("falling", [False, True])
def test_bins_beyond_a_word(falling: bool) -> None:
    """NumPy's digitize has none."""
    bins = [0, 10**29, 10**31][:: -1 if falling else 1]
    values = [10**30, -(10**29), 10**29, 5]
    x = mpc.local(3, ring=128, check=True).secret(values)
    for right in (False, True):
        places = np.digitize(np.array(values, float), np.array(bins, float), right)
        assert (np.digitize(x, bins, right).reveal() == places).all()


def test_what_numpy_refuses_or_shapes_otherwise_is_no_number() -> None:
    for function, args in (
        (np.bincount, (np.array([0, 4]),)),
        (np.take, (np.arange(3), np.array([0, 7]))),
        (np.take, (np.arange(3), "no")),
    ):
        (made,) = plain.results(function, mpc.INT, (args, {}), [0], [(2,)])
        assert np.isnan(made).all()


# -- every kind of session ----------------------------------------------------------------------------

PROGRAM = """def main(party):
    mine = np.array([1.5, 2.25, 4.0]) * (1 + party.id)
    x = np.concatenate(party.secret_from_each(mine))
    first = party.secret(mine[:1] if party.id == 1 else None, owner=1)
    y = x * FACTOR
    z = y * y
    mean = (z.sum() / len(x) + first).reveal()
    return float(mean[0]), z.max().reveal(to=0) is None
"""


def test_programs_that_ask_who_they_are() -> None:
    for factor, wrong in ((2.0, False), (20000.0, True)):
        scope: dict[str, Any] = {"np": np, "FACTOR": factor}
        exec(compile(PROGRAM, "program.py", "exec"), scope)
        session = mpc.local(3, check=True)
        if wrong:
            with pytest.raises(
                RangeError,
                match=r"^np\.multiply in program\.py, line 6: .*revealed in program\.py, line 7 may not be",
            ):
                session.run(scope["main"])
        else:
            results = session.run(scope["main"])
            assert [hidden for _, hidden in results] == [False, True, True] and results == [
                (results[0][0], hidden) for _, hidden in results
            ]


def test_small_inputs_of_another_party_are_seen_by_all() -> None:
    """The owner alone knows what the others must compare with:
    the shadow is of unrounded numbers everywhere.
    """

    def main(party: Any) -> Any:
        x = party.secret([1e-6, 3e-6] if party.id == 1 else None, owner=1)
        assert x.shadow.true.tolist() == [1e-6, 3e-6]
        try:
            x.sum().reveal(to=1)
        except RangeError as error:
            return str(error)

    said = mpc.local(3, check=True).run(main)
    assert len(set(said)) == 1 and said[0].startswith("secret in test_shadow.py, line ")


@pytest.mark.parametrize("arguments", [("-n", 3), ("-n", 2, "--dealer")])
def test_as_processes(tmp_path: Path, arguments: tuple[Any, ...]) -> None:
    program = write(tmp_path, "FACTOR = 2.0\n" + PROGRAM)
    done = command("run", program, "--check", *arguments)
    assert done.returncode == 0 and done.stdout.startswith("(")
    assert (
        "Threat model: INSECURE: nothing is protected, since --check has shown every party all inputs"
        in " ".join(done.stderr.split())
    )
    wrong = write(tmp_path, "FACTOR = 20000.0\n" + PROGRAM, "wrong.py")
    refused(
        command("run", wrong, "--check", *arguments),
        "np.multiply in wrong.py, line 11:",
        "so what is revealed in wrong.py, line 12 may not be",
    )
    assert command("run", wrong, *arguments).returncode == 0


def test_parties_of_a_deployment_do_not_check(tmp_path: Path) -> None:
    """Only what 'mpc run' has started does, only with all parties on one machine, and only where all do."""
    program = write(tmp_path, PROGRAM)
    configs = deployment(tmp_path, tls=False, suite="additive")
    refused(command("party", program, "--config", configs[0], "--check"), "it is there for 'mpc run'")
    refused(command("run", program, "-n", 2, "--check", "--offline"), "leave out --offline")
    assert "--check" not in command(
        "party", "--help"
    ).stdout and "every party is shown all inputs" in " ".join(command("run", "--help").stdout.split())
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text(configs[0].read_text().replace('address = "127.0.0.1', 'address = "10.0.0.1', 1))
    with pytest.raises(ConfigError, match="all must listen on this machine"):
        join(load(elsewhere), Program(program), check=True)
    config = load(configs[0])
    ours, theirs = mesh(2, timeout=2)
    said = json.dumps(terms_of(config, Program(program), check=True)).encode()
    theirs.post(0, [memoryview(len(said).to_bytes(4, "little") + said)])
    with pytest.raises(HandshakeError, match=r"another check \(there true, here false\)"):
        agree(ours, {1: "bob"}, terms_of(config, Program(program)), frozenset())


def test_a_partition_is_right_in_any_order_of_its_parts_and_wrong_with_another_element() -> None:
    s = mpc.local(3, check=True)
    x = np.random.default_rng(2).integers(0, 30, (6, 40))
    for secret in (s.secret(x), s.secret(x / 7)):
        for kth, axis in ((5, -1), ([3, -2], 0), (100, None)):
            for f in (np.partition, np.argpartition):
                assert f(secret, kth, axis).reveal().size == x.size
    near = s.secret([1.0 + 2.0**-30, 2.0, 1.0])
    assert near.reveal().tolist() == [1, 2, 1]
    with pytest.raises(RangeError, match=r"argpartition .* otherwise than in the clear"):
        np.argpartition(near, 0).reveal()


def test_what_is_beside_long_integers_is_checked() -> None:
    """NumPy has no fmod of Python's integers."""
    assert np.fmod(mpc.local(2, check=True).secret([-5, 5]), 2**70).reveal().tolist() == [-5, 5]
    x = mpc.local(2, ring=128, check=True).secret(np.array([-(10**30) - 1, 10**30 + 1], object))
    assert np.fmod(x, 10).reveal().tolist() == [-1, 1] and np.fmod(
        x, np.array([10**29, 7], object)
    ).reveal().tolist() == [-1, (10**30 + 1) % 7]
