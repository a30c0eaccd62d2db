"""Frames from an adversary on the wire: whatever is done to a header or a length ends in an ``MpcError``.

Nothing here alters a payload and keeps its length: a semi-honest suite does not detect that, and the link in
memory, unlike TLS, does not either.  What must hold is that no header is accepted but the one that is due,
that nothing hangs, and that no other type of exception escapes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.errors import DesyncError, MpcError, PartyLost, WireError
from mpc.frames import ABORT, BYE, DATA, HEADER, Header, Link, notice, words
from mpc.party import Party
from mpc.prg import Stream
from mpc.ring import Z32, Z64, Spec
from mpc.rounds import exchange
from mpc.seat import take_seat
from mpc.transport.memory import mesh
from mpc.transport.wrappers import Recorded, Tampered

Alter = Callable[[int, int, bytes], bytes]
FRAMES = 5
CHECKED = 4 + 4 + 8 + 16  # bytes of the header before the operation's name


async def program(rank: int, size: int) -> list[int]:
    """Five rounds of three words to and from everybody; each word names sender, receiver and round."""
    heard = []
    others = [p for p in range(size) if p != rank]
    for i in range(FRAMES):
        inbox = await exchange(
            {p: (Z64([rank, p, i]),) for p in others}, dict.fromkeys(others, (Spec(Z64, (3,)),)), "talk"
        )
        for p in others:
            heard += [int(w) for w in inbox[p][0].data]
    return heard


def lockstep(size: int, alter: Alter) -> list[list[int]]:
    """Run the program with everything that the last party sends going through ``alter``."""
    *ends, last = mesh(size, timeout=0)
    parties = [Party(t) for t in (*ends, Tampered(last, alter))]
    tasks = [p.start(program(p.rank, size), "program") for p in parties]
    while not all(t.done for t in tasks):
        for party in parties:
            party.post()
        for party in parties:
            party.deliver()
    return [t.result() for t in tasks]


def honest(number: int, peer: int, frame: bytes) -> bytes:
    return frame


def at(number: int, change: Callable[[bytes], bytes], peer: int = 0) -> Alter:
    """Change one frame to one peer."""
    seen = {"frames": 0}

    def alter(_: int, to: int, frame: bytes) -> bytes:
        if to != peer:
            return frame
        seen["frames"] += 1
        return change(frame) if seen["frames"] == number + 1 else frame

    return alter


def refused(alter: Alter, size: int = 2) -> BaseException:
    with pytest.raises((WireError, PartyLost)) as caught:
        lockstep(size, alter)
    return caught.value


sizes = st.sampled_from([2, 3])
# not the last frame: nothing follows that would show its length
numbers = st.integers(0, FRAMES - 2)


def test_honest_frames_pass() -> None:
    assert lockstep(2, honest) == [
        [w for i in range(FRAMES) for w in (1, 0, i)],
        [w for i in range(FRAMES) for w in (0, 1, i)],
    ]
    assert lockstep(3, honest)[0][:6] == [1, 0, 0, 2, 0, 0]


@settings(max_examples=150, deadline=None)
@given(sizes, st.integers(0, FRAMES - 1), st.integers(0, CHECKED * 8 - 1))
def test_every_flipped_bit_of_the_header_is_refused(size: int, number: int, bit: int) -> None:
    def flip(frame: bytes) -> bytes:
        changed = bytearray(frame)
        changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)

    refused(at(number, flip), size)


def test_a_frame_sent_back_to_its_sender_is_refused() -> None:
    mine = Link(0, 1)
    mine.extend(["a"])
    with pytest.raises(DesyncError):
        mine.check(Header.parse(mine.seal(24, "multiply")), mine.due, 24, "party 1", "multiply")


def test_every_single_bit_of_one_header() -> None:
    """Exhaustively, by what checks it: magic, number, length and digest."""
    link, due = Link(1, 0), Link(0, 1)
    link.extend(["a"])
    due.extend(["a"])
    header = link.seal(24, "multiply")
    due.check(Header.parse(header), due.due, 24, "party 1", "multiply")
    for bit in range(CHECKED * 8):
        fresh, changed = Link(0, 1), bytearray(header)
        fresh.extend(["a"])
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises((WireError, PartyLost)):
            fresh.check(Header.parse(changed), fresh.due, 24, "party 1", "multiply")


@settings(max_examples=100, deadline=None)
@given(sizes, numbers, st.integers(0, HEADER.size + 23))
def test_truncated_frames_are_refused(size: int, number: int, length: int) -> None:
    refused(at(number, lambda frame: frame[:length]), size)


@settings(max_examples=100, deadline=None)
@given(sizes, numbers, st.binary(min_size=1, max_size=200))
def test_oversized_frames_are_refused(size: int, number: int, more: bytes) -> None:
    refused(at(number, lambda frame: frame + more), size)


@settings(max_examples=100, deadline=None)
@given(sizes, numbers, st.binary(max_size=200))
def test_random_bytes_are_refused(size: int, number: int, junk: bytes) -> None:
    refused(at(number, lambda frame: junk), size)


@settings(max_examples=100, deadline=None)
@given(numbers, st.binary(min_size=HEADER.size - 4, max_size=200), st.sampled_from([DATA, BYE, ABORT]))
def test_random_bytes_behind_a_right_magic_are_refused(number: int, junk: bytes, magic: bytes) -> None:
    refused(at(number, lambda frame: magic + junk))


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("number", range(1, FRAMES))
def test_replayed_frames_are_refused(size: int, number: int) -> None:
    """An old frame in place of the new one, and the same frame twice."""
    kept: list[bytes] = []

    def replay(_: int, to: int, frame: bytes) -> bytes:
        if to != 0:
            return frame
        kept.append(frame)
        return kept[0] if len(kept) == number + 1 else frame

    assert "frame 1 where" in str(refused(replay, size))
    if number < FRAMES - 1:
        refused(at(number, lambda frame: frame + frame), size)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, FRAMES - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_another_number_or_length_is_refused(number: int, claimed: int, length: int) -> None:
    """Also one that would make the receiver allocate 16 EiB: nothing is allocated on a peer's word."""
    if claimed != number + 1:
        refused(at(number, lambda frame: frame[:4] + claimed.to_bytes(4, "little") + frame[8:]))
    if length != 24:
        assert str(length) in str(
            refused(at(number, lambda frame: frame[:8] + length.to_bytes(8, "little") + frame[16:]))
        )


def test_swapped_frames_are_refused() -> None:
    """Frame 2 before frame 1, its payload complete."""
    held: list[bytes] = []

    def swap(number: int, to: int, frame: bytes) -> bytes:
        if number == 1:
            held.append(frame)
            return b""
        return frame + held.pop() if held else frame

    refused(swap)


def test_dropped_frames_end_the_run() -> None:
    for number in range(FRAMES):
        refused(at(number, lambda frame: b""))


@given(st.binary(min_size=HEADER.size, max_size=HEADER.size))
def test_parse_gives_a_header_or_a_wire_error(data: bytes) -> None:
    for candidate in (data, DATA + data[4:]):
        try:
            header = Header.parse(candidate)
        except WireError:
            continue
        assert header.words.isprintable() and len(header.words) <= 32


@given(st.binary(min_size=32, max_size=32))
def test_what_a_peer_says_is_shown_without_control_characters(said: bytes) -> None:
    """A peer's words end up in error messages: no escape sequences, no line breaks."""
    link = Link(0, 1)
    with pytest.raises(PartyLost) as caught:
        link.check(Header.parse(ABORT + bytes(28) + said), link.due, 0, "party 1", "add")
    assert str(caught.value).isprintable()


def test_the_digest_covers_all_that_was_agreed_before() -> None:
    """In its order: a divergence shows in every later frame, not only in the next."""
    histories = [(), ("a",), ("a", "b"), ("b", "a"), ("c", "b"), ("a", "b", "b")]
    digests = set()
    for history in histories:
        link = Link(0, 1)
        for fact in history:
            link.extend([fact])
        digests.add(link.due)
    assert len(digests) == len(histories)


def test_operation_names_fit_their_field() -> None:
    assert HEADER.size == 64
    assert words("é" * 40) == b"?" * 32
    assert Header.parse(notice(ABORT, "x" * 100)).words == "x" * 32


# -- parties that diverge -----------------------------------------------------------------------------


def diverge(first: Any, second: Any) -> str:
    """Two parties that run different protocols; what the first to notice says."""
    ends = [Party(t) for t in mesh(2, timeout=0)]
    for party, (label, flow) in zip(ends, (first, second), strict=True):
        party.start(flow, label)
        party.post()
    with pytest.raises(DesyncError) as caught:
        for party in ends:
            party.deliver()
    return str(caught.value)


def talk(peer: int, ring: Any = Z64, shape: tuple[int, ...] = (4,), tag: str = "t") -> Any:
    return exchange({peer: (ring.zeros(shape),)}, {peer: (Spec(ring, shape),)}, tag)


async def flow(generator: Any) -> Any:
    return await generator


@pytest.mark.parametrize(
    "other", [{"tag": "u"}, {"shape": (2, 2)}, {"ring": Z32, "shape": (8,)}, {"shape": (5,)}]
)
def test_different_programs_are_named(other: dict[str, Any]) -> None:
    """Different tags, shapes or rings: even where the numbers of bytes agree."""
    said = diverge(("here", flow(talk(1))), ("there", flow(talk(0, **other))))
    assert "'here'" in said and "'there'" in said


def test_different_operations_with_the_same_messages_are_named() -> None:
    said = diverge(("multiply", flow(talk(1))), ("reveal", flow(talk(0))))
    assert "'multiply'" in said and "'reveal'" in said


def test_different_positions_of_common_streams_are_noticed() -> None:
    """Parties that draw different amounts from a common stream would compute nonsense: they are stopped."""
    ends = [Party(t) for t in mesh(2, timeout=0)]
    tasks = [p.start(take_seat(p.rank, 2, Stream.fresh("own"))) for p in ends]
    for p in ends:
        p.post()
    for p in ends:
        p.deliver()
    for p, task in zip(ends, tasks, strict=True):
        p.seat = task.result()
    assert ends[0].seat is not None
    ends[0].seat.common.draw(Spec(Z64, (1,)))
    for p in ends:
        p.start(flow(talk(1 - p.rank)), "next")
        p.post()
    with pytest.raises(DesyncError):
        ends[0].deliver()


# -- with threads -------------------------------------------------------------------------------------


def threaded(size: int, alter: Alter, timeout: float = 0.5) -> list[Any]:
    """Each party in a thread; the result or the exception of each.  Fails if one does not end."""
    outcomes: list[Any] = [None] * size
    *ends, last = mesh(size, timeout=timeout)

    def body(transport: Any) -> None:
        party = Party(transport)
        error: BaseException | None = None
        try:
            outcomes[party.rank] = party.run(program(party.rank, size), "program")
        except BaseException as failure:
            outcomes[party.rank] = error = failure
        finally:
            party.close(error)

    threads = [threading.Thread(target=body, args=(t,), daemon=True) for t in (*ends, Tampered(last, alter))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(10)
        assert not t.is_alive(), "a party hangs"
    return outcomes


MANGLED: dict[str, Callable[[bytes], bytes]] = {
    "drop": lambda frame: b"",
    "truncate": lambda frame: frame[:70],
    "grow": lambda frame: frame + b"mpc",
    "zero": lambda frame: bytes(len(frame)),
    "number": lambda frame: frame[:4] + b"\x09" + frame[5:],
    "digest": lambda frame: frame[:16] + bytes(16) + frame[32:],
    "bye": lambda frame: notice(BYE, "") + frame,
    "twice": lambda frame: frame * 2,
}


@pytest.mark.parametrize("how", MANGLED)
@pytest.mark.parametrize("size", [2, 3])
def test_in_threads_all_parties_end_in_errors(size: int, how: str) -> None:
    outcomes = threaded(size, at(1, MANGLED[how]))
    assert all(isinstance(o, MpcError) for o in outcomes)
    assert isinstance(outcomes[0], WireError | PartyLost)


def test_in_threads_honest_parties_finish() -> None:
    assert threaded(3, honest)[2][-3:] == [1, 2, 4]


def test_whoever_fails_tells_the_others_why_and_nothing_else() -> None:
    """The reason is an exception's type, never its message: that may hold a secret."""
    ends = mesh(2, timeout=1)
    Party(ends[0]).close(ValueError("the secret is 42"))
    with pytest.raises(PartyLost, match="ValueError") as caught:
        Party(ends[1]).run(flow(talk(0)), "add")
    assert "42" not in str(caught.value)


def test_a_party_that_ends_early_is_named() -> None:
    ends = mesh(2, timeout=1)
    Party(ends[0]).close()
    with pytest.raises(PartyLost, match="ended its program"):
        Party(ends[1]).run(flow(talk(0)), "add")


def test_headers_hold_nothing_but_public_facts() -> None:
    """Two runs with other values have the same headers: magic, numbers, lengths, digests, names."""

    def headers(value: int) -> list[bytes]:
        left, right = mesh(2, timeout=0)
        recorded = Recorded(left)
        parties = [Party(recorded), Party(right)]
        for p in parties:
            send = {1 - p.rank: (Z64([value] * 4),)}
            p.start(flow(exchange(send, {1 - p.rank: (Spec(Z64, (4,)),)}, "t")), "op")
            p.post()
        return [frame[: HEADER.size] for _, frame in recorded.sent]

    assert headers(1) == headers(2**60) != []
