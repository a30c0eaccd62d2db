"""Three companies compare pay: quartiles over all of them and the gap between two groups, and not who earns
what.

    mpc run examples/salary_percentiles.py -n 3

Salaries are in thousands, so that they are of the order fixed point likes.  The median of fifteen is one of
them, to the last digit, though nobody is told whose: who minds that rounds what is revealed, or asks more
people."""

import numpy as np

import mpc

COMPANIES = [  # (salary, in group B), each company reads only its own
    [(41.2, 1), (38.0, 1), (55.9, 0), (62.5, 0), (47.1, 1)],
    [(35.5, 1), (71.0, 0), (44.4, 0), (39.9, 1)],
    [(58.3, 0), (49.0, 1), (66.6, 0), (42.7, 1), (53.2, 0), (37.8, 1)],
]


def main(party):
    salaries, group_b = np.array(COMPANIES[party.id]).T
    salary = np.concatenate(party.secret_from_each(salaries))
    in_b = np.concatenate(party.secret_from_each(group_b > 0))
    quartiles = np.percentile(salary, [25, 50, 75])
    sizes = party.reveal(in_b.sum())  # how many are in group B is made public, to divide by
    mean_b = (salary * in_b).sum() / sizes
    mean_a = (salary * ~in_b).sum() / (len(salary) - sizes)
    quartiles, gap = party.reveal(quartiles, mean_a - mean_b)
    return f"quartiles {np.round(quartiles, 2)} thousand\ngroup A earns {gap:.2f} thousand more on average"


if __name__ == "__main__":
    print(mpc.local(parties=3).run(main)[0])
