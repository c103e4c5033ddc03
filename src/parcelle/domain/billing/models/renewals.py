from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from parcelle.domain.billing.models.orders import Order
from parcelle.domain.billing.models.subscriptions import Subscription


class DunningStep(models.Model):
    """That one message about a renewal was due and dealt with: sent, or passed over because a later one was due too."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="dunning_steps", verbose_name=_("order"))
    # Before the day it is due when negative.
    days = models.SmallIntegerField(_("days after it was due"))
    at = models.DateTimeField(_("at"))
    sent = models.BooleanField(_("sent"))

    class Meta:
        verbose_name = _("reminder of a renewal")
        verbose_name_plural = _("reminders of renewals")
        constraints = [models.UniqueConstraint(fields=["order", "days"], name="each_dunning_step_once")]

    def __str__(self) -> str:
        return f"{self.order_id} {self.days:+d}"


class RevenueMovement(models.Model):
    """A change of what a subscription brings in each month. The sum of all of them is the monthly recurring revenue."""

    NEW, EXPANSION, CONTRACTION, CHURN, REACTIVATION = "new", "expansion", "contraction", "churn", "reactivation"
    KINDS = [
        (NEW, _("New")),
        (EXPANSION, _("Expansion")),
        (CONTRACTION, _("Contraction")),
        (CHURN, _("Churn")),
        (REACTIVATION, _("Reactivation")),
    ]

    subscription = models.ForeignKey(
        Subscription, on_delete=models.PROTECT, related_name="revenue_movements", verbose_name=_("subscription")
    )
    kind = models.CharField(_("kind"), max_length=12, choices=KINDS)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(_("currency"), max_length=3)
    at = models.DateTimeField(_("at"))

    class Meta:
        verbose_name = _("change of recurring revenue")
        verbose_name_plural = _("changes of recurring revenue")
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["currency", "at"], name="revenue_over_time")]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount_minor} {self.currency}"
