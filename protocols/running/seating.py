"""How a party comes to its seat and its suite."""

from __future__ import annotations

from mpc.meter import OFFLINE
from mpc.party import Party
from mpc.prg import Stream
from mpc.rounds import spawn
from protocols.prep import Prep
from protocols.suite import Suite


async def sit_down(party: Party, kind: type[Suite], own: Stream, prep: Prep | None) -> Suite:
    """Agree on keys with the other parties and, where the suite needs correlated randomness,
    with its source.
    """
    party.seat = seat = await kind.seated(party.rank, party.size, own)
    if prep is None or not kind.needs_prep:
        return kind(seat)
    await (await spawn(prep.setup(seat), OFFLINE + "setup"))
    return kind(seat, prep)
