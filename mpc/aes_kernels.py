"""The key stream of AES-128 in counter mode, by the processor's own instructions, inside compiled loops.

    block i = AES(key, i),  i in 16 bytes, the most significant first

A loop that needs masks makes them where it needs them, a few thousand bytes ahead of their use, which stay in
the first-level cache.  An instruction does a round of one block; where the processor has VAES of two, and
with AVX-512 of four.  Eight are under way at a time, for each waits some cycles for the one before it.  The
loops are all in this file, for what Numba keeps on the disk is as old as its file; each has a plain twin in
``tests/test_masking.py``.

Neither the time nor the memory that is touched depends on key or counter.  ``mpc.prg`` alone decides which
blocks are used, each once.

Source   FIPS 197 (rounds, key schedule); SP 800-38A, section 6.5; S. Gueron, Intel AES-NI white paper (2010),
         figure 24 (the schedule by AESKEYGENASSIST).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from mpc.compiling import njit
from mpc.ring import NDArray

_instruction: Any = cgutils.get_or_insert_function


def _features() -> set[str]:
    """What Numba compiles for, which may be less than the processor has."""
    codegen: Any = cpu_target.target_context.codegen()
    machine, _, features = codegen.magic_tuple()
    asleep: int = vars(config)["DISABLE_JIT"]
    return set() if asleep or not machine.startswith("x86_64") else set(features.split(","))


#: Whether there are the instructions.
THERE = "+aes" in _features()

_WIDTH = 1 if not {"+vaes", "+avx2"} <= _features() else 4 if "+avx512f" in _features() else 2
_ABREAST = 8

#: Words that one call makes, of which a multiple is cheapest.
GROUP = 2 * _WIDTH * _ABREAST

#: Words of masks that are made ahead of their use: with what they mask they stay in the first-level cache.
AHEAD = 512

_I8, _I32, _I64 = (ir.IntType(n) for n in (8, 32, 64))


def _data(context: Any, builder: Any, type_: Any, array: Any, of: Any) -> Any:
    return builder.bitcast(context.make_array(type_)(context, builder, array).data, of.as_pointer())


def _at(builder: Any, pointer: Any, index: Any) -> Any:
    return builder.gep(pointer, [index if not isinstance(index, int) else ir.Constant(_I64, index)])


def _blocks_code(typing: Any, keys: Any, first: Any, out: Any, at: Any) -> Any:
    """Words ``at`` to at + GROUP − 1 of ``out``, contiguous, become blocks ``first`` and following."""
    if keys.layout != "C" or out.layout != "C":
        raise TypingError("blocks are written to contiguous words")

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(_I64, 2 * _WIDTH)
        name = "llvm.x86.aesni.aesenc" + {1: "", 2: ".256", 4: ".512"}[_WIDTH]
        form = ir.FunctionType(vector, [vector, vector])
        middle, last = (
            _instruction(builder.module, form, called)
            for called in (name, name.replace("aesenc", "aesenclast"))
        )
        swapped = builder.module.declare_intrinsic("llvm.bswap", [_I64])
        block = ir.VectorType(_I64, 2)
        table = _data(context, builder, signature.args[0], arguments[0], block)

        def key(i: int) -> Any:
            one = builder.load(_at(builder, table, i), align=8)
            return builder.shuffle_vector(
                one, one, ir.Constant(ir.VectorType(_I32, 2 * _WIDTH), [0, 1] * _WIDTH)
            )

        states, whitening = [], key(0)
        for v in range(_ABREAST):
            counters = ir.Constant(vector, [0] * (2 * _WIDTH))
            for b in range(_WIDTH):
                number = builder.add(arguments[1], ir.Constant(_I64, v * _WIDTH + b))
                low = builder.call(swapped, [number])
                counters = builder.insert_element(counters, low, ir.Constant(_I32, 2 * b + 1))
            states.append(builder.xor(counters, whitening))
        for i in range(1, 11):
            now = key(i)
            states = [builder.call(middle if i < 10 else last, [state, now]) for state in states]
        words = _data(context, builder, signature.args[2], arguments[2], _I64)
        target = builder.bitcast(_at(builder, words, arguments[3]), vector.as_pointer())
        for v, state in enumerate(states):
            builder.store(state, _at(builder, target, v), align=8)
        return context.get_dummy_value()

    return types.void(keys, types.uint64, out, types.int64), code


def _schedule_code(typing: Any, keys: Any) -> Any:
    """The ten further round keys, behind the first."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide, block = ir.VectorType(_I32, 4), ir.VectorType(_I64, 2)
        form = ir.FunctionType(block, [block, _I8])
        assist = _instruction(builder.module, form, "llvm.x86.aesni.aeskeygenassist")
        table = _data(context, builder, signature.args[0], arguments[0], block)
        nothing = ir.Constant(wide, [0] * 4)
        moved, fourth = (ir.Constant(wide, order) for order in ([4, 0, 1, 2], [3, 3, 3, 3]))
        now = builder.load(_at(builder, table, 0), align=8)
        for i, constant in enumerate((1, 2, 4, 8, 16, 32, 64, 128, 27, 54)):
            turned = builder.bitcast(builder.call(assist, [now, ir.Constant(_I8, constant)]), wide)
            words = builder.bitcast(now, wide)
            for _ in range(3):  # each word takes in those before it
                shifted = builder.shuffle_vector(builder.bitcast(now, wide), nothing, moved)
                now = builder.bitcast(shifted, block)
                words = builder.xor(words, shifted)
            words = builder.xor(words, builder.shuffle_vector(turned, nothing, fourth))
            now = builder.bitcast(words, block)
            builder.store(now, _at(builder, table, i + 1), align=8)
        return context.get_dummy_value()

    return types.void(keys), code


_blocks: Any = intrinsic(_blocks_code)
_schedule: Any = intrinsic(_schedule_code)


@njit(cache=True, boundscheck=False, nogil=True)
def _expand(keys: Any) -> None:
    _schedule(keys)


@njit(cache=True, boundscheck=False, nogil=True)
def stream(keys: Any, first: Any, out: Any) -> None:
    """Whole blocks from ``first`` on, as words."""
    whole = len(out) - len(out) % GROUP
    for at in range(0, whole, GROUP):
        _blocks(keys, first + np.uint64(at // 2), out, at)
    if whole < len(out):
        rest = np.empty(GROUP, np.uint64)
        _blocks(keys, first + np.uint64(whole // 2), rest, 0)
        for i in range(whole, len(out)):
            out[i] = rest[i - whole]


def expanded(key: bytes) -> NDArray:
    """The eleven round keys."""
    keys = np.zeros(22, np.uint64)
    keys[:2] = np.frombuffer(key, np.uint64)
    _expand(keys)
    return keys


# -- loops that mask ---------------------------------------------------------------------------------


@njit(cache=True, boundscheck=False, nogil=True)
def _masks(keys: Any, first: Any, lo: int, n: int, words: Any, out: Any) -> None:
    """Elements lo to lo + n − 1 of a stream, where it is one; lo begins a block."""
    if len(keys):
        size = out.itemsize
        stream(keys, first + np.uint64(lo * size // 16), words[: (n * size + 15) // 16 * 2])


# Loops over slices of one length, which LLVM makes into loops over vectors.


@njit(cache=True, boundscheck=False, nogil=True)
def _cross(x0: Any, x1: Any, y0: Any, y1: Any, plus: Any, minus: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = x0[i] * (y0[i] + y1[i]) + x1[i] * y0[i] + plus[i] - minus[i]


@njit(cache=True, boundscheck=False, nogil=True)
def _cross_bits(x0: Any, x1: Any, y0: Any, y1: Any, plus: Any, minus: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = (x0[i] & (y0[i] ^ y1[i])) ^ (x1[i] & y0[i]) ^ plus[i] ^ minus[i]


@njit(cache=True, boundscheck=False, nogil=True)
def cross(
    x0: Any, x1: Any, y0: Any, y1: Any, k_plus: Any, first_plus: Any, k_minus: Any, first_minus: Any, out: Any
) -> None:
    """x₀·(y₀ + y₁) + x₁·y₀ + plus − minus."""
    plus_words, minus_words = np.zeros(AHEAD, np.uint64), np.zeros(AHEAD, np.uint64)
    plus, minus = plus_words.view(out.dtype), minus_words.view(out.dtype)
    for lo in range(0, len(out), len(plus)):
        n = min(len(plus), len(out) - lo)
        _masks(k_plus, first_plus, lo, n, plus_words, out)
        _masks(k_minus, first_minus, lo, n, minus_words, out)
        hi = lo + n
        _cross(x0[lo:hi], x1[lo:hi], y0[lo:hi], y1[lo:hi], plus, minus, out[lo:hi])


@njit(cache=True, boundscheck=False, nogil=True)
def cross_bits(
    x0: Any, x1: Any, y0: Any, y1: Any, k_plus: Any, first_plus: Any, k_minus: Any, first_minus: Any, out: Any
) -> None:
    """The same of packed bits."""
    plus, minus = np.zeros(AHEAD, np.uint64), np.zeros(AHEAD, np.uint64)
    for lo in range(0, len(out), len(plus)):
        n = min(len(plus), len(out) - lo)
        _masks(k_plus, first_plus, lo, n, plus, out)
        _masks(k_minus, first_minus, lo, n, minus, out)
        hi = lo + n
        _cross_bits(x0[lo:hi], x1[lo:hi], y0[lo:hi], y1[lo:hi], plus, minus, out[lo:hi])
