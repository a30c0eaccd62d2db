"""Vectors as integers: sums that decode to the mean and never wrap, rounding without bias, norms that survive
it.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.errors import EncodingError
from mpc.prg import Stream
from protocols.privacy import Encoding
from protocols.privacy.vectors import REPEAT, rounded_norm

SEED = b"rotation" * 4


def vectors(count: int, dimension: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimension))


def clipped(x: np.ndarray, clip: float) -> np.ndarray:
    return x * np.minimum(1, clip / np.linalg.norm(x, axis=-1, keepdims=True))


def added(encoding: Encoding, parts: list[np.ndarray]) -> np.ndarray:
    """As a server adds them: modulo 2^bits."""
    total = np.zeros(encoding.length, np.uint32)
    for part in parts:
        assert (
            part.dtype == np.uint32
            and part.shape == (encoding.length,)
            and int(part.max()) < 2**encoding.bits
        )
        total += part
    return total & np.uint32(2**encoding.bits - 1)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 12),
    spare=st.integers(0, 1000),
    dimension=st.integers(1, 40),
    clip=st.floats(0.01, 100),
    steps=st.integers(1, 10**6),
    weight=st.sampled_from([1, 7, 500]),
    rotate=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_a_sum_decodes_to_the_mean(
    count: int, spare: int, dimension: int, clip: float, steps: int, weight: int, rotate: bool, seed: int
) -> None:
    """For any sizes: within one step for each client, which is the most that rounding can do."""
    encoding = Encoding(
        dimension, count + spare, clip, step=clip / steps, weight=weight, rotation=SEED if rotate else None
    )
    x = vectors(count, dimension, seed) * clip
    weights = np.random.default_rng(seed).integers(1, weight, count, endpoint=True)
    total = added(
        encoding,
        [
            encoding.encode(v, Stream(bytes(32), str(i)), int(w))
            for i, (v, w) in enumerate(zip(x, weights, strict=True))
        ],
    )
    mean = encoding.decode(total, count)
    expected = (clipped(x, clip) * weights[:, None]).sum(axis=0) / weights.sum()
    off = np.abs(mean - expected)
    bound = encoding.step * count * weight / weights.sum() * (1 + 1e-9)
    assert mean.shape == (dimension,) and (np.linalg.norm(off) if rotate else off.max()) <= bound * (
        math.sqrt(encoding.padded) if rotate else 1
    )
    if weight > 1:
        assert encoding.total_weight(total) == weights.sum()


@pytest.mark.parametrize("clients", [1, 2, 100, 1023])
@pytest.mark.parametrize("steps", [1, 3, 100.5, 2**17])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_sum_does_not_wrap(clients: int, steps: float, sign: int) -> None:
    """All at the peak, on the same side; and there is not a bit more than it takes."""
    encoding = Encoding(5, clients, peak=1.0, step=1 / steps)
    part = encoding.integers(np.full(5, sign * 7.0), Stream(bytes(32), "top"))
    assert (np.abs(part) <= math.ceil(steps)).all() and (np.abs(part) >= math.floor(steps)).all()
    total = added(encoding, [encoding.reduce(np.full(5, sign * math.ceil(steps)))] * clients)
    assert encoding.decode(total, clients) == pytest.approx(np.full(5, sign * math.ceil(steps) / steps))
    assert clients * (math.ceil(steps) + 1) >= 2 ** (encoding.bits - 2)


def test_a_sum_that_could_wrap_is_refused() -> None:
    with pytest.raises(EncodingError, match="could need 35 bits of the 32"):
        Encoding(10, 1000, peak=1.0, step=1e-7)
    with pytest.raises(EncodingError, match="could need"):
        Encoding(10, 1000, peak=1.0, step=0.1, weight=10**7)  # the weights' own sum
    with pytest.raises(EncodingError, match="do not fit 32 bits"):
        Encoding(10, 2**31, peak=1.0)
    with pytest.raises(EncodingError, match="could need"):
        Encoding(10, 10, peak=1.0, step=0.1, noise=1e17)


def test_a_step_by_default_is_as_fine_as_is_of_use() -> None:
    """2^-10 of a coordinate of the longest vector, all being alike; or what 32 bits hold."""
    for encoding, coordinate in (
        (Encoding(100, 50, clip=2.0), 0.2),
        (Encoding(100, 50, peak=2.0), 2.0),
        (Encoding(100, 50, clip=2.0, peak=0.1), 0.1),
        (Encoding(100, 50, clip=2.0, rotation=SEED), 2.0 / math.sqrt(128)),
    ):
        assert encoding.step == pytest.approx(coordinate / 1024) and encoding.bits < 32
    assert (
        Encoding(10**6, 10**4, clip=2.0).step > 2.0 / 1000 / 1024
        and Encoding(10**6, 10**4, clip=2.0).bits == 32
    )


def test_noise_gets_the_room_it_needs() -> None:
    """Its standard deviation, times what a coordinate in a million millions exceeds."""
    quiet, loud = Encoding(1000, 10, peak=1.0, step=0.1), Encoding(1000, 10, peak=1.0, step=0.1, noise=1e8)
    assert quiet.bits == 8 and 2 ** (loud.bits - 1) > 8 * 1e4 and loud.bits <= 19


def test_rounding_is_right_on_average() -> None:
    encoding = Encoding(64, 1, peak=8.0, step=1.0)
    x = np.linspace(-7.9, 7.9, 64)
    stream = Stream(bytes(32), "unbiased")
    drawn = np.array([encoding.integers(x, stream) for _ in range(4000)])
    assert set(np.unique(drawn - np.floor(x))) == {0, 1}
    chance = x - np.floor(x)
    z = (drawn.mean(axis=0) - x) / np.sqrt(chance * (1 - chance) / 4000)
    assert np.abs(z).max() < 4.5 and 0.5 < z.std() < 1.5
    whole = np.arange(-8.0, 8.0).repeat(4)
    assert all((encoding.integers(whole, stream) == whole).all() for _ in range(50))


def test_the_stated_error_is_the_error() -> None:
    for kwargs in ({}, {"rotation": SEED}):
        encoding = Encoding(4096, 50, clip=1.0, step=1e-3, **kwargs)
        x = clipped(vectors(50, 4096), 1.0)
        total = added(encoding, [encoding.encode(v, Stream(bytes(32), str(i))) for i, v in enumerate(x)])
        off = encoding.decode(total, 50) - x.mean(axis=0)
        rms = math.sqrt((off**2).mean())
        # fractions are uniform here: √(2/3) of the bound
        assert 0.7 * encoding.error(50) < rms < encoding.error(50)
    weighted = Encoding(4096, 50, clip=1.0, step=1e-3, weight=10)
    assert weighted.error(50, 500) == pytest.approx(encoding.error(50)) and weighted.error(
        50, 250
    ) == pytest.approx(2 * encoding.error(50))


def test_clipping() -> None:
    stream = Stream(bytes(32), "clip")
    long, short = np.array([30.0, 40.0]), np.array([0.3, -0.4])
    encoding = Encoding(2, 1, clip=5.0, step=1e-6)
    decode = lambda e, x: e.decode(e.encode(x, stream), 1)  # noqa: E731
    assert decode(encoding, long) == pytest.approx([3.0, 4.0], abs=1e-5)
    assert decode(encoding, short) == pytest.approx(short, abs=1e-5)
    assert decode(encoding, np.zeros(2)).tolist() == [0, 0]
    assert decode(Encoding(2, 1, peak=0.35, step=1e-6), short) == pytest.approx([0.3, -0.35], abs=1e-5)
    assert decode(Encoding(2, 1, clip=5.0, peak=3.5, step=1e-6), long) == pytest.approx([3.0, 3.5], abs=1e-5)


@pytest.mark.parametrize(
    "x",
    [
        np.array([1, -2, 3]),
        [0.5, 1.5, -2.0],
        np.array([1, 2, 3], np.float16),
        np.array([1.0, 2, 3], ">f8"),
        np.arange(6.0)[::2],
        np.array([True, False, True]),
        np.array([1e-320, 0, 0]),
    ],
    ids=repr,
)
def test_what_counts_as_a_vector(x: object) -> None:
    encoding = Encoding(3, 1, peak=10.0, step=1e-6)
    assert encoding.decode(encoding.encode(x, Stream(bytes(32), "kinds")), 1) == pytest.approx(
        np.asarray(x, np.float64), abs=1e-5
    )


def test_what_does_not() -> None:
    encoding, stream = Encoding(3, 2, clip=1.0, weight=5), Stream(bytes(32), "bad")
    for wrong in ([1.0, 2.0], np.ones((3, 1)), np.ones(4)):
        with pytest.raises(EncodingError, match="instead of \\(3,\\)"):
            encoding.encode(wrong, stream)
    for wrong in ([1, math.nan, 2], [math.inf, 0, 0], [1e200, 0, 0]):
        with pytest.raises(EncodingError, match="NaN, infinity or absurdly large"):
            encoding.encode(wrong, stream)
    with pytest.raises(EncodingError, match="cannot be shared"):
        encoding.encode(["a", "b", "c"], stream)
    for weight in (0, 6, -1, 1.5):
        with pytest.raises(EncodingError, match="whole number from 1 to 5"):
            encoding.encode(np.ones(3), stream, weight)  # type: ignore[arg-type]
    good = encoding.encode(np.ones(3), stream, 2)
    for total, count, message in (
        (good[:-1], 1, "4 integers"),
        (good.astype(float), 1, "4 integers"),
        (good, 0, "for 1 to 2"),
        (good, 3, "for 1 to 2"),
    ):
        with pytest.raises(EncodingError, match=message):
            encoding.decode(total, count)
    forged = good.copy()
    for weight in (0, 6, 2**31):
        forged[-1] = weight
        with pytest.raises(EncodingError, match="sum of the weights is impossible"):
            encoding.decode(forged, 1)
    with pytest.raises(EncodingError, match="carries no weights"):
        Encoding(3, 2, clip=1.0).total_weight(good)
    for kwargs in ({}, {"clip": 0.0}, {"clip": math.inf}, {"peak": -1.0}, {"clip": math.nan}):
        with pytest.raises(EncodingError, match="give a clip"):
            Encoding(3, 2, **kwargs)
    for kwargs in ({"step": -1.0}, {"step": math.inf}, {"noise": -1.0}, {"noise": math.nan}):
        with pytest.raises(EncodingError, match="step and noise"):
            Encoding(3, 2, clip=1.0, **kwargs)
    for kwargs in ({"dimension": 0, "clients": 1}, {"dimension": 1, "clients": 0}):
        with pytest.raises(EncodingError, match="at least 1"):
            Encoding(clip=1.0, **kwargs)


def test_the_rotation_spreads_a_vector_and_saves_bits() -> None:
    plain, rotated = (Encoding(1000, 100, clip=1.0, step=1e-3, rotation=r) for r in (None, SEED))
    assert rotated.length == 1024 and rotated.bits <= plain.bits - 2
    spike = np.zeros(1000)
    spike[123] = 1.0
    sent = rotated.integers(spike, Stream(bytes(32), "spike")) * rotated.step
    assert np.abs(sent).max() < 1.5 / 32 and np.linalg.norm(sent) == pytest.approx(1.0, abs=0.02)
    back = rotated.decode(rotated.encode(spike, Stream(bytes(32), "spike")), 1)
    assert back[123] == pytest.approx(1.0, abs=0.005) and np.abs(np.delete(back, 123)).max() < 0.005
    other = Encoding(1000, 100, clip=1.0, step=1e-3, rotation=b"another seed of thirty-two bytes")
    x = clipped(vectors(1, 1000), 1.0)[0]
    encoded = rotated.encode(x, Stream(bytes(32), "seeds"))
    assert (
        np.corrcoef(rotated.decode(encoded, 1), x)[0, 1] > 0.99
        and abs(np.corrcoef(other.decode(encoded, 1), x)[0, 1]) < 0.2
    )


@pytest.mark.parametrize(
    ("dimension", "norm"), [(1, 0.5), (10, 1.0), (100, 3.0), (1000, 50.0), (10_000, 7.5)]
)
def test_norms_survive_rounding(dimension: int, norm: float) -> None:
    """The bound is kept by every rounding that is let through,
    and by enough of them without the condition.
    """
    encoding = Encoding(dimension, 1, clip=norm, peak=norm, step=1.0)
    limit = rounded_norm(norm, dimension)
    assert limit <= (norm + math.sqrt(dimension)) ** 2
    stream = Stream(bytes(32), f"norm {dimension}")
    for x in (
        np.full(dimension, norm / math.sqrt(dimension)),
        vectors(1, dimension)[0],
        np.eye(dimension)[0] * norm,
    ):
        y = x * norm / np.linalg.norm(x) * (1 + 1e-12)
        free = np.array([(encoding.integers(y, stream) ** 2).sum() for _ in range(200)])
        # 3.5 standard deviations of 200 trials
        assert (free <= limit).mean() >= 1 - REPEAT - 0.12
        held = np.array([(encoding.integers(y, stream, limit=limit) ** 2).sum() for _ in range(200)])
        assert (held <= limit).all()
    tight = int(free.min())
    assert all((encoding.integers(y, stream, limit=tight) ** 2).sum() <= tight for _ in range(5))


def test_nothing_secret_is_shown() -> None:
    assert "rotation" not in repr(Encoding(3, 2, clip=1.0, rotation=SEED))
