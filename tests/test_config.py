"""Configuration files: the good one, and one sentence for each bad one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpc.config import Config, Peer, load
from mpc.errors import ConfigError
from mpc.transport.tls import Tls

GOOD = """
me = "a"
timeout = 5
authority = "ca.pem"
certificate = "a.pem"
key = "a.key"
dealer = "dealer"
[[parties]]
name = "a"
address = "127.0.0.1:7001"
[[parties]]
name = "b"
address = "[::1]:7002"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    for name in ("ca.pem", "a.pem", "a.key"):
        (tmp_path / name).touch()
    return tmp_path / "party.toml"


def test_good(path: Path) -> None:
    path.write_text(GOOD)
    folder = path.parent
    parties = (Peer("a", "127.0.0.1", 7001), Peer("b", "::1", 7002))
    tls = Tls(folder / "ca.pem", folder / "a.pem", folder / "a.key")
    assert load(path) == Config("a", parties, tls, timeout=5.0, dealer="dealer", folder=folder)
    assert load(path).rank == 0
    assert parties[1].address == "[::1]:7002"
    path.write_text(GOOD.replace('me = "a"', 'me = "dealer"', 1))
    assert load(path).rank == 2


def test_insecure(path: Path) -> None:
    lines = [line for line in GOOD.splitlines() if not line.startswith(("authority", "certificate", "key"))]
    path.write_text("insecure_no_tls = true\n" + "\n".join(lines))
    assert load(path).tls is None
    path.write_text("insecure_no_tls = true\n" + GOOD)
    with pytest.raises(ConfigError, match="contradicts 'insecure_no_tls'"):
        load(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("timeout", "timeuot", "'timeuot' is not a known field: did you mean 'timeout'"),
        ("timeout = 5", "timeout = true", "'timeout' must be a number"),
        ("timeout = 5", "timeout = inf", "'timeout' must be a number of seconds above 0, at most 86400"),
        ("timeout = 5", "timeout = 3e6", "'timeout' must be a number of seconds above 0, at most 86400"),
        ("timeout = 5", f"timeout = 0x{'f' * 6000}", "'timeout' must be .* not a very long number"),
        ("timeout = 5", f"timeout = {'9' * 5000}", "not a TOML file: Exceeds the limit"),
        ("timeout = 5", f"timeout = {'[' * 3000}", "nested too deeply"),
        ("timeout = 5", "largest_array = 0", "'largest_array' must be a whole number from 1 to"),
        ("timeout = 5", "ring = true", "'ring' must be a whole number"),
        ("timeout = 5", "ring = 0", "'ring' must be a whole number from 1"),
        (
            'key = "a.key"',
            f'key = "{"k" * 4000}"',
            "'key' names a file that cannot be looked for .File name too long",
        ),
        ('key = "a.key"', f'key = "{"k" * 5000}"', "'key' has 5000 letters"),
        ("[::1]:7002", "a b:7002", "has a host that cannot be a name"),
        ("[::1]:7002", "a\\u0000b:7002", "has a host that cannot be a name"),
        ('me = "a"', "", "'me' is missing"),
        ('me = "a"', 'me = "c"', "'me' is 'c', expected one of the names a, b, dealer"),
        ('name = "b"', 'name = "A"', r"'parties\[1\].name' repeats 'A'"),
        ('name = "b"', 'name = "b b"', r"'parties\[1\].name' must be letters"),
        ('name = "b"', 'nam = "b"', "did you mean 'name'"),
        ("[::1]:7002", "127.0.0.1:7001", "repeats 127.0.0.1:7001"),
        ("[::1]:7002", "::1:7002", "host:port"),
        ("[::1]:7002", "b:0", "port from 1 to 65535"),
        ("[::1]:7002", "b:70000", "port from 1 to 65535"),
        ("[::1]:7002", "b", "host:port"),
        ('dealer = "dealer"', 'dealer = "b"', "'dealer' is also a party"),
        ('key = "a.key"', 'key = "b.key"', "'key' names a file that is not there"),
        ('key = "a.key"', "", "'key' is missing"),
        ('me = "a"', "me = ", "not a TOML file"),
    ],
)
def test_bad(old: str, new: str, message: str, path: Path) -> None:
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_one_party_and_no_file(path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(path)
    path.write_text(GOOD[: GOOD.rindex("[[parties]]")])
    with pytest.raises(ConfigError, match="at least 2 parties"):
        load(path)


# -- drawn configurations -------------------------------------------------------------------------------

VALUES = st.one_of(
    st.integers(-5, 5).map(str),
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(
        ["9" * 4300, "9" * 5000, "0x" + "f" * 6000, "1e308", "1e999", "nan", "-inf", "3e6", "1e12"]
    ),
    st.booleans().map(lambda b: str(b).lower()),
    st.sampled_from(
        [
            "1979-05-27",
            "07:32:00",
            "[]",
            "{}",
            "[" * 3000,
            "[" * 90 + "]" * 90,
            "{a = " * 2000,
            '"\\u0000"',
            '"a:b:c"',
        ]
    ),
    st.text(max_size=30).map(json.dumps),
    st.sampled_from(["a", "/", "../", "é", "\t", "a.", "[::1]:"]).flatmap(
        lambda s: st.sampled_from([1, 70, 300, 5000]).map(lambda n: json.dumps(s * n))
    ),
    st.sampled_from(["\x00", "\x1b[2J", "\r", "=", '"', "'''", "\\"]),
)
KEYS = [
    "me",
    "timeout",
    "suite",
    "ring",
    "fraction_bits",
    "largest_array",
    "authority",
    "certificate",
    "key",
    "dealer",
    "silent_transfers",
    "insecure_no_tls",
    "parties",
    "nonsense",
    "x" * 5000,
]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from([*KEYS, "name", "address"]), VALUES), max_size=3),
    st.lists(st.integers(0, 15), max_size=2),
)
def test_every_drawn_configuration_is_good_or_gets_one_sentence(
    path: Path, changes: list[tuple[str, str]], without: list[int]
) -> None:
    """With the file's name, fit for a terminal, and not a page of it."""
    lines = [line for i, line in enumerate(GOOD.strip().splitlines()) if i not in without]
    for field, value in changes:
        at = [i for i, line in enumerate(lines) if line.startswith(f"{field} =")]
        lines = [line for i, line in enumerate(lines) if i not in at]
        lines.insert(at[0] if at else 0, f"{field} = {value}")
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")
    try:
        found = load(path)
    except ConfigError as error:
        said = str(error)
        assert str(path) in said and said.isprintable() and len(said) < 800
    else:
        assert (
            0 < found.timeout <= 86400
            and 0 < found.largest_array <= 2**31
            and len(found.parties) >= 2
            and found.rank >= 0
        )


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_one_sentence(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(path) in str(caught.value) and str(caught.value).isprintable()


def test_what_is_no_file_or_too_large_is_not_read(tmp_path: Path) -> None:
    for bad in (tmp_path, Path("/dev/zero"), tmp_path / ("x" * 5000), tmp_path / "none" / "none.toml"):
        with pytest.raises(ConfigError, match=r"give the path of"):
            load(bad)
