"""Bank transfers as the customer reads them: what to do, how it stands, and why something was not accepted."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from parcelle.domain.billing import references, transfer_states, transfers
from parcelle.domain.billing.models import Payment, Receipt, Transfer

# Why a receipt was no proof.
REJECTIONS: dict[str, Promise] = {
    "unreadable": gettext_lazy("It cannot be read: it is blurred, cut off or empty."),
    "no_proof": gettext_lazy("It does not show a transfer."),
    "other_payment": gettext_lazy("It is about another payment."),
    "other_amount": gettext_lazy("It shows another amount than the one of this order."),
    "not_executed": gettext_lazy("The transfer on it has not been carried out yet."),
}
# Why the transfer is not waited for any more.
ENDS: dict[str, Promise] = {
    "not_received": gettext_lazy("Your transfer has not arrived. Please try again, or choose another way to pay."),
    "recalled": gettext_lazy("The bank took the transfer back. Please choose another way to pay."),
    "not_accepted": gettext_lazy("We could not accept this transfer. Please choose another way to pay."),
    "over": gettext_lazy(
        "Your transfer did not arrive in time. If you have sent it, it is not lost: we note it as soon as it is here."
    ),
}
UPLOADS: dict[str, Promise] = {
    "empty": gettext_lazy("The file is empty. Please choose your receipt again."),
    "too_large": gettext_lazy("The file is larger than 5 MB. A photograph or a screenshot is enough."),
    "not_readable": gettext_lazy("We can read PDF, PNG and JPEG files only. A screenshot always works."),
    "too_many": gettext_lazy("You have sent in many files already. We will look at them first."),
    "closed": gettext_lazy("This transfer has been dealt with already: no receipt is needed any more."),
    "missing": gettext_lazy("Please choose the file of your receipt first."),
}


@dataclass(frozen=True)
class Line:
    """One line of the instructions: what a person reads, and what the copy button copies."""

    code: str
    label: str
    shown: str
    copied: str


@dataclass(frozen=True)
class Awaited:
    """A transfer as the order's page shows it."""

    transfer: Transfer

    @property
    def sent_in(self) -> list[Receipt]:
        return list(self.transfer.receipts.order_by("created_at"))

    @property
    def open(self) -> bool:
        return self.transfer.state in transfer_states.OPEN

    @property
    def may_withdraw(self) -> bool:
        return self.transfer.state == transfer_states.AWAITING

    @property
    def rejected(self) -> str:
        """Why the last receipt was no good, in a sentence or two."""
        if not self.open or not self.transfer.reason:
            return ""
        return _joined(REJECTIONS, self.transfer)

    @property
    def lines(self) -> list[Line]:
        told, missing = self.transfer.told, self.transfer.missing
        from parcelle.surfaces.portal.templatetags.portal import money

        iban = told["iban"]
        known = [
            Line("holder", _("Account holder"), told["holder"], told["holder"]),
            Line("iban", _("IBAN"), references.grouped(iban), iban),
            Line("bic", _("BIC"), told.get("bic", ""), told.get("bic", "")),
            Line("bank", _("Bank"), told.get("bank", ""), told.get("bank", "")),
            Line("amount", _("Amount"), money(missing), f"{missing.amount:f}"),
            Line("reference", _("Reference"), references.grouped(self.transfer.reference), self.transfer.reference),
        ]
        return [line for line in known if line.shown]

    @property
    def qr(self) -> SafeString | str:
        code = transfers.qr_code(self.transfer)
        # Made of numbers by segno: nothing a person wrote is in it.
        return mark_safe(code.svg_inline(border=4, light="#fff", omitsize=True)) if code else ""  # noqa: S308

    @property
    def announcement(self) -> str:
        return {
            transfer_states.UPLOADED: _("We have your receipt and are checking it."),
            transfer_states.REVIEW: _("We have your receipt and are checking it."),
            transfer_states.PARTIAL: _("Part of your transfer has arrived."),
            transfer_states.SECOND: _("Your transfer has arrived and is being checked."),
        }.get(self.transfer.state, self.rejected or _("We are waiting for your transfer."))


def awaited(payment: Payment | None) -> Awaited | None:
    found = transfers.of_payment(payment) if payment else None
    return Awaited(found) if found else None


def end_sentence(payment: Payment) -> str:
    """Why a transfer is not waited for any more; empty where the customer decided so."""
    found = transfers.of_payment(payment)
    return _joined(ENDS, found) if found else ""


def _joined(words: dict[str, Promise], transfer: Transfer) -> str:
    sentence = words.get(transfer.reason)
    return " ".join(filter(None, (str(sentence) if sentence else "", transfer.reason_text)))
