from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from parcelle.domain.billing import states
from parcelle.domain.catalog.models import Plan, Price
from parcelle.domain.tenancy.models import Organization


class Subscription(models.Model):
    """An organization's right to a plan over time."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="subscriptions", verbose_name=_("organization")
    )
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="subscriptions", verbose_name=_("plan"))
    state = models.CharField(_("state"), max_length=12, choices=states.CHOICES, default=states.TRIALING)
    created_at = models.DateTimeField(_("created"))
    # What is paid for, and until when; a trial has none of it.
    price = models.ForeignKey(
        Price, on_delete=models.PROTECT, null=True, blank=True, related_name="subscriptions", verbose_name=_("price")
    )
    period_start = models.DateTimeField(_("paid from"), null=True, blank=True)
    period_end = models.DateTimeField(_("paid until"), null=True, blank=True)
    # The day of the month on which periods begin, also in months that are too short for it.
    anchor_day = models.PositiveSmallIntegerField(null=True, blank=True)
    # When its next period is asked for; empty once it was, and for what is not to go on.
    renews_at = models.DateTimeField(_("renewal asked for"), null=True, blank=True)
    # What it goes over to when the paid period ends.
    next_price = models.ForeignKey(
        Price, on_delete=models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("price from then on")
    )
    # What it has beside the plan, and goes over to with the next period; see `baskets`. Null: the same.
    extras = models.JSONField(_("add-ons"), default=list, blank=True)
    next_extras = models.JSONField(_("add-ons from then on"), null=True, blank=True)
    cancel_at = models.DateTimeField(_("cancelled as of"), null=True, blank=True)
    cancel_reason = models.CharField(_("reason"), max_length=500, blank=True)
    trial_ends_at = models.DateTimeField(_("trial ends"), null=True, blank=True)
    suspended_at = models.DateTimeField(_("suspended"), null=True, blank=True)
    suspended_for = models.CharField(_("suspended because"), max_length=10, choices=states.REASONS, blank=True)
    # Since when it can only be read, because it is overdue.
    read_only_at = models.DateTimeField(_("read-only since"), null=True, blank=True)
    # What is paid and not used yet, while it is paused.
    paused_left = models.DurationField(_("left when paused"), null=True, blank=True)
    # What it brings in each month, in the currency of its price; the sum of its movements.
    monthly_minor = models.BigIntegerField(default=0)
    # Why it could not be renewed, until it could.
    problem = models.CharField(_("problem"), max_length=500, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    class Meta:
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")
        indexes = [
            models.Index(fields=["-created_at"], name="subscription_newest"),
            models.Index(fields=["trial_ends_at"], condition=Q(state="trialing"), name="subscription_trials"),
            models.Index(fields=["renews_at"], condition=Q(state="active"), name="subscription_renewals"),
            models.Index(fields=["cancel_at"], condition=Q(cancel_at__isnull=False), name="subscription_cancelled"),
            models.Index(fields=["suspended_at"], condition=Q(state="suspended"), name="subscription_suspended"),
        ]

    def __str__(self) -> str:
        return f"{self.organization} · {self.plan}"


class TrialReminder(models.Model):
    """That one reminder was due and dealt with: sent, or passed over because a later one was due as well."""

    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="trial_reminders")
    days_before = models.PositiveSmallIntegerField(_("days before the end"))
    at = models.DateTimeField(_("at"))
    sent = models.BooleanField(_("sent"))

    class Meta:
        verbose_name = _("trial reminder")
        verbose_name_plural = _("trial reminders")
        constraints = [models.UniqueConstraint(fields=["subscription", "days_before"], name="each_trial_reminder_once")]

    def __str__(self) -> str:
        return f"{self.subscription_id} -{self.days_before}"


class UsageCounter(models.Model):
    """How much of one metric a subscription used in one period, and how much its plan includes; see `usage`."""

    subscription = models.ForeignKey(
        Subscription, on_delete=models.CASCADE, related_name="counters", verbose_name=_("subscription")
    )
    period_start = models.DateTimeField(_("since"))
    metric = models.CharField(_("metric"), max_length=50)
    # As it was sold for this period; null: unlimited.
    limit = models.BigIntegerField(_("limit"), null=True, blank=True)
    used = models.BigIntegerField(_("used"), default=0)
    most = models.BigIntegerField(_("highest"), default=0)
    measured_at = models.DateTimeField(_("measured"), null=True, blank=True)

    class Meta:
        verbose_name = _("usage counter")
        verbose_name_plural = _("usage counters")
        constraints = [
            models.UniqueConstraint(fields=["subscription", "period_start", "metric"], name="one_counter_per_period")
        ]

    def __str__(self) -> str:
        return f"{self.subscription_id} {self.metric}"
