"""Numbers of orders and payments, and news for the pages that wait for a payment."""

from django.db import migrations

FORWARD = """
CREATE SEQUENCE billing_order_number;
CREATE SEQUENCE billing_payment_number;

CREATE FUNCTION billing_order_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('parcelle', 'order:' || NEW.id);
    RETURN NULL;
END $$;

CREATE TRIGGER billing_order_notify AFTER UPDATE OF state ON billing_order
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION billing_order_notify();

CREATE FUNCTION billing_payment_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('parcelle', 'order:' || NEW.order_id);
    RETURN NULL;
END $$;

CREATE TRIGGER billing_payment_notify AFTER UPDATE OF state ON billing_payment
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION billing_payment_notify();
"""

BACKWARD = """
DROP TRIGGER billing_payment_notify ON billing_payment;
DROP FUNCTION billing_payment_notify();
DROP TRIGGER billing_order_notify ON billing_order;
DROP FUNCTION billing_order_notify();
DROP SEQUENCE billing_payment_number;
DROP SEQUENCE billing_order_number;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_selling")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
