"""The page of the PayPal simulator on which the customer approves, cancels, or disappears."""

from __future__ import annotations

from html import escape

from tests.simulators.paypal_books import Order

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#f4f5f7;color:#1c1f24}
main{max-width:26rem;margin:2rem auto;padding:1.5rem;background:#fff;border-radius:12px;box-shadow:0 1px 4px #0002}
h1{font-size:1.25rem;margin:0 0 .25rem}p{margin:.25rem 0 1rem}
.sum{font-size:1.75rem;font-weight:600;font-variant-numeric:tabular-nums}
button{display:block;width:100%;min-height:44px;margin:.5rem 0;border:1px solid #c6ccd4;border-radius:8px;
background:#fff;color:inherit;font:inherit;cursor:pointer}
button.main{background:#1b4f9c;border-color:#1b4f9c;color:#fff;font-weight:600}
.soft{color:#5b6470;font-size:.875rem}
@media(prefers-color-scheme:dark){body{background:#15181d;color:#e8eaed}main{background:#1f242b}
button{background:#2a3038;border-color:#48505b}.soft{color:#a5adb8}}
"""
_CHOICES = (
    ("INSTRUMENT_DECLINED", "Approve with a card that will be declined"),
    ("PAYER_CANNOT_PAY", "Approve with an account that cannot pay"),
    ("pending:PENDING_REVIEW", "Approve, and let PayPal hold the money"),
    ("short", "Approve, and let one cent less arrive"),
    ("close", "Close the window and never return"),
)


def _page(title: str, content: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main>{content}</main></body></html>"
    )


def approval(order: Order) -> str:
    amount = order.unit["amount"]
    token = escape(order.id)
    buttons = "".join(
        f'<button name="choice" value="{escape(value)}">{escape(words)}</button>' for value, words in _CHOICES
    )
    return _page(
        "Simulated PayPal",
        f'<p class="soft">Simulated PayPal. No money moves.</p><h1>{escape(order.unit.get("description", ""))}</h1>'
        f'<p class="sum">{escape(amount["value"])} {escape(amount["currency_code"])}</p>'
        f'<form method="post" action="/checkoutnow"><input type="hidden" name="token" value="{token}">'
        '<button class="main" name="choice" value="approve">Approve</button>'
        f'<button name="choice" value="cancel">Cancel</button><p class="soft">What else can happen</p>{buttons}</form>',
    )


def closed(order: Order) -> str:
    again = f"/checkoutnow?token={escape(order.id)}"
    return _page(
        "Closed", f'<h1>You closed the window.</h1><p>Nothing was decided. <a href="{again}">Open it again</a></p>'
    )


GONE = _page("Simulated PayPal", "<h1>Things don’t appear to be working.</h1><p>There is no such order.</p>")
