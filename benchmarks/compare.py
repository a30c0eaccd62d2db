"""``python -m benchmarks.compare --out docs/``: the same work on other systems and on this engine, in turn.

Each peer is installed from the package index into an environment of its own, never into this one.  For every
work the systems run one after the other, so that a slow minute of the machine meets all of them.  A peer that
cannot be installed, or lacks the work, is reported with the reason.
"""

from __future__ import annotations

import datetime
import importlib.util
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks import report
from benchmarks.works import WORKS

ROOT = Path(__file__).parent.parent
LIMIT = 600  # seconds a driver may take
Line = dict[str, Any]


@dataclass(frozen=True)
class Peer:
    """A driver in ``benchmarks/peers`` and how pip sets it up: the arguments of each call, none for this
    engine.
    """

    name: str
    parties: int  # processes at once, which share the processors' cores
    installs: tuple[tuple[str, ...], ...] = ()


PEERS = {
    peer.name: peer
    for peer in (
        Peer("ours", 3),
        Peer("spu", 3, (("spu==0.9.5",),)),
        # CrypTen names a package that refuses to be installed; what it does need is the second line
        Peer(
            "crypten",
            2,
            (("--no-deps", "crypten==0.4.1"), ("torch==2.13.0", "numpy<2", "onnx", "omegaconf", "pyyaml")),
        ),
        Peer("mpyc", 3, (("mpyc==0.11", "gmpy2", "numpy", "uvloop"),)),
    )
}


class CannotInstall(Exception):
    """The last line of what pip said."""


def environment(peer: Peer, cache: Path) -> Path:
    """The Python that runs the peer's driver; its environment is made at the first call."""
    if not peer.installs:
        return Path(sys.executable)
    folder = cache / peer.name
    python, done = folder / "bin/python", folder / "installed.json"
    if not done.exists() or json.loads(done.read_text()) != [list(words) for words in peer.installs]:
        click.echo(f"installing {peer.name} into {folder}", err=True)
        venv.create(folder, clear=True, with_pip=True)
        for words in peer.installs:
            pip = subprocess.run(
                [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words],
                capture_output=True,
                text=True,
                check=False,
            )
            if pip.returncode:
                said = (
                    [line for line in pip.stderr.splitlines() if line.startswith("ERROR")]
                    or pip.stderr.splitlines()
                    or ["pip said nothing"]
                )
                raise CannotInstall(said[-1].strip())
        done.write_text(json.dumps(peer.installs))
    return python


def measure(peer: Peer, python: Path, work: str, size: int, runs: int) -> Iterator[Line]:
    """What the driver prints, each line with the peer, the work and the size that it was asked for."""
    about = {"peer": peer.name, "work": work, "asked": size}
    threads = str(max(1, (os.cpu_count() or 1) // peer.parties))
    surroundings = (
        os.environ | {"PYTHONPATH": str(ROOT)} | ({"OMP_NUM_THREADS": threads} if peer.installs else {})
    )
    with subprocess.Popen(
        [python, "-m", f"benchmarks.peers.{peer.name}", work, str(size), str(runs)],
        cwd=ROOT,
        env=surroundings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as driver:
        try:
            out, err = driver.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(driver.pid, signal.SIGKILL)
            out, err = driver.communicate()
            err = f"took longer than {LIMIT} s"
    yield from (about | line for line in parse(out))
    if driver.returncode:
        yield about | {"missing": (err.strip().splitlines() or [f"exit code {driver.returncode}"])[-1]}


def parse(out: str) -> Iterator[Line]:
    """The lines of JSON among whatever libraries print as well."""
    for text in out.splitlines():
        if text.startswith("{"):
            yield json.loads(text)


def processor_times() -> tuple[float, float, float] | None:
    """Seconds that the machine's processors were busy, that they existed, and that our ended children took.
    Linux only.
    """
    try:
        words = Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
    except OSError:
        return None
    user, nice, system, idle, waiting, *rest = (int(word) / os.sysconf("SC_CLK_TCK") for word in words)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = user + nice + system + sum(rest)
    return busy, busy + idle + waiting, children.ru_utime + children.ru_stime


def taken_by_others(start: tuple[float, float, float] | None) -> float | None:
    """The part of the processors' time that other programs have taken since."""
    now = processor_times()
    if now is None or start is None:
        return None
    busy, total, ours = (b - a for a, b in zip(start, now, strict=True))
    return max(0.0, busy - ours) / total if total else 0.0


def machine() -> str:
    try:
        model = Path("/proc/cpuinfo").read_text().split("model name")[1].split(":")[1].split("\n")[0].strip()
    except (OSError, IndexError):
        model = platform.processor() or platform.machine()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB memory, {platform.system()}"
        f" {platform.release()}, Python {platform.python_version()}"
    )


def _chosen(text: str, known: Sequence[str], what: str) -> list[str]:
    names = [name for name in text.split(",") if name] or list(known)
    for name in names:
        if name not in known:
            raise click.UsageError(f"there is no {what} '{name}'; there is: {' '.join(known)}")
    return names


def compare(
    peers: Sequence[str], works: Sequence[str], sizes: Sequence[int], runs: int, cache: Path
) -> list[Line]:
    """All lines, in the order they were measured; a peer that pip cannot install has one, without a work."""
    pythons, lines = {}, []
    for name in peers:
        try:
            pythons[name] = environment(PEERS[name], cache)
        except CannotInstall as error:
            lines.append({"peer": name, "missing": f"could not be installed: {error}"})
    for work in works:
        for size in sizes or WORKS[work].sizes:
            for name, python in pythons.items():
                for line in measure(PEERS[name], python, work, size, runs):
                    click.echo(json.dumps(line))
                    lines.append(line)
    return lines


@click.command()
@click.option(
    "--peers", default="", help=f"Which systems, with commas between them; all by default: {','.join(PEERS)}."
)
@click.option("--works", default="", help=f"Which works; all by default: {','.join(WORKS)}.")
@click.option("--sizes", default="", help="Sizes for all of these works, instead of each work's own.")
@click.option(
    "--runs", default=5, type=click.IntRange(5), help="Runs of each, after one to warm up; the median counts."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write benchmarks.md and benchmarks.png into this folder.",
)
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the peers' environments are kept.",
    default=Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mpc-benchmarks",
)
def main(peers: str, works: str, sizes: str, runs: int, out: Path | None, cache: Path) -> None:
    """Measure other systems and this one; print a JSON line for each figure, and write a page with --out."""
    if out and not importlib.util.find_spec("matplotlib"):
        raise click.UsageError("the plot needs matplotlib: pip install '.[bench]'")
    if not all(size.isdigit() and int(size) for size in sizes.split(",") if size):
        raise click.UsageError(f"--sizes {sizes}: give whole numbers above 0 with commas between them")
    begun, processors = datetime.datetime.now().astimezone(), processor_times()
    lines = compare(
        _chosen(peers, list(PEERS), "system"),
        _chosen(works, list(WORKS), "work"),
        [int(size) for size in sizes.split(",") if size],
        runs,
        cache,
    )
    if out:
        out.mkdir(parents=True, exist_ok=True)
        about = report.About(
            machine(), f"{begun:%Y-%m-%d %H:%M}", runs, taken_by_others(processors), " ".join(sys.argv[1:])
        )
        (out / "benchmarks.md").write_text(report.page(lines, about))
        report.plot(lines, out / "benchmarks.png")


if __name__ == "__main__":
    main()
