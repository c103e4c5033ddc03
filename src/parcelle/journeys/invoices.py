"""What becomes an invoice or a credit note, who is sent it, and what happens to those that wait."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from parcelle.core.models import Fact
from parcelle.domain.billing import invoicing, recoveries, refunds, sellers, vat_numbers
from parcelle.domain.billing.invoicing import delivery, details, requests
from parcelle.domain.billing.invoicing.press import PressFailed
from parcelle.domain.billing.models import Invoice
from parcelle.domain.notifications import actions as notifications
from parcelle.domain.tenancy import queries as organizations

logger = structlog.get_logger(__name__)


def invoice_order(fact: Fact) -> None:
    """A fulfilled order gets its invoice, which says that it is paid; once."""
    now, order_id = timezone.now(), UUID(fact.data["order_id"])
    invoicing.draft_for_order(order_id, now=now)
    # What was given back before there was an invoice.
    for refund_id in refunds.done_of(order_id):
        invoicing.credit_for_refund(refund_id, now=now)
    recoveries.note_on_invoice(order_id)


def credit_refund(fact: Fact) -> None:
    """Money that was given back for something invoiced gets its credit note; once."""
    invoicing.credit_for_refund(UUID(fact.data["refund_id"]), now=timezone.now())


def send(fact: Fact) -> None:
    """The mail with the document; once per document."""
    invoice = Invoice.objects.select_related("organization", "corrects").get(pk=UUID(fact.data["invoice_id"]))
    owner = organizations.owner_of(invoice.organization_id)
    known = details.of(invoice.organization)
    language = invoice.content["language"]
    notifications.send(
        key=f"invoice:{invoice.pk}",
        kind=invoice.kind,
        to=(known.email if known else "") or owner.email,
        language=language,
        context={
            "first_name": owner.first_name,
            "company": invoice.organization.name,
            "number": invoice.number,
            "corrected": invoice.corrects.number if invoice.corrects else "",
            "amount": invoice.total.format(language),
            "paid": invoice.content["paid_on"] is not None,
            "due_until": _midnight(invoice),
            "url": f"{settings.PUBLIC_URL}/billing",
            "dashboard_url": f"{settings.PUBLIC_URL}/dashboard",
            "attachments": [f"invoice:{invoice.pk}"],
        },
        organization_id=invoice.organization_id,
        now=timezone.now(),
    )


def _midnight(invoice: Invoice) -> str | None:
    if invoice.due_on is None:
        return None
    return timezone.make_aware(datetime.combine(invoice.due_on, datetime.min.time())).isoformat()


def hand_over(fact: Fact) -> None:
    """The document goes to the platform, where one is set up; once."""
    delivery.hand_over(UUID(fact.data["invoice_id"]), now=timezone.now())


def ask_for_details(fact: Fact) -> None:
    """What only the customer knows is asked of them by mail; once per invoice."""
    if not any(code.startswith("buyer_") for code in fact.data["codes"]):
        return
    invoice = Invoice.objects.select_related("organization").get(pk=UUID(fact.data["invoice_id"]))
    owner, language = organizations.owner_of(invoice.organization_id), invoice.content["language"]
    slug = invoice.organization.slug
    notifications.send(
        key=f"billing-details:{invoice.pk}",
        kind="billing_details",
        to=owner.email,
        language=language,
        context={
            "first_name": owner.first_name,
            "company": invoice.organization.name,
            "amount": invoice.total.format(language),
            "missing": [code for code in fact.data["codes"] if code.startswith("buyer_")],
            "url": f"{settings.PUBLIC_URL}/billing/details/{slug}",
            "dashboard_url": f"{settings.PUBLIC_URL}/dashboard",
        },
        organization_id=invoice.organization_id,
        now=timezone.now(),
    )


def retry(*, organization_id: UUID | None = None) -> int:
    """Somebody filled in what was missing: everything that waits is tried again at once."""
    waiting = Invoice.objects.filter(state=Invoice.DRAFT, ready_at__isnull=False)
    if organization_id is not None:
        waiting = waiting.filter(organization_id=organization_id)
    ids = list(waiting.order_by("-kind", "ready_at").values_list("pk", flat=True))
    with transaction.atomic():
        for invoice_id in ids:
            requests.finalise_soon(invoice_id)
    return len(ids)


def check_vat_numbers(*, now: datetime) -> int:
    """VIES is often down: what it did not answer is asked again each night, and counts from the next invoice on."""
    return vat_numbers.ask_again(country=sellers.current().country, now=now)


def run(*, now: datetime) -> int:
    """What should have its number by now; one that cannot have it never stops the others."""
    done = 0
    for invoice_id in list(invoicing.waiting(now)):
        try:
            done += invoicing.attempt(invoice_id)
        except PressFailed as error:
            logger.warning("an invoice could not be made", invoice_id=str(invoice_id), reason=str(error)[:300])
        except Exception:
            logger.exception("an invoice could not be finalised", invoice_id=str(invoice_id))
    return done
