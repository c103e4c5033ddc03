"""`/pricing`: plans side by side. Everything is in the address, so it works without JavaScript and can be sent on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from babel.numbers import get_territory_currencies
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language
from django.views.decorators.http import require_safe

from parcelle.core.money import Money
from parcelle.domain.billing.quotes import yearly_saving
from parcelle.domain.catalog import offers
from parcelle.domain.catalog.models import Feature, Price
from parcelle.domain.catalog.offers import Included, Offer, Shelf
from parcelle.surfaces.portal import kept, visitor


@dataclass(frozen=True, kw_only=True)
class Card:
    """One plan on the page. `monthly` is what a month of a yearly price comes to, rounded to the last unit."""

    offer: Offer
    amount: Money | None
    monthly: Money | None
    saving: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the comparison table."""

    feature: Feature
    cells: tuple[Included | None, ...]


@dataclass(frozen=True, kw_only=True)
class Section:
    """One product of the page."""

    shelf: Shelf
    cards: tuple[Card, ...]
    rows: tuple[Row, ...]

    @property
    def priced(self) -> list[Card]:
        """What can be compared: a plan on request includes what is agreed."""
        return [card for card in self.cards if not card.offer.plan.on_request]

    @property
    def best_saving(self) -> int:
        return max((card.saving for card in self.cards), default=0)


@require_safe
def pricing(request: HttpRequest) -> HttpResponse:
    # What is kept is as old as the newest change of the catalogue, and no older.
    country = request.headers.get(settings.COUNTRY_HEADER or "-", "")
    countries = (country, *visitor.territories(request))
    key = (offers.version(), request.get_full_path(), get_language(), countries)
    return kept.page(request, key, lambda: _page(request, countries))


def _page(request: HttpRequest, countries: Sequence[str]) -> HttpResponse:
    currencies = offers.currencies()
    currency = _choice(request.GET.get("currency"), currencies) or local_currency(countries, currencies)
    interval = _choice(request.GET.get("interval"), [Price.MONTH, Price.YEAR]) or Price.MONTH
    sections = [_section(shelf, interval) for shelf in offers.shelves(currency=currency, interval=interval)]
    context: dict[str, Any] = {
        "sections": sections,
        "currency": currency,
        "currencies": currencies,
        "interval": interval,
        "best_saving": max((section.best_saving for section in sections), default=0),
        "language": get_language(),
    }
    return render(request, "portal/pricing.html", context)


def _choice(wanted: str | None, known: list[str]) -> str:
    return wanted if wanted in known else ""


def local_currency(countries: Sequence[str], known: list[str]) -> str:
    """The currency of the visitor's country if something is sold in it, otherwise the most used one."""
    for territory in countries:
        for currency in get_territory_currencies(territory) if len(territory) == 2 else ():
            if currency in known:
                return str(currency)
    return known[0] if known else "EUR"


def _section(shelf: Shelf, interval: str) -> Section:
    return Section(
        shelf=shelf,
        cards=tuple(_card(offer, interval) for offer in shelf.offers),
        rows=tuple(
            Row(
                feature=feature,
                cells=tuple(offer.of(feature) for offer in shelf.offers if not offer.plan.on_request),
            )
            for feature in shelf.features
        ),
    )


def _card(offer: Offer, interval: str) -> Card:
    month, year = offer.by_interval.get(Price.MONTH), offer.by_interval.get(Price.YEAR)
    amount = offer.price.amount if offer.price else None
    return Card(
        offer=offer,
        amount=amount,
        monthly=amount.times(Fraction(1, 12)) if amount and interval == Price.YEAR else None,
        saving=yearly_saving(month, year) if month and year else 0,
    )
