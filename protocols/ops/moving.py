"""Rows in a secret order, in linear time: shuffle rows and order alike, open the shuffled order, move in the
clear.

With a secret order d of 0 to n−1 and rows x, under one secret shuffle σ of both,

    open d∘σ;   put row x∘σ (i) in the place (d∘σ)(i):   y_d(i) = x_i,

which scatters x by d.  The scatter of 0 to n−1 is d⁻¹, and a scatter by d⁻¹ gathers: y_i = x_d(i).  Which
arrays are orders is known from where they come: ``argsort`` makes them (``Origin`` of
``protocols/array/secret.py``), and arithmetic unmakes them.

From stable partitions by truth values, whose order takes no comparison, follow compaction and filling down:
rows that are marked go to the front, neighbours are subtracted there, the differences go back, and a running
sum gives each row what the last marked row above it has, exactly modulo 2^k.

Threat   that of the suite.  What is opened is an order of n elements with a fresh shuffle before it:
         uniformly random, independent of order and rows, *as long as the order is one*: nothing that was
         computed with may be taken for one.
Cost     with ``replicated`` over Z_2^64, for rows of c columns, bytes a party sends for each row, and rounds:

             scatter                          16 (c + 1) + 4         4
             gather                           the same               4; an order's 36 bytes, 4 rounds, once
             the order of truth values        8                      1
             filling down                     16 (c + 4) + 16 + 8 c  10

         with ``additive`` among n parties 8 (n−1)(c + 1) and 4 (n−1) for a scatter, n + 1 rounds.
         With ``np.take`` at secret positions that are no order, n rows at n places are 8 n² bytes, or a sort
         (``selection``).
Range    n < 2^32.
Source   the permutation step of Chida, Hamada, Ikarashi, Kikuchi, Kiribuchi, Pinkas, ePrint 2019/695, and
         Asharov et al., ePrint 2022/1595 (apply a shared permutation by a shuffle); the order of truth values
         is one pass of their radix sort.  The shuffles are the suites'.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from mpc.encoding import INT
from mpc.errors import CheatError
from mpc.ring import Z32, NDArray
from protocols.array.secret import Permutations, Secret, call, constant, permutation, retyped
from protocols.ops import linear, products
from protocols.prep import permuted
from protocols.suite import Share, Suite, lift

# -- the protocol ------------------------------------------------------------------------------------


async def placed(suite: Suite, order: Share, x: Share) -> Share:
    """x of shape (c, n, m) with element (i, j) of each of the c at (order[i, j], j)."""
    if x.size == 0 or x.shape[1] < 2:
        return x
    both = cast(Share, lift(lambda o, a: np.concatenate([o[None], a]), order, x))
    both = await suite.shuffle(both)
    (opened,) = await suite.reveal(both[0].apply(lambda part: Z32(part.data)), tag="order")
    came_from = _undone(opened.data.astype(np.intp))
    return both[1:].apply(lambda part: permuted(part, came_from))


def _undone(order: NDArray) -> NDArray:
    """The orders that undo these."""
    n, m = order.shape
    undone = np.full((n, m), -1)
    if order.max() < n:
        np.put_along_axis(undone, order, np.broadcast_to(np.arange(n)[:, None], (n, m)), axis=0)
    if (undone < 0).any():
        raise CheatError(
            "a shuffled order was opened that is none: a party has sent something else than the protocol says"
        )
    return undone


# -- on secrets --------------------------------------------------------------------------------------


def scattered(order: Secret, x: Secret) -> Secret:
    """y of the shape (c, n, m) of x with y[:, order[i, j], j] = x[:, i, j]; each column of the order must be
    one.
    """

    def protocol(suite: Suite, order: Share, x: Share) -> Any:
        return placed(suite, order, x)

    return retyped(x.session.spawn("move", protocol, (order, x), x.shape, INT), x.kind)


def gathered(orders: Permutations, x: Secret) -> Secret:
    """y of the shape (c, n, m) of x with y[:, i, j] = x[:, order[i, j], j]."""
    return scattered(inverse(orders), x)


def inverse(orders: Permutations) -> Secret:
    if orders.inverse is None:
        orders.inverse = scattered(orders.forward, _numbered(orders.forward))[0]
    return orders.inverse


def whole(x: Secret) -> Permutations | None:
    """The orders along the first axis that x is, if it is known to be some, as they are."""
    if x.origin is None or len(x) != len(x.origin.permutations.forward):
        return None
    places = x.origin.places.reshape(-1)
    alike = places.size == x.origin.permutations.forward.size and bool(
        (places == np.arange(places.size)).all()
    )
    return x.origin.permutations if alike else None


def _numbered(like: Secret) -> Secret:
    """0 to n−1 in each column of an array (n, m), as the first of one."""
    n, m = like.shape
    return constant(like.session, np.broadcast_to(np.arange(n)[:, None], (1, n, m)), INT)


def destinations(marks: Secret) -> Secret:
    """Where the rows of a stable partition go, those first whose truth value in (n, m) is true."""
    marks = retyped(marks, INT)
    n = len(marks)
    above = linear.cumsum(marks, axis=0)  # marked rows down to each
    last = linear.add(above[-1:], np.arange(n)[:, None]) if n else above
    unmarked = linear.subtract(last, above)
    return linear.add(
        unmarked, products.multiply(marks, linear.subtract(linear.subtract(above, 1), unmarked))
    )


def partition(marks: Secret) -> Secret:
    """The positions that put the rows first whose truth value in (n, m) is true, as they stand."""
    to = destinations(marks)
    return permutation(scattered(to, _numbered(to))[0], to)


def filled(marks: Secret, x: Secret) -> Secret:
    """x of shape (c, n, m), each row being that of the last row above it, or itself, whose truth value in (n,
    m) is true; else 0.
    """
    to = destinations(marks)
    front = scattered(to, call(np.concatenate, [_numbered(to), retyped(x, INT)]))
    values = front[1:]
    steps = linear.subtract(
        values, call(np.concatenate, [linear.filled(values[:, :1], 0), values[:, :-1]], axis=1)
    )
    back = scattered(front[0], steps)
    return retyped(linear.cumsum(products.multiply(retyped(marks, INT), back), axis=1), x.kind)
