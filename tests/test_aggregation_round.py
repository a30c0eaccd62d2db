"""Rounds with one server: the sum is right whoever drops out and when, or there is none; bad clients are left
out.
"""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from cohort import KEYS, Net, at, clients, directory, inputs, signing_key, terms, total
from conftest import stream
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mpc.errors import AggregationFailed, AggregationRefused, ConfigError, EncodingError, MpcError
from protocols.aggregation import masks, shamir
from protocols.aggregation import messages as wire
from protocols.aggregation.channel import Channel, Kind
from protocols.aggregation.directory import Directory
from protocols.aggregation.messages import HEADER, Phase
from protocols.aggregation.one_server.client import Client
from protocols.aggregation.one_server.local import aggregate
from protocols.aggregation.one_server.server import Server
from protocols.aggregation.one_server.terms import Terms
from protocols.aggregation.packing import pack, packed_bytes, unpack


@st.composite
def rounds(draw):
    n = draw(st.integers(3, 14))
    degree = draw(st.sampled_from([n - 1, *range(2, n - 1, 2)]))
    t = terms(
        n,
        draw(st.integers(1, 70)),
        degree,
        draw(st.integers(degree // 2 + 1, degree)),
        side=draw(st.integers(0, 3)),
        bits=draw(st.sampled_from([1, 7, 20, 31, 32])),
        least=draw(st.integers(3, n)),
        corrupt=0.0,
    )
    few = draw(st.integers(0, 3))
    gone = draw(st.dictionaries(st.sampled_from(t.directory.names), st.sampled_from(Phase), max_size=few))
    return t, gone


@settings(max_examples=60)
@given(rounds(), st.integers(0, 5))
def test_the_sum_is_right_or_there_is_none(case, seed) -> None:
    """Any clients fall silent, each from some phase on.  A round fails only if somebody's masks cannot be
    opened.
    """
    t, gone = case
    given = inputs(t, seed)

    def there(phase: Phase) -> set[str]:
        return {name for name in given if gone.get(name, 9) > phase}

    near = {
        name: {t.directory.names[j] for j in t.graph.neighbours(t.directory.place(name))} for name in given
    }
    try:
        result = aggregate(t, clients(t, given), lambda name, phase: name in there(phase))
    except AggregationFailed as error:
        assert (
            error.missing >= len(gone) - sum(p is Phase.UNMASK for p in gone.values())
            or len(there(Phase.UNMASK)) < t.clients
        )
        assert len(there(Phase.MASK)) < t.least or any(
            len(near[name] & there(Phase.UNMASK)) < t.threshold for name in given
        )
        return
    assert set(result.clients) <= there(Phase.MASK) and len(result.clients) >= t.least
    assert (result.vector.tolist(), result.side.tolist()) == total(t, given, result.clients)
    assert set(given) - set(result.clients) <= result.faults.keys() and gone.keys() <= result.faults.keys()
    if all(len(near[name] & there(Phase.MASK)) >= t.threshold for name in given):
        assert set(result.clients) == there(Phase.MASK)  # nobody was left out without need


def test_terms_that_are_chosen_work() -> None:
    t = Terms.choose(directory(40), "test", 1, 100, side=2, bits=24)
    given = inputs(t)
    result = aggregate(
        t,
        clients(t, given),
        lambda name, phase: not (name in ("c003", "c017", "c030", "c031") and phase >= Phase.MASK),
    )
    assert (result.vector.tolist(), result.side.tolist()) == total(
        t, given, set(given) - {"c003", "c017", "c030", "c031"}
    )
    assert result.faults["c003"] == "did not answer in the phase MASK"


@pytest.mark.parametrize("phase", Phase)
def test_more_drop_outs_than_the_threshold_fail_and_reveal_nothing(phase: Phase) -> None:
    t = terms(10, threshold=7, least=4)
    given, gone = inputs(t), [f"c{i:03}" for i in range(4)]
    net = Net(Server(t), clients(t, given), tell=at(phase, gone, lambda message: None))
    # before anything is dealt, those with too few neighbours are left out as well
    left_over = 10 if phase <= Phase.SHARE else 4
    with pytest.raises(AggregationFailed, match=f"{left_over} of 10 clients are missing") as error:
        net.run()
    assert error.value.missing == left_over and not net.refused
    # nobody is asked for anything after that
    assert max(p for _, p in net.said) is phase
    with pytest.raises(MpcError, match="no sum"):
        _ = net.server.result
    with pytest.raises(MpcError, match="over"):
        net.server.advance()


@pytest.mark.parametrize("phase", [Phase.ADVERTISE, Phase.SHARE])
def test_who_has_too_few_neighbours_is_left_out_before_it_harms(phase: Phase) -> None:
    """Three of the six neighbours of a client on a ring do not come in time: it could not be unmasked, so it
    is not masked.

    Above k/2, a ring with such a hole unravels: its neighbours have too few then, and so on.  All are told
    why."""
    t = terms(14, degree=6, threshold=4)
    gone = [t.directory.names[j] for j in t.graph.neighbours(5)[:3]]
    net = Net(Server(t), clients(t, inputs(t)), tell=at(phase, gone, lambda message: None))
    with pytest.raises(AggregationFailed, match=f"after the phase {phase.name}: 14 of 14"):
        net.run()
    assert net.server.faults["c005"] == "has fewer than 4 neighbours that are there"
    assert {
        name for name, why in net.server.faults.items() if why == f"did not answer in the phase {phase.name}"
    } == set(gone)
    assert max(p for _, p in net.said) is phase and not net.refused


def test_it_can_be_told_to_go_on_and_hears_late_answers_without_harm() -> None:
    t = terms(6)
    given = inputs(t)
    net = Net(Server(t), clients(t, given), tell=at(Phase.MASK, ["c002"], lambda m: None))
    for _ in range(3):
        net.phase()
        if net.server.phase is Phase.MASK:
            assert net.server.waiting == {"c002"}
        net.server.advance()
    # its mask key is about to be opened, not its b
    net.server.receive("c002", net.said["c002", Phase.MASK])
    assert (net.run().vector.tolist(), "c002" in net.server.result.clients) == (
        total(t, given, set(given) - {"c002"})[0],
        False,
    )
    with pytest.raises(ConfigError, match="not in the directory"):
        net.server.receive("nobody", b"")


# -- bad clients -----------------------------------------------------------------------------------------


def _signed_small_order(message: bytes) -> bytes:
    text = message[: HEADER.size] + bytes(32) + message[HEADER.size + 32 : HEADER.size + 64]
    return text + KEYS["c001"].sign(wire.signed_text(text))


def _all(phase: Phase):
    return {
        "too long": lambda m: m + b"\0",
        "too short": lambda m: m[:-1],
        "nothing in it": lambda m: m[: HEADER.size],
        "empty": lambda m: b"",
        "another phase": lambda m: m[:4] + bytes([phase % 5 + 1]) + m[5:],
        "another client": lambda m: m[:8] + b"\2" + m[9:],
        "another round": lambda m: m[:12] + bytes([m[12] ^ 1]) + m[13:],
        "the server's own": lambda m: b"ag2<" + m[4:],
        "another version": lambda m: b"ag9>" + m[4:],
        "zero is not zero": lambda m: m[:44] + b"\1" + m[45:],
        "silence": lambda m: None,
    }


BAD = [(phase, name, f) for phase in Phase for name, f in _all(phase).items()] + [
    (Phase.ADVERTISE, "bad signature", lambda m: m[:-1] + bytes([m[-1] ^ 1])),
    (
        Phase.ADVERTISE,
        "signed by another",
        lambda m: m[:-64] + signing_key(99).sign(wire.signed_text(m[:-64])),
    ),
    (Phase.ADVERTISE, "small order", _signed_small_order),
    (
        Phase.SHARE,
        "shares for fewer",
        lambda m: m[: HEADER.size + 32] + bytes([m[HEADER.size + 32] & 0xFE]) + m[HEADER.size + 33 : -82],
    ),
    (
        Phase.MASK,
        "64-bit coordinates",
        lambda m: m[: HEADER.size + 160] + bytes(160) + m[HEADER.size + 160 :],
    ),
    (
        Phase.MASK,
        "a bit beyond the last neighbour",
        lambda m: (
            m[: HEADER.size + 160]
            + bytes([m[HEADER.size + 160], 0x80 | m[HEADER.size + 161]])
            + m[HEADER.size + 162 :]
        ),
    ),
]


@pytest.mark.parametrize(("phase", "name", "f"), BAD, ids=[f"{p.name} {name}" for p, name, _ in BAD])
def test_a_bad_client_is_left_out_and_the_others_sum_is_right(phase: Phase, name: str, f) -> None:
    t = terms(10, degree=9, threshold=6)
    given = inputs(t)
    net = Net(Server(t), clients(t, given), tell=at(phase, ["c001"], f))
    result = net.run()
    # later its vector is in the sum already
    out = {"c001"} if phase <= Phase.MASK else set()
    assert set(result.clients) == set(given) - out
    assert result.vector.tolist() == total(t, given, result.clients)[0]
    assert result.faults.keys() == {"c001"} and not net.refused
    if name != "silence":
        assert "did not answer" not in result.faults["c001"]


def test_a_replay_from_an_earlier_round_is_left_out() -> None:
    first, second = terms(8, number=1), terms(8, number=2)
    given = inputs(first)
    old = Net(Server(first), clients(first, given))
    old.run()
    for phase in (Phase.ADVERTISE, Phase.MASK):
        net = Net(
            Server(second),
            clients(second, given),
            tell=at(phase, ["c001"], lambda m: old.said["c001", phase]),  # noqa: B023
        )
        assert net.run().vector.tolist() == total(second, given, set(given) - {"c001"})[0]
        assert "another round" in net.server.faults["c001"]


def test_a_second_answer_changes_nothing() -> None:
    t = terms(6)
    given = inputs(t)
    net = Net(Server(t), clients(t, given))

    def twice(name, phase, message):
        net.server.receive(name, message)
        return message if name == "c001" else None

    net.tell = twice
    assert net.run().vector.tolist() == total(t, given, given)[0]
    assert net.server.faults == {"c001": "sent a message when none was due, which was not looked at"}


def _dealt_wrongly(t: Terms, net: Net, cheat: str, victims: list[str], what):
    """Replace the cheat's sealed shares for these neighbours, as it could itself: garbage, no elements, wrong
    ones.
    """
    me = t.directory.place(cheat)
    own = stream(5, "cheat")
    keys = [own.bytes(32) for _ in range(2)]

    def bend(message: bytes) -> bytes:
        near = t.graph.neighbours(me)
        start = HEADER.size + 32
        items = wire.unpack_items(near, memoryview(message)[start:], wire.SEALED_BYTES)
        for victim in victims:
            peer = t.directory.place(victim)
            public = net.said[victim, Phase.ADVERTISE][HEADER.size + 32 : HEADER.size + 64]
            channel = Channel(X25519PrivateKey.from_private_bytes(keys[1]), public, t.digest, me, peer)
            items[peer] = channel.seal(Kind.SHARES, what) if what else bytes(wire.SEALED_BYTES)
        return message[:start] + wire.pack_items(near, items)

    return bend


@pytest.mark.parametrize(
    "what", [None, b"\1" * 66, (b"\1" * 32 + b"\0") * 2], ids=["not sealed", "no elements", "wrong ones"]
)
@pytest.mark.parametrize("drops", [False, True])
def test_wrong_shares_do_not_spoil_the_sum(what, drops: bool) -> None:
    """c001 deals garbage to two of nine neighbours; whether it stays or drops out, its masks are opened by
    the others.
    """
    t = terms(10, threshold=5)
    given = inputs(t)
    cheat = Client(t, "c001", KEYS["c001"], *given["c001"], own=stream(5, "cheat"))
    net = Net(Server(t), clients(t, given, c001=cheat))
    bend = _dealt_wrongly(t, net, "c001", ["c000", "c004"], what)
    net.tell = lambda name, phase, m: (
        m
        if name != "c001"
        else bend(m)
        if phase is Phase.SHARE
        else None
        if drops and phase is Phase.MASK
        else m
    )
    result = net.run()
    assert (
        result.vector.tolist() == total(t, given, set(given) - ({"c001"} if drops else set()))[0]
        and not net.refused
    )
    if what and not drops:
        assert "its share of a secret of 'c001' is wrong" in result.faults["c000"]


def test_wrong_shares_in_the_answer_are_found_and_named() -> None:
    t = terms(10, threshold=5)
    given = inputs(t)
    net = Net(
        Server(t),
        clients(t, given),
        tell=at(
            Phase.UNMASK, ["c000", "c001"], lambda m: m[: HEADER.size + 2] + bytes(len(m) - HEADER.size - 2)
        ),
    )
    assert net.run().vector.tolist() == total(t, given, given)[0]
    assert net.server.faults.keys() == {"c000", "c001"} and "is wrong" in net.server.faults["c000"]
    too_many = [f"c{i:03}" for i in range(5)]
    net = Net(
        Server(t),
        clients(t, given),
        tell=at(Phase.UNMASK, too_many, lambda m: m[: HEADER.size + 2] + bytes(len(m) - HEADER.size - 2)),
    )
    with pytest.raises(AggregationFailed, match="do not open the masks of"):
        net.run()
    # of whose nine neighbours five lie, and not four
    assert net.server.spoilt == set(given) - set(too_many)


def test_a_liar_is_found_though_one_share_is_all_there_is_to_spare() -> None:
    """Too few to decode; but a secret is known when it is seen, and who has lied once is doubted."""
    t = terms(5, threshold=3)
    given = inputs(t)
    net = Net(
        Server(t),
        clients(t, given),
        tell=at(Phase.UNMASK, ["c001"], lambda m: m[: HEADER.size + 1] + bytes(len(m) - HEADER.size - 1)),
    )
    assert (
        net.run().vector.tolist() == total(t, given, given)[0]
        and net.server.faults.keys() == {"c001"}
        and not net.server.spoilt
    )
    t = terms(6, threshold=3)
    given = inputs(t)
    bends = {
        "c001": lambda m: m[: HEADER.size + 1] + bytes(len(m) - HEADER.size - 1),
        "c000": lambda m: m[:-33] + bytes(33),
        "c005": lambda m: None,
    }
    net = Net(
        Server(t),
        clients(t, given),
        tell=lambda name, phase, m: bends[name](m) if phase is Phase.UNMASK and name in bends else m,
    )
    assert net.run().vector.tolist() == total(t, given, given)[0] and net.server.faults.keys() == {
        "c000",
        "c001",
        "c005",
    }


def test_each_liar_is_decoded_around_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a twentieth of 500 clients lied, the server decoded for 24 s, and for 1 s since those known are
    asked last.
    """
    t, liars, decode, decoded = terms(20, threshold=12), ["c000", "c001", "c002"], shamir.decode, []
    monkeypatch.setattr(shamir, "decode", lambda *args: decoded.append(args) or decode(*args))
    given = inputs(t)
    start = HEADER.size + 3
    lie = at(Phase.UNMASK, liars, lambda m: m[:start] + bytes(len(m) - start))
    net = Net(Server(t), clients(t, given), tell=lie)
    assert net.run().vector.tolist() == total(t, given, given)[0] and net.server.faults.keys() == set(liars)
    assert 1 <= len(decoded) <= len(liars)


def test_who_deals_what_opens_nothing_is_named() -> None:
    t = terms(5, threshold=3)
    given = inputs(t)
    net = Net(
        Server(t),
        clients(t, given),
        tell=at(Phase.SHARE, ["c003"], lambda m: m[: HEADER.size] + bytes(32) + m[HEADER.size + 32 :]),
    )
    with pytest.raises(AggregationFailed, match="do not open the masks of 'c003'"):
        net.run()
    assert net.server.spoilt == {"c003"}


# -- what the server sees --------------------------------------------------------------------------------


def test_masked_vectors_are_uniform() -> None:
    t = terms(8, length=20_000, side=1000)
    given = {name: (np.zeros(t.length, np.uint32), np.zeros(t.side, np.uint64)) for name in t.directory.names}
    net = Net(Server(t), clients(t, given))
    assert not net.run().vector.any()
    vectors = []
    for name in given:
        said = net.said[name, Phase.MASK][HEADER.size : HEADER.size + 8 * t.side + 4 * t.length]
        vectors.append(np.frombuffer(said, np.uint8))
        assert stats.chisquare(np.bincount(vectors[-1], minlength=256)).pvalue > 1e-5
    for a, b in pairwise(vectors):
        assert abs(np.mean(a == b) - 1 / 256) < 0.002
    whole = sum(v.view(np.uint32) for v in vectors)
    # also their sum, before the self masks are gone
    assert len(np.unique(whole)) > t.length


def test_a_self_mask_alone_hides_what_all_common_masks_open() -> None:
    """A vector that comes too late, of a client whose mask key has been opened, is still uniform."""
    t = terms(6, length=5000)
    given = {name: (np.zeros(t.length, np.uint32), np.zeros(0, np.uint64)) for name in t.directory.names}
    late = Client(t, "c001", KEYS["c001"], *given["c001"], own=stream(1, "late"))
    net = Net(Server(t), clients(t, given, c001=late))
    net.run()
    vector = np.frombuffer(net.said["c001", Phase.MASK], np.uint32, t.length, HEADER.size).copy()
    key = X25519PrivateKey.from_private_bytes(stream(1, "late").bytes(32))
    publics = {
        name: net.said[name, Phase.ADVERTISE][HEADER.size : HEADER.size + 32]
        for name in given
        if name != "c001"
    }
    masks.add(
        [vector],
        [
            (-sign, mask)
            for sign, mask in (
                masks.pair_mask(key, public, t.digest, 1, t.directory.place(name))
                for name, public in publics.items()
            )
        ],
    )
    assert vector.any() and stats.chisquare(np.bincount(vector.view(np.uint8), minlength=256)).pvalue > 1e-5


def test_two_rounds_have_nothing_in_common() -> None:
    """Whole messages: no aligned 16 bytes but headers and sets occur twice, in two rounds of the same clients
    and inputs.
    """
    seen: set[bytes] = set()
    for number in (1, 2):
        t = terms(5, number=number)
        net = Net(Server(t), clients(t, inputs(t)))
        net.run()
        for message in net.said.values():
            blocks = {message[i : i + 16] for i in range(HEADER.size + 4, len(message) - 16, 16)}
            assert not blocks & seen
            seen |= blocks


def test_a_client_made_again_from_its_seed_says_the_same() -> None:
    t = terms(5)
    given = inputs(t)
    net = Net(
        Server(t), clients(t, given, c001=Client(t, "c001", KEYS["c001"], *given["c001"], own=stream(1, "x")))
    )
    net.run()
    again = Client(t, "c001", KEYS["c001"], *given["c001"], own=stream(1, "x"))
    for phase in Phase:
        assert again.answer(net.heard["c001", phase]) == net.said["c001", phase]


# -- pieces ----------------------------------------------------------------------------------------------


@given(st.integers(1, 200), st.integers(1, 32), st.integers(0, 2**32))
def test_packing(length: int, bits: int, seed: int) -> None:
    words = np.random.default_rng(seed).integers(0, 1 << 32, length, dtype=np.uint32)
    packed = pack(words, bits)
    assert packed.nbytes == packed_bytes(length, bits) <= 4 * (length + 31)
    assert unpack(packed, length, bits).tolist() == [int(w) % 2**bits for w in words]


def test_masks_are_the_streams() -> None:
    """In pieces or in one go, side values first."""
    side, vector = np.zeros(3, np.uint64), np.zeros(50_000, np.uint32)
    masks.add(
        (side, vector), [(1, stream(1, "m")), (-1, stream(2, "m")), *((1, stream(i, "n")) for i in range(70))]
    )
    texts = [stream(1, "m"), stream(2, "m"), *(stream(i, "n") for i in range(70))]
    expected_side, expected = np.zeros(3, np.uint64), np.zeros(50_000, np.uint32)
    for i, text in enumerate(texts):
        first, second = (
            np.frombuffer(text.bytes(24), np.uint64),
            np.frombuffer(text.bytes(200_000), np.uint32),
        )
        expected_side, expected = (
            (expected_side - first, expected - second)
            if i == 1
            else (expected_side + first, expected + second)
        )
    assert (side == expected_side).all() and (vector == expected).all()


def test_masks_name_the_round_and_both_clients() -> None:
    """The same keys would give other masks under other terms, for other clients; the two ends have the same,
    with opposite signs.
    """
    a, b = (X25519PrivateKey.from_private_bytes(stream(i, "pair").bytes(32)) for i in (1, 2))
    pa, pb = (key.public_key().public_bytes_raw() for key in (a, b))
    here, there = masks.pair_mask(a, pb, bytes(32), 3, 9), masks.pair_mask(b, pa, bytes(32), 9, 3)
    assert (here[0], there[0]) == (1, -1) and (first := here[1].bytes(32)) == there[1].bytes(32)
    others = [
        masks.pair_mask(a, pb, b"\1" * 32, 3, 9),
        masks.pair_mask(a, pb, bytes(32), 3, 8),
        masks.pair_mask(a, pb, bytes(32), 4, 9),
    ]
    assert len({first, *(mask.bytes(32) for _, mask in others)}) == 4
    self_masks = [
        masks.self_mask(bytes(32), digest, i).bytes(32) for digest in (bytes(32), b"\1" * 32) for i in (3, 4)
    ]
    assert len(set(self_masks)) == 4


def test_points_of_small_order_are_refused() -> None:
    """The known ones on Curve25519 and its twist."""
    p = 2**255 - 19
    low = [
        0,
        1,
        p - 1,
        p,
        p + 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    ]
    for point in low:
        public = point.to_bytes(32, "little")
        assert not masks.is_sound(public)
        with pytest.raises(ValueError):
            X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(public))
    assert masks.is_sound(X25519PrivateKey.generate().public_key().public_bytes_raw())


def test_directories() -> None:
    d = directory(5)
    assert Directory.decode(d.encode()).digest == d.digest and len(d) == 5 and d.place("c003") == 3
    for spoilt in (d.encode()[:-1], d.encode() + b"\0", b"", d.encode()[:40]):
        with pytest.raises(ConfigError):
            Directory.decode(spoilt)
    keys = {name: key.public_key().public_bytes_raw() for name, key in list(KEYS.items())[:3]}
    assert Directory.close(keys).seed != Directory.close(keys).seed
    for bad in (
        {**keys, "x": keys["c000"]},
        {"": b"\1" * 32, **keys},
        {"short": b"\1", **keys},
        {"alone": b"\1" * 32},
    ):
        with pytest.raises(ConfigError):
            Directory.close(bad)


@pytest.mark.parametrize(
    "change",
    [
        dict(threshold=1),
        dict(threshold=4),
        dict(threshold=9),
        dict(degree=5),
        dict(degree=0, threshold=0),
        dict(least=2),
        dict(least=11),
        dict(bits=33),
        dict(bits=0),
        dict(length=0),
        dict(side=-1),
        dict(number=-1),
    ],
)
def test_terms_that_cannot_be_are_refused(change) -> None:
    with pytest.raises(ConfigError):
        terms(10, **{"degree": 8, "threshold": 6, **change})


def test_terms_say_what_security_they_lack() -> None:
    with pytest.raises(
        ConfigError,
        match=(
            r"0\.0 bits of security with 40 clients of which 4 collude .*: 18 neighbours with a threshold of"
            r" 14 would do"
        ),
    ):
        Terms(directory(40), "test", 1, 10, 6, 4, 20, corrupt=0.1)
    assert Terms(directory(40), "test", 1, 10, 6, 4, 20, corrupt=0.0).threshold == 4


def test_inputs_of_another_form_are_refused() -> None:
    t = terms(4, length=3, bits=8, side=1)
    good = np.zeros(3, np.uint32)
    for vector, side in (
        (good.astype(np.int64), [1]),
        (good[:2], [1]),
        (good, []),
        (good + np.uint32(256), [1]),
        (good.reshape(1, 3), [1]),
    ):
        with pytest.raises(EncodingError):
            Client(t, "c000", KEYS["c000"], vector, side)
    with pytest.raises(ConfigError, match="not the one whose public part"):
        Client(t, "c000", KEYS["c001"], good, [1])
    client = Client(t, "c000", KEYS["c000"], good, [1])
    assert repr(client) == "<client 'c000' in round 1>"
    with pytest.raises(AggregationRefused, match="differ in form"):
        client.answer(b"hello")


def test_the_benchmark_checks_its_sums(monkeypatch, capsys) -> None:
    from protocols.bench import aggregation as bench

    monkeypatch.setattr(bench, "measure_servers", lambda *args, real=bench.measure_servers: real(2, 4, 10))
    monkeypatch.setattr(bench, "CASES", (bench.Case(6, 20, (5, 4)),))
    monkeypatch.setattr(bench, "flower", lambda case: None)  # which may be installed
    bench.run()
    several, _, one, *_ = said = capsys.readouterr().out.splitlines()
    assert several.endswith("2 servers:") and "5 neighbours, threshold 4, 0 drop out" in one
    assert sum(line.endswith("verified") for line in said) == 2
    line = bench.measure(bench.Case(30, 64, None, 0.1))
    assert (
        line["verified"]
        and line["dropped"] == 3
        and line["bytes_up"] < 4 * 64 + 250 * line["neighbours"]
        and line["server_peak_bytes"] > 0
    )
    assert bench.measure(bench.Case(8, 5, (7, 5)))["verified"]
    bench.run(as_json=True)
    assert all(json.loads(line)["verified"] for line in capsys.readouterr().out.splitlines())
