from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from parcelle.domain.billing.models.subscriptions import Subscription
from parcelle.domain.catalog.models import Price


class PriceChange(models.Model):
    """That customers of one price go over to another for every period that begins from `effective_at` on."""

    old = models.OneToOneField(Price, on_delete=models.PROTECT, related_name="leaves", verbose_name=_("old price"))
    new = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="+", verbose_name=_("new price"))
    actor = models.CharField(_("decided by"), max_length=80)
    announced_at = models.DateTimeField(_("announced"))
    effective_at = models.DateTimeField(_("counts from"))

    class Meta:
        verbose_name = _("change of a price")
        verbose_name_plural = _("changes of prices")
        ordering = ["-announced_at"]

    def __str__(self) -> str:
        return f"{self.old} → {self.new}"


class PriceNotice(models.Model):
    """That a customer was told of a change of their price."""

    change = models.ForeignKey(PriceChange, on_delete=models.CASCADE, related_name="notices")
    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="price_notices")
    at = models.DateTimeField(_("at"))

    class Meta:
        verbose_name = _("notice of a change of price")
        verbose_name_plural = _("notices of changes of prices")
        constraints = [models.UniqueConstraint(fields=["change", "subscription"], name="each_price_notice_once")]

    def __str__(self) -> str:
        return f"{self.change_id} {self.subscription_id}"
