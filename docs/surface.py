"""What of NumPy there is on secrets: its own tests and the Array API's are harvested, and each call is made
on secrets.

``python docs/surface.py --array-api PATH`` runs the tests that NumPy installs, and with NumPy as the
namespace those of the standard, of which PATH is a checkout (``git clone --recurse-submodules
https://github.com/data-apis/array-api-tests PATH``, and what its ``requirements.txt`` names).  It notes every
distinct call with small numeric arrays, makes each of them with secrets in place of its arrays in both
suites, and writes ``docs/numpy.md``; ``--lists`` leaves its counts as they are.  ``--show VERDICT,…`` prints
the calls with that verdict instead, ``--only NAME,…`` looks at some functions alone, and ``--folders NAME,…``
at some tests.  Operators between arrays are not noted, but the functions are that have their names."""

from __future__ import annotations

import argparse
import contextlib
import copy
import os
import re
import resource
import signal
import subprocess
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import mpc
from mpc.errors import MpcError, RangeError
from protocols.array.secret import Secret
from protocols.numpy import absent, plain, tables

PAGE = Path(__file__).with_name("numpy.md")
SUITES = (("replicated", 3), ("additive", 2))
TESTS = {
    "_core": (
        "numeric",
        "umath",
        "ufunc",
        "multiarray",
        "einsum",
        "shape_base",
        "item_selection",
        "function_base",
        "indexing",
        "regression",
    ),
    "lib": (
        "arraypad",
        "arraysetops",
        "function_base",
        "histograms",
        "index_tricks",
        "nanfunctions",
        "polynomial",
        "shape_base",
        "stride_tricks",
        "twodim_base",
        "type_check",
        "ufunclike",
        "regression",
        "utils",
    ),
    "linalg": ("linalg", "regression"),
}
STANDARD = "array-api-tests"
# elements of an array, and distinct calls of a function in each folder
LARGEST, MOST = 100, 20
DRAWN = 30  # examples of each of the standard's tests

# -- the harvest -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """A call of NumPy, by the name of what is called: ``sum``, ``linalg.inv``, ``add.reduce``."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __str__(self) -> str:
        said = [*map(_said, self.args), *(f"{key}={_said(value)}" for key, value in self.kwargs.items())]
        return f"np.{self.name}({', '.join(said)})"

    def form(self) -> str:
        """Equal for calls that differ in nothing."""
        return f"{self.name} {_form(self.args)} {_form(self.kwargs)}"


def _said(x: Any) -> str:
    return " ".join(repr(x).split())


def _form(x: Any) -> str:
    if isinstance(x, np.ndarray):
        return f"{x.dtype.kind}{x.shape}{x.tolist()}"
    if isinstance(x, list | tuple):
        return f"{type(x).__name__}{[_form(item) for item in x]}"
    return f"{[(key, _form(x[key])) for key in sorted(x)]}" if isinstance(x, dict) else repr(x)


def _numbers(x: Any) -> bool:
    """Whether this is a small array, or nested list, of finite truth values, integers or reals."""
    if isinstance(x, np.ndarray):
        fits = type(x) is np.ndarray and x.size <= LARGEST and x.dtype.isnative and x.ndim < 10
        return fits and x.dtype.kind in "biuf" and x.dtype.itemsize <= 8 and bool(np.isfinite(x).all())
    if isinstance(x, list | tuple):
        return len(x) <= LARGEST and all(map(_numbers, x))
    return isinstance(x, bool | int | float | np.bool | np.integer | np.floating) and bool(abs(x) < 2**62)


def _plain(x: Any) -> bool:
    """Whether an argument has nothing in it that no secret could stand beside."""
    if isinstance(x, np.ndarray):
        return _numbers(x)
    if isinstance(x, list | tuple):
        return len(x) <= LARGEST and all(map(_plain, x))
    if isinstance(x, float | np.floating):
        return bool(np.isfinite(x))
    return (
        x is None
        or x is ...
        or isinstance(x, bool | int | str | slice | np.bool | np.integer | np.dtype)
        or (isinstance(x, type) and issubclass(x, bool | int | float | np.number | np.bool))
    )


def _widened(x: Any) -> Any:
    """A copy of arguments in the types that secrets have."""
    if isinstance(x, np.ndarray):
        return x.astype({"b": bool, "f": np.float64}.get(x.dtype.kind, np.int64))
    if isinstance(x, dict):
        return {key: _widened(value) for key, value in x.items()}
    if type(x) in (list, tuple):
        return type(x)(map(_widened, x))
    return x.item() if isinstance(x, np.generic) else copy.deepcopy(x)


class Recorder:
    """Stands in NumPy's namespace for a function or ufunc, and notes how it is called from tests."""

    def __init__(self, name: str, function: Any, calls: dict[str, Call], count: Counter[str]) -> None:
        self.__dict__.update(_name=name, _function=function, _calls=calls, _count=count)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._function, name)
        if name in ("reduce", "accumulate", "outer"):
            return Recorder(f"{self._name}.{name}", found, self._calls, self._count)
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._function, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        file = sys._getframe(1).f_code.co_filename
        if any(
            place in file for place in ("/tests/", "/array_api_tests/", "/testing/", "unittest", "_pytest")
        ):
            self._note(args, kwargs)
        return self._function(*args, **kwargs)

    def __reduce__(self) -> Any:
        return self._function.__reduce__()

    def __eq__(self, other: object) -> bool:
        return self._function == getattr(other, "_function", other)

    def __hash__(self) -> int:
        return hash(self._function)

    def _note(self, args: Any, kwargs: Any) -> None:
        if not all(map(_plain, (*args, *kwargs.values()))) or kwargs.get("out") is not None:
            return
        call = Call(self._name, _widened(args), _widened(kwargs))
        if not places(call.args, call.kwargs):
            return
        self._count[self._name] += 1
        self._calls.setdefault(call.form(), call)


def functions() -> dict[str, Callable[..., Any]]:
    """All functions that ask their arguments what they mean, and ufuncs, by their names in ``np``."""

    def asks(f: Any) -> bool:
        return isinstance(f, np.ufunc) or hasattr(f, "_implementation")

    homes = {"": np, "linalg.": np.linalg, "fft.": np.fft}
    return {
        home + name: getattr(module, name)
        for home, module in homes.items()
        for name in dir(module)
        if asks(getattr(module, name, None))
    }


def tests(folder: str, standard: Path | None) -> list[str]:
    """What pytest is told to run: a folder of NumPy's tests, or those of the standard, whose draws are nearly
    the same each time.
    """
    if folder == STANDARD:
        assert standard is not None
        os.environ["ARRAY_API_TESTS_MODULE"] = "numpy"
        home = standard.resolve() / "array_api_tests"
        return [
            f"--rootdir={home.parent}",
            f"--confcutdir={home.parent}",
            "-c",
            str(home.parent / "pytest.ini"),
            f"--max-examples={DRAWN}",
            "--derandomize",
            "--disable-deadline",
            str(home),
        ]
    home = Path(np.__file__).parent / folder / "tests"
    return [f"--rootdir={home}", "-k", "not slow", *(str(home / f"test_{name}.py") for name in TESTS[folder])]


def harvested(folder: str, standard: Path | None) -> tuple[list[Call], int]:
    """The distinct calls that the tests of a folder make, and how many they make in all."""
    import pytest

    calls: dict[str, Call] = {}
    count: Counter[str] = Counter()
    saved = functions()

    def put(made: dict[str, Any]) -> None:
        for name, f in made.items():
            *home, last = name.split(".")
            setattr(getattr(np, home[0]) if home else np, last, f)

    put({name: Recorder(name, f, calls, count) for name, f in saved.items()})
    try:
        with contextlib.redirect_stdout(sys.stderr):
            pytest.main(
                [
                    "-q",
                    "--continue-on-collection-errors",
                    "--no-header",
                    "--tb=no",
                    "-p",
                    "no:cacheprovider",
                    "-W",
                    "ignore",
                    "-o",
                    "addopts=",
                    "--timeout=60",
                    *tests(folder, standard),
                ]
            )
    finally:
        put(saved)
    return list(calls.values()), count.total()


# -- one call ----------------------------------------------------------------------------------------


def places(args: Any, kwargs: Any) -> list[Any]:
    """Where secrets could stand: arrays among the arguments, or in a list of them; else what comes first, if
    it is numbers.
    """
    named = [*enumerate(args), *kwargs.items()]
    at: list[Any] = [(key, None) for key, value in named if isinstance(value, np.ndarray)]
    at += [
        (key, i)
        for key, value in named
        if isinstance(value, list | tuple)
        for i, item in enumerate(value)
        if isinstance(item, np.ndarray)
    ]
    if not at and args and _numbers(args[0]) and not _nested(args[0]):
        at = [(0, None)]
    return at


def _nested(x: Any) -> bool:
    """Whether there are arrays in nested lists."""
    return isinstance(x, list | tuple) and any(isinstance(item, np.ndarray) or _nested(item) for item in x)


def placed(call: Call, at: list[Any], made: Callable[[Any], Any]) -> tuple[Any, Any]:
    """The arguments with what is made of those arrays in their places."""
    args, kwargs = copy.deepcopy((list(call.args), call.kwargs))
    for key, i in at:
        home: Any = args if isinstance(key, int) else kwargs
        new = made(np.asarray(home[key] if i is None else home[key][i]))
        if i is None:
            home[key] = new
        else:
            home[key] = type(home[key])(new if j == i else item for j, item in enumerate(home[key]))
    return tuple(args), kwargs


def with_secrets(session: Any, call: Call, at: list[Any]) -> tuple[Any, Any]:
    def secret(array: Any) -> Any:
        array = array.astype(np.float64) if array.dtype.kind == "f" else array
        return session.secret(array, shape=array.shape, kind=session.kind_of(array))

    return placed(call, at, secret)


def resolved(name: str) -> Callable[..., Any]:
    f: Any = np
    for part in name.split("."):
        f = getattr(f, part)
    return f  # type: ignore[no-any-return]


INTERNAL = re.compile(
    r"unexpected keyword|positional argument|void|dtype\('V|NoneType|has no attribute|_moves|"
    r"make\(\)|list index|unpack|object is not|not supported between|<lambda>|tuple index|to stack|"
    r"index -?\d+ is out of bounds|shape mismatch|source: axis"
)
#: Where results may be otherwise, as ``DIFFERENCES`` says.
MEANT = {"empty_like", "bincount", "signbit", "take", "take_along_axis", "choose"}
#: What NumPy says where it refuses, and the engine does not, as ``DIFFERENCES`` says.
NOT_SAID = re.compile(
    r"Singular matrix|Integers to negative integer powers|unsupported keyword arguments for mode"
    r" .*stat_length"
)
#: The documented range of conditions, over 64 bits.
CONDITIONS = {"linalg.inv": 2.0**11, "linalg.solve": 2.0**11, "linalg.lstsq": 2.0**12, "linalg.pinv": 2.0**12}
DECOMPOSITIONS = {"linalg.eigh", "linalg.svd", "linalg.qr"}
CLASSES = {
    "equal": "NumPy's result",
    "counted": "NumPy's of 0 and 1, which truth values are in arithmetic",
    "both refuse": "NumPy refuses, and so does the engine",
    "refused": "refused in a sentence, by design",
    "missing": "`NotImplementedError`, with a reason",
    "meant": "otherwise, as said below",
    "no number": "NumPy has NaN or infinities",
    "large": "a result of more than 10,000 elements, not tried",
    "range": "beyond the documented range",
    "crash": "an error that is no sentence",
    "lenient": "NumPy refuses, the engine does not",
    "shape": "another shape",
    "type": "another type",
    "value": "another value",
}


@dataclass
class Verdict:
    what: str
    said: str = ""


class Late(Exception):
    pass


@contextlib.contextmanager
def limit(seconds: int) -> Iterator[None]:
    def late(*_: Any) -> None:
        raise Late(f"no answer in {seconds} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def revealed(x: Any) -> Any:
    if isinstance(x, Secret):
        return x.reveal()
    return [revealed(item) for item in x] if isinstance(x, list | tuple) else x


def difference(mine: Any, true: Any) -> Verdict:
    # a list that was passed through
    if isinstance(true, list | tuple) and not (isinstance(mine, np.ndarray) and _numbers(true)):
        if not isinstance(mine, list | tuple) or len(mine) != len(true):
            return Verdict("shape", f"{type(mine).__name__} for {type(true).__name__} of {len(true)}")
        return next(
            (v for m, t in zip(mine, true, strict=True) if (v := difference(m, t)).what != "equal"),
            Verdict("equal"),
        )
    a, b = np.asarray(mine), np.asarray(true)
    if b.dtype.kind not in "biuf":
        return Verdict("equal" if str(mine) == str(true) else "type", f"{a.dtype} for {b.dtype}")
    if a.shape != b.shape:
        return Verdict("shape", f"{a.shape} for {b.shape}")
    if b.dtype.kind == "f" and not np.isfinite(b).all():
        return Verdict("no number")
    if {"u": "i"}.get(b.dtype.kind, b.dtype.kind) != {"u": "i"}.get(a.dtype.kind, a.dtype.kind):
        return Verdict("type", f"{a.dtype} for {b.dtype}")
    x, y = a.astype(np.float64), b.astype(np.float64)
    if a.dtype.kind != "f":
        return Verdict("equal") if (a == b).all() else Verdict("value", f"{a.tolist()} for {b.tolist()}")
    off = np.abs(x - y).max(initial=0)
    most = 2.0**-11 * max(1.0, np.abs(y).max(initial=0))
    return Verdict("equal") if off <= most else Verdict("value", f"{x.tolist()} for {y.tolist()}")


def counted(x: Any) -> Any:
    """Truth values as the integers 0 and 1, which they are in the engine's arithmetic."""
    return (
        np.asarray(x).astype(int)
        if isinstance(x, bool) or (isinstance(x, np.ndarray) and x.dtype.kind == "b")
        else x
    )


def unsigned(x: Any) -> Any:
    """0 in place of -0, which fixed point does not have."""
    return x + 0.0 if isinstance(x, float) or (isinstance(x, np.ndarray) and x.dtype.kind == "f") else x


def instead(call: Call, numbers: Callable[[Any], Any]) -> Any:
    """What NumPy has of these numbers."""

    def all_of(x: Any) -> Any:
        return type(x)(map(all_of, x)) if isinstance(x, list | tuple) else numbers(x)

    try:
        return resolved(call.name)(
            *map(all_of, call.args), **{key: all_of(value) for key, value in call.kwargs.items()}
        )
    except Exception as error:
        return error


def other_form(call: Call, mine: Any, true: Any) -> Any:
    """NumPy's result without what the engine leaves out; vectors that are determined up to signs, or turns,
    as they came out.
    """
    if (
        call.name in DECOMPOSITIONS
        and isinstance(true, tuple)
        and isinstance(mine, list)
        and [np.shape(x) for x in mine] == [x.shape for x in true]
    ):
        return plain.nearest(resolved(call.name), list(true), mine, (call.args, call.kwargs))
    if isinstance(true, tuple) and isinstance(mine, list) and len(mine) == len(true):
        return [None if m is None else t for m, t in zip(mine, true, strict=True)]
    return true


def judged(call: Call, at: list[Any], suite: str, parties: int) -> Verdict:
    """The call with secrets there, beside NumPy."""
    function = resolved(call.name)
    try:
        args, kwargs = placed(call, at, lambda array: array)
        true: Any = function(*args, **kwargs)
    except Exception as error:
        true = error
    if (
        sum(
            part.size
            for part in (true if isinstance(true, list | tuple) else [true])
            if isinstance(part, np.ndarray)
        )
        > 100 * LARGEST
    ):
        return Verdict("large")
    try:
        args, kwargs = with_secrets(mpc.local(parties, suite), call, at)
    except MpcError as error:
        return Verdict("range", str(error))
    try:
        with limit(60):
            mine = revealed(function(*args, **kwargs))
    except NotImplementedError as error:
        return Verdict("both refuse" if isinstance(true, Exception) else "missing", str(error))
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        if isinstance(true, Exception) and said == f"{type(true).__name__}: {true}":
            return Verdict("both refuse", said)
        if isinstance(error, Late | AssertionError | RuntimeError | AttributeError) and not isinstance(
            error, MpcError
        ):
            return Verdict("crash", said)
        if isinstance(true, Exception):
            return Verdict("both refuse", said)
        return Verdict("crash" if not str(error) or INTERNAL.search(said) else "refused", said)
    refused = Verdict("lenient", f"NumPy: {type(true).__name__}: {true}")
    verdict = refused if isinstance(true, Exception) else difference(mine, true)
    if verdict.what == "equal":
        return verdict
    if (
        verdict.what in ("lenient", "type", "value")
        and difference(mine, instead(call, counted)).what == "equal"
    ):
        return Verdict("counted")
    if call.name in MEANT or (verdict.what == "lenient" and NOT_SAID.search(verdict.said)):
        return Verdict("meant")
    if verdict.what != "lenient" and any(
        difference(mine, form).what == "equal"
        for form in (instead(call, unsigned), other_form(call, mine, true))
    ):
        return Verdict("meant")
    if call.name in CONDITIONS and np.max(np.linalg.cond(call.args[0])) >= CONDITIONS[call.name]:
        return Verdict("range", "the condition of the matrix")
    if verdict.what == "value":
        try:
            args, kwargs = with_secrets(mpc.local(parties, suite, check=True), call, at)
            revealed(function(*args, **kwargs))
        except RangeError as error:
            said = str(error)
            far = (
                "too small" not in said
                or not _moderate(true)
                or not all(map(_moderate, (*call.args, *call.kwargs.values())))
            )
            if far and "otherwise" not in said and "another shape" not in said:
                return Verdict("range", said)
    return verdict


def _moderate(x: Any) -> bool:
    """Whether fixed point has several digits of these numbers, and of their products."""
    if isinstance(x, list | tuple):
        return all(map(_moderate, x))
    if not isinstance(x, int | float | np.ndarray | np.number):
        return True
    size = np.abs(np.asarray(x, np.float64))
    return bool(((size == 0) | ((size > 2.0**-6) & (size < 2.0**12))).all())


@dataclass
class Run:
    verdicts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # by folder
    seen: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # by verdict
    missing: Counter[str] = field(default_factory=Counter)
    harvest: dict[str, tuple[int, int, int]] = field(default_factory=dict)


def look(only: set[str], folders: list[str], most: int, standard: Path | None) -> Run:
    run = Run()
    for folder in folders:
        calls, made = harvested(folder, standard)
        calls = [call for call in calls if not only or call.name in only]
        by_name: dict[str, list[Call]] = defaultdict(list)
        for call in calls:
            by_name[call.name].append(call)
        chosen = [
            several[i * len(several) // most] if len(several) > most else several[i]
            for several in by_name.values()
            for i in range(min(most, len(several)))
        ]
        run.harvest[folder] = made, len(calls), len(chosen)
        for number, call in enumerate(chosen):
            at = places(call.args, call.kwargs)
            choices = [at] if len(at) == 1 else [at, [at[number % len(at)]]]
            suite, parties = SUITES[number % 2]
            for some in choices:
                with warnings.catch_warnings(), np.errstate(all="ignore"):
                    warnings.simplefilter("ignore")
                    verdict = judged(call, some, suite, parties)
                run.verdicts[folder][verdict.what] += 1
                run.seen[verdict.what].append(f"{call} at {some}, {suite}: {verdict.said}")
                if verdict.what == "missing":
                    run.missing[verdict.said] += 1
    return run


# -- the page ----------------------------------------------------------------------------------------

ARRAY_API = {
    "elementwise": (
        """abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_invert bitwise_left_shift bitwise_or
        bitwise_right_shift bitwise_xor ceil clip conj copysign cos cosh divide equal exp expm1 floor floor_divide greater
        greater_equal hypot imag isfinite isinf isnan less less_equal log log10 log1p log2 logaddexp logical_and logical_not
        logical_or logical_xor maximum minimum multiply negative nextafter not_equal positive pow real reciprocal remainder
        round sign signbit sin sinh sqrt square subtract tan tanh trunc"""
    ),
    "statistical": "cumulative_prod cumulative_sum max mean min prod std sum var",
    "searching, sorting": "argmax argmin argsort count_nonzero nonzero searchsorted sort where",
    "manipulation": (
        """broadcast_arrays broadcast_to concat expand_dims flip moveaxis permute_dims repeat reshape roll squeeze
        stack tile unstack"""
    ),
    "indexing, utility": "all any diff take take_along_axis",
    "of an array": "empty_like full_like linspace meshgrid ones_like tril triu zeros_like",
    "types": "astype can_cast result_type",
    "sets": "unique_all unique_counts unique_inverse unique_values",
    "linear algebra": "matmul matrix_transpose tensordot vecdot",
    "linalg": (
        """linalg.cholesky linalg.cross linalg.det linalg.diagonal linalg.eigh linalg.eigvalsh linalg.inv linalg.matmul
        linalg.matrix_norm linalg.matrix_power linalg.matrix_rank linalg.matrix_transpose linalg.outer linalg.pinv linalg.qr
        linalg.slogdet linalg.solve linalg.svd linalg.svdvals linalg.tensordot linalg.trace linalg.vecdot linalg.vector_norm"""
    ),
    "fft": (
        """fft.fft fft.ifft fft.fftn fft.ifftn fft.rfft fft.irfft fft.rfftn fft.irfftn fft.hfft fft.ihfft fft.fftshift
        fft.ifftshift"""
    ),
}


def there(name: str) -> bool:
    """Whether a function of NumPy has a meaning on secrets: one that is not a refusal."""
    f: Any = resolved(name)
    make = tables.UFUNCS.get(f) if isinstance(f, np.ufunc) else tables.FUNCTIONS.get(f)
    return make is not None and make.__name__ != "refuse"


def _names(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _cell(names: Any) -> str:
    return " ".join(f"`{name}`" for name in names)


def listed() -> str:
    """What there is: of the code as it is, and of no NumPy's list of its own names."""
    ufuncs = [f.__name__ for f in tables.UFUNCS]
    others = {
        f"{f.__module__.replace('numpy', '', 1)}.{f.__name__}".lstrip(".")
        for f in tables.FUNCTIONS
        if there(_home(f))
    }
    lines = [
        f"**Elementwise**, as functions and operators: {_names(ufuncs)}.",
        "",
        f"**`.reduce`** of {_names(f.__name__ for f in tables.REDUCTIONS)};",
        (
            f"**`.accumulate`** of {_names(f.__name__ for f in tables.ACCUMULATIONS)}; `.outer` of all with"
            " two operands."
        ),
        "",
        f"**Functions**: {_names(others)}.",
        "",
        f"**Methods and attributes** of a secret: {_names(filter(_method, vars(Secret)))}.",
        "",
        "## The Array API, 2024.12",
        "",
        (
            "By the standard's names, which NumPy has too; functions that make arrays of nothing have no"
            " secret in them."
        ),
        (
            "`x.__array_namespace__()` is NumPy, for code that asks its arrays; its `asarray` refuses"
            " secrets, which would become public."
        ),
        "",
        "| | there | not there |",
        "|---|---|---|",
    ]
    for category, names in ARRAY_API.items():
        have = [name for name in names.split() if there(name)]
        lines.append(
            f"| {category} | {_cell(have)} | {_cell(name for name in names.split() if name not in have)} |"
        )
    return "\n".join(lines)


def _method(name: str) -> bool:
    return hasattr(np.ndarray, name) and name[0] != "_" and (name not in functions() or there(name))


def _home(f: Any) -> str:
    return (
        "linalg." if f.__module__ == "numpy.linalg" else "fft." if f.__module__ == "numpy.fft" else ""
    ) + f.__name__


def reasons() -> str:
    lines = []
    for title, table in (("Not on secrets", absent.NEVER), ("Not built", absent.NOT_YET)):
        lines += [f"**{title}**", ""]
        for why, names in table.items():
            some = [name for name in names if name in functions() and not there(name)]
            if some:
                lines.append(f"- {_names(some)} {why}")
        lines.append("")
    known = {name for table in (absent.NEVER, absent.NOT_YET) for names in table.values() for name in names}
    shows = [name for name in functions() if not there(name) and resolved(name) in tables.FUNCTIONS]
    rest = [name for name in functions() if not there(name) and name not in known and name not in shows]
    lines += [
        "**Refused**, since the shape of the result would show what is secret; the message says what there"
        f" is instead: {_names(shows)}."
    ]
    if rest:
        lines += ["", f"**Not there yet**, without more to say: {_names(rest)}."]
    return "\n".join(lines)


HEAD = """# NumPy on secrets

Written by [`docs/surface.py`](surface.py), which makes the calls of NumPy's own tests, and the Array API's, on secrets; a
test checks that the lists below are those of the code.

A function on secrets is called as NumPy's is: by NumPy's name, arguments and defaults. Its result has NumPy's shape, and
type: truth values, `int64`, `float64`. What is not there says so in a sentence.

## Counts

All tests of the named folders of the NumPy that is installed ({version}), and all of the Array API's own with NumPy as the
namespace ([`array-api-tests`](https://github.com/data-apis/array-api-tests) at {commit}, {drawn} examples drawn for each, some of
which differ from run to run), harvested: every distinct call with small arrays of finite numbers, in the types that secrets
have, up to {most} of a function in a folder. Each is made with secrets in place of all its arrays, and once more of one of
them, in turn with `replicated` and `additive`.

"""


def page(run: Run, most: int, standard: Path) -> str:
    folders = list(run.verdicts)
    commit = subprocess.run(
        ["git", "-C", standard, "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    lines = [
        "| | "
        + " | ".join(f"numpy/{folder}" if folder in TESTS else folder for folder in folders)
        + " | together |",
        "|---" * (len(folders) + 2) + "|",
    ]
    for i, what in enumerate(("calls in tests", "distinct", "tried")):
        numbers = [run.harvest[folder][i] for folder in folders]
        lines.append(f"| {what} | " + " | ".join(f"{n:,}" for n in [*numbers, sum(numbers)]) + " |")
    for what, words in CLASSES.items():
        numbers = [run.verdicts[folder][what] for folder in folders]
        lines.append(f"| {words} | " + " | ".join(f"{n:,}" for n in [*numbers, sum(numbers)]) + " |")
    return (
        HEAD.format(version=np.__version__, most=most, commit=commit, drawn=DRAWN)
        + "\n".join(lines)
        + "\n\n"
        + lists()
    )


def lists() -> str:
    """All of the page but its counts."""
    return f"{DIFFERENCES}\n## What there is\n\n{listed()}\n\n## What is not there\n\n{reasons()}\n"


DIFFERENCES = """What is otherwise than in NumPy, and meant to be:

- Truth values are the integers 0 and 1 in `+`, `-` and `@`, where NumPy has an algebra of its own, or refuses.
- `x / 0` is 0, and there is no NaN: what NumPy answers with one is refused, or is some number
  ([`accuracy.md`](accuracy.md)). So the functions for NaN (`nansum`, …) are the same as without.
- A secret cannot raise. An index beyond the ends reads 0 in `take`, `take_along_axis` and `choose`; the inverse of a singular
  matrix, and an integer to a secret power below 0, are some number, of which a session with `check=True` tells.
- `bincount` counts what is below its `minlength`, and nothing else; fixed point has no -0 for `signbit` and `arctan2` to see.
- Eigenvectors and singular vectors come out with other signs, and where values are equal otherwise turned; `lstsq` has `None` for
  the rank and the singular values, which cost many times what it does.
- An option that is `None` is one that is not given.
- Every sort is stable; `empty_like` has zeros; integers beyond 64 bits wrap as NumPy's `int64` does, in a larger ring later.
- There is no `out=`, no memory order to ask for, and no type narrower than the three.
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lists", action="store_true")
    parser.add_argument("--show", default="")
    parser.add_argument("--only", default="")
    parser.add_argument("--folders", default=",".join([*TESTS, STANDARD]))
    parser.add_argument("--most", type=int, default=MOST)
    parser.add_argument("--array-api", type=Path, metavar="PATH")
    given = parser.parse_args()
    if given.lists:
        counts, _, _ = PAGE.read_text().partition(DIFFERENCES[:40])
        PAGE.write_text(counts + lists())
        return
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))  # of what tests ask for
    folders = given.folders.split(",")
    if STANDARD in folders and not (given.array_api and (given.array_api / "array-api" / "spec").exists()):
        parser.error(
            f"--array-api takes the path of a checkout of {STANDARD} with its submodule; docs/surface.py says"
            " where it is"
        )
    run = look(set(filter(None, given.only.split(","))), folders, given.most, given.array_api)
    if not given.show and not given.only and folders == [*TESTS, STANDARD]:
        PAGE.write_text(page(run, given.most, given.array_api))
    for folder, counter in run.verdicts.items():
        print(folder, run.harvest[folder], dict(counter))
    for what in filter(None, given.show.split(",")):
        print(f"== {what}")
        print(*run.seen[what], sep="\n")
    if given.show:
        print(*(f"{n:5} {said[:150]}" for said, n in run.missing.most_common(80)), sep="\n")


if __name__ == "__main__":
    main()
