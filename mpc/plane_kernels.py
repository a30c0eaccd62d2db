"""64 words of 64 bits turned into their planes: word j of the result has bit j of each.

The 512 bytes are put in the order of their place in a word, in vectors of 64; then the top bits of a vector
are one word of the result, which a processor gathers in one instruction (two, where vectors are short), and
bytes that are doubled have the next bit on top.

Source   Hacker's Delight, section 7-3 (the problem); gathering by the top bits of bytes is folklore.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from mpc.compiling import njit

#: Words of a plane that are made before they are written: lines of the cache are written whole.
LANES = 32

_I8, _I32, _I64 = (ir.IntType(n) for n in (8, 32, 64))
_EIGHT, _BYTES = ir.VectorType(_I64, 8), ir.VectorType(_I8, 64)


def _order(places: list[int]) -> Any:
    return ir.Constant(ir.VectorType(_I32, len(places)), places)


def _turn_code(typing: Any, x: Any, at: Any, out: Any, to: Any) -> Any:
    """Words ``at`` to at + 63 of x to words to, to + LANES, to + 2·LANES, … of ``out``; both contiguous."""
    if x.layout != "C" or out.layout != "C":
        raise TypingError("planes are made of contiguous words")

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def word(i: int, index: Any) -> Any:
            array = context.make_array(signature.args[i])(context, builder, arguments[i])
            return builder.gep(builder.bitcast(array.data, _I64.as_pointer()), [index])

        source = builder.bitcast(word(0, arguments[1]), _EIGHT.as_pointer())
        rows = []
        for r in range(8):  # of eight words the lowest bytes, then the next
            words = builder.load(builder.gep(source, [ir.Constant(_I64, r)]), align=8)
            data = builder.bitcast(words, _BYTES)
            data = builder.shuffle_vector(data, data, _order([i % 8 * 8 + i // 8 for i in range(64)]))
            rows.append(builder.bitcast(data, _EIGHT))
        for half in (4, 2, 1):  # 8 × 8 pieces, turned by exchanging ever smaller blocks
            upper = _order([i if not i & half else 8 + i - half for i in range(8)])
            lower = _order([i + half if not i & half else 8 + i for i in range(8)])
            for r in range(8):
                if not r & half:
                    a, b = rows[r], rows[r + half]
                    rows[r] = builder.shuffle_vector(a, b, upper)
                    rows[r + half] = builder.shuffle_vector(a, b, lower)
        for place, row in enumerate(rows):
            data = builder.bitcast(row, _BYTES)
            for bit in range(7, -1, -1):
                tops = builder.bitcast(builder.icmp_signed("<", data, ir.Constant(_BYTES, [0] * 64)), _I64)
                index = builder.add(arguments[3], ir.Constant(_I64, (8 * place + bit) * LANES))
                builder.store(tops, word(2, index), align=8)
                data = builder.add(data, data)
        return context.get_dummy_value()

    return types.void(x, types.int64, out, types.int64), code


_turn: Any = intrinsic(_turn_code)


@njit(cache=True, boundscheck=False, nogil=True)
def to_planes(x: Any, out: Any) -> None:
    """Row j of ``out`` (64, w): bit j of each of 64·w contiguous words."""
    words = out.shape[1]
    block = np.empty(64 * LANES, np.uint64)
    for first in range(0, words, LANES):
        lanes = min(LANES, words - first)
        for g in range(lanes):
            _turn(x, 64 * (first + g), block, g)
        for j in range(64):
            for g in range(lanes):
                out[j, first + g] = block[j * LANES + g]
