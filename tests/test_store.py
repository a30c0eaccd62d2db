"""Correlations on disk: each is served once, whatever happens; a store that is not whole or not ours is
refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import stream
from crashes import KINDS, SECRET, TERMS, make
from hypothesis import given, settings
from hypothesis import strategies as st
from test_prep_ot import triple

from mpc.errors import ConfigError
from mpc.ring import BITS, Z32, Z64, Spec
from mpc.rounds import simulate
from mpc.seat import take_seat
from protocols.bilinear import MATMUL, MULTIPLY
from protocols.prep import (
    Correlation,
    CrossTriple,
    DaBits,
    EdaBlocks,
    Permutation,
    Triple,
    TruncationMask,
    units,
)
from protocols.prep import store as module
from protocols.prep.ot import Oblivious
from protocols.prep.store import Making, Store
from protocols.prep.stored import Rehearsal, Stored, fill

ROOT = Path(__file__).parent.parent
ALL = sorted(f"r{kind[:3]}{i:04}" for kind, count in KINDS.items() for i in range(count))


def opened(folder: Path, terms: Any = TERMS, secret: bytes = SECRET) -> Store:
    return Store(folder, terms, secret)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "_BLOCK", 3)
    make(tmp_path / "a", "r")
    return tmp_path / "a"


# -- a process may end at any moment --------------------------------------------------------------------


@pytest.fixture(scope="module")
def lives() -> Iterator[list[dict[str, Any]]]:
    # what a kill leaves does not depend on the disk
    quick = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=quick) as folder:
        done = subprocess.run(
            [sys.executable, str(ROOT / "tests/crashes.py"), folder],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    assert done.returncode == 0, done.stderr
    yield [json.loads(line) for line in done.stdout.splitlines()]


FULL = pytest.mark.parametrize("full", [False, True], ids=["killed", "full disk"])


@FULL
def test_ended_at_every_step_of_serving_nothing_is_served_twice(
    lives: list[dict[str, Any]], full: bool
) -> None:
    serving = [life for life in lives if life["what"] == "serve" and life["full"] is full]
    assert len(serving) > 15 and sum(life["said"] == "to its end" for life in serving) == 1
    for life in serving:
        served = life["first"] + life["rest"]
        assert len(set(served)) == len(served) and set(served) <= set(ALL)
        assert len(served) >= len(ALL) - 3, life  # what is lost is the block that was reserved
        assert sorted(served) == ALL or life["said"] != "to its end"


@FULL
def test_the_next_process_overwrites_what_is_left_of_used_blocks(
    lives: list[dict[str, Any]], full: bool
) -> None:
    serving = [life for life in lives if life["what"] == "serve" and life["full"] is full]
    assert all(life["clean"] for life in serving)


@FULL
def test_ended_at_every_step_of_making_there_is_a_whole_store_or_none(
    lives: list[dict[str, Any]], full: bool
) -> None:
    making = [life for life in lives if life["what"] == "make" and life["full"] is full]
    assert len(making) > 15 and sum(life["said"] == "to its end" for life in making) == 1
    outcomes = set()
    for life in making:
        runs = {word[0] for word in life["first"]}
        assert len(runs) <= 1 and len(life["first"]) in (0, len(ALL)), life
        outcomes.add("".join(runs))
        assert {word[0] for word in life["rest"]} == {"m"} and len(life["rest"]) == len(ALL)
    # the old one, the new one, and killed between, none
    assert outcomes == ({"r", "n"} if full else {"r", "", "n"})


def test_a_full_disk_is_said_in_a_sentence(lives: list[dict[str, Any]]) -> None:
    told = [life["said"] for life in lives if life["full"] and life["said"] not in ("through", "to its end")]
    assert len(told) > 50
    for words in told:
        assert "/a" in words and "(No space left on device): " in words and "Error" not in words
    assert sum("make room for it, and run all parties again" in words for words in told) > 30
    assert sum("make room for it, and run 'mpc offline' again" in words for words in told) > 15


LIMITED = """import resource, sys
from pathlib import Path
from crashes import SECRET, TERMS, ConfigError, Store, make, module, serve
module._BLOCK = 3
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    serve(Path(sys.argv[1]), print) if sys.argv[3] == "serve" else make(Path(sys.argv[1]), "n")
except ConfigError as told:
    print(told)
"""


@pytest.mark.parametrize(("what", "limit"), [("make", 100), ("make", 350), ("serve", 100)])
def test_where_the_system_takes_no_more_nothing_is_lost(folder: Path, what: str, limit: int) -> None:
    """A limit on the size of files, as a quota is: a write is cut, and the next one fails."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(folder), str(limit), what],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )
    assert "cannot be written (File too large): " in done.stdout and "make room for it" in done.stdout
    served: list[bytes] = []
    with closing(opened(folder)) as store:
        while any(shelf.count for shelf in store.shelves.values()):
            served += [shelf.take() for shelf in store.shelves.values() if shelf.count]
    assert len(b"".join(served)) == 8 * len(ALL)


class Steps:
    """What is asked of the disk, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[str] = []
        for name in ("fsync", "replace", "pwrite", "unlink"):
            real = getattr(os, name)
            monkeypatch.setattr(
                os, name, lambda *a, name=name, real=real: (self.seen.append(name), real(*a))[1]
            )


def test_the_cursor_is_on_disk_before_a_block_is_decrypted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(folder)
    shelf = store.shelves["one, x"]
    steps, sealed = Steps(monkeypatch), shelf._cipher
    decrypt = lambda _, *a: (steps.seen.append("decrypt"), sealed.decrypt(*a))[1]  # noqa: E731
    shelf._cipher = type("Watched", (), {"decrypt": decrypt})()  # type: ignore[assignment]
    cursor, block = ["pwrite", "fsync", "replace", "fsync"], ["pwrite", "fsync"]
    for last in (False, False, True):
        steps.seen.clear()
        shelf.take()
        assert steps.seen == [*cursor, *(["pwrite", *block, "unlink"] if last else block), "decrypt"]
    store.close()


def test_used_blocks_are_overwritten_and_used_files_removed(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    store = opened(folder)
    shelf = store.shelves["one, x"]
    name = shelf.name
    shelf.take()
    now = (folder / name).read_bytes()
    place = next(i for i in range(len(now)) if now[i] != before[name][i])
    assert (
        now[place : place + 3 * 8 + 16] == bytes(3 * 8 + 16)
        and now[place + 3 * 8 + 16 :] == before[name][place + 3 * 8 + 16 :]
    )
    with (folder / name).open("rb") as file:
        while shelf.count:
            shelf.take()
        assert not (folder / name).exists()
        # whoever has it open still reads neither a block nor the salt
        assert not any(file.read())
    store.close()


def test_blocks_that_are_left_out_are_overwritten(folder: Path) -> None:
    """A peer has used what was made with them."""
    store = opened(folder)
    shelf = store.shelves["one, x"]
    place, size = shelf._place(1)
    store.advance({shelf.name: 2})
    data = shelf.path.read_bytes()
    assert not any(data[place - size : place + size]) and any(data[place + size :])
    assert shelf.take().startswith(b"rone0006")
    store.close()


def test_of_a_store_that_is_made_anew_the_old_one_cannot_be_read(folder: Path) -> None:
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(path.open("rb")) for path in folder.glob("*-*")]
        make(folder, "n")
        assert len(files) == 2 and all(b"salt" not in file.read() for file in files)


# -- what is refused ------------------------------------------------------------------------------------


def test_one_process_at_a_time(folder: Path) -> None:
    store = opened(folder)
    for other in (opened, lambda f: Making(f, TERMS, SECRET)):
        with pytest.raises(ConfigError, match="another process uses the store"):
            other(folder)
    store.close()
    opened(folder).close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"peers": ("a", "c")}, r"another peers \(there \['a', 'b'\], here \['a', 'c'\]\)"),
        ({"rank": 1}, "another rank"),
        ({"ring": 32}, r"another ring \(there 64, here 32\)"),
        ({"suite": "other"}, "another suite"),
    ],
)
def test_a_store_of_others_is_refused(folder: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        opened(folder, replace(TERMS, **change))
    opened(folder).close()  # and the lock is free again


def test_another_key_opens_nothing(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"was altered, or .* the party's key is another"):
        opened(folder, secret=b"of somebody else")


def test_a_store_that_was_altered_is_refused(folder: Path) -> None:
    """Every byte of every file, each for itself: when it is opened, or when the block's turn comes."""
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        for at in range(0, len(data), 7):
            shutil.rmtree(folder.parent / "b", ignore_errors=True)
            shutil.copytree(folder, folder.parent / "b")
            (folder.parent / "b" / path.name).write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            with (
                pytest.raises(ConfigError, match=r"altered|incomplete"),
                closing(opened(folder.parent / "b")) as store,
            ):
                while any(s.count for s in store.shelves.values()):
                    for shelf in store.shelves.values():
                        if shelf.count:
                            assert shelf.take().startswith(b"r")


def kinds(folder: Path) -> list[Path]:
    return sorted(folder.glob("*-*"))


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The cursor with other facts, and the tag it had."""
    said, tag = (folder / "cursor").read_bytes().split(b"\n")
    facts = json.loads(said)
    change(facts)
    (folder / "cursor").write_bytes(json.dumps(facts, sort_keys=True).encode() + b"\n" + tag)


def exchanged(a: Path, b: Path) -> None:
    before = a.read_bytes(), b.read_bytes()
    a.write_bytes(before[1])
    b.write_bytes(before[0])


CURSORS: list[Callable[[dict[str, Any]], object]] = [
    lambda facts: facts.update(run="q"),
    lambda facts: facts.update(version=module.VERSION + 1),
    lambda facts: facts["used"].popitem(),
    lambda facts: facts["used"].update({"more-0": [0, 1]}),
    lambda facts: facts.update(used={}),
    lambda facts: facts.update(used=dict(zip(facts["used"], reversed(facts["used"].values()), strict=True))),
    lambda facts: facts.update(used={name: [at + 1, total] for name, (at, total) in facts["used"].items()}),
    lambda facts: facts.update(used={name: [0, total] for name, (_, total) in facts["used"].items()}),
    lambda facts: facts.update(used={name: [at, total + 1] for name, (at, total) in facts["used"].items()}),
]


@pytest.mark.parametrize("change", CURSORS)
def test_a_cursor_says_what_this_party_wrote(
    folder: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    with closing(opened(folder)) as store:
        store.shelves["one, x"].take()
    edited(folder, change)
    with pytest.raises(ConfigError, match="nobody knows what of the store"):
        opened(folder)


def test_files_that_were_exchanged_or_renamed_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two kinds with as many blocks as each other, after different numbers of them were used, and before."""
    monkeypatch.setitem(KINDS, "two, x", 8)
    monkeypatch.setattr(module, "_BLOCK", 3)
    folder = tmp_path / "a"
    make(folder, "r")
    for _ in range(2):
        exchanged(*kinds(folder))
        with pytest.raises(ConfigError, match="has what belongs in"):
            opened(folder)
        exchanged(*kinds(folder))
        with closing(opened(folder)) as store:
            store.shelves["one, x"].take()
    one = kinds(folder)[0]
    one.rename(folder / "other-0")
    with pytest.raises(ConfigError, match="No such file"):
        opened(folder)
    edited(folder, lambda facts: facts["used"].update({"other-0": facts["used"].pop(one.name)}))
    with pytest.raises(ConfigError, match="nobody knows"):
        opened(folder)


def test_files_of_another_run_are_refused(folder: Path) -> None:
    """Of the same party, the same kinds and as many."""
    other = folder.parent / "b"
    make(other, "n")
    shutil.copytree(folder, folder.parent / "kept")
    for path in kinds(other):
        shutil.copy(path, folder)
        with pytest.raises(ConfigError, match=r"another run \(there n, here r\)"):
            opened(folder)
        shutil.copy(folder.parent / "kept" / path.name, folder)
    shutil.copy(other / "cursor", folder)
    with pytest.raises(ConfigError, match=r"another run \(there r, here n\)"):
        opened(folder)


@pytest.mark.parametrize("which", ["cursor", "one"])
@pytest.mark.parametrize("what", ["pipe", "folder", "link"])
def test_what_is_no_file_is_not_waited_for(folder: Path, which: str, what: str) -> None:
    path = next(p for p in folder.iterdir() if p.name.startswith(which))
    path.rename(folder.parent / "elsewhere")
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to(folder.parent / "elsewhere")
    with pytest.raises(ConfigError, match=r"no file|cannot be read"):
        opened(folder)


@pytest.mark.parametrize("keep", [0, 5, 40, 200, -1])
def test_half_a_file_is_refused(folder: Path, keep: int) -> None:
    path = next(p for p in folder.iterdir() if p.name.startswith("one"))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ConfigError, match="incomplete"):
        opened(folder)


def test_a_missing_file_or_folder_is_named(folder: Path) -> None:
    next(p for p in folder.iterdir() if p.name.startswith("one")).unlink()
    with pytest.raises(ConfigError, match="No such file"):
        opened(folder)
    (folder / "cursor").unlink()
    with pytest.raises(ConfigError, match="cursor cannot be read"):
        opened(folder)
    with pytest.raises(ConfigError, match="there is no store"):
        opened(folder.parent / "c")


def test_a_cursor_that_was_turned_back_meets_what_was_overwritten(folder: Path) -> None:
    cursor = (folder / "cursor").read_bytes()
    with closing(opened(folder)) as store:
        store.shelves["one, x"].take()
    (folder / "cursor").write_bytes(cursor)
    with pytest.raises(ConfigError, match="was altered"):
        opened(folder)


def test_only_the_party_may_read(folder: Path) -> None:
    assert folder.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o177 == 0 for path in folder.iterdir())
    assert not any(b"rone0000" in path.read_bytes() for path in folder.iterdir())


@pytest.mark.parametrize("mode", [0o701, 0o720, 0o770, 0o755])
def test_a_store_that_is_open_to_others_is_not_used(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    with pytest.raises(
        ConfigError, match=f"open to others than its owner .mode {mode:04o}.: run 'chmod 700 "
    ):
        opened(folder)
    folder.chmod(0o700)
    opened(folder).close()


# -- what a machine remembers ---------------------------------------------------------------------------


def lasting(folder: Path, memory: Path) -> Store:
    return Store(folder, TERMS, SECRET, memory)


@pytest.fixture
def memory(folder: Path, tmp_path: Path) -> Path:
    """Of a store of which a block was used; a copy of what it was before lies beside it."""
    shutil.rmtree(folder)
    making = Making(folder, TERMS, SECRET, tmp_path / "memory")
    file = making.kind("r", "one, x", 8, 8)
    for number in range(3):
        file.put(number, bytes([number] * (24 if number < 2 else 16)))
    file.close()
    making.commit("r")
    making.close()
    assert not making.doubt
    shutil.copytree(folder, tmp_path / "copy")
    with closing(lasting(folder, tmp_path / "memory")) as store:
        assert not store.doubt
        assert store.shelves["one, x"].take() == bytes(24)
    return tmp_path / "memory"


def test_a_store_that_was_turned_back_is_refused(folder: Path, memory: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"was turned back, or is a copy: 0 of its blocks of one kind are used .* remembers 1;",
    ):
        lasting(folder.parent / "copy", memory)
    with closing(lasting(folder, memory)) as store:  # and the lock is free, the true one goes on
        assert not store.doubt and store.shelves["one, x"].take() == bytes([1] * 24)
    shutil.rmtree(folder)
    (folder.parent / "copy").rename(folder)
    with pytest.raises(ConfigError, match="remembers 2"):
        lasting(folder, memory)


def test_what_a_process_used_that_was_killed_is_remembered(folder: Path, memory: Path) -> None:
    shutil.rmtree(folder.parent / "copy")
    shutil.copytree(folder, folder.parent / "copy")
    text = f"""import os, signal
from pathlib import Path
from crashes import SECRET, TERMS, Store
Store(Path({str(folder)!r}), TERMS, SECRET, Path({str(memory)!r})).shelves["one, x"].take()
os.kill(os.getpid(), signal.SIGKILL)
"""
    paths = f"{ROOT}:{ROOT / 'tests'}"
    ended = subprocess.run([sys.executable, "-c", text], check=False, env={**os.environ, "PYTHONPATH": paths})
    assert ended.returncode == -signal.SIGKILL
    with pytest.raises(ConfigError, match="remembers 2"):
        lasting(folder.parent / "copy", memory)
    with closing(lasting(folder, memory)) as store:
        assert store.shelves["one, x"].take() == bytes([2] * 16)


def test_blocks_that_are_left_out_are_remembered(folder: Path, memory: Path) -> None:
    with closing(lasting(folder, memory)) as store:
        store.advance({store.shelves["one, x"].name: 3})
    with pytest.raises(ConfigError, match="remembers 3"):
        lasting(folder.parent / "copy", memory)


def test_a_machine_that_never_saw_a_store_says_so(folder: Path, memory: Path) -> None:
    with closing(lasting(folder, folder.parent / "elsewhere")) as store:
        assert "this machine does not remember the store" in store.doubt
        assert "in doubt run 'mpc offline' again" in store.doubt
    with closing(lasting(folder, folder.parent / "elsewhere")) as store:  # from now on it does
        assert not store.doubt
    with pytest.raises(ConfigError, match="remembers 1"):
        lasting(folder.parent / "copy", folder.parent / "elsewhere")


def test_a_copy_that_was_used_elsewhere_does_not_come_back(tmp_path: Path) -> None:
    """As many of its blocks are used as of the true one, and others."""
    store, copy, here = tmp_path / "store", tmp_path / "copy", tmp_path / "here"
    making = Making(store, TERMS, SECRET, here)
    for kind in KINDS:
        file = making.kind("r", kind, 2, module._BLOCK_BYTES // 2 + 1)
        for number in range(2):
            file.put(number, bytes(module._BLOCK_BYTES // 2 + 1))
        file.close()
    making.commit("r")
    making.close()
    shutil.copytree(store, copy)
    for folder, memory, kind in (store, here, "one, x"), (copy, tmp_path / "elsewhere", "two, x"):
        with closing(lasting(folder, memory)) as opened:
            opened.shelves[kind].take()
    with pytest.raises(
        ConfigError,
        match="0 of its blocks of one kind are used by its own account, and this machine remembers 1;",
    ):
        lasting(copy, here)
    lasting(store, here).close()


def test_a_machine_that_cannot_remember_says_so(folder: Path, memory: Path) -> None:
    (folder.parent / "file").touch()
    with closing(lasting(folder, folder.parent / "file" / "stores")) as store:
        assert "cannot be remembered outside of it" in store.doubt and "set XDG_STATE_HOME" in store.doubt
        assert store.shelves["one, x"].take() == bytes([1] * 24)
    making = Making(folder, TERMS, SECRET, folder.parent / "file" / "stores")
    making.commit("n")
    making.close()
    assert "set XDG_STATE_HOME" in making.doubt


# -- correlations ---------------------------------------------------------------------------------------

DRAWS: list[Correlation] = [
    triple(Z64, 3),
    triple(Z64, 2, 2),
    triple(BITS, 70),
    CrossTriple(Spec(Z32, (5,))),
    TruncationMask(Spec(Z64, (3, 2)), 16),
    EdaBlocks(Z64, 3, 15),
    DaBits(Z64, 2),
    triple(Z64, 0),
    EdaBlocks(Z64, 2, 15),
    DaBits(Z64, 5),
    Triple(MULTIPLY, Spec(BITS, (1, 3, 4)), Spec(BITS, (2, 3, 4))),
    Triple(MATMUL, Spec(Z64, (2, 3)), Spec(Z64, (3, 2))),
    triple(Z64),
    Permutation(Spec(Z64, (1, 4, 2)), 1),
    Triple(MATMUL, Spec(Z64, (2, 3)), Spec(Z64, (3, 2))),
    Triple(MULTIPLY, Spec(BITS, (1, 5)), Spec(BITS, (2, 5))),
]


def relations_hold(everyones: list[list[tuple[Any, Any]]], kinds: list[Correlation]) -> None:
    for at, kind in enumerate(kinds):
        free, dependent = (
            [reduce(add, column) for column in zip(*(mine[at][i] for mine in everyones), strict=True)]
            for i in (0, 1)
        )
        assert tuple(x.spec for x in free) == kind.free and tuple(x.spec for x in dependent) == kind.dependent
        for got, expected in zip(dependent, kind.derive(*free), strict=True):
            assert (got.data == expected.data).all(), kind


async def drawn(prep: Any, kinds: list[Correlation]) -> list[tuple[Any, Any]]:
    out = []
    for kind in kinds:
        free, rest = await prep.draw(kind)
        out.append((free, await rest))
    return out


def counted(kinds: list[Correlation]) -> dict[Correlation, int]:
    counts: dict[Correlation, int] = {}
    for kind in kinds:
        one, count = units(kind)
        counts[one] = counts.get(one, 0) + count
    return counts


def filled(folder: Path, counts: dict[Correlation, int]) -> None:
    async def side(rank: int) -> None:
        making = Making(folder / str(rank), replace(TERMS, rank=rank), SECRET)
        making.commit(
            await fill(await take_seat(rank, 2, stream(7, f"{rank}{folder}")), Oblivious(), making, counts)
        )
        making.close()

    simulate(*(side(rank) for rank in range(2)))


def served(folder: Path, kinds: list[Correlation]) -> tuple[list[list[tuple[Any, Any]]], list[Stored]]:
    preps: list[Stored] = []

    async def side(rank: int) -> Any:
        store = Store(folder / str(rank), replace(TERMS, rank=rank), SECRET)
        try:
            prep = Stored(store, Oblivious())
            preps.append(prep)
            await prep.setup(await take_seat(rank, 2, stream(8, f"{rank}{folder}")))
            return await drawn(prep, kinds)
        finally:
            store.close()

    return simulate(*(side(rank) for rank in range(2))), preps


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of what ``DRAWS`` take, in small blocks."""
    before, module._BLOCK = module._BLOCK, 4
    folder = tmp_path_factory.mktemp("stocked")
    filled(folder, counted(DRAWS))
    module._BLOCK = before
    return folder


@pytest.fixture
def copy(stocked: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stocked, tmp_path / "copy"))


def test_what_is_stored_satisfies_its_relations_and_is_all_there(copy: Path) -> None:
    everyones, preps = served(copy, DRAWS)
    relations_hold(everyones, DRAWS)
    assert not preps[0].made and preps[0].served == sum(counted(DRAWS).values())
    for rank in (0, 1):
        assert [p.name for p in (copy / str(rank)).iterdir()] == ["cursor"]
    words = np.concatenate(
        [
            free[0].data.ravel()
            for (free, _), kind in zip(everyones[0], DRAWS, strict=True)
            if isinstance(kind, Triple) and kind.ring is Z64
        ]
    )
    assert len(np.unique(words)) == len(words)


@settings(max_examples=3)
@given(st.permutations(range(len(DRAWS))), st.integers(0, 3))
def test_in_any_order_and_beyond_its_end(
    stocked: Path, tmp_path_factory: pytest.TempPathFactory, order: list[int], more: int
) -> None:
    copy = Path(shutil.copytree(stocked, tmp_path_factory.mktemp("any") / "copy"))
    kinds = [DRAWS[i] for i in order] + [triple(Z64, 5)] * more
    everyones, preps = served(copy, kinds)
    relations_hold(everyones, kinds)
    assert [p.made.total() for p in preps] == [5 * more] * 2
    assert (
        "on demand, since the store had no more of: triple; another 'mpc offline'" in preps[0].said()
    ) is (more > 0)


def test_stores_at_different_places_go_on_from_the_furthest(copy: Path) -> None:
    """Party 1 was killed after party 0 had not yet begun."""
    store = Store(copy / "1", replace(TERMS, rank=1), SECRET)
    shelf = next(s for kind, s in store.shelves.items() if kind.startswith("triple, multiply, Z"))
    shelf.take()
    store.close()
    kinds: list[Correlation] = [triple(Z64, 2), triple(Z64, 1)]
    everyones, preps = served(copy, kinds)
    relations_hold(everyones, kinds)
    assert [p.skipped for p in preps] == [1, 0] and [p.served for p in preps] == [3, 3]
    assert "1 blocks were left out" in preps[0].said()


def test_a_rehearsals_correlations_are_right_and_counted() -> None:
    async def side(rank: int) -> Any:
        prep = Rehearsal()
        await prep.setup(await take_seat(rank, 2, stream(9, str(rank))))
        return await drawn(prep, DRAWS), prep.taken

    done = simulate(*(side(rank) for rank in range(2)))
    relations_hold([mine for mine, _ in done], DRAWS)
    assert all(
        {k: n for k, n in taken.items() if n} == {k: n for k, n in counted(DRAWS).items() if n}
        for _, taken in done
    )
