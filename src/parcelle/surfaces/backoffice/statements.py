"""Bank statements: files that are sent in, what their columns mean, and which line is which transfer."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from parcelle.domain.billing import matching, references, statements, transfers
from parcelle.domain.billing.bank_accounts import Unreadable, iban
from parcelle.domain.billing.errors import GatewayUnusable, StatementRefused, TransferRefused
from parcelle.domain.billing.models import Statement, StatementLine, Transfer
from parcelle.domain.billing.statement_files.table import DATE_FORMATS, Columns
from parcelle.surfaces.backoffice import transfer_words, words
from parcelle.surfaces.backoffice.base import Record, WithActors, as_uuid
from parcelle.surfaces.backoffice.transfers import money
from parcelle.surfaces.backoffice.values import NOTHING, badge, in_a_column, link_to, list_of, moment, page_of

_NOT_ALLOWED = _("Your account may look at this, but not change it.")


def _may_change(request: HttpRequest) -> bool:
    return request.user.has_perm("billing.change_transfer")


# --- files ----------------------------------------------------------------------------------------------------


class ColumnsForm(forms.Form):
    """What the columns of a CSV file mean, as it was guessed until somebody says otherwise."""

    value_date = forms.TypedChoiceField(label=_("Value date"), coerce=int, widget=UnfoldAdminSelectWidget)
    booking_date = forms.TypedChoiceField(label=_("Booking date"), coerce=int, widget=UnfoldAdminSelectWidget)
    date_format = forms.ChoiceField(label=_("Dates look like"), widget=UnfoldAdminSelectWidget)
    amount = forms.TypedChoiceField(label=_("Amount, with its sign"), coerce=int, widget=UnfoldAdminSelectWidget)
    credit = forms.TypedChoiceField(
        label=_("Credits, where they have a column of their own"), coerce=int, widget=UnfoldAdminSelectWidget
    )
    direction = forms.TypedChoiceField(label=_("Debit or credit"), coerce=int, widget=UnfoldAdminSelectWidget)
    decimal = forms.ChoiceField(
        label=_("Decimals follow"),
        choices=[(",", _("a comma: 1 234,50")), (".", _("a point: 1,234.50"))],
        widget=UnfoldAdminSelectWidget,
    )
    currency = forms.CharField(label=_("Currency"), max_length=3, widget=UnfoldAdminTextInputWidget)
    payer = forms.TypedChoiceField(label=_("Payer"), coerce=int, widget=UnfoldAdminSelectWidget)
    text = forms.TypedChoiceField(label=_("Text"), coerce=int, widget=UnfoldAdminSelectWidget)
    more_text = forms.TypedChoiceField(label=_("More text"), coerce=int, widget=UnfoldAdminSelectWidget)
    bank_reference = forms.TypedChoiceField(
        label=_("Reference of the bank"), coerce=int, widget=UnfoldAdminSelectWidget
    )
    account = forms.CharField(label=_("IBAN of the account"), max_length=42, widget=UnfoldAdminTextInputWidget)

    COLUMNS = ("value_date", "booking_date", "amount", "credit", "direction", "payer", "bank_reference")

    def __init__(self, shown: statements.Preview, *args: Any, **kwargs: Any) -> None:
        known = shown.columns
        texts = (*known.texts, -1, -1)[:2]
        kwargs["initial"] = {
            **{name: getattr(known, name) for name in self.COLUMNS},
            "date_format": known.date_format,
            "decimal": known.decimal,
            "currency": known.currency,
            "text": texts[0],
            "more_text": texts[1],
            "account": known.account,
        }
        super().__init__(*args, **kwargs)
        self.known = known
        header = shown.table.rows[known.header] if shown.table.rows else []
        choices = [(-1, NOTHING), *((at, cell.strip()[:40] or str(at + 1)) for at, cell in enumerate(header))]
        for field in self.fields.values():
            if isinstance(field, forms.TypedChoiceField):
                field.choices = choices
        example = timezone.localdate().replace(month=1, day=31)
        self.fields["date_format"].choices = [  # type: ignore[attr-defined]
            (form, example.strftime(form)) for form in DATE_FORMATS
        ]

    def clean_account(self) -> str:
        try:
            return iban(self.cleaned_data["account"])
        except Unreadable:
            raise forms.ValidationError(_("This is not a valid IBAN.")) from None

    def columns(self) -> Columns:
        """What was chosen; only for a form that is valid."""
        said = self.cleaned_data
        texts = tuple(dict.fromkeys(at for at in (said["text"], said["more_text"]) if at >= 0))
        return Columns(
            **{name: said[name] for name in self.COLUMNS},
            header=self.known.header,
            delimiter=self.known.delimiter,
            date_format=said["date_format"],
            decimal=said["decimal"],
            currency=said["currency"].strip().upper(),
            currency_column=self.known.currency_column,
            account=said["account"],
            account_column=self.known.account_column,
            texts=texts,
        )


@admin.register(Statement)
class StatementPage(WithActors, Record):
    when_empty = _("Upload a file of your bank to compare it with the transfers that are awaited.")
    list_display = ["name", "state_badge", "kind", "new", "known", "skipped", "asked_by", "taken"]
    list_filter = ["state", "kind", "created_at"]
    search_fields = ["name"]
    ordering = ["-created_at"]
    actions_list = ["upload_one", "lines_of_all"]
    actions_detail = ["columns_one"]
    fields = [
        ("name", "state_badge"),
        ("kind", "taken"),
        ("asked_by", "new"),
        ("known", "skipped"),
        "not_read",
        "lines",
    ]
    readonly_fields = ["state_badge", "kind", "taken", "asked_by", "new", "known", "skipped", "not_read", "lines"]

    @admin.display(description=_("Imported"), ordering="created_at")
    def taken(self, row: Statement) -> SafeString | str:
        return moment(row.created_at)

    @admin.display(description=_("New lines"))
    def new(self, row: Statement) -> int:
        return row.lines_new

    @admin.display(description=_("Known before"))
    def known(self, row: Statement) -> int:
        return row.lines_known

    @admin.display(description=_("Left out"))
    def skipped(self, row: Statement) -> SafeString | str:
        if not row.unreadable:
            return str(row.lines_left_out)
        return format_html(
            '{} <span class="bo-error">{}</span>',
            row.lines_left_out,
            gettext("and %(count)d not understood") % {"count": len(row.unreadable)},
        )

    @admin.display(description=_("Not understood"))
    def not_read(self, row: Statement) -> SafeString | str:
        return format_html('<pre class="bo-code">{}</pre>', "\n".join(row.unreadable)) if row.unreadable else NOTHING

    @admin.display(description=_("Lines"))
    def lines(self, row: Statement) -> SafeString:
        page = list_of(StatementLine, f"of=all&statement__id__exact={row.pk}")
        return format_html('<a class="bo-link" href="{}">{}</a>', page, gettext("Its lines"))

    def get_urls(self) -> list[URLPattern]:
        own = path("upload/", self.admin_site.admin_view(self.upload_view), name="billing_statement_upload")
        return [own, *super().get_urls()]

    def get_actions_list(self, request: HttpRequest) -> list[Any]:
        shown = super().get_actions_list(request)  # type: ignore[misc]
        return shown if _may_change(request) else [a for a in shown if a.action_name.endswith("lines_of_all")]

    @action(description=_("Import a statement"), url_path="upload-one", icon="upload", variant=ActionVariant.PRIMARY)
    def upload_one(self, request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:billing_statement_upload"))

    @action(description=_("Lines to be matched"), url_path="lines", icon="list")
    def lines_of_all(self, request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect(list_of(StatementLine))

    def upload_view(self, request: HttpRequest) -> HttpResponse:
        """A file goes in; where its columns are known or it has none, its lines are there at once."""
        if not _may_change(request):
            messages.error(request, str(_NOT_ALLOWED))
            return HttpResponseRedirect(list_of(Statement))
        file = request.FILES.get("file")
        if request.method == "POST":
            try:
                if file is None:
                    raise StatementRefused("empty")
                if (file.size or 0) > statements.MOST_BYTES:
                    raise StatementRefused("too_large")
                actor = f"user:{request.user.pk}"
                taken = statements.take(file.name or "", file.read(), actor=actor, now=timezone.now())
            except StatementRefused as refused:
                messages.error(request, _refused(refused))
            except GatewayUnusable:
                messages.error(request, gettext("Bank transfers are not set up."))
            else:
                return self._taken(request, taken)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Import a bank statement"),
            "opts": self.opts,
            "back": list_of(Statement),
        }
        return TemplateResponse(request, "backoffice/statement_upload.html", context)

    def _taken(self, request: HttpRequest, taken: Statement) -> HttpResponse:
        if taken.state == Statement.DRAFT:
            return HttpResponseRedirect(self._columns_page(taken))
        sentence = ngettext(
            "%(new)d new line, %(known)d known before.", "%(new)d new lines, %(known)d known before.", taken.lines_new
        )
        messages.success(request, sentence % {"new": taken.lines_new, "known": taken.lines_known})
        return HttpResponseRedirect(list_of(StatementLine))

    @staticmethod
    def _columns_page(row: Statement) -> str:
        return page_of(row).removesuffix("change/") + "columns/"

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        row = self.find(object_id)
        draft = row is not None and row.state == Statement.DRAFT and _may_change(request)
        return list(super().get_actions_detail(request, object_id)) if draft else []  # type: ignore[misc]

    @action(description=_("Confirm the columns"), url_path="columns", icon="view_column", variant=ActionVariant.PRIMARY)
    def columns_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The first rows as they stand in the file, and what would be read out of them."""
        key = as_uuid(object_id)
        found = Statement.objects.filter(pk=key, state=Statement.DRAFT).first() if key else None
        if found is None or not _may_change(request):
            return HttpResponseRedirect(list_of(Statement))
        if request.POST.get("answer") == "discard":
            statements.discard(found.pk)
            return HttpResponseRedirect(list_of(Statement))
        try:
            shown = statements.preview(found)
            form = ColumnsForm(shown, request.POST or None)
            if form.is_valid():
                shown = statements.preview(found, form.columns())
                if request.POST.get("answer") == "import" and shown.reading is not None:
                    actor, now = f"user:{request.user.pk}", timezone.now()
                    return self._taken(request, statements.import_draft(found.pk, form.columns(), actor=actor, now=now))
        except StatementRefused as refused:
            messages.error(request, _refused(refused))
            return HttpResponseRedirect(list_of(Statement))
        header = shown.columns.header
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("What do the columns of %(name)s mean?") % {"name": found.name},
            "opts": self.opts,
            "form": form,
            "header": shown.table.rows[header] if shown.table.rows else [],
            "rows": shown.table.rows[header + 1 : header + 6],
            "entries": [(e, money(e.amount)) for e in shown.reading.entries[:5]] if shown.reading else [],
            "reading": shown.reading,
            "back": list_of(Statement),
        }
        return TemplateResponse(request, "backoffice/statement_columns.html", context)


def _refused(refused: StatementRefused) -> str:
    sentence = words.word(transfer_words.STATEMENT_REFUSALS, refused.code)
    return f"{sentence} ({refused.detail})" if refused.detail else sentence


# --- lines ----------------------------------------------------------------------------------------------------


class MatchedFilter(admin.SimpleListFilter):
    """What is to be matched, unless asked otherwise."""

    title = _("standing")
    parameter_name = "of"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("matched", _("Matched")), ("ignored", _("Not for an order")), ("all", _("All"))]

    def choices(self, changelist: Any) -> Any:
        known = [str(value) for value, _title in self.lookup_choices]
        yield {
            "selected": self.value() not in known,
            "query_string": changelist.get_query_string(remove=[self.parameter_name]),
            "display": _("To be matched"),
        }
        for value, title in self.lookup_choices:
            yield {
                "selected": self.value() == str(value),
                "query_string": changelist.get_query_string({self.parameter_name: value}),
                "display": title,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[StatementLine]) -> QuerySet[StatementLine]:
        if self.value() == "all":
            return queryset
        wanted = self.value() if self.value() in {"matched", "ignored"} else StatementLine.OPEN
        return queryset.filter(state=wanted)


class MatchForm(forms.Form):
    """Which transfer it is: the one that was recognised, or another one by its reference or order."""

    transfer = forms.CharField(
        label=_("Reference of the transfer, or number of the order"),
        max_length=40,
        widget=UnfoldAdminTextInputWidget,
    )

    def clean_transfer(self) -> Transfer:
        text = "".join(str(self.cleaned_data["transfer"]).split()).upper()
        rows = Transfer.objects.select_related("payment__order")
        found = rows.filter(reference=text).first() or (
            rows.filter(payment__order__number__iexact=text).order_by("-created_at").first()
        )
        if found is None:
            raise forms.ValidationError(_("No transfer has this reference, and none is for this order."))
        return found


class IgnoreForm(forms.Form):
    text = forms.CharField(
        label=_("What is it?"),
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=_("For example: own money, interest, a customer of another product."),
    )


@admin.register(StatementLine)
class StatementLinePage(WithActors, Record):
    when_empty = _("Every line of your statements has found its place. Those are under “Filters”.")
    list_display = ["day", "sum", "payer", "said", "proposal", "do_it"]
    list_filter = [MatchedFilter, "currency", "value_date"]
    search_fields = ["payer", "text", "bank_reference"]
    ordering = ["-value_date", "pk"]
    actions_list = ["upload_one", "match_sure"]
    actions_detail = ["match_one", "ignore_one"]
    fields = [
        ("day", "sum"),
        ("payer", "said"),
        ("bank_reference", "account"),
        ("state_badge", "proposal"),
        ("of", "by"),
    ]
    readonly_fields = ["day", "sum", "payer", "said", "state_badge", "proposal", "of", "by"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[StatementLine]:
        return (
            super().get_queryset(request).select_related("statement", "confirmation__transfer").defer("statement__body")
        )

    def complete(self, rows: list[Any]) -> None:
        super().complete(rows)
        found = matching.proposals(row for row in rows if row.state == StatementLine.OPEN)
        for row in rows:
            row.proposed = found.get(row.pk)

    @admin.display(description=_("Value date"), ordering="value_date")
    def day(self, row: StatementLine) -> Any:
        return row.value_date

    @in_a_column
    @admin.display(description=_("Amount"), ordering="amount_minor")
    def sum(self, row: StatementLine) -> SafeString:
        return money(row.amount)

    @admin.display(description=_("Text"))
    def said(self, row: StatementLine) -> SafeString:
        return format_html('<span class="bo-remark">{}</span>', row.text)

    @admin.display(description=_("Transfer"))
    def proposal(self, row: Any) -> SafeString | str:
        if row.confirmation is not None:
            return link_to(row.confirmation.transfer)
        if row.proposed is None:
            return NOTHING if row.state != StatementLine.OPEN else badge("", gettext("Not recognised"))
        transfer = row.proposed.transfer
        shown = badge(
            _COLOURS.get(row.proposed.kind, "pending"), words.word(transfer_words.PROPOSALS, row.proposed.kind)
        )
        about = f"{transfer.payment.order.number} · {transfer.payment.order.email}"
        return format_html('{} {}<span class="bo-remark bo-soft">{}</span>', shown, link_to(transfer), about)

    @admin.display(description="")
    def do_it(self, row: StatementLine) -> SafeString | str:
        if row.state != StatementLine.OPEN:
            return ""
        return format_html('<a class="bo-link" href="{}">{}</a>', self._match_page(row), gettext("Match…"))

    @admin.display(description=_("Statement"))
    def of(self, row: StatementLine) -> SafeString | str:
        return link_to(row.statement)

    @admin.display(description=_("Decided by"))
    def by(self, row: Any) -> SafeString | str:
        if not row.decided_at:
            return NOTHING
        return format_html('{} <span class="bo-soft">{}</span> {}', row.actor_name, moment(row.decided_at), row.remark)

    @staticmethod
    def _match_page(row: StatementLine) -> str:
        return page_of(row).removesuffix("change/") + "match/"

    # --- what can be done -----------------------------------------------------------------------------------

    def get_actions_list(self, request: HttpRequest) -> list[Any]:
        return super().get_actions_list(request) if _may_change(request) else []  # type: ignore[misc]

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        row = self.find(object_id)
        shown = row is not None and row.state == StatementLine.OPEN and _may_change(request)
        return list(super().get_actions_detail(request, object_id)) if shown else []  # type: ignore[misc]

    @action(description=_("Import a statement"), url_path="upload-one", icon="upload")
    def upload_one(self, request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:billing_statement_upload"))

    @action(
        description=_("Confirm all sure ones"), url_path="match-sure", icon="done_all", variant=ActionVariant.PRIMARY
    )
    def match_sure(self, request: HttpRequest) -> HttpResponse:
        """First what would be confirmed, then what was."""
        if not _may_change(request):
            messages.error(request, str(_NOT_ALLOWED))
            return HttpResponseRedirect(list_of(StatementLine))
        lines = {line.pk: line for line in statements.open_lines()[:1000]}
        found = matching.proposals(lines.values())
        sure = [(lines[pk], one) for pk, one in found.items() if one.kind == matching.EXACT]
        if request.method == "POST":
            chosen = {as_uuid(text) for text in request.POST.getlist("line")}
            person, actor = UUID(str(request.user.pk)), f"user:{request.user.pk}"
            wanted = [line for line, _one in sure if line.pk in chosen]
            done = statements.match_sure(wanted, person=person, actor=actor, now=timezone.now())
            if done.confirmed:
                sentence = ngettext(
                    "%(count)d transfer confirmed.", "%(count)d transfers confirmed.", len(done.confirmed)
                )
                messages.success(request, sentence % {"count": len(done.confirmed)})
            for code in done.refused.values():
                messages.error(request, words.word(transfer_words.TRANSFER_REFUSALS, code))
            return HttpResponseRedirect(list_of(StatementLine))
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Confirm these transfers?"),
            "opts": self.opts,
            "rows": [
                {"line": line, "sum": money(line.amount), "transfer": one.transfer, "url": page_of(one.transfer)}
                for line, one in sure
            ],
            "back": list_of(StatementLine),
        }
        return TemplateResponse(request, "backoffice/match_sure.html", context)

    def _asked(self, request: HttpRequest, object_id: str) -> StatementLine | None:
        if not _may_change(request):
            messages.error(request, str(_NOT_ALLOWED))
            return None
        key = as_uuid(object_id)
        return StatementLine.objects.filter(pk=key, state=StatementLine.OPEN).first() if key else None

    @action(description=_("Match"), url_path="match", icon="join_inner", variant=ActionVariant.PRIMARY)
    def match_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._asked(request, object_id)
        if row is None:
            return HttpResponseRedirect(list_of(StatementLine))
        proposed = matching.proposals([row]).get(row.pk)
        initial = {"transfer": references.grouped(proposed.transfer.reference) if proposed else ""}
        form = MatchForm(request.POST or None, initial=initial)
        judged = proposed
        if form.is_valid():
            judged = matching.judge(row, form.cleaned_data["transfer"])
            if request.POST.get("kind") == judged.kind and request.POST.get("of") == str(judged.transfer.pk):
                return self._match(request, row, judged)
        elif request.method == "POST":
            judged = None
        return self._form(request, row, form, judged)

    def _match(self, request: HttpRequest, row: StatementLine, judged: matching.Proposal) -> HttpResponse:
        person, actor, now = UUID(str(request.user.pk)), f"user:{request.user.pk}", timezone.now()
        try:
            statements.match(row.pk, judged.transfer.pk, kind=judged.kind, person=person, actor=actor, now=now)
        except TransferRefused as refused:
            messages.error(request, words.word(transfer_words.TRANSFER_REFUSALS, refused.code))
            return HttpResponseRedirect(page_of(row))
        self.log_change(request, row, judged.transfer.reference)
        messages.success(request, gettext("Matched with %(reference)s.") % {"reference": judged.transfer.reference})
        return HttpResponseRedirect(list_of(StatementLine))

    def _form(
        self, request: HttpRequest, row: StatementLine, form: forms.Form, judged: matching.Proposal | None
    ) -> HttpResponse:
        transfer = judged.transfer if judged else None
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Which transfer is this?"),
            "opts": self.opts,
            "form": form,
            "line": row,
            "sum": money(row.amount),
            "judged": judged,
            "transfer": transfer,
            "meaning": words.word(transfer_words.PROPOSAL_MEANINGS, judged.kind) if judged else "",
            "two": transfer is not None and transfers.needs_two(transfer, row.amount),
            "transfer_facts": [
                (_("Reference"), link_to(transfer, references.grouped(transfer.reference))),
                (_("State"), badge(transfer.state, transfer.get_state_display())),
                (_("Expected"), money(transfer.amount)),
                (_("Still missing"), money(transfer.missing)),
                (_("Order"), transfer.payment.order.number),
                (_("Customer"), transfer.payment.order.email),
            ]
            if transfer
            else [],
            "ignore": page_of(row).removesuffix("change/") + "ignore/",
            "back": list_of(StatementLine),
        }
        return TemplateResponse(request, "backoffice/match.html", context)

    @action(description=_("Put aside"), url_path="ignore", icon="block")
    def ignore_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._asked(request, object_id)
        if row is None:
            return HttpResponseRedirect(list_of(StatementLine))
        form = IgnoreForm(request.POST or None)
        if form.is_valid():
            try:
                reason, actor = form.cleaned_data["text"], f"user:{request.user.pk}"
                statements.ignore(row.pk, reason=reason, actor=actor, now=timezone.now())
            except TransferRefused as refused:
                messages.error(request, words.word(transfer_words.TRANSFER_REFUSALS, refused.code))
            return HttpResponseRedirect(list_of(StatementLine))
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Put this line aside?"),
            "opts": self.opts,
            "form": form,
            "submit": gettext("Put aside"),
            "notice": gettext("It is not for an order of ours: it stays in the list of lines that were put aside."),
            "about": [
                (_("Amount"), money(row.amount)),
                (_("Value date"), row.value_date),
                (_("Payer"), row.payer),
                (_("Text"), row.text),
            ],
            "back": list_of(StatementLine),
        }
        return TemplateResponse(request, "backoffice/transfer_form.html", context)


_COLOURS = {matching.EXACT: "succeeded", matching.KNOWN: "succeeded", matching.WEAK: "pending"} | dict.fromkeys(
    (matching.PARTIAL, matching.OVER, matching.AGAIN, matching.LATE, matching.CURRENCY), "unknown"
)
