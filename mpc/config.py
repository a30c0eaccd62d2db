"""A party's configuration file: who takes part, where, under which certificates; checked when it is read."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from mpc.certs import is_name
from mpc.errors import ConfigError
from mpc.transport.tls import Tls

_WORDS: dict[type, str] = {
    str: "a text in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}
_TLS = ("authority", "certificate", "key")
_FIELDS: dict[str, type] = {
    "me": str, "suite": str, "ring": int, "fraction_bits": int, "timeout": float, "authority": str,
    "certificate": str, "key": str, "dealer": str, "silent_transfers": bool, "insecure_no_tls": bool,
    "largest_array": int, "malicious": bool, "data": dict, "parties": list,
}  # fmt: skip
_PARTY: dict[str, type] = {"name": str, "address": str}
#: What a suite offers is narrower.
_RANGES = {"ring": (1, 1 << 1024), "fraction_bits": (0, 1024), "largest_array": (1, 1 << 31)}
_LONGEST = 4096  # letters of a text: a path's
_FILE = 1 << 20  # bytes of a configuration file
DAY = 86400.0  # seconds: the longest wait there is


@dataclass(frozen=True, slots=True)
class Peer:
    """A party's name, as in its certificate, and where it listens."""

    name: str
    host: str
    port: int

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Config:
    """What one process knows before it meets the others; ``tls`` is None only under ``insecure_no_tls``."""

    me: str
    parties: tuple[Peer, ...]
    tls: Tls | None
    suite: str | None = None  # the default for the number of parties
    malicious: bool = False  # that default holds against parties that deviate
    ring: int = 64
    fraction_bits: int | None = None  # 16, or 8 over 32 bits
    timeout: float = 60.0
    dealer: str | None = None
    silent_transfers: bool = False  # fewer bytes, more computing
    largest_array: int = 1 << 26  # elements that another's word may make this process allocate
    folder: Path = Path()  # of the file, where correlations are kept
    # this party's own, by the names that programs use
    data: Mapping[str, Path] = dataclasses.field(default_factory=dict)

    @property
    def rank(self) -> int:
        """Our place among the parties; the dealer's comes after the last party's."""
        ranks = [party.name for party in self.parties]
        return ranks.index(self.me) if self.me in ranks else len(ranks)


def load(path: Path) -> Config:
    """Read and check ``path``; a ``ConfigError`` names the field and what it should be."""
    reader = Reader(path)
    return reader.config(reader.table())


def data_of(paths: Mapping[str, str], rank: int) -> dict[str, Path]:
    """A party's data by name, where all say where they lie: ``{id}`` in a path is a party's rank."""
    return {name: Path(path.replace("{id}", str(rank))).absolute() for name, path in paths.items()}


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one file; whatever is wrong with a field is a ``ConfigError`` that names file and field."""

    path: Path

    def table(self) -> dict[str, Any]:
        try:
            with self.path.open("rb") as file:
                text = file.read(_FILE + 1)
        except OSError as error:
            raise ConfigError(
                f"{self.path} cannot be read ({error.strerror}): give the path of a configuration file"
            ) from None
        if len(text) > _FILE:
            raise ConfigError(f"{self.path} has over {_FILE} bytes: give the path of a configuration file")
        try:
            return tomllib.loads(text.decode())
        except RecursionError:
            said = f"{self.path} is not a configuration file: its brackets are nested too deeply"
            raise ConfigError(said) from None
        except ValueError as error:  # of TOML, of UTF-8, or a number of thousands of digits
            raise ConfigError(f"{self.path} is not a TOML file: {error}") from None

    def fail(self, field: str, message: str) -> NoReturn:
        raise ConfigError(f"{self.path}: {_shown(field)} {message}")

    def check(
        self,
        table: Mapping[str, object],
        fields: Mapping[str, type],
        required: Iterable[str],
        where: str = "",
    ) -> None:
        """Every field is known and of its type, and the required ones are there."""
        for field, value in table.items():
            if field not in fields:
                near = difflib.get_close_matches(field[:100], fields, 1)
                if where.startswith("parties[") and field in _FIELDS:
                    self.fail(where + field, "is not about one party: write it above the first [[parties]]")
                hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(fields)}"
                self.fail(where + field, f"is not a known field: {hint}")
            expected = fields[field]
            fits = isinstance(value, (int, float) if expected is float else expected)
            if not fits or (isinstance(value, bool) and expected is not bool):
                self.fail(where + field, f"must be {_WORDS[expected]}, not {_shown(value)}")
            if isinstance(value, str) and len(value) > _LONGEST:
                self.fail(where + field, f"has {len(value)} letters: at most {_LONGEST} are expected")
        for field in required:
            if field not in table:
                self.fail(where + field, f"is missing: expected {_WORDS[fields[field]]}")

    def config(self, table: dict[str, object]) -> Config:
        self.check(table, _FIELDS, ("me", "parties"))
        parties = self.parties(table["parties"])
        names = [party.name for party in parties]
        dealer = table.get("dealer")
        if isinstance(dealer, str):
            if dealer.lower() in (name.lower() for name in names):
                self.fail(
                    "dealer", f"is also a party, {dealer!r}: a dealer that takes part would know the secrets"
                )
            self.name("dealer", dealer)
            names.append(dealer)
        if table["me"] not in names:
            self.fail("me", f"is {_shown(table['me'])}, expected one of the names {', '.join(names)}")
        given = (
            "me", "suite", "malicious", "ring", "fraction_bits", "dealer", "silent_transfers",
            "largest_array",
        )  # fmt: skip
        rest = {field: table[field] for field in given if field in table}
        for field, (least, most) in _RANGES.items():
            value = table.get(field, least)
            if isinstance(value, int) and not least <= value <= most:
                limit = most if most < 1 << 64 else f"2^{most.bit_length() - 1}"
                self.fail(field, f"must be a whole number from {least} to {limit}, not {_shown(value)}")
        return Config(
            parties=parties,
            tls=self.tls(table),
            timeout=self.seconds(table),
            folder=self.path.parent,
            data=self.data(table),
            **rest,  # type: ignore[arg-type]
        )

    def seconds(self, table: Mapping[str, object]) -> float:
        """The field ``timeout``."""
        timeout = table.get("timeout", 60)
        if not isinstance(timeout, int | float) or not 0 < timeout <= DAY:
            expected = f"a number of seconds above 0, at most {DAY:g} (a day)"
            self.fail("timeout", f"must be {expected}, not {_shown(timeout)}")
        return float(timeout)

    def data(self, table: Mapping[str, object]) -> dict[str, Path]:
        """What each name under ``[data]`` stands for: files or folders that are there."""
        named = table.get("data", {})
        assert isinstance(named, dict)
        for name in named:
            if name in _FIELDS:
                self.fail(f"data.{name}", "is not the name of data but a field: write it above [data]")
        return {name: self.there(f"data.{name}", path) for name, path in named.items()}

    def there(self, field: str, path: object) -> Path:
        """A path relative to the configuration, of what must be there."""
        if not isinstance(path, str) or len(path) > _LONGEST:
            self.fail(field, f"must be the path of a file in quotes, not {_shown(path)}")
        found = self.path.parent / path
        try:
            found.stat()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            self.fail(field, f"names a file that cannot be found ({why}), {_shown(str(found))}")
        return found

    def tls(self, table: Mapping[str, object]) -> Tls | None:
        if table.get("insecure_no_tls", False):
            for field in _TLS:
                if field in table:
                    self.fail(field, "contradicts 'insecure_no_tls': remove one of them")
            return None
        return self.certified(table)

    def certified(self, table: Mapping[str, object]) -> Tls:
        """The three files of one side of TLS."""
        return Tls(**{field: self.file(table, field, "a PEM file") for field in _TLS})

    def file(self, table: Mapping[str, object], field: str, what: str) -> Path:
        """The file that a field names, relative to the configuration; it must be there."""
        self.check({field: table[field]} if field in table else {}, {field: str}, [field])
        path = self.path.parent / str(table[field])
        try:
            there = path.is_file()
        except OSError as error:
            why = f"names a file that cannot be looked for ({error.strerror})"
            self.fail(field, f"{why}, {_shown(str(path))}: expected {what}")
        if not there:
            self.fail(field, f"names a file that is not there, {_shown(str(path))}: expected {what}")
        return path

    def parties(self, tables: object) -> tuple[Peer, ...]:
        assert isinstance(tables, list)
        parties: list[Peer] = []
        names: set[str] = set()
        addresses: set[tuple[str, int]] = set()
        for number, table in enumerate(tables):
            where = f"parties[{number}]."
            if not isinstance(table, dict):
                self.fail(f"parties[{number}]", f"must be a table with name and address, not {_shown(table)}")
            self.check(table, _PARTY, _PARTY, where)
            self.name(f"{where}name", table["name"])
            peer = Peer(table["name"], *self.address(f"{where}address", table["address"]))
            if peer.name.lower() in names:
                self.fail(f"{where}name", f"repeats {peer.name!r}: every party needs its own name")
            if (peer.host.lower(), peer.port) in addresses:
                self.fail(f"{where}address", f"repeats {peer.address}: every party needs its own address")
            names.add(peer.name.lower())
            addresses.add((peer.host.lower(), peer.port))
            parties.append(peer)
        if len(parties) < 2:
            self.fail("parties", f"must list at least 2 parties, not {len(parties)}")
        return tuple(parties)

    def name(self, field: str, name: str) -> None:
        if not is_name(name):
            self.fail(field, f"must be letters, digits and '-', joined by '.', not {_shown(name)}")

    def address(self, field: str, text: str) -> tuple[str, int]:
        host, colon, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        host = host[1:-1] if bracketed else host
        if not colon or not host or (":" in host) is not bracketed:
            self.fail(field, f'must be "host:port" or "[IPv6]:port", not {_shown(text)}')
        try:
            host.encode("idna")
            possible = host.isprintable() and not any(letter.isspace() for letter in host)
        except UnicodeError:
            possible = False
        if not possible:
            self.fail(field, f"has a host that cannot be a name: {_shown(host)}")
        if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
            self.fail(field, f"must end in a port from 1 to 65535, not {_shown(port)}")
        return host, int(port)


def _shown(value: object) -> str:
    """A value that somebody wrote, for a message: not more of it than a line."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # of a number of thousands of digits; of what is nested deeply
        return f"a very long {'number' if isinstance(value, int) else 'value'}"
    return text if len(text) <= 100 else f"{text[:100]}…"
