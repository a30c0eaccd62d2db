"""Shamir's sharing against Lagrange's formula in fractions, wrong shares, and what fewer shares say."""

from __future__ import annotations

from itertools import combinations, islice

import numpy as np
import pytest
from conftest import stream
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from protocols.aggregation import shamir

P = 2**256 + 297


def lagrange(points: dict[int, int], at: int) -> int:
    """The polynomial through these points, at a place: Python's own integers."""
    total = 0
    for x, y in points.items():
        up = down = 1
        for other in points:
            if other != x:
                up, down = up * (at - other) % P, down * (x - other) % P
        total += y * up * pow(down, -1, P)
    return total % P


def shares_of(secret: bytes, threshold: int, xs: list[int], seed: int = 1) -> dict[int, int]:
    made = shamir.split(secret, threshold, xs, stream(seed, "shamir"))
    return {x: int.from_bytes(s, "little") for x, s in zip(xs, made, strict=True)}


def test_the_prime_is_one() -> None:
    import gmpy2

    assert int(shamir.PRIME) == P and gmpy2.is_prime(P, 50) and gmpy2.next_prime(2**256) == P


@settings(max_examples=40)
@given(st.binary(min_size=32, max_size=32), st.integers(1, 12), st.integers(0, 8), st.randoms())
def test_any_threshold_of_shares_gives_the_secret(secret: bytes, threshold: int, more: int, random) -> None:
    xs = sorted(random.sample(range(1, 20_000), threshold + more))
    points = shares_of(secret, threshold, xs)
    assert all(int(shamir.element(y.to_bytes(33, "little"))) == y < P for y in points.values())
    some = random.sample(xs, threshold)
    assert (
        shamir.join({x: shamir.element(points[x].to_bytes(33, "little")) for x in some}, threshold) == secret
    )
    assert lagrange({x: points[x] for x in some}, 0) == int.from_bytes(secret, "little")
    rest = [x for x in xs if x not in some]
    # one polynomial of that degree
    assert all(lagrange({x: points[x] for x in some}, x) == points[x] for x in rest)


def test_fewer_shares_say_nothing() -> None:
    """Whatever the secret, the shares of t − 1 holders have one law: uniform."""
    assert set(shares_of(bytes(32), 2, [1], seed=3).values()) != set(
        shares_of(bytes(32), 2, [1], seed=4).values()
    )
    for secret in (bytes(32), b"\xff" * 32):
        tops = [y >> 248 for seed in range(1500) for y in [shares_of(secret, 3, [1, 2], seed)[2]]]
        assert stats.chisquare(np.bincount(np.minimum(tops, 255), minlength=256)).pvalue > 1e-4
    with pytest.raises(ValueError, match="2 shares do not make"):
        shamir.join(dict.fromkeys([1, 2], shamir.mpz(5)), 3)


@pytest.mark.parametrize(("threshold", "count"), [(3, 3), (3, 7), (5, 11), (1, 4), (20, 40)])
def test_wrong_shares_are_found(threshold: int, count: int) -> None:
    secret = bytes(range(32))
    points = shares_of(secret, threshold, list(range(1, count + 1)))
    most = (count - threshold) // 2
    for wrong in islice(combinations(points, most), 20):
        spoilt = {x: shamir.mpz(y + (x in wrong)) for x, y in points.items()}
        assert shamir.decode(spoilt, threshold) == (secret, sorted(wrong))
    if most and count - most - 1 >= threshold + most:
        spoilt = {x: shamir.mpz((y + x * x + 1 if x <= most + 1 else y) % P) for x, y in points.items()}
        found = shamir.decode(spoilt, threshold)
        assert found is None or found[0] != secret or len(found[1]) <= most + 1


def test_what_is_no_share_is_none() -> None:
    assert shamir.element(b"\0" * 32) is None and shamir.element(b"\xff" * 33) is None
    assert (
        shamir.element(P.to_bytes(33, "little")) is None
        and shamir.element((P - 1).to_bytes(33, "little")) == P - 1
    )
    points = shares_of(bytes(32), 2, [1, 2])
    # joins to another value, maybe above 2^256
    beyond = {1: shamir.mpz((points[1] + P - 1) % P), 2: shamir.mpz(points[2])}
    assert shamir.join(beyond, 2) != bytes(32)
    assert shamir.join({1: shamir.mpz(2**256 + 5)}, 1) is None
