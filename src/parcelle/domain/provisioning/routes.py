"""Where instances are reached: the committed snapshot, and bringing the ingress to it.

The rows come first, then whatever is in front of the applications is told. Whoever tells it reads the rows again
afterwards: of two who change one route at once, the later one's word is what stays.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Greatest

from parcelle.core import events, http
from parcelle.core.states import IllegalTransition
from parcelle.domain.catalog.blueprints import Probe
from parcelle.domain.provisioning import ingress, leases, pages, specs, states
from parcelle.domain.provisioning.errors import ProvisioningError, TargetUnreachable, TryAgain
from parcelle.domain.provisioning.events import MaintenanceBegan, MaintenanceEnded
from parcelle.domain.provisioning.ingress import ConfigurationLost, Ingress, Route, RouteState
from parcelle.domain.provisioning.ingress.base import is_host
from parcelle.domain.provisioning.ingress.page import MARK
from parcelle.domain.provisioning.ingress.traefik import TraefikIngress
from parcelle.domain.provisioning.models import Instance, Operation, PublishedRoute, RouteHost, Target
from parcelle.domain.provisioning.providers.base import Provider

logger = structlog.get_logger(__name__)

PROOF_SECONDS = 20.0
_PROBE = {"User-Agent": "Parcelle probe", "Accept": "*/*"}
# Visits are noted to the minute: nobody needs them finer, and a busy instance is not written every time.
_NOTED_EVERY = timedelta(minutes=1)


def supports(capability: str) -> bool:
    """Whether this installation's ingress has "hosts" (names instead of ports) or "sleep"."""
    return capability in ingress.current().capabilities


def platform_host(instance: Instance) -> str:
    """The instance's own name below the platform's domain."""
    return f"{instance.slug}.{settings.APPS_DOMAIN}"


def address_of(host: str) -> str:
    """What people type to reach a host name behind our ingress."""
    port = "" if settings.EDGE_HTTPS_PORT == 443 else f":{settings.EDGE_HTTPS_PORT}"
    return f"https://{host}{port}"


# --- changing the snapshot ------------------------------------------------------------------------------------


def publish(
    instance: Instance, state: RouteState, *, now: datetime, endpoint: str | None = None, note: str = ""
) -> str:
    """Makes the route what it should be, in our rows and then in the ingress; returns its address.

    `endpoint` is where the control plane reaches the application; None leaves what is known.
    """
    record(instance, state, now=now, endpoint=endpoint, note=note)
    push(instance.ref)
    found = read(instance.ref)
    return ingress.current().address(found) if found else ""


@transaction.atomic
def record(
    instance: Instance, state: RouteState, *, now: datetime, endpoint: str | None = None, note: str = ""
) -> None:
    """The rows alone: the route with its platform host; the customer's domains stay as they are."""
    known: dict[str, object] = {"instance": instance, "state": state, "note": note, "changed_at": now}
    known["port"] = leases.ports_of(instance.ref).get("application")
    known["health_path"] = specs.blueprint_of(instance).probe.path
    if endpoint is not None:
        known["upstream"] = urlsplit(endpoint).netloc
    PublishedRoute.objects.filter(instance=instance).exclude(pk=instance.ref).delete()
    row, _new = PublishedRoute.objects.update_or_create(ref=instance.ref, defaults=known)
    host = platform_host(instance)
    row.hosts.filter(custom=False).exclude(host=host).delete()
    RouteHost.objects.update_or_create(host=host, defaults={"route": row, "custom": False, "certificate": True})


def push(ref: UUID) -> None:
    """Brings the ingress to what the rows say about one route."""
    front = ingress.current()
    wanted = read(ref)
    while True:
        try:
            if wanted is None:
                front.withdraw(Route(ref=ref, slug="", state=RouteState.SUSPENDED))
            else:
                front.publish(wanted)
        except ConfigurationLost:
            front.keep(snapshot, thorough=True)
        before, wanted = wanted, read(ref)
        if wanted == before:
            return


def begin_maintenance(instance: Instance, *, note: str, actor: str, now: datetime) -> None:
    """Shows the maintenance page with the operator's words at a live instance's address; it goes on running.

    Raises IllegalTransition when it is not live, ProvisioningError when addresses are ports.
    """
    if not supports("hosts"):
        raise ProvisioningError("only an instance that is reached by its name can show a maintenance page")
    if instance.state != states.LIVE:
        raise IllegalTransition(instance, states.MAINTENANCE)
    publish(instance, RouteState.MAINTENANCE, now=now, note=note)
    began = MaintenanceBegan(instance_id=instance.pk, organization_id=instance.organization_id)
    events.record(began, now=now, actor=actor)


def end_maintenance(instance: Instance, *, actor: str, now: datetime) -> None:
    """Opens the address again. Raises IllegalTransition when there is no maintenance."""
    if not PublishedRoute.objects.filter(pk=instance.ref, state=states.MAINTENANCE).exists():
        raise IllegalTransition(instance, states.LIVE)
    publish(instance, RouteState(instance.state), now=now)
    ended = MaintenanceEnded(instance_id=instance.pk, organization_id=instance.organization_id)
    events.record(ended, now=now, actor=actor)


def make_way(instance: Instance) -> None:
    """Before an application starts again: whatever of ours listens on its port lets go."""
    ingress.current().make_way(_bare(instance))


def withdraw(instance: Instance) -> None:
    """Nothing leads to the instance any more. Safe to repeat; also for what was never published."""
    PublishedRoute.objects.filter(pk=instance.ref).delete()
    if instance.slug:
        ingress.current().withdraw(_bare(instance))


def _bare(instance: Instance) -> Route:
    port = leases.ports_of(instance.ref).get("application")
    return Route(ref=instance.ref, slug=instance.slug or "", state=RouteState.SUSPENDED, port=port)


# --- keeping the ingress to it --------------------------------------------------------------------------------


def keep(*, thorough: bool, now: datetime) -> int:
    """Brings back what the ingress lost, and with `thorough` whatever differs; how many routes."""
    front = ingress.current()
    if thorough and _completed_for != (settings.INGRESS, settings.APPS_DOMAIN):
        _complete(front, now=now)
    return front.keep(snapshot, thorough=thorough)


# The settings for which this process has looked at all instances: they only change with a restart.
_completed_for: tuple[str, str] | None = None


def _complete(front: Ingress, *, now: datetime) -> None:
    """Routes of instances that have none yet, or still have names below another domain; one that fails is left."""
    global _completed_for
    _completed_for = (settings.INGRESS, settings.APPS_DOMAIN)
    ours = Q(route__hosts__custom=False) & Q(route__hosts__host__endswith=f".{settings.APPS_DOMAIN}")
    rows = Instance.objects.filter(state__in=(states.LIVE, states.SLEEPING, states.SUSPENDED), slug__isnull=False)
    fine = rows.filter(ours).values("pk")
    for instance in rows.exclude(pk__in=fine).select_related("target", "product", "template"):
        try:
            provider = specs.provider_of(instance.target)
            if "application" in provider.capabilities:
                endpoint = provider.endpoint(specs.spec_of(instance, provider))
                record(instance, RouteState(instance.state), now=now, endpoint=endpoint)
        except (ProvisioningError, KeyError) as error:
            logger.warning("a route could not be completed", instance_id=str(instance.pk), reason=str(error))
    _correct_addresses(front)


def _correct_addresses(front: Ingress) -> None:
    """The address that people are told follows the ingress, also after it was exchanged for another one."""
    routes = PublishedRoute.objects.select_related("instance").prefetch_related("hosts")
    for row in routes.iterator(chunk_size=500):
        address = front.address(_value(row, front))
        if address and row.instance.url != address:
            Instance.objects.filter(pk=row.instance_id).update(url=address)


def follow(*, now: datetime) -> int:
    """Leads to where applications run now, on targets that move them by themselves; how many had moved.

    What an operation is at work on is left to it, and a target that does not answer to the next time.
    """
    busy = Operation.objects.filter(instance=OuterRef("pk"), state__in=states.UNFINISHED)
    rows = Instance.objects.filter(state=states.LIVE, route__isnull=False).exclude(Exists(busy))
    moved = 0
    for target in Target.objects.filter(pk__in=rows.values("target")):
        with contextlib.suppress(TargetUnreachable):
            provider = specs.provider_of(target)
            there = rows.filter(target=target) if "moves" in provider.capabilities else rows.none()
            for instance in there.select_related("target", "product", "template", "route"):
                try:
                    moved += _followed(instance, provider, now=now)
                except TargetUnreachable:
                    raise
                except (ProvisioningError, KeyError) as error:
                    logger.warning("a route could not follow", instance_id=str(instance.pk), reason=str(error))
    return moved


def _followed(instance: Instance, provider: Provider, *, now: datetime) -> bool:
    endpoint = provider.endpoint(specs.spec_of(instance, provider))
    route = instance.route
    if urlsplit(endpoint).netloc == route.upstream:
        return False
    url = publish(instance, RouteState(route.state), now=now, endpoint=endpoint, note=route.note)
    Instance.objects.filter(pk=instance.pk).update(url=url)
    logger.info("an application has moved", instance_id=str(instance.pk), was=route.upstream, url=url)
    return True


def prove(ref: UUID, probe: Probe, *, seconds: float = PROOF_SECONDS) -> None:
    """Returns when the application answers through its own address; TryAgain with what was seen instead."""
    found = read(ref)
    if found is None or not supports("hosts"):
        return
    give_up = time.monotonic() + seconds
    while True:
        seen = ask(found.hosts[0], probe)
        if not seen:
            return
        if time.monotonic() > give_up:
            raise TryAgain(f"https://{found.hosts[0]} does not lead to the application: {seen}")
        time.sleep(0.2)


def ask(host: str, probe: Probe) -> str:
    """What is wrong with the answer of https://<host>; empty when the application or its page answers as it should."""
    ca = settings.EDGE_CA.read_text() if settings.EDGE_TLS == "internal" and settings.EDGE_CA.is_file() else ""
    url = f"https://{host}:{settings.EDGE_HTTPS_PORT}{probe.path}"
    trust = http.Trust(ca=ca) if ca else None
    try:
        if settings.EDGE_ADDRESS == "dns":
            answer = http.request("GET", url, headers=_PROBE, timeout=5, trust=trust)
        else:
            answer = http.get_at(settings.EDGE_ADDRESS, url, headers=_PROBE, timeout=5, trust=trust)
    except http.CertificateRefused:
        return "its certificate is not valid"
    except http.OutsideError as error:
        return str(error)
    if MARK in answer.headers:
        kind = answer.headers[MARK]
        return "" if kind in {"suspended", "asleep", "maintenance"} else f"the page {kind!r}"
    return "" if answer.status_code == probe.status else f"status {answer.status_code}, expected {probe.status}"


# --- visits ---------------------------------------------------------------------------------------------------


def note_visits(*, now: datetime) -> int:
    """Writes down when instances were last visited, as far as the ingress knows; how many."""
    front = ingress.current()
    seen = {**front.visits(), **dict.fromkeys(front.in_flight(), now)}
    newest: dict[UUID, datetime] = {}
    for instance_id, at in _visited(seen):
        newest[instance_id] = max(at, newest.get(instance_id, at))
    for instance_id, at in newest.items():
        old = Q(last_seen_at=None) | Q(last_seen_at__lt=at - _NOTED_EVERY)
        Instance.objects.filter(old, pk=instance_id).update(last_seen_at=at)
    return len(newest)


def _visited(seen: Mapping[str, datetime]) -> Iterable[tuple[UUID, datetime]]:
    for host, instance_id in RouteHost.objects.filter(pk__in=list(seen)).values_list("pk", "route__instance_id"):
        yield instance_id, seen[host]
    for upstream, instance_id in PublishedRoute.objects.filter(upstream__in=list(seen)).values_list(
        "upstream", "instance_id"
    ):
        yield instance_id, seen[upstream]


def is_visited(ref: UUID) -> bool:
    """Whether the application is answering somebody at this moment."""
    upstream = PublishedRoute.objects.filter(pk=ref).values_list("upstream", flat=True).first()
    return upstream in ingress.current().in_flight()


def idle_since() -> QuerySet[Instance]:
    """Live instances with `idle_at`: when they were last visited or, if later, went live."""
    live = Instance.objects.filter(state=states.LIVE, route__state=states.LIVE)
    return live.annotate(idle_at=Greatest(F("last_seen_at"), F("route__changed_at")))


# --- questions ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """What a host name leads to."""

    instance: Instance
    state: str
    note: str


def find(host: str) -> Found | None:
    """Whose address this host name is; None when it is nobody's."""
    rows = RouteHost.objects.select_related("route__instance__product")
    row = rows.defer("route__instance__secrets").filter(pk=host).first() if is_host(host) else None
    return Found(row.route.instance, row.route.state, row.route.note) if row else None


def may_have_certificate(host: str) -> bool:
    """Whether a certificate may be asked for this host name now: one look into an index."""
    return is_host(host) and RouteHost.objects.filter(pk=host, certificate=True).exists()


def read(ref: UUID) -> Route | None:
    """One route as it is committed now."""
    rows = PublishedRoute.objects.select_related("instance__product").prefetch_related("hosts")
    row = rows.filter(pk=ref).first()
    return _value(row, ingress.current()) if row else None


def snapshot() -> list[Route]:
    """All routes as they are committed now, in one reading."""
    rows = PublishedRoute.objects.select_related("instance").defer("instance__secrets", "instance__owner")
    rows = rows.prefetch_related("hosts").order_by("ref")
    front = ingress.current()
    return [_value(row, front) for row in rows]


def _value(row: PublishedRoute, front: Ingress) -> Route:
    hosts = sorted(row.hosts.all(), key=lambda each: (each.custom, each.host))
    by_name = "hosts" in front.capabilities
    return Route(
        ref=row.ref,
        slug=row.instance.slug or "",
        state=RouteState(row.state),
        port=row.port,
        upstream=row.upstream,
        hosts=tuple(each.host for each in hosts),
        health_path=row.health_path,
        page=None if by_name or row.state == states.LIVE else pages.held(row.instance, note=row.note),
    )


def traefik_configuration() -> str:
    """What Traefik fetches, from the committed snapshot alone."""
    return TraefikIngress.open().configuration(snapshot())
