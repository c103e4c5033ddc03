"""Customers' own domains: asked for, proven by DNS, given a certificate, looked at every day, given up.

A domain belongs to whoever writes our word for their organization into its DNS. Only then does a route lead
there and may a certificate be asked for. It is free for somebody else when no route leads there any more.
"""

from __future__ import annotations

import contextlib
import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict
from urllib.parse import urlsplit
from uuid import UUID

import idna
import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from procrastinate.contrib.django import app as queue
from procrastinate.exceptions import AlreadyEnqueued

from parcelle.core import crypto, events
from parcelle.core.context import Platform, as_platform
from parcelle.core.states import IllegalTransition, move
from parcelle.domain.provisioning import nameservers, routes, specs, states
from parcelle.domain.provisioning.events import DomainAdded, DomainBroken, DomainLive, DomainRemoved
from parcelle.domain.provisioning.ingress.base import is_host
from parcelle.domain.provisioning.models import Domain, DomainProof, Instance, PublishedRoute, RouteHost
from parcelle.domain.provisioning.nameservers import Verdict, Wanted

logger = structlog.get_logger(__name__)

# What a check can find wrong; surfaces put these into words.
PROBLEMS = (
    "no_record",
    "elsewhere",
    "no_proof",
    "wrong_proof",
    "travelling",
    "dns_silent",
    "held",
    "certificate",
)
# Why a host name cannot be added.
REFUSALS = ("invalid", "ours", "taken", "already", "too_many", "unsupported", "not_now")

MOST_PER_ORGANIZATION = 20
TOKEN_LENGTH = 32
# Minutes until the next look while something is missing, by how often it was looked for in vain.
_PAUSES = (1, 1, 2, 5, 10, 30, 60, 180, 360, 720, 1440)
_WHEN_SILENT = timedelta(minutes=15)
# A live domain is called broken when it fails this often in a row.
_CHANCES = 3
_BETWEEN_CHANCES = timedelta(minutes=10)
DAILY = timedelta(days=1)
# Nobody is waiting any more for a domain that was not set up in this time; the button still works.
PATIENCE = timedelta(days=30)
# How long a broken domain keeps its route, so that a mistake in the DNS can be repaired.
GRACE = timedelta(days=7)
_WITHOUT_OWNERS = frozenset({"localhost", "local", "internal", "invalid", "onion", "arpa"})


class DomainRefused(Exception):
    """This host name cannot be added; `code` is one of `REFUSALS`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Record:
    """One record as it is entered at whoever runs the customer's DNS."""

    kind: str
    name: str
    value: str


# --- verbs ----------------------------------------------------------------------------------------------------


@as_platform(Platform.CHANGE)
def add(instance: Instance, text: str, *, actor: str, now: datetime) -> Domain:
    """A domain for this instance, and the first look at its DNS. Raises DomainRefused."""
    if not routes.supports("hosts"):
        raise DomainRefused("unsupported")
    if instance.organization_id is None or instance.state not in (states.LIVE, states.SLEEPING, states.SUSPENDED):
        raise DomainRefused("not_now")
    host = normalise(text)
    if Domain.objects.filter(host=host, state__in=states.HOLDING_DOMAIN).exclude(
        organization_id=instance.organization_id
    ):
        raise DomainRefused("taken")
    own = Domain.objects.filter(organization_id=instance.organization_id).exclude(state=states.REMOVED)
    if own.count() >= MOST_PER_ORGANIZATION:
        raise DomainRefused("too_many")
    try:
        with transaction.atomic():
            return _store(instance, host, actor=actor, now=now)
    except IntegrityError as error:
        raise DomainRefused("already") from error


def _store(instance: Instance, host: str, *, actor: str, now: datetime) -> Domain:
    assert instance.organization_id is not None
    DomainProof.objects.get_or_create(
        organization_id=instance.organization_id, defaults={"token": crypto.generate(TOKEN_LENGTH)}
    )
    domain = Domain.objects.create(
        host=host,
        organization_id=instance.organization_id,
        instance=instance,
        created_at=now,
        next_check_at=now,
    )
    events.record(DomainAdded(**_who(domain)), now=now, actor=actor)
    check_soon(domain)
    return domain


def normalise(text: str) -> str:
    """The host name in what a person typed, as it stands in certificates. Raises DomainRefused."""
    typed = text.strip().lower()
    with contextlib.suppress(ValueError):
        typed = (urlsplit(typed if "//" in typed else f"//{typed}").hostname or "").rstrip(".")
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(typed)
        raise DomainRefused("invalid")
    try:
        host = idna.encode(typed, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise DomainRefused("invalid") from error
    if not is_host(host) or "_" in host or host.rpartition(".")[2] in _WITHOUT_OWNERS:
        raise DomainRefused("invalid")
    if any(host == own or host.endswith(f".{own}") for own in _own_domains()):
        raise DomainRefused("ours")
    return host


def _own_domains() -> set[str]:
    site = urlsplit(settings.PUBLIC_URL).hostname or ""
    return {name.lstrip(".") for name in (settings.APPS_DOMAIN, site, *settings.ALLOWED_HOSTS) if name not in {"", "*"}}


def check_soon(domain: Domain) -> None:
    """Has a worker look; asking twice is asking once."""
    key = f"domain:{domain.pk}"
    task = queue.configure_task("provisioning.check_domain", queue="domains", queueing_lock=key, lock=key, priority=5)
    with contextlib.suppress(AlreadyEnqueued), transaction.atomic():
        task.defer(domain_id=str(domain.pk))


def check_due(*, now: datetime) -> int:
    """Each in a job of its own: one that takes long does not hold up the others."""
    due = list(Domain.objects.filter(next_check_at__lte=now).exclude(state=states.REMOVED)[:500])
    for domain in due:
        check_soon(domain)
    return len(due)


@transaction.atomic
def remove(domain: Domain, *, actor: str, now: datetime) -> None:
    """Gives the domain up. It stays its customer's until nothing leads there; a worker sees to that."""
    _close(domain)
    Domain.objects.filter(pk=domain.pk).exclude(state=states.REMOVED).update(leaving=True, next_check_at=now)
    logger.info("a domain is given up", host=domain.host, actor=actor)
    check_soon(domain)


def let_go_all(instance: Instance, *, now: datetime) -> None:
    """The instance's address is gone: its domains are anybody's again."""
    for domain in Domain.objects.filter(instance=instance).exclude(state=states.REMOVED):
        _removed(domain, "archived", now=now)


# --- the check ------------------------------------------------------------------------------------------------


def check(domain_id: UUID, *, now: datetime) -> None:
    """Looks at the DNS and at the address itself, and brings the domain as far as it goes.

    Raises ProvisioningError when the ingress cannot be told; doing it again is fine.
    """
    domain = Domain.objects.select_related("instance__product", "organization").filter(pk=domain_id).first()
    if domain is None or domain.state == states.REMOVED:
        return
    if domain.leaving:
        _release(domain, "customer", now=now)
        return
    try:
        verdict = nameservers.judge(_wanted(domain))
    except nameservers.Silent:
        _note(domain, Verdict("dns_silent"), now=now, again=now + _WHEN_SILENT)
        return
    with contextlib.suppress(IllegalTransition):
        if verdict.problem:
            _dns_is_wrong(domain, verdict, now=now)
        else:
            _dns_is_right(domain, now=now)


def _dns_is_wrong(domain: Domain, verdict: Verdict, *, now: datetime) -> None:
    if domain.state == states.BROKEN and domain.broken_at and domain.broken_at < now - GRACE:
        _release(domain, "broken", now=now)
    elif domain.state in (states.LIVE, states.CERT_ISSUING, states.DNS_OK):
        _failed(domain, verdict, now=now)
    else:
        _note(domain, verdict, now=now, again=_later(domain, now), failed=True)


def _dns_is_right(domain: Domain, *, now: datetime) -> None:
    if domain.state == states.PENDING and not _hold(domain, now=now):
        _note(domain, Verdict("held"), now=now, again=_later(domain, now), failed=True)
        return
    if not _open(domain):
        _note(domain, Verdict("held"), now=now, again=_later(domain, now), failed=True)
        return
    if domain.state in (states.DNS_OK, states.BROKEN):
        move(domain, states.CERT_ISSUING, table=states.DOMAIN_TRANSITIONS, problem="", seen="")
    wrong = routes.ask(domain.host, specs.blueprint_of(domain.instance).probe)
    if not wrong:
        _succeeded(domain, now=now)
    elif domain.state == states.LIVE:
        _failed(domain, Verdict("certificate", wrong), now=now)
    else:
        # Not before the next look: an authority that is asked too often stops answering for everybody.
        RouteHost.objects.filter(pk=domain.host).update(certificate=False)
        _note(domain, Verdict("certificate", wrong), now=now, again=_later(domain, now), failed=True)


def _hold(domain: Domain, *, now: datetime) -> bool:
    """From here on it is this customer's alone; false when it is another's."""
    try:
        with transaction.atomic():
            move(
                domain, states.DNS_OK, table=states.DOMAIN_TRANSITIONS, problem="", seen="", checked_at=now, failures=0
            )
    except IntegrityError:
        return False
    return True


def _open(domain: Domain) -> bool:
    """A route leads from the host to the instance; false when the host leads to somebody else's."""
    route = PublishedRoute.objects.filter(instance_id=domain.instance_id).first()
    if route is None:
        return True
    with transaction.atomic():
        row, _new = RouteHost.objects.select_for_update().get_or_create(
            host=domain.host, defaults={"route": route, "custom": True}
        )
        if row.route_id != route.pk:
            return False
        if not row.certificate:
            RouteHost.objects.filter(pk=domain.host).update(certificate=True)
    routes.push(route.pk)
    return True


def _succeeded(domain: Domain, *, now: datetime) -> None:
    fine = {"problem": "", "seen": "", "failures": 0, "checked_at": now, "next_check_at": now + DAILY}
    if domain.state == states.LIVE:
        Domain.objects.filter(pk=domain.pk, state=states.LIVE).update(**fine)
        return
    with transaction.atomic():
        move(domain, states.LIVE, table=states.DOMAIN_TRANSITIONS, live_at=now, broken_at=None, **fine)
        events.record(DomainLive(**_who(domain)), now=now)


def _failed(domain: Domain, verdict: Verdict, *, now: datetime) -> None:
    """It worked before: a single bad look is not believed, several are."""
    if domain.failures + 1 < _CHANCES:
        _note(domain, verdict, now=now, again=now + _BETWEEN_CHANCES, failed=True)
        return
    with transaction.atomic():
        move(
            domain,
            states.BROKEN,
            table=states.DOMAIN_TRANSITIONS,
            problem=verdict.problem,
            seen=verdict.seen,
            broken_at=now,
            failures=0,
            checked_at=now,
            next_check_at=now + timedelta(hours=1),
        )
        RouteHost.objects.filter(pk=domain.host, route__instance_id=domain.instance_id).update(certificate=False)
        events.record(DomainBroken(**_who(domain), problem=verdict.problem), now=now)


def _note(domain: Domain, verdict: Verdict, *, now: datetime, again: datetime | None, failed: bool = False) -> None:
    Domain.objects.filter(pk=domain.pk, state=domain.state).update(
        problem=verdict.problem,
        seen=verdict.seen[:500],
        checked_at=now,
        next_check_at=again,
        failures=min(domain.failures + failed, 1000),
    )


def _later(domain: Domain, now: datetime) -> datetime | None:
    if domain.state == states.PENDING and domain.created_at < now - PATIENCE:
        return None
    return now + timedelta(minutes=_PAUSES[min(domain.failures, len(_PAUSES) - 1)])


# --- giving up ------------------------------------------------------------------------------------------------


def _close(domain: Domain) -> None:
    """No route leads there in our rows; a host that leads to somebody else's stays."""
    RouteHost.objects.filter(pk=domain.host, custom=True, route__instance_id=domain.instance_id).delete()


def _release(domain: Domain, reason: str, *, now: datetime) -> None:
    _close(domain)
    route = PublishedRoute.objects.filter(instance_id=domain.instance_id).first()
    if route is not None:
        routes.push(route.pk)
    _removed(domain, reason, now=now)


def _removed(domain: Domain, reason: str, *, now: datetime) -> None:
    with contextlib.suppress(IllegalTransition), transaction.atomic():
        move(domain, states.REMOVED, table=states.DOMAIN_TRANSITIONS, removed_at=now, next_check_at=None, leaving=False)
        events.record(DomainRemoved(**_who(domain), reason=reason), now=now)


# --- questions ------------------------------------------------------------------------------------------------


def of_instance(instance: Instance) -> QuerySet[Domain]:
    """The instance's domains that are not removed, oldest first."""
    return Domain.objects.filter(instance=instance).exclude(state=states.REMOVED).order_by("created_at")


def records(domain: Domain) -> list[Record]:
    """What the customer enters into their DNS: where the name leads to, then the proof that it is theirs.

    A name of two labels cannot have a CNAME; for it, and as a second choice, there are our addresses where known.
    """
    wanted = _wanted(domain)
    by_name = Record("CNAME", domain.host, wanted.target)
    by_address = [
        Record("AAAA" if ":" in address else "A", domain.host, address) for address in sorted(wanted.addresses)
    ]
    leading = by_address if is_apex(domain.host) and by_address else [by_name]
    proof = Record("TXT", nameservers.proof_name(domain.host), nameservers.proof_value(wanted.token))
    return [*leading, proof]


def is_apex(host: str) -> bool:
    return host.count(".") == 1


def _wanted(domain: Domain) -> Wanted:
    return Wanted(
        host=domain.host,
        target=routes.platform_host(domain.instance),
        addresses=frozenset(settings.EDGE_PUBLIC_ADDRESSES),
        token=DomainProof.objects.get(organization_id=domain.organization_id).token,
    )


class _Who(TypedDict):
    domain_id: UUID
    instance_id: UUID
    organization_id: UUID
    host: str


def _who(domain: Domain) -> _Who:
    return _Who(
        domain_id=domain.pk,
        instance_id=domain.instance_id,
        organization_id=domain.organization_id,
        host=domain.host,
    )
