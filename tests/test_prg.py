"""Streams against an independent computation of HKDF-SHA256 and AES-CTR; their draws never overlap."""

from __future__ import annotations

import hmac
import pickle

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mpc.prg import Stream
from mpc.ring import Z32, Z64, Ring, Spec

SEED = bytes(range(32))


def keystream(seed: bytes, label: str, n: int) -> bytes:
    """RFC 5869 by hmac, SP 800-38A counter mode by ECB of the counters."""
    prk = hmac.digest(bytes(32), seed, "sha256")
    key = hmac.digest(prk, b"mpc/2 " + label.encode() + b"\x01", "sha256")[:16]
    counters = b"".join(i.to_bytes(16, "big") for i in range(-(-n // 16)))
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(counters)[:n]


def raw(stream: Stream, n: int, ring: Ring = Z64) -> bytes:
    return stream.draw(Spec(ring, (n,))).data.tobytes()


@pytest.mark.parametrize("ring", [Z64, Z32])
@pytest.mark.parametrize("n", [1, 7, 64, 65, 129, 1000, 1 << 15, (1 << 15) + 1, (1 << 16) + 3])
def test_draws_are_the_key_stream(n: int, ring: Ring) -> None:
    """The first elements of a stream are the first bytes of AES-CTR, little-endian."""
    assert raw(Stream(SEED, "pair 0 1"), n, ring) == keystream(SEED, "pair 0 1", n * ring.itemsize)


def test_keys_are_the_key_stream() -> None:
    assert Stream(SEED, "own").bytes(100) == keystream(SEED, "own", 100)


def test_known_answer() -> None:
    """Fixed for good: parties of different releases that disagree here would not notice otherwise."""
    assert (
        Stream(bytes(32), "live").bytes(32).hex()
        == "f731d881c0806369352293ab3df2d378ed629286d0b3e156c45902eb938ed7c7"
    )
    assert Stream(bytes(32), "live").draw(Spec(Z64, ())).data.dtype == np.uint64


sizes = st.lists(
    st.tuples(st.sampled_from([1, 3, 16, 63, 64, 65, 127, 128, 129, 700, 2000]), st.sampled_from([Z64, Z32])),
    max_size=12,
)


@given(sizes)
def test_same_seed_and_label_give_the_same_values(draws: list[tuple[int, Ring]]) -> None:
    a, b = Stream(SEED, "x"), Stream(SEED, "x")
    for n, ring in draws:
        assert raw(a, n, ring) == raw(b, n, ring)
        assert a.position == b.position
    assert a.position == sum(n * ring.itemsize for n, ring in draws)


@settings(max_examples=50)
@given(sizes)
def test_no_block_of_the_key_stream_is_used_twice(draws: list[tuple[int, Ring]]) -> None:
    """Aligned 16-byte runs of what is drawn are all different, whatever the mix of small and big draws."""
    stream = Stream(SEED, "y")
    drawn = [raw(stream, n, ring) for n, ring in draws] + [stream.bytes(32), stream.bytes(40)]
    words = [d[i : i + 8] for d in drawn for i in range(0, len(d) - 7, 8)]
    assert len(set(words)) == len(words)


def test_other_labels_and_seeds_give_other_values() -> None:
    drawn = {
        raw(Stream(seed, label), 4)
        for seed in (SEED, bytes(32), SEED[::-1])
        for label in ("live", "stock", "own", "")
    }
    assert len(drawn) == 12


def test_fresh_streams_differ() -> None:
    assert len({raw(Stream.fresh("own"), 2) for _ in range(20)}) == 20


@pytest.mark.parametrize("piece", [3, 64, 5000])
def test_bytes_are_uniform(piece: int) -> None:
    stream = Stream(SEED, "uniform")
    data = np.frombuffer(b"".join(raw(stream, piece) for _ in range(60000 // piece)), np.uint8)
    assert stats.chisquare(np.bincount(data, minlength=256)).pvalue > 1e-4
    bits = np.unpackbits(data)
    assert stats.chisquare(np.bincount(bits[:-1] * 2 + bits[1:], minlength=4)[[0, 3]]).pvalue > 1e-4


def test_shapes() -> None:
    stream = Stream(SEED, "shapes")
    for shape in [(), (0,), (3, 0), (2, 3), (40, 50)]:
        assert stream.draw(Spec(Z32, shape)).shape == shape


def test_memory_with_gaps_is_not_filled() -> None:
    with pytest.raises(ValueError, match="contiguous"):
        Stream(SEED, "own").fill(np.zeros((8, 4), np.uint32)[:, :2])


def test_nobody_writes_into_a_streams_own_memory() -> None:
    assert not Stream(SEED, "own").draw(Spec(Z64, (3,))).data.flags.writeable


def test_streams_do_not_show_or_copy_their_key() -> None:
    assert repr(Stream(SEED, "own")) == "<Stream at 0>"
    with pytest.raises(TypeError):
        pickle.dumps(Stream(SEED, "own"))
