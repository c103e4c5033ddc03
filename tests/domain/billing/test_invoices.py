"""P15 to P20: numbers without holes, dates that go up with them, documents that never change."""

from __future__ import annotations

import itertools
import random
import threading
from datetime import UTC, date, datetime, timedelta
from functools import partial

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from parcelle.core.models import Fact
from parcelle.domain.billing import invoicing
from parcelle.domain.billing.invoicing import chain, numbering
from parcelle.domain.billing.invoicing.content import Content
from parcelle.domain.billing.invoicing.press import LibrariesMissing, Made, PressFailed
from parcelle.domain.billing.models import (
    BillingDetails,
    ExchangeRate,
    GatewaySettings,
    Invoice,
    InvoiceFile,
    NumberSeries,
    Seller,
)
from parcelle.domain.catalog.models import Product
from tests.domain.billing import documents
from tests.domain.billing.documents import TODAY, QuickPress
from tests.people import NOW, Cast
from tests.together import at_once, meeting

pytestmark = pytest.mark.django_db


# --- numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "sequence", "number"),
    [
        ("FA-YYYY-XXXXXX", 123, "FA-2026-000123"),
        ("INV-YYYYMM-XXXXX", 7, "INV-202603-00007"),
        ("XXX/YYYY", 1000, "1000/2026"),
    ],
)
def test_the_shape_of_a_number_is_a_setting(shape: str, sequence: int, number: str) -> None:
    assert numbering.mistake(shape) == ""
    assert numbering.written(shape, sequence, TODAY) == number


@pytest.mark.parametrize("shape", ["FA-YYYY", "FA XXXX", "FÉ-XXXX", "XXX-XXX", "F" * 40 + "XXXX"])
def test_a_shape_that_no_platform_would_take_is_a_mistake(shape: str) -> None:
    assert numbering.mistake(shape)


def test_p18_a_draft_has_no_number_and_leaves_no_hole(cast: Cast) -> None:
    documents.vendor()
    documents.customer(cast.organization)
    first = documents.issue(cast.organization)
    thrown_away = documents.draft(cast.organization)
    assert thrown_away.number is None
    assert invoicing.discard(thrown_away.pk)
    second = documents.issue(cast.organization)
    assert (first.number, second.number) == ("FA-2026-000001", "FA-2026-000002")
    assert not invoicing.discard(second.pk)


def test_p18_the_database_gives_no_draft_a_number_by_hand(cast: Cast) -> None:
    documents.vendor()
    documents.customer(cast.organization)
    documents.draft(cast.organization)
    for changes in ({"number": "FA-2026-000009"}, {"sequence": 9}, {"issued_on": TODAY}, {"state": "finalised"}):
        with pytest.raises(IntegrityError, match="drafts_have_no_number"), transaction.atomic():
            Invoice.objects.update(**changes)


def test_a_refused_document_uses_no_number(cast: Cast) -> None:
    documents.vendor(siren="")
    documents.customer(cast.organization)
    refused = documents.draft(cast.organization)
    with pytest.raises(invoicing.InvoiceRefused, match="seller_siren"):
        invoicing.finalise(refused.pk, press=QuickPress())
    assert not NumberSeries.objects.exists()
    documents.vendor()
    assert invoicing.finalise(refused.pk, press=QuickPress()).sequence == 1


def _take(kind: str, chance: random.Random) -> int | None:
    """Takes a number, and changes its mind every third time."""
    for _time in range(4):
        try:
            with transaction.atomic():
                taken = numbering.take(kind, today=TODAY)
                if chance.random() < 0.3:
                    raise InterruptedError
                return taken.sequence
        except InterruptedError:
            continue
    return None


@pytest.mark.django_db(transaction=True)
def test_p15_numbers_have_no_hole_and_no_double_whatever_is_rolled_back() -> None:
    outcome = at_once([partial(_take, "invoice", random.Random(seed)) for seed in range(24)])
    numbers = sorted(number for number in outcome.all() if number is not None)
    assert numbers == list(range(1, len(numbers) + 1))
    assert NumberSeries.objects.get().last == len(numbers)


@pytest.mark.django_db(transaction=True)
def test_p15_control_a_sequence_leaves_holes() -> None:
    def take(chance: random.Random) -> int | None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT nextval('billing_order_number')")
                (number,) = cursor.fetchone()
                if chance.random() < 0.5:
                    raise InterruptedError
                return int(number)
        except InterruptedError:
            return None

    numbers = sorted(n for n in at_once([partial(take, random.Random(seed)) for seed in range(24)]).all() if n)
    assert numbers != list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.django_db(transaction=True)
def test_p15_control_without_the_lock_two_reach_for_the_same_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the database, which lets a counter go up by one alone, refuses the second."""
    NumberSeries.objects.create(kind="invoice")
    monkeypatch.setattr(numbering, "lock", meeting(lambda kind: NumberSeries.objects.get(pk=kind)))

    def take() -> int:
        with transaction.atomic():
            return numbering.take("invoice", today=TODAY).sequence

    outcome = at_once([take, take])
    assert outcome.results == [1]
    assert [type(error) for error in outcome.errors] == [IntegrityError]
    assert "only goes up" in str(outcome.errors[0])


@pytest.mark.django_db(transaction=True)
def test_p15_p16_ten_finalise_at_once_across_midnight(cast: Cast) -> None:
    documents.vendor()
    documents.customer(cast.organization)
    waiting = [documents.draft(cast.organization) for _number in range(10)]
    # Each look at the clock is a minute later; midnight passes somewhere in between.
    ticks, lock = itertools.count(), threading.Lock()

    def clock() -> datetime:
        with lock:
            return datetime(2026, 3, 2, 22, 45, tzinfo=UTC) + timedelta(minutes=next(ticks))

    act = [partial(invoicing.finalise, draft.pk, clock=clock, press=QuickPress()) for draft in waiting]
    issued = sorted(at_once(act).all(), key=lambda invoice: invoice.sequence or 0)
    assert [invoice.sequence for invoice in issued] == list(range(1, 11))
    days = [invoice.issued_on for invoice in issued]
    assert days == sorted(days, key=str)
    assert len(set(days)) == 2
    # What is printed is what is stored, also for those who were overtaken and made again.
    for invoice in issued:
        assert bytes(invoice.file.pdf) == f"pdf {invoice.number} {invoice.issued_on} 58.80 EUR".encode()
    assert list(chain.verify()) == []


@pytest.mark.django_db(transaction=True)
def test_p15_p20_ten_finalise_at_once_and_some_fail_half_way(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the number was taken and the file stored: both are as if they had never been, and the next one has them."""
    documents.vendor()
    documents.customer(cast.organization)
    waiting = [documents.draft(cast.organization) for _number in range(10)]
    link, turns, lock = chain.link, itertools.count(), threading.Lock()

    def sometimes(invoice: Invoice, **files: bytes) -> InvoiceFile:
        made = link(invoice, **files)
        with lock:
            fails = next(turns) % 3 == 1
        if fails:
            raise InterruptedError
        return made

    def until_it_is_done(draft: Invoice) -> Invoice:
        while True:
            try:
                return invoicing.finalise(draft.pk, clock=lambda: NOW, press=QuickPress())
            except InterruptedError:
                continue

    monkeypatch.setattr(chain, "link", sometimes)
    issued = at_once([partial(until_it_is_done, draft) for draft in waiting]).all()
    assert next(turns) > len(issued)
    assert sorted(invoice.sequence or 0 for invoice in issued) == list(range(1, 11))
    assert NumberSeries.objects.get().last == 10
    assert list(chain.verify()) == []


@given(st.lists(st.integers(-3, 3), max_size=12))
def test_p16_dates_go_up_with_numbers_even_when_the_clock_is_set_back(steps: list[int]) -> None:
    series, day = NumberSeries(kind="invoice"), TODAY
    seen: list[date] = []
    for step in steps:
        day += timedelta(days=step)
        taken = numbering.after(series, today=day)
        series.last, series.last_on = taken.sequence, taken.issued_on
        seen.append(taken.issued_on)
    assert seen == sorted(seen)


MIDNIGHT = datetime(2026, 3, 2, 23, 0, tzinfo=UTC)  # where the seller is


def test_p16_who_is_overtaken_over_midnight_is_dated_when_they_take_their_number(cast: Cast) -> None:
    documents.vendor()
    documents.customer(cast.organization)
    slow, fast = (documents.draft(cast.organization) for _number in range(2))
    now = [MIDNIGHT - timedelta(minutes=1)]

    def overtake() -> None:
        """While the first is being made, midnight passes and another one takes its number."""
        if now[0] < MIDNIGHT:
            now[0] = MIDNIGHT + timedelta(minutes=1)
            invoicing.finalise(fast.pk, clock=lambda: now[0], press=QuickPress())

    done = invoicing.finalise(slow.pk, clock=lambda: now[0], press=QuickPress(overtake))
    fast.refresh_from_db()
    assert [(one.sequence, one.issued_on) for one in (fast, done)] == [(1, date(2026, 3, 3)), (2, date(2026, 3, 3))]
    assert bytes(done.file.pdf) == b"pdf FA-2026-000002 2026-03-03 58.80 EUR"


@pytest.mark.parametrize("kind", ["invoice", "credit_note"])
def test_p16_a_server_whose_clock_is_behind_dates_nothing_before_the_number_before(cast: Cast, kind: str) -> None:
    documents.vendor()
    documents.customer(cast.organization)
    ahead, behind = MIDNIGHT + timedelta(hours=1), MIDNIGHT - timedelta(hours=1)
    made = [documents.issue(cast.organization, now=now) for now in (ahead, behind)]
    if kind == "credit_note":
        notes = [invoicing.credit(one.pk, key=str(one.pk), reason="", now=ahead) for one in made]
        made = [
            invoicing.finalise(note.pk, clock=partial(lambda at: at, now), press=QuickPress())
            for note, now in zip(notes, (ahead, behind), strict=True)
        ]
    assert [(one.sequence, one.issued_on) for one in made] == [(1, date(2026, 3, 3)), (2, date(2026, 3, 3))]
    assert list(chain.verify()) == []


def test_p16_control_without_the_series_own_day_a_clock_that_is_behind_goes_back(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents.vendor()
    documents.customer(cast.organization)
    original = numbering.after
    monkeypatch.setattr(
        numbering,
        "after",
        lambda series, *, today: original(NumberSeries(kind=series.kind, last=series.last), today=today),
    )
    documents.issue(cast.organization, now=MIDNIGHT + timedelta(hours=1))
    with pytest.raises(DatabaseError):
        # The database holds it as well.
        documents.issue(cast.organization, now=MIDNIGHT - timedelta(hours=1))


def test_what_is_issued_late_is_not_due_before_it_was_issued(cast: Cast) -> None:
    documents.vendor()
    documents.customer(cast.organization)
    late = documents.issue(cast.organization, documents.content(due_on=date(2026, 1, 31)))
    assert (late.due_on, Content.read(late.content).due_on) == (TODAY, TODAY)


def test_finalising_twice_is_once(cast: Cast) -> None:
    documents.vendor()
    documents.customer(cast.organization)
    first = documents.issue(cast.organization)
    assert invoicing.finalise(first.pk, press=QuickPress()).number == first.number
    assert Fact.objects.filter(name="InvoiceFinalised").count() == InvoiceFile.objects.count() == 1


# --- what has a number stays --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_invoice SET total_minor = total_minor + 1, net_minor = net_minor + 1",
        "UPDATE billing_invoice SET number = 'FA-2026-000009'",
        "UPDATE billing_invoice SET state = 'draft', number = NULL, sequence = NULL, issued_on = NULL",
        "DELETE FROM billing_invoicefile",
        "UPDATE billing_invoicefile SET pdf = 'x'::bytea",
        "DELETE FROM billing_invoicebalance; DELETE FROM billing_invoicefile; DELETE FROM billing_invoice",
        "UPDATE billing_numberseries SET last = 0",
        "UPDATE billing_numberseries SET last_on = '2020-01-01'",
        "DELETE FROM billing_numberseries",
        "UPDATE billing_chainhead SET position = 0",
    ],
)
def test_p17_the_database_refuses_every_change(cast: Cast, statement: str) -> None:
    documents.vendor()
    documents.customer(cast.organization)
    documents.issue(cast.organization)
    refused = pytest.raises(DatabaseError, match=r"never changed|only goes up")
    with refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_p17_a_document_keeps_what_was_true_when_it_was_issued(cast: Cast) -> None:
    documents.vendor()
    documents.customer(cast.organization)
    ExchangeRate.objects.create(currency="USD", per_euro="1.08", source="BCE", dated=TODAY)
    issued = documents.issue(cast.organization, documents.content(documents.line(4900, "USD")))
    before = files_of(issued)
    Seller.objects.update(name="Another", vat_rate=19, vat_number="", iban="")
    BillingDetails.objects.update(name="Somebody else", city="Lyon", country="BE", vat_number="")
    ExchangeRate.objects.update(per_euro="2")
    Product.objects.update(name="Renamed", vat_rate="5.5")
    again = invoicing.finalise(issued.pk, press=QuickPress())
    assert files_of(again) == before
    said = before[0]
    assert (said.seller.name, said.buyer.city) == ("Atelier Logiciel", "Nantes")
    assert said.euros is not None
    assert said.euros.per_euro == "1.08"
    assert list(chain.verify()) == []
    # What corrects it says the same of everybody, at the rate of that day.
    note = invoicing.credit(issued.pk, key="later", reason="", now=NOW)
    noted = files_of(invoicing.finalise(note.pk, clock=lambda: NOW, press=QuickPress()))[0]
    assert (noted.seller, noted.buyer, noted.euros) == (said.seller, said.buyer, said.euros)


def files_of(invoice: Invoice) -> tuple[Content, bytes, bytes, bytes]:
    row = Invoice.objects.select_related("file").get(pk=invoice.pk)
    return Content.read(row.content), bytes(row.file.pdf), bytes(row.file.xml), bytes(row.file.ubl)


def test_the_account_of_bank_transfers_is_printed_where_the_seller_has_none(cast: Cast) -> None:
    documents.vendor(iban="", bic="")
    documents.customer(cast.organization)
    GatewaySettings.objects.create(
        name="bank_transfer", enabled=True, values={"iban": "FR76 3000 6000 0112 3456 7890 189", "bic": "AGRIFRPP"}
    )
    said = Content.read(documents.issue(cast.organization).content)
    assert (said.seller.iban, said.seller.bic) == ("FR7630006000011234567890189", "AGRIFRPP")


# --- the chain ----------------------------------------------------------------------------------------------


@pytest.fixture
def three(cast: Cast) -> list[Invoice]:
    documents.vendor()
    documents.customer(cast.organization)
    issued = [documents.issue(cast.organization) for _number in range(2)]
    note = invoicing.credit(issued[0].pk, key="test", reason="Geste commercial", now=NOW)
    return [*issued, invoicing.finalise(note.pk, clock=lambda: NOW, press=QuickPress())]


def test_p20_what_nobody_touched_verifies(three: list[Invoice]) -> None:
    assert [invoice.number for invoice in three] == ["FA-2026-000001", "FA-2026-000002", "AV-2026-000001"]
    assert list(chain.verify()) == []


@pytest.mark.parametrize("position", [1, 2, 3])
@pytest.mark.parametrize("form", ["xml", "pdf", "ubl"])
def test_p20_one_other_byte_names_the_document(three: list[Invoice], position: int, form: str) -> None:
    file = InvoiceFile.objects.select_related("invoice").get(position=position)
    whole = bytearray(getattr(file, form))
    whole[len(whole) // 2] ^= 1
    changed = InvoiceFile(**{**_columns(file), form: bytes(whole)})
    changed.invoice = file.invoice
    expected = "row" if form == "ubl" else form
    assert chain._changed(changed, file.previous) == [expected]


def _columns(file: InvoiceFile) -> dict[str, object]:
    return {field.attname: getattr(file, field.attname) for field in InvoiceFile._meta.concrete_fields}


@pytest.mark.parametrize("column", ["number", "total_minor", "issued_on", "currency", "kind"])
def test_p20_so_does_a_changed_row(three: list[Invoice], column: str) -> None:
    file = InvoiceFile.objects.select_related("invoice").get(position=2)
    setattr(file.invoice, column, date(2020, 1, 1) if column == "issued_on" else "1")
    assert chain._changed(file, file.previous) == ["row"]


# --- what waits ---------------------------------------------------------------------------------------------


class _Broken:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def make(self, content: Content, *, number: str, issued_on: date) -> Made:
        raise self.error


def test_a_refused_document_waits_with_its_reasons_and_goes_on_when_they_are_gone(cast: Cast) -> None:
    documents.vendor(siren="123456789", city="")
    waiting = documents.draft(cast.organization)
    for _time in range(2):
        assert not invoicing.attempt(waiting.pk, clock=lambda: NOW, press=QuickPress())
    waiting.refresh_from_db()
    codes = [problem["code"] for problem in waiting.problems]
    assert codes == ["seller_city", "seller_siren", "buyer_name", "buyer_address", "buyer_city", "buyer_email",
                     "buyer_postcode", "buyer_siren"]  # fmt: skip
    assert Fact.objects.filter(name="InvoiceWaiting").count() == 1
    documents.vendor()
    documents.customer(cast.organization)
    assert invoicing.attempt(waiting.pk, clock=lambda: NOW, press=QuickPress())
    waiting.refresh_from_db()
    assert (waiting.number, waiting.problems) == ("FA-2026-000001", [])


def test_without_the_libraries_for_pdf_nothing_is_lost(cast: Cast) -> None:
    documents.vendor()
    documents.customer(cast.organization)
    waiting = documents.draft(cast.organization)
    assert not invoicing.attempt(waiting.pk, clock=lambda: NOW, press=_Broken(LibrariesMissing("no pango")))
    waiting.refresh_from_db()
    assert waiting.problems == [{"code": "document_libraries", "detail": "no pango"}]
    assert invoicing.attempt(waiting.pk, clock=lambda: NOW, press=QuickPress())


def test_a_press_that_dies_is_a_failure_to_be_tried_again_and_never_a_yes(cast: Cast) -> None:
    documents.vendor()
    documents.customer(cast.organization)
    waiting = documents.draft(cast.organization)
    with pytest.raises(PressFailed):
        invoicing.attempt(waiting.pk, clock=lambda: NOW, press=_Broken(PressFailed("died")))
    waiting.refresh_from_db()
    assert waiting.state == "draft"
