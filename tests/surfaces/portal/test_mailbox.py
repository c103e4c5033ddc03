"""`/mailbox`: what the embedded system sent, and that showing it is harmless."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives
from django.test import Client
from pytest_django import Settings

from parcelle.domain.notifications.channels.mailbox import MailboxBackend
from parcelle.domain.notifications.models import MailboxMail
from tests.people import Cast

pytestmark = pytest.mark.django_db


def text_of(response: Any) -> str:
    return unescape(response.content.decode())


def send(subject: str, *, html: str = "") -> MailboxMail:
    mail = EmailMultiAlternatives(subject, "Lien : http://localhost:8085/x\nÉté", "a@b.example", ["c@d.example"])
    if html:
        mail.attach_alternative(html, "text/html")
    MailboxBackend().send_messages([mail])
    return MailboxMail.objects.latest("id")


def test_an_empty_mailbox_says_what_would_fill_it(client: Client) -> None:
    assert "Pas encore d’e-mail" in text_of(client.get("/mailbox"))


def test_newest_first(client: Client) -> None:
    send("Premier")
    send("Deuxième")
    page = text_of(client.get("/mailbox"))
    assert page.index("Deuxième") < page.index("Premier")


def test_links_in_plain_text_can_be_followed(client: Client) -> None:
    page = text_of(client.get(f"/mailbox/{send('Texte').pk}"))
    assert '<a href="http://localhost:8085/x"' in page
    assert "Été" in page


def test_the_html_part_is_shut_in(client: Client) -> None:
    mail = send("HTML", html="<html><head></head><body><script>alert(1)</script>Bonjour</body></html>")
    page = text_of(client.get(f"/mailbox/{mail.pk}"))
    assert "alert(1)" not in page
    assert 'sandbox="allow-same-origin allow-popups allow-popups-to-escape-sandbox"' in page
    part = client.get(f"/mailbox/{mail.pk}/html")
    assert "allow-scripts" not in part["Content-Security-Policy"]
    assert "default-src 'none'" in part["Content-Security-Policy"]
    assert part["X-Frame-Options"] == "SAMEORIGIN"
    assert '<base target="_blank">' in text_of(part)


def test_attachments_are_listed_and_saved(client: Client) -> None:
    mail = EmailMultiAlternatives("Facture", "Voici", "a@b.example", ["c@d.example"])
    mail.attach_alternative("<html><head></head><body>Voici</body></html>", "text/html")
    mail.attach("FA-2026-000001.pdf", b"%PDF-1.7 bytes", "application/pdf")
    mail.attach("é <b>.html", "<script>alert(1)</script>", "text/html")
    MailboxBackend().send_messages([mail])
    stored = MailboxMail.objects.latest("id")
    page = client.get(f"/mailbox/{stored.pk}").content.decode()
    assert "FA-2026-000001.pdf" in page and "é &lt;b&gt;.html" in page
    answer = client.get(f"/mailbox/{stored.pk}/files/0")
    assert b"".join(answer.streaming_content) == b"%PDF-1.7 bytes"  # type: ignore[attr-defined]
    answer = client.get(f"/mailbox/{stored.pk}/files/1")
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["Content-Type"] == "application/octet-stream"
    assert client.get(f"/mailbox/{stored.pk}/files/2").status_code == 404


def test_a_mail_that_is_not_there(client: Client) -> None:
    assert client.get("/mailbox/999").status_code == 404


def test_elsewhere_only_operators_read_it(client: Client, cast: Cast, settings: Settings) -> None:
    settings.AT_HOME = False
    mail = send("Votre mot de passe", html="<p>secret-7</p>")
    pages = ("/mailbox", f"/mailbox/{mail.pk}", f"/mailbox/{mail.pk}/html", f"/mailbox/{mail.pk}/files/0")
    for page in pages:
        answer = client.get(page)
        assert (answer.status_code, answer["Location"]) == (302, f"/admin/login/?next={page}")
    client.force_login(cast.owner)
    assert {client.get(page).status_code for page in pages} == {404}
    cast.owner.is_staff = True
    cast.owner.save()
    assert [client.get(page).status_code for page in pages] == [200, 200, 200, 404]
