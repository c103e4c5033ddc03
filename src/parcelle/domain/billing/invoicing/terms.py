"""A document as the business terms of EN 16931, which the XML is made from.

The library ignores keys that it does not know, takes floats and changes what it is given: everything here is text
of the right length, and `tests/domain/billing/test_einvoices.py` reads the XML back.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from parcelle.core.money import Money
from parcelle.domain.billing import taxes
from parcelle.domain.billing.invoicing import mentions
from parcelle.domain.billing.invoicing.content import (
    CARD,
    CREDIT_NOTE,
    ONLINE,
    TRANSFER,
    Buyer,
    Content,
    Group,
    Line,
    Seller,
)

Terms = dict[str, Any]
_MEANS = {TRANSFER: "30", CARD: "48", ONLINE: "68"}
# Rates that the French platforms take; a consumer of another country pays that country's rate, which is reported there.
_FRENCH_RATES = {
    Decimal(rate)
    for rate in ("0", "0.9", "1.05", "1.75", "2.1", "5.5", "7", "8.5", "9.2", "9.6", "10", "13", "19.6", "20", "20.6")
}


def of(content: Content, *, number: str, issued_on: date) -> Terms:
    """All terms of the document, in its own language: the caller has activated it."""
    terms: Terms = {
        "BT-1": number,
        "BT-2": issued_on,
        "BT-3": "381" if content.kind == CREDIT_NOTE else "380",
        "BT-5": content.currency,
        "BT-8": "invoice" if content.seller.vat_on_debits else "payment",
        "BT-9": content.paid_on or content.due_on or issued_on,
        # Services that are paid already, or are to be paid.
        "BT-23": "S2" if content.paid_on else "S1",
        "BT-72": content.starts_on or issued_on,
        "BG-1": _notes(content),
        "BG-4": _seller(content),
        "BG-7": _buyer(content.buyer, content.seller),
        "BG-23": [_group(group) for group in content.groups],
        "BG-25": [_line(position, line) for position, line in enumerate(content.lines, 1)],
        "BT-106": _amount(content.net),
        "BT-109": _amount(content.net),
        "BT-110": _amount(content.tax),
        "BT-112": _amount(content.total),
        "BT-113": _amount(content.paid),
        "BT-115": _amount(content.due),
    }
    if _out_of_scope(content):
        # What is outside the scope of VAT has no moment at which VAT falls due.
        del terms["BT-8"]
    if content.starts_on and content.ends_on:
        terms |= {"BT-73": content.starts_on, "BT-74": content.ends_on}
    if content.buyer.purchase_order:
        terms["BT-13"] = content.buyer.purchase_order
    if content.corrects:
        terms["BG-3"] = [{"BT-25": content.corrects.number, "BT-26": content.corrects.issued_on}]
    in_euros = content.tax_in_euros()
    if in_euros is not None:
        terms |= {"BT-6": "EUR", "BT-111": _amount(in_euros)}
    return terms | _payment(content, number)


def is_french(content: Content) -> bool:
    """Whether the rules for French platforms apply: not to sellers elsewhere, nor to sales at a rate of another
    country, which are reported through the one-stop shop instead of being sent.
    """
    return content.seller.country == "FR" and all(line.tax.rate in _FRENCH_RATES for line in content.lines)


def _payment(content: Content, number: str) -> Terms:
    means = content.means or (TRANSFER if content.seller.iban else "")
    if not means or content.kind == CREDIT_NOTE:
        return {}
    terms: Terms = {"BT-81": _MEANS[means]}
    if means == TRANSFER and content.seller.iban and not content.paid_on:
        terms |= {"BT-83": content.reference or number, "BT-84": content.seller.iban, "BT-85": content.seller.name}
        if content.seller.bic:
            terms["BT-86"] = content.seller.bic
    return terms


def _notes(content: Content) -> list[Terms]:
    notes = [{"BT-21": code, "BT-22": text} for code, text in mentions.notes(content.seller).items()]
    if content.seller.country == "FR":
        notes.append({"BT-21": "BAR", "BT-22": _treatment(content.buyer)})
    if content.reason:
        notes.append({"BT-22": content.reason})
    return notes


def _treatment(buyer: Buyer) -> str:
    """How French platforms treat it: sent to a French business, reported for everybody else."""
    return ("B2B" if buyer.business else "B2C") + ("" if buyer.country == "FR" else "INT")


def _out_of_scope(content: Content) -> bool:
    return any(line.tax.category == taxes.OUT_OF_SCOPE for line in content.lines)


def _seller(content: Content) -> Terms:
    seller = content.seller
    party: Terms = {
        "name": seller.name,
        "legal_info": mentions.legal(seller),
        "contacts": [{"name": seller.name, "phone": seller.phone, "email": seller.email}],
        **_address(seller),
    }
    if seller.siren:
        party |= {"legal_identifier": seller.siren, "legal_identifier_schemeid": "0002"}
    party |= _electronic(seller.siren, seller.email, seller.country)
    # Where nothing is in the scope of VAT the number must not be in the file; the page shows it all the same.
    if seller.vat_number and not _out_of_scope(content):
        party["vat_identifier"] = seller.vat_number
    elif seller.exempt:
        party["tax_identifier"] = seller.siren
    return party


def _buyer(buyer: Buyer, seller: Seller) -> Terms:
    party: Terms = {"name": buyer.name, **_address(buyer)}
    if buyer.person:
        party["contacts"] = [{"name": buyer.person, "email": buyer.email}]
    if buyer.siren:
        party |= {"legal_identifier": buyer.siren, "legal_identifier_schemeid": "0002"}
    if buyer.vat_number:
        party["vat_identifier"] = buyer.vat_number
    siren = buyer.siren if buyer.business and seller.country == "FR" else ""
    return party | _electronic(siren, buyer.email, buyer.country)


def _electronic(siren: str, email: str, country: str) -> Terms:
    if siren and country == "FR":
        return {"einvoicing_addr": siren, "einvoicing_addr_schemeid": "0225"}
    return {"einvoicing_addr": email, "einvoicing_addr_schemeid": "EM"}


def _address(party: Buyer | Seller) -> Terms:
    return {
        "addr_l1": party.address,
        "postcode": party.postcode,
        "city": party.city,
        "country_code": party.country,
    }


def _line(position: int, line: Line) -> Terms:
    terms: Terms = {
        "BT-126": str(position),
        "BT-129": str(line.quantity),
        "BT-130": "C62",
        "BT-131": _amount(line.net),
        "BT-146": _amount(line.price),
        "BT-151": line.tax.category,
        "BT-153": line.name,
    }
    if line.tax.category != taxes.OUT_OF_SCOPE:
        terms["BT-152"] = _rate(line.tax)
    if line.description:
        terms["BT-154"] = line.description
    if line.starts_on and line.ends_on:
        terms |= {"BT-134": line.starts_on, "BT-135": line.ends_on}
    if line.discount:
        terms["BG-27"] = [
            {
                "amount": _amount(line.discount),
                "base_amount": _amount(line.gross),
                # 95: discount. Without words of its own it would have none.
                "reason_code": "95",
                "reason": line.discount_reason or "95",
            }
        ]
    return terms


def _group(group: Group) -> Terms:
    decision = group.decision
    terms: Terms = {"BT-116": _amount(group.base), "BT-117": _amount(group.tax), "BT-118": decision.category}
    if decision.category != taxes.OUT_OF_SCOPE:
        terms["BT-119"] = _rate(decision)
    if decision.reason:
        terms |= {"BT-120": mentions.why_no_tax(decision), "BT-121": decision.reason}
    return terms


def _rate(decision: taxes.Decision) -> str:
    return f"{decision.rate:.2f}"


def _amount(amount: Money) -> str:
    """With the decimals that the currency has."""
    return f"{amount.amount:f}"
