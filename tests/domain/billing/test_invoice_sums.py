"""P4: what an invoice says adds up, to the last unit of its currency."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

import pytest
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from parcelle.core.money import Money, decimals
from parcelle.domain.billing.invoicing import pages, refusals, terms
from parcelle.domain.billing.invoicing.content import (
    Content,
    Euros,
    Group,
    Line,
    by_rate,
    take_tax_out,
    to_euros,
    with_discount,
)
from parcelle.domain.billing.taxes import Decision
from tests.domain.billing.documents import EXEMPT, FRENCH, OUTSIDE, REDUCED, SELLER, TODAY, content, line

CURRENCIES = st.sampled_from(["EUR", "USD", "XAF", "KWD"])
DECISIONS = st.sampled_from([FRENCH, REDUCED, Decision(category="S", rate=Decimal("2.1")), EXEMPT])


@st.composite
def lines(draw: st.DrawFn) -> list[Line]:
    currency = draw(CURRENCIES)
    some = st.builds(
        line,
        st.integers(1, 10**7),
        st.just(currency),
        quantity=st.integers(1, 40),
        tax=DECISIONS,
    )
    return draw(st.lists(some, min_size=1, max_size=6))


@given(lines(), st.decimals(0, 100, places=2))
def test_p04_the_parts_add_up_and_a_discount_loses_no_cent(sold: list[Line], percent: Decimal) -> None:
    currency = sold[0].price.currency
    gross = Money.total((one.gross for one in sold), currency)
    discount = gross.times(percent / 100)
    said = content(*with_discount(sold, discount, "Code X"))
    assert said.net == gross - discount
    assert all(one.net.minor >= 0 for one in said.lines)
    assert said.total == said.net + said.tax
    assert said.paid + said.due == said.total
    for group in said.groups:
        exact = Decimal(group.base.minor) * group.decision.rate / 100
        assert group.tax.minor == int(exact.to_integral_value(ROUND_HALF_UP))
    assert Content.read(said.stored()) == said


@given(lines())
def test_p04_what_is_sent_has_the_decimals_of_its_currency_and_adds_up(sold: list[Line]) -> None:
    currency = sold[0].price.currency
    said = terms.of(content(*sold), number="FA-1", issued_on=TODAY)
    assert Decimal(said["BT-112"]) == Decimal(said["BT-109"]) + Decimal(said["BT-110"])
    assert sum(Decimal(each["BT-131"]) for each in said["BG-25"]) == Decimal(said["BT-106"])
    assert sum(Decimal(each["BT-117"]) for each in said["BG-23"]) == Decimal(said["BT-110"])
    places = decimals(currency)
    for name in ("BT-106", "BT-109", "BT-110", "BT-112", "BT-113", "BT-115"):
        assert len(said[name].partition(".")[2]) == places


@given(st.integers(1, 10**8), st.sampled_from(["20", "5.5", "2.1", "8.5", "19"]))
def test_p04_an_amount_with_tax_is_taken_apart_without_a_rest(minor: int, rate: str) -> None:
    gross = Money(minor, "EUR")
    net, tax = take_tax_out(gross, Decimal(rate))
    assert net + tax == gross
    assert abs(tax.minor - net.times(Decimal(rate) / 100).minor) <= 1


@pytest.mark.parametrize(("amount", "cents"), [("6400", 976), ("0", 0), ("32000", 4878), ("656", 100)])
def test_francs_in_euros(amount: str, cents: int) -> None:
    assert to_euros(Money.of(amount, "XAF"), Decimal("655.957")) == Money(cents, "EUR")


def test_lines_of_one_rate_are_one_group() -> None:
    groups = by_rate([line(100), line(55, tax=REDUCED), line(3)], "EUR")
    assert [(group.base.minor, group.tax.minor) for group in groups] == [(103, 21), (55, 3)]


def test_tax_that_is_a_few_cents_off_is_refused_though_the_published_checks_let_it_pass() -> None:
    wrong = Group(decision=FRENCH, base=Money(4900, "EUR"), tax=Money(1030, "EUR"))
    with pytest.raises(refusals.InvoiceRefused, match="document_tax"):
        refusals.check(content(given_groups=(wrong,)))


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (content(line(32000, "XAF", tax=OUTSIDE)), "document_rate"),
        (content(kind="credit_note"), "document_waits"),
        (content(line(0)), "document_price"),
        (content(line(100), line(100, quantity=-2)), "document_amount"),
        (content(country="DE"), "buyer_country"),
        (content(seller=replace(SELLER, iban="FR7630006000011234567890188")), "seller_iban"),
    ],
)
def test_what_cannot_be_a_document_is_named(said: Content, code: str) -> None:
    with pytest.raises(refusals.InvoiceRefused, match=code):
        refusals.check(said)


def test_a_dated_rate_makes_it_one() -> None:
    from datetime import date

    euros = Euros(per_euro="655.957", source="parité fixe", dated=date(1999, 1, 1))
    refusals.check(content(line(32000, "XAF", tax=OUTSIDE), euros=euros))


def foot(html: str) -> str:
    [written] = re.findall(r'@bottom-left { content: "([^"]*)"', html)
    return re.sub(r"\\([0-9a-f]+) ", lambda found: chr(int(found[1], 16)), written)


def test_the_foot_of_the_page_is_what_the_seller_wrote_on_two_lines_of_parts_that_stay_apart() -> None:
    odd = """L'Atelier "Mer & Fils" </style>"""
    seller = replace(SELLER, name=odd, email="compta@mon-atelier.example")
    html = pages.render(content(line(), seller=seller), number="FA-1", issued_on=TODAY).html
    legal, contact = (each.split("\N{NO-BREAK SPACE}·\N{NO-BREAK SPACE}") for each in foot(html).split("\n"))
    assert (legal[0], contact[1]) == (odd, "compta@mon-atelier.example")
    assert html.count("</style>") == 1


def test_why_there_is_no_tax_stands_between_the_tax_and_the_total() -> None:
    with translation.override("en"):
        html = pages.render(content(line(tax=EXEMPT)), number="FA-1", issued_on=TODAY).html
    assert html.count("293 B") == 1
    assert html.index("Total without VAT") < html.index("293 B") < html.index("Total with VAT")
