"""``mpc.local(check=True)`` names the operation and the line at which a value leaves its range, and is silent otherwise."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_suites import OPERATIONS, RINGS, operands

import mpc
from mpc.errors import RangeError

BEYOND: dict[str, tuple[Callable[[Any], Any], str]] = {
    "product": (lambda x: x * x, "np.multiply"), "power": (lambda x: x ** 3, "np.multiply"), "matmul": (lambda x: x @ x, "np.matmul"),
    "sum": (lambda x: (x + x + x).sum(), "np.add|np.sum"), "public": (lambda x: x * 2e5, "np.multiply"), "variance": (lambda x: (x * [1, -1, 1, -1, 1, 1]).var(), "np.sum|np.mean|np.multiply|np.var"),
    "cumsum": (lambda x: np.cumsum(x * 2), "np.cumsum"),
}


@pytest.mark.parametrize("name", BEYOND)
@pytest.mark.parametrize("parties", [2, 3])
def test_overflow_is_told_with_operation_and_line(name: str, parties: int) -> None:
    f, operation = BEYOND[name]
    s = mpc.local(parties, check=True)
    x = s.secret(np.full(6, 1.2e13))
    with pytest.raises(RangeError, match=rf"({operation})\b.*test_witness\.py, line \d+.*range") as caught:
        f(x)
    assert "12" not in str(caught.value).split("line")[1].split(":")[1]     # no value shows


def test_integers_too() -> None:
    x = mpc.local(3, check=True).secret([1, 2**40])
    with pytest.raises(RangeError, match=r"np\.multiply.*1 of 2 elements \(first at index \(1,\)\)"):
        x * x


def test_only_where_it_is_asked_for() -> None:
    x = mpc.local(3).secret([1.0e13])
    (x * x).reveal()
    assert (mpc.local(3, check=True).secret([3.0]) * 2).reveal() == 6


@pytest.mark.parametrize("fixed", [False, True])
def test_no_operation_within_its_range_is_suspected(fixed: bool) -> None:
    fraction = RINGS[64] if fixed else 0
    s = mpc.local(3, check=True)
    kind = mpc.Fixed(fraction) if fixed else mpc.INT
    for i, operation in enumerate(OPERATIONS):
        operation.f(*(s.secret(v, kind=kind) for v in operands(operation.shapes, fraction, i)))
