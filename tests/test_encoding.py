"""Numbers to ring elements and back: exact where it must be, refused where it does not fit, silent about
values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mpc.encoding import INT, Fixed, Int, numeric
from mpc.errors import EncodingError, MpcError
from mpc.ring import Z32, Z64, Ring

RING_LIST = [Z64, Z32]
rings = st.sampled_from(RING_LIST)
SENTINEL = 876543219


@given(rings, st.data())
def test_integers_round_trip(ring: Ring, data: st.DataObject) -> None:
    half = 2 ** (ring.bits - 1)
    values = data.draw(
        hnp.arrays(
            np.int64,
            hnp.array_shapes(min_dims=0, max_dims=3, min_side=0),
            elements=st.one_of(st.integers(-half, half - 1), st.sampled_from([-half, half - 1])),
        )
    )
    encoded = INT.encode(values, ring)
    assert encoded.shape == values.shape
    assert (INT.decode(encoded) == values).all()


@given(rings, st.integers(1, 29), st.data())
def test_fixed_point_is_right_to_half_a_unit(ring: Ring, fraction: int, data: st.DataObject) -> None:
    # from here on it is rounded to the end of the range
    limit = 2.0 ** (ring.bits - 2 - fraction) - 2.0 ** -(fraction + 1)
    reals = st.floats(-limit, limit, exclude_min=True, exclude_max=True, allow_nan=False)
    values = data.draw(
        hnp.arrays(np.float64, hnp.array_shapes(min_dims=0, max_dims=2, min_side=0), elements=reals)
    )
    kind = Fixed(fraction)
    back = kind.decode(kind.encode(values, ring))
    assert back.shape == values.shape and back.dtype == np.float64
    assert (np.abs(back - values) <= 2.0 ** -(fraction + 1)).all()


@given(rings, st.integers(1, 13), st.data())
def test_integers_as_fixed_point_are_exact(ring: Ring, fraction: int, data: st.DataObject) -> None:
    half = min(2 ** (ring.bits - 2 - fraction), 2**52) - 1
    values = np.array(data.draw(st.lists(st.integers(-half, half), max_size=5)), np.int64)
    kind = Fixed(fraction)
    assert (kind.decode(kind.encode(values, ring)) == values).all()


@given(rings, st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1))
def test_encoding_is_additive(ring: Ring, x: int, y: int) -> None:
    """Sums of encodings encode sums, modulo the ring."""
    total = INT.encode(x, ring) + INT.encode(y, ring)
    modulus = 2**ring.bits
    assert (int(INT.decode(total)) - x - y) % modulus == 0


@pytest.mark.parametrize("ring", RING_LIST)
def test_integer_limits(ring: Ring) -> None:
    half = 2 ** (ring.bits - 1)
    for value in (-half, half - 1):
        assert int(INT.decode(INT.encode([value], ring))[0]) == value
    for value in (-half - 1, half):
        if -(2**63) <= value < 2**64:
            with pytest.raises(EncodingError, match=rf"2\^{ring.bits - 1}"):
                INT.encode(np.array([value]), ring)  # of dtype uint64, where that is needed


@pytest.mark.parametrize("ring", RING_LIST)
@pytest.mark.parametrize("fraction", [1, 8, 13])
def test_fixed_point_limits(ring: Ring, fraction: int) -> None:
    """Just inside ±2^(k-2-f) is accepted, the limit itself refused with its name."""
    limit = 2.0 ** (ring.bits - 2 - fraction)
    kind = Fixed(fraction)
    for sign in (1, -1):
        inside = sign * (limit - 2.0**-fraction if ring.bits == 32 else np.nextafter(limit, 0))
        assert abs(float(kind.decode(kind.encode(inside, ring))) - inside) <= 2.0 ** -(fraction + 1)
        for outside in (sign * limit, sign * 2 * limit, sign * 1e300, int(sign * limit)):
            with pytest.raises(EncodingError, match=rf"±2\^{ring.bits - 2 - fraction}"):
                kind.encode([0, outside], ring)


REFUSED: list[tuple[str, Any]] = [
    ("nan", [1.0, float("nan")]),
    ("inf", float("inf")),
    ("minus inf", [-float("inf")]),
    ("complex", [complex(SENTINEL, 1)]),
    ("str", [str(SENTINEL)]),
    ("bytes", b"876543219"),
    ("object", [object()]),
    ("None", None),
    ("ragged", [[SENTINEL], [SENTINEL, SENTINEL]]),
    ("huge", 10**30 + SENTINEL),
    ("dates", np.array(["2020-01-01"], "M8[D]")),
    ("records", np.zeros(2, [("a", "i4")])),
    ("dict", {SENTINEL: SENTINEL}),
]


@pytest.mark.parametrize("ring", RING_LIST)
@pytest.mark.parametrize("kind", [INT, Fixed(12)], ids=str)
@pytest.mark.parametrize("values", [v for _, v in REFUSED], ids=[n for n, _ in REFUSED])
def test_what_is_no_number_is_refused(values: Any, kind: Any, ring: Ring) -> None:
    with pytest.raises(EncodingError) as caught:
        kind.encode(values, ring)
    assert str(SENTINEL) not in str(caught.value)
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, MpcError)


@pytest.mark.parametrize("kind", [INT, Fixed(16)], ids=str)
def test_refusals_name_the_limit_and_no_value(kind: Any) -> None:
    for values in (
        [SENTINEL * 10],
        [-SENTINEL * 10],
        [SENTINEL * 10.0] if kind is not INT else [SENTINEL * 100],
    ):
        with pytest.raises(EncodingError) as caught:
            kind.encode(values, Z32)
        assert "2^" in str(caught.value) and "Z_2^32" in str(caught.value)
        assert str(SENTINEL) not in str(caught.value)


def test_floats_are_not_integers() -> None:
    with pytest.raises(EncodingError, match="round"):
        INT.encode([1.0], Z64)


@pytest.mark.parametrize(
    "dtype", [np.bool_, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
)
@pytest.mark.parametrize("ring", RING_LIST)
def test_every_integer_dtype(dtype: Any, ring: Ring) -> None:
    values = np.array([0, 1, 1, 0], dtype)
    assert (INT.decode(INT.encode(values, ring)) == values.astype(int)).all()
    assert (Fixed(4).decode(Fixed(4).encode(values, ring)) == values.astype(int)).all()
    assert INT.encode(values[:0], ring).shape == (0,)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_every_float_dtype(dtype: Any) -> None:
    """The range is that of the ring, not that of the dtype scaled: float16 ends at 65504."""
    values = np.array([0.5, -3.25, 1000.0, 60000.0], dtype)
    assert (Fixed(16).decode(Fixed(16).encode(values, Z64)) == values.astype(float)).all()


def test_scalars_stay_scalars_and_inputs_stay_unchanged() -> None:
    values = np.array([1.25, -2.5])
    Fixed(8).encode(values, Z64)
    assert values.tolist() == [1.25, -2.5]
    assert Fixed(8).encode(1.5, Z64).shape == INT.encode(3, Z32).shape == ()
    assert numeric([1, 2]).dtype.kind == "i"


def test_kinds_are_values() -> None:
    assert (
        Fixed(8) == Fixed(8) != Fixed(9)
        and Int() == INT
        and str(INT) == "int"
        and str(Fixed(8)) == "fixed(8)"
    )
    assert INT.fraction == 0


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_value_that_rounds_to_the_end_of_the_range_is_refused(sign: int) -> None:
    with pytest.raises(EncodingError, match="range"):
        Fixed(8).encode(sign * (2.0**22 - 2.0**-10), Z32)
    assert Fixed(8).encode(sign * (2.0**22 - 2.0**-8), Z32).shape == ()
