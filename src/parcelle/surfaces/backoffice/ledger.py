"""The books: what was booked, what is on each account, and the files an accountant asks for."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import Max, Min, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from parcelle.core.money import Money
from parcelle.domain.billing import sellers
from parcelle.domain.billing.ledger import accounts, exports, queries
from parcelle.domain.billing.models import LedgerEntry, LedgerTransaction
from parcelle.domain.tenancy.models import Organization
from parcelle.surfaces.backoffice.base import Lines, Record
from parcelle.surfaces.backoffice.values import NOTHING, code, in_a_column, link_to, list_of, moment


def written(amount: Money) -> SafeString:
    return format_html('<span class="bo-numbers">{}</span>', amount.format(get_language() or "fr"))


class EntryLines(Lines):
    """The debits and credits of a transaction."""

    model = LedgerEntry
    verbose_name_plural = _("Debits and credits")
    fields = ["on_account", "debit", "credit", "customer"]
    per_page = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).select_related("organization", "order__organization")
        return rows.defer("order__buyer").order_by("pk")

    @admin.display(description=_("Account"))
    def on_account(self, row: LedgerEntry) -> SafeString:
        return format_html('<span class="bo-numbers">{}</span> {}', row.account, accounts.account(row.account).name)

    @admin.display(description=_("Debit"))
    def debit(self, row: LedgerEntry) -> SafeString | str:
        return written(row.amount) if row.amount_minor > 0 else NOTHING

    @admin.display(description=_("Credit"))
    def credit(self, row: LedgerEntry) -> SafeString | str:
        return written(-row.amount) if row.amount_minor < 0 else NOTHING

    @admin.display(description=_("Customer"))
    def customer(self, row: LedgerEntry) -> SafeString | str:
        found = row.organization or (row.order.organization if row.order else None)
        return link_to(found) if found else (row.order.number if row.order else NOTHING)


@admin.register(LedgerTransaction)
class JournalPage(Record):
    when_empty = _("Every sale and every payment is booked here by itself.")
    list_display = ["date", "kind", "reference", "amount", "on_accounts", "booked"]
    list_filter = ["kind", "journal", "date"]
    search_fields = ["reference"]
    search_help_text = _("Number of a document, or identifier")
    id_fields = ["subject_id"]
    ordering = ["-date", "-id"]
    inlines = [EntryLines]
    fields = [("date", "kind"), ("reference", "journal"), ("booked", "once")]
    readonly_fields = ["booked", "once"]
    actions_list = ["trial_balance"]

    @admin.display(description=_("Booked once under"))
    def once(self, row: Any) -> SafeString:
        return code(row.key)

    def find(self, object_id: str) -> Any:
        return LedgerTransaction.objects.filter(pk=int(object_id)).first() if object_id.isdecimal() else None

    def complete(self, rows: list[Any]) -> None:
        """Amounts and accounts of the rows that are shown, with one question for all of them."""
        found = defaultdict(list)
        for entry in LedgerEntry.objects.filter(transaction__in=[row.pk for row in rows]).order_by("pk"):
            found[entry.transaction_id].append(entry)
        for row in rows:
            row.lines = found[row.pk]

    @in_a_column
    @admin.display(description=_("Amount"))
    def amount(self, row: Any) -> SafeString | str:
        totals: dict[str, int] = defaultdict(int)
        for entry in row.lines:
            totals[entry.currency] += max(entry.amount_minor, 0)
        shown = ((written(Money(minor, currency)),) for currency, minor in totals.items())
        return format_html_join(" ", "{}", shown) or NOTHING

    @admin.display(description=_("Accounts"))
    def on_accounts(self, row: Any) -> SafeString:
        debits = ", ".join(entry.account for entry in row.lines if entry.amount_minor > 0)
        credits_ = ", ".join(entry.account for entry in row.lines if entry.amount_minor < 0)
        return format_html('<span class="bo-numbers">{} → {}</span>', debits, credits_)

    @admin.display(description=_("Booked"), ordering="at")
    def booked(self, row: LedgerTransaction) -> SafeString | str:
        return moment(row.at)

    # --- a customer's statement -----------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "statement/<uuid:organization_id>/<slug:currency>/",
            self.admin_site.admin_view(self.statement_view),
            name="billing_ledgertransaction_statement",
        )
        return [own, *super().get_urls()]

    def statement_view(self, request: HttpRequest, organization_id: UUID, currency: str) -> HttpResponse:
        """What changed a customer's balance, as CSV."""
        organization = Organization.objects.filter(pk=organization_id).first()
        if organization is None or not self.has_view_permission(request):
            raise Http404
        rows = queries.statement(organization_id, currency)
        return _file(exports.statement_csv(rows).encode("utf-8-sig"), f"{organization.slug}-{currency}.csv", "text/csv")

    # --- the trial balance and its files ----------------------------------------------------------------

    @action(description=_("Trial balance"), url_path="balance", icon="balance")
    def trial_balance(self, request: HttpRequest) -> HttpResponse:
        """Every account over a fiscal year, or over all time; also as CSV and FEC."""
        years = _years()
        wanted = request.GET.get("year", "")
        year = exports.FiscalYear.of(int(wanted)) if wanted.isdecimal() and int(wanted) in years else None
        since, until = (year.start, year.end) if year else (None, None)
        if request.GET.get("as") == "csv":
            name = f"balance-{wanted}" if year else "balance"
            content = exports.trial_balance_csv(since=since, until=until).encode("utf-8-sig")
            return _file(content, f"{name}.csv", "text/csv")
        if request.GET.get("as") == "fec" and year is not None:
            return self._fec(request, year, wanted)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Trial balance"),
            "opts": self.opts,
            "years": years,
            "year": int(wanted) if year else None,
            "sums": _by_currency(queries.trial_balance(since=since, until=until)),
            "journal": list_of(LedgerTransaction),
        }
        return TemplateResponse(request, "backoffice/balance.html", context)

    def _fec(self, request: HttpRequest, year: exports.FiscalYear, wanted: str) -> HttpResponse:
        try:
            name = exports.fec_name(sellers.current().siren, year)
            content = b"".join(exports.fec(year))
        except exports.FecRefused as refused:
            messages.error(request, _WHY[refused.code] % {"currency": refused.detail})
            page = reverse("admin:billing_ledgertransaction_trial_balance")
            return HttpResponseRedirect(f"{page}?year={wanted}")
        return _file(content, name, f"text/plain; charset={exports.FEC_ENCODING}")


_WHY = {
    "no_siren": _("The seller has no SIREN yet: without it the file has no name. Enter it first."),
    "no_rate": _("Nobody said what a euro is worth in %(currency)s: enter an exchange rate first."),
}


def _years() -> list[int]:
    found = LedgerTransaction.objects.aggregate(first=Min("date"), last=Max("date"))
    first: date = found["first"] or timezone.localdate()
    last: date = found["last"] or timezone.localdate()
    return list(range(last.year, first.year - 1, -1))


def _by_currency(rows: list[queries.AccountSum]) -> list[dict[str, Any]]:
    """The rows of each currency with the sums of their columns, as people read them."""
    groups: dict[str, list[queries.AccountSum]] = defaultdict(list)
    for row in rows:
        groups[row.debit.currency].append(row)
    return [
        {
            "currency": currency,
            "rows": [
                (row.account.code, row.account.name, written(row.debit), written(row.credit), written(row.balance))
                for row in found
            ],
            "debit": written(Money.total((row.debit for row in found), currency)),
            "credit": written(Money.total((row.credit for row in found), currency)),
        }
        for currency, found in groups.items()
    ]


def _file(content: bytes, name: str, kind: str) -> HttpResponse:
    return HttpResponse(content, content_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
