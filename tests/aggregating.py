"""A server of secure aggregation, its clients, and those who would rather that it were none: for tests of
what runs over TLS.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mpc.certs import make_authority_and_certificates
from protocols.aggregation.messages import Phase
from protocols.aggregation.one_server.client import Client
from protocols.aggregation.one_server.server import Server
from protocols.aggregation.service import plan as plans
from protocols.aggregation.service.frames import NUMBER, Kind
from protocols.aggregation.service.hub import Event, Hub
from protocols.aggregation.service.member import Member
from protocols.aggregation.service.server import Outcome, Service

DIMENSION = 5
Next = Callable[[Kind], Event]
HEAD = struct.Struct("<4sBI")


def own_file(folder: Path, me: str, **fields: object) -> Path:
    lines = [
        'plan = "plan.toml"',
        f'me = "{me}"',
        'authority = "certs/ca.pem"',
        f'certificate = "certs/{fields.pop("certificate", me)}.pem"',
        f'key = "certs/{fields.pop("key", me)}.key"',
        *([f'signing_key = "keys/{me}.signing"'] if me != "server" else []),
    ]
    tables = [
        line
        for key, table in fields.items()
        if isinstance(table, dict)
        for line in (f"[{key}]", *(f"{k} = {json.dumps(v)}" for k, v in table.items()))
    ]
    path = folder / f"{me}.toml"
    path.write_text(
        "\n".join(
            [
                *lines,
                *(f"{k} = {json.dumps(v)}" for k, v in fields.items() if not isinstance(v, dict)),
                *tables,
            ]
        )
    )
    return path


def deployment(
    folder: Path,
    names: list[str],
    privacy: str = "",
    deadlines: dict[str, float] | None = None,
    **fields: object,
) -> Path:
    """All files of a session, in which all clients are neighbours of all and nobody is waited for in vain but
    for long; gives the server's.
    """
    make_authority_and_certificates(["server", "mallory", *names], folder / "certs")
    plans.make_keys(names, folder / "keys")
    plans.close_directory([folder / f"keys/{name}.pub" for name in names], folder / "clients.directory")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    n = len(names)
    said = {
        "session": "test",
        "address": f"127.0.0.1:{port}",
        "server": "server",
        "directory": "clients.directory",
        "dimension": DIMENSION,
        "clip": 10.0,
        "degree": n - 1,
        "threshold": n // 2 + 1,
        "corrupt": 0.0,
        "dropout": 0.0,
        "attempts": 1,
        **fields,
    }
    times = {**dict.fromkeys(("advertise", "share", "mask", "confirm", "unmask"), 120.0), **(deadlines or {})}
    (folder / "plan.toml").write_text(
        "\n".join(
            [
                *(f"{k} = {json.dumps(v)}" for k, v in said.items() if v is not None),
                f"privacy = {privacy}" * bool(privacy),
                "[deadlines]",
                *(f"{k} = {v}" for k, v in times.items()),
            ]
        )
    )
    for name in names:
        own_file(folder, name, timeout=60)
    return own_file(folder, "server")


class Serving:
    """A server in a thread of its own: ``outcomes`` and ``events`` grow, ``error`` is what ended it."""

    def __init__(self, config: Path) -> None:
        self.own, self.events, self.outcomes = plans.load(config), list[dict[str, Any]](), list[Outcome]()
        self.peer, self.error = self.own.plan.peer, None
        self.service = Service(self.own, self.events.append)
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            with self.service as service:
                self.outcomes.extend(service.rounds())
        except BaseException as error:
            self.error: BaseException | None = error

    def __enter__(self) -> Serving:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(120)
        assert not self._thread.is_alive()

    def told(self, event: str) -> list[dict[str, Any]]:
        return [e for e in self.events if e["event"] == event]

    def wait_for(
        self, event: str, more: Callable[[dict[str, Any]], bool] = lambda event: True, count: int = 1
    ) -> list[dict[str, Any]]:
        end = time.monotonic() + 120
        while len(found := [e for e in self.told(event) if more(e)]) < count:
            assert time.monotonic() < end and self._thread.is_alive(), self.error or self.events
            time.sleep(0.005)
        return found


@contextmanager
def joined(
    folder: Path, names: list[str], given: Callable[[str], dict[str, Any]]
) -> Iterator[dict[str, Future[Any]]]:
    """Clients in threads of their own, for one round each: what they got, or their error, as futures."""

    def client(name: str) -> Any:
        with Member(plans.load(folder / f"{name}.toml")) as member:
            return member.round(**given(name)), member.last

    with ThreadPoolExecutor(len(names)) as pool:
        yield {name: pool.submit(client, name) for name in names}


def a_normal_round(folder: Path, names: list[str], seed: int = 0) -> None:
    """These clients take part, and get the mean of their vectors."""
    vectors = {name: np.random.default_rng([seed, i]).normal(size=DIMENSION) for i, name in enumerate(names)}
    with joined(folder, names, lambda name: {"vector": vectors[name]}) as futures:
        for future in futures.values():
            mean, facts = future.result(120)
            assert facts.count == len(names) and facts.included
            np.testing.assert_allclose(mean, np.mean(list(vectors.values()), axis=0), atol=8 * facts.error)


# -- who would rather that it were none ---------------------------------------------------------------


def connect(peer: Any, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((peer.host, peer.port), 120, (source, 0))


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def context_of(folder: Path, name: str, certs: str = "certs") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(folder / "certs/ca.pem")
    context.load_cert_chain(folder / f"{certs}/{name}.pem", folder / f"{certs}/{name}.key")
    return context


def frame(kind: int, body: bytes = b"", magic: bytes = b"mpcA", size: int | None = None) -> bytes:
    return HEAD.pack(magic, kind, len(body) if size is None else size) + body


def hello(me: object, last: object = 0, within: object = None) -> bytes:
    return frame(Kind.HELLO, json.dumps({"me": me, "last": last, "within": within}).encode())


class Speaker:
    """A client's connection by hand."""

    def __init__(self, peer: Any, context: ssl.SSLContext, source: str = "127.0.0.1") -> None:
        self.socket = context.wrap_socket(connect(peer, source), server_hostname="server")

    def say(self, *data: bytes) -> None:
        self.socket.sendall(b"".join(data))

    def hear(self) -> tuple[Kind, bytes]:
        """The next frame; EOFError where there is none."""
        _, kind, size = HEAD.unpack(self._read(HEAD.size))
        return Kind(kind), self._read(size)

    def wait_for(self, kind: Kind) -> bytes:
        while (said := self.hear())[0] is not kind:
            pass
        return said[1]

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            if not (piece := self.socket.recv(size - len(data))):
                raise EOFError
            data += piece
        return data

    def last_words(self) -> list[tuple[Kind, bytes]]:
        """All that comes until the other side closes."""
        out = []
        with contextlib.suppress(EOFError, OSError):
            while True:
                out.append(self.hear())
        self.close()
        return out

    def close(self) -> None:
        self.socket.close()


@lru_cache
def own_of(path: Path) -> plans.Own:
    return plans.load(path)


class Round:
    """A real server's part of a round, and all clients but one,
    so that the one can be asked up to any phase.
    """

    def __init__(self, folder: Path, me: str, number: int) -> None:
        plan = own_of(folder / "server.toml").plan
        self.me, self.number, self.plan, self.server = me, number, plan, Server(plan.terms(number))
        self.others, metrics = {}, dict.fromkeys(plan.metrics.names, 0.5)
        for name in plan.first.directory.names:
            if name != me:
                own = own_of(folder / f"{name}.toml")
                assert own.key is not None
                self.others[name] = Client(
                    plan.terms(number),
                    name,
                    own.key,
                    *plan.encode(number, np.zeros(plan.dimension), metrics=metrics),
                )

    def ask(self, hub: Hub) -> None:
        for name, message in self.server.requests():
            if name == self.me:
                hub.ask(self.me, None, 1 << 20, self.number.to_bytes(NUMBER, "little") + message)
            else:
                self.server.receive(name, self.others[name].answer(message))

    def up_to(self, phase: Phase, hub: Hub, following: Next) -> None:
        """Until the client has answered this phase."""
        while self.server.phase is not None and self.server.phase <= phase:
            self.ask(hub)
            answer = following(Kind.ANSWER)
            self.server.receive(self.me, bytes(answer.body))
            self.server.advance()


@contextmanager
def lying(own: plans.Own, lie: Callable[[Hub, Next], None]) -> Iterator[list[Exception]]:
    """A server that does as it likes, in a thread of its own: ``lie(hub, next)``, where next(kind) waits for
    an event.
    """
    hub, errors, waiting = (
        Hub(own.plan.peer, own.tls, own.plan.first.directory.names, 1 << 24),
        list[Exception](),
        list[Event](),
    )

    def until(kind: Kind) -> Event:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            for i, event in enumerate(waiting):
                if event.kind is kind:
                    return waiting.pop(i)
            waiting.extend(hub.poll(0.1))
        raise TimeoutError(kind)

    def run() -> None:
        try:
            lie(hub, until)
        except Exception as error:
            errors.append(error)
        finally:
            hub.close(1.0)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield errors
    finally:
        thread.join(120)
    assert not errors, errors
