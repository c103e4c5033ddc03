"""The warm pool: standby instances that run before anybody asks, so that a sign-up need not wait."""

from __future__ import annotations

import time
import uuid
from datetime import datetime, timedelta

import structlog
from django.db import connection, transaction

from parcelle.core import events
from parcelle.core.states import move
from parcelle.domain.catalog import blueprints
from parcelle.domain.catalog.models import Product
from parcelle.domain.provisioning import application, leases, specs, states, templates
from parcelle.domain.provisioning.errors import InstanceBusy, ProvisioningError
from parcelle.domain.provisioning.events import StandbyBroken, StandbyClaimed
from parcelle.domain.provisioning.models import Finding, Instance, Operation, Target
from parcelle.domain.provisioning.operations import request_operation
from parcelle.domain.provisioning.providers.base import Provider, Status

logger = structlog.get_logger(__name__)

PROBE_SECONDS = 2.0
# After a restart all standbys begin at once: the keeper waits this long before it calls one broken.
STARTING_SECONDS = 30.0
# A standby that could not be prepared is not tried again for this long: most such faults are not gone at once.
PAUSE_AFTER_FAILURE = timedelta(minutes=1)


def claim(instance: Instance, operation: Operation, *, now: datetime) -> bool:
    """Hands a working standby's running stack to `instance`; false when the pool has none.

    Safe to repeat: an instance that already took one over keeps it. A standby that turns out broken is put
    aside and the next one is taken.
    """
    if not instance.from_standby and (instance.template_id is not None or not instance.product.pool_size):
        return False
    while instance.from_standby or _take_next(instance, operation, now=now):
        if is_healthy(instance, specs.provider_of(instance.target)):
            return True
        with transaction.atomic():
            _give_up(instance, now=now)
    return False


def _take_next(instance: Instance, operation: Operation, *, now: datetime) -> bool:
    """Takes over the oldest standby that nobody else is taking; false when there is none."""
    while True:
        with transaction.atomic():
            standby = (
                Instance.objects.select_for_update(skip_locked=True, of=("self",))
                .select_related("template", "target", "product")
                .filter(product=instance.product, target=instance.target, state=states.STANDBY)
                .order_by("created_at")
                .first()
            )
            if standby is None:
                return False
            if _is_outdated(standby):
                _put_aside(standby, now=now)
                continue
            _take_over(instance, standby)
            events.record(
                StandbyClaimed(
                    instance_id=instance.pk,
                    organization_id=instance.organization_id,
                    operation_id=operation.pk,
                    product_id=instance.product_id,
                ),
                now=now,
            )
            return True


def _is_outdated(standby: Instance) -> bool:
    return standby.template is not None and standby.template.version != specs.blueprint_of(standby).version


def _take_over(instance: Instance, standby: Instance) -> None:
    """Swaps identities: the instance gets the running stack, the standby's row goes."""
    own = {"initial_password": instance.secrets["initial_password"]} if "initial_password" in instance.secrets else {}
    leases.release(instance.ref)
    Operation.objects.filter(instance=standby).update(instance=instance)
    standby.delete()
    instance.ref = standby.ref
    instance.template = standby.template
    instance.secrets = {**standby.secrets, **own}
    instance.from_standby = True
    instance.save(update_fields=["ref", "template", "secrets", "from_standby"])


def _give_up(instance: Instance, *, now: datetime) -> None:
    """The standby that was taken over does not work: its stack goes back to be destroyed."""
    broken = Instance(
        ref=instance.ref,
        product=instance.product,
        target=instance.target,
        template=instance.template,
        state=states.FAILED,
        created_at=now,
        secrets=instance.secrets,
    )
    instance.ref = uuid.uuid4()
    instance.template = None
    instance.from_standby = False
    instance.save(update_fields=["ref", "template", "from_standby"])
    broken.save(force_insert=True)
    request_operation(broken, "discard_standby", now=now)
    events.record(StandbyBroken(instance_id=broken.pk, product_id=broken.product_id), now=now)


def _put_aside(standby: Instance, *, now: datetime, actor: str = "system", finding: Finding | None = None) -> Operation:
    move(standby, states.FAILED, table=states.INSTANCE_TRANSITIONS)
    return request_operation(standby, "discard_standby", now=now, actor=actor, finding=finding)


def replace(standby: Instance, *, now: datetime, actor: str, finding: Finding) -> Operation:
    """Discards a standby that drifted, so that the pool makes another one; called with its row locked."""
    operation = _put_aside(standby, now=now, actor=actor, finding=finding)
    events.record(StandbyBroken(instance_id=standby.pk, product_id=standby.product_id), now=now, actor=actor)
    return operation


def is_healthy(instance: Instance, provider: Provider, *, patience: float = 0) -> bool:
    """Whether the stack runs and answers its probe: right now, or within `patience` seconds if it is only starting."""
    if "application" not in provider.capabilities:
        return True
    give_up = time.monotonic() + patience
    try:
        spec = specs.spec_of(instance, provider)
        while True:
            # A supervisor may call a program that began a moment ago "starting" although it answers already.
            if provider.observe(instance.ref).status not in {Status.RUNNING, Status.CREATING}:
                return False
            if application.answers(provider.endpoint(spec), spec.blueprint.probe, timeout=PROBE_SECONDS):
                return True
            if time.monotonic() > give_up:
                return False
            time.sleep(0.5)
    except ProvisioningError:
        return False


def keep(product: Product, *, now: datetime) -> None:
    """Brings the product's pool to its size: drains what is outdated, replaces what is broken, refills.

    One keeper at a time per product; a second one returns at once.
    """
    target = Target.objects.filter(name=product.target_name, enabled=True).first()
    if target is None or not product.enabled:
        return
    provider = specs.provider_of(target)
    blueprint = blueprints.load(product.blueprint)
    if provider.template_phases and templates.ensure(target, blueprint, now=now).state != states.READY:
        return
    _put_aside_broken(product, provider, now=now)
    with transaction.atomic():
        if not _keeper_lock(product):
            return
        mine = Instance.objects.filter(product=product, target=target, organization=None)
        standbys = list(
            mine.filter(state=states.STANDBY)
            .select_for_update(skip_locked=True, of=("self",))
            .select_related("template", "target", "product")
            .order_by("-created_at")
        )
        for standby in standbys:
            if _is_outdated(standby):
                _put_aside(standby, now=now)
        fresh = [standby for standby in standbys if standby.state == states.STANDBY]
        for surplus in fresh[product.pool_size :]:
            _put_aside(surplus, now=now)
        for left in mine.filter(state=states.FAILED).exclude(operations__state__in=states.UNFINISHED):
            request_operation(left, "discard_standby", now=now)
        coming = mine.filter(state__in=(states.REQUESTED, states.PROVISIONING)).count()
        if mine.filter(
            operations__kind="prepare_standby",
            operations__state=states.FAILED,
            operations__finished_at__gt=now - PAUSE_AFTER_FAILURE,
        ).exists():
            return
        used = Instance.objects.filter(target=target, state__in=(*states.HOLDING_NAME, states.STANDBY)).count()
        room = max(0, target.capacity - used)
        for _number in range(min(room, product.pool_size - len(fresh) - coming)):
            standby = Instance.objects.create(
                product=product, target=target, created_at=now, secrets=specs.new_secrets(blueprint)
            )
            request_operation(standby, "prepare_standby", now=now)


def _put_aside_broken(product: Product, provider: Provider, *, now: datetime) -> None:
    standbys = Instance.objects.filter(product=product, state=states.STANDBY, organization=None)
    for standby in standbys.select_related("template", "target", "product"):
        if is_healthy(standby, provider, patience=STARTING_SECONDS):
            continue
        try:
            with transaction.atomic():
                _put_aside_if_still_there(standby, now=now)
        except InstanceBusy:
            continue


def _put_aside_if_still_there(standby: Instance, *, now: datetime) -> None:
    locked = Instance.objects.select_for_update(skip_locked=True, of=("self",)).select_related("target")
    found = locked.filter(pk=standby.pk, state=states.STANDBY).first()
    if found is None:
        return
    logger.warning("a standby is broken", instance_id=str(standby.pk))
    _put_aside(found, now=now)
    events.record(StandbyBroken(instance_id=standby.pk, product_id=standby.product_id), now=now)


def _keeper_lock(product: Product) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 1))", [f"pool:{product.pk}"])
        return bool(cursor.fetchone()[0])
