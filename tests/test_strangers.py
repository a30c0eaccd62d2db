"""Whoever calls a party that waits for others, or answers in a peer's place: no stranger ends it, holds it
up, or keeps peers out.
"""

from __future__ import annotations

import resource
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import zoo
from conftest import failure, together
from deployed import Deployment, certificates
from test_tcp import Table, swap

from mpc.errors import HandshakeError, MpcError
from mpc.handshake import agree
from mpc.transport import joining
from mpc.transport.memory import mesh
from mpc.transport.tcp import TcpTransport


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="module")
def sorts(folder: Path) -> dict[str, tuple[Path, Path]]:
    return zoo.make(folder)


def reset(sock: socket.socket) -> None:
    """Close as a port scanner does: by a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def waits_through(table: Table, attack: Callable[[tuple[str, int]], list[socket.socket] | None]) -> float:
    """Ann waits, all this happens to her, then bob comes: the seconds until both have joined.
    They can talk.
    """
    address = table.peers[0].host, table.peers[0].port
    joined: list[float] = []

    def bob() -> TcpTransport:
        time.sleep(0.1)
        kept = attack(address)
        start = time.monotonic()
        end = table.join(1)
        joined.append(time.monotonic() - start)
        for sock in kept or ():
            sock.close()
        return end

    ends = together(lambda: table.join(0), bob)
    together(*[lambda e=e: swap(e, [100], [1 - e.rank]) for e in ends])  # type: ignore[misc]
    for end in ends:
        end.close()
    return joined[0]


@pytest.mark.parametrize("first", [b"", b"\x16", b"\x16\x03\x01\x02\0\x01", b"GET / HTTP/1.0\r\n\r\n"])
@pytest.mark.parametrize("secure", [True, False])
def test_connections_that_are_reset(folder: Path, first: bytes, secure: bool) -> None:
    def attack(address: tuple[str, int]) -> None:
        for _ in range(100):
            sock = socket.create_connection(address)
            sock.sendall(first)
            reset(sock)

    with closing(Table(2, folder if secure else None)) as table:
        waits_through(table, attack)


@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize("first", [b"", b"\x16\x03\x01\x02\0\x01"])
def test_five_hundred_patient_strangers_keep_nobody_out(folder: Path, first: bytes, secure: bool) -> None:
    def attack(address: tuple[str, int]) -> list[socket.socket]:
        crowd = [socket.create_connection(address, timeout=5) for _ in range(500)]
        for sock in crowd:
            with suppress(OSError):  # its place may have been needed
                sock.sendall(first)
        return crowd

    with closing(Table(2, folder if secure else None, timeout=20)) as table:
        assert waits_through(table, attack) < 10


def test_strangers_who_come_back_at_once_keep_nobody_out(folder: Path) -> None:
    stop = threading.Event()

    def stranger(address: tuple[str, int]) -> None:
        while not stop.is_set():
            try:
                with socket.create_connection(address, timeout=1) as sock:
                    sock.settimeout(1)
                    sock.recv(1)
            except OSError:
                pass

    def attack(address: tuple[str, int]) -> None:
        for _ in range(400):
            threading.Thread(target=stranger, args=(address,), daemon=True).start()

    with closing(Table(2, folder, timeout=30)) as table:
        try:
            assert waits_through(table, attack) < 20
        finally:
            stop.set()


def test_with_few_descriptors_a_crowd_keeps_nobody_out_either(folder: Path, tmp_path: Path) -> None:
    """Fewer than there are places: ann may have 64, and 300 patient strangers come before bob."""
    with closing(Table(2, folder, timeout=12)) as table:
        table.listeners[0].close()
        lines = [
            f'me = "ann"\nauthority = "{folder}/ca.pem"\ncertificate = "{folder}/ann.pem"\nkey ='
            f' "{folder}/ann.key"'
        ]
        lines += [f'[[parties]]\nname = "{peer.name}"\naddress = "{peer.address}"' for peer in table.peers]
        (tmp_path / "ann.toml").write_text("\n".join(lines))
        (tmp_path / "program.py").write_text("def main(party):\n    return 1\n")
        ann = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "mpc",
                "party",
                tmp_path / "program.py",
                "--config",
                tmp_path / "ann.toml",
            ],
            cwd=Path(__file__).parent.parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),  # noqa: PLW1509
        )
        address, crowd = (table.peers[0].host, table.peers[0].port), list[socket.socket]()
        try:
            until = time.monotonic() + 60
            while len(crowd) < 300:
                assert ann.poll() is None and time.monotonic() < until
                with suppress(ConnectionRefusedError):
                    crowd.append(socket.create_connection(address, timeout=5))
            table.join(1).close()
        finally:
            for sock in crowd:
                sock.close()
            ann.kill()
            ann.wait()


def shown(address: tuple[str, int], pair: tuple[Path, Path] | None, *, old: bool = False) -> str:
    """What somebody is told who comes with this certificate and says that it is bob."""
    said = b""
    try:
        with (
            socket.create_connection(address, timeout=5) as raw,
            zoo.client(*(pair or ()), old=old).wrap_socket(raw, server_hostname="ann") as sock,
        ):
            hello = b'{"mpc": 1, "from": 1, "to": 0}'
            sock.sendall(len(hello).to_bytes(4, "big") + hello)
            while piece := sock.recv(1000):
                said += piece
    except OSError as error:
        return str(error)
    return said[4:].decode()


def test_every_sort_of_certificate_is_turned_away(folder: Path, sorts: dict[str, tuple[Path, Path]]) -> None:
    told: dict[str, str] = {}

    def attack(address: tuple[str, int]) -> None:
        told.update({sort: shown(address, pair) for sort, pair in sorts.items()})
        told["old"] = shown(address, sorts["two"], old=True)
        told["no certificate"] = shown(address, None)

    with closing(Table(2, folder)) as table:
        waits_through(table, attack)
    assert len(told) > 25 and all(
        said.isprintable() and ("error" in said or "ALERT" in said or "EOF" in said) for said in told.values()
    ), told
    assert all(len(said) < 500 for said in told.values())
    assert (
        "its certificate is for nobody" in told["not UTF-8"]
        and "its certificate is for mallory, eve" in told["two"]
    )
    assert "unknown ca" in told["another authority"] and "expired" in told["expired"]


def test_whatever_goes_wrong_with_one_caller_is_not_the_others_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what nobody has thought of."""
    names, calls = joining.names, []

    def failing(sock: ssl.SSLSocket) -> list[str]:
        calls.append(sock)
        if len(calls) < 4:
            raise RuntimeError("nobody has thought of this")
        return names(sock)

    monkeypatch.setattr(joining, "names", failing)
    with closing(Table(2, folder)) as table:
        waits_through(
            table,
            lambda address: (
                [shown(address, (folder / "cy.pem", folder / "cy.key")) for _ in range(3)] and None
            ),
        )
    assert len(calls) >= 4


def test_who_answers_in_a_peers_place_and_says_nothing_is_called_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hung process, a tunnel, a proxy: then the true peer comes."""
    monkeypatch.setattr(joining, "PATIENCE", 0.3)
    with closing(Table(2, folder)) as table:
        table.listeners[0].close()
        peer = table.peers[0]
        silent = socket.create_server((peer.host, peer.port))

        def late() -> TcpTransport:
            heard, _ = silent.accept()
            time.sleep(0.5)
            silent.close()
            end = table.join(0, listener=socket.create_server((peer.host, peer.port)))
            heard.close()
            return end

        for end in together(late, lambda: table.join(1)):
            end.close()


def test_a_peer_that_leaves_before_all_are_here_may_come_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stopped and started anew; on either side of the call."""
    monkeypatch.setattr(joining, "LINGER", 0.1)
    for again in (0, 2):
        with closing(Table(3, folder)) as table:
            host, port = table.peers[0].host, table.peers[0].port
            others = [rank for rank in range(3) if rank != again]

            def twice(
                again: int = again, table: Table = table, host: str = host, port: int = port
            ) -> TcpTransport:
                first = {
                    "timeout": 0.4,
                    "listener": (
                        socket.socket(fileno=socket.dup(table.listeners[0].fileno())) if again == 0 else None
                    ),
                }
                assert "did not join" in str(failure(lambda: table.join(again, **first)))
                if again == 0:
                    table.listeners[0].close()
                    return table.join(0, listener=socket.create_server((host, port)))
                return table.join(again)

            def late(rank: int, table: Table = table) -> TcpTransport:
                time.sleep(0.8 if rank == others[-1] else 0.0)  # noqa: B023
                return table.join(rank)

            ends = together(twice, *[lambda rank=rank: late(rank) for rank in others])  # type: ignore[misc]
            assert sorted(end.rank for end in ends) == [0, 1, 2]
            for end in ends:
                end.close()


def test_the_cause_is_named_at_all_sides_where_one_has_another_authority(
    folder: Path, tmp_path: Path
) -> None:
    """Whoever calls and whoever is called; not what followed from it, nor what was so before it."""
    foreign = certificates(tmp_path)
    tls = {name: zoo_tls(foreign, name) for name in ("ann", "bob", "cy")}

    def errors(stranger: int) -> list[str]:
        with closing(Table(3, folder, timeout=5)) as table:
            return [
                str(error)
                for error in together(
                    *[
                        lambda rank=rank: failure(
                            lambda: table.join(
                                rank, **({"tls": tls[table.names[rank]]} if rank == stranger else {})
                            )
                        )  # type: ignore[misc]
                        for rank in range(3)
                    ]
                )
            ]

    for stranger, name in enumerate(tls):
        said = errors(stranger)
        for rank in range(3):
            assert "another authority" in said[rank], (stranger, rank, said)
            assert (
                "eof" not in said[rank].lower()
                and "does not listen" not in said[rank]
                and "does not speak" not in said[rank]
            )
            assert rank == stranger or name in said[rank]


def zoo_tls(folder: Path, name: str) -> Any:
    return joining.Tls(folder / "ca.pem", folder / f"{name}.pem", folder / f"{name}.key")


def test_what_strangers_say_does_not_hide_what_is_wrong_with_a_peer(
    folder: Path, sorts: dict[str, tuple[Path, Path]]
) -> None:
    with closing(Table(2, folder, timeout=3)) as table:
        address = table.peers[0].host, table.peers[0].port

        def knock() -> None:
            time.sleep(0.1)
            for first in (
                b"",
                b"\x16",
                b"x",
                b"GET / HTTP/1.0\r\n\r\n",
                bytes(300),
                b"\x16\x03\x01\0\x05hello",
                b"\x15\x03\x01\0\x02\2\2",
            ):
                with socket.create_connection(address) as sock:
                    sock.sendall(first)
            shown(address, sorts["expired"])

        error, _ = together(lambda: failure(lambda: table.join(0)), knock)
    assert isinstance(error, HandshakeError) and "certificate has expired" in str(error)


# -- greetings ----------------------------------------------------------------------------------------

TERMS: dict[str, Any] = {
    "version": 1,
    "ring": 64,
    "parties": ["ann", "bob"],
    "suite": "additive",
    "store of correlations": None,
    "program": "ab",
}
OTHERS = [
    None,
    True,
    0,
    -1,
    2**70,
    1.5,
    1e300,
    "",
    "x" * 3000,
    "\x1b[2J",
    [],
    {},
    [[]],
    {"a": {}},
    ["ann"],
    [None, {}],
    {"x": [1] * 500},
]


@pytest.mark.parametrize("field", TERMS)
def test_every_field_of_a_greeting_may_be_anything(field: str) -> None:
    """And gets a sentence that names it."""
    for other in OTHERS:
        for terms in (
            {**TERMS, field: other},
            {**TERMS, f"{field}\x1b": other},
            {key: value for key, value in TERMS.items() if key != field},
        ):
            if all(
                (terms.get(key) or None) is (TERMS.get(key) or None) for key in terms.keys() | TERMS.keys()
            ):
                continue  # what is null or empty is as if it were not there
            first, second = mesh(2, timeout=1)
            error = together(
                lambda: failure(lambda: agree(first, {1: "bob"}, TERMS, frozenset())),  # noqa: B023
                lambda: isinstance(failure(lambda: agree(second, {0: "ann"}, terms, frozenset())), MpcError),  # noqa: B023
            )[0]
            assert (
                isinstance(error, HandshakeError)
                and str(error).startswith("bob ")
                and str(error).isprintable()
                and len(str(error)) < 500
            ), error


def test_different_programs_are_told_by_both_though_others_are_lost() -> None:
    """A peer that is gone before it has greeted does not hide what another one has said."""
    with closing(Deployment(3, None, timeout=5)) as deployment:

        def leave(rank: int, program: bytes) -> Exception:
            return failure(lambda: deployment.play(rank, lambda session: None, program))

        errors = together(lambda: leave(0, b"one"), lambda: leave(1, b"one"), lambda: leave(2, b"two"))
    assert all("another program" in str(error) for error in errors), errors
