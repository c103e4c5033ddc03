"""Ways to pay that customers left for their renewals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy, ngettext_lazy
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.enums import ActionVariant

from parcelle.domain.billing import saved_methods
from parcelle.domain.billing.models import SavedMethod
from parcelle.surfaces.backoffice import words
from parcelle.surfaces.backoffice.changes import ChangingAsForeseen, Forecast, Verb
from parcelle.surfaces.backoffice.filters import by_code
from parcelle.surfaces.backoffice.values import NOTHING, badge, link_to, moment


def _foresee(rows: Sequence[SavedMethod]) -> list[Forecast]:
    return [
        Forecast(gettext("Renewals are paid by hand from now on."))
        if row.removed_at is None and row.organization_id is not None
        else Forecast(gettext("Nothing: it was removed before."), possible=False)
        for row in rows
    ]


REMOVE = Verb(
    name="remove",
    label=gettext_lazy("Remove"),
    icon="link_off",
    meaning=gettext_lazy(
        "For a customer who takes their consent back by telephone or mail. Nothing is taken from it any more, also the "
        "payment service forgets it, and only the customer can leave one again."
    ),
    question=ngettext_lazy("Remove this way to pay?", "Remove %(count)d ways to pay?", "count"),
    foresee=_foresee,
    do=lambda row, actor, now: saved_methods.remove(row.organization_id, actor=actor, now=now),
    done=gettext_lazy("Done: nothing is taken from it any more."),
    dangerous=True,
)


class RemovedFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "removed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("no", _("In use")), ("yes", _("Removed"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SavedMethod]) -> QuerySet[SavedMethod]:
        if self.value() not in {"no", "yes"}:
            return queryset
        return queryset.filter(removed_at__isnull=self.value() == "no")


@admin.register(SavedMethod)
class SavedMethodPage(ChangingAsForeseen):
    when_empty = _("A customer leaves one when they agree, as they pay, that renewals are taken by themselves.")
    verbs = [REMOVE]
    confirmation_columns = (_("Way to pay"), _("Customer"))
    list_display = ["label", "way", "customer", "in_use", "agreed"]
    list_filter = [RemovedFilter, by_code("gateway", _("method"), words.GATEWAYS.items), "agreed_at"]
    list_select_related = ["organization"]
    search_fields = ["label", "organization__name", "organization__slug"]
    search_help_text = _("Name, organization or identifier")
    id_fields = ["organization_id"]
    ordering = ["-agreed_at"]
    fields = [("label", "way"), ("customer", "in_use"), ("agreed", "removed"), ("agreed_with", "identifier")]
    readonly_fields = ["way", "customer", "in_use", "agreed", "removed", "agreed_with", "identifier"]
    actions_detail = ["remove_one"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[SavedMethod]:
        return super().get_queryset(request).select_related("organization", "payment").defer("reference")

    @admin.display(description=_("Method"), ordering="gateway")
    def way(self, row: SavedMethod) -> str:
        return words.word(words.GATEWAYS, row.gateway)

    @admin.display(description=_("Customer"), ordering="organization__name")
    def customer(self, row: SavedMethod) -> SafeString | str:
        return link_to(row.organization) if row.organization else NOTHING

    @admin.display(description=_("State"))
    def in_use(self, row: SavedMethod) -> SafeString:
        return badge("ended", gettext("Removed")) if row.removed_at else badge("active", gettext("In use"))

    @admin.display(description=_("Agreed"), ordering="agreed_at")
    def agreed(self, row: SavedMethod) -> SafeString | str:
        return moment(row.agreed_at)

    @admin.display(description=_("Removed"))
    def removed(self, row: SavedMethod) -> SafeString | str:
        return moment(row.removed_at) if row.removed_at else NOTHING

    @admin.display(description=_("Agreed to with"))
    def agreed_with(self, row: SavedMethod) -> SafeString | str:
        return link_to(row.payment)

    def describe(self, row: SavedMethod) -> object:
        return str(row.organization or NOTHING)

    @action(description=_("Remove"), url_path="remove", icon="link_off", variant=ActionVariant.DANGER)
    def remove_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, REMOVE)
