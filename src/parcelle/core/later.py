"""Code that is loaded when it is first needed: integrations bring large libraries, and few of them are ever used."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from pkgutil import resolve_name
from typing import Any


def later(where: str) -> Callable[..., Any]:
    """Calls what is at `module:name` or `module:name.attribute`, whose module is imported by the first call."""

    @cache
    def found() -> Callable[..., Any]:
        module, _colon, name = where.partition(":")
        called: Callable[..., Any] = attrgetter(name)(resolve_name(module))
        return called

    def call(*arguments: Any, **named: Any) -> Any:
        return found()(*arguments, **named)

    return call
