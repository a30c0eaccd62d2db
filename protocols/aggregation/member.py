"""A client that runs: one process and one connection over all rounds.

    with mpc.aggregation_client("alice.toml") as client:
        mean = client.round(vector, weight=120)

A client takes each round's number once, and writes it down before it says anything: its file must never go back
(``protocols/aggregation/client.py`` says why).  A connection that breaks is made anew and the round goes on; until the
vector is masked, a round that fails is followed by the next one.  After that it is not: a server that could
say "failed" and ask again, for the same vector among other clients, would learn differences.

With privacy in the plan, the client adds its share of the noise, and keeps its own account of what is spent beside
its record: it takes no round that its budget does not hold.
"""
from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType, TracebackType

import numpy as np
import numpy.typing as npt

from mpc.errors import (
    AggregationFailed,
    AggregationRefused,
    BudgetSpent,
    ConfigError,
    EncodingError,
    PartyLost,
    WireError,
)
from mpc.ring import NDArray
from protocols.aggregation import plan as plans
from protocols.aggregation.client import Client
from protocols.aggregation.files import locked, replace_file
from protocols.aggregation.messages import Phase
from protocols.aggregation.net import SMALL, Kind, Line, as_json, printable
from protocols.aggregation.packing import packed_bytes, unpack
from protocols.aggregation.service import NUMBER, most_down

_PHASE_AT = 4                                       # of a message's header


@dataclass(frozen=True, slots=True)
class Facts:
    """Of the last round: its number, how many clients' vectors are in the mean, whether this client's is, and the metrics' means."""

    number: int
    count: int
    included: bool
    metrics: Mapping[str, float]


class Member:
    """``round(vector, weight)`` gives the mean; ``last`` the facts about it."""

    def __init__(self, own: plans.Own, note: Callable[[str], None] = lambda text: None) -> None:
        if own.key is None:
            raise ConfigError(f"{own.me!r} is the server of this plan: a client's file has its own name as 'me'")
        self._own, self._note = own, note
        self.last: Facts | None = None
        self._number: int | None = None             # of the round we are in
        self._client: Client | None = None
        self._masked = False
        self._said: tuple[bytes, bytes] | None = None
        self._begun = self._read()
        self._account = own.plan.account(own.state.with_name(own.state.name + ".budget"))
        self._line: Line | None = self._connect()

    def __enter__(self) -> Member:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def round(self, vector: npt.ArrayLike, weight: int = 1, metrics: Mapping[str, float] = MappingProxyType({})) -> NDArray:
        """Take part in the next round.

        vector   real, shape (dimension,) of the plan
        weight   a whole number from 1 to the plan's ``weight``
        metrics  a number for each of the plan's ``metrics``
        returns  the (weighted) mean of all clients whose vectors came in time, float64 of shape (dimension,)

        Raises ``BudgetSpent`` if the plan's budget holds no further round, ``EncodingError`` for a vector, weight or
        metrics that do not fit the plan, ``AggregationFailed`` if the round
        gives no sum after this vector has been masked, ``AggregationRefused`` if the server does not keep to the
        protocol or has another plan, ``PartyLost`` if it is gone or has done all its rounds.
        """
        self._leave()
        if self._account is not None and self._own.plan.noise is not None:
            self._account.check(self._own.plan.noise)
        while True:
            if self._line is None:
                self._line = self._connect()
            try:
                kind, body = self._line.receive()
                mean = self._hear(kind, body, partial(self._own.plan.encode, vector=vector, weight=weight, metrics=metrics))
            except PartyLost as error:
                if error.who == "all done":
                    raise
                self._note(f"{error}: connecting again")
                self.close()
            else:
                if mean is not None:
                    return mean

    # -- what the server says ---------------------------------------------------------------------

    def _hear(self, kind: Kind, body: bytearray, encode: Callable[[int], tuple[NDArray, list[int]]]) -> NDArray | None:
        assert self._line is not None
        if kind is Kind.WELCOME:
            return None
        if kind is Kind.ERROR:
            self.close()
            raise AggregationRefused(f"the server has turned this client away: {printable(body)}")
        if kind is Kind.BYE:
            raise PartyLost("the server has done all its rounds", "all done")
        number, body = int.from_bytes(body[:NUMBER], "little"), body[NUMBER:]
        if kind is Kind.ASK:
            self._asked(number, bytes(body), encode)
        elif kind is Kind.RESULT and number == self._number:
            return self._result(number, body)
        elif kind is Kind.FAILED and number == self._number:
            masked = self._masked
            self._leave()
            if masked:
                raise AggregationFailed(f"round {number} gave no sum, as the server says: {printable(body)}", 0)
            self._note(f"round {number} gave no sum ({printable(body)}): waiting for the next")
        return None

    def _asked(self, number: int, message: bytes, encode: Callable[[int], tuple[NDArray, list[int]]]) -> None:
        assert self._line is not None
        if self._said is not None and message == self._said[0]:         # after a connection broke
            self._line.send(Kind.ANSWER, self._said[1])
            return
        first = len(message) > _PHASE_AT and message[_PHASE_AT] == Phase.ADVERTISE
        try:
            if number != self._number:
                if self._masked:
                    self._leave()
                    raise AggregationFailed(f"the server went on to round {number} without a result for this client", 0)
                if number >> 63:
                    raise AggregationRefused("the server asks for a round whose number is none")
                if not first or number <= self._begun:
                    raise AggregationRefused(f"the server asks for round {number}, and this client has begun round {self._begun} already; each is taken once")
                self._leave()
                words, side = encode(number)
                self._record(number)
                assert self._own.key is not None
                self._client = Client(self._own.plan.terms(number), self._own.me, self._own.key, words, side)
                self._number = number
            assert self._client is not None
            self._pay(message)
            answer = self._client.answer(message)
        except (AggregationRefused, AggregationFailed, EncodingError, BudgetSpent) as error:
            words_ = str(error) if isinstance(error, AggregationRefused) else "it has no vector for this round"
            self._line.send(Kind.REFUSED, words_.encode()[:SMALL])
            self._leave()
            raise
        self._masked |= message[_PHASE_AT] >= Phase.MASK
        self._said = message, answer
        self._line.send(Kind.ANSWER, answer)

    def _pay(self, message: bytes) -> None:
        """For the round, before the vector is masked."""
        if self._account is not None and self._own.plan.noise is not None and not self._masked and message[_PHASE_AT] == Phase.MASK:
            self._account.charge(self._own.plan.noise)

    def _result(self, number: int, body: bytearray) -> NDArray:
        terms = self._own.plan.terms(number)
        cut = 4 + int.from_bytes(body[:4], "little")
        facts, packed = as_json(body[4:cut]), memoryview(body)[cut:]
        count, metrics, names = facts.get("count"), facts.get("metrics"), self._own.plan.metrics.names
        if len(packed) != packed_bytes(terms.length, terms.bits) or type(count) is not int or count < terms.least \
                or not isinstance(metrics, dict) or tuple(metrics) != names or not all(isinstance(x, float) for x in metrics.values()):
            raise WireError("the server's result has not the form, the metrics, or the number of clients, that the plan says")
        mean = self._own.plan.rotated(number).decode(unpack(np.frombuffer(packed, np.uint32), terms.length, terms.bits), count)
        self.last = Facts(number, count, bool(facts.get("included")), metrics)
        self._leave()
        return mean

    def _leave(self) -> None:
        self._number, self._client, self._said, self._masked = None, None, None, False

    # -- connection and record --------------------------------------------------------------------

    def _connect(self) -> Line:
        own = self._own
        line = Line(own.plan.peer, own.tls, own.timeout, own.plan.silence, most_down(own.plan.first))
        line.send(Kind.HELLO, json.dumps({"me": own.me, "last": self._begun, "within": self._number}).encode())
        return line

    def _read(self) -> int:
        """The last round begun in this session."""
        path, session = self._own.state, self._own.plan.session
        try:
            rounds = json.loads(path.read_text()) if path.exists() else {}
            number = rounds.get(session, 0)
            if type(number) is not int:
                raise ValueError
        except (OSError, ValueError, AttributeError):
            raise ConfigError(f"{path} is not the record of the rounds this client has taken: restore it, or begin a new session") from None
        return number

    def _record(self, number: int) -> None:
        path, session = self._own.state, self._own.plan.session
        with locked(path):
            if self._read() >= number:
                raise AggregationRefused(f"another process of this client has taken round {number}: run one at a time")
            rounds = json.loads(path.read_text()) if path.exists() else {}
            replace_file(path, json.dumps({**rounds, session: number}).encode())
        self._begun = number


def aggregation_client(config: str | Path) -> Member:
    """Connect to the server of secure aggregation that a client's configuration file names."""
    return Member(plans.load(Path(config)))
