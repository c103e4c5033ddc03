"""What the tests of bank transfers start from."""

from __future__ import annotations

import io
import uuid
from datetime import date
from typing import Any

import pikepdf
from PIL import Image

from parcelle.core.money import Money
from parcelle.domain.billing import payments, transfers
from parcelle.domain.billing.models import Confirmation, GatewaySettings, Order, Transfer
from tests.domain.billing.selling import open_shop, order
from tests.people import NOW

IBAN = "FR1420041010050500013M02606"
SETTINGS = {
    "holder": "Atelier Parcelle",
    "iban": "FR14 2004 1010 0505 0001 3M02 606",
    "bic": "PSSTFRPPXXX",
    "other_accounts": "XAF CM21 1000 2000 3002 7797 6315 008 AFRICMCX",
    "second_person_from": "EUR 1000; XAF 1000000",
    "tolerance": "EUR 2; XAF 1500",
}
ANN, BEN = uuid.UUID(int=1), uuid.UUID(int=2)


def switch_on(**values: str) -> None:
    """The vendor takes transfers; 49.00 EUR and 20 % VAT make 58.80 EUR."""
    GatewaySettings.objects.update_or_create(
        name="bank_transfer", defaults={"enabled": True, "values": {**SETTINGS, **values}}
    )


def expected(amount: str = "49.00", currency: str = "EUR", **values: str) -> Transfer:
    """A transfer that a customer was just asked for."""
    switch_on(**values)
    return expect(order(open_shop(amount, currency)))


def expect(placed: Order) -> Transfer:
    payment = payments.begin(placed.pk, gateway="bank_transfer", details={}, now=NOW)
    payments.carry_out(payment.pk, now=NOW)
    return Transfer.objects.select_related("payment__order").get(payment=payment)


def again(transfer: Transfer) -> Transfer:
    return Transfer.objects.select_related("payment__order").get(pk=transfer.pk)


def confirm(transfer: Transfer, amount: str = "58.80", reference: str = "B-1", **said: Any) -> Confirmation:
    known = {
        "amount": Money.of(amount, said.pop("currency", transfer.currency)),
        "value_date": date(2026, 3, 2),
        "bank_reference": reference,
        "person": ANN,
        "actor": f"user:{ANN}",
        "now": NOW,
    }
    return transfers.confirm(transfer.pk, **{**known, **said})


def pdf(text: str = "Avis de virement") -> bytes:
    document = pikepdf.new()
    document.add_blank_page()
    document.docinfo["/Title"] = text
    file = io.BytesIO()
    document.save(file, deterministic_id=True)
    return file.getvalue()


def picture(kind: str = "png", colour: int = 200) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (colour, 10, 10)).save(file, kind)
    return file.getvalue()
