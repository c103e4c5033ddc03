"""What can be refused when something is sold; each code has words in both languages."""

from __future__ import annotations


class CouponRefused(Exception):
    """`code`: unknown, not_yet, over, used_up, used_by_you, other_plan, other_currency or too_small."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class AddOnRefused(Exception):
    """`code`: not_on_sale (or not beside this plan), too_many, or not_with_plan (which somebody wants to go to)."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class NotOnSale(Exception):
    """The price was retired, or its plan or product is no longer sold."""


class OrderClosed(Exception):
    """The order is paid or has lapsed: nothing can be paid on it any more."""


class PaymentOpen(Exception):
    """An earlier attempt may still succeed, so no other one may begin."""


class GatewayUnusable(Exception):
    """The way to pay is not switched on, or cannot take this amount from this country."""


class RefundRefused(Exception):
    """`code`: too_much or not_paid."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class CreditRefused(Exception):
    """`code`: too_much (more than is left of the invoice), too_small (no net and tax come to it, beside what was
    credited before) or not_an_invoice."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ParkedRefused(Exception):
    """`code`: nothing_held, other_currency."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class TransferRefused(Exception):
    """What an operator or a customer wants to note about a transfer is not possible now.

    `code`: changed, closed, no_reference, no_amount, other_currency, in_future, reference_used, same_person,
    decided, no_receipt, too_much_missing, not_on_the_way, matched, no_match or too_large.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ReceiptRefused(Exception):
    """`code`: empty, too_large, not_readable, too_many or closed."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class StatementRefused(Exception):
    """A file cannot be imported; `code`: empty, too_large, not_a_statement, forbidden_xml, encoding, columns,
    account or imported. `detail` says where, for the operator."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code} {detail}".strip())
        self.code = code
        self.detail = detail


class LimitReached(Exception):
    """The plan does not include that much of `metric` in this period."""

    def __init__(self, metric: str) -> None:
        super().__init__(metric)
        self.metric = metric


class CreditNotPaidOut(Exception):
    """`code`: not_enough (less credit than that) or known (this reference was used before)."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class NotActive(Exception):
    """The subscription is not in a state in which that can be asked for."""


class NotRenewable(Exception):
    """There is nothing to renew: a trial, something paused, or something that is over."""


class ChangeRefused(Exception):
    """`code`: not_active, overdue, same, other_currency, other_product, add_ons (that the other plan does not have),
    scheduled (another interval, which comes first) or paid_ahead (for a period that has not begun)."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class PriceChangeRefused(Exception):
    """`code`: other_kind (another plan, interval or currency), announced (to yet another price), on_sale, circle
    (customers of the new price go over to the old one) or counts (for somebody already)."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
