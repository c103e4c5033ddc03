"""To whom an organization's invoices are made out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction

from parcelle.domain.billing import taxes
from parcelle.domain.billing.models import BillingDetails, Order
from parcelle.domain.tenancy.models import Organization

# What a person may be asked for, and what an order already says of it.
FIELDS = ("email", "address", "postcode", "city", "country", "siren", "vat_number")


@transaction.atomic
def learn(order: Order, organization: Organization, *, now: datetime) -> BillingDetails:
    """What an order says about its buyer, taken over; what it does not say stays as it was known."""
    buyer = order.buyer
    person = f"{buyer.get('first_name', '')} {buyer.get('last_name', '')}".strip()
    said: dict[str, Any] = {name: buyer.get(name) for name in FIELDS if buyer.get(name)}
    said |= {"name": buyer.get("company") or person, "business": bool(buyer.get("company")), "person": person}
    if said.get("vat_number"):
        said["vat_number_valid"] = buyer.get("vat_number_valid")
    details, _new = BillingDetails.objects.update_or_create(
        organization=organization, defaults={**said, "updated_at": now}
    )
    return details


def of(organization: Organization) -> BillingDetails | None:
    return BillingDetails.objects.filter(organization=organization).first()


def for_taxes(details: BillingDetails) -> taxes.Buyer:
    return taxes.Buyer(
        country=details.country,
        business=details.business,
        vat_number=details.vat_number,
        vat_number_valid=details.vat_number_valid,
    )
