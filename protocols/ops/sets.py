"""Sets of secrets: whether a value is among others, and unions, intersections, differences in a padded form.

How many values a set has must not show, so a set is here two arrays of a public length: *values*, ascending,
and truth values *present* that say which of them count; each value of the set is present once.
``np.count_nonzero(present)`` is its size, ``np.where(present, values, 0).sum()`` its sum; with ``order =
np.argsort(~present)`` the first rows of ``np.take(values, order)`` are the set without gaps, ascending, and
``[:k]`` cuts it where it is known to have no more than k.

Both arrays are sorted together, each of the first before its equals in the second.  With s_i where v_i =
v_(i−1), and e_i for what came from the first array, of equal values

    the first is present        in unique and union1d,
    e_(i−1) − e_i where s_i     in intersect1d: where the first array's end and the second's begin,
    the last, where e           in setdiff1d: no equal of the second array comes after it,
    that, and the first where ¬e    in setxor1d.

isin asks for e at the first of the equals (``moving.filled``), for the elements in their own order.

Cost     a sort of all values, by value and position (``sorting``; for all but ``unique`` with 16 bytes more
         for e), an equality of neighbours, and a product or two; ``isin`` two moves and a scatter as well
         (``moving``), or, where that is less, an equality of each pair.
Range    all of the ring.  Integers beside reals become reals, and must have their range; in ``isin`` of pairs
         they need not.
Source   sort, compare neighbours: Huang, Evans, Katz, NDSS 2012 (private set intersection from generic
         computation), there of two sorted sets.  The padded form with a mask is that of ORQ and of SQL
         engines like it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mpc.encoding import BOOL
from mpc.ring import NDArray
from protocols.array.secret import Secret, beside, call, constant, retyped, unified
from protocols.ops import comparison, moving, selection, sorting

Padded = tuple[Secret, Secret]

#: Pairs of which fewer are compared each: sorting takes more rounds.
_MANY = 1 << 20


def isin(
    element: Any,
    test_elements: Any,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    kind: str | None = None,
) -> Secret:
    """Where x is one of the test elements, public or secret."""
    if kind not in (None, "sort", "table"):
        raise ValueError(f"np.isin has the kinds sort and table, not {kind!r}")
    if not isinstance(test_elements, Secret):
        return selection.isin(element, test_elements, invert)
    if np.size(element) * test_elements.size >= _MANY and comparison.comparable(element, test_elements):
        found = among(element, test_elements)
    else:
        pairs = comparison.equal(np.reshape(element, (*np.shape(element), 1)), test_elements.ravel())
        found = comparison.any_(pairs, axis=-1)
    return comparison.logical_not(found) if invert else found


def among(x: Any, tests: Secret) -> Secret:
    """``isin`` by sorting."""
    shape = np.shape(x)
    values, order, test = _merged(tests, x)
    found = moving.filled(_first(values).reshape((-1, 1)), test.reshape((1, -1, 1)))
    back = moving.scattered(order.reshape((-1, 1)), found)[0, tests.size :, 0]
    return retyped(back.reshape(shape), BOOL)


# -- sets, padded ------------------------------------------------------------------------------------


def _merged(a: Any, b: Any) -> tuple[Secret, Secret, Secret]:
    """All values ascending, their positions, a's before b's, and whether they came from a."""
    a, b = unified(a, b)
    values = call(np.concatenate, [a.ravel(), b.ravel()])
    of_a = constant(values.session, np.arange(values.size) < a.size, BOOL)
    ordered, order, of_a = sorting.arranged_with(values, of_a)
    return ordered, order, of_a


def _first(values: Any) -> Any:
    """Where none equal comes before."""
    return np.concatenate([np.ones(min(1, len(values)), bool), values[1:] != values[:-1]])


def _last(first: Any) -> Any:
    """Where none equal comes after, from where none comes before."""
    return np.concatenate([first[1:], np.ones(min(1, len(first)), bool)])


def _in_both(first: Any, of_a: Any) -> Any:
    before = np.concatenate([np.zeros(min(1, len(of_a)), bool), of_a[:-1]])
    return ~first & before & ~of_a


def _of_arrays(present: Callable[[Any, Any], Any]) -> Callable[..., tuple[NDArray, NDArray]]:
    def padded(a: Any, *more: Any) -> tuple[NDArray, NDArray]:
        values = np.concatenate([np.ravel(x) for x in (a, *more)])
        order = np.argsort(values, kind="stable")
        return values[order], present(_first(values[order]), order < np.size(a))

    return padded


def _of_secrets(present: Callable[[Any, Any], Any], a: Any, b: Any) -> Padded:
    values, _, of_a = _merged(a, b)
    return values, present(_first(values), of_a)


def _in_any(first: Any, of_a: Any) -> Any:
    return first


def _in_a(first: Any, of_a: Any) -> Any:
    return _last(first) & of_a


def _in_one(first: Any, of_a: Any) -> Any:
    return (_last(first) & of_a) ^ (first & ~of_a)


@beside("mpc.unique", _of_arrays(_in_any))
def unique(x: Secret) -> Padded:
    """The values of x, as many as x has elements, ascending; and the truth values that say which count."""
    values = sorting.sort(x, axis=None)
    return values, _first(values)


@beside("mpc.union1d", _of_arrays(_in_any))
def union1d(a: Any, b: Any) -> Padded:
    """The values that are in a or b, of all of these, ascending;
    and the truth values that say which count.
    """
    return _of_secrets(_in_any, a, b)


@beside("mpc.intersect1d", _of_arrays(_in_both))
def intersect1d(a: Any, b: Any) -> Padded:
    """The values that are in a and in b, among all of both, ascending; and the truth values that say which
    count.
    """
    return _of_secrets(_in_both, a, b)


@beside("mpc.setdiff1d", _of_arrays(_in_a))
def setdiff1d(a: Any, b: Any) -> Padded:
    """The values that are in a and not in b, among all of both, ascending; and the truth values that say
    which count.
    """
    return _of_secrets(_in_a, a, b)


@beside("mpc.setxor1d", _of_arrays(_in_one))
def setxor1d(a: Any, b: Any) -> Padded:
    """The values that are in one of the two only, among all of both, ascending; and the truth values that say
    which count.
    """
    return _of_secrets(_in_one, a, b)
