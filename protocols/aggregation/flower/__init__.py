"""Secure aggregation inside Flower: one line at the clients, one at the server.

    app = ClientApp(mods=[secure_mod])                              # nothing leaves a client but through it
    strategy.start(grid=SecureGrid(grid, "agreement.toml"), ...)    # FedAvg, …: what needs means only

A round of the strategy, training or evaluation, becomes five messages to each node.  The strategy sees one
reply: the weighted mean of the clients' arrays and metrics, with the number of clients as ``num-examples``.

    HELLO       once for each node and run: the client signs "I am node i in run r"
    ADVERTISE   the round's number, the dimension, a digest of what is to be trained on
    SHARE
    MASK        the strategy's own message goes with it; the app trains, its reply goes under the mask
    CONFIRM, UNMASK

Flower starts a process for each message, so a client lives in its context between them: 32 random bytes and
the server's messages, of which ``Client`` is made anew.  Its randomness is HKDF(those bytes, signing key):
who reads the context has half of it, who finds the signing key later has the other half; the context's half
goes with the round.  No vector is kept: after MASK none is needed.  What must not be turned back stands in a
ledger on the client's disk.

With a table ``privacy`` in the agreement, each client adds its share of the noise to its update, keeps an
account of its budget beside its ledger, and answers no round of training that the budget does not hold; nor
does the server begin one.

Without noise, a client answers a message of the strategy under a mask once in a run, and lets the same update
out once: from two sums with it and not the same others it could be told.  A strategy that asks for the same
again, after a round that was lost, has an ``attempt`` in its message, which all clients see and log.

All clients train on the same thing: the digest of the strategy's message is part of the session's name, so
those who were promised another model share no masks, and a client that is then sent another one refuses.
(With a model of its own for one client, a server learns that client's update from the sum: Pasquini et al.,
CCS 2022.)

Threat   as ``protocols/aggregation/one_server/client.py``, for a client that runs *this code*.  Flower sends
         the app itself through the server: see docs/aggregation.md for what must be switched on.  What the
         app puts into the model, metrics or its own log is the app's business.
Cost     6 messages in the first round and 5 in the others; 4 bytes for a coordinate, 8 for a metric, go up.
Source   as ``protocols/aggregation/one_server/client.py``; Flower's SecAgg+ also trains when vectors are due,
         and its mod is where ours is.
"""

from __future__ import annotations

import logging
import struct
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mpc.errors import AggregationFailed, AggregationRefused, ConfigError, EncodingError, MpcError
from mpc.prg import SEED_BYTES, Stream
from mpc.ring import NDArray
from protocols.aggregation.directory import Directory
from protocols.aggregation.messages import Phase
from protocols.aggregation.one_server import bounds
from protocols.aggregation.one_server.client import Client
from protocols.aggregation.one_server.ledger import Ledger
from protocols.aggregation.one_server.noise import Account, Noise
from protocols.aggregation.one_server.server import Server
from protocols.aggregation.one_server.terms import Terms
from protocols.aggregation.one_server.updates import Agreement, Mean
from protocols.aggregation.service.once import Once, numbers
from protocols.privacy.accounting import Budget
from protocols.privacy.mechanisms import Distributed

try:
    from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
except ImportError:
    raise ConfigError("Flower is not installed here: pip install 'mpc-engine[flower]'") from None

#: The record that carries our bytes, and the one of a client's state; the node's setting that names its file.
RECORD, SETTING = "secure-aggregation", "secure-aggregation"
WEIGHT = "num-examples"
KINDS = ("train", "evaluate")
_HELLO = 0
_ATTEMPT = "secure-aggregation-attempt"  # the record of a message that is sent again
_POLL, _BATCH = 0.5, 16  # seconds; replies that are in memory at once

log = logging.getLogger("flwr")

_NUMBER: tuple[type, ...] = (int, float)
_AGREEMENT: dict[str, tuple[type, ...]] = {
    "directory": (str,), "session": (str,), "clip": _NUMBER, "step": _NUMBER, "metrics": (dict,),
    "resolution": _NUMBER, "weight": (int,), "coarse_weights": (bool,), "dropout": _NUMBER,
    "corrupt": _NUMBER, "privacy": (dict,),
}  # fmt: skip
_PRIVACY: dict[str, tuple[type, ...]] = {
    "epsilon": _NUMBER,
    "delta": _NUMBER,
    "rounds": (int,),
    "law": (str,),
}
_NEEDED: dict[str, tuple[type, ...]] = {"agreement": (str,), "name": (str,), "key": (str,), "ledger": (str,)}
_MEMBER = {**_NEEDED, "corrupt_at_least": _NUMBER, "again": (bool,), "budget": (dict,)}
_BUDGET: dict[str, tuple[type, ...]] = {"file": (str,), "data": (str,), "epsilon": _NUMBER, "delta": _NUMBER}


# -- what is written down beforehand --------------------------------------------------------------


def read_agreement(path: str | Path) -> Agreement:
    """The agreement in a TOML file: directory (a file beside it), session, clip, metrics, and what else
    ``Agreement`` has.
    """
    path = Path(path)
    table = _checked(path, _read(path), _AGREEMENT, ("directory", "session", "clip", "metrics"))
    metrics, said = table.pop("metrics"), table.pop("privacy", None)
    for kind, names in metrics.items():
        if (
            kind not in KINDS
            or not isinstance(names, list)
            or not all(isinstance(name, str) for name in names)
        ):
            raise ConfigError(
                f"{path}: 'metrics' has a list of names for 'train' and one for 'evaluate', not {kind!r} ="
                f" {names!r}"
            )
    directory = Directory.decode(_bytes(path.parent / table.pop("directory")))
    noise = None if said is None else Noise(**_checked(path, said, _PRIVACY, ("epsilon", "delta", "rounds")))
    return Agreement(
        directory, metrics={kind: tuple(names) for kind, names in metrics.items()}, noise=noise, **table
    )


@dataclass(frozen=True)
class Member:
    """A client's own side: its agreement, name, signing key and ledger; the fraction of clients whose
    colluding with the server it wants to be safe against; a budget for all that is done with its data; and
    whether an update may go out again."""

    agreement: Agreement
    name: str
    key: Ed25519PrivateKey
    ledger: Ledger
    corrupt_at_least: float = 0.0
    budget: Account | None = None
    again: bool = False

    @classmethod
    def read(cls, path: str | Path) -> Member:
        """From a TOML file that names the agreement, the client, its key (PEM, Ed25519) and the folder of its
        ledger.
        """
        path = Path(path)
        table = _checked(path, _read(path), _MEMBER, tuple(_NEEDED))
        try:
            key = load_pem_private_key(_bytes(path.parent / table["key"]), None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(
                f"{path.parent / table['key']} is no Ed25519 private key in PEM without a password"
            )
        agreement = read_agreement(path.parent / table["agreement"])
        ledger = Ledger(path.parent / table["ledger"])
        demanded, budget = float(table.get("corrupt_at_least", 0.0)), None
        if not 0 <= demanded < 1:
            raise ConfigError(f"{path}: 'corrupt_at_least' is a fraction of the clients, from 0 to below 1")
        if "budget" in table:
            said = _checked(path, table["budget"], _BUDGET, tuple(_BUDGET))
            if agreement.noise is None:
                raise ConfigError(
                    f"{path}: 'budget' is for noisy sums, and this agreement has no [privacy]: "
                    "it shows exact ones, which no budget holds"
                )
            budget = Account(path.parent / said["file"], said["data"], said["epsilon"], said["delta"])
        return cls(agreement, table["name"], key, ledger, demanded, budget, table.get("again", False))

    @property
    def accounts(self) -> list[Account]:
        """What is spent of this client's own budget, and of the agreement's, in the folder of the ledger."""
        noise = self.agreement.noise
        if noise is None:
            return []
        path = self.ledger.folder / "budget.json"
        session = Account(path, self.agreement.session, noise.epsilon, noise.delta)
        return [session] if self.budget is None else [self.budget, session]

    @property
    def once(self) -> Once:
        return Once(self.ledger.folder / "masked")

    def __repr__(self) -> str:
        return f"<member {self.name!r}>"


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_bytes(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a TOML file: {error}") from None


def _checked(
    path: Path, table: dict[str, Any], fields: Mapping[str, tuple[type, ...]], required: Sequence[str]
) -> dict[str, Any]:
    for name, value in table.items():
        types = fields.get(name, ())
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise ConfigError(
                f"{path}: {name!r} is {value!r}, expected are {', '.join(fields)}, each of its type"
            )
    if missing := [name for name in required if name not in table]:
        raise ConfigError(f"{path}: {', '.join(missing)} must be given")
    return table


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})") from None


# -- a client -------------------------------------------------------------------------------------


def secure_mod(
    message: Message, context: Context, call_next: Callable[[Message, Context], Message]
) -> Message:
    """Flower's mod: every message is one of secure aggregation, or is refused; see the module.

    The node's setting ``secure-aggregation`` (``flower-supernode --node-config``) is the path of the client's
    file.  What goes wrong is raised; Flower tells the server the text of it, and this client is a drop-out.
    """
    path = context.node_config.get(SETTING)
    if not isinstance(path, str):
        raise ConfigError(
            "this node does not say which client it is: start it with --node-config"
            f" '{SETTING}=\"/path/to/client.toml\"'"
        )
    member = Member.read(path)
    said = message.content.pop(RECORD, None)
    kind = message.metadata.message_type
    if not isinstance(said, ConfigRecord) or kind not in KINDS:
        raise AggregationRefused(
            f"a {kind!r} message came that asks for its answer in clear; this client only answers in secure"
            " aggregation"
        )
    if said.get("phase") == _HELLO:
        signature = member.key.sign(_hello(member.agreement, context.run_id, context.node_id))
        return _reply(message, {"name": member.name, "signature": signature})
    kept = context.state.pop(RECORD, None)  # comes back only with a further answer
    task, phase, request = _Task.read(said, kind), _phase(said), said.get("message")
    if not isinstance(request, bytes):
        raise AggregationRefused("a message came without the bytes of secure aggregation")
    cost, terms = member.agreement.mechanism(task.dimension), task.terms(member.agreement, context.run_id)
    if phase is Phase.ADVERTISE:
        shares = 0 if cost is None else cost.survivors
        terms.demand(member.corrupt_at_least, shares)
        worth = bounds.in_words(terms.standing(shares=shares))
        log.info("secure aggregation: round %d among %d clients, %s", task.number, terms.clients, worth)
        if cost is not None:
            for account in member.accounts:
                account.check(cost)
    member.ledger.enter(f"{member.agreement.session}|{context.run_id}", task.number, phase)
    heard: list[bytes] = []
    if phase is Phase.ADVERTISE:
        half = Stream.fresh("flower client").bytes(SEED_BYTES)
    elif isinstance(kept, ConfigRecord) and kept["task"] == task.name:
        half, heard = cast(bytes, kept["half"]), cast(list[bytes], kept["heard"])
    else:
        raise AggregationRefused(
            "this client keeps nothing of that round: its node was started anew, or the round is another one"
        )
    if phase is Phase.MASK:
        given, update = _trained(member, task, message, context, call_next)
        masking = partial(_let_out, member, task, context.run_id, cost, update)
        answer = _answer(member, terms, half, heard, request, given, masking)
    else:
        nothing = np.zeros(terms.length, np.uint32), np.zeros(terms.side, np.uint64)
        answer = _answer(member, terms, half, heard, request, nothing)
    if phase is not Phase.UNMASK:
        context.state[RECORD] = ConfigRecord({"task": task.name, "half": half, "heard": [*heard, request]})
    return _reply(message, {"message": answer})


def _let_out(member: Member, task: _Task, run: int, cost: Distributed | None, update: NDArray) -> None:
    """The answer is about to be masked: pay for it, or write down what goes out."""
    if cost is None:
        about = f"{member.agreement.session}|{run}|{task.kind}|{task.content}".encode()
        things: dict[str, bytes | memoryview] = {"answer to one message": about}
        if task.dimension:
            things["update"] = numbers(update)
        try:
            member.once.enter(things, f"round {task.number} of run {run}", again=member.again)
        except AggregationRefused as refusal:  # that two updates are equal is not for the server to know
            log.warning("secure aggregation: %s", refusal)
            raise AggregationRefused("this client does not let that out; its own log says why") from None
        return
    # first look, then pay: one that cannot costs the other nothing
    for account in member.accounts:
        account.check(cost)
    for account in member.accounts:
        account.charge(cost)


def _answer(
    member: Member,
    terms: Terms,
    half: bytes,
    heard: Sequence[bytes],
    request: bytes,
    given: tuple[NDArray, NDArray],
    masking: Callable[[], None] = lambda: None,
) -> bytes:
    seed = HKDF(SHA256(), SEED_BYTES, salt=half, info=b"mpc/1 flower client" + terms.digest).derive(
        member.key.private_bytes_raw()
    )
    own = Stream(seed, "aggregation client")
    client = Client(terms, member.name, member.key, *given, own=own, masking=masking)
    for earlier in heard:
        client.answer(earlier)
    return client.answer(request)


def _trained(
    member: Member,
    task: _Task,
    message: Message,
    context: Context,
    call_next: Callable[[Message, Context], Message],
) -> tuple[tuple[NDArray, NDArray], NDArray]:
    """What the app answers, encoded, and its update.  Its errors stay here:
    their texts may tell of the data.
    """
    if message.content.object_id != task.content:
        raise AggregationRefused(
            "the server sends this client another model or configuration than it has promised to all"
        )
    if isinstance(again := message.content.pop(_ATTEMPT, None), ConfigRecord):
        log.warning(
            "secure aggregation: in round %d the server asks for the same again, attempt %s, because a round "
            "was lost, as it says",
            task.number,
            again.get("number"),
        )
    before = _vectors(message.content) if task.dimension else []
    if sum(x.size for x in before) != task.dimension:
        raise AggregationRefused(
            f"the model has {sum(x.size for x in before)} numbers where {task.dimension} were promised"
        )
    names = list(_arrays(message.content)) if before else []
    try:
        reply = call_next(message, context)
        if reply.has_error():
            raise EncodingError("the app answered with an error")
        metrics = _metrics(reply.content)
        update = np.zeros(0)
        if before:
            after = _vectors(reply.content)
            if list(_arrays(reply.content)) != names or [x.shape for x in after] != [x.shape for x in before]:
                raise EncodingError("the app's arrays have other names or shapes than the model's")
            update = np.concatenate(
                [np.subtract(x, y, dtype=np.float64).ravel() for x, y in zip(after, before, strict=True)]
            )
        weight = 1 if member.agreement.weight == 1 else metrics.get(WEIGHT)
        if isinstance(weight, bool) or not isinstance(weight, int):
            raise EncodingError(f"the app's metrics must have {WEIGHT!r}, a whole number")
        if before and (lost := member.agreement.lost(update)):
            log.warning("secure aggregation: this client's update does not fit what was agreed: %s", lost)
        encoded = member.agreement.encode(task.kind, update, weight, metrics, Stream.fresh("flower encoding"))
        return encoded, update
    except Exception:
        log.exception("the app's answer cannot be used")
        raise MpcError("this client cannot give an answer; its own log says why") from None


def _reply(message: Message, values: dict[str, Any]) -> Message:
    return Message(RecordDict({RECORD: ConfigRecord(values)}), reply_to=message)


# -- what both sides know -------------------------------------------------------------------------


def _hello(agreement: Agreement, run: int, node: int) -> bytes:
    """What a client signs to say which node it is."""
    return b"mpc/1 flower node" + agreement.directory.digest + struct.pack("<QQ", run, node)


@dataclass(frozen=True)
class _Task:
    """A round as the server describes it; ``content`` is Flower's digest (SHA-256, over all records) of the
    strategy's message.
    """

    kind: str
    number: int
    dimension: int
    content: str

    @classmethod
    def read(cls, said: ConfigRecord, kind: str) -> _Task:
        number, dimension, content = said.get("round"), said.get("dimension"), said.get("content")
        if not (
            isinstance(number, int)
            and isinstance(dimension, int)
            and isinstance(content, str)
            and 0 <= number < 1 << 63
            and dimension >= 0
        ):
            raise AggregationRefused("a round was described in a way that this version does not know")
        return cls(kind, number, dimension, content)

    @property
    def name(self) -> str:
        return f"{self.kind}|{self.number}|{self.dimension}|{self.content}"

    def terms(self, agreement: Agreement, run: int) -> Terms:
        return agreement.terms(self.kind, f"{run}|{self.content}", self.number, self.dimension)

    def request(self, phase: Phase, message: bytes) -> ConfigRecord:
        return ConfigRecord(
            {
                "phase": int(phase),
                "round": self.number,
                "dimension": self.dimension,
                "content": self.content,
                "message": message,
            }
        )


def _phase(said: ConfigRecord) -> Phase:
    try:
        return Phase(cast(int, said.get("phase")))
    except ValueError:
        raise AggregationRefused("a message came of a phase that this version does not know") from None


def _arrays(content: RecordDict) -> ArrayRecord:
    records = list(content.array_records.values())
    if len(records) != 1:
        raise EncodingError(f"a message has {len(records)} array records; secure aggregation works on one")
    return records[0]


def _vectors(content: RecordDict) -> list[NDArray]:
    return [array.numpy() for array in _arrays(content).values()]


def _metrics(content: RecordDict) -> dict[str, Any]:
    records = list(content.metric_records.values())
    if len(records) != 1:
        raise EncodingError(f"a reply has {len(records)} metric records; secure aggregation works on one")
    return dict(records[0])


# -- the server -----------------------------------------------------------------------------------


class SecureGrid:
    """Flower's grid with secure aggregation where a strategy sends and receives; all else is the grid's own.

    ``agreement`` is the server's own copy of what was agreed; ``patience`` is how many seconds a phase
    without training waits for those who do not answer, while training waits for the strategy's own
    ``timeout``.  Both must leave time for Flower to start a process.  A round that is lost has no replies,
    for which Flower's strategies keep the model they have.  Raises ``BudgetSpent`` before a round of training
    that the agreement's budget does not hold."""

    def __init__(self, grid: Any, agreement: Agreement | str | Path, patience: float = 60.0) -> None:
        self._grid = grid
        self._agreement = agreement if isinstance(agreement, Agreement) else read_agreement(agreement)
        self._patience = patience
        self._names: dict[int, str] = {}  # of nodes that have proved theirs
        self._number = 0
        self._asked_for = Counter[str]()  # how often, by digest
        noise = self._agreement.noise
        # of this run; clients keep theirs over all runs
        self._budget = None if noise is None else Budget(noise.epsilon, noise.delta)
        # of the last round that was not lost: who is in it, who is not and why
        self.last: Mean | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """One reply, the mean, or none if the round is lost."""
        messages = list(messages)
        if not messages:
            return []
        first = messages[0]
        content, kind = first.content, first.metadata.message_type
        digest = content.object_id
        if any(m.content.object_id != digest or m.metadata.message_type != kind for m in messages):
            raise ConfigError(
                "the strategy sends its clients different messages; in secure aggregation all must train on"
                " the same"
            )
        before = _arrays(content) if kind == "train" else ArrayRecord()
        asked_for = f"{kind}|{digest}"
        self._asked_for[asked_for] += 1
        if (attempt := self._asked_for[asked_for]) > 1 and self._agreement.noise is None:
            content = RecordDict({**content, _ATTEMPT: ConfigRecord({"number": attempt})})
            digest = content.object_id
        self._number += 1
        task = _Task(kind, self._number, sum(x.numpy().size for x in before.values()), digest)
        if (cost := self._agreement.mechanism(task.dimension)) is not None and self._budget is not None:
            self._budget.charge(cost.mechanism)
        nodes = self._meet([m.metadata.dst_node_id for m in messages], kind)
        try:
            self.last = mean = self._round(task, nodes, content, timeout)
        except (AggregationFailed, EncodingError) as error:
            log.error("secure aggregation: %s", error)
            return []
        for name, why in mean.faults.items():
            log.warning("secure aggregation: %s %s", name, why)
        log.info(
            "secure aggregation: the mean of %d of %d clients",
            len(mean.clients),
            len(self._agreement.directory),
        )
        records: dict[str, Any] = {"metrics": MetricRecord({WEIGHT: len(mean.clients), **mean.metrics})}
        if before:
            records["arrays"] = _moved(before, mean.update)
        return [Message(RecordDict(records), reply_to=first)]

    def _round(
        self, task: _Task, nodes: Mapping[str, int], content: RecordDict, timeout: float | None
    ) -> Mean:
        server = Server(task.terms(self._agreement, self._grid.run.run_id))
        names = {node: name for name, node in nodes.items()}
        while (phase := server.phase) is not None:
            more = dict(content) if phase is Phase.MASK else {}
            asked = (
                (nodes[name], RecordDict({**more, RECORD: task.request(phase, request)}))
                for name, request in server.requests()
                if name in nodes
            )
            for node, answer in self._asked(
                task.kind, asked, timeout if phase is Phase.MASK else self._patience
            ):
                text = answer.get("message")
                server.receive(names[node], text if isinstance(text, bytes) else b"")
            server.advance()
        return self._agreement.decode(task.kind, task.dimension, server.result)

    def _meet(self, nodes: Sequence[int], kind: str) -> dict[str, int]:
        """The nodes of this round by the names of their clients, who sign for them once in a run."""
        strangers = [
            (node, RecordDict({RECORD: ConfigRecord({"phase": _HELLO})}))
            for node in nodes
            if node not in self._names
        ]
        directory = self._agreement.directory
        for node, answer in self._asked(kind, strangers, self._patience):
            name, signature = answer.get("name"), answer.get("signature")
            if (
                isinstance(name, str)
                and name in directory.names
                and isinstance(signature, bytes)
                and directory.signed(
                    directory.place(name), signature, _hello(self._agreement, self._grid.run.run_id, node)
                )
            ):
                self._names[node] = name
            else:
                log.warning(
                    "secure aggregation: node %d does not prove that it is a client of the directory", node
                )
        # of a client that was started anew, the later
        return {name: node for node, name in self._names.items() if node in nodes}

    def _asked(
        self, kind: str, requests: Iterable[tuple[int, RecordDict]], limit: float | None
    ) -> Iterator[tuple[int, ConfigRecord]]:
        """Send, and give the answers as they come, until all are there or the time is over."""
        waiting: dict[str, int] = {}
        for node, content in requests:
            (sent,) = self._grid.push_messages(
                [Message(content, dst_node_id=node, message_type=kind, ttl=limit)]
            )
            if sent is not None:
                waiting[sent] = node
        end = None if limit is None else time.monotonic() + limit
        while waiting:
            due = list(waiting)
            for reply in (
                m for i in range(0, len(due), _BATCH) for m in self._grid.pull_messages(due[i : i + _BATCH])
            ):
                if (to := reply.metadata.reply_to_message_id) not in waiting:
                    continue
                node = waiting.pop(to)
                if reply.has_error():
                    log.warning("secure aggregation: node %d: %s", node, reply.error.reason)
                    continue
                record = reply.content.get(RECORD)
                yield node, record if isinstance(record, ConfigRecord) else ConfigRecord()
            if waiting and end is not None and time.monotonic() > end:
                return
            if waiting:
                time.sleep(_POLL)


def _moved(before: ArrayRecord, update: NDArray) -> ArrayRecord:
    """The arrays after an update, in their own types."""
    out, at = {}, 0
    for name, array in before.items():
        old = array.numpy()
        new = old + update[at : at + old.size].reshape(old.shape)
        out[name] = Array((np.rint(new) if old.dtype.kind in "iu" else new).astype(old.dtype))
        at += old.size
    return ArrayRecord(out)
