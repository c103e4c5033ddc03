"""The API as an integrator uses it."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.staticfiles import finders
from django.db import OperationalError
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from tests.surfaces.api.asking import WANTED, Asking, kind_of, verify_problem

if TYPE_CHECKING:
    from parcelle.domain.accounts.models import User
    from parcelle.domain.provisioning.models import Instance
    from tests.people import Cast

pytestmark = pytest.mark.django_db
# Where a constraint of the database refuses something, the transaction around a test could not go on.
COMMITTING = pytest.mark.django_db(transaction=True)


def content(response: HttpResponse) -> Any:
    return json.loads(response.content)


def finish(instance_id: str) -> Instance:
    """What a worker does."""
    from parcelle.domain.provisioning.models import Instance
    from tests import people

    instance = Instance.objects.get(pk=instance_id)
    people.work(instance, now=timezone.now())
    return instance


@pytest.fixture
def live(cast: Cast) -> Instance:
    from tests import people

    return people.live_instance(cast.organization, cast.plan)


# --- creating -------------------------------------------------------------------------------------------


def test_an_instance_is_created_and_followed(operator: Asking) -> None:
    answer = operator.create()
    assert answer.status_code == 202
    created = content(answer)
    assert created["status"] == "creating" and created["message"]
    assert answer.headers["Location"] == f"/api/instances/{created['instanceId']}"

    before = content(operator.get(answer.headers["Location"]))
    assert (before["status"], before["progress"], before["adminPassword"]) == ("creating", 0, None)
    assert before["steps"][0]["name"] == "claim_standby"

    instance = finish(created["instanceId"])
    after = content(operator.get(answer.headers["Location"]))
    assert (after["status"], after["progress"], after["error"]) == ("running", 100, None)
    assert after["adminPassword"] == instance.secrets["initial_password"]
    assert (after["clientName"], after["userName"]) == ("acme-corp", "acme-corp")
    assert (after["adminEmail"], after["companyName"]) == ("admin@acme.com", "Acme Corporation")
    assert after["readyAt"] >= after["createdAt"]
    assert after["operation"]["kind"] == "create"


def test_the_owner_is_the_user_with_the_e_mail(operator: Asking, cast: Cast) -> None:
    from parcelle.domain.tenancy.queries import owner_of

    wanted = {"adminEmail": "Zoe@Durand.FR", "firstName": "Zoé", "lastName": "Durand", "language": "en"}
    finish(content(operator.create(**wanted))["instanceId"])
    from parcelle.domain.provisioning.models import Instance

    instance = Instance.objects.get(slug="acme-corp")
    assert instance.organization_id
    owner = owner_of(instance.organization_id)
    assert (owner.email, owner.get_full_name(), owner.language) == ("zoe@durand.fr", "Zoé Durand", "en")
    assert instance.operations.get().actor.startswith("token:")


@COMMITTING
def test_an_integrator_creates_for_many_but_once_for_each(operator: Asking) -> None:
    assert operator.create().status_code == 202
    other = operator.create(clientName="beta-corp", adminEmail="admin@beta.com")
    assert other.status_code == 202
    same_name = operator.create(adminEmail="admin@gamma.com")
    assert (same_name.status_code, kind_of(same_name)) == (409, "name-taken")
    same_person = operator.create(clientName="delta-corp")
    assert (same_person.status_code, kind_of(same_person)) == (409, "already-subscribed")


def test_the_sentence_of_a_known_customer_is_the_same_as_on_the_form(operator: Asking) -> None:
    operator.create()
    answer = operator.post("/api/instances", WANTED | {"clientName": "other"}, accept_language="fr")
    assert content(answer)["detail"] == "Vous avez déjà un abonnement actif (Essai)"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("clientName", "ab", "string_pattern_mismatch"),
        ("clientName", "a" * 51, "string_pattern_mismatch"),
        ("clientName", "Acme", "string_pattern_mismatch"),
        ("clientName", "acmé", "string_pattern_mismatch"),
        ("clientName", "acme corp", "string_pattern_mismatch"),
        ("clientName", "acme-corp\n", "string_pattern_mismatch"),
        ("clientName", "'; DROP TABLE x; --", "string_pattern_mismatch"),
        ("clientName", 12345, "string_type"),
        ("clientName", None, "string_type"),
        ("adminEmail", "nobody", "email"),
        ("adminEmail", "a@b", "email"),
        ("adminEmail", "a b@c.example", "email"),
        ("adminEmail", "x\u0000@example.com", "email"),
        ("adminEmail", "", "email"),
        ("adminEmail", ["a@example.com"], "string_type"),
        ("companyName", "", "string_pattern_mismatch"),
        ("companyName", " \u00a0 ", "string_pattern_mismatch"),
        ("companyName", "a\u0000b", "string_pattern_mismatch"),
        ("companyName", "a\r\nBcc: everybody@example.com", "string_pattern_mismatch"),
        ("companyName", "x" * 201, "string_too_long"),
        ("companyName", "\ud800", "string_unicode"),
        ("language", "de", "literal_error"),
        ("phone", "call me", "string_pattern_mismatch"),
        ("planSlug", "unheard-of", "unknown"),
        ("productSlug", "unheard-of", "unknown"),
        ("planslug", "trial", "extra_forbidden"),
    ],
)
def test_a_bad_field_is_pointed_at(operator: Asking, field: str, value: object, code: str) -> None:
    answer = operator.post("/api/instances", WANTED | {field: value})
    assert answer.status_code == 400
    problem = content(answer)
    assert [(error["pointer"], error["code"]) for error in problem["errors"]] == [(f"#/{field}", code)]
    assert problem["errors"][0]["detail"] == problem["detail"]
    from parcelle.domain.provisioning.models import Instance

    assert not Instance.objects.exists()


def test_everything_missing_is_listed_at_once(operator: Asking) -> None:
    problem = content(operator.post("/api/instances", {}, accept_language="en"))
    assert [error["pointer"] for error in problem["errors"]] == ["#/clientName", "#/adminEmail", "#/companyName"]
    assert problem["detail"] == "3 fields are not as they must be."


def test_a_filter_given_twice_is_refused(operator: Asking) -> None:
    answer = operator.get("/api/instances?clientName=acme-corp&clientName=beta-corp")
    assert (answer.status_code, content(answer)["errors"][0]["parameter"]) == (400, "clientName")


@pytest.mark.parametrize("name", ["acm", "a" * 50, "---", "123", "a-b-c"])
def test_every_name_that_the_contract_allows_is_taken(operator: Asking, name: str) -> None:
    assert operator.create(clientName=name).status_code == 202


@pytest.mark.parametrize("company", ["Bâtiments Durand & Fils", "شركة", "🏗️ Chantier", "<b>x</b>", "x'; --", "x" * 200])
def test_any_readable_company_name_is_kept_as_it_is(operator: Asking, company: str) -> None:
    created = content(operator.create(companyName=f" {company} "))
    assert content(operator.get(f"/api/instances/{created['instanceId']}"))["companyName"] == company


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1,", b'{"clientName": NaN}', b"\xff\xfe", b"[" * 100_000, b'{"a": 1}}', b"1" * 5000]
)
def test_what_is_not_json_is_400(operator: Asking, body: bytes) -> None:
    answer = operator.ask("POST", "/api/instances", body=body)
    assert answer.status_code == 400
    assert kind_of(answer) == ("malformed-json" if body else "invalid-request")


@pytest.mark.parametrize("body", [None, [], "text", 3, True])
def test_json_that_is_no_object_is_400(operator: Asking, body: object) -> None:
    assert operator.ask("POST", "/api/instances", body=json.dumps(body).encode()).status_code == 400


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json"]
)
def test_another_media_type_is_415(operator: Asking, content_type: str) -> None:
    body = json.dumps(WANTED).encode()
    answer = operator.ask("POST", "/api/instances", body=body, content_type=content_type)
    assert (answer.status_code, kind_of(answer)) == (415, "unsupported-media-type")


def test_a_byte_order_mark_and_a_charset_are_fine(operator: Asking) -> None:
    body = b"\xef\xbb\xbf" + json.dumps(WANTED).encode()
    answer = operator.ask("POST", "/api/instances", body=body, content_type="application/json; charset=utf-8")
    assert answer.status_code == 202


def test_a_huge_body_is_413(operator: Asking, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    answer = operator.create(companyName="x" * 2000)
    assert (answer.status_code, kind_of(answer)) == (413, "body-too-large")


def test_nothing_is_kept_when_the_registration_fails(operator: Asking, cast: Cast) -> None:
    from parcelle.domain.accounts.models import User
    from parcelle.domain.provisioning.models import Target

    Target.objects.update(enabled=False)
    answer = operator.create()
    assert (answer.status_code, kind_of(answer)) == (503, "registration-failed")
    assert not User.objects.filter(email="admin@acme.com").exists()


def test_the_plan_can_be_chosen(operator: Asking, cast: Cast) -> None:
    from parcelle.domain.billing.models import Subscription
    from tests import people

    other = people.offer("other")
    chosen = operator.create(productSlug="other", planSlug="trial")
    assert Subscription.objects.get().plan == other
    assert content(operator.get(chosen.headers["Location"]))["productSlug"] == "other"


# --- asking twice ---------------------------------------------------------------------------------------


def test_the_same_key_makes_one_instance(operator: Asking) -> None:
    from parcelle.domain.provisioning.models import Instance

    first = operator.create("order-4711")
    again = operator.create("order-4711")
    assert (first.status_code, again.status_code) == (202, 202)
    assert content(first)["instanceId"] == content(again)["instanceId"]
    assert "Idempotent-Replayed" not in first.headers and again.headers["Idempotent-Replayed"] == "true"
    finish(content(first)["instanceId"])
    assert content(operator.create("order-4711")) == content(first)
    assert again.headers["Location"] == first.headers["Location"]
    assert Instance.objects.count() == 1


def test_the_same_key_for_something_else_is_refused(operator: Asking) -> None:
    operator.create("order-4711")
    answer = operator.create("order-4711", clientName="other-corp")
    assert (answer.status_code, kind_of(answer)) == (422, "idempotency-key-reused")


def test_a_refused_request_leaves_its_key_free(operator: Asking) -> None:
    operator.create()
    assert operator.create("order-4711", adminEmail="beta@example.com").status_code == 409
    answer = operator.create("order-4711", adminEmail="beta@example.com", clientName="beta-corp")
    assert (answer.status_code, "Idempotent-Replayed" in answer.headers) == (202, False)


def test_every_change_of_an_instance_is_done_once_per_key(operator: Asking, live: Instance) -> None:
    path = f"/api/instances/{live.pk}"
    first = operator.post(f"{path}/suspend", idempotency_key="k")
    again = operator.post(f"{path}/suspend", idempotency_key="k")
    assert (first.status_code, content(again)) == (202, content(first))
    assert again.headers["Idempotent-Replayed"] == "true"
    other = operator.post(f"{path}/resume", idempotency_key="k")
    assert (other.status_code, kind_of(other)) == (422, "idempotency-key-reused")
    assert live.operations.filter(kind="suspend").count() == 1


def test_a_broken_answer_leaves_the_key_to_the_same_request(operator: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    from parcelle.journeys import signup

    with monkeypatch.context() as broken:
        broken.setattr(signup, "start_trial", lambda *_a, **_k: 1 / 0)
        assert operator.create("order-4711").status_code == 500
    assert operator.create("order-4711", clientName="other-corp").status_code == 422
    assert operator.create("order-4711").status_code == 202


def test_keys_belong_to_their_token(operator: Asking, cast: Cast, as_user: Callable[[User], Asking]) -> None:
    operator.create("order-4711")
    answer = as_user(cast.operator).create("order-4711", clientName="other-corp", adminEmail="other@example.com")
    assert answer.status_code == 202


@pytest.mark.parametrize("key", ["with blank", "é", "x" * 256])
def test_a_bad_key_is_pointed_at(operator: Asking, key: str) -> None:
    problem = content(operator.create(key))
    assert (problem["status"], problem["errors"][0]["parameter"]) == (400, "Idempotency-Key")


@COMMITTING
def test_many_at_once_with_one_key_make_one_instance(operator: Asking) -> None:
    from django.db import connection

    from parcelle.domain.provisioning.models import Instance

    def ask(_number: int) -> tuple[int, str]:
        try:
            answer = Asking(operator.token).create("order-4711")
            return answer.status_code, content(answer)["instanceId"]
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(ask, range(16)))
    assert answers == {(202, str(Instance.objects.get().pk))}


@COMMITTING
def test_many_at_once_with_one_name_leave_one_winner(operator: Asking) -> None:
    from django.db import connection

    from parcelle.domain.accounts.models import User

    def ask(number: int) -> int:
        try:
            return Asking(operator.token).create(adminEmail=f"a{number}@example.org").status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(ask, range(16)))
    assert answers == [202] + [409] * 15
    assert User.objects.filter(email__endswith="@example.org").count() == 1


# --- who may --------------------------------------------------------------------------------------------


def everything(instance_id: object) -> list[tuple[str, str]]:
    return [
        ("GET", "/api/instances"),
        ("POST", "/api/instances"),
        ("GET", f"/api/instances/{instance_id}"),
        ("DELETE", f"/api/instances/{instance_id}"),
        ("POST", f"/api/instances/{instance_id}/suspend"),
        ("POST", f"/api/instances/{instance_id}/resume"),
        ("POST", f"/api/instances/{instance_id}/retry"),
    ]


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("sent", ["", "parcelle_wrong", "Basic eA==", "é", "parcelle_\u0000"])
def test_without_a_valid_token_nothing_is_said(live: Instance, number: int, sent: str) -> None:
    method, path = everything(live.pk)[number]
    answer = Asking(sent).ask(method, path, body=WANTED)
    assert answer.status_code == 401
    assert kind_of(answer) == ("invalid-token" if sent else "authentication-required")
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="parcelle"')
    assert str(live.slug) not in answer.content.decode()


def test_tokens_end(operator: Asking, cast: Cast) -> None:
    from parcelle.domain.accounts.models import ApiToken

    assert operator.get("/api/instances").status_code == 200
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert operator.get("/api/instances").status_code == 401
    ApiToken.objects.update(expires_at=None, revoked_at=timezone.now())
    assert operator.get("/api/instances").status_code == 401
    ApiToken.objects.update(revoked_at=None)
    assert operator.get("/api/instances").status_code == 200
    cast.operator.is_active = False
    cast.operator.save()
    assert operator.get("/api/instances").status_code == 401


def test_a_session_is_no_token(cast: Cast, live: Instance) -> None:
    client = Client()
    client.force_login(cast.operator, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(f"/api/instances/{live.pk}").status_code == 401


def test_the_stranger_finds_nothing(cast: Cast, live: Instance, as_user: Callable[[User], Asking]) -> None:
    stranger = as_user(cast.stranger)
    assert content(stranger.get("/api/instances"))["items"] == []
    for method, path in everything(live.pk)[2:]:
        for answer in (stranger.ask(method, path), stranger.ask(method, path.replace(str(live.pk), str(uuid.uuid4())))):
            assert answer.status_code == 404
            assert str(live.slug) not in answer.content.decode()
            assert live.secrets["initial_password"] not in answer.content.decode()
    live.refresh_from_db()
    assert live.state == "live"


def test_what_each_role_sees(cast: Cast, live: Instance, as_user: Callable[[User], Asking]) -> None:
    password = live.secrets["initial_password"]
    path = f"/api/instances/{live.pk}"
    seen = {
        user.first_name: content(as_user(user).get(path))["adminPassword"]
        for user in (cast.operator, cast.owner, cast.member, cast.viewer)
    }
    assert seen == {"Olga": password, "Awa": password, "Member": None, "Viewer": None}


def test_an_operator_who_may_only_read_reads_no_password(
    cast: Cast, live: Instance, as_user: Callable[[User], Asking]
) -> None:
    from django.contrib.auth.models import Permission

    from parcelle.domain.accounts.models import User

    clerk = User.objects.create_user("clerk@vendor.example", is_staff=True)
    asking, path = as_user(clerk), f"/api/instances/{live.pk}"
    shown = content(asking.get(path))
    assert (shown["status"], shown["adminPassword"]) == ("running", None)
    for answer in (asking.delete(path), asking.post(f"{path}/suspend")):
        assert (answer.status_code, kind_of(answer)) == (403, "forbidden")
    clerk.user_permissions.add(Permission.objects.get(codename="change_instance"))
    assert content(asking.get(path))["adminPassword"] == live.secrets["initial_password"]
    assert asking.post(f"{path}/suspend").status_code == 202


def test_a_customer_creates_for_themselves_only(cast: Cast, as_user: Callable[[User], Asking]) -> None:
    owner = as_user(cast.owner)
    refused = owner.create()
    assert (refused.status_code, kind_of(refused)) == (403, "forbidden")
    cast.owner.phone = "+221 33 123 45 67"
    cast.owner.save()
    assert owner.create(adminEmail=cast.owner.email.upper()).status_code == 202
    cast.owner.refresh_from_db()
    assert (cast.owner.get_full_name(), cast.owner.phone) == ("Awa Owner", "+221 33 123 45 67")


def test_standbys_belong_to_nobody(operator: Asking, cast: Cast) -> None:
    from parcelle.domain.provisioning.models import Instance, Target

    standby = Instance.objects.create(
        product=cast.plan.product, target=Target.objects.get(), state="standby", created_at=timezone.now()
    )
    assert content(operator.get("/api/instances"))["count"] == 0
    assert operator.get(f"/api/instances/{standby.pk}").status_code == 404
    assert operator.delete(f"/api/instances/{standby.pk}").status_code == 404


# --- changing -------------------------------------------------------------------------------------------


@COMMITTING
def test_suspend_resume_archive(operator: Asking, live: Instance) -> None:
    path = f"/api/instances/{live.pk}"
    for change, status in (("suspend", "suspended"), ("resume", "running")):
        answer = operator.post(f"{path}/{change}")
        assert answer.status_code == 202
        busy = operator.post(f"{path}/{change}")
        assert (busy.status_code, kind_of(busy)) == (409, "instance-busy")
        finish(str(live.pk))
        shown = content(operator.get(path))
        assert (shown["status"], shown["progress"]) == (status, 100)
        assert shown["reason"] == ("operator" if status == "suspended" else None)
        assert bool(shown["adminPassword"]) == (status == "running")
    assert operator.delete(path).status_code == 202
    finish(str(live.pk))
    assert content(operator.get(path))["status"] == "archived"
    for again in (operator.delete(path), operator.post(f"{path}/resume")):
        assert (again.status_code, kind_of(again)) == (409, "not-possible-now")


def test_what_owners_may_change(cast: Cast, live: Instance, as_user: Callable[[User], Asking]) -> None:
    owner, path = as_user(cast.owner), f"/api/instances/{live.pk}"
    assert owner.delete(path).status_code == 403
    assert as_user(cast.viewer).post(f"{path}/suspend").status_code == 403
    assert as_user(cast.member).post(f"{path}/suspend").status_code == 403
    assert owner.post(f"{path}/suspend").status_code == 202
    finish(str(live.pk))
    assert content(owner.get(path))["reason"] == "customer"
    assert owner.post(f"{path}/resume").status_code == 202
    finish(str(live.pk))


@pytest.mark.parametrize("reason", ["trial_ended", "operator"])
def test_owners_cannot_undo_what_others_suspended(
    cast: Cast, live: Instance, as_user: Callable[[User], Asking], reason: str
) -> None:
    live.state, live.reason = "suspended", reason
    live.save()
    assert as_user(cast.owner).post(f"/api/instances/{live.pk}/resume").status_code == 403
    live.refresh_from_db()
    assert not live.operations.exclude(state="succeeded").exists()


def test_a_failed_creation_says_why_and_is_tried_again(operator: Asking, cast: Cast) -> None:
    created = content(operator.create())
    from parcelle.domain.provisioning.models import Instance, Operation

    Instance.objects.update(state="failed")
    Operation.objects.update(
        state="failed", error_code="timeout", error_detail="the disk is slow", finished_at=timezone.now()
    )
    path = f"/api/instances/{created['instanceId']}"
    shown = content(operator.get(path, accept_language="fr"))
    assert shown["status"] == "failed"
    assert shown["error"] == {
        "code": "timeout",
        "message": "Timeout : la création de la stack a pris trop de temps",
        "detail": "the disk is slow",
    }
    assert operator.post(f"{path}/retry").status_code == 202
    finish(created["instanceId"])
    assert content(operator.get(path))["status"] == "running"
    assert operator.post(f"{path}/retry").status_code == 409


# --- lists ----------------------------------------------------------------------------------------------


def test_lists_come_in_parts(operator: Asking, cast: Cast) -> None:
    from tests import people

    for number in range(5):
        organization = people._organization(f"Company {number}", f"company-{number}", cast.stranger)
        people.requested_instance(organization, cast.plan, now=people.NOW + timedelta(hours=number))
    first = content(operator.get("/api/instances?limit=2"))
    assert [item["clientName"] for item in first["items"]] == ["company-4", "company-3"]
    assert (first["count"], first["limit"], first["offset"]) == (5, 2, 0)
    names, following = [], first
    while following["next"]:
        following = content(operator.get("/" + following["next"].split("/", 3)[3]))
        names += [item["clientName"] for item in following["items"]]
    assert names == ["company-2", "company-1", "company-0"]
    assert content(operator.get("/api/instances?clientName=company-3"))["count"] == 1
    assert content(operator.get("/api/instances?status=creating"))["count"] == 5
    assert content(operator.get("/api/instances?status=running"))["count"] == 0


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("offset=-1", "offset"),
        ("offset=99999999999999999999999", "offset"),
        ("status=live", "status"),
        ("stauts=running", "stauts"),
        (f"clientName={'x' * 51}", "clientName"),
    ],
)
def test_bad_parameters_are_named(operator: Asking, query: str, parameter: str) -> None:
    answer = operator.get(f"/api/instances?{query}")
    assert answer.status_code == 400
    assert [error["parameter"] for error in content(answer)["errors"]] == [parameter]


def test_a_list_costs_the_same_whatever_its_length(
    operator: Asking, cast: Cast, django_assert_max_num_queries: Any
) -> None:
    from tests import people

    for number in range(8):
        organization = people._organization(f"Company {number}", f"company-{number}", cast.stranger)
        people.requested_instance(organization, cast.plan)
    with django_assert_max_num_queries(5):
        operator.ask("GET", "/api/instances", documented=False)


# --- limits, languages, accidents -----------------------------------------------------------------------


def test_what_is_left_is_said(operator: Asking, settings: Settings) -> None:
    settings.RATE_LIMITS = True
    settings.API_REQUESTS_PER_MINUTE = 3
    answers = [operator.get("/api/instances") for _time in range(4)]
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert {answer.headers["RateLimit-Limit"] for answer in answers} == {"3"}
    assert 0 < int(answers[0].headers["RateLimit-Reset"]) <= 60


@pytest.mark.parametrize(("said", "kept"), [("a-1.b_2", True), ("x" * 65, False), ("a b", False), ("", False)])
def test_every_answer_has_the_number_of_its_request(operator: Asking, nobody: Asking, said: str, kept: bool) -> None:
    for asking, path in ((operator, "/api/instances"), (nobody, "/api/instances"), (operator, "/api/nowhere")):
        answer = asking.ask("GET", path, headers={"x-request-id": said}, documented=False)
        assert (answer.headers["X-Request-ID"] == said) is kept
        assert answer.headers["X-Request-ID"]


def test_too_many_requests(operator: Asking, settings: Settings) -> None:
    settings.RATE_LIMITS = True
    settings.API_REQUESTS_PER_MINUTE = 3
    answers = [operator.get("/api/instances") for _number in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert kind_of(answers[-1]) == "too-many-requests"


def test_creations_have_a_limit_of_their_own(
    operator: Asking, cast: Cast, as_user: Callable[[User], Asking], settings: Settings
) -> None:
    settings.RATE_LIMITS = True
    settings.API_CREATIONS_PER_MINUTE = 2
    names = ["acme-1", "acme-2", "acme-3"]
    answers = [operator.create(clientName=name, adminEmail=f"{name}@example.com") for name in names]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert operator.get("/api/instances").status_code == 200
    assert as_user(cast.operator).create(clientName="acme-4", adminEmail="a4@example.com").status_code == 202


def test_french_is_the_default_and_english_the_other(operator: Asking) -> None:
    french = content(operator.create(clientName="A"))
    assert french["title"] == "La demande n’est pas valable"
    for language, title in (("en", "The request is not valid"), ("de", french["title"]), ("fr-CM", french["title"])):
        answer = operator.post("/api/instances", WANTED | {"clientName": "A"}, accept_language=language)
        assert content(answer)["title"] == title


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/unheard-of", 404),
        ("GET", "/api/instances/", 404),
        ("GET", "/api/instances/not-an-id", 404),
        ("GET", "/api/instances/00000000-0000-0000-0000-000000000000/unheard-of", 404),
        ("PUT", "/api/instances", 405),
        ("PATCH", "/api/instances/00000000-0000-0000-0000-000000000000", 405),
        ("GET", "/api/instances/00000000-0000-0000-0000-000000000000/suspend", 405),
    ],
)
def test_other_addresses_and_methods_answer_with_problems_too(
    operator: Asking, method: str, path: str, status: int
) -> None:
    answer = operator.ask(method, path, documented=False)
    assert answer.status_code == status
    verify_problem(path, answer)
    if status == 405:
        assert answer.headers["Allow"]


def test_an_accident_is_a_problem_with_a_reference(
    operator: Asking, live: Instance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from parcelle.domain.provisioning import queries

    def break_down(*_arguments: object, **_more: object) -> None:
        raise RuntimeError(f"password={live.secrets['initial_password']}")

    monkeypatch.setattr(queries, "credentials", break_down)
    answer = operator.get(f"/api/instances/{live.pk}")
    problem = content(answer)
    assert (answer.status_code, kind_of(answer)) == (500, "internal-error")
    assert problem["reference"] and "RuntimeError" not in answer.content.decode()
    assert any(problem["reference"] in str(record.msg) for record in caplog.records)


def test_without_its_database_the_api_says_so(
    operator: Asking, live: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from parcelle.domain.provisioning import queries

    def is_away(*_arguments: object, **_more: object) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(queries, "progress", is_away)
    answer = operator.get(f"/api/instances/{live.pk}")
    assert (answer.status_code, kind_of(answer), answer.headers["Retry-After"]) == (503, "unavailable", "5")


# --- secrets --------------------------------------------------------------------------------------------


def test_a_token_is_never_stored_in_clear(operator: Asking) -> None:
    from django.apps import apps

    operator.create()
    body = operator.token.removeprefix("parcelle_")
    for model in apps.get_models():
        if model._meta.managed:
            for row in model._base_manager.values():
                assert body not in str(row), model


def test_neither_password_nor_token_is_logged(
    operator: Asking, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(0)
    created = content(operator.create("a-key"))
    instance = finish(created["instanceId"])
    path = f"/api/instances/{instance.pk}"
    assert content(operator.get(path))["adminPassword"]
    operator.create()
    operator.delete(path)
    Asking("parcelle_" + "w" * 43).get(path)
    written = "".join(capfd.readouterr()) + caplog.text + "".join(str(r.__dict__) for r in caplog.records)
    assert written
    for secret in (*instance.secrets.values(), operator.token, "w" * 43):
        assert secret not in written


# --- the document ---------------------------------------------------------------------------------------


def test_the_document_is_complete() -> None:
    from tests.surfaces.api.asking import _validator, document

    for path, item in document()["paths"].items():
        for method, operation in item.items():
            for status, answer in operation["responses"].items():
                for media_type, promised in answer["content"].items():
                    where = (method, path, status)
                    assert (int(status) >= 400) == (media_type == "application/problem+json"), where
                    if path.startswith("/api/instances") or int(status) >= 400:
                        assert promised["examples"], where
                    for example in promised.get("examples", {}).values():
                        _validator(json.dumps(promised["schema"])).validate(example["value"])
            if path.startswith("/api/instances"):
                assert operation["security"] and {"401", "429", "500"} <= set(operation["responses"])
    for example in document()["components"]["schemas"]["CreateInstance"]["examples"]:
        _validator(json.dumps({"$ref": "#/components/schemas/CreateInstance"})).validate(example)


def test_the_documentation_needs_nothing_from_outside(client: Client) -> None:
    page = client.get("/api/docs").content.decode()
    assert "swagger-ui-bundle" in page
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(links) > 5 and all(link.startswith("/") and not link.startswith("//") for link in links)
    assert all(finders.find(link.removeprefix("/static/")) for link in links if link.startswith("/static/api/"))
    assert finders.find("ninja/swagger-ui-bundle.js")


def test_every_kind_of_problem_is_explained(client: Client) -> None:
    kinds = client.get("/api/problems").json()
    assert len(kinds) > 10
    for kind in kinds:
        assert client.get("/" + kind["type"].split("/", 3)[3]).json() == kind
    assert client.get("/api/problems/unheard-of").status_code == 404
