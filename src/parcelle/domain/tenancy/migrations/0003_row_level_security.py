from django.db import migrations

from parcelle.core.rls import USER, Owned, policies

# Who belongs to several organizations sees their names whichever of them is asked for.
_MEMBER = (
    "EXISTS (SELECT FROM tenancy_membership mine "
    f"WHERE mine.organization_id = tenancy_organization.id AND mine.user_id = {USER})"
)


class Migration(migrations.Migration):
    dependencies = [("tenancy", "0002_invitations"), ("core", "0006_row_level_security")]

    operations = policies(
        Owned("tenancy_organization", by="id", besides=_MEMBER),
        Owned("tenancy_membership", by="organization_id", by_user="user_id"),
        Owned("tenancy_invitation", by="organization_id"),
    )
