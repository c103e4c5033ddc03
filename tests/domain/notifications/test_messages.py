from __future__ import annotations

from datetime import timedelta
from email import message_from_bytes
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.db import connection
from pytest_django import Settings

from parcelle.domain.notifications import actions
from parcelle.domain.notifications.models import MailboxMail, Message
from tests import jobs, mails
from tests.people import NOW

pytestmark = pytest.mark.django_db

CONTEXT = {
    "first_name": "Awa",
    "company": "Diop & Fils",
    "product": "Tryton",
    "url": "http://localhost:8080",
    "user_name": "diop",
    "password": "hunter2hunter2",
    "trial_ends_at": NOW.isoformat(),
    "days_left": 7,
    "keep_until": NOW.isoformat(),
    "dashboard_url": "http://localhost:8000/dashboard",
}


def send(key: str = "welcome:1", **changes: Any) -> None:
    values: dict[str, Any] = {"kind": "welcome", "to": "awa@example.com", "language": "fr", "context": CONTEXT}
    actions.send(key=key, now=NOW, **values | changes)


def test_of_two_messages_with_one_key_only_the_first_is_written() -> None:
    send()
    send(to="other@example.com")
    assert Message.objects.get().to == "awa@example.com"
    jobs.work_off(NOW)
    assert len(mail.outbox) == 1


def test_messages_with_keys_of_their_own_are_all_written() -> None:
    send("a")
    send("b")
    jobs.work_off(NOW)
    assert len(mail.outbox) == 2


def test_a_message_that_was_sent_is_not_sent_again() -> None:
    send()
    jobs.work_off(NOW)
    jobs.work_off(NOW + timedelta(days=1))
    message = Message.objects.get()
    assert (message.state, message.sent_at, len(mail.outbox)) == (Message.SENT, NOW, 1)


def test_what_a_dead_worker_was_sending_is_sent_by_another() -> None:
    send()
    with time_machine.travel(NOW, tick=False):
        assert len(actions.take(10)) == 1 and not actions.take(10)
    jobs.work_off(NOW + timedelta(seconds=actions.LEASE_SECONDS))
    assert len(mail.outbox) == 1


@pytest.fixture
def deaf_server(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1


@pytest.mark.usefixtures("deaf_server")
def test_a_message_that_could_not_be_handed_over_is_tried_again_later(settings: Settings) -> None:
    send()
    jobs.work_off(NOW)
    message = Message.objects.get()
    assert (message.state, message.attempts, message.due_at) == (Message.QUEUED, 1, NOW + timedelta(seconds=3))
    assert "refused" in message.error
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    jobs.work_off(NOW)
    assert not mail.outbox
    jobs.work_off(NOW + timedelta(seconds=3))
    message.refresh_from_db()
    assert (message.state, message.error, len(mail.outbox)) == (Message.SENT, "", 1)


@pytest.mark.usefixtures("deaf_server")
def test_after_the_last_attempt_it_stays_failed() -> None:
    send()
    now = NOW
    for _attempt in range(actions.MOST_ATTEMPTS + 3):
        jobs.work_off(now)
        now += timedelta(days=10)
    message = Message.objects.get()
    assert (message.state, message.attempts, message.due_at) == (Message.FAILED, actions.MOST_ATTEMPTS, None)


def test_a_message_that_cannot_be_made_does_not_hold_up_the_others() -> None:
    send("broken", kind="welcome", context={"trial_ends_at": "never"})
    send("sound")
    jobs.work_off(NOW)
    assert len(mail.outbox) == 1


def test_a_repetition_can_be_recognised_on_the_way() -> None:
    send()
    message = Message.objects.get()
    first, second = actions.render(message).message(), actions.render(message).message()
    assert first["Message-ID"] == second["Message-ID"] == f"<{message.pk}@localhost>"
    assert first["Auto-Submitted"] == "auto-generated"


def test_a_mail_has_a_text_and_an_html_form() -> None:
    send()
    types = [part.get_content_type() for part in actions.render(Message.objects.get()).message().walk()]
    assert types == ["multipart/alternative", "text/plain", "text/html"]


@pytest.mark.parametrize(("language", "word"), [("fr", "connexion"), ("en", "sign-in")])
def test_a_mail_is_written_in_the_language_of_its_reader(language: str, word: str) -> None:
    send(language=language)
    assert word in actions.render(Message.objects.get()).body


@pytest.mark.parametrize(("language", "day"), [("fr", "1er avril 2026"), ("en", "1 April 2026")])
def test_the_first_of_a_month_is_written_as_people_write_it(language: str, day: str) -> None:
    send(language=language, context=CONTEXT | {"trial_ends_at": "2026-04-01T09:00:00+00:00"})
    assert day in actions.render(Message.objects.get()).body.replace("\xa0", " ")


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize(
    "kind", ["welcome", "creation_failed", "trial_reminder", "trial_suspended", "instance_archived"]
)
def test_every_kind_can_be_written_in_every_language(kind: str, language: str) -> None:
    send(kind=kind, language=language)
    written = actions.render(Message.objects.get())
    html = mails.html(written)
    assert written.subject and "Diop & Fils" in written.body and "Diop &amp; Fils" in html
    assert "hunter2" not in written.subject


@pytest.mark.parametrize("kind", ["creation_failed", "trial_reminder", "trial_suspended", "instance_archived"])
def test_only_the_welcome_mail_carries_the_password(kind: str) -> None:
    send(kind=kind)
    written = actions.render(Message.objects.get())
    assert "hunter2" not in written.body + mails.html(written)


def test_the_text_form_is_not_escaped_and_the_html_form_is() -> None:
    send(context=CONTEXT | {"company": "<b>L’Été & Co</b>"})
    written = actions.render(Message.objects.get())
    assert "<b>L’Été & Co</b>" in written.body
    assert "<b>L’Été" not in mails.html(written)


def test_a_subject_stays_on_one_line_whatever_stands_in_it() -> None:
    send(context=CONTEXT | {"product": "Try\r\nBcc: all@example.com\nton"})
    mime = actions.render(Message.objects.get()).message()
    assert mime["Bcc"] is None and "\n" not in str(mime["Subject"])


def test_what_a_message_says_cannot_be_read_in_the_database() -> None:
    send()
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(m)::text FROM notifications_message m")
        assert "hunter2" not in cursor.fetchone()[0]


# --- the mailbox of the embedded system ----------------------------------------------------------------------


@pytest.fixture
def mailbox(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "parcelle.domain.notifications.channels.mailbox.MailboxBackend"


@pytest.mark.usefixtures("mailbox")
def test_the_mailbox_keeps_the_whole_mail() -> None:
    send()
    jobs.work_off(NOW)
    kept = MailboxMail.objects.get()
    assert (kept.to, kept.subject) == ("awa@example.com", "Votre Tryton est prêt")
    body = message_from_bytes(kept.raw).get_payload(0).get_payload(decode=True)  # type: ignore[union-attr]
    assert b"hunter2hunter2" in body


@pytest.mark.usefixtures("mailbox")
def test_the_mailbox_keeps_a_mail_that_is_handed_over_twice_once() -> None:
    send()
    written = actions.render(Message.objects.get())
    written.send(), written.send()
    assert MailboxMail.objects.count() == 1


@pytest.mark.usefixtures("mailbox")
def test_mails_of_the_mailbox_cannot_be_read_in_the_database() -> None:
    send()
    jobs.work_off(NOW)
    with connection.cursor() as cursor:
        cursor.execute("SELECT raw FROM notifications_mailboxmail")
        assert b"hunter2" not in bytes(cursor.fetchone()[0])
