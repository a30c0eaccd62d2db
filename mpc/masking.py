"""Products that are masked as they are computed: where the compiler is awake, masks are made in the cache, a
few thousand bytes ahead of their use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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


Three = tuple[RingArray, ...]


def joint(
    x: Three, y: Three, roles: Sequence[tuple[int, int | None, bool, Stream]]
) -> tuple[Three, list[RingArray]]:
    """Products of the three parts that one of four parties has, elementwise, as ``FantasticFour`` shares
    them: what this party adds to each part, and of each pair of parts the product less its mask.

    A role is one message's: the parts that a mask and the rest go to, whether the former's square comes with
    the product, and the mask's stream; of a message that others make, the latter part is not given.
    """
    spec = Spec(x[0].ring, np.broadcast_shapes(x[0].shape, y[0].shape))
    if _fused(spec):
        rests = [_empty(spec) for _, j, _, _ in roles if j is not None]
        z = tuple(_empty(spec) for _ in range(3))
        rows = [(i, j, square, i, j) for i, j, square, _ in roles]
        _run(x, y, rows, [stream for *_, stream in roles], z, rests, (False,) * 3)
        return z, rests
    sums, rests = [spec.ring.zeros(spec.shape)] * 3, []
    for i, j, square, stream in roles:
        mask = stream.draw(spec)
        sums[i] = sums[i] + mask
        if j is not None:
            rests.append(x[i] * (y[i] + y[j] if square else y[j]) + x[j] * y[i] - mask)
            sums[j] = sums[j] + rests[-1]
    return tuple(sums), rests


def across(
    x: Three,
    y: Three,
    roles: Sequence[tuple[int | None, Stream]],
    masks: bool,
    product: Callable[[RingArray, RingArray], RingArray] | None = None,
) -> tuple[RingArray, list[RingArray]]:
    """Of three parts, of which the last two make the term that this party knows: the product of both terms,
    with all masks or all rests of the products of parts of this term and another; and these rests.

    A role is one message's: which part of the term, if this party knows that product, and the mask's stream.
    Elementwise, unless another ``product`` is given.
    """
    f = product or RingArray.__mul__
    if product is None and _fused(spec := Spec(x[0].ring, np.broadcast_shapes(x[0].shape, y[0].shape))):
        from mpc import aes_kernels

        rests = [_empty(spec) for part, _ in roles if part is not None]
        z = (_empty(spec), *rests)
        kernel: Any = aes_kernels.of_sums_of_bits if spec.ring is BITS else aes_kernels.of_sums
        kernel(*(_flat(v.data, spec.shape) for v in (x[1], x[2], y[1], y[2], z[0])))
        rows: list[tuple[int, int | None, bool, int, int]] = []
        for part, _ in roles:
            n = 1 + sum(row[1] is not None for row in rows)
            rows.append((0, part, False, *((0, n) if masks else (n, 0))))
        _run(x, y, rows, [stream for _, stream in roles], z, rests, (True, False, False))
        return z[0], rests
    term, rests = f(x[1] + x[2], y[1] + y[2]), []
    for part, stream in roles:
        mask = stream.draw(term.spec)
        if part is not None:
            rests.append(f(x[0], y[part]) + f(x[part], y[0]) - mask)
        if masks:
            term = term + mask
        elif part is not None:
            term = term + rests[-1]
    return term, rests


def _fused(spec: Spec) -> bool:
    """Whether such products are made in compiled loops."""
    if spec.ring not in (Z32, Z64, BITS):
        return False
    if spec.size >= _LARGE:
        spec.ring.kernels  # noqa: B018  (wakes the compiler)
    return compiled(spec.nbytes)


def _run(
    x: Three,
    y: Three,
    rows: Sequence[tuple[int, int | None, bool, int, int | None]],
    streams: Sequence[Stream],
    z: Three,
    rests: Sequence[RingArray],
    begun: Sequence[bool],
) -> None:
    from mpc import aes_kernels

    spec = z[0].spec
    masks = [stream.reserved(spec) for stream in streams]
    table, n = np.empty((len(rows), 6), np.int64), 0
    for line, (i, j, square, to, to_rest) in zip(table, rows, strict=True):
        line[:] = i, -1 if j is None else j, square, n, to, -1 if to_rest is None else to_rest
        n += j is not None
    keys, firsts = np.stack([keys for keys, _ in masks]), np.array([first for _, first in masks])
    of_x = x[0].shape
    again = of_x[:1] == (1,) and of_x[1:] == spec.shape[1:] and math.prod(of_x) % aes_kernels.ALIGNED == 0
    shapes = (of_x if again else spec.shape, *(spec.shape,) * 3)
    flat = [
        tuple(_flat(v.data, shape) for v in arrays)
        for arrays, shape in zip((x, y, z, rests), shapes, strict=True)
    ]
    there = np.where(begun, ~np.uint64(0), np.uint64(0))
    kernel: Any = aes_kernels.joint
    kernel(spec.ring is BITS, *flat[:2], table, keys, firsts, *flat[2:], there)


def _empty(spec: Spec) -> RingArray:
    return spec.ring.empty(spec.shape)


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
