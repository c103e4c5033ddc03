"""Bank transfers: what waits for somebody, the receipts, and the verbs with which operators say what arrived."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from parcelle.core.money import Money, NotMoney, decimals, parse
from parcelle.domain.billing import payment_states, receipts, references, transfer_states, transfers
from parcelle.domain.billing.errors import GatewayUnusable, TransferRefused
from parcelle.domain.billing.models import Confirmation, Receipt, Transfer
from parcelle.surfaces.backoffice import transfer_words, words
from parcelle.surfaces.backoffice.base import Lines, LinesWithActors, Record, as_uuid, lean, name_actors
from parcelle.surfaces.backoffice.values import NOTHING, badge, code, in_a_column, link_to, list_of, moment, page_of
from parcelle.surfaces.documents import document


def money(amount: Money) -> SafeString:
    return format_html('<span class="bo-numbers">{}</span>', amount.format(get_language() or "fr"))


def read_money(text: str, currency: str) -> Money:
    """As the reader writes it, or with a point. Raises NotMoney."""
    try:
        return parse(text, currency, get_language() or "fr")
    except NotMoney:
        return parse(text, currency, "en")


class StandingFilter(admin.SimpleListFilter):
    """What waits for somebody, unless asked otherwise."""

    title = _("standing")
    parameter_name = "of"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("expected", _("Expected")), ("done", _("Done")), ("all", _("All"))]

    def choices(self, changelist: Any) -> Any:
        known = [str(value) for value, _title in self.lookup_choices]
        yield {
            "selected": self.value() not in known,
            "query_string": changelist.get_query_string(remove=[self.parameter_name]),
            "display": _("To confirm"),
        }
        for value, title in self.lookup_choices:
            yield {
                "selected": self.value() == str(value),
                "query_string": changelist.get_query_string({self.parameter_name: value}),
                "display": title,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Transfer]) -> QuerySet[Transfer]:
        if self.value() == "all":
            return queryset
        if self.value() == "expected":
            return queryset.filter(state__in=transfer_states.OPEN)
        if self.value() == "done":
            return queryset.exclude(state__in=transfer_states.OPEN)
        # A search is meant for all of them.
        return queryset if request.GET.get("q") else queryset.filter(state__in=transfer_states.TO_CONFIRM)


# --- what belongs to a transfer -------------------------------------------------------------------------------


class ReceiptLines(Lines):
    """What the customer sent in: never opened here, only saved, and pictures shown small."""

    model = Receipt
    verbose_name_plural = _("Receipts")
    fields = ["document", "sent_in", "size_word", "fingerprint", "warning"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("same_as__transfer").order_by("created_at")

    @admin.display(description=_("Document"))
    def document(self, row: Receipt) -> SafeString | str:
        if row.removed_at:
            return row.name
        address = reverse("admin:billing_transfer_receipt", args=[row.transfer_id, row.pk])
        shown = format_html('<a class="bo-link" href="{}">{}</a>', address, row.name)
        if row.kind == Receipt.PDF:
            return shown
        return format_html('{}<img class="bo-receipt" src="{}" alt="" loading="lazy">', shown, address)

    @admin.display(description=_("Sent in"))
    def sent_in(self, row: Receipt) -> SafeString:
        return format_html('{} <span class="bo-soft">{}</span>', moment(row.created_at), row.address or "")

    @admin.display(description=_("Size"))
    def size_word(self, row: Receipt) -> str:
        return f"{row.get_kind_display()}, {filesizeformat(row.size)}"

    @admin.display(description="SHA-256")
    def fingerprint(self, row: Receipt) -> SafeString:
        return format_html('<code class="bo-code" title="{}">{}…</code>', row.sha256, row.sha256[:12])

    @admin.display(description=_("Remark"))
    def warning(self, row: Receipt) -> SafeString | str:
        if row.same_as is not None:
            text = gettext("The same file was sent in for another transfer:")
            return format_html('<strong class="bo-error">{}</strong> {}', text, link_to(row.same_as.transfer))
        return badge("refused", gettext("Rejected")) if row.rejected_at else NOTHING


class ConfirmationLines(Lines):
    """Who confirmed what."""

    model = Confirmation
    verbose_name_plural = _("Confirmations")
    fields = ["sum", "state_badge", "value_date", "bank_reference", "first", "second"]
    formset = LinesWithActors

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("transfer").order_by("created_at")

    @admin.display(description=_("Amount"))
    def sum(self, row: Confirmation) -> SafeString:
        if not row.surplus_minor or row.state != Confirmation.COUNTED:
            return money(row.amount)
        surplus = money(Money(row.surplus_minor, row.currency))
        return format_html('{} <span class="bo-soft">({} {})</span>', money(row.amount), gettext("credit:"), surplus)

    @admin.display(description=_("Confirmed by"))
    def first(self, row: Any) -> SafeString:
        return format_html('{} <span class="bo-soft">{}</span>', row.actor_name, moment(row.created_at))

    @admin.display(description=_("Second person"))
    def second(self, row: Any) -> SafeString | str:
        if row.state == Confirmation.WAITING:
            return format_html(
                '<a class="bo-link" href="{}">{}</a>',
                reverse("admin:billing_transfer_approve", args=[row.transfer_id, row.pk]),
                gettext("Approve or turn down"),
            )
        if not row.second_actor:
            return NOTHING
        name_actors([shown := _Actor(row.second_actor)])
        return format_html(
            '{} <span class="bo-soft">{}</span> {}', shown.actor_name, moment(row.decided_at), row.remark
        )


class _Actor:
    """Somebody whose name is to be found."""

    actor_name = ""

    def __init__(self, actor: str) -> None:
        self.actor = actor


# --- forms ----------------------------------------------------------------------------------------------------


class ConfirmForm(forms.Form):
    """What the bank says: the amount, when it counts from, and how the bank calls it."""

    amount = forms.CharField(
        label=_("Amount that arrived"), max_length=30, widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"})
    )
    currency = forms.CharField(label=_("Currency"), max_length=3, widget=UnfoldAdminTextInputWidget())
    value_date = forms.DateField(
        label=_("Value date"),
        widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}),
        help_text=_("As the bank says."),
    )
    bank_reference = forms.CharField(
        label=_("Reference of the bank"),
        max_length=140,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("As it stands on the statement: the same money cannot be confirmed twice."),
    )

    def clean_currency(self) -> str:
        text = str(self.cleaned_data["currency"]).strip().upper()
        try:
            decimals(text)
        except NotMoney:
            raise forms.ValidationError(_("This is not a currency.")) from None
        return text

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if "amount" in cleaned and "currency" in cleaned:
            try:
                cleaned["money"] = read_money(cleaned["amount"], cleaned["currency"])
            except NotMoney:
                self.add_error("amount", _("This is not an amount in this currency."))
        return cleaned


class ReasonForm(forms.Form):
    """Why not, in words that the customer reads."""

    reason = forms.ChoiceField(label=_("Reason"), widget=UnfoldAdminSelectWidget)
    text = forms.CharField(
        label=_("In your own words"),
        required=False,
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=_("The customer reads it after the reason. With “Other” it is all that they read."),
    )

    def __init__(self, choices: words.Words, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].choices = list(choices.items())  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("reason") == "other" and not str(cleaned.get("text") or "").strip():
            self.add_error("text", _("Say in a sentence what is wrong."))
        return cleaned


class TurnDownForm(forms.Form):
    text = forms.CharField(
        label=_("If you turn it down: why"),
        required=False,
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=_("For your colleagues; the customer does not read it."),
    )


# --- the pages ------------------------------------------------------------------------------------------------


@admin.register(Transfer)
class TransferPage(Record):
    when_empty = _("No transfer is being waited for. Those that came or were given up are under “Filters”.")
    list_display = ["reference_word", "state_badge", "expected_sum", "received_sum", "order_link", "buyer", "waiting"]
    list_filter = [StandingFilter, "state", "currency", "created_at"]
    search_fields = ["reference", "payment__order__number", "payment__order__email", "payment__number"]
    search_help_text = _("Reference, order, e-mail or identifier")
    id_fields = ["payment_id"]
    ordering = ["waiting_since", "-created_at"]
    inlines = [ReceiptLines, ConfirmationLines]
    actions_detail = ["confirm_one", "accept_one", "reject_one", "refuse_one", "recall_one"]
    fields = [
        ("reference_word", "state_badge"),
        ("expected_sum", "received_sum"),
        ("order_link", "buyer"),
        ("payment_link", "told_account"),
        ("created", "expires"),
        "said",
    ]
    readonly_fields = [
        *("reference_word", "state_badge", "expected_sum", "received_sum", "order_link", "buyer", "told_account"),
        *("payment_link", "expires", "created", "said"),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Transfer]:
        return lean(super().get_queryset(request), "payment__order__organization")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        # As people read it aloud, in groups of four.
        plain = search_term.replace(" ", "") if search_term.upper().startswith("RF") else search_term
        return super().get_search_results(request, queryset, plain)

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                "<uuid:transfer_id>/receipt/<uuid:receipt_id>/",
                self.admin_site.admin_view(self.receipt_view),
                name="billing_transfer_receipt",
            ),
            path(
                "<uuid:transfer_id>/approve/<uuid:confirmation_id>/",
                self.admin_site.admin_view(self.approve_view),
                name="billing_transfer_approve",
            ),
        ]
        return [*own, *super().get_urls()]

    # --- columns ------------------------------------------------------------------------------------------

    @admin.display(description=_("Reference"), ordering="reference")
    def reference_word(self, row: Transfer) -> SafeString:
        return format_html('<span class="bo-numbers">{}</span>', references.grouped(row.reference))

    @in_a_column
    @admin.display(description=_("Expected"), ordering="amount_minor")
    def expected_sum(self, row: Transfer) -> SafeString:
        return money(row.amount)

    @in_a_column
    @admin.display(description=_("Arrived"), ordering="received_minor")
    def received_sum(self, row: Transfer) -> SafeString | str:
        return money(row.received) if row.received_minor else NOTHING

    @admin.display(description=_("Order"), ordering="payment__order__number")
    def order_link(self, row: Transfer) -> SafeString | str:
        return link_to(row.payment.order)

    @admin.display(description=_("Payment"))
    def payment_link(self, row: Transfer) -> SafeString | str:
        return link_to(row.payment)

    @admin.display(description=_("Customer"), ordering="payment__order__email")
    def buyer(self, row: Transfer) -> SafeString:
        order = row.payment.order
        if order.organization is not None:
            return format_html('{} <span class="bo-soft">{}</span>', link_to(order.organization), order.email)
        return format_html("{}", order.email)

    @admin.display(description=_("Waiting since"), ordering="waiting_since")
    def waiting(self, row: Transfer) -> SafeString | str:
        return moment(row.waiting_since)

    @admin.display(description=_("Expected until"))
    def expires(self, row: Transfer) -> SafeString | str:
        return moment(row.expires_at)

    @admin.display(description=_("Created"))
    def created(self, row: Transfer) -> SafeString | str:
        return moment(row.created_at)

    @admin.display(description=_("Account"))
    def told_account(self, row: Transfer) -> SafeString:
        return code(references.grouped(row.told.get("iban", "")))

    @admin.display(description=_("Told to the customer"))
    def said(self, row: Transfer) -> str:
        reason = words.word(transfer_words.TRANSFER_REASONS, row.reason) if row.reason else ""
        return " ".join(filter(None, (reason, row.reason_text))) or NOTHING

    # --- what can be done -----------------------------------------------------------------------------------

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.change_transfer")

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        row = self.find(object_id)
        if row is None or not self.has_operate_permission(request):
            return []
        shown = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        possible = {
            "confirm_one": row.state != transfer_states.PARKED,
            "accept_one": row.state == transfer_states.PARTIAL,
            "reject_one": row.state in transfer_states.OPEN and row.receipts.filter(rejected_at=None).exists(),
            "refuse_one": row.state in transfer_states.OPEN and row.state != transfer_states.SECOND,
            "recall_one": row.state in transfer_states.CAME and row.payment.state != payment_states.REFUNDED,
        }
        return [one for one in shown if any(one.action_name.endswith(name) and ok for name, ok in possible.items())]

    @action(description=_("Confirm"), url_path="confirm", icon="check_circle", variant=ActionVariant.PRIMARY)
    def confirm_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._asked(request, object_id)
        if row is None:
            return HttpResponseRedirect(list_of(Transfer))
        transfers.begin_review(row.pk, now=timezone.now())
        row.refresh_from_db(fields=["state"])
        missing = row.missing or row.amount
        initial = {"amount": _plain(missing), "currency": row.currency, "value_date": timezone.localdate().isoformat()}
        form = ConfirmForm(request.POST or None, initial=initial)
        if form.is_valid():
            said = form.cleaned_data

            def confirm() -> str:
                done = transfers.confirm(
                    row.pk,
                    amount=said["money"],
                    value_date=said["value_date"],
                    bank_reference=said["bank_reference"],
                    seen=request.POST.get("seen", ""),
                    person=_person(request),
                    actor=_actor(request),
                    now=timezone.now(),
                )
                if done.state == Confirmation.WAITING:
                    return gettext("Noted. Because of the amount a second person must approve it now.")
                return gettext("Noted: the money has arrived.")

            return self._carried_out(request, row, form, confirm)
        return self._form(request, row, form, gettext("What has arrived?"), gettext("Confirm"))

    @action(description=_("Accept the difference"), url_path="accept", icon="price_check")
    def accept_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._asked(request, object_id)
        if row is None:
            return HttpResponseRedirect(list_of(Transfer))
        form = forms.Form(request.POST or None)
        if request.method == "POST":

            def accept() -> str:
                seen, now = request.POST.get("seen", ""), timezone.now()
                transfers.accept_shortfall(row.pk, seen=seen, actor=_actor(request), now=now)
                return gettext("The difference is booked as bank charges, and the order is paid.")

            return self._carried_out(request, row, form, accept)
        notice = gettext("%(amount)s is missing. It is booked as bank charges that you bear, and the order is paid.")
        shown = notice % {"amount": row.missing.format(get_language() or "fr")}
        return self._form(request, row, form, gettext("Accept what is missing?"), gettext("Accept"), notice=shown)

    @action(description=_("Reject the receipt"), url_path="reject", icon="unpublished")
    def reject_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        notice = gettext("The customer reads why on the page of the order, and can send in another receipt.")
        return self._with_reason(
            request, object_id, transfer_words.REJECTIONS, transfers.reject, gettext("Why is the receipt no good?"),
            gettext("Reject the receipt"), gettext("The customer has been told."), notice,
        )  # fmt: skip

    @action(description=_("Give it up"), url_path="refuse", icon="cancel", variant=ActionVariant.DANGER)
    def refuse_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        notice = gettext(
            "The payment ends as declined, and the customer can pay another way. What has arrived of it in part "
            "becomes the customer’s credit. Money that comes later is never lost: it can still be confirmed."
        )
        return self._with_reason(
            request, object_id, transfer_words.REFUSALS, transfers.refuse, gettext("Give this transfer up?"),
            gettext("Give it up"), gettext("The transfer is not waited for any more."), notice, dangerous=True,
        )  # fmt: skip

    @action(description=_("The bank took it back"), url_path="recall", icon="undo", variant=ActionVariant.DANGER)
    def recall_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        notice = gettext(
            "The books say that the customer owes the sum again. What they bought goes on: suspend it by hand where it "
            "should not."
        )
        choices = {code: transfer_words.REFUSALS[code] for code in transfers.RECALLS}
        return self._with_reason(
            request, object_id, choices, transfers.recall, gettext("Did the bank take this transfer back?"),
            gettext("Note that it was taken back"), gettext("The payment is charged back."), notice, dangerous=True,
        )  # fmt: skip

    def _with_reason(
        self, request: HttpRequest, object_id: str, choices: words.Words, verb: Callable[..., None],
        title: str, submit: str, done: str, notice: str, *, dangerous: bool = False,
    ) -> HttpResponse:  # fmt: skip
        row = self._asked(request, object_id)
        if row is None:
            return HttpResponseRedirect(list_of(Transfer))
        form = ReasonForm(choices, request.POST or None)
        if form.is_valid():

            def act() -> str:
                said = form.cleaned_data
                verb(row.pk, reason=said["reason"], text=said["text"], actor=_actor(request), now=timezone.now())
                return done

            return self._carried_out(request, row, form, act)
        return self._form(request, row, form, title, submit, notice=notice, dangerous=dangerous)

    def approve_view(self, request: HttpRequest, transfer_id: UUID, confirmation_id: UUID) -> HttpResponse:
        """The second person: sees what the first one saw, and agrees or not."""
        row = self._asked(request, str(transfer_id))
        found = Confirmation.objects.filter(pk=confirmation_id, transfer_id=transfer_id).first()
        if row is None or found is None:
            return HttpResponseRedirect(list_of(Transfer))
        form = TurnDownForm(request.POST or None)
        if form.is_valid():
            agrees, actor, now = request.POST.get("answer") == "approve", _actor(request), timezone.now()

            def decide() -> str:
                if agrees:
                    transfers.approve(found.pk, person=_person(request), actor=actor, now=now)
                    return gettext("Approved by two people.")
                transfers.turn_down(found.pk, reason=form.cleaned_data["text"], actor=actor, now=now)
                return gettext("Turned down: it can be noted again as it is.")

            return self._carried_out(request, row, form, decide)
        name_actors([first := _Actor(found.actor)])
        facts = [
            (_("Amount that arrived"), money(found.amount)),
            (_("Value date"), found.value_date),
            (_("Reference of the bank"), found.bank_reference),
            (_("Confirmed by"), first.actor_name),
        ]
        title = gettext("Has this money arrived?")
        return self._form(request, row, form, title, gettext("Approve"), facts=facts, answer="approve", second=True)

    def _asked(self, request: HttpRequest, object_id: str) -> Transfer | None:
        if not self.has_operate_permission(request):
            messages.error(request, gettext("Your account may look at this, but not change it."))
            return None
        key = as_uuid(object_id)
        return Transfer.objects.select_related("payment__order").filter(pk=key).first() if key else None

    def _carried_out(
        self, request: HttpRequest, row: Transfer, form: forms.Form, act: Callable[[], str]
    ) -> HttpResponse:
        try:
            sentence = act()
        except TransferRefused as refused:
            messages.error(request, words.word(transfer_words.TRANSFER_REFUSALS, refused.code))
        except GatewayUnusable:
            messages.error(request, gettext("Bank transfers are not set up."))
        else:
            self.log_change(request, row, sentence)
            messages.success(request, sentence)
        return HttpResponseRedirect(page_of(row))

    def _form(
        self, request: HttpRequest, row: Transfer, form: forms.Form, title: str, submit: str, **more: Any
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "form": form,
            "submit": submit,
            "seen": transfers.version(row),
            "about": [
                (_("Reference"), self.reference_word(row)),
                (_("Expected"), self.expected_sum(row)),
                (_("Arrived"), self.received_sum(row)),
                (_("Order"), row.payment.order.number),
                (_("Customer"), row.payment.order.email),
            ],
            "receipts": row.receipts.filter(removed_at=None).select_related("same_as__transfer"),
            "transfer": row,
            "back": page_of(row),
            **more,
        }
        return TemplateResponse(request, "backoffice/transfer_form.html", context)

    def receipt_view(self, request: HttpRequest, transfer_id: UUID, receipt_id: UUID) -> HttpResponse:
        """The document, for everybody on the staff."""
        found = Receipt.objects.select_related("transfer").filter(pk=receipt_id, transfer_id=transfer_id).first()
        content = receipts.read(found) if found and self.has_view_permission(request) else None
        if found is None or content is None:
            raise Http404
        name = f"{found.transfer.reference}-{found.created_at:%Y%m%d-%H%M%S}.{found.kind}"
        return document(content, content_type=receipts.CONTENT_TYPES[found.kind], name=name)


def _actor(request: HttpRequest) -> str:
    return f"user:{request.user.pk}"


def _person(request: HttpRequest) -> UUID:
    return UUID(str(request.user.pk))


def _plain(amount: Money) -> str:
    """As a reader types it: `58,80`."""
    text = f"{amount.amount:f}"
    return text.replace(".", ",") if get_language() == "fr" else text


__all__ = ["TransferPage", "money", "read_money"]
