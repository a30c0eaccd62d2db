"""What of NumPy there is not on secrets, and why: what is raised when it is called, and what
``docs/numpy.md`` says.

A name that is nowhere is not built yet.  These are the ones for which there is more to say.
"""

from __future__ import annotations

from typing import Any

_IN_PLACE = (
    "would change its argument, and secrets are immutable: build a new one with np.where, np.concatenate or"
    " np.insert"
)
_COMPLEX = (
    "has complex results or arguments, and secrets are real: keep real and imaginary parts as two arrays"
)
_LENGTH = (
    "would show by the length of its result which values occur: ask np.isin(x, values), or"
    " mpc.unique_counts(x, domain)"
)
_BITS = (
    "is about how a floating-point number lies in memory, and secrets are fixed point: their resolution is"
    " 2^-f everywhere"
)
_POLYNOMIAL = (
    "is not built: evaluate by Horner's rule with * and +, multiply with np.outer, fit with np.linalg.solve"
)

#: Not on secrets, whatever the effort.
NEVER: dict[str, tuple[str, ...]] = {
    _IN_PLACE: ("put", "place", "putmask", "copyto", "fill_diagonal", "put_along_axis"),
    _COMPLEX: (
        "angle",
        "real_if_close",
        "sort_complex",
        "linalg.eig",
        "linalg.eigvals",
        "roots",
        "fft.fft",
        "fft.ifft",
        "fft.fftn",
        "fft.ifftn",
        "fft.rfft",
        "fft.irfft",
        "fft.rfftn",
        "fft.irfftn",
        "fft.hfft",
        "fft.ihfft",
        "fft.fft2",
        "fft.ifft2",
        "fft.rfft2",
        "fft.irfft2",
    ),
    _LENGTH: ("trim_zeros", "histogram_bin_edges"),
    _BITS: ("nextafter", "spacing", "frexp"),
    "writes text, in which a secret would be read: call .reveal() first": (
        "array2string",
        "array_repr",
        "array_str",
        "savetxt",
        "save",
        "savez",
        "savez_compressed",
    ),
    "works on bits of bytes in memory, which secrets are not: write x >> np.arange(n) & 1": (
        "packbits",
        "unpackbits",
    ),
    "asks for infinities or dates, which no secret is: they are refused when they are to be shared": (
        "isneginf",
        "isposinf",
        "isnat",
    ),
    "would show by the type which values occur: a secret's own is .dtype": ("min_scalar_type",),
    "is about a shape alone: call np.diag_indices, np.tril_indices or np.triu_indices of len(x)": (
        "diag_indices_from",
        "tril_indices_from",
        "triu_indices_from",
    ),
    "is about days, which are no numbers: share days since a date": (
        "is_busday",
        "busday_offset",
        "busday_count",
        "datetime_as_string",
    ),
    "takes any function, which would be called on shares: call it on the secret, or on its rows": (
        "apply_along_axis",
        "apply_over_axes",
    ),
    "takes functions, which would be called on shares: use np.select of what each of them gives": (
        "piecewise",
    ),
    "makes positions of a mask, which would show where it holds: index with the mask, if it is public, "
    "or use np.where": ("ix_",),
}
#: Could be there.
NOT_YET: dict[str, tuple[str, ...]] = {
    _POLYNOMIAL: ("poly", "polyint", "polyder", "polymul", "polydiv", "polyadd", "polysub"),
    "is not built: compare x - borders with np.searchsorted along each axis, and add up products of the "
    "indicators": ("histogramdd",),
    "is not built: repeat Euclid's a, b = np.where(b == 0, a, b), a % b, 1.5 times for each bit of the "
    "larger; a * b // gcd is the lcm": (
        "gcd",
        "lcm",
    ),
    "is not built: write np.trunc(x), and x - np.trunc(x)": ("modf",),
    "is not built: multiply with np.exp2 of the exponents": ("ldexp",),
    "is not built: write x[:, None] ** np.arange(n)[::-1]": ("vander",),
    "is not built: divide with //, and take the remainders": ("unravel_index",),
    "is not built: multiply the indices with the strides and add them up": ("ravel_multi_index",),
    "is not built: write np.exp of np.linspace of the logarithms": ("geomspace", "logspace"),
    "is not built: write x[np.arange(len(x) - n + 1)[:, None] + np.arange(n)]": ("sliding_window_view",),
    "is not built: write it with np.where, comparisons and np.exp": ("i0", "unwrap"),
    "is not built: reshape to matrices, and use np.linalg.solve or np.linalg.inv": (
        "linalg.tensorsolve",
        "linalg.tensorinv",
    ),
}
#: Methods of elementwise functions.
_METHODS: dict[str, tuple[type[Exception], str]] = {
    "at": (
        TypeError,
        (
            "would change its argument, and secrets are immutable: write x = x.at[index].add(y), .multiply,"
            " .min or .max"
        ),
    ),
    "reduceat": (NotImplementedError, "is not built: reduce the parts that np.split gives"),
}


def refusal(said: str, function: Any) -> Exception:
    """What is raised when a function that is in no table is called, by its name as users know it."""
    home = {"numpy.linalg": "linalg.", "numpy.fft": "fft."}.get(getattr(function, "__module__", ""), "")
    name = home + function.__name__
    if said.startswith(f"np.{name}.") and (method := said.rpartition(".")[2]) in _METHODS:
        error, why = _METHODS[method]
        return error(f"{said} of secrets {why}")
    for table, error in ((NEVER, TypeError), (NOT_YET, NotImplementedError)):
        for why, names in table.items():
            if name in names:
                return error(f"{said} of secrets {why}")
    return NotImplementedError(f"{said} on secrets is not available yet; docs/numpy.md lists what is")
