"""Everything that goes wrong on purpose, as one small tree.

MpcError
├── EncodingError       a value, dtype or shape that cannot be shared (also a ValueError)
├── RangeError          what is to be revealed is wrong, says a session that checks (also an ArithmeticError)
├── ConfigError         a configuration file, certificate or command-line value is wrong
├── BudgetSpent         a round would cost more privacy than is left; nothing was released
├── AggregationFailed   a round of secure aggregation ends without a sum
├── AggregationRefused  a client does not go on: no honest server asks for this
├── TransportError      bytes do not get through
│   ├── PartyLost       a peer is gone, silent, or gave up
│   └── HandshakeError  a peer is not who, or does not run what, was agreed
├── CheatError          a peer departed from the protocol, and a check caught it
└── WireError           what arrived is not a frame both sides could have agreed on
    └── DesyncError     the parties no longer run the same program

A message says what was wrong and what to do about it, and never contains a secret.
"""


class MpcError(Exception):
    """Base of every error this engine raises on purpose."""


class EncodingError(MpcError, ValueError):
    """A value does not fit the encoding: range, NaN, dtype."""


class RangeError(MpcError, ArithmeticError):
    """In a session that checks: a value to be revealed may not be what the program gives in the clear; says
    since which line.
    """


class ConfigError(MpcError):
    """A configuration file, a certificate or an option is wrong."""


class BudgetSpent(MpcError):
    """A round would spend more of the privacy budget than is left.  Raised before the round, not after."""


class AggregationFailed(MpcError):
    """A round of secure aggregation ends without a sum: too few clients are left.  No vector and no sum is
    revealed.
    """

    def __init__(self, message: str, missing: int) -> None:
        super().__init__(message)
        self.missing = missing  # how many clients were not there


class AggregationRefused(MpcError):
    """A client does not go on with a round:
    an honest server with the same terms would not have asked this.
    """


class TransportError(MpcError):
    """Bytes do not get through to a peer or from it."""


class PartyLost(TransportError):
    """A peer is gone: it closed the link, said nothing for too long, or reported a failure."""

    def __init__(self, message: str, who: str, reason: str = "") -> None:
        super().__init__(message)
        self.who = who  # the peer, for those who are told why this party ends
        self.reason = reason  # what the peer said


class HandshakeError(TransportError):
    """A peer's identity, program, suite or parameters are not the agreed ones."""


class WireError(MpcError):
    """A frame has the wrong form, number or length."""


class DesyncError(WireError):
    """Peers are at different places of the program, or run different programs."""


class CheatError(MpcError):
    """A check that holds among parties that follow the protocol has failed."""
