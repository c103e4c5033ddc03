"""`/trial`: what a visitor can type, and what comes of it."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from datetime import timedelta
from html import unescape
from typing import Any

import hypothesis
import pytest
import time_machine
from django.test import Client, RequestFactory
from django.utils import timezone
from hypothesis import strategies as st

from parcelle.core.addresses import address
from parcelle.domain.accounts.models import User
from parcelle.domain.catalog.models import Plan, Product
from parcelle.domain.provisioning.models import Instance, Operation, Step, Target, Template
from parcelle.journeys import signup
from parcelle.surfaces.portal import puzzle
from tests import people
from tests.surfaces.portal.companies import Company


def text_of(response: Any) -> str:
    return unescape(response.content.decode())


def test_a_first_visitor_reads_french(client: Client, plan: Plan) -> None:
    page = text_of(client.get("/trial"))
    assert "Démarrer mon essai gratuit" in page
    assert '<html lang="fr">' in page


def test_an_english_browser_reads_english_and_the_switch_lasts(client: Client, plan: Plan) -> None:
    assert "Start my free trial" in text_of(client.get("/trial", headers={"Accept-Language": "en-GB,en;q=0.8"}))
    client.post("/i18n/setlang/", {"language": "fr", "next": "/trial"})
    assert "Démarrer mon essai gratuit" in text_of(client.get("/trial", headers={"Accept-Language": "en"}))


def test_an_empty_form_says_so_and_marks_every_field(client: Client, plan: Plan) -> None:
    response = client.post("/trial", {})
    page = text_of(response)
    assert response.status_code == 422
    assert "Veuillez remplir tous les champs obligatoires" in page
    assert "Veuillez accepter les conditions générales" in page
    assert page.count('aria-invalid="true"') == 6


def test_what_was_typed_survives(client: Client, filled: dict[str, str]) -> None:
    del filled["terms"]
    filled["phone"] = ""
    page = text_of(client.post("/trial", filled))
    for name in ("last_name", "first_name", "email", "company", "submission"):
        assert f'value="{filled[name]}"' in page
    assert User.objects.count() == 0


def test_only_the_terms_are_missing(client: Client, filled: dict[str, str]) -> None:
    del filled["terms"]
    page = text_of(client.post("/trial", filled))
    assert "Veuillez accepter les conditions générales</div>" in page
    assert "<div>Veuillez remplir tous" not in page


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("06 12 34 56 78", "+33612345678"),
        ("+237 6 77 12 34 56", "+237677123456"),
        ("00225 07 07 12 34 56", "+2250707123456"),
        ("01.42.68.53.00", "+33142685300"),
    ],
)
def test_telephone_numbers_are_read_leniently(client: Client, filled: dict[str, str], typed: str, stored: str) -> None:
    client.post("/trial", filled | {"phone": typed})
    assert User.objects.get().phone == stored


def test_the_browsers_country_reads_local_numbers(client: Client, filled: dict[str, str]) -> None:
    client.post("/trial", filled | {"phone": "677 12 34 56"}, headers={"Accept-Language": "fr-CM,fr;q=0.8"})
    assert User.objects.get().phone == "+237677123456"


@pytest.mark.parametrize("typed", ["12", "téléphone", "+33", "0000000000000000000000"])
def test_an_impossible_number_is_refused(client: Client, filled: dict[str, str], typed: str) -> None:
    page = text_of(client.post("/trial", filled | {"phone": typed}))
    assert "Ce numéro de téléphone est incomplet" in page
    assert f'value="{typed}"' in page


@pytest.mark.parametrize("name", ["last_name", "first_name", "company"])
def test_markup_in_a_field_stays_text(client: Client, filled: dict[str, str], name: str) -> None:
    typed = '"><script>alert(1)</script>{{ 7|add:7 }}'
    response = client.post("/trial", filled | {name: typed, "phone": ""})
    assert b"<script>alert" not in response.content
    assert typed in text_of(response)


WILD = st.one_of(
    st.text(max_size=300),
    st.sampled_from(
        [
            "\x00",
            "مؤسسة البناء",
            "🏗️" * 30,
            "x" * 300,
            "'; DROP TABLE tenancy_organization; --",
            "$(touch /tmp/x)`id`;&|",
            "{% url 'x' %}{{ settings.SECRET_KEY }}",
            "<script>alert(1)</script>",
            "\r\nBcc: everybody@example.com",
            "\u202ereversed",
        ]
    ),
)


@hypothesis.settings(
    max_examples=40, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(last_name=WILD, first_name=WILD, company=WILD, phone=WILD, email=WILD, submission=WILD)
def test_nothing_that_can_be_typed_breaks_the_form(client: Client, plan: Plan, **typed: str) -> None:
    response = Client().post("/trial", typed | {"terms": "on"})
    assert response.status_code in {302, 409, 422}
    assert b"<script>alert" not in response.content


@hypothesis.settings(
    max_examples=30, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(name=WILD, company=WILD)
def test_any_name_and_company_becomes_a_customer(
    client: Client, filled: dict[str, str], name: str, company: str
) -> None:
    fresh = filled | {"submission": str(uuid.uuid4()), "email": f"{uuid.uuid4().hex}@x.example"}
    response = Client().post("/trial", fresh | {"first_name": name, "company": company})
    usable = all(text.strip() and "\x00" not in text for text in (name, company))
    if usable and len(name.strip()) <= 150 and len(company.strip()) <= 200:
        assert response.status_code == 302
        assert Client().get(response["Location"]).status_code == 404
    else:
        assert response.status_code == 422


def test_success_signs_the_new_user_in_and_shows_the_deployment(client: Client, filled: dict[str, str]) -> None:
    response = client.post("/trial", filled)
    instance = Instance.objects.get()
    assert response["Location"] == f"/deployments/{instance.pk}"
    assert client.get(response["Location"]).status_code == 200
    assert client.get("/dashboard").status_code == 200
    assert instance.organization is not None
    assert instance.organization.name == "Chantiers du Fleuve"


def test_a_form_sent_twice_is_one_customer_and_one_instance(client: Client, filled: dict[str, str]) -> None:
    first, second = client.post("/trial", filled), Client().post("/trial", filled)
    assert first["Location"] == second["Location"]
    assert (User.objects.count(), Instance.objects.count()) == (1, 1)


def test_the_second_of_two_clicks_signs_in_but_an_old_form_does_not(client: Client, filled: dict[str, str]) -> None:
    client.post("/trial", filled)
    second = Client()
    second.post("/trial", filled)
    assert second.get("/dashboard").status_code == 200
    later = Client()
    with time_machine.travel(timezone.now() + timedelta(minutes=5), tick=False):
        response = later.post("/trial", filled)
        assert later.get(response["Location"]).status_code == 200
        assert later.get("/dashboard").status_code == 302


def test_a_customer_with_a_live_subscription_is_told_so(
    client: Client, company: Company, filled: dict[str, str]
) -> None:
    company.subscription()
    response = client.post("/trial", filled | {"email": "AWA@batiplus.example"})
    assert response.status_code == 409
    assert "Vous avez déjà un abonnement actif (Essai)" in text_of(response)
    assert Instance.objects.count() == 0


def test_a_trial_cannot_be_repeated(client: Client, company: Company, filled: dict[str, str]) -> None:
    company.subscription("ended")
    response = client.post("/trial", filled | {"email": company.owner.email})
    assert response.status_code == 409
    assert "Vous avez déjà utilisé votre essai gratuit (Essai)" in text_of(response)


def test_somebody_who_has_an_account_is_not_signed_in_by_the_form(
    client: Client, company: Company, filled: dict[str, str]
) -> None:
    response = client.post("/trial", filled | {"email": company.owner.email})
    assert client.get("/dashboard").status_code == 302
    page = text_of(client.get(response["Location"]))
    assert "Nous préparons votre Tryton" in page


def test_a_signed_in_customer_finds_the_form_filled_in(owner_client: Client) -> None:
    page = text_of(owner_client.get("/trial"))
    for known in ("awa@batiplus.example", "Awa", "Ndiaye", "Bâtiplus & Fils", "+33612345678"):
        assert f'value="{known}"' in page


def test_a_signed_in_customer_cannot_pose_as_somebody_else(
    owner_client: Client, company: Company, filled: dict[str, str]
) -> None:
    owner_client.post("/trial", filled | {"email": "someone@else.example"})
    assert User.objects.get() == company.owner


def test_a_failed_registration_says_why(client: Client, filled: dict[str, str], monkeypatch: Any) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise signup.RegistrationFailed("not_stored", reference="0a1b2c3d", detail="relation is gone")

    monkeypatch.setattr(signup, "start_trial", fail)
    response = client.post("/trial", filled)
    assert response.status_code == 503
    page = text_of(response)
    assert "Erreur lors de l'enregistrement : notre base de données n’a pas pu l’enregistrer" in page
    assert "0a1b2c3d" in page and "relation is gone" not in page
    assert 'value="Chantiers du Fleuve"' in text_of(response)


def test_more_than_one_plan_can_be_chosen_from(client: Client, plan: Plan, filled: dict[str, str]) -> None:
    other = Product.objects.create(
        slug="autre", name="Autre produit", blueprint="plain", target_name="nowhere", position=1
    )
    second = Plan.objects.create(product=other, slug="pro", name="Pro")
    assert "Que voulez-vous essayer" in text_of(client.get("/trial"))
    client.post("/trial", filled | {"plan": str(second.pk)})
    assert Instance.objects.get().product == other


def test_a_plan_that_is_not_on_sale_is_refused(client: Client, plan: Plan, filled: dict[str, str]) -> None:
    hidden = Plan.objects.create(product=plan.product, slug="old", name="Old", enabled=False)
    Plan.objects.create(product=plan.product, slug="pro", name="Pro")
    assert client.post("/trial", filled | {"plan": str(hidden.pk)}).status_code == 422
    assert Instance.objects.count() == 0


@pytest.mark.django_db
def test_nothing_on_sale_says_so(client: Client) -> None:
    assert "Rien à essayer pour l’instant" in text_of(client.get("/trial"))
    assert client.post("/trial", {}).status_code == 200


def test_a_broken_submission_id_is_replaced(client: Client, filled: dict[str, str]) -> None:
    client.post("/trial", filled | {"submission": "not-an-id"})
    assert Instance.objects.count() == 1


# --- abuse -------------------------------------------------------------------------------------------------


def test_too_many_trials_from_one_address(client: Client, filled: dict[str, str], settings: Any) -> None:
    settings.RATE_LIMITS = True
    settings.TRIAL_ACTIONS_ADDRESS_LIMIT = 2
    for number in range(2):
        Client().post("/trial", filled | {"submission": str(uuid.uuid4()), "email": f"{number}@x.example"})
    response = client.post("/trial", filled)
    assert response.status_code == 429
    assert 0 < int(response["Retry-After"]) <= 3600
    assert "Trop de demandes depuis votre adresse" in text_of(response)
    assert 'value="Chantiers du Fleuve"' in text_of(response)


def test_too_many_trials_with_one_email(client: Client, filled: dict[str, str], settings: Any) -> None:
    settings.RATE_LIMITS = True
    codes = [client.post("/trial", filled, REMOTE_ADDR=f"203.0.113.{number}").status_code for number in range(6)]
    assert codes == [302] * 5 + [429]


@pytest.mark.parametrize(
    ("proxies", "forwarded", "counted"),
    [
        (0, "198.51.100.7", "192.0.2.1"),
        (1, "198.51.100.7", "198.51.100.7"),
        (1, "6.6.6.6, 198.51.100.7", "198.51.100.7"),
        (2, "6.6.6.6, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        (2, "198.51.100.7", "192.0.2.1"),
        (1, "2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        (1, "::ffff:198.51.100.7", "198.51.100.7"),
        (1, "nonsense", "nonsense"),
    ],
)
def test_the_address_is_believed_as_far_as_proxies_are_trusted(
    settings: Any, proxies: int, forwarded: str, counted: str
) -> None:
    settings.TRUSTED_PROXIES = proxies
    request = RequestFactory().get("/", REMOTE_ADDR="192.0.2.1", headers={"X-Forwarded-For": forwarded})
    assert address(request) == counted


def solve(made: dict[str, Any]) -> str:
    number = next(
        number
        for number in range(made["maxnumber"] + 1)
        if hashlib.sha256(f"{made['salt']}{number}".encode()).hexdigest() == made["challenge"]
    )
    answer = {name: made[name] for name in ("algorithm", "challenge", "salt", "signature")} | {"number": number}
    return base64.b64encode(json.dumps(answer).encode()).decode()


@pytest.fixture
def puzzles(settings: Any, monkeypatch: Any) -> None:
    settings.TRIAL_PUZZLE = True
    monkeypatch.setattr(puzzle, "HARDNESS", 50)


@pytest.mark.usefixtures("puzzles")
def test_the_puzzle_must_be_solved(client: Client, filled: dict[str, str]) -> None:
    response = client.post("/trial", filled)
    assert response.status_code == 422
    assert "La vérification anti-robot n’était pas terminée" in text_of(response)
    made = client.get("/trial/puzzle", {"submission": filled["submission"]}).json()
    assert client.post("/trial", filled | {"puzzle": solve(made)}).status_code == 302


@pytest.mark.usefixtures("puzzles")
def test_a_solution_is_worth_one_submission(client: Client, filled: dict[str, str]) -> None:
    made = client.get("/trial/puzzle", {"submission": filled["submission"]}).json()
    solved = filled | {"puzzle": solve(made)}
    other = solved | {"submission": str(uuid.uuid4()), "email": "other@x.example"}
    assert "était périmée" in text_of(client.post("/trial", other))
    assert [client.post("/trial", solved).status_code for _ in range(2)] == [302, 302]
    assert Instance.objects.count() == 1


@pytest.mark.usefixtures("puzzles")
@pytest.mark.parametrize("forged", ["x", "e30=", base64.b64encode(b'{"salt": 3}').decode()])
def test_a_forged_solution_is_refused(client: Client, filled: dict[str, str], forged: str) -> None:
    assert client.post("/trial", filled | {"puzzle": forged}).status_code == 422


@pytest.mark.usefixtures("puzzles")
def test_an_old_solution_is_refused(client: Client, filled: dict[str, str]) -> None:
    made = puzzle.challenge(submission=filled["submission"], now=timezone.now() - timedelta(hours=1))
    assert client.post("/trial", filled | {"puzzle": solve(made)}).status_code == 422


# --- while the application is built for the first time ------------------------------------------------------------


@pytest.fixture
def building(plan: Plan) -> Operation:
    """The second of four steps of the first template, half done."""
    template = Template.objects.create(
        target=Target.objects.get(), blueprint="plain", version="1", secrets={}, created_at=people.NOW
    )
    operation = Operation.objects.create(
        kind="build_template", template=template, state="running", created_at=people.NOW, deadline_at=people.NOW
    )
    for position, name in enumerate(("install_packages", "build", "initialise", "check_template")):
        state = ("succeeded", "running", "pending", "pending")[position]
        fraction = 0.5 if state == "running" else None
        Step.objects.create(operation=operation, position=position, name=name, state=state, fraction=fraction)
    return operation


@pytest.mark.parametrize("path", ["/", "/trial"])
def test_visitors_see_how_far_an_application_is_that_nobody_has_had_yet(
    client: Client, building: Operation, path: str
) -> None:
    french = text_of(client.get(path))
    assert "Nous préparons Tryton pour la première fois" in french
    assert "Assemblage de l’interface web (étape 2 sur 4)" in french and "50\xa0%" in french
    assert 'hx-get="/preparing"' in french and "htmx.min.js" in french
    assert '<progress class="bar" max="100" value="25"' in french
    english = text_of(client.get(path, headers={"Accept-Language": "en"}))
    assert "We are preparing Tryton for the first time" in english and "(step 2 of 4)" in english
    Step.objects.update(state="pending", fraction=None)
    assert "En attente de son tour." in text_of(client.get("/preparing"))


@pytest.mark.parametrize("path", ["/", "/trial", "/preparing"])
def test_nothing_is_said_where_there_is_something_to_clone(client: Client, building: Operation, path: str) -> None:
    assert building.template
    Template.objects.create(
        target=building.template.target,
        blueprint="plain",
        version="0",
        state="ready",
        secrets={},
        created_at=people.NOW,
    )
    page = text_of(client.get(path))
    assert "pour la première fois" not in page and "htmx" not in page
    assert path != "/preparing" or not page.strip()
