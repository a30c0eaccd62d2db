"""A hundred clients learn to read digits: nobody sees anybody's, and the server sees no client's update.

    python examples/federated_learning/train.py
    python examples/federated_learning/train.py --model network --method fedsgd --epsilon 4 --plot a.png

Three trainings side by side, from one start and with the same drop-outs: with a plain mean of the updates;
with secure aggregation, weights included; and with noise that the clients add, each counting alike.  In a
round the server sends its model to all, each client takes some steps on its own digits and gives the way its
model went, some are lost at any phase, and the mean of who was there moves the model.  A training ends when
it has converged or its budget is spent.  Strictly, the budget is what holds for one that chooses its own end,
not what it had used by then.

The steps, rates and the clip were found by trying, on these data; on data that are to be protected, trying
costs ε too."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec

import click
import digits
import numpy as np
from rich.console import Console
from rich.live import Live
from rich.table import Table

from mpc.errors import BudgetSpent
from protocols.aggregation.messages import Phase
from protocols.aggregation.one_server import bounds
from protocols.aggregation.one_server.federation import Federation
from protocols.privacy import DistributedDiscreteGaussian, Encoding

CLIP, DELTA, DROPOUT, CORRUPT = 1.0, 1e-3, 0.1, 0.05
# converged: this many rounds have not brought this much accuracy
PATIENCE, GAIN = 5, 0.005


@dataclass
class Training:
    """One of the trainings; ``mean`` makes of updates and drop-outs one vector."""

    name: str
    mean: Callable
    theta: np.ndarray
    accuracy: list = field(default_factory=list)
    end: str = ""

    def round(self, model, method, clients, held_out, speaks):
        steps, rate, server_rate = method
        updates = {name: model.update(self.theta, *rows, steps, rate) for name, rows in clients.items()}
        try:
            self.theta = self.theta + server_rate * self.mean(updates, speaks)
        except BudgetSpent:
            self.end = "budget spent"
            return
        self.accuracy.append(model.accuracy(self.theta, *held_out))
        before, lately = self.accuracy[:-PATIENCE], self.accuracy[-PATIENCE:]
        if before and max(lately) < max(before) + GAIN:
            self.end = "converged"


def plain_mean(sizes):
    """The same in the clear: clipped, weighted, without those who are lost before their vector arrives."""

    def mean(updates, speaks):
        there = [
            name for name in updates if all(speaks(name, phase) for phase in Phase if phase <= Phase.MASK)
        ]
        clipped = [updates[name] / max(1, np.linalg.norm(updates[name]) / CLIP) for name in there]
        return np.average(clipped, axis=0, weights=[sizes[name] for name in there])

    return mean


def drop_outs(rng, names):
    """Up to a tenth of the clients, each lost at some phase of the round and silent from then on."""
    lost = rng.permutation(names)[: rng.integers(0, int(DROPOUT * len(names)) + 1)]
    silent = {name: rng.choice(Phase) for name in lost}
    return lambda name, phase: phase < silent.get(name, len(Phase) + 1)


def trainings(model, clients, epsilon, rounds):
    """The three, and the federation of the last one, whose noise is for this many rounds."""
    sizes = {name: len(y) for name, (_, y) in clients.items()}
    encoding = Encoding(model.size, len(clients), clip=CLIP, weight=max(sizes.values()))
    # shares of the noise: lost, or known to who colludes
    missing = bounds.count(DROPOUT, len(clients)) + bounds.count(CORRUPT, len(clients))
    noise = DistributedDiscreteGaussian(
        epsilon, DELTA, CLIP, len(clients), model.size, rounds, dropout=missing / len(clients)
    )
    secure, private = (
        Federation(clients, codec, dropout=DROPOUT, corrupt=CORRUPT) for codec in (encoding, noise)
    )
    return [
        Training("plain", plain_mean(sizes), model.start()),
        Training("secure", lambda updates, speaks: secure.mean(updates, sizes, speaks).vector, model.start()),
        Training(
            f"secure, ε = {epsilon:g}",
            lambda updates, speaks: private.mean(updates, speaks=speaks).vector,
            model.start(),
        ),
    ], private


def table(runs):
    shown = Table("round", *[run.name for run in runs], title="accuracy on digits that no client has")
    for i in range(max(len(run.accuracy) for run in runs)):
        shown.add_row(
            str(i + 1),
            *[
                f"{run.accuracy[i]:.1%}" if i < len(run.accuracy) else run.end * (i == len(run.accuracy))
                for run in runs
            ],
        )
    return shown


def plot(runs, file):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5))
    axes = figure.subplots()
    for run, style in zip(runs, ("-", "--", "-"), strict=True):
        axes.plot(range(1, len(run.accuracy) + 1), run.accuracy, style, label=run.name)
    axes.set(xlabel="round", ylabel="accuracy on held-out digits")
    axes.legend()
    figure.savefig(file)


@click.command(help=__doc__.splitlines()[0])
@click.option("--method", type=click.Choice(["fedavg", "fedsgd"]), default="fedavg", show_default=True)
@click.option(
    "--model",
    "model_name",
    type=click.Choice(["softmax", "network"]),
    default="softmax",
    show_default=True,
    help="softmax regression in NumPy, or a small network in PyTorch",
)
@click.option("--clients", "count", default=100, show_default=True)
@click.option("--rounds", default=40, show_default=True, help="at most")
@click.option(
    "--epsilon", default=8.0, show_default=True, help=f"the budget of the private training, at δ = {DELTA}"
)
@click.option(
    "--paid", default=25, show_default=True, help="the rounds that the budget is for: fewer have less noise"
)
@click.option("--plot", "file", help="a file for a plot of the table")
def main(method, model_name, count, rounds, epsilon, paid, file):
    if file and find_spec("matplotlib") is None:
        raise click.ClickException("--plot needs matplotlib: pip install matplotlib")
    try:
        model = importlib.import_module(model_name)
    except ImportError as error:
        raise click.ClickException(
            f"the network needs PyTorch: pip install 'mpc-engine[torch]' ({error})"
        ) from None
    clients, held_out = digits.load(count)
    rng = np.random.default_rng(digits.SEED)  # for drop-outs, which are no secret
    runs, private = trainings(model, clients, epsilon, paid)
    sizes = sorted(len(y) for _, y in clients.values())
    console = Console(soft_wrap=True)
    console.print(
        f"{count} clients with {sizes[0]} to {sizes[-1]} digits, half of them with {sizes[count // 2]} or"
        f" fewer; {model.size} parameters, {method}"
    )
    with Live(console=console, transient=True) as live:
        for _ in range(rounds):
            speaks = drop_outs(rng, list(clients))
            for run in runs:
                if not run.end:
                    run.round(model, model.METHODS[method], clients, held_out, speaks)
                    live.update(table(runs))
    console.print(table(runs))
    for run in runs:
        console.print(
            f"{run.name}: {run.accuracy[-1]:.1%} after {len(run.accuracy)} rounds,"
            f" {run.end or 'the last allowed'}"
        )
    plain, secure = runs[0].theta, runs[1].theta
    console.print(
        f"plain and secure: parameters up to {np.abs(plain).max():.2f}, largest difference"
        f" {np.abs(plain - secure).max():.1e}"
    )
    console.print(
        f"{runs[2].name}: {private.budget.spent:.2f} of it used, at δ = {DELTA}, for all the digits of a"
        f" client; noise of {private.codec.error(count):.1e} in each coordinate of a mean"
    )
    if file:
        plot(runs, file)


if __name__ == "__main__":
    main()
