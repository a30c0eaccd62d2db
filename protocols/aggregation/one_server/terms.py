"""What server and clients agree on before a round; everybody makes it from their own configuration.

A client trusts its own terms, never the server's: the digest of these is in the header of every message,
under every signature and in every key, so that a server with other terms finds no client.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mpc.errors import ConfigError, EncodingError
from mpc.ring import NDArray
from protocols.aggregation.directory import DIGEST_BYTES, Directory
from protocols.aggregation.one_server import bounds
from protocols.aggregation.one_server.graph import Graph

_LAYOUT = struct.Struct(f"<{DIGEST_BYTES}s{DIGEST_BYTES}sQQIBIII")
_NAMES = (
    "directory",
    "session",
    "round",
    "length",
    "side values",
    "modulus (bits)",
    "degree",
    "threshold",
    "fewest clients",
)
_LONGEST = 1 << 31


@dataclass(frozen=True)
class Terms:
    """The terms of one round; ``Terms.choose`` computes degree and threshold.

    length      coordinates of a vector, unsigned integers modulo 2^bits, bits ≤ 32
    side        values modulo 2^64 that travel beside it, under the same masks: weights, metrics
    degree      neighbours of a client: even, or all others
    threshold   how many of them open its masks; more than half, or this is refused
    least       fewest clients whose sum a client helps to open; a server that lies can get past it on a
                sparse graph (down to ``bounds.fewest`` honest ones) unless there is
    one_list    thresholds under which lists of survivors cannot differ: what noise that clients share asks
                for
    corrupt     the fraction of clients that may collude with the server, as this side assumes it
    security    bits of statistical security that these terms must have then; see
                ``protocols/aggregation/one_server/bounds.py``

    The session's name and the round's number come from a client's own records: it takes each pair once.
    """

    directory: Directory
    session: str
    round: int
    length: int
    degree: int
    threshold: int
    least: int
    side: int = 0
    bits: int = 32
    corrupt: float = 0.05
    security: float = bounds.SECURITY
    one_list: bool = False

    @classmethod
    def choose(
        cls,
        directory: Directory,
        session: str,
        number: int,
        length: int,
        *,
        side: int = 0,
        bits: int = 32,
        dropout: float = 0.1,
        corrupt: float = 0.05,
        one_list: bool = False,
    ) -> Terms:
        """Terms that are secure to 40 bits against any server with that many colluding clients, and lose
        hardly a round when that many drop out.  ``ConfigError`` where there are none."""
        n = len(directory)
        degree, threshold = bounds.choose(n, dropout, corrupt, one_list=one_list)
        return cls(
            directory,
            session,
            number,
            length,
            degree,
            threshold,
            max(3, n // 2 + 1),
            side,
            bits,
            corrupt,
            one_list=one_list,
        )

    def __post_init__(self) -> None:
        n = self.clients
        if self.degree != n - 1 and not (0 < self.degree < n - 1 and self.degree % 2 == 0):
            raise ConfigError(
                f"{self.degree} neighbours of {n} clients: give an even number up to {n - 2}, or {n - 1}"
                " for all"
            )
        if not self.degree < 2 * self.threshold <= 2 * self.degree:
            raise ConfigError(
                f"a threshold of {self.threshold} among {self.degree} neighbours: it must be above"
                f" {self.degree // 2}, or the server can open both masks of a client and see its vector"
            )
        if not 3 <= self.least <= n:
            raise ConfigError(
                f"a sum of {self.least} clients at least: give 3 to {n}, the number of clients; of two, each"
                " knows the other's part"
            )
        if not (
            1 <= self.bits <= 32
            and 1 <= self.length < _LONGEST
            and 0 <= self.side < 1 << 16
            and 0 <= self.round < 1 << 63
        ):
            raise ConfigError(
                f"{self.length} coordinates of {self.bits} bits with {self.side} side values in round"
                f" {self.round}: lengths are 1 to {_LONGEST - 1}, bits 1 to 32, side values up to 65535,"
                " rounds not negative"
            )
        have = bounds.security(n, self.degree, self.threshold, self.corrupt, one_list=self.one_list)
        if have < self.security:
            better = bounds.instead(n, self.degree, self.corrupt, self.security, one_list=self.one_list)
            collude = f"{bounds.count(self.corrupt, n)} collude with the server (corrupt = {self.corrupt:g})"
            raise ConfigError(
                f"{self.degree} neighbours and threshold {self.threshold} give {have:.1f} bits of security "
                f"with {n} clients of which {collude}, less than {self.security:g}: {better}"
            )

    @property
    def clients(self) -> int:
        return len(self.directory)

    def standing(self, corrupt: float | None = None, shares: int = 0) -> dict[str, Any]:
        """What degree and threshold are worth if this fraction of the clients colludes with the server (by
        default, as agreed): bits of security, up to those of a mask's key.  None if the honest clients in a
        sum may then be fewer than ``shares``, whose noise is enough."""
        assumed = self.corrupt if corrupt is None else corrupt
        bits = bounds.security(self.clients, self.degree, self.threshold, assumed, one_list=self.one_list)
        if self.least - bounds.count(assumed, self.clients) < shares:
            bits = 0.0
        return {
            "clients": self.clients,
            "neighbours": self.degree,
            "threshold": self.threshold,
            "corrupt": assumed,
            "security_bits": round(min(128.0, bits), 1),
        }

    def demand(self, corrupt: float, shares: int = 0) -> None:
        """``ConfigError`` unless these terms are as safe as terms must be when this fraction of the clients
        colludes.
        """
        have = self.standing(max(corrupt, self.corrupt), shares)
        if have["security_bits"] < bounds.SECURITY:
            wants = f"{bounds.count(corrupt, self.clients)} of {self.clients} clients collude with the server"
            raise ConfigError(
                f"this client wants to be safe if {wants} (corrupt_at_least = {corrupt:g}), and what was "
                f"agreed gives {bounds.in_words(have)}, where {bounds.SECURITY} are due: "
                f"agree on corrupt = {corrupt:g}, or want less"
            )

    def encode(self) -> bytes:
        """What the server says of its terms, so that a client can name the difference."""
        return _LAYOUT.pack(
            self.directory.digest,
            hashlib.sha256(self.session.encode()).digest(),
            self.round,
            self.length,
            self.side,
            self.bits,
            self.degree,
            self.threshold,
            self.least,
        )

    def difference(self, theirs: bytes) -> str:
        """The first field in which the server's terms differ from these; empty if none does."""
        if len(theirs) != _LAYOUT.size:
            return "form"
        pairs = zip(_NAMES, _LAYOUT.unpack(theirs), _LAYOUT.unpack(self.encode()), strict=True)
        for name, other, own in pairs:
            if other != own:
                return name if isinstance(own, bytes) else f"{name}: {other}, where this client has {own}"
        return ""

    @cached_property
    def digest(self) -> bytes:
        return hashlib.sha256(b"mpc/1 aggregation" + self.encode()).digest()

    @cached_property
    def graph(self) -> Graph:
        return Graph(self.clients, self.degree, self.directory.seed)

    def input(self, vector: Any, side: Sequence[int] | NDArray = ()) -> tuple[NDArray, NDArray]:
        """A client's vector and side values as they must be, or an ``EncodingError``."""
        words, values = (
            np.asarray(vector),
            (np.asarray(side, np.uint64) if len(side) else np.zeros(0, np.uint64)),
        )
        if words.dtype != np.uint32 or words.shape != (self.length,):
            raise EncodingError(
                f"an array of {words.dtype}{list(words.shape)} cannot be aggregated: these terms want"
                f" uint32[{self.length}]; encode it first"
            )
        if self.bits < 32 and words.size and int(words.max()) >> self.bits:
            raise EncodingError(
                f"a coordinate is not below 2^{self.bits}, the modulus of these terms; reduce it first"
            )
        if values.shape != (self.side,):
            raise EncodingError(f"{values.size} side values where these terms want {self.side}")
        return words, values

    def __repr__(self) -> str:
        return (
            f"<terms of round {self.round}: {self.clients} clients, {self.degree} neighbours, threshold"
            f" {self.threshold}, {self.length} coordinates modulo 2^{self.bits}>"
        )
