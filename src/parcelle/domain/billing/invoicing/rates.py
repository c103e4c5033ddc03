"""What a euro is worth in the currency of an invoice, for the figures in euros that French invoices need."""

from __future__ import annotations

from datetime import date

from parcelle.domain.billing.invoicing.content import Euros
from parcelle.domain.billing.ledger.rates import FIXED
from parcelle.domain.billing.models import ExchangeRate

_FIXED = {
    currency: Euros(per_euro=str(rate), source="parité fixe", dated=date(1999, 1, 1))
    for currency, rate in FIXED.items()
}


def on(day: date, currency: str) -> Euros | None:
    """The newest rate known for that day; None for the euro itself, and where an operator has to enter one."""
    if currency == "EUR":
        return None
    known = ExchangeRate.objects.filter(currency=currency, dated__lte=day).order_by("-dated").first()
    if known is None:
        return _FIXED.get(currency)
    return Euros(per_euro=f"{known.per_euro.normalize():f}", source=known.source, dated=known.dated)
