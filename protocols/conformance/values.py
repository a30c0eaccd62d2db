"""Operations of NumPy on secrets compared with NumPy's own results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mpc.encoding import INT, Fixed
from mpc.ring import NDArray, RingArray
from mpc.rounds import Flow
from protocols.array.secret import Secret
from protocols.array.session import Session
from protocols.conformance.operations import ARITHMETIC, OPERATIONS, Operation, flat, operands
from protocols.running.local import local
from protocols.suite import Share, Suite


def begun(session: Session, operation: Operation, seed: int, fraction: int) -> list[Secret]:
    """The operation on secrets of various owners; its messages wait for a reveal."""
    arrays = operands(operation.shapes, fraction, seed)
    owners = [(seed + j) % session.size for j in range(len(arrays))]
    secrets = [
        session.secret(
            a if session._holds(o) else None,
            owner=o,
            shape=a.shape,
            kind=Fixed(fraction) if fraction else INT,
        )
        for a, o in zip(arrays, owners, strict=True)
    ]
    results = flat(operation.f(*secrets))
    assert all(isinstance(r, Secret) for r in results), operation.name
    return results


def alike(x: Secret) -> bool:
    """Whether all parties of a local session open the same."""

    def protocol(suite: Suite, share: Share) -> Flow[tuple[RingArray, ...]]:
        return suite.open(share)

    opened = x.session._finish(x.session._start("open", protocol, [x]))
    return len({bytes(v.ring.encode(v.data)) for (v,) in opened}) == 1


def evaluate(session: Session, fraction: int, table: list[Operation] = OPERATIONS) -> list[list[NDArray]]:
    """All operations, all waiting for one reveal per operation."""
    pending = [begun(session, operation, i, fraction) for i, operation in enumerate(table)]
    return [[r.reveal() for r in results] for results in pending]


def differences(
    operation: Operation, mine: list[NDArray], seed: int, fraction: int, ulp: float
) -> Iterator[str]:
    """In what the operation's results are not NumPy's."""
    expected = [np.asarray(e) for e in flat(operation.f(*operands(operation.shapes, fraction, seed)))]
    for m, e in zip(mine, expected, strict=True):
        exact = np.asarray(m).dtype.kind in "bi" or not operation.ulps
        truth = np.asarray(m).dtype.kind == "b"
        if truth != (e.dtype.kind == "b"):
            yield f"{operation.name}: {np.asarray(m).dtype} for {e.dtype}"
        if np.shape(m) != e.shape:
            yield f"{operation.name}: shape {np.shape(m)} for {e.shape}"
        elif (off := np.abs(m * 1 - e * 1).max(initial=0)) > (
            1e-12 if exact else operation.ulps * ulp * 1.0001
        ):
            yield f"{operation.name}: off by " + (f"{off}" if exact else f"{off / ulp:.3g} ulp")
        elif e.dtype.kind in "iu" and np.asarray(m).dtype.kind != "i":
            yield f"{operation.name}: {np.asarray(m).dtype} for {e.dtype}"


def check(
    revealed: list[list[NDArray]], fraction: int, ulp: float, table: list[Operation] = OPERATIONS
) -> None:
    """Compare with NumPy, and name every operation that differs."""
    wrong = [
        said
        for i, (operation, mine) in enumerate(zip(table, revealed, strict=True))
        for said in differences(operation, mine, i, fraction, ulp)
    ]
    assert not wrong, "\n".join(wrong)


@dataclass
class Values:
    """What became of a table of operations: how many agree, the sentences of those that are refused, and what
    is wrong with the others."""

    agree: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def compare(
    suite: str, parties: int, bits: int, fraction: int, table: list[Operation] = OPERATIONS
) -> Values:
    """Each operation by itself, so that one that fails leaves the others as they are.

    A scheme may refuse an operation by a ``NotImplementedError`` at any place of it, but no arithmetic of
    integers.  An error ends a session, and the next operation has a new one.
    """
    found, session = Values(), None
    for i, operation in enumerate(table):
        session = session or local(parties, suite, ring=bits)
        try:
            results = begun(session, operation, i, fraction)
            mine: list[Any] = [r.reveal() for r in results]
            wrong = list(differences(operation, mine, i, fraction, 2.0**-session.fixed.fraction))
            wrong += [f"{operation.name}: parties get different numbers" for r in results if not alike(r)]
        except NotImplementedError as error:
            session, wrong = None, []
            if operation in ARITHMETIC and not fraction:
                wrong = [f"{operation.name}: refused, and nothing works without it ({error})"]
            else:
                found.refused[str(error)] += 1
                continue
        except Exception as error:  # whatever a scheme of somebody else's raises
            session, wrong = None, [f"{operation.name}: {type(error).__name__}: {error}"]
        found.wrong += wrong
        found.agree += not wrong
    return found
