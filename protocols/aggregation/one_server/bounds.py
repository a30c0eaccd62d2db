"""How many neighbours, and how many of them to take: security and lost rounds, computed exactly.

Of n clients, C collude with the server and D drop out, in random places of the ring (``graph.py``); each
client has k neighbours, t of which can open its masks.

*Lost rounds*   A round is lost if more than k − t neighbours of some client drop out:
                n · P[Hyp(n − 1, D, k) > k − t].

*Security*      The server may lie about who dropped out and send different clients different messages.  For
                an honest client, let l and r be the numbers of colluding neighbours on its two sides.  If
                l + 2r < 2t − k and 2l + r < 2t − k for every honest client, then the server learns one sum of
                honest inputs and nothing else, and that sum holds at least ``fewest`` of them:

  1. both kinds    t holders open a client's self mask b and t its mask key s only if 2t ≤ k + l + r, since an
                   honest holder opens one of them.
  2. the dropped   A client v whose s is opened does not open anything: v goes on only if t of its neighbours
                   vouch that v is alive, and t others have it dropped; again 2t ≤ k + l + r.
  3. no cut        Let X be honest clients whose sum is opened.  Who has opened b of v ∈ X, honest, is by 2
                   not dropped, has a common mask with v (v vouches for that), and so is in X: a mask that is
                   neither cancelled nor opened hides the sum.  So v has t − l − r neighbours in X, and one on
                   each side unless t ≤ k/2 + max(l, r): X goes all round the ring.
  4. no weaving    Let X and X' be two such sets, v ∈ X and w ∈ X' next to each other but for a gap that has
                   c_g colluding clients.  The t − c(v) and t − c(w) honest openers are different clients
                   among the k places around v and w outside the gap, so 2t ≤ k + c(N(v) ∩ N(w)) + c_g ≤ k + l
                   + 2r (or 2l + r).

                The probability is a sum over the joint law of l and r, times 2n for all clients and sides.
                Where all are neighbours of all, l + r = C always and 2t > k + C does: two sets would need
                2(t − C + 1) ≤ n − C.

                l + r < 2t − k alone is not enough: with one colluding client in each of two places the server
                can part the ring there (by 3) though nobody has two for a neighbour.
                ``tests/test_aggregation_bounds.py`` does.

*One list*      A client opens only for a list of at least ``Terms.least`` survivors, but sees its neighbours
                only.  Lists that differ can get past that: each says of a far part of the ring that all are
                there.  They cannot if l + 2r < 3t − 2k and 2l + r < 3t − 2k for every honest client: of two
                openers next to each other but for a gap, with different lists, each has t who vouch for its
                own, and in the gap at most k − t honest clients, who do not open; as in 4, 2t ≤ k + (k − t) +
                l + 2r.  With one list, all honest clients on it are in the sum.  Without, which is what
                ``choose`` settles for unless ``one_list`` is asked for, the sum has ``fewest`` of them and no
                more for sure.  Noise that clients share is counted in clients, and needs one list.  Where all
                are neighbours of all, there always is one list.

*Against a server that follows the protocol* (Bell et al.), c(v) < t for all honest v and no two
                runs of k/2 places of the ring without an honest client that stays:
                n · P[Hyp(n − 1, C, k) ≥ t]  +  n(n−1)/2 · P[k given places are all among C + D].

Source   Bell et al., ePrint 2020/704 (the events, the graph, lost rounds; what clients vouch for).  The
         argument for the ring against a lying server is ours: it asks for about a third of the neighbours
         that theirs does, in whose graph clients draw them and need no directory, and for half as many again
         as Google's federated-compute does for this ring, whose condition is l + r < 2t − k.
         ``tests/test_aggregation_bounds.py`` tries all lies of one kind on small rings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from mpc.errors import ConfigError
from mpc.ring import NDArray

SECURITY, LOST = 40, 2.0**-20

#: No client is given more neighbours than this: if it took more, too many drop out or collude.
_MOST_DEGREE = 1 << 12


def tail(marked: int, of: int, drawn: int, least: int) -> float:
    """P[at least ``least`` marked among ``drawn`` of ``of``, of which ``marked`` are]: hypergeometric."""
    return float(_pmf(marked, of, drawn)[max(0, least) :].sum())


def count(fraction: float, clients: int) -> int:
    """A fraction of the clients as a number of them, rounded up: of five, a tenth is one."""
    return math.ceil(fraction * clients - 1e-9)


def lost(clients: int, degree: int, threshold: int, dropout: float) -> float:
    """The most that the probability of a lost round can be when a fraction ``dropout`` of the clients drops
    out.
    """
    return _lost(clients, degree, threshold, count(dropout, clients))


def _lost(clients: int, degree: int, threshold: int, lacking: int) -> float:
    return min(1.0, clients * tail(lacking, clients - 1, degree, degree - threshold + 1))


def security(
    clients: int,
    degree: int,
    threshold: int,
    corrupt: float,
    honest_dropout: float | None = None,
    *,
    one_list: bool = False,
) -> float:
    """Bits of statistical security when a fraction ``corrupt`` of the clients colludes with the server.

    Against a server that does anything, with ``one_list`` so that lists of survivors cannot differ either;
    with ``honest_dropout``, against one that follows the protocol while that fraction of the clients drops
    out.  ``inf`` where no set of that many clients can break it.
    """
    bad = count(corrupt, clients)
    if honest_dropout is not None:
        return _bits(_curious(clients, degree, threshold, bad, count(honest_dropout, clients)))
    if degree == clients - 1:
        return math.inf if 2 * threshold > degree + bad else 0.0
    margin = min(2 * threshold - degree, 3 * threshold - 2 * degree) if one_list else 2 * threshold - degree
    return _bits(2 * clients * float(_weighted(clients, degree, bad)[max(0, margin) :].sum()))


def fewest(clients: int, degree: int, threshold: int, corrupt: float, bits: float = SECURITY) -> int:
    """How many honest inputs there are at least in what is opened, but for 2^-bits.

    By step 3 a client in it has t − l − r neighbours in it; and a next one that lies beyond its neighbours
    can be found within three halves of k places, all round the ring.
    """
    bad = count(corrupt, clients)
    if degree == clients - 1:
        return max(0, threshold - bad + 1)
    around = next(
        c for c in range(degree + 1) if clients * tail(bad, clients - 1, degree, c + 1) <= 2.0**-bits
    )
    return max(1, clients // (degree + degree // 2 + 1)) * max(0, threshold - around + 1)


def choose(
    clients: int,
    dropout: float,
    corrupt: float,
    *,
    bits: float = SECURITY,
    most_lost: float = LOST,
    one_list: bool = False,
) -> tuple[int, int]:
    """The smallest degree, and a threshold, with this security against any server and this rate of lost
    rounds.

    Raises ``ConfigError`` where no threshold does: too many clients collude or drop out.
    """
    for fraction, what in ((dropout, "drop out"), (corrupt, "collude")):
        if not 0 <= fraction < 1:
            raise ConfigError(
                f"a fraction of {fraction} clients cannot {what}; give a number from 0 to below 1"
            )
    if clients < 3:
        raise ConfigError(
            "secure aggregation takes three clients at least: of two, each knows the other's input from"
            " the sum"
        )

    def smallest(lacking: int, bad: int) -> tuple[int, int] | None:
        return _smallest(clients, lacking, bad, bits, most_lost, one_list)

    lacking, bad = count(dropout, clients), count(corrupt, clients)
    if (found := smallest(lacking, bad)) is not None:
        return found
    better = _what_would(clients, lacking, bad, lambda d, c: smallest(d, c) is not None)
    raise ConfigError(
        f"with {clients} clients, {lacking} lost to drop-outs (dropout = {dropout:g}) and {bad} colluding "
        f"with the server (corrupt = {corrupt:g}), no threshold is safe to {bits:g} bits and loses fewer "
        f"than one round in {1 / most_lost:.0f}: {better}"
    )


def in_words(standing: Mapping[str, Any]) -> str:
    """What degree and threshold are worth, as ``Terms.standing`` has it."""
    bad = count(standing["corrupt"], standing["clients"])
    assumed = f"{bad} of {standing['clients']} clients collude" if bad else "no client colludes"
    worth = f"{standing['security_bits']:g} bits of security against a server with which {assumed}"
    return f"{standing['neighbours']} neighbours, threshold {standing['threshold']}: {worth}"


def instead(clients: int, degree: int, corrupt: float, bits: float, *, one_list: bool) -> str:
    """What would be as safe as that: a threshold for this degree, or else another degree too."""
    bad = count(corrupt, clients)
    if (t := _threshold(clients, degree, bad, bits, one_list)) is not None:
        return f"a threshold of {t} would do"
    losses = (count(0.1, clients), "also if a tenth of them drops out"), (0, "if nobody drops out")
    for lacking, what in losses:
        if (found := _smallest(clients, lacking, bad, bits, LOST, one_list)) is not None:
            return f"{found[0]} neighbours with a threshold of {found[1]} would do, {what}"
    return "nothing would do but a smaller fraction"


def _what_would(clients: int, lacking: int, bad: int, does: Callable[[int, int], bool]) -> str:
    """The most that may drop out and the most that may collude, of those asked for: fractions with which it
    can be done.
    """
    pairs = set[tuple[int, int]]()
    for d, c, of_lacking in (
        (lacking, bad, True),
        (lacking, bad, False),
        (lacking, 0, True),
        (0, bad, False),
    ):
        low, high = -1, d if of_lacking else c  # fewer of them are easier
        while high > low:
            middle = (low + high + 1) // 2
            pair = (middle, c) if of_lacking else (d, middle)
            low, high = (middle, high) if does(*pair) else (low, middle - 1)
        if low >= 0:
            pairs.add((low, c) if of_lacking else (d, low))
    best = sorted((d, c) for d, c in pairs if not any(d <= e and c <= f for e, f in pairs - {(d, c)}))
    ways = [f"dropout = {_fraction(d, clients)} with corrupt = {_fraction(c, clients)}" for d, c in best]
    return f"{' or '.join(ways)} would do" if ways else "there are too few of them for any"


def _fraction(part: int, whole: int) -> str:
    """A fraction that ``count`` makes so many of."""
    digits = 1
    while count(shown := math.floor(part / whole * 10**digits) / 10**digits, whole) != part:
        digits += 1
    return f"{shown:.{digits}f}"


def _smallest(
    clients: int, lacking: int, bad: int, bits: float, most_lost: float, one_list: bool
) -> tuple[int, int] | None:
    """The smallest degree, and a threshold, when so many clients drop out and so many collude."""

    def threshold(degree: int) -> int | None:
        t = _threshold(clients, degree, bad, bits, one_list)
        return t if t is not None and _lost(clients, degree, t, lacking) <= most_lost else None

    most = min(_MOST_DEGREE, clients - 2) // 2
    high = next((2**i for i in range(most.bit_length()) if threshold(2 * 2**i)), most)
    low = high // 2
    while high - low > 1:  # half the degree, by bisection: security grows with it
        middle = (low + high) // 2
        low, high = (low, middle) if threshold(2 * middle) else (middle, high)
    for degree in (2 * high, clients - 1):
        t = threshold(degree) if 0 < degree <= _MOST_DEGREE else None
        if t is not None:
            return degree, t
    return None


def _threshold(clients: int, degree: int, bad: int, bits: float, one_list: bool) -> int | None:
    """The smallest threshold with this security when so many collude, by the distribution of l + 2r."""
    if degree == clients - 1:
        t = (degree + bad) // 2 + 1
        return t if t <= degree else None
    law = _weighted(clients, degree, bad)
    above = 2 * clients * np.cumsum(law[::-1])[::-1]  # above[s] bounds P[some l + 2r ≥ s]
    margin = max(1, int(np.argmax(np.append(above, 0.0) <= 2.0**-bits)))  # 2t − degree, or 3t − 2·degree
    t = -(-(2 * degree + margin) // 3) if one_list else (degree + margin + 1) // 2
    return t if t <= degree else None


def _curious(clients: int, degree: int, threshold: int, bad: int, dropped: int) -> float:
    shares = clients * tail(bad, clients - 1, degree, threshold)
    if degree == clients - 1:
        return shares
    cut = clients * (clients - 1) / 2 * float(_pmf(min(clients, bad + dropped), clients, degree)[degree])
    return shares + cut


@lru_cache(maxsize=256)
def _pmf(marked: int, of: int, drawn: int) -> NDArray:
    """The hypergeometric law: index j is P[j marked among those drawn]."""
    j = np.arange(drawn + 1)
    return np.asarray(
        np.exp(_choose(marked, j) + _choose(of - marked, drawn - j) - _choose(of, np.array([drawn])))
    )


@lru_cache(maxsize=256)
def _weighted(clients: int, degree: int, bad: int) -> NDArray:
    """The law of l + 2r for k/2 places on either side of an honest client."""
    half = degree // 2
    out = np.zeros(3 * half + 1)
    few = min(half, bad) + 1
    left, right = np.arange(few)[:, None], np.arange(few)[None, :]
    elsewhere = _choose(clients - 1 - degree, bad - np.arange(2 * few - 1))[left + right]
    joint = np.exp(
        _choose(half, left) + _choose(half, right) + elsewhere - _choose(clients - 1, np.array([bad]))
    )
    np.add.at(out, left + 2 * right, joint)
    return out


def _choose(n: int, k: NDArray) -> NDArray:
    """log of n choose k; −∞ where there is no way."""
    inside = np.clip(k, 0, max(n, 0))
    return np.where(
        inside == k,
        _log_factorial(max(n, 0)) - _log_factorial(inside) - _log_factorial(max(n, 0) - inside),
        -np.inf,
    )


def _log_factorial(k: Any) -> NDArray:
    return np.array([math.lgamma(x + 1) for x in np.ravel(k).tolist()]).reshape(np.shape(k))


def _bits(probability: float) -> float:
    return math.inf if probability <= 0 else max(0.0, -math.log2(probability))
