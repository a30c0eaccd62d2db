"""The page of how a round grows: measured, tabulated, plotted, and put in its place."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import growth
from protocols.aggregation.one_server import bounds


def test_points_are_kept_and_the_page_written(tmp_path: Path) -> None:
    if find_spec("matplotlib") is None:
        pytest.skip("matplotlib is not installed: pip install -e '.[bench]'")
    page = tmp_path / "aggregation.md"
    page.write_text(f"before\n{growth.BEGIN}\nold\n{growth.END}\nafter\n")
    for clients in ("12", "20", ""):
        done = CliRunner().invoke(growth.main, ["--clients", clients, "--out", str(tmp_path)])
        assert done.exit_code == 0, done.output
    points = [json.loads(line) for line in (tmp_path / "growth.jsonl").read_text().splitlines()]
    assert [p["clients"] for p in points] == [12, 20] and all(p["verified"] for p in points)
    lines = page.read_text().splitlines()
    assert lines[:2] == ["before", growth.BEGIN] and lines[-2:] == [growth.END, "after"]
    assert [line.split(" | ")[0] for line in lines[4:-2]] == ["| 12", "| 20"]
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_neighbours_grow_no_faster_than_the_page_says() -> None:
    import math

    for n in (100, 200, 500, 1000, 2000, 5000, 10_000, 100_000, 1_000_000):
        assert bounds.choose(n, 0.05, 0.05)[0] <= 7.7 * math.log2(n)
