"""Who is asking, from where, and whether they ask too often."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta

from babel import Locale, UnknownLocaleError
from django.conf import settings
from django.http import HttpRequest, QueryDict

from parcelle.core import ratelimit


def wait_before(limits: Iterable[tuple[str, int]], *, window: timedelta, now: datetime) -> int | None:
    """Counts one use of every (key, limit); the seconds to wait when one of them is used up, else None."""
    if not settings.RATE_LIMITS:
        return None
    waits = [ratelimit.hit(key, limit=limit, window=window, now=now) for key, limit in limits]
    longest = max((wait for wait in waits if wait is not None), default=None)
    return None if longest is None else max(1, math.ceil(longest.total_seconds()))


def territories(request: HttpRequest) -> list[str]:
    """Countries in the order of the visitor's languages: `fr-CM,fr;q=0.9` comes from Cameroon, as far as we know."""
    found = []
    for part in request.headers.get("Accept-Language", "")[:200].split(","):
        try:
            territory = Locale.parse(part.split(";")[0].strip(), sep="-").territory
        except (ValueError, UnknownLocaleError):
            continue
        if territory:
            found.append(territory)
    return found


def posted(request: HttpRequest) -> QueryDict:
    """What a form sent; a submission id that is lost or broken is replaced, since no visitor could repair it."""
    sent = request.POST.copy()
    try:
        uuid.UUID(sent.get("submission", ""))
    except ValueError:
        sent["submission"] = str(uuid.uuid4())
    return sent
