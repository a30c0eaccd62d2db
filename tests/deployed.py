"""Sessions over TCP whose parties are threads of this process: all that a deployment has, except for the
processes.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mpc.certs import make_authority_and_certificates
from mpc.config import Config, Peer
from mpc.transport.tls import Tls
from protocols.array.session import Session
from protocols.running import deployed as runner

NAMES = ["ann", "bob", "cy"]
DEALER = "dealer"


def certificates(folder: Path) -> Path:
    make_authority_and_certificates([*NAMES, DEALER], folder)
    return folder


class Deployment:
    """Addresses that are listened on, and each one's configuration; without a folder of certificates, plain
    TCP.
    """

    def __init__(
        self, size: int, folder: Path | None, *, dealer: bool = False, timeout: float = 10, **fields: Any
    ) -> None:
        self.listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(size)]
        self.peers = tuple(
            Peer(name, *sock.getsockname()) for name, sock in zip(NAMES, self.listeners, strict=False)
        )
        self.names = NAMES[:size] + [DEALER] * dealer
        self.folder = folder
        self.common = Config(
            "", self.peers, None, timeout=timeout, dealer=DEALER if dealer else None, **fields
        )

    def config(self, rank: int, **changes: Any) -> Config:
        name = self.names[rank]
        tls = (
            None
            if self.folder is None
            else Tls(self.folder / "ca.pem", self.folder / f"{name}.pem", self.folder / f"{name}.key")
        )
        return replace(self.common, me=name, tls=tls, **changes)

    def play(self, rank: int, main: Callable[[Session], Any], program: bytes = b"", **changes: Any) -> Any:
        """What ``mpc party`` does: join, run ``main``, leave."""
        loaded: Any = SimpleNamespace(terms={"program": program.hex(), "modules": {}}, on_late=None)
        session = runner.join(self.config(rank, **changes), loaded, listener=self.listeners[rank])
        error: BaseException | None = None
        try:
            return main(session)
        except BaseException as failure:
            error = failure
            raise
        finally:
            session.close(error)

    def deal(self, **changes: Any) -> None:
        """What ``mpc dealer`` does."""
        runner.serve_dealer(self.config(len(self.peers), **changes))

    def close(self) -> None:
        for sock in self.listeners:
            sock.close()
