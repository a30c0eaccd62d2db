"""The algebra of Z_2^64 and Z_2^32, the one encoding of their elements, and products of stacks."""
from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mpc.errors import WireError
from mpc.ring import RINGS, Z32, Z64, Ring, RingArray, Spec

rings = st.sampled_from([Z64, Z32])
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@st.composite
def triples(draw: Any) -> tuple[RingArray, RingArray, RingArray]:
    """Three arrays of one shape over one ring; extreme elements are frequent."""
    ring, shape = draw(rings), draw(shapes)
    element = st.one_of(st.integers(0, 2**ring.bits - 1), st.sampled_from([0, 1, 2**(ring.bits - 1), 2**ring.bits - 1]))
    arrays = [draw(hnp.arrays(ring.dtype, shape, elements=element)) for _ in range(3)]
    return tuple(RingArray(ring, a) for a in arrays)  # type: ignore[return-value]


def same(x: RingArray, y: RingArray) -> bool:
    return x.ring is y.ring and x.data.dtype == x.ring.dtype and x.shape == y.shape and bool((x.data == y.data).all())


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
def test_arithmetic_is_that_of_integers_modulo_2_to_the_k(abc: tuple[RingArray, RingArray, RingArray]) -> None:
    a, b, _ = abc
    x, y = a.data.astype(object), b.data.astype(object)
    modulus = 2**a.ring.bits
    for mine, expected in ((a + b, x + y), (a - b, x - y), (a * b, x * y), (-a, -x)):
        assert (mine.data == expected % modulus).all()


@given(triples(), st.integers(0, 31))
def test_right_shift_is_logical(abc: tuple[RingArray, RingArray, RingArray], bits: int) -> None:
    a = abc[0]
    assert ((a >> bits).data == a.data.astype(object) // 2**bits).all()


@given(rings, st.integers(-2**70, 2**70))
def test_integers_are_reduced(ring: Ring, value: int) -> None:
    """Whatever fits a NumPy integer is taken modulo 2^k, whatever its sign."""
    if -2**63 <= value < 2**64:
        assert int(ring(value).data) == value % 2**ring.bits
        assert ring(np.array([value])).data.dtype == ring.dtype


@pytest.mark.parametrize("ring", [Z64, Z32])
def test_scalars_wrap_around_in_silence(ring: Ring) -> None:
    """NumPy warns of overflow in 0-d arithmetic on scalars; warnings are errors here."""
    top = ring(np.array(2**ring.bits - 1, np.uint64))
    assert top.shape == ()
    for x in (top + top, top * top, -top, top - -top, ring(0) - top, top[()], top >> 3):
        assert isinstance(x.data, np.ndarray) and x.shape == () and x.data.dtype == ring.dtype
    assert int((top * top).data) == 1


@given(triples(), st.data())
def test_bytes_round_trip(abc: tuple[RingArray, RingArray, RingArray], data: st.DataObject) -> None:
    a = abc[0]
    wire = a.ring.encode(a.data)
    assert wire.nbytes == a.spec.nbytes == a.ring.itemsize * a.size
    assert bytes(wire) == b"".join(int(v).to_bytes(a.ring.itemsize, "little") for v in a.data.reshape(-1))
    assert (a.ring.decode(wire, a.shape) == a.data).all()
    length = data.draw(st.integers(0, wire.nbytes + 20).filter(lambda n: n != wire.nbytes))
    with pytest.raises(WireError, match=re.escape(a.ring.name)):
        a.ring.decode(memoryview(bytes(length)), a.shape)


@pytest.mark.parametrize("ring", [Z64, Z32])
def test_views_are_encoded_in_c_order(ring: Ring) -> None:
    a = np.arange(24, dtype=ring.dtype).reshape(4, 6)
    for view in (a.T, a[::-1, ::2], a.astype(a.dtype.newbyteorder(">")), np.broadcast_to(a[0], (3, 6)), np.asfortranarray(a)):
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
    assert {bits: ring.bits for bits, ring in RINGS.items()} == {64: 64, 32: 32}


MATMULS = [((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4)),
           ((2, 3), (5, 3, 4)), ((5, 1, 2, 3), (2, 3, 4)), ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((4, 0, 3), (3, 2)),
           ((2, 3), (3, 0)), ((7, 2, 3), (3,)), ((0,), (0,))]


@pytest.mark.parametrize("ring", [Z64, Z32])
@pytest.mark.parametrize(("x", "y"), MATMULS)
def test_matmul_of_any_dimensions(ring: Ring, x: tuple[int, ...], y: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2**32, x, np.uint64), rng.integers(0, 2**63, y, np.uint64)
    expected = np.matmul(a, b).astype(ring.dtype)
    mine = ring(a) @ ring(b)
    assert mine.data.dtype == ring.dtype and mine.shape == expected.shape and (mine.data == expected).all()


@pytest.mark.parametrize("ring", [Z64, Z32])
@pytest.mark.parametrize(("x", "y"), [((40, 130, 65), (65, 33)), ((3, 150, 170), (3, 170, 190)), ((2, 3, 90, 64), (2, 3, 64, 800)),
                                      ((180, 170), (170, 190)), ((2, 180, 170), (1, 170, 190))])
def test_matmul_above_the_kernel_threshold(ring: Ring, x: tuple[int, ...], y: tuple[int, ...]) -> None:
    """Large products take another path (Numba) and must give the same."""
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 2**64, x, np.uint64), rng.integers(0, 2**64, y, np.uint64)
    assert (ring.matmul(ring(a).data, ring(b).data) == np.matmul(a, b).astype(ring.dtype)).all()


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
