"""Before the first frame: both sides of every link say what they are about to run, and compare."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from typing import Any

from mpc.errors import HandshakeError, PartyLost
from mpc.transport import Transport

_LENGTH = struct.Struct("<I")
_MOST = 1 << 16

#: So many of the terms that differ are named.
_NAMED = 3


def agree(
    transport: Transport, peers: Mapping[int, str], terms: Mapping[str, Any], common: frozenset[str]
) -> None:
    """Send our terms to every peer and hold theirs against them; ``HandshakeError`` names both sides.

    Parties (ranks below ``transport.size``) must agree on all terms, a dealer on those in ``common``.
    """
    lost: PartyLost | None = None
    for peer in peers:
        ours = {key: terms[key] for key in (common if peer == transport.size else terms)}
        said = json.dumps(ours, sort_keys=True).encode()
        try:
            transport.post(peer, [memoryview(_LENGTH.pack(len(said)) + said)])
        except PartyLost as loss:  # the others still get ours, and then learn what it was
            lost = lost or loss
    for peer, name in peers.items():
        try:
            theirs = _hear(transport, peer, name)
        except PartyLost as loss:
            # Perhaps because of what another one says, which we then can say ourselves.
            lost = lost or loss
            continue
        keys = common if transport.size in (peer, transport.rank) else terms.keys() | theirs.keys()
        if "store of correlations" in keys and (
            words := _stores(theirs.get("store of correlations"), terms.get("store of correlations"))
        ):
            raise HandshakeError(f"{name} {words}")
        here, there = (_facts(said, keys) for said in (terms, theirs))
        other = []
        for fact in sorted(here.keys() | there.keys()):
            if json.dumps(here.get(fact)) != json.dumps(there.get(fact)):
                what = _word(fact[-1]) if fact in here or len(fact) > 1 else "set of terms"
                other.append(f"{what} (there {_show(there.get(fact))}, here {_show(here.get(fact))})")
        if other:
            named = " and ".join(other[:_NAMED])
            more = f" and {len(other) - _NAMED} more" if len(other) > _NAMED else ""
            raise HandshakeError(f"{name} runs with another {named}{more}; all parties must agree on it")
    if lost is not None:
        raise lost


def _hear(transport: Transport, peer: int, name: str) -> dict[str, Any]:
    """A peer's terms, as it sent them."""
    head = bytearray(_LENGTH.size)
    transport.collect({peer: memoryview(head)})
    (length,) = _LENGTH.unpack(head)
    if length > _MOST:
        raise HandshakeError(f"{name} does not speak this protocol: a greeting of {length} bytes is none")
    body = bytearray(length)
    transport.collect({peer: memoryview(body)})
    try:
        theirs = json.loads(body)
    except (ValueError, RecursionError):
        theirs = None
    if not isinstance(theirs, dict):
        raise HandshakeError(f"{name} does not speak this protocol: its greeting cannot be read")
    return theirs


def _facts(terms: Mapping[str, Any], keys: Iterable[str]) -> dict[tuple[str, ...], Any]:
    """The terms of these names, one by one where there is a table of them, as there is of files."""
    facts: dict[tuple[str, ...], Any] = {}
    for key in keys:
        value = terms.get(key)
        if isinstance(value, dict):
            facts |= {(key, name): item for name, item in value.items()}
        else:
            facts[key,] = value
    return facts


def _stores(theirs: Any, ours: Any) -> str:
    """What the other side does with correlations made in advance, where it is something else than we do."""
    does = [
        (
            "runs 'mpc party' without --use-offline"
            if run is None
            else "runs 'mpc offline'"
            if run == "to be made"
            else "runs 'mpc party --use-offline'"
        )
        for run in (theirs, ours)
    ]
    return f"{does[0]}, and this party {does[1]}: all must do the same" if does[0] != does[1] else ""


def _show(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:60] + "…"


def _word(name: str) -> str:
    """A name that may be a peer's, fit to be printed."""
    return "".join(c if c.isprintable() else "?" for c in name[:80])
