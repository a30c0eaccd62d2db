"""Every Numba kernel equals its NumPy twin: words of both sizes and pairs of them, and sizes around its
blocks of 4 and 256.
"""

from __future__ import annotations

import ast
import inspect
from types import ModuleType

import conftest
import numpy as np
import pytest

from mpc import kernels, limb_kernels, limbs
from mpc.bits import unpacked, words_for
from mpc.ring import BITS, Z32, Z64, Z128, Ring, RingArray, cross, muladd, narrowest
from protocols import monomials, truncation
from protocols.ot import limb_kernels as ot_limb_kernels
from protocols.ot import (
    matrix_kernels,
    product_kernels,
    row_kernels,
    silent_kernels,
    switch_kernels,
    tree_kernels,
)

WORDS = [np.uint64, np.uint32]
SIZES = [
    (0, 0, 0),
    (0, 3, 2),
    (3, 0, 2),
    (3, 2, 0),
    (1, 1, 1),
    (1, 7, 5),
    (3, 4, 4),
    (4, 4, 4),
    (5, 3, 1),
    (6, 1, 9),
    (7, 2, 3),
    (4, 255, 257),
    (5, 256, 256),
    (3, 257, 255),
    (8, 511, 3),
    (9, 3, 513),
    (258, 5, 6),
    (2, 513, 512),
]


def twin(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(np.matmul(a, b))


def draw(shape: tuple[int, int], word: type, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(word).max, shape, word, endpoint=True)


def elements(ring: Ring, shape: tuple[int, ...], seed: int) -> RingArray:
    return RingArray(ring, conftest.words(ring, shape, seed))


def words(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, shape, dtype=np.uint64)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(("m", "k", "n"), SIZES)
def test_matmul(m: int, k: int, n: int, word: type) -> None:
    a, b = draw((m, k), word, 1), draw((k, n), word, 2)
    mine = kernels.matmul(a, b)
    assert mine.dtype == word and mine.shape == (m, n)
    assert (mine == twin(a, b)).all()


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(("m", "k", "n"), [(32, 16, 48), (34, 64, 32), (33, 32, 32)])
def test_matmul_by_quadrants(monkeypatch: pytest.MonkeyPatch, m: int, k: int, n: int, word: type) -> None:
    monkeypatch.setattr(kernels, "STRASSEN", 16)
    a, b = draw((m, k), word, 1), draw((k, n), word, 2)
    assert (kernels.matmul(a, b) == twin(a, b)).all()


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


@pytest.mark.parametrize("ring", [Z32, Z64, Z128, BITS], ids=str)
@pytest.mark.parametrize("shape", [(0,), (1,), (7, 300), (4096,)])
def test_sums_of_products_in_one_pass_equal_their_twin(ring: Ring, shape: tuple[int, ...]) -> None:
    a, b, c, d, e = (elements(ring, shape, seed) for seed in range(5))
    expected = a * b + c * d + e
    out = (kernels.muladd_bits if ring is BITS else ring.kernels.muladd)(
        a.data, b.data, c.data, d.data, e.data
    )
    assert out.dtype == ring.dtype and (out == expected.data).all()
    assert (muladd(a, b, c, d, e).data == expected.data).all()
    turned = [x.map(np.transpose) for x in (a, b, c, d, e)]
    assert (muladd(*turned).data == expected.data.T).all()


@pytest.mark.parametrize("ring", [Z32, Z64, Z128, BITS], ids=str)
@pytest.mark.parametrize("shape", [(0,), (1,), (7, 300), (4096,)])
def test_cross_terms_in_one_pass_equal_their_twin(ring: Ring, shape: tuple[int, ...]) -> None:
    x0, x1, y0, y1, plus, minus = (elements(ring, shape, seed) for seed in range(6))
    expected = x0 * (y0 + y1) + x1 * y0 + plus - minus
    out = (kernels.cross_bits if ring is BITS else ring.kernels.cross)(
        x0.data, x1.data, y0.data, y1.data, plus.data, minus.data
    )
    assert out.dtype == ring.dtype and (out == expected.data).all()
    assert (cross(x0, x1, y0, y1, plus, minus).data == expected.data).all()


@pytest.mark.parametrize("ring", [Z32, Z64, Z128], ids=str)
@pytest.mark.parametrize("shape", [(1,), (64,), (2, 65), (3, 300)])
def test_flipped_numbers_equal_their_twin(ring: Ring, shape: tuple[int, ...]) -> None:
    x, bits = elements(ring, shape, 1), words((*shape[:-1], words_for(shape[-1])), 2)
    bit = unpacked(BITS(bits), ring, shape[-1])
    for add in (1, 2):
        expected = x - bit * (x + x) + bit * ring(add - 1)
        assert (ring.kernels.flipped(x.data, bits, add) == expected.data).all()
        assert (ring.flipped(x.data, bit.data, add) == expected.data).all()


@pytest.mark.parametrize("shape", [(0,), (1,), (7, 30), (700,)])
def test_numbers_of_two_words_equal_their_twins(shape: tuple[int, ...]) -> None:
    """Each with each, and with one for all, which is not made an array of."""
    x, y, one = (elements(Z128, s, seed).data for seed, s in enumerate((shape, shape, ())))
    for name in ("add", "sub", "mul"):
        compiled, plain = getattr(limb_kernels, name), getattr(limbs, name)
        for a, b in ((x, y), (x, one), (one, x), (x, one.reshape(1)), (x.T, y[::-1].T), (one, one)):
            out = compiled(a, b)
            assert (
                out.dtype == limbs.DTYPE
                and out.shape == np.broadcast_shapes(a.shape, b.shape)
                and (out == plain(a, b)).all()
            )
    assert (limb_kernels.neg(x) == limbs.neg(x)).all()


@pytest.mark.parametrize(("m", "k", "n"), SIZES)
def test_matmul_of_two_words(m: int, k: int, n: int) -> None:
    a, b = elements(Z128, (m, k), 1).data, elements(Z128, (k, n), 2).data
    assert (limb_kernels.matmul(a, b) == limbs.matmul(a, b)).all()
    assert (limb_kernels.matmul(b.T, a.T) == limbs.matmul(a, b).T).all()


@pytest.mark.parametrize("k", [32, 64, 128])
@pytest.mark.parametrize("w", [1, 7, 256, 300])
def test_blocks_equal_their_twins(k: int, w: int) -> None:
    """Monomials, with all of them or one block without, and what is made of shares of them."""
    n, mask = k // 4, words((15 * k // 4, w), 1)
    bits, mine = words((k, w), 2), words((k, w), 3)
    for whole, first, complement, rows in (
        (n - 1, True, False, 2),
        (n - 1, False, False, 2),
        (n, True, True, 1),
        (n, False, True, 1),
    ):
        size = 7 * n + 8 * whole + n - whole
        shared = mask[:size].copy()
        kernels.monomials(bits, whole, shared)
        assert (shared == monomials.with_monomials_twin(mask[:size], bits, whole)).all()
        expected = monomials.evaluated_twin(shared, mine, whole, first, complement, rows)
        assert (kernels.evaluate(shared, mine, whole, first, complement, rows) == expected).all()


@pytest.mark.parametrize(
    ("ring", "bits"),
    [
        (ring, bits)
        for ring in (Z32, Z64, Z128)
        for bits in (1, 13, 30, 33, 62, 63, 64)
        if bits < ring.bits - 1
    ],
    ids=str,
)
def test_quotients_equal_their_twins(ring: Ring, bits: int) -> None:
    small = narrowest(bits, ring)
    (term, x), (e, s) = (
        [elements(r, (300,), seed) for seed in seeds] for r, seeds in ((ring, (1, 2)), (small, (3, 4)))
    )
    moved = term + ring(truncation.offset(ring))
    for after in (0, truncation.correction(bits, ring)):
        rest, head = ring.kernels.split_quotient(
            term.data, truncation.offset(ring), after, bits, x.data, e.data
        )
        assert (rest == (truncation.quotient(moved, bits) + ring(after) - x).data).all()
        assert (head == (truncation.top(moved, small) - e).data).all()
    whole, masked = ring.kernels.masked_quotient(
        term.data, truncation.correction(bits, ring), bits, e.data, s.data
    )
    assert (whole == (truncation.quotient(term, bits) + ring(truncation.correction(bits, ring))).data).all()
    assert (masked == (e * truncation.top(term, small) - s).data).all()
    assert (
        ring.kernels.plus_shifted(x.data, s.data, ring.bits - bits)
        == (x + (ring(s.data) << (ring.bits - bits))).data
    ).all()


# -- nothing branches on a secret ------------------------------------------------------------------------

#: Its owner alone sets the switches, and ``networks`` says that their setting shows in the time it takes.
TIMED = {"set_switches"}


@pytest.mark.parametrize(
    "module",
    [
        kernels,
        limb_kernels,
        ot_limb_kernels,
        silent_kernels,
        matrix_kernels,
        product_kernels,
        row_kernels,
        switch_kernels,
        tree_kernels,
    ],
)
def test_no_loop_branches_on_what_it_reads(module: ModuleType) -> None:
    """Only on sizes, places and options, which are public."""
    functions = [f for f in ast.parse(inspect.getsource(module)).body if isinstance(f, ast.FunctionDef)]
    loops = [f for f in functions if any("njit" in ast.unparse(d) for d in f.decorator_list)]
    assert loops
    for loop in loops:
        tests = [n.test for n in ast.walk(loop) if isinstance(n, ast.If | ast.While | ast.IfExp)]
        reading = [ast.unparse(t) for t in tests if any(isinstance(n, ast.Subscript) for n in ast.walk(t))]
        assert loop.name in TIMED or not reading, (loop.name, reading)


def test_numbers_of_two_words_are_chosen_by_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    """``np.where`` takes one way or the other for each element:
    the sign of an input would show in the time.
    """

    def refused(*_: object) -> None:
        raise AssertionError("np.where on secrets")

    values = np.array([0, -1, 1, -(2**62), 2**63 - 1])
    x = Z128(values)
    monkeypatch.setattr(np, "where", refused)
    assert (x.ring.signed(x.data) == values).all() and (x.ring.doubles(x.data) == values.astype(float)).all()
    assert (Z128.whole(values.astype(float)).ring.doubles(x.data) == values.astype(float)).all()
    assert (
        Z128.flipped(x.data, Z128([0, 1, 1, 0, 1]).data, 1) == Z128([0, 1, -1, -(2**62), 1 - 2**63]).data
    ).all()
