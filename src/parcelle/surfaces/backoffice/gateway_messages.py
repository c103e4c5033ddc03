"""What payment services told us: stored as it came, shown without what only its recipient may know."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.enums import ActionVariant

from parcelle.core.logs import redact, redacted
from parcelle.domain.billing.models import GatewayEvent
from parcelle.surfaces.backoffice import words
from parcelle.surfaces.backoffice.base import Lines, Record, lean
from parcelle.surfaces.backoffice.changes import Changing
from parcelle.surfaces.backoffice.filters import by_code
from parcelle.surfaces.backoffice.money_verbs import RETRY
from parcelle.surfaces.backoffice.values import NOTHING, code, link_to, moment

# Who knows a signature could play the message once more; the others say who asks.
_SECRET_HEADERS = ("signature", "authorization", "cookie", "transmission-sig", "token")


def readable(body: bytes) -> str:
    """A body as lines to read: JSON indented, everything else as text, secrets out of both."""
    try:
        return json.dumps(redacted(json.loads(body)), ensure_ascii=False, indent=2)
    except ValueError:
        return redact(body.decode("utf-8", "replace"))


def header_lines(headers: dict[str, str]) -> str:
    shown = {
        name: "[redacted]" if any(part in name for part in _SECRET_HEADERS) else redact(value)
        for name, value in sorted(headers.items())
    }
    return "\n".join(f"{name}: {value}" for name, value in shown.items())


class MessageColumns:
    """How a message is shown, in its own list and inside a payment's page."""

    @admin.display(description=_("Method"), ordering="gateway")
    def service(self, row: GatewayEvent) -> str:
        return words.word(words.GATEWAYS, row.gateway)

    @admin.display(description=_("Received"), ordering="received_at")
    def received(self, row: GatewayEvent) -> SafeString | str:
        return moment(row.received_at)

    @admin.display(description=_("Dealt with"), ordering="done_at")
    def dealt_with(self, row: GatewayEvent) -> SafeString | str:
        return moment(row.done_at)

    @admin.display(description=_("Error"))
    def trouble(self, row: GatewayEvent) -> SafeString | str:
        return format_html('<span class="bo-cut" title="{}">{}</span>', row.error, row.error) if row.error else NOTHING


@admin.register(GatewayEvent)
class GatewayEventPage(MessageColumns, Changing, Record):
    verbs = [RETRY]
    confirmation_columns = (_("Message"), _("Payment"))
    when_empty = _("What payment services tell about payments is kept here.")
    list_display = ["kind", "state_badge", "service", "about", "received", "dealt_with", "trouble"]
    list_filter = [
        by_code("state", _("state"), lambda: GatewayEvent.STATES),
        by_code("gateway", _("method"), words.GATEWAYS.items),
        "received_at",
    ]
    search_fields = ["event_id", "kind", "subject"]
    search_help_text = _("The service’s name of the message, its kind or what it is about")
    ordering = ["-received_at"]
    actions_detail = ["retry_one"]
    fields = [
        ("kind", "state_badge"),
        ("service", "event_id"),
        ("about", "names"),
        ("received", "dealt_with"),
        "error",
        "text",
        "sent_with",
    ]
    readonly_fields = ["state_badge", "service", "about", "names", "received", "dealt_with", "text", "sent_with"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[GatewayEvent]:
        return lean(super().get_queryset(request), "payment").defer("body", "headers", "payment__memo")

    @admin.display(description=_("Payment"))
    def about(self, row: GatewayEvent) -> SafeString | str:
        return link_to(row.payment)

    @admin.display(description=_("Names"))
    def names(self, row: GatewayEvent) -> SafeString | str:
        return code(row.subject) if row.subject else NOTHING

    @admin.display(description=_("As it came"))
    def text(self, row: GatewayEvent) -> SafeString:
        return format_html('<pre class="bo-code">{}</pre>', readable(bytes(row.body)))

    @admin.display(description=_("Headers"))
    def sent_with(self, row: GatewayEvent) -> SafeString:
        return format_html('<pre class="bo-code">{}</pre>', header_lines(row.headers))

    def describe(self, row: GatewayEvent) -> object:
        return link_to(row.payment)

    def find(self, object_id: str) -> Any:
        return self.model.objects.filter(pk=object_id).first() if object_id.isdigit() else None

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        row = self.find(object_id)
        again = row is not None and row.state in {GatewayEvent.FAILED, GatewayEvent.IGNORED}
        if not again or not self.has_operate_permission(request):
            return []
        return list(super().get_actions_detail(request, object_id))  # type: ignore[misc]

    @action(description=_("Try again"), url_path="retry", icon="replay", variant=ActionVariant.PRIMARY)
    def retry_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, RETRY)


class GatewayEventLines(MessageColumns, Lines):
    """The messages about a payment."""

    model = GatewayEvent
    verbose_name_plural = _("Messages of the payment service")
    fields = ["what", "state_badge", "received", "dealt_with", "trouble"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("body", "headers").order_by("-received_at")

    @admin.display(description=_("Kind"))
    def what(self, row: GatewayEvent) -> SafeString | str:
        return link_to(row, row.kind or row.event_id)
