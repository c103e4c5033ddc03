"""A visitor writes to the vendor, who answers by mail."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.conf import settings

from parcelle.core.context import Platform, as_platform
from parcelle.domain.notifications import actions as notifications
from parcelle.journeys import alarms
from parcelle.journeys.customers import one_line


@as_platform(Platform.ENQUIRY)
def ask(
    *,
    submission: UUID,
    name: str,
    company: str,
    email: str,
    message: str,
    about: str,
    language: str,
    now: datetime,
) -> None:
    """Sends what a visitor wrote to the vendor; the same form again is sent once."""
    notifications.send(
        key=f"enquiry:{submission}",
        kind="enquiry",
        to=alarms.operator_address(),
        language=settings.LANGUAGE_CODE[:2],
        context={
            "name": one_line(name),
            "company": one_line(company),
            "reply_to": email,
            "message": message,
            "about": one_line(about),
            "visitor_language": language,
        },
        now=now,
    )
