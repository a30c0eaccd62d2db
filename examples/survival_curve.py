"""Three wards learn whether a drug prolongs remission: survival curves and the log-rank test, no ward's
counts.

    mpc run examples/survival_curve.py -n 3

The 6-mercaptopurine trial of Freireich et al., Blood 21, 1963.  Each ward counts at home how many of its
patients relapsed or left in each week, and shares the counts.  Those of a ward stay secret: only the two
Kaplan-Meier curves and the statistic are revealed.  They tell the counts of all wards together, for each step
of a curve is 1 - d/n with small whole d and n: who minds that reveals the curves in fewer weeks, or rounded.
"""

import math
from pathlib import Path

import numpy as np

import mpc

DATA = Path(__file__).parent / "data"
WEEKS = 36  # the plan of the trial: no patient is followed longer
SHOWN = [1, 5, 10, 15, 20, 25, 35]
NUMBERS = mpc.Fixed(22)


def counts(ward):
    """How many relapsed, and how many were seen for the last time, by arm (placebo, drug) and week."""
    weeks, relapsed, drug = np.loadtxt(DATA / f"ward_{ward}.csv", delimiter=",", skiprows=1, dtype=int).T
    place = drug * WEEKS + weeks
    return np.stack(
        [np.bincount(place, some, 2 * WEEKS).reshape(2, WEEKS) for some in (relapsed, np.ones(len(weeks)))]
    )


def statistics(relapsed, left):
    """Kaplan-Meier curves of both arms, and the log-rank statistic.  The same lines for secrets and for
    arrays.
    """
    at_risk = left[:, ::-1].cumsum(axis=1)[:, ::-1]
    survival = np.cumprod(1 - relapsed / np.maximum(at_risk, 1), axis=1)
    events, all_at_risk = relapsed.sum(axis=0), at_risk.sum(axis=0)
    on_drug = at_risk[1] / np.maximum(all_at_risk, 1)
    expected = events * on_drug
    variance = expected * (1 - on_drug) * (all_at_risk - events) / np.maximum(all_at_risk - 1, 1)
    excess = (relapsed[1] - expected).sum()
    return survival, excess * excess / variance.sum()


def main(party):
    assert party.size == 3, "there are three wards: run with -n 3"
    relapsed, left = sum(party.secret_from_each(counts(party.id), kind=NUMBERS))
    return beside_plaintext(*party.reveal(*statistics(relapsed, left)))


def beside_plaintext(survival, chi_square):
    pooled = sum(counts(ward) for ward in range(3))  # only this comparison reads all three files
    plain, plain_chi_square = statistics(*pooled)
    lines = [f"{int(pooled[1].sum())} patients of three wards", "", "in remission after   placebo   6-MP"]
    lines += [f"{week:13} weeks  {survival[0][week]:8.3f}  {survival[1][week]:6.3f}" for week in SHOWN]
    lines += [
        "",
        (
            f"log-rank: chi-square {chi_square:.2f} with 1 degree of freedom, p ="
            f" {math.erfc(math.sqrt(chi_square / 2)):.1e}"
        ),
        (
            f"largest difference to plaintext: {np.abs(survival - plain).max():.1e} in the curves, "
            f"{abs(chi_square / plain_chi_square - 1):.1e} in the statistic"
        ),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(mpc.local(parties=3).run(main)[0])
