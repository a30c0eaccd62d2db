"""An ordinary Flower client; ``secure_mod`` is the one line."""

from __future__ import annotations

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from digits import task
from protocols.aggregation.flower import secure_mod

app = ClientApp(mods=[secure_mod])


def given(message: Message) -> dict:
    return {name: array.numpy() for name, array in message.content["arrays"].items()}


@app.train()
def train(message: Message, context: Context) -> Message:
    images, labels = task.part(context.node_config["part"], context.node_config["parts"])
    model, loss = task.train(given(message), images, labels)
    return Message(
        RecordDict(
            {
                "arrays": ArrayRecord({name: Array(value) for name, value in model.items()}),
                "metrics": MetricRecord({"num-examples": len(labels), "loss": loss}),
            }
        ),
        reply_to=message,
    )


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    images, labels = task.part(context.node_config["part"], context.node_config["parts"])
    loss, accuracy, _ = task.loss(given(message), images, labels)
    return Message(
        RecordDict(
            {"metrics": MetricRecord({"num-examples": len(labels), "loss": loss, "accuracy": accuracy})}
        ),
        reply_to=message,
    )
