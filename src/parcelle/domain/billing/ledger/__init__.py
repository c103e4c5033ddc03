"""The books, in double entry: every amount is taken from one account and put on another, never changed afterwards.

Verbs are in `postings.py`, questions in `queries.py`, files for accountants in `exports.py`.
"""

from parcelle.domain.billing.ledger.postings import (
    BookedOtherwise,
    LedgerError,
    Line,
    NotEnoughCredit,
    Party,
    Taxed,
    TooMuchCredited,
    apply_credit,
    chargeback_won,
    charged_back,
    fee_kept,
    keep_as_credit,
    parked_accepted,
    pay_out_credit,
    payment_parked,
    payment_received,
    post,
    post_credit_note,
    post_invoice,
    refunded,
    transferred,
    written_off,
)

__all__ = [
    "BookedOtherwise",
    "LedgerError",
    "Line",
    "NotEnoughCredit",
    "Party",
    "Taxed",
    "TooMuchCredited",
    "apply_credit",
    "chargeback_won",
    "charged_back",
    "fee_kept",
    "keep_as_credit",
    "parked_accepted",
    "pay_out_credit",
    "payment_parked",
    "payment_received",
    "post",
    "post_credit_note",
    "post_invoice",
    "refunded",
    "transferred",
    "written_off",
]
