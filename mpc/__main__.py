"""``python -m mpc``."""

from mpc.cli import main

if __name__ == "__main__":
    main(prog_name="mpc")
