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
    padded = x.data.reshape(-1)
    if x.size % 64 or x.ring.bits < 64:
        padded = np.zeros(64 * words_for(x.size), np.uint64)
        padded[:x.size] = x.data.reshape(-1)
    return RingArray(BITS, _to_planes(padded)[:x.ring.bits])


def planes_spec(x: Spec) -> Spec:
    return Spec(BITS, (x.ring.bits, words_for(x.size)))


def numbers(x: RingArray, ring: Ring, n: int) -> RingArray:
    """n numbers from their planes: ``planes`` undone, by transposing the same blocks of bits again."""
    words = x.shape[1]
    blocks = np.zeros((words, 64), np.uint64)
    blocks[:, :x.shape[0]] = x.data.T
    return ring(_to_planes(blocks.reshape(-1)).T.reshape(-1)[:n])


def unpacked(bits: RingArray, ring: Ring, n: int) -> RingArray:
    """One plane of n bits as n numbers, 0 or 1; of several planes, one row each."""
    data = np.ascontiguousarray(bits.data)
    return ring(np.unpackbits(data.view(np.uint8), axis=-1, count=n, bitorder="little"))


def flipped(x: RingArray, bits: RingArray, add: int) -> RingArray:
    """−x + add − 1 where the bit is set, else x: rows of n numbers, and of ⌈n/64⌉ words with their bits."""
    if worth_compiling(x.size, _SMALL):
        from mpc import kernels
        return RingArray(x.ring, kernels.flipped(x.data, bits.data, add))
    bit = unpacked(bits, x.ring, x.shape[-1])
    return x.ring(x.data ^ -bit.data) + bit * x.ring(add)


def _to_planes(x: NDArray) -> NDArray:
    if worth_compiling(len(x), _SMALL):
        from mpc import kernels
        return kernels.to_planes(x)
    bits = np.unpackbits(x.view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
    return np.packbits(np.ascontiguousarray(bits.T), axis=1, bitorder="little").view(np.uint64)
