"""What is freed stays with the process: an operation like the one before it fetches no pages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mpc import memory

PROGRAM = """
import resource
import numpy as np
import mpc

with mpc.local(3) as session:
    rng = np.random.default_rng(1)
    x, y = (session.secret(rng.integers(-1000, 1000, 100_000)) for _ in range(2))
    for turn in range(8):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        (x * y).reveal()
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


@pytest.mark.skipif(not memory.kept(), reason="this C library cannot be asked for it")
def test_an_operation_like_the_one_before_fetches_no_pages(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 150  # an array alone has 195; they were 3,600
