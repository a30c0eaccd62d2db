"""A client's connection to the server: blocking, TLS 1.3 with certificates on both sides, one frame at a
time.
"""

from __future__ import annotations

import socket
import ssl
from time import monotonic, sleep

from mpc.config import Peer
from mpc.errors import HandshakeError, PartyLost, WireError
from mpc.transport.tls import Tls, explain, refusal
from protocols.aggregation.service.frames import HEAD, Kind, head, prepare, read_head

_JOINED = 4096  # a part this short goes with its frame's head
_PIECE = 1 << 16
SLOWEST = 1000  # bytes per second below which a server counts as lost
ALERT = 1.0  # seconds to look for why it hung up


class Line:
    """``silence`` is how many seconds the server may say nothing, ``most`` the longest frame it may send.

    A frame that drips, in either direction, has as many seconds more as ``SLOWEST`` says.
    """

    def __init__(self, peer: Peer, tls: Tls, timeout: float, silence: float, most: int) -> None:
        """Try for ``timeout`` seconds.  ``PartyLost`` if the server cannot be reached, ``HandshakeError`` if
        one of the two is not trusted."""
        context, until, reason = tls.client(), monotonic() + timeout, "it did not answer"
        self._name, self._most = f"the server {peer.name} at {peer.address}", most
        while True:
            try:
                patience = max(0.1, min(10.0, until - monotonic()))
                raw = socket.create_connection((peer.host, peer.port), timeout=patience)
                prepare(raw)
                self._socket = context.wrap_socket(raw, server_hostname=peer.name)
                break
            except ssl.SSLCertVerificationError as error:
                why = "its certificate is for another name" if error.verify_code == 62 else explain(error)
                raise HandshakeError(f"{self._name} cannot be trusted: {why}") from None
            except OSError as error:
                refused = isinstance(error, ConnectionRefusedError)
                reason = "it does not listen" if refused else error.strerror or "it did not answer"
            if monotonic() > until:
                raise PartyLost(f"{self._name} cannot be reached within {timeout:g} s: {reason}", peer.name)
            sleep(0.1)
        self._silence = silence

    def send(self, kind: Kind, *parts: bytes) -> None:
        size = sum(map(len, parts))
        start, until = head(kind, size), self._limit(size)
        if parts and len(parts[0]) < _JOINED:
            start, parts = start + parts[0], parts[1:]
        try:
            for part in (start, *parts):
                view, sent = memoryview(part), 0
                while sent < len(part):
                    self._wait(until)
                    sent += self._socket.send(view[sent : sent + _PIECE])
        except OSError as error:
            raise self._lost(self._alert() or error) from None

    def receive(self) -> tuple[Kind, bytearray]:
        kind, size = read_head(self._read(HEAD.size))
        if size > self._most:
            raise WireError(f"{self._name} announces {size} bytes where {self._most} are the most")
        return kind, self._read(size)

    def _read(self, size: int) -> bytearray:
        data, until = bytearray(), self._limit(size)
        while len(data) < size:
            try:
                self._wait(until)
                piece = self._socket.recv(min(size - len(data), _PIECE))
            except OSError as error:
                raise self._lost(error) from None
            if not piece:
                raise PartyLost(f"{self._name} closed the connection", "the server")
            data += piece
        return data

    def _limit(self, size: int) -> float:
        return monotonic() + self._silence + size / SLOWEST

    def _wait(self, until: float) -> None:
        """Be patient with what comes next, but not for ever with a server that drips."""
        left = until - monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(min(left, self._silence))

    def _alert(self) -> ssl.SSLError | None:
        """Why the server hung up, where a write has failed before its alert was read."""
        until = monotonic() + ALERT
        try:
            while True:
                self._wait(until)
                if not self._socket.recv(_PIECE):
                    break
        except ssl.SSLError as error:
            return error
        except OSError:
            pass
        return None

    def _lost(self, error: OSError) -> PartyLost | HandshakeError:
        if isinstance(error, ssl.SSLError) and (words := refusal(error)):
            return HandshakeError(f"{self._name} refused our certificate: {words}")
        why = (
            "it says or takes nothing"
            if isinstance(error, TimeoutError)
            else error.strerror or type(error).__name__
        )
        return PartyLost(f"the connection to {self._name} broke ({why})", "the server")

    def close(self) -> None:
        self._socket.close()
