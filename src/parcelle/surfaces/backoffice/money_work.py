"""What waits for somebody at the vendor's where money is concerned."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet, Value
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from parcelle.domain.billing import order_states, payment_states
from parcelle.domain.billing.models import GatewayEvent, Invoice, Order, Payment, Refund, Subscription
from parcelle.surfaces.backoffice.values import list_of

PARKED = Q(state=payment_states.PARKED)
# Nobody asks the service any more: it has told no outcome in the time it has.
SILENT = Q(state=payment_states.UNKNOWN, look_at=None)
# Refused by the checks of invoices: the vendor's data or the customer's are not complete.
WAITING = Q(state=Invoice.DRAFT) & ~Q(problems=[])
MONTH = timedelta(days=30)
_COUNTED = "_money_work"
_DEBTS = f"kind__exact={Order.RECOVERY}&state__exact={order_states.OPEN}"


def too_late() -> Q:
    """Renewals and changes paid when they were no longer possible: credit, which a human gives back or leaves.

    For a month; whoever gave the money back is done with it.
    """
    now = timezone.now()
    # What is to be had for it is given within seconds.
    unused = Q(state=order_states.PAID, paid_at__lt=now - timedelta(minutes=10), paid_at__gt=now - MONTH)
    held = Q(payments__state__in=(payment_states.PAID, payment_states.PAID_LATE))
    return unused & held & ~Q(kind=Order.NEW)


def lines(request: HttpRequest) -> dict[str, Any]:
    """One line for each kind of work that there is, and how much of it in all."""
    numbers = _numbers(request)
    work = [
        ("parked", _("Came in otherwise than asked"), list_of(Payment, "work=parked")),
        ("silent", _("Outcome never told"), list_of(Payment, "work=silent")),
        ("debts", _("Taken back by a bank and not made up for"), list_of(Order, _DEBTS)),
        ("refunds", _("Refunds that failed"), list_of(Refund, f"state__exact={Refund.FAILED}")),
        ("came_back", _("Refunds that came back"), list_of(Refund, f"state__exact={Refund.CAME_BACK}")),
        ("invoices", _("Invoices that wait for missing data"), list_of(Invoice, "waits=yes")),
        ("problems", _("Subscriptions that could not be renewed"), list_of(Subscription, "problem=yes")),
        ("too_late", _("Paid when nothing was left to renew"), list_of(Order, "work=too_late")),
        ("messages", _("Messages that could not be dealt with"), list_of(GatewayEvent, f"state={GatewayEvent.FAILED}")),
    ]
    shown = [{"title": title, "number": numbers[name], "url": url} for name, title, url in work if numbers[name]]
    return {"total": numbers.total(), "lines": shown}


def payments_badge(request: HttpRequest) -> str:
    """How many payments only a human lets go on; nothing to show for none."""
    numbers = _numbers(request)
    return str(numbers["parked"] + numbers["silent"] or "")


def messages_badge(request: HttpRequest) -> str:
    return str(_numbers(request)["messages"] or "")


def _numbers(request: HttpRequest) -> Counter[str]:
    """Counted once per page, which shows them in several places, and all in one question."""
    known: Counter[str] | None = getattr(request, _COUNTED, None)
    if known is None:
        parts = [
            _count("parked", Payment.objects.filter(PARKED)),
            _count("silent", Payment.objects.filter(SILENT)),
            _count("debts", Order.objects.filter(kind=Order.RECOVERY, state=order_states.OPEN)),
            _count("refunds", Refund.objects.filter(state=Refund.FAILED)),
            _count("came_back", Refund.objects.filter(state=Refund.CAME_BACK)),
            _count("invoices", Invoice.objects.filter(WAITING)),
            _count("problems", Subscription.objects.exclude(problem="")),
            _count("too_late", Order.objects.filter(too_late())),
            _count("messages", GatewayEvent.objects.filter(state=GatewayEvent.FAILED)),
        ]
        known = Counter(dict(parts[0].union(*parts[1:], all=True).order_by()))
        setattr(request, _COUNTED, known)
    return known


def _count(name: str, rows: QuerySet[Any]) -> QuerySet[Any, Any]:
    marked = rows.order_by().annotate(work=Value(name)).values("work")
    counts: QuerySet[Any, Any] = marked.annotate(number=Count("pk")).values_list("work", "number")
    return counts
