from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.test import Client
from pytest_django import Settings

if TYPE_CHECKING:
    from parcelle.domain.catalog.models import Plan
    from tests.surfaces.portal.companies import Company

BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture(autouse=True)
def without_abuse_checks(settings: Settings) -> None:
    """Puzzle and limits are off except where a test is about them."""
    settings.TRIAL_PUZZLE = False
    settings.RATE_LIMITS = False


@pytest.fixture
def plan(db: None, test_blueprints: Path) -> Plan:
    from tests.surfaces.portal import companies

    return companies.offer()


@pytest.fixture
def company(plan: Plan) -> Company:
    from tests.surfaces.portal import companies

    return companies.found("Bâtiplus & Fils", "awa@batiplus.example", plan)


@pytest.fixture
def stranger(plan: Plan) -> Company:
    from tests.surfaces.portal import companies

    return companies.found("Autre", "autre@ailleurs.example", plan)


@pytest.fixture
def owner_client(company: Company) -> Client:
    client = Client()
    client.force_login(company.owner, backend=BACKEND)
    return client


@pytest.fixture
def stranger_client(stranger: Company) -> Client:
    client = Client()
    client.force_login(stranger.owner, backend=BACKEND)
    return client


@pytest.fixture
def filled(plan: Plan) -> dict[str, str]:
    """A form as a visitor fills it in."""
    return {
        "submission": str(uuid.uuid4()),
        "last_name": "Diallo",
        "first_name": "Moussa",
        "email": "moussa@chantiers.example",
        "company": "Chantiers du Fleuve",
        "phone": "06 12 34 56 78",
        "terms": "on",
    }
