"""``mpc offline`` and what follows, as users run them: real processes over TLS."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import mpc
from mpc.certs import make_authority_and_certificates
from mpc.cli import main as cli
from mpc.config import load
from mpc.encoding import BOOL, INT, Fixed
from mpc.errors import ConfigError, HandshakeError
from mpc.handshake import agree
from mpc.meter import OFFLINE, Meter, payers
from mpc.party import Party
from mpc.prg import Stream
from mpc.ring import Z64, Spec
from mpc.rounds import simulate
from mpc.seat import take_seat
from mpc.transport.memory import mesh
from protocols.bilinear import MATMUL, MULTIPLY
from protocols.numpy import names
from protocols.prep import Correlation, Triple
from protocols.prep.ot import Oblivious
from protocols.prep.store import Making, Store
from protocols.prep.stored import Rehearsal, fill
from protocols.running.deployed import store_of, terms_of
from protocols.running.program import Program
from protocols.running.rehearsal import RehearsalSession
from protocols.running.seating import sit_down
from protocols.suites.additive import Additive

ROOT = Path(__file__).parent.parent
NAMES = ("north", "south")

PROGRAM = """
import json, time
from pathlib import Path
import numpy as np

def main(party):
    x, y = party.secret_from_each(np.array([10.0, 20.0, 30.0]) + party.id)
    seen = [(x * y).reveal().tolist()]
    while Path(HERE, "wait").exists():
        time.sleep(0.01)
    seen.append((x < y).reveal().tolist())
    seen.append((x.reshape(1, 3) @ y).reveal().tolist())
    with Path(HERE, f"{party.id}.seen").open("a") as file:
        print(json.dumps(seen), file=file)
    print("printed by the program")
"""


@pytest.fixture
def configs(tmp_path: Path) -> list[Path]:
    make_authority_and_certificates(NAMES, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as a, socket.create_server(("127.0.0.1", 0)) as b:
        ports = [s.getsockname()[1] for s in (a, b)]
    parties = "".join(
        f'[[parties]]\nname = "{n}"\naddress = "127.0.0.1:{p}"\n' for n, p in zip(NAMES, ports, strict=True)
    )
    (tmp_path / "program.py").write_text(f"HERE = {str(tmp_path)!r}\n{PROGRAM}")
    paths = [tmp_path / f"{name}.toml" for name in NAMES]
    for name, path in zip(NAMES, paths, strict=True):
        path.write_text(
            f'me = "{name}"\ntimeout = 20\nauthority = "ca.pem"\ncertificate = "{name}.pem"\nkey ='
            f' "{name}.key"\n{parties}'
        )
    return paths


class Run:
    """Both parties, each with a command of its own."""

    def __init__(self, configs: list[Path], *commands: str) -> None:
        self.folder = configs[0].parent
        self._processes = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "mpc",
                    word,
                    str(self.folder / "program.py"),
                    "--config",
                    str(config),
                    *options,
                    *(["--report-to", str(config.with_suffix(".json"))] if word == "party" else []),
                ],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for config, (word, *options) in zip(configs, (c.split() for c in commands), strict=True)
        ]

    def kill(self, rank: int) -> None:
        self._processes[rank].send_signal(signal.SIGKILL)

    def end(self) -> list[tuple[int, str, str]]:
        said = [p.communicate(timeout=600) for p in self._processes]
        return [
            (p.returncode, out, " ".join(err.split()))
            for p, (out, err) in zip(self._processes, said, strict=True)
        ]

    def report(self, rank: int) -> dict[str, Any]:
        return json.loads((self.folder / f"{NAMES[rank]}.json").read_text())


def used(configs: list[Path], name: str) -> dict[str, list[int]]:
    return json.loads((configs[0].parent / "correlations" / name / "cursor").read_text().splitlines()[0])[
        "used"
    ]


def is_right(seen: list[Any]) -> None:
    np.testing.assert_allclose(seen[0], [110, 420, 930], atol=1e-3)
    assert seen[1] == [True] * 3 and abs(seen[2][0] - 1460) < 1e-2


def kept(configs: list[Path]) -> None:
    """What the program's first product takes, and its last one."""
    x = Spec(Z64, (1,))
    counts: dict[Correlation, int] = {
        Triple(MULTIPLY, x, x): 3,
        Triple(MATMUL, Spec(Z64, (1, 3)), Spec(Z64, (3,))): 1,
    }

    async def side(rank: int) -> None:
        with closing(Making(*store_of(load(configs[rank])))) as making:
            making.commit(
                await fill(await take_seat(rank, 2, Stream.fresh("own")), Oblivious(), making, counts)
            )

    simulate(side(0), side(1))


def test_a_party_that_was_killed_comes_back_and_nothing_is_used_again(configs: list[Path]) -> None:
    folder, party = configs[0].parent, "party --use-offline"
    kept(configs)
    (folder / "wait").touch()
    killed = Run(configs, party, party)
    deadline = time.monotonic() + 30
    while (
        not all(sum(at for at, _ in used(configs, name).values()) for name in NAMES)
        and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    killed.kill(1)
    (folder / "wait").unlink()
    (code, _, err), (died, _, _) = killed.end()
    assert code == 1 and died == -signal.SIGKILL and "south" in err

    last = Run(configs, party, party)
    for code, out, err in last.end():
        assert code == 0 and "printed by the program" in out, err
    is_right(json.loads((folder / "0.seen").read_text()))
    report = last.report(0)
    assert (
        report["correlations"].startswith("1 from the store")
        and "on demand, since the store had no more of: triple" in report["correlations"]
    )
    meter = report["meter"]
    assert 0 < meter["offline"]["sent"] < meter["sent"] and 0 < meter["offline"]["rounds"] < meter["rounds"]
    assert [p.name for p in (folder / "correlations" / "north").iterdir()] == [
        p.name for p in (folder / "correlations" / "south").iterdir()
    ]


def alone(config: Path, *options: str, **environment: str) -> tuple[int, str]:
    """One party that does not come so far that it meets the others."""
    command = [
        sys.executable,
        "-m",
        "mpc",
        "party",
        str(config.parent / "program.py"),
        "--config",
        str(config),
        *options,
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={**os.environ, **environment},
    )
    assert "Traceback" not in done.stderr
    return done.returncode, " ".join(done.stderr.split())


def test_a_store_whose_files_were_exchanged_gives_no_number(configs: list[Path]) -> None:
    kept(configs)
    one, two = (configs[0].parent / "correlations" / NAMES[1]).glob("triple-*")
    before = one.read_bytes(), two.read_bytes()
    one.write_bytes(before[1])
    two.write_bytes(before[0])
    code, said = alone(configs[1], "--use-offline")
    assert code == 1 and any(
        f"{a.name} has what belongs in {b.name}: run 'mpc offline' again" in said
        for a, b in ((one, two), (two, one))
    )


def test_a_store_that_was_turned_back_is_noticed_by_this_account(configs: list[Path], tmp_path: Path) -> None:
    """Whatever of the folder of the configuration is restored, or copied."""
    kept(configs)
    shutil.copytree(tmp_path, tmp_path / "copy")
    folder, terms, secret, memory = store_of(load(configs[0]))
    with closing(Store(folder, terms, secret, memory)) as store:
        next(iter(store.shelves.values())).take()
    code, said = alone(tmp_path / "copy" / configs[0].name, "--use-offline")
    assert code == 1 and "was turned back, or is a copy: 0 of its blocks of one kind are used" in said
    copy = tmp_path / "copy" / configs[0].name
    copy.write_text(copy.read_text().replace("timeout = 20", "timeout = 0.1"))
    code, said = alone(copy, "--use-offline", XDG_STATE_HOME=str(tmp_path / "elsewhere"))
    assert code == 1 and "warning: this machine does not remember the store" in said and "south" in said


def test_a_key_that_is_open_to_others_is_refused(configs: list[Path]) -> None:
    configs[0].with_name("north.key").chmod(0o640)
    code, said = alone(configs[0])
    assert code == 1 and "north.key is open to others than its owner (mode 0640): run 'chmod 600 " in said


def test_run_does_both(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(f"HERE = {str(tmp_path)!r}\n{PROGRAM}")
    done = subprocess.run(
        [sys.executable, "-m", "mpc", "run", str(tmp_path / "program.py"), "-n", "2", "--offline"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")},
    )
    assert done.returncode == 0, done.stderr
    # keys and stores are gone: there is nothing to remember
    assert not (tmp_path / "state").exists()
    assert done.stdout == "printed by the program\n"  # once: not in the rehearsal
    rehearsed, seen = (json.loads(line) for line in (tmp_path / "0.seen").read_text().splitlines())
    is_right(seen)
    assert all(0.2 < v < 2.3 for v in rehearsed[0])  # of dummies, and right too
    assert abs(sum(rehearsed[0]) - rehearsed[2][0]) < 1e-3
    for words in ("  offline run  ", "  offline  ", "  online  ", "from the store of the offline run"):
        assert words in done.stderr
    assert "on demand" not in done.stderr


def test_run_says_what_it_cannot_make_in_advance() -> None:
    for options, said in (
        (["-n", "3"], "takes no correlated randomness"),
        (["-n", "2", "--dealer"], "without a dealer"),
        (["-n", "2", "--insecure-no-tls"], "keys of TLS"),
    ):
        done = CliRunner().invoke(cli, ["run", "examples/millionaires.py", "--offline", *options])
        assert done.exit_code == 1 and said in done.output


def test_parties_with_other_stores_are_told_so(configs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them without, and one whose store is of another offline run."""
    for name in ("path", "meta_path"):  # a program is loaded for the life of a process
        monkeypatch.setattr(sys, name, getattr(sys, name)[:])
    program = Program(configs[0].parent / "program.py")
    store = "runs 'mpc party --use-offline'"
    for there, here in ((None, "5c"), ("5c", None), ("5d", "5c"), ("to be made", "5c")):
        errors: list[str] = []

        def side(transport: Any, config: Path, kept: str | None, errors: list[str] = errors) -> None:
            try:
                agree(
                    transport,
                    {1 - transport.rank: "peer"},
                    terms_of(load(config), program, kept),
                    frozenset(),
                )
            except HandshakeError as error:
                errors.append(str(error))

        threads = [
            threading.Thread(target=side, args=a)
            for a in zip(mesh(2, timeout=5), configs, (there, here), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        does = {None: "runs 'mpc party' without --use-offline", "to be made": "runs 'mpc offline'"}
        assert sorted(errors) == sorted(
            (
                f"peer runs with another store of correlations (there {json.dumps(a)}, here {json.dumps(b)});"
                " all parties must agree on it"
                if {a, b} == {"5c", "5d"}
                else f"peer {does.get(a, store)}, and this party {does.get(b, store)}: all must do the same"
            )
            for a, b in ((here, there), (there, here))
        )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('dealer = "x"', "without a dealer"),
        ('suite = "replicated"', "takes no correlated randomness"),
        ("insecure_no_tls = true", "encrypted under this party's private key"),
    ],
)
def test_what_cannot_be_made_in_advance(configs: list[Path], line: str, said: str) -> None:
    text = configs[0].read_text()
    if "insecure" in line:
        text = "\n".join(
            row for row in text.splitlines() if not row.startswith(("authority", "certificate", "key"))
        )
    if "replicated" in line:
        text += '[[parties]]\nname = "east"\naddress = "127.0.0.1:9"\n'
    configs[0].write_text(f"{line}\n{text}")
    with pytest.raises(ConfigError, match=said):
        store_of(load(configs[0]))


def test_no_value_of_a_users_enters_a_rehearsal() -> None:
    """What is shared is the same whatever is passed, and of its kind and shape."""
    parties = [Party(t) for t in mesh(2, timeout=0)]
    tasks = [p.start(sit_down(p, Additive, Stream.fresh("own"), Rehearsal())) for p in parties]
    while not all(t.done for t in tasks):
        for party in parties:
            party.post()
        for party in parties:
            party.deliver()
    session = RehearsalSession([parties[0]], [tasks[0].result()], names)
    rng = np.random.default_rng(3)
    for kind, first, second in (
        (Fixed(16), rng.normal(size=(3, 4)), rng.normal(size=(3, 4))),
        (INT, rng.integers(-9, 9, 70), rng.integers(-9, 9, 70)),
        (BOOL, np.zeros(9, bool), np.ones(9, bool)),
        (Fixed(16), np.float64(3.5), np.float64(-7)),
    ):
        (said, dummy), (_, again) = session._encode(first, None), session._encode(second, None)
        assert said == kind and dummy.shape == first.shape and (dummy.data == again.data).all()
        values = kind.decode(dummy)
        assert (values >= (0.5 if kind == Fixed(16) else 0)).all() and (values <= 1.5).all()


# -- what counts as offline -----------------------------------------------------------------------------


def test_a_round_is_offline_where_nothing_else_travels() -> None:
    meter = Meter()
    for depth, labels in enumerate(
        [
            ["setup"],
            [OFFLINE + "triple"],
            [OFFLINE + "triple", "multiply"],
            [OFFLINE + "triple", OFFLINE + "mask"],
            ["reveal"],
        ],
        1,
    ):
        meter.exchanged(labels, depth, False)
        meter.waited(labels, payers(labels), 0.0, 1.0, 8)
    offline = meter.offline()
    assert (meter.rounds, offline.rounds, meter.online) == (5, 2, 3)
    assert offline.waiting == 2 and meter.waiting == 5 and meter.of("multiply").waiting == 1


def test_a_batch_on_demand_is_under_way_before_it_is_needed() -> None:
    session = mpc.local(2, dealer=False)
    x = session.secret(np.full((), 3))
    y = x
    for _ in range(800):  # one after the other
        y = y * x
    assert y.reveal() == np.int64(3) ** np.int64(801)
    for party in session.parties:
        offline = party.meter.offline()
        # of the setup, and of the first two batches
        assert offline.sent > 500 * 800 and offline.rounds <= 2 + 2 * 2


def test_both_phases_add_up() -> None:
    for dealer in (False, True):
        session = mpc.local(2, dealer=dealer)
        (session.secret(np.arange(5.0)) * session.secret(np.arange(5.0), owner=1)).reveal()
        for party in session.parties:
            said = party.meter.as_dict()
            made = {name: u for name, u in said["operations"].items() if name.startswith(OFFLINE)}
            assert said["offline"]["received"] == sum(u["received"] for u in made.values())
            assert said["offline"]["sent"] <= said["sent"] and said["offline"]["rounds"] <= said["rounds"]
        assert session.parties[1].meter.offline().received >= 5 * 8
