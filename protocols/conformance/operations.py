"""Operations of NumPy with examples of their operands: what a scheme has to get right.

Integers and everything linear must agree exactly with NumPy.  A product of fixed-point numbers is rounded
at random to one of its two neighbours, so it may be off by one unit in the last place; ``ulps`` follows from
that by the usual propagation, for operands in [-2, 2].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from protocols.array.secret import Secret
from protocols.ops import sets
from protocols.ops.selection import one_hot, take, unique_counts
from protocols.ops.sorting import top_k

MASK = np.array([[True, False, True, False], [False, False, True, True], [True, True, True, False]])
PI = np.array([[0.5, -1.25, 0.3, 2.0], [1.0, 0.0, -0.7, 0.01], [1.5, 1.0, -2.0, 0.125]])
PUBLIC = np.array([[3, -1, 0, 2], [1, 0, -2, 5], [4, 4, -3, 1]])
LIST = [1, 2, 3, 4]


@dataclass(frozen=True)
class Operation:
    """``f`` of arrays of these shapes, and how far off it may be in fixed point."""

    name: str
    f: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    ulps: float = 0.0


def op(name: str, f: Callable[..., Any], *shapes: tuple[int, ...], ulps: float = 0.0) -> Operation:
    return Operation(name, f, shapes, ulps)


def unpacked(x: Any) -> Any:
    a, b, c = x
    return a + c - b


A, V, S, B = (3, 4), (4,), (), (2, 3, 4)
ARITHMETIC = [
    op("add", lambda x, y: x + y, A, A),
    op("add, broadcast", lambda x, y: x + y, A, V),
    op("add, both broadcast", lambda x, y: x + y, (3, 1), (1, 4)),
    op("add, scalars", lambda x, y: x + y, S, S),
    op("subtract", lambda x, y: x - y, A, A),
    op("subtract, broadcast", lambda x, y: x - y, V, B),
    op("negative", lambda x: -x, A),
    op("positive", lambda x: +x, A),
    op("square", np.square, A, ulps=1),
    op("multiply", lambda x, y: x * y, A, A, ulps=1),
    op("multiply, broadcast", lambda x, y: x * y, A, V, ulps=1),
    op("multiply, both broadcast", lambda x, y: x * y, (3, 1), (1, 4), ulps=1),
    op("multiply, scalar", lambda x, y: x * y, A, S, ulps=1),
    op("multiply, scalars", lambda x, y: x * y, S, S, ulps=1),
    op("multiply, by itself", lambda x: x * x, A, ulps=1),
    op("multiply.outer", np.multiply.outer, A, V, ulps=1),
    *[op(f"power {n}", lambda x, n=n: x**n, A, ulps=u) for n, u in enumerate((0, 0, 1, 4, 10, 24))],
    op("distribute", lambda x, y, z: x * (y + z) - x * y, A, A, A, ulps=2),
    op("polynomial", lambda x: 3 * x * x - 2 * x + 1, A, ulps=3),
    op("chain", lambda x, y: ((x * y + y) * 2 - x) * y + (x - 1), A, A, ulps=6),
]
PUBLIC_OPERANDS = [
    op("+ int", lambda x: x + 3, A),
    op("int +", lambda x: 3 + x, A),
    op("- int", lambda x: x - 3, A),
    op("int -", lambda x: 3 - x, A),
    op("+ bool", lambda x: x + True, A),
    op("+ list", lambda x: x + LIST, A),
    op("+ array", lambda x: x + PUBLIC, A),
    op("array +", lambda x: PUBLIC + x, A),
    op("array -", lambda x: PUBLIC - x, V),
    op("array + scalar", lambda x: PUBLIC + x, S),
    op("numpy scalar +", lambda x: np.int64(3) + x, A),
    op("+ float", lambda x: x + 0.3, A, ulps=0.5),
    op("float -", lambda x: 0.3 - x, A, ulps=0.5),
    op("- reals", lambda x: x - PI, A, ulps=0.5),
    op("reals +", lambda x: PI + x, A, ulps=0.5),
    op("* int", lambda x: x * -3, A),
    op("int *", lambda x: 3 * x, A),
    op("* 0", lambda x: x * 0, A),
    op("* ints", lambda x: x * PUBLIC, A),
    op("ints *", lambda x: PUBLIC * x, V),
    op("* mask", lambda x: x * MASK, A),
    op("* float", lambda x: x * 0.3, A, ulps=3),
    op("float *", lambda x: -1.7 * x, A, ulps=3),
    op("* power of two", lambda x: x * 0.25, A, ulps=1),
    op("* large float", lambda x: x * 8.0, A, ulps=0),
    op("* 1e-9", lambda x: x * 1e-9, A, ulps=3),
    op("* 0.0", lambda x: x * 0.0, A, ulps=0),
    op("* reals", lambda x: x * PI, A, ulps=3),
    op("reals *", lambda x: PI * x, V, ulps=3),
    op("reals * scalar", lambda x: PI * x, S, ulps=3),
    op("/ int", lambda x: x / 3, A, ulps=3),
    op("/ float", lambda x: x / 0.7, A, ulps=3),
    op("/ power of two", lambda x: x / 4, A, ulps=1),
    op("/ array", lambda x: x / np.array([1, 2, -3, 10]), A, ulps=3),
    op("/ numpy scalar", lambda x: x / np.float64(1.5), A, ulps=3),
    op("@ ints", lambda x: x @ PUBLIC.T, A),
    op("ints @", lambda x: PUBLIC @ x, V),
    op("ints @ matrix", lambda x: PUBLIC.T @ x, A),
    op("@ reals", lambda x: x @ PI.T, A, ulps=3.1),
    op("reals @", lambda x: PI @ x, V, ulps=3.1),
    op("reals @ stack", lambda x: PI.T @ x, B, ulps=3.1),
    op("dot reals", lambda x: np.dot(PI, x), V, ulps=3.1),
    op("einsum ints", lambda x: np.einsum("ij,kj->ki", PUBLIC, x), A),
    op("einsum reals", lambda x: np.einsum("ij,kj->ki", x, PI), A, ulps=3.1),
    op("outer reals", lambda x: np.outer(x, PI), V, ulps=3),
]
PRODUCTS = [
    op("matmul", lambda x, y: x @ y, A, (4, 2), ulps=1),
    op("matmul, vector", lambda x, y: x @ y, A, V, ulps=1),
    op("matmul, vector on the left", lambda x, y: x @ y, V, (4, 3), ulps=1),
    op("matmul, vectors", lambda x, y: x @ y, V, V, ulps=1),
    op("matmul, stack", lambda x, y: x @ y, B, (2, 4, 3), ulps=1),
    op("matmul, stack and matrix", lambda x, y: x @ y, B, (4, 2), ulps=1),
    op("matmul, matrix and stack", lambda x, y: x @ y, (5, 3), B, ulps=1),
    op("matmul, broadcast stacks", lambda x, y: x @ y, (2, 1, 3, 4), (5, 4, 2), ulps=1),
    op("gram", lambda x: x.T @ x, A, ulps=1),
    op("dot", np.dot, A, (4, 2), ulps=1),
    op("dot, vectors", np.dot, V, V, ulps=1),
    op("dot, scalar", np.dot, A, S, ulps=1),
    op("x.dot", lambda x, y: x.dot(y), A, V, ulps=1),
    op("vdot", np.vdot, A, A, ulps=1),
    op("inner", np.inner, A, (2, 4), ulps=1),
    op("inner, vectors", np.inner, V, V, ulps=1),
    op("outer", np.outer, V, (3,), ulps=1),
    op("outer, matrices", np.outer, A, (2, 2), ulps=1),
    op("sum of products", lambda x, y: (x * y).sum(), V, V, ulps=4),
]
EINSUMS = {
    "ij,jk->ik": (A, (4, 2)),
    "ij,jk": (A, (4, 2)),
    "ij, kj -> ik": (A, (2, 4)),
    "ij,kj->ki": (A, (2, 4)),
    "i,i->": (V, V),
    "i,i": (V, V),
    "i,j->ij": (V, (3,)),
    "i,j->ji": (V, (3,)),
    "bij,bjk->bik": (B, (2, 4, 2)),
    "bij,bjk->ikb": (B, (2, 4, 2)),
    "bij,bkj->kib": (B, (2, 5, 4)),
    "ij,ij->ij": (A, A),
    "ij,ij->ji": (A, A),
    "ij,ij->": (A, A),
    "ij,ij->i": (A, A),
    "ij,ji->j": (A, (4, 3)),
    "ij,j->i": (A, V),
    "i,ij->j": ((3,), A),
    "bij,jk->bik": (B, (4, 2)),
    "ij,kl->ijkl": (A, (2, 2)),
    "ij,kl->ljik": (A, (2, 2)),
    "ijk,k->ji": (B, V),
    "ij,k->k": (A, (2,)),
    "ii,ij->j": ((3, 3), A),
    "ij,->ij": (A, S),
    ",->": (S, S),
    "...i,...i->...": (B, A),
    "i...,ij": (A, (3, 2)),
    "...ij->...ji": (B,),
    "ij,jk,k->i": (A, (4, 2), (2,)),
    "ij,kj,lj->ikl": ((2, 3), (2, 3), (2, 3)),
    "ij,jl->il": (A, (1, 2)),
    "ij->ji": (A,),
    "ii->i": ((3, 3),),
    "ii": ((3, 3),),
    "ij->": (A,),
    "ij->j": (A,),
    "ijk->kji": (B,),
    "ba": (A,),
}
REDUCTIONS = [
    op(
        f"{name}, axis={axis}, keepdims={keep}",
        lambda x, f=f, axis=axis, keep=keep: f(x, axis=axis, keepdims=keep),
        B,
        ulps=ulps,
    )
    for name, f, ulps in (("sum", np.sum, 0), ("mean", np.mean, 3), ("var", np.var, 24))
    for axis, keep in (
        (None, False),
        (None, True),
        (0, False),
        (1, True),
        (-1, False),
        ((0, 2), False),
        ((0, -1), True),
    )
] + [
    op("mean, NumPy axis", lambda x: np.mean(x, axis=np.int64(1)), A, ulps=3),
    op("sum, NumPy axis", lambda x: np.sum(x, axis=np.int64(-1)), A),
    op("x.sum", lambda x: x.sum(), A),
    op("x.sum(0)", lambda x: x.sum(0), A),
    op("add.reduce", np.add.reduce, A),
    op("sum of scalar", np.sum, S),
    op("x.mean", lambda x: x.mean(axis=1), A, ulps=3),
    op("x.var", lambda x: x.var(0, ddof=1), A, ulps=24),
    op("average", np.average, A, ulps=3),
    op("average, weights", lambda x: np.average(x, axis=1, weights=[1, 2, 3, 4]), A, ulps=3.1),
    op("cumsum", np.cumsum, A),
    op("cumsum 0", lambda x: np.cumsum(x, axis=0), A),
    op("cumsum -1", lambda x: x.cumsum(axis=-1), A),
    op("prod", np.prod, (5,), ulps=48),
    op("prod 0", lambda x: np.prod(x, axis=0), A, ulps=7),
    op("prod -1, keepdims", lambda x: x.prod(axis=-1, keepdims=True), A, ulps=11),
    op("cumprod", np.cumprod, V, ulps=10),
    op("x.cumprod", lambda x: x.cumprod(axis=0), A, ulps=5),
    op("multiply.accumulate", lambda x: np.multiply.accumulate(x, axis=-1), A, ulps=10),
    op("cumprod of signs", lambda x: np.cumprod(np.sign(x - 3), axis=0), (11, 2)),
    op("add.accumulate", np.add.accumulate, A),
    op("maximum.accumulate", lambda x: np.maximum.accumulate(x, axis=1), (2, 7)),
    op("minimum.accumulate", np.minimum.accumulate, (9,)),
    op("maximum.accumulate of one", np.maximum.accumulate, (1, 3)),
    op("cumprod of none", lambda x: np.cumprod(x[:0]), A),
    op("prod of one", np.prod, (1,)),
    op("diff", np.diff, A),
    op("diff 2", lambda x: np.diff(x, 2, axis=0), A),
    op("trace", np.trace, A),
    op("trace 1", lambda x: np.trace(x, 1), A),
    op("builtin sum", sum, A),
    op("builtin sum of products", lambda x, y: sum(a * b for a, b in zip(x, y, strict=True)), V, V, ulps=4),
]
INDICES: dict[str, Any] = {
    "0": np.s_[0],
    "-1": np.s_[-1],
    "1, 2": np.s_[1, 2],
    "1:": np.s_[1:],
    "::-1": np.s_[::-1],
    ":, 1": np.s_[:, 1],
    "..., 0": np.s_[..., 0],
    "None": np.s_[None],
    ":, None, 1:3": np.s_[:, None, 1:3],
    "::2, ::-2": np.s_[::2, ::-2],
    "...": np.s_[...],
    "[2, 0]": np.s_[[2, 0]],
    "[[0, 1], [2, 2]]": np.s_[[[0, 1], [2, 2]]],
    "[0, 1], [3, 3]": np.s_[[0, 1], [3, 3]],
    "MASK": np.s_[MASK],
    "MASK[:, 0]": np.s_[MASK[:, 0]],
    ":, [True, False, True, True]": np.s_[:, [True, False, True, True]],
    "np.array([1, 1])": np.s_[np.array([1, 1])],
    "np.int64(1)": np.s_[np.int64(1)],
    "1:1": np.s_[1:1],
    "np.ix_([0, 2], [1, 3])": np.s_[np.ix_([0, 2], [1, 3])],
    "()": (),
    "True": np.s_[True],
}
INDEXING = [op(f"index {text}", lambda x, index=index: x[index], A) for text, index in INDICES.items()]
STRUCTURE = [
    op("reshape", lambda x: np.reshape(x, (2, 6)), A),
    op("x.reshape", lambda x: x.reshape(2, -1), A),
    op("x.reshape tuple", lambda x: x.reshape((4, 3)), A),
    op("ravel", np.ravel, A),
    op("flatten", lambda x: x.flatten(), A),
    op("T", lambda x: x.T, A),
    op("transpose", lambda x: np.transpose(x, (2, 0, 1)), B),
    op("x.transpose", lambda x: x.transpose(1, 0, 2), B),
    op("swapaxes", lambda x: np.swapaxes(x, 0, 2), B),
    op("moveaxis", lambda x: np.moveaxis(x, 0, -1), B),
    op("rollaxis", lambda x: np.rollaxis(x, 2), B),
    op("matrix_transpose", np.matrix_transpose, B),
    op("squeeze", np.squeeze, (1, 3, 1)),
    op("squeeze axis", lambda x: x.squeeze(0), (1, 3, 1)),
    op("expand_dims", lambda x: np.expand_dims(x, (0, 2)), A),
    op("broadcast_to", lambda x: np.broadcast_to(x, (2, 3, 4)), A),
    op("atleast_2d", np.atleast_2d, V),
    op("concatenate", lambda x, y: np.concatenate([x, y]), A, (1, 4)),
    op("concatenate 1", lambda x, y: np.concatenate((x, y), axis=-1), A, A),
    op("concatenate None", lambda x, y: np.concatenate([x, y], axis=None), A, V),
    op("concatenate public", lambda x: np.concatenate([PUBLIC, x, PUBLIC[:1]]), A),
    op("stack", lambda x, y: np.stack([x, y]), A, A),
    op("stack -1", lambda x, y: np.stack([x, y], axis=-1), A, A),
    op("stack scalars", lambda x: np.stack([x[0], x[2] * 2, 7]), V),
    op("hstack", lambda x, y: np.hstack([x, y]), A, A),
    op("vstack", lambda x, y: np.vstack([x, y]), A, V),
    op("dstack", lambda x, y: np.dstack([x, y]), A, A),
    op("column_stack", lambda x, y: np.column_stack([x, y]), V, V),
    op("append", np.append, A, V),
    op("append axis", lambda x: np.append(x, PUBLIC, axis=0), A),
    op("split", lambda x: np.split(x, 2, axis=1), A),
    op("split at", lambda x: np.split(x, [1, 3], axis=1), A),
    op("array_split", lambda x: np.array_split(x, 2), A),
    op("hsplit", lambda x: np.hsplit(x, 2), A),
    op("vsplit", lambda x: np.vsplit(x, 3), A),
    op("where", lambda x, y: np.where(MASK, x, y), A, A),
    op("where, broadcast", lambda x, y: np.where(MASK, x, y), V, S),
    op("where, public", lambda x: np.where(MASK, x, 0), A),
    op("where, public left", lambda x: np.where(MASK, PUBLIC, x), A),
    op("repeat", lambda x: np.repeat(x, 3), A),
    op("repeat axis", lambda x: x.repeat([1, 0, 2], axis=0), A),
    op("tile", lambda x: np.tile(x, (2, 1, 2)), A),
    op("flip", np.flip, A),
    op("flip axis", lambda x: np.flip(x, 1), A),
    op("fliplr", np.fliplr, A),
    op("flipud", np.flipud, A),
    op("roll", lambda x: np.roll(x, 2), A),
    op("roll axis", lambda x: np.roll(x, -1, axis=1), A),
    op("rot90", np.rot90, A),
    op("fftshift", np.fft.fftshift, A),
    op("ifftshift", lambda x: np.fft.ifftshift(x, axes=1), A),
    op("take", lambda x: np.take(x, [0, -1, 5]), A),
    op("take axis", lambda x: np.take(x, [2, 0], axis=1), A),
    op("delete", lambda x: np.delete(x, 1, axis=0), A),
    op("diag of matrix", np.diag, A),
    op("diag of vector", lambda x: np.diag(x, 1), V),
    op("diagflat", np.diagflat, (2, 2)),
    op("diagonal", lambda x: x.diagonal(1), A),
    op("tril", np.tril, A),
    op("tril -1", lambda x: np.tril(x, -1), B),
    op("triu", np.triu, A),
    op("triu 1", lambda x: np.triu(x, 1), A),
    op("copy", np.copy, A),
    op("resize", lambda x: np.resize(x, (2, 3)), A),
    op("zeros_like", np.zeros_like, A),
    op("ones_like", np.ones_like, A),
    op("iterate", lambda x: [row * 2 for row in x], A),
    op("unpack", unpacked, A),
    op("reversed", lambda x: x[::-1] - x, A),
    op("views", lambda x, y: x.T[1:, ::2] * y[::2, 1:].T, A, A, ulps=1),
    op("empty", lambda x: x[:0] * x[:0] + 1, A),
    op("empty sum", lambda x: x[:0].sum(axis=0), A),
    op("empty matmul", lambda x, y: x[:, :0] @ y[:0], A, A),
    op("empty public product", lambda x: x[:0] * 0.3, A),
]
COMPARISON = [
    op("<", lambda x, y: x < y, A, A),
    op("< broadcast", lambda x, y: x < y, A, V),
    op("< public", lambda x: x < 1, A),
    op("public <", lambda x: 1 < x, A),  # noqa: SIM300
    op("<=", lambda x, y: x <= y, A, A),
    op(">", lambda x, y: x > y, A, A),
    op(">=", lambda x, y: x >= y, A, A),
    op(">= itself", lambda x: x >= x * 1, A),
    op("==", lambda x, y: x == y, A, A),
    op("== permuted", lambda x: x == x[::-1], A),
    op("!=", lambda x: x != 2, A),
    op("== scalars", lambda x: x == x * 1, S),
    op("np.less", np.less, A, A),
    op("<, empty", lambda x: x[:0] < 1, A),
    op("where", lambda x, y: np.where(x < y, x, y), A, A),
    op("where, public", lambda x: np.where(x > 0, x, -1), A),
    op("where, all public", lambda x: np.where(x > 0, 3, 7), A),
    op("where, broadcast", lambda x, y: np.where(y < 1, x, 0), A, V),
    op("where, truth values", lambda x, y: np.where(x < y, x < 0, y < 0), A, A),
    op("minimum", np.minimum, A, A),
    op("maximum", lambda x: np.maximum(x, 0), A),
    op("clip", lambda x: np.clip(x, -1, 1), A),
    op("x.clip", lambda x: x.clip(0), A),
    op("abs", abs, A),
    op("sign", np.sign, A),
    *(
        op(f"{f.__name__} axis={axis}", lambda x, f=f, axis=axis: f(x, axis=axis), B)
        for axis in (None, 0, -1)
        for f in (np.min, np.max, np.argmin, np.argmax, np.ptp)
    ),
    op("sort", np.sort, A),
    op("sort 0", lambda x: np.sort(x, axis=0), (7, 2)),
    op("sort None", lambda x: np.sort(x, axis=None), A),
    op("sort of one", np.sort, (1,)),
    op("sort, ties", lambda x: np.sort(np.concatenate([x, x, x])), (3,)),
    op("argsort", lambda x: np.argsort(x, kind="stable"), A),
    op("lexsort", lambda x, y: np.lexsort((x, y)), A, A),
    op("lexsort 0", lambda x, y: np.lexsort((x, np.concatenate([y, y[:1], y])), axis=0), (7, 2), (3, 2)),
    op("lexsort public", lambda x: np.lexsort((x, PUBLIC)), A),
    op("sort descending", lambda x: np.sort(x)[..., ::-1], (40,)),
    op("argsort 0", lambda x: np.argsort(np.concatenate([x, x]), axis=0, kind="stable"), (3, 2)),
    op("median", np.median, (7,), ulps=3),
    op("median 1", lambda x: np.median(x, axis=1), A, ulps=3),
    op("quantile", lambda x: np.quantile(x, [0, 0.1, 0.5, 1]), (9,), ulps=5),
    op("percentile", lambda x: np.percentile(x, 30, axis=0, keepdims=True), (6, 2), ulps=5),
    op("min, keepdims", lambda x: np.min(x, axis=1, keepdims=True), B),
    op("argmax, keepdims", lambda x: x.argmax(keepdims=True), A),
    op("x.max", lambda x: x.max(), (5,)),
    op("argmin, ties", lambda x: np.argmin(np.concatenate([x, x]), axis=0), A),
    op("argmax of one", lambda x: x.argmax(), (1,)),
    op("minimum.reduce", np.minimum.reduce, A),
    op("any", lambda x: np.any(x > 0, axis=0), A),
    op("all", lambda x: np.all(x > -3, axis=1), A),
    op("any of numbers", np.any, A),
    op("x.all", lambda x: (x < 99).all(), A),
    op("count_nonzero", lambda x: np.count_nonzero(x, axis=0), A),
    op("sum of truth values", lambda x: (x > 0).sum(axis=1), A),
    op("&", lambda x, y: (x > 0) & (y > 0), A, A),
    op("|", lambda x, y: (x > 0) | (y > 0), A, A),
    op("^", lambda x, y: (x > 0) ^ (y > 0), A, A),
    op("~", lambda x: ~(x > 0), A),
    op("& public", lambda x: (x > 0) & MASK, A),
    op("logical_and", np.logical_and, A, A),
    op("logical_not", np.logical_not, A),
    op("logical_or public", lambda x: np.logical_or(MASK, x), A),
    op("times a truth value", lambda x, y: x * (y > 0), A, A),
    op("truth values are moved", lambda x: np.concatenate([x > 0, x.T.reshape(3, 4) < 0])[::2], A),
]


def whole(x: Any) -> Any:
    """Integers of many bits, positive and negative, whatever x is."""
    return (x > 0) * 123456789 - (x > 1) * 1987654321 + (x < 0) * -987654321 + (x < -1) * 3


INTEGERS = [
    op("integers &", lambda x, y: whole(x) & whole(y), A, A),
    op("integers |", lambda x, y: whole(x) | whole(y), A, V),
    op("integers ^", lambda x, y: whole(x) ^ whole(y), A, A),
    op("integers ~", lambda x: ~whole(x), A),
    op("& mask", lambda x: whole(x) & 0b1011, A),
    op("public &", lambda x: -256 & whole(x), A),
    op("& bits", lambda x: whole(x) & 255, A),
    op("<<", lambda x: np.clip(whole(x), -9, 9) << 3, A),
    op(">>", lambda x: whole(x) >> 5, A),
    op(">> array", lambda x: whole(x) >> [0, 1, 7, 30], A),
    op("<< array", lambda x: (x > 0) << [0, 1, 7, 29], A),
    op("%", lambda x: x % 4, A),
    op("%, integers", lambda x: whole(x) % 4096, A),
    op("//", lambda x: x // 2, A),
    op("% array", lambda x: x % [1, 2, 4, 8], A),
    op("% reals", lambda x: x % 0.5, A),
    op("divmod", lambda x: divmod(x, 2), A),
    op("floor", np.floor, A),
    op("ceil", np.ceil, A),
    op("trunc", np.trunc, A),
    op("rint", np.rint, A),
    op("round", np.round, A),
    op("fabs", np.fabs, A),
    op(">> empty", lambda x: whole(x[:0]) >> 2, A),
]


def small(x: Any) -> Any:
    """Integers 0, 1, 2, whatever x is."""
    return (x > 0) * 1 + (x > 1) * 1


TABLE = np.array([[7, -1, 4], [2, 0, -5]])
REALS = np.array([0.5, -1.25, 3.75])
SELECTION = [
    op("take, secret", lambda x, y: take(x, small(y)), A, A),
    op(
        "np.take, secret",
        lambda x, y: x.take(small(y), axis=1) if isinstance(x, Secret) else np.take(x, small(y), 1),
        B,
        V,
    ),
    op("take of public", lambda y: take(TABLE, small(y), axis=1), V),
    op(
        "one_hot",
        lambda x: one_hot(small(x), 3) if isinstance(x, Secret) else np.eye(3, dtype=bool)[small(x)],
        A,
    ),
    op("take_along_axis", lambda x: np.take_along_axis(x, np.argsort(x, axis=1, kind="stable"), axis=1), A),
    op("take_along_axis, public", lambda x: np.take_along_axis(x, np.array([[0], [3], [1]]), axis=1), A),
    op("take_along_axis of public", lambda y: np.take_along_axis(TABLE, small(y), axis=1), (2, 5)),
    op("searchsorted", lambda x, y: np.searchsorted(np.sort(x), y), V, A),
    op("searchsorted right", lambda x: np.searchsorted(np.sort(x), x, side="right"), V),
    op("searchsorted public", lambda x: np.searchsorted([-1, 0, 0, 2], x), A),
    op("digitize", lambda x: np.digitize(x, [-1, 0, 1.5]), A),
    op("bincount", lambda x: np.bincount(small(x), minlength=4), (9,)),
    op("bincount, weights", lambda x, y: np.bincount(small(x), weights=y, minlength=3), (9,), (9,)),
    op("histogram", lambda x: np.histogram(x, bins=[-2, -0.5, 0, 2])[0], A),
    op(
        "unique_counts",
        lambda x: (
            unique_counts(x, [-1, 0, 2])
            if isinstance(x, Secret)
            else np.array([(x == v).sum() for v in (-1, 0, 2)])
        ),
        A,
    ),
    op("isin", lambda x: np.isin(x, [0, 1, 2, -2, 2]), A),
]


def at(x: Any, index: Any, name: str, values: Any) -> Any:
    """``x.at[index]``'s results, of arrays by NumPy's assignment and ``ufunc.at``."""
    if isinstance(x, Secret):
        return getattr(x.at[index], name)(values)
    x = x.copy()
    if name == "set":
        x[index] = values
    else:
        {"add": np.add, "multiply": np.multiply, "min": np.minimum, "max": np.maximum}[name].at(
            x, index, values
        )
    return x


def padded(name: str, a: Any, b: Any) -> Any:
    """The values of a set, ascending, and nothing where they do not count: 99."""
    if not isinstance(a, Secret) and not isinstance(b, Secret):
        found = getattr(np, name)(a, b)
        return np.append(found, np.full(a.size + b.size - found.size, 99 + found[:0].sum()))
    values, present = getattr(sets, name)(a, b)
    return np.sort(np.where(present, values, 99))


def best(x: Any, k: int, axis: int = -1) -> Any:
    if isinstance(x, Secret):
        return list(top_k(x, k, axis))
    at = np.take(np.argsort(-x, axis=axis, kind="stable"), range(k), axis)
    return [np.take_along_axis(x, at, axis), at]


R, S3 = (7, 3), (3,)
ORDERS = [
    op("rows in order", lambda x, k: np.take(x, np.argsort(k, kind="stable"), axis=0), R, (7,)),
    op(
        "last rows, falling", lambda x, k: np.take(x, np.argsort(k, kind="stable")[::-1][:3], axis=0), R, (7,)
    ),
    op(
        "one order for all columns",
        lambda x, k: np.take_along_axis(x, np.argsort(k, kind="stable")[:, None], axis=0),
        R,
        (7,),
    ),
    op("ranks", lambda x: np.argsort(np.argsort(x, axis=0, kind="stable"), axis=0), R),
    op("argsort of truth values", lambda x: np.argsort(x > 0, axis=0, kind="stable"), R),
    op("partition", lambda x: np.partition(x, (1, -2), axis=0)[[1, -2]], R),
    op("top", lambda x: best(x, 3), (2, 9)),
    op("isin secret", np.isin, A, A),
    *(
        op(name, lambda x, y, name=name: padded(name, x, y), (9,), A)
        for name in ("union1d", "intersect1d", "setdiff1d", "setxor1d")
    ),
    op("at set", lambda x, y: at(x, ([0, 2, 0], [1, 1, 1]), "set", y), A, S3),
    op("at add", lambda x, y: at(x, [0, 2, 0, 0], "add", y), A, (4, 1)),
    op("at secret mask", lambda x, y: at(x, x > y, "set", 1), A, A),
    op("at secret", lambda x, y: at(x, small(x[:2, 3]), "set", y), A, (2, 4)),
    op("at an order", lambda x, y: at(x, np.argsort(x, kind="stable"), "set", y), V, V),
]
MORE_ORDERS = [
    op(
        "orders moved about",
        lambda x: np.take_along_axis(x, np.argsort(x, axis=0, kind="stable")[1:4, [2, 0, 2]], axis=0),
        R,
    ),
    op("rows by two keys", lambda x, k: np.take(x, np.lexsort((k, small(x[:, 0]))), axis=0), R, (7,)),
    op("compaction", lambda x: np.take(x, np.argsort(~(x[:, 0] > 0), kind="stable"), axis=0), R),
    op("partition None", lambda x: np.partition(x, 5, axis=None)[5], R),
    op("argpartition", lambda x: np.take(x.ravel(), np.argpartition(x, 2, axis=None)[2]), R),
    op("top 0", lambda x: best(x, 2, 0), R),
    op("isin secret, public", lambda x: np.isin(PUBLIC, x, invert=True), A),
    op("unique", lambda x: padded("union1d", x, x[:0]), (9,)),
    op("at set, a slice", lambda x: at(x, np.s_[..., ::2], "set", -1), A),
    op("at set, a mask", lambda x, y: at(x, MASK, "set", y), A, (7,)),
    op("at multiply", lambda x, y: at(x, (slice(1), [1, 1]), "multiply", y), A, (2,), ulps=6),
    op("at min", lambda x, y: at(x, [0, 0, 1], "min", y), A, A),
    op("at max", lambda x, y: at(x, 1, "max", y), A, V),
    op("at secret rows", lambda x, y: at(x, x[:, 0] > 0, "add", y), A, V),
    op("at secret, add", lambda x, y: at(x, small(y), "add", y[:, :, None]), A, (2, 2)),
    op("at secret, multiply", lambda x, y: at(x, small(y[0]), "multiply", y), A, V, ulps=8),
    op("at secret, min", lambda x, y: at(x, small(y), "min", y), V, V),
    op("at secret, max", lambda x, y: at(x, small(y) - 1, "max", y), V, S3),
    op("at an order, max", lambda x, y: at(x, np.argsort(x[:, 0], kind="stable"), "max", y), R, R),
]


def definite(x: Any) -> Any:
    """A symmetric positive definite matrix, exactly, whatever x is: diagonally dominant."""
    y = np.sign(x)
    return (y + np.transpose(y)) * 0.125 + np.eye(len(x)) * [1.0, 1.25, 1.5]


Q = (3, 3)
LINALG = [
    op("inv", lambda x: np.linalg.inv(definite(x)), Q, ulps=4),
    op("solve", lambda x: np.linalg.solve(definite(x), [1.0, -2.0, 0.5]), Q, ulps=4),
    op("norm", np.linalg.norm, A, ulps=4),
    op("norm of rows", lambda x: np.linalg.norm(x, axis=1, keepdims=True), A, ulps=4),
    op("norm 1", lambda x: np.linalg.norm(x, 1), V),
    op("norm inf", lambda x: np.linalg.norm(x, np.inf), V),
    op("norm -inf of rows", lambda x: np.linalg.norm(x, -np.inf, axis=1), A),
    op("norm inf of a matrix", lambda x: np.linalg.norm(x, np.inf, keepdims=True), A),
]
KNOTS, HEIGHTS = np.array([-1.5, 0.25, 1.0, 3.0]), np.array([0.5, -1.0, 2.0, 7.0])
COMPOSED = [
    op("tensordot", lambda x, y: np.tensordot(x, y, axes=([0, 2], [1, 0])), B, (4, 2, 3), ulps=1),
    op("kron", np.kron, A, (2, 1, 3), ulps=1),
    op("cross", np.cross, (2, 3), (3,), ulps=1),
    op("vecdot", np.vecdot, A, V, ulps=1),
    op("vecdot along", lambda x, y: np.vecdot(x, y, axis=0), A, A, ulps=1),
    op("convolve", np.convolve, V, (6,), ulps=1),
    op("correlate", lambda x, y: np.correlate(x, y, "same"), (6,), V, ulps=1),
    op("cov", np.cov, A, ulps=6),
    op("corrcoef", lambda x: np.corrcoef(x, rowvar=False), (9, 3), ulps=4),
    op("interp", lambda x: np.interp(x, KNOTS, HEIGHTS), A, ulps=5.5),
    op("polyval", lambda x: np.polyval([1, -2, 3], x), A, ulps=3),
    op("gradient", np.gradient, V, ulps=3),
    op("trapezoid", np.trapezoid, A, ulps=1),
    op("histogram2d", lambda x, y: np.histogram2d(x, y, [[-2, 0, 2], [-1, 1, 2]])[0], (9,), (9,)),
    op("cumulative_sum", lambda x: np.cumulative_sum(x, axis=1, include_initial=True), A),
    op("multi_dot", lambda x, y: np.linalg.multi_dot([x, PUBLIC.T, y]), A, (3, 2), ulps=1),
    op("matrix_power", lambda x: np.linalg.matrix_power(x, 2), (2, 3, 3), ulps=1),
]


def invertible(x: Any) -> Any:
    """Matrices of two rows, not symmetric, with a determinant from −2.7 to −0.8, exactly, whatever x is."""
    return np.sign(x) * 0.25 + np.array([[0.5, 1.25], [1.0, -0.75]])


#: Variants of these, which ``test_integers`` checks with fewer parties.
VARIANTS = [
    op("& array", lambda x: whole(x) & PUBLIC, A),
    op("| public", lambda x: whole(x) | 77, A),
    op("^ public", lambda x: whole(x) ^ -1, A),
    op("& of both", lambda x: whole(x) & (x > 0), A),
    op("// integers", lambda x: whole(x) // 64, A),
    op("np.mod", lambda x: np.mod(x, 2), S),
    op("x.round", lambda x: x.round(), A),
    op("round to places", lambda x: np.round(x, 1), A, ulps=3),
    op("take, one secret", lambda x, y: take(x, small(y), axis=-1), A, S),
    op("take of reals", lambda y: take(REALS, small(y)), A),
    op("take of truth values", lambda x, y: take(x > 0, small(y), axis=1), A, V),
    op("take_along_axis 0", lambda x, y: np.take_along_axis(x, small(y), axis=0), A, (2, 4)),
    op("take_along_axis None", lambda x, y: np.take_along_axis(x, small(y), axis=None), A, V),
    op("searchsorted for public", lambda x: np.sort(x).searchsorted([-1, 0, 2]), V),
    op("searchsorted reals", lambda x: np.searchsorted([-1.5, 0.25], x), A),
    op("digitize falling", lambda x: np.digitize(x, [2, 0, -1], right=True), A),
    op(
        "bincount, public weights",
        lambda x: np.bincount(small(x), weights=[0.5, 1.25, -2, 4], minlength=3),
        V,
    ),
    op("histogram, weights", lambda x, y: np.histogram(x, [-1, 0, 1], weights=y)[0], A, A),
    op("histogram, range", lambda x: np.histogram(x, 4, range=(-2, 2))[0], A),
    op("isin, invert", lambda x: np.isin(small(x), [2.0, 0.5], invert=True), A),
    op("solve, matrix", lambda x, y: np.linalg.solve(definite(x), np.sign(y)), Q, (3, 2), ulps=4),
    op("Frobenius norms", lambda x: np.linalg.norm(x, "fro", axis=(0, 2)), B, ulps=4),
    op("norm 2", lambda x: np.linalg.norm(x, 2), V, ulps=4),
    op("norm 1 of a matrix", lambda x: np.linalg.norm(x, 1), A),
    op("norm 0", lambda x: np.linalg.norm(x, 0, axis=0, keepdims=True), A),
    *MORE_ORDERS,
    op("// array", lambda x: x // [3, -4, 5, 1], A),
    op("% reals", lambda x: x % [0.75, -0.3, 1.5, 2.0], A, ulps=1),
    op("public // secret", lambda x: PUBLIC // away(x), V),
    op("divmod by a secret", lambda x, y: divmod(x, away(y)), S, A),
    op("fmod", lambda x: np.fmod(x, [3, -2, 4, 5]), A),
    op("fmod of reals", lambda x: np.fmod(x, -0.7), A, ulps=1),
    op("fmod by a secret", lambda x, y: np.fmod(x, away(y)), A, A),
    op("// empty", lambda x: x[:0] // 3, A),
    op("cos", np.cos, A, ulps=1.3),
    op("arccos", lambda x: np.arccos(np.clip(x, -1, 1)), A, ulps=1.3),
    op("arctan", np.arctan, A, ulps=1.3),
    op("sinh", lambda x: np.sinh(np.clip(x, -1, 1)), A, ulps=4),
    op("cosh", lambda x: np.cosh(np.clip(x, -1, 1)), A, ulps=4),
    op("arcsinh", np.arcsinh, A, ulps=2.5),
    op("arccosh", lambda x: np.arccosh(abs(x) + 1), A, ulps=2.5),
    op("arctanh", lambda x: np.arctanh(np.clip(x, -1, 1) * 0.5), A, ulps=4),
    op("sinc", lambda x: np.sinc(x * 0.25), A, ulps=3),
    op("degrees", np.degrees, A, ulps=3),
    op("radians", np.radians, A, ulps=3),
    op("cbrt", np.cbrt, A, ulps=4),
    op("sine of a scalar", np.sin, S, ulps=1.3),
    op("sine of nothing", lambda x: np.sin(x[:0]), A),
    op("integer to the power of a secret", lambda x, y: (small(x) - 2) ** small(y), A, V),
    op("public << secret", lambda x: 3 << small(x), V),
    op(">> of a scalar by a secret", lambda x, y: whole(x) >> small(y), S, S),
    op("tensordot over none", lambda x, y: np.tensordot(x, y, axes=0), V, (2, 2), ulps=1),
    op("tensordot of public", lambda x: np.tensordot(PUBLIC, x, axes=1), (4, 2)),
    op("kron of public", lambda x: np.kron(PI, x), (2, 2), ulps=3),
    op("cross along axes", lambda x, y: np.cross(x, y, axisa=0, axisc=0), (3, 2), (2, 3), ulps=1),
    op("linalg.cross", lambda x, y: np.linalg.cross(x, y, axis=0), (3, 2), (3, 2), ulps=1),
    op("linalg.outer", np.linalg.outer, V, (3,), ulps=1),
    op("linalg.matmul", np.linalg.matmul, A, (4, 2), ulps=1),
    op("linalg.tensordot", np.linalg.tensordot, A, A, ulps=1),
    op("linalg.vecdot", lambda x, y: np.linalg.vecdot(x, y, axis=0), A, A, ulps=1),
    op("linalg.trace", lambda x: np.linalg.trace(x, offset=1), B),
    op("linalg.diagonal", np.linalg.diagonal, B),
    op("linalg.matrix_transpose", np.linalg.matrix_transpose, B),
    op("matvec", np.matvec, B, V, ulps=1),
    op("vecmat", np.vecmat, (3,), B, ulps=1),
    op("multi_dot, vectors", lambda x, y: np.linalg.multi_dot([LIST, x.T, y]), A, (3,), ulps=12),
    op("matrix_power 0", lambda x: np.linalg.matrix_power(x, 0), Q),
    op("matrix_power 3", lambda x: np.linalg.matrix_power(x * 0.5, 3), Q, ulps=12),
    *(
        op(f"convolve {mode} {n}", lambda x, y, mode=mode: np.convolve(x, y, mode), (5,), (n,), ulps=1)
        for mode in ("same", "valid")
        for n in (2, 3, 6)
    ),
    *(
        op(f"correlate {mode} {n}", lambda x, y, mode=mode: np.correlate(x, y, mode), (5,), (n,), ulps=1)
        for mode in ("full", "same", "valid")
        for n in (2, 6)
    ),
    op("convolve public", lambda x: np.convolve([0.25, 0.5, 0.25], x), (5,), ulps=5),
    op("cov of two", lambda x, y: np.cov(x, y, bias=True), V, V, ulps=6),
    op("cov of columns", lambda x: np.cov(x, rowvar=False, ddof=0), (40, 2), ulps=6),
    op("cov, weights", lambda x: np.cov(x, fweights=[1, 2, 3, 1], aweights=[0.5, 1, 1, 2]), A, ulps=24),
    op("cov of one", np.cov, (9,), ulps=6),
    op("corrcoef of two", np.corrcoef, (9,), (9,), ulps=4),
    op("interp beyond", lambda x: np.interp(x, [-1, 0, 0.5], [1, 2, -1], left=-7.5, right=9), A, ulps=5.5),
    op("interp, secret heights", lambda x, y: np.interp(x, KNOTS, y), A, V, ulps=60),
    op("interp of public", lambda y: np.interp(PI, KNOTS, y), V, ulps=5.5),
    op("interp, one knot", lambda x: np.interp(x, [1], [2.5]), V),
    op("interp, period", lambda x: np.interp(x, [0, 1, 2.5], [1, 2, -1], period=4), V, ulps=5.5),
    op("polyval of secret coefficients", lambda x, y: np.polyval(x, y * 0.5), (3,), V, ulps=6),
    op("polyval, constant", lambda x: np.polyval([2], x), V),
    op("gradient 2", lambda x: np.gradient(x, 0.5, edge_order=2), (6,), ulps=4),
    op("gradient of axes", lambda x: np.gradient(x, 2, [0, 1, 3, 4]), A, ulps=7),
    op("gradient, uneven", lambda x: np.gradient(x, [0, 1, 3, 3.5], axis=1, edge_order=2), A, ulps=9),
    op("trapezoid, distances", lambda x: np.trapezoid(x, [0, 1, 1.5, 4]), A, ulps=5),
    op("trapezoid, secret", lambda x, y: np.trapezoid(x, y, axis=0), A, A, ulps=2),
    op("trapezoid, dx", lambda x: np.trapezoid(x, dx=0.3, axis=0), A, ulps=4),
    op(
        "histogram2d, weights",
        lambda x, y: np.histogram2d(x, y, 2, [[-2, 2], [-1, 1]], weights=x)[0],
        (9,),
        (9,),
    ),
    op("cumulative_prod", lambda x: np.cumulative_prod(x, include_initial=True), V, ulps=10),
    op("vector_norm", lambda x: np.linalg.vector_norm(x, axis=(0, 2), keepdims=True), B, ulps=4),
    op("vector_norm 1", lambda x: np.linalg.vector_norm(x, ord=1), A),
    op("matrix_norm", lambda x: np.linalg.matrix_norm(x, keepdims=True), B, ulps=4),
    op("matrix_norm -1", lambda x: np.linalg.matrix_norm(x, ord=-1), B),
    op("norm 3", lambda x: np.linalg.norm(x, 3, axis=0), A, ulps=6),
    op("norm 4", lambda x: np.linalg.norm(x * 0.5, 4), V, ulps=20),
]
#: Of hundreds of rounds, which ``test_linalg`` checks.
DECOMPOSED = [
    op("inv of any", lambda x: np.linalg.inv(invertible(x)), (3, 2, 2), ulps=2),
    op("det", lambda x: np.linalg.det(invertible(x)), (2, 2), ulps=3),
    op("matrix_power -1", lambda x: np.linalg.matrix_power(invertible(x), -1), (2, 2), ulps=2),
    op("cond 1", lambda x: np.linalg.cond(invertible(x), 1), (2, 2), ulps=12),
    op("solve of public", lambda y: np.linalg.solve([[0.5, 1.25], [1, -0.75]], y), (2,), ulps=3),
    op("nuclear norm", lambda x: np.linalg.norm(invertible(x), "nuc"), (2, 2), ulps=6),
    op("cond", lambda x: np.linalg.cond(invertible(x)), (2, 2), ulps=30),
    op("solve of any", lambda x, y: np.linalg.solve(invertible(x), np.sign(y)), (3, 2, 2), (2,), ulps=3),
    op("slogdet", lambda x: np.linalg.slogdet(invertible(x)), (3, 2, 2), ulps=3),
    op("qr", lambda x: np.linalg.qr(np.concatenate([invertible(x), np.eye(2)])), (2, 2), ulps=3),
    op(
        "qr complete",
        lambda x: np.linalg.qr(np.concatenate([invertible(x), np.eye(2)[:1]]), "complete"),
        (2, 2),
        ulps=3,
    ),
    op("qr of a triangle", lambda x: np.linalg.qr(np.triu(invertible(x))), (2, 2), ulps=2),
    op(
        "qr of a wide one",
        lambda x: np.linalg.qr(np.concatenate([invertible(x), np.eye(2)], axis=1), mode="r"),
        (2, 2),
        ulps=3,
    ),
    op(
        "lstsq",
        lambda x, y: np.linalg.lstsq(np.concatenate([invertible(x), np.eye(2)]), np.sign(y), rcond=None)[:2],
        (2, 2),
        (4, 2),
        ulps=8,
    ),
    op("pinv", lambda x: np.linalg.pinv(np.concatenate([invertible(x), np.eye(2)], axis=1)), (2, 2), ulps=4),
    op("cholesky", lambda x: np.linalg.cholesky(definite(x)), Q, ulps=3),
    op("cholesky upper", lambda x: np.linalg.cholesky(definite(x), upper=True), Q, ulps=3),
    op("eigh", lambda x: [abs(y) for y in np.linalg.eigh(definite(x)[:2, :2])], Q, ulps=4),
    op("eigvalsh", lambda x: np.linalg.eigvalsh(np.sign(x[:2, :2]) + np.eye(2) * [2, 0.5], "U"), Q, ulps=4),
    op(
        "svd",
        lambda x: [abs(y) for y in np.linalg.svd(np.concatenate([invertible(x), np.eye(2)[:1]]))],
        (2, 2),
        ulps=12,
    ),
    op(
        "svdvals",
        lambda x: np.linalg.svdvals(np.concatenate([invertible(x), np.eye(2)[:, :1]], axis=1)),
        (2, 2),
        ulps=4,
    ),
    op(
        "polyfit",
        lambda x, y: np.polyfit(np.sign(x) * 0.5 + np.array([0.5, 1, 2, 4, -1.5, -3]), y, 2),
        (6,),
        (6,),
        ulps=16,
    ),
    op("polyfit of public", lambda y: np.polyfit([0, 1, 2, 3], y, 1), (4, 2), ulps=4),
    op(
        "matrix_rank",
        lambda x: np.linalg.matrix_rank(np.stack([invertible(x), np.outer([1, 2], [3, 1]) + 0 * x])),
        (2, 2),
    ),
]


def away(x: Any) -> Any:
    """x moved away from zero, to |x| ≥ 1."""
    return np.where(x > 0, x + 1, x - 1)


REAL = [
    op("divide", lambda x, y: x / away(y), A, A, ulps=1.2),
    op("divide, broadcast", lambda x, y: x / away(y), (3, 1), (1, 4), ulps=1.2),
    op("divide scalars", lambda x, y: x / away(y), S, S, ulps=1.2),
    op("divide itself", lambda x: away(x) / away(x), A, ulps=1.2),
    op("reals /", lambda x: PI / away(x), A, ulps=1.8),
    op("1 /", lambda x: 1 / away(x), A, ulps=1.2),
    op("reciprocal", lambda x: np.reciprocal(away(x) * 1.0), A, ulps=1.2),
    op("divide, empty", lambda x, y: x[:0] / away(y[:0]), A, A),
    op("sqrt", lambda x: np.sqrt(abs(x)), A, ulps=1.2),
    op("1 / sqrt", lambda x: 1 / np.sqrt(abs(x) + 1), A, ulps=2.2),
    op("x.std", lambda x: (5 * x).std(), B, ulps=20),
    op("std 0", lambda x: np.std(5 * x, axis=0, ddof=1, keepdims=True), (9, 2), ulps=30),
    op("exp", lambda x: np.exp(np.minimum(x, 1)), A, ulps=4),
    op("exp of less", lambda x: np.exp(-abs(x)), B, ulps=2.1),
    op("exp2", lambda x: np.exp2(np.minimum(x, 1)), A, ulps=4),
    op("expm1", lambda x: np.expm1(-abs(x)), A, ulps=2.1),
    op("log", lambda x: np.log(abs(x) + 1), A, ulps=1.3),
    op("log2", lambda x: np.log2(abs(x) + 0.5), A, ulps=1.3),
    op("log10", lambda x: np.log10(abs(x) + 1), A, ulps=1.3),
    op("log1p", lambda x: np.log1p(abs(x)), S, ulps=1.3),
    op("tanh", np.tanh, A, ulps=2.9),
    op("exp, empty", lambda x: np.exp(x[:0]), A),
    *(
        op(f"power {a}", lambda x, a=a: (abs(x) + 1.0) ** a, A, ulps=u)
        for a, u in ((-1, 1.2), (-2, 3.2), (0.5, 1.2), (-0.5, 1.2), (0.3, 4), (-1.7, 4))
    ),
    op("power, exponents", lambda x: (abs(x) + 1.0) ** np.array([0.3, -0.5, 0, -1.25]), A, ulps=4),
    op("public base", lambda x: 2.0 ** -abs(x), A, ulps=2.1),
    op("small public base", lambda x: 0.3 ** abs(x), A, ulps=2.1),
]
QUOTIENTS = [
    op("// 7", lambda x: whole(x) // 7, A),
    op("% -10", lambda x: whole(x) % -10, A),
    op("divmod 3", lambda x: divmod(x, 3), A),
    op("% 0.7", lambda x: x % 0.7, A, ulps=1),
    op("// secret", lambda x, y: x // away(y), A, V),
    op("% secret", lambda x, y: (3 * x) % away(y), A, V),
]
TRIGONOMETRY = [
    op("sin", np.sin, A, ulps=1.3),
    op("tan", lambda x: np.tan(np.clip(x, -1, 1)), A, ulps=3),
    op("arcsin", lambda x: np.arcsin(np.clip(x, -1, 1)), A, ulps=1.3),
    op("arctan2", np.arctan2, A, V, ulps=1.3),
]
POWERS = [
    op("x ** y", lambda x, y: (abs(x) * 0.25 + 1.0) ** np.clip(y, -1, 1), A, V, ulps=8),
    op("<< secret", lambda x, y: np.clip(whole(x), -9, 9) << small(y), A, V),
    op(">> secret", lambda x, y: whole(x) >> small(y), A, V),
    op("bitwise_count", lambda x: np.bitwise_count(whole(x)), A),
]
POSITIVE = np.array([[3, 1, 2, 5], [1, 4, 2, 1], [2, 2, 1, 3]])
SURFACE = [
    op("sum, where", lambda x: np.sum(x, axis=1, where=MASK), A),
    op("sum, secret where", lambda x: np.add.reduce(x, 1, None, None, False, 3, x > 0), A),
    op("sum of none", lambda x: x.sum(axis=()), A),
    op("max, where", lambda x: x.max(axis=(0, 1), where=x > -1, initial=-1, keepdims=True), (2, 3, 2)),
    op("min of several", lambda x: np.min(a=x, axis=(0, -1)), B),
    op("ptp of all", lambda x: np.ptp(x, (1, 0)), A),
    op("min, initial", lambda x: x.min(initial=0, axis=0), A),
    op("max of none", lambda x: np.max(x[:0], axis=0, initial=2), A),
    op("prod of several", lambda x: np.prod(x, axis=(0, 2)), (2, 2, 2), ulps=22),
    op("prod of none", lambda x: np.prod(x[:0], axis=0), A),
    op("prod, initial", lambda x: x.prod(axis=0, initial=2), (2, 3), ulps=2),
    op("any, where", lambda x: np.any(x > 1, axis=0, where=MASK), A),
    op("all, where", lambda x: np.all(x > 1, axis=1, where=MASK), A),
    op("mean, where", lambda x: np.mean(x, axis=1, where=MASK), A, ulps=3),
    op("var, where", lambda x: x.var(axis=1, where=MASK), A, ulps=24),
    op("std, correction", lambda x: (5 * x).std(axis=(0, 1), ddof=1), (5, 2, 2), ulps=30),
    op("average, secret weights", lambda x, y: np.average(x, axis=1, weights=abs(y) + 1), A, V, ulps=3),
    op(
        "average, weights of each",
        lambda x: np.average(x, axis=0, weights=POSITIVE, keepdims=True),
        A,
        ulps=5,
    ),
    op(
        "average, several axes",
        lambda x: np.average(x, axis=(1, 2), weights=POSITIVE, returned=True)[0],
        B,
        ulps=5,
    ),
    op("median of several", lambda x: np.median(x, axis=(0, 1)), (3, 2, 2), ulps=3),
    *(
        op(
            f"quantile, {method}",
            lambda x, method=method: np.quantile(a=x, q=[0, 0.3, 0.5], method=method),
            (7,),
            ulps=3,
        )
        for method in ("lower", "nearest", "midpoint", "hazen", "closest_observation")
    ),
    op("astype bool", lambda x: x.astype(bool), A),
    op("astype int", lambda x: np.astype(x, int), A),
    op("astype float", lambda x: (x > 0).astype(float), A),
    op("sum, dtype", lambda x: np.sum(x, 0, float), A),
    op("add, dtype", lambda x: np.add(x > 0, x > 1, dtype=int), A),
    op("full_like", lambda x: np.full_like(x, 3, shape=(2,)), A),
    op("full_like, secret", np.full_like, A, S),
    op("imag", np.imag, V),
    op("concatenate, dtype", lambda x: np.concatenate([x, x], axis=1, dtype=float), A),
    op(
        "names",
        lambda x: np.tile(A=np.swapaxes(a=np.repeat(a=x, repeats=2, axis=0), axis1=0, axis2=1), reps=2),
        A,
    ),
    op("order F", lambda x: x.reshape(6, 2, order="F").flatten("F"), A),
    op("trace, axes", lambda x: np.trace(x, 1, 2, 0), B),
    op("pad", lambda x: np.pad(x, ((1, 0), (2, 1)), constant_values=2), A),
    op("pad, reflect", lambda x: np.pad(x, 2, "reflect"), A),
    op("insert", lambda x, y: np.insert(x, 1, y, axis=1), A, (3,)),
    op("block", lambda x, y: np.block([[x, y], [PUBLIC, x]]), A, A),
    op("unstack", lambda x: list(np.unstack(x, axis=1)), A),
    op("broadcast_arrays", lambda x, y: list(np.broadcast_arrays(x, y)), A, V),
    op("meshgrid", lambda x, y: list(np.meshgrid(x, y)), V, (2,)),
    op("diff, ends", lambda x: np.diff(x, prepend=1, append=x[:, :1]), A),
    op("ediff1d", lambda x: np.ediff1d(x, [9], 8), A),
    op("select", lambda x, y: np.select([x > 1, x > 0, MASK], [y, 5, x]), A, A),
    op("choose", lambda x, y: np.choose(x > 0, [y, 7]), A, V),
    op("choose, public", lambda x, y: np.choose([0, 1, 1, 0], [x, y]), V, S),
    op("isclose", lambda x, y: np.isclose(x, np.where(y > 0, x, y)), A, A),
    op("isclose, wide", lambda x, y: np.isclose(x, y, rtol=0.01, atol=1), A, A),
    op("allclose", lambda x: np.allclose(x, x * 1), A),
    op("array_equal", lambda x, y: np.array_equal(x, np.where(y > 9, y, x)), A, A),
    op("array_equiv", lambda x: np.array_equiv(x, x[:1]), A),
    op("fmin, fmax", lambda x, y: np.fmax(np.fmin(x, y), -1), A, V),
    op("signbit", np.signbit, A),
    op("copysign", np.copysign, A, V),
    op("heaviside", lambda x: np.heaviside(x, 0.5), A),
    op("hypot", np.hypot, A, V, ulps=2),
    op("logaddexp", np.logaddexp, A, V, ulps=4),
    op("logaddexp2", lambda x: np.logaddexp2(x, 1), A, ulps=4),
    op("logaddexp.reduce", lambda x: np.logaddexp.reduce(x, axis=0), (3, 2), ulps=8),
    op("&.reduce", lambda x: np.bitwise_and.reduce(x > -1, axis=1), A),
    op("^.reduce", lambda x: np.bitwise_xor.reduce(whole(x)), (5,)),
    op("outer of sums", np.add.outer, V, (2,)),
    op("fmax.accumulate", np.fmax.accumulate, (5,)),
    op("dot, three axes", np.dot, B, (2, 4, 3), ulps=1),
    op("inner, three axes", np.inner, B, A, ulps=1),
    op("dot, public", lambda x: np.dot(PUBLIC, x), (2, 4, 2)),
    op("nan_to_num", np.nan_to_num, V),
    op("nanmean", np.nanmean, V, ulps=3),
    op("linspace", lambda x: np.linspace(x, 2, 5, axis=1), V, ulps=5),
    op("einsum, lists", lambda x, y: np.einsum(x, [0, 1], y, [2, 1], [2, 0]), A, (2, 4), ulps=1),
    op("round(x)", lambda x: np.round(x, 1) if isinstance(x, np.ndarray) else round(x, 1), A, ulps=3),
]
OPERATIONS = [
    *SURFACE,
    *ARITHMETIC,
    *COMPARISON,
    *REAL,
    *QUOTIENTS,
    *TRIGONOMETRY,
    *POWERS,
    *INTEGERS,
    *SELECTION,
    *ORDERS,
    *LINALG,
    *COMPOSED,
    *PUBLIC_OPERANDS,
    *PRODUCTS,
    *REDUCTIONS,
    *INDEXING,
    *STRUCTURE,
    *(
        op(
            f"einsum {text}",
            lambda *xs, text=text: np.einsum(text, *xs),
            *shapes,
            ulps=(0, 1, 8)[len(shapes) - 1],
        )
        for text, shapes in EINSUMS.items()
    ),
]


def operands(shapes: tuple[tuple[int, ...], ...], fraction: int, seed: int) -> list[np.ndarray]:
    """Integers in [-9, 9], or multiples of 2^-fraction in [-2, 2]."""
    rng = np.random.default_rng(seed)
    if not fraction:
        return [rng.integers(-9, 10, shape) for shape in shapes]
    return [rng.integers(-2 << fraction, (2 << fraction) + 1, shape) / 2.0**fraction for shape in shapes]


def flat(result: Any) -> list[Any]:
    return list(result) if isinstance(result, list | tuple) else [result]
