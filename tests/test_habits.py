"""What those who run programs are used to:
arguments, data of one's own, neighbours of any name, interrupts.
"""

from __future__ import annotations

import datetime
import io
import os
import pydoc
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_cli import MPC, ROOT, Processes, deployment, ended, mpc, refused, write
from test_program import imports  # noqa: F401

import mpc as engine
from mpc import readable
from mpc.config import load
from mpc.errors import ConfigError, EncodingError, MpcError
from mpc.meter import Meter, clock
from protocols.bench import online as bench
from protocols.running.program import Program

# -- arguments ------------------------------------------------------------------------------------------

ARGPARSE = """
import argparse

def main(party):
    options = argparse.ArgumentParser()
    options.add_argument("--factor", type=int, required=True)
    options.add_argument("words", nargs="*")
    given = options.parse_args()
    product = given.factor * party.secret(7, owner=0).reveal()
    return f"{sys.argv[0].rpartition('/')[2]} {product} {given.words}"
"""


def test_what_follows_two_dashes_is_the_programs(tmp_path: Path) -> None:
    """As a script's in ``sys.argv``, options too; a main that takes more than the party is given it."""
    program = write(tmp_path, ARGPARSE)
    done = mpc("run", program, "-n", 3, "--quiet", "--", "--factor", "6", "some", "words and more")
    assert (done.returncode, done.stdout) == (0, "program.py 42 ['some', 'words and more']\n"), done.stderr
    done = mpc("run", program, "-n", 3, "--", "--help")
    assert done.returncode == 0 and done.stdout.count("usage: program.py") == 1 and not done.stderr
    done = mpc("run", program, "-n", 3, "--", "-n", "6")
    assert (
        done.returncode == 1
        and done.stderr.count("program.py: error: the following arguments are required: --factor") == 1
    )
    taking = write(tmp_path, "def main(party, low, *rest):\n    return f'{low} {rest}'\n", "taking.py")
    assert mpc("run", taking, "-n", 3, "--", "1", "two", "--three").stdout == "1 ('two', '--three')\n"
    refused(mpc("run", taking, "-n", 3), "main(party, low, *rest)", "0 arguments given after '--'")


@pytest.mark.usefixtures("imports")
@pytest.mark.parametrize(
    ("head", "given", "got"),
    [
        ("party", (), ()),
        ("party", ("1",), ()),
        ("party, low='3'", (), ("3",)),
        ("party, low='3'", ("4",), ("4",)),
        ("party, *rest", ("4", "5"), (("4", "5"),)),
        ("party, low", (), None),
        ("party, low", ("1", "2"), None),
        ("party, *, low=1", ("2",), (1,)),
    ],
)
def test_what_main_is_given(
    tmp_path: Path, head: str, given: tuple[str, ...], got: tuple[Any, ...] | None
) -> None:
    names = ", ".join(
        name.partition("=")[0].strip(" *") for name in head.split(",")[1:] if name.strip() != "*"
    )
    program = write(tmp_path, f"def main({head}):\n    return ({names + ',' if names else ''})\n")
    if got is not None:
        assert Program(program, given).main(None) == got
        return
    with pytest.raises(ConfigError, match=r"cannot be called with the \d arguments given after '--'"):
        Program(program, given)


def test_arguments_are_each_partys_own(tmp_path: Path, processes: Processes) -> None:
    program = write(
        tmp_path,
        "import sys\nMINE = float(sys.argv[1])\n\ndef main(party):\n    return"
        " sum(party.secret_from_each(MINE)).reveal()\n",
    )
    configs = deployment(tmp_path)
    started = [
        processes.start("party", program, "--config", c, "--", a)
        for c, a in zip(configs[:2], ("1.5", "2.25"), strict=True)
    ]
    dealer = processes.start("dealer", "--config", configs[-1])
    assert [ended(p)[:2] for p in started] == [(0, "3.75\n"), (0, "3.75\n")]
    ended(dealer)


# -- data -----------------------------------------------------------------------------------------------

READING = (
    "def main(party):\n    mine = np.loadtxt(party.data('rows'))\n    return"
    " sum(party.secret_from_each(mine)).reveal().tolist()\n"
)


def test_each_party_says_where_its_data_lie(tmp_path: Path, processes: Processes) -> None:
    """The program that all compare does not: it knows a name."""
    program = write(tmp_path, READING)
    folder = tmp_path / "wards 'a' \"b\" ü"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.txt").write_text(f"{i}\n{10 * i}\n")
    done = mpc("run", program, "--data", f"rows={folder.name}/{{id}}.txt", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "[3.0, 30.0]\n"), done.stderr
    configs = deployment(tmp_path)
    for i, config in enumerate(configs[:2]):
        (tmp_path / f"mine {i}.txt").write_text(f"{i + 1}\n{i + 2}\n")
        config.write_text(config.read_text() + f'\n[data]\nrows = "mine {i}.txt"\n')
    results = [ended(p)[:2] for p in processes.session(configs, program)[:2]]
    assert results == [(0, "[3.0, 5.0]\n")] * 2
    scope: dict[str, Any] = {}
    exec(program.read_text(), scope)
    assert engine.local(3, data={"rows": f"{folder}/{{id}}.txt"}).run(scope["main"]) == [[3.0, 30.0]] * 3


def test_data_that_are_not_there(tmp_path: Path) -> None:
    program = write(tmp_path, READING)
    refused(mpc("run", program, "-n", 3), "has no data 'rows' (it has none)", "--data rows=PATH")
    (tmp_path / "0.txt").write_text("1\n")
    refused(
        mpc("run", program, "-n", 2, "--data", f"rows={tmp_path}/{{id}}.txt"),
        "--data rows: party 1 has no file",
        "1.txt",
    )
    refused(mpc("run", program, "-n", 2, "--data", "rows"), "NAME=PATH")
    with pytest.raises(MpcError, match=r"read them in main\(party\)"):
        engine.local(2, data={"rows": "x"}).data("rows")
    config = deployment(tmp_path, tls=False)[0]
    text = config.read_text()
    for line, said in (
        ('rows = "none.txt"', "'data.rows' names a file that cannot be found"),
        ("rows = 3", "'data.rows' must be the path of a file"),
        ('rows = "0.txt"\nring = 64', "'data.ring' is not the name of data but a field: write it above"),
    ):
        config.write_text(f"{text}\n[data]\n{line}\n")
        with pytest.raises(ConfigError, match=said.replace(".", r"\.")):
            load(config)
    config.write_text(f'{text}\n[data]\nrows = "0.txt"\nall = "."\n')
    assert load(config).data == {"rows": tmp_path / "0.txt", "all": tmp_path}


# -- frames ---------------------------------------------------------------------------------------------


def frames(name: str) -> tuple[Any, Any]:
    """The library and a frame of three rows with a column of each kind of number."""
    library = pytest.importorskip(name)
    return library, library.DataFrame(
        {
            "age": [40, 50, 60],
            "smoker": [True, False, True],
            "weight": [70.5, 80.0, 90.25],
            "late": [1 << 40, 2, 3],
        }
    )


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_a_frame_of_numbers_and_truth_values_is_one_array(name: str) -> None:
    library, frame = frames(name)
    s = engine.local(3)
    for columns, kind in (
        (["age", "smoker"], engine.INT),
        (["smoker"], engine.BOOL),
        (["age", "late"], engine.INT),
        (["age", "smoker", "weight"], s.fixed),
    ):
        expected = np.stack([np.asarray(frame[c].to_numpy()) for c in columns], axis=1)
        for x in (s.secret(frame[columns]), s.secret_from_each([frame[columns]] * 3)[2]):
            assert x.kind == kind and x.shape == (3, len(columns))
            assert np.array_equal(x.reveal(), expected)
    x = s.secret(frame["weight"])
    assert s.secret(frame["smoker"]).kind == engine.BOOL
    assert np.array_equal((x * frame["age"]).reveal(), np.array([70.5, 80.0, 90.25]) * [40, 50, 60])
    assert [float(v.reveal()) for v in s.secret_from_each(frame["weight"])] == [70.5, 80.0, 90.25]
    if name == "pandas":
        assert np.array_equal((frame["age"] * x).reveal(), np.array([70.5, 80.0, 90.25]) * [40, 50, 60])
        assert (frame["weight"] == x).reveal().all()
        twice = library.concat([frame[["age"]], frame[["age"]].astype("Int64")], axis=1)
        assert s.secret(twice).reveal().tolist() == [[40, 40], [50, 50], [60, 60]]
        assert engine.local(3, ring=128).secret(library.Series([1 << 70, 1])).reveal().tolist() == [
            1 << 70,
            1,
        ]
    assert engine.local(3, check=True).secret(frame[["age", "smoker", "weight"]]).sum().reveal() == 392.75


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_a_column_that_is_no_number_is_named_with_a_remedy(name: str) -> None:
    library, frame = frames(name)
    day, categories = (
        datetime.date(2020, 2, 1),
        {"pandas": "category", "polars": getattr(library, "Categorical", None)}[name],
    )
    series = library.Series
    odd = {
        "ward": (series(["a", "b", "a"]), "codes, from a list of categories that all parties have alike"),
        "group": (series(["a", "b", "a"], dtype=categories), "codes, from a list"),
        "seen": (series([datetime.datetime(2020, 1, 1)] * 3), "share days"),
        "born": (series([day] * 3), "share days"),
        "stay": (series([datetime.timedelta(2)] * 3), "total_seconds"),
        "cost": (series([Decimal(1)] * 3), "holds Decimal"),
        "dose": (series([1.0, None, 2.0]), "has missing values, which cannot be shared: fill or drop"),
        "big": (
            series([(1 << 60) + 1, 2, 3]),
            r"integers beyond 2\^53, which beside columns of real numbers would be rounded",
        ),
        "paid": (
            series([True, None, False], dtype=object if name == "pandas" else None),
            "missing values.*: fill or drop",
        ),
        "none": (series([None] * 3), "missing values: fill or drop"),
    }
    if name == "polars":
        odd["time"] = (series([datetime.time(1)] * 3), "holds time; make it one of numbers")
    s = engine.local(2)
    for column, (values, words) in odd.items():
        whole = (
            frame.assign(**{column: values}) if name == "pandas" else frame.with_columns(values.alias(column))
        )
        with pytest.raises(EncodingError, match=rf"the column '{column}' .*{words}"):
            s.secret(whole)
        if column != "big":
            with pytest.raises(EncodingError, match=f"series.*{words}"):
                s.secret_from_each([values, values])


def test_what_is_said_about_days_of_polars_is_right_of_a_series_and_in_a_frame() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"born": [datetime.date(2000, 1, 3), datetime.date(2000, 2, 1)]})
    s = engine.local(2)
    with pytest.raises(
        EncodingError, match=r"as in \(column - datetime\.date\(2000, 1, 1\)\)\.dt\.total_days\(\)$"
    ):
        s.secret(frame)
    for column, shared in (
        (frame["born"], s.secret),
        (polars.col("born"), lambda x: s.secret(frame.select(x))[:, 0]),
    ):
        assert shared((column - datetime.date(2000, 1, 1)).dt.total_days()).reveal().tolist() == [2, 31]


def test_values_of_these_libraries_that_are_no_arrays_are_refused_in_a_sentence() -> None:
    polars, pandas = pytest.importorskip("polars"), pytest.importorskip("pandas")
    s = engine.local(2)
    for value, words in (
        (polars.col("age"), r"share frame\.select\(expression\)"),
        (pandas.Timestamp(0), "Timestamp"),
        (pandas.NA, "NAType"),
    ):
        with pytest.raises(EncodingError, match=words):
            s.secret(value)
    if hasattr(polars, "Int128"):
        assert engine.local(2, ring=128).secret(
            polars.Series([1 << 100, 1], dtype=polars.Int128)
        ).reveal().tolist() == [1 << 100, 1]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([Decimal(1)], "type Decimal"),
        ({"a": 1}, "type dict .*its values one by one"),
        (["a"], "codes"),
        ([1, None], "type NoneType and int"),
        (np.array(["2020-01-01"], "M8[D]"), "of dates, days since"),
    ],
)
def test_what_else_cannot_be_shared_is_named(values: Any, words: str) -> None:
    with pytest.raises(EncodingError, match=f"{words}"):
        engine.local(2).secret(values)


# -- what is shown --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (np.float64(2.5), "2.5"),
        ("text", "text"),
        ({"mean": np.float64(2.0), "n": np.int64(3)}, "{'mean': 2.0, 'n': 3}"),
        ([np.float64(1.5), np.True_], "[1.5, True]"),
        ((np.array([1, 2]), np.float64(0.5)), "[1 2]\n0.5"),
        (np.array([1.5, 2.0]), "[1.5 2. ]"),
        ({"a": np.array([1, 2]), "b": np.eye(2)}, "a: [1 2]\nb:\n[[1. 0.]\n [0. 1.]]"),
        ([], "[]"),
        (np.array(3), "3"),
    ],
)
def test_results_are_plain_numbers(result: object, shown: str) -> None:
    assert readable.plain(result) == shown


def test_a_result_is_printed_once_and_quiet_prints_nothing_else(tmp_path: Path) -> None:
    program = write(
        tmp_path,
        "def main(party):\n    if party.id != 1:\n        print('hello', party.id)\n    print('a warning',"
        " file=sys.stderr)\n    return {'mean': party.secret([1.0, 2.5]).mean().reveal(), 'all':"
        " party.secret([1, 2]).reveal()}\n",
    )
    done = mpc("run", program, "--quiet")
    assert done.returncode == 0
    assert done.stdout == "hello 0\nmean: 1.75\nall: [1 2]\nparty-2 printed:\n  hello 2\n"
    assert done.stderr == "a warning\n"


def test_a_reader_that_leaves_ends_a_run_in_silence(tmp_path: Path) -> None:
    program = write(
        tmp_path,
        "def main(party):\n    for i in range(100_000):\n        print(i, flush=True)\n       "
        " time.sleep(0.001)\n",
    )
    for command in (["run", str(program), "-n", "3"], ["suites"]):
        process = subprocess.Popen([*MPC, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait(60) >= 0


def test_what_takes_long_before_the_first_result_says_so(tmp_path: Path) -> None:
    """Megabytes of correlated randomness, and code that is compiled or loaded, which is not booked on an
    operation.
    """
    program = write(
        tmp_path,
        "def main(party):\n    x = party.secret(np.arange(40_000), owner=0)\n    return (x *"
        " x).reveal()[3]\n",
    )
    done = mpc("run", program, "-n", 2, timeout=200)
    assert (done.returncode, done.stdout) == (0, "9\n"), done.stderr
    assert "making correlated randomness by oblivious transfer: 1" in done.stderr.split("Operations at")[0]
    assert "Loading and compiling code took" in done.stderr
    assert max(map(len, done.stderr.splitlines())) <= 80


def test_loading_and_compiling_are_in_no_operation() -> None:
    meter = Meter()
    clock.take(0.0, 0.0)
    clock.begin(1.0)
    clock.begin(1.5)  # nested: the outermost counts
    clock.end(1.75)
    clock.end(2.0)
    clock.begin(2.5)
    clock.end(2.75)
    meter.computed("sort", 1.25, 3.0)
    assert meter.operations["sort"].computing == 0.75 and meter.loading == 1.25
    meter.computed("sort", 3.0, 4.0)
    assert meter.operations["sort"].computing == 1.75 and meter.as_dict()["loading"] == 1.25


def test_rows_of_the_benchmark_fit_a_terminal() -> None:
    line = {
        "name": "triples-silent",
        "size": 10_000_000,
        "preprocessing": "received",
        "seconds": 123.456,
        "per_second": 1e8,
        "bytes_sent_per_party": 999_900_000,
        "rounds": 10_000,
        "peak_bytes": 999_900_000,
        "verified": True,
    }
    assert len(bench._row(line)) <= 80 and len(bench._HEAD) <= 80
    assert bench._row(line | {"verified": False}).endswith("WRONG")
    cells = bench._row(line).split()
    assert cells == [
        "triples-silent",
        "10,000,000",
        "received",
        "123.46",
        "s",
        "100.0",
        "M",
        "999.9",
        "MB",
        "10,000",
        "999.9",
        "MB",
    ]


def test_a_secret_shows_what_is_public_of_it() -> None:
    x = engine.local(3).secret([[1234.5, 2]])
    assert repr(x) == f"{x}" == "<Secret fixed(16) array (1, 2), replicated>"
    html = x._repr_html_()
    assert (
        all(word in html for word in ("(1, 2)", "fixed(16)", "replicated", "<td>3</td>"))
        and "1234" not in html
    )


def test_help_says_what_people_look_for(capsys: pytest.CaptureFixture[str]) -> None:
    shown = pydoc.render_doc(engine.Session, renderer=pydoc.plaintext)
    for name in (
        "id",
        "size",
        "data(self",
        "rounds",
        "sent",
        "report(self",
        "sync(self",
        "Which party this is",
    ):
        assert name in shown, name
    assert ".run(main)" in pydoc.render_doc(engine.local, renderer=pydoc.plaintext) and engine.__version__
    s = engine.local(2)
    s.secret([1, 2]).reveal()
    assert (
        s.rounds == max(p.meter.rounds for p in s.parties)
        and s.sent == max(p.meter.sent for p in s.parties) > 0
    )
    s.report("lan", "20,100")
    out = capsys.readouterr().out
    assert "reveal" in out and "On lan" in out and "20 ms" in out and "semi-honest" in out


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: engine.local("a"), "a whole number, not 'a'"),
        (lambda s: engine.local(2.5), "a whole number, not 2.5"),
        (lambda s: s.secret(1, kind="int"), r"kind= is mpc\.INT"),
        (lambda s: s.secret_from_each([1, 2], kind=float), r"kind= is mpc\.INT"),
        (lambda s: s.secret_from_each(3), "needs 2 values, one per party, not int"),
        (lambda s: s.secret([1, 2])[s.secret([1, 2]) > 1], r"a secret mask would show .*np\.where"),
        (lambda s: s.secret([1, 2])[s.secret([1, 0])], r"cannot be an index: .*np\.take"),
    ],
)
def test_a_wrong_call_gets_a_sentence(call: Callable[[Any], Any], words: str) -> None:
    with pytest.raises((MpcError, TypeError), match=words):
        call(engine.local(2))


def test_a_closed_session_says_that_it_is() -> None:
    with engine.local(2) as s:
        x = s.secret(1)
    kept = engine.local(2).run(lambda party: party.secret(1))[0]
    for secret in (x, kept):
        with pytest.raises(MpcError, match=r"this session is closed: .*inside main\(party\)"):
            secret.reveal()


def test_a_long_computation_says_that_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal and in a notebook, and only while it goes on."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setattr("mpc.progress._PATIENCE", 0.0)
    s = engine.local(3)
    np.sort(s.secret([3, 1, 2])).reveal()
    said = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert "\rsort" in said and said.endswith(f"\r{'':64}\r")
    monkeypatch.setattr("sys.stderr", io.StringIO())
    np.sort(engine.local(3).secret([3, 1, 2])).reveal()
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


# -- neighbours -----------------------------------------------------------------------------------------


def test_neighbours_with_the_names_of_our_packages_are_left_alone(tmp_path: Path) -> None:
    """As a hospital has its protocols: packages beside the program, where it is started."""
    for name in ("protocols", "mpc"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    program = write(
        tmp_path, "def main(party):\n    return float(np.sort(party.secret([2.0, 1.0])).reveal()[0])\n"
    )
    command = [str(Path(sys.executable).with_name("mpc")), "run", str(program), "-n", "3", "--quiet"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1.0\n"), done.stderr
    # a Python that is started beside it has imported that one, and not ours
    shutil.rmtree(tmp_path / "mpc")
    code = "import mpc; print(mpc.local(3).secret(5).reveal()); from protocols.array.session import Session"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr


@pytest.mark.usefixtures("imports")
@pytest.mark.parametrize(
    "line", ["import protocols.mine", "from protocols import mine", "from mpc.mine import x"]
)
def test_a_module_that_a_package_of_ours_hides_is_said(tmp_path: Path, line: str) -> None:
    for name in ("protocols", "mpc"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text("x = 1\n")
        (tmp_path / name / "beaver.py").write_text("x = 1\n")
    with pytest.raises(
        ConfigError, match=r"mine, which is (mpc|protocols)/mine\.py beside it, but .* another name"
    ):
        Program(write(tmp_path, f"{line}\n\ndef main(party):\n    pass\n"))
    fine = Program(
        write(
            tmp_path,
            "from protocols import beaver\nfrom mpc import local\n\n"
            "def main(party):\n    return callable(beaver.multiply) and callable(local)\n",
        )
    )
    assert fine.main(None) and not fine.terms["modules"]


@pytest.mark.usefixtures("imports")
def test_a_name_that_a_package_of_the_program_would_have_is_said(tmp_path: Path) -> None:
    (tmp_path / "protocols").mkdir()
    (tmp_path / "protocols" / "__init__.py").write_text("def helper(x):\n    return 2 * x\n")
    with pytest.raises(
        ConfigError,
        match=r"imports protocols\.helper, from protocols/__init__\.py beside it, but .* another name",
    ):
        Program(write(tmp_path, "from protocols import helper\n\ndef main(party):\n    pass\n"))
    fine = Program(
        write(
            tmp_path,
            "from protocols import *\nfrom protocols import beaver\nfrom mpc import local\n\n"
            "def main(party):\n    return callable(beaver.multiply) and callable(local)\n",
        )
    )
    assert fine.main(None) and not fine.terms["modules"]


def test_a_package_that_was_imported_under_our_name_before_is_said(tmp_path: Path) -> None:
    (tmp_path / "protocols.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", "import protocols, mpc"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (
        done.returncode
        and "another one of that name was imported before" in done.stderr
        and "import mpc first" in done.stderr
    )


# -- interrupts -----------------------------------------------------------------------------------------


def interrupted(within: Callable[[], Any], at: int, session: Any) -> bool:
    """Whether this was ended by an interrupt that comes at its ``at``-th step of a party."""
    steps = 0

    def step(before: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == at:
                os.kill(os.getpid(), signal.SIGINT)
            return before(*args)

        return call

    parties = session.parties
    for party in parties:
        for name in ("start", "post", "deliver"):
            setattr(party, name, step(getattr(party, name)))
    try:
        within()
    except KeyboardInterrupt:
        return True
    finally:
        for party in parties:
            for name in ("start", "post", "deliver"):
                delattr(party, name)
    return False


@pytest.mark.parametrize(("suite", "parties", "fuse"), [("replicated", 3, 1 << 16), ("additive", 2, 0)])
def test_an_interrupt_ends_a_computation_and_not_the_session(suite: str, parties: int, fuse: int) -> None:
    """Wherever it comes: all that is computed afterwards, the same thing too, is right."""
    session = engine.local(parties, suite, fuse=fuse)
    mine = np.arange(40) * 7919 % 101 - 50
    yours = mine[::-1].copy()
    x, y = session.secret(mine, owner=0), session.secret(yours, owner=1)
    ends, at = 0, 1
    while True:
        product = x * y + at
        if not interrupted(lambda: np.sort(product).reveal(), at, session):  # noqa: B023
            break
        ends += 1
        assert (x < y).sum().reveal() == (mine < yours).sum()
        assert (product.reveal() == mine * yours + at).all()
        at += 1 + at // 6
    assert ends > 15
    assert (np.sort(x * y).reveal() == np.sort(mine * yours)).all()


def test_an_interrupt_ends_a_program_of_many_threads() -> None:
    """Nobody computes on for it."""
    begun = threading.Event()

    def main(party: Any) -> None:
        x = party.secret(np.arange(50), owner=0)
        while True:
            x = x * x
            party.sync(x)
            begun.set()

    def interrupt() -> None:
        assert begun.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    before = {*threading.enumerate()}
    teller = threading.Thread(target=interrupt)
    teller.start()
    with pytest.raises(KeyboardInterrupt):
        engine.local(3).run(main)
    teller.join()
    for thread in {*threading.enumerate()} - before:
        thread.join(30)
        assert not thread.is_alive()
