"""Einstein sums of two operands as one matrix product between local rearrangements.

Every index is in one of four classes: in both operands and the result (batch), in both and summed
(inner), or in one operand and the result (rows, columns).  With the operands arranged as
batch × rows × inner and batch × inner × columns, the sum is a matrix product.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mpc.ring import NDArray, Shape
from protocols.bilinear import MATMUL, MULTIPLY, Bilinear


@dataclass(frozen=True, slots=True)
class Plan:
    """f(arrange_x(x), arrange_y(y)), then ``finish``."""

    f: Bilinear
    arrange_x: Callable[[NDArray], NDArray]
    arrange_y: Callable[[NDArray], NDArray]
    finish: Callable[[NDArray], NDArray]
    shape: Shape


def plan(subscripts: str, x: Shape, y: Shape) -> Plan:
    """How to compute ``np.einsum(subscripts, x, y)``; a ``ValueError`` where NumPy has one."""
    text = subscripts.replace(" ", "")
    if "." in text:
        raise NotImplementedError("einsum with an ellipsis on secrets")
    inputs, arrow, out = text.partition("->")
    if inputs.count(",") != 1:
        raise ValueError("einsum: the subscripts do not name two operands")
    left, right = inputs.split(",")
    if len(left) != len(x) or len(right) != len(y):
        raise ValueError(f"einsum: '{text}' does not fit operands of {len(x)} and {len(y)} axes")
    if not arrow:
        out = "".join(sorted(c for c in set(left + right) if (left + right).count(c) == 1))
    sizes: dict[str, int] = {}
    for label, n in zip(left + right, (*x, *y), strict=True):
        if sizes.setdefault(label, n) != n:
            raise ValueError(f"einsum: index '{label}' has lengths {sizes[label]} and {n}")
    if not set(out) <= set(left + right) or len(set(out)) != len(out):
        raise ValueError(f"einsum: the result's indices in '{text}' are not those of the operands, once each")

    batch = [c for c in out if c in left and c in right]
    rows = [c for c in out if c in left and c not in right]
    columns = [c for c in out if c in right and c not in left]
    inner = [c for c in sizes if c in left and c in right and c not in out]

    def volume(labels: list[str]) -> int:
        return math.prod(sizes[c] for c in labels)

    def arrange(own: str, order: list[str], shape: Shape) -> Callable[[NDArray], NDArray]:
        return lambda a: np.asarray(np.einsum(f"{own}->{''.join(order)}", a)).reshape(shape)

    head = (volume(batch),) if batch else ()
    m, k, n = volume(rows), volume(inner), volume(columns)
    final = tuple(sizes[c] for c in out)
    made = batch + rows + columns
    turn = [made.index(c) for c in out]
    return Plan(MATMUL if inner else MULTIPLY,
                arrange(left, batch + rows + inner, (*head, m, k)),
                arrange(right, batch + inner + columns, (*head, k, n)),
                lambda z: z.reshape([sizes[c] for c in made]).transpose(turn), final)
