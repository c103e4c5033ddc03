"""Pages without a story of their own: they answer, in both languages, and look like ours."""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.test import Client, RequestFactory, override_settings

from parcelle.domain.accounts.models import User
from parcelle.domain.catalog.models import Plan
from parcelle.surfaces.portal.pages import errors
from tests.surfaces.portal.companies import Company

LOCMEM = override_settings(EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend")


def text_of(response: Any) -> str:
    return unescape(response.content.decode())


PAGES = [
    ("/", "Démarrer mon essai gratuit", "Start my free trial"),
    ("/cgv", "Conditions générales", "Terms and conditions"),
    ("/accounts/login/", "Mot de passe oublié", "Forgotten your password?"),
    ("/accounts/login/code/", "Recevoir un code de connexion", "Send me a sign-in code"),
    ("/accounts/password/reset/", "Mot de passe oublié", "Forgotten password"),
    ("/accounts/password/reset/done/", "Consultez vos e-mails", "Check your e-mail"),
    ("/accounts/password/reset/key/1-abc/", "Ce lien ne fonctionne plus", "This link no longer works"),
    ("/accounts/password/reset/key/done/", "Votre mot de passe est changé", "Your password is changed"),
    ("/accounts/confirm-email/", "Confirmez votre adresse e-mail", "Confirm your e-mail address"),
    ("/accounts/confirm-email/xyz/", "Ce lien ne fonctionne plus", "This link no longer works"),
    ("/accounts/inactive/", "Ce compte est fermé", "This account is closed"),
]
OWN_PAGES = [
    ("/accounts/logout/", "Se déconnecter", "Sign out"),
    ("/accounts/password/set/", "Choisir un mot de passe", "Choose a password"),
    ("/accounts/email/", "Mes adresses e-mail", "My e-mail addresses"),
    ("/dashboard", "Mon espace", "My space"),
]


@pytest.mark.parametrize(("path", "french", "english"), PAGES)
def test_public_pages(client: Client, plan: object, path: str, french: str, english: str) -> None:
    assert french in text_of(client.get(path))
    assert english in text_of(client.get(path, headers={"Accept-Language": "en"}))


@pytest.mark.parametrize(("path", "french", "english"), OWN_PAGES)
def test_pages_of_a_customer(owner_client: Client, path: str, french: str, english: str) -> None:
    assert french in text_of(owner_client.get(path))
    assert english in text_of(owner_client.get(path, headers={"Accept-Language": "en"}))


def test_the_home_page_promises_only_what_every_plan_keeps(client: Client, plan: Plan) -> None:
    assert "30 jours, sans carte bancaire" in text_of(client.get("/"))
    Plan.objects.create(product=plan.product, slug="short", name="Court", trial_days=7)
    assert "sans carte bancaire" not in text_of(client.get("/"))


def test_an_account_begins_with_a_trial(client: Client, plan: object) -> None:
    assert client.get("/accounts/signup/")["Location"] == "/trial"


def test_healthz(client: Client) -> None:
    assert client.get("/healthz").content == b"ok\n"


def test_the_language_survives_a_path_with_a_query(client: Client, plan: object) -> None:
    page = text_of(client.get("/accounts/login/?next=/dashboard"))
    assert 'name="next" value="/accounts/login/?next=/dashboard"' in page


# --- what went wrong ---------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_nothing_there(client: Client) -> None:
    response = client.get("/nothing")
    assert response.status_code == 404
    assert "Il n’y a rien à cette adresse" in text_of(response)
    assert "There is nothing at this address" in text_of(client.get("/nothing", headers={"Accept-Language": "en"}))


@pytest.mark.parametrize(
    ("language", "sentence"), [("fr", "s’est mal passé chez nous"), ("en", "went wrong on our side")]
)
def test_a_crash_is_told_without_the_database(language: str, sentence: str) -> None:
    """No database fixture here: any query would raise."""
    request = RequestFactory().get("/", headers={"Accept-Language": language})
    response = errors.failed(request)
    assert response.status_code == 500
    assert sentence in text_of(response)


def test_a_form_without_its_token(plan: object) -> None:
    response = Client(enforce_csrf_checks=True).post("/trial", {})
    assert response.status_code == 403
    assert "Ce formulaire a expiré" in text_of(response)


@pytest.mark.parametrize("view", [errors.bad_request, errors.forbidden])
def test_other_refusals(view: Any, rf: RequestFactory) -> None:
    from django.contrib.auth.models import AnonymousUser

    request = rf.get("/")
    request.user = AnonymousUser()
    assert "Parcelle" in text_of(view(request))


def html_of(sent: mail.EmailMessage) -> str:
    assert isinstance(sent, mail.EmailMultiAlternatives)
    return str(sent.alternatives[0][0])


@pytest.fixture
def allauth_counts_anew(db: None) -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.mark.usefixtures("allauth_counts_anew")
def test_too_many_requests_elsewhere(client: Client, company: Company) -> None:
    """allauth counts by itself and answers with the same page."""
    codes = [client.post("/accounts/password/reset/", {"email": company.owner.email}) for _ in range(30)]
    assert codes[-1].status_code == 429
    assert "C’était un peu trop rapide" in text_of(codes[-1])


def test_public_pages_run_no_foreign_script(client: Client, plan: object) -> None:
    policy = client.get("/trial")["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "script-src" not in policy
    assert "<script>" not in text_of(client.get("/trial"))
    assert "Content-Security-Policy" not in client.get("/admin/login/")


# --- signing in --------------------------------------------------------------------------------------------


@pytest.fixture
def known(company: Company) -> User:
    company.owner.set_password("un-tres-bon-mot-de-passe")
    company.owner.save()
    return company.owner


def test_signing_in_by_password(client: Client, known: User) -> None:
    wrong = client.post("/accounts/login/", {"login": known.email, "password": "faux"})
    assert 'role="alert"' in text_of(wrong)
    assert f'value="{known.email}"' in text_of(wrong)
    right = {"login": known.email.upper(), "password": "un-tres-bon-mot-de-passe"}
    assert client.post("/accounts/login/", right)["Location"] == "/dashboard"
    assert 'class="alert' not in text_of(client.get("/dashboard"))
    assert client.post("/accounts/logout/")["Location"] == "/"
    assert client.get("/dashboard").status_code == 302


@LOCMEM
@pytest.mark.parametrize(("language", "subject"), [("fr", "Votre code de connexion"), ("en", "Your sign-in code")])
def test_signing_in_by_a_mailed_code(client: Client, company: Company, language: str, subject: str) -> None:
    headers = {"Accept-Language": language}
    page = client.post("/accounts/login/code/", {"email": company.owner.email}, headers=headers, follow=True)
    assert company.owner.email in text_of(page)
    (sent,) = mail.outbox
    assert sent.subject == subject
    html = html_of(sent)
    code = next(line.strip() for line in str(sent.body).splitlines() if 4 <= len(line.strip()) <= 9 and line.isupper())
    assert code in html
    answer = client.post("/accounts/login/code/confirm/", {"code": code}, headers=headers)
    assert answer["Location"] == "/dashboard"


@LOCMEM
def test_choosing_a_new_password(client: Client, company: Company) -> None:
    client.post("/accounts/password/reset/", {"email": company.owner.email})
    (sent,) = mail.outbox
    assert sent.subject == "Choisir un nouveau mot de passe"
    link = next(line for line in str(sent.body).splitlines() if line.startswith("http"))
    assert link in unescape(html_of(sent))
    page = client.get(link.partition("testserver")[2], follow=True)
    assert "Choisir un nouveau mot de passe" in text_of(page)
    action = page.redirect_chain[-1][0]
    chosen = {"password1": "encore-un-tres-bon", "password2": "encore-un-tres-bon"}
    client.post(action, chosen)
    company.owner.refresh_from_db()
    assert company.owner.check_password("encore-un-tres-bon")


@LOCMEM
def test_an_unknown_address_is_not_given_away(client: Client, plan: object) -> None:
    page = client.post("/accounts/password/reset/", {"email": "nobody@nowhere.example"}, follow=True)
    assert "S’il existe un compte à cette adresse" in text_of(page)
    assert mail.outbox[0].subject == "Aucun compte à cette adresse"


@LOCMEM
def test_confirming_an_address(owner_client: Client, company: Company) -> None:
    owner_client.post("/accounts/email/", {"action_send": "", "email": company.owner.email})
    link = next(line for line in str(mail.outbox[0].body).splitlines() if line.startswith("http"))
    path = link.partition("testserver")[2]
    assert "Oui, la confirmer" in text_of(owner_client.get(path))
    owner_client.post(path)
    assert "Confirmée" in text_of(owner_client.get("/accounts/email/"))
