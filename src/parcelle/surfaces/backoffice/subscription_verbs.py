"""What operators decide about subscriptions, with a reason that is kept; the journeys do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

from parcelle.domain.billing import baskets, states
from parcelle.domain.billing.errors import AddOnRefused, ChangeRefused
from parcelle.domain.billing.models import Subscription
from parcelle.domain.catalog import offers
from parcelle.domain.catalog.models import AddOn
from parcelle.journeys import cancellation, change_plan, renewal
from parcelle.surfaces.backoffice import words
from parcelle.surfaces.backoffice.changes import Forecast, RowForm, Verb

_RUNNING = (states.TRIALING, states.ACTIVE, states.PAST_DUE)


class ReasonForm(RowForm):
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        help_text=gettext_lazy("Kept with the subscription, and read by colleagues."),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2}),
    )


def _if_it(
    may: Callable[[Subscription], bool], effect: Callable[[Subscription], str]
) -> Callable[[Sequence[Any]], list[Forecast]]:
    def foresee(rows: Sequence[Subscription]) -> list[Forecast]:
        return [Forecast(effect(row)) if may(row) else _not_now(row) for row in rows]

    return foresee


def _not_now(row: Subscription) -> Forecast:
    text = _("Nothing: not possible in its present state (%(state)s).")
    return Forecast(text % {"state": row.get_state_display()}, possible=False)


def _cancel(*, at_once: bool) -> Callable[..., object]:
    return lambda row, actor, now: cancellation.cancel(
        row.pk, at_once=at_once, reason=row.given["reason"], actor=actor, now=now
    )


TRY_AGAIN = Verb(
    name="again",
    label=gettext_lazy("Try again now"),
    icon="replay",
    meaning=gettext_lazy(
        "What the last run could not do is tried again at once. If it fails once more, the problem says why."
    ),
    question=ngettext_lazy("Try this subscription again?", "Try %(count)d subscriptions again?", "count"),
    foresee=_if_it(lambda row: bool(row.problem), lambda row: row.problem),
    do=lambda row, _actor, now: renewal.try_again(row.pk, now=now),
    done=gettext_lazy("Done: it was tried again. If there is still a problem, it is shown here."),
)

CANCEL = Verb(
    name="cancel",
    label=gettext_lazy("Cancel at period end"),
    icon="event_busy",
    meaning=gettext_lazy(
        "Everything works until the period that is paid ends; then the instance rests and its data is kept for as long "
        "as the plan says. The customer is told, and can take it back until then."
    ),
    question=ngettext_lazy(
        "Cancel this subscription at period end?", "Cancel %(count)d subscriptions at period end?", "count"
    ),
    foresee=_if_it(
        lambda row: row.state in _RUNNING and row.cancel_at is None, lambda _row: _("It ends with what is paid.")
    ),
    do=_cancel(at_once=False),
    done=gettext_lazy("Done: it ends when its period does."),
    form=ReasonForm,
)

CANCEL_NOW = Verb(
    name="cancel_now",
    label=gettext_lazy("Cancel immediately"),
    icon="block",
    meaning=gettext_lazy(
        "The instance rests within seconds, and its data is kept for as long as the plan says. What is paid and not "
        "used is not given back by this: refund the payment if it should be."
    ),
    question=ngettext_lazy(
        "Cancel this subscription immediately?", "Cancel %(count)d subscriptions immediately?", "count"
    ),
    foresee=_if_it(lambda row: row.state in _RUNNING, lambda _row: _("Its instance rests from now on.")),
    do=_cancel(at_once=True),
    done=gettext_lazy("Done: it is cancelled."),
    dangerous=True,
    form=ReasonForm,
)


class AddOnsForm(RowForm):
    """How many of each add-on, and when fewer count."""

    def __init__(self, row: Subscription, data: Any = None) -> None:
        super().__init__(row, data)
        has = _numbers(row)
        for add_on in _add_ons(row):
            self.fields[f"add_on_{add_on.pk}"] = forms.IntegerField(
                label=add_on.name,
                min_value=0,
                max_value=max(add_on.most, has.get(add_on.pk, 0)),
                initial=has.get(add_on.pk, 0),
            )
        self.fields["when"] = forms.ChoiceField(
            label=_("When fewer count"),
            widget=forms.RadioSelect,
            choices=[
                ("end", _("When the period that is paid ends")),
                ("now", _("At once, the rest of what was paid becomes credit")),
            ],
            initial="end",
        )

    def clean(self) -> dict[str, Any]:
        said = super().clean() or self.cleaned_data
        quantities = {
            UUID(name.removeprefix("add_on_")): value for name, value in said.items() if name.startswith("add_on_")
        }
        said["quantities"] = quantities
        if not self.errors:
            try:
                change_plan.preview_add_ons(self.row, quantities, now=timezone.now())
            except (AddOnRefused, ChangeRefused) as refused:
                raise forms.ValidationError(words.word(words.MONEY_REFUSED, refused.code)) from None
        return said


def _numbers(row: Subscription) -> dict[UUID, int]:
    return {extra.price.add_on_id: extra.quantity for extra in baskets.read(row.extras)}


def _add_ons(row: Subscription) -> list[AddOn]:
    """What is sold beside their plan, and what they have of it, also where it is no longer sold."""
    if row.price is None:
        return []
    found = {price.add_on_id: price.add_on for price in offers.add_ons(row.price)}
    found |= {extra.price.add_on_id: extra.price.add_on for extra in baskets.read(row.extras)}
    return list(found.values())


def _has_said(row: Subscription) -> str:
    extras = baskets.read(row.extras)
    if not extras:
        return _("They have none so far.")
    has = ", ".join(f"{extra.quantity} × {extra.price.add_on.name}" for extra in extras)
    return _("They have: %(add_ons)s.") % {"add_ons": has}


def _change_add_ons(row: Subscription, actor: str, now: datetime) -> object:
    return change_plan.change_add_ons(
        row.pk,
        quantities=row.given["quantities"],  # type: ignore[attr-defined]
        request_id=uuid4(),
        actor=actor,
        now=now,
        at_once=row.given["when"] == "now",  # type: ignore[attr-defined]
    )


ADD_ONS = Verb(
    name="add_ons",
    label=gettext_lazy("Change add-ons"),
    icon="add_shopping_cart",
    meaning=gettext_lazy(
        "More counts as soon as the customer has paid the difference, which waits for them under Billing for a day; "
        "their credit is used first. Fewer counts when the period that is paid ends, or at once."
    ),
    question=ngettext_lazy(
        "Change the add-ons of this subscription?", "Change the add-ons of %(count)d subscriptions?", "count"
    ),
    foresee=_if_it(lambda row: row.state == states.ACTIVE and bool(_add_ons(row)), _has_said),
    do=_change_add_ons,
    done=gettext_lazy("Done: what has to be paid waits for the customer under Billing, the rest is noted."),
    form=AddOnsForm,
)
