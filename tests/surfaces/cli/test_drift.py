"""`parcelle drift`"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.surfaces.cli.typing_it import type_in

if TYPE_CHECKING:
    from tests.domain.provisioning.test_drift import Shelf
    from tests.people import Cast

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shelf(committed: Cast, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    from parcelle.domain.provisioning import drift
    from parcelle.domain.provisioning.models import Target
    from parcelle.domain.provisioning.providers import PROVIDERS
    from tests.domain.provisioning.test_drift import Shelf

    shelf = Shelf()
    monkeypatch.setitem(PROVIDERS, "scripted", lambda _connection: shelf)
    monkeypatch.setitem(drift.look.__kwdefaults__ or {}, "pause", 0)
    Target.objects.update(provider="scripted")
    return shelf


def test_nothing_amiss_is_one_sentence(shelf: Shelf) -> None:
    done = type_in("drift")
    assert (done.code, done.out) == (0, "Everything is where it should be.\n")
    assert type_in("drift", "--json").json == {"findings": [], "unreachable": {}}


def test_what_differs_is_listed_and_removed_once_it_is_agreed(shelf: Shelf, worker: None) -> None:
    from parcelle.domain.provisioning.providers.base import Status

    nobody = uuid.uuid4()
    shelf.put(nobody, Status.RUNNING, "container/stray", "volume/stray")
    shelf.on_destroy = [shelf.things.clear]
    done = type_in("drift", "--json")
    (found,) = done.json["findings"]
    assert (found["kind"], found["repair"], found["parts"]) == (
        "unknown",
        "remove_unknown",
        ["container/stray", "volume/stray"],
    )
    assert "container/stray" in type_in("drift").out
    refused = type_in("drift", "--repair", found["id"][:8])
    assert refused.code == 1
    assert "volume/stray" in refused.err
    assert "add --yes" in refused.err
    assert shelf.destroyed == []
    done = type_in("drift", "--repair", found["id"][:8], "--yes", "--json")
    assert (done.code, done.json["findings"]) == (0, [])
    assert shelf.destroyed == [nobody]


def test_a_target_that_cannot_be_asked_is_a_failure(shelf: Shelf) -> None:
    shelf.away = True
    done = type_in("drift")
    assert done.code == 1
    assert "nowhere could not be compared: it does not answer" in done.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--target", "elsewhere"], "There is no target 'elsewhere'; there is: nowhere."),
        (["--repair", "abc"], "No finding begins with 'abc'"),
    ],
)
def test_what_does_not_exist_is_said(shelf: Shelf, words: list[str], sentence: str) -> None:
    done = type_in("drift", *words)
    assert done.code == 1
    assert sentence in done.err
