"""Coordinates of b bits in ⌈L/32⌉·b words of 32 bits.

The vector is cut into 32 lanes, and coordinate j of lane i has bits i·b … (i+1)·b of column j: packing is 32
shifts of whole lanes, whatever b is.  What follows the vector's end is zero.
"""

from __future__ import annotations

import numpy as np

from mpc.ring import NDArray


def packed_bytes(length: int, bits: int) -> int:
    return 4 * length if bits == 32 else 4 * bits * -(-length // 32)


def pack(words: NDArray, bits: int) -> NDArray:
    """The lower ``bits`` bits of uint32 words, as uint32 words."""
    if bits == 32:
        return words
    lanes = _lanes(words) & np.uint32((1 << bits) - 1)
    out = np.zeros((bits, lanes.shape[1]), np.uint32)
    for i, lane in enumerate(lanes):
        row, shift = divmod(i * bits, 32)
        out[row] |= lane << np.uint32(shift)
        if shift + bits > 32:
            out[row + 1] |= lane >> np.uint32(32 - shift)
    return out.reshape(-1)


def unpack(packed: NDArray, length: int, bits: int) -> NDArray:
    """What was packed; above ``bits`` bits all is zero."""
    if bits == 32:
        return packed
    rows = packed.reshape(bits, -1)
    out = np.empty((32, rows.shape[1]), np.uint32)
    for i in range(32):
        row, shift = divmod(i * bits, 32)
        np.right_shift(rows[row], np.uint32(shift), out=out[i])
        if shift + bits > 32:
            out[i] |= rows[row + 1] << np.uint32(32 - shift)
    out &= np.uint32((1 << bits) - 1)
    return out.reshape(-1)[:length]


def _lanes(words: NDArray) -> NDArray:
    out = np.zeros(32 * -(-words.size // 32), np.uint32)
    out[: words.size] = words
    return out.reshape(32, -1)
