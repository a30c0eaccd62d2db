"""What the documents say is true:
their code runs, their names exist, their tables are the classes' own data.
"""

import re
import sys
import types
from pathlib import Path

import pytest

from mpc.fields import P61
from protocols.conformance.report import sections
from protocols.suites import SUITES, setup_of

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.S)


@pytest.mark.parametrize("page", ["journey", "aggregation"])
def test_the_page_runs(page):
    scope: dict[str, object] = {}
    for block in blocks(ROOT / f"docs/{page}.md"):
        exec(block, scope)


def test_the_table_of_neighbours_is_computed():
    from protocols.aggregation.one_server import bounds

    rows = re.findall(r"^\| ([\d,]+) \| (\d+ \(.*?)\|$", (ROOT / "docs/aggregation.md").read_text(), re.M)
    assert len(rows) == 6
    for clients, cells in rows:
        for cell, (dropout, corrupt) in zip(
            cells.split("|"), ((0.05, 0.05), (0.1, 0.05), (0.1, 0.1), (0.2, 0.1)), strict=True
        ):
            degree, threshold = bounds.choose(int(clients.replace(",", "")), dropout, corrupt)
            assert cell.strip() == f"{degree} ({threshold})"


def test_the_readmes_first_program_runs(tmp_path, monkeypatch):
    """The program of the first screen, on columns that nobody has put into better units."""
    import numpy as np

    import mpc

    parts = []
    for i in range(3):
        rng = np.random.default_rng(i)
        n = 8 + i
        salary = rng.lognormal(11, 1, n).round(2)
        columns = [
            salary,
            3 * salary + rng.normal(0, 1e5, n),
            1.7e18 + rng.integers(0, 3 * 10**16, n),  # a year in nanoseconds
            rng.integers(10**9, 10**10, n),  # identifiers
            rng.normal(0, 1e-3, n),
            rng.random(n) < 0.5,
        ]
        parts.append(np.stack(columns, axis=1))
        np.savetxt(tmp_path / f"hospital_{i}.csv", parts[i], delimiter=",", header="a,b,c,d,e,f", comments="")
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    exec(blocks(ROOT / "README.md")[0], scope)
    mean, correlations = mpc.local(parties=3, ring=128).run(scope["main"])[0]
    pooled = np.concatenate(parts)
    np.testing.assert_allclose(mean, pooled.mean(axis=0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(correlations, np.corrcoef(pooled.T), atol=1e-9)


def test_the_readmes_notebook_runs(capsys):
    exec(blocks(ROOT / "README.md")[1], {})
    out = capsys.readouterr().out
    assert out.startswith("470.16") and "[ 7 10]" in out


def test_the_readmes_configuration_loads(tmp_path):
    from mpc import config
    from mpc.certs import make_authority_and_certificates

    (text,) = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (tmp_path / "party.toml").write_text(text)
    make_authority_and_certificates(["hospital-a"], tmp_path / "certs")
    (tmp_path / "patients.csv").write_text("")
    loaded = config.load(tmp_path / "party.toml")
    assert (
        loaded.rank == 0
        and loaded.dealer is None
        and len(loaded.parties) == 3
        and loaded.data == {"rows": tmp_path / "patients.csv"}
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_files_named_in_the_documents_exist(page):
    text = page.read_text()
    named = set(re.findall(r"`((?:mpc|protocols|tests|examples|docs)/[\w/.-]*)`", text))
    named |= set(re.findall(r"\]\(([\w/.-]+)\)", text))
    named |= {f"{name.replace('.', '/')}.py" for name in re.findall(r"protocol:: ([\w.]+)", text)}
    for tree in re.findall(r"```\{toctree\}\n(.*?)```", text, re.S):
        named |= {f"{entry}.md" for entry in re.findall(r"^[\w/-]+$", tree, re.M)}
    assert named or page.parent.name == "tutorials"
    for name in named:
        assert (ROOT / name).exists() or (page.parent / name).exists(), name


def test_names_in_the_journey_exist_where_it_says():
    text = (ROOT / "docs/journey.md").read_text()
    pairs = re.findall(r"`([A-Za-z_.]+)`\s+(?:\(|in\s+)`((?:mpc|protocols)/[\w/]+\.py)`", text)
    assert len(pairs) > 8
    for name, file in pairs:
        last = name.split(".")[-1]
        assert re.search(
            rf"\b(def|class) {last}\b|^{last}\b.*=|self\.{last}\b", (ROOT / file).read_text(), re.M
        ), (name, file)


def test_the_readmes_table_of_suites_is_the_classes_data():
    text = (ROOT / "README.md").read_text()
    for suite in SUITES.values():
        least, most = suite.parties
        parties = (
            f"{least} or more" if most is None else str(least) if most == least else f"{least} to {most}"
        )
        row = (
            f"| {suite.name} | {parties} | {suite.threat.corrupt}, {suite.threat.adversary} |"
            f" {setup_of(suite)} | {suite.costs['multiply']} | {'; '.join(suite.cites)} |"
        )
        assert row in text, row


def test_the_page_on_own_suites_quotes_its_example():
    code = (ROOT / "examples/shamir/shamir.py").read_text()
    pieces = re.findall(r"```python\n(.*?)```", (ROOT / "docs/new-suite.md").read_text(), re.S)
    assert len(pieces) > 4
    for piece in pieces:
        assert piece in code, piece
    about = (ROOT / "examples/shamir/pyproject.toml").read_text()
    (entry,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/new-suite.md").read_text(), re.S)
    assert entry in about


def test_the_tutorial_of_an_own_suite_runs_and_it_conforms(monkeypatch):
    cells = re.findall(
        r"```\{code-cell\}\n(?!:tags)(.*?)```", (ROOT / "docs/tutorials/own-suite.md").read_text(), re.S
    )
    module = types.ModuleType("own_suite_of_the_tutorial")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for cell in cells:
        exec(cell.replace("__main__:Own", f"{module.__name__}:Own"), module.__dict__)
    assert not [failure for part in sections(f"{module.__name__}:Own", 3, P61) for failure in part.failures]
