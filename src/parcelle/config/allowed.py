"""What a setting may be: one table, asked whenever one is read, so that no mistake is found out half-way."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

# The highest port that applications are given.
LAST_PORT = 32767
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True)
class Rule:
    """`words` finish the sentence "it must be …"; `tidy` brings a value into one spelling, or raises ValueError."""

    words: str
    tidy: Callable[[str], str]


def fitting(name: str, text: str) -> str:
    """The value in one spelling. Raises SystemExit with one sentence when it cannot be used.

    No setting that holds a secret has a rule: what was given is repeated.
    """
    rule = _RULES.get(name)
    if rule is None:
        return text
    try:
        return rule.tidy(text)
    except (ValueError, LookupError, OSError):
        raise refused(name, rule.words, text) from None


def check(environment: Mapping[str, str]) -> None:
    """Every setting that is given, before anything is started. Raises SystemExit for the first that cannot be used."""
    # The folder of the log may be one that the first start makes.
    for name in sorted(_RULES.keys() - {"PARCELLE_LOG_FILE"}):
        if text := environment.get(name):
            fitting(name, text)


def refused(name: str, words: str, text: str) -> SystemExit:
    return SystemExit(f"parcelle: {name} must be {words}, not {text!r}.")


# --- the kinds ----------------------------------------------------------------------------------------------------


def _one_of(*words: str) -> Rule:
    spelt = {word.lower(): word for word in words}
    *others, last = words
    return Rule(f"{', '.join(others)} or {last}", lambda text: spelt[text.strip().lower()])


def _whole(least: int) -> Rule:
    return Rule(
        f"a whole number from {least} on",
        lambda text: str(_true(int(text) >= least, int(text))),
    )


def _port(last: int = 65535) -> Rule:
    return Rule(f"a port number from 1 to {last}", lambda text: str(_true(1 <= int(text) <= last, int(text))))


def _zone(text: str) -> str:
    ZoneInfo(text)
    return text


def _web(text: str) -> str:
    parts = urlsplit(text)
    return _true(parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0, text.rstrip("/"))


def _host_and_port(text: str) -> str:
    host, _colon, number = text.rpartition(":")
    return _true(bool(host) and 1 <= int(number) <= 65535, text)


def _network(text: str) -> str:
    ipaddress.IPv4Network(text)
    return text


def _folder(text: str) -> str:
    """Also one that is not there yet: `parcelle blueprint new` makes it."""
    path = Path(text).expanduser()
    return _true(path.is_dir() or not path.exists(), str(path))


def _file(text: str) -> str:
    with Path(text).open("a"):
        return text


def _true[T](fits: bool, value: T) -> T:
    if not fits:
        raise ValueError
    return value


_FLAG = Rule(
    f"1 ({', '.join(_YES[1:])}) or 0 ({', '.join(_NO[1:])})",
    lambda text: {**dict.fromkeys(_YES, "1"), **dict.fromkeys(_NO, "0")}[text.strip().lower()],
)
_WEB = Rule("an address that begins with https:// or http://", _web)
_LEVELS = [logging.getLevelName(level) for level in (10, 20, 30, 40, 50)]

_RULES: dict[str, Rule] = {
    **dict.fromkeys(
        (
            "PARCELLE_AS_OWNER",
            "PARCELLE_DATABASE_PREPARE",
            "PARCELLE_DEBUG",
            "PARCELLE_DEMO",
            "PARCELLE_RATE_LIMITS",
            "PARCELLE_TRIAL_PUZZLE",
        ),
        _FLAG,
    ),
    **dict.fromkeys(("PARCELLE_EDGE_HTTP_PORT", "PARCELLE_EDGE_HTTPS_PORT", "PARCELLE_PORT"), _port()),
    **dict.fromkeys(("PARCELLE_FIRST_APPLICATION_PORT", "PARCELLE_FIRST_DATABASE_PORT"), _port(LAST_PORT)),
    **dict.fromkeys(
        (
            "PARCELLE_API_CREATIONS_PER_MINUTE",
            "PARCELLE_API_REQUESTS_PER_MINUTE",
            "PARCELLE_DATABASE_POOL",
            "PARCELLE_TRIALS_PER_HOUR",
            "PARCELLE_TRUSTED_PROXIES",
            "PARCELLE_WORKER_GRACE",
        ),
        _whole(0),
    ),
    **dict.fromkeys(
        (
            "PARCELLE_OPERATION_DEADLINE",
            "PARCELLE_OPERATION_LEASE",
            "PARCELLE_WEB_THREADS",
            "PARCELLE_WEB_WORKERS",
            "PARCELLE_WORKERS",
            "PARCELLE_WORKER_CONCURRENCY",
        ),
        _whole(1),
    ),
    **dict.fromkeys(("PARCELLE_ACME_DIRECTORY", "PARCELLE_PUBLIC_URL", "PARCELLE_VIES_URL"), _WEB),
    "PARCELLE_BLUEPRINTS": Rule("a folder", _folder),
    "PARCELLE_EDGE_ADDRESS": Rule(
        "“dns”, or a host and a port such as 127.0.0.1:8443",
        lambda text: text if text == "dns" else _host_and_port(text),
    ),
    "PARCELLE_EDGE_TLS": _one_of("internal", "acme"),
    "PARCELLE_INGRESS": _one_of("port", "caddy", "traefik"),
    "PARCELLE_LOG_FILE": Rule("a file that can be written", _file),
    "PARCELLE_LOG_FORMAT": _one_of("human", "json"),
    "PARCELLE_LOG_LEVEL": _one_of(*_LEVELS),
    "PARCELLE_SITE_ADDRESS": Rule("a host and a port such as 127.0.0.1:8000", _host_and_port),
    "PARCELLE_SUBNET_POOL": Rule("a network such as 10.201.0.0/16", _network),
    "PARCELLE_TIME_ZONE": Rule("a time zone such as Europe/Paris or Africa/Douala", _zone),
}
