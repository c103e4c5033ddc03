"""The words for what the domain says of bank transfers and statements in codes."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from parcelle.surfaces.backoffice.words import Words

# Why a receipt is rejected, and why a transfer is given up: what the customer reads is in the portal.
REJECTIONS: Words = {
    "unreadable": _("It cannot be read"),
    "no_proof": _("It shows no transfer"),
    "other_payment": _("It is about another payment"),
    "other_amount": _("It shows another amount"),
    "not_executed": _("The transfer has not been carried out"),
    "other": _("Other"),
}
REFUSALS: Words = {
    "not_received": _("Nothing has arrived"),
    "recalled": _("The bank took it back"),
    "not_accepted": _("We do not accept it"),
    "other": _("Other"),
}
TRANSFER_REASONS: Words = {
    **REJECTIONS,
    **REFUSALS,
    "over": _("Its time is over"),
    "withdrawn": _("The customer pays another way"),
}
TRANSFER_REFUSALS: Words = {
    "changed": _("Somebody noted something in the meantime: look again."),
    "closed": _("This is decided already."),
    "no_reference": _("The reference of the bank is missing."),
    "no_amount": _("An amount that arrived is more than nothing."),
    "in_future": _("The value date lies too far in the future."),
    "long_ago": _("The value date is more than a year ago: check the year."),
    "reference_used": _("Money with this reference of the bank is confirmed already."),
    "same_person": _("You confirmed it yourself: another person must approve it."),
    "decided": _("Somebody has decided this already."),
    "no_receipt": _("There is no receipt to be rejected."),
    "too_much_missing": _("More is missing than may be accepted: see the tolerance in the settings of the gateway."),
    "matched": _("Somebody dealt with this line already."),
}
STATEMENT_REFUSALS: Words = {
    "empty": _("The file is empty, or none was chosen."),
    "too_large": _("The file is too large."),
    "not_a_statement": _("This is not a bank statement that can be read: CAMT.053 or CSV is needed."),
    "forbidden_xml": _("This XML file declares a document type, which no bank does: it is not read."),
    "encoding": _("The characters of this file cannot be read."),
    "columns": _("Say which columns hold the date and the amount."),
    "imported": _("This file has been imported already."),
}
# What a line of a statement would be, short and in a sentence.
PROPOSALS: Words = {
    "exact": _("Sure"),
    "known": _("Confirmed by hand"),
    "partial": _("Only a part"),
    "over": _("More than expected"),
    "currency": _("Other currency"),
    "again": _("Paid a second time"),
    "late": _("No longer expected"),
    "weak": _("Same amount and name"),
}
PROPOSAL_MEANINGS: Words = {
    "exact": _("The amount is exactly what is missing. The order is paid by it."),
    "known": _("Somebody confirmed this money by hand: the line is only noted as its proof, nothing is counted twice."),
    "partial": _(
        "It is less than what is missing: it is counted, and the customer reads what is missing, by mail as well "
        "where it is more than banks keep."
    ),
    "over": _("It is more than what is missing: the order is paid, and the rest becomes the customer’s credit."),
    "currency": _("It is in another currency: it is parked, and the order stays unpaid until you have settled it."),
    "again": _("This transfer is paid already: all of it becomes the customer’s credit."),
    "late": _("Nobody expects this transfer any more: it is booked, and pays the order only if that is still open."),
    "weak": _("No reference was found; amount and name fit. Look twice: the order is paid by it."),
}
