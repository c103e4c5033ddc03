"""How the back office looks: brand, colours, navigation. Read by the settings, so it imports nothing of ours."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

# The portal's clay red and warm greys, as the steps that unfold wants.
CLAY = {
    "50": "#fdf5f2",
    "100": "#fae7e1",
    "200": "#f5cfc4",
    "300": "#edac9a",
    "400": "#e08a72",
    "500": "#d9694c",
    "600": "#b4472e",
    "700": "#97391f",
    "800": "#7d2f1b",
    "900": "#662a1b",
    "950": "#38130a",
}
STONE = {
    "50": "#faf8f5",
    "100": "#f3efe9",
    "200": "#e6e0d9",
    "300": "#d3cbc2",
    "400": "#a89f97",
    "500": "#736961",
    "600": "#5a524c",
    "700": "#443e3a",
    "800": "#332e2b",
    "900": "#1f1c1a",
    "950": "#151311",
}


def _page(model: str) -> Any:
    return reverse_lazy(f"admin:{model}_changelist")


def _item(title: Any, icon: str, link: Any, **more: Any) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": link, **more}


def navigation(_request: HttpRequest) -> list[dict[str, Any]]:
    """The sidebar."""
    groups = [
        (
            "",
            [
                _item(_("Overview"), "space_dashboard", reverse_lazy("admin:index")),
            ],
        ),
        (
            _("Customers"),
            [
                _item(_("Organizations"), "apartment", _page("tenancy_organization")),
                _item(_("Users"), "group", _page("accounts_user")),
                _item(_("Subscriptions"), "event_repeat", _page("billing_subscription")),
                _item(_("Recurring revenue"), "trending_up", reverse_lazy("admin:billing_subscription_recurring")),
                _item(_("Messages"), "mail", _page("notifications_message")),
            ],
        ),
        (
            _("Money"),
            [
                _item(_("Orders"), "shopping_cart", _page("billing_order")),
                _item(
                    _("Payments"),
                    "payments",
                    _page("billing_payment"),
                    badge="parcelle.surfaces.backoffice.money_work.payments_badge",
                    badge_variant="danger",
                ),
                _item(_("Refunds"), "undo", _page("billing_refund")),
                _item(
                    _("Payment services’ messages"),
                    "webhook",
                    _page("billing_gatewayevent"),
                    badge="parcelle.surfaces.backoffice.money_work.messages_badge",
                    badge_variant="warning",
                ),
                _item(_("Saved ways to pay"), "wallet", _page("billing_savedmethod")),
                _item(_("Changes of prices"), "campaign", _page("billing_pricechange")),
                _item(_("Ways to pay"), "credit_card_gear", _page("billing_gatewaysettings")),
            ],
        ),
        (
            _("Bank transfers"),
            [
                _item(
                    _("To confirm"),
                    "account_balance",
                    _page("billing_transfer"),
                    badge="parcelle.surfaces.backoffice.dashboard.transfers_badge",
                    badge_variant="warning",
                ),
                _item(_("Lines of statements"), "receipt_long", _page("billing_statementline")),
                _item(_("Bank statements"), "upload_file", _page("billing_statement")),
            ],
        ),
        (
            _("Hosting"),
            [
                _item(
                    _("Instances"),
                    "deployed_code",
                    _page("provisioning_instance"),
                    badge="parcelle.surfaces.backoffice.dashboard.failed_instances_badge",
                    badge_variant="danger",
                ),
                _item(_("Domains"), "language", _page("provisioning_domain")),
                _item(_("Operations"), "manufacturing", _page("provisioning_operation")),
                _item(_("Templates"), "dashboard_customize", _page("provisioning_template")),
                _item(_("Targets"), "dns", _page("provisioning_target")),
                _item(
                    _("Drift"),
                    "difference",
                    _page("provisioning_finding"),
                    badge="parcelle.surfaces.backoffice.dashboard.findings_badge",
                    badge_variant="warning",
                ),
            ],
        ),
        (
            _("Accounting"),
            [
                _item(_("Invoices"), "receipt_long", _page("billing_invoice")),
                _item(_("Billing details"), "contact_mail", _page("billing_billingdetails")),
                _item(_("Seller"), "storefront", _page("billing_seller")),
                _item(_("Exchange rates"), "currency_exchange", _page("billing_exchangerate")),
                _item(_("VAT numbers"), "fact_check", _page("billing_vatcheck")),
            ],
        ),
        (
            _("Catalogue"),
            [
                _item(_("Products"), "inventory_2", _page("catalog_product")),
                _item(_("Plans"), "sell", _page("catalog_plan")),
                _item(_("Add-ons"), "add_shopping_cart", _page("catalog_addon")),
                _item(_("Coupons"), "local_offer", _page("catalog_coupon")),
            ],
        ),
        (
            _("Accounting"),
            [
                _item(_("Journal"), "menu_book", _page("billing_ledgertransaction")),
                _item(_("Trial balance"), "balance", reverse_lazy("admin:billing_ledgertransaction_trial_balance")),
            ],
        ),
        (
            _("Technical"),
            [
                _item(_("Facts"), "history_edu", _page("core_fact")),
                _item(_("Background jobs"), "schedule", _page("procrastinate_procrastinatejob")),
                _item(_("API access"), "key", _page("accounts_apitoken")),
            ],
        ),
    ]
    if settings.MAILBOX_PAGE:
        groups[-1][1].append(_item(_("Mailbox"), "inbox", "/mailbox"))
    return [{"title": title, "separator": False, "collapsible": False, "items": items} for title, items in groups]


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Parcelle",
    "SITE_HEADER": "Parcelle",
    "SITE_SUBHEADER": _("Back office"),
    "SITE_URL": "/",
    "SITE_ICON": {
        "light": lambda _request: static("backoffice/mark.svg"),
        "dark": lambda _request: static("backoffice/mark-dark.svg"),
    },
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda _request: static("backoffice/mark.svg")},
    ],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_LANGUAGES": True,
    "SHOW_BACK_BUTTON": True,
    "DASHBOARD_CALLBACK": "parcelle.surfaces.backoffice.dashboard.fill",
    "STYLES": [lambda _request: static("backoffice/backoffice.css")],
    "BORDER_RADIUS": "8px",
    "COLORS": {"base": STONE, "primary": CLAY, "red": {"600": "#b3261e"}},
    "COMMAND": {"search_models": False, "search_callback": "parcelle.surfaces.backoffice.finding.find"},
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": "parcelle.surfaces.backoffice.look.navigation",
    },
}
