"""Bank statements: read whatever they look like, stored once, proposed for what they are, confirmed by people."""

from __future__ import annotations

import contextlib
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parcelle.core.models import Fact
from parcelle.core.money import Money
from parcelle.domain.billing import matching, statement_files, statements, transfers
from parcelle.domain.billing.errors import StatementRefused, TransferRefused
from parcelle.domain.billing.models import Confirmation, Statement, StatementLine, Transfer
from parcelle.domain.billing.references import grouped
from parcelle.domain.billing.statement_files import camt053, table
from tests.domain.billing import bank
from tests.domain.billing.selling import order
from tests.domain.billing.transferring import ANN, BEN, IBAN, again, confirm, expect, expected, switch_on
from tests.people import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]


@pytest.fixture
def transfer() -> Transfer:
    return expected()


def take(content: bytes, name: str = "releve.xml") -> Statement:
    return statements.take(name, content, actor=f"user:{ANN}", now=NOW)


def lines() -> list[StatementLine]:
    return list(StatementLine.objects.order_by("value_date", "key"))


def kinds() -> list[str]:
    found = matching.proposals(statements.open_lines())
    return [found[line.pk].kind if line.pk in found else "" for line in lines() if line.state == "open"]


def match_sure() -> statements.Matched:
    return statements.match_sure(statements.open_lines(), person=ANN, actor=f"user:{ANN}", now=NOW)


# --- CAMT.053 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["02", "08"])
def test_our_reference_is_found_and_pays_the_order(transfer: Transfer, version: str) -> None:
    text = f"VIR {grouped(transfer.reference).lower()} merci"
    taken = take(bank.camt(bank.Ntry(amount="58.80", texts=[text], ref="B-1"), version=version))
    assert (taken.state, taken.lines_new, kinds()) == ("imported", 1, ["exact"])
    [line] = lines()
    assert (line.account, line.amount, line.payer) == (IBAN, Money(5880, "EUR"), "DIOP SARL")
    assert (line.value_date, line.booking_date) == (date(2026, 3, 2), date(2026, 3, 1))
    assert again(transfer).state == "awaiting"
    assert len(match_sure().confirmed) == 1
    assert (again(transfer).state, again(transfer).payment.state) == ("confirmed", "paid")
    row = Confirmation.objects.get()
    assert (row.bank_reference, row.account, row.value_date, row.person) == ("B-1", IBAN, date(2026, 3, 2), ANN)


def test_importing_twice_or_overlapping_adds_nothing(transfer: Transfer) -> None:
    one = bank.Ntry(amount="58.80", texts=[transfer.reference], ref="B-1")
    two, three = bank.Ntry(amount="10.00", ref=""), bank.Ntry(amount="11.00", ref="B-3", day="2026-03-03")
    assert take(bank.camt(one, two)) == take(bank.camt(one, two))
    taken = take(bank.camt(one, two, three))
    assert (taken.lines_new, taken.lines_known) == (1, 2)
    assert len(lines()) == 3


def test_equal_lines_of_one_file_are_all_kept() -> None:
    switch_on()
    same = bank.Ntry(amount="10.00", ref="")
    assert take(bank.camt(same, same)).lines_new == 2


def test_a_reference_that_the_bank_uses_again_is_another_line() -> None:
    switch_on()
    take(bank.camt(bank.Ntry(amount="10.00", ref="0001"), bank.Ntry(amount="12.00", ref="0001")))
    assert len(lines()) == 2


def test_debits_reversals_and_announcements_are_left_out() -> None:
    switch_on()
    taken = take(
        bank.camt(
            bank.Ntry(amount="10.00", sign="DBIT"),
            bank.Ntry(amount="10.00", reversal=True),
            bank.Ntry(amount="10.00", status="PDNG"),
            bank.Ntry(amount="10.00"),
        )
    )
    assert (taken.lines_new, taken.lines_left_out) == (1, 3)


def test_several_transactions_of_one_entry_are_several_lines(transfer: Transfer) -> None:
    batch = bank.Ntry(
        amount="68.80",
        ref="B-9",
        parts=[bank.Part(amount="58.80", text=transfer.reference), bank.Part(amount="10.00", text="autre")],
    )
    take(bank.camt(batch))
    assert sorted(line.amount_minor for line in lines()) == [1000, 5880]
    assert sorted(kinds()) == ["", "exact"]


def test_a_structured_reference_is_read(transfer: Transfer) -> None:
    take(bank.camt(bank.Ntry(amount="58.80", structured=transfer.reference)))
    assert kinds() == ["exact"]


def test_a_reference_cut_over_two_fields_is_found(transfer: Transfer) -> None:
    at = len(transfer.reference) // 2
    take(bank.camt(bank.Ntry(amount="58.80", texts=["FACTURE " + transfer.reference[:at], transfer.reference[at:]])))
    assert kinds() == ["exact"]
    # People read the lines as they stand, without what only says that there is nothing.
    assert lines()[0].text == f"FACTURE {transfer.reference[:at]} {transfer.reference[at:]}"


def test_one_wrong_digit_is_not_recognised(transfer: Transfer) -> None:
    wrong = transfer.reference[:-1] + str((int(transfer.reference[-1]) + 1) % 10)
    take(bank.camt(bank.Ntry(amount="58.80", texts=[wrong], payer="SOMEBODY")))
    assert kinds() == [""]


HOSTILE = {
    "entities": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><Document><Stmt>&x;</Stmt></Document>',
    "laughs": b'<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><Document>&b;</Document>',
    "network": b'<!DOCTYPE a SYSTEM "http://192.0.2.1/x.dtd"><Document/>',
    "utf-16": '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY x "y">]><a/>'.encode("utf-16"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_document_type_is_refused(name: str) -> None:
    switch_on()
    with pytest.raises(StatementRefused, match="forbidden_xml"):
        take(HOSTILE[name])
    assert Statement.objects.count() == 0


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"<html><body>", "not_a_statement"),
        (b"<Document></Document>", "not_a_statement"),
        (b"<a>" * 100_000, "not_a_statement"),
        (b"x" * (statements.MOST_BYTES + 1), "too_large"),
    ],
)
def test_what_is_no_statement_is_refused(content: bytes, code: str) -> None:
    switch_on()
    with pytest.raises(StatementRefused, match=code):
        take(content)


@given(content=st.binary(max_size=400), wrapped=st.booleans())
@settings(max_examples=150, deadline=None)
def test_reading_xml_ends_in_entries_or_words(content: bytes, wrapped: bool) -> None:
    body = b"<Document><Stmt><Ntry>" + content + b"</Ntry></Stmt></Document>" if wrapped else b"<" + content
    with contextlib.suppress(StatementRefused):
        camt053.read(body)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_an_entry_with_anything_in_it_is_read_or_told(data: st.DataObject) -> None:
    texts = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Z", "S")), max_size=20)
    entry = bank.Ntry(
        amount=data.draw(st.one_of(texts, st.sampled_from(["1e9", "NaN", "-5", "Infinity", "1" * 30, "0.001"]))),
        currency=data.draw(st.one_of(texts, st.sampled_from(["EUR", "XAF", "KWD", ""]))),
        day=data.draw(st.one_of(texts, st.sampled_from(["2026-03-02", "2026-02-30", ""]))),
        ref=data.draw(texts),
        texts=[data.draw(texts)],
    )
    reading = camt053.read(bank.camt(entry))
    assert len(reading.entries) + len(reading.unreadable) == 1
    assert all(one.amount.minor > 0 for one in reading.entries)


# --- CSV -------------------------------------------------------------------------------------------------------

FRENCH = (
    "Compte courant n° 123;;;;\n"
    "Solde au 03/03/2026;1 234,50 €;;;\n"
    "\n"
    "Date opération;Date de valeur;Libellé;Débit;Crédit;Référence\n"
    "01/03/2026;02/03/2026;VIR DIOP SARL {reference};;58,80;B-1\n"
    "01/03/2026;02/03/2026;PRLV EDF;-120,00;;B-2\n"
    "01/03/2026;13/03/2026;VIR INCONNU;;1 058,80;B-3\n"
)
ENGLISH = (
    "Date,Value date,Description,Amount,Currency,Counterparty,Transaction ID\n"
    '2026-03-01,2026-03-02,"Payment {reference}","1,058.80",EUR,Diop SARL,T-1\n'
    "2026-03-01,2026-03-02,Rent,-500.00,EUR,Landlord,T-2\n"
)
AFRICAN = "Date;Valeur;Libellé;Montant;Devise\n02/03/2026;02/03/2026;VIREMENT {reference};38 400;XAF\n"


def understood(text: str, **encoding: Any) -> tuple[table.Columns, statement_files.Reading]:
    opened = table.open_table(text.encode(**encoding))
    columns = table.guess(opened, account=IBAN)
    return columns, table.read(opened, columns)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_a_french_file_is_guessed(encoding: str) -> None:
    columns, reading = understood(FRENCH, encoding=encoding)
    assert (columns.delimiter, columns.date_format, columns.decimal) == (";", "%d/%m/%Y", ",")
    assert [str(entry.amount) for entry in reading.entries] == ["58.80 EUR", "1058.80 EUR"]
    assert [entry.value_date.day for entry in reading.entries] == [2, 13]
    assert (reading.left_out, reading.unreadable) == (1, [])
    assert reading.entries[0].bank_reference == "B-1"


def test_an_english_file_is_guessed() -> None:
    columns, reading = understood(ENGLISH)
    assert (columns.delimiter, columns.date_format, columns.decimal) == (",", "%Y-%m-%d", ".")
    assert [(str(entry.amount), entry.payer) for entry in reading.entries] == [("1058.80 EUR", "Diop SARL")]


def test_francs_without_decimals_are_guessed() -> None:
    _columns, reading = understood(AFRICAN)
    assert [entry.amount for entry in reading.entries] == [Money(38400, "XAF")]


@pytest.mark.parametrize(
    ("text", "decimal", "currency", "minor"),
    [
        ("58,80", ",", "EUR", 5880),
        ("1 234,50 €", ",", "EUR", 123450),
        ("1\u202f234,5", ",", "EUR", 123450),
        ("1.234,50", ",", "EUR", 123450),
        ("1,234.50", ".", "EUR", 123450),
        ("+12.00 EUR", ".", "EUR", 1200),
        ("(12.00)", ".", "EUR", -1200),
        ("12,00-", ",", "EUR", -1200),
        ("12,00 D", ",", "EUR", -1200),
        ("12,00 CR", ",", "EUR", 1200),
        ("38 400 FCFA", ",", "XAF", 38400),
        ("38 400,00", ",", "XAF", 38400),
        ("38 400,50", ",", "XAF", None),
        ("1,2,3", ",", "EUR", None),
        ("12.34.56", ".", "EUR", None),
        ("1.23,45", ",", "EUR", None),
        ("twelve", ",", "EUR", None),
        ("=1+1", ",", "EUR", None),
        ("1e5", ".", "EUR", None),
        ("", ",", "EUR", None),
    ],
)
def test_amounts_as_banks_write_them(text: str, decimal: str, currency: str, minor: int | None) -> None:
    found = table.parse_amount(text, decimal=decimal, currency=currency)
    assert (found.minor if found is not None else None) == minor


@given(minor=st.integers(1, 10**12), currency=st.sampled_from(["EUR", "XAF", "KWD"]), french=st.booleans())
@settings(deadline=None)
def test_p02_what_people_write_is_what_is_read(minor: int, currency: str, french: bool) -> None:
    amount = Money(minor, currency)
    text = amount.format("fr" if french else "en")
    text = text.replace("KWD", "").replace("XAF", "").replace("FCFA", "").replace("F\u202fCFA", "")
    assert table.parse_amount(text, decimal="," if french else ".", currency=currency) == amount


@given(
    content=st.one_of(st.binary(max_size=600), st.text(max_size=600).map(lambda text: text.encode("utf-8", "replace")))
)
@settings(max_examples=200, deadline=None)
def test_reading_any_file_ends_in_entries_or_words(content: bytes) -> None:
    try:
        opened = table.open_table(b"Date;Libelle;Montant\n" + content)
        reading = table.read(opened, table.guess(opened))
    except StatementRefused:
        return
    assert all(entry.amount.minor > 0 for entry in reading.entries)


def test_somebody_says_what_the_columns_mean_once(transfer: Transfer) -> None:
    taken = take(FRENCH.format(reference=transfer.reference).encode(), "releve.csv")
    assert (taken.state, lines()) == ("draft", [])
    shown = statements.preview(taken)
    assert shown.reading is not None
    assert len(shown.reading.entries) == 2
    statements.import_draft(taken.pk, shown.columns, actor="user:x", now=NOW)
    assert kinds() == ["exact", ""]
    with pytest.raises(StatementRefused, match="imported"):
        statements.import_draft(taken.pk, shown.columns, actor="user:x", now=NOW)
    later = FRENCH.format(reference="").replace("B-1", "B-7").replace("58,80", "77,00").encode()
    assert take(later, "mars.csv").state == "imported"
    assert take(b"Date;Montant\n01/03/2026;5,00\n", "other.csv").state == "draft"


def test_a_draft_can_be_discarded() -> None:
    switch_on()
    taken = take(b"Date;Montant\n01/03/2026;5,00\n", "other.csv")
    statements.discard(taken.pk)
    assert Statement.objects.count() == 0


# --- matching --------------------------------------------------------------------------------------------------


def test_what_a_line_would_be(transfer: Transfer) -> None:
    reference = [transfer.reference]
    take(
        bank.camt(
            bank.Ntry(amount="20.00", texts=reference, ref="1", day="2026-03-01"),
            bank.Ntry(amount="99.00", texts=reference, ref="2", day="2026-03-02"),
            bank.Ntry(amount="58.80", texts=reference, ref="3", day="2026-03-03", currency="USD"),
            bank.Ntry(amount="58.80", payer="M. DIOP", ref="4", day="2026-03-04"),
            bank.Ntry(amount="58.80", payer="Sarl DIOP Paris", ref="5", day="2026-03-05"),
        )
    )
    assert kinds() == ["partial", "over", "currency", "weak", "weak"]
    confirm(transfer)
    assert kinds() == ["again", "again", "currency", "", ""]


def test_two_buyers_of_one_name_are_not_guessed_between(transfer: Transfer) -> None:
    expect(order(transfer.payment.order.price))
    take(bank.camt(bank.Ntry(amount="58.80", payer="DIOP SARL")))
    assert kinds() == [""]


def test_a_line_proves_what_was_confirmed_by_hand_and_counts_once(transfer: Transfer) -> None:
    row = confirm(transfer, reference="typed by hand")
    take(bank.camt(bank.Ntry(amount="58.80", texts=[transfer.reference], ref="B-1")))
    assert kinds() == ["known"]
    [line] = lines()
    assert statements.match(line.pk, transfer.pk, kind="known", person=ANN, actor="user:x", now=NOW) == row
    assert Confirmation.objects.count() == 1
    assert not Fact.objects.filter(name="TransferSurplus").exists()


def test_a_line_is_matched_once(transfer: Transfer) -> None:
    take(bank.camt(bank.Ntry(amount="58.80", texts=[transfer.reference])))
    [line] = lines()
    statements.match(line.pk, transfer.pk, person=ANN, actor="user:x", now=NOW)
    with pytest.raises(TransferRefused, match="matched"):
        statements.match(line.pk, transfer.pk, person=BEN, actor="user:y", now=NOW)
    assert Confirmation.objects.count() == 1


def test_what_was_shown_as_sure_must_still_be_so(transfer: Transfer) -> None:
    take(bank.camt(bank.Ntry(amount="58.80", texts=[transfer.reference])))
    [line] = lines()
    confirm(transfer, "20.00", "by hand")
    with pytest.raises(TransferRefused, match="changed"):
        statements.match(line.pk, transfer.pk, kind="exact", person=ANN, actor="user:x", now=NOW)


def test_p14_another_currency_is_parked(transfer: Transfer) -> None:
    take(bank.camt(bank.Ntry(amount="58.80", texts=[transfer.reference], currency="USD")))
    [line] = lines()
    statements.match(line.pk, transfer.pk, kind="currency", person=ANN, actor="user:x", now=NOW)
    assert (again(transfer).state, again(transfer).payment.state) == ("parked", "parked")


def test_a_line_that_is_for_nothing_is_put_aside(transfer: Transfer) -> None:
    take(bank.camt(bank.Ntry(amount="5.00", texts=["interest"])))
    [line] = lines()
    statements.ignore(line.pk, reason="interest", actor="user:x", now=NOW)
    assert [row.state for row in lines()] == ["ignored"]
    with pytest.raises(TransferRefused, match="matched"):
        statements.ignore(line.pk, reason="again", actor="user:x", now=NOW)


def test_large_ones_wait_for_a_second_person_also_by_statement() -> None:
    large = expected("1000.00")
    take(bank.camt(bank.Ntry(amount="1200.00", texts=[large.reference])))
    match_sure()
    assert again(large).state == "second"
    row = Confirmation.objects.get()
    with pytest.raises(TransferRefused, match="same_person"):
        transfers.approve(row.pk, person=ANN, actor="user:x", now=NOW)
    transfers.approve(row.pk, person=BEN, actor="user:y", now=NOW)
    assert again(large).state == "confirmed"


def test_by_itself_only_what_is_sure_and_small_and_only_if_set() -> None:
    small = expected(automatic="yes")
    take(bank.camt(bank.Ntry(amount="58.80", texts=[small.reference], ref="1")))
    assert (again(small).state, Confirmation.objects.get().actor) == ("confirmed", "system")
    other = expect(order(small.payment.order.price))
    switch_on(automatic="yes", second_person_from="EUR 50")
    take(bank.camt(bank.Ntry(amount="58.80", texts=[other.reference], ref="2")))
    assert again(other).state == "awaiting"


def test_a_late_one_is_told_as_such(transfer: Transfer) -> None:
    Transfer.objects.update(expires_at=NOW)
    transfers.lapse(transfer.pk, now=NOW + timedelta(minutes=1))
    take(bank.camt(bank.Ntry(amount="58.80", texts=[transfer.reference])))
    assert kinds() == ["late"]


@given(
    amounts=st.lists(st.tuples(st.sampled_from(["20.00", "38.80", "58.80", "70.00"]), st.integers(1, 4)), max_size=6)
)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_p07_any_overlap_of_files_counts_once(amounts: list[tuple[str, int]]) -> None:
    from django.db import transaction

    with transaction.atomic():
        transfer = expected()
        for first in range(len(amounts)):
            entries = [
                bank.Ntry(amount=amount, texts=[transfer.reference], ref=f"B-{number}")
                for amount, number in amounts[max(0, first - 1) : first + 1]
            ]
            take(bank.camt(*entries))
            for line in statements.open_lines():
                statements.match(line.pk, transfer.pk, person=ANN, actor="user:x", now=NOW)
        came = sum(line.amount_minor for line in lines())
        surplus = sum(Confirmation.objects.values_list("surplus_minor", flat=True))
        assert came == again(transfer).received_minor + surplus
        transaction.set_rollback(True)
