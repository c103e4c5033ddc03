"""Messages that were sent, without what they carried."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from parcelle.domain.notifications.models import Message
from parcelle.domain.provisioning.models import Instance
from parcelle.domain.tenancy.models import Organization
from parcelle.surfaces.backoffice import words
from parcelle.surfaces.backoffice.base import Record, found
from parcelle.surfaces.backoffice.filters import by_code
from parcelle.surfaces.backoffice.values import NOTHING, link_to, moment


@admin.register(Message)
class MessagePage(Record):
    when_empty = _("Every mail to a customer is kept here, with what became of it.")
    list_display = ["about", "state_badge", "to", "created", "delivered", "trouble"]
    list_filter = [
        "state",
        by_code("kind", _("kind"), words.MESSAGES.items),
        by_code("language", _("language"), words.LANGUAGES.items),
        "created_at",
    ]
    search_fields = ["to", "kind", "key"]
    search_help_text = _("Recipient, kind or identifier")
    id_fields = ["organization_id", "instance_id"]
    ordering = ["-created_at"]
    fields = [
        ("about", "state_badge"),
        ("to", "speaks"),
        ("organization", "instance"),
        ("created_at", "sent_at"),
        "error",
        "identifier",
    ]
    readonly_fields = ["about", "speaks", "state_badge", "organization", "instance", "identifier"]

    @admin.display(description=_("Kind"), ordering="kind")
    def about(self, row: Message) -> str:
        return words.word(words.MESSAGES, row.kind)

    @admin.display(description=_("Language"))
    def speaks(self, row: Message) -> str:
        return words.word(words.LANGUAGES, row.language)

    @admin.display(description=_("Created"), ordering="created_at")
    def created(self, row: Message) -> SafeString | str:
        return moment(row.created_at)

    @admin.display(description=_("Sent"), ordering="sent_at")
    def delivered(self, row: Message) -> SafeString | str:
        return moment(row.sent_at)

    @admin.display(description=_("Error"))
    def trouble(self, row: Message) -> SafeString | str:
        return format_html('<span class="bo-cut" title="{}">{}</span>', row.error, row.error) if row.error else NOTHING

    @admin.display(description=_("Organization"))
    def organization(self, row: Message) -> SafeString | str:
        return link_to(found(Organization, row.organization_id))

    @admin.display(description=_("Instance"))
    def instance(self, row: Message) -> SafeString | str:
        return link_to(found(Instance, row.instance_id))
