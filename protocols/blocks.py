"""Four bits at a time: the sign of a + b, and whether a = −b, where one party knows a and the two others know b.

In ``replicated``, party K knows a = x_K + x_{K+1}, and S and T know b = x_{K+2}.  What four bits of a and b generate
and propagate is a polynomial in the bits of a, of degree one in each; its coefficients depend on b alone.  So K shares
the 15 products of the bits of each block ("monomials") between S and T; these evaluate the polynomials on their shares
without a message, and make shares for three of what comes out: two planes per block.

    p_i = a_i ⊕ b_i      P = p_3 p_2 p_1 p_0      G_{i+1} = a_i b_i ⊕ (a_i ⊕ b_i) G_i,   G_0 = 0
    a = −b   if and only if   all bits of a and −b are alike:  P with b_i replaced by ¬(−b)_i

Evaluation takes bit after bit: with v[S] standing for the share of a^S times what is to come, v'[S] = v[S ∪ i] ⊕ b_i v[S].

    for 64 bits                              rounds   sent by K, S and T, bytes        together, a party
    carry tree over planes                     10     8 + 15.5, 8 + 15.5, 15.5 + 8     31    (until now)
    blocks of 2 bits, 3 monomials each          9     12 + …                           25.2
    blocks of 3 bits, 7 monomials each          9     18 + …                           23.5
    blocks of 4 bits, 15 monomials each         8     29 + 3.3 + 8, 2 × (4 + 3.3 + 8)      23.7

with the tree above the blocks, and the way back to the ring (2 rounds, 8 bytes each).  The roles change from call to call.

Threat   semi-honest, 1 of 3.  T receives monomials masked by a stream of K and S; S and T exchange words masked by
         streams that each of them shares with K alone.
Cost     2 rounds.  K sends 233 bits, S and T 32 each (for zero: 240 and 16).
Source   that x_K + x_{K+1} is known to one party and x_{K+2} to two: Mohassel, Rindal, ePrint 2018/403 (ABY3), section
         5.3.  Blocks by sharing all monomials: our own, in the manner of one-time truth tables (Ishai, Kushilevitz,
         Meldgaard, Orlandi, Paskin-Cherniavsky, TCC 2013), for a function that is one party's in one argument.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mpc.bits import planes, words_for
from mpc.ring import BITS, NDArray, RingArray, Spec
from mpc.rounds import exchange
from protocols.suite import Share

if TYPE_CHECKING:
    from protocols.replicated import Replicated

_ONES, _NONE = np.uint64(2**64 - 1), np.uint64(0)


async def signs(suite: Replicated, x: Share, knower: int) -> Share:
    """G and P, in two rows, of blocks of four planes, lowest first, whose carry out of the last is the sign of x."""
    n = x.ring.bits // 4                             # of the last block three bits are used, and the top bit as it is
    mine, b = await _shared(suite, x, knower, n, n - 1)
    out = Spec(BITS, (2, n, words_for(x.size)))
    result = None
    if mine is not None:
        lower, upper, top = mine
        g, p, b3 = _generate(lower, b), _propagate(lower, b), b[3]
        g[:-1] = _generate(upper, b[:, :-1]) ^ b3[:-1] & (g[:-1] ^ upper[0])
        p[:-1] = _propagate(upper, b[:, :-1]) ^ b3[:-1] & p[:-1]
        g[-1] ^= top[0] if suite.seat.rank == (knower + 2) % 3 else top[0] ^ b3[-1]
        result = RingArray(BITS, np.stack([g, p]))
    return await suite.from_two(knower, result, out, "blocks")


async def zeros(suite: Replicated, x: Share, knower: int) -> Share:
    """Planes that are all one where x = 0, one of four planes."""
    n = x.ring.bits // 4
    mine, b = await _shared(suite, x, knower, n, n, opposite=True)
    out = Spec(BITS, (n, words_for(x.size)))
    result = None
    if mine is not None:
        lower, upper, _ = mine
        b = ~b
        result = RingArray(BITS, _propagate(upper, b) ^ b[3] & _propagate(lower, b))
    return await suite.from_two(knower, result, out, "blocks")


async def _shared(suite: Replicated, x: Share, knower: int, n: int, whole: int,
                  opposite: bool = False) -> tuple[tuple[NDArray, NDArray, NDArray] | None, NDArray]:
    """The bits of one's term in blocks, and at S and T their shares of the monomials of K's.

    Of n blocks, ``whole`` have all fifteen; of the others the last bit is shared as it is.  The monomials come as those
    of the lower three bits (the empty one first), these times the last bit, and what is left.
    """
    rank, w = suite.seat.rank, words_for(x.size)
    second, third = (knower + 1) % 3, (knower + 2) % 3
    term = x.parts[0] + x.parts[1] if rank == knower else x.parts[1] if rank == second else x.parts[0]
    bits = planes(-term if opposite and rank != knower else term).data.reshape(n, 4, w).swapaxes(0, 1)
    spec = Spec(BITS, (7 * n + 8 * whole + n - whole, w))
    if rank == knower:
        mask = suite.seat.pair[second].draw(spec)
        await exchange({third: (RingArray(BITS, _monomials(bits, whole)) + mask,)}, tag="monomials")
        return None, bits
    if rank == second:
        words = suite.seat.pair[knower].draw(spec).data
        await exchange(tag="monomials")
    else:
        words = (await exchange(recv={knower: (spec,)}, tag="monomials"))[knower][0].data
    lower = np.empty((8, n, w), np.uint64)
    lower[0] = _ONES if rank == second else _NONE    # the empty product
    lower[1:] = words[:7 * n].reshape(7, n, w)
    return (lower, words[7 * n:7 * n + 8 * whole].reshape(8, whole, w), words[7 * n + 8 * whole:]), bits


def _monomials(a: NDArray, whole: int) -> NDArray:
    """Products of the bits a_0 … a_3 of each block, in the order in which ``_shared`` takes them apart."""
    _, n, w = a.shape
    out = np.empty((7 * n + 8 * whole + n - whole, w), np.uint64)
    lower, upper = out[:7 * n].reshape(7, n, w), out[7 * n:7 * n + 8 * whole].reshape(8, whole, w)
    for i in range(3):
        lower[(1 << i) - 1] = a[i]
        np.bitwise_and(lower[:(1 << i) - 1], a[i], out=lower[1 << i:(2 << i) - 1])
    upper[0] = a[3, :whole]
    np.bitwise_and(lower[:, :whole], a[3, :whole], out=upper[1:])
    out[7 * n + 8 * whole:] = a[3, whole:]
    return out


def _propagate(v: NDArray, b: NDArray) -> NDArray:
    """p_2 p_1 p_0 times what v is times, from shares v[S] of the monomials."""
    for bit in b[:3]:
        v = v[1::2] ^ (bit & v[0::2])
    return np.asarray(v[0])


def _generate(v: NDArray, b: NDArray) -> NDArray:
    """G_3 times what v is times; a^S G_{i+1} = b_i a^(S ∪ i) ⊕ a^(S ∪ i) G_i ⊕ b_i a^S G_i."""
    u, v = b[0] & v[1::2], v[0::2]
    for bit in b[1:3]:
        u, v = u[1::2] ^ (bit & (v[1::2] ^ u[0::2])), v[0::2]
    return np.asarray(u[0])
