"""What operators decide about subscriptions, with a reason that is kept; the journeys do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

from parcelle.domain.billing import states
from parcelle.domain.billing.models import Subscription
from parcelle.journeys import cancellation, renewal
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
