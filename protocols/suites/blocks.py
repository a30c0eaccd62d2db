"""Four bits at a time: the sign of a + b, and whether a = −b, where one party knows a and the two others know
b.

In ``replicated``, party K knows a = x_K + x_{K+1}, and S and T know b = x_{K+2}.  What four bits of a and b
generate and propagate is a polynomial in the bits of a, of degree one in each; its coefficients depend on b
alone.  So K shares the 15 products of the bits of each block ("monomials") between S and T; these evaluate
the polynomials on their shares without a message, and make shares for three of what comes out: two planes per
block.

    p_i = a_i ⊕ b_i      P = p_3 p_2 p_1 p_0      G_{i+1} = a_i b_i ⊕ (a_i ⊕ b_i) G_i,   G_0 = 0
    a = −b   if and only if   all bits of a and −b are alike:  P with b_i replaced by ¬(−b)_i

Evaluation takes bit after bit: with v[S] standing for the share of a^S times what is to come, v'[S] = v[S ∪
i] ⊕ b_i v[S].

    for 64 bits                              rounds   sent by K, S and T, bytes        together, a party
    carry tree over planes                     10     8 + 15.5, 8 + 15.5, 15.5 + 8     31    (until now)
    blocks of 2 bits, 3 monomials each          9     12 + …                           25.2
    blocks of 3 bits, 7 monomials each          9     18 + …                           23.5
    blocks of 4 bits, 15 monomials each         8     29 + 3.3 + 8, 2 × (4 + 3.3 + 8)      23.7

with the tree above the blocks, and the way back to the ring (2 rounds, 8 bytes each).  The roles change from
call to call.

Threat   semi-honest, 1 of 3.  T receives monomials masked by a stream of K and S; S and T exchange words
         masked by streams that each of them shares with K alone.
Cost     2 rounds.  K sends 233 bits, S and T 32 each (for zero: 240 and 16).
Source   that x_K + x_{K+1} is known to one party and x_{K+2} to two: Mohassel, Rindal, ePrint 2018/403
         (ABY3), section 5.3.  Blocks by sharing all monomials: our own, in the manner of one-time truth
         tables (Ishai, Kushilevitz, Meldgaard, Orlandi, Paskin-Cherniavsky, TCC 2013), for a function that is
         one party's in one argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mpc.bits import planes, words_for
from mpc.ring import BITS, NDArray, RingArray, Spec, worth_compiling
from mpc.rounds import exchange
from protocols.suite import Share

if TYPE_CHECKING:
    from protocols.suites.replicated import Replicated

#: Blocks of fewer words than this do not wake the compiler.
_SMALL = 1 << 13


async def signs(suite: Replicated, x: Share, knower: int) -> Share:
    """G and P, in two rows, of blocks of four planes, lowest first, whose carry out of the last is the sign
    of x.
    """
    # of the last block three bits are used, and the top bit as it is
    n = x.ring.bits // 4
    return await _blocks(suite, x, knower, n - 1, 2)


async def zeros(suite: Replicated, x: Share, knower: int) -> Share:
    """Planes that are all one where x = 0, one of four planes."""
    return (await _blocks(suite, x, knower, x.ring.bits // 4, 1, opposite=True))[0]


async def _blocks(
    suite: Replicated, x: Share, knower: int, whole: int, rows: int, opposite: bool = False
) -> Share:
    """K shares the monomials of its term's bits, S and T evaluate what blocks generate and propagate (or
    propagate only).

    Of the blocks, ``whole`` have all fifteen monomials; of the others the last bit is shared as it is.
    """
    rank, w, n = suite.seat.rank, words_for(x.size), x.ring.bits // 4
    second, third = (knower + 1) % 3, (knower + 2) % 3
    out, spec = Spec(BITS, (rows, n, w)), Spec(BITS, (7 * n + 8 * whole + n - whole, w))
    if rank == knower:
        masked = suite.seat.pair[second].draw(spec)
        shared = RingArray(BITS, with_monomials(masked.data, planes(x.parts[0] + x.parts[1]).data, whole))
        await exchange({third: (shared,)}, tag="monomials")
        return await suite.from_two(knower, None, out, "blocks")
    if rank == second:
        term, words = x.parts[1], suite.seat.pair[knower].draw(spec)
        await exchange(tag="monomials")
    else:
        term, (words,) = x.parts[0], (await exchange(recv={knower: (spec,)}, tag="monomials"))[knower]
    bits = planes(-term if opposite else term).data
    return await suite.from_two(
        knower,
        RingArray(BITS, evaluated(words.data, bits, whole, rank == second, opposite, rows)),
        out,
        "blocks",
    )


def with_monomials(mask: NDArray, bits: NDArray, whole: int) -> NDArray:
    """The monomials, masked; ``mask`` may be used up."""
    if not worth_compiling(bits.size, _SMALL):
        return with_monomials_twin(mask, bits, whole)
    from mpc import kernels

    # a short draw is a view of the stream's own buffer
    out = mask if mask.flags.writeable else mask.copy()
    kernels.monomials(bits, whole, out)
    return out


def evaluated(words: NDArray, bits: NDArray, whole: int, first: bool, complement: bool, rows: int) -> NDArray:
    """Shares of what blocks generate and propagate from shares of monomials; ``first`` is who holds the empty
    one.
    """
    if not worth_compiling(bits.size, _SMALL):
        return evaluated_twin(words, bits, whole, first, complement, rows)
    from mpc import kernels

    return kernels.evaluate(words, bits, whole, first, complement, rows)


# -- what the kernels do, plane by plane ---------------------------------------------------------------


def with_monomials_twin(mask: NDArray, bits: NDArray, whole: int) -> NDArray:
    return np.asarray(mask ^ _monomials(bits.reshape(len(bits) // 4, 4, bits.shape[1]).swapaxes(0, 1), whole))


def evaluated_twin(
    words: NDArray, bits: NDArray, whole: int, first: bool, complement: bool, rows: int
) -> NDArray:
    n, w = bits.shape[0] // 4, bits.shape[1]
    b, one = bits.reshape(n, 4, w).swapaxes(0, 1) ^ _word(complement), _word(first)
    lower = np.concatenate([np.full((1, n, w), one), words[: 7 * n].reshape(7, n, w)])
    upper, top = words[7 * n : 7 * n + 8 * whole].reshape(8, whole, w), words[7 * n + 8 * whole :]
    g, p = _generate(lower, b).copy(), _propagate(lower, b).copy()
    g[:whole] = _generate(upper, b[:, :whole]) ^ b[3, :whole] & (g[:whole] ^ upper[0])
    p[:whole] = _propagate(upper, b[:, :whole]) ^ b[3, :whole] & p[:whole]
    g[whole:] ^= top ^ one & b[3, whole:]
    return np.stack([g, p][-rows:])


def _word(on: bool) -> np.uint64:
    return np.uint64(2**64 - 1 if on else 0)


def _monomials(a: NDArray, whole: int) -> NDArray:
    """Products of the bits a_0 … a_3 of each block: of the lower three bits, these times the last bit, the
    last bits that are left.
    """
    _, n, w = a.shape
    out = np.empty((7 * n + 8 * whole + n - whole, w), np.uint64)
    lower, upper = out[: 7 * n].reshape(7, n, w), out[7 * n : 7 * n + 8 * whole].reshape(8, whole, w)
    for i in range(3):
        lower[(1 << i) - 1] = a[i]
        np.bitwise_and(lower[: (1 << i) - 1], a[i], out=lower[1 << i : (2 << i) - 1])
    upper[0] = a[3, :whole]
    np.bitwise_and(lower[:, :whole], a[3, :whole], out=upper[1:])
    out[7 * n + 8 * whole :] = a[3, whole:]
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
