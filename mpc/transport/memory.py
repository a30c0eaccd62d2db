"""All parties in one process: a queue of buffers per directed link.

Serves local sessions, which run all parties in lockstep in one thread (``timeout=0``: what is not there
yet will never come), and parties in threads of their own.
"""
from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from mpc.errors import PartyLost

#: Answers one frame to the dealer's seat: (sender, frame) ↦ buffers of the answer.
Service = Callable[[int, bytes], Sequence[memoryview]]


class _Mesh:
    def __init__(self, size: int) -> None:
        ranks = range(size + 1)                     # the last one is the dealer's
        self.links = {(i, j): deque[memoryview]() for i in ranks for j in ranks if i != j}
        self.changed = threading.Condition()
        self.closed: set[int] = set()


class MemoryTransport:
    """One party's end of a mesh made by :func:`mesh`."""

    def __init__(self, rank: int, size: int, mesh: _Mesh, service: Service | None, timeout: float) -> None:
        self.rank, self.size = rank, size
        self._mesh, self._service, self._timeout = mesh, service, timeout

    def post(self, peer: int, buffers: Sequence[memoryview]) -> None:
        with self._mesh.changed:
            if peer == self.size and self._service is not None:
                answer = self._service(self.rank, b"".join(buffers))
                self._mesh.links[peer, self.rank].extend(b.cast("B") for b in answer)
            else:
                self._mesh.links[self.rank, peer].extend(b.cast("B") for b in buffers)
            self._mesh.changed.notify_all()

    def collect(self, wanted: Mapping[int, memoryview]) -> None:
        for peer, buffer in wanted.items():
            link, view = self._mesh.links[peer, self.rank], buffer.cast("B")
            while len(view):
                with self._mesh.changed:
                    if not link:
                        if peer in self._mesh.closed:
                            raise PartyLost(f"party {peer} closed the connection", f"party {peer}")
                        if not self._timeout or not self._mesh.changed.wait_for(
                                lambda: link or peer in self._mesh.closed, self._timeout):  # noqa: B023
                            raise PartyLost(f"party {peer} said nothing for {self._timeout:g} s", f"party {peer}")
                        continue
                    piece = link.popleft()
                n = min(len(piece), len(view))
                view[:n] = piece[:n]
                view = view[n:]
                if n < len(piece):
                    link.appendleft(piece[n:])

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self, linger: float = 0.0) -> None:
        with self._mesh.changed:
            self._mesh.closed.add(self.rank)
            self._mesh.changed.notify_all()


def mesh(size: int, *, service: Service | None = None, greetings: Mapping[int, Sequence[memoryview]] | None = None,
         timeout: float = 60.0) -> list[MemoryTransport]:
    """The ends of ``size`` parties.  ``service`` plays the dealer's seat, ``greetings`` what it says first."""
    shared = _Mesh(size)
    for rank, buffers in (greetings or {}).items():
        shared.links[size, rank].extend(buffers)
    return [MemoryTransport(rank, size, shared, service, timeout) for rank in range(size)]
