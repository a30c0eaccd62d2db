"""Division of a shared number by a public power of two, rounding at random to one of the neighbours.

For |x| < 2^(k−2), let x' = x + 2^(k−2) ≥ 0, and let r be uniform over Z_2^k.  Open c = x' + r. With
r° and c° for the lower k−1 bits, x' + r° = c° + w·2^(k−1) where w = top(c) ⊕ top(r), so

    x' >> m  ≈  (c° >> m) − (r° >> m) + w·2^(k−1−m),      w = top(c) + top(r) − 2·top(c)·top(r)

which is linear in the shared (r° >> m) and top(r).  The result is ⌊x/2^m⌋ or that plus one, the latter
with probability (x mod 2^m)/2^m: right on average, and never off by more.  There is no chance of a large
error, unlike in local truncation (SecureML), where it is |x|/2^(k−1) for every element.

Threat   that of the suite and of the source of masks: c is uniform whatever x is.  But c decides, with x,
         which way the result is rounded: a party that is later shown the result learns, besides it, something
         of what was cut off (never more than the 2^m values of x around it that agree).  ``Threat.leaks``
         says so.  Programs that must not tell reveal fewer digits than they compute with.
Cost     one round; each party sends one ring element per element to every other party.
Source   Escudero, Ghosh, Keller, Rachuri, Scholl, ePrint 2020/338 (edaBits), section 5 (truncation over
         Z_2^k); the mask comes from the dealer instead of from edaBits.
"""
from __future__ import annotations

from protocols.prep import Prep, TruncationMask
from protocols.suite import Share, Suite


async def truncate(suite: Suite, prep: Prep, x: Share, bits: int) -> Share:
    """x / 2^bits, elementwise."""
    ring = x.ring
    k = ring.bits
    if not 0 < bits < k - 1:
        raise ValueError(f"can truncate by 1 to {k - 2} bits, not {bits}")
    (r_part,), dependent = await prep.draw(TruncationMask(x.spec, bits))
    (c,) = await suite.open(x + Share(suite, (r_part,)) + ring(1 << (k - 2)), tag=f"truncate {bits}")
    r_high, r_top = await dependent                  # r° >> m, and top(r), perhaps over a smaller ring
    one = ring(1 << (k - 1 - bits))                  # the place of w in the result
    c_top = c >> (k - 1)
    w = ring(r_top.data) * (one - c_top * (one + one))
    public = ((c << 1) >> (bits + 1)) + c_top * one - ring(1 << (k - 2 - bits))
    return Share(suite, (w - r_high,)) + public
