"""The program in ``docs/privacy.md`` learns, within its budget;
the figures in its text are the accountant's.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mpc.errors import BudgetSpent
from protocols.privacy import Gaussian, PoissonSampling, WithoutReplacement, epsilon

TEXT = (Path(__file__).parents[1] / "docs/privacy.md").read_text()


def test_the_program_learns_within_its_budget() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    scope: dict = {}
    exec(block, scope)
    assert scope["accuracy"] > 0.8
    assert 4.5 < scope["budget"].spent <= 5.0
    with pytest.raises(BudgetSpent):
        scope["budget"].charge(scope["mechanism"].mechanism)


def test_the_figures_are_the_accountants() -> None:
    for figure, spent in (
        ("1.7118", epsilon(Gaussian(1.1), delta=1e-5, rounds=1000, sampling=PoissonSampling(0.01))),
        (
            "1.5154",
            epsilon(Gaussian(1.1), delta=1e-5, rounds=1000, sampling=PoissonSampling(0.01), method="pld"),
        ),
        ("3.190", epsilon(Gaussian(1.1), delta=1e-5, rounds=1000, sampling=WithoutReplacement(100, 10_000))),
    ):
        assert figure in TEXT and f"{spent:.{len(figure) - 2}f}" == figure
