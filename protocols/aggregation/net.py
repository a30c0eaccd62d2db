"""Frames over TLS 1.3: many connections in one thread at the server, one blocking connection at a client.

    "mpcA" (4)   kind (1)   length (4)   body

A length is checked before anything is allocated, and a body's memory grows with what has arrived.  At the server
every connection is a generator that yields where it would wait, so no client can hold up another, and no TLS object
is ever in two hands.  Bodies that are big wait for room (``ROOM``), in the kernel and hence at their sender.
"""
from __future__ import annotations

import json
import selectors
import socket
import ssl
import struct
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from time import monotonic, sleep
from typing import Any

from mpc.config import Peer
from mpc.errors import ConfigError, HandshakeError, PartyLost, WireError
from mpc.transport.tls import Tls, explain, names, refusal

_HEAD = struct.Struct("<4sBI")
_MAGIC = b"mpcA"
SMALL = 4096                                        # the longest hello, refusal or reason
STRANGER, STRANGERS = 5.0, 64                       # seconds to say who one is; how many may be about it
ROOM, PATIENCE = 1 << 28, 2.0                       # bytes of big bodies under way; who takes longer no longer counts
BURST = 64                                          # reads from one client before the others' turn
_AGAIN = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Kind(IntEnum):
    HELLO, WELCOME, ASK, ANSWER, REFUSED, RESULT, FAILED, ERROR, BYE = range(1, 10)


_Steps = Generator[int, None, None]                 # yields the events it waits for; 0: ready, but it is the others' turn
_WAIT = -1                                          # for room


@dataclass(eq=False, slots=True)
class _Link:
    """One connection at the server."""

    socket: socket.socket
    address: str
    since: float
    name: str = ""
    size: int = 0                                   # of the big body under way
    started: float = 0.0
    wants: int = selectors.EVENT_READ
    queue: deque[memoryview] = field(default_factory=deque)
    steps: _Steps | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A frame from a client; or, without a kind, why its connection is no more."""

    name: str
    kind: Kind | None
    body: bytearray


class Hub:
    """The server's connections.  ``poll`` moves everything that can move and tells what has come."""

    def __init__(self, peer: Peer, tls: Tls, clients: tuple[str, ...], most: int) -> None:
        self.links: dict[str, _Link] = {}
        self._context, self._clients, self._most = tls.server(), {name.lower(): name for name in clients}, most
        self._listener = _listen(peer)
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._all: set[_Link] = set()
        self._events: list[Event] = []

    # -- what the server says ---------------------------------------------------------------------

    def send(self, name: str, kind: Kind, *parts: bytes | memoryview) -> None:
        """Queue a frame; nothing happens if the client is not connected."""
        if (link := self.links.get(name)) is not None:
            self._say(link, kind, *parts)

    def _say(self, link: _Link, kind: Kind, *parts: bytes | memoryview) -> None:
        views = [memoryview(part) for part in parts]
        if sum(map(len, link.queue)) > 4 * self._most + SMALL * 256:
            self._drop(link, "it does not read what it is sent")
            return
        link.queue.append(memoryview(_HEAD.pack(_MAGIC, kind, sum(len(v) for v in views))))
        link.queue.extend(v[lo:lo + (1 << 18)] for v in views for lo in range(0, len(v), 1 << 18))
        self._push(link)

    def expel(self, name: str, why: str) -> None:
        """Tell a client what it did wrong, and close."""
        if (link := self.links.get(name)) is not None:
            self._say(link, Kind.ERROR, why.encode()[:SMALL])
            self._drop(link, why)

    # -- the loop ---------------------------------------------------------------------------------

    def poll(self, timeout: float) -> list[Event]:
        """What came within ``timeout`` seconds, at the latest; returns as soon as there is anything."""
        until = monotonic() + timeout
        while True:
            ready = [link for link in self._all if link.wants == 0 or (link.wants == _WAIT and self._room(link))]
            wait = 0.0 if ready or self._events else max(0.0, min(until - monotonic(), 0.2))
            for key, events in self._selector.select(wait):
                link = key.data
                if link is None:
                    self._accept()
                    continue
                if events & selectors.EVENT_WRITE and link.queue:
                    self._push(link)
                if link in self._all and link.wants > 0 and (events & link.wants or not link.name):
                    ready.append(link)
            for link in ready:
                if link in self._all:
                    self._step(link)
            for link in [link for link in self._all if not link.name and monotonic() - link.since > STRANGER]:
                self._drop(link, "")
            if self._events or monotonic() >= until:
                events_, self._events = self._events, []
                return events_

    def close(self, seconds: float) -> None:
        """Deliver what is queued, within so many seconds, and hang up."""
        until = monotonic() + seconds
        while any(link.queue for link in self._all) and monotonic() < until:
            self.poll(0.05)
        self._selector.unregister(self._listener)
        self._listener.close()
        for link in self._all:
            with suppress(OSError):
                link.socket.shutdown(socket.SHUT_WR)
        linger = monotonic() + 1.0                  # a socket closed with unread input takes back what it has sent
        while self._all and monotonic() < linger:
            self.poll(0.05)
        for link in list(self._all):
            self._drop(link, "")
        self._selector.close()

    def _accept(self) -> None:
        try:
            raw, address = self._listener.accept()
        except OSError:
            sleep(0.01)                             # gone again, or out of file descriptors
            return
        strangers = [link for link in self._all if not link.name]
        if len(strangers) >= STRANGERS:
            self._drop(min(strangers, key=lambda link: link.since), "")
        _prepare(raw)
        raw.setblocking(False)
        sock = self._context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
        link = _Link(sock, str(address[0]), monotonic())
        link.steps = self._serve(link)
        self._all.add(link)
        self._selector.register(sock, selectors.EVENT_READ, link)
        self._step(link)

    def _step(self, link: _Link) -> None:
        assert link.steps is not None
        try:
            link.wants = next(link.steps)
        except (StopIteration, EOFError):
            self._drop(link, "it closed the connection")
        except ssl.SSLError as error:
            self._drop(link, explain(error) if not link.name else "the connection broke")
        except OSError:
            self._drop(link, "the connection broke")
        except WireError as error:
            self._say(link, Kind.ERROR, str(error).encode()[:SMALL])
            self._drop(link, str(error))
        else:
            self._watch(link)

    def _watch(self, link: _Link) -> None:
        events = max(link.wants, 0) | (selectors.EVENT_WRITE if link.queue else 0)
        registered = link.socket in self._selector.get_map()
        if events and registered:
            self._selector.modify(link.socket, events, link)
        elif events:
            self._selector.register(link.socket, events, link)
        elif registered:
            self._selector.unregister(link.socket)

    def _push(self, link: _Link) -> None:
        try:
            while link.queue:
                sent = link.socket.send(link.queue[0])
                link.queue[0] = link.queue[0][sent:]
                if not link.queue[0]:
                    link.queue.popleft()
        except _AGAIN:
            pass
        except OSError:
            link.queue.clear()                      # reading will find out
        if link in self._all:
            self._watch(link)

    def _drop(self, link: _Link, why: str) -> None:
        if link not in self._all:
            return
        self._all.discard(link)
        with suppress(KeyError):
            self._selector.unregister(link.socket)
        with suppress(OSError):
            link.socket.shutdown(socket.SHUT_WR)
        link.socket.close()
        if link.name and self.links.get(link.name) is link:
            del self.links[link.name]
            self._events.append(Event(link.name, None, bytearray(why.encode())))
        elif not link.name and why:
            self._events.append(Event(link.address, None, bytearray(why.encode())))

    # -- one connection ---------------------------------------------------------------------------

    def _serve(self, link: _Link) -> _Steps:
        while True:
            try:
                link.socket.do_handshake()          # type: ignore[attr-defined]
                break
            except ssl.SSLWantReadError:
                yield selectors.EVENT_READ
            except ssl.SSLWantWriteError:
                yield selectors.EVENT_WRITE
        kind, body = yield from self._frame(link, SMALL)
        assert isinstance(link.socket, ssl.SSLSocket)
        held = [self._clients[name.lower()] for name in names(link.socket) if name.lower() in self._clients]
        claimed = as_json(body).get("me")
        if kind is not Kind.HELLO or not isinstance(claimed, str):
            raise WireError("it does not begin with a hello")
        if claimed not in held:
            raise WireError(f"its certificate is for {', '.join(names(link.socket)) or 'nobody'}, but it says that it is {claimed[:64]!r}"
                            if held else f"its certificate is for {', '.join(names(link.socket)) or 'nobody'}, who is not in the directory of clients")
        if (before := self.links.get(claimed)) is not None:
            self._say(before, Kind.ERROR, b"another process has connected under its name")
            self._drop(before, "it has connected anew")
        link.name = claimed
        self.links[claimed] = link
        self._events.append(Event(claimed, kind, body))
        while True:
            kind, body = yield from self._frame(link, self._most)
            self._events.append(Event(claimed, kind, body))
            body = bytearray()
            yield 0

    def _frame(self, link: _Link, most: int) -> Generator[int, None, tuple[Kind, bytearray]]:
        magic, kind, size = _HEAD.unpack((yield from self._read(link, _HEAD.size)))
        if magic != _MAGIC or kind not in set(Kind):
            raise WireError("what it sends is no frame of this protocol")
        if size > most:
            raise WireError(f"it announces {size} bytes where {most} are the most")
        if size <= 1 << 16:
            return Kind(kind), (yield from self._read(link, size))
        link.size, link.started = -size, monotonic()
        while not self._room(link):
            yield _WAIT
        link.size, link.started = size, monotonic()
        body = yield from self._read(link, size)
        link.size = 0
        return Kind(kind), body

    def _room(self, link: _Link) -> bool:
        now = monotonic()
        taken = sum(other.size for other in self._all if other.size > 0 and now - other.started < PATIENCE)
        return not taken or taken - link.size <= ROOM

    def _read(self, link: _Link, size: int) -> Generator[int, None, bytearray]:
        data, turns = bytearray(), 0
        while len(data) < size:
            try:
                piece = link.socket.recv(size - len(data) if size - len(data) < 1 << 16 else 1 << 16)
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


# ------------------------------------------------------------------------------------------------- the client's side


class Line:
    """A client's connection to the server: blocking, one frame at a time."""

    def __init__(self, peer: Peer, tls: Tls, timeout: float, silence: float, most: int) -> None:
        """Try for ``timeout`` seconds.  ``PartyLost`` if the server cannot be reached, ``HandshakeError`` if one of the two is not trusted."""
        context, until, reason = tls.client(), monotonic() + timeout, "it did not answer"
        self._name, self._most = f"the server {peer.name} at {peer.address}", most
        while True:
            try:
                raw = socket.create_connection((peer.host, peer.port), timeout=max(0.1, min(10.0, until - monotonic())))
                _prepare(raw)
                self._socket = context.wrap_socket(raw, server_hostname=peer.name)
                break
            except ssl.SSLCertVerificationError as error:
                why = "its certificate is for another name" if error.verify_code == 62 else explain(error)
                raise HandshakeError(f"{self._name} cannot be trusted: {why}") from None
            except OSError as error:
                reason = "it does not listen" if isinstance(error, ConnectionRefusedError) else error.strerror or "it did not answer"
            if monotonic() > until:
                raise PartyLost(f"{self._name} cannot be reached within {timeout:g} s: {reason}", peer.name)
            sleep(0.1)
        self._socket.settimeout(silence)

    def send(self, kind: Kind, *parts: bytes) -> None:
        try:
            self._socket.sendall(_HEAD.pack(_MAGIC, kind, sum(map(len, parts))) + (parts[0] if parts and len(parts[0]) < SMALL else b""))
            for part in parts[1:] if parts and len(parts[0]) < SMALL else parts:
                self._socket.sendall(part)
        except OSError as error:
            raise self._lost(self._alert() or error) from None

    def receive(self) -> tuple[Kind, bytearray]:
        magic, kind, size = _HEAD.unpack(self._read(_HEAD.size))
        if magic != _MAGIC or kind not in set(Kind) or size > self._most:
            raise WireError(f"{self._name} sends what is no frame of this protocol, or one of more than {self._most} bytes")
        return Kind(kind), self._read(size)

    def _read(self, size: int) -> bytearray:
        data = bytearray()
        while len(data) < size:
            try:
                piece = self._socket.recv(min(size - len(data), 1 << 16))
            except OSError as error:
                raise self._lost(error) from None
            if not piece:
                raise PartyLost(f"{self._name} closed the connection", "the server")
            data += piece
        return data

    def _alert(self) -> ssl.SSLError | None:
        """Why the server hung up, where a write has failed before its alert was read."""
        try:
            self._socket.settimeout(1.0)
            while self._socket.recv(1 << 16):
                pass
        except ssl.SSLError as error:
            return error
        except OSError:
            pass
        return None

    def _lost(self, error: OSError) -> PartyLost | HandshakeError:
        if isinstance(error, ssl.SSLError) and (words := refusal(error)):
            return HandshakeError(f"{self._name} refused our certificate: {words}")
        return PartyLost(f"the connection to {self._name} broke ({'it says nothing' if isinstance(error, TimeoutError) else error.strerror or type(error).__name__})", "the server")

    def close(self) -> None:
        self._socket.close()


def as_json(body: bytes | bytearray) -> dict[str, Any]:
    """A small message; ``WireError`` for anything that is not one."""
    try:
        out = json.loads(body)
    except (ValueError, RecursionError):
        out = None
    if not isinstance(out, dict):
        raise WireError("what arrived is no message of this protocol")
    return out


def printable(body: bytes | bytearray) -> str:
    """What the other side says, fit for a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in body[:SMALL].decode("utf-8", "replace"))


def _prepare(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _addresses(peer: Peer) -> Iterator[tuple[Any, ...]]:
    yield from socket.getaddrinfo(peer.host, peer.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)


def _listen(peer: Peer) -> socket.socket:
    try:
        family, kind, protocol, _, address = next(_addresses(peer))
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(512)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ConfigError(f"cannot listen on {peer.address} ({error.strerror}): stop the program that uses it or give an address of this machine") from None
    return listener
