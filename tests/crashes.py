"""A process that kills others: children that make a store or serve from it are ended by SIGKILL at every step
they take.

``python crashes.py FOLDER`` prints a JSON line per child: what it served, and how it ended.  A step is a call
into the system that changes the disk; a child is ended right before it, or is told that the disk is full.
"""

from __future__ import annotations

import errno
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
WRITES = ("pwrite", "fsync", "replace", "mkdir", "open")


def make(folder: Path, run: str) -> None:
    making = Making(folder, TERMS, SECRET)
    for kind, count in KINDS.items():
        file = making.kind(run, kind, count, UNIT)
        for number, lo in enumerate(range(0, count, module.block_of(UNIT))):
            file.put(
                number,
                b"".join(
                    f"{run}{kind[:3]}{i:04}".encode()
                    for i in range(lo, min(count, lo + module.block_of(UNIT)))
                ),
            )
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


def cleared(folder: Path) -> bool:
    """Whether nothing of what is used can be read."""
    for name, (used, total) in json.loads((folder / "cursor").read_bytes().splitlines()[0])["used"].items():
        if used == total:
            if (folder / name).exists():
                return False
            continue
        data = (folder / name).read_bytes()
        begin = 12 + int.from_bytes(data[8:12], "little") + 16
        if any(data[begin : begin + used * (module._BLOCK * UNIT + 16)]):
            return False
    return True


Work = Callable[[Callable[[bytes], object]], None]


def child(work: Work, at: int | None, full: bool = False) -> tuple[list[str], str]:
    """What a child served that is killed before a step, or told that the disk is full, and what it said at
    its end.
    """
    out, into = os.pipe()
    said, saying = os.pipe()
    pid = os.fork()
    if pid == 0:
        done = 0

        def dying(real: Callable[..., object]) -> Callable[..., object]:
            def step(*args: object, **more: object) -> object:
                nonlocal done
                done += 1
                if done == at and full:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if done == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **more)

            return step

        for name in WRITES if full else STEPS:
            setattr(os, name, dying(getattr(os, name)))
        words = "through"
        try:
            work(lambda block: os.write(into, block))
        except ConfigError as refused:
            words = str(refused)
        except BaseException as unforeseen:
            words = repr(unforeseen)
        os.write(saying, (words if at is None or done >= at else "to its end").encode())
        os._exit(0)
    os.close(into)
    os.close(saying)
    with os.fdopen(out, "rb") as pipe, os.fdopen(said, "rb") as end:
        data, words = pipe.read(), end.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == (0 if words else -signal.SIGKILL), status
    return [data[i : i + UNIT].decode() for i in range(0, len(data), UNIT)], words


def report(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


def main(folder: Path) -> None:
    module._BLOCK = 3
    whole = folder / "whole" / "a"
    make(whole, "r")
    for full in (False, True):
        for step in range(1, 1000):
            lives = folder / f"serve{step}{full}" / "a"
            shutil.copytree(whole, lives)
            first, said = child(lambda say, lives=lives: serve(lives, say), step, full)
            child(lambda _, lives=lives: Store(lives, TERMS, SECRET).close(), None)
            clean = cleared(lives)
            rest, _ = child(lambda say, lives=lives: serve(lives, say), None)
            report(what="serve", full=full, step=step, first=first, rest=rest, said=said, clean=clean)
            if said == "to its end":
                break
        for step in range(1, 1000):
            lives = folder / f"make{step}{full}" / "a"
            shutil.copytree(whole, lives)
            _, said = child(lambda _, lives=lives: make(lives, "n"), step, full)
            found, _ = child(lambda say, lives=lives: serve(lives, say), None)
            make(lives, "m")  # what is left is in nobody's way
            again, _ = child(lambda say, lives=lives: serve(lives, say), None)
            report(what="make", full=full, step=step, first=found, rest=again, said=said)
            if said == "to its end":
                break


if __name__ == "__main__":
    main(Path(sys.argv[1]))
