"""The suites there are.  A suite listed here gets every operation, conformance test and benchmark.

A suite of somebody else's gets the operations and benchmarks, too: it is named ``module:Class``, or by an
entry point of the group ``mpc.suites`` in its package's metadata.  ``python -m mpc.conformance`` tests it.
"""

from __future__ import annotations

import inspect
from hashlib import blake2b
from importlib import import_module
from pathlib import Path

from mpc.errors import ConfigError
from mpc.ring import RINGS, Ring
from protocols.prep.dealer import Dealt
from protocols.suite import Suite
from protocols.suites.additive import Additive
from protocols.suites.fantastic_four import FantasticFour
from protocols.suites.replicated import Replicated

SUITES: dict[str, type[Suite]] = {suite.name: suite for suite in (Additive, Replicated, FantasticFour)}


def find(name: str | None, parties: int, malicious: bool = False) -> type[Suite]:
    """The suite of this name, or a ``ConfigError`` that says which there are.

    Without a name: ``replicated`` for three parties, which needs no dealer, else ``additive``; or one that
    holds against ``malicious`` parties.
    """
    name = name or (_bound(parties) if malicious else "replicated" if parties == 3 else "additive")
    suite = SUITES.get(name) or _elsewhere(name)
    if malicious and suite.threat.adversary != "malicious":
        raise ConfigError(
            f"the suite '{suite.name}' does not hold against malicious parties: name one that does (see 'mpc"
            " suites'), or none"
        )
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
    if suite.fields and suite.needs_prep:
        raise ConfigError(
            f"the suite '{suite.name}' takes correlated randomness over a field, but it is made over rings of"
            " bits"
        )
    suite.threat.most(parties)  # what cannot be understood of it is said before anything is computed
    return suite


def _bound(parties: int) -> str:
    """The suite that holds against malicious parties among so many."""
    there = [suite for suite in SUITES.values() if suite.threat.adversary == "malicious"]
    for suite in there:
        if suite.parties[0] <= parties <= (suite.parties[1] or parties):
            return suite.name
    said = ", ".join(f"'{suite.name}' ({suite.threat.corrupt})" for suite in there)
    raise ConfigError(f"no suite holds against malicious parties among {parties} yet; there is {said}")


def _elsewhere(name: str) -> type[Suite]:
    from importlib.metadata import entry_points  # here: it takes as long to load as a small program to run

    module, colon, attribute = name.partition(":")
    try:
        if colon:
            found = getattr(import_module(module), attribute)
        else:
            found = next(iter(entry_points(group="mpc.suites", name=name))).load()
    except StopIteration:
        known = ", ".join([*SUITES, *(point.name for point in entry_points(group="mpc.suites"))])
        raise ConfigError(
            f"there is no suite '{name}'; there is: {known}, and those of other packages as module:Class"
        ) from None
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"the suite '{name}' cannot be loaded ({error}): it has to be a class in a module that is found"
        ) from None
    if not (isinstance(found, type) and issubclass(found, Suite)):
        raise ConfigError(f"the suite '{name}' is no class that has protocols.suite.Suite as its base")
    return found


def told(suite: type[Suite]) -> str:
    """What parties compare of a suite: its name and, where it is not of this engine, what its file holds."""
    if SUITES.get(suite.name) is suite:
        return suite.name
    text = Path(inspect.getfile(suite)).read_bytes()
    return f"{suite.name} {blake2b(text, digest_size=8).hexdigest()}"


def setup_of(suite: type[Suite]) -> str:
    """What a suite's sessions take for granted."""
    return f"none, or {Dealt.threat.setup} for speed" if suite.needs_prep else suite.threat.setup


def ring_of(number: int, suite: type[Suite]) -> Ring:
    """The ring of so many bits that a suite computes over; or, where it does over fields, the one of so many
    elements.
    """
    if not suite.fields:
        if number not in RINGS:
            raise ConfigError(f"ring = {number}: the rings are of {', '.join(str(b) for b in RINGS)} bits")
        return RINGS[number]
    from mpc.fields import P61, field_of

    if number in RINGS:
        raise ConfigError(
            f"the suite '{suite.name}' computes modulo a prime: set ring to one (--ring), such as"
            f" 2^61 - 1 = {P61}"
        )
    return field_of(number)
