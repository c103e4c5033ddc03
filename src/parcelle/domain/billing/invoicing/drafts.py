"""Documents before they have a number: made once for what they are about, changed and thrown away freely."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone, translation

from parcelle.core.money import Money
from parcelle.domain.billing import baskets, payment_states, periods
from parcelle.domain.billing.invoicing import details, mentions, requests
from parcelle.domain.billing.invoicing.content import CARD, INVOICE, ONLINE, TRANSFER, Content, Line, with_discount
from parcelle.domain.billing.models import Invoice, InvoiceBalance, Order, Payment
from parcelle.domain.billing.taxes import Decision

MEANS = {"bank_transfer": TRANSFER, "stripe": CARD}


def draft_for_order(order_id: UUID, *, now: datetime) -> Invoice | None:
    """The invoice of a fulfilled order, paid already; None for an order that cost nothing. Once per order."""
    with transaction.atomic():
        order = Order.objects.select_for_update(of=("self",)).get(pk=order_id)
        known = Invoice.objects.filter(key=f"order:{order_id}").first()
        if known is not None or not order.total_minor or order.kind == Order.RECOVERY:
            # What was taken back and is paid again was invoiced the first time.
            return known
        assert order.organization is not None and order.fulfilled_at is not None
        details.learn(order, order.organization, now=now)
        payment = paying(order)
        paid_at = order.paid_at or now
        content = replace(
            _of_order(order, order.period_start or order.fulfilled_at),
            paid_on=timezone.localdate(paid_at),
            means=MEANS.get(payment.gateway, ONLINE) if payment else "",
        )
        return _store(
            content,
            now=now,
            key=f"order:{order_id}",
            organization=order.organization,
            order=order,
            subscription=order.subscription,
            ready_at=now,
            paid_at=paid_at,
        )


def paying(order: Order) -> Payment | None:
    """The payment that paid the order; what came in beside it is surplus."""
    settled = {payment_states.PAID, payment_states.PAID_LATE, payment_states.PARTLY_REFUNDED}
    settled |= {payment_states.REFUNDED, payment_states.CHARGED_BACK}
    paid = order.payments.filter(state__in=settled, settled_at=order.paid_at)
    return paid.order_by("created_at").first()


def _of_order(order: Order, started_at: datetime) -> Content:
    days = _days(started_at, order.period_end or _one_later(started_at, order.price.interval))
    with translation.override(order.language):
        discount = Money(order.discount_minor, order.currency)
        reason = mentions.coupon(order.coupon.code) if order.coupon else ""
        lines = with_discount(_lines(order, {"tax": Decision.read(order.tax), **days}), discount, reason)
    return Content(
        kind=INVOICE,
        language=order.language,
        currency=order.currency,
        country=order.buyer.get("country", "FR"),
        lines=tuple(lines),
        reference=order.number,
        **days,
    )


def _lines(order: Order, common: dict[str, Any]) -> list[Line]:
    """The plan, and each add-on by itself, in the language that is active."""
    plan, subtotal = order.plan, Money(order.subtotal_minor, order.currency)
    parts = [part for part in baskets.parts(order) if part.amount]
    rest = subtotal - Money.total((part.amount for part in parts), order.currency)
    if rest.minor < 0 or any(part.amount.minor * part.more < 0 for part in parts):
        # A change that is cheaper than its parts, since it begins before the end of what was paid.
        rest, parts = subtotal, []
    first = Line(
        name=f"{plan.product.name} {plan.name}",
        description=mentions.subscription(order.price.interval),
        price=rest,
        **common,
    )
    lines = [_add_on_line(order, part, common) for part in parts]
    return [first, *lines] if rest else lines


def _add_on_line(order: Order, part: baskets.Part, common: dict[str, Any]) -> Line:
    name, sold = part.extra.price.add_on.name, part.extra.price
    if order.kind != Order.CHANGE:
        about = mentions.subscription(sold.interval)
        return Line(name=name, description=about, price=sold.amount, quantity=part.extra.quantity, **common)
    sign = 1 if part.amount.minor > 0 else -1
    return Line(name=name, description=mentions.add_ons(part.more), price=part.amount * sign, quantity=sign, **common)


def _one_later(started_at: datetime, interval: str) -> datetime:
    return periods.next_start(started_at, interval=interval, anchor_day=periods.anchor_of(started_at))


def _days(starts_at: datetime, ends_at: datetime) -> dict[str, Any]:
    """The first and the last day of a period, where the seller is."""
    first, following = timezone.localdate(starts_at), timezone.localdate(ends_at)
    return {"starts_on": first, "ends_on": max(first, following - timedelta(days=1))}


def _store(content: Content, *, now: datetime, paid_at: datetime | None, **columns: Any) -> Invoice:
    invoice = Invoice.objects.create(
        kind=content.kind,
        currency=content.currency,
        net_minor=content.net.minor,
        tax_minor=content.tax.minor,
        total_minor=content.total.minor,
        due_on=content.due_on,
        content=content.stored(),
        created_at=now,
        **columns,
    )
    InvoiceBalance.objects.create(
        invoice=invoice, total_minor=invoice.total_minor, paid_minor=content.paid.minor, paid_at=paid_at
    )
    if invoice.ready_at is not None and invoice.ready_at <= now:
        requests.finalise_soon(invoice.pk)
    return invoice


def lock(invoice_id: UUID) -> InvoiceBalance:
    return InvoiceBalance.objects.select_for_update().get(pk=invoice_id)


@transaction.atomic
def discard(invoice_id: UUID) -> bool:
    """Throws a draft away, and frees what a credit note had taken; false for what has a number, which stays."""
    invoice = Invoice.objects.select_for_update().filter(pk=invoice_id, state=Invoice.DRAFT).first()
    if invoice is None:
        return False
    if invoice.corrects_id is not None:
        balance = lock(invoice.corrects_id)
        balance.credited_minor -= invoice.total_minor
        balance.save(update_fields=["credited_minor"])
    invoice.delete()
    return True
