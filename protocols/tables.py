"""NumPy's names on the left, what they mean on secrets on the right: one line per operation."""
from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np

from protocols.array import Secret, call, structural, unified
from protocols.ops import (
    bitwise,
    comparison,
    covariance,
    decompositions,
    division,
    exponential,
    linalg,
    linear,
    norms,
    products,
    quotients,
    roots,
    scans,
    selection,
    series,
    sets,
    sorting,
    statistics,
    tensors,
    trigonometry,
)


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
         np.fliplr, np.flipud, np.roll, np.rot90, np.delete, np.diagonal, np.atleast_1d, np.atleast_2d,
         np.atleast_3d, np.copy, np.resize, np.matrix_transpose, np.linalg.matrix_transpose, np.linalg.diagonal)
JOINS = (np.concatenate, np.stack, np.hstack, np.vstack, np.dstack, np.column_stack)



def _shows(name: str, what: str, instead: str) -> Callable[..., Any]:
    """A NumPy function whose result has a shape that depends on secret values."""
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"np.{name} of secrets would show {what} by the shape of its result; use {instead}")
    return refuse


UFUNCS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: linear.add,
    np.subtract: linear.subtract,
    np.negative: linear.negative,
    np.positive: linear.positive,
    np.multiply: products.multiply,
    np.matmul: products.matmul,
    np.vecdot: tensors.vecdot,
    np.matvec: tensors.matvec,
    np.vecmat: tensors.vecmat,
    np.true_divide: division.divide,
    np.reciprocal: division.reciprocal_,
    np.power: exponential.power,
    np.float_power: exponential.float_power,
    np.sqrt: roots.sqrt,
    np.exp: exponential.exp,
    np.exp2: exponential.exp2,
    np.expm1: exponential.expm1,
    np.log: exponential.log,
    np.log2: exponential.log2,
    np.log10: exponential.log10,
    np.log1p: exponential.log1p,
    np.tanh: exponential.tanh,
    np.cbrt: trigonometry.cbrt,
    np.sin: trigonometry.sin,
    np.cos: trigonometry.cos,
    np.tan: trigonometry.tan,
    np.arcsin: trigonometry.arcsin,
    np.arccos: trigonometry.arccos,
    np.arctan: trigonometry.arctan,
    np.arctan2: trigonometry.arctan2,
    np.sinh: trigonometry.sinh,
    np.cosh: trigonometry.cosh,
    np.arcsinh: trigonometry.arcsinh,
    np.arccosh: trigonometry.arccosh,
    np.arctanh: trigonometry.arctanh,
    **dict.fromkeys((np.deg2rad, np.radians), trigonometry.radians),
    **dict.fromkeys((np.rad2deg, np.degrees), trigonometry.degrees),
    np.square: lambda x: products.power(x, 2),
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
    np.bitwise_and: bitwise.and_,
    np.bitwise_or: bitwise.or_,
    np.bitwise_xor: bitwise.xor,
    np.invert: bitwise.invert,
    np.left_shift: bitwise.left_shift,
    np.right_shift: bitwise.right_shift,
    np.remainder: quotients.remainder,
    np.floor_divide: quotients.floor_divide,
    np.divmod: quotients.divmod_,
    np.fmod: quotients.fmod,
    np.bitwise_count: bitwise.bitwise_count,
    np.floor: bitwise.floor,
    np.ceil: bitwise.ceil,
    np.trunc: bitwise.trunc,
    np.rint: lambda x: products.real(bitwise.rint(x)),
    np.minimum: comparison.minimum,
    np.maximum: comparison.maximum,
    np.absolute: comparison.absolute,
    np.fabs: lambda x: products.real(comparison.absolute(x)),
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

ACCUMULATIONS: dict[np.ufunc, Callable[..., Secret]] = {
    np.add: lambda x, axis=0: linear.cumsum(x, axis),
    np.multiply: lambda x, axis=0: scans.cumprod(x, axis),
    np.minimum: scans.minimum,
    np.maximum: scans.maximum,
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
    np.cumprod: scans.cumprod,
    np.diff: comparison.diff,
    np.zeros_like: lambda x: linear.filled(x, 0),
    np.ones_like: lambda x: linear.filled(x, 1),
    np.min: comparison.min_,
    np.max: comparison.max_,
    np.argmin: comparison.argmin,
    np.argmax: comparison.argmax,
    np.ptp: comparison.ptp,
    np.clip: comparison.clip,
    np.any: comparison.any_,
    np.all: comparison.all_,
    np.count_nonzero: comparison.count_nonzero,
    np.round: bitwise.round_,
    np.around: bitwise.round_,
    np.sort: sorting.sort,
    np.argsort: sorting.argsort,
    np.lexsort: sorting.lexsort,
    np.partition: sorting.partition,
    np.argpartition: sorting.argpartition,
    np.median: sorting.median,
    np.quantile: sorting.quantile,
    np.percentile: sorting.percentile,
    np.take: selection.take,
    np.take_along_axis: selection.take_along_axis,
    np.searchsorted: selection.searchsorted,
    np.digitize: selection.digitize,
    np.bincount: selection.bincount,
    np.histogram: selection.histogram,
    np.isin: sets.isin,
    np.linalg.norm: norms.norm,
    np.linalg.vector_norm: norms.vector_norm,
    np.linalg.matrix_norm: norms.matrix_norm,
    np.linalg.cond: norms.cond,
    np.linalg.inv: linalg.inv,
    np.linalg.solve: linalg.solve,
    np.linalg.matrix_power: linalg.matrix_power,
    np.linalg.qr: decompositions.qr,
    np.linalg.det: decompositions.det,
    np.linalg.slogdet: decompositions.slogdet,
    np.linalg.lstsq: decompositions.lstsq,
    np.linalg.pinv: decompositions.pinv,
    np.linalg.cholesky: decompositions.cholesky,
    np.linalg.eigh: decompositions.eigh,
    np.linalg.eigvalsh: decompositions.eigvalsh,
    np.linalg.svd: decompositions.svd,
    np.linalg.svdvals: decompositions.svdvals,
    np.linalg.matrix_rank: decompositions.matrix_rank,
    np.linalg.trace: lambda x, /, *, offset=0: linear.sum_(call(np.linalg.diagonal, x, offset=offset), -1),
    np.linalg.outer: tensors.outer,
    np.linalg.matmul: lambda x1, x2, /: products.matmul(x1, x2),
    np.linalg.vecdot: tensors.vecdot_along,
    np.linalg.cross: lambda x1, x2, /, *, axis=-1: tensors.cross(x1, x2, axis=axis),
    np.linalg.tensordot: lambda x1, x2, /, *, axes=2: tensors.tensordot(x1, x2, axes),
    np.linalg.multi_dot: tensors.multi_dot,
    np.tensordot: tensors.tensordot,
    np.kron: tensors.kron,
    np.cross: tensors.cross,
    np.cov: covariance.cov,
    np.corrcoef: covariance.corrcoef,
    np.histogram2d: covariance.histogram2d,
    np.convolve: series.convolve,
    np.correlate: series.correlate,
    np.polyval: series.polyval,
    np.polyfit: series.polyfit,
    np.interp: series.interp,
    np.gradient: series.gradient,
    np.trapezoid: series.trapezoid,
    np.cumulative_sum: series.cumulative_sum,
    np.cumulative_prod: series.cumulative_prod,
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
    **{func: _shows(func.__name__, "which values occur", "mpc.unique(x), padded, or mpc.unique_counts(x, domain)")
       for func in (np.unique, np.unique_values, np.unique_counts, np.unique_inverse, np.unique_all)},
    **{func: _shows(func.__name__, "how large a set is", f"mpc.{func.__name__}(a, b), padded")
       for func in (np.union1d, np.intersect1d, np.setdiff1d, np.setxor1d)},
    **{func: _shows(func.__name__, "where a condition holds", "np.where(condition, a, b), or np.count_nonzero")
       for func in (np.nonzero, np.flatnonzero, np.argwhere, np.extract, np.compress)},
    np.sinc: trigonometry.sinc,
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
    np.size: lambda x, axis=None: x.size if axis is None else x.shape[axis],
}
