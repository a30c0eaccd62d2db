"""Two parties whose network goes away without a word, in a namespace of its own: ``unshare -rn python
vanishing.py HOW WHEN``.

HOW is what the first party does then: ``look`` (it computes, and looks at every operation), ``collect``,
``flush``.  WHEN is ``idle`` or ``sent``: with bytes under way.  Prints the error and the seconds until it
came."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from conftest import failure
from test_tcp import Table


def main(how: str, when: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    first, second = Table(2, None, timeout=60).all()
    subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
    if when == "sent":
        first.post(1, [memoryview(bytes(1000))])
    start = time.monotonic()

    def look() -> None:
        while True:
            first.look()
            time.sleep(0.1)

    does: dict[str, Callable[[], None]] = {
        "look": look,
        "collect": lambda: first.collect({1: memoryview(bytearray(1))}),
        "flush": first.flush,
    }
    print(f"{failure(does[how])}\n{time.monotonic() - start}")
    second.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
