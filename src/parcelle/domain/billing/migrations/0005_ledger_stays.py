"""The books balance, and nothing that was booked is ever changed: the database itself refuses it."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION billing_ledger_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was booked is never changed: book the opposite' USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER billing_ledgertransaction_stays BEFORE UPDATE OR DELETE ON billing_ledgertransaction
    FOR EACH ROW EXECUTE FUNCTION billing_ledger_stays();
CREATE TRIGGER billing_ledgerentry_stays BEFORE UPDATE OR DELETE ON billing_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION billing_ledger_stays();
CREATE TRIGGER billing_ledgertransaction_whole BEFORE TRUNCATE ON billing_ledgertransaction
    FOR EACH STATEMENT EXECUTE FUNCTION billing_ledger_stays();
CREATE TRIGGER billing_ledgerentry_whole BEFORE TRUNCATE ON billing_ledgerentry
    FOR EACH STATEMENT EXECUTE FUNCTION billing_ledger_stays();

-- Looked at when the transaction that books ends, so that entries may be stored one after the other.
CREATE FUNCTION billing_ledger_balances() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    booked bigint := CASE TG_TABLE_NAME WHEN 'billing_ledgerentry' THEN (to_jsonb(NEW)->>'transaction_id')::bigint
                                        ELSE (to_jsonb(NEW)->>'id')::bigint END;
BEGIN
    IF EXISTS (SELECT FROM billing_ledgerentry WHERE transaction_id = booked
               GROUP BY currency HAVING sum(amount_minor) <> 0)
    THEN
        RAISE EXCEPTION 'ledger transaction % does not balance', booked USING ERRCODE = 'check_violation';
    END IF;
    IF (SELECT count(*) FROM billing_ledgerentry WHERE transaction_id = booked)
        <> (SELECT size FROM billing_ledgertransaction WHERE id = booked)
    THEN
        RAISE EXCEPTION 'ledger transaction % was booked with other entries', booked USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER billing_ledgertransaction_balances AFTER INSERT ON billing_ledgertransaction
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_ledger_balances();
CREATE CONSTRAINT TRIGGER billing_ledgerentry_balances AFTER INSERT ON billing_ledgerentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_ledger_balances();
"""

BACKWARD = """
DROP TRIGGER billing_ledgerentry_balances ON billing_ledgerentry;
DROP TRIGGER billing_ledgertransaction_balances ON billing_ledgertransaction;
DROP FUNCTION billing_ledger_balances();
DROP TRIGGER billing_ledgerentry_whole ON billing_ledgerentry;
DROP TRIGGER billing_ledgertransaction_whole ON billing_ledgertransaction;
DROP TRIGGER billing_ledgerentry_stays ON billing_ledgerentry;
DROP TRIGGER billing_ledgertransaction_stays ON billing_ledgertransaction;
DROP FUNCTION billing_ledger_stays();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0004_ledger")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
