"""The simulator of MTN shows what its contract lists, and its judge can say no."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests import needs
from tests.loopback import answering
from tests.simulators import mtn_momo, mtn_momo_server, mtn_momo_specs
from tests.simulators.mtn_momo import Fault, Momo

needs.require("specs")
PAY = "/collection/v1_0/requesttopay"


@dataclass
class Asked:
    status: int
    body: Any


class Caller:
    """Somebody who speaks to MTN by hand, rightly or wrongly."""

    def __init__(self, momo: Momo) -> None:
        self.momo = momo
        self.user, self.key = momo.add_user()
        self.token = self.sign_in().body["access_token"]

    def ask(self, method: str, path: str, body: Any = None, product: str = "collection", **headers: str) -> Asked:
        sent = {"Ocp-Apim-Subscription-Key": self.momo.subscription_keys[product], "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items() if value}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.momo.url + path, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status, raw = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, raw = error.code, error.read()
        return Asked(status, json.loads(raw) if raw else None)

    def sign_in(self, product: str = "collection", *, key: str = "") -> Asked:
        basic = base64.b64encode(f"{self.user}:{key or self.key}".encode()).decode()
        return self.ask("POST", f"/{product}/token/", product=product, Authorization=f"Basic {basic}")

    def pay(self, number: str = "46700000001", *, reference: str = "", body: Any = None, **headers: str) -> Asked:
        sent = {
            "amount": "12.50",
            "currency": "EUR",
            "externalId": "1",
            "payer": {"partyIdType": "MSISDN", "partyId": number},
            "payerMessage": "Facture",
            "payeeNote": "Facture",
            **(body or {}),
        }
        self.reference = reference or str(uuid.uuid4())
        known = {
            "Authorization": f"Bearer {self.token}",
            "X-Target-Environment": "sandbox",
            "X-Reference-Id": self.reference,
        }
        return self.ask("POST", PAY, sent, **{**known, **{n.replace("_", "-"): v for n, v in headers.items()}})

    def status(self, reference: str = "") -> Asked:
        headers = {"Authorization": f"Bearer {self.token}", "X-Target-Environment": "sandbox"}
        return self.ask("GET", f"{PAY}/{reference or self.reference}", **headers)


@pytest.fixture
def momo() -> Iterator[Momo]:
    with mtn_momo_server.judged() as running:
        yield running


@pytest.fixture
def caller(momo: Momo) -> Caller:
    return Caller(momo)


# --- provisioning and tokens --------------------------------------------------------------------------------


def test_an_api_user_is_made_once_and_has_a_key(momo: Momo, caller: Caller) -> None:
    name = str(uuid.uuid4())
    made = [
        caller.ask("POST", "/v1_0/apiuser", {"providerCallbackHost": "example.com"}, X_Reference_Id=name).status
        for _time in range(2)
    ]
    assert made == [201, 409]
    assert caller.ask("POST", f"/v1_0/apiuser/{name}/apikey").body.keys() == {"apiKey"}
    assert caller.ask("GET", f"/v1_0/apiuser/{name}").body == {
        "providerCallbackHost": "example.com",
        "targetEnvironment": "sandbox",
    }
    nobody = uuid.uuid4()
    assert caller.ask("POST", f"/v1_0/apiuser/{nobody}/apikey").status == 404
    assert caller.ask("POST", "/v1_0/apiuser", {}, X_Reference_Id=str(nobody)).status == 400
    assert momo.violations == []


def test_a_token_needs_the_right_key_of_the_right_product(momo: Momo, caller: Caller) -> None:
    assert caller.sign_in(key="wrong").status == 401
    assert caller.ask("POST", "/collection/token/", Ocp_Apim_Subscription_Key="none").status == 401
    other = caller.sign_in("disbursement").body["access_token"]
    assert caller.pay(Authorization=f"Bearer {other}").status == 401
    assert caller.pay().status == 202
    momo.advance(mtn_momo.TOKEN_SECONDS)
    assert caller.pay().status == 401


# --- requests to pay ----------------------------------------------------------------------------------------


def test_a_request_is_accepted_once_without_a_word(momo: Momo, caller: Caller) -> None:
    first = caller.pay()
    assert (first.status, first.body) == (202, None)
    again = caller.pay(reference=caller.reference)
    assert (again.status, again.body["code"]) == (409, "RESOURCE_ALREADY_EXIST")
    assert momo.violations == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"payerMessage": "L'atelier"}, 400),
        ({"payeeNote": "x" * 161}, 400),
        ({"payerMessage": "é"}, 400),
        ({"payerMessage": ""}, 500),
        ({"currency": "XAF"}, 500),
        ({"amount": "12.505"}, 400),
        ({"amount": "0"}, 400),
        ({"payer": {"partyIdType": "MSISDN", "partyId": "+46700000001"}}, 400),
    ],
)
def test_what_mtn_refuses(caller: Caller, body: dict[str, Any], status: int) -> None:
    assert caller.pay(body=body).status == status
    assert caller.status().status == 404


def test_ids_must_be_uuids_of_version_4(caller: Caller) -> None:
    assert caller.pay(reference=str(uuid.uuid1())).status == 400
    assert caller.status("nonsense").status == 400


@pytest.mark.parametrize(("number", "code"), mtn_momo.TURNED_DOWN.items())
def test_some_numbers_are_turned_down_at_once(caller: Caller, number: str, code: str) -> None:
    answer = caller.pay(number)
    assert (answer.status, answer.body["code"]) == (500, code)
    assert caller.status().status == 404


@pytest.mark.parametrize(("number", "fate"), mtn_momo.MAGIC.items())
def test_magic_numbers_decide_by_themselves(
    momo: Momo, caller: Caller, number: str, fate: tuple[str, str, float]
) -> None:
    status, reason, after = fate
    caller.pay(number)
    if after:
        assert caller.status().body["status"] == "PENDING"
    momo.advance(after)
    said = caller.status().body
    assert (said["status"], said.get("reason", {}).get("code", "")) == (status, reason)
    assert momo.violations == []


def test_any_other_number_waits_for_a_person_and_then_lapses(momo: Momo, caller: Caller) -> None:
    caller.pay()
    momo.advance(mtn_momo.LAPSES_AFTER - 1)
    assert caller.status().body["status"] == "PENDING"
    momo.advance(1)
    assert caller.status().body["reason"]["code"] == "EXPIRED"


@pytest.mark.parametrize("late", [20 * 60, 24 * 3600])
def test_a_success_may_come_very_late(momo: Momo, caller: Caller, late: float) -> None:
    momo.token_seconds = 2 * 24 * 3600
    caller.token = caller.sign_in().body["access_token"]
    caller.pay()
    momo.approve(caller.reference, after=late)
    momo.advance(late - 1)
    assert caller.status().body["status"] == "PENDING"
    momo.advance(1)
    assert caller.status().body["status"] == "SUCCESSFUL"


def test_it_can_approve_by_itself_after_a_while(momo: Momo, caller: Caller) -> None:
    momo.approves_after = 20
    caller.pay()
    momo.advance(20)
    assert caller.status().body["status"] == "SUCCESSFUL"


def test_ugly_shapes(momo: Momo, caller: Caller) -> None:
    momo.ugly = {"numbers", "reason_text"}
    momo.status_word = "ONGOING"
    caller.pay()
    said = caller.status().body
    assert (said["status"], said["amount"], said["payer"]["partyId"]) == ("ONGOING", 12.5, 46700000001)
    momo.refuse(caller.reference)
    assert caller.status().body["reason"] == "APPROVAL_REJECTED"


def test_more_than_ten_questions_a_second_are_refused(momo: Momo, caller: Caller) -> None:
    frozen = time.monotonic()
    momo.clock = lambda: frozen
    caller.pay()
    assert [caller.status().status for _time in range(11)] == [200] * 10 + [429]
    momo.advance(1)
    assert caller.status().status == 200


@pytest.mark.parametrize(("fault", "status"), [("lost", 200), ("never", 404)])
def test_an_answer_may_get_lost_before_or_after_the_effect(momo: Momo, caller: Caller, fault: str, status: int) -> None:
    momo.faults = [Fault(f"POST {PAY}", fault)]
    with pytest.raises(OSError):  # noqa: PT011 whatever the broken line is called
        caller.pay()
    assert caller.status().status == status


# --- callbacks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "sent"),
    [
        ("put", ["PUT"]),
        ("post", ["POST"]),
        ("twice", ["PUT", "PUT"]),
        ("never", []),
        ("lie", ["PUT"]),
        ("early", ["PUT"] * 2),
    ],
)
def test_callbacks_come_as_they_like(momo: Momo, caller: Caller, mode: str, sent: list[str]) -> None:
    momo.callbacks = mode
    with answering(lambda _seen: (200, {})) as us:
        url = us.url.replace("127.0.0.1", "localhost")
        caller.pay(X_Callback_Url=f"{url}/webhooks/mtn_momo/x")
        assert len(us.seen) == (mode == "early")
        momo.refuse(caller.reference)
        _wait(lambda: len(momo.called) == len(sent))
        assert [seen.method for seen in us.seen] == sent
        assert {seen.path for seen in us.seen} <= {"/webhooks/mtn_momo/x"}
        claimed = [seen.body["status"] for seen in us.seen]
        assert (claimed == ["SUCCESSFUL"]) == (mode == "lie")


def test_a_callback_to_another_host_is_refused_with_the_request(caller: Caller) -> None:
    answer = caller.pay(X_Callback_Url="http://elsewhere.example/x")
    assert (answer.status, answer.body["code"]) == (500, "INVALID_CALLBACK_URL_HOST")


def _wait(until: Any) -> None:
    for _time in range(200):
        if until():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen")


# --- refunds ------------------------------------------------------------------------------------------------


def give_back(caller: Caller, amount: str, *, of: str = "", token: str = "") -> Asked:
    body = {
        "amount": amount,
        "currency": "EUR",
        "externalId": "1",
        "payerMessage": "Avoir",
        "payeeNote": "Avoir",
        "referenceIdToRefund": of or caller.reference,
    }
    caller.refund = str(uuid.uuid4())  # type: ignore[attr-defined]
    headers = {
        "Authorization": f"Bearer {token or caller.sign_in('disbursement').body['access_token']}",
        "X_Target_Environment": "sandbox",
        "X_Reference_Id": caller.refund,  # type: ignore[attr-defined]
    }
    return caller.ask("POST", "/disbursement/v1_0/refund", body, product="disbursement", **headers)


def test_refunds_never_exceed_what_was_paid(momo: Momo, caller: Caller) -> None:
    caller.pay()
    assert give_back(caller, "1").status == 500
    momo.approve(caller.reference)
    assert give_back(caller, "10").status == 202
    assert give_back(caller, "10").body["code"] == "NOT_ALLOWED"
    assert give_back(caller, "1", of=str(uuid.uuid4())).body["code"] == "RESOURCE_NOT_FOUND"
    assert give_back(caller, "1", token=caller.token).status == 401
    momo.allowed = {"10.0.0.1"}
    assert give_back(caller, "1").status == 403
    assert momo.violations == []


# --- the telephone and the judge ----------------------------------------------------------------------------


def test_a_person_approves_on_the_page(momo: Momo, caller: Caller) -> None:
    caller.pay()
    with urllib.request.urlopen(f"{momo.url}/phone") as page:
        assert "12.50 EUR" in page.read().decode()
    form = urllib.parse.urlencode({"reference": caller.reference, "answer": "approve"}).encode()
    with urllib.request.urlopen(f"{momo.url}/phone", form) as page:
        assert "SUCCESSFUL" in page.read().decode()
    assert caller.status().body["status"] == "SUCCESSFUL"


def exchange(**changes: Any) -> list[str]:
    body = {"amount": "5", "currency": "EUR", "payer": {"partyIdType": "MSISDN", "partyId": "46700000001"}}
    headers = {
        "authorization": "Bearer x",
        "x-reference-id": str(uuid.uuid4()),
        "x-target-environment": "sandbox",
        "ocp-apim-subscription-key": "k",
    }
    sent = {"body": body, "headers": headers, "status": 202, "answer": b"", **changes}
    return mtn_momo_specs.faults(
        "collection",
        "POST",
        PAY,
        headers={name: value for name, value in sent["headers"].items() if value},
        body=json.dumps(sent["body"]).encode(),
        status=sent["status"],
        answer=sent["answer"],
    )


def test_the_judge_takes_what_the_document_says() -> None:
    assert exchange() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"body": {"amount": 5}},
        {"body": {"payer": {"partyIdType": "PHONE", "partyId": "1"}}},
        {"headers": {}},
        {"status": 201},
        {"status": 500, "answer": b'{"code": "SOMETHING_NEW"}'},
        {"status": 409, "answer": b'{"code": 5}'},
    ],
)
def test_the_judge_can_say_no(changes: dict[str, Any]) -> None:
    assert exchange(**changes)
