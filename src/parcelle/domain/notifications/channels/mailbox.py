"""The embedded system's outbox: every mail becomes a row that `/mailbox` shows."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from parcelle.domain.notifications.models import MailboxMail


class MailboxBackend(BaseEmailBackend):
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        mails = []
        for message in email_messages:
            mime = message.message()
            mails.append(
                MailboxMail(
                    message_id=str(mime["Message-ID"])[:250],
                    sender=message.from_email,
                    to=", ".join(message.recipients()),
                    subject=str(message.subject),
                    raw=mime.as_bytes(),
                )
            )
        # Like a mail server, it keeps a message that is handed over twice only once.
        MailboxMail.objects.bulk_create(mails, ignore_conflicts=True)
        return len(email_messages)
