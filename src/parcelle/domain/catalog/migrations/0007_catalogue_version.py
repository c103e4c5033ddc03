"""A number that grows with every change of what is on sale, so that pages may keep what they made of it."""

from django.db import migrations

FORWARD = """
-- Its numbers are never given twice, also not after a change that was rolled back.
CREATE SEQUENCE catalog_changes;
CREATE TABLE catalog_version (number bigint NOT NULL);
INSERT INTO catalog_version VALUES (nextval('catalog_changes'));

-- In the transaction of the change itself, so that both are seen together or not at all.
CREATE FUNCTION catalog_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE catalog_version SET number = nextval('catalog_changes');
    RETURN NULL;
END $$;

DO $$
DECLARE
    changing text;
BEGIN
    FOREACH changing IN ARRAY ARRAY['product', 'plan', 'feature', 'planfeature', 'price'] LOOP
        EXECUTE format(
            'CREATE TRIGGER catalog_%1$s_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON catalog_%1$s '
            'FOR EACH STATEMENT EXECUTE FUNCTION catalog_changed()', changing);
    END LOOP;
END $$;
"""

BACKWARD = """
DROP FUNCTION catalog_changed() CASCADE;
DROP TABLE catalog_version;
DROP SEQUENCE catalog_changes;
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0006_vat_rate")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
