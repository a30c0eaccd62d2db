"""The kernels of ``protocols/privacy`` equal their NumPy twins, at sizes around their blocks; of three of
them the twin is what short vectors take (``loops``).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from protocols.privacy import kernels, loops

SIZES = [0, 1, 2, 31, 32, 33, 64, 1000]


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever other tests have loaded, few numbers are left to NumPy."""
    monkeypatch.setattr(loops, "worth_compiling", lambda size, small: size >= small)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("levels", [1, 2, 5, 11])
def test_search(size: int, levels: int) -> None:
    rng = np.random.default_rng(size + levels)
    floors = np.sort(rng.integers(0, 50, 2**levels - 1, np.uint64))
    floors[-1] = 2**64 - 1
    words = rng.integers(0, 52, size, np.uint64)
    words[:1] = 2**64 - 1
    out = np.empty(size, np.int64)
    undecided = kernels.search(floors, words, out)
    assert (out == np.searchsorted(floors, words)).all()
    assert undecided == np.isin(words, floors).sum()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_round_at_random(size: int, dtype: type, asleep: None) -> None:
    rng = np.random.default_rng(size)
    x = rng.normal(size=size).astype(dtype)
    x[:6] = [0, -1e-30, 1e-30, -3, 100, -100][:size]  # −1e-30 − ⌊−1e-30⌋ rounds to 1
    words = rng.integers(0, 2**64 - 1, size, np.uint64, endpoint=True)
    out = np.empty(size, np.int64)
    squares = kernels.round_at_random(x, 3.5, 20.25, words, out)
    twin = np.empty(size, np.int64)
    assert squares == loops.round_at_random(x, 3.5, 20.25, words, twin) == sum(int(k) ** 2 for k in twin)
    assert (out == twin).all()
    assert (abs(twin - np.clip(x.astype(np.float64) * 3.5, -20.25, 20.25)) <= 1).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_squares(size: int, dtype: type, asleep: None) -> None:
    x = np.random.default_rng(size).normal(size=size).astype(dtype)
    expected = pytest.approx(math.fsum(float(number) ** 2 for number in x), rel=1e-13)
    assert kernels.squares(x) == expected and loops.squares(x) == expected


@pytest.mark.parametrize("power", [0, 1, 2, 5, 11, 12, 13, 14])
def test_hadamard(power: int, asleep: None) -> None:
    x = np.random.default_rng(power).integers(-1000, 1000, 2**power).astype(np.float64)
    twin = x.copy()
    kernels.hadamard(x)
    loops.hadamard(twin)
    assert (x == twin).all()  # whole numbers: no rounding


@pytest.mark.parametrize("hadamard", [kernels.hadamard, loops.hadamard])
def test_hadamard_is_the_matrix_it_says(hadamard: Callable[[np.ndarray], None], asleep: None) -> None:
    rows = np.eye(64)
    for row in rows:
        hadamard(row)
    i, j = np.arange(64)[:, None], np.arange(64)
    assert (rows == (-1.0) ** np.bitwise_count(i & j)).all()


@pytest.mark.parametrize("shape", [(0,), (1,), (2, 3), (64,), (65,), (3, 50)])
@pytest.mark.parametrize("cells", [2, 256])
def test_lookup(shape: tuple[int, ...], cells: int) -> None:
    rng = np.random.default_rng(cells)
    rows, words = (
        rng.integers(0, 2, (7, cells), np.uint8),
        rng.integers(0, 2**64 - 1, (cells, *shape), np.uint64, endpoint=True),
    )
    twin = np.stack([np.bitwise_xor.reduce(words[row == 1], axis=0, initial=0) for row in rows])
    assert (kernels.lookup(rows, words) == twin).all()
    assert (
        kernels.lookup(rows, words[::-1])
        == np.stack([np.bitwise_xor.reduce(words[::-1][row == 1], axis=0, initial=0) for row in rows])
    ).all()
