"""The aggregation server's door: what strangers and clients do there costs them their connection, and nobody
else anything.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import selectors
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aggregating import (
    DIMENSION,
    Serving,
    Speaker,
    a_normal_round,
    connect,
    context_of,
    deployment,
    frame,
    hello,
    joined,
    reset,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from test_aggregate_cli import events
from test_cli import ROOT, Processes, ended

from mpc.errors import AggregationFailed, ConfigError, PartyLost
from protocols.aggregation.messages import HEADER, Phase
from protocols.aggregation.one_server.client import Client
from protocols.aggregation.one_server.server import Server
from protocols.aggregation.service import door, hub, sparing
from protocols.aggregation.service import plan as plans
from protocols.aggregation.service.door import Door, Said
from protocols.aggregation.service.frames import Kind
from protocols.aggregation.service.hub import Hub
from protocols.aggregation.service.journal import Journal
from protocols.aggregation.service.member import Member
from protocols.aggregation.service.server import Service

NAMES = [f"clinic-{i}" for i in range(4)]


# -- strangers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [b"", b"x", b"\x16\x03\x01"])
def test_connections_that_are_reset(tmp_path: Path, said: bytes) -> None:
    """As those of port scans and health checks are: at the moment of accepting, some are gone."""
    with Serving(deployment(tmp_path, NAMES)) as server:
        for _ in range(100):
            sock = connect(server.peer)
            sock.sendall(said)
            reset(sock)
        a_normal_round(tmp_path, NAMES)
    assert server.error is None and len(server.outcomes) == 1


def test_a_connection_that_says_nothing_is_there_when_the_server_ends(tmp_path: Path) -> None:
    with Serving(deployment(tmp_path, NAMES)) as server, connect(server.peer), connect(server.peer) as other:
        other.sendall(b"\x16\x03\x01")
        a_normal_round(tmp_path, NAMES)
    assert server.error is None and len(server.outcomes) == 1


class Slow:
    """A client whose handshake is made by hand: what it says goes out when it is told to."""

    def __init__(self, folder: Path, peer: Any, name: str, source: str = "127.0.0.1") -> None:
        self.raw, self._in, self._out = connect(peer, source), ssl.MemoryBIO(), ssl.MemoryBIO()
        self.raw.settimeout(30)
        self.tls = context_of(folder, name).wrap_bio(self._in, self._out, server_hostname="server")

    def begin(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        self.raw.sendall(self._out.read())

    def finish(self, name: str) -> bytes:
        """The rest of the handshake, and a hello: what the server says to it."""
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
                break
            if not (piece := self.raw.recv(1 << 16)):
                raise EOFError
            self._in.write(piece)
        self.tls.write(hello(name))
        self.raw.sendall(self._out.read())
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                return self.tls.read(1 << 10)
            if not (piece := self.raw.recv(1 << 16)):
                raise EOFError
            self._in.write(piece)


def settled(server: Serving, waiting: int) -> None:
    """Wait until the server has seen so many connections."""
    end = time.monotonic() + 60
    while len(server.service._hub._door) < waiting:
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_crowd_that_says_nothing_keeps_no_distant_client_out(tmp_path: Path) -> None:
    """Between two flights of its handshake more connections come than there is room for."""
    with Serving(deployment(tmp_path, NAMES, rounds=1)) as server, contextlib.ExitStack() as stack:
        slow = Slow(tmp_path, server.peer, NAMES[0])
        stack.callback(slow.raw.close)
        slow.begin()
        settled(server, 1)
        for _ in range(hub.STRANGERS + len(NAMES) + 50):
            stack.enter_context(connect(server.peer))
        settled(server, hub.STRANGERS + len(NAMES))
        assert slow.finish(NAMES[0])[:5] == frame(Kind.WELCOME)[:5]
        stack.close()
        a_normal_round(tmp_path, NAMES)
    assert server.error is None


def test_a_crowd_from_one_address_keeps_nobody_else_out(tmp_path: Path) -> None:
    """Though it says something, and the client, from elsewhere, nothing yet."""
    with Serving(deployment(tmp_path, NAMES)) as server, contextlib.ExitStack() as stack:
        room = hub.STRANGERS + len(NAMES)
        slow = Slow(tmp_path, server.peer, NAMES[0], "127.0.0.2")
        stack.callback(slow.raw.close)
        settled(server, 1)
        for _ in range(room + 50):
            stack.enter_context(connect(server.peer)).sendall(b"\x16\x03\x01\x02\x00")
        settled(server, room)
        slow.begin()
        assert slow.finish(NAMES[0])[:5] == frame(Kind.WELCOME)[:5]
        stack.close()
        a_normal_round(tmp_path, NAMES)
    assert server.error is None


@dataclass(eq=False)
class Waiting:
    address: str
    since: float
    said: Said = Said.NOTHING


def test_who_makes_room() -> None:
    """Of a greedy address, or else whoever has said least for longest."""
    queue: Door[Waiting] = Door(8, 10.0)
    quiet, talking, greeted, known = (Waiting(f"10.0.0.{i}", float(i)) for i in range(4))
    for who in (quiet, talking, greeted, known):
        queue.enter(who)
    for said, who in ((Said.SOMETHING, talking), (Said.HELLO, greeted), (Said.CERTIFICATE, known)):
        queue.heard(who, said)
    assert queue.in_the_way() is None
    late = [Waiting(f"10.0.1.{i}", 5.0) for i in range(4)]
    for who in late:
        queue.enter(who)
    gone = []
    while len(queue):
        while len(queue) < 8:
            queue.enter(Waiting(f"10.9.{len(gone)}.{len(queue)}", 6.0, Said.CERTIFICATE))
        gone.append(queue.in_the_way())
        queue.leave(gone[-1])
        if len(gone) == 8:
            break
    assert gone[:7] == [quiet, *late, talking, greeted] and gone[7] is known
    greedy = Door[Waiting](8, 10.0)
    silent = Waiting("10.0.0.9", 0.0)
    greedy.enter(silent)
    crowd = [Waiting(f"2001:db8::{i}", 1.0, Said.CERTIFICATE) for i in range(7)]  # one network
    for who in crowd:
        greedy.enter(who)
    for who in crowd[:5]:
        assert greedy.in_the_way() is who
        greedy.leave(who)
        greedy.enter(Waiting(f"10.1.0.{crowd.index(who)}", 2.0, Said.CERTIFICATE))
    assert greedy.in_the_way() is silent
    assert greedy.overdue(9.0) is None and greedy.overdue(10.5) is silent
    greedy.leave(silent)
    greedy.leave(silent)
    assert (
        door.network("::ffff:10.0.0.1") == "10.0.0.1"
        and door.network("fe80::1%eth0") == "fe80::/64"
        and door.network("?") == "?"
    )


def test_five_hundred_clients_come_at_once(tmp_path: Path, processes: Processes) -> None:
    """All connect before the first has said anything, and all get in, at the first try."""
    names = [f"c{i:03}" for i in range(500)]
    config = deployment(tmp_path, names, degree=20, threshold=11)
    peer, tls = plans.load(config).plan.peer, plans.load(tmp_path / f"{names[0]}.toml").tls.client()
    server = processes.start("aggregate", "serve", "--config", config, "--log", tmp_path / "log")
    end = time.monotonic() + 120
    while not (tmp_path / "log").exists() or not (tmp_path / "log").read_text():
        assert time.monotonic() < end and server.poll() is None
        time.sleep(0.02)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2000)), hard))
    selector, left, made = selectors.DefaultSelector(), len(names), list[socket.socket]()
    for name in names:
        tls.load_cert_chain(tmp_path / f"certs/{name}.pem", tmp_path / f"certs/{name}.key")
        raw = socket.create_connection((peer.host, peer.port))
        raw.setblocking(False)
        sock = tls.wrap_socket(raw, server_hostname="server", do_handshake_on_connect=False)
        made.append(sock)
        selector.register(sock, selectors.EVENT_WRITE, [name, False])
    while left:
        ready = selector.select(60)
        assert ready, f"{left} of {len(names)} are still outside"
        for key, _ in ready:
            sock, (name, greeted) = key.fileobj, key.data
            try:
                if not greeted:
                    sock.do_handshake()  # type: ignore[union-attr]
                    sock.sendall(hello(name))  # type: ignore[union-attr]
                    key.data[1] = True
                    selector.modify(sock, selectors.EVENT_READ, key.data)
                    continue
                assert sock.recv(9)[:5] == frame(Kind.WELCOME)[:5], name  # type: ignore[union-attr]
                selector.unregister(sock)
                left -= 1
            except ssl.SSLWantReadError:
                selector.modify(sock, selectors.EVENT_READ, key.data)
    said = events((tmp_path / "log").read_text())
    for sock in made:
        sock.close()
    selector.close()
    assert len({e["who"] for e in said if e["event"] == "joined"}) == 500 and not [
        e for e in said if e["event"] in ("left", "refused")
    ]


def test_a_certificate_whose_name_is_no_text(tmp_path: Path) -> None:
    config = deployment(tmp_path, NAMES)
    issuer = x509.load_pem_x509_certificate((tmp_path / "certs/ca.pem").read_bytes())
    issuer_key = serialization.load_pem_private_key((tmp_path / "certs/ca.key").read_bytes(), None)
    mine = x509.load_pem_x509_certificate((tmp_path / "certs/mallory.pem").read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(mine.subject)
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(mine.not_valid_before_utc)
        .not_valid_after(mine.not_valid_after_utc)
    )
    for extension in mine.extensions:
        if not isinstance(extension.value, x509.SubjectAlternativeName | x509.SubjectKeyIdentifier):
            builder = builder.add_extension(extension.value, extension.critical)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    odd = b"\x30\x06\x82\x04\xff\xfe\xfd\x80"  # GeneralNames: one dNSName of four bytes that are no text
    builder = builder.add_extension(
        x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), odd), False
    )
    (tmp_path / "certs/odd.pem").write_bytes(
        builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )  # type: ignore[arg-type]
    (tmp_path / "certs/odd.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with Serving(config) as server:
        stranger = Speaker(server.peer, context_of(tmp_path, "odd"))
        stranger.say(hello(NAMES[0]))
        ((kind, words),) = stranger.last_words()
        assert (
            kind is Kind.ERROR
            and words == b"its certificate is for nobody, who is not in the directory of clients"
        )
        a_normal_round(tmp_path, NAMES)
    assert server.error is None


def test_of_two_connections_of_one_client_in_the_same_moment_one_is_greeted(tmp_path: Path) -> None:
    """Both say hello before the server looks, and one says more than that: what the other has begun is not
    asked for twice.
    """
    own = plans.load(deployment(tmp_path, NAMES))
    server, made = Hub(own.plan.peer, own.tls, tuple(NAMES), 1 << 20), list[Speaker]()
    thread = threading.Thread(
        target=lambda: made.extend(Speaker(own.plan.peer, context_of(tmp_path, NAMES[0])) for _ in range(2))
    )
    thread.start()
    while len(made) < 2:
        server.poll(0.01)
    thread.join()
    for sock, data in zip(made, (hello(NAMES[0]) + frame(99), hello(NAMES[0])), strict=True):
        sock.say(data)
    time.sleep(0.2)  # for the bytes to be there: on a very slow machine the test proves less
    events = server.poll(5.0)
    while not any(event.kind is None for event in events):
        events += server.poll(5.0)
    greeted = [i for i, event in enumerate(events) if event.kind is Kind.HELLO]
    assert len(greeted) == 1 or events[greeted[0] + 1].kind is None
    assert (NAMES[0] in server.links) == (events[-1].kind is Kind.HELLO)
    server.close(0.1)
    for sock in made:
        sock.close()


# -- clients of the directory ---------------------------------------------------------------------------


@pytest.mark.parametrize("number", [-1, 1 << 63, 1 << 64, 10**4000, True, 1.5, "1", [1], {}])
@pytest.mark.parametrize("field", ["last", "within"])
def test_a_hello_with_a_number_that_is_none(tmp_path: Path, field: str, number: object) -> None:
    with Serving(deployment(tmp_path, NAMES)) as server:
        client = Speaker(server.peer, context_of(tmp_path, NAMES[0]))
        client.say(
            frame(Kind.HELLO, json.dumps({"me": NAMES[0], "last": 0, "within": None, field: number}).encode())
        )
        said = client.last_words()
        assert [kind for kind, _ in said] == [Kind.ERROR] and (
            b"number of a round" in said[0][1] or b"no message" in said[0][1] or b"bytes where" in said[0][1]
        )
        a_normal_round(tmp_path, NAMES)
    assert server.error is None


@pytest.mark.parametrize(
    "second",
    [
        hello(NAMES[0]),
        frame(Kind.HELLO, b"[]"),
        frame(Kind.HELLO, b"\xff"),
        frame(Kind.ANSWER, b"x"),
        frame(Kind.REFUSED),
        frame(Kind.RESULT, b"x"),
        frame(Kind.BYE),
        frame(0),
        frame(255),
        frame(Kind.ANSWER, size=(1 << 32) - 1),
    ],
    ids=repr,
)
def test_after_the_hello_only_answers_that_were_asked_for(tmp_path: Path, second: bytes) -> None:
    """What begins otherwise is not even read: the client is asked once, and has answered, so that the round
    does without it.
    """
    with Serving(deployment(tmp_path, NAMES, threshold=2)) as server:
        client = Speaker(server.peer, context_of(tmp_path, NAMES[0]))
        client.say(hello(NAMES[0]))
        client.wait_for(Kind.ASK)
        client.say(frame(Kind.REFUSED, b"not yet"), second)
        said = client.last_words()
        assert [kind for kind, _ in said] == [Kind.ERROR] and (
            b"nobody has asked for" in said[0][1] or b"no frame" in said[0][1]
        ), said
        server.wait_for("left")
        a_normal_round(tmp_path, NAMES[1:])
    assert server.error is None


def test_an_answer_is_no_longer_than_what_was_asked_for(tmp_path: Path) -> None:
    """A megabyte is due in another phase: it is refused by its length, before a byte of it is taken."""
    with Serving(deployment(tmp_path, NAMES, dimension=1 << 18, rounds=1)) as server:
        client = Speaker(server.peer, context_of(tmp_path, NAMES[0]))
        client.say(hello(NAMES[0]))
        client.wait_for(Kind.ASK)
        client.say(frame(Kind.ANSWER, size=177))
        assert client.last_words() == [(Kind.ERROR, b"it announces 177 bytes where 176 are the most")]
        server.service.plan.deadlines[Phase.ADVERTISE] = 0.0  # type: ignore[index]
        with joined(tmp_path, NAMES, lambda name: {"vector": np.zeros(1 << 18)}) as futures:
            assert all(f.result(120)[1].count == 4 for f in futures.values())
    assert server.error is None


def test_a_hello_is_answered_for_the_one_that_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of requests that are dear to make, the server makes one."""
    made: list[tuple[Phase, int]] = []
    asks = Server._asks

    def counted(self: Server, phase: Phase, i: int) -> bytes:
        made.append((phase, i))
        return asks(self, phase, i)

    monkeypatch.setattr(Server, "_asks", counted)
    with Serving(deployment(tmp_path, NAMES)) as server:
        server.wait_for("round begins")
        for turn in range(20):
            made.clear()
            client = Speaker(server.peer, context_of(tmp_path, NAMES[2]))
            client.say(hello(NAMES[2]))
            client.wait_for(Kind.ASK)
            assert made == [(Phase.ADVERTISE, 2)], turn
            client.close()
        a_normal_round(tmp_path, NAMES)
    assert server.error is None


def test_who_does_not_read_is_let_go(tmp_path: Path) -> None:
    """What waits for one client is bounded; the others get what is theirs."""
    config = plans.load(deployment(tmp_path, NAMES))
    server = Hub(config.plan.peer, config.tls, tuple(NAMES), 1 << 20)
    made: list[Speaker] = []
    thread = threading.Thread(
        target=lambda: made.append(Speaker(config.plan.peer, context_of(tmp_path, NAMES[0])))
    )
    thread.start()
    while not made:
        server.poll(0.01)
    thread.join()
    (client,) = made
    client.say(hello(NAMES[0]))
    while NAMES[0] not in server.links:
        server.poll(0.1)
    link, body, sent = server.links[NAMES[0]], bytes(1 << 18), 0
    while NAMES[0] in server.links:
        server.send(NAMES[0], Kind.RESULT, body)
        sent += 1
        assert link.unsent <= (1 << 20) + 9 and sent < 1000
    (event,) = [e for e in server.poll(0.1) if e.kind is None]
    assert event.name == NAMES[0] and event.body == b"it does not read what it is sent"
    server.close(0.1)
    client.close()


def test_what_nobody_foresaw_costs_one_client_its_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the hub and behind it: said in the log by its place, without what it says."""
    receive, read = Server.receive, hub.as_json

    def receiving(self: Server, name: str, message: bytes) -> None:
        if name == NAMES[0] and len(message) == 3:
            raise ZeroDivisionError("of something secret")
        receive(self, name, message)

    def reading(body: bytearray) -> dict[str, Any]:
        if body == b"odd":
            raise KeyError("of something secret")
        return read(body)

    monkeypatch.setattr(Server, "receive", receiving)
    monkeypatch.setattr(hub, "as_json", reading)
    with Serving(deployment(tmp_path, NAMES)) as server:
        client = Speaker(server.peer, context_of(tmp_path, NAMES[0]))
        client.say(hello(NAMES[0]))
        client.wait_for(Kind.ASK)
        client.say(frame(Kind.ANSWER, b"abc"))
        client.last_words()
        stranger = Speaker(server.peer, context_of(tmp_path, NAMES[1]))
        stranger.say(frame(Kind.HELLO, b"odd"))
        stranger.last_words()
        said = [server.wait_for("left")[0]["reason"], server.wait_for("refused")[0]["reason"]]
        assert all(
            reason.startswith(f"the server did not foresee this: {kind}, test_aggregate_door.py line ")
            and "secret" not in reason
            for reason, kind in zip(said, ("ZeroDivisionError", "KeyError"), strict=True)
        )
        a_normal_round(tmp_path, NAMES)
    assert server.error is None


def test_a_client_that_spoils_a_round_sits_out(tmp_path: Path) -> None:
    """It deals shares that open nothing, whenever it is asked: of seven rounds it spoils three, and none in a
    row.
    """
    config = deployment(tmp_path, NAMES, threshold=2, rounds=4, attempts=2)
    own = plans.load(tmp_path / f"{NAMES[0]}.toml")
    assert own.key is not None

    def spoil() -> None:
        with contextlib.closing(Speaker(own.plan.peer, context_of(tmp_path, NAMES[0]))) as bob:
            bob.say(hello(NAMES[0]))
            client: Client | None = None
            while (said := bob.hear())[0] is not Kind.BYE:
                number, message = int.from_bytes(said[1][:8], "little"), said[1][8:]
                if said[0] is Kind.ASK:
                    if client is None or client.terms.round != number:
                        client = Client(
                            own.plan.terms(number),
                            NAMES[0],
                            own.key,
                            *own.plan.encode(number, np.zeros(DIMENSION)),
                        )
                    answer = client.answer(message)
                    at = HEADER.size
                    bob.say(
                        frame(
                            Kind.ANSWER,
                            (
                                answer[:at] + bytes(32) + answer[at + 32 :]
                                if message[4] == Phase.SHARE
                                else answer
                            ),
                        )
                    )

    def take_part(name: str) -> list[str]:
        out = []
        with Member(plans.load(tmp_path / f"{name}.toml")) as member:
            for turn in range(1 << 20):
                try:
                    member.round(np.random.default_rng([len(name), turn]).normal(size=DIMENSION))
                    out.append("mean")
                except AggregationFailed:
                    out.append("failed")
                except PartyLost:
                    return out
        raise AssertionError

    with Serving(config) as server, ThreadPoolExecutor(4) as pool:
        server.wait_for("round begins")
        spoiling = pool.submit(spoil)
        server.wait_for("joined")
        others = [pool.submit(take_part, name) for name in NAMES[1:]]
        assert [other.result(120) for other in others] == [
            ["failed", "mean", "failed", "mean", "mean", "failed", "mean"]
        ] * 3
        spoiling.result(120)
    assert server.error is None
    assert "sits out up to round 5" in server.outcomes[1].faults[NAMES[0]] and all(
        set(o.clients) == {*NAMES[1:]} for o in server.outcomes
    )


def test_who_sits_out_does_not_come_in_by_another_door(tmp_path: Path) -> None:
    """Whatever it says of the round that it is in."""
    with Service(plans.load(deployment(tmp_path, NAMES))) as service:
        service._out[NAMES[0]], service._within[NAMES[0]], service._last[NAMES[0]] = (7, 2), 7, 0
        assert not any(service._may(NAMES[0], 7, phase) for phase in Phase)
        service._within[NAMES[0]] = 8
        assert all(service._may(NAMES[0], 8, phase) for phase in Phase)


# -- descriptors, disks and logs ------------------------------------------------------------------------


def test_too_few_descriptors_are_noticed_at_the_start(tmp_path: Path, processes: Processes) -> None:
    """The process raises its own limit as far as it may; if that is not enough it says so, before anybody
    comes.
    """
    names = [f"c{i:02}" for i in range(60)]
    config = deployment(tmp_path, names)
    limits = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (40, int(sys.argv[1])));"
        " os.execv(sys.executable, [sys.executable, '-m', 'mpc', 'aggregate', 'serve', '--config',"
        f" {str(config)!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", limits, "40"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (
        done.returncode == 1
        and done.stderr
        == "error: 60 clients take 140 open files at least, and this process may have 40: raise the limit, "
        "as 'ulimit -n 396' does in the shell that starts it\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", limits, "200"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as enough:
        assert enough.stdout is not None and json.loads(enough.stdout.readline())["event"] == "listening"
        assert Path(f"/proc/{enough.pid}/limits").read_text().split("Max open files")[1].split()[:2] == [
            "200",
            "200",
        ]
        enough.kill()


def test_a_server_that_runs_out_of_descriptors_goes_on(tmp_path: Path) -> None:
    """Somebody else in the process has taken them: it says so, lets nobody in for a moment, and goes on."""
    with Serving(deployment(tmp_path, NAMES)) as server:
        server.wait_for("round begins")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        waiting = [connect(server.peer) for _ in range(3)]
        settled(server, 3)
        held = []
        try:
            late = [socket.socket() for _ in range(3)]
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (max(int(fd) for fd in os.listdir("/proc/self/fd")) + 1, hard)
            )
            with pytest.raises(OSError, match="Too many") as full:
                while True:
                    held.append(os.dup(0))
            assert full.value.errno == errno.EMFILE
            for sock in late:
                sock.connect((server.peer.host, server.peer.port))
            server.wait_for(
                "refused", lambda event: "nobody can be let in (Too many open files)" in event["reason"]
            )
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for fd in held:
                os.close(fd)
        a_normal_round(tmp_path, NAMES)
        for sock in (*waiting, *late):
            sock.close()
    assert server.error is None


def test_a_log_that_cannot_be_written_ends_no_round(tmp_path: Path, processes: Processes) -> None:
    config = deployment(tmp_path, NAMES)
    server = processes.start("aggregate", "serve", "--config", config, "--log", "/dev/full")
    a_normal_round(tmp_path, NAMES)
    code, _, err = ended(server)
    assert (
        code == 0
        and err
        == "the log /dev/full cannot be written (No space left on device): the rounds go on without it\n"
    )
    assert (tmp_path / "server-state/round-000001.npy").exists()


def test_standard_output_that_cannot_be_written_ends_no_round(tmp_path: Path) -> None:
    config = deployment(tmp_path, NAMES)
    with (
        open("/dev/full", "w") as full,
        subprocess.Popen(
            [sys.executable, "-m", "mpc", "aggregate", "serve", "--config", config],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        ) as server,
    ):
        a_normal_round(tmp_path, NAMES)
        _, err = server.communicate(timeout=600)
    assert server.returncode == 0
    assert err == "standard output cannot be written (No space left on device): the rounds go on without it\n"


@pytest.mark.parametrize("given", ["stdout", "log"])
def test_a_log_that_nobody_reads_stalls_no_round(tmp_path: Path, given: str) -> None:
    """A pager that has been left: its pipe is full."""
    config, out = deployment(tmp_path, NAMES), tmp_path / "pipe"
    os.mkfifo(out)
    reading = os.open(out, os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(out, os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    command = [sys.executable, "-m", "mpc", "aggregate", "serve", "--config", config]
    with subprocess.Popen(
        [*command, "--log", out] if given == "log" else command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL if given == "log" else writing,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            a_normal_round(tmp_path, NAMES)
            _, err = server.communicate(timeout=600)
        finally:
            server.kill()
    os.close(reading)
    os.close(writing)
    name = "standard output" if given == "stdout" else f"the log {out}"
    assert (
        server.returncode == 0
        and err == f"{name} cannot be written (nobody reads it): the rounds go on without it\n"
    )


def test_a_log_that_is_a_pipe_without_a_reader_is_refused(tmp_path: Path) -> None:
    """And not waited for without a word."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="cannot be written"):
        Journal(tmp_path / "pipe")


def test_a_log_whose_reader_is_slow_has_all_lines(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    heard = b""

    def read() -> None:
        nonlocal heard
        while piece := os.read(reading, 4096):
            heard += piece
            time.sleep(0.01)

    thread = threading.Thread(target=read)
    with Journal(tmp_path / "log") as journal:
        assert journal._to is not None
        os.dup2(writing, journal._to)
        os.close(writing)
        thread.start()
        for i in range(40):
            journal({"event": "x" * 5000, "number": i})
    thread.join()
    os.close(reading)
    assert [json.loads(line)["number"] for line in heard.splitlines()] == list(range(40))


def test_a_log_that_can_be_written_again_says_what_it_lacks(tmp_path: Path) -> None:
    with Journal(tmp_path / "log") as journal:
        journal({"event": "one"})
        to, journal._to = journal._to, os.open("/dev/full", os.O_WRONLY)
        journal({"event": "two"})
        journal({"event": "three"})
        os.close(journal._to)
        journal._to, journal._torn = to, True
        journal({"event": "four"})
    lines = (tmp_path / "log").read_text().splitlines()
    assert [json.loads(line) for line in lines if line] == [
        {"event": "one"},
        {"event": "lines lost", "more": 2},
        {"event": "four"},
    ]


def test_strangers_cannot_fill_a_log(tmp_path: Path) -> None:
    """Of two hundred that send rubbish twenty are told, and the others counted; what the server does is told
    all the same.
    """
    with Serving(deployment(tmp_path, NAMES)) as server:
        for _ in range(200):
            with connect(server.peer) as sock:
                sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                sock.recv(100)
        for _ in range(30):
            client = Speaker(server.peer, context_of(tmp_path, NAMES[0]))
            client.say(hello(NAMES[0]), frame(99))
            client.last_words()
        a_normal_round(tmp_path, NAMES)
    assert server.error is None and len(server.told("round ends")) == 1
    refused = server.told("refused")
    assert len(refused) == sparing.STRANGERS + 1 and refused[-1]["of"] == 1
    assert (
        refused[-1]["more"]
        == 200 - sparing.STRANGERS
        == refused[-1]["reasons"]["it does not speak TLS 1.3 as we do (http request)"]
    )
    left = [e for e in server.told("left") if e["who"] == NAMES[0]]
    assert sparing.EACH < len(left) <= sparing.EACH + 1 and left[-1]["more"] >= 30 - sparing.EACH


def test_counts_are_told_once_a_minute_and_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[dict[str, Any]] = []
    told, now = sparing.Sparing(said.append), [0.0]
    monkeypatch.setattr(sparing, "monotonic", lambda: now[0])
    for minute in range(2):
        for i in range(5000):
            told.outside(
                {"event": "refused", "who": f"10.0.{i // 250}.{i % 250}", "reason": f"reason {i}"},
                known=False,
            )
        now[0] += 61
        told.tell({"event": "phase"})
        assert len(said) == (sparing.STRANGERS + 2) * (minute + 1)
        count = said[-2]
        assert (
            count["more"] == 5000 - sparing.STRANGERS == sum(count["reasons"].values())
            and count["of"] == 1000
            and len(count["reasons"]) == 17
        )


def taken(pid: int, path: Path) -> int:
    """Bytes that a process holds in a file which was there."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(descriptor) == f"{path} (deleted)":
                return descriptor.stat().st_size
    return 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_whatever_ends_the_server_leaves_its_state_and_nothing_else(
    tmp_path: Path, processes: Processes, number: int
) -> None:
    server = processes.start("aggregate", "serve", "--config", deployment(tmp_path, NAMES))
    end, state = time.monotonic() + 60, tmp_path / "server-state"
    while not taken(server.pid, state / "room"):
        assert time.monotonic() < end and server.poll() is None
        time.sleep(0.01)
    assert server.stdout is not None
    while '"round begins"' not in server.stdout.readline():
        assert time.monotonic() < end
    server.send_signal(number)
    code, _, err = ended(server)
    assert (code, err) == ((130, "interrupted\n") if number == signal.SIGINT else (-number, ""))
    assert [path.name for path in state.iterdir()] == ["state.json"]


def test_a_disk_that_is_full_when_a_round_ends(tmp_path: Path, processes: Processes) -> None:
    """Its clients get the mean, and are told that the server ends; what it has begun is not begun again."""
    config = deployment(tmp_path, NAMES, rounds=2)
    server = processes.start("aggregate", "serve", "--config", config, "--log", tmp_path / "log")
    state = tmp_path / "server-state"
    end = time.monotonic() + 120
    while not (held := taken(server.pid, state / "room")):  # which is taken before a round begins
        assert time.monotonic() < end and server.poll() is None
        time.sleep(0.01)
    assert held > 1 << 16 and not (state / "room").exists()
    # A state.json is longer, a line of the log not always.
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (150, resource.RLIM_INFINITY))
    a_normal_round(tmp_path, NAMES)
    code, _, err = ended(server)
    assert code == 1 and "cannot be written (File too large)" in err and err.count("\n") <= 2
    assert json.loads((state / "state.json").read_text())["next"] == 2
    again = processes.start("aggregate", "serve", "--config", config)
    for turn in (1, 2):
        a_normal_round(tmp_path, NAMES, seed=turn)
    assert ended(again)[0] == 0 and sorted(p.name for p in state.glob("*.npy")) == [
        "round-000002.npy",
        "round-000003.npy",
    ]


def test_a_disk_without_room_for_a_round_begins_none(tmp_path: Path, processes: Processes) -> None:
    """Before anybody has masked anything."""
    config = deployment(tmp_path, NAMES)
    server = Serving(config)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 12, hard))
    try:
        with server:
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (
        isinstance(server.error, ConfigError)
        and "has no room for" in str(server.error)
        and not (tmp_path / "server-state/room").exists()
    )
