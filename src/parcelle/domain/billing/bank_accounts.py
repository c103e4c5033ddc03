"""The vendor's bank accounts and the rules for transfers, as an operator wrote them into the settings.

Amounts and further accounts are lists with semicolons, each entry beginning with its currency:
`XAF CM21 1000 2000 3002 7797 6315 008 AFRICMCX; GBP GB33 BUKB 2020 1555 5555 55`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.translation import gettext_noop as _
from schwifty import BIC, IBAN
from schwifty.exceptions import SchwiftyException

from parcelle.core.money import Money, NotMoney, decimals
from parcelle.domain.billing.sentences import Sentence

_BIC = re.compile(r"[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?")


class Unreadable(ValueError):
    """A setting does not say what it should; the sentence is for the operator."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True, kw_only=True)
class Account:
    """Where transfers in one currency go. `iban` and `bic` are without spaces; `bic` and `bank` may be unknown."""

    currency: str
    iban: str
    bic: str = ""
    bank: str = ""

    @property
    def sepa(self) -> bool:
        return bool(IBAN(self.iban).in_sepa_zone)


def iban(text: str) -> str:
    """Without spaces and in capitals. Raises Unreadable when it is none."""
    try:
        return str(IBAN(text).compact)
    except SchwiftyException:
        said = text.strip()
        raise Unreadable(
            Sentence(_("“%(said)s” is not a valid IBAN."), said=said) if said else Sentence(_("The IBAN is missing."))
        ) from None


def account(*, currency: str, number: str, bic: str = "", bank: str = "") -> Account:
    """Raises Unreadable. BIC and bank come from the IBAN where the country's register tells them."""
    _known(currency)
    compact = iban(number)
    known = IBAN(compact)
    if bic:
        bic = bic.replace(" ", "").upper()
        try:
            BIC(bic)
        except SchwiftyException:
            raise Unreadable(Sentence(_("“%(said)s” is not a valid BIC."), said=bic)) from None
    return Account(
        currency=currency,
        iban=compact,
        bic=bic or str(known.bic or ""),
        bank=bank.strip() or str(known.bank_name or ""),
    )


def accounts(values: Mapping[str, str]) -> dict[str, Account]:
    """Currency -> account. Raises Unreadable."""
    currency = values.get("currency", "").strip().upper() or "EUR"
    first = account(
        currency=currency, number=values.get("iban", ""), bic=values.get("bic", ""), bank=values.get("bank", "")
    )
    found = {first.currency: first}
    for entry in _entries(values.get("other_accounts", "")):
        currency, _space, rest = entry.partition(" ")
        *number, last = rest.split() or [""]
        # The last word is a BIC unless the IBAN needs it.
        bic = last if number and _BIC.fullmatch(last.upper()) and not last[:4].isdigit() else ""
        other = account(currency=currency.upper(), number="".join(number) if bic else rest, bic=bic)
        if other.currency in found:
            raise Unreadable(Sentence(_("There are two accounts for %(currency)s."), currency=other.currency))
        found[other.currency] = other
    return found


def amounts(text: str) -> dict[str, Money]:
    """`EUR 5000; XAF 3000000` -> by currency. Raises Unreadable."""
    found = {}
    for entry in _entries(text):
        currency, _space, number = entry.partition(" ")
        _known(currency.upper())
        try:
            amount = Money.of(re.sub(r"\s", "", number).replace(",", "."), currency.upper())
        except NotMoney:
            raise Unreadable(
                Sentence(_("“%(said)s” is not a currency and an amount, such as EUR 5000."), said=entry)
            ) from None
        if amount.minor < 0:
            raise Unreadable(Sentence(_("“%(said)s” is negative."), said=entry))
        found[amount.currency] = amount
    return found


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(";") if entry.strip()]


def _known(currency: str) -> None:
    try:
        decimals(currency)
    except NotMoney:
        raise Unreadable(Sentence(_("“%(said)s” is not a currency."), said=currency)) from None
