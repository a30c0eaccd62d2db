"""Secure aggregation inside Flower: its messages, contexts and strategies in this process, then its processes
for real.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import importlib.util
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

os.environ.update(FLWR_TELEMETRY_ENABLED="0", FLWR_DISABLE_UPDATE_CHECK="1")
if importlib.util.find_spec("flwr") is None:
    pytest.skip("Flower is not installed: pip install -e '.[flower]'", allow_module_level=True)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of Flower's dependencies among themselves
    for name in ("flwr.clientapp", "flwr.serverapp.strategy"):
        importlib.import_module(name)

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAdam, FedAvg
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.task_identity import TaskIdentity

from mpc.errors import AggregationRefused, BudgetSpent, ConfigError, MpcError
from protocols.aggregation import flower
from protocols.aggregation.flower import RECORD, SecureGrid, read_agreement, secure_mod
from protocols.aggregation.messages import Phase
from protocols.aggregation.one_server.noise import Noise

APP = Path(__file__).parents[1] / "examples" / "flower_app"
RUN = 77


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


enrol = load(APP / "enrol.py").enrol


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TaskIdentity, "_run_id", RUN)
    monkeypatch.setattr(TaskIdentity, "_node_id", 1)
    monkeypatch.setattr(TaskIdentity, "_task_id", 1)
    monkeypatch.setattr(flower, "_POLL", 0.01)


def update(node: int, model: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name: (
            (
                x * 0.5
                + np.float32(0.01) * node
                + np.arange(x.size, dtype=np.float32).reshape(x.shape) / 1000
            ).astype(x.dtype)
        )
        for name, x in model.items()
    }


def app(mods: list) -> ClientApp:
    out = ClientApp(mods=mods)

    @out.train()
    def train(message: Message, context: Context) -> Message:
        model = {name: array.numpy() for name, array in message.content["arrays"].items()}
        after = update(context.node_id, model)
        return Message(
            RecordDict(
                {
                    "arrays": ArrayRecord({name: Array(x) for name, x in after.items()}),
                    "metrics": MetricRecord(
                        {"num-examples": 10 * context.node_id, "loss": 1.0 / context.node_id}
                    ),
                }
            ),
            reply_to=message,
        )

    @out.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return Message(
            RecordDict(
                {
                    "metrics": MetricRecord(
                        {"num-examples": context.node_id, "loss": 2.0, "accuracy": 0.1 * context.node_id}
                    )
                }
            ),
            reply_to=message,
        )

    @out.query()
    def query(message: Message, context: Context) -> Message:
        return Message(message.content, reply_to=message)

    return out


class Loopback:
    """Flower's grid and all its nodes, 100, 101, ... in one; ``bend`` plays the server and the network."""

    def __init__(
        self,
        folder: Path,
        clients: int,
        mods: list,
        bend: Callable[[int, Message], Message | None] = lambda node, message: message,
    ) -> None:
        self.run, self.bend, self.app = SimpleNamespace(run_id=RUN), bend, app(mods)
        self.contexts = {
            100 + i: Context(
                RUN, 100 + i, {"secure-aggregation": str(folder / f"client-{i}.toml")}, RecordDict(), {}
            )
            for i in range(clients)
        }
        self.replies: dict[str, Message] = {}
        self.errors: dict[int, BaseException] = {}
        self.sent = 0

    def get_node_ids(self) -> Iterable[int]:
        return list(self.contexts)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        out = []
        for message in messages:
            self.sent += 1
            message.metadata.__dict__["_message_id"] = f"m{self.sent}"
            out.append(f"m{self.sent}")
            node = message.metadata.dst_node_id
            if (bent := self.bend(node, message)) is None:
                continue
            try:
                reply = self.ask(node, bent)
            except Exception as error:
                self.errors[node] = error
                reply = Message(Error(code=0, reason=str(error)), reply_to=message)
            reply.metadata.__dict__["_src_node_id"] = node
            self.replies[f"m{self.sent}"] = reply if reply.has_error() else self.wire(reply)
        return out

    def ask(self, node: int, message: Message) -> Message:
        fresh = Message(wired(message.content), dst_node_id=node, message_type=message.metadata.message_type)
        fresh.metadata.__dict__["_message_id"] = message.metadata.message_id
        return self.app(fresh, self.contexts[node])

    @staticmethod
    def wire(reply: Message) -> Message:
        reply.content = wired(reply.content)
        return reply

    def pull_messages(self, ids: Iterable[str]) -> list[Message]:
        return [self.replies.pop(i) for i in ids if i in self.replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        return self.pull_messages(self.push_messages(messages))


def wired(content: RecordDict) -> RecordDict:
    """What the other side makes of the bytes."""
    parts = {name: part.deflate() for name, part in get_all_nested_objects(content).items()}
    return inflate_object_from_contents(content.object_id, parts)


def phase_of(message: Message) -> int:
    return message.content[RECORD]["phase"] if RECORD in message.content else -1


MODEL = {
    "a": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
    "b": np.zeros(5),
    "steps": np.array([4, 5]),
}


def model() -> ArrayRecord:
    return ArrayRecord({name: Array(x) for name, x in MODEL.items() if name != "steps"})


def setting(tmp_path: Path, clients: int = 5, **bend: Any) -> tuple[Loopback, SecureGrid]:
    enrol(tmp_path, clients, 0.2 if clients == 5 else 0.0)
    agreement = tmp_path / "agreement.toml"
    agreement.write_text(
        agreement.read_text().replace("clip = 20.0", "clip = 20.0\nstep = 1e-7\nresolution = 1e-9")
    )
    inner = Loopback(tmp_path, clients, [secure_mod], **bend)
    return inner, SecureGrid(inner, tmp_path / "agreement.toml", patience=0.2)


def start(strategy: Any, grid: Any, rounds: int = 2) -> Any:
    return strategy.start(grid=grid, initial_arrays=model(), num_rounds=rounds, timeout=0.2)


@pytest.mark.parametrize("strategy", [FedAvg, FedAdam])
def test_secure_is_plain(tmp_path: Path, strategy: Any) -> None:
    inner, grid = setting(tmp_path)
    secure, plain = start(strategy(), grid), start(strategy(), Loopback(tmp_path, 5, []))
    assert not inner.errors and grid.last is not None and len(grid.last.clients) == 5
    for name, array in plain.arrays.items():
        assert secure.arrays[name].numpy().dtype == array.numpy().dtype
        np.testing.assert_allclose(
            secure.arrays[name].numpy(), array.numpy(), atol=1e-4 if strategy is FedAdam else 1e-6
        )
    for number in (1, 2):
        assert secure.train_metrics_clientapp[number]["loss"] == pytest.approx(
            plain.train_metrics_clientapp[number]["loss"], abs=1e-6
        )
        theirs = plain.evaluate_metrics_clientapp[number]
        assert dict(secure.evaluate_metrics_clientapp[number]) == pytest.approx(
            dict(theirs), abs=1e-6
        ) and set(theirs) == {"loss", "accuracy"}
    assert inner.sent == 5 + 4 * 5 * 5  # HELLO once; two rounds of training and two of evaluation


def test_whole_numbers_stay_whole(tmp_path: Path) -> None:
    inner, grid = setting(tmp_path)
    arrays = ArrayRecord({"steps": Array(np.array([4, 30])), "x": Array(np.zeros(2, np.float32))})
    out = FedAvg(fraction_evaluate=0.0).start(grid=grid, initial_arrays=arrays, num_rounds=1, timeout=0.2)
    nodes = np.arange(100, 105)
    mean = sum(n * update(n, {"s": np.array([4, 30])})["s"] for n in nodes) / nodes.sum()
    assert not inner.errors and out.arrays["steps"].numpy().tolist() == np.rint(mean).tolist()


@pytest.mark.parametrize("phase", [0, *Phase])
def test_a_client_may_be_lost_at_any_time(tmp_path: Path, phase: int) -> None:
    _, grid = setting(
        tmp_path, bend=lambda node, message: None if node == 102 and phase_of(message) >= phase else message
    )
    result = start(FedAvg(fraction_evaluate=0.0), grid, 1)
    there = [n for n in range(100, 105) if n != 102 or phase > Phase.MASK]
    mean = sum(n * update(n, {"a": MODEL["a"]})["a"] for n in there) / sum(there)
    np.testing.assert_allclose(result.arrays["a"].numpy(), mean, atol=1e-6)
    assert grid.last is not None and grid.last.clients == tuple(f"client-{n - 100}" for n in there)
    assert grid.last.faults == {"client-2": f"did not answer in the phase {Phase(max(phase, 1)).name}"}


def test_noise_and_a_budget_that_outlives_the_server(tmp_path: Path) -> None:
    """A table in the agreement: clients add noise, two rounds are paid for, the third is begun neither by
    this server nor by the next one's clients.
    """
    inner, _ = setting(tmp_path)
    agreement = tmp_path / "agreement.toml"
    grid = noisy(tmp_path, inner)
    out = start(FedAvg(fraction_evaluate=0.5), grid, 2)
    codec = grid._agreement.mechanism(17)
    assert not inner.errors and codec is not None and codec.survivors == 3
    x = np.concatenate([array.numpy().ravel() for array in out.arrays.values()])
    start_at = np.concatenate([MODEL["a"].ravel(), MODEL["b"]])
    plain = [start_at]
    for _ in range(2):
        updates = [
            np.concatenate(
                [
                    y.ravel()
                    for y in update(n, {"a": plain[-1][:12].reshape(3, 4), "b": plain[-1][12:]}).values()
                ]
            )
            - plain[-1]
            for n in range(100, 105)
        ]
        plain.append(plain[-1] + np.mean([u / max(1, np.linalg.norm(u)) for u in updates], axis=0))
    off = np.abs(x - plain[-1])
    assert 0.1 * codec.error(5) < off.mean() < 3 * codec.error(5)
    sent = inner.sent
    with pytest.raises(BudgetSpent):
        start(FedAvg(fraction_evaluate=0.0), grid, 1)
    assert inner.sent == sent
    again = SecureGrid(inner, agreement, patience=0.2)
    start(FedAvg(fraction_evaluate=0.0), again, 1)
    assert (
        again.last is None
        and len(inner.errors) == 5
        and all(isinstance(e, BudgetSpent) for e in inner.errors.values())
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("epsilon = 20.0", "", "must be given"),
        ("rounds = 2", "rounds = true", "'rounds'"),
        ('["loss"]', '["loss"]', "shown without it"),
    ],
)
def test_agreements_with_noise_that_cannot_be(tmp_path: Path, old: str, new: str, words: str) -> None:
    agreement = _enrolled(tmp_path) / "agreement.toml"
    text = (
        agreement.read_text().replace("weight = 1500", "")
        + "[privacy]\nepsilon = 20.0\ndelta = 1e-3\nrounds = 2\n"
    )
    agreement.write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=words):
        read_agreement(agreement)


def test_a_lost_round_keeps_the_model(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, grid = setting(
        tmp_path,
        bend=lambda node, message: None if node < 102 and phase_of(message) >= Phase.MASK else message,
    )
    with log_of_flower(caplog):
        result = start(FedAvg(fraction_evaluate=0.0), grid, 1)
    assert not result.arrays and grid.last is None
    assert "2 of 5 clients are missing" in caplog.text


@pytest.mark.parametrize("kind", ["train", "evaluate", "query"])
def test_nothing_is_answered_in_clear(tmp_path: Path, kind: str) -> None:
    inner, _ = setting(tmp_path)
    with pytest.raises(AggregationRefused, match="in clear"):
        inner.ask(100, Message(RecordDict({"arrays": model()}), dst_node_id=100, message_type=kind))
    said = RecordDict({RECORD: ConfigRecord({"phase": 0})})
    if kind == "query":
        with pytest.raises(AggregationRefused, match="in clear"):
            inner.ask(100, Message(said, dst_node_id=100, message_type=kind))


def test_another_model_for_one_client_is_refused(tmp_path: Path) -> None:
    """Against a server that learns one update by giving that client a model of its own."""

    def bend(node: int, message: Message) -> Message:
        if node == 101 and phase_of(message) == Phase.MASK:
            other = ArrayRecord(
                {name: Array(array.numpy() + 1) for name, array in message.content["arrays"].items()}
            )
            return Message(
                RecordDict({**message.content, "arrays": other}), dst_node_id=node, message_type="train"
            )
        return message

    inner, grid = setting(tmp_path, bend=bend)
    start(FedAvg(fraction_evaluate=0.0), grid, 1)
    assert list(inner.errors) == [101] and "another model" in str(inner.errors[101])
    assert grid.last is not None and "client-1" not in grid.last.clients


def test_the_digest_is_of_what_arrived() -> None:
    """Flower fetches parts by their digests and does not check them; the digest that clients compare is made
    anew.
    """
    promised = RecordDict({"arrays": model()})
    parts = {name: part.deflate() for name, part in get_all_nested_objects(promised).items()}
    for name, part in parts.items():
        if part.startswith(b"ArrayChunk"):
            parts[name] = part[:-1] + bytes([part[-1] ^ 1])
            break
    else:
        pytest.fail("an array has no chunks any more")
    assert (
        inflate_object_from_contents(promised.object_id, parts).object_id
        != promised.object_id
        == wired(promised).object_id
    )


def test_promising_another_model_to_one_client_isolates_it(tmp_path: Path) -> None:
    def bend(node: int, message: Message) -> Message:
        if node == 101 and phase_of(message) > 0:
            said = ConfigRecord({**message.content[RECORD], "content": "other"})
            return Message(
                RecordDict({**message.content, RECORD: said}), dst_node_id=node, message_type="train"
            )
        return message

    inner, grid = setting(tmp_path, bend=bend)
    start(FedAvg(fraction_evaluate=0.0), grid, 1)
    assert (
        "differ in session" in str(inner.errors[101])
        and grid.last is not None
        and len(grid.last.clients) == 4
    )


def test_a_strategy_must_send_all_the_same(tmp_path: Path) -> None:
    inner, grid = setting(tmp_path)
    messages = [
        Message(
            RecordDict({"arrays": model(), "config": ConfigRecord({"rate": node / 100})}),
            dst_node_id=node,
            message_type="train",
        )
        for node in inner.contexts
    ]
    with pytest.raises(ConfigError, match="train on the same"):
        grid.send_and_receive(messages)


@pytest.mark.parametrize("phase", [*Phase])
def test_a_context_turned_back_answers_nothing_twice(tmp_path: Path, phase: Phase) -> None:
    """And would, were it not for the ledger: the second half shows that the attack is one."""
    seen: list[tuple[RecordDict, Message]] = []

    def bend(node: int, message: Message) -> Message:
        if node == 103 and phase_of(message) == phase:
            seen.append((copy.deepcopy(inner.contexts[103].state), message))
        return message

    inner, grid = setting(tmp_path, bend=bend)
    start(FedAvg(fraction_evaluate=0.0), grid, 1)
    ((state, message),) = seen
    inner.contexts[103].state = copy.deepcopy(state)
    with pytest.raises(AggregationRefused, match="not the next thing"):
        inner.ask(103, message)
    (book,) = (tmp_path / "client-3.ledger").glob("*.rounds")
    (tmp_path / "client-3.ledger/masked").unlink(missing_ok=True)
    book.write_bytes(book.read_bytes()[: 16 * (phase - 1)])
    inner.contexts[103].state = copy.deepcopy(state)
    assert inner.ask(103, message).content[RECORD]["message"]


@contextlib.contextmanager
def log_of_flower(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    logging.getLogger("flwr").addHandler(caplog.handler)
    try:
        yield
    finally:
        logging.getLogger("flwr").removeHandler(caplog.handler)


def logged(caplog: pytest.LogCaptureFixture, words: str) -> int:
    return len({id(record) for record in caplog.records if words in record.getMessage()})


def sent(
    grid: SecureGrid,
    inner: Loopback,
    config: dict[str, Any] | None = None,
    kind: str = "train",
    arrays: ArrayRecord | None = None,
) -> list[Message]:
    """The same to all nodes, as a strategy sends it."""
    content = {"arrays": arrays or model(), "config": ConfigRecord(config or {})}
    return list(
        grid.send_and_receive(
            [Message(RecordDict(content), dst_node_id=node, message_type=kind) for node in inner.contexts],
            timeout=0.2,
        )
    )


def test_the_same_twice_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A lying server sends the same message again under the next number and drops one node the second time:
    the difference of the sums would be its update.  It does not get a second sum; nor with another
    configuration, if training does not depend on that."""
    lost: list[int] = []
    inner, grid = setting(
        tmp_path,
        bend=lambda node, message: None if node in lost and phase_of(message) >= Phase.MASK else message,
    )
    assert sent(grid, inner) and not inner.errors
    lost.append(102)
    for config, why in (({}, "this very answer to one message"), ({"server-round": 2}, "this very update")):
        grid._asked_for.clear()  # as one that lies would
        inner.errors.clear()
        caplog.clear()
        with log_of_flower(caplog):
            assert not sent(grid, inner, config)
        assert (
            set(inner.errors) == {100, 101, 103, 104}
            and logged(caplog, f"{why} has gone out masked, in round 1") == 4
        )
        assert all("does not let that out" in str(e) and "very" not in str(e) for e in inner.errors.values())
    lost.clear()
    inner.errors.clear()
    other = ArrayRecord({name: Array(array.numpy() + 1) for name, array in model().items()})
    # another model is another update
    assert sent(grid, inner, arrays=other) and not inner.errors
    # metrics have no digest of their own
    assert sent(grid, inner, kind="evaluate") and sent(grid, inner, {"server-round": 2}, "evaluate")


def test_a_further_attempt_is_seen_by_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After a round that was lost: training that draws anew may answer, and every client logs that it was
    asked again.
    """
    lost = [100, 101]
    inner, grid = setting(
        tmp_path,
        bend=lambda node, message: None if node in lost and phase_of(message) >= Phase.MASK else message,
    )
    rng, seen = np.random.default_rng(1), []

    @secret_app(inner)
    def train(message: Message, context: Context) -> Message:
        seen.append(set(message.content))
        arrays = ArrayRecord(
            {
                name: Array(array.numpy() + rng.normal(size=array.numpy().shape).astype(array.numpy().dtype))
                for name, array in message.content["arrays"].items()
            }
        )
        return Message(
            RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 3, "loss": 1.0})}),
            reply_to=message,
        )

    assert not sent(grid, inner)
    lost.clear()
    with log_of_flower(caplog):
        assert sent(grid, inner) and not inner.errors
    assert logged(caplog, "the server asks for the same again, attempt 2") == 5
    # the app sees nothing of it
    assert all(names == {"arrays", "config"} for names in seen)


def test_again_is_a_clients_own_word(tmp_path: Path) -> None:
    inner, grid = setting(tmp_path)
    for i in range(5):
        with (tmp_path / f"client-{i}.toml").open("a") as file:
            file.write("again = true\n")
    assert sent(grid, inner) and sent(grid, inner, {"server-round": 2}) and not inner.errors


def test_rubbish_in_place_of_a_round_pays_for_nothing(tmp_path: Path) -> None:
    """Bytes that are no message of this round, in the phase in which vectors are due: trained is for nothing,
    and nothing is charged.
    """

    def bend(node: int, message: Message) -> Message:
        if phase_of(message) == Phase.MASK:
            said = ConfigRecord(
                {**message.content[RECORD], "message": message.content[RECORD]["message"][:60]}
            )
            return Message(
                RecordDict({**message.content, RECORD: said}), dst_node_id=node, message_type="train"
            )
        return message

    inner, _ = setting(tmp_path, bend=bend)
    grid = noisy(tmp_path, inner)
    assert not sent(grid, inner) and len(inner.errors) == 5
    assert all(flower.Member.read(tmp_path / f"client-{i}.toml").accounts[0].spent == 0.0 for i in range(5))


def noisy(folder: Path, inner: Loopback) -> SecureGrid:
    """The agreement with noise, for two rounds."""
    agreement = folder / "agreement.toml"
    text = (
        agreement.read_text()
        .replace("weight = 1500", "")
        .replace("clip = 20.0\nstep = 1e-7", "clip = 1.0")
        .replace('["loss"]', "[]")
        .replace('["loss", "accuracy"]', "[]")
    )
    agreement.write_text(text + "[privacy]\nepsilon = 20.0\ndelta = 1e-3\nrounds = 2\n")
    return SecureGrid(inner, agreement, patience=0.2)


def test_a_client_s_own_limits(tmp_path: Path) -> None:
    """A budget for its data that an earlier session has spent, and a fraction of colluding clients that the
    agreement is not safe against.
    """
    inner, _ = setting(tmp_path)
    own = tmp_path / "client-0.toml"
    plain = own.read_text()
    own.write_text(f'{plain}[budget]\nfile = "cohort"\ndata = "cohort"\nepsilon = 21.0\ndelta = 1e-3\n')
    with pytest.raises(ConfigError, match="no budget holds"):
        flower.Member.read(own)
    grid = noisy(tmp_path, inner)
    member, codec = flower.Member.read(own), grid._agreement.mechanism(17)
    assert member.budget is not None and codec is not None and len(member.accounts) == 2
    assert (
        sent(grid, inner)
        and not inner.errors
        and member.budget.spent == pytest.approx(codec.cost(1)) == member.accounts[1].spent
    )
    member.budget.charge(codec)  # another session
    assert (
        sent(grid, inner, {"server-round": 2})
        and list(inner.errors) == [100]
        and isinstance(inner.errors[100], BudgetSpent)
    )
    inner.errors.clear()
    own.write_text(f"{plain}corrupt_at_least = 0.6\n")
    again = SecureGrid(inner, tmp_path / "agreement.toml", patience=0.2)
    sent(again, inner, {"server-round": 3})
    assert "wants to be safe if 3 of 5 clients collude" in str(inner.errors[100])
    for wrong in ("corrupt_at_least = 1.0", "corrupt_at_least = true", "again = 1", "[budget]\ndata = 3"):
        own.write_text(f"{plain}{wrong}\n")
        with pytest.raises(ConfigError):
            flower.Member.read(own)


def test_an_update_that_is_shortened_is_told_to_its_owner_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inner, _ = setting(tmp_path)
    norms = [
        np.linalg.norm(
            np.concatenate(
                [
                    (y - x).ravel()
                    for x, y in zip(
                        (MODEL["a"], MODEL["b"]),
                        update(n, {"a": MODEL["a"], "b": MODEL["b"]}).values(),
                        strict=True,
                    )
                ]
            )
        )
        for n in inner.contexts
    ]
    agreement = tmp_path / "agreement.toml"
    agreement.write_text(
        agreement.read_text().replace("clip = 20.0", f"clip = {float(np.median(norms)) + 1e-6}")
    )
    grid = SecureGrid(inner, agreement, patience=0.2)
    with log_of_flower(caplog):
        (reply,) = sent(grid, inner)
    assert logged(caplog, "does not fit what was agreed: it was shortened from a norm of") == 2
    assert (
        "shortened" not in str(dict(reply.content["metrics"]))
        and reply.content["metrics"]["num-examples"] == 5
    )


def test_what_a_context_keeps(tmp_path: Path) -> None:
    """Half of the randomness and what the server said; after the round nothing."""
    kept: dict[int, dict] = {}
    halves = set()

    def bend(node: int, message: Message) -> Message:
        if RECORD in inner.contexts[node].state:
            halves.add(inner.contexts[node].state[RECORD]["half"])
            if node == 103:
                kept[phase_of(message)] = dict(inner.contexts[103].state[RECORD])
        return message

    inner, grid = setting(tmp_path, bend=bend)
    start(FedAvg(fraction_evaluate=0.0), grid, 2)
    assert set(kept) == {2, 3, 4, 5} and all(
        RECORD not in context.state for context in inner.contexts.values()
    )
    assert len(halves) == 2 * 5  # one for each client and round
    for phase, record in kept.items():
        assert (
            set(record) == {"task", "half", "heard"}
            and len(record["half"]) == 32
            and len(record["heard"]) == phase - 1
        )


def test_the_context_alone_does_not_give_the_keys(tmp_path: Path) -> None:
    """The same context with another signing key has other randomness."""
    member = flower.Member.read(_enrolled(tmp_path) / "client-0.toml")
    other = flower.Member.read(tmp_path / "client-1.toml")
    terms = member.agreement.terms("train", "x", 1, 3)
    from protocols.aggregation.one_server.server import Server

    request = dict(Server(terms).requests())
    zeros = np.zeros(terms.length, np.uint32), np.zeros(terms.side, np.uint64)
    keys = {
        who.name: [
            flower._answer(who, terms, half, [], request[who.name], zeros)[48:112]
            for half in (bytes(32), bytes(32), bytes([1]) * 32)
        ]
        for who in (member, other)
    }
    assert keys["client-0"][0] == keys["client-0"][1] != keys["client-0"][2]
    assert not set(keys["client-0"]) & set(keys["client-1"])


def _enrolled(tmp_path: Path) -> Path:
    enrol(tmp_path, 5, 0.2)
    return tmp_path


def test_a_node_must_prove_its_name(tmp_path: Path) -> None:
    """A node that repeats another's proof, and one whose key is not the directory's, are strangers."""
    inner, grid = setting(tmp_path)
    proof = inner.ask(
        100, Message(RecordDict({RECORD: ConfigRecord({"phase": 0})}), dst_node_id=100, message_type="train")
    )
    honest = inner.app

    def thief(message: Message, context: Context) -> Message:
        if context.node_id == 101 and phase_of(message) == 0:
            return Message(copy.deepcopy(proof.content), reply_to=message)
        reply = honest(message, context)
        if context.node_id == 102 and phase_of(message) == -1 and "name" in reply.content[RECORD]:
            reply.content[RECORD]["name"] = "client-3"
        return reply

    inner.app = thief  # type: ignore[assignment]
    messages = [
        Message(RecordDict({"arrays": model()}), dst_node_id=node, message_type="train")
        for node in inner.contexts
    ]
    assert not grid.send_and_receive(messages, timeout=0.2)  # 3 of 5 are too few
    assert grid._names == {100: "client-0", 103: "client-3", 104: "client-4"}


def test_a_node_that_starts_anew_takes_its_name_along(tmp_path: Path) -> None:
    inner, grid = setting(tmp_path)
    start(FedAvg(fraction_evaluate=0.0), grid, 1)
    inner.contexts[110] = Context(RUN, 110, dict(inner.contexts[103].node_config), RecordDict(), {})
    silent, inner.bend = 103, lambda node, message: None if node == silent else message
    start(FedAvg(fraction_evaluate=0.0), grid, 1)
    assert grid.last is not None and len(grid.last.clients) == 5 and not grid.last.faults


def test_the_app_s_errors_stay_at_home(tmp_path: Path) -> None:
    inner, _ = setting(tmp_path)

    @secret_app(inner)
    def train(message: Message, context: Context) -> Message:
        raise ValueError("patient 4711 has a negative age")

    grid = SecureGrid(inner, tmp_path / "agreement.toml", patience=0.1)
    start(FedAvg(fraction_evaluate=0.0), grid, 1)
    assert set(inner.errors) == set(range(100, 105))
    assert all(
        isinstance(e, MpcError) and "4711" not in str(e) and e.__suppress_context__
        for e in inner.errors.values()
    )


def secret_app(inner: Loopback) -> Any:
    inner.app = ClientApp(mods=[secure_mod])
    return inner.app.train()


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"num-examples": 0, "loss": 1.0},
        {"num-examples": 1501, "loss": 1.0},
        {"num-examples": 3},
        {"num-examples": 2.5, "loss": 1.0},
    ],
)
def test_replies_that_cannot_be_summed(tmp_path: Path, metrics: dict) -> None:
    inner, grid = setting(tmp_path)

    @secret_app(inner)
    def train(message: Message, context: Context) -> Message:
        return Message(
            RecordDict({"arrays": message.content["arrays"], "metrics": MetricRecord(metrics)}),
            reply_to=message,
        )

    start(FedAvg(fraction_evaluate=0.0), grid, 1)
    assert len(inner.errors) == 5 and all("its own log says why" in str(e) for e in inner.errors.values())


def test_files_that_are_wrong(tmp_path: Path) -> None:
    folder = _enrolled(tmp_path)
    good = (folder / "agreement.toml").read_text()
    for text, what in (
        (good.replace("clip", "clop"), "'clop'"),
        (good.replace("20.0", '"20"'), "'clip'"),
        ("session = 1", "'session'"),
        ("][", "no.* a TOML file|not a TOML file"),
        (good.replace("clip = 20.0", ""), "clip must be given"),
        (good.replace("evaluate =", "query ="), "'query'"),
    ):
        (folder / "agreement.toml").write_text(text)
        with pytest.raises(ConfigError, match=what):
            read_agreement(folder / "agreement.toml")
    (folder / "agreement.toml").write_text(good)
    (folder / "client-0.key").write_text("no key")
    with pytest.raises(ConfigError, match="no Ed25519 private key"):
        flower.Member.read(folder / "client-0.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        flower.Member.read(folder / "client-9.toml")
    inner = Loopback(folder, 5, [secure_mod])
    inner.contexts[100].node_config = {}
    with pytest.raises(ConfigError, match="--node-config"):
        inner.ask(100, Message(RecordDict(), dst_node_id=100, message_type="train"))


def test_the_page_is_true(tmp_path: Path) -> None:
    """The files in docs/flower.md are read; its two lines are the example's."""
    page = (APP.parents[1] / "docs" / "flower.md").read_text()
    agreement, privacy, client = re.findall(r"```toml\n(.*?)```", page, re.S)
    plain = "".join(line for line in agreement.splitlines(keepends=True) if not line.startswith("weight"))
    (_enrolled(tmp_path) / "agreement.toml").write_text(re.sub(r"\[\"[^\]]*\]", "[]", plain) + privacy)
    assert read_agreement(tmp_path / "agreement.toml").noise == Noise(8.0, 1e-5, 50)
    (tmp_path / "agreement.toml").write_text(agreement)
    (tmp_path / "client.toml").write_text(client)
    member = flower.Member.read(tmp_path / "client.toml")
    assert (
        member.name == "client-0"
        and member.agreement.weight == 1500
        and member.agreement.metrics["evaluate"] == ("loss", "accuracy")
    )
    (lines,) = re.findall(r"```text\n(.*?)```", page, re.S)
    apps = "".join((APP / "digits" / f"{side}_app.py").read_text() for side in ("client", "server"))
    for line in filter(None, lines.splitlines()):
        assert re.sub(r', "/.*', "", line).removeprefix("strategy.start(") in apps


@pytest.mark.parametrize("drop", [0.0, 0.1])
def test_flower_s_own_is_measured(drop: float) -> None:
    """The round that is timed is a real one: its mean is right to Flower's own precision."""
    from protocols.bench.aggregation import Case
    from protocols.bench.aggregation import flower as beside

    line = beside(Case(10, 100, (8, 5), drop))
    assert line is not None and line["flower"]["dropped"] == round(10 * drop)
    assert (
        line["flower"]["error"] < 1e-4
        and line["flower"]["client_seconds"] > 0
        and line["flower"]["server_seconds"] > 0
    )
    assert beside(Case(10, 100)) is None


def test_the_door_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flwr.app", None)
    with pytest.raises(ConfigError, match="pip install"):
        load(Path(flower.__file__))


# -- for real -------------------------------------------------------------------------------------


class Processes:
    """Flower's programs on this machine, each in a group of its own that ends with the test."""

    def __init__(self, home: Path) -> None:
        self.home, self.bin = home, Path(sys.executable).parent
        self.started: list[subprocess.Popen] = []
        self.environment = {
            **os.environ,
            "FLWR_HOME": str(home),
            "PYTHONPATH": str(APP.parents[1]),
            "PATH": f"{self.bin}:{os.environ['PATH']}",
        }

    def start(self, log: str, *command: str) -> subprocess.Popen:
        with (self.home / log).open("w") as file:
            process = subprocess.Popen(
                [str(self.bin / command[0]), *command[1:]],
                stdout=file,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.started):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


@pytest.mark.timeout(400)
def test_the_example_with_flower_s_own_processes(tmp_path: Path) -> None:
    """SuperLink, three SuperNodes and ``flwr run``: the model is the one of plain FedAvg."""
    clients, (link, *nodes) = 3, free_ports(4)
    enrol(tmp_path, clients)
    (tmp_path / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{link}"\ninsecure = true\n'
    )
    with Processes(tmp_path) as run:
        run.start(
            "link.log",
            "flower-superlink",
            "--insecure",
            "--disable-runtime-dependency-installation",
            "--port",
            str(link),
        )
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", link), 1):
                break
            time.sleep(0.2)
        for i, port in enumerate(nodes):
            run.start(
                f"node{i}.log",
                "flower-supernode",
                "--insecure",
                "--superlink",
                f"127.0.0.1:{link}",
                "--port",
                str(port),
                "--node-config",
                f'secure-aggregation="{tmp_path}/client-{i}.toml" part={i} parts={clients}',
            )
        config = (
            f'agreement="{tmp_path}/agreement.toml" model="{tmp_path}/model.npz" rounds=1 clients={clients}'
            " patience=120.0"
        )
        assert (
            run.start("run.log", "flwr", "run", str(APP), "--stream", "-c", config).wait(timeout=350) == 0
        ), (tmp_path / "run.log").read_text()
    said = (tmp_path / "run.log").read_text()
    assert "secure aggregation: the mean of 3 of 3 clients" in said, said
    task = load(APP / "digits" / "task.py")
    trained = [
        (len(labels), task.train(task.start(), images, labels))
        for images, labels in (task.part(i, clients) for i in range(clients))
    ]
    total = sum(n for n, _ in trained)
    with np.load(tmp_path / "model.npz") as model:
        for name in ("weights", "bias"):
            plain = sum(n * m[name].astype(np.float64) for n, (m, _) in trained) / total
            # rounded at random, in steps of 8e-4
            np.testing.assert_allclose(model[name], plain, atol=5e-3)
        accuracy = task.loss(model, *task.data()[1])[1]
    assert accuracy > 0.8 and f"'test-accuracy': {accuracy}" in said
    loss = re.search(r"Aggregated MetricRecord: \{'loss': ([\d.]+)\}", said)
    assert loss and float(loss[1]) == pytest.approx(
        sum(n * before for n, (_, before) in trained) / total, abs=5e-3
    )
