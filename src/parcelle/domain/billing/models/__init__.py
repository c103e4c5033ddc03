from parcelle.domain.billing.models.gateways import FakeCharge, GatewaySettings
from parcelle.domain.billing.models.invoices import (
    BillingDetails,
    ChainHead,
    ExchangeRate,
    Handover,
    Invoice,
    InvoiceBalance,
    InvoiceFile,
    NumberSeries,
    VatCheck,
)
from parcelle.domain.billing.models.ledger import FecNumber, LedgerEntry, LedgerTransaction
from parcelle.domain.billing.models.methods import SavedMethod
from parcelle.domain.billing.models.orders import CouponUse, Order
from parcelle.domain.billing.models.payments import GatewayEvent, Payment, Refund
from parcelle.domain.billing.models.price_changes import PriceChange, PriceNotice
from parcelle.domain.billing.models.renewals import DunningStep, RevenueMovement
from parcelle.domain.billing.models.sellers import Seller
from parcelle.domain.billing.models.subscriptions import Subscription, TrialReminder, UsageCounter
from parcelle.domain.billing.models.transfers import (
    Confirmation,
    Payout,
    Receipt,
    Statement,
    StatementFormat,
    StatementLine,
    Transfer,
)

__all__ = [
    "BillingDetails",
    "ChainHead",
    "Confirmation",
    "CouponUse",
    "DunningStep",
    "ExchangeRate",
    "FakeCharge",
    "FecNumber",
    "GatewayEvent",
    "GatewaySettings",
    "Handover",
    "Invoice",
    "InvoiceBalance",
    "InvoiceFile",
    "LedgerEntry",
    "LedgerTransaction",
    "NumberSeries",
    "Order",
    "Payment",
    "Payout",
    "PriceChange",
    "PriceNotice",
    "Receipt",
    "Refund",
    "RevenueMovement",
    "SavedMethod",
    "Seller",
    "Statement",
    "StatementFormat",
    "StatementLine",
    "Subscription",
    "Transfer",
    "TrialReminder",
    "UsageCounter",
    "VatCheck",
]
