"""Invoices and credit notes, the vendor's own data on them, and the customers'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import get_language, gettext, ngettext, ngettext_lazy, pgettext_lazy
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from parcelle.core.money import Money, NotMoney, parse
from parcelle.domain.billing import bank_accounts, invoicing, vat_numbers
from parcelle.domain.billing.invoicing import press, queries, refusals
from parcelle.domain.billing.invoicing.content import Content
from parcelle.domain.billing.invoicing.finalising import complete, snapshot_of_seller
from parcelle.domain.billing.invoicing.press import PressFailed
from parcelle.domain.billing.models import (
    BillingDetails,
    ExchangeRate,
    Invoice,
    InvoiceFile,
    Seller,
    VatCheck,
)
from parcelle.domain.billing.taxes import EU, RATES
from parcelle.journeys import invoices as journeys
from parcelle.surfaces.backoffice import words
from parcelle.surfaces.backoffice.base import Page, Record, as_uuid
from parcelle.surfaces.backoffice.changes import Changing, Forecast, RowForm, Verb
from parcelle.surfaces.backoffice.money_work import WAITING
from parcelle.surfaces.backoffice.values import NOTHING, badge, in_a_column, link_to, moment, page_of


def _language() -> str:
    return (get_language() or "fr")[:2]


def _credit_forecasts(invoices: Sequence[Invoice]) -> list[Forecast]:
    return [_credit_forecast(invoice) for invoice in invoices]


def _credit_forecast(invoice: Invoice) -> Forecast:
    if invoice.kind != Invoice.INVOICE or invoice.state != Invoice.FINALISED:
        return Forecast(gettext("Nothing: only an issued invoice can be credited."), possible=False)
    left = invoice.balance.total_minor - invoice.balance.credited_minor
    if not left:
        return Forecast(gettext("Nothing: all of it has been credited already."), possible=False)
    amount = Money(left, invoice.currency).format(_language())
    return Forecast(
        gettext("A credit note over at most %(amount)s is issued and sent to the customer.") % {"amount": amount},
        shown=str(left),
    )


class CreditForm(RowForm):
    amount = forms.CharField(label=_("Amount with VAT"), max_length=30)
    reason = forms.CharField(
        label=_("Reason"), help_text=_("Printed on the credit note, so in the customer’s language."), max_length=200
    )

    def __init__(self, row: Invoice, data: Any = None) -> None:
        super().__init__(row, data)
        self.left = Money(row.balance.total_minor - row.balance.credited_minor, row.currency)
        self.fields["amount"].initial = self.left.format(_language())
        self.fields["amount"].help_text = self._most()

    def _most(self) -> str:
        return gettext("At most %(amount)s.") % {"amount": self.left.format(_language())}

    def clean_amount(self) -> Money:
        try:
            amount = parse(self.cleaned_data["amount"], self.row.currency, _language())
        except NotMoney:
            sentence = gettext("This is not an amount: write it like %(example)s.")
            raise forms.ValidationError(sentence % {"example": self.left.format(_language())}) from None
        if not 0 < amount.minor <= self.left.minor:
            raise forms.ValidationError(self._most())
        return amount


def _credit(invoice: Any, _actor: str, now: Any) -> object:
    # What was left when the operator agreed is a part of the key: sent twice it is one credit note.
    amount, reason = invoice.given["amount"], invoice.given["reason"]
    key = f"operator:{invoice.pk}:{invoice.shown}:{amount.minor}"
    return invoicing.credit(invoice.pk, key=key, amount=amount, reason=reason, now=now)


CREDIT = Verb(
    name="credit",
    label=_("Credit note"),
    icon="undo",
    meaning=_(
        "An issued invoice is never changed or deleted: a credit note with a number of its own cancels all of it or a "
        "part. The customer receives it by e-mail. No money is moved: give back what was paid with a refund, which "
        "makes its own credit note. This cannot be undone."
    ),
    question=ngettext_lazy("Credit this invoice?", "Credit %(count)d invoices?", "count"),
    foresee=_credit_forecasts,
    do=_credit,
    done=_("Done: the credit note is being issued."),
    dangerous=True,
    form=CreditForm,
)


class WaitingFilter(admin.SimpleListFilter):
    title = _("waits for data")
    parameter_name = "waits"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Yes"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> QuerySet[Invoice]:
        return queryset.filter(WAITING) if self.value() else queryset


@admin.register(Invoice)
class InvoicePage(Changing, Record):
    when_empty = _("An invoice is issued as soon as an order is paid.")
    list_display = ["label", "kind", "standing_badge", "customer", "day", "sum", "left"]
    list_display_links = ["label"]
    list_filter = ["kind", "state", WaitingFilter, "currency", "issued_on"]
    list_select_related = ["organization", "balance", "corrects"]
    search_fields = ["number", "organization__name", "organization__slug", "order__number"]
    search_help_text = _("Number, customer or order")
    id_fields = ["organization_id", "order_id", "subscription_id"]
    ordering = ["-created_at"]
    verbs = [CREDIT]
    confirmation_columns = (_("Invoice"), _("Customer"))
    actions_detail = ["credit_one", "try_one"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("label", "standing_badge"),
                    ("customer", "day"),
                    ("sum", "left"),
                    "missing",
                    "files",
                    ("because", "corrected"),
                    "credited_by",
                ]
            },
        ),
        (_("Lines"), {"fields": ["lines"]}),
        (_("Record"), {"classes": ["collapse"], "fields": [("created_at", "finalised_at"), "identifier", "seal"]}),
    ]
    readonly_fields = [
        "label", "standing_badge", "customer", "day", "sum", "left", "missing", "files", "because", "corrected",
        "credited_by", "lines", "identifier", "seal",
    ]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invoice]:
        rows = super().get_queryset(request).select_related("organization", "balance", "corrects", "order")
        return rows.defer("order__buyer")

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                "<uuid:invoice_id>/file/<slug:form>/",
                self.admin_site.admin_view(self.download_view),
                name="billing_invoice_file",
            )
        ]
        return [*own, *super().get_urls()]

    def download_view(self, request: HttpRequest, invoice_id: Any, form: str) -> HttpResponse:
        """A file of an issued document; of a draft the pro-forma, which has no number."""
        invoice = Invoice.objects.select_related("organization", "corrects").filter(pk=invoice_id).first()
        if invoice is None or not self.has_view_permission(request, invoice):
            return self._not_allowed(request)
        try:
            if invoice.state == Invoice.DRAFT:
                content = press.draft_pdf(complete(invoice, today=timezone.localdate()))
                found = queries.Document("pro-forma.pdf", "application/pdf", content)
            else:
                found = queries.download(invoice, form)
        except (PressFailed, refusals.InvoiceRefused, InvoiceFile.DoesNotExist, KeyError):
            messages.error(request, gettext("This file cannot be made at the moment. `parcelle check` says why."))
            return HttpResponseRedirect(page_of(invoice))
        disposition = f'attachment; filename="{found.filename}"'
        return HttpResponse(found.content, content_type=found.media_type, headers={"Content-Disposition": disposition})

    def describe(self, row: Invoice) -> object:
        return row.organization

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        key = as_uuid(object_id)
        row = Invoice.objects.select_related("balance").filter(pk=key).first() if key else None
        if row is None or not self.has_operate_permission(request):
            return []
        if row.state == Invoice.DRAFT:
            offered = {"try_one"}
        else:
            offered = {"credit_one"} if row.kind == Invoice.INVOICE and _credit_forecast(row).possible else set()
        shown = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        prefix = f"{self.opts.app_label}_{self.opts.model_name}_"
        return [each for each in shown if each.action_name.removeprefix(prefix) in offered]

    @action(description=_("Credit note"), url_path="credit", icon="undo")
    def credit_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, CREDIT)

    @action(description=_("Try to issue it"), url_path="issue", icon="replay", variant=ActionVariant.PRIMARY)
    def try_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Issues a draft at once, or says what is missing."""
        row = self.get_object(request, object_id)
        if row is None or not self.has_operate_permission(request):
            return self._not_allowed(request)
        try:
            done = invoicing.attempt(row.pk)
        except PressFailed as error:
            messages.error(request, gettext("It could not be made: %(reason)s") % {"reason": str(error)[:200]})
        else:
            if done:
                messages.success(request, gettext("It has been issued."))
            else:
                messages.error(request, gettext("It still waits for what is listed below."))
        return HttpResponseRedirect(page_of(row))

    # --- columns --------------------------------------------------------------------------------------------

    @admin.display(description=_("Number"), ordering="number")
    def label(self, row: Invoice) -> SafeString | str:
        return format_html('<span class="bo-numbers">{}</span>', row.number) if row.number else gettext("Draft")

    @admin.display(description=_("State"), ordering="state")
    def standing_badge(self, row: Invoice) -> SafeString:
        standing = queries.standing(row, today=timezone.localdate())
        return badge(standing, words.word(words.STANDINGS, standing))

    @admin.display(description=_("Customer"), ordering="organization__name")
    def customer(self, row: Invoice) -> SafeString | str:
        return link_to(row.organization)

    @admin.display(description=_("Date"), ordering="issued_on")
    def day(self, row: Invoice) -> SafeString | str:
        return moment(row.finalised_at or row.created_at)

    @in_a_column
    @admin.display(description=_("Total with VAT"), ordering="total_minor")
    def sum(self, row: Invoice) -> SafeString:
        return format_html('<span class="bo-numbers">{}</span>', row.total.format(_language()))

    @in_a_column
    @admin.display(description=_("Left to pay"))
    def left(self, row: Invoice) -> SafeString | str:
        left = queries.left_to_pay(row)
        return format_html('<span class="bo-numbers">{}</span>', left.format(_language())) if left else NOTHING

    @admin.display(description=_("Still missing"))
    def missing(self, row: Invoice) -> SafeString | str:
        if not row.problems:
            return NOTHING
        seller = reverse("admin:billing_seller_changelist")
        details = BillingDetails.objects.filter(organization=row.organization_id).first()
        buyer = page_of(details) if details else reverse("admin:billing_billingdetails_changelist")
        where = {"seller": (seller, gettext("Seller")), "buyer": (buyer, gettext("Billing details"))}
        lines = []
        for problem in row.problems:
            url, place = where.get(problem["code"].partition("_")[0], ("", ""))
            said = words.word(words.INVOICE_PROBLEMS, problem["code"])
            more = f" ({problem['detail']})" if problem["detail"] else ""
            lines.append(
                (said + more, format_html(' → <a class="bo-link" href="{}">{}</a>', url, place) if url else "")
            )
        return format_html_join("", "<div>{}{}</div>", lines)

    @admin.display(description=_("Files"))
    def files(self, row: Invoice) -> SafeString:
        forms = [("pdf", "PDF (Factur-X)"), ("xml", "XML (CII)"), ("ubl", "UBL")]
        if row.state == Invoice.DRAFT:
            forms = [("pdf", gettext("Pro-forma"))]
        links = [(reverse("admin:billing_invoice_file", args=(row.pk, form)), text) for form, text in forms]
        return format_html_join(" · ", '<a class="bo-link" href="{}">{}</a>', links)

    @admin.display(description=_("Made for"))
    def because(self, row: Invoice) -> str:
        return row.order.number if row.order else NOTHING

    @admin.display(description=_("Corrects"))
    def corrected(self, row: Invoice) -> SafeString | str:
        return link_to(row.corrects)

    @admin.display(description=_("Credited by"))
    def credited_by(self, row: Invoice) -> SafeString | str:
        return format_html_join(", ", "{}", [(link_to(note),) for note in row.credit_notes.all()]) or NOTHING

    @admin.display(description=_("Lines"))
    def lines(self, row: Invoice) -> SafeString:
        said = Content.read(row.content)
        rows = [
            (line.quantity, line.name, line.description, line.net.format(_language()), f"{line.tax.rate.normalize():f}")
            for line in said.lines
        ]
        return format_html_join("", '<div class="bo-numbers">{} × {} {} · {} · {} %</div>', rows)

    @admin.display(description=_("Seal in the chain"))
    def seal(self, row: Invoice) -> SafeString | str:
        sealed = InvoiceFile.objects.filter(invoice=row).values_list("position", "hash").first()
        return format_html('<code class="bo-code">{} · {}</code>', *sealed) if sealed else NOTHING


def _typed(label: Any, length: int, help_text: Any = "") -> forms.CharField:
    """Longer than what is kept: with spaces and dots."""
    widget = UnfoldAdminTextInputWidget()
    return forms.CharField(label=capfirst(label), max_length=length, required=False, help_text=help_text, widget=widget)


class SellerForm(forms.ModelForm):  # type: ignore[type-arg]
    """Numbers may be typed as they are printed; they are kept as files want them."""

    siren = _typed(_("SIREN"), 20)
    vat_number = _typed(pgettext_lazy("label", "VAT number"), 30)
    iban = _typed(_("IBAN"), 50, _("Printed on invoices that wait for a transfer."))
    bic = _typed(_("BIC"), 20)

    class Meta:
        model = Seller
        fields = "__all__"  # noqa: DJ007 - the page says which are shown

    def clean_siren(self) -> str:
        return self._tidied("siren", vat_numbers.tidy_siren, _("A SIREN has nine digits, and one of these is wrong."))

    def clean_iban(self) -> str:
        return self._tidied("iban", bank_accounts.iban, _("This is not a valid IBAN."))

    def clean_bic(self) -> str:
        return "".join(str(self.cleaned_data["bic"]).split()).upper()

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        if said.get("vat_number") and said.get("country") in EU:
            try:
                said["vat_number"] = vat_numbers.tidy(said["vat_number"], said["country"])
            except ValueError:
                self.add_error("vat_number", _("This VAT number does not fit the country."))
        # A rate that no invoice may carry would only be found out after something was sold.
        known = RATES.get(said.get("country", ""))
        if known is not None and not said.get("vat_exempt") and said.get("vat_rate", min(known)) not in known:
            self.add_error("vat_rate", _("This is no VAT rate of the country. Who charges no VAT ticks the exemption."))
        return said

    def _tidied(self, name: str, tidy: Callable[[str], str], sentence: Any) -> str:
        typed = str(self.cleaned_data[name]).strip()
        try:
            return tidy(typed) if typed else ""
        except ValueError:
            raise forms.ValidationError(sentence) from None


@admin.register(Seller)
class SellerPage(Page):
    """The vendor's own data: one row, and whether invoices can be issued with it."""

    when_empty = _("Who sells, as it stands on every invoice.")
    form = SellerForm
    list_display = ["__str__", "siren", "vat_number", "complete_badge"]
    fieldsets = [
        (None, {"fields": ["completeness"]}),
        (
            _("Company"),
            {
                "fields": [
                    ("name", "legal_form"),
                    ("share_capital", "register"),
                    ("siren", "vat_number"),
                    "address",
                    ("postcode", "city", "country"),
                    ("email", "phone"),
                ]
            },
        ),
        (_("VAT"), {"fields": ["vat_rate", "vat_exempt", "vat_on_debits", "one_stop_shop"]}),
        (_("Bank account"), {"fields": [("iban", "bic")]}),
    ]
    readonly_fields = ["completeness"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_add_permission(request) and not Seller.objects.exists()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        row = Seller.objects.first()
        if row is not None:
            return HttpResponseRedirect(page_of(row))
        return HttpResponseRedirect(reverse("admin:billing_seller_add"))

    def find(self, object_id: str) -> Any:
        return Seller.objects.filter(pk=object_id).first() if object_id.isdigit() else None

    def save_model(self, request: HttpRequest, obj: Seller, form: Any, change: bool) -> None:
        obj.pk = 1
        super().save_model(request, obj, form, change)
        count = journeys.retry()
        if count:
            text = ngettext(
                "%(count)d waiting invoice is tried again.", "%(count)d waiting invoices are tried again.", count
            )
            messages.info(request, text % {"count": count})

    @admin.display(description=_("Invoices"))
    def complete_badge(self, row: Seller) -> SafeString:
        missing = list(refusals.of_seller(snapshot_of_seller(row)))
        return badge("failed" if missing else "live", gettext("incomplete") if missing else gettext("complete"))

    @admin.display(description=_("Can invoices be issued?"))
    def completeness(self, row: Seller) -> SafeString | str:
        missing = list(refusals.of_seller(snapshot_of_seller(row if row.pk else Seller())))
        if not missing:
            sentence = gettext("Everything that an invoice has to say about you is there.")
            return format_html("{}<p>{}</p>", badge("live", gettext("Yes")), sentence)
        said = [(words.word(words.INVOICE_PROBLEMS, code),) for code in missing]
        badge_ = badge("failed", gettext("Not yet"))
        why = gettext("Invoices wait as drafts for:")
        return format_html("{}<p>{}</p><ul>{}</ul>", badge_, why, format_html_join("", "<li>{}</li>", said))


@admin.register(BillingDetails)
class BillingDetailsPage(Page):
    when_empty = _("Customers enter their details when they buy.")
    list_display = ["name", "organization", "country", "siren", "vat_number", "vat_number_valid"]
    list_filter = ["business", "country"]
    search_fields = ["name", "organization__name", "siren", "vat_number", "email"]
    ordering = ["name"]
    fields = [
        ("organization", "business"),
        ("name", "person"),
        "email",
        "address",
        ("postcode", "city", "country"),
        ("siren", "vat_number", "vat_number_valid"),
        "purchase_order",
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["organization"] if obj else []

    def find(self, object_id: str) -> Any:
        return BillingDetails.objects.filter(pk=object_id).first() if object_id.isdigit() else None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: BillingDetails, form: Any, change: bool) -> None:
        obj.updated_at = timezone.now()
        super().save_model(request, obj, form, change)
        journeys.retry(organization_id=obj.organization_id)


@admin.register(ExchangeRate)
class ExchangeRatePage(Page):
    when_empty = _("A rate says what amounts in another currency are worth in euros, where the books need it.")
    list_display = ["currency", "per_euro", "source", "dated"]
    list_filter = ["currency"]
    ordering = ["currency", "-dated"]
    fields = [("currency", "per_euro"), ("source", "dated")]

    def save_model(self, request: HttpRequest, obj: ExchangeRate, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        journeys.retry()


@admin.register(VatCheck)
class VatCheckPage(Record):
    when_empty = _("What the European register answered about customers’ VAT numbers is kept here.")
    list_display = ["number", "valid", "at"]
    list_filter = ["valid", "at"]
    search_fields = ["number"]
    ordering = ["-at"]
    fields = [("number", "valid"), "at", "answer"]
