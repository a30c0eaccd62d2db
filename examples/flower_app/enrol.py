"""python enrol.py FOLDER CLIENTS: the files of a made-up federation, for trying the app on one machine.

In earnest each client makes its own key and gives its public part to whoever closes the directory, who is not
the server; then everybody gets the same clients.directory and agreement.toml.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from protocols.aggregation.directory import Directory

AGREEMENT = """\
session = "digits"
directory = "clients.directory"
clip = 20.0                     # bound on the L2 norm of an update
weight = 1500                   # the most examples of a client
dropout = {dropout}
corrupt = 0.05                  # fraction of the clients that may collude with the server

[metrics]                       # what may be summed, and nothing else
train = ["loss"]
evaluate = ["loss", "accuracy"]
"""
CLIENT = """\
name = "{name}"
agreement = "agreement.toml"
key = "{name}.key"
ledger = "{name}.ledger"
"""


def enrol(folder: Path, clients: int, dropout: float = 0.0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    keys = {f"client-{i}": Ed25519PrivateKey.generate() for i in range(clients)}
    directory = Directory.close({name: key.public_key().public_bytes_raw() for name, key in keys.items()})
    (folder / "clients.directory").write_bytes(directory.encode())
    (folder / "agreement.toml").write_text(AGREEMENT.format(dropout=dropout))
    for name, key in keys.items():
        path = folder / f"{name}.key"
        path.touch(0o600)
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        (folder / f"{name}.toml").write_text(CLIENT.format(name=name))


if __name__ == "__main__":
    enrol(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 0.0)
