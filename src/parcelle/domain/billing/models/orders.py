from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from parcelle.core.crypto import EncryptedJSONField
from parcelle.core.money import Money
from parcelle.domain.billing import order_states
from parcelle.domain.billing.models.subscriptions import Subscription
from parcelle.domain.catalog.models import Coupon, Plan, Price
from parcelle.domain.tenancy.models import Organization


class Order(models.Model):
    """The sale of one plan for one period, or of the difference to another plan, with everything as it was agreed.

    `buyer` is who buys, as typed: first_name, last_name, company, email, phone, country (ISO 3166 alpha-2),
    address, postcode, city, vat_number, siren. The organization exists from the payment on, unless it did before.
    """

    # A change is paid for the rest of what was paid before; a switch begins a period of another length.
    # What a bank took back is asked for again, for what is left of the period.
    NEW, RENEWAL, CHANGE, SWITCH, RECOVERY = "new", "renewal", "change", "switch", "recovery"
    # Whoever does not pay these is suspended in the end.
    DUNNED = (RENEWAL, RECOVERY)
    KINDS = [
        (NEW, _("Subscription")),
        (RENEWAL, _("Renewal")),
        (CHANGE, _("Change of plan")),
        (SWITCH, _("Change of interval")),
        (RECOVERY, _("Payment taken back")),
    ]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.CharField(_("number"), max_length=30, unique=True)
    kind = models.CharField(_("kind"), max_length=8, choices=KINDS, default=NEW)
    state = models.CharField(_("state"), max_length=10, choices=order_states.CHOICES, default=order_states.OPEN)
    # Sent along by whoever asked, so that asking twice is asking once.
    request_id = models.UUIDField(unique=True, editable=False)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="orders", verbose_name=_("plan"))
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="orders", verbose_name=_("price"))
    # What is bought beside the plan; see `baskets`.
    extras = models.JSONField(_("add-ons"), default=list, blank=True)
    coupon = models.ForeignKey(
        Coupon, on_delete=models.PROTECT, null=True, blank=True, related_name="orders", verbose_name=_("coupon")
    )
    buyer = EncryptedJSONField(_("buyer"), default=dict)
    email = models.EmailField(_("e-mail"))
    language = models.CharField(_("language"), max_length=5)
    currency = models.CharField(_("currency"), max_length=3)
    subtotal_minor = models.BigIntegerField()
    discount_minor = models.BigIntegerField(default=0)
    tax_minor = models.BigIntegerField(default=0)
    total_minor = models.BigIntegerField()
    # What of it the customer's credit paid; the rest is paid on a rail.
    credit_minor = models.BigIntegerField(default=0)
    # How the tax was decided, as `taxes.Decision` says it.
    tax = models.JSONField(default=dict)
    user_id = models.UUIDField(null=True, blank=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, null=True, blank=True, related_name="orders", verbose_name=_("customer")
    )
    subscription = models.ForeignKey(
        Subscription,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="orders",
        verbose_name=_("subscription"),
    )
    instance_id = models.UUIDField(null=True, blank=True)
    # What it pays for; of a first order known once it is fulfilled.
    period_start = models.DateTimeField(_("paid from"), null=True, blank=True)
    period_end = models.DateTimeField(_("paid until"), null=True, blank=True)
    # Of a renewal: when it should be paid, until when the service goes on without, and when something is due about it.
    due_at = models.DateTimeField(_("due"), null=True, blank=True)
    grace_until = models.DateTimeField(_("grace until"), null=True, blank=True)
    next_step_at = models.DateTimeField(null=True, blank=True)
    # Of a renewal: when it is next taken from a saved method, where the customer has one.
    charge_at = models.DateTimeField(_("taken by itself"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"))
    expires_at = models.DateTimeField(_("lapses"))
    # When its customer was reminded that it is not paid yet, or need not be any more.
    reminded_at = models.DateTimeField(null=True, blank=True)
    paid_at = models.DateTimeField(_("paid"), null=True, blank=True)
    fulfilled_at = models.DateTimeField(_("fulfilled"), null=True, blank=True)

    class Meta:
        verbose_name = _("order")
        verbose_name_plural = _("orders")
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["-created_at"], name="order_newest"),
            models.Index(fields=["expires_at"], condition=Q(state="open"), name="order_open"),
            models.Index(fields=["created_at"], condition=Q(state="open", reminded_at=None), name="order_to_remind"),
            models.Index(fields=["email"], name="order_email"),
            models.Index(
                fields=["next_step_at"], condition=Q(state="open", next_step_at__isnull=False), name="order_dunning"
            ),
            models.Index(fields=["charge_at"], condition=Q(state="open", kind="renewal"), name="order_to_charge"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["subscription", "period_start"],
                condition=Q(kind="renewal") & ~Q(state="expired"),
                name="each_period_once",
            ),
            models.CheckConstraint(
                condition=Q(
                    total_minor=models.F("subtotal_minor") - models.F("discount_minor") + models.F("tax_minor")
                ),
                name="order_adds_up",
            ),
            models.CheckConstraint(
                condition=Q(discount_minor__gte=0, discount_minor__lte=models.F("subtotal_minor"), tax_minor__gte=0),
                name="order_is_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(credit_minor__gte=0, credit_minor__lte=models.F("total_minor")),
                name="credit_within_the_order",
            ),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def total(self) -> Money:
        return Money(self.total_minor, self.currency)

    @property
    def credit(self) -> Money:
        return Money(self.credit_minor, self.currency)

    @property
    def due(self) -> Money:
        """What a payment is for."""
        return self.total - self.credit


class CouponUse(models.Model):
    """That an order uses a coupon; deleted when the order lapses, which frees the use."""

    coupon = models.ForeignKey(Coupon, on_delete=models.PROTECT, related_name="uses")
    order = models.OneToOneField(Order, on_delete=models.CASCADE, related_name="coupon_use")
    email = models.EmailField()
    at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["coupon", "email"], name="coupon_use_each")]

    def __str__(self) -> str:
        return f"{self.coupon} · {self.order}"
