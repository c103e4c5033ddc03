"""The SMTP server that mail leaves by, as the environment names it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from parcelle.config import environment

# scheme -> (port, encrypted after STARTTLS, encrypted from the first byte)
_SCHEMES = {"smtp": (587, True, False), "smtps": (465, False, True), "smtp+plain": (25, False, False)}


@dataclass(frozen=True)
class Server:
    host: str
    port: int
    user: str
    password: str
    starttls: bool
    tls: bool


def server() -> Server | None:
    """What `PARCELLE_SMTP_URL` names, with what it leaves out filled in; None without it.

    `smtp://user:password@host` speaks STARTTLS at port 587, `smtps://` TLS at 465, `smtp+plain://` nothing of both at
    25. Raises SystemExit for what is none of these.
    """
    text = environment.read("PARCELLE_SMTP_URL")
    if not text:
        return None
    try:
        url = urlsplit(text)
        port, starttls, tls = _SCHEMES[url.scheme]
        host, port = url.hostname or "", url.port or port
    except (KeyError, ValueError):
        raise _mistake() from None
    if not host or url.path.strip("/") or url.query or url.fragment:
        raise _mistake()
    return Server(host, port, unquote(url.username or ""), unquote(url.password or ""), starttls, tls)


def _mistake() -> SystemExit:
    # Without the address itself: it holds a password.
    return SystemExit(
        "PARCELLE_SMTP_URL must look like smtp://user:password@host:587, smtps://… or smtp+plain://…; "
        "write @ : / ? # % in the password as %40 %3A %2F %3F %23 %25."
    )
