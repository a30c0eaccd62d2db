"""What is published can be made again by anybody: two builds of the same sources are the same bytes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKED = ("mpc", "protocols", "pyproject.toml", "README.md", "LICENSE")


def built(folder: Path, mtime: float) -> Path:
    """The wheel of a copy of the sources, whose files have another age."""
    sources = folder / "sources"
    sources.mkdir(parents=True)
    for name in PACKED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, sources / name)
    for path in sources.rglob("*"):
        os.utime(path, (mtime, mtime))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--no-index",
            "--wheel-dir",
            str(folder),
            str(sources),
        ],
        env={**os.environ, "SOURCE_DATE_EPOCH": "1764547200"},
        check=True,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("wheels")
    return [built(folder / name, age) for name, age in (("one", 1.2e9), ("two", 1.7e9))]


def test_two_builds_are_the_same_bytes(wheels: list[Path]) -> None:
    one, two = (hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels)
    assert one == two


def test_a_wheel_has_all_of_the_engine_and_nothing_else(wheels: list[Path]) -> None:
    with zipfile.ZipFile(wheels[0]) as wheel:
        names = set(wheel.namelist())
    ours = {
        str(path.relative_to(ROOT))
        for package in ("mpc", "protocols")
        for path in (ROOT / package).rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }
    assert {name for name in names if ".dist-info/" not in name} == ours
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_both_commands_are_the_same(wheels: list[Path]) -> None:
    with zipfile.ZipFile(wheels[0]) as wheel:
        (entries,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
        text = wheel.read(entries).decode()
    assert "mpc = mpc.cli:main" in text and "mpc-engine = mpc.cli:main" in text
