from django.db import migrations

from parcelle.core.rls import Owned, policies


class Migration(migrations.Migration):
    dependencies = [("tenancy", "0002_invitations"), ("core", "0006_row_level_security")]

    operations = policies(
        Owned("tenancy_organization", by="id"),
        Owned("tenancy_membership", by="organization_id", by_user="user_id"),
        Owned("tenancy_invitation", by="organization_id"),
    )
