"""``docs/numpy.md`` says what the code has; and the script that counts tells right from wrong."""
from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mpc
from protocols import absent, tables

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
        assert why in page or not any(name in surface.functions() and not surface.there(name) for name in {**absent.NEVER, **absent.NOT_YET}[why])
    for what in ("crash", "shape", "type"):
        (line,) = (line for line in page.splitlines() if line.startswith(f"| {surface.CLASSES[what]} |"))
        assert {cell.strip() for cell in line.split("|")[2:-1]} == {"0"}


A = np.array([1, 2, 4])
CALLS: list[tuple[str, str, tuple[Any, ...], dict[str, Any]]] = [
    ("equal", "sum", (A,), {"dtype": float}), ("equal", "unstack", (A,), {}), ("both refuse", "reshape", (A, (2, 2)), {}),
    ("refused", "nonzero", (A,), {}), ("refused", "put", (A, 1, 2), {}), ("missing", "logspace", (A, 3), {}),
    ("counted", "negative", (A > 1,), {}), ("no number", "log", (A * 0.0 - 1,), {}), ("range", "add", (A * 2.0**60, 1.5), {}),
    ("equal", "bitwise_and.reduce", (A[:0],), {}), ("equal", "logical_xor.reduce", (np.zeros((0, 3)),), {}), ("both refuse", "bitwise_or.reduce", (A[:0] * 1.5,), {}),
    ("refused", "logaddexp.reduce", (A[:0] * 1.5,), {}), ("equal", "lexsort", (A,), {}), ("equal", "quantile", (A, [0, 1]), {"method": "midpoint"}),
    ("equal", "quantile", (A, 0), {"method": "weibull"}), ("equal", "linalg.matrix_norm", (np.zeros((0, 2)),), {"ord": "nuc"}), ("equal", "linalg.norm", (np.zeros((2, 0)), 2), {}),
    ("meant", "arctan2", (np.array(-0.0), np.array(-0.0)), {}), ("meant", "power", (A, np.array(-1)), {}), ("meant", "linalg.inv", (np.ones((2, 2)),), {}),
    ("range", "linalg.lstsq", (np.ones((3, 2)), np.ones(3)), {}), ("meant", "linalg.lstsq", (np.eye(3)[:, :2], np.ones(3)), {}),
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

    assert judged(lambda a: a[:2]) == "shape" and judged(lambda a: a * 1.5) == "type" and judged(lambda a: a + 1) == "value"

    def lost(a: Any) -> Any:
        assert a is None
    square = np.array([[2.0, 1.0], [1.0, 3.0]])
    assert judged(lambda a: (a[0] * 1, a * 1), "linalg.eigh", square) == "value" and judged(lambda a: (a * 1, a * 1), "linalg.eigh", square) == "shape"
    assert judged(lambda a, b: (b * 1, b[:0] * 1, None, None), "linalg.lstsq", square, A[:2] * 1.5) == "value"
    assert judged(lost) == "crash" and judged(lambda a: a.none) == "crash" and judged(lambda a, b: a) == "crash"


def test_calls_are_noted_as_they_were_made() -> None:
    calls: dict[str, Any] = {}
    count: Any = surface.Counter()
    add = surface.Recorder("add", np.add, calls, count)
    x = np.array([1, 2], np.int8)
    assert (add(x, 1) == [2, 3]).all() and (add(x, 1) == [2, 3]).all() and add.reduce(x) == 3
    add(x, np.nan)
    x[0] = 7
    assert sorted(map(str, calls.values())) == ["np.add(array([1, 2]), 1)", "np.add.reduce(array([1, 2]))"] and count.total() == 3


@pytest.mark.parametrize("name", [name for names in absent.NEVER.values() for name in names])
def test_what_cannot_be_is_no_name_of_the_tables(name: str) -> None:
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
