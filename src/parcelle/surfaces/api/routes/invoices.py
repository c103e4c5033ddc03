"""`/api/tenants/invoices/`: invoices and credit notes, and their files."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Query, Router

from parcelle.core.money import Money
from parcelle.domain.accounts.models import User
from parcelle.domain.billing.invoicing import queries
from parcelle.domain.billing.invoicing.content import Content, Line
from parcelle.domain.billing.models import Invoice
from parcelle.domain.tenancy.queries import organizations_of
from parcelle.surfaces.api import papers, tokens
from parcelle.surfaces.api.lists import Limit, Offset, part, refuse_unknown_parameters
from parcelle.surfaces.api.openapi import problems_of
from parcelle.surfaces.api.problems import Problem
from parcelle.surfaces.api.sales import Amount

router = Router(auth=tokens.BearerToken(), tags=["invoices"], by_alias=True)

_BINARY = {"schema": {"type": "string", "format": "binary"}}


def _visible(user: User) -> QuerySet[Invoice]:
    """Those of the user's organizations; an operator sees all."""
    rows = Invoice.objects.select_related("balance", "corrects")
    return rows if user.is_staff else rows.filter(organization__in=organizations_of(user).order_by())


@router.get(
    "/tenants/invoices/",
    operation_id="listInvoices",
    summary="List invoices and credit notes",
    response={200: papers.InvoicePage},
    openapi_extra=problems_of("invalid-request"),
)
def index(
    request: HttpRequest,
    limit: Limit = 50,
    offset: Offset = 0,
    kind: Annotated[papers.InvoiceKind | None, Query(description="Only invoices, or only credit notes.")] = None,
    order_id: Annotated[UUID | None, Query(alias="orderId", description="Only those of this order.")] = None,
) -> papers.InvoicePage:
    """The documents that the token's user may see, newest first: all customers' for an operator."""
    refuse_unknown_parameters(request, {"kind", "orderId"})
    filters = {"kind": kind, "orderId": order_id}
    wanted = {"kind": kind, "order_id": order_id}
    rows = tokens.in_question(request, _visible(tokens.user_of(request))).defer("content", "corrects__content")
    rows = rows.filter(**{name: value for name, value in wanted.items() if value is not None})
    rows = rows.order_by("-created_at", "-pk")
    found, about = part(rows, path="/api/tenants/invoices/", limit=limit, offset=offset, filters=filters)
    return papers.InvoicePage(items=[papers.InvoiceSummary(**_summary(row)) for row in found], **about)


@router.get(
    "/tenants/invoices/{invoice_id}/",
    operation_id="getInvoice",
    summary="One invoice or credit note",
    response={200: papers.InvoiceDetails},
    openapi_extra=problems_of("not-found"),
)
def show(request: HttpRequest, invoice_id: UUID) -> papers.InvoiceDetails:
    """What it says, how it stands, and what is missing while it waits."""
    invoice = _find(request, invoice_id)
    content = Content.read(invoice.content)
    notes = invoice.credit_notes.exclude(number=None).order_by("sequence")
    return papers.InvoiceDetails(
        **_summary(invoice),
        lines=[_line(line) for line in content.lines],
        paid_on=content.paid_on,
        missing=[problem["code"] for problem in invoice.problems],
        credit_notes=[str(number) for number in notes.values_list("number", flat=True)],
        files=["pdf", "xml", "ubl"] if invoice.state == Invoice.FINALISED else [],
    )


@router.get(
    "/tenants/invoices/{invoice_id}/download/",
    operation_id="downloadInvoice",
    summary="The file",
    openapi_extra={
        "responses": {
            200: {
                "description": "The file, unchanged since it was issued.",
                "content": {"application/pdf": _BINARY, "application/xml": _BINARY},
            }
        },
        **problems_of("invalid-request", "not-found"),
    },
)
def download(
    request: HttpRequest,
    invoice_id: UUID,
    format: Annotated[  # noqa: A002 - the name that people expect in an address
        papers.FileFormat, Query(description="`pdf` (Factur-X), `xml` (the same invoice as CII) or `ubl`.")
    ] = "pdf",
) -> HttpResponse:
    """The document as it was issued. What has no number yet has no file: 404."""
    refuse_unknown_parameters(request, {"format"})
    invoice = _find(request, invoice_id)
    if invoice.state != Invoice.FINALISED:
        raise Problem("not-found", _("This invoice has not been issued yet: `missing` of `getInvoice` says why."))
    document = queries.download(invoice, format)
    return HttpResponse(
        document.content,
        content_type=document.media_type,
        headers={
            "Content-Disposition": f'attachment; filename="{document.filename}"',
            "Cache-Control": "no-store",
        },
    )


def _find(request: HttpRequest, invoice_id: UUID) -> Invoice:
    invoice = tokens.in_question(request, _visible(tokens.user_of(request))).filter(pk=invoice_id).first()
    if invoice is None:
        detail = _("There is no invoice %(id)s, or this token may not see it.") % {"id": invoice_id}
        raise Problem("not-found", detail)
    return invoice


def _summary(invoice: Invoice) -> dict[str, Any]:
    return {
        "invoice_id": invoice.pk,
        "kind": invoice.kind,
        "number": invoice.number,
        "status": queries.standing(invoice, today=timezone.localdate()),
        "issued_on": invoice.issued_on,
        "due_on": invoice.due_on,
        "net": Amount.of(invoice.net),
        "tax": Amount.of(invoice.tax),
        "total": Amount.of(invoice.total),
        "left_to_pay": Amount.of(queries.left_to_pay(invoice)),
        "order_id": invoice.order_id,
        "corrects": invoice.corrects.number if invoice.corrects else None,
        "created_at": invoice.created_at,
    }


def _line(line: Line) -> papers.InvoiceLine:
    discount: Money | None = line.discount
    return papers.InvoiceLine(
        name=line.name,
        description=line.description,
        quantity=line.quantity,
        price=Amount.of(line.price),
        discount=Amount.of(discount) if discount else None,
        net=Amount.of(line.net),
        tax_rate=f"{line.tax.rate.normalize():f}",
        starts_on=line.starts_on,
        ends_on=line.ends_on,
    )
