"""The FEC as the tax administration reads it, and CSV that no sheet takes for a formula."""

from __future__ import annotations

import csv
import io
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial

import pytest
from django.db import DatabaseError, transaction
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from parcelle.core.money import Money
from parcelle.domain.billing import invoicing, ledger, taxes
from parcelle.domain.billing.ledger import accounts, exports, queries, rates
from parcelle.domain.billing.models import ExchangeRate, FecNumber
from parcelle.domain.tenancy.models import Organization
from tests.domain.billing import documents
from tests.domain.billing.documents import QuickPress
from tests.domain.billing.selling import LATER
from tests.domain.billing.test_credit_notes import fulfilled
from tests.people import NOW, Cast
from tests.together import at_once

YEAR = exports.FiscalYear.of(2026)
DAY = NOW.date()


def organization(name: str = "Maçonnerie Diop", slug: str = "diop") -> Organization:
    return Organization.objects.create(name=name, slug=slug, created_at=NOW)


def sell(to: Organization, net: Money, *, day: date = DAY, number: str = "FA-2026-000001") -> None:
    now = datetime(day.year, day.month, day.day, 9, tzinfo=UTC)
    part = ledger.Taxed(category=taxes.STANDARD, rate=Decimal(20), net=net, tax=net.times(Decimal("0.2")))
    ledger.post_invoice(
        invoice_id=uuid.uuid4(), number=number, organization_id=to.pk, issued_on=day, parts=[part], now=now
    )


def lines(year: exports.FiscalYear = YEAR) -> list[dict[str, str]]:
    text = b"".join(exports.fec(year)).decode("iso-8859-15")
    assert text.endswith("\r\n")
    rows = [line.split("\t") for line in text.removesuffix("\r\n").split("\r\n")]
    assert all(len(row) == 18 for row in rows)
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


@pytest.mark.django_db
def test_an_invoice_in_the_file() -> None:
    sell(organization(), Money(4900, "EUR"))
    first, sale, vat = lines()
    assert list(first) == list(exports.FEC_COLUMNS)
    assert first == {
        "JournalCode": "VE",
        "JournalLib": "Ventes",
        "EcritureNum": "1",
        "EcritureDate": "20260302",
        "CompteNum": "411000",
        "CompteLib": "Clients",
        "CompAuxNum": "diop",
        "CompAuxLib": "Maçonnerie Diop",
        "PieceRef": "FA-2026-000001",
        "PieceDate": "20260302",
        "EcritureLib": "Facture FA-2026-000001",
        "Debit": "58,80",
        "Credit": "0,00",
        "EcritureLet": "",
        "DateLet": "",
        "ValidDate": "20260302",
        "Montantdevise": "",
        "Idevise": "",
    }
    assert (sale["CompteNum"], sale["Debit"], sale["Credit"]) == ("706100", "0,00", "49,00")
    assert (vat["CompteNum"], vat["CompteLib"], vat["Credit"]) == ("44571200", "TVA collectée 20 %", "9,80")


@pytest.mark.django_db
def test_numbered_without_gaps_in_the_order_of_days_and_within_the_year() -> None:
    to = organization()
    for day, number in ((date(2026, 12, 31), "c"), (date(2026, 1, 1), "a"), (date(2027, 1, 1), "x"), (NOW.date(), "b")):
        sell(to, Money(1000, "EUR"), day=day, number=number)
    found = {(row["EcritureNum"], row["EcritureDate"], row["PieceRef"]) for row in lines()}
    assert found == {("1", "20260101", "a"), ("2", "20260302", "b"), ("3", "20261231", "c")}
    assert {row["PieceRef"] for row in lines(exports.FiscalYear.of(2027))} == {"x"}


@pytest.mark.django_db
def test_a_number_stays_whatever_is_booked_later_for_an_earlier_day() -> None:
    to = organization()
    for day, number in ((date(2026, 3, 1), "a"), (date(2026, 3, 9), "b")):
        sell(to, Money(1000, "EUR"), day=day, number=number)
    before = [(row["EcritureNum"], row["PieceRef"]) for row in lines()]
    for day, number in ((date(2026, 3, 5), "c"), (date(2026, 2, 1), "d")):
        sell(to, Money(1000, "EUR"), day=day, number=number)
    after = [(row["EcritureNum"], row["PieceRef"]) for row in lines()]
    assert after[: len(before)] == before
    assert list(dict.fromkeys(after)) == [("1", "a"), ("2", "b"), ("3", "d"), ("4", "c")]
    # Another fiscal year is another file.
    assert {row["EcritureNum"] for row in lines(exports.FiscalYear.of(2026, last_month=3))} == {"1", "2", "3", "4"}
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        FecNumber.objects.update(number=9)


@pytest.mark.django_db(transaction=True)
def test_two_exports_at_once_number_once(cast: Cast) -> None:
    for day in range(1, 10):
        sell(cast.organization, Money(1000, "EUR"), day=date(2026, 3, day), number=f"FA-{day}")
    files = at_once([partial(lambda: b"".join(exports.fec(YEAR))) for _number in range(4)]).all()
    assert len(set(files)) == 1
    assert sorted(FecNumber.objects.values_list("number", flat=True)) == list(range(1, 10))


@pytest.mark.django_db
def test_what_was_settled_shares_a_letter(cast: Cast) -> None:
    placed, _payment = fulfilled(cast)
    documents.vendor()
    invoice = invoicing.draft_for_order(placed.pk, now=LATER)
    assert invoice is not None
    # Paid and not invoiced yet: it is open.
    assert [row["EcritureLet"] for row in lines() if row["CompteNum"] == "411000"] == [""]
    documents.customer(cast.organization)
    invoicing.finalise(invoice.pk, clock=lambda: LATER, press=QuickPress())
    settled = [row for row in lines() if row["CompteNum"] == "411000"]
    assert {(row["EcritureLet"], row["DateLet"]) for row in settled} == {(placed.number, "20260302")}
    assert len(settled) == 2
    assert {row["EcritureLet"] for row in lines() if row["CompteNum"] != "411000"} == {""}


@pytest.mark.django_db
def test_an_entered_rate_counts_from_its_day() -> None:
    to = organization()
    ExchangeRate.objects.create(currency="USD", per_euro=Decimal("1.25"), source="BCE", dated=date(2026, 3, 1))
    ExchangeRate.objects.create(currency="USD", per_euro=Decimal("1.5"), source="BCE", dated=date(2026, 3, 9))
    sell(to, Money(1000, "USD"), day=date(2026, 3, 2))
    sell(to, Money(1000, "USD"), day=date(2026, 3, 10))
    assert [row["Debit"] for row in lines() if row["CompteNum"] == "411000"] == ["9,60", "8,00"]


@pytest.mark.django_db
def test_francs_are_in_euros_with_what_they_were() -> None:
    sell(organization(), Money(32_001, "XAF"))
    rows = lines()
    assert [(row["Montantdevise"], row["Idevise"]) for row in rows] == [
        ("38401", "XAF"),
        ("-32001", "XAF"),
        ("-6400", "XAF"),
    ]
    assert rows[0]["Debit"] == "58,54"
    debit, credit = (sum(Decimal(row[side].replace(",", ".")) for row in rows) for side in ("Debit", "Credit"))
    assert debit == credit


@pytest.mark.django_db
def test_a_currency_that_nobody_gave_a_rate_for_is_refused() -> None:
    sell(organization(), Money(1000, "USD"))
    with pytest.raises(exports.FecRefused, match="no_rate USD"):
        lines()


@pytest.mark.django_db
def test_names_stay_one_cell_in_the_files_characters() -> None:
    sell(organization("Łódź\t« L’Œuvre »\n日本", "odd"), Money(1000, "EUR"))
    assert lines()[0]["CompAuxLib"] == "Lódz « L'Œuvre » ??"


def test_the_file_is_called_as_the_administration_wants() -> None:
    assert exports.fec_name("123456782", YEAR) == "123456782FEC20261231.txt"
    assert exports.fec_name("123456782", exports.FiscalYear.of(2026, last_month=6)) == "123456782FEC20260630.txt"
    for siren in ("", "12345678", "12345678A"):
        with pytest.raises(exports.FecRefused, match="no_siren"):
            exports.fec_name(siren, YEAR)


@pytest.mark.parametrize(
    ("last_month", "start", "end"),
    [
        (12, date(2026, 1, 1), date(2026, 12, 31)),
        (6, date(2025, 7, 1), date(2026, 6, 30)),
        (2, date(2025, 3, 1), date(2026, 2, 28)),
        (1, date(2025, 2, 1), date(2026, 1, 31)),
    ],
)
def test_fiscal_years(last_month: int, start: date, end: date) -> None:
    assert exports.FiscalYear.of(2026, last_month=last_month) == exports.FiscalYear(start=start, end=end)


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=6), st.sampled_from(["XAF", "KWD", "USD"]), st.data())
def test_p01_in_euros_it_balances_as_well(debits: list[int], currency: str, data: st.DataObject) -> None:
    whole = sum(debits)
    owed: list[int] = []
    while whole:
        part = data.draw(st.integers(1, whole)) if len(owed) < 5 else whole
        owed.append(-part)
        whole -= part
    euros = rates.in_euros([Money(minor, currency) for minor in [*debits, *owed]], Decimal("655.957"))
    assert sum(amount.minor for amount in euros) == 0


@pytest.mark.django_db
def test_csv_is_read_back_and_runs_no_formula() -> None:
    to = organization()
    sell(to, Money(4900, "EUR"), number="=1+1")
    with translation.override("fr"):
        (line,) = csv.DictReader(io.StringIO(exports.statement_csv(queries.statement(to.pk, "EUR"))), delimiter=";")
        rows = list(csv.DictReader(io.StringIO(exports.trial_balance_csv()), delimiter=";"))
    assert (line["Document"], line["Montant"], line["Solde"]) == ("'=1+1", "58,80", "58,80")
    assert [(row["Compte"], row["Solde"]) for row in rows] == [
        (accounts.CUSTOMERS, "58,80"),
        ("44571200", "-9,80"),
        ("706100", "-49,00"),
    ]
    with translation.override("en"):
        (line,) = csv.DictReader(io.StringIO(exports.statement_csv(queries.statement(to.pk, "EUR"))))
    assert (line["Amount"], line["Balance"]) == ("58.80", "58.80")
