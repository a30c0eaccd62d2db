"""Oblivious transfers against their definition, and against whoever does not follow the protocol."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, reduce
from operator import add
from typing import Any

import numpy as np
import pytest
from conftest import stream, words
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nacl import bindings as sodium
from scipy import stats

from mpc.bits import words_for
from mpc.errors import CheatError, MpcError, WireError
from mpc.ring import BITS, Z32, Z64, Ring, RingArray, Spec
from mpc.rounds import Message, Recorder, simulate
from mpc.seat import take_seat
from protocols.bilinear import MATMUL, MULTIPLY, Bilinear
from protocols.ot import base, matrix_kernels, networks, products, row_kernels, vole
from protocols.ot.extension import WIDTH, Links, Received, Sent, connect, receive_chosen, send_chosen
from protocols.ot.hashing import Hash
from protocols.ot.products import cross


def bits(packed: np.ndarray) -> np.ndarray:
    return np.unpackbits(np.ascontiguousarray(packed).view(np.uint8), bitorder="little").astype(bool)


def uniform(data: np.ndarray) -> bool:
    """Whether bytes look uniform."""
    return bool(
        stats.chisquare(
            np.bincount(np.ascontiguousarray(data).view(np.uint8).reshape(-1), minlength=256)
        ).pvalue
        > 1e-6
    )


def linked(
    parties: int,
    k: int,
    main: Callable[[int, Links], Any],
    seed: int = 1,
    *,
    check: bool = False,
    **options: Any,
) -> list[Any]:
    """``main(rank, links)`` at all parties after the base transfers."""

    async def side(rank: int) -> Any:
        seat = await take_seat(rank, parties, stream(seed, f"party {rank}"))
        return await main(rank, await connect(seat, k, check=check))

    return simulate(*(side(rank) for rank in range(parties)), **options)


def transfers(
    k: int, choices: np.ndarray | int, *, check: bool = False, **options: Any
) -> tuple[Sent, Received]:
    """Party 0 sends, party 1 chooses."""

    async def main(rank: int, links: Links) -> Any:
        n, random = (choices, True) if isinstance(choices, int) else (len(choices), False)
        received, sent = await links.extend(
            {0: choices} if rank else {}, {} if rank else {1: n}, random=random
        )
        return received[0] if rank else sent[1]

    sent, received = linked(2, k, main, check=check, **options)
    return sent, received


# -- base transfers --------------------------------------------------------------------------------


@cache
def base_pair() -> tuple[base.Sender, base.Receiver, np.ndarray]:
    choices = bits(words(Z64, 1, 3))[:20].astype(np.uint8)
    return base.Sender(b"here", 20, stream(1, "s")), base.Receiver(b"here", choices, stream(1, "r")), choices


def test_a_base_transfer_gives_the_key_of_ones_choice_and_not_the_other() -> None:
    sender, receiver, choices = base_pair()
    both, mine = sender.keys(receiver.message), receiver.keys(sender.message)
    every = np.arange(20)
    assert (both[every, choices] == mine).all() and not (both[every, 1 - choices] == mine).any()
    assert len(np.unique(both[..., 0])) == 40


def test_base_transfers_of_another_session_or_at_another_place_give_other_keys() -> None:
    """A message that is sent again elsewhere is of no use."""
    sender, receiver, choices = base_pair()
    elsewhere = base.Receiver(b"there", choices, stream(1, "r"))
    mine = elsewhere.keys(sender.message)
    assert not (sender.keys(elsewhere.message)[np.arange(20), choices] == mine).any()
    swapped = RingArray(Z64, receiver.message.data[::-1])
    assert not (
        sender.keys(swapped)[np.arange(20), choices[::-1]] == receiver.keys(sender.message)[::-1]
    ).any()


ONE = sodium.crypto_scalarmult_ed25519_base_noclamp((1).to_bytes(32, "little"))
ORDER_2 = (2**255 - 20).to_bytes(32, "little")
BAD = {
    "of order 1": (1).to_bytes(32, "little"),
    "of order 2": ORDER_2,
    "of order 4": bytes(32),
    "of order 8": bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    "of twice the group's order": sodium.crypto_core_ed25519_add(ONE, ORDER_2),
    "not on the curve": (2).to_bytes(32, "little"),
    "not in its one encoding": (2**255 - 19 + 1).to_bytes(32, "little"),
    "minus zero": (2**255 + 1).to_bytes(32, "little"),
    "random bytes off the curve": (7).to_bytes(32, "little"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_sender_of_bad_points_is_refused(bad: str) -> None:
    sender, receiver, _ = base_pair()
    data = sender.message.data.copy()
    data[7] = np.frombuffer(BAD[bad], np.uint64)
    with pytest.raises(WireError, match="no point of the group"):
        receiver.keys(Z64(data))


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("bad", [b for b in BAD if b != "of order 1"])
def test_a_receiver_of_bad_points_is_refused(bad: str, which: int) -> None:
    sender, receiver, _ = base_pair()
    data = receiver.message.data.copy()
    data[7, which] = np.frombuffer(BAD[bad], np.uint64)
    with pytest.raises(WireError, match="no point of the group"):
        sender.keys(Z64(data))


def test_base_messages_of_a_wrong_length_are_refused() -> None:
    sender, receiver, _ = base_pair()
    for wrong in (receiver.message[:19], receiver.message[:, 0], sender.message):
        with pytest.raises(WireError, match="arrived instead of"):
            sender.keys(wrong)


def test_a_receivers_points_tell_nothing_of_its_choice() -> None:
    """Seen from the sender: neither point of a pair is more often the smaller one,
    whatever the choices are.
    """
    for choice in (0, 1):
        receiver = base.Receiver(b"", np.full(400, choice), stream(5, "r"))
        first, second = receiver.message.data[:, 0, 0], receiver.message.data[:, 1, 0]
        assert 140 < (first < second).sum() < 260
        assert uniform(receiver.message.data[:, :, :3])


# -- extension -------------------------------------------------------------------------------------


@settings(max_examples=8)
@given(st.sampled_from([1, 2, 4, 8]), st.integers(1, 40), st.booleans(), st.integers(0, 99))
@example(1, 2, True, 0)
@example(4, 3, False, 1)
@example(1, 1, False, 2)
def test_rows_differ_by_delta_where_the_choice_is_one(k: int, n: int, random: bool, seed: int) -> None:
    chosen = words(Z64, n, seed)
    sent, received = transfers(k, n if random else chosen, seed=seed)
    assert sent.rows.shape == received.rows.shape == (64 * n, 2) and (
        random or (received.choices == chosen).all()
    )
    u = bits(received.choices)[:, None]
    assert (received.rows == np.where(u, sent.rows ^ sent.delta, sent.rows)).all()
    h0, h1 = sent.pads()
    assert (received.pads() == np.where(u, h1, h0)).all() and not (h0 == h1).all(axis=1).any()
    assert len(np.unique(np.concatenate([h0, h1])[:, 0])) == 128 * n


@settings(max_examples=6)
@given(
    st.integers(1, 300),
    st.integers(1, 5),
    st.sampled_from([(1, False), (1, True), (4, False)]),
    st.integers(0, 99),
)
@example(1, 1, (4, False), 0)
@example(127, 2, (1, True), 1)
@example(128, 3, (4, False), 2)
@example(129, 1, (1, False), 3)
def test_chosen_transfers_give_the_chosen_message(n: int, m: int, way: tuple[int, bool], seed: int) -> None:
    k, check = way
    choices = bits(words(Z64, words_for(n), seed))[:n]
    messages = RingArray(BITS, words(Z64, (n, m), seed + 1)), RingArray(BITS, words(Z64, (n, m), seed + 2))

    async def main(rank: int, links: Links) -> Any:
        if rank == 0:
            return await send_chosen(links, 1, messages)
        return await receive_chosen(links, 0, choices, m)

    got = linked(2, k, main, seed=seed, check=check)[1]
    assert (got.data == np.where(choices[:, None], messages[1].data, messages[0].data)).all()


@pytest.mark.parametrize(("k", "check"), [(1, True), (4, False)])
def test_a_million_transfers(k: int, check: bool) -> None:
    sent, received = transfers(k, words_for(10**6), check=check)
    u = bits(received.choices)[:, None]
    h0, h1 = sent.pads()
    assert len(u) >= 10**6 and (received.pads() == np.where(u, h1, h0)).all()
    assert abs(u.mean() - 0.5) < 0.003
    assert uniform(h0) and uniform(h1) and uniform(h0 ^ h1)


def test_the_chosen_keys_say_nothing_of_the_others() -> None:
    """To the receiver, each other key is uniform: on its own, and against the one it has and its row."""
    sent, received = transfers(4, 1024)
    u, (h0, h1) = bits(received.choices)[:, None], sent.pads()
    other = np.where(u, h0, h1)
    assert uniform(other) and uniform(other ^ received.pads()) and uniform(other ^ received.rows)


@pytest.mark.parametrize("k", [1, 4])
def test_what_a_receiver_sends_is_uniform_whatever_it_chooses(k: int) -> None:
    for choice in (0, 2**64 - 1):
        recorder = Recorder()
        transfers(k, np.full(512, choice, np.uint64), record=recorder)
        (asked,) = [m for m in recorder.view(0) if m.tag == "transfers"]
        data = asked.arrays[0].data
        assert uniform(data)
        assert 0.49 < bits(data).mean() < 0.51
        assert uniform(data[1:] ^ data[:-1])  # what one column could say of another


def test_two_batches_of_one_session_have_nothing_in_common() -> None:
    async def main(rank: int, links: Links) -> Any:
        out = []
        for _ in range(2):
            received, sent = await links.extend(
                {0: np.zeros(8, np.uint64)} if rank else {}, {} if rank else {1: 8}
            )
            out.append(received[0] if rank else sent[1])
        return out

    (first, second), (mine, again) = linked(2, 4, main)
    assert (
        not (first.rows == second.rows).any()
        and not (mine.pads() == again.pads()).any()
        and second.first == 512
    )
    assert (first.delta == second.delta).all()


# -- adversaries -----------------------------------------------------------------------------------


def tampered(tag: str, change: Callable[[np.ndarray], None]) -> Callable[[Message], tuple[RingArray, ...]]:
    def tamper(message: Message) -> tuple[RingArray, ...]:
        if message.tag != tag:
            return message.arrays
        data = message.arrays[0].data.copy()
        change(data)
        return (RingArray(message.arrays[0].ring, data), *message.arrays[1:])

    return tamper


@pytest.mark.parametrize("columns", [range(0, 128), range(5, 128, 2), range(0, 128, 3)])
def test_a_receiver_with_inconsistent_columns_is_caught(columns: range) -> None:
    """One bit of some columns: it would learn Δ there from whether the keys still agree.  Uncaught only if it
    guesses Δ.
    """

    def flip(data: np.ndarray) -> None:
        for c in columns:
            data[c, c % data.shape[1]] ^= np.uint64(1) << np.uint64(c % 64)

    with pytest.raises(CheatError, match="inconsistent columns"):
        transfers(1, words(Z64, 20, 1), check=True, tamper=tampered("transfers", flip))
    transfers(1, words(Z64, 20, 1), tamper=tampered("transfers", flip))  # nobody looks


def test_a_flipped_column_passes_the_check_only_where_delta_is_zero() -> None:
    """The sender's w changes by Δ's bit times the flip, so that half of the single flips are harmless and the
    others caught.
    """
    delta = bits(transfers(1, words(Z64, 4, 1))[0].delta)
    for c in (*np.flatnonzero(delta)[:3], *np.flatnonzero(~delta)[:3]):

        def flip(data: np.ndarray, c: int = c) -> None:
            data[c, 0] ^= np.uint64(1)

        if delta[c]:
            with pytest.raises(CheatError):
                transfers(1, words(Z64, 4, 1), check=True, tamper=tampered("transfers", flip))
        else:
            transfers(1, words(Z64, 4, 1), check=True, tamper=tampered("transfers", flip))


def test_wrong_answers_to_the_check_are_caught() -> None:
    for at in (0, 1, 77, 128):

        def flip(data: np.ndarray, at: int = at) -> None:
            data[at] ^= np.uint64(2**64 - 1)  # at 0 in the place of all of Δ

        with pytest.raises(CheatError):
            transfers(1, words(Z64, 4, 1), check=True, tamper=tampered("check: sums", flip))


def test_the_check_is_for_small_trees() -> None:
    with pytest.raises(ValueError, match="k = 1"):
        transfers(4, 1, check=True)


def test_the_answer_to_the_check_does_not_tell_the_choices() -> None:
    """R(u) is masked by the transfers that are thrown away."""
    answers = []
    for seed in range(12):
        recorder = Recorder()
        transfers(1, np.zeros(2, np.uint64), check=True, record=recorder, seed=seed)
        answers += [m.arrays[0].data[0] for m in recorder.view(0) if m.tag == "check: sums"]
    assert 0.42 < bits(np.array(answers)).mean() < 0.58


@pytest.mark.parametrize("tag", ["base transfers", "seed trees", "transfers", "check: seed", "check: sums"])
def test_messages_of_a_wrong_length_are_refused(tag: str) -> None:
    def shorter(message: Message) -> tuple[RingArray, ...]:
        return tuple(a[:-1] for a in message.arrays) if message.tag == tag else message.arrays

    k = 4 if tag == "seed trees" else 1
    with pytest.raises(MpcError, match="other arrays than it expects"):
        transfers(k, words(Z64, 2, 1), check=k == 1, tamper=shorter)


def test_nothing_secret_is_printed() -> None:
    sent, received = transfers(4, 2)
    for x in (sent, received):
        assert "array" not in repr(x)


# -- products --------------------------------------------------------------------------------------


def crossed(parties: int, f: Bilinear, *specs: tuple[Spec, Spec], seed: int = 1) -> None:
    """Shares of what is missing from the sum of everybody's own products, of one pair of operands after the
    other.
    """

    async def main(rank: int, links: Links) -> Any:
        out = []
        for x, y in specs:
            a, b = (
                x.ring(words(x.ring, x.shape, 10 * seed + rank)),
                y.ring(words(y.ring, y.shape, 100 * seed + rank)),
            )
            a, b = RingArray(x.ring, a.data), RingArray(y.ring, b.data)
            out.append((a, b, f(a, b) + await cross(links, f, a, b)))
        return out

    for pair, parts in zip(specs, zip(*linked(parties, 4, main, seed=seed), strict=True), strict=True):
        a, b, c = (reduce(add, z) for z in zip(*parts, strict=True))
        assert (f(a, b).data == c.data).all(), pair


@settings(max_examples=10)
@given(st.sampled_from([Z64, Z32, BITS]), st.integers(0, 300), st.integers(2, 3), st.integers(0, 99))
@example(Z64, 1, 2, 0)
@example(Z32, 1, 2, 0)
@example(BITS, 1, 2, 0)
@example(Z32, 1025, 2, 0)
@example(Z64, 2049, 2, 0)
def test_products_across(ring: Ring, n: int, parties: int, seed: int) -> None:
    crossed(parties, MULTIPLY, (Spec(ring, (n,)), Spec(ring, (n,))), seed=seed)


@pytest.mark.parametrize("ring", [Z64, Z32])
def test_matrix_products_across(ring: Ring) -> None:
    shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((8, 3), (3, 2)),
        ((2, 5), (5, 11)),
        ((4,), (4,)),
        ((2, 3, 4), (4, 7)),
        ((7, 1), (1, 1)),
        ((4,), (4, 3)),
        ((40, 3), (3, 2)),
        ((1, 30), (30, 1)),
        ((2, 1, 3, 2), (4, 2, 3)),
    ]
    crossed(2, MATMUL, *((Spec(ring, x), Spec(ring, y)) for x, y in shapes))


def test_large_matrices_by_quadrants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_STRASSEN", 4)
    shapes = (((8, 8), (8, 8)), ((2, 16, 8), (2, 8, 12)), ((4, 6), (6, 4)))
    crossed(2, MATMUL, *((Spec(Z64, x), Spec(Z64, y)) for x, y in shapes))


def test_products_broadcast() -> None:
    crossed(2, MULTIPLY, (Spec(Z64, (3, 1)), Spec(Z64, (4,))))


def test_what_a_sender_of_products_sends_is_uniform() -> None:
    for ring in (Z64, Z32, BITS):
        recorder = Recorder()

        async def main(rank: int, links: Links, ring: Ring = ring) -> Any:
            one = ring.zeros((300,))
            await cross(links, MULTIPLY, one, one)

        linked(2, 4, main, record=recorder)
        (said,) = [m.arrays[0].data for m in recorder.view(1) if m.tag == "products"]
        if ring is not BITS:
            said = said[:, :-1]  # the last word is half full
        assert uniform(said)


def test_what_a_sender_of_rows_sends_is_uniform() -> None:
    """Rows of zeros, and every element chosen by zeros: rows and trees look random, and no two words are
    alike.
    """
    for ring in (Z64, Z32):
        recorder = Recorder()

        async def main(rank: int, links: Links, ring: Ring = ring) -> Any:
            await cross(links, MATMUL, ring.zeros((50, 6)), ring.zeros((6, 5)))

        linked(2, 4, main, record=recorder)
        (said,) = [m.arrays for m in recorder.view(1) if m.tag == "products"]
        rows, sums = said[0].data[:, :-1], said[1].data
        assert rows.shape == (30, ring.bits // 4, 50) and sums.shape == (30 * ring.bits // 2, 2, 2)
        assert uniform(rows) and uniform(sums) and (ring is Z32 or len(np.unique(rows)) == rows.size)
        assert len(np.unique(sums)) == sums.size


# -- rows times digits -----------------------------------------------------------------------------


def test_the_chooser_gets_every_leaf_but_its_digits() -> None:
    sent, received = transfers(4, words(Z64, 8, 5))
    leaves, sums = vole.plant(sent)
    known = vole.prune(received, sums)
    assert (
        leaves.shape == (256, 4, 2) and known.shape == (256, 3, 2) and sums.shape == vole.sums_spec(256).shape
    )
    digits, every = bits(received.choices).reshape(256, 2) @ (1, 2), np.arange(256)
    for y in (1, 2, 3):
        assert (known[:, y - 1] == leaves[every, digits ^ y]).all()
    missing = leaves[every, digits]
    seen = [known, sums, received.keys().reshape(256, 2, 2), received.rows.reshape(256, 2, 2)]
    assert not np.isin(missing, np.concatenate([x.reshape(-1) for x in seen])).any()
    for x in seen:  # nor is it what one of them takes off another
        for at in range(x.shape[1]):
            assert uniform(missing ^ x[:, at])
    assert uniform(missing ^ known[:, 1] ^ sums[:, 0]) and uniform(missing ^ known[:, 1] ^ sums[:, 1])
    assert len(np.unique(leaves)) == leaves.size


@settings(max_examples=15)
@given(st.sampled_from([Z64, Z32]), st.integers(1, 21), st.integers(1, 5), st.integers(0, 99))
@example(Z64, 64, 3, 0)
@example(Z32, 1, 1, 0)
def test_products_of_rows_and_their_twin(ring: Ring, m: int, n: int, seed: int) -> None:
    """Both sides' kernels: P_x = π(…) + π(x) in words or halves, d = a − Σ P_x,
    shares as the formula says.
    """
    h, digits, word = Hash(b"here"), ring.bits // 2, ring.dtype.type
    leaves, rows = words(Z64, (n, digits, 4, 2), seed), words(ring, (n, m), seed + 1)
    choices = words(Z64, -(-n * ring.bits // 64), seed + 2)
    wide, long, short = lengths = (ring.bits - 32) // 2, -(-m // 2), -(-m // 4)
    order = np.random.default_rng(seed).permutation(n)

    def streams(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        once = h.once(x)
        blocks = n * x.shape[2] * (wide * long + (digits - wide) * short)
        flat = h.stretched(once, 7, lengths, np.empty(2 * blocks + 2, np.uint64))
        assert len(flat) == 2 * blocks
        return flat, flat.view(np.uint32), once

    def row(e: int, d: int, x: int) -> np.ndarray:
        once, count, lanes = (
            h.once(leaves[e, d, x : x + 1]),
            *((long, np.uint64) if d < wide else (short, np.uint32)),
        )
        tweak = np.stack(
            [np.full(count, 7 + 2 * (e * digits + d)), (2 << 32) | np.arange(count)], axis=1
        ).astype(np.uint64)
        p = once.reshape(-1).view(lanes)
        return (h.once(once ^ tweak).reshape(-1).view(lanes) + np.tile(p, count))[:m].astype(ring.dtype)

    packed, share = np.zeros((n, digits // 2 + 1, m), ring.dtype), np.zeros((n, m), ring.dtype)
    matrix_kernels.send_rows(*streams(leaves), lengths, ring.bits, rows, order, order, packed, share)
    for e in range(n):
        expected = np.zeros(m, ring.dtype)
        for d in range(digits):
            p, shift = [row(e, d, x) for x in range(4)], word(2 * d)
            said = packed[e, d] if 2 * d <= digits else packed[e, digits - d] >> shift
            assert (said << shift == (rows[order[e]] - p[0] - p[1] - p[2] - p[3]) << shift).all()
            expected += (p[1] + word(2) * p[2] + word(3) * p[3]) << shift
        assert (share[order[e]] == expected).all()
    numbers = bits(choices)[: n * ring.bits].reshape(n, digits, 2) @ (1, 2)
    known = np.take_along_axis(leaves, (numbers[:, :, None] ^ np.arange(1, 4))[..., None], axis=2)
    other, factors = np.zeros((n, m), ring.dtype), choices.view(ring.dtype)[:n, None]
    matrix_kernels.receive_rows(*streams(known), lengths, choices, 0, order, packed, other)
    assert ((share + other)[order] == rows[order] * factors).all()


# -- permutations ----------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.integers(0, 7), st.integers(0, 999))
def test_switches_give_any_order(depth: int, seed: int) -> None:
    n = 1 << depth
    order = np.random.default_rng(seed).permutation(n)
    layers = networks.switches(order[:, None])[:, :, 0]

    def through(x: np.ndarray, layers: np.ndarray) -> np.ndarray:
        if len(x) == 1:
            return x
        pairs = x.reshape(-1, 2).copy()
        pairs[layers[0] == 1] = pairs[layers[0] == 1][:, ::-1]
        if len(x) == 2:
            return pairs.reshape(-1)
        half = len(pairs) // 2
        upper, lower = (through(pairs[:, i], layers[1:-1, i * half : (i + 1) * half]) for i in (0, 1))
        pairs = np.stack([upper, lower], axis=1)
        pairs[layers[-1] == 1] = pairs[layers[-1] == 1][:, ::-1]
        return pairs.reshape(-1)

    assert (through(np.arange(n), layers) == order).all()


# -- kernels and their twins -----------------------------------------------------------------------


def test_fold() -> None:
    leaves = words(Z64, (16, 5), 1)
    columns, folded = np.empty((4, 5), np.uint64), leaves.copy()
    row_kernels.fold(folded, columns)
    assert (folded[0] == np.bitwise_xor.reduce(leaves)).all()
    for b in range(4):
        assert (columns[b] == np.bitwise_xor.reduce([leaves[x] for x in range(16) if x >> b & 1])).all()


@pytest.mark.parametrize("n", [1, 15, 16, 33])
def test_rows(n: int) -> None:
    columns = words(Z64, (WIDTH, n), 2)
    assert (bits(row_kernels.rows(columns)).reshape(-1, WIDTH) == bits(columns).reshape(WIDTH, -1).T).all()


def test_hash() -> None:
    """TMMO by the formula; longer pads begin with the shorter ones; numbers matter."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    h, x = Hash(b"here"), words(Z64, (9000, 2), 3)
    pi = Cipher(algorithms.AES(h.key), modes.ECB()).encryptor()

    def permuted(rows: np.ndarray) -> np.ndarray:
        return np.frombuffer(pi.update(rows.tobytes()), np.uint64).reshape(-1, 2)

    once, numbers = permuted(x), 7 + np.arange(9000, dtype=np.uint64)
    for j in range(3):
        tweak = np.stack([numbers, np.full(9000, j, np.uint64)], axis=1)
        assert (h.pads(x, 7, 3)[:, 2 * j : 2 * j + 2] == permuted(once ^ tweak) ^ once).all()
    assert (h.pads(x, 7) == h.pads(x, 7, 3)[:, :2]).all() and not (h.pads(x, 8) == h.pads(x, 7)).any()
    assert (h.pads(x, 7, plus=x[0]) == h.pads(x ^ x[0], 7)).all()
    assert not (Hash(b"there").pads(x, 7) == h.pads(x, 7)).any()
    assert (h.keys(x) == once ^ x).all() and (h.keys(x, x[0]) == h.keys(x ^ x[0])).all()
    assert (h.words(x) == (once ^ x)[:, 0]).all() and (h.words(x, x[0]) == h.words(x ^ x[0])).all()


def test_random_sums() -> None:
    columns, sums = words(Z64, (3, 6), 4), words(Z64, (64, 5), 5)
    got = row_kernels.random_sums(columns, sums)
    for c in range(3):
        parities = [bits(row & columns[c, :5]).sum() % 2 for row in sums]
        assert (bits(got[c : c + 1]) == np.array(parities, bool)).all()


def test_add_masked() -> None:
    columns, differences = words(Z64, (8, 5), 6), words(Z64, (2, 5), 7)
    masks = np.array([0, 2**64 - 1, 0, 0, 2**64 - 1, 2**64 - 1, 0, 2**64 - 1], np.uint64)
    expected = columns ^ (np.repeat(differences, 4, axis=0) & masks[:, None])
    row_kernels.add_masked(columns, differences, masks)
    assert (columns == expected).all()
