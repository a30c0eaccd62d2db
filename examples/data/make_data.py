"""Split public tables into the parties' CSV files.

    hospital_0.csv, hospital_1.csv, hospital_2.csv     rows: three hospitals with patients of their own
    lab_0.csv, lab_1.csv                               columns: two laboratories, the same patients

The Wisconsin diagnostic breast-cancer table, scikit-learn's copy.  Source: W. Wolberg, O. Mangasarian, W.
Street, UCI Machine Learning Repository, 1995 (CC BY 4.0).

    herbarium_0.csv, herbarium_1.csv, herbarium_2.csv  rows: every third plant of Fisher's irises

scikit-learn's copy.  Source: R. A. Fisher, Annals of Eugenics 7, 1936; UCI Machine Learning Repository (CC BY
4.0).

    ward_0.csv, ward_1.csv, ward_2.csv                 rows: seven pairs of patients each

The 6-mercaptopurine trial: weeks from remission to relapse (or to the last visit), whether the relapse was
seen, and who got the drug.  The split into wards is ours.  Source: E. J. Freireich et al., Blood 21, 1963,
pages 699-716, the 42 patients of Gehan, Biometrika 52, 1965; facts in the public domain, also R's
MASS::gehan.

    digits.csv.gz                                      1,797 digits: 64 pixels from 0 to 16, and which it is

scikit-learn's copy.  Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine
Learning Repository, 1998, the test set (CC BY 4.0).

Run in this folder with scikit-learn installed; the files it writes are under version control.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris

HERE = Path(__file__).parent
HOSPITALS = (0, 210, 355, 569)  # unequal numbers of patients
FIRST_LAB = 15  # columns of the first laboratory
# weeks, pair by pair; all relapsed
PLACEBO = [1, 22, 3, 12, 8, 17, 2, 11, 8, 12, 2, 5, 4, 15, 8, 23, 5, 11, 4, 1, 8]
# minus: still in remission
DRUG = [10, 7, -32, 23, 22, 6, 16, -34, -32, -25, -11, -20, -19, 6, -17, -35, 6, 13, -9, -6, -10]


def write(name: str, columns: list[str], rows: np.ndarray) -> None:
    np.savetxt(HERE / name, rows, fmt="%.10g", delimiter=",", header=",".join(columns), comments="")


if __name__ == "__main__":
    table = load_breast_cancer()
    names = [name.replace(" ", "_") for name in table.feature_names]
    for i, (lo, hi) in enumerate(pairwise(HOSPITALS)):
        write(f"hospital_{i}.csv", names, table.data[lo:hi])
    malignant = (table.target == 0).astype(float)[:, None]
    write("lab_0.csv", names[:FIRST_LAB], table.data[:, :FIRST_LAB])
    write("lab_1.csv", [*names[FIRST_LAB:], "malignant"], np.hstack([table.data[:, FIRST_LAB:], malignant]))
    iris = load_iris()
    for i in range(3):
        write(
            f"herbarium_{i}.csv",
            [name.removesuffix(" (cm)").replace(" ", "_") for name in iris.feature_names],
            iris.data[i::3],
        )
    pairs = np.array([[(p, 1, 0), (abs(d), d > 0, 1)] for p, d in zip(PLACEBO, DRUG, strict=True)])
    for i in range(3):
        write(f"ward_{i}.csv", ["weeks", "relapsed", "drug"], pairs[7 * i : 7 * (i + 1)].reshape(-1, 3))
    digits = load_digits()
    pixels = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
    write("digits.csv.gz", [*pixels, "digit"], np.hstack([digits.data, digits.target[:, None]]))
