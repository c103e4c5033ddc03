"""`strangers.txt`: every page of the portal, asked by everybody about what belongs to one organization."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import AsyncClient, Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from parcelle.domain.accounts.models import User
from parcelle.domain.billing.models import Order
from parcelle.domain.provisioning import domains, routes
from parcelle.domain.provisioning.ingress import RouteState
from parcelle.domain.tenancy import team
from parcelle.domain.tenancy.models import Membership
from parcelle.surfaces.portal.urls import urlpatterns
from tests import people
from tests.domain.billing import documents
from tests.domain.billing.selling import AWA, open_shop
from tests.people import NOW, Cast

COLUMNS = ("owner", "admin", "member", "viewer", "stranger", "nobody")
# Addresses that only say where something else is have no name.
UNNAMED = "signup"
# Asked by themselves: a stream reads what is committed.
STREAMS = ("order_events", "deployment_events")
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Line:
    page: str
    method: str
    expected: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.method} {self.page}"


def lines() -> Iterator[Line]:
    for text in (Path(__file__).parent / "strangers.txt").read_text().splitlines():
        if text and not text.startswith("#"):
            page, *rest = text.split()
            method = rest.pop(0) if rest[0].isupper() else "GET"
            yield Line(page, method, tuple(rest))


TABLE = tuple(lines())


def test_every_page_stands_in_the_table() -> None:
    assert {line.page for line in TABLE} == {pattern.name or UNNAMED for pattern in urlpatterns}
    assert len({(line.page, line.method) for line in TABLE}) == len(TABLE)
    assert all(len(line.expected) == len(COLUMNS) for line in TABLE)


@dataclass(frozen=True)
class Scene:
    """Everybody, and where the things of one organization are."""

    clients: dict[str, User | None]
    ids: dict[str, Any]

    def address(self, page: str) -> str:
        if page == UNNAMED:
            return "/accounts/signup/"
        pattern = next(pattern for pattern in urlpatterns if pattern.name == page)
        names = pattern.pattern.converters
        return reverse(page, kwargs={name: self.ids[name] for name in names})


@pytest.fixture
def scene(cast: Cast, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Scene:
    settings.INGRESS, settings.APPS_DOMAIN = "caddy", "apps.test"
    monkeypatch.setattr(routes, "push", lambda _ref: None)
    organization = cast.organization
    admin = people.person("Adam", "admin")
    Membership.objects.create(organization=organization, user=admin, role=Membership.ADMIN, created_at=NOW)
    instance = people.live_instance(organization, cast.plan)
    routes.record(instance, RouteState.LIVE, now=NOW, endpoint="http://127.0.0.1:9")
    domain = domains.add(instance, "shop.example.com", actor="test", now=NOW)
    documents.vendor()
    documents.customer(organization)
    invoice = documents.issue(organization)
    order = _order(cast)
    invitation = team.invite(
        organization_id=organization.pk, email="noa@example.com", role="viewer", by=cast.owner, now=NOW
    ).invitation
    other = people.person("Lea", "lea")
    member = Membership.objects.create(organization=organization, user=other, role=Membership.MEMBER, created_at=NOW)
    return Scene(
        clients={
            "owner": cast.owner,
            "admin": admin,
            "member": cast.member,
            "viewer": cast.viewer,
            "stranger": cast.stranger,
            "nobody": None,
        },
        ids={
            "instance_id": instance.pk,
            "domain_id": domain.pk,
            "subscription_id": instance.subscription_id,
            "order_id": order.pk,
            "payment_id": order.payments.get().pk,
            "receipt_id": uuid.uuid4(),
            "invoice_id": invoice.pk,
            "form": "pdf",
            "slug": organization.slug,
            "currency": "EUR",
            "invitation_id": invitation.pk,
            "member_id": member.pk,
            "organization_id": organization.pk,
            "token": "made-up",
            "charge_id": uuid.uuid4(),
            "verb": "cancel",
            "mail_id": 0,
            "position": 0,
        },
    )


def _order(cast: Cast) -> Order:
    """One that waits to be paid again, after an attempt that was declined."""
    from parcelle.journeys import checkout

    price = open_shop(plan=cast.plan)
    order = checkout.place(
        request_id=uuid.uuid4(),
        price_id=price.pk,
        coupon_code="",
        buyer=AWA,
        language="fr",
        user=cast.owner,
        now=timezone.now(),
    )
    order.payments.create(
        gateway="fake",
        number="PAR1",
        state="declined",
        amount_minor=order.total_minor,
        currency="EUR",
        created_at=timezone.now(),
    )
    return order


def said(answer: Any) -> str:
    if answer.status_code == 302 and answer["Location"].startswith("/accounts/login/"):
        return "sign-in"
    return "stream" if answer.streaming and answer.status_code == 200 else str(answer.status_code)


@pytest.mark.parametrize("who", COLUMNS)
def test_everybody_gets_what_the_table_says(scene: Scene, who: str) -> None:
    client, user = Client(), scene.clients[who]
    if user is not None:
        client.force_login(user)
    expected, found = {}, {}
    for line in TABLE:
        if line.page in STREAMS:
            continue
        expected[str(line)] = line.expected[COLUMNS.index(who)]
        typed = {"organization": scene.ids["organization_id"]} if line.method == "POST" else {}
        found[str(line)] = said(client.generic(line.method, scene.address(line.page), urlencode(typed), FORM))
    assert found == expected


@pytest.mark.django_db(transaction=True)
def test_streams_begin_for_whom_the_table_says(scene: Scene) -> None:
    async def ask(page: str, user: User | None) -> str:
        client = AsyncClient()
        if user is not None:
            await client.aforce_login(user)
        answer = await client.get(scene.address(page))
        try:
            return said(answer)
        finally:
            answer.close()

    for line in TABLE:
        if line.page in STREAMS:
            found = [asyncio.run(ask(line.page, scene.clients[who])) for who in COLUMNS]
            assert tuple(found) == line.expected, line
