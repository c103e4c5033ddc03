from __future__ import annotations

import uuid
from decimal import Decimal

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from parcelle.core.money import Money
from parcelle.domain.billing.models.orders import Order
from parcelle.domain.billing.models.payments import Refund
from parcelle.domain.billing.models.subscriptions import Subscription
from parcelle.domain.tenancy.models import Organization


class BillingDetails(models.Model):
    """To whom an organization's invoices are made out. Kept up to date; each invoice carries its own copy."""

    organization = models.OneToOneField(
        Organization, on_delete=models.PROTECT, related_name="billing_details", verbose_name=_("organization")
    )
    name = models.CharField(_("name"), max_length=200)
    business = models.BooleanField(_("is a business"), default=True)
    person = models.CharField(_("contact"), max_length=200, blank=True)
    email = models.EmailField(_("e-mail"), blank=True)
    address = models.CharField(_("address"), max_length=200, blank=True)
    postcode = models.CharField(_("postcode"), max_length=20, blank=True)
    city = models.CharField(_("town"), max_length=100, blank=True)
    country = models.CharField(_("country"), max_length=2, default="FR", validators=[RegexValidator(r"^[A-Z]{2}$")])
    siren = models.CharField(_("SIREN"), max_length=9, blank=True)
    vat_number = models.CharField(_("VAT number"), max_length=20, blank=True)
    # None while nobody could check it, and then it counts for nothing.
    vat_number_valid = models.BooleanField(_("VAT number confirmed"), null=True, blank=True)
    purchase_order = models.CharField(_("purchase order number"), max_length=60, blank=True)
    updated_at = models.DateTimeField(_("changed"))

    class Meta:
        verbose_name = _("billing details")
        verbose_name_plural = _("billing details")

    def __str__(self) -> str:
        return self.name


class ExchangeRate(models.Model):
    """What one euro was worth in a currency from a day on, for the euro figures of invoices in it."""

    currency = models.CharField(_("currency"), max_length=3, validators=[RegexValidator(r"^[A-Z]{3}$")])
    per_euro = models.DecimalField(
        _("units per euro"), max_digits=18, decimal_places=6, validators=[MinValueValidator(Decimal("0.000001"))]
    )
    source = models.CharField(_("source"), max_length=100)
    dated = models.DateField(_("since"))

    class Meta:
        verbose_name = _("exchange rate")
        verbose_name_plural = _("exchange rates")
        ordering = ["currency", "-dated"]
        constraints = [
            models.UniqueConstraint(fields=["currency", "dated"], name="one_rate_per_currency_and_day"),
            models.CheckConstraint(condition=Q(per_euro__gt=0), name="rate_is_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.currency} {self.per_euro}"


class VatCheck(models.Model):
    """What the tax administrations said of a VAT number, and when: the proof for a sale without VAT."""

    number = models.CharField(_("VAT number"), max_length=20)
    # None: they did not answer.
    valid = models.BooleanField(_("valid"), null=True)
    answer = models.JSONField(_("answer"), default=dict)
    at = models.DateTimeField(_("asked"))

    class Meta:
        verbose_name = _("check of a VAT number")
        verbose_name_plural = _("checks of VAT numbers")
        ordering = ["-at"]
        indexes = [models.Index(fields=["number", "-at"], name="vat_check_newest")]

    def __str__(self) -> str:
        return self.number


class NumberSeries(models.Model):
    """The counter of one series. Changed only under its row's lock, in the transaction that uses the number."""

    kind = models.CharField(max_length=12, primary_key=True)
    last = models.PositiveBigIntegerField(default=0)
    # Numbers and dates of issue go up together, also when a clock is set back.
    last_on = models.DateField(null=True)

    def __str__(self) -> str:
        return f"{self.kind} {self.last}"


class ChainHead(models.Model):
    """Where the chain of documents ends; one row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    position = models.PositiveBigIntegerField(default=0)
    hash = models.CharField(max_length=64, default="")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="one_chain")]

    def __str__(self) -> str:
        return f"{self.position} {self.hash[:8]}"


class Invoice(models.Model):
    """An invoice or a credit note. A draft has no number; with the number it never changes again.

    A trigger refuses every change and removal from then on. What happens afterwards is in `InvoiceBalance`. Nothing
    here is encrypted: a change of keys would have to rewrite it.
    """

    INVOICE, CREDIT_NOTE = "invoice", "credit_note"
    KINDS = [(INVOICE, _("Invoice")), (CREDIT_NOTE, _("Credit note"))]
    DRAFT, FINALISED = "draft", "finalised"
    STATES = [(DRAFT, _("Draft")), (FINALISED, _("Finalised"))]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # What it is for, so that it is made once: "order:<id>", "period:<subscription>:<start>", "refund:<id>".
    key = models.CharField(max_length=120, unique=True, editable=False)
    kind = models.CharField(_("kind"), max_length=12, choices=KINDS, default=INVOICE)
    state = models.CharField(_("state"), max_length=10, choices=STATES, default=DRAFT)
    number = models.CharField(_("number"), max_length=35, unique=True, null=True, blank=True)
    sequence = models.PositiveBigIntegerField(null=True, blank=True, editable=False)
    issued_on = models.DateField(_("date"), null=True, blank=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="invoices", verbose_name=_("customer")
    )
    order = models.ForeignKey(
        Order, on_delete=models.PROTECT, null=True, blank=True, related_name="invoices", verbose_name=_("order")
    )
    subscription = models.ForeignKey(
        Subscription,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="invoices",
        verbose_name=_("subscription"),
    )
    refund = models.ForeignKey(
        Refund, on_delete=models.PROTECT, null=True, blank=True, related_name="credit_notes", verbose_name=_("refund")
    )
    corrects = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="credit_notes",
        verbose_name=_("corrects"),
    )
    currency = models.CharField(_("currency"), max_length=3)
    net_minor = models.BigIntegerField()
    tax_minor = models.BigIntegerField()
    total_minor = models.BigIntegerField()
    due_on = models.DateField(_("due"), null=True, blank=True)
    # `content.Content` as JSON.
    content = models.JSONField(default=dict)
    # Why it could not be finalised yet: [{"code", "detail"}]; the codes have words in both languages.
    problems = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(_("created"))
    # From when on it gets its number by itself; empty for what somebody still has to decide.
    ready_at = models.DateTimeField(_("to be finalised"), null=True, blank=True)
    finalised_at = models.DateTimeField(_("finalised"), null=True, blank=True)

    class Meta:
        verbose_name = _("invoice")
        verbose_name_plural = _("invoices")
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["-created_at"], name="invoice_newest"),
            models.Index(fields=["organization", "-created_at"], name="invoice_of_customer"),
            models.Index(fields=["ready_at"], condition=Q(state="draft"), name="invoice_drafts"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "sequence"], condition=Q(sequence__isnull=False), name="one_document_per_number"
            ),
            models.CheckConstraint(
                condition=Q(state="draft", number=None, sequence=None, issued_on=None)
                | Q(state="finalised", number__isnull=False, sequence__isnull=False, issued_on__isnull=False),
                name="drafts_have_no_number",
            ),
            models.CheckConstraint(
                condition=Q(total_minor=F("net_minor") + F("tax_minor"), total_minor__gt=0), name="invoice_adds_up"
            ),
            models.CheckConstraint(
                condition=Q(kind="invoice", corrects=None) | Q(kind="credit_note", corrects__isnull=False),
                name="credit_notes_correct_something",
            ),
        ]

    def __str__(self) -> str:
        return self.number or str(_("Draft"))

    @property
    def total(self) -> Money:
        return Money(self.total_minor, self.currency)

    @property
    def net(self) -> Money:
        return Money(self.net_minor, self.currency)

    @property
    def tax(self) -> Money:
        return Money(self.tax_minor, self.currency)


class InvoiceFile(models.Model):
    """The document itself, as it was issued, and its link in the chain. Never made again: a PDF differs each time."""

    invoice = models.OneToOneField(Invoice, on_delete=models.PROTECT, primary_key=True, related_name="file")
    position = models.PositiveBigIntegerField(unique=True)
    xml = models.BinaryField()
    pdf = models.BinaryField()
    ubl = models.BinaryField()
    xml_sha256 = models.CharField(max_length=64)
    pdf_sha256 = models.CharField(max_length=64)
    previous = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ["position"]

    def __str__(self) -> str:
        return f"{self.position}"


class InvoiceBalance(models.Model):
    """What became of an invoice's amount since: paid and credited. The row of a draft holds its credit notes back."""

    invoice = models.OneToOneField(Invoice, on_delete=models.CASCADE, primary_key=True, related_name="balance")
    total_minor = models.BigIntegerField()
    paid_minor = models.BigIntegerField(default=0)
    # What a bank took back of what was paid, and was not paid anew.
    taken_back_minor = models.BigIntegerField(default=0)
    # By credit notes that are asked for, finalised or not: it is taken at once, so that two never take the same.
    credited_minor = models.BigIntegerField(default=0)
    paid_at = models.DateTimeField(_("paid"), null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(credited_minor__gte=0, credited_minor__lte=F("total_minor")),
                name="credit_within_the_invoice",
            ),
            models.CheckConstraint(condition=Q(paid_minor__gte=0), name="paid_is_not_negative"),
            models.CheckConstraint(condition=Q(taken_back_minor__gte=0), name="taken_back_is_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.paid_minor}/{self.total_minor}"


class Handover(models.Model):
    """That a document was handed to a platform, or why not yet."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="handovers")
    adapter = models.CharField(_("way"), max_length=30)
    reference = models.CharField(_("reference"), max_length=300, blank=True)
    at = models.DateTimeField(_("handed over"))

    class Meta:
        verbose_name = _("handover")
        verbose_name_plural = _("handovers")
        constraints = [models.UniqueConstraint(fields=["invoice", "adapter"], name="handed_over_once")]

    def __str__(self) -> str:
        return f"{self.invoice} {self.adapter}"
