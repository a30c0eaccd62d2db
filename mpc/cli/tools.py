"""``certs``, ``suites``, ``bench``."""

from __future__ import annotations

from pathlib import Path

import click

from mpc.cli.options import PARTIES, malicious_option, reporting_errors


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--out",
    default=Path("certs"),
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write to.",
)
@click.option("--days", default=365, show_default=True, help="Days the certificates are valid.")
@reporting_errors
def certs(names: tuple[str, ...], out: Path, days: int, debug: bool) -> None:
    """Make a small private CA, and a certificate and key for each of NAMES.

    Give each party its own NAME.pem and NAME.key and ca.pem, over a channel you trust; keep ca.key away
    from all of them.  An existing CA in the folder is used again.
    """
    from mpc.certs import make_authority_and_certificates

    make_authority_and_certificates(names, out, days)
    click.echo(
        f"{out}: ca.pem and, for each party, NAME.pem and NAME.key; valid for {days} days.  ca.key is"
        " nobody's but yours"
    )


@click.command()
@reporting_errors
def suites(debug: bool) -> None:
    """Show the suites there are: threat model, costs, papers."""
    from rich.console import Console
    from rich.table import Table

    from protocols.suites import SUITES, setup_of

    for suite in SUITES.values():
        least, most = suite.parties
        table = Table(
            title=f"{suite.name}: {suite.summary}",
            title_justify="left",
            show_header=False,
            title_style="bold",
        )
        table.add_row(
            "parties",
            f"{least} or more" if most is None else f"{least} to {most}" if most > least else str(least),
        )
        table.add_row("adversary", f"{suite.threat.adversary}, {suite.threat.corrupt} parties corrupt")
        table.add_row("setup", setup_of(suite))
        table.add_row("besides the result", f"the parties learn {suite.threat.leaks}")
        for operation, cost in suite.costs.items():
            table.add_row(f"cost of {operation}", str(cost))
        table.add_row("papers", "; ".join(suite.cites))
        Console().print(table)


@click.command()
@click.argument("names", nargs=-1)
@click.option("--suite", default=None, help="[default: replicated for three parties, else additive]")
@malicious_option
@click.option("-n", "--parties", default=2, show_default=True, type=PARTIES, help="Number of parties.")
@click.option("--ring", default=64, show_default=True, help="Bits of the ring: 64, 32 or 128; or a prime.")
@click.option(
    "--size", "sizes", default="", help="Sizes for operations that have one, as in 1000000,10000000."
)
@click.option("--runs", default=5, show_default=True, type=click.IntRange(5), help="Timed runs per line.")
@click.option("--tls", is_flag=True, help="Over TLS; without, over plain TCP.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@reporting_errors
def bench(
    names: tuple[str, ...],
    suite: str | None,
    malicious: bool,
    parties: int,
    ring: int,
    sizes: str,
    runs: int,
    tls: bool,
    as_json: bool,
    debug: bool,
) -> None:
    """Measure operations with all parties as processes on this machine.

    NAMES are among mul fxmul matmul chain share lt eq where sort div exp sigmoid rsqrt mlp
    open ot-iknp ot-softspoken ot-silent triples triples-silent and-triples matmul-triple; all by default.
    'aggregation' is secure aggregation with clients and servers in one process; it takes no options but
    --json, and minutes.
    """
    if "aggregation" in names:
        from protocols.bench import aggregation

        aggregation.run(as_json)
        names = tuple(name for name in names if name != "aggregation")
        if not names:
            return
    from protocols.bench import online as benchmarks

    benchmarks.run(
        names,
        suite=suite,
        malicious=malicious,
        parties=parties,
        ring=ring,
        sizes=sizes,
        runs=runs,
        tls=tls,
        as_json=as_json,
        debug=debug,
    )
