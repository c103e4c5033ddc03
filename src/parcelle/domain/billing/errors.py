"""What can be refused when something is sold; each code has words in both languages."""

from __future__ import annotations


class CouponRefused(Exception):
    """`code`: unknown, not_yet, over, used_up, used_by_you, other_plan, other_currency or too_small."""

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
    """`code`: too_much (more than is left of the invoice) or not_an_invoice."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ParkedRefused(Exception):
    """`code`: nothing_held, other_currency."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
