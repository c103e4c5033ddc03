"""Another price for who subscribed already: announced on a plan's page, seen and taken back here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy, ngettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.enums import ActionVariant

from parcelle.domain.billing import price_changes
from parcelle.domain.billing.models import PriceChange, PriceNotice
from parcelle.domain.catalog.models import Plan, Price
from parcelle.journeys import change_plan
from parcelle.surfaces.backoffice.base import Lines, Record, WithActors, counted
from parcelle.surfaces.backoffice.changes import ChangingAsForeseen, Forecast, RowForm, Verb
from parcelle.surfaces.backoffice.money_verbs import spoken
from parcelle.surfaces.backoffice.values import link_to, moment, number


def _each(price: Price) -> str:
    return gettext("%(amount)s / %(interval)s") % {
        "amount": spoken(price.amount),
        "interval": price.get_interval_display(),
    }


def _subscriptions(count: int) -> str:
    return ngettext("%(count)d subscription", "%(count)d subscriptions", count) % {"count": count}


class AnnounceForm(RowForm):
    """Which former price, and how long customers have to leave."""

    old = forms.ChoiceField(label=gettext_lazy("From which price"), widget=forms.RadioSelect, choices=())
    days = forms.IntegerField(
        label=gettext_lazy("Notice in days"),
        help_text=gettext_lazy("Each customer pays the new price from the first period that begins after it."),
        min_value=price_changes.NOTICE.days,
        max_value=730,
        initial=price_changes.NOTICE.days,
    )

    def __init__(self, row: Plan, data: Any = None) -> None:
        super().__init__(row, data)
        self.known = {str(one.old.pk): one for one in price_changes.former(row.pk)}
        old = self.fields["old"]
        assert isinstance(old, forms.ChoiceField)
        old.choices = [(key, _moved(one)) for key, one in self.known.items()]
        old.initial = next(iter(self.known), None)

    def clean(self) -> dict[str, Any]:
        said = super().clean() or self.cleaned_data
        if said.get("old") in self.known:
            said["new"] = self.known[said["old"]].new
        return said


def _moved(one: price_changes.Former) -> str:
    return f"{_each(one.old)} → {_each(one.new)} · {_subscriptions(one.subscriptions)}"


def _foresee_announcing(rows: Sequence[Plan]) -> list[Forecast]:
    found = [price_changes.former(row.pk) for row in rows]
    return [
        Forecast(
            gettext("%(number)s with a former price.") % {"number": _subscriptions(sum(o.subscriptions for o in one))}
        )
        if one
        else Forecast(gettext("Nothing: no subscription has a former price of it."), possible=False)
        for one in found
    ]


ANNOUNCE = Verb(
    name="announce",
    label=gettext_lazy("Move former prices"),
    icon="campaign",
    meaning=gettext_lazy(
        "Who subscribed keeps their price when you change it. Here you decide that they go over to the one that is "
        "sold now: each is told by mail, can leave before, and pays it from the first period that begins after the "
        "notice. It can be taken back until it counts for somebody."
    ),
    question=ngettext_lazy("Announce another price?", "Announce other prices for %(count)d plans?", "count"),
    foresee=_foresee_announcing,
    do=lambda row, actor, now: change_plan.announce_price(
        old_id=UUID(row.given["old"]),
        new_id=row.given["new"].pk,
        actor=actor,
        now=now,
        notice=timedelta(days=row.given["days"]),
    ),
    done=gettext_lazy("Done: everybody concerned is told by mail within a quarter of an hour."),
    form=AnnounceForm,
)


def _foresee_taking_back(rows: Sequence[PriceChange]) -> list[Forecast]:
    now, having = timezone.now(), price_changes.affected(rows)
    text = gettext("%(number)s keep their price; who was told otherwise is told so.")
    return [
        Forecast(text % {"number": _subscriptions(having.get(row.old_id, 0))})
        if row.effective_at > now
        else Forecast(gettext("Nothing: it counts already."), possible=False)
        for row in rows
    ]


TAKE_BACK = Verb(
    name="take_back",
    label=gettext_lazy("Take back"),
    icon="undo",
    meaning=gettext_lazy(
        "The price stays as it was for everybody who has it. Possible until a renewal was asked for at the new price."
    ),
    question=ngettext_lazy("Take this change of price back?", "Take %(count)d changes of prices back?", "count"),
    foresee=_foresee_taking_back,
    do=lambda row, actor, now: price_changes.take_back(row.pk, actor=actor, now=now),
    done=gettext_lazy("Done: the price stays."),
    dangerous=True,
)


class NoticeLines(Lines):
    """Who was told, and when."""

    model = PriceNotice
    verbose_name_plural = _("Told")
    fields = ["customer", "told_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("subscription__organization").order_by("-at")

    @admin.display(description=_("Subscription"))
    def customer(self, row: PriceNotice) -> SafeString | str:
        return link_to(row.subscription, row.subscription.organization.name)

    @admin.display(description=_("At"))
    def told_at(self, row: PriceNotice) -> SafeString | str:
        return moment(row.at)


@admin.register(PriceChange)
class PriceChangePage(WithActors, ChangingAsForeseen, Record):
    when_empty = _(
        "Announce another price on the page of a plan: here you see who was told of it, and can take it back."
    )
    verbs = [TAKE_BACK]
    confirmation_columns = (_("Change of a price"), _("Plan"))
    list_display = ["change", "plan", "from_when", "having", "told", "announced"]
    list_filter = ["effective_at"]
    list_select_related = ["old__plan__product", "new__plan"]
    search_fields = ["old__plan__name", "old__plan__product__name"]
    ordering = ["-announced_at"]
    inlines = [NoticeLines]
    fields = [("change", "plan"), ("announced", "from_when"), ("having", "told"), "asked_by"]
    readonly_fields = ["change", "plan", "announced", "from_when", "having", "told", "asked_by"]
    actions_detail = ["take_back_one"]

    def find(self, object_id: str) -> Any:
        rows = PriceChange.objects.select_related("old__plan__product", "new__plan")
        row = rows.filter(pk=int(object_id)).first() if object_id.isdecimal() else None
        if row is not None:
            self.complete([row])
        return row

    def complete(self, rows: list[Any]) -> None:
        super().complete(rows)
        having = price_changes.affected(rows)
        told = counted(PriceNotice.objects.filter(change__in=rows), "change_id")
        for row in rows:
            row.count, row.told_count = having.get(row.old_id, 0), told.get(row.pk, 0)

    @admin.display(description=_("Change of a price"))
    def change(self, row: Any) -> str:
        return f"{_each(row.old)} → {_each(row.new)}"

    @admin.display(description=_("Plan"), ordering="old__plan__name")
    def plan(self, row: Any) -> SafeString | str:
        return link_to(row.old.plan, str(row.old.plan))

    @admin.display(description=_("Counts from"), ordering="effective_at")
    def from_when(self, row: Any) -> SafeString | str:
        return moment(row.effective_at)

    @admin.display(description=_("Still with the old price"))
    def having(self, row: Any) -> SafeString:
        return number(row.count)

    @admin.display(description=_("Told"))
    def told(self, row: Any) -> SafeString:
        return number(row.told_count)

    @admin.display(description=_("Announced"), ordering="announced_at")
    def announced(self, row: Any) -> SafeString | str:
        return moment(row.announced_at)

    def called(self, row: Any) -> str:
        return self.change(row)

    def describe(self, row: Any) -> object:
        return str(row.old.plan)

    @action(description=_("Take back"), url_path="take-back", icon="undo", variant=ActionVariant.DANGER)
    def take_back_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, TAKE_BACK)
