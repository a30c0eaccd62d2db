"""Every Numba kernel equals its NumPy twin: both word sizes, and sizes around its blocks of 4 and 256."""
from __future__ import annotations

import numpy as np
import pytest

from mpc import kernels
from mpc.ring import BITS, Z32, Z64, Ring, RingArray, muladd

WORDS = [np.uint64, np.uint32]
SIZES = [(0, 0, 0), (0, 3, 2), (3, 0, 2), (3, 2, 0), (1, 1, 1), (1, 7, 5), (3, 4, 4), (4, 4, 4), (5, 3, 1), (6, 1, 9), (7, 2, 3),
         (4, 255, 257), (5, 256, 256), (3, 257, 255), (8, 511, 3), (9, 3, 513), (258, 5, 6), (2, 513, 512)]


def twin(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(np.matmul(a, b))


def draw(shape: tuple[int, int], word: type, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(word).max, shape, word, endpoint=True)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(("m", "k", "n"), SIZES)
def test_matmul(m: int, k: int, n: int, word: type) -> None:
    a, b = draw((m, k), word, 1), draw((k, n), word, 2)
    mine = kernels.matmul(a, b)
    assert mine.dtype == word and mine.shape == (m, n)
    assert (mine == twin(a, b)).all()


@pytest.mark.parametrize("word", WORDS)
def test_matmul_of_views(word: type) -> None:
    """Transposed, strided and read-only operands."""
    a, b = draw((60, 40), word, 3), draw((30, 60), word, 4)
    b.setflags(write=False)
    for x, y in ((a.T, b.T), (a[::2].T, b[:, ::2].T), (a[::-1].T, np.asfortranarray(b.T)), (b, a)):
        assert (kernels.matmul(x, y) == twin(x, y)).all()


@pytest.mark.parametrize("word", WORDS)
def test_matmul_leaves_its_operands_alone(word: type) -> None:
    a, b = draw((5, 6), word, 5), draw((6, 7), word, 6)
    kept = a.copy(), b.copy()
    kernels.matmul(a, b)
    assert (a == kept[0]).all() and (b == kept[1]).all()


def test_matmul_wraps_around() -> None:
    top = np.full((5, 5), 2**64 - 1, np.uint64)
    assert (kernels.matmul(top, top) == 5).all()


@pytest.mark.parametrize("ring", [Z32, Z64, BITS], ids=str)
@pytest.mark.parametrize("shape", [(0,), (1,), (7, 300), (4096,)])
def test_sums_of_products_in_one_pass_equal_their_twin(ring: Ring, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(shape))
    a, b, c, d, e = (RingArray(ring, rng.integers(0, 2**64, shape, dtype=np.uint64).astype(ring.dtype)) for _ in range(5))
    expected = a * b + c * d + e
    out = kernels.muladd(a.data, b.data, c.data, d.data, e.data, ring is BITS)
    assert out.dtype == ring.dtype and (out == expected.data).all()
    assert (muladd(a, b, c, d, e).data == expected.data).all()
    turned = [x.map(np.transpose) for x in (a, b, c, d, e)]
    assert (muladd(*turned).data == expected.data.T).all()
