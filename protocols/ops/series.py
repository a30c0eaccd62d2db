"""What is done along samples: convolution, interpolation, slopes, areas, polynomials.  All of products that
are there.

Rounds   those of one product with ``convolve``, ``correlate``, ``gradient``, ``trapezoid``; a product for
         each degree with ``polyval``; ``interp`` of secret x: a comparison and a product, of public x a
         product.
Cost     ``convolve`` of n and m elements is a product of a matrix of (n + m) × m and a vector; ``interp``
         compares each x with every knot.
Accuracy integers exactly where NumPy has integers.  ``interp``: 5 units in the last place, and 4·Σ|fp_(i+1) −
         fp_i| more where fp is secret; ``gradient``: 3, of uneven distances 6; ``trapezoid``: 5.
"""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from mpc.encoding import numeric
from mpc.errors import EncodingError
from mpc.ring import NDArray
from protocols.array.secret import Secret, call, constant, find_session, structural
from protocols.ops import comparison, linear, quotients, scans
from protocols.ops.decompositions import least_squares, resized
from protocols.ops.matrices import scaled
from protocols.ops.products import divide, matmul, multiply, real
from protocols.ops.tensors import array, vecdot

# -- sums over windows -------------------------------------------------------------------------------


def convolve(a: Any, v: Any, mode: str = "full") -> Secret:
    """Σ_j a_(i−j)·v_j, of all places, of as many as the longer one has,
    or of those where they overlap whole.
    """
    a, v = _vector(a, "convolve"), _vector(v, "convolve")
    if len(v) > len(a):
        a, v = v, a
    n, m = len(a), len(v)
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"np.convolve has the modes full, same and valid, not {mode!r}")
    first = {"full": 0, "same": (m - 1) // 2, "valid": m - 1}[mode]
    length = {"full": n + m - 1, "same": n, "valid": n - m + 1}[mode]
    places = np.arange(first, first + length)[:, None] - np.arange(m)

    def windows(x: NDArray) -> NDArray:
        return np.where((places >= 0) & (places < n), x[np.clip(places, 0, n - 1)], np.zeros((), x.dtype))

    if isinstance(a, Secret):
        a = structural("windows", windows, linear.positive(a), public=places)
    else:
        a = windows(a.astype(int) if a.dtype.kind == "b" else a)
    return matmul(a, v)


def correlate(a: Any, v: Any, mode: str = "valid") -> Secret:
    """Σ_j a_(i+j)·v_j."""
    a, v = _vector(a, "correlate"), _vector(v, "correlate")
    return convolve(a, v[::-1], mode) if len(a) >= len(v) else convolve(v, a[::-1], mode)[::-1]


def _vector(x: Any, name: str) -> Any:
    x = array(x)
    x = x.reshape((1,)) if x.ndim == 0 else x
    if x.ndim != 1 or not len(x):
        raise ValueError(f"np.{name} takes vectors with elements, not an array of shape {x.shape}")
    return x


# -- polynomials -------------------------------------------------------------------------------------


def polyval(p: Any, x: Any) -> Any:
    """p_0·x^n + … + p_n, by Horner's rule."""
    p, x = array(p), array(x)
    if p.ndim != 1:
        raise ValueError(f"np.polyval takes a vector of coefficients, not an array of shape {p.shape}")
    result: Any = linear.filled(x, 0) if isinstance(x, Secret) else np.zeros_like(x)
    if not isinstance(x, Secret) and not len(p):
        result = constant(p.session, result, p.session.kind_of(result))
    for i in range(len(p)):
        result = np.add(np.multiply(result, x) if i else result, p[i])
    return linear.positive(result)


def polyfit(
    x: Any, y: Any, deg: int, rcond: Any = None, full: bool = False, w: Any = None, cov: Any = False
) -> Secret:
    """The polynomial of this degree through points, by least squares of the powers of x, each in units of its
    own length.

    Where x is far from 0 beside its spread, powers are alike and few digits are left: centre it first.
    """
    if rcond is not None or full or w is not None or cov:
        raise NotImplementedError(
            "np.polyfit on secrets takes no rcond=, full=, w= or cov=; scale the rows of np.linalg.lstsq"
            " yourself"
        )
    degree, x, y = index(deg), array(x), array(y)
    if degree < 0 or x.ndim != 1 or y.ndim not in (1, 2) or y.shape[:1] != x.shape or len(x) <= degree:
        raise ValueError(
            f"np.polyfit takes a degree of 0 or more, a vector of more x, and as many y, not {deg}, {x.shape}"
            f" and {y.shape}"
        )
    session = find_session((x, y))
    x, y = (
        real(linear.positive(z)) if isinstance(z, Secret) else constant(session, z, session.fixed)
        for z in (x, y)
    )
    ones = linear.filled(x, 1)
    each = [ones]
    if degree:
        powers = scans.cumprod(call(np.broadcast_to, call(np.expand_dims, x, 1), (len(x), degree)), axis=1)
        each = [*(powers[:, i] for i in reversed(range(degree))), ones]
    columns = call(np.stack, each)
    k, f = session.ring.bits, columns.kind.fraction
    own = scaled(call(np.expand_dims, columns, 1))
    right = y if y.ndim == 2 else call(np.expand_dims, y, 1)
    p, _ = least_squares(own.matrix[:, 0].T, right)
    p = resized(p, own.down[:, 0], k // 2 - 1 - f, y.kind.fraction)
    return p if y.ndim == 2 else p[:, 0]


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Secret:
    """Piecewise linear through public abscissae xp, which rise, and fp; x or fp or both secret.

    With c_i = min(max(x, xp_i), xp_(i+1)) − xp_i it is fp_0 + Σ c_i·(fp_(i+1) − fp_i)/(xp_(i+1) − xp_i).
    """
    if isinstance(xp, Secret):
        raise NotImplementedError(
            "np.interp on secrets takes public xp; where a secret lies among secrets, np.searchsorted says"
        )
    knots, fp = numeric(xp, "xp").astype(np.float64), array(fp)
    if knots.ndim != 1 or fp.shape != knots.shape or not len(knots):
        raise ValueError(f"np.interp takes equally many xp and fp, not {knots.shape} and {fp.shape}")
    if isinstance(left, Secret) or isinstance(right, Secret):
        raise NotImplementedError(
            "np.interp on secrets takes public left= and right=; write np.where(x < xp[0], left, np.interp(x,"
            " xp, fp))"
        )
    x = array(x)
    if period is not None:
        if not period:
            raise ValueError("np.interp takes a period other than 0")
        x, knots, fp = _periodic(x, knots, fp, abs(float(period)))
        left = right = None
    if not (np.diff(knots) > 0).all():
        raise ValueError("np.interp on secrets takes xp that rise from each to the next")
    if isinstance(x, Secret):
        y = _of_secret(x, knots, fp)
    else:
        y = matmul(_weights(x.astype(np.float64).reshape(-1), knots), fp).reshape(x.shape)
    for end, outside, instead in ((0, comparison.less, left), (-1, comparison.greater, right)):
        if instead is not None:
            at = (
                outside(x, knots[end])
                if isinstance(x, Secret)
                else (x < knots[0])
                if end == 0
                else (x > knots[-1])
            )
            y = comparison.where(at, float(instead), y)
    return real(y)


def _of_secret(x: Secret, knots: NDArray, fp: Any) -> Secret:
    above = linear.subtract(comparison.maximum(call(np.expand_dims, real(x), -1), knots), knots)
    clipped = linear.subtract(above[..., :-1], above[..., 1:])
    widths = np.diff(knots)
    if isinstance(fp, Secret):
        rises = linear.subtract(fp[1:], fp[:-1])
        return linear.add(matmul(divide(clipped, widths), rises), fp[0])
    values = fp.astype(np.float64)
    return linear.add(matmul(clipped, np.diff(values) / widths), values[0])


def _weights(x: NDArray, knots: NDArray) -> NDArray:
    """What of each fp is in the result: rows of two weights, in operations that are the same on every
    machine.
    """
    if np.isnan(x).any():
        raise EncodingError("NaN among the x of np.interp; remove or replace such values first")
    weights = np.zeros((len(x), len(knots)))
    rows, x = np.arange(len(x)), np.clip(x, knots[0], knots[-1])
    at = np.clip(np.searchsorted(knots, x, "right") - 1, 0, max(0, len(knots) - 2))
    if len(knots) == 1:
        return weights + 1
    part = (x - knots[at]) / (knots[at + 1] - knots[at])
    weights[rows, at], weights[rows, at + 1] = 1 - part, part
    return weights


def _periodic(x: Any, knots: NDArray, fp: Any, period: float) -> tuple[Any, NDArray, Any]:
    knots = knots % period
    order = np.argsort(knots, kind="stable")
    order = np.concatenate([order[-1:], order, order[:1]])
    knots = knots[order]
    knots[0], knots[-1] = knots[0] - period, knots[-1] + period
    return quotients.remainder(x, period) if isinstance(x, Secret) else x % period, knots, fp[order]


# -- slopes and areas --------------------------------------------------------------------------------


def gradient(f: Secret, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Slopes by central differences, at the ends by differences of the first or second order; distances are
    public.
    """
    if secrets := [d for d in varargs if isinstance(d, Secret)]:
        raise NotImplementedError(f"np.gradient on secrets takes public distances; {len(secrets)} are secret")
    if edge_order not in (1, 2):
        raise ValueError(f"np.gradient has the edge orders 1 and 2, not {edge_order}")
    axes = list(range(f.ndim)) if axis is None else list(normalize_axis_tuple(axis, f.ndim))
    if len(varargs) not in (0, 1, len(axes)) or (len(varargs) == 1 and len(axes) > 1 and np.ndim(varargs[0])):
        raise TypeError(
            f"np.gradient takes no distance, one, or one for each of {len(axes)} axes, not {len(varargs)}"
        )
    steps = list(varargs) * (len(axes) if len(varargs) == 1 else 1) or [1.0] * len(axes)
    slopes = [_slope(f, a, _distances(h, f.shape[a]), edge_order) for a, h in zip(axes, steps, strict=True)]
    return slopes[0] if len(slopes) == 1 else tuple(slopes)


def _distances(h: Any, n: int) -> NDArray:
    """Between neighbours, one for each or one for all."""
    distances: NDArray = numeric(h, "a distance").astype(np.float64)
    if distances.ndim == 0:
        return distances
    if distances.shape != (n,):
        raise ValueError(
            f"np.gradient takes a distance or {n} coordinates along an axis of {n}, not {distances.shape}"
        )
    between: NDArray = np.diff(distances)
    return between[:1].reshape(()) if (between == between[0]).all() else between


def _slope(f: Secret, axis: int, h: NDArray, order: int) -> Secret:
    n = f.shape[axis]
    if n < order + 1:
        raise ValueError(
            f"np.gradient with edge_order={order} takes at least {order + 1} elements along an axis, not {n}"
        )
    y = call(np.moveaxis, real(linear.positive(f)), axis, -1)
    d = linear.subtract(y[..., 1:], y[..., :-1])
    if h.ndim == 0:
        inside = divide(linear.subtract(y[..., 2:], y[..., :-2]), 2 * h)
        if order == 1:
            ends = divide(d[..., [0, -1]], h)
        else:
            ends = divide(linear.subtract(multiply(d[..., [0, -1]], 3), d[..., [1, -2]]), 2 * h)
    else:
        slopes = divide(d, h)
        left, right = h[:-1], h[1:]
        between = linear.subtract(slopes[..., 1:], slopes[..., :-1])
        inside = linear.add(slopes[..., :-1], multiply(between, left / (left + right)))
        ends = slopes[..., [0, -1]]
        if order == 2:
            bent = multiply(between[..., [0, -1]], np.array([h[0] / (h[0] + h[1]), h[-1] / (h[-1] + h[-2])]))
            ends = linear.add(ends, multiply(bent, [-1, 1]))
    joined = call(np.concatenate, [ends[..., :1], inside, ends[..., 1:]], axis=-1)
    return call(np.moveaxis, joined, -1, axis)


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Secret:
    """The area under samples: Σ d_i·(y_i + y_(i+1))/2, of distances d that are public or secret."""
    y = array(y)
    y = linear.positive(y) if isinstance(y, Secret) else y * 1
    axis = normalize_axis_index(axis, y.ndim)
    y = np.moveaxis(y, axis, -1)
    twice = y[..., 1:] + y[..., :-1]
    if x is None and not isinstance(dx, Secret) and np.ndim(dx) == 0:
        return divide(multiply(linear.sum_(twice, axis=-1), dx), 2)
    d = array(dx if x is None else x)
    d = d if x is None else np.diff(d * 1, axis=-1 if d.ndim == 1 else axis)
    d = d if d.ndim <= 1 else np.moveaxis(d, axis, -1)
    d = np.broadcast_to(d, np.broadcast_shapes(d.shape, twice.shape))
    return divide(vecdot(d, np.broadcast_to(twice, d.shape)), 2)
