"""Drawn programs give NumPy's value, a refusal, or a word of ``check``.  See ``drawn.py``."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from drawn import programs, verdict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

#: How many programs for each ring and number of parties: the same few, or as many others (``make drawn``).
MANY = int(os.environ.get("MPC_DRAWN_PROGRAMS", "0"))
FEW = 25


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("bits", [32, 64, 128])
def test_no_program_is_wrong_in_silence(bits: int, parties: int) -> None:
    seen: Counter[str] = Counter()

    @settings(
        max_examples=MANY or FEW,
        derandomize=not MANY,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def look(data: st.DataObject) -> None:
        seen[verdict(data.draw(programs(bits)), bits, parties)] += 1

    look()
    print(bits, parties, dict(seen))
    total = sum(seen.values())
    assert seen["right"] > total / 4 and seen["vain"] + seen["tie"] < 2 + total / 20, seen
