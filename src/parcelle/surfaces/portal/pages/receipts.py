"""`/orders/<id>/receipt`: what shows that a transfer was ordered, sent in and read again; and paying another way."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from parcelle.core import ratelimit
from parcelle.core.addresses import address as address_of
from parcelle.domain.billing import receipts, transfers
from parcelle.domain.billing.errors import ReceiptRefused, TransferRefused
from parcelle.domain.billing.models import Order, Receipt, Transfer
from parcelle.surfaces.documents import document
from parcelle.surfaces.portal.bank_transfers import UPLOADS
from parcelle.surfaces.portal.ordering import admit, admit_to_pay

MOST_PER_HOUR, WINDOW = 20, timedelta(hours=1)


@never_cache
@require_POST
def upload(request: HttpRequest, order_id: UUID) -> HttpResponse:
    transfer = _transfer(admit_to_pay(request, order_id))
    try:
        _take(request, transfer)
    except ReceiptRefused as refused:
        messages.error(request, str(UPLOADS[refused.code]))
    else:
        messages.success(request, _("Thank you. We have your receipt and look at it as soon as we can."))
    return redirect("order", order_id=order_id)


def _take(request: HttpRequest, transfer: Transfer) -> None:
    file = request.FILES.get("receipt")
    if file is None:
        raise ReceiptRefused("missing")
    if (file.size or 0) > receipts.MOST_BYTES:
        # Not even read into the memory.
        raise ReceiptRefused("too_large")
    address = address_of(request)
    now = timezone.now()
    if settings.RATE_LIMITS and ratelimit.hit(f"receipt:{address}", limit=MOST_PER_HOUR, window=WINDOW, now=now):
        raise ReceiptRefused("too_many")
    actor = f"user:{request.user.pk}" if request.user.is_authenticated else "visitor"
    receipts.upload(transfer.pk, name=file.name or "", content=file.read(), actor=actor, address=address, now=now)


@never_cache
@require_safe
def receipt(request: HttpRequest, order_id: UUID, receipt_id: UUID) -> HttpResponse:
    """What the customer sent in, for themselves."""
    transfer = _transfer(admit(request, order_id))
    found = Receipt.objects.filter(pk=receipt_id, transfer=transfer).first()
    content = receipts.read(found) if found else None
    if found is None or content is None:
        raise Http404
    return document(content, content_type=receipts.CONTENT_TYPES[found.kind], name=f"{transfer.reference}.{found.kind}")


@never_cache
@require_POST
def other_way(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """The customer has sent no money and wants to pay another way."""
    transfer = _transfer(admit_to_pay(request, order_id))
    actor = f"user:{request.user.pk}" if request.user.is_authenticated else "visitor"
    try:
        transfers.withdraw(transfer.pk, actor=actor, now=timezone.now())
    except TransferRefused:
        messages.error(
            request, _("Something has arrived for this transfer in the meantime: please wait for our answer.")
        )
    return redirect("order", order_id=order_id)


def _transfer(order: Order) -> Transfer:
    found = Transfer.objects.filter(payment__order=order).order_by("-created_at").first()
    if found is None:
        raise Http404
    return found
