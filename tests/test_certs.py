"""Certificates: what is written, under which mode, and what is refused."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from mpc.certs import make_authority_and_certificates
from mpc.errors import ConfigError
from mpc.transport.tls import Tls
from protocols.aggregation.service.plan import make_keys, read_signing_key


def test_strict_tls_accepts_them(tmp_path: Path) -> None:
    make_authority_and_certificates(["a", "b.example"], tmp_path)
    contexts = {}
    for side, name in ((ssl.PROTOCOL_TLS_CLIENT, "a"), (ssl.PROTOCOL_TLS_SERVER, "b.example")):
        context = contexts[name] = ssl.SSLContext(side)
        context.load_verify_locations(tmp_path / "ca.pem")
        context.load_cert_chain(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = contexts["a"].wrap_bio(down, up, server_hostname="b.example")
    server = contexts["b.example"].wrap_bio(up, down, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    certificate = server.getpeercert()
    assert certificate is not None and certificate["subjectAltName"] == (("DNS", "a"),)


def test_keys_are_private(tmp_path: Path) -> None:
    make_authority_and_certificates(["a"], tmp_path)
    for name in ("a.key", "ca.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o604, 0o660, 0o644, 0o610])
def test_a_key_that_is_open_to_others_is_not_used(tmp_path: Path, mode: int) -> None:
    """A party's, the authority's, and what a client signs with."""
    make_authority_and_certificates(["a"], tmp_path)
    make_keys(["a"], tmp_path)
    tls = Tls(tmp_path / "ca.pem", tmp_path / "a.pem", tmp_path / "a.key")
    uses = [
        ("a.key", tls.client),
        ("a.key", tls.server),
        ("a.signing", lambda: read_signing_key(tmp_path / "a.signing")),
        ("ca.key", lambda: make_authority_and_certificates(["b"], tmp_path)),
    ]
    for name, use in uses:
        (tmp_path / name).chmod(mode)
        said = rf"{name} is open to others than its owner \(mode {mode:04o}\): run 'chmod 600 "
        with pytest.raises(ConfigError, match=said):
            use()
        (tmp_path / name).chmod(0o400)
        use()


def test_a_party_joins_later(tmp_path: Path) -> None:
    make_authority_and_certificates(["a"], tmp_path)
    before = (tmp_path / "ca.pem").read_bytes()
    make_authority_and_certificates(["b"], tmp_path)
    assert (tmp_path / "ca.pem").read_bytes() == before
    authority, late = (
        x509.load_pem_x509_certificate((tmp_path / f"{n}.pem").read_bytes()) for n in ("ca", "b")
    )
    late.verify_directly_issued_by(authority)


@pytest.mark.parametrize(
    "names", [["a", "A"], ["ca"], [""], ["../a"], ["a b"], ["-a"], ["a."], ["127.0.0.1"], ["ä"], ["a" * 65]]
)
def test_bad_names(names: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"name|called"):
        make_authority_and_certificates(names, tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    make_authority_and_certificates(["b"], tmp_path)
    with pytest.raises(ConfigError, match="not overwritten"):
        make_authority_and_certificates(["a", "b"], tmp_path)
    assert not (tmp_path / "a.pem").exists()


def test_half_an_authority(tmp_path: Path) -> None:
    make_authority_and_certificates(["a"], tmp_path)
    (tmp_path / "ca.key").unlink()
    with pytest.raises(ConfigError, match=r"ca\.key is missing"):
        make_authority_and_certificates(["b"], tmp_path)


def test_anothers_key(tmp_path: Path) -> None:
    make_authority_and_certificates(["a"], tmp_path)
    (tmp_path / "ca.key").write_bytes((tmp_path / "a.key").read_bytes())
    with pytest.raises(ConfigError, match="is not the key of"):
        make_authority_and_certificates(["b"], tmp_path)
