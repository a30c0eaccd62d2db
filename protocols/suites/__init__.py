"""The suites there are.  A suite listed here gets every operation, conformance test and benchmark."""

from __future__ import annotations

from mpc.errors import ConfigError
from mpc.ring import RINGS, Ring
from protocols.prep.dealer import Dealt
from protocols.suite import Suite
from protocols.suites.additive import Additive
from protocols.suites.replicated import Replicated

SUITES: dict[str, type[Suite]] = {suite.name: suite for suite in (Additive, Replicated)}


def find(name: str | None, parties: int) -> type[Suite]:
    """The suite of this name, or a ``ConfigError`` that says which there are.

    Without a name: ``replicated`` for three parties, which needs no dealer, else ``additive``.
    """
    suite = SUITES.get(name or ("replicated" if parties == 3 else "additive"))
    if suite is None:
        raise ConfigError(f"there is no suite '{name}'; there is: {', '.join(SUITES)}")
    least, most = suite.parties
    if parties < least or (most is not None and parties > most):
        many = (
            f"{least} or more"
            if most is None
            else f"{least} to {most}"
            if most > least
            else f"exactly {least}"
        )
        raise ConfigError(f"the suite '{suite.name}' takes {many} parties, not {parties}")
    return suite


def setup_of(suite: type[Suite]) -> str:
    """What a suite's sessions take for granted."""
    return f"none, or {Dealt.threat.setup} for speed" if suite.needs_prep else suite.threat.setup


def ring_of(bits: int) -> Ring:
    """The ring of this many bits."""
    if bits not in RINGS:
        raise ConfigError(f"ring = {bits}: the rings are of {', '.join(str(b) for b in RINGS)} bits")
    return RINGS[bits]
