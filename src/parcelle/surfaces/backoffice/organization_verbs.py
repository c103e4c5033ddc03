"""What operators do with a whole organization."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

from parcelle.domain.tenancy import actions, states
from parcelle.domain.tenancy.models import Organization
from parcelle.surfaces.backoffice.changes import Forecast, Verb


def _moving(to: str, effect: Promise) -> Callable[[Sequence[Organization]], list[Forecast]]:
    def one(row: Organization) -> Forecast:
        if to in states.TRANSITIONS[row.state]:
            return Forecast(str(effect))
        text = _("Nothing: not possible in its present state (%(state)s).")
        return Forecast(text % {"state": row.get_state_display()}, possible=False)

    return lambda rows: [one(row) for row in rows]


CLOSE = Verb(
    name="close_for_now",
    label=gettext_lazy("Suspend the organization"),
    icon="block",
    meaning=gettext_lazy(
        "Its members see a page that says why and what to do; paying, invoices and signing out stay open to them. "
        "Instances and subscriptions are not touched. It can be opened again at any time."
    ),
    question=ngettext_lazy("Suspend this organization?", "Suspend %(count)d organizations?", "count"),
    foresee=_moving(states.SUSPENDED, gettext_lazy("Its members are shut out at once.")),
    do=lambda row, actor, now: actions.change_state(row, to=states.SUSPENDED, actor=actor, now=now),
    done=gettext_lazy("Done: the organization is suspended."),
    dangerous=True,
)
OPEN_AGAIN = Verb(
    name="open_again",
    label=gettext_lazy("Open the organization again"),
    icon="check_circle",
    meaning=gettext_lazy("Its members can do everything again."),
    question=ngettext_lazy("Open this organization again?", "Open %(count)d organizations again?", "count"),
    foresee=_moving(states.ACTIVE, gettext_lazy("Its members get in again at once.")),
    do=lambda row, actor, now: actions.change_state(row, to=states.ACTIVE, actor=actor, now=now),
    done=gettext_lazy("Done: the organization is open again."),
)
