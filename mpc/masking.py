"""Products that are masked as they are computed: where the compiler is awake, masks are made in the cache, a
few thousand bytes ahead of their use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mpc import ring as rings
from mpc.prg import Stream, compiled
from mpc.ring import BITS, Z32, Z64, NDArray, RingArray, Shape, Spec

#: So many elements are worth waking the compiler.
_LARGE = 1 << 16
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


#: Of a joint message: the parts that a mask and the rest go to, whether the first's square comes with the product,
#: and the stream of the mask.  Of one that others make, only the former and the stream are given.
Role = tuple[int, int | None, bool, Stream]


def joint(
    x: tuple[RingArray, ...], y: tuple[RingArray, ...], roles: Sequence[Role]
) -> tuple[tuple[RingArray, ...], list[RingArray]]:
    """Products of the three parts that one of four parties has, elementwise, as ``FantasticFour`` shares them:
    what this party adds to each part, and of each pair of parts the product less its mask.
    """
    ring = x[0].ring
    spec = Spec(ring, np.broadcast_shapes(x[0].shape, y[0].shape))
    if spec.size >= _LARGE and ring in (Z32, Z64, BITS):
        ring.kernels  # noqa: B018  (wakes the compiler)
    if not (ring in (Z32, Z64, BITS) and compiled(spec.nbytes)):
        z = [ring.zeros(spec.shape)] * 3
        rests: list[RingArray] = []
        for i, j, square, stream in roles:
            mask = stream.draw(spec)
            z[i] = z[i] + mask
            if j is not None:
                rests.append(x[i] * (y[i] + y[j] if square else y[j]) + x[j] * y[i] - mask)
                z[j] = z[j] + rests[-1]
        return tuple(z), rests

    from mpc import aes_kernels

    masks = [stream.reserved(spec) for *_, stream in roles]
    table, n = np.empty((len(roles), 4), np.int64), 0
    for row, (i, j, square, _) in zip(table, roles, strict=True):
        row[:] = i, -1 if j is None else j, square, n
        n += j is not None
    out = [ring.empty(spec.shape) for _ in range(3 + n)]
    flat = [tuple(_flat(v.data, spec.shape) for v in given) for given in (x, y, out[:3], out[3:])]
    aes_kernels.joint(
        ring is BITS,
        *flat[:2],
        table,
        np.stack([keys for keys, _ in masks]),
        np.array([first for _, first in masks]),
        *flat[2:],
    )
    return tuple(out[:3]), out[3:]


def accumulate(to: RingArray, what: RingArray) -> None:
    """``to`` becomes to + what; for an array that nobody else has."""
    if to.ring in (Z32, Z64):
        np.add(to.data, what.data, out=to.data)
    elif to.ring is BITS:
        np.bitwise_xor(to.data, what.data, out=to.data)
    else:
        to.data[...] = (to + what).data


def _flat(data: NDArray, shape: Shape) -> NDArray:
    return np.ascontiguousarray(data if data.shape == shape else np.broadcast_to(data, shape)).reshape(-1)


def _drawn(stream: Stream | None, spec: Spec) -> RingArray:
    return spec.ring.zeros(spec.shape) if stream is None else stream.draw(spec)
