"""Found by Django: registers the pages, and says which templates of ours stand in for unfold's."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from parcelle.surfaces.backoffice import (
    accounts,
    billing,
    catalog,
    core,
    domains,
    drift,
    gateway_messages,
    invoices,
    ledger,
    notifications,
    payments,
    price_changes,
    provisioning,
    saved_methods,
    statements,
    targets,
    tenancy,
    transfers,
    ways_to_pay,
)
from parcelle.surfaces.backoffice.entrance import SignInForm
from parcelle.surfaces.backoffice.values import NOTHING

__all__ = [
    "accounts",
    "billing",
    "catalog",
    "core",
    "domains",
    "drift",
    "gateway_messages",
    "invoices",
    "ledger",
    "notifications",
    "payments",
    "price_changes",
    "provisioning",
    "saved_methods",
    "statements",
    "targets",
    "tenancy",
    "transfers",
    "ways_to_pay",
]

admin.site.index_title = _("Overview")
admin.site.empty_value_display = NOTHING
admin.site.index_template = "backoffice/home.html"
admin.site.login_template = "backoffice/sign_in.html"
admin.site.login_form = SignInForm
