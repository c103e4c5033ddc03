"""Who asks for some work gets as much, whatever the database believes about its tables.

Of `id IN (SELECT ... LIMIT 1 FOR UPDATE SKIP LOCKED)` PostgreSQL may ask the subquery again for every row, as it does
when it believes that the table has one, and each time it gives another row: the worker would be handed everything.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from parcelle.core import events
from parcelle.domain.billing import webhooks
from parcelle.domain.notifications import actions as notifications
from parcelle.domain.provisioning import runner
from tests.people import NOW

pytestmark = pytest.mark.django_db
VALUES: dict[str, Any] = {"now": NOW, "until": NOW, "most": 1, "worker": "a worker", "id": UUID(int=1), "urgent": ["x"]}
WITHOUT = ("enable_hashjoin", "enable_hashagg", "enable_mergejoin", "enable_material", "enable_memoize")


@pytest.mark.parametrize("source", [runner, events, webhooks, notifications])
def test_what_is_taken_is_looked_for_once(source: Any) -> None:
    with connection.cursor() as cursor:
        for name in WITHOUT:
            cursor.execute("SELECT set_config(%s, 'off', true)", [name])
        cursor.execute(f"EXPLAIN {source._TAKE}", VALUES)
        plan = "\n".join(row[0] for row in cursor.fetchall())
    # PostgreSQL's word for what is asked once, before everything else.
    assert "InitPlan" in plan and plan.index("InitPlan") < plan.index("LockRows"), plan
    assert "Join" not in plan and "Nested Loop" not in plan, plan
