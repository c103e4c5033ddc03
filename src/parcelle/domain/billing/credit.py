"""The customer's credit, paid out by an operator."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from parcelle.core import events
from parcelle.core.money import Money
from parcelle.domain.billing import ledger
from parcelle.domain.billing.desk_events import CreditPaidOut
from parcelle.domain.billing.errors import CreditNotPaidOut


@transaction.atomic
def pay_out(organization_id: UUID, *, amount: Money, reference: str, actor: str, now: datetime) -> None:
    """Notes that credit was transferred to the customer; `reference` is what the bank statement calls it.

    Once per customer and reference. Raises CreditNotPaidOut.
    """
    key = f"credit-out:{organization_id}:{reference}"
    if ledger.is_booked(key):
        raise CreditNotPaidOut("known")
    try:
        ledger.pay_out_credit(organization_id=organization_id, amount=amount, key=key, reference=reference, now=now)
    except ledger.NotEnoughCredit:
        raise CreditNotPaidOut("not_enough") from None
    except ledger.BookedOtherwise:
        # Somebody else was faster.
        raise CreditNotPaidOut("known") from None
    events.record(
        CreditPaidOut(
            organization_id=organization_id, amount_minor=amount.minor, currency=amount.currency, reference=reference
        ),
        now=now,
        actor=actor,
    )
