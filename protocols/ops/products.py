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

import math
from typing import Any, cast

import numpy as np

from mpc.encoding import BOOL, INT, Fixed, Kind, numeric, refuse_reals
from mpc.ring import Field, RingArray
from protocols.array.secret import Secret, call, constant, rescaled, retyped
from protocols.bilinear import MATMUL, MULTIPLY, Bilinear
from protocols.ops import einsum as sums
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

    kind = BOOL if x.kind == BOOL and y.kind == BOOL and f == MULTIPLY else _kind(fraction)
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
    if isinstance(x.session.ring, Field):
        refuse_reals(x.session.ring)
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


def prod(x: Secret, axis: Any = None, keepdims: bool = False) -> Secret:
    """Product along axes as a balanced tree: ⌈log2 n⌉ products in sequence."""
    y = linear.gathered(retyped(x, linear.counted(x.kind)), axis)
    shape = linear.reduced(x.shape, axis, keepdims)
    if len(y) == 0:
        return constant(x.session, np.ones(shape, int), y.kind)
    while (n := len(y)) > 1:
        half = n // 2
        folded = y[:half] * y[half : 2 * half]
        y = call(np.concatenate, [folded, y[2 * half :]]) if n % 2 else folded
    return y[0].reshape(shape)


def outer(x: Any, y: Any) -> Secret:
    return multiply(np.reshape(x, (-1, 1)), np.reshape(y, (1, -1)))


def dot(x: Any, y: Any) -> Secret:
    """Along the last axis of x and the last but one of y, or its only one."""
    n, m = np.ndim(x), np.ndim(y)
    if n == 0 or m == 0:
        return multiply(x, y)
    return matmul(x, y) if m < 3 else _along(x, np.moveaxis(y, -2, -1), "dot")


def inner(x: Any, y: Any) -> Secret:
    """Along the last axis of both."""
    return multiply(x, y) if np.ndim(x) == 0 or np.ndim(y) == 0 else _along(x, y, "inner")


def vdot(x: Any, y: Any) -> Secret:
    if np.size(x) != np.size(y):
        raise ValueError(
            f"np.vdot takes as many elements of one as of the other, not {np.size(x)} and {np.size(y)}"
        )
    return matmul(np.ravel(x), np.ravel(y))


def _along(x: Any, y: Any, name: str) -> Secret:
    """The sums of products along the last axes, for every row of x with every row of y."""
    (*rows, k), (*columns, other) = np.shape(x), np.shape(y)
    if k != other:
        raise ValueError(f"np.{name}: the axes that are added up have lengths {k} and {other}")
    m, n = math.prod(rows), math.prod(columns)
    return matmul(np.reshape(x, (m, k)), np.transpose(np.reshape(y, (n, k)))).reshape((*rows, *columns))


def einsum(*operands: Any, dtype: Any = None, optimize: Any = False) -> Secret:
    """Any number of operands: two at a time, as matrix products, in NumPy's greedy order; one, locally."""
    left, out, arrays = sums.parsed(operands)
    several = len(arrays) > 1
    arrays = [x if isinstance(x, Secret) else np.asarray(x) for x in arrays]
    if dtype is not None:
        arrays = [call(np.astype, x, dtype) if isinstance(x, Secret) else x.astype(dtype) for x in arrays]
    for i, j in sums.order(left, out, [np.shape(x) for x in arrays]):
        (y, x), (b, a) = (arrays.pop(j), arrays.pop(i)), (left.pop(j), left.pop(i))
        kept = (
            "".join(c for c in dict.fromkeys(a + b) if c in out or any(c in other for other in left))
            if left
            else out
        )
        arrays.append(_pair(f"{a},{b}->{kept}", x, y))
        left.append(kept)
    (result,), (labels,) = arrays, left
    return cast(Secret, result) if several else _single(f"{labels}->{out}", result)


def _single(subscripts: str, x: Secret) -> Secret:
    shape = np.einsum(subscripts, np.broadcast_to(np.True_, x.shape)).shape

    async def local(suite: Suite, x: Share) -> Share:
        return x.apply(lambda part: part.adding(lambda words: np.einsum(subscripts, words)))

    inputs, _, out = subscripts.partition("->")
    kind = x.kind if set(inputs) == set(out) else linear.counted(x.kind)
    return x.session.spawn("einsum", local, (x,), shape, kind, subscripts)


def _pair(subscripts: str, x: Any, y: Any) -> Any:
    if not isinstance(x, Secret) and not isinstance(y, Secret):
        return np.einsum(subscripts, x, y)
    plan = sums.plan(subscripts, np.shape(x), np.shape(y))
    z = product(plan.f, _arranged(x, plan.arrange_x, subscripts), _arranged(y, plan.arrange_y, subscripts))
    return _arranged(z, plan.finish, subscripts)


def _arranged(x: Any, f: Any, public: object) -> Any:
    if not isinstance(x, Secret):
        return f(x)
    shape = f(np.broadcast_to(np.uint8(0), x.shape)).shape

    async def local(suite: Suite, share: Share) -> Share:
        return share.apply(lambda part: part.adding(f))

    return x.session.spawn("einsum", local, (x,), shape, x.kind, public)
