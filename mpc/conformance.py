"""``python -m mpc.conformance module:Scheme``: what a sharing scheme of one's own has to keep, tested."""

from __future__ import annotations

import sys

import click

from mpc.cli.options import PARTIES, reporting_errors


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("suite", metavar="SCHEME")
@click.option("-n", "--parties", default=3, show_default=True, type=PARTIES, help="Number of parties.")
@click.option("--ring", default=64, show_default=True, help="Bits of the ring: 64, 32 or 128; or a prime.")
@reporting_errors
def main(suite: str, parties: int, ring: int, debug: bool) -> None:
    """Test the scheme SCHEME, a subclass of protocols.suite.Suite named as module:Class.

    Its values are NumPy's, its operations cost what it declares, coalitions see nothing, and an adversary on
    the wire does not get further than it says.  What it refuses with NotImplementedError is counted.
    """
    from protocols.conformance.report import sections

    failures = 0
    for section in sections(suite, parties, ring):
        for said in section.said:
            click.echo(f"{section.name}: {said}")
        for failure in section.failures:
            click.echo(f"{section.name}: FAILED {failure}")
        failures += len(section.failures)
    click.echo(f"does not conform: {failures} failure{'s' * (failures != 1)}" if failures else "conforms")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main(prog_name="mpc.conformance")
