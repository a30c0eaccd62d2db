"""pandas' and Polars' frames and series as arrays of numbers, or one sentence that says which column is none.

    columns of truth values    truth values, if all columns are; beside numbers 0 and 1, as NumPy has it
    columns of integers        integers, if no column is of real numbers
    the rest                   real numbers

Neither library is imported here: a value that is one of theirs says so by where its class is from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mpc.errors import EncodingError

NDArray = npt.NDArray[Any]

#: Integers up to this size are real numbers of double precision.
_EXACT = 1 << 53

_CODES = (
    "share codes, from a list of categories that all parties have alike, as in {}, "
    "or a column of truth values for each category ({})"
)
_TEXTS = {
    "pandas": _CODES.format("pandas.Categorical(column, categories=LIST).codes", "pandas.get_dummies"),
    "polars": _CODES.format("column.cast(polars.Enum(LIST)).to_physical()", "frame.to_dummies"),
}
_DATES = {
    "pandas": "share days, as in (column - pandas.Timestamp('2000-01-01')).dt.days",
    "polars": "share days, as in (column - datetime.date(2000, 1, 1)).dt.total_days()",
}
_SPANS = dict.fromkeys(_DATES, "share days or seconds, as in column.dt.total_seconds()")
_MISSING = {
    "pandas": "fill or drop them (fillna, dropna), or share column.isna() beside it",
    "polars": "fill or drop them (fill_null, drop_nulls), or share column.is_null() beside it",
}


def library(values: object) -> str:
    """``"pandas"`` or ``"polars"`` if this is a frame, a series or another array of theirs, else nothing."""
    homes = (kind.__module__.partition(".")[0] for kind in type(values).__mro__)
    return next((home for home in homes if home in ("pandas", "polars")), "")


def array_of(values: Any) -> Any:
    """A frame or a series as an array of numbers; ``EncodingError`` names a column that is something else,
    and what to do.
    """
    home = library(values)
    if not home:
        return values
    if hasattr(values, "collect") and not hasattr(values, "to_numpy"):
        raise EncodingError("a lazy frame has no numbers yet: share its .collect()")
    if type(values).__name__ == "Expr":
        raise EncodingError("an expression has no numbers yet: share frame.select(expression)")
    if not hasattr(values, "columns"):
        if not hasattr(values, "dtype"):
            return values  # one value of theirs, which is refused by its type
        name = getattr(values, "name", None)
        return _column(home, "a series" if name is None else f"the series {name!r}", values)
    arrays = [
        (name, _column(home, f"the column {name!r}", column)) for name, column in _columns(home, values)
    ]
    if not arrays:
        return np.empty(values.shape)
    kinds = {array.dtype.kind for _, array in arrays}
    if kinds == {"b"}:
        dtype: Any = bool
    elif "f" in kinds:
        dtype = np.float64
        for name, array in arrays:
            if (
                array.dtype.kind in "iuO"
                and array.size
                and not (int(array.min()) >= -_EXACT and int(array.max()) <= _EXACT)
            ):
                raise EncodingError(
                    f"the column {name!r} has integers beyond 2^53, which beside columns of real numbers"
                    " would be rounded: share it by itself"
                )
    else:
        dtype = np.result_type(*(array.dtype for _, array in arrays))
        # what is unsigned beside what is signed has no wider type
        dtype = object if dtype.kind == "f" else dtype
    return np.stack([array.astype(dtype, copy=False) for _, array in arrays], axis=1)


def _columns(home: str, frame: Any) -> Iterator[tuple[Any, Any]]:
    """By place: names need not differ."""
    for i, name in enumerate(frame.columns):
        yield name, frame.iloc[:, i] if home == "pandas" else frame[:, i]


def _column(home: str, what: str, column: Any) -> NDArray:
    kind, width, known = _kind(home, column.dtype)
    if kind == "O" and len(column) and all(type(value) is int for value in column):
        return np.array([*column], object)  # beyond 64 bits, for rings that hold them
    if kind not in "biuf":
        raise EncodingError(f"{what} is of {known}, which cannot be shared: {_remedy(home, kind, column)}")
    missing = column.isna() if home == "pandas" else column.is_null()
    if bool(missing.any()) or (
        kind == "f" and bool(np.isnan(np.asarray(column.to_numpy(), np.float64)).any())
    ):
        raise EncodingError(f"{what} has missing values, which cannot be shared: {_MISSING[home]}")
    values = column.to_numpy()
    return np.asarray(values, np.dtype(bool if kind == "b" else f"{kind}{width}"))


def _kind(home: str, dtype: Any) -> tuple[str, int, str]:
    """NumPy's letter for a kind, which is also ``M`` for dates, ``m`` for spans of time, ``U`` for texts and
    ``O`` for the rest; the bytes of a number; and what to call it."""
    name = str(dtype)
    if home == "pandas":
        if type(dtype).__name__ == "CategoricalDtype":
            return "U", 0, "categories"
        letter = str(getattr(dtype, "kind", "O"))
        if letter == "O" and (type(dtype).__name__ == "StringDtype" or name.startswith(("str", "string"))):
            letter = "U"
        return letter, int(getattr(dtype, "itemsize", None) or 8), f"type {name}"
    if name == "Boolean":
        return "b", 1, name
    if bool(dtype.is_integer()) or bool(dtype.is_float()):
        letter = "f" if dtype.is_float() else "u" if name.startswith("U") else "i"
        bits = int(name.lstrip("UIntFloa"))
        return (letter, bits // 8, name) if bits <= 64 else ("O", 0, f"type {name}")
    if name == "Duration" or name.startswith("Duration("):
        return "m", 0, f"type {name}"
    if bool(dtype.is_temporal()) and name != "Time":
        return "M", 0, f"type {name}"
    text = name.startswith(("String", "Categorical", "Enum"))
    return (
        "U" if text else "O",
        0,
        "categories" if name.startswith(("Categorical", "Enum")) else f"type {name}",
    )


def _remedy(home: str, kind: str, column: Any) -> str:
    if kind in "Mm":
        return (_DATES if kind == "M" else _SPANS)[home]
    if kind == "c":
        return "share its real and imaginary parts"
    held = sorted({type(value).__name__ for value in column})
    if kind == "U" or "str" in held:
        return _TEXTS[home]
    # before a type is asked for, which would make values of them
    if {"NoneType", "NAType"} & {*held}:
        return f"it has missing values: {_MISSING[home]}"
    if {"date", "datetime", "Timestamp"} & {*held}:
        return f"make it one of dates, as with pandas.to_datetime, and {_DATES[home]}"
    return (
        f"it holds {', '.join(held[:3])}; make it one of numbers or truth values first, as with"
        f" {'astype' if home == 'pandas' else 'cast'}(...)"
    )
