"""Silent transfers: from some thousands of correlated transfers, by the million, for less than half a bit
each.

An iteration takes k + t·log(n/t) correlated transfers, q at the sender and r = q ⊕ s·Δ at the receiver with
random choices s.  Those of the second part grow t trees (``ggm``), whose leaves v at the sender are w = v ⊕
e·Δ at the receiver, with one 1 in e for each tree.  The first part is encoded (``lpn``):

    sender  A·q ⊕ v        receiver  A·r ⊕ w = (A·q ⊕ v) ⊕ x·Δ        random choices  x = A·s ⊕ e

The leaves of an iteration's first trees are what the next one takes; the first iteration takes transfers by
extension.  The lowest bit of Δ is 1 and that of every q is 0, so that the lowest bit of a receiver's row is
its choice.

Hence a receiver knows its choices, of this and all later iterations, before anything arrives, which completes
the other bits of its rows.  So one round is enough for chosen transfers too: the sums of the trees go one
way, the differences of choices from random ones go the other way, and the sender adds Δ to its row where they
differ.

Threat   semi-honest only: the check of the trees is left out, without which a sender that cheats can learn
         choices.  Learning parity with regular noise, in dimensions for 128 bits (``lpn``); Δ has 127 unknown
         bits.
Cost     one round.  The sender sends 16·log(n/t) bytes per tree: 0.049 bytes per transfer, 0.23 in the first
         iteration, with what the next one takes.  The receiver sends nothing, or a bit per chosen transfer.
         A call takes whole trees, of 2^10 or 2^12 transfers.  Setup takes a round more than extension, and
         290 kB from each receiver (k = 4).
Source   Yang, Weng, Lan, Zhang, Wang (Ferret), CCS 2020, ePrint 2020/924: the protocol with regular noise,
         without its checks and the 128 transfers that these take.  Departures: trees of ePrint 2022/1431,
         where a receiver's choices are its ways and it sends nothing, so that from the second iteration on
         its errors are at pseudorandom places (by the assumption on the iteration before); the rows of a
         block lie between those of others; each iteration has rows of A of its own; what is kept for the next
         one comes from the first trees, not the last, so that many calls may be under way at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mpc.bits import words_for
from mpc.prg import Stream
from mpc.ring import BITS, NDArray, RingArray, Spec
from mpc.rounds import exchange
from mpc.seat import Seat
from protocols.ot import extension
from protocols.ot.extension import Received, Sent
from protocols.ot.ggm import Trees, at_once, missing
from protocols.ot.hashing import Hash
from protocols.ot.lpn import MAIN, START, Code, Parameters

_ROW = 2  # words of a row
_EVEN = np.array([2**64 - 2, 2**64 - 1], np.uint64)


class _Iteration:
    """The transfers that an iteration takes: of the secret, then of the trees' levels."""

    __slots__ = ("complete", "keys", "parameters", "secret")

    def __init__(self, parameters: Parameters, base: NDArray, *, complete: bool) -> None:
        self.parameters = parameters
        self.secret, keys = base[: parameters.secret], base[parameters.secret : parameters.base]
        self.keys = keys.reshape(parameters.trees, parameters.depth, _ROW).swapaxes(0, 1)
        # whether more is there of a receiver's rows than the lowest bit
        self.complete = complete


@dataclass(slots=True, repr=False)
class _Run:
    """Trees that grow together, and where their leaves go."""

    iteration: _Iteration
    keys: NDArray  # rows of their levels (depth, trees, 2)
    first: int  # row of A
    out: NDArray
    fills: _Iteration | None = None  # what is complete when this is
    # whether all but the lowest bits must be encoded once more
    again: bool = False


class _End:
    """One end of one direction.  Both ends go through the same trees in the same order."""

    def __init__(self, context: bytes, base: NDArray) -> None:
        context = b"silent" + context
        self._trees, self._code, self._hash = Trees(context), Code(context), Hash(context)
        self._now = self._next = _Iteration(START, base, complete=True)
        self._left = 0  # trees of this iteration
        self._row = self._count = 0

    def _take(self, words: int) -> tuple[list[_Run], NDArray]:
        """The next trees, for 64·words transfers and, where an iteration begins, for those that the one after
        it takes.
        """
        runs: list[_Run] = []
        rows, at = np.empty((64 * words + MAIN.leaves, _ROW), np.uint64), 0
        while at < 64 * words:
            if not self._left:
                runs += self._begin()
            leaves = self._now.parameters.leaves
            trees = min(self._left, -(-(64 * words - at) // leaves))
            runs += self._runs(rows[at : at + trees * leaves])
            at += trees * leaves
        return runs, rows[: 64 * words]

    def _begin(self) -> list[_Run]:
        self._now, self._left = self._next, self._next.parameters.trees
        leaves = self._now.parameters.leaves
        base = np.empty((-(-MAIN.base // leaves) * leaves, _ROW), np.uint64)
        runs, self._next = self._runs(base), _Iteration(MAIN, base, complete=False)
        runs[-1].fills = self._next
        return runs

    def _runs(self, out: NDArray) -> list[_Run]:
        p, runs = self._now.parameters, []
        for lo in range(0, len(out), at_once(p.depth) * p.leaves):
            part = out[lo : lo + at_once(p.depth) * p.leaves]
            trees, tree = len(part) // p.leaves, p.trees - self._left
            runs.append(_Run(self._now, self._now.keys[:, tree : tree + trees], self._row, part))
            self._left -= trees
            self._row += len(part)
        return runs

    def _counted(self, n: int) -> int:
        """The number of the first of n transfers."""
        first, self._count = self._count, self._count + n
        return first


class Sender(_End):
    """The end that holds Δ."""

    def __init__(self, context: bytes, base: Sent, own: Stream) -> None:
        super().__init__(context, base.rows & _EVEN)
        self.delta, self._own = base.delta, own

    def expand(self, words: int) -> tuple[NDArray, NDArray]:
        """Rows of the next 64·words transfers, and what to send."""
        runs, rows = self._take(words)
        sums = np.empty((sum(run.keys[..., 0].size for run in runs), _ROW), np.uint64)
        at = 0
        for run in runs:
            roots = self._own.draw(Spec(BITS, run.keys[0].shape)).data
            part, at = sums[at : at + run.keys[..., 0].size], at + run.keys[..., 0].size
            part[:] = (self._trees.grow(roots, self.delta, run.out) ^ run.keys).reshape(-1, _ROW)
            self._code.add(run.iteration.secret, run.first, run.out)
        return rows, sums

    def batch(self, rows: NDArray, differences: NDArray | None = None) -> Sent:
        """Rows of the receiver's choices, if it chose."""
        from protocols.ot import silent_kernels

        if differences is not None:
            silent_kernels.adapt(rows, differences, self.delta)
        return Sent(rows, self.delta, self._counted(len(rows)), self._hash)


@dataclass(frozen=True, slots=True, repr=False)
class _Asked:
    """Transfers whose rows lack all but their lowest bits."""

    runs: list[_Run]
    rows: NDArray
    choices: NDArray
    differences: NDArray  # from the random choices
    sums: Spec  # what must arrive


class Receiver(_End):
    """The end that makes choices."""

    def __init__(self, context: bytes, base: Received) -> None:
        from protocols.ot import silent_kernels

        rows = base.rows & _EVEN
        silent_kernels.adapt(rows, base.choices, np.array([1, 0], np.uint64))
        super().__init__(context, rows)

    def choose(self, choices: NDArray | int) -> _Asked:
        """For words of choices, or so many random ones."""
        from protocols.ot import silent_kernels

        words = choices if isinstance(choices, int) else len(choices)
        runs, rows = self._take(words)
        for run in runs:
            self._encode(run)
            run.again = not run.iteration.complete
        random = np.empty(words, np.uint64)
        silent_kernels.lowest(rows, random)
        sums = Spec(BITS, (sum(run.keys[..., 0].size for run in runs), _ROW))
        chosen = random if isinstance(choices, int) else choices
        return _Asked(runs, rows, chosen, random ^ chosen, sums)

    def batch(self, asked: _Asked, sums: NDArray) -> Received:
        """``sums``: what the sender sent."""
        at = 0
        for run in asked.runs:
            assert run.iteration.complete, "what was asked for first is completed first"
            if run.again:
                self._encode(run)
            part, at = sums[at : at + run.keys[..., 0].size], at + run.keys[..., 0].size
            self._trees.regrow(run.keys, part.reshape(run.keys.shape), run.out)
            if run.fills is not None:
                run.fills.complete = True
        return Received(asked.choices, asked.rows, self._counted(len(asked.rows)), self._hash)

    def _encode(self, run: _Run) -> None:
        """Rows without the leaves, but for their lowest bits: the errors."""
        from protocols.ot import silent_kernels

        silent_kernels.noise(missing(run.keys), run.out)
        self._code.add(run.iteration.secret, run.first, run.out)


@dataclass(frozen=True, slots=True, repr=False)
class _Link:
    """What one party has set up with one other: both directions."""

    sender: Sender
    receiver: Receiver


class Silent:
    """Silent links.  One round."""

    def __init__(self, links: Mapping[int, _Link]) -> None:
        self._links = links

    @property
    def peers(self) -> list[int]:
        return list(self._links)

    async def extend(
        self, choose: Mapping[int, NDArray | int], serve: Mapping[int, int], *, random: bool = False
    ) -> tuple[dict[int, Received], dict[int, Sent]]:
        """As ``extension.Links`` says."""
        asked = {p: self._links[p].receiver.choose(choice) for p, choice in choose.items()}
        served = {p: self._links[p].sender.expand(words) for p, words in serve.items()}
        send = {p: [sums] for p, (_, sums) in served.items()}
        recv = {p: [a.sums] for p, a in asked.items()}
        if not random:
            for p, a in asked.items():
                send.setdefault(p, []).append(a.differences)
            for p, words in serve.items():
                recv.setdefault(p, []).append(Spec(BITS, (words,)))
        inbox = await exchange(
            {p: tuple(RingArray(BITS, x) for x in arrays) for p, arrays in send.items()},
            {p: tuple(specs) for p, specs in recv.items()},
            "silent transfers",
        )
        return (
            {p: self._links[p].receiver.batch(a, inbox[p][0].data) for p, a in asked.items()},
            {
                p: self._links[p].sender.batch(rows, None if random else inbox[p][-1].data)
                for p, (rows, _) in served.items()
            },
        )


async def connect(seat: Seat, k: int) -> Silent:
    """The first iteration's transfers, in both directions with every other party, by extension.  Three
    rounds.
    """
    links, words = await extension.connect(seat, k), words_for(START.base)
    every = dict.fromkeys(links.peers, words)
    received, sent = await links.extend(every, every, random=True)
    return Silent(
        {
            p: _Link(
                Sender(extension.direction(seat, seat.rank, p), sent[p], seat.own),
                Receiver(extension.direction(seat, p, seat.rank), received[p]),
            )
            for p in links.peers
        }
    )
