"""What those who run programs are used to: arguments, data of one's own, neighbours of any name, interrupts."""
from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_cli import MPC, ROOT, Processes, deployment, ended, mpc, processes, refused, write  # noqa: F401

import mpc as engine
from mpc.config import load
from mpc.errors import ConfigError, MpcError

# -- arguments ------------------------------------------------------------------------------------------

ARGPARSE = """
import argparse

def main(party):
    options = argparse.ArgumentParser()
    options.add_argument("--factor", type=int, required=True)
    options.add_argument("words", nargs="*")
    given = options.parse_args()
    return f"{sys.argv[0].rpartition('/')[2]} {given.factor * party.secret(7, owner=0).reveal()} {given.words}"
"""


def test_what_follows_two_dashes_is_the_programs(tmp_path: Path) -> None:
    """As a script's in ``sys.argv``, options too; a main that takes more than the party is given it."""
    program = write(tmp_path, ARGPARSE)
    done = mpc("run", program, "-n", 2, "--", "--help")
    assert done.returncode == 0 and done.stdout.count("usage: program.py") == 1 and not done.stderr
    done = mpc("run", program, "-n", 2, "--", "-n", "6")
    assert done.returncode == 1 and done.stderr.count("program.py: error: the following arguments are required: --factor") == 1
    done = mpc("run", program, "-n", 2, "--quiet", "--", "--factor", "6", "some", "words and more")
    assert (done.returncode, done.stdout) == (0, "program.py 42 ['some', 'words and more']\n"), done.stderr
    taking = write(tmp_path, "def main(party, low, *rest):\n    return f'{low} {rest}'\n", "taking.py")
    assert mpc("run", taking, "-n", 2, "--", "1", "two", "--three").stdout == "1 ('two', '--three')\n"
    refused(mpc("run", taking, "-n", 2), "main(party, low, *rest)", "0 arguments given after '--'")
    optional = write(tmp_path, "def main(party, low='3'):\n    return low + str(len(sys.argv))\n", "optional.py")
    assert mpc("run", optional, "-n", 2).stdout == "31\n"
    refused(mpc("run", optional, "-n", 2, "--", 1, 2), "2 arguments given after '--'")


def test_arguments_are_each_partys_own(tmp_path: Path, processes: Processes) -> None:  # noqa: F811
    program = write(tmp_path, "import sys\nMINE = float(sys.argv[1])\n\ndef main(party):\n    return sum(party.secret_from_each(MINE)).reveal()\n")
    configs = deployment(tmp_path)
    started = [processes.start("party", program, "--config", c, "--", a) for c, a in zip(configs[:2], ("1.5", "2.25"), strict=True)]
    dealer = processes.start("dealer", "--config", configs[-1])
    assert [ended(p)[:2] for p in started] == [(0, "3.75\n"), (0, "3.75\n")]
    ended(dealer)


# -- data -----------------------------------------------------------------------------------------------

READING = "def main(party):\n    mine = np.loadtxt(party.data('rows'))\n    return sum(party.secret_from_each(mine)).reveal().tolist()\n"


def test_each_party_says_where_its_data_lie(tmp_path: Path, processes: Processes) -> None:  # noqa: F811
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
    refused(mpc("run", program, "-n", 2), "has no data 'rows' (it has none)", "--data rows=PATH")
    (tmp_path / "0.txt").write_text("1\n")
    refused(mpc("run", program, "-n", 2, "--data", f"rows={tmp_path}/{{id}}.txt"), "--data rows: party 1 has no file", "1.txt")
    refused(mpc("run", program, "-n", 2, "--data", "rows"), "NAME=PATH")
    with pytest.raises(MpcError, match=r"read them in main\(party\)"):
        engine.local(2, data={"rows": "x"}).data("rows")
    config = deployment(tmp_path, tls=False)[0]
    text = config.read_text()
    for line, said in (('rows = "none.txt"', "'data.rows' names a file that cannot be found"), ("rows = 3", "'data.rows' must be the path of a file"),
                       ('rows = "0.txt"\nring = 64', "'data.ring' is not the name of data but a field: write it above")):
        config.write_text(f"{text}\n[data]\n{line}\n")
        with pytest.raises(ConfigError, match=said.replace(".", r"\.")):
            load(config)
    config.write_text(f'{text}\n[data]\nrows = "0.txt"\nall = "."\n')
    assert load(config).data == {"rows": tmp_path / "0.txt", "all": tmp_path}


# -- neighbours -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["protocols", "mpc"])
@pytest.mark.parametrize("package", [False, True])
def test_a_neighbour_with_the_name_of_a_package_of_ours_is_left_alone(tmp_path: Path, name: str, package: bool) -> None:
    """As a hospital has its protocols: a folder, a package, or a module beside the program, and where it is started."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine.py").write_text("X = 1\n")
    if package:
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    program = write(tmp_path, "def main(party):\n    return float(np.sort(party.secret([2.0, 1.0])).reveal()[0])\n")
    done = mpc("run", program, "-n", 2, "--quiet", cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "1.0\n"), done.stderr
    if name == "protocols":                         # a Python that is started there finds its mpc first: nothing helps
        done = subprocess.run([shutil.which("mpc", path=Path(sys.executable).parent) or "mpc", "run", program, "-n", "2", "--quiet"],
                              cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "1.0\n"), done.stderr
        code = "import mpc; print(mpc.local(3).secret(5).reveal()); from protocols.session import Session"
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr
    wants = write(tmp_path, f"import {name}.mine\n\ndef main(party):\n    pass\n", "wants.py")
    refused(mpc("run", wants, "-n", 2), f"imports {name}.mine, which is {name}/mine.py beside it", "another name")


def test_a_package_that_was_imported_under_our_name_before_is_said(tmp_path: Path) -> None:
    (tmp_path / "protocols.py").write_text("")
    done = subprocess.run([sys.executable, "-c", "import protocols, mpc"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode and "another one of that name was imported before" in done.stderr and "import mpc first" in done.stderr


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
        if not interrupted(lambda: np.sort(product).reveal(), at, session):     # noqa: B023
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
