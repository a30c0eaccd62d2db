"""All parties of a networked session as processes on this machine: configurations, keys, and their end."""
from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import IO, Any

from mpc.certs import make_authority_and_certificates
from mpc.errors import ConfigError

#: Tells a process that it was started by ``run`` (a variable of the environment: the launcher's process).
LAUNCHER = "MPC_LAUNCHER"

#: Seconds the other parties get to end after one has failed; they notice at once unless they compute.
GRACE = 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, and how."""

    program: Path
    parties: int
    suite: str
    dealer: bool
    offline: bool                       # correlations first, by a run of their own
    silent_transfers: bool
    ring: int
    fraction_bits: int
    tls: bool = True
    trace: bool = False
    debug: bool = False
    timeout: float = 60.0
    quiet: bool = False                 # nothing of what the parties print
    check: bool = False                 # all inputs are shown to all parties
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Outcome:
    """What became of the parties: their reports by rank, of an offline run too, and the exit code of the whole."""

    reports: list[dict[str, Any]]
    code: int
    offline: list[dict[str, Any]] = field(default_factory=list)


def run(plan: Plan) -> Outcome:
    """Start a process per party (and the dealer), show party 0's output as it comes, wait for all; twice if it begins offline."""
    with tempfile.TemporaryDirectory(prefix="mpc-run-") as name:
        folder = Path(name)
        names = [f"party-{i}" for i in range(plan.parties)] + (["dealer"] if plan.dealer else [])
        if plan.tls:
            make_authority_and_certificates(names, folder, days=1)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # so that what is below ends the parties too
        before = Outcome([], 0)
        if plan.offline:
            before = _session(plan, folder, names, ["offline"])
            if before.code:
                return before
        outcome = _session(plan, folder, names, ["party", *(["--use-offline"] if plan.offline else []), *(["--check"] if plan.check else [])])
        return Outcome(outcome.reports, outcome.code, before.reports)


def _session(plan: Plan, folder: Path, names: list[str], command: list[str]) -> Outcome:
    """All processes of one session, from start to end."""
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(plan.parties)]
        members: list[_Member] = []
        try:
            for rank, who in enumerate(names):
                (folder / f"{who}.toml").write_text(_config(plan, who, names, listeners))
                members.append(_start(plan, folder, who, command, listeners[rank] if rank < plan.parties else None, rank == 0, stack))
            for listener in listeners:
                listener.close()
            _wait(members, plan.parties, show=not plan.quiet)
            stopped = [member.name for member in members if member.process.poll() is None]
        finally:
            for member in members:
                member.process.kill()
                member.process.wait()
        return _outcome(plan, folder, members, stopped)


@dataclass(frozen=True, slots=True)
class _Member:
    """A process and the files it prints to."""

    name: str
    process: subprocess.Popen[bytes]
    out: IO[str]
    err: IO[str]


def _config(plan: Plan, who: str, names: list[str], listeners: list[socket.socket]) -> str:
    lines = [f'me = "{who}"', f'suite = "{plan.suite}"', f"ring = {plan.ring}",
             f"fraction_bits = {plan.fraction_bits}", f"timeout = {plan.timeout}"]
    if plan.tls:
        lines += ['authority = "ca.pem"', f'certificate = "{who}.pem"', f'key = "{who}.key"']
    else:
        lines.append("insecure_no_tls = true")
    if plan.dealer:
        lines.append('dealer = "dealer"')
    if plan.silent_transfers:
        lines.append("silent_transfers = true")
    for name, listener in zip(names, listeners, strict=False):
        lines += ["[[parties]]", f'name = "{name}"', f'address = "127.0.0.1:{listener.getsockname()[1]}"']
    return "\n".join(lines) + "\n"


def _start(plan: Plan, folder: Path, who: str, what: list[str], listener: socket.socket | None, first: bool, stack: contextlib.ExitStack) -> _Member:
    command = [sys.executable, "-m", "mpc"]
    config = str(folder / f"{who}.toml")
    if listener is None:
        command += ["dealer", "--config", config]
    else:
        command += [what[0], str(plan.program), *what[1:], "--config", config, "--report-to", str(folder / f"{who}.json"),
                    "--listen-fd", str(listener.fileno())]
        command += ["--trace", str(folder / f"{who}.trace")] if plan.trace and what[0] == "party" else []
    command += ["--debug"] if plan.debug else []
    root = str(Path(__file__).resolve().parent.parent)
    paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    out, err = (stack.enter_context((folder / f"{who}.{kind}").open("w+")) for kind in ("out", "err"))
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out.fileno(), stderr=None if first and sys.stderr.isatty() else err.fileno(),
                               pass_fds=[listener.fileno()] if listener else [],
                               env={**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", LAUNCHER: str(os.getpid()), **dict(plan.environment)})
    return _Member(who, process, out, err)


def _wait(members: list[_Member], parties: int, show: bool) -> None:
    """Until all have ended, or some have failed and the others had time to notice; shows the first one's output."""
    deadline = None
    with Path(members[0].out.name).open() as output:
        while True:
            codes = [member.process.poll() for member in members]
            alive = [code is None for code in codes]
            text = output.read()
            if show and text:
                print(text, end="", flush=True)
            if not any(alive) or (deadline is not None and monotonic() > deadline) or (any(codes) and not any(alive[:parties])):
                return
            if deadline is None and (any(codes) or not any(alive[:parties])):
                deadline = monotonic() + GRACE
            sleep(0.01)


def _outcome(plan: Plan, folder: Path, members: list[_Member], stopped: list[str]) -> Outcome:
    parties = members[:plan.parties]
    texts = [Path(member.out.name).read_text() for member in parties]
    for member, text in zip(parties[1:], texts[1:], strict=True):
        if text not in ("", texts[0]) and not plan.quiet:
            print(f"{member.name} printed:\n" + "".join(f"  {line}\n" for line in text.splitlines()), end="", flush=True)
    words: dict[str, list[str]] = {}                # and who says so
    for member in members:
        if member.process.returncode:
            said = Path(member.err.name).read_text().strip()
            if member.name in stopped:
                said = f"{said}\nstopped, since another party had failed".strip() if member in parties else ""
            elif member.process.returncode < 0:
                said = f"{said}\nended by signal {signal.Signals(-member.process.returncode).name}".strip()
            if said:
                words.setdefault(said, []).append(member.name)
    for said in sorted(words, key=_is_consequence):
        print(f"{', '.join(words[said])}: {said}", file=sys.stderr)
    reports = []
    for member in parties:
        path, trace = (folder / f"{member.name}.{kind}" for kind in ("json", "trace"))
        if path.exists():
            reports.append(json.loads(path.read_text()))
            if trace.exists():
                reports[-1]["trace"] = json.loads(trace.read_text())["traceEvents"]
    return Outcome(reports, int(any(member.process.returncode for member in parties)))


def _is_consequence(words: str) -> bool:
    """Whether a party only reports that another one has failed: causes are shown first."""
    return any(mark in words for mark in (" gave up at ", " closed the connection", " has ended its program", "stopped, since"))


def check_program(path: Path) -> None:
    """A clear error before any process is started."""
    if not path.is_file():
        raise ConfigError(f"{path} is not a file: give the path of a program with a function main(party)")
