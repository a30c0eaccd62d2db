"""NumPy's names on the left, what they mean on secrets on the right: one line per operation."""
from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np

from protocols.array import Secret, call, structural, unified
from protocols.ops import comparison, division, exponential, linear, products, roots, sorting, statistics


def _moves(func: Callable[..., Any]) -> Callable[..., Any]:
    """A NumPy function that moves the elements of its first argument around."""
    def make(x: Secret, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = deepcopy((args, kwargs))     # they are looked at when x is computed
        return structural(func.__name__, lambda a: func(a, *args, **kwargs), x, public=(args, sorted(kwargs.items())))
    return make


def _joins(func: Callable[..., Any]) -> Callable[..., Any]:
    """A NumPy function that joins a sequence of arrays; public ones among them become constants."""
    def make(xs: Any, *args: Any, **kwargs: Any) -> Secret:
        made: Secret = structural(func.__name__, lambda *arrays: func(arrays, *args, **kwargs), *unified(*xs),
                                  public=(args, sorted(kwargs.items())))
        return made
    return make


MOVES = (np.reshape, np.ravel, np.transpose, np.swapaxes, np.moveaxis, np.rollaxis, np.squeeze, np.expand_dims,
         np.broadcast_to, np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit, np.repeat, np.tile, np.flip,
         np.fliplr, np.flipud, np.roll, np.rot90, np.take, np.delete, np.diagonal, np.atleast_1d, np.atleast_2d,
         np.atleast_3d, np.copy, np.resize, np.matrix_transpose)
JOINS = (np.concatenate, np.stack, np.hstack, np.vstack, np.dstack, np.column_stack)

UFUNCS: dict[np.ufunc, Callable[..., Secret]] = {
    np.add: linear.add,
    np.subtract: linear.subtract,
    np.negative: linear.negative,
    np.positive: lambda x: x,
    np.multiply: products.multiply,
    np.matmul: products.matmul,
    np.true_divide: division.divide,
    np.reciprocal: division.reciprocal,
    np.power: exponential.power,
    np.float_power: exponential.power,
    np.sqrt: roots.sqrt,
    np.exp: exponential.exp,
    np.exp2: exponential.exp2,
    np.expm1: exponential.expm1,
    np.log: exponential.log,
    np.log2: exponential.log2,
    np.log10: exponential.log10,
    np.log1p: exponential.log1p,
    np.tanh: exponential.tanh,
    np.square: lambda x: x * x,
    np.less: comparison.less,
    np.less_equal: comparison.less_equal,
    np.greater: comparison.greater,
    np.greater_equal: comparison.greater_equal,
    np.equal: comparison.equal,
    np.not_equal: comparison.not_equal,
    np.logical_and: comparison.logical_and,
    np.logical_or: comparison.logical_or,
    np.logical_xor: comparison.logical_xor,
    np.logical_not: comparison.logical_not,
    np.bitwise_and: comparison.bitwise("bitwise_and", comparison.logical_and),
    np.bitwise_or: comparison.bitwise("bitwise_or", comparison.logical_or),
    np.bitwise_xor: comparison.bitwise("bitwise_xor", comparison.logical_xor),
    np.invert: comparison.bitwise("invert", comparison.logical_not),
    np.minimum: comparison.minimum,
    np.maximum: comparison.maximum,
    np.absolute: comparison.absolute,
    np.sign: comparison.sign,
}

REDUCTIONS: dict[np.ufunc, Callable[..., Secret]] = {
    np.add: linear.sum_,
    np.multiply: products.prod,
    np.minimum: comparison.min_,
    np.maximum: comparison.max_,
    np.logical_and: comparison.all_,
    np.logical_or: comparison.any_,
}

FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    **{func: _moves(func) for func in MOVES},
    **{func: _joins(func) for func in JOINS},
    np.append: linear.append,
    np.where: comparison.where,
    np.diag: linear.diag,
    np.diagflat: lambda v, k=0: linear.diag(call(np.ravel, v), k),
    np.trace: linear.trace,
    np.tril: linear.tril,
    np.triu: linear.triu,
    np.sum: linear.sum_,
    np.cumsum: linear.cumsum,
    np.diff: linear.diff,
    np.zeros_like: lambda x: x * 0,
    np.ones_like: lambda x: x * 0 + 1,
    np.min: comparison.min_,
    np.max: comparison.max_,
    np.argmin: comparison.argmin,
    np.argmax: comparison.argmax,
    np.ptp: comparison.ptp,
    np.clip: comparison.clip,
    np.any: comparison.any_,
    np.all: comparison.all_,
    np.count_nonzero: comparison.count_nonzero,
    np.sort: sorting.sort,
    np.argsort: sorting.argsort,
    np.median: sorting.median,
    np.quantile: sorting.quantile,
    np.percentile: sorting.percentile,
    np.mean: statistics.mean,
    np.var: statistics.var,
    np.std: roots.std,
    np.average: statistics.average,
    np.prod: products.prod,
    np.dot: products.dot,
    np.vdot: lambda x, y: products.matmul(np.ravel(x), np.ravel(y)),
    np.inner: lambda x, y: products.dot(x, np.transpose(y)),
    np.outer: products.outer,
    np.einsum: products.einsum,
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
    np.size: lambda x, axis=None: x.size if axis is None else x.shape[axis],
}
