"""Yao's millionaires learn who is richest, and not by how much.

A process for each:

    mpc run examples/millionaires.py -n 3
"""

import numpy as np

import mpc

FORTUNES = [5_200_000, 7_100_000, 6_900_000]  # each party reads only its own


def main(party):
    everyones = np.stack(party.secret_from_each(FORTUNES[party.id % len(FORTUNES)]))
    return f"the richest is party {everyones.argmax().reveal()}"


if __name__ == "__main__":
    print(mpc.local(parties=3).run(main)[0])
