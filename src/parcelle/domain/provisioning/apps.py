from django.apps import AppConfig


class ProvisioningConfig(AppConfig):
    name = "parcelle.domain.provisioning"
    label = "provisioning"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Registers the kinds of operations there are.
        from parcelle.domain.provisioning import workflows  # noqa: F401
