"""NumPy's names on the left, what they mean on secrets on the right: one line per operation."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np

from protocols.array.secret import Secret, call, secrets_in, structural, unified
from protocols.ops import (
    assembly,
    bitwise,
    comparison,
    compositions,
    covariance,
    decompositions,
    division,
    exponential,
    linalg,
    linear,
    norms,
    products,
    quantiles,
    quotients,
    reductions,
    roots,
    scans,
    selection,
    series,
    sets,
    sorting,
    tensors,
    trigonometry,
    types,
)


def _moves(func: Callable[..., Any]) -> Callable[..., Any]:
    """A NumPy function that moves the elements of its first argument around."""

    def make(x: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(x, Secret) or secrets_in([*args, *kwargs.values()]):
            raise TypeError(
                f"np.{func.__name__}: the array may be secret, what shapes the result must be public"
            )
        if kwargs.get("order", "C") not in ("C", "F", None):
            raise ValueError(
                f"np.{func.__name__} of secrets has the orders C and F: where they lie in memory is not known"
            )
        args, kwargs = deepcopy((args, kwargs))  # they are looked at when x is computed
        return structural(
            func.__name__, lambda a: func(a, *args, **kwargs), x, public=(args, sorted(kwargs.items()))
        )

    return make


def _joins(func: Callable[..., Any]) -> Callable[..., Any]:
    """A NumPy function that joins a sequence of arrays; public ones among them become constants."""

    def make(xs: Any, *, dtype: Any = None, casting: str = "same_kind", **kwargs: Any) -> Secret:
        made: Secret = structural(
            func.__name__,
            lambda *arrays: func(arrays, **kwargs),
            *unified(*xs),
            public=sorted(kwargs.items()),
        )
        return types.checked(f"np.{func.__name__}", made, dtype, casting)  # type: ignore[no-any-return]

    return make


MOVES = (
    np.reshape,
    np.ravel,
    np.transpose,
    np.swapaxes,
    np.moveaxis,
    np.rollaxis,
    np.squeeze,
    np.expand_dims,
    np.broadcast_to,
    np.split,
    np.array_split,
    np.hsplit,
    np.vsplit,
    np.dsplit,
    np.repeat,
    np.tile,
    np.flip,
    np.fliplr,
    np.flipud,
    np.roll,
    np.rot90,
    np.delete,
    np.diagonal,
    np.atleast_1d,
    np.atleast_2d,
    np.atleast_3d,
    np.copy,
    np.resize,
    np.matrix_transpose,
    np.linalg.matrix_transpose,
    np.linalg.diagonal,
    np.fft.fftshift,
    np.fft.ifftshift,
)
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
    np.fmin: comparison.minimum,
    np.fmax: comparison.maximum,
    np.hypot: compositions.hypot,
    np.logaddexp: compositions.logaddexp,
    np.logaddexp2: compositions.logaddexp2,
    np.heaviside: compositions.heaviside,
    np.signbit: compositions.signbit,
    np.copysign: compositions.copysign,
    np.conjugate: linear.positive,
    np.isnan: types.nowhere,
    np.isinf: types.nowhere,
    np.isfinite: types.everywhere,
}

_SUM = reductions.summing(linear.sum_, linear.add, 0)
_PROD = reductions.summing(products.prod, products.multiply, 1)

REDUCTIONS: dict[np.ufunc, Callable[..., Secret]] = {
    np.add: _SUM,
    np.multiply: _PROD,
    np.minimum: reductions.extreme_ufunc("min", comparison.min_, comparison.minimum),
    np.maximum: reductions.extreme_ufunc("max", comparison.max_, comparison.maximum),
    np.logical_and: reductions.deciding_ufunc(comparison.all_, comparison.logical_and, True),
    np.logical_or: reductions.deciding_ufunc(comparison.any_, comparison.logical_or, False),
}

#: Other associative ufuncs, and what their operands become first.
_ASSOCIATIVE: dict[np.ufunc, Callable[[Secret], Secret]] = {
    **dict.fromkeys((np.fmin, np.fmax, np.bitwise_and, np.bitwise_or, np.bitwise_xor), lambda x: x),
    **dict.fromkeys((np.logaddexp, np.logaddexp2, np.hypot), products.real),
    **dict.fromkeys((np.logical_and, np.logical_or, np.logical_xor), comparison.truth),
}
REDUCTIONS = {
    f: reductions.in_a_tree(UFUNCS[f], first, f.identity) for f, first in _ASSOCIATIVE.items()
} | REDUCTIONS

ACCUMULATIONS: dict[np.ufunc, Callable[..., Secret]] = {
    np.add: reductions.accumulating(linear.cumsum),
    np.multiply: reductions.accumulating(scans.cumprod),
    np.minimum: reductions.accumulating(scans.minimum),
    np.maximum: reductions.accumulating(scans.maximum),
}
ACCUMULATIONS |= {f: scans.of(UFUNCS[f], first) for f, first in _ASSOCIATIVE.items()}

#: By how a universal function is called.
METHODS: dict[str, dict[np.ufunc, Callable[..., Any]]] = {
    "__call__": UFUNCS,
    "reduce": REDUCTIONS,
    "accumulate": ACCUMULATIONS,
    "outer": UFUNCS,
}

FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    **{func: _moves(func) for func in MOVES},
    **{func: _joins(func) for func in JOINS},
    np.append: linear.append,
    np.pad: assembly.pad,
    np.insert: assembly.insert,
    np.block: assembly.block,
    np.unstack: assembly.unstack,
    np.broadcast_arrays: assembly.broadcast_arrays,
    np.ediff1d: assembly.ediff1d,
    np.select: assembly.select,
    np.choose: assembly.choose,
    np.isclose: compositions.isclose,
    np.allclose: compositions.allclose,
    np.array_equal: compositions.array_equal,
    np.array_equiv: compositions.array_equiv,
    np.where: comparison.where,
    np.diag: linear.diag,
    np.diagflat: lambda v, k=0: linear.diag(call(np.ravel, v), k),
    np.trace: reductions.trace,
    np.tril: linear.tril,
    np.triu: linear.triu,
    np.sum: _SUM,
    np.cumsum: reductions.accumulating(linear.cumsum),
    np.cumprod: reductions.accumulating(scans.cumprod),
    np.diff: comparison.diff,
    np.astype: types.astype,
    np.zeros_like: types.like(0),
    np.ones_like: types.like(1),
    np.empty_like: types.like(0),
    np.full_like: types.full_like,
    np.real: lambda val: val,
    np.imag: types.zeros,
    np.min: reductions.extreme("min", comparison.min_, comparison.minimum),
    np.max: reductions.extreme("max", comparison.max_, comparison.maximum),
    np.argmin: comparison.argmin,
    np.argmax: comparison.argmax,
    np.ptp: comparison.ptp,
    np.clip: comparison.clip,
    np.any: reductions.deciding(comparison.any_, False),
    np.all: reductions.deciding(comparison.all_, True),
    np.count_nonzero: comparison.count_nonzero,
    np.round: bitwise.round_,
    np.around: bitwise.round_,
    np.sort: sorting.sort,
    np.argsort: sorting.argsort,
    np.lexsort: sorting.lexsort,
    np.partition: sorting.partition,
    np.argpartition: sorting.argpartition,
    np.median: quantiles.median,
    np.quantile: quantiles.quantile,
    np.percentile: quantiles.percentile,
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
    np.linalg.vecdot: tensors.vecdot,
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
    np.mean: reductions.mean,
    np.var: reductions.var,
    np.std: reductions.std,
    np.average: reductions.average,
    np.prod: _PROD,
    np.dot: products.dot,
    np.vdot: products.vdot,
    np.inner: products.inner,
    np.outer: products.outer,
    np.einsum: products.einsum,
    **{
        func: _shows(
            func.__name__, "which values occur", "mpc.unique(x), padded, or mpc.unique_counts(x, domain)"
        )
        for func in (np.unique, np.unique_values, np.unique_counts, np.unique_inverse, np.unique_all)
    },
    **{
        func: _shows(func.__name__, "how large a set is", f"mpc.{func.__name__}(a, b), padded")
        for func in (np.union1d, np.intersect1d, np.setdiff1d, np.setxor1d)
    },
    **{
        func: _shows(
            func.__name__, "where a condition holds", "np.where(condition, a, b), or np.count_nonzero"
        )
        for func in (np.nonzero, np.flatnonzero, np.argwhere)
    },
    **{
        func: _shows(
            func.__name__,
            "where a condition holds",
            "np.where(condition, a, b), or x[condition] if that is public",
        )
        for func in (np.extract, np.compress)
    },
    np.nan_to_num: lambda x, copy=True, nan=0.0, posinf=None, neginf=None: x,
    np.fix: bitwise.trunc,
    np.linspace: compositions.linspace,
    np.common_type: lambda *xs: np.common_type(
        *(np.empty(0, x.dtype) if isinstance(x, Secret) else x for x in xs)
    ),
    np.einsum_path: lambda *xs, optimize="greedy": np.einsum_path(
        *(np.broadcast_to(0.0, x.shape) if isinstance(x, Secret) else x for x in xs), optimize=optimize
    ),
    np.may_share_memory: lambda a, b, max_work=0: False,
    np.shares_memory: lambda a, b, max_work=-1: False,
    np.meshgrid: assembly.meshgrid,
    np.isreal: types.everywhere,
    np.iscomplex: types.nowhere,
    np.sinc: trigonometry.sinc,
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
    np.size: lambda x, axis=None: x.size if axis is None else x.shape[axis],
    np.result_type: lambda *xs: np.result_type(*(x.dtype if isinstance(x, Secret) else x for x in xs)),
    np.can_cast: lambda x, to, casting="safe": np.can_cast(x.dtype, to, casting),
    np.iscomplexobj: lambda x: False,
    np.isrealobj: lambda x: True,
}

#: The same by other names; no secret is NaN, so that there is nothing for these to leave out.
FUNCTIONS |= {
    getattr(np, f"nan{f.__name__}"): FUNCTIONS[f]
    for f in (
        np.sum,
        np.prod,
        np.mean,
        np.var,
        np.std,
        np.cumsum,
        np.cumprod,
        np.argmin,
        np.argmax,
        np.median,
        np.quantile,
        np.percentile,
    )
}
FUNCTIONS |= {
    np.nanmin: FUNCTIONS[np.min],
    np.nanmax: FUNCTIONS[np.max],
    np.amin: FUNCTIONS[np.min],
    np.amax: FUNCTIONS[np.max],
    np.cumulative_sum: reductions.cumulative(linear.cumsum, 0),
    np.cumulative_prod: reductions.cumulative(scans.cumprod, 1),
}
