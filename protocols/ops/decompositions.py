"""QR, Cholesky, eigenvalues and singular values of small matrices, on fixed point, and what follows from
them.

A matrix is taken in units of its own size (``matrices``), with h = k/2 − 4 fractional bits.  Rotations and
reflections leave it there, so that no digit is lost by growth, and no number has to be compared to find a
pivot.

*QR*, by Householder's reflections.  For a column x with r = 1/|x| and u = r·x + s·e_1, s = −1 where x_1 < 0,
else 1,

    H = I − 2 v vᵀ,        v = u/|u|,        H x = −s |x| e_1.

1 ≤ |u|² ≤ 4 whatever x is, 0 included, so that the second root needs no normalisation, and v is a unit vector
to the last digits, however few x has.  A column that is 0 below its first element stays as it is, as with
LAPACK, whose signs these are.

*Eigenvalues*, by Jacobi's rotations.  For d = a_pp − a_qq and o = 2 a_pq, the plane of p and q is turned by
half the angle of (|d|, ±o): (c, s) is the unit vector of (1 + |d|/r, ±o/r), r = √(d² + o²), by the same
means.  A round of a tournament turns n/2 planes at once; the number of sweeps over all planes is public: 5 +
log2 n over 64 bits, where quadratic convergence has long set in.

*Singular values* are those of A V, V of the eigenvectors of AᵀA: a QR of it, whose R is diagonal but for
rounding, gives U and the values with all their digits.

Rounds, with d of an inverse root (36 with ``additive``, 39 with ``replicated``), for n columns, any number of
rows, and any stack; and what a party sends for one matrix (``additive``, ``replicated``):

    qr                   (d + 25) n + 27; d + 25 less if square           5 × 5    59 and 50 kB
    lstsq, pinv          (d + 29) n + 40                                           74 and 63 kB
    det, slogdet         those of qr, 27 ⌈log2 n⌉, and 16 or a log                 91 and 79 kB
    cholesky             (d + 4) n + 27                                            43 and 40 kB
    eigh, eigvalsh       (d + 26) N (5 + ⌈log2 n⌉) + 27, and an order             565 and 450 kB
    svd, svdvals         both eigh and qr                                         625 and 499 kB

N = n − 1, n where that is odd, and of two columns two rotations in all.  Over 128 bits there are two more
sweeps.

Threat   the suite's: nothing is opened.  The order of eigenvalues is taken by a sort, and secret.
Range    |A|_F < 2^(k/2 − 1 − f), and |b| so.  Of ``lstsq`` and ``pinv``, σ_max/σ_min < 2^(3k/16); their
         results, and of ``det``, are right up to where reals are, 2^(k−2−f).
Accuracy with u = 2^−(k/2 − 7) of the matrix's size and κ = σ_max/σ_min: R, L, eigenvalues and singular values
         to one unit in the last place and u, each by itself, Q, U and V to 1 unit where they are determined;
         the logarithm of the determinant to 1 unit and n·κ·u; solutions and pseudo-inverses to 1 unit, a part
         κ·u of the largest, and a part 2^−(5k/16) of |b|/|A|.  Singular values below 2^−(k/4 − 4) of the
         largest, which squares do not tell apart, are right to some units only: 4 for κ = 10^5.
Singular of a matrix that is not of full rank, or nearly so, ``lstsq`` and ``pinv`` give some numbers
         (``matrix_rank`` tells), so does ``slogdet`` for the logarithm of 0, and ``cholesky`` where a matrix
         is not positive definite (``check`` tells).
Source   Householder, J. ACM 5, 1958; Jacobi, Crelle 30, 1846; rounds of a tournament: Brent, Luk, SIAM J.
         Sci. Stat.  Comput. 6, 1985.  Golub, Van Loan, Matrix Computations, 5.2 and 8.5.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from mpc.encoding import INT, Fixed
from mpc.rounds import gather
from protocols.array.secret import Secret, call, find_session, retyped
from protocols.bilinear import MATMUL, MULTIPLY
from protocols.ops import comparison, exponential, linear, selection, sorting
from protocols.ops.division import precision
from protocols.ops.matrices import digits, matrices, of_elements, powers, raised, scaled, transpose
from protocols.ops.products import matmul, multiply, read, rounded, shifted, unrounded
from protocols.ops.roots import inverse_norm, inverse_root
from protocols.ops.scaling import doubles, times
from protocols.suite import Share, Suite, elementwise


@cache
def _named(function: Callable[..., Any]) -> Any:
    """The named tuple that a function of NumPy's returns."""
    return type(function(np.eye(1)))


# -- unit vectors ------------------------------------------------------------------------------------


def _sign(x: Secret) -> Secret:
    """−1 where x < 0, else 1."""
    return linear.subtract(1, multiply(comparison.less(x, 0), 2))


def _squares(x: Secret) -> Secret:
    """Σx² along the last axis, which stays, with all digits."""
    return linear.sum_(unrounded(MULTIPLY, x, x), axis=-1, keepdims=True)


def _unit(u: Secret) -> Secret:
    """u/|u| for vectors along the last axis with 1 ≤ |u|² ≤ 4."""
    total, f = _squares(u), 2 * u.kind.fraction
    p = precision(u.session.ring.bits)

    async def protocol(suite: Suite, x: Share) -> Share:
        fine, rough = await gather(suite.truncate(x, f + 2 - p), suite.truncate(x, f + 2 - (p // 2 - 1)))
        return await inverse_root(suite, fine, rough)

    def streamed(suite: Suite, x: Share) -> Any:
        return elementwise(lambda x: protocol(suite, x), x)

    inverse = total.session.spawn("inverse root", streamed, (total,), total.shape, Fixed(p + 1))
    return rounded(MULTIPLY, u, inverse, u.kind.fraction)


def resized(x: Secret, power: Secret, bits: int, fraction: int) -> Secret:
    """x·power / 2^bits, read with so many fractional bits."""
    return retyped(shifted(multiply(retyped(x, INT), power), bits), Fixed(fraction))


# -- QR ----------------------------------------------------------------------------------------------


def _reflected(w: Secret, n: int) -> tuple[list[Secret], Secret, list[Secret], list[Secret]]:
    """The first n columns of w reduced to a triangle.

    Returns its rows, from the diagonal on; what is left of the other rows, from column n on; for each column
    −1 where there was a reflection, else 1; and 1/R_kk.
    """
    h = w.kind.fraction
    rows, turns, inverses = [], [], []
    for _ in range(n):
        x = w[..., :, 0]
        s = _sign(x[..., :1])
        r = inverse_norm(_squares(x), Fixed(h))
        if x.shape[-1] == 1:
            turn = linear.filled(s, 1)
        else:
            below = comparison.not_equal(_squares(x[..., 1:]), 0)
            turn = linear.subtract(1, multiply(below, 2))
            first = np.eye(1, x.shape[-1], dtype=int)[0]
            v = _unit(linear.add(rounded(MULTIPLY, x, r, h), multiply(s, first)))
            v = multiply(v, below)
            along = rounded(MATMUL, call(np.expand_dims, v, -2), w, h)
            w = linear.subtract(w, multiply(rounded(MULTIPLY, call(np.expand_dims, v, -1), along, h), 2))
        rows.append(w[..., 0, :])
        turns.append(turn)
        inverses.append(multiply(r, multiply(s, turn)))
        w = w[..., 1:, 1:]
    return rows, w, turns, inverses


def _beside(a: Secret, b: Any) -> Secret:
    """Matrices side by side, in stacks that are broadcast."""
    stack = np.broadcast_shapes(a.shape[:-2], np.shape(b)[:-2])
    return call(np.concatenate, [np.broadcast_to(x, stack + np.shape(x)[-2:]) for x in (a, b)], axis=-1)


def _triangle(rows: list[Secret], n: int) -> Secret:
    """Rows from the diagonal on, cut to n columns, with zeros before it."""
    padded = [
        call(np.concatenate, [np.zeros((*row.shape[:-1], k), int), row[..., : n - k]], axis=-1)
        for k, row in enumerate(rows)
    ]
    return call(np.stack, padded, axis=-2)


def _decomposed(a: Secret, complete: bool = False) -> tuple[Secret, Secret]:
    """Q and R of matrices in their own units."""
    m, n = a.shape[-2:]
    rows, rest, *_ = _reflected(_beside(a, np.eye(m, dtype=int)), min(m, n))
    r = _triangle(rows, n)
    q = call(np.stack, [row[..., n - k :] for k, row in enumerate(rows)], axis=-2)
    if complete and m > n:
        q = call(np.concatenate, [q, rest], axis=-2)
        r = call(np.concatenate, [r, np.zeros((*r.shape[:-2], m - n, n), int)], axis=-2)
    return transpose(q), r


@of_elements
def qr(a: Secret, mode: str = "reduced") -> Any:
    """Q of orthonormal columns and a triangular R with Q R = A, as LAPACK has their signs."""
    if mode not in ("reduced", "complete", "r"):
        raise NotImplementedError(
            f"np.linalg.qr on secrets has the modes reduced, complete and r, not {mode!r}"
        )
    a = matrices(a, "qr")
    m, n, f = *a.shape[-2:], a.kind.fraction
    s = scaled(a)
    h = s.matrix.kind.fraction
    if mode == "r":
        return resized(_triangle(_reflected(s.matrix, min(m, n))[0], n), s.up, h, f)
    q, r = _decomposed(s.matrix, mode == "complete")
    return _named(np.linalg.qr)(read(q, f), resized(r, s.up, h, f))


def _determinant(a: Secret) -> tuple[Secret, Secret]:
    """m with h fractional bits, 1/2 ≤ |m| < 1 or m = 0, and an integer e: the determinant is m·2^e."""
    n, f = a.shape[-1], a.kind.fraction
    s = scaled(a)
    h = s.matrix.kind.fraction
    rows, _, turns, _ = _reflected(s.matrix, n)
    factors = multiply(
        call(np.stack, [row[..., 0] for row in rows], axis=-1), call(np.concatenate, turns, axis=-1)
    )
    exponent = multiply(linear.subtract(s.exponent[..., 0, 0], f), n)
    while True:
        each = scaled(factors.reshape((*factors.shape, 1, 1)))
        factors = each.matrix[..., 0, 0]
        exponent = linear.add(exponent, linear.sum_(linear.subtract(each.exponent[..., 0, 0], h), axis=-1))
        if factors.shape[-1] == 1:
            return factors[..., 0], exponent
        half = factors.shape[-1] // 2
        made = rounded(MULTIPLY, factors[..., :half], factors[..., half : 2 * half], h)
        factors = call(np.concatenate, [made, factors[..., 2 * half :]], axis=-1)


@of_elements
def det(a: Secret) -> Secret:
    a = matrices(a, "det", square=True)
    mantissa, exponent = _determinant(a)
    f, more = a.kind.fraction, 3  # so that the exponent of what has a place is below k/2
    longer = multiply(retyped(mantissa, INT), 1 << more)
    return raised(longer, linear.add(exponent, f - mantissa.kind.fraction - more), a.kind)


@of_elements
def slogdet(a: Secret) -> Any:
    """The sign of the determinant and the logarithm of its magnitude; of a singular matrix the sign is 0."""
    a = matrices(a, "slogdet", square=True)
    mantissa, exponent = _determinant(a)
    f = a.kind.fraction
    logarithm = linear.add(
        read(exponential.log(comparison.absolute(mantissa)), f),
        times(MULTIPLY, exponent, doubles(math.log(2)), Fixed(f)),
    )
    return _named(np.linalg.slogdet)(read(comparison.sign(mantissa), f), logarithm)


# -- least squares -----------------------------------------------------------------------------------


def least_squares(a: Secret, b: Secret) -> tuple[Secret, Secret]:
    """The x for which |A x − b| is least, where A has at least as many rows as columns; and Qᵀ b below the
    triangle.
    """
    n, f = a.shape[-1], b.kind.fraction
    bits, h = a.session.ring.bits, digits(a.session.ring.bits)
    g = bits - 2 - h - 3 * bits // 16  # x is below 2^(3k/16) in these units
    s, t = scaled(a), scaled(b)
    rows, rest, _, inverses = _reflected(_beside(s.matrix, t.matrix), n)
    x: Secret | None = None
    for k in reversed(range(n)):
        y = read(rows[k][..., None, n - k :], g)
        if x is not None:
            y = linear.subtract(y, rounded(MATMUL, rows[k][..., None, 1 : n - k], x, g))
        y = rounded(MULTIPLY, y, call(np.expand_dims, inverses[k], -1), g)
        x = y if x is None else call(np.concatenate, [y, x], axis=-2)
    assert x is not None
    x = raised(x, linear.add(linear.subtract(t.exponent, s.exponent), a.kind.fraction - g), Fixed(f))
    return x, resized(rest, t.up, h, f)


def lstsq(a: Any, b: Any, rcond: Any = None) -> tuple[Secret, Secret, None, None]:
    """The least x among those for which |a x − b| is least, for a of full rank, and Σ(a x − b)² where a has
    more rows than columns.

    In place of the rank and the singular values there is ``None``: they cost many times as much, and
    ``np.linalg.matrix_rank`` and ``np.linalg.svdvals`` have them.
    """
    if rcond is not None:
        raise NotImplementedError(
            "np.linalg.lstsq on secrets takes no rcond=; the matrix must have full rank"
        )
    session = find_session((a, b))
    like = a if isinstance(a, Secret) else b
    vector = np.ndim(b) == 1
    a = matrices(a, "lstsq", like)
    b = matrices(np.expand_dims(b, -1) if vector else b, "lstsq", like)
    m, n = a.shape[-2:]
    if a.ndim != 2 or b.ndim != 2 or b.shape[0] != m:
        raise np.linalg.LinAlgError(
            f"np.linalg.lstsq takes a matrix and right sides of as many rows, not {a.shape} and {b.shape}"
        )
    if m < n:
        x, rest = matmul(pinv(a), b), b[:0]
    else:
        x, rest = least_squares(a, b) if n else (b[:0], b)
    squares = linear.sum_(multiply(rest, rest), axis=0) if m > n else b.ravel()[:0]
    assert x.session is session
    return (x[:, 0] if vector else x), squares, None, None


@of_elements
def pinv(a: Secret, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Secret:
    """The pseudo-inverse of matrices of full rank."""
    if rcond is not None or rtol is not None or hermitian:
        raise NotImplementedError(
            "np.linalg.pinv on secrets takes no rcond=, rtol= or hermitian=; the matrix must have full rank"
        )
    a = matrices(a, "pinv")
    m, n = a.shape[-2:]
    if m < n:
        return transpose(pinv(transpose(a)))
    eye = linear.add(linear.filled(a[..., :, :1], 0), np.eye(m, dtype=int))
    return least_squares(a, eye)[0]


# -- Cholesky ----------------------------------------------------------------------------------------


@of_elements
def cholesky(a: Secret, /, *, upper: bool = False) -> Secret:
    """The triangular L with L Lᵀ = a, or its transpose; a is symmetric and positive definite, and one
    triangle of it is read.
    """
    a = matrices(a, "cholesky", square=True)
    a = transpose(a) if upper else a
    n, f, k = a.shape[-1], a.kind.fraction, a.session.ring.bits
    odd, h = f % 2, digits(k)
    total = retyped(linear.sum_(call(np.diagonal, a, 0, -2, -1), axis=-1, keepdims=True), INT)
    down, up, _ = powers(call(np.expand_dims, total, -1), odd)
    w = resized(a, multiply(multiply(down, down), 1 << odd), k - 2 - h, h)
    columns = []
    for _ in range(n):
        x = w[..., :, 0]
        x = rounded(MULTIPLY, x, inverse_norm(x[..., :1], Fixed(h)), h)
        columns.append(x)
        x = x[..., 1:]
        w = linear.subtract(
            w[..., 1:, 1:], rounded(MULTIPLY, call(np.expand_dims, x, -1), call(np.expand_dims, x, -2), h)
        )
    low = resized(_triangle(columns, n), up, h + (f + odd) // 2 - f, f)
    return low if upper else transpose(low)


# -- eigenvalues -------------------------------------------------------------------------------------


def _sweeps(n: int, bits: int) -> int:
    if n <= 2:
        return n
    return 5 + (n - 1).bit_length() + (2 if bits > 64 else 0)


def _tournament(n: int) -> list[int]:
    """The places from which the next round's pairs come, for pairs at 0 and 1, 2 and 3, …: all meet in n − 1
    rounds.
    """
    above, below = list(range(0, n, 2)), list(range(1, n, 2))
    places = [0] * n
    places[0::2] = [above[0], *below[:1], *above[1:-1]] if n > 2 else above
    places[1::2] = [*below[1:], above[-1]] if n > 2 else below
    return places


def _turned(a: Secret, v: Secret | None) -> tuple[Secret, Secret | None]:
    """A diagonal of eigenvalues, and eigenvectors as rows, of symmetric matrices in their own units."""
    n, h = a.shape[-1], a.kind.fraction
    size = n + n % 2
    pad = [(0, 0)] * (a.ndim - 2)
    a = _padded(a, pad, size - n, size - n)
    v = None if v is None else _padded(v, pad, size - n, 0)
    pairs, places = np.arange(0, size, 2), _tournament(size)
    labels = np.arange(size)
    for _ in range(_sweeps(n, a.session.ring.bits) * (size - 1)):
        diagonal = call(np.diagonal, a, 0, -2, -1)
        d = linear.subtract(diagonal[..., 0::2], diagonal[..., 1::2])
        o = multiply(a[..., pairs, pairs + 1], 2)
        both = call(np.stack, [d, o], axis=-1)
        angle = rounded(MULTIPLY, both, inverse_norm(_squares(both), Fixed(h)), h)
        angle = multiply(angle, call(np.expand_dims, _sign(d), -1))
        unit = _unit(linear.add(angle, [1, 0]))
        turn = multiply(unit[..., [[0, 1], [1, 0]]], [[1, 1], [-1, 1]])

        def rotated(x: Secret, turn: Secret = turn) -> Secret:
            flat = x.reshape((*x.shape[:-2], size // 2, 2, x.shape[-1]))
            return rounded(MATMUL, turn, flat, h).reshape(x.shape)

        a = transpose(rotated(a))
        a = a if v is None else call(np.concatenate, [a, v], axis=-1)
        a = rotated(a)[..., places, :]
        v = None if v is None else a[..., size:]
        a = a[..., :size][..., places]
        labels = labels[places]
    kept = np.flatnonzero(labels < n)
    return call(np.diagonal, a, 0, -2, -1)[..., kept], None if v is None else v[..., kept, :]


def _padded(x: Secret, pad: Any, rows: int, columns: int) -> Secret:
    if rows:
        x = call(np.concatenate, [x, np.zeros((*x.shape[:-2], rows, x.shape[-1]), int)], axis=-2)
    if columns:
        x = call(np.concatenate, [x, np.zeros((*x.shape[:-1], columns), int)], axis=-1)
    return x


def _symmetric(a: Secret, UPLO: str, name: str) -> Secret:
    """The symmetric matrices that have this triangle."""
    if UPLO.upper() not in ("L", "U"):
        raise ValueError(f"np.linalg.{name} reads the triangle L or U, not {UPLO!r}")
    a = matrices(a, name, square=True)
    a = a if UPLO.upper() == "L" else transpose(a)
    return linear.add(linear.tril(a), transpose(linear.tril(a, -1)))


def _vectors(a: Secret, falling: bool = False) -> tuple[Secret, Secret]:
    """Eigenvalues in order and eigenvectors as rows, of matrices in their own units."""
    eye = linear.add(linear.filled(a, 0), np.eye(a.shape[-1], dtype=int))
    values, v = _turned(a, eye)
    assert v is not None
    order = sorting.argsort(linear.negative(values) if falling else values, axis=-1)
    rows = selection.take_along_axis(transpose(v), call(np.expand_dims, order, -2), axis=-1)
    return selection.take_along_axis(values, order, axis=-1), transpose(rows)


@of_elements
def eigh(a: Secret, UPLO: str = "L") -> Any:
    """Eigenvalues in rising order, and eigenvectors as columns; their signs are those that come out."""
    a = _symmetric(a, UPLO, "eigh")
    s = scaled(a)
    values, v = _vectors(s.matrix)
    f = a.kind.fraction
    return _named(np.linalg.eigh)(
        resized(values, s.up[..., 0], s.matrix.kind.fraction, f), read(transpose(v), f)
    )


@of_elements
def eigvalsh(a: Secret, UPLO: str = "L") -> Secret:
    """Eigenvalues in rising order."""
    a = _symmetric(a, UPLO, "eigvalsh")
    s = scaled(a)
    values, _ = _turned(s.matrix, None)
    return resized(sorting.sort(values), s.up[..., 0], s.matrix.kind.fraction, a.kind.fraction)


# -- singular values ---------------------------------------------------------------------------------


def _images(a: Secret) -> tuple[Secret, Secret]:
    """A V, whose columns fall in length and are orthogonal but for rounding, and V; of tall matrices in their
    own units.
    """
    h = a.kind.fraction
    v = transpose(_vectors(rounded(MATMUL, transpose(a), a, h), falling=True)[1])
    return rounded(MATMUL, a, v, h), v


@of_elements
def svd(a: Secret, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """U, singular values in falling order, and Vᵀ; signs are those that come out."""
    if hermitian:
        raise NotImplementedError(
            "np.linalg.svd on secrets takes no hermitian=; np.linalg.eigh is for symmetric matrices"
        )
    if not compute_uv:
        return svdvals(a)
    a = matrices(a, "svd")
    if a.shape[-2] < a.shape[-1]:
        u, values, vh = svd(transpose(a), full_matrices)
        return _named(np.linalg.svd)(transpose(vh), values, transpose(u))
    f, s = a.kind.fraction, scaled(a)
    image, v = _images(s.matrix)
    u, r = _decomposed(image, full_matrices)
    diagonal = call(np.diagonal, r, 0, -2, -1)
    sign = _sign(diagonal)
    values = multiply(diagonal, sign)
    signs = call(np.expand_dims, sign, -2)
    v = multiply(v, signs)
    return _named(np.linalg.svd)(
        read(u, f), resized(values, s.up[..., 0], s.matrix.kind.fraction, f), read(transpose(v), f)
    )


def singular_values(x: Secret, name: str) -> Secret:
    """In units of the matrix, falling."""
    return _values(matrices(x, name))[0]


def _values(a: Secret) -> tuple[Secret, Secret, int]:
    """Singular values in units of the matrix, and what brings them to its own."""
    a = transpose(a) if a.shape[-2] < a.shape[-1] else a
    s = scaled(a)
    image, _ = _images(s.matrix)
    rows, *_ = _reflected(image, a.shape[-1])
    values = comparison.absolute(call(np.stack, [row[..., 0] for row in rows], axis=-1))
    return values, s.up[..., 0], a.kind.fraction


@of_elements
def svdvals(x: Secret, /) -> Secret:
    """Singular values in falling order."""
    values, up, f = _values(matrices(x, "svdvals"))
    return resized(values, up, values.kind.fraction, f)


@of_elements
def matrix_rank(A: Secret, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Secret:
    """How many singular values are above a public tolerance: ``tol``, or ``rtol`` times the largest,
    2^(−k/4)·max(m, n) if neither.
    """
    if hermitian:
        raise NotImplementedError("np.linalg.matrix_rank on secrets takes no hermitian=")
    if isinstance(tol, Secret) or isinstance(rtol, Secret) or np.ndim(tol) or np.ndim(rtol):
        raise NotImplementedError("np.linalg.matrix_rank on secrets takes one public tol= or rtol=")
    if tol is not None and rtol is not None:
        raise ValueError("np.linalg.matrix_rank takes tol= or rtol=, not both")
    if A.ndim < 2:
        return multiply(comparison.any_(A), 1)
    values, up, f = _values(matrices(A, "matrix_rank"))
    if tol is not None:
        above = comparison.greater(resized(values, up, values.kind.fraction, f), float(tol))
    else:
        part = max(A.shape[-2:]) * 2.0 ** (-A.session.ring.bits // 4) if rtol is None else float(rtol)
        above = comparison.greater(values, multiply(values[..., :1], part))
    return linear.sum_(above, axis=-1)
