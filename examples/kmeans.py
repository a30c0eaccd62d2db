"""Three herbaria find the clusters in all their plants together; none shows a plant, or where it belongs.

    mpc run examples/kmeans.py -n 3

Lloyd's iteration on shares, on Fisher's irises: which cluster a plant is in, how many are in each, and where
the clusters begin are secret.  Only the centres at the end are revealed.
"""

from pathlib import Path

import numpy as np

import mpc

DATA = Path(__file__).parent / "data"
STARTS = (5, 20, 40)  # the plants that the herbaria put forward as first centres
STEPS = 6
NUMBERS = mpc.Fixed(20)


def plants(herbarium):
    return np.loadtxt(DATA / f"herbarium_{herbarium}.csv", delimiter=",", skiprows=1)


def main(party):
    assert party.size == 3, "there are three herbaria: run with -n 3"
    tables = party.secret_from_each(plants(party.id), kind=NUMBERS)
    x = np.concatenate(tables)  # every herbarium's plants, seen by nobody
    centres = np.stack([table[start] for table, start in zip(tables, STARTS, strict=True)])
    for _ in range(STEPS):
        distance = (centres * centres).sum(axis=1) - 2 * x @ centres.T  # squared, but for |x|²
        member = mpc.one_hot(distance.argmin(axis=1), len(STARTS))
        sizes = np.maximum(member.sum(axis=0), 1)
        centres = member.T @ x / sizes.reshape(-1, 1)
    return beside_plaintext(centres.reveal())


def beside_plaintext(centres):
    tables = [plants(herbarium) for herbarium in range(3)]  # only this comparison reads all three files
    x, plain = np.concatenate(tables), np.stack([t[start] for t, start in zip(tables, STARTS, strict=True)])
    for _ in range(STEPS):
        nearest = ((x[:, None] - plain) ** 2).sum(axis=2).argmin(axis=1)
        plain = np.stack([x[nearest == k].mean(axis=0) for k in range(len(plain))])
    names = (DATA / "herbarium_0.csv").open().readline().strip().split(",")
    lines = [
        f"{len(x)} plants of three herbaria, in cm",
        "",
        f"{'centre':8}" + "".join(f"{name:>14}" for name in names),
    ]
    lines += [f"{k:<8}" + "".join(f"{value:14.4f}" for value in centre) for k, centre in enumerate(centres)]
    within = ((x[:, None] - centres) ** 2).sum(axis=2).min(axis=1).sum()
    return "\n".join(
        [
            *lines,
            "",
            f"sum of squares within the clusters: {within:.2f}",
            f"largest difference to the same in plaintext: {np.abs(centres - plain).max():.1e}",
        ]
    )


if __name__ == "__main__":
    print(mpc.local(parties=3).run(main)[0])
