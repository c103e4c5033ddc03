"""What the portal's templates need beside Django's own tags."""

from __future__ import annotations

from email.utils import parseaddr
from typing import Any

from babel import Locale
from babel.numbers import format_decimal
from django import forms, template
from django.conf import settings
from django.forms.boundfield import BoundField
from django.http import Http404
from django.utils import formats
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from parcelle.core import phones
from parcelle.core.money import Money
from parcelle.surfaces import current

register = template.Library()


@register.simple_tag
def mailbox_page() -> bool:
    return bool(settings.MAILBOX_PAGE and settings.AT_HOME)


@register.simple_tag
def contact() -> str:
    """Where "write to us" leads: the address our mails come from, which is also where answers arrive."""
    return parseaddr(settings.DEFAULT_FROM_EMAIL)[1]


@register.simple_tag(takes_context=True)
def own_organizations(context: template.Context) -> dict[str, Any]:
    """For the switcher: the current organization and the others; nothing for who belongs to one or none."""
    request = context.get("request")
    rows = current.memberships(request) if request is not None else []
    if request is None or len(rows) < 2:
        return {}
    try:
        here = current.whichever(request)
    except Http404:
        return {}
    assert here is not None
    others = [row.organization for row in rows if row.organization_id != here.organization.pk]
    return {"here": here.organization, "others": sorted(others, key=lambda each: each.name.casefold())}


@register.filter
def money(amount: Money | None) -> str:
    """`1 234,50 €` as the reader writes it."""
    return amount.format(get_language() or "fr") if amount is not None else ""


@register.filter
def negative(amount: Money) -> Money:
    return -amount


@register.filter
def country(code: str) -> str:
    """The country's name as the reader writes it."""
    return str(Locale.parse(get_language() or "fr").territories.get(code, code))


@register.filter
def price(amount: Money | None) -> str:
    """As `money`, but `49 €` for a whole amount."""
    return "" if amount is None else amount.format_short(get_language() or "fr")


@register.filter
def number(value: int) -> str:
    """`1 500` as the reader writes it."""
    return str(format_decimal(value, locale=get_language() or "fr"))


@register.filter
def phone(number: str) -> str:
    """`+237 6 71 23 45 67`, in one piece."""
    return phones.readable(number).replace(" ", "\N{NO-BREAK SPACE}")


@register.filter
def in_language(thing: object, field: str) -> str:
    """`thing.name_fr` or `thing.name_en`; the other language where one is empty."""
    first, second = ("fr", "en") if get_language() == "fr" else ("en", "fr")
    return str(getattr(thing, f"{field}_{first}") or getattr(thing, f"{field}_{second}"))


@register.filter
def duration(seconds: float | None) -> str:
    """`0.3 s`, `12 s`, `1 min 05 s`, with the reader's decimal mark and no-break spaces."""
    if seconds is None:
        return ""
    if seconds < 9.95:
        return _("%(number)s s") % {"number": formats.number_format(max(seconds, 0.0), 1)}
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return _("%(number)s s") % {"number": rest}
    return _("%(minutes)s min %(seconds)s s") % {"minutes": minutes, "seconds": f"{rest:02d}"}


@register.inclusion_tag("portal/parts/field.html")
def field(bound: BoundField, label: str = "", help_text: str = "") -> dict[str, Any]:
    """A form field with its label, help and errors, in the portal's look, whatever form it comes from."""
    widget = bound.field.widget
    checkbox = isinstance(widget, forms.CheckboxInput)
    css = "form-check-input" if checkbox else "form-control"
    # allauth puts the label into the box; a label that vanishes while typing helps nobody.
    widget.attrs.pop("placeholder", None)
    attrs: dict[str, str | bool] = {"class": f"{css} is-invalid" if bound.errors else css}
    return {
        "field": bound,
        "control": bound.as_widget(attrs=attrs),
        "checkbox": checkbox,
        "label": label or bound.label,
        "help_text": help_text or bound.help_text,
        "password": isinstance(widget, forms.PasswordInput),
    }
