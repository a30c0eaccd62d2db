"""Three colleagues learn their average salary; nobody learns anybody's.

All three in this process, or a process for each, over TCP with mutual TLS:

    python examples/average_salary.py
    mpc run examples/average_salary.py -n 3
"""

import mpc

SALARIES = [4200, 3900, 5150]  # each party reads only its own


def main(party):
    mine = SALARIES[party.id % len(SALARIES)]
    everyones = party.secret_from_each(mine)
    average = sum(everyones) / party.size
    return f"average salary: {average.reveal():.2f}"


if __name__ == "__main__":
    print(mpc.local(parties=3).run(main)[0])
