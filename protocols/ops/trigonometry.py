"""Sines of secrets and what belongs to them: tangents, inverses, hyperbolic functions, degrees.

*Sines.*  In units of a 2^k-th turn, which z = x·⌊2^(k−f)/2π⌉ is modulo 2^k, numbers are angles, and what they
wrap by are whole turns.  So for terms t_i that add up to z, each known to somebody (``summands``),

    cos z + i·sin z = Π (cos t_i + i·sin t_i)

whose factors are computed in the clear, by whoever knows the term.  There is no reduction of the argument, no
comparison, and nothing is approximated by the parties together.

*Inverses.*  arctan(y/x) is that of the smaller over the larger, t in [0, 1], by a division; arctan t =
t·P(t²), and π/2, π and signs put it in its octant.  arccos x = √(1 − x)·Q(x) for x in [0, 1], π less that of
−x below.  P and Q are interpolations at Chebyshev's points, of degree 11, right to 2^−33 (over Z_2^128 of
degree 19, to 2^−54).  The hyperbolic ones are exponentials, and logarithms.

Threat   the suite's: terms' sines are shared as other numbers are.
Cost     rounds and bytes a party sends for an element, over Z_2^64: in ``docs/accuracy.md``.
Range    sin, cos: all x; |x| < 2^(k−4−2f) for the accuracy below.  tan: |tan x| < 2^(k/2−3).  arctan2: |x|,
         |y| < 2^(k−5−f).  sinh, cosh: as exp.  arcsinh, arccosh: x² < 2^(k−3−2f).  arctanh: |x| < 1.
Result   arcsin and arccos beyond ±1 are those of ±1.  arctan2(0, 0) is 0.  arccosh of x < 1 and arctanh of
         |x| ≥ 1 are some number.
Accuracy sin, cos: 1.3 units, and π·|x|·2^(2f−k) more for an x that is larger.  tan: 1.3 units, and a
         2^(4−k/2)-th part of 1 + tan² x (2^−51, too), for |x| < 2^(k/2+2−f); a π·|x|·2^(f−k)-th part more
         beyond.  arcsin, arccos, arctan, arctan2: 1.2.  sinh, cosh: 2, or as exp.  arcsinh, arccosh: 2.5.
         arctanh: 2.  sinc: 1.8.  Over Z_2^128 doubles are right to 2^−51, and so are these.
Source   sines of sums of known terms: Boura, Chillotti, Gama, Jetchev, Peceny, Petric, ePrint 2017/1234
         (Fourier series, from masked arguments), and arXiv 2509.01178 for the terms of two; here for any
         suite, and modulo whole turns.  For comparison: Aly, Smart, ePrint 2019/354.  arccos with a root:
         Abramowitz, Stegun, Handbook of Mathematical Functions, 4.4.46.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import partial
from typing import Any, cast

import numpy as np

from mpc.ring import RingArray, Spec
from mpc.rounds import gather
from protocols.array.secret import Secret, call, unified
from protocols.bilinear import MULTIPLY
from protocols.ops import comparison, linear, products
from protocols.ops.comparison import negative
from protocols.ops.division import divided, precision
from protocols.ops.exponential import exp, log, power, vectors
from protocols.ops.normalisation import polynomial, product, scaled
from protocols.ops.roots import root, root_of
from protocols.suite import Share, Suite, elementwise, lift

# Literals, for every party must have the same ones to the last bit, whatever its mathematical library.
PI = Fraction("3.1415926535897932384626433832795028841971693993751")
TURN = Fraction("0.15915494309189533576888376337251436203445964574046")
#: arctan(√w)/√w, and arccos(w)/√(1 − w), for w = (m + 1)/2 and |m| ≤ 1.
_ARCTAN = np.array(
    [
        0.87041975131836532,
        -0.10187654233511255,
        0.020851854711529838,
        -0.0050308647463839394,
        0.0013155453481313221,
        -0.00036096950421515462,
        0.00010244731850063944,
        -2.9702952376123304e-5,
        8.4245408387011168e-6,
        -2.5148228853689349e-6,
        1.0584074016741091e-6,
        -3.2392356304222594e-7,
    ]
)
_ARCTAN_LONG = np.array(
    [
        0.87041975136710318,
        -0.10187654235021826,
        0.020851851207112616,
        -0.0050308636602458659,
        0.0013155859494802417,
        -0.00036098208712809243,
        0.00010227656303859468,
        -2.9650040130968546e-5,
        8.744926181959232e-6,
        -2.6140752498566915e-6,
        7.8991100870047874e-7,
        -2.4079309639231526e-7,
        7.3840339432586798e-8,
        -2.2816319925481128e-8,
        7.2346450526728526e-9,
        -2.2589126445635765e-9,
        5.8352023914524162e-10,
        -1.8308123279766157e-10,
        1.1629411794114163e-10,
        -3.6892600236687276e-11,
    ]
)
_ARCCOS = np.array(
    [
        1.4809609793763723,
        -0.076016091231762595,
        0.01102931401909515,
        -0.0021491360677235786,
        0.00048204597335677756,
        -0.00011741008507049864,
        3.0221387392945328e-5,
        -8.0737224220428215e-6,
        2.1516848486792903e-6,
        -6.0339437688962159e-7,
        2.3213222092347382e-7,
        -6.7706352582788121e-8,
    ]
)
_ARCCOS_LONG = np.array(
    [
        1.4809609793861221,
        -0.07601609123466499,
        0.011029313317979111,
        -0.0021491358590143866,
        0.00048205410056147568,
        -0.0001174125041523598,
        3.0187170145817538e-5,
        -8.0635396346809444e-6,
        2.2160189641661758e-6,
        -6.2253230113739122e-7,
        1.7797568309347218e-7,
        -5.1609547423532461e-8,
        1.5127893801542309e-8,
        -4.4832826556985441e-9,
        1.3625081119011203e-9,
        -4.1049316570048076e-10,
        1.053763456017404e-10,
        -3.2014692981963209e-11,
        1.876182859892961e-11,
        -5.7952909040599531e-12,
    ]
)
#: sin(π√w/2)/(π√w/2), right to 2^−53.
_SINC = np.array(
    [
        0.80670046760063244,
        -0.18134231363720966,
        0.011603383893660169,
        -0.00034773190733080277,
        6.034146124409443e-6,
        -6.8268461159180697e-8,
        5.4337353424589435e-10,
        -3.2077038369572766e-12,
    ]
)

# -- sines ---------------------------------------------------------------------------------------------


def _circle(term: RingArray) -> RingArray:
    """Cosine and sine of a term, in 2^k-ths of a turn, with p bits.  Local.

    Additions and multiplications of doubles only, which are the same on every machine: two parties that know
    a term must get the same.
    """
    ring = term.ring
    turn = ring.doubles(term.data) * 2.0**-ring.bits
    quarters = np.rint(4 * turn)
    angle = (turn - quarters / 4) * 6.283185307179586
    square = angle * angle
    cosine, sine = np.zeros_like(square), np.zeros_like(square)
    for i in range(8, -1, -1):  # by Taylor's series, for angles up to π/4
        cosine = 1.0 / math.factorial(2 * i) - square * cosine
        sine = 1.0 / math.factorial(2 * i + 1) - square * sine
    sine = angle * sine
    at = quarters.astype(int) & 3
    c, s = np.array([1.0, 0.0, -1.0, 0.0])[at], np.array([0.0, 1.0, 0.0, -1.0])[at]
    both = np.stack([cosine * c - sine * s, sine * c + cosine * s])
    return ring.whole(np.rint(both * 2.0 ** precision(ring.bits)))


async def circle(suite: Suite, z: Share, rows: tuple[bool, bool], bits: int) -> Share:
    """Cosines, sines, or both, as ``rows`` says, of a vector of angles in 2^k-ths of a turn, a row each, with
    so many bits.
    """
    ring, p = z.ring, precision(z.ring.bits)
    into = Spec(ring, (2, z.size))
    terms = list(await suite.summands(z, _circle, into))

    async def times(x: Share, y: Share, rows: tuple[bool, bool]) -> Share:
        multiply = suite.product_of_terms if len(terms) == 2 else partial(product, suite)
        made = []
        if rows[0]:
            made.append(multiply(x, y))
        if rows[1]:
            made.append(multiply(x, y[::-1]))
        pairs = await gather(*made)
        parts = [pairs[0][0] - pairs[0][1]] if rows[0] else []
        parts += [pairs[-1][0] + pairs[-1][1]] if rows[1] else []
        return cast(Share, lift(lambda *arrays: np.stack(arrays), *parts))

    turned = terms[0]
    for term in terms[1:-1]:
        turned = await suite.truncate(await times(turned, term, (True, True)), p)
    return await suite.truncate(await times(turned, terms[-1], rows), 2 * p - bits)


def _angle(x: Secret) -> int:
    """What x's ring elements are multiplied by to become 2^k-ths of a turn."""
    return round(TURN * (1 << x.session.ring.bits - x.kind.fraction))


def _wave(label: str, x: Secret, rows: tuple[bool, bool]) -> Secret:
    x = products.real(x)
    f, unit = x.kind.fraction, _angle(x)

    async def protocol(suite: Suite, x: Share) -> Share:
        return (await circle(suite, x * x.ring(unit), rows, f))[0]

    return vectors(label, protocol, x)


def sin(x: Secret) -> Secret:
    return _wave("sin", x, (False, True))


def cos(x: Secret) -> Secret:
    return _wave("cos", x, (True, False))


def tan(x: Secret) -> Secret:
    """sin x / cos x; some number where cos x is 0 to the last digit of what it is computed with."""
    x = products.real(x)
    f, unit, p = x.kind.fraction, _angle(x), precision(x.session.ring.bits)

    async def protocol(suite: Suite, x: Share) -> Share:
        both = await circle(suite, x * x.ring(unit), (True, True), p)
        return await divided(suite, both[1], both[0], f)

    return vectors("tan", protocol, x)


def sinc(x: Secret) -> Secret:
    """sin(πx) / (πx), where |x| ≤ 1/2 by a polynomial: a quotient would have lost its digits."""
    x = products.real(x)
    f, k = x.kind.fraction, x.session.ring.bits
    p = precision(k)
    bits = min(p, 2 * f)

    async def far(suite: Suite, x: Share) -> Share:
        turned = x * x.ring(1 << k - 1 - f)  # πx is x half turns
        sine = (await circle(suite, turned, (False, True), bits))[0]
        return await divided(suite, sine, x, 2 * f - bits)

    async def close(suite: Suite, x: Share) -> Share:
        ring, drop = x.ring, 2 * f - 2 - p  # (2x)² with p bits
        square = await _cut(suite, await product(suite, x, x) * ring(1 << max(0, -drop)), max(0, drop))
        return await _cut(suite, await polynomial(suite, square * ring(2) - ring(1 << p), _SINC, p), p - f)

    near = comparison.less(comparison.absolute(x), 0.5)
    quotient = products.multiply(vectors("sinc", far, x), float(1 / PI))
    return comparison.where(near, vectors("sinc, close", close, x), quotient)


# -- inverses ------------------------------------------------------------------------------------------


async def _cut(suite: Suite, x: Share, bits: int) -> Share:
    return await suite.truncate(x, bits) if bits else x


async def _arctan_of_fraction(suite: Suite, numerator: Share, denominator: Share) -> Share:
    """arctan with p fractional bits, for 0 ≤ numerator ≤ denominator; 0 for 0/0."""
    ring = numerator.ring
    k, p = ring.bits, precision(ring.bits)
    t = await divided(suite, numerator, denominator, p)
    square = await scaled(suite, t, t, p)
    series = await polynomial(suite, square * ring(2) - ring(1 << p), _ARCTAN if k <= 64 else _ARCTAN_LONG, p)
    return await scaled(suite, t, series, p)


async def _arctan2(suite: Suite, f: int, y: Share, x: Share) -> Share:
    """The angle of (x, y), with f fractional bits, from that of the octant in which |y| ≤ |x|."""
    ring, p = y.ring, precision(y.ring.bits)
    half = round(PI / 2 * 2**p)
    both = cast(Share, lift(lambda *parts: np.stack(parts), y, x))
    below = await negative(suite, both)
    both = both - await product(suite, below + below, both)
    up, along = both[0], both[1]
    steep = await negative(suite, along - up)
    more = await product(suite, steep, along - up)
    angle = await _arctan_of_fraction(suite, up + more, along - more)
    angle = angle + await product(suite, steep, -(angle + angle) + ring(half))
    angle = angle + await product(suite, below[1], -(angle + angle) + ring(2 * half))
    angle = angle - await product(suite, below[0], angle + angle)
    return await _cut(suite, angle, p - f)


def arctan2(y: Any, x: Any) -> Secret:
    """The angle of the point (x, y) from the first axis, −π to π; 0 of (0, 0)."""
    y, x = (products.real(v) for v in unified(y, x))
    shape, f = np.broadcast_shapes(y.shape, x.shape), y.kind.fraction
    y, x = (call(np.broadcast_to, v, shape) if v.shape != shape else v for v in (y, x))

    def streamed(suite: Suite, y: Share, x: Share) -> Any:
        async def piece(y: Share, x: Share) -> Share:
            return (await _arctan2(suite, f, y.reshape((y.size,)), x.reshape((x.size,)))).reshape(y.shape)

        return elementwise(piece, y, x)

    return cast(Secret, y.session.spawn("arctan2", streamed, (y, x), shape, y.kind))


def arctan(x: Secret) -> Secret:
    x = products.real(x)
    f = x.kind.fraction

    async def protocol(suite: Suite, x: Share) -> Share:
        ring, p = x.ring, precision(x.ring.bits)
        below = await negative(suite, x)
        size = x - await product(suite, below + below, x)
        steep = await negative(suite, -size + ring(1 << f))
        more = await product(suite, steep, -size + ring(1 << f))
        angle = await _arctan_of_fraction(suite, size + more, -more + ring(1 << f))
        angle = angle + await product(suite, steep, -(angle + angle) + ring(round(PI / 2 * 2**p)))
        angle = angle - await product(suite, below, angle + angle)
        return await _cut(suite, angle, p - f)

    return vectors("arctan", protocol, x)


def _arc(label: str, x: Secret, cosine: bool) -> Secret:
    """arccos |x| = √(1 − |x|)·Q(|x|), and what follows from it."""
    x = products.real(x)
    f, k = x.kind.fraction, x.session.ring.bits
    p, coefficients = precision(k), _ARCCOS if k <= 64 else _ARCCOS_LONG

    async def protocol(suite: Suite, x: Share) -> Share:
        ring = x.ring
        below = await negative(suite, x)
        size = x - await product(suite, below + below, x)
        series, side = await gather(
            polynomial(suite, size * ring(2 << p - f) - ring(1 << p), coefficients, p),
            root(suite, -size + ring(1 << f), f, p, False),
        )
        angle = await scaled(suite, side, series, p)
        if cosine:
            angle = angle + await product(suite, below, -(angle + angle) + ring(round(PI * 2**p)))
        else:
            angle = -angle + ring(round(PI / 2 * 2**p))
            angle = angle - await product(suite, below, angle + angle)
        return await _cut(suite, angle, p - f)

    return vectors(label, protocol, x)


def arcsin(x: Secret) -> Secret:
    return _arc("arcsin", x, False)


def arccos(x: Secret) -> Secret:
    return _arc("arccos", x, True)


# -- hyperbolic functions ------------------------------------------------------------------------------


def _exponentials(x: Secret) -> tuple[Secret, Secret]:
    x = products.real(x)
    both = exp(call(np.stack, [x, linear.negative(x)]))
    return both[0], both[1]


def sinh(x: Secret) -> Secret:
    return products.multiply(0.5, linear.subtract(*_exponentials(x)))


def cosh(x: Secret) -> Secret:
    return products.multiply(0.5, linear.add(*_exponentials(x)))


def _root_of_square(x: Secret, plus: int) -> Secret:
    """√(x² + plus), the square with all its digits."""
    return root_of("sqrt", linear.add(products.unrounded(MULTIPLY, x, x), plus), 2 * x.kind.fraction, x.kind)


def arcsinh(x: Secret) -> Secret:
    """log(|x| + √(x² + 1)), with the sign of x."""
    x = products.real(x)
    below = comparison.less(x, 0)
    sign = linear.subtract(1, products.multiply(2, below))
    size = products.multiply(sign, x)
    return products.multiply(sign, log(linear.add(size, _root_of_square(size, 1))))


def arccosh(x: Secret) -> Secret:
    x = products.real(x)
    return log(linear.add(x, _root_of_square(x, -1)))


def arctanh(x: Secret) -> Secret:
    """(log(1 + x) − log(1 − x)) / 2."""
    both = log(call(np.stack, [linear.add(products.real(x), 1), linear.subtract(1, products.real(x))]))
    return products.multiply(0.5, linear.subtract(both[0], both[1]))


# -- degrees and roots ---------------------------------------------------------------------------------


def radians(x: Secret) -> Secret:
    return products.multiply(products.real(x), float(PI / 180))


def degrees(x: Secret) -> Secret:
    return products.multiply(products.real(x), float(180 / PI))


def cbrt(x: Secret) -> Secret:
    """The third root, with the sign of x."""
    x = products.real(x)
    sign = linear.subtract(comparison.less(0, x), comparison.less(x, 0))
    return products.multiply(sign, power(products.multiply(sign, x), 1 / 3))
