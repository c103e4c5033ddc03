"""On whose behalf the database is asked, with real policies, transactions, threads and a real pooler."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parcelle.core import context
from parcelle.core.context import Context, Platform
from parcelle.core.models import Fact
from parcelle.core.rls import POLICY
from parcelle.domain.tenancy.models import Membership, Organization
from tests import isolation
from tests.people import NOW, Cast, person


def _names(*, within: Context) -> set[str]:
    with context.within(within):
        return set(Organization.objects.values_list("slug", flat=True))


def _of(*organizations: Organization) -> Context:
    return Context(organizations=frozenset(one.pk for one in organizations))


@pytest.mark.django_db
def test_the_application_neither_owns_the_tables_nor_passes_by_their_policies() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False, False)
        cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tableowner = current_user")
        assert cursor.fetchone() == (0,)


@pytest.mark.django_db
def test_every_table_of_an_organization_has_a_forced_policy() -> None:
    ways = {model._meta.db_table for model in isolation.owned_models()}
    owned = ways - set(isolation.NOT_OF_AN_ORGANIZATION)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class JOIN pg_policy ON polrelid = pg_class.oid"
            " WHERE relrowsecurity AND relforcerowsecurity AND polname = %s",
            [POLICY],
        )
        protected = {name for (name,) in cursor.fetchall()}
    assert owned - protected == set(), "give them a policy in their migration: see core/rls"
    # Heads of postings have no column of their own: they are seen with the entries that are parts of them.
    assert protected - owned == {"billing_ledgertransaction", "billing_fecnumber"}
    assert set(isolation.NOT_OF_AN_ORGANIZATION) <= ways


@pytest.mark.django_db
def test_without_a_context_there_are_no_rows(cast: Cast) -> None:
    everybody = _names(within=Context(platform=Platform.COMMANDS))
    assert {"maconnerie-diop", "stranger-sons"} <= everybody
    assert _names(within=context.NOBODY) == set()
    assert _names(within=_of(cast.organization)) == {"maconnerie-diop"}
    assert _names(within=_of(cast.organization, cast.other_organization)) == {"maconnerie-diop", "stranger-sons"}


@pytest.mark.django_db
def test_plain_sql_sees_no_more(cast: Cast) -> None:
    with context.organization(cast.organization.pk), connection.cursor() as cursor:
        cursor.execute("SELECT slug FROM tenancy_organization WHERE true OR id = %s", [cast.other_organization.pk])
        assert cursor.fetchall() == [("maconnerie-diop",)]
        cursor.execute("UPDATE tenancy_organization SET name = 'mine' WHERE id = %s", [cast.other_organization.pk])
        assert cursor.rowcount == 0
        cursor.execute("DELETE FROM tenancy_membership WHERE organization_id = %s", [cast.other_organization.pk])
        assert cursor.rowcount == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege), transaction.atomic():
            connection.connection.execute(
                "INSERT INTO core_fact (name, at, actor, organization_id, data) VALUES ('X', now(), 'x', %s, '{}')",
                [cast.other_organization.pk],
            )
        with pytest.raises(psycopg.errors.InsufficientPrivilege), transaction.atomic():
            connection.connection.execute("ALTER TABLE tenancy_organization DISABLE ROW LEVEL SECURITY")


@pytest.mark.django_db
def test_a_row_cannot_be_given_away(cast: Cast) -> None:
    mine = Membership.objects.get(user=cast.owner)
    with context.organization(cast.organization.pk), pytest.raises(DatabaseError), transaction.atomic():
        Membership.objects.filter(pk=mine.pk).update(organization=cast.other_organization, user=cast.stranger)


@pytest.mark.django_db
def test_before_it_is_known_where_they_belong_somebody_finds_their_own_memberships_only(cast: Cast) -> None:
    both = person("Bo", "both")
    for organization in (cast.organization, cast.other_organization):
        Membership.objects.create(organization=organization, user=both, role=Membership.VIEWER, created_at=NOW)
    with context.within(Context(user=both.pk)):
        assert [row.user_id for row in Membership.objects.all()] == [both.pk] * 2
        assert not Organization.objects.exists()


@pytest.mark.django_db
def test_a_scope_inside_a_transaction_ends_where_it_ends(cast: Cast) -> None:
    with context.organization(cast.organization.pk), transaction.atomic():
        assert Organization.objects.count() == 1
        with context.platform(Platform.CHANGE):
            assert Organization.objects.count() >= 2
        assert Organization.objects.count() == 1
        with context.within(context.NOBODY):
            assert Organization.objects.count() == 0
        with pytest.raises(RuntimeError), transaction.atomic(), context.platform(Platform.CHANGE):
            raise RuntimeError
        assert Organization.objects.count() == 1
        with pytest.raises(DatabaseError), context.platform(Platform.CHANGE), transaction.atomic():
            Organization.objects.create(slug=cast.organization.slug, created_at=NOW)
        assert Organization.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_each_statement_has_its_own(cast: Cast) -> None:
    with context.organization(cast.organization.pk):
        assert [one.slug for one in Organization.objects.all()] == ["maconnerie-diop"]
        assert [one.slug for one in Organization.objects.iterator()] == ["maconnerie-diop"]
        with pytest.raises(DatabaseError), connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0 FROM tenancy_organization")
        # What failed leaves neither an open transaction nor the organization behind.
        assert connection.connection.info.transaction_status.name == "IDLE"
        assert [one.slug for one in Organization.objects.all()] == ["maconnerie-diop"]
        Organization.objects.update(name="Diop")
    assert _left_behind() == ""
    assert _names(within=context.NOBODY) == set()
    assert set(Organization.objects.values_list("name", flat=True)) == {"Diop", "Stranger & Sons"}


def _left_behind() -> str:
    with context.within(context.NOBODY), connection.cursor() as cursor:
        cursor.execute(
            "SELECT concat(current_setting('parcelle.platform', true),"
            " current_setting('parcelle.organization', true), current_setting('parcelle.organizations', true),"
            " current_setting('parcelle.person', true))"
        )
        (said,) = cursor.fetchone() or ("",)
        return str(said)


@pytest.mark.django_db(transaction=True)
def test_what_is_committed_or_rolled_back_leaves_nothing_on_the_connection(cast: Cast) -> None:
    with context.organization(cast.organization.pk):
        with transaction.atomic():
            Organization.objects.count()
        with pytest.raises(RuntimeError), transaction.atomic():
            raise RuntimeError
    assert _left_behind() == ""


@pytest.mark.django_db
def test_it_is_carried_to_another_thread_only_where_that_is_said(cast: Cast) -> None:
    def who() -> Context:
        return context.current()

    with context.organization(cast.organization.pk), ThreadPoolExecutor(1) as threads:
        assert threads.submit(context.carried(who)).result() == _of(cast.organization)
        assert threads.submit(who).result() != _of(cast.organization)


# --- many at once -------------------------------------------------------------------------------------------


@pytest.fixture
def crowd(transactional_db: None) -> list[UUID]:
    """Twenty organizations with one fact each, and one fact of the platform's own."""
    ids = [uuid4() for _ in range(20)]
    for number, key in enumerate(ids):
        Organization.objects.create(pk=key, name=f"N{number}", slug=f"org-{number}", created_at=NOW)
        Fact.objects.create(name="Crowd", at=NOW, organization_id=key)
    Fact.objects.create(name="Crowd", at=NOW)
    return ids


def _facts() -> list[UUID | None]:
    return sorted(Fact.objects.filter(name="Crowd").values_list("organization_id", flat=True), key=str)


_STEP = st.sampled_from(["page", "transaction", "failing", "night", "nobody", "inside", "several"])


@given(plan=st.lists(st.tuples(st.integers(0, 19), _STEP), min_size=20, max_size=60), seed=st.integers(0, 2**16))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_requests_and_jobs_of_twenty_organizations_never_see_each_other(
    crowd: list[UUID], plan: list[tuple[int, str]], seed: int
) -> None:
    """On six threads that share the pool's connections, in every order."""
    steps = [list(group) for group in _dealt(plan, 6, seed)]
    wrong: list[str] = []

    def work(mine: list[tuple[int, str]]) -> None:
        try:
            for number, what in mine:
                seen, allowed = _asked(crowd, number, what)
                if seen != allowed:
                    wrong.append(f"{what} of {number} saw {seen}")
        except Exception as error:  # noqa: BLE001 - looked at below
            wrong.append(repr(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=[mine]) for mine in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def _dealt[T](items: list[T], hands: int, seed: int) -> Iterator[list[T]]:
    shuffled = random.Random(seed).sample(items, len(items))
    yield from (shuffled[start::hands] for start in range(hands))


def _asked(crowd: list[UUID], number: int, what: str) -> tuple[list[UUID | None], list[UUID | None]]:
    own = crowd[number]
    match what:
        case "page":
            with context.organization(own):
                return _facts(), [own]
        case "transaction":
            with context.organization(own), transaction.atomic():
                return _facts(), [own]
        case "failing":
            with context.organization(own):
                with pytest.raises(DatabaseError), connection.cursor() as cursor:
                    cursor.execute("SELECT 1 / 0")
                return _facts(), [own]
        case "night":
            with context.platform(Platform.JOBS):
                return _facts(), sorted([*crowd, None], key=str)
        case "inside":
            with context.platform(Platform.JOBS), transaction.atomic(), context.organization(own):
                return _facts(), [own]
        case "several":
            other = crowd[(number + 1) % len(crowd)]
            with context.organization(own, other):
                return _facts(), sorted([own, other], key=str)
    with context.within(context.NOBODY):
        return _facts(), []


@pytest.mark.django_db(transaction=True)
def test_control_what_is_not_reset_is_seen_by_the_next_one(crowd: list[UUID]) -> None:
    """The same without `LOCAL`: the next request on this connection sees what the last one was allowed to see."""
    with context.within(context.NOBODY):
        with connection.cursor() as cursor:
            cursor.execute(f"SET parcelle.organizations = '{{{crowd[0]}}}'")
        try:
            assert _facts() == [crowd[0]]
        finally:
            with connection.cursor() as cursor:
                cursor.execute("RESET parcelle.organizations")
        assert _facts() == []


def test_words_of_a_context_are_quoted() -> None:
    assert b"operators'' API" in Context(platform=Platform.OPERATORS_API).opening
    assert context.NOBODY.opening == b""
    assert len(set(itertools.chain(Platform))) == len(Platform)
