from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog
from django.core import mail
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parcelle.core import logs
from parcelle.core.models import Fact, Reaction
from parcelle.core.states import IllegalTransition
from parcelle.domain.accounts.models import User
from parcelle.domain.billing.models import Subscription
from parcelle.domain.catalog.models import Plan, Product
from parcelle.domain.provisioning import queries, runner, states
from parcelle.domain.provisioning.models import Instance, Operation, Target
from parcelle.domain.provisioning.providers.base import Progress, Spec
from parcelle.domain.provisioning.providers.null import NullProvider
from parcelle.domain.provisioning.workflows import WORKFLOWS
from parcelle.domain.tenancy.actions import change_state
from parcelle.domain.tenancy.models import Membership, Organization
from parcelle.journeys.signup import (
    AlreadySubscribed,
    NameTaken,
    OrganizationClosed,
    RegistrationFailed,
    Started,
    TrialRequest,
    TrialUsed,
    retry,
    start_trial,
)
from tests import jobs, mails, people
from tests.people import NOW, Cast


@pytest.fixture
def plan(db: None, test_blueprints: object) -> Plan:
    return people.offer()


def request(plan: Plan, **changes: Any) -> TrialRequest:
    values: dict[str, Any] = {
        "submission": uuid.uuid4(),
        "email": "moussa@fleuve.example",
        "first_name": "Moussa",
        "last_name": "Diallo",
        "company": "Chantiers du Fleuve",
        "phone": "06 12 34 56 78",
        "plan_id": plan.pk,
        "language": "fr",
    }
    return TrialRequest(**values | changes)


def start(plan: Plan, **changes: Any) -> Started:
    return start_trial(request(plan, **changes), now=NOW)


def counts() -> dict[str, int]:
    tables = (User, Organization, Membership, Subscription, Instance, Operation, Fact, Reaction)
    return {table.__name__: table.objects.count() for table in tables}


@contextmanager
def nothing_stored() -> Iterator[None]:
    before = counts()
    yield
    assert counts() == before


# --- a new customer ------------------------------------------------------------------------------------------


def test_a_new_customer_gets_a_user_an_organization_a_trial_and_an_instance(plan: Plan) -> None:
    started = start(plan)
    instance = Instance.objects.select_related("organization").get(pk=started.instance_id)
    subscription = Subscription.objects.get()
    assert instance.organization is not None and instance.subscription_id == subscription.pk
    assert (instance.organization.name, instance.slug) == ("Chantiers du Fleuve", "chantiers-du-fleuve")
    assert (subscription.state, subscription.trial_ends_at) == ("trialing", NOW + timedelta(days=30))
    assert (instance.state, started.new_user, started.repeated) == (states.REQUESTED, True, False)


def test_the_person_who_signs_up_owns_the_organization(plan: Plan) -> None:
    started = start(plan, phone="+221 77 000 00 00", language="en")
    owner = Membership.objects.get(organization_id=started.organization_id, role=Membership.OWNER).user
    assert (owner.pk, owner.email, owner.phone) == (started.user_id, "moussa@fleuve.example", "+221 77 000 00 00")
    assert owner.language == "en" and not owner.has_usable_password()


def test_what_happened_is_told_in_order(plan: Plan) -> None:
    started = start(plan)
    jobs.work_off(NOW)
    facts = Fact.objects.filter(organization_id=started.organization_id).order_by("id")
    assert [(fact.name, fact.actor) for fact in facts] == [
        ("OrganizationCreated", "visitor"),
        ("TrialStarted", "visitor"),
        ("InstanceRequested", "visitor"),
        ("InstanceReady", "system"),
    ]


def test_the_page_is_answered_before_anything_is_created(plan: Plan) -> None:
    progress = queries.progress(start(plan).instance_id)
    assert progress is not None and (progress.state, progress.percent) == ("queued", 0)


def test_two_companies_of_one_name_get_two_names(plan: Plan) -> None:
    first, second = start(plan), start(plan, email="autre@fleuve.example")
    assert [Instance.objects.get(pk=s.instance_id).slug for s in (first, second)] == [
        "chantiers-du-fleuve",
        "chantiers-du-fleuve-2",
    ]


def test_sending_the_form_again_changes_nothing_and_leads_to_the_same_instance(plan: Plan) -> None:
    twice = request(plan)
    first = start_trial(twice, now=NOW)
    with nothing_stored():
        second = start_trial(twice, now=NOW + timedelta(minutes=1))
    assert second.instance_id == first.instance_id and second.repeated
    assert second.new_user and second.asked_at == NOW


# --- known customers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["OWNER@Example.com", "  owner@example.com\t", "owner@EXAMPLE.COM"])
def test_a_known_customer_is_recognised_however_the_address_is_typed(cast: Cast, typed: str) -> None:
    started = start(cast.plan, email=typed)
    assert (started.user_id, started.organization_id) == (cast.owner.pk, cast.organization.pk)
    assert not started.new_user


def test_an_address_that_was_stored_with_capitals_is_recognised_too(cast: Cast) -> None:
    User.objects.filter(pk=cast.owner.pk).update(email="Owner@Example.com")
    assert start(cast.plan, email="owner@example.com").user_id == cast.owner.pk


def test_a_stranger_who_types_somebody_s_address_changes_nothing_about_them(cast: Cast) -> None:
    before = User.objects.filter(pk=cast.owner.pk).values().get()
    start(cast.plan, email=cast.owner.email, first_name="Mallory", phone="666", company="Evil", language="en")
    assert User.objects.filter(pk=cast.owner.pk).values().get() == before
    cast.organization.refresh_from_db()
    assert (cast.organization.name, cast.organization.language) == ("Maçonnerie Diop", "fr")


def test_somebody_else_who_is_signed_in_changes_nothing_about_them_either(cast: Cast) -> None:
    start(cast.plan, email=cast.owner.email, first_name="Mallory", user_id=cast.stranger.pk)
    cast.owner.refresh_from_db()
    cast.stranger.refresh_from_db()
    assert (cast.owner.first_name, cast.stranger.first_name) == ("Awa", "Sam")


def test_the_signed_in_customer_updates_what_is_known_about_them(cast: Cast) -> None:
    start(cast.plan, email=cast.owner.email, phone="77 1", company="Diop & Fils", user_id=cast.owner.pk)
    cast.owner.refresh_from_db()
    cast.organization.refresh_from_db()
    assert (cast.owner.phone, cast.organization.name) == ("77 1", "Diop & Fils")


def test_a_member_who_owns_nothing_founds_an_organization(cast: Cast) -> None:
    started = start(cast.plan, email=cast.member.email)
    assert started.user_id == cast.member.pk and started.organization_id != cast.organization.pk


@pytest.mark.parametrize("state", ["trialing", "active", "past_due"])
def test_a_customer_with_a_live_subscription_is_told_its_name(cast: Cast, state: str) -> None:
    people.live_instance(cast.organization, cast.plan)
    Subscription.objects.update(state=state)
    with nothing_stored(), pytest.raises(AlreadySubscribed) as caught:
        start(cast.plan, email=cast.owner.email)
    assert caught.value.plan == "Essai"


@pytest.mark.parametrize("actor", ["visitor", "cli"])
def test_nothing_begins_for_a_closed_organization(cast: Cast, actor: str) -> None:
    change_state(cast.organization, to="suspended", actor="test", now=NOW)
    with nothing_stored(), pytest.raises(OrganizationClosed):
        start(cast.plan, email=cast.owner.email, actor=actor)


@pytest.mark.parametrize("state", ["suspended", "ended"])
def test_a_trial_is_free_once(cast: Cast, state: str) -> None:
    people.live_instance(cast.organization, cast.plan)
    Subscription.objects.update(state=state)
    with nothing_stored(), pytest.raises(TrialUsed) as caught:
        start(cast.plan, email=cast.owner.email)
    assert caught.value.plan == "Essai"


def test_another_product_can_be_tried_after_the_first(cast: Cast) -> None:
    people.live_instance(cast.organization, cast.plan)
    Subscription.objects.update(state="ended")
    assert start(people.offer("other"), email=cast.owner.email).organization_id == cast.organization.pk


# --- refusals ------------------------------------------------------------------------------------------------


def test_a_given_name_that_is_taken_is_refused(plan: Plan) -> None:
    start(plan, slug="acme-corp")
    with nothing_stored(), pytest.raises(NameTaken, match="acme-corp"):
        start(plan, slug="acme-corp", email="other@example.com")


@pytest.mark.parametrize(
    ("refuse", "code"),
    [
        (lambda: Plan.objects.update(enabled=False), "not_on_sale"),
        (lambda: Product.objects.update(enabled=False), "not_on_sale"),
        (lambda: Product.objects.update(blueprint="gone"), "not_provided"),
        (lambda: Target.objects.update(enabled=False), "not_provided"),
        (lambda: Target.objects.update(provider="gone"), "not_provided"),
    ],
    ids=["plan off sale", "product off sale", "no blueprint", "no target", "no provider"],
)
def test_what_cannot_be_provided_is_refused_with_a_reference(plan: Plan, refuse: Any, code: str) -> None:
    refuse()
    with nothing_stored(), pytest.raises(RegistrationFailed, match=r"\([0-9a-f]{8}\)$") as caught:
        start(plan)
    assert caught.value.code == code


@pytest.mark.parametrize("table", ["accounts_user", "billing_subscription", "provisioning_step", "core_fact"])
@pytest.mark.django_db(transaction=True)
def test_when_the_database_refuses_everything_is_rolled_back(cast: Cast, table: str) -> None:
    with psycopg.connect(os.environ["PARCELLE_OWNER_DATABASE_URL"], autocommit=True) as owner:
        owner.execute(f"ALTER TABLE {table} ADD CONSTRAINT refused CHECK (false) NOT VALID")
        try:
            with nothing_stored(), pytest.raises(RegistrationFailed) as caught:
                start(cast.plan)
        finally:
            owner.execute(f"ALTER TABLE {table} DROP CONSTRAINT refused")
    assert table not in caught.value.detail and "refused" not in caught.value.detail


HOSTILE = {
    "sql": "Robert'); DROP TABLE accounts_user; --",
    "shell": "$(touch /tmp/owned) `id`; rm -rf / && true | cat > x",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "variables": "${secret_key} ${base64:${initial_password}} %(password)s {{ password }} {% debug %}",
    "lines": "Ann\r\nBcc: victim@example.com\r\n\r\nclick http://evil.example\u2028now",
    "nul": "Ann\x00 \x1b[31m\x07",
    "half": "Ann \ud800 \udfff",
    "emoji": "🏗️ " * 10,
    "arabic": "شركة البناء \u202e الحديثة",
    "empty": "",
}
ANY_TEXT = st.text(st.characters(codec=None), max_size=60)
NAMES = ("first_name", "last_name", "company")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_stored_as_text_on_one_line_and_the_instance_gets_live(plan: Plan, text: str) -> None:
    started = start(plan, **dict.fromkeys(NAMES, text), phone=text[:40])
    jobs.work_off(NOW)
    instance = Instance.objects.get(pk=started.instance_id)
    stored = [User.objects.get().first_name, Organization.objects.get().name, instance.owner["company"]]
    assert instance.state == states.LIVE and len(set(stored)) == 1
    assert all(char.isprintable() or char in "\u202e\u200d" for char in stored[0])


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_mail_interprets_what_somebody_typed(plan: Plan, text: str) -> None:
    start(plan, **dict.fromkeys(NAMES, text))
    jobs.work_off(NOW)
    [sent] = mail.outbox
    html = mails.html(sent)
    assert sent.to == ["moussa@fleuve.example"] and "\n" not in sent.subject
    assert "<script>" not in html and "<img src=x" not in html
    assert "\nclick http" not in sent.body
    assert not [s for s in Instance.objects.get().secrets.items() if s[0] != "initial_password" and s[1] in sent.body]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(company=ANY_TEXT, first_name=ANY_TEXT, phone=ANY_TEXT)
def test_whatever_is_typed_is_stored_or_refused_but_never_breaks(
    plan: Plan, company: str, first_name: str, phone: str
) -> None:
    texts = {"company": company, "first_name": first_name, "phone": phone}
    try:
        start(plan, email=f"{uuid.uuid4()}@example.com", **texts)
    except RegistrationFailed:
        assert any(len(text) > 40 for text in texts.values())


@contextmanager
def logged(place: Path) -> Iterator[Path]:
    """What is logged meanwhile, as lines of JSON in a file."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure(level="DEBUG", style="json", file=str(place / "log"))
    try:
        yield place / "log"
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@pytest.mark.parametrize("fails", [False, True])
def test_every_line_of_an_operation_carries_its_ids(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """Also those that other parts of the house write on the way, such as the provider."""
    written_by_the_provider = structlog.get_logger("parcelle.somewhere.below")

    def ensure(self: NullProvider, spec: Spec, phase: str, progress: Progress) -> None:
        written_by_the_provider.info("deep down")
        logging.getLogger("some.library").warning("a library speaks")
        if fails:
            raise KeyError("no such thing")

    monkeypatch.setattr(NullProvider, "ensure", ensure)
    start(plan)
    instance = Instance.objects.get()
    operation = instance.operations.get()
    with logged(tmp_path) as file:
        runner.run(operation.pk, WORKFLOWS, clock=lambda: NOW)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    spoken = {line["event"] for line in lines}
    assert {"deep down", "a library speaks"} <= spoken
    assert ({"step broke", "a step broke", "step failed", "operation failed"} if fails else {"operation done"}) & spoken
    ids = (str(operation.pk), str(instance.pk))
    assert [line for line in lines if (line.get("operation_id"), line.get("instance_id")) != ids] == []


def test_nothing_that_is_logged_on_the_way_holds_a_secret(plan: Plan, tmp_path: Path) -> None:
    with logged(tmp_path):
        start(plan)
        jobs.work_off(NOW)
    written = (tmp_path / "log").read_text()
    secrets = Instance.objects.get().secrets.values()
    assert "operation done" in written and not [secret for secret in secrets if secret in written]
    assert not [s for s in secrets if s in str(list(Fact.objects.values()))]


@pytest.mark.parametrize("changes", [{"company": "x" * 201}, {"first_name": "x" * 151}, {"phone": "1" * 41}])
def test_text_that_does_not_fit_is_refused_whole(plan: Plan, changes: dict[str, str]) -> None:
    with nothing_stored(), pytest.raises(RegistrationFailed):
        start(plan, **changes)


@pytest.mark.parametrize("email", ["a\x00b@example.com", "half\ud800@example.com", "x" * 250 + "@example.com"])
def test_an_address_that_cannot_be_stored_is_refused(plan: Plan, email: str) -> None:
    with nothing_stored(), pytest.raises(RegistrationFailed):
        start(plan, email=email)


# --- trying again --------------------------------------------------------------------------------------------


def test_a_failed_creation_can_be_tried_again_and_a_live_one_not(plan: Plan) -> None:
    started = start(plan)
    Target.objects.update(provider="gone")
    jobs.work_off(NOW)
    assert Instance.objects.get().state == states.FAILED
    Target.objects.update(provider="null")
    retry(started.instance_id, actor="visitor", now=NOW)
    jobs.work_off(NOW)
    assert Instance.objects.get().state == states.LIVE
    with pytest.raises(IllegalTransition):
        retry(started.instance_id, actor="visitor", now=NOW)
