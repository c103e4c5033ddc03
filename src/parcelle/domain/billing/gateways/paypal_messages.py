"""Messages of PayPal: whether one is genuine, and what it is about.

PayPal signs the CRC of the bytes as they were sent, so nothing is decoded before they are checked. The certificate is
named by the message itself: it counts only from PayPal's own hosts.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtensionOID, NameOID

from parcelle.core import http
from parcelle.domain.billing.gateways.base import Event, Forged, GatewayError

ALGORITHM = "SHA256withRSA"
_FETCH_SECONDS = 5
_HEADERS = {
    "transmission_id": "paypal-transmission-id",
    "transmission_time": "paypal-transmission-time",
    "transmission_sig": "paypal-transmission-sig",
    "cert_url": "paypal-cert-url",
    "auth_algo": "paypal-auth-algo",
}
_MOST_CHARACTERS = 500
# What a certificate chain may be long, and how many are kept.
_LONGEST_CHAIN, _KEPT = 5, 16

# address and authority -> the chain found there
_chains: dict[tuple[str, str], list[x509.Certificate]] = {}


@dataclass(frozen=True)
class Judge:
    """Tells genuine messages from others, without asking PayPal about each.

    `hosts` are trusted besides PayPal's own, each "host" or "host:port"; `ca` is the PEM text of the authority that
    counts instead of the public ones. Both are for simulators and never for real money.
    """

    webhook_id: str
    hosts: tuple[str, ...] = ()
    ca: str = ""

    def check(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> None:
        """Raises Forged; GatewayError when the certificate cannot be had at the moment."""
        stated = stated_in(headers)
        if stated["auth_algo"] != ALGORITHM:
            raise Forged("signed in a way that was not agreed")
        if not self.trusts(stated["cert_url"]):
            raise Forged("the certificate is not PayPal’s")
        try:
            signature = base64.b64decode(stated["transmission_sig"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise Forged("the signature is none") from error
        key = self._key(stated["cert_url"], now=now)
        signed = signed_text(stated["transmission_id"], stated["transmission_time"], self.webhook_id, body)
        try:
            key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature as error:
            raise Forged("the signature does not fit") from error

    def trusts(self, url: str) -> bool:
        """Whether certificates from there count: the parsed host decides, never how the text begins or ends."""
        try:
            where = urlsplit(url)
            host, port = (where.hostname or "").lower(), where.port
        except ValueError:
            return False
        if where.scheme != "https" or where.username is not None or where.password is not None:
            return False
        if host in self.hosts and port in {None, 443}:
            return True
        if f"{host}:{port or 443}" in self.hosts:
            return True
        return port in {None, 443} and is_paypal(host)

    def _key(self, url: str, *, now: datetime) -> rsa.RSAPublicKey:
        chain = self._chain(url)
        if not _sound(chain, self.ca, now=now):
            # A new one may stand there by now; what does not hold is not kept.
            _chains.pop((url, self.ca), None)
            raise Forged("the certificate does not hold")
        key = chain[0].public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise Forged("the certificate is of another kind")
        return key

    def _chain(self, url: str) -> list[x509.Certificate]:
        known = _chains.get((url, self.ca))
        if known is not None:
            return known
        trust = http.Trust(ca=self.ca) if self.ca else None
        try:
            response = http.request("GET", url, timeout=_FETCH_SECONDS, trust=trust)
        except http.OutsideError as error:
            raise GatewayError(f"the certificate of a message cannot be fetched: {error}", unknown=False) from error
        if response.status_code >= 500:
            raise GatewayError("the certificate of a message cannot be fetched", unknown=False)
        try:
            chain = x509.load_pem_x509_certificates(response.content)
        except ValueError as error:
            raise Forged("there is no certificate where the message says") from error
        while len(_chains) >= _KEPT:
            _chains.pop(next(iter(_chains)))
        _chains[url, self.ca] = chain
        return chain


def stated_in(headers: Mapping[str, str]) -> dict[str, str]:
    """What a message says about its own signature. Raises Forged when something is missing."""
    stated = {name: headers.get(header, "") for name, header in _HEADERS.items()}
    if not all(stated.values()) or any(len(text) > _MOST_CHARACTERS for text in stated.values()):
        raise Forged("not signed")
    return stated


def signed_text(transmission_id: str, transmission_time: str, webhook_id: str, body: bytes) -> bytes:
    return f"{transmission_id}|{transmission_time}|{webhook_id}|{zlib.crc32(body)}".encode()


def is_paypal(host: str) -> bool:
    return host == "paypal.com" or host.endswith(".paypal.com")


def verification_body(headers: Mapping[str, str], body: bytes, *, webhook_id: str) -> bytes:
    """What PayPal is asked about a message. Its own bytes go in untouched: written anew they would never fit."""
    try:
        json.loads(body)
    except ValueError as error:
        raise Forged("not a message of PayPal") from error
    stated = json.dumps({**stated_in(headers), "webhook_id": webhook_id})
    return stated.removesuffix("}").encode() + b', "webhook_event": ' + body + b"}"


# What a subject begins with that is an order of PayPal's.
OF_ORDER = "order:"


def event_of(body: bytes) -> Event:
    """What a genuine message is about. Raises Forged for one that is none."""
    try:
        message = json.loads(body)
        resource = message.get("resource") or {}
        return Event(event_id=str(message["id"]), kind=str(message["event_type"])[:100], subject=_subject(resource))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Forged("not a message of PayPal") from error


def _subject(resource: Mapping[str, Any]) -> str:
    """Our payment's id where the message carries it, else PayPal's name of the capture or of the order."""
    for holder in (resource, *_maps(resource.get("purchase_units")), *_maps(resource.get("disputed_transactions"))):
        for name in ("custom_id", "custom"):
            if holder.get(name):
                return str(holder[name])
    for disputed in _maps(resource.get("disputed_transactions")):
        if disputed.get("seller_transaction_id"):
            return str(disputed["seller_transaction_id"])
    if order := (resource.get("metadata") or {}).get("order_id"):
        # A kept wallet names the order that it comes from, by PayPal's name.
        return f"{OF_ORDER}{order}"
    for link in _maps(resource.get("links")):
        # A refund names its capture only by the way up to it.
        capture = re.search(r"/v2/payments/captures/([^/?]+)", str(link.get("href")))
        if link.get("rel") == "up" and capture:
            return capture[1]
    related = (resource.get("supplementary_data") or {}).get("related_ids") or {}
    return str(related.get("order_id") or resource.get("id") or "")


def _maps(value: Any) -> Iterable[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


# --- certificates ---------------------------------------------------------------------------------------------


def _sound(chain: Sequence[x509.Certificate], ca: str, *, now: datetime) -> bool:
    """Whether the first certificate is PayPal's, valid now, and signed by an authority that counts."""
    if not chain or not _names_paypal(chain[0]):
        return False
    roots = tuple(x509.load_pem_x509_certificates(ca.encode())) if ca else _public_roots()
    current = chain[0]
    for _step in range(_LONGEST_CHAIN):
        if not current.not_valid_before_utc <= now <= current.not_valid_after_utc:
            return False
        if any(current == root or _issued(current, root) for root in roots if _lasts(root, now)):
            return True
        above = next((one for one in chain[1:] if one != current and _may_issue(one) and _issued(current, one)), None)
        if above is None:
            return False
        current = above
    return False


def _names_paypal(certificate: x509.Certificate) -> bool:
    names = [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    try:
        extension = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
        assert isinstance(extension.value, x509.SubjectAlternativeName)
        names += extension.value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        pass
    return any(is_paypal(name.lower()) for name in names)


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _may_issue(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _lasts(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


@cache
def _public_roots() -> tuple[x509.Certificate, ...]:
    return tuple(x509.load_der_x509_certificate(der) for der in http.authorities())
