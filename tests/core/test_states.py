from __future__ import annotations

import pytest

from parcelle.core.states import IllegalTransition, move
from parcelle.domain.tenancy.models import Organization
from parcelle.domain.tenancy.states import ACTIVE, CANCELLED, EXPIRED, PENDING, SUSPENDED, TRANSITIONS
from tests.people import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def row() -> Organization:
    return Organization.objects.create(name="Acme", slug="acme", created_at=NOW)


def test_an_allowed_move_is_stored_with_its_changes(row: Organization) -> None:
    move(row, SUSPENDED, table=TRANSITIONS, name="Acme (late)")
    assert (row.state, row.name) == (SUSPENDED, "Acme (late)")
    row.refresh_from_db()
    assert (row.state, row.name) == (SUSPENDED, "Acme (late)")


@pytest.mark.parametrize("to", [PENDING, ACTIVE, "no such state"])
def test_a_move_that_the_table_does_not_know_changes_nothing(row: Organization, to: str) -> None:
    with pytest.raises(IllegalTransition):
        move(row, to, table=TRANSITIONS, name="changed")
    assert (row.state, row.name) == (ACTIVE, "Acme")
    row.refresh_from_db()
    assert (row.state, row.name) == (ACTIVE, "Acme")


def test_what_counts_is_the_stored_state_and_not_what_we_remember(row: Organization) -> None:
    Organization.objects.update(state=CANCELLED)
    with pytest.raises(IllegalTransition):
        move(row, EXPIRED, table=TRANSITIONS)


def test_of_two_that_move_the_same_row_only_the_first_succeeds(row: Organization) -> None:
    other = Organization.objects.get(pk=row.pk)
    move(row, SUSPENDED, table=TRANSITIONS)
    with pytest.raises(IllegalTransition):
        move(other, SUSPENDED, table=TRANSITIONS)
