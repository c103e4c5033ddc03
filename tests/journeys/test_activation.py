from __future__ import annotations

import pytest
from django.core import mail

from parcelle.core import events
from parcelle.core.models import Fact
from parcelle.domain.notifications.models import Message
from parcelle.domain.provisioning.models import Instance, Target
from parcelle.journeys import activation
from parcelle.journeys.signup import retry
from tests import jobs, mails, people
from tests.people import NOW, Cast


def welcomed(cast: Cast, *, language: str = "fr") -> tuple[Instance, str, str]:
    """The instance of a customer who reads `language`, and the two forms of the mail about it."""
    cast.owner.language = language
    cast.owner.save()
    instance = people.requested_instance(cast.organization, cast.plan)
    jobs.work_off(NOW)
    instance.refresh_from_db()
    [sent] = mail.outbox
    return instance, str(sent.body), mails.html(sent)


def test_the_welcome_mail_carries_everything_for_the_first_sign_in_in_both_forms(cast: Cast) -> None:
    instance, text, html = welcomed(cast)
    for form in (text, html):
        assert instance.slug and instance.slug in form and instance.secrets["initial_password"] in form
        assert "Awa" in form and "Maçonnerie Diop" in form


def test_it_carries_no_other_secret(cast: Cast) -> None:
    instance, text, html = welcomed(cast)
    others = [value for name, value in instance.secrets.items() if name != "initial_password"]
    assert not [value for value in others if value in text + html]


def test_it_is_french_for_those_who_read_french(cast: Cast) -> None:
    _instance, text, html = welcomed(cast)
    assert mail.outbox[0].subject == "Votre Plain est prêt"
    for form in (text, html):
        assert "Mot de passe provisoire" in form and "1er avril 2026" in form


def test_it_is_english_for_those_who_read_english(cast: Cast) -> None:
    _instance, text, html = welcomed(cast, language="en")
    assert mail.outbox[0].subject == "Your Plain is ready"
    for form in (text, html):
        assert "Temporary password" in form and "1 April 2026" in form


def test_its_html_says_in_which_language_it_is_written(cast: Cast) -> None:
    assert '<html lang="fr"' in welcomed(cast)[2]


@pytest.mark.parametrize("name", ["InstanceReady", "InstanceCreationFailed"])
def test_a_reaction_that_runs_twice_writes_once(cast: Cast, name: str) -> None:
    instance = people.requested_instance(cast.organization, cast.plan)
    if name == "InstanceCreationFailed":
        Target.objects.update(provider="gone")
    jobs.work_off(NOW)
    Target.objects.update(provider="null")
    fact = Fact.objects.get(name=name, instance_id=instance.pk)
    for reaction in events._reactions[name]:
        events.run_reaction(fact_id=fact.pk, function=reaction)
    jobs.work_off(NOW)
    assert len(mail.outbox) == Message.objects.count() == 1


def test_a_failed_creation_is_told_with_the_page_where_it_can_be_tried_again(cast: Cast) -> None:
    instance = people.requested_instance(cast.organization, cast.plan)
    Target.objects.update(provider="gone")
    jobs.work_off(NOW)
    [sent] = mail.outbox
    assert sent.to == [cast.owner.email] and f"/deployments/{instance.pk}" in sent.body


def test_every_failure_is_told_once_and_the_success_after_it_too(cast: Cast) -> None:
    instance = people.requested_instance(cast.organization, cast.plan)
    Target.objects.update(provider="gone")
    jobs.work_off(NOW)
    Target.objects.update(provider="null")
    retry(instance.pk, actor="Awa", now=NOW)
    jobs.work_off(NOW)
    assert sorted(Message.objects.values_list("kind", flat=True)) == ["creation_failed", "welcome"]


def test_an_instance_that_is_no_longer_live_is_not_welcomed(cast: Cast) -> None:
    instance = people.live_instance(cast.organization, cast.plan)
    Instance.objects.filter(pk=instance.pk).update(state="suspended")
    activation.welcome(Fact.objects.get(name="InstanceReady"))
    assert not Message.objects.exists()
