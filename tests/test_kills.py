"""``mpc run`` under signals at random moments: nobody and nothing is left behind, and who survives says why
it ends.

``MPC_KILLS`` cases of each kind; ``make kills`` does 300.  ``MPC_SEED`` draws others.
"""

from __future__ import annotations

import os
import pty
import resource
import signal
import struct
import subprocess
import sys
import termios
import time
import uuid
from contextlib import suppress
from fcntl import F_GETPIPE_SZ, fcntl, ioctl
from pathlib import Path

import numpy as np
import pytest
from aggregating import deployment

from mpc import launch
from mpc.ephemeral import KEEPER, kept

ROOT = Path(__file__).parent.parent
CASES = int(os.environ.get("MPC_KILLS", "0"))
SEED = int(os.environ.get("MPC_SEED", "1"))
MARK = "MPC_TEST_MARK"
PROGRAM = """
import os, sys, time
from pathlib import Path
import numpy as np
def main(party):
    Path(os.environ["MPC_TEST_MARKS"], f"party-{party.id}-{os.getpid()}").touch()
    x = party.secret(np.arange(1000), owner=0)
    until = time.monotonic() + 1.5
    for _ in range(2000):
        x = x * x
        party.sync(x)
        if party.reveal(party.secret(time.monotonic() > until if party.id == 0 else None, owner=0)):
            break
    return int(x.reveal()[1])
"""
HOWS = ["INT", "TERM", "HUP", "QUIT", "KILL", "a closed terminal", "KILL of all", "TERM of all"]


def heard() -> None:
    """What a shell ignores for what it runs in the background, and these tests with it."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def ours(mark: str) -> dict[int, str]:
    """Living processes that were started under this mark."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
                    if state not in "ZX":
                        found[int(entry.name)] = (
                            (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                        )
    return found


def gone(mark: str, within: float = 20) -> dict[int, str]:
    """Who is still there after so many seconds."""
    until = time.monotonic() + within
    while (left := ours(mark)) and time.monotonic() < until:
        time.sleep(0.02)
    return left


class Run:
    """An ``mpc run`` with a mark, a folder for temporary files, and one where the parties leave theirs."""

    def __init__(self, folder: Path, *options: str, terminal: bool = False) -> None:
        self.mark, self.folder = uuid.uuid4().hex, folder / uuid.uuid4().hex
        self.temporary, self.marks = self.folder / "tmp", self.folder / "marks"
        for path in (self.folder, self.temporary, self.marks):
            path.mkdir()
        (self.folder / "program.py").write_text(PROGRAM)
        command = [sys.executable, "-m", "mpc", "run", str(self.folder / "program.py"), *options]
        env = {
            **os.environ,
            MARK: self.mark,
            "TMPDIR": str(self.temporary),
            "MPC_TEST_MARKS": str(self.marks),
            "TERM": "dumb",
        }
        self.terminal = -1
        self.said = (self.folder / "said").open("w+")
        if terminal:
            pid, self.terminal = pty.fork()
            if pid == 0:
                os.chdir(ROOT)
                heard()
                os.execve(command[0], command, env)
            self.pid = pid
        else:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=env,
                stdout=self.said,
                stderr=self.said,
                start_new_session=True,
                preexec_fn=heard,  # noqa: PLW1509 (nothing but signals)
            )
            self.pid = self.process.pid

    def hit(self, how: str) -> None:
        if how == "a closed terminal":
            os.close(self.terminal)
        elif how.endswith(" of all"):
            os.killpg(self.pid, getattr(signal, f"SIG{how.split(maxsplit=1)[0]}"))
        else:
            os.kill(self.pid, getattr(signal, f"SIG{how}"))

    def left(self) -> tuple[dict[int, str], list[str], str]:
        """Processes and files that are still there when the launcher is gone, and what was printed."""
        if self.terminal >= 0:
            os.waitpid(self.pid, 0)
        else:
            self.process.wait(60)
        left = gone(self.mark)
        until = time.monotonic() + 60
        while (files := [str(path) for path in self.temporary.rglob("*")]) and time.monotonic() < until:
            time.sleep(0.05)
        self.said.seek(0)
        said = self.said.read()
        self.said.close()
        for pid in left:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        return left, files, said


@pytest.mark.parametrize("case", range(CASES or 12))
def test_nothing_is_left_behind_whatever_ends_a_run_and_whenever(tmp_path: Path, case: int) -> None:
    """No process, no key, no folder:
    also while the parties still import, find each other, or make a store.
    """
    rng = np.random.default_rng([SEED, case])
    how, options = HOWS[case % len(HOWS)], ([], ["--dealer"], ["--offline"])[rng.integers(3)]
    run = Run(tmp_path, "-n", "2", "--suite", "additive", *options, terminal=how == "a closed terminal")
    time.sleep(float(rng.choice([0.05, 0.3, 1.0, 3.0]) * rng.random()))
    run.hit(how)
    left, files, said = run.left()
    assert not left and not files, (how, options, left, files)
    # Before its first line, Python itself shows one.
    assert "Traceback" not in said or "/mpc/cli/" not in said, said


@pytest.mark.parametrize("case", range(CASES or 3))
@pytest.mark.parametrize("kind", ["party", "dealer"])
def test_who_survives_a_killed_process_says_so_and_ends(tmp_path: Path, kind: str, case: int) -> None:
    """Wherever all are by then; once they have met, by themselves and before they are stopped."""
    rng = np.random.default_rng([SEED, case, len(kind)])
    parties = 3 if kind == "party" and case % 2 else 2
    run = Run(
        tmp_path,
        "-n",
        str(parties),
        *(["--suite", "additive", "--dealer"] if kind == "dealer" or parties == 2 else []),
    )
    until = time.monotonic() + 60
    wanted = {"party": " party ", "dealer": " dealer "}[kind]
    while (
        not (victims := [pid for pid, command in ours(run.mark).items() if wanted in command])
        and time.monotonic() < until
    ):
        time.sleep(0.01)
    time.sleep(float(rng.choice([0.3, 2.0, 4.0]) * rng.random()))
    victim = int(rng.choice(victims))
    met = len(list(run.marks.iterdir())) == parties
    with suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    left, files, said = run.left()
    assert not left and not files, (left, files)
    assert "Traceback" not in said, said
    if run.process.returncode == 0:  # it had done its part, and all had what they need of it
        assert said.splitlines()[0] == "1", said
    elif met and not _was_leaving(said):
        assert "closed the connection" in said and "stopped, since" not in said, said


def _was_leaving(said: str) -> bool:
    """Whether the process was killed when all was done, so that nobody missed it."""
    result, *lines = said.splitlines()
    ends = ("ended by signal SIGKILL", "the parties have left", "for party-0, party-1")
    return result == "1" and all(line.endswith(ends) for line in lines)


def test_a_folder_goes_with_the_last_who_uses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with kept() as folder:
        assert folder.path.is_dir() and folder.path.stat().st_mode & 0o777 == 0o700
        (folder.path / "store").write_text("x")
        user = subprocess.Popen(["sleep", "60"], pass_fds=[folder.descriptor])
        user.kill()
        user.wait()
        assert folder.path.is_dir()
    assert not list(tmp_path.iterdir())
    child = os.fork()
    if child == 0:  # as ``mpc run`` ends that is killed
        with kept() as folder:
            (folder.path / "store").write_text("x")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    until = time.monotonic() + 20
    while list(tmp_path.iterdir()) and time.monotonic() < until:
        time.sleep(0.01)
    assert not list(tmp_path.iterdir())


def test_a_folder_goes_though_nobody_is_there_to_learn_its_name(tmp_path: Path) -> None:
    """As where a run is killed while its folder is made."""
    nobody, name = os.pipe()
    os.close(nobody)
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        ["/bin/sh", "-c", KEEPER], stdin=subprocess.DEVNULL, stdout=name, env=environment
    ) as keeper:
        os.close(name)
        assert keeper.wait(60) == 0
    assert not list(tmp_path.iterdir())


def test_without_files_that_have_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As on systems other than Linux: nothing is left by a run that ends."""
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "program.py").write_text(
        "def main(party):\n    return party.secret(21, owner=0).reveal() * 2\n"
    )
    outcome = launch.run(launch.Plan(tmp_path / "program.py", 3, "replicated", False, False, False, 64, 16))
    assert outcome.code == 0 and "42" in capfd.readouterr().out and len(outcome.reports) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["program.py"]


TORN = '''
import os, signal, subprocess, sys, threading
from pathlib import Path
from types import SimpleNamespace
from mpc import launch

class Torn:
    """A lock of subprocess; while it is being taken for the 50th time, a signal comes."""

    taken = 0

    def __init__(self):
        self.lock = threading.Lock()

    def acquire(self, *args):
        got = self.lock.acquire(*args)
        Torn.taken += 1
        if Torn.taken == 50:
            os.kill(os.getpid(), getattr(signal, sys.argv[2]))
        return got

    def release(self):
        self.lock.release()

    __enter__ = acquire

    def __exit__(self, *_):
        self.release()

subprocess.threading = SimpleNamespace(Lock=Torn)
plan = launch.Plan(Path(sys.argv[1]), 2, "additive", False, False, False, 64, 16)
try:
    launch.run(plan)
except KeyboardInterrupt:
    sys.exit(130)
'''


@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_between_two_steps_of_the_standard_library_hangs_nothing(
    tmp_path: Path, number: str, code: int
) -> None:
    """It once came where a lock was taken and not yet sure to be given back."""
    (tmp_path / "program.py").write_text("import time\ndef main(party):\n    time.sleep(60)\n")
    command = [sys.executable, "-c", TORN, str(tmp_path / "program.py"), number]
    done = subprocess.run(command, cwd=ROOT, timeout=50, capture_output=True, text=True, check=False)
    assert done.returncode == code, done


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("stalled", ["stdout", "stderr", "both"])
def test_a_run_ends_for_a_signal_though_nobody_reads_what_it_prints(
    tmp_path: Path, number: int, code: int, stalled: str
) -> None:
    """A pager, say, that has been left; nor is it waited for at the very end."""
    (tmp_path / "program.py").write_text(
        "def main(party):\n"
        + ("    raise ValueError('x' * 300_000)" if stalled == "stderr" else "    print('x' * 300_000)")
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "mpc", "run", tmp_path / "program.py", "-n", "3"]
    out, into = os.pipe()
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**environment, MARK: (mark := uuid.uuid4().hex)},
        stdout=subprocess.DEVNULL if stalled == "stderr" else into,
        stderr=subprocess.DEVNULL if stalled == "stdout" else into,
    ) as run:
        os.close(into)
        until = time.monotonic() + 60
        while struct.unpack("i", ioctl(out, termios.FIONREAD, bytes(4)))[0] < fcntl(out, F_GETPIPE_SZ):
            assert run.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        run.send_signal(number)
        assert run.wait(20) == code
    os.close(out)
    assert not gone(mark)


def test_a_signal_that_comes_last_is_heard() -> None:
    """After the last look for it, and before what it does is again what it did."""
    with pytest.raises(SystemExit) as ended, launch._heeding():
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.code == 143 and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_no_process_leaves_an_image_of_itself(tmp_path: Path) -> None:
    """Whatever signal ends it: there would be keys in it, and vectors.
    Parties inherit it from ``mpc run``.
    """
    names = [f"clinic-{i}" for i in range(4)]
    deployment(tmp_path, names)
    np.save(tmp_path / "v.npy", np.zeros(5))
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    client = ["join", "--vector", tmp_path / "v.npy", "--config", tmp_path / f"{names[0]}.toml"]
    for command in (["serve", "--config", tmp_path / "server.toml"], client):
        with subprocess.Popen(
            [sys.executable, "-m", "mpc", "aggregate", *command],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (hard, hard)),  # noqa: PLW1509
        ) as process:
            assert process.stdout is not None and process.stdout.readline()
            limits = resource.prlimit(process.pid, resource.RLIMIT_CORE)
            process.kill()
        assert limits[0] == 0, command
    (tmp_path / "program.py").write_text(
        "import resource\ndef main(party):\n    return resource.getrlimit(resource.RLIMIT_CORE)[0]\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mpc", "run", tmp_path / "program.py", "-n", "3"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
        timeout=600,
    )
    assert done.stdout == b"0\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_run_without_standard_files_is_one_all_the_same(tmp_path: Path, closed: str) -> None:
    """As under some daemons: a key's file would else take the place of one, and be lost to what is."""
    (tmp_path / "program.py").write_text(
        "from pathlib import Path\n"
        "def main(party):\n"
        "    print('hello')\n"
        f"    Path({str(tmp_path)!r}, str(party.id)).write_text(str(party.secret(42, owner=0).reveal()))\n"
    )
    command = f"{sys.executable} -m mpc run {tmp_path}/program.py -n 3 {closed}"
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done
    assert [(tmp_path / str(i)).read_text() for i in range(3)] == ["42"] * 3
