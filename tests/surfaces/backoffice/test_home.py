"""The figures of the home page are those of the database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from parcelle.domain.billing.models import Subscription
from parcelle.domain.catalog.models import Product
from parcelle.domain.provisioning.models import Operation
from parcelle.domain.tenancy.models import Organization
from tests.people import Cast
from tests.surfaces.backoffice.rows import World

pytestmark = pytest.mark.django_db


def test_an_empty_system_says_what_comes_next(operator: Client, cast: Cast) -> None:
    html = operator.get("/admin/").content.decode()
    assert "No customer has an instance yet" in html
    assert "No worker is running." in html
    assert "Nothing has failed." in html
    assert "No product keeps standbys" in html


def test_figures(operator: Client, cast: Cast, world: World) -> None:
    now = timezone.now()
    Organization.objects.filter(pk=cast.organization.pk).update(created_at=now)
    Organization.objects.filter(pk=cast.other_organization.pk).update(created_at=now - timedelta(days=6))
    Subscription.objects.update(trial_ends_at=now + timedelta(days=30))
    soon = Subscription.objects.filter(pk=str(world.live.subscription_id))
    soon.update(trial_ends_at=now + timedelta(days=2, hours=1))
    Operation.objects.filter(state="failed").update(created_at=now - timedelta(days=1))
    Product.objects.update(pool_size=3)
    home = operator.get("/admin/").context
    assert (home["instances"]["live"], home["instances"]["total"]) == (1, 3)
    assert {str(line.title): line.number for line in home["instances"]["lines"]} == {
        "Live": 1,
        "Suspended": 1,
        "Failed": 1,
    }
    assert home["signups"]["total"] == 2
    assert [day.number for day in home["signups"]["days"]] == [1, 0, 0, 0, 0, 0, 1]
    assert home["trials"]["total"] == 1
    assert home["trials"]["lines"][0].number == "3 days left"
    assert home["failures"]["total"] == 1
    assert home["pools"][0].number == "1 / 3"
    # The creation of the one instance that failed, and the welcome of the two that did not, wait for a worker.
    assert home["queue"]["waiting"] >= 1
    assert home["queue"]["oldest"]


def test_its_links_lead_where_they_say(operator: Client, world: World) -> None:
    home = operator.get("/admin/").context
    links = [home[name]["url"] for name in ("signups", "trials", "failures", "queue")]
    links += [home["instances_url"], home["facts_url"], home["queue"]["failed_url"]]
    links += [line.url for name in ("instances", "trials", "failures") for line in home[name]["lines"]]
    links += [line.url for name in ("pools", "targets") for line in home[name]]
    for link in links:
        answer = operator.get(link)
        assert answer.status_code == 200, link
        # Django leads to `?e=1` from a list that does not know a filter.
        assert "e=1" not in answer.request["QUERY_STRING"], link
    failed = next(line for line in home["instances"]["lines"] if line.state == "failed")
    assert operator.get(failed.url).context["cl"].result_count == failed.number
