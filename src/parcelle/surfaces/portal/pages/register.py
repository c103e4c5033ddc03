"""`/register`: who buys, with what it comes to beside it. Sending it makes the order; paying is the next page."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from parcelle.core import ratelimit
from parcelle.core.addresses import address
from parcelle.domain.accounts.models import User
from parcelle.domain.billing import baskets, orders, sellers, vat_numbers
from parcelle.domain.billing.baskets import Basket
from parcelle.domain.billing.errors import AddOnRefused, CouponRefused, NotOnSale
from parcelle.domain.billing.orders import Buyer
from parcelle.domain.billing.quotes import yearly_saving
from parcelle.domain.billing.taxes import EU
from parcelle.domain.catalog import offers
from parcelle.domain.catalog.models import Price
from parcelle.journeys import checkout
from parcelle.surfaces import current
from parcelle.surfaces.portal import visitor
from parcelle.surfaces.portal.ordering import choose, chosen, quantities, remember
from parcelle.surfaces.portal.register_form import PERSON, RegisterForm
from parcelle.surfaces.portal.summary import Summary
from parcelle.surfaces.refusals import coupon_sentence

_PER_HOUR = 30
# Wrong ones, while somebody types as well: too few to guess codes.
_CODES_PER_HOUR = 60


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def register(request: HttpRequest) -> HttpResponse:
    price = _price(request)
    if price is None:
        return redirect("pricing")
    choose(request, price.pk)
    user = request.user if isinstance(request.user, User) else None
    organization = current.buys_for(request)
    if request.method != "POST":
        first = {"submission": uuid.uuid4(), "coupon": request.GET.get("coupon", "")[:40]}
        form = RegisterForm(user=user, country=_country(request), organization=organization, initial=first)
        return _page(request, form, price)
    form = RegisterForm(visitor.posted(request), user=user, country=_country(request), organization=organization)
    # Without JavaScript a button asks for the sum anew, another for the other interval, and nothing is ordered.
    if "preview" in request.POST or "other" in request.POST:
        form.errors.clear()
        return _page(request, form, price)
    if not form.is_valid():
        return _page(request, form, price, alerts=[_("Please check the marked fields.")], status=422)
    key = f"register:{address(request)}"
    if wait := visitor.wait_before([(key, _PER_HOUR)], window=timedelta(hours=1), now=timezone.now()):
        sentence = _("Too many requests from your address. Please try again in %(minutes)s min.")
        response = _page(request, form, price, alerts=[sentence % {"minutes": -(-wait // 60)}], status=429)
        response["Retry-After"] = str(wait)
        return response
    return _place(request, form, price, user)


def _place(request: HttpRequest, form: RegisterForm, price: Price, user: User | None) -> HttpResponse:
    number = form.cleaned_data["vat_number"]
    try:
        order = checkout.place(
            request_id=form.cleaned_data["submission"],
            price_id=price.pk,
            coupon_code=form.cleaned_data["coupon"],
            buyer=form.buyer(vat_number_valid=vat_numbers.is_registered(number) if number else None),
            language=(get_language() or settings.LANGUAGE_CODE)[:2],
            user=user,
            organization=current.buys_for(request),
            now=timezone.now(),
            add_ons=quantities(request.POST, price),
        )
    except CouponRefused as refused:
        form.add_error("coupon", coupon_sentence(refused.code))
        return _page(request, form, price, alerts=[_("Please check the marked fields.")], status=422)
    except (AddOnRefused, NotOnSale):
        return redirect("pricing")
    remember(request, order.pk)
    return redirect("order", order_id=order.pk)


@never_cache
@require_safe
def summary(request: HttpRequest) -> HttpResponse:
    """What it comes to with what is typed so far; the page asks for it at every change."""
    price = _price(request)
    if price is None:
        raise Http404
    return render(request, "portal/parts/summary.html", {"summary": _summary(request, request.GET, price)})


def _page(
    request: HttpRequest, form: RegisterForm, price: Price, *, alerts: list[str] | None = None, status: int = 200
) -> HttpResponse:
    said = (
        form.data
        if form.is_bound
        else request.GET.dict() | {name: form.get_initial_for_field(form.fields[name], name) for name in form.fields}
    )
    other = offers.other_interval(price)
    chosen_ones = quantities(said, price)
    context = {
        "form": form,
        "price": price,
        "alerts": alerts or [],
        "summary": _summary(request, said, price),
        "eu": sorted(EU),
        "add_ons": [(one, chosen_ones.get(one.add_on_id, 0)) for one in offers.add_ons(price)],
        "other": other,
        "other_saving": yearly_saving(price.amount, other.amount) if other and other.interval == Price.YEAR else 0,
        # Where a sign-in leads back to: the same plan with the same add-ons and the same code.
        "here": "?".join(
            (
                reverse("register"),
                urlencode(
                    {"price": price.pk, "coupon": said.get("coupon") or ""}
                    | {f"add_on_{add_on}": quantity for add_on, quantity in chosen_ones.items()}
                ),
            )
        ),
    }
    return render(request, "portal/register.html", context, status=status)


def _summary(request: HttpRequest, said: Any, price: Price) -> Summary:
    private = said.get("kind") == PERSON
    number, valid, remark = ("", None, "") if private else _vat_number(request, said)
    buyer = Buyer(
        first_name="",
        last_name="",
        company="" if private else str(said.get("company") or ""),
        email=str(said.get("email") or ""),
        country=str(said.get("country") or "FR")[:2].upper(),
        vat_number=number,
        vat_number_valid=valid,
    )
    add_ons = quantities(said, price)
    now = timezone.now()
    code = str(said.get("coupon") or "").strip()[:40]
    refused = _too_many_codes(request, now=now) if code else ""
    try:
        sum_ = orders.preview(price, coupon_code="" if refused else code, buyer=buyer, now=now, add_ons=add_ons)
    except CouponRefused as refusal:
        refused = coupon_sentence(refusal.code)
        visitor.wait_before([(_codes_of(request), _CODES_PER_HOUR)], window=timedelta(hours=1), now=now)
        sum_ = orders.preview(price, coupon_code="", buyer=buyer, now=now, add_ons=add_ons)
    basket = Basket(price, baskets.choose(price, add_ons))
    return Summary.of_basket(basket, sum_, coupon="" if refused else code, refused=refused, vat_remark=remark)


def _codes_of(request: HttpRequest) -> str:
    return f"coupons:{address(request)}"


def _too_many_codes(request: HttpRequest, *, now: datetime) -> str:
    """What to say instead of trying one more code for somebody who guesses; empty for everybody else."""
    wait = ratelimit.is_used_up(_codes_of(request), limit=_CODES_PER_HOUR, now=now)
    if wait is None:
        return ""
    return _("Too many codes were tried from your address. Please try again in %(minutes)s min.") % {
        "minutes": wait // timedelta(minutes=1) + 1
    }


def _vat_number(request: HttpRequest, said: Any) -> tuple[str, bool | None, str]:
    """The number that was typed, whether it is confirmed, and what to say about it while the form is filled in."""
    number, country = str(said.get("vat_number") or "").strip()[:20], str(said.get("country") or "")
    if not number or country not in EU:
        return "", None, ""
    try:
        number = vat_numbers.tidy(number, country)
    except vat_numbers.NotWellFormed:
        return "", None, _("This VAT number does not fit the country. Check it, or leave it empty.")
    if country == sellers.current().country:
        return number, None, ""
    limit = [(f"vat-number:{address(request)}", _PER_HOUR)]
    too_often = visitor.wait_before(limit, window=timedelta(hours=1), now=timezone.now())
    valid = None if too_often else vat_numbers.is_registered(number)
    return number, valid, "" if valid else _("We could not confirm this VAT number, so VAT is charged.")


def _price(request: HttpRequest) -> Price | None:
    """What the address says, or what this visitor chose before."""
    wanted = request.POST.get("other") or request.POST.get("price") or request.GET.get("price") or chosen(request)
    try:
        return orders.price_on_sale(uuid.UUID(wanted))
    except (ValueError, NotOnSale):
        return None


def _country(request: HttpRequest) -> str:
    return next(iter(visitor.territories(request)), "FR")
