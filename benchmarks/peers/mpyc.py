"""MPyC with three parties, one of them corrupted; with gmpy2 and uvloop, which it uses where they are
installed.

Whole numbers are ``SecInt(64)``, real ones ``SecFxp(64)`` with its 32 fractional bits: with 16 its division
returns zeros.  It works on Python's integers in NumPy's object arrays, so the sizes are small.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import driver
from benchmarks.works import Arrays, mlp

OPERATIONS = {
    "mul": lambda x, y: x * y,
    "fxmul": lambda x, y: x * y,
    "lt": lambda x, y: x < y,
    "matmul": lambda x, y: x @ y,
    "sort": lambda x: _mpc().np_sort(x),
    "div": lambda x, y: x / y,
    "mlp": lambda *arrays: mlp(lambda x: (x >= 0) * x, *arrays),
}
MOST = {"mul": 100_000, "fxmul": 10_000, "lt": 1000, "matmul": 128, "sort": 256, "div": 100, "mlp": 1}


def _mpc() -> Any:
    """MPyC's runtime, which reads the command line when it is imported."""
    from mpyc.runtime import mpc

    return mpc


def measure(name: str, arrays: Arrays, runs: int) -> Iterator[driver.Measured]:
    done = driver.together(_party, [driver.free_ports(3)] * 3, [name] * 3, [arrays] * 3, [runs] * 3)
    yield driver.Measured("MPyC", 3, "none", *done[0])


def _party(rank: int, ports: list[int], name: str, arrays: Arrays, runs: int) -> tuple[list[float], Any]:
    sys.argv = [
        sys.argv[0],
        "--no-log",
        "-I",
        str(rank),
        *(word for port in ports for word in ("-P", f"127.0.0.1:{port}")),
    ]
    return _mpc().run(_program(name, arrays, runs))  # type: ignore[no-any-return]


async def _program(name: str, arrays: Arrays, runs: int) -> tuple[list[float], Any]:
    mpc = _mpc()
    await mpc.start()
    whole, real = mpc.SecInt(64), mpc.SecFxp(64)
    secrets = [
        mpc.input(whole.array(a.astype(object)) if a.dtype == np.int64 else real.array(a), i % 3)
        for i, a in enumerate(arrays)
    ]
    await mpc.gather(secrets)
    seconds = []
    for _ in range(runs + 1):  # the first to warm up
        await mpc.output(whole(0))  # its own barrier waits for nobody else
        start = perf_counter()
        result = OPERATIONS[name](*secrets)
        await mpc.gather(result)
        seconds.append(perf_counter() - start)
    opened = np.asarray(await mpc.output(result))
    await mpc.shutdown()
    return seconds[1:], opened.astype(np.float64 if arrays[0].dtype == np.float64 else np.int64)


if __name__ == "__main__":
    driver.main(("mpyc",), OPERATIONS, measure, MOST)
