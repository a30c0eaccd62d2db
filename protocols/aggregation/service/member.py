"""A client that runs: one process and one connection over all rounds.

    with mpc.aggregation_client("alice.toml") as client:
        mean = client.round(vector, weight=120)

A client takes each round's number once, and writes it down before it says anything: its file must never go
back (``protocols/aggregation/one_server/client.py`` says why).  A connection that breaks is made anew and the
round goes on; until the vector is masked, a round that fails is followed by the next one.  After that it is
not, and whatever becomes of the round, what is raised is ``AggregationFailed``: the server may have its sum,
and one that could say "failed" and ask again, for the same vector among other clients, would learn
differences.  The vector's digest is on disk by then (``once``).

With privacy in the plan, the client adds its share of the noise, and keeps its own account of what is spent
beside its record, and another one for its data if its file says so: it takes no round that its budgets do not
hold."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from types import MappingProxyType, TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from mpc.encoding import numeric
from mpc.errors import (
    AggregationFailed,
    AggregationRefused,
    BudgetSpent,
    ConfigError,
    EncodingError,
    PartyLost,
    TransportError,
    WireError,
)
from mpc.ring import NDArray
from protocols.aggregation.files import locked, replace_file
from protocols.aggregation.one_server.client import Client
from protocols.aggregation.packing import packed_bytes, unpack
from protocols.aggregation.service import plan as plans
from protocols.aggregation.service.frames import NUMBER, SMALL, Kind, as_json, printable
from protocols.aggregation.service.line import Line
from protocols.aggregation.service.once import Once, numbers
from protocols.aggregation.service.server import most_down

_FAR = 1 << 32  # rounds that a session can be ahead of this client

Encode = Callable[[int], tuple[NDArray, list[int]]]


@dataclass(frozen=True, slots=True)
class Facts:
    """Of the last round: its number, how many clients' vectors are in the mean, whether this client's is, the
    metrics' means, the standard deviation of a coordinate of the mean, at most, that rounding and noise
    cause, and what the plan's bounds took off this client's vector, in words (nobody else knows)."""

    number: int
    count: int
    included: bool
    metrics: Mapping[str, float]
    error: float
    lost: str


class Member:
    """``round(vector, weight)`` gives the mean; ``last`` the facts about it."""

    def __init__(self, own: plans.Own, note: Callable[[str], None] = lambda text: None) -> None:
        if own.key is None:
            raise ConfigError(
                f"{own.me!r} is the server of this plan: a client's file has its own name as 'me'"
            )
        self._own, self._note = own, note
        self.last: Facts | None = None
        self._number: int | None = None  # of the round we are in
        self._client: Client | None = None
        self._masked = False
        self._said: tuple[bytes, bytes] | None = None
        self._begun = self._read()
        self._once = Once(own.state.with_name(own.state.name + ".masked"))
        session = own.plan.account(own.state.with_name(own.state.name + ".budget"))
        self._accounts = [account for account in (own.budget, session) if account is not None]
        self._line: Line | None = self._connect()

    def __enter__(self) -> Member:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    @property
    def standing(self) -> Mapping[str, Any]:
        """What the plan's degree and threshold are worth, and what they assume: ``Plan.standing``."""
        return self._own.plan.standing

    def round(
        self,
        vector: npt.ArrayLike,
        weight: int = 1,
        metrics: Mapping[str, float] = MappingProxyType({}),
        *,
        again: bool = False,
    ) -> NDArray:
        """Take part in the next round.

        vector   real, shape (dimension,) of the plan
        weight   a whole number from 1 to the plan's ``weight``
        metrics  a number for each of the plan's ``metrics``
        again    let this vector out though it has gone out before, in a plan without noise
        returns  the (weighted) mean of all clients whose vectors came in time, float64 of shape (dimension,)

        Once the vector has been masked, whatever goes wrong is an ``AggregationFailed``: do not give the same
        vector again.  Before that: ``BudgetSpent`` if the plan's budget, or this client's own, holds no
        further round; ``EncodingError`` for a vector, weight or metrics that do not fit the plan;
        ``AggregationRefused`` if the server does not keep to the protocol or has another plan, or if this
        vector has gone out before; ``PartyLost`` if the server is gone or has done all its rounds.
        """
        self._leave()
        given, noise = numeric(vector, "a vector"), self._own.plan.noise
        if noise is not None:
            for account in self._accounts:
                account.check(noise)
        elif not again:
            self._once.check({"vector": numbers(given)})
        lost = self._own.plan.lost(given)
        if lost:
            self._note(f"this vector does not fit the plan's bounds: {lost}")
        if (counts := self._own.plan.counted(weight)) != weight:
            self._note(f"a weight of {weight} counts as {counts}")
        try:
            encode = partial(self._own.plan.encode, vector=given, weight=weight, metrics=metrics)
            return self._taken(encode, partial(self._masking, given, again), lost)
        except Exception as error:
            number, masked = self._number, self._masked
            self._leave()
            if isinstance(error, PartyLost | WireError):
                self.close()
            if masked and not isinstance(error, AggregationFailed):
                words = f"round {number} is lost for this client after its vector was masked"
                raise AggregationFailed(f"{words}, and the server may have the sum: {error}", 0) from error
            raise

    def _taken(self, encode: Encode, masking: Callable[[], None], lost: str) -> NDArray:
        broken: float | None = None  # since when the connection does not hold
        connected, said = monotonic(), self._said
        while True:
            try:
                if self._line is None:
                    self._line, connected = self._connect(), monotonic()
                kind, body = self._line.receive()
                mean = self._hear(kind, body, encode, masking, lost)
                # a welcome, or the same question once more, is no progress
                if self._said is not said:
                    broken, said = None, self._said
            except PartyLost as error:
                if self._line is None or error.who == "all done":
                    raise
                self.close()
                now = monotonic()
                if broken is None or now - connected > self._own.timeout:
                    broken = now
                if now - broken > self._own.timeout:
                    raise
                self._note(f"{error}: connecting again")
                sleep(0.1)
            else:
                if mean is not None:
                    return mean

    # -- what the server says ---------------------------------------------------------------------

    def _hear(
        self, kind: Kind, body: bytearray, encode: Encode, masking: Callable[[], None], lost: str
    ) -> NDArray | None:
        if kind is Kind.WELCOME:
            return None
        if kind is Kind.ERROR:
            self.close()
            raise AggregationRefused(f"the server has turned this client away: {printable(body)}")
        if kind is Kind.BYE:
            raise PartyLost("the server has done all its rounds", "all done")
        if len(body) < NUMBER:
            raise WireError("what the server says has no number of a round")
        number, body = int.from_bytes(body[:NUMBER], "little"), body[NUMBER:]
        if kind is Kind.ASK:
            self._asked(number, bytes(body), encode, masking)
        elif kind is Kind.RESULT and number == self._number:
            return self._result(number, body, lost)
        elif kind is Kind.FAILED and number == self._number:
            if self._masked:
                words = f"round {number} gave no sum, as the server says, after this vector was masked"
                raise AggregationFailed(f"{words}: {printable(body)}", 0)
            self._leave()
            self._note(f"round {number} gave no sum ({printable(body)}): waiting for the next")
        return None

    def _asked(self, number: int, message: bytes, encode: Encode, masking: Callable[[], None]) -> None:
        assert self._line is not None
        if self._said is not None and message == self._said[0]:  # after a connection broke
            self._line.send(Kind.ANSWER, self._said[1])
            return
        try:
            client = self._client if number == self._number else self._new(number, encode, masking)
            assert client is not None
            answer = client.answer(message)
            # the server has this client's terms, and nothing has been said
            if number != self._number:
                self._record(number)
                self._number, self._client = number, client
        except (AggregationRefused, AggregationFailed, EncodingError, BudgetSpent, ConfigError) as error:
            words = str(error) if isinstance(error, AggregationRefused) else "it has no vector for this round"
            with suppress(TransportError):
                self._line.send(Kind.REFUSED, words.encode()[:SMALL])
            raise
        self._said = message, answer
        self._line.send(Kind.ANSWER, answer)

    def _new(self, number: int, encode: Encode, masking: Callable[[], None]) -> Client:
        if self._masked:
            raise AggregationFailed(
                f"the server went on to round {number} without a result for this client, whose "
                "vector was masked",
                0,
            )
        if number >> 63 or number - self._begun > _FAR:
            raise AggregationRefused(
                f"the server asks for round {number}, a number that is none, or far from the "
                f"last one, {self._begun}"
            )
        if number <= self._begun:
            raise AggregationRefused(
                f"the server asks for round {number}, and this client has begun round "
                f"{self._begun} already; each is taken once"
            )
        self._leave()
        own = self._own
        assert own.key is not None
        return Client(own.plan.terms(number), own.me, own.key, *encode(number), masking=masking)

    def _masking(self, vector: NDArray, again: bool) -> None:
        """All is as it must be, and the vector is about to be masked: pay for the round, or note what goes
        out.
        """
        if (noise := self._own.plan.noise) is None:
            where = f"round {self._number} of {self._own.plan.session!r}"
            self._once.enter({"vector": numbers(vector)}, where, again=again)
        else:
            # first look, then pay: one that cannot costs the other nothing
            for account in self._accounts:
                account.check(noise)
            for account in self._accounts:
                account.charge(noise)
        self._masked = True

    def _result(self, number: int, body: bytearray, lost: str) -> NDArray:
        plan, terms = self._own.plan, self._own.plan.terms(number)
        cut = 4 + int.from_bytes(body[:4], "little")
        facts, packed = as_json(body[4:cut]), memoryview(body)[cut:]
        count, metrics = facts.get("count"), facts.get("metrics")
        if type(count) is not int or not terms.least <= count <= terms.clients:
            raise WireError("the server's result is not of as many clients as the plan says")
        if not isinstance(metrics, dict) or tuple(metrics) != plan.metrics.names:
            raise WireError("the server's result has not the metrics that the plan says")
        if not all(isinstance(value, float) and math.isfinite(value) for value in metrics.values()):
            raise WireError("the server's result has metrics that are no numbers")
        if len(packed) != packed_bytes(terms.length, terms.bits):
            raise WireError("the server's result has not the length that the plan says")
        total = unpack(np.frombuffer(packed, np.uint32), terms.length, terms.bits)
        mean, error = plan.decoded(number, total, count)
        self.last = Facts(number, count, facts.get("included") is True, metrics, error, lost)
        self._leave()
        return mean

    def _leave(self) -> None:
        self._number, self._client, self._said, self._masked = None, None, None, False

    # -- connection and record --------------------------------------------------------------------

    def _connect(self) -> Line:
        own = self._own
        line = Line(own.plan.peer, own.tls, own.timeout, own.plan.silence, most_down(own.plan.first))
        line.send(
            Kind.HELLO, json.dumps({"me": own.me, "last": self._begun, "within": self._number}).encode()
        )
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
            raise ConfigError(
                f"{path} is not the record of the rounds this client has taken: restore it, or begin a new"
                " session"
            ) from None
        return number

    def _record(self, number: int) -> None:
        path, session = self._own.state, self._own.plan.session
        with locked(path):
            if self._read() >= number:
                raise AggregationRefused(
                    f"another process of this client has taken round {number}: run one at a time"
                )
            rounds = json.loads(path.read_text()) if path.exists() else {}
            replace_file(path, json.dumps({**rounds, session: number}).encode())
        self._begun = number


def aggregation_client(config: str | Path) -> Member:
    """Connect to the server of secure aggregation that a client's configuration file names."""
    return Member(plans.load(Path(config)))
