"""How the parties of a session find each other: links made, certificates checked, ranks claimed.

Party ``i`` listens for all higher ranks and connects to all lower ones; a dealer, rank ``size``, connects to
everybody.  One loop, no threads: ``connect`` drives all handshakes side by side as generators.

No stranger can hold up a party, or end it: callers wait in three rooms, those who have said nothing (no TLS
object is made for them), those in the middle of TLS and those whose certificate is right.  Each has so many
places, and a newcomer to a full room, or where no descriptors are left, takes the place of whoever waits
longest of those who came from where most did.  So a peer is kept out by those only who have come as far as
itself, in great numbers, within its round-trip time.
"""

from __future__ import annotations

import errno
import json
import select
import socket
import ssl
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from enum import IntEnum
from time import monotonic

from mpc.config import Peer
from mpc.errors import ConfigError, HandshakeError, PartyLost
from mpc.transport.tcp import HANGUP, TcpTransport
from mpc.transport.tls import Tls, explain, names, printable, refusal

STRANGER = 5.0  # seconds a caller has to say who it is
PATIENCE = 5.0  # seconds a peer that we call has to answer, at first; twice as many at each further try
LINGER = 1.0  # seconds to let a refused peer read why, and until one that has hung up may come again
FAREWELL = 2.0  # seconds that a party stays which cannot join, so that all who call it learn the cause
RETRY = 0.05  # seconds between attempts to reach a peer that does not listen yet
# Seconds until a silent machine is asked, between questions, and how many: after 9 it counts as gone.
KEEPALIVE = {"TCP_KEEPIDLE": 3, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}
ACCEPTED = 16  # callers let in before the others' turn
HELLO = 1024
_LEFT = "it joined and hung up again"
REASONS = 20


class _Room(IntEnum):
    """How far a caller has come."""

    SILENT, SPEAKING, KNOWN = range(3)


PLACES = {_Room.SILENT: 256, _Room.SPEAKING: 256, _Room.KNOWN: 64}

_AGAIN = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

_Step = Generator[tuple[socket.socket | None, int, float], None, None]
"""A handshake: yields (socket, events, seconds) and goes on when one of the events or the time has come."""


class _Refused(Exception):
    """A connection that is not used, and why."""


@dataclass(slots=True, eq=False)
class _Caller:
    """Somebody who has connected to us and is no peer yet."""

    socket: socket.socket
    address: str
    since: float
    room: _Room = _Room.SILENT
    held: list[str] = field(default_factory=list)  # names in its certificate
    steps: _Step | None = None

    @property
    def origin(self) -> str:
        return ",".join(self.held) or self.address


@dataclass(slots=True, eq=False)
class _Gathering:
    """Everything ``connect`` knows while the parties are still gathering."""

    rank: int
    peers: Sequence[Peer]
    names: list[str]  # by rank, the dealer's last
    client: ssl.SSLContext | None
    server: ssl.SSLContext | None
    deadline: float
    joined: dict[int, socket.socket] = field(default_factory=dict)
    # Who has hung up since, and until when that may be the end of a session.
    gone: dict[int, float] = field(default_factory=dict)
    claimed: set[int] = field(default_factory=set)  # ranks that joined or are about to
    tried: dict[int, str] = field(default_factory=dict)  # what came of our last call to a peer
    # Why callers were not let in: is it about who they are, or only about the network?
    turned_away: dict[str, bool] = field(default_factory=dict)
    tasks: dict[_Step, tuple[socket.socket | None, int, float]] = field(default_factory=dict)
    callers: dict[_Step, _Caller] = field(default_factory=dict)
    calls: dict[_Step, int] = field(default_factory=dict)  # the ranks that we call
    failure: HandshakeError | None = None

    @property
    def missing(self) -> list[int]:
        return [rank for rank in range(len(self.names)) if rank != self.rank and rank not in self.joined]

    def run(self) -> None:
        """Drive all handshakes until all have joined, the time is over, or a peer and we disagree."""
        while self.missing and (now := monotonic()) < self.deadline:
            if self.failure is not None and not self.calls and max(self.missing) < self.rank:
                break  # nobody is there who may still call
            poll = select.poll()
            for sock, events, _ in self.tasks.values():
                if sock is not None:
                    poll.register(sock, events)
            for rank, sock in self.joined.items():
                if rank not in self.gone:
                    poll.register(sock, HANGUP)
            wakes = [wake for _, _, wake in self.tasks.values()]
            soonest = min(self.deadline, now + 60.0, *wakes, *self.gone.values())
            ready = dict(poll.poll(max(0.0, soonest - now) * 1000 + 1))
            now = monotonic()
            for rank, sock in list(self.joined.items()):
                if ready.get(sock.fileno(), 0) & (HANGUP | select.POLLHUP | select.POLLERR):
                    self.gone.setdefault(rank, now + LINGER)
                if self.gone.get(rank, now) < now:
                    self.lose(rank)
            for task, (sock, _, wake) in list(self.tasks.items()):
                if task in self.tasks and (wake <= now or (sock is not None and sock.fileno() in ready)):
                    self.resume(task)
        if self.failure is not None:
            raise self.failure

    def resume(self, task: _Step) -> None:
        try:
            sock, events, seconds = next(task)
        except StopIteration:
            self.end(task)
        except HandshakeError as failure:
            self.end(task)
            if self.failure is None:
                # Others may have the same against us, or we against them: let it be said.
                self.failure, self.deadline = failure, min(self.deadline, monotonic() + FAREWELL)
        except Exception as error:
            if task not in self.callers:
                raise
            # Whatever it has said: it is not our end.
            self.note(f"{self.callers[task].address}: {type(error).__name__}")
            self.end(task)
        else:
            self.tasks[task] = (sock, events, monotonic() + seconds)

    def end(self, task: _Step) -> None:
        task.close()
        self.tasks.pop(task, None)
        self.callers.pop(task, None)
        self.calls.pop(task, None)

    def lose(self, rank: int) -> None:
        """Forget a peer that has hung up before all were here: it may come again.

        Not at once: perhaps all are here in a moment, and it has left because of what they told each other.
        """
        self.joined.pop(rank).close()
        del self.gone[rank]
        self.claimed.discard(rank)
        self.tried[rank] = _LEFT
        if rank < self.rank:
            self.call(rank)

    def note(self, reason: str, *, network: bool = False) -> None:
        """Keep why a caller was not let in; of those that have to do with identity rather than of others."""
        if len(self.turned_away) >= REASONS and not network:
            for least in [known for known, identity in self.turned_away.items() if not identity][:1]:
                del self.turned_away[least]
        if len(self.turned_away) < REASONS:  # strangers can knock as often as they like
            self.turned_away[reason] = not network

    def absence(self, timeout: float) -> HandshakeError | PartyLost:
        """Who did not join, and all that we know of why."""
        absent = self.missing
        who = ", ".join(self.names[rank] for rank in absent)
        reasons = [f"{self.name(rank)}: {self.tried[rank]}" for rank in absent if rank in self.tried]
        reasons += sorted(self.turned_away, key=lambda reason: not self.turned_away[reason])[:5]
        why = ": see what it says itself, and that all have their parties in the same order"
        message = f"{who} did not join within {timeout:g} s" + (
            f" ({'; '.join(reasons)})" if reasons else why
        )
        return HandshakeError(message) if any(self.turned_away.values()) else PartyLost(message, who)

    def name(self, rank: int) -> str:
        return f"{self.names[rank]} at {self.peers[rank].address}" if rank < self.rank else self.names[rank]

    def close(self) -> None:
        for task in list(self.tasks):
            task.close()
        for sock in self.joined.values():
            sock.close()

    # -- those who call us ------------------------------------------------------------------------

    def accept(self, listener: socket.socket) -> _Step:
        """Take every connection that comes and start to ask who it is."""
        while True:
            yield listener, select.POLLIN, 3600.0
            for _ in range(ACCEPTED):
                try:
                    sock, address = listener.accept()
                except BlockingIOError:
                    break
                except OSError as error:
                    there = [caller for caller in self.callers.values() if caller.room < _Room.KNOWN]
                    if error.errno == errno.EMFILE and there:
                        self.displace(there)  # no descriptors: as in a full room
                    else:
                        yield None, 0, RETRY  # gone again: let some time pass
                    break
                caller = _Caller(sock, str(address[0]), monotonic())
                caller.steps = self.welcome(caller)
                self.callers[caller.steps] = caller
                self.enter(caller, _Room.SILENT)
                self.resume(caller.steps)

    def enter(self, caller: _Caller, room: _Room) -> None:
        """Give a caller a place in the next room, somebody else's if need be."""
        there = [other for other in self.callers.values() if other.room is room and other is not caller]
        if len(there) >= PLACES[room]:
            self.displace(there)
        caller.room, caller.since = room, monotonic()

    def displace(self, there: Sequence[_Caller]) -> None:
        """End one of these callers: who waits longest of those who came from where most did."""
        crowd = Counter(other.origin for other in there)
        last = min(there, key=lambda other: (-crowd[other.origin], other.since))
        self.note(f"{last.address}: more callers than there are places", network=True)
        assert last.steps is not None
        self.end(last.steps)

    def welcome(self, caller: _Caller) -> _Step:
        """Our side of a connection that somebody made to us."""
        until = min(monotonic() + STRANGER, self.deadline)
        address, keep = caller.address, False
        try:
            _prepare(caller.socket)
            while not _has_spoken(caller.socket):
                yield caller.socket, select.POLLIN, _left(until)
            self.enter(caller, _Room.SPEAKING)
            try:
                if self.server is not None:
                    caller.socket = secure = self.server.wrap_socket(
                        caller.socket, server_side=True, do_handshake_on_connect=False
                    )
                    yield from _handshake(secure, until)
                    caller.held = names(secure)
                    self.enter(caller, _Room.KNOWN)
                rank = self.claim(caller, (yield from _hear(caller.socket, until)))
            except _Refused as refused:
                self.note(f"{address}: {refused}")
                yield from _say(caller.socket, {"mpc": 1, "error": str(refused)}, until)
                yield from _linger(caller.socket)
                return
            except ssl.SSLError as error:
                self.note(f"{address}: {explain(error)}", network=isinstance(error, ssl.SSLEOFError))
                yield from _linger(caller.socket)  # OpenSSL has sent an alert that says why
                return
            self.claimed.add(rank)  # before the answer: a second claim must not slip in between
            try:
                yield from _say(caller.socket, {"mpc": 1, "from": self.rank, "to": rank}, until)
                self.joined[rank], keep = caller.socket, True
                self.tried.pop(rank, None)
            finally:
                if not keep:
                    self.claimed.discard(rank)
        except TimeoutError:
            self.note(
                f"{address}: it did not say who it is within {STRANGER:g} s",
                network=caller.room is _Room.SILENT,
            )
        except (OSError, EOFError, _Refused):
            self.note(f"{address}: it left before it said who it is", network=True)
        finally:
            if not keep:
                caller.socket.close()

    def claim(self, caller: _Caller, hello: dict[str, object]) -> int:
        """The rank that a hello claims, if it is free, meant for us, and what the certificate says."""
        rank = hello.get("from")
        if hello.get("mpc") != 1 or type(rank) is not int or not self.rank < rank < len(self.names):
            raise _Refused("its hello is not one of a party that connects to us")
        name = self.names[rank]
        if hello.get("to") != self.rank:
            raise _Refused(f"{name} wanted another party than {self.names[self.rank]}: compare the addresses")
        if self.server is not None and name.lower() not in (entry.lower() for entry in caller.held):
            held = printable(", ".join(caller.held)) or "nobody"
            raise _Refused(f"claims to be {name} but its certificate is for {held}")
        if rank in self.gone:
            self.lose(rank)
        if rank in self.claimed:
            raise _Refused(f"{name} has already joined")
        return rank

    # -- those whom we call -----------------------------------------------------------------------

    def call(self, rank: int) -> None:
        task = self.dial(rank, self.peers[rank])
        self.calls[task] = rank
        self.resume(task)

    def dial(self, rank: int, peer: Peer) -> _Step:
        """Reach a party that listens, again and again until the time is over."""
        patience, attempt = PATIENCE, 0
        while True:
            sock, until = None, min(monotonic() + patience, self.deadline)
            try:
                sock = yield from _reach(peer, attempt, until)
                if self.client is not None:
                    sock = secure = self.client.wrap_socket(
                        sock, server_hostname=peer.name, do_handshake_on_connect=False
                    )
                    yield from _handshake(secure, until)
                yield from _say(sock, {"mpc": 1, "from": self.rank, "to": rank}, until)
                answer = yield from _hear(sock, until)
                if "error" in answer:
                    raise HandshakeError(f"party {peer.name} refused us: {printable(answer['error'])}")
                if answer != {"mpc": 1, "from": rank, "to": self.rank}:
                    raise HandshakeError(
                        f"party {peer.name} at {peer.address} answered as someone else: compare the lists"
                    )
                self.joined[rank], sock = sock, None
                self.tried.pop(rank, None)
                return
            except ssl.SSLError as error:
                assert sock is not None
                if isinstance(error, ssl.SSLCertVerificationError):
                    yield from _linger(sock)  # OpenSSL has sent an alert that says why
                    if error.verify_code == 62:
                        raise HandshakeError(
                            f"{peer.address} is not party {peer.name}: its certificate is for another name"
                        ) from None
                    raise HandshakeError(
                        f"party {peer.name} at {peer.address} cannot be trusted: {explain(error)}"
                    ) from None
                if words := refusal(error):
                    raise HandshakeError(f"party {peer.name} refused our certificate: {words}") from None
                self.tried[rank] = explain(error)
            except _Refused as refused:
                self.tried[rank] = str(refused)
            except TimeoutError:
                self.tried[rank] = "it did not answer"
                patience *= 2  # it may be at work on something else, or somebody else listens there
            except (OSError, EOFError) as error:
                said = getattr(error, "strerror", None) or "it closed the connection"
                self.tried[rank] = (
                    f"{_LEFT}: see what it says itself"
                    if self.tried.get(rank, "").startswith(_LEFT)
                    else said
                )
            finally:
                if sock is not None:
                    sock.close()
            attempt += 1
            yield None, 0, RETRY


def connect(
    rank: int,
    peers: Sequence[Peer],
    *,
    tls: Tls | None,
    dealer: str | None = None,
    timeout: float = 60.0,
    listener: socket.socket | None = None,
) -> TcpTransport:
    """Join the other parties (and the dealer, if named) within ``timeout`` seconds.

    ``listener`` is our address, bound and listening already; it is closed in any case.  ``tls=None`` sends
    everything in the clear and believes what a peer says it is: callers ask for it by an insecure name.
    """
    everybody = [peer.name for peer in peers] + ([dealer] if dealer is not None else [])
    listens = rank < len(everybody) - 1 and rank < len(peers)
    with ExitStack() as stack:
        if listener is not None:
            stack.enter_context(listener)
        client, server = (tls.client(), tls.server() if listens else None) if tls else (None, None)
        state = _Gathering(rank, peers, everybody, client, server, monotonic() + timeout)
        stack.callback(state.close)
        if listens:
            listener = listener or stack.enter_context(_listen(peers[rank]))
            listener.setblocking(False)
            state.resume(state.accept(listener))
        for lower in range(min(rank, len(peers))):
            state.call(lower)
        state.run()
        if state.missing:
            raise state.absence(timeout)
        links = {peer: (everybody[peer], state.joined.pop(peer)) for peer in sorted(state.joined)}
    return TcpTransport(rank, len(peers), links, timeout)


def _listen(peer: Peer) -> socket.socket:
    try:
        found = socket.getaddrinfo(peer.host, peer.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        said = f"our address {peer.address} cannot be used ({error.strerror}): correct it"
        raise ConfigError(said) from None
    try:
        # A restart need not wait for old links.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        advice = "stop the program that uses it or choose another port"
        if error.errno == errno.EADDRNOTAVAIL:
            advice = "it is no address of this machine; for yourself, write 0.0.0.0 and the port in your file"
        raise ConfigError(f"cannot listen on {peer.address} ({error.strerror}): {advice}") from None
    return listener


def _prepare(sock: socket.socket) -> None:
    sock.setblocking(False)
    # Small messages leave at once.  Buffers stay the kernel's: it sizes them better than 1 or 4 MB did.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a machine that is gone says nothing: ask
    for option, value in KEEPALIVE.items():
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _left(until: float) -> float:
    left = until - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _has_spoken(sock: socket.socket) -> bool:
    """Whether something has come, or the end."""
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    return True


def _reach(
    peer: Peer, attempt: int, until: float
) -> Generator[tuple[socket.socket | None, int, float], None, socket.socket]:
    found = socket.getaddrinfo(peer.host, peer.port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, address = found[attempt % len(found)]
    sock = socket.socket(family, kind, protocol)
    try:
        _prepare(sock)
        code = sock.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, "cannot connect")
        yield sock, select.POLLOUT, _left(until)
        _left(until)
        if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise ConnectionError(
                code, "it does not listen" if code == errno.ECONNREFUSED else "it cannot be reached"
            )
        return sock
    except BaseException:
        sock.close()
        raise


def _handshake(sock: ssl.SSLSocket, until: float) -> _Step:
    while True:
        try:
            sock.do_handshake()
            return
        except ssl.SSLWantReadError:
            yield sock, select.POLLIN, _left(until)
        except ssl.SSLWantWriteError:
            yield sock, select.POLLOUT, _left(until)


def _say(sock: socket.socket, message: dict[str, object], until: float) -> _Step:
    text = json.dumps(message).encode()
    rest = len(text).to_bytes(4, "big") + text
    while rest:
        try:
            rest = rest[sock.send(rest) :]
        except _AGAIN:
            yield sock, select.POLLOUT, _left(until)


def _hear(
    sock: socket.socket, until: float
) -> Generator[tuple[socket.socket | None, int, float], None, dict[str, object]]:
    """One small message; never more bytes than it has, for the rest belongs to the computation."""
    data, size = b"", 4
    while len(data) < size:
        try:
            piece = sock.recv(size - len(data))
        except _AGAIN:
            yield sock, select.POLLIN, _left(until)
            continue
        if not piece:
            raise EOFError
        data += piece
        if len(data) == 4 and size == 4:
            size = 4 + int.from_bytes(data, "big")
            if not 4 < size <= 4 + HELLO:
                raise _Refused("it does not speak this protocol")
    try:
        message = json.loads(data[4:])
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise _Refused("it does not speak this protocol")
    return message


def _linger(sock: socket.socket) -> _Step:
    """Close so that the peer can read our last words: unread input would turn the close into a reset."""
    until = monotonic() + LINGER
    if sock.fileno() < 0:
        return
    with socket.socket(fileno=sock.detach()) as plain:
        plain.setblocking(False)
        with suppress(OSError):
            plain.shutdown(socket.SHUT_WR)
            while monotonic() < until:
                try:
                    if not plain.recv(65536):
                        return
                except BlockingIOError:
                    yield plain, select.POLLIN, max(0.0, until - monotonic())
