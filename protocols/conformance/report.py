"""All that a scheme has to keep, in lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from mpc.errors import ConfigError
from mpc.ring import Ring
from protocols.conformance import bending, costs, opening, values, views
from protocols.conformance.operations import OPERATIONS, Operation
from protocols.suite import Suite
from protocols.suites import find, ring_of

#: Integers up to here come out of the table of operations.
LEAST = 1 << 30


@dataclass
class Section:
    """One part of what is tested: what came out, and what fails, each named."""

    name: str
    said: list[str]
    failures: list[str]


def sections(
    name: str, parties: int, bits: int = 64, table: list[Operation] = OPERATIONS
) -> Iterator[Section]:
    """Test the suite of this name; each part as soon as it is through."""
    kind = find(name, parties)
    ring = ring_of(bits, kind)
    kind.threat.most(parties)  # what cannot be understood is said before anything takes time
    if ring.most < LEAST:
        raise ConfigError(f"over {ring} the operations' results wrap around: take a ring of 32 bits or more")
    yield of_values("values, integers", name, parties, bits, 0, table)
    if ring.fraction:
        yield of_values("values, fixed point", name, parties, bits, ring.fraction, table)
    yield of_openings(kind, parties, ring)
    yield of_costs(kind, parties, ring)
    yield of_views(kind, parties, ring)
    yield of_bending(kind, parties, ring)


def of_values(
    title: str, name: str, parties: int, bits: int, fraction: int, table: list[Operation]
) -> Section:
    found = values.compare(name, parties, bits, fraction, table)
    return Section(
        title, [f"{found.agree} operations agree with NumPy", *_refused(found.refused)], found.wrong
    )


def of_openings(kind: type[Suite], parties: int, ring: Ring) -> Section:
    found = opening.compare(kind, parties, ring)
    said = (
        f"{found.kept} are right, and tell nobody else: to all, to one, to all but one, and of random numbers"
    )
    return Section("openings", [said, *_refused(found.refused)], found.wrong)


def of_costs(kind: type[Suite], parties: int, ring: Ring) -> Section:
    found = costs.compare(kind, parties, ring)
    kept = f"rounds and bytes are as declared for {_listed(found.kept)}"
    return Section("costs", [kept], found.wrong)


def of_views(kind: type[Suite], parties: int, ring: Ring) -> Section:
    found = views.compare(kind, parties, ring)
    said = f"{found.compared} arrays that coalitions ({kind.threat.corrupt}) get are fresh and uniform in "
    return Section("views", [said + _listed(found.kept), *_refused(found.refused)], found.wrong)


def of_bending(kind: type[Suite], parties: int, ring: Ring) -> Section:
    found = bending.compare(kind, parties, ring)
    said = (
        f"malicious: {found.payloads} bent payloads, {found.unnoticed} of them unnoticed"
        if kind.threat.adversary == "malicious"
        else f"semi-honest: it does not claim to hold against this; of {found.payloads} bent payloads"
        f" {found.unnoticed} changed the result unnoticed"
    )
    return Section(
        "adversary",
        [said, f"{found.headers} bent headers, {found.unnoticed_headers} of them unnoticed"],
        found.wrong,
    )


def _refused(refused: Counter[str]) -> list[str]:
    return [f"{count} refused: {sentence}" for sentence, count in refused.items()]


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "nothing"
