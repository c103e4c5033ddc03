"""Ways to pay that customers agreed to have renewals taken from, until they take that back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from django.db import transaction

from parcelle.core import events
from parcelle.domain.billing import gateways
from parcelle.domain.billing.events import MethodRemoved, MethodSaved
from parcelle.domain.billing.gateways.base import Forgets, Kept
from parcelle.domain.billing.models import Order, Payment, SavedMethod
from parcelle.domain.tenancy.models import Organization

# Names in a payment's details: that the customer agrees, and which saved method it is taken from.
KEEP, SAVED = "keep", "saved"


def of(organization_id: UUID | None) -> SavedMethod | None:
    """What renewals of this customer are taken from."""
    if organization_id is None:
        return None
    return SavedMethod.objects.filter(organization_id=organization_id, removed_at=None).first()


def is_automatic(payment: Payment) -> bool:
    """Whether it was taken without the customer there."""
    return bool(payment.details.get(SAVED))


def reference_of(payment: Payment) -> Mapping[str, str]:
    """What the service calls the method that the payment is taken from; empty where the customer pays themselves.

    Also of one that was removed since: what was begun with it is looked at to its end.
    """
    key = payment.details.get(SAVED)
    known: Mapping[str, str] = SavedMethod.objects.get(pk=key).reference if key else {}
    return known


def keep(payment: Payment, order: Order, kept: Kept, *, now: datetime) -> None:
    """In the transaction in which the payment arrives; once per payment, and only where the customer agreed."""
    if not payment.details.get(KEEP) or SavedMethod.objects.filter(payment=payment).exists():
        return
    if order.organization_id is not None:
        _replace(order.organization_id, now=now)
    saved = SavedMethod.objects.create(
        organization_id=order.organization_id,
        payment=payment,
        gateway=payment.gateway,
        reference=dict(kept.reference),
        label=kept.label[:120],
        agreed_at=now,
    )
    _record(saved, now=now)


@transaction.atomic
def adopt(order_id: UUID, *, now: datetime) -> None:
    """What was kept with a first order belongs to the customer it made."""
    order = Order.objects.get(pk=order_id)
    found = SavedMethod.objects.filter(payment__order=order, organization=None, removed_at=None).first()
    if found is None or order.organization_id is None:
        return
    _replace(order.organization_id, now=now)
    SavedMethod.objects.filter(pk=found.pk).update(organization_id=order.organization_id)
    found.organization_id = order.organization_id
    _record(found, now=now)


def _replace(organization_id: UUID, *, now: datetime) -> None:
    """Two that are kept at once wait for each other; the later one counts."""
    Organization.objects.select_for_update(no_key=True).get(pk=organization_id)
    for before in SavedMethod.objects.filter(organization_id=organization_id, removed_at=None):
        _remove(before, actor="customer", now=now)


def _record(saved: SavedMethod, *, now: datetime) -> None:
    if saved.organization_id is not None:
        events.record(
            MethodSaved(organization_id=saved.organization_id, method_id=saved.pk, gateway=saved.gateway),
            now=now,
            actor="customer",
        )


@transaction.atomic
def remove(organization_id: UUID, *, actor: str, now: datetime) -> bool:
    """The customer takes their consent back; false when there was nothing. What was begun before goes on."""
    saved = SavedMethod.objects.select_for_update().filter(organization_id=organization_id, removed_at=None).first()
    if saved is None:
        return False
    _remove(saved, actor=actor, now=now)
    return True


def _remove(saved: SavedMethod, *, actor: str, now: datetime) -> None:
    SavedMethod.objects.filter(pk=saved.pk).update(removed_at=now)
    assert saved.organization_id is not None
    events.record(
        MethodRemoved(organization_id=saved.organization_id, method_id=saved.pk, gateway=saved.gateway),
        now=now,
        actor=actor,
    )


def forget(method_id: UUID) -> None:
    """The payment service is told to forget it as well, where it can be. No transaction may be open.

    Raises GatewayError and GatewayUnusable.
    """
    saved = SavedMethod.objects.get(pk=method_id)
    gateway = gateways.open_gateway(saved.gateway)
    if saved.removed_at is not None and isinstance(gateway, Forgets):
        gateway.forget(saved.reference)
