"""`parcelle instance …`: creating, watching and changing instances."""

from __future__ import annotations

import re
import sys
import uuid
from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

import typer
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils import timezone
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from parcelle.core.states import IllegalTransition
from parcelle.domain.catalog.blueprints import BlueprintError
from parcelle.domain.catalog.models import Plan
from parcelle.domain.catalog.queries import plan_to_try, plans_on_sale
from parcelle.domain.provisioning import queries, routes, states
from parcelle.domain.provisioning.errors import InstanceBusy, ProvisioningError
from parcelle.domain.provisioning.models import Instance, Operation
from parcelle.domain.provisioning.queries import Progress
from parcelle.domain.tenancy.names import WELL_FORMED
from parcelle.journeys import instance_control, signup
from parcelle.surfaces.cli.output import AsJson, console, fail, print_json, when
from parcelle.surfaces.cli.watching import Interrupted, Unattended, Watch, picture, reason

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Create, watch and change instances.")

ACTOR = "cli"
Name = Annotated[str, typer.Argument(help="The instance's short name, or its id.", show_default=False)]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Ask for it and return at once.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Short name: 3 to 50 of a-z, 0-9 and hyphen.", show_default=False)],
    email: Annotated[str, typer.Argument(help="The owner's e-mail address.", show_default=False)],
    company: Annotated[str, typer.Option(help="The company's name; made from NAME if left out.")] = "",
    plan: Annotated[
        str, typer.Option(help="PLAN or PRODUCT/PLAN; the first one on sale if left out.", metavar="[PRODUCT/]PLAN")
    ] = "",
    language: Annotated[str, typer.Option(help="fr or en.")] = settings.LANGUAGE_CODE,
    first_name: Annotated[str, typer.Option(help="The owner's first name.")] = "",
    last_name: Annotated[str, typer.Option(help="The owner's last name.")] = "",
    phone: Annotated[str, typer.Option(help="The owner's telephone number.")] = "",
    no_wait: NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Start a customer's trial and show how its instance comes to be."""
    company = company.strip() or name.replace("-", " ").strip().title()
    chosen = _check(name, email, language, plan)
    try:
        started = signup.start_trial(
            signup.TrialRequest(
                submission=uuid.uuid4(),
                email=email,
                first_name=first_name.strip(),
                last_name=last_name.strip() or ("" if first_name else company),
                company=company,
                phone=phone.strip(),
                plan_id=chosen.pk,
                language=language,
                slug=name,
                actor=ACTOR,
            ),
            now=timezone.now(),
        )
    except signup.NameTaken:
        fail(f"The name {name} is taken: choose another one.")
    except signup.AlreadySubscribed as refused:
        fail(f"{email} already has an active subscription ({refused.plan}).")
    except signup.OrganizationClosed:
        fail(f"The organization of {email} is suspended, expired or cancelled: open it again in the back office first.")
    except signup.TrialUsed as refused:
        fail(f"{email} has already used the free trial ({refused.plan}).")
    except signup.RegistrationFailed as failure:
        fail(f"Registration error: {failure.detail} ({failure.reference} in the log).")
    instance = _find(str(started.instance_id))
    operation = instance.operations.latest("created_at")
    if no_wait:
        _report_asked(instance, operation, as_json=as_json)
        return
    progress = _wait(instance, operation, as_json=as_json)
    if progress.state != states.SUCCEEDED:
        fail(f"{name} could not be created: {reason(progress)}")
    instance = _find(str(instance.pk))
    if as_json:
        print_json(_details(instance))
    else:
        console().print(_panel(instance, progress))


def _check(name: str, email: str, language: str, plan: str) -> Plan:
    if not WELL_FORMED.fullmatch(name):
        fail(f"{name!r} is not a short name: 3 to 50 characters, lower-case letters, digits and hyphens.")
    try:
        validate_email(email)
    except ValidationError:
        fail(f"{email!r} is not a complete e-mail address.")
    if language not in dict(settings.LANGUAGES):
        fail(f"There is no language {language!r}: use {' or '.join(dict(settings.LANGUAGES))}.")
    product, slash, short = plan.rpartition("/")
    chosen = plan_to_try(product=product if slash else None, plan=short or None)
    if chosen is None:
        on_sale = ", ".join(f"{p.product.slug}/{p.slug}" for p in plans_on_sale())
        fail(f"There is no plan {plan!r} on sale; there is: {on_sale}." if on_sale else "Nothing is on sale.")
    return chosen


@app.command("list")
def index(
    state: Annotated[str, typer.Option(help=f"Only this state: {', '.join(dict(states.INSTANCE_CHOICES))}.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Archived ones, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the customers' instances, newest first."""
    if state and state not in dict(states.INSTANCE_CHOICES):
        fail(f"There is no state {state!r}: use one of {', '.join(dict(states.INSTANCE_CHOICES))}.")
    rows = Instance.objects.filter(organization__isnull=False).select_related("product", "organization")
    rows = rows.defer("secrets").order_by("-created_at")
    if state:
        rows = rows.filter(state=state)
    elif not everything:
        rows = rows.exclude(state=states.ARCHIVED)
    if as_json:
        print_json([_summary(instance) for instance in rows])
        return
    if not rows:
        typer.echo("There is no instance. Make one with: parcelle instance create NAME EMAIL")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("Name", "State", "Company", "Owner", "Product", "Address", "Created"):
        table.add_column(heading, no_wrap=heading in {"Name", "State", "Created"}, overflow="fold")
    for instance in rows:
        seen = _summary(instance)
        words = (seen["name"], seen["state"], seen["company"], seen["email"], seen["product"], seen["url"] or "")
        table.add_row(*map(escape, words), when(instance.created_at))
    console().print(table)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show one instance: how to sign in, and the steps of its newest operation."""
    instance = _find(name)
    if as_json:
        print_json(_details(instance))
        return
    progress = queries.progress(instance.pk)
    console().print(_panel(instance, None))
    if progress is not None:
        console().print(f"{progress.kind.capitalize()}: {progress.state}", picture(progress))


@app.command()
def logs(
    name: Name,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last lines.", min=1, max=100_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """Print the last lines that the application wrote, without secrets."""
    instance = _find(name)
    try:
        written = queries.logs(instance, lines=lines)
    except ProvisioningError as error:
        fail(f"The log of {name} cannot be read: {error.detail}")
    if as_json:
        print_json({"id": instance.pk, "name": instance.slug, "lines": written.splitlines()})
    elif written:
        typer.echo(written.rstrip("\n"))
    else:
        typer.echo(f"{name} has written nothing.", err=True)


@app.command()
def suspend(name: Name, no_wait: NoWait = False, as_json: AsJson = False) -> None:
    """Stop an instance and keep all its data; its address says why."""
    _change(_find(name), "suspended", instance_control.suspend_instance, no_wait=no_wait, as_json=as_json)


@app.command()
def resume(name: Name, no_wait: NoWait = False, as_json: AsJson = False) -> None:
    """Start a suspended instance again."""
    _change(_find(name), "resumed", instance_control.resume_instance, no_wait=no_wait, as_json=as_json)


@app.command()
def archive(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    no_wait: NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Take an instance out of service for good; a last dump is kept."""
    instance = _find(name)
    if not yes:
        _confirm_archive(instance)
    _change(instance, "archived", instance_control.archive_instance, no_wait=no_wait, as_json=as_json)
    kept = queries.archive_of(instance)
    if kept is not None and not no_wait and not as_json:
        typer.echo(f"The last dump is {kept}.")


def _confirm_archive(instance: Instance) -> None:
    company = instance.organization.name if instance.organization else ""
    try:
        saved = queries.must_save(instance)
    except ProvisioningError as error:
        fail(f"{instance.slug} cannot be archived now: {error.detail}")
    typer.echo(
        f"{instance.slug} ({company}) is about to be archived. Its address stops answering, its database, files and "
        "passwords are removed, and its name becomes free for others. There is no command that brings it back.\n"
        + ("A last dump of its data is kept on this machine." if saved else "It has no data to keep a dump of."),
        err=True,
    )
    if not sys.stdin.isatty():
        fail("Nobody can be asked here: add --yes to archive it.")
    if not typer.confirm("Archive it?", err=True):
        fail("Nothing was changed.")


@app.command()
def maintenance(
    name: Name,
    text: Annotated[str, typer.Option(help="What visitors read, for example until when it lasts.")] = "",
    end: Annotated[bool, typer.Option("--end", help="Open the address again.")] = False,
) -> None:
    """Show a maintenance page at an instance's address while it goes on running."""
    instance = _find(name)
    now = timezone.now()
    try:
        if end:
            routes.end_maintenance(instance, actor=ACTOR, now=now)
        else:
            routes.begin_maintenance(instance, note=text[:500], actor=ACTOR, now=now)
    except IllegalTransition:
        fail(f"{instance.slug} is {instance.state}: " + ("there is no maintenance." if end else "it has to be live."))
    except ProvisioningError as error:
        fail(f"{instance.slug}: {error.detail}")
    typer.echo(f"{instance.url} {'answers again' if end else 'shows the maintenance page'}.")


@app.command()
def retry(name: Name, no_wait: NoWait = False, as_json: AsJson = False) -> None:
    """Try a failed creation again, under the same name."""
    instance = _find(name)
    try:
        signup.retry(instance.pk, actor=ACTOR, now=timezone.now())
    except IllegalTransition:
        fail(f"{name} is {instance.state}: only a failed creation can be tried again.")
    except signup.NameTaken:
        fail(f"Somebody else has taken the name {instance.slug} in the meantime.")
    except BlueprintError as error:
        fail(f"{name} cannot be created: {error}")
    operation = instance.operations.latest("created_at")
    _finish(instance, operation, "created", no_wait=no_wait, as_json=as_json)


# --- what they share ------------------------------------------------------------------------------------


def _find(name: str) -> Instance:
    found = None
    if re.fullmatch(r"[0-9a-fA-F-]{32,36}", name):
        try:
            found = queries.instance(UUID(name))
        except ValueError:
            found = None
    found = found or (queries.instance_named(name) if name and "\x00" not in name else None)
    if found is None or found.organization_id is None:
        fail(f"There is no instance {name!r}: `parcelle instance list --all` shows them.")
    return found


def _change(instance: Instance, done: str, change: Callable[..., Operation], *, no_wait: bool, as_json: bool) -> None:
    try:
        operation = change(instance.pk, reason="operator", actor=ACTOR, now=timezone.now())
    except InstanceBusy:
        fail(f"Another operation changes {instance.slug} right now: see `parcelle instance show {instance.slug}`.")
    except IllegalTransition:
        fail(f"{instance.slug} is {instance.state}: it cannot be {done} now.")
    _finish(instance, operation, done, no_wait=no_wait, as_json=as_json)


def _finish(instance: Instance, operation: Operation, done: str, *, no_wait: bool, as_json: bool) -> None:
    if no_wait:
        _report_asked(instance, operation, as_json=as_json)
        return
    progress = _wait(instance, operation, as_json=as_json)
    if progress.state != states.SUCCEEDED:
        fail(f"{instance.slug} could not be {done}: {reason(progress)}")
    if as_json:
        print_json(_details(_find(str(instance.pk))))
    else:
        seconds = f" in {progress.seconds:.1f} s" if progress.seconds is not None else ""
        typer.echo(f"{instance.slug} was {done}{seconds}.")


def _wait(instance: Instance, operation: Operation, *, as_json: bool) -> Progress:
    try:
        # With --json, standard output belongs to the document alone.
        return Watch(instance.pk, operation.pk, console(stderr=as_json)).follow()
    except Interrupted:
        typer.echo(f"\nIt goes on in the background: parcelle instance show {instance.slug}", err=True)
        raise typer.Exit(130) from None
    except Unattended:
        fail("No worker has finished this in time: start Parcelle with `parcelle up`, or ask `parcelle check`.")


def _report_asked(instance: Instance, operation: Operation, *, as_json: bool) -> None:
    if as_json:
        print_json({**_summary(instance), "operation": {"id": operation.pk, "kind": operation.kind}})
    else:
        typer.echo(f"Asked for. Follow it with: parcelle instance show {instance.slug}")


def _summary(instance: Instance) -> dict[str, Any]:
    return {
        "id": instance.pk,
        "name": instance.slug or "",
        "state": instance.state,
        "company": instance.owner.get("company", ""),
        "email": instance.owner.get("email", ""),
        "product": instance.product.slug,
        "url": instance.url or None,
        "created_at": instance.created_at,
        "live_at": instance.live_at,
    }


def _details(instance: Instance) -> dict[str, Any]:
    credentials = _credentials(instance)
    progress = queries.progress(instance.pk)
    return {
        **_summary(instance),
        "url": credentials.url if credentials and instance.url else instance.url or None,
        "user_name": credentials.user_name if credentials else None,
        "password": credentials.password if credentials else None,
        "database": (credentials.database or None) if credentials else _database(instance),
        "reason": _reason(instance) or None,
        "operation": progress
        and {
            "id": progress.operation_id,
            "kind": progress.kind,
            "state": progress.state,
            "percent": progress.percent,
            "seconds": progress.seconds,
            "error_code": progress.error_code or None,
            "error_detail": progress.error_detail or None,
            "steps": [
                {"name": s.name, "state": s.state, "attempt": s.attempt, "seconds": s.seconds} for s in progress.steps
            ],
        },
    }


def _credentials(instance: Instance) -> queries.Credentials | None:
    try:
        return queries.credentials(instance.pk)
    except (BlueprintError, ProvisioningError) as error:
        typer.echo(f"parcelle: how to sign in to {instance.slug} is not known: {error}", err=True)
        return None


def _reason(instance: Instance) -> str:
    return instance.reason if instance.state in {states.SUSPENDED, states.ARCHIVED} else ""


def _database(instance: Instance) -> str | None:
    if instance.state not in {states.SLEEPING, states.SUSPENDED}:
        return None
    try:
        return queries.database_name(instance) or None
    except BlueprintError:
        return None


def _panel(instance: Instance, created: Progress | None) -> Panel:
    """How to sign in, or why that is not possible; with the time it took when it was just `created`."""
    credentials = _credentials(instance)
    seen = _summary(instance)
    rows: list[tuple[str, str]] = []
    if credentials is None or created is None:
        rows.append(("State", instance.state + (f" ({_reason(instance)})" if _reason(instance) else "")))
    if credentials is not None:
        rows += [
            ("URL", credentials.url if instance.url else "(none: its target runs nothing)"),
            ("E-mail", seen["email"]),
            ("User name", credentials.user_name),
            ("Password", credentials.password),
            ("Database", credentials.database or "(none of its own)"),
        ]
    else:
        rows += [("E-mail", seen["email"]), ("Database", _database(instance) or "(none)")]
    if created is not None and created.seconds is not None:
        rows.append(("Seconds", f"{created.seconds:.2f}"))
    if created is None:
        rows += [
            ("Company", seen["company"]),
            ("Product", seen["product"]),
            ("Created", when(instance.created_at)),
            ("Id", str(instance.pk)),
        ]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for label, value in rows:
        table.add_row(label, escape(value))
    return Panel.fit(table, title=escape(instance.slug or ""), padding=(1, 2))
