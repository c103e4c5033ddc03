"""Why a document cannot be issued: which datum of the seller or the customer is missing, by a code that has words.

The tax administration's own checks let wrong check digits, decimals of francs and a VAT that is a few cents off
pass; those are looked at here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from parcelle.domain.billing import bank_accounts, taxes, vat_numbers
from parcelle.domain.billing.invoicing.content import CREDIT_NOTE, Buyer, Content, Seller, by_rate

# Forms of companies with a capital, which has to be named with the register.
_WITH_CAPITAL = ("SA", "SARL", "SAS", "SASU", "EURL", "SCA", "SCS", "SNC", "SELARL", "SELAS", "SE")


@dataclass(frozen=True)
class Problem:
    """`code` begins with seller_, buyer_ or document_; `detail` is what a check said, where it said more."""

    code: str
    detail: str = ""


class InvoiceRefused(Exception):
    """The document cannot be issued as it is; `problems` say why, and it stays a draft."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(", ".join(problem.code for problem in problems))
        self.problems = tuple(problems)


def check(content: Content) -> None:
    """Raises InvoiceRefused with all that is known to be missing."""
    found = [*of_seller(content.seller), *_of_buyer(content), *_of_document(content)]
    if found:
        raise InvoiceRefused([Problem(code) for code in dict.fromkeys(found)])


def of_seller(seller: Seller) -> Iterator[str]:
    for name in ("name", "address", "postcode", "city", "email", "legal_form"):
        if not getattr(seller, name):
            yield f"seller_{name}"
    form = seller.legal_form.upper().replace(".", "").split()[:1]
    if form and form[0] in _WITH_CAPITAL:
        for name in ("share_capital", "register"):
            if not getattr(seller, name):
                yield f"seller_{name}"
    if seller.country == "FR" and not _siren(seller.siren):
        yield "seller_siren"
    if seller.iban and not _iban(seller.iban):
        yield "seller_iban"
    if seller.country in taxes.EU and not seller.exempt and not _vat_number(seller.vat_number, seller.country):
        yield "seller_vat_number"


def _of_buyer(content: Content) -> Iterator[str]:
    buyer = content.buyer
    for name in ("name", "address", "city", "email"):
        if not getattr(buyer, name):
            yield f"buyer_{name}"
    if buyer.country == "FR" and not buyer.postcode:
        yield "buyer_postcode"
    if buyer.country != content.country:
        yield "buyer_country"
    yield from _numbers_of(buyer, content)


def _numbers_of(buyer: Buyer, content: Content) -> Iterator[str]:
    if buyer.business and buyer.country == "FR" and content.seller.country == "FR" and not _siren(buyer.siren):
        yield "buyer_siren"
    reverse = any(line.tax.category == taxes.REVERSE_CHARGE for line in content.lines)
    if (reverse or buyer.vat_number) and not _vat_number(buyer.vat_number, buyer.country):
        yield "buyer_vat_number"


def _of_document(content: Content) -> Iterator[str]:
    if not content.lines or content.total.minor <= 0:
        yield "document_amount"
    if any(line.price.minor <= 0 or line.quantity == 0 for line in content.lines):
        yield "document_price"
    if content.currency != "EUR" and content.euros is None:
        yield "document_rate"
    if content.kind == CREDIT_NOTE and content.corrects is None:
        yield "document_waits"
    expected = {group.decision: group for group in by_rate(content.lines, content.currency)}
    given = {group.decision: group for group in content.groups}
    # A cent of play only where a part of an amount with tax is given back, which not every cent of net can give.
    play = 1 if content.given_groups else 0
    if set(expected) != set(given) or any(
        given[decision].base != group.base or abs(given[decision].tax.minor - group.tax.minor) > play
        for decision, group in expected.items()
    ):
        yield "document_tax"


def _siren(number: str) -> bool:
    try:
        return vat_numbers.tidy_siren(number) == number
    except vat_numbers.NotWellFormed:
        return False


def _iban(number: str) -> bool:
    try:
        return bank_accounts.iban(number) == number
    except bank_accounts.Unreadable:
        return False


def _vat_number(number: str, country: str) -> bool:
    try:
        return bool(number) and vat_numbers.tidy(number, country) == number
    except vat_numbers.NotWellFormed:
        return False


# What the checks of the XML say -> the datum that it is about.
_RULES = {
    "BR-06": "seller_name",
    "BR-07": "buyer_name",
    "BR-08": "seller_address",
    "BR-09": "seller_address",
    "BR-10": "buyer_address",
    "BR-11": "buyer_country",
    "BR-S-02": "seller_vat_number",
    "BR-E-02": "seller_vat_number",
    "BR-AE-02": "buyer_vat_number",
    "BR-FR-09": "seller_siren",
    "BR-FR-10": "seller_siren",
    "BR-FR-11": "buyer_siren",
    "BR-FR-12": "buyer_email",
    "BR-FR-13": "seller_email",
    "BR-FR-21": "buyer_siren",
    "BR-FR-32": "seller_siren",
    "BR-FR-CO-12": "document_rate",
}


def of_rule(rule: str, text: str) -> Problem:
    """A failed rule of the published checks: the datum it is about where that is known, its own words in any case."""
    bare = rule.partition("_")[0]
    return Problem(_RULES.get(bare, "document_rule"), f"{rule}: {' '.join(text.split())}"[:500])
