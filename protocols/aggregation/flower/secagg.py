"""Flower's own SecAgg+, measured in this process the way ``mpc bench aggregation`` measures ours.

Its mod runs at each client in turn, its workflow at the server, on Flower's messages in memory: no
serialisation and no network on either side.  A client's seconds are those in the mod, without the app; the
server's those between the clients' answers.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.common import Code, FitIns, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS
from flwr.compat.common import recorddict_compat as compat
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.supercore.task_identity import TaskIdentity

from mpc.prg import Stream
from mpc.ring import Z32, NDArray, Spec

_ROUND, _STEPS = 1, 4


def measure(clients: int, length: int, neighbours: int, threshold: int, drop: float) -> dict[str, Any]:
    """One round of that many clients, of which a fraction is lost when vectors are due: seconds of a client
    (median of those that stay) and of the server, and the largest error of the mean (``None`` for a round
    that Flower gave up)."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    logging.getLogger("flwr").setLevel(logging.ERROR)
    # test data
    vector = (Stream(bytes(32), "bench").draw(Spec(Z32, (length,))).data / 2.0**32 - 0.5).astype(np.float32)
    parameters = ndarrays_to_parameters([vector])
    grid = _Grid(clients, round(drop * clients), FitRes(Status(Code.OK, ""), parameters, 1, {}))
    strategy = _Strategy(list(grid.contexts), parameters)
    state = RecordDict(
        {
            "config": ConfigRecord({"current_round": _ROUND}),
            "parameters": compat.parameters_to_arrayrecord(parameters, True),
        }
    )
    context = LegacyContext(Context(1, 1, {}, state, {}), strategy=strategy, client_manager=strategy)  # type: ignore[arg-type, unused-ignore]
    start = time.perf_counter()
    SecAggPlusWorkflow(neighbours + 1, threshold, max_weight=1.0)(grid, context)  # type: ignore[arg-type, unused-ignore]
    whole = time.perf_counter() - start
    return {
        "clients": clients,
        "length": length,
        "neighbours": neighbours,
        "threshold": threshold,
        "dropped": len(grid.gone),
        "client_seconds": statistics.median(s for node, s in grid.seconds.items() if node not in grid.gone),
        "server_seconds": whole - grid.elsewhere,
        "error": None if strategy.mean is None else float(np.abs(strategy.mean - vector).max()),
    }


class _Grid:
    """Asks the clients one after the other; answers of those that are gone stay away from the third message
    on.
    """

    def __init__(self, clients: int, gone: int, result: FitRes) -> None:
        self.contexts = {node: Context(1, node, {}, RecordDict(), {}) for node in range(1, clients + 1)}
        self.gone, self.result, self.asked, self.elsewhere = set(list(self.contexts)[:gone]), result, 0, 0.0
        self.seconds = dict.fromkeys(self.contexts, 0.0)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        began = time.perf_counter()
        self.asked += 1
        replies = [
            self.ask(m)
            for m in messages
            if self.asked < _STEPS - 1 or m.metadata.dst_node_id not in self.gone
        ]
        self.elsewhere += time.perf_counter() - began
        return replies

    def ask(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        copied = Message(
            RecordDict(dict(message.content)), dst_node_id=node, message_type=message.metadata.message_type
        )
        # the mod takes things out
        copied.content[RECORD_KEY_CONFIGS] = ConfigRecord(
            dict(message.content.config_records[RECORD_KEY_CONFIGS])
        )
        trained = compat.fitres_to_recorddict(self.result, True)
        start = time.perf_counter()
        reply = secaggplus_mod(copied, self.contexts[node], lambda m, _: Message(trained, reply_to=m))
        self.seconds[node] += time.perf_counter() - start
        return reply


class _Strategy:
    """What the workflow asks of a strategy and of a client manager."""

    def __init__(self, nodes: list[int], parameters: Any) -> None:
        self.nodes, self.parameters = nodes, parameters
        self.mean: NDArray | None = None

    def num_available(self) -> int:
        return len(self.nodes)

    def configure_fit(self, *_: Any) -> list[tuple[Any, FitIns]]:
        return [(_Proxy(node), FitIns(self.parameters, {})) for node in self.nodes]

    def aggregate_fit(self, _: int, results: list[Any], failures: list[Any]) -> tuple[Any, dict[str, Any]]:
        self.mean = parameters_to_ndarrays(results[0][1].parameters)[0]
        return results[0][1].parameters, {}


class _Proxy:
    def __init__(self, node: int) -> None:
        self.node_id = node
