"""The dealer: its correlations hold, it answers well-formed requests of one party only, its stock equals
live.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import input_of, play, stream, summed, whole
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.errors import WireError
from mpc.frames import ABORT, BYE, DATA, HEADER, Link, notice
from mpc.prg import Stream
from mpc.ring import RINGS, Z32, Z64, Z128, Ring, Spec
from mpc.rounds import Recorder
from protocols.bilinear import MATMUL, MULTIPLY
from protocols.prep import Correlation, CrossTriple, DaBits, EdaBlocks, Triple, TruncationMask
from protocols.prep.dealer import _REQUEST, Dealer, DealerFrames, _decode, _encode
from protocols.suite import Suite


def triple(name: str, x: tuple[int, ...], y: tuple[int, ...], ring: Ring = Z64) -> Triple:
    return Triple(MULTIPLY if name == "multiply" else MATMUL, Spec(ring, x), Spec(ring, y))


SHAPES = [
    ("multiply", (5,), (5,)),
    ("multiply", (), ()),
    ("multiply", (100,), (100,)),
    ("multiply", (3, 1), (1, 4)),
    ("multiply", (2, 3), ()),
    ("multiply", (0,), (0,)),
    ("matmul", (3, 4), (4, 2)),
    ("matmul", (4,), (4, 2)),
    ("matmul", (3, 4), (4,)),
    ("matmul", (4,), (4,)),
    ("matmul", (2, 3, 4), (2, 4, 5)),
    ("matmul", (2, 3, 4), (4, 5)),
    ("matmul", (3, 0), (0, 2)),
]
CORRELATIONS: list[Correlation] = [
    *(triple(f, x, y, ring) for ring in RINGS.values() for f, x, y in SHAPES),
    *(TruncationMask(Spec(ring, (50,)), bits) for ring in RINGS.values() for bits in (1, 16, 30)),
    TruncationMask(Spec(Z64, (2, 3)), 62),
    *(TruncationMask(Spec(Z128, (9,)), bits) for bits in (32, 63, 64, 126)),
    *(
        EdaBlocks(ring, words, ring.bits // 4 - less)
        for ring in RINGS.values()
        for words, less in ((3, 1), (0, 1), (2, 0))
    ),
    *(DaBits(ring, words) for ring in RINGS.values() for words in (3, 0)),
]


def drawing(*kinds: Correlation, stocked: bool = False) -> Callable[[Suite], Any]:
    """A protocol that draws these correlations and gives the parts:
    per kind, of free and dependent arrays.
    """

    async def main(suite: Suite) -> Any:
        if stocked:
            await suite.prep.stock(kinds)  # type: ignore[union-attr]
        out = []
        for kind in kinds:
            free, dependent = await suite.prep.draw(kind)  # type: ignore[union-attr]
            out.append((free, await dependent))
        return out

    return main


def sums(drawn: list[Any], i: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What the parties' parts of correlation i add up to."""
    return tuple(
        [whole(summed(column)) for column in zip(*(party[i][j] for party in drawn), strict=True)]
        for j in (0, 1)
    )  # type: ignore[return-value]


def all_products(kind: EdaBlocks, numbers: np.ndarray, rows: np.ndarray) -> bool:
    """Whether every row has the products of bits that it should, of the numbers in their columns."""
    n, whole = kind.ring.bits // 4, kind.whole
    wanted = [(block, below) for below in range(1, 8) for block in range(n)]
    wanted += [(block, below) for below in range(8, 16) for block in range(whole)]
    wanted += [(block, 8) for block in range(whole, n)]
    return len(rows) == len(wanted) and all(
        int(row[w]) >> i & 1 == (int(numbers[i, w]) >> 4 * block & factors == factors)
        for row, (block, factors) in zip(rows, wanted, strict=True)
        for w in range(kind.words)
        for i in (0, 1, 17, 63)
    )


def holds(kind: Correlation, free: list[np.ndarray], dependent: list[np.ndarray]) -> bool:
    """By Python's integers, independently of ``derive``."""
    if isinstance(kind, Triple):
        a, b = free
        expected = np.asarray((a * b if kind.f == MULTIPLY else np.matmul(a, b)) % 2**kind.ring.bits)
        return np.shape(dependent[0]) == np.shape(expected) and bool((dependent[0] == expected).all())
    if isinstance(kind, EdaBlocks):
        return all_products(kind, free[0], dependent[0])
    if isinstance(kind, DaBits):
        bits = [int(word) >> i & 1 for word in free[0] for i in range(64)]
        return dependent[0].T.reshape(-1).tolist() == bits
    assert isinstance(kind, TruncationMask)
    r, k = free[0], kind.ring.bits
    return bool(
        (dependent[0] == (r % 2 ** (k - 1)) // 2**kind.bits).all() and (dependent[1] == r >> (k - 1)).all()
    )


@pytest.mark.parametrize("stocked", [False, True])
@pytest.mark.parametrize("parties", [2, 3, 5])
def test_correlations_hold(parties: int, stocked: bool) -> None:
    drawn = play(parties, drawing(*CORRELATIONS, stocked=stocked))
    for i, kind in enumerate(CORRELATIONS):
        assert holds(kind, *sums(drawn, i)), kind


def test_free_arrays_are_never_the_same_twice() -> None:
    """Small triples come out of a pool; no element of it is handed out twice."""
    kinds = [triple("multiply", (n,), (n,)) for n in (1, 3, 60, 64, 2, 64, 1, 5, 64, 64)] + [
        triple("matmul", (3, 4), (4, 2))
    ]
    drawn = play(3, drawing(*kinds))
    values = np.concatenate([a.reshape(-1) for i in range(len(kinds)) for a in sums(drawn, i)[0]])
    assert len(np.unique(values)) == len(values)
    for party in drawn:
        parts = np.concatenate([p.data.reshape(-1) for free, _ in party for p in free])
        assert len(np.unique(parts)) == len(parts)


# -- requests -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stocked", [False, True])
@pytest.mark.parametrize("kind", CORRELATIONS, ids=str)
def test_requests_round_trip(kind: Correlation, stocked: bool) -> None:
    request = _encode(kind, stocked)
    assert request.spec == _REQUEST
    assert _decode([int(w) for w in request.data]) == (kind, stocked)


@settings(max_examples=300)
@given(
    st.integers(0, len(CORRELATIONS) - 1),
    st.lists(
        st.tuples(st.integers(0, 23), st.one_of(st.integers(0, 70), st.integers(0, 2**64 - 1))),
        min_size=1,
        max_size=4,
    ),
)
def test_altered_requests_are_understood_or_refused(which: int, changes: list[tuple[int, int]]) -> None:
    """Never another exception, and never something of more than the allowed size."""
    request = [int(w) for w in _encode(CORRELATIONS[which], False).data]
    for at, value in changes:
        request[at] = value
    try:
        kind, stocked = _decode(request)
    except WireError:
        return
    assert [int(w) for w in _encode(kind, stocked).data] == request
    assert all(s.size <= 1 << 34 for s in (*kind.free, *kind.dependent))


@settings(max_examples=300)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=24, max_size=24))
def test_random_requests_are_refused(request: list[int]) -> None:
    with pytest.raises(WireError):
        _decode(request)


def altered(**changes: int) -> list[int]:
    names = {
        "stocked": 0,
        "code": 1,
        "ring": 2,
        "bits": 3,
        "axes": 4,
        "first": 5,
        "unused": 7,
        "more_axes": 13,
        "last": 23,
    }
    request = [int(w) for w in _encode(triple("matmul", (3, 4), (4, 2)), False).data]
    for name, value in changes.items():
        request[names[name]] = value
    return request


@pytest.mark.parametrize(
    "change",
    [
        {"stocked": 2},
        {"code": 0},
        {"code": 4},
        {"ring": 48},
        {"ring": 0},
        {"axes": 9},
        {"axes": 2**64 - 1},
        {"more_axes": 9},
        {"first": 2**40},
        {"axes": 0},
        {"code": 3, "bits": 0},
        {"code": 3, "bits": 63},
        {"code": 3, "bits": 2**63},
        {"code": 1},
        {"unused": 1},
        {"last": 1},
        {"bits": 1},
        {"code": 3, "bits": 5},
    ],
)
def test_malformed_requests_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(WireError):
        _decode(altered(**change))


def test_too_many_axes_are_refused_by_the_asker() -> None:
    with pytest.raises(NotImplementedError):
        _encode(triple("multiply", (1,) * 9, ()), False)


# -- frames -------------------------------------------------------------------------------------------


def asked(size: int = 3) -> tuple[DealerFrames, bytes]:
    """A dealer's frames, and a right request of its last party."""
    frames, link = DealerFrames(Dealer(size)), Link(size - 1, size)
    for p in range(size):
        frames.greeting(p)
    link.extend([f"/seed:;{Spec(Z64, (4,))},{Spec(Z64, (2,))}"])
    kind = triple("multiply", (3,), (3,))
    link.extend([f"/dealer:{_REQUEST};{Spec(Z64, (3,))}"])
    return frames, link.seal(_REQUEST.nbytes, "multiply") + _encode(kind, False).data.tobytes()


def test_a_right_request_is_answered() -> None:
    frames, frame = asked()
    header, answer = frames.answer(2, frame)
    assert len(header) == HEADER.size and answer.nbytes == 3 * 8


def test_nobody_but_the_last_party_can_ask() -> None:
    for party in (0, 1):
        frames, frame = asked()
        with pytest.raises(WireError):
            frames.answer(party, frame)
        with pytest.raises(WireError):
            Dealer(3).service(party, (_encode(triple("multiply", (3,), (3,)), False),))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 32 * 8 - 1))
def test_every_flipped_bit_of_a_requests_header_is_refused(bit: int) -> None:
    frames, frame = asked()
    changed = bytearray(frame)
    changed[bit // 8] ^= 1 << bit % 8
    if changed[:4] == ABORT:  # one bit away: a goodbye, and no answer
        assert frames.answer(2, bytes(changed)) == []
        return
    with pytest.raises(WireError):
        frames.answer(2, bytes(changed))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 300), st.binary(max_size=50))
def test_cut_and_grown_requests_are_refused(length: int, more: bytes) -> None:
    """As the network delivers them: the header's length says how many bytes follow."""
    frames, frame = asked()
    changed = frame[:length] + more
    if changed[: len(frame)] == frame:
        return
    with pytest.raises(WireError):
        frames.answer(2, changed)


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=64, max_size=64))
def test_junk_is_refused(junk: bytes) -> None:
    frames, _ = asked()
    for header in (junk, DATA + junk[4:]):
        with pytest.raises(WireError):
            frames.answer(2, header + bytes(192))


def test_replayed_requests_are_refused() -> None:
    frames, frame = asked()
    frames.answer(2, frame)
    with pytest.raises(WireError):
        frames.answer(2, frame)


@pytest.mark.parametrize(
    "requests",
    [
        [triple("multiply", (9, 9), (9, 9))],
        [triple("matmul", (1, 80), (80, 1))],
        [triple("matmul", (9, 1), (1, 9))] * 2,
        [TruncationMask(Spec(Z64, (67,)), 5)],
    ],
)
def test_what_can_be_asked_for_at_once_has_a_limit(requests: list[Correlation]) -> None:
    """Of the arrays behind a request, and of what a frame of requests is answered with: else memory is taken
    at a party's word.
    """

    def frame(most: int) -> tuple[DealerFrames, bytes]:
        frames, link = DealerFrames(Dealer(2), most), Link(1, 2)
        frames.greeting(1)
        link.extend([f"/seed:;{Spec(Z64, (4,))},{Spec(Z64, (2,))}"])
        link.extend([f"/dealer:{_REQUEST};{','.join(map(str, kind.dependent))}" for kind in requests])
        body = b"".join(_encode(kind, False).data.tobytes() for kind in requests)
        return frames, link.seal(len(body), "multiply") + body

    alone = max(sum(s.size for s in (*kind.free, *kind.dependent)) for kind in requests)
    together = sum(s.size for kind in requests for s in kind.dependent)
    frames, asked = frame(max(alone, together))
    assert sum(view.nbytes for view in frames.answer(1, asked)[1:]) == sum(
        s.nbytes for kind in requests for s in kind.dependent
    )
    frames, asked = frame(max(alone, together) - 1)
    with pytest.raises(WireError, match=r"elements at once; it makes up to .* largest_array"):
        frames.answer(1, asked)


def test_goodbyes_are_understood() -> None:
    frames, _ = asked()
    for magic in (BYE, ABORT):
        assert frames.answer(0, notice(magic, "")) == [] and frames.expects(2, notice(magic, "")) is None


# -- the stock ----------------------------------------------------------------------------------------


async def program(suite: Suite) -> list[Any]:
    """Products and truncations of several shapes; what they open to."""
    x, y = [await input_of(suite, Z64(np.arange(12).reshape(3, 4) * i)) for i in (1, 1 << 10)]
    first = await suite.bilinear(MULTIPLY, x, y)
    second = await suite.bilinear(MATMUL, first, y.reshape((4, 3)))
    third = await suite.truncate(first, 10)
    return [o.data.tolist() for o in await suite.open(first, second, third)]


NEEDS = [triple("multiply", (3, 4), (3, 4)), triple("matmul", (3, 4), (4, 3))]
TO_TRUNCATE = {2: CrossTriple(Spec(Z32, (3, 4))), 3: TruncationMask(Spec(Z64, (3, 4)), 10)}


@pytest.mark.parametrize("parties", [2, 3])
def test_a_stock_gives_the_same_results_and_no_more_messages(parties: int) -> None:
    needs: list[Correlation] = []

    async def noting(suite: Suite) -> list[Any]:
        suite.prep.asked = needs if suite.seat.rank == 0 else None  # type: ignore[union-attr]
        return await program(suite)

    plain = play(parties, noting)
    assert needs == [*NEEDS, TO_TRUNCATE[parties]]

    async def stocked(suite: Suite) -> list[Any]:
        await suite.prep.stock(needs)  # type: ignore[union-attr]
        return await program(suite)

    recorder = Recorder()
    assert play(parties, stocked, record=recorder) == plain
    steps = [m.step for m in recorder.messages if m.sender == parties and m.tag == "dealer"]
    online = min(m.step for m in recorder.messages if m.tag == "multiply")
    assert len(steps) == 3 and max(steps) < online
    assert {m.receiver for m in recorder.messages if m.sender == parties and m.tag == "dealer"} == {
        parties - 1
    }


def test_a_stock_is_used_in_order_and_live_draws_go_around_it() -> None:
    """A draw of another kind than the next in stock is made live; the stock waits for its turn, used once."""
    a, b, c = (
        triple("matmul", (2, 2), (2, 2)),
        triple("matmul", (3, 2), (2, 2)),
        TruncationMask(Spec(Z32, (3,)), 5),
    )

    async def main(suite: Suite) -> Any:
        await suite.prep.stock([a, c, a])  # type: ignore[union-attr]
        return await drawing(b, a, b, c, a, a, c)(suite)

    recorder = Recorder()
    drawn = play(3, main, record=recorder)
    for i, kind in enumerate((b, a, b, c, a, a, c)):
        assert holds(kind, *sums(drawn, i))
    assert sum(m.tag == "dealer" for m in recorder.messages) == 3 + 4
    free = np.concatenate([p.data.reshape(-1) for f, _ in drawn[0] for p in f if p.ring is Z64])
    assert len(np.unique(free)) == len(free)


def test_an_empty_stock_is_nothing() -> None:
    async def main(suite: Suite) -> list[Any]:
        await suite.prep.stock([])  # type: ignore[union-attr]
        return await program(suite)

    assert len(play(2, main)[0]) == 3


def test_parties_seeds_differ_and_are_fresh() -> None:
    seeds = [s for _ in range(3) for s in Dealer(3).seeds]
    assert len(set(seeds)) == 9 and {len(s) for s in seeds} == {32}
    assert (
        Dealer(2, stream(1, "d")).seeds
        == Dealer(2, stream(1, "d")).seeds
        != Dealer(2, Stream(bytes(32), "d")).seeds
    )
