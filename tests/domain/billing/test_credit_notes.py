"""P6 for invoices: what is credited never exceeds the invoice, and all credit notes together are the invoice."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parcelle.core.money import Money
from parcelle.domain.billing import invoicing, orders, refunds
from parcelle.domain.billing.errors import CreditRefused
from parcelle.domain.billing.invoicing import credits as credit_notes
from parcelle.domain.billing.invoicing import drafts
from parcelle.domain.billing.invoicing.content import Content, Group, by_rate
from parcelle.domain.billing.models import Invoice, InvoiceBalance, Order, Payment
from parcelle.domain.billing.taxes import Decision
from tests.domain.billing import documents
from tests.domain.billing.documents import REDUCED, QuickPress, content, line
from tests.domain.billing.selling import AWA, LATER, attempt, click, look, open_shop, order
from tests.people import NOW, Cast
from tests.together import at_once, meeting

pytestmark = pytest.mark.django_db


@pytest.fixture
def issued(cast: Cast) -> Invoice:
    documents.vendor()
    documents.customer(cast.organization)
    return documents.issue(cast.organization, content(line(4900), line(1055, tax=REDUCED)))


def credit(invoice: Invoice, minor: int | None = None, key: str = "a") -> Invoice:
    amount = None if minor is None else Money(minor, invoice.currency)
    return invoicing.credit(invoice.pk, key=key, amount=amount, reason="Erreur", now=NOW)


def final(note: Invoice) -> Invoice:
    return invoicing.finalise(note.pk, clock=lambda: NOW, press=QuickPress())


def test_the_whole_invoice_is_credited_line_by_line(issued: Invoice) -> None:
    note = final(credit(issued))
    said = Content.read(note.content)
    assert (note.number, note.total, note.corrects) == ("AV-2026-000001", issued.total, issued)
    assert said.lines == Content.read(issued.content).lines
    assert (said.corrects and said.corrects.number) == issued.number
    assert said.seller == Content.read(issued.content).seller


def test_asking_again_is_the_same_credit_note(issued: Invoice) -> None:
    assert credit(issued, 1000) == credit(issued, 1000)
    assert InvoiceBalance.objects.get().credited_minor == 1000


@pytest.mark.parametrize("minor", [0, -1, 6994])
def test_p06_never_more_than_the_invoice(issued: Invoice, minor: int) -> None:
    assert issued.total_minor == 6993
    with pytest.raises(CreditRefused, match="too_much"):
        credit(issued, minor)


def test_a_credit_note_is_not_credited(issued: Invoice) -> None:
    note = final(credit(issued, 1000))
    InvoiceBalance.objects.create(invoice=note, total_minor=1000)
    with pytest.raises(CreditRefused, match="not_an_invoice"):
        credit(note, 1, key="b")


def test_a_discarded_credit_note_frees_its_amount(issued: Invoice) -> None:
    note = credit(issued, 6993)
    invoicing.discard(note.pk)
    assert InvoiceBalance.objects.get().credited_minor == 0
    credit(issued, 6993, key="b")


def test_the_credit_note_of_a_draft_waits_for_its_number(cast: Cast) -> None:
    documents.vendor()
    draft = documents.draft(cast.organization)
    note = credit(draft)
    with pytest.raises(invoicing.InvoiceRefused, match="document_waits"):
        final(note)
    documents.customer(cast.organization)
    final(draft)
    assert final(note).number == "AV-2026-000001"


def test_p06_five_parts_of_a_cent_and_the_rest_are_the_invoice_at_each_rate(cast: Cast) -> None:
    documents.vendor()
    documents.customer(cast.organization)
    invoice = documents.issue(cast.organization, content(line(100)))
    notes = [final(credit(invoice, 1, key=f"cent-{number}")) for number in range(5)]
    notes.append(final(credit(invoice, key="rest")))
    said = [Content.read(note.content).groups[0] for note in notes]
    assert [(group.base.minor, group.tax.minor) for group in said[:5]] == [(1, 0)] * 5
    assert (sum(group.base.minor for group in said), sum(group.tax.minor for group in said)) == (100, 20)


def test_p04_ever_more_parts_of_a_cent_are_refused_before_the_tax_is_lost(cast: Cast) -> None:
    documents.vendor()
    documents.customer(cast.organization)
    invoice = documents.issue(cast.organization, content(line(100)))
    for number in range(7):
        credit(invoice, 1, key=f"cent-{number}")
    with pytest.raises(CreditRefused, match="too_small"):
        credit(invoice, 1, key="cent-7")
    final(credit(invoice, key="rest"))
    notes = Invoice.objects.filter(corrects=invoice)
    assert (sum(note.net_minor for note in notes), sum(note.tax_minor for note in notes)) == (100, 20)


@st.composite
def invoiced(draw: st.DrawFn) -> list[Group]:
    """What an invoice says of each of its rates."""
    rates = draw(st.lists(st.sampled_from(["20", "5.5", "2.1", "10", "27", "0"]), min_size=1, max_size=3, unique=True))
    lines = [line(draw(st.integers(1, 9000)), tax=Decision(category="S", rate=Decimal(rate))) for rate in rates]
    return by_rate(lines, "EUR")


@settings(max_examples=400)
@given(invoiced(), st.lists(st.integers(1, 2500), max_size=40))
def test_p04_parts_that_are_credited_add_up_to_the_invoice(groups: list[Group], amounts: list[int]) -> None:
    left = sum(group.base.minor + group.tax.minor for group in groups)
    given_back: list[Content] = []
    refused: list[int] = []
    for amount in [*amounts, left]:
        wanted = Money(min(amount, left), "EUR")
        if not wanted:
            break
        try:
            parts = tuple(credit_notes._parts(groups, given_back, wanted))
        except CreditRefused:
            refused.append(wanted.minor)
            continue
        assert Money.total((part.base + part.tax for part in parts), "EUR") == wanted
        for part in parts:
            # A line costs something.
            assert part.base.minor > 0
            assert part.tax.minor >= 0
            # No more than what `refusals` lets pass.
            assert abs(part.tax.minor - part.base.times(part.decision.rate / 100).minor) <= 1
        given_back.append(content(given_groups=parts))
        left -= wanted.minor
    # Only what is a few units of a rate, and never the rest.
    assert left == 0 and all(minor < 15 for minor in refused)
    for group in groups:
        same = [part for note in given_back for part in note.groups if part.decision == group.decision]
        assert sum(part.base.minor for part in same) == group.base.minor
        assert sum(part.tax.minor for part in same) == group.tax.minor


@pytest.mark.django_db(transaction=True)
def test_p06_twenty_at_once_never_credit_more(cast: Cast) -> None:
    documents.vendor()
    documents.customer(cast.organization)
    issued = documents.issue(cast.organization)
    outcome = at_once([partial(credit, issued, 1000, str(number)) for number in range(20)])
    assert len(outcome.results) == 5
    assert {type(error) for error in outcome.errors} == {CreditRefused}


@pytest.mark.django_db(transaction=True)
def test_p06_control_without_the_lock_they_do(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    documents.vendor()
    documents.customer(cast.organization)
    issued = documents.issue(cast.organization)
    monkeypatch.setattr(drafts, "lock", meeting(lambda pk: InvoiceBalance.objects.get(pk=pk), of=10))
    at_once([partial(credit, issued, 1000, str(number)) for number in range(20)])
    assert sum(Invoice.objects.filter(kind="credit_note").values_list("total_minor", flat=True)) > issued.total_minor


# --- from what happens --------------------------------------------------------------------------------------


def fulfilled(cast: Cast) -> tuple[Order, Payment]:
    placed = order(open_shop(plan=cast.plan), buyer=AWA)
    payment = attempt(placed)
    click(payment, "approved")
    payment = look(payment)
    placed.refresh_from_db()
    from parcelle.domain.billing import subscriptions

    subscription = subscriptions.activate(
        organization=cast.organization, plan=placed.plan, price=placed.price, now=LATER
    )
    orders.fulfil(placed, organization=cast.organization, subscription=subscription, instance_id=placed.pk, now=LATER)
    return placed, payment


def test_a_paid_order_has_one_invoice_that_says_so(cast: Cast) -> None:
    placed, _payment = fulfilled(cast)
    made = invoicing.draft_for_order(placed.pk, now=LATER)
    assert made is not None
    assert invoicing.draft_for_order(placed.pk, now=LATER) == made
    said = Content.read(made.content)
    assert (said.total, said.due.minor, made.balance.paid_minor) == (placed.total, 0, placed.total_minor)
    assert (str(said.paid_on), said.reference) == ("2026-03-02", placed.number)
    assert (str(said.starts_on), str(said.ends_on)) == ("2026-03-02", "2026-04-01")
    assert Invoice.objects.count() == 1


def test_a_refund_makes_one_credit_note_of_its_amount(cast: Cast) -> None:
    placed, payment = fulfilled(cast)
    invoicing.draft_for_order(placed.pk, now=LATER)
    refund = refunds.request(
        payment.pk, amount=Money(1880, "EUR"), reason="goodwill", actor="operator", now=LATER, by_hand=True
    )
    note = invoicing.credit_for_refund(refund.pk, now=LATER)
    assert note is not None
    assert invoicing.credit_for_refund(refund.pk, now=LATER) == note
    assert (note.total.minor, note.refund, Content.read(note.content).due.minor) == (1880, refund, 0)


def test_what_was_credited_before_it_was_given_back_is_not_credited_again(cast: Cast) -> None:
    placed, payment = fulfilled(cast)
    made = invoicing.draft_for_order(placed.pk, now=LATER)
    assert made is not None
    credit(made)
    refund = refunds.request(
        payment.pk, amount=payment.amount, reason="as credited", actor="operator", now=LATER, by_hand=True
    )
    assert invoicing.credit_for_refund(refund.pk, now=LATER) is None
    assert Invoice.objects.filter(kind="credit_note").count() == 1


def test_money_beside_the_order_has_no_credit_note(cast: Cast) -> None:
    placed, _payment = fulfilled(cast)
    invoicing.draft_for_order(placed.pk, now=LATER)
    surplus = Payment.objects.create(
        number="PAR-X", order=placed, gateway="fake", state="paid_late", amount_minor=5880, currency="EUR",
        created_at=NOW, settled_at=NOW,
    )  # fmt: skip
    refund = refunds.request(
        surplus.pk, amount=Money(5880, "EUR"), reason="surplus", actor="operator", now=LATER, by_hand=True
    )
    assert invoicing.credit_for_refund(refund.pk, now=LATER) is None
