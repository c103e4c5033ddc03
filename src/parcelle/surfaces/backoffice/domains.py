"""Customers' own domains."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from parcelle.domain.provisioning.models import Domain, Instance
from parcelle.domain.tenancy.models import Organization
from parcelle.surfaces.backoffice import words
from parcelle.surfaces.backoffice.base import Record, lean
from parcelle.surfaces.backoffice.filters import by_code
from parcelle.surfaces.backoffice.values import NOTHING, link_to, moment


@admin.register(Domain)
class DomainPage(Record):
    when_empty = _("Customers add domains of their own to their instance; here they are followed until they are live.")
    list_display = ["host", "state_badge", "customer", "leads_to", "wrong", "checked", "next_check"]
    list_filter = ["state", by_code("problem", _("problem"), words.DOMAIN_PROBLEMS.items), "created_at"]
    search_fields = ["host"]
    search_help_text = _("Domain, instance, organization or identifier")
    id_fields = ["instance_id", "organization_id"]
    ordering = ["-created_at"]
    fieldsets = [
        (None, {"fields": [("host", "state_badge"), ("customer", "leads_to"), "wrong"]}),
        (
            _("Record"),
            {
                "classes": ["collapse"],
                "fields": [
                    ("created_at", "live_at"),
                    ("checked_at", "next_check_at"),
                    ("broken_at", "removed_at"),
                    ("failures", "identifier"),
                ],
            },
        ),
    ]
    readonly_fields = ["state_badge", "customer", "leads_to", "wrong", "identifier"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Domain]:
        return lean(super().get_queryset(request), "instance", "organization")

    def found_elsewhere(self, term: str) -> Q:
        instances = Instance.objects.filter(slug__icontains=term)
        customers = Organization.objects.filter(name__icontains=term)
        return Q(instance_id__in=instances.values("pk")) | Q(organization_id__in=customers.values("pk"))

    @admin.display(description=_("Organization"), ordering="organization__name")
    def customer(self, row: Domain) -> SafeString | str:
        return link_to(row.organization)

    @admin.display(description=_("Instance"), ordering="instance__slug")
    def leads_to(self, row: Domain) -> SafeString | str:
        return link_to(row.instance)

    @admin.display(description=_("Problem"), ordering="problem")
    def wrong(self, row: Domain) -> SafeString | str:
        if not row.problem:
            return NOTHING
        return format_html(
            '{}<span class="bo-remark">{}</span>', words.word(words.DOMAIN_PROBLEMS, row.problem), row.seen
        )

    @admin.display(description=_("Last check"), ordering="checked_at")
    def checked(self, row: Domain) -> SafeString | str:
        return moment(row.checked_at)

    @admin.display(description=_("Next check"), ordering="next_check_at")
    def next_check(self, row: Domain) -> SafeString | str:
        return moment(row.next_check_at)
