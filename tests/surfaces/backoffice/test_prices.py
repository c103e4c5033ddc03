"""Prices, limits and coupons are edited in the back office, and what was sold stays as it was sold."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from parcelle.domain.billing import calendars
from parcelle.domain.billing.models import Order
from parcelle.domain.catalog.models import AddOn, AddOnPrice, Coupon, Feature, PlanFeature, Price
from tests.domain.billing import selling
from tests.people import Cast
from tests.surfaces.backoffice.test_catalogue import form_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def price(cast: Cast) -> Price:
    return selling.open_shop(plan=cast.plan)


def page_of(cast: Cast) -> str:
    return f"/admin/catalog/plan/{cast.plan.pk}/change/"


def lines(client: Client, page: str, prefix: str = "prices") -> dict[str, str]:
    """A plan's form with its price lines as they are shown."""
    form = form_of(client, page) | {"position": "0", "sleep_minutes": "0"}
    formsets = client.get(page).context["inline_admin_formsets"]
    [formset] = [inline.formset for inline in formsets if inline.formset.prefix == prefix]
    for number, line in enumerate(formset.initial_forms):
        form[f"{prefix}-{number}-id"] = str(line.instance.pk)
        for name in line.fields:
            value = line.initial.get(name)
            if value not in (None, False):
                form[f"{prefix}-{number}-{name}"] = str(value)
    return form


def added(form: dict[str, str], prefix: str, **values: str) -> dict[str, str]:
    number = int(form[f"{prefix}-TOTAL_FORMS"])
    new = {f"{prefix}-{number}-{name}": value for name, value in values.items()}
    return {**form, f"{prefix}-TOTAL_FORMS": str(number + 1), **new}


def amounts() -> list[tuple[str, str, int, bool]]:
    rows = Price.objects.order_by("created_at", "currency")
    return [(row.interval, row.currency, row.amount_minor, row.retired_at is None) for row in rows]


def test_a_new_amount_is_a_new_price_and_what_was_sold_stays(operator: Client, cast: Cast, price: Price) -> None:
    sold = selling.order(price)
    form = lines(operator, page_of(cast))
    assert form["prices-0-amount"] in {"49.00", "49,00"}
    assert operator.post(page_of(cast), form | {"prices-0-amount": "59,90"}).status_code == 302
    assert amounts() == [("month", "EUR", 4900, False), ("month", "EUR", 5990, True)]
    sold.refresh_from_db()
    assert (sold.price, sold.subtotal_minor) == (price, 4900)
    assert "49" in operator.get(page_of(cast)).content.decode()


def test_saving_without_a_change_makes_no_price(operator: Client, cast: Cast, price: Price) -> None:
    assert operator.post(page_of(cast), lines(operator, page_of(cast))).status_code == 302
    assert amounts() == [("month", "EUR", 4900, True)]


def test_prices_are_added_in_any_currency(operator: Client, cast: Cast, price: Price) -> None:
    form = lines(operator, page_of(cast))
    form = added(form, "prices", interval="year", currency="xof", amount="320 000")
    form = added(form, "prices", interval="month", currency="KWD", amount="12.345")
    assert operator.post(page_of(cast), form).status_code == 302
    assert set(amounts()) == {
        ("month", "EUR", 4900, True),
        ("year", "XOF", 320000, True),
        ("month", "KWD", 12345, True),
    }


@pytest.mark.parametrize(
    ("currency", "amount", "field"),
    [
        ("XAF", "12.50", "amount"),
        ("EUR", "1.234", "amount"),
        ("EUR", "-5", "amount"),
        ("EUR", "free", "amount"),
        ("ZZZ", "5", "amount"),
        ("E1", "5", "currency"),
    ],
)
def test_what_is_no_price_is_refused(
    operator: Client, cast: Cast, price: Price, currency: str, amount: str, field: str
) -> None:
    form = added(lines(operator, page_of(cast)), "prices", interval="year", currency=currency, amount=amount)
    answer = operator.post(page_of(cast), form)
    assert answer.status_code == 200
    [formset] = [
        inline.formset for inline in answer.context["inline_admin_formsets"] if inline.formset.prefix == "prices"
    ]
    assert field in formset.errors[-1]
    assert Price.objects.count() == 1


def test_a_second_price_for_the_same_takes_its_place(operator: Client, cast: Cast, price: Price) -> None:
    form = added(lines(operator, page_of(cast)), "prices", interval="month", currency="EUR", amount="45")
    assert operator.post(page_of(cast), form).status_code == 302
    assert amounts() == [("month", "EUR", 4900, False), ("month", "EUR", 4500, True)]


def test_a_deleted_line_retires_its_price(operator: Client, cast: Cast, price: Price) -> None:
    form = lines(operator, page_of(cast)) | {"prices-0-DELETE": "on"}
    assert operator.post(page_of(cast), form).status_code == 302
    assert amounts() == [("month", "EUR", 4900, False)]


def test_limits_are_numbers_or_unlimited(operator: Client, cast: Cast, price: Price) -> None:
    users, storage, other = (
        Feature.objects.create(product=cast.plan.product, key=key, name_fr=key, name_en=key)
        for key in ("users", "storage", "other")
    )
    form = lines(operator, page_of(cast))
    form = added(form, "included", feature=str(users.pk), counted="on", amount="10")
    form = added(form, "included", feature=str(storage.pk), counted="on", amount="")
    form = added(form, "included", feature=str(other.pk), amount="")
    assert operator.post(page_of(cast), form).status_code == 302
    included = PlanFeature.objects.filter(plan=cast.plan).values_list("feature__key", "counted", "amount")
    assert set(included) == {("users", True, 10), ("storage", True, None), ("other", False, None)}


def test_a_feature_of_another_product_cannot_be_included(operator: Client, cast: Cast, price: Price) -> None:
    from tests import people

    other = Feature.objects.create(product=people.offer("other").product, key="x", name_fr="x", name_en="x")
    form = added(lines(operator, page_of(cast)), "included", feature=str(other.pk))
    assert operator.post(page_of(cast), form).status_code == 200
    assert not PlanFeature.objects.exists()


REMINDERS = {
    "month": "10, 3",
    "year": "60 30",
    "charges": "0;4",
    "after": "-",
    "read_only": "2",
    "grace": "5",
    "grace_by_hand": "9",
    "grace_charge_back": "0",
}


def test_the_calendar_of_a_plan_is_edited_in_days(operator: Client, cast: Cast, price: Price) -> None:
    page = page_of(cast)
    assert operator.post(page, lines(operator, page) | REMINDERS).status_code == 302
    cast.plan.refresh_from_db()
    stored = {
        "month": [-10, -3],
        "year": [-60, -30],
        "charges": [0, 4],
        "after": [],
        "read_only": 2,
        "grace": 5,
        "grace_by_hand": 9,
        "grace_charge_back": 0,
    }
    assert cast.plan.dunning == stored
    assert calendars.of(cast.plan).month == (-10, -3)
    # What is shown is what is stored, also when nothing of it is touched.
    shown = operator.get(page).context["adminform"].form
    assert [shown[name].value() for name in ("month", "year", "after")] == ["10, 3", "60, 30", "-"]
    typed = {name: str(value) for name in REMINDERS if (value := shown[name].value()) is not None}
    assert operator.post(page, lines(operator, page) | typed).status_code == 302
    cast.plan.refresh_from_db()
    assert cast.plan.dunning == stored
    assert operator.post(page, lines(operator, page) | dict.fromkeys(REMINDERS, "")).status_code == 302
    cast.plan.refresh_from_db()
    assert cast.plan.dunning == {}


@pytest.mark.parametrize(
    "wrong",
    [{"month": "0"}, {"month": "often"}, {"year": "400"}, {"after": "-1"}, {"grace": "-1"}, {"read_only": "7"}],
)
def test_a_calendar_that_cannot_be_meant_is_refused(
    operator: Client, cast: Cast, price: Price, wrong: dict[str, str]
) -> None:
    answer = operator.post(page_of(cast), lines(operator, page_of(cast)) | wrong)
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors.keys() == wrong.keys()


def test_the_words_of_the_pricing_page_are_edited(operator: Client, cast: Cast, price: Price) -> None:
    changes = {"summary_fr": "Pour deux.", "summary_en": "For two.", "popular": "on"}
    assert operator.post(page_of(cast), lines(operator, page_of(cast)) | changes).status_code == 302
    cast.plan.refresh_from_db()
    assert (cast.plan.summary_fr, cast.plan.summary_en, cast.plan.popular) == ("Pour deux.", "For two.", True)


# --- coupons ----------------------------------------------------------------------------------------------


def coupon_form(**changes: str) -> dict[str, Any]:
    return {
        "code": "welcome",
        "kind": "percent",
        "percent": "10",
        "amount": "",
        "currency": "",
        "minimum": "",
        "most_uses": "50",
        "most_uses_each": "1",
        "payments": "3",
        "enabled": "on",
        **changes,
    }


def test_a_coupon_is_made_and_changed(operator: Client, cast: Cast, price: Price) -> None:
    answer = operator.post("/admin/catalog/coupon/add/", coupon_form(plans=str(cast.plan.pk)))
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    coupon = Coupon.objects.get()
    assert (coupon.code, str(coupon.percent)) == ("WELCOME", "10.00")
    assert (coupon.most_uses, coupon.payments) == (50, 3)
    assert list(coupon.plans.all()) == [cast.plan]
    fixed = coupon_form(kind="fixed", percent="", amount="1 500", currency="XAF", minimum="10000", payments="")
    page = f"/admin/catalog/coupon/{coupon.pk}/change/"
    assert operator.post(page, fixed).status_code == 302
    coupon.refresh_from_db()
    assert (coupon.percent, coupon.amount_minor, coupon.currency) == (None, 1500, "XAF")
    assert (coupon.minimum_minor, coupon.payments, coupon.plans.count()) == (10000, None, 0)
    html = operator.get(page).content.decode()
    assert 'value="1500"' in html and 'value="10000"' in html


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"percent": ""}, "percent"),
        ({"percent": "0"}, "percent"),
        ({"percent": "101"}, "percent"),
        ({"kind": "fixed", "amount": "", "currency": "EUR"}, "amount"),
        ({"kind": "fixed", "amount": "5", "currency": ""}, "currency"),
        ({"kind": "fixed", "amount": "1.5", "currency": "XAF"}, "amount"),
        ({"minimum": "50"}, "currency"),
        ({"code": "no blanks"}, "code"),
    ],
)
def test_a_coupon_that_makes_no_sense_is_refused(
    operator: Client, cast: Cast, changes: dict[str, str], field: str
) -> None:
    answer = operator.post("/admin/catalog/coupon/add/", coupon_form(**changes))
    assert answer.status_code == 200
    assert field in answer.context["adminform"].form.errors
    assert not Coupon.objects.exists()


def test_a_used_coupon_is_counted_and_stays(operator: Client, cast: Cast, price: Price) -> None:
    coupon = Coupon.objects.create(code="TEN", percent=10, most_uses=5)
    selling.order(price, coupon=coupon)
    html = operator.get("/admin/catalog/coupon/").content.decode()
    assert "1 / 5" in html and "10 %" in html
    operator.post(f"/admin/catalog/coupon/{coupon.pk}/delete/", {"post": "yes"})
    assert Coupon.objects.exists() and Order.objects.exists()


def test_add_ons_have_prices_that_are_never_changed(operator: Client, cast: Cast) -> None:
    users = Feature.objects.create(product=cast.plan.product, key="users", name_fr="Utilisateurs", name_en="Users")
    form = form_of(operator, "/admin/catalog/addon/add/") | {
        "name_fr": "Utilisateur supplémentaire",
        "name_en": "Extra user",
        "slug": "extra-user",
        "feature": str(users.pk),
        "most": "50",
        "position": "0",
        "enabled": "on",
    }
    assert operator.post("/admin/catalog/addon/add/", form).status_code == 302
    page = f"/admin/catalog/addon/{AddOn.objects.get().pk}/change/"
    new = added(lines(operator, page), "prices", interval="month", currency="EUR", amount="5", adds="2")
    new.pop("sleep_minutes")
    assert operator.post(page, new).status_code == 302
    free = added(lines(operator, page), "prices", interval="month", currency="XAF", amount="0", adds="1")
    assert operator.post(page, free).status_code == 200
    dearer = lines(operator, page) | {"prices-0-amount": "6"}
    assert operator.post(page, dearer).status_code == 302
    rows = AddOnPrice.objects.order_by("created_at")
    assert [(row.amount_minor, row.adds, row.retired_at is None) for row in rows] == [(500, 2, False), (600, 2, True)]
    assert "Utilisateur supplémentaire" in operator.get("/admin/catalog/addon/").content.decode()
