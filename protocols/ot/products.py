"""Products of what one party knows and what another knows, by correlated oblivious transfers.

The receiver chooses by the bits b_i of its number b; transfer i gives it h_i or h_i + a of the sender's
choosing, and

    a·b = Σ (h_i + b_i·a)·2^i − Σ h_i·2^i

The sender takes its first key for h_i and sends d_i = (first key − second key + a) mod 2^(k−i), since the
rest of it is shifted out; the receiver adds d_i to its key where b_i = 1.  d_i and d_{k−i} make one word:
k/2 + 1 words for k transfers.

Of matrices A·B, an element of B[κ, n] multiplies the whole row A[:, κ]; rows of some length are multiplied by
two bits of it at a time (``vole``): k/4 + 1 words for each element of the row.  Over packed bits a transfer
gives one bit, and d_i is one.

Threat   semi-honest.  What the sender sends is masked by keys the receiver lacks; the receiver's bits are
         hidden by the transfers.
Cost     two rounds.  Between two parties, for a product over Z_2^64: 64 transfers (256 bytes from the
         receiver for k = 4), 264 bytes from the sender.  Over packed bits: 4 bytes and a bit for each.
         A matrix product m×n×p with m ≥ 8: 64·n·p transfers, and from the sender 136·m·n·p bytes and 1024·n·p
         for the trees; with shorter rows 264·m·n·p.  All is bilinear, and of large matrices seven products of
         quadrants are made instead of eight (256 × 256 × 256: 49 of 64 × 64 × 64, three quarters of it all).
         Over Z_2^128 twice as many transfers of words twice as long: 128 of them and 1040 bytes for a
         product, and as much for each element of a matrix product's rows, which digits of two bits do not
         shorten.  Of m·n + n·p + m·p nothing linear can come of this: each digit of B needs a mask as long as
         a row, which must be new.  With 2^g seeds for g bits the bytes go down by g and the computing up by
         2^g / g; two bits take no more of it than one.  We know of no way from transfers and symmetric
         cryptography alone that saves more than such a factor; linear ones rest on homomorphic encryption
         (Chen et al., ASIACRYPT 2020) or on LPN over rings (Boyle et al., CRYPTO 2020).
Source   Gilboa, CRYPTO 1999, section 4.1; the shorter words: Demmler, Schneider, Zohner, NDSS 2015 (ABY),
         section V.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mpc import strassen
from mpc.ring import BITS, NDArray, Ring, RingArray, Spec
from mpc.rounds import exchange, pipeline
from protocols.bilinear import MULTIPLY, Bilinear
from protocols.ot.extension import Links, Received, Sent
from protocols.ot.vole import plant, prune, sums_spec

#: Transfers of one piece; of these, words of keys made at a time, or transfers that trees, and words of rows,
#: are made of at a time.
_TRANSFERS, _WORDS, _TREES, _ROWS = 1 << 17, 1 << 16, 1 << 13, 1 << 15
_LONGEST = 1 << 19  # words that a piece may send

#: Rows from this length on save more bytes by digits of two bits than a tree costs.
_SHORT = 8

#: Matrices with sides of at least so much are cut into quadrants; below, longer rows save more than fewer
#: products.
_STRASSEN = 128


@dataclass(frozen=True, slots=True)
class Layout:
    """Which row of the sender's each element multiplies, and which row of the result it is added to.

    Elements have ``bits`` choice bits each: those of a ring element, or one.
    """

    ring: Ring
    bits: int
    length: int  # of a row
    results: int  # rows
    source: NDArray
    target: NDArray

    @property
    def trees(self) -> int:
        """Digits of two bits that an element is cut into, or 0 where it is multiplied bit by bit."""
        return self.bits // 2 if self.bits > 1 and self.length >= _SHORT and not self.wide else 0

    @property
    def wide(self) -> bool:
        """Whether ring elements are of two words."""
        return self.ring.bits > 64

    @property
    def key_words(self) -> int:
        """Words of a key that is as long as a row."""
        return self.length * (2 if self.wide else 1)

    @property
    def lengths(self) -> tuple[int, int, int]:
        """Digits that take rows of 64-bit words, the others taking 32 bits; and the blocks of either row."""
        return (self.ring.bits - 32) // 2, -(-self.length // 2), -(-self.length // 4)

    @property
    def numbers(self) -> bool:
        """Whether all is element by element, which is quicker."""
        return self.source is self.target and self.length == 1 and self.bits > 1 and not self.wide

    @property
    def words(self) -> int:
        """Ring elements that the sender sends for an element of the receiver's and one of a row."""
        return 1 if self.bits == 1 or self.ring is BITS else (self.trees or self.bits) // 2 + 1


def elementwise(ring: Ring, n: int, *, bits: int = 0, length: int = 1) -> Layout:
    """n products of ring elements; with ``bits=1``, of n bits and rows of that length."""
    every = np.arange(n)
    return Layout(ring, bits or (64 if ring is BITS else ring.bits), length, n, every, every)


def matrices(x: Spec, y: Spec) -> Layout:
    """Products of stacks (s, m, k) and (s, k, n) of matrices: rows are columns of x, (s·k, m); results (s·n,
    m).
    """
    s, m, k = x.shape
    n = y.shape[2]
    e = np.arange(s * k * n)
    return Layout(x.ring, x.ring.bits, m, s * n, e // n, e // (k * n) * n + e % n)


async def products(
    links: Links,
    layout: Layout,
    *,
    rows: NDArray | None = None,
    to: Sequence[int] = (),
    choices: NDArray | None = None,
    of: Sequence[int] = (),
) -> NDArray:
    """This party's shares (results, length) of the products of its ``rows`` with each of the choices of the
    parties ``to``, and of its ``choices`` (ring elements; or bits, 64 to a word) with each of the rows of the
    parties ``of``.

    All parties call it, with nobody in ``to`` and ``of`` if need be.
    """
    share = np.zeros((layout.results, layout.length), layout.ring.dtype)
    bits, n = layout.bits, len(layout.source)
    words = None if choices is None else _as_words(choices)

    async def piece(lo: int, hi: int) -> None:
        first, last = lo * bits // 64, -(-hi * bits // 64)
        mine = {p: words[first:last] for p in of} if words is not None else {}
        received, sent = await links.extend(mine, dict.fromkeys(to, last - first))
        out = {}
        for p in to:
            assert rows is not None
            out[p] = _send(layout, sent[p], rows, lo, hi, share)
        specs = (
            Spec(layout.ring, (hi - lo, layout.words, layout.length)),
            sums_spec((hi - lo) * layout.trees),
        )
        inbox = await exchange(out, dict.fromkeys(of, specs), "products")
        for p in of:
            _receive(layout, received[p], inbox[p][0].data, inbox[p][1].data, lo, share)

    size = max(1, min(_TRANSFERS // bits, _LONGEST // (layout.words * layout.length)) // 64) * 64
    await pipeline((piece(lo, min(n, lo + size)) for lo in range(0, n, size)), -(-n // size))
    return share


async def cross(links: Links, f: Bilinear, x: RingArray, y: RingArray) -> RingArray:
    """Shares of the sum of f(x_i, y_j) over all ordered pairs of different parties i and j."""
    others, shape = links.peers, f.shape(x.shape, y.shape)
    if not (x.size and y.size):
        return x.ring.zeros(shape)
    if f == MULTIPLY:
        flat, choices = (np.broadcast_to(z.data, shape).reshape(-1) for z in (x, y))
        share = await products(
            links, elementwise(x.ring, flat.size), rows=flat[:, None], to=others, choices=choices, of=others
        )
        return RingArray(x.ring, share.reshape(shape))
    a, b = _stacks(x.data, y.data)
    if (
        x.ring.bits <= 64
        and min(a.shape[1:] + b.shape[2:]) >= _STRASSEN
        and not any(size % 2 for size in a.shape[1:] + b.shape[2:])
    ):
        sevenths = await cross(
            links,
            f,
            RingArray(x.ring, strassen.factors(a, strassen.LEFT)),
            RingArray(x.ring, strassen.factors(b, strassen.RIGHT)),
        )
        return RingArray(
            x.ring,
            strassen.product(sevenths.data.reshape(7, len(a), a.shape[1] // 2, b.shape[2] // 2)).reshape(
                shape
            ),
        )
    flip = a.shape[1] < b.shape[2]  # rows as long as can be
    if flip:
        a, b = b.swapaxes(1, 2), a.swapaxes(1, 2)
    layout = matrices(Spec(x.ring, a.shape), Spec(x.ring, b.shape))
    rows = np.ascontiguousarray(a.swapaxes(1, 2)).reshape(-1, a.shape[1])
    share = await products(
        links, layout, rows=rows, to=others, choices=np.ascontiguousarray(b).reshape(-1), of=others
    )
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
    padded[: len(data)] = data
    return padded.view(np.uint64)


def _send(
    layout: Layout, sent: Sent, rows: NDArray, lo: int, hi: int, share: NDArray
) -> tuple[RingArray, RingArray]:
    from protocols.ot import limb_kernels as wide
    from protocols.ot import matrix_kernels, product_kernels

    packed, trees, width = (
        np.empty((hi - lo, layout.words, layout.length), layout.ring.dtype),
        layout.trees,
        layout.ring.bits,
    )
    sums = np.empty(sums_spec((hi - lo) * trees).shape, np.uint64)
    for a, b, transfers in _chunks(layout, hi - lo):
        part, source, target = sent[transfers], layout.source[lo + a : lo + b], layout.target[lo + a : lo + b]
        if layout.numbers:
            number, out = rows[lo + a : lo + b, 0], share[lo + a : lo + b, 0]
            if layout.ring is BITS:
                product_kernels.send_ands(*part.words(), number, packed[a:b, 0, 0], out)
            else:
                product_kernels.send_numbers(*part.words(), number, layout.bits, packed[a:b, :, 0], out)
        elif trees:
            leaves, sums[a * trees : b * trees] = plant(part)
            for c, d, streams in _streams(layout, part, leaves):
                matrix_kernels.send_rows(
                    *streams,
                    layout.lengths,
                    width,
                    rows,
                    source[c:d],
                    target[c:d],
                    packed[a + c : a + d],
                    share,
                )
        else:
            h0, h1 = part.keys() if layout.key_words <= 2 else part.pads(-(-layout.key_words // 2))
            if layout.wide:
                wide.send_products(
                    h0, h1, _words(rows), source, target, layout.bits, _words(packed[a:b]), _words(share)
                )
            else:
                product_kernels.send_products(
                    h0, h1, rows, source, target, layout.bits, width, packed[a:b], share
                )
    return RingArray(layout.ring, packed), RingArray(BITS, sums)


def _receive(
    layout: Layout, received: Received, packed: NDArray, sums: NDArray, lo: int, share: NDArray
) -> None:
    from protocols.ot import limb_kernels as wide
    from protocols.ot import matrix_kernels, product_kernels

    trees = layout.trees
    for a, b, transfers in _chunks(layout, len(packed)):
        part, target = received[transfers], layout.target[lo + a : lo + b]
        if layout.numbers:
            number, out = part.choices.view(layout.ring.dtype)[: b - a], share[lo + a : lo + b, 0]
            if layout.ring is BITS:
                product_kernels.receive_ands(part.words(), number, packed[a:b, 0, 0], out)
            else:
                product_kernels.receive_numbers(part.words(), number, layout.bits, packed[a:b, :, 0], out)
        elif trees:
            for c, d, streams in _streams(layout, part, prune(part, sums[a * trees : b * trees])):
                matrix_kernels.receive_rows(
                    *streams,
                    layout.lengths,
                    part.choices,
                    c * layout.bits,
                    target[c:d],
                    packed[a + c : a + d],
                    share,
                )
        else:
            h = part.keys() if layout.key_words <= 2 else part.pads(-(-layout.key_words // 2))
            if layout.wide:
                wide.receive_products(
                    h, part.choices, target, layout.bits, _words(packed[a:b]), _words(share)
                )
            else:
                product_kernels.receive_products(
                    h, part.choices, target, layout.bits, layout.ring.bits, packed[a:b], share
                )


def _words(x: NDArray) -> NDArray:
    """The words of numbers of two, along the last axis; a view of what is contiguous."""
    return np.ascontiguousarray(x).view(np.uint64)


def _streams(
    layout: Layout, part: Sent | Received, leaves: NDArray
) -> Iterator[tuple[int, int, tuple[NDArray, NDArray, NDArray]]]:
    """Some elements at a time and the rows of their leaves, as ``matrix_kernels.send_rows`` takes them."""
    once = part.hash.once(np.ascontiguousarray(leaves)).reshape(-1, layout.trees, leaves.shape[1], 2)
    wide, long, short = lengths = layout.lengths
    blocks = once.shape[2] * (wide * long + (layout.trees - wide) * short)
    step, n = max(1, _ROWS // (2 * blocks)), len(once)
    room = np.empty(2 * (min(n, step) * blocks + 1), np.uint64)
    for lo in range(0, n, step):
        hi = min(n, lo + step)
        words = part.hash.stretched(once[lo:hi], part.first + lo * layout.bits, lengths, room)
        yield lo, hi, (words, words.view(np.uint32), once[lo:hi])


def _chunks(layout: Layout, n: int) -> list[tuple[int, int, slice]]:
    """Elements whose keys or trees stay in the cache, from a multiple of 64 transfers on, and their
    transfers.
    """
    whole = 64 // layout.bits if layout.bits < 64 else 1
    transfers = _TREES if layout.trees else _WORDS // max(2, layout.key_words)
    step = max(1, transfers // layout.bits // whole) * whole
    return [
        (a, min(n, a + step), slice(a * layout.bits, min(n, a + step) * layout.bits))
        for a in range(0, n, step)
    ]
