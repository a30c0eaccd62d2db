"""Secure aggregation: ``aggregate keys``, ``directory``, ``serve``, ``join``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from mpc.cli.options import reporting_errors
from mpc.errors import ConfigError
from mpc.process import keep_freed_memory


@click.group()
def aggregate() -> None:
    """Secure aggregation: many clients, one server, and only the mean of their vectors is seen.

    Certificates come from 'mpc certs SERVER CLIENTS...', signing keys from 'mpc aggregate keys';
    docs/aggregation.md has the two files that each participant writes.
    """


@aggregate.command("keys")
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--out",
    default=Path("keys"),
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write to.",
)
@reporting_errors
def aggregate_keys(names: tuple[str, ...], out: Path, debug: bool) -> None:
    """Make a signing key for each of NAMES: NAME.signing, which its owner keeps, and NAME.pub.

    A client does this for itself and hands NAME.pub to whoever makes the directory.
    """
    from protocols.aggregation.service import plan

    plan.make_keys(names, out)
    click.echo(f"{out}: for each client NAME.signing, for its eyes only, and NAME.pub for the directory")


@aggregate.command("directory")
@click.argument("publics", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    default=Path("clients.directory"),
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write.",
)
@reporting_errors
def aggregate_directory(publics: tuple[Path, ...], out: Path, debug: bool) -> None:
    """Close the list of clients: write a directory of the NAME.pub files PUBLICS, for everybody.

    Whoever does this must be trusted with it by all, and must not be the server.
    """
    from protocols.aggregation.service import plan

    directory = plan.close_directory(publics, out)
    click.echo(f"{out}: {len(directory)} clients, digest {directory.digest.hex()[:16]}")


@aggregate.command("serve")
@click.option(
    "--config", "config_file", required=True, type=click.Path(path_type=Path), help="The server's TOML file."
)
@click.option(
    "--log",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Append a JSON line for each event.  [default: standard output, unless that is a terminal]",
)
@reporting_errors
def aggregate_serve(config_file: Path, log: Path | None, debug: bool) -> None:
    """Run the plan's rounds; continue with what is left of them after a restart.

    The mean of each round is written as round-000001.npy and so on into the folder 'state', 'server-state'
    beside the configuration unless it says otherwise.  Ends with 1 after 'attempts'
    rounds in a row that gave no mean.
    """
    from protocols.aggregation.service import plan
    from protocols.aggregation.service.journal import Journal
    from protocols.aggregation.service.server import Service

    keep_freed_memory()
    own = plan.load(config_file)
    with Journal(log) as journal, Service(own, journal) as service:
        for _ in service.rounds():
            pass


@aggregate.command("join")
@click.option(
    "--config", "config_file", required=True, type=click.Path(path_type=Path), help="This client's TOML file."
)
@click.option(
    "--vector", required=True, help="A .npy file of real numbers; {round} in its name counts from 1."
)
@click.option(
    "--weight",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="How much this vector counts, as a number of examples.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME=NUMBER",
    help="One of the plan's metrics, for their weighted mean; may be given several times.",
)
@click.option(
    "--rounds",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Rounds to take part in; the vector is read anew for each.",
)
@click.option(
    "--again", is_flag=True, help="Let a vector out that has gone out before: two sums with it can tell it."
)
@click.option(
    "--out",
    default=None,
    type=click.Path(dir_okay=False),
    help="Write the mean to this .npy file; {round} as above.",
)
@reporting_errors
def aggregate_join(
    config_file: Path,
    vector: str,
    weight: int,
    metrics: tuple[str, ...],
    rounds: int,
    again: bool,
    out: str | None,
    debug: bool,
) -> None:
    """Take part with a vector, and get the mean of all clients' vectors back.

    The server sees the mean and nothing else of the vector, if no more clients collude with it than the plan
    assumes, which is said first.
    """
    from protocols.aggregation.files import read_array, room, write_array
    from protocols.aggregation.one_server import bounds
    from protocols.aggregation.service import member, plan

    own = plan.load(config_file)
    try:
        given = {name: float(number) for name, _, number in (metric.partition("=") for metric in metrics)}
    except ValueError:
        raise ConfigError(f"--metric takes NAME=NUMBER, not {' or '.join(metrics)}") from None
    read_array(Path(vector.replace("{round}", "1")))  # better to fail before anybody waits for us
    click.echo(f"{own.plan.first.clients} clients: {bounds.in_words(own.plan.standing)}", err=True)
    with member.Member(own, lambda text: click.echo(text, err=True)) as client:
        for turn in range(1, rounds + 1):
            values = read_array(Path(vector.replace("{round}", str(turn))))
            written = None if out is None else Path(out.replace("{round}", str(turn)))
            with ExitStack() as stack:
                if written is not None:  # better before the vector goes out, which it does once
                    space = 8 * own.plan.dimension + 4096
                    stack.enter_context(room(written.with_name(f"{written.name}.room"), space))
                mean = client.round(values, weight, given, again=again)
            facts = client.last
            assert facts is not None
            if written is not None:
                write_array(written, mean)
            without = "" if facts.included else ", without this client's, which came too late"
            measured = "".join(f", {name} {value:.4g}" for name, value in facts.metrics.items())
            click.echo(
                f"round {facts.number}: the mean of {facts.count} clients' vectors{without}, "
                f"within {facts.error:.2g} (standard deviation){measured}"
            )
