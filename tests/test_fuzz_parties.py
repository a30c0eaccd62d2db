"""Drawn attacks on a party that waits, on sessions under way, and on a dealer: none ends what it should not,
or grows.

``MPC_FUZZ_CASES`` attacks on the listener (``make fuzz``: 10,000) and a fifth as many conversations that are
bent; ``MPC_SEED`` draws others.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zoo
from attacks import Rng, any_bytes, anything, bent
from conftest import failure, together
from deployed import NAMES, Deployment, certificates
from test_strangers import reset

import mpc
from mpc.errors import MpcError
from mpc.frames import ABORT, BYE, DATA, HEADER
from mpc.transport import Transport
from mpc.transport.wrappers import Tampered
from protocols.running import deployed as runner

ROOT = Path(__file__).parent.parent
CASES = int(os.environ.get("MPC_FUZZ_CASES", "250"))
SEED = int(os.environ.get("MPC_SEED", "1"))
HELLO: dict[str, Any] = {"mpc": 1, "from": 1, "to": 0}
PROGRAM = (
    "def main(party):\n    x = party.secret_from_each(20 + party.id)\n    return int((x[0] + x[1] *"
    " x[2]).reveal())\n"
)


# -- a party that waits -------------------------------------------------------------------------------


class Attacks:
    """What can be done to a listener; ``done`` counts it by kind."""

    def __init__(self, address: tuple[str, int], folder: Path) -> None:
        self.address, self.done = address, Counter[str]()
        self.contexts = {sort: zoo.client(*pair) for sort, pair in zoo.make(folder).items()}
        self.contexts |= {
            "none at all": zoo.client(),
            "old": zoo.client(old=True),
            "cy's": zoo.client(folder / "cy.pem", folder / "cy.key"),
        }
        self.bob = zoo.client(folder / "bob.pem", folder / "bob.key")
        self.open: list[socket.socket] = []
        self.mine = threading.local()

    def __call__(self, case: int) -> None:
        rng = np.random.default_rng([SEED, case])
        kinds: list[Callable[[Rng], None]] = [
            self.rubbish,
            self.half_a_handshake,
            self.strange,
            self.greeting,
            self.cut,
            self.bob_who_leaves,
        ]
        kind = kinds[rng.integers(len(kinds))]
        self.done[kind.__name__] += 1
        self.mine.sockets = []
        with suppress(OSError):  # whatever the party did about it
            kind(rng)
        for sock in self.mine.sockets:
            if sock not in self.open:
                sock.close()

    def call(self, context: ssl.SSLContext | None = None) -> socket.socket:
        sock = socket.create_connection(self.address, timeout=3)
        self.mine.sockets.append(sock)
        if context is not None:
            sock = context.wrap_socket(sock, server_hostname="ann")
            self.mine.sockets.append(sock)
        return sock

    def leave(self, rng: Rng, sock: socket.socket) -> None:
        """End a connection in one of the ways there are, or not at all."""
        how = rng.integers(5)
        if how == 0:
            reset(sock)
        elif how == 1:
            with suppress(OSError), sock:
                sock.shutdown(socket.SHUT_WR)
                sock.settimeout(0.2)
                while sock.recv(4096):
                    pass
        elif how == 2 and len(self.open) < 300:
            self.open.append(sock)
        else:
            sock.close()

    def rubbish(self, rng: Rng) -> None:
        sock = self.call()
        for _ in range(rng.integers(4)):
            sock.sendall(any_bytes(rng))
        self.leave(rng, sock)

    def half_a_handshake(self, rng: Rng) -> None:
        """The first flight of a client, bent."""
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = list(self.contexts.values())[rng.integers(len(self.contexts))].wrap_bio(
            into, out, server_hostname="ann"
        )
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        sock = self.call()
        sock.sendall(bent(rng, out.read()))
        self.leave(rng, sock)

    def strange(self, rng: Rng) -> None:
        """All the way, with a certificate of any sort, and a right greeting or none."""
        context = list(self.contexts.values())[rng.integers(len(self.contexts))]
        sock = self.call(context)
        self.say(sock, json.dumps(HELLO).encode() if rng.random() < 0.5 else any_bytes(rng))
        self.leave(rng, sock)

    def greeting(self, rng: Rng) -> None:
        """With bob's own certificate: every field another one, every length, every form."""
        hello = dict(HELLO)
        for key in rng.permutation(list(hello))[: rng.integers(4)]:
            hello[key] = anything(rng)
        if rng.random() < 0.2:
            hello[str(anything(rng))] = anything(rng)
        text = json.dumps(hello).encode()
        if rng.random() < 0.4:
            text = bent(rng, text)
        sock = self.call(self.bob)
        self.say(
            sock,
            text,
            size=int(rng.choice([0, 1, 4, 1024, 1025, 2**31, 2**32 - 1])) if rng.random() < 0.3 else None,
        )
        self.leave(rng, sock)

    def cut(self, rng: Rng) -> None:
        """A real conversation that ends behind any of its bytes."""
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = self.bob.wrap_bio(into, out, server_hostname="ann")
        sock, left = self.call(), int(rng.integers(2600))
        sock.settimeout(0.5)
        steps: list[Callable[[], object]] = [
            client.do_handshake,
            lambda: client.write(framed(json.dumps(HELLO).encode())),
        ]
        try:
            while steps:
                try:
                    steps[0]()
                    steps.pop(0)
                except ssl.SSLWantReadError:
                    pass
                piece = out.read()[:left]
                sock.sendall(piece)
                left -= len(piece)
                if not left:
                    break
                if steps and piece:
                    into.write(sock.recv(1 << 16))
        except OSError:
            pass
        self.leave(rng, sock)

    def bob_who_leaves(self, rng: Rng) -> None:
        """He joins, says anything, and hangs up before all are here."""
        sock = self.call(self.bob)
        self.say(sock, json.dumps(HELLO).encode())
        sock.settimeout(1)
        sock.recv(100)
        if rng.random() < 0.5:
            sock.sendall(any_bytes(rng))
        if rng.random() < 0.5:
            reset(sock)
        else:
            sock.close()

    @staticmethod
    def say(sock: socket.socket, text: bytes, size: int | None = None) -> None:
        sock.sendall((len(text) if size is None else size).to_bytes(4, "big") + text)


def framed(text: bytes) -> bytes:
    return len(text).to_bytes(4, "big") + text


def memory(pid: int) -> int:
    """Resident memory in MB."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) >> 10


def files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its exit code and what it has said, when it has ended or been ended."""
    try:
        out, err = process.communicate(timeout=600)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    return process.returncode, out, err


def configured(folder: Path, name: str, ports: list[int]) -> Path:
    lines = [
        f'me = "{name}"\ntimeout = 3600\nauthority = "ca.pem"\ncertificate = "{name}.pem"\nkey = "{name}.key"'
    ]
    lines += [
        f'[[parties]]\nname = "{other}"\naddress = "127.0.0.1:{port}"'
        for other, port in zip(NAMES, ports, strict=True)
    ]
    (folder / f"{name}.toml").write_text("\n".join(lines))
    return folder / f"{name}.toml"


def test_a_party_that_waits_lives_through_all_of_it(tmp_path: Path) -> None:
    """A process as it is deployed; then its peers come, the result is right, and it has not grown.

    The attackers have bob's key, too: a session does not begin with him alone.
    """
    folder = certificates(tmp_path)
    ports = []
    for _ in NAMES:
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports.append(free.getsockname()[1])
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def party(name: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            "mpc",
            "party",
            str(program),
            "--config",
            str(configured(folder, name, ports)),
        ]
        return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    ann = party("ann")
    try:
        address = "127.0.0.1", ports[0]
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(address):
                break
            time.sleep(0.05)
        attacks = Attacks(address, folder)
        at_first = files(ann.pid)
        with ThreadPoolExecutor(8) as pool:
            warm = min(CASES // 2, 300)
            list(pool.map(attacks, range(warm)))
            assert ann.poll() is None, ann.communicate()
            before = memory(ann.pid)
            list(pool.map(attacks, range(warm, CASES)))
        assert ann.poll() is None, ann.communicate()
        after = memory(ann.pid)
        for sock in attacks.open:
            sock.close()
        # also those who have left and are not let in yet, one of whom may be bob
        until, quiet = time.monotonic() + 60, 0
        while quiet < 20 and time.monotonic() < until:
            quiet = quiet + 1 if files(ann.pid) <= at_first + 1 else 0
            time.sleep(0.1)
        left = files(ann.pid)
        all_of_them = [ann, party("bob"), party("cy")]
        said = together(*[lambda p=p: ended(p) for p in all_of_them])  # type: ignore[misc]
        assert [answer[:2] for answer in said] == [(0, "482\n")] * 3, said
        print(f"{dict(attacks.done)}: {before} MB, then {after} MB; {at_first} files, then {left}")
        assert after < before + 40 and left <= at_first + 1
    finally:
        if ann.poll() is None:
            ann.kill()
        ann.communicate()


# -- sessions under way -------------------------------------------------------------------------------


class Bent(Tampered):
    """A transport that does something to one frame, the ``number``-th that is sent to any of ``targets``."""

    def __init__(
        self, inner: Transport, rng: Rng, number: int, targets: tuple[int, ...], payloads: bool
    ) -> None:
        super().__init__(inner, self.alter)
        self.rng, self.left, self.targets, self.payloads = rng, number, targets, payloads
        self.how = "nothing"

    def alter(self, number: int, peer: int, frame: bytes) -> bytes:
        if peer not in self.targets:
            return frame
        self.left -= 1
        if self.left != -1:
            return frame
        rng = self.rng
        if not frame.startswith((DATA, BYE, ABORT)):
            self.how = "greeting"
            terms = json.loads(frame[4:])
            for key in rng.permutation(list(terms))[: rng.integers(1, 3)]:
                terms[key] = anything(rng)
            text = json.dumps(terms).encode()
            if rng.random() < 0.3:
                text = bent(rng, text)
            size = int(rng.choice([0, 1, 2**16, 2**16 + 1, 2**32 - 1])) if rng.random() < 0.2 else len(text)
            return size.to_bytes(4, "little") + text
        if self.payloads and len(frame) > HEADER.size and rng.random() < 0.6:
            self.how = "payload"  # of a request to a dealer: refused, or answered with something else
            words = np.frombuffer(frame[HEADER.size :], np.uint64).copy()
            for at in rng.integers(0, len(words), rng.integers(1, 4)):
                words[at] = (
                    rng.choice([0, 1, 2, 8, 9, 62, 64, 2**26, 2**31, 2**32, 2**63, 2**64 - 1]).astype(
                        np.uint64
                    )
                    if rng.random() < 0.8
                    else rng.integers(2**63)
                )
            return frame[: HEADER.size] + words.tobytes()
        if rng.random() < 0.5:
            self.how = "header"
            fields = list(HEADER.unpack(frame[: HEADER.size]))
            which = int(rng.integers(4))
            fields[which] = {
                0: [b"mpc\x02", b"\0" * 4, BYE, ABORT],
                1: [0, 2**32 - 1, fields[1] + 1],
                2: [0, 2**64 - 1, 2**40, fields[2] + 1],
                3: [bytes(16), rng.bytes(16)],
            }[which][rng.integers(2)]
            if fields[0] in (BYE, ABORT):
                fields[4] = b"\x1b[2Jpatient\n"
            return HEADER.pack(*fields) + frame[HEADER.size :]
        self.how = "bytes"
        changed = bent(rng, frame)
        # A payload that is altered is not noticed, as these suites are semi-honest: only the rest of a frame
        # is.
        return changed if changed[:32] != frame[:32] or changed.startswith(frame) else frame[:31]


def main(party: mpc.Session) -> list[int]:
    x, y = party.secret(np.arange(6), owner=0), party.secret(np.arange(6)[::-1] * 3, owner=1)
    z = np.where(x * y > 10, x, y)
    return z.reveal().tolist()  # type: ignore[no-any-return]


RIGHT = np.where(np.arange(6) * np.arange(6)[::-1] * 3 > 10, np.arange(6), np.arange(6)[::-1] * 3).tolist()


def bending(
    monkeypatch: pytest.MonkeyPatch,
    rng: Rng,
    attacker: int,
    number: int,
    targets: tuple[int, ...],
    *,
    payloads: bool = False,
) -> list[Bent]:
    """From now on, what this rank sends is bent."""
    made: list[Bent] = []
    connect = runner.connect.__wrapped__ if hasattr(runner.connect, "__wrapped__") else runner.connect

    def bent_connect(rank: int, *args: Any, **options: Any) -> Any:
        transport = connect(rank, *args, **options)
        if rank != attacker:
            return transport
        made.append(Bent(transport, rng, number, targets, payloads))
        return made[-1]

    bent_connect.__wrapped__ = connect  # type: ignore[attr-defined]
    monkeypatch.setattr(runner, "connect", bent_connect)
    return made


def outcome(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Exception as error:
        return error


def check(outcomes: list[Any], right: Any) -> None:
    """Each has the right result, or an error of ours in one line."""
    for got in outcomes:
        if isinstance(got, Exception):
            assert isinstance(got, MpcError) and str(got).isprintable() and len(str(got)) < 600, got
        else:
            assert got == right


def own_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_bent_conversations_end_in_errors_or_right_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three parties over TLS; one of them, a real one but for a frame, does anything to it."""
    folder, counts = certificates(tmp_path), Counter[str]()
    threads, opened, ended = threading.active_count(), own_files(), 0
    for case in range(max(1, CASES // 5)):
        rng = np.random.default_rng([SEED, case, 2])
        made = bending(monkeypatch, rng, 2, int(rng.integers(16)) if case else 1000, (0, 1))
        with closing(Deployment(3, folder, timeout=0.7)) as deployment:
            outcomes = together(
                *[lambda rank=rank: outcome(lambda: deployment.play(rank, main)) for rank in range(3)]
            )  # type: ignore[misc]
        check(outcomes[:2], RIGHT)
        assert case or outcomes == [RIGHT] * 3, outcomes
        counts[made[0].how if made else "not joined"] += 1
        ended += isinstance(outcomes[0], Exception)
    print(f"{dict(counts)}; {ended} sessions ended in errors")
    assert ended > 0
    assert own_files() <= opened + 3 and threading.active_count() <= threads


def test_bent_requests_end_a_dealer_in_errors_or_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last party asks for anything: the dealer makes nothing that is not allowed, and ends in one
    sentence.
    """
    folder, counts = certificates(tmp_path), Counter[str]()
    before, ended = memory(os.getpid()), 0
    for case in range(max(1, CASES // 5)):
        rng = np.random.default_rng([SEED, case, 3])
        made = bending(monkeypatch, rng, 1, int(rng.integers(6)) if case else 1000, (2,), payloads=True)
        with closing(
            Deployment(2, folder, dealer=True, timeout=0.7, suite="additive", largest_array=1 << 20)
        ) as deployment:
            works = [lambda rank=rank: deployment.play(rank, main) for rank in range(2)] + [deployment.deal]  # type: ignore[misc]
            outcomes = together(*[lambda work=work: outcome(work) for work in works])  # type: ignore[misc]
        check(outcomes[2:], None)
        # Who asks for something else than all others need can spoil the result.
        if made and made[0].how != "payload":
            check(outcomes[:1], RIGHT)
        assert case or outcomes == [RIGHT, RIGHT, None], outcomes
        counts[made[0].how if made else "not joined"] += 1
        ended += isinstance(outcomes[2], Exception)
    print(f"{dict(counts)}; {ended} dealers ended in errors")
    assert ended > 0
    assert memory(os.getpid()) < before + 150


# -- who calls ----------------------------------------------------------------------------------------


def test_whoever_answers_in_a_peers_place_is_called_again(tmp_path: Path) -> None:
    """Bob calls ann; until she comes, others answer with anything but a certificate."""
    folder = certificates(tmp_path)
    cases = max(10, CASES // 10)
    with closing(Deployment(2, folder, timeout=60 + cases)) as deployment:
        peer, done = deployment.peers[0], 0
        deployment.listeners[0].close()
        false = socket.create_server((peer.host, peer.port))
        rng = np.random.default_rng([SEED, 4])

        def late() -> Any:
            nonlocal done
            kept = []
            for _ in range(cases):
                done += 1
                sock, _ = false.accept()
                with suppress(OSError):
                    sock.sendall(any_bytes(rng))
                    if rng.random() < 0.3:
                        sock.settimeout(0.1)
                        sock.recv(4096)
                    if rng.random() < 0.5:
                        reset(sock)
                    elif rng.random() < 0.05:
                        kept.append(sock)  # says nothing more: patience is spent on it
                        continue
                sock.close()
            false.close()
            deployment.listeners[0] = socket.create_server((peer.host, peer.port))
            result = deployment.play(0, lambda party: int(party.secret(7).reveal()))
            for sock in kept:
                sock.close()
            return result

        assert together(late, lambda: deployment.play(1, lambda party: int(party.secret(7).reveal()))) == [
            7,
            7,
        ]
        assert done == cases


def test_the_attacks_are_attacks() -> None:
    """What is drawn does find its way in where nothing is checked: a listener that believes everybody."""
    rng = np.random.default_rng(SEED)
    assert (
        len({bent(rng, b"hello") for _ in range(50)}) > 20
        and len({repr(anything(rng)) for _ in range(100)}) > 10
    )
    assert isinstance(failure(lambda: 1 / 0), ZeroDivisionError)
