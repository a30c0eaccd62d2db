"""Permuting what others share, in an order that one party alone knows: a network of switches.

A Beneš network for n = 2^l wires has 2l − 1 layers of n/2 switches: one layer of pairs, two networks of n/2
side by side (the first wires of the pairs go to the upper, the others to the lower), and one layer of pairs
again.  Any order can be set.

A switch with inputs x, y and the owner's bit s gives x + z and y − z with z = s·(y − x): where y − x is
shared, its owner multiplies its own part, and with each of the others a product of a bit is made
(``products``).

Threat   semi-honest.  The others see nothing of the bits, the owner nothing but shares.  Which switches the
         owner sets depends on the order in the time it takes to find them, at the owner alone.
Cost     2·(2l − 1) rounds; for each switch and row of c elements 4 bytes from the owner and 8·c from each of
         the others.
Source   Mohassel, Sadeghian, EUROCRYPT 2013, section 4.1, with products of bits in place of their transfers
         of labels; the network: Beneš 1964, set by Waksman's looping, J. ACM 1968.  Other numbers of wires
         are filled up to a power of two.
"""

from __future__ import annotations

import numpy as np

from mpc.ring import NDArray, Spec
from mpc.seat import Seat
from protocols.ot.extension import Links
from protocols.ot.products import elementwise, products


async def move(
    links: Links, seat: Seat, owner: int, spec: Spec, orders: NDArray | None, parts: NDArray | None
) -> NDArray:
    """Shares (c, n, m) of what the others share by ``parts``, in the owner's ``orders`` (n, m)."""
    c, n, m = spec.shape
    depth = max(0, n - 1).bit_length()
    wires, half = 1 << depth, (1 << depth) // 2
    ring, x = spec.ring, np.zeros((wires, m, c), spec.ring.dtype)
    if parts is not None:
        x[:n] = parts.transpose(1, 2, 0)
    bits = None if orders is None else switches(_filled(orders, wires))
    flat = elementwise(ring, half * m, bits=1, length=c)
    levels = [*range(depth), *reversed(range(depth - 1))]
    for layer, level in enumerate(levels):
        blocks = 1 << level
        if layer >= depth:  # back from two halves to pairs
            x = _wired(x, (blocks, 2, -1))
        pairs = x.reshape(half, 2, m, c)
        difference = np.ascontiguousarray(ring.sub(pairs[:, 1], pairs[:, 0])).reshape(-1, c)
        if bits is not None:
            s = bits[layer].reshape(-1)
            z = await products(links, flat, choices=np.packbits(s, bitorder="little"), of=seat.others)
            z = ring.add(z, ring.mul(difference, ring(s[:, None]).data))
        else:
            z = await products(links, flat, rows=difference, to=(owner,))
        z = z.reshape(half, m, c)
        x = np.stack([ring.add(pairs[:, 0], z), ring.sub(pairs[:, 1], z)], axis=1).reshape(wires, m, c)
        if layer < depth - 1:  # from pairs to two halves
            x = _wired(x, (blocks, -1, 2))
    return np.ascontiguousarray(x[:n].transpose(2, 0, 1))


def _wired(x: NDArray, shape: tuple[int, int, int]) -> NDArray:
    return np.ascontiguousarray(x.reshape(*shape, *x.shape[1:]).swapaxes(1, 2)).reshape(x.shape)


def _filled(orders: NDArray, wires: int) -> NDArray:
    n, m = orders.shape
    rest = np.broadcast_to(np.arange(n, wires)[:, None], (wires - n, m))
    return np.concatenate([orders.astype(np.int64), rest])


def switches(orders: NDArray) -> NDArray:
    """The bits (layers, n/2, m) that give out[i] = in[orders[i]] for each column of ``orders``, n a power of
    two.
    """
    from protocols.ot import switch_kernels

    n, m = orders.shape
    depth = max(0, n - 1).bit_length()
    bits = np.zeros((max(0, 2 * depth - 1), n // 2, m), np.uint8)
    for column in range(m):
        if depth:
            switch_kernels.set_switches(orders[:, column].astype(np.int64), bits[:, :, column])
    return bits
