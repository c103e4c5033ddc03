"""Mails: both languages, both parts, nothing left unfilled."""

from __future__ import annotations

from datetime import UTC, datetime
from html import unescape
from typing import Any

import pytest

from parcelle.domain.notifications import actions
from parcelle.domain.notifications.models import Message

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CONTEXT: dict[str, Any] = {
    "first_name": "Awa",
    "company": "Bâtiplus & Fils <SARL>",
    "product": "Tryton",
    "url": "http://localhost:8085/#tenant_1",
    "user_name": "batiplus",
    "password": "Kp7mWq2xRt9v",
    "trial_ends_at": "2026-04-01T09:00:00+00:00",
    "keep_until": "2026-05-01T09:00:00+00:00",
    "days_left": 7,
    "add_ons": ["2 × Utilisateurs", "1 × Disque"],
    "plan": "Silver",
    "number": "CMD-2026-000042",
    "interval": "year",
    "subtotal": "490,00 €",
    "discount": "-49,00 €",
    "coupon": "BIENVENUE",
    "tax": "88,20 €",
    "tax_rate": "20",
    "total": "529,20 €",
    "payment": "PAR2026000017",
    "order_paid_at": "2026-03-02T09:00:00+00:00",
    "host": "shop.example.com",
    "amount": "58,80 €",
    "missing": ["buyer_siren"],
    "due_at": "2026-04-01T09:00:00+00:00",
    "grace_until": "2026-04-08T09:00:00+00:00",
    "paid_until": "2026-05-01T09:00:00+00:00",
    "old_amount": "49,00 €",
    "new_amount": "55,00 €",
    "again_at": "2026-04-03T09:00:00+00:00",
    "method": "Visa •••• 4242",
    "reason": "unreadable",
    "holder": "Atelier Parcelle",
    "iban": "FR14 2004 1010 0505 0001 3M02 606",
    "bic": "PSSTFRPPXXX",
    "bank": "La Banque",
    "rest": "20,00\N{NO-BREAK SPACE}€",
    "reference": "RF18 PAR2 0260 0000 1",
    "open_until": "2026-03-16T09:00:00+00:00",
    "ends_at": "2026-04-01T09:00:00+00:00",
    "effective_at": "2026-04-01T09:00:00+00:00",
    "platform_url": "https://batiplus.apps.example.net",
    "dashboard_url": "http://localhost:8000/dashboard",
    "inviter": "Moussa Ba",
    "person": "Moussa Ba",
    "role": "viewer",
    "change": "joined",
}
KINDS = (
    *("welcome", "trial_reminder", "trial_suspended", "instance_archived", "creation_failed"),
    *("domain_live", "domain_broken", "domain_released"),
    *("order_paid", "delivery_delayed", "delivery_by_hand"),
    *("renewal_due", "renewal_overdue", "subscription_renewed", "subscription_suspended"),
    "subscription_read_only",
    *("billing_details", "receipt_rejected", "transfer_asked", "transfer_partial"),
    *("renewal_automatic", "charge_declined", "renewal_too_late", "price_changing", "price_stays"),
    *("team_invitation", "team_news"),
    *("subscription_cancelled", "subscription_ending", "plan_changed", "plan_change_scheduled"),
    *("add_ons_changed", "add_ons_scheduled"),
)


def rendered(kind: str, language: str, **changes: Any) -> tuple[str, str, str]:
    message = Message(kind=kind, to="awa@x.example", language=language, context=CONTEXT | changes, created_at=NOW)
    mail = actions.render(message)
    return str(mail.subject), str(mail.body), str(mail.alternatives[0][0])


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_mail_is_complete(kind: str, language: str) -> None:
    subject, text, html = rendered(kind, language)
    for part in (subject, text, html):
        assert part.strip()
        assert "None" not in part
        assert "%(" not in part
        assert "{{" not in part
    assert "Bâtiplus & Fils <SARL>" in text
    assert "Bâtiplus &amp; Fils &lt;SARL&gt;" in html
    assert f'<html lang="{language}">' in html
    assert ("Bonjour Awa" if language == "fr" else "Hello Awa") in text


@pytest.mark.parametrize("kind", KINDS)
def test_the_languages_differ(kind: str) -> None:
    assert rendered(kind, "fr")[0] != rendered(kind, "en")[0]


@pytest.mark.parametrize("language", ["fr", "en"])
def test_the_welcome_mail_says_all_that_is_needed(language: str) -> None:
    _subject, text, html = rendered("welcome", language)
    for part in (text, unescape(html)):
        for needed in (CONTEXT["url"], "batiplus", "Kp7mWq2xRt9v", "/accounts/password/reset/", "/dashboard"):
            assert needed in part
    assert ("1er avril 2026" if language == "fr" else "1 April 2026") in text


@pytest.mark.parametrize("kind", ["add_ons_changed", "add_ons_scheduled"])
def test_add_ons_are_listed_and_none_are_said_to_be_none(kind: str) -> None:
    for part in rendered(kind, "fr")[1:]:
        assert "2 × Utilisateurs" in part
        assert "1 × Disque" in part
    assert "Aucun" in rendered(kind, "fr", add_ons=[])[1]


def test_what_credit_has_paid_did_not_arrive() -> None:
    for part in rendered("subscription_renewed", "fr", by_credit=True):
        assert "arrivé" not in part
    assert "Votre avoir a réglé la commande" in rendered("subscription_renewed", "fr", by_credit=True)[1]
    assert "est bien arrivé" in rendered("subscription_renewed", "fr")[1]


def test_the_reminder_counts(settings: object) -> None:
    assert rendered("trial_reminder", "fr")[0] == "Votre essai de Tryton se termine dans 7 jours"
    assert rendered("trial_reminder", "fr", days_left=1)[0] == "Votre essai de Tryton se termine demain"
    assert rendered("trial_reminder", "en", days_left=1)[0] == "Your Tryton trial ends tomorrow"


def test_the_suspension_says_until_when_data_is_kept() -> None:
    assert "1er mai 2026" in rendered("trial_suspended", "fr")[1]


@pytest.mark.parametrize("change", ["joined", "role", "removed", "left", "owner", "no_owner"])
def test_news_of_the_team_differ_and_say_whom_they_are_about(change: str) -> None:
    subject, text, html = rendered("team_news", "fr", change=change)
    assert "Bâtiplus & Fils <SARL>" in subject and subject in unescape(html)
    assert ("Moussa Ba" in text) == (change not in {"role", "removed"})
