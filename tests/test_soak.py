"""Long sessions and many: memory, descriptors, threads and processes do not grow.  ``make soak`` for 50,000
operations and 200 sessions.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from conftest import together
from deployed import Deployment, certificates

import mpc

ROOT = Path(__file__).parent.parent
LONG = "MPC_SOAK" in os.environ
OPERATIONS, SESSIONS = (50_000, 200) if LONG else (500, 12)
PROGRAM = """
import json, os, threading
from pathlib import Path
import numpy as np

OPERATIONS = {operations}

def taken():
    status = Path("/proc/self/status").read_text()
    memory = int(status.split("VmRSS:")[1].split()[0])
    return memory, len(os.listdir("/proc/self/fd")), threading.active_count()

def main(party):
    x = party.secret(np.arange(100), owner=0)
    y = party.secret(np.linspace(-0.5, 0.5, 100), owner=1)
    z, r, seen = x, y, []
    for i in range(OPERATIONS):
        kind = i % 5
        if kind == 0:
            z = x * z
        elif kind == 1:
            r = r * y + 0.5
        elif kind == 2:
            b = r < y
        elif kind == 3:
            z = np.where(b, x, z)
        else:
            assert abs(r.reveal()).max() < 2
        if i % (OPERATIONS // 10) == OPERATIONS // 10 - 1:
            seen.append(taken())
    every = party.secret_from_each(np.array(seen).reshape(-1))
    return json.dumps([one.reveal().reshape(-1, 3).tolist() for one in every])
"""


def steady(series: list[int], slack: int) -> bool:
    """The last third is not above the second."""
    third = len(series) // 3
    return max(series[-third:]) <= max(series[third:-third]) + slack


@pytest.mark.parametrize(
    "options",
    [["-n", "3"], ["-n", "2", "--suite", "additive", "--dealer"], ["-n", "2", "--suite", "additive"]],
    ids=["replicated", "dealt", "transfers"],
)
def test_a_long_session_grows_nothing(tmp_path: Path, options: list[str]) -> None:
    if not LONG and "--suite" in options and "--dealer" not in options:
        pytest.skip("its transfers take long: make soak")
    (tmp_path / "program.py").write_text(PROGRAM.replace("{operations}", str(OPERATIONS)))
    done = subprocess.run(
        [sys.executable, "-m", "mpc", "run", str(tmp_path / "program.py"), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for number, party in enumerate(json.loads(done.stdout)):
        memory, files, threads = zip(*party, strict=True)
        print(
            f"{options}, {OPERATIONS} operations, party {number}: {[m >> 10 for m in memory]} MB,"
            f" {set(files)} files, {set(threads)} threads"
        )
        assert steady(memory, 4 << 10) and len(set(files)) == len(set(threads)) == 1


def test_many_sessions_grow_nothing(tmp_path: Path) -> None:
    """Over TLS, with a dealer and without, one after the other in one process."""
    folder = certificates(tmp_path)

    def main(party: mpc.Session) -> int:
        x = party.secret(np.arange(1000), owner=0)
        return int((x * x).reveal()[-1])

    def taken() -> tuple[int, int, int, int]:
        status = Path("/proc/self/status").read_text()
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return (
            int(status.split("VmRSS:")[1].split()[0]),
            len(os.listdir("/proc/self/fd")),
            threading.active_count(),
            len(children),
        )

    seen = []
    for number in range(SESSIONS):
        if number % 2:
            with closing(Deployment(3, folder)) as session:
                assert (
                    together(*[lambda rank=rank: session.play(rank, main) for rank in range(3)])
                    == [998001] * 3
                )  # type: ignore[misc]
        else:
            with closing(Deployment(2, folder, dealer=True, suite="additive")) as session:
                works = [lambda rank=rank: session.play(rank, main) for rank in range(2)]  # type: ignore[misc]
                assert together(*works, session.deal) == [998001, 998001, None]
        seen.append(taken())
    memory, *counts = zip(*seen, strict=True)
    print(
        f"{SESSIONS} sessions: {[m >> 10 for m in memory[:: max(1, SESSIONS // 10)]]} MB, files, threads,"
        f" children {[set(c) for c in counts]}"
    )
    assert steady(memory, 4 << 10) and all(max(c[len(c) // 2 :]) <= max(c[: len(c) // 2]) for c in counts)
