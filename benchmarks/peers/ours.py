"""This engine, by ``mpc bench``: ``replicated`` with three parties, ``additive`` with two, over TCP without
TLS.

The works' names are those of ``mpc bench``, and so is the data here.  Its fixed-point factors go up to 500
instead of 4, with 16 fractional bits, so the error of a product, which grows with the factors, is not to be
compared."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version

from protocols.bench.online import CASES


def main() -> int:
    name, size, runs = sys.argv[1:4]
    if name not in CASES:
        print(json.dumps({"missing": "not available: `mpc bench` has no such case yet"}))
        return 0
    code = 0
    for suite, parties in (("replicated", 3), ("additive", 2)):
        command = [
            sys.executable,
            "-m",
            "mpc",
            "bench",
            name,
            "--suite",
            suite,
            "-n",
            str(parties),
            "--size",
            size,
            "--runs",
            runs,
            "--json",
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as bench:
            assert bench.stdout is not None
            for line in map(json.loads, bench.stdout):
                print(
                    json.dumps(
                        {
                            "system": f"mpc {suite}",
                            "parties": parties,
                            "preprocessing": line["preprocessing"],
                            "work": name,
                            "size": line["size"],
                            "seconds": line["seconds"],
                            "spread": line["spread"],
                            "error": line["error"],
                            "version": f"mpc-engine {version('mpc-engine')}",
                        }
                    ),
                    flush=True,
                )
        code |= bench.returncode
    return code


if __name__ == "__main__":
    sys.exit(main())
