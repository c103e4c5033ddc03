"""Ports and networks belong to one stack at a time; the tables' unique constraints are what guarantees it."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_network
from uuid import UUID, uuid5

from django.conf import settings
from django.db import connection, transaction

from parcelle.domain.provisioning.errors import TargetFull
from parcelle.domain.provisioning.models import PortLease, SubnetLease, Target

LAST_PORT: int = settings.LAST_PORT
# Room for thirteen containers, the gateway and two addresses that nobody can have.
SUBNET_PREFIX = 28


@transaction.atomic
def lease_port(target: Target, ref: UUID, *, purpose: str, first: int) -> int:
    """The port that `ref` holds for `purpose`, leased now if it has none: the lowest free one from `first` on.

    Raises TargetFull when there is none. Leasing is done one after the other on a target, so that hundreds at
    once get hundreds of ports without a single collision.
    """
    _one_at_a_time(target)
    held = PortLease.objects.filter(ref=ref, purpose=purpose).values_list("port", flat=True).first()
    if held is not None:
        return held
    with connection.cursor() as cursor:
        cursor.execute(
            """
            -- The lowest free port is the first one, or follows a taken one.
            INSERT INTO provisioning_portlease (target_id, port, purpose, ref)
            SELECT %(target)s, candidate, %(purpose)s, %(ref)s
            FROM (
                SELECT %(first)s AS candidate UNION ALL
                SELECT port + 1 FROM provisioning_portlease WHERE target_id = %(target)s AND port >= %(first)s
            ) AS possible
            WHERE candidate <= %(last)s AND NOT EXISTS (
                SELECT 1 FROM provisioning_portlease taken
                WHERE taken.target_id = %(target)s AND taken.port = candidate
            )
            ORDER BY candidate LIMIT 1
            RETURNING port
            """,
            {"target": target.pk, "purpose": purpose, "ref": ref, "first": first, "last": LAST_PORT},
        )
        leased = cursor.fetchone()
    if leased is None:
        raise TargetFull(f"no free port is left on {target.name}")
    return int(leased[0])


def _one_at_a_time(target: Target) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 5))", [str(target.pk)])


def skip_port(target: Target, port: int) -> None:
    """Marks a port that another program of the machine uses, so that nobody is given it again."""
    foreign = {"purpose": "foreign", "ref": uuid5(target.pk, str(port))}
    PortLease.objects.update_or_create(target=target, port=port, defaults=foreign)


def ports_of(ref: UUID) -> dict[str, int]:
    """Purpose -> port."""
    return dict(PortLease.objects.filter(ref=ref).values_list("purpose", "port"))


def _pool() -> IPv4Network:
    pool = ip_network(settings.SUBNET_POOL)
    assert isinstance(pool, IPv4Network)
    return pool


def _places() -> int:
    return int(2 ** (SUBNET_PREFIX - _pool().prefixlen))


def subnet_at(place: int) -> str:
    """The network at this place of the installation's pool, as CIDR."""
    pool = _pool()
    return str(IPv4Network((int(pool.network_address) + place * 2 ** (32 - SUBNET_PREFIX), SUBNET_PREFIX)))


@transaction.atomic
def lease_subnet(target: Target, ref: UUID, *, purpose: str) -> str:
    """The network that `ref` holds for `purpose` as CIDR, leased now if it has none: the first free one.

    Raises TargetFull when the pool is used up.
    """
    _one_at_a_time(target)
    held = SubnetLease.objects.filter(ref=ref, purpose=purpose).values_list("place", flat=True).first()
    if held is not None:
        return subnet_at(held)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            -- The first free place is 0, or follows a taken one.
            INSERT INTO provisioning_subnetlease (target_id, place, purpose, ref)
            SELECT %(target)s, candidate, %(purpose)s, %(ref)s
            FROM (
                SELECT 0 AS candidate UNION ALL
                SELECT place + 1 FROM provisioning_subnetlease WHERE target_id = %(target)s
            ) AS possible
            WHERE candidate < %(places)s AND NOT EXISTS (
                SELECT 1 FROM provisioning_subnetlease taken
                WHERE taken.target_id = %(target)s AND taken.place = candidate
            )
            ORDER BY candidate LIMIT 1
            RETURNING place
            """,
            {"target": target.pk, "purpose": purpose, "ref": ref, "places": _places()},
        )
        leased = cursor.fetchone()
    if leased is None:
        raise TargetFull(f"no free network is left on {target.name}: widen PARCELLE_SUBNET_POOL")
    return subnet_at(int(leased[0]))


@transaction.atomic
def skip_subnet(target: Target, ref: UUID, *, purpose: str) -> None:
    """Marks the network that `ref` holds as in use by something else, so that the next lease is another one."""
    for lease in SubnetLease.objects.filter(target=target, ref=ref, purpose=purpose):
        lease.purpose, lease.ref = "foreign", uuid5(target.pk, f"subnet {lease.place}")
        lease.save(update_fields=["purpose", "ref"])


def subnets_of(ref: UUID) -> dict[str, str]:
    """Purpose -> CIDR."""
    return {
        purpose: subnet_at(place)
        for purpose, place in SubnetLease.objects.filter(ref=ref).values_list("purpose", "place")
    }


def release(ref: UUID) -> None:
    PortLease.objects.filter(ref=ref).delete()
    SubnetLease.objects.filter(ref=ref).delete()
