"""Powers of e and 2 of secrets, logarithms, and what is made of them: powers with real exponents, sigmoid,
tanh, softmax.

The terms that add up to z, each known to somebody (``summands``), turn 2^z into a product.  With the integer
and fractional part of each term in units of 2^−g, taken locally and in the clear,

    2^z = Π 2^(fraction of term i) · 2^J · 2^−o,      J = Σ ⌊term i⌋ mod k,

where o is an offset added to z that makes J ≥ 0.  The fractions' powers are mantissas in [1, 2), computed by
whoever knows the term; the product of n of them is below 2^n.  Only the log₂ k bits of J are added up bit by
bit.  Nothing is approximated by the parties together, there is no polynomial and no carry through the
fraction's planes.

J = k/2·h + j:  with the mantissa m, m·2^j is the result for h = 1 and is truncated by k/2 for h = 0, so that
results have the whole range of fixed point.

log₂ x = c + log₂ v for x = v·2^c (``normalisation``), and log₂ v on [1/2, 1] is a polynomial of degree 11,
right to 2^−32 (over Z_2^128 of degree 19, to 2^−53).

Candidates for exp at 64 bits, in products and truncations (1.5 to 2.5 products each) a number, the clamp's
comparison aside:

    (1 + x/256)^256 (CrypTen; SPU's default, wrong by up to 9 %)          8 products    8 truncations
    bits of z, polynomial of the fraction (MP-SPDZ)                      25            8             ~350 ANDs
    powers of known terms (this)                                         18            2              ~30 ANDs

A bit that goes to the ring counts as 1.5 products here.

Range    exp: x < (k − 3 − f − n)·ln 2 for n = 2 terms, or as many as there are parties, if more; beyond, the
         result is meaningless.  However small x is, the result is 0 below −(f + 2)·ln 2.  log: x > 0.
         sigmoid, tanh, softmax: all x.
Result   log 0 is log 2^−f; log x is log |x| for x < 0.  Where a is not whole, x^a is that of |x|^a, 0^a is
         (2^−f)^a; so with secret a, where integers a give x < 0 its sign.
Accuracy exp: 1 unit in the last place, or a 2^−25-th part of larger results (over Z_2^32 a 2^−10-th, over
         Z_2^128 a 2^−49-th; one bit less for each party from the third on, with ``additive``).  log: 1 unit.
         sigmoid: 1.5, tanh: 3, softmax: 7 for rows of 10.  x^a: 1 unit, or a 2^−22-th part (2^−8, 2^−49),
         less for |a| > 1.  a^x: as exp, or an |x|·2^−s-th part, s = k − log₂ k − f, where a is next to 1.
         Measured over the whole range, with rounds and bytes, in ``docs/accuracy.md``.
Cost     over Z_2^64 12 rounds and 219 bytes a party for an exp of two parties without a dealer, 147 with one,
         16 and 153 with ``replicated``: 7 bits that go to the ring, 8 products, 2 truncations, a comparison.
Source   the terms' powers as factors: the idea of Kelkar, Le, Raykova, Seth, Secure Poisson regression,
         USENIX Security 2022, for two parties, here for the terms of any suite; 2^j from bits: Aly, Smart,
         ePrint 2019/354.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Context, Decimal
from fractions import Fraction
from functools import partial
from typing import Any, cast

import numpy as np

from mpc.encoding import INT, Kind, numeric
from mpc.ring import NDArray, RingArray
from mpc.rounds import gather
from protocols.array.secret import Secret, beside, call, constant, retyped
from protocols.carries import bits_of, joined, sum_bits, two_terms
from protocols.ops import comparison, linear, products
from protocols.ops.bitwise import low_bits, low_digits
from protocols.ops.comparison import negative
from protocols.ops.division import SPARE, inverse, normalised, precision, reciprocal
from protocols.ops.normalisation import (
    any_bit,
    numbers,
    polynomial,
    power_of_two,
    product,
    product_of,
    scaled,
)
from protocols.ops.roots import rsqrt, sqrt
from protocols.suite import Share, Suite, elementwise

# Literals, for every party must have the same ones to the last bit, whatever its mathematical library.
LN2 = Fraction("0.69314718055994530941723212145817656808")
LOG2E = Fraction("1.4426950408889634073599246810018921374")
#: log₂((m + 3)/4) for |m| ≤ 1: interpolation at Chebyshev's points, right to 2^−32 and to 2^−53.
_LOG2 = np.array(
    [
        -0.4150374991301,
        0.4808983469171,
        -0.08014973519056,
        0.01781105318958,
        -0.004452638535432,
        0.001187365069401,
        -0.0003303555515431,
        9.439924763477e-05,
        -2.650786588987e-05,
        7.8421991437e-06,
        -3.263561931514e-06,
        9.933263148317e-07,
    ]
)
_LOG2_LONG = np.array(
    [
        -0.41503749927884376,
        0.4808983469629878,
        -0.08014972449384465,
        0.01781104988752232,
        -0.0044527624714398644,
        0.0011874033256946497,
        -0.0003298342627765565,
        9.423836097507623e-05,
        -2.7486151974305394e-05,
        8.144044239534706e-06,
        -2.4433500383312513e-06,
        7.404111179789383e-07,
        -2.2592596818005443e-07,
        6.951257535047639e-08,
        -2.1952826114457824e-08,
        6.8326141577379646e-09,
        -1.763782965864836e-09,
        5.519183586876429e-10,
        -3.485051987607372e-10,
        1.1035477181121902e-10,
    ]
)

# -- powers of two -------------------------------------------------------------------------------------


def mantissa(term: RingArray, g: int) -> RingArray:
    """2^(t mod 1) in [1, 2) with p bits, for a term t with g fractional bits.  Local.

    Additions and multiplications of doubles only, which are the same on every machine: two parties that know
    a term must get the same.
    """
    ring = term.ring
    shift = max(0, g - 52)
    t = ring.doubles((term.low(g) >> shift).data) * 2.0 ** (shift - g) - 0.5
    t *= 0.6931471805599453
    # for 2^−41 and, being even, no less than 1; or for all of a double's digits
    degree = 10 if ring.bits <= 64 else 13
    power = np.full(t.shape, 1.0 / math.factorial(degree))
    for i in range(degree - 1, -1, -1):  # e^t, |t| < 0.35, by Taylor's series
        power *= t
        power += 1.0 / math.factorial(i)
    power *= 1.4142135623730951 * 2.0 ** precision(ring.bits)
    return ring.whole(np.floor(power))


async def two_to(
    suite: Suite, z: Share, g: int, f: int, least: int | None = None, most: int | None = None
) -> Share:
    """2^z with f fractional bits, for z with g, of which only those below 2^(g + log2 k) are looked at.

    Right for z ≥ −least, which is f + 2 or more; what is below is to be replaced by the caller.  z ≤
    ``most``, if said, saves work."""
    ring = z.ring
    k, half = ring.bits, ring.bits // 2
    least = least or f + 2
    terms = list(await suite.summands(z, partial(mantissa, g=g), z.spec))
    n = len(terms)
    places = (k - 1).bit_length()
    offset = least + n - 1
    narrow = most is not None and offset + most < half

    async def mantissas() -> Share:
        m = await (suite.product_of_terms(*terms) if n == 2 else product(suite, terms[0], terms[1]))
        # below 2^(k/2−1) again: k/2 − 1 − i bits for a product of i
        m = await suite.truncate(m, half - 1)
        for term in terms[2:]:
            m = await scaled(suite, m, term, half - 1)
        return m

    async def exponent() -> tuple[Share, Share | None]:
        moved = z + ring((offset << g) % (1 << k))
        j = await sum_bits(suite, *await two_terms(suite, moved, g, g + places))
        digits = await numbers(suite, j[: places - 1] if narrow else j, ring, z.size)
        return await power_of_two(suite, digits[: places - 1]), None if narrow else digits[-1]

    m, (power, high) = await gather(mantissas(), exponent())
    drop = least - f - 2
    if high is None:
        return await scaled(suite, m, power, half + drop)
    large = await product(suite, m, power)
    small = await suite.truncate(large, half)
    result = small + await product(suite, high, large - small)
    return await suite.truncate(result, drop) if drop else result


def fraction_of_exponent(k: int, f: int) -> tuple[int, int]:
    """Bits s of a public factor, and g = f + s of the exponent: as many as leave room for log2(k) integer
    bits.
    """
    s = k - (k - 1).bit_length() - f
    return s, f + s


def _exponential(x: Secret, factor: Fraction | int, most: int | None = None) -> Secret:
    """2^(factor·x); ``most`` bounds factor·x, if that is known."""
    x = products.real(x)
    f, k = x.kind.fraction, x.session.ring.bits
    s, g = (0, f) if factor == 1 else fraction_of_exponent(k, f)
    m = round(factor * 2**s)
    # below it, results round to 0; half a bit early, for factor is rounded
    lowest = max(math.ceil(-(f + Fraction(3, 2)) / factor * 2**f), -1 << k - 2)

    async def protocol(suite: Suite, x: Share) -> Share:
        ring = x.ring
        power, below = await gather(
            two_to(suite, x * ring(m), g, f, most=most), negative(suite, x - ring(lowest))
        )
        return cast(Share, power - await product(suite, power, below))

    return vectors("exp", protocol, x, (m, lowest, s, most))


def vectors(label: str, protocol: Callable[[Suite, Share], Any], x: Secret, public: object = None) -> Secret:
    """``protocol`` of vectors, on pieces of an array of any shape."""

    def streamed(suite: Suite, x: Share) -> Any:
        async def piece(x: Share) -> Share:
            return cast(Share, await protocol(suite, x.reshape((x.size,)))).reshape(x.shape)

        return elementwise(piece, x)

    return x.session.spawn(label, streamed, (x,), x.shape, x.kind, public)


def exp(x: Secret) -> Secret:
    return _exponential(x, LOG2E)


def exp2(x: Secret) -> Secret:
    return _exponential(x, 1)


def expm1(x: Secret) -> Secret:
    """exp(x) − 1: no more digits than that, since fixed point has none to lose."""
    return linear.subtract(exp(x), 1)


# -- logarithms ----------------------------------------------------------------------------------------


async def log_of(suite: Suite, x: Share, f: int, base: Fraction | int) -> Share:
    """log |x| / log 2 · base with p fractional bits; log of 2^−f for 0."""
    ring = x.ring
    k, p, half = ring.bits, precision(ring.bits), ring.bits // 2
    _, positive, low, high, (*digits, _, nonzero) = await normalised(suite, x)
    v = await scaled(suite, positive, low * ring(1 << half) + high, k - 1 - SPARE - p)
    zero = -nonzero + ring(1)
    centred = v * ring(4) + zero * ring(4 << p) - ring(3 << p)
    series = await polynomial(suite, centred, (_LOG2 if k <= 64 else _LOG2_LONG) * float(base), p)
    c = zero * ring(SPARE) - ring(SPARE + f)
    for i, digit in enumerate(digits):
        c = c + digit * ring(1 << i)
    return series + c * ring(round(base * 2**p))


def _logarithm(x: Secret, base: Fraction | int) -> Secret:
    x = products.real(x)
    f = x.kind.fraction
    extra = precision(x.session.ring.bits) - f

    async def protocol(suite: Suite, x: Share) -> Share:
        result = await log_of(suite, x, f, base)
        return await suite.truncate(result, extra) if extra else result

    return vectors("log", protocol, x, float(base))


def log(x: Secret) -> Secret:
    return _logarithm(x, LN2)


def log2(x: Secret) -> Secret:
    return _logarithm(x, 1)


def log10(x: Secret) -> Secret:
    return _logarithm(x, Fraction("0.30102999566398119521373889472449302677"))


def log1p(x: Secret) -> Secret:
    """log(1 + x): no more digits than that, since fixed point has none to lose."""
    return log(linear.add(products.real(x), 1))


# -- powers --------------------------------------------------------------------------------------------


def power(x: Any, exponent: Any) -> Secret:
    """x ** a for a public a, one number or an array of them; a ** x for a public number a; or x ** y of two
    secrets.

    Whole powers are by squaring, negative ones of 1/x, halves are roots, other ones 2^(a·log2 |x|).  Integers
    to the power of integers are integers.  A public integer to the power of secret integers y in [0, k) is
    exact too, a real one above 0 is 2^(y·log2 a).  So is that of two secrets, |x|^y of a real y; but integers
    y, if any real is about, give x < 0 its sign, and integers x to the power of integers y in [0, k) are
    exact."""
    if isinstance(exponent, Secret):
        return _of_public(x, exponent)
    a = numeric(exponent, "an exponent")
    if not np.isfinite(a).all():
        raise NotImplementedError("powers with an exponent that is NaN or infinite")
    integers = not x.kind.fraction and a.dtype.kind != "f"
    if integers and (a < 0).any():
        raise ValueError(
            "np.power: integers to negative integer powers are no integers; write 1 / x ** n, "
            "or a real exponent"
        )

    def powers(x: Secret, a: float) -> Secret:
        result = products.power(x, int(a)) if a >= 0 else products.power(reciprocal(x), -int(a))
        return result if integers else products.real(result)

    if a.size and (a == a.flat[0]).all():
        one = a.flat[0]
        x = call(np.broadcast_to, x, np.broadcast_shapes(x.shape, a.shape))
        if one == np.rint(one):
            return powers(x, one)
        return _real_power(x, a) if abs(one) != 0.5 else sqrt(x) if one > 0 else rsqrt(x)
    shape = np.broadcast_shapes(x.shape, a.shape)
    x, a = call(np.broadcast_to, x, shape).ravel(), np.broadcast_to(a, shape).reshape(-1)
    whole = a == np.rint(a)
    groups = [np.flatnonzero(a == one) for one in np.unique(a[whole])]
    done = [powers(x[at], a[at[0]]) for at in groups]
    if not whole.all():
        groups.append(np.flatnonzero(~whole))
        done.append(_real_power(x[~whole], a[~whole]))
    if not groups:  # of nothing
        return powers(x, 1).reshape(shape)
    return call(np.concatenate, done)[np.argsort(np.concatenate(groups))].reshape(shape)


def float_power(x: Any, exponent: Any) -> Secret:
    """``power`` among reals, whatever the operands are."""

    def real(v: Any) -> Any:
        return products.real(v) if isinstance(v, Secret) else numeric(v).astype(np.float64)

    return power(real(x), real(exponent))


def _of_public(x: Any, exponent: Secret) -> Secret:
    if isinstance(x, Secret):
        return _of_secrets(x, exponent)
    base = numeric(x, "a base")
    if base.ndim == 0 and base.dtype.kind != "f" and not exponent.kind.fraction:
        return _of_integer(int(base), exponent)
    if base.ndim and base.dtype.kind != "f" and not exponent.kind.fraction:
        return _of_secrets(
            constant(exponent.session, base.astype(int) if base.dtype.kind == "b" else base, INT), exponent
        )
    base = base.astype(np.float64)
    if not (np.isfinite(base) & (base > 0)).all():
        raise NotImplementedError(
            "np.power of a public base that is not above 0 with a secret exponent; "
            "share the base, or take its magnitude"
        )
    if base.ndim:
        return _of_secrets(constant(exponent.session, base, exponent.session.fixed), exponent)
    if base == 1:
        return linear.filled(products.real(exponent), 1)
    if base > 1:
        return _exponential(exponent, _log2(float(base)))
    return _exponential(linear.negative(exponent), -_log2(float(base)))


def _log2(base: float) -> Fraction:
    """log₂ of a public number to forty digits, the same on every machine."""
    to = Context(prec=40)
    return Fraction(to.divide(to.ln(Decimal(base)), to.ln(Decimal(2))))


def _of_integer(base: int, exponent: Secret) -> Secret:
    """base^y = Π (1 + (base^(2^i) − 1)·y_i) modulo 2^k, for the binary digits y_i of 0 ≤ y < k."""
    k = exponent.session.ring.bits
    places = (k - 1).bit_length()
    jumps = [(pow(base, 1 << i, 1 << k) - 1) % (1 << k) for i in range(places)]

    async def protocol(suite: Suite, y: Share) -> Share:
        ring = y.ring
        digits = await low_digits(suite, y)
        factors = [digit * ring(jump) + ring(1) for digit, jump in zip(digits, jumps, strict=True)]
        return await product_of(suite, factors)

    return vectors("power", protocol, retyped(exponent, INT), public=base)


def _of_secrets(x: Secret, y: Secret) -> Secret:
    """Elementwise, over operands of one shape."""
    shape = np.broadcast_shapes(x.shape, y.shape)
    x, y = (call(np.broadcast_to, v, shape) if v.shape != shape else v for v in (x, y))
    if not x.kind.fraction and not y.kind.fraction:
        return _between("power", _whole_power, retyped(x, INT), retyped(y, INT), INT)
    base = products.real(x)
    f, g = base.kind.fraction, y.kind.fraction
    size = _between("power", partial(_size_of_power, f, g), base, y, base.kind)
    if g:
        return size
    odd = products.multiply(comparison.less(base, 0), low_bits(retyped(y, INT), 1))
    return products.multiply(size, linear.subtract(1, products.multiply(2, odd)))


def _between(
    label: str, protocol: Callable[[Suite, Share, Share], Any], x: Secret, y: Secret, kind: Kind
) -> Secret:
    """``protocol`` of vectors, on pieces of two arrays of one shape."""

    def streamed(suite: Suite, x: Share, y: Share) -> Any:
        async def piece(x: Share, y: Share) -> Share:
            return cast(Share, await protocol(suite, x.reshape((x.size,)), y.reshape((y.size,)))).reshape(
                x.shape
            )

        return elementwise(piece, x, y)

    return x.session.spawn(label, streamed, (x, y), x.shape, kind)


async def _whole_power(suite: Suite, x: Share, y: Share) -> Share:
    """x^y = Π (1 + (x^(2^i) − 1)·y_i) modulo 2^k, for the binary digits y_i of 0 ≤ y < k."""
    one = x.ring(1)

    async def squares() -> list[Share]:
        powers = [x]
        for _ in range((x.ring.bits - 1).bit_length() - 1):
            powers.append(await product(suite, powers[-1], powers[-1]))
        return powers

    powers, digits = await gather(squares(), low_digits(suite, y))
    factors = await gather(
        *(product(suite, power - one, digit) for power, digit in zip(powers, digits, strict=True))
    )
    return await product_of(suite, [factor + one for factor in factors])


async def _size_of_power(f: int, g: int, suite: Suite, x: Share, y: Share) -> Share:
    """|x|^y for x with f fractional bits, as the result, and y with g; 0 where it is below 2^−(f+1)."""
    ring = x.ring
    k, p = ring.bits, precision(ring.bits)
    z = await product(suite, y, await log_of(suite, x, f, 1))
    digits = g + p
    excess = max(0, digits + (k - 1).bit_length() + 2 - k)
    if excess:
        z, digits = await suite.truncate(z, excess), digits - excess
    under = z + ring((2 * f + 3) << digits - 1)  # half a bit early, as an exponential
    result, below = await gather(two_to(suite, z, digits, f), negative(suite, under))
    return cast(Share, result - await product(suite, result, below))


def _real_power(x: Secret, a: Any) -> Secret:
    a = a.astype(np.float64)
    if np.abs(a).max(initial=0) > 64:
        raise NotImplementedError("powers with real exponents outside ±64")
    x = products.real(x)
    shape = np.broadcast_shapes(x.shape, a.shape)
    x = call(np.broadcast_to, x, shape) if x.shape != shape else x
    f, k = x.kind.fraction, x.session.ring.bits
    p = precision(k)
    s, g = fraction_of_exponent(k, p)
    fine, coarse = (
        x.session.ring.whole(np.rint(np.broadcast_to(a, shape).reshape(-1) * 2.0**bits))
        for bits in (s, k // 8)
    )

    async def protocol(suite: Suite, x: Share) -> Share:
        ring = x.ring
        flat = x.reshape((x.size,))
        z = await log_of(suite, flat, f, 1)
        under = z * coarse + ring((f + 1) << (p + k // 8))  # a bit early: coarse is off by less
        result, below = await gather(two_to(suite, z * fine, g, f), negative(suite, under))
        return cast(Share, result - await product(suite, result, below)).reshape(x.shape)

    return x.session.spawn("power", protocol, (x,), shape, x.kind, a)


# -- what learning is made of --------------------------------------------------------------------------


@beside("mpc.sigmoid", lambda x: 1 / (1 + np.exp(-x)))
def sigmoid(x: Secret) -> Secret:
    """1 / (1 + exp(−x)): for t = exp(−|x|), 1/(1 + t) or 1 less that, whichever side x is on; the divisor is
    in [1, 2].
    """
    x = products.real(x)
    f, k = x.kind.fraction, x.session.ring.bits
    p = precision(k)
    more = min(p - 1, f + 2)  # fractional bits of t
    reach = math.ceil(math.log2((more + 2) * LN2))  # t is 0 from |x| = 2^reach on
    s, g = fraction_of_exponent(k, f)

    async def protocol(suite: Suite, x: Share) -> Share:
        ring = x.ring
        bits = await bits_of(suite, x)
        sign = bits[k - 1 :]
        far = await any_bit(suite, bits[f + reach : k - 1] + joined(*[sign] * (k - 1 - f - reach)))
        left, below = await numbers(suite, joined(sign, far), ring, x.size)
        down = await product(suite, x, left + left - ring(1))  # −|x|
        t = await two_to(suite, down * ring(round(LOG2E * 2**s)), g, more, math.ceil(2**reach * LOG2E), 0)
        t = t - await product(suite, t, below)
        v = (t + ring(1 << more)) * ring(1 << p - 1 - more)
        right = 1 if f <= min(16, k // 4) else 2 if f <= 32 else 3
        r = await inverse(suite, v, await suite.truncate(v, p - (p // 2 - 1)), right)
        centred = await suite.truncate(r - ring(1 << p), p + 1 - f)  # 1/(1 + t) − 1/2
        return await product(suite, centred, -(left + left) + ring(1)) + ring(1 << f - 1)

    return vectors("sigmoid", protocol, x)


def tanh(x: Secret) -> Secret:
    """2·sigmoid(2x) − 1."""
    return linear.subtract(products.multiply(2, sigmoid(products.multiply(2, x))), 1)


def _plain_softmax(x: NDArray, axis: int = -1) -> NDArray:
    raised = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(raised / raised.sum(axis=axis, keepdims=True))


@beside("mpc.softmax", _plain_softmax)
def softmax(x: Secret, axis: int = -1) -> Secret:
    """exp(x) / Σ exp(x) along an axis, from which the maximum is subtracted first: for every x."""
    raised = _exponential(linear.subtract(x, comparison.max_(x, axis, keepdims=True)), LOG2E, most=0)
    return products.multiply(raised, reciprocal(linear.sum_(raised, axis, keepdims=True)))
