"""References of transfers: made from our numbers, found again in whatever a bank made of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum import iso11649

from parcelle.core.money import Money
from parcelle.domain.billing import bank_accounts, epc, references

NUMBERS = st.from_regex(r"PAR20[0-9]{2}[0-9]{6,9}", fullmatch=True)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
NOISE = st.text(alphabet=st.characters(codec="utf-8"), max_size=30)


def test_the_one_in_the_contract() -> None:
    assert references.make("PAR2026000123") == "RF22PAR2026000123"
    assert references.grouped("RF22PAR2026000123") == "RF22 PAR2 0260 0012 3"


@given(number=NUMBERS)
@settings(deadline=None)
def test_every_number_gives_a_valid_reference(number: str) -> None:
    reference = references.make(number)
    assert iso11649.is_valid(reference)
    assert number in reference
    assert len(reference) <= 25


@given(one=NUMBERS, other=NUMBERS)
@settings(deadline=None)
def test_two_numbers_give_two_references(one: str, other: str) -> None:
    assert (references.make(one) == references.make(other)) == (one == other)


@given(number=NUMBERS, before=NOISE, after=NOISE, data=st.data())
@settings(deadline=None)
def test_it_is_found_in_noise(number: str, before: str, after: str, data: st.DataObject) -> None:
    """In lower case, cut by spaces and signs at any place, glued to other words, spread over several fields."""
    reference = references.make(number)
    pieces = [
        letter + data.draw(st.sampled_from(["", "", " ", "-", ".", "\n", " / "]))
        for letter in data.draw(st.sampled_from([reference, reference.lower()]))
    ]
    cut = data.draw(st.integers(0, len(pieces)))
    assert reference in references.candidates(before + "".join(pieces[:cut]), "".join(pieces[cut:]) + after)


@given(number=NUMBERS, at=st.integers(2, 16), letter=st.sampled_from(LETTERS))
@settings(deadline=None)
def test_one_wrong_character_is_refused(number: str, at: int, letter: str) -> None:
    reference = references.make(number)
    wrong = reference[:at] + letter + reference[at + 1 :]
    assert (wrong in references.candidates(wrong)) == (wrong == reference)


@given(text=st.text(max_size=300))
@settings(deadline=None)
def test_any_text_can_be_read(text: str) -> None:
    assert all(iso11649.is_valid(found) for found in references.candidates(text))


@pytest.mark.parametrize("number", ["", "par1", "PAR-1", "A" * 22, "ÉTÉ"])
def test_what_makes_no_reference(number: str) -> None:
    with pytest.raises(ValueError, match="capital letters and digits"):
        references.make(number)


# --- the QR code ------------------------------------------------------------------------------------------------

FRENCH = bank_accounts.account(currency="EUR", number="FR14 2004 1010 0505 0001 3M02 606", bic="PSSTFRPPXXX")


def test_there_is_a_qr_code_for_euros_in_the_sepa_zone_only() -> None:
    sepa = {"holder": "Atelier", "reference": "RF22PAR2026000123"}
    assert epc.qr_code(FRENCH, amount=Money(5880, "EUR"), **sepa) is not None
    assert epc.qr_code(FRENCH, amount=Money(0, "EUR"), **sepa) is None
    assert epc.qr_code(FRENCH, amount=Money(10**11, "EUR"), **sepa) is None
    franc = bank_accounts.account(currency="XAF", number="CM2110002000300277976315008", bic="AFRICMCX")
    assert epc.qr_code(franc, amount=Money(32000, "XAF"), **sepa) is None
    assert epc.qr_code(franc, amount=Money(32000, "EUR"), **sepa) is None


def test_what_the_banking_application_reads() -> None:
    """Field by field, as EPC069-12 lists them: the code is made again from them, module for module."""
    import segno

    made = epc.qr_code(FRENCH, holder="Atelier d’Awa", amount=Money(5880, "EUR"), reference="RF22PAR2026000123")
    fields = [
        *("BCD", "002", "1", "SCT", "PSSTFRPPXXX", "Atelier d’Awa", "FR1420041010050500013M02606"),
        *("EUR58.8", "", "RF22PAR2026000123"),
    ]
    assert made is not None
    assert made.matrix == segno.make_qr("\n".join(fields), error="m", boost_error=False, encoding="utf-8").matrix
