"""Parties that run other code are told before data move: a program, what it imports from its folder, the
engine.
"""

from __future__ import annotations

import json
import os
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cli import MPC, ROOT, Processes, deployment, ended

from mpc import handshake
from mpc.errors import ConfigError, HandshakeError
from mpc.handshake import agree
from mpc.transport.memory import mesh
from protocols.running.program import Program, folded


@pytest.fixture
def imports() -> Iterator[None]:
    """What a program's process would keep for its life."""
    before = sys.path[:], sys.meta_path[:], {*sys.modules}
    yield
    sys.path[:], sys.meta_path[:] = before[:2]
    for name in sys.modules.keys() - before[2]:
        del sys.modules[name]


def written(folder: Path, files: Mapping[str, str]) -> Path:
    """These files, of which the first is the program."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / next(iter(files))


STUDY = {
    "study.py": "import json, plans.base\nfrom first import BASE\n\ndef main(party):\n    import second\n",
    "first.py": (
        "try:\n    from plans.deep.rates import *\nfinally:\n    BASE = 1\nif not BASE:\n    import fifth\n"
    ),
    "second.py": "from typing import TYPE_CHECKING\n\ndef f():\n    from plans import third as t\n",
    "plans/__init__.py": "",
    "plans/base.py": "from . import deep\nfrom .deep import fourth\n",
    "plans/third.py": "",
    "plans/deep/__init__.py": "",
    "plans/deep/rates.py": "from ..third import *\n",
    "plans/deep/fourth.py": "",
    "fifth.py": "import study\n",
    "unrelated.py": "raise SystemExit\n",
    "plans/unrelated.py": "import first\n",
    "json_data/values.py": "",
}


@pytest.mark.usefixtures("imports")
def test_all_that_may_be_imported_is_compared_and_nothing_else(tmp_path: Path) -> None:
    program = Program(written(tmp_path, STUDY))
    before = program.terms
    assert before["modules"].keys() == {f for f in STUDY if "unrelated" not in f and "data" not in f}
    for name, text in STUDY.items():
        files = {**STUDY, name: text + "# more\n"}
        shutil.rmtree(tmp_path)
        after = Program(written(tmp_path, files)).terms
        changed = {file for file in before["modules"] if after["modules"][file] != before["modules"][file]}
        assert changed == ({name} & before["modules"].keys())
        assert (after["program"] != before["program"]) is (name == "study.py")


@pytest.mark.usefixtures("imports")
def test_names_computed_while_loading_are_compared_too(tmp_path: Path) -> None:
    text = "import importlib\nrates = importlib.import_module('ra' + 'tes')\n\ndef main(party):\n    pass\n"
    files = {"program.py": text, "rates.py": ""}
    assert Program(written(tmp_path, files)).terms["modules"].keys() == {"rates.py"}


@pytest.mark.usefixtures("imports")
def test_installed_packages_are_not_compared_wherever_they_lie(tmp_path: Path) -> None:
    site = f".venv/lib/python3.{sys.version_info.minor}/site-packages"
    text = f"import sys\nsys.path.append({str(tmp_path / site)!r})\nimport big, own\nmain = print\n"
    files = {
        "program.py": text,
        "own.py": "import big.part\n",
        f"{site}/big/__init__.py": "from big import part\n",
        f"{site}/big/part.py": "",
    }
    assert Program(written(tmp_path, files)).terms["modules"].keys() == {"own.py"}


@pytest.mark.usefixtures("imports")
def test_what_runs_is_what_was_compared(tmp_path: Path) -> None:
    """Not bytecode of an earlier text that looks as old and as long, and not what a file has become since."""
    text = "import rates\n\ndef main(party):\n    import late\n    return rates.BASE, late.BASE\n"
    path = written(tmp_path, {"program.py": text, "rates.py": "BASE = 2\n", "late.py": "BASE = 4\n"})
    py_compile.compile(str(tmp_path / "rates.py"), doraise=True)
    was = (tmp_path / "rates.py").stat()
    (tmp_path / "rates.py").write_text("BASE = 3\n")
    os.utime(tmp_path / "rates.py", ns=(was.st_atime_ns, was.st_mtime_ns))
    program = Program(path)
    (tmp_path / "late.py").write_text("BASE = 5\n")
    assert program.main(None) == (3, 4)


@pytest.mark.usefixtures("imports")
def test_the_same_files_elsewhere_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "b")
    one, two = Program(written(tmp_path / "a", STUDY)).terms, Program(written(tmp_path / "link", STUDY)).terms
    assert one == two
    (tmp_path / "b/first.py").unlink()
    (tmp_path / "b/first.py").symlink_to(tmp_path / "a/first.py")
    assert Program(tmp_path / "b/study.py").terms == one


@pytest.mark.usefixtures("imports")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", "has no function main"),
        ("main = 3\n", "has no function main"),
        ("async def main(party):\n    pass\n", "is async"),
    ],
)
def test_what_is_no_program(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Program(written(tmp_path, {"program.py": text}))
    with pytest.raises(ConfigError, match="cannot be read"):
        Program(tmp_path / "nothing.py")


@pytest.mark.usefixtures("imports")
def test_a_wrong_helper_is_an_error_where_it_is_imported(tmp_path: Path) -> None:
    files = {"program.py": "def main(party):\n    import wrong\n", "wrong.py": "def\n"}
    program = Program(written(tmp_path, files))
    with pytest.raises(SyntaxError, match=r"wrong\.py"):
        program.main(None)


# -- what is said of it ---------------------------------------------------------------------------------

PATHS = st.lists(st.sampled_from(["a", "b", "long" * 9]), min_size=1, max_size=4).map("/".join)
FILES = st.dictionaries(PATHS, st.sampled_from(["x" * 32, "y" * 32]))


@given(FILES, FILES, st.integers(60, 600))
def test_of_too_many_files_folders_are_said(one: dict[str, str], two: dict[str, str], most: int) -> None:
    said = [folded(files, most) for files in (one, two)]
    assert (said[0] == said[1]) == (one == two)
    assert all(len(json.dumps(s)) <= most for s in said)
    assert said[0] == one or len(json.dumps(one)) > most


def test_a_greeting_has_room_for_any_program() -> None:
    for name in ("{:05}" + "é" * 60 + ".py", "{:05}/" * 30 + "x.py", "one/folder/{}.py"):
        files = {name.format(*[i] * 30): "0" * 32 for i in range(3000)}
        assert len(json.dumps(folded(files))) <= handshake._MOST / 2
        assert folded(files) != folded({**files, name.format(*[7] * 30): "1" * 32})


def told(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    here, there = mesh(2, timeout=5)
    said = json.dumps(theirs).encode()
    there.post(0, [memoryview(len(said).to_bytes(4, "little") + said)])
    with pytest.raises(HandshakeError) as error:
        agree(here, {1: "south"}, ours, frozenset())
    assert str(error.value).isprintable()
    return str(error.value)


def test_the_file_that_differs_is_named() -> None:
    ours = {"program": "0", "modules": {"a.py": "1", "rates.py": "2"}}
    assert (
        told(ours, {"program": "0", "modules": {"a.py": "1", "rates.py": "3"}})
        == 'south runs with another rates.py (there "3", here "2"); all parties must agree on it'
    )
    less = {"program": "1", "modules": {"a.py": "1"}}
    assert 'another rates.py (there null, here "2") and program' in told(ours, less)
    more = {**ours["modules"], "b.py": "4"}
    assert 'another b.py (there "4", here null)' in told(ours, {"program": "0", "modules": more})
    words = told({"modules": {}}, {"modules": {f"{i}.py": "0" for i in range(9)}})
    assert words.count(".py") == 3 and " and 6 more;" in words


@pytest.mark.parametrize(
    "modules", [7, [], None, "x", {"a\x1b[2J.py": "1"}, {"x" * 5000: "1"}, {"a.py": {"b": [1]}}]
)
def test_whatever_a_peer_says_of_its_files_is_answered_with_a_sentence(modules: Any) -> None:
    assert len(told({"modules": {"a.py": "1"}}, {"modules": modules})) < 400


@pytest.mark.parametrize("store", [[], {}, 5, [None]])
def test_whatever_a_peer_says_of_its_store_is_answered_with_a_sentence(store: Any) -> None:
    assert "all must do the same" in told({"store of correlations": None}, {"store of correlations": store})


# -- real processes -------------------------------------------------------------------------------------

MAIN = """import mpc, numpy as np
{early}
def main(party):
    x = party.secret([1.5], owner=0, shape=(1,), kind=mpc.Fixed(16))
    {first}
    {late}
    print("reached")
    return (rates.BASE * x).reveal()
"""


def both(folder: Path, start: Processes, program: str, rates: tuple[str, str]) -> list[tuple[int, str, str]]:
    """Two parties with folders of their own, and how each of them ends."""
    programs = [
        written(folder / f"{rank}", {"program.py": program, "rates.py": text})
        for rank, text in enumerate(rates)
    ]
    return [ended(p) for p in start.session(deployment(folder, tls=False), *programs)[:2]]


@pytest.mark.parametrize("late", [False, True])
def test_parties_with_other_helpers_are_told_before_data_move(
    tmp_path: Path, processes: Processes, late: bool
) -> None:
    line = "import rates"
    program = MAIN.format(early="" if late else line, first="", late=line if late else "")
    ends = both(tmp_path, processes, program, ("BASE = 2.0\n", "BASE = 3.0\n"))
    for rank, (code, out, err) in enumerate(ends):
        assert code == 1 and out == "", (out, err)
        assert f"hospital-{1 - rank} runs with another rates.py (there" in err and "Traceback" not in err


def test_a_helper_that_nobody_foresaw_gives_no_number(tmp_path: Path, processes: Processes) -> None:
    late = "rates = import_module('ra' + 'tes')"
    program = MAIN.format(early="from importlib import import_module", first="x.reveal()", late=late)
    for code, out, err in both(tmp_path, processes, program, ("BASE = 2.0\n", "BASE = 2.0  # the same\n")):
        assert code == 1 and out == "reached\n", (out, err)
        assert "the programs have diverged" in err or "gave up" in err
    alike = both(tmp_path, processes, program, ("BASE = 2.0\n",) * 2)
    assert [out for _, out, _ in alike] == ["reached\n[3.]\n"] * 2, alike


def test_another_engine_is_told(tmp_path: Path) -> None:
    """The same version, and another line in one of its files."""
    for package in ("mpc", "protocols"):
        shutil.copytree(ROOT / package, tmp_path / package)
    with (tmp_path / "protocols/beaver.py").open("a") as file:
        file.write("# another\n")
    program = written(tmp_path / "study", {"program.py": "def main(party):\n    return 1\n"})
    *parties, dealer = deployment(tmp_path, tls=False)
    commands = [
        *(["party", program, "--config", config] for config in parties),
        ["dealer", "--config", dealer],
    ]
    pipes: Any = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    ends = [
        ended(p)
        for p in [
            subprocess.Popen([*MPC, *command], cwd=home, **pipes)
            for command, home in zip(commands, (ROOT, tmp_path, ROOT), strict=True)
        ]
    ]
    assert [code for code, _, _ in ends] == [1, 1, 1], ends
    assert 'hospital-1 runs with another engine (there "0.1.0 ' in ends[0][2]
    assert "hospital-0 runs with another engine" in ends[1][2]
