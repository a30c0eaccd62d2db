"""Covariances and correlations of columns, and counts of pairs: matrix products of what was centred, or of
truth values.

With deviations d of n samples a covariance is Σ d·d'/(n − ddof).  The samples are multiplied in about √n
groups, so that a group's sum has to be within the range of products and no more; each is rounded once.  A
correlation is the product of unit vectors d/√Σd², which have as many digits however little a column varies.

Rounds   ``cov``: two truncations, a product and its truncation, and two.  ``corrcoef``: those up to the
         product, an inverse root, two products and two comparisons.
Range    ``cov``: for n samples Σd² of √(2n) of them below 2^(k−3−2f); ``corrcoef``: Σd² of all.
Accuracy ``cov``: 4 units in the last place, and as a mean's rounding does; ``corrcoef``: 2 units.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mpc.encoding import Fixed, numeric
from mpc.ring import NDArray
from protocols.array.secret import Secret, call
from protocols.bilinear import MATMUL, MULTIPLY
from protocols.ops import comparison, linear
from protocols.ops.products import divide, matmul, multiply, real, rounded, unrounded
from protocols.ops.roots import inverse_norm
from protocols.ops.scaling import quotient, times
from protocols.ops.selection import within
from protocols.ops.tensors import array


def _variables(m: Any, y: Any, rowvar: bool) -> Secret:
    """A row for each variable."""
    m, y = array(m), None if y is None else array(y)
    if m.ndim > 2 or (y is not None and y.ndim > 2):
        raise ValueError("np.cov and np.corrcoef take arrays of at most two axes")
    rows = call(np.atleast_2d, m)
    if not rowvar and m.ndim == 2:
        rows = rows.T
    if y is not None:
        more = call(np.atleast_2d, y)
        rows = call(np.concatenate, [rows, more.T if not rowvar and more.shape[0] != 1 else more])
    return real(linear.positive(rows))


def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
) -> Secret:
    """Covariances of variables, the rows of m and y (the columns without ``rowvar``); weights are public."""
    if isinstance(fweights, Secret) or isinstance(aweights, Secret):
        raise NotImplementedError(
            "np.cov on secrets takes public fweights and aweights; multiply the deviations with secret ones"
        )
    x = _variables(m, y, rowvar)
    n = x.shape[1]
    if not n:
        raise ValueError("np.cov takes samples, and there are none")
    ddof = (0 if bias else 1) if ddof is None else ddof
    counts, importance = _weights(fweights, n, "fweights"), _weights(aweights, n, "aweights")
    w: Any = importance if counts is None else counts if importance is None else counts * importance
    if w is None:
        d = linear.subtract(x, divide(linear.sum_(x, axis=1, keepdims=True), n))
        weighted, fact = d, float(n - ddof)
    else:
        total = float(np.add.accumulate(w)[-1])
        mean = times(MATMUL, x, quotient(w, total))
        d = linear.subtract(x, call(np.expand_dims, mean, 1))
        weighted = multiply(d, w)
        squares = float(np.add.accumulate(w * (1 if importance is None else importance))[-1])
        fact = total - (ddof if importance is None else ddof * squares / total)
    if not fact > 0:
        raise ZeroDivisionError(f"np.cov of {n} samples with ddof={ddof}: nothing is left to divide by")
    c = divide(_grouped(d, weighted), fact)
    return call(np.squeeze, c)


def _weights(w: Any, n: int, name: str) -> NDArray | None:
    if w is None:
        return None
    weights: NDArray = numeric(w, "a weight").astype(np.float64)
    if weights.shape != (n,) or (weights < 0).any():
        raise ValueError(f"np.cov takes {name} that are a vector of {n} numbers, none below 0")
    if name == "fweights" and (weights != np.rint(weights)).any():
        raise TypeError("np.cov takes whole fweights")
    return weights


def _grouped(x: Secret, y: Secret) -> Secret:
    """x @ y.T, in groups of about √n of the n columns."""
    p, n = x.shape
    size = 1 << ((n - 1).bit_length() + 1) // 2
    whole = n // size * size
    parts = []
    if whole:
        left, right = (call(np.moveaxis, z[:, :whole].reshape((p, -1, size)), 1, 0) for z in (x, y))
        parts.append(linear.sum_(matmul(left, call(np.swapaxes, right, 1, 2)), axis=0))
    if whole < n:
        parts.append(matmul(x[:, whole:], y[:, whole:].T))
    return parts[0] if len(parts) == 1 else linear.add(*parts)


def corrcoef(x: Any, y: Any = None, rowvar: bool = True) -> Secret:
    """Correlations of variables, from −1 to 1; 0 with one that does not vary, and of it with itself."""
    v = _variables(x, y, rowvar)
    n, f, bits = v.shape[1], v.kind.fraction, v.session.ring.bits
    d = linear.subtract(v, divide(linear.sum_(v, axis=1, keepdims=True), n))
    length = inverse_norm(linear.sum_(unrounded(MULTIPLY, d, d), axis=1, keepdims=True), Fixed(bits - 4 - f))
    fraction = bits // 2 - 4
    unit = rounded(MULTIPLY, d, length, fraction)
    c = rounded(MATMUL, unit, unit.T, f)
    return call(np.squeeze, comparison.clip(c, -1, 1))


def histogram2d(
    x: Any, y: Any, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Any = None
) -> tuple[Secret, NDArray, NDArray]:
    """How many pairs lie between public edges, or the sum of their weights; and the edges, of x and y."""
    if density:
        raise NotImplementedError("np.histogram2d on secrets takes no density=; divide the revealed counts")
    x, y = array(x), array(y)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"np.histogram2d takes two vectors of one length, not {x.shape} and {y.shape}")
    several = isinstance(bins, list | tuple) and len(bins) == 2
    each = bins if several else (bins, bins)
    ranges = range if range is not None else (None, None)
    (ours, first), (theirs, second) = (
        within(z, b, r, "histogram2d") for z, b, r in zip((x, y), each, ranges, strict=True)
    )
    if weights is not None:
        theirs = np.multiply(theirs, np.expand_dims(array(weights), 1))
    return real(matmul(ours.T, theirs)), first, second
