"""A process that kills others: children that make a store or serve from it are ended by SIGKILL at every step they take.

``python crashes.py FOLDER`` prints a JSON line per child: what it served, and whether it came to its end.  A step is a call
into the system that changes the disk; a child is ended right before it.
"""
from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from mpc.errors import ConfigError
from protocols.prep import store as module
from protocols.prep.store import Making, Store, Terms

TERMS, SECRET = Terms("additive", 64, ("a", "b"), 0), b"secret of a party"
KINDS = {"one, x": 8, "two, x": 2}
UNIT = 8
STEPS = ("pwrite", "fsync", "replace", "unlink", "rmdir")


def make(folder: Path, run: str) -> None:
    making = Making(folder, TERMS, SECRET)
    for kind, count in KINDS.items():
        file = making.kind(run, kind, count, UNIT)
        for number, lo in enumerate(range(0, count, module.block_of(UNIT))):
            file.put(number, b"".join(f"{run}{kind[:3]}{i:04}".encode() for i in range(lo, min(count, lo + module.block_of(UNIT)))))
        file.close()
    making.commit(run)
    making.close()


def serve(folder: Path, say: Callable[[bytes], object]) -> None:
    store = Store(folder, TERMS, SECRET)
    shelves = list(store.shelves.values())
    while any(shelf.count for shelf in shelves):
        for shelf in shelves:
            if shelf.count:
                say(shelf.take())
    store.close()


def child(work: Callable[[Callable[[bytes], object]], None], die_at: int | None) -> tuple[list[str], bool]:
    """What a child served that is killed before this step, and whether it ended by itself."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        done = 0

        def dying(real: Callable[..., object]) -> Callable[..., object]:
            def step(*args: object, **more: object) -> object:
                nonlocal done
                done += 1
                if done == die_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **more)
            return step

        for name in STEPS:
            setattr(os, name, dying(getattr(os, name)))
        code = 0
        try:
            work(lambda block: os.write(into, block))
        except ConfigError as refused:
            os.write(2, f"{refused}\n".encode())
            code = 3
        os._exit(code)
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        data = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, 3, -signal.SIGKILL), status
    return [data[i:i + UNIT].decode() for i in range(0, len(data), UNIT)], status != -signal.SIGKILL


def report(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


def main(folder: Path) -> None:
    module._BLOCK = 3
    whole = folder / "whole" / "a"
    make(whole, "r")
    for step in range(1, 1000):
        lives = folder / f"serve{step}" / "a"
        shutil.copytree(whole, lives)
        first, ended = child(lambda say, lives=lives: serve(lives, say), step)
        rest, _ = child(lambda say, lives=lives: serve(lives, say), None)
        report(what="serve", step=step, first=first, rest=rest, ended=ended)
        if ended:
            break
    for step in range(1, 1000):
        lives = folder / f"make{step}" / "a"
        shutil.copytree(whole, lives)
        _, ended = child(lambda _, lives=lives: make(lives, "n"), step)
        found, _ = child(lambda say, lives=lives: serve(lives, say), None)
        make(lives, "m")                            # what is left is in nobody's way
        again, _ = child(lambda say, lives=lives: serve(lives, say), None)
        report(what="make", step=step, first=found, rest=again, ended=ended)
        if ended:
            break


if __name__ == "__main__":
    main(Path(sys.argv[1]))
