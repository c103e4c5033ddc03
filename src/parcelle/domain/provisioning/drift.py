"""Drift: what should exist on a target, compared with what does.

Differences become findings, which open and close by themselves: found again is the same row, gone is closed.
Nothing is changed on the target here; `repairs.py` asks for that. What an unfinished operation works on is
neither right nor wrong, and every suspicion is looked at twice before anybody hears of it.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Q

from parcelle.core import events
from parcelle.domain.catalog import blueprints
from parcelle.domain.catalog.blueprints import BlueprintError
from parcelle.domain.provisioning import leases, specs, states
from parcelle.domain.provisioning.events import DriftFound, DriftGone
from parcelle.domain.provisioning.models import Finding, Instance, Operation, PortLease, SubnetLease, Target, Template
from parcelle.domain.provisioning.providers.base import Found, Provider, Status

logger = structlog.get_logger(__name__)

# Programs that begin, containers that are replaced: most of what looks wrong is right by then.
LOOK_AGAIN_SECONDS = 5.0


class Wish(enum.Enum):
    """How an instance should be found."""

    RUNNING = enum.auto()
    RESTING = enum.auto()
    NOTHING = enum.auto()


_WISHES = {
    states.LIVE: Wish.RUNNING,
    states.STANDBY: Wish.RUNNING,
    states.SLEEPING: Wish.RESTING,
    states.SUSPENDED: Wish.RESTING,
}
_WRONG: Mapping[Wish, Mapping[Status, str]] = {
    Wish.RUNNING: {
        Status.ABSENT: states.MISSING,
        Status.CREATING: states.HALF_MADE,
        Status.STOPPED: states.STOPPED,
        Status.FAILED: states.STOPPED,
    },
    # A program that is ended from outside may well say so by a code: stopped and failed are the same here.
    Wish.RESTING: {
        Status.ABSENT: states.MISSING,
        Status.CREATING: states.HALF_MADE,
        Status.RUNNING: states.AWAKE,
    },
    Wish.NOTHING: dict.fromkeys((Status.CREATING, Status.RUNNING, Status.STOPPED, Status.FAILED), states.HALF_MADE),
}


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """Something that looks wrong, as it would be recorded."""

    kind: str
    ref: UUID
    name: str
    instance_id: UUID | None = None
    template_id: UUID | None = None
    parts: tuple[str, ...] = ()
    detail: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.kind, short(self.ref)


def short(ref: UUID) -> str:
    """The half of a ref that every provider keeps, as 16 hexadecimal digits."""
    return ref.hex[:16]


def wish_of(instance: Instance) -> Wish:
    return _WISHES.get(instance.state, Wish.NOTHING)


def verdict(instance: Instance, provider: Provider) -> str | None:
    """What is wrong with the instance right now, as a finding's kind; None when it is as it should be."""
    found = {short(found.ref): found for found in provider.inventory()}
    return _kind(wish_of(instance), _status(instance.ref, found, provider))


def look(target: Target, *, now: datetime, pause: float = LOOK_AGAIN_SECONDS) -> list[Finding]:
    """Compares one target, opens and closes its findings, and returns those that are open.

    Raises ProvisioningError, and changes nothing, when the target cannot be asked. `pause` in seconds.
    """
    provider = specs.provider_of(target)
    suspicions, undecided = _suspicions(target, provider)
    if suspicions:
        time.sleep(pause)
        again, still = _suspicions(target, provider)
        suspicions = {key: suspicion for key, suspicion in again.items() if key in suspicions}
        undecided |= still
    _record(target, suspicions, undecided, now=now)
    return list(open_findings(target))


def open_findings(target: Target | None = None) -> Iterable[Finding]:
    """Newest first; of all targets when none is given."""
    rows = Finding.objects.filter(closed_at=None).select_related("target", "instance", "template")
    return rows.filter(target=target) if target else rows


# --- the comparison -----------------------------------------------------------------------------------------


def _suspicions(target: Target, provider: Provider) -> tuple[dict[tuple[str, str], Suspicion], set[str]]:
    """(what looks wrong by its key, short refs that nobody can judge right now)"""
    undecided = _undecided(target)
    wanted = Instance.objects.filter(target=target, state__in=(*_WISHES, states.REQUESTED, states.PROVISIONING))
    instances = {short(row.ref): row for row in wanted.defer("secrets")}
    found = {short(found.ref): found for found in provider.inventory()}
    leased = _leased(target)
    known = instances | _owners((found.keys() | leased.keys()) - instances.keys())
    # Two targets may lead to one engine, which lists what the other one holds as well.
    here = {key: row for key, row in known.items() if row.target_id == target.pk}
    suspicions = [_of_instance(row, found, provider) for key, row in here.items() if key not in undecided]
    suspicions += [_unknown(thing) for key, thing in found.items() if key not in known]
    for key, (ref, parts) in leased.items():
        row = known.get(key)
        if (row is None or wish_of(row) is Wish.NOTHING) and key not in found:
            suspicions.append(_lease(ref, parts, row))
    suspicions += _templates(target, provider)
    return {s.key: s for s in suspicions if s is not None and short(s.ref) not in undecided}, undecided


def _undecided(target: Target) -> set[str]:
    unfinished = Operation.objects.filter(state__in=states.UNFINISHED)
    return {
        short(ref)
        for rows in (
            unfinished.filter(instance__target=target).values_list("instance__ref", flat=True),
            unfinished.filter(template__target=target).values_list("template__pk", flat=True),
            unfinished.filter(finding__target=target).values_list("finding__ref", flat=True),
        )
        for ref in rows
    }


def _owners(keys: Iterable[str]) -> dict[str, Instance]:
    """The instances of these short refs, on whichever target and in whatever state."""
    anywhere = Q()
    for key in keys:
        anywhere |= Q(ref__gte=UUID(key.ljust(32, "0")), ref__lte=UUID(key.ljust(32, "f")))
    rows = Instance.objects.filter(anywhere).defer("secrets") if anywhere else []
    return {short(row.ref): row for row in rows}


def _leased(target: Target) -> dict[str, tuple[UUID, list[str]]]:
    """short ref -> (ref, what it has reserved); what other programs use is nobody's."""
    reserved: dict[str, tuple[UUID, list[str]]] = {}
    ports = PortLease.objects.filter(target=target).exclude(purpose="foreign")
    subnets = SubnetLease.objects.filter(target=target).exclude(purpose="foreign")
    for ref, port in ports.order_by("port").values_list("ref", "port"):
        reserved.setdefault(short(ref), (ref, []))[1].append(f"port/{port}")
    for ref, place in subnets.order_by("place").values_list("ref", "place"):
        reserved.setdefault(short(ref), (ref, []))[1].append(f"network/{leases.subnet_at(place)}")
    return reserved


def _of_instance(row: Instance, found: Mapping[str, Found], provider: Provider) -> Suspicion | None:
    kind = _kind(wish_of(row), _status(row.ref, found, provider))
    if kind is None:
        return None
    thing = found.get(short(row.ref))
    return Suspicion(
        kind=kind,
        ref=row.ref,
        name=str(row),
        instance_id=row.pk,
        parts=thing.parts if thing else (),
        detail=thing.detail if thing else "",
    )


def _status(ref: UUID, found: Mapping[str, Found], provider: Provider) -> Status:
    """What is not in the list is asked for by name: not every provider can list what rests."""
    thing = found.get(short(ref))
    return thing.status if thing else provider.observe(ref).status


def _kind(wish: Wish, status: Status) -> str | None:
    return _WRONG[wish].get(status)


def _unknown(thing: Found) -> Suspicion:
    name = thing.name or str(thing.ref)[:8]
    return Suspicion(kind=states.UNKNOWN, ref=thing.ref, name=name, parts=thing.parts, detail=thing.detail)


def _lease(ref: UUID, parts: list[str], row: Instance | None) -> Suspicion:
    return Suspicion(
        kind=states.LEASED,
        ref=ref,
        name=str(row) if row else ", ".join(part.partition("/")[2] for part in parts),
        instance_id=row.pk if row else None,
        parts=tuple(parts),
    )


def _templates(target: Target, provider: Provider) -> list[Suspicion]:
    """Templates of the present versions that are not where they were built; older ones clone nothing any more."""
    missing = []
    for template in Template.objects.filter(target=target, state=states.READY).defer("secrets"):
        try:
            blueprint = blueprints.load(template.blueprint)
        except BlueprintError as error:
            logger.warning("a template's blueprint cannot be read", template_id=str(template.pk), reason=str(error))
            continue
        if blueprint.version == template.version and not provider.has_template(blueprint):
            name = f"{template.blueprint} {template.version}"
            missing.append(Suspicion(kind=states.MISSING, ref=template.pk, name=name, template_id=template.pk))
    return missing


# --- findings -----------------------------------------------------------------------------------------------


@transaction.atomic
def _record(
    target: Target, suspicions: Mapping[tuple[str, str], Suspicion], undecided: set[str], *, now: datetime
) -> None:
    # One after the other: two looks at the same time must not open the same finding.
    Target.objects.select_for_update(of=("self",)).get(pk=target.pk)
    known = {(row.kind, short(row.ref)): row for row in Finding.objects.filter(target=target, closed_at=None)}
    for key, suspicion in suspicions.items():
        seen = {"parts": list(suspicion.parts), "detail": suspicion.detail[:500], "seen_at": now}
        if key in known:
            Finding.objects.filter(pk=known[key].pk).update(name=suspicion.name[:200], **seen)
        else:
            _open(target, suspicion, seen, now=now)
    for key, row in known.items():
        if key not in suspicions and key[1] not in undecided:
            _close(row, now=now)


def _open(target: Target, suspicion: Suspicion, seen: dict[str, object], *, now: datetime) -> None:
    finding = Finding.objects.create(
        target=target,
        kind=suspicion.kind,
        ref=suspicion.ref,
        name=suspicion.name[:200],
        instance_id=suspicion.instance_id,
        template_id=suspicion.template_id,
        opened_at=now,
        **seen,
    )
    _tell(DriftFound, finding, now=now)


def _close(finding: Finding, *, now: datetime) -> None:
    if Finding.objects.filter(pk=finding.pk, closed_at=None).update(closed_at=now):
        _tell(DriftGone, finding, now=now)


def settle(operation: Operation, *, now: datetime) -> None:
    """Closes what a successful operation has repaired, in its last transaction."""
    if operation.finding is None:
        return
    here = Finding.objects.filter(target_id=operation.finding.target_id, closed_at=None)
    for finding in here.filter(ref=operation.finding.ref).select_related("target", "instance"):
        _close(finding, now=now)


def _tell(happened: type[DriftFound | DriftGone], finding: Finding, *, now: datetime) -> None:
    fact = happened(
        finding_id=finding.pk,
        instance_id=finding.instance_id,
        organization_id=finding.instance.organization_id if finding.instance else None,
        target=finding.target.name,
        kind=finding.kind,
        name=finding.name,
    )
    events.record(fact, now=now)


# --- what repairs need to know --------------------------------------------------------------------------------


def parts_of(finding: Finding, provider: Provider) -> set[str]:
    """What is there of it right now."""
    key = short(finding.ref)
    return {part for thing in provider.inventory() if short(thing.ref) == key for part in thing.parts}


def owner_of(finding: Finding) -> Instance | None:
    """The instance that the thing belongs to, should it have become known since."""
    return _owners([short(finding.ref)]).get(short(finding.ref))


def release(finding: Finding) -> None:
    """Gives back every port and network that was reserved for it."""
    leased = _leased(finding.target).get(short(finding.ref))
    if leased:
        leases.release(leased[0])
