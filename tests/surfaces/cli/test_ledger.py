"""`parcelle ledger …`"""

from __future__ import annotations

from pathlib import Path

import pytest

from parcelle.core.money import Money
from parcelle.domain.billing.models import Seller
from tests.domain.billing.test_ledger import paid_order
from tests.domain.billing.test_ledger_exports import organization, sell
from tests.surfaces.cli.typing_it import type_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]


def test_the_trial_balance() -> None:
    sell(organization(), Money(4900, "EUR"))
    rows = type_in("ledger", "balance", "--json").json
    assert rows[0] == {
        "code": "411000",
        "name": "Customers",
        "debit": "58.80 EUR",
        "credit": "0.00 EUR",
        "balance": "58.80 EUR",
    }
    assert "58.80 EUR" in type_in("ledger", "balance").out
    assert type_in("ledger", "balance", "--csv").out.splitlines()[1] == "411000,Customers,EUR,58.80,0.00,58.80"
    assert type_in("ledger", "balance", "--until", "2026-03-01", "--json").json == []


def test_a_statement() -> None:
    sell(organization(), Money(4900, "EUR"))
    (line,) = type_in("ledger", "statement", "diop", "--json").json
    assert (line["kind"], line["document"], line["balance"]) == ("Invoice", "FA-2026-000001", "58.80 EUR")
    sheet = type_in("ledger", "statement", "diop", "--csv").out.splitlines()
    assert sheet[1] == "2026-03-02,Invoice,FA-2026-000001,EUR,58.80,58.80"
    unknown = type_in("ledger", "statement", "nobody")
    assert unknown.code == 1 and "nobody" in unknown.err


def test_the_fec(tmp_path: Path) -> None:
    sell(organization(), Money(4900, "EUR"))
    refused = type_in("ledger", "fec", "--year", "2026", "--to", str(tmp_path))
    assert refused.code == 1 and "SIREN" in refused.err
    Seller.objects.create(pk=1, siren="123456782")
    done = type_in("ledger", "fec", "--year", "2026", "--to", str(tmp_path))
    assert done.out.strip() == str(tmp_path / "123456782FEC20261231.txt")
    assert len((tmp_path / "123456782FEC20261231.txt").read_bytes().splitlines()) == 4


def test_the_books_are_verified() -> None:
    paid_order()
    assert type_in("ledger", "verify").code == 0
