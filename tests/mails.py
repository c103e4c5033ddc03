"""Reading sent mails."""

from __future__ import annotations

from django.core.mail import EmailMessage, EmailMultiAlternatives


def html(sent: EmailMessage) -> str:
    """The HTML form of a mail that has one."""
    assert isinstance(sent, EmailMultiAlternatives)
    [(content, kind)] = sent.alternatives
    assert kind == "text/html" and isinstance(content, str)
    return content
