"""What a client of ``mpc aggregate`` lets out: to a server that lies, breaks or asks again, after crashes,
and within its own limits.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aggregating import DIMENSION, Next, Round, Serving, deployment, joined, lying, own_file
from test_cli import ROOT, mpc

from mpc.errors import AggregationFailed, AggregationRefused, BudgetSpent, ConfigError, MpcError, PartyLost
from protocols.aggregation.messages import HEADER, Phase
from protocols.aggregation.one_server import bounds
from protocols.aggregation.one_server.noise import Account, Noise
from protocols.aggregation.one_server.server import Server
from protocols.aggregation.service import line
from protocols.aggregation.service import plan as plans
from protocols.aggregation.service.frames import NUMBER, Kind
from protocols.aggregation.service.hub import Hub
from protocols.aggregation.service.line import Line
from protocols.aggregation.service.member import Member
from protocols.aggregation.service.once import Once, numbers
from protocols.aggregation.weights import coarse

NAMES = [f"clinic-{i}" for i in range(4)]
ME = NAMES[2]
PRIVACY = "{epsilon = 9.0, delta = 1e-3, rounds = 3}"


def once_per_round(
    folder: Path, rounds: int, end: Callable[[Hub, int], None], phase: Phase = Phase.MASK
) -> Callable[[Hub, Next], None]:
    """A server that ends each round, after the client has answered this phase, in its own way."""

    def lie(hub: Hub, following: Next) -> None:
        following(Kind.HELLO)
        for number in range(1, rounds + 1):
            Round(folder, ME, number).up_to(phase, hub, following)
            end(hub, number)

    return lie


ENDS: dict[str, Callable[[Hub, int], None]] = {
    "error": lambda hub, number: hub.send(ME, Kind.ERROR, b"internal error, please try again"),
    "failed": lambda hub, number: hub.send(ME, Kind.FAILED, number.to_bytes(NUMBER, "little"), b"too few"),
    "bye": lambda hub, number: hub.send(ME, Kind.BYE),
    "next": lambda hub, number: hub.ask(
        ME, None, 1 << 20, (number + 1).to_bytes(NUMBER, "little") + bytes(HEADER.size)
    ),
    "rubbish": lambda hub, number: hub.send(
        ME, Kind.RESULT, number.to_bytes(NUMBER, "little"), b"\x02\0\0\0[]"
    ),
    "no json": lambda hub, number: hub.send(
        ME, Kind.RESULT, number.to_bytes(NUMBER, "little"), b"\xff\xff\xff\xff"
    ),
    "wrong phase": lambda hub, number: hub.ask(ME, None, 1 << 20, number.to_bytes(NUMBER, "little") + b"x"),
    "no number": lambda hub, number: hub.send(ME, Kind.RESULT, b"x"),
    "hangs up": lambda hub, number: hub.close(0.1),
}


@pytest.mark.parametrize("how", ENDS)
def test_whatever_ends_a_round_after_masking_is_one_error_and_the_vector_does_not_go_out_again(
    tmp_path: Path, how: str
) -> None:
    deployment(tmp_path, NAMES)
    own = plans.load(own_file(tmp_path, ME, timeout=0.5))
    vector = np.arange(5.0)
    with (
        lying(plans.load(tmp_path / "server.toml"), once_per_round(tmp_path, 1, ENDS[how])),
        Member(own) as member,
    ):
        with pytest.raises(AggregationFailed, match=r"was masked|without a result"):
            member.round(vector)
        for again in (vector, vector.astype(np.float32), [0, 1, 2, 3, 4], -vector * -1.0):
            with pytest.raises(
                AggregationRefused, match=r"this very vector has gone out masked, in round 1 of 'test'"
            ):
                member.round(again)
    with (
        lying(plans.load(tmp_path / "server.toml"), lambda hub, following: following(Kind.HELLO) and None),
        Member(own) as after_a_restart,
        pytest.raises(AggregationRefused, match="round 1 of 'test'"),
    ):
        after_a_restart.round(vector)


@pytest.mark.parametrize("phase", [Phase.ADVERTISE, Phase.SHARE])
def test_before_masking_a_vector_may_be_given_again(tmp_path: Path, phase: Phase) -> None:
    deployment(tmp_path, NAMES)
    vector = np.arange(5.0)

    def lie(hub: Hub, following: Next) -> None:
        following(Kind.HELLO)
        Round(tmp_path, ME, 1).up_to(phase, hub, following)
        hub.send(ME, Kind.ERROR, b"not today")
        following(Kind.HELLO)
        Round(tmp_path, ME, 2).up_to(Phase.MASK, hub, following)
        hub.send(ME, Kind.BYE)

    with (
        lying(plans.load(tmp_path / "server.toml"), lie),
        Member(plans.load(tmp_path / f"{ME}.toml")) as member,
    ):
        with pytest.raises(AggregationRefused, match="not today"):
            member.round(vector)
        with pytest.raises(AggregationFailed):
            member.round(vector)


def test_asked_for_by_name_a_vector_goes_out_again(tmp_path: Path) -> None:
    config = deployment(tmp_path, NAMES, rounds=3)
    x = np.arange(5.0)
    with Serving(config) as server:
        for turn, again in enumerate((False, True, True), 1):
            with joined(tmp_path, NAMES, lambda name, again=again: {"vector": x, "again": again}) as futures:  # type: ignore[misc]
                assert all(f.result(120)[1].number == turn for f in futures.values())
    assert server.error is None


def test_a_client_that_is_killed_does_not_give_its_vector_again(tmp_path: Path) -> None:
    """At each step that changes its disk, and right after its vector was let out: what it gives afterwards is
    another one, or it had not given it.
    """
    config = deployment(tmp_path, NAMES, rounds=1)
    np.save(tmp_path / "v.npy", np.arange(5.0))
    program = tmp_path / "dies.py"
    program.write_text(f"""
import os, signal, numpy as np, mpc
from protocols.aggregation.service import once
count, die = [0], int(os.environ["DIE"])
def dying(real):
    def step(*args, **more):
        count[0] += 1
        if count[0] == die:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **more)
    return step
enter = once.Once.enter
def entering(*args, **more):
    for name in ("ftruncate", "pwrite", "fsync"):
        setattr(os, name, dying(getattr(os, name)))
    enter(*args, **more)
    dying(lambda: None)()
once.Once.enter = entering
mpc.aggregation_client({str(tmp_path / f"{ME}.toml")!r}).round(np.arange(5.0))
""")
    seen = []
    for die in (1, 2, 3, 4, 5):
        for file in tmp_path.glob(f"{ME}.rounds*"):
            file.unlink()
        heard: list[bytes] = []

        def lie(hub: Hub, following: Next) -> None:
            following(Kind.HELLO)
            play = Round(tmp_path, ME, 1)
            play.up_to(Phase.SHARE, hub, following)
            play.ask(hub)
            while not (events := [e for e in hub.poll(1.0) if e.kind is Kind.ANSWER or e.kind is None]):
                pass
            heard.extend(bytes(e.body) for e in events if e.kind is Kind.ANSWER)  # noqa: B023

        with lying(plans.load(config), lie):
            done = subprocess.run(
                [sys.executable, program], env={**os.environ, "DIE": str(die)}, check=False, timeout=600
            )
        assert done.returncode == -signal.SIGKILL and not heard
        gone = (
            (tmp_path / f"{ME}.rounds.masked").read_bytes()
            if (tmp_path / f"{ME}.rounds.masked").exists()
            else b""
        )
        seen.append(gone.count(b"\n"))
        once = Once(tmp_path / f"{ME}.rounds.masked")
        if seen[-1] == 2:
            with pytest.raises(AggregationRefused):
                once.check({"vector": numbers(np.arange(5.0))})
        else:
            once.check({"vector": numbers(np.arange(5.0))})
            once.enter({"vector": numbers(np.arange(5.0))}, "a later round")
            with pytest.raises(AggregationRefused, match="a later round"):
                once.check({"vector": numbers(np.arange(5.0))})
    assert seen == [0, 0, 2, 2, 2]  # truncating, writing, syncing, syncing the folder, and all is done


@pytest.mark.parametrize("privacy", ["", PRIVACY])
def test_a_client_whose_disk_is_full_lets_nothing_out(tmp_path: Path, privacy: str) -> None:
    """Neither paid for nor noted: it says so, and may give its vector when there is room again."""
    deployment(tmp_path, NAMES, privacy, **({"rounds": 3} if privacy else {}))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def lie(hub: Hub, following: Next) -> None:
        following(Kind.HELLO)
        play = Round(tmp_path, ME, 1)
        play.up_to(Phase.SHARE, hub, following)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8, hard))
        try:
            play.ask(hub)
            assert following(Kind.REFUSED).body == b"it has no vector for this round"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        following(Kind.HELLO)
        Round(tmp_path, ME, 2).up_to(Phase.MASK, hub, following)
        hub.send(ME, Kind.BYE)

    own = plans.load(tmp_path / f"{ME}.toml")
    with lying(plans.load(tmp_path / "server.toml"), lie):
        with Member(own) as member, pytest.raises(ConfigError, match=r"cannot be written \(File too large\)"):
            member.round(np.arange(5.0))
        with Member(own) as member, pytest.raises(AggregationFailed, match="masked"):
            member.round(np.arange(5.0))
    account = own.plan.account(tmp_path / f"{ME}.rounds.budget")
    assert account is None or 0 < account.spent < 5


def test_a_torn_line_and_a_wrong_list(tmp_path: Path) -> None:
    once, one, two = Once(tmp_path / "masked"), {"vector": numbers([1.0])}, {"vector": numbers([2.0])}
    once.enter(one, "round 1")
    whole = (tmp_path / "masked").read_bytes()
    assert os.stat(tmp_path / "masked").st_mode & 0o777 == 0o600 and b"1.0" not in whole
    for cut in range(len(whole)):
        (tmp_path / "masked").write_bytes(whole[:cut])
        once.enter(two, "round 2")
        with pytest.raises(AggregationRefused, match="round 2"):
            once.check(two)
    (tmp_path / "masked").write_bytes(b"{}\n")
    for call in (lambda: once.check(one), lambda: once.enter(one, "x")):
        with pytest.raises(ConfigError, match="is not the list of what this client has let out"):
            call()


# -- numbers of rounds ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "terms", "words"),
    [
        ((1 << 64) - 1, 0, "a number that is none"),
        ((1 << 63) - 1, 1, "or far from"),
        ((1 << 32) + 1, 1, "or far from"),
        (0, 1, "has begun round 0 already"),
        ((1 << 32), -1, "terms differ in round"),
        (3, -1, "terms differ in round"),
        (3, -2, "terms differ in form"),
    ],
)
def test_a_number_that_is_refused_is_not_recorded(
    tmp_path: Path, number: int, terms: int, words: str
) -> None:
    """A server could else end a client's session for good.  -1: with another round's terms; -2:
    with rubbish.
    """
    config = plans.load(deployment(tmp_path, NAMES))
    own = plans.load(tmp_path / f"{ME}.toml")
    told: list[bytes] = []

    def lie(hub: Hub, following: Next) -> None:
        following(Kind.HELLO)
        play = Server(config.plan.terms(number if terms == 1 else 1))
        message = play.request(ME) if terms > -2 else b"x"
        hub.ask(ME, None, 1 << 20, number.to_bytes(NUMBER, "little") + message)
        told.append(bytes(following(Kind.REFUSED).body))

    with lying(config, lie), Member(own) as member, pytest.raises(AggregationRefused, match=words):
        member.round(np.zeros(DIMENSION))
    assert words.encode() in told[0] and not own.state.exists()


def test_rubbish_in_place_of_a_round_pays_for_nothing(tmp_path: Path) -> None:
    """Keys are advertised three times, and what should ask for vectors is bytes with the right phase: no
    budget is touched.
    """
    config = plans.load(deployment(tmp_path, NAMES, PRIVACY, rounds=3))
    own = plans.load(tmp_path / f"{ME}.toml")

    def lie(hub: Hub, following: Next) -> None:
        for number in (1, 2, 3):
            following(Kind.HELLO)
            play = Round(tmp_path, ME, number)
            play.up_to(Phase.SHARE, hub, following)
            message = bytearray(play.server.request(ME))
            hub.ask(
                ME,
                None,
                1 << 20,
                number.to_bytes(NUMBER, "little")
                + (
                    bytes(message[: HEADER.size]) + bytes(9)
                    if number < 3
                    else bytes([0, 0, 0, 0, Phase.MASK]) + bytes(60)
                ),
            )
            following(Kind.REFUSED)

    with lying(config, lie):
        for _ in range(3):
            with Member(own) as member, pytest.raises(AggregationRefused):
                member.round(np.zeros(DIMENSION))
    account = own.plan.account(tmp_path / f"{ME}.rounds.budget")
    assert account is not None and account.spent == 0.0


# -- one's own limits -----------------------------------------------------------------------------------


def test_a_budget_for_all_sessions_on_the_same_data(tmp_path: Path) -> None:
    """Two sessions with a budget each, and the client's own that holds two rounds of the four they
    would be.
    """
    first, second, file = tmp_path / "a", tmp_path / "b", tmp_path / "cohort.budget"
    own = {"file": str(file), "data": "cohort", "epsilon": 9.0, "delta": 1e-3}
    for folder in (first, second):
        folder.mkdir()
        deployment(folder, NAMES, "{epsilon = 9.0, delta = 1e-3, rounds = 2}", rounds=2, session=folder.name)
        own_file(folder, ME, timeout=60, budget=own)
    with Serving(first / "server.toml"):
        for _ in range(2):
            with joined(first, NAMES, lambda name: {"vector": np.zeros(5)}) as futures:
                assert all(f.result(120)[1].count == 4 for f in futures.values())
    spent = plans.load(first / f"{ME}.toml").budget
    assert spent is not None and 8.5 < spent.spent <= 9.0
    with (
        lying(plans.load(second / "server.toml"), lambda hub, following: following(Kind.HELLO) and None),
        Member(plans.load(second / f"{ME}.toml")) as member,
        pytest.raises(BudgetSpent),
    ):
        member.round(np.zeros(5))
    own_file(second, ME, timeout=60, budget={**own, "data": "another cohort"})
    fresh = plans.load(second / f"{ME}.toml").budget
    assert fresh is not None and fresh.spent == 0.0


def test_a_crash_while_paying_costs_a_round_too_much_at_most(tmp_path: Path) -> None:
    """A child that pays from both accounts is killed before each step that changes the disk."""
    codec = Noise(9.0, 1e-3, 4).codec(1.0, 10, 5, dropout=0.1, corrupt=0.1)
    one = codec.cost(1)
    steps = set()
    for die in range(1, 12):
        data, session = tmp_path / f"{die}.data", tmp_path / f"{die}.session"
        masked = tmp_path / f"{die}.masked"
        if (pid := os.fork()) == 0:
            count = 0

            def dying(real: Any) -> Any:
                def step(*args: Any, **more: Any) -> Any:
                    nonlocal count
                    count += 1
                    if count == die:  # noqa: B023
                        os.kill(os.getpid(), signal.SIGKILL)
                    return real(*args, **more)

                return step

            for name in ("fsync", "replace", "rename"):
                setattr(os, name, dying(getattr(os, name)))
            for account in (Account(data, "cohort", 9.0, 1e-3), Account(session, "s", 9.0, 1e-3)):
                account.charge(codec)
            masked.touch()
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        spent = [Account(path, name, 9.0, 1e-3).spent for path, name in ((data, "cohort"), (session, "s"))]
        assert all(x in (0.0, pytest.approx(one)) for x in spent) and spent[0] >= spent[1]
        assert not masked.exists() or spent == [pytest.approx(one)] * 2
        steps.add((ended, *(x > 0 for x in spent)))
    assert {(-9, False, False), (-9, True, False), (-9, True, True), (0, True, True)} == steps


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"budget": {"file": "b", "data": "d", "epsilon": 1.0}}, "'budget.delta' is missing"),
        ({"budget": {"file": "b", "data": "d", "epsilon": -1.0, "delta": 1e-3}}, "epsilon"),
        ({"budget": {"file": "b", "data": 3, "epsilon": 1.0, "delta": 1e-3}}, "'budget.data' must be a text"),
        ({"corrupt_at_least": 1.0}, "from 0 to below 1"),
    ],
)
def test_limits_of_ones_own_that_cannot_be(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    deployment(tmp_path, NAMES, PRIVACY)
    with pytest.raises(ConfigError, match=words):
        plans.load(own_file(tmp_path, ME, **fields))


def test_a_budget_holds_no_exact_sum(tmp_path: Path) -> None:
    deployment(tmp_path, NAMES)
    with pytest.raises(ConfigError, match="shows exact ones, which no budget holds"):
        plans.load(own_file(tmp_path, ME, budget={"file": "b", "data": "d", "epsilon": 1.0, "delta": 1e-3}))
    with pytest.raises(ConfigError, match="is a client's to ask for"):
        plans.load(own_file(tmp_path, "server", corrupt_at_least=0.1))


def test_a_client_says_what_it_wants_to_be_safe_against(tmp_path: Path) -> None:
    """A plan in which two neighbours see a client's vector, if both collude, loads for those who do not ask
    for more.
    """
    names = [f"c{i:02}" for i in range(50)]
    deployment(tmp_path, names, degree=2, threshold=2, corrupt=0.0)
    own = plans.load(tmp_path / "c07.toml")
    assert own.plan.standing == {
        "clients": 50,
        "neighbours": 2,
        "threshold": 2,
        "corrupt": 0.0,
        "security_bits": 128.0,
        "rounds_lost": 0.0,
    }
    assert (
        bounds.in_words(own.plan.standing)
        == "2 neighbours, threshold 2: 128 bits of security against a server with which no client colludes"
    )
    own_file(tmp_path, "c07", corrupt_at_least=0.04)
    with pytest.raises(
        ConfigError,
        match=(
            r"wants to be safe if 2 of 50 clients collude .* gives 2 neighbours, threshold 2: [0-9.]+ bits of"
            r" security against a server "
            r"with which 2 of 50 clients collude, where 40 are due: agree on corrupt = 0\.04"
        ),
    ):
        plans.load(tmp_path / "c07.toml")
    text = (tmp_path / "plan.toml").read_text()
    (tmp_path / "plan.toml").write_text(
        text.replace("degree = 2\n", "")
        .replace("threshold = 2\n", "")
        .replace("corrupt = 0.0", "corrupt = 0.04")
    )
    assert plans.load(tmp_path / "c07.toml").plan.standing["security_bits"] >= 40


def test_wanting_more_colluding_clients_counts_their_noise(tmp_path: Path) -> None:
    deployment(tmp_path, NAMES, PRIVACY, degree=3, threshold=3)
    assert plans.load(own_file(tmp_path, ME, corrupt_at_least=0.0)).plan.shares == 4
    with pytest.raises(ConfigError, match="wants to be safe if 1 of 4"):
        plans.load(own_file(tmp_path, ME, corrupt_at_least=0.25))


def test_join_says_what_it_rests_on_and_what_was_shortened(tmp_path: Path) -> None:
    """To the owner of the vector: the server's log and the others know nothing of it."""
    config = deployment(tmp_path, NAMES, clip=10.0)
    vectors = dict(zip(NAMES, (np.zeros(5), np.full(5, 2.0), np.full(5, 5.0), np.full(5, -4.0)), strict=True))
    np.save(tmp_path / "v.npy", vectors[ME])
    with Serving(config) as server:
        client = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "mpc",
                "aggregate",
                "join",
                "--config",
                tmp_path / f"{ME}.toml",
                "--vector",
                tmp_path / "v.npy",
            ],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with joined(
            tmp_path, [n for n in NAMES if n != ME], lambda name: {"vector": vectors[name]}
        ) as futures:
            facts = [f.result(120)[1] for f in futures.values()]
        out, err = client.communicate(timeout=600)
    assert client.returncode == 0, err
    first, second = err.splitlines()
    assert (
        first
        == "4 clients: 3 neighbours, threshold 3: 128 bits of security against a server with which no client"
        " colludes"
    )
    assert (
        second
        == "this vector does not fit the plan's bounds: it was shortened from a norm of 11.18 to 'clip', 10"
    )
    assert out.startswith("round 1: the mean of 4 clients' vectors, within ") and all(
        fact.lost == "" for fact in facts
    )
    assert "short" not in json.dumps(server.events) and "clip" not in json.dumps(server.events)


def test_a_mean_that_could_not_be_written_is_noticed_before_the_vector_is_out(tmp_path: Path) -> None:
    """For it goes out once."""
    config = deployment(tmp_path, NAMES)
    np.save(tmp_path / "v.npy", np.zeros(5))
    client = (
        "aggregate",
        "join",
        "--config",
        tmp_path / f"{ME}.toml",
        "--vector",
        tmp_path / "v.npy",
        "--out",
    )
    with Serving(config) as server:
        done = mpc(*client, tmp_path / "none/mean.npy")
        assert done.returncode == 1 and f"{tmp_path / 'none'} has no room for" in done.stderr, done.stderr
        assert mpc(*client, tmp_path).returncode == 2
        assert not list(tmp_path.glob(f"{ME}.rounds*"))
        with joined(tmp_path, [n for n in NAMES if n != ME], lambda name: {"vector": np.ones(5)}):
            assert mpc(*client, tmp_path / "mean.npy").returncode == 0
    assert server.error is None and np.load(tmp_path / "mean.npy").shape == (5,)
    assert not list(tmp_path.glob("*.room"))


def test_numbers_beyond_peak_are_told_to_their_owner(tmp_path: Path) -> None:
    deployment(tmp_path, NAMES, clip=None, peak=1.5)
    plan = plans.load(tmp_path / f"{ME}.toml").plan
    assert (
        plan.lost(np.array([1.0, 2.0, -1.5, -3.0, 0])) == "2 of its 5 numbers were cut off at 'peak', 1.5"
        and plan.lost(np.zeros(5)) == ""
    )
    assert plan.lost(np.full(5, np.nan)) == "" and plan.lost(np.zeros(4)) == ""


# -- what sums tell -------------------------------------------------------------------------------------


def told_apart(plan: plans.Plan, sizes: list[int], counts: list[int]) -> int:
    """How many tuples of counts fit the mean of the fractions, as the server and the clients see it."""
    parts = [
        plan.encode(1, np.full(1, k / m), metrics={"accuracy": k / m})
        for k, m in zip(counts, sizes, strict=True)
    ]
    vector = sum((v.astype(np.int64) for v, _ in parts), np.zeros(1, np.int64)).astype(np.uint32) & np.uint32(
        (1 << plan.first.bits) - 1
    )
    side = sum((np.array(s, np.uint64) for _, s in parts), np.zeros(1, np.uint64))
    mean, metrics, _ = plan.decode(1, vector, side, len(sizes))
    fits = []
    for seen, step in ((mean[0], plan.codec.step), (metrics["accuracy"], plan.metrics.resolution)):
        axes = [np.arange(m + 1) / m for m in sizes]
        sums = axes[0]
        for axis in axes[1:]:
            sums = np.add.outer(sums, axis)
        assert abs(seen - sum(k / m for k, m in zip(counts, sizes, strict=True)) / len(sizes)) < step
        fits.append(int((np.abs(sums - len(sizes) * seen) < len(sizes) * step).sum()))
    return min(fits)


def test_a_mean_of_few_fractions_is_not_all_of_them(tmp_path: Path) -> None:
    """Numbers of right answers among 53 to 67 examples: by default thousands of tuples fit the mean, with a
    fine step and a fine resolution one.
    """
    sizes, counts = [53, 59, 61, 67], [50, 31, 44, 60]
    deployment(tmp_path, NAMES, dimension=1, clip=None, peak=1.0, metrics=["accuracy"])
    assert told_apart(plans.load(tmp_path / f"{ME}.toml").plan, sizes, counts) > 3000
    text = (tmp_path / "plan.toml").read_text()
    (tmp_path / "plan.toml").write_text(
        text.replace("[deadlines]", "step = 2e-9\nresolution = 2e-9\n[deadlines]")
    )
    assert told_apart(plans.load(tmp_path / f"{ME}.toml").plan, sizes, counts) == 1


def test_step_and_resolution_are_agreed_on(tmp_path: Path) -> None:
    config = deployment(tmp_path, NAMES, metrics=["loss"])
    text = (tmp_path / "plan.toml").read_text()
    sessions = set()
    for more in (
        "",
        "step = 0.001\n",
        "resolution = 0.01\n",
        "coarse_weights = true\n",
        "weight = 5\n",
        "weight = 5\ncoarse_weights = true\n",
    ):
        (tmp_path / "plan.toml").write_text(text.replace("[deadlines]", f"{more}[deadlines]"))
        sessions.add(plans.load(config).plan.first.session)
    assert len(sessions) == 6
    for more in ("resolution = 0.0\n", "resolution = 1e-14\n", "resolution = inf\n"):
        (tmp_path / "plan.toml").write_text(text.replace("[deadlines]", f"{more}[deadlines]"))
        with pytest.raises(ConfigError, match="resolution"):
            plans.load(config)


def test_weights_in_classes(tmp_path: Path) -> None:
    """The weighted mean is that of the classes; the sums of two rounds tell the class of who was away, and no
    log tells even that.
    """
    assert [coarse(w, 1000) for w in (1, 2, 3, 5, 6, 11, 12, 90, 91, 724, 725, 1000)] == [
        1,
        2,
        4,
        4,
        8,
        8,
        16,
        64,
        128,
        512,
        512,
        512,
    ]
    weights = dict(zip(NAMES, (801, 3, 97, 400), strict=True))
    config = deployment(tmp_path, NAMES, weight=1000, coarse_weights=True, rounds=1)
    x = {name: np.full(5, float(i)) for i, name in enumerate(NAMES)}
    with (
        Serving(config) as server,
        joined(tmp_path, NAMES, lambda name: {"vector": x[name], "weight": weights[name]}) as futures,
    ):
        mean, facts = futures[ME].result(120)
    classes = {name: coarse(w, 1000) for name, w in weights.items()}
    assert classes == dict(zip(NAMES, (512, 4, 128, 512), strict=True))
    np.testing.assert_allclose(
        mean, sum(classes[n] * x[n] for n in NAMES) / sum(classes.values()), atol=8 * facts.error
    )
    # One digit: two would tell the sum of the weights.
    assert len(f"{facts.error:g}".replace("0", "").replace(".", "").split("e")[0]) == 1
    shown = json.dumps(server.events) + (tmp_path / "server-state/state.json").read_text()
    assert '"weight' not in shown and str(sum(classes.values())) not in shown
    assert plans.load(config).plan.counted(801) == 512
    for weight in (0, 1001, -5):
        with pytest.raises(MpcError, match="weight"):
            plans.load(config).plan.encode(2, np.zeros(5), weight)


# -- plans that suit few --------------------------------------------------------------------------------


def test_terms_that_cannot_be_name_some_that_can() -> None:
    """For all small numbers of clients: every pair of values in the sentence does, and is no more than was
    asked for.
    """
    refused = 0
    for n, dropout, corrupt in product(
        [*range(3, 15), 40, 200], (0.0, 0.05, 0.1, 0.3, 0.6), (0.0, 0.05, 0.2, 0.5)
    ):
        for one_list in (False, True):
            try:
                bounds.choose(n, dropout, corrupt, one_list=one_list)
            except ConfigError as error:
                refused += 1
                pairs = re.findall(r"dropout = ([0-9.]+) with corrupt = ([0-9.]+)", str(error))
                assert pairs and str(error).endswith("would do"), error
                for d, c in pairs:
                    bounds.choose(n, float(d), float(c), one_list=one_list)
                    assert float(d) <= dropout + 1 / n and float(c) <= corrupt + 1 / n
    assert refused > 50
    with pytest.raises(
        ConfigError,
        match=r"with 3 clients, 1 lost .* and 1 colluding .*: dropout = 0\.0 with corrupt = 0\.3 would do",
    ):
        bounds.choose(3, 0.1, 0.05)


def test_three_clients_and_the_defaults(tmp_path: Path) -> None:
    """The sentence is obeyed, and the plan loads."""
    names = ["alpha", "beta", "gamma"]
    config = deployment(tmp_path, names, degree=None, threshold=None, dropout=None, corrupt=None)
    with pytest.raises(ConfigError) as refused:
        plans.load(config)
    ((dropout, corrupt),) = re.findall(r"dropout = ([0-9.]+) with corrupt = ([0-9.]+)", str(refused.value))
    text = (tmp_path / "plan.toml").read_text()
    (tmp_path / "plan.toml").write_text(f"dropout = {dropout}\ncorrupt = {corrupt}\n{text}")
    assert plans.load(config).plan.standing["security_bits"] == 128.0


def test_names_that_differ_in_capitals_only(tmp_path: Path) -> None:
    assert mpc("aggregate", "keys", "Alice", "bob", "carol", "--out", tmp_path).returncode == 0
    assert mpc("aggregate", "keys", "alice", "--out", tmp_path / "other").returncode == 0
    (tmp_path / "other/alice.pub").rename(tmp_path / "alice.pub")
    done = mpc("aggregate", "directory", *sorted(tmp_path.glob("*.pub")), "--out", tmp_path / "d")
    assert done.returncode == 1 and "differ in capitals only" in done.stderr


def test_what_is_written_is_the_owners_alone(tmp_path: Path) -> None:
    config = deployment(tmp_path, NAMES)
    old = os.umask(0)
    try:
        with (
            Serving(config) as server,
            joined(tmp_path, NAMES, lambda name: {"vector": np.ones(5)}) as futures,
        ):
            assert futures[ME].result(120)[1].included
    finally:
        os.umask(old)
    assert server.error is None
    written = [*(tmp_path / "server-state").iterdir(), *tmp_path.glob(f"{ME}.rounds*")]
    assert {p.name for p in written} >= {
        "state.json",
        "round-000001.npy",
        "last.result",
        f"{ME}.rounds",
        f"{ME}.rounds.masked",
    }
    assert all(p.stat().st_mode & 0o777 == 0o600 for p in written), [
        (p.name, oct(p.stat().st_mode)) for p in written
    ]


def test_a_server_that_is_there_and_says_nothing_does_not_hold_a_client_for_ever(tmp_path: Path) -> None:
    """It closes every connection: the client tries for as long as its file says."""
    deployment(tmp_path, NAMES)
    own = plans.load(own_file(tmp_path, ME, timeout=1.0))
    with (
        lying(
            plans.load(tmp_path / "server.toml"),
            lambda hub, following: [following(Kind.HELLO) and hub.expel(ME, "") for _ in range(1)] and None,
        ),
        pytest.raises((PartyLost, AggregationRefused)),
        Member(own) as member,
    ):
        member.round(np.zeros(5))


@pytest.mark.parametrize("asks", [False, True])
def test_a_server_that_hangs_up_again_and_again_does_not_hold_a_client_for_ever(
    tmp_path: Path, asks: bool
) -> None:
    """Though it says welcome each time, or the same question."""
    deployment(tmp_path, NAMES)
    own, notes, over = plans.load(own_file(tmp_path, ME, timeout=1.0)), list[str](), threading.Event()

    def lie(hub: Hub, following: Next) -> None:
        play = Round(tmp_path, ME, 1)
        message = (1).to_bytes(NUMBER, "little") + play.server.request(ME)
        while not over.is_set():
            for event in hub.poll(0.05):
                if event.kind is Kind.HELLO:
                    hub.send(ME, Kind.WELCOME, b"{}")
                    if asks:
                        hub.ask(ME, None, 1 << 20, message)
                if (event.kind is Kind.ANSWER or not asks) and ME in hub.links:
                    hub._drop(hub.links[ME], "")

    with (
        lying(plans.load(tmp_path / "server.toml"), lie),
        contextlib.ExitStack() as stack,
        Member(own, notes.append) as member,
    ):
        stack.callback(over.set)
        with pytest.raises(PartyLost):
            member.round(np.zeros(5))
    assert 2 < len(notes) < 30


class Dripping:
    """A server whose connection belongs to this: what it does, again and again, once it is made."""

    def __init__(self, folder: Path, does: Callable[[Any], None]) -> None:
        self.own, self.over = plans.load(folder / "server.toml"), threading.Event()
        self.does, self.context = does, self.own.tls.server()
        self.listener = socket.create_server((self.own.plan.peer.host, self.own.plan.peer.port))

    def serve(self) -> None:
        sock, _ = self.listener.accept()
        with contextlib.suppress(OSError), self.context.wrap_socket(sock, server_side=True) as made:
            while not self.over.is_set():
                self.does(made)

    @contextlib.contextmanager
    def line(self, silence: float) -> Iterator[Line]:
        client = plans.load(self.own.state.parent / f"{ME}.toml")
        thread = threading.Thread(target=self.serve)
        thread.start()
        try:
            made = Line(client.plan.peer, client.tls, 10.0, silence, 1 << 30)
            with contextlib.closing(made):
                yield made
        finally:
            self.over.set()
            thread.join(60)
            self.listener.close()


def drip(sock: Any) -> None:
    sock.sendall(b"m")
    time.sleep(0.05)


def sip(sock: Any) -> None:
    sock.recv(16)
    time.sleep(0.05)


def pour(sock: Any) -> None:
    sock.sendall(b"mpcA\x02" + bytes(1000))


@pytest.mark.parametrize("does", [drip, sip, pour])
def test_no_wait_for_a_server_is_without_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: Callable[[Any], None]
) -> None:
    """It drips, it takes a few bytes a second, or it takes none and does not stop to talk."""
    monkeypatch.setattr(line, "SLOWEST", 1 << 24)
    deployment(tmp_path, NAMES)
    with Dripping(tmp_path, does).line(silence=0.3) as made:
        start = time.monotonic()
        with pytest.raises(PartyLost, match="says or takes nothing"):
            if does is drip:
                made.receive()
            else:
                made.send(Kind.ANSWER, bytes(1 << 24))
        assert time.monotonic() - start < 20


def test_clients_that_were_away_get_the_mean_from_a_server_that_was_started_anew(tmp_path: Path) -> None:
    """Killed right after the round is written: the client, which was told nothing, comes back and is told."""
    config = deployment(tmp_path, NAMES, rounds=2)
    program = tmp_path / "dies.py"
    program.write_text(f"""
import os, signal
from pathlib import Path
from protocols.aggregation.service import plan, server as service
service.Service._tell = lambda self, name, result: os.kill(os.getpid(), signal.SIGKILL)
with service.Service(plan.load(Path({str(config)!r}))) as made:
    list(made.rounds())
""")
    with (
        subprocess.Popen([sys.executable, program], cwd=ROOT) as dying,
        joined(tmp_path, NAMES, lambda name: {"vector": np.full(5, len(name) / 4)}) as futures,
    ):
        assert dying.wait(120) == -signal.SIGKILL
        assert json.loads((tmp_path / "server-state/state.json").read_text())["done"][0]["round"] == 1
        with Serving(config) as server:
            for future in futures.values():
                mean, facts = future.result(120)
                assert facts.number == 1 and facts.included and np.allclose(mean, 2.0, atol=8 * facts.error)
            with joined(tmp_path, NAMES, lambda name: {"vector": np.ones(5)}) as more:
                assert all(f.result(120)[1].number == 2 for f in more.values())
    assert server.error is None and len(server.outcomes) == 1


def test_the_port_is_free_again_when_a_state_is_not_this_sessions(tmp_path: Path) -> None:
    config = plans.load(deployment(tmp_path, NAMES))
    (tmp_path / "server-state").mkdir()
    (tmp_path / "server-state/state.json").write_text("{}")
    with pytest.raises(ConfigError, match="is not the state"):
        Serving(tmp_path / "server.toml")
    socket.create_server((config.plan.peer.host, config.plan.peer.port)).close()


def test_the_files_of_the_page_load(tmp_path: Path) -> None:
    """Plan and own file as docs/aggregation.md has them, without privacy and with."""
    page = (ROOT / "docs/aggregation.md").read_text()
    plan, privacy, own = re.findall(r"```toml\n(.*?)```", page, re.S)
    deployment(tmp_path, ["alice", "bob", "carol", "dave"])
    own, budget = own.split("[budget]")
    (tmp_path / "alice.toml").write_text(own)
    (tmp_path / "plan.toml").write_text(plan)
    assert plans.load(tmp_path / "alice.toml").plan.coarse_weights
    plan = "".join(line for line in plan.splitlines(keepends=True) if "weight" not in line)
    (tmp_path / "plan.toml").write_text(f"{plan}{privacy}".replace("1000000", "100"))
    (tmp_path / "alice.toml").write_text(f"{own}[budget]{budget}")
    loaded = plans.load(tmp_path / "alice.toml")
    assert loaded.plan.noise is not None and loaded.budget is not None and loaded.plan.noise.rounds == 120
