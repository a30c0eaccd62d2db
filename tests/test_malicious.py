"""What a party that deviates may try through sessions: shapes told differently, other truth values."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import mpc
from mpc.encoding import BOOL, INT, Fixed
from mpc.errors import CheatError, ConfigError, MpcError, WireError
from mpc.frames import HEADER, Header
from mpc.party import Party
from mpc.prg import Stream
from mpc.ring import Z64, RingArray
from mpc.tags import Direction
from mpc.transport import Transport
from mpc.transport.memory import mesh
from mpc.transport.wrappers import Tampered
from protocols.array.session import Session
from protocols.numpy import names
from protocols.running.seating import sit_down
from protocols.suites import find
from protocols.suites.fantastic_four import FantasticFour


def sessions(main: Any, alter: Any = None, corrupt: int = 3) -> dict[int, Any]:
    """What ``main(session)`` returns at each of four parties, or raises; one's frames are altered."""
    said: dict[int, Any] = {}

    def body(end: Transport) -> None:
        party = Party(end)
        try:
            suite = party.run(sit_down(party, FantasticFour, Stream.fresh("own"), None))
            session = Session([party], [suite], names)
            said[end.rank] = main(session)
            session.close()
        except Exception as error:
            said[end.rank] = error
            party.close(error)

    ends: list[Any] = mesh(4, timeout=20)
    if alter is not None:
        ends[corrupt] = Tampered(ends[corrupt], alter)
    threads = [threading.Thread(target=body, args=(end,), daemon=True) for end in ends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return said


def test_an_array_of_another_shape_for_each_is_caught_before_anything_is_computed_with_it() -> None:
    """Parties that were told different shapes would use one mask for two elements."""
    later: list[str] = []

    def main(session: Session) -> Any:
        y = session.secret([1234], owner=0)
        (y * 1).reveal(to=0)
        x = session.secret([5, 7], owner=3)
        session.parties[0].on_progress = lambda what, done, of: later.append(what)
        return (x * y).reveal(to=0)

    def alter(number: int, peer: int, frame: bytes) -> bytes:
        header = Header.parse(frame[: HEADER.size])
        if "shapes" not in header.words or peer != 2 or len(frame) <= HEADER.size + 16:
            return frame
        words = np.frombuffer(frame[HEADER.size :], np.uint64).copy()
        if words[2] == 2:  # elements along the first axis
            words[2] = 1
        return frame[: HEADER.size] + words.tobytes()

    said = sessions(main, alter)
    assert all(isinstance(said[p], MpcError) for p in range(3)), said
    assert any(isinstance(said[p], CheatError) for p in range(3))
    assert not later  # no round of input or product


def test_and_so_is_another_kind_or_shape_than_the_program_says() -> None:
    def main(session: Session) -> Any:
        kind = Fixed(16) if session.parties[0].rank == 3 else INT
        return session.secret([1.0] if kind != INT else [1], owner=3, kind=kind).reveal()

    said = sessions(main)
    assert all(
        isinstance(said[p], WireError) and "this program says otherwise" in str(said[p]) for p in range(3)
    )


def test_truth_values_are_none_but_zero_and_one() -> None:
    """What is chosen by a 2^30 would show both."""
    session = mpc.local(4, malicious=True)
    a, b = session.secret([1111]), session.secret([2222], owner=1)
    c = session._input(3, Z64([2**30 + 1]), (1,), BOOL)
    assert np.where(c, a, b).reveal() == 1111 and c.reveal()
    assert session.secret([[True, False], [False, True]], owner=2).reveal().tolist() == [
        [True, False],
        [False, True],
    ]


def test_a_session_is_over_after_an_order_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    session = mpc.local(4, malicious=True)
    x = session.secret([3, 1, 2])
    opened = FantasticFour.reveal

    async def two_alike(self: Any, *xs: Any, **options: Any) -> tuple[RingArray, ...]:
        values = await opened(self, *xs, **options)
        return tuple(v - v for v in values) if options.get("tag") == "order" else values

    monkeypatch.setattr(FantasticFour, "reveal", two_alike)
    bits = session.secret([True, False, True])
    with pytest.raises(CheatError, match="order"):
        np.argsort(bits).reveal()
    monkeypatch.undo()
    with pytest.raises(MpcError):
        x.reveal()


def test_suites_by_what_they_hold_against() -> None:
    assert find(None, 4, True) is FantasticFour
    assert mpc.local(4, malicious=True).suites[0].name == "fantastic-four"
    for name, parties, words in (
        (None, 3, "no suite holds against malicious parties among 3 yet; there is 'fantastic-four'"),
        ("replicated", 3, "does not hold against malicious parties"),
        ("fantastic-four", 3, "takes exactly 4 parties"),
    ):
        with pytest.raises(ConfigError, match=words):
            find(name, parties, True)
    said = FantasticFour.threat.among(4)
    assert "malicious adversary that corrupts up to 1 of 4" in said and "can stop the run" in said


def test_tags_of_several_and_of_large_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether they are joined, or fed in pieces, the tag is the same."""
    x, y = Z64(np.arange(5000)), Z64(np.arange(7))
    plain = Direction(bytes(32), "a").tag(x, y)
    for name, limit in (("_LARGE", 1), ("_LARGE", 1 << 30), ("_MOST", 64)):
        monkeypatch.setattr(f"mpc.tags.{name}", limit)
        assert (Direction(bytes(32), "a").tag(x, y).data == plain.data).all()
        Direction(bytes(32), "a").verify(plain, x, y)
    with pytest.raises(CheatError, match="departed from the protocol"):
        Direction(bytes(32), "a").verify(plain, x, x[1:8])
