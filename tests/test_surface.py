"""``docs/numpy.md`` says what the code has; and the script that counts tells right from wrong."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mpc
from protocols.numpy import absent, tables

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("surface", ROOT / "docs/surface.py")
assert spec is not None and spec.loader is not None
surface = importlib.util.module_from_spec(spec)
sys.modules["surface"] = surface
spec.loader.exec_module(surface)


def test_the_page_lists_what_there_is() -> None:
    page = surface.PAGE.read_text()
    assert surface.listed() in page and surface.DIFFERENCES in page, "python docs/surface.py --lists"
    for why in {**absent.NEVER, **absent.NOT_YET}:
        assert why in page or not any(
            name in surface.functions() and not surface.there(name)
            for name in {**absent.NEVER, **absent.NOT_YET}[why]
        )
    for what in ("crash", "lenient", "shape", "type", "value"):
        (line,) = (line for line in page.splitlines() if line.startswith(f"| {surface.CLASSES[what]} |"))
        assert {cell.strip() for cell in line.split("|")[2:-1]} == {"0"}


@pytest.mark.parametrize(
    "name",
    [
        "item",
        "tolist",
        "flat",
        "strides",
        "itemsize",
        "nbytes",
        "flags",
        "base",
        "data",
        "ctypes",
        "sort",
        "partition",
        "put",
        "fill",
        "compress",
    ],
)
def test_probing_finds_nothing_and_using_says_why(name: str) -> None:
    x = mpc.local(2).secret([1.5, 2.0])
    assert not hasattr(x, name) and getattr(x, name, None) is None
    with pytest.raises(AttributeError, match=rf"ndarray\.{name} of a secret (would|is not there)"):
        getattr(x, name)()


def test_secrets_know_their_array_namespace() -> None:
    """As code for the Array API asks for it: with functions by the standard's names."""
    from sklearn.externals.array_api_compat import array_namespace, device, is_array_api_obj

    x = mpc.local(3).secret([[1.5, 2.0], [3.0, 4.0]])
    for xp in (
        x.__array_namespace__(),
        x.__array_namespace__(api_version="2023.12"),
        array_namespace(x),
        array_namespace(x, np.eye(2), use_compat=False),
    ):
        assert (
            xp.isdtype(x.dtype, "real floating")
            and is_array_api_obj(x)
            and device(x) == x.device
            and x.to_device(x.device) is x
        )
        assert xp.mean(x).reveal() == 2.625 and xp.astype(x, xp.int64).reveal().tolist() == [[1, 2], [3, 4]]
        assert xp.concat(
            [xp.permute_dims(x, (1, 0)), xp.zeros_like(x, device=x.device)], axis=0
        ).reveal().tolist() == [[1.5, 3], [2, 4], [0, 0], [0, 0]]
        for refused in (xp.unique_values, xp.nonzero, xp.asarray):
            with pytest.raises(TypeError, match=r"of secrets would show|call \.reveal\(\)"):
                refused(x)
    with pytest.raises(ValueError, match="1999"):
        x.__array_namespace__(api_version="1999")
    with pytest.raises(ValueError, match="device cpu"):
        x.to_device("cuda")


@pytest.mark.parametrize(
    ("f", "error", "said"),
    [
        (np.sort, np.exceptions.AxisError, r"^np\.sort: axis -1 is out of bounds"),
        (np.argsort, np.exceptions.AxisError, r"^np\.argsort: axis -1 is out"),
        (
            lambda z: np.sort(z[None], axis=3),
            np.exceptions.AxisError,
            r"^np\.sort: axis 3 is out of bounds for array of dimension 1",
        ),
        (lambda z: np.cumprod(z[None], axis=3), np.exceptions.AxisError, r"^np\.cumprod: axis 3"),
        (lambda z: np.linalg.norm(z[None], axis=1), np.exceptions.AxisError, r"^np\.linalg\.norm: axis 1"),
        (lambda z: np.gradient(z[None], axis=1), np.exceptions.AxisError, r"^np\.gradient: axis 1"),
        (lambda z: np.trapezoid(z[None], axis=1), np.exceptions.AxisError, r"^np\.trapezoid: axis 1"),
        (
            lambda z: np.stack([z, z]) - [1, 2, 3],
            ValueError,
            r"^np\.subtract: the shapes \(2,\) and \(3,\) do not fit: .*np\.reshape",
        ),
        (lambda z: np.stack([z, z]) < np.stack([z, z, z]), ValueError, r"^np\.less: the shapes"),
        (lambda z: np.stack([z, z]) @ [1, 2, 3], ValueError, r"^np\.matmul: shapes \(2,\) and \(3,\)"),
        (lambda z: np.where(np.stack([z, z]) > 0, [1, 2, 3], 0), ValueError, r"^np\.where: .*\(2,\)"),
        (lambda z: np.clip(np.stack([z, z]), [1, 2, 3], 4), ValueError, r"^np\.clip: "),
        (lambda z: np.repeat(z, -1), ValueError, r"^np\.repeat: negative"),
        (lambda z: np.copysign(np.stack([z, z]), [1, 2, 3]), ValueError, r"^np\.copysign: "),
        (lambda z: np.cov(z[None][:0]), ValueError, r"^np\.cov takes samples"),
        (lambda z: np.max(z[None][:0]), ValueError, r"^np\.max: "),
        (lambda z: np.gcd(z, 2), NotImplementedError, "Euclid"),
        (np.modf, NotImplementedError, "trunc"),
        (lambda z: np.vander(z[None]), NotImplementedError, "arange"),
    ],
)
def test_what_does_not_fit_is_said_with_the_functions_name(f: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        f(mpc.local(2).secret(1.5))


A = np.array([1, 2, 4])
CALLS: list[tuple[str, str, tuple[Any, ...], dict[str, Any]]] = [
    ("equal", "sum", (A,), {"dtype": float}),
    ("equal", "unstack", (A,), {}),
    ("both refuse", "reshape", (A, (2, 2)), {}),
    ("refused", "nonzero", (A,), {}),
    ("refused", "put", (A, 1, 2), {}),
    ("missing", "logspace", (A, 3), {}),
    ("counted", "negative", (A > 1,), {}),
    ("no number", "log", (A * 0.0 - 1,), {}),
    ("range", "add", (A * 2.0**60, 1.5), {}),
    ("equal", "bitwise_and.reduce", (A[:0],), {}),
    ("equal", "logical_xor.reduce", (np.zeros((0, 3)),), {}),
    ("both refuse", "bitwise_or.reduce", (A[:0] * 1.5,), {}),
    ("refused", "logaddexp.reduce", (A[:0] * 1.5,), {}),
    ("equal", "lexsort", (A,), {}),
    ("both refuse", "lexsort", (A,), {"axis": 1}),
    ("equal", "quantile", (A, [0, 1]), {"method": "midpoint"}),
    ("equal", "quantile", (A, 0), {"method": "weibull"}),
    ("equal", "linalg.matrix_norm", (np.zeros((0, 2)),), {"ord": "nuc"}),
    ("equal", "linalg.norm", (np.zeros((2, 0)), 2), {}),
    ("meant", "arctan2", (np.array(-0.0), np.array(-0.0)), {}),
    ("meant", "power", (A, np.array(-1)), {}),
    ("meant", "linalg.inv", (np.ones((2, 2)),), {}),
    ("range", "linalg.lstsq", (np.ones((3, 2)), np.ones(3)), {}),
    ("meant", "linalg.lstsq", (np.eye(3)[:, :2], np.ones(3)), {}),
    ("meant", "linalg.eigh", (np.ones((3, 3)),), {}),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("suite", "parties"), surface.SUITES)
def test_verdicts(suite: str, parties: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for what, name, args, kwargs in CALLS:
        call = surface.Call(name, args, kwargs)
        verdict = surface.judged(call, surface.places(args, kwargs), suite, parties)
        assert verdict.what == what, f"{call}: {verdict}"

    def judged(make: Any, name: str = "sort", *args: Any) -> str:
        monkeypatch.setitem(tables.FUNCTIONS, surface.resolved(name), make)
        return str(surface.judged(surface.Call(name, args or (A,), {}), [(0, None)], suite, parties).what)

    assert (
        judged(lambda a: a[:2]) == "shape"
        and judged(lambda a: a * 1.5) == "type"
        and judged(lambda a: a + 1) == "value"
    )

    def lost(a: Any) -> Any:
        assert a is None

    square = np.array([[2.0, 1.0], [1.0, 3.0]])
    assert (
        judged(lambda a: (a[0] * 1, a * 1), "linalg.eigh", square) == "value"
        and judged(lambda a: (a * 1, a * 1), "linalg.eigh", square) == "shape"
    )
    assert judged(lambda a, b: (b * 1, b[:0] * 1, None, None), "linalg.lstsq", square, A[:2] * 1.5) == "value"
    assert (
        judged(lost) == "crash" and judged(lambda a: a.none) == "crash" and judged(lambda a, b: a) == "crash"
    )


def test_calls_are_noted_as_they_were_made() -> None:
    calls: dict[str, Any] = {}
    count: Any = surface.Counter()
    add = surface.Recorder("add", np.add, calls, count)
    x = np.array([1, 2], np.int8)
    assert (add(x, 1) == [2, 3]).all() and (add(x, 1) == [2, 3]).all() and add.reduce(x) == 3
    add(x, np.nan)
    x[0] = 7
    assert (
        sorted(map(str, calls.values())) == ["np.add(array([1, 2]), 1)", "np.add.reduce(array([1, 2]))"]
        and count.total() == 3
    )


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda x: np.piecewise(x, [x > 0], [1, 2]), "use np.select"),
        (
            lambda x: np.lib.stride_tricks.sliding_window_view(x, 2),
            r"write x\[np\.arange\(len\(x\) - n \+ 1\)\[:, None\] \+ np\.arange\(n\)\]",
        ),
        (lambda x: np.add.at(x, [0], 1), r"write x = x\.at\[index\]\.add\(y\)"),
        (lambda x: np.add.reduceat(x, [0, 1]), r"the parts that np\.split gives"),
        (lambda x: np.compress([True, False, True], x), r"x\[condition\] if that is public"),
        (max, "np.max, np.min and np.sort"),
        (sorted, "np.max, np.min and np.sort"),
    ],
)
def test_who_writes_for_arrays_is_told_what_to_write(f: Callable[[Any], Any], words: str) -> None:
    with pytest.raises((TypeError, NotImplementedError), match=words):
        f(mpc.local(2).secret([1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    "name", [name for names in {**absent.NEVER, **absent.NOT_YET}.values() for name in names]
)
def test_what_is_listed_as_absent_is_no_name_of_the_tables(name: str) -> None:
    *home, last = name.split(".")
    f = getattr(getattr(np, home[0]) if home else np, last, None)
    assert f is None or f not in {*tables.FUNCTIONS, *tables.UFUNCS}


@pytest.mark.parametrize(
    ("f", "error", "said"),
    [
        (lambda x, s: np.put(x, 1, 2), TypeError, "np.put of secrets would change its argument"),
        (lambda x, s: np.fft.fft(x), TypeError, "complex"),
        (lambda x, s: np.logspace(x, 3), NotImplementedError, "np.linspace"),
        (lambda x, s: x.sort(), TypeError, r"x = np\.sort\(x\)"),
        (lambda x, s: (x * 1.5).astype(int, casting="safe"), TypeError, "float64 is not cast to int64"),
        (lambda x, s: mpc.shuffle(s), ValueError, "at least one axis"),
        (lambda x, s: mpc.softmax(s * 1.5, axis=0), np.exceptions.AxisError, "axis 0"),
        (lambda x, s: np.lexsort([x, x]), TypeError, "takes a tuple"),
        (lambda x, s: np.searchsorted(x, s, sorter=[0, 1]), ValueError, "sorter"),
        (lambda x, s: x.tolist(), TypeError, "reveal"),
        (lambda x, s: x.strides, TypeError, "memory"),
        (lambda x, s: np.add(x, 1, out=np.zeros(3)), TypeError, "np.add: secrets are immutable"),
        (lambda x, s: np.sum(x, out=np.zeros(())), TypeError, "np.sum: secrets are immutable"),
        (lambda x, s: np.sum(x, dtype=np.float32), TypeError, "not of float32"),
        (lambda x, s: np.mean(x, dtype=int), NotImplementedError, "dtype=float"),
        (lambda x, s: np.max(x, where=x > 1), ValueError, "needs initial="),
        (lambda x, s: np.sum(x, where=x), TypeError, "truth values"),
        (lambda x, s: np.add(x, 1.5, dtype=int), TypeError, "same_kind"),
        (lambda x, s: np.average(x, weights=[1, 2]), TypeError, "axis"),
        (lambda x, s: np.average(x, axis=0, weights=[1, 2]), ValueError, "as many"),
        (lambda x, s: np.std(x, ddof=1, correction=1), ValueError, "not both"),
        (np.repeat, TypeError, "np.repeat: the array may be secret"),
        (lambda x, s: np.ravel(x, order="K"), ValueError, "orders C and F"),
        (np.quantile, TypeError, "public levels"),
        (lambda x, s: np.quantile(x, 0.5, method="nosuch"), ValueError, "nosuch"),
        (lambda x, s: np.median(x, axis=3), np.exceptions.AxisError, "axis 3"),
        (lambda x, s: np.max(s, axis=0), np.exceptions.AxisError, "axis 0"),
        (lambda x, s: np.cov([[1, 2, 4]], fweights=x), NotImplementedError, "public fweights"),
        (lambda x, s: np.searchsorted([1, 2, 4], [2], sorter=x), TypeError, "the sorter is not looked at"),
        (lambda x, s: np.pad(x, 1, "median"), NotImplementedError, "modes constant"),
        (lambda x, s: np.pad(x, 1, "edge", constant_values=2), ValueError, "no constant_values="),
        (lambda x, s: np.insert(x, s, 1), TypeError, "secret place"),
        (lambda x, s: np.einsum("ij->j", x), ValueError, "'ij' does not fit"),
        (lambda x, s: np.einsum("i,i", x), ValueError, "name 2 operands, and there are 1"),
        (lambda x, s: np.isclose(x, 1, rtol=-1), TypeError, "tolerances"),
        (lambda x, s: np.select([x], [x]), TypeError, "condition 0"),
        (lambda x, s: np.clip(x, 1), TypeError, "two bounds"),
        (lambda x, s: np.sort(x, order="a"), ValueError, "fields"),
        (lambda x, s: np.concatenate([x, x], dtype=bool), TypeError, "cannot cast int64 to bool"),
    ],
)
def test_refusals_are_sentences(f: Any, error: type[Exception], said: str) -> None:
    s = mpc.local(2)
    with pytest.raises(error, match=said):
        f(s.secret([1, 2, 4]), s.secret(2))


M = np.array([[3.0, 1.0, 2.5], [0.5, -2.0, 4.0]])
METHODS = (
    "inverted_cdf",
    "averaged_inverted_cdf",
    "closest_observation",
    "interpolated_inverted_cdf",
    "hazen",
    "weibull",
    "linear",
    "median_unbiased",
    "normal_unbiased",
    "lower",
    "higher",
    "midpoint",
    "nearest",
)
SAID_OTHERWISE: list[Any] = [
    lambda x: np.sum(a=x),
    lambda x: np.sort(a=x),
    lambda x: np.mean(a=x, axis=0),
    lambda x: np.std(a=x, correction=1),
    lambda x: np.argsort(a=x),
    lambda x: np.stack(arrays=[x, x]),
    lambda x: np.vstack(tup=[x, x]),
    lambda x: np.split(ary=x, indices_or_sections=2)[1],
    lambda x: np.transpose(a=x),
    lambda x: np.flip(m=x),
    lambda x: np.tril(m=x),
    lambda x: np.diag(v=x),
    lambda x: np.delete(arr=x, obj=0, axis=1),
    lambda x: np.append(arr=x, values=x),
    lambda x: np.roll(a=x, shift=1),
    lambda x: np.cumsum(a=x),
    lambda x: np.diff(a=x),
    lambda x: np.round(a=x, decimals=1),
    lambda x: np.amax(a=x),
    lambda x: np.linalg.norm(x=x),
    lambda x: np.isin(element=np.rint(x), test_elements=[3.0], kind="sort"),
    lambda x: np.einsum("ij,ij", x, x, optimize=True),
    lambda x: np.clip(x, min=0, max=2),
    lambda x: np.clip(a=x, a_min=0, a_max=2),
    lambda x: np.hstack([x, x], dtype=float),
    lambda x: np.vstack([np.rint(x).astype(int), [[1, 2, 3]]], dtype=float),
    lambda x: np.stack([x > 0, x > 1], dtype=int),
    lambda x: np.maximum.reduce(x, -1, None, None, True),
    lambda x: np.add.reduce(x, dtype=None),
    lambda x: np.logical_and.reduce(x > -3, initial=True),
    lambda x: np.logical_or.reduce(x > 9, axis=None, initial=False),
    lambda x: np.percentile(x, 5, None, None, False),
    lambda x: np.quantile(x, 0.3, axis=(0, 1)),
    lambda x: np.percentile(x, [10, 60], axis=(1, 0)),
    lambda x: np.max(x, axis=(-1, -2)),
    lambda x: np.ptp(x, axis=(0, 1)),
    lambda x: x.sum(dtype=float),
    lambda x: x.max(initial=3.5),
    lambda x: x.argsort(axis=0),
    lambda x: x[0].searchsorted([2.0, 9.0], sorter=[1, 2, 0]),
    lambda x: np.searchsorted(x[0], 2.75, sorter=[1, 2, 0]),
    lambda x: np.linalg.norm(x, 1.5, axis=1),
    lambda x: np.float_power(np.abs(x), np.abs(x) * 0.5),
    lambda x: np.average(x, axis=1, weights=np.abs(x), returned=True)[1],
    *(
        lambda x, method=method: np.quantile(x, [0, 0.1, 0.3, 0.5, 0.77, 1], axis=1, method=method)
        for method in METHODS
    ),
]


@pytest.mark.parametrize(("suite", "parties"), surface.SUITES)
def test_calls_by_name_by_place_and_with_defaults_are_numpys(suite: str, parties: int) -> None:
    x = mpc.local(parties, suite).secret(M)
    for number, call in enumerate(SAID_OTHERWISE):
        mine, true = np.asarray(call(x).reveal()), np.asarray(call(M))
        assert mine.shape == true.shape and mine.dtype.kind == true.dtype.kind, number
        assert np.abs(mine * 1.0 - true).max() < 2.0**-11, number
    assert np.array_equal(round(x).reveal(), np.round(M))
