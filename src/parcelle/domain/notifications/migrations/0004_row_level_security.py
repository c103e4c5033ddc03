from django.db import migrations

from parcelle.core.rls import Owned, policies


class Migration(migrations.Migration):
    dependencies = [("notifications", "0003_fewer_indexes"), ("core", "0006_row_level_security")]

    operations = policies(Owned("notifications_message", by="organization_id"))
