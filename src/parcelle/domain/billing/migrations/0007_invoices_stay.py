"""What has a number never changes and never goes away, whoever asks the database."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION billing_invoice_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an issued invoice is never changed or deleted: correct it by a credit note'
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER billing_invoice_stays BEFORE UPDATE OR DELETE ON billing_invoice
    FOR EACH ROW WHEN (OLD.state = 'finalised') EXECUTE FUNCTION billing_invoice_stays();
CREATE TRIGGER billing_invoicefile_stays BEFORE UPDATE OR DELETE ON billing_invoicefile
    FOR EACH ROW EXECUTE FUNCTION billing_invoice_stays();

CREATE FUNCTION billing_counter_goes_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a counter of invoices only goes up, by one' USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER billing_numberseries_goes_up BEFORE UPDATE ON billing_numberseries
    FOR EACH ROW WHEN (NEW.last <> OLD.last + 1 OR NEW.last_on < OLD.last_on OR NEW.kind <> OLD.kind)
    EXECUTE FUNCTION billing_counter_goes_up();
CREATE TRIGGER billing_numberseries_stays BEFORE DELETE ON billing_numberseries
    FOR EACH ROW EXECUTE FUNCTION billing_counter_goes_up();
CREATE TRIGGER billing_chainhead_goes_up BEFORE UPDATE ON billing_chainhead
    FOR EACH ROW WHEN (NEW.position <> OLD.position + 1) EXECUTE FUNCTION billing_counter_goes_up();
CREATE TRIGGER billing_chainhead_stays BEFORE DELETE ON billing_chainhead
    FOR EACH ROW EXECUTE FUNCTION billing_counter_goes_up();
"""

BACKWARD = """
DROP TRIGGER billing_chainhead_stays ON billing_chainhead;
DROP TRIGGER billing_chainhead_goes_up ON billing_chainhead;
DROP TRIGGER billing_numberseries_stays ON billing_numberseries;
DROP TRIGGER billing_numberseries_goes_up ON billing_numberseries;
DROP FUNCTION billing_counter_goes_up();
DROP TRIGGER billing_invoicefile_stays ON billing_invoicefile;
DROP TRIGGER billing_invoice_stays ON billing_invoice;
DROP FUNCTION billing_invoice_stays();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_invoices")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
