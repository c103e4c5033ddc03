"""`parcelle transfers …`"""

from __future__ import annotations

from pathlib import Path

import pytest

from parcelle.domain.billing.models import StatementLine
from tests.domain.billing import bank
from tests.domain.billing.transferring import again, expected
from tests.surfaces.cli.typing_it import type_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]


def test_a_statement_is_imported_and_nothing_confirmed(tmp_path: Path) -> None:
    transfer = expected()
    file = tmp_path / "releve.xml"
    file.write_bytes(bank.camt(bank.Ntry(amount="58.80", texts=[transfer.reference]), bank.Ntry(amount="7.00")))
    told = type_in("transfers", "import", str(file), "--json").json
    assert (told["new"], told["known"], told["unreadable"]) == (2, 0, [])
    sure = next(line for line in told["lines"] if line["proposal"])
    assert (sure["proposal"], sure["transfer"], sure["amount"]) == ("exact", transfer.reference, "58.80")
    assert again(transfer).state == "awaiting"
    assert "not recognised" in type_in("transfers", "import", str(file)).out
    assert StatementLine.objects.count() == 2


def test_what_is_set_to_be_confirmed_by_itself_is(tmp_path: Path) -> None:
    transfer = expected(automatic="yes")
    file = tmp_path / "releve.csv"
    file.write_text(f"Date;Libellé;Crédit\n02/03/2026;VIR {transfer.reference};58,80\n")
    assert type_in("transfers", "import", str(file), "--json").json["lines"][0]["state"] == "matched"
    assert again(transfer).state == "confirmed"


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"<!DOCTYPE a><a/>", "document type"), (b"<a/>", "neither"), (b"a;b\n1;2\n", "columns")],
)
def test_a_file_that_is_no_statement_is_explained(tmp_path: Path, content: bytes, words: str) -> None:
    expected()
    file = tmp_path / "x"
    file.write_bytes(content)
    typed = type_in("transfers", "import", str(file))
    assert (typed.code, words in typed.err) == (1, True)


def test_without_an_account_there_is_nothing_to_import(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("Date;Libellé;Crédit\n02/03/2026;VIR;58,80\n")
    assert "not set up" in type_in("transfers", "import", str(file)).err
