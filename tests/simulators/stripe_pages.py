"""The pages of the simulated Stripe: what a customer clicks, and what a person does in the dashboard."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from tests.simulators.stripe import Stripe

_PAGE = """<!doctype html><html lang="{lang}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>body{{font:16px/1.5 system-ui;margin:0;background:#f4f4f7;color:#1b1b1f}}main{{max-width:28rem;margin:2rem auto;
padding:1.5rem;background:#fff;border:1px solid #ddd;border-radius:12px}}main.wide{{max-width:64rem}}button,a.button{{
display:block;width:100%;box-sizing:border-box;margin:.5rem 0;padding:.7rem;border:1px solid #bbb;border-radius:8px;
background:#fff;font:inherit;text-align:center;color:inherit;text-decoration:none;cursor:pointer}}button.main{{
background:#4b45c6;color:#fff;border:0}}.note{{background:#fff4d6;padding:.5rem .8rem;border-radius:8px}}.error{{
background:#fde2e1;padding:.5rem .8rem;border-radius:8px}}table{{width:100%;border-collapse:collapse}}td{{
border-top:1px solid #ddd;padding:.4rem;vertical-align:top}}td button{{margin:.1rem 0;padding:.3rem}}</style></head>
<body><main class="{kind}"><p class="note">{note}</p>{body}</main></body></html>"""
_NOTE = "Simulator of Stripe: no card is needed, no money moves."


def _page(title: str, body: str, *, lang: str = "en", kind: str = "") -> str:
    return _PAGE.format(title=html.escape(title), body=body, lang=lang, kind=kind, note=_NOTE)


def _button(name: str, text: str, *, more: str = "", main: bool = False) -> str:
    look = ' class="main"' if main else ""
    return f'<form method="post">{more}<button name="do" value="{name}"{look}>{html.escape(text)}</button></form>'


def _money(amount: int, currency: str) -> str:
    whole = currency in {"xaf", "xof", "jpy"}
    return f"{amount if whole else f'{amount / 100:.2f}'} {currency.upper()}"


def answer(server: Stripe, method: str, path: str, body: str) -> tuple[int, str, str]:
    """Status, page, and where to go on."""
    asked = dict(parse_qsl(body))
    if path.startswith("/c/pay/"):
        session = server.table("checkout.session").get(path.rpartition("/")[2])
        if session is not None:
            server._tick(session)
            return _checkout(server, session, asked) if method == "POST" else (200, _ask(server, session), "")
    if path == "/dashboard":
        if method == "POST":
            _act(server, asked)
            return 303, "", "/dashboard"
        return 200, _dashboard(server), ""
    return 404, _page("Nothing here", "<h1>Nothing here</h1>"), ""


def _ask(server: Stripe, session: dict[str, Any], error: str = "") -> str:
    if session["status"] != "open":
        return _page("Over", "<h1>This page is no longer open</h1>")
    intent = server.table("payment_intent").get(session["payment_intent"] or "")
    if intent is not None and intent["status"] == "requires_action":
        answers = _button("prove", "Yes, it is me", main=True) + _button("fail", "Fail")
        return _page("3-D Secure", f"<h1>Your bank asks: is it you?</h1>{answers}")
    name = server.table("asked")[session["id"]]["name"]
    buttons = [
        _button("pay", "Pay with a card that works", main=True),
        _button("secure", "Pay with a card that asks for 3-D Secure"),
        _button("insufficient_funds", "Decline: not enough money"),
        _button("stolen_card", "Decline: blocked"),
        _button("later", "Pay by debit, which takes days"),
        _button("nowhere", "Pay and never come back"),
        f'<a class="button" href="{html.escape(session["cancel_url"])}">Back to the shop</a>',
    ]
    said = f'<p class="error" role="alert">{html.escape(error)}</p>' if error else ""
    price = _money(session["amount_total"], session["currency"])
    head = f"<h1>{html.escape(price)}</h1><p>{html.escape(name)}</p>{said}"
    return _page("Checkout", head + "".join(buttons), lang=session["locale"] or "en")


def _checkout(server: Stripe, session: dict[str, Any], asked: dict[str, Any]) -> tuple[int, str, str]:
    done, back = asked.get("do", ""), session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"])
    if session["status"] != "open":
        return 200, _ask(server, session), ""
    if done == "secure":
        server.challenge(session)
        return 200, _ask(server, session), ""
    if done == "fail":
        server.answer_challenge(session, passed=False)
        return 200, _ask(server, session, "Your bank could not make sure that it is you. Try another card."), ""
    if done in {"pay", "prove", "nowhere"}:
        server.answer_challenge(session, passed=True) if done == "prove" else server.pay(session)
        return (200, _page("Paid", "<h1>Paid</h1>"), "") if done == "nowhere" else (303, "", back)
    if done == "later":
        server.pay_later(session)
        return 303, "", back
    server.decline(session, done or "generic_decline")
    return 200, _ask(server, session, "Your card was declined. Try another one."), ""


def _act(server: Stripe, asked: dict[str, Any]) -> None:
    session = server.table("checkout.session")[asked["session"]]
    acts: dict[str, Callable[[], object]] = {
        "expire": lambda: server.expire(session),
        "settle": lambda: server.settle(session, paid=True),
        "bounce": lambda: server.settle(session, paid=False),
        "refund": lambda: server.give_back(server.charge_of(session)),
        "half": lambda: server.give_back(server.charge_of(session), server.charge_of(session)["amount"] // 2),
        "dispute": lambda: server.dispute(server.charge_of(session)),
        "won": lambda: server.end_dispute(_dispute(server, session), won=True),
        "lost": lambda: server.end_dispute(_dispute(server, session), won=False),
    }
    acts[asked["do"]]()


def _dispute(server: Stripe, session: dict[str, Any]) -> dict[str, Any]:
    return [row for row in server.table("dispute").values() if row["payment_intent"] == session["payment_intent"]][-1]


def _dashboard(server: Stripe) -> str:
    rows = []
    for session in reversed(server.table("checkout.session").values()):
        hidden = f'<input type="hidden" name="session" value="{session["id"]}">'
        paid, open_ = session["payment_status"] == "paid", session["status"] == "open"
        can = ["expire"] if open_ else ["settle", "bounce"] if session["status"] == "complete" and not paid else []
        if paid:
            disputed = server.charge_of(session)["disputed"]
            can = ["won", "lost"] if disputed else ["refund", "half", "dispute"]
        buttons = "".join(_button(name, name, more=hidden) for name in can)
        price = html.escape(_money(session["amount_total"], session["currency"]))
        rows.append(
            f"<tr><td>{session['id'][:22]}…<td>{price}<td>{session['status']}<td>{session['payment_status']}<td>{buttons}"
        )
    told = "".join(f"<li>{message.event['type']}</li>" for message in server.messages[-20:])
    table = f"<table>{''.join(rows)}</table>" if rows else "<p>No payment yet.</p>"
    return _page("Dashboard", f"<h1>Dashboard</h1>{table}<h2>Messages</h2><ol>{told}</ol>", kind="wide")
