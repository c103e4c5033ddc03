"""On whose behalf the database is asked: nobody's, some organizations', or the platform's own.

Row-level security shows a transaction the rows of the organizations that are named in it, and all of them to the
platform. They are named by `SET LOCAL` at the beginning of every transaction (`core/database`), so nothing is left on a
connection that somebody else gets next, also behind a pooler that changes connections between transactions. With no
context there are no rows. See docs/decisions/0031.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from enum import StrEnum
from functools import wraps
from typing import Protocol
from uuid import UUID


class Platform(StrEnum):
    """Where the platform works on the rows of all organizations. There is no other way to see them."""

    BACK_OFFICE = "back office"
    JOBS = "jobs"
    COMMANDS = "commands"
    GATEWAYS = "gateways"
    EDGE = "edge"
    OPERATORS_API = "operators' API"
    # Somebody who belongs to no organization yet asks for something that will belong to one, or watches it being made.
    SIGN_UP = "sign-up"
    CHECKOUT = "checkout"
    INVITATION = "invitation"
    ENQUIRY = "enquiry"
    # Templates belong to nobody, and so do their builds.
    TEMPLATES = "templates"
    # A change that touches more than the customer's own rows, after it was seen that they may ask for it.
    CHANGE = "change"


@dataclass(frozen=True)
class Context:
    """What a transaction says about itself."""

    organizations: frozenset[UUID] = frozenset()
    user: UUID | None = None
    platform: Platform | None = None
    # What begins a transaction, empty where there is nothing to say, and what is said inside one that is open.
    opening: bytes = field(init=False, compare=False, repr=False)
    change: bytes = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        ids = sorted(map(str, self.organizations))
        said = {
            "platform": self.platform or "",
            # One is asked for by itself: with a list of one, policies need longer for each row.
            "organization": ids[0] if len(ids) == 1 else "",
            "organizations": f"{{{','.join(ids)}}}" if ids else "",
            "person": str(self.user or ""),
        }
        # Identifiers and words of our own: nothing in them has to be quoted but the apostrophe.
        sets = [
            (f"SET LOCAL parcelle.{name} = '{value.replace(chr(39), chr(39) * 2)}'", value)
            for name, value in said.items()
        ]
        object.__setattr__(self, "opening", "; ".join(text for text, value in sets if value).encode())
        object.__setattr__(self, "change", "; ".join(text for text, _value in sets).encode())


NOBODY = Context()


class Told(Protocol):
    """A connection that may be in the middle of a transaction."""

    def tell(self, context: Context) -> None: ...


_here: ContextVar[Context | None] = ContextVar("on whose behalf", default=None)
_of_process = NOBODY
_connections: list[Callable[[], Iterable[Told]]] = []


def current() -> Context:
    """That of whoever is served in this thread or task; otherwise that of the whole process."""
    return _here.get() or _of_process


def of_process(platform: Platform) -> None:
    """What is done in this process is done for the platform where nobody says otherwise: workers and commands."""
    global _of_process
    _of_process = Context(platform=platform)


def tell_through(connections: Callable[[], Iterable[Told]]) -> None:
    """Registers where open transactions are found, which have to hear of a change."""
    _connections[:] = [connections]


@contextlib.contextmanager
def within(context: Context) -> Iterator[None]:
    """Everything inside is asked on behalf of `context`, whatever was before; afterwards it is as before."""
    token = _enter(context)
    try:
        yield
    finally:
        _leave(token)


def platform(scope: Platform) -> contextlib.AbstractContextManager[None]:
    """Everything inside is the platform's own work: all rows, of all organizations."""
    return contextlib.nullcontext() if current().platform else within(Context(platform=scope))


def as_platform[**P, R](scope: Platform) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """The same for a whole function."""

    def declare(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            with platform(scope):
                return function(*args, **kwargs)

        return call

    return declare


def organization(*organization_ids: UUID) -> contextlib.AbstractContextManager[None]:
    """Everything inside sees the rows of these organizations and no others."""
    return within(Context(organizations=frozenset(organization_ids), user=current().user))


def narrow(context: Context) -> None:
    """For the rest of what surrounds this (`within`): once it is known who asks, or for what."""
    _enter(context)


def carried[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """`function` as it would be called here and now, wherever it is called: in a thread, or after the response."""
    here = current()

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with within(here):
            return function(*args, **kwargs)

    return call


def _enter(context: Context) -> Token[Context | None]:
    before = current()
    token = _here.set(context)
    _tell(before)
    return token


def _leave(token: Token[Context | None]) -> None:
    before = current()
    _here.reset(token)
    _tell(before)


def _tell(before: Context) -> None:
    now = current()
    if now == before:
        return
    for connections in _connections:
        for connection in connections():
            connection.tell(now)
