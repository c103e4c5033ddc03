"""Bank transfers: our own books of what was asked for, sent in, seen on the account, and by whom it was confirmed."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from parcelle.core.crypto import EncryptedField, EncryptedJSONField
from parcelle.core.money import Money
from parcelle.domain.billing import transfer_states
from parcelle.domain.billing.models.payments import Payment, Refund


class Transfer(models.Model):
    """A transfer that a customer was asked for: the gateway's side of one payment.

    `told` is what the customer was told, for good: holder, iban, bic, bank, amount, reference. `received_minor` is
    what of the money that came counts for the payment; the rest of each confirmation is the customer's credit.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # The gateway only knows the charge's values: for the database they are not yet anybody's row.
    payment = models.OneToOneField(
        Payment, on_delete=models.PROTECT, db_constraint=False, related_name="transfer", verbose_name=_("payment")
    )
    key = models.UUIDField(unique=True, editable=False)
    reference = models.CharField(_("reference"), max_length=25, unique=True)
    state = models.CharField(
        _("state"), max_length=10, choices=transfer_states.CHOICES, default=transfer_states.AWAITING
    )
    amount_minor = models.BigIntegerField()
    currency = models.CharField(_("currency"), max_length=3)
    received_minor = models.BigIntegerField(default=0)
    # What is missing and was accepted as the banks' charges.
    shortfall_minor = models.BigIntegerField(default=0)
    told = models.JSONField(default=dict)
    # Why the last receipt or the transfer itself was refused: a code with words in both languages, or the operator's.
    reason = models.CharField(_("reason"), max_length=40, blank=True)
    reason_text = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(_("created"))
    expires_at = models.DateTimeField(_("expected until"))
    # The oldest thing that waits for an operator; None when nothing does.
    waiting_since = models.DateTimeField(_("waiting since"), null=True, blank=True)
    settled_at = models.DateTimeField(_("settled"), null=True, blank=True)

    class Meta:
        verbose_name = _("bank transfer")
        verbose_name_plural = _("bank transfers")
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["-created_at"], name="transfer_newest"),
            models.Index(
                fields=["waiting_since"],
                condition=Q(state__in=transfer_states.TO_CONFIRM),
                name="transfer_to_confirm",
            ),
            models.Index(fields=["expires_at"], condition=Q(state__in=transfer_states.OPEN), name="transfer_expected"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(received_minor__gte=0, shortfall_minor__gte=0)
                & Q(amount_minor__gte=F("received_minor") + F("shortfall_minor")),
                name="transfer_counts_no_more_than_its_amount",
            ),
        ]

    def __str__(self) -> str:
        return self.reference

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)

    @property
    def received(self) -> Money:
        return Money(self.received_minor, self.currency)

    @property
    def missing(self) -> Money:
        return Money(self.amount_minor - self.received_minor - self.shortfall_minor, self.currency)


class Receipt(models.Model):
    """A document that a customer sent in to show that the transfer was ordered. It proves nothing by itself.

    The file lies under a random name outside of what the web server shows; `name` is what the customer called it,
    only ever shown. A hash that another transfer has as well is a mistake, or a forgery: `same_as` says whose.
    """

    PDF, PNG, JPEG = "pdf", "png", "jpeg"
    KINDS = [(PDF, "PDF"), (PNG, "PNG"), (JPEG, "JPEG")]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    transfer = models.ForeignKey(
        Transfer, on_delete=models.PROTECT, related_name="receipts", verbose_name=_("bank transfer")
    )
    kind = models.CharField(_("kind"), max_length=4, choices=KINDS)
    name = models.CharField(_("name"), max_length=120)
    size = models.PositiveIntegerField(_("size"))
    sha256 = models.CharField(max_length=64)
    same_as = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("same file as")
    )
    actor = models.CharField(_("sent in by"), max_length=80)
    # An address, or the /64 network of one.
    address = models.CharField(_("from"), max_length=45, blank=True, default="")
    created_at = models.DateTimeField(_("sent in"))
    # When it was found to be no proof; the file is removed some time later.
    rejected_at = models.DateTimeField(_("rejected"), null=True, blank=True)
    removed_at = models.DateTimeField(_("file removed"), null=True, blank=True)

    class Meta:
        verbose_name = _("receipt")
        verbose_name_plural = _("receipts")
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["transfer", "sha256"], name="receipt_once_per_transfer"),
        ]
        indexes = [models.Index(fields=["sha256"], name="receipt_hash")]

    def __str__(self) -> str:
        return self.name


class Confirmation(models.Model):
    """That money of a transfer is on the account, as one person says, or two. Never overwritten.

    `surplus_minor` is what of it does not count for the payment: it is the customer's. `account` is the IBAN on which
    it arrived; with it the bank's own reference is unique, so that the same money never counts twice.
    """

    WAITING, COUNTED, TURNED_DOWN, RECALLED = "waiting", "counted", "turned_down", "recalled"
    STATES = [
        (WAITING, _("Waits for a second person")),
        (COUNTED, _("Confirmed")),
        (TURNED_DOWN, _("Turned down")),
        (RECALLED, _("Recalled by the bank")),
    ]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    transfer = models.ForeignKey(
        Transfer, on_delete=models.PROTECT, related_name="confirmations", verbose_name=_("bank transfer")
    )
    state = models.CharField(_("state"), max_length=12, choices=STATES)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(_("currency"), max_length=3)
    surplus_minor = models.BigIntegerField(default=0)
    value_date = models.DateField(_("value date"))
    booking_date = models.DateField(_("booking date"), null=True, blank=True)
    account = models.CharField(_("account"), max_length=34)
    bank_reference = models.CharField(_("reference of the bank"), max_length=140)
    # Who said so first, and who agreed. The people are kept beside the actors: a person has many tokens.
    actor = models.CharField(_("confirmed by"), max_length=80)
    person = models.UUIDField(null=True, blank=True)
    created_at = models.DateTimeField(_("confirmed"))
    second_actor = models.CharField(_("second person"), max_length=80, blank=True)
    second_person = models.UUIDField(null=True, blank=True)
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    remark = models.CharField(_("remark"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("confirmation")
        verbose_name_plural = _("confirmations")
        ordering = ["created_at"]
        constraints = [
            # One that was turned down does not stand in the way of the right one.
            models.UniqueConstraint(
                fields=["account", "bank_reference"], condition=~Q(state="turned_down"), name="bank_reference_once"
            ),
            models.CheckConstraint(
                condition=Q(amount_minor__gt=0, surplus_minor__gte=0, surplus_minor__lte=F("amount_minor")),
                name="confirmation_adds_up",
            ),
            models.CheckConstraint(
                condition=Q(second_person=None) | ~Q(second_person=F("person")), name="second_person_is_another"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.bank_reference} {self.amount}"

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)


class Payout(models.Model):
    """That an operator paid money back from the bank: the rail itself can give nothing back."""

    refund = models.OneToOneField(Refund, on_delete=models.PROTECT, related_name="payout")
    paid_on = models.DateField(_("paid on"))
    bank_reference = models.CharField(_("reference of the bank"), max_length=140)
    # {"iban": ...}: the customer's own account.
    to = EncryptedJSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["bank_reference"], name="payout_reference_once")]

    def __str__(self) -> str:
        return self.bank_reference


class StatementFormat(models.Model):
    """How the columns of one bank's CSV files are to be read, once an operator has said so.

    `header` is the hash of the first line, `mapping` what `statement_files.csv.Mapping` stores.
    """

    header = models.CharField(max_length=64, unique=True)
    mapping = models.JSONField(default=dict)
    actor = models.CharField(max_length=80)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return self.header[:12]


class Statement(models.Model):
    """A file of the bank, kept as it came. A draft waits for somebody to say what its columns mean."""

    DRAFT, IMPORTED = "draft", "imported"
    STATES = [(DRAFT, _("Columns to be confirmed")), (IMPORTED, _("Imported"))]
    CAMT, CSV = "camt", "csv"
    KINDS = [(CAMT, "CAMT.053"), (CSV, "CSV")]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    state = models.CharField(_("state"), max_length=8, choices=STATES, default=DRAFT)
    kind = models.CharField(_("kind"), max_length=4, choices=KINDS)
    name = models.CharField(_("file"), max_length=120)
    sha256 = models.CharField(max_length=64, unique=True)
    body = EncryptedField()
    actor = models.CharField(_("imported by"), max_length=80)
    created_at = models.DateTimeField(_("imported"))
    # How many lines were new, known before, and of no interest (debits, reversals, what cannot be read).
    lines_new = models.PositiveIntegerField(_("new lines"), default=0)
    lines_known = models.PositiveIntegerField(_("known lines"), default=0)
    lines_left_out = models.PositiveIntegerField(_("left out"), default=0)
    # What says nothing that could be read: where, and what stands there.
    unreadable = models.JSONField(default=list)

    class Meta:
        verbose_name = _("bank statement")
        verbose_name_plural = _("bank statements")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name


class StatementLine(models.Model):
    """Money that came in, as a bank statement says. `key` is the bank's own name of it, or a hash of what it says."""

    OPEN, MATCHED, IGNORED = "open", "matched", "ignored"
    STATES = [(OPEN, _("To be matched")), (MATCHED, _("Matched")), (IGNORED, _("Not for an order"))]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    statement = models.ForeignKey(
        Statement, on_delete=models.PROTECT, related_name="lines", verbose_name=_("bank statement")
    )
    state = models.CharField(_("state"), max_length=8, choices=STATES, default=OPEN)
    account = models.CharField(_("account"), max_length=34)
    key = models.CharField(max_length=180)
    bank_reference = models.CharField(_("reference of the bank"), max_length=140, blank=True)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(_("currency"), max_length=3)
    value_date = models.DateField(_("value date"))
    booking_date = models.DateField(_("booking date"), null=True, blank=True)
    payer = models.CharField(_("payer"), max_length=140, blank=True)
    text = models.CharField(_("text"), max_length=500, blank=True)
    # References with the right check digits that can be read in it, the longest first.
    references = models.JSONField(default=list)
    confirmation = models.OneToOneField(
        Confirmation, on_delete=models.PROTECT, null=True, blank=True, related_name="line"
    )
    actor = models.CharField(_("decided by"), max_length=80, blank=True)
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    remark = models.CharField(_("remark"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("statement line")
        verbose_name_plural = _("statement lines")
        ordering = ["-value_date", "id"]
        constraints = [models.UniqueConstraint(fields=["account", "key"], name="statement_line_once")]
        indexes = [models.Index(fields=["-value_date"], condition=Q(state="open"), name="statement_line_open")]

    def __str__(self) -> str:
        return f"{self.payer or self.key} {self.amount}"

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)
