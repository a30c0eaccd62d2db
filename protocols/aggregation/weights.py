"""Weights in classes: 1, 2, 4, 8, …

The sum of all weights is learnt by whoever learns the mean, and a client's number of examples is the same in
every round: the sums of a round with it and of one without it differ by its weight.  In classes they tell the
class, round after round; rounding at random instead would be averaged out.
"""

from __future__ import annotations

import math


def coarse(weight: int, most: int) -> int:
    """The power of two that is nearest in ratio, of those up to ``most``."""
    return 1 << min(round(math.log2(weight)), most.bit_length() - 1)
