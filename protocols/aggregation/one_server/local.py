"""A whole round in this process: for tests, benchmarks, and federated learning in simulation.

It carries the bytes and nothing else.  ``speaks`` plays the network and the clients' moods: it is asked
before each answer whether this client gives one in this phase.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mpc.errors import AggregationRefused
from protocols.aggregation.messages import Phase
from protocols.aggregation.one_server.client import Client
from protocols.aggregation.one_server.server import Server, Sum
from protocols.aggregation.one_server.terms import Terms


def aggregate(
    terms: Terms,
    clients: Mapping[str, Client],
    speaks: Callable[[str, Phase], bool] = lambda name, phase: True,
) -> Sum:
    """Run a round with these clients; who is in the directory and not among them does not come."""
    server = Server(terms)
    while server.phase is not None:
        for name, message in server.requests():
            if name in clients and speaks(name, server.phase):
                try:
                    answer = clients[name].answer(message)
                except AggregationRefused:
                    continue  # the server only sees that it says nothing
                server.receive(name, answer)
        server.advance()
    return server.result
