"""Customers for the tests of the portal, in any state a page may meet."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from parcelle.domain.accounts.models import User
from parcelle.domain.billing.models import Subscription
from parcelle.domain.catalog.models import Plan, Product
from parcelle.domain.provisioning.models import Instance, Operation, Step, Target
from parcelle.domain.tenancy.models import Membership, Organization

STEPS = [
    "claim_standby",
    "reserve",
    "await_template",
    "create_database",
    "start",
    "check_health",
    "personalise",
    "check_sign_in",
    "publish_route",
]


def offer() -> Plan:
    """One product on sale with one plan."""
    Target.objects.create(name="nowhere", provider="null")
    product = Product.objects.create(
        slug="tryton",
        name="Tryton",
        tagline_fr="Un outil",
        tagline_en="A tool",
        blueprint="plain",
        target_name="nowhere",
    )
    return Plan.objects.create(product=product, slug="essai", name="Essai", trial_days=30, retention_days=30)


@dataclass
class Company:
    """A customer with one owner, and whatever instances a test gives it."""

    organization: Organization
    owner: User
    plan: Plan

    def instance(self, state: str, *, name: str | None = None, **fields: Any) -> Instance:
        return Instance.objects.create(
            organization=self.organization,
            product=self.plan.product,
            target=Target.objects.get(name="nowhere"),
            slug=name or f"{self.organization.slug}-{uuid.uuid4().hex[:6]}",
            state=state,
            created_at=timezone.now(),
            secrets={"initial_password": "Kp7mWq2xRt9v"},
            **fields,
        )

    def operation(self, instance: Instance, state: str, *, done: int = 0, **fields: Any) -> Operation:
        """A creation of which `done` steps are finished and the next one runs."""
        now = timezone.now()
        operation = Operation.objects.create(
            kind="create",
            instance=instance,
            state=state,
            created_at=now - timedelta(seconds=9),
            started_at=now - timedelta(seconds=9),
            deadline_at=now + timedelta(minutes=5),
            **fields,
        )
        for position, name in enumerate(STEPS):
            step = "succeeded" if position < done else "running" if position == done else "pending"
            Step.objects.create(
                operation=operation,
                position=position,
                name=name,
                state=step,
                attempt=int(step != "pending"),
                started_at=None if step == "pending" else now - timedelta(seconds=4),
                finished_at=now - timedelta(seconds=3) if step == "succeeded" else None,
            )
        return operation

    def subscription(self, state: str = "trialing", **fields: Any) -> Subscription:
        now = timezone.now()
        values = {"created_at": now, "trial_ends_at": now + timedelta(days=12, hours=1), **fields}
        return Subscription.objects.create(organization=self.organization, plan=self.plan, state=state, **values)


def found(name: str, email: str, plan: Plan) -> Company:
    """A company that has an account and nothing else."""
    now = timezone.now()
    owner = User.objects.create_user(email, first_name="Awa", last_name="Ndiaye", phone="+33612345678")
    organization = Organization.objects.create(name=name, slug=uuid.uuid4().hex[:12], created_at=now)
    Membership.objects.create(organization=organization, user=owner, role=Membership.OWNER, created_at=now)
    return Company(organization, owner, plan)
