"""Many people press the button at the same moment; with controls that show what keeps them apart."""

from __future__ import annotations

import uuid
from collections import Counter
from functools import partial

import pytest

from parcelle.core.states import IllegalTransition
from parcelle.domain.accounts.models import User
from parcelle.domain.billing.models import Subscription
from parcelle.domain.catalog.models import Plan
from parcelle.domain.provisioning import states
from parcelle.domain.provisioning.models import Instance, Operation
from parcelle.domain.tenancy import names
from parcelle.domain.tenancy.models import Organization
from parcelle.journeys import signup
from parcelle.journeys.signup import RegistrationFailed, Started, TrialRequest
from tests import people
from tests.people import NOW
from tests.together import Outcome, at_once, meeting

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("test_blueprints")]
COMPANY = "Maçonnerie Diop & Fils"


@pytest.fixture
def plan() -> Plan:
    return people.offer()


def form(plan: Plan, *, email: str, submission: uuid.UUID | None = None) -> TrialRequest:
    return TrialRequest(
        submission=submission or uuid.uuid4(),
        email=email,
        first_name="Awa",
        last_name="Diop",
        company=COMPANY,
        phone="",
        plan_id=plan.pk,
        language="fr",
    )


def send(forms: list[TrialRequest]) -> Outcome[Started]:
    return at_once([partial(signup.start_trial, request, now=NOW) for request in forms])


# --- fifty companies of one name ----------------------------------------------------------------------------


def fifty(plan: Plan) -> list[TrialRequest]:
    return [form(plan, email=f"awa{number}@example.com") for number in range(50)]


def test_fifty_companies_of_one_name_all_get_in(plan: Plan) -> None:
    started = send(fifty(plan)).all()

    wanted = {"maconnerie-diop-fils", *(f"maconnerie-diop-fils-{number}" for number in range(2, 51))}
    assert set(Instance.objects.values_list("slug", flat=True)) == wanted
    assert set(Organization.objects.values_list("slug", flat=True)) == wanted
    assert len({s.instance_id for s in started}) == len({s.organization_id for s in started}) == 50
    assert User.objects.count() == Subscription.objects.count() == Operation.objects.count() == 50


def test_control_who_looks_first_and_stores_then_collides(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    is_free = meeting(lambda row: not type(row)._default_manager.filter(slug=row.slug).exists())

    def look_then_store(row: Organization | Instance) -> bool:
        if free := is_free(row):
            row.save(force_insert=True)
        return bool(free)

    monkeypatch.setattr(names, "insert_unless_taken", look_then_store)
    outcome = send(fifty(plan))
    assert {type(error) for error in outcome.errors} == {RegistrationFailed}
    # The constraints hold even then: who fails leaves nothing behind.
    assert Instance.objects.count() == Organization.objects.count() == User.objects.count() == len(outcome.results)


# --- one person, several clicks -----------------------------------------------------------------------------


def clicks(plan: Plan) -> list[TrialRequest]:
    return [form(plan, email="awa@example.com", submission=uuid.UUID(int=7))] * 20


def test_twenty_clicks_make_one_customer_and_one_instance(plan: Plan) -> None:
    started = send(clicks(plan)).all()

    assert len({s.instance_id for s in started}) == 1
    assert Counter(s.repeated for s in started) == {False: 1, True: 19}
    for model in (User, Organization, Subscription, Instance, Operation):
        assert model._default_manager.count() == 1


def test_control_without_the_lock_on_forms_clicks_collide(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signup, "_one_at_a_time", lambda _email, _submission: None)
    monkeypatch.setattr(signup, "_earlier", meeting(signup._earlier))
    outcome = send(clicks(plan))
    # Who is late by a little finds the user taken, by a little more the subscription.
    assert outcome.errors
    assert {type(error) for error in outcome.errors} <= {RegistrationFailed, signup.AlreadySubscribed}
    assert User.objects.count() == Instance.objects.count() == 1


def test_p25_one_person_with_two_forms_gets_one_trial(plan: Plan) -> None:
    outcome = send([form(plan, email="awa@example.com") for _number in range(10)])
    assert len(outcome.results) == 1
    assert {type(error) for error in outcome.errors} == {signup.AlreadySubscribed}
    assert Subscription.objects.count() == Instance.objects.count() == 1


def test_two_clicks_on_try_again_make_one_operation(plan: Plan) -> None:
    started = signup.start_trial(form(plan, email="awa@example.com"), now=NOW)
    Operation.objects.update(state=states.FAILED, finished_at=NOW)
    Instance.objects.update(state=states.FAILED)

    outcome = at_once([lambda: signup.retry(started.instance_id, actor="customer", now=NOW)] * 10)

    assert len(outcome.results) == 1
    assert {type(error) for error in outcome.errors} == {IllegalTransition}
    assert Operation.objects.filter(state=states.QUEUED).count() == 1
