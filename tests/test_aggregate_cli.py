"""The aggregation server and its clients as people run them: real processes, real TLS, and what happens when
things go wrong.
"""

import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import aggregating
import numpy as np
import pytest
from aggregating import own_file
from test_cli import Processes, ended, mpc

from mpc.certs import make_authority_and_certificates
from mpc.config import Peer
from mpc.errors import HandshakeError
from mpc.transport.tls import Tls
from protocols.aggregation.service import plan as plans
from protocols.aggregation.service.frames import Kind
from protocols.aggregation.service.hub import Hub
from protocols.aggregation.service.line import Line

NAMES = [f"clinic-{i}" for i in range(6)]
DIMENSION = 300


def deployment(
    folder: Path, names: list[str] = NAMES, deadlines: dict[str, float] | None = None, **fields: object
) -> Path:
    """All files of a session whose means are exact; gives the server's."""
    step = 5e-8 if len(names) <= len(NAMES) else None
    return aggregating.deployment(
        folder,
        names,
        deadlines={"share": 5.0, "mask": 5.0, "confirm": 5.0, "unmask": 5.0, **(deadlines or {})},
        **{"dimension": DIMENSION, "step": step, "attempts": None, "dropout": None, **fields},
    )


def vectors(folder: Path, names: list[str] = NAMES, turn: int = 1) -> dict[str, np.ndarray]:
    out = {}
    for i, name in enumerate(names):
        out[name] = (
            np.random.default_rng([turn, i])
            .normal(size=DIMENSION)
            .astype(np.float32 if i % 2 else np.float64)
            * 0.1
        )
        np.save(folder / f"{name}-{turn}.npy", out[name])
    return out


def events(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def join(processes: Processes, folder: Path, name: str, *more: object):
    return processes.start(
        "aggregate",
        "join",
        "--config",
        folder / f"{name}.toml",
        "--vector",
        folder / (name + "-{round}.npy"),
        "--out",
        folder / (name + "-mean-{round}.npy"),
        *more,
    )


def test_keys_and_directory_by_command(tmp_path):
    assert mpc("aggregate", "keys", "a", "b", "c", "--out", tmp_path).returncode == 0
    assert os.stat(tmp_path / "a.signing").st_mode & 0o077 == 0
    made = mpc("aggregate", "directory", *sorted(tmp_path.glob("*.pub")), "--out", tmp_path / "d")
    assert made.returncode == 0 and "3 clients" in made.stdout
    again = mpc("aggregate", "keys", "a", "--out", tmp_path)
    assert again.returncode == 1 and "not overwritten" in again.stderr


def test_two_rounds_on_one_connection(tmp_path, processes):
    server = processes.start("aggregate", "serve", "--config", deployment(tmp_path, rounds=2, weight=9))
    given = [vectors(tmp_path, turn=turn) for turn in (1, 2)]
    clients = [
        join(processes, tmp_path, name, "--rounds", 2, "--weight", i + 1) for i, name in enumerate(NAMES)
    ]
    for client in clients:
        code, out, err = ended(client)
        assert code == 0, err
        assert (
            out.count("the mean of 6 clients' vectors, within ") == 2
            and "6 clients: 5 neighbours, threshold 4: 128 bits of security" in err
        )
    code, out, err = ended(server)
    assert code == 0, err
    log = events(out)
    assert sum(e["event"] == "joined" for e in log) == 6  # no second connection
    for turn in (1, 2):
        expected = sum((i + 1) * given[turn - 1][name].astype(float) for i, name in enumerate(NAMES)) / 21
        mean = np.load(tmp_path / f"server-state/round-{turn:06}.npy")
        np.testing.assert_allclose(mean, expected, atol=1e-6)
        assert np.array_equal(mean, np.load(tmp_path / f"clinic-3-mean-{turn}.npy"))
    last = [e for e in log if e["event"] == "round ends"][-1]
    assert last["clients"] == NAMES and last["left_out"] == {} and "weight" not in last


def test_a_client_killed_in_the_midst_of_a_round(tmp_path, processes):
    """It has dealt shares and then is no more:
    the others' mean is right, and the server says who is missing.
    """
    server = processes.start("aggregate", "serve", "--config", deployment(tmp_path))
    given = vectors(tmp_path)
    program = tmp_path / "dies.py"
    program.write_text(f"""
import os, signal, numpy as np, mpc
from protocols.aggregation.one_server import client
from protocols.aggregation.service import member
answer = client.Client.answer
def dying(self, message):
    if message[4] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer(self, message)
client.Client.answer = dying
mpc.aggregation_client({str(tmp_path / "clinic-2.toml")!r}).round(np.zeros({DIMENSION}))
""")
    dying = subprocess.Popen([sys.executable, str(program)])
    processes.all.append(dying)
    clients = [join(processes, tmp_path, name) for name in NAMES if name != "clinic-2"]
    for client in clients:
        code, out, err = ended(client)
        assert code == 0 and "the mean of 5 clients' vectors" in out, err
    assert dying.wait(10) == -signal.SIGKILL
    code, out, err = ended(server)
    assert code == 0, err
    end = next(e for e in events(out) if e["event"] == "round ends")
    assert (
        end["left_out"] == {"clinic-2": "did not answer in the phase MASK"}
        and "clinic-2" not in end["clients"]
    )
    assert any(e["event"] == "left" and e["who"] == "clinic-2" for e in events(out))
    np.testing.assert_allclose(
        np.load(end["file"]), sum(given[n].astype(float) for n in end["clients"]) / 5, atol=1e-6
    )


def test_a_connection_that_breaks_is_made_anew_and_the_round_goes_on(tmp_path, processes):
    server = processes.start("aggregate", "serve", "--config", deployment(tmp_path))
    vectors(tmp_path)
    program = tmp_path / "breaks.py"
    program.write_text(f"""
import socket, numpy as np, mpc
from protocols.aggregation.one_server import client
made, broken, answer = mpc.aggregation_client({str(tmp_path / "clinic-2.toml")!r}), [], client.Client.answer
def breaking(self, message):
    out = answer(self, message)
    if message[4] == 3:
        broken.append(made._line._socket.shutdown(socket.SHUT_RDWR))
    return out
client.Client.answer = breaking
made.round(np.zeros({DIMENSION}))
assert broken == [None] and made.last.included and made.last.count == 6
""")
    breaking = subprocess.Popen([sys.executable, str(program)], text=True, stderr=subprocess.PIPE)
    processes.all.append(breaking)
    for client in [*(join(processes, tmp_path, name) for name in NAMES if name != "clinic-2"), breaking]:
        code, _, err = ended(client)
        assert code == 0, err
    code, out, err = ended(server)
    assert code == 0, err
    assert sum(e["event"] == "joined" and e["who"] == "clinic-2" for e in events(out)) == 2


def test_wrong_certificates_and_garbage_do_not_disturb(tmp_path, processes):
    """Another authority's certificate, one of nobody in the directory, another client's, bytes that are no
    frame, and a huge length.
    """
    config = deployment(tmp_path)
    vectors(tmp_path)
    make_authority_and_certificates(["clinic-0"], tmp_path / "foreign")
    port = plans.load(config).plan.peer.port
    server = processes.start("aggregate", "serve", "--config", config)
    own_file(tmp_path, "clinic-0", certificate="../foreign/clinic-0", key="../foreign/clinic-0")
    code, _, err = ended(join(processes, tmp_path, "clinic-0"))
    assert code == 1 and "refused our certificate" in err and "another authority" in err
    own_file(tmp_path, "clinic-0", certificate="mallory", key="mallory")
    code, _, err = ended(join(processes, tmp_path, "clinic-0"))
    assert code == 1 and "mallory, who is not in the directory" in err
    own_file(tmp_path, "clinic-0", certificate="clinic-1", key="clinic-1")
    code, _, err = ended(join(processes, tmp_path, "clinic-0"))
    assert code == 1 and "certificate is for clinic-1" in err
    own_file(tmp_path, "clinic-0")
    with socket.create_connection(("127.0.0.1", port)) as plain:
        plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert plain.recv(100) is not None
    idle = socket.create_connection(("127.0.0.1", port))  # says nothing at all
    tls = plans.load(tmp_path / "clinic-5.toml").tls.client()
    hello = json.dumps({"me": "clinic-5", "last": 0, "within": None}).encode()
    for bad in (
        b"x" * 100,
        struct.pack("<4sBI", b"mpcA", 4, 1 << 31),
        struct.pack("<4sBI", b"mpcA", 4, 3) + b"abc" * 1000,
    ):
        with tls.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="server") as line:
            line.sendall(struct.pack("<4sBI", b"mpcA", 1, len(hello)) + hello)
            line.settimeout(10)
            while b"mpcA\3" not in line.recv(1000):  # what it is asked
                pass
            line.sendall(bad)
            try:
                while line.recv(1000):
                    pass
            except (ssl.SSLError, ConnectionError):
                pass
    # clinic-5 has spoilt its own part in this round
    clients = [join(processes, tmp_path, name) for name in NAMES[:5]]
    for client in clients:
        code, out, err = ended(client)
        assert code == 0 and "the mean of 5 clients' vectors" in out, err
    code, out, err = ended(server)
    assert code == 0, err
    end = next(e for e in events(out) if e["event"] == "round ends")
    assert end["clients"] == NAMES[:5] and end["left_out"] == {
        "clinic-5": "3 bytes arrived where a message of the phase ADVERTISE was due"
    }
    said = " ".join(e.get("reason", "") for e in events(out))
    for words in ("another authority", "not in the directory", "no frame of this protocol", "bytes where"):
        assert words in said
    idle.close()


def test_a_refusal_is_read_though_a_write_has_failed_before(tmp_path):
    """A client of TLS 1.3 has done its part of the handshake before the server turns its certificate down."""
    make_authority_and_certificates(["server"], tmp_path / "own")
    make_authority_and_certificates(["clinic-0"], tmp_path / "foreign")
    with socket.create_server(("127.0.0.1", 0)) as free:
        peer = Peer("server", *free.getsockname())
    hub = Hub(
        peer,
        Tls(tmp_path / "own/ca.pem", tmp_path / "own/server.pem", tmp_path / "own/server.key"),
        ("clinic-0",),
        1000,
    )
    refused = threading.Thread(target=hub.poll, args=(60,))
    refused.start()
    line = Line(
        peer,
        Tls(tmp_path / "own/ca.pem", tmp_path / "foreign/clinic-0.pem", tmp_path / "foreign/clinic-0.key"),
        5,
        5,
        1000,
    )
    refused.join()
    with pytest.raises(HandshakeError, match="refused our certificate: it trusts another authority"):
        for _ in range(100):  # the first may still find room in the kernel
            line.send(Kind.HELLO, b"{}")
    line.close()
    hub.close(1)


def test_the_server_restarts_between_rounds(tmp_path, processes):
    """It is killed after the first round; the clients stay, and it goes on with the second."""
    config = deployment(tmp_path, rounds=2)
    given = [vectors(tmp_path, turn=turn) for turn in (1, 2)]
    server = processes.start("aggregate", "serve", "--config", config)
    clients = [join(processes, tmp_path, name, "--rounds", 2) for name in NAMES[:5]]
    late = join(processes, tmp_path, NAMES[5])
    while (
        "round-000001.npy" not in os.listdir(tmp_path / "server-state")
        if (tmp_path / "server-state").exists()
        else True
    ):
        time.sleep(0.01)
    # the second round waits for this one, which takes part in one only
    ended(late)
    server.kill()
    server.communicate()
    state = json.loads((tmp_path / "server-state/state.json").read_text())
    assert [r["round"] for r in state["done"]] == [1]
    server = processes.start("aggregate", "serve", "--config", config, "--log", tmp_path / "log")
    (tmp_path / "clinic-5-1.npy").write_bytes((tmp_path / "clinic-5-2.npy").read_bytes())
    clients.append(join(processes, tmp_path, NAMES[5]))
    for client in clients:
        code, _, err = ended(client)
        assert code == 0, err
    code, out, err = ended(server)
    assert code == 0 and not out, err
    log = events((tmp_path / "log").read_text())
    assert log[0]["done"] == 1
    end = next(e for e in log if e["event"] == "round ends")
    assert end["round"] == state["next"]
    np.testing.assert_allclose(
        np.load(end["file"]), sum(v.astype(float) for v in given[1].values()) / 6, atol=1e-6
    )
    again = mpc("aggregate", "serve", "--config", config)
    assert again.returncode == 0 and events(again.stdout)[-1] == {
        **events(again.stdout)[-1],
        "event": "done",
        "rounds": 2,
    }


def test_too_few_clients(tmp_path, processes):
    server = processes.start(
        "aggregate", "serve", "--config", deployment(tmp_path, attempts=1, deadlines={"advertise": 8.0})
    )
    vectors(tmp_path)
    clients = [join(processes, tmp_path, name) for name in NAMES[:2]]
    code, _, err = ended(server)
    assert (
        code == 1
        and "2 of 6 clients came with a vector within 8 s, and 4 must be in the sum" in err
        and err.count("\n") == 1
    )
    for client in clients:
        client.kill()


def test_what_is_refused_before_anything_is_sent(tmp_path):
    config = deployment(tmp_path)
    for change, words in (
        (("clip", "clop"), "did you mean 'clip'"),
        (('"test"', '"te st"'), "'session'"),
        (("threshold = 4", "threshold = 2"), "both masks"),
        (("dimension = 300", "dimension = 0"), "dimension"),
        (("mask = 5.0", "mask = -1"), "deadlines.mask"),
    ):
        text = (tmp_path / "plan.toml").read_text()
        (tmp_path / "plan.toml").write_text(text.replace(*change))
        done = mpc("aggregate", "serve", "--config", config)
        assert done.returncode == 1 and words in done.stderr and done.stderr.startswith("error: "), (
            done.stderr
        )
        (tmp_path / "plan.toml").write_text(text)
    (tmp_path / "v.npy").write_bytes(b"\x80\x04nothing")
    done = mpc("aggregate", "join", "--config", tmp_path / "clinic-0.toml", "--vector", tmp_path / "v.npy")
    assert done.returncode == 1 and "cannot be read as a .npy file" in done.stderr
    (tmp_path / "keys/clinic-0.signing").write_bytes((tmp_path / "keys/clinic-1.signing").read_bytes())
    done = mpc("aggregate", "join", "--config", tmp_path / "clinic-0.toml", "--vector", tmp_path / "v.npy")
    assert done.returncode == 1 and "signing_key" in done.stderr
