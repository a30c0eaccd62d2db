"""A client's connection to the server: blocking, TLS 1.3 with certificates on both sides, one frame at a time."""
from __future__ import annotations

import socket
import ssl
from time import monotonic, sleep

from mpc.config import Peer
from mpc.errors import HandshakeError, PartyLost, WireError
from mpc.transport.tls import Tls, explain, refusal
from protocols.aggregation.frames import HEAD, Kind, head, prepare, read_head

_JOINED = 4096                                      # a part this short goes with its frame's head


class Line:
    """``silence`` is how many seconds the server may say nothing, ``most`` the longest frame it may send."""

    def __init__(self, peer: Peer, tls: Tls, timeout: float, silence: float, most: int) -> None:
        """Try for ``timeout`` seconds.  ``PartyLost`` if the server cannot be reached, ``HandshakeError`` if one of the
        two is not trusted."""
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
        self._socket.settimeout(silence)

    def send(self, kind: Kind, *parts: bytes) -> None:
        start = head(kind, sum(map(len, parts)))
        if parts and len(parts[0]) < _JOINED:
            start, parts = start + parts[0], parts[1:]
        try:
            for part in (start, *parts):
                self._socket.sendall(part)
        except OSError as error:
            raise self._lost(self._alert() or error) from None

    def receive(self) -> tuple[Kind, bytearray]:
        kind, size = read_head(self._read(HEAD.size))
        if size > self._most:
            raise WireError(f"{self._name} announces {size} bytes where {self._most} are the most")
        return kind, self._read(size)

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
        why = "it says nothing" if isinstance(error, TimeoutError) else error.strerror or type(error).__name__
        return PartyLost(f"the connection to {self._name} broke ({why})", "the server")

    def close(self) -> None:
        self._socket.close()
