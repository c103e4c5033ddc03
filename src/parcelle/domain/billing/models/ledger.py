from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from parcelle.core.money import Money
from parcelle.domain.billing.models.orders import Order
from parcelle.domain.tenancy.models import Organization


class LedgerTransaction(models.Model):
    """Something that moved money or a claim to it, booked once: its entries add up to zero in each currency.

    `key` names what it was booked for, so that booking it twice is booking it once. `subject_id` is the document
    behind it: a payment, a refund, an invoice. Rows are only ever added, which triggers hold.
    """

    INVOICE, CREDIT_NOTE, PAYMENT, SURPLUS, PARKED, FEE = (
        "invoice",
        "credit_note",
        "payment",
        "surplus",
        "parked",
        "fee",
    )
    CREDIT_APPLIED, CREDIT_KEPT, REFUND, CHARGEBACK, CHARGEBACK_WON = (
        "credit_applied",
        "credit_kept",
        "refund",
        "chargeback",
        "chargeback_won",
    )
    ACCEPTED, PAYOUT, TRANSFER, WRITE_OFF = "accepted", "payout", "transfer", "write_off"
    KINDS = [
        (INVOICE, _("Invoice")),
        (CREDIT_NOTE, _("Credit note")),
        (PAYMENT, _("Payment received")),
        (SURPLUS, _("Payment kept as credit")),
        (PARKED, _("Payment to be looked at")),
        (ACCEPTED, _("Payment accepted")),
        (FEE, _("Fee of the payment service")),
        (CREDIT_APPLIED, _("Credit used")),
        (CREDIT_KEPT, _("Kept as credit")),
        (REFUND, _("Refund")),
        (CHARGEBACK, _("Payment taken back by the bank")),
        (CHARGEBACK_WON, _("Payment given back by the bank")),
        (PAYOUT, _("Credit paid out")),
        (TRANSFER, _("Transfer to the bank")),
        (WRITE_OFF, _("Written off")),
    ]
    SALES, BANK, OTHER = "VE", "BQ", "OD"
    JOURNALS = [(SALES, _("Sales")), (BANK, _("Bank")), (OTHER, _("Other entries"))]

    key = models.CharField(max_length=120, unique=True)
    kind = models.CharField(_("kind"), max_length=20, choices=KINDS)
    journal = models.CharField(_("journal"), max_length=2, choices=JOURNALS)
    # The day it counts for, where the seller is.
    date = models.DateField(_("date"))
    at = models.DateTimeField(_("booked"))
    reference = models.CharField(_("document"), max_length=60)
    subject_id = models.UUIDField(null=True, blank=True)
    # So many entries it was booked with: none can be added later, not even a pair that adds up.
    size = models.PositiveSmallIntegerField()

    class Meta:
        verbose_name = _("ledger transaction")
        verbose_name_plural = _("ledger transactions")
        ordering = ["-date", "-id"]
        indexes = [
            models.Index(fields=["-date", "-id"], name="ledger_newest"),
            models.Index(fields=["subject_id", "kind"], name="ledger_subject"),
            models.Index(fields=["reference"], name="ledger_reference"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.reference}"


class FecNumber(models.Model):
    """A transaction's number in the FEC of a fiscal year: given at the first export with it, without gaps, and kept."""

    transaction = models.ForeignKey(LedgerTransaction, on_delete=models.PROTECT, related_name="fec_numbers")
    year_end = models.DateField()
    number = models.PositiveBigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["year_end", "number"], name="fec_number_once"),
            models.UniqueConstraint(fields=["transaction", "year_end"], name="fec_one_number_each"),
        ]

    def __str__(self) -> str:
        return f"{self.number}"


class LedgerEntry(models.Model):
    """One line of a transaction: a debit when positive, a credit when negative.

    An entry on a customer's account says whose: the organization's, or the order's while nobody is a customer yet.
    """

    transaction = models.ForeignKey(
        LedgerTransaction, on_delete=models.PROTECT, related_name="entries", verbose_name=_("ledger transaction")
    )
    account = models.CharField(_("account"), max_length=12)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(_("currency"), max_length=3)
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("customer")
    )
    order = models.ForeignKey(
        Order, on_delete=models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("order")
    )

    class Meta:
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger entries")
        ordering = ["transaction", "id"]
        indexes = [
            models.Index(fields=["account", "currency"], name="ledger_account"),
        ]
        constraints = [
            models.CheckConstraint(condition=~Q(amount_minor=0), name="ledger_entry_moves_something"),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$"), name="ledger_entry_has_a_currency"),
            models.CheckConstraint(
                condition=~Q(account__startswith="41")
                | Q(organization__isnull=False, order=None)
                | Q(organization=None, order__isnull=False),
                name="ledger_entry_of_one_customer",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.amount}"

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)
