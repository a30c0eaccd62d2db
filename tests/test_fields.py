"""Prime fields as rings, and the suite of ``examples/shamir`` that computes over them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mpc
from mpc.errors import ConfigError, EncodingError, WireError
from mpc.fields import P61, field_of
from mpc.prg import Stream
from mpc.ring import RingArray, Spec
from protocols.suite import CHUNK

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "shamir"
PRIMES = [P61, 257, (1 << 127) - 1, (1 << 255) - 19]
SUITE = "shamir:Shamir"


def plain(x: RingArray) -> list[int]:
    return [int(v) for v in x.data.flat]


def elements(p: int) -> st.SearchStrategy[list[int]]:
    edges = [0, 1, 2, p // 2, p // 2 + 1, p - 2, p - 1, (1 << 31) % p, (1 << 32) % p, (1 << 61) % p]
    return st.lists(st.sampled_from(edges) | st.integers(0, p - 1), min_size=8, max_size=8)


@pytest.mark.parametrize("p", PRIMES)
@given(data=st.data())
def test_arithmetic_is_that_of_integers_modulo_p(p: int, data: st.DataObject) -> None:
    a, b = (data.draw(elements(p)) for _ in range(2))
    field = field_of(p)
    x, y = field(a), field(b)
    assert plain(x) == a
    assert plain(x + y) == [(u + v) % p for u, v in zip(a, b, strict=True)]
    assert plain(x - y) == [(u - v) % p for u, v in zip(a, b, strict=True)]
    assert plain(x * y) == [u * v % p for u, v in zip(a, b, strict=True)]
    assert plain(-x) == [-u % p for u in a]
    assert plain(x << 70) == [(u << 70) % p for u in a]
    assert plain(x.sum()) == [sum(a) % p]
    assert plain(x.cumsum()) == [sum(a[: i + 1]) % p for i in range(8)]
    assert plain(x + y[:1]) == [(u + b[0]) % p for u in a]
    m, n = (z.map(lambda d: d.reshape(2, 4)) for z in (x, y))
    product = np.array(a, object).reshape(2, 4) @ np.array(b, object).reshape(2, 4).T
    assert plain(m @ n.map(np.transpose)) == [int(v) % p for v in product.flat]
    assert field.signed(x.data).tolist() == [u if u <= p // 2 else u - p for u in a]
    assert field(-5).data == p - 5 and plain(field(np.array([-1, 2]))) == [p - 1, 2]
    assert all(u == 0 or u * field.inverse(u) % p == 1 for u in a)  # type: ignore[attr-defined]


@pytest.mark.parametrize("inner", [1, 2047, 2048, 2049, 5000])
def test_long_sums_of_the_largest_products_are_exact(inner: int) -> None:
    field = field_of(P61)
    x = np.full((2, inner), P61 - 1, np.uint64)
    x[1] = Stream(bytes(32), "test").draw(Spec(field, (inner,))).data
    assert plain(RingArray(field, field.matmul(x, x.T))) == [
        int(v) % P61 for v in (x.astype(object) @ x.astype(object).T).flat
    ]
    assert field.matmul(x, x[0]).tolist() == field.matmul(x, x.T)[:, 0].tolist()


@pytest.mark.parametrize("p", PRIMES)
def test_there_is_one_encoding(p: int) -> None:
    field = field_of(p)
    x = field([[0, 1, p - 1], [p // 2, 3, 5]])
    data = bytes(field.encode(x.data))
    assert len(data) == 6 * field.itemsize
    assert (field.decode(memoryview(data), (2, 3)) == x.data).all()
    assert field.decode(memoryview(b""), (0, 3)).shape == (0, 3)
    for wrong in (p, p + 1, (1 << 8 * field.itemsize) - 1):
        bent = wrong.to_bytes(field.itemsize, "little") + data[field.itemsize :]
        with pytest.raises(WireError, match="a number is too large"):
            field.decode(memoryview(bent), (2, 3))
    with pytest.raises(WireError, match="bytes arrived"):
        field.decode(memoryview(data[:-1]), (2, 3))


@pytest.mark.parametrize("p", PRIMES)
def test_draws_are_uniform_and_the_same_for_the_same_seed(p: int) -> None:
    spec = Spec(field_of(p), (50, 100))
    first, second = (Stream(bytes(32), "test") for _ in range(2))
    x = first.draw(spec)
    assert plain(x) == plain(second.draw(spec)) and first.position == second.position
    assert plain(x) != plain(first.draw(spec))
    parts = np.array([v * 16 // p for v in plain(x)])
    counts = np.bincount(parts, minlength=16)
    assert len(counts) == 16 and ((counts - 312.5) ** 2).sum() / 312.5 < 45  # χ² with 15 degrees, 1 in 10^4
    assert x.shape == (50, 100) and first.draw(Spec(spec.ring, ())).shape == ()


@pytest.mark.parametrize("number", [0, 2, 61, 251, 256, 1 << 61, P61 + 2, 64])
def test_of_other_numbers_there_is_no_field(number: int) -> None:
    with pytest.raises(ConfigError, match="no field of so many elements"):
        field_of(number)


@pytest.fixture
def shamir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLE)


@pytest.mark.usefixtures("shamir")
@pytest.mark.parametrize("p", [P61, (1 << 127) - 1])
@pytest.mark.parametrize("parties", [3, 4, 5, 6, 7])
def test_shamir_adds_and_multiplies(parties: int, p: int) -> None:
    session = mpc.local(parties, SUITE, ring=p)
    most = p // 2
    a, b = np.array([[most, -most, 3], [0, -4, 5]], object), np.array([[1, -1, 7], [9, 0, -2]], object)
    x, y = session.secret(a, owner=0), session.secret(b, owner=parties - 1)
    bits = session.secret(np.array([True, False, True]), owner=1)

    def modulo(z: Any) -> Any:
        return (z + most) % p - most

    for f in (
        lambda x, y: x * y + 3 * x - y,
        lambda x, y: x @ y.T,
        lambda x, y: (x**3).sum(axis=1) - y[:, 1],
        lambda x, y: np.einsum("ij,kj->", x, y),
    ):
        assert np.array_equal(f(x, y).reveal(), modulo(f(a, b)))
    assert (np.where(bits, x, y).reveal() == np.where([True, False, True], a, b)).all()
    assert ((bits ^ bits[::-1]) | ~bits).reveal().tolist() == [False, True, False]


@pytest.mark.usefixtures("shamir")
@pytest.mark.parametrize("to", [[0], [1, 3], [4], range(5)])
def test_shamir_opens_to_some(to: Any) -> None:
    def main(party: Any) -> Any:
        return (party.secret([1, 2], owner=0) * party.secret([3, 4], owner=1)).reveal(to=to)

    opened = mpc.local(5, SUITE, ring=P61).run(main)
    assert [x is not None for x in opened] == [i in to for i in range(5)]
    assert all(x.tolist() == [3, 8] for x in opened if x is not None)


@pytest.mark.usefixtures("shamir")
def test_big_arrays_are_streamed() -> None:
    session = mpc.local(3, SUITE, ring=P61)
    a = np.arange(2 * CHUNK + 5)
    x = session.secret(a, owner=0)
    assert ((x * x - x).reveal() == a * a - a).all()


@pytest.mark.usefixtures("shamir")
@pytest.mark.parametrize("p", [P61, (1 << 127) - 1])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64, np.int8, np.int64, bool])
def test_every_width_of_integers_fits(dtype: type, p: int) -> None:
    session = mpc.local(3, SUITE, ring=p)
    a = np.array([1, 0, 100]).astype(dtype)
    x = session.secret(a, owner=0)
    assert (x.reveal() == a).all() and (
        (session.secret([2, 3, 4], owner=1) * a).reveal() == a * [2, 3, 4]
    ).all()


@pytest.mark.usefixtures("shamir")
@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda x: x < 3, "adds and multiplies; it does not compare"),
        (lambda x: x == 3, "does not compare"),
        (np.sort, "does not compare, round or sort"),
        (lambda x: x / 3, "does not compare|no|bits"),
        (lambda x: x * 0.5, "bits|real numbers"),
        (np.mean, "does not compare|bits"),
        (lambda x: x & 1, "bits"),
        (lambda x: x.astype(float), "real numbers are rounded after products"),
        (lambda x: x.session.random.integers(0, 1 << 61, size=4), "bits"),
        (lambda x: x.session.random.integers(0, 2, size=4, dtype=bool), "bits"),
        (lambda x: x.session.secret(0.5, owner=0), "real numbers are rounded after products"),
    ],
)
def test_what_takes_bits_is_refused(f: Callable[..., Any], words: str) -> None:
    session = mpc.local(3, SUITE, ring=P61)
    x = session.secret(np.arange(6), owner=0)
    with pytest.raises(NotImplementedError, match=words):
        f(x).reveal()


@pytest.mark.usefixtures("shamir")
def test_masks_of_all_bits_are_no_shortcut_in_a_field() -> None:
    session = mpc.local(3, SUITE, ring=1_000_003)
    x = session.secret([3, -1], owner=0)
    for mask in ((1 << 20) - 1, (1 << 19) - 1):  # as many bits as p has, and fewer
        with pytest.raises((NotImplementedError, EncodingError)):
            (x & mask).reveal()


@pytest.mark.usefixtures("shamir")
def test_check_knows_the_range_of_a_field() -> None:
    session = mpc.local(3, SUITE, ring=1_000_003, check=True)
    with pytest.raises(mpc.RangeError, match="the result is outside ±500001, the range of int"):
        (session.secret(510, owner=0) * session.secret(1000, owner=1)).reveal()


@pytest.mark.usefixtures("shamir")
def test_what_does_not_fit_is_refused() -> None:
    session = mpc.local(3, SUITE, ring=P61)
    assert session.secret([P61 // 2, -(P61 // 2)], owner=0).reveal().tolist() == [P61 // 2, -(P61 // 2)]
    for beyond in (P61 // 2 + 1, -(P61 // 2) - 1, 1 << 62):
        with pytest.raises(EncodingError, match=f"outside ±{P61 // 2}"):
            session.secret(beyond, owner=0)
    with pytest.raises(ConfigError, match="set ring to one"):
        mpc.local(3, SUITE)
    with pytest.raises(ConfigError, match="no fixed point"):
        mpc.local(3, SUITE, ring=P61, fraction_bits=8)
    with pytest.raises(ConfigError, match="the rings are of 64, 32, 128 bits"):
        mpc.local(3, ring=P61)
    with pytest.raises(ConfigError, match="3 or more parties"):
        mpc.local(2, SUITE, ring=P61)


def command(*words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(EXAMPLE), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-m", "mpc", *words],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize(("bits", "parties"), [(61, 5), (127, 3)])
def test_between_processes(tmp_path: Path, bits: int, parties: int) -> None:
    (tmp_path / "program.py").write_text(
        "def main(party):\n"
        "    x, y = (party.secret([6, -7], owner=i) for i in (0, party.size - 1))\n"
        "    return (3 * x * y + 1).reveal().tolist(), str(party.ring)\n"
    )
    ring = str((1 << bits) - 1)
    done = command("run", str(tmp_path / "program.py"), "--suite", SUITE, "-n", str(parties), "--ring", ring)
    assert done.stdout == f"([109, 148], 'F_(2^{bits}-1)')\n", done.stderr
    assert f"corrupts up to {parties // 2} of {parties} parties" in " ".join(done.stderr.split())


def test_it_conforms() -> None:
    path = os.pathsep.join([str(EXAMPLE), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "mpc.conformance", SUITE, "-n", "5", "--ring", str(P61)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0 and done.stdout.endswith("\nconforms\n"), (done.stdout, done.stderr)
    assert "costs: rounds and bytes are as declared for input, open, multiply, matmul\n" in done.stdout
    assert "views: 150 arrays that coalitions ((n-1)/2 of n) get are fresh and uniform in" in done.stdout


def test_and_is_measured() -> None:
    done = command(
        *("bench", "mul", "--suite", SUITE, "-n", "3", "--ring", str(P61), "--size", "1000", "--json")
    )
    assert '"verified": true' in done.stdout, done.stderr
    done = command("bench", "lt", "--suite", SUITE, "-n", "3", "--ring", str(P61))
    assert "the benchmark 'lt' has no meaning over F_(2^61-1)" in done.stderr
