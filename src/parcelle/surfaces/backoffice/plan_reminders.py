"""When a plan reminds of renewals and what follows, as an operator types it: days, and nothing for what is usual."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from parcelle.domain.billing import calendars
from parcelle.domain.catalog.models import Plan

# How somebody types that there is to be none.
_NONE = {"-", "−", "–", "—"}
_BEFORE = ("month", "year")


class Days(forms.CharField):
    """Several numbers of days, `7, 3, 1`, or a dash for none at all; nothing typed is None."""

    def __init__(self, *, usual: tuple[int, ...], least: int = 0, **kwargs: Any) -> None:
        self.least = least
        widget = UnfoldAdminTextInputWidget(attrs={"placeholder": _typed(usual)})
        super().__init__(required=False, max_length=100, widget=widget, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return _typed(value) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return None
        if text in _NONE:
            return []
        words = [word for word in re.split(r"[\s,;]+", text) if word]
        if not all(word.isascii() and word.isdigit() and self.least <= int(word) <= 365 for word in words):
            raise forms.ValidationError(_("Days as whole numbers, such as 7, 3, 1; a dash for none at all."))
        return sorted({int(word) for word in words})

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(super().has_changed(self.prepare_value(initial), data))


def _typed(days: Any) -> str:
    """As one would say it: the furthest from the day before it, the nearest after it."""
    return ", ".join(str(abs(day)) for day in days) or "-"


def _number(label: Any, usual: int | None, help_text: Any = "") -> forms.IntegerField:
    attrs = {} if usual is None else {"placeholder": str(usual)}
    return forms.IntegerField(
        label=label,
        required=False,
        min_value=0,
        max_value=365,
        help_text=help_text,
        widget=UnfoldAdminIntegerFieldWidget(attrs=attrs),
    )


_USUAL = calendars.DEFAULT


class RemindersForm(forms.ModelForm):  # type: ignore[type-arg]
    """The part of a plan's form that is its calendar."""

    month = Days(
        label=_("Reminders of a month"),
        usual=_USUAL.month,
        least=1,
        help_text=_("Days before it is due. On the first of them the next period is asked for."),
    )
    year = Days(
        label=_("Reminders of a year"), usual=_USUAL.year, least=1, help_text=_("The same for who pays by the year.")
    )
    charges = Days(
        label=_("Taken by itself"),
        usual=_USUAL.charges,
        help_text=_("Days after it is due on which a saved card or wallet is tried; 0 is the day itself."),
    )
    after = Days(label=_("Reminders afterwards"), usual=_USUAL.after, help_text=_("Days after it was due."))
    read_only = _number(
        _("Can only read from day"),
        None,
        _("A day after it was due, before the grace ends. Empty: none."),
    )
    grace = _number(_("Grace in days"), _USUAL.grace, _("After it the instance rests until it is paid."))
    grace_by_hand = _number(
        _("Grace of who pays by hand"),
        _USUAL.grace_by_hand,
        _("For Mobile Money and transfers, where each payment takes the customer."),
    )
    grace_charge_back = _number(
        _("Grace after a bank took money back"), _USUAL.grace_charge_back, _("0: the instance rests at once.")
    )
    CALENDAR = ("month", "year", "charges", "after", "read_only", "grace", "grace_by_hand", "grace_charge_back")

    class Meta:
        model = Plan
        fields: list[str] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.CALENDAR:
            self.initial.setdefault(name, self.instance.dunning.get(name))

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        calendar = calendars.read(self.calendar(cleaned))
        if calendar.read_only is not None and calendar.read_only >= min(calendar.grace, calendar.grace_by_hand):
            self.add_error("read_only", _("This day comes before the grace ends, or it never comes."))
        return cleaned

    def calendar(self, typed: dict[str, Any]) -> dict[str, Any]:
        """What was typed as `calendars` reads it; what was not is as usual."""
        said = {name: value for name in self.CALENDAR if (value := typed.get(name)) is not None}
        return said | {name: sorted(-day for day in said[name]) for name in _BEFORE if name in said}

    def save(self, commit: bool = True) -> Any:
        # A reader's form has no fields: nothing is known that could be saved.
        if self.CALENDAR[0] in self.fields:
            self.instance.dunning = self.calendar(self.cleaned_data)
        return super().save(commit)
