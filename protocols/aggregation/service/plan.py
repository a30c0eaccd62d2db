"""What a deployment agrees on, in two files: the *plan*, the same for everybody, and each participant's *own*
file.

The plan is public: session, directory of clients, vector, encoding, privacy, deadlines, the server's address.
A client makes the terms of every round from its own copy, and what they do not name (clip, noise, metrics) is
part of the session's name in them, so that a server with another plan finds no client.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mpc.certs import check_private, is_name, make_folder, write_new
from mpc.config import Peer, Reader
from mpc.errors import ConfigError, EncodingError
from mpc.prg import Stream
from mpc.ring import NDArray
from mpc.transport.tls import Tls
from protocols.aggregation.directory import Directory
from protocols.aggregation.messages import Phase
from protocols.aggregation.metrics import RESOLUTION, Metrics
from protocols.aggregation.one_server import bounds
from protocols.aggregation.one_server.noise import Account, Noise, fewest
from protocols.aggregation.one_server.terms import Terms
from protocols.aggregation.weights import coarse
from protocols.privacy.mechanisms import Distributed
from protocols.privacy.vectors import Encoding

_PLAN: dict[str, type] = {
    "session": str, "address": str, "server": str, "directory": str, "dimension": int, "clip": float,
    "peak": float, "step": float, "weight": int, "coarse_weights": bool, "rotate": bool, "rounds": int,
    "least": int, "enough": int, "attempts": int, "dropout": float, "corrupt": float, "degree": int,
    "threshold": int, "metrics": list, "resolution": float, "privacy": dict, "deadlines": dict,
}  # fmt: skip
_PRIVACY: dict[str, type] = {"epsilon": float, "delta": float, "rounds": int, "law": str}
_OWN: dict[str, type] = {
    "plan": str, "me": str, "authority": str, "certificate": str, "key": str, "signing_key": str,
    "state": str, "timeout": float, "corrupt_at_least": float, "budget": dict,
}  # fmt: skip
_BUDGET: dict[str, type] = {"file": str, "data": str, "epsilon": float, "delta": float}
DEADLINES = {"advertise": 60.0, "share": 10.0, "mask": 30.0, "confirm": 10.0, "unmask": 10.0}


@dataclass(frozen=True)
class Plan:
    """The plan as it was read; terms and codec of a round follow from it."""

    session: str
    first: Terms
    codec: Encoding | Distributed
    metrics: Metrics
    coarse_weights: bool  # weights count in classes
    peer: Peer  # the server: the name in its certificate, and where it listens
    rotate: bool
    rounds: int  # with a result; then the server ends
    enough: int  # clients with which a round goes on at once
    attempts: int  # rounds in a row without a result, after which the server gives up
    dropout: float  # the fraction of clients that are expected to be lost
    deadlines: Mapping[Phase, float]

    def terms(self, number: int) -> Terms:
        return replace(self.first, round=number)

    @property
    def dimension(self) -> int:
        return (self.codec if isinstance(self.codec, Encoding) else self.codec.encoding).dimension

    @property
    def standing(self) -> dict[str, Any]:
        """What degree and threshold are worth (``Terms.standing``), and the chance that a round is lost to
        drop-outs.
        """
        t = self.first
        lost = bounds.lost(t.clients, t.degree, t.threshold, self.dropout)
        return {**t.standing(shares=self.shares), "rounds_lost": float(f"{lost:.1e}")}

    @property
    def shares(self) -> int:
        """Of the noise, that a sum must have from honest clients."""
        return 0 if self.noise is None else self.noise.survivors

    @property
    def noise(self) -> Distributed | None:
        return self.codec if isinstance(self.codec, Distributed) else None

    def account(self, path: Path) -> Account | None:
        """What is spent of the plan's budget, in this file."""
        return (
            None if self.noise is None else Account(path, self.session, self.noise.epsilon, self.noise.delta)
        )

    def rotated(self, number: int) -> Encoding | Distributed:
        """The codec of one round: with a rotation, each round has its own."""
        if not self.rotate:
            return self.codec
        seed = hashlib.sha256(b"mpc/1 rotation" + self.terms(number).digest).digest()
        if isinstance(self.codec, Distributed):
            return replace(self.codec, rotation=seed)
        return replace(self.codec, rotation=seed, step=self.codec.step, peak=self.codec.peak)

    def counted(self, weight: int) -> int:
        """What a weight counts as."""
        fits = isinstance(weight, int | np.integer) and 1 <= weight <= self.metrics.weight
        # or it is refused
        return coarse(weight, self.metrics.weight) if self.coarse_weights and fits else weight

    def encode(
        self,
        number: int,
        vector: npt.ArrayLike,
        weight: int = 1,
        metrics: Mapping[str, float] = MappingProxyType({}),
    ) -> tuple[NDArray, list[int]]:
        """What a client gives: vector and side values."""
        codec, stream = self.rotated(number), Stream.fresh("encoding")
        if isinstance(codec, Encoding):
            weight = self.counted(weight)
            return codec.encode(vector, stream, weight), self.metrics.encode(metrics, weight, stream)
        if weight != 1:
            raise EncodingError("with privacy all clients count alike: leave the weight out")
        return codec.encode(vector, stream), []

    def lost(self, vector: NDArray) -> str:
        """What the plan's bounds take off this vector, for its owner's eyes."""
        encoding = self.codec if isinstance(self.codec, Encoding) else self.codec.encoding
        return encoding.lost(vector) if vector.shape == (self.dimension,) else ""

    def decode(
        self, number: int, vector: NDArray, side: NDArray, count: int
    ) -> tuple[NDArray, dict[str, float], float]:
        """Mean, means of the metrics, and the error of the mean as ``decoded`` has it."""
        mean, error = self.decoded(number, vector, count)
        if isinstance(self.codec, Encoding) and self.codec.weight > 1:
            count = self.codec.total_weight(vector)
        return mean, self.metrics.decode(side, count), error

    def decoded(self, number: int, vector: NDArray, count: int) -> tuple[NDArray, float]:
        """The mean, and the standard deviation of a coordinate of it, at most, that rounding and noise cause:
        to one digit where there are weights, whose sum it would tell otherwise, and nobody needs that any
        further."""
        codec = self.rotated(number)
        mean = codec.decode(vector, count)
        if not isinstance(codec, Encoding) or codec.weight == 1:
            return mean, codec.error(count)
        error = codec.error(count, codec.total_weight(vector))
        digit = 10.0 ** math.floor(math.log10(error))
        return mean, float(f"{math.ceil(error / digit) * digit:.0e}")

    @cached_property
    def silence(self) -> float:
        """Seconds after which a server that says nothing must be gone."""
        return 2 * sum(self.deadlines.values()) + 60


@dataclass(frozen=True)
class Own:
    """One participant's own file, and the plan that it names."""

    plan: Plan
    me: str
    tls: Tls
    state: Path  # a server's folder, a client's file
    timeout: float  # seconds to reach the server
    key: Ed25519PrivateKey | None  # a client's
    budget: Account | None = None  # a client's own, for all that is done with its data


def load(path: Path) -> Own:
    """Read a participant's file and the plan it names; ``ConfigError`` says which field of which file is
    wrong.
    """
    reader = Reader(path)
    table = reader.table()
    reader.check(table, _OWN, ("plan", "me", "authority", "certificate", "key"))
    plan = _plan(reader.file(table, "plan", "the plan's TOML file"))
    me = table["me"]
    client = me != plan.peer.name
    if client and me not in plan.first.directory.names:
        reader.fail("me", f"is {me!r}, which is neither the plan's server nor a client in its directory")
    state = path.parent / table.get("state", f"{me}.rounds" if client else f"{me}-state")
    timeout = reader.seconds(table)
    key = (
        read_signing_key(reader.file(table, "signing_key", "a key that 'mpc aggregate keys' made"))
        if client
        else None
    )
    if key is not None and key.public_key().public_bytes_raw() != plan.first.directory.key(
        plan.first.directory.place(me)
    ):
        reader.fail(
            "signing_key",
            f"is not the key that the directory has for {me!r}: use the one whose .pub went into the"
            " directory",
        )
    for field in ("corrupt_at_least", "budget"):
        if field in table and not client:
            reader.fail(field, "is a client's to ask for, not the server's")
    demanded = table.get("corrupt_at_least", 0.0)
    if not 0 <= demanded < 1:
        reader.fail("corrupt_at_least", f"is a fraction of the clients, from 0 to below 1, not {demanded!r}")
    if "corrupt_at_least" in table:
        plan.first.demand(demanded, plan.shares)
    return Own(plan, me, reader.certified(table), state, timeout, key, _budget(reader, plan, table))


def _budget(reader: Reader, plan: Plan, table: Mapping[str, Any]) -> Account | None:
    """A client's own account, whatever the session is."""
    if "budget" not in table:
        return None
    said = table["budget"]
    reader.check(said, _BUDGET, _BUDGET, "budget.")
    if plan.noise is None:
        reader.fail(
            "budget",
            "is for noisy sums, and this plan has no [privacy]: it shows exact ones, which no budget holds",
        )
    try:
        return Account(reader.path.parent / said["file"], said["data"], said["epsilon"], said["delta"])
    except ConfigError as error:
        reader.fail("budget", str(error))


def _plan(path: Path) -> Plan:
    reader = Reader(path)
    table = reader.table()
    reader.check(table, _PLAN, ("session", "address", "server", "directory", "dimension"))
    directory = _directory(reader.file(table, "directory", "one that 'mpc aggregate directory' made"))
    n = len(directory)
    for field in ("session", "server"):
        if not is_name(table[field]):
            reader.fail(field, f"must be letters, digits and '-', joined by '.', not {table[field]!r}")
    if table["server"] in directory.names:
        reader.fail(
            "server",
            f"is {table['server']!r}, which is a client in the directory: give the server a name of its own",
        )
    given: dict[str, Any] = {
        field: table[field] for field in ("clip", "peak", "step", "weight") if field in table
    }
    rotate, dropout, corrupt = (
        table.get("rotate", False),
        table.get("dropout", 0.1),
        table.get("corrupt", 0.05),
    )
    counts = {
        field: table.get(field, default) for field, default in (("rounds", 1), ("enough", n), ("attempts", 3))
    }
    noise = _noise(reader, table, counts["rounds"])
    least = table.get("least", max(3, n // 2 + 1))
    codec: Encoding | Distributed
    try:
        resolution = float(table.get("resolution", RESOLUTION))
        metrics = Metrics(tuple(table.get("metrics", ())), n, table.get("weight", 1), resolution)
        rotation = bytes(32) if rotate else None
        if noise is None:
            codec = encoding = Encoding(table["dimension"], n, rotation=rotation, **given)
        else:
            codec = noise.codec(
                table["clip"],
                n,
                table["dimension"],
                dropout=dropout,
                corrupt=corrupt,
                rotation=rotation,
                step=table.get("step", 0.0),
            )
            encoding, least = codec.encoding, max(least, fewest(codec, n, dropout, corrupt))
    except (ConfigError, EncodingError) as error:
        raise ConfigError(f"{path}: {error}") from None
    classes, peak = table.get("coarse_weights", False), float(table.get("peak", math.inf))
    agreed = (
        f"{float(encoding.clip)!r}|{peak!r}|{encoding.step!r}|{encoding.weight}|{classes}|{rotate}"
        f"|{metrics.names}|{metrics.resolution!r}|{noise}"
    )
    try:
        if ("degree" in table) != ("threshold" in table):
            reader.fail("degree", "and 'threshold' come together: give both or neither")
        degree, threshold = (
            (table["degree"], table["threshold"])
            if "degree" in table
            else bounds.choose(n, dropout, corrupt, one_list=noise is not None)
        )
        terms = Terms(
            directory,
            f"{table['session']}|{agreed}",
            0,
            encoding.length,
            degree,
            threshold,
            least,
            side=len(metrics.names),
            bits=encoding.bits,
            corrupt=corrupt,
            one_list=noise is not None,
        )
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}" if str(path) not in str(error) else str(error)) from None
    for field, value in counts.items():
        if value < 1:
            reader.fail(field, f"must be at least 1, not {value}")
    if not terms.least <= counts["enough"] <= n:
        reader.fail(
            "enough",
            f"must be {terms.least} (the fewest clients of a sum) to {n} (all), not {counts['enough']}",
        )
    deadlines = table.get("deadlines", {})
    reader.check(deadlines, dict.fromkeys(DEADLINES, float), (), "deadlines.")
    for phase, seconds in deadlines.items():
        if not 0 < seconds < math.inf:
            reader.fail(f"deadlines.{phase}", f"must be a positive number of seconds, not {seconds!r}")
    times = {Phase[phase.upper()]: float(seconds) for phase, seconds in {**DEADLINES, **deadlines}.items()}
    peer = Peer(table["server"], *reader.address("address", table["address"]))
    return Plan(
        table["session"],
        terms,
        codec,
        metrics,
        classes,
        peer,
        rotate,
        deadlines=times,
        dropout=dropout,
        **counts,
    )


def _noise(reader: Reader, table: Mapping[str, Any], rounds: int) -> Noise | None:
    """What the plan says of privacy, which fits with the rest."""
    if "privacy" not in table:
        return None
    said = table["privacy"]
    reader.check(said, _PRIVACY, ("epsilon", "delta"), "privacy.")
    for field, why in (
        ("peak", "does not bound what noise hides: give 'clip'"),
        ("weight", "would take more noise to hide: with 'privacy' all clients count alike"),
        ("metrics", "would be shown without noise: leave them out, or leave out 'privacy'"),
    ):
        if field in table:
            reader.fail(field, why)
    if "clip" not in table:
        reader.fail("clip", "is missing: it bounds what the noise of 'privacy' must hide")
    try:
        return Noise(**{"rounds": rounds, **said})
    except ConfigError as error:
        reader.fail("privacy.law", str(error))


def _directory(path: Path) -> Directory:
    try:
        return Directory.decode(path.read_bytes())
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def make_keys(names: list[str] | tuple[str, ...], folder: Path) -> None:
    """For each name an Ed25519 key: ``NAME.signing``, which its owner keeps, and ``NAME.pub`` for the
    directory.
    """
    make_folder(folder)
    for name in names:
        if not is_name(name):
            raise ConfigError(
                f"{name!r} cannot be a client's name: use letters, digits and '-', joined by '.'"
            )
        if (
            len(set(names)) != len(names)
            or (folder / f"{name}.pub").exists()
            or (folder / f"{name}.signing").exists()
        ):
            raise ConfigError(
                f"{name!r} is given twice or has keys in {folder} already: keys are not overwritten"
            )
    for name in names:
        key = Ed25519PrivateKey.generate()
        write_new(
            folder / f"{name}.signing",
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            0o600,
        )
        write_new(
            folder / f"{name}.pub",
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            ),
            0o644,
        )


def close_directory(publics: list[Path] | tuple[Path, ...], out: Path) -> Directory:
    """The directory of the clients whose ``NAME.pub`` files these are, with a fresh seed, in a new file."""
    keys: dict[str, bytes] = {}
    for path in publics:
        name = path.name.removesuffix(".pub")
        try:
            key = serialization.load_pem_public_key(path.read_bytes())
        except (OSError, ValueError):
            key = None
        if not isinstance(key, Ed25519PublicKey) or not is_name(name) or name in keys:
            raise ConfigError(
                f"{path} is not a client's public key NAME.pub as 'mpc aggregate keys' makes them, or comes"
                " twice"
            )
        keys[name] = key.public_bytes_raw()
    directory = Directory.close(keys)
    write_new(out, directory.encode(), 0o644)
    return directory


def read_signing_key(path: Path) -> Ed25519PrivateKey:
    check_private(path)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(
            f"{path} is not a signing key: 'mpc aggregate keys' makes them, unencrypted and readable by you"
            " alone"
        )
    return key
