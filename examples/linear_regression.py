"""Two laboratories fit one model to the same patients; neither shows its columns to the other.

    mpc run examples/linear_regression.py -n 2

Ridge regression by gradient descent on shares: laboratory 0 has 15 measurements of each patient,
laboratory 1 has 15 others and the diagnosis.  Only the coefficients are revealed.
"""

from pathlib import Path

import numpy as np

import mpc

DATA = Path(__file__).parent / "data"
RIDGE = 0.5  # weight of the penalty, per patient
# stable: the eigenvalues of a correlation matrix add up to 30
STEP = 1 / 16
STEPS = 600
NUMBERS = mpc.Fixed(22)


def columns(lab):
    table = np.loadtxt(DATA / f"lab_{lab}.csv", delimiter=",", skiprows=1)
    return (table - table.mean(axis=0)) / table.std(axis=0)


def main(party):
    assert party.size == 2, "there are two laboratories: run with -n 2"
    mine = columns(party.id)  # standardised by their owner, who has whole columns
    first, second = party.secret_from_each(mine, kind=NUMBERS)
    x = np.concatenate([first, second[:, :-1]], axis=1)
    y = second[:, -1]
    gram, target = x.T @ x / len(x), x.T @ y / len(x)
    coefficients = target * 0
    for _ in range(STEPS):
        gradient = gram @ coefficients + RIDGE * coefficients - target
        coefficients = coefficients - STEP * gradient
    return beside_plaintext(coefficients.reveal())


def beside_plaintext(coefficients):
    lab_0, lab_1 = columns(0), columns(1)  # only this comparison reads both files
    x, y = np.hstack([lab_0, lab_1[:, :-1]]), lab_1[:, -1]
    try:
        from sklearn.linear_model import Ridge

        reference, plain = "scikit-learn", Ridge(alpha=RIDGE * len(x), fit_intercept=False).fit(x, y).coef_
    except ImportError:
        reference = "the normal equations (scikit-learn is not installed)"
        plain = np.linalg.solve(x.T @ x + RIDGE * len(x) * np.eye(x.shape[1]), x.T @ y)
    names = ",".join((DATA / f"lab_{lab}.csv").open().readline().strip() for lab in (0, 1)).split(",")
    lines = [f"{'coefficient':28}{'secure':>10}{'plaintext':>12}"]
    for j in np.argsort(-np.abs(plain))[:8]:
        lines.append(f"{names[j]:28}{coefficients[j]:10.6f}{plain[j]:12.6f}")
    lines += [
        "… and 22 more",
        "",
        f"largest difference to {reference}: {np.abs(coefficients - plain).max():.1e}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(mpc.local(parties=2).run(main)[0])
