"""The kernels of ``protocols/privacy`` equal their NumPy twins, at sizes around their blocks."""

from __future__ import annotations

import numpy as np
import pytest

from protocols.privacy import kernels

SIZES = [0, 1, 2, 31, 32, 33, 64, 1000]


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
def test_round_at_random(size: int, dtype: type) -> None:
    rng = np.random.default_rng(size)
    x = rng.normal(size=size).astype(dtype)
    x[:6] = [0, -1e-30, 1e-30, -3, 100, -100][:size]  # −1e-30 − ⌊−1e-30⌋ rounds to 1
    words = rng.integers(0, 2**64 - 1, size, np.uint64, endpoint=True)
    out = np.empty(size, np.int64)
    squares = kernels.round_at_random(x, 3.5, 20.25, words, out)
    y = np.clip(x.astype(np.float64) * 3.5, -20.25, 20.25)
    low = np.floor(y)
    chance = np.minimum(y - low, 1 - 2.0**-53)
    twin = low.astype(np.int64) + (words < (chance * 2.0**64).astype(np.uint64))
    assert (out == twin).all() and squares == (twin**2).sum()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_squares(size: int, dtype: type) -> None:
    x = np.random.default_rng(size).normal(size=size).astype(dtype)
    assert kernels.squares(x) == pytest.approx(float((x.astype(np.float64) ** 2).sum()), rel=1e-13)


@pytest.mark.parametrize("power", [0, 1, 2, 5, 11, 12, 13, 14])
def test_hadamard(power: int) -> None:
    x = np.random.default_rng(power).integers(-1000, 1000, 2**power).astype(np.float64)
    twin = x.reshape((2,) * power)
    for axis in range(power):
        a, b = np.take(twin, 0, axis), np.take(twin, 1, axis)
        twin = np.stack([a + b, a - b], axis)
    kernels.hadamard(x)
    assert (x == twin.ravel()).all()  # whole numbers: no rounding


def test_hadamard_is_the_matrix_it_says() -> None:
    rows = np.eye(64)
    for row in rows:
        kernels.hadamard(row)
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
