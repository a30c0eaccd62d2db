"""Four bits of a sum at a time: what a block generates and propagates, from shares of the products of its
bits.

Let a be shared and b known to those who hold shares.  Of the bits a_0 … a_3 and b_0 … b_3 of a block,
bit-sliced,

    p_i = a_i ⊕ b_i      P = p_3 p_2 p_1 p_0      G_{i+1} = a_i b_i ⊕ (a_i ⊕ b_i) G_i,   G_0 = 0

are polynomials in the bits of a, of degree one in each; their coefficients depend on b alone.  So from
shares of the 15 products of a's bits ("monomials") shares of G_4 and P follow without a message.  And

    a = −b   if and only if   all bits of a and −b are alike:  P with b_i replaced by ¬(−b)_i

Evaluation takes bit after bit: with v[S] standing for the share of a^S times what is to come, v'[S] = v[S ∪
i] ⊕ b_i v[S].

Of n blocks, ``whole`` have all fifteen monomials; of the others the last bit is shared as it is.  They come
in rows of ⌈numbers/64⌉ words: 7n products of the lower three bits, 8·whole of these times the last bit, and
the n − whole last bits that are left.

Source   our own, in the manner of one-time truth tables (Ishai, Kushilevitz, Meldgaard, Orlandi,
         Paskin-Cherniavsky, TCC 2013), for a function that is one party's, or nobody's, in one argument.
"""

from __future__ import annotations

import numpy as np

from mpc.ring import NDArray, worth_compiling

#: Blocks of fewer words than this do not wake the compiler.
_SMALL = 1 << 13


def rows(blocks: int, whole: int) -> int:
    """How many planes the monomials of so many blocks take."""
    return 7 * blocks + 8 * whole + blocks - whole


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
