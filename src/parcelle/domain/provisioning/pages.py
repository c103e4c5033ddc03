"""The pages that stand in for an application that does not answer, in every language."""

from __future__ import annotations

import html
import re
from email.utils import parseaddr

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.html import strip_tags
from django.utils.safestring import SafeString

from parcelle.domain.provisioning.ingress.page import Page, Wording
from parcelle.domain.provisioning.models import Instance

__all__ = ["KINDS", "Page", "held", "page"]

# kind -> (status, Retry-After in seconds, seconds after which a browser looks again by itself)
KINDS: dict[str, tuple[int, int | None, int | None]] = {
    "suspended": (503, 1800, None),
    "asleep": (503, 10, None),
    "waking": (503, 3, 3),
    "starting": (503, 3, 3),
    "wake_failed": (503, 600, None),
    "maintenance": (503, 600, None),
    "unavailable": (503, 30, None),
    "unknown": (404, None, None),
}
# What is suspended for want of payment says so in its status as well.
_UNPAID = frozenset({"trial_ended", "unpaid"})


def page(kind: str, *, instance: Instance | None = None, host: str = "", note: str = "") -> Page:
    """The page of one of `KINDS`; the language of the instance's owner comes first."""
    status, retry_after, refresh = KINDS[kind]
    reason = instance.reason if instance else ""
    if kind == "suspended" and reason in _UNPAID:
        status = 402
    context: dict[str, object] = {
        "reason": reason,
        "product": instance.product.name if instance else "Parcelle",
        "host": host,
        "note": note,
        "dashboard_url": f"{settings.PUBLIC_URL}/dashboard",
        "home_url": f"{settings.PUBLIC_URL}/",
        "contact": parseaddr(settings.DEFAULT_FROM_EMAIL)[1],
        "refresh": refresh,
    }
    preferred = (instance.owner.get("language") if instance else None) or settings.LANGUAGE_CODE
    languages = sorted((code for code, _name in settings.LANGUAGES), key=lambda code: code != preferred)
    return Page(kind, status, retry_after, {code: _wording(kind, code, context) for code in languages})


def held(instance: Instance, *, note: str = "") -> Page:
    """The page of a suspended instance."""
    return page("suspended", instance=instance, note=note)


def _wording(kind: str, language: str, context: dict[str, object]) -> Wording:
    with translation.override(language):
        title = render_to_string(f"provisioning/pages/{kind}.title.txt", context).strip()
        body = SafeString(render_to_string(f"provisioning/pages/{kind}.html", context).strip())
        whole = {**context, "language": language, "title": title, "body": body}
        return Wording(html=render_to_string("provisioning/page.html", whole), text=f"{title}\n\n{_as_text(body)}\n")


_LINK = re.compile(r'<a [^>]*?href="([^"]*)"[^>]*>(.*?)</a>')


def _as_text(body: str) -> str:
    """The same words without markup; a link is followed by where it leads, unless that is where one is already."""
    shown = _LINK.sub(lambda link: f"{link[2]} <{link[1]}>" if ":" in link[1] else "", body)
    paragraphs = (html.unescape(strip_tags(_angles(part))).strip() for part in shown.split("</p>"))
    return "\n\n".join(part for part in paragraphs if part)


def _angles(text: str) -> str:
    return re.sub(r"<((?:https?|mailto):[^>]*)>", r"&lt;\1&gt;", text)
