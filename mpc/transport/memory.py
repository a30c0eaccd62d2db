"""All parties in one process: a queue of buffers per directed link.

Serves local sessions, which run all parties in lockstep in one thread (``timeout=0``: what is not there
yet will never come), and parties in threads of their own.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from mpc.errors import PartyLost
from mpc.frames import parting

VIEW = 1024  # what a waiting buffer counts for besides its bytes

#: Answers one frame to the dealer's seat: (sender, frame) ↦ buffers of the answer.
Service = Callable[[int, bytes], Sequence[memoryview]]


class _Mesh:
    def __init__(self, size: int) -> None:
        ranks = range(size + 1)  # the last one is the dealer's
        self.links = {(i, j): deque[memoryview]() for i in ranks for j in ranks if i != j}
        self.changed = threading.Condition()
        self.closed: set[int] = set()
        self.waiting = dict.fromkeys(self.links, 0)  # bytes, and 1 KiB for each buffer


class MemoryTransport:
    """One party's end of a mesh made by :func:`mesh`."""

    def __init__(self, rank: int, size: int, mesh: _Mesh, service: Service | None, timeout: float) -> None:
        self.rank, self.size = rank, size
        self._mesh, self._service, self._timeout = mesh, service, timeout

    def post(self, peer: int, buffers: Sequence[memoryview]) -> int:
        with self._mesh.changed:
            if peer == self.size and self._service is not None:
                answer = self._service(self.rank, b"".join(buffers))
                self._mesh.links[peer, self.rank].extend(b.cast("B") for b in answer)
                return 0
            if peer in self._mesh.closed:
                self._part(peer)
                return 0
            link = self.rank, peer
            self._mesh.links[link].extend([b.cast("B") for b in buffers])
            # there is one thread: nobody is slow, and nobody to be woken
            if not self._timeout:
                return 0
            self._mesh.waiting[link] += sum([b.nbytes + VIEW for b in buffers])
            self._mesh.changed.notify_all()
            return self._mesh.waiting[link]

    def collect(self, wanted: Mapping[int, memoryview]) -> None:
        for peer, buffer in wanted.items():
            link, view = self._mesh.links[peer, self.rank], buffer.cast("B")
            while len(view):
                with self._mesh.changed:
                    if not link:
                        if peer in self._mesh.closed:
                            raise PartyLost(f"party {peer} closed the connection", f"party {peer}")
                        if not self._timeout or not self._mesh.changed.wait_for(
                            lambda: link or peer in self._mesh.closed,  # noqa: B023
                            self._timeout,
                        ):
                            raise PartyLost(
                                f"party {peer} said nothing for {self._timeout:g} s", f"party {peer}"
                            )
                        continue
                    piece = link.popleft()
                    n = min(len(piece), len(view))
                    if n < len(piece):
                        link.appendleft(piece[n:])
                    if self._timeout:
                        self._mesh.waiting[peer, self.rank] -= n if n < len(piece) else n + VIEW
                        self._mesh.changed.notify_all()
                view[:n] = piece[:n]
                view = view[n:]

    def look(self) -> None:
        for peer in tuple(self._mesh.closed):
            if peer != self.rank:
                with self._mesh.changed:
                    self._part(peer)

    def flush(self, most: Mapping[int, int] | None = None) -> None:
        for peer, so_much in (most or {}).items():
            with self._mesh.changed:
                link = self.rank, peer
                waiting, closed = self._mesh.waiting, self._mesh.closed
                if not self._mesh.changed.wait_for(
                    lambda: waiting[link] <= so_much or peer in closed,  # noqa: B023
                    self._timeout,
                ):
                    raise PartyLost(f"party {peer} took nothing for {self._timeout:g} s", f"party {peer}")
        self.look()

    def _part(self, peer: int) -> None:
        """Raise unless what this peer said last is a goodbye."""
        link = self._mesh.links[peer, self.rank]
        who = f"party {peer}"
        ended = PartyLost(f"{who} closed the connection", who)
        if lost := parting(link[-1] if link else b"", who, ended):
            raise lost

    def close(self, linger: float = 0.0) -> None:
        with self._mesh.changed:
            self._mesh.closed.add(self.rank)
            self._mesh.changed.notify_all()


def mesh(
    size: int,
    *,
    service: Service | None = None,
    greetings: Mapping[int, Sequence[memoryview]] | None = None,
    timeout: float = 60.0,
) -> list[MemoryTransport]:
    """The ends of ``size`` parties.
    ``service`` plays the dealer's seat, ``greetings`` what it says first.
    """
    shared = _Mesh(size)
    for rank, buffers in (greetings or {}).items():
        shared.links[size, rank].extend(buffers)
    return [MemoryTransport(rank, size, shared, service, timeout) for rank in range(size)]
