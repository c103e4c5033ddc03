"""Asking for a document to get its number soon: one after the other, since they all reach for the next one."""

from __future__ import annotations

from uuid import UUID

from procrastinate.contrib.django import app as queue


def finalise_soon(invoice_id: UUID) -> None:
    """In the caller's transaction."""
    queue.configure_task("billing.finalise", queue="invoices", lock="invoices").defer(invoice_id=str(invoice_id))
