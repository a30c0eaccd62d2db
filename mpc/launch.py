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
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import IO, Any

from mpc.certs import make_authority_and_certificates
from mpc.errors import ConfigError

#: Seconds the other parties get to end after one has failed; they notice at once unless they compute.
GRACE = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, and how."""

    program: Path
    parties: int
    suite: str
    dealer: bool
    ring: int = 64
    fraction_bits: int = 16
    tls: bool = True
    trace: bool = False
    debug: bool = False
    timeout: float = 60.0
    quiet: bool = False                 # nothing of what the parties print
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Outcome:
    """What became of the parties: their reports by rank, and the exit code of the whole."""

    reports: list[dict[str, Any]]
    code: int


def run(plan: Plan) -> Outcome:
    """Start a process per party (and the dealer), show party 0's output as it comes, wait for all."""
    with tempfile.TemporaryDirectory(prefix="mpc-run-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(plan.parties)]
        names = [f"party-{i}" for i in range(plan.parties)] + (["dealer"] if plan.dealer else [])
        if plan.tls:
            make_authority_and_certificates(names, folder, days=1)
        processes: list[subprocess.Popen[str]] = []
        errors: list[IO[str]] = []
        try:
            for rank, who in enumerate(names):
                config = folder / f"{who}.toml"
                config.write_text(_config(plan, who, names, listeners))
                errors.append(stack.enter_context((folder / f"{who}.err").open("w+")))
                processes.append(_start(plan, folder, config, who, listeners[rank] if rank < plan.parties else None,
                                        None if rank == 0 else errors[rank]))
            for listener in listeners:
                listener.close()
            return _finish(plan, folder, names, processes, errors)
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                process.wait()
                if process.stdout:
                    process.stdout.close()


def _config(plan: Plan, who: str, names: list[str], listeners: list[socket.socket]) -> str:
    lines = [f'me = "{who}"', f'suite = "{plan.suite}"', f"ring = {plan.ring}",
             f"fraction_bits = {plan.fraction_bits}", f"timeout = {plan.timeout}"]
    if plan.tls:
        lines += ['authority = "ca.pem"', f'certificate = "{who}.pem"', f'key = "{who}.key"']
    else:
        lines.append("insecure_no_tls = true")
    if plan.dealer:
        lines.append('dealer = "dealer"')
    for name, listener in zip(names, listeners, strict=False):
        lines += ["[[parties]]", f'name = "{name}"', f'address = "127.0.0.1:{listener.getsockname()[1]}"']
    return "\n".join(lines) + "\n"


def _start(plan: Plan, folder: Path, config: Path, who: str, listener: socket.socket | None,
           errors: IO[str] | None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mpc"]
    if listener is None:
        command += ["dealer", "--config", str(config)]
    else:
        command += ["party", str(plan.program), "--config", str(config), "--report-to", str(folder / f"{who}.json"),
                    "--listen-fd", str(listener.fileno())]
        command += ["--trace", str(folder / f"{who}.trace")] if plan.trace else []
    command += ["--debug"] if plan.debug else []
    root = str(Path(__file__).resolve().parent.parent)
    paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if listener else subprocess.DEVNULL,
                            stderr=errors, text=True, pass_fds=[listener.fileno()] if listener else [],
                            env={**os.environ, "PYTHONPATH": paths, **dict(plan.environment)})


def _finish(plan: Plan, folder: Path, names: list[str], processes: list[subprocess.Popen[str]],
            errors: list[IO[str]]) -> Outcome:
    first, *others = processes[:plan.parties]
    assert first.stdout is not None
    lines = []
    for line in first.stdout:
        lines.append(line)
        if not plan.quiet:
            print(line, end="", flush=True)
    texts = []
    for process in others:
        assert process.stdout is not None
        texts.append(process.stdout.read())
    deadline = monotonic() + GRACE
    for process in processes:
        try:
            process.wait(max(0.1, deadline - monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
    for who, text in zip(names[1:], texts, strict=False):
        if text != "".join(lines) and text and not plan.quiet:
            print(f"{who} printed:\n" + "".join(f"  {line}\n" for line in text.splitlines()), end="", flush=True)
    codes = [process.wait() for process in processes]
    if any(codes):
        for who, code, file in list(zip(names, codes, errors, strict=True))[1:]:
            file.seek(0)
            said = file.read().strip() or (f"ended by signal {signal.Signals(-code).name}" if code < 0 else "")
            if code and said:
                print(f"{who}: {said}", file=sys.stderr)
    reports = []
    for who in names[:plan.parties]:
        path = folder / f"{who}.json"
        if path.exists():
            report = json.loads(path.read_text())
            trace = folder / f"{who}.trace"
            if trace.exists():
                report["trace"] = json.loads(trace.read_text())["traceEvents"]
            reports.append(report)
    return Outcome(reports, 1 if any(codes) else 0)


def check_program(path: Path) -> None:
    """A clear error before any process is started."""
    if not path.is_file():
        raise ConfigError(f"{path} is not a file: give the path of a program with a function main(party)")
