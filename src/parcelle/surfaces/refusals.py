"""What is refused when something is sold, in words; for every surface, each for itself, to show."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

COUPONS: dict[str, Promise] = {
    "unknown": _("We do not know this code. Check how it is spelt."),
    "not_yet": _("This code is not valid yet."),
    "over": _("This code is no longer valid."),
    "used_up": _("This code has been used up."),
    "used_by_you": _("You have used this code already."),
    "other_plan": _("This code is for another plan."),
    "other_currency": _("This code is for another currency."),
    "too_small": _("This code needs a larger order."),
}

ADD_ONS: dict[str, Promise] = {
    "not_on_sale": _("This add-on is not sold with this plan."),
    "too_many": _("So many of this add-on cannot be ordered here. Choose a smaller number, or write to us."),
    "not_with_plan": _("One of your add-ons cannot be had with this plan. Take it away first, then change the plan."),
}

TEAM: dict[str, Promise] = {
    "member": _("This person belongs to the organization already. Change their role in the list instead."),
    "last_owner": _("An organization needs an owner. Hand it over to somebody else first."),
    "too_many": _("A hundred invitations are open already. Revoke some of them first."),
    "used": _("This invitation has been accepted or revoked in the meantime."),
}

# Why a payment was declined, and what the customer can do.
DECLINES: dict[str, Promise] = {
    "declined": _("Your bank or payment service declined the payment. Try again, or choose another way to pay."),
    "refused_by_payer": _("The payment was not approved in time. Nothing was charged: you can try again."),
    "rejected_on_phone": _(
        "The payment was refused on the telephone. Nothing was charged: try again, or choose another way to pay."
    ),
    "not_approved_in_time": _(
        "The payment was not approved on the telephone in time. Nothing was charged: keep the telephone at hand and "
        "try again."
    ),
    "probably_not_enough_funds": _(
        "The payment service could not take the money, mostly because the balance is too low. Check the balance, fees "
        "included, then try again, or pay another way."
    ),
    "no_wallet": _(
        "There is no active Mobile Money account behind this number. Check the number, or choose another way to pay."
    ),
    "wrong_number": _(
        "This number cannot pay by Mobile Money here. Check it, or give a number of the country whose account pays."
    ),
    "wrong_operator": _("This number belongs to another operator. Give an MTN number, or choose another way to pay."),
    "not_enough_funds": _("There is not enough money on the account. Top it up and try again, or pay another way."),
    "limit_reached": _("This payment is over the account’s limit. Choose another way to pay, or ask your bank."),
    "no_account": _("This number or account cannot pay. Check it, or choose another way to pay."),
    "seller_setup": _(
        "This way to pay does not work at the moment, and it is our fault. We know about it. Please choose another one."
    ),
    "service_down": _(
        "The payment service did not answer. Nothing was charged: try again in a moment, or pay another way."
    ),
    "blocked": _("The payment service refused this payment. Please choose another way to pay."),
    "expired": _("The payment was not finished. Nothing was charged: you can try again."),
}

# Why what was seen on the account cannot be noted for a transfer.
TRANSFERS: dict[str, Promise] = {
    "no_reference": _("The bank’s reference of the movement is missing."),
    "no_amount": _("The amount must be more than nothing."),
    "in_future": _("The value date is too far in the future."),
    "long_ago": _("The value date is more than a year ago: check the year."),
    "reference_used": _("This bank reference has been noted already, for another transfer or another amount."),
    "same_person": _("A second person has to confirm this transfer."),
    "decided": _("Somebody else has decided about this meanwhile."),
}

# Why there is no VAT on a sale.
WHY_NO_TAX: dict[str, Promise] = {
    "VATEX-EU-AE": _("Reverse charge: you declare the VAT yourself."),
    "VATEX-EU-O": _("No French VAT outside the European Union."),
    "VATEX-FR-FRANCHISE": _("VAT not applicable, art. 293 B of the French tax code."),
}


def coupon_sentence(code: str) -> str:
    return str(COUPONS.get(code, COUPONS["unknown"]))


def transfer_sentence(code: str) -> str:
    return str(TRANSFERS.get(code, _("This transfer does not allow that any more.")))


def decline_sentence(code: str) -> str:
    return str(DECLINES.get(code, DECLINES["declined"]))
