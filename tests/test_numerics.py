"""Division, roots, exponentials, logarithms over their whole documented range, on every suite,
beside NumPy.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import GRID, input_of, play, usual, whole
from hypothesis import given, settings
from hypothesis import strategies as st

import mpc
from mpc.ring import RINGS, Z64, RingArray
from protocols.array.secret import retyped
from protocols.carries import bits_of
from protocols.ops import exponential
from protocols.ops.normalisation import any_bit, numbers, power_of_two, top_bit
from protocols.suite import CHUNK, Suite
from protocols.suites import SUITES

FRACTIONS = {bits: ring.fraction for bits, ring in RINGS.items()}
#: What doubles that are compared with may be off by, where the ring has more digits than they have.
DOUBLES = {64: 0.0, 32: 0.0, 128: 2.0**-51}


def accuracy() -> Any:
    """The script that writes docs/accuracy.md."""
    spec = importlib.util.spec_from_file_location("accuracy", Path(__file__).parents[1] / "docs/accuracy.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["accuracy"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


ACCURACY = accuracy()


def test_the_page_on_accuracy_holds() -> None:
    assert ACCURACY.check(400) == []


@pytest.mark.parametrize("case", ACCURACY.CASES, ids=lambda case: case.name)
def test_promises_hold_for_more_parties(case: Any) -> None:
    """Three additive parties have three terms; exponentials of larger results lose a bit for it."""
    measured = ACCURACY.measure(case, 0, "additive", 3, 1000, 7)
    assert measured.most <= case.ulps[0] or not measured.kept
    assert measured.kept or measured.relative < 1.5 - (case.relative[0] or 0)


def test_a_promise_that_is_too_good_is_noticed() -> None:
    (exp,) = [case for case in ACCURACY.CASES if case.name == "exp"]
    assert not ACCURACY.measure(replace(exp, ulps=(0.4, 0.4)), 0, "replicated", 3, 500, 0).kept
    assert not ACCURACY.measure(replace(exp, relative=(30, 30)), 0, "replicated", 3, 500, 0).kept


# -- bits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", RINGS)
@pytest.mark.parametrize(("suite", "parties"), GRID)
def test_bits_top_bit_and_powers_of_two(suite: str, parties: int, bits: int) -> None:
    ring = RINGS[bits]
    near = sorted({(1 << i) + d for i in range(bits) for d in (-1, 0, 1)} | {(1 << bits) - 1})
    values = ring(near)

    async def main(suite: Suite) -> tuple[RingArray, ...]:
        x = await input_of(suite, values)
        planes = await bits_of(suite, x)
        found, place = await top_bit(suite, planes)
        digits = await numbers(suite, place, ring, len(near))
        return await suite.open(
            planes,
            found.reshape((1, found.size)),
            await any_bit(suite, planes),
            await power_of_two(suite, digits),
            await power_of_two(suite, digits[:-1], down=True),
        )

    planes, found, some, power, down = play(parties, main, kind=SUITES[suite])[0]
    unpacked = np.unpackbits(planes.data.view(np.uint8), axis=1, count=len(near), bitorder="little")
    assert [sum(int(b) << j for j, b in enumerate(column)) for column in unpacked.T] == near
    lengths = [max(0, v.bit_length() - 1) for v in near]
    assert whole(power).tolist() == [1 << n for n in lengths]
    assert whole(down).tolist() == [1 << bits // 2 - 1 - n % (bits // 2) for n in lengths]
    expected = np.packbits(np.array(near, object) != 0, bitorder="little")
    for flag in (found, some):
        assert (flag.data.view(np.uint8).reshape(-1)[: len(expected)] == expected).all()


@given(st.integers(1, 58), st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20))
def test_a_mantissa_is_the_power_of_the_fraction(g: int, values: list[int]) -> None:
    m = exponential.mantissa(RingArray(Z64, np.array(values, np.uint64)), g).data
    expected = np.array([2.0 ** ((v % (1 << g)) / (1 << g)) * 2**30 for v in values])
    assert (np.abs(m - expected) <= 1.001).all() and (m >> np.uint64(30) == 1).all()


# -- against NumPy ------------------------------------------------------------------------------------


def close(mine: Any, true: Any, f: int, ulps: float, relative: float = 0) -> None:
    excess = np.abs(mine - true) / np.maximum(ulps * 2.0**-f, relative * np.abs(true))
    assert np.max(excess, initial=0) <= 1


def number(bits: int) -> st.SearchStrategy[int]:
    """Integers of every magnitude, powers of two and their neighbours often."""
    near = st.builds(
        lambda i, d, s: s * ((1 << i) + d),
        st.integers(0, bits - 1),
        st.sampled_from((-1, 0, 1)),
        st.sampled_from((-1, 1)),
    )
    limit = (1 << bits) - 1
    return st.one_of(near, st.integers(-limit, limit)).map(lambda v: max(-limit, min(limit, v)))


@settings(max_examples=15)
@given(st.data(), st.sampled_from(sorted(SUITES)), st.sampled_from(sorted(RINGS)))
def test_every_quotient_in_range(data: Any, suite: str, bits: int) -> None:
    f = FRACTIONS[bits]
    pairs = data.draw(
        st.lists(st.tuples(number(min(bits - 3, 52)), number(min(bits - 5, 52))), min_size=1, max_size=70)
    )
    x, y = np.array(
        [(a, b) for a, b in pairs if b == 0 or abs(a) < abs(b) << min(bits // 2 - 3, bits - 3 - f)]
        or [(1, 1)]
    ).T
    s = mpc.local(usual(suite), suite, ring=bits, fraction_bits=f)
    sx, sy = s.secret(x * 2.0**-f, owner=0), s.secret(y * 2.0**-f, owner=2)
    true = np.divide(x, y, out=np.zeros(len(x)), where=y != 0)
    quotient, itself, inverse = s.reveal(sx / sy, sy / sy, np.reciprocal(sy))
    close(quotient, true, f, 1.3, DOUBLES[bits])
    close(itself, (y != 0) * 1.0, f, 1.3)
    close(
        inverse,
        np.divide(2.0**f, y, out=np.zeros(len(y)), where=y != 0),
        f,
        1.4,
        2.0 ** -{64: 26, 32: 10, 128: 50}[bits],
    )
    assert (quotient[y == 0] == 0).all() and (inverse[y == 0] == 0).all()


@settings(max_examples=15)
@given(st.data(), st.sampled_from(sorted(SUITES)), st.sampled_from(sorted(RINGS)))
def test_every_root_and_logarithm(data: Any, suite: str, bits: int) -> None:
    f = FRACTIONS[bits]
    x = np.array(data.draw(st.lists(number(min(bits - 5, 52)), min_size=1, max_size=70))) * 2.0**-f
    s = mpc.local(usual(suite), suite, ring=bits, fraction_bits=f)
    secret = s.secret(x, owner=1)
    positive = np.where(x > 0, x, 1)
    root, inverse, log = s.reveal(np.sqrt(secret), mpc.rsqrt(secret), np.log(secret))
    relative = 2.0 ** -{64: 26, 32: 9, 128: 50}[bits]
    close(root, np.where(x > 0, np.sqrt(positive), 0), f, 1.3, relative)
    close(inverse, np.where(x > 0, 1 / np.sqrt(positive), 0), f, 1.3, relative)
    close(log, np.log(np.where(x == 0, 2.0**-f, abs(x))), f, 1.3)
    assert (root[x <= 0] == 0).all() and (inverse[x <= 0] == 0).all()


@settings(max_examples=15)
@given(st.data(), st.sampled_from(sorted(SUITES)), st.sampled_from(sorted(RINGS)))
def test_every_exponential_and_sigmoid(data: Any, suite: str, bits: int) -> None:
    f = FRACTIONS[bits]
    x = np.array(data.draw(st.lists(number(min(bits - 4, 52)), min_size=1, max_size=70))) * 2.0**-f
    s = mpc.local(2 if suite == "additive" else usual(suite), suite, ring=bits, fraction_bits=f)
    secret = s.secret(x, owner=1)
    small = np.minimum(x, (bits - 6 - f) * np.log(2) // 2.0**-f * 2.0**-f)
    with np.errstate(over="ignore"):
        true = 1 / (1 + np.exp(-x))
    e, sigma, tanh = s.reveal(np.exp(s.secret(small)), mpc.sigmoid(secret), np.tanh(secret))
    close(e, np.exp(small), f, 1.3, 2.0 ** -{64: 25, 32: 10, 128: 48}[bits])
    close(sigma, true, f, 1.5)
    close(tanh, np.tanh(x), f, 3)


@pytest.mark.parametrize("f", [1, 8, 16])
def test_exponentials_where_they_vanish(f: int) -> None:
    """Every input around the smallest result: what is below it must not wrap to something large."""
    s = mpc.local(2, fraction_bits=f)
    for base in (np.e, 2, 1.01, 0.5):
        edge = -(f + 2) / np.log2(base)
        x = np.rint((edge + np.linspace(-2, 2, 400) / np.log2(base)) * 2.0**f) * 2.0**-f
        mine = (np.exp(s.secret(x)) if base == np.e else base ** s.secret(x)).reveal()
        close(mine, base**x, f, 1.1)


@pytest.mark.parametrize(("suite", "parties"), GRID)
@pytest.mark.parametrize("f", [1, 7, 25, 30])
def test_other_fractions(suite: str, parties: int, f: int) -> None:
    """As 2^-f comes near to the precision inside, more of the last place is lost;
    an odd f shifts the roots.
    """
    rng = np.random.default_rng(f)
    s = mpc.local(parties, suite, fraction_bits=f)
    x, y = np.rint(rng.uniform(0.6, 8, (2, 50)) * 2.0**f) * 2.0**-f
    a, b = s.secret(x), s.secret(y, owner=1)
    ulps = 1.4 if f <= 16 else 12
    for mine, true in (
        (a / b, x / y),
        (1 / b, 1 / y),
        (np.sqrt(a), np.sqrt(x)),
        (mpc.rsqrt(a), 1 / np.sqrt(x)),
        (np.log(a), np.log(x)),
        (mpc.sigmoid(a), 1 / (1 + np.exp(-x))),
    ):
        close(mine.reveal(), true, f, ulps + 2, 2.0**-25)
    close(np.exp(-b).reveal(), np.exp(-y), f, ulps, 2.0**-20)
    top = min(3, 60 - f - parties)
    close(np.exp2(s.secret(np.full(3, top))).reveal(), 2.0**top, f, ulps, 2.0**-22)


@pytest.mark.parametrize("bits", [64, 128])
@pytest.mark.parametrize("base", [1.0001, 0.9999, 3.0])
def test_powers_of_public_numbers_keep_their_digits(bits: int, base: float) -> None:
    """Large ones of what is next to 1, and of what has a logarithm with more digits than a double."""
    f = FRACTIONS[bits]
    x = np.floor(np.linspace(0.9, 1, 50) * (bits - 5 - f) / np.log2(base))
    mine = retyped(base ** mpc.local(2, ring=bits).secret(x), mpc.INT).reveal()
    with localcontext(prec=60):
        for units, exponent in zip(mine.tolist(), x.tolist(), strict=True):
            true = Decimal(base) ** Decimal(exponent) * 2**f
            assert abs(units / true - 1) < Decimal(2) ** -{64: 24, 128: 49}[bits]


def test_softmax_along_axes_and_powers() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(0, 3, (4, 5, 3))
    s = mpc.local(3)
    for axis in (0, 1, -1):
        e = np.exp(x - x.max(axis=axis, keepdims=True))
        close(mpc.softmax(s.secret(x), axis=axis).reveal(), e / e.sum(axis=axis, keepdims=True), 16, 5)
    huge = s.secret([[-(2.0**40), 2.0**40, 0.0]])
    assert np.abs(mpc.softmax(huge).reveal() - [[0, 1, 0]]).max() <= 2**-15
    y = abs(x) + 0.5
    for a in (1.5, -2.25, 0.1, np.array([0.5, 1.0, -1.5])):
        close((s.secret(y) ** a).reveal(), y**a, 16, 40)
    assert np.abs((s.secret([2.0, 4.0]) ** -2).reveal() - [0.25, 0.0625]).max() <= 2**-15


@pytest.mark.parametrize("suite", sorted(SUITES))
def test_real_operations_are_streamed(suite: str) -> None:
    n = CHUNK + 5
    x = np.rint(np.linspace(0.5, 9, n) * 2**16) / 2**16
    s = mpc.local(usual(suite), suite)
    secret = s.secret(x)
    for f, plain in (
        (np.sqrt, np.sqrt),
        (lambda v: 3 / v, lambda v: 3 / v),
        (lambda v: np.exp(-v), lambda v: np.exp(-v)),
    ):
        close(f(secret).reveal(), plain(x), 16, 4)


@pytest.mark.parametrize(
    "work",
    [lambda x: x / x, np.sqrt, np.exp, np.log, mpc.sigmoid],
    ids=["/", "sqrt", "exp", "log", "sigmoid"],
)
def test_side_by_side_they_cost_the_rounds_of_one(work: Callable[[Any], Any]) -> None:
    s = mpc.local(3)
    x = s.secret([1.0, 2.0])
    meter = s.parties[0].meter

    def rounds(times: int) -> int:
        s.sync(x)
        before = meter.rounds
        s.sync(*[work(x) for _ in range(times)])
        return meter.rounds - before

    assert rounds(1) == rounds(5)


def test_a_shift_to_nothing_tells_nothing_about_bad_input() -> None:
    """Zero, negative, out of range: the same messages' sizes, no error, no hang."""

    def sent(values: list[float]) -> list[int]:
        s = mpc.local(3)
        x = s.secret(values)
        s.reveal(1 / x, np.sqrt(x), np.log(x), np.exp(x), x**0.3)
        return [p.meter.sent for p in s.parties]

    assert sent([0.0, 0.0]) == sent([-5.0, 2.0**40]) == sent([1.0, 2.0])


# -- raw columns ---------------------------------------------------------------------------------------

TWO = [("additive", 2), ("replicated", 3)]
HOSPITALS = [
    np.loadtxt(Path(__file__).parents[1] / f"examples/data/hospital_{i}.csv", delimiter=",", skiprows=1)
    for i in range(3)
]


def shared(values: Any, f: int) -> Any:
    """As they are shared: rounded to multiples of 2^-f."""
    return np.rint(np.asarray(values) * 2.0**f) * 2.0**-f


@pytest.mark.parametrize(("suite", "parties"), TWO)
def test_standard_deviations_of_columns_in_their_own_units(suite: str, parties: int) -> None:
    """From a smoothness error of 0.003 to an area of 569, with 16 fractional bits."""
    x = shared(np.concatenate(HOSPITALS), 16)
    s = mpc.local(parties, suite)
    secret = s.secret(x)
    deviation, variance, sample, scores = s.reveal(
        secret.std(axis=0),
        secret.var(axis=0),
        secret.std(axis=0, ddof=1),
        (secret - secret.mean(axis=0)) / secret.std(axis=0),
    )
    close(deviation, x.std(axis=0), 16, 3, 2.0**-25)
    close(sample, x.std(axis=0, ddof=1), 16, 3, 2.0**-25)
    close(variance, x.var(axis=0), 16, 3, 2.0**-40)
    assert (
        np.abs(scores - (x - x.mean(axis=0)) / x.std(axis=0)).max(axis=0)
        < 2.0**-15 + 2.0**-16 / x.std(axis=0) * 60
    ).all()


@pytest.mark.parametrize("bits", RINGS)
@pytest.mark.parametrize(("suite", "parties"), TWO)
def test_deviations_of_every_size(suite: str, parties: int, bits: int) -> None:
    """From next to nothing to the largest whose squares fit, few numbers and many, along axes."""
    f = FRACTIONS[bits]
    s = mpc.local(parties, suite, ring=bits)
    rng = np.random.default_rng(bits)
    for n in (2, 17, 300) if bits == 128 else (2, 17, 300, 4000):
        for size in (2.0 ** (3 - f), 0.05, 2.0 ** ((min(bits, 64) - 3) / 2 - f - 1)):
            x = shared(
                rng.uniform(-1, 1, (n, 2)) * size
                + rng.uniform(-1, 1) * min(1000, 2.0 ** (bits - 6 - f - n.bit_length())),
                f,
            )
            secret = s.secret(x, kind=mpc.Fixed(f))
            std, sample, var, whole = s.reveal(
                secret.std(axis=0),
                np.std(secret.T, axis=-1, ddof=1, keepdims=True),
                secret.var(axis=0),
                secret.std(),
            )
            close(std, x.std(axis=0), f, 4, 2.0 ** -(bits // 2 - 8))
            close(sample, x.std(axis=0, ddof=1)[:, None], f, 4, 2.0 ** -(bits // 2 - 8))
            close(var, x.var(axis=0), f, 3, 2.0**-45)
            close(whole, x.std(), f, 4, 2.0 ** -(bits // 2 - 8))


@pytest.mark.parametrize(("suite", "parties"), TWO)
def test_deviations_of_what_hardly_varies(suite: str, parties: int) -> None:
    s = mpc.local(parties, suite)
    for true in (0.03, 0.01, 0.003):
        x = shared(np.random.default_rng(1).normal(1, true, 400), 16)
        close(s.secret(x).std().reveal(), x.std(), 16, 3)
    fine = shared([0.0001, 0.0003, 0.0002, 0.0004], 24)
    x = s.secret(fine, kind=mpc.Fixed(24))
    assert np.abs(((x - x.mean()) / x.std()).reveal() / ((fine - fine.mean()) / fine.std()) - 1).max() < 2e-3
    assert s.secret([2.5] * 9).std().reveal() <= 2.0**-15 and s.secret([7] * 9).var().reveal() == 0


@pytest.mark.parametrize(("suite", "parties"), TWO)
def test_variances_of_integers(suite: str, parties: int) -> None:
    """Salaries in full units, and one case in ten thousand."""
    rare, salaries = np.arange(10_000) == 77, np.array([52000, 61000, 48000, 350000])
    s = mpc.local(parties, suite)
    for x in (
        salaries,
        salaries * 1000 // 999,
        np.arange(3000) * 77,
        rare,
        rare * 1,
        [3, -4],
        np.array([2**40, 2**40 + 1, 2**40 + 5]),
    ):
        secret = s.secret(x)
        std, var = s.reveal(secret.std(), secret.var(ddof=1))
        close(std, np.std(x), 16, 3, 2.0**-25)
        close(var, np.var(x, ddof=1), 16, 3, 2.0**-45)
    # a unit on average
    assert s.secret(np.array([0] * 9 + [1])).std().reveal() == pytest.approx(0.3, abs=6 * 2.0**-16)


def test_salaries_of_five_parties_over_128_bits() -> None:
    """README's first program on a column that does not fit 64 bits."""

    def main(party: Any) -> Any:
        salaries = np.array([52000.0, 61000, 48000, 350000]) * (1 + party.id / 10)
        x = np.concatenate(party.secret_from_each(salaries))
        mean, var, std = x.mean(), x.var(), x.std()
        return party.reveal(mean, var, std, (x - mean) @ (x - mean) / len(x))

    x = np.concatenate([np.array([52000.0, 61000, 48000, 350000]) * (1 + i / 10) for i in range(5)])
    for mean, var, std, cov in mpc.local(5, ring=128).run(main):
        assert (
            np.abs(np.array([mean, var, std, cov]) / [x.mean(), x.var(), x.std(), x.var()] - 1).max() < 1e-12
        )
    raw = mpc.local(3, ring=128).secret([52000.0, 161000, 48000, 350000]).var().reveal()
    assert raw == pytest.approx(np.var([52000.0, 161000, 48000, 350000]), rel=1e-12)


@pytest.mark.parametrize(("suite", "parties"), TWO)
def test_norms_of_small_vectors(suite: str, parties: int) -> None:
    s = mpc.local(parties, suite)
    x = shared([[0.003, 0.004], [3.0, -4.0]], 16)
    close(np.linalg.norm(s.secret(x), axis=1).reveal(), np.linalg.norm(x, axis=1), 16, 2)
    assert np.linalg.norm(s.secret([3 * 2**27, 2**29])).reveal() == pytest.approx(2**27 * 5, rel=2.0**-26)


@pytest.mark.parametrize("bits", RINGS)
@pytest.mark.parametrize(("suite", "parties"), TWO)
def test_negative_powers_keep_their_digits(suite: str, parties: int, bits: int) -> None:
    f = FRACTIONS[bits]
    s = mpc.local(parties, suite, ring=bits)
    x = shared([0.2, 0.1, 0.05, 0.02] if bits > 32 else [0.5, 0.25], f)
    for n in (1, 2, 3, 4):
        result, exponents = s.reveal(s.secret(x) ** -n, s.secret(x) ** [-n, *[-1] * (len(x) - 1)])
        assert np.abs(result / x ** -float(n) - 1).max() < (1e-5 if bits > 32 else n * 2.0**-8)
        assert np.abs(exponents * np.concatenate([x[:1] ** n, x[1:]]) - 1).max() < (
            1e-5 if bits > 32 else n * 2.0**-8
        )
    if bits > 32:
        small = shared(0.01, f)
        assert (s.secret(small) ** -3).reveal() == pytest.approx(small**-3.0, rel=1e-5)


def test_whole_powers_of_negative_numbers_in_arrays() -> None:
    s = mpc.local(2)
    x, a = np.array([[-2.0, 3.0, -1.5]]), np.array([[1], [2], [3], [0], [-1]])
    for exponents in (a, a * 1.0):
        close((s.secret(x) ** exponents).reveal(), x ** (exponents * 1.0), 16, 20)
    close((s.secret([2.0, -3.0, 0.25]) ** [0.5, 2.0, -0.5]).reveal(), [2**0.5, 9, 2], 16, 4)
    assert ((s.secret([[2], [-3]]) ** [0, 1, 2, 5]).reveal() == np.array([[2], [-3]]) ** [0, 1, 2, 5]).all()
    y = np.array([0, 1, 5, 30])
    for base in (2, 3, -3, 0, 1, -1, 10):
        assert (
            ((base ** s.secret(y)).reveal() == np.array(base) ** y).all()
            if base in (0, 1, -1, 2)
            else (base ** s.secret(y[:3])).reveal().tolist() == [base**v for v in y[:3].tolist()]
        )


# -- integers beside reals -----------------------------------------------------------------------------

RELATIONS: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a < b,
    lambda a, b: a <= b,
    lambda a, b: a > b,
    lambda a, b: a >= b,
    lambda a, b: a == b,
    lambda a, b: a != b,
]


def outcomes(relation: Callable[[Any, Any], Any], a: Any, b: Any) -> list[list[bool]]:
    """All with all, as Python compares an integer with a float: exactly."""
    return [[bool(relation(int(x), float(y))) for y in b] for x in a]


@pytest.mark.parametrize("bits", RINGS)
@pytest.mark.parametrize(("suite", "parties"), TWO)
def test_integers_compare_with_reals_as_the_numbers_they_are(suite: str, parties: int, bits: int) -> None:
    """Also those that have no place among the reals, and borders that are no integers, beyond all, or
    infinite.
    """
    f = FRACTIONS[bits]
    near = 1 << bits - 2 - f
    a = np.array(
        [
            0,
            1,
            -1,
            7,
            near - 1,
            near,
            -near,
            -near - 1,
            (1 << bits - 2) - 1,
            -(1 << bits - 2),
            1 << bits - 4,
            near * 4 + 1,
        ],
        object,
    )
    b = np.array(
        [
            0.0,
            0.5,
            -0.5,
            1.0,
            1 + 2.0**-f,
            6.75,
            -1e-12,
            near - 1.0,
            -near + 0.5,
            2.0 ** (bits - 4),
            2.0 ** (bits - 1),
            -(2.0**bits),
            1e40,
            -np.inf,
            np.inf,
        ]
    )
    s = mpc.local(parties, suite, ring=bits)
    x = s.secret(a if bits == 128 else a.astype(np.int64))
    fits = b[np.abs(b) < near]
    real = s.secret(fits)
    results = s.reveal(
        *(relation(x[:, None], b) for relation in RELATIONS),
        *(relation(x[:, None], real) for relation in RELATIONS),
        *(relation(b[:, None], x) for relation in RELATIONS),
        *(relation(real[:, None], x) for relation in RELATIONS),
    )
    exact = shared(fits, f)
    for i, relation in enumerate(RELATIONS):
        assert results[i].tolist() == outcomes(relation, a, b) and results[6 + i].tolist() == outcomes(
            relation, a, exact
        )
        assert results[12 + i].T.tolist() == outcomes(lambda p, q, r=relation: r(q, p), a, b) and results[
            18 + i
        ].T.tolist() == outcomes(lambda p, q, r=relation: r(q, p), a, exact)


@pytest.mark.parametrize(("suite", "parties"), TWO)
def test_what_follows_from_comparing_integers_with_reals(suite: str, parties: int) -> None:
    s = mpc.local(parties, suite)
    x = s.secret(np.array([2**50, -(2**50), 2**48, 5]))
    assert (x > 0.5).reveal().tolist() == [True, False, True, True] and (
        s.secret([2**48, 2**50]) == 0.0
    ).reveal().tolist() == [False, False]
    assert np.minimum(x, 0.5).reveal().tolist() == [
        0.5,
        (np.minimum(x, 0.5)[1]).reveal(),
        0.5,
        0.5,
    ] and np.maximum(x, 0.5).reveal()[[1, 3]].tolist() == [0.5, 5]
    assert np.clip(x, 0.0, 1e6).reveal().tolist() == [1e6, 0, 1e6, 5] and np.clip(
        x, s.secret(0.25), s.secret(99.5)
    ).reveal().tolist() == [99.5, 0.25, 99.5, 5]
    assert np.where(x > 7.5, 7.5, x).reveal()[[0, 2, 3]].tolist() == [7.5, 7.5, 5]
    assert np.searchsorted([-np.inf, 0.5, 1e15, 1e30], x).reveal().tolist() == [3, 1, 2, 2] and np.digitize(
        x, [-1e16, 0.5, np.inf]
    ).reveal().tolist() == [2, 1, 2, 2]
    assert np.searchsorted(s.secret([-0.5, 4.5, 2.0**40]), x).reveal().tolist() == [
        3,
        0,
        3,
        2,
    ] and np.searchsorted(np.sort(x), [0.5, 1e15]).reveal().tolist() == [1, 3]
    assert np.histogram(x, [-np.inf, 0.5, 5.0, np.inf])[0].reveal().tolist() == [1, 0, 3]
    assert (
        np.median(s.secret(np.array([2**45, 2**45 + 1, 2**45 + 3]))).reveal() == 2**45 + 1
        and np.quantile(x, 1).reveal() == 2**50
    )
    assert np.digitize(s.secret([0.5, -3.0]), [-np.inf, 0.0, np.inf]).reveal().tolist() == [2, 1]


@pytest.mark.parametrize(("suite", "parties"), TWO)
def test_quotients_of_integers_have_all_of_their_range(suite: str, parties: int) -> None:
    s = mpc.local(parties, suite)
    a, b = np.array([2**50, 3 * 2**50, -(2**58), 7, 0]), np.array([2**49, -(2**48) + 1, 2**57 + 5, 3, 5])
    close((s.secret(a) / s.secret(b)).reveal(), a / b, 16, 1.3)
    close((s.secret([1.5, -7.25]) / s.secret([3, 2**20])).reveal(), [0.5, -7.25 / 2**20], 16, 1.3)
    close((1 / s.secret([2**50, -3])).reveal(), [0, -1 / 3], 16, 1.4)
    close(np.sqrt(s.secret([2**58, 2, 0])).reveal(), [2**29, 2**0.5, 0], 16, 1.3, 2.0**-26)


@pytest.mark.parametrize(("suite", "parties"), TWO)
@pytest.mark.parametrize("bits", sorted(RINGS))
def test_means_of_groups_have_the_range_of_other_quotients(suite: str, parties: int, bits: int) -> None:
    """A sum of reals, or a public number, over a secret count, and over a truth value; operands of different
    fractions.
    """
    f = FRACTIONS[bits]
    s = mpc.local(parties, suite, ring=bits, fraction_bits=f)
    top = 2.0 ** (bits // 2 - 3) - 1
    x, counts = np.array([top, -top / 3, top / 8, 8191.5, top]), np.array([1, 3, 7, 2, 1])
    one = np.array([True, False, True, True, True])
    few = np.minimum(x, top / 4)
    sums, halves = s.secret(x), s.secret(counts / 2, kind=mpc.Fixed(f // 2))
    close((sums / s.secret(counts)).reveal(), x / counts, f, 1.3, DOUBLES[bits])
    close((x / s.secret(counts)).reveal(), x / counts, f, 1.3, DOUBLES[bits])
    close((sums / s.secret(one)).reveal(), x * one, f, 1.3, DOUBLES[bits])
    close((s.secret(few) / halves).reveal(), few / (counts / 2), f, 1.3, DOUBLES[bits])
    close(np.mean(sums, where=s.secret(one)).reveal(), x[one].mean(), f, 1.3, DOUBLES[bits])


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x < [np.nan, 1.0],
        lambda x: x == [1.0, np.nan],
        lambda x: np.searchsorted([0.0, np.nan], x),
        lambda x: np.clip(x, np.nan, 2.0),
        lambda x: np.isin(x, [np.nan]),
        lambda x: np.digitize(x, [0.0, np.nan]),
    ],
)
def test_nan_is_refused(f: Callable[[Any], Any]) -> None:
    s = mpc.local(2)
    for x in (s.secret([1, 2]), s.secret([1.0, 2.0])):
        with pytest.raises(mpc.MpcError, match="NaN"):
            f(x)


@pytest.mark.parametrize("bits", RINGS)
@pytest.mark.parametrize(("suite", "parties"), TWO)
def test_no_integer_is_equal_to_what_is_not_in_the_ring(suite: str, parties: int, bits: int) -> None:
    s = mpc.local(parties, suite, ring=bits)
    least = s.secret(np.array([-(1 << bits - 1), 5, 0], object if bits == 128 else np.int64))
    for elements in ([np.inf], [1e45], [2.0 ** (bits - 1)], [2.5], [-np.inf, 0.25]):
        assert not np.isin(least, elements).reveal().any()
    assert np.isin(least, [-(2.0 ** (bits - 1)), 5.0, np.inf]).reveal().tolist() == [
        True,
        True,
        False,
    ] and np.isin(least, [True, False]).reveal().tolist() == [False, False, True]


def test_masked_values_are_not_shared_from_inside_a_list() -> None:
    s = mpc.local(2)
    column = np.ma.masked_array([1.0, 99.0], [False, True])
    for values in (column, [column], [[1.0, 2.0], column], (column, column), [[column]]):
        with pytest.raises(mpc.MpcError, match="masked"):
            s.secret(values)
    assert s.secret([[1.0, 2.0], np.array([3.0, 4.0])]).reveal().tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(("suite", "parties"), GRID)
def test_sines_and_arcs_outside_the_table(suite: str, parties: int) -> None:
    """Next to a pole, far from 0, and beyond ±1: as the module says."""
    for bits, f in FRACTIONS.items():
        s, unit = mpc.local(parties, suite, ring=bits), 2.0**-f
        x = np.rint(np.linspace(1.3, 1.55, 300) / unit) * unit
        part = 2.0 ** max(4 - bits // 2, -51)
        assert (
            np.abs(np.tan(s.secret(x)).reveal() - np.tan(x)) <= 1.4 * unit + part * (1 + np.tan(x) ** 2)
        ).all()
        far = s.secret([1.5, -3.0, 100.0])
        assert np.abs(np.arcsin(far).reveal() - np.array([1, -1, 1]) * np.pi / 2).max() <= 1.3 * unit
        assert np.abs(np.arccos(far).reveal() - np.array([0, 1, 0]) * np.pi).max() <= 1.3 * unit
        # sines of these are off by more
        y = np.rint(np.linspace(0.5, 1, 300) * 2.0 ** (bits - 2 - 2 * f) / unit) * unit
        assert (
            np.abs(np.sin(s.secret(y)).reveal() - np.sin(y)) <= 1.4 * unit + np.pi * y * 2.0 ** (f - bits)
        ).all()
