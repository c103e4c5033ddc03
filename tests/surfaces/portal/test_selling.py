"""From the pricing page to the paid order, as the browser sees it, and as a stranger does not."""

from __future__ import annotations

import re
import uuid
from html import unescape
from typing import Any
from urllib.parse import unquote

import pytest
from django.test import Client
from django.utils.translation import override
from pytest_django import Settings

from parcelle.core.money import Money
from parcelle.domain.accounts.models import User
from parcelle.domain.billing import order_links
from parcelle.domain.billing.models import FakeCharge, GatewaySettings, Order, Payment
from parcelle.domain.catalog import actions
from parcelle.domain.catalog.models import AddOn, Coupon, Feature, Plan, PlanFeature, Price, Product
from parcelle.domain.notifications.models import Message
from parcelle.domain.provisioning.models import Instance
from parcelle.surfaces.portal import methods
from parcelle.surfaces.portal.pages import orders as orders_page
from parcelle.surfaces.portal.templatetags import portal
from tests import jobs
from tests.domain.billing.selling import open_shop
from tests.people import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]
SAID = {
    "last_name": "Diop",
    "first_name": "Awa",
    "company": "Diop & Fils",
    "email": "awa@example.com",
    "phone": "+33612345678",
    "country": "FR",
    "address": "1 rue de la Paix",
    "postcode": "75002",
    "city": "Paris",
    "terms": "on",
}


@pytest.fixture
def price() -> Price:
    return open_shop()


def yearly(price: Price, minor: int) -> Price:
    return Price.objects.create(
        plan=price.plan, interval=Price.YEAR, currency=price.currency, amount_minor=minor, created_at=NOW
    )


def text(response: Any) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", response.content.decode())))


def order(client: Client, price: Price, **said: str) -> Order:
    sent = {**SAID, "price": str(price.pk), "submission": str(uuid.uuid4()), **said}
    response = client.post("/register", sent)
    assert response.status_code == 302, text(response)
    return Order.objects.get(pk=response["Location"].rsplit("/", 1)[-1])


def begin(client: Client, placed: Order) -> FakeCharge:
    response = client.post(f"/orders/{placed.pk}/pay", {"gateway": "fake"})
    assert "/test-payment/" in response["Location"]
    return FakeCharge.objects.get(pk=response["Location"].rsplit("/", 1)[-1])


@pytest.fixture
def seats(price: Price) -> AddOn:
    """Sold beside the plan by the month and by the year."""
    users = Feature.objects.create(product=price.plan.product, key="users", name_fr="Utilisateurs", name_en="Users")
    extra = AddOn.objects.create(feature=users, slug="seat", name_fr="Utilisateur de plus", name_en="Extra user")
    for interval, minor in (("month", 800), ("year", 8000)):
        actions.set_add_on_price(extra.pk, interval=interval, amount=Money(minor, "EUR"), adds=1, now=NOW)
    return extra


# --- pricing ------------------------------------------------------------------------------------------------


def test_prices_are_in_french_and_in_english(client: Client, price: Price) -> None:
    assert "49 €" in text(client.get("/pricing"))
    assert "€49" in text(client.get("/pricing", headers={"Accept-Language": "en"}))


def test_the_year_tells_its_true_saving(client: Client, price: Price) -> None:
    yearly(price, 49000)
    page = text(client.get("/pricing?interval=year"))
    assert "490 €" in page
    assert "soit 40,83 € par mois" in page
    assert "16 % de moins" in page


def test_the_currency_is_that_of_the_visitors_country(client: Client, price: Price) -> None:
    Price.objects.create(plan=price.plan, interval="month", currency="XAF", amount_minor=32000, created_at=NOW)
    assert "32 000 FCFA" in text(client.get("/pricing", headers={"Accept-Language": "fr-CM,fr;q=0.9"}))
    assert "49 €" in text(client.get("/pricing", headers={"Accept-Language": "fr-FR"}))
    assert "32 000 FCFA" in text(client.get("/pricing?currency=XAF", headers={"Accept-Language": "fr-FR"}))


@pytest.mark.parametrize("query", ["currency=ZZZ", "currency=<script>", "interval=week", "currency=&interval="])
def test_nonsense_in_the_address_is_ignored(client: Client, price: Price, query: str) -> None:
    response = client.get(f"/pricing?{query}")
    assert response.status_code == 200
    assert "49 €" in text(response)


def test_features_are_compared(client: Client, price: Price) -> None:
    users = Feature.objects.create(product=price.plan.product, key="users", name_fr="Utilisateurs", name_en="Users")
    PlanFeature.objects.create(plan=price.plan, feature=users, counted=True, amount=1500)
    page = text(client.get("/pricing"))
    assert "Utilisateurs : 1 500" in page.replace("\u202f", " ").replace("\xa0", " ")
    PlanFeature.objects.update(amount=None)
    assert "illimité" in text(client.get("/pricing"))


def test_add_ons_are_shown_with_what_they_cost_and_the_plans_they_go_with(
    client: Client, price: Price, seats: AddOn
) -> None:
    assert "Utilisateur de plus 8 € l’unité, par mois, hors TVA" in text(client.get("/pricing"))
    yearly(price, 49000)
    assert "Extra user €80 each, per year" in text(
        client.get("/pricing?interval=year", headers={"Accept-Language": "en"})
    )
    other = Plan.objects.create(product=price.plan.product, slug="other", name="Autre")
    Price.objects.create(plan=other, interval="month", currency="EUR", amount_minor=100, created_at=NOW)
    seats.plans.set([other])
    assert "Utilisateur de plus Avec Autre 8 €" in text(client.get("/pricing"))
    Plan.objects.filter(pk=other.pk).update(enabled=False)
    assert "Utilisateur de plus" not in text(client.get("/pricing"))


def test_a_plan_on_request_leads_to_the_contact_form(client: Client, price: Price) -> None:
    plan = Plan.objects.create(product=price.plan.product, slug="enterprise", name="Entreprise", on_request=True)
    assert f"/contact?plan={plan.pk}" in client.get("/pricing").content.decode()


def test_a_product_that_is_not_sold_has_a_dialog_and_no_way_to_buy(client: Client, price: Price) -> None:
    Product.objects.update(enabled=False)
    page = client.get("/pricing").content.decode()
    assert "<dialog" in page
    assert "/register?price=" not in page
    assert client.get(f"/register?price={price.pk}")["Location"] == "/pricing"


def test_what_was_typed_goes_along_to_the_other_interval(client: Client, price: Price, seats: AddOn) -> None:
    year = yearly(price, 49000)
    said = {**SAID, "price": str(price.pk), "other": str(year.pk), f"add_on_{seats.pk}": "3", "coupon": "X"}
    response = client.post("/register", said)
    page = response.content.decode()
    assert response.status_code == 200
    assert 'value="3"' in page
    assert 'value="Diop &amp; Fils"' in page
    assert "3 × Utilisateur de plus 240,00 €" in text(response)
    assert f'name="price" value="{year.pk}"' in page
    # Also to a sign-in and back.
    back = unescape(re.findall(r"next=([^\"]+)", page)[0])
    assert 'value="3"' in client.get(unquote(back)).content.decode()
    assert not Order.objects.exists()


def test_nothing_on_sale_says_what_to_do(client: Client, db: None) -> None:
    assert "Rien n’est encore en vente" in text(client.get("/pricing"))


def test_the_page_takes_the_same_number_of_queries_for_many_plans(
    client: Client, price: Price, django_assert_max_num_queries: Any
) -> None:
    for number in range(8):
        plan = Plan.objects.create(product=price.plan.product, slug=f"p{number}", name=f"P{number}")
        Price.objects.create(plan=plan, interval="month", currency="EUR", amount_minor=100, created_at=NOW)
    with django_assert_max_num_queries(9):
        client.get("/pricing")


def test_a_page_that_is_kept_costs_one_query_and_is_never_old(
    client: Client, price: Price, django_assert_num_queries: Any
) -> None:
    client.get("/pricing")
    with django_assert_num_queries(1):
        assert "49 €" in text(Client().get("/pricing"))
    Plan.objects.filter(pk=price.plan_id).update(name="Découverte")
    assert "Découverte" in text(Client().get("/pricing"))
    Price.objects.update(retired_at=NOW)
    assert "49 €" not in text(Client().get("/pricing"))


def test_a_page_that_is_kept_needs_no_cookie_and_its_language_can_be_changed(price: Price) -> None:
    browser = Client(enforce_csrf_checks=True)
    for _visit in range(2):
        page = browser.get("/pricing")
        assert not page.cookies and "csrfmiddlewaretoken" not in text(page)
    said = {"language": "en", "next": "/pricing"}
    assert browser.post("/i18n/setlang/", said).status_code == 302
    assert "per month" in text(browser.get("/pricing"))
    away = browser.post("/i18n/setlang/", {**said, "next": "https://elsewhere.example"})
    assert away["Location"] == "/"


# --- register -----------------------------------------------------------------------------------------------


def test_what_was_typed_survives_an_error(client: Client, price: Price) -> None:
    said = {**SAID, "price": str(price.pk), "email": "awa@", "submission": str(uuid.uuid4())}
    response = client.post("/register", said)
    assert response.status_code == 422
    assert "1 rue de la Paix" in response.content.decode()
    assert not Order.objects.exists()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"terms": ""}, "Veuillez accepter les conditions générales"),
        ({"phone": "abc"}, "numéro de téléphone est incomplet"),
        ({"vat_number": "FR00303265045"}, "Ce numéro de TVA ne correspond pas"),
        ({"siren": "123456789"}, "Un SIREN a neuf chiffres"),
        ({"postcode": ""}, "Veuillez remplir ce champ"),
        ({"kind": "business"}, "La loi française veut le SIREN"),
        ({"kind": "business", "company": ""}, "Veuillez indiquer le nom de votre entreprise"),
        ({"coupon": "NOPE"}, "Nous ne connaissons pas ce code"),
        ({"country": "ZZ"}, ""),
    ],
)
def test_each_mistake_is_said_beside_its_field(client: Client, price: Price, said: dict[str, str], error: str) -> None:
    sent = {**SAID, "price": str(price.pk), "submission": str(uuid.uuid4()), **said}
    response = client.post("/register", {name: value for name, value in sent.items() if value})
    assert response.status_code == 422
    assert error in text(response)
    assert not Order.objects.exists()


@pytest.mark.parametrize(("name", "wrong"), [("terms", ""), ("country", "ZZ"), ("city", "")])
def test_a_mistake_marks_its_field_for_everybody(client: Client, price: Price, name: str, wrong: str) -> None:
    sent = {**SAID, "price": str(price.pk), "submission": str(uuid.uuid4()), name: wrong}
    page = client.post("/register", {key: value for key, value in sent.items() if value}).content.decode()
    [control] = [found for found in re.findall(r"<(?:input|select)[^>]*>", page) if f'name="{name}"' in found]
    assert "is-invalid" in control
    assert 'aria-invalid="true"' in control
    [told_by] = re.findall(r'aria-describedby="([^"]+)"', control)
    [said] = re.findall(rf'id="{told_by}">([^<]+)<', page)
    assert said.strip()
    fresh = client.get(f"/register?price={price.pk}").content.decode()
    assert "is-invalid" not in fresh and "aria-invalid" not in fresh


def test_vat_and_siren_are_tidied(client: Client, price: Price) -> None:
    placed = order(client, price, vat_number="fr 40 303 265 045", siren="303 265 045 00018")
    assert (placed.buyer["vat_number"], placed.buyer["siren"]) == ("FR40303265045", "303265045")


def test_a_private_person_is_asked_for_no_company(client: Client, price: Price) -> None:
    said = {"kind": "person", "vat_number": "FR00", "siren": "12"}
    placed = order(client, price, **said)
    assert (placed.buyer["company"], placed.buyer["siren"], placed.buyer["vat_number"]) == ("", "", "")
    page = text(client.get(f"/register?price={price.pk}"))
    assert "Vous-même, à titre privé" in page
    address = f"/register/summary?price={price.pk}&kind=person&company=Bau&country=DE&vat_number=x"
    assert client.get(address).status_code == 200


def test_a_company_elsewhere_needs_no_siren(client: Client, price: Price) -> None:
    assert order(client, price, kind="business", country="BE").buyer["company"] == "Diop & Fils"


def test_a_buyer_outside_the_union_pays_no_vat(client: Client, price: Price) -> None:
    placed = order(client, price, country="CM", phone="+237671234567", vat_number="whatever")
    assert (placed.tax_minor, placed.tax["reason"], placed.buyer["vat_number"]) == (0, "VATEX-EU-O", "")


def test_sending_twice_is_ordering_once(client: Client, price: Price) -> None:
    once = str(uuid.uuid4())
    assert order(client, price, submission=once) == order(client, price, submission=once)


def test_the_sum_follows_country_and_coupon(client: Client, price: Price) -> None:
    Coupon.objects.create(code="RENTREE", percent=10)
    address = f"/register/summary?price={price.pk}"
    assert "58,80 €" in text(client.get(f"{address}&country=FR"))
    assert "Pas de TVA française" in text(client.get(f"{address}&country=CM"))
    assert "52,92 €" in text(client.get(f"{address}&country=FR&coupon=rentree"))
    refused = client.get(f"{address}&country=FR&coupon=nope")
    assert "Nous ne connaissons pas ce code" in text(refused)
    assert "58,80 €" in text(refused)


def test_who_guesses_codes_learns_nothing_more(client: Client, price: Price, settings: Settings) -> None:
    Coupon.objects.create(code="RENTREE", percent=10)
    settings.RATE_LIMITS = True
    address = f"/register/summary?price={price.pk}&country=FR&coupon="
    for number in range(60):
        assert "Nous ne connaissons pas ce code" in text(client.get(f"{address}code-{number}"))
    guessed = text(client.get(f"{address}rentree"))
    assert "Trop de codes ont été essayés" in guessed and "58,80 €" in guessed
    assert "58,80 €" in text(client.get(address))


def test_without_javascript_a_button_asks_for_the_sum_and_orders_nothing(client: Client, price: Price) -> None:
    Coupon.objects.create(code="RENTREE", percent=10)
    response = client.post("/register", {"price": str(price.pk), "coupon": "RENTREE", "country": "FR", "preview": "1"})
    assert response.status_code == 200
    assert "52,92 €" in text(response)
    assert not Order.objects.exists()


@pytest.mark.parametrize("query", ["", "?price=", "?price=nonsense", f"?price={uuid.UUID(int=5)}"])
def test_without_a_price_one_chooses_first(client: Client, query: str) -> None:
    assert client.get(f"/register{query}")["Location"] == "/pricing"


def test_somebody_signed_in_need_not_type_it_again(client: Client, price: Price) -> None:
    user = User.objects.create_user("awa@example.com", first_name="Awa", last_name="Diop")
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    page = client.get(f"/register?price={price.pk}").content.decode()
    assert 'value="Awa"' in page
    assert order(client, price, email="other@example.com").email == "awa@example.com"


def test_the_chosen_plan_survives_a_reload_and_a_sign_in(client: Client, price: Price) -> None:
    page = client.get(f"/register?price={price.pk}&coupon=RENTREE").content.decode()
    back = re.search(r'href="/accounts/login/\?next=([^"]+)"', page)
    assert back
    assert unquote(back[1]) == f"/register?price={price.pk}&coupon=RENTREE"
    # Also without the address, as after a form that came back with mistakes.
    assert str(price.pk) in client.get("/register").content.decode()
    user = User.objects.create_user("awa@example.com", first_name="Awa")
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert 'value="Awa"' in client.get("/register").content.decode()
    Price.objects.update(retired_at=NOW)
    assert client.get("/register")["Location"] == "/pricing"


def test_an_order_survives_a_sign_in(client: Client, price: Price) -> None:
    placed = order(client, price)
    user = User.objects.create_user("somebody@example.com")
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(f"/orders/{placed.pk}").status_code == 200


def test_a_form_with_mistakes_keeps_the_plan_for_who_signs_in_then(client: Client, price: Price) -> None:
    page = client.post("/register", {**SAID, "price": str(price.pk), "email": "awa@"}).content.decode()
    assert f"price%3D{price.pk}" in page


def test_the_sum_says_at_once_what_a_vat_number_changes(client: Client, price: Price) -> None:
    address = f"/register/summary?price={price.pk}&company=Bau&country=DE"
    assert "ne correspond pas au pays" in text(client.get(f"{address}&vat_number=DE123"))
    # Nobody can be asked here, so it counts for nothing.
    unconfirmed = text(client.get(f"{address}&vat_number=DE136695976"))
    assert "la TVA est donc appliquée" in unconfirmed
    assert "58,80 €" in unconfirmed


# --- order and payment --------------------------------------------------------------------------------------


def test_from_the_order_to_the_instance(client: Client, price: Price) -> None:
    placed = order(client, price)
    page = client.get(f"/orders/{placed.pk}")
    assert "Paiement d’essai" in text(page)
    charge = begin(client, placed)
    assert "Nous attendons votre paiement" in text(client.get(f"/orders/{placed.pk}"))
    assert "aucun argent ne circule" in text(client.get(f"/test-payment/{charge.pk}"))
    back = client.post(f"/test-payment/{charge.pk}", {"answer": "approve", "messages": "never"})
    assert client.get(back["Location"].replace("http://localhost:8000", ""))["Location"] == f"/orders/{placed.pk}"
    assert "Merci, votre paiement est arrivé" in text(client.get(f"/orders/{placed.pk}"))
    jobs.work_off(NOW)
    instance = Instance.objects.get()
    assert client.get(f"/orders/{placed.pk}")["Location"] == f"/deployments/{instance.pk}"
    assert client.get(f"/deployments/{instance.pk}").status_code == 200


def test_a_declined_payment_says_why_and_can_be_tried_again(client: Client, price: Price) -> None:
    placed = order(client, price)
    charge = begin(client, placed)
    back = client.post(f"/test-payment/{charge.pk}", {"answer": "no_funds", "messages": "never"})
    client.get(back["Location"].replace("http://localhost:8000", ""))
    page = text(client.get(f"/orders/{placed.pk}"))
    assert "Il n’y a pas assez d’argent sur le compte" in page
    assert "Comment souhaitez-vous payer" in page
    assert begin(client, placed).pk != charge.pk


def test_a_second_click_on_pay_starts_nothing_new(client: Client, price: Price) -> None:
    placed = order(client, price)
    begin(client, placed)
    response = client.post(f"/orders/{placed.pk}/pay", {"gateway": "fake"})
    assert response["Location"] == f"/orders/{placed.pk}"
    assert Payment.objects.count() == 1


@pytest.mark.parametrize("gateway", ["", "paypal", "nonsense"])
def test_a_way_to_pay_that_is_not_offered(client: Client, price: Price, gateway: str) -> None:
    placed = order(client, price)
    response = client.post(f"/orders/{placed.pk}/pay", {"gateway": gateway})
    assert response.status_code == 422
    assert "Veuillez choisir comment vous souhaitez payer" in text(response)


def test_with_no_way_to_pay_the_page_says_so(client: Client, price: Price) -> None:
    placed = order(client, price)
    GatewaySettings.objects.update(enabled=False)
    assert "pas encore de moyen de payer" in text(client.get(f"/orders/{placed.pk}"))


@pytest.mark.parametrize("path", ["", "/progress", "/events", f"/return/{uuid.UUID(int=5)}"])
def test_a_stranger_finds_no_order(client: Client, price: Price, path: str) -> None:
    placed = order(client, price)
    assert Client().get(f"/orders/{placed.pk}{path}").status_code == 404
    assert Client().post(f"/orders/{placed.pk}/pay", {"gateway": "fake"}).status_code == 404


def test_the_mailed_link_opens_the_order_in_another_browser(client: Client, price: Price) -> None:
    placed = order(client, price)
    other = Client()
    assert other.get(f"/orders/resume/{order_links.token_of(placed.pk)}")["Location"] == f"/orders/{placed.pk}"
    assert other.get(f"/orders/{placed.pk}").status_code == 200
    assert Client().get("/orders/resume/forged:token").status_code == 404


def test_returning_with_somebody_elses_payment_asks_nothing(client: Client, price: Price) -> None:
    first, second = order(client, price), order(client, price, email="b@example.com", submission=str(uuid.uuid4()))
    begin(client, second)
    payment = Payment.objects.get(order=second)
    client.get(f"/orders/{first.pk}/return/{payment.pk}")
    payment.refresh_from_db()
    assert payment.looks == 0


def test_who_comes_back_in_a_browser_that_was_never_here_is_thanked_and_told_nothing(
    client: Client, price: Price
) -> None:
    placed = order(client, price)
    begin(client, placed)
    payment = Payment.objects.get()
    answer = Client().get(f"/orders/{placed.pk}/return/{payment.pk}")
    payment.refresh_from_db()
    assert (answer.status_code, payment.looks) == (200, 1)
    assert "Merci" in text(answer)
    assert placed.number not in text(answer) and placed.email not in text(answer)


def test_who_changes_their_mind_pays_another_way(client: Client, price: Price) -> None:
    placed = order(client, price)
    charge = begin(client, placed)
    assert "Payer autrement" in text(client.get(f"/orders/{placed.pk}"))
    assert client.post(f"/orders/{placed.pk}/change")["Location"] == f"/orders/{placed.pk}"
    assert Payment.objects.get().state == "expired"
    assert "Comment souhaitez-vous payer" in text(client.get(f"/orders/{placed.pk}"))
    assert begin(client, placed).pk != charge.pk
    assert Client().post(f"/orders/{placed.pk}/change").status_code == 404


def test_what_the_service_holds_cannot_be_left_any_more(client: Client, price: Price) -> None:
    placed = order(client, price)
    begin(client, placed)
    Payment.objects.update(memo={"capture": "8AB"})
    assert "Payer autrement" not in text(client.get(f"/orders/{placed.pk}"))


def test_changing_ones_mind_after_having_paid_is_having_paid(client: Client, price: Price) -> None:
    placed = order(client, price)
    charge = begin(client, placed)
    client.post(f"/test-payment/{charge.pk}", {"answer": "approve", "messages": "never", "comes_back": "no"})
    client.post(f"/orders/{placed.pk}/change")
    placed.refresh_from_db()
    assert placed.state == "paid"


def test_coming_back_without_paying_asks_the_service(client: Client, price: Price) -> None:
    placed = order(client, price)
    charge = begin(client, placed)
    client.get(f"/orders/{placed.pk}?cancelled=1")
    assert Payment.objects.get().state == "pending"
    back = client.post(f"/test-payment/{charge.pk}", {"answer": "cancel", "messages": "never"})
    client.get(back["Location"].replace("http://localhost:8000", ""))
    assert Payment.objects.get().state == "expired"


def test_a_payment_page_elsewhere_is_reached_by_a_page_not_by_a_redirect(
    client: Client, price: Price, settings: Settings
) -> None:
    """`form-action 'self'` also holds for the redirect that answers a form: browsers would stay where they are."""
    placed = order(client, price)
    settings.PUBLIC_URL = "https://pay.example"
    payment_page = client.post(f"/orders/{placed.pk}/pay", {"gateway": "fake"})
    assert payment_page.status_code == 302
    client.post(f"/orders/{placed.pk}/change")
    page = orders_page._leave(payment_page.wsgi_request, "https://bank.example/x?a=1&b=2", methods.WORDS["stripe"])
    assert 'content="0;url=https://bank.example/x?a=1&amp;b=2"' in page.content.decode()


# --- messages of payment services ---------------------------------------------------------------------------


def test_the_services_message_arrives_by_http(client: Client, price: Price) -> None:
    from parcelle.domain.billing.gateways import fake

    placed = order(client, price)
    charge = begin(client, placed)
    client.post(f"/test-payment/{charge.pk}", {"answer": "approve", "messages": "never", "comes_back": "no"})
    body = fake.message(FakeCharge.objects.get())
    headers = {fake.SIGNATURE: fake.sign("s" * 32, body)}
    for _time in range(2):
        answer = Client().post("/webhooks/fake", body, content_type="application/json", headers=headers)
        assert answer.status_code == 200
    jobs.work_off(NOW)
    placed.refresh_from_db()
    assert placed.state == "fulfilled"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [("/webhooks/fake", b"{}", 400), ("/webhooks/paypal", b"{}", 404), ("/webhooks/fake", b"x" * 600_000, 413)],
)
def test_what_is_not_taken_is_not_acknowledged(
    client: Client, price: Price, path: str, body: bytes, status: int
) -> None:
    assert Client().post(path, body, content_type="application/json").status_code == status


# --- contact ------------------------------------------------------------------------------------------------


def test_an_enquiry_reaches_the_vendor_and_can_be_answered(client: Client, price: Price) -> None:
    said = {
        "name": "Awa\nBcc: x@y.z",
        "email": "awa@example.com",
        "message": "Bonjour",
        "submission": str(uuid.uuid4()),
    }
    for _time in range(2):
        assert "Merci, nous avons bien reçu" in text(client.post(f"/contact?plan={price.plan.pk}", said))
    message = Message.objects.get(kind="enquiry")
    assert message.context["about"] == f"{price.plan.product} {price.plan.name}"
    assert "\n" not in message.context["name"]


def test_a_robot_that_fills_in_everything_is_thanked_and_forgotten(client: Client, db: None) -> None:
    said = {"name": "A", "email": "a@b.fr", "message": "x", "website": "https://x", "submission": str(uuid.uuid4())}
    assert client.post("/contact", said).status_code == 200
    assert not Message.objects.exists()


@pytest.mark.parametrize(
    ("amount", "language", "written"),
    [
        (Money(4900, "EUR"), "fr", "49\xa0€"),
        (Money(4950, "EUR"), "fr", "49,50\xa0€"),
        (Money(4900, "USD"), "en", "$49"),
        (Money(32000, "XAF"), "fr", "32\u202f000\xa0FCFA"),
        (Money(32000, "XAF"), "en", "FCFA\xa032,000"),
        (None, "fr", ""),
    ],
)
def test_whole_prices_have_no_decimals(amount: Money | None, language: str, written: str) -> None:
    with override(language):
        assert portal.price(amount) == written
