"""`/mailbox`: every mail the embedded system sent, readable on the spot.

By everybody where the site is for people at this machine only; elsewhere by operators, because it holds what gets
somebody in.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import wraps

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.paginator import Paginator
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from parcelle.domain.notifications.models import MailboxMail

_PER_PAGE = 50


@dataclass(frozen=True)
class Letter:
    """A stored mail, taken apart."""

    id: int
    at: datetime
    sender: str
    to: str
    subject: str
    text: str
    html: str
    # Their names and sizes in bytes.
    files: list[tuple[str, int]]


View = Callable[..., HttpResponseBase]


def _readable(view: View) -> View:
    @wraps(view)
    def answer(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if settings.AT_HOME or (request.user.is_active and request.user.is_staff):
            return view(request, *args, **kwargs)
        if request.user.is_authenticated:
            raise Http404
        return redirect_to_login(request.get_full_path(), reverse("admin:login"))

    return answer


@never_cache
@require_safe
@_readable
def mailbox(request: HttpRequest) -> HttpResponse:
    mails = Paginator(MailboxMail.objects.defer("raw"), _PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "portal/mailbox.html", {"mails": mails})


@never_cache
@require_safe
@_readable
def mail(request: HttpRequest, mail_id: int) -> HttpResponse:
    letter = _open(get_object_or_404(MailboxMail, pk=mail_id))
    return render(request, "portal/mailbox_mail.html", {"letter": letter})


@never_cache
@xframe_options_sameorigin
@require_safe
@_readable
def mail_html(_request: HttpRequest, mail_id: int) -> HttpResponse:
    """The HTML part alone, for the frame of the mail's page: no script runs and nothing is loaded."""
    letter = _open(get_object_or_404(MailboxMail, pk=mail_id))
    html = letter.html.replace("<head>", '<head><base target="_blank">', 1)
    response = HttpResponse(html)
    response["Content-Security-Policy"] = (
        "sandbox allow-same-origin allow-popups allow-popups-to-escape-sandbox; "
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    )
    return response


@never_cache
@require_safe
@_readable
def mail_file(_request: HttpRequest, mail_id: int, position: int) -> HttpResponseBase:
    """An attachment, to be saved and never shown: it may be anything."""
    message = message_from_bytes(get_object_or_404(MailboxMail, pk=mail_id).raw, policy=policy.default)
    parts = list(message.iter_attachments())
    if position >= len(parts):
        raise Http404
    file = FileResponse(
        io.BytesIO(_content(parts[position])),
        as_attachment=True,
        filename=parts[position].get_filename() or "file",
        content_type="application/octet-stream",
    )
    file["X-Content-Type-Options"] = "nosniff"
    return file


def _open(row: MailboxMail) -> Letter:
    message = message_from_bytes(row.raw, policy=policy.default)
    return Letter(
        id=row.pk,
        at=row.at,
        sender=row.sender,
        to=row.to,
        subject=row.subject,
        text=_body(message, "plain"),
        html=_body(message, "html"),
        files=[(part.get_filename() or "?", len(_content(part))) for part in message.iter_attachments()],
    )


def _content(part: EmailMessage) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    return str(part.get_content()) if part is not None else ""
