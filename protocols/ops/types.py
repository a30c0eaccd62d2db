"""NumPy's types of secrets, and from one to another: truth values are ``bool``, integers ``int64``, reals
``float64``.

Cost     to truth values a comparison with 0; from truth values and integers local; reals to integers, towards
         zero, a comparison, its bit and a shift (``bitwise``).  Exact.
Range    integers become reals where fixed point holds them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mpc.encoding import BOOL, INT, numeric
from protocols.array.secret import Secret, call, constant, retyped
from protocols.ops import bitwise, comparison, linear, products


def dtype_of(x: Any) -> np.dtype[Any]:
    """Of a secret or a public array or number."""
    return x.dtype if isinstance(x, Secret) else numeric(x, "a public operand").dtype


def wanted(dtype: Any) -> np.dtype[Any]:
    """The type that ``dtype`` names, which is one of the three."""
    made: np.dtype[Any] = np.dtype(dtype)
    if made not in (np.dtype(bool), np.dtype(np.int64), np.dtype(np.float64)):
        raise TypeError(
            f"secrets are of the types bool, int (int64) and float (float64), not of {made}; write one of"
            " these"
        )
    return made


def astype(x: Any, dtype: Any) -> Any:
    """x as truth values (true where not 0), integers (without the digits after the point), or reals."""
    to = wanted(dtype)
    if not isinstance(x, Secret):
        return np.asarray(x).astype(to)
    if to.kind == "b":
        return comparison.truth(x)
    if to.kind == "f":
        return products.real(x)
    f = x.kind.fraction
    if not f:
        return retyped(x, INT)
    below = products.multiply(retyped(comparison.less(x, 0), INT), (1 << f) - 1)
    return bitwise.right_shift(linear.add(retyped(x, INT), below), f)


def like(value: Any) -> Any:
    """``np.zeros_like`` and its relatives: an array of a secret's shape and type with the same number
    everywhere.
    """

    def filled(a: Secret, *, dtype: Any = None, shape: Any = None) -> Secret:
        return full_like(a, value, dtype=dtype, shape=shape)

    return filled


def full_like(a: Any, fill_value: Any, *, dtype: Any = None, shape: Any = None) -> Secret:
    """An array of a's shape and type, or of these, filled with a value, public or secret, in that type."""
    if not isinstance(a, Secret) and not isinstance(fill_value, Secret):
        raise TypeError("np.full_like of secrets takes a secret array or a secret value")
    to = wanted(dtype_of(a) if dtype is None else dtype)
    size = a.shape if shape is None else shape
    if isinstance(fill_value, Secret):
        return call(np.broadcast_to, astype(fill_value, to), size)
    values = np.broadcast_to(
        numeric(fill_value, "the value to fill with"), np.empty(size, "V0").shape
    ).astype(to)
    kind = (
        BOOL if to.kind == "b" else INT if to.kind == "i" else a.kind if a.kind.fraction else a.session.fixed
    )
    return constant(a.session, values, kind)


def common(*xs: Any) -> np.dtype[Any]:
    """The type in which several meet."""
    made = np.result_type(*(dtype_of(x) for x in xs))
    return np.dtype({"b": bool, "f": float}.get(made.kind, np.int64))


def cast(x: Any, dtype: Any) -> Any:
    """x in this type, or as it is where there is none."""
    return x if dtype is None else astype(x, dtype)


def checked(name: str, x: Any, dtype: Any, casting: str) -> Any:
    """x in a type that NumPy's rule allows."""
    if dtype is None:
        return x
    to = wanted(dtype)
    if not np.can_cast(dtype_of(x), to, casting):  # type: ignore[arg-type]
        raise TypeError(
            f"{name} cannot cast {dtype_of(x)} to {to} by the rule {casting!r}; write x.astype({to})"
        )
    return astype(x, to)


def zeros(x: Secret) -> Secret:
    """``np.imag``, of numbers that are all real."""
    return full_like(x, 0)


def nowhere(x: Secret) -> Any:
    """Where x is NaN or infinite: no secret is, so the answer is public."""
    return np.zeros(x.shape, bool)


def everywhere(x: Secret) -> Any:
    return np.ones(x.shape, bool)
