"""Products of a secret with a secret or a public number, and what follows from them.

Two fixed-point numbers with f and g fractional bits multiply to f + g of them; the product is truncated
by min(f, g) after all sums inside it, so that a dot product is rounded once.  The product before
truncation must stay below 2^(k−2): |x·y| < 2^(k−2−f−g), which is the caller's to see to.

Rounds   secret × secret: 1, and 1 more for the truncation of fixed point.  × public integer: 0.
         × or ÷ public real: 1, or 2 below 1/2 (but for powers of two: always 1).
Accuracy x·y is rounded to a neighbouring multiple of 2^−f.  x·p for a public real p is right to 3 of them
         and a 2^−2f-th part of |x|·max|p|.
"""
from __future__ import annotations

import math
from functools import partial
from typing import Any, cast

import numpy as np

from mpc.encoding import BOOL, INT, Fixed, Kind, numeric
from mpc.errors import EncodingError
from mpc.ring import NDArray, RingArray
from mpc.rounds import gather
from protocols import einsum as sums
from protocols.array import Secret, call, find_session, rescaled
from protocols.bilinear import MATMUL, MULTIPLY, Bilinear
from protocols.suite import Share, Suite


def product(f: Bilinear, x: Any, y: Any) -> Secret:
    """f(x, y) where at least one operand is secret."""
    if isinstance(x, Secret) and isinstance(y, Secret):
        return _of_secrets(f, x, y)
    if isinstance(x, Secret):
        return _with_public(f, x, y, partial(_right, f))
    return _with_public(f, y, x, partial(_left, f))


def _right(f: Bilinear, secret: Any, public: Any) -> Any:
    return f(secret, public) if isinstance(secret, RingArray) else f.shape(secret, public)


def _left(f: Bilinear, secret: Any, public: Any) -> Any:
    return f(public, secret) if isinstance(secret, RingArray) else f.shape(public, secret)


def _of_secrets(f: Bilinear, x: Secret, y: Secret) -> Secret:
    shape = f.shape(x.shape, y.shape)
    bits = min(x.kind.fraction, y.kind.fraction)
    kind = _kind(max(x.kind.fraction, y.kind.fraction))

    def protocol(suite: Suite, x: Share, y: Share) -> Any:
        return suite.bilinear(f, x, y, bits)
    return x.session.spawn(f.name, protocol, (x, y), shape, kind)


def _with_public(f: Bilinear, x: Secret, public: Any, apply: Any) -> Secret:
    """Times a public array: integers, and elements of the ring, exactly; reals as one or two multiples of powers of two.

    p = 2^−t·(m₁·2^−s + m₂·2^−(s+f)) with |m₁| ≤ 2^f.  The truncation by t comes first, so that whatever x·p
    can be, its terms can; for an integer times a power of two it is all there is.
    """
    array = public if isinstance(public, RingArray) else numeric(public, "a public operand")
    shape = apply(x.shape, array.shape)
    if isinstance(array, RingArray) or array.dtype.kind != "f":
        m = array if isinstance(array, RingArray) else x.session.public(array, INT)

        async def scaled(suite: Suite, x: Share) -> Share:
            return x.apply(lambda part: apply(part, m))
        return x.session.spawn(f.name, scaled, (x,), shape, INT if x.kind == BOOL else x.kind, m)
    x = real(x)
    first, terms = _limbs(array.astype(np.float64), x.kind.fraction, x.session.ring.bits)
    limbs = [(x.session.public(m, INT), shift) for m, shift in terms]

    async def term(suite: Suite, x: Share, m: RingArray, shift: int) -> Share:
        z = x.apply(lambda part: apply(part, m))
        return await suite.truncate(z, shift) if shift else z

    async def protocol(suite: Suite, x: Share) -> Share:
        if first:
            x = await suite.truncate(x, first)
        high, *low = await gather(*(term(suite, x, m, shift) for m, shift in limbs))
        return cast(Share, high + low[0] if low else high)

    return x.session.spawn(f.name, protocol, (x,), shape, x.kind, (first, limbs))


def _limbs(p: NDArray, fraction: int, ring_bits: int) -> tuple[int, list[tuple[NDArray, int]]]:
    """t, and integers m and shifts s with p ≈ 2^−t·Σ m·2^−s; one pair where that is exact."""
    if not np.isfinite(p).all():
        raise EncodingError("a public operand is NaN or infinite")
    most = float(np.abs(p).max()) if p.size else 0.0
    if most >= 2.0 ** (ring_bits - 2 - fraction):
        raise EncodingError(f"a public operand lies outside ±2^{ring_bits - 2 - fraction}, the range of fixed point here")
    size = math.frexp(most)[1]                       # most < 2^size
    first = min(max(0, -size), ring_bits - 3)
    p = p * 2.0 ** first
    shift = max(0, fraction - max(size, 0))
    m = np.rint(p * 2.0 ** shift).astype(np.int64)
    rest = p - m * 2.0 ** -shift
    if np.any(rest):
        return first, [(m, shift), (np.rint(rest * 2.0 ** (shift + fraction)).astype(np.int64), shift + fraction)]
    used = m[m != 0]
    spare = min(shift, int(np.log2((used & -used).min()))) if used.size else shift
    if not np.any(np.abs(m >> spare) > 1):           # a power of two: one truncation in all
        return 0, [(m >> spare, min(first + shift - spare, ring_bits - 3))]
    return first, [(m >> spare, shift - spare)]


def _kind(fraction: int) -> Kind:
    return Fixed(fraction) if fraction else INT


def real(x: Secret) -> Secret:
    """x as fixed point: integers get the session's fractional bits.  Local."""
    return x if x.kind.fraction else rescaled(x, x.session.fixed)


def multiply(x: Any, y: Any) -> Secret:
    return product(MULTIPLY, x, y)


def matmul(x: Any, y: Any) -> Secret:
    return product(MATMUL, x, y)


def divide(x: Any, y: Any) -> Secret:
    """x / y for a public y: x times 1/y.  The result is fixed point."""
    divisor = numeric(y, "a divisor").astype(np.float64)
    if not divisor.all():
        raise ZeroDivisionError("division of a secret by a public zero")
    return multiply(x, 1.0 / divisor)


def power(x: Secret, n: int) -> Secret:
    """x ** n for one public integer n ≥ 0, by squaring: about log2(n) products in sequence."""
    left, base = n, x
    result: Secret | None = None
    if left == 0:
        return cast(Secret, x * 0 + 1)
    while True:
        if left & 1:
            result = base if result is None else result * base
        left >>= 1
        if not left:
            assert result is not None
            return result
        base = base * base


def prod(x: Secret, axis: int | None = None, keepdims: bool = False) -> Secret:
    """Product along an axis as a balanced tree: ⌈log2 n⌉ products in sequence."""
    if isinstance(axis, tuple):
        raise NotImplementedError("np.prod of secrets along several axes")
    y, at = (x.reshape(-1), 0) if axis is None else (x, axis)
    y = call(np.moveaxis, y, at, 0)
    if len(y) == 0:
        raise NotImplementedError("the product of no secrets")
    while (n := len(y)) > 1:
        half = n // 2
        folded = y[:half] * y[half:2 * half]
        y = call(np.concatenate, [folded, y[2 * half:]]) if n % 2 else folded
    y = y[0]
    if keepdims:
        y = y.reshape((1,) * x.ndim) if axis is None else call(np.expand_dims, y, axis)
    return y


def outer(x: Any, y: Any) -> Secret:
    return multiply(np.reshape(x, (-1, 1)), np.reshape(y, (1, -1)))


def dot(x: Any, y: Any) -> Secret:
    if np.ndim(x) == 0 or np.ndim(y) == 0:
        return multiply(x, y)
    if np.ndim(x) > 2 or np.ndim(y) > 2:
        raise NotImplementedError("dot of secrets with more than two axes; use matmul or einsum")
    return matmul(x, y)


def einsum(subscripts: str, *operands: Any) -> Secret:
    """Two operands, as a matrix product; one operand, locally."""
    if not isinstance(subscripts, str):
        raise NotImplementedError("einsum in its list form on secrets; name the indices in a string")
    session = find_session(operands)
    if len(operands) == 1:
        (only,) = operands
        shape = np.einsum(subscripts, np.broadcast_to(np.True_, only.shape)).shape

        async def local(suite: Suite, x: Share) -> Share:
            return x.apply(lambda part: part.adding(lambda words: np.einsum(subscripts, words)))
        return session.spawn("einsum", local, (only,), shape, only.kind, subscripts)
    if len(operands) != 2:
        raise NotImplementedError("einsum of more than two operands on secrets")
    x, y = operands
    plan = sums.plan(subscripts, np.shape(x), np.shape(y))
    z = product(plan.f, _arranged(x, plan.arrange_x, subscripts), _arranged(y, plan.arrange_y, subscripts))
    return cast(Secret, _arranged(z, plan.finish, subscripts))


def _arranged(x: Any, f: Any, public: object) -> Any:
    if not isinstance(x, Secret):
        return f(np.asarray(x))
    shape = f(np.broadcast_to(np.uint8(0), x.shape)).shape

    async def local(suite: Suite, share: Share) -> Share:
        return share.apply(lambda part: part.adding(f))
    return x.session.spawn("einsum", local, (x,), shape, x.kind, public)
