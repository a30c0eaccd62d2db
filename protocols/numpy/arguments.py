"""What a call of NumPy says, in one form however it is said: by NumPy's own signatures.

A function on secrets may be called as NumPy's: by place or by NumPy's names, with defaults spelled out.  It
is made with what NumPy requires by place, the rest by name, and nothing that is the default.  So a function
on secrets has NumPy's names for what it takes beside that, and what it has no name for is refused by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

#: Values that change nothing, where a function on secrets has no such name.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "where": (True,),
    "casting": ("same_kind",),
    "order": (None, "K", "A", "C"),
    "subok": (True, False),
    "device": ("cpu",),
    "optimize": (True, False, "greedy", "optimal"),
    "copy": (True, False),
    "overwrite_input": (True, False),
}

Form = tuple[tuple[Any, ...], dict[str, Any]]


@cache
def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """NumPy before 2.4 has none for what it writes in C."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def normal(name: str, function: Callable[..., Any], make: Callable[..., Any], args: Any, kwargs: Any) -> Form:
    """The arguments of ``function``, which it takes, as ``make`` takes them; or a refusal of what it does
    not.
    """
    signature = _signature(function)
    if signature is None:
        return tuple(args), taken(name, make, kwargs)
    bound, parameters = signature.bind(*args, **kwargs).arguments, signature.parameters
    places: list[Any] = []
    names: dict[str, Any] = {}
    for key, value in bound.items():
        parameter = parameters[key]
        if parameter.kind is parameter.VAR_POSITIONAL:
            places += value
        elif parameter.kind is parameter.VAR_KEYWORD:
            names |= value
        elif parameter.default is parameter.empty or parameter.kind is parameter.POSITIONAL_ONLY:
            places.append(value)
        elif value is not parameter.default and not _same(value, parameter.default):
            names[key] = value
    return tuple(places), taken(name, make, names)


def taken(name: str, make: Callable[..., Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Named arguments, all of which ``make`` has; those that it has not must be such as change nothing."""
    if not names:
        return {}
    signature = _signature(make)
    assert signature is not None
    parameters = signature.parameters
    every = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    kept = {}
    for key, value in names.items():
        if key == "out":
            if any(place is not None for place in (value if isinstance(value, tuple) else (value,))):
                raise TypeError(
                    f"{name}: secrets are immutable; there is no out= (and no in-place operator on an"
                    " ndarray)"
                )
        elif every or key in parameters:
            kept[key] = value
        elif value is not None and not any(_same(value, nothing) for nothing in _NEUTRAL.get(key, ())):
            raise NotImplementedError(f"{name} on secrets takes no {key}=")
    return kept


def _same(value: Any, other: Any) -> bool:
    """Whether two are the same number or word."""
    return type(value) is type(other) and isinstance(value, bool | int | float | str) and value == other
