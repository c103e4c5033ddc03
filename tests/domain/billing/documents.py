"""A vendor whose data are complete, customers of every kind, and a press that prints nothing."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from parcelle.core.money import Money
from parcelle.domain.billing import invoicing
from parcelle.domain.billing.invoicing import drafts
from parcelle.domain.billing.invoicing.content import INVOICE, Buyer, Content, Line
from parcelle.domain.billing.invoicing.content import Seller as SellerData
from parcelle.domain.billing.invoicing.press import Made
from parcelle.domain.billing.models import BillingDetails, Invoice, Seller
from parcelle.domain.billing.taxes import Decision
from parcelle.domain.tenancy.models import Organization
from tests.people import NOW

FRENCH = Decision(category="S", rate=Decimal(20))
REDUCED = Decision(category="S", rate=Decimal("5.5"))
REVERSE = Decision(category="AE", rate=Decimal(0), reason="VATEX-EU-AE")
OUTSIDE = Decision(category="O", rate=Decimal(0), reason="VATEX-EU-O")
EXEMPT = Decision(category="E", rate=Decimal(0), reason="VATEX-FR-FRANCHISE")
TODAY = date(2026, 3, 2)

VENDOR = {
    "name": "Atelier Logiciel",
    "legal_form": "SAS",
    "share_capital": "10 000 €",
    "address": "12 rue des Carmes",
    "postcode": "44000",
    "city": "Nantes",
    "siren": "732829320",
    "register": "RCS Nantes 732 829 320",
    "vat_number": "FR44732829320",
    "email": "compta@atelier.example",
    "phone": "+33 2 40 00 00 00",
    "iban": "FR7630006000011234567890189",
    "bic": "AGRIFRPP",
}
SELLER = SellerData(**VENDOR)  # type: ignore[arg-type]
DIOP = Buyer(
    name="Maçonnerie Diop SARL",
    person="Awa Diop",
    address="3 quai de la Fosse",
    postcode="44000",
    city="Nantes",
    siren="552100554",
    vat_number="FR96552100554",
    email="awa@example.com",
)
AWA = replace(DIOP, name="Awa Diop", business=False, siren="", vat_number="", person="")
MUELLER = Buyer(
    name="Müller & Söhne GmbH",
    address="Hauptstraße 5",
    postcode="10115",
    city="Berlin",
    country="DE",
    vat_number="DE136695976",
    email="buchhaltung@mueller.example",
)
WAFO = Buyer(name="Établissements Wafo", address="Rue Joss", city="Douala", country="CM", email="wafo@example.com")


def line(minor: int = 4900, currency: str = "EUR", **said: Any) -> Line:
    return Line(**{"name": "Tryton Silver", "price": Money(minor, currency), "tax": FRENCH, **said})


def content(*lines: Line, **said: Any) -> Content:
    lines = lines or (line(),)
    buyer = said.get("buyer", DIOP)
    return Content(
        **{
            "kind": INVOICE,
            "language": "fr",
            "currency": lines[0].price.currency,
            "lines": lines,
            "seller": SELLER,
            "buyer": buyer,
            "country": buyer.country,
            "due_on": date(2026, 4, 1),
            **said,
        }
    )


def vendor(**changes: Any) -> Seller:
    return Seller.objects.update_or_create(pk=1, defaults={**VENDOR, **changes})[0]


def customer(organization: Organization, buyer: Buyer = DIOP) -> BillingDetails:
    said = {name: getattr(buyer, name) for name in buyer.__dataclass_fields__}
    return BillingDetails.objects.update_or_create(
        organization=organization, defaults={**said, "updated_at": NOW, "vat_number_valid": True}
    )[0]


def draft(organization: Organization, said: Content | None = None, *, now: datetime = NOW) -> Invoice:
    """A draft that nobody finalises by himself."""
    return drafts._store(
        said or content(), now=now, key=f"test:{uuid.uuid4()}", organization=organization, paid_at=None
    )


class QuickPress:
    """Prints the number and nothing else: for tests that are about numbers."""

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self.before = before

    def make(self, content: Content, *, number: str, issued_on: date) -> Made:
        self.before()
        said = f"{number} {issued_on} {content.total}".encode()
        return Made(xml=b"xml " + said, ubl=b"ubl " + said, pdf=b"pdf " + said)


def issue(organization: Organization, said: Content | None = None, *, now: datetime = NOW) -> Invoice:
    """A finalised invoice, made by the quick press."""
    made = draft(organization, said, now=now)
    return invoicing.finalise(made.pk, clock=lambda: now, press=QuickPress())
