"""API tokens: shown once, kept as a hash, revoked for good."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.utils import timezone

from parcelle.domain.accounts.models import ApiToken
from tests.people import Cast

pytestmark = pytest.mark.django_db

LIST = "/admin/accounts/apitoken/"


def create(client: Client, cast: Cast, **more: str) -> tuple[ApiToken, str]:
    answer = client.post(f"{LIST}add/", {"user": str(cast.operator.pk), "name": "Website", **more})
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    html = answer.content.decode()
    [plain] = re.findall(r'<code id="token">(parcelle_[\w-]+)</code>', html)
    return ApiToken.objects.get(), plain


def test_a_new_token_works_and_is_shown_once(operator: Client, cast: Cast) -> None:
    token, plain = create(operator, cast)
    assert ApiToken.authenticate(plain, now=timezone.now()) == token
    assert token.digest == ApiToken.digest_of(plain)
    assert plain not in str(ApiToken.objects.filter(pk=token.pk).values().get())
    for page in (LIST, f"{LIST}{token.pk}/change/", f"{LIST}{token.pk}/history/", f"{LIST}add/", "/admin/"):
        html = operator.get(page).content.decode()
        assert plain not in html
        assert token.digest not in html
    assert plain not in str(dict(operator.session))


def test_what_was_typed_survives_an_error(operator: Client, cast: Cast) -> None:
    form = {"user": str(cast.operator.pk), "name": "Website", "expires_at_0": "2020-01-01", "expires_at_1": "08:00"}
    html = operator.post(f"{LIST}add/", form).content.decode()
    assert "This moment has passed already." in html
    assert 'value="Website"' in html
    assert not ApiToken.objects.exists()


def test_revoking(operator: Client, cast: Cast) -> None:
    token, plain = create(operator, cast)
    revoke = f"{LIST}{token.pk}/revoke/"
    assert "cannot be undone" in operator.get(revoke).content.decode()
    assert ApiToken.authenticate(plain, now=timezone.now())
    assert "refused from now on" in operator.post(revoke, {"confirmed": "revoke"}, follow=True).content.decode()
    assert ApiToken.authenticate(plain, now=timezone.now()) is None
    revoked_at = ApiToken.objects.get().revoked_at
    operator.post(revoke, {"confirmed": "revoke"})
    assert ApiToken.objects.get().revoked_at == revoked_at
    assert "Revoked" in operator.get(LIST).content.decode()


def test_several_are_revoked_at_once(operator: Client, cast: Cast) -> None:
    tokens = [ApiToken.issue(user=cast.operator, name=str(number), now=timezone.now())[0] for number in range(3)]
    form = {"action": "revoke", "_selected_action": [str(token.pk) for token in tokens]}
    assert "Revoke 3 API tokens?" in operator.post(LIST, form).content.decode()
    assert "3 rows: done." in operator.post(LIST, {**form, "confirmed": "revoke"}, follow=True).content.decode()
    assert not ApiToken.objects.filter(revoked_at=None).exists()


def test_a_token_is_neither_edited_nor_deleted(operator: Client, cast: Cast) -> None:
    token, _plain = ApiToken.issue(user=cast.operator, name="Website", now=timezone.now())
    assert operator.post(f"{LIST}{token.pk}/change/", {"name": "Other"}).status_code == 403
    assert operator.post(f"{LIST}{token.pk}/delete/", {"post": "yes"}).status_code == 403
