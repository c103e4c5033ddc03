"""Customers: organizations with everything that is theirs."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from parcelle.core.models import Fact
from parcelle.core.money import Money
from parcelle.domain.billing.invoicing import standings
from parcelle.domain.billing.models import Invoice
from parcelle.domain.provisioning import states
from parcelle.domain.provisioning.models import Instance
from parcelle.domain.tenancy.models import Invitation, Membership, Organization
from parcelle.surfaces.backoffice import words
from parcelle.surfaces.backoffice.base import Lines, Page, counted
from parcelle.surfaces.backoffice.billing import SubscriptionLines
from parcelle.surfaces.backoffice.changes import Changing
from parcelle.surfaces.backoffice.credit_verbs import PAY_OUT
from parcelle.surfaces.backoffice.filters import by_code
from parcelle.surfaces.backoffice.money_verbs import spoken
from parcelle.surfaces.backoffice.organization_verbs import CLOSE, OPEN_AGAIN
from parcelle.surfaces.backoffice.provisioning import InstanceLines
from parcelle.surfaces.backoffice.values import NOTHING, link_to, list_of, moment, number


class MemberLines(Lines):
    """The people of an organization."""

    model = Membership
    verbose_name_plural = _("Members")
    fields = ["person", "full_name", "role", "since"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("user").order_by("created_at")

    @admin.display(description=_("User"))
    def person(self, row: Membership) -> SafeString | str:
        return link_to(row.user)

    @admin.display(description=_("Name"))
    def full_name(self, row: Membership) -> str:
        return row.user.get_full_name() or NOTHING

    @admin.display(description=_("Since"))
    def since(self, row: Membership) -> SafeString | str:
        return moment(row.created_at)


class InvitationLines(Lines):
    """Who was invited, and what became of it."""

    model = Invitation
    verbose_name_plural = _("Invitations")
    fields = ["email", "role", "inviter", "sent", "standing"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("invited_by").order_by("-sent_at")

    @admin.display(description=_("Invited by"))
    def inviter(self, row: Invitation) -> SafeString | str:
        return link_to(row.invited_by) if row.invited_by else NOTHING

    @admin.display(description=_("Sent"))
    def sent(self, row: Invitation) -> SafeString | str:
        return moment(row.sent_at)

    @admin.display(description=_("State"))
    def standing(self, row: Invitation) -> str:
        return words.word(words.INVITATIONS, row.standing(timezone.now()) or "open")


def _owed(row: Organization) -> list[tuple[str, Money]]:
    """By currency, with what waits for its number: a payment for that is no credit."""
    return sorted(standings.balances(row.pk, now=timezone.now()).items())


def _standing(owed: Money) -> str:
    if not owed:
        return pgettext("an account", "settled")
    sentence = gettext("owes %(amount)s") if owed.minor > 0 else gettext("%(amount)s in their favour")
    return sentence % {"amount": spoken(owed if owed.minor > 0 else -owed)}


@admin.register(Organization)
class OrganizationPage(Changing, Page):
    confirmation_columns = (_("Organization"), _("Account"))
    actions_detail = ["pay_out_one", "close_one", "open_one"]
    when_empty = _("A customer appears here with their first trial or order.")
    list_display = ["name", "state_badge", "slug", "members", "instances", "created"]
    list_filter = ["state", by_code("language", _("language"), words.LANGUAGES.items), "created_at"]
    search_fields = ["name", "slug"]
    search_help_text = _("Name, member’s e-mail, instance or identifier")
    ordering = ["-created_at"]
    inlines = [MemberLines, InvitationLines, SubscriptionLines, InstanceLines]
    fields = ["name", "language", ("slug", "state_badge"), ("created_at", "facts"), ("account", "papers"), "identifier"]
    readonly_fields = ["slug", "state_badge", "created_at", "identifier", "facts", "account", "papers"]

    def found_elsewhere(self, term: str) -> Q:
        members = Membership.objects.filter(user__email__icontains=term)
        instances = Instance.objects.filter(slug__icontains=term)
        return Q(pk__in=members.values("organization_id")) | Q(pk__in=instances.values("organization_id"))

    def complete(self, rows: list[Any]) -> None:
        members = Membership.objects.filter(organization__in=rows)
        running = Instance.objects.filter(organization__in=rows, state__in=states.HOLDING_NAME)
        member_counts, instance_counts = counted(members, "organization_id"), counted(running, "organization_id")
        for row in rows:
            row.member_count = member_counts.get(row.pk, 0)
            row.instance_count = instance_counts.get(row.pk, 0)

    def describe(self, row: Any) -> object:
        return ", ".join(_standing(owed) for _currency, owed in _owed(row)) or NOTHING

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        """Only what is possible: credit is paid out where there is some."""
        row = self.find(object_id)
        shown = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        verbs = {"pay_out_one": PAY_OUT, "close_one": CLOSE, "open_one": OPEN_AGAIN}
        possible = [name for name, verb in verbs.items() if row is not None and verb.foresee([row])[0].possible]
        prefix = f"{self.opts.app_label}_{self.opts.model_name}_"
        return [each for each in shown if each.action_name.removeprefix(prefix) in possible]

    @action(description=_("Pay credit out"), url_path="pay-out", icon="account_balance_wallet")
    def pay_out_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, PAY_OUT)

    @action(description=_("Suspend the organization"), url_path="close", icon="block")
    def close_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, CLOSE)

    @action(description=_("Open the organization again"), url_path="open-again", icon="check_circle")
    def open_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, OPEN_AGAIN)

    def has_add_permission(self, request: HttpRequest) -> bool:
        # A customer begins with a trial: with a person, a subscription and an instance.
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "language" and field is not None:
            from unfold.widgets import UnfoldAdminSelectWidget

            field.widget = UnfoldAdminSelectWidget(choices=list(words.LANGUAGES.items()))
        return field

    @admin.display(description=_("Members"))
    def members(self, row: Any) -> SafeString:
        return number(row.member_count)

    @admin.display(description=_("Instances"))
    def instances(self, row: Any) -> SafeString:
        return number(row.instance_count)

    @admin.display(description=_("Created"), ordering="created_at")
    def created(self, row: Organization) -> SafeString | str:
        return moment(row.created_at)

    @admin.display(description=_("Account"))
    def account(self, row: Organization) -> SafeString | str:
        """What they owe in each currency, with the statement that says why."""
        lines = [
            (
                _standing(owed),
                reverse("admin:billing_ledgertransaction_statement", args=(row.pk, currency)),
                _("Statement (CSV)"),
            )
            for currency, owed in _owed(row)
        ]
        return format_html_join("", '<div>{} · <a class="bo-link" href="{}">{}</a></div>', lines) or NOTHING

    @admin.display(description=_("Invoices"))
    def papers(self, row: Organization) -> SafeString:
        return format_html('<a class="bo-link" href="{}">{}</a>', list_of(Invoice, f"q={row.slug}"), _("Show them"))

    @admin.display(description=_("Facts"))
    def facts(self, row: Organization) -> SafeString:
        return format_html(
            '<a class="bo-link" href="{}">{}</a>', list_of(Fact, f"q={row.pk}"), _("What happened to it")
        )
