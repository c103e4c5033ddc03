"""Values as people read them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db.models import Model
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from parcelle.surfaces.backoffice import words

NOTHING = "—"


def link_to(row: Model | None, text: str = "") -> SafeString | str:
    """A link to the row's own page."""
    if row is None:
        return NOTHING
    return format_html('<a class="bo-link" href="{}">{}</a>', page_of(row), text or str(row))


def page_of(row: Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=(row.pk,))


def list_of(model: type[Model], query: str = "") -> str:
    page = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{page}?{query}" if query else page


def moment(value: datetime | None) -> SafeString | str:
    """A short date and time that stays on one line; the whole of it on hovering."""
    if value is None:
        return NOTHING
    local = timezone.localtime(value)
    return format_html(
        '<time class="bo-moment" datetime="{}" title="{}">{}</time>',
        local.isoformat(timespec="seconds"),
        formats.date_format(local, "DATETIME_FORMAT"),
        formats.date_format(local, "j N Y H:i"),
    )


def badge(state: str, text: object) -> SafeString:
    """A state in the colour that belongs to it."""
    return format_html('<span class="bo-badge bo-{}">{}</span>', words.COLOURS.get(state, "neutral"), text)


def original(text: str) -> SafeString:
    """What a program said, in its own language, and labelled as that; nothing where it said nothing."""
    if not text:
        return SafeString("")
    return format_html(
        '<span class="bo-remark">{} <samp class="bo-original" lang="en">{}</samp></span>', _("In its own words:"), text
    )


def code(value: object) -> SafeString:
    return format_html('<code class="bo-code">{}</code>', value)


def number(value: int) -> SafeString:
    return format_html('<span class="bo-numbers">{}</span>', formats.number_format(value, force_grouping=True))


def in_a_column[F: Callable[..., object]](shown: F) -> F:
    """Amounts of a list stand under each other, at the end of their column, as does its heading."""
    shown.formatting = "price"  # type: ignore[attr-defined]
    return shown


def duration(length: timedelta | None) -> str:
    """`0.42 s`, `12.3 s`, `4 min 5 s`, `2 h 10 min`, `3 d 4 h`, in the reader's notation."""
    if length is None:
        return NOTHING
    seconds = max(0.0, length.total_seconds())
    if seconds < 60:
        return f"{formats.number_format(seconds, 2 if seconds < 10 else 1)} s"
    for big, unit, small, below in ((86400, _("d"), 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= big:
            rest = int(seconds % big // small)
            return f"{int(seconds // big)} {unit}" + (f" {rest} {below}" if rest else "")
    return NOTHING


def days_left(until: datetime | None, now: datetime) -> str:
    if until is None:
        return NOTHING
    days = max(0, -((now - until) // timedelta(days=1)))
    return ngettext("%(days)d day left", "%(days)d days left", days) % {"days": days}
