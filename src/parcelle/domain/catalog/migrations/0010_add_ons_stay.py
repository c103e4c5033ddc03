"""A price of an add-on that may have been sold is never changed or deleted; what is on sale has another version."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION catalog_addonprice_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE'
        OR (NEW.id, NEW.add_on_id, NEW.interval, NEW.currency, NEW.amount_minor, NEW.adds, NEW.created_at)
        IS DISTINCT FROM (OLD.id, OLD.add_on_id, OLD.interval, OLD.currency, OLD.amount_minor, OLD.adds, OLD.created_at)
        OR (OLD.retired_at IS NOT NULL AND NEW.retired_at IS DISTINCT FROM OLD.retired_at)
    THEN
        RAISE EXCEPTION 'a price is never changed: retire it and make another one' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER catalog_addonprice_stays BEFORE UPDATE OR DELETE ON catalog_addonprice
    FOR EACH ROW EXECUTE FUNCTION catalog_addonprice_stays();

DO $$
DECLARE
    changing text;
BEGIN
    FOREACH changing IN ARRAY ARRAY['addon', 'addon_plans', 'addonprice'] LOOP
        EXECUTE format(
            'CREATE TRIGGER catalog_%1$s_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON catalog_%1$s '
            'FOR EACH STATEMENT EXECUTE FUNCTION catalog_changed()', changing);
    END LOOP;
END $$;
"""

BACKWARD = """
DROP TRIGGER catalog_addonprice_stays ON catalog_addonprice;
DROP FUNCTION catalog_addonprice_stays();
DROP TRIGGER catalog_addon_changed ON catalog_addon;
DROP TRIGGER catalog_addon_plans_changed ON catalog_addon_plans;
DROP TRIGGER catalog_addonprice_changed ON catalog_addonprice;
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0009_add_ons")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
