"""Files that go with a message: named in its context, read when it is sent, so that no message holds a copy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from uuid import UUID

from parcelle.domain.billing.invoicing import queries as invoices
from parcelle.domain.billing.models import Invoice


def read(names: Iterable[str]) -> Iterator[tuple[str, bytes, str]]:
    """(file name, content, media type) of `invoice:<id>`. Raises LookupError for what is not known."""
    for name in names:
        kind, _colon, key = name.partition(":")
        if kind != "invoice":
            raise LookupError(f"nothing is known about {name!r}")
        document = invoices.download(Invoice.objects.only("number").get(pk=UUID(key)), "pdf")
        yield document.filename, document.content, document.media_type
