"""How the PayPal simulator signs: an authority of its own, and a certificate that bears PayPal's name."""

from __future__ import annotations

import base64
import ipaddress
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from tests.simulators.certificates import Certificate

SIGNER = "messageverificationcerts.paypal.com"
# Tests live in other years than the machine they run on.
_ALWAYS: dict[str, timedelta] = {"begins": timedelta(days=-3650), "lasts": timedelta(days=7300)}


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


@dataclass(frozen=True)
class Authority:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls, name: str = "Simulated authority") -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(key, _certificate(name, key.public_key(), None, key, ca=True, **_ALWAYS))

    def issue(
        self, name: str, key: Any, *, begins: timedelta = timedelta(hours=-1), lasts: timedelta = timedelta(days=30)
    ) -> x509.Certificate:
        return _certificate(name, key.public_key(), self.certificate, self.key, begins=begins, lasts=lasts)


def _certificate(
    name: str,
    public: Any,
    issuer: x509.Certificate | None,
    key: ec.EllipticCurvePrivateKey,
    *,
    ca: bool = False,
    begins: timedelta = timedelta(hours=-1),
    lasts: timedelta = timedelta(days=30),
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.now(UTC) + begins
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name.lower().replace(" ", "-"))
    authority = key.public_key() if issuer is None else issuer.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + lasts)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), critical=False)  # type: ignore[arg-type]
        .sign(key, hashes.SHA256())
    )


@dataclass(frozen=True)
class Signing:
    """What is made once: an authority, the key that signs messages, and the certificate of the server itself."""

    authority: Authority
    key: rsa.RSAPrivateKey
    certificate: x509.Certificate
    server: Certificate

    def sign(self, transmission_id: str, transmission_time: str, webhook_id: str, body: bytes) -> str:
        signed = f"{transmission_id}|{transmission_time}|{webhook_id}|{zlib.crc32(body)}".encode()
        return base64.b64encode(self.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())).decode()


@cache
def signing() -> Signing:
    """Making an RSA key takes long enough to do it once."""
    authority = Authority.new()
    # A longer key would sign with more characters than the documents allow.
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    door = ec.generate_private_key(ec.SECP256R1())
    shown = authority.issue("127.0.0.1", door)
    private = door.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    server = Certificate(pem=pem(shown), key=private.decode(), fingerprint=shown.fingerprint(hashes.SHA256()).hex())
    return Signing(authority, key, authority.issue(SIGNER, key, **_ALWAYS), server)
