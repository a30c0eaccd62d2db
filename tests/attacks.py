"""What strangers may send: any bytes, any JSON, and what is right bent out of shape."""

from __future__ import annotations

from typing import Any

import numpy as np

OTHERS = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**63 - 1,
    2**63,
    2**64,
    -(2**63),
    2**70,
    1.5,
    -0.0,
    1e300,
    "",
    "x" * 3000,
    "\x1b[2J",
    "\ud800",
    "ann",
    "BOB",
    [],
    {},
    [[]],
    {"a": {}},
    ["bob"],
    [None, {}],
    {"x": [1] * 500},
]

Rng = np.random.Generator


def any_bytes(rng: Rng, most: int = 3000) -> bytes:
    return rng.bytes(int(most ** rng.random()))


def anything(rng: Rng) -> Any:
    """A JSON value of any type, extremes among them."""
    return OTHERS[rng.integers(len(OTHERS))] if rng.random() < 0.8 else [anything(rng), {"": anything(rng)}]


def bent(rng: Rng, data: bytes) -> bytes:
    """These bytes, cut, flipped, zero, extended, doubled or others."""
    how, at = rng.integers(7), int(rng.integers(len(data) + 1))
    if how == 0:
        return data[:at]
    if how == 1:
        changed = bytearray(data)
        for i in rng.integers(0, len(data), rng.integers(1, 9)) if data else ():
            changed[i] ^= 1 << rng.integers(8)
        return bytes(changed)
    return [
        data,
        data,
        bytes(len(data)),
        data + any_bytes(rng),
        data * 2,
        any_bytes(rng),
        data[:at] + any_bytes(rng, 40) + data[at:],
    ][how]
