"""Inverses, systems and norms are right to what their module says, over conditions and sizes, in both suites."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mpc

SUITES = [("additive", 2), ("replicated", 3)]


def definite(n: int, condition: float, scale: float, fraction: int, seed: int) -> np.ndarray:
    """A symmetric matrix with eigenvalues from scale/condition to scale, in multiples of the last place."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))
    a = q * np.geomspace(scale, scale / condition, n) @ q.T if n > 1 else np.array([[scale]])
    return np.rint((a + a.T) * 2.0**(fraction - 1)) / 2.0**fraction


@pytest.mark.parametrize("fraction", [16, 24])
@pytest.mark.parametrize(("suite", "parties"), SUITES)
def test_inverses_and_systems_over_conditions(suite: str, parties: int, fraction: int) -> None:
    """To 2 units in the last place times max(1, 1/λ_min), and 3 for solutions that may be larger than 1."""
    rng = np.random.default_rng(fraction)
    for i, (n, condition, scale) in enumerate([(1, 1, 0.3), (2, 1, 4.0), (3, 30, 1.0), (5, 300, 1.0), (8, 100, 8.0), (12, 10, 0.5), (4, 500, 2.0)]):
        a, b = definite(n, condition, scale, fraction, i), np.rint(rng.normal(size=(n, 2)) * 2**fraction) / 2.0**fraction
        s = mpc.local(parties, suite, fraction_bits=fraction)
        x = s.secret(a)
        inverse, one, two = s.reveal(np.linalg.inv(x), np.linalg.solve(x, b[:, 0]), np.linalg.solve(x, s.secret(b)))
        unit = max(1.0, 1 / np.linalg.eigvalsh(a)[0]) * 2.0**-fraction
        assert np.abs(inverse - np.linalg.inv(a)).max() <= 2 * unit, (n, condition)
        expected = np.linalg.solve(a, b)
        assert max(np.abs(one - expected[:, 0]).max(), np.abs(two - expected).max()) <= 3 * unit, (n, condition)


def test_rounds_do_not_depend_on_the_size() -> None:
    rounds = []
    for n in (2, 9):
        s = mpc.local(2)
        s.sync(x := s.secret(definite(n, 10, 1.0, 16, n)))
        before = s.parties[0].meter.rounds
        s.sync(np.linalg.inv(x))
        rounds.append(s.parties[0].meter.rounds - before)
    assert rounds[0] == rounds[1] <= 110


def test_integers_and_the_covariance_of_real_columns() -> None:
    s = mpc.local(3)
    a = np.array([[4, 1], [1, 3]])
    assert np.abs(np.linalg.inv(s.secret(a)).reveal() - np.linalg.inv(a)).max() <= 2.0**-14
    rows = np.random.default_rng(0).normal(size=(50, 4)) @ np.triu(np.ones((4, 4)))
    x = s.secret(rows)
    y = rows @ [1, -2, 0.5, 3]
    assert np.abs(np.linalg.solve(x.T @ x / 50, x.T @ s.secret(y) / 50).reveal() - [1, -2, 0.5, 3]).max() < 2e-3


@pytest.mark.parametrize(("f", "error"), [
    (np.linalg.inv, NotImplementedError), (lambda x: np.linalg.solve(np.eye(2), x[0, :2]), NotImplementedError), (lambda x: np.linalg.norm(x, "nuc"), NotImplementedError),
    (lambda x: np.linalg.norm(x, 2), NotImplementedError), (lambda x: np.linalg.norm(x[0], "fro"), ValueError), (lambda x: np.linalg.det(x[:, :2]), NotImplementedError)])
def test_what_is_refused(f: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"norm|linalg|det"):
        f(mpc.local(2).secret(np.ones((2, 3))))
