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

#: Elements that are whole groups, of any ring.
ALIGNED = 2 * GROUP

#: Words of masks that are made ahead of their use: with what they mask they stay in the first-level cache.
AHEAD = 512

_I8, _I32, _I64 = (ir.IntType(n) for n in (8, 32, 64))


def _data(context: Any, builder: Any, type_: Any, array: Any, of: Any) -> Any:
    return builder.bitcast(context.make_array(type_)(context, builder, array).data, of.as_pointer())


def _at(builder: Any, pointer: Any, index: Any) -> Any:
    return builder.gep(pointer, [index if not isinstance(index, int) else ir.Constant(_I64, index)])


def _contiguous_words(*arrays: Any) -> None:
    if any(array.layout != "C" or array.dtype != types.uint64 for array in arrays):
        raise TypingError("blocks are read from and written to contiguous words")


class _Rounds:
    """The ten rounds of as many states, a vector each, as one call works on."""

    def __init__(self, context: Any, builder: Any, type_: Any, keys: Any) -> None:
        self._builder, self.vector = builder, ir.VectorType(_I64, 2 * _WIDTH)
        self._table = _data(context, builder, type_, keys, ir.VectorType(_I64, 2))
        name = "llvm.x86.aesni.aesenc" + {1: "", 2: ".256", 4: ".512"}[_WIDTH]
        form = ir.FunctionType(self.vector, [self.vector, self.vector])
        self._middle, self._last = (
            _instruction(builder.module, form, called)
            for called in (name, name.replace("aesenc", "aesenclast"))
        )

    def counters(self, first: Any) -> list[Any]:
        """The states of ``_ABREAST`` vectors of blocks from ``first`` on."""
        builder = self._builder
        swapped = builder.module.declare_intrinsic("llvm.bswap", [_I64])
        states = []
        for v in range(_ABREAST):
            counters = ir.Constant(self.vector, [0] * (2 * _WIDTH))
            for b in range(_WIDTH):
                number = builder.add(first, ir.Constant(_I64, v * _WIDTH + b))
                low = builder.call(swapped, [number])
                counters = builder.insert_element(counters, low, ir.Constant(_I32, 2 * b + 1))
            states.append(counters)
        return states

    def _key(self, i: int) -> Any:
        one = self._builder.load(_at(self._builder, self._table, i), align=8)
        every = ir.Constant(ir.VectorType(_I32, 2 * _WIDTH), [0, 1] * _WIDTH)
        return self._builder.shuffle_vector(one, one, every)

    def __call__(self, states: list[Any]) -> list[Any]:
        first = self._key(0)
        states = [self._builder.xor(state, first) for state in states]
        for i in range(1, 11):
            key = self._key(i)
            step = self._middle if i < 10 else self._last
            states = [self._builder.call(step, [state, key]) for state in states]
        return states


def _blocks_code(typing: Any, keys: Any, first: Any, out: Any, at: Any) -> Any:
    """Words ``at`` to at + GROUP − 1 of ``out``, contiguous, become blocks ``first`` and following."""
    _contiguous_words(keys, out)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rounds = _Rounds(context, builder, signature.args[0], arguments[0])
        states = rounds.counters(arguments[1])
        words = _data(context, builder, signature.args[2], arguments[2], _I64)
        target = builder.bitcast(_at(builder, words, arguments[3]), rounds.vector.as_pointer())
        for v, state in enumerate(rounds(states)):
            builder.store(state, _at(builder, target, v), align=8)
        return context.get_dummy_value()

    return types.void(keys, types.uint64, out, types.int64), code


def _hash_code(typing: Any, keys: Any, x: Any, at: Any, low: Any, high: Any, out: Any, to: Any) -> Any:
    """GROUP words of ``out`` from ``to`` on become AES(y) ⊕ y of blocks y: those of ``x`` ⊕ (low, high)."""
    _contiguous_words(keys, x, out)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rounds = _Rounds(context, builder, signature.args[0], arguments[0])
        source, target = (
            builder.bitcast(
                _at(
                    builder,
                    _data(context, builder, signature.args[i], arguments[i], _I64),
                    arguments[i + step],
                ),
                rounds.vector.as_pointer(),
            )
            for i, step in ((1, 1), (5, 1))
        )
        both = ir.Constant(rounds.vector, None)
        for i in range(2 * _WIDTH):
            both = builder.insert_element(both, arguments[3 + i % 2], ir.Constant(_I32, i))
        states = [builder.xor(builder.load(_at(builder, source, v), align=8), both) for v in range(_ABREAST)]
        for v, (state, made) in enumerate(zip(states, rounds(states), strict=True)):
            builder.store(builder.xor(state, made), _at(builder, target, v), align=8)
        return context.get_dummy_value()

    return types.void(keys, x, types.int64, types.uint64, types.uint64, out, types.int64), code


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


class _Elements:
    """Vectors of elements, added and multiplied as numbers or as bits, from some place of each array on."""

    def __init__(self, context: Any, builder: Any, of: Any, of_bits: bool) -> None:
        self._context, self.builder = context, builder
        self._element = ir.IntType(of.dtype.bitwidth)
        self.vector = ir.VectorType(self._element, 128 * _WIDTH // of.dtype.bitwidth)
        self.add = builder.xor if of_bits else builder.add
        self.sub = builder.xor if of_bits else builder.sub
        self.mul = builder.and_ if of_bits else builder.mul

    def pointer(self, type_: Any, array: Any, at: Any) -> Any:
        data = _data(self._context, self.builder, type_, array, self._element)
        return self.builder.bitcast(_at(self.builder, data, at), self.vector.as_pointer())

    def load(self, pointer: Any, v: int) -> Any:
        return self.builder.load(_at(self.builder, pointer, v), align=self._element.width // 8)

    def store(self, value: Any, pointer: Any, v: int) -> None:
        self.builder.store(value, _at(self.builder, pointer, v), align=self._element.width // 8)

    def add_to(self, pointer: Any, kept: Any, value: Any, v: int) -> None:
        self.store(self.add(self.builder.and_(self.load(pointer, v), kept), value), pointer, v)

    def everywhere(self, word: Any) -> Any:
        """A word that is all ones or none, as a mask of all elements."""
        builder, wide = self.builder, ir.VectorType(_I64, 2 * _WIDTH)
        one = builder.insert_element(ir.Constant(wide, [0] * (2 * _WIDTH)), word, ir.Constant(_I32, 0))
        spread = builder.shuffle_vector(
            one, one, ir.Constant(ir.VectorType(_I32, 2 * _WIDTH), [0] * (2 * _WIDTH))
        )
        return builder.bitcast(spread, self.vector)


def _same_elements(*arrays: Any) -> None:
    if any(
        a.layout != "C" or a.dtype != arrays[0].dtype or a.dtype not in (types.uint32, types.uint64)
        for a in arrays
    ):
        raise TypingError("elements are words of one size, in contiguous arrays")


def _add_mask_code(of_bits: bool) -> Any:
    def typed(typing: Any, keys: Any, first: Any, z: Any, keep: Any, at: Any) -> Any:
        """GROUP words of z from element ``at`` on, or zeros in their place unless ``keep`` is all ones, have
        blocks ``first`` and following added.
        """
        _same_elements(z)

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            rounds = _Rounds(context, builder, signature.args[0], arguments[0])
            e = _Elements(context, builder, signature.args[2], of_bits)
            target = e.pointer(signature.args[2], arguments[2], arguments[4])
            kept = e.everywhere(arguments[3])
            for v, state in enumerate(rounds(rounds.counters(arguments[1]))):
                e.add_to(target, kept, builder.bitcast(state, e.vector), v)
            return context.get_dummy_value()

        return types.void(keys, types.uint64, z, types.uint64, types.int64), code

    return typed


def _joint_code(of_bits: bool) -> Any:
    def typed(
        typing: Any, keys: Any, first: Any, xi: Any, xj: Any, at_x: Any, yi: Any, yj: Any, square: Any,
        zi: Any, keep_i: Any, zj: Any, keep_j: Any, rest: Any, at: Any,
    ) -> Any:  # fmt: skip
        """For GROUP words from element ``at`` on, of x from ``at_x``: xᵢyⱼ + xⱼyᵢ, and xᵢyᵢ where ``square``
        is all ones, less the blocks, into ``rest`` and added to zj, and the blocks to zi, or to zeros.
        """
        _same_elements(xi, xj, yi, yj, zi, zj, rest)

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            rounds = _Rounds(context, builder, signature.args[0], arguments[0])
            e = _Elements(context, builder, signature.args[2], of_bits)
            a, b = (e.pointer(signature.args[n], arguments[n], arguments[4]) for n in (2, 3))
            c, d, to_i, to_j, out = (
                e.pointer(signature.args[n], arguments[n], arguments[13]) for n in (5, 6, 8, 10, 12)
            )
            with_square, kept_i, kept_j = (e.everywhere(arguments[n]) for n in (7, 9, 11))
            for v, state in enumerate(rounds(rounds.counters(arguments[1]))):
                mask = builder.bitcast(state, e.vector)
                y = e.load(c, v)
                sum_ = e.add(e.load(d, v), builder.and_(y, with_square))
                value = e.add(e.mul(e.load(a, v), sum_), e.mul(e.load(b, v), y))
                value = e.sub(value, mask)
                e.add_to(to_i, kept_i, mask, v)
                e.store(value, out, v)  # after the mask, which may be unwanted there
                e.add_to(to_j, kept_j, value, v)
            return context.get_dummy_value()

        word, place = types.uint64, types.int64
        return (
            types.void(keys, word, xi, xj, place, yi, yj, word, zi, word, zj, word, rest, place),
            code,
        )

    return typed


_blocks: Any = intrinsic(_blocks_code)
_add_mask: Any = intrinsic(_add_mask_code(False))
_add_mask_of_bits: Any = intrinsic(_add_mask_code(True))
_joint: Any = intrinsic(_joint_code(False))
_joint_bits: Any = intrinsic(_joint_code(True))
_hash: Any = intrinsic(_hash_code)
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


# Arrays out of tuples are taken once for many groups: it takes as long as a group does.


@njit(cache=True, boundscheck=False, nogil=True)
def _add_masks(of_bits: bool, keys: Any, first: Any, z: Any, keep: Any, lo: int, hi: int) -> None:
    group, blocks = 8 * GROUP // z.itemsize, z.itemsize
    for at in range(lo, hi, group):
        block = first + np.uint64(at * blocks // 16)
        if of_bits:
            _add_mask_of_bits(keys, block, z, keep, at)
        else:
            _add_mask(keys, block, z, keep, at)


@njit(cache=True, boundscheck=False, nogil=True)
def _add_joint(
    of_bits: bool, keys: Any, first: Any, xi: Any, xj: Any, yi: Any, yj: Any, square: Any,
    zi: Any, keep_i: Any, zj: Any, keep_j: Any, rest: Any, lo: int, hi: int,
) -> None:  # fmt: skip
    group, blocks = 8 * GROUP // zi.itemsize, zi.itemsize
    for at in range(lo, hi, group):
        block, at_x = first + np.uint64(at * blocks // 16), at % len(xi)
        if of_bits:
            _joint_bits(keys, block, xi, xj, at_x, yi, yj, square, zi, keep_i, zj, keep_j, rest, at)
        else:
            _joint(keys, block, xi, xj, at_x, yi, yj, square, zi, keep_i, zj, keep_j, rest, at)


@njit(cache=True, boundscheck=False, nogil=True)
def _joint_groups(
    of_bits: bool,
    x: Any,
    y: Any,
    roles: Any,
    keys: Any,
    firsts: Any,
    z: Any,
    rests: Any,
    begun: Any,
    size: int,
) -> None:
    """Of whole groups: so many elements, of which the first-level cache holds a few groups at a time."""
    group = 8 * GROUP // z[0].itemsize
    for lo in range(0, size, 8 * group):
        hi = min(size, lo + 8 * group)
        kept = begun.copy()
        for t in range(len(roles)):
            i, j, n, to, to_rest = roles[t, 0], roles[t, 1], roles[t, 3], roles[t, 4], roles[t, 5]
            if j < 0:
                _add_masks(of_bits, keys[t], firsts[t], z[to], kept[to], lo, hi)
            else:
                square = np.uint64(0) - np.uint64(roles[t, 2])
                _add_joint(
                    of_bits, keys[t], firsts[t], x[i], x[j], y[i], y[j], square, z[to], kept[to], z[to_rest],
                    kept[to_rest], rests[n], lo, hi,
                )  # fmt: skip
                kept[to_rest] = ~np.uint64(0)
            kept[to] = ~np.uint64(0)
        for i in range(len(z)):
            if not kept[i]:
                z[i][lo:hi] = 0


@njit(cache=True, boundscheck=False, nogil=True)
def joint(
    of_bits: bool, x: Any, y: Any, roles: Any, keys: Any, firsts: Any, z: Any, rests: Any, begun: Any
) -> None:
    """Of three parts of factors, products of two and two, masked and added up.

    A row (i, j, square, n, to, to_rest) of ``roles`` says that xᵢyⱼ + xⱼyᵢ, and xᵢyᵢ with ``square``, less
    the next elements of a stream, is the n-th of ``rests``; it is added to z's array to_rest, and the
    elements to the array ``to``; with j < 0 only these.  Three arrays z are zero before, unless ``begun``,
    all ones, says otherwise.  Of whole groups x may have a part of y's elements, which are used again.
    """
    size, itemsize = len(z[0]), z[0].itemsize
    group = 8 * GROUP // itemsize
    whole = size - size % group
    _joint_groups(of_bits, x, y, roles, keys, firsts, z, rests, begun, whole)
    n = size - whole
    if n:  # the rest in a group of its own
        pad = np.zeros((12, group), z[0].dtype)
        given, made = (pad[0], pad[1], pad[2], pad[3], pad[4], pad[5]), (pad[6], pad[7], pad[8])
        told = (pad[9], pad[10], pad[11])
        for i in range(3):
            given[i][:n], given[3 + i][:n], made[i][:n] = x[i][whole:], y[i][whole:], z[i][whole:]
        late = firsts + np.uint64(whole * itemsize // 16)
        _joint_groups(of_bits, given[:3], given[3:], roles, keys, late, made, told, begun, group)
        for i in range(3):
            z[i][whole:] = made[i][:n]
        for i in range(len(rests)):
            rests[i][whole:] = told[i][:n]


@njit(cache=True, boundscheck=False, nogil=True)
def of_sums(a: Any, b: Any, c: Any, d: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = (a[i] + b[i]) * (c[i] + d[i])


@njit(cache=True, boundscheck=False, nogil=True)
def of_sums_of_bits(a: Any, b: Any, c: Any, d: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = (a[i] ^ b[i]) & (c[i] ^ d[i])


# -- loops for transfers -------------------------------------------------------------------------------

#: Words of each of a tree's leaves at a time: sixteen leaves stay in the first-level cache.
_OF_LEAF = 1024


@njit(cache=True, boundscheck=False, nogil=True)
def folded(keys: Any, whole: Any, first: Any, sums: Any, columns: Any) -> None:
    """Of trees of streams, whose rounds' keys are keys[tree, leaf], words from block ``first`` on: the sum of
    all, and for each bit of a leaf's number that of the leaves that have it; leaf 0 is zero unless ``whole``.
    """
    trees, leaves, words = keys.shape[0], keys.shape[1], sums.shape[1]
    k = len(columns) // trees
    made = np.zeros((leaves, _OF_LEAF), np.uint64)
    for g in range(trees):
        for lo in range(0, words, _OF_LEAF):
            n = min(_OF_LEAF, words - lo)
            for leaf in range(0 if whole else 1, leaves):
                stream(keys[g, leaf], first + np.uint64(lo // 2), made[leaf][:n])
            if not whole:
                made[0, :] = np.uint64(0)
            half = leaves // 2
            for b in range(k - 1, -1, -1):
                column = columns[g * k + b, lo : lo + n]
                column[:] = np.uint64(0)
                for i in range(half):
                    _join(made[i][:n], made[half + i][:n], column)
                half //= 2
            sums[g, lo : lo + n] = made[0][:n]


@njit(cache=True, boundscheck=False, nogil=True)
def _join(lower: Any, upper: Any, column: Any) -> None:
    for j in range(len(column)):
        column[j] ^= upper[j]
        lower[j] ^= upper[j]


@njit(cache=True, boundscheck=False, nogil=True)
def hashed(keys: Any, x: Any, low: Any, high: Any, out: Any) -> None:
    """Words of π(y) ⊕ y for blocks y: those of x ⊕ (low, high)."""
    whole = len(x) - len(x) % GROUP
    for at in range(0, whole, GROUP):
        _hash(keys, x, at, low, high, out, at)
    if whole < len(x):
        rest = np.zeros(GROUP, np.uint64)
        for i in range(whole, len(x)):
            rest[i - whole] = x[i]
        _hash(keys, rest, 0, low, high, rest, 0)
        for i in range(whole, len(x)):
            out[i] = rest[i - whole]


@njit(cache=True, boundscheck=False, nogil=True)
def hashed_words(keys: Any, x: Any, low: Any, high: Any, out: Any) -> None:
    """The lower words of these."""
    both = np.empty(AHEAD, np.uint64)
    for lo in range(0, len(x), AHEAD):
        n = min(AHEAD, len(x) - lo)
        hashed(keys, x[lo : lo + n], low, high, both)
        for i in range(n // 2):
            out[lo // 2 + i] = both[2 * i]
