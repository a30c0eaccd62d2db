"""A private certificate authority for the parties of one computation, and one certificate for each.

Every party checks the other's certificate against this authority and nothing else, so the authority's key
decides who may take part: whoever runs this keeps ``ca.key`` offline and hands each party its own two files
and ``ca.pem``.  Keys are ECDSA over P-256; names are the parties' names, as DNS names in subjectAltName
(RFC 5280), in the form that ``ssl.VERIFY_X509_STRICT`` demands.
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mpc.errors import ConfigError

AUTHORITY = "ca"
AUTHORITY_DAYS = 3650  # parties can be added for years without handing everybody a new ca.pem
MOST_DAYS = 36500
CLOCK_SKEW = timedelta(minutes=5)

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")


def is_name(name: str) -> bool:
    """Whether a party can be called this:
    labels of letters, digits and '-' joined by '.', as in host names.
    """
    try:
        ipaddress.ip_address(name)  # TLS would look for it among the IP addresses of a certificate
    except ValueError:
        # X.520 grants a common name 64 characters
        return len(name) <= 64 and _NAME.fullmatch(name) is not None
    return False


def make_authority_and_certificates(
    names: Sequence[str], folder: Path, days: int = 365, *, not_before: datetime | None = None
) -> None:
    """Write ``ca.pem``, ``ca.key`` and, for each name, ``NAME.pem`` and ``NAME.key`` into ``folder``.

    An authority that is already there signs the new certificates, so that a party can join later.
    Certificates hold for ``days`` from ``not_before`` (default: now, less five minutes for clocks that
    differ)."""
    _check_names(names)
    if not 1 <= days <= MOST_DAYS:
        raise ConfigError(f"certificates cannot be valid for {days} days: give 1 to {MOST_DAYS}")
    make_folder(folder)
    for name in names:
        for path in _files(folder, name):
            if path.exists():
                raise ConfigError(
                    f"{path} exists and is not overwritten: remove it or choose another folder or name"
                )
    start = not_before or datetime.now(UTC) - CLOCK_SKEW
    authority, authority_key = _authority(folder, start, days)
    end = min(start + timedelta(days=days), authority.not_valid_after_utc)
    if end <= start:
        raise ConfigError(
            f"{folder / 'ca.pem'} expires before the new certificates begin: make a new authority"
        )
    for name in names:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _sign(name, key, start=start, end=end, issuer=authority, issuer_key=authority_key)
        _write(folder, name, certificate, key)


def fresh(names: Sequence[str], days: int) -> dict[str, tuple[bytes, bytes]]:
    """A certificate and a key for each name, as PEM; under ``ca`` the authority's, whose key is forgotten."""
    _check_names(names)
    start = datetime.now(UTC) - CLOCK_SKEW
    authority_key = ec.generate_private_key(ec.SECP256R1())
    end = start + timedelta(days=days)
    authority = _sign(AUTHORITY, authority_key, start=start, end=end, issuer=None, issuer_key=authority_key)
    made = {AUTHORITY: (authority.public_bytes(serialization.Encoding.PEM), b"")}
    for name in names:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _sign(name, key, start=start, end=end, issuer=authority, issuer_key=authority_key)
        made[name] = _pem(certificate, key)
    return made


def _check_names(names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not is_name(name):
            raise ConfigError(
                f"{name!r} cannot be a party's name: use letters, digits and '-', joined by '.'"
            )
        if name.lower() == AUTHORITY:
            raise ConfigError(f"a party cannot be called {name!r}: its files would be the authority's")
        if name.lower() in seen:  # TLS compares names without case
            raise ConfigError(f"the name {name!r} is given twice: every party needs its own")
        seen.add(name.lower())


def _files(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.pem", folder / f"{name}.key"


def _authority(
    folder: Path, start: datetime, days: int
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The authority in ``folder``, made first if there is none."""
    certificate_path, key_path = _files(folder, AUTHORITY)
    if not certificate_path.exists() and not key_path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        # Begins with its first certificates, but lasts even if those are (in tests) expired already.
        end = max(datetime.now(UTC), start) + timedelta(days=max(days, AUTHORITY_DAYS))
        certificate = _sign(AUTHORITY, key, start=start, end=end, issuer=None, issuer_key=key)
        _write(folder, AUTHORITY, certificate, key)
        return certificate, key
    if key_path.exists():
        check_private(key_path)
    try:
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        loaded = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    except FileNotFoundError as error:
        raise ConfigError(f"{error.filename} is missing: an authority is both ca.pem and ca.key") from None
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{folder} has an authority that cannot be read ({error}): restore ca.pem, ca.key"
        ) from None
    if not isinstance(loaded, ec.EllipticCurvePrivateKey) or loaded.public_key() != certificate.public_key():
        raise ConfigError(
            f"{key_path} is not the key of {certificate_path}: restore the pair or make a new authority"
        )
    try:
        certificate.verify_directly_issued_by(certificate)
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        raise ConfigError(
            f"{certificate_path} is not an authority made here: make a new one in an empty folder"
        ) from None
    return certificate, loaded


def _sign(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    *,
    start: datetime,
    end: datetime,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """A certificate of ``key``: of the authority itself if there is no issuer, else of a party."""
    root = issuer is None
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "MPC authority" if root else name)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = x509.KeyUsage(
        digital_signature=not root, key_cert_sign=root, crl_sign=root,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=root, path_length=0 if root else None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        # Names the very key that signed: two authorities with one name are never mistaken for each other.
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    )
    if not root:
        both = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _write(folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    certificate_path, key_path = _files(folder, name)
    public, secret = _pem(certificate, key)
    write_new(key_path, secret, 0o600)
    write_new(certificate_path, public, 0o644)


def _pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> tuple[bytes, bytes]:
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), secret


def check_private(path: Path) -> None:
    """As ssh does: a key that others may read or write is not used, if it is ours."""
    try:
        facts = path.stat()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})") from None
    if facts.st_uid == os.getuid() and facts.st_mode & 0o077:
        raise ConfigError(
            f"{path} is open to others than its owner (mode {stat.S_IMODE(facts.st_mode):04o}): "
            f"run 'chmod 600 {path}', and make another key if somebody may have read it"
        )


def write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a new file that has its mode from its first moment:
    there is no instant when others may open it.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise ConfigError(
            f"{path} exists and is not overwritten: remove it or choose another folder or name"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}): choose another folder") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        path.unlink()
        said = f"{path} cannot be written ({error.strerror}): make room, or choose another folder"
        raise ConfigError(said) from None


def make_folder(path: Path) -> None:
    """A folder to write to, unless it is there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        said = f"the folder {path} cannot be made ({error.strerror}): choose another one"
        raise ConfigError(said) from None
