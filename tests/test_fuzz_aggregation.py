"""Drawn attacks on the aggregation server's listener and, from a client's seat, on rounds under way: none
ends it, or grows.

``MPC_FUZZ_CASES`` attacks (``make fuzz``: 10,000), a tenth of them in rounds that honest clients take part in
all the while and whose means must be right; and a tenth as many things that a server says to a client.
``MPC_SEED`` draws others."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zoo
from aggregating import DIMENSION, HEAD, Next, Round, deployment, frame, lying, reset
from attacks import Rng, any_bytes, anything, bent
from test_cli import ROOT

from mpc.errors import AggregationFailed, MpcError
from protocols.aggregation.messages import HEADER, Phase
from protocols.aggregation.one_server.client import Client
from protocols.aggregation.packing import packed_bytes
from protocols.aggregation.service import plan as plans
from protocols.aggregation.service.frames import NUMBER, Kind
from protocols.aggregation.service.hub import Hub
from protocols.aggregation.service.member import Member

CASES = int(os.environ.get("MPC_FUZZ_CASES", "250"))
SEED = int(os.environ.get("MPC_SEED", "1"))
HONEST = ["ann", "cy", "dan", "eve"]
SIZES = [0, 1, 8, 9, 48, 175, 176, 177, 4096, 4097, 65536, 65537, 2**24, 2**31 - 1, 2**31, 2**32 - 1]
SERVER = """
import sys
from protocols.aggregation.service import server as service
# Or who leaves a round holds it up for two seconds, a thousand times.
service.GRACE = 0.02
service.OUT = 2                                     # and who spoils one is away for sixty-four
from mpc.cli import main
main(sys.argv[1:])
"""


class Attacks:
    """What can be done from outside and from a client's seat; ``done`` counts it by kind."""

    def __init__(self, folder: Path) -> None:
        self.own, self.done = plans.load(folder / "bob.toml"), Counter[str]()
        self.plan, certs = self.own.plan, folder / "certs"
        self.contexts = {sort: zoo.client(*pair) for sort, pair in zoo.make(certs).items()}
        self.contexts |= {"none at all": zoo.client(), "old": zoo.client(old=True)}
        self.contexts |= {
            name: zoo.client(certs / f"{name}.pem", certs / f"{name}.key")
            for name in ("ann", "mallory", "server")
        }
        self.bob = zoo.client(certs / "bob.pem", certs / "bob.key")
        self.open: list[socket.socket] = []

    def __call__(self, case: int) -> None:
        rng = np.random.default_rng([SEED, case])
        kinds: list[Callable[[Rng], None]] = [
            self.rubbish,
            self.half_a_handshake,
            self.strange,
            self.hello,
            self.header,
            self.cut,
        ]
        kind = self.in_a_round if case % 10 == 9 else kinds[rng.integers(len(kinds))]
        self.done[kind.__name__] += 1
        with suppress(OSError, EOFError):  # whatever the server did about it
            kind(rng)

    def call(self, context: ssl.SSLContext | None = None) -> socket.socket:
        sock = socket.create_connection((self.plan.peer.host, self.plan.peer.port), timeout=60)
        if context is None:
            return sock
        try:
            return context.wrap_socket(sock, server_hostname="server")
        except BaseException:
            sock.close()
            raise

    def leave(self, rng: Rng, sock: socket.socket) -> None:
        """End a connection in one of the ways there are, or not at all."""
        how = rng.integers(4)
        if how == 0:
            reset(sock)
        elif how == 1:
            with suppress(OSError), sock:
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(4096):
                    pass
        elif how == 2 and len(self.open) < 300:
            self.open.append(sock)
        else:
            sock.close()

    def rubbish(self, rng: Rng) -> None:
        sock = self.call()
        with suppress(OSError):
            for _ in range(rng.integers(4)):
                sock.sendall(any_bytes(rng))
        self.leave(rng, sock)

    def half_a_handshake(self, rng: Rng) -> None:
        """The first flight of a client, bent."""
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        with suppress(ssl.SSLWantReadError):
            list(self.contexts.values())[rng.integers(len(self.contexts))].wrap_bio(
                into, out, server_hostname="server"
            ).do_handshake()
        sock = self.call()
        with suppress(OSError):
            sock.sendall(bent(rng, out.read()))
        self.leave(rng, sock)

    def strange(self, rng: Rng) -> None:
        """All the way, with a certificate of any sort, and a right hello or none."""
        sock = self.call(list(self.contexts.values())[rng.integers(len(self.contexts))])
        self.say(rng, sock, self.hello_of("bob") if rng.random() < 0.5 else any_bytes(rng))

    def hello(self, rng: Rng) -> None:
        """With bob's own certificate: every field another one, more fields or fewer, every form."""
        said: dict[str, Any] = {"me": "bob", "last": 0, "within": None}
        for key in rng.permutation(list(said))[: rng.integers(4)]:
            said[key] = anything(rng)
        if rng.random() < 0.2:
            del said[str(rng.choice(list(said)))]
        if rng.random() < 0.2:
            said[str(anything(rng))] = anything(rng)
        text = json.dumps(said).encode()
        self.say(rng, self.call(self.bob), frame(Kind.HELLO, bent(rng, text) if rng.random() < 0.4 else text))

    def header(self, rng: Rng) -> None:
        """Every field of a frame's head, in place of the hello or after it."""
        magic = any_bytes(rng, 4).ljust(4)[:4] if rng.random() < 0.3 else b"mpcA"
        kind, size = (
            int(rng.integers(256)) if rng.random() < 0.5 else int(rng.integers(11)),
            SIZES[rng.integers(len(SIZES))],
        )
        odd = frame(kind, any_bytes(rng), magic, size if rng.random() < 0.8 else None)
        self.say(rng, self.call(self.bob), odd if rng.random() < 0.5 else self.hello_of("bob") + odd)

    def cut(self, rng: Rng) -> None:
        """A real conversation, handshake, hello and keys, that ends behind any of its bytes."""
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        client, sock, left = (
            self.bob.wrap_bio(into, out, server_hostname="server"),
            self.call(),
            int(rng.integers(2600)),
        )
        steps: list[Callable[[], object]] = [
            client.do_handshake,
            lambda: client.write(self.hello_of("bob")),
            lambda: client.write(frame(Kind.REFUSED, b"x" * 400)),
        ]
        with suppress(OSError):
            while steps and left:
                with suppress(ssl.SSLWantReadError):
                    steps[0]()
                    steps.pop(0)
                piece = out.read()[:left]
                sock.sendall(piece)
                left -= len(piece)
                if piece and left and len(steps) == 3:
                    into.write(sock.recv(1 << 16))
        self.leave(rng, sock)

    def in_a_round(self, rng: Rng) -> None:
        """Bob answers as he should up to some phase, and then anything."""
        last = Phase(int(rng.integers(1, 6)))
        with self.call(self.bob) as sock:
            sock.sendall(self.hello_of("bob"))
            client: Client | None = None
            said: list[bytes] = []
            while True:
                kind, body = self.hear(sock)
                if kind is not Kind.ASK:
                    continue
                number, message = int.from_bytes(body[:NUMBER], "little"), body[NUMBER:]
                if client is None or client.terms.round != number:
                    assert self.own.key is not None
                    client = Client(
                        self.plan.terms(number),
                        "bob",
                        self.own.key,
                        *self.plan.encode(number, np.zeros(DIMENSION)),
                    )
                answer = client.answer(message)
                said.append(answer)
                if message[4] == last:
                    break
                sock.sendall(frame(Kind.ANSWER, answer))
            how = rng.integers(6)
            if how == 0:  # as bytes
                sock.sendall(bent(rng, frame(Kind.ANSWER, answer)))
            elif how == 1:  # as a message
                sock.sendall(frame(Kind.ANSWER, bent(rng, answer)))
            elif how == 2:  # what stands in its header
                at = int(rng.integers(HEADER.size))
                sock.sendall(
                    frame(Kind.ANSWER, answer[:at] + any_bytes(rng, 8) + answer[at:])[
                        : HEAD.size + len(answer)
                    ]
                )
            elif how == 3:  # something said before, or twice
                sock.sendall(frame(Kind.ANSWER, said[rng.integers(len(said))]) * int(rng.integers(1, 3)))
            elif how == 4:  # of another length than is there
                sock.sendall(
                    frame(
                        int(rng.choice([Kind.ANSWER, Kind.REFUSED])),
                        answer,
                        size=SIZES[rng.integers(len(SIZES))],
                    )
                )
            elif how == 5:
                sock.sendall(frame(Kind.REFUSED, any_bytes(rng)) + any_bytes(rng))
            if rng.random() < 0.5:
                reset(sock)

    def hello_of(self, name: str) -> bytes:
        return frame(Kind.HELLO, json.dumps({"me": name, "last": 0, "within": None}).encode())

    def say(self, rng: Rng, sock: socket.socket, data: bytes) -> None:
        with suppress(OSError):
            sock.sendall(data)
        self.leave(rng, sock)

    def hear(self, sock: socket.socket) -> tuple[Kind, bytes]:
        head = self.read(sock, HEAD.size)
        return Kind(head[4]), self.read(sock, HEAD.unpack(head)[2])

    @staticmethod
    def read(sock: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            if not (piece := sock.recv(size - len(data))):
                raise EOFError
            data += piece
        return data


class Crowd:
    """The honest clients, each in a thread of its own, in one round after the other; ``wrong`` is what was
    not as it must be.
    """

    def __init__(self, folder: Path) -> None:
        self.wrong, self.rounds, self.spoilt, self.ended = list[str](), Counter[int](), set[str](), False
        self.members: list[Member] = []
        self.threads = [
            threading.Thread(target=self.take_part, args=(folder, i, name), daemon=True)
            for i, name in enumerate(HONEST)
        ]
        for thread in self.threads:
            thread.start()

    def take_part(self, folder: Path, i: int, name: str) -> None:
        try:
            with Member(replace(plans.load(folder / f"{name}.toml"), timeout=60.0)) as member:
                self.members.append(member)
                for turn in range(1 << 30):
                    vector = (
                        np.full(DIMENSION, float(i))
                        + np.random.default_rng([SEED, i, turn]).normal(size=DIMENSION) * 1e-6
                    )
                    try:
                        mean = member.round(vector)
                    except AggregationFailed as error:
                        if "gave no sum, as the server says" not in str(
                            error
                        ) or "do not open the masks of 'bob'" not in str(error):
                            raise
                        self.spoilt.add(str(error).split()[1])
                        continue
                    facts = member.last
                    assert facts is not None
                    if (
                        facts.count not in (4, 5)
                        or not facts.included
                        or np.abs(mean - 6 / facts.count).max() > 8 * facts.error + 1e-4
                    ):
                        self.wrong.append(f"{name}: {facts} {mean}")
                    self.rounds[facts.number] += 1
        except Exception as error:
            if not self.ended:
                self.wrong.append(f"{name}: {type(error).__name__}: {error}")

    def leave(self) -> None:
        """From now on nobody looks for a server that is gone."""
        self.ended = True
        for member in self.members:
            member._own = replace(member._own, timeout=0.1)


def held(pid: int) -> tuple[int, int]:
    """Memory in kB, and descriptors."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]), len(os.listdir(f"/proc/{pid}/fd"))


def waited_for(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not there():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_server_lives_through_anything(tmp_path: Path) -> None:
    config = deployment(
        tmp_path,
        [*HONEST, "bob"],
        degree=4,
        threshold=3,
        rounds=1 << 20,
        attempts=1 << 20,
        deadlines=dict.fromkeys(("advertise", "share", "mask", "confirm", "unmask"), 86400.0),
    )
    with (tmp_path / "err").open("w") as err:
        server = subprocess.Popen(
            [
                sys.executable,
                "-c",
                SERVER,
                "aggregate",
                "serve",
                "--config",
                str(config),
                "--log",
                str(tmp_path / "log"),
            ],
            cwd=ROOT,
            stderr=err,
        )
    log = tmp_path / "log"
    crowd, attacks, warm = Crowd(tmp_path), Attacks(tmp_path), 0
    try:
        waited_for(lambda: log.exists() and log.read_text().count('"answer"') == len(HONEST))
        _, descriptors = held(server.pid)
        for case in range(CASES):
            attacks(case)
            assert server.poll() is None, (case, (tmp_path / "err").read_text())
            assert not crowd.wrong, (case, crowd.wrong)
            if case == max(100, CASES // 10):
                warm, _ = held(server.pid)
        for sock in attacks.open:
            sock.close()
        waited_for(lambda: held(server.pid)[1] == descriptors)  # strangers have ten seconds
        memory, _ = held(server.pid)
        with Member(attacks.own) as bob:  # now he is as honest as the others
            bob.round(np.zeros(DIMENSION), again=True)
            assert bob.last is not None and bob.last.count == 5 and bob.last.included
        crowd.leave()
        server.terminate()
        assert server.wait(120) == -signal.SIGTERM, (tmp_path / "err").read_text()
    finally:
        crowd.leave()
        server.kill()
        server.wait()
        for sock in attacks.open:
            sock.close()
        for thread in crowd.threads:
            thread.join(120)
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert not crowd.wrong and not [e for e in told if "foresee" in json.dumps(e)], crowd.wrong
    ended = len([e for e in told if e["event"] == "round ends"])
    print(
        f"\n{dict(attacks.done)}; {ended} rounds, all means right, and {len(crowd.spoilt)} that bob spoilt;"
        f" memory {warm} and {memory} kB, {descriptors} descriptors, log {log.stat().st_size} bytes"
    )
    assert memory < warm + 8192 + 2 * ended  # of each round a server keeps what it has written


# -- what a server says -------------------------------------------------------------------------------


def said_by_a_server(rng: Rng, play: Round) -> bytes:
    """A frame of any sort, or a right one in which something is not."""
    number = int(
        rng.choice([play.number, play.number, play.number, 0, play.number + 1, 2**63 - 1, 2**63])
    ).to_bytes(NUMBER, "little")
    told: dict[str, Any] = {"count": 4, "included": True, "metrics": {"loss": 0.5}}
    for key in rng.permutation(list(told))[: rng.integers(3)]:
        told[key] = anything(rng)
    if rng.random() < 0.3:
        told["metrics"] = {"loss": anything(rng)} if rng.random() < 0.7 else {str(anything(rng)): 0.5}
    head = json.dumps(told).encode()
    size = len(head) if rng.random() < 0.8 else SIZES[rng.integers(len(SIZES))]
    vector = bytes(packed_bytes(play.plan.first.length, play.plan.first.bits))
    result = frame(
        Kind.RESULT,
        number + size.to_bytes(4, "little") + head + (vector if rng.random() < 0.8 else any_bytes(rng)),
    )
    ask = frame(
        Kind.ASK,
        number
        + (
            bent(rng, play.server.request("bob"))
            if play.server.phase and play.server.awaits("bob")
            else any_bytes(rng)
        ),
    )
    welcome = frame(Kind.WELCOME, json.dumps({"round": anything(rng)}).encode())
    odd = frame(
        int(rng.integers(256)) if rng.random() < 0.3 else int(rng.integers(11)),
        any_bytes(rng),
        size=None if rng.random() < 0.7 else SIZES[rng.integers(len(SIZES))],
    )
    return [result, result, ask, welcome, odd, bent(rng, result)][rng.integers(6)]


def test_a_client_lives_through_anything(tmp_path: Path) -> None:
    """With one sentence, and always the same error if its vector was masked."""
    cases, ended = CASES // 10, Counter[str]()
    config = deployment(tmp_path, [*HONEST, "bob"], degree=4, threshold=3, rounds=1 << 20, metrics=["loss"])
    masked, turn = list[bool](), [0]

    def lie(hub: Hub, following: Next) -> None:
        for case in range(cases):
            rng = np.random.default_rng([SEED, case, 1])
            following(Kind.HELLO)
            while turn[0] < case:  # it has come back in the same round
                hub.expel("bob", "that was it")
                following(Kind.HELLO)
            play, until = Round(tmp_path, "bob", case + 1), int(rng.integers(6))
            masked.append(until >= Phase.MASK)
            if until:
                play.up_to(Phase(until), hub, following)
            hub.links["bob"].queue.append(memoryview(said_by_a_server(rng, play)))
            hub.expel("bob", "that was it")

    with lying(plans.load(config), lie), Member(plans.load(tmp_path / "bob.toml")) as member:
        for case in range(cases):
            turn[0] = case
            try:
                member.round(np.random.default_rng(case).normal(size=DIMENSION), metrics={"loss": 0.25})
                ended["a mean"] += 1
                member.close()
            except MpcError as error:
                assert not masked[case] or isinstance(error, AggregationFailed), (case, error)
                ended[type(error).__name__] += 1
                member.close()
    print(f"\n{dict(ended)}")
    assert sum(ended.values()) == cases and ended["AggregationFailed"] > cases // 4
