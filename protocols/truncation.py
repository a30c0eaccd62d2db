"""Division of a shared number by a public power of two, rounding at random to one of the neighbours.

Two ways, for |x| < 2^(k−2).  Both are right on average, never off by more than one unit in the last place,
and exact for multiples of 2^m; there is no chance of a large error, unlike in local truncation (SecureML),
where it is
|x|/2^(k−1) for every element.

*Two terms*, a known to one side and b to the other, a + b = x + 2^(k−2) − 1 modulo 2^k.  That sum lies in
[0, 2^(k−1)), so that a + b has wrapped if and only if a or b has its top bit set: w = α + β − αβ.  With >>
the shift of signed numbers, which takes α·2^(k−m) and β·2^(k−m) off,

    x / 2^m  ≈  (a >> m) + (b >> m) + αβ·2^(k−m) + 1 − 2^(k−2−m)

up to the carry of the lower m bits, which comes with probability 1 − (x mod 2^m)/2^m where a is uniform.  All
that takes a message is αβ modulo 2^m, hence modulo 2^32 for m ≤ 32, and modulo 2^64 for m ≤ 64.

*A mask*, for any number of terms.  Let x' = x + 2^(k−2), and let r be uniform over Z_2^k.  Open c = x' + r.
With r° and c° for the lower k−1 bits, x' + r° = c° + w·2^(k−1) where w = top(c) ⊕ top(r), so

    x' >> m  ≈  (c° >> m) − (r° >> m) + w·2^(k−1−m),      w = top(c) + top(r) − 2·top(c)·top(r)

which is linear in the shared (r° >> m) and top(r).

Threat   that of the suite and of its source of randomness: what is sent is masked (two terms) or c, which is
         uniform whatever x is.  But the parties' terms, or c, decide with x which way the result is rounded:
         a party that is later shown the result learns, besides it, something of what was cut off (never more
         than the 2^m values of x around it that agree).  ``Threat.leaks`` says so.  Programs that must not
         tell reveal fewer digits than they compute with.  To be exact: each party sees a uniform t < 2^m of
         its own (the low bits of its term, or of c), and ⌊x / 2^m⌋ is raised by one where x mod 2^m > t.  So
         a result that depends on a rounding, as a comparison may, depends on t.
Cost     two terms between two parties: one round, 4 bytes each for m ≤ 32, else 8; in ``replicated``, see
         there.  A mask: one round; each party sends one ring element per element to every other party.
Source   two terms: the wrap of a sum whose top bit is known, as in ePrint 2025/200.  A mask: Escudero, Ghosh,
         Keller, Rachuri, Scholl, ePrint 2020/338 (edaBits), section 5; it comes from the dealer instead of
         from edaBits.
"""

from __future__ import annotations

from mpc.ring import Ring, RingArray, narrowest, worth_compiling
from protocols.prep import Prep, TruncationMask
from protocols.suite import Share, Suite

#: Fewer elements than this do not wake the compiler.
_SMALL = 1 << 16


def check(bits: int, ring: Ring) -> None:
    if not 0 < bits < ring.bits - 1:
        raise ValueError(f"can truncate by 1 to {ring.bits - 2} bits, not {bits}")


# -- two terms ---------------------------------------------------------------------------------------


def offset(ring: Ring) -> int:
    """What one of the terms has added to it: 2^(k−2) − 1."""
    return (1 << (ring.bits - 2)) - 1


def correction(bits: int, ring: Ring) -> int:
    """What the result has added to it: 1 − 2^(k−2−m)."""
    return 1 - (1 << (ring.bits - 2 - bits))


def quotient(term: RingArray, bits: int) -> RingArray:
    """A term shifted as a signed number."""
    return RingArray(term.ring, term.ring.sar(term.data, bits))


def usual_bytes(ring: Ring) -> int:
    """Of αβ, which is needed modulo 2^m only, where products of fixed point are truncated."""
    return narrowest(ring.fraction, ring).itemsize


def _in_one_pass(x: RingArray, wraps: RingArray) -> bool:
    return worth_compiling(x.size, _SMALL) and wraps.ring.bits < 128


def top(term: RingArray, into: Ring) -> RingArray:
    return into((term >> (term.ring.bits - 1)).data)


def with_wraps(x: RingArray, both: RingArray, bits: int) -> RingArray:
    """x + αβ·2^(k−m)."""
    ring = x.ring
    if _in_one_pass(x, both):
        return RingArray(ring, ring.kernels.plus_shifted(x.data, both.data, ring.bits - bits))
    return x + (ring(both.data) << (ring.bits - bits))


def known(
    term: RingArray, bits: int, x: RingArray, e: RingArray, *, first: bool = True
) -> tuple[RingArray, RingArray]:
    """Of the term a without its offset: (a >> m) − x, and α − e.

    Or, where it is not the ``first``, of b: (b >> m) + 1 − 2^(k−2−m) − x, and β − e.
    """
    ring = term.ring
    before, after = (offset(ring), 0) if first else (0, correction(bits, ring))
    if _in_one_pass(term, e):
        rest, head = ring.kernels.split_quotient(term.data, before, after, bits, x.data, e.data)
        return RingArray(ring, rest), RingArray(e.ring, head)
    term = term + ring(before)
    return quotient(term, bits) + ring(after) - x, top(term, e.ring) - e


def common(term: RingArray, bits: int, e: RingArray, s: RingArray) -> tuple[RingArray, RingArray]:
    """Of the term b: (b >> m) + 1 − 2^(k−2−m), and β·e − s."""
    ring = term.ring
    if _in_one_pass(term, e):
        whole, masked = ring.kernels.masked_quotient(term.data, correction(bits, ring), bits, e.data, s.data)
        return RingArray(ring, whole), RingArray(e.ring, masked)
    return quotient(term, bits) + ring(correction(bits, ring)), e * top(term, e.ring) - s


async def of_two(suite: Suite, x: Share, bits: int) -> Share:
    """x / 2^bits among two parties, elementwise."""
    ring, first = x.ring, suite.seat.rank == 0
    check(bits, ring)
    mask = suite.seat.common.draw(x.spec)  # an input's parts need not be uniform
    term = x.parts[0] + mask + ring(offset(ring)) if first else x.parts[0] - mask
    mine = Share(suite, (top(term, narrowest(bits, ring)),))
    both = await suite.product_of_terms(mine, mine)
    result = with_wraps(quotient(term, bits), both.parts[0], bits)
    return Share(suite, (result + ring(correction(bits, ring)) if first else result,))


# -- a mask ------------------------------------------------------------------------------------------


async def masked(suite: Suite, prep: Prep, x: Share, bits: int) -> Share:
    """x / 2^bits among any number of parties, elementwise."""
    ring = x.ring
    check(bits, ring)
    k = ring.bits
    (r_part,), dependent = await prep.draw(TruncationMask(x.spec, bits))
    (c,) = await suite.open(x + Share(suite, (r_part,)) + ring(1 << (k - 2)), tag=f"truncate {bits}")
    r_high, r_top = await dependent  # r° >> m, and top(r), perhaps over a smaller ring
    one = ring(1 << (k - 1 - bits))  # the place of w in the result
    c_top = c >> (k - 1)
    w = ring(r_top.data) * (one - c_top * (one + one))
    public = ((c << 1) >> (bits + 1)) + c_top * one - ring(1 << (k - 2 - bits))
    return Share(suite, (w - r_high,)) + public
