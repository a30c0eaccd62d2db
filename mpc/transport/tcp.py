"""Links over TCP, under TLS 1.3 unless asked otherwise; ``mpc.transport.joining`` makes them.

One loop, no threads: ``collect`` drives all links.  Whether a peer is gone is looked up at every operation,
once in a second at most: an ended connection that says no goodbye, and a machine that has acknowledged
nothing for ``DEAF`` seconds, whichever way data flow.

Figures (loopback, a process per party, 2 cores): 8 bytes there and back 11 µs, under TLS 20 µs; without
trying again before ``poll`` (see ``SPIN``) it is 95 µs, the price of two wake-ups.  Who tries again lets
others have the core in between: a chain of products of three processes on the two cores takes 0.24 ms a
round, where it was 0.29 with 20 µs of insisting.  512 KiB frames in both directions at once: 3.5 GB/s each
way, under TLS (AES-256-GCM) 0.9 GB/s.  A MemoryBIO with 128 KiB socket reads instead of ``SSLSocket`` is as
fast (0.9 GB/s) and adds copies and code: not worth it.
"""

from __future__ import annotations

import errno
import math
import os
import select
import socket
import ssl
import struct
import sys
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fcntl import ioctl
from termios import TIOCOUTQ
from time import monotonic, perf_counter

from mpc.errors import PartyLost, TransportError
from mpc.frames import HEADER, parting

RECORD = 16384  # what one TLS record holds
SLOWEST = 1000  # bytes per second below which a peer counts as lost
SPIN = 50e-6  # seconds to try again before asking the kernel to wake us
_let_others = getattr(os, "sched_yield", lambda: None)  # not everywhere
LOOK = 1.0  # seconds between two looks at whether the peers are still there
DEAF = 8.0  # seconds after which a machine that acknowledges nothing counts as gone
BURST = 16  # reads from one peer before the others' turn
IOV = 64  # buffers per sendmsg
VIEW = 1024  # what a waiting buffer counts for besides its bytes

_AGAIN = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_UNREACHABLE = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH)
HANGUP = getattr(select, "POLLRDHUP", 0)  # Linux; elsewhere only a reset tells


class _Left:
    """In place of the socket of a peer that has left: what it had still said."""

    def __init__(self, said: bytearray) -> None:
        self._said = memoryview(said)

    def recv_into(self, view: memoryview) -> int:
        count = min(len(view), len(self._said))
        view[:count] = self._said[:count]
        self._said = self._said[count:]
        return count

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        """It is closed."""


@dataclass(slots=True, eq=False)
class _Link:
    """One peer's socket and what waits to leave through it."""

    name: str
    socket: socket.socket | _Left
    secure: bool
    queue: deque[memoryview] = field(default_factory=deque)
    bytes: int = 0  # in the queue
    broken: bool = False  # it takes nothing any more; what it sent before can still be read
    parted: bool = False  # its goodbye has been read
    end: bytearray = field(default_factory=bytearray)  # of what was thrown away: it may be a goodbye
    error: OSError | None = None  # how reading failed meanwhile

    @property
    def waiting(self) -> int:
        return self.bytes + VIEW * len(self.queue)

    def push(self) -> int:
        """Send what the network takes; how many bytes it took."""
        queue, moved = self.queue, 0
        try:
            while queue:
                if len(queue) == 1 or self.secure:
                    sent = self.socket.send(queue[0])  # type: ignore[union-attr]
                else:
                    some = [queue[i] for i in range(min(len(queue), IOV))]
                    sent = self.socket.sendmsg(some)  # type: ignore[union-attr]
                moved += sent
                while queue and sent >= len(queue[0]):
                    sent -= len(queue.popleft())
                if sent:
                    queue[0] = queue[0][sent:]
        except _AGAIN:
            pass
        except OSError:
            self.broken = True  # it may have said why it left: who called looks for that
            queue.clear()
        self.bytes = self.bytes - moved if queue else 0
        return moved

    def pull(self, view: memoryview) -> int:
        """How many bytes could be read into ``view`` at once, 0 for none now."""
        try:
            count = self.socket.recv_into(view)
        except _AGAIN:
            return 0
        except OSError as error:
            raise self.lost(error) from None
        if not count:
            raise self.lost(None)
        return count

    def lost(self, error: OSError | None) -> PartyLost:
        """What it means that the link is at its end; ``error`` is how reading it failed, if it did."""
        if error is not None and error.errno in _UNREACHABLE:
            return self.deaf()
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return PartyLost(
                f"the TLS link to {self.name} broke ({error.reason or type(error).__name__})", self.name
            )
        return PartyLost(f"{self.name} closed the connection", self.name)

    def deaf(self) -> PartyLost:
        return PartyLost(
            f"{self.name} does not answer any more: its machine or the network in between is gone", self.name
        )

    def drop(self) -> bool:
        """Throw away what has come by now, but for its end; whether the link is at its own."""
        try:
            for _ in range(BURST):
                piece = self.socket.recv(1 << 16)  # type: ignore[union-attr]
                if not piece:
                    return True
                self.end += piece
                del self.end[: -HEADER.size]
        except _AGAIN:
            pass
        except OSError as error:
            self.error = error
            return True
        return False

    def remains(self) -> tuple[bytearray, OSError | None]:
        """All that can still be read, which is what the kernel holds for a link, and the error at its end."""
        said = bytearray(self.end)
        try:
            while piece := self.socket.recv(1 << 16):  # type: ignore[union-attr]
                said += piece
        except _AGAIN:
            pass
        except OSError as error:
            return said, self.error or error
        return said, self.error


class TcpTransport:
    """``Transport`` over connected sockets; made by ``connect``."""

    def __init__(
        self, rank: int, size: int, links: Mapping[int, tuple[str, socket.socket]], timeout: float
    ) -> None:
        self.rank = rank
        self.size = size
        # None waits for ever: for a dealer, whom parties ask when they need it.
        self.timeout: float | None = timeout
        self._links = {
            peer: _Link(name, sock, isinstance(sock, ssl.SSLSocket)) for peer, (name, sock) in links.items()
        }
        self._poll = select.poll()
        self._watched: dict[int, int] = {}  # what poll knows: registering anew would cost a call each time
        self._ends = select.poll()  # tells of links that are at their end, and of nothing else
        self._files = {link.socket.fileno(): peer for peer, link in self._links.items()}
        for file in self._files:
            self._ends.register(file, HANGUP)
        self._next_look = 0.0
        self._lost: PartyLost | None = None

    def post(self, peer: int, buffers: Sequence[memoryview]) -> int:
        link = self._link(peer)
        if link.broken:
            return 0
        views = [view.cast("B") for view in buffers if view.nbytes]
        link.queue.extend(_records(views) if link.secure else views)
        link.push()
        if link.broken:
            self._leave(peer)
        if not link.queue:
            return 0
        link.bytes += sum([len(view) for view in views])
        return link.waiting

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
            if self._push() or moved:
                until = limit = 0.0
            elif not until:
                until = perf_counter() + SPIN
            elif perf_counter() <= until:
                _let_others()
            else:
                limit = limit or self._limit()
                self._wait(missing, limit, "said")
                until = 1.0  # something is there, poll has said: no need to spin again if it was not enough

    def look(self) -> None:
        if monotonic() < self._next_look:
            return
        self._next_look = monotonic() + LOOK
        if self._lost is not None:
            raise PartyLost(str(self._lost), self._lost.who, self._lost.reason)
        self._part(0)
        for link in self._links.values():
            if not link.broken and _unanswered(link.socket):
                raise link.deaf()

    def flush(self, most: Mapping[int, int] | None = None) -> None:
        limit = 0.0
        while True:
            self.look()
            if most is None:
                self._drop()
            if self._push():
                limit = 0.0
            waiting = [
                link.name for peer, link in self._links.items() if link.waiting > (most or {}).get(peer, 0)
            ]
            if waiting:
                limit = limit or self._limit()
                if monotonic() > limit:  # though peers may go on to send
                    raise self._stuck(waiting, "took")
                open_ = [peer for peer, link in self._links.items() if not link.broken]
                self._wait(open_ if most is None else (), limit, "took")
            elif most is not None:
                return
            else:
                late = [
                    link.name for link in self._links.values() if not link.broken and _underway(link.socket)
                ]
                self._part(1 if late else 0)
                if not late:
                    return
                limit = limit or self._limit()
                if monotonic() > limit:
                    raise self._stuck(late, "took")

    def excuse(self, peer: int) -> None:
        """Note that a goodbye of this peer has been collected: its link may end."""
        self._links[peer].parted = True

    def close(self, linger: float = 0.0) -> None:
        if linger:
            self._drain(monotonic() + linger)
        for link in self._links.values():
            link.queue.clear()
            link.socket.close()
        self._links.clear()

    def _push(self) -> int:
        """Send what the network takes of all that waits; how many bytes it took."""
        moved = 0
        for peer, link in self._links.items():
            if link.queue:
                moved += link.push()
                if link.broken:
                    self._leave(peer)
        return moved

    def _leave(self, peer: int) -> None:
        """Keep what was still said on a link that has ended; ``PartyLost`` unless it ends with a goodbye."""
        link = self._links[peer]
        said, error = link.remains()
        file = link.socket.fileno()
        del self._files[file]
        self._ends.unregister(file)
        if self._watched.pop(file, 0):
            self._poll.unregister(file)
        link.socket.close()
        link.socket, link.broken, link.bytes = _Left(said), True, 0
        link.queue.clear()
        if not link.parted and (lost := parting(said, link.name, link.lost(error))):
            self._lost = lost
            raise lost

    def _part(self, milliseconds: int) -> None:
        """Leave the links that are at their end, or come to it so soon."""
        for file, _ in self._ends.poll(milliseconds):
            self._leave(self._files[file])

    def _drop(self) -> None:
        """Throw away what peers still send: two that both leave would wait for each other to read it."""
        for peer, link in self._links.items():
            if not link.broken and link.drop():
                self._leave(peer)
        self._part(0)

    def _stuck(self, names: Sequence[str], did: str) -> PartyLost:
        who = ", ".join(names)
        return PartyLost(f"{who} {did} nothing for {self.timeout or 0:g} s", who)

    def _drain(self, until: float) -> None:
        """Send what waits, then throw away what peers still send until they close too.

        A socket that is closed with unread data resets the connection, and with it what we said last.
        """
        poll, open_ = select.poll(), {}
        for link in self._links.values():
            if not link.broken:
                poll.register(link.socket.fileno(), select.POLLIN | select.POLLOUT)
                open_[link.socket.fileno()] = link
        while open_ and (left := until - monotonic()) > 0:
            for file, events in poll.poll(left * 1000):
                link = open_[file]
                assert isinstance(link.socket, socket.socket)
                gone = False
                try:
                    if events & select.POLLOUT:
                        link.push()
                        if not link.queue:
                            link.socket.shutdown(socket.SHUT_WR)
                            poll.modify(file, select.POLLIN)
                    if events & ~select.POLLOUT:
                        gone = not socket.socket.recv(link.socket, 1 << 16)
                except BlockingIOError:
                    continue
                except OSError:
                    gone = True
                if gone or link.broken:
                    poll.unregister(file)
                    del open_[file]

    def _ceiling(self, missing: Mapping[int, memoryview]) -> float:
        """When what is under way must be through, even if it drips: a peer cannot hold us for ever."""
        if self.timeout is None:
            return math.inf
        waiting = sum(len(view) for view in missing.values()) + sum(
            link.bytes for link in self._links.values()
        )
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

    def _wait(self, reading: Collection[int], limit: float, did: str) -> None:
        """Sleep until a link can go on, at most until ``limit``; see in between whether all are there.

        ``did`` says what a peer has not done that we wait for so long: it ``said`` or ``took`` nothing.
        """
        for peer, link in self._links.items():
            events = (select.POLLIN if peer in reading else 0) | (select.POLLOUT if link.queue else 0)
            file = link.socket.fileno()
            if events != self._watched.get(file, 0):
                if events:
                    self._poll.register(file, events)
                else:
                    self._poll.unregister(file)
                self._watched[file] = events
        there = len(self._files)
        while not self._poll.poll(min(max(0.0, limit - monotonic()), LOOK) * 1000 + 1):
            if monotonic() >= limit:
                silent = reading if did == "said" else [p for p, link in self._links.items() if link.queue]
                raise self._stuck([self._links[peer].name for peer in silent], did)
            self.look()
            if len(self._files) < there:
                return  # perhaps it was waited for


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


def _underway(sock: socket.socket | _Left) -> int:
    """Bytes sent that the peer's machine has not acknowledged.  Linux; elsewhere 0."""
    if not sys.platform.startswith("linux"):
        return 0
    with suppress(OSError):
        return int(struct.unpack("i", ioctl(sock.fileno(), TIOCOUTQ, bytes(4)))[0])
    return 0


def _unanswered(sock: socket.socket | _Left) -> bool:
    """Whether bytes are under way of which the peer's machine acknowledges nothing.  Linux; elsewhere never.

    Where nothing is under way, the kernel's keepalive finds out.  TCP_USER_TIMEOUT would not do: it also ends
    links to peers that are there and only busy, with a receive buffer that is full.
    """
    if not sys.platform.startswith("linux"):
        return False
    assert isinstance(sock, socket.socket)
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 60)  # struct tcp_info of linux/tcp.h
    segments, sent, answered = (struct.unpack_from("=I", info, at)[0] for at in (24, 44, 56))
    # Sent again, a while after the last answer and a while ago: a busy peer's machine would have answered.
    return bool(segments) and answered > DEAF * 1000 and answered - sent > 1000 and sent > 1000
