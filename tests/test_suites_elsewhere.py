"""Suites of other packages: named as ``module:Class`` or by an entry point, and compared between parties."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mpc.errors import ConfigError
from protocols.suites import find, told
from protocols.suites.replicated import Replicated

ROOT = Path(__file__).parent.parent
SCHEME = """from protocols.suites.additive import Additive
from protocols.suites.replicated import Replicated
from protocols.threat import Threat


class Scheme(Replicated):
    name, summary = "mine", "replicated sharing under another name"


class Vague(Replicated):
    name, threat = "vague", Threat("semi-honest", "some of n")


class Dealt(Additive):
    name, fields = "dealt", True


nothing = 1
"""


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package beside this engine, with metadata as an installer writes it."""
    (tmp_path / "own_scheme.py").write_text(SCHEME)
    about = tmp_path / "own_scheme-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: own-scheme\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[mpc.suites]\nmine = own_scheme:Scheme\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    yield tmp_path
    sys.modules.pop("own_scheme", None)


def mpc(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mpc", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize("name", ["own_scheme:Scheme", "mine"])
def test_a_suite_of_another_package_runs_programs_between_processes(elsewhere: Path, name: str) -> None:
    (elsewhere / "program.py").write_text(
        "def main(party):\n"
        "    x = party.secret(6, owner=0)\n"
        "    return (x * x).reveal(), party.suites[0].name\n"
    )
    done = mpc("run", "program.py", "--suite", name, folder=elsewhere)
    assert done.stdout == "(36, 'mine')\n", done.stderr


def test_and_is_measured(elsewhere: Path) -> None:
    words = ("bench", "mul", "--suite", "own_scheme:Scheme", "-n", "3", "--size", "1000", "--json")
    done = mpc(*words, folder=elsewhere)
    assert json.loads(done.stdout)["verified"], done.stderr


@pytest.mark.usefixtures("elsewhere")
def test_parties_compare_what_its_file_holds() -> None:
    assert told(Replicated) == "replicated"
    assert told(find("own_scheme:Scheme", 3)).startswith("mine ")


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nobodys", "there is no suite 'nobodys'; there is: additive, replicated, fantastic-four, mine, and"),
        ("own_scheme:Other", "cannot be loaded .*has no attribute 'Other'"),
        ("no_such_module:Scheme", "cannot be loaded .*No module named"),
        ("own_scheme:Vague", "corrupt = 'some of n': how many parties may be corrupt is said as in"),
        ("own_scheme:Dealt", "takes correlated randomness over a field, but"),
        ("own_scheme:nothing", "is no class that has protocols.suite.Suite as its base"),
    ],
)
def test_what_is_none_is_refused_in_a_sentence(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        find(name, 3)
