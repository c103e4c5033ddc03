"""The home of the back office: how things stand right now."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Count, Min, Q
from django.db.models.functions import TruncDate
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from procrastinate.contrib.django.models import ProcrastinateJob, ProcrastinateWorker

from parcelle.core.models import Fact, Reaction
from parcelle.domain.billing import states as billing
from parcelle.domain.billing import transfer_states, transfers
from parcelle.domain.billing.models import StatementLine, Subscription, Transfer
from parcelle.domain.catalog.models import Product
from parcelle.domain.notifications.models import Message
from parcelle.domain.provisioning import states
from parcelle.domain.provisioning.models import Finding, Instance, Operation, Target
from parcelle.domain.tenancy.models import Organization
from parcelle.journeys import delivery
from parcelle.journeys.delivery import Trouble
from parcelle.surfaces.backoffice import money_work, words
from parcelle.surfaces.backoffice.base import lean, name_actors
from parcelle.surfaces.backoffice.core import with_subjects
from parcelle.surfaces.backoffice.values import days_left, duration, list_of, page_of

WEEK = timedelta(days=7)
# A worker gives a sign of life every ten seconds; see procrastinate's `update_heartbeat_interval`.
WORKER_SILENT = timedelta(seconds=45)
_PUT_IN = ("deferred", "scheduled", "deferred_for_retry")
# A job should begin within seconds of being asked for.
QUEUE_SLOW = timedelta(minutes=1)
MOST = 5


@dataclass(frozen=True)
class Line:
    """One line of a card."""

    title: object
    number: object = ""
    url: str = ""
    state: str = ""
    note: object = ""
    percent: int = 0


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Called by unfold before it renders the home page."""
    now = timezone.now()
    counts: list[Any] = list(
        Instance.objects.order_by()
        .values("state", "target_id", "product_id", pooled=Q(organization=None))
        .annotate(number=Count("pk"))
    )
    return {
        **context,
        "instances": _instances(counts),
        "instances_url": list_of(Instance),
        "signups": _signups(now),
        "trials": _trials(now),
        "transfers": _transfers(),
        "failures": _failures(now),
        "money": money_work.lines(request),
        "undelivered": _undelivered(now),
        "queue": _queue(now),
        "pools": _pools(counts),
        "targets": _targets(counts),
        "facts": _facts(),
        "facts_url": list_of(Fact),
    }


def failed_instances_badge(_request: HttpRequest) -> str:
    """How many customers wait for an instance whose creation failed; nothing to show for none."""
    number = Instance.objects.filter(state=states.FAILED, organization__isnull=False).count()
    return str(number) if number else ""


def findings_badge(_request: HttpRequest) -> str:
    """How much is not as it should be on the targets; nothing to show for none."""
    number = Finding.objects.filter(closed_at=None).count()
    return str(number) if number else ""


def transfers_badge(_request: HttpRequest) -> str:
    """How many bank transfers wait for somebody; nothing to show for none."""
    number = transfers.waiting()
    return str(number) if number else ""


def _transfers() -> dict[str, Any]:
    waiting = Transfer.objects.filter(state__in=transfer_states.TO_CONFIRM)
    rows = lean(waiting, "payment__order").order_by("waiting_since")
    return {
        "total": waiting.count(),
        "lines": [
            Line(
                row.payment.order, row.amount.format(get_language() or "fr"), page_of(row), note=row.get_state_display()
            )
            for row in rows[:MOST]
        ],
        "unmatched": StatementLine.objects.filter(state=StatementLine.OPEN).count(),
        "url": list_of(Transfer),
        "lines_url": list_of(StatementLine),
    }


def _instances(counts: list[Any]) -> dict[str, Any]:
    numbers: Counter[str] = Counter()
    for row in counts:
        if not row["pooled"]:
            numbers[row["state"]] += row["number"]
    total = sum(numbers.values())
    shown = [(state, title) for state, title in states.INSTANCE_CHOICES if state != states.STANDBY]
    lines = [
        Line(
            title,
            numbers.get(state, 0),
            list_of(Instance, f"state__exact={state}"),
            state,
            percent=round(100 * numbers.get(state, 0) / total) if total else 0,
        )
        for state, title in shown
        if numbers.get(state) or state in {states.LIVE, states.SUSPENDED, states.FAILED}
    ]
    return {"total": total, "live": numbers.get(states.LIVE, 0), "lines": lines}


def _signups(now: datetime) -> dict[str, Any]:
    today = timezone.localdate(now)
    first = today - timedelta(days=6)
    begin = timezone.make_aware(datetime.combine(first, datetime.min.time()))
    recent = Organization.objects.filter(created_at__gte=begin)
    numbers: dict[date, int] = dict(
        recent.annotate(day=TruncDate("created_at")).values_list("day").annotate(Count("pk")).order_by()
    )
    most = max(numbers.values(), default=0)
    days = [first + timedelta(days=number) for number in range(7)]
    return {
        "total": sum(numbers.values()),
        "days": [Line(day, numbers.get(day, 0), percent=_share(numbers.get(day, 0), most)) for day in days],
        "url": list_of(Organization, f"created_at__gte={first.isoformat()}"),
    }


def _share(number: int, most: int) -> int:
    return round(100 * number / most) if most else 0


def _trials(now: datetime) -> dict[str, Any]:
    ending = Subscription.objects.filter(
        state=billing.TRIALING, trial_ends_at__gt=now, trial_ends_at__lte=now + WEEK
    ).select_related("organization", "plan__product")
    soonest = list(ending.order_by("trial_ends_at")[:MOST])
    return {
        "total": ending.count(),
        "lines": [
            Line(row.organization, days_left(row.trial_ends_at, now), page_of(row), note=row.plan) for row in soonest
        ],
        "url": list_of(Subscription, "trial_ends=week"),
    }


def _failures(now: datetime) -> dict[str, Any]:
    failed = Operation.objects.filter(state=states.FAILED, created_at__gte=now - WEEK)
    newest = lean(failed, "instance", "template", "template__target").order_by("-created_at")
    return {
        "total": failed.count(),
        "lines": [
            Line(
                row.instance or row.template,
                words.word(words.KINDS, row.kind),
                page_of(row),
                note=words.word(words.ERRORS, row.error_code),
            )
            for row in newest[:MOST]
        ],
        "url": list_of(Operation, f"state__exact={states.FAILED}"),
    }


def _undelivered(now: datetime) -> dict[str, Any]:
    """Who paid and has nothing for it yet, those first that wait for a human."""
    found = delivery.troubles(now)
    return {
        "total": len(found),
        "by_hand": sum(trouble.needs_human(now) for trouble in found),
        "lines": [
            Line(
                trouble.order.organization or trouble.order.email,
                _turn(trouble, now),
                page_of(trouble.instance) if trouble.instance else list_of(ProcrastinateJob, "status=todo"),
                state="failed" if trouble.needs_human(now) else "",
                note=trouble.order,
            )
            for trouble in found[:MOST]
        ],
    }


def _turn(trouble: Trouble, now: datetime) -> str:
    if trouble.again_at is None or trouble.needs_human(now):
        return _("your turn")
    if trouble.again_at <= now:
        return _("being tried again")
    return _("tried again in %(time)s") % {"time": duration(trouble.again_at - now)}


def _queue(now: datetime) -> dict[str, Any]:
    due = Q(status="todo") & (Q(scheduled_at=None) | Q(scheduled_at__lte=now))
    numbers = ProcrastinateJob.objects.aggregate(
        waiting=Count("pk", filter=due),
        doing=Count("pk", filter=Q(status="doing")),
        failed=Count("pk", filter=Q(status="failed")),
    )
    oldest = (
        ProcrastinateJob.objects.filter(due, procrastinateevent__type__in=_PUT_IN)
        .aggregate(since=Min("procrastinateevent__at"))
        .get("since")
    )
    # Operations, reactions and messages wait in their own tables.
    waiting = Operation.objects.filter(state=states.QUEUED).aggregate(number=Count("pk"), since=Min("created_at"))
    mails = Message.objects.filter(state=Message.QUEUED).aggregate(number=Count("pk"), since=Min("created_at"))
    reactions = Reaction.objects.aggregate(number=Count("pk"), since=Min("fact__at"))
    for rows in (waiting, mails, reactions):
        numbers["waiting"] += rows["number"]
        oldest = min(filter(None, (oldest, rows["since"])), default=None)
    workers = ProcrastinateWorker.objects.filter(last_heartbeat__gte=now - WORKER_SILENT).count()
    waited = now - oldest if oldest else None
    return {
        **numbers,
        "workers": workers,
        "oldest": duration(waited) if waited else "",
        "slow": bool(waited and waited > QUEUE_SLOW),
        "url": list_of(ProcrastinateJob, "status=todo"),
        "failed_url": list_of(ProcrastinateJob, "status=failed"),
    }


def _pools(counts: list[Any]) -> list[Line]:
    ready, coming = Counter[Any](), Counter[Any]()
    for row in counts:
        if row["state"] == states.STANDBY:
            ready[row["product_id"]] += row["number"]
        elif row["pooled"] and row["state"] in {states.REQUESTED, states.PROVISIONING}:
            coming[row["product_id"]] += row["number"]
    return [
        Line(
            product,
            f"{ready[product.pk]} / {product.pool_size}",
            list_of(Instance, f"of=pool&product__id__exact={product.pk}"),
            note=coming[product.pk],
            percent=min(100, _share(ready[product.pk], product.pool_size)),
        )
        for product in Product.objects.filter(enabled=True, pool_size__gt=0)
    ]


def _targets(counts: list[Any]) -> list[Line]:
    used: Counter[Any] = Counter()
    for row in counts:
        if row["state"] in {*states.HOLDING_NAME, states.STANDBY}:
            used[row["target_id"]] += row["number"]
    return [
        Line(
            target,
            f"{used[target.pk]} / {target.capacity}",
            page_of(target),
            note=target.region,
            percent=min(100, _share(used[target.pk], target.capacity)),
        )
        for target in lean(Target.objects.filter(enabled=True)).order_by("name")
    ]


def _facts() -> list[Any]:
    rows: list[Any] = list(Fact.objects.order_by("-id")[:8])
    name_actors(rows)
    with_subjects(rows)
    for row in rows:
        row.title = words.word(words.FACTS, row.name)
    return rows
