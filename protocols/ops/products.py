"""Products of a secret with a secret or a public number, and what follows from them.

Two fixed-point numbers with f and g fractional bits multiply to f + g of them; the product is truncated
by min(f, g) after all sums inside it, so that a dot product is rounded once.  The product before
truncation must stay below 2^(k−2): |x·y| < 2^(k−2−f−g), which is the caller's to see to.  Times or over a
public number the product has all the room there is: ``scaling``.

Rounds   secret × secret: 1, and 1 more for the truncation of fixed point.  × public integer: 0.
         × or ÷ public real: two truncations; for powers of two and halves one, or none.
Accuracy x·y is rounded to a neighbouring multiple of 2^−f.  x·p for a public real p is right to 3 of them.
"""
from __future__ import annotations

from typing import Any, cast

import numpy as np

from mpc.encoding import BOOL, INT, Fixed, Kind, numeric
from mpc.ring import RingArray
from protocols import einsum as sums
from protocols.array import Secret, call, find_session, rescaled, retyped
from protocols.bilinear import MATMUL, MULTIPLY, Bilinear
from protocols.ops import linear
from protocols.ops.scaling import doubles, quotient, times
from protocols.suite import Share, Suite


def product(f: Bilinear, x: Any, y: Any) -> Secret:
    """f(x, y) where at least one operand is secret."""
    if isinstance(x, Secret) and isinstance(y, Secret):
        return _of_secrets(f, x, y)
    return _with_public(f, x, y, left=False) if isinstance(x, Secret) else _with_public(f, y, x, left=True)


def _of_secrets(f: Bilinear, x: Secret, y: Secret) -> Secret:
    return rounded(f, x, y, max(x.kind.fraction, y.kind.fraction))


def unrounded(f: Bilinear, x: Secret, y: Secret) -> Secret:
    """f(x, y) with all its fractional bits."""
    return rounded(f, x, y, x.kind.fraction + y.kind.fraction)


def rounded(f: Bilinear, x: Secret, y: Secret, fraction: int) -> Secret:
    """f(x, y) with so many fractional bits, no more than all."""
    bits = x.kind.fraction + y.kind.fraction - fraction

    def protocol(suite: Suite, x: Share, y: Share) -> Any:
        return suite.bilinear(f, x, y, bits)
    kind = _kind(fraction)
    if f == MULTIPLY and x.kind == y.kind == BOOL:
        kind = BOOL
    return x.session.spawn(f.name, protocol, (x, y), f.shape(x.shape, y.shape), kind)


def truncated(x: Secret, bits: int) -> Secret:
    """x / 2^bits, rounded at random to a neighbour, as the same kind."""
    def protocol(suite: Suite, x: Share) -> Any:
        return suite.truncate(x, bits)
    return x.session.spawn("truncate", protocol, (x,), x.shape, x.kind, bits)


def shifted(x: Secret, bits: int) -> Secret:
    """x / 2^bits as ``truncated``, or times 2^−bits."""
    return truncated(x, bits) if bits > 0 else multiply(x, 1 << -bits)


def read(x: Secret, fraction: int) -> Secret:
    """A real x with another number of fractional bits, rounded where these are fewer."""
    bits = x.kind.fraction - fraction
    return retyped(truncated(x, bits), _kind(fraction)) if bits > 0 else rescaled(x, _kind(fraction))


def _with_public(f: Bilinear, x: Secret, public: Any, *, left: bool) -> Secret:
    """Times a public array: integers, and elements of the ring, exactly; reals as ``scaling`` does it."""
    array = public if isinstance(public, RingArray) else numeric(public, "a public operand")
    if isinstance(array, RingArray):
        m, kind = array, linear.counted(x.kind)
    elif array.dtype.kind == "f":
        return times(f, x, doubles(array), left=left)
    else:
        truths = f == MULTIPLY and x.kind == BOOL and array.dtype.kind == "b"
        m, kind = x.session.public(array, INT), BOOL if truths else linear.counted(x.kind)
    shape = f.shape(m.shape, x.shape) if left else f.shape(x.shape, m.shape)

    async def scaled(suite: Suite, x: Share) -> Share:
        return x.apply(lambda part: f(m, part) if left else f(part, m))
    return x.session.spawn(f.name, scaled, (x,), shape, kind, m)


def _kind(fraction: int) -> Kind:
    return Fixed(fraction) if fraction else INT


def real(x: Secret) -> Secret:
    """x as fixed point: integers get the session's fractional bits.  Local."""
    return x if x.kind.fraction else rescaled(x, x.session.fixed)


def multiply(x: Any, y: Any) -> Secret:
    return product(MULTIPLY, x, y)


def matmul(x: Any, y: Any) -> Secret:
    return product(MATMUL, x, y)


def divide(x: Secret, y: Any) -> Secret:
    """x / y for a public y: x times 1/y.  The result is fixed point."""
    divisor = numeric(y, "a divisor")
    if not divisor.all():
        raise ZeroDivisionError("division of a secret by a public zero")
    return times(MULTIPLY, x, quotient(1.0, divisor))


def power(x: Secret, n: int) -> Secret:
    """x ** n for one public integer n ≥ 0, by squaring: about log2(n) products in sequence."""
    left, base = n, retyped(x, linear.counted(x.kind))
    result: Secret | None = None
    if left == 0:
        return linear.filled(base, 1)
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
    x = retyped(x, linear.counted(x.kind))
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
        inputs, _, out = subscripts.replace(" ", "").partition("->")
        kept = out if "->" in subscripts else [c for c in inputs if inputs.count(c) == 1]
        kind = only.kind if set(inputs) == set(kept) else linear.counted(only.kind)
        return session.spawn("einsum", local, (only,), shape, kind, subscripts)
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
