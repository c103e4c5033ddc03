"""Steps that several workflows share."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings

from parcelle.domain.provisioning import application, domains, leases, routes, states, templates
from parcelle.domain.provisioning.errors import PortTaken, ProvisioningError, SubnetTaken
from parcelle.domain.provisioning.ingress import RouteState
from parcelle.domain.provisioning.models import Instance
from parcelle.domain.provisioning.providers.base import Provider
from parcelle.domain.provisioning.runner import Run, Work

_FIRST_PORTS = {
    "application": settings.FIRST_APPLICATION_PORT,
    # On which a new version of the application starts beside the old one.
    "spare": settings.FIRST_APPLICATION_PORT,
    "database": settings.FIRST_DATABASE_PORT,
}
HEALTH_SECONDS = 20.0


def reserve(run: Run) -> None:
    """Proves that the target can be worked with and leases what the stack needs there."""
    fresh = run.instance.template_id is None
    if fresh:
        run.provider.check()
    for purpose in run.provider.subnet_purposes:
        leases.lease_subnet(run.target, run.instance.ref, purpose=purpose)
    for purpose in run.provider.port_purposes:
        first = _FIRST_PORTS[purpose]
        port = leases.lease_port(run.target, run.instance.ref, purpose=purpose, first=first)
        while fresh and not run.provider.port_is_free(port):
            leases.skip_port(run.target, port)
            port = leases.lease_port(run.target, run.instance.ref, purpose=purpose, first=first)


def await_template(run: Run) -> None:
    """Waits until there is something to clone, building it first if nobody does."""
    if run.instance.template_id is None:
        template = templates.ready(run.target, run.blueprint, since=run.operation.created_at, now=run.now())
        Instance.objects.filter(pk=run.instance.pk).update(template=template)
        run.instance.template = template


def ensuring(phase: str) -> Work:
    """The step that converges one phase of the provider."""
    return Work(phase, lambda run: _ensure(run, phase))


def _ensure(run: Run, phase: str) -> None:
    try:
        run.provider.ensure(run.spec(), phase, run.progress)
    except PortTaken as taken:
        leases.skip_port(run.target, taken.port)
        reserve(run)
        raise
    except SubnetTaken as taken:
        leases.skip_subnet(run.target, run.instance.ref, purpose=taken.purpose)
        reserve(run)
        raise


def check_health(run: Run) -> None:
    spec = run.spec()
    application.wait_until_it_answers(
        run.provider.endpoint(spec), spec.blueprint.probe, seconds=min(HEALTH_SECONDS, run.seconds_left())
    )


def deploying(provider: Provider) -> list[Work]:
    """The steps after which the application runs and answers, but is nobody's yet."""
    works = [Work("reserve", reserve, quick=True)]
    if "template" in provider.capabilities:
        works.append(Work("await_template", await_template))
    works += [ensuring(phase) for phase in provider.phases]
    if "application" in provider.capabilities:
        works.append(Work("check_health", check_health))
    return works


def starting(provider: Provider) -> list[Work]:
    """The steps that bring back, under its address, what was stopped."""
    start = Work("start", lambda run: run.provider.start(run.instance.ref))
    if "application" not in provider.capabilities:
        return [start]
    return [
        Work("withdraw_page", make_way),
        start,
        Work("check_health", check_health),
        Work("publish_route", publish_route),
    ]


def publish_route(run: Run) -> None:
    """Opens the address and proves that it leads to the application."""
    endpoint = run.provider.endpoint(run.spec())
    url = routes.publish(run.instance, RouteState.LIVE, now=run.now(), endpoint=endpoint)
    # Stored with the step: whoever ends the operation may be another worker.
    Instance.objects.filter(pk=run.instance.pk).update(url=url)
    run.instance.url = url
    routes.prove(run.instance.ref, run.blueprint.probe, seconds=min(routes.PROOF_SECONDS, run.seconds_left()))


def hold_route(run: Run) -> None:
    """Puts the page that says why and what to do where the application was."""
    routes.publish(run.instance, RouteState.SUSPENDED, now=run.now())


def make_way(run: Run) -> None:
    routes.make_way(run.instance)


def rest_route(run: Run) -> None:
    """The page that fits the state in which the instance rests."""
    asleep = run.instance.state == states.SLEEPING
    routes.publish(run.instance, RouteState.SLEEPING if asleep else RouteState.SUSPENDED, now=run.now())


def destroy(run: Run) -> None:
    run.provider.destroy(run.instance.ref)


def release(run: Run) -> None:
    """Nothing leads there any more, then domains and leases are anybody's again."""
    routes.withdraw(run.instance)
    domains.let_go_all(run.instance, now=run.now())
    leases.release(run.instance.ref)


UNDO_DEPLOYING: Sequence[Work] = (Work("undo_stack", destroy), Work("undo_reservations", release))


def refuse_unless(run: Run, *allowed: str) -> None:
    """A step's guard against an instance that has changed since the operation was asked for."""
    if run.instance.state not in allowed:
        raise ProvisioningError(f"not possible while the instance is {run.instance.state}")
