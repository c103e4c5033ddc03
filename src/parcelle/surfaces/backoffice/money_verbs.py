"""What operators do about money: they decide, with a reason that is kept; the domain does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.utils.functional import Promise
from django.utils.translation import get_language, gettext_lazy, ngettext_lazy
from django.utils.translation import gettext as _
from procrastinate.contrib.django import app as queue

from parcelle.core import phones
from parcelle.core.money import Money, NotMoney, parse
from parcelle.domain.billing import order_states, parked, payment_states, payments, rails, refunds, webhooks
from parcelle.domain.billing.models import GatewayEvent, Payment
from parcelle.surfaces.backoffice.changes import Forecast, RowForm, Verb


def spoken(money: Money | None) -> str:
    """An amount as the reader writes it."""
    return money.format(get_language() or "fr") if money is not None else "—"


def _language() -> str:
    return (get_language() or "fr").partition("-")[0]


def _only(states: Sequence[str], effect: Callable[[Payment], str]) -> Callable[[Sequence[Any]], list[Forecast]]:
    def foresee(rows: Sequence[Payment]) -> list[Forecast]:
        return [Forecast(effect(row)) if row.state in states else _not_now(row) for row in rows]

    return foresee


def _not_now(row: Any) -> Forecast:
    text = _("Nothing: not possible in its present state (%(state)s).")
    return Forecast(text % {"state": row.get_state_display()}, possible=False)


# --- forms --------------------------------------------------------------------------------------------------


class ReasonForm(RowForm):
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        help_text=gettext_lazy("Kept with the payment, and read by colleagues and auditors."),
        max_length=190,
        widget=forms.Textarea(attrs={"rows": 2}),
    )


class HowForm(ReasonForm):
    """Money goes back by the payment service, where it can, or by hand."""

    how = forms.ChoiceField(label=gettext_lazy("How it goes back"), widget=forms.RadioSelect, choices=())

    def __init__(self, row: Payment, data: Any = None) -> None:
        super().__init__(row, data)
        choices: list[tuple[str, str | Promise]] = [("hand", self._by_hand(row))]
        if by_service(row):
            choices.insert(0, ("service", _("By the payment service, the way it came")))
        how = self.fields["how"]
        assert isinstance(how, forms.ChoiceField)
        how.choices = choices
        how.initial = choices[0][0]
        self.order_fields(["amount", "how", "reason"])

    @staticmethod
    def _by_hand(row: Payment) -> str:
        if phone := row.details.get("phone"):
            text = _("By hand: I send it to %(phone)s, the number that paid; only the books follow")
            return text % {"phone": phones.readable(phone)}
        return _("By hand: I have paid it out myself, or am about to; only the books follow")


class RefundForm(HowForm):
    amount = forms.CharField(label=gettext_lazy("Amount"), max_length=30)

    def __init__(self, row: Payment, data: Any = None) -> None:
        super().__init__(row, data)
        self.fields["amount"].initial = spoken(row.returnable)
        self.fields["amount"].help_text = _("At most %(amount)s.") % {"amount": spoken(row.returnable)}

    def clean_amount(self) -> Money:
        try:
            amount = parse(self.cleaned_data["amount"], self.row.currency, _language())
        except NotMoney:
            sentence = _("This is not an amount: write it like %(example)s.")
            raise forms.ValidationError(sentence % {"example": spoken(self.row.returnable)}) from None
        if not 0 < amount.minor <= self.row.returnable.minor:
            raise forms.ValidationError(_("At most %(amount)s.") % {"amount": spoken(self.row.returnable)})
        return amount


def by_service(row: Payment) -> bool:
    """Whether the service itself can give it back."""
    if row.received is not None and row.received.currency != row.currency:
        return False
    return rails.gives_back(row.gateway)


# --- payments -----------------------------------------------------------------------------------------------

# A service is asked again as long as its answer can change anything.
_ASKED = (*payment_states.UNSETTLED, payment_states.DECLINED, payment_states.EXPIRED, payment_states.ABANDONED)


def _look(row: Payment, _actor: str, _now: datetime) -> None:
    queue.configure_task("billing.look", queue="payments", priority=5).defer(payment_id=str(row.pk))


LOOK = Verb(
    name="look",
    label=gettext_lazy("Ask the service again"),
    icon="sync",
    meaning=gettext_lazy(
        "The payment service is asked in the background what became of this attempt. Whatever it answers counts, also "
        "money that came after all."
    ),
    question=ngettext_lazy("Ask what became of this payment?", "Ask what became of %(count)d payments?", "count"),
    foresee=_only(_ASKED, lambda _row: _("The service is asked within seconds.")),
    do=_look,
    done=gettext_lazy("Done: the service is being asked."),
)

ABANDON = Verb(
    name="abandon",
    label=gettext_lazy("Give up"),
    icon="block",
    meaning=gettext_lazy(
        "Only for an attempt of which you made sure, on the payment service’s own pages, that it was not paid: the "
        "customer may then try again and would otherwise pay twice. Should money come all the same, it becomes the "
        "customer’s credit or pays the order if that is still open."
    ),
    question=ngettext_lazy("Give this payment up?", "Give %(count)d payments up?", "count"),
    foresee=_only((payment_states.UNKNOWN,), lambda _row: _("The customer can pay another way.")),
    do=lambda row, actor, now: payments.abandon(row.pk, reason=row.given["reason"], actor=actor, now=now),
    done=gettext_lazy("Done: it is given up."),
    dangerous=True,
    form=ReasonForm,
)


def _difference(row: Payment) -> str:
    return _("asked for %(asked)s, came in %(came)s") % {"asked": spoken(row.amount), "came": spoken(row.received)}


def _accept_effect(row: Payment) -> str:
    if row.order.state == order_states.OPEN:
        return _("The order is paid (%(difference)s), and the customer gets what they bought.") % {
            "difference": _difference(row)
        }
    return _("The order is no longer open: what came in becomes the customer’s credit.")


def _accept_foresee(rows: Sequence[Any]) -> list[Forecast]:
    forecasts = _only((payment_states.PARKED,), _accept_effect)(rows)
    refused = Forecast(_("Nothing: it came in another currency than the order is in."), possible=False)
    return [
        refused
        if forecast.possible and row.received is not None and row.received.currency != row.currency
        else _if_held(row, forecast)
        for row, forecast in zip(rows, forecasts, strict=True)
    ]


def _if_held(row: Payment, forecast: Forecast) -> Forecast:
    if forecast.possible and row.received is None:
        return Forecast(_("Nothing: no money is held for it, the service took it back."), possible=False)
    return forecast


ACCEPT = Verb(
    name="accept",
    label=gettext_lazy("Count for the order"),
    icon="check_circle",
    meaning=gettext_lazy(
        "What came in counts as payment of the order although it is not what was asked for. A small difference stays "
        "on the customer’s account."
    ),
    question=ngettext_lazy("Count this for the order?", "Count %(count)d payments for their orders?", "count"),
    foresee=_accept_foresee,
    do=lambda row, actor, now: parked.accept(row.pk, for_order=True, reason=row.given["reason"], actor=actor, now=now),
    done=gettext_lazy("Done: it counts."),
    form=ReasonForm,
)

KEEP = Verb(
    name="keep",
    label=gettext_lazy("Keep as credit"),
    icon="savings",
    meaning=gettext_lazy(
        "What came in becomes the customer’s credit, to be used for what they owe or to be paid out. The order stays "
        "as it is: if it is open, it still has to be paid."
    ),
    question=ngettext_lazy("Keep this as credit?", "Keep %(count)d payments as credit?", "count"),
    foresee=lambda rows: [
        _if_held(row, forecast)
        for row, forecast in zip(
            rows,
            _only(
                (payment_states.PARKED,),
                lambda row: _("%(amount)s become the customer’s credit.") % {"amount": spoken(row.received)},
            )(rows),
            strict=True,
        )
    ],
    do=lambda row, actor, now: parked.accept(row.pk, for_order=False, reason=row.given["reason"], actor=actor, now=now),
    done=gettext_lazy("Done: it is the customer’s credit."),
    form=ReasonForm,
)


def _return_effect(row: Payment) -> str:
    if row.received is None:
        return _("Nothing moves: the service took the money back before. The customer can pay again.")
    return _("%(amount)s go back to the customer, who can pay again.") % {"amount": spoken(row.received)}


RETURN = Verb(
    name="return",
    label=gettext_lazy("Give back"),
    icon="undo",
    meaning=gettext_lazy(
        "What came in otherwise than asked goes back whole. By the payment service this cannot be called off; by hand "
        "it is you who pays it out, and the books say so at once."
    ),
    question=ngettext_lazy("Give this back?", "Give %(count)d payments back?", "count"),
    foresee=_only((payment_states.PARKED,), _return_effect),
    do=lambda row, actor, now: parked.give_back(
        row.pk, by_hand=row.given["how"] == "hand", reason=row.given["reason"], actor=actor, now=now
    ),
    done=gettext_lazy("Done: it goes back."),
    dangerous=True,
    form=HowForm,
)

REFUNDABLE = (payment_states.PAID, payment_states.PAID_LATE, payment_states.PARTLY_REFUNDED)


def _refund_foresee(rows: Sequence[Any]) -> list[Forecast]:
    text = _("Of %(came)s, %(left)s can be given back.")
    forecasts = _only(
        REFUNDABLE,
        lambda row: text % {"came": spoken(row.received or row.amount), "left": spoken(row.returnable)},
    )(rows)
    nothing = Forecast(_("Nothing: all of it was given back."), possible=False)
    return [
        nothing if forecast.possible and row.returnable.minor <= 0 else forecast
        for row, forecast in zip(rows, forecasts, strict=True)
    ]


REFUND = Verb(
    name="refund",
    label=gettext_lazy("Refund"),
    icon="undo",
    meaning=gettext_lazy(
        "Money goes back to the customer, at most what came in. This cannot be called off. What they bought is not "
        "taken away by it: suspend or end the subscription separately if that is what you want."
    ),
    question=ngettext_lazy("Refund this payment?", "Refund %(count)d payments?", "count"),
    foresee=_refund_foresee,
    do=lambda row, actor, now: refunds.request(
        row.pk,
        amount=row.given["amount"],
        reason=row.given["reason"],
        actor=actor,
        now=now,
        by_hand=row.given["how"] == "hand",
    ),
    done=gettext_lazy("Done: the refund has been asked for."),
    dangerous=True,
    form=RefundForm,
)

# --- messages -----------------------------------------------------------------------------------------------

RETRY = Verb(
    name="retry",
    label=gettext_lazy("Try again"),
    icon="replay",
    meaning=gettext_lazy(
        "The message is dealt with once more: the payment service is asked about the payment it names. However often "
        "that happens, money counts once."
    ),
    question=ngettext_lazy("Try this message again?", "Try %(count)d messages again?", "count"),
    foresee=lambda rows: [
        Forecast(_("Is dealt with within seconds."))
        if row.state in {GatewayEvent.FAILED, GatewayEvent.IGNORED}
        else _not_now(row)
        for row in rows
    ],
    do=lambda row, actor, now: webhooks.retry(row.pk, actor=actor, now=now),
    done=gettext_lazy("Done: it is being dealt with."),
)
