"""Sessions: what parties must agree on is checked, what cannot be is refused, and a failed session stays
ended.
"""

from __future__ import annotations

import json
import threading
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from conftest import failure, stream, together
from deployed import Deployment

import mpc
from mpc.config import Config
from mpc.errors import DesyncError, EncodingError, HandshakeError, MpcError, PartyLost, WireError
from mpc.handshake import agree
from mpc.ring import Z64
from mpc.rounds import Message, simulate
from mpc.seat import take_seat
from mpc.transport.memory import mesh

Program = Callable[[Any], Any]


def secrets(party: Any) -> list[Any]:
    return party.secret_from_each(np.arange(3) + 10)  # type: ignore[no-any-return]


DIVERGING: dict[str, Program] = {
    "constant factor": lambda p: secrets(p)[0] * (3 + p.id),
    "constant real factor": lambda p: secrets(p)[0] * (0.3 + p.id),
    "constant summand": lambda p: secrets(p)[0] + p.id,
    "left summand": lambda p: p.id - secrets(p)[0],
    "index": lambda p: secrets(p)[0][p.id],
    "mask": lambda p: np.where(np.arange(3) == p.id, secrets(p)[0], 0),
    "axis": lambda p: np.sum(np.outer(secrets(p)[0], [1, 2, 3]), axis=p.id),
    "shift": lambda p: np.roll(secrets(p)[0], p.id),
    "operand": lambda p: secrets(p)[p.id] * 2,
    "subscripts": lambda p: np.einsum(("ij->ij", "ij->ji")[p.id], np.outer(secrets(p)[0], [1, 2, 3])),
}


@pytest.mark.parametrize("name", DIVERGING)
def test_parties_with_other_public_values_are_told_and_get_no_numbers(name: str) -> None:
    """Each would otherwise open shares of different values: garbage, or another's element."""
    with pytest.raises(DesyncError, match="the same public values"):
        mpc.local(2).run(lambda p: DIVERGING[name](p).reveal())


def test_links_into_another_session_are_noticed() -> None:
    """A party that has other common keys, whatever the reason, is out at the next frame."""

    def swap(message: Message) -> Any:
        if (message.sender, message.receiver) == (2, 0):
            return message.arrays[0], Z64(message.arrays[1].data + np.uint64(1))
        return message.arrays

    async def side(rank: int) -> Any:
        return await take_seat(rank, 3, stream(rank, "own"))

    honest = simulate(*(side(r) for r in range(3)))
    assert honest[0].position(1) == honest[1].position(0)
    crossed = simulate(*(side(r) for r in range(3)), tamper=swap)
    assert crossed[0].position(1) != crossed[1].position(0)


def test_a_shape_without_a_kind_is_announced_by_its_owner_as_by_the_others() -> None:
    for options in ({"shape": (3,)}, {"kind": mpc.INT}, {"shape": (3,), "kind": mpc.INT}, {}):
        results = mpc.local(2).run(
            lambda p, options=options: p.secret([1, 2, 3] if p.id == 0 else None, owner=0, **options).reveal()
        )
        assert all((r == [1, 2, 3]).all() for r in results)


@pytest.mark.parametrize(("size", "p"), [(100_000, None), (1, 0.0004), (1, 0.0001), (1000, None)])
def test_small_public_factors_work_over_the_whole_range(size: int, p: float | None) -> None:
    x = np.full(size, 50_000.0) if p is None else np.array([2.0**40])
    s = mpc.local(2)
    secret = s.secret(x)
    out, expected = (secret.mean(), x.mean()) if p is None else ((secret * p)[0], (x * p)[0])
    assert abs(out.reveal() - expected) <= 3 * 2.0**-16 + expected * 2.0**-31


def test_half_precision_operands_do_not_overflow() -> None:
    assert (mpc.local(2).secret([3.0]) * np.float16(2.0)).reveal().tolist() == [6.0]
    assert (mpc.local(2).secret([3.0]) * np.array([2.5], np.float16)).reveal().tolist() == [7.5]


@pytest.mark.parametrize(
    "words",
    [
        [0, 1, 1 << 40],
        [0, 3, 1 << 63, 1 << 63, 0],
        [0, 3, 1 << 40, 1 << 40, 0],
        [63, 1, 3],
        [0, 17],
        [0, 1, 3, 5],
    ],
)
def test_announcements_that_cannot_be_are_refused(words: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer's word about a shape decides what we allocate."""
    from protocols.array import session as module

    s = mpc.local(2)
    forged = Z64(words + [0] * (18 - len(words)))
    monkeypatch.setattr(module, "Z64", lambda _: forged)
    with pytest.raises(WireError, match="cannot be shared"):
        s.secret([1, 2, 3])


@pytest.mark.parametrize("kind", [mpc.Fixed(31), mpc.Fixed(40), mpc.Fixed(-1)])
def test_kinds_that_cannot_multiply_are_refused(kind: Any) -> None:
    with pytest.raises(MpcError, match="fractional bits"):
        mpc.local(2).secret([1.5], kind=kind)


def test_a_masked_array_does_not_share_what_it_hides() -> None:
    with pytest.raises(EncodingError, match="masked"):
        mpc.local(2).secret(np.ma.masked_array([1, 2], [True, False]))


def test_shape_and_kind_of_a_secret_cannot_be_changed() -> None:
    x = mpc.local(2).secret([1, 2, 3, 4])
    for name in ("shape", "kind"):
        with pytest.raises(AttributeError):
            setattr(x, name, (2, 2))


def test_one_party_fails_when_another_has_finished() -> None:
    """The other one hears of it when it says goodbye; the cause is what is raised."""
    begun, failed = threading.Barrier(2), threading.Event()

    def main(party: Any) -> None:
        begun.wait(60)
        if party.id == 1:
            party.parties[0]._transport.close = _then(party.parties[0]._transport.close, failed.set)
            raise ValueError("mine")
        assert failed.wait(60)

    with pytest.raises(ValueError, match="mine"):
        mpc.local(2).run(main)


def _then(first: Callable[..., None], second: Callable[[], None]) -> Callable[..., None]:
    def both(**options: Any) -> None:
        first(**options)
        second()

    return both


def test_a_session_that_was_interrupted_stays_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parties are out of step: any result would be garbage."""
    s = mpc.local(2)
    x = s.secret([1, 2])

    def interrupted() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(s.parties[1], "deliver", interrupted)
        with pytest.raises(KeyboardInterrupt):
            x.reveal()
    with pytest.raises(MpcError, match="start a new one"):
        x.reveal()


@pytest.mark.parametrize("said", [b"[" * 60_000, b"\xff\xfe", b"[1]", b'{"x\x1b[2J": 1}', b"{}"])
def test_greetings_that_are_none(said: bytes) -> None:
    ours, theirs = mesh(2, timeout=2)
    theirs.post(0, [memoryview(len(said).to_bytes(4, "little") + said)])
    with pytest.raises(HandshakeError) as caught:
        agree(ours, {1: "bob"}, {"version": 1}, frozenset({"version"}))
    assert str(caught.value).isprintable() and "bob" in str(caught.value)


def test_different_suites_are_named() -> None:
    ours, theirs = mesh(2, timeout=2)
    other = json.dumps({"suite": "additive"}).encode()
    theirs.post(0, [memoryview(len(other).to_bytes(4, "little") + other)])
    with pytest.raises(
        HandshakeError, match=r'bob runs with another suite .there "additive", here "replicated"'
    ):
        agree(ours, {1: "bob"}, {"suite": "replicated"}, frozenset())


def test_a_greeting_that_is_too_long() -> None:
    ours, theirs = mesh(2, timeout=2)
    theirs.post(0, [memoryview((1 << 20).to_bytes(4, "little"))])
    with pytest.raises(HandshakeError, match="does not speak"):
        agree(ours, {1: "bob"}, {"version": 1}, frozenset({"version"}))


def test_a_peer_that_has_left_keeps_our_terms_from_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who had not come to hold its own against them would take what we say of our end for them."""
    ours, _, third = mesh(3, timeout=0.1)
    post = ours.post

    def gone(peer: int, buffers: Any) -> Any:
        if peer == 1:
            raise PartyLost("bob closed the connection", "bob")
        return post(peer, buffers)

    monkeypatch.setattr(ours, "post", gone)
    with pytest.raises(PartyLost, match="bob"):
        agree(ours, {1: "bob", 2: "cy"}, {"version": 1}, frozenset())
    monkeypatch.setattr(third, "post", lambda *_: 0)
    with pytest.raises(PartyLost, match="party 1 said nothing"):  # and party 0 had
        agree(third, {0: "ann", 1: "bob"}, {"version": 1}, frozenset())
    with pytest.raises(HandshakeError, match="another version"):
        ours.post(2, [memoryview((2).to_bytes(4, "little") + b"{}")])
        agree(third, {0: "ann"}, {"version": 1}, frozenset())


def test_the_dealer_is_told_no_more_than_it_needs() -> None:
    ends = mesh(1)
    party = ends[0]
    sent: list[bytes] = []
    party.post = lambda peer, buffers: sent.append(b"".join(buffers)) or 0  # type: ignore[method-assign]
    with pytest.raises(PartyLost):
        party._timeout = 0.01
        agree(party, {1: "dealer"}, {"version": 1, "program": "secret name"}, frozenset({"version"}))
    assert sent and b"program" not in sent[0]


@pytest.mark.parametrize("value", [1.5, "party-1", None, b"1", 3, -1, 10**30])
def test_a_party_is_named_by_its_rank(value: Any) -> None:
    """Whatever else it is called gets a sentence, and the session goes on."""
    session = mpc.local(3)
    with pytest.raises(mpc.MpcError, match=r"ranks?, 0 to 2|no party"):
        session.secret(1, owner=value)
    if value is not None:
        with pytest.raises(mpc.MpcError, match=r"ranks?, 0 to 2|no party"):
            session.reveal(session.secret(1), to=value)
    assert session.secret(1, owner=np.int64(2)).reveal() == 1


def test_what_is_announced_has_a_limit() -> None:
    """The others would allocate it at its owner's word: 144 bytes on the wire for any amount of memory."""

    def main(party: mpc.Session) -> Any:
        return party.secret(np.arange(1001) if party.id else None, owner=1).reveal()[-1]

    def named(party: mpc.Session) -> Any:
        return party.secret(
            np.arange(1001) if party.id else None, owner=1, shape=(1001,), kind=mpc.INT
        ).reveal()[-1]

    with closing(Deployment(2, None, largest_array=1001)) as small:
        assert together(*[lambda rank=rank: small.play(rank, main) for rank in (0, 1)]) == [1000, 1000]  # type: ignore[misc]
    with closing(Deployment(2, None)) as mixed:
        errors = together(
            lambda: failure(lambda: mixed.play(0, main, largest_array=1000)),
            lambda: failure(lambda: mixed.play(1, main)),
        )
    assert isinstance(
        errors[0], WireError
    ) and "party 1 announced an array of 1001 elements; at another's word a party takes up to 1000" in str(
        errors[0]
    )
    assert "largest_array" in str(errors[0]) and "ann gave up" in str(errors[1])
    with closing(Deployment(2, None, largest_array=1000)) as small:
        errors = together(*[lambda rank=rank: failure(lambda: small.play(rank, main)) for rank in (0, 1)])  # type: ignore[misc]
    assert "too many to be announced" in str(errors[1])
    with closing(Deployment(2, None, largest_array=1000)) as small:
        assert together(*[lambda rank=rank: small.play(rank, named) for rank in (0, 1)]) == [1000, 1000]  # type: ignore[misc]


@pytest.mark.parametrize("shape", [(1 << 31,), (1 << 27,), (0, 1 << 30), (1 << 16, 1 << 11, 1)])
def test_a_large_announcement_is_refused_before_anything_is_allocated(shape: tuple[int, ...]) -> None:
    """By a party that has said nothing else: its data never come."""
    session = mpc.local(2)
    session.largest = Config("", (), None).largest_array
    words = np.zeros(18, np.uint64)
    words[1], words[2 : 2 + len(shape)] = len(shape), shape
    tracemalloc.start()
    try:
        with pytest.raises(WireError, match="announced an array of"):
            session._heard({1: Z64(words)})
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
