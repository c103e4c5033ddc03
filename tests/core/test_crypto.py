from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from parcelle.core import crypto
from parcelle.domain.provisioning.models import Target


@given(length=st.integers(3, 64))
def test_a_secret_has_its_length_and_all_three_kinds_of_characters(length: int) -> None:
    value = crypto.generate(length)
    assert len(value) == length
    assert set(value) <= set(crypto.ALPHABET)
    assert any(map(str.islower, value)) and any(map(str.isupper, value)) and any(map(str.isdigit, value))


def test_no_two_characters_of_a_secret_look_alike() -> None:
    assert not set("0O1lI") & set(crypto.ALPHABET)


def test_secrets_do_not_repeat() -> None:
    assert len({crypto.generate(12) for _ in range(500)}) == 500


@pytest.mark.parametrize("length", [-1, 0, 2])
def test_a_secret_too_short_to_exist_is_refused_at_once(length: int) -> None:
    with pytest.raises(ValueError, match="at least"):
        crypto.generate(length)


def new_target(name: str = "here") -> Target:
    return Target.objects.create(name=name, provider="null", connection={"password": "hunter2-hunter2"})


def stored(target: Target) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute("SELECT connection FROM provisioning_target WHERE id = %s", [target.pk])
        return bytes(cursor.fetchone()[0])


@pytest.mark.django_db
def test_an_encrypted_value_cannot_be_read_in_sql() -> None:
    assert b"hunter2" not in stored(new_target())


@pytest.mark.django_db
def test_an_encrypted_value_reads_back_as_it_was() -> None:
    target = new_target()
    target.refresh_from_db()
    assert target.connection == {"password": "hunter2-hunter2"}


@pytest.mark.django_db
def test_without_its_key_a_secret_stays_closed_and_the_error_does_not_show_it(settings: Settings) -> None:
    target = new_target()
    settings.SECRET_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(crypto.CannotDecrypt, match="configured keys"):
        target.refresh_from_db()


@pytest.mark.django_db
def test_after_a_rotation_the_old_key_is_no_longer_needed(settings: Settings) -> None:
    target, new = new_target(), Fernet.generate_key().decode()
    settings.SECRET_KEYS = [new, *settings.SECRET_KEYS]
    assert crypto.rotate() == 1
    settings.SECRET_KEYS = [new]
    target.refresh_from_db()
    assert target.connection["password"] == "hunter2-hunter2"


@pytest.mark.django_db
def test_an_interrupted_rotation_leaves_everything_readable_and_can_be_repeated(settings: Settings) -> None:
    first, second, new = new_target("first"), new_target("second"), Fernet.generate_key().decode()
    settings.SECRET_KEYS = [new, *settings.SECRET_KEYS]
    first.save(update_fields=["connection"])  # all that was done before the interruption
    second.refresh_from_db()
    crypto.rotate()
    settings.SECRET_KEYS = [new]
    assert [t.connection["password"] for t in Target.objects.all()] == ["hunter2-hunter2"] * 2


@pytest.mark.django_db
def test_a_rotation_reaches_every_row_also_beyond_one_batch(settings: Settings) -> None:
    Target.objects.bulk_create(Target(name=str(n), provider="null") for n in range(501))
    new = Fernet.generate_key().decode()
    settings.SECRET_KEYS = [new, *settings.SECRET_KEYS]
    assert crypto.rotate() == 501
    settings.SECRET_KEYS = [new]
    assert all(target.connection == {} for target in Target.objects.all())


def test_every_field_called_secret_or_password_is_encrypted() -> None:
    encrypted = {f"{model._meta.label}.{field.name}" for model, field in crypto.encrypted_fields()}
    assert {
        "provisioning.Instance.secrets",
        "provisioning.Template.secrets",
        "provisioning.Target.connection",
        "notifications.Message.context",
        "notifications.MailboxMail.raw",
    } <= encrypted
