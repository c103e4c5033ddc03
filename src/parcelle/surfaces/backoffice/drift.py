"""What differs on the targets from what should be there, and its repair."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy, ngettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.enums import ActionVariant

from parcelle.domain.provisioning import checks, repairs, states
from parcelle.domain.provisioning.models import Finding, Instance, Operation, Target
from parcelle.domain.provisioning.repairs import REMOVING
from parcelle.domain.tenancy.models import Organization
from parcelle.surfaces.backoffice import words
from parcelle.surfaces.backoffice.base import Record, as_uuid, found, lean
from parcelle.surfaces.backoffice.changes import Changing, Forecast, Verb
from parcelle.surfaces.backoffice.filters import RelatedFilter
from parcelle.surfaces.backoffice.provisioning import Following, OperationLines
from parcelle.surfaces.backoffice.values import NOTHING, badge, code, link_to, moment, original

# --- what a repair would do ---------------------------------------------------------------------------------


def _effect(finding: Finding, kind: str) -> str:
    if kind == "build_template":
        return gettext("The template is built again; until then, new instances wait for it.")
    if kind == "restart":
        return gettext("Started again with all its data.")
    if kind == "rest":
        return gettext("Stopped again, with all its data; its address says why.")
    if kind == "repair" and finding.kind == states.MISSING:
        return gettext(
            "Made anew from the template, with the password of the welcome mail. Its data are gone from this target: "
            "load a backup afterwards if there is one."
        )
    return gettext(
        "What is missing of it is made again; what is there stays. Lost data do not come back by themselves."
    )


def _removal(finding: Finding, kind: str) -> SafeString:
    """Exactly what will be removed."""
    if kind == "discard_standby":
        head = gettext("This standby is removed, and the pool makes another one:")
    elif finding.kind == states.LEASED:
        head = gettext("These are given back:")
    else:
        head = gettext("Removed for good, with all the data in it:")
    parts = format_html_join("", "<li>{}</li>", ((part,) for part in finding.parts))
    return format_html('{}<ul class="bo-parts">{}</ul>', head, parts or format_html("<li>{}</li>", NOTHING))


def _foresee(findings: Sequence[Any], *, removing: bool) -> list[Forecast]:
    running = dict(
        Operation.objects.filter(
            Q(finding__in=findings) | Q(instance__in=[f.instance_id for f in findings]), state__in=states.UNFINISHED
        ).values_list("finding_id", "kind")
    )
    return [_forecast(finding, running, removing=removing) for finding in findings]


def _forecast(finding: Finding, running: dict[Any, str], *, removing: bool) -> Forecast:
    if finding.closed_at is not None:
        return Forecast(gettext("Nothing: it is as it should be by now."), possible=False)
    if finding.pk in running:
        text = gettext("Nothing: “%(operation)s” is still running on it.")
        return Forecast(text % {"operation": words.word(words.KINDS, running[finding.pk])}, possible=False)
    kind = repairs.kind_of_repair(finding)
    if (kind in REMOVING) is not removing:
        text = (
            gettext("Nothing: use “Remove from the target”.") if kind in REMOVING else gettext("Nothing: use “Repair”.")
        )
        return Forecast(text, possible=False)
    if removing:
        return Forecast(_removal(finding, kind), shown=json.dumps(finding.parts))
    return Forecast(_effect(finding, kind))


def _repair(row: Any, actor: str, now: datetime) -> object:
    shown = json.loads(row.shown) if row.shown else []
    return repairs.repair(row.pk, shown=shown, actor=actor, now=now)


REPAIR = Verb(
    name="repair",
    label=gettext_lazy("Repair"),
    icon="build",
    meaning=gettext_lazy(
        "What should exist is brought back into the state it should be in. Nothing that is there is removed. "
        "The finding closes by itself once the target shows that all is well."
    ),
    question=ngettext_lazy("Repair this?", "Repair %(count)d findings?", "count"),
    foresee=lambda rows: _foresee(rows, removing=False),
    do=_repair,
    done=gettext_lazy("Done: the repair has been asked for."),
)

REMOVE = Verb(
    name="remove",
    label=gettext_lazy("Remove from the target"),
    icon="delete_forever",
    meaning=gettext_lazy(
        "Exactly what is listed here is removed from the target, and nothing else; the target is listed again "
        "afterwards to prove it. If there is more by then, nothing is touched. This cannot be undone."
    ),
    question=ngettext_lazy("Remove this for good?", "Remove %(count)d findings for good?", "count"),
    foresee=lambda rows: _foresee(rows, removing=True),
    do=_repair,
    done=gettext_lazy("Done: the removal has been asked for."),
    dangerous=True,
)


# --- the page -----------------------------------------------------------------------------------------------


class OpenFilter(admin.SimpleListFilter):
    """What is amiss now, unless asked for the past."""

    title = _("state")
    parameter_name = "is"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("gone", _("Gone")), ("all", _("All"))]

    def choices(self, changelist: Any) -> Any:
        yield {
            "selected": self.value() not in ("gone", "all"),
            "query_string": changelist.get_query_string(remove=[self.parameter_name]),
            "display": _("Still open"),
        }
        for value, title in self.lookup_choices:
            yield {
                "selected": self.value() == str(value),
                "query_string": changelist.get_query_string({self.parameter_name: value}),
                "display": title,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Finding]) -> QuerySet[Finding]:
        if self.value() == "all":
            return queryset
        return queryset.filter(closed_at__isnull=self.value() != "gone")


@admin.register(Finding)
class FindingPage(Following, Changing, Record):
    verbs = [REPAIR, REMOVE]
    confirmation_columns = (_("Finding"), _("Target"))
    when_empty = _(
        "No difference is known: nothing missing, stopped, half-made or unknown. "
        "What was found before is under “Filters”."
    )
    list_display = ["name", "kind_badge", "target_link", "number_of_parts", "found", "seen", "gone"]
    list_filter = [OpenFilter, "kind", ("target", RelatedFilter)]
    search_fields = ["name", "detail"]
    search_help_text = _("Name, organization or identifier")
    id_fields = ["ref", "instance_id"]
    ordering = ["-opened_at"]
    belonging = ("target__id__exact",)
    list_before_template = "backoffice/compared.html"
    inlines = [OperationLines]
    actions_detail = ["repair_one", "remove_one"]
    fieldsets = [
        (None, {"fields": [("name", "kind_badge"), ("target_link", "belongs_to"), "what_is_there", "what_it_said"]}),
        (_("Record"), {"fields": [("found", "seen"), ("gone", "reference"), "identifier"]}),
    ]
    readonly_fields = [
        "kind_badge",
        "target_link",
        "belongs_to",
        "what_is_there",
        "what_it_said",
        "found",
        "seen",
        "gone",
        "reference",
        "identifier",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Finding]:
        return lean(super().get_queryset(request), "target", "instance", "template", "template__target")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Of one target: how its comparison stands, until it is over."""
        target = found(Target, as_uuid(request.GET.get("target__id__exact", "")))
        asked: dict[str, Any] = {"compared": target, "comparing": target is not None and checks.is_looking(target)}
        if target is not None and target.problem_code:
            asked["problem"], asked["advice"] = words.answer(target.problem_code)
        return super().changelist_view(request, {**asked, **(extra_context or {})})

    def found_elsewhere(self, term: str) -> Q:
        customers = Organization.objects.filter(name__icontains=term)
        instances = Instance.objects.filter(Q(slug__icontains=term) | Q(organization_id__in=customers.values("pk")))
        return Q(instance_id__in=instances.values("pk"))

    @admin.display(description=_("What"), ordering="kind")
    def kind_badge(self, row: Finding) -> SafeString:
        return badge("" if row.closed_at else row.kind, row.get_kind_display())

    @admin.display(description=_("Target"), ordering="target__name")
    def target_link(self, row: Finding) -> SafeString | str:
        return link_to(row.target)

    @admin.display(description=_("Of"))
    def belongs_to(self, row: Finding) -> SafeString | str:
        return link_to(row.instance or row.template)

    @admin.display(description=_("There"))
    def number_of_parts(self, row: Finding) -> str:
        number = len(row.parts)
        return ngettext("%(number)d part", "%(number)d parts", number) % {"number": number} if number else NOTHING

    @admin.display(description=_("What is there"))
    def what_is_there(self, row: Finding) -> SafeString | str:
        if not row.parts:
            return NOTHING
        return format_html(
            '<ul class="bo-parts">{}</ul>', format_html_join("", "<li>{}</li>", ((part,) for part in row.parts))
        )

    @admin.display(description=_("Detail"))
    def what_it_said(self, row: Finding) -> SafeString | str:
        return original(row.detail) or NOTHING

    @admin.display(description=_("Found"), ordering="opened_at")
    def found(self, row: Finding) -> SafeString | str:
        return moment(row.opened_at)

    @admin.display(description=_("Last seen"), ordering="seen_at")
    def seen(self, row: Finding) -> SafeString | str:
        return moment(row.seen_at)

    @admin.display(description=_("Gone"), ordering="closed_at")
    def gone(self, row: Finding) -> SafeString | str:
        return moment(row.closed_at)

    @admin.display(description=_("Reference at the target"))
    def reference(self, row: Finding) -> SafeString:
        return code(row.ref)

    def is_unfinished(self, row: Finding) -> bool:
        return row.operations.filter(state__in=states.UNFINISHED).exists()

    def describe(self, row: Finding) -> object:
        return row.target

    def find(self, object_id: str) -> Any:
        row = super().find(object_id)
        return Finding.objects.select_related("instance").get(pk=row.pk) if row else None

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        row = self.find(object_id)
        if row is None or row.closed_at is not None or not self.has_operate_permission(request):
            return []
        wanted = "remove_one" if repairs.kind_of_repair(row) in REMOVING else "repair_one"
        shown = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [action for action in shown if action.action_name.endswith(wanted)]

    @action(description=_("Repair"), url_path="repair", icon="build", variant=ActionVariant.PRIMARY)
    def repair_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, REPAIR)

    @action(
        description=_("Remove from the target"), url_path="remove", icon="delete_forever", variant=ActionVariant.DANGER
    )
    def remove_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, REMOVE)
