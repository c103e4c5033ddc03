"""What operators may write: products, plans, targets, organizations, users."""

from __future__ import annotations

import pytest
from allauth.account.models import EmailAddress
from django.test import Client

from parcelle.domain.accounts.models import User
from parcelle.domain.catalog.models import Plan, Product
from parcelle.domain.provisioning.models import Target
from tests.people import Cast
from tests.surfaces.backoffice.rows import World

pytestmark = pytest.mark.django_db


def form_of(client: Client, page: str) -> dict[str, str]:
    """What a browser would send back unchanged."""
    context = client.get(page).context
    form = {name: value for name, value in context["adminform"].form.initial.items() if value not in (None, False)}
    for inline in context["inline_admin_formsets"]:
        management = inline.formset.management_form
        form |= {f"{management.prefix}-{name}": value for name, value in management.initial.items()}
    return form


def product_form(**changes: str) -> dict[str, str]:
    return {
        "name": "Books",
        "slug": "books",
        "tagline_fr": "",
        "tagline_en": "",
        "enabled": "on",
        "position": "1",
        "blueprint": "plain",
        "target_name": "nowhere",
        "pool_size": "2",
        "plans-TOTAL_FORMS": "1",
        "plans-INITIAL_FORMS": "0",
        "features-TOTAL_FORMS": "1",
        "features-INITIAL_FORMS": "0",
        "features-0-name_fr": "Utilisateurs",
        "features-0-name_en": "Users",
        "features-0-key": "users",
        "features-0-icon": "users",
        "features-0-position": "0",
        "plans-0-name": "Team",
        "plans-0-slug": "team",
        "plans-0-trial_days": "14",
        "plans-0-retention_days": "30",
        "plans-0-enabled": "on",
        "plans-0-position": "0",
        **changes,
    }


def test_a_product_is_made_together_with_its_plan(operator: Client, cast: Cast) -> None:
    assert operator.post("/admin/catalog/product/add/", product_form()).status_code == 302
    plan = Plan.objects.get(slug="team")
    assert (plan.product.blueprint, plan.product.pool_size, plan.trial_days) == ("plain", 2, 14)


@pytest.mark.parametrize(("typed", "kept"), [("", None), ("5.5", "5.50"), ("20", "20.00")])
def test_a_product_may_have_a_vat_rate_of_its_own(operator: Client, cast: Cast, typed: str, kept: str | None) -> None:
    assert operator.post("/admin/catalog/product/add/", product_form(vat_rate=typed)).status_code == 302
    rate = Product.objects.get(slug="books").vat_rate
    assert (rate if rate is None else str(rate)) == kept


@pytest.mark.parametrize(
    "wrong",
    [
        {"blueprint": "unknown"},
        {"target_name": "unknown"},
        {"pool_size": "51"},
        {"pool_size": "-1"},
        {"vat_rate": "19"},
        {"vat_rate": "0"},
        {"vat_rate": "-5"},
    ],
)
def test_a_product_runs_on_what_there_is(operator: Client, cast: Cast, wrong: dict[str, str]) -> None:
    answer = operator.post("/admin/catalog/product/add/", product_form(**wrong))
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors.keys() == wrong.keys()
    assert not Product.objects.filter(slug="books").exists()


def test_a_product_whose_blueprint_has_gone_can_still_be_opened(operator: Client, cast: Cast) -> None:
    product = Product.objects.create(slug="old", name="Old", blueprint="gone", target_name="gone-too")
    html = operator.get(f"/admin/catalog/product/{product.pk}/change/").content.decode()
    assert 'value="gone" selected' in html
    assert 'value="gone-too" selected' in html


def test_the_connection_of_a_target_survives_an_edit(operator: Client, world: World) -> None:
    page = f"/admin/provisioning/target/{world.target.pk}/change/"
    assert operator.post(page, {"region": "Douala", "capacity": "7", "enabled": "on"}).status_code == 302
    target = Target.objects.get(pk=world.target.pk)
    assert (target.region, target.capacity, target.provider, target.name) == ("Douala", 7, "null", "nowhere")
    assert target.connection == {"token": "Secret-connection-1"}


def test_an_organization_can_be_renamed_and_nothing_more(operator: Client, cast: Cast) -> None:
    page = f"/admin/tenancy/organization/{cast.organization.pk}/change/"
    changes = {"name": "Diop & Filles", "language": "en", "slug": "other", "state": "cancelled"}
    assert operator.post(page, form_of(operator, page) | changes).status_code == 302
    cast.organization.refresh_from_db()
    assert (cast.organization.name, cast.organization.language) == ("Diop & Filles", "en")
    assert (cast.organization.slug, cast.organization.state) == ("maconnerie-diop", "active")


def test_a_colleague_becomes_an_operator(operator: Client, cast: Cast) -> None:
    secret = "a long enough password"
    form = {"email": "Colleague@Vendor.example", "language": "fr", "password1": secret, "password2": secret}
    answer = operator.post("/admin/accounts/user/add/", {**form, "is_staff": "on"}, follow=True)
    assert secret not in answer.content.decode()
    user = User.objects.get(email="colleague@vendor.example")
    assert user.is_staff
    assert not user.is_superuser
    assert user.check_password(secret)


def test_the_same_address_in_other_letters_is_refused(operator: Client, cast: Cast) -> None:
    form = {
        "email": cast.owner.email.upper(),
        "language": "fr",
        "password1": "long enough 1",
        "password2": "long enough 1",
    }
    answer = operator.post("/admin/accounts/user/add/", form)
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors.keys() == {"email"}


def test_a_corrected_address_replaces_the_old_one(operator: Client, cast: Cast) -> None:
    EmailAddress.objects.create(user=cast.owner, email=cast.owner.email, primary=True, verified=True)
    page = f"/admin/accounts/user/{cast.owner.pk}/change/"
    assert operator.post(page, form_of(operator, page) | {"email": "New@Example.com"}).status_code == 302
    assert list(EmailAddress.objects.filter(user=cast.owner).values_list("email", "verified")) == [
        ("new@example.com", False)
    ]
    cast.owner.refresh_from_db()
    assert cast.owner.email == "new@example.com"


def test_nobody_takes_away_their_own_rights(operator: Client, cast: Cast) -> None:
    page = f"/admin/accounts/user/{cast.operator.pk}/change/"
    form = form_of(operator, page)
    assert not {"is_active", "is_staff", "is_superuser"} & form.keys()
    assert operator.post(page, form).status_code == 302
    cast.operator.refresh_from_db()
    assert cast.operator.is_active
    assert cast.operator.is_superuser
