"""Who gets in, and what those see who do not."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from parcelle.domain.accounts.models import User
from parcelle.surfaces.backoffice import entrance
from tests.people import Cast
from tests.surfaces.backoffice.rows import World

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"


@pytest.fixture
def with_password(cast: Cast) -> User:
    cast.operator.set_password(PASSWORD)
    cast.operator.save()
    return cast.operator


def test_a_visitor_is_led_to_the_door(client: Client, world: World) -> None:
    for page in ("/admin/", "/admin/tenancy/organization/", f"/admin/provisioning/instance/{world.live.pk}/archive/"):
        answer = client.get(page)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/?next=")


@pytest.mark.parametrize("who", ["owner", "stranger"])
def test_a_customer_reads_why_and_where_to_go(client: Client, cast: Cast, who: str) -> None:
    client.force_login(getattr(cast, who), backend="django.contrib.auth.backends.ModelBackend")
    answer = client.get("/admin/", follow=True)
    html = answer.content.decode()
    assert "which is not an operator’s account" in html
    assert 'href="/dashboard"' in html
    assert "Maçonnerie" not in html


def test_a_customer_can_do_nothing(client: Client, cast: Cast, world: World) -> None:
    client.force_login(cast.owner, backend="django.contrib.auth.backends.ModelBackend")
    client.post(f"/admin/provisioning/instance/{world.live.pk}/archive/", {"confirmed": "archive"})
    assert not world.live.operations.filter(kind="archive").exists()
    assert client.get("/admin/search/?s=live").status_code == 302


def test_an_operator_signs_in_and_lands_in_the_back_office(client: Client, with_password: User) -> None:
    answer = client.get("/admin/login/")
    assert 'name="next" value="/admin/"' in answer.content.decode()
    form = {"username": with_password.email.upper(), "password": PASSWORD, "next": "/admin/"}
    assert client.post("/admin/login/", form)["Location"] == "/admin/"


def test_guessing_passwords_is_slowed_down(
    client: Client, with_password: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RATE_LIMITS = True
    monkeypatch.setattr(entrance, "TRIES", 2)
    wrong = {"username": with_password.email, "password": "wrong"}
    for _number in range(2):
        assert "Too many attempts" not in client.post("/admin/login/", wrong).content.decode()
    right = {"username": with_password.email, "password": PASSWORD}
    assert "Too many attempts" in client.post("/admin/login/", right).content.decode()
    elsewhere = Client(REMOTE_ADDR="192.0.2.7")
    assert elsewhere.post("/admin/login/", {**right, "next": "/admin/"}).status_code == 302


def test_staff_without_further_rights_reads_everything_and_changes_nothing(reader: Client, world: World) -> None:
    instance = f"/admin/provisioning/instance/{world.live.pk}"
    html = reader.get(f"{instance}/change/").content.decode()
    assert "live-one" in html
    assert "/archive/" not in html
    listed = reader.get("/admin/provisioning/instance/").content.decode()
    assert "Archive…" not in listed
    answer = reader.post(f"{instance}/archive/", {"confirmed": "archive"}, follow=True)
    assert "may look at this, but not change it" in answer.content.decode()
    bulk = {"action": "archive", "_selected_action": [str(world.live.pk)], "confirmed": "archive"}
    reader.post("/admin/provisioning/instance/", bulk)
    assert not world.live.operations.filter(kind="archive").exists()
    product = reverse("admin:catalog_product_change", args=[world.live.product_id])
    assert reader.get(product).status_code == 200
    assert reader.post(product, {"name": "Mine"}).status_code == 403
    assert reader.get("/admin/accounts/apitoken/add/").status_code == 403


def test_only_administrators_make_operators(reader: Client, cast: Cast) -> None:
    from django.contrib.auth.models import Permission

    helper = User.objects.get(email="reader@vendor.example")
    helper.user_permissions.set(Permission.objects.filter(codename="change_user"))
    mine = reverse("admin:accounts_user_change", args=[helper.pk])
    assert reader.post(mine, {"email": helper.email, "is_superuser": "on"}).status_code == 403
    owner = reverse("admin:accounts_user_change", args=[cast.owner.pk])
    assert reader.get(owner).status_code == 200
    form = {"email": cast.owner.email, "language": "fr", "is_active": "on", "is_staff": "on", "is_superuser": "on"}
    reader.post(owner, form)
    cast.owner.refresh_from_db()
    assert not cast.owner.is_staff
    assert not cast.owner.is_superuser
    password = reverse("admin:auth_user_password_change", args=[cast.operator.pk])
    assert reader.post(password, {"password1": PASSWORD, "password2": PASSWORD}).status_code == 403
