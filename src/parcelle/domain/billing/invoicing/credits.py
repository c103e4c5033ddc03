"""Credit notes: the only way to correct what has a number, and never more than is left of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from math import ceil, floor
from uuid import UUID

from django.db import transaction
from django.utils import timezone, translation

from parcelle.core.money import Money
from parcelle.domain.billing import ledger, recovered
from parcelle.domain.billing.errors import CreditRefused
from parcelle.domain.billing.invoicing import drafts, mentions, requests
from parcelle.domain.billing.invoicing.content import CREDIT_NOTE, Content, Group, Line
from parcelle.domain.billing.models import Invoice, Refund
from parcelle.domain.billing.taxes import Decision


@transaction.atomic
def credit_for_refund(refund_id: UUID, *, now: datetime) -> Invoice | None:
    """The credit note of money that was given back; None where none of it had been invoiced. Once per refund.

    What had been paid to make up for a charge-back is credited on the invoice that it was paid for in the end.
    What was credited before is not credited again: its money goes back out of the customer's credit, where that is
    what became of it.
    """
    refund = Refund.objects.select_related("payment__order").get(pk=refund_id)
    order = refund.payment.order
    sold = recovered.invoiced(order)
    invoice = Invoice.objects.filter(key=f"order:{sold.pk}").first() if sold else None
    paying = drafts.paying(order)
    if invoice is None or paying is None or paying.pk != refund.payment_id:
        return None
    balance, key = drafts.lock(invoice.pk), f"refund:{refund_id}"
    known = Invoice.objects.filter(key=key).first()
    if known is not None:
        return known
    amount = Money(refund.amount_minor, refund.payment.currency)
    left = min(amount, Money(balance.total_minor - balance.credited_minor, invoice.currency))
    if left < amount:
        _use_credit(invoice, amount - left, key=f"credited-before:{refund_id}", now=now)
    if not left:
        return None
    return credit(
        invoice.pk, key=key, amount=left, reason="", refund=refund, refunded_at=refund.settled_at or now, now=now
    )


def _use_credit(invoice: Invoice, wanted: Money, *, key: str, now: datetime) -> None:
    """As far as there is any: what was used meanwhile the customer owes."""
    used = min(wanted, max(ledger.credit_to_use(invoice.organization_id, wanted.currency), wanted * 0))
    if used and not ledger.is_booked(key):
        ledger.apply_credit(
            organization_id=invoice.organization_id, amount=used, key=key, reference=invoice.number or "", now=now
        )


@transaction.atomic
def credit(
    invoice_id: UUID,
    *,
    key: str,
    reason: str,
    now: datetime,
    amount: Money | None = None,
    refund: Refund | None = None,
    refunded_at: datetime | None = None,
) -> Invoice:
    """A credit note over `amount` with tax, or all that is left; the same `key` again is the same credit note.

    Its amount is taken at once, so that two at a time never take more than the invoice has. Raises CreditRefused.
    """
    balance = drafts.lock(invoice_id)
    known = Invoice.objects.filter(key=key).first()
    if known is not None:
        return known
    invoice = Invoice.objects.select_related("organization").get(pk=invoice_id)
    if invoice.kind != Invoice.INVOICE:
        raise CreditRefused("not_an_invoice")
    left = Money(balance.total_minor - balance.credited_minor, invoice.currency)
    wanted = left if amount is None else amount
    if wanted.currency != invoice.currency or not 0 < wanted.minor <= left.minor:
        raise CreditRefused("too_much")
    content = replace(
        _content(invoice, wanted),
        reason=reason,
        paid_on=timezone.localdate(refunded_at) if refunded_at else None,
    )
    balance.credited_minor += wanted.minor
    balance.save(update_fields=["credited_minor"])
    note = Invoice.objects.create(
        key=key,
        kind=CREDIT_NOTE,
        organization=invoice.organization,
        order=invoice.order,
        subscription=invoice.subscription,
        refund=refund,
        corrects=invoice,
        currency=invoice.currency,
        net_minor=content.net.minor,
        tax_minor=content.tax.minor,
        total_minor=content.total.minor,
        content=content.stored(),
        created_at=now,
        ready_at=now,
    )
    requests.finalise_soon(note.pk)
    return note


def _content(invoice: Invoice, wanted: Money) -> Content:
    original = Content.read(invoice.content)
    note = replace(original, kind=CREDIT_NOTE, due_on=None, paid_on=None, reference="", corrects=None)
    if wanted == original.total:
        return note
    earlier = Invoice.objects.filter(corrects=invoice).values_list("content", flat=True)
    parts = _parts(original.groups, [Content.read(stored) for stored in earlier], wanted)
    with translation.override(original.language):
        # Without its number, which the invoice may not have yet: the document names that elsewhere.
        lines = tuple(
            Line(
                name=_names(original, part.decision),
                description=mentions.credited_part(invoice.number or ""),
                price=part.base,
                tax=part.decision,
            )
            for part in parts
        )
    return replace(note, lines=lines, given_groups=tuple(parts))


def _names(original: Content, decision: Decision) -> str:
    return ", ".join(dict.fromkeys(line.name for line in original.lines if line.tax == decision))


def _parts(groups: Iterable[Group], earlier: Iterable[Content], wanted: Money) -> list[Group]:
    """An amount with tax as base and tax of each rate, in proportion to what is left of them.

    What all parts together have as base never strays by more than rounding, so that the last part is exactly the
    rest, and the tax of each is that of its base, or a unit beside it where no base gives the amount exactly.
    Raises CreditRefused where not even that can be: many parts of a unit each, which have no tax at all.
    """
    whole = {group.decision: group for group in groups}
    given = dict.fromkeys(whole, (0, 0))
    for content in earlier:
        for group in content.groups:
            base, tax = given[group.decision]
            given[group.decision] = base + group.base.minor, tax + group.tax.minor
    left = [group.base.minor + group.tax.minor - sum(given[decision]) for decision, group in whole.items()]
    shares = wanted.spread([max(amount, 0) for amount in left])
    smallest_first = sorted(zip(whole.values(), shares, left, strict=True), key=lambda one: one[2])
    parts: dict[Decision, Group] = {}
    over = 0
    for number, (group, share, rest) in enumerate(smallest_first, start=1):
        # A unit more or less of a small one, which the largest makes up for.
        beside = (0, -1, 1, -2, 2) if number < len(whole) else (0,)
        tried = [minor for step in beside if 0 <= (minor := share.minor + over + step) <= rest]
        minor, part = _first_possible(group, given[group.decision], tried)
        over += share.minor - minor
        if part is not None:
            parts[group.decision] = part
    return [parts[decision] for decision in whole if decision in parts]


def _first_possible(group: Group, given: tuple[int, int], tried: Iterable[int]) -> tuple[int, Group | None]:
    """The first of these amounts that can be given back of a rate, and as what; nothing is none of it."""
    for minor in tried:
        if not minor:
            return 0, None
        part = _part(group, given, Money(minor, group.base.currency))
        if part is not None:
            return minor, part
    raise CreditRefused("too_small")


# How far the base given back so far may be from its exact value, in units, so that the rest keeps a fitting tax too.
_ASTRAY = Fraction(7, 10)


def _part(group: Group, given: tuple[int, int], share: Money) -> Group | None:
    base, tax = group.base.minor - given[0], group.tax.minor - given[1]
    rate = Fraction(group.decision.rate) / 100
    own, all_ = share.minor / (1 + rate), (sum(given) + share.minor) / (1 + rate)
    near = range(floor(own) - 1, ceil(own) + 2)
    possible = [
        net
        for net in near
        if _is_fit(net, share.minor - net, rate) and _is_rest(base - net, tax - share.minor + net, rate)
    ]
    if not possible:
        return None

    def astray(net: int) -> Fraction:
        return abs(given[0] + net - all_)

    fits = [net for net in possible if _tax_of(net, rate) == share.minor - net and astray(net) <= _ASTRAY]
    net = min(fits or possible, key=astray)
    return Group(decision=group.decision, base=Money(net, share.currency), tax=Money(share.minor - net, share.currency))


def _is_fit(base: int, tax: int, rate: Fraction) -> bool:
    """What a document may say: something without tax, and a tax that is a unit beside that of its base at most."""
    return base > 0 and tax >= 0 and abs(_tax_of(base, rate) - tax) <= 1


def _is_rest(base: int, tax: int, rate: Fraction) -> bool:
    """Whether what is left is nothing, or can be given back too."""
    return base == tax == 0 or _is_fit(base, tax, rate)


def _tax_of(base: int, rate: Fraction) -> int:
    return floor(base * rate + Fraction(1, 2))
