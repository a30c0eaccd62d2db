"""TLS 1.3 with certificates on both sides: contexts for it, and words for how it fails."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from mpc.certs import check_private
from mpc.errors import ConfigError

_REASONS = {  # X509_V_ERR_* of OpenSSL
    7: "certificate of another authority",
    9: "certificate is not yet valid: compare the clocks",
    10: "certificate has expired",
    18: "certificate of another authority",
    19: "certificate of another authority",
    20: "certificate of another authority",
    21: "certificate of another authority",
}


@dataclass(frozen=True, slots=True)
class Tls:
    """Where a party's certificate lies, its key, and the authority that signed everybody's."""

    authority: Path
    certificate: Path
    key: Path

    def client(self) -> ssl.SSLContext:
        """For links that we open; checks the server's certificate and its name."""
        return self._context(ssl.PROTOCOL_TLS_CLIENT)

    def server(self) -> ssl.SSLContext:
        """For links that we accept; demands a certificate (the name is checked once the peer has claimed
        one).
        """
        context = self._context(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        context.num_tickets = 0  # no resumption: every link proves who it is
        return context

    def _context(self, side: int) -> ssl.SSLContext:
        context = ssl.SSLContext(side)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.hostname_checks_common_name = False
        try:
            context.load_verify_locations(self.authority)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"{self.authority} is not an authority's certificate in PEM form ({_word(error)})"
            ) from None
        check_private(self.key)
        try:
            context.load_cert_chain(self.certificate, self.key, password=self._encrypted)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"{self.certificate} and {self.key} are not a certificate and its key ({_word(error)})"
            ) from None
        return context

    def _encrypted(self) -> str:
        # Without this callback OpenSSL would stop and ask the terminal.
        raise ConfigError(
            f"{self.key} is encrypted: give an unencrypted key that only you can read (mode 0600)"
        )


def check_own(tls: Tls, name: str) -> None:
    """Notice before anybody is called that the certificate is another party's, or no longer valid."""
    try:
        text = tls.certificate.read_bytes()
    except OSError as error:
        raise ConfigError(f"{tls.certificate} cannot be read ({error.strerror})") from None
    try:
        certificate = x509.load_pem_x509_certificate(text)
        own = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value.get_values_for_type(x509.DNSName)
    except (ValueError, x509.ExtensionNotFound):
        raise ConfigError(
            f"{tls.certificate} is not a certificate with a party's name (mpc certs makes them)"
        ) from None
    if name not in own:
        raise ConfigError(
            f'{tls.certificate} is for {", ".join(own) or "nobody"}, but me = "{name}": use {name}\'s'
            " certificate"
        )
    if not certificate.not_valid_before_utc <= datetime.now(UTC) <= certificate.not_valid_after_utc:
        raise ConfigError(
            f"{tls.certificate} is valid from {certificate.not_valid_before_utc:%Y-%m-%d} to "
            f"{certificate.not_valid_after_utc:%Y-%m-%d}: make a new one with mpc certs"
        )


def names(socket: ssl.SSLSocket) -> list[str]:
    """The DNS names in the peer's verified certificate."""
    try:
        certificate = socket.getpeercert() or {}
    except ValueError:  # names that are no text are nobody's
        return []
    return [printable(entry[1]) for entry in certificate.get("subjectAltName", ()) if entry[0] == "DNS"]


def refusal(error: ssl.SSLError) -> str | None:
    """Why the other side turned our certificate down, if that is what ``error`` says."""
    reason = error.reason or ""
    alerts = {
        "UNKNOWN_CA": "it trusts another authority",
        "CERTIFICATE_EXPIRED": "it has expired",
        "CERTIFICATE_REQUIRED": "we showed none",
        "BAD_CERTIFICATE": (
            "it is for another name than is expected here, or not yet valid there: compare the names and the"
            " clocks"
        ),
    }
    for alert, words in alerts.items():
        if reason.endswith(alert) and "ALERT" in reason:
            return words
    return _word(error) if "ALERT" in reason and ("CERTIFICATE" in reason or "DECRYPT" in reason) else None


def explain(error: ssl.SSLError) -> str:
    """In words, why a TLS handshake failed on this side."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _REASONS.get(error.verify_code, f"certificate not accepted: {error.verify_message}")
    if isinstance(error, ssl.SSLEOFError) or error.reason == "UNEXPECTED_EOF_WHILE_READING":
        return "it hung up in the midst of the handshake: see what it says itself"
    if error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return "it showed no certificate"
    if words := refusal(error):
        return f"it refused our certificate: {words}"
    return f"it does not speak TLS 1.3 as we do ({_word(error)})"


def _word(error: OSError) -> str:
    reason = getattr(error, "reason", None)
    return (
        reason.lower().replace("_", " ")
        if isinstance(reason, str)
        else error.strerror or type(error).__name__
    )


def printable(text: object) -> str:
    """What another side says, fit for a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text)[:300])
