"""The server's connections: TLS 1.3 with certificates on both sides, many of them in one thread.

Every connection is a generator that yields where it would wait, so none can hold up another, and no TLS
object is ever in two hands.  Whatever goes wrong in one, foreseen or not, costs that one, and is told in an
event.

What the other side can take up is bounded, and checked before it is taken:

    strangers     so many, for so many seconds (``door``); nothing but a socket for one that says nothing
    a frame       a hello once, then only answers to what was asked, each no longer than what was asked for
                  can be
    its memory    grows with what has arrived; big bodies wait for room (``ROOM``), in the kernel and hence at
                  their sender
    unsent data   so many bytes for a client that does not read what it is sent
    descriptors   of clients and strangers together fewer than the process may have, which is seen to at the
                  start
"""

from __future__ import annotations

import errno
import resource
import selectors
import socket
import ssl
import traceback
from collections import deque
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from mpc.config import Peer
from mpc.errors import ConfigError, WireError
from mpc.transport.tls import Tls, explain, names
from protocols.aggregation.service.door import Door, Said
from protocols.aggregation.service.frames import HEAD, SMALL, Kind, as_json, head, prepare, read_head

STRANGER = 10.0  # seconds to say who one is
# room for strangers; more with as many clients; the least there is
STRANGERS, CROWD, FEWEST = 256, 1024, 16
SPARE = 64  # descriptors for all else
# connections let in before the others' turn; those the kernel keeps
KNOCKS, BACKLOG = 32, 4096
ROOM, PATIENCE = 1 << 28, 2.0  # bytes of big bodies under way; who takes longer no longer counts
BIG, PIECE = 1 << 16, 1 << 18  # bytes of a body that waits for room; that are written at once
BURST = 64  # reads from one client before the others' turn
_AGAIN = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

# yields the events it waits for; 0: ready, but others have their turn
_Steps = Generator[int, None, None]
_WAIT = -1  # for room


class _Accepted(ssl.SSLSocket):
    """One that does not ask, while it is made, whether it is still connected, and then leave its descriptor
    to nobody: the handshake finds out."""

    def getpeername(self) -> Any:
        with suppress(OSError):
            return super().getpeername()
        return None


@dataclass(eq=False, slots=True)
class _Link:
    """One connection."""

    socket: socket.socket
    address: str
    since: float
    fd: int
    said: Said = Said.NOTHING
    name: str = ""
    owed: deque[tuple[Any, int]] = field(default_factory=deque)  # what was asked, and the longest answer
    size: int = 0  # of the big body under way
    started: float = 0.0
    wants: int = selectors.EVENT_READ
    queue: deque[memoryview] = field(default_factory=deque)
    unsent: int = 0
    steps: _Steps | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A frame from a client; or, without a kind, why its connection is no more.  Strangers have no name."""

    name: str
    kind: Kind | None
    body: bytearray
    about: Any = None  # of an answer: what was asked
    address: str = ""


class Hub:
    """``poll`` moves everything that can move and tells what has come; ``unsent`` bytes may wait for one
    client.
    """

    def __init__(self, peer: Peer, tls: Tls, clients: tuple[str, ...], unsent: int) -> None:
        self.links: dict[str, _Link] = {}  # whose hello ``poll`` has told
        self._fresh: dict[str, _Link] = {}  # and is about to tell
        self._context, self._unsent = tls.server(), unsent
        self._context.sslsocket_class = _Accepted
        self._clients = {name.lower(): name for name in clients}
        self._door = Door[_Link](_room(len(clients)), STRANGER)
        self._listener = _listen(peer)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._deaf = 0.0  # until when nobody is let in
        self._all: set[_Link] = set()
        self._events: list[Event] = []

    # -- what the server says ---------------------------------------------------------------------

    def send(self, name: str, kind: Kind, *parts: bytes | memoryview) -> None:
        """Queue a frame; nothing happens if the client is not connected."""
        if (link := self.links.get(name)) is not None:
            self._careful(link, lambda link: self._say(link, kind, *parts))

    def ask(self, name: str, about: Any, most: int, *parts: bytes | memoryview) -> None:
        """The same for a question, ``about`` which there will be an answer of ``most`` bytes at the most."""
        if (link := self.links.get(name)) is not None:
            link.owed.append((about, most))
            self.send(name, Kind.ASK, *parts)

    def expel(self, name: str, why: str) -> None:
        """Tell a client what it did wrong, and close."""
        if (link := self.links.get(name)) is not None:
            self.send(name, Kind.ERROR, why.encode(errors="replace")[:SMALL])
            self._drop(link, why)

    def _say(self, link: _Link, kind: Kind, *parts: bytes | memoryview) -> None:
        views = [memoryview(part) for part in parts]
        size = sum(map(len, views))
        if link.unsent + size > self._unsent:
            raise WireError("it does not read what it is sent")
        link.queue.append(memoryview(head(kind, size)))
        link.queue.extend(v[lo : lo + PIECE] for v in views for lo in range(0, len(v), PIECE))
        link.unsent += HEAD.size + size
        self._push(link)

    # -- the loop ---------------------------------------------------------------------------------

    def poll(self, timeout: float) -> list[Event]:
        """What came within ``timeout`` seconds, at the latest; returns as soon as there is anything."""
        until = monotonic() + timeout
        while True:
            knocks, ready = False, [link for link in self._all if self._may_go_on(link)]
            wait = 0.0 if ready or self._events else max(0.0, min(until - monotonic(), 0.2))
            for key, events in self._selector.select(wait):
                link: _Link | None = key.data
                if link is None:
                    knocks = True
                    continue
                if events & selectors.EVENT_WRITE and link.queue:
                    self._careful(link, self._push)
                if link in self._all and link.wants > 0 and (events & link.wants or not link.name):
                    ready.append(link)
            for link in ready:
                if link in self._all:
                    self._careful(link, self._step)
            if knocks:
                self._accept()
            self._look_after_the_door()
            if self._events or monotonic() >= until:
                self.links.update(self._fresh)
                self._fresh.clear()
                events_, self._events = self._events, []
                return events_

    def close(self, seconds: float) -> None:
        """Deliver what is queued, within so many seconds, and hang up."""
        until = monotonic() + seconds
        if not self._deaf:
            self._selector.unregister(self._listener)
        self._deaf = float("inf")
        self._listener.close()
        for link in [link for link in self._all if not link.name]:
            self._drop(link, "")
        while any(link.queue for link in self._all) and monotonic() < until:
            self.poll(0.05)
        for link in self._all:
            _finish(link.socket)
        # closed with unread input, a socket takes back what it has sent
        linger = monotonic() + 1.0
        while self._all and monotonic() < linger:
            self.poll(0.05)
        for link in list(self._all):
            self._drop(link, "")
        self._selector.close()

    def _accept(self) -> None:
        for _ in range(KNOCKS):
            try:
                raw, address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _SCARCE:  # else it is gone again
                    self._selector.unregister(self._listener)
                    self._deaf = monotonic() + 1.0
                    self._ended("", "", f"nobody can be let in ({error.strerror})")
                    return
                continue
            try:
                prepare(raw)
                raw.setblocking(False)
            except OSError:
                raw.close()
                continue
            if (other := self._door.in_the_way()) is not None:
                self._drop(other, "there was no room for one more at the door")
            link = _Link(raw, str(address[0]), monotonic(), raw.fileno())
            link.steps = self._serve(link)
            self._all.add(link)
            self._door.enter(link)
            self._careful(link, self._step)

    def _look_after_the_door(self) -> None:
        now = monotonic()
        while (link := self._door.overdue(now)) is not None:
            self._drop(link, f"it did not say who it is within {STRANGER:g} s")
        if 0 < self._deaf < now:
            self._selector.register(self._listener, selectors.EVENT_READ)
            self._deaf = 0.0

    def _careful(self, link: _Link, act: Callable[[_Link], None]) -> None:
        """Do this for a connection; whatever goes wrong is the end of this connection and of nothing else."""
        try:
            act(link)
        except (StopIteration, EOFError):
            self._drop(link, "it closed the connection")
        except ssl.SSLError as error:
            self._drop(link, explain(error) if not link.name else "the connection broke")
        except OSError:
            self._drop(link, "the connection broke")
        except WireError as error:
            with suppress(WireError, OSError):
                self._say(link, Kind.ERROR, str(error).encode(errors="replace")[:SMALL])
            self._drop(link, str(error))
        except Exception as error:
            self._drop(link, unforeseen(error))

    def _step(self, link: _Link) -> None:
        assert link.steps is not None
        link.wants = next(link.steps)
        self._watch(link)

    def _watch(self, link: _Link) -> None:
        events = max(link.wants, 0) | (selectors.EVENT_WRITE if link.queue else 0)
        registered = link.fd in self._selector.get_map()
        if events and registered:
            self._selector.modify(link.fd, events, link)
        elif events:
            self._selector.register(link.fd, events, link)
        elif registered:
            self._selector.unregister(link.fd)

    def _push(self, link: _Link) -> None:
        try:
            while link.queue:
                sent = link.socket.send(link.queue[0])
                link.unsent -= sent
                link.queue[0] = link.queue[0][sent:]
                if not link.queue[0]:
                    link.queue.popleft()
        except _AGAIN:
            pass
        except OSError:
            link.queue.clear()  # reading will find out
            link.unsent = 0
        self._watch(link)

    def _drop(self, link: _Link, why: str) -> None:
        if link not in self._all:
            return
        self._all.discard(link)
        self._door.leave(link)
        with suppress(KeyError):
            self._selector.unregister(link.fd)
        _finish(link.socket)
        with suppress(OSError):
            link.socket.close()
        for links in (self.links, self._fresh):
            if links.get(link.name) is link:
                del links[link.name]
        self._ended(link.name, link.address, why)

    def _ended(self, name: str, address: str, why: str) -> None:
        if name or why:
            self._events.append(Event(name, None, bytearray(why.encode(errors="replace")), address=address))

    # -- one connection ---------------------------------------------------------------------------

    def _serve(self, link: _Link) -> _Steps:
        yield selectors.EVENT_READ  # no TLS for one that says nothing
        self._door.heard(link, Said.SOMETHING)
        yield from self._handshake(link)
        self._door.heard(link, Said.CERTIFICATE)
        kind, body, _ = yield from self._frame(link)
        self._named(link, kind, body)
        while True:
            kind, body, about = yield from self._frame(link)
            self._events.append(Event(link.name, kind, body, about))
            body = bytearray()
            yield 0

    def _handshake(self, link: _Link) -> _Steps:
        tls = self._context.wrap_socket(link.socket, server_side=True, do_handshake_on_connect=False)
        link.socket = tls
        while True:
            try:
                tls.do_handshake()
                return
            except ssl.SSLWantReadError:
                wants = selectors.EVENT_READ
            except ssl.SSLWantWriteError:
                wants = selectors.EVENT_WRITE
            self._door.heard(link, Said.SOMETHING if tls.shared_ciphers() is None else Said.HELLO)
            yield wants

    def _named(self, link: _Link, kind: Kind, body: bytearray) -> None:
        """Take a hello, if its certificate bears it out."""
        assert isinstance(link.socket, ssl.SSLSocket)
        claimed = as_json(body).get("me")
        if kind is not Kind.HELLO or not isinstance(claimed, str):
            raise WireError("it does not begin with a hello")
        shown = names(link.socket)
        held = [self._clients[name.lower()] for name in shown if name.lower() in self._clients]
        if claimed not in held:
            whose = f"its certificate is for {', '.join(shown) or 'nobody'}"
            if held:
                raise WireError(f"{whose}, but it says that it is {claimed[:64]!r}")
            raise WireError(f"{whose}, who is not in the directory of clients")
        if (before := self._fresh.get(claimed) or self.links.get(claimed)) is not None:
            words = b"another process has connected under its name"
            self._careful(before, lambda before: self._say(before, Kind.ERROR, words))
            self._drop(before, "it has connected anew")
        # what was said by one that is no more is not heard
        self._events = [event for event in self._events if event.name != claimed or event.kind is None]
        self._door.leave(link)
        link.name = claimed
        self._fresh[claimed] = link
        self._events.append(Event(claimed, kind, body, address=link.address))

    def _frame(self, link: _Link) -> Generator[int, None, tuple[Kind, bytearray, Any]]:
        kind, size = read_head((yield from self._read(link, HEAD.size)))
        about, most = None, SMALL
        if link.name:
            if kind not in (Kind.ANSWER, Kind.REFUSED) or not link.owed:
                raise WireError("it sends what nobody has asked for")
            about, most = link.owed.popleft()
            most = most if kind is Kind.ANSWER else SMALL
        if size > most:
            raise WireError(f"it announces {size} bytes where {most} are the most")
        if size <= BIG:
            return kind, (yield from self._read(link, size)), about
        link.size, link.started = -size, monotonic()
        while not self._room(link):
            yield _WAIT
        link.size, link.started = size, monotonic()
        body = yield from self._read(link, size)
        link.size = 0
        return kind, body, about

    def _may_go_on(self, link: _Link) -> bool:
        return link.wants == 0 or (link.wants == _WAIT and self._room(link))

    def _room(self, link: _Link) -> bool:
        now = monotonic()
        taken = sum(other.size for other in self._all if other.size > 0 and now - other.started < PATIENCE)
        return not taken or taken - link.size <= ROOM

    def _read(self, link: _Link, size: int) -> Generator[int, None, bytearray]:
        data, turns = bytearray(), 0
        while len(data) < size:
            try:
                piece = link.socket.recv(min(size - len(data), BIG))
            except ssl.SSLWantWriteError:
                yield selectors.EVENT_WRITE
                continue
            except _AGAIN:
                yield selectors.EVENT_READ
                continue
            if not piece:
                raise EOFError
            data += piece
            turns += 1
            if turns % BURST == 0:
                yield 0
        return data


def unforeseen(error: Exception) -> str:
    """What a log says of an error that nobody thought of: where it was, not what it says."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f", {Path(frames[-1].filename).name} line {frames[-1].lineno}" if frames else ""
    return f"the server did not foresee this: {type(error).__name__}{place}"


def _finish(sock: socket.socket) -> None:
    """Say that no more comes.  ``SSLSocket`` would forget its keys over it, and not read what is still under
    way.
    """
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_WR)


def _room(clients: int) -> int:
    """How many strangers there is room for beside these clients, with the descriptors that this process may
    have.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = SPARE + clients + STRANGERS + min(clients, CROWD)
    if 0 <= soft < want:
        more = want if hard < 0 else min(want, hard)
        if more > soft:
            with suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
                soft = more
        want = soft
    if (room := want - clients - SPARE) < FEWEST:
        least = SPARE + clients + FEWEST
        raise ConfigError(
            f"{clients} clients take {least} open files at least, and this process may have {soft}: "
            f"raise the limit, as 'ulimit -n {least + STRANGERS}' does in the shell that starts it"
        )
    return room


def _listen(peer: Peer) -> socket.socket:
    try:
        found = socket.getaddrinfo(peer.host, peer.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(BACKLOG)
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {peer.address} ({error.strerror}): "
            "stop the program that uses it or give an address of this machine"
        ) from None
    return listener
