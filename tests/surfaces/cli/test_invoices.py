"""`parcelle invoices …`: P20, the proof that nobody changed a document, also for whoever owns the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from parcelle.domain.billing import invoicing
from parcelle.domain.billing.models import Invoice
from tests import cluster
from tests.domain.billing import documents
from tests.domain.billing.documents import QuickPress
from tests.people import NOW, Cast
from tests.surfaces.cli.typing_it import type_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]


def three(cast: Cast) -> list[Invoice]:
    """Two invoices and a credit note, the second of the three."""
    documents.vendor()
    documents.customer(cast.organization)
    first = documents.issue(cast.organization)
    note = invoicing.credit(first.pk, key="test", reason="Geste commercial", now=NOW)
    noted = invoicing.finalise(note.pk, clock=lambda: NOW, press=QuickPress())
    return [first, noted, documents.issue(cast.organization)]


def test_what_nobody_touched_is_as_it_was_issued(cast: Cast) -> None:
    three(cast)
    assert type_in("invoices", "verify").out == "3 documents are as they were issued.\n"
    assert type_in("invoices", "verify", "--json").json == {"documents": 3, "broken": []}


# What somebody who owns the database may do -> what the proof says of it.
TAMPERED = [
    ("UPDATE billing_invoicefile SET xml = set_byte(xml, 4, get_byte(xml, 4) # 1) WHERE position = 1",
     [("FA-2026-000001", "xml")]),
    ("UPDATE billing_invoicefile SET pdf = set_byte(pdf, 4, get_byte(pdf, 4) # 1) WHERE position = 2",
     [("AV-2026-000001", "pdf")]),
    ("UPDATE billing_invoicefile SET ubl = set_byte(ubl, 4, get_byte(ubl, 4) # 1) WHERE position = 3",
     [("FA-2026-000002", "row")]),
    # Whoever is careful changes the digest as well.
    ("UPDATE billing_invoicefile SET xml = 'other', xml_sha256 = encode(sha256('other'), 'hex') WHERE position = 3",
     [("FA-2026-000002", "row")]),
    (("UPDATE billing_invoice SET total_minor = total_minor - 1, net_minor = net_minor - 1 "
     "WHERE number = 'FA-2026-000001'"), [("FA-2026-000001", "row")]),
    (("UPDATE billing_invoice SET content = jsonb_set(content, '{buyer,name}', '\"Somebody else\"') "
     "WHERE number = 'FA-2026-000002'"), [("FA-2026-000002", "row")]),
    ("UPDATE billing_invoice SET issued_on = '2026-01-31' WHERE number = 'AV-2026-000001'",
     [("AV-2026-000001", "row")]),
    ("UPDATE billing_invoicefile SET hash = repeat('0', 64) WHERE position = 1",
     [("FA-2026-000001", "row"), ("AV-2026-000001", "chain")]),
    ("UPDATE billing_chainhead SET hash = ''", [("chain", "end")]),
    ("DELETE FROM billing_invoicefile WHERE position = 1",
     [("AV-2026-000001", "chain"), ("FA-2026-000001", "missing")]),
    ("DELETE FROM billing_invoicefile WHERE position = 2",
     [("FA-2026-000002", "chain"), ("AV-2026-000001", "missing")]),
    ("DELETE FROM billing_invoicefile WHERE position = 3", [("FA-2026-000002", "missing"), ("chain", "end")]),
    # Everything about the last document is gone, and the counter and the end of the chain are set back with it.
    (("UPDATE billing_chainhead SET position = 2, hash = (SELECT previous FROM billing_invoicefile WHERE "
     "position = 3); DELETE FROM billing_invoicefile WHERE position = 3; "
     "UPDATE billing_numberseries SET last = 1 WHERE kind = 'invoice'; "
     "DELETE FROM billing_invoicebalance WHERE invoice_id IN "
     "(SELECT id FROM billing_invoice WHERE number = 'FA-2026-000002'); "
     "DELETE FROM billing_invoice WHERE number = 'FA-2026-000002'"), [("FA-2026-000002", "missing")]),
]  # fmt: skip
TABLES = ("invoice", "invoicefile", "invoicebalance", "numberseries", "chainhead")


@contextmanager
def owner() -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Somebody who may do everything, and for whom no trigger fires; what they did is undone."""
    with psycopg.connect(
        cluster.superuser_url(str(settings.DATABASES["default"]["NAME"])), autocommit=True
    ) as connection:
        connection.execute("SET session_replication_role = replica")
        for table in TABLES:
            connection.execute(f"CREATE TEMP TABLE as_it_was_{table} AS TABLE billing_{table}".encode())
        try:
            yield connection
        finally:
            for table in TABLES:
                restore = f"DELETE FROM billing_{table}; INSERT INTO billing_{table} SELECT * FROM as_it_was_{table}"
                connection.execute(restore.encode())


@pytest.mark.django_db(transaction=True)
def test_p20_whatever_the_owner_of_the_database_changes_is_named(cast: Cast) -> None:
    three(cast)
    for statement, said in TAMPERED:
        with owner() as connection:
            connection.execute(statement.encode())
            found = type_in("invoices", "verify", "--json")
            assert found.code == 1, statement
            assert [(each["number"], each["what"]) for each in found.json["broken"]] == said, statement
            assert type_in("invoices", "verify").out.startswith(f"{said[0][0]}: ")
        assert type_in("invoices", "verify").code == 0


def test_what_waits_is_listed_with_what_is_missing(cast: Cast) -> None:
    assert type_in("invoices", "waiting").out == "Nothing waits.\n"
    documents.vendor(siren="")
    documents.customer(cast.organization)
    waiting = documents.draft(cast.organization)
    Invoice.objects.filter(pk=waiting.pk).update(ready_at=NOW)
    assert "not tried yet" in type_in("invoices", "waiting").out
    invoicing.attempt(waiting.pk, clock=lambda: NOW, press=QuickPress())
    (shown,) = type_in("invoices", "waiting", "--json").json
    assert (shown["organization"], shown["missing"]) == (cast.organization.slug, ["seller_siren"])
    assert "seller_siren" in type_in("invoices", "waiting").out


@pytest.mark.parametrize("form", ["pdf", "xml", "ubl"])
def test_a_document_is_written_to_a_file(cast: Cast, tmp_path: Path, form: str) -> None:
    issued = three(cast)[1]
    name = f"{issued.number}.ubl.xml" if form == "ubl" else f"{issued.number}.{form}"
    done = type_in("invoices", "export", str(issued.number), "--form", form, "--folder", str(tmp_path / "new"))
    assert done.out.strip() == str(tmp_path / "new" / name)
    assert (tmp_path / "new" / name).read_bytes() == bytes(getattr(issued.file, form))


@pytest.mark.parametrize("words", [["FA-2026-000009"], ["FA-2026-000001", "--form", "docx"]])
def test_what_is_not_there_is_not_written(cast: Cast, words: list[str]) -> None:
    three(cast)
    refused = type_in("invoices", "export", *words)
    assert refused.code == 1 and words[0] in refused.err
