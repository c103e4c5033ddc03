"""Ways to pay in the back office: what each needs is asked for, and secrets never come out again."""

from __future__ import annotations

import pytest
from django.test import Client

from parcelle.domain.billing.gateways import GATEWAYS, settings_of
from parcelle.domain.billing.models import GatewaySettings
from parcelle.surfaces.backoffice import gateway_words
from tests.people import Cast

pytestmark = pytest.mark.django_db
LIST = "/admin/billing/gatewaysettings/"
SECRET = "Secret-of-paypal-1"
ACCOUNT = {"client_id": "mine", "client_secret": SECRET, "webhook_id": "W1", "verification": "online", "vault": "off"}


def page(name: str = "paypal") -> str:
    return f"{LIST}{GatewaySettings.objects.get(name=name).pk}/change/"


@pytest.fixture
def listed(operator: Client) -> str:
    shown = operator.get(LIST)
    assert shown.status_code == 200
    return shown.content.decode()


def values(name: str = "paypal") -> dict[str, str]:
    found: dict[str, str] = GatewaySettings.objects.get(name=name).values
    return found


def test_every_way_to_pay_is_listed_and_none_is_offered_before_it_was_set_up(listed: str) -> None:
    assert set(GatewaySettings.objects.values_list("name", flat=True)) == set(GATEWAYS)
    assert "PayPal" in listed
    assert not GatewaySettings.objects.filter(enabled=True).exists()


def test_every_setting_has_a_name() -> None:
    for name in GATEWAYS:
        assert {setting.name for setting in settings_of(name)} <= set(gateway_words.LABELS)


@pytest.mark.parametrize("name", sorted(GATEWAYS))
def test_every_form_opens(operator: Client, listed: str, name: str) -> None:
    shown = operator.get(page(name))
    for setting in settings_of(name):
        assert f'name="{setting.name}"' in shown.content.decode()


def test_what_is_entered_is_stored_and_its_secret_never_shown(operator: Client, listed: str) -> None:
    assert operator.post(page(), {**ACCOUNT, "enabled": "on", "position": "1"}).status_code == 302
    row = GatewaySettings.objects.get(name="paypal")
    assert (row.enabled, row.production, row.values) == (True, False, ACCOUNT)
    shown = operator.get(page()).content.decode()
    assert SECRET not in shown
    assert "mine" in shown


def test_an_empty_secret_keeps_the_stored_one(operator: Client, listed: str) -> None:
    operator.post(page(), {**ACCOUNT, "enabled": "on", "position": "1"})
    operator.post(page(), {**ACCOUNT, "client_secret": "", "client_id": "other", "position": "1"})
    assert (values()["client_secret"], values()["client_id"]) == (SECRET, "other")


def test_what_lacks_something_is_not_offered(operator: Client, listed: str) -> None:
    shown = operator.post(page(), {"enabled": "on", "position": "1", "client_id": "mine", "verification": "offline"})
    assert shown.status_code == 200
    assert "Needed before customers can pay with it." in shown.content.decode()
    assert not GatewaySettings.objects.get(name="paypal").enabled
    assert operator.post(page(), {"position": "1", "client_id": "mine", "verification": "offline"}).status_code == 302


def test_a_check_says_what_is_wrong(operator: Client, listed: str) -> None:
    shown = operator.get(page("fake").replace("change/", "check/"), follow=True)
    assert "no secret to sign" in shown.content.decode()
    GatewaySettings.objects.filter(name="fake").update(values={"secret": "s" * 32})
    assert "is ready" in operator.get(page("fake").replace("change/", "check/"), follow=True).content.decode()


def test_who_may_only_read_changes_nothing(reader: Client, operator: Client, listed: str, cast: Cast) -> None:
    assert reader.post(page(), {**ACCOUNT, "enabled": "on", "position": "1"}).status_code == 403
    reader.get(page().replace("change/", "check/"))
    assert values() == {}


def test_nobody_adds_or_removes_one(operator: Client, listed: str) -> None:
    assert operator.get(f"{LIST}add/").status_code == 403
    assert operator.post(page().replace("change/", "delete/"), {"post": "yes"}).status_code == 403
