"""Templates, instances and their operations."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.enums import ActionVariant

from parcelle.core.models import Fact
from parcelle.domain.billing.models import Subscription
from parcelle.domain.catalog import blueprints
from parcelle.domain.provisioning import states
from parcelle.domain.provisioning.models import Instance, Operation, PortLease, Step, Template
from parcelle.domain.tenancy.models import Organization
from parcelle.surfaces.backoffice import verbs, words
from parcelle.surfaces.backoffice.base import Lines, LinesWithActors, PageMixin, Record, WithActors, counted, lean
from parcelle.surfaces.backoffice.changes import Changing
from parcelle.surfaces.backoffice.filters import RelatedFilter, by_code
from parcelle.surfaces.backoffice.values import NOTHING, code, duration, link_to, list_of, moment, original


def _same(names: Iterable[str]) -> list[tuple[str, str]]:
    """Names as choices that read like themselves."""
    return [(name, name) for name in names]


# --- operations and their steps -----------------------------------------------------------------------------


def _bar(begin: datetime, end: datetime, step: Step, now: datetime) -> SafeString:
    """When the step ran within its operation, and how long it took."""
    if step.started_at is None:
        return SafeString(NOTHING)
    whole = max((end - begin).total_seconds(), 0.001)
    until = step.finished_at or (now if step.state == states.RUNNING else step.started_at)
    left = min(99.0, max(0.0, 100 * (step.started_at - begin).total_seconds() / whole))
    width = min(100 - left, max(1.0, 100 * (until - step.started_at).total_seconds() / whole))
    return format_html(
        '<span class="bo-took"><span class="bo-bar bo-{}" aria-hidden="true">'
        '<span style="margin-left:{}%;width:{}%"></span></span><span class="bo-numbers">{}</span></span>',
        words.COLOURS.get(step.state, "neutral"),
        f"{left:.2f}",
        f"{width:.2f}",
        duration(until - step.started_at),
    )


class StepLines(Lines):
    model = Step
    per_page = None
    verbose_name_plural = _("Steps")
    fields = ["what", "state_badge", "attempt", "began", "took", "remarks"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("operation")

    @admin.display(description=_("Step"))
    def what(self, row: Step) -> str:
        return words.word(words.STEPS, row.name)

    @admin.display(description=_("Began"))
    def began(self, row: Step) -> SafeString | str:
        if row.started_at is None:
            return NOTHING
        return format_html(
            '<time class="bo-numbers" datetime="{}">{}</time>',
            row.started_at.isoformat(),
            timezone.localtime(row.started_at).strftime("%H:%M:%S"),
        )

    @admin.display(description=_("Duration"))
    def took(self, row: Step) -> SafeString:
        now = timezone.now()
        operation = row.operation
        return _bar(operation.started_at or operation.created_at, operation.finished_at or now, row, now)

    @admin.display(description=_("Remarks"))
    def remarks(self, row: Step) -> SafeString | str:
        shown = original(row.error)
        if row.note:
            shown += format_html('<span class="bo-remark">{}</span>', words.word(words.STEPS, row.note))
        if row.output:
            shown += format_html(
                '<details class="bo-output"><summary>{}</summary><pre>{}</pre></details>', _("Output"), row.output
            )
        return shown or NOTHING


class OperationColumns:
    """How an operation is shown, in its own list and inside other pages."""

    @admin.display(description=_("Operation"), ordering="kind")
    def kind_word(self, row: Operation) -> str:
        return words.word(words.KINDS, row.kind)

    @admin.display(description=_("Duration"))
    def took(self, row: Operation) -> str:
        return operation_took(row)

    @admin.display(description=_("Created"), ordering="created_at")
    def created(self, row: Operation) -> SafeString | str:
        return moment(row.created_at)

    @admin.display(description=_("Error"), ordering="error_code")
    def error(self, row: Operation) -> str:
        return words.word(words.ERRORS, row.error_code) if row.error_code else NOTHING


def operation_took(row: Operation) -> str:
    """From being asked for until its end, or until now while it runs."""
    if row.finished_at is None and row.state not in states.UNFINISHED:
        return NOTHING
    return duration((row.finished_at or timezone.now()) - row.created_at)


class Following(PageMixin):
    """For pages of rows that change while somebody looks: they are looked at again until it is over."""

    change_form_before_template = "backoffice/following.html"

    def is_unfinished(self, row: Any) -> bool:
        raise NotImplementedError

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.find(object_id)  # type: ignore[attr-defined]
        context = {"follow": row is not None and self.is_unfinished(row), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)


@admin.register(Operation)
class OperationPage(Following, Changing, OperationColumns, WithActors, Record):
    verbs = [verbs.RETRY_OPERATION]
    confirmation_columns = (_("Operation"), _("Instance"))
    when_empty = _("Creating, suspending or archiving an instance is an operation; its steps are shown here.")
    list_display = ["kind_word", "state_badge", "subject", "created", "took", "asked_by", "error"]
    list_display_links = ["kind_word"]
    list_filter = [
        "state",
        by_code("kind", _("operation"), words.KINDS.items),
        by_code("error_code", _("error"), words.ERRORS.items),
        "created_at",
    ]
    search_fields = ["error_detail"]
    search_help_text = _("Instance, organization, blueprint, error or identifier")
    id_fields = ["instance_id", "template_id"]
    ordering = ["-created_at"]
    inlines = [StepLines]
    actions_detail = ["retry_one"]
    fieldsets = [
        (None, {"fields": [("kind_word", "state_badge"), ("subject", "took"), "failure"]}),
        (
            _("Record"),
            {
                "classes": ["collapse"],
                "fields": [
                    ("asked_by", "worker"),
                    ("created_at", "started_at"),
                    ("finished_at", "deadline_at"),
                    "identifier",
                ],
            },
        ),
    ]
    readonly_fields = ["kind_word", "subject", "state_badge", "took", "failure", "asked_by", "identifier"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Operation]:
        return lean(super().get_queryset(request), "instance", "template", "template__target", "finding")

    def found_elsewhere(self, term: str) -> Q:
        customers = Organization.objects.filter(name__icontains=term)
        instances = Instance.objects.filter(Q(slug__icontains=term) | Q(organization_id__in=customers.values("pk")))
        templates = Template.objects.filter(blueprint__icontains=term)
        return Q(instance_id__in=instances.values("pk")) | Q(template_id__in=templates.values("pk"))

    @admin.display(description=_("Of"), ordering="instance__slug")
    def subject(self, row: Operation) -> SafeString | str:
        return link_to(row.instance or row.template or row.finding)

    @admin.display(description=_("Error"))
    def failure(self, row: Operation) -> SafeString | str:
        if not row.error_code:
            return NOTHING
        return format_html(
            '<strong class="bo-error">{}</strong>{}',
            words.word(words.ERRORS, row.error_code),
            original(row.error_detail),
        )

    def is_unfinished(self, row: Operation) -> bool:
        return row.state in states.UNFINISHED

    def called(self, row: Operation) -> str:
        return words.word(words.KINDS, row.kind)

    def describe(self, row: Operation) -> object:
        return self.subject(row)

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        row = self.find(object_id)
        retriable = row is not None and row.state == states.FAILED and (row.instance_id or row.finding_id)
        shown = retriable and self.has_operate_permission(request)
        return list(super().get_actions_detail(request, object_id)) if shown else []  # type: ignore[misc]

    @action(description=_("Try again"), url_path="retry", icon="replay", variant=ActionVariant.PRIMARY)
    def retry_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, verbs.RETRY_OPERATION)


class OperationLines(OperationColumns, Lines):
    """The operations of an instance or a template."""

    model = Operation
    verbose_name_plural = _("Operations")
    fields = ["operation", "state_badge", "created", "took", "asked_by", "error"]

    formset = LinesWithActors

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).order_by("-created_at")

    @admin.display(description=_("Operation"))
    def operation(self, row: Operation) -> SafeString | str:
        return link_to(row, words.word(words.KINDS, row.kind))

    @admin.display(description=_("Asked by"))
    def asked_by(self, row: Any) -> str:
        return str(row.actor_name)


# --- templates ----------------------------------------------------------------------------------------------


@admin.register(Template)
class TemplatePage(Record):
    when_empty = _(
        "A template is built when the first instance of a product is asked for; those that follow are copies of it."
    )
    list_display = ["blueprint", "version", "target", "state_badge", "clones", "created"]
    list_filter = [
        "state",
        by_code("blueprint", _("blueprint"), lambda: _same(blueprints.names())),
        ("target", RelatedFilter),
    ]
    search_fields = ["blueprint", "version"]
    ordering = ["-created_at"]
    fields = [("blueprint", "version"), ("target", "state_badge"), ("created_at", "identifier")]
    readonly_fields = ["state_badge", "identifier"]
    inlines = [OperationLines]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Template]:
        return lean(super().get_queryset(request), "target")

    def complete(self, rows: list[Any]) -> None:
        numbers = counted(Instance.objects.filter(template__in=rows).exclude(state=states.ARCHIVED), "template_id")
        for row in rows:
            row.number = numbers.get(row.pk, 0)

    @admin.display(description=_("Instances"))
    def clones(self, row: Any) -> SafeString:
        page = list_of(Instance, f"template__id__exact={row.pk}&of=all")
        return format_html('<a class="bo-link bo-numbers" href="{}">{}</a>', page, row.number)

    @admin.display(description=_("Created"), ordering="created_at")
    def created(self, row: Template) -> SafeString | str:
        return moment(row.created_at)


# --- instances ----------------------------------------------------------------------------------------------


class BelongingFilter(admin.SimpleListFilter):
    """Customers' instances unless asked otherwise: the pool's come and go by the dozen."""

    title = _("belonging")
    parameter_name = "of"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("pool", _("The warm pool")), ("all", _("All"))]

    def choices(self, changelist: Any) -> Any:
        yield {
            "selected": self.value() not in ("pool", "all"),
            "query_string": changelist.get_query_string(remove=[self.parameter_name]),
            "display": _("Customers"),
        }
        for value, title in self.lookup_choices:
            yield {
                "selected": self.value() == str(value),
                "query_string": changelist.get_query_string({self.parameter_name: value}),
                "display": title,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Instance]) -> QuerySet[Instance]:
        if self.value() == "all":
            return queryset
        return queryset.filter(organization__isnull=self.value() == "pool")


class TemplateFilter(RelatedFilter):
    related = ["target"]


@admin.register(Instance)
class InstancePage(Following, Changing, Record):
    verbs = [verbs.RETRY_INSTANCE, verbs.SUSPEND, verbs.RESUME, verbs.ARCHIVE]
    confirmation_columns = (_("Instance"), _("Organization"))
    when_empty = _("No customer has an instance yet. Those of the warm pool are under “Filters”.")
    list_display = ["name", "state_badge", "customer", "product", "address", "created", "live"]
    list_filter = [
        BelongingFilter,
        "state",
        "product",
        ("target", RelatedFilter),
        ("template", TemplateFilter),
        "from_standby",
        by_code("reason", _("because"), words.REASONS.items),
        "created_at",
    ]
    search_fields = ["slug", "url", "owner__email"]
    search_help_text = _("Name, organization, address, e-mail or identifier")
    id_fields = ["ref", "organization_id", "subscription_id"]
    ordering = ["-created_at"]
    inlines = [OperationLines]
    actions_detail = ["retry_one", "suspend_one", "resume_one", "archive_one"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("name", "state_badge"),
                    ("customer", "because"),
                    ("address", "subscription"),
                    ("product", "facts"),
                ]
            },
        ),
        (
            _("Personalised for"),
            {"fields": [("owner_company", "owner_name"), ("owner_email", "owner_language")]},
        ),
        (
            _("Record"),
            {
                "classes": ["collapse"],
                "fields": [
                    ("target", "template"),
                    ("ports", "from_standby"),
                    ("created_at", "live_at"),
                    ("archived_at", "reference"),
                    "identifier",
                ],
            },
        ),
    ]
    readonly_fields = [
        "name",
        "customer",
        "state_badge",
        "because",
        "address",
        "subscription",
        "owner_company",
        "owner_name",
        "owner_email",
        "owner_language",
        "ports",
        "identifier",
        "reference",
        "facts",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Instance]:
        return lean(super().get_queryset(request), "organization", "product", "target", "template", "template__target")

    def found_elsewhere(self, term: str) -> Q:
        customers = Organization.objects.filter(Q(name__icontains=term) | Q(slug__icontains=term))
        return Q(organization_id__in=customers.values("pk"))

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return lookup == "subscription_id" or super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]

    @admin.display(description=_("Instance"), ordering="slug")
    def name(self, row: Instance) -> str:
        return str(row)

    @admin.display(description=_("Organization"), ordering="organization__name")
    def customer(self, row: Instance) -> SafeString | str:
        return link_to(row.organization)

    @admin.display(description=_("Because"))
    def because(self, row: Instance) -> str:
        return words.word(words.REASONS, row.reason) if row.reason else NOTHING

    @admin.display(description=_("Address"), ordering="url")
    def address(self, row: Instance) -> SafeString | str:
        if not row.url or row.state not in {states.LIVE, states.SLEEPING, states.SUSPENDED}:
            return NOTHING
        return format_html(
            '<a class="bo-link" href="{}" target="_blank" rel="noopener noreferrer">{}</a>', row.url, _short(row.url)
        )

    @admin.display(description=_("Created"), ordering="created_at")
    def created(self, row: Instance) -> SafeString | str:
        return moment(row.created_at)

    @admin.display(description=_("Live since"), ordering="live_at")
    def live(self, row: Instance) -> SafeString | str:
        return moment(row.live_at)

    @admin.display(description=_("Subscription"))
    def subscription(self, row: Instance) -> SafeString | str:
        rows = Subscription.objects.select_related("plan__product", "organization")
        return link_to(rows.filter(pk=row.subscription_id).first() if row.subscription_id else None)

    @admin.display(description=_("Company"))
    def owner_company(self, row: Instance) -> str:
        return row.owner.get("company") or NOTHING

    @admin.display(description=_("Person"))
    def owner_name(self, row: Instance) -> str:
        return f"{row.owner.get('first_name', '')} {row.owner.get('last_name', '')}".strip() or NOTHING

    @admin.display(description=_("E-mail"))
    def owner_email(self, row: Instance) -> str:
        return row.owner.get("email") or NOTHING

    @admin.display(description=_("Language"))
    def owner_language(self, row: Instance) -> str:
        return words.word(words.LANGUAGES, row.owner.get("language") or NOTHING)

    @admin.display(description=_("Ports"))
    def ports(self, row: Instance) -> str:
        leases = PortLease.objects.filter(ref=row.ref).order_by("purpose")
        return ", ".join(f"{lease.port} ({lease.purpose})" for lease in leases) or NOTHING

    @admin.display(description=_("Facts"))
    def facts(self, row: Instance) -> SafeString:
        return format_html(
            '<a class="bo-link" href="{}">{}</a>', list_of(Fact, f"q={row.pk}"), _("What happened to it")
        )

    @admin.display(description=_("Reference at the target"))
    def reference(self, row: Instance) -> SafeString:
        return code(row.ref)

    def is_unfinished(self, row: Instance) -> bool:
        return row.operations.filter(state__in=states.UNFINISHED).exists()

    def describe(self, row: Instance) -> object:
        return self.customer(row)

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        row = self.find(object_id)
        if row is None or not self.has_operate_permission(request):
            return []
        newest = row.operations.exclude(kind="prepare_standby").order_by("-created_at").first()
        offered = {f"{kind}_one" for kind in states.CHANGES if states.may_change(row.state, kind)}
        if newest is not None and newest.state == states.FAILED and row.organization_id is not None:
            offered.add("retry_one")
        prefix = f"{self.opts.app_label}_{self.opts.model_name}_"
        shown = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [action for action in shown if action.action_name.removeprefix(prefix) in offered]

    @action(description=_("Try again"), url_path="retry", icon="replay", variant=ActionVariant.PRIMARY)
    def retry_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, verbs.RETRY_INSTANCE)

    @action(description=_("Suspend"), url_path="suspend", icon="pause_circle")
    def suspend_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, verbs.SUSPEND)

    @action(description=_("Resume"), url_path="resume", icon="play_circle", variant=ActionVariant.PRIMARY)
    def resume_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, verbs.RESUME)

    @action(description=_("Archive"), url_path="archive", icon="archive", variant=ActionVariant.DANGER)
    def archive_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, verbs.ARCHIVE)


def _short(url: str) -> str:
    return url.removeprefix("https://").removeprefix("http://").rstrip("/")


class InstanceLines(Lines):
    """The instances of an organization."""

    model = Instance
    verbose_name_plural = _("Instances")
    fields = ["name", "state_badge", "sold_as", "address", "created"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("product").order_by("-created_at")

    @admin.display(description=_("Instance"))
    def name(self, row: Instance) -> SafeString | str:
        return link_to(row)

    @admin.display(description=_("Product"))
    def sold_as(self, row: Instance) -> str:
        return str(row.product)

    @admin.display(description=_("Address"))
    def address(self, row: Instance) -> SafeString | str:
        if not row.url or row.state not in {states.LIVE, states.SLEEPING, states.SUSPENDED}:
            return NOTHING
        return format_html('<a class="bo-link" href="{}" rel="noopener noreferrer">{}</a>', row.url, _short(row.url))

    @admin.display(description=_("Created"))
    def created(self, row: Instance) -> SafeString | str:
        return moment(row.created_at)
