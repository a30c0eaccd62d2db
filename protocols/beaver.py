"""Beaver multiplication: any product of secrets from a random one.

For a bilinear map f and shares of uniform a, b and c = f(a, b), open d = x − a and e = y − b. Then

    f(x, y) = f(a + d, b + e) = f(a, b) + f(d, b) + f(a + d, e) = c + f(d, b) + f(x, e)

in which d and e are public and everything else is shared, so that the rest is local.

Threat   that of the suite and of the source of triples: d and e are uniform whatever x and y are,
         because a and b are uniform, unknown to all and used once.
Cost     one round; each party sends its shares of d and e to every other party.
Source   Donald Beaver, Efficient multiparty protocols using circuit randomization, CRYPTO 1991.  The
         paper expands to c + f(d, b) + f(a, e) + f(d, e); f(a, e) + f(d, e) = f(x, e) saves a product.
"""

from __future__ import annotations

from mpc.ring import muladd
from protocols.bilinear import MULTIPLY, Bilinear
from protocols.prep import Prep, Triple
from protocols.suite import Share, Suite


async def multiply(suite: Suite, prep: Prep, f: Bilinear, x: Share, y: Share) -> Share:
    """f(x, y) for ``multiply`` (elementwise, broadcasting) or ``matmul``."""
    (a_part, b_part), dependent = await prep.draw(Triple(f, x.spec, y.spec))
    a, b = Share(suite, (a_part,)), Share(suite, (b_part,))
    d, e = await suite.open(x - a, y - b, tag=f.name)
    (c_part,) = await dependent  # the dealer's word comes with the same round
    if f == MULTIPLY:
        return Share(suite, (muladd(d, b_part, x.parts[0], e, c_part),))
    return Share(suite, (c_part + f(d, b_part) + f(x.parts[0], e),))
