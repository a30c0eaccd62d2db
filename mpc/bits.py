"""Numbers as bit planes: plane j holds bit j of every number, 64 of them to a word.

A boolean sharing is a sharing over the ring of packed bits; over planes, a carry tree is slicing along the
first axis, and one AND of words is 64 ANDs of bits.
"""

from __future__ import annotations

import numpy as np

from mpc.ring import BITS, NDArray, Ring, RingArray, Spec, worth_compiling

#: Fewer numbers than this are transposed by NumPy: the compiler is not worth waking.
_SMALL = 1 << 13


def words_for(n: int) -> int:
    """Words that hold n bits."""
    return -(-n // 64)


def planes(x: RingArray) -> RingArray:
    """The bits of n numbers over Z_2^k: k planes of ⌈n/64⌉ words, the last one filled up with zeros."""
    rows = [_to_planes(_filled_up(word.reshape(-1))) for word in x.ring.words(x.data)]
    return RingArray(BITS, rows[0][: x.ring.bits] if len(rows) == 1 else np.concatenate(rows))


def _filled_up(words: NDArray) -> NDArray:
    """To a multiple of 64 words of 64 bits."""
    if len(words) % 64 == 0 and words.dtype == np.uint64:
        return np.ascontiguousarray(words)
    out = np.zeros(64 * words_for(len(words)), np.uint64)
    out[: len(words)] = words
    return out


def planes_spec(x: Spec) -> Spec:
    return Spec(BITS, (x.ring.bits, words_for(x.size)))


def numbers(x: RingArray, ring: Ring, n: int) -> RingArray:
    """n numbers from their planes: ``planes`` undone, by transposing the same blocks of bits again."""
    return ring.of_words(*(_from_planes(x.data[lo : lo + 64], n) for lo in range(0, ring.bits, 64)))


def _from_planes(planes: NDArray, n: int) -> NDArray:
    blocks = np.zeros((planes.shape[1], 64), np.uint64)
    blocks[:, : len(planes)] = planes.T
    return _to_planes(blocks.reshape(-1)).T.reshape(-1)[:n]


def unpacked(bits: RingArray, ring: Ring, n: int) -> RingArray:
    """One plane of n bits as n numbers, 0 or 1; of several planes, one row each."""
    data = np.ascontiguousarray(bits.data)
    return ring(np.unpackbits(data.view(np.uint8), axis=-1, count=n, bitorder="little"))


def flipped(x: RingArray, bits: RingArray, add: int) -> RingArray:
    """−x + add − 1 where the bit is set, else x: rows of n numbers, and of ⌈n/64⌉ words with their bits."""
    ring = x.ring
    if worth_compiling(x.size, _SMALL):
        return RingArray(ring, ring.kernels.flipped(x.data, bits.data, add))
    return RingArray(ring, ring.flipped(x.data, unpacked(bits, ring, x.shape[-1]).data, add))


def _to_planes(x: NDArray) -> NDArray:
    if worth_compiling(len(x), _SMALL):
        from mpc import kernels

        return kernels.to_planes(x)
    bits = np.unpackbits(x.view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
    return np.packbits(np.ascontiguousarray(bits.T), axis=1, bitorder="little").view(np.uint64)
