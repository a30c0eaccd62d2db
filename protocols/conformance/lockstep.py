"""All parties of a scheme in one thread, with their frames on links in memory."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from mpc.party import Party
from mpc.transport import Transport
from mpc.transport.memory import mesh
from protocols.conformance.playing import stream
from protocols.prep.dealer import Dealer, DealerFrames, Dealt
from protocols.running.seating import sit_down
from protocols.suite import Suite

Flow = Coroutine[Any, Any, Any]


class Lockstep:
    """The parties and their suites, with keys that are the same in every run.

    ``around`` puts something around each end of a link, such as an adversary.
    """

    def __init__(self, kind: type[Suite], parties: int, around: Callable[[Transport], Transport]) -> None:
        frames = DealerFrames(Dealer(parties, stream(0, "dealer")))
        greetings = {i: frames.greeting(i) for i in range(parties)}
        ends = mesh(parties, service=frames.answer, timeout=0, greetings=greetings)
        self.members = [Party(around(end)) for end in ends]
        self.suites: Sequence[Suite] = self.run(
            [sit_down(p, kind, stream(0, f"party {p.rank}"), Dealt(p.rank, p.size)) for p in self.members],
            "setup",
        )

    def run(self, flows: Sequence[Flow], label: str) -> list[Any]:
        """The results of these protocols, one for each party."""
        tasks = [p.start(flow, label) for p, flow in zip(self.members, flows, strict=True)]
        while not all(t.done for t in tasks):
            for p in self.members:
                p.post()
            for t in tasks:
                if t.done:
                    t.result()  # one party failed: so do all
            for p, t in zip(self.members, tasks, strict=True):
                if not t.done:
                    p.deliver()
        return [t.result() for t in tasks]
