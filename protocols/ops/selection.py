"""Elements at secret positions, and counting over public values: take, searchsorted, bincount, histogram,
isin of public ones.

Which element is read must not show, so all of them are: with [x = d] for every d of a public domain,

    x[i]  =  Σ_j [i = j]·x_j,          counts_d  =  Σ_x [x = d].

The bits of x are computed once.  One plane [x = d] per value d grows from halves: [x = d] is [low bits of x =
low bits of d] and the same for the high bits, and values share the halves they have in common.  Of the values
0 to n−1 each costs little more than one AND, where n separate tests for equality cost 63 each.

Threat   the suite's.  Shapes, the domain, and the lengths of all results are public.
Cost     over Z_2^64, bytes a party sends for each x with n values in the domain, and rounds:

                                          additive, no dealer         replicated
             one_hot, unique_counts       67 +  8.4 n   14 rounds     61 +  8.2 n   16 rounds
             isin                         79 +  0.3 n   14            72 +  0.1 n   16
             take of a public x           88 +  8.7 n   14            72 +  8.3 n   16
             take of a secret x           and 8 n, 1 round more       and 8, 1 round more
             searchsorted, histogram      a comparison with every border

         ``take`` and ``take_along_axis`` at positions that are known to come from an order (``argsort``) move
         rows in linear time: ``moving``.  At any others, k of them, where n·k is 2^22 or more and sorting
         them with the rows sends less: a sort of n + k numbers (``sorting``) and three moves of as many rows.
         In that order each place holds what the last row above it has: differences of neighbouring rows,
         moved along, add up to it.

Range    a negative index of take counts from the end; one outside −n to n−1 reads 0.  What is not among 0 to
         n−1 is not counted, and ``one_hot`` of it is all false.
Source   the linear scan over an indicator vector is folklore (as the private reads of Keller, Scholl, ePrint
         2014/137); growing it from halves is the demultiplexer of Launchbury et al., ICFP 2012, there
         over all 2^t values.  Reading by sorting is folklore; that differences need no scan over levels is
         noted in Asharov, Hamada, Kikuchi, Nof, Pinkas, Tomida, CCS 2023, for joins.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, cast

import numpy as np

from mpc.encoding import BOOL, INT, Kind, numeric
from mpc.errors import EncodingError
from mpc.ring import NDArray, RingArray
from mpc.rounds import gather
from protocols.array.secret import Origin, Secret, beside, call, constant, retyped, structural, unified
from protocols.carries import bits_of, both, complement
from protocols.ops import linear, moving, products, sorting
from protocols.ops.comparison import comparable, less, logical_not, to_ring, where
from protocols.suite import Share, Suite, elementwise, lift

# -- which value it is -------------------------------------------------------------------------------


async def matches(suite: Suite, bits: Share, patterns: NDArray) -> Share:
    """For each pattern, a row of truth values, one plane: where the bits are these.  ⌈log2⌉ rounds.

    Every other bit goes into the same half, so that the few bits in which small numbers differ are in both.
    """
    if bits.shape[0] == 1:
        either = cast(Share, lift(lambda no, yes: np.concatenate([no, yes]), complement(bits), bits))
        return either[patterns[:, 0].astype(int)]
    even, of_even = np.unique(patterns[:, ::2], axis=0, return_inverse=True)
    odd, of_odd = np.unique(patterns[:, 1::2], axis=0, return_inverse=True)
    first, second = await gather(matches(suite, bits[::2], even), matches(suite, bits[1::2], odd))
    return await both(suite, first[of_even.reshape(-1)], second[of_odd.reshape(-1)])


async def indicators(suite: Suite, patterns: NDArray, x: Share) -> Share:
    """1 where x is the pattern, or one of several along a first axis, else 0; along a last axis."""
    *several, n, k = patterns.shape
    planes = await matches(suite, await bits_of(suite, x), patterns.reshape((-1, k)))
    if several:
        planes = planes.reshape((*several, n, planes.shape[-1]))
        planes = planes.apply(lambda part: part.map(np.bitwise_xor.reduce))
    rows = await to_ring(suite, planes, x.ring, (n, x.size))
    return rows.apply(lambda part: part.map(lambda data: np.ascontiguousarray(data.T))).reshape((*x.shape, n))


async def member(suite: Suite, patterns: NDArray, x: Share) -> Share:
    """1 where x is one of the patterns, else 0: it is one of them at most, so their planes add up."""
    planes = await matches(suite, await bits_of(suite, x), patterns)
    return await to_ring(suite, planes.apply(lambda part: part.map(np.bitwise_xor.reduce)), x.ring, x.shape)


def _patterns(x: Secret, domain: Any) -> NDArray:
    """The bits of the domain's values, or of elements of the ring, a row each."""
    if not isinstance(domain, RingArray):
        domain = x.session.public(numeric(domain, "the domain"), x.kind)
    if len(domain.shape) != 1:
        raise ValueError("the domain must be a list of public values")
    ring = x.session.ring
    encoded = np.frombuffer(ring.encode(domain.data), np.uint8)
    return np.unpackbits(encoded.reshape(-1, ring.itemsize), axis=1, bitorder="little").astype(bool)


def _indicators(x: Secret, domain: Any) -> Secret:
    patterns = _patterns(x, domain)
    if len(np.unique(patterns, axis=0)) < len(patterns):
        raise ValueError(f"two values of the domain are the same as {x.kind}")
    return _spawned(x, patterns)


def _spawned(x: Secret, patterns: NDArray) -> Secret:
    n, shape = patterns.shape[-2], (*x.shape, patterns.shape[-2])
    if not n:
        return retyped(call(np.broadcast_to, x.reshape((*x.shape, 1))[..., :0], shape), BOOL)

    def protocol(suite: Suite, share: Share) -> Any:
        return elementwise(partial(indicators, suite, patterns), share, width=n)

    return x.session.spawn("indicators", protocol, (x,), shape, BOOL, patterns)


@beside("mpc.one_hot", lambda index, n: index[..., None] == np.arange(n))
def one_hot(index: Secret, n: int) -> Secret:
    """Truth values of the index's shape and a last axis of n: true at the index; all false where that is
    not in 0 to n−1.
    """
    return _indicators(_index(index, "one_hot"), np.arange(n))


def position(index: Secret, n: int) -> Secret:
    """As ``one_hot``, but a negative index counts from the end."""
    return _spawned(index, np.stack([_patterns(index, np.arange(n)), _patterns(index, np.arange(-n, 0))]))


def _index(x: Any, name: str) -> Secret:
    if not isinstance(x, Secret) or x.kind.fraction:
        raise TypeError(f"{name} takes a secret array of integers as an index")
    return retyped(x, INT)


@beside("mpc.unique_counts", lambda x, domain: np.array([np.sum(x == value) for value in domain], int))
def unique_counts(x: Secret, domain: Any) -> Secret:
    """How often each value of a public domain occurs in x; what is not in the domain is not counted.

    ``np.unique`` would show which values occur by the length of its result.
    """
    return linear.sum_(_indicators(x.ravel(), domain), axis=0)


def isin(element: Secret, test_elements: Any, invert: bool = False) -> Secret:
    """Where x is one of the public test elements; no integer is one that is not whole, or not in the ring."""
    x = retyped(element, linear.counted(element.kind))
    values = numeric(test_elements, "the test elements").reshape(-1)
    values = values.astype(int) if values.dtype.kind == "b" else values
    domain: Any = values
    if not x.kind.fraction:
        real, limit = values.dtype.kind == "f", 1 << (x.session.ring.bits - 1)
        if real and np.isnan(values).any():
            raise EncodingError("NaN among the test elements; remove or replace such values first")
        values = values[(values >= -limit) & (values < limit)]
        domain = x.session.ring.whole(values[values == np.rint(values)]) if real else values
    patterns = np.unique(_patterns(x, domain), axis=0)
    if not len(patterns):
        found = retyped(linear.filled(x, 0), BOOL)
    else:

        def protocol(suite: Suite, share: Share) -> Any:
            return elementwise(partial(member, suite, patterns), share)

        found = x.session.spawn("isin", protocol, (x,), x.shape, BOOL, patterns)
    return logical_not(found) if invert else found


# -- reading at secret positions ---------------------------------------------------------------------


def read(hot: Secret, x: Any) -> Secret:
    """The products hot @ x of truth values with anything, exactly: nothing is rounded."""
    hot = retyped(hot, INT)
    kind: Kind = x.kind if isinstance(x, Secret) else hot.session.kind_of(x)
    if not isinstance(x, Secret):  # as elements of the ring, exactly
        return retyped(products.matmul(hot, hot.session.public(x, kind)), kind)
    return retyped(products.matmul(hot, retyped(x, INT)), kind)


def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """x at public or secret positions along an axis; at secret ones all of x is read.

    It is ``np.take`` of a secret x, and ``mpc.take`` of anything: NumPy does not ask the indices of a public
    array."""
    if isinstance(indices, Secret):
        return _taken(x, indices, axis)
    return _moved(x, np.array(indices), axis) if isinstance(x, Secret) else np.take(x, indices, axis)


@beside("mpc.take", np.take)
def _moved(x: Secret, indices: NDArray, axis: int | None) -> Secret:
    return cast(Secret, structural("take", lambda a: np.take(a, indices, axis), x, public=(indices, axis)))


def _plain_taken(x: NDArray, indices: NDArray, axis: int | None) -> NDArray:
    if axis is None:
        x, axis = np.ravel(x), 0
    n, after = x.shape[axis], x.ndim - 1 - range(x.ndim)[axis]
    inside = (indices >= -n) & (indices < n)
    picked = np.take(x, np.where(inside, indices, 0), axis) if n else np.zeros(1, x.dtype)
    return np.where(inside.reshape(inside.shape + (1,) * after), picked, np.zeros(1, x.dtype))


@beside("mpc.take", _plain_taken)
def _taken(x: Any, indices: Secret, axis: int | None) -> Secret:
    if axis is None:
        x, axis = np.ravel(x), 0
    axis = range(np.ndim(x))[axis]
    x = np.moveaxis(x, axis, 0)
    n, rest = x.shape[0], x.shape[1:]
    rows = x.reshape((n, -1) if n else (0, int(np.prod(rest))))
    index = _index(indices, "np.take")
    if (origin := index.origin) is not None and _by_order(origin, n, index.size, rows.shape[1]):
        width, m = origin.permutations.forward.shape
        columns = call(np.transpose, _secret(rows, index)[:width])[..., None]
        moved = moving.gathered(
            origin.permutations, call(np.broadcast_to, columns, (rows.shape[1], width, m))
        )
        picked = call(
            np.moveaxis, call(np.take, moved.reshape((rows.shape[1], width * m)), origin.places, 1), 0, -1
        )
    elif _sorts(n, index.size, 1, rows.shape[1]):
        found = _by_sorting(call(np.transpose, _secret(rows, index))[..., None], index.reshape((-1, 1)))
        picked = call(np.transpose, found.reshape(found.shape[:2]))
    else:
        picked = read(position(index.ravel(), n), rows)
    picked = picked.reshape((*indices.shape, *rest))
    places = range(indices.ndim)
    return call(np.moveaxis, picked, tuple(places), tuple(axis + i for i in places))


def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """Along an axis, x at the positions that another array gives: an argsort's, say."""
    if not isinstance(indices, Secret):
        indices = np.array(indices)
        return structural(
            "take_along_axis", lambda a: np.take_along_axis(a, indices, axis), arr, public=(indices, axis)
        )
    if axis is None:
        arr, axis = np.ravel(arr), 0
    if np.ndim(arr) != indices.ndim:
        raise ValueError("np.take_along_axis: the array and the indices must have equally many axes")
    if indices.kind == BOOL:
        raise IndexError("np.take_along_axis: the indices must be integers")
    x, index = np.moveaxis(arr, axis, 0), _index(call(np.moveaxis, indices, axis, 0), "np.take_along_axis")
    n, k, rest = len(x), len(index), np.broadcast_shapes(x.shape[1:], index.shape[1:])
    m = math.prod(rest)
    whole = call(np.broadcast_to, index, (k, *rest)).reshape((k, m))
    if whole.origin is not None and (along := _columns(whole.origin, n)) is not None:
        picked = _along_order(
            _secret(np.broadcast_to(x, (n, *rest)).reshape((n, m)), index), whole.origin, *along
        )
    elif _sorts(n, k, m, 1):
        picked = _by_sorting(_secret(np.broadcast_to(x, (n, *rest)).reshape((1, n, m)), index), whole)
    else:
        x, index = np.moveaxis(x, 0, -1), call(np.moveaxis, index, 0, -1)
        picked = call(np.moveaxis, read(position(index, n), np.expand_dims(x, -1))[..., 0], -1, 0)
    return call(np.moveaxis, picked.reshape((k, *rest)), 0, axis)


def _secret(x: Any, beside: Secret) -> Secret:
    return x if isinstance(x, Secret) else constant(beside.session, x, beside.session.kind_of(x))


# -- at positions that come from an order, or by sorting ---------------------------------------------


def _by_order(origin: Origin, n: int, k: int, c: int) -> bool:
    """Whether k positions among n rows of c columns are read by moving all rows: but for few positions of
    wide rows.
    """
    width, m = origin.permutations.forward.shape
    return width <= n and 2 * (c + 4) * width * m <= n * k + _FEW


def _columns(origin: Origin, n: int) -> tuple[NDArray, NDArray] | None:
    """For each column of positions, from which column of orders it comes, and how many others before it do
    so, too.
    """
    if len(origin.permutations.forward) > n or not origin.places.size:
        return None
    column = origin.places % origin.permutations.forward.shape[1]
    if (column != column[0]).any():
        return None
    of = column[0]
    by = np.argsort(of, kind="stable")
    earlier = np.empty_like(of)
    earlier[by] = np.arange(of.size) - np.searchsorted(of[by], of[by])
    return of, earlier


def _along_order(x: Secret, origin: Origin, of: NDArray, earlier: NDArray) -> Secret:
    """Each column of x, (n, m), at positions from column ``of`` of the orders."""
    width, columns = origin.permutations.forward.shape
    depth, at = int(earlier.max()) + 1, origin.places // columns

    def spread(data: NDArray) -> NDArray:
        out = np.zeros((depth, width, columns), data.dtype)
        out[earlier, :, of] = data[:width].T
        return out

    spread_out = cast(Secret, structural("spread", spread, x, public=(of, earlier, width, columns)))
    return moving.gathered(origin.permutations, spread_out)[earlier, at, of]


#: Products, or comparisons, of which fewer are made: sorting takes more rounds.
_MANY = 1 << 22
#: Elements that are not worth a thought.
_FEW = 1 << 12


def _sorts(n: int, k: int, m: int, c: int) -> bool:
    """Whether k positions among n rows of c columns, m times side by side, are found by sorting: many, and
    fewer bytes.
    """
    rows = n + k
    return n * k * m >= _MANY and rows * (45 * rows.bit_length() + 150 + 48 * c) < 8 * n * k


def _by_sorting(x: Secret, index: Secret) -> Secret:
    """x of shape (c, n, m) at positions (k, m), of shape (c, k, m); below −n and above n−1 zero."""
    (c, n, m), k = x.shape, len(index)
    at = where(less(index, 0), linear.add(index, n), index)
    keys = call(np.concatenate, [np.broadcast_to(np.arange(n + 1)[:, None], (n + 1, m)), at])
    # the rows and one of zeros in the order they have, each before its readers
    order = sorting.argsort(keys, axis=0)
    assert order.origin is not None
    around = np.zeros((c, 1, m), int)
    padded = call(np.concatenate, [around, retyped(x, INT), around], axis=1)
    steps = call(
        np.concatenate, [linear.subtract(padded[:, 1:], padded[:, :-1]), np.zeros((c, k, m), int)], axis=1
    )
    in_order = linear.cumsum(moving.gathered(order.origin.permutations, steps), axis=1)
    return retyped(moving.scattered(order, in_order)[:, n + 1 :], x.kind)


# -- borders -----------------------------------------------------------------------------------------


def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Secret:
    """How many of a sorted a are below v (left), or not above it (right), with a in any order.

    Every one of a is compared with every one of v; where these are 2^22 pairs or more, all are sorted
    together.  So a ``sorter`` that would put a in order changes nothing.
    """
    if np.ndim(a) != 1 or (sorter is not None and np.shape(sorter) != np.shape(a)):
        raise ValueError("np.searchsorted takes a sorted array with one axis, and a sorter of its length")
    if not isinstance(a, Secret) and not isinstance(v, Secret):
        raise TypeError(
            "np.searchsorted takes a secret a or v; the sorter is not looked at, and need not be secret"
        )
    if side not in ("left", "right"):
        raise ValueError(f"np.searchsorted has the sides left and right, not {side!r}")
    if np.size(a) * np.size(v) >= _MANY and comparable(a, v):
        return _counted_by_sorting(a, v, side)
    v = np.expand_dims(v, -1) if isinstance(v, Secret) else np.asarray(v)[..., None]
    if side == "left":
        return linear.sum_(less(a, v), axis=-1)
    return linear.subtract(np.size(a), linear.sum_(less(v, a), axis=-1))


def _counted_by_sorting(a: Any, v: Any, side: str) -> Secret:
    """``searchsorted``: how many of a stand before each of v where both are in one order, of equal ones v or
    a first.
    """
    shape = np.shape(v)
    a, v = unified(a, v)
    both = [v.ravel(), a] if side == "left" else [a, v.ravel()]
    of_a = constant(a.session, np.repeat([x is a for x in both], [x.size for x in both]), INT)
    _, order, of_a = sorting.arranged_with(call(np.concatenate, both), of_a)
    counts = moving.scattered(order.reshape((-1, 1)), linear.cumsum(of_a).reshape((1, -1, 1))).reshape(-1)
    return (counts[: v.size] if side == "left" else counts[a.size :]).reshape(shape)


def digitize(x: Any, bins: Any, right: bool = False) -> Secret:
    """In which of the public bins, which rise or fall, each x lies."""
    if isinstance(bins, Secret):
        raise NotImplementedError(
            "np.digitize with secret bins; whether they rise or fall is not known: use np.searchsorted"
        )
    edges, side = numeric(bins, "bins"), "left" if right else "right"
    if (np.diff(edges) >= 0).all():
        return searchsorted(edges, x, side)
    if (np.diff(edges) > 0).any():
        raise ValueError("np.digitize: the bins must rise or fall throughout")
    return linear.subtract(len(edges), searchsorted(edges[::-1], x, side))


def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Secret:
    """How often each of 0 to minlength − 1 occurs, or the sum of the weights where it does; other values are
    not counted.
    """
    if minlength < 0:
        raise ValueError(f"np.bincount takes a minlength of 0 or more, not {minlength}")
    if not isinstance(x, Secret):  # the weights are secret
        values = numeric(x, "a value")
        length = max(minlength, len(np.bincount(values)))
        return products.real(_weighted(values[:, None] == np.arange(length), weights))
    if x.kind.fraction or x.ndim != 1:
        raise TypeError("np.bincount takes an array of integers with one axis")
    if not minlength:
        raise TypeError(
            "np.bincount of secrets needs minlength: a result as long as the largest value would show it"
        )
    hot = one_hot(x, minlength)
    return linear.sum_(hot, axis=0) if weights is None else products.real(_weighted(hot, weights))


def _weighted(inside: Any, weights: Any) -> Secret:
    """The sum of weights over the rows of truth values, one of the two secret."""
    if np.shape(weights) != inside.shape[:1]:
        raise ValueError("there must be as many weights as values")
    if not isinstance(weights, Secret):
        weights = numeric(weights, "a weight")
        weights = weights.astype(int) if weights.dtype.kind == "b" else weights
    elif weights.kind == BOOL:
        weights = retyped(weights, INT)
    if not isinstance(inside, Secret):
        return products.matmul(inside.T.astype(int), weights)
    return read(inside.T, weights)


def histogram(
    a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> tuple[Secret, NDArray]:
    """Counts between public edges, the last one included; or the sum of weights.
    Returns them and the edges.
    """
    if density:
        raise NotImplementedError("np.histogram on secrets takes no density=; divide the revealed counts")
    inside, edges = within(np.ravel(a), bins, range, "histogram")
    if weights is None:
        return linear.sum_(inside, axis=0), edges
    return _weighted(inside, np.ravel(weights)), edges


def within(x: Any, bins: Any, range: Any, name: str) -> tuple[Any, NDArray]:
    """Truth values, a row for each of a vector: between which public edges it lies; and the edges."""
    if isinstance(bins, str | Secret) or (np.ndim(bins) == 0 and range is None):
        raise TypeError(
            f"np.{name} of secrets needs public edges: bins=[...], or a number of bins and range=(low, high)"
        )
    edges = np.histogram_bin_edges(np.empty(0), bins, range)
    if isinstance(x, Secret):
        last = logical_not(less(edges[-1], x))
        below = less(call(np.expand_dims, x, 1), edges[:-1])
        upper = call(np.concatenate, [below[:, 1:], last.reshape((-1, 1))], axis=1)
        return retyped(linear.subtract(upper, below), BOOL), edges
    x = numeric(x, "a value")
    return (x[:, None] >= edges[:-1]) & np.column_stack([x[:, None] < edges[1:-1], x <= edges[-1]]), edges
