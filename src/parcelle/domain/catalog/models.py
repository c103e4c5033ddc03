from __future__ import annotations

import uuid

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Upper
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from parcelle.core.money import Money


class Product(models.Model):
    """What is sold: an application described by a blueprint."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.SlugField(_("short name"), max_length=50, unique=True)
    name = models.CharField(_("name"), max_length=100)
    tagline_fr = models.CharField(_("one line (French)"), max_length=200, blank=True)
    tagline_en = models.CharField(_("one line (English)"), max_length=200, blank=True)
    blueprint = models.CharField(_("blueprint"), max_length=50)
    target_name = models.CharField(
        _("target"), max_length=50, default="local", help_text=_("Name of the target where new instances run.")
    )
    pool_size = models.PositiveSmallIntegerField(
        _("warm pool"),
        default=0,
        validators=[MaxValueValidator(50)],
        help_text=_("How many standby instances are kept running, ready for the next sign-up."),
    )
    vat_rate = models.DecimalField(
        _("VAT rate in percent"),
        max_digits=4,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text=_("Empty: the seller’s."),
    )
    enabled = models.BooleanField(_("on sale"), default=True)
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    class Meta:
        ordering = ["position", "name"]
        verbose_name = _("product")
        verbose_name_plural = _("products")

    def __str__(self) -> str:
        return self.name


class Plan(models.Model):
    """A way to buy a product: limits, features, trial and retention."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="plans", verbose_name=_("product"))
    slug = models.SlugField(_("short name"), max_length=50)
    name = models.CharField(_("name"), max_length=100)
    trial_days = models.PositiveSmallIntegerField(_("trial days"), default=30)
    retention_days = models.PositiveSmallIntegerField(
        _("retention in days"),
        default=30,
        help_text=_("How long the data of a suspended instance is kept before it is archived."),
    )
    limits = models.JSONField(
        _("limits"),
        default=dict,
        blank=True,
        help_text=_("What one instance may use: memory_mb, cpus, pids. Empty: as the blueprint says."),
    )
    trial_sleep_minutes = models.PositiveSmallIntegerField(
        _("trials sleep after"),
        default=60,
        help_text=_("Minutes without a visit after which a trial is put to sleep until the next one. 0: never."),
    )
    sleep_minutes = models.PositiveSmallIntegerField(
        _("sleeps after"),
        default=0,
        help_text=_("The same for customers who pay. 0: never."),
    )
    dunning = models.JSONField(
        _("reminders of renewals"),
        default=dict,
        blank=True,
        help_text=_(
            "Days around the day a renewal is due: month, year (before it), after; grace and grace_by_hand in days. "
            "Empty: as usual."
        ),
    )
    summary_fr = models.CharField(_("for whom (French)"), max_length=200, blank=True)
    summary_en = models.CharField(_("for whom (English)"), max_length=200, blank=True)
    popular = models.BooleanField(_("popular"), default=False, help_text=_("Recommended on the pricing page."))
    on_request = models.BooleanField(
        _("on request"), default=False, help_text=_("Has no price: visitors write to us instead of paying.")
    )
    enabled = models.BooleanField(_("on sale"), default=True)
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    class Meta:
        ordering = ["product__position", "position", "name"]
        verbose_name = _("plan")
        verbose_name_plural = _("plans")
        constraints = [models.UniqueConstraint(fields=["product", "slug"], name="plan_slug_once_per_product")]

    def __str__(self) -> str:
        return f"{self.product} {self.name}"


class Feature(models.Model):
    """Something that plans of a product include, or include so much of: a line of the comparison table."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="features", verbose_name=_("product"))
    # Also the name of a usage metric, where the amount is a quota.
    key = models.SlugField(_("short name"), max_length=50)
    name_fr = models.CharField(_("name (French)"), max_length=120)
    name_en = models.CharField(_("name (English)"), max_length=120)
    icon = models.SlugField(_("icon"), max_length=40, default="check", help_text=_("Name of a Tabler icon."))
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    class Meta:
        ordering = ["position", "key"]
        verbose_name = _("feature")
        verbose_name_plural = _("features")
        constraints = [models.UniqueConstraint(fields=["product", "key"], name="feature_key_once_per_product")]

    def __str__(self) -> str:
        return self.name_fr


class PlanFeature(models.Model):
    """That a plan includes a feature; without a row it does not."""

    plan = models.ForeignKey(Plan, on_delete=models.CASCADE, related_name="included", verbose_name=_("plan"))
    feature = models.ForeignKey(Feature, on_delete=models.CASCADE, related_name="plans", verbose_name=_("feature"))
    counted = models.BooleanField(_("counted"), default=False, help_text=_("Whether there is so much of it."))
    amount = models.PositiveBigIntegerField(
        _("how much"), null=True, blank=True, help_text=_("Of what is counted; empty: unlimited.")
    )

    class Meta:
        ordering = ["feature__position"]
        verbose_name = _("included feature")
        verbose_name_plural = _("included features")
        constraints = [models.UniqueConstraint(fields=["plan", "feature"], name="feature_once_per_plan")]

    def __str__(self) -> str:
        return f"{self.plan} · {self.feature}"


class Price(models.Model):
    """What a plan costs for one interval in one currency, without tax.

    Never changed, because it may have been sold: another amount is another row, and the old one is retired.
    """

    MONTH, YEAR = "month", "year"
    INTERVALS = [(MONTH, _("monthly")), (YEAR, _("yearly"))]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="prices", verbose_name=_("plan"))
    interval = models.CharField(_("interval"), max_length=5, choices=INTERVALS)
    currency = models.CharField(_("currency"), max_length=3, validators=[RegexValidator(r"^[A-Z]{3}$")])
    amount_minor = models.BigIntegerField(_("amount in the smallest unit"), validators=[MinValueValidator(0)])
    created_at = models.DateTimeField(_("since"))
    retired_at = models.DateTimeField(_("until"), null=True, blank=True)

    class Meta:
        ordering = ["currency", "interval", "-created_at"]
        verbose_name = _("price")
        verbose_name_plural = _("prices")
        constraints = [
            models.UniqueConstraint(
                fields=["plan", "interval", "currency"], condition=Q(retired_at=None), name="one_current_price"
            ),
            models.CheckConstraint(condition=Q(amount_minor__gte=0), name="price_is_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.plan} {self.amount} / {self.interval}"

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)


class AddOn(models.Model):
    """Something that is sold beside a plan, so many at a time: each of them raises the limit of what is counted."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # What it raises; its product is the feature's.
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="add_ons", verbose_name=_("raises"))
    slug = models.SlugField(_("short name"), max_length=50, unique=True)
    name_fr = models.CharField(_("name (French)"), max_length=120)
    name_en = models.CharField(_("name (English)"), max_length=120)
    plans = models.ManyToManyField(
        Plan,
        related_name="add_ons",
        verbose_name=_("plans"),
        blank=True,
        help_text=_("None: with all plans of the product."),
    )
    most = models.PositiveIntegerField(
        _("most of it"), default=100, validators=[MinValueValidator(1), MaxValueValidator(100_000)]
    )
    enabled = models.BooleanField(_("on sale"), default=True)
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    class Meta:
        ordering = ["position", "slug"]
        verbose_name = _("add-on")
        verbose_name_plural = _("add-ons")

    def __str__(self) -> str:
        return self.name_fr

    @property
    def name(self) -> str:
        """In the language that is active."""
        return self.name_en if (get_language() or "").startswith("en") else self.name_fr


class AddOnPrice(models.Model):
    """What one of an add-on costs for one interval in one currency, without tax, and how much more it allows.

    Never changed, as a `Price` is not.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    add_on = models.ForeignKey(AddOn, on_delete=models.PROTECT, related_name="prices", verbose_name=_("add-on"))
    interval = models.CharField(_("interval"), max_length=5, choices=Price.INTERVALS)
    currency = models.CharField(_("currency"), max_length=3, validators=[RegexValidator(r"^[A-Z]{3}$")])
    amount_minor = models.BigIntegerField(_("amount in the smallest unit"), validators=[MinValueValidator(1)])
    adds = models.PositiveBigIntegerField(
        _("adds"), default=1, validators=[MinValueValidator(1)], help_text=_("So much each, to what the plan includes.")
    )
    created_at = models.DateTimeField(_("since"))
    retired_at = models.DateTimeField(_("until"), null=True, blank=True)

    class Meta:
        ordering = ["currency", "interval", "-created_at"]
        verbose_name = _("price of an add-on")
        verbose_name_plural = _("prices of add-ons")
        constraints = [
            models.UniqueConstraint(
                fields=["add_on", "interval", "currency"], condition=Q(retired_at=None), name="one_current_add_on_price"
            ),
            models.CheckConstraint(condition=Q(amount_minor__gt=0, adds__gt=0), name="add_on_costs_and_adds_something"),
        ]

    def __str__(self) -> str:
        return f"{self.add_on} {self.amount} / {self.interval}"

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)


class Coupon(models.Model):
    """A reduction by code. How often it was used is counted by billing, under a lock on this row."""

    PERCENT, FIXED = "percent", "fixed"
    KINDS = [(PERCENT, _("percent")), (FIXED, _("fixed amount"))]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    code = models.CharField(_("code"), max_length=40, validators=[RegexValidator(r"^[A-Za-z0-9_-]{3,40}$")])
    kind = models.CharField(_("kind"), max_length=8, choices=KINDS, default=PERCENT)
    percent = models.DecimalField(
        _("percent"),
        max_digits=5,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
    )
    amount_minor = models.BigIntegerField(_("amount in the smallest unit"), null=True, blank=True)
    # Of the fixed amount and of the minimum; a percentage without a minimum needs none.
    currency = models.CharField(_("currency"), max_length=3, blank=True, validators=[RegexValidator(r"^[A-Z]{3}$")])
    minimum_minor = models.BigIntegerField(_("minimum in the smallest unit"), default=0)
    valid_from = models.DateTimeField(_("valid from"), null=True, blank=True)
    valid_until = models.DateTimeField(_("valid until"), null=True, blank=True)
    most_uses = models.PositiveIntegerField(_("uses altogether"), null=True, blank=True)
    most_uses_each = models.PositiveIntegerField(_("uses per customer"), null=True, blank=True, default=1)
    # 1: the first payment only; null: all of them.
    payments = models.PositiveSmallIntegerField(
        _("payments it counts for"), null=True, blank=True, default=1, help_text=_("1: the first; empty: all of them.")
    )
    plans = models.ManyToManyField(
        Plan, related_name="coupons", verbose_name=_("plans"), blank=True, help_text=_("None: for all of them.")
    )
    enabled = models.BooleanField(_("in use"), default=True)

    class Meta:
        ordering = ["code"]
        verbose_name = _("coupon")
        verbose_name_plural = _("coupons")
        constraints = [
            models.UniqueConstraint(Upper("code"), name="coupon_code_once_in_any_case"),
            models.CheckConstraint(
                # Compared with nothing, a database neither agrees nor refuses: it lets the row in.
                condition=Q(kind="percent", percent__isnull=False, percent__gt=0, percent__lte=100)
                | (Q(kind="fixed", amount_minor__isnull=False, amount_minor__gt=0) & ~Q(currency="")),
                name="coupon_takes_something_off",
            ),
        ]

    def __str__(self) -> str:
        return self.code
