"""TCP and TLS links over real loopback sockets: what arrives, who is let in, and how it ends."""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import failure, together
from deployed import DEALER, NAMES, certificates
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.certs import make_authority_and_certificates
from mpc.config import Peer
from mpc.errors import ConfigError, HandshakeError, PartyLost
from mpc.frames import ABORT, BYE, notice
from mpc.party import leave
from mpc.transport import joining, tcp
from mpc.transport.joining import connect
from mpc.transport.tcp import TcpTransport
from mpc.transport.tls import Tls


def tls_of(folder: Path, name: str) -> Tls:
    return Tls(folder / "ca.pem", folder / f"{name}.pem", folder / f"{name}.key")


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("certs"))


@pytest.fixture(params=["plain", "tls"])
def folder(request: pytest.FixtureRequest, certs: Path) -> Path | None:
    return certs if request.param == "tls" else None


class Table:
    """Reserved addresses, and a way to sit down at them."""

    def __init__(self, size: int, folder: Path | None, *, dealer: bool = False, timeout: float = 5) -> None:
        self.listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(size)]
        self.peers = [
            Peer(name, *sock.getsockname()) for name, sock in zip(NAMES, self.listeners, strict=False)
        ]
        self.names = [peer.name for peer in self.peers] + [DEALER] * dealer
        self.dealer, self.folder, self.timeout = DEALER if dealer else None, folder, timeout

    def join(self, rank: int, **changes: object) -> TcpTransport:
        tls = tls_of(self.folder, self.names[rank]) if self.folder else None
        listener = self.listeners[rank] if rank < len(self.listeners) else None
        options = {
            "tls": tls,
            "dealer": self.dealer,
            "timeout": self.timeout,
            "listener": listener,
            **changes,
        }
        return connect(rank, self.peers, **options)  # type: ignore[arg-type]

    def all(self) -> list[TcpTransport]:
        return together(*[lambda rank=rank: self.join(rank) for rank in range(len(self.names))])  # type: ignore[misc]

    def close(self) -> None:
        for sock in self.listeners:
            sock.close()


@pytest.fixture
def table(folder: Path | None) -> Iterator[Table]:
    with closing(Table(2, folder)) as made:
        yield made


def swap(transport: TcpTransport, sizes: list[int], peers: list[int]) -> None:
    """Send known bytes of these sizes to every peer and check what they send."""
    for size in sizes:
        for peer in peers:
            data = memoryview(pattern(transport.rank, peer, size))
            transport.post(peer, [data[:7], data[7:20], data[20:]])
    for size in sizes:
        arrived = {peer: bytearray(size) for peer in peers}
        transport.collect({peer: memoryview(data) for peer, data in arrived.items()})
        for peer, data in arrived.items():
            assert data == pattern(peer, transport.rank, size)
    transport.flush({})


def pattern(source: int, target: int, size: int) -> bytes:
    block = bytes((source * 31 + target * 7 + i) % 251 for i in range(251))
    return (block * (size // 251 + 1))[:size]


def test_sizes(table: Table) -> None:
    ends = table.all()
    together(*[lambda e=e: swap(e, [0, 1, 64, 16384, 16385, 5_000_000, 3], [1 - e.rank]) for e in ends])
    for end in ends:
        end.close()
        end.close()


def test_three_and_a_dealer(folder: Path | None) -> None:
    with closing(Table(3, folder, dealer=True)) as table:
        ends = table.all()
        assert [(end.rank, end.size) for end in ends] == [(0, 3), (1, 3), (2, 3), (3, 3)]
        together(*[lambda e=e: swap(e, [8, 300_000], [r for r in range(4) if r != e.rank]) for e in ends])
        for end in ends:
            end.close()


@pytest.fixture(scope="module", params=["plain", "tls"])
def pair(request: pytest.FixtureRequest, certs: Path) -> Iterator[list[TcpTransport]]:
    with closing(Table(2, certs if request.param == "tls" else None)) as table:
        ends = table.all()
        yield ends
        for end in ends:
            end.close()


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(
        st.one_of(st.integers(0, 100), st.integers(16000, 17000), st.integers(0, 300_000)), max_size=8
    )
)
def test_any_sizes(pair: list[TcpTransport], sizes: list[int]) -> None:
    together(*[lambda e=e: swap(e, sizes, [1 - e.rank]) for e in pair])


def test_a_late_party(table: Table) -> None:
    first = table.peers[0]
    table.listeners[0].close()

    def late() -> TcpTransport:
        time.sleep(0.2)
        return table.join(0, listener=socket.create_server((first.host, first.port)))

    for end in together(late, lambda: table.join(1)):
        end.close()


WORDS = {
    "goodbye": notice(BYE, ""),
    "reason": notice(ABORT, "ValueError"),
    "nothing": b"",
    "half a goodbye": notice(BYE, "")[:-1],
    "other bytes": bytes(64),
}


@pytest.mark.parametrize("unread", [0, 1000])
@pytest.mark.parametrize("words", WORDS)
def test_last_words_are_read(table: Table, words: str, unread: int) -> None:
    """Whoever only sends hears why the peer left, and can still read what it said before."""
    first, second = table.all()
    first.post(1, [memoryview(bytes(unread))])  # a close with unread input is a reset
    time.sleep(0.02)
    second.post(0, [memoryview(b"data"), memoryview(WORDS[words])])
    second.close()
    time.sleep(0.05)

    def send() -> None:
        for _ in range(5):
            first.post(1, [memoryview(bytes(100_000))])

    if words == "goodbye":
        send()
        first.flush()
    else:
        with pytest.raises(
            PartyLost, match="bob gave up: ValueError" if words == "reason" else "bob closed the connection"
        ):
            send()
    data = bytearray(4)
    first.collect({1: memoryview(data)})
    assert data == b"data"
    rest = bytearray(len(WORDS[words]) + 1)
    with pytest.raises(PartyLost, match="bob closed the connection"):
        first.collect({1: memoryview(rest)})
    assert rest[:-1] == WORDS[words]
    first.close()


@pytest.mark.parametrize("words", WORDS)
def test_a_peer_that_is_gone_is_noticed_without_a_word_to_it(
    table: Table, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the next look, whatever it is that a party does: its own sends may all go elsewhere."""
    monkeypatch.setattr(tcp, "LOOK", 0.0)
    first, second = table.all()
    first.look()
    second.post(0, [memoryview(WORDS[words])])
    second.close()
    time.sleep(0.05)
    if words == "goodbye":
        first.look()
    else:
        with pytest.raises(PartyLost):
            first.look()
    first.close()


def test_a_peer_that_is_gone_is_noticed_while_waiting_for_another(folder: Path | None) -> None:
    with closing(Table(3, folder, timeout=30)) as table:
        first, second, third = table.all()
        start = time.monotonic()

        def later() -> None:
            time.sleep(0.1)
            second.close()

        _, error = together(later, lambda: failure(lambda: first.collect({2: memoryview(bytearray(1))})))
        assert "bob closed the connection" in str(error) and time.monotonic() - start < 10
        first.close()
        third.close()


def test_what_does_not_arrive_is_noticed_at_the_end(table: Table) -> None:
    """Though all of it has left this process: a peer that ends before it has read."""
    first, second = table.all()
    first.post(1, [memoryview(bytes(1000))])
    time.sleep(0.05)
    second.close()
    with pytest.raises(PartyLost, match="bob closed the connection"):
        first.flush()
    first.close()


@pytest.mark.parametrize("size", [2_000_000, 50_000_000])  # what kernels hold, and more
def test_who_leaves_with_others_words_unread_does_not_wait_for_ever(folder: Path | None, size: int) -> None:
    """What was begun in advance, and not needed in the end, is on its way in all directions."""
    with closing(Table(3, folder, timeout=30)) as table:
        ends = table.all()
        for end in ends:
            for peer in {0, 1, 2} - {end.rank}:
                end.post(peer, [memoryview(bytes(size))])
        start = time.monotonic()
        together(*[lambda end=end: leave(end, {0, 1, 2} - {end.rank}) for end in ends])  # type: ignore[misc]
        assert time.monotonic() - start < 10


@pytest.mark.parametrize("words", WORDS)
def test_what_is_thrown_away_at_the_end_may_end_in_last_words(table: Table, words: str) -> None:
    first, second = table.all()
    first.post(1, [memoryview(bytes(50_000_000))])
    second.post(0, [memoryview(bytes(2_000_000)), memoryview(WORDS[words])])

    def later() -> None:
        time.sleep(0.3)
        second.close()

    if words == "goodbye":
        together(first.flush, later)
    else:
        error, _ = together(lambda: failure(first.flush), later)
        said = "gave up: ValueError" if words == "reason" else "closed the connection"
        assert str(error) == f"bob {said}"
    first.close()


@pytest.mark.parametrize("size", [0, 50_000_000])
def test_a_link_that_breaks_at_the_end_is_told_at_once(certs: Path, size: int) -> None:
    with closing(Table(3, certs, timeout=30)) as table:
        ends = first, second, _ = table.all()
        first.post(2, [memoryview(bytes(size))])
        socket.socket.send(second._links[0].socket, bytes(300))  # type: ignore[arg-type]
        time.sleep(0.05)
        start = time.monotonic()
        assert "the TLS link to bob broke" in str(failure(first.flush))
        assert time.monotonic() - start < 5
        for end in ends:
            end.close()


def test_an_error_is_told_though_something_was_thrown_away(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = table.all()
    lost = bytearray(100), TimeoutError(errno.ETIMEDOUT, "timed out")
    monkeypatch.setattr(tcp._Link, "remains", lambda link: lost)
    second.close()
    assert "does not answer any more" in str(failure(first.flush))
    first.close()


def test_who_leaves_a_lost_peer_says_goodbye_to_the_others(folder: Path | None) -> None:
    with closing(Table(3, folder, timeout=30)) as table:
        first, second, third = table.all()
        first.post(1, [memoryview(bytes(10_000_000))])
        third.close()
        arrived = bytearray(10_000_000 + len(notice(BYE, "")))
        error, _ = together(
            lambda: failure(lambda: leave(first, [1, 2])),
            lambda: second.collect({0: memoryview(arrived)}),
        )
        assert "cy closed the connection" in str(error) and arrived.endswith(notice(BYE, ""))
        second.close()


def test_who_only_sends_does_not_keep_others_from_giving_up(folder: Path | None) -> None:
    with closing(Table(2, folder, timeout=0.5)) as table:
        first, second = table.all()
        first.post(1, [memoryview(bytes(50_000_000))])
        until = time.monotonic() + 5

        def on_and_on() -> None:
            while time.monotonic() < until and second.post(0, [memoryview(bytes(1000))]) < 1 << 20:
                time.sleep(0.001)

        error, _ = together(lambda: failure(first.flush), on_and_on)
        assert "bob took nothing for 0.5 s" in str(error)
        first.close()
        second.close()


def test_a_busy_peer_is_not_taken_for_a_dead_machine(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads nothing and its receive buffer is full; its machine answers."""
    monkeypatch.setattr(tcp, "DEAF", 0.5)
    monkeypatch.setattr(tcp, "LOOK", 0.0)
    first, second = table.all()
    first.post(1, [memoryview(bytes(50_000_000))])
    until = time.monotonic() + 4
    while time.monotonic() < until:
        first.look()
        time.sleep(0.05)
    arrived = bytearray(50_000_000)
    together(first.flush, lambda: second.collect({0: memoryview(arrived)}))
    first.close()
    second.close()


def test_silence(folder: Path | None) -> None:
    with closing(Table(2, folder, timeout=0.3)) as table:
        first, second = table.all()
        with pytest.raises(PartyLost, match=r"bob said nothing for 0\.3 s"):
            first.collect({1: memoryview(bytearray(1))})
        first.post(1, [memoryview(bytes(50_000_000))])
        with pytest.raises(PartyLost, match=r"bob took nothing for 0\.3 s"):
            first.flush()
        first.close()
        second.close()


def test_strangers_do_not_matter(table: Table) -> None:
    first = table.peers[0]
    with (
        socket.create_connection((first.host, first.port)) as garbage,
        socket.create_connection((first.host, first.port)),
    ):
        garbage.sendall(b"GET / HTTP/1.0\r\n\r\n")
        start = time.monotonic()
        ends = table.all()
        assert time.monotonic() - start < 2
        together(*[lambda e=e: swap(e, [100], [1 - e.rank]) for e in ends])
        for end in ends:
            end.close()


def test_nobody_comes(folder: Path | None) -> None:
    with closing(Table(2, folder, timeout=0.3)) as table:
        table.listeners[0].close()
        error = failure(lambda: table.join(1))
        assert isinstance(error, PartyLost) and "ann did not join within 0.3 s" in str(error)
        assert "it does not listen" in str(error)
    with closing(Table(2, folder, timeout=2)) as table:
        first = table.peers[0]
        with socket.create_connection((first.host, first.port)) as garbage:
            garbage.sendall(b"\xff" * 100)
            error = failure(lambda: table.join(0))
        assert isinstance(error, HandshakeError) and "bob did not join" in str(error)
        assert "does not speak" in str(error)


def test_port_in_use(folder: Path | None) -> None:
    with (
        closing(Table(2, folder)) as table,
        pytest.raises(ConfigError, match=r"cannot listen on 127.0.0.1:\d+ .*another port"),
    ):
        table.join(0, listener=None)


def test_one_seat_for_one() -> None:
    with closing(Table(3, None, timeout=1)) as table:
        calls = [
            lambda: failure(lambda: table.join(0)),
            lambda: failure(lambda: connect(2, table.peers, tls=None, timeout=1)),
        ] * 2
        first, *others = together(calls[0], calls[1], calls[1])
        assert "bob did not join" in str(first) and "cy has already joined" in str(first)
        assert sum("refused us: cy has already joined" in str(error) for error in others) == 1


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strange")
    make_authority_and_certificates(NAMES, folder)
    return folder


def refused(table: Table, rank: int, tls: Tls) -> tuple[str, str]:
    """What both parties say when party ``rank`` comes with another certificate."""
    errors = together(
        lambda: failure(lambda: table.join(0, **({"tls": tls} if rank == 0 else {}))),
        lambda: failure(lambda: table.join(1, **({"tls": tls} if rank == 1 else {}))),
    )
    assert all(isinstance(error, HandshakeError) for error in errors)
    return str(errors[0]), str(errors[1])


def test_wrong_authority(certs: Path, strange: Path) -> None:
    mixed = Tls(certs / "ca.pem", strange / "bob.pem", strange / "bob.key")
    with closing(Table(2, certs, timeout=0.5)) as table:
        first, second = refused(table, 1, mixed)
    assert "bob did not join" in first and "certificate of another authority" in first
    assert second == "party ann refused our certificate: it trusts another authority"
    with closing(Table(2, certs, timeout=0.5)) as table:
        first, second = refused(table, 0, tls_of(strange, "ann"))
    assert "cannot be trusted: certificate of another authority" in second
    assert "it refused our certificate: it trusts another authority" in first


def test_expired(tmp_path: Path) -> None:
    make_authority_and_certificates(["bob"], tmp_path, days=1, not_before=datetime(2020, 1, 1, tzinfo=UTC))
    make_authority_and_certificates(["ann"], tmp_path)
    with closing(Table(2, tmp_path, timeout=0.5)) as table:
        first, second = refused(table, 1, tls_of(tmp_path, "bob"))
    assert "certificate has expired" in first
    assert second == "party ann refused our certificate: it has expired"


def test_not_yet_valid(tmp_path: Path) -> None:
    make_authority_and_certificates(["ann"], tmp_path)
    make_authority_and_certificates(
        ["bob"], tmp_path, days=5, not_before=datetime.now(UTC) + timedelta(days=10)
    )
    with closing(Table(2, tmp_path, timeout=0.5)) as table:
        first, second = refused(table, 1, tls_of(tmp_path, "bob"))
    assert "certificate is not yet valid: compare the clocks" in first
    assert (
        second.startswith("party ann refused our certificate: ") and "not yet valid there: compare" in second
    )


class _Bare(Tls):
    """A party that shows no certificate."""

    def client(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.authority)
        return context


def test_no_certificate(certs: Path) -> None:
    bare = _Bare(certs / "ca.pem", certs / "bob.pem", certs / "bob.key")
    with closing(Table(2, certs, timeout=0.5)) as table:
        first, second = refused(table, 1, bare)
    assert "it showed no certificate" in first
    assert second == "party ann refused our certificate: we showed none"


def test_wrong_name(certs: Path) -> None:
    with closing(Table(2, certs, timeout=0.5)) as table:
        first, second = refused(table, 1, tls_of(certs, "cy"))
    assert "claims to be bob but its certificate is for cy" in first
    assert second == "party ann refused us: claims to be bob but its certificate is for cy"
    with closing(Table(2, certs, timeout=0.5)) as table:
        first, second = refused(table, 0, tls_of(certs, "cy"))
    assert "is not party ann: its certificate is for another name" in second
    assert "it refused our certificate: it is for another name than is expected here" in first


def test_tls_is_not_optional(certs: Path) -> None:
    with closing(Table(2, certs, timeout=0.5)) as table:
        errors = together(
            lambda: failure(lambda: table.join(0)), lambda: failure(lambda: table.join(1, tls=None))
        )
    assert "does not speak TLS" in str(errors[0])


def test_a_slow_stranger_is_dropped(folder: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "STRANGER", 0.1)
    with closing(Table(2, folder, timeout=0.4)) as table:
        first = table.peers[0]
        with socket.create_connection((first.host, first.port)) as slow:
            slow.sendall(b"\0")
            error = failure(lambda: table.join(0))
            assert slow.recv(1) == b""
        assert "it did not say who it is within 0.1 s" in str(error)


def test_without_a_limit(table: Table) -> None:
    first, second = table.all()
    first.timeout = None
    heard = bytearray(1)

    def later() -> None:
        time.sleep(0.1)
        second.post(0, [memoryview(b"!")])

    together(later, lambda: first.collect({1: memoryview(heard)}))
    assert heard == b"!"
    first.close()
    second.close()
