"""The page and the plot of a comparison, from the lines that ``benchmarks.compare`` collected."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.works import WORKS

Line = dict[str, Any]
Column = tuple[str, int]  # a system and its parties


@dataclass(frozen=True)
class About:
    """What was measured where and when; ``others`` is the part of the processors' time that other programs
    took.
    """

    machine: str
    date: str
    runs: int
    others: float | None
    options: str


def page(lines: Sequence[Line], about: About) -> str:
    measured = [line for line in lines if "seconds" in line]
    peers = list(dict.fromkeys(line["peer"] for line in measured))
    versions = sorted({line["version"] for line in measured})
    shared = (
        ""
        if about.others is None
        else f"\nOther programs took {about.others:.0%} of the processors' time meanwhile."
    )
    if about.others and about.others > 0.1:
        shared += " The machine was shared: read the figures beside each other, not on their own."
    parts = [
        "# The same work on other systems",
        "<!-- written by benchmarks/compare.py -->",
        (
            f"Measured on {about.date}, all parties of a run on one machine, over loopback:"
            f" {about.machine}.{shared}\nVersions: {', '.join(versions)}. To repeat it, in a checkout:"
        ),
        f"    pip install -e '.[bench]'\n    python -m benchmarks.compare {about.options}".rstrip(),
        (
            "The peers are installed from the package index into `~/.cache/mpc-benchmarks`, each into an"
            " environment of its own;\nCrypTen's torch takes gigabytes unless `PIP_EXTRA_INDEX_URL` names an"
            " index with builds for processors alone.\n`--peers`, `--works`, `--sizes` and `--runs` choose"
            " less."
        ),
        "## Speed",
        (
            f"Medians of {about.runs} runs after one to warm up, one process per party, from a barrier to"
            " party 0's share of the result.\nStarting, agreeing on keys, sharing inputs, compiling and"
            " opening the result are outside the clock. Of two figures the first\nhas the correlated"
            " randomness (triples) ready, the second makes or receives it inside the clock; \\* is the"
            ' second alone.\nMore is better in the lines that say "per second", less in the others.'
        ),
        table(measured, _speed),
        "![Operations per second, each system and work](benchmarks.png)",
        "## Accuracy",
        (
            "The largest difference from NumPy, as a part of NumPy's number where that is above one. A wrong"
            " result of an exact operation\nis in bold."
        ),
        table(measured, _accuracy),
        "## What is missing",
        _missing(lines),
        "## How each was run",
        *(f"**{peer}.** {_docstring(peer)}" for peer in peers),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def columns(lines: Iterable[Line]) -> list[Column]:
    return list(dict.fromkeys((line["system"], line["parties"]) for line in lines))


def rows(lines: Iterable[Line]) -> list[tuple[str, int]]:
    return list(dict.fromkeys((line["work"], line["asked"]) for line in lines))


def table(lines: Sequence[Line], cell: Any) -> str:
    """Markdown: a line for each work and size, a column for each system."""
    heads = columns(lines)
    text = [
        "| work | " + " | ".join(f"{system}, {parties} parties" for system, parties in heads) + " |",
        "|---" * (len(heads) + 1) + "|",
    ]
    for work, asked in rows(lines):
        cells = []
        for head in heads:
            here = [
                line
                for line in lines
                if (line["work"], line["asked"], line["system"], line["parties"]) == (work, asked, *head)
            ]
            cells.append(cell(here) if here else "–")
        text.append(f"| {_title(work, asked, unit=cell is _speed)} | " + " | ".join(cells) + " |")
    return "\n".join(text)


def _title(work: str, size: int, *, unit: bool = False) -> str:
    about = WORKS[work]
    size_text = {"matmul": f"{size}³", "mlp": f"batch {size}"}.get(work, f"{size:,}")
    return f"{about.title}, {size_text}" + (", million per second" if about.per_second else ", s") * unit


def _speed(here: Sequence[Line]) -> str:
    """Material ready before material made meanwhile; and the size where it is not the line's."""
    figures = [
        line["size"] / line["seconds"] / 1e6 if WORKS[line["work"]].per_second else line["seconds"]
        for line in _in_order(here)
    ]
    size = here[0]["size"]
    only = "\\*" if [line["preprocessing"] for line in here] == ["in_loop"] else ""
    return " / ".join(map(_short, figures)) + only + (f" (at {size:,})" if size != here[0]["asked"] else "")


def _accuracy(here: Sequence[Line]) -> str:
    error = max(line["error"] for line in here)
    text = f"{error:.0e}" if error else "0"
    return f"**{text}**" if error and WORKS[here[0]["work"]].exact else text


def _in_order(here: Sequence[Line]) -> list[Line]:
    return sorted(here, key=lambda line: bool(line["preprocessing"] == "in_loop"))


def _short(x: float) -> str:
    """Two digits that count, without an exponent."""
    if x >= 100:
        return f"{x:,.0f}"
    text = f"{x:.2g}"
    return f"{x:.7f}".rstrip("0") if "e" in text else text


def _missing(lines: Sequence[Line]) -> str:
    reasons: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        if "missing" in line:
            works = reasons.setdefault((line["peer"], line["missing"]), [])
            if "work" in line:
                works.append(_title(line["work"], line["asked"]))
    return (
        "\n".join(
            f"- {peer}{' (' + '; '.join(works) + ')' if works else ''}: {reason}"
            for (peer, reason), works in reasons.items()
        )
        or "Nothing."
    )


def _docstring(peer: str) -> str:
    source = (Path(__file__).parent / "peers" / f"{peer}.py").read_text()
    return (
        (ast.get_docstring(ast.parse(source)) or "")
        .replace("``", "`")
        .replace("\n\n", "\n")
        .replace(".  ", ". ")
    )


def plot(lines: Sequence[Line], path: Path) -> None:
    """Operations per second on a logarithmic axis, for each work; the fastest is on the right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    measured = [line for line in lines if "seconds" in line]
    kinds = list(
        dict.fromkeys(
            (line["system"], line["parties"], line["preprocessing"])
            for line in sorted(
                measured,
                key=lambda line: (
                    columns(measured).index((line["system"], line["parties"])),
                    line["preprocessing"] == "in_loop",
                ),
            )
        )
    )
    said = {"none": "", "received": ", ready", "in_loop": ", all"}
    names = [f"{system}, {parties}{said[made]}" for system, parties, made in kinds]
    panels = rows(measured)
    across = min(3, len(panels)) or 1
    down = -(-len(panels) // across) or 1
    figure = Figure(figsize=(4.2 * across + 1.2, (0.24 * len(kinds) + 0.8) * down), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (work, asked) in zip(figure.subplots(down, across, squeeze=False).flat, panels, strict=False):
        about = WORKS[work]
        for line in measured:
            if (line["work"], line["asked"]) == (work, asked):
                at = kinds.index((line["system"], line["parties"], line["preprocessing"]))
                rate = about.count(line["size"]) / line["seconds"]
                filled = line["preprocessing"] != "in_loop"
                axes.plot(
                    rate,
                    at,
                    "o",
                    color="tab:green" if line["peer"] == "ours" else "dimgrey",
                    fillstyle="full" if filled else "none",
                )
                axes.annotate(
                    _rate(rate), (rate, at), (6, 0), textcoords="offset points", va="center", fontsize=7
                )
        axes.set(xscale="log", title=_title(work, asked), ylim=(len(kinds) - 0.4, -0.6))
        axes.set_yticks(range(len(kinds)), names, fontsize=7)
        axes.set_xlabel(f"{about.unit} per second", fontsize=7)
        axes.tick_params(axis="x", labelsize=7)
        axes.title.set_fontsize(9)
        axes.xaxis.set_minor_formatter(NullFormatter())
        low, high = axes.get_xlim()
        axes.set_xlim(10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high * 2)))
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in figure.axes[len(panels) :]:
        axes.remove()
    figure.savefig(path, dpi=110)


def _rate(x: float) -> str:
    for step, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if x >= 0.9995 * step:  # what would be rounded up to it
            return f"{x / step:.3g}{letter}"
    return f"{x:.3g}"
