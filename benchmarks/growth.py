"""How a round of secure aggregation grows with the number of clients: a table, and a plot beside n·log n and
log n.

    python -m benchmarks.growth --out docs/                    # minutes; with --clients 10000, a quarter hour
    python -m benchmarks.growth --out docs/ --clients 10000    # one more point: they are kept in growth.jsonl

Time is that of the processor, so that what else runs on the machine counts little.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

Line = dict[str, Any]
LENGTH, DROP = 10_000, 0.05
BEGIN, END = "<!-- benchmarks/growth.py -->", "<!-- until here -->"


def table(lines: Sequence[Line]) -> str:
    head = [
        (
            "| clients | neighbours | a client, s | per neighbour, ms | whole round, processor s | over"
            " n·log₂ n, ms | bytes up beyond the vector |"
        ),
        "|---" * 7 + "|",
    ]
    return "\n".join(
        head
        + [
            f"| {x['clients']:,} | {x['neighbours']} | {x['client_seconds']:.3f} |"
            f" {1e3 * x['client_seconds'] / x['neighbours']:.2f} | {x['whole_cpu_seconds']:.1f} |"
            f" {1e3 * x['whole_cpu_seconds'] / (x['clients'] * math.log2(x['clients'])):.2f} |"
            f" {x['bytes_up_beyond_vector']:,} |"
            for x in lines
        ]
    )


def plot(lines: Sequence[Line], path: Path) -> None:
    """Logarithmic axes; the dashed lines are the growth that is allowed, through the largest point."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    n = [x["clients"] for x in lines]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = (
        ("whole_cpu_seconds", "a whole round, all sides", "n·log n", lambda n: n * math.log(n)),
        ("client_seconds", "one client, all its phases", "log n", math.log),
    )
    for axes, (name, title, said, growth) in zip(figure.subplots(1, 2), panels, strict=True):
        y = [x[name] for x in lines]
        axes.plot(n, y, "o-", color="tab:green", label="measured")
        axes.plot(n, [y[-1] * growth(m) / growth(n[-1]) for m in n], "--", color="dimgrey", label=said)
        axes.set(xscale="log", yscale="log", title=title, xlabel="clients", ylabel="seconds")
        axes.legend(frameon=False)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def put(page: Path, text: str) -> None:
    """The table where the page has a place for it."""
    before, rest = page.read_text().split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


@click.command(help=__doc__.splitlines()[0] if __doc__ else None)
@click.option(
    "--clients", default="100,200,500,1000,2000", show_default=True, help="Numbers of clients to measure."
)
@click.option(
    "--out",
    default="docs",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of aggregation.md, growth.png and growth.jsonl.",
)
def main(clients: str, out: Path) -> None:
    from protocols.bench.aggregation import Case, measure

    kept = out / "growth.jsonl"
    points: dict[int, Line] = (
        {x["clients"]: x for x in map(json.loads, kept.read_text().splitlines())} if kept.exists() else {}
    )
    for n in (int(text) for text in clients.split(",") if text):
        points[n] = measure(Case(n, LENGTH, None, DROP), memory=False)
        kept.write_text("".join(json.dumps(points[m]) + "\n" for m in sorted(points)))
        click.echo(json.dumps(points[n]))
    lines = [points[n] for n in sorted(points)]
    plot(lines, out / "growth.png")
    put(out / "aggregation.md", table(lines))


if __name__ == "__main__":
    main()
