"""Bytes, seconds and results as one would write them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def amount(n: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000 or unit == "GB":
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    raise AssertionError


def duration(seconds: float) -> str:
    """Seconds for people."""
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def plain(result: object) -> str:
    """A result as one would write it: numbers without the names of their types, arrays of several a line
    each.
    """
    if isinstance(result, str | np.ndarray | np.generic):
        return str(result)
    if isinstance(result, dict) and _has_arrays(result):
        return "\n".join(f"{key}:{_below(plain(value))}" for key, value in result.items())
    if isinstance(result, list | tuple) and _has_arrays(result):
        return "\n".join(map(plain, result))
    return repr(_without_types(result))


def parts(result: object) -> Iterator[object]:
    """What is in a result, however deep in dictionaries, lists, tuples and sets."""
    if isinstance(result, dict):
        result = [*result, *result.values()]
    if isinstance(result, list | tuple | set | frozenset):
        for item in result:
            yield from parts(item)
    else:
        yield result


def _has_arrays(result: object) -> bool:
    if isinstance(result, dict):
        result = list(result.values())
    return isinstance(result, np.ndarray) or (
        isinstance(result, list | tuple) and any(map(_has_arrays, result))
    )


def _below(text: str) -> str:
    return f"\n{text}" if "\n" in text else f" {text}"


def _without_types(result: Any) -> Any:
    if isinstance(result, np.generic):
        return result.item()
    if isinstance(result, dict):
        return {_without_types(key): _without_types(value) for key, value in result.items()}
    if type(result) in (list, tuple, set, frozenset):
        return type(result)(map(_without_types, result))
    return result
