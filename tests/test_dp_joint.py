"""Noise that parties draw together: its law from its tables, its samples on every suite, and what it is
worth.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from conftest import GRID, play
from scipy import stats

from mpc.errors import EncodingError
from mpc.ring import BITS, Z32, Z64, RingArray, Spec
from mpc.rounds import Message
from protocols.privacy.joint import DISTANCE, FINE, Joint, one_hot
from protocols.privacy.laws import DiscreteGaussian, table
from protocols.suite import Suite
from protocols.suites import SUITES

#: One, two, three and four samples; a narrow one; one on the edge between one sample and two.
VARIANCES = [
    Fraction(1, 10),
    Fraction(7, 3),
    Fraction(625),
    Fraction(5001, 8),
    Fraction(90_000),
    Fraction(10**6),
    Fraction(10**9),
]


def chances(joint: Joint) -> list[Fraction]:
    """Of |x| = 0, 1, …: a cell is drawn, and stays or becomes its alias."""
    n = 1 << joint.index
    column = [[int(b) for b in joint.tables[:, i]] for i in range(n)]
    out = [Fraction(0)] * n
    for i, bits in enumerate(column):
        stays = Fraction(sum(b << j for j, b in enumerate(bits[:FINE])), 1 << FINE)
        out[i] += stays / n
        out[sum(b << j for j, b in enumerate(bits[FINE:]))] += (1 - stays) / n
    return out


def both_signs(one: list[Fraction]) -> np.ndarray:
    right = np.array([float(p) for p in one])
    return np.concatenate([right[:0:-1] / 2, right[:1], right[1:] / 2])


@pytest.mark.parametrize("variance", VARIANCES, ids=str)
def test_the_tables_hold_the_law(variance: Fraction) -> None:
    """Against a distribution function of twice the precision: within the distance that is stated."""
    joint = Joint(variance)
    base = variance / sum(k * k for k in joint.scales)
    exact = table(DiscreteGaussian(base), 160)
    at = {exact.first + i: Fraction(f, 1 << 160) for i, f in enumerate(exact.floors)}
    last, mine = max(at), chances(joint)
    assert sum(mine) == 1
    true = [
        at[0] - at[-1],
        *(
            2 * (at[k] - at[k - 1]) if k - 1 in at and k <= last else Fraction(0)
            for k in range(1, max(last + 1, len(mine)))
        ),
    ]
    mine += [Fraction(0)] * (len(true) - len(mine))
    off = sum(abs(a - b) for a, b in zip(mine, true, strict=True)) / 2
    assert len(joint.scales) * off <= joint.distance <= DISTANCE
    assert joint.index == 1 or off > DISTANCE / 2**20  # it is no wild guess


@pytest.mark.parametrize("variance", [v for v in VARIANCES if 625 < v <= 10**6], ids=str)
def test_sums_of_scaled_samples_are_discrete_gaussians(variance: Fraction) -> None:
    """The law of the sum, folded out of the tables, against exp(−k²/2σ²):
    alike to the precision of doubles.
    """
    joint = Joint(variance)
    one = both_signs(chances(joint))
    law = np.ones(1)
    for k in joint.scales:
        apart = np.zeros((len(one) - 1) * k + 1)
        apart[::k] = one
        law = np.convolve(law, apart)
    at = np.arange(len(law)) - len(law) // 2
    gaussian = np.exp(-(at**2.0) / (2 * float(variance)))
    gaussian /= gaussian.sum()
    assert np.abs(law - gaussian).sum() / 2 < 1e-12
    assert sum(k * k for k in joint.scales) > 1 and (law @ at.astype(float) ** 2) == pytest.approx(
        float(variance), rel=1e-10
    )


def test_a_scale_that_is_too_large_would_show() -> None:
    """The test above can fail: with twice the scale, the same fold is no discrete Gaussian."""
    one = both_signs(chances(Joint(Fraction(4))))
    law = np.convolve(one, np.kron(one, [1, 0, 0, 0, 0])[: 5 * len(one) - 4])
    at = np.arange(len(law)) - len(law) // 2
    gaussian = np.exp(-(at**2.0) / (2 * 4 * 26))
    assert np.abs(law - gaussian / gaussian.sum()).sum() / 2 > 1e-4


@pytest.mark.parametrize("name", SUITES)
@pytest.mark.parametrize("h", [1, 2, 3, 5, 8])
def test_one_hot(name: str, h: int) -> None:
    """Every number has its own plane, whatever the number of bits."""
    kind, n = SUITES[name], SUITES[name].parties[0]
    numbers = np.arange(64 * 4) % (1 << h)
    planes = np.packbits(
        [(numbers >> j & 1).astype(np.uint8) for j in range(h)], axis=1, bitorder="little"
    ).view(np.uint64)

    async def main(suite: Suite) -> RingArray:
        bits = await suite.input(
            0, RingArray(BITS, planes) if suite.seat.rank == 0 else None, Spec(BITS, planes.shape)
        )
        return (await suite.open(await one_hot(suite, bits)))[0]

    for opened in play(n, main, kind=kind, seed=1):
        cells = np.unpackbits(opened.data.view(np.uint8), axis=1, bitorder="little")
        assert (cells == (np.arange(1 << h)[:, None] == numbers)).all()


@pytest.mark.parametrize(("name", "n"), GRID)
@pytest.mark.parametrize("variance", [Fraction(7, 3), Fraction(90_000)], ids=str)
def test_samples_have_the_law(name: str, n: int, variance: Fraction) -> None:
    """Chi-square against the exact law, in cells of equal chance where there are many values; and no share is
    short of it.
    """
    joint, count = Joint(variance), 12_000 if variance < 10 else 4_000

    async def main(suite: Suite) -> RingArray:
        return (await suite.open(await joint.sample(suite, Z64, count)))[0]

    first, *others = play(n, main, kind=SUITES[name], seed=n)
    x = first.data.view(np.int64)
    assert all((o.data == first.data).all() for o in others)
    reach = math.ceil(9 * math.sqrt(variance))
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2.0) / (2 * float(variance)))
    cells = np.minimum((np.cumsum(weights) - weights / 2) / weights.sum() * 20, 19).astype(int)
    expected = np.bincount(cells, weights, 20) / weights.sum() * count
    seen = np.bincount(cells[x + reach], minlength=20)
    there = expected > 0
    assert stats.chisquare(seen[there], expected[there]).pvalue > 1e-4 and not seen[~there].any()
    assert abs(np.corrcoef(x[1:], x[:-1])[0, 1]) < 5 / math.sqrt(count)


@pytest.mark.parametrize("name", SUITES)
def test_it_is_added_in_pieces_and_depends_on_every_party(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros come out as noise; with one party's randomness anew, all of it is other noise."""
    from protocols.privacy import joint as module

    monkeypatch.setattr(module, "PIECE", 64)
    joint, n = Joint(Fraction(10**6)), SUITES[name].parties[0]

    def drawn(seed: int | None) -> np.ndarray:
        async def main(suite: Suite) -> RingArray:
            x = await suite.input(
                0, Z32(np.arange(200) * 10**6) if suite.seat.rank == 0 else None, Spec(Z32, (200,))
            )
            return (await suite.open(await joint.add(suite, x)))[0]

        return (
            play(n, main, kind=SUITES[name], seed=seed)[0].data.view(np.int32)
            - np.arange(200, dtype=np.int32) * 10**6
        )

    one, again, other = drawn(3), drawn(3), drawn(None)
    assert (one == again).all() and (one == other).mean() < 0.05
    assert 700 < one.std() < 1400 and np.abs(one).max() < 6000


@pytest.mark.parametrize(
    ("name", "rounds", "sent", "dealt"), [("additive", 13, 110, 203), ("replicated", 14, 203, 0)]
)
def test_it_costs_what_it_says(name: str, rounds: int, sent: int, dealt: int) -> None:
    joint, size, count = Joint(Fraction(90_000)), SUITES[name].parties[0], 6400
    heard, steps = [0] * (size + 1), set()

    def listen(message: Message) -> tuple[RingArray, ...]:
        if message.tag not in ("seed", "keys"):
            heard[message.sender] += sum(a.ring.itemsize * a.size for a in message.arrays)
            steps.add(message.step)
        return message.arrays

    async def main(suite: Suite) -> None:
        heard[:], _ = [0] * (size + 1), steps.clear()
        await joint.sample(suite, Z32, count)

    play(size, main, kind=SUITES[name], seed=1, tamper=listen)
    assert len(steps) == rounds
    assert round(sum(heard[:size]) / size / count) == sent and round(heard[size] / count) == dealt


@pytest.mark.parametrize("name", SUITES)
def test_what_a_party_hears_is_uniform(name: str) -> None:
    """Though the bits of so narrow a noise are far from it."""
    joint, n = Joint(Fraction(1, 10)), SUITES[name].parties[0]
    heard: list[list[bytes]] = [[] for _ in range(n)]

    def listen(message: Message) -> tuple[RingArray, ...]:
        if message.sender < n and message.tag not in ("seed", "keys"):
            heard[message.receiver] += [a.data.tobytes() for a in message.arrays]
        return message.arrays

    async def main(suite: Suite) -> None:
        await joint.sample(suite, Z32, 6400)

    play(n, main, kind=SUITES[name], seed=1, tamper=listen)
    for said in heard:
        data = np.frombuffer(b"".join(said), np.uint8)
        assert len(data) > 100_000 and stats.chisquare(np.bincount(data, minlength=256)).pvalue > 1e-5


def test_too_wide_is_said_before_anything_is_sent() -> None:
    with pytest.raises(EncodingError, match="too wide to draw together"):
        Joint(Fraction(10**11))
