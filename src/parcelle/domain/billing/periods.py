"""Billing periods by the calendar: the anchor's day of the month, or the month's last day where it has fewer."""

from __future__ import annotations

import calendar
from datetime import datetime

from django.utils import timezone

from parcelle.domain.catalog.models import Price

_MONTHS = {Price.MONTH: 1, Price.YEAR: 12}


def anchor_of(start: datetime) -> int:
    """The day of the month, where the seller is, on which a subscription begun at `start` renews."""
    return timezone.localtime(start).day


def next_start(start: datetime, *, interval: str, anchor_day: int) -> datetime:
    """When the period after the one begun at `start` begins: 31 Jan, 28 Feb, 31 Mar.

    The time of day is kept in the seller's time zone, across changes of the clock.
    """
    local = timezone.localtime(start)
    months = local.year * 12 + local.month - 1 + _MONTHS[interval]
    year, month = divmod(months, 12)
    day = min(anchor_day, calendar.monthrange(year, month + 1)[1])
    naive = local.replace(tzinfo=None, year=year, month=month + 1, day=day)
    return timezone.make_aware(naive).astimezone(start.tzinfo)
