"""Who sells: what invoices and taxes need to know of the vendor."""

from __future__ import annotations

from parcelle.core.compiled import Compiled
from parcelle.domain.billing.models import Seller


def current() -> Seller:
    """The vendor's data; an installation that was told nothing yet sells from France at the standard rate."""
    return _seller.first() or Seller()


_seller = Compiled(lambda: Seller.objects.order_by("pk")[:1])
