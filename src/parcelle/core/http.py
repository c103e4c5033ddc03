"""Every call to the outside goes through here: one pooled client, time-outs on all of it, nothing secret logged."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import httpx
import structlog

logger = structlog.get_logger(__name__)

CONNECT_SECONDS = 3.0
READ_SECONDS = 20.0


class OutsideError(Exception):
    """A call to an outside system did not give a usable answer.

    `unknown` is true when the other side may have done what was asked (a time-out after sending): the
    caller must look before it asks again. False means that the request cannot have had an effect.
    """

    def __init__(self, message: str, *, unknown: bool) -> None:
        super().__init__(message)
        self.unknown = unknown


class CertificateRefused(OutsideError):
    """The server shows a certificate that is not trusted; nothing was sent to it."""


@dataclass(frozen=True)
class Trust:
    """Which certificate a server may show.

    `ca` is a PEM bundle instead of the system's authorities. `fingerprint` is the SHA-256 of the one certificate
    that is right, in hexadecimal, colons allowed; then neither authority nor name count. `verify` false takes any.
    """

    ca: str = ""
    fingerprint: str = ""
    verify: bool = True

    def check(self) -> None:
        """Raises ValueError when `ca` holds no certificate."""
        try:
            _tls(self)
        except ssl.SSLError as error:
            raise ValueError(str(error)) from error


class _PinnedSocket(ssl.SSLSocket):
    """Looks at the certificate before the first byte of a request is sent."""

    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        shown = hashlib.sha256(self.getpeercert(binary_form=True) or b"").hexdigest()
        if shown != getattr(self.context, "fingerprint", None):
            raise ssl.SSLCertVerificationError("not the pinned certificate")


class _PinnedContext(ssl.SSLContext):
    sslsocket_class = _PinnedSocket
    fingerprint: str


def _tls(trust: Trust | None) -> ssl.SSLContext | bool:
    if trust is None:
        return True
    if trust.fingerprint:
        pinned = _PinnedContext(ssl.PROTOCOL_TLS_CLIENT)
        pinned.check_hostname, pinned.verify_mode = False, ssl.CERT_NONE
        pinned.fingerprint = trust.fingerprint.replace(":", "").strip().lower()
        return pinned
    if trust.ca:
        return ssl.create_default_context(cadata=trust.ca)
    return trust.verify


@cache
def _client(trust: Trust | None = None) -> httpx.Client:
    return httpx.Client(
        timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
        limits=httpx.Limits(max_connections=200, max_keepalive_connections=0),
        follow_redirects=False,
        trust_env=False,
        verify=_tls(trust),
        # Nobody's session is anybody else's: a jar would hand one tenant's cookie to the next one on this host.
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
    )


def request(
    method: str,
    url: str,
    *,
    headers: dict[str, str] | None = None,
    params: dict[str, str] | None = None,
    json: Any = None,
    content: bytes | Iterator[bytes] | None = None,
    timeout: float | None = None,
    trust: Trust | None = None,
) -> httpx.Response:
    """Sends one request and returns the answer, whatever its status.

    Raises OutsideError when there is no answer. `timeout` is in seconds for reading; connecting has its own.
    """
    with _explained(method, url):
        client, sent = _prepare(method, url, headers, params, json, content, timeout, trust)
        return client.send(sent)


def get_at(
    place: str, url: str, *, headers: dict[str, str], timeout: float, trust: Trust | None = None
) -> httpx.Response:
    """GETs `url` from the server at `place` ("host:port") whatever the DNS says; the certificate must be the URL's."""
    with _explained("GET", url):
        asked = httpx.URL(url)
        host, _colon, port = place.rpartition(":")
        return _client(trust).get(
            asked.copy_with(host=host.strip("[]"), port=int(port)),
            headers={**headers, "Host": asked.netloc.decode("ascii")},
            timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)),
            extensions={"sni_hostname": asked.host},
        )


@contextlib.contextmanager
def stream(
    method: str,
    url: str,
    *,
    headers: dict[str, str] | None = None,
    params: dict[str, str] | None = None,
    json: Any = None,
    timeout: float | None = None,
    trust: Trust | None = None,
) -> Iterator[httpx.Response]:
    """Like `request` for answers too long to be held: read `iter_raw()` of what this yields."""
    with _explained(method, url):
        client, sent = _prepare(method, url, headers, params, json, None, timeout, trust)
        response = client.send(sent, stream=True)
    try:
        yield response
    except httpx.HTTPError as error:
        raise OutsideError(f"{urlsplit(url).hostname} broke off its answer", unknown=True) from error
    finally:
        response.close()


def authorities() -> list[bytes]:
    """The certificates (DER) of the public authorities that servers are held to."""
    return httpx.create_ssl_context(trust_env=False).get_ca_certs(binary_form=True)


def fingerprint(url: str) -> str:
    """SHA-256 of the certificate that the server shows, trusted or not, for a person to compare. "" without one."""
    where = urlsplit(url)
    if where.scheme != "https" or not where.hostname:
        return ""
    try:
        pem = ssl.get_server_certificate((where.hostname, where.port or 443), timeout=CONNECT_SECONDS)
    except (OSError, ValueError):
        return ""
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def _prepare(
    method: str,
    url: str,
    headers: dict[str, str] | None,
    params: dict[str, str] | None,
    json: Any,
    content: bytes | Iterator[bytes] | None,
    timeout: float | None,
    trust: Trust | None,
) -> tuple[httpx.Client, httpx.Request]:
    limit = httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)) if timeout else httpx.USE_CLIENT_DEFAULT
    client = _client(trust)
    return client, client.build_request(
        method, url, headers=headers, params=params, json=json, content=content, timeout=limit
    )


@contextlib.contextmanager
def _explained(method: str, url: str) -> Iterator[None]:
    """Turns what httpx raises into OutsideError; the address is shown without query and password."""
    host = place = ""
    try:
        where = urlsplit(url)
        host, place = where.hostname or "", f"{where.hostname}:{where.port or where.scheme}"
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, ValueError) as error:
        raise OutsideError(f"the request is not valid HTTP: {type(error).__name__}", unknown=False) from error
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        if _about_a_certificate(error):
            raise CertificateRefused(f"the certificate of {place} is not trusted", unknown=False) from error
        raise OutsideError(f"{place} cannot be reached", unknown=False) from error
    except httpx.HTTPError as error:
        logger.info("no usable answer", host=host, method=method, reason=type(error).__name__)
        raise OutsideError(f"{place} did not answer in time", unknown=True) from error


def _about_a_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
