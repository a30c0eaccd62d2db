"""1,797 handwritten digits of 8 × 8 pixels, for many clients who have unequal numbers of them, and few sorts
each.
"""

from pathlib import Path

import numpy as np

FILE = Path(__file__).parent.parent / "data/digits.csv.gz"
SEED = 7  # of the split, which is public


def load(clients):
    """``({name: (x, y)}, (x, y))``: the clients' digits, and every fifth digit, which is held out for the
    server's tests.
    """
    table = np.loadtxt(FILE, delimiter=",", skiprows=1, dtype=np.uint8)
    x, y = table[:, :-1] / 16, table[:, -1].astype(int)
    held_out = np.arange(len(y)) % 5 == 0
    rng = np.random.default_rng(SEED)
    inside = np.flatnonzero(~held_out)
    # neighbours in it are of like sorts
    order = inside[np.argsort(y[inside] + rng.normal(scale=2, size=len(inside)))]
    cuts = np.sort(rng.choice(np.arange(1, len(order)), clients - 1, replace=False))
    rows = np.split(order, cuts)
    return {f"client-{i:03}": (x[some], y[some]) for i, some in enumerate(rows)}, (x[held_out], y[held_out])
