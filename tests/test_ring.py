"""The algebra of Z_2^64 and Z_2^32, the one encoding of their elements, and products of stacks."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import pytest
from conftest import whole, words
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mpc.errors import WireError
from mpc.ring import RINGS, Z32, Z64, Z128, Ring, RingArray, Spec

rings = st.sampled_from([Z64, Z32, Z128])
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@st.composite
def triples(draw: Any) -> tuple[RingArray, RingArray, RingArray]:
    """Three arrays of one shape over one ring; extreme elements are frequent."""
    ring, shape = draw(rings), draw(shapes)
    element = st.one_of(
        st.integers(0, 2**ring.bits - 1),
        st.sampled_from([0, 1, 2 ** (ring.bits - 1), 2**ring.bits - 1]),
        st.sampled_from([2 ** (ring.bits // 2) - 1, 2 ** (ring.bits // 2)]),
    )
    arrays = [draw(hnp.arrays(object, shape, elements=element)) for _ in range(3)]
    return tuple(ring(a) for a in arrays)  # type: ignore[return-value]


def same(x: RingArray, y: RingArray) -> bool:
    return (
        x.ring is y.ring
        and x.data.dtype == x.ring.dtype
        and x.shape == y.shape
        and bool((x.data == y.data).all())
    )


@given(triples())
def test_ring_axioms(abc: tuple[RingArray, RingArray, RingArray]) -> None:
    a, b, c = abc
    zero, one = a.ring.zeros(a.shape), a.ring(np.ones(a.shape, np.uint8))
    assert same((a + b) + c, a + (b + c)) and same(a + b, b + a)
    assert same((a * b) * c, a * (b * c)) and same(a * b, b * a)
    assert same(a * (b + c), a * b + a * c)
    assert same(a + zero, a) and same(a * one, a) and same(a * zero, zero)
    assert same(a + -a, zero) and same(a - b, a + -b)


@given(triples())
def test_arithmetic_is_that_of_integers_modulo_2_to_the_k(
    abc: tuple[RingArray, RingArray, RingArray],
) -> None:
    a, b, _ = abc
    x, y = whole(a), whole(b)
    modulus = 2**a.ring.bits
    for mine, expected in ((a + b, x + y), (a - b, x - y), (a * b, x * y), (-a, -x)):
        assert (whole(mine) == np.asarray(expected, object) % modulus).all()


@given(triples(), st.integers(0, 127))
def test_shifts_and_remainders(abc: tuple[RingArray, RingArray, RingArray], bits: int) -> None:
    """To the right of unsigned and of signed numbers, to the left modulo 2^k, and what lies below."""
    a = abc[0]
    ring, bits, x = a.ring, bits % a.ring.bits, whole(a)
    signed = np.where(x >> (ring.bits - 1) == 1, x - (1 << ring.bits), x).astype(object)
    assert (whole(a >> bits) == x // 2**bits).all() and (whole(a << bits) == x * 2**bits % 2**ring.bits).all()
    assert (whole(RingArray(ring, ring.sar(a.data, bits))) == signed // 2**bits % 2**ring.bits).all()
    assert (whole(a.low(bits)) == x % 2**bits).all()
    assert (np.asarray(ring.signed(a.data), object) == signed).all()


@given(triples())
def test_sums(abc: tuple[RingArray, RingArray, RingArray]) -> None:
    a = abc[0]
    if a.data.ndim:
        x, modulus = whole(a), 2**a.ring.bits
        assert (whole(a.sum(0)) == np.sum(x, axis=0) % modulus).all() and whole(a.sum()) == np.sum(
            x
        ) % modulus
        assert (whole(a.cumsum(-1)) == np.cumsum(x, axis=-1) % modulus).all() and a.sum(-1, True).shape == (
            *a.shape[:-1],
            1,
        )


@given(
    rings,
    hnp.arrays(
        np.float64, hnp.array_shapes(max_dims=2, max_side=3), elements=st.floats(-(2.0**126), 2.0**126)
    ),
)
def test_doubles_there_and_back(ring: Ring, values: np.ndarray) -> None:
    most = 2.0 ** (ring.bits - 2)
    values = np.rint(np.clip(values, -most, most))
    there = ring.whole(values)
    assert (
        np.asarray(ring.signed(there.data), object)
        == np.array([int(v) for v in values.reshape(-1)], object).reshape(values.shape)
    ).all()
    assert (ring.doubles(there.data) == values).all()


def test_small_negative_numbers_keep_their_digits_as_doubles() -> None:
    assert (
        Z128.doubles(Z128([-1, -3, 2**63 + 1, -(2**100) - 1]).data) == [-1.0, -3.0, 2.0**63, -(2.0**100)]
    ).all()


@given(rings, st.integers(-(2**130), 2**130))
def test_integers_are_reduced(ring: Ring, value: int) -> None:
    """Whatever fits a NumPy integer is taken modulo 2^k, whatever its sign."""
    if -(2**63) <= value < 2**64 or ring is Z128:
        assert whole(ring(value)) == value % 2**ring.bits
        assert ring(np.array([value])).data.dtype == ring.dtype


@pytest.mark.parametrize("ring", [Z64, Z32, Z128])
def test_scalars_wrap_around_in_silence(ring: Ring) -> None:
    """NumPy warns of overflow in 0-d arithmetic on scalars; warnings are errors here."""
    top = ring(np.array(2**ring.bits - 1, object))
    assert top.shape == ()
    for x in (top + top, top * top, -top, top - -top, ring(0) - top, top[()], top >> 3):
        assert isinstance(x.data, np.ndarray) and x.shape == () and x.data.dtype == ring.dtype
    assert whole(top * top) == 1


@given(triples(), st.data())
def test_bytes_round_trip(abc: tuple[RingArray, RingArray, RingArray], data: st.DataObject) -> None:
    a = abc[0]
    wire = a.ring.encode(a.data)
    assert wire.nbytes == a.spec.nbytes == a.ring.itemsize * a.size
    assert bytes(wire) == b"".join(int(v).to_bytes(a.ring.itemsize, "little") for v in whole(a).reshape(-1))
    assert (a.ring.decode(wire, a.shape) == a.data).all()
    length = data.draw(st.integers(0, wire.nbytes + 20).filter(lambda n: n != wire.nbytes))
    with pytest.raises(WireError, match=re.escape(a.ring.name)):
        a.ring.decode(memoryview(bytes(length)), a.shape)


@pytest.mark.parametrize("ring", [Z64, Z32])
def test_views_are_encoded_in_c_order(ring: Ring) -> None:
    a = np.arange(24, dtype=ring.dtype).reshape(4, 6)
    for view in (
        a.T,
        a[::-1, ::2],
        a.astype(a.dtype.newbyteorder(">")),
        np.broadcast_to(a[0], (3, 6)),
        np.asfortranarray(a),
    ):
        assert (ring.decode(ring.encode(view), view.shape) == view).all()


def test_rings_do_not_mix() -> None:
    x, y = Z64([1, 2]), Z32([1, 2])
    for operation in ("__add__", "__sub__", "__mul__", "__matmul__"):
        with pytest.raises(TypeError, match=r"Z_2\^64.*Z_2\^32"):
            getattr(x, operation)(y)


def test_specs_say_what_to_expect() -> None:
    assert Spec(Z64, (2, 3)) == Spec(Z64, (2, 3)) != Spec(Z32, (2, 3))
    assert Spec(Z32, (2, 3)).nbytes == 24 and Spec(Z64, ()).nbytes == 8 and Spec(Z64, (0, 9)).nbytes == 0
    assert str(Spec(Z64, (2, 3))) == "Z_2^64[2, 3]"
    assert {bits: ring.bits for bits, ring in RINGS.items()} == {64: 64, 32: 32, 128: 128}


MATMULS = [
    ((3,), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3,)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 1, 2, 3), (2, 3, 4)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
    ((4, 0, 3), (3, 2)),
    ((2, 3), (3, 0)),
    ((7, 2, 3), (3,)),
    ((0,), (0,)),
]


@pytest.mark.parametrize("ring", [Z64, Z32, Z128])
@pytest.mark.parametrize(("x", "y"), MATMULS)
def test_matmul_of_any_dimensions(ring: Ring, x: tuple[int, ...], y: tuple[int, ...]) -> None:
    a, b = (RingArray(ring, words(ring, shape, seed)) for seed, shape in enumerate((x, y)))
    expected = np.asarray(np.matmul(whole(a), whole(b)) % 2**ring.bits, object)
    mine = a @ b
    assert mine.data.dtype == ring.dtype and mine.shape == expected.shape and (whole(mine) == expected).all()


@pytest.mark.parametrize("ring", [Z64, Z32])
@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((40, 130, 65), (65, 33)),
        ((3, 150, 170), (3, 170, 190)),
        ((2, 3, 90, 64), (2, 3, 64, 800)),
        ((180, 170), (170, 190)),
        ((2, 180, 170), (1, 170, 190)),
    ],
)
def test_matmul_above_the_kernel_threshold(ring: Ring, x: tuple[int, ...], y: tuple[int, ...]) -> None:
    """Large products take another path (Numba) and must give the same."""
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 2**64, x, np.uint64), rng.integers(0, 2**64, y, np.uint64)
    assert (ring.matmul(ring(a).data, ring(b).data) == np.matmul(a, b).astype(ring.dtype)).all()


@pytest.mark.parametrize(
    ("x", "y"),
    [((40, 33), (33, 30)), ((3, 40, 33), (3, 33, 30)), ((2, 70, 5), (5, 7)), ((9, 300), (300, 10))],
)
def test_matmul_of_two_words_above_the_kernel_threshold(x: tuple[int, ...], y: tuple[int, ...]) -> None:
    a, b = (RingArray(Z128, words(Z128, shape, seed)) for seed, shape in enumerate((x, y)))
    assert (whole(a @ b) == np.matmul(whole(a), whole(b)) % 2**128).all()


@settings(max_examples=30)
@given(triples())
def test_nothing_prints_what_it_holds(abc: tuple[RingArray, RingArray, RingArray]) -> None:
    a = Z64(np.full((2, 3), 1234567891))
    for text in (repr(a), str(a), f"{a}", repr([a]), repr(a.spec)):
        assert "1234567891" not in text and "2, 3" in text
    assert repr(abc[0]) == f"<array {abc[0].shape} over {abc[0].ring}>"


def test_indexing_and_maps_keep_the_ring() -> None:
    a = Z32(np.arange(12)).map(lambda d: d.reshape(3, 4))
    assert a[1].shape == (4,) and a[1, 2].shape == () and a[1, 2].ring is Z32
    assert copy.copy(a).ring is Z32
