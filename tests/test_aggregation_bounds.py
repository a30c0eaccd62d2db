"""Degree and threshold: the probabilities against counting and against SciPy, and the argument for the ring
by trying lies.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from mpc.errors import ConfigError
from protocols.aggregation.one_server import bounds
from protocols.aggregation.one_server.graph import Graph


@pytest.mark.parametrize(
    ("marked", "of", "drawn", "least"),
    [(3, 10, 4, 2), (50, 999, 40, 9), (500, 9999, 96, 23), (0, 9, 4, 1), (9, 9, 4, 4), (2, 9, 4, 3)],
)
def test_tails_are_the_hypergeometric_law(marked: int, of: int, drawn: int, least: int) -> None:
    exact = sum(
        (
            Fraction(math.comb(marked, j) * math.comb(of - marked, drawn - j), math.comb(of, drawn))
            for j in range(least, drawn + 1)
            if j <= marked and drawn - j <= of - marked
        ),
        Fraction(0),
    )
    assert bounds.tail(marked, of, drawn, least) == pytest.approx(float(exact), rel=1e-6, abs=1e-300)
    assert bounds.tail(marked, of, drawn, least) == pytest.approx(
        stats.hypergeom.sf(least - 1, of, marked, drawn), rel=1e-6, abs=1e-300
    )


def test_security_counts_every_placement_of_the_colluding() -> None:
    """For one honest client on a small ring:
    the union bound is 2n times the exact share of bad placements.
    """
    n, degree, threshold, bad = 15, 6, 6, 3
    places = [*range(-3, 0), *range(1, 4), *range(4, n - 3)]
    counted = Fraction(
        sum(
            sum(p in (-3, -2, -1) for p in c) + 2 * sum(p in (1, 2, 3) for p in c) >= 2 * threshold - degree
            for c in combinations(places, bad)
        ),
        math.comb(n - 1, bad),
    )
    assert 0 < 2 * n * counted < 1 and bounds.security(n, degree, threshold, bad / n) == pytest.approx(
        -math.log2(2 * n * counted)
    )
    assert bounds.security(60, 20, 15, 0.1) == pytest.approx(
        -math.log2(2 * 60 * _exact(60, 20, 15, 6)), rel=1e-9
    )


def test_security_against_a_server_that_follows_the_protocol() -> None:
    """Bell et al.'s two events: a client with t colluding neighbours, two runs of the ring without an honest
    survivor.
    """
    n, degree, threshold, bad, dropped = 300, 14, 9, 30, 60
    shares = n * stats.hypergeom.sf(threshold - 1, n - 1, bad, degree)
    cut = n * (n - 1) / 2 * stats.hypergeom.pmf(degree, n, bad + dropped, degree)
    assert bounds.security(n, degree, threshold, 0.1, 0.2) == pytest.approx(
        -math.log2(shares + cut), rel=1e-6
    )
    assert cut > 1e-4 * shares > 0


def _exact(n: int, degree: int, threshold: int, bad: int) -> float:
    half, rest = degree // 2, n - 1 - degree
    ways = sum(
        math.comb(half, a) * math.comb(half, b) * math.comb(rest, bad - a - b)
        for a in range(half + 1)
        for b in range(half + 1)
        if a + b <= bad and a + 2 * b >= 2 * threshold - degree
    )
    return float(Fraction(ways, math.comb(n - 1, bad)))


@pytest.mark.parametrize("clients", [5, 10, 47, 100, 1000, 10_000, 100_000])
@pytest.mark.parametrize(("dropout", "corrupt"), [(0.05, 0.05), (0.1, 0.1), (0.1, 0.0), (0.2, 0.05)])
def test_what_is_chosen_is_safe_and_hardly_ever_lost(clients: int, dropout: float, corrupt: float) -> None:
    degree, threshold = bounds.choose(clients, dropout, corrupt)
    assert bounds.security(clients, degree, threshold, corrupt) >= 40
    # then also against one that follows the protocol
    assert bounds.security(clients, degree, threshold, corrupt, dropout) >= 40
    assert bounds.lost(clients, degree, threshold, dropout) <= 2**-20
    assert degree / 2 < threshold <= degree and (degree % 2 == 0 or degree == clients - 1)
    assert bounds.fewest(clients, degree, threshold, corrupt) >= min(clients // 4, 3)
    more, higher = bounds.choose(clients, dropout, corrupt, one_list=True)
    assert (
        more >= degree
        and bounds.security(clients, more, higher, corrupt, one_list=True) >= 40
        and bounds.lost(clients, more, higher, dropout) <= 2**-20
    )


def test_the_degree_grows_like_a_logarithm() -> None:
    degrees = [bounds.choose(10**e, 0.05, 0.05)[0] for e in (3, 4, 5, 6)]
    assert degrees == sorted(degrees) and degrees[-1] < 2 * degrees[0]


def test_what_cannot_be_had_is_said() -> None:
    with pytest.raises(ConfigError, match="no threshold is safe"):
        bounds.choose(100, 0.4, 0.4)
    with pytest.raises(ConfigError, match="three clients"):
        bounds.choose(2, 0.0, 0.0)
    with pytest.raises(ConfigError, match="number from 0"):
        bounds.choose(10, 1.5, 0.0)
    # a handful of neighbours stands no collusion
    assert bounds.security(100, 6, 4, 0.1) == 0
    assert bounds.security(100, 6, 4, 0.0) == math.inf
    assert bounds.security(100, 99, 55, 0.1) == math.inf and bounds.security(100, 99, 54, 0.1) == 0
    assert bounds.lost(100, 6, 4, 0.1) > 0.2 and bounds.lost(100, 99, 60, 0.1) == 0


def test_lost_rounds_happen_as_often_as_predicted() -> None:
    """The union bound is close where it is small."""
    n, degree, threshold, dropped = 60, 10, 6, 6
    rng = np.random.default_rng(5)
    graph = Graph(n, degree, bytes(32))
    near = np.array([graph.neighbours(i) for i in range(n)])
    lost = 0
    for _ in range(4000):
        there = np.ones(n, bool)
        there[rng.choice(n, dropped, replace=False)] = False
        lost += bool((there[near].sum(axis=1) < threshold).any())
    bound = bounds.lost(n, degree, threshold, dropped / n)
    assert 0.2 * bound < lost / 4000 <= bound * 1.3 + 0.005


def test_colluding_clients_lie_badly_as_seldom_as_predicted() -> None:
    """At nine bits: rings with colluding clients in random places, by the condition itself."""
    n, degree, threshold, bad, half, tries = 200, 24, 20, 20, 12, 12_000
    rng, hits = np.random.default_rng(6), 0
    for _ in range(tries // 1000):
        places = np.zeros((1000, n), np.int64)
        np.put_along_axis(places, np.argsort(rng.random((1000, n)), axis=1)[:, :bad], 1, axis=1)
        sums = np.cumsum(
            np.concatenate(
                [np.zeros((1000, 1), np.int64), places[:, -half:], places, places[:, :half]], axis=1
            ),
            axis=1,
        )
        left, right = (
            sums[:, half : half + n] - sums[:, :n],
            sums[:, 2 * half + 1 :] - sums[:, half + 1 : half + 1 + n],
        )
        worst = np.where(places == 1, 0, np.maximum(left + 2 * right, 2 * left + right)).max(axis=1)
        hits += int((worst >= 2 * threshold - degree).sum())
    bound = 2.0 ** -bounds.security(n, degree, threshold, bad / n)
    assert 2.0**-10 < bound < 2.0**-8 and 0.2 * bound < hits / tries <= bound


@pytest.mark.parametrize(("clients", "degree"), [(7, 6), (8, 7), (20, 6), (101, 100), (500, 64)])
def test_the_graph_is_regular_symmetric_and_depends_on_the_seed(clients: int, degree: int) -> None:
    graph, other = Graph(clients, degree, bytes(32)), Graph(clients, degree, bytes(31) + b"\1")
    near = [graph.neighbours(i) for i in range(clients)]
    assert all(
        len(set(near[i])) == degree and i not in near[i] and list(near[i]) == sorted(near[i])
        for i in range(clients)
    )
    assert all(i in near[j] for i in range(clients) for j in near[i])
    assert near == [Graph(clients, degree, bytes(32)).neighbours(i) for i in range(clients)]
    if degree < clients - 1:
        assert near != [other.neighbours(i) for i in range(clients)]


# -- the argument for the ring ---------------------------------------------------------------------------


def _views(
    n: int, degree: int, threshold: int, bad: set[int], dropped: set[int], silent: set[frozenset[int]]
) -> list[set[int]]:
    """The sets whose sums a lying server opens: it has ``dropped`` opened their mask keys, and has told the
    pairs in ``silent`` that the other has dealt no shares.

    A component of honest clients connected by masks is opened if t clients open each b: the colluding
    neighbours and the honest ones with a common mask that are not dropped.
    """
    half = degree // 2
    near = {i: {(i + s) % n for s in range(-half, half + 1) if s} for i in range(n)}
    honest = set(range(n)) - bad - dropped
    tied = {i: {j for j in near[i] & honest if frozenset((i, j)) not in silent} for i in honest}
    dealt = {
        i: len({j for j in near[i] - bad if frozenset((i, j)) not in silent}) + len(near[i] & bad)
        for i in honest
    }
    opened, left = [], set(honest)
    while left:
        component, todo = set(), {left.pop()}
        while todo:
            i = todo.pop()
            component.add(i)
            todo |= tied[i] - component
        left -= component
        if all(dealt[i] >= threshold and len(tied[i]) + len(near[i] & bad) >= threshold for i in component):
            opened.append(component)
    return opened


def _safe(n: int, degree: int, threshold: int, bad: set[int]) -> bool:
    half = degree // 2
    for i in set(range(n)) - bad:
        left, right = (sum((i + side * s) % n in bad for s in range(1, half + 1)) for side in (-1, 1))
        if max(left + 2 * right, 2 * left + right) >= 2 * threshold - degree:
            return False
    return True


def test_no_drop_outs_cut_the_ring_in_two() -> None:
    """All sets of clients that the server may call dropped: never two sums, never a small one."""
    tried = 0
    for n, degree, threshold, bad in (
        (10, 4, 3, set()),
        (10, 4, 4, {3}),
        (11, 6, 4, set()),
        (11, 6, 5, {2, 8}),
        (12, 6, 6, {0, 1}),
    ):
        if not _safe(n, degree, threshold, bad):
            continue
        honest = [i for i in range(n) if i not in bad]
        for size in range(len(honest) + 1):
            for dropped in combinations(honest, size):
                sums = _views(n, degree, threshold, bad, set(dropped), set())
                assert len(sums) <= 1
                assert all(len(s) >= bounds.fewest(n, degree, threshold, len(bad) / n) for s in sums)
                tried += bool(sums)
    assert tried > 50


def test_no_lies_about_who_dealt_split_the_clients() -> None:
    """Random lies, and the two that would work if the threshold were lower:
    a cut, and two interleaved sets.
    """
    rng = np.random.default_rng(7)
    for n, degree, threshold, bad in ((12, 6, 5, {4}), (14, 8, 6, {1}), (12, 8, 7, {0, 5}), (9, 4, 3, set())):
        assert _safe(n, degree, threshold, bad)
        pairs = [frozenset(p) for p in combinations(range(n), 2)]
        for _ in range(3000):
            # the server wants to part these two
            side = rng.integers(0, 2, n)
            across = [p for p in pairs if len({side[i] for i in p}) == 2]
            silent = {p for p in across if rng.random() < 0.9}
            dropped = {int(i) for i in rng.choice(n, rng.integers(0, 4), replace=False)} - bad
            assert len(_views(n, degree, threshold, bad, dropped, silent)) <= 1
    everyone = [frozenset(p) for p in combinations(range(12), 2)]
    assert len(_views(12, 6, 3, set(), {0, 1, 2, 6, 7, 8}, set())) == 0
    # t = k/2: two runs cut the ring
    assert len(_views(14, 4, 2, set(), {0, 1, 7, 8}, set())) == 2
    # odd and even, interleaved
    assert len(_views(12, 8, 4, set(), set(), {p for p in everyone if sum(p) % 2})) == 2
    # one colluding neighbour each, less than 2t − k: not enough
    arc = set(range(1, 8))
    assert (
        len(
            _views(
                16,
                6,
                4,
                {0, 8},
                set(),
                {frozenset(p) for p in combinations(range(16), 2) if len(arc & set(p)) == 1},
            )
        )
        == 2
    )
    assert not _safe(16, 6, 4, {0, 8}) and bounds.security(16, 6, 4, 2 / 16) == 0
