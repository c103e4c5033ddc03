"""Subscriptions and the reminders of their trials."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.enums import ActionVariant

from parcelle.domain.billing import baskets, revenue, states
from parcelle.domain.billing.models import RevenueMovement, Subscription, TrialReminder
from parcelle.domain.catalog import blueprints
from parcelle.domain.catalog.models import Price
from parcelle.domain.provisioning.models import Instance
from parcelle.domain.tenancy.models import Membership
from parcelle.surfaces.backoffice import subscription_verbs
from parcelle.surfaces.backoffice.base import Lines, lean
from parcelle.surfaces.backoffice.changes import ChangingAsForeseen
from parcelle.surfaces.backoffice.filters import RelatedFilter
from parcelle.surfaces.backoffice.ledger import written
from parcelle.surfaces.backoffice.values import NOTHING, badge, days_left, link_to, list_of, moment


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


class ProblemFilter(admin.SimpleListFilter):
    title = _("problem")
    parameter_name = "problem"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Could not be dealt with"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Subscription]) -> QuerySet[Subscription]:
        return queryset.exclude(problem="") if self.value() == "yes" else queryset


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

    @admin.display(description=_("Paid until"), ordering="period_end")
    def paid_until(self, row: Subscription) -> SafeString | str:
        return moment(row.period_end) if row.period_end else NOTHING

    @admin.display(description=_("Created"), ordering="created_at")
    def created(self, row: Subscription) -> SafeString | str:
        return moment(row.created_at)


@admin.register(Subscription)
class SubscriptionPage(SubscriptionColumns, ChangingAsForeseen):
    verbs = [
        subscription_verbs.TRY_AGAIN,
        subscription_verbs.ADD_ONS,
        subscription_verbs.CANCEL,
        subscription_verbs.CANCEL_NOW,
    ]
    confirmation_columns = (_("Subscription"), _("Plan"))
    when_empty = _("A subscription begins with a trial or with an order that is paid.")
    list_display = ["organization", "state_badge", "plan", "paid_until", "trial_end", "created"]
    list_filter = ["state", ProblemFilter, TrialEndFilter, ("plan", PlanFilter), "created_at"]
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
        "trouble",
        ("costs", "paid_until"),
        ("beside", "beside_then"),
        "restricted",
        ("renewal_at", "follows"),
        ("leaves", "cancel_reason"),
        ("created_at", "suspended_at"),
        ("ended_at", "identifier"),
    ]
    readonly_fields = [
        *("customer", "state_badge", "trial_end", "pays_for", "identifier"),
        *("beside", "beside_then", "restricted"),
        *("trouble", "costs", "paid_until", "renewal_at", "follows", "leaves"),
    ]
    actions_list = ["recurring"]
    actions_detail = ["again_one", "add_ons_one", "cancel_one", "cancel_now_one"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Subscription]:
        prices = ("price__plan", "next_price__plan")
        return super().get_queryset(request).select_related("organization", "plan__product", *prices)

    def found_elsewhere(self, term: str) -> Q:
        members = Membership.objects.filter(user__email__icontains=term)
        return Q(organization_id__in=members.values("organization_id"))

    @admin.display(description=_("Organization"), ordering="organization__name")
    def customer(self, row: Subscription) -> SafeString | str:
        return link_to(row.organization)

    @admin.display(description=_("Problem"))
    def trouble(self, row: Subscription) -> SafeString | str:
        """Why the night could not deal with it; it is tried again at every run."""
        return format_html('<span class="bo-problem">{}</span>', row.problem) if row.problem else NOTHING

    @admin.display(description=_("Price"))
    def costs(self, row: Subscription) -> SafeString | str:
        return _price(row.price)

    @admin.display(description=_("Next period asked for"))
    def renewal_at(self, row: Subscription) -> SafeString | str:
        return moment(row.renews_at) if row.renews_at else NOTHING

    @admin.display(description=_("Price from the next period on"))
    def follows(self, row: Subscription) -> SafeString | str:
        return _price(row.next_price)

    @admin.display(description=_("Add-ons"))
    def beside(self, row: Subscription) -> SafeString | str:
        return _add_ons(baskets.read(row.extras))

    @admin.display(description=_("Add-ons from the next period on"))
    def beside_then(self, row: Subscription) -> SafeString | str:
        if row.next_extras is None:
            return NOTHING
        return _add_ons(baskets.next_extras(row)) if row.next_extras else gettext("None")

    @admin.display(description=_("Read-only"))
    def restricted(self, row: Subscription) -> SafeString | str:
        """Since when, and that nothing comes of it where the blueprint knows no way."""
        if row.read_only_at is None:
            return NOTHING
        try:
            possible = blueprints.load(row.plan.product.blueprint).read_only is not None
        except blueprints.BlueprintError:
            possible = False
        if possible:
            return moment(row.read_only_at)
        return format_html("{} · {}", moment(row.read_only_at), gettext("passed over: the blueprint says no way to it"))

    @admin.display(description=_("Cancelled as of"))
    def leaves(self, row: Subscription) -> SafeString | str:
        return moment(row.cancel_at) if row.cancel_at else NOTHING

    def describe(self, row: Subscription) -> object:
        return str(row.plan)

    @action(description=_("Try again now"), url_path="again", icon="replay", variant=ActionVariant.PRIMARY)
    def again_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, subscription_verbs.TRY_AGAIN)

    @action(description=_("Change add-ons"), url_path="add-ons", icon="add_shopping_cart")
    def add_ons_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, subscription_verbs.ADD_ONS)

    @action(description=_("Cancel at period end"), url_path="cancel", icon="event_busy")
    def cancel_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, subscription_verbs.CANCEL)

    @action(description=_("Cancel immediately"), url_path="cancel-now", icon="block", variant=ActionVariant.DANGER)
    def cancel_now_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, subscription_verbs.CANCEL_NOW)

    @action(description=_("Recurring revenue"), url_path="recurring-revenue", icon="trending_up")
    def recurring(self, request: HttpRequest) -> HttpResponse:
        """What active subscriptions bring in each month, and how that came to be."""
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Recurring revenue"),
            "opts": self.opts,
            "kinds": [label for _kind, label in RevenueMovement.KINDS],
            "currencies": [
                (currency, [_month(month) for month in months])
                for currency, months in revenue.by_month(timezone.now()).items()
            ],
            "subscriptions": list_of(Subscription),
        }
        return TemplateResponse(request, "backoffice/revenue.html", context)

    @admin.display(description=_("Instances"))
    def pays_for(self, row: Subscription) -> SafeString | str:
        found = lean(Instance.objects.all()).filter(subscription_id=row.pk).order_by("created_at")
        pairs = [(link_to(instance), badge(instance.state, instance.get_state_display())) for instance in found]
        return format_html_join(" ", '<span class="bo-pair">{} {}</span>', pairs) or NOTHING


def _month(month: revenue.Month) -> tuple[object, list[SafeString | str], SafeString]:
    """Its first day, what changed in the order of the kinds, and what came in at its end."""
    changes = [month.changes.get(kind) for kind, _label in RevenueMovement.KINDS]
    return month.first, [written(amount) if amount else NOTHING for amount in changes], written(month.at_end)


def _price(price: Price | None) -> SafeString | str:
    if price is None:
        return NOTHING
    return format_html("{} · {} / {}", price.plan.name, written(price.amount), price.get_interval_display())


def _add_ons(extras: baskets.Extras) -> SafeString | str:
    """`2 × …, 20 €` in a line each."""
    lines = [(extra.quantity, extra.price.add_on.name, written(extra.amount)) for extra in extras]
    return format_html_join(mark_safe("<br>"), "{} × {} · {}", lines) or NOTHING


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
