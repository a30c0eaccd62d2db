"""Inverses and linear systems of small square matrices, on fixed point.

The inverse of A is the limit of Newton's iteration, which needs matrix products and no pivots, from a
multiple of the transpose; A in units of its own size (``matrices``):

    X ← X + X (I − A X),      X_0 = Aᵀ.

The residual I − A X squares in every step.  It begins with 1 − σ² for every singular value σ ≤ 1, so that
2·log2(1/σ_min) steps bring it to about 1/2, and log2 of the digits to nothing.  The number of steps is
public, enough for σ_min = 2^−(3k/16 − 1).  A rounding error of one step is put right by the next, as it would
not be in an elimination; the last one takes the residual with all its digits.  ``solve`` adds a step of
refinement, y ← y + X (b − A y), b − A y exactly.

Candidates for n × n, with d rounds of a reciprocal or root (38 to 49):

    Gauss with secret pivots  n (9 log2 n + d + 6) rounds  grows, at worst as 2^n
    Householder's QR          n (d + 23) rounds            errors times σ_max/σ_min: ``decompositions``
    Newton (this)             4 s + 30 rounds              any n; s = 29 steps; 16 over 32 bits, 54 over 128

Threat   the suite's: nothing is opened.
Cost     rounds over 64 bits: 140 with ``additive``, 145 with ``replicated``; ``solve`` 9 more.  2 s matrix
         products: for 10 × 10 a party sends 135 and 87 kB.
Range    |A|_F / σ_min < 2^(3k/16 − 1), |A|_F < 2^(k/2 − 1 − f), and the result within the range of products.
         Of a matrix that is singular, or nearly so, the result is some number: a secret cannot raise, but
         ``check`` tells of singular ones, and ``np.linalg.cond`` how near it is.
Accuracy inverse: 1 unit in the last place, and 2^−25 of 1/σ_min (2^−12 over 32 bits, 2^−51 over 128);
         solutions 1 unit.  Both for the matrix as it was rounded (the worst of 60 with n from 1 to 20,
         conditions to 1000, of size 0.02 to 1000, both suites).
Source   Schulz, ZAMM 13, 1933; from αAᵀ, for any matrix: Ben-Israel, Cohen, SIAM J. Numer. Anal. 3, 1966.
"""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from mpc.encoding import INT, Fixed
from protocols.array.secret import Secret, find_session, rescaled, retyped
from protocols.bilinear import MATMUL
from protocols.ops import linear
from protocols.ops.matrices import matrices, of_elements, scaled, transpose
from protocols.ops.products import matmul, multiply, read, rounded, shifted, unrounded


def _inverse(a: Secret) -> Secret:
    """1/A for A in its own units, with (k − 2)/2 − 3k/32 fractional bits."""
    k, n = a.session.ring.bits, a.shape[-1]
    room = 3 * k // 16
    g = (k - 2 - room) // 2
    eye = np.eye(n, dtype=int)
    x = read(transpose(a), g)
    for _ in range(2 * (room - 1) + g.bit_length() + 1):
        x = linear.add(x, rounded(MATMUL, x, linear.subtract(eye, rounded(MATMUL, a, x, g)), g))
    rest = linear.subtract(eye, rounded(MATMUL, a, x, k - 3 - g))
    return linear.add(x, rounded(MATMUL, x, rest, g))


@of_elements
def inv(a: Secret) -> Secret:
    """The inverse of a square matrix, or of each in a stack of them."""
    a = matrices(a, "inv", square=True)
    f, k = a.kind.fraction, a.session.ring.bits
    s = scaled(a)
    x = _inverse(s.matrix)
    g = x.kind.fraction
    return retyped(shifted(multiply(retyped(x, INT), s.down), k // 2 - 1 + g - 2 * f), a.kind)


@of_elements
def solve(a: Any, b: Any) -> Secret:
    """y with a @ y = b; b is a vector or matrices.  Either may be public."""
    session = find_session((a, b))
    like = a if isinstance(a, Secret) else b
    a = matrices(a, "solve", like, square=True)
    vector = np.ndim(b) == 1
    b = matrices(np.expand_dims(b, -1) if vector else b, "solve", like)
    if b.shape[-2] != a.shape[-1]:
        raise ValueError(
            f"np.linalg.solve: matrices of shape {a.shape} and right sides of shape {b.shape} do not fit"
        )
    f, half = a.kind.fraction, session.ring.bits // 2 - 1
    s = scaled(a)
    x = _inverse(s.matrix)

    def times_inverse(b: Secret, fraction: int) -> Secret:
        y = rounded(MATMUL, x, b, fraction)
        return retyped(
            shifted(multiply(retyped(y, INT), s.down), fraction - b_fraction + half - f), Fixed(b_fraction)
        )

    b_fraction = b.kind.fraction
    y = times_inverse(b, b_fraction)
    rest = linear.subtract(rescaled(b, Fixed(f + b_fraction)), unrounded(MATMUL, a, y))
    y = linear.add(y, times_inverse(rest, f + b_fraction))
    return y[..., 0] if vector else y


def matrix_power(a: Secret, n: int) -> Secret:
    """a multiplied by itself n times, by squaring; the power of the inverse for n < 0."""
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise np.linalg.LinAlgError(
            f"np.linalg.matrix_power takes square matrices, not an array of shape {a.shape}"
        )
    left, square = index(n), linear.positive(a)
    if left == 0:
        return linear.add(linear.filled(square, 0), np.broadcast_to(np.eye(a.shape[-1], dtype=int), a.shape))
    if left < 0:
        left, square = -left, inv(a)
    result: Secret | None = None
    while True:
        if left & 1:
            result = square if result is None else matmul(result, square)
        left >>= 1
        if not left:
            assert result is not None
            return result
        square = matmul(square, square)
