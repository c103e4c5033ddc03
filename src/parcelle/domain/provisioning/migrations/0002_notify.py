"""Pages that show live progress are woken by the database itself, whoever changed the row."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION provisioning_operation_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('parcelle', CASE
        WHEN NEW.instance_id IS NOT NULL THEN 'instance:' || NEW.instance_id
        ELSE 'template:' || NEW.template_id END);
    RETURN NULL;
END $$;

CREATE TRIGGER provisioning_operation_notify AFTER UPDATE OF state ON provisioning_operation
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION provisioning_operation_notify();

CREATE FUNCTION provisioning_step_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('parcelle', CASE
        WHEN operation.instance_id IS NOT NULL THEN 'instance:' || operation.instance_id
        ELSE 'template:' || operation.template_id END)
    FROM provisioning_operation operation WHERE operation.id = NEW.operation_id;
    RETURN NULL;
END $$;

CREATE TRIGGER provisioning_step_notify AFTER UPDATE ON provisioning_step
    FOR EACH ROW EXECUTE FUNCTION provisioning_step_notify();
"""

BACKWARD = """
DROP TRIGGER provisioning_step_notify ON provisioning_step;
DROP FUNCTION provisioning_step_notify();
DROP TRIGGER provisioning_operation_notify ON provisioning_operation;
DROP FUNCTION provisioning_operation_notify();
"""


class Migration(migrations.Migration):
    dependencies = [("provisioning", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
