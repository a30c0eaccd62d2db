"""Oblivious transfers by the million from 128 base transfers: SoftSpokenOT, of which IKNP is the case k = 1.

The sender holds a secret Δ of 128 bits.  For each transfer the receiver, with choice bit u, gets a row t, and
the sender q = t ⊕ u·Δ.  The lowest bit of Δ is 1, which ``silent`` makes use of.  Hashed, q and q ⊕ Δ are the
two keys and t is the receiver's (``hashing``).

Δ is cut into 128/k pieces of k bits.  For each piece the receiver holds 2^k seeds, the sender all of them but
the one whose number is its piece (a tree of seeds, of which the base transfers give it the siblings of one
path).  With r_x the stream of seed x, in characteristic 2 and with x as a vector of k bits,

    receiver  u = Σ r_x,  v = Σ x·r_x     sender  w = Σ (x ⊕ Δ)·r_x = v ⊕ u·Δ      which lacks x = Δ, times 0

are k columns at once.  So that all pieces have the same u, the receiver sends by how much each differs from
the choices.  With random choices those of the first piece are taken, and it need not be sent.

Check (``check=True``, k = 1): a receiver that sends inconsistent columns could learn bits of Δ.  The sender
sends a seed of a random linear map R to 64 bits; the receiver answers with R·u and R of each column of v; the
sender compares R of each column of w.  64 transfers more, which R adds as they are and which are thrown away,
hide what R tells of u.

Threat   semi-honest; with the check, a malicious receiver is caught but with probability 2^−64, or 2^−c if it
         guesses c bits of Δ, which leaves it 127−c unknown ones.  A malicious sender learns nothing of the
         choices either way.
Cost     one round; the receiver sends 128/k bits per transfer (chosen) or 128/k − 1 (random); the check takes
         two rounds and about a kilobyte.  Computing: 2^k/k bytes of AES in place of 2 per byte of a row.
Source   Ishai, Kilian, Nissim, Petrank, CRYPTO 2003.  Roy, SoftSpokenOT, CRYPTO 2022, ePrint 2022/192,
         figures 7 (small fields), 9 (subspaces, here with the repetition code) and section 4.1 (the check by
         a universal hash of each column, whose proof holds, instead of KOS15's weighted sum of rows, whose
         first proof did not: ePrint 2015/546 in its corrected version says so and takes this one).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from mpc.bits import words_for
from mpc.errors import CheatError
from mpc.prg import SEED_BYTES, Stream
from mpc.ring import BITS, Z64, NDArray, RingArray, Spec
from mpc.rounds import exchange
from mpc.seat import Seat, pack
from protocols.ot import base
from protocols.ot.hashing import Hash

WIDTH = 128  # bits of Δ and of a row: the computational security
_CHECK_WORDS = 1  # what the check adds: 64 transfers
_ONES = np.uint64(2**64 - 1)


@dataclass(frozen=True, slots=True, repr=False)
class Sent:
    """A batch of transfers at its sender: rows q (n, 2), with Δ correlated, hashed random."""

    rows: NDArray
    delta: NDArray
    first: int
    hash: Hash

    def __getitem__(self, part: slice) -> Sent:
        return Sent(self.rows[part], self.delta, self.first + part.start, self.hash)

    def pads(self, blocks: int = 1) -> tuple[NDArray, NDArray]:
        """Both keys of each transfer, (n, 2·blocks) words."""
        return self.hash.pads(self.rows, self.first, blocks), self.hash.pads(
            self.rows, self.first, blocks, self.delta
        )

    def keys(self) -> tuple[NDArray, NDArray]:
        """Both keys of two words, (n, 2), in half the time; against semi-honest receivers."""
        return self.hash.keys(self.rows), self.hash.keys(self.rows, self.delta)

    def words(self) -> tuple[NDArray, NDArray]:
        """Both keys as a word, (n,); against semi-honest receivers."""
        return self.hash.words(self.rows), self.hash.words(self.rows, self.delta)


@dataclass(frozen=True, slots=True, repr=False)
class Received:
    """A batch of transfers at its receiver: choices, 64 to a word, and rows t = q ⊕ choice·Δ."""

    choices: NDArray
    rows: NDArray
    first: int
    hash: Hash

    def __getitem__(self, part: slice) -> Received:
        """Part of them, from a multiple of 64 on."""
        return Received(
            self.choices[part.start // 64 : -(-part.stop // 64)],
            self.rows[part],
            self.first + part.start,
            self.hash,
        )

    def pads(self, blocks: int = 1) -> NDArray:
        """The chosen key of each transfer, (n, 2·blocks) words."""
        return self.hash.pads(self.rows, self.first, blocks)

    def keys(self) -> NDArray:
        """The chosen key of two words, (n, 2)."""
        return self.hash.keys(self.rows)

    def words(self) -> NDArray:
        """The chosen key as a word, (n,)."""
        return self.hash.words(self.rows)


class Leaves:
    """The streams of the leaves of all trees, folded into columns; leaf 0 of each tree may be unknown.

    A leaf's stream is AES of its seed in counter mode, of which each call takes whole blocks.
    """

    def __init__(self, trees: list[list[bytes | None]]) -> None:
        from mpc import aes_kernels

        self._k, self._whole = len(trees[0]).bit_length() - 1, trees[0][0] is not None
        self._block = 0  # the first that is not used yet
        self._keys: NDArray | None = None
        self._ciphers: list[list[CipherContext | None]] = []
        if aes_kernels.THERE:
            self._keys = np.array([[aes_kernels.expanded(s or bytes(16)) for s in tree] for tree in trees])
        else:
            self._ciphers = [[None if s is None else _cipher(s) for s in tree] for tree in trees]

    def fold(self, words: int) -> tuple[NDArray, NDArray]:
        """The next 64·words bits: the sum of all leaves of each tree (trees, words), and the columns (128,
        words).
        """
        from mpc import aes_kernels

        first, self._block = self._block, self._block - (-words // 2)
        sums = np.empty((WIDTH // self._k, words), np.uint64)
        columns = np.empty((WIDTH, words), np.uint64)
        if self._keys is not None:
            aes_kernels.folded(self._keys, self._whole, np.uint64(first), sums, columns)
        else:
            self._fold_plainly(sums, columns)
        return sums, columns

    def _fold_plainly(self, sums: NDArray, columns: NDArray) -> None:
        """On processors without instructions for AES."""
        from protocols.ot import row_kernels

        leaves = np.empty((1 << self._k, sums.shape[1]), np.uint64)
        for g, tree in enumerate(self._ciphers):
            for cipher, leaf in zip(tree, leaves, strict=True):
                if cipher is None:
                    leaf[:] = 0
                    continue
                cipher.update_into(bytes(leaf.nbytes), leaf.view(np.uint8).data)
                cipher.update(bytes(-leaf.nbytes % 16))  # of the last block
            row_kernels.fold(leaves, columns[g * self._k : (g + 1) * self._k])
            sums[g] = leaves[0]


class Sender:
    """The side of an extension that holds Δ: the receiver of base transfers."""

    def __init__(self, context: bytes, k: int, own: Stream) -> None:
        self._k, self._hash, self._count = k, Hash(context), 0
        self._pieces = np.frombuffer(own.bytes(WIDTH // k), np.uint8) & np.uint8((1 << k) - 1)
        self._pieces[0] |= np.uint8(1)
        # lowest first: the columns
        bits = (self._pieces[:, None] >> np.arange(k, dtype=np.uint8)) & np.uint8(1)
        self._masks = bits.reshape(-1) * _ONES
        self.delta = np.packbits(bits.reshape(-1), bitorder="little").view(np.uint64)
        # top bit first: the path
        self._base = base.Receiver(context, 1 - bits[:, ::-1].reshape(-1), own)
        self._streams: Leaves | None = None

    @property
    def base_message(self) -> RingArray:
        return self._base.message

    def take_base(self, message: RingArray) -> None:
        self._keys = self._base.keys(message).reshape(-1, self._k, base.KEY_WORDS)

    def take_tree(self, message: RingArray) -> None:
        """Every leaf but one of each tree."""
        self._streams = Leaves(
            [
                _ordered(_punctured([k.tobytes() for k in keys], sums, int(x)), int(x))
                for keys, sums, x in zip(self._keys, message.data, self._pieces, strict=True)
            ]
        )

    def expand(self, words: int) -> NDArray:
        """The columns w of the next 64·words transfers."""
        assert self._streams is not None, "setup comes first"
        return self._streams.fold(words)[1]

    def correct(self, columns: NDArray, differences: NDArray) -> None:
        """Make them those of the receiver's choices."""
        from protocols.ot import row_kernels

        masks = self._masks if len(differences) == WIDTH // self._k else self._masks[self._k :]
        row_kernels.add_masked(columns[WIDTH - len(masks) :], differences, masks)

    def check(self, columns: NDArray, seed: bytes, answer: NDArray) -> None:
        """``CheatError`` unless R(w) = R(v) ⊕ R(u)·Δ for each column."""
        if (_hashed(columns, seed) != answer[1:] ^ (answer[0] & self._masks)).any():
            raise CheatError(
                "the receiver of oblivious transfers sent inconsistent columns: it does not follow the"
                " protocol"
            )

    def batch(self, columns: NDArray, words: int) -> Sent:
        from protocols.ot import row_kernels

        first, self._count = self._count, self._count + 64 * words
        return Sent(row_kernels.rows(columns[:, :words]), self.delta, first, self._hash)


class Receiver:
    """The side of an extension that makes choices: the sender of base transfers."""

    def __init__(self, context: bytes, k: int, own: Stream) -> None:
        self._k, self._hash, self._count = k, Hash(context), 0
        self._base = base.Sender(context, WIDTH, own)
        self._streams: Leaves | None = None

    @property
    def base_message(self) -> RingArray:
        return self._base.message

    def take_base(self, message: RingArray) -> RingArray:
        """Plants the trees; returns what the sender needs for its leaves."""
        keys = self._base.keys(message).reshape(-1, self._k, 2, base.KEY_WORDS)
        leaves, sums = zip(
            *(_tree([[s.tobytes() for s in pair] for pair in tree]) for tree in keys), strict=True
        )
        self._streams = Leaves([list(tree) for tree in leaves])
        return Z64(np.array(sums, np.uint64).reshape(tree_spec(self._k).shape))

    def choose(self, choices: NDArray | int) -> tuple[NDArray, NDArray, NDArray]:
        """For words of choices, or so many random ones: the choices, what to send, and the columns v."""
        assert self._streams is not None, "setup comes first"
        sums, columns = self._streams.fold(choices if isinstance(choices, int) else len(choices))
        if isinstance(choices, int):
            return sums[0], sums[1:] ^ sums[0], columns
        return choices, sums ^ choices, columns

    def answer(self, choices: NDArray, columns: NDArray, seed: bytes) -> NDArray:
        """R(u) and R(v)."""
        return _hashed(np.concatenate([choices[None], columns]), seed)

    def batch(self, choices: NDArray, columns: NDArray, words: int) -> Received:
        from protocols.ot import row_kernels

        first, self._count = self._count, self._count + 64 * words
        return Received(choices[:words], row_kernels.rows(columns[:, :words]), first, self._hash)


def _hashed(columns: NDArray, seed: bytes) -> NDArray:
    """R(column), 64 bits each: random sums of all bits but the last 64, and these as they are."""
    from protocols.ot import row_kernels

    sums = Stream(seed, "ot check").draw(Spec(BITS, (64, columns.shape[1] - _CHECK_WORDS)))
    return np.asarray(row_kernels.random_sums(columns, sums.data) ^ columns[:, -1])


# -- trees of seeds --------------------------------------------------------------------------------


def tree_spec(k: int) -> Spec:
    """For each tree, level below the first and side: the sum of that side's seeds, masked by a base
    transfer's key.
    """
    return Spec(Z64, (WIDTH // k, k - 1, 2, base.KEY_WORDS))


def _children(seed: bytes) -> tuple[bytes, bytes]:
    both = blake2b(seed, digest_size=32, person=b"mpc/1 OT tree").digest()
    return both[:16], both[16:]


def _xor(*seeds: bytes) -> bytes:
    out = 0
    for seed in seeds:
        out ^= int.from_bytes(seed, "little")
    return out.to_bytes(16, "little")


def _tree(keys: list[list[bytes]]) -> tuple[list[bytes], list[NDArray]]:
    """All leaves of the tree below two seeds, and the masked sums of each level."""
    nodes, sums = list(keys[0]), []
    for pads in keys[1:]:
        nodes = [child for node in nodes for child in _children(node)]
        sums += [np.frombuffer(_xor(pads[side], *nodes[side::2]), np.uint64) for side in (0, 1)]
    return nodes, sums


def _punctured(keys: list[bytes], sums: NDArray, missing: int) -> list[bytes | None]:
    """The leaves but the missing one:
    of each level, the sum and all others of one side give its last seed.
    """
    depth = len(keys)
    path = [missing >> (depth - 1 - level) & 1 for level in range(depth)]
    nodes: list[bytes | None] = [None, None]
    nodes[1 - path[0]] = keys[0]
    for level in range(1, depth):
        side = 1 - path[level]
        nodes = [child for node in nodes for child in (_children(node) if node is not None else (None, None))]
        known = [node for node in nodes[side::2] if node is not None]
        at = 2 * (missing >> (depth - level)) + side
        nodes[at] = _xor(keys[level], sums[level - 1, side].tobytes(), *known)
    return nodes


def _ordered(leaves: list[bytes | None], missing: int) -> list[bytes | None]:
    """Leaf y ⊕ missing at place y; none at place 0."""
    return [leaves[y ^ missing] for y in range(len(leaves))]


def _cipher(seed: bytes) -> CipherContext:
    return Cipher(algorithms.AES(seed), modes.CTR(bytes(16))).encryptor()


# -- rounds ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class _Link:
    """What one party has set up with one other: both directions."""

    sender: Sender
    receiver: Receiver


class Links(Protocol):
    """What one party has set up with all others, in both directions."""

    @property
    def peers(self) -> list[int]: ...

    async def extend(
        self, choose: Mapping[int, NDArray | int], serve: Mapping[int, int], *, random: bool = False
    ) -> tuple[dict[int, Received], dict[int, Sent]]:
        """Transfers from and to several peers at once.

        ``choose[p]`` are this party's choices towards p, 64 to a word, or with ``random`` how many words of
        random ones; ``serve[p]`` is how many words p chooses.  All parties call it.
        """
        ...


class SoftSpoken:
    """Links by this extension.  One round, with the check three, and a ``CheatError`` where it fails."""

    def __init__(self, links: Mapping[int, _Link], k: int, check: bool) -> None:
        self._links, self._k, self._check = links, k, check

    @property
    def peers(self) -> list[int]:
        return list(self._links)

    async def extend(
        self, choose: Mapping[int, NDArray | int], serve: Mapping[int, int], *, random: bool = False
    ) -> tuple[dict[int, Received], dict[int, Sent]]:
        links, extra = self._links, _CHECK_WORDS * self._check
        asked = {p: links[p].receiver.choose(_with_extra(choice, extra)) for p, choice in choose.items()}
        columns = {p: links[p].sender.expand(words + extra) for p, words in serve.items()}
        inbox = await exchange(
            {p: (RingArray(BITS, differences),) for p, (_, differences, _) in asked.items()},
            {p: (differences_spec(self._k, words + extra, random),) for p, words in serve.items()},
            "transfers",
        )
        for p, w in columns.items():
            links[p].sender.correct(w, inbox[p][0].data)
        if self._check:
            await _check(links, asked, columns)
        return (
            {p: links[p].receiver.batch(u, v, v.shape[1] - extra) for p, (u, _, v) in asked.items()},
            {p: links[p].sender.batch(w, w.shape[1] - extra) for p, w in columns.items()},
        )


async def connect(seat: Seat, k: int, *, check: bool = False) -> SoftSpoken:
    """128 base transfers in both directions with every other party.  Two rounds."""
    if check and k != 1:
        raise ValueError(
            f"the check is for k = 1, not {k}: with larger trees their seeds would have to be checked too"
        )
    links = {
        p: _Link(
            Sender(direction(seat, seat.rank, p), k, seat.own),
            Receiver(direction(seat, p, seat.rank), k, seat.own),
        )
        for p in seat.others
    }
    inbox = await exchange(
        {p: (link.receiver.base_message, link.sender.base_message) for p, link in links.items()},
        dict.fromkeys(links, (base.sender_spec(WIDTH), base.receiver_spec(WIDTH))),
        "base transfers",
    )
    for p, link in links.items():
        link.sender.take_base(inbox[p][0])
    inbox = await exchange(
        {p: (link.receiver.take_base(inbox[p][1]),) for p, link in links.items()},
        dict.fromkeys(links, (tree_spec(k),)),
        "seed trees",
    )
    for p, link in links.items():
        link.sender.take_tree(inbox[p][0])
    return SoftSpoken(links, k, check)


def direction(seat: Seat, sender: int, receiver: int) -> bytes:
    """What only these two have in common, in this session and one way."""
    return seat.session + bytes([sender % 256, sender // 256, receiver % 256, receiver // 256])


def differences_spec(k: int, words: int, random: bool) -> Spec:
    """What the receiver sends."""
    return Spec(BITS, (WIDTH // k - random, words))


def _with_extra(choice: NDArray | int, extra: int) -> NDArray | int:
    if isinstance(choice, int):
        return choice + extra
    return (
        np.concatenate([choice, Stream.fresh("ot check").draw(Spec(BITS, (extra,))).data])
        if extra
        else choice
    )


async def _check(
    links: Mapping[int, _Link],
    asked: Mapping[int, tuple[NDArray, NDArray, NDArray]],
    columns: Mapping[int, NDArray],
) -> None:
    seed, answer = Spec(Z64, (SEED_BYTES // 8,)), Spec(BITS, (1 + WIDTH,))
    seeds = {p: Stream.fresh("ot check").bytes(SEED_BYTES) for p in columns}
    inbox = await exchange(
        {p: (pack(s),) for p, s in seeds.items()}, dict.fromkeys(asked, (seed,)), "check: seed"
    )
    answers = {
        p: (RingArray(BITS, links[p].receiver.answer(u, v, inbox[p][0].data.tobytes())),)
        for p, (u, _, v) in asked.items()
    }
    inbox = await exchange(answers, dict.fromkeys(columns, (answer,)), "check: sums")
    for p, w in columns.items():
        links[p].sender.check(w, seeds[p], inbox[p][0].data)


# -- two parties -----------------------------------------------------------------------------------


async def send_chosen(links: Links, peer: int, messages: tuple[RingArray, RingArray]) -> None:
    """Of n pairs of messages (two arrays (n, m) of 64-bit words), let the peer have the one of its choice
    each.  Two rounds.
    """
    n, m = messages[0].shape
    _, sent = await links.extend({}, {peer: words_for(n)})
    pads = sent[peer].pads(-(-m // 2))
    await exchange(
        {peer: tuple(RingArray(BITS, x.data ^ pad[:n, :m]) for x, pad in zip(messages, pads, strict=True))},
        tag="messages",
    )


async def receive_chosen(links: Links, peer: int, choices: NDArray, m: int) -> RingArray:
    """The messages (n, m) of ``choices``, an array of 0 and 1."""
    n = len(choices)
    packed = np.zeros(8 * words_for(n), np.uint8)
    packed[: -(-n // 8)] = np.packbits(choices.astype(np.uint8), bitorder="little")
    received, _ = await links.extend({peer: packed.view(np.uint64)}, {})
    masked = (await exchange(recv={peer: (Spec(BITS, (n, m)),) * 2}, tag="messages"))[peer]
    mask = -choices.astype(np.uint64)[:, None]
    chosen = masked[0].data ^ ((masked[0].data ^ masked[1].data) & mask)
    return Z64(chosen ^ received[peer].pads(-(-m // 2))[:n, :m])
