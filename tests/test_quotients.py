"""Quotients and remainders are exact:
next to multiples, at the ends of every ring, with any number of terms.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from conftest import GRID
from hypothesis import given, settings
from hypothesis import strategies as st

import mpc
from mpc.errors import EncodingError, RangeError
from mpc.ring import RINGS
from protocols.ops.quotients import Divisor, _digits, _long_division

BITS = sorted(RINGS)


def integers(bits: int, count: int, rng: Any) -> list[int]:
    """Of every magnitude below 2^bits, and signs."""
    sizes = [int(bits * u) + 1 for u in rng.random(count)]
    return [
        int.from_bytes(rng.bytes(16), "little") % (1 << size) * int(rng.choice([-1, 1])) for size in sizes
    ]


def ends(bits: int) -> list[int]:
    top = 1 << bits - 1
    return [0, 1, -1, 2, -2, top - 1, -top, -top + 1, top // 2, -top // 2, top // 2 - 1]


def signed(x: Any) -> Any:
    return np.asarray(x.reveal()).astype(object)


@pytest.mark.parametrize(("suite", "parties"), GRID)
@pytest.mark.parametrize("bits", BITS)
def test_integers_by_public_integers(suite: str, parties: int, bits: int) -> None:
    rng, top = np.random.default_rng(bits), 1 << bits - 1
    most = min(top, 1 << 123)
    divisors = [
        3,
        -3,
        7,
        -8,
        1000,
        2**29 + 1,
        -(2**28),
        most // 2 - 1,
        -most // 2 - 1,
        most - 1,
        -most,
        1,
        -1,
    ]
    s = mpc.local(parties, suite, ring=bits)
    values = (
        ends(bits)
        + [min(max(q * d + e, -top), top - 1) for d in divisors for q in (1, -2, 1000) for e in (-1, 0)]
        + integers(bits - 1, 40, rng)
    )
    x = np.array(values, object)
    secret = s.secret(x)

    def wrapped(q: Any) -> Any:
        return (q + top) % (2 * top) - top  # of the smallest by -1

    for d in divisors[: len(divisors) if parties < 5 else 4]:
        q, r = divmod(secret, np.array(d, object))
        assert (signed(q) == wrapped(x // d)).all() and (signed(r) == x % d).all(), d
    y = np.array([divisors[i % 11] for i in range(len(x))], object)
    q, r = divmod(secret, y)
    assert (signed(q) == wrapped(x // y)).all() and (signed(r) == x % y).all()
    assert (signed(np.fmod(secret, 10)) == [abs(v) % 10 * (1 if v >= 0 else -1) for v in values]).all()


@pytest.mark.parametrize(("suite", "parties"), [(s, n) for s, n in GRID if n < 5])
@pytest.mark.parametrize("bits", BITS)
def test_integers_by_secret_integers(suite: str, parties: int, bits: int) -> None:
    """Pairs whose quotient is next to a whole number, of every length; and 0."""
    rng = np.random.default_rng(bits + parties)
    top, long = (1 << bits - 2) - 1, (1 << bits - 5) - 1
    y = [
        long,
        -long,
        1,
        -1,
        3,
        0,
        *(v << i if abs(v << i) <= long else v for i in range(bits - 5) for v in (1, -1)),
        *integers(bits - 5, 1500, rng),
    ]
    x = [
        min(max(int(q) * d + int(e), -top), top)
        for q, d, e in zip(integers(bits - 2, len(y), rng), y, rng.integers(-1, 2, len(y)), strict=True)
    ]
    x += [top, -top, 0, 5] * 50 + integers(bits - 2, 800, rng)
    y += [v for v in (long, -1, 7, 0) for _ in range(50)] + [v or 1 for v in integers(bits - 5, 800, rng)]
    s = mpc.local(parties, suite, ring=bits)
    q, r = divmod(s.secret(np.array(x, object)), s.secret(np.array(y, object)))
    assert signed(q).tolist() == [a // b if b else 0 for a, b in zip(x, y, strict=True)]
    assert signed(r).tolist() == [a % b if b else 0 for a, b in zip(x, y, strict=True)]


@pytest.mark.parametrize(
    ("suite", "parties", "bits"),
    [("replicated", 3, 64), ("additive", 2, 32), ("additive", 3, 32), ("additive", 2, 128)],
)
def test_reals(suite: str, parties: int, bits: int) -> None:
    """No digit of a public divisor is dropped: 1000 % 0.1 is what it is with the double next to 0.1."""
    f = RINGS[bits].fraction
    rng, unit = np.random.default_rng(bits), 2.0**-f
    s = mpc.local(parties, suite, ring=bits)
    divisors = (0.1, 1.25, -0.1, -1e3 / 3, 7, 1e-7)
    most = min(20, bits - 6 - 2 * f)
    u = np.concatenate(
        [[0, 1, -1, 1000, -8.75, 0.5], rng.uniform(-1, 1, 60) * 2.0 ** rng.uniform(-f, most, 60)]
    )
    u = np.rint(u / unit) * unit
    x = s.secret(u)
    for y in divisors:
        within = np.abs(u / y) < 2.0 ** (bits - 3 - f)
        exact = np.array([Fraction(a) // Fraction(y) for a in u.tolist()])
        left = np.array(
            [float(Fraction(a) - Fraction(y) * q) for a, q in zip(u.tolist(), exact.tolist(), strict=True)]
        )
        q, r = divmod(x, y)
        assert (q.reveal() == exact.astype(float))[within].all(), y
        assert (np.abs(r.reveal() - left) <= unit)[within].all(), y
        assert (np.abs((x % y).reveal() - left) <= unit)[within].all() and (
            (x // y).reveal() == exact.astype(float)
        )[within].all()
        towards = np.array(
            [float(Fraction(a) - Fraction(y) * int(Fraction(a) / Fraction(y))) for a in u.tolist()]
        )
        assert (np.abs(np.fmod(x, y).reveal() - towards) <= unit)[within].all(), y
    v = np.rint(rng.uniform(0.1, 3, len(u)) * rng.choice([-1, 1], len(u)) / unit) * unit
    q, r = divmod(x, s.secret(v))  # of secret reals all is exact
    assert (q.reveal() == np.floor_divide(u, v)).all() and (r.reveal() == np.mod(u, v)).all()


@settings(max_examples=150)
@given(st.integers(0, 2**128 - 1), st.integers(1, 2**126), st.integers(0, 70), st.sampled_from(BITS))
def test_the_division_of_a_term(value: int, m: int, s: int, bits: int) -> None:
    ring = RINGS[bits]
    value %= 1 << bits
    quotient, rest = _long_division(ring([value]), np.array([m], object), s)
    q, r = divmod(value << s, m)
    word, *more = ring.words(quotient.data)
    assert int(word[0]) + sum(int(w[0]) << 64 for w in more) == q % (1 << bits) and int(rest[0]) == r


@given(st.floats(1e-12, 1e12), st.booleans(), st.integers(0, 40))
def test_a_real_divisor_is_taken_as_it_is(y: float, negative: bool, fraction: int) -> None:
    d = Divisor.of(np.array([-y if negative else y]), fraction)
    assert Fraction(int(d.m[0]), 2**d.s) == Fraction(y) * 2**fraction and d.negative[0] == negative


@pytest.mark.parametrize("bits", BITS)
def test_digits_fit_and_leave_less_than_a_divisor(bits: int) -> None:
    """What the bounds are for: every product that is truncated is in range, and the last rounding is the only
    one that counts.
    """
    digits = _digits(bits)
    assert len(digits) <= 4 and digits[0].unit and digits[-1].left <= 0.25
    for d in digits:
        for scale, cut in zip(d.scales, d.cuts, strict=True):
            assert d.bound + scale - cut <= d.room or (d.unit and scale == d.scales[1])
        assert d.bound - d.unit + d.places + 1 + (bits // 2 - 2) - d.drop <= d.room


def test_a_check_says_what_a_quotient_by_zero_is() -> None:
    s = mpc.local(3, check=True)
    x, y = s.secret([5.0, 1.0]), s.secret([0.0, 0.5])
    for f in (np.floor_divide, np.remainder, np.fmod):
        with pytest.raises(RangeError, match="division by zero"):
            f(x, y).reveal()
    # as NumPy has it for integers
    assert (s.secret([7, -7]) // s.secret([2, 0])).reveal().tolist() == [3, 0]


def test_what_is_too_long_to_divide_by_is_refused() -> None:
    x = mpc.local(2, ring=128).secret([1, 2])
    with pytest.raises(NotImplementedError, match=r"np\.floor_divide .* 2\^125"):
        x // np.array((1 << 126) + 1, object)
    with pytest.raises(NotImplementedError, match="far below"):
        x % 1e-40


@pytest.mark.parametrize("bits", BITS)
def test_a_remainder_that_may_not_fit_is_refused_and_one_towards_zero_always_fits(bits: int) -> None:
    """−5 % 2^70 is 2^70 − 5, which 64 bits do not hold; np.fmod gives −5, for −2^(k−1), too, and for numbers
    of Python's.
    """
    top, s = 1 << bits - 1, mpc.local(3, ring=bits)
    values = [-5, 5, 0, top - 1, -top]
    x, r = s.secret(np.array(values, object)), s.secret([-5.0, 5.0])
    for d in (2 * top, -2 * top, top + 1):
        for f in (np.remainder, divmod):
            with pytest.raises((EncodingError, NotImplementedError), match="remainder"):
                f(x, d)
    for y in (2.0 * top, -1.5 * top * 2.0**-s.fixed.fraction):
        with pytest.raises(EncodingError, match=r"no place in .* np\.fmod"):
            r % y
    for d in (10, *[top, -top, 2 * top, -2 * top, 3 * top - 1] * (bits < 128)):
        towards = [abs(v) % abs(d) * (1 if v >= 0 else -1) for v in values]
        assert (
            signed(np.fmod(x, d)).tolist() == signed(np.fmod(x, np.array(d, object))).tolist() == towards
        ), d
    assert np.fmod(r, 2.0**40).reveal().tolist() == [-5.0, 5.0]
    if bits < 128:
        assert signed(x % -top).tolist() == [v % -top for v in values] and (
            x[:3] // (2 * top)
        ).reveal().tolist() == [-1, 0, 0]


def test_rows_in_pieces() -> None:
    n = (1 << 17) + 100
    x = np.arange(n) * 12345 - 10**9
    s = mpc.local(3)
    q, r = divmod(s.secret(x), 1000)
    assert (q.reveal() == x // 1000).all() and (r.reveal() == x % 1000).all()
