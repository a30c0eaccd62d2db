"""Every operation's public parameters, changed at one party: all are told, and nobody gets a number.

The tables of operations are walked: an entry, or a parameter of one, that is new and has no case here fails.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mpc
from mpc.errors import MpcError
from mpc.ring import Z32, Z64
from protocols.array.session import _canonical
from protocols.numpy.tables import ACCUMULATIONS, FUNCTIONS, JOINS, MOVES, REDUCTIONS, UFUNCS

INPUTS: dict[str, np.ndarray] = {
    "x": np.array([[1.5, 0.25, 2.0], [3.0, 1.25, 0.5], [2.5, 4.0, 1.0]]),
    "n": np.array([[5, 2, 12], [7, 4, 1], [3, 8, 6]]),
    "t": np.array([[True, False, True], [True, False, False], [True, False, False]]),
    "v": np.array([0.5, 1.25, 3.0, 2.0]),
    "i": np.array([2, 0, 1, 2]),
    "j": np.array([[0, 2, 1]] * 3),
    "spd": np.array([[2.0, 0.5], [0.5, 1.0]]),
}


class Case(NamedTuple):
    """An operation on the inputs and one public value, and two of these with results that differ."""

    run: Callable[[Any, Any], Any]
    here: Any
    there: Any


Cases = dict[str, Case]


def operand(f: Callable[..., Any], name: str, here: Any, there: Any) -> Cases:
    """f of a secret and a public operand, in both places."""
    return {
        "first": Case(lambda d, p: f(p, getattr(d, name)), here, there),
        "second": Case(lambda d, p: f(getattr(d, name), p), here, there),
    }


def options(f: Callable[..., Any], name: str, **values: tuple[Any, Any]) -> Cases:
    """f of a secret, with one option at a time."""
    return {
        option: Case(lambda d, p, option=option: f(getattr(d, name), **{option: p}), *pair)
        for option, pair in values.items()
    }


AXIS: Any = (0, 1)
KEEP: Any = (False, True)
TYPES: Any = (int, float)
TRUTHS: Any = (np.array([True, False, True]), np.array([True, True, False]))
REALS, MORE = np.array([0.5, 1.5, 2.5]), np.array([2.5, 0.5, 3.5])
RISING = np.array([1.5, 2.5, 3.5])
WORDS, OTHERS = np.array([1, 3, 6]), np.array([1, 3, 8])
MORE_TRUTHS: Any = (np.array([True, True, False]), np.array([False, False, True]))
TIES = np.array([1.5, 2.0])

#: By operation and parameter; of ufuncs, the parameters are the places in which an operand can be public.
CASES: dict[Any, Cases] = {
    **{
        f: operand(f, "x", REALS, MORE)
        for f in (
            np.add,
            np.subtract,
            np.multiply,
            np.matmul,
            np.true_divide,
            np.minimum,
            np.maximum,
            np.less,
            np.less_equal,
            np.greater,
            np.greater_equal,
        )
    },
    np.vecdot: (
        operand(np.vecdot, "x", REALS, MORE) | {"axis": Case(lambda d, p: np.vecdot(d.x, d.x, axis=p), *AXIS)}
    ),
    np.matvec: {"second": Case(lambda d, p: np.matvec(d.x, p), REALS, MORE)},
    np.vecmat: {"second": Case(lambda d, p: np.vecmat(d.i[:3], p), INPUTS["x"], INPUTS["x"].T)},
    **{f: operand(f, "x", TIES[:1], np.array([0.25])) for f in (np.equal, np.not_equal)},
    **{f: operand(f, "t", *TRUTHS) for f in (np.logical_and, np.logical_or, np.logical_xor)},
    **{f: operand(f, "n", WORDS, OTHERS) for f in (np.bitwise_and, np.bitwise_or, np.bitwise_xor)},
    np.power: {
        "first": Case(lambda d, p: np.power(p, d.v), 2.0, 3.0),
        "first, below 1": Case(lambda d, p: p**d.v, 0.5, 0.25),
        "first, on both sides of 1": Case(lambda d, p: p**d.v, 0.5, 2.0),
        "second": Case(lambda d, p: np.power(d.x, p), 2, 3),
        "second, none at all": Case(lambda d, p: d.x**p, 0, 1),
        "second, negative": Case(lambda d, p: d.x**p, -1, -2),
        "second, a root": Case(lambda d, p: d.x**p, 0.5, -0.5),
        "second, real": Case(lambda d, p: d.x**p, 1.5, 1.25),
        "second, an array": Case(lambda d, p: d.x**p, REALS, MORE),
        "first, an array": Case(lambda d, p: p**d.x, REALS, MORE),
    },
    np.float_power: {
        "first": Case(lambda d, p: np.float_power(p, d.v), 2.0, 3.0),
        "second": Case(lambda d, p: np.float_power(d.x, p), 1.5, 1.25),
    },
    np.left_shift: {
        "second": Case(lambda d, p: d.n << p, [1, 2, 3], [1, 2, 4]),
        "first": Case(lambda d, p: p << d.n, WORDS, OTHERS),
    },
    np.right_shift: {
        "second": Case(lambda d, p: d.n >> p, 1, 2),
        "second, none at all": Case(lambda d, p: d.n >> p, 0, 1),
        "first": Case(lambda d, p: p >> d.i[:3], WORDS, OTHERS),
        "second, an array": Case(lambda d, p: d.n >> p, [1, 0, 2], [1, 2, 0]),
    },
    **{
        f: {
            "second": Case(lambda d, p, f=f: f(d.n, p), 4, 2),
            "second, real": Case(lambda d, p, f=f: f(d.x, p), 0.5, 2.0),
            "second, an array": Case(lambda d, p, f=f: f(d.n, p), [2, 4, 2], [2, 2, 4]),
            "second, no power of two": Case(lambda d, p, f=f: f(d.n, p), 3, -3),
            "second, no power of two, real": Case(lambda d, p, f=f: f(d.x, p), 0.3, 0.7),
            "second, no powers of two": Case(lambda d, p, f=f: f(d.n, p), [3, 5, 3], [3, 3, 5]),
            "first": Case(lambda d, p, f=f: f(p, d.n), WORDS, OTHERS),
        }
        for f in (np.remainder, np.floor_divide)
    },
    np.divmod: {
        "second": Case(lambda d, p: sum(np.divmod(d.n, p)), 4, 2),
        "second, no power of two": Case(lambda d, p: np.divmod(d.n, p)[1], 3, 5),
        "first": Case(lambda d, p: np.divmod(p, d.n)[0], WORDS, OTHERS),
    },
    np.fmod: {
        "first": Case(lambda d, p: np.fmod(p, d.n), WORDS, OTHERS),
        "second": Case(lambda d, p: np.fmod(d.n, p), 3, 5),
    },
    np.arctan2: operand(np.arctan2, "x", REALS, MORE),
    **{f: operand(f, "x", REALS, MORE) for f in (np.fmin, np.fmax, np.hypot, np.logaddexp, np.logaddexp2)},
    np.heaviside: {
        "first": Case(lambda d, p: np.heaviside(p, d.x), [0, -1, 1], [0, 1, 1]),
        "second": Case(lambda d, p: np.heaviside(d.x - 1.5, p), 0.5, 0.25),
    },
    np.copysign: {
        "first": Case(lambda d, p: np.copysign(p, d.x), REALS, MORE),
        "second": Case(lambda d, p: np.copysign(d.x, p), [1, -1, 1], [1, 1, -1]),
    },
    **{
        (f, "reduce"): (
            options(f.reduce, "x", axis=AXIS, keepdims=KEEP, dtype=TYPES, initial=(4.5, 0.25))
            | {"where": Case(lambda d, p, f=f: f.reduce(d.x, where=p, initial=0.5), *TRUTHS)}
        )
        for f in (np.add, np.multiply, np.maximum)
    },
    (np.minimum, "reduce"): (
        options(np.minimum.reduce, "x", axis=AXIS, keepdims=KEEP, dtype=TYPES, initial=(1.0, 0.25))
        | {"where": Case(lambda d, p: np.minimum.reduce(d.x, where=p, initial=9), *MORE_TRUTHS)}
    ),
    **{
        (f, "reduce"): (
            options(f.reduce, "t", axis=AXIS, keepdims=KEEP, initial=KEEP)
            | {
                "where": Case(
                    lambda d, p, f=f: f.reduce(d.t, where=p), [True, False, False], [False, True, False]
                )
            }
        )
        for f in (np.logical_and, np.logical_or)
    },
    **{
        (f, "reduce"): options(f.reduce, "x", axis=AXIS, keepdims=KEEP)
        for f in (np.fmin, np.fmax, np.logaddexp, np.logaddexp2, np.hypot)
    },
    **{
        (f, "reduce"): options(f.reduce, "t", axis=AXIS, keepdims=KEEP)
        for f in (np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.logical_xor)
    },
    **{
        (f, "accumulate"): options(
            f.accumulate, "t" if "wise" in f.__name__ or "logical" in f.__name__ else "x", axis=AXIS
        )
        for f in ACCUMULATIONS
    },
    **{
        (f, "accumulate"): options(f.accumulate, "x", axis=AXIS, dtype=TYPES)
        for f in (np.add, np.multiply, np.minimum, np.maximum)
    },
    np.linspace: {
        "start": Case(lambda d, p: np.linspace(p, d.v, 3), 0.5, 1.0),
        "stop": Case(lambda d, p: np.linspace(d.v, p, 3), 0.5, 1.0),
        "num": Case(lambda d, p: np.linspace(d.v, 9, p), 3, 4),
        "endpoint": Case(lambda d, p: np.linspace(d.v, 9, 3, p), *KEEP),
        "axis": Case(lambda d, p: np.linspace(d.i[:3], 9, 3, axis=p), *AXIS),
    },
    np.astype: {"dtype": Case(lambda d, p: np.astype(d.n, p), float, bool)},
    **{
        f: {
            "dtype": Case(lambda d, p, f=f: f(d.n, dtype=p), int, float),
            "shape": Case(lambda d, p, f=f: f(d.n, shape=p), (2, 3), (3, 2)),
        }
        for f in (np.zeros_like, np.ones_like, np.empty_like)
    },
    np.full_like: {
        "fill_value": Case(lambda d, p: np.full_like(d.n, p), 2, 3),
        "dtype": Case(lambda d, p: np.full_like(d.n, 2, dtype=p), int, float),
        "shape": Case(lambda d, p: np.full_like(d.n, 2, shape=p), (2, 3), (3, 2)),
    },
    np.pad: {
        "pad_width": Case(lambda d, p: np.pad(d.v, p), (1, 2), (2, 1)),
        "mode": Case(lambda d, p: np.pad(d.v, 2, p), "reflect", "symmetric"),
        "constant_values": Case(lambda d, p: np.pad(d.v, 1, constant_values=p), 2, 3),
    },
    np.insert: {
        "obj": Case(lambda d, p: np.insert(d.v, p, 5), 1, 2),
        "values": Case(lambda d, p: np.insert(d.v, 1, p), 5, 6),
        "axis": Case(lambda d, p: np.insert(d.n, 1, [1, 2, 3], axis=p).ravel(), *AXIS),
    },
    np.block: {"arrays": Case(lambda d, p: np.block([d.n[0], p]), WORDS, OTHERS)},
    np.unstack: {"axis": Case(lambda d, p: np.unstack(d.n, axis=p)[0], *AXIS)},
    np.broadcast_arrays: {
        "args": Case(lambda d, p: np.broadcast_arrays(d.n[0], p)[0], np.zeros((3, 3)), np.zeros((1, 3)))
    },
    np.meshgrid: {
        "xi": Case(lambda d, p: np.meshgrid(d.i, p)[0], [1, 2, 3], [1, 2]),
        "indexing": Case(lambda d, p: np.meshgrid(d.i, d.i, indexing=p)[0], "ij", "xy"),
        "sparse": Case(lambda d, p: np.meshgrid(d.i, d.i, sparse=p)[0], *KEEP),
    },
    np.ediff1d: {
        "to_end": Case(lambda d, p: np.ediff1d(d.v, p), 2.5, 3.5),
        "to_begin": Case(lambda d, p: np.ediff1d(d.v, None, p), 2.5, 3.5),
    },
    np.select: {
        "condlist": Case(lambda d, p: np.select([p], [d.x]), *TRUTHS),
        "choicelist": Case(lambda d, p: np.select([d.t], [p]), REALS, MORE),
        "default": Case(lambda d, p: np.select([d.t], [d.x], p), 2.5, 3.5),
    },
    np.choose: {
        "a": Case(lambda d, p: np.choose(p, [d.i, d.i + 1]), [0, 1, 0, 1], [1, 0, 1, 0]),
        "choices": Case(lambda d, p: np.choose(d.t, [d.x, p]), REALS, MORE),
        "mode": Case(lambda d, p: np.choose([0, 1, 4], [d.i[:3], d.j[0], d.n[0]], mode=p), "clip", "wrap"),
    },
    **{
        f: {
            "b": Case(lambda d, p, f=f: f(d.v, p), INPUTS["v"], INPUTS["v"] + 1),
            "rtol": Case(lambda d, p, f=f: f(d.v, INPUTS["v"] * 1.05, rtol=p), 0.1, 0.01),
            "atol": Case(lambda d, p, f=f: f(d.v, INPUTS["v"] + 0.5, atol=p), 0.75, 0.25),
        }
        for f in (np.isclose, np.allclose)
    },
    **{
        f: {"a2": Case(lambda d, p, f=f: f(d.v, p), INPUTS["v"], INPUTS["v"] + 1)}
        for f in (np.array_equal, np.array_equiv)
    },
    **{
        f: (
            options(f, "i", dtype=TYPES, include_initial=KEEP)
            | {"axis": Case(lambda d, p, f=f: f(d.n, axis=p), *AXIS)}
        )
        for f in (np.cumulative_sum, np.cumulative_prod)
    },
    np.reshape: {
        "shape": Case(lambda d, p: np.reshape(d.n, p), (3, 3), (9,)),
        "order": Case(lambda d, p: np.reshape(d.n, (9,), order=p), "C", "F"),
    },
    np.ravel: options(np.ravel, "n", order=("C", "F")),
    np.transpose: options(np.transpose, "n", axes=((0, 1), (1, 0))),
    np.swapaxes: {
        "axis1": Case(lambda d, p: np.swapaxes(d.n, p, 0), 0, 1),
        "axis2": Case(lambda d, p: np.swapaxes(d.n, 0, p), 0, 1),
    },
    np.moveaxis: {
        "source": Case(lambda d, p: np.moveaxis(d.n, p, 0), 0, 1),
        "destination": Case(lambda d, p: np.moveaxis(d.n, 0, p), 0, 1),
    },
    np.rollaxis: {
        "axis": Case(lambda d, p: np.rollaxis(d.n, p), 0, 1),
        "start": Case(lambda d, p: np.rollaxis(d.n, 1, p), 0, 1),
    },
    np.squeeze: {"axis": Case(lambda d, p: np.squeeze(d.n.reshape((1, 1, 9)), axis=p), (0, 1), 0)},
    np.expand_dims: options(np.expand_dims, "n", axis=AXIS),
    np.broadcast_to: options(np.broadcast_to, "n", shape=((2, 3, 3), (1, 3, 3))),
    **{
        f: {"indices_or_sections": Case(lambda d, p, f=f: f(d.n.reshape(3, 3, 1), p)[0], [1], [2])}
        for f in (np.vsplit, np.hsplit)
    },
    np.dsplit: {"indices_or_sections": Case(lambda d, p: np.dsplit(d.n.reshape(1, 3, 3), p)[0], [1], [2])},
    **{
        f: {
            "indices_or_sections": Case(lambda d, p, f=f: f(d.i, p)[0], [1], [2]),
            "axis": Case(lambda d, p, f=f: f(d.n, 3, axis=p)[1].ravel(), *AXIS),
        }
        for f in (np.split, np.array_split)
    },
    np.repeat: {
        "repeats": Case(lambda d, p: np.repeat(d.n, p, axis=0), [1, 2, 1], [1, 1, 2]),
        "axis": Case(lambda d, p: np.repeat(d.n, 2, axis=p).ravel(), *AXIS),
    },
    np.tile: options(np.tile, "n", reps=((2, 2), (1, 4))),
    np.flip: options(np.flip, "n", axis=AXIS),
    np.roll: {
        "shift": Case(lambda d, p: np.roll(d.n, p), 1, 2),
        "axis": Case(lambda d, p: np.roll(d.n, 1, axis=p), *AXIS),
    },
    **{f: options(f, "n", axes=((0,), (1,))) for f in (np.fft.fftshift, np.fft.ifftshift)},
    np.rot90: {
        "k": Case(lambda d, p: np.rot90(d.n, p), 1, 3),
        "axes": Case(lambda d, p: np.rot90(d.n, axes=p), (0, 1), (1, 0)),
    },
    np.delete: {
        "obj": Case(lambda d, p: np.delete(d.i, p), 0, 1),
        "obj, a slice": Case(lambda d, p: np.delete(d.i, p), slice(0, 2), slice(2, 4)),
        "axis": Case(lambda d, p: np.delete(d.n, 1, axis=p).ravel(), *AXIS),
    },
    np.diagonal: {
        "offset": Case(lambda d, p: np.diagonal(d.n, p), 1, -1),
        "axis1": Case(lambda d, p: np.diagonal(d.n.reshape((3, 3, 1)), 0, p, 2), *AXIS),
        "axis2": Case(lambda d, p: np.diagonal(d.n.reshape((1, 3, 3)), 0, 0, p), 1, 2),
    },
    np.resize: options(np.resize, "n", new_shape=((2, 2), (4, 1))),
    **{
        f: {
            "arrays": Case(lambda d, p, f=f: f([d.n[0], p]), WORDS, OTHERS),
            "axis": Case(lambda d, p, f=f: f([d.n, d.j], axis=p).reshape((6, 3)), *AXIS),
            "dtype": Case(lambda d, p, f=f: f([d.n, d.j], dtype=p), *TYPES),
        }
        for f in (np.concatenate, np.stack)
    },
    **{
        f: {
            "tup": Case(lambda d, p, f=f: f((p, d.n[0])), WORDS, OTHERS),
            "dtype": Case(lambda d, p, f=f: f((d.n, d.j), dtype=p), *TYPES),
        }
        for f in (np.hstack, np.vstack)
    },
    **{
        f: {"tup": Case(lambda d, p, f=f: f((p, d.n[0])), WORDS, OTHERS)}
        for f in (np.dstack, np.column_stack)
    },
    np.append: {
        "values": Case(lambda d, p: np.append(d.n, p), WORDS, OTHERS),
        "axis": Case(lambda d, p: np.append(d.n, d.j, axis=p).reshape((6, 3)), *AXIS),
    },
    np.where: {
        "condition": Case(lambda d, p: np.where(p, d.x, d.n), *TRUTHS),
        "x": Case(lambda d, p: np.where(d.t, p, d.x), REALS, MORE),
        "y": Case(lambda d, p: np.where(d.t, d.n, p), WORDS, OTHERS),
    },
    np.diag: {
        "k": Case(lambda d, p: np.diag(d.n, p), 1, -1),
        "k, of a vector": Case(lambda d, p: np.diag(d.v, p), 1, -1),
    },
    np.diagflat: options(np.diagflat, "v", k=(1, -1)),
    np.trace: (
        options(np.trace, "n", offset=(1, -1), dtype=TYPES)
        | {
            "axis1": Case(lambda d, p: np.trace(d.n.reshape((3, 3, 1)), 0, p, 2), *AXIS),
            "axis2": Case(lambda d, p: np.trace(d.n.reshape((1, 3, 3)), 0, 0, p), 1, 2),
        }
    ),
    **{f: options(f, "n", k=(0, 1)) for f in (np.tril, np.triu)},
    **{f: options(f, "x", axis=AXIS) for f in (np.sort, np.argsort)},
    **{f: options(f, "x", axis=AXIS, dtype=TYPES) for f in (np.cumsum, np.cumprod)},
    np.diff: {
        "prepend": Case(lambda d, p: np.diff(d.i, prepend=p), 1, 2),
        "append": Case(lambda d, p: np.diff(d.i, append=p), 1, 2),
        "n": Case(lambda d, p: np.diff(d.i, p), 1, 2),
        "axis": Case(lambda d, p: np.diff(d.n, axis=p).ravel(), *AXIS),
    },
    **{f: options(f, "x", axis=AXIS, keepdims=KEEP) for f in (np.median, np.ptp, np.argmin, np.argmax)},
    **{
        f: options(f, "x", axis=AXIS, keepdims=KEEP, dtype=TYPES, initial=(4.5, 0.25), where=TRUTHS)
        for f in (np.sum, np.prod)
    },
    np.mean: options(np.mean, "x", axis=AXIS, keepdims=KEEP, where=TRUTHS),
    **{
        f: (
            options(f, "x", axis=AXIS, keepdims=KEEP, initial=(4.5, 0.125))
            | {
                "where": Case(
                    lambda d, p, f=f: f(d.x, where=p, initial=0.5 if f is np.max else 9), *MORE_TRUTHS
                )
            }
        )
        for f in (np.min, np.max)
    },
    np.count_nonzero: options(np.count_nonzero, "t", axis=AXIS, keepdims=KEEP),
    **{
        f: options(f, "t", axis=AXIS, keepdims=KEEP, where=([True, False, False], [False, True, False]))
        for f in (np.any, np.all)
    },
    **{
        f: options(
            f, "x", axis=AXIS, ddof=(0, 1), correction=(0, 1), keepdims=KEEP, where=TRUTHS, mean=(2.0, 1.5)
        )
        for f in (np.var, np.std)
    },
    np.clip: {
        "a_min": Case(lambda d, p: np.clip(d.x, p, None), 0.5, 1.0),
        "a_max": Case(lambda d, p: np.clip(d.x, None, p), 1.0, 2.0),
        "min": Case(lambda d, p: np.clip(d.x, min=p), 0.5, 1.0),
        "max": Case(lambda d, p: np.clip(d.x, max=p), 1.0, 2.0),
    },
    **{f: options(f, "x", decimals=(0, 1)) for f in (np.round, np.around)},
    np.lexsort: {
        "keys": Case(lambda d, p: np.lexsort((d.v, p)), [0, 1, 0, 1], [1, 0, 1, 0]),
        "axis": Case(lambda d, p: np.lexsort((d.x, d.n), axis=p), *AXIS),
    },
    **{
        f: {
            "q": Case(lambda d, p, f=f, one=one: f(d.x, p * one), 0.25, 0.3),
            "axis": Case(lambda d, p, f=f, one=one: f(d.x, 0.3 * one, axis=p), *AXIS),
            "keepdims": Case(lambda d, p, f=f, one=one: f(d.x, 0.3 * one, keepdims=p), *KEEP),
            "method": Case(lambda d, p, f=f, one=one: f(d.x, 0.3 * one, method=p), "lower", "hazen"),
        }
        for f, one in ((np.quantile, 1), (np.percentile, 100))
    },
    np.take: {
        "indices": Case(lambda d, p: np.take(d.v, p), [0, 1], [0, 2]),
        "axis": Case(lambda d, p: np.take(d.n, [0], axis=p).ravel(), *AXIS),
        "axis, at secret positions": Case(lambda d, p: np.take(d.n, d.i, axis=p).reshape((3, 4)), *AXIS),
    },
    np.take_along_axis: {
        "indices": Case(lambda d, p: np.take_along_axis(d.n, p, 1), INPUTS["j"], INPUTS["j"][:, ::-1]),
        "axis": Case(lambda d, p: np.take_along_axis(d.n, d.j, p), *AXIS),
    },
    np.searchsorted: {
        "a": Case(lambda d, p: np.searchsorted(p, d.x), REALS, RISING),
        "v": Case(lambda d, p: np.searchsorted(np.cumsum(d.v), p), REALS, RISING + 1),
        "side": Case(lambda d, p: np.searchsorted(TIES, d.x, p), "left", "right"),
    },
    np.digitize: {
        "bins": Case(lambda d, p: np.digitize(d.x, p), REALS, RISING),
        "bins, falling": Case(lambda d, p: np.digitize(d.x, p), REALS, REALS[::-1]),
        "right": Case(lambda d, p: np.digitize(d.x, TIES, p), False, True),
    },
    np.bincount: {
        "minlength": Case(lambda d, p: np.bincount(d.i, minlength=p), 3, 4),
        "weights": Case(lambda d, p: np.bincount(d.i, p, minlength=3), [1, 2, 3, 4], [1, 2, 4, 3]),
        "weights, read otherwise": Case(
            lambda d, p: np.bincount(d.i, p, minlength=3), [1 << 16] * 4, [1.0] * 4
        ),
    },
    np.histogram: {
        "bins": Case(lambda d, p: np.histogram(d.x, p)[0], REALS, RISING),
        "bins, a number": Case(lambda d, p: np.histogram(d.x, p, (0, 5))[0], 4, 5),
        "range": Case(lambda d, p: np.histogram(d.x, 4, p)[0], (0, 4), (1, 5)),
        "weights": Case(lambda d, p: np.histogram(d.v, REALS, weights=p)[0], [1, 2, 3, 4], [2, 1, 4, 3]),
    },
    **{
        f: {
            "kth": Case(lambda d, p, f=f: f(np.cumsum(np.tile(d.v, 300))[::-1], p)[600], 600, 0),
            "axis": Case(lambda d, p, f=f: f(d.n, 1, axis=p)[1, 0], *AXIS),
        }
        for f in (np.partition, np.argpartition)
    },
    np.isin: {
        "test_elements": Case(lambda d, p: np.isin(d.x, p), [0.5, 1.0], [0.5, 1.25]),
        "test_elements, integers": Case(lambda d, p: np.isin(d.n, p), [1, 2], [1, 3]),
        "invert": Case(lambda d, p: np.isin(d.n, [1, 2], invert=p), *KEEP),
    },
    np.linalg.norm: (
        options(np.linalg.norm, "x", ord=(1, np.inf), axis=AXIS, keepdims=KEEP)
        | {
            f"ord, {a} and {b}": Case(lambda d, p: np.linalg.norm(d.v, p), a, b)
            for a, b in pairwise((None, 1, np.inf, -np.inf, 0, 2))
        }
    ),
    **{
        f: (
            options(f, "x", axis=AXIS, keepdims=KEEP)
            | {"ord": Case(lambda d, p: np.linalg.vector_norm(d.x, ord=p), 1, 2)}
        )
        for f in (np.linalg.vector_norm,)
    },
    np.linalg.matrix_norm: options(np.linalg.matrix_norm, "x", keepdims=KEEP, ord=(1, np.inf)),
    np.linalg.cond: options(np.linalg.cond, "spd", p=(1, "fro")),
    np.linalg.matrix_power: options(np.linalg.matrix_power, "n", n=(1, 2)),
    **{f: {} for f in (np.linalg.inv, np.linalg.det, np.linalg.slogdet, np.linalg.svdvals)},
    np.linalg.qr: {"mode": Case(lambda d, p: np.linalg.qr(d.x[:, :2], p)[0].ravel(), "reduced", "complete")},
    np.linalg.lstsq: {"b": Case(lambda d, p: np.linalg.lstsq(d.spd, p, rcond=None)[0], TIES, TIES[::-1])},
    np.linalg.cholesky: options(np.linalg.cholesky, "spd", upper=KEEP),
    **{
        f: {"UPLO": Case(lambda d, p, f=f: np.reshape(f(d.x, p)[0], -1)[0], "L", "U")}
        for f in (np.linalg.eigh, np.linalg.eigvalsh)
    },
    np.linalg.svd: {
        "full_matrices": Case(lambda d, p: np.linalg.svd(d.x[:, :2], p)[0].ravel(), False, True),
        "compute_uv": Case(lambda d, p: np.linalg.svd(d.spd, compute_uv=p)[0].ravel(), True, False),
    },
    np.linalg.matrix_rank: options(np.linalg.matrix_rank, "spd", tol=(0.5, 3.0), rtol=(0.01, 2.0)),
    np.linalg.trace: options(np.linalg.trace, "n", offset=(0, 1)),
    np.linalg.diagonal: options(np.linalg.diagonal, "n", offset=(1, -1)),
    np.linalg.matrix_transpose: {},
    **{
        f: {"x2": Case(lambda d, p, f=f: f(d.v, p), np.arange(4.0), np.arange(4.0) + 1)}
        for f in (np.linalg.outer, np.linalg.matmul)
    },
    np.linalg.vecdot: {
        "x2": Case(lambda d, p: np.linalg.vecdot(d.x, p), REALS, MORE),
        "axis": Case(lambda d, p: np.linalg.vecdot(d.x, d.x, axis=p), *AXIS),
    },
    np.linalg.cross: {
        "x2": Case(lambda d, p: np.linalg.cross(d.x, p), REALS, MORE),
        "axis": Case(lambda d, p: np.linalg.cross(d.x, d.n, axis=p), *AXIS),
    },
    np.cross: {
        "b": Case(lambda d, p: np.cross(d.x, p), REALS, MORE),
        **options(
            lambda x, **axes: np.cross(x, x.T, **axes), "x", axisa=AXIS, axisb=AXIS, axisc=AXIS, axis=AXIS
        ),
    },
    **{
        f: {
            name: Case(lambda d, p, f=f: f(d.x, p, axes=1), REALS, MORE),
            "axes": Case(lambda d, p, f=f: f(d.x, d.n, axes=p), ([0], [1]), ([1], [0])),
        }
        for f, name in ((np.tensordot, "b"), (np.linalg.tensordot, "x2"))
    },
    np.linalg.multi_dot: {},
    np.kron: {"b": Case(lambda d, p: np.kron(d.v, p), WORDS, OTHERS)},
    np.cov: {
        "y": Case(lambda d, p: np.cov(d.x, p), REALS, MORE),
        **options(
            np.cov,
            "x",
            rowvar=KEEP,
            bias=KEEP,
            ddof=(0, 1),
            fweights=([1, 2, 1], [2, 1, 1]),
            aweights=([1, 2, 1], [2, 1, 1]),
        ),
    },
    np.corrcoef: {
        "y": Case(lambda d, p: np.corrcoef(d.x, p), REALS, MORE[[0, 2, 1]]),
        **options(np.corrcoef, "x", rowvar=KEEP),
    },
    np.histogram2d: {
        "y": Case(lambda d, p: np.histogram2d(d.v, p, [RISING, RISING])[0], [1.5, 2, 2, 3], [1.5, 3, 2, 2]),
        "bins": Case(lambda d, p: np.histogram2d(d.v, d.v, [p, RISING])[0], RISING, REALS),
        "range": Case(lambda d, p: np.histogram2d(d.v, d.v, 2, p)[0], [(0, 4), (0, 4)], [(1, 5), (0, 4)]),
        "weights": Case(
            lambda d, p: np.histogram2d(d.v, d.v, [REALS, REALS], weights=p)[0], [1, 2, 3, 4], [2, 1, 4, 3]
        ),
    },
    **{
        f: {
            "v": Case(lambda d, p, f=f: f(d.v, p), WORDS, OTHERS),
            "mode": Case(lambda d, p, f=f: f(d.v, d.i[:3], p)[:2], "same", "valid"),
        }
        for f in (np.convolve, np.correlate)
    },
    np.polyval: {"x": Case(lambda d, p: np.polyval(d.v, p), REALS, MORE)},
    np.polyfit: {
        "y": Case(lambda d, p: np.polyfit(d.v, p, 1), [1, 2, 3, 4], [1, 2, 4, 3]),
        "deg": Case(lambda d, p: np.polyfit(d.v, d.i, p)[-1], 0, 1),
    },
    np.interp: {
        "xp": Case(lambda d, p: np.interp(d.v, p, REALS), WORDS / 2, OTHERS / 4),
        "fp": Case(lambda d, p: np.interp(d.v, WORDS, p), REALS, MORE),
        "left": Case(lambda d, p: np.interp(d.v, WORDS, REALS, left=p), 0.0, 1.0),
        "right": Case(lambda d, p: np.interp(d.v, TIES, TIES, right=p), 0.0, 1.0),
        "period": Case(lambda d, p: np.interp(d.v, TIES, [1, 2], period=p), 2, 4),
    },
    np.gradient: {
        "distance": Case(lambda d, p: np.gradient(d.v, p), 0.5, 0.25),
        **options(np.gradient, "v", edge_order=(1, 2)),
        "axis": Case(lambda d, p: np.gradient(d.x, axis=p), *AXIS),
    },
    np.trapezoid: {
        "x": Case(lambda d, p: np.trapezoid(d.x, p), REALS, RISING**2),
        **options(np.trapezoid, "x", dx=(0.5, 0.25), axis=AXIS),
    },
    np.linalg.solve: {"b": Case(lambda d, p: np.linalg.solve(d.spd, p), TIES, TIES[::-1])},
    np.average: {
        "axis": Case(lambda d, p: np.average(d.x, p), *AXIS),
        "axis, weighted": Case(lambda d, p: np.average(d.x, p, REALS), *AXIS),
        "weights": Case(lambda d, p: np.average(d.x, 0, p), REALS, MORE),
        "keepdims": Case(lambda d, p: np.average(d.x, 0, REALS, keepdims=p), *KEEP),
    },
    **{f: operand(f, "v", np.arange(4.0), np.arange(4.0) + 1) for f in (np.dot, np.vdot, np.inner, np.outer)},
    np.einsum: {
        "subscripts": Case(lambda d, p: np.einsum(p, d.n, d.j), "ij,jk->ik", "ij,jk->ki"),
        "subscripts, of one": Case(lambda d, p: np.einsum(p, d.n), "ij->ij", "ij->ji"),
        "operands": Case(lambda d, p: np.einsum("ij,j->i", d.n, p), WORDS, OTHERS),
        "dtype": Case(lambda d, p: np.einsum("ij->i", d.n, dtype=p), *TYPES),
        "subscripts, of three": Case(
            lambda d, p: np.einsum(p, d.n, d.j, d.i[:3]), "ij,jk,k->i", "ij,kj,k->i"
        ),
        "operands, the first": Case(lambda d, p: np.einsum("j,ij->i", p, d.n), WORDS, OTHERS),
    },
}

NO_PARAMETER = (
    np.signbit,
    np.conjugate,
    np.isnan,
    np.isinf,
    np.isfinite,
    np.negative,
    np.positive,
    np.reciprocal,
    np.square,
    np.sqrt,
    np.absolute,
    np.fabs,
    np.sign,
    np.tanh,
    np.exp,
    np.exp2,
    np.expm1,
    np.log,
    np.log2,
    np.log10,
    np.log1p,
    np.logical_not,
    np.invert,
    np.floor,
    np.ceil,
    np.trunc,
    np.rint,
    np.bitwise_count,
    np.cbrt,
    np.sin,
    np.cos,
    np.tan,
    np.arcsin,
    np.arccos,
    np.arctan,
    np.sinh,
    np.cosh,
    np.arcsinh,
    np.arccosh,
    np.arctanh,
    np.deg2rad,
    np.rad2deg,
    np.degrees,
    np.radians,
)
REFUSED = (
    np.unique,
    np.unique_values,
    np.unique_counts,
    np.unique_inverse,
    np.unique_all,
    np.union1d,
    np.intersect1d,
    np.setdiff1d,
    np.setxor1d,
    np.nonzero,
    np.flatnonzero,
    np.argwhere,
    np.extract,
    np.compress,
)
NO_SECRET = (
    np.shape,
    np.ndim,
    np.size,
    np.result_type,
    np.can_cast,
    np.isrealobj,
    np.iscomplexobj,
    np.isreal,
    np.iscomplex,
    np.common_type,
    np.einsum_path,
    np.may_share_memory,
    np.shares_memory,
)
#: Options whose value changes no result, or that are refused.
NO_MATTER: dict[Any, set[str]] = {
    **{f: {"kind", "stable", "order"} for f in (np.sort, np.argsort)},
    **{f: {"casting", "out"} for f in JOINS},
    **{f: {"overwrite_input"} for f in (np.median, np.quantile, np.percentile)},
    **{f: {"equal_nan"} for f in (np.isclose, np.allclose, np.array_equal)},
    **{f: {"dtype"} for f in (np.mean, np.var, np.std)},
    np.pad: {"reflect_type"},
    np.broadcast_arrays: {"subok"},
    np.meshgrid: {"copy"},
    np.average: {"returned"},
    np.linspace: {"retstep", "dtype"},
    np.einsum: {"optimize"},
    np.nan_to_num: {"copy", "nan", "posinf", "neginf"},
    np.copy: {"order", "subok"},
    np.broadcast_to: {"subok"},
    np.reshape: {"copy"},
    **{f: {"kind", "order"} for f in (np.partition, np.argpartition)},
    np.searchsorted: {"sorter"},
    np.isin: {"assume_unique", "kind"},
    np.histogram: {"density"},
    np.histogram2d: {"density"},
    np.linalg.lstsq: {"rcond"},
    np.polyfit: {"rcond", "full", "w", "cov"},
    np.linalg.pinv: {"rcond", "rtol", "hermitian"},
    np.linalg.svd: {"hermitian"},
    np.linalg.matrix_rank: {"hermitian"},
}

OURS: dict[str, Cases] = {
    "one_hot": {"n": Case(lambda d, p: mpc.one_hot(d.i, p), 3, 4)},
    "take": {
        "x": Case(lambda d, p: mpc.take(p, d.i), WORDS, OTHERS),
        "x, read otherwise": Case(lambda d, p: mpc.take(p, d.i), [1 << 16, 2 << 16, 0], [1.0, 2.0, 0.0]),
        "indices": Case(lambda d, p: mpc.take(d.v, p), [0, 1], [0, 2]),
        "axis": Case(lambda d, p: mpc.take(INPUTS["n"], d.i, p).reshape((3, 4)), *AXIS),
    },
    "unique_counts": {"domain": Case(lambda d, p: mpc.unique_counts(d.i, p), [0, 1, 2], [1, 0, 2])},
    "softmax": {"axis": Case(lambda d, p: mpc.softmax(d.x, p), *AXIS)},
    "top_k": {
        "k": Case(lambda d, p: mpc.top_k(d.v, p)[0], 1, 2),
        "axis": Case(lambda d, p: mpc.top_k(d.n, 3, p)[1], *AXIS),
        "largest": Case(lambda d, p: mpc.top_k(d.v, 2, largest=p)[0], *KEEP),
    },
    **{
        name: {
            "a": Case(lambda d, p, f=f: f(p, d.v)[1], REALS, MORE),
            "b": Case(lambda d, p, f=f: f(d.v, p)[1], REALS, MORE),
        }
        for name, f in (
            ("union1d", mpc.union1d),
            ("intersect1d", mpc.intersect1d),
            ("setdiff1d", mpc.setdiff1d),
            ("setxor1d", mpc.setxor1d),
        )
    },
    "unique": {},
    "shuffle": {},
    "rsqrt": {},
    "sigmoid": {},
}

SESSION: Cases = {
    "owner": Case(lambda d, p: d.party.secret([d.party.id], owner=p, shape=(1,), kind=mpc.INT), 0, 1),
    "shape": Case(lambda d, p: d.party.secret(np.ones(p), shape=p, kind=mpc.Fixed(16)), (2, 2), (4,)),
    "kind": Case(lambda d, p: d.party.secret([1, 2], shape=(2,), kind=p), mpc.INT, mpc.Fixed(16)),
    "index": Case(lambda d, p: d.n[p], 0, 1),
    "a slice": Case(lambda d, p: d.i[p], slice(0, 2), slice(1, 3)),
    "a step": Case(lambda d, p: d.i[p], slice(None, None, 1), slice(None, None, -1)),
    "a list": Case(lambda d, p: d.i[p], [0, 1], [1, 0]),
    "a tuple": Case(lambda d, p: d.n[p], (0, 1), (1, 0)),
    "a list or a tuple": Case(lambda d, p: d.n[p].ravel(), [0], (0,)),
    "a mask": Case(lambda d, p: d.i[p], np.array([True, False] * 2), np.array([False, True] * 2)),
    "an array": Case(lambda d, p: d.n[p], np.array([0, 1]), np.array([0, 2])),
    "a long array": Case(lambda d, p: np.tile(d.i, 5000)[p], np.arange(20000), np.arange(20000)[::-1]),
    **{
        f"x.at, {name}": case
        for name, case in {
            "index": Case(lambda d, p: d.n.at[p].set(0), 0, 1),
            "index, repeated": Case(lambda d, p: d.v.at[p].multiply([2.0, 4.0]), [0, 0], [0, 1]),
            "a mask": Case(
                lambda d, p: d.i.at[p].add(1), np.array([True, False] * 2), np.array([False, True] * 2)
            ),
            "values": Case(lambda d, p: d.i.at[0].set(p), 1, 2),
            "values at a secret mask": Case(lambda d, p: d.n.at[d.n[:, 0] > 4].max(p), WORDS, OTHERS),
            "values at secret positions": Case(lambda d, p: d.n.at[d.i].set(p), WORDS, OTHERS),
            "values in an order": Case(lambda d, p: d.n.at[np.argsort(d.v[:3])].set(p), WORDS, OTHERS),
            "what is done": Case(lambda d, p: getattr(d.i.at[0], p)(2), "min", "max"),
            "of an order": Case(lambda d, p: np.take(d.v, np.argsort(d.i)[p]), slice(0, 2), slice(1, 3)),
        }.items()
    },
    "a new axis": Case(lambda d, p: d.n[p].reshape((3, 3)), (None, ...), (..., None, slice(None, None, -1))),
    **{
        f"function, {f.__name__} and {g.__name__}": Case(lambda d, p: p(d.x), f, g)
        for f, g in pairwise(
            (
                np.log,
                np.log2,
                np.log10,
                np.log1p,
                np.exp,
                np.exp2,
                np.expm1,
                np.sqrt,
                mpc.rsqrt,
                np.floor,
                np.sin,
                np.cos,
                np.tan,
                np.arctan,
                np.arcsin,
                np.arccos,
                np.arcsinh,
                np.sinh,
                np.cosh,
                np.radians,
                np.degrees,
                np.sinc,
            )
        )
    },
    "random, integers": Case(lambda d, p: d.party.random.integers(p, size=3), 10, 12),
    "random, low": Case(lambda d, p: d.party.random.integers(p, 7 + p, size=3), 0, 1),
    "random, of one value": Case(lambda d, p: d.party.random.integers(p, p + 1, size=3), 3, 4),
    "random, a power of two": Case(lambda d, p: d.party.random.integers(0, p, size=3), 2, 4),
    "random, size": Case(lambda d, p: d.party.random.random(p), 3, 4),
    "random, location": Case(lambda d, p: d.party.random.normal(p, size=2), 1.0, 2.0),
    "random, scale": Case(lambda d, p: d.party.random.normal(0, p, size=2), 3.0, 2.0),
    "random, borders": Case(lambda d, p: d.party.random.uniform(0, p, size=2), 1.0, 2.0),
}

ALL = [
    *(
        (f"{f[0].__name__}.{f[1]}" if isinstance(f, tuple) else f.__name__, option, case)
        for f, cases in CASES.items()
        for option, case in cases.items()
    ),
    *((f"mpc.{name}", option, case) for name, cases in OURS.items() for option, case in cases.items()),
    *(("session", option, case) for option, case in SESSION.items()),
]
IDS = [f"{operation}: {option}" for operation, option, _ in ALL]


class Shared:
    """The inputs as secrets of party 0, shared when they are asked for."""

    def __init__(self, party: Any) -> None:
        self.party = party

    def __getattr__(self, name: str) -> Any:
        values = INPUTS[name]
        mine = values if self.party.id == 0 else None
        return self.party.secret(mine, shape=values.shape, kind=self.party.kind_of(values))


class Plain:
    """The inputs as they are."""

    def __getattr__(self, name: str) -> Any:
        return INPUTS[name]


@pytest.mark.parametrize(("suite", "parties"), [("additive", 2), ("replicated", 3)])
@pytest.mark.parametrize("case", [case for _, _, case in ALL], ids=IDS)
def test_one_public_parameter_changed_at_one_party(
    case: Case, suite: str, parties: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first party alone has another value.  Where all come to wait for each other, they compare when they
    give up.
    """
    session = mpc.local(parties, suite)
    monkeypatch.setattr(
        session, "_mesh", lambda parties, timeout, mesh=session._mesh: mesh(parties, min(timeout, 2))
    )
    with pytest.raises(MpcError, match="the programs have diverged"):
        session.run(
            lambda party: case.run(Shared(party), case.there if party.id == 0 else case.here).reveal()
        )


@pytest.mark.parametrize(
    "case",
    [case for name, _, case in ALL if not name.startswith(("mpc.", "session"))],
    ids=[name for name in IDS if not name.startswith(("mpc.", "session"))],
)
def test_the_two_values_give_other_results(case: Case) -> None:
    """NumPy's, so that no case above is one in which nothing could go wrong."""
    here, there = (np.asarray(case.run(Plain(), value)) for value in (case.here, case.there))
    assert here.shape != there.shape or here.dtype != there.dtype or (here != there).any()


@pytest.mark.parametrize(
    "main",
    [
        lambda party: party.secret(np.arange(2), owner=party.id).reveal(),
        lambda party: party.secret(np.arange(2) if party.id == 0 else None).reveal(to=party.id),
    ],
    ids=["owner", "to"],
)
def test_parties_that_all_wait_for_each_other_end_with_an_error(
    main: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where each believes that another one sends, nothing comes that could be compared."""
    wait = mpc.local(2)._mesh
    session = mpc.local(2)
    monkeypatch.setattr(session, "_mesh", lambda parties, timeout: wait(parties, 0.2))
    with pytest.raises(MpcError, match=r"said nothing|diverged"):
        session.run(main)


def parameters(f: Any) -> set[str]:
    """Those beside the first."""
    rest = list(inspect.signature(f).parameters.values())[1:]
    return {p.name for p in rest if p.kind is not p.VAR_POSITIONAL}


def named(cases: Cases) -> set[str]:
    return {option.split(",")[0] for option in cases}


def test_all_ufuncs_are_here() -> None:
    for ufunc, made in UFUNCS.items():
        assert len(parameters(made) - {"axis"}) == (0 if ufunc in NO_PARAMETER else 1), ufunc
        assert ufunc in NO_PARAMETER or "second" in CASES[ufunc], ufunc
    for table, way in ((REDUCTIONS, "reduce"), (ACCUMULATIONS, "accumulate")):
        for ufunc, made in table.items():
            assert named(CASES[ufunc, way]) == parameters(made), (ufunc, way)


def test_all_functions_are_here() -> None:
    # the others are made as these, and have all their names
    first = {made: f for f, made in reversed(FUNCTIONS.items())}
    for f, made in FUNCTIONS.items():
        if f not in REFUSED and f not in NO_SECRET and first[made] == f:
            options = parameters(f if f in MOVES or f in JOINS else made) - NO_MATTER.get(f, set())
            operands = {"x", "y"} if "first" in CASES.get(f, {}) else set()
            assert options - operands <= named(CASES.get(f, {})), f
    for name, home in mpc._HOME.items():
        if home.startswith("protocols.ops"):
            assert parameters(getattr(mpc, name)) - {"more"} <= named(OURS[name]), name


def test_what_is_refused_makes_nothing() -> None:
    x = mpc.local(2).secret([1, 2])
    for f in REFUSED:
        with pytest.raises(TypeError, match="would show"):
            FUNCTIONS[f](x)
    for f in set(JOINS) - {np.dstack, np.column_stack}:
        with pytest.raises(TypeError, match="cannot cast int64 to bool by the rule 'same_kind'"):
            f([x, x], dtype=bool)
        with pytest.raises(TypeError, match="not of float32"):
            f([x, x], dtype=np.float32)


# -- what goes into the digest --------------------------------------------------------------------------

SINGLE = st.one_of(
    st.none(),
    st.just(...),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=3),
)
PUBLIC = st.recursive(
    SINGLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.tuples(),
        st.builds(slice, inner, inner, inner),
    ),
)


def told_apart(public: Any) -> Any:
    """The same for equal public values, and for no others."""
    inner = [told_apart(x) for x in public] if isinstance(public, list | tuple) else None
    if isinstance(public, slice):
        inner = [told_apart(x) for x in (public.start, public.stop, public.step)]
    return (type(public).__name__, inner if inner is not None else repr(public))


@given(st.lists(PUBLIC, min_size=2, max_size=8))
def test_no_two_public_values_look_alike(values: list[Any]) -> None:
    for one in values:
        for other in values:
            assert (_canonical(one) == _canonical(other)) == (told_apart(one) == told_apart(other))


def test_arrays_look_like_their_values() -> None:
    same = [np.array([[1, 2], [3, 4]], kind) for kind in ("i1", "u1", "<i4", ">i8", "u8", "i8")]
    same += [np.asfortranarray(same[-1]), np.array([[0, 1, 2], [0, 3, 4]])[:, 1:]]
    assert len({_canonical(array) for array in same}) == 1
    one = same[0]
    others = [
        one == 1,
        one.astype(float),
        one + 1e-9,
        one + 1,
        one.reshape(4),
        one.reshape(1, 4),
        one[0],
        one.tolist(),
        np.array([[1, 2], [3, 1 << 63]], np.uint64),
        np.array([[1, 2], [3, -1 << 63]]),
        Z64(one),
        Z32(one),
        np.zeros((0, 2), int),
        np.zeros((2, 0), int),
        np.zeros(0),
        np.zeros(0, int),
    ]
    assert len({_canonical(public) for public in [one, *others]}) == 1 + len(others)
    long = np.arange(10_000)
    assert _canonical(long) != _canonical(np.where(long == 5000, 0, long))  # repr leaves the middle out
    assert _canonical(np.float32(0.5)) == _canonical(0.5) != _canonical(0.5 + 1e-16)
    assert _canonical(np.int16(3)) == _canonical(3) != _canonical(3.0)
    assert _canonical(np.True_) == _canonical(True) != _canonical(1)


@pytest.mark.parametrize(
    "public", [object(), Fraction(1, 2), lambda: 1, {1: 2}, np.array(["a"]), float, np.dtype(int)]
)
def test_what_has_no_form_is_refused(public: Any) -> None:
    """A ``repr`` with an address parts equal programs; one that leaves something out hides a difference."""
    with pytest.raises(MpcError, match="cannot be seen"):
        _canonical(public)
