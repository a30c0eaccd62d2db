"""All parties of a networked session as processes on this machine: configurations, keys, and their end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from codecs import getincrementaldecoder
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from types import FrameType
from typing import Any, TextIO

from mpc.certs import fresh
from mpc.config import data_of
from mpc.ephemeral import Kept, Unnamed, kept
from mpc.errors import ConfigError
from mpc.process import ending_with_parent

#: Each one's certificate and key; under "ca", the authority's certificate.
Pem = dict[str, tuple[Unnamed, ...]]

#: Parties at most: each is a process.
MOST = 256

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
    offline: bool  # correlations first, by a run of their own
    silent_transfers: bool
    ring: int
    fraction_bits: int
    tls: bool = True
    trace: bool = False
    debug: bool = False
    timeout: float = 60.0
    quiet: bool = False  # nothing of what the parties print
    check: bool = False  # all inputs are shown to all parties
    progress: bool = True  # said on standard error
    # names of data, and their paths with {id} in place of a party's rank
    data: tuple[tuple[str, str], ...] = ()
    arguments: tuple[str, ...] = ()  # the program's
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Outcome:
    """What became of the parties: their reports by rank, of an offline run too, and the exit code of the
    whole.
    """

    reports: list[dict[str, Any]]
    code: int
    offline: list[dict[str, Any]] = field(default_factory=list)


def run(plan: Plan) -> Outcome:
    """Start a process per party (and the dealer), show party 0's output and how far it is as they come, wait
    for all.

    Twice, if it begins offline.  Whatever ends this process, and whenever, ends all of them, and nothing is
    left of what they had: keys, configurations and what is printed are in files without a name, a store in a
    folder that goes with its users.
    """
    names = [f"party-{i}" for i in range(plan.parties)] + (["dealer"] if plan.dealer else [])
    with _heeding() as heed, ExitStack() as stack:
        made = fresh(names, days=1) if plan.tls else {}
        pem = {who: tuple(stack.enter_context(Unnamed(part)) for part in pair) for who, pair in made.items()}
        folder = stack.enter_context(kept()) if plan.offline else None
        before = Outcome([], 0)
        if plan.offline:
            before = _session(plan, names, pem, folder, ["offline"], heed)
            if before.code:
                return before
        command = [
            "party",
            *(["--use-offline"] if plan.offline else []),
            *(["--check"] if plan.check else []),
        ]
        outcome = _session(plan, names, pem, folder, command, heed)
        return Outcome(outcome.reports, outcome.code, before.reports)


class _Heed:
    """Called, it raises for a signal that has come by then and would end this process.

    Raised as soon as it comes, that could be between any two steps of ``subprocess``, which then waits for
    ever.  ``at_once`` is where it may be, and has to: where this process waits for somebody to read what it
    prints."""

    def __init__(self) -> None:
        self._came: list[int] = []
        self._at_once = False

    def __call__(self) -> None:
        if self._came:
            raise KeyboardInterrupt if self._came[0] == signal.SIGINT else SystemExit(128 + self._came[0])

    def hear(self, number: int, _: FrameType | None) -> None:
        self._came.append(number)
        if self._at_once:
            self()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        self._at_once = True
        try:
            self()
            yield
        finally:
            self._at_once = False


@contextmanager
def _heeding() -> Iterator[_Heed]:
    """Signals that would end this process do it where they are looked for."""
    heed = _Heed()
    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in ends}
    usual = (signal.SIG_DFL, signal.default_int_handler)
    taken = [number for number, handler in before.items() if handler in usual]  # not what nohup ignores
    try:
        for number in taken:
            signal.signal(number, heed.hear)
        yield heed
        heed()
    finally:
        for number in taken:
            signal.signal(number, before[number])


def _show(text: str, heed: _Heed, to: TextIO | None = None) -> None:
    """Print, and end for a signal meanwhile, too: whoever should read it may have stopped."""
    to = to or sys.stdout
    try:
        with heed.at_once():
            print(text, end="", flush=True, file=to)
    except (KeyboardInterrupt, SystemExit):
        with suppress(OSError), open(os.devnull, "wb") as nowhere:
            for stalled in [file for file in (1, 2) if os.path.sameopenfile(file, to.fileno())]:
                os.dup2(nowhere.fileno(), stalled)  # the rest would be waited for when this process ends
        raise


def _session(
    plan: Plan, names: list[str], pem: Pem, folder: Kept | None, command: list[str], heed: _Heed
) -> Outcome:
    """All processes of one session, from start to end."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(plan.parties)]
        members: list[_Member] = []
        try:
            for rank, who in enumerate(names):
                heed()
                text = _config(plan, rank, names, pem, listeners)
                listener = listeners[rank] if rank < plan.parties else None
                members.append(_start(plan, who, command, text, pem, folder, listener, rank == 0, stack))
            for listener in listeners:
                listener.close()
            _wait(members, plan.parties, heed, show=not plan.quiet)
            stopped = [member.name for member in members if member.process.poll() is None]
        finally:
            for member in members:
                member.process.kill()
                member.process.wait()
        return _outcome(plan, members, stopped, heed)


@dataclass(frozen=True, slots=True)
class _Member:
    """A process and the files it writes."""

    name: str
    process: subprocess.Popen[bytes]
    out: Unnamed
    err: Unnamed
    report: Unnamed
    trace: Unnamed


def _config(plan: Plan, rank: int, names: list[str], pem: Pem, listeners: list[socket.socket]) -> str:
    who = names[rank]
    lines = [
        f'me = "{who}"',
        f'suite = "{plan.suite}"',
        f"ring = {plan.ring}",
        f"fraction_bits = {plan.fraction_bits}",
        f"timeout = {plan.timeout}",
        "largest_array = 2147483648",  # all parties are one user's: nobody else's word
    ]
    if plan.tls:
        certificate, key = pem[who]
        lines += [f'authority = "{pem["ca"][0].path}"']
        lines += [f'certificate = "{certificate.path}"', f'key = "{key.path}"']
    else:
        lines.append("insecure_no_tls = true")
    if plan.dealer:
        lines.append('dealer = "dealer"')
    if plan.silent_transfers:
        lines.append("silent_transfers = true")
    for name, listener in zip(names, listeners, strict=False):
        lines += ["[[parties]]", f'name = "{name}"', f'address = "127.0.0.1:{listener.getsockname()[1]}"']
    if rank < plan.parties:
        lines += [
            "[data]",
            *(
                f"{_quoted(name)} = {_quoted(str(path))}"
                for name, path in data_of(dict(plan.data), rank).items()
            ),
        ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """As TOML has it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _start(
    plan: Plan,
    who: str,
    what: list[str],
    text: str,
    pem: Pem,
    folder: Kept | None,
    listener: socket.socket | None,
    first: bool,
    stack: ExitStack,
) -> _Member:
    contents = (text.encode(), b"", b"", b"", b"")
    config, out, err, report, trace = (stack.enter_context(Unnamed(content)) for content in contents)
    handed = [config, report, trace, *pem.get("ca", ())[:1], *pem.get(who, ())]
    descriptors = [file.file.fileno() for file in handed]
    path = config.path
    if folder is not None:  # a store lies beside the configuration
        (folder.path / f"{who}.toml").write_text(text)
        path, descriptors = str(folder.path / f"{who}.toml"), [*descriptors, folder.descriptor]
    command = [sys.executable, "-P", "-m", "mpc"]  # -P: not what lies under this name where the user is
    if listener is None:
        command += ["dealer", "--config", path]
    else:
        command += [what[0], str(plan.program), *what[1:], "--config", path]
        command += ["--report-to", report.path, "--listen-fd", str(listener.fileno())]
        command += ["--trace", trace.path] if plan.trace and what[0] == "party" else []
        if first and plan.progress:
            shown = os.dup(2)
            stack.callback(os.close, shown)
            command += ["--progress-fd", str(shown)]
            descriptors.append(shown)
        descriptors.append(listener.fileno())
    command += ["--debug"] if plan.debug else []
    command += ["--", *plan.arguments] if listener is not None else []
    root = str(Path(__file__).resolve().parent.parent)
    paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {
        **os.environ,
        "PYTHONPATH": paths,
        "PYTHONUNBUFFERED": "1",
        LAUNCHER: str(os.getpid()),
        **dict(plan.environment),
    }
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=out.file,
        stderr=err.file,
        pass_fds=descriptors,
        preexec_fn=ending_with_parent(),  # noqa: PLW1509 (there are no threads)
        env=environment,
    )
    return _Member(who, process, out, err, report, trace)


def _wait(members: list[_Member], parties: int, heed: _Heed, show: bool) -> None:
    """Until all have ended, or some have failed and the others had time to notice; shows the first one's
    output.
    """
    deadline, files = None, ((members[0].out, sys.stdout), (members[0].err, sys.stderr))
    shown, decode = [0, 0], [getincrementaldecoder("utf-8")("replace").decode for _ in files]
    while True:
        heed()
        codes = [member.process.poll() for member in members]
        alive = [code is None for code in codes]
        for i, (file, to) in enumerate(files):
            said = file.read(shown[i])
            shown[i] += len(said)
            if show and said:
                _show(decode[i](said), heed, to)
        late = deadline is not None and monotonic() > deadline
        if not any(alive) or late or (any(codes) and not any(alive[:parties])):
            return
        if deadline is None and (any(codes) or not any(alive[:parties])):
            deadline = monotonic() + GRACE
        sleep(0.01)


def _outcome(plan: Plan, members: list[_Member], stopped: list[str], heed: _Heed) -> Outcome:
    parties = members[: plan.parties]
    reports: dict[str, dict[str, Any]] = {
        member.name: json.loads(member.report.read() or "{}") for member in parties
    }
    if not plan.quiet:
        for member in parties[1:]:
            if lines := _beyond(member.out, parties[0].out):
                _show(f"{member.name} printed:\n" + "".join(f"  {line}\n" for line in lines), heed)
    words: dict[str, list[str]] = {}  # and who says so
    for member in members:
        code = member.process.returncode
        said = [] if member is parties[0] and not plan.quiet else _beyond(member.err, parties[0].err)
        if error := reports.get(member.name, {}).get("error"):
            said.append(f"error: {error}")
        if member.name in stopped:
            said = [*said, "stopped, since another party had failed"] if member in parties else []
        elif code < 0:
            said.append(f"ended by signal {signal.Signals(-code).name}")
        if said:
            words.setdefault("\n".join(said), []).append(member.name)
    for said_alike in sorted(words, key=_is_consequence):
        _show(f"{', '.join(words[said_alike])}: {said_alike}\n", heed, sys.stderr)
    whole = [reports[member.name] for member in parties if "meter" in reports[member.name]]
    for member, report in zip(parties, whole, strict=False):
        if events := member.trace.read():
            report["trace"] = json.loads(events)["traceEvents"]
    return Outcome(whole, int(any(member.process.returncode for member in members)))


def _beyond(file: Unnamed, first: Unnamed) -> list[str]:
    """The lines of a file that the first party's lacks."""
    there = Counter(_lines(first)) if file is not first else Counter[str]()
    lines = []
    for line in _lines(file):
        if there[line]:
            there[line] -= 1
        else:
            lines.append(line)
    return lines


def _lines(file: Unnamed) -> list[str]:
    return file.read().decode(errors="replace").splitlines()


def _is_consequence(words: str) -> bool:
    """Whether a party only reports that another one has failed: causes are shown first."""
    marks = (" gave up", " closed the connection", " has ended its program", "stopped, since")
    return any(mark in words for mark in marks)


def check_inputs(plan: Plan) -> None:
    """A clear error before any process is started."""
    if not plan.program.is_file():
        raise ConfigError(
            f"{plan.program} is not a file: give the path of a program with a function main(party)"
        )
    for rank in range(plan.parties):
        for name, path in data_of(dict(plan.data), rank).items():
            if not path.exists():
                raise ConfigError(
                    f"--data {name}: party {rank} has no file {path}; {{id}} in a path is the party's number,"
                    " from 0"
                )
