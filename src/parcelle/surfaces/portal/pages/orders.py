"""`/orders/<id>`: choose how to pay, wait for it, and what became of it.

The page, its live stream and its polling fallback render the same fragment from the same stored state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from parcelle.core import phones
from parcelle.domain.billing import order_states, payment_states, payments, saved_methods, transfers
from parcelle.domain.billing.errors import GatewayUnusable, OrderClosed, PaymentOpen
from parcelle.domain.billing.models import Order, Payment
from parcelle.domain.billing.rails import Redirect
from parcelle.journeys import checkout
from parcelle.journeys.delivery import SLOW
from parcelle.surfaces.portal import live, watching
from parcelle.surfaces.portal.bank_transfers import Awaited, awaited, end_sentence
from parcelle.surfaces.portal.methods import WORDS, Words, methods_for
from parcelle.surfaces.portal.ordering import admit, admit_by_token, admit_to_pay, may_pay
from parcelle.surfaces.portal.summary import Summary
from parcelle.surfaces.refusals import decline_sentence


@dataclass(frozen=True)
class Standing:
    """An order as its page shows it: what is open, what is known, where to go on."""

    order: Order
    payment: Payment | None
    # Whether whoever looks may do something about it.
    may_pay: bool = True

    @property
    def step(self) -> str:
        """pay, wait, done, lapsed or look: what the page is about."""
        if self.order.state in {order_states.PAID, order_states.FULFILLED}:
            return "done"
        if self.payment is not None and self.payment.state in payment_states.BLOCKING:
            return "wait"
        return "lapsed" if self.order.state == order_states.EXPIRED else "pay"

    @cached_property
    def awaited(self) -> Awaited | None:
        """The bank transfer that the page waits for, where it is one."""
        return awaited(self.payment) if self.step == "wait" else None

    @property
    def finished(self) -> bool:
        """Nothing more will happen by itself."""
        return self.order.state == order_states.FULFILLED or self.step in {"pay", "lapsed"}

    @property
    def leads_on(self) -> bool:
        """Asking for the page again shows another one. Where it would not, a browser that goes on never stops."""
        return self.step == "pay" or (self.order.state == order_states.FULFILLED and bool(self.order.instance_id))

    @property
    def slow(self) -> bool:
        """Paid for longer than it takes to ask for the space."""
        paid_at = self.order.paid_at
        return self.order.state == order_states.PAID and paid_at is not None and paid_at <= timezone.now() - SLOW

    @property
    def words(self) -> Words | None:
        return WORDS.get(self.payment.gateway) if self.payment else None

    @property
    def next_url(self) -> str:
        """Where the customer's attempt goes on, for who came back without finishing it."""
        return str(self.payment.memo.get("url", "")) if self.payment and self.may_pay else ""

    @property
    def can_change(self) -> bool:
        """Whether the customer may leave this attempt and pay another way."""
        if not self.may_pay or self.step != "wait" or self.payment is None or self.payment.memo.get("capture"):
            # What the customer approved and the service holds cannot be left any more.
            return False
        return payments.can_be_cancelled(self.payment)

    @property
    def refused(self) -> str:
        """Why the last attempt did not work, in a sentence."""
        declined = {payment_states.DECLINED, payment_states.EXPIRED}
        if self.step != "pay" or self.payment is None or self.payment.state not in declined:
            return ""
        if self.payment.gateway == transfers.GATEWAY:
            return end_sentence(self.payment)
        return decline_sentence(self.payment.reason or "expired")

    @property
    def announcement(self) -> str:
        if self.step == "done":
            return _("Your payment has arrived.")
        if self.awaited:
            return self.awaited.announcement
        if self.step == "wait":
            return _("We are waiting for your payment.")
        return self.refused


@never_cache
@require_safe
def order(request: HttpRequest, order_id: UUID) -> HttpResponse:
    standing = _standing(request, admit(request, order_id))
    if "cancelled" in request.GET and standing.can_change and standing.payment is not None:
        # Back from the payment service without having paid, says the browser: the service knows.
        payments.look(standing.payment.pk, now=timezone.now())
        return redirect("order", order_id=order_id)
    return _page(request, standing)


def _page(
    request: HttpRequest, standing: Standing, *, alert: str = "", phone_error: str = "", status: int = 200
) -> HttpResponse:
    if standing.order.state == order_states.FULFILLED and standing.order.instance_id:
        watching.remember(request, standing.order.instance_id)
        return redirect("deployment", instance_id=standing.order.instance_id)
    context: dict[str, Any] = {
        "standing": standing,
        "summary": Summary.of_order(standing.order),
        "methods": methods_for(standing.order) if standing.step == "pay" and standing.may_pay else [],
        "alert": alert,
        "phone_error": phone_error,
        "chosen": request.POST.get("gateway", "") or (standing.payment.gateway if standing.payment else ""),
        "phone": request.POST.get("phone", standing.order.buyer.get("phone", "")),
        "phone_example": phones.example(standing.order.buyer.get("country", "")),
    }
    return render(request, "portal/order.html", context, status=status)


@never_cache
@require_POST
def pay(request: HttpRequest, order_id: UUID) -> HttpResponse:
    known = admit_to_pay(request, order_id)
    method = next((way for way in methods_for(known) if way.name == request.POST.get("gateway")), None)
    if method is None:
        return _page(request, _standing(request, known), alert=_("Please choose how you want to pay."), status=422)
    details = {name: request.POST.get(name, "").strip()[:60] for name in method.asks}
    if method.saves and request.POST.get(f"keep_{method.name}"):
        details[saved_methods.KEEP] = "1"
    if "phone" in method.asks:
        details["phone"] = phones.international(details["phone"], known.buyer.get("country", ""))
        if not details["phone"]:
            sentence = _(
                "This telephone number is not complete. With its country code it always works: +237 6 71 23 45 67."
            )
            marked = _("Please check the marked fields.")
            return _page(request, _standing(request, known), alert=marked, phone_error=sentence, status=422)
    try:
        _payment, outcome = checkout.pay(order_id, gateway=method.name, details=details, now=timezone.now())
    except (OrderClosed, PaymentOpen):
        # A second click, or another window: the page shows how it stands.
        return redirect("order", order_id=order_id)
    except GatewayUnusable:
        sentence = _("This way to pay is not available any more. Please choose another one.")
        return _page(request, _standing(request, known), alert=sentence, status=409)
    if isinstance(outcome, Redirect):
        return _leave(request, outcome.url, method.words)
    return redirect("order", order_id=order_id)


def _leave(request: HttpRequest, url: str, words: Words) -> HttpResponse:
    if urlsplit(url).netloc == urlsplit(settings.PUBLIC_URL).netloc:
        return redirect(url)
    return render(request, "portal/leaving.html", {"url": url, "method": words.title})


@never_cache
@require_safe
def returned(request: HttpRequest, order_id: UUID, payment_id: UUID) -> HttpResponse:
    """The browser comes back from the payment service, which proves nothing: the service itself is asked.

    An order made through the interface may be paid in a browser that was never here: it is told nothing about it.
    """
    theirs = Payment.objects.filter(pk=payment_id, order_id=order_id).exists()
    try:
        admit(request, order_id)
    except Http404:
        if not theirs:
            raise
        payments.look(payment_id, now=timezone.now())
        return render(request, "portal/returned.html")
    if theirs:
        payments.look(payment_id, now=timezone.now())
    return redirect("order", order_id=order_id)


@never_cache
@require_POST
def change(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """The customer wants to pay another way than the one that waits for them."""
    standing = _standing(request, admit_to_pay(request, order_id))
    if standing.can_change and standing.payment is not None:
        payments.cancel(standing.payment.pk, now=timezone.now())
    return redirect("order", order_id=order_id)


@never_cache
@require_safe
def resume(request: HttpRequest, token: str) -> HttpResponse:
    """The link in the mail to who did not finish."""
    return redirect("order", order_id=admit_by_token(request, token))


@never_cache
@require_safe
def fragment(request: HttpRequest, order_id: UUID) -> HttpResponse:
    return render(request, "portal/parts/order.html", {"standing": _standing(request, admit(request, order_id))})


async def events(request: HttpRequest, order_id: UUID) -> HttpResponseBase:
    known = await live.in_thread(admit)(request, order_id)

    def look() -> tuple[str, bool]:
        standing = _standing(request, Order.objects.select_related("plan__product", "price", "coupon").get(pk=known.pk))
        return render_to_string("portal/parts/order.html", {"standing": standing}, request), standing.finished

    return live.stream(look, topic=f"order:{known.pk}")


def _standing(request: HttpRequest, known: Order) -> Standing:
    payment = known.payments.order_by("-created_at").first()
    return Standing(order=known, payment=payment, may_pay=may_pay(request, known))
