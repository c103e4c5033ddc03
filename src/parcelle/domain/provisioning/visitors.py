"""What the headers of a request say about who asks: in which language, with what program, and whether it is a person.

Needs nothing but the standard library: the holding process uses it too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# Crawlers, monitors, link previews and programs. A CUBOT is a telephone.
_ROBOT = re.compile(
    r"(?<!cu)bot\b|crawl|spider|slurp|monitor|uptime|pingdom|statuscake|nagios|zabbix|prometheus|health|probe|scan"
    r"|headless|lighthouse|preview|externalhit|whatsapp|telegram|skype|feed|curl|wget|python|java/|okhttp|libwww|perl"
    r"|ruby|php|axios|node|go-http|httpclient|postman|insomnia|parcelle",
    re.IGNORECASE,
)
_BROWSER = re.compile(r"^(mozilla|opera)/", re.IGNORECASE)
# Asked for by browsers and others without anybody looking at it.
_NOT_VISITED = re.compile(r"^/(favicon\.ico|robots\.txt|apple-touch-icon[^/]*|manifest\.json|\.well-known/.*)$")


def language(accept_language: str, offered: Sequence[str]) -> str:
    """The offered language the reader likes best; the first one when none of theirs is offered."""
    best, best_weight = offered[0], 0.0
    for part in accept_language.lower().split(","):
        tag, _semicolon, parameter = part.strip().partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        code = tag.strip().split("-")[0]
        if code in offered and weight > best_weight:
            best, best_weight = code, weight
    return best


def reads_html(accept: str) -> bool:
    """Whether it is a browser that asks; programs that take anything get plain text."""
    return "text/html" in accept.lower() or "application/xhtml+xml" in accept.lower()


def is_robot(user_agent: str) -> bool:
    return not _BROWSER.match(user_agent) or bool(_ROBOT.search(user_agent))


def is_person(method: str, path: str, headers: Mapping[str, str]) -> bool:
    """Whether somebody opens a page in a browser, as opposed to whatever else asks for addresses.

    `headers` are looked up by their usual names: `User-Agent`, `Accept`, `Sec-Purpose`, ….
    """
    purpose = " ".join(headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Moz")).lower()
    return (
        method == "GET"
        and reads_html(headers.get("Accept", ""))
        and not is_robot(headers.get("User-Agent", ""))
        and "prefetch" not in purpose
        and headers.get("Sec-Fetch-Dest", "document") in {"document", "iframe", "empty"}
        and not _NOT_VISITED.match(path)
    )
