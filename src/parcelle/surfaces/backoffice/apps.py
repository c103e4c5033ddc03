from __future__ import annotations

from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _

TITLES = {
    "accounts": _("Accounts"),
    "tenancy": _("Customers"),
    "billing": _("Customers"),
    "notifications": _("Customers"),
    "provisioning": _("Hosting"),
    "catalog": _("Catalogue"),
    "core": _("Technical"),
    "procrastinate": _("Technical"),
}


class BackofficeConfig(AppConfig):
    name = "parcelle.surfaces.backoffice"
    label = "backoffice"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Domain apps have names for developers; operators read these."""
        for label, title in TITLES.items():
            apps.get_app_config(label).verbose_name = title
