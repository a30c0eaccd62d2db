"""Products with public reals, quotients by public numbers and means: right over all of their range, to the
units that ``scaling`` proves.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from conftest import GRID
from hypothesis import given
from hypothesis import strategies as st

import mpc
from mpc.errors import EncodingError
from mpc.ring import RINGS
from protocols.array.secret import Secret, retyped
from protocols.ops import scaling
from protocols.suite import CHUNK

SUITES = [("additive", 2), ("replicated", 3)]


def secret_of(session: Any, units: list[int] | Any, fraction: int) -> Secret:
    """A secret of these ring elements, which doubles need not hold."""
    array = np.array(units, object if session.ring.bits == 128 else np.int64)
    return retyped(session.secret(array, kind=mpc.INT), mpc.Fixed(fraction) if fraction else mpc.INT)


def units_of(x: Secret) -> list[int]:
    return [int(v) for v in np.ravel(retyped(x, mpc.INT).reveal())]


def errors(x: Secret, expected: list[Fraction]) -> np.ndarray:
    """In units of the last place, without any rounding of its own."""
    return np.array([float(abs(Fraction(v) - e)) for v, e in zip(units_of(x), expected, strict=True)])


def drawn(bits: int, fraction: int, p: np.ndarray, rng: Any) -> list[int]:
    """For each p some x, of any size: both x and x·p are in range, at times only just."""
    out = []
    for i, one in enumerate(p):
        most = int(((1 << bits - 3) - 1) / max(Fraction(1), abs(Fraction(float(one)))))
        size = int(rng.integers(0, most.bit_length() + 1)) if i % 2 else most.bit_length()
        value = most if i % 5 == 0 else min(most, int.from_bytes(rng.bytes(16), "little") % (1 << size))
        out.append(value * int(rng.choice([-1, 1])))
    return out


@pytest.mark.parametrize("bits", RINGS)
@pytest.mark.parametrize(("suite", "parties"), GRID)
def test_products_are_right_to_three_units_over_the_whole_range(suite: str, parties: int, bits: int) -> None:
    """Numbers of every size on both sides, whichever bits a session has after the point;
    also as quotients.
    """
    rng = np.random.default_rng(bits)
    most = bits // 2 - 2
    for f in (1, RINGS[bits].fraction, most):
        s = mpc.local(parties, suite, ring=bits, fraction_bits=f)
        p = 2.0 ** rng.uniform(-bits, bits - 2.01 - f, 200) * rng.choice([-1, 1], 200)
        p[:4] = [1 - 2.0**-53, 0.5 + 2.0**-53, -1 + 2.0**-53, 1e-300]
        x = drawn(bits, f, p, rng)
        secret = secret_of(s, x, f)
        assert errors(secret * p, [v * Fraction(float(q)) for v, q in zip(x, p, strict=True)]).max() < 3
        d = np.maximum(np.abs(1 / np.where(p == 0, 1, p)), 2.0 ** -(bits - 3 - f))
        small = [v for v in x if abs(v) < 1 << bits - 3 - f]
        for z, true in (
            (secret / d, [v / Fraction(float(q)) for v, q in zip(x, d, strict=True)]),
            (secret_of(s, small, 0) / 7, [Fraction(v, 7) * 2**f for v in small]),
        ):
            assert errors(z, true).max() < 3


@pytest.mark.parametrize(
    ("bits", "inner"),
    [(bits, inner) for bits in RINGS for inner in (2, 7, 130, 300) if inner <= 7 or bits < 128],
)
@pytest.mark.parametrize(("suite", "parties"), SUITES)
def test_matrix_products_with_reals(suite: str, parties: int, bits: int, inner: int) -> None:
    """Within five units for each 2^(k/4−1) of the inner axis, and a small part of what is summed; from both
    sides, and at the limit.
    """
    rng = np.random.default_rng(inner)
    f = RINGS[bits].fraction
    s = mpc.local(parties, suite, ring=bits)
    for size in (1.0, 2.0 ** (bits - 8 - f - inner.bit_length()), 2.0**-f):
        p = rng.normal(size=(inner, 2)) * size
        total = max(sum(abs(Fraction(float(v))) for v in column) for column in p.T)
        most = np.array(int(((1 << bits - 3) - 1) / max(1, total)), object)
        usual = int(min(most, 8 << f))
        for values in (
            rng.integers(-usual, usual, (2, inner)),
            np.where(p.T > 0, 1, -1) * most,
            rng.choice([-1, 1], (2, inner)) * most,
        ):
            x = values.astype(object)
            true = [
                sum(int(v) * Fraction(float(q)) for v, q in zip(row, column, strict=True))
                for row in x
                for column in p.T
            ]
            allowed = 5 * -(-inner // (1 << bits // 4 - 1)) + float(abs(x).max() * max(1, total)) * 2.0 ** (
                -3 * bits // 4
            )
            secret = secret_of(s, x, f)
            for z in (secret @ p, np.transpose(p.T @ secret.T), np.einsum("ij,jk->ik", secret, p)):
                assert errors(z, true).max() < allowed
            assert (
                errors(secret[0] @ p[:, 1], true[1:2]).max() < allowed
                and errors(p[:, 0] @ secret[1], true[2:3]).max() < allowed
            )


@given(
    st.sampled_from(sorted(RINGS)),
    st.lists(st.floats(-1, 1, exclude_min=True, exclude_max=True), min_size=1, max_size=40),
    st.floats(-1e-17, 1e-17),
)
def test_no_numerator_is_too_large_for_its_truncation(bits: int, p: list[float], rest: float) -> None:
    """|Σ u·m| and |Σ v·w| for the largest u and v that there can be are below 2^(k−2), for any digits."""
    ring, array = RINGS[bits], np.array(p)
    array = array / max(1.0, np.abs(array).sum() * (1 + 1e-12))
    h, terms = scaling._terms(scaling.Reals((array, array * rest)), len(p), ring)
    half = (1 << bits - 2 - h, (1 << h) - 1)
    assert h + 1 < bits
    for place, limbs in terms.items():
        worst = sum(half[i] * sum(abs(int(v)) for v in ring.signed(digits.data)) for i, digits in limbs)
        assert place == 0 or (place < bits - 1 and worst < 1 << bits - 2)
    total = sum(
        Fraction(int(v), 1 << h + place)
        for place, limbs in terms.items()
        for i, digits in limbs
        if i == 0
        for v in ring.signed(digits.data)
    )
    exact = sum(Fraction(a) * (1 + Fraction(rest)) for a in array)
    assert abs(total - exact) <= Fraction(
        len(p), 1 << max(terms) + h + 1 - (0 if len(p) == 1 else bits // 2 - 2)
    ) + Fraction(len(p), 1 << 100)


@given(
    st.lists(
        st.tuples(
            st.floats(-1e200, 1e200),
            st.one_of(st.floats(1e-90, 1e90), st.integers(1, 2**53)),
            st.sampled_from((-1, 1)),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_quotients_of_public_numbers_have_150_bits(pairs: list[tuple[float, float, int]]) -> None:
    n, d = np.array([n for n, _, _ in pairs]), np.array([float(d * sign) for _, d, sign in pairs])
    for a, b, *parts in zip(n, d, *scaling.quotient(n, d).parts, strict=True):
        if abs(a) > 1e-100:
            assert abs(sum(map(Fraction, parts)) / (Fraction(a) / Fraction(b)) - 1) < Fraction(1, 1 << 150)
    assert (scaling.quotient(n, np.full(len(n), np.inf)).high == 0).all()


@pytest.mark.parametrize("bits", RINGS)
@pytest.mark.parametrize(("suite", "parties"), SUITES)
def test_what_needs_no_digits_is_exact(suite: str, parties: int, bits: int) -> None:
    f = RINGS[bits].fraction
    s = mpc.local(parties, suite, ring=bits)
    top = (1 << bits - 4) - 1
    x = secret_of(s, [top, -top, 5, 0], f)
    s.sync(x)
    frames = s.parties[0].meter.frames
    s.sync(*(x * p for p in (3.0, -1.0, 0.0, 8.0)), x[:2] @ np.array([[-2.0], [7.0]]))
    assert s.parties[0].meter.frames == frames
    assert units_of(x * 2.0) == [2 * top, -2 * top, 10, 0] and units_of(x * [1.0, -2.0, 0.0, 3.0]) == [
        top,
        2 * top,
        0,
        0,
    ]
    assert errors(x * 1.5, [Fraction(3 * v, 2) for v in (top, -top, 5, 0)]).max() < 1
    assert errors(x / 1024, [Fraction(v, 1024) for v in (top, -top, 5, 0)]).max() < 1
    assert errors((x[:2] * [1, -1]) @ np.full(2, 0.5), [Fraction(top)]).max() < 1
    integers = secret_of(s, [top >> f, -3], 0)
    assert units_of(integers * 0.5) == [(top >> f) << f - 1, -3 << f - 1] and units_of(integers / 4) == [
        (top >> f) << f - 2,
        -3 << f - 2,
    ]
    truth = s.secret([True, False])
    assert np.abs((truth * 0.3).reveal() - [0.3, 0]).max() <= 2.0**-f / 2


@pytest.mark.parametrize(("suite", "parties"), SUITES)
def test_each_element_has_its_own_scale(suite: str, parties: int) -> None:
    """Large numbers beside small ones, with factors the other way around;
    and where a vector meets a matrix.
    """
    s = mpc.local(parties, suite)
    x, p = np.array([[2.0**40], [2.0**-10]]), np.array([[1.1e-9, 3.3e-12], [3.3e9, -2.2e13]])
    z = (s.secret(x) * p).reveal()
    assert np.abs(z - x * p).max() <= 3 * 2.0**-16 + 2.0**-52 * np.abs(x * p).max()
    row, column = np.array([0.25, 2.0**-10, 4.0]), np.array([[1.1e-9], [3.3e9]])
    assert np.abs((s.secret(row) * column).reveal() - row * column).max() < 3 * 2.0**-16
    assert (
        np.abs((s.secret(row) * np.ones((2, 1, 3)) * 0.7).reveal() - row * np.ones((2, 1, 3)) * 0.7).max()
        < 3 * 2.0**-16
    )


@pytest.mark.parametrize(("suite", "parties"), SUITES)
def test_big_arrays_go_in_pieces(suite: str, parties: int) -> None:
    n = CHUNK + 5
    x = np.arange(n) * 2.0**-3
    s = mpc.local(parties, suite)
    scaled, shared = s.reveal(s.secret(x) * 0.3, s.secret(x) * np.full(n, 0.3))
    assert np.abs(scaled - x * 0.3).max() < 3 * 2.0**-16 and np.abs(shared - x * 0.3).max() < 3 * 2.0**-16


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0)])
def test_of_nothing(shape: tuple[int, ...]) -> None:
    x = mpc.local(2).secret(np.ones(shape))
    assert (x * 0.3).reveal().shape == shape and (x * np.full(shape, 0.3)).reveal().shape == shape
    if len(shape) == 2:
        assert (x @ np.full((shape[1], 2), 0.3)).reveal().shape == (shape[0], 2)


@pytest.mark.parametrize("p", [np.nan, np.inf, 1e15, [1.0, -(2.0**46)]])
def test_a_factor_that_is_no_number_here_is_refused(p: Any) -> None:
    s = mpc.local(2)
    for x in (s.secret([1.5, 2]), s.secret([1, 2])):
        with pytest.raises(EncodingError, match=r"NaN|range"):
            x * p
        with pytest.raises(EncodingError, match=r"NaN|range"):
            np.broadcast_to(p, 2) @ x


# -- what was wrong ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("suite", "parties"), SUITES)
def test_means_of_large_integers(suite: str, parties: int) -> None:
    s = mpc.local(parties, suite)
    for n in (2, 3, 10, 300):
        ids = np.arange(4_100_000_000, 4_100_000_000 + n)
        x = s.secret(ids)
        mean, third, average = s.reveal(x.mean(), x.sum() / 3, np.average(x, weights=np.ones(n)))
        assert (
            abs(mean - ids.mean()) < 3 * 2.0**-16
            and abs(third - ids.sum() / 3) < 2.0**-14
            and abs(average - ids.mean()) < 5 * 2.0**-16
        )
    microseconds = np.array([1_700_000_000_000_000, 1_700_000_000_000_001, 1_600_000_000_000_000])
    nanoseconds = microseconds[:2] * 1000
    coarse = mpc.local(parties, suite, fraction_bits=1)
    for times in (microseconds, nanoseconds):  # as large as reals with one bit can be
        assert abs(coarse.secret(times).mean().reveal() - times.mean()) <= 2.0**-51 * times.max()
    wide = mpc.local(parties, suite, ring=128)
    x = wide.secret(
        np.array([1_700_000_000_000_000_000, 1_700_000_000_000_000_001, 1_700_000_000_000_000_005])
    )
    assert np.abs((x - x.mean()).reveal() - [-2, -1, 3]).max() < 1e-9


@pytest.mark.parametrize(("suite", "parties"), SUITES)
def test_dividing_by_twelve(suite: str, parties: int) -> None:
    salaries = np.array([52000, 61000, 48000, 350000]) * (1 + np.arange(3)[:, None] / 10)
    fine = mpc.local(parties, suite, fraction_bits=30)
    assert abs((fine.secret([52000.0]) / 12).reveal()[0] - 52000 / 12) < 3 * 2.0**-30
    assert abs(fine.secret(salaries).mean().reveal() - salaries.mean()) < 3 * 2.0**-30
    small = mpc.local(parties, suite, ring=32)
    assert abs(small.secret(salaries).mean().reveal() - salaries.mean()) < 3 * 2.0**-8
    s = mpc.local(parties, suite)
    quotient, mean = s.reveal(s.secret([3 * 2**44]) / 3, s.secret([2.0**44, 2.0**44, -(2.0**43)]).mean())
    assert quotient[0] == 2**44 and abs(mean - 2.0**43) < 3 * 2.0**-9


def test_an_average_takes_weights_of_one_axis_or_of_all() -> None:
    s = mpc.local(3)
    x, w = np.array([[1.0, 2, 3], [4, 5, 7]]), np.array([1, 0.5, 3])
    for axis, weights in ((1, w), (-1, list(w)), (0, [1, 2]), (None, x)):
        assert (
            np.abs(
                (np.average(s.secret(x), axis=axis, weights=weights)).reveal()
                - np.average(x, axis=axis, weights=weights)
            ).max()
            < 5 * 2.0**-16
        )
    assert (
        abs(np.average(s.secret(w), weights=[1, 1, 2]).reveal() - np.average(w, weights=[1, 1, 2]))
        < 5 * 2.0**-16
    )
    for axis, weights, error in (
        (None, w, TypeError),
        (0, w, ValueError),
        (1, [1, -1, 0], ZeroDivisionError),
        (1, [1, np.nan, 0], EncodingError),
    ):
        with pytest.raises(error):
            np.average(s.secret(x), axis=axis, weights=weights)
