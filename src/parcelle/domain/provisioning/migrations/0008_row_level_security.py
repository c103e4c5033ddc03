from django.db import migrations

from parcelle.core.rls import Owned, policies


class Migration(migrations.Migration):
    dependencies = [("provisioning", "0007_fewer_indexes"), ("core", "0006_row_level_security")]

    operations = policies(
        Owned("provisioning_instance", by="organization_id"),
        Owned("provisioning_operation", part_of=("instance_id", "provisioning_instance", "id"), few="organization_id"),
        Owned("provisioning_step", part_of=("operation_id", "provisioning_operation", "id")),
        Owned("provisioning_finding", part_of=("instance_id", "provisioning_instance", "id"), few="organization_id"),
        Owned("provisioning_publishedroute", part_of=("instance_id", "provisioning_instance", "id"), few="organization_id"),
        Owned("provisioning_routehost", part_of=("route_id", "provisioning_publishedroute", "ref")),
        Owned("provisioning_domainproof", by="organization_id"),
        Owned("provisioning_domain", by="organization_id"),
    )
