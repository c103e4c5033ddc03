"""The verbs on instances and operations: what they mean, what they would do to each row, and whom they call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

from parcelle.domain.billing import states as billing
from parcelle.domain.billing.models import Subscription
from parcelle.domain.provisioning import actions, states
from parcelle.domain.provisioning.models import Instance, Operation
from parcelle.journeys import instance_control
from parcelle.surfaces.backoffice import words
from parcelle.surfaces.backoffice.changes import Forecast, Verb


def _running(instances: Sequence[Instance]) -> dict[UUID | None, str]:
    rows = Operation.objects.filter(instance__in=instances, state__in=states.UNFINISHED)
    return dict(rows.values_list("instance_id", "kind"))


def _busy(kind: str) -> Forecast:
    text = _("Nothing: “%(operation)s” is still running on it.")
    return Forecast(text % {"operation": words.word(words.KINDS, kind)}, possible=False)


def _changing(kind: str, effects: dict[str, str | Promise]) -> Callable[[Sequence[Any]], list[Forecast]]:
    """Forecasts of a change; `effects` by the state the instance is in, `""` for all others."""

    def foresee(instances: Sequence[Instance]) -> list[Forecast]:
        running = _running(instances)
        return [one(instance, running.get(instance.pk)) for instance in instances]

    def one(instance: Instance, running: str | None) -> Forecast:
        if running:
            return _busy(running)
        if not states.may_change(instance.state, kind):
            if instance.state == states.STANDBY:
                return Forecast(_("Nothing: the pool looks after its standbys itself."), possible=False)
            text = _("Nothing: not possible in its present state (%(state)s).")
            return Forecast(text % {"state": instance.get_state_display()}, possible=False)
        effect = effects.get(instance.state, effects[""])
        return Forecast(str(effect) % {"name": instance.slug or "", "url": instance.url})

    return foresee


def _change(do: Callable[..., object]) -> Callable[[Instance, str, datetime], object]:
    return lambda row, actor, now: do(row.pk, reason="operator", actor=actor, now=now)


SUSPEND = Verb(
    name="suspend",
    label=gettext_lazy("Suspend"),
    icon="pause_circle",
    meaning=gettext_lazy(
        "The application stops, and its address shows a page that says it is suspended. Nothing is lost: "
        "database, files and address are kept, and “Resume” brings everything back at any time."
    ),
    question=ngettext_lazy("Suspend this instance?", "Suspend %(count)d instances?", "count"),
    foresee=_changing(
        "suspend", {"": gettext_lazy("Stops at once; people who are signed in are cut off. The data are kept.")}
    ),
    do=_change(instance_control.suspend_instance),
    done=gettext_lazy("Done: the suspension has been asked for."),
)


def _resume(instances: Sequence[Instance]) -> list[Forecast]:
    """An instance follows its subscription: what is resumed against it does not stay so."""
    forecasts = _changing("resume", {"": gettext_lazy("Starts again with all its data.")})(instances)
    wanted = [instance.subscription_id for instance in instances if instance.subscription_id]
    over = set(Subscription.objects.filter(pk__in=wanted).exclude(state__in=billing.LIVE).values_list("pk", flat=True))
    brief = _("Starts again, but is suspended again within ten minutes: its subscription gives no right to it.")
    return [
        Forecast(brief) if forecast.possible and instance.subscription_id in over else forecast
        for instance, forecast in zip(instances, forecasts, strict=True)
    ]


RESUME = Verb(
    name="resume",
    label=gettext_lazy("Resume"),
    icon="play_circle",
    meaning=gettext_lazy(
        "The application starts again under its old address, with all its data. The subscription is not changed: while "
        "that is suspended, because its trial has ended, the instance is suspended again within ten minutes."
    ),
    question=ngettext_lazy("Resume this instance?", "Resume %(count)d instances?", "count"),
    foresee=_resume,
    do=_change(instance_control.resume_instance),
    done=gettext_lazy("Done: the resumption has been asked for."),
)

ARCHIVE = Verb(
    name="archive",
    label=gettext_lazy("Archive"),
    icon="archive",
    meaning=gettext_lazy(
        "The application is taken out of service for good. A last dump of its data is kept in the archive; then its "
        "database, its files and its passwords are destroyed, its address stops answering, its name is free for "
        "somebody else, and its subscription ends. This cannot be undone here: bringing the data back means loading "
        "the dump into a new instance."
    ),
    question=ngettext_lazy("Archive this instance for good?", "Archive %(count)d instances for good?", "count"),
    foresee=_changing(
        "archive",
        {
            "": gettext_lazy(
                "Stops for good. A dump of the data is kept, everything else is destroyed, and the name “%(name)s” "
                "becomes free."
            ),
            states.FAILED: gettext_lazy("Nothing of it was kept when its creation failed: it is only put aside."),
        },
    ),
    do=_change(instance_control.archive_instance),
    done=gettext_lazy("Done: the archiving has been asked for."),
    dangerous=True,
)


def _again(operation: Operation | None, instance: Instance | None) -> Forecast:
    """What trying this operation again would do."""
    if operation is None or operation.state != states.FAILED:
        return Forecast(_("Nothing: its last operation has not failed."), possible=False)
    if instance is None:
        return Forecast(_("Nothing: a template is built again by itself when it is next needed."), possible=False)
    if operation.kind == "create" and instance.state == states.FAILED:
        text = _("Is created again under the name “%(name)s”, with fresh passwords.")
        return Forecast(text % {"name": instance.slug or ""})
    if operation.kind in states.CHANGES and states.may_change(instance.state, operation.kind):
        text = _("“%(operation)s” is tried again.")
        return Forecast(text % {"operation": words.word(words.KINDS, operation.kind)})
    if operation.kind == "discard_standby" and instance.state == states.FAILED:
        return Forecast(_("What is left of the standby is removed."))
    text = _("Nothing: not possible in its present state (%(state)s).")
    return Forecast(text % {"state": instance.get_state_display()}, possible=False)


def _retry_instances(instances: Sequence[Instance]) -> list[Forecast]:
    running = _running(instances)
    newest = {
        operation.instance_id: operation
        # A standby that was taken over brings its own history along.
        for operation in Operation.objects.filter(instance__in=instances)
        .exclude(kind="prepare_standby")
        .order_by("instance_id", "-created_at")
        .distinct("instance_id")
    }
    return [
        _busy(running[instance.pk]) if instance.pk in running else _again(newest.get(instance.pk), instance)
        for instance in instances
    ]


def _retry_operations(operations: Sequence[Operation]) -> list[Forecast]:
    running = _running([operation.instance for operation in operations if operation.instance is not None])
    return [
        _busy(running[operation.instance_id])
        if operation.instance_id in running
        else _again(operation, operation.instance)
        for operation in operations
    ]


_RETRY_MEANING = gettext_lazy(
    "What failed is asked for once more. A creation begins afresh with new passwords, because everything the failed "
    "one had made was removed; other operations go on from the state in which the instance is. Nothing is lost."
)

RETRY_INSTANCE = Verb(
    name="retry",
    label=gettext_lazy("Try again"),
    icon="replay",
    meaning=_RETRY_MEANING,
    question=ngettext_lazy(
        "Try the last operation of this instance again?",
        "Try the last operation of %(count)d instances again?",
        "count",
    ),
    foresee=_retry_instances,
    do=lambda row, actor, now: instance_control.retry_last(row.pk, actor=actor, now=now),
    done=gettext_lazy("Done: it is being tried again."),
)

RETRY_OPERATION = Verb(
    name="retry",
    label=gettext_lazy("Try again"),
    icon="replay",
    meaning=_RETRY_MEANING,
    question=ngettext_lazy("Try this operation again?", "Try %(count)d operations again?", "count"),
    foresee=_retry_operations,
    do=lambda row, actor, now: actions.retry_operation(row, actor=actor, now=now),
    done=gettext_lazy("Done: it is being tried again."),
)

REVOKE = Verb(
    name="revoke",
    label=gettext_lazy("Revoke"),
    icon="block",
    meaning=gettext_lazy(
        "Programs that use this token are refused from now on. This cannot be undone: give them a new token first."
    ),
    question=ngettext_lazy("Revoke this API token?", "Revoke %(count)d API tokens?", "count"),
    foresee=lambda tokens: [
        Forecast(_("Nothing: it is revoked already."), possible=False)
        if token.revoked_at
        else Forecast(_("Is refused from now on."))
        for token in tokens
    ],
    do=lambda token, _actor, now: token.revoke(now=now),
    done=gettext_lazy("Done: it is refused from now on."),
    dangerous=True,
)
