"""Receipts that customers send in: recognised by what is in them, kept apart, proving nothing by themselves."""

from __future__ import annotations

import hashlib
import io
import secrets
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import transaction

from parcelle.core import events
from parcelle.domain.billing import transfer_states
from parcelle.domain.billing.errors import ReceiptRefused
from parcelle.domain.billing.models import Receipt, Transfer
from parcelle.domain.billing.transfer_events import TransferReceiptUploaded

MOST_BYTES = 5 * 1024 * 1024
MOST_PER_TRANSFER = 10
# A photograph of a telephone has 12 to 50 million; what claims more is meant to fill the memory.
MOST_PIXELS = 60_000_000
MOST_PAGES = 50
# What was rejected is no accounting piece.
KEEP_REJECTED = timedelta(days=90)

CONTENT_TYPES = {Receipt.PDF: "application/pdf", Receipt.PNG: "image/png", Receipt.JPEG: "image/jpeg"}


def upload(transfer_id: UUID, *, name: str, content: bytes, actor: str, address: str, now: datetime) -> Receipt:
    """Keeps a receipt; the same file again for the same transfer is the same receipt. Raises ReceiptRefused.

    Nothing else happens by it than that an operator is asked to look.
    """
    kind = recognise(content)
    digest = hashlib.sha256(content).hexdigest()
    receipt = Receipt(
        transfer_id=transfer_id,
        kind=kind,
        name=shown_name(name),
        size=len(content),
        sha256=digest,
        actor=actor,
        address=address,
        created_at=now,
    )
    # First the file: one that no row knows of does no harm, a row without its file would.
    path = path_of(receipt)
    _write(path, content)
    try:
        stored = _store(receipt, now=now)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    if stored.pk != receipt.pk:
        path.unlink(missing_ok=True)
    return stored


@transaction.atomic
def _store(receipt: Receipt, *, now: datetime) -> Receipt:
    transfer = (
        Transfer.objects.select_for_update(of=("self",)).select_related("payment__order").get(pk=receipt.transfer_id)
    )
    earlier = transfer.receipts.filter(sha256=receipt.sha256).first()
    if earlier is not None:
        return earlier
    if transfer.state not in transfer_states.OPEN:
        raise ReceiptRefused("closed")
    if transfer.receipts.count() >= MOST_PER_TRANSFER:
        raise ReceiptRefused("too_many")
    same = Receipt.objects.filter(sha256=receipt.sha256).order_by("created_at").first()
    receipt.same_as = same
    receipt.save(force_insert=True)
    changes: dict[str, object] = {"waiting_since": transfer.waiting_since or now}
    if transfer.state == transfer_states.AWAITING:
        changes |= {"state": transfer_states.UPLOADED, "reason": "", "reason_text": ""}
    Transfer.objects.filter(pk=transfer.pk).update(**changes)
    events.record(
        TransferReceiptUploaded(
            organization_id=transfer.payment.order.organization_id,
            order_id=transfer.payment.order_id,
            payment_id=transfer.payment_id,
            receipt_id=receipt.pk,
            sha256=receipt.sha256,
            address=receipt.address,
            same_as=same.transfer_id if same else None,
        ),
        now=now,
        actor=receipt.actor,
    )
    return receipt


# --- what is in it -------------------------------------------------------------------------------------------


def recognise(content: bytes) -> str:
    """What kind of document it is, by its content alone. Raises ReceiptRefused."""
    if not content:
        raise ReceiptRefused("empty")
    if len(content) > MOST_BYTES:
        raise ReceiptRefused("too_large")
    for beginning, kind, opens in (
        (b"%PDF-", Receipt.PDF, _is_pdf),
        (b"\x89PNG\r\n\x1a\n", Receipt.PNG, _is_image),
        (b"\xff\xd8\xff", Receipt.JPEG, _is_image),
    ):
        if content.startswith(beginning) and opens(content, kind):
            return kind
    raise ReceiptRefused("not_readable")


def _is_pdf(content: bytes, _kind: str) -> bool:
    # Large, and needed by few: as is Pillow below.
    from pypdf import PdfReader

    if b"%%EOF" not in content[-1024:]:
        return False
    try:
        return 0 < len(PdfReader(io.BytesIO(content), strict=False).pages) <= MOST_PAGES
    except Exception:  # noqa: BLE001 what pypdf raises for what is no PDF has no common type
        return False


def _is_image(content: bytes, kind: str) -> bool:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=[kind.upper()]) as image:
                width, height = image.size
                if not 0 < width * height <= MOST_PIXELS:
                    return False
                image.verify()
    except Exception:  # noqa: BLE001 the same is true of Pillow
        return False
    # Nothing may hang on behind the picture: an archive can begin as one.
    return kind != Receipt.PNG or content.rstrip(b"\0\r\n ").endswith(b"IEND\xaeB`\x82")


def shown_name(name: str) -> str:
    """What the customer called the file, without folders and what cannot be printed; never a path of ours."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in last if letter.isprintable()).strip()[:120] or "?"


# --- the files -----------------------------------------------------------------------------------------------


def folder() -> Path:
    return Path(settings.HOME) / "receipts"


def path_of(receipt: Receipt) -> Path:
    return folder() / receipt.pk.hex


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = path.with_suffix(f".{secrets.token_hex(4)}")
    aside.touch(mode=0o600)
    aside.write_bytes(content)
    aside.replace(path)


def read(receipt: Receipt) -> bytes | None:
    """The document as it came; None when its file was removed."""
    try:
        return path_of(receipt).read_bytes()
    except FileNotFoundError:
        return None


def to_remove(now: datetime) -> Iterator[UUID]:
    """Receipts that were found to be none a while ago."""
    old = Receipt.objects.filter(rejected_at__lte=now - KEEP_REJECTED, removed_at=None)
    yield from old.values_list("pk", flat=True)


def remove(receipt_id: UUID, *, now: datetime) -> None:
    """Removes the file; that there was one, and its hash, stay known."""
    receipt = Receipt.objects.get(pk=receipt_id)
    path_of(receipt).unlink(missing_ok=True)
    Receipt.objects.filter(pk=receipt_id, removed_at=None).update(removed_at=now)
