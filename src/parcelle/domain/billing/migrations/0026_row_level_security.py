from django.db import migrations

from parcelle.core.rls import Owned, policies


def _of(table: str, column: str, key: str = "id") -> tuple[str, str, str]:
    return column, table, key


_ORDER = _of("billing_order", "order_id")
_PAYMENT = _of("billing_payment", "payment_id")
_SUBSCRIPTION = _of("billing_subscription", "subscription_id")
_INVOICE = _of("billing_invoice", "invoice_id")
_TRANSFER = _of("billing_transfer", "transfer_id")
# A posting has a side of the customer's and sides of the vendor's; its head is seen with any of them.
_POSTED = "EXISTS (SELECT FROM billing_ledgerentry part WHERE part.transaction_id = billing_ledgertransaction.id)"


class Migration(migrations.Migration):
    dependencies = [("billing", "0025_dispute_fees"), ("core", "0006_row_level_security")]

    operations = policies(
        Owned("billing_subscription", by="organization_id"),
        Owned("billing_trialreminder", part_of=_SUBSCRIPTION),
        Owned("billing_usagecounter", part_of=_SUBSCRIPTION),
        Owned("billing_pricenotice", part_of=_SUBSCRIPTION),
        Owned("billing_revenuemovement", part_of=_SUBSCRIPTION),
        # Until it is paid an order may be nobody's but whoever made it.
        Owned("billing_order", by="organization_id", by_user="user_id"),
        Owned("billing_couponuse", part_of=_ORDER),
        Owned("billing_dunningstep", part_of=_ORDER),
        Owned("billing_payment", part_of=_ORDER),
        Owned("billing_refund", part_of=_PAYMENT),
        Owned("billing_payout", part_of=_of("billing_refund", "refund_id")),
        Owned("billing_gatewayevent", part_of=_PAYMENT),
        Owned("billing_savedmethod", by="organization_id"),
        Owned("billing_transfer", part_of=_PAYMENT),
        Owned("billing_receipt", part_of=_TRANSFER),
        Owned("billing_confirmation", part_of=_TRANSFER),
        Owned("billing_statementline", part_of=_of("billing_confirmation", "confirmation_id")),
        Owned("billing_billingdetails", by="organization_id"),
        Owned("billing_invoice", by="organization_id"),
        Owned("billing_invoicefile", part_of=_INVOICE),
        Owned("billing_invoicebalance", part_of=_INVOICE),
        Owned("billing_handover", part_of=_INVOICE),
        Owned("billing_ledgerentry", by="organization_id"),
        Owned("billing_ledgertransaction", besides=_POSTED),
        Owned("billing_fecnumber", part_of=_of("billing_ledgertransaction", "transaction_id")),
    )
