"""Correlations on disk: each is served once, whatever happens; a store that is not whole or not ours is refused."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
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
from protocols.prep import Correlation, CrossTriple, Permutation, Triple, TruncationMask, units
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
def lives(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    done = subprocess.run([sys.executable, str(ROOT / "tests/crashes.py"), str(tmp_path_factory.mktemp("crashes"))], capture_output=True,
                          text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_killed_at_every_step_of_serving_nothing_is_served_twice(lives: list[dict[str, Any]]) -> None:
    serving = [life for life in lives if life["what"] == "serve"]
    assert len(serving) > 15 and sum(life["ended"] for life in serving) == 1
    for life in serving:
        served = life["first"] + life["rest"]
        assert len(set(served)) == len(served) and set(served) <= set(ALL)
        assert len(served) >= len(ALL) - 3, life        # what is lost is the block that was reserved
        assert sorted(served) == ALL or not life["ended"]


def test_killed_at_every_step_of_making_there_is_a_whole_store_or_none(lives: list[dict[str, Any]]) -> None:
    making = [life for life in lives if life["what"] == "make"]
    assert len(making) > 15 and sum(life["ended"] for life in making) == 1
    outcomes = set()
    for life in making:
        runs = {word[0] for word in life["first"]}
        assert len(runs) <= 1 and len(life["first"]) in (0, len(ALL)), life
        outcomes.add("".join(runs))
        assert {word[0] for word in life["rest"]} == {"m"} and len(life["rest"]) == len(ALL)
    assert outcomes == {"r", "", "n"}                   # the old one, none, the new one


def test_the_cursor_is_on_disk_before_a_block_is_decrypted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    for name in ("fsync", "replace", "pwrite"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, real=real: (order.append(name), real(*a))[1])
    store = opened(folder)
    shelf = store.shelves["one, x"]
    sealed = shelf._cipher
    shelf._cipher = type("Watched", (), {"decrypt": lambda _, *a: (order.append("decrypt"), sealed.decrypt(*a))[1]})()  # type: ignore[assignment]
    shelf.take()
    assert order == ["pwrite", "fsync", "replace", "fsync", "pwrite", "decrypt"]
    store.close()


def test_used_blocks_are_overwritten_and_used_files_removed(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    store = opened(folder)
    shelf = store.shelves["one, x"]
    name = shelf._name
    shelf.take()
    now = (folder / name).read_bytes()
    place = next(i for i in range(len(now)) if now[i] != before[name][i])
    assert now[place:place + 3 * 8 + 16] == bytes(3 * 8 + 16) and now[place + 3 * 8 + 16:] == before[name][place + 3 * 8 + 16:]
    while shelf.count:
        shelf.take()
    assert not (folder / name).exists()
    store.close()


# -- what is refused ------------------------------------------------------------------------------------


def test_one_process_at_a_time(folder: Path) -> None:
    store = opened(folder)
    for other in (opened, lambda f: Making(f, TERMS, SECRET)):
        with pytest.raises(ConfigError, match="another process uses the store"):
            other(folder)
    store.close()
    opened(folder).close()


@pytest.mark.parametrize(("change", "said"), [
    ({"peers": ("a", "c")}, r"another peers \(there \['a', 'b'\], here \['a', 'c'\]\)"), ({"rank": 1}, "another rank"),
    ({"ring": 32}, r"another ring \(there 64, here 32\)"), ({"suite": "other"}, "another suite"),
])
def test_a_store_of_others_is_refused(folder: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        opened(folder, replace(TERMS, **change))
    opened(folder).close()                              # and the lock is free again


def test_another_key_opens_nothing(folder: Path) -> None:
    with pytest.raises(ConfigError, match="was altered, or the party's key is another"):
        opened(folder, secret=b"of somebody else")


def test_a_store_that_was_altered_is_refused(folder: Path) -> None:
    """Every byte of every file, each for itself."""
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        for at in range(0, len(data), 7):
            shutil.rmtree(folder.parent / "b", ignore_errors=True)
            shutil.copytree(folder, folder.parent / "b")
            (folder.parent / "b" / path.name).write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
            with pytest.raises(ConfigError):
                store = opened(folder.parent / "b")
                try:
                    while any(s.count for s in store.shelves.values()):
                        for shelf in store.shelves.values():
                            if shelf.count:
                                assert shelf.take().startswith(b"r")
                finally:
                    store.close()
                if path.name == "cursor":               # its numbers are checked against what lies there, not sealed
                    raise ConfigError("served what was made")


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
    with pytest.raises(ConfigError, match="nobody knows what of the store"):
        opened(folder)
    with pytest.raises(ConfigError, match="there is no store"):
        opened(folder.parent / "c")


def test_a_cursor_that_was_turned_back_meets_what_was_overwritten(folder: Path) -> None:
    cursor = (folder / "cursor").read_bytes()
    store = opened(folder)
    store.shelves["one, x"].take()
    store.close()
    (folder / "cursor").write_bytes(cursor)
    store = opened(folder)
    with pytest.raises(ConfigError, match="was altered"):
        store.shelves["one, x"].take()
    store.close()


def test_only_the_party_may_read(folder: Path) -> None:
    assert folder.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o177 == 0 for path in folder.iterdir())
    assert not any(b"rone0000" in path.read_bytes() for path in folder.iterdir())


# -- correlations ---------------------------------------------------------------------------------------

DRAWS: list[Correlation] = [
    triple(Z64, 3), triple(Z64, 2, 2), triple(BITS, 70), CrossTriple(Spec(Z32, (5,))), TruncationMask(Spec(Z64, (3, 2)), 16), triple(Z64, 0),
    Triple(MULTIPLY, Spec(BITS, (1, 3, 4)), Spec(BITS, (2, 3, 4))), Triple(MATMUL, Spec(Z64, (2, 3)), Spec(Z64, (3, 2))), triple(Z64),
    Permutation(Spec(Z64, (1, 4, 2)), 1), Triple(MATMUL, Spec(Z64, (2, 3)), Spec(Z64, (3, 2))), Triple(MULTIPLY, Spec(BITS, (1, 5)), Spec(BITS, (2, 5))),
]


def relations_hold(everyones: list[list[tuple[Any, Any]]], kinds: list[Correlation]) -> None:
    for at, kind in enumerate(kinds):
        free, dependent = ([reduce(add, column) for column in zip(*(mine[at][i] for mine in everyones), strict=True)] for i in (0, 1))
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
        making.commit(await fill(await take_seat(rank, 2, stream(7, f"{rank}{folder}")), Oblivious(), making, counts))
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
    words = np.concatenate([free[0].data.ravel() for (free, _), kind in zip(everyones[0], DRAWS, strict=True) if isinstance(kind, Triple) and kind.ring is Z64])
    assert len(np.unique(words)) == len(words)


@settings(max_examples=3)
@given(st.permutations(range(len(DRAWS))), st.integers(0, 3))
def test_in_any_order_and_beyond_its_end(stocked: Path, tmp_path_factory: pytest.TempPathFactory, order: list[int], more: int) -> None:
    copy = Path(shutil.copytree(stocked, tmp_path_factory.mktemp("any") / "copy"))
    kinds = [DRAWS[i] for i in order] + [triple(Z64, 5)] * more
    everyones, preps = served(copy, kinds)
    relations_hold(everyones, kinds)
    assert [p.made.total() for p in preps] == [5 * more] * 2
    assert ("on demand, since the store had no more of: triple, multiply, Z_2^64[1], Z_2^64[1]" in preps[0].said()) is (more > 0)


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
    assert all({k: n for k, n in taken.items() if n} == {k: n for k, n in counted(DRAWS).items() if n} for _, taken in done)
