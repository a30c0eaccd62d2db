"""SIGKILL at random moments, of the aggregation server and of its clients, session after session: no mean is
wrong or lost, no number of a round and no vector is used twice, and no account falls behind.

``MPC_KILLS`` kills (``make kills``: 300), every other session with noise and budgets; ``MPC_SEED`` draws
others."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from aggregating import DIMENSION, deployment
from test_cli import MPC, ROOT

from protocols.aggregation.messages import Phase
from protocols.aggregation.service import plan as plans

CASES = int(os.environ.get("MPC_KILLS", "0"))
SEED = int(os.environ.get("MPC_SEED", "1"))
NAMES = [f"clinic-{i}" for i in range(5)]
ROUNDS = 40
CLIENT = """
import hashlib, json, os, sys
import numpy as np
import mpc
from mpc.errors import AggregationFailed, AggregationRefused, MpcError, PartyLost
from protocols.aggregation.service import line
from protocols.aggregation.service.frames import Kind

config, book = sys.argv[1:3]
who, dimension, noisy = int(sys.argv[3]), int(sys.argv[4]), sys.argv[5] == "noisy"
old = [json.loads(text) for text in open(book).read().splitlines()] if os.path.exists(book) else []
# What was given last is given again.
turn = max([entry["vector"] for entry in old if "vector" in entry], default=0)
file = open(book, "a", buffering=1)
say = lambda **facts: file.write(json.dumps({"pid": os.getpid(), **facts}) + "\\n")
send = line.Line.send

def sending(self, kind, *parts):
    if kind is Kind.ANSWER:
        answer = hashlib.sha256(parts[0]).hexdigest()
        say(terms=parts[0][12:44].hex(), phase=parts[0][4], vector=turn, answer=answer)
    send(self, kind, *parts)

line.Line.send = sending
while True:
    try:
        with mpc.aggregation_client(config) as client:
            while True:
                vector = np.random.default_rng([who, turn]).normal(size=dimension) / 20
                try:
                    mean = client.round(vector)
                    last = client.last
                    say(mean=mean.tolist(), number=last.number, included=last.included, vector=turn)
                    turn += 1
                except AggregationFailed as error:
                    say(failed=str(error), vector=turn)
                    turn += 1
                except AggregationRefused as error:
                    say(refused=str(error), vector=turn)
                    if "this very vector" not in str(error):
                        raise
                    turn += 1
    except PartyLost as error:
        if error.who == "all done":
            say(done=True)
            break
        say(lost=str(error))
    except MpcError as error:
        say(error=f"{type(error).__name__}: {error}")
"""


class Session:
    """A server and its clients as processes; who is killed is started anew."""

    def __init__(self, folder: Path, noisy: bool) -> None:
        self.folder, self.noisy = folder, noisy
        folder.mkdir()
        privacy = "{epsilon = 500.0, delta = 1e-3, rounds = 200}" if noisy else ""
        self.config = deployment(
            folder,
            NAMES,
            privacy,
            dict.fromkeys(("share", "mask", "confirm", "unmask"), 30.0),
            threshold=3,
            dropout=0.2,
            clip=1.0,
            rounds=ROUNDS,
            attempts=1000,
        )
        (folder / "client.py").write_text(CLIENT)
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.killed: set[int] = set()
        for who in ("server", *NAMES):
            self.start(who)

    def start(self, who: str) -> None:
        command = (
            [*MPC, "aggregate", "serve", "--config", str(self.config), "--log", str(self.folder / "log")]
            if who == "server"
            else [
                sys.executable,
                str(self.folder / "client.py"),
                str(self.folder / f"{who}.toml"),
                str(self.folder / f"{who}.book"),
                who[-1],
                str(DIMENSION),
                "noisy" if self.noisy else "plain",
            ]
        )
        with (self.folder / f"{who}.err").open("ab") as err:
            self.running[who] = subprocess.Popen(command, cwd=ROOT, stdout=err, stderr=err)

    def kill(self, who: str) -> bool:
        """Whether it was there to be killed."""
        process = self.running[who]
        if process.poll() is not None:
            return False
        process.kill()
        if process.wait() != -signal.SIGKILL:
            return False
        self.killed.add(process.pid)
        self.start(who)
        return True

    @property
    def over(self) -> bool:
        return self.running["server"].poll() is not None

    def until(self, event: str, seconds: float) -> None:
        """Wait until the server tells of this again, but no longer."""
        log, end = self.folder / "log", time.monotonic() + seconds
        size, event = log.stat().st_size if log.exists() else 0, f'"{event}"'
        while time.monotonic() < end and not (log.exists() and event in log.read_text()[size:]):
            time.sleep(0.005)

    def end(self) -> None:
        """Let it come to its end without a kill; who was started too late to meet the server cannot know that
        it is over.
        """
        until = math.inf
        for who in ("server", *NAMES):
            if who != "server":
                until = min(until, time.monotonic() + 20)
            try:
                left = 240 if who == "server" else max(0.0, until - time.monotonic())
                assert self.running[who].wait(left) == 0, (
                    who,
                    (self.folder / f"{who}.err").read_text(),
                )
            except subprocess.TimeoutExpired:
                process = self.running[who]
                said = [json.loads(text) for text in (self.folder / f"{who}.book").read_text().splitlines()]
                assert who != "server" and all(
                    "lost" in entry for entry in said if entry["pid"] == process.pid
                ), said[-3:]
                process.kill()
                self.killed.add(process.pid)

    def stop(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()

    def check(self) -> Counter[str]:
        plan = plans.load(self.config).plan
        books = {
            name: [json.loads(text) for text in (self.folder / f"{name}.book").read_text().splitlines()]
            for name in NAMES
        }
        state = json.loads((self.folder / "server-state/state.json").read_text())
        numbers = [done["round"] for done in state["done"]]
        assert len(numbers) == ROUNDS and numbers == sorted(set(numbers)) and numbers[-1] < state["next"]
        number_of = {plan.terms(number).digest.hex(): number for number in range(1, state["next"])}
        masked: dict[str, dict[int, int]] = {name: {} for name in NAMES}  # by round, whose vector
        seen = Counter({"rounds begun": state["next"] - 1})
        for name, book in books.items():
            answers: dict[tuple[str, int], str] = {}
            vectors: dict[int, str] = {}
            for entry in book:
                if "answer" in entry:
                    key = entry["terms"], entry["phase"]
                    assert answers.setdefault(key, entry["answer"]) == entry["answer"], (
                        name,
                        entry,
                        "two answers to one question",
                    )
                    if entry["phase"] == Phase.MASK:
                        if not self.noisy:
                            assert vectors.setdefault(entry["vector"], entry["terms"]) == entry["terms"], (
                                name,
                                entry,
                                "a vector went out twice",
                            )
                        masked[name][number_of[entry["terms"]]] = entry["vector"]
                assert "error" not in entry, (name, entry)
                seen["refused, as it had gone out"] += "refused" in entry
                seen["failed after masking"] += "failed" in entry
            seen["vectors masked"] += len(masked[name])
        for done in state["done"]:
            mean = np.load(self.folder / "server-state" / done["file"])
            expected = np.mean(
                [
                    np.random.default_rng([NAMES.index(name), masked[name][done["round"]]]).normal(
                        size=DIMENSION
                    )
                    / 20
                    for name in done["clients"]
                ],
                axis=0,
            )
            np.testing.assert_allclose(mean, expected, atol=8 * done["error"])
            for name in NAMES:
                for entry in books[name]:
                    if entry.get("number") == done["round"]:
                        seen["means given to clients"] += 1
                        assert (np.array(entry["mean"]) == mean).all() and entry["included"] == (
                            name in done["clients"]
                        )
        for name, book in books.items():  # who was in a sum and lived has got it
            got = {entry["number"] for entry in book if "number" in entry}
            for number in (
                set(masked[name]) & {d["round"] for d in state["done"] if name in d["clients"]} - got
            ):
                pids = {
                    e["pid"] for e in book if e.get("phase") == Phase.MASK and number_of[e["terms"]] == number
                }
                assert pids <= self.killed, (name, number, "was in the sum, lived, and did not get it")
        if self.noisy:
            assert plan.noise is not None
            for name in NAMES:
                account = plan.account(self.folder / f"{name}.rounds.budget")
                assert account is not None and account.spent >= plan.noise.cost(len(masked[name])) * (
                    1 - 1e-9
                )
            account = plan.account(self.folder / "server-state/budget.json")
            assert account is not None and account.spent >= plan.noise.cost(
                len(set().union(*masked.values()))
            ) * (1 - 1e-9)
        return seen


@pytest.mark.skipif(not CASES, reason="make kills")
def test_nothing_is_lost_and_nothing_is_used_twice(tmp_path: Path) -> None:
    rng, kills, seen, sessions = np.random.default_rng(SEED), Counter[str](), Counter[str](), 0
    while sum(kills.values()) < CASES:
        session = Session(tmp_path / f"session-{sessions}", noisy=sessions % 2 == 1)
        sessions += 1
        try:
            time.sleep(rng.random() * 4)
            while not session.over and sum(kills.values()) < CASES:
                if rng.random() < 0.1:  # however slow the machine, some rounds end between kills
                    session.until("round ends", 20.0)
                who = "server" if rng.random() < 0.3 else str(rng.choice(NAMES))
                if rng.random() < 0.7:
                    session.until("answer", 1.0)
                    time.sleep(0.2 * rng.random())
                else:
                    time.sleep(2 * rng.random())
                kills["server" if who == "server" else "client"] += session.kill(who)
            session.end()
            seen += session.check()
        finally:
            session.stop()
    print(f"\n{dict(kills)} killed in {sessions} sessions of {ROUNDS} rounds; {dict(seen)}")
