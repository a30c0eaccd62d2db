"""Three hospitals learn the statistics of all their patients; none shows a patient to another.

    mpc run examples/joint_statistics.py -n 3
    mpc run examples/joint_statistics.py -n 4 --malicious

With four parties, the fourth of which has no patients, one may do anything and cannot bend the result.
Each hospital has a part of the Wisconsin breast-cancer table (``data/make_data.py``).  The result is set
beside the same result in plaintext, for which this demonstration, unlike a hospital, reads all three files.
"""

from pathlib import Path

import numpy as np

import mpc

DATA = Path(__file__).parent / "data"

# The units the hospitals have agreed on, so that every column is of the order of one:
# ten features (radius, texture, perimeter, area, …), as mean, standard error and worst.
UNITS = np.array(
    [
        10,
        10,
        10,
        1000,
        0.01,
        0.1,
        0.1,
        0.1,
        0.01,
        0.01,
        0.1,
        1,
        1,
        100,
        0.001,
        0.01,
        0.01,
        0.01,
        0.01,
        0.001,
        10,
        10,
        100,
        1000,
        0.01,
        0.1,
        0.1,
        0.1,
        0.1,
        0.01,
    ]
)


def table(hospital):
    return np.loadtxt(DATA / f"hospital_{hospital}.csv", delimiter=",", skiprows=1)


def main(party):
    assert party.size in (3, 4), "there are three hospitals: run with -n 3, or -n 4 with a helper"
    # this hospital's own patients
    rows = table(party.id) / UNITS if party.id < 3 else np.zeros((0, len(UNITS)))
    tables = party.secret_from_each(rows, kind=mpc.Fixed(20))
    x = np.concatenate(tables)  # everybody's, seen by nobody
    mean = x.mean(axis=0)
    covariance = (x - mean).T @ (x - mean) / len(x)
    mean, covariance = party.reveal(mean, covariance)
    return beside_plaintext(mean * UNITS, covariance * np.outer(UNITS, UNITS), len(x))


def correlation(covariance):
    deviation = np.sqrt(np.diag(covariance))
    return covariance / np.outer(deviation, deviation)


def beside_plaintext(mean, covariance, patients):
    pooled = np.concatenate([table(hospital) for hospital in range(3)])
    plain_mean, plain_covariance = pooled.mean(axis=0), np.cov(pooled.T, bias=True)
    names = (DATA / "hospital_0.csv").open().readline().strip().split(",")
    lines = [
        f"{patients} patients of three hospitals, pooled by nobody",
        "",
        f"{'':24}{'mean':>12}{'plaintext':>12}{'std. dev.':>14}{'plaintext':>12}",
    ]
    for j in range(0, 10):
        lines.append(
            f"{names[j]:24}{mean[j]:12.5g}{plain_mean[j]:12.5g}"
            f"{covariance[j, j] ** 0.5:14.5g}{plain_covariance[j, j] ** 0.5:12.5g}"
        )
    ours, theirs = correlation(covariance), correlation(plain_covariance)
    strongest = np.argsort(-np.abs(np.triu(theirs, 1)), axis=None)[[0, 40, 80]]
    lines += ["… and 20 more columns", "", f"{'correlation':48}{'secure':>10}{'plaintext':>12}"]
    for i, j in zip(*np.unravel_index(strongest, theirs.shape), strict=True):
        lines.append(f"{names[i] + ' and ' + names[j]:48}{ours[i, j]:10.5f}{theirs[i, j]:12.5f}")
    scale = np.sqrt(np.diag(plain_covariance))
    lines += [
        "",
        f"largest errors: {np.abs((mean - plain_mean) / scale).max():.1e} standard deviations in the means,",
        f"                {np.abs(ours - theirs).max():.1e} in the {theirs.size} correlations",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(mpc.local(parties=3).run(main)[0])
