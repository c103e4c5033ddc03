"""A chain of hashes over all documents in the order of their numbers: whoever changes one breaks it there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Exists, OuterRef

from parcelle.domain.billing.models import ChainHead, Invoice, InvoiceFile, LedgerTransaction, NumberSeries


def link(invoice: Invoice, *, xml: bytes, pdf: bytes, ubl: bytes) -> InvoiceFile:
    """Stores the documents as the chain's next link, inside the transaction that takes the number."""
    ChainHead.objects.bulk_create([ChainHead()], ignore_conflicts=True)
    head = ChainHead.objects.select_for_update().get()
    digests = digest(xml), digest(pdf)
    file = InvoiceFile.objects.create(
        invoice=invoice,
        position=head.position + 1,
        xml=xml,
        pdf=pdf,
        ubl=ubl,
        xml_sha256=digests[0],
        pdf_sha256=digests[1],
        previous=head.hash,
        hash=hash_of(invoice, head.hash, *digests, digest(ubl)),
    )
    ChainHead.objects.update(position=file.position, hash=file.hash)
    return file


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def hash_of(invoice: Invoice, previous: str, *digests: str) -> str:
    """Over the link before, the files, and what the row says of itself."""
    row = {
        "id": str(invoice.pk),
        "kind": invoice.kind,
        "number": invoice.number,
        "sequence": invoice.sequence,
        "issued_on": invoice.issued_on.isoformat() if invoice.issued_on else "",
        "organization": str(invoice.organization_id),
        "corrects": str(invoice.corrects_id or ""),
        "currency": invoice.currency,
        "amounts": [invoice.net_minor, invoice.tax_minor, invoice.total_minor],
        "content": invoice.content,
    }
    said = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return digest("\n".join((previous, *digests, said)).encode())


@dataclass(frozen=True)
class Broken:
    """A document that is not what it was. `what`: xml, pdf, row (also the UBL), chain, missing, or end: the chain
    itself ends before its last document.
    """

    number: str
    what: str


def verify() -> Iterator[Broken]:
    """Every document that was tampered with, oldest first; nothing where all is as it was issued."""
    previous = ""
    expected: dict[str, int] = {}
    position = 0
    files = InvoiceFile.objects.select_related("invoice").order_by("position")
    for file in files.iterator(chunk_size=50):
        invoice = file.invoice
        name = invoice.number or str(invoice.pk)
        following = expected.get(invoice.kind, 0) + 1
        yield from _missing(invoice.kind, following, invoice.sequence or following)
        position, expected[invoice.kind] = file.position, invoice.sequence or following
        yield from (Broken(name, what) for what in _changed(file, previous))
        previous = file.hash
    for series in NumberSeries.objects.order_by("kind"):
        yield from _missing(series.kind, expected.get(series.kind, 0) + 1, series.last + 1)
    head = ChainHead.objects.first() or ChainHead()
    if (head.position, head.hash) != (position, previous):
        yield Broken("chain", "end")
    # Whoever took the last ones away, counter and all, has the books against them.
    booked = LedgerTransaction.objects.filter(kind__in=(LedgerTransaction.INVOICE, LedgerTransaction.CREDIT_NOTE))
    gone = booked.filter(~Exists(Invoice.objects.filter(number=OuterRef("reference")))).order_by("id")
    yield from (Broken(number, "missing") for number in gone.values_list("reference", flat=True))


def _missing(kind: str, first: int, following: int) -> Iterator[Broken]:
    """Documents of a series that have no files, by the number on their row where there still is one."""
    for sequence in range(first, following):
        number = Invoice.objects.filter(kind=kind, sequence=sequence).values_list("number", flat=True).first()
        yield Broken(number or f"{kind} {sequence}", "missing")


def _changed(file: InvoiceFile, previous: str) -> list[str]:
    digests = digest(bytes(file.xml)), digest(bytes(file.pdf))
    wrong = []
    if digests[0] != file.xml_sha256:
        wrong.append("xml")
    if digests[1] != file.pdf_sha256:
        wrong.append("pdf")
    if file.previous != previous:
        wrong.append("chain")
    # Whatever is not one of the two files themselves: the other form, the row, or the link.
    if hash_of(file.invoice, file.previous, file.xml_sha256, file.pdf_sha256, digest(bytes(file.ubl))) != file.hash:
        wrong.append("row")
    return wrong
