"""Lists ask the database a constant number of questions, however many rows they show."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from parcelle.core.models import Fact
from parcelle.domain.accounts.models import ApiToken
from parcelle.domain.billing import trials
from parcelle.domain.billing.models import Seller
from parcelle.domain.catalog.models import Plan, Product
from parcelle.domain.notifications.models import Message
from parcelle.domain.provisioning.models import Domain, Target, Template
from tests import people
from tests.people import NOW, Cast

pytestmark = pytest.mark.django_db


def more_of_everything(cast: Cast, mark: str) -> None:
    for number in range(4):
        key = f"{mark}{number}"
        person = people.person("Zoé", key)
        organization = people._organization(f"Company {key}", f"company-{key}", person)
        instance = people.live_instance(organization, cast.plan, slug=f"instance-{key}")
        trials.start(organization=organization, plan=cast.plan, now=NOW, actor="test")
        token, _plain = ApiToken.issue(user=person, name=key, now=NOW)
        target = Target.objects.create(name=key, provider="null")
        Template.objects.create(target=target, blueprint="plain", version=key, created_at=NOW)
        product = Product.objects.create(slug=key, name=key, blueprint="plain", target_name=key)
        Plan.objects.create(product=product, slug=key, name=key)
        Message.objects.create(key=key, kind="welcome", to="a@b.c", language="fr", created_at=NOW)
        Domain.objects.create(host=f"{key}.example.com", organization=organization, instance=instance, created_at=NOW)
        for actor in (f"user:{person.pk}", f"token:{token.pk}", "visitor"):
            Fact.objects.create(
                name="InstanceReady", actor=actor, organization_id=organization.pk, instance_id=instance.pk
            )
            instance.operations.update(actor=actor)


def questions(client: Client, address: str) -> tuple[int, int]:
    with CaptureQueriesContext(
        connection,
    ) as asked:
        answer = client.get(address)
    assert answer.status_code == 200
    return len(asked), answer.context["cl"].result_count if "cl" in answer.context else 0


def test_lists_and_home_do_not_ask_more_for_more_rows(operator: Client, cast: Cast) -> None:
    pages = [
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for model in admin.site._registry
        # There is one, and no list of it.
        if model is not Seller
    ]
    pages += ["/admin/", "/admin/core/fact/?q=company"]
    more_of_everything(cast, "a")
    for page in pages:  # what is asked once per process
        operator.get(page)
    few = {page: questions(operator, page) for page in pages}
    more_of_everything(cast, "b")
    more_of_everything(cast, "c")
    many = {page: questions(operator, page) for page in pages}
    for page in pages:
        assert many[page][0] == few[page][0], page
        # The home has a card for each kind of work that waits for somebody.
        assert many[page][0] <= (36 if page == "/admin/" else 24), page
        if "cl" in page:
            assert many[page][1] > few[page][1]


def test_what_is_never_shown_is_not_even_read(operator: Client, cast: Cast) -> None:
    more_of_everything(cast, "a")
    for model in admin.site._registry:
        page = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        with CaptureQueriesContext(connection) as asked:
            operator.get(page)
        for question in asked.captured_queries:
            for column in ('"secrets"', '"connection"', '"context"', '"raw"', '"digest"'):
                assert column not in question["sql"], page


def test_an_empty_list_says_what_will_be_there_and_speaks_of_filters_only_where_some_are_set(operator: Client) -> None:
    page = reverse("admin:provisioning_finding_changelist")
    html = operator.get(page).content.decode()
    assert "No difference is known" in html
    assert "Show the whole list" not in html
    for asked in ("?q=nothing", "?kind__exact=missing"):
        html = operator.get(page + asked).content.decode()
        assert "Nothing matches" in html
        assert "Show the whole list" in html
