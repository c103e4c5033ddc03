"""A customer's own domain from being asked for until it is given up. The name servers are real, Caddy is not here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from pytest_django import Settings

from parcelle.core.models import Fact
from parcelle.domain.provisioning import domains, nameservers, routes, states
from parcelle.domain.provisioning.domains import DomainRefused
from parcelle.domain.provisioning.errors import TryAgain
from parcelle.domain.provisioning.ingress import RouteState
from parcelle.domain.provisioning.models import Domain, DomainProof, Instance, PublishedRoute, RouteHost
from tests import nameserver, people
from tests.nameserver import NameServer
from tests.people import NOW, Cast

HOST = "shop.example.com"


@pytest.fixture
def servers() -> Iterator[list[NameServer]]:
    with nameserver.serving() as first, nameserver.serving() as second:
        yield [first, second]


@pytest.fixture(autouse=True)
def by_name(settings: Settings, servers: list[NameServer], monkeypatch: pytest.MonkeyPatch) -> None:
    settings.INGRESS, settings.APPS_DOMAIN, settings.PUBLIC_URL = "caddy", "apps.test", "https://parcelle.test"
    settings.DNS_RESOLVERS = [server.place for server in servers]
    settings.EDGE_PUBLIC_ADDRESSES = ["192.0.2.10"]
    monkeypatch.setattr(nameservers, "SECONDS", 0.5)
    monkeypatch.setattr(routes, "push", lambda _ref: None)
    monkeypatch.setattr(routes, "ask", lambda _host, _probe: "")


@pytest.fixture
def instance(cast: Cast) -> Instance:
    return published(people.live_instance(cast.organization, cast.plan))


@pytest.fixture
def others(cast: Cast) -> Instance:
    return published(people.live_instance(cast.other_organization, cast.plan))


def published(instance: Instance) -> Instance:
    routes.record(instance, RouteState.LIVE, now=NOW, endpoint="http://127.0.0.1:9")
    return instance


def add(instance: Instance, host: str = HOST) -> Domain:
    return domains.add(instance, host, actor="test", now=NOW)


def set_up(domain: Domain, *servers: NameServer, token: str = "") -> None:
    """The customer did what the page says."""
    for record in domains.records(domain):
        value = token if token and record.kind == "TXT" else record.value
        for server in servers:
            server.records[record.name, record.kind] = [value]


def check(domain: Domain, *, days: float = 0, minutes: float = 0) -> Domain:
    domains.check(domain.pk, now=NOW + timedelta(days=days, minutes=minutes))
    domain.refresh_from_db()
    return domain


def live(instance: Instance, servers: list[NameServer], host: str = HOST) -> Domain:
    domain = add(instance, host)
    set_up(domain, *servers)
    assert check(domain).state == states.LIVE
    return domain


def leads_to(host: str = HOST) -> Instance | None:
    found = routes.find(host)
    return found.instance if found else None


# --- what may be added ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "host"),
    [
        ("shop.example.com", HOST),
        ("  Shop.Example.COM. ", HOST),
        ("https://shop.example.com/cart?x=1", HOST),
        ("shop.example.com:8443", HOST),
        ("bücher.example", "xn--bcher-kva.example"),
        ("épicerie.sn", "xn--picerie-9xa.sn"),
    ],
)
def test_what_people_type_becomes_a_host_name(typed: str, host: str) -> None:
    assert domains.normalise(typed) == host


@pytest.mark.parametrize(
    "typed", ["", "shop", "*.example.com", "192.0.2.7", "[::1]", "a b.com", "-a.com", "x" * 64 + ".com", "a..b",
              "shop.localhost", "_x.example.com", "a`.com", "http://", "shop.example.com\x00", "1.2.3.4.in-addr.arpa"],
)  # fmt: skip
def test_what_is_no_host_name_is_refused(typed: str) -> None:
    with pytest.raises(DomainRefused, match="invalid"):
        domains.normalise(typed)


@pytest.mark.parametrize("typed", ["apps.test", "x.apps.test", "a.b.apps.test", "parcelle.test", "www.parcelle.test"])
def test_our_own_domains_are_ours(typed: str) -> None:
    with pytest.raises(DomainRefused, match="ours"):
        domains.normalise(typed)


def test_the_same_one_twice_is_said(instance: Instance) -> None:
    add(instance)
    with pytest.raises(DomainRefused, match="already"):
        add(instance)


def test_one_that_is_proven_by_somebody_else_is_refused(
    instance: Instance, others: Instance, servers: list[NameServer]
) -> None:
    live(others, servers)
    with pytest.raises(DomainRefused, match="taken"):
        add(instance)


def test_behind_ports_there_are_no_domains(instance: Instance, settings: Settings) -> None:
    settings.INGRESS = "port"
    with pytest.raises(DomainRefused, match="unsupported"):
        add(instance)


def test_there_is_an_end_to_how_many(instance: Instance) -> None:
    for number in range(domains.MOST_PER_ORGANIZATION):
        add(instance, f"n{number}.example.com")
    with pytest.raises(DomainRefused, match="too_many"):
        add(instance)


# --- the records ------------------------------------------------------------------------------------------------


def test_the_records_are_exact(instance: Instance) -> None:
    leading, proof = domains.records(add(instance))
    assert (leading.kind, leading.name, leading.value) == ("CNAME", HOST, f"{instance.slug}.apps.test")
    token = DomainProof.objects.get(organization=instance.organization_id).token
    assert (proof.kind, proof.name) == ("TXT", f"_parcelle.{HOST}")
    assert proof.value == f"parcelle-verification={token}"


def test_a_name_that_cannot_have_a_cname_gets_addresses(instance: Instance, settings: Settings) -> None:
    settings.EDGE_PUBLIC_ADDRESSES = ["192.0.2.10", "2001:db8::10"]
    kinds = [(record.kind, record.value) for record in domains.records(add(instance, "example.com"))]
    assert kinds[:2] == [("A", "192.0.2.10"), ("AAAA", "2001:db8::10")]


def test_the_proof_is_one_per_customer(instance: Instance, others: Instance) -> None:
    tokens = {domains.records(add(instance, f"n{n}.example.com"))[-1].value for n in range(3)}
    assert len(tokens) == 1
    assert domains.records(add(others))[-1].value not in tokens


# --- from pending to live ---------------------------------------------------------------------------------------


def test_with_both_records_it_goes_live(instance: Instance, servers: list[NameServer]) -> None:
    domain = add(instance)
    assert (domain.state, leads_to()) == (states.PENDING, None)
    assert not routes.may_have_certificate(HOST)
    set_up(domain, *servers)
    check(domain)
    assert (domain.state, domain.problem, leads_to()) == (states.LIVE, "", instance)
    assert routes.may_have_certificate(HOST)
    assert domain.next_check_at == NOW + domains.DAILY
    check(domain)
    assert Fact.objects.filter(name="DomainLive").count() == 1


@pytest.mark.parametrize("address", [["192.0.2.10"], ["203.0.113.9"], ["192.0.2.10", "203.0.113.9"]])
def test_an_address_counts_when_every_one_is_ours(
    instance: Instance, servers: list[NameServer], address: list[str]
) -> None:
    domain = add(instance)
    set_up(domain, *servers)
    for server in servers:
        del server.records[HOST, "CNAME"]
        server.records[HOST, "A"] = address
    check(domain)
    ours = address == ["192.0.2.10"]
    assert domain.state == (states.LIVE if ours else states.PENDING)
    assert domain.problem == ("" if ours else "elsewhere")
    assert ours or domain.seen == ", ".join(sorted(address))


def test_what_is_missing_is_said(instance: Instance, servers: list[NameServer]) -> None:
    domain = add(instance)
    assert check(domain).problem == "no_record"
    for server in servers:
        server.records[HOST, "CNAME"] = ["elsewhere.example.net"]
    assert (check(domain).problem, domain.seen) == ("elsewhere", "elsewhere.example.net")
    set_up(domain, *servers)
    for server in servers:
        del server.records[f"_parcelle.{HOST}", "TXT"]
    assert check(domain).problem == "no_proof"
    set_up(domain, *servers, token="parcelle-verification=somebody-elses")
    assert (check(domain).problem, domain.seen) == ("wrong_proof", "parcelle-verification=somebody-elses")
    assert (domain.state, leads_to()) == (states.PENDING, None)
    set_up(domain, *servers[:1])
    assert check(domain).problem == "travelling"
    assert not routes.may_have_certificate(HOST)


def test_silence_is_not_an_answer(instance: Instance, servers: list[NameServer]) -> None:
    domain = live(instance, servers)
    for server in servers:
        server.silent = True
    for day in range(1, 9):
        check(domain, days=day)
    assert (domain.state, domain.problem, domain.failures) == (states.LIVE, "dns_silent", 0)
    servers[0].silent, servers[1].silent, servers[1].broken = False, False, True
    # Half of them answer: that is enough.
    assert check(domain, days=9).problem == ""


def test_the_pauses_grow(instance: Instance) -> None:
    domain = add(instance)
    pauses = []
    for _turn in range(12):
        check(domain)
        assert domain.next_check_at
        pauses.append((domain.next_check_at - NOW).total_seconds() / 60)
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (1, 1440)
    assert check(domain, days=31).next_check_at is None


def test_no_certificate_is_asked_for_between_two_looks(
    instance: Instance, servers: list[NameServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def refused(host: str, _probe: object) -> str:
        asked.append(routes.may_have_certificate(host))
        return "its certificate is not valid"

    monkeypatch.setattr(routes, "ask", refused)
    domain = add(instance)
    set_up(domain, *servers)
    for _turn in range(3):
        check(domain)
        assert (domain.state, domain.problem) == (states.CERT_ISSUING, "certificate")
        assert not routes.may_have_certificate(HOST)
    assert asked == [True, True, True]


# --- broken, and given up ---------------------------------------------------------------------------------------


def test_one_bad_look_is_not_believed_three_are(instance: Instance, servers: list[NameServer]) -> None:
    domain = live(instance, servers)
    for server in servers:
        server.records.clear()
    check(domain, days=1)
    check(domain, days=1, minutes=10)
    assert (domain.state, domain.problem) == (states.LIVE, "no_record")
    check(domain, days=1, minutes=20)
    assert (domain.state, domain.problem) == (states.BROKEN, "no_record")
    assert Fact.objects.get(name="DomainBroken").data["problem"] == "no_record"
    # The route stays for a while, but nobody asks for certificates that cannot be had.
    assert leads_to() == instance
    assert not routes.may_have_certificate(HOST)

    set_up(domain, *servers)
    assert check(domain, days=2).state == states.LIVE
    assert routes.may_have_certificate(HOST)
    assert domain.broken_at is None


def test_after_the_grace_period_it_is_anybodys(instance: Instance, others: Instance, servers: list[NameServer]) -> None:
    domain = live(instance, servers)
    for server in servers:
        server.records.clear()
    for minutes in (0, 10, 20):
        check(domain, days=1, minutes=minutes)
    assert check(domain, days=7).state == states.BROKEN
    check(domain, days=9)
    assert (domain.state, leads_to()) == (states.REMOVED, None)
    assert Fact.objects.filter(name="DomainRemoved").count() == 1
    assert live(others, servers).host == HOST


def test_it_is_its_customers_until_no_route_leads_there(
    instance: Instance, others: Instance, servers: list[NameServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = live(instance, servers)
    domains.remove(domain, actor="test", now=NOW)
    assert leads_to() is None

    def away(_ref: object) -> None:
        raise TryAgain("Caddy is away")

    with monkeypatch.context() as patched:
        patched.setattr(routes, "push", away)
        with pytest.raises(TryAgain):
            check(domain)
    with pytest.raises(DomainRefused, match="taken"):
        add(others)
    assert check(domain).state == states.REMOVED
    assert live(others, servers).host == HOST
    assert leads_to() == others


def test_a_dangling_cname_proves_nothing(instance: Instance, others: Instance, servers: list[NameServer]) -> None:
    gone = live(instance, servers)
    domains.remove(gone, actor="test", now=NOW)
    check(gone)
    # The records of the first customer still lead here.
    domain = add(others)
    assert check(domain).problem in {"elsewhere", "wrong_proof"}
    for server in servers:
        server.records[HOST, "CNAME"] = [routes.platform_host(others)]
    assert check(domain).problem == "wrong_proof"
    assert leads_to() is None


def test_of_two_who_ask_the_one_who_proves_it_gets_it(
    instance: Instance, others: Instance, servers: list[NameServer]
) -> None:
    squatter, owner = add(others), add(instance)
    set_up(owner, *servers)
    assert check(owner).state == states.LIVE
    set_up(squatter, *servers)
    assert (check(squatter).state, squatter.problem) == (states.PENDING, "held")
    assert leads_to() == instance


def test_an_archived_instance_lets_its_domains_go(
    instance: Instance, others: Instance, servers: list[NameServer]
) -> None:
    domain = live(instance, servers)
    PublishedRoute.objects.filter(pk=instance.ref).delete()
    domains.let_go_all(instance, now=NOW)
    domain.refresh_from_db()
    assert domain.state == states.REMOVED
    assert live(others, servers).instance == others


def test_a_suspended_instance_keeps_its_domains(instance: Instance, servers: list[NameServer]) -> None:
    live(instance, servers)
    routes.record(instance, RouteState.SUSPENDED, now=NOW)
    assert list(RouteHost.objects.filter(route=instance.ref).values_list("host", flat=True).order_by("custom")) == [
        routes.platform_host(instance),
        HOST,
    ]


def test_what_is_due_is_looked_at(instance: Instance) -> None:
    add(instance)
    assert domains.check_due(now=NOW - timedelta(seconds=1)) == 0
    assert domains.check_due(now=NOW) == 1
