"""AES in compiled loops is AES, and what is masked where it is computed is what is masked afterwards."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import conftest
import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st
from numba.core.errors import TypingError

from mpc import aes_kernels, kernels, masking, prg
from mpc.prg import Stream
from mpc.ring import BITS, Z32, Z64, Z128, Ring, RingArray, Spec
from mpc.ring import cross as plain_cross
from protocols.ot.extension import Leaves
from protocols.ot.hashing import Hash

pytestmark = pytest.mark.skipif(not aes_kernels.THERE, reason="this processor has no instructions for AES")
assert kernels  # the compiler is awake

SEED = bytes(range(32))


def by_cryptography(key: bytes, first: int, words: int) -> bytes:
    counter = modes.CTR(first.to_bytes(16, "big"))
    return Cipher(algorithms.AES(key), counter).encryptor().update(bytes(8 * words))


def test_round_keys_are_those_of_the_standard() -> None:
    """FIPS 197, appendix A.1."""
    keys = aes_kernels.expanded(bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c"))
    assert keys[2:4].tobytes().hex() == "a0fafe1788542cb123a339392a6c7605"
    assert keys[20:].tobytes().hex() == "d014f9a8c9ee2589e13f0cc8b6630ca6"


@given(
    st.binary(min_size=16, max_size=16),
    st.one_of(st.integers(0, 300), st.integers(2**32 - 9, 2**32 + 9), st.integers(0, 2**60)),
    st.integers(0, 5 * aes_kernels.GROUP // 2),
)
def test_the_key_stream_is_cryptographys(key: bytes, first: int, blocks: int) -> None:
    out = np.zeros(2 * blocks + 3, np.uint64)
    aes_kernels.stream(aes_kernels.expanded(key), np.uint64(first), out[1:-2])
    assert out[1:-2].tobytes() == by_cryptography(key, first, 2 * blocks)
    assert not out[0] and not out[-2:].any()  # nothing is written beside


@pytest.fixture
def plainly(monkeypatch: pytest.MonkeyPatch) -> object:
    """What calls a function as if the compiler slept."""

    def call(f, *args):  # type: ignore[no-untyped-def]
        with monkeypatch.context() as patch:
            patch.setattr(prg, "compiled", lambda n: False)
            patch.setattr(masking, "compiled", lambda n: False)
            return f(*args)

    return call


DRAWS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([Z32, Z64, BITS, Z128]), st.integers(0, 1500)),
        st.tuples(st.just(None), st.integers(0, 5000)),
    ),
    max_size=8,
)


@given(DRAWS, st.integers(0, 8))
def test_a_stream_is_the_same_whoever_makes_it(draws: list[tuple[Ring | None, int]], wakes: int) -> None:
    """And from whatever draw on the compiler is awake."""

    def drawn(awake: int) -> list[tuple[bytes, int]]:
        stream, out = Stream(SEED, "x"), []
        with pytest.MonkeyPatch.context() as patch:
            for i, (ring, n) in enumerate(draws):
                patch.setattr(prg, "compiled", lambda size, on=i >= awake: on)
                data = stream.bytes(n) if ring is None else stream.draw(Spec(ring, (n,))).data.tobytes()
                out.append((data, stream.position))
        return out

    assert drawn(wakes) == drawn(99)


@pytest.mark.parametrize("ring", [Z32, Z64, BITS, Z128], ids=str)
@pytest.mark.parametrize("shape", [(1,), (511,), (513,), (1024,), (3, 700), (1 << 15,)], ids=str)
@pytest.mark.parametrize("masks", [(True, True), (True, False), (False, True), (False, False)])
def test_masked_products_equal_their_twin(ring, shape, masks, plainly) -> None:  # type: ignore[no-untyped-def]
    operands = [RingArray(ring, conftest.words(ring, shape, seed)) for seed in range(4)]

    def made() -> tuple[bytes, ...]:
        streams = [Stream(SEED, label) if there else None for label, there in zip("ab", masks, strict=True)]
        out = masking.cross(*operands, *streams)
        assert out.ring is ring and out.shape == shape
        after = [s.draw(Spec(Z64, (5,))).data.tobytes() for s in streams if s]
        return out.data.tobytes(), *after

    assert made() == plainly(made)
    spec = Spec(ring, shape)
    plus, minus = (
        Stream(SEED, label).draw(spec) if there else ring.zeros(shape)
        for label, there in zip("ab", masks, strict=True)
    )
    assert made()[0] == plain_cross(*operands, plus, minus).data.tobytes()


def test_operands_of_other_shapes(plainly) -> None:  # type: ignore[no-untyped-def]
    x, y = (RingArray(Z64, conftest.words(Z64, shape, 1)) for shape in [(40, 50), (50,)])

    def made() -> bytes:
        return masking.cross(x, x, y, y, Stream(SEED, "a"), Stream(SEED, "b")).data.tobytes()

    assert made() == plainly(made) and len(made()) == 8 * 40 * 50
    turned = RingArray(Z64, x.data.T)
    out = masking.cross(turned, turned, turned, turned, Stream(SEED, "a"), None).data
    assert (out == (3 * x.data * x.data).T + Stream(SEED, "a").draw(Spec(Z64, (50, 40))).data).all()


def test_a_stream_in_loops_is_not_copied_either() -> None:
    stream = Stream(SEED, "x")
    stream.draw(Spec(Z64, (5000,)))
    for copying in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="one owner"):
            copying(stream)


def test_masks_of_a_loop_are_used_once(plainly) -> None:  # type: ignore[no-untyped-def]
    """What a loop has made for itself is not drawn again."""
    stream = Stream(SEED, "x")
    one = RingArray(Z64, np.zeros(1000, np.uint64))
    made = masking.cross(one, one, one, one, stream, None).data
    words = [
        *made,
        *stream.draw(Spec(Z64, (1000,))).data,
        *masking.cross(one, one, one, one, stream, None).data,
    ]
    assert len(set(words)) == 3000 and stream.position == 24_000


PROGRAM = """
import numpy as np
from mpc import kernels
from mpc.bits import planes
from mpc.prg import Stream, compiled
from mpc.ring import Z64, RingArray, Spec

print(compiled(1 << 20), Stream(bytes(32), "x").draw(Spec(Z64, (5000,))).data.tobytes().hex()[-64:])
x = np.arange(1 << 14, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
for j, row in enumerate(planes(RingArray(Z64, x)).data):
    assert (np.unpackbits(row.view(np.uint8), bitorder="little") == x >> np.uint64(j) & np.uint64(1)).all()
"""


@pytest.mark.parametrize(
    ("name", "value", "there"), [("NUMBA_ENABLE_AVX", "0", True), ("NUMBA_CPU_NAME", "generic", False)]
)
def test_loops_use_what_numba_compiles_for(name: str, value: str, there: bool) -> None:
    """And not all that the processor has: LLVM ends a process that asks for what it may not use."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, name: value},
    )
    expected = Stream(bytes(32), "x").draw(Spec(Z64, (5000,))).data.tobytes().hex()[-64:]
    assert done.stdout == f"{there} {expected}\n"


def test_words_with_gaps_are_refused() -> None:
    x = np.arange(256, dtype=np.uint64)
    with pytest.raises(TypingError, match="contiguous"):
        kernels.to_planes(x[::2])


# -- of transfers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("words", [1, 2, 7, 64, 1024, 1031])
def test_trees_of_streams_fold_as_by_cryptography(
    k: int, words: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice in a row, with and without leaf 0."""
    rng = np.random.default_rng(words)
    trees: list[list[bytes | None]] = [[rng.bytes(16) for _ in range(1 << k)] for _ in range(128 // k)]
    for missing in (False, True):
        seeds = [[None, *tree[1:]] if missing else tree for tree in trees]
        fast = Leaves(seeds)
        with monkeypatch.context() as patch:
            patch.setattr(aes_kernels, "THERE", False)
            plain = Leaves(seeds)
        for n in (words, 3):
            for mine, expected in zip(fast.fold(n), plain.fold(n), strict=True):
                assert mine.shape == expected.shape and (mine == expected).all()


@pytest.mark.parametrize("n", [0, 1, 31, 32, 100, 8192 + 5])
def test_hashes_are_those_by_cryptography(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, plus = conftest.words(Z64, (n, 2), 1), conftest.words(Z64, (2,), 2)
    hashing = Hash(b"session")
    for with_ in (None, plus):
        fast = hashing.keys(rows, with_), hashing.words(rows, with_), hashing.words(rows[::2], with_)
        with monkeypatch.context() as patch:
            patch.setattr(aes_kernels, "THERE", False)
            plain = hashing.keys(rows, with_), hashing.words(rows, with_), hashing.words(rows[::2], with_)
        for mine, expected in zip(fast, plain, strict=True):
            assert mine.shape == expected.shape and (mine == expected).all()
