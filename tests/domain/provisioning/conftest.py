from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from parcelle.domain.provisioning.models import Instance
    from tests.domain.provisioning.scripted import Clock, ScriptedProvider
    from tests.people import Cast

# pytest may load this file before the settings are chosen: what needs them is imported by the fixtures.


@pytest.fixture
def clock() -> Clock:
    from tests.domain.provisioning.scripted import Clock

    return Clock()


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> ScriptedProvider:
    """A provider in the registry that does what the test says."""
    from parcelle.domain.provisioning.providers import PROVIDERS
    from tests.domain.provisioning.scripted import ScriptedProvider

    scripted = ScriptedProvider()
    monkeypatch.setitem(PROVIDERS, "scripted", lambda _connection: scripted)
    return scripted


@pytest.fixture
def instance(cast: Cast, provider: ScriptedProvider) -> Instance:
    """An instance of the scripted provider whose creation waits for a worker."""
    from parcelle.domain.provisioning.models import Target
    from tests import people

    Target.objects.update(provider="scripted")
    return people.requested_instance(cast.organization, cast.plan)
