"""Silent transfers: parameters, code, trees and iterations against their definitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from itertools import pairwise
from math import lgamma, log, log2
from typing import Any

import numpy as np
import pytest
from conftest import stream, words
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_ot import bits, tampered, uniform

from mpc.bits import words_for
from mpc.errors import MpcError
from mpc.ring import BITS, Z64, RingArray
from mpc.rounds import Recorder, gather, simulate
from mpc.seat import take_seat
from protocols.ot import ggm, lpn, silent, silent_kernels
from protocols.ot.extension import Links, Received, Sent, receive_chosen, send_chosen
from protocols.ot.lpn import MAIN, START, Code, Parameters

ALL = np.uint64(2**64 - 1)
EVEN = np.uint64(2**64 - 2)


def linked(main: Callable[[int, Links], Any], seed: int = 1, parties: int = 2, **options: Any) -> list[Any]:
    async def side(rank: int) -> Any:
        return await main(
            rank, await silent.connect(await take_seat(rank, parties, stream(seed, f"party {rank}")), 4)
        )

    return simulate(*(side(rank) for rank in range(parties)), **options)


def asks(rank: int, choices: np.ndarray | int) -> tuple[Any, Any, bool]:
    """Party 0 sends, party 1 chooses."""
    n, random = (choices, True) if isinstance(choices, int) else (len(choices), False)
    return {0: choices} if rank else {}, {} if rank else {1: n}, random


def transfers(requests: list[np.ndarray | int], **options: Any) -> list[tuple[Sent, Received]]:
    """One call after the other."""

    async def main(rank: int, links: Links) -> Any:
        out = []
        for choices in requests:
            choose, serve, random = asks(rank, choices)
            received, sent = await links.extend(choose, serve, random=random)
            out.append(received[0] if rank else sent[1])
        return out

    return list(zip(*linked(main, **options), strict=True))


def holds(sent: Sent, received: Received, choices: np.ndarray | int) -> None:
    """The definition of correlated transfers, and of the random ones made of them."""
    n = choices if isinstance(choices, int) else len(choices)
    assert sent.rows.shape == received.rows.shape == (64 * n, 2) and sent.first == received.first
    assert isinstance(choices, int) or (received.choices == choices).all()
    u = bits(received.choices)[:, None]
    assert (received.rows == np.where(u, sent.rows ^ sent.delta, sent.rows)).all()
    h0, h1 = sent.pads()
    assert (received.pads() == np.where(u, h1, h0)).all() and not (h0 == h1).all(axis=1).any()


@contextmanager
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Iterations that are soon over: of 48 and 480 transfers for use."""
    with monkeypatch.context() as patch:
        patch.setattr(silent, "START", Parameters(12, 4, 5))
        patch.setattr(silent, "MAIN", Parameters(20, 5, 5))
        yield


# -- parameters ------------------------------------------------------------------------------------


def test_parameters_are_those_of_emp_ot() -> None:
    """v1.0.0-alpha, emp-ot/tuning.h:
    ferret_b10 and ferret_b12, less 128 transfers for the malicious check.
    """
    assert (START.trees, START.log_secret, START.depth, START.n) == (850, 16, 10, 870_400)
    assert (MAIN.trees, MAIN.log_secret, MAIN.depth, MAIN.n) == (1520, 18, 12, 6_225_920)
    assert (START.base, MAIN.base) == (65_536 + 8_500, 262_144 + 18_240) and lpn.PLACES == 10


@pytest.mark.parametrize("p", [START, MAIN])
def test_iterations_feed_each_other(p: Parameters) -> None:
    kept = -(-MAIN.base // p.leaves)
    assert kept < p.trees and p.leaves % 64 == 0 and p.leaves <= MAIN.leaves
    # bytes per transfer
    assert 16 * p.depth * p.trees / ((p.trees - kept) * p.leaves) < (0.05 if p is MAIN else 0.25)


def binomial(n: int, k: int) -> float:
    return (lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)) / log(2)


@pytest.mark.parametrize(("p", "security"), [(START, 139.6), (MAIN, 144.2)])
def test_guessing_rows_without_errors_costs_more_than_2_to_the_128(p: Parameters, security: float) -> None:
    """ePrint 2022/712: k − t rows without errors and an inversion, where each block's parity is known; the
    cheapest of the old attacks.
    """
    n, k, t = p.n - p.trees, p.secret - p.trees, p.trees
    cost = 2.8 * log2(k) + binomial(n, t) - binomial(n - k, t)
    assert cost > 128 and abs(cost - security) < 0.05


# -- transfers -------------------------------------------------------------------------------------


@settings(max_examples=6)
@given(st.lists(st.tuples(st.integers(1, 5000), st.booleans()), min_size=1, max_size=3), st.integers(0, 99))
@example([(1, False), (127, True), (128, False), (129, True)], 0)
@example([(4096 * 64, False), (1, False), (64 * 5000, True)], 1)
def test_rows_differ_by_delta_where_the_choice_is_one(sizes: list[tuple[int, bool]], seed: int) -> None:
    requests = [
        words_for(n) if random else words(Z64, words_for(n), seed + i) for i, (n, random) in enumerate(sizes)
    ]
    batches = transfers(requests, seed=seed)
    for (sent, received), choices in zip(batches, requests, strict=True):
        holds(sent, received, choices)
    numbers = np.cumsum([0] + [64 * (r if isinstance(r, int) else len(r)) for r in requests])
    assert [sent.first for sent, _ in batches] == list(numbers[:-1])


def test_a_million_transfers_across_iterations() -> None:
    """More than the first iteration has:
    the second begins, and is at work before its transfers are complete.
    """
    ((sent, received),) = transfers([words_for(10**6)])
    holds(sent, received, words_for(10**6))
    u = bits(received.choices)
    assert len(u) >= 10**6 and abs(u.mean() - 0.5) < 0.003
    assert uniform(sent.rows[:, 1]) and uniform(sent.rows[1:, 1] ^ sent.rows[:-1, 1])
    other = sent.rows ^ np.where(u[:, None], 0, sent.delta)
    assert (
        uniform(other[:, 1])
        and uniform(sent.hash.keys(other))
        and uniform(sent.hash.keys(other) ^ received.keys())
    )
    assert uniform(received.choices) and uniform(received.choices[1:] ^ received.choices[:-1])


@settings(max_examples=8)
@given(
    st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=6), min_size=1, max_size=4), st.integers(0, 99)
)
@example([[40] * 6, [1], [40]], 0)
def test_many_calls_under_way(calls: list[list[int]], seed: int) -> None:
    """Side by side, over several iterations none of which was complete when the first call was sent."""

    async def one(rank: int, links: Links, choices: np.ndarray) -> Any:
        choose, serve, _ = asks(rank, choices)
        received, sent = await links.extend(choose, serve)
        return received[0] if rank else sent[1]

    async def main(rank: int, links: Links) -> Any:
        return [
            batch
            for sizes in calls
            for batch in await gather(*(one(rank, links, words(Z64, n, n)) for n in sizes))
        ]

    with pytest.MonkeyPatch.context() as patch, small(patch):
        results = list(zip(*linked(main, seed=seed), strict=True))
    for (sent, received), n in zip(results, [n for sizes in calls for n in sizes], strict=True):
        holds(sent, received, words(Z64, n, n))
    rows = np.concatenate([sent.rows[:, 1] for sent, _ in results])
    assert len(np.unique(rows)) == len(rows)  # also between iterations
    firsts = [(sent.first, len(sent.rows)) for sent, _ in results]
    assert all(a + n == b for (a, n), (b, _) in pairwise(firsts))


@pytest.mark.parametrize("parties", [2, 3])
def test_everybody_with_everybody(parties: int) -> None:
    async def main(rank: int, links: Links) -> Any:
        mine = {p: words(Z64, 3, 10 * rank + p) for p in links.peers}
        return await links.extend(mine, dict.fromkeys(mine, 3))

    results = linked(main, parties=parties)
    for rank, (received, _) in enumerate(results):
        for p, batch in received.items():
            holds(results[p][1][rank], batch, words(Z64, 3, 10 * rank + p))
    assert len({sent.delta.tobytes() for _, sents in results for sent in sents.values()}) == parties * (
        parties - 1
    )


@pytest.mark.parametrize("n", [1, 127, 128, 129])
def test_chosen_transfers_give_the_chosen_message(n: int) -> None:
    choices = bits(words(Z64, words_for(n), n))[:n]
    messages = RingArray(BITS, words(Z64, (n, 3), 2)), RingArray(BITS, words(Z64, (n, 3), 3))

    async def main(rank: int, links: Links) -> Any:
        return await receive_chosen(links, 0, choices, 3) if rank else await send_chosen(links, 1, messages)

    assert (linked(main)[1].data == np.where(choices[:, None], messages[1].data, messages[0].data)).all()


# -- what each side sees ---------------------------------------------------------------------------


def test_what_is_sent_is_uniform_whatever_is_chosen() -> None:
    for choice in (0, 2**64 - 1):
        recorder = Recorder()
        transfers([np.full(1024, choice, np.uint64)], record=recorder)
        (asked,) = [m.arrays[0].data for m in recorder.view(0) if m.tag == "silent transfers"]
        assert asked.shape == (1024,) and uniform(asked) and uniform(asked[1:] ^ asked[:-1])
        (sums,) = [m.arrays[0].data for m in recorder.view(1) if m.tag == "silent transfers"]
        assert uniform(sums) and uniform(sums[1:] ^ sums[:-1]) and len(np.unique(sums[:, 1])) == len(sums)


def test_random_choices_cost_the_receiver_nothing() -> None:
    recorder = Recorder()
    transfers([1024], record=recorder)
    assert not any(m.arrays for m in recorder.view(0) if m.tag == "silent transfers")
    ((sums,),) = [m.arrays for m in recorder.view(1) if m.tag == "silent transfers"]
    trees = -(-MAIN.base // START.leaves) + 64
    assert sums.spec.nbytes == 16 * START.depth * trees


def test_nothing_comes_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Roots of trees and rows of the code, over both directions, iterations and sessions."""
    roots: list[np.ndarray] = []
    coded: dict[tuple[bytes, int], int] = {}
    grow, add = ggm.Trees.grow, lpn.Code.add

    def growing(self: Any, r: np.ndarray, *rest: Any) -> Any:
        roots.append(r)
        return grow(self, r, *rest)

    def adding(self: Any, table: np.ndarray, first: int, out: np.ndarray) -> None:
        for i in range(first, first + len(out)):
            coded[self._key.key, i] = coded.get((self._key.key, i), 0) + 1
        add(self, table, first, out)

    monkeypatch.setattr(ggm.Trees, "grow", growing)
    monkeypatch.setattr(lpn.Code, "add", adding)

    async def main(rank: int, links: Links) -> Any:
        other = 1 - rank
        return [await links.extend({other: 20}, {other: 20}, random=True) for _ in range(4)]

    with small(monkeypatch):
        first = linked(main, seed=1)
        n = len(coded)
        second = linked(main, seed=2)
    assert len(np.unique(np.concatenate(roots), axis=0)) == sum(map(len, roots)) > 400
    assert len(coded) == 2 * n and n > 2 * 4 * 1280
    sent = np.concatenate(
        [
            s.rows[:, 1]
            for results in (first, second)
            for calls in results
            for _, sents in calls
            for s in sents.values()
        ]
    )
    assert len(np.unique(sent)) == len(sent) == 2 * 2 * 4 * 1280
    keys = {
        s.hash.key
        for results in (first, second)
        for calls in results
        for _, sents in calls
        for s in sents.values()
    }
    assert len(keys) == 4


@pytest.mark.parametrize("receiver", [0, 1])
def test_messages_of_a_wrong_length_are_refused(receiver: int) -> None:
    def shorter(message: Any) -> Any:
        short = message.tag == "silent transfers" and message.receiver == receiver
        return tuple(a[:-1] for a in message.arrays) if short else message.arrays

    with pytest.raises(MpcError, match="other arrays than it expects"):
        transfers([words(Z64, 2, 1)], tamper=shorter)


def test_other_sums_give_other_keys() -> None:
    """A sender that departs from the protocol is not caught, as is said: its receiver's keys are none of
    both.
    """

    def flip(data: np.ndarray) -> None:
        data[:] ^= np.uint64(2)

    ((sent, received),) = transfers([16], tamper=tampered("silent transfers", flip))
    h0, h1 = sent.keys()
    assert ((received.keys() != h0) & (received.keys() != h1)).all(axis=1).sum() > 500


def test_nothing_secret_is_printed() -> None:
    ((sent, received),) = transfers([1])
    for x in (sent, received):
        assert "array" not in repr(x)


def test_known_answers() -> None:
    """Of fixed seeds, as they were when this was written: two versions that differ here do not understand
    each other.
    """
    with pytest.MonkeyPatch.context() as patch, small(patch):
        ((sent, received),) = transfers([words(Z64, 30, 1)])
    out, leaves = np.zeros((1000, 2), np.uint64), np.empty((1 << 12, 2), np.uint64)
    Code(b"here").add(np.arange(1 << 17, dtype=np.uint64).reshape(-1, 2), 0, out)
    sums = ggm.Trees(b"here").grow(np.array([[1, 2]], np.uint64), np.array([3, 4], np.uint64), leaves)
    known = {
        "8d682f351bf8222e": sent.rows,
        "6f0486c456dfc582": received.pads(),
        "b71fb9ae9400226b": out,
        "c749010e5b197505": sums,
    }
    for digest, data in known.items():
        assert blake2b(data.tobytes(), digest_size=8).hexdigest() == digest


# -- code ------------------------------------------------------------------------------------------


def matrix(key: bytes, rows: int, k: int) -> np.ndarray:
    """The dense A: from AES in counter mode, 40 bytes a row."""
    said = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(40 * rows))
    a = np.zeros((rows, k), bool)
    for i, places in enumerate(np.frombuffer(said, "<u4").reshape(rows, 10) % k):
        for at in places:
            a[i, at] ^= True
    return a


@pytest.mark.parametrize("first", [0, 2, 6000])
def test_the_code_is_a_matrix(first: int) -> None:
    code, table = Code(b"here"), words(Z64, (64, 2), 1)
    out = words(Z64, (5000, 2), 2)
    a = matrix(blake2b(b"here", digest_size=16, person=b"mpc/1 LPN code").digest(), first + 5000, 64)[first:]
    expected = out ^ np.array([np.bitwise_xor.reduce(table[row], axis=0) for row in a])
    code.add(table, first, out)
    assert (out == expected).all()


def test_the_code_of_a_session_is_its_own() -> None:
    table, here, there = words(Z64, (64, 2), 1), np.zeros((100, 2), np.uint64), np.zeros((100, 2), np.uint64)
    Code(b"here").add(table, 0, here)
    Code(b"there").add(table, 0, there)
    assert not (here == there).all(axis=1).any()


# -- trees -----------------------------------------------------------------------------------------


def leaves_of(context: bytes, root: np.ndarray, delta: np.ndarray, depth: int) -> list[np.ndarray]:
    """All levels of one tree, node by node, after the paper."""
    pi = Cipher(
        algorithms.AES(blake2b(context, digest_size=16, person=b"mpc/1 GGM tree").digest()), modes.ECB()
    ).encryptor()

    def h(x: np.ndarray) -> np.ndarray:
        crossed = np.array([x[0] ^ x[1], x[0]])
        return np.frombuffer(pi.update(crossed.tobytes()), np.uint64) ^ crossed

    levels = [np.array([root, root ^ delta])]
    for _ in range(1, depth):
        left = np.array([h(x) for x in levels[-1]])
        levels.append(np.concatenate([left, left ^ levels[-1]]))
    levels[-1] = levels[-1] & np.array([EVEN, ALL])
    return levels


@pytest.mark.parametrize("depth", [2, 5])
def test_a_tree_lacks_the_leaf_at_any_place(depth: int) -> None:
    """As many trees as leaves, tree i without its leaf i: grown node by node, all at once, and by the
    receiver.
    """
    n = 1 << depth
    roots, delta = words(Z64, (n, 2), 1), words(Z64, 2, 2) | np.array([1, 0], np.uint64)
    levels = [leaves_of(b"here", root, delta, depth) for root in roots]
    trees, leaves = ggm.Trees(b"here"), np.empty((n * n, 2), np.uint64)
    sums = trees.grow(roots, delta, leaves)
    assert (leaves.reshape(n, n, 2).swapaxes(0, 1) == np.array([tree[-1] for tree in levels])).all()
    for level in range(depth):
        kept = np.array([EVEN, ALL]) if level == depth - 1 else ALL
        for i, tree in enumerate(levels):
            assert (np.bitwise_xor.reduce(tree[level]) == delta & kept).all()
            assert (np.bitwise_xor.reduce(tree[level][: 1 << level]) == sums[level, i]).all()

    q = words(Z64, (depth, n, 2), 3) & np.array([EVEN, ALL])
    ways = (np.arange(n) >> np.arange(depth)[:, None]) & 1
    keys = q ^ np.where(ways[..., None] == 0, delta, np.uint64(0))
    assert (ggm.missing(keys) == np.arange(n)).all()
    out = words(Z64, (n * n, 2), 4)
    expected = out ^ leaves
    expected.reshape(n, n, 2)[np.arange(n), np.arange(n)] ^= delta & np.array([EVEN, ALL])
    trees.regrow(keys, sums ^ q, out)
    assert (out == expected).all()


# -- kernels ---------------------------------------------------------------------------------------


def test_encode() -> None:
    places, table, out = words(Z64, 70, 1).astype(np.uint32), words(Z64, (16, 2), 2), words(Z64, (7, 2), 3)
    expected = out ^ np.bitwise_xor.reduce(table[(places & 15).reshape(7, 10)], axis=1)
    silent_kernels.encode(places, np.uint32(15), table, out)
    assert (out == expected).all()


def test_crossed() -> None:
    x, out = words(Z64, (9, 2), 1), np.empty((9, 2), np.uint64)
    silent_kernels.crossed(x, out)
    assert (out == np.stack([x[:, 0] ^ x[:, 1], x[:, 0]], axis=1)).all()


@pytest.mark.parametrize("keep", [ALL, EVEN])
def test_grow(keep: np.uint64) -> None:
    p, c, nodes, sums = (
        words(Z64, (12, 2), 1),
        words(Z64, (12, 2), 2),
        words(Z64, (24, 2), 3),
        np.empty((3, 2), np.uint64),
    )
    mask = np.array([keep, ALL])
    left, right = (p ^ c) & mask, (nodes[:12] ^ p ^ c) & mask
    silent_kernels.grow(p, c, keep, nodes, sums)
    assert (nodes == np.concatenate([left, right])).all()
    assert (sums == np.bitwise_xor.reduce(left.reshape(4, 3, 2))).all()


def test_mended() -> None:
    nodes, siblings, places, out = (
        words(Z64, (12, 2), 1),
        words(Z64, (3, 2), 2),
        np.array([0, 3, 2]),
        np.empty((12, 2), np.uint64),
    )
    expected = nodes.reshape(4, 3, 2).copy()
    expected[places, np.arange(3)] ^= siblings
    silent_kernels.mended(nodes, siblings, places, out)
    assert (nodes == expected.reshape(12, 2)).all()
    assert (out == np.stack([nodes[:, 0] ^ nodes[:, 1], nodes[:, 0]], axis=1)).all()


@pytest.mark.parametrize("keep", [ALL, EVEN])
def test_regrow(keep: np.uint64) -> None:
    p, c, nodes, sums = (
        words(Z64, (12, 2), 1),
        words(Z64, (12, 2), 2),
        words(Z64, (24, 2), 3),
        words(Z64, (3, 2), 4),
    )
    missing, ways, every, mask = np.array([0, 3, 1]), np.array([1, 0, 1]), np.arange(3), np.array([keep, ALL])
    children = np.concatenate([p ^ c, nodes[:12] ^ p ^ c]).reshape(2, 4, 3, 2) & mask
    children[:, missing, every] = 0
    sides = np.bitwise_xor.reduce(children, axis=1)
    beside = (sides[ways, every] ^ sums) & mask
    siblings, totals, places, left = (
        np.empty((3, 2), np.uint64),
        np.empty((3, 2), np.uint64),
        np.empty(3, np.int64),
        missing.copy(),
    )
    silent_kernels.regrow(p, c, keep, nodes, left, ways, sums, siblings, places, totals)
    assert (nodes == children.reshape(24, 2)).all() and (siblings == beside).all()
    assert (totals == np.bitwise_xor.reduce(sides) ^ beside).all()
    assert (places == missing + 4 * ways).all() and (left == missing + 4 * (1 - ways)).all()


def test_settle_and_noise() -> None:
    nodes, siblings, totals = words(Z64, (12, 2), 1), words(Z64, (3, 2), 2), words(Z64, (3, 2), 3)
    places, missing, out, every = (
        np.array([0, 3, 1]),
        np.array([2, 1, 0]),
        words(Z64, (12, 2), 4),
        np.arange(3),
    )
    expected = (out ^ nodes).reshape(4, 3, 2)
    expected[places, every] ^= siblings
    expected[missing, every] ^= totals
    silent_kernels.settle(nodes, siblings, places, totals, missing, out)
    assert (out == expected.reshape(12, 2)).all()
    silent_kernels.noise(missing, out)
    alone = np.zeros((4, 3, 2), np.uint64)
    alone[missing, every, 0] = 1
    assert (out == alone.reshape(12, 2)).all()


def test_lowest_and_adapt() -> None:
    rows, differences, delta, lowest = (
        words(Z64, (192, 2), 1),
        words(Z64, 3, 2),
        words(Z64, 2, 3),
        np.empty(3, np.uint64),
    )
    silent_kernels.lowest(rows, lowest)
    assert (bits(lowest) == (rows[:, 0] & np.uint64(1)).astype(bool)).all()
    expected = np.where(bits(differences)[:, None], rows ^ delta, rows)
    silent_kernels.adapt(rows, differences, delta)
    assert (rows == expected).all()
