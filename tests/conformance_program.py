"""The conformance suite's operations as a program that real parties run: see ``test_cli``."""

import os

from test_suites import RINGS

from protocols.conformance.operations import OPERATIONS
from protocols.conformance.values import check, evaluate


def main(party):
    bits = party.ring.bits
    fraction = RINGS[bits] if os.environ["MPC_CONFORMANCE"] == "fixed" else 0
    table = OPERATIONS[:: int(os.environ["MPC_ONE_OF"])]
    revealed = evaluate(party, fraction, table)
    check(revealed, fraction, 2.0 ** -RINGS[bits], table)
    return f"{len(revealed)} operations agree with NumPy"
