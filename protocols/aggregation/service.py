"""A server that runs: rounds one after the other over TLS, deadlines, and a folder from which it resumes.

    with Service(own) as service:
        for outcome in service.rounds(): ...         # one for each round that gives a mean

With privacy in the plan, a round that the budget does not hold is not begun (``BudgetSpent``), and one that comes to masking
is paid for, whatever becomes of it.

A round begins when the last one ends.  Who is connected is asked, and who connects while keys are advertised; a
phase ends when all have answered, when nobody is left who could (a broken connection has ``GRACE`` seconds to come
back), or at its deadline.  A round without a sum is tried again under the next number.

On disk    ``state.json``: session, directory, the number of the next round (written *before* the round begins, so that no
           number is used twice) and the rounds that gave a mean; ``round-N.npy``; ``budget.json``.  Nothing in them is secret.
Threat     as ``protocols/aggregation/client.py``; who a client is, its certificate says.
"""
from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time
from typing import Any

from mpc.errors import AggregationFailed, BudgetSpent, ConfigError, EncodingError
from mpc.ring import NDArray
from protocols.aggregation import messages as wire
from protocols.aggregation.channel import TAG_BYTES
from protocols.aggregation.files import replace_file, write_array
from protocols.aggregation.messages import Phase
from protocols.aggregation.net import SMALL, Event, Hub, Kind, as_json, printable
from protocols.aggregation.packing import pack, packed_bytes
from protocols.aggregation.plan import Own, Plan
from protocols.aggregation.server import Server, Sum
from protocols.aggregation.shamir import SHARE_BYTES
from protocols.aggregation.terms import Terms

GRACE = 2.0
NUMBER = 8                                          # bytes of a round's number before what is asked
Note = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Outcome:
    """A round that gave a mean: its number, the mean, whose it is, who was left out and why, and where it was written."""

    number: int
    mean: NDArray
    clients: tuple[str, ...]
    faults: dict[str, str]
    weight: int | None
    metrics: dict[str, float]
    path: Path


class Service:
    """The server of a plan.  ``note`` is told all that happens, as small dictionaries without secrets."""

    def __init__(self, own: Own, note: Note = lambda event: None) -> None:
        if own.key is not None:
            raise ConfigError(f"{own.me!r} is a client in the directory: 'serve' wants the file of the server, {own.plan.peer.name!r}")
        self.plan, self._note_to = own.plan, note
        self._hub = Hub(own.plan.peer, own.tls, own.plan.first.directory.names, most_up(own.plan.first))
        self._state = _State(own.state, own.plan)
        self._account = own.plan.account(own.state / "budget.json")
        self._last: dict[str, int] = {}             # the round that a client has begun last, as it says
        self._within: dict[str, int | None] = {}    # and the one that it is in
        self._owed: dict[str, deque[tuple[int, Phase]]] = {}
        self._left: dict[str, float] = {}
        self._result: tuple[int, frozenset[str], frozenset[str], dict[str, float], bytes] | None = None

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self._hub.close(10.0)

    def rounds(self) -> Iterator[Outcome]:
        """Run what is left of the plan's rounds.  ``AggregationFailed`` after ``attempts`` in a row without a sum,
        ``BudgetSpent`` before a round that would cost more than is left."""
        failed = 0
        self._note("listening", address=self.plan.peer.address, done=self._state.done, rounds=self.plan.rounds, **self.plan.standing)
        while self._state.done < self.plan.rounds:
            self._afford()
            number = self._state.begin()
            try:
                outcome = self._round(number)
            except AggregationFailed as error:
                failed += 1
                self._note("round failed", round=number, reason=str(error), attempts_left=self.plan.attempts - failed)
                if failed >= self.plan.attempts:
                    self._part(f"the server gives up after {failed} rounds without a sum, the last since {error}")
                    raise
                continue
            failed = 0
            yield outcome
        for name in list(self._hub.links):
            self._hub.send(name, Kind.BYE)
        self._note("done", rounds=self._state.done)

    def _afford(self) -> None:
        if self._account is None or self.plan.noise is None:
            return
        try:
            self._account.check(self.plan.noise)
        except BudgetSpent as error:
            self._note("budget spent", reason=str(error), spent=self._account.spent)
            self._part(str(error))
            raise

    def _part(self, why: str) -> None:
        for name in list(self._hub.links):
            self._hub.expel(name, why)

    # -- one round --------------------------------------------------------------------------------

    def _round(self, number: int) -> Outcome:
        began, server, silent = monotonic(), Server(self.plan.terms(number)), dict[str, str]()
        came: set[str] = set()
        self._note("round begins", round=number)
        try:
            while (phase := server.phase) is not None:
                if phase is Phase.MASK and self._account is not None and self.plan.noise is not None:
                    self._account.charge(self.plan.noise)
                self._phase(server, number, phase, silent)
                self._note("phase", round=number, phase=phase.name, missing=sorted(server.waiting) if phase > Phase.ADVERTISE else None)
                if phase is Phase.ADVERTISE:
                    came.update(set(server.terms.directory.names) - server.waiting - server.faults.keys())
                    self._require(came)
                server.advance()
            total = server.result
            faults = {**total.faults, **silent}
            mean, metrics, weight = self._mean(number, total)
        except AggregationFailed as error:
            for name in came:
                self._hub.send(name, Kind.FAILED, number.to_bytes(NUMBER, "little"), str(error).encode()[:SMALL - NUMBER])
            raise
        facts = {"weight": weight, "metrics": metrics, "error": self.plan.error(len(total.clients), weight), "spent": None if self._account is None else self._account.spent}
        path = self._state.finish(number, mean, {"clients": list(total.clients), "faults": faults, **facts})
        self._result = number, frozenset(total.clients), frozenset(came), metrics, bytes(pack(total.vector, self.plan.first.bits).data)
        for name in came:
            self._tell(name)
        self._note("round ends", round=number, clients=list(total.clients), left_out=faults, **facts, file=str(path), seconds=round(monotonic() - began, 3))
        return Outcome(number, mean, total.clients, faults, weight, metrics, path)

    def _require(self, came: set[str]) -> None:
        clients, least = self.plan.first.clients, self.plan.first.least
        if len(came) < least:
            raise AggregationFailed(f"{len(came)} of {clients} clients came with a vector within {self.plan.deadlines[Phase.ADVERTISE]:g} s, "
                                    f"and {least} must be in the sum", clients - len(came))

    def _mean(self, number: int, total: Sum) -> tuple[NDArray, dict[str, float], int | None]:
        try:
            return self.plan.decode(number, total.vector, total.side, len(total.clients))
        except EncodingError as error:
            raise AggregationFailed(f"the sum makes no sense: {error}", 0) from None

    def _phase(self, server: Server, number: int, phase: Phase, silent: dict[str, str]) -> None:
        until = monotonic() + self.plan.deadlines[phase]
        for name, message in server.requests():
            if name in self._hub.links and self._may(name, number, phase):
                self._ask(name, number, phase, message)
        while (left := until - monotonic()) > 0:
            waiting = server.waiting
            if not waiting - silent.keys() or (phase is Phase.ADVERTISE and self.plan.first.clients - len(waiting) >= self.plan.enough):
                return
            if phase is not Phase.ADVERTISE:
                now = monotonic()
                if all(n in silent or (n not in self._hub.links and now - self._left.get(n, 0.0) > GRACE) for n in waiting):
                    return
            for event in self._hub.poll(min(left, 0.5)):
                self._take(server, number, phase, event, silent)

    def _may(self, name: str, number: int, phase: Phase) -> bool:
        """A client that is new takes rounds it has not begun; one in the midst of a round goes on with that."""
        if phase is Phase.ADVERTISE:
            return self._last.get(name, -1) < number
        return self._within.get(name) == number

    def _ask(self, name: str, number: int, phase: Phase, message: bytes) -> None:
        self._owed.setdefault(name, deque()).append((number, phase))
        self._hub.send(name, Kind.ASK, number.to_bytes(NUMBER, "little") + message)

    def _take(self, server: Server, number: int, phase: Phase, event: Event, silent: dict[str, str]) -> None:
        name = event.name
        if event.kind is None:
            if name in self._owed:
                self._left[name] = monotonic()
            self._note("left" if name in self._owed else "refused", who=name, reason=printable(event.body))
        elif event.kind is Kind.HELLO:
            self._greet(server, number, phase, name, event)
        elif event.kind in (Kind.ANSWER, Kind.REFUSED) and self._owed.get(name):
            due = self._owed[name].popleft()
            if due != (number, phase) or name not in server.waiting:
                self._note("late", who=name, round=due[0], phase=due[1].name)
            elif event.kind is Kind.REFUSED:
                silent[name] = f"does not go on: {printable(event.body)}"
                self._note("refusal", who=name, reason=printable(event.body))
            else:
                if phase is Phase.ADVERTISE:
                    self._last[name] = self._within[name] = number
                silent.pop(name, None)
                server.receive(name, event.body)    # type: ignore[arg-type]
                if name in server.faults:
                    self._note("fault", who=name, reason=server.faults[name])
                self._note("answer", who=name, phase=phase.name, missing=len(server.waiting), of=self.plan.first.clients)
        else:
            self._note("fault", who=name, reason="it sent what nobody had asked for")
            self._hub.expel(name, "an answer came when nothing had been asked")

    def _greet(self, server: Server, number: int, phase: Phase, name: str, event: Event) -> None:
        hello = as_json(event.body)
        last, within = hello.get("last"), hello.get("within")
        self._owed[name] = deque()
        self._last[name] = last if isinstance(last, int) else -1
        self._within[name] = within if isinstance(within, int) else None
        self._note("joined", who=name)
        self._hub.send(name, Kind.WELCOME, json.dumps({"round": number}).encode())
        if within is not None and within != number:
            if self._result is not None and self._result[0] == within:
                self._tell(name)
            else:
                self._hub.send(name, Kind.FAILED, int(self._within[name] or 0).to_bytes(NUMBER, "little"), b"that round was over when this client came back")
        if name in server.waiting and (self._may(name, number, phase) or within == number):
            message = next((m for n, m in server.requests() if n == name), None)
            if message is not None:
                self._ask(name, number, phase, message)

    def _tell(self, name: str) -> None:
        assert self._result is not None
        number, clients, _, metrics, body = self._result
        head = json.dumps({"count": len(clients), "included": name in clients, "metrics": metrics}).encode()
        self._within[name] = None
        self._hub.send(name, Kind.RESULT, number.to_bytes(NUMBER, "little"), len(head).to_bytes(4, "little"), head, body)

    def _note(self, event: str, **fields: Any) -> None:
        self._note_to({"time": round(time(), 3), "event": event, **{k: v for k, v in fields.items() if v is not None}})


def most_up(terms: Terms) -> int:
    """The longest answer of a client."""
    k = terms.degree
    vector = 8 * terms.side + packed_bytes(terms.length, terms.bits) + TAG_BYTES * k
    return max(SMALL, wire.HEADER.size + -(-k // 8) + max(vector, 32 + wire.SEALED_BYTES * k, SHARE_BYTES * k))


def most_down(terms: Terms) -> int:
    """The longest thing a server says."""
    k = terms.degree
    items = wire.HEADER.size + -(-k // 8) + -(-terms.clients // 8) + max(wire.ADVERT_BYTES, wire.SEALED_BYTES) * k
    return max(SMALL, NUMBER + items, SMALL + packed_bytes(terms.length, terms.bits))


class _State:
    """What the server must know after a restart."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._folder, self._path = folder, folder / "state.json"
        own = {"session": plan.session, "directory": plan.first.directory.digest.hex()}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._data: dict[str, Any] = json.loads(self._path.read_text()) if self._path.exists() else {**own, "next": 1, "done": []}
            other = next((key for key in own if self._data[key] != own[key]), None)
            if not isinstance(self._data["next"], int) or not isinstance(self._data["done"], list):
                raise ValueError
        except OSError as error:
            raise ConfigError(f"the state in {folder} cannot be read or written ({error.strerror})") from None
        except (ValueError, KeyError, TypeError):
            raise ConfigError(f"{self._path} is not the state of a server: restore it, or begin a new session in another folder") from None
        if other is not None:
            raise ConfigError(f"{self._path} is of another {other}: give this session another folder as 'state'")

    @property
    def done(self) -> int:
        return len(self._data["done"])

    def begin(self) -> int:
        number: int = self._data["next"]
        self._data["next"] = number + 1
        self._write()
        return number

    def finish(self, number: int, mean: NDArray, facts: dict[str, Any]) -> Path:
        path = self._folder / f"round-{number:06}.npy"
        write_array(path, mean)
        self._data["done"].append({"round": number, "file": path.name, **facts})
        self._write()
        return path

    def _write(self) -> None:
        replace_file(self._path, json.dumps(self._data, indent=1).encode())
