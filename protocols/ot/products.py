"""Products of what one party knows and what another knows, by correlated oblivious transfers.

The receiver chooses by the bits b_i of its number b; transfer i gives it h_i or h_i + a of the sender's choosing, and

    a·b = Σ (h_i + b_i·a)·2^i − Σ h_i·2^i

The sender takes its first key for h_i and sends d_i = (first key − second key + a) mod 2^(k−i), since the rest of it is
shifted out; the receiver adds d_i to its key where b_i = 1.  d_i and d_{k−i} make one word: k/2 + 1 words for k transfers.

Of matrices A·B, a bit of B[κ, n] is one transfer for the whole row A[:, κ], whose keys are made as long.  Over packed bits
a transfer gives one bit, and d_i is one.

Threat   semi-honest.  What the sender sends is masked by keys the receiver lacks; the receiver's bits are hidden by the transfers.
Cost     two rounds.  Between two parties, for a product over Z_2^64: 64 transfers (256 bytes from the receiver for k = 4),
         264 bytes from the sender.  Over packed bits: 4 bytes and a bit for each.
         A matrix product m×n×p: 64·n·p transfers, 264·m·n·p bytes: what m·n·p elementwise ones take from the sender, and
         1/m of what they take from the receiver.  The keys are as good as one-time pads for m·n·p different numbers, so
         nothing linear in m·n + n·p can come of this; but all is bilinear, and of large matrices seven products of
         quadrants are made instead of eight (256 × 256 × 256: 49 of 64 × 64 × 64, three quarters of it all).
Source   Gilboa, CRYPTO 1999, section 4.1; the shorter words: Demmler, Schneider, Zohner, NDSS 2015 (ABY), section V.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mpc import strassen
from mpc.ring import BITS, NDArray, Ring, RingArray, Spec
from mpc.rounds import exchange, pipeline
from protocols.bilinear import MULTIPLY, Bilinear
from protocols.ot.extension import Links, Received, Sent, extend

#: Transfers of one piece, and words of keys made at a time.
_TRANSFERS, _WORDS = 1 << 17, 1 << 16
_LONGEST = 1 << 21                                   # words that a piece may send

#: Matrices with sides of at least so much are cut into quadrants; below, longer rows save more than fewer products.
_STRASSEN = 128


@dataclass(frozen=True, slots=True)
class Layout:
    """Which row of the sender's each element multiplies, and which row of the result it is added to.

    Elements have ``bits`` choice bits each: those of a ring element, or one.
    """

    ring: Ring
    bits: int
    length: int                                      # of a row
    results: int                                     # rows
    source: NDArray
    target: NDArray

    @property
    def numbers(self) -> bool:
        """Whether all is element by element, which is quicker."""
        return self.source is self.target and self.length == 1 and self.bits > 1

    @property
    def words(self) -> int:
        """Ring elements that the sender sends for an element of the receiver's and one of a row."""
        return 1 if self.bits == 1 or self.ring is BITS else self.bits // 2 + 1


def elementwise(ring: Ring, n: int, *, bits: int = 0, length: int = 1) -> Layout:
    """n products of ring elements; with ``bits=1``, of n bits and rows of that length."""
    every = np.arange(n)
    return Layout(ring, bits or (64 if ring is BITS else ring.bits), length, n, every, every)


def matrices(x: Spec, y: Spec) -> Layout:
    """Products of stacks (s, m, k) and (s, k, n) of matrices: rows are columns of x, (s·k, m); results (s·n, m)."""
    s, m, k = x.shape
    n = y.shape[2]
    e = np.arange(s * k * n)
    return Layout(x.ring, x.ring.bits, m, s * n, e // n, e // (k * n) * n + e % n)


async def products(links: Links, k: int, layout: Layout, *, rows: NDArray | None = None, to: Sequence[int] = (),
                   choices: NDArray | None = None, of: Sequence[int] = ()) -> NDArray:
    """This party's shares (results, length) of the products of its ``rows`` with each of the choices of the parties ``to``,
    and of its ``choices`` (ring elements; or bits, 64 to a word) with each of the rows of the parties ``of``.

    All parties call it, with nobody in ``to`` and ``of`` if need be.
    """
    share = np.zeros((layout.results, layout.length), layout.ring.dtype)
    bits, n = layout.bits, len(layout.source)
    words = None if choices is None else _as_words(choices)

    async def piece(lo: int, hi: int) -> None:
        first, last = lo * bits // 64, -(-hi * bits // 64)
        mine = {p: words[first:last] for p in of} if words is not None else {}
        received, sent = await extend(links, k, mine, dict.fromkeys(to, last - first))
        out = {}
        for p in to:
            assert rows is not None
            out[p] = (_send(layout, sent[p], rows, lo, hi, share),)
        spec = Spec(layout.ring, (hi - lo, layout.words, layout.length))
        inbox = await exchange(out, dict.fromkeys(of, (spec,)), "products")
        for p in of:
            _receive(layout, received[p], inbox[p][0].data, lo, share)

    size = max(1, min(_TRANSFERS // bits, _LONGEST // (layout.words * layout.length)) // 64) * 64
    await pipeline((piece(lo, min(n, lo + size)) for lo in range(0, n, size)), -(-n // size))
    return share


async def cross(links: Links, k: int, f: Bilinear, x: RingArray, y: RingArray) -> RingArray:
    """Shares of the sum of f(x_i, y_j) over all ordered pairs of different parties i and j."""
    others, shape = list(links), f.shape(x.shape, y.shape)
    if not (x.size and y.size):
        return x.ring.zeros(shape)
    if f == MULTIPLY:
        flat, choices = (np.broadcast_to(z.data, shape).reshape(-1) for z in (x, y))
        share = await products(links, k, elementwise(x.ring, flat.size), rows=flat[:, None], to=others, choices=choices, of=others)
        return RingArray(x.ring, share.reshape(shape))
    a, b = _stacks(x.data, y.data)
    if min(a.shape[1:] + b.shape[2:]) >= _STRASSEN and not any(size % 2 for size in a.shape[1:] + b.shape[2:]):
        sevenths = await cross(links, k, f, RingArray(x.ring, strassen.factors(a, strassen.LEFT)), RingArray(x.ring, strassen.factors(b, strassen.RIGHT)))
        return RingArray(x.ring, strassen.product(sevenths.data.reshape(7, len(a), a.shape[1] // 2, b.shape[2] // 2)).reshape(shape))
    flip = a.shape[1] < b.shape[2]                   # rows as long as can be
    if flip:
        a, b = b.swapaxes(1, 2), a.swapaxes(1, 2)
    layout = matrices(Spec(x.ring, a.shape), Spec(x.ring, b.shape))
    rows = np.ascontiguousarray(a.swapaxes(1, 2)).reshape(-1, a.shape[1])
    share = await products(links, k, layout, rows=rows, to=others, choices=np.ascontiguousarray(b).reshape(-1), of=others)
    share = share.reshape(len(a), b.shape[2], a.shape[1])
    return RingArray(x.ring, np.ascontiguousarray(share if flip else share.swapaxes(1, 2)).reshape(shape))


def _stacks(x: NDArray, y: NDArray) -> list[NDArray]:
    """The operands of a matrix product with three axes each."""
    x, y = x[None] if x.ndim == 1 else x, y[:, None] if y.ndim == 1 else y
    stack = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    return [np.broadcast_to(z, stack + z.shape[-2:]).reshape(-1, *z.shape[-2:]) for z in (x, y)]


def _as_words(choices: NDArray) -> NDArray:
    """Ring elements as words of 64 choice bits; the last one filled up."""
    data = np.ascontiguousarray(choices).reshape(-1).view(np.uint8)
    padded = np.zeros(-(-len(data) // 8) * 8, np.uint8)
    padded[:len(data)] = data
    return padded.view(np.uint64)


def _send(layout: Layout, sent: Sent, rows: NDArray, lo: int, hi: int, share: NDArray) -> RingArray:
    from protocols.ot import kernels
    packed = np.empty((hi - lo, layout.words, layout.length), layout.ring.dtype)
    for a, b, transfers in _chunks(layout, hi - lo):
        if layout.numbers:
            h0, h1 = sent[transfers].words()
            number, out = rows[lo + a:lo + b, 0], share[lo + a:lo + b, 0]
            if layout.ring is BITS:
                kernels.send_ands(h0, h1, number, packed[a:b, 0, 0], out)
            else:
                kernels.send_numbers(h0, h1, number, layout.bits, packed[a:b, :, 0], out)
        else:
            h0, h1 = sent[transfers].pads(-(-layout.length // 2))
            source, target = layout.source[lo + a:lo + b], layout.target[lo + a:lo + b]
            kernels.send_products(h0, h1, rows, source, target, layout.bits, layout.ring.bits, packed[a:b], share)
    return RingArray(layout.ring, packed)


def _receive(layout: Layout, received: Received, packed: NDArray, lo: int, share: NDArray) -> None:
    from protocols.ot import kernels
    for a, b, transfers in _chunks(layout, len(packed)):
        part = received[transfers]
        if layout.numbers:
            number, out = part.choices.view(layout.ring.dtype)[:b - a], share[lo + a:lo + b, 0]
            if layout.ring is BITS:
                kernels.receive_ands(part.words(), number, packed[a:b, 0, 0], out)
            else:
                kernels.receive_numbers(part.words(), number, layout.bits, packed[a:b, :, 0], out)
        else:
            h, target = part.pads(-(-layout.length // 2)), layout.target[lo + a:lo + b]
            kernels.receive_products(h, part.choices, target, layout.bits, layout.ring.bits, packed[a:b], share)


def _chunks(layout: Layout, n: int) -> list[tuple[int, int, slice]]:
    """Elements whose keys stay in the cache, and their transfers, 64 at a time."""
    whole = 64 // layout.bits if layout.bits < 64 else 1
    step = max(1, _WORDS // (layout.bits * max(2, layout.length)) // whole) * whole
    return [(a, min(n, a + step), slice(a * layout.bits, -(-min(n, a + step) * layout.bits // 64) * 64)) for a in range(0, n, step)]
