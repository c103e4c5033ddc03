from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Greatest
from django.utils.translation import gettext_lazy as _

from parcelle.core.crypto import EncryptedJSONField
from parcelle.core.money import Money
from parcelle.domain.billing import payment_states
from parcelle.domain.billing.gateway_names import name_of
from parcelle.domain.billing.models.orders import Order


class Payment(models.Model):
    """One attempt to pay an order on one rail.

    What is sent to the payment service is stored before it is sent: `key` is the idempotency key, `details` what
    the rail asked the customer for (a telephone number), `memo` what the gateway wants to remember (a link, a
    session). `provider_id` is the service's own name of the attempt.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.CharField(_("number"), max_length=30, unique=True)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="payments", verbose_name=_("order"))
    gateway = models.CharField(_("method"), max_length=30)
    state = models.CharField(_("state"), max_length=16, choices=payment_states.CHOICES, default=payment_states.CREATED)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(_("currency"), max_length=3)
    key = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    details = EncryptedJSONField(default=dict)
    memo = EncryptedJSONField(default=dict)
    provider_id = models.CharField(_("reference of the payment service"), max_length=200, blank=True)
    # What the service says was received, and what it kept; differs from the amount only when parked.
    received_minor = models.BigIntegerField(null=True, blank=True)
    received_currency = models.CharField(max_length=3, blank=True)
    fee_minor = models.BigIntegerField(null=True, blank=True)
    refunded_minor = models.BigIntegerField(default=0)
    # What a lost dispute or a reversal took and did not come back, and the service's name of the last one.
    charged_back_minor = models.BigIntegerField(default=0)
    dispute = models.CharField(max_length=100, blank=True)
    # What the service keeps for disputes, beside `fee_minor`.
    dispute_fee_minor = models.BigIntegerField(default=0)
    disputed = models.BooleanField(_("contested by the customer"), default=False)
    # Why it was declined or parked: a code with words in both languages, and what the service said for the operator.
    reason = models.CharField(_("reason"), max_length=40, blank=True)
    remark = models.TextField(_("remark"), blank=True)
    created_at = models.DateTimeField(_("created"))
    submitted_at = models.DateTimeField(_("submitted"), null=True, blank=True)
    settled_at = models.DateTimeField(_("settled"), null=True, blank=True)
    # When the service is asked again, and how often it was.
    look_at = models.DateTimeField(null=True, blank=True)
    looks = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["-created_at"], name="payment_newest"),
            models.Index(
                fields=["look_at"], condition=Q(state__in=payment_states.UNSETTLED), name="payment_to_look_at"
            ),
            models.Index(fields=["settled_at"], condition=Q(state=payment_states.DECLINED), name="payment_declined"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["order"], condition=Q(state__in=payment_states.BLOCKING), name="one_open_payment_per_order"
            ),
            models.UniqueConstraint(
                fields=["gateway", "provider_id"], condition=~Q(provider_id=""), name="provider_payment_once"
            ),
            models.CheckConstraint(
                condition=Q(
                    refunded_minor__gte=0,
                    refunded_minor__lte=Greatest(F("amount_minor"), Coalesce(F("received_minor"), 0)),
                ),
                name="refunds_within_the_payment",
            ),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)

    @property
    def received(self) -> Money | None:
        """What came in; None when the service never told."""
        if self.received_minor is None or not self.received_currency:
            return None
        return Money(self.received_minor, self.received_currency)

    @property
    def held(self) -> Money | None:
        """What is left of what came in, whoever it belongs to; None when the service never told."""
        received = self.received
        return received - Money(self.charged_back_minor, received.currency) if received is not None else None

    @property
    def returnable(self) -> Money:
        """What can still be given back in the payment's own currency."""
        received = self.received or self.amount
        if received.currency != self.currency:
            return Money.zero(self.currency)
        return Money(received.minor - self.refunded_minor, self.currency)


class Refund(models.Model):
    """Money given back of one payment, by the rail or by hand; its key is stored before the rail is asked."""

    REQUESTED, SUBMITTED, PENDING, UNKNOWN, DONE, FAILED, CAME_BACK = (
        "requested",
        "submitted",
        "pending",
        "unknown",
        "done",
        "failed",
        "came_back",
    )
    # Money that left us, whatever became of it afterwards.
    LEFT = (DONE, CAME_BACK)
    STATES = [
        (REQUESTED, _("Asked for")),
        (SUBMITTED, _("Handed to the payment service")),
        (PENDING, _("On its way")),
        (UNKNOWN, _("Outcome unknown")),
        (DONE, _("Done")),
        (FAILED, _("Failed")),
        # The customer's bank sent it back after it had arrived: it is their credit.
        (CAME_BACK, _("Came back")),
    ]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds", verbose_name=_("payment"))
    state = models.CharField(_("state"), max_length=10, choices=STATES, default=REQUESTED)
    amount_minor = models.BigIntegerField()
    key = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    by_hand = models.BooleanField(_("paid out by hand"), default=False)
    provider_id = models.CharField(_("reference of the payment service"), max_length=200, blank=True)
    reason = models.CharField(_("reason"), max_length=200)
    actor = models.CharField(_("asked by"), max_length=80)
    remark = models.TextField(_("remark"), blank=True)
    created_at = models.DateTimeField(_("created"))
    settled_at = models.DateTimeField(_("settled"), null=True, blank=True)
    # When the rail is asked what became of it.
    look_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("refund")
        verbose_name_plural = _("refunds")
        ordering = ["-created_at"]
        constraints = [models.CheckConstraint(condition=Q(amount_minor__gt=0), name="refund_gives_something")]

    def __str__(self) -> str:
        return f"{self.payment} -{self.amount_minor}"


class GatewayEvent(models.Model):
    """A message of a payment service, stored as it came before anybody looked at what it says."""

    RECEIVED, DONE, IGNORED, FAILED = "received", "done", "ignored", "failed"
    STATES = [
        (RECEIVED, _("Received")),
        (DONE, _("Dealt with")),
        (IGNORED, _("Nothing to do")),
        (FAILED, _("Failed")),
    ]

    gateway = models.CharField(_("method"), max_length=30)
    event_id = models.CharField(_("event"), max_length=200)
    kind = models.CharField(_("kind"), max_length=100, blank=True)
    # What the message says it is about; believed only after the service itself was asked.
    subject = models.CharField(max_length=200, blank=True)
    headers = EncryptedJSONField(default=dict)
    body = models.BinaryField()
    state = models.CharField(_("state"), max_length=10, choices=STATES, default=RECEIVED)
    received_at = models.DateTimeField(_("received"))
    done_at = models.DateTimeField(_("dealt with"), null=True, blank=True)
    error = models.TextField(_("error"), blank=True)
    # Nobody deals with it before then: somebody is at it, or it failed and is tried again. Empty on one that was
    # received: at once; on one that failed: never.
    wait_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    payment = models.ForeignKey(
        Payment, on_delete=models.PROTECT, null=True, blank=True, related_name="events", verbose_name=_("payment")
    )

    class Meta:
        verbose_name = _("message of a payment service")
        verbose_name_plural = _("messages of payment services")
        ordering = ["-received_at"]
        constraints = [models.UniqueConstraint(fields=["gateway", "event_id"], name="gateway_event_once")]
        indexes = [
            models.Index(fields=["-received_at"], name="gateway_event_newest"),
            models.Index(fields=["id"], condition=Q(state__in=["received", "failed"]), name="gateway_event_open"),
        ]

    def __str__(self) -> str:
        return f"{name_of(self.gateway)} {self.kind or self.event_id}"
