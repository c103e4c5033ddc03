from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from parcelle.core.crypto import EncryptedJSONField
from parcelle.domain.billing.gateway_names import name_of


class GatewaySettings(models.Model):
    """Whether a way to pay is offered, and the values an operator gave for it."""

    name = models.CharField(_("method"), max_length=30, unique=True)
    enabled = models.BooleanField(_("offered"), default=False)
    # Sandbox and production are other accounts with other keys, never one with a switch.
    production = models.BooleanField(_("real money"), default=False)
    values = EncryptedJSONField(default=dict)
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    class Meta:
        ordering = ["position", "name"]
        verbose_name = _("payment method")
        verbose_name_plural = _("payment methods")

    def __str__(self) -> str:
        return name_of(self.name)


class FakeCharge(models.Model):
    """The books of the test payment service: what it was asked for, and what a person clicked."""

    OPEN, APPROVED, DECLINED, CANCELLED = "open", "approved", "declined", "cancelled"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    key = models.UUIDField(unique=True)
    payment_id = models.UUIDField()
    description = models.CharField(max_length=300)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    return_url = models.CharField(max_length=500)
    cancel_url = models.CharField(max_length=500)
    webhook_url = models.CharField(max_length=500)
    state = models.CharField(max_length=10, default=OPEN)
    code = models.CharField(max_length=40, blank=True)
    # An approval may count from later on only, as with a bank that takes its time.
    counts_from = models.DateTimeField(null=True)
    refunded_minor = models.BigIntegerField(default=0)
    # Idempotency key of a refund -> its amount
    refunds = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"{self.description} {self.state}"
