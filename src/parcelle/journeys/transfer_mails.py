"""Bank transfers, for who has left the page: where the money goes, what of it is missing, and that a receipt proved
nothing."""

from __future__ import annotations

from uuid import UUID

from django.utils import timezone

from parcelle.core.models import Fact
from parcelle.core.money import Money
from parcelle.domain.billing import order_links, references, transfer_states, transfers
from parcelle.domain.billing.models import Transfer
from parcelle.domain.notifications import actions as notifications
from parcelle.journeys.open_orders import name_of


def tell_where_to(fact: Fact) -> None:
    """The mail with everything a bank asks for, for whoever makes the transfer later or is not the one who ordered."""
    transfer = _transfer_of(fact)
    _send(
        transfer,
        "transfer_asked",
        f"transfer-asked:{transfer.payment_id}",
        amount=transfer.payment.amount.format(transfer.payment.order.language),
        **_account(transfer),
    )


def tell_missing(fact: Fact) -> None:
    """Less has arrived than was ordered: how much is missing, and where to; once per sum that has arrived.

    Not for what banks may have kept of it: that the vendor accepts, or asks for himself.
    """
    transfer = _transfer_of(fact)
    short = transfer.missing > transfers.opened().tolerance(transfer.currency)
    if transfer.state != transfer_states.PARTIAL or not short:
        return
    language = transfer.payment.order.language
    _send(
        transfer,
        "transfer_partial",
        f"transfer-partial:{transfer.payment_id}:{transfer.received_minor}",
        amount=Money(transfer.received_minor, transfer.currency).format(language),
        rest=transfer.missing.format(language),
        **_account(transfer),
    )


def _account(transfer: Transfer) -> dict[str, str]:
    told = transfer.told
    return {
        "holder": told["holder"],
        "iban": references.grouped(told["iban"]),
        "bic": told.get("bic", ""),
        "bank": told.get("bank", ""),
        "reference": references.grouped(transfer.reference),
    }


def tell_rejected(fact: Fact) -> None:
    """The mail about a receipt that was turned down, with the link to where another one is sent; once per receipt."""
    transfer = _transfer_of(fact)
    _send(
        transfer,
        "receipt_rejected",
        f"receipt-rejected:{fact.pk}",
        amount=transfer.payment.order.total.format(transfer.payment.order.language),
        reason=str(fact.data["reason"]),
        # What somebody wrote about it, unless it has been judged anew since.
        said=transfer.reason_text if transfer.reason == fact.data["reason"] else "",
    )


def _transfer_of(fact: Fact) -> Transfer:
    known = Transfer.objects.select_related("payment__order__plan__product")
    return known.get(payment_id=UUID(fact.data["payment_id"]))


def _send(transfer: Transfer, kind: str, key: str, **more: str) -> None:
    order = transfer.payment.order
    notifications.send(
        key=key,
        kind=kind,
        to=order.email,
        language=order.language,
        context={
            "first_name": name_of(order),
            "company": order.buyer.get("company") or order.email,
            "product": order.plan.product.name,
            "number": order.number,
            "open_until": transfer.expires_at.isoformat(),
            "url": order_links.link_of(order.pk),
            **more,
        },
        organization_id=order.organization_id,
        now=timezone.now(),
    )
