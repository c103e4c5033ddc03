from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from parcelle.domain.accounts.models import ApiToken, User
from tests import people
from tests.people import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann() -> User:
    return people.person("Ann", "ann")


def authenticate(plain: str, *, after: timedelta = timedelta()) -> ApiToken | None:
    return ApiToken.authenticate(plain, now=NOW + after)


def test_an_address_is_stored_small_and_trimmed() -> None:
    assert User.objects.create_user("  Ann@Example.COM ").email == "ann@example.com"


@pytest.mark.usefixtures("ann")
def test_one_address_is_one_user_in_any_case() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create(email="ANN@example.com")


def test_a_user_without_a_password_cannot_sign_in_with_one(ann: User) -> None:
    assert not ann.has_usable_password() and not ann.check_password("")


def test_signing_in_does_not_depend_on_the_case_of_the_address(ann: User) -> None:
    assert User.objects.get_by_natural_key("ANN@EXAMPLE.com") == ann


def test_a_token_opens_the_door_for_its_user(ann: User) -> None:
    token, plain = ApiToken.issue(user=ann, name="CI", now=NOW)
    found = authenticate(plain)
    assert found is not None and (found, found.user) == (token, ann)


def test_the_token_itself_is_stored_nowhere(ann: User) -> None:
    token, plain = ApiToken.issue(user=ann, name="CI", now=NOW)
    stored = ApiToken.objects.filter(pk=token.pk).values().get()
    assert plain not in str(stored) and stored["hint"] == plain[-6:]


@pytest.mark.parametrize("plain", ["", "parcelle_", "parcelle_wrong", "\x00", "é" * 500])
@pytest.mark.usefixtures("ann")
def test_what_is_no_token_opens_nothing(plain: str) -> None:
    assert authenticate(plain) is None


def test_a_token_expires_to_the_second(ann: User) -> None:
    _token, plain = ApiToken.issue(user=ann, name="CI", now=NOW, expires_at=NOW + timedelta(hours=1))
    assert authenticate(plain, after=timedelta(minutes=59, seconds=59))
    assert authenticate(plain, after=timedelta(hours=1)) is None


def test_a_revoked_token_and_the_token_of_a_user_who_was_shut_out_open_nothing(ann: User) -> None:
    token, plain = ApiToken.issue(user=ann, name="CI", now=NOW)
    User.objects.update(is_active=False)
    assert authenticate(plain) is None
    User.objects.update(is_active=True)
    ApiToken.objects.filter(pk=token.pk).update(revoked_at=NOW)
    assert authenticate(plain) is None


def test_its_last_use_is_noted_but_not_more_than_once_a_minute(ann: User) -> None:
    token, plain = ApiToken.issue(user=ann, name="CI", now=NOW)
    for seconds in (0, 30, 59, 61):
        authenticate(plain, after=timedelta(seconds=seconds))
    token.refresh_from_db()
    assert token.last_used_at == NOW + timedelta(seconds=61)
