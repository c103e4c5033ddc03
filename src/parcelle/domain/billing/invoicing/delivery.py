"""Handing documents to a certified platform (plateforme agréée), which sends them on to the customer's.

Parcelle makes the files; who carries them is an adapter: one class and one line here. The one that is there
puts files into a folder, from which every platform's own program can take them.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Protocol
from uuid import UUID

from django.conf import settings

from parcelle.domain.billing.invoicing import queries
from parcelle.domain.billing.models import Handover, Invoice


class Platform(Protocol):
    """`hand_over` returns the platform's name of the document; handing over again must not send it twice."""

    name: str

    def hand_over(self, invoice: Invoice) -> str: ...


class FileDrop:
    """The Factur-X file in a folder; under its final name only when it is whole."""

    name = "file_drop"

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def hand_over(self, invoice: Invoice) -> str:
        document = queries.download(invoice, "pdf")
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{document.filename}.{os.getpid()}"
        temporary.write_bytes(document.content)
        final = self.folder / document.filename
        temporary.replace(final)
        return str(final)


def platform() -> Platform | None:
    return FileDrop(settings.INVOICE_DROP) if settings.INVOICE_DROP else None


def hand_over(invoice_id: UUID, *, now: datetime) -> bool:
    """Once per document and platform; false where there is no platform, or it has it already."""
    carrier = platform()
    if carrier is None or Handover.objects.filter(invoice_id=invoice_id, adapter=carrier.name).exists():
        return False
    invoice = Invoice.objects.select_related("file").get(pk=invoice_id)
    reference = carrier.hand_over(invoice)
    Handover.objects.get_or_create(invoice=invoice, adapter=carrier.name, defaults={"reference": reference, "at": now})
    return True
