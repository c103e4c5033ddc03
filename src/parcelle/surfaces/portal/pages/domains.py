"""`/instances/<id>/domains`: the customer's own domains for one instance, and what is missing for each."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import idna
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from parcelle.domain.provisioning import domains, queries, routes, states
from parcelle.domain.provisioning.domains import DomainRefused, Record
from parcelle.domain.provisioning.models import Domain, Instance
from parcelle.domain.tenancy import permissions
from parcelle.surfaces import current
from parcelle.surfaces.current import Current
from parcelle.surfaces.portal import visitor
from parcelle.surfaces.portal.access import require

_CHECKS_PER_MINUTE = 6
_SHOWN = (states.LIVE, states.SLEEPING, states.SUSPENDED)

REFUSALS: dict[str, Promise] = {
    "invalid": _("This is not a domain name. Enter it like shop.example.com, without anything before or after it."),
    "ours": _("This domain belongs to us. Enter one that you own."),
    "taken": _("Another customer uses this domain. If it is yours, write to us and we will sort it out."),
    "already": _("You have added this domain already."),
    "too_many": _("You have as many domains as one customer can have. Remove one first, or write to us."),
    "unsupported": _("Domains of your own are not available here at the moment."),
    "not_now": _("This space does not run, so it cannot have a domain now."),
}
# What the last check found wrong -> what it is, and what to do.
PROBLEMS: dict[str, tuple[Promise, Promise]] = {
    "no_record": (
        _("We do not find this name in the DNS yet."),
        _("Add the first record below where you bought the domain. It can take up to an hour to be seen everywhere."),
    ),
    "elsewhere": (
        _("This name leads somewhere else."),
        _("Replace the record that is there by the first one below, and remove any others of the same name."),
    ),
    "no_proof": (
        _("The name leads here. The proof that it is yours is still missing."),
        _("Add the TXT record below."),
    ),
    "wrong_proof": (
        _("The TXT record has another value than yours."),
        _("Copy the value below into it once more."),
    ),
    "travelling": (
        _("Some of the DNS knows your records, some does not yet."),
        _("There is nothing to do: this sorts itself out, usually within an hour."),
    ),
    "dns_silent": (
        _("The DNS does not answer us at the moment."),
        _("There is nothing to do: we go on trying."),
    ),
    "held": (
        _("Another customer uses this domain."),
        _("If it is yours, write to us and we will sort it out."),
    ),
    "certificate": (
        _("Your records are right, but the address does not answer securely yet."),
        _("We try again by ourselves. If it lasts longer than a day, write to us."),
    ),
}


@dataclass(frozen=True)
class Shown:
    """One domain as its owner sees it."""

    domain: Domain
    name: str
    address: str
    records: list[Record]
    problem: Promise | str
    advice: Promise | str

    @property
    def moving(self) -> bool:
        """Something will change by itself soon."""
        return self.domain.leaving or self.domain.state in {states.DNS_OK, states.CERT_ISSUING}


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def instance_domains(request: HttpRequest, instance_id: UUID) -> HttpResponse:
    instance, here = _admit(request, instance_id)
    if request.method != "POST":
        return _page(request, instance, here)
    require(here, permissions.CHANGE_DOMAINS)
    typed = request.POST.get("host", "")[:300]
    try:
        domain = domains.add(instance, typed, actor=f"user:{request.user.pk}", now=timezone.now())
    except DomainRefused as refused:
        return _page(request, instance, here, typed=typed, error=REFUSALS[refused.code])
    messages.success(
        request, gettext("%(name)s was added. Now create its records as shown below.") % {"name": _shown_name(domain)}
    )
    return redirect("instance_domains", instance_id=instance_id)


@login_required
@never_cache
@require_POST
def check_domain(request: HttpRequest, instance_id: UUID, domain_id: UUID) -> HttpResponse:
    _instance, domain = _own(request, instance_id, domain_id, permissions.CHECK_DOMAINS)
    now = timezone.now()
    limits = [(f"domain:{domain.pk}", _CHECKS_PER_MINUTE)]
    if visitor.wait_before(limits, window=timedelta(minutes=1), now=now):
        messages.warning(request, gettext("We have only just looked. Please wait a minute."))
    else:
        domains.check_soon(domain)
        messages.info(request, gettext("We are looking at %(name)s now.") % {"name": _shown_name(domain)})
    return redirect("instance_domains", instance_id=instance_id)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def remove_domain(request: HttpRequest, instance_id: UUID, domain_id: UUID) -> HttpResponse:
    instance, domain = _own(request, instance_id, domain_id, permissions.CHANGE_DOMAINS)
    if request.method != "POST":
        context = {"instance": instance, "domain": domain, "name": _shown_name(domain)}
        return render(request, "portal/domain_remove.html", context)
    domains.remove(domain, actor=f"user:{request.user.pk}", now=timezone.now())
    messages.success(request, gettext("%(name)s is being removed.") % {"name": _shown_name(domain)})
    return redirect("instance_domains", instance_id=instance_id)


@login_required
@never_cache
@require_safe
def domains_list(request: HttpRequest, instance_id: UUID) -> HttpResponse:
    """The list alone, for the page that looks again by itself."""
    instance, here = _admit(request, instance_id)
    return render(request, "portal/parts/domains.html", _context(instance, here))


def _admit(request: HttpRequest, instance_id: UUID) -> tuple[Instance, Current]:
    """The instance, and what this member is in its organization. Raises Http404 for strangers."""
    instance = queries.instance(instance_id)
    if instance is None or instance.state not in _SHOWN or not routes.supports("hosts"):
        raise Http404
    return instance, current.enter(request, instance.organization_id)


def _own(request: HttpRequest, instance_id: UUID, domain_id: UUID, action: str) -> tuple[Instance, Domain]:
    instance, here = _admit(request, instance_id)
    domain = domains.of_instance(instance).filter(pk=domain_id).first()
    if domain is None:
        raise Http404
    require(here, action)
    return instance, domain


def _page(
    request: HttpRequest, instance: Instance, here: Current, *, typed: str = "", error: Promise | str = ""
) -> HttpResponse:
    context = {**_context(instance, here), "typed": typed, "error": error}
    return render(request, "portal/domains.html", context, status=422 if error else 200)


def _context(instance: Instance, here: Current) -> dict[str, object]:
    shown = [_show(domain) for domain in domains.of_instance(instance).select_related("instance")]
    return {
        "instance": instance,
        "shown": shown,
        "may_change": here.may(permissions.CHANGE_DOMAINS),
        "may_check": here.may(permissions.CHECK_DOMAINS),
        "moving": any(each.moving or each.domain.state == states.PENDING for each in shown),
    }


def _show(domain: Domain) -> Shown:
    problem, advice = PROBLEMS.get(domain.problem, ("", ""))
    return Shown(domain, _shown_name(domain), routes.address_of(domain.host), domains.records(domain), problem, advice)


def _shown_name(domain: Domain) -> str:
    """With its accents, as its owner writes it."""
    with contextlib.suppress(idna.IDNAError):
        return idna.decode(domain.host)
    return domain.host
