"""What a sale comes to, and which VAT it carries."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcelle.core.money import Money
from parcelle.domain.billing import taxes
from parcelle.domain.billing.quotes import quote, yearly_saving
from parcelle.domain.catalog.models import Coupon

FRENCH = taxes.Decision(category="S", rate=Decimal(20))
HERE = taxes.Seller(country="FR", rate=Decimal(20))


def buyer(country: str = "FR", *, business: bool = True, number: str = "", valid: bool | None = None) -> taxes.Buyer:
    return taxes.Buyer(country=country, business=business, vat_number=number, vat_number_valid=valid)


def percent(value: str) -> Coupon:
    return Coupon(code="X", kind=Coupon.PERCENT, percent=Decimal(value))


def fixed(minor: int, currency: str = "EUR") -> Coupon:
    return Coupon(code="X", kind=Coupon.FIXED, amount_minor=minor, currency=currency)


def test_twenty_percent_on_top() -> None:
    made = quote(Money(4900, "EUR"), coupon=None, decision=FRENCH)
    assert (made.subtotal.minor, made.discount.minor, made.tax.minor, made.total.minor) == (4900, 0, 980, 5880)


def test_vat_is_on_what_is_left_after_the_reduction() -> None:
    made = quote(Money(4999, "EUR"), coupon=percent("10"), decision=FRENCH)
    assert (made.discount.minor, made.net.minor, made.tax.minor, made.total.minor) == (500, 4499, 900, 5399)


def test_francs_have_no_cents() -> None:
    made = quote(Money(32000, "XAF"), coupon=percent("12.5"), decision=FRENCH)
    assert (made.discount.minor, made.tax.minor, made.total.minor) == (4000, 5600, 33600)


def test_a_coupon_never_takes_more_than_there_is() -> None:
    made = quote(Money(1000, "EUR"), coupon=fixed(2500), decision=FRENCH)
    assert made.discount.minor == 1000
    assert made.total.minor == 0


@given(
    minor=st.integers(0, 10**9),
    rate=st.decimals(0, 30, places=2),
    off=st.one_of(
        st.none(), st.decimals("0.01", 100, places=2).map(str).map(percent), st.integers(1, 10**9).map(fixed)
    ),
)
def test_p04_the_parts_add_up(minor: int, rate: Decimal, off: Coupon | None) -> None:
    made = quote(Money(minor, "EUR"), coupon=off, decision=taxes.Decision(category="S", rate=rate))
    assert made.total == made.subtotal - made.discount + made.tax
    assert Money.zero("EUR") <= made.discount <= made.subtotal
    assert abs(made.tax.minor - made.net.minor * rate / 100) <= Decimal("0.5")


@pytest.mark.parametrize(
    ("monthly", "yearly", "saved"), [(4900, 49000, 16), (1000, 12000, 0), (1000, 13000, 0), (0, 0, 0)]
)
def test_the_saving_of_a_year_is_true(monthly: int, yearly: int, saved: int) -> None:
    assert yearly_saving(Money(monthly, "EUR"), Money(yearly, "EUR")) == saved


@pytest.mark.parametrize(
    ("who", "category", "rate", "reason"),
    [
        (buyer(), "S", 20, ""),
        (buyer(business=False), "S", 20, ""),
        (buyer("DE", number="DE136695976", valid=True), "AE", 0, "VATEX-EU-AE"),
        (buyer("DE", number="DE136695976", valid=None), "S", 20, ""),
        (buyer("DE", number="DE136695976", valid=False), "S", 20, ""),
        (buyer("DE", business=False), "S", 20, ""),
        (buyer("CM"), "O", 0, "VATEX-EU-O"),
        (buyer("CI", business=False), "O", 0, "VATEX-EU-O"),
        (buyer("CH"), "O", 0, "VATEX-EU-O"),
        (buyer("FR", number="FR40303265045", valid=True), "S", 20, ""),
    ],
)
def test_a_french_seller(who: taxes.Buyer, category: str, rate: int, reason: str) -> None:
    decision = taxes.decide(HERE, who)
    assert decision == taxes.Decision(category=category, rate=Decimal(rate), reason=reason)
    assert taxes.Decision.read(decision.stored()) == decision


@pytest.mark.parametrize("country", ["FR", "DE", "CM"])
def test_an_exempt_seller_charges_nobody(country: str) -> None:
    seller = taxes.Seller(country="FR", rate=Decimal(20), exempt=True)
    decision = taxes.decide(seller, buyer(country))
    assert decision == taxes.Decision(category="E", rate=Decimal(0), reason="VATEX-FR-FRANCHISE")
