"""Structured logs: readable in a terminal, JSON otherwise, never a secret in either."""

from __future__ import annotations

import logging
import logging.handlers
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

import structlog

REDACTED = "[redacted]"
_SECRET_KEY = re.compile(r"pass(word|wd)?$|secret|token|authorization|cookie|api_?key|_key$|credential", re.IGNORECASE)
_SECRET_TEXT = (
    # user:password@ in any address
    (re.compile(r"(?<=://)([^\s:/@]*):([^\s@/]+)@"), r"\1:" + REDACTED + "@"),
    (re.compile(r"(?i)\b(bearer|basic|session)\s+[a-z0-9+/=_.-]{12,}"), r"\1 " + REDACTED),
    # whole headers
    (
        re.compile(r"(?i)\b((?:set-)?cookie|authorization)(\\*[\"']?\s*[=:]\s*\\*[\"']?)[^\r\n\"'\\]+"),
        r"\1\2" + REDACTED,
    ),
    # key=value as drivers print it, "key": "value" as JSON has it, however often it was quoted
    (
        re.compile(
            r"(?i)((?:password|passwd|secret|token|api[_-]?key)(?:[_-][a-z0-9]+){0,3}\\*[\"']?\s*[=:]\s*)"
            r"(?!\[redacted\])('[^']*'|\\*\"[^\"]*\"|[^\s,;&)}\]]+)"
        ),
        r"\1" + REDACTED,
    ),
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without the given secret values and without anything that looks like a credential."""
    given = sorted(filter(None, secrets), key=len, reverse=True)
    if given:
        text = re.sub("|".join(map(re.escape, given)), REDACTED, text)
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return text


def redacted(value: Any) -> Any:
    """The same value without anything that is called a secret or looks like one."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: REDACTED if _SECRET_KEY.search(str(key)) else redacted(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(inner) for inner in value]
    # Whatever else is logged becomes text in the end, and an exception's text is the least trustworthy.
    return redact(repr(value) if isinstance(value, BaseException | bytes) else str(value))


def redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        event[key] = REDACTED if _SECRET_KEY.search(key) else redacted(value)
    return event


def configure(*, level: str, style: str = "", file: str = "") -> None:
    """Routes structlog and the standard library's loggers to standard error.

    `style` is `human` or `json`; empty chooses by whether standard error is a terminal. `file` adds a
    rotating file (10 MB, five kept), always JSON.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.StackInfoRenderer(),
    ]
    human = style == "human" or (not style and sys.stderr.isatty())
    as_json = [structlog.processors.format_exc_info, redact_event, structlog.processors.JSONRenderer(default=str)]
    as_text = [
        structlog.processors.format_exc_info,
        redact_event,
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
    ]

    def formatter(chain: list[Any]) -> logging.Formatter:
        return structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *chain],
        )

    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(formatter(as_text if human else as_json))
    handlers: list[logging.Handler] = [stream]
    if file:
        rotating = logging.handlers.RotatingFileHandler(file, maxBytes=10_000_000, backupCount=5, encoding="utf-8")
        rotating.setFormatter(formatter(as_json))
        handlers.append(rotating)
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(level)
    for noisy in ("httpx", "httpcore", "psycopg.pool", "asyncio", "procrastinate", "stripe"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
