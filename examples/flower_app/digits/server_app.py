"""An ordinary Flower server; ``SecureGrid`` is the one line."""

from __future__ import annotations

import numpy as np
from flwr.app import Array, ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from digits import task
from protocols.aggregation.flower import SecureGrid

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    config, (_, test) = context.run_config, task.data()

    def accuracy(number: int, arrays: ArrayRecord) -> MetricRecord:
        model = {name: array.numpy() for name, array in arrays.items()}
        return MetricRecord({"test-accuracy": task.loss(model, *test)[1]})

    strategy = FedAvg(
        min_train_nodes=config["clients"],
        min_available_nodes=config["clients"],
        fraction_evaluate=config["evaluate"],
        min_evaluate_nodes=config["clients"],
    )
    result = strategy.start(
        grid=SecureGrid(grid, config["agreement"], patience=config["patience"]),
        initial_arrays=ArrayRecord({name: Array(value) for name, value in task.start().items()}),
        num_rounds=config["rounds"],
        timeout=config["patience"],
        evaluate_fn=accuracy,
    )
    if config["model"]:
        np.savez(config["model"], **{name: array.numpy() for name, array in result.arrays.items()})
