"""The sentences that French law wants on an invoice, in the document's language; printed, and sent as notes.

Bases: CGI art. 289 and ann. II art. 242 nonies A, Code de commerce L441-9 and L441-10. Not legal advice.
"""

from __future__ import annotations

from django.utils.translation import gettext as _

from parcelle.domain.billing import taxes
from parcelle.domain.billing.invoicing.content import Seller


def late_penalty() -> str:
    return _(
        "Late payment: penalties at three times the French legal interest rate are due from the day after the due "
        "date, without a reminder (art. L441-10 of the French commercial code)."
    )


def recovery_charge() -> str:
    return _("Late payment between businesses: a fixed charge of €40 for recovery costs is also due.")


def early_payment() -> str:
    return _("No discount for early payment.")


def why_no_tax(decision: taxes.Decision) -> str:
    """The mention that stands where there is no VAT; empty where there is."""
    return {
        "VATEX-EU-AE": _("Reverse charge (“Autoliquidation”, art. 283-2 of the French tax code)"),
        "VATEX-EU-O": _("“TVA non applicable - art. 259-1 du CGI”: outside the scope of French VAT"),
        "VATEX-FR-FRANCHISE": _("“TVA non applicable, art. 293 B du CGI”: VAT not applicable"),
    }.get(decision.reason, "")


def on_debits() -> str:
    return _("Option for the payment of VAT on debits.")


def nature() -> str:
    return _("Nature of the operation: supply of services.")


def legal(seller: Seller) -> str:
    """Form, capital and register on one line, as the law wants them beside the name."""
    parts = [seller.legal_form]
    if seller.share_capital:
        parts.append(_("share capital %(amount)s") % {"amount": seller.share_capital})
    parts.append(seller.register)
    return ", ".join(part for part in parts if part)


def notes(seller: Seller) -> dict[str, str]:
    """Code of UNTDID 4451 -> text, in the order in which they are printed; French law binds sellers in France."""
    if seller.country != "FR":
        return {}
    return {"PMD": late_penalty(), "PMT": recovery_charge(), "AAB": early_payment()}


def subscription(interval: str) -> str:
    return _("Yearly subscription") if interval == "year" else _("Monthly subscription")


def add_ons(more: int) -> str:
    """What a change in the middle of a period is about."""
    if more < 0:
        return _("%(count)d fewer, for the rest of the period") % {"count": -more}
    return _("%(count)d more, for the rest of the period") % {"count": more}


def coupon(code: str) -> str:
    return _("Code %(code)s") % {"code": code}


def credited_part(number: str) -> str:
    return _("Part of invoice %(number)s") % {"number": number}
