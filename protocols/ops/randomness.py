"""Random numbers that nobody knows: ``session.random``, with the names and arguments of NumPy's
``Generator``.

*Whole numbers below m* are sums of parts that are uniform below m each, less multiples of m: with s = Σ s_i
for n parties' parts,

    s mod m = s − m·Σ_{j=1}^{n−1} [s ≥ j·m]

which is uniform if one of the parts is, and what others know of the rest tells nothing of it.  Parts come
from the parties' streams, drawn anew where they are not below m, so that their law is exact and no message is
needed for them.  For a power of two, s is any element of the ring, and its lowest bits are taken
(``bitwise``); for 2, a bit.

*Normal ones* are Box and Muller's, with u uniform over the multiples of 2^−p in (0, 1] and z over 2^k angles
(``trigonometry.circle``),

    √(−2·log u)·cos z,     √(−2·log u)·sin z:      two for one u, p = k/2 − 2.

Threat   the suite's: semi-honest.  As long as one party is honest and draws from its stream, a coalition that
         the suite allows for knows nothing about the result; parties that deviate may choose their parts, and
         so the sum's.  Streams: ``mpc/prg.py``.
Cost     over Z_2^64, rounds and bytes a party sends for an element:

                                          additive, no dealer     replicated
             integers, two of them                1,   8           2,   8
             integers, 2^m of them; reals         6,  15           8,  16
             other integers                       8,  39           8,  48
             normal                              75, 475          85, 340

Range    integers: below a power of two up to 2^k, or of others 2^(k−1)/n many for n parties.  Normal numbers
         are below √(2·p·log 2) = 6.45 (4.41 over Z_2^32, 9.28 over Z_2^128) in magnitude.
Law      integers, truth values: uniform, exactly.  random, uniform: over the multiples of 2^−f, exactly; in
         ``uniform`` rounded afterwards.  normal: within two units in the last place of a number whose law is
         that of Box and Muller, with u as said: 2^−p from the normal law, in distribution functions.  For
         noise that hides somebody (differential privacy) see ``protocols/privacy``.
Source   a sum of everybody's parts: folklore (coin tossing among the semi-honest).  Box, Muller, Annals of
         Mathematical Statistics 29 (1958).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from operator import index
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mpc.encoding import BOOL, INT, Kind
from mpc.ring import BITS, Field, NDArray, Ring, Shape, Spec
from mpc.rounds import gather
from protocols.array.secret import Secret
from protocols.ops import comparison, linear, products
from protocols.ops.bitwise import modulo
from protocols.ops.division import precision
from protocols.ops.exponential import LN2, log_of
from protocols.ops.normalisation import scaled
from protocols.ops.roots import root
from protocols.ops.trigonometry import circle
from protocols.suite import Share, Suite, elementwise, lift

if TYPE_CHECKING:
    from protocols.array.session import Session


async def below(suite: Suite, ring: Ring, n: int, m: int) -> Share:
    """n secrets, each uniform below m."""
    spec, bits = Spec(ring, (n,)), (m - 1).bit_length()
    if m == 2:
        return await comparison.to_ring(suite, (await suite.random(Spec(BITS, (-(-n // 64),)))), ring, (n,))
    if m != 1 << bits:
        return await elementwise(partial(_wrapped, suite, m), await suite.random(spec, m))
    uniform = await suite.random(spec)
    return uniform if bits == ring.bits else await elementwise(partial(modulo, suite, bits), uniform)


async def _wrapped(suite: Suite, m: int, s: Share) -> Share:
    """s mod m for 0 ≤ s < n·m, n parties."""
    ring, n = s.ring, suite.seat.size
    multiples = ring(np.array([[j * m] for j in range(1, n)], object))
    rows = cast(Share, lift(lambda part: np.broadcast_to(part, (n - 1, s.size)), s)) - suite.constant(
        ring(np.zeros((n - 1, s.size), int)) + multiples
    )
    less = await comparison.negative(suite, rows)
    times = -less.apply(lambda part: part.sum(0)) + ring(n - 1)
    return s - times * ring(m)


async def normals(suite: Suite, ring: Ring, n: int, f: int) -> Share:
    """n secrets of the normal law, with f fractional bits; n is even."""
    p = precision(ring.bits)
    u, z = await gather(below(suite, ring, n // 2, 1 << p), suite.random(Spec(ring, (n // 2,))))

    async def pieces(u: Share, z: Share) -> Share:
        async def radius() -> Share:
            logarithm = await log_of(suite, u + ring(1), p, LN2)
            return await root(suite, -(logarithm + logarithm), p, p - 4, False)

        r, both = await gather(radius(), circle(suite, z, (True, True), p))
        twice = cast(Share, lift(lambda part: np.stack([part, part]), r))
        made = await scaled(suite, twice, both, 2 * p - 4 - f)
        return cast(Share, lift(lambda part: np.ascontiguousarray(part.T), made))

    return (await elementwise(pieces, u, z, width=2)).reshape((n,))


class Generator:
    """Secret random numbers, as ``session.random``: uniform ones and normal ones, which no party knows or
    controls.

    The functions have NumPy's names, order of arguments and defaults (``numpy.random.Generator``).  All that
    they are given is public.  Rounds, bytes, exact laws and against whom they hold:
    ``protocols/ops/randomness.py``.  In a session that checks they are what they are: there is nothing to
    hold them against."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def integers(
        self, low: int, high: int | None = None, size: Any = None, dtype: Any = int, endpoint: bool = False
    ) -> Secret:
        """Integers from ``low`` to below ``high`` (or to it, with ``endpoint``), or from 0 to below ``low``;
        exactly uniform.

        With ``dtype=bool`` truth values, of 0 and 1: ``integers(0, 2, size, dtype=bool)``.
        """
        first, last = (0, index(low)) if high is None else (index(low), index(high))
        count = last - first + bool(endpoint)
        ring, n, shape = self._session.ring, self._session.size, _shape(size)
        truths = np.dtype(dtype) == bool
        if not truths and np.dtype(dtype) != int:
            raise NotImplementedError(f"random.integers makes int or bool, not {np.dtype(dtype)}")
        if count < 1:
            end = last if endpoint else last - 1
            raise ValueError(f"random.integers: there is no integer from {first} to {end}")
        if truths and not 0 <= first <= first + count <= 2:
            raise ValueError("random.integers with dtype=bool takes integers from 0 to 1")
        if (count & (count - 1) and n * count >= 1 << ring.bits - 1) or count > 1 << ring.bits:
            raise NotImplementedError(
                f"random.integers of {count} values among {n} parties over {ring.name}; take a power "
                f"of two up to 2^{ring.bits}, or fewer than 2^{ring.bits - 1}/{n}"
            )
        if count > 1 and isinstance(ring, Field):
            raise NotImplementedError(
                f"random.integers takes bits, which elements of {ring.name} do not have"
            )
        if count == 1:
            made = self._spawn("constant", _zeros, shape, INT, None)
        else:
            made = self._spawn("random integers", partial(_below, count), shape, INT, count)
        made = linear.add(made, first) if first else made
        return Secret(made.session, made.tasks, shape, BOOL, made.serial) if truths else made

    def random(self, size: Any = None) -> Secret:
        """Reals in [0, 1): multiples of 2^−f, all of them equally likely."""
        fixed = self._session.fixed
        draw = partial(_below, 1 << fixed.fraction)
        return self._spawn("random reals", draw, _shape(size), fixed, fixed.fraction)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Secret:
        """low + (high − low)·``random()``."""
        low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
        made = self.random(_wanted("uniform", size, low, high))
        return linear.add(products.multiply(made, high - low), low)

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Secret:
        """Numbers of the normal law around ``loc``, of standard deviation ``scale``."""
        loc, scale = np.asarray(loc, np.float64), np.asarray(scale, np.float64)
        if (scale < 0).any():
            raise ValueError("random.normal takes a scale of 0 or more")
        fixed = self._session.fixed
        shape = _wanted("normal", size, loc, scale)
        made = self._spawn("random normal", partial(_normal, fixed.fraction), shape, fixed, fixed.fraction)
        made = made if (scale == 1).all() else products.multiply(made, scale)
        return linear.add(made, loc) if loc.any() else made

    def _spawn(
        self, label: str, make: Callable[..., Any], shape: Shape, kind: Kind, public: object
    ) -> Secret:
        ring, n = self._session.ring, math.prod(shape)

        async def protocol(suite: Suite) -> Share:
            return cast(Share, await make(suite, ring, n)).reshape(shape)

        return self._session.spawn(label, protocol, (), shape, kind, public)


async def _zeros(suite: Suite, ring: Ring, n: int) -> Share:
    return suite.constant(ring.zeros((n,)))


async def _below(m: int, suite: Suite, ring: Ring, n: int) -> Share:
    return await below(suite, ring, n, m)


async def _normal(f: int, suite: Suite, ring: Ring, n: int) -> Share:
    return (await normals(suite, ring, n + n % 2, f))[:n]


def _wanted(name: str, size: Any, *given: NDArray) -> Shape:
    """The shape of numbers of which each is drawn for itself: parameters may not make several of one."""
    together = np.broadcast_shapes(*(x.shape for x in given))
    shape = together if size is None else _shape(size)
    if np.broadcast_shapes(together, shape) != shape:
        raise ValueError(f"random.{name}: parameters of shape {together} do not fit size={shape}")
    return shape


def _shape(size: Any) -> Shape:
    sizes = () if size is None else size if isinstance(size, list | tuple) else (size,)
    shape = tuple(map(index, sizes))
    if any(d < 0 for d in shape):
        raise ValueError(f"random numbers of shape {shape}: negative dimensions are not allowed")
    return shape
