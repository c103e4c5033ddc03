"""A document as a page, in its own language: what a person reads, and what becomes the PDF."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from babel import Locale
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, pgettext
from django.utils.translation import gettext as _

from parcelle.core.money import Money
from parcelle.core.templatetags.written import day as written
from parcelle.domain.billing import epc, taxes
from parcelle.domain.billing.bank_accounts import Account
from parcelle.domain.billing.invoicing import mentions
from parcelle.domain.billing.invoicing.content import CARD, CREDIT_NOTE, ONLINE, TRANSFER, Content, Group


@dataclass(frozen=True)
class Page:
    html: str
    language: str
    # As the PDF's own metadata.
    metadata: dict[str, str]


def render(content: Content, *, number: str, issued_on: date | None) -> Page:
    """The caller has activated the document's language. Without a number it is a pro-forma, and says so."""
    title = f"{_name(content, number)} {number}".strip()
    context = {
        "content": content,
        "number": number,
        "title": title,
        "name": _name(content, number),
        "facts": _facts(content, issued_on),
        "seller_lines": _seller_lines(content),
        "buyer_lines": _buyer_lines(content),
        "lines": [_line(line, content) for line in content.lines],
        "has_discount": any(line.discount for line in content.lines),
        "sums": _sums(content),
        "pay": _pay(content, number),
        "mentions": _mentions(content),
        "footer": _in_style("\n".join(_footer(content))),
        "language": content.language,
    }
    return Page(
        html=render_to_string("billing/invoice.html", context),
        language="fr-FR" if content.language == "fr" else "en-GB",
        metadata={
            "author": content.seller.name,
            "title": f"{content.seller.name} - {title}",
            "subject": title,
            "keywords": "Factur-X",
        },
    )


def _name(content: Content, number: str) -> str:
    if not number:
        return _("Pro-forma invoice")
    return _("Credit note") if content.kind == CREDIT_NOTE else _("Invoice")


def _facts(content: Content, issued_on: date | None) -> list[tuple[str, str]]:
    said = [(_("Date"), _day(issued_on))]
    if content.corrects:
        text = _("%(number)s of %(date)s") % {
            "number": content.corrects.number,
            "date": _day(content.corrects.issued_on),
        }
        said.append((_("Corrects invoice"), text))
    if content.starts_on and content.ends_on:
        said.append((_("Period"), _period(content.starts_on, content.ends_on)))
    if content.paid_on:
        label = _("Refunded on") if content.kind == CREDIT_NOTE else _("Paid on")
        said.append((label, _day(content.paid_on)))
    elif content.due_on:
        said.append((_("Due date"), _day(content.due_on)))
    said.append((_("Purchase order"), content.buyer.purchase_order))
    said.append((_("Reference"), content.reference))
    return [(label, value) for label, value in said if value]


def _seller_lines(content: Content) -> list[str]:
    seller = content.seller
    numbers = [
        _("SIREN %(number)s") % {"number": _grouped(seller.siren)} if seller.siren else "",
        _("VAT number %(number)s") % {"number": seller.vat_number} if seller.vat_number else "",
    ]
    return _filled(seller.address, f"{seller.postcode} {seller.city}".strip(), _country(seller.country), *numbers)


def _buyer_lines(content: Content) -> list[str]:
    buyer = content.buyer
    person = _("Attention %(person)s") % {"person": buyer.person} if buyer.person and buyer.business else ""
    numbers = [
        _("SIREN %(number)s") % {"number": _grouped(buyer.siren)} if buyer.siren else "",
        _("VAT number %(number)s") % {"number": buyer.vat_number} if buyer.vat_number else "",
    ]
    place = f"{buyer.postcode} {buyer.city}".strip()
    return _filled(person, buyer.address, place, _country(buyer.country), *numbers)


def _line(line: Any, content: Content) -> dict[str, str]:
    period = _period(line.starts_on, line.ends_on) if line.starts_on and line.ends_on else ""
    reason = line.discount_reason or _("Discount")
    return {
        "name": line.name,
        "about": " · ".join(part for part in (line.description, period) if part),
        "discount": f"{reason} −{_money(line.discount, content)}" if line.discount else "",
        "quantity": str(line.quantity).replace("-", "−"),
        "price": _money(line.price, content),
        "rate": _rate(line.tax),
        "net": _money(line.net, content),
    }


def _sums(content: Content) -> list[tuple[str, str, str]]:
    """Label, amount, and how much it counts: "", "total", "due" or "soft"; "why" is a sentence without an amount."""
    said = [(_("Total without VAT"), _money(content.net, content), "")]
    for group in content.groups:
        said.append((_group_label(group, content), _money(group.tax, content), ""))
        # Whoever wonders about a tax of nothing reads why where they look at it.
        said += [(why, "", "why")] if (why := mentions.why_no_tax(group.decision)) else []
    said.append((_("Total with VAT"), _money(content.total, content), "total"))
    in_euros = content.tax_in_euros()
    if in_euros is not None and content.euros is not None:
        rate = _("VAT in euros, at %(rate)s %(currency)s for €1 (%(source)s, %(date)s)") % {
            "rate": _decimal(Decimal(content.euros.per_euro)),
            "currency": content.currency,
            "source": content.euros.source,
            "date": _day(content.euros.dated),
        }
        said.append((rate, _money(in_euros, content), "soft"))
    if content.kind == CREDIT_NOTE:
        done = _("Refunded") if content.paid_on else _("In your favour")
        return [*said, (done, _money(content.total, content), "due")]
    if content.paid_on:
        said.append((_paid_label(content), f"−{_money(content.paid, content)}", ""))
    return [*said, (_("Amount due"), _money(content.due, content), "due")]


def _group_label(group: Group, content: Content) -> str:
    if group.decision.category != taxes.STANDARD:
        return _("VAT")
    return _("VAT %(rate)s on %(base)s") % {"rate": _rate(group.decision), "base": _money(group.base, content)}


def _paid_label(content: Content) -> str:
    words = {TRANSFER: _("Paid by transfer"), CARD: _("Paid by card"), ONLINE: _("Paid online")}
    return words.get(content.means, pgettext("an invoice", "Paid"))


def _pay(content: Content, number: str) -> dict[str, Any] | None:
    """How to pay by transfer, for what waits for one."""
    seller = content.seller
    if content.paid_on or content.kind == CREDIT_NOTE or not seller.iban:
        return None
    reference = content.reference or number
    lines = [
        (_("Account holder"), seller.name),
        ("IBAN", " ".join(seller.iban[at : at + 4] for at in range(0, len(seller.iban), 4))),
        ("BIC", seller.bic),
        (_("Amount"), _money(content.due, content)),
        (_("Reference"), reference),
    ]
    return {"lines": [(label, value) for label, value in lines if value], "qr": _qr(content, reference)}


def _qr(content: Content, reference: str) -> str:
    """For a banking application to read, as the address of a picture; only euros can be asked for like this."""
    account = Account(currency=content.currency, iban=content.seller.iban, bic=content.seller.bic)
    code = epc.qr_code(account, holder=content.seller.name, amount=content.due, text=reference) if reference else None
    return code.svg_data_uri(scale=2, border=0, dark="#2b2623", omitsize=False) if code else ""


def _mentions(content: Content) -> list[str]:
    said = [_("Reason: %(reason)s") % {"reason": content.reason}] if content.reason else []
    said += [mentions.nature()] if content.seller.country == "FR" else []
    said += [mentions.on_debits()] if content.seller.vat_on_debits else []
    return [*said, *mentions.notes(content.seller).values()]


def _footer(content: Content) -> list[str]:
    """Who the seller is before the law, and how to reach them: a line each."""
    seller = content.seller
    siren = _("SIREN %(number)s") % {"number": _grouped(seller.siren)} if seller.siren else ""
    vat_number = _("VAT number %(number)s") % {"number": seller.vat_number} if seller.vat_number else ""
    lines = (seller.name, mentions.legal(seller), siren), (vat_number, seller.email, seller.phone)
    # A line that is too long breaks inside one of its parts: nothing dangles before or after a dot.
    return _filled(*("\N{NO-BREAK SPACE}·\N{NO-BREAK SPACE}".join(_filled(*line)) for line in lines))


def _in_style(text: str) -> SafeString:
    """As the inside of a string of a style sheet, which has escapes of its own."""
    return mark_safe("".join(one if one.isalnum() else f"\\{ord(one):x} " for one in text))  # noqa: S308 - escaped


# --- as the reader writes it --------------------------------------------------------------------------------


def _money(amount: Money | None, content: Content) -> str:
    return amount.format(content.language).replace("-", "−") if amount is not None else ""


def _day(day: date | None) -> str:
    return written(datetime.combine(day, time())) if day else ""


def _period(starts_on: date, ends_on: date) -> str:
    return _("from %(start)s to %(end)s") % {"start": _day(starts_on), "end": _day(ends_on)}


def _rate(decision: taxes.Decision) -> str:
    if decision.category != taxes.STANDARD:
        return "–"
    return _("%(rate)s%%") % {"rate": _decimal(decision.rate)}


def _decimal(number: Decimal) -> str:
    return f"{number.normalize():f}".replace(".", "," if get_language() == "fr" else ".")


def _country(code: str) -> str:
    return str(Locale.parse(get_language() or "fr").territories.get(code, code))


def _grouped(number: str) -> str:
    return "\N{NO-BREAK SPACE}".join(number[at : at + 3] for at in range(0, len(number), 3))


def _filled(*lines: str) -> list[str]:
    return [line for line in lines if line]
