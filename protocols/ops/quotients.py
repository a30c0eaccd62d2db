"""Quotients and remainders by any number, exactly: ``//``, ``%``, ``divmod``, ``np.fmod``.

*By a public number* d, from the terms that add up to x.  With x + 2^(k−1) = Σ t_i − C·2^k, where C counts the
carries, every party divides its own term in the clear, and 2^k is divided by all:

    t_i − 2^(k−1)/n = q_i·d + r_i,  2^k = Q·d + R:  x = q̃·d + v,  q̃ = Σ q_i − C·Q,  v = Σ r_i − C·R = x − q̃·d

so that −(n−1)·d ≤ v < n·d for n terms, and 2(n−1) comparisons of v with multiples of d, side by side, say
what is missing.  They take place modulo 2^32 where v fits.  The units of d are those of x; a real d is a
whole number m times 2^−s of them, exactly, and then m divides 2^s·x: no digit of d is dropped.  Powers of two
have shorter ways (``bitwise``).

*By a secret number* y, in digits of a high radix.  |y| = v·2^c with v in [1/2, 1] and r ≈ 1/v as in
``division``; for what is left of x, x_1 = x·sign(y), and each digit of the quotient

    q_i = ⌊x_i·2^−c·r⌉,   x_{i+1} = x_i − q_i·|y|:      |x_{i+1}/y| < ε·|x_i/y| + a few

of which the first is a multiple of 2^(k/2−2), and 0 unless y is short, lest its rounding be beyond the range.
The last is rounded down by a half more, so that −|y| < x < 2|y| remains; two comparisons say what is missing.

Threat   the suite's.  What parties divide are their own terms, and the digits are products and truncations.
Cost     over Z_2^64, rounds and bytes a party sends for an element:

                                                          additive, no dealer     replicated
             by a public number of 29 bits or fewer        15,  85                 17,  65
             of more: x // y; x % y                        16, 117; 17, 126        18,  82; 20,  92
             np.fmod of integers                           23, 165                 26, 118
             by a secret: x // y; x % y                    57, 710; 59, 742        68, 510; 70, 526

Range    by a public number: all of the ring, and (2n − 1)·|d| < 2^127 units; quotients of reals must be in
         range themselves, and remainders, so that x % d beyond |d| = 2^(k−1) is refused.
         By a secret one: |x| < 2^(k−2) and |y| < 2^(k−5), in units of the last place.
Result   of NumPy's: rounded down, a remainder has the divisor's sign (``np.fmod``: the dividend's).  x // 0
         and x % 0 are 0 for a secret 0.
Accuracy exact; but the remainder by a public real that is no multiple of 2^−f is rounded to a neighbouring
one.
Source   division of known terms, and what their sum lacks: CrypTFlow2, ePrint 2020/1002, and arXiv
         2509.01178, for two; here for the terms of any suite, with all carries.  Digits of a high radix:
         Wong, Flynn, IEEE Transactions on Computers 41 (1992).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from mpc.encoding import INT, Kind, numeric
from mpc.errors import EncodingError
from mpc.ring import RINGS, NDArray, Ring, RingArray, Spec
from mpc.rounds import gather
from protocols.array.secret import Secret, call, rescaled, retyped, unified
from protocols.carries import carry
from protocols.ops import comparison, linear, products
from protocols.ops.bitwise import by_amount, carried, low_bits, shift, sum_of_terms
from protocols.ops.comparison import to_ring
from protocols.ops.division import SPARE, factors, inverse, normalised, precision
from protocols.ops.normalisation import product, scaled
from protocols.suite import Share, Suite, elementwise, lift

# -- by public numbers ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Divisor:
    """sign·m·2^−s units, one for all or a vector of them; m as Python's integers."""

    m: NDArray
    s: int
    negative: NDArray

    @classmethod
    def of(cls, y: NDArray, fraction: int) -> Divisor:
        """A public number in units of 2^−fraction."""
        if y.dtype.kind == "f":
            mantissa, exponent = np.frexp(np.abs(y.astype(np.float64)))
            whole, places = np.ldexp(mantissa, 53).astype(np.int64), exponent.astype(np.int64) - 53 + fraction
            zeros = np.frexp((whole & -whole).astype(np.float64))[1] - 1
            s = int(np.max(-(places + zeros), initial=0))
            up = np.array(places + s, object)  # where that is below 0, the digits that go are zeros
            m = np.array(whole, object) << up.clip(0) >> (-up).clip(0)
        else:
            s, m = 0, np.abs(np.array(y, object)) << fraction
        return cls(np.asarray(m, object), s, np.asarray(y < 0))

    def units(self, ring: Ring) -> RingArray:
        """sign·m as elements."""
        return ring(self.m * self.sign)

    @property
    def sign(self) -> NDArray:
        return 1 - 2 * self.negative.astype(object)


class Plan:
    """What a divisor comes to for n terms over a ring."""

    def __init__(self, d: Divisor, ring: Ring, n: int, rest: bool) -> None:
        m, s, k = d.m, d.s, ring.bits
        half = 1 << k - 1
        self.d, self.ring, self.n = d, ring, n
        each, left = divmod(half, n)  # of 2^(k−1), for each term, and what that leaves over
        self.share = each + (d.negative & (left > 0)).astype(object)
        self.ends, self.left = _over(np.abs(half - n * self.share) << s, m)
        self.whole, self.over = _over((1 << k + s) * d.sign, m)
        self.below = max(-(-((n - 1) * self.over + self.left) // m), default=0)
        most = (n + self.below) * max(m, default=1)
        least = max(k, s + 2) if s and rest else 0  # of what a remainder is truncated in
        fits = [r for bits, r in sorted(RINGS.items()) if bits >= least and most < 1 << bits - 1]
        if not fits:
            raise NotImplementedError(
                "np.floor_divide and np.remainder of secrets by numbers of 2^125 units in the last "
                "place or more, or by reals far below that place; compare, or scale the data"
            )
        self.wide = fits[0]

    def quotient(self, term: RingArray) -> RingArray:
        return self._of(term)[0]

    def rest(self, term: RingArray) -> RingArray:
        return self._of(term)[1]

    def _of(self, term: RingArray) -> tuple[RingArray, RingArray]:
        """What a term less its share of 2^(k−1), times 2^s, comes to over d: the quotient, and how much of
        |d| remains.
        """
        ring, d = self.ring, self.d
        quotient, rest = _long_division(term, d.m, d.s)
        whole, over = _over(self.share << d.s, d.m)
        wide = rest.dtype.type if rest.dtype != object else int
        m, over = (np.asarray(v, rest.dtype) for v in (d.m, over))
        short = rest < over
        rest = rest - over + np.where(short, m, wide(0))
        quotient = quotient - ring(whole) - ring(short)
        if d.negative.any():  # −⌈…⌉ where the divisor is below 0
            some = (rest != 0) & d.negative
            quotient = quotient * ring(d.sign) - ring(some)
            rest = np.where(some, m - rest, np.where(d.negative, wide(0), rest))
        return quotient, self.wide(rest)


def _over(x: NDArray, m: NDArray) -> tuple[NDArray, NDArray]:
    return np.asarray(x // m, object), np.asarray(x % m, object)


def _long_division(term: RingArray, m: NDArray, s: int) -> tuple[RingArray, NDArray]:
    """The quotient of term·2^s, unsigned, by m, and the rest: word by word; as Python's integers where m does
    not fit a word.
    """
    ring, longest = term.ring, max(m.ravel(), default=1).bit_length()
    words = [np.asarray(word, np.uint64) for word in ring.words(term.data)]
    shape = np.broadcast_shapes(term.shape, m.shape)
    if longest > 63 or s > 63:
        whole = np.asarray(sum(word.astype(object) << 64 * i for i, word in enumerate(words)), object)
        quotient, over = _over(whole << s, m)
        return RingArray(ring, ring(quotient).data.reshape(shape)), over.reshape(shape)
    by, step = m.astype(np.uint64), 64 - longest

    def below(rest: NDArray, word: NDArray, bits: int) -> tuple[NDArray, NDArray]:
        """rest·2^bits + word over m, for a rest below m: as many bits at once as a word has room for."""
        quotient = np.zeros(shape, np.uint64)
        while bits:
            n = min(step, bits)
            bits -= n
            rest = rest << np.uint64(n) | word >> np.uint64(bits) & np.uint64((1 << n) - 1)
            quotient, rest = quotient << np.uint64(n) | rest // by, rest % by
        return quotient, rest

    quotients = [np.broadcast_to(words[-1] // by, shape)]
    rest = np.asarray(words[-1] % by)
    for word in words[-2::-1]:
        digit, rest = below(rest, word, 64)
        quotients.insert(0, digit)
    made = ring.of_words(*quotients)
    if s:
        digit, rest = below(rest, np.zeros((), np.uint64), s)
        made = (made << s) + ring(digit)
    return made, rest


def _into(x: Share, ring: Ring) -> Share:
    """Modulo a smaller power of two, or the same."""
    return x if x.ring is ring else x.apply(lambda part: ring(part.data))


async def by_public(suite: Suite, plan: Plan, rest: bool, x: Share) -> tuple[Share, Share | None]:
    """⌊x / d⌋ as an integer, and x mod d as x is, of vectors."""
    ring, wide, d, n = x.ring, plan.wide, plan.d, plan.n
    longer = wide if wide.bits > ring.bits else ring
    moved = x + ring(1 << ring.bits - 1)

    async def remainders() -> Share | None:
        if longer is ring:
            return None
        return await sum_of_terms(suite, moved, plan.rest, Spec(wide, x.shape))

    q, over, count = await gather(
        sum_of_terms(suite, moved, plan.quotient, x.spec),
        remainders(),
        carried(suite, moved, [ring.bits], longer),
    )
    ends = suite.constant(ring(np.broadcast_to(plan.ends, x.shape)))
    q = q - _into(count[0], ring) * ring(plan.whole) - ends
    multiples = d.units(ring)
    if over is not None:
        v = over - count[0] * wide(plan.over) - suite.constant(wide(np.broadcast_to(plan.left, x.shape)))
    else:
        v = x * ring(1 << d.s) - q * multiples  # q takes 2^(k−1) in
        v = _into(v if not d.negative.any() else v * ring(d.sign), wide)
    m = np.broadcast_to(d.m, x.shape)
    against = wide(np.stack([-j * m for j in range(1, n)] + [j * m for j in range(plan.below)]))
    rows = cast(Share, lift(lambda part: np.broadcast_to(part, against.shape), v)) + against
    less = await to_ring(suite, await carry(suite, await suite.signs(rows)), longer, against.shape)
    missing = -less.apply(lambda part: part.sum(0)) + longer(n - 1)
    q = q + _into(missing, ring)
    if not rest:
        return q, None
    if not d.s:
        return q, x - q * multiples
    r = _into(await suite.truncate(v - _into(missing, wide) * wide(d.m), d.s), ring)
    return q, r * ring(d.sign)


# -- by secret numbers ---------------------------------------------------------------------------------


#: 1/v is right to a part of it that is 2 to this, or less.
_INVERSE = {32: -10.0, 64: -26.0, 128: -55.0}
#: Fractional bits of a last digit, before it is rounded.
_GUARD = 8


@dataclass(frozen=True)
class _Digit:
    """How to find a digit of z/y, |z| < 2^(k−2) and |z/y| < 2^bound, in multiples of 2^unit or, of a last
    one, with fractional ``places``.
    """

    k: int
    bound: float
    unit: int = 0
    places: int = 0

    @property
    def room(self) -> int:
        """What is truncated is below 2 to this."""
        return self.k - 3

    @property
    def scales(self) -> tuple[int, int]:
        """The exponents of 2^−c in the two factors: c ≤ short has a place in the first, c > short in the
        second.
        """
        return self.k // 2 - 1 - SPARE, self.k - 1 - SPARE

    @property
    def cuts(self) -> tuple[int, int]:
        """What z loses so that it can be multiplied with the one and with the other."""
        low, high = (max(0, math.ceil(self.bound) + scale - self.room) for scale in self.scales)
        return low, high

    @property
    def drop(self) -> int:
        """Digits of 1/v for which there is no room."""
        bound = math.ceil(self.bound + 0.1) - self.unit + self.places
        return max(0, bound + 1 + precision(self.k) - self.room)

    @property
    def left(self) -> float:
        """The bound of what is left of the quotient."""
        short, _ = self.scales
        low, high = self.cuts
        relative: float = 2.0 ** _INVERSE[self.k] + 2.0 ** (self.drop - precision(self.k))
        cut: float = max(2.0**low if low else 0.0, 0.0 if self.unit else 2.0 ** (high - short - 1))
        off: float = 2 * (cut + 2.0 ** (self.unit - self.places)) + 2.0**self.bound * relative
        if self.places:
            return off  # aside from the last rounding
        return math.log2(max(off + 2.0**self.unit, 2.0 ** (self.k - 2 - short) if self.unit else 0))


def _digits(k: int) -> list[_Digit]:
    digits = [_Digit(k, k - 2, unit=precision(k))]
    while _Digit(k, bound := digits[-1].left, places=_GUARD).left > 0.25:
        digits.append(_Digit(k, bound))
    return [*digits, _Digit(k, bound, places=_GUARD)]


async def by_secret(suite: Suite, rest: bool, x: Share, y: Share) -> tuple[Share, Share | None]:
    """⌊x / y⌋ as an integer, and x mod y, of vectors of one kind."""
    ring = x.ring
    k, p, half = ring.bits, precision(ring.bits), ring.bits // 2
    signum, divisor, low, high, (*_, _, nonzero) = await normalised(suite, y)
    top = k - 1 - SPARE

    async def inverted() -> Share:
        v = await product(suite, divisor, low * ring(1 << half) + high)
        fine, rough = await gather(suite.truncate(v, top - p), suite.truncate(v, top - (p // 2 - 1)))
        return await inverse(suite, fine, rough, factors(k))

    async def cut(z: Share, bits: int) -> Share:
        return await suite.truncate(z, bits) if bits else z

    async def normal(z: Share, digit: _Digit) -> Share:
        """z·2^−c with as many fractional bits as the digit wants."""
        (short, long), (less, more) = digit.scales, digit.cuts
        if digit.unit:  # of short y alone
            return await scaled(suite, await cut(z, less), low, short - less + digit.unit)
        lower, upper = await gather(cut(z, less), cut(z, more))
        a, b = await gather(product(suite, lower, low), product(suite, upper, high))
        scale = long - more
        return await cut(a * ring(1 << scale - short + less) + b, scale - digit.places)

    r, z = await gather(inverted(), product(suite, x, signum))
    quotient = suite.constant(ring.zeros(x.shape))
    for digit in _digits(k):
        t, fine = await gather(normal(z, digit), cut(r, digit.drop))
        q = await product(suite, t, fine)
        if digit.places:  # rounded down by a half more
            q = q - nonzero * ring(1 << p - digit.drop + digit.places - 1)
        q = (await suite.truncate(q, p - digit.drop + digit.places)) * ring(1 << digit.unit)
        quotient, z = quotient + q, z - await product(suite, q, divisor)
    rows = cast(Share, lift(lambda *parts: np.stack(parts), z, z - divisor))
    less = await comparison.negative(suite, rows)
    missing = nonzero - less[0] - less[1]  # −|y| < z < 2|y|
    quotient = quotient + missing
    if not rest:
        return quotient, None
    return quotient, await product(suite, z - await product(suite, missing, divisor), signum)


# -- on secrets ----------------------------------------------------------------------------------------


def _paired(made: tuple[Share, Share | None]) -> Share:
    """What a protocol gives, along a last axis."""
    first, rest = made
    return first if rest is None else cast(Share, lift(lambda *parts: np.stack(parts, axis=-1), first, rest))


def _quotient(x: Any, y: Any, name: str, rest: bool) -> tuple[Secret, Secret | None, Kind]:
    """⌊x / y⌋ as an integer; x mod y as well, if it is wanted; and the kind in which the operands meet."""
    if isinstance(y, Secret):
        x, y = unified(x, y)
        kind = linear.counted(x.kind)
        shape = np.broadcast_shapes(x.shape, y.shape)
        x, y = (call(np.broadcast_to, v, shape) for v in (x, y))

        def of_secret(suite: Suite, x: Share, y: Share) -> Any:
            async def piece(x: Share, y: Share) -> Share:
                flat = (x.size,)
                made = _paired(await by_secret(suite, rest, x.reshape(flat), y.reshape(flat)))
                return made.reshape((*x.shape, *made.shape[1:]))

            return elementwise(piece, x, y, width=2 if rest else None)

        made = x.session.spawn(name, of_secret, (x, y), (*shape, 2) if rest else shape, INT, rest)
    else:
        divisor = numeric(y, "a divisor")
        if divisor.dtype.kind == "f" and not np.isfinite(divisor).all():
            raise EncodingError(f"np.{name}: a divisor is NaN or infinite")
        if not divisor.all():
            raise ZeroDivisionError("division of a secret by a public zero")
        x = products.real(x) if divisor.dtype.kind == "f" else retyped(x, linear.counted(x.kind))
        kind = x.kind
        made = _by_public(x, divisor, name, rest)
    return (made[..., 0], retyped(made[..., 1], kind), kind) if rest else (made, None, kind)


def _by_public(x: Secret, y: NDArray, name: str, rest: bool) -> Secret:
    ring, said = x.session.ring, (y.tolist() if y.dtype == object else y, rest)
    if y.size and (y == y.flat[0]).all():  # one for all: big arrays go in pieces
        shape, y = np.broadcast_shapes(x.shape, y.shape), y.reshape(-1)[:1]
        x = call(np.broadcast_to, x, shape)
        d = Divisor.of(y, x.kind.fraction)

        def in_pieces(suite: Suite, x: Share) -> Any:
            plan = Plan(d, ring, suite.terms, rest)

            async def piece(x: Share) -> Share:
                made = _paired(await by_public(suite, plan, rest, x.reshape((x.size,))))
                return made.reshape((*x.shape, *made.shape[1:]))

            return elementwise(piece, x, width=2 if rest else None)

        return x.session.spawn(name, in_pieces, (x,), (*shape, 2) if rest else shape, INT, said)
    shape = np.broadcast_shapes(x.shape, y.shape)
    x = call(np.broadcast_to, x, shape)
    flat = Divisor.of(np.broadcast_to(y, shape).reshape(-1), x.kind.fraction)

    async def at_once(suite: Suite, x: Share) -> Share:
        plan = Plan(flat, ring, suite.terms, rest)
        made = _paired(await by_public(suite, plan, rest, x.reshape((x.size,))))
        return made.reshape((*shape, *made.shape[1:]))

    return x.session.spawn(name, at_once, (x,), (*shape, 2) if rest else shape, INT, said)


def _places(x: Any, y: Any) -> tuple[Secret, NDArray] | None:
    """If all divisors are public and 2^m units of x's last place for an m: x, and these."""
    if isinstance(y, Secret) or not isinstance(x, Secret):
        return None
    divisor = numeric(y, "a divisor")
    x = products.real(x) if divisor.dtype.kind == "f" else retyped(x, linear.counted(x.kind))
    if divisor.dtype.kind != "f":  # as a double, 2^62 − 1 would be one of them
        divisor = divisor.astype(int) if divisor.dtype.kind == "b" else divisor
        if not all(d > 0 and d & (d - 1) == 0 for d in set(divisor.ravel().tolist())):
            return None
    mantissa, exponent = np.frexp(divisor.astype(np.float64))
    places = exponent - 1 + x.kind.fraction
    exact = (mantissa == 0.5) & (places >= 0) & (places < x.session.ring.bits)
    return (x, np.asarray(places)) if exact.all() else None


def floor_divide(x: Any, y: Any) -> Secret:
    """⌊x / y⌋, of reals as reals."""
    if (two := _places(x, y)) is not None:
        x, places = two
        return products.multiply(by_amount(shift, x, places), 1 << x.kind.fraction)
    quotient, _, kind = _quotient(x, y, "floor_divide", False)
    return rescaled(quotient, kind)


def _in_range(x: Any, y: Any) -> None:
    """A remainder of x by a public y may be anything between 0 and y."""
    if isinstance(y, Secret):
        return
    divisor = numeric(y, "a divisor")
    kind = x.session.fixed if divisor.dtype.kind == "f" and not x.kind.fraction else x.kind
    most = 1 << x.session.ring.bits - 1 - kind.fraction
    if any(most < abs(d) < math.inf for d in divisor.ravel().tolist()):
        raise EncodingError(
            f"a remainder by numbers beyond ±2^{x.session.ring.bits - 1 - kind.fraction} has no place in"
            f" {kind}; np.fmod keeps the sign and the magnitude of x"
        )


def remainder(x: Any, y: Any) -> Secret:
    """x − ⌊x / y⌋·y."""
    _in_range(x, y)
    return _remainder(x, y)


def _remainder(x: Any, y: Any) -> Secret:
    if (two := _places(x, y)) is not None:
        return by_amount(low_bits, *two)
    _, rest, _ = _quotient(x, y, "remainder", True)
    assert rest is not None
    return rest


def divmod_(x: Any, y: Any) -> tuple[Secret, Secret]:
    _in_range(x, y)
    if _places(x, y) is not None:
        quotient = floor_divide(x, y)
        return quotient, linear.subtract(x, products.multiply(quotient, y))
    quotient, rest, kind = _quotient(x, y, "divmod", True)
    assert rest is not None
    return rescaled(quotient, kind), rest


def fmod(x: Any, y: Any) -> Secret:
    """The remainder of a quotient that is rounded towards zero: it has the sign of x."""
    if isinstance(y, Secret):
        x, y = unified(x, y)
        size: Any = comparison.absolute(y)
    else:
        # of Python's integers, one is an integer again
        size = np.asarray(np.abs(numeric(y, "a divisor")))
        if (size < 0).any():  # NumPy's -2^63 has no magnitude
            size = np.asarray(np.abs(size.astype(object)))
    below = comparison.less(x, 0)
    if x.kind.fraction or (not isinstance(size, Secret) and size.dtype.kind == "f"):
        # rounded, the remainder of a negative x could be |y| or 0
        rest = _remainder(comparison.absolute(products.real(x)), size)
        return products.multiply(rest, linear.subtract(1, products.multiply(2, below)))
    rest = _remainder(x, size)
    lower = comparison.logical_and(below, comparison.not_equal(rest, 0))
    whole = size if isinstance(size, Secret) else rest.session.ring(size)  # 2^(k−1), too
    return linear.subtract(rest, products.multiply(whole, lower))
