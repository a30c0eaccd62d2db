"""Products that are masked as they are computed: where the compiler is awake, masks are made in the cache, a
few thousand bytes ahead of their use.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mpc import ring as rings
from mpc.prg import Stream, compiled
from mpc.ring import BITS, Z32, Z64, NDArray, RingArray, Spec

_NONE = np.empty(0, np.uint64), np.uint64(0)


def cross(
    x0: RingArray, x1: RingArray, y0: RingArray, y1: RingArray, plus: Stream | None, minus: Stream | None
) -> RingArray:
    """x₀·(y₀ + y₁) + x₁·y₀ + the next elements of ``plus`` − those of ``minus``; nothing for ``None``."""
    ring = x0.ring
    spec = x0.spec if x0.shape == y0.shape else Spec(ring, np.broadcast_shapes(x0.shape, y0.shape))
    if ring in (Z32, Z64, BITS) and compiled(spec.nbytes) and rings.in_one_pass(x0, x1, y0, y1):
        from mpc import aes_kernels

        out = np.empty(spec.shape, ring.dtype)
        kernel: Any = aes_kernels.cross_bits if ring is BITS else aes_kernels.cross
        flat: list[NDArray] = [x.data.reshape(-1) for x in (x0, x1, y0, y1)]
        masks = [_NONE if stream is None else stream.reserved(spec) for stream in (plus, minus)]
        kernel(*flat, *masks[0], *masks[1], out.reshape(-1))
        return RingArray(ring, out)
    return rings.cross(x0, x1, y0, y1, _drawn(plus, spec), _drawn(minus, spec))


def masked(x: RingArray, plus: Stream | None, minus: Stream | None) -> RingArray:
    """x + the next elements of ``plus`` − those of ``minus``, as ``cross``."""
    return x + _drawn(plus, x.spec) - _drawn(minus, x.spec)


def _drawn(stream: Stream | None, spec: Spec) -> RingArray:
    return spec.ring.zeros(spec.shape) if stream is None else stream.draw(spec)
