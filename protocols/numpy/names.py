"""What a session is given: NumPy's names on secrets, and what else is made of operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocols.numpy.absent import refusal
from protocols.numpy.arguments import normal, taken
from protocols.numpy.tables import FUNCTIONS, METHODS
from protocols.ops.randomness import Generator
from protocols.ops.updates import Places

if TYPE_CHECKING:
    from protocols.array.session import Session
    from protocols.numpy.shadow import Shadows

__all__ = ["FUNCTIONS", "METHODS", "Generator", "Places", "checked", "normal", "refusal", "taken"]


def checked(session: Session) -> Shadows:
    """The shadows of a session that checks."""
    from protocols.numpy.shadow import Shadows  # here: other sessions do without

    return Shadows(session)
