"""The two products everything else is made of: elementwise with broadcasting, and of matrices.

A bilinear map is a value, not a function, so that it can be named in a request to whoever makes triples.
``outer`` is an elementwise product of broadcast shapes, ``dot`` and ``einsum`` are matrix products
between local transpositions (``protocols/ops/einsum.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpc.ring import RingArray, Shape, Spec


@dataclass(frozen=True, slots=True)
class Bilinear:
    """A map that is linear in each of its two arguments."""

    name: str

    def __call__(self, x: RingArray, y: RingArray) -> RingArray:
        return x * y if self.name == "multiply" else x @ y

    def shape(self, x: Shape, y: Shape) -> Shape:
        """The shape of f(x, y); a ``ValueError`` in NumPy's words where the operands do not fit."""
        if self.name == "multiply":
            return x if x == y else np.broadcast_shapes(x, y)
        return _matmul_shape(x, y)

    def spec(self, x: Spec, y: Spec) -> Spec:
        return Spec(x.ring, self.shape(x.shape, y.shape))


def _matmul_shape(x: Shape, y: Shape) -> Shape:
    if not x or not y:
        raise ValueError("np.matmul: a scalar operand; use * instead")
    rows, columns = x[:-1][-1:], y[-1:] if len(y) > 1 else ()
    inner = y[-2] if len(y) > 1 else y[0]
    if x[-1] != inner:
        raise ValueError(f"np.matmul: shapes {x} and {y} do not fit: {x[-1]} columns and {inner} rows")
    return (*np.broadcast_shapes(x[:-2], y[:-2]), *rows, *columns)


MULTIPLY, MATMUL = Bilinear("multiply"), Bilinear("matmul")
