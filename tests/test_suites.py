"""The conformance suite: NumPy on secrets gives what NumPy gives, with every suite, ring and number of
parties.

One table of operations, ``protocols/conformance/operations.py``, is evaluated on ndarrays and on secrets.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import play, words

import mpc
from mpc import EncodingError, MpcError
from mpc.encoding import INT
from mpc.errors import ConfigError, DesyncError, PartyLost
from mpc.ring import BITS, Z32, Z64, Z128, Ring, RingArray
from mpc.rounds import Recorder
from protocols.array.session import Session
from protocols.conformance.operations import OPERATIONS
from protocols.conformance.playing import input_of
from protocols.conformance.values import check, evaluate
from protocols.suite import CHUNK, Suite

RINGS = {64: 16, 32: 8, 128: 40}  # bits of the ring, and of the fraction

#: All operations over 64 bits, of integers and of reals, with both suites; over another ring each operation
#: once, and where more dealt parties make the same products of what they share one of so many: from which on,
#: and one of how many.
KINDS = [
    *((*who, 64, fixed, 0, 1) for who in (("additive", 2), ("replicated", 3)) for fixed in (False, True)),
    *(
        (*who, bits, fixed, first, 4)
        for bits in (32, 128)
        for first, (who, fixed) in enumerate(
            (who, fixed) for fixed in (False, True) for who in (("additive", 2), ("replicated", 3))
        )
    ),
    ("additive", 3, 64, True, 1, 3),
    ("additive", 5, 32, False, 0, 5),
]
#: All operations over 64 bits once.
THREADS = [
    ("additive", 2, 64, True, 0, 2),
    ("additive", 3, 32, False, 0, 3),
    ("replicated", 3, 64, True, 1, 2),
    ("replicated", 3, 128, False, 0, 3),
]


@pytest.mark.parametrize(("suite", "parties", "bits", "fixed", "first", "of"), KINDS)
def test_parity_in_lockstep(suite: str, parties: int, bits: int, fixed: bool, first: int, of: int) -> None:
    fraction, table = RINGS[bits] if fixed else 0, OPERATIONS[first::of]
    with mpc.local(parties, suite, ring=bits, fraction_bits=RINGS[bits]) as session:
        check(evaluate(session, fraction, table), fraction, 2.0 ** -RINGS[bits], table)


@pytest.mark.parametrize(("suite", "parties", "bits", "fixed", "first", "of"), THREADS)
def test_parity_in_threads(suite: str, parties: int, bits: int, fixed: bool, first: int, of: int) -> None:
    fraction, table = RINGS[bits] if fixed else 0, OPERATIONS[first::of]
    session = mpc.local(parties, suite, ring=bits, fraction_bits=RINGS[bits])
    results = session.run(lambda party: evaluate(party, fraction, table))
    check(results[0], fraction, 2.0 ** -RINGS[bits], table)
    for other in results[1:]:
        assert all(
            np.array_equal(a, b)
            for x, y in zip(results[0], other, strict=True)
            for a, b in zip(x, y, strict=True)
        )


@pytest.mark.parametrize("fuse", [0, 1 << 16])
@pytest.mark.parametrize("bits", RINGS)
@pytest.mark.parametrize("seed", range(4))
def test_random_programs_agree(seed: int, bits: int, fuse: int) -> None:
    """Deferred evaluation: 60 random operations on each other's results, modulo 2^k, in one reveal."""
    rng = np.random.default_rng(seed)
    session = mpc.local(3, ring=bits, fraction_bits=8, fuse=fuse)
    plain = [rng.integers(-100, 100, (3, 3)).astype(object) for _ in range(4)]
    secret = [session.secret(p, owner=i % 3) for i, p in enumerate(plain)]
    steps: list[Callable[..., Any]] = [
        lambda x, y: x + y,
        lambda x, y: x - y,
        lambda x, y: x * y,
        lambda x, y: x @ y,
        lambda x, y: -x.T,
        lambda x, y: x * 3 - 1,
        lambda x, y: np.where(np.eye(3) > 0, x, y),
        lambda x, y: x.cumsum(axis=0) + y[::-1],
    ]
    for _ in range(60):
        f, i, j = steps[rng.integers(len(steps))], *rng.integers(len(plain), size=2)
        plain.append(f(plain[i], plain[j]))
        secret.append(f(secret[i], secret[j]))
    for p, s in zip(plain, session.reveal(*secret), strict=True):
        assert ((p - s) % 2**bits == 0).all()


# -- sizes, order of memory, streaming ----------------------------------------------------------------


BIG = [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 5]


@pytest.mark.parametrize("size", BIG)
def test_streamed_sizes(size: int) -> None:
    """Around and above the size from which operations are streamed in pieces."""
    rng = np.random.default_rng(size)
    x, y = rng.integers(-(2**31), 2**31, (2, size))
    a, b = x / 2.0**24, y / 2.0**24
    s = mpc.local(2)
    sx, sy, sa, sb = (s.secret(v, owner=i % 2) for i, v in enumerate((x, y, a, b)))
    assert (s.reveal(sx) == x).all()
    assert (s.reveal(sx, to=1) == x).all()
    assert (s.reveal(sx * sy) == x * y).all()
    ra, rb = np.rint(a * 2**16) / 2**16, np.rint(b * 2**16) / 2**16
    product, half = s.reveal(sa * sb, sa * 0.5)
    assert np.abs(product - ra * rb).max() <= 2.0**-16
    assert np.abs(half - ra * 0.5).max() <= 2.0**-16
    assert np.abs(s.reveal(sa * 0.3) - ra * 0.3).max() <= 3.001 * 2.0**-16


@pytest.mark.parametrize("parties", [2, 3])
def test_streamed_in_threads_with_other_operations_around(parties: int) -> None:
    size = 3 * CHUNK + 1

    def main(party: Session) -> Any:
        x = party.secret(np.arange(size), shape=(size,), kind=INT)
        small = party.secret(np.arange(3), shape=(3,), kind=INT)
        before = small * small
        z = x * x
        return party.reveal(z, before, z[:3] * before)

    for z, before, after in mpc.local(parties).run(main):
        assert (
            (z == np.arange(size) ** 2).all() and (before == [0, 1, 4]).all() and (after == [0, 1, 16]).all()
        )


def test_streamed_arrays_of_several_axes_and_odd_memory() -> None:
    x = np.random.default_rng(0).integers(-1000, 1000, (3, 181, 250))
    s = mpc.local(2)
    secret = s.secret(x.transpose(2, 0, 1), owner=1)
    assert (s.reveal(secret.transpose(1, 2, 0) * secret.transpose(1, 2, 0)) == x * x).all()
    assert (s.reveal(secret[::-1, ::-1] * secret[::-1, ::-1]) == (x * x).transpose(2, 0, 1)[::-1, ::-1]).all()
    assert (s.reveal(secret.T) == x.transpose(2, 0, 1).T).all()


@pytest.mark.parametrize("to", [0, 1, 2, [0, 2], (2, 1), [1], range(3)])
@pytest.mark.parametrize("size", [3, 2 * CHUNK])
@pytest.mark.parametrize("suite", ["replicated", "additive"])
def test_reveal_to_some_parties(suite: str, to: Any, size: int) -> None:
    def main(party: Session) -> Any:
        x = party.secret(np.arange(size), shape=(size,), kind=INT)
        return x.reveal(to=to), party.reveal(x, x + 1, to=to)

    for rank, (one, two) in enumerate(mpc.local(3, suite).run(main)):
        if rank in ([to] if isinstance(to, int) else to):
            assert (one == np.arange(size)).all() and (two[1] == one + 1).all()
        else:
            assert one is None and two == (None, None)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (), (1,), (0, 0)])
def test_empty_and_scalar_arrays(shape: tuple[int, ...]) -> None:
    x = np.full(shape, 3)
    s = mpc.local(3)
    a, f = s.secret(x), s.secret(x * 1.0)
    assert a.shape == f.shape == shape and a.size == x.size and a.ndim == x.ndim
    for mine, expected in (
        (a * a + 1, x * x + 1),
        (a.sum(), x.sum()),
        (f * f, x * 9.0 / 3),
        (f * 0.5, x * 0.5),
        (a.reshape(-1), x.reshape(-1)),
    ):
        assert np.array_equal(s.reveal(mine), expected)
    assert np.array_equal(s.reveal(a, to=1), x)
    assert np.isscalar(s.reveal(a)) == (shape == ())


def test_dimensions_without_a_round() -> None:
    s = mpc.local(2)
    x = s.secret(np.zeros((2, 3)))
    assert (
        np.shape(x) == (2, 3) and np.ndim(x) == 2 and np.size(x) == 6 and np.size(x, 1) == 3 and len(x) == 2
    )
    with pytest.raises(TypeError):
        len(x[0, 0])


# -- input and output ---------------------------------------------------------------------------------


def test_owners_announce_shapes_and_kinds() -> None:
    def main(party: Session) -> Any:
        mine = np.full((party.id + 1,), party.id + 0.5)
        first = party.secret(mine if party.id == 1 else None, owner=1)
        every = party.secret_from_each(mine)
        return first.shape, [e.shape for e in every], party.reveal(first, *every)

    for shape, shapes, values in mpc.local(3).run(main):
        assert shape == (2,) and shapes == [(1,), (2,), (3,)]
        assert [v.tolist() for v in values] == [[1.5, 1.5], [0.5], [1.5, 1.5], [2.5, 2.5, 2.5]]


def test_what_others_pass_as_an_owners_value_is_ignored() -> None:
    def main(party: Session) -> Any:
        return party.secret([party.id] * 2, owner=1, shape=(2,), kind=INT).reveal()

    assert all((r == 1).all() for r in mpc.local(3).run(main))


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 1e30, 2**70, "text", None, [[1], [1, 2]], 1j, ...], ids=repr
)
def test_bad_inputs_are_refused(value: Any) -> None:
    s = mpc.local(2)
    with pytest.raises(MpcError):
        s.secret(value)
    assert s.reveal(s.secret(1)) == 1


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 1e30, "text", 1j, None, ..., [[1], [1, 2]]], ids=repr
)
@pytest.mark.parametrize(
    "f",
    [lambda x, v: x + v, lambda x, v: v - x, lambda x, v: x * v, lambda x, v: x @ v],
    ids=["+", "-", "*", "@"],
)
def test_bad_public_operands_are_refused(f: Any, value: Any) -> None:
    """With an error that says so; never with an array of objects."""
    s = mpc.local(2)
    x = s.secret([1.0, 2.0])
    with pytest.raises((EncodingError, TypeError, ValueError)):
        f(x, value)
    assert s.reveal(x).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x == None,  # noqa: E711
        lambda x: x != None,  # noqa: E711
        lambda x: x < None,
        lambda x: None + x,
    ],
)
def test_nothing_is_no_operand(f: Any) -> None:
    with pytest.raises(EncodingError, match="of type NoneType cannot be shared"):
        f(mpc.local(2).secret([1, 2]))


def test_asking_for_what_is_not_there() -> None:
    x = mpc.local(2).secret([1.5, 2.0])
    assert (
        hasattr(x, "dtype")
        and not hasattr(x, "nothing")
        and not hasattr(x, "__array_interface__")
        and getattr(x, "iloc", 7) == 7
    )


def test_bad_calls_are_refused() -> None:
    s = mpc.local(2)
    x = s.secret([1, 2])
    for call in (
        lambda: s.secret(1, owner=2),
        lambda: s.secret(None),
        lambda: s.secret([1], shape=(2,)),
        lambda: s.secret(x),
        lambda: s.reveal(5),
        lambda: s.reveal(x, to=2),
        lambda: s.reveal(x, to=-1),
        lambda: x.reveal(to=[]),
        lambda: x.reveal(to=[0, 0]),
        lambda: x.reveal(to=[0, 2]),
        lambda: x.reveal(to="01"),
        lambda: s.secret_from_each([1]),
        lambda: s.secret(np.zeros((1,) * 20)),
    ):
        with pytest.raises(MpcError):
            call()
    for arguments in (
        {"parties": 1},
        {"suite": "none"},
        {"ring": 48},
        {"fraction_bits": 40},
        {"fraction_bits": 0},
    ):
        with pytest.raises(MpcError):
            mpc.local(**arguments)
    with pytest.raises(ConfigError, match="additive"):
        mpc.local(2, "none")
    with pytest.raises(ZeroDivisionError):
        x / 0
    with pytest.raises(ZeroDivisionError):
        x / [1, 0]


def test_sessions_do_not_mix() -> None:
    x, y = mpc.local(2).secret([1, 2]), mpc.local(2).secret([1, 2])
    for call in (
        lambda: x + y,
        lambda: x * y,
        lambda: x @ y,
        lambda: np.stack([x, y]),
        lambda: x.session.reveal(y),
        lambda: x.session.reveal(x, y),
    ):
        with pytest.raises(MpcError, match="session"):
            call()


# -- what is not there --------------------------------------------------------------------------------


UNSUPPORTED: dict[str, Callable[[Any], Any]] = {
    "gcd": lambda x: np.gcd(x, 6),
    "lcm": lambda x: np.lcm(x, x),
    "subtract.accumulate": np.subtract.accumulate,
    "subtract.reduce": np.subtract.reduce,
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported_functions_say_their_names(name: str) -> None:
    s = mpc.local(2)
    with pytest.raises(NotImplementedError, match=name.rsplit(".", maxsplit=1)[-1]):
        UNSUPPORTED[name](s.secret(np.eye(3)))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: (-2) ** x,
        lambda x: np.array([1, 0, 3]) ** x,
        lambda x: x**np.nan,
        lambda x: x**100.5,
        lambda x: np.add(x, x, where=np.eye(3) > 0),
        lambda x: np.mean(x, dtype=int),
        lambda x: np.pad(x, 1, "mean"),
        lambda x: np.pad(x, 1, constant_values=x[0, 0]),
    ],
)
def test_unsupported_arguments_are_refused(call: Any) -> None:
    s = mpc.local(2)
    with pytest.raises(NotImplementedError):
        call(s.secret(np.eye(3)))


def in_place(x: Any) -> None:
    a = np.ones((3, 3))
    a += x


def in_place_power(x: Any) -> None:
    a = np.ones((3, 3))
    np.multiply(x, x, out=a)


LEAKS: dict[str, Callable[[Any], Any]] = {
    "bool": bool,
    "if": lambda x: 1 if x else 0,
    "and": lambda x: x and x,
    "not": lambda x: not x,
    "float": float,
    "int": int,
    "complex": complex,
    "hash": hash,
    "range": lambda x: range(x[0, 0]),
    "list index": lambda x: [1, 2][x[0, 0]],
    "array index": lambda x: np.arange(3)[x[0, 0]],
    "index": lambda x: x[x[0, 0]],
    "index in tuple": lambda x: x[0, x[0, 0]],
    "index in list": lambda x: x[[x[0, 0], 1]],
    "slice": lambda x: x[: x[0, 0]],
    "np.array": lambda x: np.array([x, x]),
    "np.asarray": np.asarray,
    "np.array of scalars": lambda x: np.array([x[0, 0], 1]),
    "np.array object": lambda x: np.asarray([x]),
    "np.float64": np.float64,
    "assign into ndarray": lambda x: np.zeros((3, 3)).__setitem__(0, x[0]),
    "setitem": lambda x: x.__setitem__(0, 1),
    "iadd ndarray": in_place,
    "out": in_place_power,
    "np.sum out": lambda x: np.sum(x, out=np.zeros(())),
    "pickle": pickle.dumps,
    "copy.copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "format": lambda x: f"{x:.2f}",
    "in": lambda x: 1 in x,
    "min": lambda x: min(x[0]),
    "np.save": lambda x: np.save("/dev/null", x),
    "memoryview": memoryview,
}


@pytest.mark.parametrize("name", LEAKS)
def test_what_would_leak_is_a_type_error(name: str) -> None:
    s = mpc.local(2)
    with pytest.raises((TypeError, NotImplementedError)):
        LEAKS[name](s.secret(np.eye(3)))


@pytest.mark.parametrize(
    ("f", "instead"),
    [
        (np.unique, r"mpc\.unique\(x\), padded, or mpc\.unique_counts"),
        (lambda x: np.union1d(x, x), r"mpc\.union1d"),
        (lambda x: np.setdiff1d([1], x), r"mpc\.setdiff1d"),
        (lambda x: x[x > 1], r"mask.*np\.where.*x\.at\[mask\]\.set"),
        (lambda x: x.__setitem__(0, 1), r"x = x\.at\[index\]\.set\(y\)"),
        (np.nonzero, "np.where"),
        (np.flatnonzero, "np.where"),
        (np.argwhere, "np.count_nonzero"),
        (np.bincount, "minlength"),
        (np.histogram, "edges"),
        (lambda x: x[x], "np.take"),
        (lambda x: np.arange(3)[x], "mpc.take"),
        (lambda x: np.take([1, 2], x), "mpc.take"),
    ],
)
def test_a_result_whose_shape_would_leak_is_refused_with_another_way(f: Any, instead: str) -> None:
    with pytest.raises(TypeError, match=instead):
        f(mpc.local(2).secret([1, 2]))


def test_errors_say_what_to_do_instead() -> None:
    x = mpc.local(2).secret([1, 2])
    for call in (float, np.asarray):
        with pytest.raises(TypeError, match="reveal"):
            call(x)


def test_in_place_operators_give_the_name_to_a_new_secret() -> None:
    """Secrets are immutable: whoever else has the old one keeps it."""
    x = y = mpc.local(2).secret([1, 2])
    x += 1
    x *= x
    x -= [1, 2]
    x **= 2
    assert x.reveal().tolist() == [9, 49] and y.reveal().tolist() == [1, 2]
    x = y / 1
    x /= 2
    assert x.reveal().tolist() == [0.5, 1.0]
    x = y * 5
    for change in ("x |= 16", "x ^= 3", "x &= 30", "x <<= 2", "x >>= 1", "x %= 32", "x //= 4"):
        names = {"x": x}
        exec(change, names)
        x = names["x"]
    a = np.array([5, 10])
    assert x.reveal().tolist() == (
        (((((a | 16) ^ 3) & 30) << 2 >> 1) % 32) // 4
    ).tolist() and y.reveal().tolist() == [1, 2]


def test_revealed_values_are_the_users_own() -> None:
    """Changing what was revealed, or what was passed in, changes nothing inside."""
    s = mpc.local(2)
    values = np.array([1, 2, 3])
    x = s.secret(values)
    values[:] = 9
    first = s.reveal(x)
    assert first.tolist() == [1, 2, 3]
    if first.flags.writeable:
        first[:] = 7
    assert s.reveal(x).tolist() == [1, 2, 3]
    public = np.array([1, 1, 1])
    y = x * 1 + public
    z = x * x + public
    public[:] = 5
    assert s.reveal(y).tolist() == [2, 3, 4] and s.reveal(z).tolist() == [2, 5, 10]


def test_public_operands_are_read_when_the_operation_starts() -> None:
    """An operation that waits for an earlier one still uses the public value of its own line."""
    s = mpc.local(2)
    x = s.secret([1, 2, 3])
    factor, word, mask = np.array([2, 2, 2]), np.array([2, 2, 2], np.uint64), np.array([True, False, True])
    index, listed = np.array([0, 1]), [0, 1]
    waiting = x * x
    results = [
        waiting * factor,
        waiting * word,
        waiting * (factor * 0.5),
        np.where(mask, waiting, 0),
        np.where(mask, word, waiting),
        waiting[index],
        waiting[listed],
        waiting[None, index],
        np.take(waiting, index),
        np.repeat(waiting, word.astype(int)),
        waiting - factor,
        waiting @ word,
    ]
    factor[:], word[:], mask[:], index[:], listed[:] = 100, 100, False, 2, [2, 2]
    assert [r.tolist() for r in s.reveal(*results)] == [
        [2, 8, 18],
        [2, 8, 18],
        [1, 4, 9],
        [1, 0, 9],
        [2, 4, 2],
        [1, 4],
        [1, 4],
        [[1, 4]],
        [1, 4],
        [1, 1, 4, 4, 9, 9],
        [-1, 2, 7],
        28,
    ]


def test_a_fixed_seed_is_deterministic_and_no_seed_is_not() -> None:
    def parts(**options: Any) -> list[bytes]:
        s = mpc.local(2, **options)
        s.sync(x := s.secret([1, 2, 3]))
        return [t.result().parts[0].data.tobytes() for t in x.tasks]

    assert parts(insecure_seed=1) == parts(insecure_seed=1) != parts(insecure_seed=2)
    assert parts() != parts()


# -- parties in threads -------------------------------------------------------------------------------


def test_a_failing_party_ends_the_session_with_its_own_error() -> None:
    """Not with the loss of a party that follows from it."""

    def main(party: Session) -> Any:
        x = party.secret([1, 2], shape=(2,), kind=INT)
        if party.id == 1:
            raise KeyError("mine")
        return x.reveal()

    with pytest.raises(KeyError, match="mine"):
        mpc.local(3).run(main)


def test_programs_that_differ_end_in_an_error_that_says_so() -> None:
    def main(party: Session) -> Any:
        x = party.secret([1, 2], shape=(2,), kind=INT)
        return (x * x if party.id == 1 else x + x).reveal()

    with pytest.raises(DesyncError, match="diverged"):
        mpc.local(3).run(main)


def test_public_values_that_differ_in_shape_end_in_an_error() -> None:
    def main(party: Session) -> Any:
        x = party.secret([1, 2, 3], shape=(3,), kind=INT)
        return x[: 2 + party.id % 2].reveal()

    with pytest.raises(DesyncError):
        mpc.local(2).run(main)


def test_a_party_that_ends_early_is_lost() -> None:
    def main(party: Session) -> Any:
        return None if party.id else party.secret([1], shape=(1,), kind=INT).reveal()

    with pytest.raises(PartyLost):
        mpc.local(2).run(main)


def test_results_come_by_party() -> None:
    assert mpc.local(5).run(lambda party: (party.id, party.size)) == [(i, 5) for i in range(5)]


@pytest.mark.parametrize("parties", [4, 5])
@pytest.mark.parametrize("ring", [Z32, Z64, Z128, BITS], ids=str)
def test_large_arrays_are_opened_in_parts(ring: Ring, parties: int) -> None:
    """Right whatever is left over; a party gets of the others' parts what it adds up, and sums."""
    shapes = [(1 << 17,), (3, 5461), (), (2,), (0,)]
    values = [RingArray(ring, words(ring, shape, i)) for i, shape in enumerate(shapes)]

    async def main(suite: Suite) -> Any:
        return await suite.open(*[await input_of(suite, v, i % parties) for i, v in enumerate(values)])

    recorder = Recorder()
    for opened in play(parties, main, record=recorder):
        for got, value in zip(opened, values, strict=True):
            assert got.spec == value.spec and (got.data == value.data).all()
    sent = [m for m in recorder.messages if m.tag.startswith("open")]
    assert {m.tag for m in sent} == {"open", "open, added up"}
    assert sum(sum(a.size for a in m.arrays) for m in sent) == 2 * (parties - 1) * sum(v.size for v in values)
