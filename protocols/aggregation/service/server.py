"""A server that runs: rounds one after the other over TLS, deadlines, and a folder from which it resumes.

    with Service(own) as service:
        for outcome in service.rounds(): ...         # one for each round that gives a mean

With privacy in the plan, a round that the budget does not hold is not begun (``BudgetSpent``), and one that
comes to masking is paid for, whatever becomes of it.

A round begins when the last one ends.  Who is connected is asked, and who connects while keys are advertised;
a phase ends when all have answered, when nobody is left who could (a broken connection has ``GRACE`` seconds
to come back), or at its deadline.  A round without a sum is tried again under the next number.

On disk    ``state.json``: session, directory, the number of the next round (written *before* the round
           begins, so that no number is used twice) and the rounds that gave a mean; ``round-N.npy``;
           ``last.result``, which clients that were away when a round ended get when they come back, from a
           server that was started anew, too; ``budget.json``.  Nothing in them is secret beyond the means.
           Room for what a round writes is taken before it begins, and a disk that fails all the same costs
           the server its copy: the clients are given the mean.
Threat     as ``protocols/aggregation/one_server/client.py``; who a client is, its certificate says.  What a
           client or a stranger sends, whatever it is, costs that one its connection (``hub``), and a few
           lines of the log (``sparing``).  A client can spoil the sum with a vector of its choice.  One whose
           masks cannot be opened, so that there is no sum, sits out the next round, then two, then four.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time
from typing import Any

from mpc.errors import AggregationFailed, BudgetSpent, ConfigError, EncodingError, MpcError, WireError
from mpc.ring import NDArray
from protocols.aggregation import messages as wire
from protocols.aggregation.channel import TAG_BYTES
from protocols.aggregation.files import replace_file, room, write_array
from protocols.aggregation.messages import Phase
from protocols.aggregation.one_server.server import Server, Sum
from protocols.aggregation.one_server.terms import Terms
from protocols.aggregation.packing import pack, packed_bytes
from protocols.aggregation.service.frames import NUMBER, SMALL, Kind, as_json, printable, round_number
from protocols.aggregation.service.hub import Event, Hub, unforeseen
from protocols.aggregation.service.plan import Own, Plan
from protocols.aggregation.service.sparing import Note, Sparing
from protocols.aggregation.shamir import SHARE_BYTES

GRACE = 2.0
OUT = 64  # rounds that a client sits out at the most
_REASON = 300  # letters of what others say that go into a log


@dataclass(frozen=True)
class Outcome:
    """A round that gave a mean: its number, the mean, the standard deviation of a coordinate, at most, that
    rounding and noise cause, whose it is, who was left out and why, the metrics' means, and where it was
    written."""

    number: int
    mean: NDArray
    error: float
    clients: tuple[str, ...]
    faults: dict[str, str]
    metrics: dict[str, float]
    path: Path


class Service:
    """The server of a plan.  ``note`` is told all that happens, as small dictionaries without secrets."""

    def __init__(self, own: Own, note: Note = lambda event: None) -> None:
        if own.key is not None:
            raise ConfigError(
                f"{own.me!r} is a client in the directory: 'serve' wants the file of the server,"
                f" {own.plan.peer.name!r}"
            )
        self.plan = own.plan
        self._notes = Sparing(lambda event: note({"time": round(time(), 3), **event}))
        self._state = _State(own.state, own.plan)
        self._account = own.plan.account(own.state / "budget.json")
        self._last: dict[str, int] = {}  # the round that a client has begun last, as it says
        self._within: dict[str, int | None] = {}  # and the one that it is in
        self._left: dict[str, float] = {}
        # until which round a client sits out; for how many the next time
        self._out: dict[str, tuple[int, int]] = {}
        unsent = 2 * most_down(own.plan.first) + (1 << 16)
        self._hub = Hub(own.plan.peer, own.tls, own.plan.first.directory.names, unsent)

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self._hub.close(10.0)
        self._notes.close()

    def rounds(self) -> Iterator[Outcome]:
        """Run what is left of the plan's rounds.  ``AggregationFailed`` after ``attempts`` in a row without a
        sum, ``BudgetSpent`` before a round that would cost more than is left, ``ConfigError`` where the disk
        takes no more; clients are told before."""
        try:
            yield from self._rounds()
        except MpcError as error:
            for name in list(self._hub.links):  # after what else it is to be told
                self._hub.send(name, Kind.ERROR, f"the server ends: {error}".encode()[:SMALL])
            raise

    def _rounds(self) -> Iterator[Outcome]:
        failed = 0
        self._note(
            "listening",
            address=self.plan.peer.address,
            done=self._state.done,
            rounds=self.plan.rounds,
            **self.plan.standing,
        )
        while self._state.done < self.plan.rounds:
            self._afford()
            try:
                outcome = self._round()
            except AggregationFailed as error:
                failed += 1
                left = self.plan.attempts - failed
                self._note("round failed", round=self._state.number, reason=str(error), attempts_left=left)
                if failed >= self.plan.attempts:
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
            raise

    # -- one round --------------------------------------------------------------------------------

    def _round(self) -> Outcome:
        with self._state.begin(self.plan) as number:
            began, came, silent = monotonic(), set[str](), dict[str, str]()
            self._note("round begins", round=number)
            try:
                total = self._summed(number, came, silent)
                mean, metrics, error = self._mean(number, total)
            except AggregationFailed as failure:
                for name in came:
                    self._hub.send(name, Kind.FAILED, _told(number), str(failure).encode()[: SMALL - NUMBER])
                raise
        faults = {**total.faults, **silent}
        spent = None if self._account is None else self._account.spent
        facts = {"clients": list(total.clients), "metrics": metrics, "error": error, "spent": spent}
        result = _Result(number, total.clients, metrics, bytes(pack(total.vector, self.plan.first.bits).data))
        try:
            path = self._state.finish(result, mean, {**facts, "faults": faults})
        # if the disk fails, too: they will not give these vectors again
        finally:
            for name in came:
                self._tell(name, result)
        seconds = round(monotonic() - began, 3)
        self._note("round ends", round=number, left_out=faults, **facts, file=str(path), seconds=seconds)
        return Outcome(number, mean, error, total.clients, faults, metrics, path)

    def _summed(self, number: int, came: set[str], silent: dict[str, str]) -> Sum:
        server = Server(self.plan.terms(number))
        silent.update({name: self._sits_out(name) for name in self._out if number <= self._out[name][0]})
        while (phase := server.phase) is not None:
            if phase is Phase.MASK and self._account is not None and self.plan.noise is not None:
                self._account.charge(self.plan.noise)
            self._phase(server, number, phase, silent)
            missing = sorted(server.waiting) if phase > Phase.ADVERTISE else None
            self._note("phase", round=number, phase=phase.name, missing=missing)
            if phase is Phase.ADVERTISE:
                came.update(set(server.terms.directory.names) - server.waiting - server.faults.keys())
                self._require(came)
            try:
                server.advance()
            finally:
                # one round, the next time two, then four: nobody spoils them all
                for name in server.spoilt:
                    rounds = self._out.get(name, (0, 1))[1]
                    self._out[name] = number + rounds, min(2 * rounds, OUT)
        return server.result

    def _sits_out(self, name: str) -> str:
        return f"sits out up to round {self._out[name][0]}: its masks could not be opened in one before"

    def _require(self, came: set[str]) -> None:
        clients, least = self.plan.first.clients, self.plan.first.least
        if len(came) < least:
            raise AggregationFailed(
                f"{len(came)} of {clients} clients came with a vector within"
                f" {self.plan.deadlines[Phase.ADVERTISE]:g} s, and {least} must be in the sum",
                clients - len(came),
            )

    def _mean(self, number: int, total: Sum) -> tuple[NDArray, dict[str, float], float]:
        try:
            return self.plan.decode(number, total.vector, total.side, len(total.clients))
        except EncodingError as error:
            raise AggregationFailed(f"the sum makes no sense: {error}", 0) from None

    def _phase(self, server: Server, number: int, phase: Phase, silent: dict[str, str]) -> None:
        until = monotonic() + self.plan.deadlines[phase]
        for name, message in server.requests():
            if name in self._hub.links and self._may(name, number, phase):
                self._ask(name, number, phase, message)
        while (left := until - monotonic()) > 0 and not self._over(server, phase, silent):
            for event in self._hub.poll(min(left, 0.5)):
                self._take(server, number, phase, event, silent)
            self._notes.turn()

    def _over(self, server: Server, phase: Phase, silent: Mapping[str, str]) -> bool:
        """Whether there is nobody to wait for."""
        clients, refused = self.plan.first.clients, sum(map(server.awaits, silent))
        enough = phase is Phase.ADVERTISE and clients - server.missing >= self.plan.enough
        if enough or server.missing == refused:
            return True
        if phase is Phase.ADVERTISE or server.missing - refused > clients - len(self._hub.links):
            return False
        since, here = monotonic() - GRACE, self._hub.links
        return all(n in silent or (n not in here and self._left.get(n, 0.0) < since) for n in server.waiting)

    def _may(self, name: str, number: int, phase: Phase) -> bool:
        """A client that need not sit out and is new takes rounds it has not begun; one in the midst of a
        round goes on with that."""
        if number <= self._out.get(name, (0, 1))[0]:
            return False
        return self._within.get(name) == number or (
            phase is Phase.ADVERTISE and self._last.get(name, -1) < number
        )

    def _ask(self, name: str, number: int, phase: Phase, message: bytes) -> None:
        self._hub.ask(name, (number, phase), most_up(self.plan.first, phase), _told(number) + message)

    def _take(self, server: Server, number: int, phase: Phase, event: Event, silent: dict[str, str]) -> None:
        name = event.name
        try:
            if event.kind is None:
                if name:
                    self._left[name] = monotonic()
                self._hear("left" if name else "refused", event, event.body)
            elif event.kind is Kind.HELLO:
                self._greet(server, number, phase, event, silent)
            else:
                self._answered(server, number, phase, event, silent)
        except WireError as error:
            self._hub.expel(name, str(error))
        except Exception as error:  # of one client's making, and its own affair
            self._hub.expel(name, unforeseen(error))

    def _answered(
        self, server: Server, number: int, phase: Phase, event: Event, silent: dict[str, str]
    ) -> None:
        name = event.name
        if event.about != (number, phase) or not server.awaits(name):
            self._hear("late", event, f"round {event.about[0]}, {event.about[1].name}".encode())
        elif event.kind is Kind.REFUSED:
            silent[name] = f"does not go on: {printable(event.body)[:_REASON]}"
            self._hear("refusal", event, event.body)
        else:
            if phase is Phase.ADVERTISE:
                self._last[name] = self._within[name] = number
            silent.pop(name, None)
            server.receive(name, event.body)  # type: ignore[arg-type]
            if name in server.faults:
                self._hear("fault", event, server.faults[name].encode())
            clients = self.plan.first.clients
            self._note("answer", who=name, phase=phase.name, missing=server.missing, of=clients)

    def _greet(self, server: Server, number: int, phase: Phase, event: Event, silent: dict[str, str]) -> None:
        name, hello = event.name, as_json(event.body)
        last, within = round_number(hello.get("last")), round_number(hello.get("within"))
        self._last[name], self._within[name] = -1 if last is None else last, within
        self._hear("joined", event)
        self._hub.send(name, Kind.WELCOME, json.dumps({"round": number}).encode())
        if within is not None and within != number:
            if (result := self._state.last) is not None and result.number == within:
                self._tell(name, result)
            else:
                words = b"that round was over when this client came back"
                self._hub.send(name, Kind.FAILED, _told(within), words)
        if not server.awaits(name):
            return
        if self._may(name, number, phase):
            silent.pop(name, None)  # it may have changed its mind
            self._ask(name, number, phase, server.request(name))
        elif name not in silent:  # another process of it had begun this round
            silent[name] = "was started anew in the midst of the round"

    def _tell(self, name: str, result: _Result) -> None:
        facts = {"count": len(result.clients), "included": name in result.clients, "metrics": result.metrics}
        said = json.dumps(facts).encode()
        size = len(said).to_bytes(4, "little")
        self._within[name] = None
        self._hub.send(name, Kind.RESULT, _told(result.number), size, said, result.body)

    def _note(self, event: str, **fields: Any) -> None:
        self._notes.tell({"event": event, **{k: v for k, v in fields.items() if v is not None}})

    def _hear(self, kind: str, event: Event, reason: bytes | bytearray = b"") -> None:
        said = {"who": event.name or event.address, "reason": printable(reason)[:_REASON]}
        self._notes.outside({"event": kind, **{k: v for k, v in said.items() if v}}, known=bool(event.name))


def most_up(terms: Terms, phase: Phase) -> int:
    """The longest answer of a client."""
    k = terms.degree
    items = {Phase.SHARE: wire.SEALED_BYTES, Phase.UNMASK: SHARE_BYTES}.get(phase, TAG_BYTES) * k + -(-k // 8)
    vector = 8 * terms.side + packed_bytes(terms.length, terms.bits)
    before = {Phase.SHARE: 32, Phase.MASK: vector}.get(phase, 0)
    return wire.HEADER.size + (wire.ADVERT_BYTES if phase is Phase.ADVERTISE else before + items)


def most_down(terms: Terms) -> int:
    """The longest thing a server says."""
    k = terms.degree
    items = (
        wire.HEADER.size + -(-k // 8) + -(-terms.clients // 8) + max(wire.ADVERT_BYTES, wire.SEALED_BYTES) * k
    )
    return max(SMALL, NUMBER + items, SMALL + packed_bytes(terms.length, terms.bits))


def _told(number: int) -> bytes:
    return number.to_bytes(NUMBER, "little")


@dataclass(frozen=True, slots=True)
class _Result:
    """What clients are told of a round; ``body`` is the sum, packed."""

    number: int
    clients: tuple[str, ...]
    metrics: dict[str, float]
    body: bytes

    _LENGTH = struct.Struct("<I")

    def encode(self) -> bytes:
        head = json.dumps({"round": self.number, "clients": self.clients, "metrics": self.metrics}).encode()
        return b"".join([self._LENGTH.pack(len(head)), head, self.body])

    @classmethod
    def decode(cls, data: bytes) -> _Result:
        cut = cls._LENGTH.size + cls._LENGTH.unpack_from(data)[0]
        head = as_json(data[cls._LENGTH.size : cut])
        return cls(head["round"], tuple(head["clients"]), head["metrics"], data[cut:])


class _State:
    """What the server must know after a restart."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._folder, self._path = folder, folder / "state.json"
        self.last: _Result | None = None
        own = {"session": plan.session, "directory": plan.first.directory.digest.hex()}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._data: dict[str, Any] = (
                json.loads(self._path.read_text()) if self._path.exists() else {**own, "next": 1, "done": []}
            )
            other = next((key for key in own if self._data[key] != own[key]), None)
            if not isinstance(self._data["next"], int) or not isinstance(self._data["done"], list):
                raise ValueError
        except OSError as error:
            raise ConfigError(f"the state in {folder} cannot be read or written ({error.strerror})") from None
        except (ValueError, KeyError, TypeError):
            raise ConfigError(
                f"{self._path} is not the state of a server: restore it, or begin a new session in another"
                " folder"
            ) from None
        if other is not None:
            raise ConfigError(
                f"{self._path} is of another {other}: give this session another folder as 'state'"
            )
        # or who was away asks in vain
        with suppress(OSError, ValueError, KeyError, struct.error, WireError):
            last = _Result.decode((folder / "last.result").read_bytes())
            if self._data["done"] and self._data["done"][-1]["round"] == last.number:
                self.last = last

    @property
    def done(self) -> int:
        return len(self._data["done"])

    @property
    def number(self) -> int:
        """Of the last round that was begun."""
        return int(self._data["next"]) - 1

    @contextmanager
    def begin(self, plan: Plan) -> Iterator[int]:
        """Begin a round: its number, and, until the block is left, room on the disk for what ``finish``
        writes.
        """
        vectors = 8 * plan.dimension + packed_bytes(plan.first.length, plan.first.bits)
        needs = vectors + 2 * len(self._text()) + 512 * plan.first.clients + (1 << 16)
        with room(self._folder / "room", needs):
            number = int(self._data["next"])
            self._data["next"] = number + 1
            replace_file(self._path, self._text())
            yield number

    def finish(self, result: _Result, mean: NDArray, facts: dict[str, Any]) -> Path:
        self.last, path = result, self._folder / f"round-{result.number:06}.npy"
        write_array(path, mean)
        replace_file(self._folder / "last.result", result.encode())
        self._data["done"].append({"round": result.number, "file": path.name, **facts})
        replace_file(self._path, self._text())
        return path

    def _text(self) -> bytes:
        return json.dumps(self._data, indent=1).encode()
