"""What every system is asked to do: the work's name in ``mpc bench``, its data, and the same in plaintext.

Needs NumPy alone, since each system's driver imports it in that system's environment.  The data is public.
Whole numbers stay below 2^63 in all results; real numbers stay where every system's fixed point is meant to
work (truncation between two parties fails with probability |x| / 2^(k-1-f) in some, so no large products).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

Arrays = tuple[np.ndarray[Any, Any], ...]
LAYERS = (784, 128, 128, 10)


@dataclass(frozen=True)
class Work:
    """One line of the table."""

    title: str
    sizes: tuple[int, ...]
    inputs: Callable[[int], Arrays]
    plain: Callable[..., Any]
    count: Callable[[int], int] = lambda size: size  # operations in one run, for the plot
    unit: str = "elements"
    per_second: bool = False  # the table shows million per second, else seconds
    exact: bool = False  # whole numbers: any difference is a wrong result


def _integers(size: int) -> Arrays:
    """Every comparison comes out both ways, and every 64th pair is equal."""
    base = np.arange(size, dtype=np.int64)
    x = base * 7919 % 1_000_003 - 500_000
    return x, np.where(base % 64 == 63, x, base * base % 1_000_003 - 500_000)


def _matrices(size: int) -> Arrays:
    x, y = _integers(size * size)
    return x.reshape(size, size), y.reshape(size, size)


def _uniform(*ranges: tuple[float, float]) -> Callable[[int], Arrays]:
    def inputs(size: int) -> Arrays:
        draw = np.random.default_rng(1)
        return tuple(draw.uniform(low, high, size) for low, high in ranges)

    return inputs


def _quotients(size: int) -> Arrays:
    x, y = _uniform((-50, 50), (0.5, 50))(size)
    return x, y * np.where(np.arange(size) % 2, 1, -1)


def _network(batch: int) -> Arrays:
    draw = np.random.default_rng(2)
    layers: list[np.ndarray[Any, Any]] = [draw.uniform(0, 1, (batch, LAYERS[0]))]
    for fan_in, fan_out in pairwise(LAYERS):
        layers += [draw.normal(0, fan_in**-0.5, (fan_in, fan_out)), draw.normal(0, 0.1, fan_out)]
    return tuple(layers)


def mlp(relu: Callable[[Any], Any], x: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any) -> Any:
    """Two hidden layers, in whatever the arrays are arrays of."""
    return relu(relu(x @ w1 + b1) @ w2 + b2) @ w3 + b3


WORKS: dict[str, Work] = {
    "mul": Work("multiply", (1_000_000,), _integers, np.multiply, per_second=True, exact=True),
    "fxmul": Work(
        "fixed-point multiply", (1_000_000,), _uniform((-4, 4), (-4, 4)), np.multiply, per_second=True
    ),
    "lt": Work("x < y", (1_000_000,), _integers, np.less, per_second=True, exact=True),
    "matmul": Work(
        "matrix product", (1024,), _matrices, np.matmul, lambda size: size**3, "multiplications", exact=True
    ),
    "sort": Work("sort", (10_000,), lambda size: _integers(size)[1:], np.sort, exact=True),
    "div": Work("divide", (100_000,), _quotients, np.divide),
    "exp": Work("exp", (100_000,), _uniform((-8, 4)), np.exp),
    "sigmoid": Work("sigmoid", (100_000,), _uniform((-8, 8)), lambda x: 1 / (1 + np.exp(-x))),
    "rsqrt": Work("1 / sqrt", (100_000,), _uniform((0.1, 100)), lambda x: x**-0.5),
    "mlp": Work(
        "MLP 784-128-128-10",
        (1, 128),
        _network,
        lambda *arrays: mlp(lambda x: np.maximum(x, 0), *arrays),
        unit="images",
    ),
}


def worst(result: Any, expected: Any) -> float:
    """The largest difference: relative where the expected number is above one, absolute below."""
    got, want = np.asarray(result) * 1, np.asarray(expected) * 1
    if got.shape != want.shape:
        raise ValueError(f"the result has shape {got.shape} instead of {want.shape}")
    difference = np.abs(got - want).astype(np.float64)  # whole numbers are subtracted as such
    if not np.isfinite(difference).all():
        return float("inf")
    return float((difference / np.maximum(1.0, np.abs(want.astype(np.float64)))).max(initial=0.0))
