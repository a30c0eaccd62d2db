"""Sorting: shuffle secretly, then compare in the open.

Once elements are in an order that nobody knows, which of them are smaller than which tells nothing: the
outcomes are those of a uniformly random order, whatever the elements are, *as long as no two count as equal*.
So the last column to compare by is the position before the shuffle, which is secret; no public rule for ties
would do.  Quicksort runs on the revealed comparisons, in few rounds: a segment is split by three pivots at
once, a small one by all its elements, and all segments of all columns are compared together.

(x, y) is before (x', y') where x − x' − t < 0 and t says, as 1 or 0, whether y is before y'.  Since
−t = (1 − t) − 1, that is the sign of x − x' − 1 with 1 − t carried in: the planes of all columns make one
carry tree, the last column's lowest, with the carry between columns negated.

Differences must not wrap, whatever the elements are: the outcomes would not be those of any order, and how
far they are from one would show.  So before they are compared, the lowest bit of the first column becomes the
highest digit of the second, whose two lowest bits become that of the third, and so on: all columns but the
last keep k−1 significant bits.

Where only some ranks are asked for, quicksort goes on in those segments alone that hold one of them
(quickselect): which these are follows from their sizes, and so from the same comparisons.  What lies between
the ranks is then in an order of which everybody has seen the comparisons, most of it or all: before it is
handed out, as a partition, it is shuffled once more.

    n            comparisons    batches of them, one after the other
    100                  900      4
    10^4             215,000     11        Batcher's network: 105 stages of up to 5,000 comparisons
    10^6          35,000,000     19        210 stages of up to 500,000

    quickselect of 10^6: the median takes 4.9 comparisons an element in 11 batches, the first ten 4.2 in 9,
    the quartiles 7.6 in 13, on average of twelve runs

Threat   that of the suite.  Orders of shuffled elements are opened: uniformly random, independent of the
         data.
Cost     ``Suite.shuffle``; a shift of each column (``bitwise``: 10 rounds and 42 bytes an element, 8 and 47);
         and the comparisons above, whose bits are opened: each takes, by value and position, with
         ``replicated`` 8 rounds and 25 bytes a party, with ``additive`` between two parties 7 rounds and 21
         bytes, without a dealer 9 and 47, and for another column 16 and 14 or 31 more.  How many there are
         varies from run to run, not with the data.  A partition takes another shuffle of what lies between
         its ranks.  Of truth values the order takes no comparison, and the order of an order none
         (``moving``).
Range    all of the ring, and at most 2^(32−c) elements along an axis by c columns, their position one.  Every
         sort is stable.  Descending: ``np.sort(x)[::-1]``, ``np.argsort(~x)``.
Source   Hamada, Kikuchi, Ikarashi, Chida, Takahashi, ICISC 2012 (shuffle, then sort with opened comparisons).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from operator import index
from typing import Any, cast

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from mpc.bits import unpacked
from mpc.encoding import BOOL, INT, numeric
from mpc.ring import BITS, Z32, NDArray
from mpc.rounds import gather, pipeline
from protocols.array.secret import Secret, beside, call, permutation, retyped, unified
from protocols.carries import carry, joined
from protocols.ops import linear, moving
from protocols.ops.bitwise import shifted
from protocols.suite import CHUNK, Share, Suite, chunks, elementwise, lift

#: Segments of at most so many elements are compared all with all; larger ones with so many pivots.
_SMALL, _PIVOTS = 16, 3


# -- the protocol ------------------------------------------------------------------------------------


async def arranged(
    suite: Suite, x: Share, keys: int, ranks: Sequence[int] | None = None, mixed: bool = False
) -> Share:
    """x of shape (c, n, m), the n of each of the m by the first ``keys`` of the c, ascending; no two may be
    equal in all of them.

    The last key is one below 2^(32 − keys), a position.  With ``ranks``, those alone need be in their places,
    all smaller ones before them; the others, if ``mixed``, in an order that nobody knows.
    """
    if x.size == 0 or x.shape[1] < 2:
        return x
    x = await suite.shuffle(x)
    c, n, m = x.shape
    by_column = cast(Share, lift(lambda a: np.ascontiguousarray(a.swapaxes(1, 2)).reshape(c, m * n), x))
    order = await _order(suite, await _spread(suite, by_column[:keys]), n, m, ranks)
    done = cast(Share, lift(lambda a: a[:, order].reshape(c, m, n).swapaxes(1, 2), by_column))
    return await _mixed(suite, done, ranks or ()) if mixed else done


async def _mixed(suite: Suite, x: Share, ranks: Sequence[int]) -> Share:
    """What lies between these ranks, shuffled."""
    ends = [-1, *ranks, x.shape[1]]
    between = [slice(lo + 1, hi) for lo, hi in pairwise(ends) if hi - lo > 2]
    if not between:
        return x
    shuffled = await gather(*(suite.shuffle(x[:, part]) for part in between))

    def put(a: NDArray, *parts: NDArray) -> NDArray:
        out = a.copy()
        for at, part in zip(between, parts, strict=True):
            out[:, at] = part
        return out

    return cast(Share, lift(put, x, *shuffled))


async def _spread(suite: Suite, keys: Share) -> Share:
    """Keys in the same order, of which any two differ by less than 2^(k−1), or the last by less than 2^31."""

    async def high(bits: int, key: Share) -> Share:
        return await elementwise(partial(shifted, suite, bits), key)

    k, ring = keys.ring.bits, keys.ring
    *whole, position = (keys[i] for i in range(keys.shape[0]))
    columns, low = [], None
    for bits, (key, upper) in enumerate(
        zip(whole, await gather(*(high(i, key) for i, key in enumerate(whole, 1))), strict=True), 1
    ):
        columns.append(upper if low is None else upper + low * ring(1 << (k - bits)))
        low = key - upper * ring(1 << bits)
    columns.append(position if low is None else position + low * ring(1 << (31 - len(whole))))
    return cast(Share, lift(lambda *rows: np.stack(rows), *columns))


async def _order(suite: Suite, keys: Share, n: int, m: int, ranks: Sequence[int] | None = None) -> NDArray:
    """Indices that put m segments of n elements in order, or of each these ranks; public."""
    order = np.arange(m * n)
    start, size = np.repeat(np.arange(m) * n, n), np.full(m * n, n)  # of the segment at each place
    asked = np.ones(n, bool) if ranks is None else np.isin(np.arange(n), ranks)
    below = np.concatenate([[0], np.cumsum(asked)])  # how many of the ranks are
    while (active := np.flatnonzero((size > 1) & (below[start % n + size] > below[start % n]))).size:
        element, first, count = order[active], start[active], size[active]
        place = active - first
        # where in ``active`` the segment begins
        head = np.arange(active.size) - place
        pivots = np.where(count <= _SMALL, count - 1, _PIVOTS)
        against = [np.flatnonzero((place > q) & (pivots > q)) for q in range(int(pivots.max()))]
        left, right = np.concatenate(against), np.concatenate([head[at] + q for q, at in enumerate(against)])
        before = await _before(suite, keys[:, element], left, right)
        pivot = place < pivots
        smaller = np.bincount(left[~before], minlength=active.size)  # pivots before each element
        smaller += np.bincount(right[before & pivot[left]], minlength=active.size)
        label = first * (2 * _SMALL + 2) + 2 * smaller + pivot  # a pivot is alone with its label
        by = np.argsort(label, kind="stable")
        order[active], label = element[by], label[by]
        ends = np.flatnonzero(np.append(label[1:] != label[:-1], True)) + 1
        sizes = np.diff(ends, prepend=0)
        start[active], size[active] = np.repeat(active[ends - sizes], sizes), np.repeat(sizes, sizes)
    return order


async def _before(suite: Suite, keys: Share, left: NDArray, right: NDArray) -> NDArray:
    """Whether elements left come before elements right; opened."""
    out = np.empty(len(left), bool)

    async def piece(lo: int, hi: int) -> None:
        a, b = left[lo:hi], right[lo:hi]
        *higher, last = (row[a] - row[b] for row in (keys[i] for i in range(len(keys.parts[0].data))))
        one = keys.ring(1)
        planes, *more = await gather(
            suite.signs(last.apply(lambda part: Z32(part.data))),
            *(suite.signs(d - one) for d in reversed(higher)),
        )
        for upper in more:
            planes = joined(negated(planes), upper, axis=1)
        (opened,) = await suite.reveal(await carry(suite, planes), tag="order")
        out[lo:hi] = unpacked(opened, Z32, hi - lo).data

    if len(left) <= CHUNK:
        await piece(0, len(left))
    else:
        await pipeline((piece(lo, hi) for lo, hi in chunks(len(left))), -(-len(left) // CHUNK))
    return out


def negated(planes: Share) -> Share:
    """Planes that carry where these do not, for upper ones to be joined to."""
    ones = np.zeros(planes.shape, np.uint64)
    ones[0, -1] = 2**64 - 1
    return planes + BITS(ones)


# -- NumPy's functions -------------------------------------------------------------------------------


def _arranged(
    columns: Sequence[Secret],
    axis: int | None,
    ranks: Sequence[int] | None = None,
    along: Sequence[Secret] = (),
    mixed: bool = False,
) -> list[Secret]:
    """Arrays of one shape, their positions along an axis, and others that go along, by the first and the
    positions.

    All of them, or so that elements of these ranks are in their places; the others, if ``mixed``, in an order
    that nobody knows."""
    moved, rest = (
        [retyped(c.ravel() if axis is None else call(np.moveaxis, c, axis, 0), INT) for c in xs]
        for xs in (columns, along)
    )
    shape, keys = moved[0].shape, len(moved) + 1
    n = shape[0]
    m = math.prod(shape[1:])
    most = 1 << max(0, 32 - keys)
    if n > most:
        raise ValueError(f"at most {most} elements can be sorted by {len(moved)} keys, not {n}")
    position = np.broadcast_to(np.arange(n)[:, None], (n, m))
    stack = call(
        np.stack, [*(x.reshape((n, m)) for x in moved), position, *(x.reshape((n, m)) for x in rest)]
    )

    async def protocol(suite: Suite, x: Share) -> Share:
        return await arranged(suite, x, keys, ranks, mixed)

    done = stack.session.spawn(
        "sort" if ranks is None else "select", protocol, (stack,), stack.shape, INT, (ranks, mixed)
    )
    out = [permutation(done[i]) if i == len(moved) else done[i] for i in range(len(stack))]
    back = (x.reshape(shape) for x in out)
    return [x if axis is None else call(np.moveaxis, x, 0, axis) for x in back]


def arranged_with(x: Secret, along: Secret) -> tuple[Secret, Secret, Secret]:
    """x with one axis, ascending; the positions that sort it;
    and another array of its shape in that order.
    """
    ordered, order, moved = _arranged([x], 0, along=[along])
    return retyped(ordered, x.kind), order, retyped(moved, along.kind)


def _stable(kind: str | None, order: None) -> None:
    """Every sort is stable, so that any of NumPy's kinds will do; there are no fields to order by."""
    if order is not None:
        raise ValueError("np.sort takes an order= of fields, which secrets do not have; use np.lexsort")
    if kind not in (None, "quicksort", "heapsort", "mergesort", "stable"):
        raise ValueError(f"np.sort has the kinds quicksort, heapsort, mergesort and stable, not {kind!r}")


def sort(
    x: Secret, axis: int | None = -1, kind: str | None = None, order: None = None, stable: bool | None = None
) -> Secret:
    """Ascending along an axis."""
    _stable(kind, order)
    return retyped(_arranged([x], axis)[0], x.kind)


def argsort(
    x: Secret, axis: int | None = -1, kind: str | None = None, order: None = None, stable: bool | None = None
) -> Secret:
    """The positions that would sort x, ties in their order.  The result is as secret as x.

    ``np.take`` and ``np.take_along_axis`` move rows by it in linear time (``moving``).
    """
    _stable(kind, order)
    y = x.ravel() if axis is None else call(np.moveaxis, x, axis, 0)
    if x.kind == BOOL:
        found = moving.partition(linear.subtract(1, y.reshape((len(y), math.prod(y.shape[1:])))))
    elif (orders := moving.whole(y)) is not None:
        found = permutation(moving.inverse(orders), orders.forward)
    else:
        return _arranged([x], axis)[-1]
    found = found.reshape(y.shape)
    return found if axis is None else call(np.moveaxis, found, 0, axis)


def lexsort(keys: Any, axis: int = -1) -> Secret:
    """The positions that would sort by several keys, the last one first, as NumPy's; a tuple of secrets and
    arrays.
    """
    columns = unified(*keys)[::-1]
    normalize_axis_index(axis, max(1, columns[0].ndim))
    return _arranged(columns, axis)[-1] if columns[0].ndim else retyped(linear.filled(columns[0], 0), INT)


def _ranks(kth: Any, n: int, name: str) -> list[int]:
    """Positions among n, as ``np.partition`` takes them."""
    places = numeric(kth, "a position")
    if places.dtype.kind not in "iu" or places.ndim > 1:
        raise TypeError(f"{name} takes one integer or a list of them as kth")
    if not ((places >= -n) & (places < n)).all():
        raise ValueError(f"{name}: kth is out of bounds: there are {n} elements along the axis")
    return [int(k) for k in np.unique(places.reshape(-1) % n if n else places)]


def _parted(a: Secret, kth: Any, axis: int | None, kind: str, order: None, name: str) -> list[Secret]:
    if kind != "introselect":
        raise ValueError(f"{name} has the kind introselect, not {kind!r}")
    if order is not None:
        raise ValueError(f"{name}: secrets have no fields to order by")
    n = a.size if axis is None else a.shape[normalize_axis_index(axis, a.ndim)]
    return _arranged([a], axis, _ranks(kth, n, name), mixed=True)


def partition(
    a: Secret, kth: Any, axis: int | None = -1, kind: str = "introselect", order: None = None
) -> Secret:
    """Element kth along an axis where a sort would put it, the smaller ones before it, in an order that
    nobody knows.
    """
    return retyped(_parted(a, kth, axis, kind, order, "np.partition")[0], a.kind)


def argpartition(
    a: Secret, kth: Any, axis: int | None = -1, kind: str = "introselect", order: None = None
) -> Secret:
    """The positions that would partition a; rows move by them as by ``argsort``'s."""
    return _parted(a, kth, axis, kind, order, "np.argpartition")[-1]


def _plain_top_k(x: NDArray, k: int, axis: int = -1, largest: bool = True) -> tuple[NDArray, NDArray]:
    keys = -(x * 1) if largest else x  # x may be of truth values, or of Python's integers
    at = np.take(np.argsort(keys, axis, kind="stable"), np.arange(k), axis)
    return np.take_along_axis(x, at, axis), at


@beside("mpc.top_k", _plain_top_k)
def top_k(x: Secret, k: int, axis: int = -1, largest: bool = True) -> tuple[Secret, Secret]:
    """The k largest elements along an axis, the largest first (or the k smallest), and their positions; of
    equal ones the first.

    By quickselect: some four comparisons an element, and a sort of k.
    """
    k, n = index(k), x.shape[normalize_axis_index(axis, x.ndim)]
    if not 0 <= k <= n:
        raise ValueError(f"mpc.top_k: there are {n} elements along the axis, and k is {k}")
    keys = retyped(x, INT)
    if largest:
        keys = linear.subtract(-1, keys)  # unlike −x, no two in the ring change places
    found = [call(np.moveaxis, y, axis, 0)[:k] for y in _arranged([keys], axis, range(k))]
    values, at = (call(np.moveaxis, y, 0, axis) for y in found)
    return retyped(linear.subtract(-1, values) if largest else values, x.kind), at


@beside("mpc.shuffle", None)
def shuffle(x: Secret, *more: Secret) -> Any:
    """The rows of arrays, all in one order that nobody knows: one array for one, a list for several.

    With ``replicated`` 3 rounds and 16 bytes an element and party, with ``additive`` n rounds and n−1
    elements."""
    xs = [x, *more]
    if not all(a.ndim for a in xs):
        raise ValueError("mpc.shuffle takes arrays of at least one axis, whose rows it puts in another order")
    rows = {len(a) for a in xs}
    if len(rows) != 1:
        raise ValueError(
            f"arrays to be shuffled together must have as many rows as each other, not {sorted(rows)}"
        )
    n = rows.pop()
    flat = [call(np.transpose, retyped(a, INT).reshape((n, max(1, a.size) // max(1, n)))) for a in xs]
    stack = call(np.expand_dims, call(np.concatenate, flat), 2)

    def protocol(suite: Suite, x: Share) -> Any:
        return suite.shuffle(x)

    done = x.session.spawn("shuffle", protocol, (stack,), stack.shape, INT)
    out, at = [], 0
    for a, f in zip(xs, flat, strict=True):
        out.append(retyped(call(np.transpose, done[at : at + len(f), :, 0]).reshape(a.shape), a.kind))
        at += len(f)
    return out if more else out[0]


def selected(x: Secret, ranks: NDArray) -> Secret:
    """The elements of these ranks along the first axis, by quickselect."""
    return retyped(_arranged([x], 0, np.unique(ranks).tolist())[0][ranks], x.kind)
