"""`/billing`: the customer's invoices, payments and next charge, and to whom their invoices are made out."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from parcelle.core.money import Money
from parcelle.domain.accounts.models import User
from parcelle.domain.billing import order_states, payment_states, saved_methods
from parcelle.domain.billing.invoicing import queries, standings, upcoming
from parcelle.domain.billing.ledger import exports
from parcelle.domain.billing.ledger import queries as books
from parcelle.domain.billing.models import BillingDetails, Invoice, InvoiceFile, Order, Payment, Subscription
from parcelle.domain.tenancy import permissions
from parcelle.domain.tenancy.models import Organization
from parcelle.journeys import automatic_payment
from parcelle.journeys import invoices as journeys
from parcelle.surfaces import current
from parcelle.surfaces.portal.access import require
from parcelle.surfaces.portal.billing_form import BillingForm
from parcelle.surfaces.portal.invoice_words import STANDINGS, missing_from_buyer
from parcelle.surfaces.portal.methods import WORDS, Words

_MOST = 60
_SETTLED = (
    payment_states.PAID,
    payment_states.PAID_LATE,
    payment_states.PARTLY_REFUNDED,
    payment_states.REFUNDED,
    payment_states.CHARGED_BACK,
)


@dataclass(frozen=True)
class Entry:
    """One document as its customer sees it."""

    invoice: Invoice
    standing: str
    left: Money

    @property
    def words(self) -> object:
        return STANDINGS[self.standing]

    @property
    def missing(self) -> list[str]:
        return missing_from_buyer(self.invoice.problems)


@dataclass(frozen=True)
class Paid:
    payment: Payment
    words: Words | None


@login_required
@never_cache
@require_safe
def billing(request: HttpRequest) -> HttpResponse:
    wanted = request.GET.get("organization")
    here = current.enter_by_name(request, wanted) if wanted is not None else current.current(request)
    if here is None:
        return render(request, "portal/billing.html", {"organization": None})
    chosen = here.organization
    documents = [_entry(invoice) for invoice in queries.of_customers([chosen.pk])[:_MOST]]
    payments = Payment.objects.filter(order__organization=chosen, state__in=_SETTLED).order_by("-settled_at")[:_MOST]
    saved = saved_methods.of(chosen.pk)
    context = {
        "organization": chosen,
        "saved": saved,
        "saved_words": WORDS.get(saved.gateway) if saved else None,
        "documents": documents,
        "waiting": [entry for entry in documents if entry.missing],
        "payments": [Paid(payment, WORDS.get(payment.gateway)) for payment in payments],
        "to_pay": _to_pay(chosen),
        "upcoming": _upcoming(chosen),
        "statements": _statements(chosen),
        "details": BillingDetails.objects.filter(organization=chosen).first(),
        "may_change": here.may(permissions.CHANGE_BILLING),
        "may_pay": here.may(permissions.PAY),
    }
    return render(request, "portal/billing.html", context)


@login_required
@require_POST
def remove_method(request: HttpRequest, slug: str) -> HttpResponse:
    """Nothing is taken by itself any more."""
    organization = _managed(request, slug)
    assert isinstance(request.user, User)
    if automatic_payment.remove(organization.pk, actor=str(request.user.pk), now=timezone.now()):
        messages.success(
            request, _("Renewals are no longer taken by themselves. You receive an invitation to pay in time.")
        )
    return redirect(f"/billing?organization={organization.slug}")


def _managed(request: HttpRequest, slug: str) -> Organization:
    """Raises Http404 for strangers, and RoleRefused for members whose role is too small."""
    here = current.enter_by_name(request, slug)
    require(here, permissions.CHANGE_BILLING)
    return here.organization


def _entry(invoice: Invoice) -> Entry:
    return Entry(invoice, queries.standing(invoice, today=timezone.localdate()), queries.left_to_pay(invoice))


def _upcoming(organization: Organization) -> list[upcoming.Upcoming]:
    rows = Subscription.objects.select_related("plan__product", "price", "organization")
    found = (upcoming.of(row) for row in rows.filter(organization=organization).order_by("period_end"))
    return [one for one in found if one is not None]


def _to_pay(organization: Organization) -> list[Order]:
    """What can be paid now, the most urgent first."""
    waiting = Order.objects.filter(organization=organization, state=order_states.OPEN, expires_at__gt=timezone.now())
    return list(waiting.select_related("plan__product").order_by(F("due_at").asc(nulls_last=True), "created_at"))


def _statements(organization: Organization) -> list[tuple[Money, list[books.StatementLine]]]:
    """By currency: what is owed now, and what led to it, the newest first."""
    now = timezone.now()
    return [
        (owed, list(reversed(standings.statement(organization.pk, currency, now=now)[-_MOST:])))
        for currency, owed in sorted(standings.balances(organization.pk, now=now).items())
    ]


@login_required
@never_cache
@require_safe
def document(request: HttpRequest, invoice_id: UUID, form: str) -> HttpResponse:
    """A file, for members of the organization and nobody else."""
    mine = [row.organization_id for row in current.memberships(request)]
    invoice = queries.issued(mine).filter(pk=invoice_id).first()
    if invoice is None or form not in queries.MEDIA_TYPES:
        raise Http404
    current.enter(request, invoice.organization_id)
    try:
        found = queries.download(invoice, form)
    except InvoiceFile.DoesNotExist:
        raise Http404 from None
    disposition = f'attachment; filename="{found.filename}"'
    return HttpResponse(found.content, content_type=found.media_type, headers={"Content-Disposition": disposition})


@login_required
@never_cache
@require_safe
def statement(request: HttpRequest, slug: str, currency: str) -> HttpResponse:
    """A customer's whole account in one currency, for a spreadsheet."""
    now = timezone.now()
    organization = current.enter_by_name(request, slug).organization
    if currency not in standings.balances(organization.pk, now=now):
        raise Http404
    content = exports.statement_csv(standings.statement(organization.pk, currency, now=now))
    disposition = f'attachment; filename="{slug}-{currency}.csv"'
    # With the mark by which spreadsheets know that it is UTF-8.
    return HttpResponse(
        content.encode("utf-8-sig"),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": disposition},
    )


@login_required
@never_cache
def details(request: HttpRequest, slug: str) -> HttpResponse:
    """To whom invoices are made out; saving it lets go of what waited for it."""
    organization = _managed(request, slug)
    known = BillingDetails.objects.filter(organization=organization).first()
    form = BillingForm(request.POST or None, known=known, organization=organization)
    if request.method == "POST" and form.is_valid():
        form.save(now=timezone.now())
        journeys.retry(organization_id=organization.pk)
        messages.success(request, _("Your billing details have been saved."))
        return redirect(f"/billing?organization={organization.slug}")
    context = {"form": form, "organization": organization}
    return render(request, "portal/billing_details.html", context, status=422 if form.errors else 200)
