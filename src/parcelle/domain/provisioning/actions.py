"""The verbs of this app. Each is one transaction; what takes time is done by the operation it asks for."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction

from parcelle.core import events
from parcelle.core.compiled import Compiled, Given
from parcelle.core.states import IllegalTransition, move
from parcelle.domain.catalog import blueprints
from parcelle.domain.catalog.models import Product
from parcelle.domain.provisioning import repairs, specs, states
from parcelle.domain.provisioning.errors import NameTaken, NothingToDo, ProvisioningError
from parcelle.domain.provisioning.events import InstanceRequested
from parcelle.domain.provisioning.models import Instance, Operation, Target
from parcelle.domain.provisioning.operations import request_operation
from parcelle.domain.tenancy.models import Organization
from parcelle.domain.tenancy.names import store_under_free_name


@transaction.atomic(savepoint=False)
def request_instance(
    *,
    organization: Organization,
    subscription_id: UUID,
    product: Product,
    slug: str,
    exactly: bool = True,
    owner: dict[str, str],
    limits: dict[str, float],
    request_id: UUID | None,
    actor: str,
    now: datetime,
) -> Instance:
    """A new instance with fresh secrets, and the operation that creates it.

    `owner` personalises the application: company, email, first_name, last_name, language.
    `limits` are the plan's: memory_mb, cpus, pids. When `slug` is held a number is added to it, or NameTaken raised
    if it has to be `exactly` that. Raises ProvisioningError when the product has no usable target or blueprint.
    """
    target = _target.first(name=product.target_name)
    if target is None:
        raise ProvisioningError(f"the target {product.target_name!r} of {product.name} is missing or out of use")
    instance = Instance(
        organization=organization,
        subscription_id=subscription_id,
        product=product,
        target=target,
        slug=slug,
        owner=owner,
        limits=limits,
        secrets=specs.new_secrets(blueprints.load(product.blueprint)),
        request_id=request_id,
        created_at=now,
    )
    held = Instance.objects.filter(state__in=states.HOLDING_NAME)
    store_under_free_name(instance, held=held)
    if exactly and instance.slug != slug:
        raise NameTaken(slug)
    _ask_to_create(instance, actor=actor, now=now)
    return instance


_target = Compiled(lambda: Target.objects.filter(name=Given("name"), enabled=True))


@transaction.atomic
def retry_creation(instance: Instance, *, actor: str, now: datetime) -> None:
    """Tries a failed creation again, with fresh secrets, under the same name.

    Raises IllegalTransition when it has not failed, NameTaken when somebody took the name meanwhile.
    """
    try:
        move(
            instance,
            states.REQUESTED,
            table=states.INSTANCE_TRANSITIONS,
            secrets=specs.new_secrets(specs.blueprint_of(instance)),
        )
    except IntegrityError as error:
        raise NameTaken(instance.slug or "") from error
    _ask_to_create(instance, actor=actor, now=now)


def _ask_to_create(instance: Instance, *, actor: str, now: datetime) -> None:
    operation = request_operation(instance, "create", now=now, actor=actor)
    events.record(
        InstanceRequested(
            instance_id=instance.pk,
            organization_id=instance.organization_id,
            operation_id=operation.pk,
            slug=instance.slug or "",
        ),
        now=now,
        actor=actor,
    )


@transaction.atomic
def change(instance: Instance, kind: str, *, reason: str, actor: str, now: datetime) -> Operation:
    """Asks for one of `states.CHANGES`; `reason`, for suspending and archiving, is one of `queries.REASONS`.

    Raises InstanceBusy while another operation runs, IllegalTransition when its state does not allow it.
    """
    locked = Instance.objects.select_for_update(of=("self",)).select_related("target").get(pk=instance.pk)
    if not states.may_change(locked.state, kind):
        raise IllegalTransition(locked, states.CHANGES[kind])
    operation = request_operation(locked, kind, now=now, actor=actor)
    if kind in {"suspend", "archive"}:
        Instance.objects.filter(pk=instance.pk).update(reason=reason)
    return operation


def can_be_read_only(instance: Instance) -> bool:
    """Whether its blueprint says how."""
    return blueprints.load(instance.product.blueprint).read_only is not None


@transaction.atomic
def set_read_only(instance: Instance, wanted: bool, *, actor: str, now: datetime) -> Operation:
    """Asks the application of a live instance to refuse changes, or to take them again.

    Raises InstanceBusy while another operation runs, IllegalTransition when it is not live.
    """
    locked = Instance.objects.select_for_update(of=("self",)).select_related("target").get(pk=instance.pk)
    if locked.state != states.LIVE:
        raise IllegalTransition(locked, states.LIVE)
    return request_operation(locked, "restrict" if wanted else "unrestrict", now=now, actor=actor)


@transaction.atomic
def retry_operation(operation: Operation, *, actor: str, now: datetime) -> None:
    """Asks once more for what a failed operation was meant to do, if the instance's state still allows it.

    Raises what `retry_creation` and `change` raise, and NothingToDo when there is nothing to try again.
    """
    instance = operation.instance
    if operation.state == states.FAILED and operation.finding_id is not None:
        repairs.repair(operation.finding_id, actor=actor, now=now)
        return
    if operation.state != states.FAILED or instance is None:
        raise NothingToDo("only a failed operation on an instance can be tried again")
    if operation.kind == "create":
        retry_creation(instance, actor=actor, now=now)
    elif operation.kind in states.CHANGES:
        change(instance, operation.kind, reason=instance.reason, actor=actor, now=now)
    elif operation.kind in {"restrict", "unrestrict"}:
        set_read_only(instance, operation.kind == "restrict", actor=actor, now=now)
    elif operation.kind == "discard_standby" and instance.state == states.FAILED:
        request_operation(instance, operation.kind, now=now, actor=actor)
    else:
        raise NothingToDo("the pool replaces its standbys by itself: there is nothing to try again")
