"""Who waits to say who it is, and who goes when there is no room for one more.

A stranger is a connection that has not yet named itself under a certificate of a client.  There is room for
so many of them, and each has so many seconds.  A stranger that comes when there is no room takes the place of
another:

    from an address that has more than a quarter of the room, if there is one;
    there, of those who have said least: nothing, something, a ClientHello, a certificate;
    of these the one that has been silent for longest.

So connections that say nothing keep nobody out, nor do many from one address, and a crowd of clients that all
speak drive each other out only where they are more than the room.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from enum import IntEnum
from typing import Generic, Protocol, TypeVar


class Said(IntEnum):
    """What a stranger has said so far."""

    NOTHING, SOMETHING, HELLO, CERTIFICATE = range(4)


class Stranger(Protocol):
    address: str
    since: float
    said: Said


S = TypeVar("S", bound=Stranger)


class _Queue(Generic[S]):
    """Strangers by what they have said, who has been silent for longest first."""

    def __init__(self) -> None:
        self._waiting: tuple[OrderedDict[S, None], ...] = tuple(OrderedDict() for _ in Said)
        self.size = 0

    def add(self, who: S) -> None:
        self._waiting[who.said][who] = None
        self.size += 1

    def discard(self, who: S) -> None:
        del self._waiting[who.said][who]
        self.size -= 1

    def least(self) -> S:
        return next(iter(next(filter(None, self._waiting))))


class Door(Generic[S]):
    """The strangers that wait; whoever opens and closes connections asks it and tells it."""

    def __init__(self, room: int, seconds: float) -> None:
        self._share, self.room, self._seconds = room // 4, room, seconds
        self._all, self._places = _Queue[S](), dict[str, _Queue[S]]()
        self._came: OrderedDict[S, str] = OrderedDict()
        self._greedy: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return self._all.size

    def in_the_way(self) -> S | None:
        """Who goes if one more comes; nobody while there is room."""
        if self._all.size < self.room:
            return None
        return (self._places[next(iter(self._greedy))] if self._greedy else self._all).least()

    def enter(self, who: S) -> None:
        place = network(who.address)
        self._came[who] = place
        self._all.add(who)
        queue = self._places.setdefault(place, _Queue())
        queue.add(who)
        if queue.size > self._share:
            self._greedy[place] = None

    def heard(self, who: S, said: Said) -> None:
        """It has just said something."""
        queues = self._all, self._places[self._came[who]]
        for queue in queues:
            queue.discard(who)
        who.said = said
        for queue in queues:
            queue.add(who)

    def leave(self, who: S) -> None:
        """It is gone, or a stranger no more."""
        if (place := self._came.pop(who, None)) is None:
            return
        self._all.discard(who)
        queue = self._places[place]
        queue.discard(who)
        if queue.size <= self._share:
            self._greedy.pop(place, None)
        if not queue.size:
            del self._places[place]

    def overdue(self, now: float) -> S | None:
        """The one that has waited for too long, if one has."""
        first = next(iter(self._came), None)
        return first if first is not None and now - first.since > self._seconds else None


def network(address: str) -> str:
    """What counts as one address: of IPv6, where everybody has so many, the network of 64 bits."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
