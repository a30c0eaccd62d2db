"""Several servers: seeds to all but one, a vector to the last; checks of range and norm on the shares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from cohort import KEYS, directory, signing_key
from conftest import stream
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import mpc
from mpc.errors import AggregationFailed, ConfigError, EncodingError, MpcError
from protocols.aggregation.messages import HEADER
from protocols.aggregation.several_servers.servers import Aggregator, Servers, contribute, total
from protocols.privacy import JointDiscreteGaussian

SERVER_KEYS = [X25519PrivateKey.from_private_bytes(stream(i, "server").bytes(32)) for i in range(4)]


def terms(n: int, servers: int = 2, length: int = 30, **more) -> Servers:
    return Servers(
        directory(n),
        tuple(k.public_key().public_bytes_raw() for k in SERVER_KEYS[:servers]),
        "test",
        more.pop("number", 1),
        length,
        more.pop("least", 3),
        **more,
    )


def aggregators(t: Servers) -> dict[int, Aggregator]:
    return {rank: Aggregator(t, rank, SERVER_KEYS[rank]) for rank in range(t.size)}


def vectors(t: Servers, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    if t.bound:
        return {name: rng.integers(-3, 4, t.length).astype(np.uint64) for name in t.directory.names}
    return {name: rng.integers(0, 1 << t.bits, t.length, dtype=np.uint32) for name in t.directory.names}


def run(
    t: Servers,
    given: dict[str, np.ndarray],
    *,
    side=(),
    bend=lambda name, rank, m: m,
    suite: str | None = None,
    held=None,
):
    """A round; ``bend`` changes or drops (``None``) what a client sends to a server."""
    held = held or aggregators(t)
    said = {name: contribute(t, name, KEYS[name], x, side) for name, x in given.items()}
    for name, messages in said.items():
        for rank in range(t.size - 1):
            if (message := bend(name, rank, messages[rank])) is not None:
                held[rank].receive(name, message)

    def collect(roster: frozenset[str]) -> Iterator[tuple[str, bytes]]:
        for name, messages in said.items():
            if (message := bend(name, t.size - 1, messages[-1])) is not None:
                yield name, message

    return total(mpc.local(t.size, suite=suite), held, collect)


def plain(t: Servers, given: dict[str, np.ndarray], names) -> list[int]:
    modulus = 2**64 if t.bound else 2**t.bits
    return [sum(int(given[name][j]) for name in names) % modulus for j in range(t.length)]


@settings(max_examples=25)
@given(
    st.integers(3, 9),
    st.integers(2, 4),
    st.integers(1, 50),
    st.sampled_from([1, 9, 32]),
    st.integers(0, 2),
    st.data(),
)
def test_the_sum_is_that_of_whom_all_servers_have(
    n: int, servers: int, length: int, bits: int, side: int, data
) -> None:
    t = terms(n, servers, length, bits=bits, side=side)
    given = vectors(t)
    lost = data.draw(
        st.sets(st.tuples(st.sampled_from(t.directory.names), st.integers(0, servers - 1)), max_size=3)
    )
    there = [name for name in given if not any((name, rank) in lost for rank in range(servers))]
    words = list(range(1 << 63, (1 << 63) + side))

    def one() -> mpc.Session:
        return run(t, given, side=words, bend=lambda name, rank, m: None if (name, rank) in lost else m)

    if len(there) < t.least:
        with pytest.raises(AggregationFailed, match=r"clients are missing"):
            one()
        return
    result = one()
    assert result.clients == tuple(there) and result.vector.tolist() == plain(t, given, there)
    assert result.side.tolist() == [len(there) * w % 2**64 for w in words]
    assert result.faults.keys() == set(given) - set(there)


BAD = {
    "too long": lambda m: m + b"\0",
    "too short": lambda m: m[:-1],
    "empty": lambda m: b"",
    "another round": lambda m: m[:12] + bytes([m[12] ^ 1]) + m[13:],
    "another client": lambda m: m[:8] + b"\3" + m[9:],
    "for another server": lambda m: m[:4] + b"\7" + m[5:],
    "altered": lambda m: m[:-1] + bytes([m[-1] ^ 1]),
    "bad signature": lambda m: m[: HEADER.size] + bytes(64) + m[HEADER.size + 64 :],
    "silence": lambda m: None,
}


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("name", BAD)
def test_a_bad_client_is_left_out(rank: int, name: str) -> None:
    t = terms(6, 3)
    given = vectors(t)
    held = aggregators(t)
    result = run(
        t, given, bend=lambda who, where, m: BAD[name](m) if who == "c001" and where == rank else m, held=held
    )
    assert result.clients == tuple(n for n in given if n != "c001") and result.vector.tolist() == plain(
        t, given, result.clients
    )
    assert "c001" in result.faults and (name == "silence" or "c001" in held[rank].faults)


def test_signed_by_itself_but_wrong() -> None:
    """A seed sealed for another server, and a point of small order:
    named by the server that cannot open it.
    """
    t = terms(5)
    given, place = vectors(t), 1
    for ephemeral, sealed in (
        (bytes(32), bytes(48)),
        (SERVER_KEYS[3].public_key().public_bytes_raw(), bytes(48)),
    ):
        from protocols.aggregation.several_servers import servers as module

        bad = module._signed(KEYS["c001"], t.header(place, 0), ephemeral + sealed)
        held = aggregators(t)
        result = run(
            t,
            given,
            bend=lambda who, where, m, bad=bad: bad if who == "c001" and where == 0 else m,
            held=held,
        )
        assert (
            held[0].faults == {"c001": "its seed is not sealed for this server"} or "c001" in held[0].faults
        )
        assert result.vector.tolist() == plain(t, given, [n for n in given if n != "c001"])


def test_replays_and_second_shares() -> None:
    old, t = terms(5, number=1), terms(5, number=2)
    given = vectors(t)
    before = contribute(old, "c001", KEYS["c001"], given["c001"])
    result = run(t, given, bend=lambda name, rank, m: before[rank] if name == "c001" and rank == 0 else m)
    assert "c001" not in result.clients
    held = aggregators(t)
    first, second = (contribute(t, "c001", KEYS["c001"], given["c001"]) for _ in range(2))
    assert held[0].receive("c001", first[0]) and not held[0].receive("c001", second[0])
    assert "not looked at" in held[0].faults["c001"]
    forged = contribute(t, "c002", KEYS["c002"], given["c002"])
    assert not held[1].receive("c003", forged[1])


def test_each_client_is_added_once_and_a_sum_opened_once() -> None:
    """A last server that lies about whose vectors it has cannot make the others' cancel, or have two sums."""
    t = terms(4, bits=1)
    given = vectors(t)
    held = aggregators(t)
    for name, x in given.items():
        held[0].receive(name, contribute(t, name, KEYS[name], x)[0])
    for lie in ([0, 1, 1], [0, 9], [9]):
        with pytest.raises(MpcError, match="no seed here or are in the sum already"):
            held[0].settle(lie, [True] * len(lie))
    held[0].settle([0, 1], [True, True])
    with pytest.raises(MpcError, match="in the sum already"):
        held[0].settle([1, 2], [True, True])
    with pytest.raises(AggregationFailed, match="2 of 4 clients are missing"):
        held[0].open()
    held[0].settle([2], [True])
    held[0].open()
    with pytest.raises(MpcError, match="has opened its share"):
        held[0].open()


@pytest.mark.parametrize("bits", [1, 9, 31])
def test_what_is_opened_above_the_modulus_is_uniform(bits: int) -> None:
    """The last server's words sum up vectors that were cut to ``bits``: how often that carried would tell who
    is above a mask.
    """
    t = terms(5, 2, 4000, bits=bits)
    given, held = vectors(t), aggregators(t)
    for name, x in given.items():
        for rank, message in enumerate(contribute(t, name, KEYS[name], x)):
            held[rank].receive(name, message)
    for one in held.values():
        one.settle(range(5), [True] * 5)
        words = one.open()[1]
        above = np.concatenate([(words >> np.uint32(j)) & np.uint32(1) for j in range(bits, 32)])
        assert abs(above.mean() - 0.5) < 3 / np.sqrt(above.size)


@pytest.mark.parametrize(("servers", "suite"), [(2, "additive"), (3, "replicated"), (3, "additive")])
@pytest.mark.parametrize("checked", [False, True])
def test_servers_add_noise_of_the_variance_that_is_stated(servers: int, suite: str, checked: bool) -> None:
    """Whoever drops out, to what has passed its check; and only that: the sum beneath is right."""
    more = dict(bound=5, norm=25 * 3000) if checked else dict(bits=20)
    t = terms(5, servers, 3000, noise=Fraction(90_001, 4), **more)
    given = vectors(t)
    if checked:
        given["c002"][7] = 6
    result = run(t, given, bend=lambda name, rank, m: None if name == "c004" else m, suite=suite)
    assert result.clients == ("c000", "c001", *(() if checked else ("c002",)), "c003")
    half = 2**63 if checked else 2**19
    noise = np.array(
        [
            (int(v) - e + half) % (2 * half) - half
            for v, e in zip(result.vector, plain(t, given, result.clients), strict=True)
        ]
    )
    assert stats.kstest(noise / 150.0, "norm").pvalue > 1e-4 and abs(noise.std() / 150 - 1) < 0.08


def test_a_mean_with_noise_from_the_servers() -> None:
    """A mechanism's clients, checks of its limit, its decoding: within the error it states, and its clients
    send no noise.
    """
    codec = JointDiscreteGaussian(epsilon=6.0, delta=1e-4, clip=1.0, clients=6, dimension=2000, rounds=3)
    t = terms(6, 2, codec.encoding.length, bits=codec.encoding.bits, noise=codec.variance)
    given = {
        name: np.random.default_rng(i).normal(size=2000) / 60 for i, name in enumerate(t.directory.names)
    }
    words = {name: codec.encode(x, stream(i, "client")) for i, (name, x) in enumerate(given.items())}
    result = run(t, words, bend=lambda name, rank, m: None if name == "c001" else m)
    clipped = np.mean([x / max(1, np.linalg.norm(x)) for name, x in given.items() if name != "c001"], axis=0)
    off = codec.decode(result.vector, len(result.clients)) - clipped
    assert len(result.clients) == 5 and abs(off.std() / codec.error(5) - 1) < 0.1
    assert (
        np.abs(
            codec.encoding.decode(words["c000"], 1) - given["c000"] / max(1, np.linalg.norm(given["c000"]))
        ).max()
        < 1.01 * codec.step
    )


def test_what_each_server_gets_is_uniform() -> None:
    t = terms(3, 3, 20_000)
    x = np.zeros(t.length, np.uint32)
    first, second, last = contribute(t, "c000", KEYS["c000"], x)
    data = np.frombuffer(last, np.uint8)[HEADER.size + 64 :]
    assert stats.chisquare(np.bincount(data, minlength=256)).pvalue > 1e-5
    assert len(first) == len(second) == HEADER.size + 64 + 80
    held = aggregators(t)
    held[0].receive("c000", first)
    held[1].receive("c000", second)
    partly = np.frombuffer(data.tobytes(), np.uint32) + held[0].share(0)
    assert stats.chisquare(np.bincount(partly.view(np.uint8), minlength=256)).pvalue > 1e-5
    assert not (partly + held[1].share(0)).any()
    again = contribute(t, "c000", KEYS["c000"], x)
    assert np.mean(np.frombuffer(again[2], np.uint8)[HEADER.size + 64 :] == data) < 0.006


@pytest.mark.parametrize(("servers", "suite"), [(2, "additive"), (3, "replicated"), (3, "additive")])
def test_out_of_range_and_too_long_vectors_are_left_out_and_named(servers: int, suite: str) -> None:
    t = terms(10, servers, 12, bound=5, norm=130)
    given = vectors(t)

    def words(*x: int) -> np.ndarray:
        return np.array([v % 2**64 for v in (*x, *[0] * (12 - len(x)))], np.uint64)

    # 144 > 130
    given |= {
        "c001": words(6),
        "c002": words(-6),
        "c003": words(2**63),
        "c004": words(2**32, 2**32),
        "c005": words(*[4] * 9),
        # 125, 130: on the edge
        "c006": words(5, -5, 5, -5, 5),
        "c007": words(2**63 - 1, 1 - 2**63),
        "c008": words(*[-5] * 5, 2, 1),
    }
    result = run(t, given, suite=suite)
    bad = {"c001", "c002", "c003", "c004", "c005", "c007"}
    assert set(result.clients) == set(given) - bad and result.faults.keys() == bad
    assert result.vector.tolist() == plain(t, given, result.clients)
    assert all(
        "out of range: a coordinate beyond ±5, or Σ x² above 130" in result.faults[name] for name in bad
    )


def test_checks_go_in_batches_and_too_few_fail(monkeypatch) -> None:
    from protocols.aggregation.several_servers import servers as module

    monkeypatch.setattr(module, "_CHECKED", 24)  # two vectors at a time
    t = terms(7, 2, 12, bound=5, norm=200, least=6, side=1)
    given = vectors(t)
    given["c004"][3] = 77
    assert set(run(t, given, side=[5]).clients) == set(given) - {"c004"}
    given["c005"][3] = 77
    with pytest.raises(AggregationFailed, match="2 of 7 clients are missing"):
        run(t, given, side=[5])


@pytest.mark.parametrize(
    "change",
    [
        dict(bound=5),
        dict(norm=5),
        dict(bound=2**31, norm=9),
        dict(bound=2**29, norm=2**62, length=64),
        dict(bits=0),
        dict(least=2),
        dict(noise=Fraction(3), side=1),
        dict(length=0),
        dict(servers=1),
    ],
)
def test_terms_that_cannot_be_are_refused(change) -> None:
    with pytest.raises(ConfigError):
        terms(5, **change)


def test_disagreements_are_found() -> None:
    t = terms(5)
    with pytest.raises(ConfigError, match="not the key whose public part"):
        Aggregator(t, 0, SERVER_KEYS[1])
    with pytest.raises(ConfigError):
        replace(t, keys=(t.keys[0], bytes(32)))
    held = {0: Aggregator(t, 0, SERVER_KEYS[0])}
    for other in (replace(t, round=9), replace(t, noise=Fraction(9))):
        with pytest.raises(MpcError, match="same terms"):
            total(mpc.local(2), held | {1: Aggregator(other, 1, SERVER_KEYS[1])}, lambda roster: [])
    with pytest.raises(MpcError, match="session of 2 parties"):
        total(mpc.local(3), aggregators(t), lambda roster: [])
    for vector in (np.zeros(30, np.int32), np.zeros(29, np.uint32)):
        with pytest.raises(EncodingError, match="cannot be aggregated"):
            contribute(t, "c000", KEYS["c000"], vector)
    with pytest.raises(EncodingError, match="not below"):
        contribute(replace(t, bits=8), "c000", KEYS["c000"], np.full(30, 256, np.uint32))
    bad = contribute(t, "c000", signing_key(99), np.zeros(30, np.uint32))
    assert not Aggregator(t, 0, SERVER_KEYS[0]).receive("c000", bad[0])


def test_servers_in_threads() -> None:
    """The same program at each server, which holds one aggregator."""
    t = terms(5, 3)
    given = vectors(t)
    said = {name: contribute(t, name, KEYS[name], x) for name, x in given.items()}

    def main(party: mpc.Session):
        mine = Aggregator(t, party.id, SERVER_KEYS[party.id])
        if party.id < 2:
            for name, messages in said.items():
                if (name, party.id) != ("c003", 1):
                    mine.receive(name, messages[party.id])
        return total(party, {party.id: mine}, lambda roster: [(name, said[name][-1]) for name in roster])

    for result in mpc.local(3).run(main):
        assert result.clients == ("c000", "c001", "c002", "c004") and result.vector.tolist() == plain(
            t, given, result.clients
        )
