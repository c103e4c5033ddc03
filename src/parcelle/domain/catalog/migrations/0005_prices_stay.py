"""A price that may have been sold is never changed: the database itself refuses it."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION catalog_price_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.plan_id, NEW.interval, NEW.currency, NEW.amount_minor, NEW.created_at)
        IS DISTINCT FROM (OLD.id, OLD.plan_id, OLD.interval, OLD.currency, OLD.amount_minor, OLD.created_at)
        OR (OLD.retired_at IS NOT NULL AND NEW.retired_at IS DISTINCT FROM OLD.retired_at)
    THEN
        RAISE EXCEPTION 'a price is never changed: retire it and make another one' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER catalog_price_stays BEFORE UPDATE ON catalog_price
    FOR EACH ROW EXECUTE FUNCTION catalog_price_stays();
"""

BACKWARD = """
DROP TRIGGER catalog_price_stays ON catalog_price;
DROP FUNCTION catalog_price_stays();
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0004_prices")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
