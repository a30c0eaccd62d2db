"""Division, roots, exponentials, logarithms over their whole documented range, on every suite, beside NumPy."""
from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import GRID, input_of, play, whole
from hypothesis import given, settings
from hypothesis import strategies as st

import mpc
from mpc.ring import RINGS, Z64, RingArray
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
    sys.modules["accuracy"] = module                # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


ACCURACY = accuracy()


def test_the_page_on_accuracy_holds() -> None:
    assert ACCURACY.check(2000) == []


@pytest.mark.parametrize("case", ACCURACY.CASES, ids=lambda case: case.name)
def test_promises_hold_for_more_parties(case: Any) -> None:
    """Three additive parties have three terms; exponentials of larger results lose a bit for it."""
    measured = ACCURACY.measure(case, 0, "additive", 3, 1000, 7)
    assert measured.most <= case.ulps[0] or not measured.kept
    assert measured.kept or measured.relative < 1.5 - (case.relative or (0, 0))[0]


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
        return await suite.open(planes, found.reshape((1, found.size)), await any_bit(suite, planes), await power_of_two(suite, digits),
                                await power_of_two(suite, digits[:-1], down=True))

    planes, found, some, power, down = play(parties, main, kind=SUITES[suite])[0]
    unpacked = np.unpackbits(planes.data.view(np.uint8), axis=1, count=len(near), bitorder="little")
    assert [sum(int(b) << j for j, b in enumerate(column)) for column in unpacked.T] == near
    lengths = [max(0, v.bit_length() - 1) for v in near]
    assert whole(power).tolist() == [1 << n for n in lengths]
    assert whole(down).tolist() == [1 << bits // 2 - 1 - n % (bits // 2) for n in lengths]
    expected = np.packbits(np.array(near, object) != 0, bitorder="little")
    for flag in (found, some):
        assert (flag.data.view(np.uint8).reshape(-1)[:len(expected)] == expected).all()


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
    near = st.builds(lambda i, d, s: s * ((1 << i) + d), st.integers(0, bits - 1), st.sampled_from((-1, 0, 1)), st.sampled_from((-1, 1)))
    limit = (1 << bits) - 1
    return st.one_of(near, st.integers(-limit, limit)).map(lambda v: max(-limit, min(limit, v)))


@settings(max_examples=15)
@given(st.data(), st.sampled_from(sorted(SUITES)), st.sampled_from(sorted(RINGS)))
def test_every_quotient_in_range(data: Any, suite: str, bits: int) -> None:
    f = FRACTIONS[bits]
    pairs = data.draw(st.lists(st.tuples(number(min(bits - 3, 52)), number(min(bits - 5, 52))), min_size=1, max_size=70))
    x, y = np.array([(a, b) for a, b in pairs if b == 0 or abs(a) < abs(b) << min(bits // 2 - 3, bits - 3 - f)] or [(1, 1)]).T
    s = mpc.local(3, suite, ring=bits, fraction_bits=f)
    sx, sy = s.secret(x * 2.0**-f, owner=0), s.secret(y * 2.0**-f, owner=2)
    true = np.divide(x, y, out=np.zeros(len(x)), where=y != 0)
    quotient, itself, inverse = s.reveal(sx / sy, sy / sy, np.reciprocal(sy))
    close(quotient, true, f, 1.3, DOUBLES[bits])
    close(itself, (y != 0) * 1.0, f, 1.3)
    close(inverse, np.divide(2.0**f, y, out=np.zeros(len(y)), where=y != 0), f, 1.4, 2.0 ** -{64: 26, 32: 10, 128: 50}[bits])
    assert (quotient[y == 0] == 0).all() and (inverse[y == 0] == 0).all()


@settings(max_examples=15)
@given(st.data(), st.sampled_from(sorted(SUITES)), st.sampled_from(sorted(RINGS)))
def test_every_root_and_logarithm(data: Any, suite: str, bits: int) -> None:
    f = FRACTIONS[bits]
    x = np.array(data.draw(st.lists(number(min(bits - 5, 52)), min_size=1, max_size=70))) * 2.0**-f
    s = mpc.local(3, suite, ring=bits, fraction_bits=f)
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
    s = mpc.local(2 if suite == "additive" else 3, suite, ring=bits, fraction_bits=f)
    secret = s.secret(x, owner=1)
    small = np.minimum(x, (bits - 6 - f) * np.log(2) // 2.0**-f * 2.0**-f)
    with np.errstate(over="ignore"):
        true = 1 / (1 + np.exp(-x))
    e, sigma, tanh = s.reveal(np.exp(s.secret(small)), mpc.sigmoid(secret), np.tanh(secret))
    close(e, np.exp(small), f, 1.3, 2.0 ** -{64: 25, 32: 10, 128: 44}[bits])
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
@pytest.mark.parametrize("f", [1, 7, 20, 25, 30])
def test_other_fractions(suite: str, parties: int, f: int) -> None:
    """As 2^-f comes near to the precision inside, more of the last place is lost; an odd f shifts the roots."""
    rng = np.random.default_rng(f)
    s = mpc.local(parties, suite, fraction_bits=f)
    x, y = np.rint(rng.uniform(0.6, 8, (2, 50)) * 2.0**f) * 2.0**-f
    a, b = s.secret(x), s.secret(y, owner=1)
    ulps = 1.4 if f <= 16 else 12
    for mine, true in ((a / b, x / y), (1 / b, 1 / y), (np.sqrt(a), np.sqrt(x)), (mpc.rsqrt(a), 1 / np.sqrt(x)), (np.log(a), np.log(x)), (mpc.sigmoid(a), 1 / (1 + np.exp(-x)))):
        close(mine.reveal(), true, f, ulps + 2, 2.0**-25)
    close(np.exp(-b).reveal(), np.exp(-y), f, ulps, 2.0**-20)
    top = min(3, 60 - f - parties)
    close(np.exp2(s.secret(np.full(3, top))).reveal(), 2.0**top, f, ulps, 2.0**-22)


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
        close((s.secret(y) ** a).reveal(), y ** a, 16, 40)
    assert np.abs((s.secret([2.0, 4.0]) ** -2).reveal() - [0.25, 0.0625]).max() <= 2**-15


@pytest.mark.parametrize("suite", sorted(SUITES))
def test_real_operations_are_streamed(suite: str) -> None:
    n = CHUNK + 5
    x = np.rint(np.linspace(0.5, 9, n) * 2**16) / 2**16
    s = mpc.local(3, suite)
    secret = s.secret(x)
    for f, plain in ((np.sqrt, np.sqrt), (lambda v: 3 / v, lambda v: 3 / v), (lambda v: np.exp(-v), lambda v: np.exp(-v))):
        close(f(secret).reveal(), plain(x), 16, 4)


@pytest.mark.parametrize("work", [lambda x: x / x, np.sqrt, np.exp, np.log, mpc.sigmoid], ids=["/", "sqrt", "exp", "log", "sigmoid"])
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
        s.reveal(1 / x, np.sqrt(x), np.log(x), np.exp(x), x ** 0.3)
        return [p.meter.sent for p in s.parties]

    assert sent([0.0, 0.0]) == sent([-5.0, 2.0**40]) == sent([1.0, 2.0])
