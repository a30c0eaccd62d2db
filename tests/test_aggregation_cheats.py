"""A server that cheats: the clients refuse, and nobody's two secrets are opened."""

from __future__ import annotations

import copy
import math
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from cohort import KEYS, Net, at, clients, directory, inputs, signing_key, terms, total
from conftest import stream
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc.errors import AggregationFailed, AggregationRefused, ConfigError
from protocols.aggregation import messages as wire
from protocols.aggregation.channel import TAG_BYTES, Channel, Kind
from protocols.aggregation.messages import HEADER, Phase
from protocols.aggregation.one_server import bounds
from protocols.aggregation.one_server.server import Server
from protocols.aggregation.one_server.terms import Terms


def net_of(t: Terms, **more) -> Net:
    return Net(Server(t), clients(t, inputs(t)), **more)


def up_to(net: Net, phase: Phase) -> Net:
    while net.server.phase is not phase:
        net.phase()
        net.server.advance()
    return net


def survivors_without(t: Terms, name: str, message: bytes, victim: str) -> bytes:
    """A CONFIRM message in which the victim has dropped out."""
    me, gone, size = t.directory.place(name), t.directory.place(victim), -(-t.clients // 8)
    near = t.graph.neighbours(me)
    data = memoryview(message)[HEADER.size :]
    alive = [i for i, flag in enumerate(wire.unpack_bits(data[:size], t.clients)) if flag and i != gone]
    items = {i: tag for i, tag in wire.unpack_items(near, data[size:], TAG_BYTES).items() if i != gone}
    return message[: HEADER.size] + wire.pack_bits(alive, t.clients) + wire.pack_items(near, items)


def two_stories(t: Terms, told: set[str], victim: str) -> Counter[bool]:
    """A server that tells ``told`` that the victim has dropped out and the others that it has not, and passes
    on every tag it gets: how many of the victim's neighbours open a share of its mask key (True), and of its
    b (False)."""
    net = up_to(net_of(t), Phase.CONFIRM)
    tags: dict[str, dict[int, bytes]] = {name: {} for name in net.clients}
    for name, message in net.server.requests():
        near = t.graph.neighbours(me := t.directory.place(name))
        answer = net.clients[name].answer(
            survivors_without(t, name, message, victim) if name in told else message
        )
        for i, tag in wire.unpack_items(near, memoryview(answer)[HEADER.size :], TAG_BYTES).items():
            tags[t.directory.names[i]][me] = tag
    gone, opened = t.directory.place(victim), Counter[bool]()
    for name, items in tags.items():
        near = t.graph.neighbours(me := t.directory.place(name))
        try:
            answer = net.clients[name].answer(
                wire.header(wire.TO_CLIENT, Phase.UNMASK, me, t.digest) + wire.pack_items(near, items)
            )
        except AggregationRefused as error:
            assert "vouch for the same survivors" in str(error)
            continue
        opened[name in told] += gone in wire.unpack_items(
            near, memoryview(answer)[HEADER.size :], wire.SHARE_BYTES
        )
    return opened


@pytest.mark.parametrize("split", range(3, 9))
def test_two_sets_of_survivors(split: int) -> None:
    """Some clients hear that c009 has dropped out, the others not: at most one side is convinced."""
    t = terms(10, threshold=6)
    opened = two_stories(t, {f"c{i:03}" for i in range(split)}, "c009")
    assert min(opened[True], opened[False]) == 0
    assert opened[True] in (0, split) and (split < 6) <= (opened[True] == 0)


def test_on_a_ring_no_two_sides_are_convinced_of_different_survivors() -> None:
    """The same on a ring, where neighbourhoods differ, for every arc that is lied to: never t shares of each
    kind, and a victim whose mask key can be opened opens nothing itself."""
    t = terms(12, degree=6, threshold=5, corrupt=0.0)
    order, names = t.graph._order.tolist(), t.directory.names
    convinced = Counter[bool]()
    for start in range(0, 12, 5):
        for length in (1, 3, 6, 9, 11):
            told = {names[order[(start + i) % 12]] for i in range(length)}
            opened = two_stories(t, told, names[order[(start + length) % 12]])
            assert min(opened[True], opened[False]) < t.threshold
            convinced += Counter({kind: count >= t.threshold for kind, count in opened.items()})
    # lies that everybody hears, or hardly anybody, are just drop-outs
    assert convinced[True] and convinced[False]


def test_both_kinds_of_share() -> None:
    """Asked again after it has answered, in any way, a client says nothing."""
    t = terms(6, threshold=4)
    net = net_of(t)
    up_to(net, Phase.CONFIRM)
    lie = survivors_without(t, "c000", dict(net.server.requests())["c000"], "c005")
    net.run()
    client = net.clients["c000"]
    for again in (
        lie,
        net.heard["c000", Phase.UNMASK],
        net.heard["c000", Phase.CONFIRM],
        net.heard["c000", Phase.ADVERTISE],
    ):
        with pytest.raises(AggregationRefused, match="no further part"):
            client.answer(again)


def test_a_second_list_of_survivors_before_the_shares() -> None:
    t = terms(6, threshold=4)
    net = net_of(t)
    up_to(net, Phase.CONFIRM)
    request = dict(net.server.requests())["c000"]
    net.clients["c000"].answer(request)
    with pytest.raises(AggregationRefused, match="phase 4 arrived where UNMASK was due"):
        net.clients["c000"].answer(survivors_without(t, "c000", request, "c005"))
    with pytest.raises(AggregationRefused, match="no further part"):
        net.clients["c000"].answer(request)


def _adverts(t: Terms, name: str, message: bytes, change) -> bytes:
    near = t.graph.neighbours(t.directory.place(name))
    items = wire.unpack_items(near, memoryview(message)[HEADER.size :], wire.ADVERT_BYTES)
    return message[: HEADER.size] + wire.pack_items(near, {i: change(i, a) for i, a in items.items()})


@pytest.mark.parametrize("part", [0, 32])
@pytest.mark.parametrize("signed", [False, True])
def test_a_swapped_key(part: int, signed: bool) -> None:
    """The server puts its own mask key or channel key in place of a neighbour's, with the old signature or
    one of its own.
    """
    t = terms(6)
    mine = X25519PrivateKey.generate().public_key().public_bytes_raw()

    def swap(i: int, advert: bytes) -> bytes:
        if i != 3:
            return advert
        keys = advert[:part] + mine + advert[part + 32 : 64]
        text = wire.header(wire.TO_SERVER, Phase.ADVERTISE, i, t.digest) + keys
        return keys + (signing_key(99).sign(wire.signed_text(text)) if signed else advert[64:])

    net = net_of(t)
    net.ask = lambda name, phase, m: (
        _adverts(t, name, m, swap) if phase is Phase.SHARE and name == "c000" else m
    )
    up_to(net, Phase.MASK)
    assert (
        net.refused.keys() == {"c000"}
        and "the keys of 'c003' do not bear its signature" in net.refused["c000"]
    )


def test_a_server_that_plays_the_neighbours() -> None:
    """All neighbours' keys are the server's own: every client refuses, and no share leaves it."""
    t = terms(6)

    def mine(i: int, advert: bytes) -> bytes:
        keys = b"".join(X25519PrivateKey.generate().public_key().public_bytes_raw() for _ in range(2))
        return keys + signing_key(50 + i).sign(
            wire.signed_text(wire.header(wire.TO_SERVER, Phase.ADVERTISE, i, t.digest) + keys)
        )

    net = net_of(t)
    net.ask = lambda name, phase, m: _adverts(t, name, m, mine) if phase is Phase.SHARE else m
    with pytest.raises(AggregationFailed, match="6 of 6 clients are missing"):
        net.run()
    assert len(net.refused) == 6 and not any(phase is Phase.SHARE for _, phase in net.said)


def test_keys_of_an_earlier_round_and_of_small_order() -> None:
    t, old = terms(6), terms(6, number=0)
    before = net_of(old)
    before.run()
    net = net_of(t)
    net.ask = lambda name, phase, m: (
        _adverts(t, name, m, lambda i, a: before.said[t.directory.names[i], Phase.ADVERTISE][HEADER.size :])
        if phase is Phase.SHARE
        else m
    )
    with pytest.raises(AggregationFailed):
        net.run()
    assert all("do not bear its signature" in why for why in net.refused.values())

    for part, what in ((0, "mask key"), (32, "channel key")):  # signed by a client that colludes

        def weak(i: int, advert: bytes, part=part) -> bytes:
            keys = advert[:part] + bytes(32) + advert[part + 32 : 64]
            return (
                keys
                + KEYS["c003"].sign(
                    wire.signed_text(wire.header(wire.TO_SERVER, Phase.ADVERTISE, 3, t.digest) + keys)
                )
                if i == 3
                else advert
            )

        net = net_of(t)
        net.ask = lambda name, phase, m, weak=weak: (
            _adverts(t, name, m, weak) if phase is Phase.SHARE and name == "c000" else m
        )
        net.run()
        assert what in net.refused["c000"] and "no sound point" in net.refused["c000"]
        assert ("c000", Phase.MASK) not in net.said


LIES = {
    "length": dict(length=41),
    "side values": dict(side=1),
    "modulus": dict(bits=31),
    "degree": dict(degree=8, threshold=8),
    "threshold": dict(threshold=6),
    "fewest clients": dict(least=4),
    "round": dict(round=2),
    "session": dict(session="other"),
    "directory": dict(directory=directory(10, seed=1)),
}


@pytest.mark.parametrize("what", LIES)
def test_other_terms(what: str) -> None:
    """The graph's seed and the list of clients are the directory's."""
    t = terms(10, degree=9, threshold=7)
    other = replace(t, **LIES[what])
    for client in clients(t, inputs(t)).values():
        server = Server(other)
        with pytest.raises(AggregationRefused, match=f"the server's terms differ in {what}"):
            client.answer(dict(server.requests())[client.name])


def test_a_threshold_of_one() -> None:
    """No terms can be made with it, here; a server that has made them finds no client, even if it lies about
    it.
    """
    t = terms(10, degree=9, threshold=7)
    forged = copy.copy(t)
    object.__setattr__(forged, "threshold", 1)
    forged.__dict__.pop("digest", None)
    net = Net(Server(forged), clients(t, inputs(t)))
    with pytest.raises(AggregationFailed):
        net.run()
    assert len(net.refused) == 10 and all(
        "differ in threshold: 1, where this client has 7" in why for why in net.refused.values()
    )
    honest = dict(Server(t).requests())
    net = Net(
        Server(forged),
        clients(t, inputs(t)),
        ask=lambda name, phase, m: honest[name] if phase is Phase.ADVERTISE else m,
    )
    # then its own messages have another digest
    with pytest.raises(AggregationFailed):
        net.run()
    assert not any(phase is Phase.SHARE for _, phase in net.said)


def test_lies_about_who_is_there() -> None:
    t = terms(8, degree=7, threshold=5, least=6)

    def confirm(lie):
        net = net_of(t)
        net.ask = at(Phase.CONFIRM, ["c000"], lie(net))
        up_to(net, Phase.UNMASK)
        return net.refused["c000"]

    assert "this very client has dropped out" in confirm(
        lambda net: lambda m: survivors_without(t, "c000", m, "c000")
    )

    def few(m):
        for gone in ("c005", "c006", "c007"):
            m = survivors_without(t, "c000", m, gone)
        return m

    assert "5 of 8 clients have survived, and 6 must be in the sum" in confirm(lambda net: few)

    for phase, start, size, text in (
        (Phase.SHARE, 0, wire.ADVERT_BYTES, "4 of its 7 neighbours have advertised keys, and 5 are needed"),
        (Phase.MASK, 0, wire.SEALED_BYTES, "4 of its 7 neighbours have dealt shares"),
        (Phase.UNMASK, 0, TAG_BYTES, "4 of its 7 neighbours vouch for the same survivors"),
    ):
        net = net_of(t)
        near = t.graph.neighbours(0)

        def fewer(m, start=start, size=size, near=near):
            items = wire.unpack_items(near, memoryview(m)[HEADER.size + start :], size)
            return m[: HEADER.size + start] + wire.pack_items(near, dict(list(items.items())[:4]))

        net.ask = at(phase, ["c000"], fewer)
        while net.server.phase:
            net.phase()
            net.server.advance()
        assert text in net.refused["c000"]


def test_survivors_that_have_not_dealt() -> None:
    """c000 hears that c001 has dealt nothing, so there is no common mask; then c001 survives: refused."""
    t = terms(8, threshold=5)
    net = net_of(t)

    def without(m: bytes) -> bytes:
        near = t.graph.neighbours(0)
        items = wire.unpack_items(near, memoryview(m)[HEADER.size :], wire.SEALED_BYTES)
        return m[: HEADER.size] + wire.pack_items(near, {i: s for i, s in items.items() if i != 1})

    net.ask = at(Phase.MASK, ["c000"], without)
    net.tell = at(
        Phase.MASK,
        ["c000"],
        lambda m: m[: -2 * TAG_BYTES - 1] + b"\x7f" + m[-2 * TAG_BYTES :] + bytes(TAG_BYTES),
    )
    up_to(net, Phase.CONFIRM)
    message = next((m for name, m in net.server.requests() if name == "c000"), None)
    # the server is honest otherwise and has dropped c000: bring it back
    if message is None:
        size = 1
        message = (
            wire.header(wire.TO_CLIENT, Phase.CONFIRM, 0, t.digest)
            + b"\xff"[:size]
            + wire.pack_items(t.graph.neighbours(0), {})
        )
    with pytest.raises(AggregationRefused, match="survives that had dropped out before"):
        net.clients["c000"].answer(message)


def test_shares_from_a_neighbour_whose_keys_were_held_back() -> None:
    t = terms(6)
    net = net_of(t)
    net.ask = at(
        Phase.SHARE,
        ["c000"],
        lambda m: (
            m[: HEADER.size]
            + wire.pack_items(
                t.graph.neighbours(0),
                {
                    i: a
                    for i, a in wire.unpack_items(
                        t.graph.neighbours(0), memoryview(m)[HEADER.size :], wire.ADVERT_BYTES
                    ).items()
                    if i != 3
                },
            )
        ),
    )
    up_to(net, Phase.SHARE)
    request = dict(net.server.requests())["c000"]
    net.clients["c000"].answer(net.ask("c000", Phase.SHARE, request))
    sealed = wire.header(wire.TO_CLIENT, Phase.MASK, 0, t.digest) + wire.pack_items(
        t.graph.neighbours(0), dict.fromkeys(range(1, 6), bytes(wire.SEALED_BYTES))
    )
    with pytest.raises(AggregationRefused, match="shares came from a neighbour whose keys did not"):
        net.clients["c000"].answer(sealed)


def test_forged_tags_convince_nobody() -> None:
    """The server makes up tags, or passes on those of others, or those that were about another list."""
    t = terms(6, threshold=4)
    for forge in (
        lambda items: dict.fromkeys(items, bytes(TAG_BYTES)),
        lambda items: dict(zip(items, [*list(items.values())[1:], bytes(TAG_BYTES)], strict=True)),
    ):
        net = net_of(t)

        def bend(m, forge=forge):
            near = t.graph.neighbours(0)
            return m[: HEADER.size] + wire.pack_items(
                near, forge(wire.unpack_items(near, memoryview(m)[HEADER.size :], TAG_BYTES))
            )

        net.ask = at(Phase.UNMASK, ["c000"], bend)
        net.run()
        assert "0 of its 5 neighbours vouch for the same survivors" in net.refused["c000"]


def test_no_share_of_b_without_the_owners_word_that_the_mask_is_in() -> None:
    """Forged "included" tags: the client goes on but opens nothing of those neighbours."""
    t = terms(8, threshold=5)
    net = net_of(t)

    def bend(m: bytes) -> bytes:
        near = t.graph.neighbours(0)
        items = wire.unpack_items(near, memoryview(m)[HEADER.size + 1 :], TAG_BYTES)
        return m[: HEADER.size + 1] + wire.pack_items(near, {**items, 3: bytes(TAG_BYTES), 4: items[5]})

    net.ask = at(Phase.CONFIRM, ["c000"], bend)
    net.run()
    items = wire.unpack_items(
        t.graph.neighbours(0), memoryview(net.said["c000", Phase.UNMASK])[HEADER.size :], wire.SHARE_BYTES
    )
    assert items.keys() == {1, 2, 5, 6, 7}


@pytest.mark.parametrize("phase", Phase)
def test_messages_of_another_round_and_of_another_length(phase: Phase) -> None:
    """What the server said in an earlier round, or to the same clients in another session; a byte less, and
    one more.
    """
    t, old = terms(6, threshold=4), terms(6, threshold=4, number=0)
    before = net_of(old)
    before.run()
    texts = {
        "replay": (
            "terms differ in round: 0"
            if phase is Phase.ADVERTISE
            else "another round, session or under other terms"
        ),
        "short": "form" if phase is Phase.ADVERTISE else "bytes arrived where|not encoded as it must be",
        "long": "form" if phase is Phase.ADVERTISE else "bytes arrived where",
    }
    bends = {
        "replay": lambda m: before.heard["c000", phase],
        "short": lambda m: m[:-1],
        "long": lambda m: m + b"\0",
    }
    for what, bend in bends.items():
        net = net_of(t)
        net.ask = at(phase, ["c000"], bend)
        net.run()
        assert re.search(texts[what], net.refused["c000"]) and ("c000", phase) not in net.said


def test_shares_that_were_sealed_for_another() -> None:
    """The server gives c000 what c003 has sealed for c004, and what c000 itself has sealed for c003: c000
    goes on, and opens nothing of those it holds no share of."""
    t = terms(8, threshold=5)
    net = net_of(t)

    def swap(m: bytes) -> bytes:
        items = {
            i: wire.unpack_items(
                t.graph.neighbours(i),
                memoryview(net.said[t.directory.names[i], Phase.SHARE])[HEADER.size + 32 :],
                wire.SEALED_BYTES,
            )
            for i in range(8)
        }
        own = wire.unpack_items(t.graph.neighbours(0), memoryview(m)[HEADER.size :], wire.SEALED_BYTES)
        return m[: HEADER.size] + wire.pack_items(
            t.graph.neighbours(0), {**own, 3: items[3][4], 5: items[0][5]}
        )

    net.ask = at(Phase.MASK, ["c000"], swap)
    net.run()
    items = wire.unpack_items(
        t.graph.neighbours(0), memoryview(net.said["c000", Phase.UNMASK])[HEADER.size :], wire.SHARE_BYTES
    )
    assert items.keys() == {1, 2, 4, 6, 7} and not net.refused


def test_no_terms_with_all_others_colluding() -> None:
    """Of n clients, n − 1 with the server: the sum would be the input of the last one."""
    with pytest.raises(ConfigError, match="bits of security"):
        replace(terms(10, threshold=9), corrupt=0.9, security=40)


# -- the fewest clients, when the server lies --------------------------------------------------------------


def halves(t: Terms, at: tuple[int, int]) -> tuple[int, bool]:
    """A server that leaves out two clients at these places of the ring, and tells each half of it that the
    one in the other half is there.

    How many clients' sum it opens, and whether the sum is right; 0 if clients say no.
    """
    forged = copy.copy(t)
    # computed before the lie, so that headers are right
    assert forged.digest == t.digest
    object.__setattr__(forged, "least", 3)
    order, n = t.graph._order.tolist(), t.clients
    gone = [order[place] for place in at]
    half = {t.directory.names[who]: 2 * place // n for place, who in enumerate(order)}
    given = inputs(t)
    there = {name: pair for name, pair in given.items() if t.directory.place(name) not in gone}

    def bend(name: str, phase: Phase, message: bytes) -> bytes:
        if phase is Phase.ADVERTISE:
            return message[: HEADER.size] + t.encode()
        if phase is Phase.CONFIRM:
            size = -(-n // 8)
            data = memoryview(message)[HEADER.size :]
            alive = np.flatnonzero(wire.unpack_bits(data[:size], n)).tolist()
            return (
                message[: HEADER.size]
                + wire.pack_bits([*alive, gone[1 - half[name]]], n)
                + bytes(data[size:])
            )
        return message

    net = Net(Server(forged), clients(t, there), ask=bend)
    try:
        result = net.run()
    except AggregationFailed:
        return 0, False
    return len(result.clients), result.vector.tolist() == total(t, given, result.clients)[0]


def test_a_lie_about_who_is_far_away_takes_clients_out_of_the_sum() -> None:
    """On a ring, clients see only their neighbours: two lists of survivors, each as long as it must be, open
    a sum of fewer clients than ``least``, though nobody colludes (``bounds.py``, "one list").  Not with a
    threshold above two thirds of the neighbours, and not where all are neighbours of all."""
    middle, far = (6, 19), dict(least=25, corrupt=0.0)
    ring = terms(26, degree=12, threshold=7, **far)
    assert halves(ring, middle) == (24, True)
    assert bounds.security(26, 12, 7, 0.0) == math.inf and bounds.fewest(26, 12, 7, 0.0) <= 24
    assert halves(terms(26, degree=12, threshold=9, one_list=True, **far), middle) == (0, False)
    assert (
        bounds.security(26, 12, 7, 0.0, one_list=True) == 0.0
        and bounds.security(26, 12, 9, 0.0, one_list=True) == math.inf
    )
    assert halves(terms(26, threshold=14, **far), middle) == (0, False)


def test_channels_bind_names_kind_and_terms() -> None:
    a, b = (X25519PrivateKey.from_private_bytes(stream(i, "channel").bytes(32)) for i in (1, 2))
    pa, pb = (k.public_key().public_bytes_raw() for k in (a, b))
    digest = bytes(32)
    sealed = Channel(a, pb, digest, 1, 2).seal(Kind.SHARES, b"text", b"about")
    assert Channel(b, pa, digest, 2, 1).open(Kind.SHARES, sealed, b"about") == b"text"
    assert Channel(b, pa, digest, 2, 1).open(Kind.SHARES, sealed, b"other") is None
    assert Channel(b, pa, digest, 2, 1).open(Kind.INCLUDED, sealed, b"about") is None
    assert Channel(b, pa, b"\1" * 32, 2, 1).open(Kind.SHARES, sealed, b"about") is None
    assert Channel(b, pa, digest, 3, 1).open(Kind.SHARES, sealed, b"about") is None
    # not sent back to its sender
    assert Channel(a, pb, digest, 1, 2).open(Kind.SHARES, sealed, b"about") is None
    assert "text" not in repr(Channel(a, pb, digest, 1, 2))
