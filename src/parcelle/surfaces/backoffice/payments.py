"""Orders, the attempts to pay them, and what was given back."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.enums import ActionVariant

from parcelle.core.models import Fact
from parcelle.core.money import Money
from parcelle.domain.billing import payment_states
from parcelle.domain.billing.models import Order, Payment, Refund
from parcelle.domain.provisioning.models import Instance
from parcelle.surfaces.backoffice import money_verbs, money_work, words
from parcelle.surfaces.backoffice.base import Lines, LinesWithActors, Record, WithActors, found, lean
from parcelle.surfaces.backoffice.changes import ChangingAsForeseen
from parcelle.surfaces.backoffice.filters import by_code
from parcelle.surfaces.backoffice.gateway_messages import GatewayEventLines
from parcelle.surfaces.backoffice.money_verbs import spoken
from parcelle.surfaces.backoffice.values import NOTHING, code, in_a_column, link_to, list_of, moment


def _amount(money: Money | None) -> SafeString | str:
    return format_html('<span class="bo-amount">{}</span>', spoken(money)) if money is not None else NOTHING


def _facts_of(order: Order) -> SafeString | str:
    if order.organization_id is None:
        return NOTHING
    address = list_of(Fact, f"q={order.organization_id}")
    return format_html('<a class="bo-link" href="{}">{}</a>', address, _("What happened at this customer"))


def _text(value: str) -> SafeString | str:
    return format_html('<span class="bo-cut" title="{}">{}</span>', value, value) if value else NOTHING


# --- refunds ------------------------------------------------------------------------------------------------


class RefundColumns:
    @in_a_column
    @admin.display(description=_("Amount"), ordering="amount_minor")
    def amount(self, row: Refund) -> SafeString | str:
        return _amount(Money(row.amount_minor, row.payment.currency))

    @admin.display(description=_("Asked for"), ordering="created_at")
    def created(self, row: Refund) -> SafeString | str:
        return moment(row.created_at)

    @admin.display(description=_("Settled"), ordering="settled_at")
    def settled(self, row: Refund) -> SafeString | str:
        return moment(row.settled_at)

    @admin.display(description=_("How it goes back"))
    def how(self, row: Refund) -> str:
        return str(_("By hand") if row.by_hand else words.word(words.GATEWAYS, row.payment.gateway))


class RefundLines(RefundColumns, Lines):
    """What was given back of a payment."""

    model = Refund
    formset = LinesWithActors
    verbose_name_plural = _("Refunds")
    fields = ["which", "state_badge", "amount", "how", "reason", "asked_by", "settled"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return lean(super().get_queryset(request), "payment").order_by("-created_at")

    @admin.display(description=_("Refund"))
    def which(self, row: Refund) -> SafeString | str:
        return link_to(row, str(row.created_at.date()))

    @admin.display(description=_("Asked by"))
    def asked_by(self, row: Any) -> str:
        return str(row.actor_name)


@admin.register(Refund)
class RefundPage(RefundColumns, WithActors, Record):
    when_empty = _("Refunds are made on the page of a payment.")
    list_display = ["of", "state_badge", "amount", "how", "asked_by", "created", "settled", "trouble"]
    # The first column leads to the payment.
    list_display_links = ["amount"]
    list_filter = ["state", "by_hand", "created_at"]
    search_fields = ["payment__number", "payment__order__number", "provider_id", "reason"]
    search_help_text = _("Number of the payment or order, reason or identifier")
    id_fields = ["payment_id"]
    ordering = ["-created_at"]
    fields = [
        ("of", "state_badge"),
        ("amount", "how"),
        ("reason", "asked_by"),
        ("created", "settled"),
        ("provider_id", "remark"),
        "identifier",
    ]
    readonly_fields = ["of", "state_badge", "amount", "how", "asked_by", "created", "settled", "identifier"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Refund]:
        return lean(super().get_queryset(request), "payment")

    @admin.display(description=_("Payment"), ordering="payment__number")
    def of(self, row: Refund) -> SafeString | str:
        return link_to(row.payment)

    @admin.display(description=_("Remark"))
    def trouble(self, row: Refund) -> SafeString | str:
        return _text(row.remark)


# --- payments -----------------------------------------------------------------------------------------------


class WorkFilter(admin.SimpleListFilter):
    title = _("to do")
    parameter_name = "work"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("parked", _("Came in otherwise than asked")), ("silent", _("Outcome never told"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Payment]) -> QuerySet[Payment]:
        wanted = {"parked": money_work.PARKED, "silent": money_work.SILENT}.get(self.value() or "")
        return queryset.filter(wanted) if wanted is not None else queryset


class OrderWorkFilter(admin.SimpleListFilter):
    title = _("to do")
    parameter_name = "work"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("too_late", _("Paid when nothing was left to renew"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Order]) -> QuerySet[Order]:
        return queryset.filter(money_work.too_late()) if self.value() == "too_late" else queryset


class PaymentColumns:
    @admin.display(description=_("Method"), ordering="gateway")
    def service(self, row: Payment) -> str:
        return words.word(words.GATEWAYS, row.gateway)

    @in_a_column
    @admin.display(description=_("Amount"), ordering="amount_minor")
    def asked(self, row: Payment) -> SafeString | str:
        return _amount(row.amount)

    @in_a_column
    @admin.display(description=_("Came in"))
    def came_in(self, row: Payment) -> SafeString | str:
        return _amount(row.received)

    @admin.display(description=_("Because"))
    def because(self, row: Payment) -> str:
        return words.word(words.PAYMENT_REASONS, row.reason) if row.reason else NOTHING

    @admin.display(description=_("Created"), ordering="created_at")
    def created(self, row: Payment) -> SafeString | str:
        return moment(row.created_at)

    @admin.display(description=_("Settled"), ordering="settled_at")
    def settled(self, row: Payment) -> SafeString | str:
        return moment(row.settled_at)


@admin.register(Payment)
class PaymentPage(PaymentColumns, ChangingAsForeseen):
    verbs = [
        money_verbs.LOOK,
        money_verbs.ACCEPT,
        money_verbs.KEEP,
        money_verbs.RETURN,
        money_verbs.REFUND,
        money_verbs.ABANDON,
    ]
    confirmation_columns = (_("Payment"), _("Order"))
    when_empty = _("A payment begins when a customer chooses how to pay an order.")
    list_display = ["number", "state_badge", "service", "asked", "came_in", "order_link", "created", "because"]
    list_filter = [WorkFilter, "state", by_code("gateway", _("method"), words.GATEWAYS.items), "currency", "created_at"]
    search_fields = ["number", "provider_id", "order__number", "order__email"]
    search_help_text = _("Number of the payment or order, e-mail or identifier")
    id_fields = ["order_id", "key"]
    ordering = ["-created_at"]
    inlines = [RefundLines, GatewayEventLines]
    actions_detail = ["look_one", "accept_one", "keep_one", "return_one", "refund_one", "abandon_one"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("number", "state_badge"),
                    ("order_link", "customer"),
                    ("asked", "came_in"),
                    ("given_back", "kept"),
                    ("service", "reference"),
                    ("because", "remark"),
                ]
            },
        ),
        (
            _("Record"),
            {"fields": [("created", "submitted"), ("settled", "next_look"), ("facts", "identifier")]},
        ),
    ]
    readonly_fields = [
        "state_badge",
        "order_link",
        "customer",
        "asked",
        "came_in",
        "given_back",
        "kept",
        "service",
        "reference",
        "because",
        "created",
        "submitted",
        "settled",
        "next_look",
        "facts",
        "identifier",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Payment]:
        return lean(super().get_queryset(request), "order", "order__organization")

    def find(self, object_id: str) -> Any:
        row = super().find(object_id)
        return Payment.objects.select_related("order").get(pk=row.pk) if row else None

    @admin.display(description=_("Order"), ordering="order__number")
    def order_link(self, row: Payment) -> SafeString | str:
        return link_to(row.order)

    @admin.display(description=_("Customer"))
    def customer(self, row: Payment) -> SafeString | str:
        return link_to(row.order.organization) if row.order.organization else row.order.email

    @admin.display(description=_("Given back"))
    def given_back(self, row: Payment) -> SafeString | str:
        return _amount(Money(row.refunded_minor, row.currency)) if row.refunded_minor else NOTHING

    @admin.display(description=_("Kept by the service"))
    def kept(self, row: Payment) -> SafeString | str:
        if not row.dispute_fee_minor:
            return _amount(Money(row.fee_minor, row.currency)) if row.fee_minor is not None else NOTHING
        fees = _amount(Money(row.fee_minor or 0, row.currency)), _amount(Money(row.dispute_fee_minor, row.currency))
        return format_html("{} · {} {}", fees[0], gettext("for a dispute:"), fees[1])

    @admin.display(description=_("Reference of the payment service"))
    def reference(self, row: Payment) -> SafeString | str:
        return code(row.provider_id) if row.provider_id else NOTHING

    @admin.display(description=_("Handed over"))
    def submitted(self, row: Payment) -> SafeString | str:
        return moment(row.submitted_at)

    @admin.display(description=_("The service is asked again"))
    def next_look(self, row: Payment) -> SafeString | str:
        return moment(row.look_at) if row.state in payment_states.UNSETTLED else NOTHING

    @admin.display(description=_("Facts"))
    def facts(self, row: Payment) -> SafeString | str:
        return _facts_of(row.order)

    def describe(self, row: Payment) -> object:
        return link_to(row.order)

    @action(description=_("Ask the service again"), url_path="look", icon="sync")
    def look_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, money_verbs.LOOK)

    @action(description=_("Count for the order"), url_path="accept", icon="check_circle", variant=ActionVariant.PRIMARY)
    def accept_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, money_verbs.ACCEPT)

    @action(description=_("Keep as credit"), url_path="keep", icon="savings")
    def keep_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, money_verbs.KEEP)

    @action(description=_("Give back"), url_path="return", icon="undo", variant=ActionVariant.DANGER)
    def return_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, money_verbs.RETURN)

    @action(description=_("Refund"), url_path="refund", icon="undo", variant=ActionVariant.DANGER)
    def refund_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, money_verbs.REFUND)

    @action(description=_("Give up"), url_path="abandon", icon="block", variant=ActionVariant.DANGER)
    def abandon_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, money_verbs.ABANDON)


class PaymentLines(PaymentColumns, Lines):
    """The attempts to pay an order."""

    model = Payment
    verbose_name_plural = _("Payments")
    fields = ["which", "state_badge", "service", "asked", "because", "created"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).order_by("-created_at")

    @admin.display(description=_("Payment"))
    def which(self, row: Payment) -> SafeString | str:
        return link_to(row)


# --- orders -------------------------------------------------------------------------------------------------


@admin.register(Order)
class OrderPage(Record):
    when_empty = _("An order is made when a visitor buys a plan, or when a renewal is due.")
    list_display = ["number", "state_badge", "total", "what", "customer", "created", "paid"]
    list_filter = ["state", "kind", OrderWorkFilter, "currency", "created_at"]
    search_fields = ["number", "email", "organization__name"]
    search_help_text = _("Number, e-mail, organization or identifier")
    id_fields = ["organization_id", "subscription_id"]
    ordering = ["-created_at"]
    inlines = [PaymentLines]
    fields = [
        ("number", "state_badge"),
        ("what", "customer"),
        ("subtotal", "discount"),
        ("tax_amount", "total"),
        ("coupon_code", "email"),
        ("created", "lapses"),
        ("paid", "fulfilled"),
        ("subscribed", "instance"),
        ("facts", "identifier"),
    ]
    readonly_fields = [
        "state_badge",
        "what",
        "customer",
        "subtotal",
        "discount",
        "tax_amount",
        "total",
        "coupon_code",
        "created",
        "lapses",
        "paid",
        "fulfilled",
        "subscribed",
        "instance",
        "facts",
        "identifier",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Order]:
        related = ("plan__product", "organization", "coupon", "subscription__plan__product")
        return lean(super().get_queryset(request), *related)

    @in_a_column
    @admin.display(description=_("Total"), ordering="total_minor")
    def total(self, row: Order) -> SafeString | str:
        return _amount(row.total)

    @admin.display(description=_("Plan"))
    def what(self, row: Order) -> SafeString | str:
        return link_to(row.plan)

    @admin.display(description=_("Customer"))
    def customer(self, row: Order) -> SafeString | str:
        return link_to(row.organization) if row.organization else row.email

    @admin.display(description=_("Subtotal"))
    def subtotal(self, row: Order) -> SafeString | str:
        return _amount(Money(row.subtotal_minor, row.currency))

    @admin.display(description=_("Discount"))
    def discount(self, row: Order) -> SafeString | str:
        return _amount(Money(row.discount_minor, row.currency)) if row.discount_minor else NOTHING

    @admin.display(description=_("VAT"))
    def tax_amount(self, row: Order) -> SafeString | str:
        return _amount(Money(row.tax_minor, row.currency))

    @admin.display(description=_("Promo code"))
    def coupon_code(self, row: Order) -> str:
        return row.coupon.code if row.coupon else NOTHING

    @admin.display(description=_("Created"), ordering="created_at")
    def created(self, row: Order) -> SafeString | str:
        return moment(row.created_at)

    @admin.display(description=_("Lapses"))
    def lapses(self, row: Order) -> SafeString | str:
        return moment(row.expires_at)

    @admin.display(description=pgettext_lazy("an order", "Paid"), ordering="paid_at")
    def paid(self, row: Order) -> SafeString | str:
        return moment(row.paid_at)

    @admin.display(description=_("Fulfilled"))
    def fulfilled(self, row: Order) -> SafeString | str:
        return moment(row.fulfilled_at)

    @admin.display(description=_("Subscription"))
    def subscribed(self, row: Order) -> SafeString | str:
        return link_to(row.subscription, str(row.subscription.plan)) if row.subscription else NOTHING

    @admin.display(description=_("Instance"))
    def instance(self, row: Order) -> SafeString | str:
        return link_to(found(Instance, row.instance_id))

    @admin.display(description=_("Facts"))
    def facts(self, row: Order) -> SafeString | str:
        return _facts_of(row)

    def found_elsewhere(self, term: str) -> Q | None:
        return Q(payments__number=term) if term.startswith("PAR") else None
