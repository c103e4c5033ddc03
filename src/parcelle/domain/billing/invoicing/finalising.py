"""From draft to document: complete, made and checked, then numbered under a lock and never changed again.

Making a document takes a good part of a second, which nobody should wait for while holding the counter. So it is made
with the number that comes next, and the number is only taken, in one short transaction, if it still is the next
one; otherwise the document is made again. A document that is refused uses no number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from datetime import date, datetime
from uuid import UUID

import structlog
from django.db import transaction
from django.utils import timezone

from parcelle.core import events
from parcelle.domain.billing import sellers
from parcelle.domain.billing.events import InvoiceFinalised, InvoiceWaiting
from parcelle.domain.billing.invoicing import books, chain, details, numbering, rates, refusals, requests
from parcelle.domain.billing.invoicing.content import Buyer, Content, Reference, Seller
from parcelle.domain.billing.invoicing.press import LibrariesMissing, Made, Press, PressFailed, WarmPress
from parcelle.domain.billing.invoicing.refusals import InvoiceRefused, Problem
from parcelle.domain.billing.models import BillingDetails, GatewaySettings, Invoice
from parcelle.domain.billing.models import Seller as SellerRow

logger = structlog.get_logger(__name__)

# Each time somebody else took the number meanwhile, so somebody gets on.
MOST_TRIES = 200


class _Overtaken(Exception):
    """The number that the document was made with belongs to another one by now."""


def finalise(invoice_id: UUID, *, clock: Callable[[], datetime] = timezone.now, press: Press | None = None) -> Invoice:
    """Gives a draft its number and date and stores the document; what has them is returned as it is.

    Raises InvoiceRefused with all that is missing, and PressFailed where it cannot be made now. No transaction may be
    open.
    """
    maker = press or WarmPress()
    for _try in range(MOST_TRIES):
        invoice = Invoice.objects.select_related("organization", "corrects").get(pk=invoice_id)
        if invoice.state == Invoice.FINALISED:
            return invoice
        expected = numbering.foresee(invoice.kind, today=_today(clock))
        content = complete(invoice, today=expected.issued_on)
        refusals.check(content)
        made = maker.make(content, number=expected.number, issued_on=expected.issued_on)
        try:
            return _record(invoice, content, made, expected, clock)
        except _Overtaken:
            continue
    raise PressFailed("others were always faster")


def _today(clock: Callable[[], datetime]) -> date:
    return timezone.localdate(clock())


def complete(invoice: Invoice, *, today: date) -> Content:
    """The draft with everything that is copied into the document: seller, customer, rate, the corrected invoice."""
    content = Content.read(invoice.content)
    if invoice.corrects is None:
        # What waited for its data may be issued after the day it was to be paid on, and no invoice is due before it is.
        due_on = max(content.due_on, today) if content.due_on and not content.paid_on else content.due_on
        return replace(
            content,
            due_on=due_on,
            seller=_with_account(snapshot_of_seller(sellers.current())),
            buyer=snapshot_of_buyer(details.of(invoice.organization)),
            euros=rates.on(today, content.currency),
        )
    original = invoice.corrects
    if original.number is None or original.issued_on is None:
        raise InvoiceRefused([Problem("document_waits")])
    said = Content.read(original.content)
    reference = Reference(number=original.number, issued_on=original.issued_on)
    return replace(content, seller=said.seller, buyer=said.buyer, euros=said.euros, corrects=reference)


def snapshot_of_seller(row: SellerRow) -> Seller:
    names = {field.name for field in fields(Seller)} - {"exempt"}
    return Seller(**{name: getattr(row, name) for name in names}, exempt=row.vat_exempt)


def _with_account(seller: Seller) -> Seller:
    """Without an account of its own for invoices, that of bank transfers is printed."""
    transfers = None if seller.iban else GatewaySettings.objects.filter(name="bank_transfer", enabled=True).first()
    if transfers is None:
        return seller
    iban, bic = ("".join(transfers.values.get(name, "").split()) for name in ("iban", "bic"))
    return replace(seller, iban=iban, bic=bic)


def snapshot_of_buyer(row: BillingDetails | None) -> Buyer:
    return Buyer(**{field.name: getattr(row, field.name) for field in fields(Buyer)}) if row else Buyer()


@transaction.atomic
def _record(
    invoice: Invoice, content: Content, made: Made, expected: numbering.Taken, clock: Callable[[], datetime]
) -> Invoice:
    locked = Invoice.objects.select_for_update().get(pk=invoice.pk)
    if locked.state == Invoice.FINALISED:
        return locked
    if locked.content != invoice.content:
        raise _Overtaken
    numbering.lock(locked.kind)
    # The clock is read under the lock: whoever has the higher number has no earlier date.
    now = clock()
    taken = numbering.take(locked.kind, today=timezone.localdate(now))
    if taken != expected:
        raise _Overtaken
    locked.state = Invoice.FINALISED
    locked.number, locked.sequence, locked.issued_on = taken.number, taken.sequence, taken.issued_on
    locked.content, locked.problems, locked.finalised_at = content.stored(), [], now
    locked.due_on = content.due_on
    locked.save()
    chain.link(locked, xml=made.xml, pdf=made.pdf, ubl=made.ubl)
    books.post(locked, content, now=now)
    events.record(
        InvoiceFinalised(
            organization_id=locked.organization_id, invoice_id=locked.pk, kind=locked.kind, number=taken.number
        ),
        now=now,
    )
    for note in locked.credit_notes.filter(state=Invoice.DRAFT):
        requests.finalise_soon(note.pk)
    return locked


def attempt(invoice_id: UUID, *, clock: Callable[[], datetime] = timezone.now, press: Press | None = None) -> bool:
    """What a worker does: a document that is refused waits as a draft, with the reasons, and is no failure.

    Raises PressFailed where trying again helps.
    """
    try:
        finalise(invoice_id, clock=clock, press=press)
    except InvoiceRefused as refused:
        _wait(invoice_id, list(refused.problems), now=clock())
    except LibrariesMissing as missing:
        _wait(invoice_id, [Problem("document_libraries", str(missing)[:300])], now=clock())
    except Invoice.DoesNotExist:
        return False
    else:
        return True
    return False


@transaction.atomic
def _wait(invoice_id: UUID, problems: list[Problem], *, now: datetime) -> None:
    invoice = Invoice.objects.select_for_update().filter(pk=invoice_id, state=Invoice.DRAFT).first()
    said = [{"code": problem.code, "detail": problem.detail} for problem in problems]
    if invoice is None or invoice.problems == said:
        return
    Invoice.objects.filter(pk=invoice_id).update(problems=said)
    codes = [problem.code for problem in problems]
    logger.warning("an invoice waits", invoice_id=str(invoice_id), codes=codes)
    events.record(InvoiceWaiting(organization_id=invoice.organization_id, invoice_id=invoice_id, codes=codes), now=now)


def waiting(now: datetime) -> Iterator[UUID]:
    """Drafts that should have their number by now, invoices before what corrects them."""
    due = Invoice.objects.filter(state=Invoice.DRAFT, ready_at__lte=now)
    yield from due.order_by("-kind", "ready_at").values_list("pk", flat=True)
