"""Configuration files: the good one, and one sentence for each bad one."""
from __future__ import annotations

from pathlib import Path

import pytest

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
        ("timeout = 5", "timeout = inf", "'timeout' must be a positive"),
        ("timeout = 5", "ring = true", "'ring' must be a whole number"),
        ("timeout = 5", "ring = 0", "'ring' must be at least 1"),
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
