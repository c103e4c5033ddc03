"""`parcelle momo …`"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from parcelle.domain.billing import gateways
from parcelle.domain.billing.gateways.mtn_momo import markets
from parcelle.domain.billing.models import GatewaySettings
from tests import needs
from tests.loopback import free_port
from tests.simulators import mtn_momo_server
from tests.simulators.mtn_momo import Fault, Momo
from tests.surfaces.cli.typing_it import Typed, type_in

needs.require("specs")
pytestmark = pytest.mark.django_db


@pytest.fixture
def momo() -> Iterator[Momo]:
    with mtn_momo_server.judged() as running:
        yield running
        assert running.violations == []


def make(momo: Momo, *words: str, product: str = "collection") -> Typed:
    key = momo.subscription_keys[product]
    return type_in("momo", "apiuser", "--base-url", momo.url, "--subscription-key", key, *words)


def stored() -> dict[str, str]:
    return dict(GatewaySettings.objects.get(name="mtn_momo").values)


def test_an_api_user_is_made_and_the_gateway_works_with_it(momo: Momo) -> None:
    done = make(momo)
    assert done.code == 0 and done.err == ""
    values = stored()
    assert momo.users[values["api_user"]] == ("localhost", values["api_key"])
    assert values["api_user"] in done.out and values["api_key"] not in done.out
    assert "not offered to customers" in done.out
    assert gateways.open_gateway("mtn_momo").problems() == []


def test_as_json(momo: Momo) -> None:
    done = make(momo, "--host", "pay.example.com", "--json")
    said = json.loads(done.out)
    assert said == {
        "product": "collection",
        "api_user": stored()["api_user"],
        "callback_host": "pay.example.com",
        "offered": False,
        "problems": [],
    }
    assert momo.users[said["api_user"]][0] == "pay.example.com"


def test_it_is_offered_and_no_more(momo: Momo) -> None:
    assert make(momo, "--offer", "--json").json["offered"] is True
    assert make(momo, "--json").json["offered"] is True
    assert list(gateways.open_offered()) == ["mtn_momo"]
    assert make(momo, "--no-offer", "--json").json["offered"] is False


def test_refunds_have_an_api_user_of_their_own(momo: Momo) -> None:
    make(momo)
    collection = stored()["api_user"]
    assert not gateways.open_gateway("mtn_momo").abilities.refunds
    assert make(momo, "--disbursement", product="disbursement").code == 0
    values = stored()
    assert (values["api_user"], values["disbursement_api_user"] != collection) == (collection, True)
    assert gateways.open_gateway("mtn_momo").abilities.refunds
    assert gateways.open_gateway("mtn_momo").problems() == []


def test_again_uses_the_stored_key_and_leaves_the_rest(momo: Momo) -> None:
    make(momo)
    row = GatewaySettings.objects.get(name="mtn_momo")
    GatewaySettings.objects.update(enabled=True, values={**row.values, "currency": "EUR"})
    done = type_in("momo", "apiuser", "--json")
    assert done.json["offered"] is True
    assert stored()["currency"] == "EUR"
    assert len(momo.users) == 2


def test_an_answer_that_gets_lost_makes_no_second_user(momo: Momo) -> None:
    momo.faults = [Fault("POST /v1_0/apiuser", "lost"), Fault("POST /v1_0/apiuser", "lost")]
    assert make(momo).code == 0
    assert list(momo.users) == [stored()["api_user"]]


def test_what_is_still_wrong_is_told(momo: Momo) -> None:
    make(momo, "--disbursement", product="disbursement")
    done = make(momo, "--host", "example.com:8000")
    assert done.code == 0
    assert "Still to do: callback_host is a host name alone" in done.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--subscription-key", ""], "subscription key of Collection is missing"),
        (["--subscription-key", "wrong"], "MTN refused the subscription key"),
        (["--subscription-key", "x", "--base-url", f"http://127.0.0.1:{free_port()}"], "cannot be reached"),
        (["--subscription-key", "x", "--base-url", markets.PRODUCTION_URL], "MTN’s partner portal"),
        (["--host", "https://example.com/x"], "MTN did not make the API user"),
    ],
)
def test_what_cannot_be_done_is_said_plainly(momo: Momo, words: list[str], sentence: str) -> None:
    done = make(momo, *words)
    assert (done.code, done.out) == (1, "")
    assert sentence in done.err
    assert not GatewaySettings.objects.filter(name="mtn_momo").exists()


def test_real_money_is_left_alone(momo: Momo) -> None:
    GatewaySettings.objects.create(name="mtn_momo", production=True, values={"api_user": "theirs"})
    done = make(momo)
    assert done.code == 1
    assert "set up for real money" in done.err
    assert stored() == {"api_user": "theirs"}
