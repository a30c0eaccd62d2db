"""Before the first frame: both sides of every link say what they are about to run, and compare."""
from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

from mpc.errors import HandshakeError, PartyLost
from mpc.transport import Transport

_LENGTH = struct.Struct("<I")
_MOST = 1 << 16


def agree(transport: Transport, peers: Mapping[int, str], terms: Mapping[str, Any], common: frozenset[str]) -> None:
    """Send our terms to every peer and hold theirs against them; ``HandshakeError`` names both sides.

    Parties (ranks below ``transport.size``) must agree on all terms, a dealer on those in ``common``.
    """
    for peer in peers:
        ours = {key: terms[key] for key in (common if peer == transport.size else terms)}
        said = json.dumps(ours, sort_keys=True).encode()
        transport.post(peer, [memoryview(_LENGTH.pack(len(said)) + said)])
    lost: PartyLost | None = None
    for peer, name in peers.items():
        try:
            theirs = _hear(transport, peer, name)
        except PartyLost as loss:                   # perhaps because of what another one says, which we then can say ourselves
            lost = lost or loss
            continue
        keys = common if transport.size in (peer, transport.rank) else terms.keys() | theirs.keys()
        if "store of correlations" in keys and (words := _stores(theirs.get("store of correlations"), terms.get("store of correlations"))):
            raise HandshakeError(f"{name} {words}")
        other = [f"{key if key in terms else 'set of terms'} (there {_show(theirs.get(key))}, here {_show(terms.get(key))})"
                 for key in sorted(keys) if json.dumps(theirs.get(key)) != json.dumps(terms.get(key))]
        if other:
            raise HandshakeError(f"{name} runs with another {' and '.join(other)}; all parties must agree on it")
    if lost is not None:
        raise lost


def _hear(transport: Transport, peer: int, name: str) -> dict[str, Any]:
    """A peer's terms, as it sent them."""
    head = bytearray(_LENGTH.size)
    transport.collect({peer: memoryview(head)})
    (length,) = _LENGTH.unpack(head)
    if length > _MOST:
        raise HandshakeError(f"{name} does not speak this protocol: its greeting would be {length} bytes long")
    body = bytearray(length)
    transport.collect({peer: memoryview(body)})
    try:
        theirs = json.loads(body)
    except (ValueError, RecursionError):
        theirs = None
    if not isinstance(theirs, dict):
        raise HandshakeError(f"{name} does not speak this protocol: its greeting cannot be read")
    return theirs


def _stores(theirs: Any, ours: Any) -> str:
    """What the other side does with correlations made in advance, where it is something else than we do."""
    does = ["runs 'mpc party' without --use-offline" if run is None else "runs 'mpc offline'" if run == "to be made" else "runs 'mpc party --use-offline'" for run in (theirs, ours)]
    return f"{does[0]}, and this party {does[1]}: all must do the same" if does[0] != does[1] else ""


def _show(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:60] + "…"
