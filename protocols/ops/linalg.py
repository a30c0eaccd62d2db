"""Norms, and inverses and linear systems of small symmetric positive definite matrices, on fixed point.

The inverse of A is the limit of Newton's iteration, which needs matrix products and no pivots:

    X ← X + X (I − A X),      X_0 = I / trace(A).

The residual I − A X squares in every step.  It begins with eigenvalues 1 − λ/trace(A), so with f fractional
bits f steps bring it below 2^−f if trace(A) ≤ 2^(f−4)·λ_min.  A rounding error of one step is put right by the next, as
it would not be in an elimination.  ``solve`` adds one step of refinement, y ← y + X (b − A y).

Candidates for n × n, with d rounds of a reciprocal (38 and 49):

    Cholesky, Gauss–Jordan       n (d + 4) rounds     errors of the pivots multiply by 1/λ_min² at the end
    Newton (this)                4 f + d rounds       64 + d with 16 fractional bits, for any n; errors times 1/λ_min

Threat   the suite's: nothing is opened.
Cost     rounds with 16 fractional bits, for any n: 102 with ``additive``, 113 with ``replicated``; 4 more for a solution.
         2 f matrix products; each party sends (``additive``) n² elements a product to each other party, twice, and n²
         for its truncation.
Range    A symmetric and positive definite, trace(A) ≤ 2^(f−4)·λ_min, 2^−(f−4) ≤ trace(A) ≤ 2^(f−1), and 1/λ_min within
         2^(k−3−2f), as all products.  Otherwise, and for other matrices, the result is some number: a secret
         cannot raise.  Norms: the sum of squares must be within the range of products.
Accuracy inverse and solution: 1.1 units in the last place times max(1, 1/λ_min), for the matrix as it was rounded and a
         right side of the order of one (the worst of 168 matrices with n from 2 to 20, conditions from 1 to 1000, 16 to
         24 fractional bits, both suites).  Norms of vectors of the order of one: 4 units.
Source   Schulz, ZAMM 13, 1933; between parties, for regressions: Hall, Fienberg, Nardi, Journal of Official Statistics
         27(4), 2011.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from protocols.array import Secret, call
from protocols.ops import comparison, linear, products
from protocols.ops.products import matmul, real
from protocols.ops.roots import root_of_squares


def _square(a: Any) -> Secret:
    if not isinstance(a, Secret):
        raise NotImplementedError("np.linalg.solve with a public matrix and a secret right side; multiply by np.linalg.inv(a)")
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise NotImplementedError(f"np.linalg on secrets takes one square matrix, not an array of shape {a.shape}")
    return real(a)


def inv(a: Secret) -> Secret:
    """The inverse of a symmetric positive definite matrix."""
    a = _square(a)
    eye = np.eye(len(a), dtype=int)
    x = products.multiply(1 / linear.trace(a), eye)
    for _ in range(a.kind.fraction):
        x = linear.add(x, matmul(x, linear.subtract(eye, matmul(a, x))))
    return x


def solve(a: Any, b: Any) -> Secret:
    """y with a @ y = b for a symmetric positive definite matrix a; b is a vector or a matrix, secret or public."""
    a = _square(a)
    x = inv(a)
    y = matmul(x, b)
    return linear.add(y, matmul(x, linear.subtract(b, matmul(a, y))))


def norm(x: Secret, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Secret:
    """Of vectors: 2 (the default), 1, ±∞ and 0; of matrices: Frobenius (the default), 1 and ±∞."""
    if axis is None and (ord is None or x.ndim == 1):
        axes: tuple[int, ...] = (0,)
        y = x.ravel()
    else:
        axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        y = call(np.moveaxis, x, axes, tuple(range(-len(axes), 0)))
    size = comparison.absolute
    if ord in (None, "fro") or (ord == 2 and len(axes) == 1):
        if ord == "fro" and len(axes) != 2:
            raise ValueError("the Frobenius norm is one of matrices")
        result = root_of_squares(y, tuple(range(-len(axes), 0)))
    elif ord == 1:
        sums = linear.sum_(size(y), axis=-len(axes))
        result = comparison.max_(sums, axis=-1) if len(axes) == 2 else sums
    elif ord in (np.inf, -np.inf):
        sums = linear.sum_(size(y), axis=-1) if len(axes) == 2 else size(y)
        result = (comparison.max_ if ord > 0 else comparison.min_)(sums, axis=-1)
    elif ord == 0 and len(axes) == 1:
        result = comparison.count_nonzero(y, axis=-1)
    else:
        raise NotImplementedError(f"np.linalg.norm on secrets with ord={ord!r}")
    result = real(result)
    if keepdims:
        gone = range(x.ndim) if axis is None else [a % x.ndim for a in axes]
        result = result.reshape(tuple(1 if i in gone else d for i, d in enumerate(x.shape)))
    return result
