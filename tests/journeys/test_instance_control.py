"""By hand: what becomes of a subscription whose instance is archived."""

from __future__ import annotations

import pytest

from parcelle.domain.billing.models import Subscription
from parcelle.domain.provisioning import states
from parcelle.domain.provisioning.models import Instance
from parcelle.journeys import instance_control
from tests import jobs, people
from tests.people import NOW, Cast


@pytest.fixture
def instance(cast: Cast) -> Instance:
    instance = people.requested_instance(cast.organization, cast.plan)
    jobs.work_off(NOW)
    return instance


def subscription_of(instance: Instance) -> Subscription:
    assert instance.subscription_id is not None
    return Subscription.objects.get(pk=instance.subscription_id)


def archive(instance: Instance) -> None:
    instance_control.archive_instance(instance.pk, reason="operator", actor="test", now=NOW)
    jobs.work_off(NOW)
    instance.refresh_from_db()


def test_an_archived_instance_ends_its_subscription(instance: Instance) -> None:
    archive(instance)
    subscription = subscription_of(instance)
    assert (instance.state, subscription.state, subscription.ended_at) == (states.ARCHIVED, "ended", NOW)


def test_a_subscription_with_another_instance_goes_on(instance: Instance, cast: Cast) -> None:
    other = people.live_instance(cast.organization, cast.plan, slug="second")
    Instance.objects.filter(pk=other.pk).update(subscription_id=instance.subscription_id)
    archive(instance)
    assert subscription_of(instance).state == "trialing"
