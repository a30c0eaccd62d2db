"""A session: what a user's program holds.  It shares inputs, starts operations and reveals results.

An operation returns at once; its messages travel with the next round anybody needs, or when more than
``fuse`` elements wait.  So independent operations share rounds without a word from the user, and the
number of rounds of a program is the depth of its data flow.  Whether to flush depends on public shapes
alone, so all parties do it alike; ``fuse=0`` sends every operation on its own (for debugging).

In a networked session a process holds one party; a local session holds all of them and moves them in
lockstep.  Either way a ``Secret`` is one task per party held here.

An interrupt (Ctrl-C) ends a networked session, whose other parties go on.  A local one stops where all its
parties are at the same place, and is as it was: what was not computed by then is when it is asked for, or
along with what is."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mpc.columns import array_of
from mpc.encoding import BOOL, INT, Fixed, Kind, numeric
from mpc.errors import ConfigError, MpcError, WireError
from mpc.interrupts import Held
from mpc.meter import Network
from mpc.party import Party
from mpc.ring import Z64, Field, NDArray, Ring, RingArray, Shape, Spec
from mpc.rounds import Flow, Task, exchange
from protocols.array.secret import Names, Secret
from protocols.suite import Share, Suite
from protocols.threat import Threat

if TYPE_CHECKING:
    from protocols.numpy.shadow import Shadows
    from protocols.ops.randomness import Generator

T = TypeVar("T")

#: Elements of results that may wait for company before their round is sent.
FUSE = 1 << 16

_MAX_AXES = 16
_MAX_ELEMENTS = 1 << 31  # of one array, whoever names its shape
_BOOL_CODE = 256  # where fractional bits are announced
_ANNOUNCED = Spec(Z64, (2 + _MAX_AXES,))


class Session:
    """One party's computation with the others; ``party`` in a user's ``main(party)``.

    ``id`` and ``size`` say which party this is, and of how many; ``data`` where its own data lie.  ``secret``
    and ``secret_from_each`` share values, ``reveal`` opens secrets, ``sync`` computes them.  ``rounds``,
    ``sent`` and ``report`` say what it has taken.
    """

    _ended = _closed = False

    def __init__(
        self,
        parties: Sequence[Party],
        suites: Sequence[Suite],
        numpy: Names,
        *,
        ring: Ring = Z64,
        fraction_bits: int | None = None,
        fuse: int = FUSE,
        largest: int = _MAX_ELEMENTS,
        check: bool = False,
        data: Mapping[str, Path] | None = None,
    ) -> None:
        self.parties, self.suites, self.numpy = tuple(parties), tuple(suites), numpy
        self._held = Held(len(self.parties) > 1)
        self.largest = largest  # elements of an array that is allocated at a peer's word
        self.ring, self.fuse, self.fixed = ring, fuse, Fixed(fraction_bits_of(fraction_bits, ring))
        self.check: Shadows | None = None
        if check:  # shows all values to all parties
            self.check = numpy.checked(self)
        self._data = data
        self._waiting, self._made = 0, 0

    @property
    def id(self) -> int:
        """Which party this is, from 0; 0 in a local session, which speaks for all of them."""
        return self.parties[0].rank

    @property
    def size(self) -> int:
        """How many parties there are."""
        return self.parties[0].size

    def data(self, name: str) -> Path:
        """Where this party's data of this name lie: a path to read with whatever reads such files.

        Each party says so for itself: ``--data name=rows_{id}.csv`` with ``mpc run``, ``name = "rows.csv"``
        under ``[data]`` in the configuration of ``mpc party``, ``mpc.local(data={"name":
        "rows_{id}.csv"}).run(main)`` in a notebook.  Nobody else is told.
        """
        if self._data is None:
            raise MpcError(
                "this session speaks for all parties, and the data are each one's own: read them in"
                " main(party), which .run(main) runs for each"
            )
        if name not in self._data:
            known = f"it has {', '.join(self._data)}" if self._data else "it has none"
            raise MpcError(
                f"party {self.id} has no data {name!r} ({known}): say where with --data {name}=PATH, or under"
                " [data] in its configuration"
            )
        return self._data[name]

    # -- what it takes ----------------------------------------------------------------------------

    @property
    def rounds(self) -> int:
        """Rounds of messages so far, along the longest path."""
        return max(party.meter.rounds for party in self.parties)

    @property
    def sent(self) -> int:
        """Bytes sent so far, by the party held here that has sent most."""
        return max(party.meter.sent for party in self.parties)

    def report(self, *networks: str) -> None:
        """Print what this session has taken so far, as ``mpc run`` does at the end: rounds, bytes and seconds
        by operation.

        Networks are ``"lan"``, ``"wan"`` or a round-trip time in ms and Mbit/s, as in ``"20,1000"``: what it
        would take there."""
        from rich.console import Console

        from mpc import report

        shown = [
            {"name": f"party-{p.rank}", "meter": p.meter.as_dict(), "threat": self.protection}
            for p in self.parties
        ]
        report.show(shown, [Network.parse(network) for network in networks], console=Console(highlight=False))

    @property
    def protection(self) -> str:
        """In words, what this session protects against."""
        if self.check is not None:
            return (
                "INSECURE: nothing is protected, since --check has shown every party all inputs and all"
                " values on the way."
            )
        return self.threat.among(self.size)

    # -- in ---------------------------------------------------------------------------------------

    def secret(
        self, values: Any = None, *, owner: int = 0, shape: Shape | None = None, kind: Kind | None = None
    ) -> Secret:
        """Share ``values`` of party ``owner``; what the others pass is not looked at.

        Integers are shared as they are, floats as fixed point; ``kind=mpc.Fixed(20)`` chooses.  A frame of
        pandas or Polars becomes one array: of real numbers if any column is, else of integers, else of truth
        values, which beside numbers are 0 and 1.  Without ``shape`` (and ``kind``) the owner announces both
        in one round; they are public.  What is announced has at most ``largest_array`` elements (of the
        configuration; 2^26 unless it says otherwise).  Sharing itself sends nothing with the suite
        ``additive``."""
        owner = self._rank(owner)
        _check_kind(kind)
        announced = shape is not None and kind is not None
        mine: RingArray | None = None
        if self._holds(owner):
            if values is None:
                raise MpcError(f"party {owner} is to share a value, but has passed none")
            kind, mine = self._encode(values, kind)
            if shape is not None and tuple(shape) != mine.shape:
                raise MpcError(
                    f"party {owner} passed an array of shape {mine.shape} where {tuple(shape)} was announced"
                )
        if not announced:
            said = self._announce({owner: (mine, kind)})[owner]
            if (shape is not None and tuple(shape) != said[0]) or (kind is not None and kind != said[1]):
                raise WireError(
                    f"party {owner} announced an array of shape {said[0]} and kind {said[1]}, where this"
                    " program says otherwise"
                )
            shape, kind = said
        assert shape is not None and kind is not None
        secret = self._input(owner, mine, tuple(shape), kind)
        if self.check is not None:
            self._show("secret", [secret], {owner: values} if self._holds(owner) else {}, [owner])
        return secret

    def secret_from_each(self, values: Any, *, kind: Kind | None = None) -> list[Secret]:
        """Share one array of each party; returns one ``Secret`` per party.  Shapes may differ and are public.

        In a local session, which speaks for all parties, ``values`` is a sequence with one item per party.
        """
        held = [p.rank for p in self.parties]
        _check_kind(kind)
        values = array_of(values) if len(held) > 1 else values  # of a frame, a row for each
        if len(held) > 1 and (not hasattr(values, "__len__") or len(values) != len(held)):
            many = len(values) if hasattr(values, "__len__") else type(values).__name__
            raise MpcError(
                f"a local session of {len(held)} parties needs {len(held)} values, one per party, not {many}"
            )
        own = {rank: self._encode(values if len(held) == 1 else values[rank], kind) for rank in held}
        said = self._announce(
            {p: (own[p][1], own[p][0]) if p in own else (None, None) for p in range(self.size)}
        )
        for p, (_, announced) in said.items():
            if kind is not None and announced != kind:
                raise WireError(
                    f"party {p} announced numbers of kind {announced}, where this program says {kind}"
                )
        secrets = [self._input(p, own[p][1] if p in own else None, *said[p]) for p in range(self.size)]
        if self.check is not None:
            self._show(
                "secret_from_each",
                secrets,
                {p: values if len(held) == 1 else values[p] for p in held},
                range(self.size),
            )
        return secrets

    def _rank(self, party: int) -> int:
        try:
            rank = index(party)
        except TypeError:
            said = f"a party is named by its rank, 0 to {self.size - 1}, not by {type(party).__name__}"
            raise MpcError(said) from None
        if not 0 <= rank < self.size:
            raise MpcError(f"there is no party {rank}; the parties are 0 to {self.size - 1}")
        return rank

    def _receivers(self, to: int | Sequence[int]) -> tuple[int, ...]:
        """The ranks of those to whom something is revealed, in order: they are the same at all parties."""
        named: Sequence[Any] = (
            to
            if isinstance(to, list | tuple | range)
            else to.tolist()
            if isinstance(to, np.ndarray) and to.ndim
            else [to]
        )
        ranks = [self._rank(party) for party in named]
        if not ranks or len(set(ranks)) < len(ranks):
            raise MpcError(
                f"reveal(to=…) takes one party, or each of several once, not {list(ranks)}; leave to= out for"
                " all parties"
            )
        return tuple(sorted(ranks))

    def _holds(self, rank: int) -> bool:
        return any(p.rank == rank for p in self.parties)

    def kind_of(self, values: Any) -> Kind:
        """How these values are shared unless said otherwise: floats as fixed point, integers and truth values
        as such.
        """
        letter = numeric(values).dtype.kind
        return self.fixed if letter == "f" else BOOL if letter == "b" else INT

    def _encode(self, values: Any, kind: Kind | None) -> tuple[Kind, RingArray]:
        if isinstance(values, Secret):
            raise MpcError("this value is secret already")
        array = numeric(values)
        kind = kind or self.kind_of(array)
        if isinstance(kind, Fixed):
            fraction_bits_of(kind.fraction, self.ring)
        if array.ndim > _MAX_AXES:
            raise MpcError(f"an array of {array.ndim} axes; at most {_MAX_AXES} can be shared")
        return kind, kind.encode(array, self.ring)

    def _input(self, owner: int, mine: RingArray | None, shape: Shape, kind: Kind) -> Secret:
        spec = Spec(self.ring, shape)

        def protocol(suite: Suite) -> Flow[Share]:
            share = suite.input_truth if kind == BOOL else suite.input
            return share(owner, mine if suite.seat.rank == owner else None, spec)

        return self.spawn("input", protocol, (), shape, kind, public=owner)

    def _announce(
        self, own: dict[int, tuple[RingArray | None, Kind | None]]
    ) -> dict[int, tuple[Shape, Kind]]:
        """The owners tell everybody shape and kind of what they will share: one round."""
        words = {}
        for rank, (array, kind) in own.items():
            if array is not None and kind is not None:
                shape = array.shape
                if self._elements(shape) > self.largest:
                    raise MpcError(f"{array.size} elements are too many to be announced; {self._ways()}")
                words[rank] = Z64(
                    [
                        _BOOL_CODE if kind == BOOL else kind.fraction,
                        len(shape),
                        *shape,
                        *[0] * (_MAX_AXES - len(shape)),
                    ]
                )

        async def protocol(suite: Suite) -> dict[int, RingArray]:
            me, others = suite.seat.rank, suite.seat.others
            send = dict.fromkeys(others, (words[me],)) if me in own else {}
            inbox = await exchange(send, {p: (_ANNOUNCED,) for p in own if p != me}, "shape")
            heard = {p: inbox[p][0] if p != me else words[p] for p in own}
            await suite.alike(*heard.values())
            return heard

        return self._heard(self._finish(self._start("shapes", protocol, ()))[0])

    def _heard(self, heard: dict[int, RingArray]) -> dict[int, tuple[Shape, Kind]]:
        """Announcements, checked: nothing of what they are about is allocated yet."""
        said: dict[int, tuple[Shape, Kind]] = {}
        for rank, array in heard.items():
            fraction, axes, *dims = (int(w) for w in array.data)
            shape = tuple(dims[:axes])
            most = self._elements(shape)
            finest = 0 if isinstance(self.ring, Field) else self.ring.bits // 2 - 2
            fits = fraction <= finest or fraction == _BOOL_CODE
            if axes > _MAX_AXES or any(dims[axes:]) or most > _MAX_ELEMENTS or not fits:
                raise WireError(
                    f"party {rank} announced an array that cannot be shared: more than {_MAX_ELEMENTS}"
                    " elements, too many axes, or too many fractional bits"
                )
            if most > self.largest:
                raise WireError(f"party {rank} announced an array of {most} elements; {self._ways()}")
            said[rank] = shape, BOOL if fraction == _BOOL_CODE else Fixed(fraction) if fraction else INT
        return said

    @staticmethod
    def _elements(shape: Shape) -> int:
        """Of an array of this shape, or of one that it could be reshaped into by a mistake: 0 counts as 1."""
        return math.prod(max(1, d) for d in shape)

    def _ways(self) -> str:
        return (
            f"at another's word a party takes up to {self.largest}: pass its shape= and kind= to "
            "secret(...) at all parties, or raise largest_array in their configurations"
        )

    def _show(
        self, name: str, secrets: Sequence[Secret], values: Mapping[int, Any], owners: Sequence[int]
    ) -> None:
        """For a session that checks: the owners show everybody their real numbers before they are rounded, in
        one round.
        """
        assert self.check is not None
        specs = {p: Spec(Z64, x.shape) for p, x in zip(owners, secrets, strict=True) if x.kind.fraction}
        words = {
            p: Z64(np.asarray(numeric(v), np.float64).view(np.uint64))
            for p, v in values.items()
            if p in specs
        }

        async def protocol(suite: Suite) -> dict[int, RingArray]:
            me, others = suite.seat.rank, suite.seat.others
            send = dict.fromkeys(others, (words[me],)) if me in specs else {}
            inbox = await exchange(send, {p: (spec,) for p, spec in specs.items() if p != me}, "show")
            return {p: inbox[p][0] if p != me else words[p] for p in specs}

        shown = self._finish(self._start("check", protocol, ()))[0]
        self.check.begin(
            name, secrets, [shown[p].data.view(np.float64) if p in shown else None for p in owners]
        )

    @property
    def random(self) -> Generator:
        """Random numbers that nobody knows: ``session.random.integers(0, 10, size=5)``, ``.random``,
        ``.uniform``, ``.normal``.
        """
        return self.numpy.Generator(self)

    # -- operations -------------------------------------------------------------------------------

    def spawn(
        self,
        label: str,
        protocol: Callable[..., Flow[Share]],
        inputs: Sequence[Secret],
        shape: Shape,
        kind: Kind,
        public: object = None,
    ) -> Secret:
        """Start ``protocol(suite, *shares)`` at every party held here; its result has this shape and kind.

        ``public`` is what else the operation depends on: constants, indices, axes.  It goes into the digest
        of the next frame, so that parties with other constants are told so and do not get wrong numbers.
        """
        said = f"{label} {_named(inputs)} {shape} {kind} ".encode() + _canonical(public)
        for x in inputs:
            if x.session is not self:
                raise MpcError("cannot combine secrets of different sessions")
        tasks = self._start(label, protocol, inputs, said)
        if tasks[0].done:
            tasks[0].result()  # an error surfaces on the user's own line
        else:
            self._waiting += math.prod(shape)
            if self._waiting > self.fuse:
                self._finish(tasks)
                self._waiting = 0
        self._made += 1
        return Secret(self, tasks, shape, kind, self._made)

    def sync(self, *xs: Secret) -> None:
        """Exchange until these secrets are computed."""
        for x in xs:
            self._finish(x.tasks)

    def _start(
        self, label: str, protocol: Callable[..., Flow[T]], inputs: Sequence[Secret], said: bytes = b""
    ) -> tuple[Task[T], ...]:
        """Begin a protocol at every party held here."""
        self._look()
        with self._held:
            # until this is through: an error or an interrupt leaves parties out of step
            self._ended = True
            for party in self.parties:
                party.agreed.update(said)
            tasks = tuple(
                [
                    party.start(_feed(protocol, suite, [x.tasks[i] for x in inputs]), label)
                    for i, (party, suite) in enumerate(zip(self.parties, self.suites, strict=True))
                ]
            )
            self._ended = False
        return tasks

    def _finish(self, tasks: Sequence[Task[T]]) -> list[T]:
        self._look()
        with self._held:
            self._ended = True  # as above
            while not all(task.done for task in tasks):
                for party in self.parties:
                    party.post()
                for task in tasks:
                    if task.done:
                        task.result()  # one party failed: so does the session
                for party, task in zip(self.parties, tasks, strict=True):
                    if not task.done:
                        party.deliver()
                if self._held.came:
                    self._ended = False  # all are at the same place
                    self._held.release()
            self._ended = False
        return [task.result() for task in tasks]

    def _look(self) -> None:
        if self._closed:
            raise MpcError(
                "this session is closed: what is to be seen has to be revealed before, inside main(party) or"
                " the with block"
            )
        if self._ended:
            raise MpcError("this session has ended with an error; start a new one")

    # -- out --------------------------------------------------------------------------------------

    def reveal(self, *xs: Secret, to: int | Sequence[int] | None = None) -> Any:
        """Open secrets to everybody, or to party ``to`` or several, ``to=[0, 2]``, alone (elsewhere the
        result is ``None``).

        One array for one secret, a tuple for several, all in one round.
        """
        receivers = None if to is None else self._receivers(to)
        for x in xs:
            if not isinstance(x, Secret):
                raise MpcError(f"reveal takes secrets, not {type(x).__name__}")
            if x.session is not self:
                raise MpcError("cannot reveal a secret of another session")
        if self.check is not None:
            self.check.stop(xs)
        out = self.opened(xs, receivers, "reveal")
        return out[0] if len(xs) == 1 else out

    def opened(self, xs: Sequence[Secret], to: tuple[int, ...] | None, label: str) -> tuple[Any, ...]:
        """What ``reveal`` does, without its questions."""

        def protocol(suite: Suite, *shares: Share) -> Flow[tuple[RingArray, ...]]:
            return suite.reveal(*shares, to=to)

        values = self._finish(self._start(label, protocol, xs, f"{label} {_named(xs)} to {to} ".encode()))
        self._waiting = 0
        seen = next((v for v in values if v), None)
        return tuple(
            None if seen is None else _decode(x.kind, v)
            for x, v in zip(xs, seen or [None] * len(xs), strict=True)
        )

    def public(self, values: Any, kind: Kind) -> RingArray:
        """A public value as ring elements of this kind, range-checked."""
        return kind.encode(values, self.ring)

    @property
    def threat(self) -> Threat:
        """What this session protects against: the suite's word and that of its randomness's source."""
        suite = self.suites[0]
        return suite.threat if suite.prep is None else replace(suite.threat, setup=suite.prep.threat.setup)

    def close(self, error: BaseException | None = None) -> None:
        """Leave: the others are told, and why if there is an error."""
        self._closed = True
        for party in self.parties:
            party.close(error)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.close(error)

    def __repr__(self) -> str:
        return f"<session of {self.size} parties, suite {self.suites[0].name}>"


def fraction_bits_of(bits: int | None, ring: Ring) -> int:
    """The fractional bits asked for, if products can have them; the ring's usual ones unless asked."""
    most = ring.bits // 2 - 2
    if bits is None or (isinstance(ring, Field) and not bits):
        return ring.fraction
    if isinstance(ring, Field):
        raise ConfigError(f"there is no fixed point over {ring.name}: leave out fraction_bits")
    if not 1 <= bits <= most:
        raise ConfigError(
            f"fixed point over {ring.name} takes 1 to {most} fractional bits, not {bits}; set fraction_bits"
            " (--fraction-bits)"
        )
    return bits


def _check_kind(kind: object) -> None:
    if kind is not None and not isinstance(kind, Fixed) and kind not in (INT, BOOL):
        raise MpcError(
            f"kind= is mpc.INT, mpc.BOOL or mpc.Fixed with a number of fractional bits, not {kind!r:.40}"
        )


def _decode(kind: Kind, value: RingArray | None) -> NDArray | None:
    if value is None:
        return None
    array = kind.decode(value)
    return array if array.ndim else array[()]


def _named(xs: Sequence[Secret]) -> str:
    """Which secrets, and read as what: the same ring elements can be integers here and fixed point there."""
    return ",".join([f"{x.serial}:{x.kind}" for x in xs])


def _canonical(public: object) -> bytes:
    """Public facts as bytes: the same at every party for equal values, others for others.

    Each item says what it is and ends by itself.  Of a number that is whether it is an integer, a real number
    or a truth value; how wide it is makes no difference.  What has no such form is refused: its ``repr`` may
    leave something out, or show an address.
    """
    if isinstance(public, RingArray):
        return _of_array(public.ring.name, public.shape, public.ring.encode(public.data))
    if public is None or public is Ellipsis:
        return b"n" if public is None else b"."
    if isinstance(public, bool | np.bool_):
        return b"t" if public else b"f"
    if isinstance(public, int | np.integer):
        return b"i%d;" % public
    if isinstance(public, slice):
        return b":" + _canonical(public.start) + _canonical(public.stop) + _canonical(public.step)
    if isinstance(public, tuple | list | range):
        items = b"".join([_canonical(item) for item in public])
        return (b"(" if isinstance(public, tuple) else b"[") + items + b")"
    if isinstance(public, float | np.floating):
        return b"r" + struct.pack("<d", public)
    if isinstance(public, str):
        public = public.encode()
        return b"s%d;" % len(public) + public
    if isinstance(public, bytes):
        return b"b%d;" % len(public) + public
    array = np.asarray(public)
    letter = array.dtype.kind
    if letter not in "biuf":
        raise MpcError(
            f"a public argument of type {type(public).__name__}: whether the other parties pass the same "
            "cannot be seen; pass numbers, texts, slices, or tuples, lists and arrays of numbers"
        )
    beyond = letter == "u" and array.size and array.max() >= 1 << 63
    wide = "u8" if beyond else {"b": "?", "f": "f8"}.get(letter, "i8")
    return _of_array(wide, array.shape, np.ascontiguousarray(array, wide).data)


def _of_array(name: str, shape: Shape, data: memoryview) -> bytes:
    """Type, shape and a digest: less to copy than the array, and hashed once for all parties of a local
    session.
    """
    return f"a{name}{shape}".encode() + blake2b(data, digest_size=16).digest()


async def _feed(protocol: Callable[..., Flow[T]], suite: Suite, tasks: Sequence[Task[Share]]) -> T:
    """Wait for the inputs, then run the protocol."""
    return await protocol(suite, *[task.result() if task.done else await task for task in tasks])
