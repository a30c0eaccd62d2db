"""Links over TCP, under TLS 1.3 with certificates on both sides unless asked otherwise.

Party ``i`` listens for all higher ranks and connects to all lower ones; a dealer, rank ``size``, connects to
everybody.  One loop, no threads: ``connect`` drives all handshakes side by side as generators, so that no
stranger can hold up a party, and ``collect`` drives all links.

Figures (loopback, a process per party, 2 cores): 8 bytes there and back 11 µs, under TLS 20 µs; without the
20 µs of trying again before ``poll`` (see ``SPIN``) it is 95 µs, the price of two wake-ups.  With three
processes on the two cores those 20 µs change nothing beyond noise, 50 µs would cost a third.  512 KiB frames in
both directions at once: 3.5 GB/s each way, under TLS (AES-256-GCM) 0.9 GB/s.  A MemoryBIO with 128 KiB socket
reads instead of ``SSLSocket`` is as fast (0.9 GB/s) and adds copies and code: not worth it.
"""
from __future__ import annotations

import errno
import json
import math
import select
import socket
import ssl
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic, perf_counter

from mpc.config import Peer
from mpc.errors import ConfigError, HandshakeError, PartyLost, TransportError
from mpc.transport.tls import Tls, explain, names, refusal

RECORD = 16384  # what one TLS record holds
SLOWEST = 1000  # bytes per second below which a peer counts as lost
SPIN = 20e-6  # seconds to try again before asking the kernel to wake us
STRANGER = 5.0  # seconds an accepted connection has to say who it is
STRANGERS = 64  # unfinished handshakes at a time; more wait in the kernel's backlog
LINGER = 1.0  # seconds to let a refused peer read why
RETRY = 0.05  # seconds between attempts to reach a peer that does not listen yet
HELLO = 1024
BURST = 16  # reads from one peer before the others' turn
IOV = 64  # buffers per sendmsg

_AGAIN = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


# ---------------------------------------------------------------------------------------------- the data path


@dataclass(slots=True, eq=False)
class _Link:
    """One peer's socket and what waits to leave through it."""

    name: str
    socket: socket.socket
    queue: deque[memoryview] = field(default_factory=deque)
    broken: bool = False  # it takes nothing any more; what it sent before can still be read

    @property
    def secure(self) -> bool:
        return isinstance(self.socket, ssl.SSLSocket)

    def push(self) -> bool:
        """Send what the network takes; whether it took anything."""
        queue, moved = self.queue, False
        try:
            while queue:
                if len(queue) == 1 or self.secure:
                    sent = self.socket.send(queue[0])
                else:
                    sent = self.socket.sendmsg([queue[i] for i in range(min(len(queue), IOV))])
                moved = True
                while queue and sent >= len(queue[0]):
                    sent -= len(queue.popleft())
                if sent:
                    queue[0] = queue[0][sent:]
        except _AGAIN:
            pass
        except OSError:
            # Do not raise: the peer may have said why it left, and that is read by the next collect.
            self.broken = True
            queue.clear()
        return moved

    def pull(self, view: memoryview) -> int:
        """How many bytes could be read into ``view`` at once, 0 for none now."""
        try:
            count = self.socket.recv_into(view)
        except _AGAIN:
            return 0
        except OSError:
            count = 0
        if not count:
            raise PartyLost(f"{self.name} closed the connection", self.name)
        return count


class TcpTransport:
    """``Transport`` over connected sockets; made by ``connect``."""

    def __init__(self, rank: int, size: int, links: Mapping[int, tuple[str, socket.socket]], timeout: float) -> None:
        self.rank = rank
        self.size = size
        self.timeout: float | None = timeout  # None waits for ever: for a dealer, whom parties ask when they need it
        self._links = {peer: _Link(name, sock) for peer, (name, sock) in links.items()}
        self._poll = select.poll()
        self._watched: dict[int, int] = {}  # what poll knows: registering anew would cost a call each time
        self._files = {link.socket.fileno(): peer for peer, link in self._links.items()}

    def post(self, peer: int, buffers: Sequence[memoryview]) -> None:
        link = self._link(peer)
        if link.broken:
            return
        views = [view.cast("B") for view in buffers if view.nbytes]
        link.queue.extend(_records(views) if link.secure else views)
        link.push()

    def collect(self, wanted: Mapping[int, memoryview]) -> None:
        missing = {peer: view.cast("B") for peer, view in wanted.items() if view.nbytes}
        limit = until = ceiling = 0.0
        while True:
            moved = self._read(missing)
            if not missing:
                return
            ceiling = ceiling or self._ceiling(missing)
            if monotonic() > ceiling:
                who = ", ".join(self._links[peer].name for peer in missing)
                raise PartyLost(f"{who} sends less than {SLOWEST} bytes per second", who)
            for link in self._links.values():
                if link.queue:
                    moved |= link.push()
            if moved:
                until = limit = 0.0
            elif not until:
                until = perf_counter() + SPIN
            elif perf_counter() > until:
                limit = limit or self._limit()
                self._wait(missing, limit)
                until = 1.0  # poll has said that something is there: no need to spin again if it was not enough

    def flush(self) -> None:
        limit = 0.0
        while waiting := [peer for peer, link in self._links.items() if link.queue]:
            if any([self._links[peer].push() for peer in waiting]):
                limit = 0.0
                continue
            limit = limit or self._limit()
            self._wait({}, limit)
        for link in self._links.values():
            if link.broken:
                raise PartyLost(f"{link.name} closed the connection", link.name)

    def close(self, linger: float = 0.0) -> None:
        if linger:
            self._drain(monotonic() + linger)
        for link in self._links.values():
            link.queue.clear()
            link.socket.close()
        self._links.clear()

    def _drain(self, until: float) -> None:
        """Throw away what peers still send until they close too.

        A socket that is closed with unread data resets the connection, and with it what we said last.
        """
        poll, open_ = select.poll(), {}
        for link in self._links.values():
            try:
                link.socket.shutdown(socket.SHUT_WR)
            except OSError:
                continue
            poll.register(link.socket, select.POLLIN)
            open_[link.socket.fileno()] = link.socket
        while open_ and (left := until - monotonic()) > 0:
            for file, _ in poll.poll(left * 1000):
                try:
                    gone = not socket.socket.recv(open_[file], 1 << 16)
                except BlockingIOError:
                    continue
                except OSError:
                    gone = True
                if gone:
                    poll.unregister(file)
                    del open_[file]

    def _ceiling(self, missing: Mapping[int, memoryview]) -> float:
        """When what is under way must be through, even if it drips: a peer cannot hold us for ever."""
        if self.timeout is None:
            return math.inf
        waiting = sum(len(view) for view in missing.values()) + sum(len(v) for link in self._links.values() for v in link.queue)
        return monotonic() + self.timeout + waiting / SLOWEST

    def _limit(self) -> float:
        return math.inf if self.timeout is None else monotonic() + self.timeout

    def _link(self, peer: int) -> _Link:
        try:
            return self._links[peer]
        except KeyError:
            raise TransportError(f"there is no open link to rank {peer} from rank {self.rank}") from None

    def _read(self, missing: dict[int, memoryview]) -> bool:
        """Read what is there for each view in ``missing``, drop the full ones; whether anything came."""
        moved = False
        for peer in list(missing):
            link = self._link(peer)
            # To the end of what is there: TLS may hold decrypted bytes that poll does not see.  But between
            # bursts we send, so that both directions stay busy.
            for _ in range(BURST):
                if not (count := link.pull(missing[peer])):
                    break
                moved = True
                missing[peer] = missing[peer][count:]
                if not missing[peer]:
                    del missing[peer]
                    break
        return moved

    def _wait(self, missing: Mapping[int, memoryview], limit: float) -> None:
        """Sleep until a link can go on, at most until ``limit``."""
        for peer, link in self._links.items():
            events = (select.POLLIN if peer in missing else 0) | (select.POLLOUT if link.queue else 0)
            file = link.socket.fileno()
            if events != self._watched.get(file, 0):
                if events:
                    self._poll.register(file, events)
                else:
                    self._poll.unregister(file)
                self._watched[file] = events
        left = limit - monotonic()
        # An hour at most, so that poll is never given more than it can count; who calls comes back.
        if left <= 0 or not self._poll.poll(min(left, 3600.0) * 1000 + 1):
            if left > 3600.0:
                return
            silent = missing or [peer for peer, link in self._links.items() if link.queue]
            who = ", ".join(self._links[peer].name for peer in silent)
            did = "said" if missing else "took"
            raise PartyLost(f"{who} {did} nothing for {self.timeout or 0:g} s", who)


def _records(views: list[memoryview]) -> list[memoryview]:
    """Small neighbours joined, so that a header and a short payload are one TLS record and one packet."""
    joined: list[memoryview] = []
    small: list[memoryview] = []
    room = RECORD
    for view in [*views, None]:
        if view is None or len(view) > room:
            if small:
                joined.append(small[0] if len(small) == 1 else memoryview(b"".join(small)))
            small, room = [], RECORD
        if view is None or len(view) > room:
            joined += [] if view is None else [view]
        else:
            small.append(view)
            room -= len(view)
    return joined


# ------------------------------------------------------------------------------------------------- handshakes

_Step = Generator[tuple[socket.socket | None, int, float], None, None]
"""A handshake: yields (socket, events, seconds) and goes on when one of the events or the time has come."""


class _Refused(Exception):
    """A connection that is not used, and why."""


@dataclass(slots=True, eq=False)
class _Handshakes:
    """Everything ``connect`` knows while the parties are still gathering."""

    rank: int
    names: list[str]  # by rank, the dealer's last
    deadline: float
    joined: dict[int, socket.socket] = field(default_factory=dict)
    claimed: set[int] = field(default_factory=set)  # ranks that joined or are about to
    reasons: dict[str, bool] = field(default_factory=dict)  # why connections were not used: identity, or only the network?
    tasks: dict[_Step, tuple[socket.socket | None, int, float]] = field(default_factory=dict)

    @property
    def missing(self) -> list[int]:
        return [rank for rank in range(len(self.names)) if rank != self.rank and rank not in self.joined]

    def run(self) -> None:
        """Drive all handshakes until everybody has joined or the time is over."""
        while self.missing and (now := monotonic()) < self.deadline:
            poll = select.poll()
            for sock, events, _ in self.tasks.values():
                if sock is not None:
                    poll.register(sock, events)
            soonest = min([self.deadline, *(wake for _, _, wake in self.tasks.values())])
            ready = {file for file, _ in poll.poll(max(0.0, soonest - now) * 1000 + 1)}
            now = monotonic()
            for task, (sock, _, wake) in list(self.tasks.items()):
                if wake <= now or (sock is not None and sock.fileno() in ready):
                    self.resume(task)

    def resume(self, task: _Step) -> None:
        try:
            sock, events, seconds = next(task)
        except StopIteration:
            self.tasks.pop(task, None)
        else:
            self.tasks[task] = (sock, events, monotonic() + seconds)

    def note(self, reason: str, *, network: bool = False) -> None:
        if len(self.reasons) < 20:  # strangers can knock as often as they like
            self.reasons[reason] = not network

    def close(self, *, everything: bool) -> None:
        for task in list(self.tasks):
            task.close()
        if everything:
            for sock in self.joined.values():
                sock.close()

    def accept(self, listener: socket.socket, context: ssl.SSLContext | None) -> _Step:
        """Take every connection that comes and start to ask who it is."""
        while True:
            crowded = len(self.tasks) > STRANGERS
            yield (None, 0, RETRY) if crowded else (listener, select.POLLIN, 3600.0)
            try:
                sock, address = listener.accept()
            except OSError:  # gone again, or out of file descriptors: let some time pass
                yield None, 0, RETRY
                continue
            self.resume(self.welcome(sock, str(address[0]), context))

    def welcome(self, sock: socket.socket, address: str, context: ssl.SSLContext | None) -> _Step:
        """Our side of a connection that somebody made to us."""
        until = min(monotonic() + STRANGER, self.deadline)
        keep = False
        try:
            _prepare(sock)
            try:
                if context is not None:
                    sock = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                    yield from _handshake(sock, until)
                rank = self.claim(sock, (yield from _hear(sock, until)))
            except _Refused as refused:
                self.note(f"{address}: {refused}")
                yield from _say(sock, {"mpc": 1, "error": str(refused)}, until)
                yield from _linger(sock)
                return
            except ssl.SSLError as error:
                self.note(f"{address}: {explain(error)}")
                yield from _linger(sock)  # OpenSSL has sent an alert that says why
                return
            self.claimed.add(rank)  # before the answer: a second claim must not slip in between
            try:
                yield from _say(sock, {"mpc": 1, "from": self.rank, "to": rank}, until)
                self.joined[rank], keep = sock, True
            finally:
                if not keep:
                    self.claimed.discard(rank)
        except TimeoutError:
            self.note(f"{address}: it did not say who it is within {STRANGER:g} s")
        except (OSError, EOFError, _Refused):
            self.note(f"{address}: it left before it said who it is")
        finally:
            if not keep:
                sock.close()

    def claim(self, sock: socket.socket, hello: dict[str, object]) -> int:
        """The rank that a hello claims, if it is free, meant for us, and what the certificate says."""
        rank = hello.get("from")
        if hello.get("mpc") != 1 or type(rank) is not int or not self.rank < rank < len(self.names):
            raise _Refused("its hello is not one of a party that connects to us")
        name = self.names[rank]
        if hello.get("to") != self.rank:
            raise _Refused(f"{name} wanted another party than {self.names[self.rank]}: compare the addresses")
        if isinstance(sock, ssl.SSLSocket):
            held = names(sock)
            if name.lower() not in (entry.lower() for entry in held):
                raise _Refused(f"claims to be {name} but its certificate is for {', '.join(held) or 'nobody'}")
        if rank in self.claimed:
            raise _Refused(f"{name} has already joined")
        return rank

    def dial(self, rank: int, peer: Peer, context: ssl.SSLContext | None) -> _Step:
        """Reach a party that listens, again and again until the time is over."""
        while True:
            sock = None
            try:
                sock = yield from _reach(peer, self.deadline)
                if context is not None:
                    sock = context.wrap_socket(sock, server_hostname=peer.name, do_handshake_on_connect=False)
                    yield from _handshake(sock, self.deadline)
                yield from _say(sock, {"mpc": 1, "from": self.rank, "to": rank}, self.deadline)
                answer = yield from _hear(sock, self.deadline)
                if "error" in answer:
                    raise HandshakeError(f"party {peer.name} refused us: {_printable(answer['error'])}")
                if answer != {"mpc": 1, "from": rank, "to": self.rank}:
                    raise HandshakeError(f"party {peer.name} at {peer.address} answered as someone else: compare the party lists")
                self.joined[rank], sock = sock, None
                return
            except ssl.SSLCertVerificationError as error:
                if error.verify_code == 62:
                    raise HandshakeError(f"{peer.address} is not party {peer.name}: its certificate is for another name") from None
                raise HandshakeError(f"party {peer.name} at {peer.address} cannot be trusted: {explain(error)}") from None
            except ssl.SSLError as error:
                if words := refusal(error):
                    raise HandshakeError(f"party {peer.name} refused our certificate: {words}") from None
                self.note(f"{peer.name} at {peer.address}: {explain(error)}")
            except _Refused as refused:
                self.note(f"{peer.name} at {peer.address}: {refused}")
            except TimeoutError:
                self.note(f"{peer.name} at {peer.address}: it did not answer", network=True)
            except (OSError, EOFError) as error:
                words = getattr(error, "strerror", None) or "it closed the connection"
                self.note(f"{peer.name} at {peer.address}: {words}", network=True)
            finally:
                if sock is not None:
                    sock.close()
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
    state = _Handshakes(rank, everybody, monotonic() + timeout)
    done = False
    try:
        if rank < len(everybody) - 1 and rank < len(peers):
            server = tls.server() if tls else None
            listener = listener or _listen(peers[rank])
            listener.setblocking(False)
            state.resume(state.accept(listener, server))
        client = tls.client() if tls else None
        for lower in range(min(rank, len(peers))):
            state.resume(state.dial(lower, peers[lower], client))
        state.run()
        if absent := state.missing:
            who = ", ".join(everybody[peer] for peer in absent)
            why = f" ({'; '.join(state.reasons)})" if state.reasons else ": see what it says itself, and that all have their parties in the same order"
            message = f"{who} did not join within {timeout:g} s{why}"
            raise HandshakeError(message) if any(state.reasons.values()) else PartyLost(message, who)
        done = True
    finally:
        state.close(everything=not done)
        if listener is not None:
            listener.close()
    return TcpTransport(rank, len(peers), {peer: (everybody[peer], state.joined[peer]) for peer in sorted(state.joined)}, timeout)


def _listen(peer: Peer) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(peer.host, peer.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"our address {peer.address} cannot be used ({error.strerror}): correct it") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart need not wait for old links
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        advice = "stop the program that uses it or choose another port"
        if error.errno == errno.EADDRNOTAVAIL:
            advice = "it is no address of this machine; in your own file, write 0.0.0.0 and the port for yourself"
        raise ConfigError(f"cannot listen on {peer.address} ({error.strerror}): {advice}") from None
    return listener


def _prepare(sock: socket.socket) -> None:
    sock.setblocking(False)
    # Small messages leave at once.  Buffers stay the kernel's: it sizes them better than 1 or 4 MB did.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a dealer waits for hours, but not for a dead machine


def _left(until: float) -> float:
    left = until - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _reach(peer: Peer, until: float) -> Generator[tuple[socket.socket | None, int, float], None, socket.socket]:
    family, kind, protocol, _, address = socket.getaddrinfo(peer.host, peer.port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, protocol)
    try:
        _prepare(sock)
        code = sock.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, "cannot connect")
        yield sock, select.POLLOUT, _left(until)
        if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise ConnectionError(code, "it does not listen" if code == errno.ECONNREFUSED else "it cannot be reached")
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


def _hear(sock: socket.socket, until: float) -> Generator[tuple[socket.socket | None, int, float], None, dict[str, object]]:
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
    raw = sock.detach()
    with socket.socket(fileno=raw) as plain:
        plain.setblocking(False)
        with suppress(OSError):
            plain.shutdown(socket.SHUT_WR)
            while monotonic() < until:
                try:
                    if not plain.recv(65536):
                        return
                except BlockingIOError:
                    yield plain, select.POLLIN, max(0.0, until - monotonic())


def _printable(text: object) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in str(text)[:300])
