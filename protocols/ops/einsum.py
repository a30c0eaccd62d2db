"""Einstein sums of two operands as one matrix product between local rearrangements, and of more in pairs.

Every index is in one of four classes: in both operands and the result (batch), in both and summed
(inner), or in one operand and the result (rows, columns).  With the operands arranged as
batch × rows × inner and batch × inner × columns, the sum is a matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import ascii_letters, ascii_lowercase, ascii_uppercase
from typing import Any

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


def parsed(operands: Sequence[Any]) -> tuple[list[str], str, list[Any]]:
    """The indices of each operand and of the result, a letter each, from NumPy's two forms;
    and the operands.
    """
    first, *rest = operands
    if isinstance(first, str):
        inputs, arrow, out = first.replace(" ", "").partition("->")
        terms, arrays = inputs.split(","), rest
    else:
        n = len(operands) // 2
        arrays, terms = list(operands[: 2 * n : 2]), [_letters(x) for x in operands[1 : 2 * n : 2]]
        arrow, out = (">", _letters(operands[-1])) if len(operands) % 2 else ("", "")
    if len(terms) != len(arrays):
        raise ValueError(f"np.einsum: the subscripts name {len(terms)} operands, and there are {len(arrays)}")
    several = [_beyond(term, np.ndim(x)) for term, x in zip(terms, arrays, strict=True)]
    free = [c for c in ascii_letters if not any(c in term for term in (*terms, out))]
    broadcast = "".join(free[: max(several, default=0)])
    left = [
        term.replace("...", broadcast[len(broadcast) - n :]) for term, n in zip(terms, several, strict=True)
    ]
    if not arrow:
        named = "".join(terms).replace(".", "")
        out = "..." + "".join(sorted(c for c in set(named) if named.count(c) == 1))
    if broadcast and "..." not in out:
        raise ValueError("np.einsum: the result has no place for the axes that an ellipsis stands for")
    return left, out.replace("...", broadcast), arrays


def _letters(labels: Any) -> str:
    """Of a list of integers, which NumPy orders as capitals and small letters."""
    letters = ascii_uppercase + ascii_lowercase
    if not isinstance(labels, list | tuple) or not all(
        x is ... or (isinstance(x, int) and 0 <= x < len(letters)) for x in labels
    ):
        raise TypeError(
            "np.einsum takes a string of subscripts, or after each operand a list of integers from 0 to 51"
        )
    return "".join("..." if x is ... else letters[x] for x in labels)


def _beyond(term: str, axes: int) -> int:
    """How many axes an ellipsis stands for."""
    labels, n = term.replace("...", "", 1), axes - len(term.replace("...", "", 1))
    if n < 0 or not labels.isascii() or not (labels.isalpha() or not labels) or (n and "..." not in term):
        raise ValueError(f"np.einsum: '{term}' does not fit an operand of {axes} axes")
    return n if "..." in term else 0


def order(left: Sequence[str], out: str, shapes: Sequence[Shape]) -> list[tuple[int, int]]:
    """Which two operands to put together first, and so on, each time to the end of the list; or NumPy's
    ``ValueError``.
    """
    placeholders = [np.broadcast_to(0.0, shape) for shape in shapes]
    path = np.einsum_path(f"{','.join(left)}->{out}", *placeholders, optimize="greedy")[0][1:]
    pairs, n = [], len(left)
    for step in path:
        several = sorted(step)
        while len(several) > 1:
            i, j, *rest = several
            pairs.append((i, j))
            n -= 1
            several = [*(k - (k > i) - (k > j) for k in rest), n - 1]
    return pairs


def plan(subscripts: str, x: Shape, y: Shape) -> Plan:
    """How to compute ``np.einsum(subscripts, x, y)``;
    an axis of length 1 beside a longer one is broadcast.
    """
    inputs, _, out = subscripts.partition("->")
    left, right = inputs.split(",")
    sizes: dict[str, int] = {}
    for label, n in zip(left + right, (*x, *y), strict=True):
        sizes[label] = n if sizes.get(label, 1) == 1 else sizes[label]
    own_left, own_right = left, right
    left, right = (
        "".join(c for c, n in zip(own, shape, strict=True) if n == sizes[c])
        for own, shape in ((left, x), (right, y))
    )

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
    return Plan(
        MATMUL if inner else MULTIPLY,
        arrange(own_left, batch + rows + inner, (*head, m, k)),
        arrange(own_right, batch + inner + columns, (*head, k, n)),
        lambda z: z.reshape([sizes[c] for c in made]).transpose(turn),
        final,
    )
