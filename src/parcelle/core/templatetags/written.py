"""How things are written for people."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import formats, translation

register = template.Library()


@register.filter(expects_localtime=True, is_safe=False)
def day(at: datetime | None) -> str:
    """`1er avril 2026`, `2 avril 2026`, `1 April 2026`; empty for no date."""
    if not at:
        return ""
    first = at.day == 1 and (translation.get_language() or "").startswith("fr")
    return formats.date_format(at, r"j\e\r F Y" if first else "j F Y")
