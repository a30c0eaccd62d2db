"""``mpc.local(check=True)``: every operation is done once more in the clear, to find where a value left its range.

Secrets cannot raise, and what overflows wraps around in silence.  A local session holds all shares, so that for debugging
it can open the operands of each NumPy function, call the same function on them in floating point, and compare.  It
protects nothing, like every local session, and costs an opening per operation.  Values do not appear in its messages.
"""
from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mpc.encoding import BOOL, Kind
from mpc.errors import RangeError
from mpc.ring import NDArray, Ring
from protocols.array import Secret

_OWN = tuple(str(Path(__file__).resolve().parents[1] / name) for name in ("mpc", "protocols"))
_UNITS, _RELATIVE = 1 << 10, 0.02                    # what rounding may amount to: units in the last place, and of the value


def examine(name: str, func: Callable[..., Any], made: Any, args: Any, kwargs: Any) -> None:
    """Raise ``RangeError`` where ``made`` is not what ``func`` gives in the clear, or does not fit its kind."""
    results = made if isinstance(made, list | tuple) else [made]
    if not all(isinstance(r, Secret) for r in results):
        return
    plain: Any = None
    for numbers in (float, int):                     # some operations are on integers alone
        with np.errstate(all="ignore"), suppress(TypeError, IndexError):
            plain = func(*_opened(args, numbers), **_opened(kwargs, numbers))
            break
    else:
        return                                       # and a few are not NumPy's: it does not subtract truth values
    for result, expected in zip(results, plain if isinstance(plain, list | tuple) else [plain], strict=True):
        if result.kind != BOOL:
            _compare(name, result, np.asarray(expected, np.float64))


def _compare(name: str, result: Secret, expected: NDArray) -> None:
    got = np.asarray(result.reveal(), np.float64)
    limit = _limit(result.kind, result.session.ring)
    outside = ~(np.abs(expected) < limit)
    wrong = np.abs(got - expected) > _UNITS * 2.0 ** -result.kind.fraction * (result.kind.fraction > 0) + _RELATIVE * np.abs(expected)
    bad = outside | wrong
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        what = (f"the result is outside ±2^{limit.bit_length() - 1}, the range of {result.kind} over {result.session.ring}" if outside.any()
                else "a value on the way to the result left its range")
        raise RangeError(f"{name}, {_place()}: {what}, at {int(bad.sum())} of {bad.size} elements (first at index {first}); "
                         "scale the data, or choose fewer fractional bits")


def _limit(kind: Kind, ring: Ring) -> int:
    return 1 << (ring.bits - 2 - kind.fraction if kind.fraction else ring.bits - 1)


def _opened(x: Any, as_type: type) -> Any:
    if isinstance(x, Secret):
        value = np.asarray(x.reveal())
        return value if x.kind.fraction else value.astype(as_type)      # truth values count as 0 and 1
    if isinstance(x, dict):
        return {key: _opened(value, as_type) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return type(x)(_opened(item, as_type) for item in x)
    return x


def _place() -> str:
    """Where in the user's program this was called."""
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith(_OWN) and "numpy" not in Path(frame.filename).parts:
            return f"{Path(frame.filename).name}, line {frame.lineno}"
    return "at an unknown place"
