"""What happened, and what is waiting to be done: facts and background jobs."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from procrastinate.contrib.django import app as queue
from procrastinate.contrib.django.models import ProcrastinateEvent, ProcrastinateJob

from parcelle.core import events
from parcelle.core.models import Fact
from parcelle.domain.provisioning.models import Instance, Operation
from parcelle.domain.tenancy.models import Organization
from parcelle.surfaces.backoffice import words
from parcelle.surfaces.backoffice.base import Lines, Record, WithActors, found, lean, name_actors
from parcelle.surfaces.backoffice.filters import by_code
from parcelle.surfaces.backoffice.values import NOTHING, badge, code, duration, link_to, moment


def _names() -> list[tuple[str, str]]:
    return [(name, words.word(words.FACTS, name)) for name in events.names()]


@admin.register(Fact)
class FactPage(WithActors, Record):
    when_empty = _("Whatever happens to customers and instances is recorded here.")
    list_display = ["what", "when", "whose", "which", "asked_by", "details"]
    list_filter = [by_code("name", _("what happened"), _names), "at"]
    search_fields = ["name", "actor"]
    search_help_text = _("Organization, instance, actor or identifier")
    id_fields = ["organization_id", "instance_id", "operation_id"]
    ordering = ["-id"]
    date_hierarchy = "at"

    def called(self, row: Fact) -> str:
        return f"{words.word(words.FACTS, row.name)} #{row.pk}"

    fields = [("what", "moment"), ("asked_by", "operation"), ("whose", "which"), "stored", "identifier"]
    readonly_fields = ["what", "moment", "asked_by", "whose", "which", "operation", "stored", "identifier"]

    def found_elsewhere(self, term: str) -> Q:
        """Facts know organizations and instances by key only: their names are looked up first."""
        organizations = Organization.objects.filter(Q(name__icontains=term) | Q(slug__icontains=term))
        instances = Instance.objects.filter(slug__icontains=term)
        return Q(organization_id__in=organizations.values("pk")) | Q(instance_id__in=instances.values("pk"))

    def complete(self, rows: list[Any]) -> None:
        name_actors(rows)
        with_subjects(rows)

    @admin.display(description=_("What happened"), ordering="name")
    def what(self, row: Fact) -> str:
        return words.word(words.FACTS, row.name)

    @admin.display(description=_("When"), ordering="id")
    def when(self, row: Fact) -> SafeString | str:
        return moment(row.at)

    @admin.display(description=_("When"))
    def moment(self, row: Fact) -> str:
        return formats.date_format(timezone.localtime(row.at), "DATETIME_FORMAT")

    @admin.display(description=_("Organization"))
    def whose(self, row: Any) -> SafeString | str:
        return link_to(row.organization)

    @admin.display(description=_("Instance"))
    def which(self, row: Any) -> SafeString | str:
        return link_to(row.instance)

    @admin.display(description=_("Operation"))
    def operation(self, row: Fact) -> SafeString | str:
        operation = found(Operation, row.operation_id)
        return link_to(operation, words.word(words.KINDS, operation.kind)) if operation else NOTHING

    @admin.display(description=_("As stored"))
    def stored(self, row: Fact) -> SafeString:
        text = json.dumps(row.data, ensure_ascii=False, indent=2, sort_keys=True)
        return format_html('<pre class="bo-code">{}</pre>', text)

    @admin.display(description=_("Details"))
    def details(self, row: Fact) -> SafeString | str:
        shown = [pair for name, value in row.data.items() if (pair := _detail(name, value))]
        return format_html_join("", '<span class="bo-datum"><b>{}</b> {}</span>', shown) or NOTHING


# Fields of facts that hold a code, with its words; and the names of the others that are worth a line.
_CODES = {"reason": words.REASONS, "code": words.ERRORS, "kind": words.KINDS}
_FIELDS: words.Words = {
    "reason": _("Because"),
    "code": _("Error"),
    "kind": _("Operation"),
    "detail": "",
    "blueprint": _("Blueprint"),
    "version": _("Version"),
    "ends_at": _("until"),
    "keep_until": _("kept until"),
    "days_before": _("days before"),
}


def _detail(name: str, value: Any) -> tuple[object, object] | None:
    """One field of a fact as label and text; None for what is shown elsewhere or says nothing."""
    if name == "seconds":
        return _("in"), duration(timedelta(seconds=value))
    if name == "from_standby":
        return ("", _("from the warm pool")) if value else None
    if name not in _FIELDS or value in ("", None):
        return None
    if name in _CODES:
        value = words.word(_CODES[name], value)
    elif name.endswith(("_at", "_until")):
        value = moment(datetime.fromisoformat(value))
    return _FIELDS[name], value


def with_subjects(facts: list[Any]) -> None:
    """Sets `organization` and `instance` on facts, which know them by key only."""
    organizations = _by_key(Organization.objects.all(), {fact.organization_id for fact in facts})
    instances = _by_key(lean(Instance.objects.all()), {fact.instance_id for fact in facts})
    for fact in facts:
        fact.organization = organizations.get(fact.organization_id)
        fact.instance = instances.get(fact.instance_id)


def _by_key(rows: QuerySet[Any], keys: set[UUID | None]) -> dict[UUID | None, Model]:
    wanted = {key for key in keys if key}
    return {row.pk: row for row in rows.filter(pk__in=wanted)} if wanted else {}


# --- the queue ----------------------------------------------------------------------------------------------

admin.site.unregister(ProcrastinateJob)
# The library speaks to developers.
ProcrastinateJob._meta.verbose_name = _("background job")
ProcrastinateJob._meta.verbose_name_plural = _("background jobs")


class EventLines(Lines):
    """What became of a job, attempt by attempt."""

    model = ProcrastinateEvent
    verbose_name_plural = _("Course")
    fields = ["event", "when"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).order_by("at")

    @admin.display(description=_("What happened"))
    def event(self, row: Any) -> str:
        return words.word(words.JOB_EVENTS, row.type)

    @admin.display(description=_("When"))
    def when(self, row: Any) -> SafeString | str:
        return moment(row.at)


@admin.register(ProcrastinateJob)
class JobPage(Record):
    when_empty = _("No work in the background is known.")
    list_display = ["task", "state", "line", "tries", "scheduled", "arguments"]
    list_filter = [
        by_code("status", _("state"), words.JOB_STATES.items),
        by_code("task_name", _("task"), lambda: [(name, name) for name in sorted(queue.tasks)]),
    ]
    search_fields = ["task_name", "args"]
    search_help_text = _("Task or argument")
    ordering = ["-id"]
    inlines = [EventLines]
    fields = [("task", "state"), ("line", "tries"), ("scheduled", "rank"), "arguments", ("locks", "identifier")]
    readonly_fields = ["task", "state", "line", "tries", "scheduled", "rank", "arguments", "locks", "identifier"]

    @admin.display(description=_("Task"), ordering="task_name")
    def task(self, row: Any) -> str:
        return str(row.task_name)

    @admin.display(description=_("Queue"), ordering="queue_name")
    def line(self, row: Any) -> str:
        return str(row.queue_name)

    @admin.display(description=_("Attempts"), ordering="attempts")
    def tries(self, row: Any) -> str:
        return str(row.attempts)

    @admin.display(description=_("Priority"))
    def rank(self, row: Any) -> str:
        return str(row.priority)

    @admin.display(description=_("Locks"))
    def locks(self, row: Any) -> SafeString | str:
        return format_html_join(" ", "{}", [(code(lock),) for lock in (row.lock, row.queueing_lock) if lock]) or NOTHING

    @admin.display(description=_("State"), ordering="status")
    def state(self, row: Any) -> SafeString:
        return badge(row.status, words.word(words.JOB_STATES, row.status))

    @admin.display(description=_("Scheduled for"), ordering="scheduled_at")
    def scheduled(self, row: Any) -> SafeString | str:
        return moment(row.scheduled_at)

    @admin.display(description=_("Arguments"))
    def arguments(self, row: Any) -> SafeString:
        return code(json.dumps(row.args, ensure_ascii=False))
