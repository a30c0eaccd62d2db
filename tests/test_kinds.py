"""Every function of the tables, with operands of every kind, secret and public: kind and value are NumPy's,
or it is refused.

Truth values, integers and reals in all combinations.  ``RECIPES`` says how each function is called; one that
is added to a table needs its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pytest

import mpc
from protocols.array.secret import Secret
from protocols.array.session import Session
from protocols.numpy.tables import ACCUMULATIONS, FUNCTIONS, REDUCTIONS, UFUNCS

OPERANDS: dict[str, dict[str, Any]] = {
    "x": {"b": [True, False, True, False], "i": [5, -3, 0, 1], "f": [1.5, -0.75, 2.0, 0.25]},
    "y": {"b": [False, False, True, True], "i": [2, 5, 0, -4], "f": [0.5, 1.5, 2.0, -2.25]},
    "m": {"b": [[True, False], [True, True]], "i": [[5, -3], [0, 1]], "f": [[1.5, -0.75], [2.0, 0.25]]},
    "p": {"b": [True, True, True, True], "i": [5, 3, 1, 2], "f": [1.5, 0.75, 2.0, 0.25]},  # above 0
    "n": {"b": [True, False, True, True], "i": [0, 3, 1, 1]},  # not below 0
    "r": {"i": [5, -3, 0, 1], "f": [1.5, -0.75, 2.0, 0.25]},
    "c": {"b": [True, False, False, True]},
    "d": {"i": [[2, 0], [0, 1]], "f": [[1.0, 0.25], [0.25, 0.5]]},  # positive definite
}


@dataclass(frozen=True)
class Recipe:
    """A call of operands that ``takes`` names.

    Where it ``counts``, truth values are the integers 0 and 1, for which NumPy has an algebra of its own (or
    float16).  ``refused`` are the operands that are refused though NumPy takes them: "b", "i", "f" secret,
    "s" any secret, "P" any public, "*" anything."""

    f: Callable[..., Any]
    takes: str = "x"
    counts: bool = False
    refused: tuple[str, ...] = ()

    def refuses(self, kinds: str) -> bool:
        def fits(pattern: str, kind: str) -> bool:
            return pattern in ("*", kind, "P" if kind.isupper() else "s")

        return any(all(map(fits, pattern, kinds)) for pattern in self.refused)


def one(*fs: Callable[..., Any], takes: str = "x", **options: Any) -> list[Recipe]:
    return [Recipe(f, takes, **options) for f in fs]


def two(*fs: Callable[..., Any], **options: Any) -> list[Recipe]:
    return one(*fs, takes="xy", **options)


RECIPES: dict[Any, list[Recipe]] = {
    np.add: two(np.add, counts=True),
    np.subtract: two(np.subtract, counts=True),
    np.multiply: two(np.multiply),
    np.negative: one(np.negative, counts=True),
    np.positive: one(np.positive, counts=True),
    np.matmul: two(np.matmul, counts=True) + one(np.matmul, takes="mm", counts=True),
    **{
        f: one(f, takes="mm", counts=True) + one(lambda m, x, f=f: f(m, x[:2]), takes="mx", counts=True)
        for f in (np.vecdot, np.matvec)
    },
    np.vecmat: one(lambda x, m: np.vecmat(x[:2], m), takes="xm", counts=True),
    np.true_divide: one(np.true_divide, takes="xp"),
    np.reciprocal: one(np.reciprocal, takes="p", refused=("b", "i")),
    np.power: (
        one(*(lambda x, a=a: np.power(x, a) for a in (2, 0, [1, 2, 0, 3], 2.0, [2.0, 1.0, 3.0, 0.0])))
        + one(
            *(lambda x, a=a: np.power(x, a) for a in (-2.0, 0.5, -0.5, 1.25, [0.5, 2.0, -1.0, -0.5])),
            takes="p",
        )
        + one(np.power, takes="pn")
        + one(lambda p, q: np.power(p, q * 0.5), takes="pp")
        + one(lambda n: np.power(3, n), lambda n: np.power(1.5, n), takes="n")
    ),
    np.float_power: (
        one(lambda x: np.float_power(x, 2), takes="x") + one(lambda n: np.float_power(2, n), takes="n")
    ),
    **{f: one(f, counts=True) for f in (np.exp, np.exp2, np.expm1, np.tanh)},
    **{
        f: one(f)
        for f in (
            np.square,
            np.floor,
            np.ceil,
            np.trunc,
            np.rint,
            np.absolute,
            np.fabs,
            np.logical_not,
            np.invert,
        )
    },
    **{f: one(f, takes="p", counts=True) for f in (np.sqrt, np.log, np.log2, np.log10, np.log1p)},
    np.sign: one(np.sign, counts=True),
    **{
        f: two(f)
        for f in (
            np.less,
            np.less_equal,
            np.greater,
            np.greater_equal,
            np.equal,
            np.not_equal,
            np.logical_and,
            np.logical_or,
            np.logical_xor,
            np.minimum,
            np.maximum,
            np.bitwise_and,
            np.bitwise_or,
            np.bitwise_xor,
        )
    },
    np.left_shift: one(np.left_shift, takes="xn"),
    np.right_shift: one(np.right_shift, takes="xn"),
    **{
        f: (
            one(*(lambda x, y=y, f=f: f(x, y) for y in (2, 0.5, 3, -1.25, [1, 3, 2, -4])))
            + one(f, takes="xp", counts=True)
        )
        for f in (np.remainder, np.floor_divide, np.divmod, np.fmod)
    },
    np.bitwise_count: one(np.bitwise_count, counts=True),
    **{
        f: one(f, counts=True)
        for f in (
            np.sin,
            np.cos,
            np.arctan,
            np.arcsinh,
            np.cbrt,
            np.deg2rad,
            np.radians,
            np.rad2deg,
            np.degrees,
        )
    },
    **{
        f: one(lambda x, f=f: f(np.clip(x, -1, 1) * 0.5))
        for f in (np.tan, np.arcsin, np.arccos, np.arctanh, np.sinh, np.cosh)
    },
    np.arccosh: one(lambda p: np.arccosh(np.abs(p) + 1.0), takes="p"),
    np.arctan2: two(np.arctan2, counts=True),
}
RECIPES |= {
    **{f: two(f) for f in (np.fmin, np.fmax)},
    **{f: two(f, counts=True) for f in (np.hypot, np.logaddexp, np.logaddexp2, np.heaviside, np.copysign)},
    **{f: one(f, counts=True) for f in (np.signbit, np.conjugate, np.isnan, np.isinf, np.isfinite)},
}
IN_A_TREE = {
    **{f: one(f) for f in (np.fmin, np.fmax, np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.logical_xor)},
    **{f: one(f, counts=True) for f in (np.logaddexp, np.logaddexp2, np.hypot)},
}
REDUCED: dict[Any, list[Recipe]] = {
    f: one(f.reduce) for f in (np.add, np.multiply, np.minimum, np.maximum, np.logical_and, np.logical_or)
} | {f: [replace(recipe, f=f.reduce) for recipe in recipes] for f, recipes in IN_A_TREE.items()}
ACCUMULATED: dict[Any, list[Recipe]] = {
    f: one(f.accumulate) for f in (np.add, np.multiply, np.minimum, np.maximum)
} | {f: [replace(recipe, f=f.accumulate) for recipe in recipes] for f, recipes in IN_A_TREE.items()}
ACCUMULATED |= {f: one(f.accumulate) for f in (np.logical_and, np.logical_or)}
CALLED: dict[Any, list[Recipe]] = {
    np.reshape: one(lambda x: np.reshape(x, (2, 2))),
    np.broadcast_to: one(lambda x: np.broadcast_to(x, (2, 4))),
    np.repeat: one(lambda x: np.repeat(x, 2)),
    **{
        f: one(lambda x, f=f: f(x, 2))
        for f in (np.split, np.array_split, np.hsplit, np.tile, np.roll, np.resize)
    },
    np.moveaxis: one(lambda m: np.moveaxis(m, 0, 1), takes="m"),
    np.vsplit: one(lambda m: np.vsplit(m, 2), takes="m"),
    np.dsplit: one(lambda m: np.dsplit(m[None], 2), takes="m"),
    np.swapaxes: one(lambda m: np.swapaxes(m, 0, 1), takes="m"),
    np.rollaxis: one(lambda m: np.rollaxis(m, 1), takes="m"),
    np.expand_dims: one(lambda x: np.expand_dims(x, 0)),
    np.delete: one(lambda x: np.delete(x, 1)),
    **{
        f: one(f)
        for f in (
            np.ravel,
            np.transpose,
            np.squeeze,
            np.flip,
            np.flipud,
            np.atleast_1d,
            np.atleast_2d,
            np.atleast_3d,
            np.copy,
            np.shape,
            np.ndim,
            np.size,
        )
    },
    **{
        f: one(f, takes="m") + one(lambda m, f=f: f(m, 0), takes="m")
        for f in (np.fft.fftshift, np.fft.ifftshift)
    },
    **{
        f: one(f, takes="m")
        for f in (np.fliplr, np.rot90, np.diagonal, np.matrix_transpose, np.tril, np.triu, np.trace)
    },
    **{
        f: one(lambda x, y, f=f: f([x, y]), takes="xy")
        for f in (np.concatenate, np.stack, np.hstack, np.vstack, np.dstack, np.column_stack)
    },
    np.append: two(np.append) + one(*(lambda x, v=v: np.append(x, v) for v in (True, 3, 2.5))),
    np.diag: one(np.diag) + one(np.diag, takes="m"),
    np.diagflat: one(np.diagflat),
    np.where: (
        one(np.where, takes="cxy")
        + one(
            lambda c, x: np.where(c, x, True),
            lambda c, x: np.where(c, 7, x),
            lambda c, x: np.where(c, x, 0.5),
            takes="cx",
        )
    ),
    **{
        f: one(f)
        for f in (
            np.sum,
            np.cumsum,
            np.cumprod,
            np.prod,
            np.zeros_like,
            np.ones_like,
            np.min,
            np.max,
            np.argmin,
            np.argmax,
            np.any,
            np.all,
            np.count_nonzero,
            np.sort,
            np.median,
            np.mean,
            np.var,
            np.average,
        )
    },
    np.ptp: one(np.ptp, counts=True),
    np.sinc: one(np.sinc, counts=True),
    np.diff: one(np.diff, lambda x: np.diff(x, 2), lambda x: np.diff(x, prepend=x[:1], append=True)),
    np.std: one(np.std),
    np.argsort: one(lambda x: np.argsort(x, kind="stable")),
    np.round: one(np.round) + one(lambda r: np.round(r, 1), takes="r"),
    np.around: one(np.around),
    np.clip: (
        one(np.clip, takes="xyp")
        + one(
            *(
                lambda x, lo=lo, hi=hi: np.clip(x, lo, hi)
                for lo, hi in ((1, 0), (2, 5), (False, True), (0.5, 1), (None, 0), (-1.5, None))
            )
        )
    ),
    np.lexsort: two(lambda x, y: np.lexsort((x, y))),
    np.quantile: (
        one(*(lambda x, q=q: np.quantile(x, q) for q in (0, 1, [0, 1])))
        + one(*(lambda x, q=q: np.quantile(x, q) for q in (0.3, [0.0, 0.5, 1.0])), counts=True)
    ),
    np.percentile: one(lambda x: np.percentile(x, 40), lambda x: np.percentile(x, [0, 100]), counts=True),
    np.take: one(lambda x: np.take(x, [2, -1])) + one(np.take, takes="xn", refused=("Ps",)),
    np.take_along_axis: (
        one(lambda x: np.take_along_axis(x, np.array([2, -1]), 0))
        + one(lambda x, n: np.take_along_axis(x, n, 0), takes="xn")
    ),
    np.searchsorted: one(
        *(lambda x, y, side=side: np.searchsorted(np.sort(x), y, side) for side in ("left", "right")),
        takes="xy",
    ),
    np.digitize: one(*(lambda x, bins=bins: np.digitize(x, bins) for bins in ([0, 1], [-0.5, 0.25, 1.0]))),
    np.bincount: (
        one(lambda n: np.bincount(n, minlength=4), takes="n")
        + one(lambda n, y: np.bincount(n, y, 4), takes="ny")
    ),
    np.histogram: (
        one(lambda x: np.histogram(x, [-1, 0.5, 2])[0], lambda x: np.histogram(x, [0, 1, 5])[0])
        + one(lambda x, y: np.histogram(x, [-1, 0, 1.5, 5], weights=y)[0], takes="xy", counts=True)
    ),
    np.partition: one(lambda x: np.partition(x, 1)[1], lambda x: np.partition(x, [0, 3])[::3]),
    np.argpartition: one(lambda x: np.take_along_axis(x, np.argpartition(x, 1)[1:2], 0)),
    np.isin: two(np.isin) + one(*(lambda x, e=e: np.isin(x, e) for e in ([True], [0, 5], [0.0, 1.5, 0.25]))),
    np.linalg.norm: one(
        np.linalg.norm,
        lambda x: np.linalg.norm(x, 1),
        lambda x: np.linalg.norm(x, np.inf),
        lambda x: np.linalg.norm(x, 0),
    ),
    np.linalg.inv: one(np.linalg.inv, takes="d"),
    np.linalg.solve: one(np.linalg.solve, takes="dm"),
    np.linalg.vector_norm: one(np.linalg.vector_norm, lambda x: np.linalg.vector_norm(x, ord=3)),
    np.linalg.matrix_norm: one(
        *(lambda m, o=o: np.linalg.matrix_norm(m, ord=o) for o in ("fro", 1, -np.inf)), takes="m"
    ),
    np.linalg.cond: one(lambda d: np.linalg.cond(d, 1), np.linalg.cond, takes="d"),
    np.linalg.matrix_power: (
        one(*(lambda m, n=n: np.linalg.matrix_power(m, n) for n in (0, 1, 3)), takes="m", counts=True)
        + one(lambda d: np.linalg.matrix_power(d, -1), takes="d")
    ),
    **{
        f: one(f, takes="d")
        for f in (
            np.linalg.qr,
            np.linalg.det,
            np.linalg.slogdet,
            np.linalg.pinv,
            np.linalg.cholesky,
            np.linalg.eigvalsh,
            np.linalg.svdvals,
            np.linalg.matrix_rank,
        )
    },
    **{f: one(lambda d, f=f: [abs(y) for y in f(d)], takes="d") for f in (np.linalg.eigh, np.linalg.svd)},
    np.linalg.lstsq: one(lambda d, m: np.linalg.lstsq(d, m, rcond=None)[0], takes="dm"),
    **{f: one(f, takes="m") for f in (np.linalg.trace, np.linalg.diagonal, np.linalg.matrix_transpose)},
    np.linalg.outer: two(np.linalg.outer),
    np.linalg.matmul: one(np.linalg.matmul, takes="mm", counts=True),
    np.linalg.multi_dot: one(lambda m, x: np.linalg.multi_dot([m, m, x[:2]]), takes="mx", counts=True),
    **{f: two(lambda x, y, f=f: f(x[:3], y[1:]), counts=True) for f in (np.cross, np.linalg.cross)},
    **{f: two(lambda x, y, f=f: f(x, y, axes=1), counts=True) for f in (np.tensordot, np.linalg.tensordot)},
    **{f: two(f, counts=True) for f in (np.linalg.vecdot, np.convolve, np.correlate, np.trapezoid)},
    np.kron: two(np.kron),
    np.cov: one(np.cov) + two(np.cov),
    np.corrcoef: two(np.corrcoef),
    np.histogram2d: (
        two(lambda x, y: np.histogram2d(x, y, [[-1, 0.5, 2], [-5, 0, 3]])[0])
        + one(lambda x, y, p: np.histogram2d(x, y, [[-1, 0.5, 2], [-5, 0, 3]], weights=p)[0], takes="xyp")
    ),
    np.polyval: one(np.polyval, lambda r, x: np.polyval(r[:1], x), takes="rx", counts=True),
    np.polyfit: one(lambda x, y: np.polyfit(x, y, 1), takes="xy"),
    np.interp: one(lambda x, y: np.interp(x, [-1, 0, 1, 2], y), takes="xy"),
    np.gradient: one(np.gradient, lambda x: np.gradient(x, [0, 1, 3, 4]), counts=True),
    **{f: two(f, counts=True) for f in (np.dot, np.vdot, np.inner)},
    np.outer: two(np.outer),
    np.einsum: (
        two(lambda x, y: np.einsum("i,i", x, y), counts=True)
        + two(lambda x, y: np.einsum("i,j->ij", x, y))
        + one(lambda m: np.einsum("ij->ji", m), takes="m")
        + one(lambda m: np.einsum("ij->j", m), takes="m", counts=True)
    ),
}
CALLED |= {
    np.astype: one(*(lambda x, to=to: np.astype(x, to) for to in (bool, int, float))),
    np.full_like: (
        one(*(lambda x, v=v: np.full_like(x, v) for v in (0, 2.5, True)))
        + one(
            lambda x: np.full_like(x, 3, dtype=float, shape=(2, 1)), lambda x: np.full_like(x, 2.5, dtype=int)
        )
        + one(np.full_like, takes="xc", refused=("P*",))
    ),
    np.empty_like: one(lambda x: [str(np.empty_like(x).dtype), np.empty_like(x, shape=3).shape]),
    **{f: one(f) for f in (np.real, np.imag, np.iscomplexobj, np.isrealobj)},
    np.result_type: one(lambda x: str(np.result_type(x, 1.5)), lambda x: str(np.result_type(x, np.int64(1)))),
    np.can_cast: one(lambda x: np.can_cast(x, float), lambda x: np.can_cast(x, int)),
    np.pad: one(
        *(lambda x, v=v: np.pad(x, (1, 2), constant_values=v) for v in (0, True, 2.5)),
        lambda x: np.pad(x, 2, mode="reflect"),
    )
    + one(lambda m: np.pad(m, ((1, 0), (2, 2)), "edge"), takes="m"),
    np.insert: two(lambda x, y: np.insert(x, 1, y)) + one(lambda x: np.insert(x, [0, 2], 2.5)),
    np.block: two(lambda x, y: np.block([[x, y], [y, x]])),
    np.unstack: one(np.unstack, lambda x: np.unstack(x[None], axis=1)),
    np.broadcast_arrays: two(lambda x, y: np.broadcast_arrays(x, y[:1])),
    np.ediff1d: one(
        np.ediff1d, lambda x: np.ediff1d(x, 9, [8, 7]), lambda x: np.ediff1d(x, 2.5), counts=True
    ),
    np.select: (
        one(lambda c, x, y: np.select([c, ~c], [x, y]), takes="cxy")
        + one(lambda c, x: np.select([c], [x], 2.5), takes="cx")
    ),
    np.choose: one(lambda c, x, y: np.choose(c, [x, y]), takes="cxy"),
    **{f: two(f) for f in (np.isclose, np.allclose, np.array_equal, np.array_equiv)},
    np.meshgrid: two(np.meshgrid, lambda x, y: np.meshgrid(x, y, sparse=True, indexing="ij")),
    np.nan_to_num: one(np.nan_to_num),
    np.linspace: two(
        lambda x, y: np.linspace(x, y, 3),
        lambda x, y: np.linspace(x, y, 4, endpoint=False, axis=1),
        counts=True,
    ),
    np.common_type: one(lambda x: np.common_type(x) is np.float64),
    np.einsum_path: one(lambda x: str(np.einsum_path("i,i", x, x, optimize="greedy")[0])),
    **{f: two(f) for f in (np.may_share_memory, np.shares_memory)},
    np.fix: one(np.fix),
    **{
        f: one(f)
        for f in (
            np.isreal,
            np.iscomplex,
            np.nansum,
            np.nanprod,
            np.nanmean,
            np.nanvar,
            np.nanstd,
            np.nancumsum,
            np.nancumprod,
            np.nanmin,
            np.nanmax,
            np.nanargmin,
            np.nanargmax,
            np.nanmedian,
            np.amin,
            np.amax,
        )
    },
    np.nanquantile: one(lambda x: np.nanquantile(x, 0.3), counts=True),
    np.nanpercentile: one(lambda x: np.nanpercentile(x, 30), counts=True),
    **{f: one(f, lambda x, f=f: f(x, include_initial=True)) for f in (np.cumulative_sum, np.cumulative_prod)},
}
SHOWS = {
    np.unique,
    np.unique_values,
    np.unique_counts,
    np.unique_inverse,
    np.unique_all,
    np.nonzero,
    np.flatnonzero,
    np.argwhere,
    np.extract,
    np.compress,
    np.union1d,
    np.intersect1d,
    np.setdiff1d,
    np.setxor1d,
}  # always refused
TABLES = (
    (UFUNCS, RECIPES, ""),
    (REDUCTIONS, REDUCED, ".reduce"),
    (ACCUMULATIONS, ACCUMULATED, ".accumulate"),
    (FUNCTIONS, CALLED, ""),
)
CASES = [
    pytest.param(recipe, id=f"{key.__name__}{suffix} {i}")
    for _, recipes, suffix in TABLES
    for key, several in recipes.items()
    for i, recipe in enumerate(several)
]


def test_every_function_has_a_recipe() -> None:
    for table, recipes, _ in TABLES:
        assert table.keys() - SHOWS == recipes.keys() - SHOWS


def combinations(recipe: Recipe) -> Iterator[tuple[str, list[Any]]]:
    """Kinds, in capitals where public, and the operands."""
    for kinds in product(*(OPERANDS[name] for name in recipe.takes)):
        for secret in product((True, False), repeat=len(kinds)):
            if any(secret):
                yield (
                    "".join(k if s else k.upper() for k, s in zip(kinds, secret, strict=True)),
                    [np.array(OPERANDS[name][k]) for name, k in zip(recipe.takes, kinds, strict=True)],
                )


def difference(mine: Any, expected: Any) -> str:
    """What is not NumPy's; reals within four units in the last place, or a part of large ones."""
    if isinstance(expected, list | tuple):
        return next((d for m, e in zip(mine, expected, strict=True) if (d := difference(m, e))), "")
    if not isinstance(mine, Secret):
        return "" if np.array_equal(mine, expected) else f"{mine} for {expected}"
    value, expected = np.asarray(mine.reveal()), np.asarray(expected)
    kind = {"b": "bool", "i": "int", "u": "int", "f": str(mine.session.fixed)}[expected.dtype.kind]
    right = str(mine.kind) == kind and value.shape == expected.shape
    part = 2.0 ** (-mine.session.ring.bits // 3)
    allowed = np.maximum(4 * 2.0**-mine.kind.fraction, part * np.abs(expected)) if mine.kind.fraction else 0
    if right and (np.abs(value * 1.0 - expected) <= allowed).all():
        return ""
    return f"{mine.kind} {value} for {kind} {expected}"


def faults(session: Session, recipe: Recipe) -> Iterator[str]:
    """Where the outcome is neither NumPy's nor the refusal that is expected.  What is computed moves along in
    the same rounds, before the first is looked at.
    """
    outcomes = []
    for kinds, arrays in combinations(recipe):
        operands = [
            a if k.isupper() else session.secret(a, shape=a.shape, kind=session.kind_of(a))
            for k, a in zip(kinds, arrays, strict=True)
        ]
        plain = [a.astype(int) if recipe.counts and a.dtype == bool else a for a in arrays]
        try:
            expected: Any = recipe.f(*plain)
        except (TypeError, ValueError, IndexError) as error:
            expected = error
        refused = isinstance(expected, Exception) or recipe.refuses(kinds)
        try:
            mine = recipe.f(*operands)
        except (TypeError, ValueError, IndexError, NotImplementedError) as error:
            if not refused or not str(error):
                yield f"{kinds}: {type(error).__name__}: {error}"
            continue
        if refused:
            yield f"{kinds}: {mine.kind} {mine.reveal()}, refused by NumPy"
        else:
            outcomes.append((kinds, mine, expected))
    for kinds, mine, expected in outcomes:
        if d := difference(mine, expected):
            yield f"{kinds}: {d}"


@pytest.mark.parametrize(
    ("recipe", "suite", "parties", "bits"),
    [
        pytest.param(*case.values, *where, id=f"{case.id}-{'-'.join(map(str, where))}")
        # a kind does not hang on the suite
        for where, cases in ((("replicated", 3, 64), CASES), (("additive", 2, 32), CASES[::3]))
        for case in cases
    ],
)
@pytest.mark.filterwarnings("ignore:Converting input from bool to")  # NumPy's word on its own histogram
def test_kind_and_value_are_numpys(recipe: Recipe, suite: str, parties: int, bits: int) -> None:
    assert not list(faults(mpc.local(parties, suite, ring=bits), recipe))


TRUTHS_AMONG_INTEGERS: list[tuple[Callable[[Any, Any], Any], Any]] = [
    (np.maximum, [5, 6]),
    (lambda b, i: np.maximum(b, [5, 6]), [5, 6]),
    (lambda b, i: np.minimum(b, -5), [-5, -5]),
    (lambda b, i: np.clip(b, 2, 5), [2, 2]),
    (lambda b, i: np.clip(b, i, 9), [5, 6]),
    (lambda b, i: np.clip(b, -9, i), [1, 0]),
    (lambda b, i: np.where(b, b, i), [1, 6]),
    (lambda b, i: np.where(b, b, 7), [1, 7]),
    (lambda b, i: np.where(b, True, 7), [1, 7]),
    (lambda b, i: np.column_stack([i > 5, i]), [[0, 5], [1, 6]]),
    (lambda b, i: np.append(b, 3), [1, 0, 3]),
    (lambda b, i: np.cumprod(b), [1, 0]),
    (lambda b, i: np.concatenate([b, i]), [1, 0, 5, 6]),
    (lambda b, i: np.stack([b, i]), [[1, 0], [5, 6]]),
    (lambda b, i: np.where([True, False], b, i), [1, 6]),
    (lambda b, i: np.clip(b, 1, 0), [0, 0]),
]


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize(("suite", "parties"), [("replicated", 3), ("additive", 2)])
def test_truth_values_among_integers_are_integers(suite: str, parties: int, bits: int) -> None:
    s = mpc.local(parties, suite, ring=bits)
    b, i = s.secret([True, False]), s.secret([5, 6])
    results = [f(b, i) for f, _ in TRUTHS_AMONG_INTEGERS]
    assert [str(r.kind) for r in results] == ["int"] * len(results)
    assert [r.reveal().tolist() for r in results] == [expected for _, expected in TRUTHS_AMONG_INTEGERS]
    differences = np.diff(s.secret([True, True, False]))
    assert differences.kind == b.kind and differences.reveal().tolist() == [False, True]


@pytest.mark.parametrize(
    ("f", "error", "said"),
    [
        (lambda x, z, b: np.bincount(x, minlength=-1), ValueError, "minlength"),
        (lambda x, z, b: np.diff(x, n=-1), ValueError, "order"),
        (lambda x, z, b: np.sort(x, kind="nosuch"), ValueError, "nosuch"),
        (lambda x, z, b: np.argsort(z, kind="nosuch"), ValueError, "nosuch"),
        (lambda x, z, b: np.diag(x.reshape(1, 1, 2)), ValueError, "axes"),
        (lambda x, z, b: np.diag(x.reshape(1, 1, 2)[0, 0, 0]), ValueError, "axes"),
        (lambda x, z, b: np.take_along_axis(x, b, 0), IndexError, "integers"),
        (lambda x, z, b: np.power(x, -1), ValueError, "integer powers"),
        (lambda x, z, b: x ** [1, -2], ValueError, "integer powers"),
        (lambda x, z, b: np.reciprocal(x), TypeError, "1 / x"),
        (lambda x, z, b: np.bincount(z, minlength=2), TypeError, "integers"),
        (lambda x, z, b: np.median(x.reshape(1, 1, 2)[..., :0]), ValueError, "no elements"),
        (lambda x, z, b: x[:0].mean(), ZeroDivisionError, "no elements"),
        (lambda x, z, b: x.std(ddof=2), ZeroDivisionError, "ddof"),
    ],
)
def test_what_numpy_refuses_is_refused_in_words(
    f: Callable[..., Any], error: type[Exception], said: str
) -> None:
    s = mpc.local(2)
    with pytest.raises(error, match=said):
        f(s.secret([1, 2]), s.secret([1.5, 2.5]), s.secret([True, False]))


@pytest.mark.parametrize(("suite", "parties"), [("replicated", 3), ("additive", 2)])
def test_public_arrays_beside_secret_bounds_and_weights(suite: str, parties: int) -> None:
    s = mpc.local(parties, suite)
    public, edges = np.array([1, 4, 2, 9]), [0, 2, 4]
    assert np.clip(public, 2, s.secret([3, 3, 3, 8])).reveal().tolist() == [2, 3, 2, 8] and np.clip(
        public, s.secret(3), None
    ).reveal().tolist() == [3, 4, 3, 9]
    for weights in (
        np.array([10, 20, 30, 40]),
        np.array([0.5, 1.5, 2.5, 3.5]),
        np.array([True, True, False, True]),
    ):
        counts, same = np.histogram(public, edges, weights=s.secret(weights))
        assert (
            counts.reveal().tolist() == np.histogram(public, edges, weights=weights * 1)[0].tolist()
            and list(same) == edges
        )
        assert (
            np.bincount(public, s.secret(weights), 3).reveal().tolist()
            == np.bincount(public, weights, 3).tolist()
        )
    sums = np.bincount(s.secret([1, 1, 0]), [True, True, True], minlength=2)
    assert sums.kind == s.fixed and sums.reveal().tolist() == [1, 2]
    assert np.median(s.secret(np.ones((1, 1, 0))), axis=0).reveal().shape == (1, 0)
