"""Buying by the API: plans, orders, payments and coupons, as an integrator and as a customer's program."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from tests.surfaces.api.asking import Asking, document, kind_of, verify
from tests.together import at_once

if TYPE_CHECKING:
    from parcelle.domain.accounts.models import User
    from parcelle.domain.billing.models import Order, Payment
    from parcelle.domain.catalog.models import Price
    from tests.people import Cast

pytestmark = pytest.mark.django_db
COMMITTING = pytest.mark.django_db(transaction=True)

PLANS, ORDERS, PAYMENTS = "/api/tenants/plans/", "/api/tenants/orders/", "/api/tenants/payments/"
COUPONS = "/api/tenants/coupons/validate/"
CUSTOMER = {
    "email": "awa@diop.fr",
    "firstName": "Awa",
    "lastName": "Diop",
    "companyName": "Diop & Fils",
    "phone": "06 12 34 56 78",
    "country": "FR",
    "address": "1 rue de la Paix",
    "postcode": "75002",
    "city": "Paris",
    "siren": "732829320",
}


def content(response: HttpResponse) -> Any:
    return json.loads(response.content)


@pytest.fixture
def price(cast: Cast) -> Price:
    from tests.domain.billing.selling import open_shop

    return open_shop(plan=cast.plan)


def wanted(price: Price, /, customer: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {"priceId": str(price.pk), "customer": CUSTOMER | (customer or {}), **changes}


def order(asking: Asking, price: Price, /, key: str = "", **changes: Any) -> HttpResponse:
    headers = {"idempotency_key": key} if key else {}
    return asking.post(ORDERS, wanted(price, **changes), **headers)


def ordered(asking: Asking, price: Price, **changes: Any) -> Any:
    answer = order(asking, price, **changes)
    assert answer.status_code == 201, answer.content
    return content(answer)


def pay(asking: Asking, order_id: str, /, key: str = "", **said: Any) -> HttpResponse:
    headers = {"idempotency_key": key} if key else {}
    return asking.post(f"{ORDERS}{order_id}/initiate_payment/", {"method": "fake"} | said, **headers)


def click(order_id: str, state: str = "approved", code: str = "") -> None:
    from parcelle.domain.billing.models import Payment
    from tests.domain.billing import selling

    selling.click(Payment.objects.get(order_id=order_id, state="pending"), state, code)


def of_owner(cast: Cast) -> dict[str, Any]:
    return {"customer": {"email": cast.owner.email}}


# --- plans ----------------------------------------------------------------------------------------------


@pytest.fixture
def shelf(price: Price) -> Price:
    from parcelle.domain.catalog.models import Feature, Plan, PlanFeature
    from parcelle.domain.catalog.models import Price as Prices

    plan = price.plan
    Plan.objects.filter(pk=plan.pk).update(
        summary_fr="Pour une équipe.", summary_en="For a team.", limits={"cpus": 0.5}
    )
    users, storage, support = (
        Feature.objects.create(product=plan.product, key=key, name_fr=fr, name_en=en, position=at)
        for at, (key, fr, en) in enumerate(
            (("users", "Utilisateurs", "Users"), ("storage", "Stockage", "Storage"), ("support", "Aide", "Help"))
        )
    )
    PlanFeature.objects.create(plan=plan, feature=users, counted=True, amount=10)
    PlanFeature.objects.create(plan=plan, feature=storage, counted=True, amount=None)
    for currency, interval, minor in (("EUR", "year", 49000), ("XAF", "month", 32000)):
        Prices.objects.create(
            plan=plan, interval=interval, currency=currency, amount_minor=minor, created_at=timezone.now()
        )
    assert support.pk
    return price


def test_plans_need_no_token_and_show_prices_limits_and_trial(nobody: Asking, shelf: Price) -> None:
    page = content(nobody.get(PLANS, accept_language="fr"))
    [plan] = page["items"]
    assert (page["count"], page["next"]) == (1, None)
    assert (plan["planId"], plan["name"], plan["summary"]) == (str(shelf.plan_id), "Essai", "Pour une équipe.")
    assert (plan["trialDays"], plan["retentionDays"], plan["onRequest"], plan["contactUrl"]) == (30, 30, False, None)
    assert [(limit["metric"], limit["amount"], limit["unlimited"]) for limit in plan["limits"]] == [
        ("users", 10, False),
        ("storage", None, True),
    ]
    assert plan["resources"] == {"memoryMb": None, "cpus": 0.5, "processes": None}
    prices = {(one["amount"]["currency"], one["interval"]): one for one in plan["prices"]}
    assert prices["EUR", "month"]["amount"] == {"minor": 4900, "currency": "EUR", "text": "49,00\xa0€"}
    assert prices["EUR", "year"]["savingPercent"] == 16
    assert prices["XAF", "month"]["amount"]["minor"] == 32000
    assert "32\u202f000" in prices["XAF", "month"]["amount"]["text"]
    english = content(nobody.get(f"{PLANS}{shelf.plan_id}/", accept_language="en"))
    assert (english["summary"], english["limits"][0]["name"]) == ("For a team.", "Users")
    assert "€49.00" in [one["amount"]["text"] for one in english["prices"]]


def test_add_ons_are_shown_and_ordered_beside_a_plan(nobody: Asking, operator: Asking, shelf: Price) -> None:
    from parcelle.core.money import Money
    from parcelle.domain.catalog import actions
    from parcelle.domain.catalog.models import AddOn, Feature

    users = Feature.objects.get(key="users")
    extra = AddOn.objects.create(feature=users, slug="extra", name_fr="Utilisateur en plus", name_en="Extra", most=5)
    actions.set_add_on_price(extra.pk, interval="month", amount=Money(500, "EUR"), adds=1, now=timezone.now())
    [shown] = content(nobody.get(f"{PLANS}{shelf.plan_id}/", accept_language="fr"))["addOns"]
    assert (shown["name"], shown["metric"], shown["most"]) == ("Utilisateur en plus", "users", 5)
    assert [(one["interval"], one["amount"]["minor"], one["adds"]) for one in shown["prices"]] == [("month", 500, 1)]
    made = ordered(operator, shelf, addOns=[{"addOnId": str(extra.pk), "quantity": 3}])
    assert made["subtotal"]["minor"] == 4900 + 1500
    assert [(one["quantity"], one["amount"]["minor"]) for one in made["addOns"]] == [(3, 1500)]
    refused = order(operator, shelf, addOns=[{"addOnId": str(extra.pk), "quantity": 6}])
    assert (refused.status_code, kind_of(refused)) == (409, "add-on-refused")
    assert content(refused)["errors"][0]["code"] == "too_many"

    # A code is judged by the same sum as the order it would be used for.
    coupon(percent=10)
    asked = {"code": "WELCOME", "priceId": str(shelf.pk)}
    said = content(operator.post(COUPONS, asked | {"addOns": [{"addOnId": str(extra.pk), "quantity": 3}]}))
    assert (said["subtotal"]["minor"], said["discount"]["minor"]) == (6400, 640)
    refused = operator.post(COUPONS, asked | {"addOns": [{"addOnId": str(extra.pk), "quantity": 6}]})
    assert refused.status_code == 409 and content(refused)["errors"][0]["pointer"] == "#/addOns"


def test_plans_are_filtered(nobody: Asking, shelf: Price) -> None:
    from tests import people

    people.offer("other")

    def slugs(query: str) -> list[str]:
        return [plan["productSlug"] for plan in content(nobody.get(f"{PLANS}?{query}"))["items"]]

    assert slugs("") == ["other", "plain"]
    assert slugs("productSlug=other") == ["other"]
    assert slugs("currency=XAF") == slugs("interval=year") == ["plain"]
    assert slugs("currency=XAF&interval=year") == slugs("currency=GBP") == []
    [plan] = content(nobody.get(f"{PLANS}?currency=EUR&interval=year"))["items"]
    assert [(one["interval"], one["savingPercent"]) for one in plan["prices"]] == [("year", 16)]


def test_a_plan_on_request_has_a_form_instead_of_a_price(nobody: Asking, shelf: Price) -> None:
    from parcelle.domain.catalog.models import Plan

    plan = Plan.objects.create(product=shelf.plan.product, slug="enterprise", name="Entreprise", on_request=True)
    shown = content(nobody.get(f"{PLANS}{plan.pk}/"))
    assert (shown["onRequest"], shown["prices"], shown["trialDays"]) == (True, [], 0)
    assert shown["contactUrl"].endswith(f"/contact?plan={plan.pk}")


def test_features_also_show_what_is_not_included(nobody: Asking, shelf: Price) -> None:
    shown = content(nobody.get(f"{PLANS}{shelf.plan_id}/features/", accept_language="fr"))
    assert shown["planId"] == str(shelf.plan_id)
    assert [(line["name"], line["included"], line["amount"], line["unlimited"]) for line in shown["items"]] == [
        ("Utilisateurs", True, 10, False),
        ("Stockage", True, None, True),
        ("Aide", False, None, False),
    ]


def test_what_is_not_on_sale_is_not_there(nobody: Asking, shelf: Price) -> None:
    from parcelle.domain.catalog.models import Product

    assert nobody.get(f"{PLANS}{uuid.uuid4()}/").status_code == 404
    Product.objects.update(enabled=False)
    assert content(nobody.get(PLANS))["items"] == []
    for path in (f"{PLANS}{shelf.plan_id}/", f"{PLANS}{shelf.plan_id}/features/"):
        assert (nobody.get(path).status_code, kind_of(nobody.get(path))) == (404, "not-found")


def test_retired_prices_are_not_shown(nobody: Asking, shelf: Price) -> None:
    from parcelle.domain.catalog.models import Price

    Price.objects.filter(currency="EUR").update(retired_at=timezone.now())
    [plan] = content(nobody.get(PLANS))["items"]
    assert [one["amount"]["currency"] for one in plan["prices"]] == ["XAF"]


def test_who_needs_no_token_is_counted_by_address(nobody: Asking, shelf: Price, settings: Settings) -> None:
    settings.RATE_LIMITS = True
    settings.API_REQUESTS_PER_MINUTE = 2
    assert [nobody.get(PLANS).status_code for _time in range(3)] == [200, 200, 429]
    answer = nobody.get(f"{PLANS}{shelf.plan_id}/")
    assert (answer.status_code, kind_of(answer)) == (429, "too-many-requests")
    assert int(answer.headers["Retry-After"]) > 0


# --- ordering -------------------------------------------------------------------------------------------


def test_an_order_is_placed_paid_and_fulfilled(operator: Asking, price: Price) -> None:
    from parcelle.domain.billing.models import Subscription
    from parcelle.domain.provisioning.models import Instance
    from tests import jobs

    answer = order(operator, price)
    assert answer.status_code == 201
    placed = content(answer)
    assert answer.headers["Location"] == f"{ORDERS}{placed['orderId']}/"
    assert (placed["status"], placed["methods"], placed["payment"]) == ("open", [{"method": "fake", "asks": []}], None)
    assert [placed[name]["minor"] for name in ("subtotal", "discount", "tax", "total")] == [4900, 0, 980, 5880]
    assert (placed["taxRate"], placed["taxNote"], placed["interval"]) == ("20", None, "month")
    assert (placed["customer"]["phone"], placed["customer"]["companyName"]) == ("+33612345678", "Diop & Fils")

    begun = pay(operator, placed["orderId"])
    assert begun.status_code == 201
    attempt = content(begun)
    assert (attempt["status"], attempt["next"]["kind"], attempt["amount"]["minor"]) == ("pending", "redirect", 5880)
    assert attempt["next"]["url"].startswith("http")
    waiting = content(operator.get(answer.headers["Location"]))
    assert (waiting["status"], waiting["payment"]["next"]) == ("open", attempt["next"])

    click(placed["orderId"])
    verified = content(operator.post(f"{ORDERS}{placed['orderId']}/verify_payment/"))
    assert (verified["status"], verified["methods"]) == ("paid", [])
    assert (verified["payment"]["status"], verified["payment"]["received"]["minor"]) == ("paid", 5880)
    assert verified["payment"]["next"] is None
    jobs.work_off(timezone.now())
    done = content(operator.get(answer.headers["Location"]))
    assert done["status"] == "fulfilled"
    assert done["instanceId"] == str(Instance.objects.get().pk)
    assert done["subscriptionId"] == str(Subscription.objects.get().pk)
    assert content(operator.get(f"/api/instances/{done['instanceId']}"))["companyName"] == "Diop & Fils"


def test_a_customer_orders_for_themselves_only(cast: Cast, as_user: Callable[[User], Asking], price: Price) -> None:
    owner = as_user(cast.owner)
    refused = order(owner, price)
    assert (refused.status_code, kind_of(refused)) == (403, "forbidden")
    placed = ordered(owner, price, customer={"email": cast.owner.email.upper()})
    assert (placed["email"], placed["organizationId"]) == (cast.owner.email, str(cast.organization.pk))


def test_an_order_keeps_the_price_it_was_placed_at(operator: Asking, price: Price) -> None:
    from parcelle.domain.catalog.models import Price

    placed = ordered(operator, price)
    Price.objects.update(retired_at=timezone.now())
    again = order(operator, price)
    assert (again.status_code, kind_of(again)) == (409, "not-on-sale")
    assert content(operator.get(f"{ORDERS}{placed['orderId']}/"))["total"]["minor"] == 5880


def test_no_tax_is_explained(operator: Asking, price: Price) -> None:
    answer = operator.post(ORDERS, wanted(price, customer={"country": "CM", "phone": None}), accept_language="fr")
    placed = content(answer)
    assert (placed["tax"]["minor"], placed["taxRate"]) == (0, "0")
    assert placed["taxNote"] == "Pas de TVA française hors de l’Union européenne."


def test_what_costs_nothing_is_paid_at_once(operator: Asking, price: Price) -> None:
    coupon()
    placed = ordered(operator, price, couponCode="welcome")
    assert (placed["status"], placed["couponCode"], placed["total"]["minor"]) == ("paid", "WELCOME", 0)


def coupon(**changes: Any) -> None:
    from parcelle.domain.catalog.models import Coupon

    Coupon.objects.create(**{"code": "WELCOME", "percent": 100, **changes})


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"enabled": False}, "unknown"),
        ({"most_uses": 0}, "used_up"),
        ({"currency": "XAF"}, "other_currency"),
        ({"currency": "EUR", "minimum_minor": 5000}, "too_small"),
        ({"valid_until": timezone.now()}, "over"),
        ({"valid_from": timezone.now() + timedelta(days=1)}, "not_yet"),
    ],
)
def test_a_coupon_is_refused_with_its_reason(
    operator: Asking, price: Price, changes: dict[str, Any], code: str
) -> None:
    from parcelle.domain.billing.models import Order

    coupon(**changes)
    answer = order(operator, price, couponCode="WELCOME")
    assert (answer.status_code, kind_of(answer)) == (409, "coupon-refused")
    assert [(error["pointer"], error["code"]) for error in content(answer)["errors"]] == [("#/couponCode", code)]
    assert not Order.objects.exists()
    said = content(operator.post(COUPONS, {"code": "WELCOME", "priceId": str(price.pk)}))
    assert (said["valid"], said["reason"], said["total"]["minor"]) == (False, code, 5880)
    assert said["message"] == content(answer)["detail"]


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("email", "nobody", "email"),
        ("email", None, "string_type"),
        ("firstName", "", "string_pattern_mismatch"),
        ("lastName", "a\r\nBcc: x", "string_pattern_mismatch"),
        ("country", "XX", "country"),
        ("country", "France", "string_pattern_mismatch"),
        ("phone", "call me", "string_pattern_mismatch"),
        ("phone", "12345", "phone"),
        ("city", " ", "string_pattern_mismatch"),
        ("vatNumber", "FR00123456789", "vat_number"),
        ("siren", "123456789", "siren"),
        ("siren", "", "siren_required"),
        ("siren", None, "siren_required"),
        ("postcode", None, "postcode_required"),
        ("unheardOf", "x", "extra_forbidden"),
    ],
)
def test_a_bad_field_is_pointed_at(operator: Asking, price: Price, field: str, value: object, code: str) -> None:
    answer = operator.post(ORDERS, wanted(price, customer={field: value}), accept_language="fr")
    assert (answer.status_code, kind_of(answer)) == (400, "invalid-request")
    [error] = content(answer)["errors"]
    assert (error["pointer"], error["code"]) == (f"#/customer/{field}", code)
    assert error["detail"] != "Cette valeur n’est pas valide."


@pytest.mark.parametrize("customer", [{"companyName": ""}, {"country": "DE"}])
def test_only_a_company_in_france_needs_a_siren(operator: Asking, price: Price, customer: dict[str, str]) -> None:
    assert operator.post(ORDERS, wanted(price, customer={**customer, "siren": None})).status_code == 201


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (ORDERS, {"customer": CUSTOMER}),
        (ORDERS, {"priceId": "x", "customer": CUSTOMER}),
        (COUPONS, {"code": "x", "priceId": str(uuid.uuid4())}),
        (f"{ORDERS}{{order}}/initiate_payment/", {"method": "Pay Pal"}),
        (f"{ORDERS}{{order}}/initiate_payment/", {"method": "fake", "amount": 1}),
    ],
)
def test_bodies_are_checked(operator: Asking, price: Price, path: str, body: dict[str, Any]) -> None:
    answer = operator.post(path.format(order=ordered(operator, price)["orderId"]), body)
    assert (answer.status_code, kind_of(answer)) == (400, "invalid-request")


def test_every_post_with_a_body_wants_json(operator: Asking, price: Price) -> None:
    placed = ordered(operator, price)
    for path in (ORDERS, f"{ORDERS}{placed['orderId']}/initiate_payment/", COUPONS):
        assert operator.ask("POST", path, body=b"{}", content_type="text/plain").status_code == 415
        assert operator.ask("POST", path, body=b"{").status_code == 400


# --- paying ---------------------------------------------------------------------------------------------


def test_a_declined_payment_says_why_and_another_one_may_begin(operator: Asking, price: Price) -> None:
    placed = ordered(operator, price)
    pay(operator, placed["orderId"])
    click(placed["orderId"], "declined", "not_enough_funds")
    path = f"{ORDERS}{placed['orderId']}/verify_payment/"
    shown = content(operator.post(path, accept_language="fr"))
    assert (shown["status"], shown["payment"]["status"]) == ("open", "declined")
    assert shown["payment"]["reason"] == "not_enough_funds"
    assert shown["payment"]["message"].startswith("Il n’y a pas assez d’argent sur le compte.")
    assert pay(operator, placed["orderId"]).status_code == 201


def test_one_attempt_at_a_time(operator: Asking, price: Price) -> None:
    placed = ordered(operator, price)
    assert pay(operator, placed["orderId"]).status_code == 201
    again = pay(operator, placed["orderId"])
    assert (again.status_code, kind_of(again)) == (409, "payment-open")


def test_a_paid_order_takes_no_other_payment(operator: Asking, price: Price) -> None:
    placed = ordered(operator, price)
    pay(operator, placed["orderId"])
    click(placed["orderId"])
    operator.post(f"{ORDERS}{placed['orderId']}/verify_payment/")
    again = pay(operator, placed["orderId"])
    assert (again.status_code, kind_of(again)) == (409, "order-closed")
    verified = content(operator.post(f"{ORDERS}{placed['orderId']}/verify_payment/"))
    assert verified["payment"]["status"] == "paid"


@pytest.mark.parametrize("method", ["paypal", "unheard_of"])
def test_a_method_that_is_not_offered_is_refused(operator: Asking, price: Price, method: str) -> None:
    answer = pay(operator, ordered(operator, price)["orderId"], method=method)
    assert (answer.status_code, kind_of(answer)) == (409, "method-unusable")


def test_a_method_that_was_switched_off_is_refused(operator: Asking, price: Price) -> None:
    from parcelle.domain.billing.models import GatewaySettings

    placed = ordered(operator, price)
    GatewaySettings.objects.update(enabled=False)
    answer = pay(operator, placed["orderId"])
    assert (answer.status_code, kind_of(answer)) == (409, "method-unusable")


def test_without_an_attempt_there_is_nothing_to_verify(operator: Asking, price: Price) -> None:
    answer = operator.post(f"{ORDERS}{ordered(operator, price)['orderId']}/verify_payment/")
    assert (answer.status_code, kind_of(answer)) == (409, "nothing-to-verify")


def test_payments_are_listed_and_shown(operator: Asking, price: Price) -> None:
    first, second = ordered(operator, price), ordered(operator, price, customer={"email": "b@diop.fr"})
    attempt = content(pay(operator, first["orderId"]))
    pay(operator, second["orderId"])
    click(second["orderId"], "declined")
    operator.post(f"{ORDERS}{second['orderId']}/verify_payment/")
    everything = content(operator.get(PAYMENTS))
    assert (everything["count"], everything["items"][0]["orderId"]) == (2, second["orderId"])
    for query in (f"orderId={first['orderId']}", "status=pending", "method=fake&status=pending"):
        [one] = content(operator.get(f"{PAYMENTS}?{query}"))["items"]
        assert one["paymentId"] == attempt["paymentId"]
    assert content(operator.get(f"{PAYMENTS}?method=paypal"))["items"] == []
    shown = content(operator.get(f"{PAYMENTS}{attempt['paymentId']}/"))
    assert (shown["orderNumber"], shown["next"]) == (first["number"], attempt["next"])


# --- bank transfers ---


@pytest.fixture
def transfer(cast: Cast, as_user: Callable[[User], Asking], price: Price) -> dict[str, Any]:
    """A payment of the owner's that waits for a transfer of 58.80 EUR."""
    from tests.domain.billing import transferring

    transferring.switch_on()
    owner = as_user(cast.owner)
    begun = content(pay(owner, ordered(owner, price, **of_owner(cast))["orderId"], method="bank_transfer"))
    assert content(owner.get(f"{PAYMENTS}{begun['paymentId']}/"))["next"] == begun["next"]
    return begun  # type: ignore[no-any-return]


SEEN = {"amountMinor": 5880, "currency": "EUR", "valueDate": "2026-03-02", "bankReference": "B-1"}


def verify_transfer(asking: Asking, transfer: dict[str, Any], /, key: str = "", **changes: Any) -> HttpResponse:
    headers = {"idempotency_key": key} if key else {}
    return asking.post(f"{PAYMENTS}{transfer['paymentId']}/verify_bank_transfer/", SEEN | changes, **headers)


def test_a_transfer_tells_where_to_send_the_money(transfer: dict[str, Any]) -> None:
    assert transfer["next"]["kind"] == "instructions"
    told = {line["name"]: line["text"] for line in transfer["next"]["lines"]}
    assert told["iban"].startswith("FR14")
    assert told["reference"] == transfer["providerReference"]


def test_an_operator_confirms_a_transfer(operator: Asking, transfer: dict[str, Any]) -> None:
    shown = content(verify_transfer(operator, transfer))
    assert (shown["status"], shown["missing"]["minor"], shown["payment"]["status"]) == ("confirmed", 0, "paid")
    again = verify_transfer(operator, transfer)
    assert (again.status_code, content(again)["received"]["minor"]) == (200, 5880)
    assert content(operator.get(f"{ORDERS}{transfer['orderId']}/"))["status"] == "paid"


def test_part_of_a_transfer_leaves_the_rest_awaited(operator: Asking, transfer: dict[str, Any]) -> None:
    shown = content(verify_transfer(operator, transfer, amountMinor=5000))
    assert (shown["status"], shown["missing"]["minor"], shown["payment"]["status"]) == ("partial", 880, "pending")
    rest = content(verify_transfer(operator, transfer, amountMinor=880, bankReference="B-2"))
    assert (rest["status"], rest["payment"]["status"]) == ("confirmed", "paid")


def test_the_second_person_is_another_token(
    operator: Asking, as_user: Callable[[User], Asking], transfer: dict[str, Any]
) -> None:
    from parcelle.domain.accounts.models import User
    from tests.domain.billing import transferring

    transferring.switch_on(second_person_from="EUR 50")
    for _time in range(2):
        shown = content(verify_transfer(operator, transfer))
        assert (shown["status"], shown["payment"]["status"]) == ("second", "pending")
    second = as_user(User.objects.create_superuser("second@vendor.example"))
    assert content(verify_transfer(second, transfer))["status"] == "confirmed"


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"valueDate": "2999-01-01"}, "trop loin"), ({"bankReference": "B-1", "amountMinor": 1}, "déjà été noté")],
)
def test_a_transfer_is_not_confirmed_from_thin_air(
    operator: Asking, transfer: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    from parcelle.domain.billing.models import Transfer
    from tests.domain.billing import transferring

    transferring.confirm(Transfer.objects.get(), amount="10.00", reference="B-1")
    path = f"{PAYMENTS}{transfer['paymentId']}/verify_bank_transfer/"
    answer = operator.post(path, SEEN | {"bankReference": "B-9"} | changes, accept_language="fr")
    assert (answer.status_code, kind_of(answer)) == (409, "transfer-refused")
    assert words in content(answer)["detail"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("amountMinor", 0), ("amountMinor", "58.80"), ("currency", "XXZ"), ("valueDate", "03/02"), ("bankReference", "")],
)
def test_what_stands_on_the_statement_is_checked(
    operator: Asking, transfer: dict[str, Any], field: str, value: object
) -> None:
    changes: dict[str, Any] = {field: value}
    answer = verify_transfer(operator, transfer, **changes)
    assert (answer.status_code, content(answer)["errors"][0]["pointer"]) == (400, f"#/{field}")


def test_only_operators_confirm_transfers(
    cast: Cast, as_user: Callable[[User], Asking], transfer: dict[str, Any]
) -> None:
    from parcelle.domain.billing.models import Confirmation

    refused = verify_transfer(as_user(cast.owner), transfer)
    assert (refused.status_code, kind_of(refused)) == (403, "forbidden")
    assert verify_transfer(as_user(cast.stranger), transfer).status_code == 404
    cast.member.is_staff = True
    cast.member.save()
    assert verify_transfer(as_user(cast.member), transfer).status_code == 403
    assert not Confirmation.objects.exists()


def test_another_payment_is_no_transfer(operator: Asking, price: Price) -> None:
    answer = verify_transfer(operator, content(pay(operator, ordered(operator, price)["orderId"])))
    assert (answer.status_code, kind_of(answer)) == (409, "not-a-transfer")


def test_the_same_key_confirms_once(operator: Asking, transfer: dict[str, Any]) -> None:
    from parcelle.domain.billing.models import Confirmation

    first, again = verify_transfer(operator, transfer, "k1"), verify_transfer(operator, transfer, "k1")
    assert content(first) == content(again)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert Confirmation.objects.count() == 1


# --- coupons --------------------------------------------------------------------------------------------


def test_a_coupon_is_tried_without_using_it(operator: Asking, price: Price) -> None:
    from parcelle.domain.billing.models import CouponUse

    coupon(percent=10, payments=3)
    for _time in range(2):
        said = content(operator.post(COUPONS, {"code": "welcome", "priceId": str(price.pk), "country": "CM"}))
        assert (said["valid"], said["reason"], said["payments"]) == (True, None, 3)
        assert [said[name]["minor"] for name in ("subtotal", "discount", "tax", "total")] == [4900, 490, 0, 4410]
    assert not CouponUse.objects.exists()


def test_a_coupon_is_counted_per_customer(operator: Asking, price: Price) -> None:
    coupon(percent=10)
    ordered(operator, price, couponCode="WELCOME")
    asked = {"code": "WELCOME", "priceId": str(price.pk)}
    assert content(operator.post(COUPONS, asked | {"email": CUSTOMER["email"]}))["reason"] == "used_by_you"
    assert content(operator.post(COUPONS, asked | {"email": "other@example.com"}))["valid"]


def test_a_coupon_for_something_not_on_sale(operator: Asking, price: Price) -> None:
    answer = operator.post(COUPONS, {"code": "WELCOME", "priceId": str(uuid.uuid4())})
    assert (answer.status_code, kind_of(answer)) == (409, "not-on-sale")


# --- who may --------------------------------------------------------------------------------------------


def secured(order_id: object, payment_id: object) -> list[tuple[str, str]]:
    return [
        ("GET", ORDERS),
        ("POST", ORDERS),
        ("GET", f"{ORDERS}{order_id}/"),
        ("POST", f"{ORDERS}{order_id}/initiate_payment/"),
        ("POST", f"{ORDERS}{order_id}/verify_payment/"),
        ("GET", PAYMENTS),
        ("GET", f"{PAYMENTS}{payment_id}/"),
        ("POST", f"{PAYMENTS}{payment_id}/verify_bank_transfer/"),
        ("POST", COUPONS),
    ]


@pytest.mark.parametrize("sent", ["", "parcelle_wrong"])
def test_without_a_valid_token_nothing_is_said(price: Price, sent: str) -> None:
    for method, path in secured(uuid.uuid4(), uuid.uuid4()):
        answer = Asking(sent).ask(method, path, body={})
        assert (answer.status_code, kind_of(answer)) == (401, "invalid-token" if sent else "authentication-required")


def test_everybody_sees_what_is_theirs(cast: Cast, as_user: Callable[[User], Asking], price: Price) -> None:
    owner, stranger, operator = as_user(cast.owner), as_user(cast.stranger), as_user(cast.operator)
    placed = ordered(owner, price, **of_owner(cast))
    attempt = content(pay(owner, placed["orderId"]))
    for asking in (owner, operator, as_user(cast.viewer)):
        assert [one["orderId"] for one in content(asking.get(ORDERS))["items"]] == [placed["orderId"]]
        assert [one["paymentId"] for one in content(asking.get(PAYMENTS))["items"]] == [attempt["paymentId"]]
        assert asking.get(f"{ORDERS}{placed['orderId']}/").status_code == 200
        assert asking.get(f"{PAYMENTS}{attempt['paymentId']}/").status_code == 200
    assert content(stranger.get(ORDERS))["items"] == content(stranger.get(PAYMENTS))["items"] == []
    for method, path in secured(placed["orderId"], attempt["paymentId"]):
        if placed["orderId"] in path or attempt["paymentId"] in path:
            body = SEEN if "bank" in path else {"method": "fake"}
            answer = stranger.ask(method, path, body=body)
            assert (answer.status_code, kind_of(answer)) == (404, "not-found")
            assert placed["number"] not in answer.content.decode()


def test_an_order_by_an_operator_becomes_the_customers(
    cast: Cast, as_user: Callable[[User], Asking], operator: Asking, price: Price
) -> None:
    from tests import jobs

    placed = ordered(operator, price, **of_owner(cast))
    assert content(as_user(cast.owner).get(ORDERS))["items"] == []
    pay(operator, placed["orderId"])
    click(placed["orderId"])
    operator.post(f"{ORDERS}{placed['orderId']}/verify_payment/")
    jobs.work_off(timezone.now())
    [mine] = content(as_user(cast.owner).get(ORDERS))["items"]
    assert (mine["orderId"], mine["organizationId"]) == (placed["orderId"], str(cast.organization.pk))


def test_looking_is_free_but_making_is_limited(operator: Asking, price: Price, settings: Settings) -> None:
    settings.RATE_LIMITS = True
    settings.API_CREATIONS_PER_MINUTE = 2
    answers = [order(operator, price, customer={"email": f"a{number}@diop.fr"}).status_code for number in range(3)]
    assert answers == [201, 201, 429]
    assert operator.get(ORDERS).status_code == 200


# --- asking twice ---------------------------------------------------------------------------------------


def test_the_same_key_orders_once(operator: Asking, price: Price) -> None:
    from parcelle.domain.billing.models import Order

    first, again = order(operator, price, "k1"), order(operator, price, "k1")
    assert content(first) == content(again)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.headers["Location"] == first.headers["Location"]
    other = order(operator, price, "k1", customer={"city": "Lyon"})
    assert (other.status_code, kind_of(other)) == (422, "idempotency-key-reused")
    assert Order.objects.count() == 1


def test_the_same_key_pays_once_and_answers_alike(operator: Asking, price: Price) -> None:
    from parcelle.domain.billing.models import Payment

    placed = ordered(operator, price)
    first, again = pay(operator, placed["orderId"], "k1"), pay(operator, placed["orderId"], "k1")
    assert content(first) == content(again)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert Payment.objects.count() == 1


def test_who_died_after_the_attempt_began_finds_it_again(operator: Asking, price: Price) -> None:
    """The answer was never kept, as if the process had been killed: the repetition finds the same attempt."""
    from parcelle.core.models import KeptAnswer
    from parcelle.domain.billing.models import FakeCharge, Payment

    placed = ordered(operator, price)
    first = content(pay(operator, placed["orderId"], "k1"))
    KeptAnswer.objects.all().delete()
    again = content(pay(operator, placed["orderId"], "k1"))
    assert (again["paymentId"], again["next"]) == (first["paymentId"], first["next"])
    assert Payment.objects.count() == FakeCharge.objects.count() == 1


@pytest.mark.parametrize("path", ["verify_payment/", "initiate_payment/"])
def test_a_bad_key_is_pointed_at(operator: Asking, price: Price, path: str) -> None:
    answer = operator.post(
        f"{ORDERS}{ordered(operator, price)['orderId']}/{path}", {"method": "fake"}, idempotency_key="with blank"
    )
    assert (answer.status_code, content(answer)["errors"][0]["parameter"]) == (400, "Idempotency-Key")


@COMMITTING
@pytest.mark.usefixtures("test_blueprints")
def test_two_orders_at_once_with_one_key_are_one(operator: Asking, price: Price) -> None:
    from parcelle.domain.billing.models import Order

    answers = at_once([partial(order, Asking(operator.token), price, "k1") for _number in range(6)]).all()
    assert {answer.status_code for answer in answers} == {201}
    assert {content(answer)["orderId"] for answer in answers} == {str(Order.objects.get().pk)}


@COMMITTING
@pytest.mark.usefixtures("test_blueprints")
def test_control_without_a_key_every_request_orders(operator: Asking, price: Price) -> None:
    from parcelle.domain.billing.models import Order

    at_once([partial(order, Asking(operator.token), price) for _number in range(6)]).all()
    assert Order.objects.count() == 6


@COMMITTING
@pytest.mark.usefixtures("test_blueprints")
def test_two_payments_at_once_with_one_key_are_one(operator: Asking, price: Price) -> None:
    from parcelle.domain.billing.models import FakeCharge, Payment

    placed = ordered(operator, price)
    answers = at_once([partial(pay, Asking(operator.token), placed["orderId"], "k1") for _number in range(6)]).all()
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert Payment.objects.count() == FakeCharge.objects.count() == 1


# --- lists ----------------------------------------------------------------------------------------------


def test_lists_are_read_part_by_part(operator: Asking, price: Price) -> None:
    numbers = [ordered(operator, price, customer={"email": f"a{at}@diop.fr"})["number"] for at in range(5)]
    found, path = [], f"{ORDERS}?limit=2&status=open"
    while path:
        page = content(operator.get(path))
        found += [one["number"] for one in page["items"]]
        path = (page["next"] or "").partition("//")[2].partition("/")[2].join(("/", "")) if page["next"] else ""
    assert found == numbers[::-1]
    assert content(operator.get(f"{ORDERS}?email=A3@diop.fr"))["items"][0]["number"] == numbers[3]
    assert content(operator.get(f"{ORDERS}?number={numbers[0]}"))["count"] == 1
    assert content(operator.get(f"{ORDERS}?planId={uuid.uuid4()}"))["count"] == 0


@pytest.mark.parametrize("path", [PLANS, ORDERS, PAYMENTS])
@pytest.mark.parametrize("query", ["limit=0", "limit=201", "offset=-1", "status=gone", "currency=euro", "page=2"])
def test_a_parameter_that_cannot_be_is_pointed_at(operator: Asking, price: Price, path: str, query: str) -> None:
    answer = operator.get(f"{path}?{query}")
    assert (answer.status_code, content(answer)["errors"][0]["parameter"]) == (400, query.partition("=")[0])


def some(number: int, price: Price) -> tuple[Order, Payment]:
    from tests.domain.billing import selling

    placed = selling.order(price)
    return placed, selling.attempt(placed)


@pytest.mark.parametrize("path", [ORDERS, PAYMENTS])
def test_a_list_takes_the_same_number_of_queries_however_long(
    operator: Asking, price: Price, path: str, django_assert_num_queries: Any
) -> None:
    for number in range(7):
        some(number, price)
    operator.get(path)
    with django_assert_num_queries(3):
        assert len(content(operator.get(path))["items"]) == 7


def test_plans_take_the_same_number_of_queries_however_many(
    nobody: Asking, shelf: Price, django_assert_num_queries: Any
) -> None:
    from parcelle.domain.catalog.models import Plan, PlanFeature

    for number in range(7):
        plan = Plan.objects.create(product=shelf.plan.product, slug=f"p{number}", name=f"P{number}")
        PlanFeature.objects.create(plan=plan, feature=shelf.plan.product.features.all()[0], counted=True, amount=1)
    with django_assert_num_queries(5):
        assert len(content(nobody.get(PLANS))["items"]) == 8


# --- the document ---------------------------------------------------------------------------------------


def test_every_operation_has_examples_that_fit() -> None:
    for path, item in document()["paths"].items():
        if not path.startswith("/api/tenants/"):
            continue
        for method, operation in item.items():
            statuses = [status for status in operation["responses"] if status < "300"]
            [status] = statuses
            offered = operation["responses"][status]["content"]
            if "application/json" not in offered:
                # A file is shown by nothing shorter than itself.
                assert set(offered) == {"application/pdf", "application/xml"}
                continue
            [(media_type, promised)] = offered.items()
            assert promised["examples"], (method, path)
            for example in promised["examples"].values():
                answer = HttpResponse(json.dumps(example["value"]), status=int(status), content_type=media_type)
                answer.headers["Cache-Control"] = "no-store"
                verify(method.upper(), path, answer)
            if body := operation.get("requestBody"):
                name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                assert document()["components"]["schemas"][name]["examples"]


def test_the_slash_at_the_end_is_part_of_the_address(price: Price) -> None:
    for path in (PLANS, ORDERS, PAYMENTS):
        assert path.endswith("/") and path in document()["paths"]
    assert Client().get(PLANS).status_code == 200


def test_without_the_slash_a_post_stays_a_post(operator: Asking, price: Price) -> None:
    answer = operator.ask("POST", ORDERS.rstrip("/"), body=wanted(price), documented=False)
    assert (answer.status_code, answer.headers["Location"]) == (308, ORDERS)
