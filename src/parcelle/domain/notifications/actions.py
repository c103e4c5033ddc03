"""The verbs of this app."""

from __future__ import annotations

import re
import smtplib
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import connection
from django.template.loader import render_to_string
from django.utils import timezone, translation

from parcelle.core import dispatch
from parcelle.core.compiled import Compiled, any_of
from parcelle.core.logs import redact
from parcelle.core.rows import insert_unless_taken, readable
from parcelle.domain.notifications import attachments
from parcelle.domain.notifications.models import Message

SOURCE = "messages"
# The pause before attempt 2, 3, ... is three times longer each time: the last one is made after about three days.
MOST_ATTEMPTS = 12
# Mail servers may take their time; whoever takes longer is taken for dead, and the message is sent once more.
LEASE_SECONDS = 120.0

logger = structlog.get_logger(__name__)


def send(
    *,
    key: str,
    kind: str,
    to: str,
    language: str,
    context: dict[str, Any],
    now: datetime,
    organization_id: UUID | None = None,
    instance_id: UUID | None = None,
) -> None:
    """Queues one mail of a kind in `templates/notifications/`; a second one with the same `key` is never sent.

    `context` must be JSON with datetimes as ISO texts ending in `_at` or `_until`; it is stored encrypted. What it
    names as `attachments` goes with it, see there.
    """
    message = Message(
        key=key,
        kind=kind,
        to=to,
        language=language,
        context=context,
        organization_id=organization_id,
        instance_id=instance_id,
        created_at=now,
        due_at=now,
    )
    if insert_unless_taken(message):
        dispatch.wake_now_and_then(SOURCE)


_TAKE = """
    UPDATE notifications_message SET due_at = %(until)s, attempts = LEAST(attempts + 1, 100) WHERE id = ANY(ARRAY(
        SELECT id FROM notifications_message WHERE due_at <= %(now)s
        ORDER BY due_at LIMIT %(most)s FOR UPDATE SKIP LOCKED))
    RETURNING id
"""
_messages = Compiled(lambda: Message.objects.filter(any_of("id", "keys")))


def take(most: int) -> Sequence[dispatch.Piece]:
    """Up to `most` messages that are due, each for a thread of its own."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"now": now, "until": now + timedelta(seconds=LEASE_SECONDS), "most": most})
        taken = [row[0] for row in cursor.fetchall()]
    found = readable(lambda some: _messages(keys=some), taken, of="message")
    return [partial(deliver, message) for message in found]


def deliver(message: Message) -> None:
    """Sends a message. The Message-ID is the row's, so a repetition can be recognised on the way.

    When that fails the reason is kept with it and it is due again later; after the last attempt it stays failed
    for the operator to see.
    """
    stored = Message.objects.filter(pk=message.pk).exclude(state=Message.SENT)
    try:
        render(message).send()
    except Exception as error:
        last = message.attempts >= MOST_ATTEMPTS
        logger.warning("message not sent", message_id=str(message.pk), attempt=message.attempts, last=last)
        if not isinstance(error, OSError | smtplib.SMTPException):
            logger.exception("a message cannot be made")
        stored.update(
            state=Message.FAILED if last else Message.QUEUED,
            error=redact(f"{type(error).__name__}: {error}")[:1000],
            due_at=None if last else timezone.now() + timedelta(seconds=3**message.attempts),
        )
        return
    stored.update(state=Message.SENT, sent_at=timezone.now(), due_at=None, error="")
    logger.info("message sent", message_id=str(message.pk), kind=message.kind)


def render(message: Message) -> EmailMultiAlternatives:
    """The message as a mail with a text and an HTML part, in the recipient's language."""
    folder = f"notifications/{message.kind}"
    context = {name: _value(name, value) for name, value in message.context.items()}
    context["public_url"] = settings.PUBLIC_URL
    with translation.override(message.language):
        mail = EmailMultiAlternatives(
            # One line; but the no-break spaces of French stay.
            subject=re.sub(r"[ \t\r\n]+", " ", render_to_string(f"{folder}.subject.txt", context)).strip(" "),
            body=render_to_string(f"{folder}.txt", context),
            to=[message.to],
            reply_to=[context["reply_to"]] if "reply_to" in context else None,
            headers={"Message-ID": f"<{message.pk}@{settings.MESSAGE_ID_DOMAIN}>", "Auto-Submitted": "auto-generated"},
        )
        mail.attach_alternative(render_to_string(f"{folder}.html", context), "text/html")
    for name, content, media_type in attachments.read(context.get("attachments", ())):
        mail.attach(name, content, media_type)
    return mail


def _value(name: str, value: Any) -> Any:
    if isinstance(value, str) and name.endswith(("_at", "_until")):
        return datetime.fromisoformat(value)
    return value
