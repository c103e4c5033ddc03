from django.db import migrations

from parcelle.core.rls import FUNCTIONS, NO_FUNCTIONS, Owned, policies


class Migration(migrations.Migration):
    dependencies = [("core", "0005_fewer_indexes")]

    operations = [migrations.RunSQL(FUNCTIONS, NO_FUNCTIONS), *policies(Owned("core_fact", by="organization_id"))]
