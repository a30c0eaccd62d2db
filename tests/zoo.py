"""Certificates of every sort that a listener may be shown, each with its key, beside the right ones in a
folder.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

NOW = datetime.now(UTC)


def der(tag: int, content: bytes) -> bytes:
    """A DER element."""
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def dns(*names: bytes) -> bytes:
    """The extension subjectAltName with these DNS names, whatever bytes they are."""
    return der(0x30, b"".join(der(0x82, name) for name in names))


#: What stands in subjectAltName, as bytes; None: there is no such extension.
NAMES: dict[str, bytes | None] = {
    "none": None,
    "another's": dns(b"mallory"),
    "wildcard": dns(b"*"),
    "wildcards": dns(b"*.bob", b"b*b"),
    "NUL": dns(b"bob\0.evil"),
    "trailing dot": dns(b"bob."),
    "empty name": dns(b""),
    "not UTF-8": dns(b"\xff\xfebob"),
    "escapes": dns(b"\x1b[2J\x1b]0;bob\x07\n"),
    "five thousand": dns(*[b"x%d" % i for i in range(5000)]),
    "long": dns(b"b" * 20000),
    "no names": der(0x30, b""),
    "address": der(0x30, der(0x87, b"\x7f\0\0\1")),
    "bad address": der(0x30, der(0x87, b"\x7f")),
    "mail": der(0x30, der(0x81, b"bob@bob")),
    "URI": der(0x30, der(0x86, b"https://bob")),
    "not UTF-8 URI": der(0x30, der(0x86, b"\xc3\x28")),
    "two": dns(b"mallory", b"eve"),
}
#: What else may be wrong with one that has bob's name.
FAULTS = (
    "another authority",
    "self-signed",
    "expired",
    "not yet valid",
    "server only",
    "no signatures",
    "signed by a party",
)


def make(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Paths of certificate and key by sort; ``folder`` has an authority and bob's own certificate."""
    made = {}
    for number, sort in enumerate([*NAMES, *FAULTS]):
        made[sort] = folder / f"zoo{number}.pem", folder / f"zoo{number}.key"
        certificate, key = one(folder, sort)
        made[sort][0].write_bytes(certificate)
        made[sort][1].write_bytes(key)
    return made


def one(folder: Path, sort: str) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer_name = "bob" if sort == "signed by a party" else "ca"
    issuer = x509.load_pem_x509_certificate((folder / f"{issuer_name}.pem").read_bytes())
    signer = serialization.load_pem_private_key((folder / f"{issuer_name}.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    own_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bob")])
    by = own_name if sort in ("self-signed", "another authority") else issuer.subject
    if sort in ("another authority"):
        signer = ec.generate_private_key(ec.SECP256R1())
    if sort == "self-signed":
        signer = key
    start, end = {"expired": (-9, -1), "not yet valid": (5, 9)}.get(sort, (-1, 9))
    builder = (
        x509.CertificateBuilder()
        .subject_name(own_name)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=start))
        .not_valid_after(NOW + timedelta(days=end))
        .add_extension(x509.BasicConstraints(False, None), critical=True)
        .add_extension(
            x509.KeyUsage(
                sort != "no signatures",
                False,
                False,
                sort == "no signatures",
                False,
                False,
                False,
                False,
                False,
            ),
            critical=True,
        )
    )
    usages = [
        ExtendedKeyUsageOID.SERVER_AUTH,
        *([] if sort == "server only" else [ExtendedKeyUsageOID.CLIENT_AUTH]),
    ]
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    names = NAMES.get(sort, dns(b"bob"))
    if names is not None:
        builder = builder.add_extension(
            x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, names), critical=False
        )
    certificate = builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    if sort == "signed by a party":
        certificate += (folder / "bob.pem").read_bytes()
    return certificate, key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def client(certificate: Path | None = None, key: Path | None = None, *, old: bool = False) -> ssl.SSLContext:
    """A client that believes any server, with this certificate or without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if old:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context
