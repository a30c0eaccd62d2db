"""Inverses, systems and decompositions are right to what their modules say, over conditions and sizes, in
both suites.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_suites import RINGS

import mpc
from protocols.conformance.operations import DECOMPOSED, Operation
from protocols.conformance.values import check, evaluate

SUITES = [("additive", 2), ("replicated", 3)]


def definite(n: int, condition: float, scale: float, fraction: int, seed: int) -> np.ndarray:
    """A symmetric matrix with eigenvalues from scale/condition to scale, in multiples of the last place."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))
    a = q * np.geomspace(scale, scale / condition, n) @ q.T if n > 1 else np.array([[scale]])
    return np.rint((a + a.T) * 2.0 ** (fraction - 1)) / 2.0**fraction


def general(m: int, n: int, condition: float, scale: float, fraction: int, seed: int) -> np.ndarray:
    """A matrix with singular values from scale/condition to scale, in multiples of the last place."""
    rng = np.random.default_rng(seed)
    p, q = np.linalg.qr(rng.normal(size=(m, m)))[0], np.linalg.qr(rng.normal(size=(n, n)))[0]
    k = min(m, n)
    a = p[:, :k] * np.geomspace(scale, scale / condition, k) @ q[:, :k].T
    return np.rint(a * 2.0**fraction) / 2.0**fraction


MATRICES = [
    (1, 1, 0.3),
    (2, 1, 4.0),
    (3, 30, 1.0),
    (5, 300, 1.0),
    (8, 100, 8.0),
    (12, 10, 0.5),
    (4, 500, 2.0),
    (20, 300, 1.0),
    (6, 20, 1e3),
    (6, 20, 0.02),
]


@pytest.mark.parametrize("fraction", [16, 24])
@pytest.mark.parametrize(("suite", "parties"), SUITES)
def test_inverses_and_systems_over_conditions(suite: str, parties: int, fraction: int) -> None:
    """Of any matrix, definite or not: to 2 units in the last place and a part of 1/σ_min, solutions to 3."""
    rng = np.random.default_rng(fraction)
    for i, (n, condition, scale) in enumerate(MATRICES):
        if scale > 100 and fraction == 24:  # squares of the elements would be out of range
            continue
        a = (
            definite(n, condition, scale, fraction, i)
            if i % 2
            else general(n, n, condition, scale, fraction, i)
        )
        b = np.rint(rng.normal(size=(n, 2)) * scale * 2**fraction) / 2.0**fraction
        s = mpc.local(parties, suite, fraction_bits=fraction)
        x = s.secret(a)
        inverse, one, two = s.reveal(
            np.linalg.inv(x), np.linalg.solve(x, b[:, 0]), np.linalg.solve(x, s.secret(b))
        )
        unit, smallest = 2.0**-fraction, np.linalg.svd(a)[1][-1]
        assert np.abs(inverse - np.linalg.inv(a)).max() <= 2 * unit + 2.0**-25 / smallest, (n, condition)
        expected = np.linalg.solve(a, b)
        assert max(np.abs(one - expected[:, 0]).max(), np.abs(two - expected).max()) <= 3 * unit, (
            n,
            condition,
        )


@pytest.mark.parametrize(
    ("suite", "parties", "bits", "fixed", "table"),
    [
        ("replicated", 3, 64, True, DECOMPOSED),
        ("additive", 2, 64, False, DECOMPOSED),
        ("additive", 2, 32, True, DECOMPOSED[::2]),
        ("replicated", 3, 128, True, DECOMPOSED[1::2]),
    ],
    ids=["64", "64, integers", "32", "128"],
)
def test_decompositions_of_the_conformance_suite(
    suite: str, parties: int, bits: int, fixed: bool, table: list[Operation]
) -> None:
    fraction = RINGS[bits] if fixed else 0
    s = mpc.local(parties, suite, ring=bits, fraction_bits=RINGS[bits])
    check(evaluate(s, fraction, table), fraction, 2.0 ** -RINGS[bits], table)


@pytest.mark.parametrize(
    ("suite", "parties", "bits"),
    [("replicated", 3, 64), ("additive", 2, 64), ("additive", 3, 32), ("additive", 2, 128)],
)
def test_determinants_and_solutions_may_be_as_large_as_reals(suite: str, parties: int, bits: int) -> None:
    """Far beyond what a product of two reals may be, and below the last place, where they are 0 or it."""
    s = mpc.local(parties, suite, ring=bits)
    # of a norm, and a bit to spare
    f, most = s.fixed.fraction, 2.0 ** (bits // 2 - 2 - s.fixed.fraction)
    unit, limit, part = 2.0**-f, 2.0 ** (bits - 2 - f), 8 * 2.0 ** -(bits / 2 - 7)
    rows = np.array(
        [[a * most, -b * most] for a, b in ((0.5, 0.6), (1e-3, 0.3), (0.2, 1e-2), (0.4, 0.0))]
        + [[0.03, 0.7], [1.0, -1.0]]
    )
    rows = (
        np.rint(
            np.hstack(
                [rows, np.minimum(limit / 2 / np.abs(rows).prod(axis=1, keepdims=True).clip(unit), most / 2)]
            )
            / unit
        )
        * unit
    )
    determinants = np.linalg.det(s.secret(np.stack([np.diag(row) for row in rows]))).reveal()
    true, sizes = rows.prod(axis=1), np.abs(rows)
    condition = sizes.max(axis=1) / sizes.min(axis=1).clip(unit)
    assert (
        np.abs(true).max() > 2.0**10 * 2.0 ** (bits - 3 - 2 * f) * (bits > 32) and np.abs(true).max() < limit
    )
    assert (np.abs(determinants - true) <= 1.5 * unit + part * condition * np.abs(true)).all()
    tiny = np.rint(np.stack([np.eye(3), np.diag([0.5, 0.25, -0.5])]) * 2.0 ** -(f // 2) / unit) * unit
    assert np.abs(np.linalg.det(s.secret(tiny)).reveal() - np.linalg.det(tiny)).max() <= 1.5 * unit
    small, tall = 2.0 ** -(f // 2), np.array([[1.0, 0.0], [0.0, 0.25], [0.0, 0.0]])
    for matrix, right in (
        (small * np.eye(2), [most / 2, -most / 4]),
        (most * np.eye(2) / 4, [unit, 1.0]),
        (small * tall, [most / 2, 1.0, 3.0]),
    ):
        a, b = np.rint(matrix / unit) * unit, np.rint(np.array(right) / unit) * unit
        x = np.linalg.lstsq(s.secret(a), s.secret(b))[0].reveal()
        true = np.linalg.lstsq(a, b)[0]
        coarse = 2.0 ** -(5 * bits // 16) * np.linalg.norm(b) / np.linalg.norm(a)
        assert np.abs(x - true).max() <= 1.5 * unit + 4 * part * np.abs(true).max() + coarse, (a, b)
    inverse = np.linalg.pinv(s.secret(unit * 8 * np.eye(2))).reveal()
    assert np.abs(inverse - np.eye(2) / (8 * unit)).max() <= (1 / (8 * unit)) * 2.0 ** -(5 * bits // 16) * 1.5


@pytest.mark.parametrize("bits", [32, 64, 128])
def test_a_singular_matrix_has_a_large_condition(bits: int) -> None:
    s = mpc.local(3, ring=bits)
    x = s.secret(np.array([[[1.0, 1.0], [1.0, 1.0]], [[2.0, 0.0], [0.0, 0.0]], [[3.0, 0.0], [0.0, 1.5]]]))
    large, larger, two = np.linalg.cond(x).reveal()
    assert min(large, larger) > 2.0 ** (bits // 2 - 8) and abs(
        two - 2
    ) < 2.0**-s.fixed.fraction * 4 + 2.0 ** -(bits // 2 - 8)
    assert np.linalg.cond(x, -2).reveal()[1] == 0


SHAPES = [(3, 3, 5.0, 1.0), (5, 5, 300.0, 4.0), (7, 3, 30.0, 0.1), (4, 4, 1000.0, 1.0), (3, 5, 10.0, 30.0)]


@pytest.mark.parametrize(
    ("suite", "parties", "shapes"), [("additive", 2, SHAPES[:1]), ("replicated", 3, SHAPES[1:])]
)
def test_decompositions_over_conditions(suite: str, parties: int, shapes: Any) -> None:
    """What they must be: orthonormal, triangular, in order, and a when multiplied; values are NumPy's."""
    unit = 2.0**-16
    for i, (m, n, condition, scale) in enumerate(shapes):
        a = general(m, n, condition, scale, 16, i)
        s = mpc.local(parties, suite)
        x = s.secret(a)
        (q, r), (u, d, vh) = (
            s.reveal(*parts) for parts in (np.linalg.qr(x), np.linalg.svd(x, full_matrices=False))
        )
        k, size = min(m, n), np.linalg.norm(a)
        exact = np.linalg.qr(a)
        assert (
            np.abs(q.T @ q - np.eye(k)).max() < 5 * unit
            and np.abs(u.T @ u - np.eye(k)).max() < 5 * unit
            and np.abs(vh @ vh.T - np.eye(k)).max() < 5 * unit
        )
        assert (
            np.abs(q @ r - a).max() < 4 * unit * (1 + size)
            and np.abs(r - exact[1]).max() < 2 * unit * (1 + size / 50)
            and (np.tril(r, -1) == 0).all()
        )
        assert np.abs(u * d @ vh - a).max() < 4 * unit * (1 + size)
        assert np.abs(d - np.linalg.svd(a)[1]).max() < 2 * unit * (1 + size / 50)
        if m != n:
            continue
        sign, logarithm = s.reveal(*np.linalg.slogdet(x))
        true = np.linalg.slogdet(a)
        assert sign == true.sign and abs(logarithm - true.logabsdet) < 4 * unit + condition * 2.0**-24
        determinant = np.linalg.det(a)
        assert (
            abs(np.linalg.det(x).reveal() - determinant) < 3 * unit + abs(determinant) * condition * 2.0**-24
        )
        y = np.rint((a + a.T) * 2.0**15) * unit
        values, v = s.reveal(*np.linalg.eigh(s.secret(y)))
        assert (
            np.abs(values - np.linalg.eigvalsh(y)).max() < 2 * unit * (1 + size / 50)
            and np.abs(v.T @ v - np.eye(n)).max() < 5 * unit
        )
        assert np.abs(v * values @ v.T - y).max() < 6 * unit * (1 + size)


@pytest.mark.parametrize(("suite", "parties"), SUITES)
def test_least_squares_and_triangles(suite: str, parties: int) -> None:
    """Solutions to a part κ·2^−25 of them, residuals, pseudo-inverses; L Lᵀ is the matrix."""
    unit = 2.0**-16
    rng = np.random.default_rng(1)
    s = mpc.local(parties, suite)
    for i, (m, n, condition, scale) in enumerate(
        [(30, 4, 10.0, 20.0), (9, 5, 200.0, 1.0), (3, 6, 20.0, 1.0), (4, 4, 30.0, 0.2)]
    ):
        a, b = general(m, n, condition, scale, 16, i), np.rint(rng.normal(size=m) * scale * 2**16) * unit
        x, residuals = s.reveal(*np.linalg.lstsq(s.secret(a), s.secret(b), rcond=None)[:2])
        expected, squares, *_ = np.linalg.lstsq(a, b, rcond=None)
        part = condition * 2.0**-25
        assert (
            x.shape == expected.shape
            and np.abs(x - expected).max() < 3 * unit + 8 * part * np.linalg.norm(b) * condition / scale
        )
        assert residuals.shape == squares.shape and np.abs(residuals - squares).max(initial=0) < 4 * unit * (
            1 + np.linalg.norm(b)
        )
        inverse = np.linalg.pinv(a)
        assert (
            np.abs(np.linalg.pinv(s.secret(a)).reveal() - inverse).max()
            < 3 * unit + 8 * part * condition / scale
        )
    for i, (n, condition, scale) in enumerate(MATRICES[:7]):
        a = definite(n, condition, scale, 16, i)
        low = np.linalg.cholesky(s.secret(a)).reveal()
        assert np.abs(low @ low.T - a).max() < 4 * unit * (1 + scale) and (np.triu(low, 1) == 0).all()
        assert np.abs(low - np.linalg.cholesky(a)).max() < 2 * unit + 2.0**-24 * condition


@pytest.mark.parametrize(("suite", "parties"), SUITES)
def test_an_indefinite_matrix_is_a_matrix(suite: str, parties: int) -> None:
    for matrix in ([[1.0, 2.0], [2.0, 1.0]], [[1, 2], [2, 1]]):
        x = np.linalg.solve(mpc.local(parties, suite).secret(matrix), [1.0, 3.0]).reveal()
        assert np.abs(x - [5 / 3, -1 / 3]).max() < 3 * 2.0**-16


NONE = [(0, 0), (0, 3), (3, 0), (2, 0, 0), (0, 2, 2), (2, 0, 3)]


def agree(f: Any, name: str, *arrays: np.ndarray, **options: Any) -> None:
    """NumPy's results, or where NumPy refuses a sentence that names the function."""
    s = mpc.local(2, **options)
    try:
        expected = f(*arrays)
    except ValueError:
        with pytest.raises(ValueError, match=rf"np\.linalg\.{name}"):
            f(*map(s.secret, arrays))
        return
    found = f(*map(s.secret, arrays))
    for mine, true in zip(*((y if isinstance(y, tuple) else (y,)) for y in (found, expected)), strict=True):
        revealed = np.asarray(mine.reveal())
        assert np.array_equal(revealed, true) and revealed.dtype.kind == np.asarray(true).dtype.kind, name


@pytest.mark.parametrize("options", [{}, {"check": True}, {"ring": 128}], ids=str)
def test_whatever_has_no_elements(options: Any) -> None:
    for name in (
        "pinv",
        "inv",
        "det",
        "slogdet",
        "eigh",
        "eigvalsh",
        "svd",
        "svdvals",
        "qr",
        "cholesky",
        "matrix_rank",
        "cond",
        "norm",
        "matrix_norm",
    ):
        for shape in NONE:
            agree(getattr(np.linalg, name), name, np.zeros(shape), **options)
    for order in (1, 2, -2, "nuc", np.inf):
        agree(lambda x, order=order: np.linalg.norm(x, order), "norm", np.zeros((0, 0)), **options)
    for a, b in (((2, 0, 0), (2, 0, 1)), ((0, 0), (0,)), ((0, 2, 2), (2,)), ((0, 0), (1,))):
        agree(np.linalg.solve, "solve", np.zeros(a), np.ones(b), **options)
    agree(np.linalg.solve, "solve", np.eye(3), np.ones((3, 0)), **options)
    for a, b in (
        ((0, 0), (0,)),
        ((0, 3), (0, 2)),
        ((3, 0), (3,)),
        ((3, 0), (3, 2)),
        ((2, 3), (2, 0)),
        ((3, 2), (3, 0)),
    ):
        agree(lambda a, b: np.linalg.lstsq(a, b)[:2], "lstsq", np.eye(*a), np.ones(b), **options)
    for a, b in (((0, 3, 3), (0, 3, 3)), ((2, 3, 0), (0, 4)), ((2, 3, 0), (2, 0, 4)), ((2, 0, 3), (3, 4))):
        agree(np.matmul, "matmul", np.zeros(a), np.zeros(b), **options)
    s = mpc.local(2, **options)
    for mine in (
        np.polyval(s.secret(np.zeros(0)), [1.0, 2.0]),
        np.polyval(s.secret(np.zeros(0)), s.secret([1.0, 2.0])),
    ):
        assert mine.reveal().tolist() == [0.0, 0.0]


def test_stacks_and_what_is_singular() -> None:
    s = mpc.local(2)
    a = np.stack([general(3, 3, 5, 1, 16, i) for i in range(4)]).reshape((2, 2, 3, 3))
    x = s.secret(a)
    assert np.abs(np.linalg.inv(x).reveal() - np.linalg.inv(a)).max() < 2.0**-14
    assert np.abs(np.linalg.solve(x, a[0]).reveal() - np.linalg.solve(a, a[0])).max() < 2.0**-14
    assert np.abs(np.linalg.det(x).reveal() - np.linalg.det(a)).max() < 2.0**-14
    assert np.abs(np.linalg.eigvalsh(x).reveal() - np.linalg.eigvalsh(a)).max() < 2.0**-14
    assert np.abs(np.linalg.qr(x)[1].reveal() - np.linalg.qr(a)[1]).max() < 2.0**-14
    b = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]])
    y = s.secret(b)
    assert (
        abs(np.linalg.det(y).reveal()) < 2.0**-14
        and np.linalg.matrix_rank(y).reveal() == 2
        and np.linalg.matrix_rank(x).reveal().tolist() == [[3, 3], [3, 3]]
    )
    assert (
        np.linalg.matrix_rank(y, tol=3.0).reveal() == 1
        and np.linalg.matrix_rank(s.secret([0, 0])).reveal() == 0
    )
    u, d, vh = s.reveal(*np.linalg.svd(y))
    assert np.abs(u * d @ vh - b).max() < 2.0**-12 and np.abs(u.T @ u - np.eye(3)).max() < 2.0**-13
    q, r = s.reveal(*np.linalg.qr(s.secret(np.zeros((3, 2)))))
    assert (q == np.eye(3)[:, :2]).all() and (r == 0).all()


def test_rounds_do_not_depend_on_the_size() -> None:
    """Nor on how many matrices there are in a stack, and QR's grow with the columns alone."""

    def rounds(f: Any, a: np.ndarray) -> int:
        s = mpc.local(2)
        s.sync(x := s.secret(a))
        before = s.parties[0].meter.rounds
        made = f(x)
        s.sync(*(made if isinstance(made, tuple) else (made,)))
        return s.parties[0].meter.rounds - before

    assert (
        rounds(np.linalg.inv, definite(2, 10, 1.0, 16, 2))
        == rounds(np.linalg.inv, definite(9, 10, 1.0, 16, 9))
        <= 150
    )
    for f, most in ((np.linalg.qr, 190), (np.linalg.det, 320), (np.linalg.cholesky, 150)):
        one = definite(3, 10, 1.0, 16, 0)
        assert rounds(f, one) == rounds(f, np.stack([one] * 5)) <= most
    assert rounds(np.linalg.qr, general(9, 3, 2, 1, 16, 0)) == rounds(
        np.linalg.qr, general(4, 3, 2, 1, 16, 0)
    )
    assert rounds(np.linalg.eigh, np.stack([definite(2, 3, 1.0, 16, i) for i in range(3)])) <= 200


def test_integers_and_the_covariance_of_real_columns() -> None:
    s = mpc.local(3)
    a = np.array([[4, 1], [1, 3]])
    assert np.abs(np.linalg.inv(s.secret(a)).reveal() - np.linalg.inv(a)).max() <= 2.0**-14
    rows = np.random.default_rng(0).normal(size=(50, 4)) @ np.triu(np.ones((4, 4)))
    x = s.secret(rows)
    y = rows @ [1, -2, 0.5, 3]
    assert (
        np.abs(np.linalg.solve(x.T @ x / 50, x.T @ s.secret(y) / 50).reveal() - [1, -2, 0.5, 3]).max() < 2e-3
    )


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (0, 3, 3), (2, 0, 0)])
@pytest.mark.parametrize(("suite", "parties"), SUITES)
def test_matrices_of_no_elements(suite: str, parties: int, shape: tuple[int, ...]) -> None:
    """Shapes and types are NumPy's, and what it has as numbers: determinants are 1, orthogonal matrices those
    of unit vectors.
    """
    x, secret = np.zeros(shape), mpc.local(parties, suite).secret(np.zeros(shape))
    functions: list[Any] = [
        np.linalg.qr,
        np.linalg.svd,
        np.linalg.svdvals,
        np.linalg.pinv,
        np.linalg.matrix_rank,
    ]
    if shape[-1] == shape[-2]:
        functions += [
            np.linalg.inv,
            np.linalg.det,
            np.linalg.slogdet,
            np.linalg.cholesky,
            np.linalg.eigh,
            np.linalg.eigvalsh,
            lambda a: np.linalg.solve(a, np.ones((*shape[:-1], 2))),
        ]
    if len(shape) == 2:
        functions.append(lambda a: np.linalg.lstsq(a, np.ones((shape[0], 2)))[:2])
        functions.append(lambda a: np.linalg.lstsq(a, np.ones(shape[0]))[:2])
    for f in functions:
        mine, true = f(secret), f(x)
        assert type(mine) is type(true) or not isinstance(true, tuple)
        for m, t in zip(mine, true, strict=True) if isinstance(true, tuple) else [(mine, true)]:
            np.testing.assert_array_equal(m.reveal(), t, strict=isinstance(t, np.ndarray))
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.cond(mpc.local(parties, suite).secret(np.zeros((2, 0, 0))))


@pytest.mark.parametrize(
    ("f", "error", "said"),
    [
        (np.linalg.inv, np.linalg.LinAlgError, "square"),
        (lambda x: np.linalg.solve(x[:, :2], np.ones(3)), ValueError, "fit"),
        (lambda x: np.linalg.norm(x[0], "nuc"), ValueError, "nuc"),
        (lambda x: np.linalg.norm(x, 3), ValueError, "order 3"),
        (lambda x: np.linalg.norm(x[0], "fro"), ValueError, "fro"),
        (lambda x: np.linalg.det(x[0]), np.linalg.LinAlgError, "matrices"),
        (lambda x: np.linalg.norm(x[None], 2), ValueError, "axis="),
        (lambda x: np.linalg.qr(x, "raw"), NotImplementedError, "raw"),
        (lambda x: np.linalg.pinv(x, 0.1), NotImplementedError, "rcond"),
        (lambda x: np.linalg.lstsq(x, np.ones(2), rcond=0.1), NotImplementedError, "rcond"),
        (lambda x: np.linalg.svd(x, hermitian=True), NotImplementedError, "eigh"),
        (lambda x: np.linalg.eigh(x[:, :2], "X"), ValueError, "triangle"),
        (lambda x: np.linalg.matrix_rank(x, hermitian=True), NotImplementedError, "hermitian"),
        (lambda x: np.linalg.eigvals(x[:, :2]), TypeError, "eigvals"),
        (lambda x: np.linalg.matrix_power(x, 2), np.linalg.LinAlgError, "square"),
        (lambda x: np.linalg.matrix_rank(x, tol=x[0, 0]), NotImplementedError, "public"),
        (lambda x: np.linalg.multi_dot([x]), ValueError, "two"),
        (lambda x: np.cross(x[:, :2], x[:, :2]), ValueError, "three"),
        (lambda x: np.interp(0.5, x[0], [1, 2, 3]), NotImplementedError, "public xp"),
        (lambda x: np.gradient(x[0], x[0]), NotImplementedError, "distances"),
        (lambda x: np.cov(x, ddof=9), ZeroDivisionError, "ddof"),
        (lambda x: np.cov(x, aweights=x[0]), NotImplementedError, "aweights"),
        (lambda x: np.convolve(x[0], x[0], "all"), ValueError, "modes"),
        (lambda x: np.histogram2d(x[0], x[0]), TypeError, "edges"),
        (lambda x: np.tensordot(x, x, 1), ValueError, "fit"),
        (np.cumulative_sum, ValueError, "axis="),
        (lambda x: np.gradient(x[:1]), ValueError, "elements"),
        (lambda x: np.corrcoef(x, dtype=float), NotImplementedError, "dtype"),
        (lambda x: np.interp(x, [2, 1], [1, 2]), ValueError, "rise"),
    ],
)
def test_what_is_refused(f: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        f(mpc.local(2).secret(np.ones((2, 3))))
