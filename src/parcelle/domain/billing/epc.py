"""The QR code that banking applications fill a transfer in from (EPC069-12)."""

from __future__ import annotations

from segno import QRCode, helpers

from parcelle.core.money import Money
from parcelle.domain.billing.bank_accounts import Account

_LARGEST = 99999999999


def qr_code(account: Account, *, holder: str, amount: Money, reference: str = "", text: str = "") -> QRCode | None:
    """None where the standard has none: for another currency than the euro, an account outside SEPA, other sums.

    Either a structured `reference` (RF…) or a `text`. What goes into it was validated before: segno checks neither
    IBAN nor reference.
    """
    if amount.currency != "EUR" or not account.sepa or not 0 < amount.minor <= _LARGEST:
        return None
    return helpers.make_epc_qr(
        name=holder[:70],
        iban=account.iban,
        bic=account.bic or None,
        amount=amount.amount,
        reference=reference or None,
        text=text[:140] or None,
        # What banking applications read without exception, whatever the name needs.
        encoding="utf-8",
    )
