"""Subscriptions and the reminders of their trials."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from parcelle.domain.billing import states
from parcelle.domain.billing.models import Subscription, TrialReminder
from parcelle.domain.provisioning.models import Instance
from parcelle.domain.tenancy.models import Membership
from parcelle.surfaces.backoffice.base import Lines, Record, lean
from parcelle.surfaces.backoffice.filters import RelatedFilter
from parcelle.surfaces.backoffice.values import NOTHING, badge, days_left, link_to, moment


class TrialEndFilter(admin.SimpleListFilter):
    title = _("trial ends")
    parameter_name = "trial_ends"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("day", _("Within a day")), ("week", _("Within seven days")), ("over", _("Is over"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Subscription]) -> QuerySet[Subscription]:
        now = timezone.now()
        if self.value() == "over":
            return queryset.filter(trial_ends_at__lte=now)
        reach = {"day": timedelta(days=1), "week": timedelta(days=7)}.get(self.value() or "")
        if reach is None:
            return queryset
        return queryset.filter(state=states.TRIALING, trial_ends_at__gt=now, trial_ends_at__lte=now + reach)


class PlanFilter(RelatedFilter):
    related = ["product"]


class ReminderLines(Lines):
    """The reminders of a trial's end, and whether each was sent."""

    model = TrialReminder
    verbose_name_plural = _("Reminders of the trial’s end")
    fields = ["days_before", "moment", "sent"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).order_by("-days_before")

    @admin.display(description=_("Dealt with"))
    def moment(self, row: TrialReminder) -> SafeString | str:
        return moment(row.at)


class SubscriptionColumns:
    """How a subscription is shown, in its own list and inside other pages."""

    @admin.display(description=_("Trial ends"), ordering="trial_ends_at")
    def trial_end(self, row: Subscription) -> SafeString | str:
        if row.trial_ends_at is None:
            return NOTHING
        if row.state != states.TRIALING:
            return moment(row.trial_ends_at)
        left = days_left(row.trial_ends_at, timezone.now())
        return format_html('{} <span class="bo-soft">({})</span>', moment(row.trial_ends_at), left)

    @admin.display(description=_("Created"), ordering="created_at")
    def created(self, row: Subscription) -> SafeString | str:
        return moment(row.created_at)


@admin.register(Subscription)
class SubscriptionPage(SubscriptionColumns, Record):
    list_display = ["organization", "state_badge", "plan", "trial_end", "created"]
    list_filter = ["state", TrialEndFilter, ("plan", PlanFilter), "created_at"]
    list_select_related = ["organization", "plan__product"]
    search_fields = ["organization__name", "organization__slug"]
    search_help_text = _("Organization, member’s e-mail or identifier")
    id_fields = ["organization_id"]
    ordering = ["-created_at"]
    inlines = [ReminderLines]
    fields = [
        ("customer", "plan"),
        ("state_badge", "trial_end"),
        "pays_for",
        ("created_at", "suspended_at"),
        ("ended_at", "identifier"),
    ]
    readonly_fields = ["customer", "state_badge", "trial_end", "pays_for", "identifier"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Subscription]:
        return super().get_queryset(request).select_related("organization", "plan__product")

    def found_elsewhere(self, term: str) -> Q:
        members = Membership.objects.filter(user__email__icontains=term)
        return Q(organization_id__in=members.values("organization_id"))

    @admin.display(description=_("Organization"), ordering="organization__name")
    def customer(self, row: Subscription) -> SafeString | str:
        return link_to(row.organization)

    @admin.display(description=_("Instances"))
    def pays_for(self, row: Subscription) -> SafeString | str:
        found = lean(Instance.objects.all()).filter(subscription_id=row.pk).order_by("created_at")
        pairs = [(link_to(instance), badge(instance.state, instance.get_state_display())) for instance in found]
        return format_html_join(" ", '<span class="bo-pair">{} {}</span>', pairs) or NOTHING


class SubscriptionLines(SubscriptionColumns, Lines):
    """The subscriptions of an organization."""

    model = Subscription
    verbose_name_plural = _("Subscriptions")
    fields = ["subscribed", "state_badge", "trial_end", "created"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("plan__product").order_by("-created_at")

    @admin.display(description=_("Plan"))
    def subscribed(self, row: Subscription) -> SafeString | str:
        return link_to(row, str(row.plan))
