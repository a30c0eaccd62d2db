"""Split scikit-learn's copy of the Wisconsin diagnostic breast-cancer table into the parties' CSV files.

    hospital_0.csv, hospital_1.csv, hospital_2.csv     rows: three hospitals with patients of their own
    lab_0.csv, lab_1.csv                               columns: two laboratories that measured the same patients

Source: W. Wolberg, O. Mangasarian, W. Street, UCI Machine Learning Repository, 1995 (CC BY 4.0).
Run in this folder with scikit-learn installed; the files it writes are under version control.
"""
from itertools import pairwise
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

HERE = Path(__file__).parent
HOSPITALS = (0, 210, 355, 569)                   # unequal numbers of patients
FIRST_LAB = 15                                   # columns of the first laboratory


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
